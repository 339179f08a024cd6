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
from collections.abc import Callable, Iterator, Sequence
from operator import methodcaller
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autorec_np._text import knows_habits
from autorec_np._types import Array
from autorec_np._validation import check_choice, check_integer
from autorec_np.data.columns import (
    ROLES,
    ColumnsRead,
    check_three_or_four,
    columns_read,
)
from autorec_np.data.entries import DUPLICATE_RULES, DuplicateRatingError
from autorec_np.data.ratings import Ratings, as_ratings, of_positions
from autorec_np.data.values import (
    Positions,
    check_missing,
    check_scale,
    is_date,
    is_rating,
    remedy,
    seconds_of_texts,
    shown,
    unique_with_positions,
)
from autorec_np.sources.layout import (
    Found,
    Layout,
    Lines,
    check_length,
    find_layout,
    lines_of,
)
from autorec_np.sources.text import (
    DEFAULT_MAX_BYTES,
    Dialect,
    Document,
    Record,
    Rest,
    Stream,
    cut,
    decode,
    frame_of_parquet,
    make_document,
    no_ratings,
    open_document,
    read_source,
    refuse_binary,
    refuse_text,
    stream_of,
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
    check_choice("duplicates", duplicates, DUPLICATE_RULES)
    check_scale(scale)
    not_rated = check_missing(missing)
    opened = open_source(
        path,
        sep=sep,
        header=header,
        columns=columns,
        decimal=decimal,
        comment=comment,
        skip_lines=skip_lines,
        quoting=quoting,
        encoding=encoding,
        member=member,
        max_bytes=max_bytes,
    )
    if opened.document is None:
        with saying_where(opened.label):
            return as_ratings(
                opened.frame, scale=scale, duplicates=duplicates, columns=columns, missing=missing
            )
    document, (layout, _) = opened.document, opened.found
    (user_ids, users), (item_ids, items), ratings, times = read_columns(document, layout)
    opened.check_sizes((user_ids, item_ids), len(ratings))
    check_numbers(ratings, document, layout, scale, not_rated)
    ids = user_ids, item_ids
    try:
        R = of_positions(users, items, ratings, times, *ids, scale, duplicates, not_rated)
    except DuplicateRatingError as error:
        where = document, layout
        raise rated_again(error, (*where, error.first), (*where, error.second)) from None
    return dataclasses.replace(R, columns=opened.columns(times is not None))


@contextlib.contextmanager
def saying_where(label: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{label}: {error}") from error


@dataclasses.dataclass(frozen=True)
class Opened:
    """A file of which is known what its columns are: a document, or else a frame."""

    label: str
    frame: Any = None
    document: Any = None
    found: Any = None
    sizes: tuple[int, ...] = ()
    stream: Stream | None = None

    def columns(self, has_times: bool) -> ColumnsRead:
        places = dict(zip(ROLES, self.found.layout.columns, strict=False))
        if not has_times:
            places.pop("timestamp", None)
        read = columns_read(places, self.found.titles)
        left_out = tuple(title for title in read.left_out if title is not None)
        return dataclasses.replace(read, left_out=left_out)

    def check_sizes(self, ids: tuple[Array, Array], n_ratings: int) -> None:
        if self.sizes:
            _check_sizes(self.sizes, ids, n_ratings, self.label)


def open_source(
    path: Any,
    is_long: bool = False,
    *,
    sep: str | None = None,
    header: bool | None = None,
    columns: Sequence[str] | Sequence[int] | None = None,
    decimal: str = ".",
    comment: str | None = None,
    skip_lines: int = 0,
    quoting: bool | None = None,
    encoding: str = "utf-8",
    member: str | None = None,
    max_bytes: int | None = DEFAULT_MAX_BYTES,
) -> Opened:
    """Find out what a file holds; one that `is_long` stays where it is, packed or not."""
    check_choice("header", header, (None, True, False))
    check_choice("decimal", decimal, (".", ","))
    check_choice("quoting", quoting, (None, True, False))
    _check_separator(sep)
    _check_columns(columns, header)
    skip_lines = check_integer("skip_lines", skip_lines, minimum=0)
    if comment is not None and not (isinstance(comment, str) and comment.strip()):
        raise ValueError(f"comment must be how a comment begins, '#' for example, got {comment!r}.")
    dialect = Dialect(sep, decimal, quoting, comment, skip_lines)

    stream = stream_of(path, member, max_bytes, is_long)
    head = None if stream is None else stream.decoded(encoding, dialect)
    rest: Rest = None
    if stream is not None and head is not None:
        label, text, rest = stream.label, head, None if stream.is_whole else stream
    else:
        label, content = read_source(path, member, max_bytes)
        if isinstance(content, bytes):
            refuse_binary(content, label)
            frame = frame_of_parquet(content, label)
            if frame is not None:
                return Opened(label, frame)
            text = decode(content, encoding, label)
        else:
            text = without_mark(content, label)
        del content
    refuse_text(text, label)
    lines = lines_of(text, label, rest)
    if lines is None:
        document = open_document(label, text, dialect, rest)
        found = find_layout(document, header, columns, comment)
        return Opened(label, None, document, found, stream=stream)
    document, found = _document_of_lines(lines, label)
    return Opened(label, None, document, found, lines.sizes, stream)


def rated_again(
    error: DuplicateRatingError,
    earlier: tuple[Document, Layout, int],
    later: tuple[Document, Layout, int],
) -> ValueError:
    """Say where, of records by document, layout and number."""
    (first, _), (second, _) = (
        document.record(number + layout.header) for document, layout, number in (earlier, later)
    )
    of_file = "" if earlier[0] is later[0] else f" of {earlier[0].label}"
    return later[0].error(
        second,
        f"{error.pair.replace(' and item ', ' rates item ', 1)} again, first rated on line "
        f"{first:,}{of_file}; {error.n_repeats:,} of {error.n_ratings:,} ratings repeat an earlier "
        f"pair. A pair has one rating: correct the file, or pass duplicates='last' (or 'first' or "
        f"'mean').",
    )


def _document_of_lines(lines: Lines, label: str) -> tuple[Document, Found]:
    document = make_document(label, lines.text, lines.separator, Dialect(quoting=False), lines.rest)
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


def check_numbers(
    ratings: Array,
    document: Document,
    layout: Layout,
    scale: tuple[float, float] | None,
    missing: Array,
) -> None:
    """Check ratings, by blocks, where they may be on disk."""
    low, high = bounds = check_scale(scale)

    def stored(part: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(part, np.float32)

    found = []
    for start in range(0, len(ratings), CHUNK_RECORDS):
        part = ratings[start : start + CHUNK_RECORDS]
        values = stored(part)
        right = np.isfinite(values) & (values >= np.float32(low)) & (values <= np.float32(high))
        if not right.all():
            found.append(start + np.flatnonzero(~right & is_rating(part, missing)))
    wrong: Array = np.concatenate([*found, np.zeros(0, np.int64)])
    if not len(wrong):
        return
    values = stored(ratings[wrong])
    is_finite = np.isfinite(values)
    line, fields = document.record(int(wrong[0]) + layout.header)
    token = fields[layout.columns[2]]
    if is_finite[0]:
        need = f"the stated scale is [{low:g}, {high:g}]"
        act = remedy(values[is_finite], bounds).capitalize()
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
        f"the rating is {cut(token)}, but {need}; {len(wrong):,} of {len(ratings):,} ratings "
        f"are wrong. {act}.",
    )


class InMemory:
    """A column that grows, in one piece: many would leave holes in memory."""

    def __init__(self, dtype: Any) -> None:
        self._array, self._length = np.zeros(0, dtype), 0

    def append(self, part: Array) -> None:
        start, self._length = self._length, self._length + len(part)
        if self._length > len(self._array):
            self._array.resize(self._length + self._length // 8, refcheck=False)
        self._array[start : self._length] = part

    def array(self) -> Array:
        self._array.resize(self._length, refcheck=False)
        return self._array


class IdColumn:
    """Ids, each once, and their codes: by first appearance."""

    def __init__(self, codes: Any) -> None:
        self._table: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        self.codes, self.are_texts = codes, False
        self.first_empty: int | None = None

    def extend(self, ids: Column, n_before: int) -> None:
        """An array holds canonical decimals."""
        positions: Any = slice(None)
        if isinstance(ids, np.ndarray):
            ids, positions = unique_with_positions(ids)
            ids = [*map(str, ids.tolist())]
        codes = np.fromiter(map(self._table.__getitem__, ids), dtype=np.int32, count=len(ids))
        self.codes.append(codes[positions])
        if self.first_empty is None and "" in self._table:
            self.first_empty = n_before + int(np.argmax(codes == self._table[""]))

    def ids(self) -> tuple[Array, Array]:
        """Return them, ascending, and the position in these of each code."""
        if not self.are_texts and all(map(_is_canonical_integer, self._table)):
            distinct: Array = np.fromiter(map(int, self._table), np.int64, len(self._table))
        else:
            distinct = np.fromiter(self._table, object, len(self._table))
        by_value = np.argsort(distinct, kind="stable")
        ranks = np.empty(len(distinct), dtype=np.int32)
        ranks[by_value] = np.arange(len(distinct))
        return distinct[by_value], ranks


class Columns:
    """What is read of one document after the other."""

    def __init__(self, column: Callable[[Any], Any] = InMemory) -> None:
        self.ids = IdColumn(column(np.int32)), IdColumn(column(np.int32))
        self.ratings, self.times = column(np.float64), column(np.int64)
        self.n_records, self.has_times, self.dtype = 0, True, np.dtype(np.float64)

    def add(self, users: Array, items: Array, ratings: Array, times: Array | None) -> None:
        """Add what is no text, and is checked."""
        for column, ids in zip(self.ids, (users, items), strict=True):
            column.are_texts |= ids.dtype.kind == "O"
            column.extend(ids, self.n_records)
        self.ratings.append(ratings)
        self.dtype = ratings.dtype
        self.has_times &= times is not None
        if times is not None:
            self.times.append(times)
        self.n_records += len(users)

    def read(self, document: Document, layout: Layout) -> None:
        n_before, are_dates = self.n_records, None
        self.has_times &= layout.place("timestamp") >= 0
        for user, item, *rest in _column_blocks(document, layout):
            for column, ids in zip(self.ids, (user, item), strict=True):
                column.extend(ids, self.n_records)
            has_ratings = layout.place("rating") >= 0
            self.ratings.append(
                _numbers(rest.pop(0), document) if has_ratings else np.ones(len(user))
            )
            if self.has_times:
                if are_dates is None:
                    are_dates = not isinstance(rest[0], np.ndarray) and is_date(rest[0][0])
                found, wrong = _times(rest[0], are_dates)
                self.times.append(found)
                if wrong is not None and layout.timestamp_required:
                    at = self.n_records - n_before + wrong + layout.header
                    line, fields = document.record(at)
                    raise document.error(
                        line,
                        f"the timestamp is {cut(fields[layout.columns[-1]])}; timestamps must all "
                        f"be numbers, or all ISO dates such as 2004-02-01. Correct it, or leave "
                        f"the timestamp out of columns=....",
                    )
                if wrong is not None:
                    logger.info("%s: not all timestamps are times, so none is read", document.label)
                    self.has_times = False
            self.n_records += len(user)
        if self.n_records == n_before:
            raise no_ratings(document.label)
        for role, column in zip(ROLES, self.ids, strict=False):
            if column.first_empty is not None:
                line, fields = document.record(column.first_empty - n_before + layout.header)
                raise document.error(
                    line,
                    f"the {role} id is empty in {cut(fields)}; correct or drop it.",
                )


def read_columns(
    document: Document, layout: Layout
) -> tuple[tuple[Array, Positions], tuple[Array, Positions], Array, Positions | None]:
    columns = Columns()
    columns.read(document, layout)
    times = columns.times.array() if columns.has_times else None
    found: list[Any] = []
    for column in columns.ids:
        ids, ranks = column.ids()
        found.append((ids, ranks[column.codes.array()]))
        del column.codes
    return found[0], found[1], columns.ratings.array(), times


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
    line = 1
    for number, text in enumerate(document.texts()):
        start = 0
        while layout.header and not number and line <= layout.first_line:
            start = (text.find("\n", start) + 1) or len(text)
            line += 1
        while start < len(text):
            stop = (text.find("\n", start + BLOCK_CHARACTERS) + 1) or len(text)
            yield line, text[start:stop].rstrip("\n")
            line += text.count("\n", start, stop)
            start = stop


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
