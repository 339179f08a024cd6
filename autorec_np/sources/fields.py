"""The columns of a text of ratings, as arrays.

Each block of whole lines goes the fastest way that fits it, all three with the same result:
`split_numbers`, `split_strings`, or `Document.records` for blank lines, quotes and errors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import methodcaller
from typing import TypeAlias

import numpy as np

from autorec_np._types import Array
from autorec_np.data.ids import Positions, sort_codes, unique_with_positions
from autorec_np.data.times import is_date, seconds_of_texts
from autorec_np.sources.text import Document, Record, cut, no_ratings

Column: TypeAlias = "Sequence[str] | Array"

logger = logging.getLogger(__name__)

BLOCK_CHARACTERS = 1 << 24
CHUNK_RECORDS = 1 << 17
NUMBER_CHARACTERS = "0123456789.eE+-"
NO_RATING = ("", "nan", "NaN", "NA", "N/A", "null", "NULL", "None")
TRUTH = {"True": 1.0, "False": 0.0, "true": 1.0, "false": 0.0}


@dataclasses.dataclass(frozen=True)
class Layout:
    """``columns`` are the places of user, item, rating and perhaps timestamp."""

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
        """An int64 array stands for canonical decimals."""
        if isinstance(ids, np.ndarray):
            unique, positions = unique_with_positions(ids)
            self._parts.append(self._codes(list(map(str, unique.tolist())))[positions])
        else:
            self._parts.append(self._codes(ids))

    def _codes(self, ids: Sequence[str]) -> Positions:
        return np.fromiter(map(self._table.__getitem__, ids), dtype=np.int64, count=len(ids))

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
    """Return users and items (unique ids and positions), ratings and timestamps."""
    ids = {"user": IdColumn(), "item": IdColumn()}
    ratings: list[Array] = []
    timestamps: list[Positions] | None = [] if len(layout.columns) == 4 else None
    n_records, are_dates = 0, None
    for user, item, rating, *rest in _column_blocks(document, layout):
        ids["user"].extend(user)
        ids["item"].extend(item)
        ratings.append(_numbers(rating, document))
        if timestamps is not None:
            if are_dates is None:
                are_dates = not isinstance(rest[0], np.ndarray) and is_date(rest[0][0])
            times, wrong = _times(rest[0], are_dates)
            if wrong is None:
                timestamps.append(times)
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
    for role, column in ids.items():
        empty = column.first_empty()
        if empty is not None:
            line, fields = document.record(empty + layout.header)
            raise document.error(
                line,
                f"the {role} id is empty in {cut(fields)}; every rating needs a user and an item. "
                f"Correct or drop this line.",
            )
    return (
        ids["user"].finish(),
        ids["item"].finish(),
        np.concatenate(ratings),
        None if timestamps is None else np.concatenate(timestamps),
    )


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
        stop = len(text) if stop < 0 else stop
        block = text[start:stop]
        yield line, block
        start, line = stop + 1, line + block.count("\n") + 1


def split_numbers(block: str, separator: str, layout: Layout) -> list[Column] | None:
    """Return the wanted columns as numbers; None if a field is not a plain number.

    float64 holds decimals of 15 characters exactly, or correctly rounded as ``float`` does.
    """
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
    # NUL does not occur in the text: no separator arises from two fields' ends.
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
            f"{layout.n_fields}; every line must have as many. Correct the line, or pass sep=... "
            f"(now {document.separator!r}).",
        )
    return fields


def _is_integer(token: str) -> bool:
    return bool(re.fullmatch("-?[0-9]{1,40}", token)) and -(2**63) <= int(token) < 2**63


def _is_canonical_integer(token: str) -> bool:
    return _is_integer(token) and str(int(token)) == token


def _times(column: Column, are_dates: bool) -> tuple[Positions, int | None]:
    if isinstance(column, np.ndarray):
        return column, 0 if are_dates else None
    digits = "".join(column).replace("-", "")
    if not are_dates and digits.isascii() and digits.isdigit():
        with contextlib.suppress(ValueError, OverflowError):
            return np.array(list(map(int, column)), dtype=np.int64), None
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
    if token in NO_RATING:
        return float("nan")
    if token in TRUTH:
        return TRUTH[token]
    if token.strip(NUMBER_CHARACTERS):
        return float("inf")
    try:
        return float(token)
    except ValueError:
        return float("inf")
