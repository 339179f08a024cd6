"""`SVDpp`: matrix factorization that also reads which items a user has rated."""

from __future__ import annotations

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np._validation import RandomState
from autorec_np.baselines.biased_mf import best_rows, derivatives, objective, penalties
from autorec_np.baselines.factors import FactorModel, initial, residuals
from autorec_np.core.kernels import spmm, spmm_transpose, take_rows, with_data
from autorec_np.core.optimizers import Adam, learning_rate_at


def implicit_pattern(rated: CSR) -> CSR:
    """Return N of (47): 1 / sqrt(ratings of the user) where there is a rating."""
    counts = np.diff(rated.indptr)
    shares = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    return with_data(rated, shares.astype(rated.dtype))


def split(theta: Array) -> tuple[Array, Array]:
    """Return [Q, b_item] and Z of theta, (n_items, 2 k + 1)."""
    k = theta.shape[1] // 2
    return theta[:, : k + 1], theta[:, k + 1 :]


def best_users(rated: CSR, theta: Array, weights: Array) -> tuple[Array, Array]:
    """Return the [P, b_user] that minimize (48), and [N Z, 0]."""
    items, Z = split(theta)
    implied = np.zeros((rated.shape[0], items.shape[1]), theta.dtype)
    implied[:, :-1] = spmm(implicit_pattern(rated), Z)
    no_bias = items * (np.arange(items.shape[1]) < Z.shape[1])
    left = residuals(rated, implied, no_bias)
    return best_rows(left, items, weights), implied


def value_and_gradient(
    rated: CSR, theta: Array, weights: tuple[Array, Array, Array]
) -> tuple[float, Array]:
    """Return (48) of some users at the best [P, b_user], and its derivative by theta, (49)."""
    (items, Z), (of_users, of_items, of_Z) = split(theta), weights
    own, implied = best_users(rated, theta, of_users)
    users = own + implied
    d_users, d_items = derivatives(rated, users, items, (np.zeros_like(users), of_items))
    d_Z = of_Z * Z + spmm_transpose(implicit_pattern(rated), d_users[:, :-1])
    value = objective(rated, users, items, (np.zeros_like(users), of_items))
    value += float(np.sum(of_users * np.square(own)) + np.sum(of_Z * np.square(Z)))
    return value, 2 * np.column_stack([d_items, d_Z])


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
        regularization: float = 1.4,
        max_iter: int = 15,
        learning_rate_init: float = 0.03,
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
        n_users, n_items = rated.shape
        _, items = initial(rated.shape, self.n_factors, rng)
        theta = np.column_stack([items, np.zeros((n_items, self.n_factors), np.float32)])
        of_users, of_items = penalties(rated, self.n_factors + 1, self.regularization)
        of_Z = of_items[:, :-1]
        adam, losses, n_batches = Adam(), [], -(-n_users // self.batch_size)
        for epoch in range(self.max_iter):
            order, total = rng.permutation(n_users), 0.0
            for batch in range(n_batches):
                users, step = order[batch::n_batches], epoch * n_batches + batch
                share = np.float32(len(users) / n_users)
                weights = of_users[users], share * of_items, share * of_Z
                value, gradient = value_and_gradient(take_rows(rated, users), theta, weights)
                rate = learning_rate_at(
                    "cosine", self.learning_rate_init, step, self.max_iter * n_batches
                )
                theta, total = adam.step(theta, gradient, rate), total + value
            losses.append(total)
        own, implied = best_users(rated, theta, of_users)
        return own + implied, split(theta)[0], losses
