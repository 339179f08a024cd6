"""Chapter two: L-BFGS with a strong-Wolfe line search, in the dtype of theta.

Nocedal and Wright (2006): the direction by the two-loop recursion (algorithm 7.4), the step by a
search for the strong Wolfe conditions (algorithms 3.5 and 3.6) with safeguarded cubic
interpolation, both put together in algorithm 7.5.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol

import numpy as np

from autorec_np._types import Array

SUFFICIENT_DECREASE, CURVATURE = 1e-4, 0.9  # of the strong Wolfe conditions
LONGEST_GROWTH = 10.0  # of a step along a line, from trial to trial while bracketing
MAX_EVALUATIONS = 20  # along one line


class Iterate(NamedTuple):
    """Where an iteration has led."""

    theta: Array
    value: float


class Pairs(Protocol):
    """What L-BFGS remembers of the curvature, and the arithmetic of long vectors."""

    def __len__(self) -> int:
        """Return the number of pairs."""

    def clear(self) -> None:
        """Forget all pairs."""

    def add(self, old: tuple[Array, Array], new: tuple[Array, Array]) -> None:
        """Keep the differences of (theta, gradient) between two points, if s . y is positive."""

    def direction(self, gradient: Array) -> tuple[Array, float]:
        """Return d = -P g, or -g without pairs, and g . d."""

    def move(self, theta: Array, step: float, direction: Array) -> Array:
        """Return theta + step d."""

    def dot(self, left: Array, right: Array) -> float:
        """Return left . right, accumulated in float64."""


class TwoLoop:
    """The last steps s and gradient differences y, and the two-loop recursion over them.

    Parameters
    ----------
    memory : int
        Pairs that are kept.
    """

    def __init__(self, memory: int = 10) -> None:
        self.pairs: deque[tuple[Array, Array, float]] = deque(maxlen=memory)

    def __len__(self) -> int:
        return len(self.pairs)

    def clear(self) -> None:
        """Forget all pairs."""
        self.pairs.clear()

    def add(self, old: tuple[Array, Array], new: tuple[Array, Array]) -> None:
        """Keep s and y, the differences of (theta, gradient), if s . y is positive."""
        s, y = new[0] - old[0], new[1] - old[1]
        curvature = self.dot(s, y)
        if curvature > 0 and self.dot(y, y) > 0:  # the latter may underflow
            self.pairs.append((s, y, 1 / curvature))

    def direction(self, gradient: Array) -> tuple[Array, float]:
        """Return d = -P g by algorithm 7.4, newest pair to oldest and back, and g . d."""
        q, coefficients = gradient, []
        for s, y, rho in reversed(self.pairs):
            coefficients.append(rho * self.dot(s, q))
            q = q - coefficients[-1] * y
        if self.pairs:
            s, y, rho = self.pairs[-1]
            q = q / (rho * self.dot(y, y))  # gamma = s.y / y.y
        for s, y, rho in self.pairs:
            q = q + (coefficients.pop() - rho * self.dot(y, q)) * s
        return -q, -self.dot(gradient, q)

    def move(self, theta: Array, step: float, direction: Array) -> Array:
        """Return theta + step d."""
        return np.asarray(theta + theta.dtype.type(step) * direction)

    def dot(self, left: Array, right: Array) -> float:
        """Return left . right, accumulated in float64."""
        return float(np.einsum("i,i->", left, right, dtype=np.float64))


def minimize_lbfgs(
    fun: Callable[[Array], tuple[float, Array]], theta: Array, pairs: Pairs | None = None
) -> Generator[Iterate, None, str]:
    """Yield the point and its value after each iteration, for as long as the value falls.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> (value, gradient)`` of the whole objective.
    theta : ndarray, (n,)
        Start; not changed.
    pairs : TwoLoop or another memory
        None: ``TwoLoop(10)``.

    Returns
    -------
    str
        Why no lower value can be found (the value of the generator's StopIteration).
    """
    pairs = TwoLoop() if pairs is None else pairs
    value, gradient = fun(theta)

    def along(step: float) -> Trial:
        point = pairs.move(theta, step, direction)
        value, gradient = fun(point)
        return Trial(step, value, pairs.dot(gradient, direction), (point, gradient))

    while True:
        direction, slope = pairs.direction(gradient)
        start = Trial(0.0, value, slope, (theta, gradient))
        if start.slope >= 0:
            return "the gradient is zero to rounding error"
        first_step = 1.0 if len(pairs) else 1.0 / math.sqrt(-start.slope)  # of length 1
        noise = float(np.finfo(theta.dtype).eps) * abs(value)
        found = strong_wolfe(along, start, first_step, noise=noise)
        if found is not None:
            pairs.add(start.point, found.point)
            theta, gradient = found.point
            value = found.value
            yield Iterate(theta, value)
        elif len(pairs):
            pairs.clear()  # stale, or spoiled by rounding: try steepest descent
        else:
            return "no lower value can be found at this precision"


class Trial(NamedTuple):
    """A step along a line, phi(step), phi'(step), and what else came with them."""

    step: float
    value: float
    slope: float
    point: Any = None


def strong_wolfe(
    phi: Callable[[float], Trial],
    start: Trial,
    first_step: float,
    *,
    noise: float = 0.0,
    max_evaluations: int = MAX_EVALUATIONS,
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
        step = LONGEST_GROWTH * low.step if high is None else interpolate(low, high)
        if high is not None and step in (low.step, high.step):
            break
    return low if low is not start else None


def interpolate(low: Trial, high: Trial) -> float:
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
