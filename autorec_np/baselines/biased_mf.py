"""`BiasedMF`: matrix factorization with biases, by least squares in turn or by gradient steps."""

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
    scores_at,
)
from autorec_np.data.entries import row_of_each

BIAS_PENALTY = 3.0  # of a squared bias: near what suits biases alone
SMALLEST_RIDGE = 1e-6  # of an empty row, and where regularization is 0


def penalties(rated: CSR, width: int, regularization: float) -> tuple[Array, Array]:
    """Return what (44) multiplies each squared entry of [P, b_user] and of [Q, b_item] with."""
    counts = np.diff(rated.indptr), np.bincount(rated.indices, minlength=rated.shape[1])
    of_rows, of_columns = (
        np.repeat(regularization * np.sqrt(n)[:, np.newaxis], width, axis=1) for n in counts
    )
    of_rows[:, -1] = of_columns[:, -1] = BIAS_PENALTY
    return of_rows, of_columns


def objective(rated: CSR, users: Array, items: Array, regularization: float) -> float:
    """Return (44), the squared errors and the penalty."""
    errors = rated.data - scores_at(rated, users, items)
    of_sides = penalties(rated, users.shape[1], regularization)
    penalty = sum(
        np.sum(weights * np.square(side))
        for weights, side in zip(of_sides, (users, items), strict=True)
    )
    return float(np.sum(np.square(errors), dtype=np.float64) + penalty)


def best_rows(rated: CSR, others: Array, regularization: float) -> Array:
    """Return the minimizers [P, b] of (44) where the other side stays, (46); 0 of an empty row."""
    width = others.shape[1]
    best = np.zeros((rated.shape[0], width), others.dtype)
    ridges = np.maximum(penalties(rated, width, regularization)[0], SMALLEST_RIDGE)
    for rows, grams, moments in normal_equations(rated, others):
        grams += ridges[rows, :, np.newaxis] * np.eye(width)
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
        Least squares, exact for users and items in turn; or gradient steps on minibatches.
    max_iter : int
        Passes through the ratings.
    learning_rate_init : float
        Of "sgd"; falls linearly to 0.
    batch_size : int
        Ratings in a minibatch of "sgd".
    random_state : int, Generator or None
    """

    def __init__(
        self,
        n_factors: int = 20,
        regularization: float = 0.05,
        solver: str = "als",
        max_iter: int = 20,
        learning_rate_init: float = 0.01,
        batch_size: int = 10_000,
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
        by_item, losses = rated.T.tocsr(), []
        for epoch in range(self.max_iter):
            if self.solver == "als":
                users = best_rows(rated, items, self.regularization)
                items = best_rows(by_item, users, self.regularization)
            else:
                rate = self.learning_rate_init * (1 - epoch / self.max_iter)
                self._descend(rated, users, items, rate, rng)
            losses.append(objective(rated, users, items, self.regularization))
        return users, items, losses

    def _descend(
        self, rated: CSR, users: Array, items: Array, rate: float, rng: np.random.Generator
    ) -> None:
        """Take a step along (47) for each minibatch, in place."""
        of_sides = [
            w.astype(np.float32) for w in penalties(rated, users.shape[1], self.regularization)
        ]
        rows, order = row_of_each(rated), rng.permutation(rated.nnz)
        for start in range(0, rated.nnz, self.batch_size):
            some = order[start : start + self.batch_size]
            u, i = rows[some], rated.indices[some]
            read = design(users), design(items)
            errors = rated.data[some] - np.einsum("nk,nk->n", users[u], read[1][i]) - items[i, -1]
            E = sparse.csr_array((errors, (u, i)), shape=rated.shape)
            share = np.float32(len(some) / rated.nnz)
            for side, passed, weights in zip(
                (users, items), (E @ read[1], E.T @ read[0]), of_sides, strict=True
            ):
                side += rate * (passed - share * weights * side)
