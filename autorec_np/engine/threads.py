"""The threads of a training run, and BLAS held to one thread beside them.

OpenBLAS starts threads of its own for every product, which wait by spinning: beside our pool, or
beside a busy neighbor on the machine, they make everything several times slower. NumPy has
no call that limits them; threadpoolctl (extra `fast`) has, and is used where it is installed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import numpy as np

# The limit is the whole process's, and only the thread that set it can lift it (threadpoolctl 3.8):
# the first of several fits at once sets and lifts it.
_limiting = threading.Lock()


class Workers:
    """Threads that share tasks; the caller's is one of them. A context manager.

    Parameters
    ----------
    n_threads : int
        At least 1.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self._helpers = ThreadPoolExecutor(max(1, n_threads - 1))  # starts a thread at first use

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()

    def shutdown(self) -> None:
        """End the threads; the pool cannot be used any more."""
        self._helpers.shutdown()

    def run(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Run all tasks and wait; after an exception no other is begun, and it is raised here."""
        queue = iter(tasks)  # each thread takes the next
        settings = np.geterr()  # each thread has its own

        def work() -> None:
            try:
                with np.errstate(**settings):
                    for task in queue:
                        task()
            except BaseException:
                for _ in queue:  # leave none to the others
                    pass
                raise

        n_helpers = min(self.n_threads, len(tasks)) - 1
        helpers = [self._helpers.submit(work) for _ in range(n_helpers)]
        try:
            work()
        finally:  # who has not begun by now need not: a task may call `run` itself
            begun = [helper for helper in helpers if not helper.cancel()]
            wait(begun)
        for helper in begun:
            helper.result()


def run(tasks: Sequence[Callable[[], object]], executor: Workers | None) -> None:
    """Run all tasks, in this thread where there is no executor."""
    if executor is not None:
        executor.run(tasks)
        return
    for task in tasks:
        task()


@contextmanager
def workers(n_jobs: int) -> Iterator[Workers | None]:
    """Give threads, or None for one, and hold BLAS to one thread meanwhile."""
    with single_threaded_blas():
        if n_jobs == 1:
            yield None
            return
        with Workers(n_jobs) as executor:
            yield executor


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread; without threadpoolctl nothing is changed."""
    try:
        import threadpoolctl
    except ImportError:
        yield
        return
    if not _limiting.acquire(blocking=False):
        yield  # another fit limits it already
        return
    try:
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            yield
    finally:
        _limiting.release()
