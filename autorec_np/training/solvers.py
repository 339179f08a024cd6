"""Solvers of a function (value, gradient) or a step, and what follows them."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from autorec_np._text import epoch_line
from autorec_np._types import Array
from autorec_np.core.lbfgs import Pairs, minimize_lbfgs
from autorec_np.core.optimizers import learning_rate_at

logger = logging.getLogger(__name__)

Function: TypeAlias = Callable[[Array], tuple[float, Array]]

LIMIT = "the limit of iterations was reached"
STOPPED = "the callback stopped it"
FLAT = "the objective stopped falling"
LONG_STEPS = (
    "the steps are too long: lower learning_rate_init, or check the ratings for extreme values"
)
BAD_START = "check the weights at the start and the ratings for extreme values"


class DivergenceError(ArithmeticError):
    """The objective or a weight is infinite or not a number.

    Attributes
    ----------
    epoch : int
        The last that ended well; 0: none.
    model : AutoRec or None
        With the weights after that epoch, or of the lowest validation RMSE where that is followed;
        None where no epoch ended well.
    """

    epoch: int = 0
    model: Any = None


@dataclass(frozen=True)
class Iteration:
    """What a solver reports after each epoch or iteration, from number 1.

    Copy `theta` to keep it. `value` is the objective, a sum over minibatches as they were visited;
    `learning_rate` is nan for L-BFGS.
    """

    number: int
    theta: Array
    value: float
    learning_rate: float
    n_evaluations: int


Callback: TypeAlias = Callable[[Iteration], bool]


@dataclass
class Done:
    """What a run has done: `values` are the objective after each epoch or iteration."""

    values: list[float] = field(default_factory=list)
    n_evaluations: int = 0
    converged: bool = False


@dataclass(frozen=True)
class Minimum:
    """The last `theta`, the objective after each epoch or iteration, and why the solver stopped.

    `n_evaluations` are of (value, gradient), each of a batch.
    """

    theta: Array
    values: list[float] = field(repr=False)
    n_evaluations: int
    converged: bool
    limit_reached: bool
    message: str


def run_steps(
    step: Callable[[Array, float], float],
    theta: Array,
    *,
    n_batches: int,
    n_epochs: int,
    learning_rate_init: float,
    schedule: str = "constant",
    warm_up: float = 0.3,
    tol: float = 0.0,
    n_iter_no_change: int = 0,
    callback: Callback | None = None,
    done: Done | None = None,
) -> Minimum:
    """Minimize a sum by steps on some of its terms; DivergenceError where it is not finite.

    ``step(theta, learning_rate) -> value`` changes theta in place by the next batch, and returns
    its value before; `n_batches` add up to the objective. Converged when the best value has not
    fallen by more than ``tol * best`` for `n_iter_no_change` epochs (0: never). A true result of
    `callback` stops. A run goes on from where it has `done` something, as theta and `step` do.
    """
    values = [] if done is None else done.values
    plateau = _Plateau(tol, n_iter_no_change, values)
    n_done, n_steps = len(values) * n_batches, n_epochs * n_batches
    if plateau.is_reached:
        return _minimum(theta, values, n_done, FLAT)
    for epoch in range(len(values) + 1, n_epochs + 1):
        total = 0.0
        for _ in range(n_batches):
            rate = learning_rate_at(schedule, learning_rate_init, n_done, n_steps, warm_up)
            with np.errstate(over="ignore", invalid="ignore"):  # see check_finite
                total += step(theta, rate)
            n_done += 1
        check_finite(total, "the objective", f"iteration {epoch}")
        values.append(total)
        if callback is not None and callback(Iteration(epoch, theta, total, rate, n_done)):
            return _minimum(theta, values, n_done, STOPPED)
        if plateau.reached_by(total):
            return _minimum(theta, values, n_done, FLAT)
    return _minimum(theta, values, n_done, LIMIT)


def run_lbfgs(
    fun: Function,
    theta: Array,
    pairs: Pairs | None = None,
    *,
    max_iter: int,
    tol: float = 1e-5,
    n_iter_no_change: int = 5,
    callback: Callback | None = None,
    done: Done | None = None,
) -> Minimum:
    """Minimize by `core.lbfgs.minimize_lbfgs`; DivergenceError where the start is not finite.

    ``fun(theta) -> (value, gradient)`` is of the whole objective; theta stays. The rest is as in
    :func:`run_steps`.
    """
    done = Done() if done is None else done
    values, n_evaluations = done.values, done.n_evaluations
    goes_on = bool(values)

    def counted(point: Array) -> tuple[float, Array]:
        nonlocal n_evaluations, goes_on
        value, gradient = fun(point)
        if n_evaluations == 0:
            check_finite(value, "the objective", "iteration 0", BAD_START)
        n_evaluations += not goes_on  # the first then repeats the last
        goes_on = False
        return value, gradient

    plateau = _Plateau(tol, n_iter_no_change, values)
    theta = theta.copy()
    if plateau.is_reached:
        return _minimum(theta, values, n_evaluations, FLAT)
    iterates = minimize_lbfgs(counted, theta, pairs)
    for number in range(len(values) + 1, max_iter + 1):
        try:
            theta, value = next(iterates)
        except StopIteration as end:
            return _minimum(theta, values, n_evaluations, end.value)
        values.append(value)
        state = Iteration(number, theta, value, math.nan, n_evaluations)
        if callback is not None and callback(state):
            return _minimum(theta, values, n_evaluations, STOPPED)
        if plateau.reached_by(value):
            return _minimum(theta, values, n_evaluations, FLAT)
    return _minimum(theta, values, n_evaluations, LIMIT)


def run_scipy_lbfgs(
    fun: Function,
    theta: Array,
    *,
    max_iter: int,
    tol: float = 1e-5,
    memory: int = 10,
    callback: Callback | None = None,
    done: Done | None = None,
) -> Minimum:
    """Minimize by ``scipy.optimize.minimize(method="L-BFGS-B")``, in float64; see `run_lbfgs`.

    `fun` is asked in the dtype of `theta`; `tol` is SciPy's `ftol`. SciPy hands out no state: a run
    goes on by doing again, from its start `theta` and in silence, what was `done`.
    """
    from scipy.optimize import OptimizeResult, minimize

    values = [] if done is None else done.values
    n_known, n_done, n_evaluations = len(values), 0, 0

    def in_float64(point: Array) -> tuple[float, Array]:
        nonlocal n_evaluations
        n_evaluations += 1
        value, gradient = fun(point.astype(theta.dtype))
        check_finite(value, "the objective", f"iteration {n_done + 1}", BAD_START)
        return value, gradient.astype(np.float64)

    def report(intermediate_result: OptimizeResult) -> None:
        nonlocal n_done
        n_done += 1
        if n_done <= n_known:
            return
        values.append(float(intermediate_result.fun))
        point = intermediate_result.x.astype(theta.dtype)
        state = Iteration(len(values), point, values[-1], math.nan, n_evaluations)
        if callback is not None and callback(state):
            raise StopIteration

    result = minimize(
        in_float64,
        theta.astype(np.float64),
        jac=True,
        method="L-BFGS-B",
        callback=report,
        options={"maxiter": max_iter, "maxfun": 20 * max_iter, "maxcor": memory, "ftol": tol},
    )
    return Minimum(
        result.x.astype(theta.dtype),
        values,
        int(result.nfev),
        bool(result.success),
        result.status == 1,
        str(result.message),
    )


def check_finite(value: float, what: str, when: str, advice: str = LONG_STEPS) -> None:
    if not math.isfinite(value):
        raise DivergenceError(f"{what} became {value} in {when}; {advice}.")


class _Plateau:
    def __init__(self, tol: float, patience: int, values: Iterable[float]) -> None:
        self.tol, self.patience = tol, patience
        self.best, self.waited = math.inf, 0
        for value in values:
            self.reached_by(value)

    @property
    def is_reached(self) -> bool:
        return 0 < self.patience <= self.waited

    def reached_by(self, value: float) -> bool:
        fell = self.best == math.inf or value < self.best - self.tol * abs(self.best)
        self.waited = 0 if fell else self.waited + 1
        self.best = min(self.best, value)
        return self.is_reached


def _minimum(theta: Array, values: list[float], n_evaluations: int, message: str) -> Minimum:
    converged = message not in (LIMIT, STOPPED)
    return Minimum(theta, values, n_evaluations, converged, message == LIMIT, message)


@dataclass(frozen=True)
class EpochState:
    """What a callback is given after each epoch or iteration.

    Attributes
    ----------
    epoch, n_epochs : int
        This, from 1, and the most.
    value : float
        The objective (2).
    validation_rmse : float or None
        None without validation ratings.
    seconds : float
        Since the start.
    learning_rate : float
        Of the last step; nan for L-BFGS.
    theta : ndarray
        Read-only; copy it: the next epoch overwrites it.
    """

    epoch: int
    n_epochs: int
    value: float
    validation_rmse: float | None
    seconds: float
    learning_rate: float
    theta: Array


class EpochObserver(Protocol):
    def on_epoch_end(self, state: EpochState, /) -> Any:
        """Called after each epoch; a true result stops the training."""


EpochCallback: TypeAlias = "Callable[[EpochState], Any] | EpochObserver"


def check_callbacks(callbacks: Any) -> None:
    is_iterable = isinstance(callbacks, Iterable)
    if not (is_iterable and all(map(callable, map(_as_function, callbacks)))):
        raise TypeError(
            f"callbacks must be a sequence of callables of an EpochState, or of objects with "
            f"on_epoch_end(state), got {callbacks!r}; pass [callback] for one."
        )


def _as_function(callback: Any) -> Any:
    return getattr(callback, "on_epoch_end", callback)


class EpochMonitor:
    """Follows a run: curves, best weights, early stopping, callbacks, log lines or a bar.

    `validate` returns the `measure`, by default the validation RMSE; objectives are divided by
    `loss_unit`; the rest is as in `AutoRec`.
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
        measure: str = "validation RMSE",
    ) -> None:
        self.n_epochs, self.validate, self.measure = n_epochs, validate, measure
        self.early_stopping, self.tol, self.patience = early_stopping, tol, n_iter_no_change
        self.callbacks = [_as_function(callback) for callback in callbacks]
        self.verbose, self.loss_unit = verbose, loss_unit
        self.values: list[float] = []
        self.curve: list[float] = []
        self.best_theta: Array | None = None
        self.n_evaluations = 0
        self._best, self._waited = math.inf, 0
        # lines would tear the bar
        nobody_listens = not (logger.isEnabledFor(logging.INFO) and logger.hasHandlers())
        self._bar = progress_bar(n_epochs) if verbose and nobody_listens else None
        self._shows_lines = nobody_listens and self._bar is None
        self._started = time.perf_counter()

    def __enter__(self) -> EpochMonitor:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def go_on(
        self, done: Done, curve: list[float], best_theta: Array | None, seconds: float
    ) -> None:
        """Go on after what was done, with its measures and best weights."""
        self.values = [value / self.loss_unit for value in done.values]
        self.n_evaluations = done.n_evaluations
        for rmse in curve:
            self._follow(rmse)
        self.best_theta = best_theta
        self._started -= seconds
        if self._bar is not None:
            self._bar.update(len(done.values))

    def _follow(self, rmse: float) -> bool:
        """Return whether it is the best."""
        self._waited = 0 if rmse < self._best - self.tol else self._waited + 1
        is_best = rmse < self._best
        self._best = min(rmse, self._best)
        self.curve.append(rmse)
        return is_best

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    @property
    def is_exhausted(self) -> bool:
        """Whether early stopping ends the training."""
        return self.early_stopping and self._waited >= self.patience

    @property
    def n_complete(self) -> int:
        """Epochs that ended, with validation if any."""
        return len(self.values if self.validate is None else self.curve)

    def record(self, iteration: Iteration) -> None:
        """Note an epoch, before its validation."""
        self.values.append(iteration.value / self.loss_unit)
        self.n_evaluations = iteration.n_evaluations

    def __call__(self, iteration: Iteration) -> bool:
        """Return whether to stop, after `record`."""
        rmse = None
        if self.validate is not None:
            rmse = self.validate(iteration.theta)
            if self._follow(rmse):
                self.best_theta = iteration.theta.copy()
        state = EpochState(
            iteration.number,
            self.n_epochs,
            iteration.value / self.loss_unit,
            rmse,
            self.seconds,
            iteration.learning_rate,
            iteration.theta,
        )
        if self.verbose:
            line = epoch_line(
                state.epoch, state.n_epochs, state.value, rmse, state.seconds, self.measure
            )
            if self._shows_lines:
                show(line)
            else:
                logger.info(line)
        if self._bar is not None:
            shown = {"objective": f"{state.value:.6g}"}
            if rmse is not None:
                shown[self.measure] = f"{rmse:.4f}"
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()
        answers = [bool(callback(state)) for callback in self.callbacks]
        return any(answers) or self.is_exhausted


def show(line: str) -> None:
    """Write to stderr, as `logging` does where nobody listens."""
    if logging.lastResort is not None and sys.stderr is not None:
        record = logger.makeRecord(logger.name, logging.INFO, __file__, 0, line, (), None)
        logging.lastResort.emit(record)


def progress_bar(n_epochs: int) -> Any:
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=n_epochs, unit="epoch")
