"""The threads of a training, what they share, and those of BLAS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event

import numpy as np

from autorec_np.gradcheck.process import single_threaded_blas

logger = logging.getLogger(__name__)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute the same everywhere: BLAS has one thread, and what underflows is 0.

    Also a decorator, ``@undisturbed()``.
    """
    with single_threaded_blas(), np.errstate(under="ignore"):
        yield


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
