"""The models to beat: the global mean, and regularized biases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from autorec_np._validation import check_number
from autorec_np.data.ratings import as_ratings
from autorec_np.models.base import Recommender, check_not_empty

if TYPE_CHECKING:
    from typing_extensions import Self

Array: TypeAlias = npt.NDArray[Any]
CSR: TypeAlias = "sparse.csr_array[Any, tuple[int, int]]"

MAX_SWEEPS = 200
SMALLEST_CHANGE = 1e-6  # of a bias in rating units: sweeps end below it
OVER_RELAXATION = 1.5  # between 1 and 2; with 1 it takes ML-1M two to three times the sweeps


class Biases(NamedTuple):
    """r_ui = mean + user[u] + item[i]; float64. A bias without ratings is 0."""

    mean: float
    user: Array
    item: Array

    def at(self, users: Array, items: Array) -> Array:
        """Return the sums for pairs of positions; -1 (unknown) has bias 0."""
        user, item = np.append(self.user, 0.0), np.append(self.item, 0.0)
        return np.asarray(self.mean + user[users] + item[items])


def fit_biases(matrix: CSR, regularization: float) -> Biases:
    """Return the minimizer of sum (r - mean - b_u - b_i)^2 + lambda (sum b_u^2 + sum b_i^2).

    The mean is that of the ratings. User and item biases move in turn to their exact minimizers,
    sum of residuals / (lambda + count), (19), and beyond by OVER_RELAXATION (Young, 1954), until
    they settle (Koren, 2010, section 2.1).

    Parameters
    ----------
    matrix : csr_array, (n_users, n_items)
    regularization : float
        lambda, in units of ratings (counts).
    """
    values = matrix.data.astype(np.float64)
    mean = float(values.mean())
    pattern, residuals = (
        sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
        for data in (np.ones(matrix.nnz), values - mean)
    )
    user_sums: Array = residuals.sum(axis=1)
    item_sums: Array = residuals.sum(axis=0)
    # an empty row with lambda = 0 would divide its sum 0 by 0
    smallest = regularization or 1.0
    user_weights = np.maximum(regularization + pattern.sum(axis=1), smallest)
    item_weights = np.maximum(regularization + pattern.sum(axis=0), smallest)
    user, item = np.zeros(len(user_sums)), np.zeros(len(item_sums))
    for _ in range(MAX_SWEEPS):
        previous = item
        best_item = (item_sums - pattern.T @ user) / item_weights
        item = item + OVER_RELAXATION * (best_item - item)
        best_user = (user_sums - pattern @ item) / user_weights
        user = user + OVER_RELAXATION * (best_user - user)
        if np.abs(item - previous).max() < SMALLEST_CHANGE:
            break
    return Biases(mean, best_user, item)


class GlobalMean(Recommender):
    """Predicts the mean of the training ratings.

    Attributes
    ----------
    mean_ : float
    """

    def __init__(self) -> None:
        pass

    def fit(self, ratings: Any, validation: Any = None) -> Self:
        """Fit to ratings (anything that `as_ratings` takes)."""
        training = as_ratings(ratings)
        check_not_empty(training)
        self._remember(training, training, indexed=sparse.issparse(ratings))
        self.mean_ = float(training.matrix.data.mean(dtype=np.float64))
        return self

    def _score_pairs(self, users: Array, items: Array) -> Array:
        return np.full(len(users), self.mean_)

    def _score_all_items(self, users: Array) -> Array:
        return np.full((len(users), self.ratings_.n_items), self.mean_)


class BiasBaseline(Recommender):
    """Predicts mean + user bias + item bias.

    Parameters
    ----------
    regularization : float
        lambda of :func:`fit_biases`: shrinks a bias as that many further ratings without residual
        would.

    Attributes
    ----------
    biases_ : Biases
    """

    def __init__(self, regularization: float = 5.0) -> None:
        self.regularization = regularization

    def fit(self, ratings: Any, validation: Any = None) -> Self:
        """Fit to ratings (anything that `as_ratings` takes)."""
        regularization = check_number("regularization", self.regularization, minimum=0.0)
        training = as_ratings(ratings)
        check_not_empty(training)
        self._remember(training, training, indexed=sparse.issparse(ratings))
        self.biases_ = fit_biases(training.matrix, regularization)
        return self

    def _score_pairs(self, users: Array, items: Array) -> Array:
        return self.biases_.at(users, items)

    def _score_all_items(self, users: Array) -> Array:
        return self.biases_.mean + self.biases_.user[users, np.newaxis] + self.biases_.item
