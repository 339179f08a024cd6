"""Who chose what: pairs of user and item, without a rating."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from autorec_np._types import Array
from autorec_np.data.columns import (
    TRIPLES,
    ColumnsRead,
    as_table,
    columns_read,
    find_ids,
    known_roles,
)
from autorec_np.data.ratings import Ratings, as_ratings, assemble
from autorec_np.data.values import (
    Positions,
    check_ids,
    check_lengths,
    check_timestamps,
    unique_with_positions,
)

_UNNAMED = ColumnsRead({"user": 0, "item": 1})


def as_interactions(data: Any) -> Ratings:
    """Return ratings, or interactions.

    Takes what `as_ratings` takes, and pairs of user and item: ``(users, items)``, a list of such
    pairs, an array or a table of these two columns, with or without times. A pair's value is then
    the number of its rows, its time that of the last.
    """
    if isinstance(data, Iterator):
        data = list(data)
    found = pairs_of(data)
    if found is None:
        return as_ratings(data)
    users, items, times, columns = found
    users, items = check_ids(users, "users"), check_ids(items, "items")
    times = None if times is None else check_timestamps(times)
    check_lengths(users=users, items=items, timestamps=times)
    return replace(count_pairs(users, items, times), columns=columns)


def count_pairs(users: Array, items: Array, times: Positions | None = None) -> Ratings:
    """Return how often each pair is there, with the time of the last."""
    (user_ids, rows), (item_ids, places) = map(unique_with_positions, (users, items))
    ones = np.ones(len(rows))
    R = assemble(rows, places, ones, times, user_ids, item_ids, (1.0, 1.0), "sum")
    counts = R.matrix.data
    return replace(R, scale=(float(counts.min()), float(counts.max())))


def are_pairs(ratings: Ratings) -> bool:
    """Return whether they were read as pairs, so that all of them say the same."""
    return ratings.columns is not None and "rating" not in ratings.columns.names


def pairs_of(data: Any) -> tuple[Any, Any, Any, ColumnsRead] | None:
    """Return users, items, times or None, and which columns were read; None: there are values."""
    if isinstance(data, tuple) and len(data) == 2:
        return *data, None, _UNNAMED
    if isinstance(data, list) and {isinstance(x, tuple) and len(x) == 2 for x in data} == {True}:
        users, items = zip(*data, strict=True)
        return users, items, None, _UNNAMED
    if isinstance(data, np.ndarray) and not data.dtype.names:
        is_pairs = data.ndim == 2 and data.shape[1] == 2 and data.dtype.kind in "iuOUT"
        return (*data.T, None, _UNNAMED) if is_pairs else None
    if isinstance(data, Ratings) or sparse.issparse(data) or (table := as_table(data)) is None:
        return None
    known, n_columns = known_roles(table.names or ()), len(table.columns)
    is_named = {"user", "item"} <= known.keys()
    is_pairs = n_columns == 2 and (is_named or table.kind not in ("dict", TRIPLES))
    has_times = n_columns == 3 and is_named and "timestamp" in known
    if "rating" in known or not (is_pairs or has_times):
        return None
    users, items = find_ids(table, ("user", "item"), "Rename them.")
    places = dict(known) if is_named else {"user": 0, "item": 1}
    times = table.columns[places["timestamp"]] if has_times else None
    read = columns_read(places, [table.title(place) for place in range(n_columns)])
    return users, items, times, read
