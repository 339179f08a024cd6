"""Units of ratings: what a network reads and says, whatever the ratings' own.

Defaults were chosen on MovieLens 1M. Other ratings are mapped to its mean and standard deviation,
so that the unit does not matter for ``regularization="auto"``. R and a R + b become the very same
numbers, counted in the steps of their grid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autorec_np._types import Array
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.engine.rows import KEPT

MEAN, SPREAD, WIDTH = 3.58, 1.117, 4.0  # of MovieLens 1M: mean, standard deviation, 5 - 1
MOST_LEVELS = 10_000  # of a grid
ON_GRID = 0.01  # steps to be off


class AffineMap(NamedTuple):
    """y = factor x + offset, in float64."""

    factor: float = 1.0
    offset: float = 0.0

    def __call__(self, values: Array) -> Array:
        mapped = values.astype(np.float64)
        mapped *= self.factor
        mapped += self.offset
        return mapped

    def inverse(self, values: Array) -> Array:
        mapped = values.astype(np.float64)
        mapped -= self.offset
        mapped /= self.factor
        return mapped

    def then(self, other: AffineMap) -> AffineMap:
        return AffineMap(other.factor * self.factor, other.factor * self.offset + other.offset)


class Mapped(NamedTuple):
    """Ratings in other `units`; `convert` has the map to them, to the bit, for any part."""

    ratings: Array
    scale: tuple[float, float]
    units: AffineMap
    convert: Callable[[Array], Array]

    @property
    def values(self) -> Array:
        return self.convert(self.ratings)

    @classmethod
    def by(cls, units: AffineMap, ratings: Array, scale: tuple[float, float]) -> Mapped:
        low, high = units(np.array(scale)).tolist()
        return cls(ratings, (low, high), units, units.__call__)


def canonical(ratings: Array, scale: tuple[float, float]) -> Mapped:
    """Map ratings to mean and standard deviation of MovieLens 1M, equal ones by width of scale.

    Steps of the grid are to be long against the rounding of float32.
    """
    levels = levels_of(ratings).astype(np.float64)
    start, step = float(levels[0]), step_of(levels)

    def steps(values: Array) -> Array:
        counted = (values.astype(np.float64) - start) / step
        nearest = np.rint(counted)
        return np.where(np.abs(counted - nearest) < ON_GRID, nearest, counted)

    mean, deviation = mean_and_deviation(ratings, steps)
    ends = steps(np.array(scale))
    if len(levels) > 1:
        factor = SPREAD / deviation
    else:
        factor = WIDTH / float(ends[1] - ends[0]) if ends[0] < ends[1] else 1.0
    of_steps = AffineMap(factor, MEAN - factor * mean)
    low, high = of_steps(ends).tolist()
    units = AffineMap(1.0 / step, -start / step).then(of_steps)
    return Mapped(ratings, (low, high), units, lambda values: of_steps(steps(values)))


def levels_of(ratings: Array, most: int = MOST_LEVELS) -> Array:
    """Return the values that occur, ascending; of more than `most` some, the least first."""
    levels: Array = ratings[:0]
    for start in range(0, len(ratings), KEPT):
        levels = np.union1d(levels, ratings[start : start + KEPT])
        if len(levels) > most:
            return np.union1d(ratings.min(), levels)
    return levels


def mean_and_deviation(ratings: Array, of: Callable[[Array], Array]) -> tuple[float, float]:
    """Return mean and standard deviation of a function of ratings, to NumPy's bit."""

    def total(of: Callable[[Array], Array], start: int, n: int) -> Any:
        if n <= KEPT:
            return of(ratings[start : start + n]).sum()
        half = n // 2 - n // 2 % 8  # as NumPy does
        return total(of, start, half) + total(of, start + half, n - half)

    n = len(ratings)
    mean = total(of, 0, n) / n
    return float(mean), float(np.sqrt(total(lambda some: (of(some) - mean) ** 2, 0, n) / n))


def step_of(levels: Array) -> float:
    """Return the longest step of which all distances are multiples, or 1.

    Euclid's algorithm for numbers rounded to float32: the rest of a distance is the next step.
    """
    if not 1 < len(levels) <= MOST_LEVELS:
        return 1.0
    rounding = float(np.finfo(np.float32).eps * np.abs(levels).max())
    distances = (levels[1:] - levels[0]).tolist()
    step, doubt = float(np.diff(levels).min()), 2 * rounding
    while step > 8 * rounding:
        told, told_doubt = step, doubt
        for distance in distances:
            count = round(distance / told)
            rest, error = abs(distance - count * told), 2 * rounding + count * told_doubt
            if error > step / 4:
                return 1.0
            if rest > error:
                break
            told, told_doubt = distance / count, 2 * rounding / count
        else:
            return told
        step, doubt = rest, error
    return 1.0


def map_onto_outputs(output_activation: str, mapped: Mapped, centered: bool) -> AffineMap:
    """Return the map of ratings, as the network reads them, to what it is to say, (17).

    The scale onto (0, 1) or (-1, 1) for a bounded output. Others say the ratings; those with a
    least value say them raised, unless `centered`, where the low end is out of reach.
    """
    f, (low, high) = ACTIVATIONS[output_activation], mapped.scale
    if not f.bounded:
        return AffineMap(1.0, 0.0 if centered else max(0.0, f.lower - low))
    if low == high:
        raise ValueError(
            f"output_activation={output_activation!r} needs a rating scale with two ends, but "
            f"every rating is {mapped.units.inverse(np.array(low)):g}; pass "
            f"rating_scale=(low, high)."
        )
    factor = (f.upper - f.lower) / (high - low)
    return AffineMap(factor, f.lower - factor * low)
