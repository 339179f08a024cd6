"""The threads of a training run, and BLAS held to one thread beside them.

OpenBLAS starts threads of its own for every product, which wait by spinning: beside our pool, or
beside a busy neighbor on the machine, they make everything several times slower. NumPy has
no call that limits them; threadpoolctl (extra `fast`) has, and is used where it is installed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

# The limit is the whole process's, and only the thread that set it can lift it (threadpoolctl 3.8):
# the first of several fits at once sets and lifts it.
_limiting = threading.Lock()


@contextmanager
def workers(n_jobs: int) -> Iterator[Executor | None]:
    """Give a pool of threads, or None for one, and hold BLAS to one thread meanwhile."""
    with single_threaded_blas():
        if n_jobs == 1:
            yield None
            return
        with ThreadPoolExecutor(n_jobs) as pool:
            yield pool


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
