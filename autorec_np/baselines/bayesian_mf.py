"""`BayesianMF`: the mean of factorizations drawn from their posterior by Gibbs sampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np._validation import RandomState
from autorec_np.baselines.factors import FactorModel, initial, normal_equations, residuals

PRIOR_ROWS = 2.0  # beta_0: that the prior mean 0 counts as


def draw_prior(side: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw mean and precision of the rows from their posterior, (51)."""
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
    rated: CSR,
    others: Array,
    prior: tuple[Array, Array],
    alpha: float,
    rng: np.random.Generator,
) -> Array:
    """Draw the rows [P, b] of one side; `prior`: mean and precision, (50)."""
    mean, precision = prior
    drawn = np.empty((rated.shape[0], others.shape[1]), others.dtype)
    for rows, grams, moments in normal_equations(rated, others):
        precisions = alpha * grams + precision
        rights = (alpha * moments + precision @ mean)[:, :, np.newaxis]
        roots = np.linalg.cholesky(precisions).swapaxes(1, 2)
        noise = np.linalg.solve(roots, rng.normal(size=rights.shape))
        drawn[rows] = (np.linalg.solve(precisions, rights) + noise)[:, :, 0]
    return drawn


def averaged(samples: Sequence[Array]) -> Array:
    """Return [P, b] whose products are the mean of those of the samples."""
    factors = [one[:, :-1] / np.sqrt(len(samples)) for one in samples]
    return np.column_stack([*factors, np.mean([one[:, -1] for one in samples], axis=0)])


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
        max_iter: int = 80,
        burn_in: int = 20,
        n_samples: int = 30,
        random_state: RandomState = None,
    ) -> None:
        self.n_factors = n_factors
        self.max_iter = max_iter
        self.burn_in = burn_in
        self.n_samples = n_samples
        self.random_state = random_state

    def check_parameters(self) -> None:
        super().check_parameters()
        if self.burn_in >= self.max_iter:
            raise ValueError(
                f"burn_in must be below max_iter, got {self.burn_in} of {self.max_iter} sweeps."
            )

    def _learn(self, rated: CSR, rng: np.random.Generator) -> tuple[Array, Array, list[float]]:
        users, items = initial(rated.shape, self.n_factors, rng)
        by_item, alpha, losses = rated.T.tocsr(), 1.0, []
        kept: list[tuple[Array, Array]] = []
        last = self.max_iter - 1
        wanted = set(np.linspace(self.burn_in, last, self.n_samples).astype(int)) | {last}
        for sweep in range(self.max_iter):
            users = draw_rows(rated, items, draw_prior(users, rng), alpha, rng)
            items = draw_rows(by_item, users, draw_prior(items, rng), alpha, rng)
            errors = residuals(rated, users, items).data
            losses.append(float(np.sum(np.square(errors), dtype=np.float64)))
            alpha = rng.gamma((1 + rated.nnz) / 2, 2 / (1 + losses[-1]))  # (52)
            if sweep in wanted:
                kept.append((users, items))
        of_users, of_items = zip(*kept, strict=True)
        return averaged(of_users), averaged(of_items), losses
