"""Rounds of a Dask cluster, and a full batch whose blocks of rows its workers keep.

A block is a file in a folder that all workers see. Its worker reads it once, and whoever takes a
dead worker's place reads it again, so that nothing is lost with a worker. Blocks are those of
`Trainer`, whatever the workers, and are added up along one tree: no bit depends on the workers.

Theta goes from the client to one worker and from there to the others; sums of gradients go from
worker to worker, and the last to the client. The scheduler sees none of them.
"""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np.core.implicit import ImplicitNetwork
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.planes import Planes
from autorec_np.engine.engines import (
    Arrangement,
    Batch,
    Engine,
    PlainEngine,
    TiledEngine,
    left_half,
)
from autorec_np.engine.threads import Workers, pattern_of, undisturbed

T = TypeVar("T")
Sum = tuple[float, Array]

PAUSE = 0.2  # seconds, until workers are looked at again
PATIENCE = 5.0  # seconds, of a farewell
PARTS = 4  # of a worker's blocks, in which their bounds are rounded


class Cluster:
    """A Dask client, and what is done where workers do not answer: see `fit_distributed`."""

    def __init__(self, client: Any, timeout: float) -> None:
        self.client, self.timeout = client, timeout

    def round(self, work: Callable[[list[str]], Awaitable[T]]) -> T:
        """Return what `work` gives, again and again where a worker is lost meanwhile.

        It is given the workers' addresses, in order. TimeoutError where time is up.
        """
        from distributed import KilledWorker

        client, cause = self.client, None
        ends = time.monotonic() + self.timeout
        while (left := ends - time.monotonic()) > 0 and client.status != "closed":
            try:
                return client.sync(self._watched, work, callback_timeout=left)  # type: ignore[no-any-return]
            except asyncio.TimeoutError as error:
                cause = error
                break
            except (CancelledError, KilledWorker, OSError) as error:
                cause = error
                time.sleep(min(PAUSE, left))
        raise TimeoutError(
            f"the Dask cluster {client!r} did not answer within timeout={self.timeout:g} seconds: "
            f"its scheduler or a worker is dead or frozen. The model is as it was; if it has a "
            f"checkpoint, fit_distributed(..., resume=True) goes on from there."
        ) from cause

    async def _watched(self, work: Callable[[list[str]], Awaitable[T]]) -> T:
        """Do some work; ConnectionError as soon as a worker is gone, which Dask waits long for."""
        addresses = await self._addresses()
        if not addresses:
            raise ConnectionError("there are no workers")
        task = asyncio.ensure_future(work(addresses))
        try:
            while not (await asyncio.wait([task], timeout=PAUSE))[0]:
                gone = {*addresses} - {*await self._addresses()}
                if gone:
                    raise ConnectionError(f"workers are gone: {gone}")
            return task.result()
        finally:
            task.cancel()

    async def _addresses(self) -> list[str]:
        return sorted(await self.client.nthreads(asynchronous=True))

    def forget(self, run: Path) -> None:
        """Let those workers that answer free what they keep."""

        async def tell() -> None:
            for address in await self._addresses():
                fire_and_forget(self.client.submit(forget, run, workers=[address], pure=False))

        from distributed import fire_and_forget

        with suppress(Exception):  # what ended the run says it
            self.client.sync(tell, callback_timeout=PATIENCE)


class Reference(NamedTuple):
    """Stands for a batch, a file of the run's folder."""

    number: int


class Written:
    """An arrangement whose batches are files; the rest is that of `inner`."""

    def __init__(self, inner: Arrangement, folder: Path) -> None:
        self.inner, self.folder, self.n_written = inner, folder, 0
        self.arranged, self.restore = inner.arranged, inner.restore

    def objective(self, objective: Objective) -> Objective:
        objective = self.inner.objective(objective)
        write(self.folder / "objective", objective)
        return objective

    def batch(self, inputs: CSR | Planes, targets: CSR | Planes, rows: Array, masks: None) -> Any:
        write(self.folder / str(self.n_written), self.inner.batch(inputs, targets, rows, masks))
        self.n_written += 1
        return Reference(self.n_written - 1)


class FullBatchEngine:
    """An engine whose sums over batches are those of workers: a step needs all of them."""

    def __init__(self, cluster: Cluster, folder: Path, engine: Engine) -> None:
        self.cluster, self.folder = cluster, folder
        # without threads: nothing of them can be written
        self.inner: Any = type(engine)()
        write(folder / "engine", type(engine))
        self.rule, self.pairs = engine.rule, engine.pairs

    def arrange(self, network: Network, targets: CSR, n_batches: int) -> Written:
        if isinstance(network, ImplicitNetwork):
            raise ValueError(
                "an implicit decoder cannot be trained by blocks of rows on a cluster; use "
                "implicit=0, or solver='adam'."
            )
        return Written(self.inner.arrange(network, targets, n_batches), self.folder)

    def step(
        self,
        objective: Objective,
        theta: Array,
        batches: Sequence[Batch],
        rule: Any,
        learning_rate: float,
    ) -> float:
        value, gradient = self.value_and_gradient(objective, theta, batches)
        moved = rule.step(theta, gradient, learning_rate)
        if moved is not None:
            theta[...] = moved
        return value

    def value_and_gradient(
        self, objective: Objective, theta: Array, batches: Sequence[Batch]
    ) -> Sum:
        value, gradient = self.cluster.round(partial(self._sum, theta, len(batches)))
        return value, np.require(gradient, requirements="AW")

    async def _sum(self, theta: Array, n_blocks: int, addresses: list[str]) -> Sum:
        client, bounds = self.cluster.client, cut(n_blocks, len(addresses))
        ways = {"workers": addresses[:1], "direct": True, "hash": False, "asynchronous": True}
        [sent] = await client.scatter([theta], **ways)  # others have it from there

        def branch(start: int, stop: int) -> Any:
            [*owners] = [i for i, end in enumerate(bounds[1:]) if bounds[i] < stop and start < end]
            if len(owners) == 1 or stop - start == 1:
                task, where = (sum_of_blocks, self.folder, start, stop, sent), addresses[owners[0]]
                return client.submit(*task, workers=[where], pure=False)
            middle = start + left_half(stop - start)
            return client.submit(add, branch(start, middle), branch(middle, stop), pure=False)

        root = branch(0, n_blocks)
        return await client.gather(root, direct=True, asynchronous=True)  # type: ignore[no-any-return]


def cut(n_blocks: int, n_workers: int) -> list[int]:
    """Return where each worker's blocks begin, and the end: whole branches of the tree, if many."""
    whole = 1 << max(n_blocks // (PARTS * n_workers), 1).bit_length() - 1
    return [round(i * n_blocks / n_workers / whole) * whole for i in range(n_workers)] + [n_blocks]


def add(left: Sum, right: Sum) -> Sum:
    return left[0] + right[0], aligned(left[1]) + aligned(right[1])


def aligned(array: Array) -> Array:
    """Return the array at an even address: Dask gives any, where arithmetic is slow."""
    return np.require(array, requirements="A")


def write(path: Path, value: Any) -> None:
    with path.open("wb") as file:
        pickle.dump(value, file, protocol=5)


# On the workers


class Run:
    """What a worker keeps of a run: blocks, and threads."""

    def __init__(self, folder: Path) -> None:
        from distributed import get_worker

        self.folder, self.lock = folder, Lock()
        self.threads = Workers(get_worker().state.nthreads)
        self.engine: Any = PlainEngine()
        if read(folder / "engine") is TiledEngine:
            self.engine = TiledEngine(self.threads)
        self.objective: Objective = read(folder / "objective")
        self.blocks: dict[int, Batch] = {}

    def block(self, number: int) -> Batch:
        with self.lock:
            if number not in self.blocks:
                block: Batch = read(self.folder / str(number))
                plan = getattr(pattern_of(block.targets), "plan", None)
                if plan is not None:
                    plan.workers = self.threads
                self.blocks[number] = block
            return self.blocks[number]


_runs: dict[Path, Run] = {}
_opening = Lock()


def read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return pickle.load(file)
    except OSError as error:
        raise RuntimeError(
            f"a worker cannot read {path} ({error}); pass folder=, one that all workers see."
        ) from error


def sum_of_blocks(folder: Path, start: int, stop: int, theta: Array) -> Sum:
    """Return the sums of J and dJ/dtheta over blocks of a run."""
    with _opening:
        if folder not in _runs:
            _runs[folder] = Run(folder)
        run = _runs[folder]
    blocks = [run.block(number) for number in range(start, stop)]
    with undisturbed():
        value, gradient = run.engine.value_and_gradient(run.objective, aligned(theta), blocks)
    return value, gradient


def forget(folder: Path) -> None:
    run = _runs.pop(folder, None)
    if run is not None:
        run.threads.shutdown()
