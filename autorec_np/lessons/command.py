"""``autorec-np lesson``: what it understands, does and says."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorec_np._text import indented, table
from autorec_np.lessons.course import (
    NAMES,
    file_name,
    find,
    last_folder,
    lesson_of,
    next_hint,
    note,
    progress,
    start,
)
from autorec_np.lessons.process import ask_all

if TYPE_CHECKING:
    from autorec_np.lessons.diagnosis import Verdict
    from autorec_np.lessons.lesson import Lesson

START = "start"
MOST_HINTS = 4  # blocks; array and line; mistake; a question
AT_A_TIME = min(4, os.cpu_count() or 1)
BETWEEN_LOOKS = 0.3  # seconds
STATES = {"pass": "right", "fail": "wrong", "missing": "missing"}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add what the command understands to a parser.

    Parameters
    ----------
    command : ArgumentParser
    """
    add = command.add_argument
    add("what", help="1 to 12, or start; without it, how far you are", nargs="?", type=_what)
    add("files", help="your files, or the folder to start in", nargs="*", metavar="FILE")
    add(
        "--hint",
        help="one hint more each time, or the first K of 4",
        nargs="?",
        const=0,
        type=_hint,
        metavar="K",
    )
    add("--solution", help="show the line of the solution", action="store_true")
    add("--watch", help="check whenever the file changes, until it is right", action="store_true")
    add("--seed", help="draw other numbers than those of the folder", type=_seed, metavar="N")
    command.set_defaults(refuse=command.error)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit status, 0 only if all is right.

    Parameters
    ----------
    args : Namespace
    """
    if args.what is None:
        return _overview(args)
    if args.what == START:
        return _start(args)
    paths = [_file(args.what, Path(name)) for name in args.files] or [find(args.what)]
    if args.watch and (len(paths) > 1 or args.json):
        args.refuse("--watch is for one file, without --json")
    if args.hint is not None and len(paths) > 1:
        args.refuse("--hint is for one file")
    if args.watch:
        return _watch(args, paths[0])
    verdicts = {}
    for path, verdict in _check(args, paths):
        verdicts[path] = verdict
        if args.json:
            found = verdict.to_dict()
            print(json.dumps({"file": str(path), "lesson": args.what, **found}), flush=True)
        elif len(paths) == 1:
            print(_told(args, path, verdict), flush=True)
    if len(paths) == 1:
        note(paths[0], args.what, verdicts[paths[0]].passed)
    elif not args.json:
        print(_tally(args.what, verdicts))
    return 0 if all(verdict.passed for verdict in verdicts.values()) else 1


def _what(text: str) -> str | int:
    if text == START:
        return text
    if text.isdecimal() and int(text) in NAMES:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be start or 1 to {len(NAMES)}, got {text!r}")


def _hint(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= MOST_HINTS:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be 1 to {MOST_HINTS}, got {text!r}")


def _seed(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"must be an integer of at least 0, got {text!r}")


def _file(number: int, path: Path) -> Path:
    path = path / file_name(number) if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} does not exist")
    return path


def _start(args: argparse.Namespace) -> int:
    if len(args.files) != 1:
        args.refuse("start needs one FOLDER")
    folder = Path(args.files[0])
    written = start(folder, args.seed or 0)
    if args.json:
        print(json.dumps({"folder": str(folder), "written": written}))
        return 0
    kept = len(NAMES) + 1 - len(written)
    print(f"{folder}: {len(written)} files written" + f", {kept} kept as they were" * bool(kept))
    print(f"next    edit {folder / file_name(1)}, then: autorec-np lesson 1")
    return 0


def _overview(args: argparse.Namespace) -> int:
    folder = Path() if progress(Path()) is not None else last_folder()
    known = progress(folder) if folder is not None else None
    passed = known["passed"] if known else set()
    lessons = [lesson_of(number) for number in NAMES]
    if args.json:
        for one in lessons:
            state = {"lesson": one.number, "title": one.title, "minutes": one.minutes}
            print(json.dumps({**state, "passed": one.number in passed}))
    else:
        rows = [
            [str(one.number), one.title, str(one.minutes), "right" * (one.number in passed)]
            for one in lessons
        ]
        print(table(["lesson", "", "minutes", ""], rows, left=(1, 3)))
        first = next((number for number in NAMES if number not in passed), None)
        if folder is None:
            print("\nbegin: autorec-np lesson start FOLDER")
        elif first is not None:
            print(f"\nnext: {folder / file_name(first)}, then: autorec-np lesson {first}")
    return 0


def _check(args: argparse.Namespace, paths: list[Path]) -> Iterator[tuple[Path, Verdict]]:
    known = None if args.seed is not None else progress(paths[0].parent)
    seed = args.seed if args.seed is not None else known["seed"] if known else 0
    answered = ask_all(args.what, paths, seed, AT_A_TIME)
    first = next(answered)
    from autorec_np.lessons.diagnosis import judge

    for path, answers in (first, *answered):
        source = path.read_text(encoding="utf-8", errors="replace")
        yield path, judge(lesson_of(args.what), answers, source, seed)


def _watch(args: argparse.Namespace, path: Path) -> int:
    while True:
        seen = path.stat().st_mtime_ns
        ((_, verdict),) = _check(args, [path])
        note(path, args.what, verdict.passed)
        print(_told(args, path, verdict), flush=True)
        if verdict.passed:
            return 0
        print("waiting for a change; Ctrl-C ends\n", flush=True)
        while not path.exists() or path.stat().st_mtime_ns == seen:
            time.sleep(BETWEEN_LOOKS)


# What is said


def _told(args: argparse.Namespace, path: Path, verdict: Verdict) -> str:
    lesson, lines = lesson_of(args.what), []
    hints = MOST_HINTS if args.hint is None else args.hint or next_hint(path, args.what, MOST_HINTS)
    if verdict.printed:
        lines += ["your code printed:", indented(verdict.printed.rstrip()), ""]
    if verdict.passed:
        lines += [f"{path.name}: {verdict.text}"]
        if args.solution:
            lines += ["", "the solution:", "", lesson.solution.rstrip()]
        return "\n".join(lines)
    lines += [f"{path.name}: not yet"]
    if verdict.stage in ("error", "missing"):
        lines += ["", indented(verdict.text)]
        lines += [indented(one) for one in _places(verdict)]
    if verdict.stage != "error":
        rows = [
            [name, STATES[state], lesson.blocks[name]] for name, state in verdict.blocks.items()
        ]
        lines += ["", indented(table(["", "", "see"], rows, left=(0, 1, 2)))]
    more = [] if verdict.stage in ("error", "missing") else _hints(verdict)
    if more and hints > 1:
        lines += ["", *map(indented, more[: hints - 1])]
    if args.hint is not None and hints <= len(more):
        lines += ["", f"more: autorec-np lesson {lesson.number} --hint {hints + 1}"]
    if args.solution:
        lines += ["", *_solution(lesson, verdict)]
    return "\n".join(lines)


def _hints(verdict: Verdict) -> list[str]:
    """Return the hints but for the first, the table of blocks."""
    name = verdict.shown or verdict.array
    where = f"{name}, see {verdict.read}" if verdict.array else "the blocks above"
    question = [f"ask yourself: {one}" for one in dict.fromkeys(verdict.questions)]
    place = "\n".join([f"look at {where}", *map(indented, _places(verdict))])
    return [place, f"why: {verdict.text}", *(["\n".join(question)] if question else [])]


def _places(verdict: Verdict) -> list[str]:
    pairs = zip(verdict.lines, verdict.sources, strict=True)
    return [f"line {number}: {text}" for number, text in pairs]


def _solution(lesson: Lesson, verdict: Verdict) -> list[str]:
    from autorec_np.lessons.diagnosis import Source

    source = Source(lesson.solution, lesson.function)
    made = source.lines_of(verdict.array or "")
    if not made:
        return ["the solution:", "", lesson.solution.rstrip()]
    return [f"the solution's line: {source.text(one)}" for one in made]


def _tally(number: int, verdicts: dict[Path, Any]) -> str:
    lesson, counts = lesson_of(number), Counter()  # type: tuple[Lesson, Counter[str]]
    for verdict in verdicts.values():
        if not verdict.passed:
            counts.update((verdict.mistake or f"in {verdict.array}").split("+"))
    rows = [
        [path.name, "right" if one.passed else one.mistake or f"in {one.array}"]
        for path, one in verdicts.items()
    ]
    lines = [table(["file", ""], rows, left=(0, 1)), ""]
    n_right = sum(one.passed for one in verdicts.values())
    lines += [f"{n_right} of {len(verdicts)} right"]
    for name, count in counts.most_common():
        known = lesson.mistakes.get(name)
        lines += [f"  {count:3}  {name}" + (f": {known.text}" if known else "")]
    return "\n".join(lines)
