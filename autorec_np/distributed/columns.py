"""`fit_distributed`, and minibatches by columns: each worker has weights and moments of its own.

A row's code is g of a sum over columns, and so is the derivative by it. So a batch takes two sums
of (rows x k) over shards, with an implicit decoder also one of D_Y, and nothing else moves but, at
the end of an epoch, theta. In a worker the very step of `TiledEngine` runs over the shard's
columns; only its matrices know that their products are parts of sums (`Part`, `PartOfInputs`). One
shard has the bits of a fit; what else has no columns, such as biases of codes and Y, has a copy in
each shard, to the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, NamedTuple, TypeVar

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np.core.implicit import ImplicitNetwork, scaled_pattern
from autorec_np.core.kernels import spmm, with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective, in_float64, squared_lengths
from autorec_np.core.parameters import COLUMN_BLOCKS
from autorec_np.core.planes import Planes
from autorec_np.data.ratings import Ratings
from autorec_np.distributed.full_batch import (
    RECIPE,
    Cluster,
    FullBatchEngine,
    aligned,
    keep,
    kept,
    opened,
    threads_of_worker,
    write,
)
from autorec_np.engine.engines import Batch, ByActivity, Engine, TiledEngine
from autorec_np.engine.rows import Rated, Rows, blocks_of, pattern_of
from autorec_np.engine.threads import undisturbed
from autorec_np.engine.tiled import Plan, Tiled, by_activity
from autorec_np.models.autorec import AutoRec
from autorec_np.training.trainer import (
    SOLVERS,
    Corrupted,
    Draws,
    computed_by,
    corrupt,
)

Exchange = Callable[[Array], Array]
Model = TypeVar("Model", bound=AutoRec)


def fit_distributed(
    model: Model,
    ratings: Any,
    client: Any,
    folder: str | os.PathLike[str] | None = None,
    timeout: float = 600.0,
    **others: Any,
) -> Model:
    """Fit a model on a Dask cluster, as its own `fit` does; return it.

    Full-batch solvers share the rows among workers, to the bits of `fit`; others the columns, to
    its bits with one worker and to rounding with more.

    Parameters
    ----------
    model : AutoRec or RankingAutoRec
    ratings : path, Ratings or what `fit` takes
        A path is that of a store: see `Ratings.open`.
    client : distributed.Client
    folder : path, optional
        One that all workers see. A run has a folder in it, which it removes, for what workers need
        of ratings in memory. None: that of stored ratings.
    timeout : float
        Seconds for an evaluation of a full batch, or an epoch; who dies is replaced meanwhile.
    **others
        What `fit` takes beside ratings.

    Raises
    ------
    TimeoutError
        The scheduler or a worker does not answer. The model is as it was.
    RuntimeError
        A worker does not see the folder, or its columns are lost and there is no checkpoint.
    ImportError, ValueError, TypeError
        Dask is missing; the model cannot be trained so; what `fit` raises.
    """
    try:
        import dask.distributed  # noqa: F401
    except ImportError:
        raise ImportError("Dask is missing: pip install 'autorec_np[dask]'") from None
    if not isinstance(model, AutoRec):
        raise TypeError(f"AutoRec and RankingAutoRec are trained so, got {model!r}; use its fit.")
    if isinstance(ratings, (str, os.PathLike)):
        ratings = Ratings.open(ratings)
    folder = getattr(ratings, "folder", None) if folder is None else folder
    if folder is None:
        raise ValueError("ratings in memory need folder=, a path that all workers see.")
    cluster = Cluster(client, timeout)
    with TemporaryDirectory("", "run-", folder, ignore_cleanup_errors=True) as name:
        run = Path(name).absolute()

        def engine_for(engine: Engine) -> Engine:
            if SOLVERS[model.solver].full_batch:
                return FullBatchEngine(cluster, run, engine)
            return ColumnsEngine(cluster, run, engine, model.checkpoint is not None)

        try:
            with computed_by(engine_for):
                model.fit(ratings, **others)
        finally:
            cluster.forget(run)
    return model


class Told(NamedTuple):
    """A batch: its rows and, if it is corrupted, how."""

    rows: Array
    probability: float = 0.0
    draws: Draws | None = None


class Recipe(NamedTuple):
    """By what a worker makes shards: see `ColumnsEngine`."""

    objective: Objective
    inputs: Rated
    targets: Rated
    columns: list[Array]
    rows: Array
    n_batches: int


class ColumnsEngine:
    """An engine whose steps are made by workers, an epoch at once, and an arrangement."""

    def __init__(self, cluster: Cluster, folder: Path, engine: Engine, keeps: bool) -> None:
        if not isinstance(engine, TiledEngine):
            raise ValueError("columns are trained on a cluster with engine='tiled'.")
        self.cluster, self.folder, self.keeps = cluster, folder, keeps
        self.rule, self.pairs = engine.rule, engine.pairs
        self.places: list[str] | None = None  # of shards that are as the last epoch left them
        self.told: list[tuple[Told, float]] = []
        self.columns: list[Array] = []
        self.n_done = 0  # epochs

    def arrange(self, network: Network, targets: CSR, n_batches: int) -> ColumnsEngine:
        if network.tied or network.layout.shapes["encoder.weight"][0] % network.n_columns:
            raise ValueError(
                "tied weights and features cannot be trained by columns on a cluster; use "
                "tied=False, ratings without features, or a full-batch solver."
            )
        self.n_batches = n_batches
        self.order_of_rows, self.order_of_columns = by_activity(targets)
        return self

    def objective(self, objective: Objective) -> Objective:
        if type(objective) is not Objective:
            raise ValueError("lists are trained on a cluster with solver='lbfgs' or 'rprop'.")
        return objective

    def arranged(self, theta: Array) -> Array:
        return np.array(theta)

    def restore(self, theta: Array, out: Array) -> None:
        out[...] = theta

    def batch(self, inputs: Rated, targets: Rated, rows: Array, masks: Any) -> Any:
        if masks is not None:
            raise ValueError("dropout cannot be trained by columns on a cluster; use dropout=0.")
        told = Told(rows)
        if isinstance(inputs, Corrupted):
            told = Told(rows, inputs.probability, inputs.draws)
            inputs = inputs.inputs
        self.matrices = inputs, targets
        return told

    def value_and_gradient(self, *arguments: Any) -> Any:
        raise NotImplementedError

    def step(
        self, objective: Objective, theta: Array, batches: Sequence[Any], rule: Any, rate: float
    ) -> float:
        """Return 0 until the last of an epoch, which makes all its steps, and returns their sum."""
        self.told.append((*batches, rate))
        if len(self.told) < self.n_batches:
            return 0.0
        steps, self.told = self.told, []
        value, parts = self.cluster.round(partial(self._epoch, objective, theta, rule, steps))
        for columns, (states, others) in zip(self.columns, parts, strict=True):
            vars(rule).update(others)
            for name, part in states.items():
                whole = theta if name == THETA else vars(rule)[name]
                put(objective.network, whole, columns, aligned(part))
        return value

    async def _epoch(
        self,
        objective: Objective,
        theta: Array,
        rule: Any,
        steps: list[tuple[Told, float]],
        addresses: list[str],
    ) -> tuple[float, list[Any]]:
        client, places = self.cluster.client, self.places
        self.places = None
        if places is None:
            if self.n_done and not self.keeps:
                raise RuntimeError(
                    "a worker was lost, and with it the moments of its columns; with "
                    "AutoRec(checkpoint=path) a run has them at hand, and goes on by itself."
                )
            places = await self._place(objective, theta, rule, addresses)
        run = [
            partial(client.submit, workers=[place], pure=False, folder=self.folder, number=number)
            for number, place in enumerate(places)
        ]
        n_asked = 3 + isinstance(objective.network, ImplicitNetwork)
        last: list[Any] = [None] * len(run)
        value, values = 0.0, []
        for number, step in enumerate(steps, 1):
            message: Any = step
            for _ in range(n_asked):
                ways = {"turn": self.turn, "message": message}
                last = [
                    one(ask, **ways, before=before) for one, before in zip(run, last, strict=True)
                ]
                self.turn += 1
                message = last[0] if len(last) == 1 else client.submit(add_all, last, pure=False)
            values.append(message)
            if number % STEPS_AT_ONCE == 0 or number == len(steps):
                value, values = sum(map(float, await self.cluster.gather(*values)), value), []
        asked = (partial(one, state_of, is_whole=self.keeps) for one in run)
        parts = await self.cluster.gather(
            *(one(before=end) for one, end in zip(asked, last, strict=True))
        )
        self.places = places
        self.n_done += 1
        return value, parts

    async def _place(
        self, objective: Objective, theta: Array, rule: Any, addresses: list[str]
    ) -> list[str]:
        client, network = self.cluster.client, objective.network
        if not self.columns:
            n_shards = min(len(addresses), network.n_columns)
            self.columns = [np.sort(self.order_of_columns[i::n_shards]) for i in range(n_shards)]
            if isinstance(network, ImplicitNetwork):  # each shard has its own
                objective = copy(objective)
                nothing: Any = sparse.csr_array(self.matrices[1].shape)
                objective.network = replace(network, rated=nothing)
            recipe = objective, *self.matrices, self.columns, self.order_of_rows, self.n_batches
            write(self.folder / RECIPE, Recipe(*recipe))
        self.turn = 0
        places = [addresses[i % len(addresses)] for i in range(len(self.columns))]
        others = {name: x for name, x in vars(rule).items() if not isinstance(x, np.ndarray)}
        placed = []
        for number, (place, columns) in enumerate(zip(places, self.columns, strict=True)):
            states = {n: x for n, x in vars(rule).items() if n not in others} | {THETA: theta}
            parts = {name: take(network, state, columns) for name, state in states.items()}
            ways = {"workers": [place], "direct": True, "hash": False, "asynchronous": True}
            [sent] = await client.scatter([parts], **ways)
            task = place_shard, self.folder, number, type(rule), others, sent
            placed.append(client.submit(*task, workers=[place], pure=False))
        await self.cluster.gather(*placed)
        return places


THETA = "theta"
STEPS_AT_ONCE = 64  # that Dask is told of


def blocks(network: Network, theta: Array) -> Iterator[tuple[Array, bool]]:
    """Yield the blocks of theta, and whether their second axis is that of the columns."""
    views = network.layout.views(theta)
    for name in network.layout.slices:
        view, has_columns = views[name], name in COLUMN_BLOCKS
        if has_columns:
            view = view.reshape(-1, network.n_columns, *view.shape[1:])
        yield view, has_columns


def take(network: Network, theta: Array, columns: Array) -> Array:
    """Return the theta of some columns."""
    parts = (view[:, columns] if has else view for view, has in blocks(network, theta))
    return np.concatenate([part.reshape(-1) for part in parts])


def put(network: Network, theta: Array, columns: Array, part: Array) -> None:
    """Write the theta of some columns into the whole."""
    for view, has_columns in blocks(network, theta):
        shape = (len(view), len(columns), *view.shape[2:]) if has_columns else view.shape
        size = int(np.prod(shape))
        view[(slice(None), columns) if has_columns else ...] = part[:size].reshape(shape)
        part = part[size:]


# On the workers


class Part(Tiled):
    """Targets, and what has their pattern: A D is a sum over shards."""

    def __init__(self, data: Array, plan: Plan, exchange: Exchange) -> None:
        super().__init__(data, plan)
        self.exchange = exchange

    def multiply(self, dense: Array) -> Array:
        return self.exchange(super().multiply(dense))


@with_data.register
def _(pattern: Part, data: Array) -> Part:  # type: ignore[misc]
    return Part(data, pattern.plan, pattern.exchange)


class PartOfInputs(Planes):
    """Inputs, of one plane or more."""

    exchange: Exchange


@spmm.register
def _(matrix: PartOfInputs, dense: Array) -> Array:
    return matrix.exchange(spmm.dispatch(Planes)(matrix, dense))


class Shard:
    """The columns of one, and a thread in which its steps wait for sums over all."""

    def __init__(
        self, recipe: Recipe, number: int, kind: Any, others: Any, states: dict[str, Array]
    ) -> None:
        self.is_first, self.turn, self.threads = not number, 0, threads_of_worker()
        self.inputs, self.targets, self.entries = of_columns(recipe, recipe.columns[number])
        whole, n_columns = recipe.objective.network, len(recipe.columns[number])
        changes: dict[str, Any] = {"n_columns": n_columns, "n_inputs": self.inputs.shape[1]}
        if isinstance(whole, ImplicitNetwork):
            changes["rated"] = scaled_pattern(self.targets, states[THETA].dtype)
        network = replace(whole, **changes)
        order = recipe.n_batches, self.threads, recipe.rows
        self.arrangement = ByActivity(network, self.targets, *order)
        penalties = recipe.objective.penalties
        self.objective = self.arrangement.objective(Objective(network, penalties))
        if isinstance(network, ImplicitNetwork):
            laid_out: Any = self.objective.network.rated  # type: ignore[attr-defined]
            laid_out.bands_of_product = partial(self.summed_bands, laid_out.bands_of_product)
        arranged = {name: self.arrangement.arranged(aligned(x)) for name, x in states.items()}
        self.theta = arranged.pop(THETA)
        self.rule = kind(self.theta)
        vars(self.rule).update(others | arranged)
        self.engine = TiledEngine(self.threads)
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.outbox: SimpleQueue[Any] = SimpleQueue()
        Thread(target=self.work, daemon=True).start()

    def work(self) -> None:
        with undisturbed(), np.errstate(over="ignore", invalid="ignore"):
            while (step := self.inbox.get()) is not None:
                try:
                    self.outbox.put(self.step(*step))
                except BaseException as error:
                    self.outbox.put(error)
        self.threads.shutdown()

    def close(self) -> None:
        self.inbox.put(None)

    def ask(self, turn: int, message: Any) -> Any:
        """Return the next part of a sum, or the value of the step."""
        if turn != self.turn:  # Dask asks again for what another worker lost
            raise ConnectionError("a part of a sum is lost")
        self.turn += 1
        self.inbox.put(message)
        answer = self.outbox.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def exchange(self, part: Array) -> Array:
        """Return the sum of parts."""
        self.outbox.put(part)
        total = self.inbox.get()
        if total is None:
            self.close()
            raise ConnectionError("the run is over")
        return aligned(total)

    def summed_bands(
        self, bands: Callable[[Array], Iterator[Any]], dense: Array
    ) -> Iterator[tuple[slice, Callable[[], Array]]]:
        """Yield bands of D_Y, summed over shards: see `Static.bands_of_product`."""
        parts = [(band, multiply()) for band, multiply in bands(dense)]
        total = self.exchange(np.concatenate([part for _, part in parts]))
        for band, _ in parts:
            yield band, partial(np.array, total[band])

    def step(self, told: Told, rate: float) -> float:
        batch = self.batch(told)
        copies = 0.0 if self.is_first else self.penalty_of_copies(batch.fraction)
        return self.engine.step(self.objective, self.theta, [batch], self.rule, rate) - copies

    def batch(self, told: Told) -> Batch:
        inputs: Any = self.inputs
        if told.draws is not None:
            inputs = Rows(self.targets, partial(self.corrupted, told.probability, told.draws))
        batch = self.arrangement.batch(inputs, self.targets, told.rows, None)
        read: Any = batch.inputs
        targets: Any = batch.targets
        if isinstance(read, Planes):
            read = PartOfInputs(read.pattern, read.data)
        else:
            read = PartOfInputs(read, read.data[np.newaxis])
        read.exchange = self.exchange
        return batch._replace(inputs=read, targets=Part(targets.data, targets.plan, self.exchange))

    def corrupted(self, probability: float, draws: Draws, rows: Array | slice) -> Any:
        return corrupt(self.inputs[rows], probability, draws, self.entries[rows].data)

    def penalty_of_copies(self, fraction: float) -> float:
        views = self.objective.network.layout.views(self.theta)
        return fraction * sum(
            penalty / 2 * in_float64(squared_lengths(views[block]))
            for block, penalty in self.objective.penalties.items()
            if block not in COLUMN_BLOCKS
        )

    def state(self, is_whole: bool) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return theta, and all that the rule remembers if that is wanted."""
        remembered = vars(self.rule) if is_whole else {}
        others = {name: x for name, x in remembered.items() if not isinstance(x, np.ndarray)}
        states = {name: x for name, x in remembered.items() if name not in others}
        restored = {}
        for name, state in (states | {THETA: self.theta}).items():
            restored[name] = np.empty_like(state)
            self.arrangement.restore(state, restored[name])
        return restored, others


def of_columns(recipe: Recipe, columns: Array) -> tuple[Any, Any, Any]:
    """Return inputs and targets of some columns, in memory, and the places of their entries."""
    pattern = pattern_of(recipe.targets)
    places = np.full(pattern.shape[1], -1, pattern.indices.dtype)
    places[columns] = np.arange(len(columns))
    parts = []
    for rows in blocks_of(pattern):
        inputs, targets = recipe.inputs[rows], pattern_of(recipe.targets[rows])
        own = np.flatnonzero(places[targets.indices] >= 0)
        row_of_each = np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr))
        counts = np.bincount(row_of_each[own], minlength=targets.shape[0])
        read = np.atleast_2d(inputs.data)[:, own]
        entries = own + pattern.indptr[rows.start]
        parts.append((counts, places[targets.indices[own]], read, targets.data[own], entries))
    counts, indices, read, values, entries = (
        np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)
    )
    indptr = np.append(0, np.cumsum(counts)).astype(pattern.indptr.dtype)
    shape = len(counts), len(columns)
    own_targets = sparse.csr_array((values, indices, indptr), shape=shape)
    own_inputs: Any = Planes(own_targets, read)
    if not isinstance(inputs, Planes):
        own_inputs = with_data(own_targets, read[0])
    return own_inputs, own_targets, with_data(own_targets, entries)


def place_shard(folder: Path, number: int, *arguments: Any) -> None:
    keep((folder, number), Shard(opened(folder), number, *arguments))


def ask(folder: Path, number: int, turn: int, message: Any, before: Any = None) -> Any:
    return shard(folder, number).ask(turn, message)


def state_of(folder: Path, number: int, is_whole: bool, before: Any) -> Any:
    return shard(folder, number).state(is_whole)


def shard(folder: Path, number: int) -> Shard:
    found = kept.get((folder, number))
    if found is None:
        raise ConnectionError("a shard is lost")
    assert isinstance(found, Shard)
    return found


def add_all(parts: Sequence[Array]) -> Array:
    return reduce(np.add, map(aligned, parts))
