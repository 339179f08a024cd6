"""The door to the lessons, which the wheel leaves out."""

from __future__ import annotations

from argparse import REMAINDER, Namespace
from typing import Any

from autorec_np.cli.options import Command, Parser, add_output


def _lessons() -> Any:
    try:
        from autorec_np import lessons
    except ImportError:
        return None
    return lessons


def lesson(args: Namespace) -> int:
    found = _lessons()
    if found is None:
        raise ValueError(
            "the lessons are not in this package: clone the repository, and pip install -e . there"
        )
    return int(found.run(args))


def _add_lesson(command: Parser) -> None:
    add_output(command)
    found = _lessons()
    if found is None:
        command.add_argument("words", nargs=REMAINDER)
    else:
        found.add_arguments(command)


LESSON = Command(
    usage="[start FOLDER | N [FILE ...]] [options]",
    summary="twelve lessons that check what you write, and name the mistake",
    description="""\
start writes twelve files to fill in; N checks one of them, in a process of its
own. Several files: how often which mistake was made. Exits with 1 unless all
is right.
""",
    examples=("autorec-np lesson start lessons", "autorec-np lesson 4 --hint"),
    add_arguments=_add_lesson,
    run=lesson,
)
