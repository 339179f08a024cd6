"""`SVDpp`: matrix factorization in which what a user has rated, liked or not, says who it is."""

from __future__ import annotations

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np._validation import RandomState
from autorec_np.baselines.biased_mf import best_rows, penalties
from autorec_np.baselines.factors import FactorModel, design, initial, scores_at
from autorec_np.core.kernels import sddmm, spmm, spmm_transpose, take_rows, with_data
from autorec_np.core.optimizers import Adam, learning_rate_at

YF = 1.0


def implicit_pattern(rated: CSR) -> CSR:
    """Return N: 1 / sqrt(ratings of the user) where there is a rating."""
    counts = np.diff(rated.indptr)
    shares = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    return with_data(rated, shares.astype(rated.dtype))


def best_users(rated: CSR, theta: Array, regularization: float) -> Array:
    """Return [P + N Y, b_user] where P and b_user are the minimizers of (48), by (46)."""
    items, Y = split(theta)
    implied = np.column_stack([spmm(implicit_pattern(rated), Y), np.zeros(rated.shape[0], Y.dtype)])
    left = rated.data - sddmm(rated, implied, design(items))
    return implied + best_rows(with_data(rated, left), items, regularization)


def split(theta: Array) -> tuple[Array, Array]:
    """Return [Q, b_item] and Y of their array (n_items, 2 k + 1)."""
    k = theta.shape[1] // 2
    return theta[:, : k + 1], theta[:, k + 1 :]


def value_and_gradient(
    rated: CSR, theta: Array, regularization: float, weights: Array
) -> tuple[float, Array]:
    """Return (48) of some users and its derivative by theta = [Q, b_item, Y], (49)."""
    items, Y = split(theta)
    N = implicit_pattern(rated)
    users = best_users(rated, theta, regularization)
    own = users.copy()
    own[:, :-1] -= spmm(N, Y)
    E = with_data(rated, rated.data - scores_at(rated, users, items))
    of_users, _ = penalties(rated, own.shape[1], regularization)
    value = np.sum(np.square(E.data), dtype=np.float64)
    value += np.sum(of_users * np.square(own)) + np.sum(
        weights * np.square(theta), dtype=np.float64
    )
    d_implied = -2 * spmm(E, items[:, :-1])
    d_items = -2 * spmm_transpose(E, design(users))
    gradient = np.column_stack([d_items, spmm_transpose(N, d_implied)])
    return float(value), gradient + 2 * weights * theta


class SVDpp(FactorModel):
    """SVD++ (Koren, 2008).

    Parameters
    ----------
    n_factors : int
        k.
    regularization : float
        lambda of (48), for each rating.
    max_iter : int
        Passes through the users.
    learning_rate_init : float
        Of Adam.
    batch_size : int
        Users in a minibatch.
    random_state : int, Generator or None
    """

    def __init__(
        self,
        n_factors: int = 20,
        regularization: float = 0.05,
        max_iter: int = 20,
        learning_rate_init: float = 0.01,
        batch_size: int = 128,
        random_state: RandomState = None,
    ) -> None:
        self.n_factors = n_factors
        self.regularization = regularization
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.random_state = random_state

    def _learn(self, rated: CSR, rng: np.random.Generator) -> tuple[Array, Array, list[float]]:
        n_users, _ = rated.shape
        _, items = initial(rated.shape, self.n_factors, rng)
        theta = np.column_stack([items, np.zeros((len(items), self.n_factors), np.float32)])
        adam, losses = Adam(), []
        of_items = penalties(rated, self.n_factors + 1, self.regularization)[1]
        weights = np.column_stack([of_items, YF * of_items[:, :-1]]).astype(np.float32)
        n_batches = -(-n_users // self.batch_size)
        for epoch in range(self.max_iter):
            order, total = rng.permutation(n_users), 0.0
            for batch in range(n_batches):
                rows = order[batch::n_batches]
                step = epoch * n_batches + batch
                rate = learning_rate_at(
                    "cosine", self.learning_rate_init, step, self.max_iter * n_batches
                )
                value, gradient = value_and_gradient(
                    take_rows(rated, rows),
                    theta,
                    self.regularization,
                    weights * (len(rows) / n_users),
                )
                theta = adam.step(theta, gradient, rate)
                total += value
            losses.append(total)
        return best_users(rated, theta, self.regularization), split(theta)[0], losses
