"""What L-BFGS costs beside its function: the time between two evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from autorec_np._types import Array
from autorec_np.engine.engines import CompactPairs
from autorec_np.engine.threads import workers
from autorec_np.training.solvers import run_lbfgs, run_scipy_lbfgs
from benchmarks import ours
from benchmarks.data import by_item, split_for
from benchmarks.harness import THREADS, Measurement, Result, Setting

K, MEMORY = 500, 10


class Gaps:
    """A function that notes the seconds between its evaluations."""

    def __init__(self, fun: Callable[[Array], tuple[float, Array]]) -> None:
        self.fun = fun
        self.seconds: list[float] = []
        self._ended: float | None = None

    def __call__(self, theta: Array) -> tuple[float, Array]:
        if self._ended is not None:
            self.seconds.append(time.perf_counter() - self._ended)
        result = self.fun(theta)
        self._ended = time.perf_counter()
        return result


def run(setting: Setting) -> Result:
    """Minimize from the same start in turns; count gaps where the memory is full."""
    matrix = ours.in_order(by_item(split_for(setting.quick)[0]))
    fun, theta = ours.value_and_gradient(matrix, K), ours.initial_theta(matrix.shape[1], K)
    full = 3 if setting.quick else MEMORY + 2  # evaluations that fill the memory
    limits = {"max_iter": full + setting.repeats, "tol": 0.0}
    with workers(THREADS) as executor:
        solvers = {
            "autorec_np": lambda fun, theta: run_lbfgs(
                fun, theta, CompactPairs(theta, MEMORY, executor), **limits
            ),
            "SciPy L-BFGS-B": partial(run_scipy_lbfgs, memory=MEMORY, **limits),
        }
        measurements = {label: Measurement(label) for label in solvers}
        for _ in range(1 if setting.quick else 2):
            for label, minimize in solvers.items():
                gaps = Gaps(fun)
                minimize(gaps, theta)
                measurements[label].seconds.extend(gaps.seconds[full:])
    note = f"k = {K}, {theta.size:,} parameters, memory {MEMORY}; the bar is 0.06 s."
    return Result(list(measurements.values()), notes=[note])
