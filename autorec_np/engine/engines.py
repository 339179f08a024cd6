"""Who computes a training: one seam, and the two that fit it.

`PlainEngine` runs the very lines of the lesson, for a debugger and for a reader. `TiledEngine` has
the same numbers faster, in tiles and threads. A training knows the protocol only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from autorec_np._types import CSR, Array, Matrix
from autorec_np.core import optimizers
from autorec_np.core.implicit import IMPLICIT, ImplicitNetwork
from autorec_np.core.kernels import with_data
from autorec_np.core.lbfgs import Pairs, TwoLoop
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.planes import Planes
from autorec_np.engine.steps import SGD, Adam, CompactPairs, Receive, RProp, StepRule, stream
from autorec_np.engine.threads import Workers
from autorec_np.engine.tiled import (
    TILE_ROWS,
    Plan,
    Shares,
    Split,
    Static,
    Tiled,
    by_activity,
    panel_columns,
    reordered,
    row_orders,
    split,
    take_rows_of_blocks,
)


class Batch(NamedTuple):
    """Some rows; the arguments of `Objective.value_and_gradient` after theta."""

    inputs: Matrix
    targets: Matrix
    fraction: float
    masks: Sequence[Array] | None


class Arrangement(Protocol):
    """The order in which an engine wants the columns, and the batches in that order."""

    def objective(self, objective: Objective) -> Objective:
        """Return the objective of theta and batches in the engine's order."""

    def arranged(self, theta: Array) -> Array:
        """Return theta in the engine's order, in memory of its own."""

    def restore(self, theta: Array, out: Array) -> None:
        """Write theta, which is in the engine's order, to `out` in the order of the matrix."""

    def batch(
        self, inputs: CSR | Planes, targets: CSR, rows: Array, masks: Sequence[Array] | None
    ) -> Batch:
        """Return the batch of some rows of both matrices, which are of the arranged pattern."""


class Engine(Protocol):
    """What a training needs to have computed."""

    def arrange(self, network: Network, targets: CSR, n_batches: int) -> Arrangement:
        """Look at a pattern whose rows will come in so many batches."""

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
        """Return the sum of J over some batches at theta, and move theta by one step, in place."""

    def value_and_gradient(
        self, objective: Objective, theta: Array, batches: Sequence[Batch]
    ) -> tuple[float, Array]:
        """Return the sums of J and of dJ/dtheta over some batches."""


class PlainEngine:
    """The lesson's own lines, one after the other, in one thread."""

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
        """Add up what the objective says of each batch, (16)."""
        value, gradient = objective.value_and_gradient(theta, *batches[0])
        for batch in batches[1:]:
            term, part = objective.value_and_gradient(theta, *batch)
            value += term
            gradient += part
        return value, gradient


class AsItIs:
    """The arrangement of the plain engine: every order stays."""

    def objective(self, objective: Objective) -> Objective:
        return objective

    def arranged(self, theta: Array) -> Array:
        return np.array(theta)

    def restore(self, theta: Array, out: Array) -> None:
        out[...] = theta

    def batch(
        self, inputs: CSR | Planes, targets: CSR, rows: Array, masks: Sequence[Array] | None
    ) -> Batch:
        return Batch(inputs[rows], targets[rows], len(rows) / targets.shape[0], masks)


class TiledEngine:
    """Tiles, threads and steps that stream. No number depends on `workers`; None: one thread."""

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
        """Return J; each part of theta moves while its derivative is at hand."""
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
        """Return the sums over the batches; `out` takes the gradient."""
        gradient = np.empty_like(theta) if out is None else out

        def store(where: slice, part: Array) -> None:
            gradient[where] = part

        def add(where: slice, part: Array) -> None:
            gradient[where] += part

        return self._stream(objective, theta, batches, store, add), gradient

    def _stream(
        self,
        objective: Objective,
        theta: Array,
        batches: Sequence[Batch],
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
    """The arrangement of the tiled engine: the most active rows and columns come first.

    Batches will be of about equal activity; only the pattern of `targets` is read.
    """

    def __init__(
        self, network: Network, targets: CSR, n_batches: int, workers: Workers | None = None
    ) -> None:
        self.network, self.workers = network, workers
        rows, self.columns = by_activity(targets)
        self.orders = row_orders(network, self.columns)
        self.orders_back = {name: np.argsort(order) for name, order in self.orders.items()}
        self.place_of_row = np.argsort(rows)
        positions = np.arange(targets.nnz, dtype=targets.indptr.dtype)
        numbered = reordered(with_data(targets, positions), rows, self.columns)
        dense, rest, widths = split(numbered, TILE_ROWS * n_batches)  # a batch has one of n_batches
        for part in (dense, rest):  # positions in `targets` instead of in `numbered`
            part.data = numbered.data.take(part.data)
        self.parts = Split(dense, rest, widths)

    def objective(self, objective: Objective) -> Objective:
        """Return the objective, with the pattern of an implicit decoder laid out for products."""
        network = objective.network
        if not isinstance(network, ImplicitNetwork):
            return objective
        rated: Any = network.rated
        in_order = reordered(rated, self.orders[IMPLICIT], self.columns)
        laid_out: Any = Static(in_order, self.workers)
        return Objective(replace(network, rated=laid_out), objective.penalties)

    def arranged(self, theta: Array) -> Array:
        arranged = np.empty_like(theta)
        take_rows_of_blocks(self.network, theta, self.orders, arranged, self.workers)
        return arranged

    def restore(self, theta: Array, out: Array) -> None:
        take_rows_of_blocks(self.network, theta, self.orders_back, out, self.workers)

    def batch(
        self, inputs: CSR | Planes, targets: CSR, rows: Array, masks: Sequence[Array] | None
    ) -> Batch:
        """Plan the tiles of the rows, which come in order of activity."""
        width = max(self.network.hidden_layer_sizes)
        columns = panel_columns(targets.shape[1], width)
        plan = Plan(self.parts.take(self.place_of_row[rows]), columns, self.workers)
        fraction = len(rows) / targets.shape[0]
        tiled = Tiled.of(targets, plan)
        if isinstance(inputs, Planes):
            planes = inputs.part(rows, tiled, inputs.data[:, plan.order])
            return Batch(planes, tiled, fraction, masks)
        return Batch(Tiled.of(inputs, plan), tiled, fraction, masks)
