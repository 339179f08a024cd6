"""`BiasedMF`: matrix factorization by alternating least squares or by gradient steps."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np._validation import RandomState, check_choice
from autorec_np.baselines.factors import (
    FactorModel,
    design,
    initial,
    normal_equations,
    residuals,
)
from autorec_np.core.kernels import spmm, spmm_transpose
from autorec_np.data.entries import row_of_each

BIAS_PENALTY = 3.0  # of a squared bias
SMALLEST_RIDGE = 1e-6  # for empty rows, and regularization 0


def penalties(rated: CSR, width: int, regularization: float) -> tuple[Array, Array]:
    """Return the penalties (44) of the squared entries of [P, b_user] and [Q, b_item]."""
    counts = np.diff(rated.indptr), np.bincount(rated.indices, minlength=rated.shape[1])
    of_users, of_items = (
        np.repeat(regularization * np.sqrt(n)[:, np.newaxis], width, axis=1) for n in counts
    )
    of_users[:, -1] = of_items[:, -1] = BIAS_PENALTY
    return of_users.astype(rated.dtype), of_items.astype(rated.dtype)


def objective(rated: CSR, users: Array, items: Array, weights: tuple[Array, Array]) -> float:
    """Return (44) with penalties `weights`."""
    squares = [np.square(residuals(rated, users, items).data)]
    squares += [w * np.square(side) for w, side in zip(weights, (users, items), strict=True)]
    return float(sum(np.sum(one, dtype=np.float64) for one in squares))


def derivatives(
    rated: CSR, users: Array, items: Array, weights: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Return half the derivatives of (44) by [P, b_user] and [Q, b_item], (45)."""
    E = residuals(rated, users, items)
    d_users = weights[0] * users - spmm(E, design(items))
    d_items = weights[1] * items - spmm_transpose(E, design(users))
    return d_users, d_items


def best_rows(rated: CSR, others: Array, weights: Array) -> Array:
    """Return the minimizers [P, b] of (44) for the other side, (46); 0 of empty rows."""
    best = np.zeros((rated.shape[0], others.shape[1]), others.dtype)
    ridges = np.maximum(weights, SMALLEST_RIDGE)
    for rows, grams, moments in normal_equations(rated, others):
        grams += ridges[rows, :, np.newaxis] * np.eye(others.shape[1])
        best[rows] = np.linalg.solve(grams, moments[:, :, np.newaxis])[:, :, 0]
    return best


class BiasedMF(FactorModel):
    """Matrix factorization with biases (Koren, Bell and Volinsky, 2009).

    Parameters
    ----------
    n_factors : int
        k.
    regularization : float
        lambda of (44), for each rating.
    solver : {"als", "sgd"}
        Least squares for users and items in turn; or gradient steps on minibatches.
    max_iter : int
        Passes through the ratings.
    learning_rate_init : float
        Of "sgd"; falls linearly to 0. At most 1 / n for a row with n ratings in a minibatch.
    batch_size : int
        Ratings in a minibatch of "sgd".
    random_state : int, Generator or None
    """

    def __init__(
        self,
        n_factors: int = 20,
        regularization: float = 1.0,
        solver: str = "als",
        max_iter: int = 20,
        learning_rate_init: float = 0.05,
        batch_size: int = 5_000,
        random_state: RandomState = None,
    ) -> None:
        self.n_factors = n_factors
        self.regularization = regularization
        self.solver = solver
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.random_state = random_state

    def check_parameters(self) -> None:
        super().check_parameters()
        check_choice("solver", self.solver, ("als", "sgd"))

    def _learn(self, rated: CSR, rng: np.random.Generator) -> tuple[Array, Array, list[float]]:
        users, items = initial(rated.shape, self.n_factors, rng)
        weights = penalties(rated, self.n_factors + 1, self.regularization)
        by_item, losses = rated.T.tocsr(), []
        for epoch in range(self.max_iter):
            if self.solver == "als":
                users = best_rows(rated, items, weights[0])
                items = best_rows(by_item, users, weights[1])
            else:
                rate = self.learning_rate_init * (1 - epoch / self.max_iter)
                self._descend(rated, users, items, weights, rate, rng)
            losses.append(objective(rated, users, items, weights))
        return users, items, losses

    def _descend(
        self,
        rated: CSR,
        users: Array,
        items: Array,
        weights: tuple[Array, Array],
        rate: float,
        rng: np.random.Generator,
    ) -> None:
        """Step against (45) for each minibatch, in place; penalties add up, (16)."""
        rows, order = row_of_each(rated), rng.permutation(rated.nnz)
        for start in range(0, rated.nnz, self.batch_size):
            some = order[start : start + self.batch_size]
            triples = rated.data[some], (rows[some], rated.indices[some])
            batch = sparse.csr_array(triples, shape=rated.shape)
            share = np.float32(len(some) / rated.nnz)
            of_batch = share * weights[0], share * weights[1]
            counts = np.diff(batch.indptr), np.bincount(batch.indices, minlength=len(items))
            moves = derivatives(batch, users, items, of_batch)
            for side, move, n in zip((users, items), moves, counts, strict=True):
                rates = np.minimum(rate, 1 / np.maximum(n, 1)).astype(side.dtype)
                side -= rates[:, np.newaxis] * move
