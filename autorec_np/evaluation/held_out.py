"""How good a fitted model is on held-out ratings: its predictions, and its lists.

Errors of one user or item are alike; so the variance over pairs is clustered two ways (Cameron,
Gelbach and Miller, J. Business & Economic Statistics 29, 2011):

    V = V(users) + V(items) - V(pairs),   V(G) = G / (G - 1) sum_groups (sum_group z)^2 / n^2

with z the influence of a pair: |e| - MAE, or (e^2 - RMSE^2) / (2 RMSE) (the delta method). Degrees
of freedom are one less than users or items, whichever are fewer.

An item is *relevant* to a user whose held-out rating of it reaches a threshold. Lists are measured
as by trec_eval and ranx; docs/choosing.md has the formulas.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from autorec_np._text import knows_habits
from autorec_np._types import Array
from autorec_np._validation import check_integer, check_number
from autorec_np.data.clicks import are_pairs, as_interactions
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.splitting import check_apart, finite_vector, mae, ndcg, rmse, shared_pairs
from autorec_np.data.values import shown
from autorec_np.models.base import Recommender, check_fitted, check_not_empty
from autorec_np.models.interactions import ListRecommender

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its two-sided confidence interval.

    Attributes
    ----------
    mean : float
    low, high : float
        NaN where ``n == 1``.
    n : int
        Values.
    confidence : float
        0.95, say.
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
        """Return a JSON-able dict; NaN ends are None."""
        return asdict(self) | ({"low": None, "high": None} if self.n == 1 else {})

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.mean:.4f} (one value, no interval)"
        confidence = f"{100 * self.confidence:g} % CI"
        return f"{self.mean:.4f} ± {self.half_width:.4f} ({confidence}, n = {self.n})"


def mean_and_interval(values: Iterable[float], confidence: float = 0.95) -> MeanInterval:
    """Mean with Student's t confidence interval, mean ± t s / sqrt(n).

    Values are to be independent; splits of *one* set say nothing of new ratings.

    Parameters
    ----------
    values : iterable of float
    confidence : float
        Coverage, strictly between 0 and 1.

    Raises
    ------
    ValueError
        No value, one that is not finite, or `confidence` out of range.
    TypeError
        Values that are no numbers.
    """
    confidence = check_number(
        "confidence", confidence, minimum=0.0, maximum=1.0, inclusive=(False, False)
    )
    sample = finite_vector("values", list(values))
    n = len(sample)
    deviation = float(sample.std(ddof=1)) if n > 1 else 0.0
    return _student(float(sample.mean()), deviation, float(np.sqrt(n)), n, n, confidence)


def _student(
    mean: float, deviation: float, divisor: float, n_groups: int, n: int, confidence: float
) -> MeanInterval:
    """Return mean ± t deviation / divisor."""
    half_width = float("nan")
    if n_groups > 1:
        half_width = float(stdtrit(n_groups - 1, (1 + confidence) / 2)) * deviation / divisor
    return MeanInterval(mean, mean - half_width, mean + half_width, n, confidence)


MOST_RATING_VALUES = 12
ACTIVITY_EDGES = (1, 3, 10, 32, 100, 316, 1000, 3162, 10_000, 31_623, 100_000)  # half decades


@dataclass(frozen=True)
class Predictions:
    """Held-out pairs and their predictions; arrays (n,).

    `users` and `items` are positions in the held-out ratings, counts of training ratings.
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
        """As `rmse`."""
        errors = np.abs(self.truth - self.predicted)
        return self.interval(mae(self.truth, self.predicted), errors - errors.mean())

    @property
    def mean_rating(self) -> MeanInterval:
        """Of the true ratings; as `rmse`."""
        mean = self.truth.mean()
        return self.interval(float(mean), self.truth - mean)

    @property
    def rmse_influence(self) -> Array:
        squares = (self.truth - self.predicted) ** 2
        mean = squares.mean()
        return np.asarray((squares - mean) / (2 * np.sqrt(mean) if mean > 0 else 1.0))

    def interval(self, estimate: float, influence: Array) -> MeanInterval:
        """Return estimate ± t sqrt(V); `influence`, (n,), sums to 0."""
        variances, n_groups = [], []
        for labels in (self.users, self.items):
            _, groups = np.unique(labels, return_inverse=True)
            sums = np.bincount(groups, weights=influence)
            n_groups.append(len(sums))
            variances.append(len(sums) / max(len(sums) - 1, 1) * float(sums @ sums))
        variance = max(sum(variances) - float(influence @ influence), *variances)
        return _student(estimate, variance**0.5, len(self), min(n_groups), len(self), CONFIDENCE)


def rmse_difference(first: Predictions, second: Predictions) -> MeanInterval:
    """Return RMSE(first) - RMSE(second) over the same pairs."""
    return first.interval(
        rmse(first.truth, first.predicted) - rmse(second.truth, second.predicted),
        first.rmse_influence - second.rmse_influence,
    )


def not_trained_on(model: Recommender, ratings: Any) -> Array:
    """Return (bool, (n,), in file order) which pairs the model was not trained on."""
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
        Ids of another kind than the model's; a model of lists.
    """
    if isinstance(model, ListRecommender):
        raise TypeError(
            f"{type(model).__name__} ranks items and predicts no ratings; measure its lists by "
            f"autorec_np.evaluate_ranking(model, test)."
        )
    data = as_ratings(test)
    check_not_empty(data, "test")
    model = copy.copy(model)  # keeps its record
    fitted = check_fitted(model)
    check_apart(
        fitted.ratings,
        data,
        "so errors would be too small; leave them out: "
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
    """Group pairs by true rating, or many values in ten classes."""
    values, keys = np.unique(pairs.truth, return_inverse=True)
    if len(values) <= MOST_RATING_VALUES:
        return _groups(pairs, keys, [f"{value:g}" for value in values])
    return _classes(pairs, pairs.truth, np.linspace(values[0], values[-1], 11))


def errors_by_activity(pairs: Predictions, axis: str) -> list[Group]:
    """Group pairs by training ratings of user or item (`axis`)."""
    counts = getattr(pairs, f"{axis}_counts")
    inner = [
        f"{low:,}" + (f"–{high - 1:,}" if high - 1 > low else "")
        for low, high in pairwise(ACTIVITY_EDGES)
    ]
    labels = ["0", *inner, f"{ACTIVITY_EDGES[-1]:,} or more"]
    return _groups(pairs, np.digitize(counts, ACTIVITY_EDGES), labels)


def calibration(pairs: Predictions, n_groups: int = 10) -> list[Group]:
    """Group pairs by prediction, about equally many."""
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


Lists: TypeAlias = "Array | Sequence[Sequence[Any]]"
Relevant: TypeAlias = Sequence[Collection[Any]]


def relevant_items(test: Any, users: npt.ArrayLike, threshold: float | None = None) -> list[Any]:
    """Return the items that each user rated at `threshold` or higher.

    Parameters
    ----------
    test : Ratings, sparse matrix, DataFrame or (users, items, ratings)
        Held-out ratings.
    users : array_like, (m,)
        User ids.
    threshold : float, optional
        None: three quarters up the scale of `test`, 4 of 1 to 5.

    Returns
    -------
    list of set, of length m
    """
    ratings = as_ratings(test)
    threshold = _threshold(ratings.scale, threshold)
    found = []
    for row in ratings.user_positions(users):
        columns, values = _entries(ratings, row)
        found.append(set(ratings.item_ids[columns[values >= threshold]].tolist()))
    return found


def scores_per_user(recommended: Lists, relevant: Relevant, k: int = 10) -> dict[str, Array]:
    """Return every metric of every user.

    Parameters
    ----------
    recommended : array_like of ids, (m, n)
        Lists, best first, as ``model.recommend(users)[0]``; None: empty.
    relevant : sequence of m collections of ids
        See :func:`relevant_items`.
    k : int

    Returns
    -------
    dict of str to ndarray of float64, (m,)
        "precision", "recall", "ndcg", "map", "mrr" and "hit_rate"; NaN without relevant items.

    Raises
    ------
    ValueError
        Other numbers of users, or an item twice in a list.
    TypeError
        Ids in place of lists, or of two kinds.
    """
    places_of_all = _places(recommended, k)
    _check_lists("relevant", relevant)
    if len(recommended) != len(relevant):
        raise ValueError(
            f"recommended has lists for {len(recommended)} users and relevant has "
            f"{len(relevant)}; pass both for the same users."
        )
    _check_same_kind(places_of_all, relevant)
    hits = np.zeros((len(relevant), k))
    for row, items, wanted in zip(hits, places_of_all, map(set, relevant), strict=True):
        row[: len(items)] = [item in wanted for item in items]
    counts = np.array([len(set(wanted)) for wanted in relevant], dtype=np.float64)
    counts[counts == 0] = np.nan
    places = np.arange(1, k + 1)
    found = np.cumsum(hits, axis=1)
    per_user = {
        "precision": found[:, -1] / k,
        "recall": found[:, -1] / counts,
        "ndcg": ndcg(hits, np.nan_to_num(counts, nan=1.0)),
        "map": (hits * found / places).sum(axis=1) / counts,
        "mrr": (hits / places).max(axis=1),
        "hit_rate": hits.max(axis=1),
    }
    return {name: np.where(np.isnan(counts), np.nan, one) for name, one in per_user.items()}


def precision_at_k(recommended: Lists, relevant: Relevant, k: int = 10) -> float:
    """Share of the k places that are relevant, as :func:`scores_per_user`."""
    return _mean(recommended, relevant, k, "precision")


def recall_at_k(recommended: Lists, relevant: Relevant, k: int = 10) -> float:
    """Share of the relevant items in the first k places."""
    return _mean(recommended, relevant, k, "recall")


def ndcg_at_k(recommended: Lists, relevant: Relevant, k: int = 10) -> float:
    """Normalized discounted cumulative gain (Jarvelin and Kekalainen, 2002)."""
    return _mean(recommended, relevant, k, "ndcg")


def map_at_k(recommended: Lists, relevant: Relevant, k: int = 10) -> float:
    """Mean average precision."""
    return _mean(recommended, relevant, k, "map")


def mrr_at_k(recommended: Lists, relevant: Relevant, k: int = 10) -> float:
    """Mean reciprocal rank of the first relevant item."""
    return _mean(recommended, relevant, k, "mrr")


def hit_rate_at_k(recommended: Lists, relevant: Relevant, k: int = 10) -> float:
    """Share of the users with a relevant item in the first k places."""
    return _mean(recommended, relevant, k, "hit_rate")


def coverage_at_k(recommended: Lists, n_items: int, k: int = 10) -> float:
    """Share of the `n_items` items in anybody's first k places."""
    n_items = check_integer("n_items", n_items, minimum=1)
    return len(set().union(*_places(recommended, k)) - {None}) / n_items


def novelty_at_k(recommended: Lists, train: Any, k: int = 10) -> float:
    """Mean self-information over all k places, in bits (Zhou et al., PNAS 2010).

    -log2(share of users who rated the item in `train`, at least one); NaN where nothing is
    recommended. Lists are as in :func:`scores_per_user`.
    """
    ratings = as_ratings(train)
    items = [item for one in _places(recommended, k) for item in one if item is not None]
    if not items:
        return float("nan")
    n_raters = np.maximum(_counts(ratings)[ratings.item_positions(items)], 1)
    n_users = np.count_nonzero(np.diff(ratings.matrix.indptr))
    return float(np.mean(np.log2(n_users / n_raters)))


def popularity_share_at_k(
    recommended: Lists, train: Any, users: npt.ArrayLike, k: int = 10
) -> float:
    """Share of the filled places that popularity alone would have given.

    Its list are the k items with the most training ratings, equal ones in the order of the ids,
    that the user has not rated.

    Parameters
    ----------
    recommended : array_like of ids, (m, n)
    train : Ratings, sparse matrix, DataFrame or (users, items, ratings)
    users : array_like, (m,)
        Whose lists they are; unknown ones have rated nothing.
    k : int

    Returns
    -------
    float
        NaN where nothing is recommended.
    """
    ratings = as_ratings(train)
    order = np.argsort(-_counts(ratings)[:-1], kind="stable")
    n_places = n_shared = 0
    for row, places in zip(ratings.user_positions(users), _places(recommended, k), strict=True):
        seen = _entries(ratings, row)[0]
        first = order[: k + len(seen)]
        popular = ratings.item_ids[first[~np.isin(first, seen)][:k]].tolist()
        items = set(places) - {None}
        n_places += len(items)
        n_shared += len(items.intersection(popular))
    return n_shared / n_places if n_places else float("nan")


@dataclass(frozen=True)
class RankingEvaluation:
    """The lists of a model, measured: means over the `n_users` users with relevant items.

    `coverage` is of known items, `novelty` in bits, `popularity_share` as in
    :func:`popularity_share_at_k`; `intervals` are of the six means. `n_without_relevant` users
    rated nothing up to the `threshold`; `n_unknown` of `n_users` have empty lists, as the model
    does not know them. `n_cold` of `n_relevant` items have no training rating.
    """

    precision: float
    recall: float
    ndcg: float
    map: float
    mrr: float
    hit_rate: float
    coverage: float
    novelty: float
    k: int
    threshold: float
    n_users: int
    n_without_relevant: int
    n_unknown: int
    n_relevant: int
    n_cold: int
    popularity_share: float
    intervals: dict[str, MeanInterval] = field(compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        intervals = {name: one.to_dict() for name, one in self.intervals.items()}
        return asdict(self) | {"intervals": intervals}

    def __str__(self) -> str:
        return (
            f"precision@{self.k} {self.precision:.4f}, recall {self.recall:.4f}, NDCG "
            f"{self.intervals['ndcg']}, MAP {self.map:.4f}, MRR {self.mrr:.4f}, hit rate "
            f"{self.hit_rate:.4f}, coverage {self.coverage:.4f}, novelty {self.novelty:.2f} bits, "
            f"popularity's share {self.popularity_share:.4f}; "
            f"{self.n_users:,} users with an item rated {self.threshold:g} or higher, "
            f"{self.n_cold:,} of {self.n_relevant:,} such items cold"
        )


@knows_habits
def evaluate_ranking(
    model: Recommender, test: Any, k: int = 10, threshold: float | None = None
) -> RankingEvaluation:
    """Measure what is recommended to users with held-out ratings.

    Parameters
    ----------
    model : Recommender
        Fitted.
    test : Ratings, sparse matrix, DataFrame or (users, items[, ratings])
        Held out.
    k : int
        Length of the lists.
    threshold : float, optional
        Ratings from here on are relevant. None: all pairs that came without ratings, and all of a
        model with ``values="counts"``; else from `threshold` of the model on, or three quarters up
        its scale.

    Raises
    ------
    ValueError
        A test pair is a training pair, or no rating reaches the threshold.
    NotFittedError
    """
    k = check_integer("k", k, minimum=1)
    held_out = as_interactions(test)
    check_not_empty(held_out, "test")
    model = copy.copy(model)  # as in `predict_held_out`
    train = check_fitted(model).ratings
    if threshold is None:
        threshold = getattr(model, "threshold", None)
        if are_pairs(held_out) or (threshold is None and getattr(model, "values", "") == "counts"):
            threshold = float(held_out.matrix.data.min())
    threshold = _threshold(train.scale, threshold)
    check_apart(
        train,
        held_out,
        "which are never recommended; split them with autorec_np.data.splitting.",
    )
    raters = held_out.user_ids[np.diff(held_out.matrix.indptr) > 0]
    relevant = relevant_items(held_out, raters, threshold)
    measured = np.array([bool(items) for items in relevant])
    if not measured.any():
        raise ValueError(
            f"no held-out rating reaches threshold={threshold:g} (the highest is "
            f"{held_out.matrix.data.max():g}); lower the threshold."
        )
    users = raters[measured]
    known = train.user_positions(users) >= 0
    lists = np.full((len(users), k), None, dtype=object)
    if known.any():
        lists[known] = model.recommend(users[known], k)[0]
    per_user = scores_per_user(lists, [items for items in relevant if items], k)
    intervals = {name: mean_and_interval(scores) for name, scores in per_user.items()}
    counts = _counts(train)[train.item_positions([*itertools.chain(*relevant)])]
    return RankingEvaluation(
        **{name: one.mean for name, one in intervals.items()},
        coverage=coverage_at_k(lists, train.n_items, k),
        novelty=novelty_at_k(lists, train, k),
        k=k,
        threshold=threshold,
        n_users=len(users),
        n_without_relevant=int(np.count_nonzero(~measured)),
        n_unknown=int(np.count_nonzero(~known)),
        n_relevant=len(counts),
        n_cold=int(np.count_nonzero(counts == 0)),
        popularity_share=popularity_share_at_k(lists, train, users, k),
        intervals=intervals,
    )


def _counts(ratings: Ratings) -> Array:
    """Return the training ratings of each item, and 0 for position -1."""
    return np.append(np.bincount(ratings.matrix.indices, minlength=ratings.n_items), 0)


def _entries(ratings: Ratings, row: int) -> tuple[Array, Array]:
    """Return columns and values of a user; position -1 has none."""
    matrix = ratings.matrix
    entries = slice(*matrix.indptr[row : row + 2]) if row >= 0 else slice(0)
    return matrix.indices[entries], matrix.data[entries]


def own_threshold(model: Any) -> float | None:
    """Return from where on a model counts ratings; of counts, which are above 0, all."""
    own: float | None = getattr(model, "threshold", None)
    return 0.0 if own is None and getattr(model, "values", "") == "counts" else own


def _threshold(scale: tuple[float, float], threshold: float | None) -> float:
    low, high = scale
    return low + 0.75 * (high - low) if threshold is None else check_number("threshold", threshold)


def _places(recommended: Lists, k: int) -> list[list[Any]]:
    k = check_integer("k", k, minimum=1)
    _check_lists("recommended", recommended)
    lists = [list(one)[:k] for one in recommended]
    for number, places in enumerate(lists):
        items = [item for item in places if item is not None]
        if len(set(items)) < len(items):
            raise ValueError(f"the list at index {number} recommends an item twice: {items}.")
    return lists


def _check_lists(name: str, lists: Any) -> None:
    for index, one in enumerate(lists):
        if isinstance(one, (str, bytes)) or not isinstance(one, Iterable):
            raise TypeError(
                f"{name} must hold one list of ids for each user, got {shown(one)} at index "
                f"{index}; of one user, pass [{name}]."
            )


def _check_same_kind(recommended: Sequence[Sequence[Any]], relevant: Relevant) -> None:
    examples: dict[bool, Any] = {}
    for one in itertools.chain(*recommended, *relevant):
        if one is not None:
            examples.setdefault(isinstance(one, str), one)
    if len(examples) > 1:
        raise TypeError(
            f"recommended and relevant ids must be of one kind, got {shown(examples[False])} and "
            f"{shown(examples[True])}; make all of them integers, or strings: "
            f"[[str(one) for one in ids] for ids in lists]."
        )


def _mean(recommended: Lists, relevant: Relevant, k: int, name: str) -> float:
    scores = scores_per_user(recommended, relevant, k)[name]
    measured = scores[~np.isnan(scores)]
    if not len(measured):
        raise ValueError(
            f"none of the {len(relevant)} users has a relevant item; lower the threshold, or hold "
            f"out more ratings."
        )
    return float(measured.mean())
