"""`read_ratings`: files of ratings in the usual forms, and the columns of a text as arrays.

Each block of lines goes the fastest way: `split_numbers`, `split_strings`, or `Document.records`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import math
import numbers
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import methodcaller
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from autorec_np._text import knows_habits
from autorec_np._types import Array
from autorec_np._validation import check_choice, check_integer
from autorec_np.data.clicks import pairs_of
from autorec_np.data.columns import (
    ROLES,
    UndecidedColumns,
    check_three_or_four,
    columns_read,
    decide,
    holds_ids,
    known_roles,
    role_of,
    table_advice,
)
from autorec_np.data.entries import DUPLICATE_RULES, DuplicateRatingError, frozen
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.values import (
    Positions,
    check_missing,
    check_scale,
    is_date,
    is_rating,
    remedy,
    seconds_of_texts,
    shown,
    sort_codes,
    unique_with_positions,
)
from autorec_np.sources.text import (
    DEFAULT_MAX_BYTES,
    Dialect,
    Document,
    Lines,
    OnlyPairs,
    Record,
    cut,
    decode,
    frame_of_parquet,
    lines_of,
    make_document,
    no_ratings,
    open_document,
    read_source,
    refuse_binary,
    refuse_text,
    without_mark,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Column: TypeAlias = "Sequence[str] | Array"

logger = logging.getLogger(__name__)

BLOCK_CHARACTERS = 1 << 24
CHUNK_RECORDS = 1 << 17
NUMBER_CHARACTERS = "0123456789.eE+-"
NO_RATING = ("", "nan", "NaN", "NA", "N/A", "null", "NULL", "None")
WORDS = {**dict.fromkeys(NO_RATING, math.nan), "True": 1, "False": 0, "true": 1, "false": 0}


@knows_habits
def read_ratings(
    path: str | os.PathLike[str] | IO[Any],
    *,
    sep: str | None = None,
    header: bool | None = None,
    columns: Sequence[str] | Sequence[int] | None = None,
    scale: tuple[float, float] | None = None,
    duplicates: str = "raise",
    missing: ArrayLike = (),
    decimal: str = ".",
    comment: str | None = None,
    skip_lines: int = 0,
    quoting: bool | None = None,
    encoding: str = "utf-8",
    member: str | None = None,
    max_bytes: int | None = DEFAULT_MAX_BYTES,
) -> Ratings:
    """Read ratings from text, one per line: user, item, rating and perhaps timestamp.

    Parameters
    ----------
    path : str, path-like, or an open file of bytes or text
        ``"-"``: standard input. Gzip, bzip2, xz and zip are unpacked. Also Matrix Market (its ids
        count from 1), the blocks of the Netflix prize and Parquet.
    sep : str, optional
        Any string, or ``"whitespace"``. By default what a first line ``sep=;`` says; else the first
        of ``::``, tab, comma, semicolon, ``|`` and whitespace which splits the first 20 lines into
        equally many fields, at least three, with a number in the last; else which so splits the
        first line. Spaces after it are dropped where the first lines all have them.
    header : bool, optional
        Whether the first line names the columns. By default it does if `columns` are names, it
        holds well-known ones, or no number and a field for the rating.
    columns : sequence of three or four str or int, optional
        As in `as_ratings`. By default a timestamp is one by name, or a fourth column of nothing
        but times. ``Ratings.columns`` says what was read.
    scale, duplicates, missing
        As in `Ratings.from_triples`. NaN is an empty rating, NA and null too.
    decimal : {".", ","}
        Of ratings.
    comment : str, optional
        How lines to leave out begin.
    skip_lines : int
        How many to leave out at the start.
    quoting : bool, optional
        False: quotes are plain characters. True: a quoted field may hold anything, else no lines of
        ratings.
    encoding : str
        A mark of UTF-16 or UTF-32 decides.
    member : str, optional
        The file in a zip archive of several.
    max_bytes : int or None
        To unpack, or to read from a stream. None: no bound.

    Returns
    -------
    Ratings
        In the order of the file. Ids that are *all* canonical decimal integers, within int64,
        become int64; others stay strings: "007", "NA" and " x " are ids. A 0 is a rating.

    Raises
    ------
    ValueError
        The file is empty, binary, not in the encoding, damaged or too large; its columns are not
        known for sure; a line has another number of fields, an empty id, or a rating that is no
        finite number or outside the scale; or a pair is rated twice.
    OSError
    """
    check_choice("header", header, (None, True, False))
    check_choice("duplicates", duplicates, DUPLICATE_RULES)
    check_choice("decimal", decimal, (".", ","))
    check_choice("quoting", quoting, (None, True, False))
    check_scale(scale)
    not_rated = check_missing(missing)
    _check_separator(sep)
    _check_columns(columns, header)
    skip_lines = check_integer("skip_lines", skip_lines, minimum=0)
    if comment is not None and not (isinstance(comment, str) and comment.strip()):
        raise ValueError(f"comment must be how a comment begins, '#' for example, got {comment!r}.")
    dialect = Dialect(sep, decimal, quoting, comment, skip_lines)

    label, content = read_source(path, member, max_bytes)
    if isinstance(content, bytes):
        refuse_binary(content, label)
        frame = frame_of_parquet(content, label)
        if frame is not None:
            if columns is not None and len(columns) == 2 and set(columns) <= set(frame):
                frame, columns = frame[[*columns]].set_axis(["user", "item"], axis=1), None
            if columns is None and pairs_of(frame) is not None:
                raise OnlyPairs(label, ": the table has no ratings.", frame)
            try:
                return as_ratings(
                    frame, scale=scale, duplicates=duplicates, columns=columns, missing=missing
                )
            except (TypeError, ValueError) as error:
                raise ValueError(f"{label}: {error}") from error
        text = decode(content, encoding, label)
    else:
        text = without_mark(content, label)
    del content
    refuse_text(text, label)
    lines = lines_of(text, label)
    if lines is None:
        document = open_document(label, text, dialect)
        found = find_layout(document, header, columns, comment)
    else:
        document, found = _document_of_lines(lines, label)
    del text
    return _read(document, found, lines, scale, duplicates, not_rated)


def _read(
    document: Document,
    found: Found,
    lines: Lines | None,
    scale: tuple[float, float] | None,
    duplicates: str,
    missing: Array,
) -> Ratings:
    layout, titles = found
    (user_ids, users), (item_ids, items), ratings, timestamps = read_columns(document, layout)
    if lines is not None and lines.sizes:
        _check_sizes(lines.sizes, (user_ids, item_ids), len(ratings), document.label)
    _check_ratings(ratings, document, layout, scale, missing)
    try:
        R = Ratings.from_triples(
            users,
            items,
            ratings,
            timestamps,
            scale=scale,
            duplicates=duplicates,
            missing=missing,
        )
    except DuplicateRatingError as error:
        first, _ = document.record(error.first + layout.header)
        second, _ = document.record(error.second + layout.header)
        raise document.error(
            second,
            f"user {shown(user_ids[users[error.second]])} rates item "
            f"{shown(item_ids[items[error.second]])} again, first rated on line {first:,}; "
            f"{error.n_repeats:,} of {error.n_ratings:,} ratings repeat an earlier pair. A pair "
            f"has one rating: correct the file, or pass duplicates='last' (or 'first' or 'mean').",
        ) from None
    places = dict(zip(ROLES, layout.columns, strict=False))
    if timestamps is None:
        places.pop("timestamp", None)
    read = columns_read(places, titles)
    left_out = tuple(title for title in read.left_out if title is not None)
    return dataclasses.replace(
        R,
        user_ids=frozen(user_ids[R.user_ids]),  # which are positions
        item_ids=frozen(item_ids[R.item_ids]),
        columns=dataclasses.replace(read, left_out=left_out),
    )


def _document_of_lines(lines: Lines, label: str) -> tuple[Document, Found]:
    document = make_document(label, lines.text, lines.separator, Dialect(quoting=False))
    line, fields = document.first_record()
    layout = Layout(False, line, len(fields), lines.columns, timestamp_required=False)
    if len(fields) <= max(lines.columns):
        raise document.error(line, f"found {len(fields)} fields, {cut(fields)}: no rating.")
    names: list[Any] = [None] * len(fields)
    for role, place in zip(ROLES, lines.columns, strict=False):
        names[place] = role
    return document, Found(layout, names)


def _check_sizes(
    sizes: tuple[int, ...], ids: tuple[Array, Array], n_ratings: int, label: str
) -> None:
    wrong = "" if sizes[2] == n_ratings else f"{sizes[2]:,} entries, but there are {n_ratings:,}"
    for axis, known, length in zip(("rows", "columns"), ids, sizes, strict=False):
        is_text = known.dtype.kind != "i"
        odd = known[-1:] if is_text else known[(known < 1) | (known > length)]
        if len(odd):
            wrong = f"{length:,} {axis}, from 1, but an entry is in {shown(odd[0])}"
    if wrong:
        raise ValueError(f"{label}: the header counts {wrong}; fetch the file again.")


def _check_separator(sep: str | None) -> None:
    if sep is None:
        return
    if not isinstance(sep, str):
        raise TypeError(f"sep must be a string or None, got {type(sep).__name__}.")
    if not sep or set(sep) & set('"\n\r\0'):
        raise ValueError(
            f"sep must be a non-empty string without quotes and line ends, got {sep!r}; pass ',' "
            f"or 'whitespace' for example."
        )


def _check_columns(columns: Sequence[str] | Sequence[int] | None, header: bool | None) -> None:
    if columns is None:
        return
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        raise TypeError(f"columns must be a sequence of names or positions, got {columns!r}.")
    if not len(columns) == len(set(columns)) == 2:
        check_three_or_four(columns, list(columns))
    if all(isinstance(column, str) for column in columns):
        if header is False:
            raise ValueError("columns are names but header=False; pass positions, counted from 0.")
    elif not all(isinstance(column, numbers.Integral) and column >= 0 for column in columns):
        raise ValueError(
            f"columns must be all names or all positions, counted from 0, got {list(columns)}."
        )


def _check_ratings(
    ratings: Array,
    document: Document,
    layout: Layout,
    scale: tuple[float, float] | None,
    missing: Array,
) -> None:
    low, high = bounds = check_scale(scale)
    with np.errstate(over="ignore"):
        stored = ratings.astype(np.float32)
    not_finite = ~np.isfinite(stored)
    wrong = not_finite | (stored < np.float32(low)) | (stored > np.float32(high))
    wrong &= is_rating(ratings, missing)
    if not wrong.any():
        return
    index = int(np.argmax(wrong))
    line, fields = document.record(index + layout.header)
    token = fields[layout.columns[2]]
    if not not_finite[index]:
        need = f"the stated scale is [{low:g}, {high:g}]"
        act = remedy(stored[wrong & ~not_finite], bounds).capitalize()
    elif document.decimal == "." and re.fullmatch(r"[+-]?\d*,\d+", token):
        need = "that has a decimal comma"
        act = "Pass decimal=','"
        if re.search(r",\d{3}$", token):
            need += ", or a comma between thousands"
            act += " in the first case, and take the commas out in the second"
    else:
        need = "a rating must be a finite number such as 3 or 4.5, with nothing around it"
        act = "Correct or drop these lines"
        if token in NO_RATING:
            act += ", or pass missing=(float('nan'),) if they mean 'not rated'"
    raise document.error(
        line,
        f"the rating is {cut(token)}, but {need}; {int(wrong.sum()):,} of {len(wrong):,} ratings "
        f"are wrong. {act}.",
    )


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
    has_ratings = layout.place("rating") >= 0
    timestamps: list[Positions] | None = [] if layout.place("timestamp") >= 0 else None
    n_records, are_dates = 0, None
    for user, item, *rest in _column_blocks(document, layout):
        users.extend(user)
        items.extend(item)
        ratings.append(_numbers(rest.pop(0), document) if has_ratings else np.ones(len(user)))
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
                    f"the timestamp is {cut(fields[layout.columns[-1]])}; timestamps must all be "
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
    rating_place = layout.place("rating")
    leading_zero = (characters[starts] == ord("0")) & (widths > 1)
    if rating_place >= 0:
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
    places = [place_of(document, column) for column in columns]
    if len(places) == 2:
        raise OnlyPairs.of(document)
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
        raise OnlyPairs.of(document)
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
            raise OnlyPairs.of(document) from None
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
