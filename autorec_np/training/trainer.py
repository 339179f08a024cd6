"""One training run: minibatches, corruption, dropout and validation around a solver."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from autorec_np.core.kernels import CSR, Array, row_block, row_blocks, with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.optimizers import (
    SGD,
    Adam,
    Callback,
    DivergenceError,
    Iteration,
    Minimum,
    Receive,
    RProp,
    StepRule,
    check_finite,
    minimize_lbfgs,
    minimize_scipy_lbfgs,
    minimize_stochastic,
)
from autorec_np.engine.threads import Workers, run
from autorec_np.engine.tiled import (
    TILE_ROWS,
    Tiled,
    Tiling,
    by_activity,
    panel_columns,
    reordered,
    split,
)
from autorec_np.training.corruption import corrupt, dropout_masks
from autorec_np.training.progress import progress_bar

ENTRIES_PER_BLOCK = 2**20  # of a full batch: rows that are worked on at once
WEIGHTS_PER_TASK = 2**18  # that are checked or put in another order

logger = logging.getLogger(__name__)


class ConvergenceWarning(UserWarning):
    """A full-batch solver reached its limit of iterations before it converged."""


class InterruptedWarning(UserWarning):
    """Ctrl-C ended a training, and the model has what was learned until then."""


@contextmanager
def interrupts_end_all() -> Iterator[None]:
    """Let Ctrl-C in a `fit` end what is around it too: for several trainings in a row.

    The model that was in training keeps what it has learned.

    Raises
    ------
    KeyboardInterrupt
        In place of `InterruptedWarning`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", InterruptedWarning)
        try:
            yield
        except InterruptedWarning:
            raise KeyboardInterrupt from None


@dataclass(frozen=True)
class SolverDefaults:
    """What parameters left at None mean for a solver; see `AutoRec`.

    Attributes
    ----------
    full_batch : bool
        Whether each iteration sees all rows, without corruption or dropout.
    max_iter : int
    learning_rate_init : float
        For "sgd" still to be divided by k times the mean number of ratings that a column has in
        a batch; not used by L-BFGS.
    corruption : float
    """

    full_batch: bool
    max_iter: int
    learning_rate_init: float
    corruption: float


SOLVERS = {
    "adam": SolverDefaults(False, 20, 3e-3, 0.5),
    "sgd": SolverDefaults(False, 60, 0.1, 0.5),
    "rprop": SolverDefaults(True, 200, 1e-3, 0.0),
    "lbfgs": SolverDefaults(True, 150, math.nan, 0.0),
    "scipy-lbfgs": SolverDefaults(True, 150, math.nan, 0.0),
}


def corruption_for(solver: str, corruption: float | None) -> float:
    """Return the corruption, the solver's own in place of None."""
    return SOLVERS[solver].corruption if corruption is None else corruption


@dataclass(frozen=True)
class EpochState:
    """What a callback is given after each epoch (iteration of a full-batch solver).

    Attributes
    ----------
    epoch, n_epochs : int
        This epoch, from 1, and the most there can be.
    value : float
        The objective (2).
    validation_rmse : float or None
        None without validation ratings.
    seconds : float
        Since the start of training.
    learning_rate : float
        Of the last step; nan for L-BFGS.
    theta : ndarray
        The parameters now, read-only; the next epoch overwrites them, so copy what is to be kept.
    """

    epoch: int
    n_epochs: int
    value: float
    validation_rmse: float | None
    seconds: float
    learning_rate: float
    theta: Array


class EpochObserver(Protocol):
    """A callback that is an object."""

    def on_epoch_end(self, state: EpochState, /) -> Any:
        """Is called after each epoch; training stops where it returns something true."""


EpochCallback: TypeAlias = "Callable[[EpochState], Any] | EpochObserver"


def is_callback(value: Any) -> bool:
    """Return whether `EpochMonitor` can call the value."""
    return callable(_as_function(value))


def _as_function(callback: Any) -> Any:
    return getattr(callback, "on_epoch_end", callback)


class EpochMonitor:
    """Follows a run: curves, best weights, early stopping, callbacks, log lines or a bar.

    A context manager, whose end closes the bar.

    Parameters
    ----------
    n_epochs : int
    validate : callable or None
        theta -> RMSE on the validation ratings.
    early_stopping, tol, n_iter_no_change, callbacks, verbose
        As in `AutoRec`.

    Attributes
    ----------
    values, curve : list of float
        The objective, and the validation RMSE (if there is one), after each epoch.
    best_theta : ndarray or None
        The weights of the lowest validation RMSE.
    n_evaluations : int
        See `optimizers.Minimum`.
    """

    def __init__(
        self,
        n_epochs: int,
        validate: Callable[[Array], float] | None,
        *,
        early_stopping: bool,
        tol: float,
        n_iter_no_change: int,
        callbacks: Iterable[EpochCallback],
        verbose: bool,
    ) -> None:
        self.n_epochs, self.validate = n_epochs, validate
        self.early_stopping, self.tol, self.patience = early_stopping, tol, n_iter_no_change
        self.callbacks = [_as_function(callback) for callback in callbacks]
        self.verbose = verbose
        self.values: list[float] = []
        self.curve: list[float] = []
        self.best_theta: Array | None = None
        self.n_evaluations = 0
        self._best, self._waited = math.inf, 0
        # lines that somebody asked to see would tear the bar
        shows_bar = verbose and not logger.isEnabledFor(logging.INFO)
        self._bar = progress_bar(n_epochs) if shows_bar else None
        self._started = time.perf_counter()

    def __enter__(self) -> EpochMonitor:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def n_complete(self) -> int:
        """Epochs that have ended, with their validation if there is one."""
        return len(self.values if self.validate is None else self.curve)

    def record(self, iteration: Iteration) -> None:
        """Take note of an epoch, before it is validated."""
        self.values.append(iteration.value)
        self.n_evaluations = iteration.n_evaluations

    def __call__(self, iteration: Iteration) -> bool:
        """Follow one epoch, after `record`; return whether to stop."""
        rmse = None
        if self.validate is not None:
            rmse = self.validate(iteration.theta)
            self._waited = 0 if rmse < self._best - self.tol else self._waited + 1
            if rmse < self._best:
                self._best, self.best_theta = rmse, iteration.theta.copy()
            self.curve.append(rmse)
        state = EpochState(
            iteration.number,
            self.n_epochs,
            iteration.value,
            rmse,
            time.perf_counter() - self._started,
            iteration.learning_rate,
            iteration.theta,
        )
        if self.verbose:
            logger.info(
                "epoch %d of %d: objective %.6g, validation RMSE %s, %.1f s",
                state.epoch,
                state.n_epochs,
                state.value,
                "none" if rmse is None else f"{rmse:.4f}",
                state.seconds,
            )
        if self._bar is not None:
            shown = {"objective": f"{state.value:.6g}"}
            if rmse is not None:
                shown["validation RMSE"] = f"{rmse:.4f}"
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()
        answers = [bool(callback(state)) for callback in self.callbacks]
        return any(answers) or (self.early_stopping and self._waited >= self.patience)


class Batch(NamedTuple):
    """What one step is given; see `Objective.value_and_gradient`."""

    inputs: Tiled
    targets: Tiled
    fraction: float
    masks: list[Array] | None


@dataclass(frozen=True)
class Trainer:
    """A solver with its settings, all of them resolved; :meth:`run` trains an objective."""

    solver: str
    learning_rate: str
    learning_rate_init: float
    warm_up: float
    momentum: float
    nesterovs_momentum: bool
    batch_size: int
    max_iter: int
    tol: float
    n_iter_no_change: int
    dropout: float
    corruption: float

    def run(
        self,
        objective: Objective,
        theta: Array,
        inputs: CSR,
        targets: CSR,
        random_state: np.random.Generator,
        monitor: EpochMonitor,
    ) -> Minimum:
        """Minimize the objective over all rows; see `optimizers.Minimum`.

        Parameters
        ----------
        objective : Objective
        theta : ndarray
            Start; overwritten after each epoch, so that it holds the last good weights whatever
            ends the run.
        inputs, targets : CSR
            Of one pattern.
        random_state : Generator
        monitor : EpochMonitor

        Raises
        ------
        DivergenceError
            In the epoch in which the objective or a weight is not finite.

        Warns
        -----
        ConvergenceWarning
            If a full-batch solver ends at its limit of iterations.
        """
        rows, columns = by_activity(targets)  # what a tiling needs, undone after each epoch
        inputs, targets = _reordered(inputs, targets, rows, columns)
        restoring = np.argsort(columns)
        take = partial(_take_columns, objective.network)
        last_good = theta.view()
        last_good.flags.writeable = False

        def report(iteration: Iteration) -> bool:
            weights = iteration.theta
            for extreme in _extremes(weights, objective.network.executor):
                check_finite(extreme, "a weight", f"iteration {iteration.number}")
            monitor.record(iteration)
            try:
                take(weights, restoring, theta)
            except KeyboardInterrupt:  # it may have come between two blocks
                take(weights, restoring, theta)
                raise
            return monitor(replace(iteration, theta=last_good))

        working = np.empty_like(theta)
        take(theta, columns, working)
        try:
            if SOLVERS[self.solver].full_batch:
                result = self._run_full_batch(objective, working, inputs, targets, report)
            else:
                batches = self._batches(objective, inputs, targets, random_state)
                result = self._run_steps(objective, working, batches, targets.shape[0], report)
        except DivergenceError as error:
            error.epoch = monitor.n_complete
            error.args = (f"{error} {self._circumstances(objective, targets)}",)
            raise
        if SOLVERS[self.solver].full_batch and result.limit_reached:
            self._warn_of_limit(result)
        monitor.n_evaluations = result.n_evaluations
        take(result.theta, restoring, theta)
        return replace(result, theta=theta)

    def _run_full_batch(
        self, objective: Objective, theta: Array, inputs: CSR, targets: CSR, callback: Callback
    ) -> Minimum:
        blocks = []
        columns = panel_columns(targets.shape[1], max(objective.network.hidden_layer_sizes))
        for rows in row_blocks(targets, ENTRIES_PER_BLOCK):
            block = [row_block(matrix, rows) for matrix in (inputs, targets)]
            tiling = Tiling(split(block[1]), columns, objective.network.executor)
            tiled = tiling.tile(block[0]), tiling.tile(block[1])
            blocks.append((*tiled, tiling.shape[0] / targets.shape[0]))

        def fun(point: Array) -> tuple[float, Array]:
            value, gradient = objective.value_and_gradient(point, *blocks[0])
            for block in blocks[1:]:
                term, part = objective.value_and_gradient(point, *block)
                value += term
                gradient += part
            return value, gradient

        def step(point: Array, receive: Receive) -> float:
            value, gradient = fun(point)
            receive(slice(None), gradient)
            return value

        if self.solver == "rprop":
            return minimize_stochastic(
                step,
                theta,
                RProp(theta),
                n_batches=1,
                n_epochs=self.max_iter,
                learning_rate_init=self.learning_rate_init,
                tol=self.tol,
                n_iter_no_change=self.n_iter_no_change,
                callback=callback,
            )
        if self.solver == "scipy-lbfgs":
            return minimize_scipy_lbfgs(
                fun, theta, max_iter=self.max_iter, tol=self.tol, callback=callback
            )
        return minimize_lbfgs(
            fun,
            theta,
            max_iter=self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            executor=objective.network.executor,
            callback=callback,
        )

    def _batches(
        self, objective: Objective, inputs: CSR, targets: CSR, random_state: np.random.Generator
    ) -> Iterator[Batch]:
        """Yield batches without end, each epoch's drawn anew.

        Rows are in order of activity; each run of as many rows as there are batches is dealt out
        at random, one row to a batch. So all batches are of like activity.
        """
        network, n_rows = objective.network, targets.shape[0]
        widths = network.hidden_layer_sizes
        n_batches = self._n_batches(n_rows)
        n_runs = -(-n_rows // n_batches)
        columns = panel_columns(targets.shape[1], max(widths))
        parts = split(targets, TILE_ROWS * n_batches)  # a batch has one row of n_batches
        while True:
            dealt = np.tile(np.arange(n_batches), (n_runs, 1))
            batch_of = random_state.permuted(dealt, axis=1).reshape(-1)[:n_rows]
            for number in range(n_batches):
                rows = np.flatnonzero(batch_of == number)
                tiling, masks = Tiling(parts.take(rows), columns, network.executor), None
                block = tiling.tile(inputs)
                if self.corruption:
                    block = corrupt(block, self.corruption, random_state)
                if self.dropout:
                    masks = dropout_masks(
                        len(rows), widths, self.dropout, random_state, inputs.dtype
                    )
                yield Batch(block, tiling.tile(targets), len(rows) / n_rows, masks)

    def _n_batches(self, n_rows: int) -> int:
        return math.ceil(n_rows / self.batch_size)

    def _run_steps(
        self,
        objective: Objective,
        theta: Array,
        batches: Iterator[Batch],
        n_rows: int,
        callback: Callback,
    ) -> Minimum:
        def step(point: Array, receive: Receive) -> float:
            batch = next(batches)
            return objective.backpropagate(point, batch.inputs, batch.targets, receive, *batch[2:])

        return minimize_stochastic(
            step,
            theta,
            self._step_rule(theta),
            n_batches=self._n_batches(n_rows),
            n_epochs=self.max_iter,
            learning_rate_init=self.learning_rate_init,
            schedule=self.learning_rate,
            warm_up=self.warm_up,
            tol=self.tol,
            callback=callback,
        )

    def _step_rule(self, theta: Array) -> StepRule:
        if self.solver == "sgd":
            return SGD(theta, self.momentum, self.nesterovs_momentum)
        return Adam(theta)

    def _circumstances(self, objective: Objective, targets: CSR) -> str:
        """Return what may have made a run diverge, as a sentence."""
        facts = [f"the largest target is {np.abs(targets.data).max():g}"]
        if not math.isnan(self.learning_rate_init):
            facts.insert(0, f"learning_rate_init={self.learning_rate_init:g}")
        weights = (name for name in objective.network.layout.slices if name.endswith(".weight"))
        free = [name for name in weights if not objective.penalties.get(name)]
        if free:
            facts.append(
                f"no penalty keeps {' and '.join(free)} from growing: raise regularization"
            )
        return f"Here {', '.join(facts)}."

    def _warn_of_limit(self, result: Minimum) -> None:
        last = ""
        if len(result.values) > 1:
            before, after = result.values[-2:]
            fall = (before - after) / abs(before)
            last = f"the last one lowered the objective by {fall:.1e} of itself, "
        warnings.warn(
            f"solver={self.solver!r} did not converge in max_iter={self.max_iter} iterations "
            f"({last}tol={self.tol:g}). The model can be used; for a lower objective raise "
            f"max_iter, or raise tol to accept this one.",
            ConvergenceWarning,
            stacklevel=5,
        )


def _reordered(inputs: CSR, targets: CSR, rows: Array, columns: Array) -> tuple[CSR, CSR]:
    """Return both, which are of one pattern, with rows and columns in a new order."""
    positions = np.arange(targets.nnz, dtype=targets.indptr.dtype)
    numbered = reordered(with_data(targets, positions), rows, columns)
    inputs_data, targets_data = (matrix.data.take(numbered.data) for matrix in (inputs, targets))
    return with_data(numbered, inputs_data), with_data(numbered, targets_data)


def _extremes(weights: Array, executor: Workers | None) -> tuple[float, float]:
    """Return the least and the greatest weight, both NaN if one weight is."""
    extremes: list[tuple[float, float]] = []

    def look(block: Array) -> None:
        extremes.append((block.min(), block.max()))

    starts = range(0, len(weights), WEIGHTS_PER_TASK)
    run([partial(look, weights[i : i + WEIGHTS_PER_TASK]) for i in starts], executor)
    least, greatest = zip(*extremes, strict=True)
    return float(np.min(least)), float(np.max(greatest))


def _take_columns(network: Network, theta: Array, columns: Array, out: Array) -> None:
    """Write theta to `out`, for a matrix whose columns were taken in another order."""
    views, taken_views = network.layout.views(theta), network.layout.views(out)
    tasks: list[Callable[[], object]] = []
    for name, block in views.items():
        taken = taken_views[name]
        if name not in ("encoder.weight", "decoder.weight", "decoder.bias"):
            taken[...] = block
            continue
        n_rows = max(1, WEIGHTS_PER_TASK * len(block) // block.size)
        for start in range(0, len(block), n_rows):
            rows = slice(start, start + n_rows)
            take = partial(block.take, columns[rows], axis=0, out=taken[rows], mode="clip")
            tasks.append(take)
    run(tasks, network.executor)
