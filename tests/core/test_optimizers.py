"""Step rules against short versions written from the papers, in the lesson and in place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minimization_problems import (
    EVERY_ROW,
    RULES,
    batch_function,
    make_rule,
    quadratic,
    reference_function,
    take_step,
    tiny_theta,
)

from autorec_np.core.optimizers import RProp, learning_rate_at
from autorec_np.engine import engines

EVERY_RULE = pytest.mark.parametrize("rule", RULES)
BOTH = pytest.mark.parametrize("kind", ["plain", "tiled"])


# Golden trajectories of ten steps


@BOTH
@EVERY_RULE
def test_ten_full_batch_steps_are_those_of_the_paper(tiny_matrix, kind, rule):
    _, _, reference_path, rate = RULES[rule]
    fun, start = reference_function(tiny_matrix), tiny_theta()
    expected = reference_path(lambda t, _: fun(t, EVERY_ROW)[1], start, [rate] * 10)
    values = [fun(point, EVERY_ROW)[0] for point in [start, *expected[:-1]]]

    ours, theta, path, found = batch_function(tiny_matrix), tiny_theta(), [], []
    optimizer = make_rule(kind, rule, theta)
    for _ in range(10):
        value, gradient = ours(theta, EVERY_ROW)
        take_step(kind, optimizer, theta, gradient, rate)
        found.append(value)
        path.append(theta.copy())
    np.testing.assert_allclose(path, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found, values, rtol=1e-10)
    assert min(values) < 0.9 * values[0]  # the ten steps went somewhere


# Step rules on vectors


@EVERY_RULE
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_lessons_rules_change_no_argument_and_keep_the_dtype(rule, dtype):
    theta, gradient = np.ones(5, dtype), np.full(5, 0.5, dtype)
    for array in (theta, gradient):
        array.flags.writeable = False
    optimizer = make_rule("plain", rule, theta)
    for _ in range(3):
        moved = optimizer.step(theta, gradient, 0.1)
        assert moved.dtype == dtype
        assert np.all(moved < theta)
        assert not np.shares_memory(moved, theta)
    arrays = [v for v in vars(optimizer).values() if isinstance(v, np.ndarray)]
    assert {array.dtype for array in arrays} <= {np.dtype(dtype)}


@BOTH
@EVERY_RULE
def test_float32_steps_are_the_float64_steps_to_rounding(kind, rule):
    rate = RULES[rule][3]
    rng = np.random.default_rng(4)
    gradients = rng.normal(size=(10, 50)).astype(np.float32)
    single, double = np.ones(50, np.float32), np.ones(50)
    rules = make_rule(kind, rule, single), make_rule(kind, rule, double)
    for gradient in gradients:
        take_step(kind, rules[0], single, gradient, rate)
        take_step(kind, rules[1], double, gradient.astype(np.float64), rate)
    np.testing.assert_allclose(single, double, rtol=3e-6)


@BOTH
@EVERY_RULE
def test_a_zero_gradient_from_the_start_leaves_theta(kind, rule):
    theta = np.array([1.0, -2.0])
    optimizer = make_rule(kind, rule, theta)
    for _ in range(3):
        take_step(kind, optimizer, theta, np.zeros(2), 0.1)
    np.testing.assert_array_equal(theta, [1.0, -2.0])


@BOTH
@given(scale=st.floats(1e-6, 1e6))
def test_rprop_does_not_depend_on_the_scale_of_the_objective(kind, scale):
    fun, _ = quadratic()
    paths = []
    for factor in (1.0, scale):
        theta = np.zeros(20)
        optimizer = make_rule(kind, "rprop", theta)
        for _ in range(30):
            take_step(kind, optimizer, theta, factor * fun(theta)[1], 0.1)
        paths.append(theta)
    np.testing.assert_array_equal(*paths)


@BOTH
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-2, 2))
def test_the_first_adam_step_is_the_learning_rate_in_every_coordinate(kind, scale, shift):
    theta = np.zeros(3)
    gradient = scale * np.array([1.0, -5.0, math.exp(shift)])
    take_step(kind, make_rule(kind, "adam", theta), theta, gradient, 0.01)
    np.testing.assert_allclose(theta, [-0.01, 0.01, -0.01], rtol=1e-3)


@BOTH
def test_rprop_lengths_stay_within_their_bounds(kind):
    theta = np.zeros(2)
    bounds = {"shortest": 0.05, "longest": 0.2}
    optimizer = RProp(**bounds) if kind == "plain" else engines.RProp(theta, **bounds)
    moved = []
    for step in range(12):
        before = theta.copy()
        # a slope that keeps its sign, and one that changes it every other step
        take_step(kind, optimizer, theta, np.array([1.0, (-1.0) ** (step // 2)]), 0.1)
        moved.append(np.abs(theta - before))
    moved = np.array(moved)
    assert moved[:, 0].max() == pytest.approx(0.2)
    assert moved[moved > 0].min() == pytest.approx(0.05)
    assert moved.max() <= 0.2 * (1 + 1e-12)


@BOTH
@EVERY_RULE
def test_every_rule_finds_the_minimum_of_a_parabola(kind, rule):
    fun, minimizer = quadratic(condition=10.0)
    rate = 0.02 if rule in ("momentum", "nesterov") else 0.1
    theta = np.zeros(20)
    optimizer = make_rule(kind, rule, theta)
    for step in range(600):
        now = learning_rate_at("cosine", rate, step, 600)
        take_step(kind, optimizer, theta, fun(theta)[1], now)
    np.testing.assert_allclose(theta, minimizer, atol=1e-3)
