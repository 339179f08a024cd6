"""Synthetic ratings from a known model, so that the best attainable error is known too.

The generative model, for user u and item i, with w = high - low the width of the rating scale:

    r_ui = round( m + b_u + c_i + <p_u, q_i> + e_ui )      rounded to steps, clipped to the scale

    m    = (low + high) / 2 + w / 8                        people like what they choose: 3.5 of 1-5
    b_u  ~ N(0, (w / 10)^2),   c_i ~ N(0, (w / 8)^2)       user and item biases
    p_u  ~ N(0, I / sqrt(rank)),   q_i ~ N(0, I (w / 8)^2 / sqrt(rank))
                                                           <p_u, q_i> has standard deviation w / 8
    e_ui ~ N(0, noise^2)                                   in rating units

On the scale 1-5 these sizes resemble MovieLens, where a bias model explains about a third of the
variance and a good factor model a tenth more.

*Which* pairs are rated has a long tail on both sides and does not depend on the ratings. Item i has
the popularity exp(popularity * z_i) and user u the activity exp(activity * z_u), with z ~ N(0, 1):
lognormal weights. Each user gets one rating; a multinomial draw by activity divides the others, and
what exceeds n_items for a user is divided anew among the rest. A user with d ratings then draws d
different items, one after the other, by popularity among those that are left. Last, an item that
nobody drew takes over a random rating of an item that has more than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from autorec_np._validation import (
    RandomState,
    check_integer,
    check_number,
    check_random_state,
)
from autorec_np.ratings import Ratings, check_scale

__all__ = ["Truth", "make_ratings"]

BLOCK_SIZE = 2**20
"""Ratings that are drawn at a time: enough for NumPy to be quick, few enough for the caches."""

MAX_ROUNDS = 20
"""Rounds of drawing with replacement before the users still incomplete are completed exactly."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The parameters that planted ratings come from (see the module's generative model).

    Attributes
    ----------
    mean : float
    user_bias, item_bias : ndarray of float64, shape (n_users,) and (n_items,)
    user_factors, item_factors : ndarray of float64, shape (n_users, rank) and (n_items, rank)
    scale : tuple of float
        ``(low, high)``.
    """

    mean: float
    user_bias: NDArray[np.float64]
    item_bias: NDArray[np.float64]
    user_factors: NDArray[np.float64]
    item_factors: NDArray[np.float64]
    scale: tuple[float, float]

    def predict(self, user_ids: ArrayLike, item_ids: ArrayLike) -> NDArray[np.float64]:
        """Return the noiseless rating of each pair, clipped to the scale, but not rounded.

        Its RMSE is the yardstick for a model: sqrt(noise^2 + step^2 / 12), or a little less where
        the ends of the scale cut the noise off.

        Parameters
        ----------
        user_ids, item_ids : array-like of int, shape (n,)

        Returns
        -------
        ndarray of float64, shape (n,)

        Raises
        ------
        IndexError
            If an id is outside 0 ... n_users - 1, or 0 ... n_items - 1.
        """
        users = _checked_ids(user_ids, len(self.user_bias), "user")
        items = _checked_ids(item_ids, len(self.item_bias), "item")
        return np.clip(self._unclipped(users, items), *self.scale)

    def _unclipped(
        self, users: NDArray[np.integer], items: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        interaction = np.einsum("nk,nk->n", self.user_factors[users], self.item_factors[items])
        scores: NDArray[np.float64] = (
            self.mean + self.user_bias[users] + self.item_bias[items] + interaction
        )
        return scores


@overload
def make_ratings(
    n_users: int = ...,
    n_items: int = ...,
    n_ratings: int = ...,
    *,
    rank: int = ...,
    noise: float = ...,
    popularity: float = ...,
    activity: float = ...,
    scale: tuple[float, float] = ...,
    step: float | None = ...,
    random_state: RandomState = ...,
    return_truth: Literal[False] = ...,
) -> Ratings: ...
@overload
def make_ratings(
    n_users: int = ...,
    n_items: int = ...,
    n_ratings: int = ...,
    *,
    rank: int = ...,
    noise: float = ...,
    popularity: float = ...,
    activity: float = ...,
    scale: tuple[float, float] = ...,
    step: float | None = ...,
    random_state: RandomState = ...,
    return_truth: Literal[True],
) -> tuple[Ratings, Truth]: ...
def make_ratings(
    n_users: int = 1000,
    n_items: int = 800,
    n_ratings: int = 60_000,
    *,
    rank: int = 3,
    noise: float = 0.75,
    popularity: float = 1.5,
    activity: float = 1.0,
    scale: tuple[float, float] = (1.0, 5.0),
    step: float | None = 1.0,
    random_state: RandomState = None,
    return_truth: bool = False,
) -> Ratings | tuple[Ratings, Truth]:
    """Make ratings from user and item biases, low-rank factors and noise, with long tails.

    The module's docstring states the generative model. Time grows with the number of ratings, not
    with n_users * n_items (unless most cells are filled); no array of that size is ever formed.

    Parameters
    ----------
    n_users, n_items : int
        The ids are 0 ... n_users - 1 and 0 ... n_items - 1; popularity is independent of the id.
    n_ratings : int
        Number of different (user, item) pairs, at most n_users * n_items. With at least n_users
        ratings every user has one, with at least n_items every item; with fewer, some rows or
        columns are empty.
    rank : int
        Length of the factors; 0 for biases only.
    noise : float
        Standard deviation of the Gaussian noise, in rating units. The best attainable RMSE is about
        sqrt(noise^2 + step^2 / 12).
    popularity, activity : float
        Standard deviation of the logarithm of the items' popularity and of the users' activity,
        from 0 (uniform) to 5. MovieLens 1M has about 1.8 and 1.0.
    scale : (low, high)
        The rating scale; the ratings are clipped to it.
    step : float or None
        Distance between two neighboring ratings; high - low must be a multiple of it. None leaves
        the ratings unrounded.
    random_state : None, int or numpy.random.Generator
        An int makes the ratings repeatable.
    return_truth : bool
        Whether to return the planted parameters too.

    Returns
    -------
    Ratings, or (Ratings, Truth)
        The ratings in random order, as in a shuffled file, without timestamps.

    Raises
    ------
    ValueError
        If more ratings than pairs are asked for, or an argument is out of range.
    TypeError
        If an argument is of the wrong type.
    """
    n_users = check_integer("n_users", n_users, minimum=1)
    n_items = check_integer("n_items", n_items, minimum=1)
    n_ratings = check_integer("n_ratings", n_ratings, minimum=1)
    if n_ratings > n_users * n_items:
        raise ValueError(
            f"n_ratings must be at most n_users * n_items = {n_users} * {n_items} = "
            f"{n_users * n_items}, because a pair is rated once; got {n_ratings}. Ask for fewer "
            f"ratings, or for more users or items."
        )
    rank = check_integer("rank", rank, minimum=0)
    noise = check_number("noise", noise, minimum=0.0)
    popularity = check_number("popularity", popularity, minimum=0.0, maximum=5.0)
    activity = check_number("activity", activity, minimum=0.0, maximum=5.0)
    low, high = check_scale(scale)
    step = _checked_step(step, low, high)
    rng = check_random_state(random_state)

    truth = _draw_truth(n_users, n_items, rank, (low, high), rng)
    degrees = _draw_degrees(_lognormal_weights(n_users, activity, rng), n_ratings, n_items, rng)
    indptr = np.concatenate(([0], np.cumsum(degrees)))
    indices = _draw_items(indptr, _lognormal_weights(n_items, popularity, rng), rng)
    _cover_items(indptr, indices, n_items, rng)
    data = _draw_ratings(truth, indptr, indices, noise, step, rng)
    matrix = sparse.csr_array((data, indices, indptr), shape=(n_users, n_items))
    matrix.has_canonical_format = True
    ratings = _as_shuffled_file(matrix, (low, high), rng)
    return (ratings, truth) if return_truth else ratings


def _checked_step(step: object, low: float, high: float) -> float | None:
    if step is None:
        return None
    value = check_number("step", step, minimum=0.0, inclusive=(False, True))
    n_steps = (high - low) / value
    if n_steps < 0.5 or abs(n_steps - round(n_steps)) > 1e-9 * n_steps:
        raise ValueError(
            f"step={value:g} does not divide the scale ({low:g}, {high:g}) into equal steps; pass "
            f"a step that does, or step=None for ratings that are not rounded."
        )
    return value


def _checked_ids(ids: ArrayLike, n: int, what: str) -> NDArray[np.integer]:
    positions = np.asarray(ids)
    if positions.dtype.kind not in "iu":
        raise TypeError(f"{what} ids must be integers, got dtype {positions.dtype}.")
    outside = (positions < 0) | (positions >= n)
    if outside.any():
        raise IndexError(f"{what} ids must be from 0 to {n - 1}, got {positions[outside].flat[0]}.")
    return positions


def _lognormal_weights(n: int, sigma: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return n weights exp(sigma * z); z ~ N(0, 1)."""
    return np.exp(sigma * rng.standard_normal(n))


def _draw_truth(
    n_users: int, n_items: int, rank: int, scale: tuple[float, float], rng: np.random.Generator
) -> Truth:
    low, high = scale
    width = high - low
    # rank terms, each of variance (spread / sqrt(rank)) ** 2, add up to variance spread ** 2.
    spread = max(rank, 1) ** -0.25
    return Truth(
        mean=(low + high) / 2 + width / 8,
        user_bias=width / 10 * rng.standard_normal(n_users),
        item_bias=width / 8 * rng.standard_normal(n_items),
        user_factors=spread * rng.standard_normal((n_users, rank)),
        item_factors=width / 8 * spread * rng.standard_normal((n_items, rank)),
        scale=scale,
    )


def _draw_degrees(
    weights: NDArray[np.float64], n_ratings: int, n_items: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the number of ratings of each user: n_ratings in all, each at most n_items."""
    n_users = len(weights)
    degrees = np.full(n_users, 1 if n_ratings >= n_users else 0, dtype=np.int64)
    missing = n_ratings - int(degrees.sum())
    # Whatever is missing after a round was drawn for users who became full in it, so their number
    # grows in every round and the loop ends.
    while missing:
        open_users = np.flatnonzero(degrees < n_items)
        share = weights[open_users] / weights[open_users].sum()
        degrees[open_users] += rng.multinomial(missing, share)
        np.minimum(degrees, n_items, out=degrees)
        missing = n_ratings - int(degrees.sum())
    return degrees


def _draw_items(
    indptr: NDArray[np.int64], weights: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int32]:
    """Return the items of each user, different and sorted: the ``indices`` of a CSR matrix."""
    n_users, n_items = len(indptr) - 1, len(weights)
    indices = np.empty(indptr[-1], dtype=np.int32)
    start = 0
    while start < n_users:
        # As many users as fit into a block, at least one.
        stop = int(np.searchsorted(indptr, indptr[start] + BLOCK_SIZE, side="right")) - 1
        stop = max(stop, start + 1)
        codes = _draw_block(np.diff(indptr[start : stop + 1]), weights, rng)
        indices[indptr[start] : indptr[stop]] = codes % n_items
        start = stop
    return indices


def _draw_block(
    degrees: NDArray[np.int64], weights: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the sorted codes, user * n_items + item, of different items for each user.

    To draw one item after the other among those that are left is to draw with replacement and to
    ignore what was drawn before, until there are enough. So each round draws for every user as many
    items as are missing, and never too many. A user for whom this takes long, because few items are
    left, is completed by an equivalent draw that looks at all items.
    """
    n_items = len(weights)
    cumulative = np.cumsum(weights)
    codes = np.empty(0, dtype=np.int64)
    # From an eighth of all items on, looking at all of them is the quicker way from the start.
    is_dense = degrees > n_items // 8
    missing = np.where(is_dense, 0, degrees)
    for _ in range(MAX_ROUNDS):
        users = np.repeat(np.arange(len(degrees)), missing)
        if len(users) == 0:
            break
        items = np.searchsorted(cumulative, cumulative[-1] * rng.random(len(users)), side="right")
        drawn = np.sort(users * n_items + items)
        place = np.searchsorted(codes, drawn)
        is_new = np.append(True, drawn[1:] != drawn[:-1])
        inside = place < len(codes)
        is_new[inside] &= codes[place[inside]] != drawn[inside]
        codes = np.insert(codes, place[is_new], drawn[is_new])
        missing -= np.bincount(drawn[is_new] // n_items, minlength=len(degrees))
    missing[is_dense] = degrees[is_dense]
    completed = [
        _complete_user(user, int(missing[user]), codes, weights, rng)
        for user in np.flatnonzero(missing).tolist()
    ]
    return np.sort(np.concatenate([codes, *completed])) if completed else codes


def _complete_user(
    user: int,
    missing: int,
    codes: NDArray[np.int64],
    weights: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the codes of `missing` more items for a user who has those in the sorted `codes`.

    An exponential race: item i arrives after an exponential time with rate weights[i]; the first to
    arrive are distributed as items drawn one after the other by weight without replacement.
    """
    n_items = len(weights)
    arrival = rng.standard_exponential(n_items) / weights
    first, last = np.searchsorted(codes, (user * n_items, (user + 1) * n_items))
    arrival[codes[first:last] - user * n_items] = np.inf
    chosen: NDArray[np.int64] = np.argpartition(arrival, missing - 1)[:missing]
    return user * n_items + chosen


def _cover_items(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    n_items: int,
    rng: np.random.Generator,
) -> None:
    """Give each item without a rating a random one of an item that has more, in place."""
    is_rated = np.zeros(n_items, dtype=bool)
    is_rated[indices] = True
    unrated = np.flatnonzero(~is_rated)
    if len(unrated) == 0:
        return
    # Any one rating of each rated item stays; the others can be given away.
    kept = np.empty(n_items, dtype=np.int64)
    kept[indices] = np.arange(len(indices))
    is_spare = np.ones(len(indices), dtype=bool)
    is_spare[kept[is_rated]] = False
    spare = np.flatnonzero(is_spare)
    n_moved = min(len(unrated), len(spare))
    moved = spare[rng.choice(len(spare), size=n_moved, replace=False)]
    indices[moved] = rng.permutation(unrated)[:n_moved]
    for user in np.unique(np.searchsorted(indptr, moved, side="right") - 1):
        indices[indptr[user] : indptr[user + 1]].sort()


def _draw_ratings(
    truth: Truth,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    noise: float,
    step: float | None,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return a noisy rating, on the scale, for every pair of a CSR pattern."""
    low, high = truth.scale
    data = np.empty(len(indices), dtype=np.float32)
    for start in range(0, len(data), BLOCK_SIZE):
        block = slice(start, min(start + BLOCK_SIZE, len(data)))
        users = np.searchsorted(indptr, np.arange(block.start, block.stop), side="right") - 1
        scores = truth._unclipped(users, indices[block])
        scores += noise * rng.standard_normal(len(scores))
        if step is not None:
            scores = low + step * np.rint((scores - low) / step)
        data[block] = np.clip(scores, low, high)
    return data


def _as_shuffled_file(
    matrix: sparse.csr_array[np.float32], scale: tuple[float, float], rng: np.random.Generator
) -> Ratings:
    """Wrap a canonical CSR as Ratings with ids 0, 1, ... and a random order."""
    order = rng.permutation(matrix.nnz)
    user_ids, item_ids = (np.arange(n, dtype=np.int64) for n in matrix.shape)
    for array in (matrix.data, matrix.indices, matrix.indptr, user_ids, item_ids, order):
        array.flags.writeable = False
    return Ratings(matrix, user_ids, item_ids, None, scale, order)
