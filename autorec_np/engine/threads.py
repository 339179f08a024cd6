"""Threads: ours, with the tasks that they share, and those of BLAS, held to one while we compute.

OpenBLAS shares a product among threads of its own, which wait for the next one by spinning. Beside
our pool, beside other requests of a service or beside a busy neighbor on the machine, they make
everything several times slower. NumPy has no call that limits them. threadpoolctl (extra `fast`)
has, and is used where it is installed; else the functions of the BLAS that NumPy and SciPy are
linked with are called through ctypes.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array, Matrix
from autorec_np.core.network import Network
from autorec_np.core.planes import Planes

logger = logging.getLogger(__name__)

# Who sets one of these has decided how many threads BLAS has.
VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

# Compiled modules that are linked with a BLAS: that of NumPy 2 or 1, and SciPy's, which is another
# one in their wheels.
LINKED = (
    "numpy._core._multiarray_umath",
    "numpy.core._multiarray_umath",
    "scipy.special._ufuncs",
    "scipy.linalg._fblas",
)
FUNCTIONS = (
    *(
        (f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
        for prefix in ("scipy_", "")
        for suffix in ("64_", "")
    ),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ("bli_thread_get_num_threads", "bli_thread_set_num_threads"),
)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread, unless the environment says how many it has.

    The limit is the whole process's: the first to come sets it, and the last to leave gives back
    the number that the first found.
    """
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute whatever is set around us: BLAS has one thread, and what underflows is 0.

    Also a decorator, ``@undisturbed()``.
    """
    with single_threaded_blas(), np.errstate(under="ignore"):
        yield


class Blas(NamedTuple):
    """One BLAS of the process."""

    get: Callable[[], int]
    set: Callable[[int], Any]


class _Limit:
    """Counts those who need BLAS held to one thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._own = threading.local()  # those inside in this thread
        self._found: list[tuple[Blas, int]] = []
        self._known: tuple[object, list[Blas]] = (None, [])

    def enter(self) -> None:
        with self._lock:
            self._own.n_inside = getattr(self._own, "n_inside", 0) + 1
            self._n_inside += 1
            if self._n_inside == 1 and not any(name in os.environ for name in VARIABLES):
                self._found = [(blas, blas.get()) for blas in self._libraries()]
                for blas, n_threads in self._found:
                    if n_threads != 1:
                        blas.set(1)

    def leave(self) -> None:
        with self._lock:
            self._own.n_inside -= 1
            self._n_inside -= 1
            if self._n_inside == 0:
                self._give_back()

    def _give_back(self) -> None:
        for blas, n_threads in self._found:
            if n_threads != 1:
                blas.set(n_threads)
        self._found = []

    def _libraries(self) -> list[Blas]:
        """Return every BLAS that is loaded, looked for anew when a module has brought one."""
        state = [name in sys.modules for name in LINKED], sys.modules.get("threadpoolctl", ...)
        if self._known[0] != state:
            self._known = state, _libraries()
        return self._known[1]

    def after_fork(self) -> None:
        """Forget the threads of the parent, which are not in this process."""
        self._lock = threading.Lock()
        self._n_inside = getattr(self._own, "n_inside", 0)
        if self._n_inside == 0:
            self._give_back()


_limit = _Limit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.after_fork)


def _libraries() -> list[Blas]:
    """Return every BLAS that is loaded; where none can be limited, say once what helps."""
    try:
        import threadpoolctl
    except ImportError:
        found = _through_ctypes()
    else:
        return _through_threadpoolctl(threadpoolctl)
    if not found and sys.platform != "darwin":  # Apple's BLAS has no such threads
        logger.warning(
            "no way was found to hold BLAS to one thread, and its threads may slow down whatever "
            "else runs: pip install 'autorec_np[fast]', or set OPENBLAS_NUM_THREADS=1 before "
            "Python starts"
        )
    return found


def _through_threadpoolctl(threadpoolctl: Any) -> list[Blas]:
    # Since version 3.7 only the thread that set a limit can change it
    openblas = getattr(threadpoolctl, "OpenBLASController", None)
    release = getattr(openblas, "clear_controlling_thread", lambda force: None)

    def setter(library: Any) -> Callable[[int], None]:
        def set_number(n_threads: int) -> None:
            release(force=True)
            library.set_num_threads(n_threads)
            release(force=True)

        return set_number

    controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
    return [Blas(one.get_num_threads, setter(one)) for one in controller.lib_controllers]


def _through_ctypes() -> list[Blas]:
    """Return the BLAS of NumPy and that of SciPy, each once.

    The system looks for a function in a compiled module, then in what it is linked with.
    """
    modules = [sys.modules[name] for name in LINKED if name in sys.modules]
    paths = [str(module.__file__) for module in modules]
    if sys.platform == "win32":  # there only in the module itself
        site = Path(np.__file__).parents[1]
        paths = [str(path) for path in site.glob("*.libs/*openblas*.dll")]
    found = {}
    for path in paths:
        library = ctypes.CDLL(path)
        for get_name, set_name in FUNCTIONS:
            if hasattr(library, get_name) and hasattr(library, set_name):
                setter = getattr(library, set_name)
                address = ctypes.cast(setter, ctypes.c_void_p).value
                found[address] = Blas(getattr(library, get_name), setter)
    return list(found.values())


ENTRIES_PER_BLOCK = 16_384  # stored entries in a block of rows: enough work for one task


class Workers:
    """Threads that share tasks; the caller's is one of them. A context manager.

    Parameters
    ----------
    n_threads : int
        At least 1. Where the system refuses to start so many, there are fewer.
    """

    def __init__(self, n_threads: int) -> None:
        self._helpers, n_helpers = _started(n_threads - 1)
        self.n_threads = 1 + n_helpers

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


def _started(n_threads: int) -> tuple[ThreadPoolExecutor, int]:
    """Return a pool whose threads have all been started, and how many they are."""
    while True:
        pool, begin, n_started = ThreadPoolExecutor(max(1, n_threads)), Event(), 0
        try:
            for _ in range(n_threads):
                pool.submit(begin.wait)  # each waits, so that the next needs another thread
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
    """Run all tasks, in this thread where there are no workers."""
    if workers is not None:
        workers.run(tasks)
        return
    for task in tasks:
        task()


@contextmanager
def workers(n_jobs: int) -> Iterator[Workers | None]:
    """Give threads, or None for one, and hold BLAS to one thread meanwhile."""
    with undisturbed():
        if n_jobs == 1:
            yield None
            return
        with Workers(n_jobs) as pool:
            yield pool


# Blocks of rows


def row_block(matrix: CSR, rows: slice) -> CSR:
    """Return rows start..stop of a matrix without copying their entries."""
    indptr = matrix.indptr[rows.start : rows.stop + 1]
    entries = slice(indptr[0], indptr[-1])
    return sparse.csr_array(
        (matrix.data[entries], matrix.indices[entries], indptr - indptr[0]),
        shape=(len(indptr) - 1, matrix.shape[1]),
    )


def row_blocks(counts: Array, n_entries: int) -> Iterator[slice]:
    """Cut rows with so many stored entries each into runs of about `n_entries` entries."""
    ends = np.cumsum(counts)
    marks = np.arange(n_entries, ends[-1] if len(ends) else 0, n_entries)
    cuts = np.unique([0, *np.searchsorted(ends, marks) + 1, len(counts)]).tolist()
    return map(slice, cuts[:-1], cuts[1:])


def encode(network: Network, theta: Array, inputs: CSR | Planes, workers: Workers | None) -> Array:
    """Return `Network.encode` of all rows, (n_rows, k), worked out in blocks of rows."""
    codes = np.empty((inputs.shape[0], network.hidden_layer_sizes[-1]), theta.dtype)
    pattern: Any = inputs.pattern if isinstance(inputs, Planes) else inputs

    def work(rows: slice) -> None:
        block: Matrix = row_block(pattern, rows)
        if isinstance(inputs, Planes):
            entries = slice(pattern.indptr[rows.start], pattern.indptr[rows.stop])
            block = Planes(block, inputs.data[:, entries])
        codes[rows] = network.encode(theta, block)

    blocks = row_blocks(np.diff(pattern.indptr), ENTRIES_PER_BLOCK)
    run([partial(work, rows) for rows in blocks], workers)
    return codes
