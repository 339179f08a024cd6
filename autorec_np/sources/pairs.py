"""Files of who chose what: pairs of a user and an item, without a rating."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from autorec_np._types import Array
from autorec_np.data.clicks import as_interactions, count_pairs
from autorec_np.data.columns import UndecidedColumns, columns_read, decide, known_roles
from autorec_np.data.entries import frozen
from autorec_np.data.ratings import Ratings
from autorec_np.data.values import as_numbers
from autorec_np.sources.layout import SAMPLE_RECORDS, Layout, check_length, place_of
from autorec_np.sources.reading import read_columns, read_ratings
from autorec_np.sources.text import Document, OnlyPairs, cut

_OF_RATINGS = ("scale", "duplicates", "missing", "decimal")


def read_interactions(path: str | os.PathLike[str] | IO[Any], **options: Any) -> Ratings:
    """Read pairs of user and item, one in each line; a file with ratings as `read_ratings`.

    A pair is stored once, with the number of its lines, and the time of the last.

    Parameters
    ----------
    path : str, path-like, or an open file of bytes or text
    **options
        Those of `read_ratings`. ``columns=(user, item)`` reads two of more columns. Names decide
        which column is which, else the user is the first; there may be a third, named as a time.

    Raises
    ------
    ValueError, OSError
        As `read_ratings`; an option that is for ratings only.
    """
    try:
        return read_ratings(path, **options)
    except OnlyPairs as error:
        source, label = error.source, error.label
    for name in _OF_RATINGS:
        if options.get(name) is not None:
            raise ValueError(f"{label}: {name}=... is for ratings, which it has none of.")
    if not isinstance(source, Document):
        return as_interactions(source)
    return _read(source, options.get("header"), options.get("columns"))


def _read(document: Document, header: bool | None, columns: Sequence[Any] | None) -> Ratings:
    sample = list(itertools.islice(document.records(), SAMPLE_RECORDS + 1))
    line, fields = sample[0]
    layout = Layout(False, line, len(fields), (), timestamp_required=False)
    rows = [check_length(one, document, layout) for one in sample]
    if columns is None:
        try:
            has_header, user, item = find_pairs(rows, header)
        except ValueError as error:
            raise document.error(line, str(error)) from None
    else:
        user, item = (place_of(document, column) for column in columns)
        has_header = isinstance(columns[0], str) or bool(header)
        if header is None and not has_header:
            has_header = _has_header([[row[user], row[item]] for row in rows])
    places = {"user": user, "item": item}
    known = known_roles(fields) if columns is None and has_header else {}
    if "timestamp" in known:
        places["timestamp"] = known["timestamp"]
    layout = dataclasses.replace(
        layout, header=has_header, columns=tuple(places.values()), roles=tuple(places)
    )
    (user_ids, users), (item_ids, items), _, times = read_columns(document, layout)
    if times is None:
        places.pop("timestamp", None)
    R = count_pairs(users, items, times)
    return dataclasses.replace(
        R,
        user_ids=frozen(user_ids[R.user_ids]),  # which are positions
        item_ids=frozen(item_ids[R.item_ids]),
        columns=columns_read(places, fields if has_header else range(len(fields))),
    )


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row names columns: as ids, or numbers by words."""
    first = rows[0]
    alike = [row for row in rows[1 : SAMPLE_RECORDS + 1] if len(row) == len(first)]
    numbers = [as_numbers(np.array(column, dtype=object)) for column in zip(*alike, strict=True)]
    return {"user", "item"} <= known_roles(first).keys() or any(
        column is not None
        and as_numbers(np.array([name], dtype=object)) is None
        and not re.fullmatch(r"[-+.\d]+", name)  # 007
        for name, column in zip(first, numbers, strict=False)
    )


def find_pairs(rows: Sequence[Sequence[str]], header: bool | None = None) -> tuple[bool, int, int]:
    """Return whether rows of text have a header, and the places of users and items."""
    if not rows:
        return False, 0, 1
    first = rows[0]
    has_header = _has_header(rows) if header is None else header
    if len(first) < 2:
        return has_header, 0, 1
    alike = [row for row in rows[1 : SAMPLE_RECORDS + 1] if len(row) == len(first)]
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
