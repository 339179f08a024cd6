"""Solvers against short versions written from the papers, against SciPy, and their contracts."""

from __future__ import annotations

import math
from itertools import cycle, pairwise

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from autorec_np.core import optimizers
from autorec_np.core.kernels import take_rows
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.optimizers import (
    CURVATURE,
    ELEMENTS_PER_BLOCK,
    SGD,
    SUFFICIENT_DECREASE,
    Adam,
    DivergenceError,
    RProp,
    _Pairs,
    minimize_lbfgs,
    minimize_scipy_lbfgs,
    minimize_stochastic,
)
from autorec_np.engine.threads import Workers

LAMBDA = 0.7
EVERY_ROW = np.arange(7)
FULL_BATCH = {"n_batches": 1, "n_epochs": 10}
BATCHES = {"n_batches": 3, "n_epochs": 10}

# The step rule, its reference path(gradient, theta, rates), and a learning rate that suits it.
RULES = {
    "sgd": (lambda t: SGD(t, 0.0, False), reference.gradient_descent, 2e-3),
    "sgd, nesterov without momentum": (lambda t: SGD(t, 0.0), reference.gradient_descent, 2e-3),
    "momentum": (lambda t: SGD(t, 0.9, False), lambda *a: reference.momentum(*a, 0.9), 2e-3),
    "nesterov": (lambda t: SGD(t, 0.9, True), lambda *a: reference.nesterov(*a, 0.9), 2e-3),
    "adam": (Adam, reference.adam, 0.05),
    "rprop": (
        RProp,
        lambda gradient, theta, rates: reference.rprop(gradient, theta, rates[0], len(rates)),
        0.05,
    ),
}
EVERY_RULE = pytest.mark.parametrize("rule", RULES)


def tiny_network():
    return Network(6, (3,), "sigmoid", "identity")


def tiny_theta(dtype=np.float64):
    return np.random.default_rng(0).normal(0, 0.5, tiny_network().layout.size).astype(dtype)


def batch_function(matrix):
    """The package's objective on blocks of rows of the matrix."""
    objective = Objective(tiny_network(), LAMBDA)

    def fun(theta, rows):
        block = take_rows(matrix, rows)
        return objective.value_and_gradient(theta, block, block, len(rows) / matrix.shape[0])

    return fun


def in_turns(fun, blocks):
    """What `minimize_stochastic` asks, from a function of (theta, rows) and blocks of rows."""
    remaining = cycle(blocks)

    def step(theta, receive):
        value, gradient = fun(theta, next(remaining))
        receive(slice(None), gradient)
        return value

    return step


def whole_function(matrix):
    fun = batch_function(matrix)
    return lambda theta: fun(theta, EVERY_ROW)


def reference_function(matrix):
    """The same objective by the loops of tests/reference.py; nothing of the package but names."""
    layout = tiny_network().layout

    def fun(theta, rows):
        block = take_rows(matrix, rows)
        value, gradient = reference.objective(
            layout.views(theta),
            block,
            block,
            activation="sigmoid",
            output_activation="identity",
            penalties={"encoder.weight": LAMBDA, "decoder.weight": LAMBDA},
            fraction=len(rows) / matrix.shape[0],
        )
        return value, np.concatenate([gradient[name].ravel() for name in layout.shapes])

    return fun


def record(path):
    """A callback that copies theta after every epoch."""
    return lambda iteration: path.append(iteration.theta.copy())


def quadratic(n=20, condition=100.0):
    """Return fun and its minimizer: a parabola in n variables whose lowest value is 1."""
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    matrix = basis @ np.diag(np.geomspace(1, condition, n)) @ basis.T
    minimizer = rng.normal(size=n)

    def fun(theta):
        away = theta - minimizer.astype(theta.dtype)
        gradient = matrix.astype(theta.dtype) @ away
        return 1.0 + 0.5 * float(away @ gradient), gradient

    return fun, minimizer


def rosenbrock(theta):
    return float(optimize.rosen(theta)), optimize.rosen_der(theta)


ROSENBROCK_START = np.array([-1.2, 1.0, -1.2, 1.0, 0.5])


# Golden trajectories of ten steps


@EVERY_RULE
def test_ten_full_batch_steps_are_those_of_the_paper(tiny_matrix, rule):
    make, reference_path, rate = RULES[rule]
    fun, start = reference_function(tiny_matrix), tiny_theta()
    expected = reference_path(lambda t, _: fun(t, EVERY_ROW)[1], start, [rate] * 10)
    values = [fun(point, EVERY_ROW)[0] for point in [start, *expected[:-1]]]

    path, theta = [], tiny_theta()
    result = minimize_stochastic(
        in_turns(batch_function(tiny_matrix), [EVERY_ROW]),
        theta,
        make(theta),
        **FULL_BATCH,
        learning_rate_init=rate,
        callback=record(path),
    )
    np.testing.assert_allclose(path, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.values, values, rtol=1e-10)
    assert min(values) < 0.9 * values[0]  # the ten steps went somewhere


@EVERY_RULE
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_ten_epochs_of_three_batches_are_those_of_the_paper(tiny_matrix, rule, schedule):
    make, reference_path, rate = RULES[rule]
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
    result = minimize_stochastic(
        in_turns(batch_function(tiny_matrix), blocks),
        theta,
        make(theta),
        **BATCHES,
        learning_rate_init=rate,
        schedule=schedule,
        callback=record(path),
    )
    np.testing.assert_allclose(path, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.values, np.sum(np.reshape(values, (10, 3)), 1), rtol=1e-10)


def test_ten_lbfgs_iterations_are_frozen(tiny_matrix):
    """A record, not a derivation: which steps are tried is this line search's own choice."""
    result = minimize_lbfgs(whole_function(tiny_matrix), tiny_theta(), max_iter=10)
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


# Step rules on vectors


@EVERY_RULE
def test_a_step_in_parts_in_any_order_is_the_whole_step(rule):
    make, _, rate = RULES[rule]
    rng = np.random.default_rng(7)
    whole, parted = np.ones(50), np.ones(50)
    rules = make(whole), make(parted)
    parts = [slice(30, 50), slice(0, 7), slice(7, 30)]
    for gradient in rng.normal(size=(4, 50)):
        rules[0].step(whole, gradient.copy(), rate)
        rules[1].begin(rate)
        for part in parts:
            rules[1].update(parted, part, gradient[part].copy())
    assert whole.tobytes() == parted.tobytes()


@EVERY_RULE
def test_a_vector_longer_than_a_block_is_treated_alike_everywhere(rule):
    make, reference_path, _ = RULES[rule]
    n = 2 * ELEMENTS_PER_BLOCK + 77
    rng = np.random.default_rng(3)
    gradients = rng.normal(size=(2, n))
    theta = rng.normal(size=n)
    expected = reference_path(lambda _, step: gradients[step].copy(), theta.copy(), [0.1, 0.1])
    optimizer = make(theta)
    for gradient in gradients:
        optimizer.step(theta, gradient.copy(), 0.1)
    np.testing.assert_allclose(theta, expected[-1], rtol=1e-12, atol=1e-13)


@EVERY_RULE
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_changes_theta_in_place_and_keeps_its_dtype(rule, dtype):
    theta = np.ones(5, dtype)
    optimizer = RULES[rule][0](theta)
    same = theta
    for _ in range(3):
        optimizer.step(theta, np.full(5, 0.5, dtype), 0.1)
    assert theta is same
    assert theta.dtype == dtype
    assert np.all(theta < 1)
    arrays = [v for v in vars(optimizer).values() if isinstance(v, np.ndarray)]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
    assert not any(np.shares_memory(array, theta) for array in arrays)


@EVERY_RULE
def test_float32_steps_are_the_float64_steps_to_rounding(rule):
    make, _, rate = RULES[rule]
    rng = np.random.default_rng(4)
    gradients = rng.normal(size=(10, 50)).astype(np.float32)
    single, double = np.ones(50, np.float32), np.ones(50)
    rules = make(single), make(double)
    for gradient in gradients:
        rules[0].step(single, gradient.copy(), rate)
        rules[1].step(double, gradient.astype(np.float64), rate)
    np.testing.assert_allclose(single, double, rtol=3e-6)


@EVERY_RULE
def test_a_zero_gradient_from_the_start_leaves_theta(rule):
    theta = np.array([1.0, -2.0])
    optimizer = RULES[rule][0](theta)
    for _ in range(3):
        optimizer.step(theta, np.zeros(2), 0.1)
    np.testing.assert_array_equal(theta, [1.0, -2.0])


@given(scale=st.floats(1e-6, 1e6))
def test_rprop_does_not_depend_on_the_scale_of_the_objective(scale):
    fun, _ = quadratic()
    paths = []
    for factor in (1.0, scale):
        theta = np.zeros(20)
        optimizer = RProp(theta)
        for _ in range(30):
            optimizer.step(theta, factor * fun(theta)[1], 0.1)
        paths.append(theta)
    np.testing.assert_array_equal(*paths)


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-2, 2))
def test_the_first_adam_step_is_the_learning_rate_in_every_coordinate(scale, shift):
    theta = np.zeros(3)
    Adam(theta).step(theta, scale * np.array([1.0, -5.0, math.exp(shift)]), 0.01)
    np.testing.assert_allclose(theta, [-0.01, 0.01, -0.01], rtol=1e-3)


def test_rprop_lengths_stay_within_their_bounds():
    theta = np.zeros(2)
    optimizer = RProp(theta, shortest=0.05, longest=0.2)
    moved = []
    for step in range(12):
        before = theta.copy()
        # a slope that keeps its sign, and one that changes it every other step
        optimizer.step(theta, np.array([1.0, (-1.0) ** (step // 2)]), 0.1)
        moved.append(np.abs(theta - before))
    moved = np.array(moved)
    assert moved[:, 0].max() == pytest.approx(0.2)
    assert moved[moved > 0].min() == pytest.approx(0.05)
    assert moved.max() <= 0.2 * (1 + 1e-12)


@EVERY_RULE
def test_every_rule_finds_the_minimum_of_a_parabola(rule):
    fun, minimizer = quadratic(condition=10.0)
    rate = 0.02 if rule in ("momentum", "nesterov") else 0.1
    theta = np.zeros(20)
    minimize_stochastic(
        in_turns(lambda point, _: fun(point), [None]),
        theta,
        RULES[rule][0](theta),
        n_batches=1,
        n_epochs=600,
        learning_rate_init=rate,
        schedule="cosine",
    )
    np.testing.assert_allclose(theta, minimizer, atol=1e-3)


# The driver of minibatches


def test_theta_is_changed_in_place_by_contract(tiny_matrix):
    theta = tiny_theta()
    fun = in_turns(batch_function(tiny_matrix), [EVERY_ROW])
    result = minimize_stochastic(fun, theta, SGD(theta), **FULL_BATCH, learning_rate_init=1e-3)
    assert result.theta is theta
    assert not np.array_equal(theta, tiny_theta())


def test_the_callback_is_told_the_epoch_the_value_and_the_last_rate_and_can_stop():
    told = []

    def callback(iteration):
        told.append((iteration.number, iteration.value, iteration.learning_rate))
        return iteration.number == 4

    theta = np.zeros(1)
    result = minimize_stochastic(
        in_turns(lambda point, term: (term, np.zeros_like(point)), [3.0, 2.0, 2.0]),
        theta,
        SGD(theta),
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
    return minimize_stochastic(
        in_turns(lambda point, _: (next(remaining), np.zeros(1)), [None]),
        theta,
        SGD(theta),
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
        minimize_stochastic(
            in_turns(batch_function(tiny_matrix), [EVERY_ROW]),
            theta,
            SGD(theta),
            n_batches=1,
            n_epochs=500,
            learning_rate_init=10.0,
        )


# L-BFGS


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


def minimize_tightly(fun, start, **arguments):
    return minimize_lbfgs(fun, start, max_iter=2000, tol=1e-14, **arguments)


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
    result = minimize_lbfgs(fun, start, max_iter=60, tol=1e-8, callback=record(path))
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
        minimize_lbfgs(fun, np.zeros(20), max_iter=40, tol=0.0, memory=memory).values[-1]
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
    result = minimize_lbfgs(fun, start, max_iter=5)
    np.testing.assert_array_equal(start, copy)
    assert not np.shares_memory(result.theta, start)
    assert result.theta.dtype == dtype


@EVERY_PROBLEM
def test_float32_lbfgs_reaches_the_float64_minimum_to_rounding(tiny_matrix, problem):
    fun, start = problem_and_start(problem, tiny_matrix)
    double = minimize_tightly(fun, start)
    single = minimize_lbfgs(fun, start.astype(np.float32), max_iter=2000, tol=1e-7)
    assert single.converged
    lowest, reached = double.values[-1], fun(single.theta.astype(np.float64))[0]
    assert single.theta.dtype == np.float32
    assert reached - lowest < 1e-7 * (fun(start)[0] - lowest)


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

    result = minimize_lbfgs(counted, tiny_theta(), max_iter=100, callback=callback)
    assert result.n_evaluations == n_calls
    assert told == list(enumerate(result.values, start=1))
    assert len(result.values) == 6
    assert not result.converged
    assert "callback" in result.message


def test_lbfgs_stops_at_the_limit(tiny_matrix):
    result = minimize_lbfgs(whole_function(tiny_matrix), tiny_theta(), max_iter=3)
    assert len(result.values) == 3
    assert not result.converged
    assert "limit" in result.message


def test_lbfgs_stops_at_a_plateau():
    fun, _ = quadratic()
    loose = minimize_lbfgs(fun, np.zeros(20), max_iter=500, tol=0.3, n_iter_no_change=2)
    patient = minimize_lbfgs(fun, np.zeros(20), max_iter=500, tol=0.3, n_iter_no_change=8)
    assert loose.converged
    assert patient.converged
    assert len(loose.values) < len(patient.values)
    falls = [(b - a) / b for b, a in pairwise(loose.values)]
    assert max(falls[-2:]) <= 0.3


def test_lbfgs_at_the_minimum_is_converged_at_once():
    fun, minimizer = quadratic()
    result = minimize_lbfgs(fun, minimizer, max_iter=10)
    assert result.converged
    assert result.values == []
    assert result.n_evaluations == 1
    np.testing.assert_array_equal(result.theta, minimizer)
    assert not np.shares_memory(result.theta, minimizer)


def test_lbfgs_where_no_lower_value_exists_is_converged():
    def needle(theta):
        return (0.0, np.ones(3)) if np.all(theta == 1) else (math.inf, np.ones(3))

    result = minimize_lbfgs(needle, np.ones(3), max_iter=10)
    assert result.converged
    assert "no lower value" in result.message
    assert result.values == []
    np.testing.assert_array_equal(result.theta, np.ones(3))


def test_lbfgs_with_a_gradient_of_the_wrong_sign_stays_and_ends():
    result = minimize_lbfgs(lambda t: (float(t @ t), -2 * t), np.ones(3), max_iter=100)
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


@pytest.mark.parametrize("minimize", [minimize_lbfgs, minimize_scipy_lbfgs])
def test_a_start_without_a_value_is_reported(minimize):
    with pytest.raises(DivergenceError, match="became nan"):
        minimize(lambda t: (math.nan, t), np.ones(2), max_iter=5)


def test_lbfgs_is_repeatable_to_the_bit(tiny_matrix):
    runs = [minimize_lbfgs(whole_function(tiny_matrix), tiny_theta(), max_iter=30) for _ in "ab"]
    assert runs[0].theta.tobytes() == runs[1].theta.tobytes()
    assert runs[0].values == runs[1].values


def two_loops(gradient, pairs):
    """-H g by the recursion of Nocedal and Wright (2006), algorithm 7.4."""
    direction, shares = -gradient, []
    for s, y in reversed(pairs):
        shares.append(s @ direction / (s @ y))
        direction = direction - shares[-1] * y
    s, y = pairs[-1]
    direction = direction * (s @ y) / (y @ y)
    for (s, y), share in zip(pairs, reversed(shares), strict=True):
        direction = direction + (share - y @ direction / (s @ y)) * s
    return direction


@pytest.mark.parametrize("threads", [None, 2])
@pytest.mark.parametrize("memory", [1, 3, 10])
def test_the_compact_direction_is_that_of_the_two_loops(memory, threads, monkeypatch):
    monkeypatch.setattr(optimizers, "PAIRS_PER_BLOCK", 16)
    rng = np.random.default_rng(8)
    basis = rng.normal(size=(50, 50))
    hessian = basis @ basis.T + np.eye(50)
    points = rng.normal(size=(8, 50))
    with Workers(threads or 1) as pool:
        pairs = _Pairs(points[0], memory, pool if threads else None)
        kept = []
        for old, new in pairwise(points):
            gradients = hessian @ new, hessian @ old
            if new is points[4]:  # a pair of negative curvature is refused
                refused = old - 1e-3 * (new - old)
                pairs.add((refused, old), (gradients[0], gradients[1]))
            pairs.add((new, old), gradients)
            kept = [*kept, (new - old, gradients[0] - gradients[1])][-memory:]
            expected = two_loops(gradients[0], kept)
            direction, slope = pairs.direction(gradients[0])
            np.testing.assert_allclose(direction, expected, rtol=1e-7)
            assert slope == pytest.approx(gradients[0] @ direction, rel=1e-12)
        assert len(pairs) == min(memory, 7)
        pairs.clear()
        direction, slope = pairs.direction(points[0])
        np.testing.assert_array_equal(direction, -points[0])
        assert slope == pytest.approx(-points[0] @ points[0], rel=1e-12)


@pytest.mark.parametrize("threads", [None, 2])
def test_lbfgs_in_small_blocks_takes_the_same_steps(threads, monkeypatch):
    fun, start = quadratic(n=50, condition=1e4)[0], np.zeros(50)
    whole = minimize_lbfgs(fun, start, max_iter=12)
    monkeypatch.setattr(optimizers, "PAIRS_PER_BLOCK", 16)
    with Workers(threads or 1) as pool:
        cut = minimize_lbfgs(fun, start, max_iter=12, executor=pool if threads else None)
    assert cut.n_evaluations == whole.n_evaluations
    np.testing.assert_allclose(cut.values, whole.values, rtol=1e-10)
    np.testing.assert_allclose(cut.theta, whole.theta, rtol=1e-6)


def test_the_slope_along_a_direction_is_that_of_the_values(monkeypatch):
    monkeypatch.setattr(optimizers, "PAIRS_PER_BLOCK", 16)
    search, checked = optimizers.strong_wolfe, []

    def check(phi, start, first_step, **others):
        away = 0.1 * first_step
        rise = phi(first_step + away).value - phi(first_step - away).value
        assert phi(first_step).slope == pytest.approx(rise / (2 * away), rel=1e-6)  # a parabola
        checked.append(first_step)
        return search(phi, start, first_step, **others)

    monkeypatch.setattr(optimizers, "strong_wolfe", check)
    minimize_lbfgs(quadratic(n=50)[0], np.zeros(50), max_iter=4)
    assert len(checked) == 4


def test_a_pair_whose_products_underflow_is_refused():
    zeros, tiny = np.zeros(3), np.full(3, 1e-170)
    pairs = _Pairs(zeros, 2, None)
    pairs.add((np.ones(3), zeros), (tiny, zeros))
    assert len(pairs) == 0


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
    result = minimize_scipy_lbfgs(counted, start, max_iter=500, tol=1e-9, callback=callback)
    np.testing.assert_array_equal(start, copy)
    assert asked == {np.dtype(dtype)}
    assert result.theta.dtype == dtype
    assert result.converged
    assert told == result.values
    assert result.values[-1] == pytest.approx(
        minimize_tightly(fun, tiny_theta()).values[-1], rel=1e-5
    )


def test_scipy_lbfgs_stops_at_the_callback_and_at_the_limit(tiny_matrix):
    fun = whole_function(tiny_matrix)
    stopped = minimize_scipy_lbfgs(
        fun, tiny_theta(), max_iter=100, callback=lambda iteration: iteration.number == 4
    )
    assert len(stopped.values) == 4
    limited = minimize_scipy_lbfgs(fun, tiny_theta(), max_iter=3)
    assert len(limited.values) == 3
    assert not limited.converged
