"""Nothing that is as long as the ratings is copied: a fit of mapped ratings, and its memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from autorec_np import AutoRec, RankingAutoRec, load_model, save_model, store_ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.engine import rows as rows_room
from autorec_np.engine import tiled
from autorec_np.models import biases, scoring
from autorec_np.training import trainer, units

SMALL = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0, "n_jobs": 1}
MODELS = {
    "adam": AutoRec(**SMALL),
    "paper": AutoRec(**SMALL, implicit=0, inputs="ratings", baseline=None, corruption=0.2),
    "sgd": AutoRec(**SMALL, solver="sgd", dropout=0.2),
    "rprop": AutoRec(**SMALL, solver="rprop", implicit=2, inputs="planes"),
    "lbfgs": AutoRec(**SMALL, solver="lbfgs"),
    "plain": AutoRec(**SMALL, engine="plain", implicit=2),
    "early": AutoRec(**SMALL, early_stopping=True),
    "binary": RankingAutoRec(**SMALL, implicit=2),
    "counts": RankingAutoRec(**SMALL, values="counts", threshold=2.0, early_stopping=True),
    "ratings": RankingAutoRec(**SMALL, values="ratings", solver="lbfgs"),
}
ROOMS = rows_room, tiled, scoring, biases, units


def make_long(patch, kept=500):
    """Treat short matrices as long ones."""
    for room in ROOMS:
        patch.setattr(room, "KEPT", kept)
    patch.setattr(rows_room.blocks_of, "__defaults__", (kept,))
    patch.setattr(trainer, "ENTRIES_PER_BLOCK", kept)
    patch.setattr(trainer, "ENTRIES_PLANNED", kept)
    for room in (scoring, tiled):
        patch.setattr(room, "ENTRIES_AT_ONCE", kept // 4)


@pytest.fixture(scope="module")
def R():
    return make_ratings(90, 70, 2_500, random_state=0)


@pytest.fixture(scope="module")
def stored(R, tmp_path_factory):
    return store_ratings(R, tmp_path_factory.mktemp("store") / "ratings")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    R = make_ratings(2500, 1200, 200_000, random_state=0)
    return store_ratings(R, tmp_path_factory.mktemp("many") / "ratings")


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("name", MODELS)
def test_a_fit_of_stored_ratings_has_the_bits_of_one_in_memory(
    name, orientation, R, stored, monkeypatch
):
    def fit(ratings):
        model = MODELS[name].__class__(**MODELS[name].get_params())
        return model.set_params(orientation=orientation).fit(ratings)

    monkeypatch.setattr(trainer.Trainer, "_warn_of_limit", lambda *_: None)
    short = fit(R)
    assert fit(stored).theta_.tobytes() == short.theta_.tobytes()
    make_long(monkeypatch)
    long = fit(R)
    assert fit(stored).theta_.tobytes() == long.theta_.tobytes()
    np.testing.assert_allclose(long.theta_, short.theta_, rtol=2e-3, atol=2e-5)
    np.testing.assert_allclose(long.codes_, short.codes_, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_no_array_is_as_long_as_the_ratings(orientation, solver, many, monkeypatch):
    """Beyond the pattern of the implicit decoder: at most 4 bytes for each of its two layouts."""
    stored, n = many, len(many)
    make_long(monkeypatch, 2**13)
    monkeypatch.setattr(trainer.Trainer, "_warn_of_limit", lambda *_: None)
    model = AutoRec(orientation, (2,), solver=solver, max_iter=1, batch_size=32, random_state=0)
    model.set_params(n_jobs=1).fit(stored.select(np.arange(100)))  # what is loaded once
    tracemalloc.start()
    try:
        model.fit(stored)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(peak / n)
    assert peak / n < 24, f"{peak / n:.1f} bytes a rating"


def test_a_model_of_stored_ratings_is_complete_in_its_file(stored, R, tmp_path):
    model = AutoRec(**SMALL).fit(stored)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.ratings_.folder is None
    users, items, _ = R.triples()
    np.testing.assert_array_equal(loaded.predict(users, items), model.predict(users, items))
    new = [users[0]], [items[0]], [3.0]
    one, other = (which.partial_fit(new).predict(users, items) for which in (loaded, model))
    np.testing.assert_array_equal(one, other)
    for got, expected in zip(loaded.recommend(users, 5), model.recommend(users, 5), strict=True):
        np.testing.assert_array_equal(got, expected)
