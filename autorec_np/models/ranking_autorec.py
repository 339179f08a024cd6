"""The estimator `RankingAutoRec`: lists from who chose what, by the objective over all cells."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import signature
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from autorec_np._text import knows_habits
from autorec_np._types import CSR, Array, Axis, Solver
from autorec_np._validation import RandomState, check_choice, check_number
from autorec_np.core.all_cells import AllCells, gram
from autorec_np.core.kernels import with_data
from autorec_np.core.objective import Objective
from autorec_np.core.planes import Planes
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import ndcg
from autorec_np.engine.rows import Rated, column_counts, rows_of
from autorec_np.engine.threads import Workers
from autorec_np.models.autorec import AutoRec, check_parameters
from autorec_np.models.base import Axes, Self
from autorec_np.models.biases import FittedBiases
from autorec_np.models.frames import top_n
from autorec_np.models.interactions import (
    VALUES,
    ListRecommender,
    ListRecord,
    check_positives,
    counting,
    reaching,
    to_interactions,
    weights_of,
)
from autorec_np.models.newcomers import score_new
from autorec_np.models.scoring import (
    Fitted,
    Inputs,
    Reading,
    TrainingTask,
    start_again,
)
from autorec_np.training.solvers import EpochCallback
from autorec_np.training.trainer import warn_of_interrupt
from autorec_np.training.units import AffineMap, levels_of

N_VALIDATED = 10  # places of the lists that are followed
# docs/defaults.md
EPOCHS = 60  # of "adam"
PENALTIES = {"binary": 30.0, "counts": 30.0, "ratings": 10.0}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedRanking(ListRecord, Fitted):
    """What a `RankingAutoRec` has learned."""

    unobserved_weight: float
    unobserved_target: float

    @cached_property
    def training(self) -> Ratings:
        return reaching(self.cold_baseline.ratings, self.threshold)

    @property
    def counts(self) -> dict[str, Array]:
        return self._counted

    @cached_property
    def gram(self) -> Array:
        """[H, 1]^T [H, 1] of all rows, for new columns, (75)."""
        return gram(np.column_stack([self.codes, np.ones(len(self.codes), self.codes.dtype)]))

    def read(self, rated: CSR, biases: Array | None = None, rows: Array | None = None) -> Inputs:
        """Return what the network reads of interactions, as they were given."""
        return super().read(self.presented(rated), np.zeros(0), rows)

    def presented(self, rated: CSR) -> CSR:
        return presented(self.told(rated), self.values)

    def score_all_items(self, users: Array, cold: str | float = "baseline") -> Array:
        rows, columns = self.axes.rows_and_columns(users, np.arange(self.ratings.n_items))
        scores = self.decoded(self.codes[rows], columns)
        return np.asarray(scores if self.axes.row == "user" else scores.T, order="C")

    def score_pairs(self, users: Array, items: Array, cold: str | float = "baseline") -> Array:
        rows, columns = self.axes.rows_and_columns(users, items)
        scores = np.full(len(users), self.unobserved_target)
        known, new = (np.flatnonzero((columns >= 0) & one) for one in (rows >= 0, rows < 0))
        scores[known] = self.learned_at(rows[known], columns[known])
        if len(new):  # as a row without anything
            nothing: CSR = sparse.csr_array((1, self.network.n_columns))
            [row] = self.decoded(self.network.encode(self.theta, self.read(nothing)))
            scores[new] = row[columns[new]]
        return scores

    def decoded(self, codes: Array, columns: Array | slice = slice(None)) -> Array:
        """Return the outputs (n, m) of codes (n, k)."""
        weight, bias = self.weights["decoder.weight"], self.weights["decoder.bias"]
        return np.asarray(codes @ weight[columns].T + bias[columns], np.float64)

    def score_newcomers(self, rated: CSR, axis: str) -> Array:
        """Return scores (m, n) from interactions (m, n), as they were given."""
        if axis == self.axes.row:
            return self.decoded(self.network.encode(self.theta, self.read(rated)))
        shares = self.implicit and self.implicit.shares_of(self.told(rated))
        weights, biases = self.fit_columns(rated, rated.data, shares)
        return np.asarray(weights @ self.codes.T + biases[:, np.newaxis])

    def fit_columns(
        self, rated: CSR, residuals: Array, shares: Array | None
    ) -> tuple[Array, Array]:
        """Return decoder weights (m, k) and biases (m,) of columns `rated` (m, n_rows), (75)."""
        k, wanted = self.codes.shape[1], self.told(rated)
        found = np.zeros((wanted.shape[0], k + 1))
        for column, (start, stop) in enumerate(pairwise(wanted.indptr)):
            if start < stop:
                share = np.zeros(k + 1)
                if shares is not None:
                    share[: shares.shape[1]] = shares[column]
                matrix, pulls = self.problem(
                    wanted.indices[start:stop], wanted.data[start:stop], share
                )
                found[column] = solved(matrix, pulls.sum(axis=0))
        return found[:, :k], found[:, k] + self.unobserved_target

    def problem(self, rows: Array, data: Array, share: Array) -> tuple[Array, Array]:
        """Return A and the summands, (n + 1, k + 1), of A [w, b - t0]: of each row, and `share`.

        By (75), as only interactions differ from t0.
        """
        w0, t0, k = self.unobserved_weight, self.unobserved_target, self.codes.shape[1]
        z = np.column_stack([self.codes[rows].astype(np.float64), np.ones(len(rows))])
        targets, weights = targets_and_weights(data, self.values, self.input_map)
        matrix = (z.T * (weights - w0)) @ z + w0 * self.gram
        ridge = np.append(np.full(k, self.decoder_penalty / 2), 0.0)
        matrix[np.diag_indices(k + 1)] += ridge
        pulls = (weights * (targets - t0))[:, np.newaxis] * z
        return matrix, np.vstack([pulls, ridge * share])


def solved(matrix: Array, right: Array) -> Array:
    """Return the solution, of a singular matrix that of least norm."""
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right)[0])


def presented(wanted: CSR, values: str) -> CSR:
    """Return what the network is told of interactions: how often is only a weight."""
    return with_data(wanted, np.ones(wanted.nnz)) if values == "counts" else wanted


def targets_and_weights(data: Array, values: str, input_map: AffineMap) -> tuple[Array, Array]:
    """Return t and c of interactions that count, (n,)."""
    ones = np.ones(len(data))
    return (input_map(data), ones) if values == "ratings" else (ones, data)


def onto_unit(levels: Array, scale: tuple[float, float]) -> AffineMap:
    """Return the map of ratings onto (0, 1]: the lowest is one step above 0."""
    low, high = scale
    step = min(np.diff(levels_of(levels, len(levels))), default=1.0)
    factor = 1.0 / float(high - low + step)
    return AffineMap(factor, factor * float(step - low))


@dataclass(frozen=True, kw_only=True)
class ListTask(TrainingTask):
    """One training of lists; `held_out`: interactions by position, users x items."""

    measure: ClassVar[str] = "1 - validation NDCG@10"

    unobserved: tuple[float, float]
    seen: CSR
    held_out: CSR | None

    def facts(self, *followed: Array) -> dict[str, Any]:
        held_out = self.held_out
        if held_out is not None:
            followed = held_out.indptr, held_out.indices, held_out.data
        return super().facts(*followed)

    def objective(self) -> Objective:
        counted = column_counts(self.targets) > 0
        return AllCells(self.network, self.penalties, *self.unobserved, counted=counted)

    def validation_with(
        self, workers: Workers | None, cold: str | float
    ) -> Callable[[Array], float] | None:
        held_out = self.held_out
        if held_out is None:
            return None
        users = np.flatnonzero(np.diff(held_out.indptr))
        counts = np.diff(held_out.indptr)[users]
        wanted = with_data(held_out, np.ones(held_out.nnz, bool))[users].toarray()

        def validate(theta: Array) -> float:
            fitted = self.record(theta, self.inputs, workers)
            scores = fitted.score_all_items(users)
            scores[fitted.user_counts[users] == 0] = fitted.item_counts
            best, _ = top_n(scores, N_VALIDATED, self.seen[users])
            hits = np.take_along_axis(wanted, best, axis=1)
            return 1.0 - float(np.mean(ndcg(hits, counts)))

        return validate


@score_new.register(FittedRanking)
def _score_by_ranking(fitted: FittedRanking, rated: CSR, axis: str, cold: str | float) -> Array:
    scores = fitted.score_newcomers(rated, axis)
    nothing_told = np.diff(fitted.told(rated).indptr) == 0
    scores[nothing_told] = fitted.counts[Axes(axis).column][:-1]
    return scores


class RankingAutoRec(ListRecommender, AutoRec):
    """AutoRec for lists: the cells without an interaction count too.

    J = sum c (t - y)^2 over interactions + w0 sum (t0 - y)^2 over all other cells + penalties,
    (70), is minimized without touching these cells (Hu, Koren and Volinsky, 2008; Steck, 2010).
    Scores rank items and are no ratings. Lists of `AutoRec` are of the highest predicted ratings,
    of these of what is chosen next. `partial_fit` and newcomers get columns by (75).

    Parameters
    ----------
    orientation : {"item", "user"}
        What a row is; with "user" new users need no training.
    hidden_layer_sizes, activation, tied, dropout, corruption
        As in `AutoRec`.
    regularization : "auto", float, or mapping of str to float
        lambda, of every weight block or by name. "auto": 30, of ``values="ratings"`` 10.
    unobserved_weight, unobserved_target : float
        w0 and t0.
    threshold : float, optional
        Only ratings from here on count as interactions, and are copied. None: every pair does.
    values : {"binary", "counts", "ratings"}
        "binary": t = c = 1. "counts": ratings say how often, and c = 1 + log(1 + count).
        "ratings": t, which the network also reads, is the rating mapped onto (0, 1].
    solver, learning_rate, learning_rate_init, warm_up, momentum, nesterovs_momentum, batch_size
        As in `AutoRec`, as are the next.
    max_iter : int, optional
        As in `AutoRec`. None: 60 for "adam".
    early_stopping, validation_fraction, n_iter_no_change, tol, warm_start
        1 - NDCG@10 of held-out interactions is followed.
    n_jobs, dtype, callbacks, verbose, random_state, engine
    implicit : int
        Units of the implicit decoder.
    checkpoint, checkpoint_every
        As in `AutoRec`.

    Attributes
    ----------
    theta_, codes_, network_, ...
        As of `AutoRec`.
    """

    fitted_: FittedRanking
    output_activation = "identity"
    baseline = None
    cold = "baseline"
    rating_scale = None
    inputs = "ratings"

    def __init__(
        self,
        orientation: Axis = "user",
        hidden_layer_sizes: Sequence[int] | None = None,
        activation: str = "sigmoid",
        regularization: str | float | Mapping[str, float] = "auto",
        tied: bool = False,
        dropout: float = 0.0,
        corruption: float | None = None,
        unobserved_weight: float = 1.0,
        unobserved_target: float = 0.0,
        threshold: float | None = None,
        values: str = "binary",
        solver: Solver = "adam",
        learning_rate: str = "cosine",
        learning_rate_init: float | None = None,
        warm_up: float | None = None,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        batch_size: int | None = None,
        max_iter: int | None = None,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        n_jobs: int | None = None,
        dtype: str = "float32",
        callbacks: Iterable[EpochCallback] = (),
        verbose: bool = False,
        random_state: RandomState = None,
        engine: str = "tiled",
        implicit: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
    ) -> None:
        self.orientation = orientation
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.regularization = regularization
        self.tied = tied
        self.dropout = dropout
        self.corruption = corruption
        self.unobserved_weight = unobserved_weight
        self.unobserved_target = unobserved_target
        self.threshold = threshold
        self.values = values
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.warm_up = warm_up
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.dtype = dtype
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state
        self.engine = engine
        self.implicit = implicit
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every

    @knows_habits
    def fit(self, ratings: Any, validation: Any = None, resume: bool = False) -> Self:
        """Train on interactions; return the model itself.

        Parameters
        ----------
        ratings : Ratings, sparse matrix (users x items), DataFrame or (users, items)
            See :func:`clicks.as_interactions`: what `AutoRec.fit` takes, or two columns.
        validation : of the same kinds, optional
            For the curve and early stopping.
        resume : bool
            As in `AutoRec.fit`.

        Raises
        ------
        ValueError, TypeError, DivergenceError
            As of `AutoRec.fit`, and what cannot be read as interactions.
        """
        fitted: Any
        fitted, interrupted = self._train(ratings, validation, resume)
        self.fitted_ = fitted
        if interrupted:
            warn_of_interrupt(fitted.course.n_iter, fitted.course.validation_curve, stacklevel=3)
        return self

    def check_parameters(self) -> float | Mapping[str, float]:
        """Return `regularization`; ValueError or TypeError for what cannot be used."""
        check_choice("values", self.values, (*VALUES, "ratings"))
        if self.threshold is not None:
            check_number("threshold", self.threshold)
        check_number("unobserved_weight", self.unobserved_weight, minimum=0)
        check_number("unobserved_target", self.unobserved_target)
        settings = self._settings()
        check_parameters(settings)
        penalty: float | Mapping[str, float] = settings["regularization"]
        return penalty

    def _settings(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in signature(AutoRec).parameters}
        if self.max_iter is None and self.solver == "adam":
            settings["max_iter"] = EPOCHS
        if self.regularization == "auto":
            settings["regularization"] = PENALTIES[self.values]
        return settings

    def _prepare(
        self, ratings: Any, validation: Any, random_state: np.random.Generator
    ) -> ListTask:
        regularization = self.check_parameters()
        data, by_index = to_interactions(ratings)
        held_out = None if validation is None else to_interactions(validation)[0]
        training, held_out = self._divided(data, held_out, random_state)
        axes = Axes(self.orientation)
        check_positives(training, self.threshold, self.values)
        counts, input_map = self.values == "counts", AffineMap()
        if self.values == "ratings":
            input_map = onto_unit(training.matrix.data, data.scale)
        cold_baseline = FittedBiases.of(training, by_index)

        def oriented(R: Ratings, row: str) -> CSR:
            return counting(R.oriented(row), self.threshold)

        def reading(rated: CSR, values: str) -> Reading:
            weigh = partial(weights_of, values=values)
            return Reading(rated, axes, weigh, cold_baseline, self.dtype)

        def read(rated: CSR) -> Rated:
            presented = reading(rated, "binary" if counts else self.values)
            return presented.inputs(self.inputs, data.features.get(axes.row), input_map)

        wanted = oriented(training, axes.row)
        inputs = every_input = read(wanted)
        if training is not data:
            every_input = read(oriented(data, axes.row))
        said = reading(wanted, self.values)

        def targets(rows: Array | slice) -> Inputs:
            def of(part: CSR, _: Array) -> Planes:
                found = targets_and_weights(part.data, self.values, input_map)
                return Planes(part, np.array(found, self.dtype))

            block, planes = said.made(rows, of)
            return Planes(block, planes) if counts else with_data(block, planes[0])

        turned = partial(oriented, training, axes.column)
        network = self._network(wanted, inputs.shape[1], turned)
        penalties = Objective(network, regularization).penalties
        fitted = partial(
            FittedRanking,
            ratings=data,
            ids_are_indices=by_index,
            network=getattr(network, "plain", network),
            axes=axes,
            input_map=input_map,
            output_map=AffineMap(),
            penalties=penalties,
            baseline=None,
            cold_baseline=cold_baseline,
            threshold=None if self.threshold is None else float(self.threshold),
            values=self.values,
            unobserved_weight=float(self.unobserved_weight),
            unobserved_target=float(self.unobserved_target),
        )
        if self.warm_start and hasattr(self, "fitted_"):
            theta = start_again(self.fitted_, network, axes, data, self.dtype)
        else:
            theta = network.layout.initialize(random_state, self.dtype)
            views = network.layout.views(theta)
            views["decoder.weight"][column_counts(wanted) == 0] = 0.0
            views["decoder.bias"][...] = self.unobserved_target
        return ListTask(
            network=network,
            penalties=penalties,
            shrinkage=0.0,
            input_map=input_map,
            loss_unit=1.0,
            theta=theta,
            inputs=inputs,
            targets=rows_of(wanted, targets),
            every_input=every_input,
            validation=None,
            fitted=fitted,
            unobserved=(self.unobserved_weight, self.unobserved_target),
            seen=training.matrix,
            held_out=None if held_out is None else self._followed(held_out, data),
        )

    def _followed(self, held_out: Ratings, data: Ratings) -> CSR:
        """Return the held-out interactions of what `data` knows, users x items."""
        user_ids, item_ids, values = reaching(held_out, self.threshold).triples()
        users, items = data.user_positions(user_ids), data.item_positions(item_ids)
        known = (users >= 0) & (items >= 0)
        if not known.any():
            raise ValueError(
                "no held-out interaction is of a known user and item, so no list can be followed; "
                "hold out others, or lower the threshold."
            )
        found: CSR = sparse.csr_array(
            (values[known], (users[known], items[known])), shape=data.shape
        )
        return found
