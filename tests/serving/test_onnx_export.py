"""The exported network, run by onnxruntime, gives the scores of the model."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from full_disk import full_disk
from scipy import sparse

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.kernels import with_data
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import GlobalMean
from autorec_np.serving.model_file import export_onnx

SMALL = {"max_iter": 3, "random_state": 0, "implicit": 0, "inputs": "ratings"}
MODELS = {
    "plain": {},
    "deep": {"hidden_layer_sizes": (6, 4), "activation": "tanh"},
    "tied": {"hidden_layer_sizes": (6, 4, 6), "tied": True},
    "mean": {"baseline": "mean"},
    "none": {"baseline": None},
    "explicit": {"regularization": 5.0},
    "sigmoid output": {"output_activation": "sigmoid"},
    "tanh output": {"output_activation": "tanh"},
    "relu": {"activation": "relu", "output_activation": "relu"},
    "elu": {"activation": "elu", "output_activation": "elu"},
    "softplus": {"activation": "softplus", "output_activation": "softplus"},
    "float64": {"dtype": "float64"},
    "implicit": {"implicit": 4},
    "planes": {"inputs": "planes"},
    "implicit and planes": {"implicit": 4, "inputs": "planes", "hidden_layer_sizes": (6, 5)},
    "planes without a baseline": {"inputs": "planes", "baseline": None},
    "planes, sigmoid output": {"inputs": "planes", "output_activation": "sigmoid"},
    "lbfgs": {"solver": "lbfgs", "max_iter": 50, "tol": 0.1, "n_iter_no_change": 1},
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def run(path, model, rows, missing=0.0):
    """Return the scores of some rows of the model's own ratings."""
    runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    matrix = model.ratings_.matrix
    by_item = model.orientation_ == "item"
    dense = (matrix.T if by_item else matrix).toarray()
    stored = with_data(matrix, np.ones(matrix.nnz)).toarray() > 0
    dense[~(stored.T if by_item else stored)] = missing
    feed = {"ratings": dense[rows].astype(np.float32)}
    if hasattr(model.baseline_, "biases_") or model.inputs_ == "planes":
        biases = model.cold_baseline_.biases_
        row_bias = (biases.item if by_item else biases.user)[rows, np.newaxis]
        feed["row_bias"] = row_bias.astype(np.float32)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == feed.keys()
    (scores,) = session.run(["scores"], feed)
    return scores


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_gives_the_scores_of_the_model(name, orientation, path):
    pytest.importorskip("onnx", reason="needs the package onnx")
    options = {"hidden_layer_sizes": (6,), **SMALL, **MODELS[name]}
    ratings = make_ratings(n_users=30, n_items=20, n_ratings=300, random_state=4)
    model = AutoRec(orientation, **options).fit(ratings)
    export_onnx(model, path)
    everyone = np.arange(30)
    expected = model.fitted_.score_all_items(everyone)
    if orientation == "item":
        expected = expected.T
    rows = np.arange(len(expected))
    np.testing.assert_allclose(run(path, model, rows), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(run(path, model, rows[3:4]), expected[3:4], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"baseline": None}, {"regularization": 5.0}, {"inputs": "planes"}], ids=str
)
def test_a_rating_of_0_is_told_from_no_rating_by_nan(options, path):
    pytest.importorskip("onnx", reason="needs the package onnx")
    generator = np.random.default_rng(0)
    users, items = np.divmod(np.sort(generator.choice(60, 45, replace=False)), 6)
    matrix = sparse.csr_array((generator.integers(0, 3, 45).astype(float), (users, items)))
    model = AutoRec("user", hidden_layer_sizes=(3,), activation="identity", **{**SMALL, **options})
    model.fit(matrix)
    assert (model.ratings_.matrix.data == 0).any()
    export_onnx(model, path)
    rows = np.arange(10)
    expected = model.fitted_.score_all_items(rows)
    np.testing.assert_allclose(run(path, model, rows, np.nan), expected, rtol=0, atol=1e-5)
    if options == {"baseline": None}:  # an input of its own, which is not that of no rating
        assert np.abs(run(path, model, rows, 0.0) - expected).max() > 1e-5


@pytest.mark.parametrize("unit", [(0.2, 20.0), (1000.0, -4e5)], ids=str)
def test_ratings_in_other_units_are_read_as_in_training(unit, path):
    pytest.importorskip("onnx", reason="needs the package onnx")
    factor, offset = unit
    users, items, values = make_ratings(30, 20, 300, random_state=4).triples()
    model = AutoRec("user", **SMALL, hidden_layer_sizes=(6,), activation="tanh")
    model.fit((users, items, factor * values.astype(float) + offset))
    export_onnx(model, path)
    rows = np.arange(30)
    expected = model.fitted_.score_all_items(rows)
    for missing in (0.0, np.nan):
        scores = run(path, model, rows, missing)
        np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-4 * factor)


def test_the_file_is_a_valid_model_with_each_weight_once(path):
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    model = AutoRec(hidden_layer_sizes=(50,), tied=True, **SMALL).fit(make_ratings(random_state=0))
    export_onnx(model, str(path))
    loaded = onnx.load(path)
    onnx.checker.check_model(loaded, full_check=True)
    assert loaded.producer_name == "autorec_np"
    assert path.stat().st_size < 1.1 * model.theta_.nbytes + 20_000


def test_every_activation_has_an_operator():
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    assert all(onnx.defs.has(name.capitalize()) for name in ACTIVATIONS)


def test_refusals(path, monkeypatch):
    ratings = make_ratings(n_users=30, n_items=20, n_ratings=300, random_state=4)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnx", None)
        with pytest.raises(ImportError, match=r"pip install 'autorec_np\[onnx\]'"):
            export_onnx(AutoRec(), path)
    pytest.importorskip("onnx", reason="needs the package onnx")
    with pytest.raises(NotFittedError, match=r"call fit\(ratings\) first"):
        export_onnx(AutoRec(), path)
    with pytest.raises(TypeError, match="can export an AutoRec, got GlobalMean"):
        export_onnx(GlobalMean().fit(ratings), path)
    told = ratings.with_features(items=pd.DataFrame(np.eye(20), ratings.item_ids))
    with pytest.raises(ValueError, match="a network that reads features; fit on ratings without"):
        export_onnx(AutoRec(**SMALL).fit(told), path)
    export_onnx(AutoRec("user", **SMALL).fit(told), path)  # reads none
    with pytest.raises(OSError, match=r".+"):
        export_onnx(AutoRec(**SMALL, hidden_layer_sizes=(3,)).fit(ratings), path / "missing")


def test_a_full_disk_leaves_the_file_that_was_there(path):
    pytest.importorskip("onnx", reason="needs the package onnx")
    model = AutoRec(hidden_layer_sizes=(4,), **SMALL).fit(make_ratings(9, 8, 30, random_state=0))
    path.write_text("before")
    with full_disk(500), pytest.raises(OSError, match="File too large"):
        export_onnx(model, path)
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]
