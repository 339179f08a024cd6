"""Who computes a training: the two engines, and the steps of the faster.

`PlainEngine` runs the very lines of the lesson; `TiledEngine` has the same numbers faster, in tiles
and threads.

The two big weights have a row for each column of the ratings. Panel by panel, their derivative is
multiplied out, the penalty's is added, and theta moves while all that is in a core's cache: the
whole gradient never exists.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from autorec_np._types import CSR, Array, Matrix
from autorec_np.core import optimizers
from autorec_np.core.all_cells import AllCells, PlusLowRank
from autorec_np.core.implicit import IMPLICIT, ImplicitNetwork
from autorec_np.core.kernels import column_sums, spmm_transpose
from autorec_np.core.lbfgs import Pairs, TwoLoop
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective, in_float64, squared_lengths
from autorec_np.core.planes import Planes
from autorec_np.engine.rows import Rated, Scaled, pattern_of
from autorec_np.engine.threads import Workers, run
from autorec_np.engine.tiled import (
    TILE_ROWS,
    Plan,
    Shares,
    Static,
    Tiled,
    by_activity,
    corner_widths,
    panel_columns,
    places_in,
    row_orders,
    split,
    take_rows_of_blocks,
)

T = TypeVar("T")
Receive: TypeAlias = Callable[[slice, Array], None]
Factors: TypeAlias = tuple[Matrix | Array, Array]

ELEMENTS_PER_BLOCK = 262_144  # of a step, in a core's cache


class Batch(NamedTuple):
    """Some rows: arguments of `Objective.value_and_gradient`."""

    inputs: Matrix
    targets: Matrix
    fraction: float
    masks: Sequence[Array] | None


class Arrangement(Protocol):
    """The order in which an engine wants columns and batches."""

    def objective(self, objective: Objective) -> Objective:
        """Return the objective in the engine's order."""

    def arranged(self, theta: Array) -> Array:
        """Return a copy of theta in the engine's order."""

    def restore(self, theta: Array, out: Array) -> None:
        """Write theta to `out`, back in the order of the matrix."""

    def batch(
        self,
        inputs: Rated,
        targets: Rated,
        rows: Array,
        masks: Sequence[Array] | None,
    ) -> Batch:
        """Return the batch of some rows of both matrices, which have the arranged pattern."""


class Engine(Protocol):
    """What a training has computed."""

    def arrange(self, network: Network, targets: CSR, n_batches: int) -> Arrangement:
        """Arrange a pattern whose rows come in so many batches."""

    def rule(self, solver: str, theta: Array, **settings: Any) -> Any:
        """Return the step rule of "sgd", "adam" or "rprop", for :meth:`step`."""

    def pairs(self, theta: Array, memory: int) -> Pairs:
        """Return a memory of L-BFGS."""

    def step(
        self,
        objective: Objective,
        theta: Array,
        batches: Sequence[Batch],
        rule: Any,
        learning_rate: float,
    ) -> float:
        """Return the sum of J over batches at theta, and move theta by a step."""

    def value_and_gradient(
        self, objective: Objective, theta: Array, batches: Sequence[Batch]
    ) -> tuple[float, Array]:
        """Return the sums of J and dJ/dtheta over batches."""


def add_up(term: Callable[[int], T], plus: Callable[[T, T], T], start: int, stop: int) -> T:
    """Return the sum of terms, by a tree that does not depend on who adds up its branches."""
    if stop - start == 1:
        return term(start)
    middle = start + left_half(stop - start)
    return plus(add_up(term, plus, start, middle), add_up(term, plus, middle, stop))


def left_half(n: int) -> int:
    """Return the greatest power of two below n >= 2: how many terms are on the left."""
    return 1 << ((n - 1).bit_length() - 1)


def plus(left: tuple[float, Array], right: tuple[float, Array]) -> tuple[float, Array]:
    return left[0] + right[0], left[1] + right[1]


class PlainEngine:
    """The lesson's own lines, in one thread."""

    def arrange(self, network: Network, targets: CSR, n_batches: int) -> AsItIs:
        return AsItIs()

    def rule(self, solver: str, theta: Array, **settings: Any) -> optimizers.StepRule:
        rules = {"sgd": optimizers.SGD, "adam": optimizers.Adam, "rprop": optimizers.RProp}
        rule: optimizers.StepRule = rules[solver](**settings)
        return rule

    def pairs(self, theta: Array, memory: int) -> TwoLoop:
        return TwoLoop(memory)

    def step(
        self,
        objective: Objective,
        theta: Array,
        batches: Sequence[Batch],
        rule: optimizers.StepRule,
        learning_rate: float,
    ) -> float:
        value, gradient = self.value_and_gradient(objective, theta, batches)
        theta[...] = rule.step(theta, gradient, learning_rate)
        return value

    def value_and_gradient(
        self, objective: Objective, theta: Array, batches: Sequence[Batch]
    ) -> tuple[float, Array]:
        """Add up the batches, (16)."""

        def term(number: int) -> tuple[float, Array]:
            return objective.value_and_gradient(theta, *batches[number])

        return add_up(term, plus, 0, len(batches))


class AsItIs:
    """The plain arrangement: every order stays."""

    def objective(self, objective: Objective) -> Objective:
        return objective

    def arranged(self, theta: Array) -> Array:
        return np.array(theta)

    def restore(self, theta: Array, out: Array) -> None:
        out[...] = theta

    def batch(
        self,
        inputs: Rated,
        targets: Rated,
        rows: Array,
        masks: Sequence[Array] | None,
    ) -> Batch:
        return Batch(inputs[rows], targets[rows], len(rows) / targets.shape[0], masks)


class TiledEngine:
    """Tiles, threads and steps that stream. No number depends on `workers`."""

    def __init__(self, workers: Workers | None = None) -> None:
        self.workers = workers
        self._shares: Shares | None = None

    def arrange(self, network: Network, targets: CSR, n_batches: int) -> ByActivity:
        return ByActivity(network, targets, n_batches, self.workers)

    def rule(self, solver: str, theta: Array, **settings: Any) -> StepRule:
        rules = {"sgd": SGD, "adam": Adam, "rprop": RProp}
        rule: StepRule = rules[solver](theta, **settings)
        return rule

    def pairs(self, theta: Array, memory: int) -> CompactPairs:
        return CompactPairs(theta, memory, self.workers)

    def step(
        self,
        objective: Objective,
        theta: Array,
        batches: Sequence[Batch],
        rule: StepRule,
        learning_rate: float,
    ) -> float:
        """Return J; parts of theta move while their derivatives are at hand."""
        if len(batches) > 1:
            value, gradient = self.value_and_gradient(objective, theta, batches)
            rule.step(theta, gradient, learning_rate)
            return value
        rule.begin(learning_rate)
        return self._stream(objective, theta, batches, partial(rule.update, theta))

    def value_and_gradient(
        self,
        objective: Objective,
        theta: Array,
        batches: Sequence[Batch],
        out: Array | None = None,
    ) -> tuple[float, Array]:
        """Return the sums over batches, in the order of `add_up`; `out` takes the gradient."""

        def work(start: int, stop: int, gradient: Array) -> tuple[float, Array]:
            def store(where: slice, part: Array) -> None:
                gradient[where] = part

            def add(where: slice, part: Array) -> None:
                gradient[where] += part

            if stop - start < 3 or isinstance(objective.network, ImplicitNetwork):
                some = (batches[number] for number in range(start, stop))
                return self._stream(objective, theta, some, store, add), gradient
            middle = start + left_half(stop - start)
            value, _ = work(start, middle, gradient)
            term, others = work(middle, stop, np.empty_like(theta))
            in_blocks(theta.size, self.workers, lambda block: add(block, others[block]))
            return value + term, gradient

        return work(0, len(batches), np.empty_like(theta) if out is None else out)

    def _stream(
        self,
        objective: Objective,
        theta: Array,
        batches: Iterable[Batch],
        first: Receive,
        others: Receive | None = None,
    ) -> float:
        shares = self._shares_for(objective.network, theta)
        value, fraction, receive = 0.0, 0.0, first
        for batch in batches:
            value += stream(
                objective, theta, *batch, receive=receive, workers=self.workers, shares=shares
            )
            fraction += batch.fraction
            receive = others or first
        if shares is not None:
            penalty = fraction * objective.penalties.get(IMPLICIT, 0.0)
            shares.finish(penalty, first)
        return value

    def _shares_for(self, network: Network, theta: Array) -> Shares | None:
        if not isinstance(network, ImplicitNetwork):
            return None
        shares = self._shares
        if shares is None or shares.network is not network or shares.dtype != theta.dtype:
            shares = self._shares = Shares(network, theta.dtype, self.workers)
        shares.begin(theta)
        return shares


class ByActivity:
    """The most active rows and columns come first; batches are about equally active.

    Only the pattern of `targets` is read.
    """

    def __init__(
        self,
        network: Network,
        targets: CSR,
        n_batches: int,
        workers: Workers | None = None,
        rows: Array | None = None,
    ) -> None:
        self.network, self.workers = network, workers
        own_rows, self.columns = by_activity(targets)
        rows = own_rows if rows is None else rows  # of more columns than these
        self.orders = row_orders(network, self.columns)
        if IMPLICIT in self.orders:
            self.orders[IMPLICIT] = rows
        self.orders_back = {name: np.argsort(order) for name, order in self.orders.items()}
        self.place_of_column = places_in(self.columns)
        tile_rows = TILE_ROWS * n_batches  # a batch has one of n_batches
        widths = corner_widths(targets, tile_rows, rows, self.place_of_column)
        self.row_widths = widths[places_in(rows)]

    def objective(self, objective: Objective) -> Objective:
        """Return the objective, an implicit decoder's pattern laid out for products."""
        objective, network = copy.copy(objective), objective.network
        if isinstance(objective, AllCells):
            objective.reorder(self.columns)
        if isinstance(network, ImplicitNetwork):
            rated: Any = network.rated
            rated = rated if isinstance(rated, Scaled) else Scaled.of(rated)
            laid_out: Any = Static(rated, self.orders[IMPLICIT], self.columns, self.workers)
            objective.network = replace(network, rated=laid_out)
        return objective

    def arranged(self, theta: Array) -> Array:
        arranged = np.empty_like(theta)
        take_rows_of_blocks(self.network, theta, self.orders, arranged, self.workers)
        return arranged

    def restore(self, theta: Array, out: Array) -> None:
        take_rows_of_blocks(self.network, theta, self.orders_back, out, self.workers)

    def batch(
        self,
        inputs: Rated,
        targets: Rated,
        rows: Array,
        masks: Sequence[Array] | None,
    ) -> Batch:
        """Plan the tiles of rows, in order of activity."""
        width = max(self.network.hidden_layer_sizes)
        columns = panel_columns(self.network.n_columns, width)
        fraction = len(rows) / targets.shape[0]
        some: Any = targets[rows]
        pattern: Any = copy.copy(pattern_of(some))
        pattern.indices = self.place_of_column[pattern.indices]
        plan = Plan(split(pattern, self.row_widths[rows]), columns, self.workers)
        return Batch(_laid_out(inputs[rows], plan), _laid_out(some, plan), fraction, masks)


def _laid_out(matrix: CSR | Planes, plan: Plan) -> Matrix:
    if not isinstance(matrix, Planes):
        return Tiled.of(matrix, plan)
    pattern = Tiled.of(pattern_of(matrix), plan)
    return Planes(pattern, matrix.data[:, plan.order], matrix.features)


# Steps


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

    ``receive(where, part)`` gets dJ/dtheta[where], which it may keep and change. The parts cover
    theta once, in any order and from several threads, and nothing reads ``theta[where]`` any more.
    `shares` are of an `ImplicitNetwork`; `Shares.finish` passes D_Y on after all batches. The rest
    is as in `Objective.value_and_gradient`.
    """
    layout, penalties = objective.network.layout, objective.penalties
    weights = layout.views(theta)
    squares = {block: np.empty(len(weights[block]), theta.dtype) for block in penalties}
    if IMPLICIT in squares:
        squares[IMPLICIT] = squared_lengths(weights[IMPLICIT])
    passes = objective.passes if shares is None else partial(shares.passes, objective)
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
    """Yield rows of a sum of products L^T R, and the function that multiplies them out."""
    left, right = pairs[0]
    if isinstance(left, Planes):  # one block below the other; they cannot be tied
        first = 0
        for block in left.blocks:
            for rows, multiply in parts([(block, right)]):
                yield slice(first + rows.start, first + rows.stop), multiply
            first += block.shape[1]
        return
    thin: tuple[Array, Array] | None = None
    if isinstance(left, PlusLowRank):
        thin = left.right, left.left.T @ right
        pairs = [(left.pattern, right), *pairs[1:]]
    tiled = [(left.cast(right.dtype), right) for left, right in pairs if isinstance(left, Tiled)]
    if not tiled:  # an inner layer, or features
        [(dense, right)] = pairs
        yield slice(0, dense.shape[1]), partial(spmm_transpose, dense, right)
        return
    for left, _ in tiled:
        left.corner()  # before threads ask
    for number, panel in enumerate(tiled[0][0].plan.panels):
        yield panel, partial(_panel, tiled, number, thin and (thin[0][panel], thin[1]))


def _panel(
    pairs: Sequence[tuple[Tiled, Array]], number: int, thin: tuple[Array, Array] | None
) -> Array:
    total, *others = (left.multiply_panel(number, right) for left, right in pairs)
    if thin:
        total += thin[0] @ thin[1]  # of all cells, (74)
    for other in others:  # tied, (14)
        total += other
    return total


class StepRule(ABC):
    """A step in place."""

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> None:
        """Change theta by a step; `gradient` may be overwritten."""
        self.begin(learning_rate)
        self.update(theta, slice(None), gradient)

    @abstractmethod
    def begin(self, learning_rate: float) -> None:
        """Begin a step whose gradient comes in parts that cover theta once."""

    @abstractmethod
    def update(self, theta: Array, where: slice, gradient: Array) -> None:
        """Change ``theta[where]`` by its derivatives, in any order and thread."""


class SGD(StepRule):
    """`core.optimizers.SGD`, in place; theta gives length and dtype."""

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
    """`core.optimizers.Adam`, in place; theta gives length and dtype.

    The moments are kept divided by (1 - beta): m <- beta1 m + g;  v <- beta2 v + g^2;
    theta <- theta - rate c m / (sqrt(v) + epsilon'), c and epsilon' from both corrections.
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
    """`core.optimizers.RProp`, in place; theta gives length and dtype."""

    def __init__(self, theta: Array, shortest: float = 1e-6, longest: float = 50.0) -> None:
        self.shortest, self.longest = shortest, longest
        self._previous = np.zeros_like(theta)
        self._lengths = np.zeros_like(theta)
        self._first = True

    def begin(self, learning_rate: float) -> None:
        """`learning_rate` is the first step length."""
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
    for start in range(0, vectors[0].size, ELEMENTS_PER_BLOCK):
        yield tuple(vector[start : start + ELEMENTS_PER_BLOCK] for vector in vectors)


ELEMENTS_PER_TASK = 131_072  # of each vector
ELEMENTS_PER_RUN = 1_024  # summed in the vectors' dtype


class CompactPairs:
    """The last steps s and gradient differences y, and H g by two passes over memory.

    The compact two-loop recursion, Byrd, Nocedal and Schnabel (1994), theorem 2.2: with R the upper
    triangle of S^T Y, D its diagonal, and gamma = s.y / y.y of the last pair,

        H g = gamma g + S R^-T ((D + gamma Y^T Y) u - gamma Y^T g) - gamma Y u,   R u = S^T g

    S^T y and Y^T y of a new pair are differences of S^T g and Y^T g. Methods are those of
    `core.lbfgs.TwoLoop`; no number depends on the threads.
    """

    def __init__(self, theta: Array, memory: int = 10, workers: Workers | None = None) -> None:
        self._store = np.zeros((2, memory, theta.size), theta.dtype)  # S and Y
        self._used: list[int] = []  # slots, oldest first
        self._products: Array = np.zeros((2, memory))  # of S and Y with the last gradient
        self._own_products: tuple[float, float] | None = None  # s.y and y.y of a new pair
        self._sy, self._yy = np.zeros((2, memory, memory))
        self._in_blocks = partial(in_blocks, theta.size, workers)

    def __len__(self) -> int:
        return len(self._used)

    def clear(self) -> None:
        self._used = []

    def add(self, old: tuple[Array, Array], new: tuple[Array, Array]) -> None:
        """Keep the differences of (theta, gradient), if s . y is positive."""
        slots = range(self._store.shape[1])
        if len(self._used) == len(slots):
            self._used.pop(0)
        slot = min(set(slots) - set(self._used))
        differences = self._store[:, slot]

        def subtract(block: slice) -> list[float]:
            parts = [
                np.subtract(after[block], before[block], out=difference[block])
                for before, after, difference in zip(old, new, differences, strict=True)
            ]
            return [inner_product(part, parts[1]) for part in parts]

        curvature, yy = np.sum(self._in_blocks(subtract), axis=0).tolist()
        if curvature <= 0 or yy == 0:  # underflow
            return
        self._used.append(slot)
        self._own_products = curvature, yy

    def direction(self, gradient: Array) -> tuple[Array, float]:
        """Return d = -P g, or -g without pairs, and g . d."""
        used = self._used
        if not used:
            return -gradient, -self.dot(gradient, gradient)

        def multiply(block: slice) -> list[list[Any]]:
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

    def move(self, theta: Array, step: float, direction: Array) -> Array:
        """Return theta + step d."""
        point = np.empty_like(theta)

        def work(block: slice) -> None:
            np.multiply(direction[block], theta.dtype.type(step), out=point[block])
            point[block] += theta[block]

        self._in_blocks(work)
        return point

    def dot(self, left: Array, right: Array) -> float:
        """Return left . right."""
        products = self._in_blocks(lambda block: inner_product(left[block], right[block]))
        return float(sum(products))


def in_blocks(size: int, workers: Workers | None, task: Callable[[slice], Any]) -> list[Any]:
    """Return what a task gives for each block, in order."""
    blocks = [slice(i, i + ELEMENTS_PER_TASK) for i in range(0, size, ELEMENTS_PER_TASK)]
    results: list[Any] = [None] * len(blocks)

    def work(number: int, block: slice) -> None:
        results[number] = task(block)

    run([partial(work, *numbered) for numbered in enumerate(blocks)], workers)
    return results


def inner_product(left: Array, right: Array) -> float:
    """Return left . right, summed in the dtype within short runs and in float64 over them.

    The runs are too short for BLAS to share among threads, which would change results.
    """
    whole = left.size - left.size % ELEMENTS_PER_RUN
    rows, columns = (-1, 1, ELEMENTS_PER_RUN), (-1, ELEMENTS_PER_RUN, 1)
    sums = np.matmul(left[:whole].reshape(rows), right[:whole].reshape(columns))
    rest = np.einsum("i,i->", left[whole:], right[whole:])
    return float(sums.sum(dtype=np.float64) + rest)
