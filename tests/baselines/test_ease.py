"""EASE: under the contract, and its solution against the Lagrangian that it makes stationary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from list_contract import ListContract
from scipy import sparse

from autorec_np import EASE
from autorec_np.baselines import ease
from autorec_np.baselines.ease import inverse, item_weights
from autorec_np.gradcheck import check_gradient
from autorec_np.models import base


class TestEASE(ListContract, regularization=30.0):
    model_class = EASE


def interactions(seed, n_users=12, n_items=6):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((n_users, n_items)) < 0.4, 1 + rng.random((n_users, n_items)), 0.0)


def objective(X, B, regularization):
    """Return (65), written down once more, and its derivative (66) without multipliers."""
    residuals = X - X @ B
    value = np.sum(residuals**2) + regularization * np.sum(B**2)
    return value, -2 * X.T @ residuals + 2 * regularization * B


SHAPES = st.sampled_from([(12, 6), (5, 30), (3, 7), (20, 20)])


@given(st.integers(0, 2**32), SHAPES, st.sampled_from([0.1, 3.0, 500.0]))
def test_the_lagrangian_is_stationary(seed, shape, regularization):
    X = interactions(seed, *shape)
    B = item_weights(sparse.csr_array(X), regularization)
    assert B.dtype == np.float32
    assert (np.diag(B) == 0).all()
    _, gradient = objective(X, B.astype(np.float64), regularization)
    scale = np.abs(X.T @ X).max() + regularization
    off = ~np.eye(len(B), dtype=bool)
    np.testing.assert_allclose(gradient[off], 0.0, atol=1e-6 * scale)
    # the multipliers take up the diagonal: 2 (lambda + ...) at least where an item was chosen
    assert (np.diag(gradient)[X.any(axis=0)] < 0).all()


def test_the_gradient_that_vanishes_is_that_of_the_objective():
    X, B = interactions(1), np.random.default_rng(2).normal(size=(6, 6))

    def value_and_gradient(theta):
        value, gradient = objective(X, theta.reshape(6, 6), 2.0)
        return value, gradient.ravel()

    assert check_gradient(value_and_gradient, B.ravel()).passed


@given(st.integers(0, 2**32))
def test_no_other_weights_are_better(seed):
    X = interactions(seed)
    B = item_weights(sparse.csr_array(X), 2.0).astype(np.float64)
    moved = B + np.random.default_rng(seed).normal(0, 0.05, B.shape)
    np.fill_diagonal(moved, 0.0)
    assert objective(X, B, 2.0)[0] <= objective(X, moved, 2.0)[0]


@pytest.mark.parametrize("shape", [(12, 6), (5, 30)])
def test_both_ways_to_the_inverse_agree(shape, monkeypatch):
    X = interactions(5, *shape)
    expected = np.linalg.inv(X.T @ X + 0.7 * np.eye(shape[1]))
    np.testing.assert_allclose(
        np.tril(inverse(sparse.csr_array(X), 0.7)), np.tril(expected), atol=1e-12
    )
    monkeypatch.setattr(base, "SCORES_PER_CHUNK", 3 * min(shape))
    assert len([*ease.chunks(*2 * [min(shape)])]) > 1
    np.testing.assert_allclose(
        np.tril(inverse(sparse.csr_array(X), 0.7)), np.tril(expected), atol=1e-12
    )


def test_items_without_interactions_have_no_weights():
    X = interactions(4)
    X[:, 2] = 0
    B = item_weights(sparse.csr_array(X), 1.0)
    assert not B[2].any()
    assert not B[:, 2].any()


def test_a_penalty_is_needed():
    with pytest.raises(ValueError, match="regularization must be a finite number in"):
        EASE(0).fit(([1, 2], ["a", "b"]))
    same = ([1, 1, 2, 2, 3, 3], ["a", "b", "a", "b", "a", "b"])
    with pytest.raises(ValueError, match=r"regularization=1e-300 is too small .*; raise it"):
        EASE(1e-300).fit(same)
