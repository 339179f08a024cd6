"""The drivers: what they count, report and raise, and when they end."""

from __future__ import annotations

import math
from itertools import cycle, pairwise

import numpy as np
import pytest
from minimization_problems import (
    EVERY_ROW,
    RULES,
    batch_function,
    make_rule,
    quadratic,
    record,
    reference_function,
    take_step,
    tiny_theta,
    whole_function,
)

from autorec_np.core.optimizers import SGD
from autorec_np.training.solvers import (
    DivergenceError,
    run_lbfgs,
    run_scipy_lbfgs,
    run_steps,
)

FULL_BATCH = {"n_batches": 1, "n_epochs": 10}
BATCHES = {"n_batches": 3, "n_epochs": 10}
EVERY_RULE = pytest.mark.parametrize("rule", RULES)
BOTH = pytest.mark.parametrize("kind", ["plain", "tiled"])


def in_turns(fun, blocks, kind="plain", rule=None):
    """What `run_steps` asks, from a function of (theta, rows) and blocks of rows."""
    remaining, rule = cycle(blocks), SGD() if rule is None else rule

    def step(theta, rate):
        value, gradient = fun(theta, next(remaining))
        take_step(kind, rule, theta, gradient, rate)
        return value

    return step


@BOTH
@EVERY_RULE
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_ten_epochs_of_three_batches_are_those_of_the_paper(tiny_matrix, kind, rule, schedule):
    _, _, reference_path, rate = RULES[rule]
    fun, start = reference_function(tiny_matrix), tiny_theta()
    rng = np.random.default_rng(2)
    blocks = []
    for _ in range(10):
        rows = rng.permutation(7)
        blocks += [rows[:3], rows[3:5], rows[5:]]
    progress = (np.arange(30) + 0.5) / 30
    climb, fall = progress / 0.3, 0.5 + 0.5 * np.cos(np.pi * (progress - 0.3) / 0.7)
    factors = np.where(progress < 0.3, climb, fall) if schedule == "cosine" else np.ones(30)
    values = []

    def gradient(theta, step):
        value, slope = fun(theta, blocks[step])
        values.append(value)
        return slope

    expected = reference_path(gradient, start, rate * factors)[2::3]

    path, theta = [], tiny_theta()
    result = run_steps(
        in_turns(batch_function(tiny_matrix), blocks, kind, make_rule(kind, rule, theta)),
        theta,
        **BATCHES,
        learning_rate_init=rate,
        schedule=schedule,
        callback=record(path),
    )
    np.testing.assert_allclose(path, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.values, np.sum(np.reshape(values, (10, 3)), 1), rtol=1e-10)


# The driver of minibatches


def test_theta_is_changed_in_place_by_contract(tiny_matrix):
    theta = tiny_theta()
    step = in_turns(batch_function(tiny_matrix), [EVERY_ROW])
    result = run_steps(step, theta, **FULL_BATCH, learning_rate_init=1e-3)
    assert result.theta is theta
    assert not np.array_equal(theta, tiny_theta())


def test_the_callback_is_told_the_epoch_the_value_and_the_last_rate_and_can_stop():
    told = []

    def callback(iteration):
        told.append((iteration.number, iteration.value, iteration.learning_rate))
        return iteration.number == 4

    theta = np.zeros(1)
    result = run_steps(
        in_turns(lambda point, term: (term, np.zeros_like(point)), [3.0, 2.0, 2.0]),
        theta,
        **BATCHES,
        learning_rate_init=2.0,
        schedule="exponential",
        callback=callback,
    )
    rates = [2.0 * 0.01 ** ((3 * epoch - 1 + 0.5) / 30) for epoch in range(1, 5)]
    assert told == [(n, 7.0, pytest.approx(rates[n - 1])) for n in range(1, 5)]
    assert result.values == [7.0] * 4
    assert not result.converged
    assert "callback" in result.message


def run_with_values(values, **arguments):
    remaining = iter(values)
    theta = np.zeros(1)
    return run_steps(
        in_turns(lambda point, _: (next(remaining), np.zeros(1)), [None]),
        theta,
        n_batches=1,
        n_epochs=len(values),
        learning_rate_init=0.1,
        **arguments,
    )


def test_converged_when_the_value_has_stopped_falling_for_long_enough():
    # 100 -> 90 is a fall by more than 1 %; 89.5 and 89.2 are not, nor is the rise
    result = run_with_values(
        [100.0, 90.0, 89.5, 95.0, 89.2, 1.0, 0.5], tol=0.01, n_iter_no_change=3
    )
    assert result.values == [100.0, 90.0, 89.5, 95.0, 89.2]
    assert result.converged
    assert "stopped falling" in result.message


def test_a_fall_starts_the_count_again():
    result = run_with_values([9.0, 9.0, 9.0, 8.0, 8.0, 8.0, 8.0, 8.0], tol=0.01, n_iter_no_change=3)
    assert len(result.values) == 7
    assert result.converged


def test_zero_patience_never_converges():
    result = run_with_values([1.0] * 20, tol=0.1, n_iter_no_change=0)
    assert len(result.values) == 20
    assert not result.converged
    assert "limit" in result.message


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_divergence_is_reported_in_its_epoch(value):
    with pytest.raises(DivergenceError, match=r"in iteration 3; .* lower learning_rate_init"):
        run_with_values([3.0, 2.0, value, 1.0])


def test_steps_that_are_too_long_are_reported(tiny_matrix):
    theta = tiny_theta()
    with np.errstate(all="ignore"), pytest.raises(DivergenceError):
        run_steps(
            in_turns(batch_function(tiny_matrix), [EVERY_ROW]),
            theta,
            n_batches=1,
            n_epochs=500,
            learning_rate_init=10.0,
        )


# L-BFGS


def test_lbfgs_reports_values_iterations_and_evaluations(tiny_matrix):
    n_calls, told = 0, []
    fun = whole_function(tiny_matrix)

    def counted(theta):
        nonlocal n_calls
        n_calls += 1
        return fun(theta)

    def callback(iteration):
        told.append((iteration.number, iteration.value))
        assert math.isnan(iteration.learning_rate)
        assert fun(iteration.theta)[0] == iteration.value
        return iteration.number == 6

    result = run_lbfgs(counted, tiny_theta(), max_iter=100, callback=callback)
    assert result.n_evaluations == n_calls
    assert told == list(enumerate(result.values, start=1))
    assert len(result.values) == 6
    assert not result.converged
    assert "callback" in result.message


def test_lbfgs_stops_at_the_limit(tiny_matrix):
    result = run_lbfgs(whole_function(tiny_matrix), tiny_theta(), max_iter=3)
    assert len(result.values) == 3
    assert not result.converged
    assert "limit" in result.message


def test_lbfgs_stops_at_a_plateau():
    fun, _ = quadratic()
    loose = run_lbfgs(fun, np.zeros(20), max_iter=500, tol=0.3, n_iter_no_change=2)
    patient = run_lbfgs(fun, np.zeros(20), max_iter=500, tol=0.3, n_iter_no_change=8)
    assert loose.converged
    assert patient.converged
    assert len(loose.values) < len(patient.values)
    falls = [(b - a) / b for b, a in pairwise(loose.values)]
    assert max(falls[-2:]) <= 0.3


def test_lbfgs_at_the_minimum_is_converged_at_once():
    fun, minimizer = quadratic()
    result = run_lbfgs(fun, minimizer, max_iter=10)
    assert result.converged
    assert result.values == []
    assert result.n_evaluations == 1
    np.testing.assert_array_equal(result.theta, minimizer)
    assert not np.shares_memory(result.theta, minimizer)


def test_lbfgs_where_no_lower_value_exists_is_converged():
    def needle(theta):
        return (0.0, np.ones(3)) if np.all(theta == 1) else (math.inf, np.ones(3))

    result = run_lbfgs(needle, np.ones(3), max_iter=10)
    assert result.converged
    assert "no lower value" in result.message
    assert result.values == []
    np.testing.assert_array_equal(result.theta, np.ones(3))


@pytest.mark.parametrize("minimize", [run_lbfgs, run_scipy_lbfgs])
def test_a_start_without_a_value_is_reported(minimize):
    with pytest.raises(DivergenceError, match="became nan"):
        minimize(lambda t: (math.nan, t), np.ones(2), max_iter=5)


# SciPy's L-BFGS-B through the same interface


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scipy_lbfgs_has_the_same_interface_and_minimum(tiny_matrix, dtype):
    fun, start, told = whole_function(tiny_matrix), tiny_theta(dtype), []
    asked = set()

    def counted(theta):
        asked.add(theta.dtype)
        return fun(theta)

    def callback(iteration):
        told.append(iteration.value)
        assert iteration.theta.dtype == dtype
        return False

    copy = start.copy()
    tol = 3 * float(np.finfo(dtype).eps)  # falls by less are rounding, and end in a line search
    result = run_scipy_lbfgs(counted, start, max_iter=500, tol=tol, callback=callback)
    np.testing.assert_array_equal(start, copy)
    assert asked == {np.dtype(dtype)}
    assert result.theta.dtype == dtype
    assert result.converged
    assert told == result.values
    assert result.values[-1] == pytest.approx(
        run_lbfgs(fun, tiny_theta(), max_iter=2000, tol=1e-14).values[-1], rel=1e-5
    )


def test_scipy_lbfgs_stops_at_the_callback_and_at_the_limit(tiny_matrix):
    fun = whole_function(tiny_matrix)
    stopped = run_scipy_lbfgs(
        fun, tiny_theta(), max_iter=100, callback=lambda iteration: iteration.number == 4
    )
    assert len(stopped.values) == 4
    limited = run_scipy_lbfgs(fun, tiny_theta(), max_iter=3)
    assert len(limited.values) == 3
    assert not limited.converged
