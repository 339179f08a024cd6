"""The units of ratings in which the defaults were chosen, and the maps there and back.

Every default (penalties, learning rates, first weights, tolerances) was chosen on the ratings of
MovieLens 1M. Other ratings are mapped to their mean and standard deviation first, so that what
``regularization="auto"`` learns does not depend on the unit of the ratings. A training of many
steps makes something else of the least difference in rounding. So R and a R + b have to become the
very same numbers: ratings are counted in the steps of their grid, of half stars for example.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from autorec_np._types import Array
from autorec_np.core.activations import ACTIVATIONS

MEAN, SPREAD, WIDTH = 3.58, 1.117, 4.0  # of MovieLens 1M: mean, standard deviation, 5 - 1
MOST_LEVELS = 10_000  # of a grid
ON_GRID = 0.01  # steps that a value may be off


class AffineMap(NamedTuple):
    """y = factor x + offset, in float64."""

    factor: float = 1.0
    offset: float = 0.0

    def __call__(self, values: Array) -> Array:
        """Return y for each x."""
        mapped = values.astype(np.float64)
        mapped *= self.factor
        mapped += self.offset
        return mapped

    def inverse(self, values: Array) -> Array:
        """Return x for each y."""
        mapped = values.astype(np.float64)
        mapped -= self.offset
        mapped /= self.factor
        return mapped

    def then(self, other: AffineMap) -> AffineMap:
        """Return the map that applies this one first, and then another."""
        return AffineMap(other.factor * self.factor, other.factor * self.offset + other.offset)


class Mapped(NamedTuple):
    """Ratings in other units.

    Attributes
    ----------
    values : ndarray of float64, (n,)
    scale : tuple of float
    units : AffineMap
        Of ratings as they are to these.
    """

    values: Array
    scale: tuple[float, float]
    units: AffineMap

    @classmethod
    def by(cls, units: AffineMap, ratings: Array, scale: tuple[float, float]) -> Mapped:
        """Apply a map as it is."""
        low, high = units(np.array(scale)).tolist()
        return cls(units(ratings), (low, high), units)


def canonical(ratings: Array, scale: tuple[float, float]) -> Mapped:
    """Map ratings to the mean and standard deviation of those of MovieLens 1M.

    R and a R + b give the same values to the bit, where the ratings lie on a grid whose steps are
    long against the rounding of float32. Equal ratings have no standard deviation: the width of
    their scale gives the factor, or where the scale is a single point too, the factor is 1.

    Parameters
    ----------
    ratings : ndarray of float32, (n,)
    scale : tuple of float
    """
    levels = np.unique(ratings).astype(np.float64)
    start, step = float(levels[0]), step_of(levels)

    def steps(values: Array) -> Array:
        counted = (values.astype(np.float64) - start) / step
        nearest = np.rint(counted)
        return np.where(np.abs(counted - nearest) < ON_GRID, nearest, counted)

    counted, ends = steps(ratings), steps(np.array(scale))
    if len(levels) > 1:
        factor = SPREAD / float(counted.std())
    else:
        factor = WIDTH / float(ends[1] - ends[0]) if ends[0] < ends[1] else 1.0
    of_steps = AffineMap(factor, MEAN - factor * float(counted.mean()))
    low, high = of_steps(ends).tolist()
    units = AffineMap(1.0 / step, -start / step).then(of_steps)
    return Mapped(of_steps(counted), (low, high), units)


def step_of(levels: Array) -> float:
    """Return the longest step of which all distances are multiples, 1 where there is none.

    Euclid's algorithm for numbers that were rounded to float32: what a distance leaves when divided
    by the step is the next step. Longer distances tell the step more exactly.

    Parameters
    ----------
    levels : ndarray of float64, (n,)
        In ascending order.
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
    """Return the map of ratings, in the units that the network reads, to what it is to say, (17).

    For a bounded output, the rating scale is mapped onto (0, 1) or (-1, 1). Any other output says
    the ratings; if it has a least value and ratings are not `centered`, which are differences, they
    are raised where the low end of the scale would be out of reach.

    Raises
    ------
    ValueError
        The output is bounded, and the scale is a single point.
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
