"""Stored ratings at every door: the bits of the same ratings in memory."""

from __future__ import annotations

import numpy as np
import pytest

from autorec_np import (
    EASE,
    LLORMA,
    AutoRec,
    BayesianMF,
    BiasBaseline,
    BiasedMF,
    Blend,
    GlobalMean,
    ItemKNN,
    Popularity,
    RankingAutoRec,
    RatingRBM,
    SVDpp,
    cross_validate,
    evaluate,
    evaluate_ranking,
    make_ratings,
    recommend_all,
    store_ratings,
    train_test_split,
)

NETWORK = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0, "n_jobs": 1}
FACTORS = {"n_factors": 3, "random_state": 0}
OF_RATINGS = {
    "AutoRec": AutoRec(**NETWORK),
    "GlobalMean": GlobalMean(),
    "BiasBaseline": BiasBaseline(),
    "BiasedMF": BiasedMF(**FACTORS, max_iter=2),
    "SVDpp": SVDpp(**FACTORS, max_iter=2),
    "BayesianMF": BayesianMF(**FACTORS, max_iter=4, burn_in=1, n_samples=2),
    "RatingRBM": RatingRBM(n_hidden=3, max_iter=2, random_state=0),
    "LLORMA": LLORMA(n_models=2, **FACTORS, max_iter=2),
    "Blend": Blend([("network", AutoRec(**NETWORK)), ("biases", BiasBaseline())], random_state=0),
}
OF_LISTS = {
    "RankingAutoRec": RankingAutoRec(**NETWORK),
    "Popularity": Popularity(),
    "ItemKNN": ItemKNN(n_neighbors=5),
    "EASE": EASE(),
}
MODELS = OF_RATINGS | OF_LISTS


@pytest.fixture(scope="module")
def parts():
    return train_test_split(make_ratings(40, 30, 700, random_state=0), 0.2, 0)


@pytest.fixture(scope="module")
def stored(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    return [store_ratings(one, folder / f"{place}") for place, one in enumerate(parts)]


def copy_of(model):
    return type(model)(**model.get_params(deep=False))


@pytest.mark.filterwarnings("ignore::autorec_np.training.ConvergenceWarning")
@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_stored_ratings(name, parts, stored):
    model = MODELS[name]
    one, other = (copy_of(model).fit(ratings) for ratings in (parts[0], stored[0]))
    users, items, _ = parts[1].triples()
    np.testing.assert_array_equal(other.predict(users, items), one.predict(users, items))
    for got, expected in zip(other.recommend(users, 5), one.recommend(users, 5), strict=True):
        np.testing.assert_array_equal(got, expected)
    measured, expected = (evaluate(model, *pair) for pair in (stored, parts))
    assert measured.means == expected.means
    assert str(evaluate_ranking(other, stored[1])) == str(evaluate_ranking(one, parts[1]))
    for got, block in zip(recommend_all(other, n=3), recommend_all(one, n=3), strict=True):
        for column, values in block.items():
            np.testing.assert_array_equal(got[column], values)


@pytest.mark.parametrize("name", ["AutoRec", "RankingAutoRec"])
def test_folds_and_splits_of_stored_ratings_are_those_in_memory(name, parts, stored):
    for got, expected in zip(
        *(train_test_split(x[0], 0.3, 1) for x in (stored, parts)), strict=True
    ):
        np.testing.assert_array_equal(got.matrix.toarray(), expected.matrix.toarray())
    one, other = (cross_validate(MODELS[name], x[0], 2, random_state=0) for x in (parts, stored))
    assert [x.means for x in other.evaluations] == [x.means for x in one.evaluations]
