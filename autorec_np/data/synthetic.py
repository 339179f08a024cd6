"""Synthetic ratings from a known model, so that the best error is known too.

For user u and item i, with w = high - low:

    r_ui = round( m + b_u + c_i + <p_u, q_i> + e_ui )      rounded to steps, clipped to the scale

    m    = (low + high) / 2 + w / 8                        people like what they choose: 3.5 of 1-5
    b_u  ~ N(0, (w / 10)^2),   c_i ~ N(0, (w / 8)^2)       user and item biases
    p_u  ~ N(0, I / sqrt(rank)),   q_i ~ N(0, I (w / 8)^2 / sqrt(rank))
    e_ui ~ N(0, noise^2)                                   in rating units

*Which* pairs are rated does not depend on the ratings. Item i has the popularity
exp(popularity * z_i), user u the activity exp(activity * z_u), z ~ N(0, 1). Each user gets one
rating; a multinomial draw by activity divides the others. A user with d ratings draws d different
items by popularity. An item that nobody drew takes one over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autorec_np._validation import RandomState, check_integer, check_number, check_random_state
from autorec_np.data.entries import canonical_csr, frozen
from autorec_np.data.ratings import Ratings
from autorec_np.data.values import check_scale

BLOCK_SIZE = 2**20  # ratings
MAX_ROUNDS = 20

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Truth:
    """The parameters of the module's model.

    Attributes
    ----------
    mean : float
    user_bias, item_bias : ndarray of float64, shape (n_users,) and (n_items,)
    user_factors, item_factors : ndarray of float64, shape (n_users, rank) and (n_items, rank)
    scale : tuple of float
    """

    mean: float
    user_bias: Floats
    item_bias: Floats
    user_factors: Floats
    item_factors: Floats
    scale: tuple[float, float]

    def predict(self, user_ids: ArrayLike, item_ids: ArrayLike) -> Floats:
        """Return the noiseless ratings, float64 (n,), of pairs of ids: clipped, not rounded.

        Their RMSE is at most about sqrt(noise^2 + step^2 / 12).
        """
        pairs = np.asarray(user_ids), np.asarray(item_ids)
        lengths = len(self.user_bias), len(self.item_bias)
        for what, ids, length in zip(("user", "item"), pairs, lengths, strict=True):
            if ids.dtype.kind not in "iu":
                raise TypeError(f"{what} ids must be integers, got dtype {ids.dtype}.")
            wrong = ids[(ids < 0) | (ids >= length)]
            if wrong.size:
                raise IndexError(f"{what} ids must be from 0 to {length - 1}, got {wrong[0]}.")
        return np.clip(self.score(*pairs), *self.scale)

    def score(self, users: Integers, items: Integers) -> Floats:
        interaction = np.einsum("nk,nk->n", self.user_factors[users], self.item_factors[items])
        scores: Floats = self.mean + self.user_bias[users] + self.item_bias[items] + interaction
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
    """Make ratings by the model of the module: biases, low-rank factors, noise and long tails.

    Parameters
    ----------
    n_users, n_items : int
        The ids count from 0.
    n_ratings : int
        At most n_users * n_items. With n_users or more every user has one, with n_items every item.
    rank : int
        Of the factors; 0 for biases only.
    noise : float
        Standard deviation, in rating units.
    popularity, activity : float
        Standard deviations of their logarithms, from 0 to 5. MovieLens 1M has about 1.8 and 1.0.
    scale : (low, high)
        Clips the ratings.
    step : float or None
        Between ratings; divides high - low. None: no rounding.
    random_state : None, int or numpy.random.Generator
    return_truth : bool
        The parameters too.

    Returns
    -------
    Ratings, or (Ratings, Truth)
        In random order, without timestamps.

    Raises
    ------
    ValueError, TypeError
        An argument out of range or of a wrong type.
    """
    n_users = check_integer("n_users", n_users, minimum=1)
    n_items = check_integer("n_items", n_items, minimum=1)
    n_ratings = check_integer("n_ratings", n_ratings, minimum=1)
    if n_ratings > n_users * n_items:
        raise ValueError(
            f"n_ratings must be at most n_users * n_items = {n_users} * {n_items} = "
            f"{n_users * n_items}, because a pair is rated once, got {n_ratings}; ask for fewer."
        )
    rank = check_integer("rank", rank, minimum=0)
    noise = check_number("noise", noise, minimum=0.0)
    popularity = check_number("popularity", popularity, minimum=0.0, maximum=5.0)
    activity = check_number("activity", activity, minimum=0.0, maximum=5.0)
    low, high = check_scale(scale)
    if step is not None:
        step = check_number("step", step, minimum=0.0, inclusive=(False, True))
        n_steps = (high - low) / step
        if abs(n_steps - round(n_steps)) > 1e-9 * n_steps:
            raise ValueError(
                f"step={step:g} does not divide the scale ({low:g}, {high:g}) into equal steps; "
                f"pass one that does, or step=None."
            )
    rng = check_random_state(random_state)

    width = high - low
    spread = max(rank, 1) ** -0.25  # of a factor
    truth = Truth(
        mean=(low + high) / 2 + width / 8,
        user_bias=width / 10 * rng.standard_normal(n_users),
        item_bias=width / 8 * rng.standard_normal(n_items),
        user_factors=spread * rng.standard_normal((n_users, rank)),
        item_factors=width / 8 * spread * rng.standard_normal((n_items, rank)),
        scale=(low, high),
    )
    activities = np.exp(activity * rng.standard_normal(n_users))
    degrees = _draw_degrees(activities, n_ratings, n_items, rng)
    indptr = np.concatenate(([0], np.cumsum(degrees)))
    indices = _draw_items(indptr, np.exp(popularity * rng.standard_normal(n_items)), rng)
    rows = np.repeat(np.arange(n_users, dtype=np.int32), degrees)
    _cover_items(indptr, indices, rows, n_items, rng)
    data = np.empty(n_ratings, dtype=np.float32)
    for start in range(0, n_ratings, BLOCK_SIZE):
        block = slice(start, start + BLOCK_SIZE)
        scores = truth.score(rows[block], indices[block])
        scores += noise * rng.standard_normal(len(scores))
        if step is not None:
            scores = low + step * np.rint((scores - low) / step)
        data[block] = np.clip(scores, low, high)
    matrix = canonical_csr(data, indices, indptr, (n_users, n_items))
    users, items = (frozen(np.arange(n, dtype=np.int64)) for n in matrix.shape)
    order = frozen(rng.permutation(n_ratings))
    ratings = Ratings(matrix, users, items, None, truth.scale, order)
    return (ratings, truth) if return_truth else ratings


def _draw_degrees(
    weights: Floats, n_ratings: int, n_items: int, rng: np.random.Generator
) -> Integers:
    n_users = len(weights)
    degrees = np.full(n_users, n_ratings >= n_users, dtype=np.int64)
    # each round fills users up, or is the last
    while missing := n_ratings - int(degrees.sum()):
        is_open = degrees < n_items
        degrees[is_open] += rng.multinomial(missing, weights[is_open] / weights[is_open].sum())
        np.minimum(degrees, n_items, out=degrees)
    return degrees


def _draw_items(indptr: Integers, weights: Floats, rng: np.random.Generator) -> Integers:
    indices = np.empty(indptr[-1], dtype=np.int32)
    start = 0
    while start < len(indptr) - 1:
        fitting = int(np.searchsorted(indptr, indptr[start] + BLOCK_SIZE, side="right")) - 1
        stop = max(fitting, start + 1)
        codes = _draw_block(np.diff(indptr[start : stop + 1]), weights, rng)
        indices[indptr[start] : indptr[stop]] = codes % len(weights)
        start = stop
    return indices


def _draw_block(degrees: Integers, weights: Floats, rng: np.random.Generator) -> Integers:
    """Return the sorted codes, user * n_items + item, of different items for each user.

    Draws with replacement ignore repeats. A race completes them: item i arrives after an
    exponential time with rate weights[i].
    """
    n_items = len(weights)
    cumulative = np.cumsum(weights)
    codes = np.empty(0, dtype=np.int64)
    missing = degrees.copy()
    is_sparse = degrees <= n_items // 8
    for _ in range(MAX_ROUNDS):
        users = np.repeat(np.arange(len(degrees)), missing * is_sparse)
        if len(users) == 0:
            break
        items = np.searchsorted(cumulative, cumulative[-1] * rng.random(len(users)), side="right")
        drawn = np.sort(users * n_items + items)
        place = np.searchsorted(codes, drawn)
        is_new = (np.append(codes, -1)[place] != drawn) & (np.diff(drawn, prepend=-1) > 0)
        codes = np.insert(codes, place[is_new], drawn[is_new])
        missing -= np.bincount(drawn[is_new] // n_items, minlength=len(degrees))
    parts = [codes]
    for user in np.flatnonzero(missing):
        first = user * n_items
        arrival = rng.standard_exponential(n_items) / weights
        begin, end = np.searchsorted(codes, (first, first + n_items))
        arrival[codes[begin:end] - first] = np.inf
        parts.append(first + np.argpartition(arrival, missing[user] - 1)[: missing[user]])
    return np.sort(np.concatenate(parts))


def _cover_items(
    indptr: Integers, indices: Integers, users: Integers, n_items: int, rng: np.random.Generator
) -> None:
    unrated = np.delete(np.arange(n_items), indices)
    if len(unrated) == 0:
        return
    kept = np.full(n_items, -1)
    kept[indices] = np.arange(len(indices))
    spare = np.delete(np.arange(len(indices)), kept[kept >= 0])
    n_moved = min(len(unrated), len(spare))
    moved = rng.choice(spare, size=n_moved, replace=False)
    indices[moved] = rng.permutation(unrated)[:n_moved]
    for user in np.unique(users[moved]):
        indices[indptr[user] : indptr[user + 1]].sort()
