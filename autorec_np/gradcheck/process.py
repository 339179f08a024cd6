"""What the whole process shares, used with a thought for its other threads.

BLAS is held to one thread: several of OpenBLAS wait by spinning, and round sums in an order of
their own. Warnings are kept back in one thread; `warnings.catch_warnings` would in all.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

logger = logging.getLogger(__name__)

VARIABLES = (  # say how many threads BLAS has
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

# with the BLAS of NumPy 2 or 1, and with SciPy's
LINKED = (
    "numpy._core._multiarray_umath",
    "numpy.core._multiarray_umath",
    "scipy.special._ufuncs",
    "scipy.linalg._fblas",
)
OPENBLAS = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")
FUNCTIONS = (
    *((name.format("get_num_threads"), name.format("set_num_threads")) for name in OPENBLAS),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ("bli_thread_get_num_threads", "bli_thread_set_num_threads"),
)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread, unless the environment says how many it has.

    The first to come sets the limit, and the last to leave lifts it.
    """
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


@contextmanager
def kept_back(start: str = "") -> Iterator[set[str]]:
    """Keep back the warnings of this thread that begin so; yield their texts."""
    heard: set[str] = set()
    token = _listening.set((start, heard))
    _ear.enter()
    try:
        yield heard
    finally:
        _ear.leave()
        _listening.reset(token)


class Blas(NamedTuple):
    get: Callable[[], int]
    set: Callable[[int], Any]


class _Limit:
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
            blas.set(n_threads)
        self._found = []

    def _libraries(self) -> list[Blas]:
        state = [name in sys.modules for name in LINKED], sys.modules.get("threadpoolctl", ...)
        if self._known[0] != state:
            self._known = state, _libraries()
        return self._known[1]

    def after_fork(self) -> None:
        """Forget the other threads, which are not in this process."""
        self._lock = threading.Lock()
        self._n_inside = getattr(self._own, "n_inside", 0)
        if self._n_inside == 0:
            self._give_back()


_limit = _Limit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.after_fork)


def _libraries() -> list[Blas]:
    try:
        import threadpoolctl
    except ImportError:
        found = _through_ctypes()
    else:
        return _through_threadpoolctl(threadpoolctl)
    if not found and sys.platform != "darwin":  # Apple's BLAS has no such threads
        logger.warning(
            "no way was found to hold BLAS to one thread, so it may slow down whatever else runs: "
            "pip install threadpoolctl, or set OPENBLAS_NUM_THREADS=1 before Python starts"
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
    paths = [str(sys.modules[name].__file__) for name in LINKED if name in sys.modules]
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


_listening: ContextVar[tuple[str, set[str]] | None] = ContextVar("listening", default=None)


class _Nobodys(Warning):
    """Its filter makes Python forget which warnings were shown."""


class _Ear:
    """The pattern of a warning filter, which matches in threads that listen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._filter = ("ignore", self, Warning, None, 0)

    def match(self, text: str) -> bool:
        start, heard = _listening.get() or ("", None)
        if heard is None or not text.startswith(start):
            return False
        heard.add(text)
        return True

    def enter(self) -> None:
        filters: list[Any] = warnings.filters  # type: ignore[assignment]
        with self._lock:
            self._n_inside += 1
            if self._filter not in filters:  # another thread may have replaced them
                filters.insert(0, self._filter)
                warnings.filterwarnings("ignore", category=_Nobodys, append=True)

    def leave(self) -> None:
        filters: list[Any] = warnings.filters  # type: ignore[assignment]
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                with suppress(ValueError):
                    filters.remove(self._filter)


_ear = _Ear()
