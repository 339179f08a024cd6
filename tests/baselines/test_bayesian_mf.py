"""BayesianMF: under the contract, and its draws against dense conditional distributions."""

from __future__ import annotations

import numpy as np
import pytest
from factor_problems import problem
from recommender_contract import TEST, TRAIN, RecommenderContract

from autorec_np.baselines.factors import (
    PRIOR_ROWS,
    BayesianMF,
    averaged,
    draw_prior,
    draw_rows,
)


class TestBayesianMF(RecommenderContract, n_factors=4, max_iter=40, random_state=0):
    model_class = BayesianMF


class Noise:
    """In place of a Generator: the same normal numbers for every row."""

    def __init__(self, noise):
        self.noise = np.asarray(noise, float)

    def normal(self, size):
        return np.broadcast_to(self.noise[:, np.newaxis], size)


def conditional(rated, items, prior, alpha, row):
    """Mean and covariance of a row by the normal distribution of ratings and row together."""
    mean, precision = prior
    columns = rated.indices[rated.indptr[row] : rated.indptr[row + 1]]
    D = np.column_stack([items[columns, :-1], np.ones(len(columns))])
    t = rated.data[rated.indptr[row] : rated.indptr[row + 1]] - items[columns, -1]
    covariance = np.linalg.inv(precision)
    gain = covariance @ D.T @ np.linalg.inv(D @ covariance @ D.T + np.eye(len(t)) / alpha)
    return mean + gain @ (t - D @ mean), covariance - gain @ D @ covariance


def test_rows_have_the_conditional_mean_and_covariance():
    rated, _, items = problem()
    rng = np.random.default_rng(3)
    root, alpha = rng.normal(size=(4, 4)), 1.7
    prior = rng.normal(size=4), root @ root.T + np.eye(4)
    means = draw_rows(rated, items, prior, alpha, Noise(np.zeros(4)))
    moves = [draw_rows(rated, items, prior, alpha, Noise(one)) - means for one in np.eye(4)]
    for row in range(rated.shape[0]):
        mean, covariance = conditional(rated, items, prior, alpha, row)
        np.testing.assert_allclose(means[row], mean, atol=1e-10)
        found = sum(np.outer(move[row], move[row]) for move in moves)
        np.testing.assert_allclose(found, covariance, atol=1e-10)


def test_the_prior_has_the_mean_and_precision_that_the_rows_say():
    rng = np.random.default_rng(0)
    n, width = 12, 3
    rows = rng.normal([1.0, -2.0, 0.0], [0.5, 1.0, 2.0], size=(n, width))
    draws = [draw_prior(rows, rng) for _ in range(4000)]
    mean = rows.mean(axis=0)
    scatter = (rows - mean).T @ (rows - mean)
    pulled = PRIOR_ROWS * n / (PRIOR_ROWS + n) * np.outer(mean, mean)
    expected = (width + n) * np.linalg.inv(np.eye(width) + scatter + pulled)
    found = np.mean([precision for _, precision in draws], axis=0)
    spread = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(found / spread, expected / spread, atol=0.03)
    means = np.array([one for one, _ in draws])
    np.testing.assert_allclose(means.mean(axis=0), n * mean / (PRIOR_ROWS + n), atol=0.05)
    # given its precision, a mean has (beta_0 + n) times it
    whitened = [
        np.sqrt(PRIOR_ROWS + n) * np.linalg.cholesky(precision).T @ (one - n * mean / (n + 2))
        for one, precision in draws
    ]
    np.testing.assert_allclose(np.cov(np.transpose(whitened)), np.eye(width), atol=0.1)


def test_samples_side_by_side_are_their_mean():
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(3, 5, 4)), rng.normal(size=(3, 6, 4))
    P, Q = averaged(users), averaged(items)
    found = P[:, :-1] @ Q[:, :-1].T + P[:, -1:] + Q[:, -1]
    each = [
        u[:, :-1] @ v[:, :-1].T + u[:, -1:] + v[:, -1] for u, v in zip(users, items, strict=True)
    ]
    np.testing.assert_allclose(found, np.mean(each, axis=0))


@pytest.mark.parametrize(("n_samples", "n_kept"), [(1, 2), (2, 2), (4, 4), (99, 6)])
def test_samples_are_spread_over_what_follows_the_burn_in(n_samples, n_kept):
    model = BayesianMF(3, 10, 4, n_samples, random_state=0).fit(TRAIN)
    assert model.user_factors_.shape[1] == model.item_factors_.shape[1] == 3 * n_kept


def test_the_mean_of_samples_is_better_than_one():
    one = BayesianMF(4, 40, 39, 1, random_state=0).fit(TRAIN)
    assert TestBayesianMF.fitted().score(TEST) > max(one.score(TEST), -0.3)


def test_all_sweeps_cannot_be_burnt():
    with pytest.raises(ValueError, match="burn_in must be below max_iter, got 80 of 80 sweeps"):
        BayesianMF(burn_in=80).fit(TRAIN)
