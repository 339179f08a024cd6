"""Where to look: directions confined to a block and single coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .differences import (
    CENTRAL,
    FORWARD,
    RATIO,
    SAFETY,
    Estimate,
    Line,
    Method,
    Sample,
    estimate,
    in_dead_zone,
    judging,
    measured_noise,
    one_sided,
    rounding_noise,
    sweep_estimates,
)
from .function import Array, Block, Function, Word, norm, random_direction, rms

_TINY = 1e-150  # below it a scale is no information
_DOWN, _UP = 7, 8  # powers of RATIO around the nominal step: nine decades in all


class Outcome(Word):
    """What was found along one direction or coordinate."""

    RIGHT = "right"
    WRONG = "wrong"
    UNRESOLVED = "unresolved"  # too wide a budget
    KINK = "kink"  # right: within the one-sided slopes
    OFF_KINK = "off-kink"  # outside them: no proof of a fault
    SUSPECT = "suspect"  # wrong at the nominal step, not confirmed


@dataclass
class Probe:
    """One direction or coordinate of a block and what was found along it.

    Only a probe sets its outcome.
    """

    line: Line
    analytic_noise: float  # the part A of the budget
    resolution: float
    slope: float = 0.0  # typical slope of the block along the direction
    coordinate: int | None = None  # position within the block; None for a direction
    samples: dict[int, Sample | None] = field(default_factory=dict)
    estimates: list[Estimate] = field(default_factory=list)
    best: Estimate | None = None
    outcome: Outcome = Outcome.UNRESOLVED
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
        self._sweep(-_DOWN, _UP)
        if self.line.crossed and self.outcome is Outcome.UNRESOLVED:
            self.line.pattern = None  # theta lies on a kink, or too near to stay off it
            self.samples.clear()
            self._sweep(-_DOWN, _UP)
        if self._is_flat():
            self.outcome = Outcome.RIGHT
        if self.outcome is not Outcome.RIGHT:
            self._sweep(*self._widest_range())
        if self.outcome in (Outcome.UNRESOLVED, Outcome.WRONG) and self.line.method is CENTRAL:
            self._look_for_kink()
        if self.outcome is Outcome.WRONG and not self._claims_dependence():
            dead = in_dead_zone(self.line.function, self._ascending(), self.numeric)
            self.outcome = Outcome.UNRESOLVED if dead else Outcome.WRONG

    def settle(self, found: Estimate) -> None:
        """Take an estimate that needs no resolution: that of the complex step."""
        self.best = found
        self.outcome = Outcome.WRONG if found.excess > 1 else Outcome.RIGHT

    def suspect(self) -> None:
        """Leave a fault unconfirmed, because the block has a larger one."""
        self.outcome = Outcome.SUSPECT

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
        return min(-_DOWN, int(down)), max(_UP, int(up))

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
            self.outcome = Outcome.WRONG
        elif best.budget <= visible:
            self.outcome = Outcome.RIGHT
        else:
            self.outcome = Outcome.UNRESOLVED

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
            self.outcome = Outcome.KINK
        elif self.coordinate is not None and self.line.analytic != 0:
            self.outcome = Outcome.WRONG
        else:
            self.outcome = Outcome.OFF_KINK


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
