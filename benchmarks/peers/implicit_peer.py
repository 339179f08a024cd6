"""implicit: alternating least squares (Hu, Koren, Volinsky 2008) and BPR (Rendle et al. 2009)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from autorec_np import Ratings
from autorec_np._types import Array
from benchmarks.harness import THREADS
from benchmarks.peers import best_unseen


def recommender(train: Ratings, factors: int) -> Callable[[int], object]:
    """Train briefly; return user position -> ten best unseen items."""
    matrix = csr_matrix(train.matrix.copy())  # writable and not an array, as it demands
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on BLAS threads
        model = AlternatingLeastSquares(factors=factors, iterations=1, random_state=0)
        model.fit(matrix, show_progress=False)
    return lambda user: model.recommend(user, matrix[user], N=10)


class Lists:
    """A contestant of `benchmarks.lists`; `settings` are implicit's own names."""

    def __init__(self, kind: Callable[..., Any]) -> None:
        self.kind = kind

    def prepare(self, train: Ratings) -> csr_matrix:
        """Return interactions, each of weight 1."""
        matrix = csr_matrix(train.matrix.copy(), dtype=np.float32)
        matrix.data[:] = 1.0
        return matrix

    def fit(self, data: csr_matrix, seed: int, **settings: Any) -> Any:
        """Train with its own threads, and one of BLAS, as it advises."""
        with threadpool_limits(1, "blas"):
            model = self.kind(num_threads=THREADS, random_state=seed, **settings)
            model.fit(data, show_progress=False)
        return model

    def lists(self, model: Any, train: Ratings, users: Array, n: int) -> Array:
        """Return ids, by its scores: products of its factors."""
        rows = train.user_positions(users)
        return best_unseen(model.user_factors[rows], model.item_factors, train, rows, n)


ALS = Lists(AlternatingLeastSquares)
BPR = Lists(BayesianPersonalizedRanking)
