"""Steps that stream: a part of theta moves while its derivative is in a core's cache.

The two big weights have a row for each column of the ratings. Panel by panel, their derivative is
multiplied out, the penalty's is added, and theta moves, so that the whole gradient never exists.
The step rules are those of `core.optimizers`, in place.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from autorec_np._types import Array, Matrix
from autorec_np.core.implicit import IMPLICIT
from autorec_np.core.kernels import column_sums, spmm_transpose
from autorec_np.core.objective import Objective, in_float64, squared_lengths
from autorec_np.core.planes import Planes
from autorec_np.engine.rated import Shares
from autorec_np.engine.threads import Workers, run
from autorec_np.engine.tiled import Tiled

Receive: TypeAlias = Callable[[slice, Array], None]
Factors: TypeAlias = tuple[Matrix | Array, Array]

ELEMENTS_PER_BLOCK = 262_144  # of a step: pieces that stay in a core's cache


def stream(
    objective: Objective,
    theta: Array,
    inputs: Matrix,
    targets: Matrix,
    fraction: float,
    masks: Sequence[Array] | None,
    receive: Receive,
    workers: Workers | None,
    shares: Shares | None = None,
) -> float:
    """Return J, and pass dJ/dtheta on in parts that are still in the cache.

    Parameters
    ----------
    receive : callable
        ``receive(where, part)`` with dJ/dtheta[where], which it may keep and change. The parts
        cover theta once, in any order and from several threads. Nothing reads ``theta[where]`` any
        more, so that an optimizer may change it at once.
    shares : Shares, optional
        For an `ImplicitNetwork`; its `finish` passes D_Y on, when all batches have streamed.

    The other arguments and errors are those of `Objective.value_and_gradient`.
    """
    layout, penalties = objective.network.layout, objective.penalties
    weights = layout.views(theta)
    squares = {block: np.empty(len(weights[block]), theta.dtype) for block in penalties}
    if IMPLICIT in squares:
        squares[IMPLICIT] = squared_lengths(weights[IMPLICIT])
    passes = objective.passes if shares is None else shares.passes
    passed, signals, squared_error = passes(theta, inputs, targets, masks)

    def finish(block: str, rows: slice, multiply: Callable[[], Array]) -> None:
        part, weight = multiply(), weights[block][rows]
        if shares is not None and block == "decoder.weight":
            shares.take_off(rows, part)
        if block in penalties:
            squares[block][rows] = squared_lengths(weight)
            part += theta.dtype.type(fraction * penalties[block]) * weight
        start, width = layout.slices[block].start, weight.shape[1]
        receive(slice(start + rows.start * width, start + rows.stop * width), part.reshape(-1))

    factors: dict[str, list[Factors]] = {}
    for layer, left, right, signal in objective.network.products(inputs, passed, signals):
        receive(layout.slices[f"{layer}.bias"], column_sums(signal))
        name = f"{layer}.weight"
        factors.setdefault(layout.aliases.get(name, name), []).append((left, right))
    tasks = [
        partial(finish, block, *part) for block, pairs in factors.items() for part in parts(pairs)
    ]
    run(tasks, workers)
    return squared_error + fraction * sum(
        penalty / 2 * in_float64(squares[block]) for block, penalty in penalties.items()
    )


def parts(pairs: Sequence[Factors]) -> Iterator[tuple[slice, Callable[[], Array]]]:
    """Yield some rows of a sum of products L^T R, and the function that multiplies them out."""
    left, right = pairs[0]
    if isinstance(left, Planes):  # one plane below the other; they cannot be tied
        for number, block in enumerate(left.blocks):
            for rows, multiply in parts([(block, right)]):
                first = number * block.shape[1]
                yield slice(first + rows.start, first + rows.stop), multiply
        return
    tiled = [(left.cast(right.dtype), right) for left, right in pairs if isinstance(left, Tiled)]
    if not tiled:  # an inner layer, which is small
        [(dense, right)] = pairs
        yield slice(0, dense.shape[1]), partial(spmm_transpose, dense, right)
        return
    for left, _ in tiled:
        left.corner()  # before the threads ask for it
    for number, panel in enumerate(tiled[0][0].plan.panels):
        yield panel, partial(_panel, tiled, number)


def _panel(pairs: Sequence[tuple[Tiled, Array]], number: int) -> Array:
    total, *others = (left.multiply_panel(number, right) for left, right in pairs)
    for other in others:  # tied, (14)
        total += other
    return total


class StepRule(ABC):
    """A step in place, with its own running averages."""

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
    """`core.optimizers.SGD`, in place.

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
    """`core.optimizers.Adam`, in place.

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
    """`core.optimizers.RProp`, in place.

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
