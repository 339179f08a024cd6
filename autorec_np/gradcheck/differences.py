"""Directional derivatives by differences, and how far they can be off."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from .function import MOST_DIGITS, Array, Function

RATIO = 4.0
SAFETY = 8.0
_CLEAR = 2.0  # a slope is seen clearly above so many budgets
_BENT = (3.0, 8.0)  # growth of the even part from 4h to 16h: 4 beyond a kink, 16 for a parabola
_STEEP, _NOT_ROUNDING = 1e-4, 1e3  # see too_steep


@dataclass(frozen=True)
class Method:
    name: str
    order: int
    step_exponent: float  # nominal step = eps ** step_exponent * scale


CENTRAL = Method("central", 2, 1 / 3)
FORWARD = Method("forward", 1, 1 / 2)


@dataclass(frozen=True)
class Sample:
    """The odd and the even part of what f departs from its analytic slope at a step."""

    step: float
    odd: float
    even: float
    values: tuple[float, ...]
    stuck: bool  # every value equals phi(0)

    @property
    def size(self) -> float:
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
    slope: float = 0.0  # the analytic one, or what a parabola gains up to 16h if that is more
    bent: bool = False  # the even part grows with h, as beyond a kink, not with its square
    dispute: float = 0.0  # with larger steps that call the gradient right

    @property
    def budget(self) -> float:
        parts = self.truncation + self.roughness + self.noise + self.analytic_noise
        return parts + self.dispute

    def sees_a_slope(self) -> bool:
        return self.slope > _CLEAR * self.budget

    @property
    def excess(self) -> float:
        """The error in units of the budget: above 1 the gradient is wrong."""
        if self.error == 0:
            return 0.0
        return abs(self.error) / self.budget if self.budget > 0 else np.inf


class Line:
    """f along `direction` (rms 1) of the entries `index`; `scale` is the unit of the steps.

    Points on another linear piece than theta, as `pattern` names them, are skipped.
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
        return float(self.function.eps**self.method.step_exponent * self.scale)

    def _piece_at(self, flat: Array) -> Array:
        assert self.pattern is not None
        return np.asarray(self.pattern(flat.reshape(self.function.shape)))

    def point(self, t: float) -> Array:
        moved = self.function.theta.copy()
        moved[self.index] += t * self.direction
        return self.function.rounded(moved)

    def sample(self, step: float) -> Sample | None:
        signs = (1.0, -1.0) if self.method is CENTRAL else (self.side,)
        center = self.function.value0
        values, departures = [], []
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
            departures.append(value - center - float(self.gradient @ move))
        if self.method is CENTRAL:
            odd, even = (departures[0] - departures[1]) / 2, (departures[0] + departures[1]) / 2
        else:
            odd, even = self.side * departures[0], np.nan
        return Sample(step, odd, even, (center, *values), all(v == center for v in values))


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
    """Return what no smooth function explains, in units of f."""
    odd, even = [s.odd for s in triple], [s.even for s in triple]
    if method is FORWARD:
        return [_residual(_FORWARD_NOISE, odd)]
    return [_residual(_ODD_NOISE, odd) * 2**0.5, _residual(_EVEN_NOISE, even) * 2**0.5]


def _residual(weights: Sequence[float], parts: Sequence[float]) -> float:
    return abs(sum(w * part for w, part in zip(weights, parts, strict=True)))


def noise_level(residuals: Sequence[float]) -> float:
    """Return their standard deviation, by the median: kinks are outliers."""
    return 1.4826 * statistics.median(residuals) if residuals else 0.0


def value_grid(values: Sequence[float]) -> float:
    """Return the power of two or of ten whose multiples all values are."""
    distinct = set(values) - {0.0}
    if len(distinct) < 2:
        return 0.0
    ratios = (value.as_integer_ratio() for value in distinct)
    binary = min(float(p & -p) if q == 1 else 1 / q for p, q in ratios)
    return max(binary, _decimal_grid(distinct))


def _decimal_grid(values: set[float]) -> float:
    """Return the last decimal place of values that somebody rounded: all have few digits."""
    texts = [repr(value) for value in values]
    if max(map(len, texts)) > MOST_DIGITS + len("-0.e-00"):
        return 0.0
    places = []
    for text in texts:
        _, digits, exponent = Decimal(text).normalize().as_tuple()
        if len(digits) > MOST_DIGITS:
            return 0.0
        places.append(int(exponent))
    return float(10.0 ** min(places))


def rounding_noise(function: Function, samples: Sequence[Sample]) -> float:
    return max(function.eps * max(s.size for s in samples), coarseness(function, samples))


def coarseness(function: Function, samples: Sequence[Sample]) -> float:
    values = [v for s in samples for v in s.values]
    changes = [abs(v - function.value0) for v in values if v != function.value0]
    # Where f does not move at all, its values may be quantized as coarsely as its first change.
    stuck_grid = min(changes) if changes and min(samples, key=lambda s: s.step).stuck else 0.0
    return max(function.jitter, value_grid(values), stuck_grid)


def estimate(triple: Sequence[Sample], noise: float, analytic_noise: float, line: Line) -> Estimate:
    """Judge at the smallest of three steps."""
    h, widest = triple[0].step, triple[2].step
    errors = [s.odd / s.step for s in triple]
    shrink = RATIO**line.method.order
    truncation = max(abs(errors[0] - errors[1]), abs(errors[1] - errors[2]) / shrink)
    slope = abs(line.analytic)
    if line.method is FORWARD:
        noise = 2 * SAFETY * noise / h
        return Estimate(h, errors[0], truncation, 0.0, noise, analytic_noise, slope)
    even = [s.even for s in triple]
    near, far = abs(even[1] / RATIO**2 - even[0]), abs(even[2] / RATIO**2 - even[1])
    parabolic = far <= abs(even[1]) / 2
    seen = [value for value in even if abs(value) > SAFETY * noise]
    growth = [after / before for before, after in itertools.pairwise(seen)]
    bent = bool(growth) and all(_BENT[0] < ratio < _BENT[1] for ratio in growth)
    return Estimate(
        step=h,
        error=errors[0],
        truncation=truncation,
        roughness=max(near / h, far / (RATIO * h)),
        noise=SAFETY * noise / h,
        analytic_noise=analytic_noise,
        slope=max(slope, 2 * abs(even[2]) / widest) if parabolic else slope,
        bent=bent,
    )


def sweep_estimates(
    line: Line, samples: Sequence[Sample | None], analytic_noise: float
) -> list[Estimate]:
    """The noise of a step is measured at this and smaller ones: larger ones may show curvature."""
    function, level = line.function, 0.0
    found: list[Estimate] = []
    windows: list[list[float]] = []
    usable = [s for s in samples if s is not None]
    # Where smaller steps leave the value as it is, it or theta is rounded, and by as much.
    first_change = next((_largest_move(function, s) for s in usable if not s.stuck), 0.0)
    for first, second, third in zip(samples, samples[1:], samples[2:], strict=False):
        if first is None or second is None or third is None:
            continue
        triple = (first, second, third)
        windows.append(measured_noise(triple, line.method))
        level = max(level, noise_level([r for window in windows[-4:] for r in window]))
        larger = [s for s in usable if s.step >= first.step]
        noise = max(level, rounding_noise(function, [*triple, *(larger if first.stuck else [])]))
        if usable[0].stuck:
            noise = max(noise, first_change)
        found.append(estimate(triple, noise, analytic_noise, line))
    return found


def _largest_move(function: Function, sample: Sample) -> float:
    return max(abs(v - function.value0) for v in sample.values)


def judging(estimates: Sequence[Estimate]) -> Estimate:
    """Return the estimate with the smallest budget, once each has heard all the others.

    * Truncation falls with the step, so at a step h it is at least what any smaller step departs
      from it, noise aside: a bounded function looks flat at large steps (Lepski's rule).
    * Where a larger step sees the slope clearly and calls the gradient right, a smaller one that
      calls it wrong may be right about f and still be misled: values that are rounded inside have
      another slope below their grid. Their dispute widens the budget.
    """
    best = min((_heard(e, estimates) for e in estimates), key=lambda e: e.budget)
    if best.excess <= 1:
        return best
    against = [o for o in estimates if o.step > best.step and o.excess <= 1 and o.sees_a_slope()]
    gaps = [(abs(o.error - best.error), o.budget) for o in against]
    disputes = (gap + budget for gap, budget in gaps if gap > budget + best.budget)
    return replace(best, dispute=max(disputes, default=0.0))


def _heard(estimate: Estimate, estimates: Sequence[Estimate]) -> Estimate:
    smaller = (o for o in estimates if o.step < estimate.step)
    shown = (
        abs(o.error - estimate.error) - o.noise - estimate.noise - estimate.analytic_noise
        for o in smaller
    )
    return replace(estimate, truncation=max([estimate.truncation, *shown]))


def in_dead_zone(function: Function, samples: Sequence[Sample], slope: float) -> bool:
    rounding = function.eps * max(s.size for s in samples)
    return any(s.stuck and abs(slope) * s.step > SAFETY * rounding for s in samples)


def too_steep(function: Function, samples: Sequence[Sample]) -> bool:
    """Whether f moves at the smallest steps by a visible part of all that it moves."""
    moves = [_largest_move(function, s) for s in samples]
    least = min(moves[:3])
    rounded = rounding_noise(function, samples[:3])
    return least > _STEEP * max(moves) and least > _NOT_ROUNDING * rounded


def one_sided(samples: Sequence[Sample], noise: float) -> tuple[Estimate, Estimate] | None:
    """Return the errors of the left and right slope if theta lies on a kink, else None.

    There the gap between the slopes, 2 even(h) / h, keeps its size while h shrinks.
    """
    seen = [s for s in samples if abs(s.even) > SAFETY * noise]
    if len(seen) < 5:
        return None
    gaps = [s.even / s.step for s in seen]
    kept = [0.5 < gap / gaps[4] < 2.0 for gap in gaps]
    if not all(kept[1:5]):
        return None
    seen = seen[: kept.index(False, 5) if False in kept[5:] else None]
    sides = []
    for sign in (-1.0, 1.0):
        errors = [(s.odd + sign * s.even) / s.step for s in seen]
        candidates = [
            Estimate(a.step, e, abs(e - f), 0.0, 2 * SAFETY * noise / a.step, 0.0)
            for a, e, f in zip(seen, errors, errors[1:], strict=False)
        ]
        sides.append(min(candidates, key=lambda c: c.budget))
    return sides[0], sides[1]
