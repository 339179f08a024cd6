"""Who chose what: two columns are read, and lists are made of it.

What models for lists share. Their scores rank items and are no ratings.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np._validation import check_choice, check_number
from autorec_np.core.kernels import take_rows, with_data
from autorec_np.data.clicks import as_interactions
from autorec_np.data.ratings import Ratings
from autorec_np.data.values import check_ids
from autorec_np.engine.rows import KEPT
from autorec_np.models.base import Record, Self, check_fitted, check_not_empty, chunks
from autorec_np.models.newcomers import FoldIn, score_new

VALUES = ("binary", "counts")
_NO_RATINGS = (
    "the scores of {} rank items and are no ratings, so they have no {}; measure its lists by "
    "autorec_np.evaluate_ranking(model, test)."
)

logger = logging.getLogger(__name__)


def to_interactions(data: Any) -> tuple[Ratings, bool]:
    """Return interactions, of which there are some, and whether their ids are indices.

    Takes what :func:`clicks.as_interactions` takes.
    """
    found = as_interactions(data)
    check_not_empty(found)
    return found, sparse.issparse(data)


def positives(ratings: Ratings, threshold: float | None = None, values: str = "binary") -> CSR:
    """Return the pairs that count, users x items, and their weights in float64.

    A weight is 1; of ``values="counts"``, 1 + log(1 + rating) (Hu, Koren and Volinsky, 2008).
    Ratings below `threshold` do not count; None: every stored pair does, whatever its rating.
    ValueError as of `check_positives`.
    """
    check_positives(ratings, threshold, values)
    return weighed(ratings.matrix, threshold, values)


def check_positives(ratings: Ratings, threshold: float | None, values: str) -> None:
    """ValueError where no rating counts, or most are 0, which can mean two things.

    And for counts of 0 or less.
    """
    data = ratings.matrix.data
    starts = range(0, len(data), KEPT)
    parts = [data[start : start + KEPT] for start in starts]
    n_zeros = sum(np.count_nonzero(part == 0) for part in parts)
    n_low = sum(np.count_nonzero(part <= 0) for part in parts)
    if threshold is None and values == "binary" and n_low:
        if 2 * n_zeros > len(data):
            least = min((min(part[part > 0], default=np.inf) for part in parts), default=np.inf)
            least = least if least < np.inf else 1.0
            raise ValueError(
                f"{n_zeros:,} of {len(data):,} stored values are 0. If 0 is 'not chosen', pass "
                f"threshold={least:g}; if it is a rating of something chosen, "
                f"threshold={min(data.min(), 0):g}."
            )
        logger.info("%s of %s stored values are 0 or less, and count too", n_low, len(data))
    if threshold is not None and not data.max() >= np.float32(threshold):
        raise ValueError(
            f"no rating reaches threshold={threshold} (the highest is {data.max():g}); lower it."
        )
    if values == "counts":
        for part in parts:
            weights_of(part if threshold is None else part[part >= np.float32(threshold)], values)


def reaching(R: Ratings, threshold: float | None) -> Ratings:
    """Return the ratings that count."""
    if threshold is None:
        return R
    return R.select(R.matrix.data[R.order] >= np.float32(threshold))


def weighed(rated: CSR, threshold: float | None, values: str) -> CSR:
    found = counting(rated, threshold)
    return with_data(found, weights_of(found.data, values))


def counting(rated: CSR, threshold: float | None) -> CSR:
    """Return the ratings that count; where all do, not copied."""
    if threshold is None:
        return rated
    kept = rated.data >= np.float32(threshold)  # as ratings are rounded
    ends = np.zeros(len(kept) + 1, rated.indptr.dtype)
    np.cumsum(kept, out=ends[1:])
    return sparse.csr_array(
        (rated.data[kept], rated.indices[kept], ends[rated.indptr]), shape=rated.shape
    )


def weights_of(data: Array, values: str) -> Array:
    if values != "counts":
        return np.ones(len(data)) if values == "binary" else data.astype(np.float64)
    if not (data > 0).all():
        raise ValueError(
            f"values='counts' needs counts above 0, got {data.min():g}; drop them, or pass "
            f"threshold=1."
        )
    return np.asarray(1 + np.log1p(data, dtype=np.float64))


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
        return reaching(self.ratings, self.threshold)

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

    def check_parameters(self) -> Any:
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

    def __sklearn_tags__(self) -> Any:
        """Return that X are pairs of ids, (n, 2), which `fit` takes without y."""
        import sklearn.utils as tags  # type: ignore[import-untyped]

        return tags.Tags(
            estimator_type=None,
            target_tags=tags.TargetTags(required=False),
            input_tags=tags.InputTags(categorical=True, string=True),
        )

    def _refuse(self, what: str) -> NoReturn:
        check_fitted(self)
        raise TypeError(_NO_RATINGS.format(type(self).__name__, what))
