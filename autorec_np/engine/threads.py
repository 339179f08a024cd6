"""The threads of a training, what they share, and those of BLAS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import Any

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array, Matrix
from autorec_np.core.network import Network
from autorec_np.core.planes import Planes
from autorec_np.gradcheck.process import single_threaded_blas

logger = logging.getLogger(__name__)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute the same everywhere: BLAS has one thread, and what underflows is 0.

    Also a decorator, ``@undisturbed()``.
    """
    with single_threaded_blas(), np.errstate(under="ignore"):
        yield


ENTRIES_PER_BLOCK = 16_384  # enough work for a task


class Workers:
    """Threads that share tasks, the caller's among them; fewer if the system refuses so many."""

    def __init__(self, n_threads: int) -> None:
        self._helpers, n_helpers = _started(n_threads - 1)
        self.n_threads = 1 + n_helpers

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()

    def shutdown(self) -> None:
        self._helpers.shutdown()

    def run(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Run all tasks; after an exception, which is raised here, none is begun."""
        queue = iter(tasks)  # each thread takes the next
        settings = np.geterr()  # each thread has its own

        def work() -> None:
            try:
                with np.errstate(**settings):
                    for task in queue:
                        task()
            except BaseException:
                for _ in queue:  # leave none to others
                    pass
                raise

        n_helpers = min(self.n_threads, len(tasks)) - 1
        helpers = [self._helpers.submit(work) for _ in range(n_helpers)]
        try:
            work()
        finally:  # others need not begin: a task may call `run` itself
            begun = [helper for helper in helpers if not helper.cancel()]
            wait(begun)
        for helper in begun:
            helper.result()


def _started(n_threads: int) -> tuple[ThreadPoolExecutor, int]:
    """Return a pool of started threads, and how many."""
    while True:
        pool, begin, n_started = ThreadPoolExecutor(max(1, n_threads)), Event(), 0
        try:
            for _ in range(n_threads):
                pool.submit(begin.wait)  # so that the next needs another
                n_started += 1
        except RuntimeError:  # the system refuses a thread
            logger.info("the system refuses thread %d, so there are fewer", n_started + 2)
            n_threads = n_started
        else:
            return pool, n_started
        finally:
            begin.set()
        pool.shutdown(cancel_futures=True)


def run(tasks: Sequence[Callable[[], object]], workers: Workers | None) -> None:
    """Run all tasks, without workers in this thread."""
    if workers is not None:
        workers.run(tasks)
        return
    for task in tasks:
        task()


@contextmanager
def workers(n_jobs: int) -> Iterator[Workers | None]:
    """Give threads, None for one, and hold BLAS to one."""
    with undisturbed():
        if n_jobs == 1:
            yield None
            return
        with Workers(n_jobs) as pool:
            yield pool


# Blocks of rows


def row_block(matrix: CSR, rows: slice) -> CSR:
    """Return rows of a matrix, their entries not copied."""
    indptr = matrix.indptr[rows.start : rows.stop + 1]
    entries = slice(indptr[0], indptr[-1])
    return sparse.csr_array(
        (matrix.data[entries], matrix.indices[entries], indptr - indptr[0]),
        shape=(len(indptr) - 1, matrix.shape[1]),
    )


def row_blocks(counts: Array, n_entries: int) -> Iterator[slice]:
    """Cut rows with so many entries each into runs of about `n_entries`."""
    ends = np.cumsum(counts)
    marks = np.arange(n_entries, ends[-1] if len(ends) else 0, n_entries)
    cuts = np.unique([0, *np.searchsorted(ends, marks) + 1, len(counts)]).tolist()
    return map(slice, cuts[:-1], cuts[1:])


def pattern_of(matrix: CSR | Planes) -> CSR:
    """Return a CSR array, or that behind planes."""
    pattern: Any = matrix.pattern if isinstance(matrix, Planes) else matrix
    csr: CSR = pattern
    return csr


def encode(network: Network, theta: Array, inputs: CSR | Planes, workers: Workers | None) -> Array:
    """Return `Network.encode` of all rows, (n_rows, k), by blocks."""
    codes = np.empty((inputs.shape[0], network.hidden_layer_sizes[-1]), theta.dtype)
    pattern = pattern_of(inputs)

    def work(rows: slice) -> None:
        block: Matrix = row_block(pattern, rows)
        if isinstance(inputs, Planes):
            entries = slice(pattern.indptr[rows.start], pattern.indptr[rows.stop])
            block = inputs.part(rows, block, inputs.data[:, entries])
        codes[rows] = network.encode(theta, block)

    blocks = row_blocks(np.diff(pattern.indptr), ENTRIES_PER_BLOCK)
    run([partial(work, rows) for rows in blocks], workers)
    return codes
