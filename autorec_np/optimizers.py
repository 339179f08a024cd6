"""Solvers on flat vectors: they know a function (value, gradient), and nothing of networks.

`SGD`, `Adam` and `RProp` are step rules that change theta in place; `minimize_stochastic` drives
one of them over minibatches (`RProp` over the full batch). `minimize_lbfgs` is our own L-BFGS;
`minimize_scipy_lbfgs` hands the same function to SciPy's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from autorec_np.line_search import Trial, strong_wolfe
from autorec_np.schedules import learning_rate_at

Array: TypeAlias = npt.NDArray[Any]
Function: TypeAlias = Callable[[Array], tuple[float, Array]]
BatchFunction: TypeAlias = Callable[[Array, Array], tuple[float, Array]]

LIMIT = "the limit of iterations was reached"
ELEMENTS_PER_BLOCK = 16_384  # an optimizer step works on pieces that stay in a core's cache
ELEMENTS_PER_RUN = 1_024  # of an inner product that is summed in the vectors' own dtype


class DivergenceError(ArithmeticError):
    """The objective became infinite or not a number."""


@dataclass(frozen=True)
class Iteration:
    """What a solver reports after each epoch (each iteration of a full-batch solver).

    Attributes
    ----------
    number : int
        1 for the first.
    theta : ndarray
        The parameters now; a callback must copy what it wants to keep.
    value : float
        The objective; for minibatches the sum of the blocks' values as they were visited.
    learning_rate : float
        The rate of the last step; nan for L-BFGS.
    """

    number: int
    theta: Array
    value: float
    learning_rate: float


Callback: TypeAlias = Callable[[Iteration], bool]


@dataclass(frozen=True)
class Minimum:
    """What a solver returns.

    Attributes
    ----------
    theta : ndarray
        The parameters of the last iteration.
    values : list of float
        The objective after each epoch or iteration.
    n_evaluations : int
        Evaluations of (value, gradient); for minibatches those of one block each.
    converged : bool
        Whether the solver's own test stopped it (not the limit or a callback).
    limit_reached : bool
        Whether the limit of iterations stopped it.
    message : str
        Why it stopped.
    """

    theta: Array
    values: list[float] = field(repr=False)
    n_evaluations: int
    converged: bool
    limit_reached: bool
    message: str


# Step rules


class StepRule(Protocol):
    """One optimizer: changes theta in place, keeps its own running averages."""

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> None:
        """Change theta by one step; `gradient` may be overwritten."""


class SGD:
    """Gradient descent with momentum (Polyak) or Nesterov's momentum.

    v <- m v - rate * g;  theta <- theta + v, or with Nesterov theta <- theta + m v - rate * g
    (Sutskever et al., 2013, in the form that needs the gradient at theta only).

    Parameters
    ----------
    theta : ndarray
        The vector to be minimized over: gives length and dtype.
    momentum : float in [0, 1)
    nesterovs_momentum : bool
    """

    def __init__(
        self, theta: Array, momentum: float = 0.9, nesterovs_momentum: bool = True
    ) -> None:
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self._velocity = np.zeros_like(theta)

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> None:
        for part in _blocks(theta.size):
            g, v = gradient[part], self._velocity[part]
            g *= learning_rate
            v *= self.momentum
            v -= g
            if self.nesterovs_momentum:
                theta[part] += self.momentum * v
                theta[part] -= g
            else:
                theta[part] += v


class Adam:
    """Adam with bias-corrected moments (Kingma and Ba, 2015, algorithm 1).

    Parameters
    ----------
    theta : ndarray
        The vector to be minimized over: gives length and dtype.
    beta1, beta2 : float in [0, 1)
        Decay of the running means of g and of g^2.
    epsilon : float
        Added to the root of the second moment.
    """

    def __init__(
        self, theta: Array, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self._first_moment = np.zeros_like(theta)
        self._second_moment = np.zeros_like(theta)
        self._n_steps = 0

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> None:
        self._n_steps += 1
        root_correction = math.sqrt(1.0 - self.beta2**self._n_steps)
        rate = learning_rate * root_correction / (1.0 - self.beta1**self._n_steps)
        epsilon = self.epsilon * root_correction
        scratch = np.empty(min(ELEMENTS_PER_BLOCK, theta.size), theta.dtype)
        for part in _blocks(theta.size):
            g, m, v = gradient[part], self._first_moment[part], self._second_moment[part]
            s = scratch[: g.size]
            np.multiply(g, 1.0 - self.beta1, out=s)
            m *= self.beta1
            m += s
            g *= g
            g *= 1.0 - self.beta2
            v *= self.beta2
            v += g
            np.sqrt(v, out=s)
            s += epsilon
            np.divide(m, s, out=s)
            s *= rate
            theta[part] -= s


class RProp:
    """Resilient propagation, full batch: iRprop- (Igel and Huesken, 2003).

    Each parameter has a step length of its own, times 1.2 while its derivative keeps its sign
    and times 0.5 where it changes (where the derivative is then taken as 0 once). Only signs of
    derivatives are used, so the objective's scale does not matter.

    Parameters
    ----------
    theta : ndarray
        The vector to be minimized over: gives length and dtype.
    shortest, longest : float
        Bounds of a step length.
    """

    def __init__(self, theta: Array, shortest: float = 1e-6, longest: float = 50.0) -> None:
        self.shortest, self.longest = shortest, longest
        self._lengths = np.zeros_like(theta)
        self._previous = np.zeros_like(theta)
        self._started = False

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> None:
        """`learning_rate` is the first step length; later calls do not use it."""
        if not self._started:
            self._lengths.fill(learning_rate)
            self._started = True
        for part in _blocks(theta.size):
            g, previous, lengths = gradient[part], self._previous[part], self._lengths[part]
            agreement = np.sign(g) * np.sign(previous)
            lengths *= np.where(agreement > 0, 1.2, np.where(agreement < 0, 0.5, 1.0))
            np.clip(lengths, self.shortest, self.longest, out=lengths)
            g[agreement < 0] = 0.0
            theta[part] -= np.sign(g) * lengths
            previous[...] = g


def _blocks(size: int) -> Iterator[slice]:
    for start in range(0, size, ELEMENTS_PER_BLOCK):
        yield slice(start, min(start + ELEMENTS_PER_BLOCK, size))


# Drivers


def minimize_stochastic(
    fun: BatchFunction,
    theta: Array,
    optimizer: StepRule,
    *,
    n_rows: int,
    batch_size: int,
    n_epochs: int,
    learning_rate_init: float,
    schedule: str = "constant",
    shuffle: np.random.Generator | None = None,
    tol: float = 0.0,
    n_iter_no_change: int = 0,
    callback: Callback | None = None,
) -> Minimum:
    """Minimize a sum over rows by steps on blocks of rows.

    Parameters
    ----------
    fun : callable
        ``fun(theta, rows) -> (value, gradient)`` of a block; over a partition of the rows the
        blocks must add up to the objective.
    theta : ndarray, (n,)
        Start. It is changed in place.
    optimizer : StepRule
    n_rows, batch_size, n_epochs : int
        Each epoch visits every row once, in blocks of nearly equal size, at most `batch_size`.
    learning_rate_init, schedule
        See :func:`autorec_np.schedules.learning_rate_at`.
    shuffle : Generator, optional
        Draws the order of the rows anew for each epoch; None keeps it.
    tol, n_iter_no_change
        Converged when the best value has not fallen by more than ``tol * best`` for
        `n_iter_no_change` epochs; 0 epochs: never.
    callback : callable, optional
        Called with an `Iteration` after each epoch; stops where it returns True.

    Returns
    -------
    Minimum

    Raises
    ------
    DivergenceError
        In the epoch in which the value is not finite.
    """
    n_blocks = math.ceil(n_rows / batch_size)
    n_steps = n_epochs * n_blocks
    values: list[float] = []
    plateau = _Plateau(tol, n_iter_no_change)
    step, rate = 0, learning_rate_init
    converged, message = False, LIMIT
    for epoch in range(1, n_epochs + 1):
        rows = np.arange(n_rows) if shuffle is None else shuffle.permutation(n_rows)
        total = 0.0
        for block in np.array_split(rows, n_blocks):
            rate = learning_rate_at(schedule, learning_rate_init, step, n_steps)
            with np.errstate(over="ignore", invalid="ignore"):  # told by _check_finite
                value, gradient = fun(theta, block)
                optimizer.step(theta, gradient, rate)
            total += value
            step += 1
        _check_finite(total, epoch)
        values.append(total)
        if callback is not None and callback(Iteration(epoch, theta, total, rate)):
            message = "the callback stopped it"
            break
        if plateau.reached(total):
            converged, message = True, "the objective stopped falling"
            break
    return Minimum(theta, values, step, converged, message == LIMIT, message)


class _Plateau:
    """Counts the iterations since the value last fell by more than tol * best."""

    def __init__(self, tol: float, patience: int) -> None:
        self.tol, self.patience = tol, patience
        self.best, self.waited = math.inf, 0

    def reached(self, value: float) -> bool:
        if self.best == math.inf or value < self.best - self.tol * abs(self.best):
            self.waited = 0
        else:
            self.waited += 1
        self.best = min(self.best, value)
        return 0 < self.patience <= self.waited


def _check_finite(value: float, iteration: int) -> None:
    if not math.isfinite(value):
        raise DivergenceError(
            f"the objective became {value} in iteration {iteration}; the steps are too long: "
            f"lower learning_rate_init, or check the ratings for extreme values."
        )


def minimize_lbfgs(
    fun: Function,
    theta: Array,
    *,
    max_iter: int,
    tol: float = 1e-5,
    n_iter_no_change: int = 5,
    memory: int = 10,
    callback: Callback | None = None,
) -> Minimum:
    """Minimize by limited-memory BFGS with a strong-Wolfe line search, in the dtype of theta.

    Nocedal and Wright (2006), algorithms 7.4 (two-loop recursion) and 7.5.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> (value, gradient)`` of the whole objective.
    theta : ndarray, (n,)
        Start; not changed.
    max_iter : int
    tol, n_iter_no_change
        Converged when the value has not fallen by more than ``tol * value`` for
        `n_iter_no_change` iterations.
    memory : int
        Pairs of steps and gradient differences that are kept.
    callback : callable, optional
        Called with an `Iteration` after each iteration; stops where it returns True.

    Returns
    -------
    Minimum

    Raises
    ------
    DivergenceError
        If the value at the start is not finite.
    """
    theta = theta.copy()
    value, gradient = fun(theta)
    _check_finite(value, 0)
    n_evaluations = 1
    values: list[float] = []
    pairs: deque[_Pair] = deque(maxlen=memory)
    plateau = _Plateau(tol, n_iter_no_change)
    converged, message = False, LIMIT

    for iteration in range(1, max_iter + 1):
        direction = _lbfgs_direction(gradient, pairs)
        line = _Line(fun, theta, direction)
        start = Trial(0.0, value, _dot(gradient, direction))
        if start.slope >= 0:
            converged, message = True, "the gradient is zero to rounding error"
            break

        first_step = 1.0 if pairs else 1.0 / math.sqrt(_dot(gradient, gradient))
        noise = float(np.finfo(theta.dtype).eps) * abs(value)
        found = strong_wolfe(line, start, first_step, noise=noise)
        n_evaluations += line.n_evaluations
        if found is None and pairs:
            pairs.clear()  # the curvature is stale or spoiled by rounding: try steepest descent
            continue
        if found is None:
            converged, message = True, "no lower value can be found at this precision"
            break
        point, next_gradient = found.payload
        pair = _Pair(point - theta, next_gradient - gradient)
        if pair.curvature > 0:
            pairs.append(pair)
        theta, value, gradient = point, found.value, next_gradient
        values.append(value)
        if callback is not None and callback(Iteration(iteration, theta, value, math.nan)):
            message = "the callback stopped it"
            break
        if plateau.reached(value):
            converged, message = True, "the objective stopped falling"
            break
    return Minimum(theta, values, n_evaluations, converged, message == LIMIT, message)


class _Line:
    """The objective along theta + step * direction."""

    def __init__(self, fun: Function, theta: Array, direction: Array) -> None:
        self.fun, self.theta, self.direction = fun, theta, direction
        self.n_evaluations = 0

    def __call__(self, step: float) -> Trial:
        self.n_evaluations += 1
        point = self.theta + self.theta.dtype.type(step) * self.direction
        value, gradient = self.fun(point)
        return Trial(step, value, _dot(gradient, self.direction), (point, gradient))


class _Pair:
    """A step s and its gradient difference y, with s.y and the scale s.y / y.y."""

    def __init__(self, s: Array, y: Array) -> None:
        self.s, self.y = s, y
        self.curvature = _dot(s, y)
        squared = _dot(y, y)
        self.scale = self.curvature / squared if squared > 0 else 1.0


def _lbfgs_direction(gradient: Array, pairs: deque[_Pair]) -> Array:
    """Return -H g by the two-loop recursion."""
    direction = -gradient
    shares = []
    for pair in reversed(pairs):
        share = _dot(pair.s, direction) / pair.curvature
        direction -= gradient.dtype.type(share) * pair.y
        shares.append(share)
    if pairs:
        direction *= gradient.dtype.type(pairs[-1].scale)
    for pair, share in zip(pairs, reversed(shares), strict=True):
        back = _dot(pair.y, direction) / pair.curvature
        direction += gradient.dtype.type(share - back) * pair.s
    return direction


def _dot(left: Array, right: Array) -> float:
    """Return the inner product: in the dtype within short runs, in float64 over the runs.

    For float32 vectors it is off by about 1e-9 of the product of their norms, and several times
    faster than float64 throughout. Not BLAS, whose result depends on its number of threads.
    """
    whole = left.size - left.size % ELEMENTS_PER_RUN
    runs = (-1, ELEMENTS_PER_RUN)
    sums = np.einsum("ij,ij->i", left[:whole].reshape(runs), right[:whole].reshape(runs))
    rest = np.einsum("i,i->", left[whole:], right[whole:])
    return float(sums.sum(dtype=np.float64)) + float(rest)


def minimize_scipy_lbfgs(
    fun: Function,
    theta: Array,
    *,
    max_iter: int,
    tol: float = 1e-5,
    memory: int = 10,
    callback: Callback | None = None,
) -> Minimum:
    """Minimize with ``scipy.optimize.minimize(method="L-BFGS-B")``, which works in float64.

    `theta` gives the start and the dtype in which `fun` is asked; other arguments and the result
    are those of :func:`minimize_lbfgs`. `tol` becomes SciPy's `ftol`.
    """
    from scipy.optimize import OptimizeResult, minimize

    values: list[float] = []

    def in_float64(point: Array) -> tuple[float, Array]:
        value, gradient = fun(point.astype(theta.dtype))
        _check_finite(value, len(values) + 1)
        return value, gradient.astype(np.float64)

    def report(intermediate_result: OptimizeResult) -> None:
        values.append(float(intermediate_result.fun))
        point = intermediate_result.x.astype(theta.dtype)
        if callback is not None and callback(Iteration(len(values), point, values[-1], math.nan)):
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
