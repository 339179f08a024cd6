"""Where the columns of a document are: the header found, and which column is which."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from autorec_np._types import Array
from autorec_np.data.columns import ROLES, UndecidedColumns, decide, known_roles, role_of
from autorec_np.data.tables import holds_ids, table_advice
from autorec_np.data.values import as_numbers
from autorec_np.sources.fields import Layout, check_length
from autorec_np.sources.text import Document, Record, cut

SAMPLE_RECORDS = 200


class Found(NamedTuple):
    """`titles` name the columns in messages and results."""

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
    places = [_place(document, column) for column in columns]
    if header is None:
        header = by_name or _looks_like_header(document, fields, places[2])
    layout = Layout(header, line, len(fields), tuple(places), timestamp_required=True)
    return Found(layout, list(fields) if header else list(range(len(fields))))


def _place(document: Document, column: str | int) -> int:
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
        f"{problem}; the first line holds {len(fields)} fields: {cut(fields)}. Correct "
        f"columns=..., or pass sep=... (now {document.separator!r}).",
    )


def _default_layout(document: Document, header: bool | None, comment: str | None) -> Found:
    sample = list(itertools.islice(document.records(), SAMPLE_RECORDS + 1))
    line, fields = document.first_record()
    if len(fields) < 3:
        raise document.error(
            line,
            f"found {len(fields)} fields, {cut(fields)}; a line must hold a user, an item and a "
            f"rating. Correct the line, or pass sep=... (now {document.separator!r}).",
        )
    if comment is None:
        _check_no_comment(document, sample)
    if header is None:
        header = _names_columns(document, sample)
    layout = Layout(header, line, len(fields), (0, 1, 2), timestamp_required=False)
    rows = [check_length(record, document, layout) for record in sample[1:]]
    if not header:
        rows.insert(0, fields)
    # Separators at the ends of lines, or doubled ones, make empty columns.
    kept = [
        place
        for place, name in enumerate(fields)
        if (header and name) or not rows or any(row[place] for row in rows)
    ]
    names = [fields[place] for place in kept] if header else None

    def values(place: int) -> Array:
        column = [document.with_point(row[kept[place]]) for row in rows]
        return np.fromiter(column, dtype=object, count=len(column))

    try:
        found = decide(names, len(kept), values)
    except UndecidedColumns as error:
        raise document.error(line, _undecided(document, names, rows, error)) from None
    places = tuple(kept[found[role]] for role in ROLES if role in found)
    titles = [(fields[k] if header else k) if k in kept else None for k in range(len(fields))]
    return Found(dataclasses.replace(layout, columns=places), titles)


def _undecided(
    document: Document, names: list[str] | None, rows: list[list[str]], error: UndecidedColumns
) -> str:
    name_them = "pass columns=(user, item, rating), by name or by position from 0"
    if error.is_table:
        options = "" if document.separator == "," else f", sep={document.separator!r}"
        options += ", header=None" if names is None else ""
        frame = f"pandas.read_csv({document.label!r}{options})"
        read = None if names is None else [name or f"Unnamed: {k}" for k, name in enumerate(names)]
        first = np.array([row[0] for row in rows], dtype=object)
        return (
            f"this looks like a table of users x items ({error}). "
            f"{table_advice(read, frame, first_holds_ids=holds_ids(first))} If it is a list of "
            f"ratings, {name_them}."
        )
    what = "the columns have no names"
    if names is not None:
        what = f"the header names {cut(names)}"
    return (
        f"{what}, which does not tell the columns of user, item and rating: {error}; {name_them}."
    )


def _check_no_comment(document: Document, sample: list[Record]) -> None:
    line, fields = sample[0]
    mark = fields[0].lstrip()[:1]
    others = [record for _, record in sample[1:]]
    if mark not in ("#", "%") or document.is_number(fields[2]) or not others:
        return
    if not others[-1][0].startswith(mark):
        raise document.error(
            line,
            f"{cut(document.separator.join(fields))} begins with {mark!r}; if that is a comment, "
            f"pass comment={mark!r}, and if it is the name of a column, pass columns=(user, item, "
            f"rating) too, by position from 0.",
        )


def _names_columns(document: Document, sample: list[Record]) -> bool:
    _, fields = sample[0]
    said = [role_of(name) if len(name) > 1 else None for name in fields]
    n_known = sum(one is not None and one[0] in ROLES for one in said)
    if n_known >= 2 and not document.is_number(fields[2]):
        return True
    if _looks_like_header(document, fields, 2):
        return True
    # the header of a table: nothing or a role, and then items
    rows = [row for _, row in sample[1:] if len(row) == len(fields)]
    is_odd = fields[0] == "" or (n_known == 1 and said[0] is not None)
    return is_odd and bool(rows) and all(document.is_number(row[0]) for row in rows)


def _looks_like_header(document: Document, fields: list[str], rating_place: int) -> bool:
    return fields[rating_place] != "" and not any(map(document.is_number, fields))


def find_pairs(rows: Sequence[Sequence[str]]) -> tuple[bool, int, int]:
    """Find the columns of users and items in rows of text.

    Parameters
    ----------
    rows : sequence of sequences of str
        The first may name the columns.

    Returns
    -------
    has_header : bool
    user, item : int
        Places of the columns.

    Raises
    ------
    ValueError
        Names and values do not tell which column is which.
    """
    if not rows:
        return False, 0, 1
    first = rows[0]
    alike = [row for row in rows[1 : SAMPLE_RECORDS + 1] if len(row) == len(first)]
    numbers = [as_numbers(np.array(column, dtype=object)) for column in zip(*alike, strict=True)]
    names_numbers = bool(alike) and any(
        column is not None and as_numbers(np.array([name], dtype=object)) is None
        for name, column in zip(first, numbers, strict=True)
    )
    has_header = {"user", "item"} <= known_roles(first).keys() or names_numbers
    if len(first) < 2:
        return has_header, 0, 1
    rows_of_ids = alike if has_header else [first, *alike]

    def values(place: int) -> Array:
        return np.array([row[place] for row in rows_of_ids], dtype=object)

    try:
        found = decide(first if has_header else None, len(first), values, ("user", "item"))
    except UndecidedColumns as error:
        raise ValueError(
            f"the first line, {cut(list(first))}, does not tell the columns of user and item: "
            f"{error}; name them user and item there."
        ) from None
    return has_header, found["user"], found["item"]
