"""Independent tasks, one after the other or by an executor, with the same results.

Results, and the first error, come in the order asked. Warnings of other processes are issued again
in this one.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol, TypeAlias

from autorec_np.models.base import copy_unfitted

Place: TypeAlias = tuple[str, int]

logger = logging.getLogger(__name__)


class Executor(Protocol):
    """A pool of `concurrent.futures` or a Dask client's `get_executor()`."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Return a future with ``result()`` and ``cancel()``."""


class Task(NamedTuple):
    """A call that depends on no other."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def run_tasks(tasks: Iterable[Task], executor: Executor | None) -> Iterator[Any]:
    """Yield what the tasks return, in their order.

    An executor is given all tasks before the first result; without one, each runs when its result
    is asked for. What the first failing task raises gets its name. What has not begun when the
    iterator ends is cancelled.
    """
    if executor is None:
        for task in tasks:
            with _named(task.name):
                result = task.function(*task.arguments)
            yield result
        return
    futures = []
    registry: dict[Any, Any] = {}  # a warning of several tasks counts once
    try:
        for name, function, arguments in tasks:
            with _named(name):
                futures.append((name, executor.submit(_run, _place(), function, *arguments)))
        for name, future in futures:
            with _named(name):
                result, caught = future.result()
                for message, category, filename, line in caught:
                    warnings.warn_explicit(message, category, filename, line, registry=registry)
            yield result
    finally:
        for _, future in futures:
            future.cancel()


def for_task(model: Any) -> Any:
    """Return an unfitted copy that trains in one thread, unless its `n_jobs` asks for more."""
    model = copy_unfitted(model)
    if model.get_params(deep=False).get("n_jobs", 1) is None:
        model.set_params(n_jobs=1)
    return model


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        logger.error("%s failed", name)
        if error.args == (str(error),):  # its one argument is its message
            error.args = (f"{name}: {error}",)
        raise


def _place() -> Place:
    return platform.node(), os.getpid()


def _run(caller: Place, function: Callable[..., Any], *arguments: Any) -> tuple[Any, list[Any]]:
    if caller == _place():
        return function(*arguments), []
    with _recorder.recording() as caught:
        return function(*arguments), caught


class _Recorder:
    """Keeps the warnings of each thread.

    Filters are those of all threads: the first task sets them, the last restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._filters = warnings.catch_warnings()
        self._caught: ContextVar[list[Any] | None] = ContextVar("caught", default=None)

    @contextmanager
    def recording(self) -> Iterator[list[Any]]:
        caught: list[Any] = []
        self._enter()
        before = self._caught.set(caught)
        try:
            yield caught
        finally:
            self._caught.reset(before)
            with self._lock:
                self._n_inside -= 1
                if self._n_inside == 0:
                    self._filters.__exit__(None, None, None)

    def _enter(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("always")
                show = warnings.showwarning

                def keep(message: Any, category: Any, filename: str, line: int, *rest: Any) -> None:
                    caught = self._caught.get()
                    if caught is None:
                        show(message, category, filename, line, *rest)
                    else:
                        caught.append((message, category, filename, line))

                warnings.showwarning = keep  # type: ignore[assignment]
            self._n_inside += 1


_recorder = _Recorder()
