"""Held-out pairs and what a fitted model predicts for them: errors with intervals, in groups.

Errors of one user are alike, and so are those of one item; so the variance over pairs is clustered
two ways (Cameron, Gelbach and Miller, "Robust inference with multiway clustering", J. Business &
Economic Statistics 29, 2011):

    V = V(users) + V(items) - V(pairs),   V(G) = G / (G - 1) sum_groups (sum_group z)^2 / n^2

with z the influence of a pair on the estimate: |e| - MAE for the MAE, and (e^2 - RMSE^2) / (2 RMSE)
for the RMSE (the delta method). Student's t has one degree of freedom less than there are users or
items, whichever are fewer.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from autorec_np._types import Array
from autorec_np._validation import check_number
from autorec_np.data.metrics import finite_vector, mae, rmse
from autorec_np.data.ratings import as_ratings
from autorec_np.data.splitting import check_apart, shared_pairs
from autorec_np.models.base import Recommender, check_fitted, check_not_empty

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its two-sided confidence interval.

    Attributes
    ----------
    mean : float
    low, high : float
        Symmetric about the mean; NaN where ``n == 1``.
    n : int
        Number of values.
    confidence : float
        Coverage, e.g. 0.95.
    """

    mean: float
    low: float
    high: float
    n: int
    confidence: float

    @property
    def half_width(self) -> float:
        """What follows ±."""
        return (self.high - self.low) / 2

    def to_dict(self) -> dict[str, float | int | None]:
        """Return a JSON-able dict; an undefined end is None."""
        return asdict(self) | ({"low": None, "high": None} if self.n == 1 else {})

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.mean:.4f} (one value, no interval)"
        confidence = f"{100 * self.confidence:g} % CI"
        return f"{self.mean:.4f} ± {self.half_width:.4f} ({confidence}, n = {self.n})"


def mean_and_interval(values: Iterable[float], confidence: float = 0.95) -> MeanInterval:
    """Mean of repeated measurements with Student's t confidence interval.

    mean ± t * s / sqrt(n), with s the sample standard deviation (n - 1 in the denominator) and t
    the (1 + confidence) / 2 quantile of Student's t with n - 1 degrees of freedom. It assumes
    independent, roughly normal values; of splits of *one* set of ratings it says how far the mean
    moves with the splits, not with new ratings.

    Parameters
    ----------
    values : iterable of float
    confidence : float
        Coverage, strictly between 0 and 1.

    Returns
    -------
    MeanInterval
        NaN ends for one value.

    Raises
    ------
    ValueError
        If there is no value, one is not finite, or `confidence` is out of range.
    TypeError
        If the values are no numbers.
    """
    confidence = check_number(
        "confidence", confidence, minimum=0.0, maximum=1.0, inclusive=(False, False)
    )
    sample = finite_vector("values", list(values))
    n = len(sample)
    mean, half_width = float(sample.mean()), float("nan")
    if n > 1:
        quantile = stdtrit(n - 1, (1 + confidence) / 2)
        half_width = float(quantile * sample.std(ddof=1) / np.sqrt(n))
    return MeanInterval(mean, mean - half_width, mean + half_width, n, confidence)


def clustered_interval(
    estimate: float, influence: Array, users: Array, items: Array
) -> MeanInterval:
    """Return estimate ± t sqrt(V); NaN ends where all pairs are of one user or one item.

    `influence`, (n,), sums to 0; `users` and `items`, (n,), say whose pairs they are.
    """
    n, variances, n_groups = len(influence), [], []
    for labels in (users, items):
        _, groups = np.unique(labels, return_inverse=True)
        sums = np.bincount(groups, weights=influence)
        n_groups.append(len(sums))
        variances.append(len(sums) / max(len(sums) - 1, 1) * float(sums @ sums))
    half_width = float("nan")
    if min(n_groups) > 1:
        both = sum(variances) - float(influence @ influence)
        # by chance the sum can be below its parts
        quantile = float(stdtrit(min(n_groups) - 1, (1 + CONFIDENCE) / 2))
        half_width = quantile * max(both, *variances) ** 0.5 / n
    return MeanInterval(estimate, estimate - half_width, estimate + half_width, n, CONFIDENCE)


MOST_RATING_VALUES = 12
ACTIVITY_EDGES = (1, 3, 10, 32, 100, 316, 1000, 3162, 10_000, 31_623, 100_000)  # half decades


@dataclass(frozen=True)
class Predictions:
    """Held-out pairs with what the model predicts for them; arrays (n,).

    `users` and `items` are positions in the held-out ratings; the counts are of training ratings, 0
    for a cold user or item.
    """

    users: Array
    items: Array
    truth: Array
    predicted: Array
    user_counts: Array
    item_counts: Array

    def __len__(self) -> int:
        return len(self.truth)

    def where(self, mask: Array) -> Predictions:
        return Predictions(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    @property
    def n_cold(self) -> int:
        return int(np.count_nonzero((self.user_counts == 0) | (self.item_counts == 0)))

    @property
    def rmse(self) -> MeanInterval:
        """RMSE with its 95 % interval."""
        return self.interval(rmse(self.truth, self.predicted), self.rmse_influence)

    @property
    def mae(self) -> MeanInterval:
        """MAE, likewise."""
        errors = np.abs(self.truth - self.predicted)
        return self.interval(mae(self.truth, self.predicted), errors - errors.mean())

    @property
    def mean_rating(self) -> MeanInterval:
        """Mean true rating, likewise."""
        mean = self.truth.mean()
        return self.interval(float(mean), self.truth - mean)

    @property
    def rmse_influence(self) -> Array:
        squares = (self.truth - self.predicted) ** 2
        mean = squares.mean()
        return np.asarray((squares - mean) / (2 * np.sqrt(mean) if mean > 0 else 1.0))

    def interval(self, estimate: float, influence: Array) -> MeanInterval:
        return clustered_interval(estimate, influence, self.users, self.items)


def rmse_difference(first: Predictions, second: Predictions) -> MeanInterval:
    """Return RMSE(first) - RMSE(second) over the same pairs."""
    return first.interval(
        rmse(first.truth, first.predicted) - rmse(second.truth, second.predicted),
        first.rmse_influence - second.rmse_influence,
    )


def not_trained_on(model: Recommender, ratings: Any) -> Array:
    """Return (bool, (n,), in file order) which ratings' pairs the model was not trained on."""
    return ~shared_pairs(check_fitted(model).ratings, as_ratings(ratings))


def predict_held_out(model: Recommender, test: Any) -> Predictions:
    """Predict held-out pairs.

    Parameters
    ----------
    model : Recommender
        Fitted.
    test : Ratings, sparse matrix, DataFrame or (users, items, ratings)

    Raises
    ------
    ValueError
        No ratings, or a pair that the model was trained on.
    TypeError
        Ids of another kind than the model's.
    """
    data = as_ratings(test)
    check_not_empty(data, "test")
    model = copy.copy(model)  # it keeps its record, whatever is fitted meanwhile
    fitted = check_fitted(model)
    check_apart(
        fitted.ratings,
        data,
        "so the errors would be too small; leave them out: "
        "test.select(autorec_np.evaluation.not_trained_on(model, test)).",
    )
    user_ids, item_ids, truth = data.triples()
    users, items, _ = data.positions()
    rows, columns = fitted.positions(user_ids, item_ids)
    return Predictions(
        users,
        items,
        truth.astype(np.float64),
        model.predict(user_ids, item_ids),
        fitted.counts["user"][rows],
        fitted.counts["item"][columns],
    )


class Group(NamedTuple):
    label: str
    predicted: float  # mean
    pairs: Predictions


def errors_by_rating(pairs: Predictions) -> list[Group]:
    """Group pairs by their true rating; more than twelve values in ten classes."""
    values, keys = np.unique(pairs.truth, return_inverse=True)
    if len(values) <= MOST_RATING_VALUES:
        return _groups(pairs, keys, [f"{value:g}" for value in values])
    return _classes(pairs, pairs.truth, np.linspace(values[0], values[-1], 11))


def errors_by_activity(pairs: Predictions, axis: str) -> list[Group]:
    """Group pairs by the training ratings of their user or item (`axis`)."""
    counts = getattr(pairs, f"{axis}_counts")
    inner = [
        f"{low:,}" + (f"–{high - 1:,}" if high - 1 > low else "")
        for low, high in pairwise(ACTIVITY_EDGES)
    ]
    labels = ["0", *inner, f"{ACTIVITY_EDGES[-1]:,} or more"]
    return _groups(pairs, np.digitize(counts, ACTIVITY_EDGES), labels)


def calibration(pairs: Predictions, n_groups: int = 10) -> list[Group]:
    """Group pairs by prediction, about as many in each group."""
    edges = np.unique(np.quantile(pairs.predicted, np.linspace(0, 1, n_groups + 1)))
    return _classes(pairs, pairs.predicted, edges)


def _classes(pairs: Predictions, values: Array, edges: Array) -> list[Group]:
    if len(edges) == 1:
        return _groups(pairs, np.zeros(len(pairs), np.int64), [f"{edges[0]:.2f}"])
    keys = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return _groups(pairs, keys, [f"{low:.2f}–{high:.2f}" for low, high in pairwise(edges)])


def _groups(pairs: Predictions, keys: Array, labels: Sequence[str]) -> list[Group]:
    found = []
    for key in np.unique(keys):
        part = pairs.where(keys == key)
        found.append(Group(labels[key], float(part.predicted.mean()), part))
    return found
