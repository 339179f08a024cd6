"""Metrics of recommended lists against the held-out ratings of their users.

An item is *relevant* to a user whose held-out rating of it reaches a threshold. With hit_j = 1
where the item at place j is relevant, else 0, and R relevant items,

    precision@k = sum_{j<=k} hit_j / k                recall@k = sum_{j<=k} hit_j / R
    NDCG@k = sum_{j<=k} hit_j / log2(j + 1), over the same sum of a list of min(k, R) hits
    AP@k = sum_{j<=k} hit_j precision@j / R           hit rate@k = 1 where any hit_j = 1
    RR@k = 1 / (place of the first hit), 0 without one

averaged over users (MAP and MRR), as trec_eval and ranx compute them for binary relevance:

* A user *without relevant items* is left out of the averages.
* Empty places are misses: precision@k divides by k.
* AP@k divides by R; other codes divide by min(k, R).

Items rated low, and unrated ones, are misses alike: values are comparable between models on one
split, not between data sets.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autorec_np._habits import knows_habits
from autorec_np._types import Array
from autorec_np._validation import check_integer, check_number
from autorec_np.data.ratings import as_ratings
from autorec_np.data.splitting import check_apart
from autorec_np.data.values import shown
from autorec_np.models.base import NotFittedError, check_not_empty

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
        None: three quarters up the rating scale of `test`, 4 where it is 1 to 5.

    Returns
    -------
    list of set, of length m
    """
    ratings = as_ratings(test)
    threshold = _threshold(ratings.scale, threshold)
    matrix, found = ratings.matrix, []
    for row in ratings.user_positions(users):
        entries = slice(*matrix.indptr[row : row + 2]) if row >= 0 else slice(0)
        columns = matrix.indices[entries][matrix.data[entries] >= threshold]
        found.append(set(ratings.item_ids[columns].tolist()))
    return found


def scores_per_user(recommended: Lists, relevant: Relevant, k: int = 10) -> dict[str, Array]:
    """Return every metric of every user.

    Parameters
    ----------
    recommended : array_like of ids, (m, n)
        One list for each user, best first, as ``model.recommend(users)[0]``; None is an empty
        place.
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
        Lists for other numbers of users, or an item that is twice in a list.
    TypeError
        Ids in the place of lists of ids, or of two kinds.
    """
    k = check_integer("k", k, minimum=1)
    _check_lists("recommended", recommended)
    _check_lists("relevant", relevant)
    if len(recommended) != len(relevant):
        raise ValueError(
            f"recommended has lists for {len(recommended)} users and relevant has "
            f"{len(relevant)}; pass both for the same users, in the same order."
        )
    hits = np.zeros((len(relevant), k))
    places_of_all = _places(recommended, k)
    _check_same_kind(places_of_all, relevant)
    for row, items, wanted in zip(hits, places_of_all, map(set, relevant), strict=True):
        row[: len(items)] = [item in wanted for item in items]
    counts = np.array([len(set(wanted)) for wanted in relevant], dtype=np.float64)
    counts[counts == 0] = np.nan
    places = np.arange(1, k + 1)
    discounts = 1 / np.log2(places + 1)
    ideal = np.cumsum(discounts)[np.fmin(np.nan_to_num(counts, nan=1.0), k).astype(int) - 1]
    found = np.cumsum(hits, axis=1)
    per_user = {
        "precision": found[:, -1] / k,
        "recall": found[:, -1] / counts,
        "ndcg": hits @ discounts / ideal,
        "map": (hits * found / places).sum(axis=1) / counts,
        "mrr": (hits / places).max(axis=1),
        "hit_rate": hits.max(axis=1),
    }
    return {name: np.where(np.isnan(counts), np.nan, one) for name, one in per_user.items()}


def precision_at_k(recommended: Lists, relevant: Relevant, k: int = 10) -> float:
    """Share of the k places with a relevant item; see :func:`scores_per_user`."""
    return _mean(recommended, relevant, k, "precision")


def recall_at_k(recommended: Lists, relevant: Relevant, k: int = 10) -> float:
    """Share of the relevant items in the first k places."""
    return _mean(recommended, relevant, k, "recall")


def ndcg_at_k(recommended: Lists, relevant: Relevant, k: int = 10) -> float:
    """Normalized discounted cumulative gain, binary (Jarvelin and Kekalainen, 2002)."""
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
    """Share of the `n_items` items that are in anybody's first k places."""
    n_items = check_integer("n_items", n_items, minimum=1)
    return len(set().union(*_places(recommended, k)) - {None}) / n_items


def novelty_at_k(recommended: Lists, train: Any, k: int = 10) -> float:
    """Mean of -log2(share of the users who rated the item in training) over all k places, in bits.

    The mean self-information (Zhou et al., PNAS 2010). An item that nobody rated counts as rated by
    one.

    Parameters
    ----------
    recommended : array_like of ids, (m, n)
    train : Ratings, sparse matrix, DataFrame or (users, items, ratings)
    k : int

    Returns
    -------
    float
        NaN where nothing is recommended.
    """
    ratings = as_ratings(train)
    items = [item for one in _places(recommended, k) for item in one if item is not None]
    if not items:
        return float("nan")
    counts = np.append(np.bincount(ratings.matrix.indices, minlength=ratings.n_items), 0)
    n_raters = np.maximum(counts[ratings.item_positions(items)], 1)
    n_users = np.count_nonzero(np.diff(ratings.matrix.indptr))
    return float(np.mean(np.log2(n_users / n_raters)))


@dataclass(frozen=True)
class RankingEvaluation:
    """The lists of one model, measured on held-out ratings.

    Attributes
    ----------
    precision, recall, ndcg, map, mrr, hit_rate : float
        Averages over the users with relevant items.
    coverage : float
        Of the items known to the model.
    novelty : float
        In bits.
    k : int
    threshold : float
        Of relevance.
    n_users : int
        With relevant items.
    n_without_relevant : int
        Further users with held-out ratings.
    n_unknown : int
        Of `n_users`: not known to the model; their lists are empty.
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

    def to_dict(self) -> dict[str, float | int]:
        """Return a JSON-able dict."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"precision@{self.k} {self.precision:.4f}, recall {self.recall:.4f}, NDCG "
            f"{self.ndcg:.4f}, MAP {self.map:.4f}, MRR {self.mrr:.4f}, hit rate "
            f"{self.hit_rate:.4f}, coverage {self.coverage:.4f}, novelty {self.novelty:.2f} bits; "
            f"{self.n_users:,} users with an item rated {self.threshold:g} or higher"
        )


@knows_habits
def evaluate_ranking(
    model: Any, test: Any, k: int = 10, threshold: float | None = None
) -> RankingEvaluation:
    """Recommend to every user with held-out ratings and measure the lists.

    Parameters
    ----------
    model : AutoRec, BiasBaseline or GlobalMean
        Fitted on ratings without those of `test`.
    test : Ratings, sparse matrix, DataFrame or (users, items, ratings)
    k : int
        Length of the lists.
    threshold : float, optional
        As in :func:`relevant_items`, with the scale of the model.

    Returns
    -------
    RankingEvaluation

    Raises
    ------
    ValueError
        A test pair is also a training pair, or no held-out rating reaches the threshold.
    """
    k = check_integer("k", k, minimum=1)
    held_out = as_ratings(test)
    check_not_empty(held_out, "test")
    model = copy.copy(model)  # it stays as it is, whatever is fitted meanwhile
    train = getattr(model, "ratings_", None)
    if train is None:
        raise NotFittedError("evaluate_ranking measures a fitted model; call fit(train) first.")
    threshold = _threshold(model.rating_scale_, threshold)
    check_apart(
        train,
        held_out,
        "which are never recommended; use parts without a common (user, item), such as "
        "autorec_np.data.splitting makes.",
    )
    raters = held_out.user_ids[np.diff(held_out.matrix.indptr) > 0]
    relevant = relevant_items(held_out, raters, threshold)
    measured = np.array([bool(items) for items in relevant])
    if not measured.any():
        raise ValueError(
            f"no held-out rating reaches threshold={threshold:g} (the highest is "
            f"{held_out.matrix.data.max():g}), so nothing is relevant; lower the threshold."
        )
    users = raters[measured]
    known = train.user_positions(users) >= 0
    lists = np.full((len(users), k), None, dtype=object)
    if known.any():
        lists[known] = model.recommend(users[known], k)[0]
    per_user = scores_per_user(lists, [items for items in relevant if items], k)
    return RankingEvaluation(
        **{name: float(scores.mean()) for name, scores in per_user.items()},
        coverage=coverage_at_k(lists, train.n_items, k),
        novelty=novelty_at_k(lists, train, k),
        k=k,
        threshold=threshold,
        n_users=len(users),
        n_without_relevant=int(np.count_nonzero(~measured)),
        n_unknown=int(np.count_nonzero(~known)),
    )


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
    """Raise TypeError where some ids are strings and others are not."""
    examples: dict[bool, Any] = {}
    for one in itertools.chain(*recommended, *relevant):
        if one is not None:
            examples.setdefault(isinstance(one, str), one)
    if len(examples) > 1:
        raise TypeError(
            f"recommended and relevant ids must be of one kind, got {shown(examples[False])} and "
            f"{shown(examples[True])}; make all of them integers, or all of them strings: "
            f"[[str(one) for one in ids] for ids in lists]."
        )


def _mean(recommended: Lists, relevant: Relevant, k: int, name: str) -> float:
    scores = scores_per_user(recommended, relevant, k)[name]
    measured = scores[~np.isnan(scores)]
    if not len(measured):
        raise ValueError(
            f"none of the {len(relevant)} users has a relevant item; lower the threshold of "
            f"relevance, or hold out more ratings."
        )
    return float(measured.mean())
