"""The twelve lessons, their files in a student's folder, and how far the student is."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorec_np._files import replacing

if TYPE_CHECKING:
    from autorec_np.lessons.lesson import Lesson

NAMES = {
    1: "table",
    2: "forward",
    3: "objective",
    4: "backward",
    5: "check",
    6: "descent",
    7: "judge",
    8: "new_user",
    9: "keras",
    10: "codes",
    11: "deeper",
    12: "service",
}
PROGRESS = "progress.json"


def lesson_of(number: int) -> Lesson:
    """Return a lesson.

    Parameters
    ----------
    number : int
        1 to 12.
    """
    # here, so that a student's process can start before NumPy is loaded
    from autorec_np.lessons import backward, codes, descent, evaluating, tables

    rooms = (tables, backward, descent, evaluating, codes)
    lessons: dict[int, Lesson] = {one.number: one for room in rooms for one in room.LESSONS}
    return lessons[number]


def file_name(number: int) -> str:
    """Return the name of a lesson's stub, as in 04_backward.py.

    Parameters
    ----------
    number : int
    """
    return f"{number:02}_{NAMES[number]}.py"


def start(folder: Path, seed: int = 0) -> list[str]:
    """Write the stubs and the progress file; existing files are kept.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    seed : int
        Of the problems that this student gets.

    Returns
    -------
    list of str
        The names of the files that were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number in NAMES:
        path = folder / file_name(number)
        if not path.exists():
            path.write_text(lesson_of(number).stub, encoding="utf-8")
            written.append(path.name)
    if not (folder / PROGRESS).exists():
        _write(folder / PROGRESS, {"seed": seed, "passed": [], "hints": {}})
        written.append(PROGRESS)
    place = _memory()
    with suppress(OSError, RuntimeError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(str(folder.resolve()), encoding="utf-8")
    return written


def find(number: int) -> Path:
    """Return the stub in the present folder, or in the one that `start` made last.

    Parameters
    ----------
    number : int

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    name = file_name(number)
    for folder in (Path(), last_folder()):
        if folder is not None and (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"there is no {name} here: begin with autorec-np lesson start FOLDER, or name your file"
    )


def last_folder() -> Path | None:
    """Return the folder that `start` made last, None where there is none."""
    with suppress(OSError, RuntimeError):
        folder = Path(_memory().read_text(encoding="utf-8"))
        if folder.is_dir():
            return folder
    return None


def progress(folder: Path) -> dict[str, Any] | None:
    """Return what the progress file of a folder holds, None where there is none.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    ValueError
        The file is damaged.
    """
    path = folder / PROGRESS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {"seed": int(found["seed"]), "passed": set(found["passed"])}
        return {**known, "hints": dict(found["hints"])}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no progress file ({error}); remove it, and run lesson start {folder}"
        ) from None


def note(path: Path, number: int, passed: bool) -> None:
    """Write down whether a file passes, where its folder has a progress file.

    Parameters
    ----------
    path : Path
    number : int
        Of the lesson.
    passed : bool
    """
    known = progress(path.parent)
    if known is None or (number in known["passed"]) == passed or path.name != file_name(number):
        return
    known["passed"] = known["passed"] | {number} if passed else known["passed"] - {number}
    _write(path.parent / PROGRESS, known)


def next_hint(path: Path, number: int, most: int) -> int:
    """Return how many hints to give: one more than for the same text the time before.

    Parameters
    ----------
    path : Path
    number : int
        Of the lesson.
    most : int
    """
    known = progress(path.parent)
    if known is None:
        return 1
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    before, given = known["hints"].get(str(number), ["", 0])
    given = min(most, given + 1 if before == digest else 1)
    known["hints"][str(number)] = [digest, given]
    _write(path.parent / PROGRESS, known)
    return int(given)


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path.resolve()) as file:
        text = json.dumps({**content, "passed": sorted(content["passed"])}, indent=1)
        file.write(f"{text}\n".encode())


def _memory() -> Path:
    """The file that holds the name of the folder that was made last."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "autorec_np", "lessons")
