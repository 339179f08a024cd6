"""L-BFGS against SciPy's and against its own conditions; the line search is in its own file."""

from __future__ import annotations

import math
from itertools import islice, pairwise

import numpy as np
import pytest
from minimization_problems import (
    ROSENBROCK_START,
    quadratic,
    record,
    rosenbrock,
    tiny_theta,
    whole_function,
)
from scipy import optimize

from autorec_np.core import lbfgs
from autorec_np.core.lbfgs import CURVATURE, SUFFICIENT_DECREASE, TwoLoop, minimize_lbfgs
from autorec_np.training.solvers import run_lbfgs

PROBLEMS = {
    "quadratic": (quadratic()[0], np.zeros(20)),
    "ill-conditioned quadratic": (quadratic(n=12, condition=1e3)[0], np.zeros(12)),
    "rosenbrock": (rosenbrock, ROSENBROCK_START),
    "objective": None,
}
EVERY_PROBLEM = pytest.mark.parametrize("problem", PROBLEMS)


def problem_and_start(problem, matrix):
    if problem == "objective":
        return whole_function(matrix), tiny_theta()
    return PROBLEMS[problem]


def minimize_tightly(fun, start):
    return run_lbfgs(fun, start, max_iter=2000, tol=1e-14)


def with_values(fun):
    """Return the function and a list of the values that it has been asked for."""
    values = []

    def recorded(theta):
        value, gradient = fun(theta)
        values.append(value)
        return value, gradient

    return recorded, values


@EVERY_PROBLEM
def test_lbfgs_finds_the_minimum_of_scipy_in_about_as_many_evaluations(tiny_matrix, problem):
    fun, start = problem_and_start(problem, tiny_matrix)
    recorded, our_values = with_values(fun)
    ours = minimize_tightly(recorded, start)
    recorded, scipys_values = with_values(fun)
    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-15, "gtol": 1e-6}
    scipys = optimize.minimize(recorded, start, jac=True, method="L-BFGS-B", options=options)

    assert ours.converged
    assert ours.values[-1] == fun(ours.theta)[0]
    assert ours.values[-1] == pytest.approx(scipys.fun, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(ours.theta, scipys.x, rtol=1e-4, atol=1e-4)
    assert np.abs(fun(ours.theta)[1]).max() < 1e-5

    nearly = scipys.fun + 1e-6 * (our_values[0] - scipys.fun)
    needed = [np.argmax(np.array(values) <= nearly) for values in (our_values, scipys_values)]
    assert 0 < needed[0] <= 1.2 * needed[1] + 2


@EVERY_PROBLEM
def test_every_accepted_step_meets_the_strong_wolfe_conditions_and_descends(tiny_matrix, problem):
    fun, start = problem_and_start(problem, tiny_matrix)
    path = [start]
    result = run_lbfgs(fun, start, max_iter=60, tol=1e-8, callback=record(path))
    assert len(path) - 1 == len(result.values) > 5
    for before, after in pairwise(path):
        (value, gradient), (next_value, next_gradient) = fun(before), fun(after)
        step = after - before
        slope = gradient @ step
        noise = np.finfo(np.float64).eps * abs(value)
        assert slope < 0
        assert next_value <= value + SUFFICIENT_DECREASE * slope + noise
        # 1e-9: the step is a difference of two rounded points
        assert abs(next_gradient @ step) <= CURVATURE * abs(slope) * (1 + 1e-9)
    for value, next_value in pairwise([fun(start)[0], *result.values]):
        assert next_value < value


def test_more_memory_saves_iterations():
    fun, _ = quadratic(condition=1e4)
    values = [
        run_lbfgs(fun, np.zeros(20), TwoLoop(memory), max_iter=40, tol=0.0).values[-1]
        for memory in (1, 20)
    ]
    assert values[1] - 1.0 < 0.1 * (values[0] - 1.0)


@EVERY_PROBLEM
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lbfgs_does_not_change_its_start(tiny_matrix, problem, dtype):
    fun, start = problem_and_start(problem, tiny_matrix)
    start = start.astype(dtype)
    start.flags.writeable = False
    copy = start.copy()
    result = run_lbfgs(fun, start, max_iter=5)
    np.testing.assert_array_equal(start, copy)
    assert not np.shares_memory(result.theta, start)
    assert result.theta.dtype == dtype


@EVERY_PROBLEM
def test_float32_lbfgs_reaches_the_float64_minimum_to_rounding(tiny_matrix, problem):
    fun, start = problem_and_start(problem, tiny_matrix)
    double = minimize_tightly(fun, start)
    single = run_lbfgs(fun, start.astype(np.float32), max_iter=2000, tol=1e-7)
    assert single.converged
    lowest, reached = double.values[-1], fun(single.theta.astype(np.float64))[0]
    assert single.theta.dtype == np.float32
    assert reached - lowest < 1e-7 * (fun(start)[0] - lowest)


def test_lbfgs_with_a_gradient_of_the_wrong_sign_stays_and_ends():
    result = run_lbfgs(lambda t: (float(t @ t), -2 * t), np.ones(3), max_iter=100)
    np.testing.assert_allclose(result.theta, 1.0, rtol=1e-12)
    assert result.converged


def test_lbfgs_gets_past_a_region_without_values():
    def fun(theta):
        if theta[0] >= 2:
            return math.inf, np.full(1, math.nan)
        return float(-theta[0] - 0.1 * math.log(2 - theta[0])), np.array(
            [-1 + 0.1 / (2 - theta[0])]
        )

    result = minimize_tightly(fun, np.array([-40.0]))
    np.testing.assert_allclose(result.theta, 1.9, rtol=1e-6)


def test_lbfgs_is_repeatable_to_the_bit(tiny_matrix):
    runs = [run_lbfgs(whole_function(tiny_matrix), tiny_theta(), max_iter=30) for _ in "ab"]
    assert runs[0].theta.tobytes() == runs[1].theta.tobytes()
    assert runs[0].values == runs[1].values


def test_the_iterates_come_one_by_one_and_the_end_says_why():
    fun, minimizer = quadratic()
    values = [iterate.value for iterate in islice(minimize_lbfgs(fun, np.zeros(20)), 5)]
    assert all(after < before for before, after in pairwise(values))
    with pytest.raises(StopIteration) as end:
        next(minimize_lbfgs(fun, minimizer))
    assert end.value.value == "the gradient is zero to rounding error"


def test_the_two_loops_are_the_bfgs_update_of_the_inverse_hessian():
    """Nocedal and Wright (2006), equation 7.16: the matrix itself, from gamma I."""
    rng = np.random.default_rng(9)
    basis = rng.normal(size=(6, 6))
    hessian = basis @ basis.T + np.eye(6)
    pairs, kept = TwoLoop(3), []
    for old, new in pairwise(rng.normal(size=(6, 6))):
        pairs.add((old, hessian @ old), (new, hessian @ new))
        kept = [*kept, (new - old, hessian @ (new - old))][-3:]
    s, y = kept[-1]
    inverse = s @ y / (y @ y) * np.eye(6)
    for s, y in kept:
        left = np.eye(6) - np.outer(s, y) / (s @ y)
        inverse = left @ inverse @ left.T + np.outer(s, s) / (s @ y)
    gradient = rng.normal(size=6)
    direction, slope = pairs.direction(gradient)
    np.testing.assert_allclose(direction, -inverse @ gradient, rtol=1e-10)
    assert slope == pytest.approx(gradient @ direction, rel=1e-12)


def test_ten_lbfgs_iterations_are_frozen(tiny_matrix):
    """A record, not a derivation: which steps are tried is this line search's own choice."""
    result = run_lbfgs(whole_function(tiny_matrix), tiny_theta(), max_iter=10)
    frozen = [
        86.97030469,
        36.80240508,
        32.58894817,
        30.1865863,
        26.18991589,
        22.60648745,
        21.09883238,
        19.87785261,
        18.89049648,
        17.27623756,
    ]
    np.testing.assert_allclose(result.values, frozen, rtol=1e-6)


def test_the_slope_along_a_direction_is_that_of_the_values(monkeypatch):
    search, checked = lbfgs.strong_wolfe, []

    def check(phi, start, first_step, **others):
        away = 0.1 * first_step
        rise = phi(first_step + away).value - phi(first_step - away).value
        assert phi(first_step).slope == pytest.approx(rise / (2 * away), rel=1e-6)  # a parabola
        checked.append(first_step)
        return search(phi, start, first_step, **others)

    monkeypatch.setattr(lbfgs, "strong_wolfe", check)
    run_lbfgs(quadratic(n=50)[0], np.zeros(50), max_iter=4)
    assert len(checked) == 4


def test_a_pair_whose_products_underflow_is_refused():
    zeros, tiny = np.zeros(3), np.full(3, 1e-170)
    pairs = TwoLoop(2)
    pairs.add((zeros, zeros), (np.ones(3), tiny))
    assert len(pairs) == 0
