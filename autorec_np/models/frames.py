"""Forms of answers: pandas in and out, the best n of each row of scores, intervals.

pandas is never imported here: who passes its objects has done so.

Intervals are by split-conformal prediction (docs/derivation.md): score -+ q sigma, clipped to the
scale. Sigma is the usual distance of rating and score for such a pair, q the ceil((n + 1) level)-th
smallest distance / sigma of n held-out ratings of its group (Vovk, Gammerman and Shafer, 2005; Lei
et al., 2018). Groups: cold pairs, and users with at most 20, at most 100 and more training ratings.
One with too few held-out ratings has the largest q of the others.
"""

from __future__ import annotations

import math
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np._validation import check_number
from autorec_np.data.columns import as_table, find_ids
from autorec_np.data.entries import row_of_each
from autorec_np.data.ratings import Ratings

if TYPE_CHECKING:
    from pandas import DataFrame, Series

EDGES = (21, 101)  # a user's ratings, between groups
FEWEST = 50  # held-out ratings of a group with its own quantile
RIDGE = 10.0  # of sigma's coefficients
SMALLEST = 0.1  # mean distances, added before the logarithm

N_FEATURES, N_GROUPS = 6, len(EDGES) + 2

Scale = tuple[float, float]


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


class Calibration(NamedTuple):
    """log sigma = `features` @ `coefficients` (6,), and held-out `errors` (n,), distance / sigma.

    They ascend in each group, which begins at one of `starts` (n_groups + 1,), int64.
    """

    coefficients: Array
    errors: Array
    starts: Array

    def interval(
        self, level: float, scores: Array, user_counts: Array, item_counts: Array, scale: Scale
    ) -> tuple[Array, Array]:
        """Return both ends (n,)."""
        pairs = scores, user_counts, item_counts
        sigma = np.exp(features(*pairs, scale) @ self.coefficients)
        reach = self.quantiles(level)[groups(user_counts, item_counts)] * sigma
        return np.clip(scores - reach, *scale), np.clip(scores + reach, *scale)

    def quantiles(self, level: float) -> Array:
        """Return q of each group, which grows with `level`."""
        place, n = rank(level, len(self.errors)), len(self.errors)
        if place > n:
            least = math.ceil(level / (1 - level))
            raise ValueError(
                f"interval={level:g} needs {least} held-out ratings, and the model was calibrated "
                f"on {n}; call calibrate(ratings) with more, or ask for less."
            )
        parts = [self.errors[start:stop] for start, stop in pairwise(self.starts)]
        own = [
            part[min(rank(level, len(part)), len(part)) - 1] if len(part) >= FEWEST else 0.0
            for part in parts
        ]
        widest = max(np.partition(self.errors, place - 1)[place - 1], *own)
        enough = [len(part) >= max(FEWEST, rank(level, len(part))) for part in parts]
        return np.where(enough, own, widest)


def check_level(interval: object) -> float:
    try:
        return check_number("interval", interval, minimum=0, maximum=1, inclusive=(False, False))
    except ValueError as error:
        raise ValueError(f"{error} For 80 % of the ratings pass interval=0.8.") from None


def rank(level: float, n: int) -> int:
    """Return ceil((n + 1) level), safe from rounding."""
    return max(1, math.ceil((n + 1) * level - 1e-9))


def groups(user_counts: Array, item_counts: Array) -> Array:
    by_activity = 1 + np.digitize(user_counts, EDGES)
    return np.where((user_counts == 0) | (item_counts == 0), 0, by_activity)


def features(scores: Array, user_counts: Array, item_counts: Array, scale: Scale) -> Array:
    """Return (n, 6) what sigma depends on: activity, place on the scale, being cold."""
    low, high = scale
    place = (np.clip(scores, low, high) - low) / ((high - low) or 1.0)
    is_cold = groups(user_counts, item_counts) == 0
    activity = np.log1p(user_counts), np.log1p(item_counts)
    return np.stack((np.ones(len(scores)), *activity, place, place**2, is_cold), axis=1)


def calibrated_on(
    truth: Array, scores: Array, user_counts: Array, item_counts: Array, scale: Scale
) -> Calibration:
    """Calibrate on held-out ratings `truth` (n,) and their unclipped scores."""
    if len(truth) == 0:
        raise ValueError(
            "none of the held-out ratings is of a known user and item, and the model has "
            "cold='raise'; pass others, or set cold='baseline'."
        )
    low, high = scale
    truth = truth.astype(np.float64)
    outside = truth[(truth < low) | (truth > high)]
    if len(outside):
        raise ValueError(
            f"a held-out rating is {outside[0]:g}, outside the scale [{low:g}, {high:g}], which no "
            f"interval leaves; correct it, or leave it out."
        )
    beyond = ((truth == high) & (scores >= high)) | ((truth == low) & (scores <= low))
    distances = np.where(beyond, 0.0, np.abs(truth - scores))
    table = features(scores, user_counts, item_counts, scale)
    usual = np.log(distances + SMALLEST * (distances.mean() or 1.0))
    penalty = np.diag([0.0] + [RIDGE] * (table.shape[1] - 1))
    coefficients = np.linalg.solve(table.T @ table + penalty, table.T @ usual)
    errors, group = distances / np.exp(table @ coefficients), groups(user_counts, item_counts)
    order = np.lexsort((errors, group))
    starts = np.searchsorted(group[order], np.arange(N_GROUPS + 1))
    return Calibration(coefficients, errors[order], starts.astype(np.int64))
