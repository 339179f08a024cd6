"""The student's code in a process of its own, with limits of time, memory and written bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import autorec_np
if TYPE_CHECKING:
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


def ask(number: int, path: Path, seed: int = 0, seconds: float | None = None) -> Answers:
    """Run a file, and put the problems of a lesson to it.

    Parameters
    ----------
    number : int
        Of the lesson.
    path : Path
    seed : int
        Of the problems.
    seconds : float, optional
        After which the process is ended; None: 20.

    Returns
    -------
    Answers
    """
    path, limit = path.resolve(), SECONDS if seconds is None else seconds
    with tempfile.TemporaryDirectory() as folder:
        answers, printed = Path(folder, "answers.npz"), Path(folder, "printed")
        words = [sys.executable, "-W", "ignore", "-B", "-c", PROGRAM]
        words += [str(number), str(seed), str(path), str(answers)]
        with printed.open("wb") as out:
            process = subprocess.Popen(
                words,
                cwd=path.parent,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            in_time = _wait(process, limit)
        with printed.open(encoding="utf-8", errors="replace") as text:
            shown = text.read(MOST_PRINTED)
        if not in_time:
            return Answers({"error": {"kinds": ["TimeoutError"], "message": f"{limit:g} s"}}, printed=shown)
        return _read(answers, shown, process.returncode)


def gathered(said: dict[str, Any], arrays: Named, printed: str = "") -> Answers:
    """Return the answers that `student.record` has written down."""
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


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:  # also after Ctrl-C; and what the code itself has started ends with it
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()


def _read(path: Path, printed: str, status: int) -> Answers:
    import numpy as np  # here, so that the process above starts before NumPy is loaded

    try:
        with np.load(path, allow_pickle=False) as file:
            said = json.loads(str(file["said"]))
            arrays = {name: file[name] for name in file.files if "/" in name}
    except (OSError, ValueError, KeyError, EOFError):
        ended = {"kinds": ["SystemExit"], "message": f"exit status {status}"}
        return Answers({"error": ended}, printed=printed)
    return gathered(said, arrays, printed)
