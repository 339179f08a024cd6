"""Rounds of a Dask cluster, and a full batch whose blocks of rows its workers keep.

The client writes one recipe to a folder that all workers see. It names ratings by their files, and
by it a worker makes the blocks that it is asked for, and whoever takes a dead worker's place makes
them again: no rating is sent, and nothing is lost with a worker. Blocks are those of
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
from typing import Any, TypeVar

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np.core.implicit import ImplicitNetwork
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.engine.engines import Arrangement, Batch, Engine, TiledEngine, left_half, plus
from autorec_np.engine.threads import Workers, undisturbed

T = TypeVar("T")
Sum = tuple[float, Array]

PAUSE = 0.2  # seconds, until workers are looked at again
PATIENCE = 5.0  # seconds, of a farewell
PARTS = 2  # of a worker's blocks, in which their bounds are rounded
RECIPE = "recipe"
LONG = 2**16  # bytes of an array that is a file


class Cluster:
    """A Dask client, and what is done where workers do not answer: see `fit_distributed`."""

    def __init__(self, client: Any, timeout: float) -> None:
        self.client, self.timeout = client, timeout

    def round(self, work: Callable[[list[str]], Awaitable[T]]) -> T:
        """Return what `work` gives, again and again where a worker is lost meanwhile.

        It is given the workers' addresses, in order. TimeoutError where time is up.
        """
        from dask.distributed import KilledWorker

        client, ends = self.client, time.monotonic() + self.timeout
        cause: BaseException | None = None
        while (left := ends - time.monotonic()) > 0 and client.status != "closed":
            try:
                answer: T = client.sync(self._watched, work, callback_timeout=left)
                return answer
            except (asyncio.TimeoutError, CancelledError, KilledWorker, OSError) as error:
                cause = error
                time.sleep(PAUSE)
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

    async def gather(self, *futures: Any) -> list[Any]:
        """Return results; Dask's own would leave tasks behind where this is cancelled."""
        for future in futures:
            await future.exception()
        results: list[Any]
        results = await self.client.gather([*futures], direct=True, asynchronous=True)
        return results

    async def _addresses(self) -> list[str]:
        return sorted(await self.client.nthreads(asynchronous=True))

    def forget(self, folder: Path) -> None:
        """Let those workers that answer free what they keep."""

        async def tell(addresses: list[str]) -> None:
            submit = partial(self.client.submit, forget, folder, pure=False)
            await self.gather(*(submit(workers=[address]) for address in addresses))

        with suppress(Exception):  # what ended the run says it
            self.client.sync(self._watched, tell, callback_timeout=PATIENCE)


class FullBatchEngine:
    """An engine whose sums over batches are those of workers: a step needs all of them."""

    def __init__(self, cluster: Cluster, folder: Path, engine: Engine) -> None:
        self.cluster, self.folder = cluster, folder
        self.rule, self.pairs = engine.rule, engine.pairs
        self.kind: Any = type(engine)

    def arrange(self, network: Network, targets: CSR, n_batches: int) -> Arrangement:
        if isinstance(network, ImplicitNetwork):
            raise ValueError(
                "an implicit decoder cannot be trained by blocks of rows on a cluster; use "
                "implicit=0, or solver='adam'."
            )
        arrangement: Arrangement = self.kind().arrange(network, targets, n_batches)  # no threads
        return arrangement

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
        if not (self.folder / RECIPE).exists():
            write(self.folder / RECIPE, (self.kind, objective, batches))
        value, gradient = self.cluster.round(partial(self._sum, theta, len(batches)))
        return value, np.require(gradient, requirements=["A", "W"])

    async def _sum(self, theta: Array, n_blocks: int, addresses: list[str]) -> Sum:
        client, bounds = self.cluster.client, cut(n_blocks, len(addresses))
        ways = {"workers": addresses[:1], "direct": True, "hash": False, "asynchronous": True}
        [sent] = await client.scatter([theta], **ways)  # others have it from there

        def branch(start: int, stop: int) -> Any:
            first, *others = (
                address
                for address, begin, end in zip(addresses, bounds[:-1], bounds[1:], strict=True)
                if max(begin, start) < min(end, stop)
            )
            if not others or stop - start == 1:
                task = sum_of_blocks, self.folder, start, stop, sent
                return client.submit(*task, workers=[first], pure=False)
            middle = start + left_half(stop - start)
            return client.submit(add, branch(start, middle), branch(middle, stop), pure=False)

        [total] = await self.cluster.gather(branch(0, n_blocks))
        return total  # type: ignore[no-any-return]


def cut(n_blocks: int, n_workers: int) -> list[int]:
    """Return where each worker's blocks begin, and the end.

    Where there are many, whole branches of the tree are together.
    """
    whole = 1 << max(n_blocks // (PARTS * n_workers), 1).bit_length() - 1
    return [round(i * n_blocks / n_workers / whole) * whole for i in range(n_workers)] + [n_blocks]


def add(left: Sum, right: Sum) -> Sum:
    return plus((left[0], aligned(left[1])), (right[0], aligned(right[1])))


def aligned(array: Array) -> Array:
    """Return the array at an even address: Dask gives any, where arithmetic is slow."""
    return np.require(array, requirements="A")


def write(path: Path, value: Any) -> None:
    """Pickle; of long arrays only the name of the file that they are in, or are written to."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            is_plain = isinstance(value, np.ndarray) and value.flags.c_contiguous
            if not is_plain or value.nbytes < LONG or value.dtype.hasobject:
                return super().reducer_override(value)
            base = value
            while isinstance(base.base, np.ndarray) and not isinstance(base, np.memmap):
                base = base.base
            name: Any
            if isinstance(base, np.memmap):
                name, start = base.filename, value.ctypes.data - base.ctypes.data + base.offset
            else:
                name, start = path.with_name(f"array-{len(written)}"), 0
                written.append(value)  # whose memory then is no other's
                value.tofile(name)
            return mapped, (name, value.dtype, start, value.shape)

    written: list[Array] = []
    with path.open("wb") as file:
        Pickler(file).dump(value)


def mapped(name: Path, dtype: Any, start: int, shape: tuple[int, ...]) -> Array:
    return np.asarray(np.memmap(name, dtype, "r", start, shape))


# On the workers


class Run:
    """What a worker keeps of a run: blocks, and threads."""

    def __init__(self, folder: Path) -> None:
        kind, self.objective, self.batches = opened(folder)
        self.threads = threads_of_worker()
        self.batches.are_kept = True
        self.batches.arrangement.workers = self.threads
        self.engine = kind(self.threads) if kind is TiledEngine else kind()

    def close(self) -> None:
        self.threads.shutdown()


kept: dict[tuple[Path, int], Any] = {}
_opening = Lock()


def keep(name: tuple[Path, int], value: Any) -> None:
    """Keep a value until the run of its name ends, in the place of another."""
    before, kept[name] = kept.get(name), value
    if before is not None:
        before.close()


def forget(folder: Path) -> None:
    for name in [name for name in kept if name[0] == folder]:
        kept.pop(name).close()


def opened(folder: Path) -> Any:
    """Return the recipe of a run."""
    try:
        with (folder / RECIPE).open("rb") as file:
            return pickle.load(file)
    except OSError as error:
        raise RuntimeError(
            f"a worker cannot read the run ({error}); pass folder=, one that all workers see."
        ) from error


def threads_of_worker() -> Workers:
    from dask.distributed import get_worker

    return Workers(get_worker().state.nthreads)


def sum_of_blocks(folder: Path, start: int, stop: int, theta: Array) -> Sum:
    """Return the sums of J and dJ/dtheta over blocks of a run."""
    with _opening:
        if (folder, 0) not in kept:
            keep((folder, 0), Run(folder))
        run = kept[folder, 0]
    with undisturbed():
        batches = [run.batches[number] for number in range(start, stop)]
        total: Sum = run.engine.value_and_gradient(run.objective, aligned(theta), batches)
    return total
