"""Follows a training: curves, best weights, early stopping, callbacks, log lines or a bar."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from autorec_np._text import epoch_line
from autorec_np._types import Array
from autorec_np.training.solvers import Iteration

logger = logging.getLogger(__name__)


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
        As in `AutoRec`; `tol` in rating units.
    loss_unit : float
        What an objective in the units of the network is divided by.

    Attributes
    ----------
    values, curve : list of float
        The objective, and the validation RMSE (if there is one), after each epoch.
    best_theta : ndarray or None
        The weights of the lowest validation RMSE.
    n_evaluations : int
        See `solvers.Minimum`.
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
        loss_unit: float = 1.0,
    ) -> None:
        self.n_epochs, self.validate = n_epochs, validate
        self.early_stopping, self.tol, self.patience = early_stopping, tol, n_iter_no_change
        self.callbacks = [_as_function(callback) for callback in callbacks]
        self.verbose, self.loss_unit = verbose, loss_unit
        self.values: list[float] = []
        self.curve: list[float] = []
        self.best_theta: Array | None = None
        self.n_evaluations = 0
        self._best, self._waited = math.inf, 0
        # lines that somebody asked to see would tear the bar
        nobody_listens = not (logger.isEnabledFor(logging.INFO) and logger.hasHandlers())
        self._bar = progress_bar(n_epochs) if verbose and nobody_listens else None
        self._shows_lines = nobody_listens and self._bar is None
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
        self.values.append(iteration.value / self.loss_unit)
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
            iteration.value / self.loss_unit,
            rmse,
            time.perf_counter() - self._started,
            iteration.learning_rate,
            iteration.theta,
        )
        if self.verbose:
            line = epoch_line(state.epoch, state.n_epochs, state.value, rmse, state.seconds)
            if self._shows_lines:
                show(line)
            else:
                logger.info(line)
        if self._bar is not None:
            shown = {"objective": f"{state.value:.6g}"}
            if rmse is not None:
                shown["validation RMSE"] = f"{rmse:.4f}"
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()
        answers = [bool(callback(state)) for callback in self.callbacks]
        return any(answers) or (self.early_stopping and self._waited >= self.patience)


def show(line: str) -> None:
    """Write a line to stderr as `logging` writes a warning that nobody has arranged to see."""
    if logging.lastResort is not None and sys.stderr is not None:
        record = logger.makeRecord(logger.name, logging.INFO, __file__, 0, line, (), None)
        logging.lastResort.emit(record)


def progress_bar(n_epochs: int) -> Any:
    """Return the bar of ``verbose=True`` on stderr, or None.

    There is none where stderr is no terminal or tqdm is not installed.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=n_epochs, unit="epoch")
