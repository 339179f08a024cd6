"""Solvers on flat vectors, which know a function (value, gradient) and nothing of networks.

`minimize_stochastic` drives a step rule (`SGD`, `Adam`; `RProp` for the full batch) over batches;
`minimize_lbfgs` is our own L-BFGS, `minimize_scipy_lbfgs` SciPy's.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from autorec_np._validation import check_choice
from autorec_np.core.parameters import inner_product
from autorec_np.engine.threads import Workers, run

Array: TypeAlias = npt.NDArray[Any]
Function: TypeAlias = Callable[[Array], tuple[float, Array]]
Receive: TypeAlias = Callable[[slice, Array], None]
BatchFunction: TypeAlias = Callable[[Array, Receive], float]

LIMIT = "the limit of iterations was reached"
STOPPED = "the callback stopped it"
FLAT = "the objective stopped falling"
ELEMENTS_PER_BLOCK = 262_144  # of a step: pieces that stay in a core's cache
PAIRS_PER_BLOCK = 131_072  # elements of each vector of L-BFGS's pairs in one task
SUFFICIENT_DECREASE, CURVATURE = 1e-4, 0.9  # of the strong Wolfe conditions
LONGEST_GROWTH = 10.0  # of a step along a line, from trial to trial while bracketing
LONG_STEPS = (
    "the steps are too long: lower learning_rate_init, or check the ratings for extreme values"
)
BAD_START = "check the weights at the start and the ratings for extreme values"


class DivergenceError(ArithmeticError):
    """The objective or a weight became infinite or not a number.

    Attributes
    ----------
    epoch : int
        The last epoch or iteration that ended well; 0: none.
    model : AutoRec or None
        Fitted with the weights after that epoch, or those of the lowest validation RMSE where that
        is followed; None where no epoch ended well, and from the solvers of this file.
    """

    epoch: int = 0
    model: Any = None


@dataclass(frozen=True)
class Iteration:
    """What a solver reports after each epoch (iteration of a full-batch solver).

    Attributes
    ----------
    number : int
        From 1.
    theta : ndarray
        The parameters now; copy what is to be kept.
    value : float
        The objective; for minibatches the sum of the blocks' values as they were visited.
    learning_rate : float
        Of the last step; nan for L-BFGS.
    n_evaluations : int
        So far; see `Minimum`.
    """

    number: int
    theta: Array
    value: float
    learning_rate: float
    n_evaluations: int


Callback: TypeAlias = Callable[[Iteration], bool]


@dataclass(frozen=True)
class Minimum:
    """What a solver returns.

    Attributes
    ----------
    theta : ndarray
        The last parameters.
    values : list of float
        The objective after each epoch or iteration.
    n_evaluations : int
        Evaluations of (value, gradient); for minibatches of one block each.
    converged, limit_reached : bool
        Whether the solver's own test, or the limit of iterations, stopped it (neither: a callback).
    message : str
        Why it stopped.
    """

    theta: Array
    values: list[float] = field(repr=False)
    n_evaluations: int
    converged: bool
    limit_reached: bool
    message: str


class StepRule(ABC):
    """An optimizer, with its own running averages."""

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> None:
        """Change theta in place by one step; `gradient` may be overwritten."""
        self.begin(learning_rate)
        self.update(theta, slice(None), gradient)

    @abstractmethod
    def begin(self, learning_rate: float) -> None:
        """Begin a step whose gradient comes in parts, which must cover theta once."""

    @abstractmethod
    def update(self, theta: Array, where: slice, gradient: Array) -> None:
        """Change ``theta[where]`` by the derivatives of this part, in any order, in any thread."""


class SGD(StepRule):
    """Gradient descent with momentum (Polyak) or Nesterov's momentum.

    v <- m v - rate g;  theta <- theta + v, or for Nesterov theta + m v - rate g (Sutskever et al.,
    2013, in the form that needs the gradient at theta only).

    Parameters
    ----------
    theta : ndarray
        Gives length and dtype.
    momentum : float in [0, 1)
    nesterovs_momentum : bool
    """

    def __init__(
        self, theta: Array, momentum: float = 0.9, nesterovs_momentum: bool = True
    ) -> None:
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self._velocity = np.zeros_like(theta)

    def begin(self, learning_rate: float) -> None:
        self._rate = learning_rate

    def update(self, theta: Array, where: slice, gradient: Array) -> None:
        for t, g, v in _blocks(theta[where], gradient, self._velocity[where]):
            g *= self._rate
            v *= self.momentum
            v -= g
            if self.nesterovs_momentum:
                t += self.momentum * v
                t -= g
            else:
                t += v


class Adam(StepRule):
    """Adam with bias-corrected moments (Kingma and Ba, 2015, algorithm 1).

    The moments are kept divided by (1 - beta), which saves two passes over them:
    m <- beta1 m + g;  v <- beta2 v + g^2;  theta <- theta - rate c m / (sqrt(v) + epsilon'), with
    c and epsilon' from both corrections.

    Parameters
    ----------
    theta : ndarray
        Gives length and dtype.
    beta1, beta2 : float in [0, 1)
        Decay of the running means of g and g^2.
    epsilon : float
        Added to the root of the second.
    """

    def __init__(
        self, theta: Array, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self._first_moment = np.zeros_like(theta)
        self._second_moment = np.zeros_like(theta)
        self._n_steps = 0

    def begin(self, learning_rate: float) -> None:
        self._n_steps += 1
        first = (1.0 - self.beta1) / (1.0 - self.beta1**self._n_steps)
        second = math.sqrt((1.0 - self.beta2) / (1.0 - self.beta2**self._n_steps))
        self._rate, self._floor = learning_rate * first / second, self.epsilon / second

    def update(self, theta: Array, where: slice, gradient: Array) -> None:
        moments = self._first_moment[where], self._second_moment[where]
        for t, g, m, v in _blocks(theta[where], gradient, *moments):
            m *= self.beta1
            m += g
            np.multiply(g, g, out=g)
            v *= self.beta2
            v += g
            np.sqrt(v, out=g)
            g += self._floor
            np.divide(m, g, out=g)
            g *= self._rate
            t -= g


class RProp(StepRule):
    """Resilient propagation, full batch: iRprop- (Igel and Huesken, 2003).

    Each parameter has its own step length, times 1.2 while its derivative keeps its sign and
    times 0.5 where it changes (the derivative is then taken as 0 once). Only signs of derivatives
    are used, so the objective's scale does not matter.

    Parameters
    ----------
    theta : ndarray
        Gives length and dtype.
    shortest, longest : float
        Bounds of a step length.
    """

    def __init__(self, theta: Array, shortest: float = 1e-6, longest: float = 50.0) -> None:
        self.shortest, self.longest = shortest, longest
        self._previous = np.zeros_like(theta)
        self._lengths = np.zeros_like(theta)
        self._first = True

    def begin(self, learning_rate: float) -> None:
        """`learning_rate` is the first step length; later calls do not use it."""
        if self._first:
            self._lengths[...] = learning_rate
        self._first = False

    def update(self, theta: Array, where: slice, gradient: Array) -> None:
        history = self._previous[where], self._lengths[where]
        for t, g, previous, lengths in _blocks(theta[where], gradient, *history):
            agreement = np.sign(g) * np.sign(previous)
            lengths *= np.where(agreement > 0, 1.2, np.where(agreement < 0, 0.5, 1.0))
            np.clip(lengths, self.shortest, self.longest, out=lengths)
            g[agreement < 0] = 0.0
            t -= np.sign(g) * lengths
            previous[...] = g


def _blocks(*vectors: Array) -> Iterator[tuple[Array, ...]]:
    """Cut vectors of one length into blocks that stay in a core's cache."""
    for start in range(0, vectors[0].size, ELEMENTS_PER_BLOCK):
        yield tuple(vector[start : start + ELEMENTS_PER_BLOCK] for vector in vectors)


def minimize_stochastic(
    fun: BatchFunction,
    theta: Array,
    optimizer: StepRule,
    *,
    n_batches: int,
    n_epochs: int,
    learning_rate_init: float,
    schedule: str = "constant",
    warm_up: float = 0.3,
    tol: float = 0.0,
    n_iter_no_change: int = 0,
    callback: Callback | None = None,
) -> Minimum:
    """Minimize a sum by steps on some of its terms.

    Parameters
    ----------
    fun : callable
        ``fun(theta, receive) -> value`` of the next batch: it calls ``receive(where, part)`` with
        the gradient ``part`` of ``theta[where]``, in parts that cover theta once (or once with
        ``slice(None)``), when it does not read ``theta[where]`` any more. The batches of an epoch
        must add up to the objective.
    theta : ndarray, (n,)
        Start; changed in place.
    optimizer : StepRule
    n_batches, n_epochs : int
        `fun` is called ``n_batches * n_epochs`` times.
    learning_rate_init, schedule, warm_up
        See `learning_rate_at`.
    tol, n_iter_no_change
        Converged when the best value has not fallen by more than ``tol * best`` for
        `n_iter_no_change` epochs (0: never).
    callback : callable, optional
        Called with an `Iteration` after each epoch; True stops.

    Returns
    -------
    Minimum

    Raises
    ------
    DivergenceError
        If the value of an epoch is not finite.
    """
    values: list[float] = []
    plateau, message = _Plateau(tol, n_iter_no_change), LIMIT
    step, rate, n_steps = 0, learning_rate_init, n_epochs * n_batches
    for epoch in range(1, n_epochs + 1):
        total = 0.0
        for _ in range(n_batches):
            rate = learning_rate_at(schedule, learning_rate_init, step, n_steps, warm_up)
            optimizer.begin(rate)
            with np.errstate(over="ignore", invalid="ignore"):  # see check_finite
                total += fun(theta, partial(optimizer.update, theta))
            step += 1
        check_finite(total, "the objective", f"iteration {epoch}")
        values.append(total)
        if callback is not None and callback(Iteration(epoch, theta, total, rate, step)):
            message = STOPPED
            break
        if plateau.reached(total):
            message = FLAT
            break
    return _minimum(theta, values, step, message)


class _Plateau:
    """Counts the iterations since the value last fell by more than tol * best."""

    def __init__(self, tol: float, patience: int) -> None:
        self.tol, self.patience = tol, patience
        self.best, self.waited = math.inf, 0

    def reached(self, value: float) -> bool:
        fell = self.best == math.inf or value < self.best - self.tol * abs(self.best)
        self.waited = 0 if fell else self.waited + 1
        self.best = min(self.best, value)
        return 0 < self.patience <= self.waited


def _minimum(theta: Array, values: list[float], n_evaluations: int, message: str) -> Minimum:
    converged = message not in (LIMIT, STOPPED)
    return Minimum(theta, values, n_evaluations, converged, message == LIMIT, message)


def check_finite(value: float, what: str, when: str, advice: str = LONG_STEPS) -> None:
    """Raise DivergenceError unless the value is finite."""
    if not math.isfinite(value):
        raise DivergenceError(f"{what} became {value} in {when}; {advice}.")


def minimize_lbfgs(
    fun: Function,
    theta: Array,
    *,
    max_iter: int,
    tol: float = 1e-5,
    n_iter_no_change: int = 5,
    memory: int = 10,
    executor: Workers | None = None,
    callback: Callback | None = None,
) -> Minimum:
    """Minimize by limited-memory BFGS with a strong-Wolfe line search, in theta's dtype.

    Nocedal and Wright (2006), algorithm 7.5, the direction in compact form (section 7.2).

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> (value, gradient)`` of the whole objective.
    theta : ndarray, (n,)
        Start; not changed.
    max_iter : int
    tol, n_iter_no_change
        As in :func:`minimize_stochastic`, of iterations.
    memory : int
        Pairs of steps and gradient differences kept.
    executor : Workers, optional
        Threads for the passes over the pairs; the result does not depend on it.
    callback : callable, optional
        Called with an `Iteration` after each iteration; True stops.

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
    check_finite(value, "the objective", "iteration 0", BAD_START)
    n_evaluations = 1
    in_blocks = partial(_in_blocks, theta.size, executor)
    pairs = _Pairs(theta, memory, executor)
    values: list[float] = []
    plateau, message = _Plateau(tol, n_iter_no_change), LIMIT

    def along(step: float) -> Trial:
        nonlocal n_evaluations
        n_evaluations += 1
        point = np.empty_like(theta)

        def move(block: slice) -> None:
            np.multiply(direction[block], theta.dtype.type(step), out=point[block])
            point[block] += theta[block]

        in_blocks(move)
        value, gradient = fun(point)
        slope = sum(in_blocks(lambda block: inner_product(gradient[block], direction[block])))
        return Trial(step, value, slope, (point, gradient))

    for iteration in range(1, max_iter + 1):
        direction, slope = pairs.direction(gradient)
        start = Trial(0.0, value, slope)
        if start.slope >= 0:
            message = "the gradient is zero to rounding error"
            break
        first_step = 1.0 if len(pairs) else 1.0 / math.sqrt(inner_product(gradient, gradient))
        noise = float(np.finfo(theta.dtype).eps) * abs(value)
        found = strong_wolfe(along, start, first_step, noise=noise)
        if found is None and len(pairs):
            pairs.clear()  # stale, or spoiled by rounding: try steepest descent
            continue
        if found is None:
            message = "no lower value can be found at this precision"
            break
        point, next_gradient = found.payload
        pairs.add((point, theta), (next_gradient, gradient))
        theta, value, gradient = point, found.value, next_gradient
        values.append(value)
        state = Iteration(iteration, theta, value, math.nan, n_evaluations)
        if callback is not None and callback(state):
            message = STOPPED
            break
        if plateau.reached(value):
            message = FLAT
            break
    return _minimum(theta, values, n_evaluations, message)


class _Pairs:
    """The last steps s and gradient differences y, and H g from them by two passes over memory.

    The compact form of the two-loop recursion, Byrd, Nocedal and Schnabel (1994), theorem 2.2: with
    R the upper triangle of S^T Y, D its diagonal, and gamma = s.y / y.y of the last pair,

        H g = gamma g + S R^-T ((D + gamma Y^T Y) u - gamma Y^T g) - gamma Y u,   R u = S^T g

    S^T y and Y^T y of a new pair are differences of S^T g and Y^T g, which are needed anyway.
    """

    def __init__(self, theta: Array, memory: int, executor: Workers | None) -> None:
        self._store = np.zeros((2, memory, theta.size), theta.dtype)  # S and Y
        self._used: list[int] = []  # slots, oldest first
        self._products: Array = np.zeros((2, memory))  # of S and Y with the last gradient
        self._own_products: tuple[float, float] | None = None  # s.y and y.y of a new pair
        self._sy, self._yy = np.zeros((2, memory, memory))
        self._in_blocks = partial(_in_blocks, theta.size, executor)

    def __len__(self) -> int:
        return len(self._used)

    def clear(self) -> None:
        """Forget all pairs."""
        self._used = []

    def add(self, step: tuple[Array, Array], gradients: tuple[Array, Array]) -> None:
        """Keep the pair between two points, each given as (new, old), if s.y is positive."""
        slots = range(self._store.shape[1])
        if len(self._used) == len(slots):
            self._used.pop(0)
        slot = min(set(slots) - set(self._used))
        s, y = self._store[:, slot]

        def subtract(block: slice) -> list[float]:
            parts = []
            for (new, old), difference in ((step, s), (gradients, y)):
                parts.append(np.subtract(new[block], old[block], out=difference[block]))
            return [inner_product(part, parts[1]) for part in parts]

        curvature, yy = np.sum(self._in_blocks(subtract), axis=0).tolist()
        if curvature <= 0 or yy == 0:  # the latter by underflow
            return
        self._used.append(slot)
        self._own_products = curvature, yy

    def direction(self, gradient: Array) -> tuple[Array, float]:
        """Return d = -H g, or -g without pairs, and g . d."""
        used = self._used
        if not used:
            return -gradient, -inner_product(gradient, gradient)

        def multiply(block: slice) -> list[list[Any]]:  # one product of all would not use two cores
            g = gradient[block]
            return [[np.dot(vector, g) for vector in part] for part in self._store[:, :, block]]

        products = np.asarray(np.sum(self._in_blocks(multiply), axis=0, dtype=np.float64))
        last = used[-1]
        if self._own_products is not None:
            self._sy[:, last], self._yy[:, last] = products - self._products
            self._yy[last] = self._yy[:, last]
            self._sy[last, last], self._yy[last, last] = self._own_products  # more exactly
            self._own_products = None
        self._products = products

        (sg, yg), gamma = products, self._sy[last, last] / self._yy[last, last]
        sy, yy = (matrix[np.ix_(used, used)] for matrix in (self._sy, self._yy))
        upper, curvature = np.triu(sy), np.diag(sy)
        u = np.linalg.solve(upper, sg[used])
        inner = curvature * u + gamma * (yy @ u - yg[used])
        weights = np.zeros((2, 1, self._store.shape[1]), gradient.dtype)
        weights[0, 0, used] = -np.linalg.solve(upper.T, inner)
        weights[1, 0, used] = gamma * u

        direction = np.empty_like(gradient)

        def combine(block: slice) -> float:
            parts = weights @ self._store[:, :, block]
            np.multiply(gradient[block], -gamma, out=direction[block])
            for part in parts:
                direction[block] += part[0]
            return inner_product(gradient[block], direction[block])

        return direction, sum(self._in_blocks(combine))


def _in_blocks(size: int, executor: Workers | None, task: Callable[[slice], Any]) -> list[Any]:
    """Return what a task gives for each block of vectors of one size, in order."""
    blocks = [slice(i, i + PAIRS_PER_BLOCK) for i in range(0, size, PAIRS_PER_BLOCK)]
    results: list[Any] = [None] * len(blocks)

    def work(number: int, block: slice) -> None:
        results[number] = task(block)

    run([partial(work, *numbered) for numbered in enumerate(blocks)], executor)
    return results


def minimize_scipy_lbfgs(
    fun: Function,
    theta: Array,
    *,
    max_iter: int,
    tol: float = 1e-5,
    memory: int = 10,
    callback: Callback | None = None,
) -> Minimum:
    """Minimize by ``scipy.optimize.minimize(method="L-BFGS-B")``, in float64.

    `theta` gives the start and the dtype in which `fun` is asked, `tol` is SciPy's `ftol`; the
    rest is as in :func:`minimize_lbfgs`.
    """
    from scipy.optimize import OptimizeResult, minimize

    values: list[float] = []
    n_evaluations = 0

    def in_float64(point: Array) -> tuple[float, Array]:
        nonlocal n_evaluations
        n_evaluations += 1
        value, gradient = fun(point.astype(theta.dtype))
        check_finite(value, "the objective", f"iteration {len(values) + 1}", BAD_START)
        return value, gradient.astype(np.float64)

    def report(intermediate_result: OptimizeResult) -> None:
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


# Learning-rate schedules: a factor of the full rate for each step of a run of known length


def _constant(progress: float, warm_up: float) -> float:
    return 1.0


def _step(progress: float, warm_up: float) -> float:
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def _exponential(progress: float, warm_up: float) -> float:
    return float(0.01**progress)


def _cosine(progress: float, warm_up: float) -> float:
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warm_up) / (1.0 - warm_up)))


SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "constant": _constant,
    "step": _step,
    "exponential": _exponential,
    "cosine": _cosine,
}


def learning_rate_at(
    schedule: str, initial: float, step: int, n_steps: int, warm_up: float = 0.3
) -> float:
    """Return the learning rate of one step.

    Parameters
    ----------
    schedule : {"constant", "step", "exponential", "cosine"}
        "step": times 0.1 after half and again after three quarters of the steps;
        "exponential": falls evenly in the logarithm to 1 % of the initial rate;
        "cosine": climbs linearly from 0, then falls along half a cosine to 0.
    initial : float
        The full rate.
    step : int
        0 for the first.
    n_steps : int
        All steps that are planned.
    warm_up : float in [0, 1)
        Part of the steps in which "cosine" climbs.
    """
    check_choice("schedule", schedule, tuple(SCHEDULES))
    return initial * SCHEDULES[schedule]((step + 0.5) / n_steps, warm_up)


# A line search for the strong Wolfe conditions: Nocedal and Wright (2006), algorithms 3.5 and 3.6,
# with safeguarded cubic interpolation


class Trial(NamedTuple):
    """phi(step), phi'(step), and what else came with them."""

    step: float
    value: float
    slope: float
    payload: Any = None


def strong_wolfe(
    phi: Callable[[float], Trial],
    start: Trial,
    first_step: float,
    *,
    noise: float = 0.0,
    max_evaluations: int = 20,
) -> Trial | None:
    """Find a step with phi(a) <= phi(0) + c1 a phi'(0) and |phi'(a)| <= c2 |phi'(0)|.

    Parameters
    ----------
    phi : callable
        step -> Trial. A value that is not finite counts as too high.
    start : Trial
        Of step 0; its slope must be negative.
    first_step : float
    noise : float
        Rounding error of phi: a value this much too high is still a sufficient decrease.
    max_evaluations : int

    Returns
    -------
    Trial or None
        None where no sufficient decrease was found. Where the evaluations ran out, the lowest
        trial with one, whatever its slope.
    """

    def decreases(trial: Trial) -> bool:
        ceiling = start.value + SUFFICIENT_DECREASE * trial.step * start.slope + noise
        return math.isfinite(trial.value) and trial.value <= ceiling

    def is_flat(trial: Trial) -> bool:
        return abs(trial.slope) <= -CURVATURE * start.slope

    low, high = start, None  # the best so far; None: no minimum is bracketed yet
    step = first_step
    for _ in range(max_evaluations):
        trial = phi(step)
        if not decreases(trial) or (low is not start and trial.value > low.value + noise):
            high = trial
        elif is_flat(trial):
            return trial
        else:
            if trial.slope * ((math.inf if high is None else high.step) - low.step) >= 0:
                high = low
            low = trial
        step = LONGEST_GROWTH * low.step if high is None else _interpolate(low, high)
        if high is not None and step in (low.step, high.step):
            break
    return low if low is not start else None


def _interpolate(low: Trial, high: Trial) -> float:
    """Return the minimizer of the cubic through both trials, kept off the ends of the bracket."""
    width = high.step - low.step
    if not (math.isfinite(high.value) and math.isfinite(high.slope)):
        return low.step + 0.1 * width
    d1 = low.slope + high.slope - 3 * (low.value - high.value) / (low.step - high.step)
    radicand = d1 * d1 - low.slope * high.slope
    d2 = math.copysign(math.sqrt(max(radicand, 0.0)), width)
    denominator = high.slope - low.slope + 2 * d2
    if radicand < 0 or denominator == 0:
        return low.step + 0.5 * width
    step = high.step - width * (high.slope + d2 - d1) / denominator
    near, far = sorted((low.step + 0.1 * width, high.step - 0.1 * width))
    return min(max(step, near), far)
