"""myFM: Bayesian factorization machines by Gibbs sampling, in C++."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from scipy import sparse

from autorec_np import Ratings
from autorec_np._types import Array

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks pkg_resources, deprecated, for its version
    import myfm


class Data(NamedTuple):
    """One-hot users and items, and ratings; the width of each group of columns."""

    pairs: sparse.csr_matrix
    ratings: Array
    groups: list[int]


def prepare(train: Ratings) -> Data:
    """Return the design matrix (n_ratings, n_users + n_items) and the ratings."""
    users, items, ratings = train.positions()
    columns = np.column_stack([users, items + train.n_users]).ravel()
    indptr = np.arange(0, 2 * len(users) + 1, 2)
    shape = (len(users), train.n_users + train.n_items)
    ones = np.ones(len(columns))
    pairs = sparse.csr_matrix((ones, columns, indptr), shape=shape)
    return Data(pairs, ratings.astype(float), [train.n_users, train.n_items])


def fit(data: Data, rank: int, n_iter: int) -> myfm.MyFMRegressor:
    """Draw `n_iter` samples and keep the later half; users and items are groups of their own."""
    model = myfm.MyFMRegressor(rank=rank, random_seed=0)
    return model.fit(
        data.pairs,
        data.ratings,
        n_iter=n_iter,
        n_kept_samples=n_iter // 2,
        group_shapes=data.groups,
    )


def predict(model: myfm.MyFMRegressor, test: Ratings) -> Array:
    """Return the mean prediction over the samples kept."""
    return np.asarray(model.predict(prepare(test).pairs))
