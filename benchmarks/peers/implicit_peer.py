"""implicit's alternating least squares, for the latency of a recommendation only."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from autorec_np import Ratings


def recommender(train: Ratings, factors: int) -> Callable[[int], object]:
    """Train briefly; return user position -> ten best unseen items."""
    matrix = csr_matrix(train.matrix.copy())  # writable and not an array, as it demands
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on BLAS threads
        model = AlternatingLeastSquares(factors=factors, iterations=1, random_state=0)
        model.fit(matrix, show_progress=False)
    return lambda user: model.recommend(user, matrix[user], N=10)
