"""Read a file of ratings: text in one of the usual dialects -> `Ratings`, or an error with a line.

The text is cut into blocks of whole lines, and each block goes the fastest way that fits it, all
three with the same result: `_split_numbers` where all fields are plain numbers, `_split_strings`
where every line has the same number of fields, and `_Document.records`, one record at a time, for
the rest: blank lines, quoted fields and errors, which need a line number. Ids are collected in a
table of distinct strings, so whether a column holds integers is decided by looking at each distinct
id once, exactly as it is written.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import itertools
import logging
import numbers
import os
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import methodcaller
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autorec_np._validation import check_choice
from autorec_np.data.ratings import (
    DUPLICATE_RULES,
    DuplicateRatingError,
    Ratings,
    check_scale,
    default_columns,
    known_roles,
    shown,
    sort_codes,
    unique_with_positions,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Integers: TypeAlias = NDArray[np.int64]
    Column: TypeAlias = Sequence[str] | Array
    Record: TypeAlias = tuple[int, list[str]]

logger = logging.getLogger(__name__)

WHITESPACE = "whitespace"
_SEPARATORS = ("::", "\t", ",", ";", "|", WHITESPACE)
_ROLES = ("user", "item", "rating", "timestamp")
_BLOCK_CHARACTERS = 1 << 24
_CHUNK_RECORDS = 1 << 17
_SAMPLE_SIZE = 20
_NUMBER_CHARACTERS = "0123456789.eE+-"
_MAGIC = {
    b"\x1f\x8b": "it looks like a gzip file: give it a name that ends in .gz",
    b"PK\x03\x04": "it looks like a zip archive: give it a name that ends in .zip",
    b"\xff\xfe": "it looks like UTF-16: pass encoding='utf-16'",
    b"\xfe\xff": "it looks like UTF-16: pass encoding='utf-16'",
}


def read_ratings(
    path: str | os.PathLike[str],
    *,
    sep: str | None = None,
    header: bool | None = None,
    columns: Sequence[str] | Sequence[int] | None = None,
    scale: tuple[float, float] | None = None,
    duplicates: str = "raise",
    encoding: str = "utf-8",
    member: str | None = None,
) -> Ratings:
    """Read ratings from a text file, one per line: user, item, rating and, optionally, timestamp.

    Parameters
    ----------
    path : str or path-like
        A text file; compressed if its name ends in ``.gz`` or ``.zip``.
    sep : str, optional
        What separates the fields: any string, or ``"whitespace"`` for runs of spaces and tabs.
        By default the first of ``::``, tab, comma, semicolon, ``|`` and whitespace which splits
        each of the first 20 lines into the same number of fields, at least three, one of them a
        number in the last of these lines; where none does, the first that splits the first line
        into three or more.
        With a separator of one character, fields may be quoted as in CSV (``"a ""b"", c"``).
    header : bool, optional
        Whether the first line names the columns. By default it does if `columns` are names, if it
        holds well-known names (see `columns`), or if none of its fields is a number and the one in
        the place of the rating is not empty.
    columns : sequence of three or four str or int, optional
        The columns of user, item, rating and timestamp, by name or by position from 0. By default
        the header's well-known names decide (user, userId, user_id, item, itemId, movieId, rating,
        timestamp and the like, in any letter case), else the order: the first three columns. A
        timestamp that is not asked for by `columns` is read if there is a column of that name, or
        without such names a fourth column, and all of it is integers.
    scale : (low, high), optional
        The rating scale. A rating outside it is an error. Default: the ratings' range.
    duplicates : {"raise", "first", "last", "mean"}
        What to do where a (user, item) pair occurs more than once; see `Ratings.from_triples`.
    encoding : str
        Of the text. A byte-order mark is skipped.
    member : str, optional
        The file to read in a zip archive that holds more than one.

    Returns
    -------
    Ratings
        In the order of the file. A column of ids that are *all* canonical decimal integers (no
        leading zeros or plus sign, within int64) becomes int64; any other column stays strings,
        exactly as they are in the file: "007", "NA" and " x " are ids. An explicit 0 is a rating.

    Raises
    ------
    ValueError
        The file is empty, binary, not in the stated encoding or a damaged archive; a line has too
        few or too many fields, an empty id, a rating that is not a finite number or is outside the
        scale; or a pair is rated twice. The message names the file and the line (from 1; blank
        lines, which are skipped, count) and says what to do.
    OSError
        The file cannot be opened.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "ratings.csv")
    >>> _ = path.write_text("userId,movieId,rating\\n1,007,4.5\\n1,NA,3\\n")
    >>> R = read_ratings(path)
    >>> R
    Ratings(2 ratings, 1 users x 2 items, 100 % filled, scale 3-4.5)
    >>> R.user_ids, R.item_ids
    (array([1]), array(['007', 'NA'], dtype=object))
    """
    check_choice("header", header, (None, True, False))
    check_choice("duplicates", duplicates, DUPLICATE_RULES)
    bounds = check_scale(scale)
    _check_separator(sep)
    _check_columns(columns, header)
    label, raw = _read_bytes(os.fsdecode(path), member)
    document = _open_document(label, _decode(raw, encoding, label), sep)
    del raw
    layout = _find_layout(document, header, columns)
    (user_ids, users), (item_ids, items), ratings, timestamps = _read_columns(document, layout)
    _check_ratings(ratings, document, layout, bounds)
    try:
        R = Ratings.from_triples(
            users, items, ratings, timestamps, scale=scale, duplicates=duplicates
        )
    except DuplicateRatingError as error:
        first, _ = document.record(error.first + layout.header)
        second, _ = document.record(error.second + layout.header)
        raise document.error(
            second,
            f"user {shown(user_ids[users[error.second]])} rates item "
            f"{shown(item_ids[items[error.second]])} again, first rated on line {first:,}; "
            f"{error.n_repeats:,} of {len(ratings):,} ratings repeat an earlier pair. A pair has "
            f"one rating: correct the file, or pass duplicates='last' (or 'first' or 'mean').",
        ) from None
    # Every position occurs, in ascending order of the ids: only the labels are missing.
    return dataclasses.replace(R, user_ids=user_ids, item_ids=item_ids)


@dataclasses.dataclass(frozen=True)
class _Document:
    """The text of a file, with what is needed to split it into records."""

    label: str
    text: str
    separator: str
    quoted: bool

    def error(self, line: int, message: str) -> ValueError:
        return ValueError(f"{self.label}, line {line:,}: {message}")

    def records(self, block: str | None = None, line: int = 1) -> Iterator[Record]:
        """Yield ``(line number, fields)`` of every record that is not blank: slow, but exact.

        Of the whole text, or of a block of it that starts on the given line.
        """
        text = self.text if block is None else block
        for number, fields in self._quoted(text) if self.quoted else self._plain(text, line):
            if len(fields) > 1 or "".join(fields).strip(" \t"):
                yield number, fields

    def _plain(self, text: str, line: int) -> Iterator[Record]:
        for number, match in enumerate(re.finditer(r"[^\n]*\n|[^\n]+", text), line):
            yield number, match.group().removesuffix("\n").split(self.separator)

    def _quoted(self, text: str) -> Iterator[Record]:
        lines = re.finditer(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)
        reader = csv.reader(
            (match.group() for match in lines), delimiter=self.separator, strict=True
        )
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self.error(
                    line,
                    f"a quoted field is malformed ({error}). A quoted field ends with a quote "
                    f"right before the separator; double a quote that belongs to it.",
                ) from None
            yield line, fields

    def first_record(self) -> Record:
        for record in self.records():
            return record
        raise _empty(self.label)

    def record(self, index: int) -> Record:
        """Return the record of that index; a header has index 0."""
        return next(itertools.islice(self.records(), index, None))


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Where the columns are. ``columns`` holds user, item, rating and perhaps timestamp."""

    header: bool
    first_line: int
    n_fields: int
    columns: tuple[int, ...]
    timestamp_required: bool


class _IdColumn:
    """A column of ids: codes into the table of its distinct strings, in order of arrival."""

    def __init__(self) -> None:
        self._table: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        self._parts: list[Integers] = []

    def extend(self, ids: Column) -> None:
        """Add ids: strings, or an int64 array, which stands for canonical decimals."""
        if isinstance(ids, np.ndarray):
            unique, positions = unique_with_positions(ids)
            self._parts.append(self._codes(list(map(str, unique.tolist())))[positions])
        else:
            self._parts.append(self._codes(ids))

    def _codes(self, ids: Sequence[str]) -> Integers:
        return np.fromiter(map(self._table.__getitem__, ids), dtype=np.int64, count=len(ids))

    def first_empty(self) -> int | None:
        """Return the index of the first empty id, if any."""
        if "" not in self._table:
            return None
        return int(np.argmax(np.concatenate(self._parts) == self._table[""]))

    def finish(self) -> tuple[Array, Integers]:
        """Return the unique ids, ascending and read-only, and the position of each id there."""
        if all(map(_is_canonical_integer, self._table)):
            distinct: Array = np.fromiter(map(int, self._table), np.int64, len(self._table))
        else:
            distinct = np.fromiter(self._table, object, len(self._table))
        unique, positions = sort_codes(distinct, np.concatenate(self._parts))
        unique.flags.writeable = False
        return unique, positions


def _check_separator(sep: str | None) -> None:
    if sep is None or sep == WHITESPACE:
        return
    if not isinstance(sep, str):
        raise TypeError(f"sep must be a string or None, got {type(sep).__name__}.")
    if not sep or set(sep) & set('"\n\r\0'):
        raise ValueError(
            f"sep must be a non-empty string without quotes and line ends, got {sep!r}; pass "
            f"',', '\\t', '::' or 'whitespace' for example."
        )


def _check_columns(columns: Sequence[str] | Sequence[int] | None, header: bool | None) -> None:
    if columns is None:
        return
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        raise TypeError(f"columns must be a sequence of names or positions, got {columns!r}.")
    if len(columns) not in (3, 4) or len(set(columns)) < len(columns):
        raise ValueError(
            f"columns must be three or four different columns (user, item, rating and perhaps "
            f"timestamp), got {list(columns)}."
        )
    if all(isinstance(column, str) for column in columns):
        if header is False:
            raise ValueError(
                "columns are names but header=False; pass positions, counted from 0, instead."
            )
    elif not all(isinstance(column, numbers.Integral) and column >= 0 for column in columns):
        raise ValueError(
            f"columns must be all names or all positions, counted from 0, got {list(columns)}."
        )


def _read_bytes(path: str, member: str | None) -> tuple[str, bytes]:
    """Return the name by which messages call the file, and its uncompressed content."""
    suffix = os.path.splitext(path)[1].lower()
    if member is not None and suffix != ".zip":
        raise ValueError(f"{path}: member={member!r} is for zip archives only; leave it out.")
    if suffix == ".zip":
        return _read_member(path, member)
    with open(path, "rb") as file:
        raw = file.read()
    if suffix != ".gz":
        return path, raw
    try:
        return path, gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}: not a complete gzip file ({error}); fetch it again, or take .gz off its name "
            f"if it is not compressed."
        ) from None


def _read_member(path: str, member: str | None) -> tuple[str, bytes]:
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = [name for name in archive.namelist() if not name.endswith("/")]
                if member is None and len(members) == 1:
                    member = members[0]
                if member in members:
                    return f"{path} ({member})", archive.read(member)
        except Exception as error:  # zipfile reports damage in a dozen ways
            raise ValueError(
                f"{path}: the zip archive cannot be read ({error}); fetch it again."
            ) from None
    found = "nothing" if not members else ", ".join(map(repr, members[:20]))
    asked = "it must hold exactly one file" if member is None else f"it holds no {member!r}"
    raise ValueError(
        f"{path}: {asked}; it holds {found}{', ...' if len(members) > 20 else ''}. Pass "
        f"member=... to choose one."
    )


def _decode(raw: bytes, encoding: str, label: str) -> str:
    hint = next((text for magic, text in _MAGIC.items() if raw.startswith(magic)), None)
    try:
        text = raw.decode(encoding)
    except LookupError:
        raise ValueError(
            f"{label}: unknown text encoding {encoding!r}; pass 'utf-8' or 'latin-1' for example."
        ) from None
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = len(re.findall(rb"\r\n|\r|\n", raw[:start])) + 1
        raise ValueError(
            f"{label}, line {line:,}: the byte 0x{raw[start : start + 1].hex()} is not valid "
            f"{encoding}; {hint or 'pass the encoding of the file, latin-1 for example'}."
        ) from None
    nul = text.find("\0")
    if nul >= 0:
        raise ValueError(
            f"{label}, line {_line_at(text, nul):,}: a NUL character, so this is not a text file; "
            f"{hint or 'check the file and its encoding'}."
        )
    return text.removeprefix("\ufeff")


def _line_at(text: str, position: int) -> int:
    return len(re.findall(r"\r\n|\r|\n", text[:position])) + 1


def _empty(label: str) -> ValueError:
    return ValueError(
        f"{label}: the file holds no ratings; each line must hold a user, an item and a rating."
    )


def _open_document(label: str, text: str, separator: str | None) -> _Document:
    lines = (match for match in re.finditer(r"[^\r\n]+", text) if match.group().strip(" \t"))
    sample = list(itertools.islice(lines, _SAMPLE_SIZE))
    if not sample:
        raise _empty(label)
    if separator is None:
        separator = _sniff_separator(text, text[: sample[-1].end()])
    if separator is None:
        raise ValueError(
            f"{label}, line {_line_at(text, sample[0].start()):,}: no separator makes three fields "
            f"of {_cut(sample[0].group())}; each line must hold a user, an item and a rating. Pass "
            f"sep=... if the separator is none of {', '.join(map(repr, _SEPARATORS))}."
        )
    return _make_document(label, text, separator)


def _sniff_separator(text: str, head: str) -> str | None:
    """Return the separator that suits the first records; the head of the text holds these.

    Quoted fields may hold line ends, so that records with quotes are read from the whole text.
    """
    candidates = {}
    for separator in _SEPARATORS:
        quoted = '"' in head and len(separator) == 1
        document = _make_document("", text if quoted else head, separator)
        records: list[list[str]] = []
        with contextlib.suppress(ValueError):  # a malformed quoted field ends the sample
            for _, fields in itertools.islice(document.records(), _SAMPLE_SIZE):
                records.append(fields)
        if records and len(records[0]) >= 3:
            candidates[separator] = records
    for separator, records in candidates.items():
        if len(set(map(len, records))) == 1 and any(map(_is_number, records[-1])):
            return separator
    return next(iter(candidates), None)


def _make_document(label: str, text: str, separator: str) -> _Document:
    quoted = '"' in text and len(separator) == 1
    if not quoted:
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = text.rstrip("\n")
    if separator == WHITESPACE:
        separator, text = " ", _collapse(text)
    return _Document(label, text, separator, quoted)


def _collapse(text: str) -> str:
    """Make every run of spaces and tabs one space, and take it off the ends of lines."""
    text = text.replace("\t", " ")
    if "  " in text:
        text = re.sub(" +", " ", text)
    return text.replace("\n ", "\n").replace(" \n", "\n").strip(" ")


def _find_layout(
    document: _Document, header: bool | None, columns: Sequence[str] | Sequence[int] | None
) -> _Layout:
    line, fields = document.first_record()
    if columns is None:
        return _default_layout(document, header)
    # Asked for by name or position: each must be there, and timestamps must be integers.
    by_name = isinstance(columns[0], str)
    places = [_place(document, column) for column in columns]
    if header is None:
        header = by_name or _looks_like_header(fields, places[2])
    return _Layout(header, line, len(fields), tuple(places), timestamp_required=True)


def _place(document: _Document, column: str | int) -> int:
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
        f"{problem}; the first line holds {len(fields)} fields: {_cut(fields)}. Correct "
        f"columns=..., or pass sep=... (now {document.separator!r}).",
    )


def _default_layout(document: _Document, header: bool | None) -> _Layout:
    line, fields = document.first_record()
    if len(fields) < 3:
        raise document.error(
            line,
            f"found {len(fields)} fields, {_cut(fields)}; a line must hold a user, an item and a "
            f"rating. Correct the line, or pass sep=... (now {document.separator!r}).",
        )
    are_known = {"user", "item", "rating"} <= known_roles(fields).keys()
    if header is None:
        header = are_known or _looks_like_header(fields, 2)
    roles = default_columns(fields) if header else dict(zip(_ROLES, range(3), strict=False))
    if roles is None:
        raise document.error(
            line,
            f"the header names {_cut(fields)}, which does not tell the columns of user, item and "
            f"rating; pass columns=(user, item, rating), by name or by position from 0.",
        )
    if not (header and are_known) and len(fields) > 3:
        roles.setdefault("timestamp", 3)
    places = tuple(roles[role] for role in _ROLES if role in roles)
    return _Layout(header, line, len(fields), places, timestamp_required=False)


def _looks_like_header(fields: list[str], rating_place: int) -> bool:
    return fields[rating_place] != "" and not any(map(_is_number, fields))


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _read_columns(
    document: _Document, layout: _Layout
) -> tuple[tuple[Array, Integers], tuple[Array, Integers], Array, Integers | None]:
    """Return users and items, ratings (NaN where not a number) and timestamps, in file order.

    Users and items each are unique ids, ascending, and positions among these.
    """
    ids = {"user": _IdColumn(), "item": _IdColumn()}
    ratings: list[Array] = []
    timestamps: list[Integers] | None = [] if len(layout.columns) == 4 else None
    n_records = 0
    for user, item, rating, *rest in _column_blocks(document, layout):
        ids["user"].extend(user)
        ids["item"].extend(item)
        ratings.append(_numbers(rating))
        if timestamps is not None:
            times, wrong = _integers(rest[0])
            if wrong is None:
                timestamps.append(times)
            elif layout.timestamp_required:
                line, fields = document.record(n_records + wrong + layout.header)
                raise document.error(
                    line,
                    f"the timestamp is {_cut(fields[layout.columns[3]])}; timestamps must be "
                    f"integers. Correct it, or leave the timestamp out of columns=....",
                )
            else:
                logger.info("%s: not all timestamps are integers, so none is read", document.label)
                timestamps = None
        n_records += len(user)
    if n_records == 0:
        raise _empty(document.label)
    for role, column in ids.items():
        empty = column.first_empty()
        if empty is not None:
            line, fields = document.record(empty + layout.header)
            raise document.error(
                line,
                f"the {role} id is empty in {_cut(fields)}; every rating needs a user and an item. "
                f"Correct or drop this line.",
            )
    return (
        ids["user"].finish(),
        ids["item"].finish(),
        np.concatenate(ratings),
        None if timestamps is None else np.concatenate(timestamps),
    )


def _column_blocks(document: _Document, layout: _Layout) -> Iterator[list[Column]]:
    """Yield the wanted columns, block after block, without the header."""
    if document.quoted:
        records = itertools.islice(document.records(), int(layout.header), None)
        yield from _columns_of_records(records, document, layout)
        return
    for line, block in _blocks(document, layout):
        columns = _split_numbers(block, document.separator, layout)
        if columns is None:
            columns = _split_strings(block, document.separator, layout)
        if columns is not None:
            yield columns
        else:
            yield from _columns_of_records(document.records(block, line), document, layout)


def _blocks(document: _Document, layout: _Layout) -> Iterator[tuple[int, str]]:
    """Yield ``(line number, whole lines)``, without the header."""
    text, start, line = document.text, 0, 1
    while layout.header and line <= layout.first_line:
        start = (text.find("\n", start) + 1) or len(text)
        line += 1
    while start < len(text):
        stop = text.find("\n", start + _BLOCK_CHARACTERS)
        stop = len(text) if stop < 0 else stop
        block = text[start:stop]
        yield line, block
        start, line = stop + 1, line + block.count("\n") + 1


def _split_numbers(block: str, separator: str, layout: _Layout) -> list[Column] | None:
    """Return the wanted columns as numbers; None if a field is not a plain number.

    Plain are canonical non-negative integers, and decimal fractions in the ratings' column, of at
    most 15 characters: float64 holds these exactly, or correctly rounded as ``float`` does.
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


def _split_strings(block: str, separator: str, layout: _Layout) -> list[Column] | None:
    """Return the wanted columns; None if a line has another number of fields (or is blank)."""
    # NUL does not occur in the text, so replacing cannot join a separator from two fields' ends.
    block = block.replace(separator, "\0")
    if set(map(methodcaller("count", "\0"), block.split("\n"))) != {layout.n_fields - 1}:
        return None
    fields = block.replace("\n", "\0").split("\0")
    return [fields[place :: layout.n_fields] for place in layout.columns]


def _columns_of_records(
    records: Iterator[Record], document: _Document, layout: _Layout
) -> Iterator[list[Column]]:
    checked = (_check_length(record, document, layout) for record in records)
    # Chained at once, so that no list of records lives long enough to burden the collector.
    while flat := list(itertools.chain.from_iterable(itertools.islice(checked, _CHUNK_RECORDS))):
        yield [flat[place :: layout.n_fields] for place in layout.columns]


def _check_length(record: Record, document: _Document, layout: _Layout) -> list[str]:
    line, fields = record
    if len(fields) != layout.n_fields:
        raise document.error(
            line,
            f"found {len(fields)} fields, {_cut(fields)}, but line {layout.first_line:,} has "
            f"{layout.n_fields}; every line must have as many. Correct the line, or pass sep=... "
            f"(now {document.separator!r}).",
        )
    return fields


def _is_integer(token: str) -> bool:
    return bool(re.fullmatch("-?[0-9]{1,40}", token)) and -(2**63) <= int(token) < 2**63


def _is_canonical_integer(token: str) -> bool:
    return _is_integer(token) and str(int(token)) == token


def _integers(column: Column) -> tuple[Integers, int | None]:
    """Return a column of integers, and the index of the first field that is not one, if any."""
    if isinstance(column, np.ndarray):
        return column, None
    digits = "".join(column).replace("-", "")
    if digits.isascii() and digits.isdigit():
        with contextlib.suppress(ValueError, OverflowError):
            return np.array(list(map(int, column)), dtype=np.int64), None
    wrong = next(index for index, token in enumerate(column) if not _is_integer(token))
    return np.empty(0, dtype=np.int64), wrong


def _numbers(column: Column) -> Array:
    if isinstance(column, np.ndarray):
        return column
    if not "".join(column).strip(_NUMBER_CHARACTERS):
        with contextlib.suppress(ValueError):
            return np.fromiter(map(float, column), dtype=np.float64, count=len(column))
    return np.fromiter(map(_number, column), dtype=np.float64, count=len(column))


def _number(token: str) -> float:
    """Return the number that the token writes in plain ASCII, or NaN."""
    if token.strip(_NUMBER_CHARACTERS):
        return float("nan")
    try:
        return float(token)
    except ValueError:
        return float("nan")


def _check_ratings(
    ratings: Array, document: _Document, layout: _Layout, bounds: tuple[float, float]
) -> None:
    """Raise on the first rating that `Ratings` would refuse, as it stands in the file."""
    low, high = bounds
    with np.errstate(over="ignore"):
        stored = ratings.astype(np.float32)
    not_finite = ~np.isfinite(stored)
    wrong = not_finite | (stored < np.float32(low)) | (stored > np.float32(high))
    if not wrong.any():
        return
    index = int(np.argmax(wrong))
    if not_finite[index]:
        need = "a rating must be a finite number such as 3 or 4.5, with nothing around it"
        act = "Correct or drop these lines"
    else:
        need = f"the stated scale is [{low:g}, {high:g}]"
        act = "Correct these lines, or pass another scale"
    line, fields = document.record(index + layout.header)
    raise document.error(
        line,
        f"the rating is {_cut(fields[layout.columns[2]])}, but {need}; {int(wrong.sum()):,} of "
        f"{len(wrong):,} ratings are wrong. {act}.",
    )


def _cut(value: object, length: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."
