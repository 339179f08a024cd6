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
from typing import Any

_lock = threading.Lock()
_users = 0  # the limit is the whole process's: the first user sets it, the last one restores it
_limits: Any = None


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
    global _users, _limits
    with _lock:
        if _users == 0:
            _limits = threadpoolctl.threadpool_limits(1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limits.restore_original_limits()
                _limits = None
