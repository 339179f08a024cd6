"""A line search for the strong Wolfe conditions, on a function of one variable.

Nocedal and Wright (2006), algorithms 3.5 and 3.6, with safeguarded cubic interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

SUFFICIENT_DECREASE = 1e-4
CURVATURE = 0.9
LONGEST_GROWTH = 10.0  # of the step, from trial to trial while bracketing


class Trial(NamedTuple):
    """phi(step), phi'(step), and what else came with them."""

    step: float
    value: float
    slope: float
    payload: Any = None


def strong_wolfe(
    phi: Callable[[float], Trial],
    start: Trial,
    first_step: float,
    *,
    noise: float = 0.0,
    max_evaluations: int = 20,
) -> Trial | None:
    """Find a step with phi(a) <= phi(0) + c1 a phi'(0) and |phi'(a)| <= c2 |phi'(0)|.

    Parameters
    ----------
    phi : callable
        step -> Trial. A value that is not finite counts as too high.
    start : Trial
        Of step 0; its slope must be negative.
    first_step : float
    noise : float
        Rounding error of phi: a value this much too high is still a sufficient decrease.
    max_evaluations : int

    Returns
    -------
    Trial or None
        None where no sufficient decrease was found. Where the evaluations ran out, the lowest
        trial with one, whatever its slope.
    """

    def decreases(trial: Trial) -> bool:
        ceiling = start.value + SUFFICIENT_DECREASE * trial.step * start.slope + noise
        return math.isfinite(trial.value) and trial.value <= ceiling

    def is_flat(trial: Trial) -> bool:
        return abs(trial.slope) <= -CURVATURE * start.slope

    low, high = start, None  # the best so far; None: no minimum is bracketed yet
    step = first_step
    for _ in range(max_evaluations):
        trial = phi(step)
        if not decreases(trial) or (low is not start and trial.value > low.value + noise):
            high = trial
        elif is_flat(trial):
            return trial
        else:
            if trial.slope * ((math.inf if high is None else high.step) - low.step) >= 0:
                high = low
            low = trial
        step = LONGEST_GROWTH * low.step if high is None else _interpolate(low, high)
        if high is not None and step in (low.step, high.step):
            break
    return low if low is not start else None


def _interpolate(low: Trial, high: Trial) -> float:
    """Return the minimizer of the cubic through both trials, kept off the ends of the bracket."""
    width = high.step - low.step
    if not (math.isfinite(high.value) and math.isfinite(high.slope)):
        return low.step + 0.1 * width
    d1 = low.slope + high.slope - 3 * (low.value - high.value) / (low.step - high.step)
    radicand = d1 * d1 - low.slope * high.slope
    d2 = math.copysign(math.sqrt(max(radicand, 0.0)), width)
    denominator = high.slope - low.slope + 2 * d2
    if radicand < 0 or denominator == 0:
        return low.step + 0.5 * width
    step = high.step - width * (high.slope + d2 - d1) / denominator
    near, far = sorted((low.step + 0.1 * width, high.step - 0.1 * width))
    return min(max(step, near), far)
