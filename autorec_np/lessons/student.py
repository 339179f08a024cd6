"""What runs in the process of the student's code: it asks, and writes down what it is told.

What is right is not decided here, but in the process that started this one.
"""

from __future__ import annotations

import copy
import json
import linecache
import re
import sys
import time
import types
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autorec_np.lessons.course import lesson_of
from autorec_np.lessons.lesson import Array, Lesson, Named, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMORY = 2 << 30  # bytes of addresses
FILE_SIZE = 64 << 20
FOR_PROBES = 2.0  # seconds, after which the rest of them is left out
LARGEST = 10_000  # numbers in an array that is written down


class Unfit(Exception):
    """What was returned is no answer."""


def main() -> None:
    """Ask the file in the arguments; write the answers to the other file there."""
    number, seed, path, answers = sys.argv[1:]
    sys.argv = [path]
    _limit()
    said, arrays = record(lesson_of(int(number)), int(seed), Path(path))
    with open(answers, "wb") as file:
        np.savez(file, said=np.array(json.dumps(said)), **arrays)  # type: ignore[arg-type]


def record(lesson: Lesson, seed: int, path: Path) -> tuple[dict[str, Any], Named]:
    """Return what happened, and the arrays: "1/D_V" of problem 1, "local/H" at its return.

    Parameters
    ----------
    lesson : Lesson
    seed : int
        Of the problems.
    path : Path
        The student's file.

    Returns
    -------
    said : dict
        "error" where the code failed; names of arguments that it "changed"; the blocks that are
        "missing"; whether the answer was the same when asked "again".
    arrays : dict
    """
    said: dict[str, Any] = {"changed": [], "missing": [], "again": True}
    arrays: Named = {}
    try:
        listen(lesson, seed, _load(lesson, path), said, arrays)
    except BaseException as error:  # also SystemExit
        said["error"] = told(error, path)
    return said, arrays


def listen(
    lesson: Lesson,
    seed: int,
    function: Callable[..., Any],
    said: dict[str, Any],
    arrays: Named,
) -> None:
    """Put all problems to a function; fill in `said` and `arrays`, which `record` describes."""
    started = time.monotonic()
    problems = lesson.problems(seed)
    for label, problem in problems.items():
        if " " not in label:
            _ask(lesson, function, problem, label, said, arrays)
        elif time.monotonic() - started < FOR_PROBES:
            with suppress(Exception):  # a probe may fail
                _ask(lesson, function, problem, label, {}, arrays)
    again: Named = {}
    _ask(lesson, function, problems["1"], "1", {}, again)
    said["again"] = all(
        np.array_equal(array, arrays[name], equal_nan=array.dtype.kind == "f")
        for name, array in again.items()
    )


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))


def _load(lesson: Lesson, path: Path) -> Callable[..., Any]:
    sys.path.insert(0, str(path.parent))
    module = types.ModuleType("lesson")
    module.__file__ = str(path)
    sys.modules["lesson"] = module
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    function = vars(module).get(lesson.function)
    if not callable(function):
        own = [name for name, one in vars(module).items() if isinstance(one, types.FunctionType)]
        raise Unfit(
            f"the file has no function {lesson.function!r}"
            + (f"; it has {', '.join(own)}" if own else "")
        )
    found: Callable[..., Any] = function
    return found


def _ask(
    lesson: Lesson,
    function: Callable[..., Any],
    problem: Problem,
    label: str,
    said: dict[str, Any],
    arrays: Named,
) -> None:
    """Put the answer to a problem, and the local variables if it is the first, into `arrays`."""
    given = copy.deepcopy(problem)
    seen: dict[str, Any] = {}
    wanted = label == "1" and "missing" in said
    with _watched(function, seen, wanted):
        answer = lesson.ask(function, given)
    for name, value in _in_blocks(lesson, answer).items():
        if value is not None:
            arrays[f"{label}/{name}"] = _numbers(value, f"{name} is")
        elif wanted:
            said["missing"].append(name)
    for name, value in seen.items():
        if isinstance(value, (int, float, np.generic, np.ndarray)) and name not in problem:
            array = np.asarray(value)
            if array.dtype.kind in "biuf" and array.size <= LARGEST:
                arrays[f"local/{name}"] = array
    for name, value in problem.items():
        if isinstance(value, np.ndarray) and not np.array_equal(value, given[name]):
            changed = said.setdefault("changed", [])
            changed += [name] if name not in changed else []


@contextmanager
def _watched(function: Callable[..., Any], seen: dict[str, Any], wanted: bool) -> Iterator[None]:
    """Collect the local variables at the return of the function."""
    code = getattr(function, "__code__", None)

    def at_return(frame: types.FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            seen.update(frame.f_locals)

    if not wanted:
        yield
        return
    sys.setprofile(at_return)
    try:
        yield
    finally:
        sys.setprofile(None)


def _in_blocks(lesson: Lesson, answer: Any) -> dict[str, Any]:
    names = list(lesson.blocks)
    if isinstance(answer, dict) and set(answer) <= set(names):
        return {name: answer.get(name) for name in names}
    wanted = f"{lesson.function} must return {', '.join(names)}"
    if len(names) == 1 and not isinstance(answer, tuple):
        answer = (answer,)
    if answer is None:
        raise Unfit(f"{wanted}, and returns nothing: end it with return {', '.join(names)}")
    if not isinstance(answer, (tuple, list)):
        raise Unfit(f"{wanted}, and returns one {type(answer).__name__}")
    if len(answer) != len(names):
        raise Unfit(f"{wanted}, and returns {len(answer)} values")
    return dict(zip(names, answer, strict=True))


def _numbers(value: Any, what: str) -> Array:
    if hasattr(value, "toarray"):
        value = value.toarray()
    try:
        array = np.asarray(value)
    except ValueError:
        raise Unfit(f"{what} a list of lists of unequal lengths, and must be an array") from None
    if array.dtype.kind == "c" and not array.imag.any():
        array = array.real
    if array.dtype.kind not in "biuf":
        raise Unfit(f"{what} a {type(value).__name__} of {array.dtype}, and must hold numbers")
    if array.size > LARGEST:
        raise Unfit(f"{what} of shape {array.shape}, far too large")
    return array


def told(error: BaseException, path: Path | str) -> dict[str, Any]:
    """Return what an error says, its line in the student's file, and the shapes in that line."""
    line, frame, trace = None, None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line, frame = trace.tb_lineno, trace.tb_frame
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno
    shapes = {}
    if line is not None and frame is not None:
        source = linecache.getline(str(path), line)
        known = {**frame.f_globals, **frame.f_locals}
        for name in re.findall(r"[A-Za-z_]\w*", source):
            if isinstance(known.get(name), np.ndarray):
                shapes[name] = str(known[name].shape)
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    kinds = [one.__name__ for one in type(error).__mro__]
    return {"kinds": kinds, "message": message[:500], "line": line, "shapes": shapes}
