"""Where ratings, ids and pairs come from, and the command fetch."""

from __future__ import annotations

import contextlib
import csv
import inspect
import io
import os
import sys
import textwrap
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from autorec_np import sources
from autorec_np._text import did_you_mean, indented
from autorec_np.cli.console import UsageError
from autorec_np.cli.options import Command, Parser, add_data_home, add_output
from autorec_np.reports.words import describe_ratings

if TYPE_CHECKING:
    from autorec_np._types import Array
    from autorec_np.data import Ratings

Titles: TypeAlias = "dict[int, str]"
Folds: TypeAlias = "dict[str, tuple[Ratings, Ratings]]"

STANDARD_INPUT = "-"


def fetch(args: Namespace) -> int:
    found = sources.fetch_movielens(args.name, args.data_home, progress=not args.quiet)
    folds = f", folds {', '.join(found.folds)}" if found.folds else ""
    print(f"{found.name}  {describe_ratings(found.ratings)}\n{len(found.titles):,} titles{folds}")
    print(f"from {found.source}\n\nWhere you use it, cite:")
    print(indented(textwrap.fill(found.citation, 76)))
    return 0


def _add_fetch(command: Parser) -> None:
    names = sources.MOVIELENS_NAMES
    command.add_argument("name", help=", ".join(names), metavar="NAME", choices=names)
    add_data_home(command)
    add_output(command, as_json=False)


FETCH = Command(
    usage="NAME [options]",
    summary="find or download a MovieLens data set",
    description="""\
Looks in --data-home or $AUTOREC_NP_DATA or the per-user cache, downloads what
is in none of them, and says what the data set holds.
""",
    examples=("autorec-np fetch ml-100k", "autorec-np fetch ml-1m --data-home data"),
    add_arguments=_add_fetch,
    run=fetch,
)


def load_data(args: Namespace) -> tuple[Ratings, Titles, Folds]:
    """Return ratings, titles and folds of the data set or the file."""
    name, names = args.data, sources.MOVIELENS_NAMES
    parameters = inspect.signature(sources.read_ratings).parameters
    given = vars(args).items()
    reading = {key: value for key, value in given if key in parameters and value is not None}
    if name in names:
        if reading:
            option = next(key for key in parameters if key in reading).replace("_", "-")
            raise UsageError(f"{name} is a data set: --{option} is for files")
        found = sources.fetch_movielens(name, args.data_home, progress=not args.quiet)
        return found.ratings, found.titles, found.folds
    if name != STANDARD_INPUT and not os.path.exists(name):
        raise FileNotFoundError(
            f"{name!r} is neither a file nor a MovieLens name ({', '.join(names)})"
            f"{did_you_mean(name, names)}"
        )
    return sources.read_ratings(name, **reading), {}, {}


def parse_id(text: str, known: Array, what: str) -> Any:
    if known.dtype.kind == "O":
        return text
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{what} ids of this model are integers, got {text!r}") from None


def _lines(path: str) -> contextlib.AbstractContextManager[TextIO]:
    if path != STANDARD_INPUT:
        return open(path, encoding="utf-8-sig", newline="")
    buffer = getattr(sys.stdin, "buffer", None)
    if buffer is None:  # a stream of text stands in for it
        return contextlib.nullcontext(sys.stdin)
    return contextlib.nullcontext(io.TextIOWrapper(buffer, "utf-8-sig", newline=""))


def read_pairs(path: str) -> list[tuple[str, str, str]]:
    """Return (place, user, item) for every line of a CSV file."""
    with _lines(path) as stream:
        lines = csv.reader(stream)
        try:
            records = [(lines.line_num, fields) for fields in lines if fields]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is not UTF-8 text in CSV form ({error})") from None
    try:
        has_header, user, item = sources.find_pairs([fields for _, fields in records])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    pairs = []
    for line, fields in records[has_header:]:
        place = f"{path}, line {line}: "
        if len(fields) <= max(user, item):
            raise ValueError(f"{place}needs a user and an item, got {fields}")
        pairs.append((place, fields[user], fields[item]))
    if not pairs:
        raise ValueError(f"{path} holds no pairs; write a user id and an item id in each line")
    return pairs


def check_writable(option: str, name: str | None) -> None:
    """Raise ValueError before the work whose result could not be written."""
    if name is None:
        return
    path = Path(name)
    if path.is_dir() or not os.access(path.resolve().parent, os.W_OK):
        raise ValueError(f"{option} {path}: name a file in a folder that exists and is writable")
