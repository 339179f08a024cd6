"""BiasedMF: under the contract, its derivatives, and its exact half steps."""

from __future__ import annotations

import numpy as np
import pytest
from factor_problems import all_scores, pattern, problem
from hypothesis import given
from hypothesis import strategies as st
from recommender_contract import TEST, TRAIN, RecommenderContract
from scipy import sparse

from autorec_np.baselines.factors import (
    BIAS_PENALTY,
    BiasedMF,
    best_rows,
    derivatives,
    objective,
    penalties,
)
from autorec_np.gradcheck import check_gradient


class TestALS(RecommenderContract, n_factors=4, random_state=0):
    model_class = BiasedMF


class TestSGD(TestALS, solver="sgd", batch_size=100, max_iter=60):
    pass


def test_both_solvers_solve_the_checkerboard():
    for variant in (TestALS, TestSGD):
        assert variant.fitted().score(TEST) > -0.5


def test_a_penalty_is_that_of_the_page():
    rated, _, _ = problem()
    of_users, of_items = penalties(rated, 4, 0.5)
    filled = pattern(rated)
    for found, counts in ((of_users, filled.sum(axis=1)), (of_items, filled.sum(axis=0))):
        np.testing.assert_allclose(found[:, :-1], np.tile(0.5 * np.sqrt(counts)[:, None], 3))
        assert set(found[:, -1]) == {BIAS_PENALTY}


def test_the_objective_is_that_of_the_page():
    rated, users, items = problem()
    weights = penalties(rated, 4, 0.5)
    errors = (rated.toarray() - all_scores(users, items))[pattern(rated)]
    expected = np.sum(errors**2) + np.sum(weights[0] * users**2) + np.sum(weights[1] * items**2)
    assert objective(rated, users, items, weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("regularization", [0.0, 0.7])
def test_the_derivatives_are_those_of_the_objective(regularization):
    rated, users, items = problem()
    weights = penalties(rated, 4, regularization)

    def value_and_gradient(theta):
        value = objective(rated, *theta, weights)
        return value, tuple(2 * one for one in derivatives(rated, *theta, weights))

    report = check_gradient(value_and_gradient, (users, items))
    assert report.passed, report


def test_the_blocks_add_up():
    rated, users, items = problem()
    weights = penalties(rated, 4, 0.7)
    rows = np.repeat(np.arange(rated.shape[0]), np.diff(rated.indptr))
    order = np.random.default_rng(0).permutation(rated.nnz)
    total = [np.zeros_like(users), np.zeros_like(items)]
    for some in (order[:4], order[4:]):
        cells = rated.data[some], (rows[some], rated.indices[some])
        shares = tuple(len(some) / rated.nnz * one for one in weights)
        block = derivatives(sparse.csr_array(cells, shape=rated.shape), users, items, shares)
        for side, part in zip(total, block, strict=True):
            side += part
    for side, whole in zip(total, derivatives(rated, users, items, weights), strict=True):
        np.testing.assert_allclose(side, whole, atol=1e-12)


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 1.0, 50.0]))
def test_a_half_step_is_the_exact_minimizer(seed, regularization):
    rated, users, items = problem(seed)
    weights = penalties(rated, 4, regularization)
    best = best_rows(rated, items, weights[0])
    for row, (start, stop) in enumerate(zip(rated.indptr[:-1], rated.indptr[1:], strict=True)):
        columns = rated.indices[start:stop]  # ridge regression as least squares, row by row
        D = np.vstack([items[columns], np.diag(np.sqrt(weights[0][row] + 1e-6))])
        D[: len(columns), -1] = 1
        t = np.append(rated.data[start:stop] - items[columns, -1], np.zeros(4))
        np.testing.assert_allclose(best[row], np.linalg.lstsq(D, t, rcond=None)[0], atol=1e-3)
    d_users, _ = derivatives(rated, best, items, (np.maximum(weights[0], 1e-6), weights[1]))
    np.testing.assert_allclose(d_users, 0, atol=1e-8)
    value = objective(rated, best, items, weights)
    assert value <= objective(rated, users, items, weights)
    assert value <= objective(rated, best + 1e-3 * users, items, weights) + 1e-6


@pytest.mark.parametrize("regularization", [0.0, 0.3, 3.0])
def test_the_objective_never_rises_by_least_squares(regularization):
    curve = BiasedMF(4, regularization, max_iter=12, random_state=0).fit(TRAIN).loss_curve_
    assert (np.diff(curve) <= 1e-5 * curve[0]).all()
    assert curve[-1] < curve[0]


def test_both_solvers_minimize_the_same_objective():
    exact = BiasedMF(4, 2.0, max_iter=60, random_state=0).fit(TRAIN)
    steps = BiasedMF(4, 2.0, "sgd", 200, batch_size=100, random_state=1).fit(TRAIN)
    assert steps.loss_curve_[-1] == pytest.approx(exact.loss_curve_[-1], rel=0.01)
    np.testing.assert_allclose(steps.predict(TEST), exact.predict(TEST), atol=0.05)


def test_steps_are_short_where_one_item_has_all_ratings():
    users = np.arange(4000)
    values = np.where(users % 2, 1.0, 5.0)
    model = BiasedMF(2, solver="sgd", random_state=0).fit((users, 0 * users, values))
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert np.isfinite(model.item_factors_).all()


def test_an_unknown_solver_is_refused():
    with pytest.raises(ValueError, match="solver must be one of 'als', 'sgd', got 'adam'"):
        BiasedMF(solver="adam").fit(TRAIN)
