"""Surprise's SVD and SVD++: factor models by stochastic gradient descent, in Cython."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
import surprise
from surprise import Reader, Trainset

from autorec_np import Ratings
from autorec_np._types import Array


class Fitter:
    """Trains one of Surprise's algorithms."""

    def __init__(self, algorithm: type[surprise.AlgoBase]) -> None:
        self.algorithm = algorithm

    def prepare(self, train: Ratings) -> Trainset:
        """Return Surprise's training set, with positions as ids."""
        columns = (array.tolist() for array in train.positions())
        rows = list(zip(*columns, [None] * len(train), strict=True))  # None: no time stamp
        return surprise.Dataset(Reader(rating_scale=train.scale)).construct_trainset(rows)

    def fit(self, data: Trainset, **settings: Any) -> surprise.AlgoBase:
        """Train; `settings` are Surprise's own names."""
        return self.algorithm(random_state=0, **settings).fit(data)

    def predict(self, model: surprise.AlgoBase, test: Ratings) -> Array:
        """Return predictions of the pairs of `test`."""
        users, items, _ = (array.tolist() for array in test.positions())
        return np.array([model.predict(u, i).est for u, i in zip(users, items, strict=True)])


SVD = Fitter(surprise.SVD)
SVDPP = Fitter(surprise.SVDpp)


def recommender(train: Ratings, factors: int) -> Callable[[int], object]:
    """Train briefly; return user position -> ten best unseen items.

    Surprise has no top-n of its own: this is the loop over `predict` of its documentation.
    """
    model = SVD.fit(SVD.prepare(train), n_factors=factors, n_epochs=1)
    matrix, every_item = train.matrix, range(train.n_items)

    def best(user: int) -> list[tuple[float, int]]:
        seen = set(matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]].tolist())
        unseen = (item for item in every_item if item not in seen)
        return heapq.nlargest(10, ((model.predict(user, item).est, item) for item in unseen))

    return best
