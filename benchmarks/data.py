"""The ratings that the rows are measured on, loaded or made once a run."""

from __future__ import annotations

from functools import cache

import numpy as np

from autorec_np import Ratings, fetch_movielens, make_ratings, train_test_split
from autorec_np._types import CSR


@cache
def movielens_split(name: str = "ml-1m") -> tuple[Ratings, Ratings]:
    """Return the training and test part: random 90/10, seed 0."""
    train, test = train_test_split(fetch_movielens(name).ratings, 0.1, random_state=0)
    return train, test


def split_for(quick: bool) -> tuple[Ratings, Ratings]:
    """Return the split of ML-1M, or of a tenth as many made-up ratings, which need no archive."""
    if quick:
        train, test = train_test_split(planted(1_900, 1_170, 100_000), 0.1, random_state=0)
        return train, test
    return movielens_split()


@cache
def validation_split(name: str = "ml-1m") -> tuple[Ratings, Ratings]:
    """Return two parts of the training part: to fit, and 10 % to choose settings on."""
    fit, validation = train_test_split(movielens_split(name)[0], 0.1, random_state=1)
    return fit, validation


def by_item(ratings: Ratings) -> CSR:
    """Return the ratings with a row for each item (I-AutoRec), float32."""
    matrix: CSR = ratings.matrix.T.tocsr().astype(np.float32)
    return matrix


@cache
def planted(n_users: int, n_items: int, n_ratings: int) -> Ratings:
    """Return made-up, long-tailed ratings of a given shape."""
    return make_ratings(n_users=n_users, n_items=n_items, n_ratings=n_ratings, random_state=0)
