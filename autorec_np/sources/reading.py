"""`read_ratings`: files of ratings in the usual forms."""

from __future__ import annotations

import dataclasses
import numbers
import os
import re
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from autorec_np._text import knows_habits
from autorec_np._types import Array
from autorec_np._validation import check_choice, check_integer
from autorec_np.data.columns import ROLES, check_three_or_four, columns_read
from autorec_np.data.entries import DUPLICATE_RULES, DuplicateRatingError, frozen
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.values import check_missing, check_scale, is_rating, remedy, shown
from autorec_np.sources.fields import NO_RATING, Found, Layout, find_layout, read_columns
from autorec_np.sources.text import (
    DEFAULT_MAX_BYTES,
    Dialect,
    Document,
    Lines,
    cut,
    decode,
    frame_of_parquet,
    lines_of,
    make_document,
    open_document,
    read_source,
    refuse_binary,
    refuse_text,
    without_mark,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
        ``"-"`` is standard input. Gzip, bzip2, xz and zip are unpacked. Matrix Market (its ids
        count from 1), the blocks of the Netflix prize and Parquet are read too.
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
        Begins lines to leave out.
    skip_lines : int
        How many to leave out at the start.
    quoting : bool, optional
        False: quotes are plain characters. True: a quoted field may hold anything; by default no
        lines of ratings.
    encoding : str
        A mark of UTF-16 or UTF-32 decides.
    member : str, optional
        The file in a zip archive of several.
    max_bytes : int or None
        The most to unpack, or to read from a stream. None: no bound.

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
            return _from_frame(frame, label, scale, duplicates, columns, missing)
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


def _from_frame(
    frame: Any,
    label: str,
    scale: tuple[float, float] | None,
    duplicates: str,
    columns: Sequence[Any] | None,
    missing: ArrayLike,
) -> Ratings:
    try:
        return as_ratings(
            frame, scale=scale, duplicates=duplicates, columns=columns, missing=missing
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{label}: {error}") from error


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
