r"""Directional derivatives by finite differences, and the error budget that judges them.

With phi(t) = f(theta + t d), the *departure* of f from the analytic slope is measured at a step h:

    odd(h)  = (phi(h) - phi(-h)) / 2 - gradient . (theta_plus - theta_minus) / 2
            = h E + h^3 phi''' / 6 + ...
    even(h) = (phi(h) + phi(-h)) / 2 - phi(0)  =  h^2 phi'' / 2 + ...

theta_plus and theta_minus are the points really evaluated, so rounding theta + h d costs nothing.
E, the error of the gradient along d, differs from e(h) = odd(h) / h by at most the budget

    B(h) = T(h) + K(h) + N(h) + A

    truncation      T(h) = max(|e(h) - e(4h)|, |e(4h) - e(16h)| / 16)
    roughness       K(h) = max(|even(4h)/16 - even(h)| / h, |even(16h)/16 - even(4h)| / (4h))
    noise           N(h) = 8 sigma / h, sigma the noise of one value of f
    analytic noise  A    = 8 (eps ||g * d|| + change of gradient . d when theta moves by one ulp)

docs/gradient_checking.md derives each. A one-sided difference has e(h) = E + h phi'' / 2, with 4
in place of 16 and no K. Noise is measured in the spirit of Moré and Wild, "Estimating
computational noise", SIAM J. Sci. Comput. 33 (2011): by what no smooth f explains.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ._function import Array, Block, Function, norm, random_direction, rms

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

    The noise of a step is measured at this and smaller steps: larger ones may show curvature.
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

    To call the gradient wrong, no smaller step may contradict it beyond both budgets (at large
    steps a bounded function looks flat; Lepski's rule). Where a step that calls the gradient right
    contradicts it, one budget is too small: their disagreement widens it.
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
    """Say whether f is constant near theta further than rounding can explain (a dead relu)."""
    rounding = function.eps * max(s.size for s in samples)
    return any(s.stuck and abs(slope) * s.step > SAFETY * rounding for s in samples)


def one_sided(samples: Sequence[Sample], noise: float) -> tuple[Estimate, Estimate] | None:
    """Return the errors of the left and right slope if theta lies on a kink, else None.

    There the gap between the slopes, 2 even(h) / h, keeps its size while h shrinks.
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


_TINY = 1e-150  # below it a scale is no information


# Where to look: directions confined to a block and single coordinates


@dataclass
class Probe:
    """One direction or coordinate of a block and what was found along it.

    ``outcome`` is "right", "wrong", "unresolved" (too wide a budget), "kink" (right within the
    one-sided slopes), "off-kink" (outside them: no proof of a fault) or "suspect" (wrong at the
    nominal step, not confirmed).
    """

    line: Line
    analytic_noise: float  # the part A of the budget
    resolution: float
    slope: float = 0.0  # typical slope of the block along the direction
    coordinate: int | None = None  # position within the block; None for a direction
    samples: dict[int, Sample | None] = field(default_factory=dict)
    estimates: list[Estimate] = field(default_factory=list)
    best: Estimate | None = None
    outcome: str = "unresolved"
    sharp: bool = False  # the budget is well below the resolution
    one_sided_slopes: list[float] = field(default_factory=list)

    @property
    def error(self) -> float:
        """The distance of the analytic from the numeric slope."""
        return 0.0 if self.best is None else abs(self.best.error)

    @property
    def relative_error(self) -> float:
        """The error relative to the slopes of the function here (see `slope_scale`)."""
        return self.error / max(self.slope_scale(), self.error) if self.error else 0.0

    @property
    def numeric(self) -> float:
        """The numeric slope."""
        return self.line.analytic + self.best.error if self.best is not None else np.nan

    def base(self) -> list[Sample] | None:
        """Return the samples at the nominal step and its two larger neighbors, None if skipped."""
        if self._take(0) is None and self.line.method is FORWARD and self.line.side > 0:
            self.line.side = -1.0  # theta may lie at the border of the domain
            self.samples.clear()
        triple = [self._take(k) for k in range(3)]
        kept = [s for s in triple if s is not None]
        return kept if len(kept) == 3 else None

    def noise_residuals(self) -> list[float]:
        """Return the noise seen at the nominal step."""
        triple = self.base()
        return measured_noise(triple, self.line.method) if triple else []

    def judge_base(self, block_noise: float) -> None:
        """Judge at the nominal step, with the noise pooled over the probes of the block."""
        triple = self.base()
        if triple is None:
            return
        function = self.line.function
        noise = max(block_noise, rounding_noise(function, triple))
        self._accept([estimate(triple, noise, self.analytic_noise, self.line.method)])

    def judge_sweep(self) -> None:
        """Judge at the best step of a sweep; a wider sweep follows if that decides nothing."""
        self._sweep(-DECADES_DOWN, DECADES_UP)
        if self.line.crossed and self.outcome == "unresolved":
            self.line.pattern = None  # theta lies on a kink, or too near to stay off it
            self.samples.clear()
            self._sweep(-DECADES_DOWN, DECADES_UP)
        if self._is_flat():
            self.outcome = "right"
        if self.outcome != "right":
            self._sweep(*self._widest_range())
        if self.outcome in ("unresolved", "wrong") and self.line.method is CENTRAL:
            self._look_for_kink()
        if self.outcome == "wrong" and not self._claims_dependence():
            dead = in_dead_zone(self.line.function, self._ascending(), self.numeric)
            self.outcome = "unresolved" if dead else "wrong"

    def _take(self, k: int) -> Sample | None:
        if k not in self.samples:
            self.samples[k] = self.line.sample(self.line.nominal_step() * RATIO**k)
        return self.samples[k]

    def _widest_range(self) -> tuple[int, int]:
        """Steps from the spacing of theta to the size of the largest entry of theta or 1."""
        line = self.line
        eps = line.function.eps
        largest = max(1.0, float(np.max(np.abs(line.function.theta))), line.scale)
        down = np.log(64 * eps * line.scale / line.nominal_step()) / np.log(RATIO)
        up = np.log(largest / line.nominal_step()) / np.log(RATIO)
        return min(-DECADES_DOWN, int(down)), max(DECADES_UP, int(up))

    def _sweep(self, low: int, high: int) -> None:
        samples = [self._take(k) for k in range(low, high + 1)]
        line = self.line
        estimates = sweep_estimates(line.function, samples, self.analytic_noise, line.method)
        if estimates:
            self._accept(estimates)

    def _accept(self, estimates: list[Estimate]) -> None:
        self.estimates = estimates
        self.best = best = judging(estimates)
        visible = self.resolution * self.slope_scale()
        self.sharp = best.budget <= visible / 10
        if best.excess > 1:
            self.outcome = "wrong"
        elif best.budget <= visible:
            self.outcome = "right"
        else:
            self.outcome = "unresolved"

    def slope_scale(self) -> float:
        """Return the slope that an error is measured against: the largest of the analytic, the
        numeric and the block's typical one, and scale * phi'', which alone is left at a minimum.
        """
        scale = max(abs(self.line.analytic), self.slope)
        if self.best is None:
            return scale
        return max(scale, abs(self.numeric), self.best.curvature * self.line.scale)

    def _ascending(self) -> list[Sample]:
        kept = [s for s in self.samples.values() if s is not None]
        return sorted(kept, key=lambda s: s.step)

    def _claims_dependence(self) -> bool:
        """Say whether the gradient has a nonzero entry among those that move."""
        return bool(((self.line.gradient != 0) & (self.line.direction != 0)).any())

    def _is_flat(self) -> bool:
        """Say whether f and the gradient agree that nothing depends on these entries."""
        samples = self._ascending()
        return bool(samples) and not self._claims_dependence() and all(s.stuck for s in samples)

    def kinks(self) -> int:
        """Return how many steps near the nominal one met a kink: the pattern changed, or the two
        sides disagreed visibly (at much larger steps that may be curvature).
        """
        if self.best is None or self.slope == 0:
            return self.line.crossed
        low, high = self.best.step, self.line.nominal_step() * RATIO**2
        rough = [e for e in self.estimates if e.roughness > max(e.noise, 0.01 * self.slope)]
        return self.line.crossed + sum(low < e.step <= high for e in rough)

    def obstacle(self) -> str:
        """Return what makes the budget as wide as it is."""
        if self.best is None:
            return "outside the domain"
        parts = {
            "noise": self.best.noise,
            "curvature": self.best.truncation,
            "kinks or jumps": self.best.roughness,
            "noise of the gradient": self.best.analytic_noise,
        }
        return max(parts, key=lambda name: parts[name])

    def curve(self) -> dict[str, list[float]]:
        """Return step, error and budget at every step that was judged, for a picture."""
        return {
            "step": [e.step for e in self.estimates],
            "error": [abs(e.error) for e in self.estimates],
            "budget": [e.budget for e in self.estimates],
        }

    def _look_for_kink(self) -> None:
        samples = self._ascending()
        if not samples:
            return
        noise = rounding_noise(self.line.function, samples[:3])
        sides = one_sided(samples, noise)
        if sides is None:
            return
        left, right = sides
        slopes = [(self.line.analytic + s.error, s.budget) for s in sides]
        self.one_sided_slopes = [s if abs(s) > budget else 0.0 for s, budget in slopes]
        low = min(left.error - left.budget, right.error - right.budget) - self.analytic_noise
        high = max(left.error + left.budget, right.error + right.budget) + self.analytic_noise
        nearest = float(np.clip(0.0, low, high))
        self.best = replace(left, error=nearest, analytic_noise=self.analytic_noise)
        if low <= 0 <= high:
            self.outcome = "kink"
        elif self.coordinate is not None and self.line.analytic != 0:
            self.outcome = "wrong"
        else:
            self.outcome = "off-kink"


def line_scale(theta: Array, direction: Array) -> float:
    """Return the rms of theta along a direction of rms 1; 1 if theta is zero there."""
    scale = rms(direction * theta)
    return scale if scale > _TINY else 1.0


class ProbeMaker:
    """Draws the directions and coordinates of a block.

    `gradient_changes` are those of the analytic gradient when theta moves by one ulp.
    """

    def __init__(
        self,
        function: Function,
        method: Method,
        rng: np.random.Generator,
        pattern: Callable[[Any], Any] | None = None,
        resolution: float = np.inf,
        gradient_changes: Sequence[Array] = (),
    ) -> None:
        self.function, self.method, self.rng, self.pattern = function, method, rng, pattern
        self.resolution, self.gradient_changes = resolution, gradient_changes

    def directions(self, block: Block, n: int) -> list[Probe]:
        """Return up to `n` directions: along the gradient, then random ones, every second of them
        scaled with theta for blocks whose entries differ in size.
        """
        theta = self.function.theta[block.index]
        gradient = self.function.gradient[block.index]
        drawn = [gradient] if gradient.any() else []
        for k in range(n - len(drawn)):
            anyhow = random_direction(self.rng, block.size)
            drawn.append(anyhow * theta if k % 2 == 1 and theta.any() else anyhow)
        return [self.along(block, d, 2 ** self.rng.uniform(-0.5, 0.5)) for d in drawn[:n]]

    def along(self, block: Block, direction: Array, stretch: float = 1.0) -> Probe:
        """Return a probe along `direction`; `stretch` varies its steps."""
        unit = direction / rms(direction)
        theta = self.function.theta[block.index]
        scale = line_scale(theta, unit) * stretch
        line = Line(self.function, block.index, unit, scale, self.method, self.pattern)
        noise = SAFETY * self._rounding(line)
        return Probe(line, noise, self.resolution, norm(line.gradient * unit))

    def coordinates(self, block: Block, chosen: Iterable[int]) -> list[Probe]:
        """Return probes of the given entries of the block."""
        gradient = self.function.gradient[block.index]
        scale = line_scale(self.function.theta[block.index], np.ones(block.size))
        slope, rounding = rms(gradient), self._typical_rounding(block)
        return [self._coordinate(block, int(i), scale, slope, rounding) for i in chosen]

    def _coordinate(
        self, block: Block, i: int, block_scale: float, slope: float, rounding: float
    ) -> Probe:
        index = np.array([block.position(i)])
        own = abs(float(self.function.theta[index[0]]))
        scale = own if own > _TINY else block_scale
        line = Line(self.function, index, np.ones(1), scale, self.method, self.pattern)
        noise = SAFETY * max(rounding, self._rounding(line))
        return Probe(line, noise, self.resolution, max(slope, abs(line.analytic)), i)

    def _rounding(self, line: Line) -> float:
        """Return the rounding of the analytic slope: eps of its terms, or as seen one ulp away."""
        rounding = self.function.gradient_eps * norm(line.gradient * line.direction)
        changes = [change[line.index] * line.direction for change in self.gradient_changes]
        return rounding + max((max(norm(c), abs(float(c.sum()))) for c in changes), default=0.0)

    def _typical_rounding(self, block: Block) -> float:
        """Return the same for a typical entry of the block: two changes of one entry may be small
        by chance. (The median: on a kink an entry may change by any amount.)
        """
        changes = [np.abs(change[block.index]) for change in self.gradient_changes]
        seen = [1.4826 * float(np.median(c[c > 0])) for c in changes if c.any()]
        gradient = self.function.gradient[block.index]
        return self.function.gradient_eps * rms(gradient) + max(seen, default=0.0)

    def choose(self, block: Block, n: int, active: Array | None) -> Array:
        """Return all entries of a small block; of a large one the largest gradient and entries in
        rows with and without data (if `active` does not say: with and without a gradient).
        """
        gradient = self.function.gradient[block.index]
        if block.size <= n:
            return np.arange(block.size)
        if n == 0:
            return np.arange(0)
        has_data = gradient != 0
        if active is not None:
            has_data = np.repeat(active, block.size // len(active))
        strata = [np.flatnonzero(has_data), np.flatnonzero(~has_data)]
        quota = [n - 1 - (n - 1) // 3, (n - 1) // 3]
        if len(strata[1]) < quota[1]:
            quota = [n - 1 - len(strata[1]), len(strata[1])]
        elif len(strata[0]) < quota[0]:
            quota = [len(strata[0]), n - 1 - len(strata[0])]
        picked = [
            self.rng.choice(stratum, size=size, replace=False)
            for stratum, size in zip(strata, quota, strict=True)
        ]
        return np.unique(np.concatenate([[np.argmax(np.abs(gradient))], *picked]))
