"""Lessons 7 to 9 agree with the package."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats

from autorec_np import GlobalMean, Ratings, rmse
from autorec_np.core import Network, Objective
from autorec_np.lessons import evaluating
from autorec_np.lessons.lesson import close
from autorec_np.models.scoring import fit_column

seeds = given(st.integers(0, 10**9))


@seeds
def test_the_errors_are_those_of_the_package(seed):
    problem = evaluating.judge_problem(np.random.default_rng(seed))
    work, (users, items, ratings) = evaluating.judge_work(problem), problem["test"]
    train = Ratings.from_triples(*problem["train"], scale=(0, 6))
    predicted = GlobalMean().fit(train).predict(users, items)
    assert np.isclose(float(work["mean_rmse"]), rmse(ratings, predicted))
    assert 3 in items
    assert 3 not in problem["train"][1]


def test_the_interval_is_that_of_student():
    problem = evaluating.judge_problem(np.random.default_rng(0))
    errors = problem["errors"]
    assert np.isclose(problem["t"], stats.t.ppf(0.975, len(errors) - 1), atol=1e-3)
    wanted = stats.t.interval(0.95, len(errors) - 1, errors.mean(), stats.sem(errors))
    assert np.allclose(evaluating.judge_work(problem)["interval"], wanted, atol=1e-5)


@seeds
def test_the_new_column_is_the_minimum_of_18(seed):
    problem = evaluating.new_user_problem(np.random.default_rng(seed))
    x, rated, H, penalty = (problem[name] for name in ("x", "rated", "H", "penalty"))
    w = evaluating.new_user_work(problem)["w"]
    w0 = np.mean(x[rated] - H[rated] @ w)
    slopes = -2 * H[rated].T @ (x[rated] - H[rated] @ w - w0) + penalty * w
    assert np.abs(slopes).max() < 1e-10


def test_the_new_column_is_that_of_the_package():
    problem = evaluating.new_user_problem(np.random.default_rng(0))
    x, rated, H, penalty = (problem[name] for name in ("x", "rated", "H", "penalty"))
    found = fit_column(H[rated], x[rated], penalty)
    assert close(evaluating.new_user_work(problem)["w"], np.asarray(found[0]))


@seeds
def test_the_penalty_makes_2_a_multiple_of_the_masked_loss(seed):
    problem = evaluating.keras_problem(np.random.default_rng(seed))
    work = evaluating.keras_work(problem)
    assert np.isclose(float(work["J"]), problem["rated"].sum() * float(work["masked"]))
    X, rated, Y, V, W, _ = problem.values()
    network = Network(X.shape[1], (V.shape[1],), "sigmoid")
    theta = np.zeros(network.layout.size)
    views = network.layout.views(theta)
    views["encoder.weight"][...], views["decoder.weight"][...] = V, W
    none = sparse.csr_array(X.shape)
    weights = Objective(network, float(work["penalty"])).value(theta, none, none)
    assert np.isclose(float(work["J"]), ((X - Y)[rated] ** 2).sum() + weights)
