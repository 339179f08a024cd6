"""Which column of a text holds what, whether its first line names them; other forms as lines."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from autorec_np._types import Array
from autorec_np.data.columns import (
    ROLES,
    UndecidedColumns,
    decide,
    holds_ids,
    known_roles,
    role_of,
    table_advice,
)
from autorec_np.sources.text import (
    THEN,
    WHITESPACE,
    Document,
    OnlyPairs,
    Record,
    Rest,
    cut,
    refused,
)

SAMPLE_RECORDS = 200
_NAME_THEM = "pass columns=(user, item, rating), by name or by position from 0"


@dataclasses.dataclass(frozen=True)
class Layout:
    """`columns` are those of `roles`."""

    header: bool
    first_line: int
    n_fields: int
    columns: tuple[int, ...]
    timestamp_required: bool
    roles: tuple[str, ...] = ROLES

    def place(self, role: str) -> int:
        return dict(zip(self.roles, self.columns, strict=False)).get(role, -1)


class Found(NamedTuple):
    layout: Layout
    titles: list[Any]


def find_layout(
    document: Document,
    header: bool | None,
    columns: Sequence[str] | Sequence[int] | None,
    comment: str | None,
) -> Found:
    line, fields = document.first_record()
    if columns is None:
        return _default_layout(document, header, comment)
    by_name = isinstance(columns[0], str)
    places = [place_of(document, column) for column in columns]
    if len(places) == 2:
        raise OnlyPairs(document)
    if header is None:
        header = by_name or _looks_like_header(document, fields, places[2])
    layout = Layout(header, line, len(fields), tuple(places), timestamp_required=True)
    return Found(layout, list(fields) if header else list(range(len(fields))))


def place_of(document: Document, column: str | int) -> int:
    line, fields = document.first_record()
    if isinstance(column, str):
        if fields.count(column) == 1:
            return fields.index(column)
        problem = f"{fields.count(column) or 'no'} columns are named {column!r}"
    elif column < len(fields):
        return column
    else:
        problem = f"there is no column {column}, counted from 0"
    raise document.error(
        line,
        f"{problem}; the first line holds {len(fields)} fields: {cut(fields)}. "
        f"{_correct('columns=...', document)}",
    )


def _correct(what: str, document: Document) -> str:
    return f"Correct {what}, or pass sep=... (now {document.separator!r})."


def _default_layout(document: Document, header: bool | None, comment: str | None) -> Found:
    sample = list(itertools.islice(document.records(), SAMPLE_RECORDS + 1))
    line, fields = document.first_record()
    if len(fields) == 2:
        raise OnlyPairs(document)
    if len(fields) < 3:
        raise document.error(
            line,
            f"found {len(fields)} fields, {cut(fields)}; a line must hold a user, an item and a "
            f"rating. {_correct('the line', document)}",
        )
    if comment is None:
        _check_no_comment(document, sample)
    if header is None:
        header = _names_columns(document, sample)
    layout = Layout(header, line, len(fields), (0, 1, 2), timestamp_required=False)
    rows = [check_length(record, document, layout) for record in sample[1:]]
    if not header:
        rows.insert(0, fields)
    # without the empty columns of doubled separators
    kept = [
        place
        for place, name in enumerate(fields)
        if (header and name) or not rows or any(row[place] for row in rows)
    ]
    names = [fields[place] for place in kept] if header else None

    def values(place: int) -> Array:
        return np.array([document.with_point(row[kept[place]]) for row in rows], dtype=object)

    try:
        found = decide(names, len(kept), values)
    except UndecidedColumns as error:
        known = known_roles(names or ()).keys()
        if {"user", "item"} <= known <= {"user", "item", "timestamp"} and len(known) == len(kept):
            raise OnlyPairs(document) from None
        raise document.error(line, _undecided(document, names, rows, error)) from None
    places = tuple(kept[found[role]] for role in ROLES if role in found)
    titles = [(fields[k] if header else k) if k in kept else None for k in range(len(fields))]
    return Found(dataclasses.replace(layout, columns=places), titles)


def _undecided(
    document: Document, names: list[str] | None, rows: list[list[str]], error: UndecidedColumns
) -> str:
    if error.is_table:
        options = "" if document.separator == "," else f", sep={document.separator!r}"
        options += ", header=None" if names is None else ""
        frame = f"pandas.read_csv({document.label!r}{options})"
        read = None if names is None else [name or f"Unnamed: {k}" for k, name in enumerate(names)]
        first = np.array([row[0] for row in rows], dtype=object)
        return (
            f"this looks like a table of users x items ({error}). "
            f"{table_advice(read, frame, first_holds_ids=holds_ids(first))} If it is a list of "
            f"ratings, {_NAME_THEM}."
        )
    what = "the columns have no names" if names is None else f"the header names {cut(names)}"
    return (
        f"{what}, which does not tell the columns of user, item and rating: {error}; {_NAME_THEM}."
    )


def _check_no_comment(document: Document, sample: list[Record]) -> None:
    line, fields = sample[0]
    mark, (_, last) = fields[0].lstrip()[:1], sample[-1]
    if mark not in ("#", "%") or document.is_number(fields[2]) or len(sample) == 1:
        return
    if not last[0].startswith(mark):
        raise document.error(
            line,
            f"{cut(document.separator.join(fields))} begins with {mark!r}; of a comment, pass "
            f"comment={mark!r}, and of the name of a column, {_NAME_THEM}.",
        )


def _names_columns(document: Document, sample: list[Record]) -> bool:
    _, fields = sample[0]
    said = [role_of(name) if len(name) > 1 else None for name in fields]
    n_known = sum(one is not None and one[0] in ROLES for one in said)
    if n_known >= 2 and not document.is_number(fields[2]):
        return True
    if _looks_like_header(document, fields, 2):
        return True
    # of a table: nothing or a role, and then items
    rows = [row for _, row in sample[1:] if len(row) == len(fields)]
    is_odd = fields[0] == "" or (n_known == 1 and said[0] is not None)
    return is_odd and bool(rows) and all(document.is_number(row[0]) for row in rows)


def _looks_like_header(document: Document, fields: list[str], rating_place: int) -> bool:
    return fields[rating_place] != "" and not any(map(document.is_number, fields))


def check_length(record: Record, document: Document, layout: Layout) -> list[str]:
    line, fields = record
    if len(fields) != layout.n_fields:
        raise document.error(
            line,
            f"found {len(fields)} fields, {cut(fields)}, but line {layout.first_line:,} has "
            f"{layout.n_fields}; every line must have as many. {_correct('the line', document)}",
        )
    return fields


@dataclasses.dataclass(frozen=True)
class Lines:
    """Another format as text."""

    text: str
    separator: str
    columns: tuple[int, ...]
    sizes: tuple[int, ...] = ()  # rows, columns and entries
    rest: Rest = None


def lines_of(text: str, label: str, rest: Rest = None) -> Lines | None:
    if text.startswith("%%MatrixMarket"):
        return _lines_of_matrix_market(text, label, rest)
    return _lines_of_blocks(text, rest) if re.match(r"\s*\d+:[ \t]*[\r\n]+", text) else None


def _lines_of_matrix_market(text: str, label: str, rest: Rest) -> Lines:
    lines = text.splitlines()
    kind = " ".join(lines[0].lower().split()[1:])
    if not re.fullmatch("matrix coordinate (real|integer) general", kind):
        raise refused(
            label,
            f"a Matrix Market file of the kind {kind!r}",
            f"read it with scipy.io.mmread {THEN}",
        )
    for place, line in enumerate(lines):
        lines[place] = ""
        if line.strip() and not line.startswith("%"):
            sizes = line.split()
            if len(sizes) != 3 or not all(map(str.isdecimal, sizes)):
                break
            return Lines("\n".join(lines), WHITESPACE, (0, 1, 2), tuple(map(int, sizes)), rest)
    raise ValueError(
        f"{label}: the Matrix Market file does not say how many rows, columns and entries it has; "
        f"fetch it again."
    )


def _lines_of_blocks(text: str, rest: Rest) -> Lines:
    """``1:`` and ``101,3,date`` give 1,101,3,date."""
    item = ""

    def joined(text: str) -> str:
        nonlocal item
        lines = [line.strip() for line in text.splitlines()]
        for place, line in enumerate(lines):
            if line.endswith(":"):
                item, lines[place] = line[:-1], ""
            elif line:
                lines[place] = f"{item},{line}"
        return "\n".join(lines) + "\n"

    def following() -> Iterator[str]:
        nonlocal item
        item = last
        yield from map(joined, rest() if rest else ())

    text = joined(text)
    last, counts = item, [line.count(",") + 1 for line in text.split("\n", 1000)[:1000] if line]
    columns = (1, 0, 2, 3) if max(counts, default=0) == 4 else (1, 0, 2)
    return Lines(text, ",", columns, rest=rest and following)
