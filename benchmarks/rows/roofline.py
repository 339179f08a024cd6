"""The machine's limits, and where the sparse products stand below them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np

from benchmarks import ours
from benchmarks.data import by_item, split_for
from benchmarks.harness import Measurement, Result, Setting, alternate

K = 500
SIDE = 2048  # of the square matrices of the GEMM
COPIED = 2**28  # bytes


def run(setting: Setting) -> Result:
    """Measure GEMM (float32, 1 and 2 threads), copy, SciPy's sparse product, and ours."""
    rng = np.random.default_rng(0)
    left, right = rng.random((2, SIDE, SIDE), np.float32)
    source = rng.random(COPIED // 4, np.float32)
    target = np.empty_like(source)
    matrix = ours.in_order(by_item(split_for(setting.quick)[0]))
    dense = rng.random((matrix.shape[1], K), np.float32)
    theta = ours.initial_theta(matrix.shape[1], K)
    fun = ours.value_and_gradient(matrix, K, out=np.empty_like(theta))
    product = 2.0 * matrix.nnz * K  # operations of one sparse product

    def multiply(threads: int) -> None:
        with limited(threads):
            left @ right

    contestants = {
        "GEMM, 1 thread": lambda: multiply(1),
        "GEMM, 2 threads": lambda: multiply(2),
        "copy": lambda: np.copyto(target, source),
        "SciPy CSR product": lambda: matrix @ dense,
        "autorec_np value and gradient": lambda: fun(theta),
    }
    absent = {}
    if limited(1).__class__ is nullcontext:
        absent["GEMM, 1 thread"] = "threadpoolctl is not installed"
        del contestants["GEMM, 1 thread"]
    operations = {
        "GEMM, 1 thread": 2.0 * SIDE**3,
        "GEMM, 2 threads": 2.0 * SIDE**3,
        "SciPy CSR product": product,
        "autorec_np value and gradient": 5 * product,
    }
    measurements = alternate(contestants, setting.repeats)
    for measurement in measurements:
        fill_in(measurement, operations.get(measurement.label))
    notes = [
        "Five sparse products are counted for a value and gradient. A sparse product of k columns "
        "reads a row of 4 k bytes for 2 k operations: 0.5 operations a byte where no row is "
        "found in a cache. Copy counts bytes read and written."
    ]
    return Result(measurements, absent, notes)


def limited(threads: int) -> AbstractContextManager[object]:
    """Return a context in which BLAS uses so many threads; without threadpoolctl an empty one."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[object] = threadpool_limits(threads)
    return limits


def fill_in(measurement: Measurement, operations: float | None) -> None:
    """Add GFLOP/s, or GB/s for the copy."""
    if operations is None:
        measurement.figures["GB/s"] = 2 * COPIED / measurement.median / 1e9
    else:
        measurement.figures["GFLOP/s"] = operations / measurement.median / 1e9
