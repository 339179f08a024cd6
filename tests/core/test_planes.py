"""Input planes: a wider matrix, with one pattern."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from matrices import small_csr, whole_numbers
from scipy import sparse

from autorec_np.core.hessian import hessian_vector_product
from autorec_np.core.kernels import spmm, spmm_transpose, take_rows, with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.planes import Planes
from autorec_np.gradcheck import adjoint_test, check_gradient


def side_by_side(planes):
    """The same matrix as one CSR array, from dense arrays."""
    return sparse.csr_array(
        np.hstack(
            [
                block if block is planes.features else reference.dense_and_stored(block)[0]
                for block in planes.blocks
            ]
        )
    )


def planes_of(matrix, n_planes, seed=0, n_features=0):
    n_features = min(n_features, matrix.shape[1] - 1)
    features = whole_numbers((matrix.shape[0], n_features), seed + 1) if n_features > 0 else None
    return Planes(matrix, whole_numbers((n_planes, matrix.nnz), seed), features)


def test_worked_by_hand():
    """Two planes of a row with ratings in columns 1 and 3: X = (3, -, 3 | 1, -, -2).

    V_1 = (1, 9, 2), V_2 = (4, 9, 5): z = 3 + 6 + 4 - 10 = 3. D_Z = 2 gives (6, 0, 6 | 2, 0, -4).
    """
    pattern = sparse.csr_array((np.zeros(2), [0, 2], [0, 2]), shape=(1, 3))
    planes = Planes(pattern, np.array([[3.0, 3], [1, -2]]))
    assert planes.shape == (1, 6)
    assert spmm(planes, np.array([[1.0], [9], [2], [4], [9], [5]])).tolist() == [[3]]
    back = spmm_transpose(planes, np.array([[2.0]]))
    assert back.ravel().tolist() == [6, 0, 6, 2, 0, -4]


def test_features_worked_by_hand():
    """As above, and features F = (2, -1), A = (4, 3): z = 3 + 8 - 3 = 8, and D_A = (4, -2)."""
    pattern = sparse.csr_array((np.zeros(2), [0, 2], [0, 2]), shape=(1, 3))
    planes = Planes(pattern, np.array([[3.0, 3], [1, -2]]), np.array([[2.0, -1]]))
    assert planes.shape == (1, 8)
    assert spmm(planes, np.array([[1.0], [9], [2], [4], [9], [5], [4], [3]])).tolist() == [[8]]
    back = spmm_transpose(planes, np.array([[2.0]]))
    assert back.ravel().tolist() == [6, 0, 6, 2, 0, -4, 4, -2]
    with pytest.raises(ValueError, match=r"fewer features than columns, got 3 .* and 3 col"):
        Planes(pattern, planes.data, np.ones((1, 3)))


@given(
    matrix=small_csr(),
    n_planes=st.integers(1, 3),
    k=st.integers(1, 3),
    seed=st.integers(0, 9),
    n_features=st.integers(0, 4),
)
def test_products_are_those_of_the_planes_side_by_side(matrix, n_planes, k, seed, n_features):
    planes = planes_of(matrix, n_planes, seed, n_features)
    whole = side_by_side(planes)
    right, left = (whole_numbers((n, k), seed) for n in (planes.shape[1], planes.shape[0]))
    assert planes.shape == whole.shape
    np.testing.assert_array_equal(spmm(planes, right), reference.spmm(whole, right))
    np.testing.assert_array_equal(
        spmm_transpose(planes, left), reference.spmm_transpose(whole, left)
    )


@pytest.mark.parametrize("n_planes", [1, 2, 3])
def test_the_products_are_adjoint(tiny_matrix, n_planes):
    planes = planes_of(tiny_matrix, n_planes)
    report = adjoint_test(
        lambda x: spmm(planes, x), lambda y: spmm_transpose(planes, y), (6 * n_planes, 3)
    )
    assert report.passed, str(report)


def test_rows_are_taken_from_every_plane(tiny_matrix):
    planes = planes_of(tiny_matrix, 2, n_features=3)
    for rows in (np.array([3, 0]), slice(2, 6), np.array([1])):
        taken = planes[rows]
        np.testing.assert_array_equal(
            side_by_side(taken).toarray(), side_by_side(planes).toarray()[rows]
        )
        assert taken.nnz == tiny_matrix[rows].nnz  # stored zeros too
        assert take_rows(planes, rows).nnz == taken.nnz


def test_the_planes_share_one_pattern(tiny_matrix):
    planes = planes_of(tiny_matrix, 2, n_features=3)
    for block in planes.blocks[:2]:
        assert np.shares_memory(block.indices, tiny_matrix.indices)
        assert np.shares_memory(block.indptr, tiny_matrix.indptr)
        assert np.shares_memory(block.data, planes.data)
    other = with_data(planes, planes.data * 2)
    assert other.pattern is planes.pattern
    assert other.features is planes.features
    np.testing.assert_array_equal(other.blocks[1].data, planes.blocks[1].data * 2)
    assert planes.dtype == np.float64
    np.testing.assert_array_equal(planes.indices, tiny_matrix.indices)


@pytest.mark.parametrize("shape", [(0, 17), (2, 16), (17,)])
def test_data_of_another_shape_are_refused(tiny_matrix, shape):
    assert tiny_matrix.nnz == 17
    with pytest.raises(ValueError, match=r"data must have shape \(n_planes, 17\), .* got"):
        Planes(tiny_matrix, np.zeros(shape))


def problem(matrix, n_planes=2, sizes=(4, 3)):
    planes = planes_of(matrix, n_planes, n_features=3)
    network = Network(6, sizes, "tanh", "sigmoid", n_inputs=planes.shape[1])
    theta = np.random.default_rng(1).normal(0.0, 0.5, network.layout.size)
    return Objective(network, 0.7), theta, (planes, matrix, 0.4)


@pytest.mark.parametrize("n_planes", [1, 2, 3])
def test_value_and_gradient_equal_the_loops(tiny_matrix, n_planes):
    objective, theta, (planes, targets, fraction) = problem(tiny_matrix, n_planes)
    network = objective.network
    blocks = {name: view.copy() for name, view in network.layout.views(theta).items()}
    expected, expected_gradient = reference.objective(
        blocks,
        side_by_side(planes),
        targets,
        activation="tanh",
        output_activation="sigmoid",
        penalties=objective.penalties,
        fraction=fraction,
    )
    value, gradient = objective.value_and_gradient(theta, planes, targets, fraction)
    assert value == pytest.approx(expected, rel=1e-12)
    for name, view in network.layout.views(gradient).items():
        np.testing.assert_allclose(view, expected_gradient[name], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("method", ["central", "complex"])
def test_every_block_passes_the_check(tiny_matrix, method):
    objective, theta, data = problem(tiny_matrix)
    report = check_gradient(
        lambda point: objective.value_and_gradient(point, *data),
        theta,
        objective.network.layout,
        method=method,
        value=lambda point: objective.value(point, *data),
    )
    assert report.passed, str(report)


def test_the_hessian_product_is_the_derivative_of_the_gradient(tiny_matrix):
    objective, theta, data = problem(tiny_matrix)
    direction = np.random.default_rng(2).normal(size=theta.size)
    product = hessian_vector_product(objective, theta, direction, *data)
    shifted = objective.value_and_gradient(theta + 1e-30j * direction, *data)[1].imag / 1e-30
    np.testing.assert_allclose(product, shifted, rtol=0, atol=1e-12 * np.abs(shifted).max())


def test_blocks_of_rows_add_up(tiny_matrix):
    objective, theta, (planes, targets, _) = problem(tiny_matrix)
    value, gradient = objective.value_and_gradient(theta, planes, targets)
    parts = [
        objective.value_and_gradient(theta, planes[rows], targets[rows], len(rows) / 7)
        for rows in (np.array([0, 3]), np.array([1]), np.array([6, 2, 4, 5]))
    ]
    assert sum(part for part, _ in parts) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(sum(d_part for _, d_part in parts), gradient, rtol=1e-12, atol=1e-13)


def test_one_plane_is_the_plain_matrix(tiny_matrix):
    network = Network(6, (3,))
    theta = np.random.default_rng(1).normal(size=network.layout.size)
    objective = Objective(network, 1.0)
    one = Planes(tiny_matrix, tiny_matrix.data[np.newaxis])
    value, gradient = objective.value_and_gradient(theta, one, tiny_matrix)
    expected, expected_gradient = objective.value_and_gradient(theta, tiny_matrix, tiny_matrix)
    assert value == expected
    np.testing.assert_array_equal(gradient, expected_gradient)


def test_two_planes_cannot_be_tied(tiny_matrix):
    with pytest.raises(ValueError, match=r"as many inputs as columns, .* 12 inputs and 6 columns"):
        Network(6, (3,), tied=True, n_inputs=planes_of(tiny_matrix, 2).shape[1])
