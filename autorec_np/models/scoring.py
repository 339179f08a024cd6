"""What an AutoRec has learned, and its scores in rating units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from autorec_np._types import CSR, Array
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.implicit import IMPLICIT, ImplicitNetwork, scaled_pattern
from autorec_np.core.kernels import spmm, spmm_transpose, with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.planes import Planes
from autorec_np.data.entries import frozen, row_of_each
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import rmse
from autorec_np.engine.rows import (
    KEPT,
    Rated,
    Scaled,
    column_counts,
    encode,
    numbers,
    pattern_of,
    row_block,
    row_blocks,
    rows_of,
    take,
)
from autorec_np.engine.threads import Workers
from autorec_np.models.base import Axes, Record
from autorec_np.models.biases import FittedBiases, FittedMean, ridge
from autorec_np.training.checkpoint import digest_of
from autorec_np.training.solvers import run_lbfgs
from autorec_np.training.trainer import reliability
from autorec_np.training.units import AffineMap

if TYPE_CHECKING:
    from autorec_np.training.solvers import EpochMonitor

Baseline: TypeAlias = "FittedBiases | FittedMean"
Inputs: TypeAlias = "CSR | Planes"

MAX_ITER, TOLERANCE = 500, 1e-10  # without a closed form
PAIRS_PER_CHUNK = 16_384  # that are gathered at once
ENTRIES_AT_ONCE = 2**16  # that are mapped
RATED = 3.0  # in the first of two planes
FEATURE_RANGE = 6.0  # as the network reads it: docs/decisions.md


class Course(NamedTuple):
    """How a training went: see `AutoRec`."""

    loss_curve: tuple[float, ...] = ()
    validation_curve: tuple[float, ...] = ()
    n_iter: int = 0
    n_evaluations: int = 0


class Implicit(NamedTuple):
    """The implicit decoder; the decoder weight is served with it.

    `weight` (n_rows, q) is Y, 0 for rows not in training; `shares` (n_columns, q) is N Y.
    """

    weight: Array
    shares: Array

    def shares_of(self, rated: CSR) -> Array:
        """Return N Y, (m, q), of columns that have rated `rated` (m, n_rows).

        Rows that were not in training do not count.
        """
        has_y = np.any(self.weight, axis=1).astype(self.weight.dtype)
        pattern = with_data(rated, has_y.take(rated.indices))
        lengths = np.sqrt(np.maximum(pattern.sum(axis=1), 1.0))
        return np.asarray(spmm(pattern, self.weight) / lengths[:, np.newaxis])


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Fitted(Record):
    """What an AutoRec has learned: see there; arrays are read-only.

    `cold_baseline` is of the ratings trained on. `network` is the plain one: with an implicit
    decoder, the decoder weight in `theta` is W + [N Y, 0]. Rows of decoder weight and bias are
    multiplied by the `reliability` of their columns.
    """

    network: Network
    theta: Array
    codes: Array
    axes: Axes
    input_map: AffineMap
    output_map: AffineMap
    penalties: Mapping[str, float]
    baseline: Baseline | None
    cold_baseline: FittedBiases
    course: Course = field(default_factory=Course)
    implicit: Implicit | None = None
    inputs: str = "ratings"
    shrinkage: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.implicit is not None:
            object.__setattr__(self, "implicit", Implicit(*map(frozen, self.implicit)))

    @property
    def training(self) -> Ratings:
        return self.cold_baseline.ratings

    @property
    def counts(self) -> dict[str, Array]:
        return self.cold_baseline.counts

    @property
    def weights(self) -> dict[str, Array]:
        return self.network.layout.views(self.theta)

    @property
    def decoder_penalty(self) -> float:
        """lambda of the decoder weight, in units of the output; of tied weights, both."""
        block = self.network.layout.aliases.get("decoder.weight", "decoder.weight")
        penalties = scaled(self.penalties, self.output_map.factor)
        return sum(penalties.get(name, 0.0) for name in {block, "decoder.weight"})

    @property
    def n_implicit(self) -> int:
        return 0 if self.implicit is None else self.implicit.weight.shape[1]

    def presented(self, rated: CSR) -> CSR:
        """Return the ratings that :meth:`read` reads."""
        return rated

    def vectors(self, axis: str) -> Array:
        return self.codes if axis == self.axes.row else self.weights["decoder.weight"]

    def read(self, rated: CSR, biases: Array, rows: Array | None = None) -> Inputs:
        """Return what the network reads of ratings with bias baseline `biases`, (nnz,).

        `rows` are theirs; None: new ones, whose features are taken to be average.
        """
        features = self.ratings.features.get(self.axes.row)
        if features is not None:
            new = np.zeros((rated.shape[0], features.shape[1]))
            features = new if rows is None else features[rows]
        dtype = self.theta.dtype
        return network_inputs(self.inputs, rated, biases, features, self.input_map, dtype)

    def to_ratings(self, activity: Array) -> Array:
        f = ACTIVATIONS[self.network.output_activation].forward
        return self.output_map.inverse(f(activity))

    def fit_columns(
        self, rated: CSR, residuals: Array, shares: Array | None
    ) -> tuple[Array, Array]:
        """Return decoder weights (m, k) and biases (m,), by `fit_column`, times `reliability`.

        `rated` (m, n_rows) says who rated these columns; `residuals` (nnz,) are ratings minus
        baseline. `shares` (m, q) of an implicit decoder are in the weights, and not penalized.
        """
        targets, codes = self.output_map(residuals), self.codes
        penalty, output_activation = self.decoder_penalty, self.network.output_activation
        weights = np.zeros((rated.shape[0], codes.shape[1]))
        biases = np.zeros(len(weights))
        for column, (start, stop) in enumerate(pairwise(rated.indptr)):
            if start < stop:
                own = codes[rated.indices[start:stop]].astype(np.float64)
                offset = 0.0 if shares is None else own[:, : shares.shape[1]] @ shares[column]
                weights[column], biases[column] = fit_column(
                    own, targets[start:stop], penalty, output_activation, offset
                )
        if shares is not None:
            weights[:, : shares.shape[1]] += shares
        kept = reliability(np.diff(rated.indptr), self.shrinkage)
        return weights * kept[:, np.newaxis], biases * kept

    def score_pairs(self, users: Array, items: Array, cold: str | float = "baseline") -> Array:
        """As in `Record`; of cold pairs as `cold` says: "raise" is a ValueError."""
        is_cold = self.is_cold(users, items)
        if cold == "raise":
            refuse_cold(is_cold)
        scores = self._cold_scores(users, items, cold)
        warm = np.flatnonzero(~is_cold)
        users, items = users[warm], items[warm]
        learned = self.learned_at(*self.axes.rows_and_columns(users, items))
        scores[warm] = learned + baseline_at(self.baseline, users, items)
        return scores

    def score_all_items(self, users: Array, cold: str | float = "baseline") -> Array:
        """As `score_pairs`; where `cold` is "raise", a cold item has -inf."""
        weight, bias = self.weights["decoder.weight"], self.weights["decoder.bias"]
        if self.axes.row == "user":
            activity = self.codes[users] @ weight.T + bias
        else:
            activity = weight[users] @ self.codes.T + bias[users, np.newaxis]
        scores = self.to_ratings(activity)
        if self.baseline is not None:
            scores += self.baseline.score_all_items(users)
        is_cold = self.is_cold(users[:, np.newaxis], np.arange(self.ratings.n_items))
        if cold == "raise":
            refuse_cold(self.counts["user"][users] == 0)
            scores[is_cold] = -np.inf
        elif is_cold.any():
            rows, items = np.nonzero(is_cold)
            scores[rows, items] = self._cold_scores(users[rows], items, cold)
        return scores

    def learned_at(self, rows: Array, columns: Array) -> Array:
        """Return scores without a baseline, (n,)."""
        weight, bias = self.weights["decoder.weight"], self.weights["decoder.bias"]
        activity = np.empty(len(rows), self.theta.dtype)
        for start in range(0, len(rows), PAIRS_PER_CHUNK):
            part = slice(start, start + PAIRS_PER_CHUNK)
            np.einsum("ij,ij->i", self.codes[rows[part]], weight[columns[part]], out=activity[part])
        return self.to_ratings(activity + bias[columns])

    def _cold_scores(self, users: Array, items: Array, cold: str | float) -> Array:
        if isinstance(cold, str):
            return self.cold_baseline.score_pairs(users, items)
        return np.full(len(users), float(cold))


def refuse_cold(is_cold: Array) -> None:
    if is_cold.any():
        raise ValueError(
            f"{is_cold.sum()} of {len(is_cold)} pairs are cold (their user or item has no training "
            f"rating) and cold='raise'; leave them out (model.cold_pairs tells which) or use "
            f"cold='baseline'."
        )


def inputs_of(rated: CSR, input_map: AffineMap, dtype: npt.DTypeLike) -> CSR:
    return with_data(rated, input_map(rated.data).astype(dtype))


def network_inputs(
    kind: str,
    rated: CSR,
    biases: Array,
    features: Array | None,
    input_map: AffineMap,
    dtype: npt.DTypeLike,
) -> Inputs:
    """Return what the network reads, by `kind` "ratings" or "planes", and features, if any.

    Planes say who is rated, and how far above the `biases` (nnz,): see `core.planes`.
    """
    if kind == "planes":
        planes = np.full((2, rated.nnz), RATED, dtype)
        planes[1] = input_map.factor * (rated.data.astype(np.float64) - biases)
    else:
        inputs = inputs_of(rated, input_map, dtype)
        if features is None:
            return inputs
        planes = inputs.data[np.newaxis]
    return Planes(rated, planes, None if features is None else features_of(features, dtype))


def features_of(features: Array, dtype: npt.DTypeLike) -> Array:
    return np.asarray(FEATURE_RANGE * features, dtype)


def network_for(
    pattern: CSR,
    n_inputs: int,
    hidden_layer_sizes: Sequence[int],
    activation: str,
    output_activation: str,
    tied: bool,
    n_implicit: int,
    dtype: npt.DTypeLike,
    turned: Callable[[], CSR] | None = None,
) -> Network:
    """Return the network for a pattern; `n_implicit` 0: the plain decoder.

    `turned` gives the transpose of a pattern that is too long to be copied.
    """
    n_columns = pattern.shape[1]
    wider = None if n_inputs == n_columns else n_inputs
    shape = n_columns, hidden_layer_sizes, activation, output_activation
    if not n_implicit:
        return Network(*shape, tied, wider)
    rated: Any
    if turned is None or pattern.nnz <= KEPT:
        rated = scaled_pattern(pattern, dtype)
    else:
        scale = np.maximum(column_counts(pattern), 1) ** -0.5
        rated = Scaled(pattern, scale.astype(dtype), turned)
    return ImplicitNetwork(*shape, n_inputs=wider, rated=rated, n_implicit=n_implicit)


def by_plane(block: Array, n_columns: int) -> tuple[Array, Array]:
    """Return views of a block: rows of columns, (n_planes, n_columns, ...), and others."""
    end = len(block) - len(block) % n_columns
    return block[:end].reshape(-1, n_columns, *block.shape[1:]), block[end:]


def pairs_of(rated: CSR, axes: Axes, rows: Array | None = None) -> tuple[Array, Array]:
    """Return users and items of ratings; `rows` of the matrix, None: all."""
    of_each = row_of_each(rated)
    return axes.users_and_items(of_each if rows is None else rows[of_each], rated.indices)


def baseline_at(baseline: Baseline | None, users: Array, items: Array) -> Array | float:
    return 0.0 if baseline is None else baseline.score_pairs(users, items)


def targets_of(
    rated: CSR,
    axes: Axes,
    baseline: Baseline | None,
    output_map: AffineMap,
    dtype: npt.DTypeLike,
    rows: Array | None = None,
) -> CSR:
    residuals = rated.data.astype(np.float64) - baseline_at(baseline, *pairs_of(rated, axes, rows))
    return with_data(rated, output_map(residuals).astype(dtype))


@dataclass(frozen=True)
class Reading:
    """What a network reads and is to say of the `rated` ratings, made of any rows of them.

    `convert` gives the ratings of the stored, of which `biases` is the bias baseline.
    """

    rated: CSR
    axes: Axes
    convert: Callable[[Array], Array]
    biases: FittedBiases
    dtype: npt.DTypeLike

    def inputs(self, kind: str, features: Array | None, input_map: AffineMap) -> Rated:
        def read(part: CSR, rows: Array) -> Inputs:
            biases = np.zeros(0)
            if kind == "planes":
                biases = self.biases.score_pairs(*pairs_of(part, self.axes, rows))
            return network_inputs(kind, part, biases, None, input_map, self.dtype)

        def of(rows: Array | slice) -> Inputs:
            block, data = self.made(rows, read)
            known = None if features is None else features_of(features[rows], self.dtype)
            if kind == "ratings" and known is None:
                return with_data(block, data)
            return Planes(block, np.atleast_2d(data), known)

        return rows_of(self.rated, of)

    def targets(self, baseline: Baseline | None, output_map: AffineMap) -> Rated:
        def said(part: CSR, rows: Array) -> CSR:
            return targets_of(part, self.axes, baseline, output_map, self.dtype, rows)

        return rows_of(self.rated, lambda rows: with_data(*self.made(rows, said)))

    def made(self, rows: Array | slice, of: Callable[[CSR, Array], Inputs]) -> tuple[CSR, Array]:
        """Return some rows as stored, and the data that `of` makes of parts of them."""
        block, places = take(self.rated, rows), numbers(rows)
        parts = []
        for some in [*row_blocks(np.diff(block.indptr), ENTRIES_AT_ONCE)] or [slice(0, 0)]:
            part = row_block(block, some)
            part.data = self.convert(part.data)
            parts.append(of(part, places[some]).data)
        return block, np.concatenate(parts, axis=-1)


def scaled(penalties: Mapping[str, float], factor: float) -> dict[str, float]:
    """Return lambda for ratings times a factor: (2) grows by its square."""
    return {name: penalty * factor**2 for name, penalty in penalties.items()}


@dataclass(frozen=True)
class TrainingTask:
    """One training: what the network reads and is to say.

    `penalties` and targets are in units of the output; the curve is divided by `loss_unit`.
    `shrinkage` is c of `reliability`. `every_input` includes ratings held out for early stopping.
    `validation`: positions of users and items, and ratings.
    """

    network: Network
    penalties: Mapping[str, float]
    shrinkage: float
    input_map: AffineMap
    loss_unit: float
    theta: Array
    inputs: Rated
    targets: Rated
    every_input: Rated
    validation: tuple[Array, Array, Array] | None
    fitted: Callable[..., Fitted]
    measure: ClassVar[str] = "validation RMSE"

    def facts(self, *followed: Array) -> dict[str, Any]:
        """Return what tells it from others: ratings, those `followed`, and the start."""
        fitted: Any = self.fitted
        data: Ratings = fitted.keywords["ratings"]
        matrix, features = data.matrix, data.features.values()
        arrays = matrix.indptr, matrix.indices, matrix.data, data.user_ids, data.item_ids
        digest = digest_of([*arrays, np.array(data.scale), *features])
        return {
            "ratings": f"{len(data):,} of {data.n_users:,} x {data.n_items:,} (SHA-256 {digest})",
            "validation": digest_of(followed or self.validation or ()),
            "start": digest_of([self.theta]),
        }

    def objective(self) -> Objective:
        return Objective(self.network, self.penalties)

    def record(self, theta: Array, inputs: Rated, workers: Workers | None, **others: Any) -> Fitted:
        """Return the record of trained weights, with the codes of `inputs`."""
        network, own = self.network, theta.copy()
        if isinstance(network, ImplicitNetwork):
            weight = network.layout.views(theta)[IMPLICIT].copy()
            weight[np.diff(pattern_of(self.targets).indptr) == 0] = 0.0  # was random
            shares = spmm_transpose(network.rated, weight)
            network = network.plain
            own = own[: network.layout.size]
            network.layout.views(own)["decoder.weight"][:, : weight.shape[1]] += shares
            others["implicit"] = Implicit(weight, shares)
        counts = column_counts(self.targets)
        scale_columns(network.layout.views(own), reliability(counts, self.shrinkage))
        return self.fitted(
            theta=own,
            codes=encode(network, own, inputs, workers),
            shrinkage=self.shrinkage,
            **others,
        )

    def validation_with(
        self, workers: Workers | None, cold: str | float
    ) -> Callable[[Array], float] | None:
        if self.validation is None:
            return None
        users, items, truth = self.validation

        def validate(theta: Array) -> float:
            fitted = self.record(theta, self.inputs, workers)
            scores = fitted.score_pairs(users, items, cold)
            return rmse(truth, np.clip(scores, *fitted.ratings.scale))

        return validate

    def conclude(
        self, workers: Workers | None, theta: Array, monitor: EpochMonitor, keep_best: bool
    ) -> Fitted:
        if keep_best and monitor.best_theta is not None:
            theta = monitor.best_theta
        n_iter = monitor.n_complete
        course = Course(
            tuple(monitor.values[:n_iter]), tuple(monitor.curve), n_iter, monitor.n_evaluations
        )
        return self.record(theta, self.every_input, workers, course=course)


def scale_columns(views: Mapping[str, Array], factors: Array) -> None:
    views["decoder.weight"][...] *= factors[:, np.newaxis]
    views["decoder.bias"][...] *= factors


def start_again(
    last: Fitted, network: Network, axes: Axes, data: Ratings, dtype: npt.DTypeLike
) -> Array:
    """Return the last weights for another training, Y by ids of rows."""
    row_ids, column_ids = axes.rows_and_columns(data.user_ids, data.item_ids)
    plain, n_units = network, 0
    if isinstance(network, ImplicitNetwork):
        plain, n_units = network.plain, network.n_implicit
    if not (
        last.axes == axes
        and last.network.layout.shapes == plain.layout.shapes
        and last.n_implicit == n_units
        and np.array_equal(last.ids(axes.column), column_ids)
    ):
        columns = f"{axes.column}s"
        raise ValueError(
            f"warm_start=True needs the orientation, {columns}, layer sizes, implicit units and "
            f"inputs of the last fit, but they differ; call partial_fit with ratings of new "
            f"{columns} first, or use warm_start=False."
        )
    theta = np.zeros(network.layout.size, dtype)
    theta[: plain.layout.size] = last.theta
    views = network.layout.views(theta)
    kept = reliability(last.counts[axes.column][:-1], last.shrinkage)
    scale_columns(views, 1 / np.where(kept, kept, 1.0))
    if last.implicit is not None:
        views["decoder.weight"][:, :n_units] -= last.implicit.shares
        places = last.find(axes.row, row_ids)
        known = places >= 0
        views[IMPLICIT][known] = last.implicit.weight[places[known]]
    return theta


def fit_column(
    codes: Array,
    targets: Array,
    penalty: float,
    output_activation: str = "identity",
    offset: Array | float = 0.0,
) -> tuple[Array, float]:
    """Return the decoder row w (k,) and bias b of one new column, in float64.

    Minimizes sum_r (t_r - f(h_r . w + b + o_r))^2 + penalty / 2 ||w||^2 over rows r with frozen
    `codes` h (n, k), `targets` t (n,) and an `offset` o, (n,) or 0: what an implicit decoder adds.
    With an identity output this is a ridge problem with a free intercept. Its dual form, (18), has
    the size of the targets, the primal of the codes: the smaller is solved. A penalty of 0 gives
    the solution of least norm. Another output takes L-BFGS.

        w = Hc^T a,   (Hc Hc^T + penalty / 2 I) a = t - mean(t),   b = mean(t) - mean(h) . w
    """
    codes, targets = (array.astype(np.float64, copy=False) for array in (codes, targets))
    if output_activation == "identity":
        return ridge(codes, targets - offset, penalty)
    return _minimize(codes, targets, penalty, output_activation, offset)


def _minimize(
    codes: Array, targets: Array, penalty: float, output_activation: str, offset: Array | float
) -> tuple[Array, float]:
    f = ACTIVATIONS[output_activation]

    def fun(column: Array) -> tuple[float, Array]:
        weight, bias = column[:-1], column[-1]
        outputs = f.forward(codes @ weight + bias + offset)
        residuals = outputs - targets
        d_activity = 2 * residuals * f.derivative(outputs)
        value = float(residuals @ residuals + penalty / 2 * (weight @ weight))
        return value, np.append(codes.T @ d_activity + penalty * weight, d_activity.sum())

    start = np.append(np.zeros(codes.shape[1]), targets.mean())
    column = run_lbfgs(fun, start, max_iter=MAX_ITER, tol=TOLERANCE).theta
    return column[:-1], float(column[-1])
