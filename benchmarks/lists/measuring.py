"""The protocol of docs/measuring_lists.md, the same for every contestant."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from autorec_np import Ratings, fetch_movielens, train_test_split
from autorec_np._types import Array
from autorec_np.evaluation import (
    MeanInterval,
    coverage_at_k,
    novelty_at_k,
    popularity_share_at_k,
    relevant_items,
    scores_per_user,
)
from benchmarks.harness import peak_memory, start_peak
from benchmarks.lists.contestants import BY_NAME

K, THRESHOLD = 10, 4.0
SEEDS = (0, 1, 2)
CONFIDENCE = 0.95

Split = tuple[Ratings, Ratings]


def split(data: str, seed: int) -> Split:
    """Return the training and test part of a data set."""
    train, test = train_test_split(fetch_movielens(data).ratings, 0.1, seed)
    return train, test


def validation_split(data: str) -> Split:
    """Return two parts of the training part of seed 0: to fit, and to choose settings on."""
    fit, validation = train_test_split(split(data, 0)[0], 0.1, 0)
    return fit, validation


class Measured(NamedTuple):
    """One fit and its lists.

    `users` and `ndcg` have an entry for each user with a relevant item.
    """

    users: Array
    ndcg: Array
    figures: dict[str, float]
    counts: dict[str, int]


def measure(program: Any, settings: dict[str, Any], parts: Split, seed: int) -> Measured:
    """Fit, time, and read the test part once."""
    train, test = parts
    data = program.prepare(train)
    before = start_peak()
    started = time.perf_counter()
    model = program.fit(data, seed, **settings)
    seconds = time.perf_counter() - started
    memory = (peak_memory() - before) / 1e6
    raters = test.user_ids[np.diff(test.matrix.indptr) > 0]
    relevant = relevant_items(test, raters, THRESHOLD)
    users = raters[[bool(items) for items in relevant]]
    relevant = [items for items in relevant if items]
    lists = program.lists(model, train, users, K)
    in_training = np.bincount(train.matrix.indices, minlength=train.n_items)
    wanted = train.item_positions([item for items in relevant for item in items])
    return Measured(
        train.user_positions(users),
        scores_per_user(lists, relevant, K)["ndcg"],
        {
            "coverage": coverage_at_k(lists, train.n_items, K),
            "novelty": novelty_at_k(lists, train, K),
            "popularity": popularity_share_at_k(lists, train, users, K),
            "seconds": seconds,
            "memory": memory,
        },
        {
            "users": len(users),
            "without relevant": len(raters) - len(users),
            "relevant": len(wanted),
            "cold": int(np.count_nonzero(in_training[wanted] == 0)),
        },
    )


def measure_data(name: str, data: str, settings: dict[str, Any]) -> list[Measured]:
    """Measure a contestant on every split of a data set."""
    program = BY_NAME[name].program()
    return [measure(program, settings, split(data, seed), seed) for seed in SEEDS]


def over_users(splits: Sequence[tuple[Array, Array]]) -> MeanInterval:
    """Return the mean of the splits' means over users, with its interval.

    The users of the splits are the same, and one's lists are alike; so the variance is clustered
    by user, as that of `autorec_np.evaluation.held_out` is.

    Parameters
    ----------
    splits : sequence of (users, values)
        Positions, and a value of each.
    """
    means = [float(values.mean()) for _, values in splits]
    users = np.concatenate([users for users, _ in splits])
    influence = [
        (values - mean) / len(values) / len(splits)
        for (_, values), mean in zip(splits, means, strict=True)
    ]
    _, places = np.unique(users, return_inverse=True)
    sums = np.bincount(places, np.concatenate(influence))
    mean, n = statistics.fmean(means), len(sums)
    variance = n / max(n - 1, 1) * float(sums @ sums)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * variance**0.5 if n > 1 else float("nan")
    return MeanInterval(mean, mean - half, mean + half, n, CONFIDENCE)


def difference(ours: Iterable[Measured], others: Iterable[Measured]) -> MeanInterval:
    """Return the mean NDCG of the one less that of the other, user by user."""
    pairs = list(zip(ours, others, strict=True))
    for one, other in pairs:
        if not np.array_equal(one.users, other.users):
            raise ValueError("the lists are those of other users; measure both on one split.")
    return over_users([(one.users, one.ndcg - other.ndcg) for one, other in pairs])
