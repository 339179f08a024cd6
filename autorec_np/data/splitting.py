"""Splits of ratings into a training and a test part, and errors of predictions.

The parts keep ids, shape and order. Test pairs may be *cold*, without a training rating of their
user or item. With true ratings r and predictions p, *pooled* over all pairs of a test set T,

    RMSE = sqrt( (1/|T|) sum_T (r - p)^2 ),     MAE = (1/|T|) sum_T |r - p|.

A mean of per-user RMSEs is another figure than published ones.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autorec_np._text import knows_habits
from autorec_np._types import Array
from autorec_np._validation import (
    RandomState,
    check_choice,
    check_integer,
    check_number,
    check_random_state,
)
from autorec_np.data.clicks import as_interactions
from autorec_np.data.ratings import Ratings

Parts: TypeAlias = tuple[Ratings, Ratings]


@knows_habits
def train_test_split(R: Any, test_size: float = 0.1, random_state: RandomState = None) -> Parts:
    """Hold out a random part of the ratings.

    The first ``ceil(test_size * n)`` of a ``Generator.permutation`` of the file's order.

    Parameters
    ----------
    R : Ratings, or whatever `as_ratings` takes
        n ratings; or pairs (users, items), who chose what.
    test_size : float or int
        A share, strictly between 0 and 1, or a number, from 1 to n - 1.
    random_state : None, int or numpy.random.Generator

    Returns
    -------
    train, test : Ratings
        With the ids and the shape of `R`.

    Raises
    ------
    ValueError
        `test_size` leaves no training or no test rating.
    """
    whole = as_interactions(R)
    n_test = _count_held_out(test_size, len(whole), "ratings")
    permutation = check_random_state(random_state).permutation(len(whole))
    return _divide(whole, permutation[:n_test])


def k_fold(R: Any, n_splits: int = 5, random_state: RandomState = None) -> Iterator[Parts]:
    """Hold out each of `n_splits` random parts of the ratings in turn.

    They are pieces of one permutation, of the same length or one less.

    Parameters
    ----------
    R, random_state
        As in `train_test_split`.
    n_splits : int
        From 2 to n.

    Raises
    ------
    ValueError
        `n_splits` is out of range.
    """
    whole = as_interactions(R)
    n_splits = check_integer("n_splits", n_splits, minimum=2)
    if n_splits > len(whole):
        advice = "ask for fewer folds" if len(whole) > 1 else "pass two ratings or more"
        raise ValueError(
            f"n_splits must be at most the number of ratings, got {n_splits} for {len(whole)}; "
            f"{advice}."
        )
    permutation = check_random_state(random_state).permutation(len(whole))
    # Not ``yield``: a wrong argument raises here.
    return (_divide(whole, part) for part in np.array_split(permutation, n_splits))


def holdout_per_user(
    R: Any, n: float = 1, random_state: RandomState = None, *, min_train: int = 1
) -> Parts:
    """Hold out some random ratings of each user (``n=1``: leave one out per user).

    Of m ratings, the first ``min(n, m - min_train)`` in a permutation as in `train_test_split`;
    ``ceil(n * m)`` is in place of a float `n`.

    Parameters
    ----------
    R, random_state
        As in `train_test_split`.
    n : int or float
        Ratings per user, or a share strictly between 0 and 1.
    min_train : int
        Ratings that every user keeps, at least 1.

    Raises
    ------
    ValueError
        An argument out of range, or no user with more than `min_train` ratings.
    """
    whole = as_interactions(R)
    min_train = check_integer("min_train", min_train, minimum=1)
    users = whole.positions()[0]
    n_rated = np.bincount(users, minlength=whole.n_users)
    n_test = np.maximum(np.minimum(_wanted("n", n, n_rated), n_rated - min_train), 0)
    if not n_test.any():
        raise ValueError(
            f"no user has more than min_train={min_train} ratings (the most active has "
            f"{n_rated.max(initial=0)}), so none can be held out; "
            f"{'lower min_train' if min_train > 1 else 'use train_test_split'}."
        )
    permutation = check_random_state(random_state).permutation(len(whole))
    # Stable, whatever the processor
    grouped = permutation[np.argsort(users[permutation], kind="stable")]
    ends = np.cumsum(n_rated) - n_rated + n_test
    return _divide(whole, grouped[np.arange(len(whole)) < np.repeat(ends, n_rated)])


def temporal_split(R: Any, test_size: float = 0.1) -> Parts:
    """Hold out the latest ratings of all; of equal timestamps, by the file's order.

    Parameters
    ----------
    R, test_size
        As in `train_test_split`.

    Raises
    ------
    ValueError
        As there; no timestamps, or all equal.
    """
    whole = as_interactions(R)
    n_test = _count_held_out(test_size, len(whole), "ratings")
    if whole.timestamps is None:
        raise ValueError(
            "temporal_split needs timestamps and these ratings have none; read them too, or use "
            "train_test_split."
        )
    times = whole.timestamps[whole.order]
    if times.min() == times.max():
        raise ValueError(
            f"temporal_split needs timestamps that differ and all {len(whole)} are {times[0]}: "
            f"this copy has lost its times; use another, or train_test_split."
        )
    return _divide(whole, np.argsort(times, kind="stable")[len(whole) - n_test :])


def cold_row_split(
    R: Any,
    test_size: float = 0.1,
    axis: Literal["user", "item"] = "user",
    random_state: RandomState = None,
) -> Parts:
    """Hold out all ratings of some random users (or items), so that every test pair is cold.

    Parameters
    ----------
    R, random_state
        As in `train_test_split`.
    test_size : float or int
        As there, of users (items) with ratings.
    axis : {"user", "item"}

    Raises
    ------
    ValueError
        As there; `axis` is unknown.
    """
    check_choice("axis", axis, ("user", "item"))
    whole = as_interactions(R)
    positions = whole.positions()[0 if axis == "user" else 1]
    rated = np.unique(positions)
    n_test = _count_held_out(test_size, len(rated), f"{axis}s")
    held_out = check_random_state(random_state).permutation(rated)[:n_test]
    return _divide(whole, np.flatnonzero(np.isin(positions, held_out)))


def _wanted(name: str, size: object, n: Any) -> Any:
    if isinstance(size, numbers.Integral):
        return check_integer(name, size, minimum=1)
    share = check_number(name, size, minimum=0.0, maximum=1.0, inclusive=(False, False))
    return np.ceil(share * n).astype(np.int64)


def _count_held_out(test_size: object, n: int, what: str) -> int:
    n_test = int(_wanted("test_size", test_size, n))
    if n_test >= n:
        raise ValueError(
            f"test_size={test_size} holds out {n_test} of {n} {what} and leaves none for training; "
            f"pass a smaller test_size, or more {what}."
        )
    return n_test


def _divide(whole: Ratings, held_out: NDArray[np.integer]) -> Parts:
    is_test = np.zeros(len(whole), dtype=bool)
    is_test[held_out] = True
    return whole.select(~is_test), whole.select(is_test)


def shared_pairs(training: Ratings, test: Ratings) -> Array:
    """Return which pairs of `test`, in file order, `training` has too: bool, (n_test,)."""
    users, items, _ = test.triples()
    rows, columns = training.user_positions(users), training.item_positions(items)
    indptr, indices = training.matrix.indptr, training.matrix.indices
    low, end = indptr[rows].astype(np.int64), indptr[rows + 1]  # of -1: the last, and the first
    high = end.astype(np.int64)
    while (unsure := low < high).any():  # bisection in each row
        middle = (low + high)[unsure] // 2
        after = indices[middle] < columns[unsure]
        low[unsure] = np.where(after, middle + 1, low[unsure])
        high[unsure] = np.where(after, high[unsure], middle)
    shared = (low < end) & (columns >= 0)
    shared[shared] = indices[low[shared]] == columns[shared]
    return np.asarray(shared)


def check_apart(training: Ratings, test: Ratings, advice: str) -> None:
    n_shared = np.count_nonzero(shared_pairs(training, test))
    if n_shared:
        raise ValueError(
            f"{n_shared} of the {len(test)} test pairs are also training pairs, {advice}"
        )


def ndcg(hits: Array, counts: Array) -> Array:
    """Return NDCG of each list from its hits (m, n), best first, and all that are wanted, (m,)."""
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(discounts)[np.minimum(counts, len(discounts)).astype(int) - 1]
    return np.asarray(hits @ discounts / ideal)


def rmse(true: ArrayLike, predicted: ArrayLike) -> float:
    """Root mean squared error, pooled over all pairs, in float64.

    Parameters
    ----------
    true, predicted : array-like of shape (n,)
        Ratings and their predictions, in the same order.

    Returns
    -------
    float
        In rating units.

    Raises
    ------
    ValueError
        Arrays that are empty, not 1-d, of different lengths, or hold NaN or infinity.
    TypeError
        No real numbers.
    """
    error = _errors(true, predicted)
    return float(np.sqrt(np.mean(error * error)))


def mae(true: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error; all else as in :func:`rmse`, which is never smaller."""
    return float(np.mean(np.abs(_errors(true, predicted))))


def _errors(true: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    left, right = finite_vector("true", true), finite_vector("predicted", predicted)
    if len(left) != len(right):
        raise ValueError(
            f"true has {len(left)} ratings and predicted has {len(right)}; give every test pair a "
            f"prediction."
        )
    return left - right


def finite_vector(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise TypeError(
            f"{name} must hold real numbers, got {type(values).__name__} of dtype {array.dtype}; "
            f"pass numpy.asarray(values, dtype='float64') of texts, numpy.real(values) of complex "
            f"numbers; of a sparse matrix, pass its data."
        )
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be 1-d, one value per pair, got shape {array.shape}; of a table of users "
            f"x items, pass table[is_rated]."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty; pass at least one value.")
    vector = array.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(vector))
    if len(wrong):
        raise ValueError(
            f"{name} must be finite, got {vector[wrong[0]]} at index {wrong[0]} "
            f"({len(wrong)} such values in all)."
        )
    return vector
