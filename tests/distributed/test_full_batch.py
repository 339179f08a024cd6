"""A full batch in blocks of rows on several workers, here without processes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from fake_dask import FakeClient, worker_threads
from hypothesis import given
from hypothesis import strategies as st

from autorec_np import AutoRec, RankingAutoRec, make_ratings
from autorec_np.distributed import fit_distributed, full_batch
from autorec_np.engine.engines import add_up, left_half
from autorec_np.training import trainer

pytest.importorskip("distributed", reason="the extra dask is not installed")

RATINGS = make_ratings(60, 40, 900, random_state=0)
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 6, "random_state": 0, "n_jobs": 1}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setattr(full_batch, "threads_of_worker", worker_threads)
    monkeypatch.setattr(trainer, "ENTRIES_PER_BLOCK", 120)
    monkeypatch.setattr(full_batch, "kept", {})


def same(one, other):
    return np.array_equal(one.theta_, other.theta_) and one.loss_curve_ == other.loss_curve_


@pytest.mark.filterwarnings("ignore::autorec_np.training.ConvergenceWarning")
@pytest.mark.parametrize(
    ("kind", "changes", "n_workers"),
    [
        *((AutoRec, {"solver": "lbfgs"}, n_workers) for n_workers in (1, 2, 3, 4, 9)),
        (AutoRec, {"solver": "rprop"}, 3),
        (AutoRec, {"solver": "scipy-lbfgs"}, 2),
        (AutoRec, {"solver": "lbfgs", "engine": "plain", "inputs": "planes"}, 3),
        (AutoRec, {"solver": "rprop", "engine": "plain", "tied": True}, 4),
        (RankingAutoRec, {"solver": "lbfgs", "values": "counts"}, 3),
    ],
    ids=str,
)
def test_a_fit_has_the_bits_of_one_process(kind, changes, n_workers, tmp_path):
    alone = kind(**SMALL, **changes).fit(RATINGS)
    client = FakeClient(n_workers)
    shared = fit_distributed(kind(**SMALL, **changes), RATINGS, client, tmp_path)
    assert same(shared, alone)
    assert shared.n_evaluations_ == alone.n_evaluations_
    n_blocks = 8
    places = {address for name, (address,) in filter(all, client.tasks) if name != "forget"}
    assert len(places) == min(n_workers, n_blocks)
    assert list(tmp_path.iterdir()) == []
    assert full_batch.kept == {}


@given(st.integers(1, 300), st.integers(1, 20))
def test_workers_have_runs_of_blocks_of_about_one_length(n_blocks, n_workers):
    bounds = full_batch.cut(n_blocks, n_workers)
    lengths = np.diff(bounds)
    assert bounds[0] == 0
    assert bounds[-1] == n_blocks
    assert min(lengths) >= 0
    assert max(lengths) <= np.ceil(n_blocks / n_workers) * (1 + 1 / full_batch.PARTS) + 1


@given(st.integers(1, 300), st.integers(0, 6))
def test_branches_of_the_tree_are_sums_of_their_own(n_terms, level):
    size = 1 << level

    def branch(number):
        return add_up(str, "({}+{})".format, number * size, min((number + 1) * size, n_terms))

    whole = add_up(str, "({}+{})".format, 0, n_terms)
    assert add_up(branch, "({}+{})".format, 0, -(-n_terms // size)) == whole


def test_the_left_half_is_a_power_of_two():
    assert [left_half(n) for n in range(2, 10)] == [1, 2, 2, 4, 4, 4, 4, 8]


def test_a_recipe_names_the_files_of_arrays(tmp_path):
    stored = np.arange(100_000.0)
    stored.tofile(tmp_path / "stored")
    mapped = np.memmap(tmp_path / "stored", np.float64, "r", 8_000, (90_000,))
    values = {
        "a view of a file": np.asarray(mapped)[10_000:],
        "every other": mapped[::2],
        "in memory": np.ones((200, 300), np.float32),
        "short": np.arange(3),
        "objects": np.array(["a", None] * 9000, object),
    }
    full_batch.write(tmp_path / "recipe", values)
    found = pickle.loads((tmp_path / "recipe").read_bytes())
    for name, value in values.items():
        assert np.array_equal(found[name], value), name
        assert found[name].dtype == value.dtype
    assert sorted(path.name for path in tmp_path.iterdir()) == ["array-0", "recipe", "stored"]
    assert (tmp_path / "array-0").stat().st_size == 240_000
    with pytest.raises(ValueError, match="read-only"):
        found["in memory"][0] = 2.0


def test_what_is_added_up_is_aligned():
    odd = np.zeros(9, np.uint8)[1:].view(np.float32)
    assert not odd.flags.aligned
    assert full_batch.aligned(odd).flags.aligned
    _, total = full_batch.add((1.0, odd), (2.0, odd))
    assert total.flags.aligned


def test_an_implicit_decoder_is_refused(tmp_path):
    model = AutoRec(solver="lbfgs", implicit=2, **SMALL)
    with pytest.raises(ValueError, match="use implicit=0, or solver='adam'"):
        fit_distributed(model, RATINGS, FakeClient(2), tmp_path)
    assert list(tmp_path.iterdir()) == []
