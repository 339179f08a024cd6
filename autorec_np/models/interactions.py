"""Who chose what: two columns are read, and lists are made of it.

What models for lists share. Their scores rank items and are no ratings.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np._validation import check_choice, check_number
from autorec_np.core.kernels import take_rows
from autorec_np.data.columns import TRIPLES, as_table, columns_read, find_ids, known_roles
from autorec_np.data.ratings import Ratings, assemble
from autorec_np.data.values import (
    check_ids,
    check_lengths,
    check_timestamps,
    unique_with_positions,
)
from autorec_np.models.base import Record, Self, check_fitted, chunks, to_learn
from autorec_np.models.newcomers import FoldIn, score_new

VALUES = ("binary", "counts")
_NO_RATINGS = (
    "the scores of {} rank items and are no ratings, so they have no {}; measure its lists by "
    "autorec_np.evaluate_ranking(model, test)."
)

logger = logging.getLogger(__name__)


def to_interactions(data: Any) -> tuple[Ratings, bool]:
    """Return interactions, of which there are some, and whether their ids are indices.

    Takes what `as_ratings` takes, and pairs of user and item: ``(users, items)``, a list of such
    pairs, an array or a table of these two columns, with or without times. A pair's value is then
    the number of its rows, its time that of the last.
    """
    if isinstance(data, Iterator):
        data = list(data)
    found = _pairs(data)
    if found is None:
        return to_learn(data)
    users, items, times, columns = found
    users, items = check_ids(users, "users"), check_ids(items, "items")
    times = None if times is None else check_timestamps(times)
    check_lengths(users=users, items=items, timestamps=times)
    (user_ids, rows), (item_ids, places) = map(unique_with_positions, (users, items))
    ones = np.ones(len(rows))
    R = assemble(rows, places, ones, times, user_ids, item_ids, (1.0, 1.0), "sum")
    counts = R.matrix.data
    return replace(R, scale=(float(counts.min()), float(counts.max())), **columns), False


def _pairs(data: Any) -> tuple[Any, Any, Any, dict[str, Any]] | None:
    """Return users, items, times or None, and which columns were read; None: there are values."""
    if isinstance(data, tuple) and len(data) == 2:
        return *data, None, {}
    if isinstance(data, list) and {isinstance(x, tuple) and len(x) == 2 for x in data} == {True}:
        users, items = zip(*data, strict=True)
        return users, items, None, {}
    if isinstance(data, np.ndarray) and not data.dtype.names:
        is_pairs = data.ndim == 2 and data.shape[1] == 2 and data.dtype.kind in "iuOUT"
        return (*data.T, None, {}) if is_pairs else None
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
    return users, items, times, {"columns": read}


def positives(ratings: Ratings, threshold: float | None = None, values: str = "binary") -> CSR:
    """Return the pairs that count, users x items, and their weights in float64.

    A weight is 1; of ``values="counts"``, 1 + log(1 + rating) (Hu, Koren and Volinsky, 2008).
    Ratings below `threshold` do not count; None: every stored pair does, whatever its rating.
    ValueError where none does, where most ratings are 0, which can mean two things, and for counts
    of 0 or less.
    """
    data = ratings.matrix.data
    n_zeros, n_low = int(np.count_nonzero(data == 0)), int(np.count_nonzero(data <= 0))
    if threshold is None and values == "binary" and n_low:
        if 2 * n_zeros > len(data):
            least = min(data[data > 0], default=1.0)
            raise ValueError(
                f"{n_zeros:,} of {len(data):,} stored values are 0. If 0 is 'not chosen', pass "
                f"threshold={least:g}; if it is a rating of something chosen, "
                f"threshold={min(data.min(), 0):g}."
            )
        logger.info("%s of %s stored values are 0 or less, and count too", n_low, len(data))
    found = weighed(ratings.matrix, threshold, values)
    if found.nnz == 0:
        raise ValueError(
            f"no rating reaches threshold={threshold} (the highest is {data.max():g}); lower it."
        )
    return found


def weighed(rated: CSR, threshold: float | None, values: str) -> CSR:
    data, columns, ends = rated.data, rated.indices, rated.indptr
    if threshold is not None:
        kept = data >= np.float32(threshold)  # as ratings are rounded
        ends = np.cumsum(np.concatenate(([0], kept)))[ends]
        data, columns = data[kept], columns[kept]
    if values == "counts":
        if not (data > 0).all():
            raise ValueError(
                f"values='counts' needs counts above 0, got {data.min():g}; drop them, or pass "
                f"threshold=1."
            )
        weights = 1 + np.log1p(data, dtype=np.float64)
    else:
        weights = np.ones(len(data))
    return sparse.csr_array((weights, columns, ends), shape=rated.shape)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ListRecord(Record):
    """What a model of lists has learned from the interactions that count."""

    threshold: float | None = None
    values: str = "binary"

    @property
    def bounds(self) -> tuple[float, float]:
        return -np.inf, np.inf

    @cached_property
    def training(self) -> Ratings:
        R = self.ratings
        if self.threshold is None:
            return R
        return R.select(R.matrix.data[R.order] >= np.float32(self.threshold))

    @cached_property
    def positives(self) -> CSR:
        return self.told(self.ratings.matrix)

    def told(self, rated: CSR) -> CSR:
        return weighed(rated, self.threshold, self.values)

    def scores_of(self, wanted: CSR) -> Array:
        """Return scores (m, n_items) of users from what `told` says of them."""
        raise NotImplementedError

    def score_all_items(self, users: Array) -> Array:
        return self.scores_of(take_rows(self.positives, users))

    def score_pairs(self, users: Array, items: Array) -> Array:
        scores, n_items = np.zeros(len(users)), self.ratings.n_items
        known = np.flatnonzero((users >= 0) & (items >= 0))
        asked, places = np.unique(users[known], return_inverse=True)
        for part in chunks(len(asked), n_items):
            some = np.flatnonzero((places >= part.start) & (places < part.stop))
            table = self.score_all_items(asked[part])
            scores[known[some]] = table[places[some] - part.start, items[known[some]]]
        return scores


@score_new.register(ListRecord)
def _score_by_lists(fitted: ListRecord, rated: CSR, axis: str, cold: str | float) -> Array:
    if axis == "item":
        raise ValueError(
            "a new item has no place among the items that were learned; call fit with it."
        )
    wanted = fitted.told(rated)
    scores = fitted.scores_of(wanted)
    scores[np.diff(wanted.indptr) == 0] = fitted.item_counts
    return scores


class ListRecommender(FoldIn):
    """A model that learns from who chose what, and makes lists.

    `fit` takes ratings of any kind, or pairs (user, item). Every stored pair is an interaction,
    whatever its rating, and is seen. Users without any get the items with the most interactions,
    marked `cold`, or in :meth:`recommend_new` `popular`. Of a visitor, a list of ids is what was
    clicked, and two arrays (users, items) are many visitors.

    With `threshold`, only ratings from there on count as interactions; with ``values="counts"``
    they say how often, and weigh 1 + log(1 + rating).
    """

    threshold: float | None = None
    values: str = "binary"

    def check_parameters(self) -> None:
        """ValueError or TypeError for a parameter that cannot be used."""
        check_choice("values", self.values, VALUES)
        if self.threshold is not None:
            check_number("threshold", self.threshold)

    def _cold(self, fitted: Any) -> str | float:
        return "popular"

    def _told(self, fitted: Record, ratings: Any) -> Any:
        if isinstance(ratings, Mapping):
            return ratings
        is_list = isinstance(ratings, list | range | set) and not any(
            isinstance(one, tuple | list | Mapping) for one in ratings
        )
        if is_list or getattr(ratings, "ndim", 0) == 1:  # of clicks
            ids, counts = np.unique(check_ids(ratings, "ids"), return_counts=True)
            least = 1.0 if self.threshold is None else self.threshold
            return dict(zip(ids.tolist(), np.maximum(counts, least).tolist(), strict=True))
        return to_interactions(ratings)[0]

    def _score_pairs(self, fitted: Any, users: Array, items: Array) -> Array:
        scores, counts = np.asarray(fitted.score_pairs(users, items)), fitted.counts
        cold = counts["user"][users] == 0
        scores[cold] = counts["item"][items[cold]]
        return scores

    def _score_all_items(self, fitted: Any, users: Array) -> Array:
        scores = np.asarray(fitted.score_all_items(users))
        scores[fitted.user_counts[users] == 0] = fitted.item_counts
        return scores

    def predict(self, users: Any, items: Any = None, *, interval: float | None = None) -> Any:
        """Return the score of each pair, by which :meth:`recommend` ranks; it is no rating.

        Parameters and errors as in `AutoRec.predict`, without intervals; unclipped.
        """
        if interval is not None:
            self._refuse("intervals")
        return super().predict(users, items)

    def calibrate(self, ratings: Any = None) -> Self:
        """Raise TypeError: scores are no ratings."""
        return self._refuse("intervals")

    def score(self, users: Any, items: Any = None, ratings: Any = None) -> float:
        """Raise TypeError: scores are no ratings."""
        return self._refuse("RMSE")

    def _refuse(self, what: str) -> NoReturn:
        check_fitted(self)
        raise TypeError(_NO_RATINGS.format(type(self).__name__, what))
