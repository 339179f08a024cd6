"""What the factor models share, against loops and dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from factor_problems import all_scores, pattern, problem
from hypothesis import given
from hypothesis import strategies as st
from recommender_contract import COLD_USER, ITEM_IDS, TEST, TRAIN, USER_IDS

from autorec_np.baselines import factors
from autorec_np.baselines.factors import (
    BayesianMF,
    BiasedMF,
    SVDpp,
    centered,
    design,
    normal_equations,
    products,
    residuals,
)
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.biases import BiasBaseline

BRIEF = {"n_factors": 3, "max_iter": 3, "random_state": 0}
MODELS = {
    "als": lambda **changes: BiasedMF(**{**BRIEF, **changes}),
    "sgd": lambda **changes: BiasedMF(**{**BRIEF, "solver": "sgd", "batch_size": 99, **changes}),
    "svdpp": lambda **changes: SVDpp(**{**BRIEF, "batch_size": 16, **changes}),
    "bayesian": lambda **changes: BayesianMF(**{**BRIEF, "burn_in": 1, **changes}),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def test_residuals_are_those_of_the_model():
    rated, users, items = problem()
    found = residuals(rated, users, items)
    expected = np.where(pattern(rated), rated.toarray() - all_scores(users, items), 0)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-14)
    np.testing.assert_array_equal(found.indices, rated.indices)


@pytest.mark.parametrize("block", [1, 3, 100])
def test_normal_equations_are_those_of_each_row(block, monkeypatch):
    monkeypatch.setattr(factors, "ROWS_PER_BLOCK", block)
    rated, _, items = problem()
    seen = 0
    for rows, grams, moments in normal_equations(rated, items):
        for row, gram, moment in zip(range(rows.start, rows.stop), grams, moments, strict=True):
            columns = rated.indices[rated.indptr[row] : rated.indptr[row + 1]]
            D = np.column_stack([items[columns, :-1], np.ones(len(columns))])
            t = rated.data[rated.indptr[row] : rated.indptr[row + 1]] - items[columns, -1]
            np.testing.assert_allclose(gram, D.T @ D, atol=1e-14)
            np.testing.assert_allclose(moment, D.T @ t, atol=1e-14)
            seen += 1
    assert seen == rated.shape[0]


@pytest.mark.parametrize("block", [1, 4, 100])
def test_products_of_pairs_come_in_blocks(block, monkeypatch):
    monkeypatch.setattr(factors, "PAIRS_PER_BLOCK", block)
    _, users, items = problem()
    rows, columns = np.array([6, 0, 0, 3, 1]), np.array([4, 4, 0, 2, 2])
    expected = (users @ items.T)[rows, columns]
    np.testing.assert_allclose(products(users, items, rows, columns), expected, rtol=1e-14)


@given(st.integers(0, 2**32), st.sampled_from([0.25, 1.0, 7.0]))
def test_centering_moves_no_score_and_leaves_a_cold_row_the_average(seed, unit):
    rated, users, items = problem(seed)
    biases, P, Q, losses = centered(rated, 3.0, unit, users, items, [2.0, 1.0])
    found = biases.mean + biases.user[:, None] + biases.item + P.astype(float) @ Q.T
    warm = pattern(rated).any(axis=1), pattern(rated).any(axis=0)
    expected = 3.0 + unit * all_scores(users, items)
    np.testing.assert_allclose(found[np.ix_(*warm)], expected[np.ix_(*warm)], atol=1e-4)
    np.testing.assert_allclose(
        found[-1][warm[1]], expected[warm[0]].mean(axis=0)[warm[1]], atol=1e-4
    )
    np.testing.assert_allclose(
        found[:, -1][warm[0]], expected[:, warm[1]].mean(axis=1)[warm[0]], atol=1e-4
    )
    assert not P[-1].any()
    assert not Q[-1].any()
    assert (biases.user[-1], biases.item[-1], losses.tolist()) == (0.0, 0.0, [2.0, 1.0])


def test_the_design_is_a_copy():
    _, users, _ = problem()
    before = users.copy()
    assert (design(users)[:, -1] == 1).all()
    np.testing.assert_array_equal(users, before)


@every_model
def test_a_cold_user_is_predicted_as_the_average_user(make):
    model = make().fit(TRAIN)
    warm = np.repeat(USER_IDS[:-1], len(ITEM_IDS) - 1), np.tile(ITEM_IDS[:-1], len(USER_IDS) - 1)
    scores = model._score_pairs(model.fitted_, *model.fitted_.positions(*warm))
    average = scores.reshape(len(USER_IDS) - 1, -1).mean(axis=0)
    cold = model.predict([COLD_USER] * (len(ITEM_IDS) - 1), ITEM_IDS[:-1])
    np.testing.assert_allclose(cold, np.clip(average, 1, 5), atol=1e-5)
    assert np.ptp(average) > 0.01


@every_model
def test_reruns_are_bit_identical(make):
    first, second, other = make().fit(TRAIN), make().fit(TRAIN), make(random_state=1).fit(TRAIN)
    np.testing.assert_array_equal(first.user_factors_, second.user_factors_)
    np.testing.assert_array_equal(first.item_factors_, second.item_factors_)
    assert first.predict(TEST).tobytes() == second.predict(TEST).tobytes()
    assert first.predict(TEST).tobytes() != other.predict(TEST).tobytes()
    same = make(random_state=np.random.default_rng(0)).fit(TRAIN)
    assert first.predict(TEST).tobytes() == same.predict(TEST).tobytes()


@every_model
@pytest.mark.parametrize(("a", "b"), [(0.05, 20.0), (1000.0, -4e5)])
def test_predictions_follow_the_unit_of_the_ratings(make, a, b):
    R = make_ratings(n_users=80, n_items=60, n_ratings=1500, random_state=0)
    users, items, values = R.triples()
    expected = make().fit(R).predict(users, items)
    predicted = make().fit((users, items, a * values.astype(float) + b)).predict(users, items)
    np.testing.assert_allclose((predicted - b) / a, expected, rtol=0, atol=2e-2)


@every_model
def test_equal_ratings_are_predicted(make):
    users, items = np.divmod(np.arange(12), 4)
    model = make().fit((users, items, np.full(12, 4.0)))
    assert np.isfinite(model.loss_curve_).all()
    np.testing.assert_allclose(model.predict(users, items), 4.0)


@pytest.mark.parametrize("name", MODELS)
def test_factors_beat_biases_on_planted_factors(name):
    R = make_ratings(300, 200, 12_000, rank=2, noise=0.4, random_state=0)
    train, test = train_test_split(R, 0.1, 0)
    changes = {"burn_in": 10} if name == "bayesian" else {"regularization": 0.5}
    if name == "svdpp":
        changes["learning_rate_init"] = 0.03
    model = MODELS[name](max_iter=40, **changes).fit(train)
    assert model.score(test) > BiasBaseline().fit(train).score(test) + 0.05


@every_model
def test_what_was_learned_has_its_shapes(make):
    model = make().fit(TRAIN)
    n_users, n_items = TRAIN.shape
    k = model.user_factors_.shape[1]
    assert model.user_factors_.shape == (n_users, k)
    assert model.item_factors_.shape == (n_items, k)
    assert model.user_factors_.dtype == model.item_factors_.dtype == np.float32
    assert model.loss_curve_.shape == (3,)
    biases = model.biases_
    assert (len(biases.user), len(biases.item)) == TRAIN.shape
    users, items, _ = TRAIN.positions()
    factors_alone = products(model.user_factors_, model.item_factors_, users, items)
    predicted = biases.at(users, items) + factors_alone
    np.testing.assert_allclose(model.fitted_.score_pairs(users, items), predicted)


@every_model
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"n_factors": 0}, ValueError, "n_factors must be at least 1, got 0"),
        ({"n_factors": 2.5}, TypeError, "n_factors must be an integer, got 2.5"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1, got 0"),
        ({"random_state": -1}, ValueError, "random_state must be at least 0"),
    ],
)
def test_wrong_parameters_are_refused(make, changes, error, message):
    model = make().fit(TRAIN)
    fitted = model.fitted_
    with pytest.raises(error, match=message):
        model.set_params(**changes).fit(TRAIN)
    assert model.fitted_ is fitted


@pytest.mark.parametrize("name", ["als", "sgd", "svdpp"])
@pytest.mark.parametrize("parameter", ["regularization", "learning_rate_init"])
def test_negative_numbers_are_refused(name, parameter):
    with pytest.raises(ValueError, match=f"{parameter} must be a finite number"):
        MODELS[name](**{parameter: -0.5}).fit(TRAIN)


@every_model
def test_a_single_rating_is_enough(make):
    model = make().fit(Ratings.from_triples([1], [2], [3.0]))
    assert model.predict([1, 9], [2, 2]).tolist() == [3.0, 3.0]
