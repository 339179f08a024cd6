"""The compact memory of L-BFGS against the two loops of the lesson, in blocks and in threads."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from minimization_problems import quadratic

from autorec_np.core.lbfgs import TwoLoop
from autorec_np.engine import engines
from autorec_np.engine.engines import ELEMENTS_PER_RUN, CompactPairs, inner_product
from autorec_np.engine.threads import Workers
from autorec_np.training.solvers import run_lbfgs


@pytest.mark.parametrize("threads", [None, 2])
@pytest.mark.parametrize("memory", [1, 3, 10])
def test_the_compact_direction_is_that_of_the_two_loops(memory, threads, monkeypatch):
    monkeypatch.setattr(engines, "ELEMENTS_PER_TASK", 16)
    rng = np.random.default_rng(8)
    basis = rng.normal(size=(50, 50))
    hessian = basis @ basis.T + np.eye(50)
    points = rng.normal(size=(8, 50))
    with Workers(threads or 1) as pool:
        pairs = CompactPairs(points[0], memory, pool if threads else None)
        two_loops = TwoLoop(memory)
        for old, new in pairwise(points):
            gradients = hessian @ new, hessian @ old
            if new is points[4]:  # a pair of negative curvature is refused
                refused = old - 1e-3 * (new - old)
                for each in (pairs, two_loops):
                    each.add((old, gradients[1]), (refused, gradients[0]))
            for each in (pairs, two_loops):
                each.add((old, gradients[1]), (new, gradients[0]))
            expected, _ = two_loops.direction(gradients[0])
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
    whole = run_lbfgs(fun, start, CompactPairs(start), max_iter=12)
    monkeypatch.setattr(engines, "ELEMENTS_PER_TASK", 16)
    with Workers(threads or 1) as pool:
        pairs = CompactPairs(start, workers=pool if threads else None)
        cut = run_lbfgs(fun, start, pairs, max_iter=12)
    assert cut.n_evaluations == whole.n_evaluations
    np.testing.assert_allclose(cut.values, whole.values, rtol=1e-10)
    np.testing.assert_allclose(cut.theta, whole.theta, rtol=1e-6)


def test_a_pair_whose_products_underflow_is_refused():
    zeros, tiny = np.zeros(3), np.full(3, 1e-170)
    pairs = CompactPairs(zeros, 2)
    pairs.add((zeros, zeros), (np.ones(3), tiny))
    assert len(pairs) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_move_and_a_product_are_those_of_the_lesson(dtype, monkeypatch):
    monkeypatch.setattr(engines, "ELEMENTS_PER_TASK", 16)
    theta, direction = np.random.default_rng(1).normal(size=(2, 50)).astype(dtype)
    ours, lessons = CompactPairs(theta), TwoLoop()
    moved = ours.move(theta, 0.3, direction)
    assert moved.dtype == dtype
    np.testing.assert_array_equal(moved, lessons.move(theta, 0.3, direction))
    tolerance = 8 * np.finfo(dtype).eps * np.linalg.norm(theta) * np.linalg.norm(direction)
    assert abs(ours.dot(theta, direction) - lessons.dot(theta, direction)) < tolerance


@pytest.mark.parametrize("n", [1, ELEMENTS_PER_RUN, 3 * ELEMENTS_PER_RUN + 77])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inner_products_lose_no_element_and_little_precision(n, dtype):
    left, right = np.random.default_rng(6).normal(size=(2, n)).astype(dtype)
    exact = math.fsum(left.astype(np.float64) * right.astype(np.float64))
    norms = math.sqrt(
        math.fsum(left.astype(np.float64) ** 2) * math.fsum(right.astype(np.float64) ** 2)
    )
    assert type(inner_product(left, right)) is float
    assert abs(inner_product(left, right) - exact) < 4 * np.finfo(dtype).eps * norms
