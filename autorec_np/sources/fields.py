"""The columns of a text of ratings: which they are, and what they hold, as arrays.

Each block of lines goes the fastest way: `split_numbers`, `split_strings`, or `Document.records`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import methodcaller
from typing import Any, NamedTuple, TypeAlias

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
from autorec_np.data.values import (
    Positions,
    as_numbers,
    is_date,
    seconds_of_texts,
    sort_codes,
    unique_with_positions,
)
from autorec_np.sources.text import Document, Record, cut, no_ratings

Column: TypeAlias = "Sequence[str] | Array"

logger = logging.getLogger(__name__)

BLOCK_CHARACTERS = 1 << 24
CHUNK_RECORDS = 1 << 17
NUMBER_CHARACTERS = "0123456789.eE+-"
NO_RATING = ("", "nan", "NaN", "NA", "N/A", "null", "NULL", "None")
WORDS = {**dict.fromkeys(NO_RATING, math.nan), "True": 1, "False": 0, "true": 1, "false": 0}


@dataclasses.dataclass(frozen=True)
class Layout:
    """`columns` are by role."""

    header: bool
    first_line: int
    n_fields: int
    columns: tuple[int, ...]
    timestamp_required: bool


class IdColumn:
    def __init__(self) -> None:
        self._table: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        self._parts: list[Positions] = []

    def extend(self, ids: Column) -> None:
        """An array holds canonical decimals."""
        positions: Any = slice(None)
        if isinstance(ids, np.ndarray):
            ids, positions = unique_with_positions(ids)
            ids = [*map(str, ids.tolist())]
        codes = np.fromiter(map(self._table.__getitem__, ids), dtype=np.int64, count=len(ids))
        self._parts.append(codes[positions])

    def first_empty(self) -> int | None:
        if "" not in self._table:
            return None
        return int(np.argmax(np.concatenate(self._parts) == self._table[""]))

    def finish(self) -> tuple[Array, Positions]:
        if all(map(_is_canonical_integer, self._table)):
            distinct: Array = np.fromiter(map(int, self._table), np.int64, len(self._table))
        else:
            distinct = np.fromiter(self._table, object, len(self._table))
        return sort_codes(distinct, np.concatenate(self._parts))


def read_columns(
    document: Document, layout: Layout
) -> tuple[tuple[Array, Positions], tuple[Array, Positions], Array, Positions | None]:
    users, items = ids = IdColumn(), IdColumn()
    ratings: list[Array] = []
    timestamps: list[Positions] | None = [] if len(layout.columns) == 4 else None
    n_records, are_dates = 0, None
    for user, item, rating, *rest in _column_blocks(document, layout):
        users.extend(user)
        items.extend(item)
        ratings.append(_numbers(rating, document))
        if timestamps is not None:
            if are_dates is None:
                are_dates = not isinstance(rest[0], np.ndarray) and is_date(rest[0][0])
            found, wrong = _times(rest[0], are_dates)
            if wrong is None:
                timestamps.append(found)
            elif layout.timestamp_required:
                line, fields = document.record(n_records + wrong + layout.header)
                raise document.error(
                    line,
                    f"the timestamp is {cut(fields[layout.columns[3]])}; timestamps must all be "
                    f"numbers, or all ISO dates such as 2004-02-01. Correct it, or leave the "
                    f"timestamp out of columns=....",
                )
            else:
                logger.info("%s: not all timestamps are times, so none is read", document.label)
                timestamps = None
        n_records += len(user)
    if n_records == 0:
        raise no_ratings(document.label)
    for role, column in zip(ROLES, ids, strict=False):
        empty = column.first_empty()
        if empty is not None:
            line, fields = document.record(empty + layout.header)
            raise document.error(
                line,
                f"the {role} id is empty in {cut(fields)}; correct or drop it.",
            )
    times = None if timestamps is None else np.concatenate(timestamps)
    return users.finish(), items.finish(), np.concatenate(ratings), times


def _column_blocks(document: Document, layout: Layout) -> Iterator[list[Column]]:
    if document.quoted:
        records = itertools.islice(document.records(), int(layout.header), None)
        yield from _columns_of_records(records, document, layout)
        return
    for line, block in _blocks(document, layout):
        columns = split_numbers(block, document.separator, layout)
        if columns is None:
            columns = split_strings(block, document.separator, layout)
        if columns is not None:
            yield columns
        else:
            yield from _columns_of_records(document.records(block, line), document, layout)


def _blocks(document: Document, layout: Layout) -> Iterator[tuple[int, str]]:
    text, start, line = document.text, 0, 1
    while layout.header and line <= layout.first_line:
        start = (text.find("\n", start) + 1) or len(text)
        line += 1
    while start < len(text):
        stop = text.find("\n", start + BLOCK_CHARACTERS)
        block = text[start : None if stop < 0 else stop]
        yield line, block
        start += len(block) + 1
        line += block.count("\n") + 1


def split_numbers(block: str, separator: str, layout: Layout) -> list[Column] | None:
    """None if a field is no plain number; float64 holds 15 characters exactly."""
    if not block.isascii() or (separator != " " and " " in block):
        return None
    raw = (block.replace(separator, " ") + "\n").encode()
    if raw.translate(None, b"0123456789. \n"):
        return None
    characters = np.frombuffer(raw, dtype=np.uint8)
    ends = np.flatnonzero(characters <= ord(" "))
    starts = np.concatenate(([0], ends[:-1] + 1))
    if len(ends) % layout.n_fields:
        return None
    row_ends = characters[ends].reshape(-1, layout.n_fields) == ord("\n")
    if row_ends[:, :-1].any() or not row_ends[:, -1].all():
        return None
    widths = ends - starts
    if widths.min() == 0 or widths.max() > 15:
        return None
    rating_place = layout.columns[2]
    leading_zero = (characters[starts] == ord("0")) & (widths > 1)
    leading_zero.reshape(-1, layout.n_fields)[:, rating_place] = False
    dotted = np.searchsorted(ends, np.flatnonzero(characters == ord(".")))
    if leading_zero.any() or (dotted % layout.n_fields != rating_place).any():
        return None
    if (np.diff(dotted) == 0).any() or (widths[dotted] == 1).any():
        return None
    dtype = np.float64 if len(dotted) else np.int64
    table = np.fromstring(raw, dtype=dtype, sep=" ").reshape(-1, layout.n_fields)
    return [
        table[:, place].astype(np.float64 if place == rating_place else np.int64)
        for place in layout.columns
    ]


def split_strings(block: str, separator: str, layout: Layout) -> list[Column] | None:
    # The text has no NUL.
    block = block.replace(separator, "\0")
    if set(map(methodcaller("count", "\0"), block.split("\n"))) != {layout.n_fields - 1}:
        return None
    fields = block.replace("\n", "\0").split("\0")
    return [fields[place :: layout.n_fields] for place in layout.columns]


def _columns_of_records(
    records: Iterator[Record], document: Document, layout: Layout
) -> Iterator[list[Column]]:
    checked = (check_length(record, document, layout) for record in records)
    while flat := list(itertools.chain.from_iterable(itertools.islice(checked, CHUNK_RECORDS))):
        yield [flat[place :: layout.n_fields] for place in layout.columns]


def check_length(record: Record, document: Document, layout: Layout) -> list[str]:
    line, fields = record
    if len(fields) != layout.n_fields:
        raise document.error(
            line,
            f"found {len(fields)} fields, {cut(fields)}, but line {layout.first_line:,} has "
            f"{layout.n_fields}; every line must have as many. {_correct('the line', document)}",
        )
    return fields


def _is_canonical_integer(token: str) -> bool:
    is_integer = re.fullmatch("0|-?[1-9][0-9]{0,18}", token)
    return bool(is_integer) and -(2**63) <= int(token) < 2**63


def _times(column: Column, are_dates: bool) -> tuple[Positions, int | None]:
    if isinstance(column, np.ndarray):
        return column, 0 if are_dates else None
    digits = "".join(column).replace("-", "")
    if not are_dates and digits.isascii() and digits.isdigit():
        with contextlib.suppress(ValueError, OverflowError):
            return np.array([*map(int, column)], dtype=np.int64), None
    return seconds_of_texts(column, are_dates)


def _numbers(column: Column, document: Document) -> Array:
    if isinstance(column, np.ndarray):
        return column
    if document.decimal != ".":
        column = list(map(document.with_point, column))
    if not "".join(column).strip(NUMBER_CHARACTERS):
        with contextlib.suppress(ValueError):
            return np.fromiter(map(float, column), dtype=np.float64, count=len(column))
    return np.fromiter(map(_number, column), dtype=np.float64, count=len(column))


def _number(token: str) -> float:
    with contextlib.suppress(ValueError):
        if not token.strip(NUMBER_CHARACTERS):
            return float(token)
    return WORDS.get(token, math.inf)


SAMPLE_RECORDS = 200
_NAME_THEM = "pass columns=(user, item, rating), by name or by position from 0"


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
        f"{problem}; the first line holds {len(fields)} fields: {cut(fields)}. "
        f"{_correct('columns=...', document)}",
    )


def _correct(what: str, document: Document) -> str:
    return f"Correct {what}, or pass sep=... (now {document.separator!r})."


def _default_layout(document: Document, header: bool | None, comment: str | None) -> Found:
    sample = list(itertools.islice(document.records(), SAMPLE_RECORDS + 1))
    line, fields = document.first_record()
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


def find_pairs(rows: Sequence[Sequence[str]]) -> tuple[bool, int, int]:
    """Return whether rows of text have a header, and the places of users and items."""
    if not rows:
        return False, 0, 1
    first = rows[0]
    alike = [row for row in rows[1 : SAMPLE_RECORDS + 1] if len(row) == len(first)]
    numbers = [as_numbers(np.array(column, dtype=object)) for column in zip(*alike, strict=True)]
    names_numbers = any(
        column is not None and as_numbers(np.array([name], dtype=object)) is None
        for name, column in zip(first, numbers, strict=False)
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
