"""Where a training starts: units, penalties and first weights.

Defaults were chosen on MovieLens 1M. Other ratings are mapped to its mean and standard deviation,
so that the unit does not matter for ``regularization="auto"``. R and a R + b become the very same
numbers: ratings are counted in the steps of their grid, of half stars for example.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autorec_np._types import CSR, Array
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.network import Network

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
    """Ratings in other `units`, the map to them."""

    values: Array
    scale: tuple[float, float]
    units: AffineMap

    @classmethod
    def by(cls, units: AffineMap, ratings: Array, scale: tuple[float, float]) -> Mapped:
        low, high = units(np.array(scale)).tolist()
        return cls(units(ratings), (low, high), units)


def canonical(ratings: Array, scale: tuple[float, float]) -> Mapped:
    """Map ratings to mean and standard deviation of MovieLens 1M.

    R and a R + b give the same bits, where ratings lie on a grid whose steps are long against the
    rounding of float32. The factor of equal ratings is by the width of their scale, or 1 where
    that is a point.
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
    """Return the longest step of which all distances are multiples, or 1.

    Euclid's algorithm for ascending numbers rounded to float32: what a distance leaves when divided
    by the step is the next step.
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

    For a bounded output, the rating scale is mapped onto (0, 1) or (-1, 1). Other outputs say the
    ratings; those with a least value say them raised, unless `centered`, where the low end of the
    scale is out of reach.
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


def starting_theta(
    network: Network,
    targets: CSR,
    centered: bool,
    penalty: float,
    random_state: np.random.Generator,
    dtype: npt.DTypeLike = np.float64,
) -> Array:
    """Return a random theta whose outputs are about the mean of the targets.

    While weights are small, hidden units are about g(0). Where this is not 0, rated columns start
    from b = 0 with mean / (k g(0)) added to W, where the penalty holds the mean: J ends higher than
    from b = mean, and the RMSE of new ratings lower. b is the mean where g(0) = 0, W is V (tied),
    targets are `centered`, or the `penalty` of such a W is more than their squared deviations. A
    bounded output starts in its middle.
    """
    theta = network.layout.initialize(random_state, dtype)
    if ACTIVATIONS[network.output_activation].bounded:
        return theta
    views, mean = network.layout.views(theta), targets.data.mean(dtype=np.float64)
    views["decoder.bias"][...] = mean
    at_zero = ACTIVATIONS[network.activation].forward(np.zeros(1))[0]
    if centered or network.tied or at_zero == 0.0:
        return theta
    width = network.hidden_layer_sizes[-1]
    share = mean / (width * at_zero)
    rated = np.flatnonzero(np.bincount(targets.indices))
    cost = penalty / 2 * len(rated) * width * share**2
    if cost < targets.nnz * targets.data.var(dtype=np.float64):
        views["decoder.weight"][rated] += share
        views["decoder.bias"][rated] = 0.0
    return theta


# docs/decisions.md, "The automatic penalty".
ENCODER_FACTOR = 36.0
DECODER_FACTOR = 12.0
DETECTABLE = 16.0  # root of ratings at which one says as much as the baseline


def automatic_penalties(network: Network, matrix: CSR, corruption: float = 0.0) -> dict[str, float]:
    """Return lambda of (2) for each weight block, in canonical units (`canonical`).

    lambda = factor * (n_row n_column)^(1/4), with factor 36 (1 - corruption)^2 for the encoder
    weight and 12 for others; n_row and n_column are :func:`typical_count` of rows and columns: both
    orientations have the same penalties.

    What corruption leaves is divided by (1 - corruption): on the inputs as they were acts
    V / (1 - corruption), whose penalty has factor 36. Of the training ratings, `matrix`
    (n_rows, n_columns), only the pattern is read.
    """
    unit = typical_root(matrix)
    names = [*network.layout.shapes, *network.layout.aliases]
    penalties = {name: unit * DECODER_FACTOR for name in names if name.endswith(".weight")}
    return penalties | {"encoder.weight": unit * ENCODER_FACTOR * (1.0 - corruption) ** 2}


def automatic_shrinkage(matrix: CSR) -> float:
    """Return c = 2^16 / (n_row n_column), in ratings, of `reliability`."""
    return (DETECTABLE / typical_root(matrix)) ** 4


def reliability(counts: Array, shrinkage: float) -> Array:
    """Return n / (n + c), (42), the part of their output that columns with n ratings keep."""
    return counts / (counts + shrinkage) if shrinkage else np.ones(np.shape(counts))


def typical_root(matrix: CSR) -> float:
    """Return (n_row n_column)^(1/4) of ratings: see `automatic_penalties`."""
    of_rows, of_columns = np.diff(matrix.indptr), np.bincount(matrix.indices)
    return float((typical_count(of_rows) * typical_count(of_columns)) ** 0.25)


def typical_count(counts: Array) -> float:
    """Return the mean count of ratings: sum n^2 / sum n."""
    counts = counts.astype(np.float64)
    return float(counts @ counts / counts.sum())
