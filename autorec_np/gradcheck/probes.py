"""Where to look: directions confined to a block and single coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .differences import (
    CENTRAL,
    FORWARD,
    RATIO,
    SAFETY,
    UNSEEN,
    Estimate,
    Line,
    Method,
    Sample,
    estimate,
    judging,
    measured_noise,
    noise_level,
    one_sided,
    rounding_noise,
    sweep_estimates,
)
from .function import Array, Block, Function, Word, norm, random_direction, rms

_TINY = 1e-150  # below it a scale is no information
_STEEP, _NOT_ROUNDING = 1e-4, 1e3  # parts of all that f moves, and of rounding
_DOWN, _UP = 7, 8  # powers of RATIO around the nominal step: nine decades in all
# Of the slope: a budget above the one, or noise of the gradient above the other, is a guess.
_COARSE, _NOISY, _MARGIN = 0.01, 1e-6, 3.0
_FEW = 3.0  # slopes that f may gain beside which errors are measured
_SHARP = 10.0  # so many times below what must be visible, a budget is sharp
_CHANGES = 12  # how often the smallest change is sought
_CLOSER = 5  # powers of RATIO below it, for what longer steps do not see
# Steps of float32: 2^-23 of the value, or so many powers of two less; how many must be seen, and
# how far off a multiple.
_SINGLE, _SMALLER = 23, 10
_ENOUGH, _CLOSE = 4, 1 / 64


class Outcome(Word):
    RIGHT = "right"
    ACCEPTED = "accepted"  # within the tolerance that the caller gave
    WRONG = "wrong"
    UNRESOLVED = "unresolved"  # too wide a budget
    KINK = "kink"  # right: within the one-sided slopes
    OFF_KINK = "off-kink"  # outside them: no proof of a fault
    SUSPECT = "suspect"  # looks wrong, not confirmed


SETTLED = (Outcome.RIGHT, Outcome.ACCEPTED, Outcome.KINK)
AT_KINK = (Outcome.KINK, Outcome.OFF_KINK)


@dataclass(frozen=True)
class Demands:
    """Relative errors: that which must be visible, and that which is accepted."""

    resolution: float = np.inf
    tolerance: float = 0.0


@dataclass
class Probe:
    line: Line
    analytic_noise: float  # the part A of the budget
    demands: Demands
    slope: float = 0.0  # typical slope of the block along the direction
    coordinate: int | None = None  # position within the block; None for a direction
    given: int | None = None  # number of the direction that the caller gave
    samples: dict[float, Sample | None] = field(default_factory=dict)
    estimates: list[Estimate] = field(default_factory=list)
    best: Estimate = UNSEEN
    outcome: Outcome = Outcome.UNRESOLVED
    one_sided_slopes: list[float] = field(default_factory=list)

    @property
    def error(self) -> float:
        return abs(self.best.error)

    @property
    def numeric(self) -> float:
        return self.line.analytic + self.best.error

    @property
    def relative_error(self) -> float:
        return self.error / max(abs(self.line.analytic), abs(self.numeric)) if self.error else 0.0

    @property
    def accepted_error(self) -> float:
        return self.error / self._slopes() if self.error else 0.0

    @property
    def sharp(self) -> bool:
        return _SHARP * self.best.budget <= self._visible()

    def base(self) -> list[Sample]:
        if self._take(0) is None and self.line.method is FORWARD and self.line.side > 0:
            self.line.side = -1.0  # theta may lie at the border of the domain
            self.samples.clear()
        triple = [self._take(k) for k in range(3)]
        kept = [s for s in triple if s is not None]
        return kept if len(kept) == 3 else []

    def noise_residuals(self) -> list[float]:
        triple = self.base()
        return measured_noise(triple, self.line.method) if triple else []

    def judge_base(self, block_noise: float) -> None:
        """Judge at the nominal step; its noise is at least that of the block."""
        triple = self.base()
        if not triple:
            return
        noise = max(block_noise, rounding_noise(self.line.function, triple))
        outcome = self._weigh([estimate(triple, noise, self.analytic_noise, self.line)])
        dull = outcome is Outcome.RIGHT and self.coordinate is None and not self.sharp
        if dull or outcome is Outcome.UNRESOLVED:
            self._reach_out(triple[2], margin=_SHARP if dull else 1.0)
            outcome = self._finding()
        self.outcome = Outcome.SUSPECT if outcome is Outcome.WRONG else outcome

    def settle(self, found: Estimate) -> None:
        self.best = found
        self.outcome = Outcome.RIGHT if found.excess <= 1 else self._wrong_or_accepted()

    def departs_at_small_steps(self) -> bool:
        """Whether the slope is another at a thousandth of the step."""
        sample = self._take(-_CLOSER)
        if sample is None:
            return False
        noise = self.best.noise * self.best.step / sample.step
        rounding = SAFETY * rounding_noise(self.line.function, [sample]) / sample.step
        known = noise + self.best.budget + rounding
        return abs(sample.odd / sample.step - self.best.error) > known

    def _take(self, k: float) -> Sample | None:
        if k not in self.samples:
            self.samples[k] = self.line.sample(self.line.nominal_step() * RATIO**k)
        return self.samples[k]

    def _power(self, step: float) -> float:
        """The inverse of `_take`."""
        return float(np.log(step / self.line.nominal_step()) / np.log(RATIO))

    def judge_sweep(self) -> None:
        self.outcome = self._judged_by_sweep()

    def _judged_by_sweep(self) -> Outcome:
        line = self.line
        outcome = self._sweep(-_DOWN, _UP)
        if line.crossed and outcome is Outcome.UNRESOLVED:
            line.pattern = None  # theta lies on a kink, or too near to stay off it
            self.samples.clear()
            outcome = self._sweep(-_DOWN, _UP)
        if self._is_flat():
            return Outcome.RIGHT
        if outcome is not Outcome.RIGHT:
            largest = max(1.0, float(np.max(np.abs(line.function.theta))), line.scale)
            down, up = self._power(64 * line.function.eps * line.scale), self._power(largest)
            outcome = self._sweep(min(-_DOWN, int(down)), max(_UP, int(up)))
        if line.method is CENTRAL:
            if outcome is Outcome.UNRESOLVED and not self._claims_dependence():
                outcome = self._at_the_end_of_a_dead_zone()
            if outcome not in SETTLED and (at_kink := self._at_kink()):
                return at_kink
        return self._confirmed() if outcome is Outcome.WRONG else outcome

    def _sweep(self, low: int, high: int) -> Outcome:
        samples = [self._take(k) for k in range(low, high + 1)]
        estimates = sweep_estimates(self.line, samples, self.analytic_noise)
        return self._weigh(estimates) if estimates else self._finding()

    def _weigh(self, estimates: list[Estimate]) -> Outcome:
        self.estimates, self.best = estimates, judging(estimates)
        return self._finding()

    def _finding(self) -> Outcome:
        if self.best.excess > 1:
            return self._wrong_or_accepted()
        if self.best.budget <= self._visible():
            return Outcome.RIGHT
        accepted = self.best.budget <= self.demands.tolerance * self._slopes()
        return Outcome.ACCEPTED if accepted else Outcome.UNRESOLVED

    def _wrong_or_accepted(self) -> Outcome:
        slopes = self._slopes()
        if self.error <= self.demands.tolerance * slopes:
            return Outcome.ACCEPTED
        budget, noise = self.best.budget, self.best.analytic_noise
        guessed = budget > _COARSE * slopes or noise > max(budget / 4, _NOISY * slopes)
        return Outcome.SUSPECT if guessed and self.best.excess < _MARGIN else Outcome.WRONG

    def _slopes(self) -> float:
        return max(abs(self.line.analytic), abs(self.numeric), self.slope)

    def _gained(self) -> float:
        """The largest slope up to the size of theta."""
        if self.line.method is FORWARD:
            return 0.0
        noise = self.best.noise * self.best.step
        reach = max(self.line.scale, RATIO**2 * self.best.step)
        seen = (s for s in self._ascending() if self.best.step <= s.step <= reach)
        return max((2 * abs(s.even) / s.step for s in seen if abs(s.even) > noise), default=0.0)

    def _visible(self) -> float:
        """What f gains far from theta counts at a minimum, else up to a few slopes."""
        slopes, gained, resolution = self._slopes(), self._gained(), self.demands.resolution
        if slopes <= self.best.budget:
            return resolution * max(slopes, gained)
        return min(resolution * max(slopes, min(gained, _FEW * slopes)), slopes / 100)

    def _reach_out(self, widest: Sample, margin: float) -> None:
        curvature = 2 * abs(widest.even) / widest.step**2
        if not curvature > 0:  # zero, or one-sided
            return
        wanted = margin * self.best.budget / (self.demands.resolution * curvature)
        if widest.step < wanted <= self.line.scale:
            self._take(float(np.ceil(self._power(wanted))))

    def _ascending(self) -> list[Sample]:
        kept = [s for s in self.samples.values() if s is not None]
        return sorted(kept, key=lambda s: s.step)

    def _claims_dependence(self) -> bool:
        return bool(((self.line.gradient != 0) & (self.line.direction != 0)).any())

    def _is_flat(self) -> bool:
        samples = self._ascending()
        return bool(samples) and not self._claims_dependence() and all(s.stuck for s in samples)

    def _at_the_end_of_a_dead_zone(self) -> Outcome:
        """A value that does not move is rounded by no more than its smallest change."""
        samples = self._ascending()
        still = list(itertools.takewhile(lambda sample: sample.stuck, samples))
        if len(still) == len(samples) or self._take(0) not in still:
            return Outcome.UNRESOLVED
        function, low, sample = self.line.function, still[-1].step, samples[len(still)]
        changes = [abs(value - function.value0) for value in sample.values]
        sign = (0.0, 1.0, -1.0)[int(np.argmax(changes))]
        near = far = (sample.step, max(changes))
        part = 0.5
        for _ in range(_CHANGES):
            end = low
            if far[1] > near[1]:
                end = max(low, near[0] - near[1] * (far[0] - near[0]) / (far[1] - near[1]))
            step = end + part * (near[0] - end)
            change = abs(function.value(self.line.point(sign * step)) - function.value0)
            part = _CLOSE if change and far is not near else 0.5
            if change > 0:
                near, far = (step, change), near
            elif change == 0:
                low = step
        noise = max(near[1], rounding_noise(function, still[-1:])) / still[-1].step
        self.best = Estimate(still[-1].step, 0.0, 0.0, 0.0, SAFETY * noise, self.analytic_noise)
        return self._finding()

    def is_constant(self) -> bool:
        samples = self._ascending()
        slope = max(abs(self.line.analytic), abs(self.numeric))
        rounding = self.line.function.eps * max((s.size for s in samples), default=0.0)
        return any(s.stuck and slope * s.step > SAFETY * rounding for s in samples)

    def _is_too_steep(self) -> bool:
        samples = self._ascending()
        if len(samples) < 4:
            return False
        moves = [s.move for s in samples]
        rounded = rounding_noise(self.line.function, samples[:3])
        return min(moves[:3]) > max(_STEEP * max(moves), _NOT_ROUNDING * rounded)

    def _confirmed(self) -> Outcome:
        """Between the steps a fault is as large, unlike kinks and rounding."""
        if (not self._claims_dependence() and self.is_constant()) or self._is_too_steep():
            return Outcome.UNRESOLVED
        best, line = self.best, self.line
        middle = round(self._power(best.step))
        samples = [self._take(middle + offset) for offset in (-0.5, 0.5, 1.5, 2.5)]
        between = sweep_estimates(line, samples, self.analytic_noise)
        if not between:
            return Outcome.WRONG
        noise = best.noise * best.step
        between = [replace(e, noise=max(e.noise, noise / e.step)) for e in between]
        other = min(between, key=lambda e: e.budget)
        difference = abs(other.error - best.error)
        if other.excess > 1 and difference <= other.budget + best.budget:
            return Outcome.WRONG
        self.best = replace(best, dispute=max(best.dispute, difference, other.budget))
        return Outcome.SUSPECT

    def is_disputed(self) -> bool:
        """Whether other steps call right what the best calls wrong."""
        return self.best.dispute > 0

    def is_doubted(self) -> bool:
        disputed = self.outcome is Outcome.UNRESOLVED and self.is_disputed()
        return disputed or self.outcome is Outcome.SUSPECT

    def kinks(self) -> int:
        if self.slope == 0:
            return self.line.crossed
        low, high = self.best.step, self.line.nominal_step() * RATIO**2
        least = 0.01 * self.slope
        rough = (e for e in self.estimates if e.bent and e.roughness > max(e.noise, least))
        return self.line.crossed + sum(low < e.step <= high for e in rough)

    def obstacle(self) -> str:
        best = self.best
        if best is UNSEEN:
            return "outside the domain" if self.samples else "not looked at"
        if self.is_constant():
            return "the function is constant near theta"
        if self._is_too_steep():
            return "the function is steeper than any step"
        parts = {
            "noise": best.noise,
            "curvature": best.truncation,
            "kinks" if best.bent else "jumps or bends": best.roughness,
            "noise of the gradient": best.analytic_noise,
            "the slope is another at larger steps: fast oscillation, or rounding inside": (
                best.dispute
            ),
        }
        return max(parts, key=parts.__getitem__)

    def curve(self) -> dict[str, list[float]]:
        return {
            "step": [e.step for e in self.estimates],
            "error": [abs(e.error) for e in self.estimates],
            "budget": [e.budget for e in self.estimates],
        }

    def _at_kink(self) -> Outcome | None:
        samples = self._ascending()
        if not samples:
            return None
        # A kink at theta leaves the odd part as it is.
        triples = zip(samples[:8], samples[1:8], samples[2:8], strict=False)
        odd = noise_level([measured_noise(triple)[0] for triple in triples])
        sides = one_sided(samples, max(odd, rounding_noise(self.line.function, samples[:3])))
        if sides is None:
            return None
        slopes = [(self.line.analytic + s.error, s.budget) for s in sides]
        self.one_sided_slopes = [s if abs(s) > budget else 0.0 for s, budget in slopes]
        low = min(s.error - s.budget for s in sides) - self.analytic_noise
        high = max(s.error + s.budget for s in sides) + self.analytic_noise
        nearest = float(np.clip(0.0, low, high))
        self.best = replace(sides[0], error=nearest, analytic_noise=self.analytic_noise)
        if low <= 0 <= high:
            return Outcome.KINK
        beyond = self.coordinate is not None and self.line.analytic != 0
        return self._wrong_or_accepted() if beyond else Outcome.OFF_KINK


def float32_steps(probes: Iterable[Probe]) -> float:
    """Return the float32 spacing of v(h) + v(-h) - 2 v(0) at small h, or 0."""
    seen = [
        (s.step / p.line.nominal_step(), s)
        for p in probes
        for s in p.samples.values()
        if s is not None and len(s.values) == 3
    ]
    for widest in (RATIO, 1.0, 1 / RATIO):
        small = [sample for step, sample in seen if step < 1.5 * widest]
        moves = np.array([v[1] - v[0] + (v[2] - v[0]) for v in (s.values for s in small)])
        if moves.any():
            spacing = _spacing(moves, max(s.size for s in small))
            if spacing:
                return spacing
    return 0.0


def _spacing(moves: Array, size: float) -> float:
    """Return the power of two whose multiples all moves are, or 0."""
    top = int(np.floor(np.log2(size))) - _SINGLE
    for power in range(top, top - _SMALLER - 1, -1):
        spacing = 2.0**power
        multiples = np.round(moves / spacing)
        fit = (np.abs(moves - multiples * spacing) <= _CLOSE * spacing).all()
        if fit and np.count_nonzero(multiples) >= _ENOUGH:
            return spacing if np.gcd.reduce(multiples.astype(int)) == 1 else 0.0
    return 0.0


def line_scale(theta: Array, direction: Array) -> float:
    scale = rms(direction * theta)
    return scale if scale > _TINY else 1.0


@dataclass(frozen=True)
class ProbeMaker:
    """`gradient_changes`: of the analytic gradient, when theta moves by one ulp."""

    function: Function
    method: Method
    rng: np.random.Generator
    pattern: Callable[[Any], Any] | None = None
    demands: Demands = Demands()
    gradient_changes: Sequence[Array] = ()

    def directions(self, block: Block, n: int) -> list[Probe]:
        """Along the gradient, then at random, by turns scaled with theta."""
        theta = self.function.theta[block.index]
        gradient = self.function.gradient[block.index]
        drawn = [gradient] if gradient.any() else []
        for k in range(n - len(drawn)):
            anyhow = random_direction(self.rng, block.size)
            drawn.append(anyhow * theta if k % 2 == 1 and theta.any() else anyhow)
        return [self.along(block, d, 2 ** self.rng.uniform(-0.5, 0.5)) for d in drawn[:n]]

    def along(
        self, block: Block, direction: Array, stretch: float = 1.0, given: int | None = None
    ) -> Probe:
        unit = direction / rms(direction)
        theta = self.function.theta[block.index]
        scale = line_scale(theta, unit) * stretch
        line = Line(self.function, block.index, unit, scale, self.method, self.pattern)
        noise = SAFETY * self._rounding(line)
        slope = norm(line.gradient * unit)
        return Probe(line, noise, self.demands, slope, given=given)

    def coordinates(self, block: Block, chosen: Iterable[int]) -> list[Probe]:
        gradient = self.function.gradient[block.index]
        scale = line_scale(self.function.theta[block.index], np.ones(block.size))
        slope, rounding = rms(gradient), self._typical_rounding(block)
        probes = []
        for i in map(int, chosen):
            index, one = np.array([block.position(i)]), np.ones(1)
            own = abs(float(self.function.theta[index[0]]))
            unit = own if own > _TINY else scale
            line = Line(self.function, index, one, unit, self.method, self.pattern)
            noise = SAFETY * max(rounding, self._rounding(line))
            probes.append(Probe(line, noise, self.demands, max(slope, abs(line.analytic)), i))
        return probes

    def _rounding(self, line: Line) -> float:
        """Of the analytic slope: eps of its terms, and what one ulp changes."""
        rounding = self.function.gradient_eps * norm(line.gradient * line.direction)
        changes = [change[line.index] * line.direction for change in self.gradient_changes]
        return rounding + max((max(norm(c), abs(float(c.sum()))) for c in changes), default=0.0)

    def _typical_rounding(self, block: Block) -> float:
        """The changes of one entry may be small by chance."""
        changes = [np.abs(change[block.index]) for change in self.gradient_changes]
        seen = [1.4826 * float(np.median(c[c > 0])) for c in changes if c.any()]
        gradient = self.function.gradient[block.index]
        return self.function.gradient_eps * rms(gradient) + max(seen, default=0.0)

    def choose(self, block: Block, n: int, active: Array | None) -> Array:
        """The largest gradient, and entries with and without data or gradient."""
        gradient = self.function.gradient[block.index]
        if n == 0 or block.size <= n:
            return np.arange(min(n, block.size))
        has_data = gradient != 0
        if active is not None:
            has_data = np.repeat(active, block.size // len(active))
        touched, others = np.flatnonzero(has_data), np.flatnonzero(~has_data)
        n_others = max(min((n - 1) // 3, len(others)), n - 1 - len(touched))
        picked = [
            self.rng.choice(touched, size=n - 1 - n_others, replace=False),
            self.rng.choice(others, size=n_others, replace=False),
        ]
        return np.unique(np.concatenate([[np.argmax(np.abs(gradient))], *picked]))
