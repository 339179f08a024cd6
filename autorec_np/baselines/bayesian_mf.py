"""`BayesianMF`: the mean of many factorizations, drawn from their posterior by Gibbs sampling."""

from __future__ import annotations

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np._validation import RandomState
from autorec_np.baselines.factors import FactorModel, initial, normal_equations, scores_at

PRIOR_ROWS = 2.0  # beta_0: rows that the prior mean 0 counts as


def draw_prior(side: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw mean and precision of the rows from their posterior given the rows, (51)."""
    n, width = side.shape
    rows = side.astype(np.float64)
    average = rows.mean(axis=0)
    scatter = (rows - average).T @ (rows - average)
    pulled = PRIOR_ROWS * n / (PRIOR_ROWS + n) * np.outer(average, average)
    scale = np.linalg.cholesky(np.linalg.inv(np.eye(width) + scatter + pulled))
    bartlett = np.tril(rng.normal(size=(width, width)), -1)
    bartlett[np.diag_indices(width)] = np.sqrt(rng.chisquare(width + n - np.arange(width)))
    root = scale @ bartlett
    precision = root @ root.T
    noise = np.linalg.solve(np.linalg.cholesky(precision).T, rng.normal(size=width))
    return n * average / (PRIOR_ROWS + n) + noise / np.sqrt(PRIOR_ROWS + n), precision


def draw_rows(
    rated: CSR, side: Array, others: Array, alpha: float, rng: np.random.Generator
) -> Array:
    """Draw the rows [P, b] of one side given the other and the precision alpha, (50)."""
    prior_mean, prior_precision = draw_prior(side, rng)
    drawn = np.empty_like(side)
    for rows, grams, moments in normal_equations(rated, others):
        precisions = alpha * grams + prior_precision
        rights = alpha * moments + prior_precision @ prior_mean
        roots = np.linalg.cholesky(precisions)
        noise = rng.normal(size=(*rights.shape, 1))
        means = np.linalg.solve(precisions, rights[:, :, np.newaxis])
        drawn[rows] = (means + np.linalg.solve(roots.swapaxes(1, 2), noise))[:, :, 0]
    return drawn


class BayesianMF(FactorModel):
    """Bayesian matrix factorization with biases (Salakhutdinov and Mnih, 2008).

    Parameters
    ----------
    n_factors : int
        k of one sample.
    max_iter : int
        Sweeps of the Gibbs sampler.
    burn_in : int
        Sweeps before the first sample.
    n_samples : int
        Samples kept; the model has ``n_samples * n_factors`` factors.
    random_state : int, Generator or None
    """

    def __init__(
        self,
        n_factors: int = 32,
        max_iter: int = 60,
        burn_in: int = 10,
        n_samples: int = 10,
        random_state: RandomState = None,
    ) -> None:
        self.n_factors = n_factors
        self.max_iter = max_iter
        self.burn_in = burn_in
        self.n_samples = n_samples
        self.random_state = random_state

    def _learn(self, rated: CSR, rng: np.random.Generator) -> tuple[Array, Array, list[float]]:
        users, items = initial(rated.shape, self.n_factors, rng)
        by_item, alpha, losses, kept = (
            rated.T.tocsr(),
            1.0,
            list[float](),
            list[tuple[Array, Array]](),
        )
        wanted = set(np.linspace(self.max_iter - 1, self.burn_in, self.n_samples).astype(int))
        for sweep in range(self.max_iter):
            users = draw_rows(rated, users, items, alpha, rng)
            items = draw_rows(by_item, items, users, alpha, rng)
            errors = rated.data - scores_at(rated, users, items)
            losses.append(float(np.sum(np.square(errors), dtype=np.float64)))
            alpha = rng.gamma((1 + rated.nnz) / 2, 2 / (1 + losses[-1]))  # (52)
            if sweep in wanted:
                kept.append((users, items))
        n = len(kept)
        sides = []
        for side in zip(*kept, strict=True):
            factors = [one[:, :-1] / np.sqrt(n) for one in side]
            sides.append(np.column_stack([*factors, np.mean([one[:, -1] for one in side], axis=0)]))
        return sides[0], sides[1], losses
