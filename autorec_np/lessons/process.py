"""The student's code in a process of its own, with limits of time, memory and written bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import autorec_np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from autorec_np.lessons.lesson import Named

SECONDS = 20.0
MOST_PRINTED = 2000  # characters of what the code prints
PROGRAM = "from autorec_np.lessons.student import main; main()"


@dataclass
class Answers:
    """What a student's code answered.

    Parameters
    ----------
    said : dict
        See `student.record`.
    blocks : dict
        By problem, then by block.
    variables : dict
        The local variables at the return from the first problem.
    printed : str
        The beginning of what it printed.
    """

    said: dict[str, Any]
    blocks: dict[str, Named] = field(default_factory=dict)
    variables: Named = field(default_factory=dict)
    printed: str = ""


class Running:
    """A process that runs a file and puts the problems of a lesson to it; to be closed.

    Parameters
    ----------
    number : int
        Of the lesson.
    path : Path
    seed : int
        Of the problems.
    seconds : float, optional
        After which it is ended; None: 20.
    """

    def __init__(self, number: int, path: Path, seed: int, seconds: float | None = None) -> None:
        path = path.resolve()
        self._seconds = SECONDS if seconds is None else seconds
        self._folder = tempfile.TemporaryDirectory()
        self._answers = Path(self._folder.name, "answers.npz")
        self._printed = Path(self._folder.name, "printed")
        words = [sys.executable, "-W", "ignore", "-B", "-c", PROGRAM]
        words += [str(number), str(seed), str(path), str(self._answers)]
        self._end = time.monotonic() + self._seconds
        with self._printed.open("wb") as out:
            self._process = subprocess.Popen(
                words,
                cwd=path.parent,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answers(self) -> Answers:
        """Wait for the end, and return what was answered."""
        import numpy  # noqa: F401, while the process starts

        try:
            status = self._process.wait(max(0.0, self._end - time.monotonic()))
        except subprocess.TimeoutExpired:
            late = {"kinds": ["TimeoutError"], "message": f"{self._seconds:g} seconds"}
            return Answers({"error": late}, printed=self._shown())
        return _read(self._answers, self._shown(), status)

    def close(self) -> None:
        """End the process, and what it has started itself."""
        if self._process.returncode is None or hasattr(os, "killpg"):
            with suppress(OSError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def _shown(self) -> str:
        with self._printed.open(encoding="utf-8", errors="replace") as text:
            return text.read(MOST_PRINTED)


def ask_all(
    number: int, paths: Iterable[Path], seed: int, at_a_time: int
) -> Iterator[tuple[Path, Answers]]:
    """Yield what each file answers, in order, while the next ones run already.

    Parameters
    ----------
    number : int
        Of the lesson.
    paths : iterable of Path
    seed : int
        Of the problems.
    at_a_time : int
        Processes.

    Yields
    ------
    (Path, Answers)
    """
    todo = list(paths)[::-1]
    running: list[tuple[Path, Running]] = []
    try:
        while todo or running:
            while todo and len(running) < at_a_time:
                path = todo.pop()
                running.append((path, Running(number, path, seed)))
            path, process = running[0]
            yield path, process.answers()
            running.pop(0)
            process.close()
    finally:
        for _, process in running:
            process.close()


def gathered(said: dict[str, Any], arrays: Named, printed: str = "") -> Answers:
    """Return the answers that `student.record` has written down.

    Parameters
    ----------
    said, arrays : dict
    printed : str
    """
    found = Answers(said, printed=printed)
    for name, array in arrays.items():
        place, _, own = name.rpartition("/")
        (found.variables if place == "local" else found.blocks.setdefault(place, {}))[own] = array
    return found


def _environment() -> dict[str, str]:
    home = str(Path(autorec_np.__file__).parents[1])
    before = os.environ.get("PYTHONPATH")
    paths = os.pathsep.join([home, before] if before else [home])
    # many threads of BLAS would want much memory, and round in an order of their own
    return {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _read(path: Path, printed: str, status: int) -> Answers:
    import numpy as np  # here, so that the process starts before NumPy is loaded

    try:
        with np.load(path, allow_pickle=False) as file:
            said = json.loads(str(file["said"]))
            arrays = {name: file[name] for name in file.files if "/" in name}
    except (OSError, ValueError, KeyError, EOFError):
        ended = {"kinds": ["SystemExit"], "message": f"exit status {status}"}
        return Answers({"error": ended}, printed=printed)
    return gathered(said, arrays, printed)


# What to do first after an error, by its kind
ADVICE = (
    ("TimeoutError", "it did not end in {message}: is there a loop without end, or a huge array?"),
    ("MemoryError", "it wanted too much memory: an array must be far too large"),
    ("NotImplementedError", "not written yet: write it, and take out the line that raises"),
    ("SystemExit", "the code ended the process itself ({message}): take out exit() or the like"),
    ("Unfit", "{message}"),
    ("SyntaxError", "Python cannot read {place}; look at it and at the line above for a missing "
     "bracket, colon or quote"),
    ("UnboundLocalError", "{place} uses a name before it has a value: give it one above"),
    ("NameError", "{place} uses a name that nothing has given a value: look at its spelling"),
    ("ImportError", "a module cannot be imported: install it, or do without"),
    ("IndexError", "{place} asks for an entry that is not there: compare the index with the shape"),
    ("KeyError", "{place} asks a dictionary for a key that it does not have ({message})"),
    ("ZeroDivisionError", "{place} divides by 0: which number is 0 there?"),
    ("ValueError", "{place}: what stands in it does not fit together; compare the shapes"),
    ("AttributeError", "{place} asks a value for what its type does not have: what type is it?"),
    ("TypeError", "{place}: a value has another type than the operation wants"),
)  # fmt: skip


def what_to_do(error: dict[str, Any]) -> str:
    """Return what to do after an error of the student's code, and then what Python says.

    Parameters
    ----------
    error : dict
        Its "kinds" (the classes of the exception), "message", and perhaps "line" and "shapes".

    Returns
    -------
    str
    """
    kinds, line = error["kinds"], error.get("line")
    place = f"line {line}" if line else "the code"
    form = next((form for kind, form in ADVICE if kind in kinds), "{place} fails: see what it says")
    text = form.format(place=place, message=error["message"])
    if error.get("shapes"):
        text += "; " + ", ".join(f"{name} is {shape}" for name, shape in error["shapes"].items())
    if kinds[0] not in ("TimeoutError", "Unfit", "NotImplementedError", "SystemExit"):
        text += f". Python says: {kinds[0]}: {error['message']}"
    return text
