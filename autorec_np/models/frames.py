"""pandas in, the best n of each row of scores, pandas out.

pandas is never imported here: who passes its objects has done so.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np.data.columns import as_table, find_ids
from autorec_np.data.entries import row_of_each
from autorec_np.data.ratings import Ratings

if TYPE_CHECKING:
    from pandas import DataFrame, Series


def is_frame(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def is_pandas(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series | pandas.Index)


def id_columns(frame: Any, *roles: str) -> list[Any]:
    """Return columns of roles such as "user", as `as_ratings` finds them."""
    found = as_table(frame)
    if found is None:
        raise TypeError(f"{type(frame).__name__} has no columns; pass a DataFrame of ids.")
    advice = "Rename them (and call reset_index() where an id is in the index)."
    return find_ids(found, roles, advice)


def asked_pairs(asked: Any) -> tuple[Any, Any, Any]:
    """Return users and items of one object, and it if it is a DataFrame."""
    if isinstance(asked, Ratings):
        users, items, _ = asked.triples()
        return users, items, None
    if as_table(asked) is None:
        raise TypeError(
            f"predict needs users and items, a DataFrame with these columns, or Ratings, got one "
            f"{type(asked).__name__}; call predict(users, items)."
        )
    users, items = id_columns(asked, "user", "item")
    return users, items, asked if is_frame(asked) else None


def first_of_each(users: Any, positions: Array) -> tuple[Any, Array]:
    _, first = np.unique(positions, return_index=True)
    first.sort()
    return users.take(first), positions[first]


def predictions(values: Array, frame: DataFrame, name: str = "prediction") -> Series[Any]:
    series: Series[Any] = sys.modules["pandas"].Series(values, index=frame.index, name=name)
    return series


def table(values: Array, rows: Array, columns: Array, axes: tuple[str, str]) -> DataFrame:
    pandas = sys.modules["pandas"]
    index, header = (
        pandas.Index(ids, dtype=ids.dtype, name=name)
        for ids, name in zip((rows, columns), axes, strict=True)
    )
    frame: DataFrame = pandas.DataFrame(values, index=index, columns=header)
    return frame


def recommendations(
    axes: tuple[str, str],
    asked: Any,
    known: Array,
    best: Array,
    scores: Array,
    cold: tuple[Array, Array],
) -> DataFrame:
    """Return a frame with a row for each recommendation.

    `axes` names the columns of ids: `asked` (m,), and `known` (n,), in which `best` are positions;
    `cold`: which of both have no ratings.
    """
    pandas = sys.modules["pandas"]
    rows, ranks = np.nonzero(scores > -np.inf)
    columns = best[rows, ranks]
    if not is_pandas(asked):
        asked = pandas.Series(asked, dtype=asked.dtype)
    found = {
        axes[0]: pandas.Series(asked.array.take(rows)),
        axes[1]: pandas.Series(known[columns], dtype=known.dtype),
        "rank": ranks + 1,
        "score": scores[rows, ranks],
        "cold": cold[0][rows] | cold[1][columns],
    }
    frame: DataFrame = pandas.DataFrame(found)
    return frame


def top_n(scores: Array, n: int, excluded: CSR | None = None) -> tuple[Array, Array]:
    """Return columns and scores, (n_rows, min(n, n_columns)), of each row's highest, best first.

    Equal scores go by ascending column. `scores` gets -inf where `excluded` is stored.
    """
    if excluded is not None:
        scores[row_of_each(excluded), excluded.indices] = -np.inf
    n = min(n, scores.shape[1])
    columns = np.empty((scores.shape[0], n), np.int64)
    for row, target in zip(scores, columns, strict=True):
        target[:] = _best_of_row(row, n)
    return columns, np.take_along_axis(scores, columns, axis=1)


def _best_of_row(row: Array, n: int) -> Array:
    # np.argpartition would break ties freely
    threshold = np.partition(row, len(row) - n)[len(row) - n]
    above = np.flatnonzero(row > threshold)
    level = np.flatnonzero(row == threshold)[: n - len(above)]
    chosen = np.concatenate((above, level))
    return chosen[np.lexsort((chosen, -row[chosen]))]
