"""Daily use on ml-latest-small, real ratings with titles: that the parts work together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autorec_np import (
    AutoRec,
    BiasBaseline,
    RatingRegressor,
    evaluate_ranking,
    explain,
    fetch_movielens,
    load_model,
    rmse,
    save_model,
    search,
    similar_items,
    train_test_split,
)

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def parts():
    try:
        R = fetch_movielens("ml-latest-small", download_if_missing=False).ratings
    except FileNotFoundError:
        pytest.skip("needs ml-latest-small in $AUTOREC_NP_DATA or the per-user cache")
    return train_test_split(R, 0.1, 0)


@pytest.fixture(scope="module", params=[("item", "ratings"), ("user", "planes")], ids="-".join)
def model(request, parts):
    orientation, inputs = request.param
    options = {"hidden_layer_sizes": (20,), "implicit": 4, "max_iter": 10, "batch_size": 256}
    options |= {"inputs": inputs, "learning_rate_init": 3e-3, "random_state": 0, "n_jobs": 1}
    return AutoRec(orientation, **options).fit(parts[0])


def test_it_is_better_than_the_biases(model, parts):
    train, test = parts
    users, items, ratings = test.triples()
    error = rmse(ratings, model.predict(users, items))
    assert error < rmse(ratings, BiasBaseline().fit(train).predict(users, items)) - 0.003


def test_frames_in_and_out(model, parts):
    users, items, _ = parts[1].triples()
    frame = pd.DataFrame({"user": users, "item": items}).sample(50, random_state=0)
    predicted = model.predict(frame)
    assert predicted.index.equals(frame.index)
    np.testing.assert_array_equal(predicted, model.predict(frame["user"], frame["item"]))
    table = model.recommend(frame["user"], n=3)
    assert list(table["rank"][:3]) == [1, 2, 3]


def test_a_known_users_ratings_told_as_new_give_like_predictions(model):
    ratings = model.ratings_
    user = int(np.argmax(np.diff(ratings.matrix.indptr)))
    row = ratings.matrix[[user]]
    told = ratings.item_ids[row.indices], row.data
    known = model.predict(np.repeat(ratings.user_ids[user], row.nnz), told[0])
    new = model.predict_new(told, told[0])
    assert rmse(known, new) < 0.1
    assert np.corrcoef(known, new)[0, 1] > 0.95


def test_similar_and_explained_items(model):
    items = model.ratings_.item_ids[:5]
    ids, cosines = similar_items(model, items, n=3)
    assert not (ids == items[:, np.newaxis]).any()
    assert np.all(np.abs(cosines) <= 1)
    by = "users" if model.orientation_ == "item" else "items"
    ids, contributions = explain(model, model.ratings_.user_ids[0], items[0], n=3, by=by)
    assert len(ids) == len(contributions) == 3
    assert np.isfinite(contributions).all()


def test_a_file_keeps_every_bit(model, parts, tmp_path):
    users, items, _ = parts[1].triples()
    save_model(model, tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz", memory_map=True)
    assert loaded.predict(users, items).tobytes() == model.predict(users, items).tobytes()


def test_ranked_lists_and_searches(model, parts, tmp_path):
    train, test = parts
    assert 0 < evaluate_ranking(model, test, k=10, threshold=4).hit_rate < 1
    space = {"hidden_layer_sizes": [(5,), (20,)]}
    result = search(
        model, train, space, 2, strategy="random", random_state=0, resume=tmp_path / "s.jsonl"
    )
    assert result.best.rmse < 1


def test_the_regressor_is_the_model(model, parts):
    users, items, ratings = parts[0].triples()
    pairs = np.column_stack((users, items))
    plain = AutoRec(**model.get_params()).set_params(implicit=0, inputs="ratings").fit(parts[0])
    regressor = RatingRegressor(plain, rating_scale=parts[0].scale).fit(pairs, ratings)
    asked = np.column_stack(parts[1].triples()[:2])
    np.testing.assert_allclose(regressor.predict(asked), plain.predict(*asked.T), rtol=0, atol=0.2)
