"""Fits of `AutoRec` in processes of their own: the time of an epoch, the memory."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from autorec_np import AutoRec
from benchmarks import ours
from benchmarks.data import planted
from benchmarks.harness import THREADS, in_own_process, peak_memory


def write_planted(folder: str, *shape: int) -> None:
    """Write made-up ratings as the three arrays of a CSR array."""
    matrix = planted(*shape).matrix
    for name in ("data", "indices", "indptr"):
        np.save(Path(folder, name), getattr(matrix, name))


def read(folder: str, n_items: int) -> sparse.csr_array:
    """Read what :func:`write_planted` wrote."""
    data, indices, indptr = (
        np.load(Path(folder, f"{name}.npy")) for name in ("data", "indices", "indptr")
    )
    return sparse.csr_array((data, indices, indptr), shape=(len(indptr) - 1, n_items))


def train(folder: str, n_items: int, settings: dict[str, Any]) -> dict[str, float]:
    """Fit on stored ratings; return seconds of the last epoch and of the fit, and bytes."""
    matrix = read(folder, n_items)
    before = peak_memory()
    marks = [time.perf_counter()]
    plain = {"hidden_layer_sizes": (500,), "implicit": 0, "inputs": "ratings", **settings}
    model = AutoRec(n_jobs=THREADS, random_state=0, verbose=True, **plain)
    with ours.after_each_epoch(lambda: marks.append(time.perf_counter())):
        model.fit(matrix)
    return {
        "epoch": marks[-1] - marks[-2],
        "fit": time.perf_counter() - marks[0],
        "peak": peak_memory(),
        "before": before,
        "theta": model.theta_.nbytes,
        "data": matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes,
    }


def trained(shape: tuple[int, int, int], fits: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Make ratings in one process and fit each model in another."""
    with tempfile.TemporaryDirectory() as folder:
        in_own_process(write_planted, folder, *shape)
        return [in_own_process(train, folder, shape[1], settings) for settings in fits]
