"""`read_ratings`: a file of ratings, in one of the usual dialects -> `Ratings`, or an error."""

from __future__ import annotations

import dataclasses
import gzip
import numbers
import os
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from autorec_np._types import Array
from autorec_np._validation import check_choice
from autorec_np.data.columns import default_columns, known_roles
from autorec_np.data.entries import DUPLICATE_RULES, DuplicateRatingError
from autorec_np.data.ids import shown
from autorec_np.data.ratings import Ratings
from autorec_np.data.values import check_scale
from autorec_np.sources.fields import Layout, read_columns
from autorec_np.sources.text import WHITESPACE, Document, cut, decode, is_number, open_document

ROLES = ("user", "item", "rating", "timestamp")


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
    document = open_document(label, decode(raw, encoding, label), sep)
    del raw
    layout = _find_layout(document, header, columns)
    (user_ids, users), (item_ids, items), ratings, timestamps = read_columns(document, layout)
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


def _find_layout(
    document: Document, header: bool | None, columns: Sequence[str] | Sequence[int] | None
) -> Layout:
    line, fields = document.first_record()
    if columns is None:
        return _default_layout(document, header)
    # Asked for by name or position: each must be there, and timestamps must be integers.
    by_name = isinstance(columns[0], str)
    places = [_place(document, column) for column in columns]
    if header is None:
        header = by_name or _looks_like_header(fields, places[2])
    return Layout(header, line, len(fields), tuple(places), timestamp_required=True)


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


def _default_layout(document: Document, header: bool | None) -> Layout:
    line, fields = document.first_record()
    if len(fields) < 3:
        raise document.error(
            line,
            f"found {len(fields)} fields, {cut(fields)}; a line must hold a user, an item and a "
            f"rating. Correct the line, or pass sep=... (now {document.separator!r}).",
        )
    are_known = {"user", "item", "rating"} <= known_roles(fields).keys()
    if header is None:
        header = are_known or _looks_like_header(fields, 2)
    roles = default_columns(fields) if header else dict(zip(ROLES, range(3), strict=False))
    if roles is None:
        raise document.error(
            line,
            f"the header names {cut(fields)}, which does not tell the columns of user, item and "
            f"rating; pass columns=(user, item, rating), by name or by position from 0.",
        )
    if not (header and are_known) and len(fields) > 3:
        roles.setdefault("timestamp", 3)
    places = tuple(roles[role] for role in ROLES if role in roles)
    return Layout(header, line, len(fields), places, timestamp_required=False)


def _looks_like_header(fields: list[str], rating_place: int) -> bool:
    return fields[rating_place] != "" and not any(map(is_number, fields))


def _check_ratings(
    ratings: Array, document: Document, layout: Layout, bounds: tuple[float, float]
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
        f"the rating is {cut(fields[layout.columns[2]])}, but {need}; {int(wrong.sum()):,} of "
        f"{len(wrong):,} ratings are wrong. {act}.",
    )
