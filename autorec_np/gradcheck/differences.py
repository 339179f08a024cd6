"""Derivatives by differences, and how far they can be off."""

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


@dataclass(frozen=True)
class Method:
    order: int
    step_exponent: float  # nominal step = eps ** step_exponent * scale


CENTRAL = Method(2, 1 / 3)
FORWARD = Method(1, 1 / 2)


@dataclass(frozen=True)
class Sample:
    """The odd and the even part of what f departs from its analytic slope at a step."""

    step: float
    odd: float
    even: float
    values: tuple[float, ...]  # the first is phi(0)

    @property
    def size(self) -> float:
        return max(abs(v) for v in self.values)

    @property
    def move(self) -> float:
        return max(abs(v - self.values[0]) for v in self.values)

    @property
    def stuck(self) -> bool:
        return self.move == 0


@dataclass(frozen=True)
class Estimate:
    """The error of the analytic slope as seen at one step, with the parts of its budget."""

    step: float
    error: float  # numeric - analytic
    truncation: float
    roughness: float
    noise: float
    analytic_noise: float
    slope: float = 0.0  # the analytic one, or more if a parabola gains it up to 16h
    bent: bool = False  # the even part grows with h, as beyond a kink
    dispute: float = 0.0  # with larger steps that call the gradient right

    @property
    def budget(self) -> float:
        parts = self.truncation + self.roughness + self.noise + self.analytic_noise
        return parts + self.dispute

    @property
    def excess(self) -> float:
        """In units of the budget: above 1 the gradient is wrong."""
        if self.error == 0:
            return 0.0
        return abs(self.error) / self.budget if self.budget > 0 else np.inf


UNSEEN = Estimate(np.nan, 0.0, np.nan, 0.0, 0.0, 0.0)  # its budget is below and above nothing


class Line:
    """f along `direction` (rms 1) of the entries `index`, in steps of `scale`."""

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
        self.side = 1.0  # of a one-sided difference
        self.crossed = 0  # steps onto another pattern, skipped
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
        return Sample(step, odd, even, (center, *values))


def _annihilator(p: int, q: int) -> list[float]:
    """Unit w with sum w_i h_i^p = sum w_i h_i^q = 0 at the steps h, 4h, 16h."""
    nodes = np.array([1.0, RATIO, RATIO**2])
    weights = np.cross(nodes**p, nodes**q)
    return [float(w) for w in weights / np.linalg.norm(weights)]


_ODD_NOISE, _EVEN_NOISE, _FORWARD_NOISE = _annihilator(1, 3), _annihilator(2, 4), _annihilator(1, 2)


def measured_noise(triple: Sequence[Sample], method: Method = CENTRAL) -> list[float]:
    """Return what no smooth function explains, in units of f."""
    odd, even = [s.odd for s in triple], [s.even for s in triple]
    if method is FORWARD:
        return [_residual(_FORWARD_NOISE, odd)]
    return [_residual(_ODD_NOISE, odd) * 2**0.5, _residual(_EVEN_NOISE, even) * 2**0.5]


def _residual(weights: Sequence[float], parts: Sequence[float]) -> float:
    return abs(sum(w * part for w, part in zip(weights, parts, strict=True)))


def noise_level(residuals: Sequence[float]) -> float:
    """Their standard deviation, by the median: kinks are outliers."""
    return 1.4826 * statistics.median(residuals) if residuals else 0.0


def value_grid(values: Sequence[float]) -> float:
    """Return the power of two or ten whose multiples all values are."""
    distinct = set(values) - {0.0}
    if len(distinct) < 2:
        return 0.0
    ratios = (value.as_integer_ratio() for value in distinct)
    binary = min(float(p & -p) if q == 1 else 1 / q for p, q in ratios)
    places = []
    for value in distinct:
        _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
        if len(digits) > MOST_DIGITS:  # nobody rounded it
            return binary
        places.append(int(exponent))
    return max(binary, 10.0 ** min(places))


def rounding_noise(function: Function, samples: Sequence[Sample]) -> float:
    return max(function.eps * max(s.size for s in samples), coarseness(function, samples))


def coarseness(function: Function, samples: Sequence[Sample]) -> float:
    values = [v for s in samples for v in s.values]
    grid = max(function.jitter, value_grid(values))
    changes = [abs(v - function.value0) for v in values if v != function.value0]
    # Where f does not move at all, its values may be as coarse as its first change.
    if changes and min(samples, key=lambda s: s.step).stuck:
        return max(grid, min(changes))
    return grid


def estimate(triple: Sequence[Sample], noise: float, analytic_noise: float, line: Line) -> Estimate:
    """Judge at the smallest of three steps."""
    h = triple[0].step
    errors = [s.odd / s.step for s in triple]
    shrink = RATIO**line.method.order
    truncation = max(abs(errors[0] - errors[1]), abs(errors[1] - errors[2]) / shrink)
    slope = abs(line.analytic)
    if line.method is FORWARD:
        noise = 2 * SAFETY * noise / h
        return Estimate(h, errors[0], truncation, 0.0, noise, analytic_noise, slope)
    even = [s.even for s in triple]
    near, far = abs(even[1] / RATIO**2 - even[0]), abs(even[2] / RATIO**2 - even[1])
    roughness = max(near / h, far / (RATIO * h))
    if far <= abs(even[1]) / 2:  # a parabola
        slope = max(slope, 2 * abs(even[2]) / triple[2].step)
    noise *= SAFETY
    seen = [value for value in even if abs(value) > noise]
    growth = [after / before for before, after in itertools.pairwise(seen)]
    bent = bool(growth) and all(_BENT[0] < ratio < _BENT[1] for ratio in growth)
    return Estimate(h, errors[0], truncation, roughness, noise / h, analytic_noise, slope, bent)


def sweep_estimates(
    line: Line, samples: Sequence[Sample | None], analytic_noise: float
) -> list[Estimate]:
    """Noise is measured at this and smaller steps: larger ones may show curvature."""
    function, level, found = line.function, 0.0, []
    windows: list[list[float]] = []
    usable = [s for s in samples if s is not None]
    # Where smaller steps change nothing, as much is rounding.
    first_change = next((s.move for s in usable if not s.stuck), 0.0)
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


def judging(estimates: Sequence[Estimate]) -> Estimate:
    """Return the estimate with the smallest budget, once each has heard all the others.

    Larger steps that see the slope clearly and call the gradient right dispute that it is wrong.
    """
    best = min((_heard(e, estimates) for e in estimates), key=lambda e: e.budget)
    if best.excess <= 1:
        return best
    larger = [o for o in estimates if o.step > best.step and o.excess <= 1]
    against = [o for o in larger if o.slope > _CLEAR * o.budget]
    gaps = [(abs(o.error - best.error), o.budget) for o in against]
    disputes = (gap + budget for gap, budget in gaps if gap > budget + best.budget)
    return replace(best, dispute=max(disputes, default=0.0))


def _heard(e: Estimate, estimates: Sequence[Estimate]) -> Estimate:
    """Truncation is at least what any smaller step departs, noise aside (Lepski's rule)."""
    shown = (
        abs(o.error - e.error) - o.noise - e.noise - e.analytic_noise
        for o in estimates
        if o.step < e.step
    )
    return replace(e, truncation=max([e.truncation, *shown]))


def one_sided(samples: Sequence[Sample], noise: float) -> tuple[Estimate, Estimate] | None:
    """Return the errors of both slopes at a kink, where 2 even(h) / h keeps its size."""
    seen = [s for s in samples if abs(s.even) > SAFETY * noise]
    if len(seen) < 5:
        return None
    gaps = [s.even / s.step for s in seen]
    kept = [0.5 < gap / gaps[4] < 2.0 for gap in gaps]
    if not all(kept[1:5]):
        return None
    seen = seen[: kept.index(False, 5) if False in kept[5:] else None]

    def slope(sign: float) -> Estimate:
        errors = [(s.odd + sign * s.even) / s.step for s in seen]
        candidates = (
            Estimate(a.step, e, abs(e - f), 0.0, 2 * SAFETY * noise / a.step, 0.0)
            for a, e, f in zip(seen, errors, errors[1:], strict=False)
        )
        return min(candidates, key=lambda c: c.budget)

    return slope(-1.0), slope(1.0)
