"""The Hessian-vector product against the complex step of the gradient, and against itself."""

from __future__ import annotations

import numpy as np
import pytest

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.hessian import hessian_vector_product
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.gradcheck import check_hessian_vector

CASES = [((4,), False), ((4,), True), ((4, 3), False), ((4, 3, 4), True)]
DROPOUT = pytest.mark.parametrize("dropout", [False, True])
SIZES = pytest.mark.parametrize(("sizes", "tied"), CASES)


def problem(matrix, sizes, tied, dropout, activation="sigmoid", output="identity"):
    """An objective with its arguments, a point and two directions."""
    rng = np.random.default_rng(0)
    network = Network(matrix.shape[1], sizes, activation, output, tied)
    objective = Objective(network, {"encoder.weight": 0.7, "decoder.weight": 0.3})
    theta, left, right = rng.normal(0.0, 0.4, (3, network.layout.size))
    masks = None
    if dropout:
        masks = [(rng.random((matrix.shape[0], width)) < 0.7) / 0.7 for width in sizes]
    return objective, theta, left, right, (matrix, matrix, 0.5, masks)


@DROPOUT
@SIZES
@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_the_derivative_of_the_gradient(
    tiny_matrix, activation, output, sizes, tied, dropout
):
    objective, theta, direction, _, data = problem(
        tiny_matrix, sizes, tied, dropout, activation, output
    )
    product = hessian_vector_product(objective, theta, direction, *data)
    step = 1e-30
    _, shifted = objective.value_and_gradient(theta + 1j * step * direction, *data)
    expected = shifted.imag / step
    np.testing.assert_allclose(product, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@DROPOUT
@SIZES
def test_it_is_symmetric_and_linear(tiny_matrix, sizes, tied, dropout):
    objective, theta, left, right, data = problem(tiny_matrix, sizes, tied, dropout)
    by_left = hessian_vector_product(objective, theta, left, *data)
    by_right = hessian_vector_product(objective, theta, right, *data)
    assert left @ by_right == pytest.approx(right @ by_left, rel=1e-10)
    both = hessian_vector_product(objective, theta, 2 * left - right, *data)
    np.testing.assert_allclose(both, 2 * by_left - by_right, rtol=1e-9, atol=1e-9)


def test_it_passes_the_checker_and_a_wrong_one_does_not(tiny_matrix):
    objective, theta, _, _, data = problem(tiny_matrix, (4,), False, False)

    def fun(point):
        return objective.value_and_gradient(point, *data)

    def product(point, direction):
        return hessian_vector_product(objective, point, direction, *data)

    assert check_hessian_vector(fun, product, theta).passed
    assert not check_hessian_vector(fun, lambda p, d: 1.01 * product(p, d), theta).passed


def test_it_has_the_dtype_of_theta_and_changes_no_argument(tiny_matrix):
    objective, theta, direction, _, data = problem(tiny_matrix, (4,), False, False)
    before = theta.copy(), direction.copy()
    product = hessian_vector_product(objective, theta.astype(np.float32), direction, *data)
    assert product.dtype == np.float32
    exact = hessian_vector_product(objective, theta, direction, *data)
    np.testing.assert_allclose(product, exact, rtol=0, atol=1e-4 * np.abs(exact).max())
    np.testing.assert_array_equal(theta, before[0])
    np.testing.assert_array_equal(direction, before[1])
