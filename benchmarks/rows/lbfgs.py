"""What L-BFGS costs beside its function: the time between two evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from autorec_np.core.kernels import Array
from autorec_np.core.optimizers import minimize_lbfgs, minimize_scipy_lbfgs
from autorec_np.engine.threads import workers
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
    limits = {"max_iter": full + setting.repeats, "tol": 0.0, "memory": MEMORY}
    with workers(THREADS) as executor:
        solvers = {
            "autorec_np": partial(minimize_lbfgs, executor=executor),
            "SciPy L-BFGS-B": minimize_scipy_lbfgs,
        }
        measurements = {label: Measurement(label) for label in solvers}
        for _ in range(1 if setting.quick else 2):
            for label, minimize in solvers.items():
                gaps = Gaps(fun)
                minimize(gaps, theta, **limits)
                measurements[label].seconds.extend(gaps.seconds[full:])
    note = f"k = {K}, {theta.size:,} parameters, memory {MEMORY}; the bar is .06 s."
    return Result(list(measurements.values()), notes=[note])
