"""Minibatches by columns, here without processes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fake_dask import FakeClient, worker_threads

from autorec_np import AutoRec, RankingAutoRec, make_ratings
from autorec_np.core.network import Network
from autorec_np.distributed import columns, fit_distributed, full_batch

pytest.importorskip("distributed", reason="the extra dask is not installed")

RATINGS = make_ratings(120, 80, 2500, random_state=0)
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, "batch_size": 30}
MODELS = {
    "ratings": {"implicit": 0, "inputs": "ratings"},
    "planes": {"implicit": 0, "inputs": "planes"},
    "implicit": {},
    "users": {"orientation": "user", "corruption": 0.3},
    "sgd": {"solver": "sgd", "corruption": 0.0},
    "deep": {"hidden_layer_sizes": (7, 6), "dtype": "float64"},
    "bounded": {"output_activation": "sigmoid", "regularization": 1.0},
    "early": {"early_stopping": True, "n_iter_no_change": 1, "tol": 0.5},
}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setattr(columns, "threads_of_worker", worker_threads)
    kept = {}
    for module in (columns, full_batch):
        monkeypatch.setattr(module, "kept", kept)


def fitted_by(n_workers, name, folder, **changes):
    model = AutoRec(**SMALL | MODELS[name] | changes)
    return fit_distributed(model, RATINGS, FakeClient(n_workers), folder)


@pytest.mark.parametrize("name", MODELS)
def test_one_shard_has_the_bits_of_a_fit(name, tmp_path):
    alone = AutoRec(**SMALL | MODELS[name]).fit(RATINGS)
    shared = fitted_by(1, name, tmp_path)
    assert np.array_equal(shared.theta_, alone.theta_)
    assert np.array_equal(shared.codes_, alone.codes_)
    assert shared.loss_curve_ == alone.loss_curve_
    assert shared.validation_curve_ == alone.validation_curve_
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n_workers", [2, 3])
def test_more_shards_have_its_numbers(name, n_workers, tmp_path):
    wide = {"dtype": "float64"}
    alone = AutoRec(**SMALL | MODELS[name] | wide).fit(RATINGS)
    shared = fitted_by(n_workers, name, tmp_path, **wide)
    np.testing.assert_allclose(shared.theta_, alone.theta_, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(shared.loss_curve_, alone.loss_curve_, rtol=1e-12)


def test_columns_are_taken_and_put_back():
    network = Network(7, (3, 2), n_inputs=14)
    theta = np.arange(float(network.layout.size))
    ours, others = np.array([0, 2, 5]), np.array([1, 3, 4, 6])
    part = columns.take(network, theta, ours)
    own = Network(3, (3, 2), n_inputs=6)
    assert part.size == own.layout.size
    views, parts = network.layout.views(theta), own.layout.views(part)
    assert np.array_equal(parts["decoder.weight"], views["decoder.weight"][ours])
    assert np.array_equal(parts["encoder.weight"][3:], views["encoder.weight"][7 + ours])
    assert np.array_equal(parts["hidden1.weight"], views["hidden1.weight"])
    copy = np.zeros_like(theta)
    for some in (ours, others):
        columns.put(network, copy, some, columns.take(network, theta, some))
    assert np.array_equal(copy, theta)


REFUSED = {
    "tied": ({"tied": True}, "use tied=False"),
    "dropout": ({"dropout": 0.5}, "use dropout=0"),
    "plain": ({"engine": "plain"}, "engine='tiled'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_so_is_refused(name, tmp_path):
    changes, advice = REFUSED[name]
    model = AutoRec(**SMALL | changes)
    with pytest.raises(ValueError, match=advice):
        fit_distributed(model, RATINGS, FakeClient(2), tmp_path)
    assert not hasattr(model, "fitted_")


def test_lists_and_features_are_refused(tmp_path):
    with pytest.raises(ValueError, match="solver='lbfgs'"):
        fit_distributed(RankingAutoRec(**SMALL), RATINGS, FakeClient(2), tmp_path)
    genres = pd.DataFrame(np.eye(RATINGS.n_items)[:, :3], index=RATINGS.item_ids)
    told = RATINGS.with_features(items=genres)
    with pytest.raises(ValueError, match="ratings without features"):
        fit_distributed(AutoRec(**SMALL), told, FakeClient(2), tmp_path)


def test_a_part_that_is_asked_for_again_is_lost():
    shard = object.__new__(columns.Shard)
    shard.turn = 3
    with pytest.raises(ConnectionError, match="lost"):
        shard.ask(2, None)
    with pytest.raises(ConnectionError, match="lost"):
        columns.shard(None, 0)
