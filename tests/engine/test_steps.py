"""Steps in place: in parts, in blocks, and streamed while the gradient is worked out."""

from __future__ import annotations

import numpy as np
import pytest
from minimization_problems import RULES, make_rule

from autorec_np.engine.engines import ELEMENTS_PER_BLOCK

EVERY_RULE = pytest.mark.parametrize("rule", RULES)


@EVERY_RULE
def test_a_step_in_parts_in_any_order_is_the_whole_step(rule):
    rate = RULES[rule][3]
    rng = np.random.default_rng(7)
    whole, parted = np.ones(50), np.ones(50)
    rules = make_rule("tiled", rule, whole), make_rule("tiled", rule, parted)
    parts = [slice(30, 50), slice(0, 7), slice(7, 30)]
    for gradient in rng.normal(size=(4, 50)):
        rules[0].step(whole, gradient.copy(), rate)
        rules[1].begin(rate)
        for part in parts:
            rules[1].update(parted, part, gradient[part].copy())
    assert whole.tobytes() == parted.tobytes()


@EVERY_RULE
def test_a_vector_longer_than_a_block_is_treated_alike_everywhere(rule):
    reference_path = RULES[rule][2]
    n = 2 * ELEMENTS_PER_BLOCK + 77
    rng = np.random.default_rng(3)
    gradients = rng.normal(size=(2, n))
    theta = rng.normal(size=n)
    expected = reference_path(lambda _, step: gradients[step].copy(), theta.copy(), [0.1, 0.1])
    optimizer = make_rule("tiled", rule, theta)
    for gradient in gradients:
        optimizer.step(theta, gradient.copy(), 0.1)
    np.testing.assert_allclose(theta, expected[-1], rtol=1e-12, atol=1e-13)


@EVERY_RULE
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_changes_theta_in_place_and_keeps_its_dtype(rule, dtype):
    theta = np.ones(5, dtype)
    optimizer = make_rule("tiled", rule, theta)
    same = theta
    for _ in range(3):
        optimizer.step(theta, np.full(5, 0.5, dtype), 0.1)
    assert theta is same
    assert theta.dtype == dtype
    assert np.all(theta < 1)
    arrays = [v for v in vars(optimizer).values() if isinstance(v, np.ndarray)]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
    assert not any(np.shares_memory(array, theta) for array in arrays)
