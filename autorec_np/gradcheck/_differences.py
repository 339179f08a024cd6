r"""Directional derivatives by finite differences, and the error budget that judges them.

Along a direction d let phi(t) = f(theta + t d) and let a = gradient . d be the analytic slope. At
a step h the *departure* of f from the analytic slope is measured, not the slope itself,

    odd(h)  = (phi(h) - phi(-h)) / 2 - gradient . (theta_plus - theta_minus) / 2
    even(h) = (phi(h) + phi(-h)) / 2 - phi(0)

with theta_plus and theta_minus the points really evaluated, so that rounding theta + h d costs
nothing. For a smooth f

    odd(h) / h = E + phi''' h^2 / 6 + O(h^4),     even(h) = phi'' h^2 / 2 + O(h^4)

and E, the error of the analytic slope, is wanted. ``odd(h) / h`` differs from it by no more than
the budget

    B(h) = T(h) + K(h) + N(h) + A

truncation
    T(h) = max(|e(h) - e(4h)|, |e(4h) - e(16h)| / 16) with e(h) = odd(h) / h. Where the h^2 term
    leads, each is 15 times the truncation error at h. Two, because one may vanish by chance.
roughness
    K(h) = max(|even(4h)/16 - even(h)| / h, |even(16h)/16 - even(4h)| / (4h)): of order h^3 phi''''
    where f is smooth, but of the size of the jump of the slope if a kink lies between -16h and 16h
    (the two cannot vanish together). So a step that straddles a kink is never trusted.
noise
    N(h) = 8 sigma / h with sigma the rounding noise of one value of f: at least eps |f|, at least
    the grid on which all observed values lie (values computed in float32, or with a large number
    added and subtracted, are multiples of a coarse power of two), and at least what is *measured*:
    the part of odd(h), odd(4h), odd(16h) that no h and h^3, and the part of even(h), even(4h),
    even(16h) that no h^2 and h^4 can explain.
analytic noise
    A = 8 (eps ||g * d|| + the change of gradient . d when theta moves by one ulp), with the eps of
    the gradient's dtype.

The step with the smallest budget judges (`judging` names the exception). No tolerance appears in
B: a wrong gradient is one whose error exceeds what truncation and rounding can explain.

One-sided differences (``method="forward"``) use e(h) = (phi(h) - phi(0)) / h - a = E + phi'' h / 2
with T divided by 4 in place of 16 and no K.

The annihilation of smooth terms to see the noise is in the spirit of Moré and Wild, "Estimating
computational noise", SIAM J. Sci. Comput. 33 (2011).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._function import Array, Function

RATIO = 4.0
SAFETY = 8.0
DECADES_DOWN, DECADES_UP = 7, 8  # powers of RATIO around the nominal step: 9 decades in all


@dataclass(frozen=True)
class Method:
    """A finite-difference formula: the order of its error and its optimal step."""

    name: str
    order: int
    step_exponent: float  # nominal step = eps ** step_exponent * scale


CENTRAL = Method("central", 2, 1 / 3)
FORWARD = Method("forward", 1, 1 / 2)


@dataclass(frozen=True)
class Sample:
    """Departures of f from the analytic slope at one step (module docstring)."""

    step: float
    odd: float
    even: float
    values: tuple[float, ...]
    stuck: bool  # every value equals phi(0)

    @property
    def size(self) -> float:
        """The largest magnitude among the values."""
        return max(abs(v) for v in self.values)


@dataclass(frozen=True)
class Estimate:
    """The error of the analytic slope as seen at one step, with the parts of its budget."""

    step: float
    error: float  # numeric - analytic
    truncation: float
    roughness: float
    noise: float
    analytic_noise: float
    curvature: float = 0.0  # |phi''|, as far as neither noise nor roughness explains it

    @property
    def budget(self) -> float:
        """B(h): the error that truncation and rounding can explain."""
        return self.truncation + self.roughness + self.noise + self.analytic_noise

    @property
    def excess(self) -> float:
        """The error in units of the budget: above 1 the gradient is wrong."""
        if self.error == 0:
            return 0.0
        return abs(self.error) / self.budget if self.budget > 0 else np.inf


class Line:
    """f along one direction through theta.

    Parameters
    ----------
    function : Function
    index : slice or int array
        The entries of theta that move.
    direction : ndarray
        How they move, rms 1.
    scale : float
        A typical size of theta along the direction: the unit of the steps.
    method : Method
    pattern : callable or None
        ``pattern(theta)`` names the linear piece of a piecewise function; points on another piece
        than theta are skipped.
    """

    def __init__(
        self,
        function: Function,
        index: slice | Array,
        direction: Array,
        scale: float,
        method: Method = CENTRAL,
        pattern: Callable[[Any], Any] | None = None,
    ) -> None:
        self.function, self.index, self.direction = function, index, direction
        self.scale, self.method, self.pattern = scale, method, pattern
        self.gradient = function.gradient[index]
        self.analytic = float(self.gradient @ direction)
        self.side = 1.0  # on which a one-sided difference looks
        self.crossed = 0  # steps skipped because the pattern changed
        self._piece = np.empty(0) if pattern is None else self._piece_at(function.theta)

    def nominal_step(self) -> float:
        """The step that balances truncation and rounding for a function of the scale's size."""
        return float(self.function.eps**self.method.step_exponent * self.scale)

    def _piece_at(self, flat: Array) -> Array:
        assert self.pattern is not None
        return np.asarray(self.pattern(flat.reshape(self.function.shape)))

    def point(self, t: float) -> Array:
        """Return theta + t d as the function will see it."""
        moved = self.function.theta.copy()
        moved[self.index] += t * self.direction
        return self.function.rounded(moved)

    def sample(self, step: float) -> Sample | None:
        """Return the departures at `step`, or None where a point must be skipped."""
        signs = (1.0, -1.0) if self.method is CENTRAL else (self.side,)
        values, moves = [], []
        for sign in signs:
            point = self.point(sign * step)
            move = point[self.index] - self.function.theta[self.index]
            if not move.any():
                return None  # the step is below the spacing of theta
            if self.pattern is not None and not np.array_equal(self._piece_at(point), self._piece):
                self.crossed += 1
                return None
            value = self.function.value(point)
            if not np.isfinite(value):
                return None
            values.append(value)
            moves.append(float(self.gradient @ move))
        return self._departures(step, values, moves)

    def _departures(self, step: float, values: list[float], moves: list[float]) -> Sample:
        center = self.function.value0
        departures = [v - center - m for v, m in zip(values, moves, strict=True)]
        if self.method is CENTRAL:
            odd, even = (departures[0] - departures[1]) / 2, (departures[0] + departures[1]) / 2
        else:
            odd, even = self.side * departures[0], np.nan
        stuck = all(v == center for v in values)
        return Sample(step, odd, even, (center, *values), stuck)


def _annihilator(powers: tuple[int, int]) -> tuple[float, float, float]:
    """Unit weights w with sum w_i h_i^p = 0 for both powers p at the steps h, 4h, 16h."""
    nodes = np.array([1.0, RATIO, RATIO**2])
    weights = np.cross(nodes ** powers[0], nodes ** powers[1])
    first, second, third = (weights / np.linalg.norm(weights)).tolist()
    return first, second, third


_ODD_NOISE = _annihilator((1, 3))
_EVEN_NOISE = _annihilator((2, 4))
_FORWARD_NOISE = _annihilator((1, 2))


def measured_noise(triple: Sequence[Sample], method: Method = CENTRAL) -> list[float]:
    """Return what no smooth function explains in three samples, in units of f."""
    if method is FORWARD:
        return [abs(sum(w * s.odd for w, s in zip(_FORWARD_NOISE, triple, strict=True)))]
    odd = sum(w * s.odd for w, s in zip(_ODD_NOISE, triple, strict=True))
    even = sum(w * s.even for w, s in zip(_EVEN_NOISE, triple, strict=True))
    return [abs(odd) * 2**0.5, abs(even) * 2**0.5]


def noise_level(residuals: Sequence[float]) -> float:
    """Return the standard deviation behind the residuals, by the median (kinks are outliers)."""
    return 1.4826 * statistics.median(residuals) if residuals else 0.0


def value_grid(values: Sequence[float]) -> float:
    """Return the largest power of two of which all values are multiples; 0 for a single value."""
    distinct = set(values) - {0.0}
    if len(distinct) < 2:
        return 0.0
    ratios = (value.as_integer_ratio() for value in distinct)
    return min(float(p & -p) if q == 1 else 1 / q for p, q in ratios)


def rounding_noise(function: Function, samples: Sequence[Sample]) -> float:
    """Return the least noise that values such as those of the samples can have."""
    values = [v for s in samples for v in s.values]
    changes = [abs(v - function.value0) for v in values if v != function.value0]
    floor = function.eps * max(abs(v) for v in values)
    # Where f does not move at all, its values may be quantized as coarsely as its first change.
    stuck_grid = min(changes) if changes and min(samples, key=lambda s: s.step).stuck else 0.0
    return max(floor, function.jitter, value_grid(values), stuck_grid)


def estimate(
    triple: Sequence[Sample], noise: float, analytic_noise: float, method: Method
) -> Estimate:
    """Return the error and its budget at the smallest of three steps h, 4h, 16h."""
    h = triple[0].step
    errors = [s.odd / s.step for s in triple]
    shrink = RATIO**method.order
    truncation = max(abs(errors[0] - errors[1]), abs(errors[1] - errors[2]) / shrink)
    if method is FORWARD:
        return Estimate(h, errors[0], truncation, 0.0, 2 * SAFETY * noise / h, analytic_noise)
    even = [s.even for s in triple]
    roughness = max(
        abs(even[1] / RATIO**2 - even[0]) / h,
        abs(even[2] / RATIO**2 - even[1]) / (RATIO * h),
    )
    widest = triple[2].step
    smooth_part = max(0.0, abs(even[2]) - SAFETY * noise - 2 * roughness * widest)
    return Estimate(
        step=h,
        error=errors[0],
        truncation=truncation,
        roughness=roughness,
        noise=SAFETY * noise / h,
        analytic_noise=analytic_noise,
        curvature=2 * smooth_part / widest**2,
    )


def sweep_estimates(
    function: Function,
    samples: Sequence[Sample | None],
    analytic_noise: float,
    method: Method,
) -> list[Estimate]:
    """Return the estimates of all triples of neighboring steps (ascending, None where skipped).

    The noise of a step is the largest level measured over four neighboring triples at this or a
    smaller step: larger steps may show curvature instead.
    """
    found: list[Estimate] = []
    windows: list[list[float]] = []
    level = 0.0
    usable = [s for s in samples if s is not None]
    for first, second, third in zip(samples, samples[1:], samples[2:], strict=False):
        if first is None or second is None or third is None:
            continue
        triple = (first, second, third)
        windows.append(measured_noise(triple, method))
        level = max(level, noise_level([r for window in windows[-4:] for r in window]))
        larger = [s for s in usable if s.step >= first.step]
        noise = max(level, rounding_noise(function, [*triple, *(larger if first.stuck else [])]))
        found.append(estimate(triple, noise, analytic_noise, method))
    return found


def judging(estimates: Sequence[Estimate]) -> Estimate:
    """Return the estimate with the smallest budget, if the others do not speak against it.

    It may call the gradient wrong only if

    * no smaller step contradicts it beyond both budgets: at large steps a bounded function always
      looks flat (Lepski's rule for the choice of a bandwidth), and
    * no step calls the gradient right and contradicts it: then one of the budgets is too small (a
      function rounded in some unknown way), and their disagreement widens the budget.
    """
    best = min(estimates, key=_budget)
    if best.excess <= 1:
        return best
    best = min((e for e in estimates if not _contradicted_below(e, estimates)), key=_budget)
    against = [o for o in estimates if o.excess <= 1 and _contradict(o, best)]
    if best.excess <= 1 or not against:
        return best
    disagreement = max(abs(o.error - best.error) for o in against)
    return replace(best, roughness=best.roughness + disagreement)


def _budget(estimate: Estimate) -> float:
    return estimate.budget


def _contradict(one: Estimate, other: Estimate) -> bool:
    return abs(one.error - other.error) > one.budget + other.budget


def _contradicted_below(estimate: Estimate, estimates: Sequence[Estimate]) -> bool:
    return any(o.step < estimate.step and _contradict(o, estimate) for o in estimates)


def in_dead_zone(function: Function, samples: Sequence[Sample], slope: float) -> bool:
    """Say whether f is constant near theta to the last bit, further than rounding can explain.

    With a slope, the value would have moved as soon as slope * step exceeds its rounding. That of
    an inactive relu, or of a step function, has not.
    """
    rounding = function.eps * max(s.size for s in samples)
    return any(s.stuck and abs(slope) * s.step > SAFETY * rounding for s in samples)


def one_sided(samples: Sequence[Sample], noise: float) -> tuple[Estimate, Estimate] | None:
    """Return the errors of the left and right slope if theta lies on a kink, else None.

    At a kink the gap between the two slopes, 2 even(h) / h, keeps its size while h shrinks; for a
    smooth f it shrinks with h. The gap is followed over three powers of 4 above the noise.
    """
    seen = [s for s in samples if abs(s.even) > SAFETY * noise]
    if len(seen) < 5:
        return None
    gaps = [s.even / s.step for s in seen[1:5]]
    if not all(0.5 < gap / gaps[-1] < 2.0 for gap in gaps):
        return None
    sides = []
    for sign in (-1.0, 1.0):
        errors = [(s.odd + sign * s.even) / s.step for s in seen]
        candidates = [
            Estimate(a.step, e, abs(e - f), 0.0, 2 * SAFETY * noise / a.step, 0.0)
            for a, e, f in zip(seen, errors, errors[1:], strict=False)
        ]
        sides.append(min(candidates, key=lambda c: c.budget))
    return sides[0], sides[1]
