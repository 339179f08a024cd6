"""The implicit decoder against loops, differences, and a sum worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from scipy import sparse

from autorec_np.core.implicit import (
    IMPLICIT,
    ImplicitNetwork,
    implicit_hessian_vector_product,
    scaled_pattern,
)
from autorec_np.core.kernels import take_rows, with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.planes import Planes
from autorec_np.gradcheck import adjoint_test, check_gradient, check_hessian_vector

PENALTIES = {
    "encoder.weight": 0.7,
    "hidden1.weight": 0.3,
    "decoder.weight": 1.1,
    "implicit.weight": 1.7,
}
KINDS = pytest.mark.parametrize(
    ("sizes", "n_implicit", "n_planes"),
    [((3,), 2, 0), ((3,), 3, 2), ((4, 3), 1, 0), ((4, 3), 2, 3)],
)
DROPOUT = pytest.mark.parametrize("dropout", [False, True])
OUTPUT = pytest.mark.parametrize("output", ["identity", "sigmoid"])


def problem(
    matrix, sizes=(3,), n_implicit=2, n_planes=0, dropout=False, output="identity", fraction=0.4
):
    """An objective, a point, and the other arguments of a call."""
    rng = np.random.default_rng(0)
    targets = with_data(matrix, rng.integers(-2, 7, matrix.nnz) / 2.0)
    inputs = matrix
    if n_planes:
        inputs = Planes(matrix, rng.integers(-2, 4, (n_planes, matrix.nnz)) / 2.0)
    network = ImplicitNetwork(
        matrix.shape[1],
        sizes,
        "tanh",
        output,
        n_inputs=inputs.shape[1],
        rated=scaled_pattern(targets),
        n_implicit=n_implicit,
    )
    names = network.layout.shapes
    penalties = {name: penalty for name, penalty in PENALTIES.items() if name in names}
    theta = rng.normal(0.1, 0.5, network.layout.size)
    masks = None
    if dropout:
        masks = [np.where(rng.random((matrix.shape[0], k)) < 0.4, 0.0, 1 / 0.6) for k in sizes]
    return Objective(network, penalties), theta, (inputs, targets, fraction, masks)


def by_loops(objective, theta, inputs, targets, fraction, masks):
    """The value and {block: gradient}: (35) and its way back one pair after the other."""
    network = objective.network
    blocks = {name: view.copy() for name, view in network.layout.views(theta).items()}
    _, stored = reference.dense_and_stored(targets)
    counts = stored.sum(axis=0)
    pairs = list(zip(*np.nonzero(stored), strict=True))
    changed = {**blocks, "decoder.weight": blocks["decoder.weight"].copy()}
    for row, column in pairs:
        for unit in range(network.n_implicit):
            share = blocks[IMPLICIT][row, unit] / np.sqrt(counts[column])
            changed["decoder.weight"][column, unit] += share
    if isinstance(inputs, Planes):
        dense = [reference.dense_and_stored(block)[0] for block in inputs.blocks]
        inputs = sparse.csr_array(np.hstack(dense))
    value, gradient = reference.objective(
        changed,
        inputs,
        targets,
        activation=network.activation,
        output_activation=network.output_activation,
        penalties={},
        fraction=fraction,
        masks=masks,
    )
    for row, column in pairs:
        for unit in range(network.n_implicit):
            d_share = gradient["decoder.weight"][column, unit]
            gradient[IMPLICIT][row, unit] += d_share / np.sqrt(counts[column])
    for name, penalty in objective.penalties.items():  # of W and of Y, not of W~
        value += fraction * penalty / 2 * np.sum(blocks[name] ** 2)
        gradient[name] += fraction * penalty * blocks[name]
    return value, gradient


def test_worked_by_hand():
    """One hidden unit, q = 1, all activations the identity, lambda = 4 for Y alone.

    V = (1, 1), mu = 0, W = (1, -1), b = 0, Y = (2, -4); ratings r_1 = (3, 1), r_2 = (2, -).
    Column 1 has two ratings, column 2 one, but n = 4 makes its root whole: two rows without
    inputs and with the target 0 rate column 1 too, and y_3 = y_4 = 1.

        w~_1 = 1 + (2 - 4 + 1 + 1) / 2 = 1      w~_2 = -1 + 2 = 1
        h_1 = 4, h_2 = 2, h_3 = h_4 = 0         residuals (4 - 3, 4 - 1), (2 - 2), 0, 0
        J = 1 + 9 + 4/2 (4 + 16 + 1 + 1) = 54
        D_W~ = (2 * 1 * 4, 2 * 3 * 4) = (8, 24)
        D_Y = (8/2 + 24, 8/2, 8/2, 8/2) + 4 Y = (36, -12, 8, 8)
    """
    indptr, indices = [0, 2, 3, 4, 5], [0, 1, 0, 0, 0]
    targets = sparse.csr_array((np.array([3.0, 1, 2, 0, 0]), indices, indptr), shape=(4, 2))
    network = ImplicitNetwork(2, (1,), "identity", rated=scaled_pattern(targets), n_implicit=1)
    theta = np.array([1.0, 1, 0, 1, -1, 0, 0, 2, -4, 1, 1])
    objective = Objective(network, {IMPLICIT: 4.0})
    value, gradient = objective.value_and_gradient(theta, targets, targets)
    views = network.layout.views(gradient)
    assert network.layout.views(network.expand(theta))["decoder.weight"].tolist() == [[1], [1]]
    assert value == 54
    assert views["decoder.weight"].tolist() == [[8], [24]]
    assert views[IMPLICIT].tolist() == [[36], [-12], [8], [8]]


@OUTPUT
@DROPOUT
@KINDS
def test_value_and_gradient_equal_the_loops(
    tiny_matrix, sizes, n_implicit, n_planes, dropout, output
):
    objective, theta, data = problem(tiny_matrix, sizes, n_implicit, n_planes, dropout, output)
    value, gradient = objective.value_and_gradient(theta, *data)
    expected, expected_gradient = by_loops(objective, theta, *data)
    assert value == pytest.approx(expected, rel=1e-12)
    assert objective.value(theta, *data) == value
    views = objective.network.layout.views(gradient)
    assert set(views) == set(expected_gradient)
    for name, block in expected_gradient.items():
        np.testing.assert_allclose(views[name], block, rtol=1e-11, atol=1e-12, err_msg=name)


@OUTPUT
@DROPOUT
@KINDS
def test_every_block_passes_the_check_and_the_complex_step(
    tiny_matrix, sizes, n_implicit, n_planes, dropout, output
):
    objective, theta, data = problem(tiny_matrix, sizes, n_implicit, n_planes, dropout, output)
    layout = objective.network.layout
    for method in ("central", "complex"):
        report = check_gradient(
            lambda point: objective.value_and_gradient(point, *data),
            theta,
            layout,
            method=method,
            value=lambda point: objective.value(point, *data),
        )
        assert report.passed, f"{method}\n{report}"
        assert set(report.blocks) == set(layout.shapes)


def test_the_scale_is_the_root_of_the_count_of_stored_pairs(tiny_matrix):
    rated = scaled_pattern(tiny_matrix, np.float32)
    assert rated.dtype == np.float32
    assert np.shares_memory(rated.indices, tiny_matrix.indices)
    _, stored = reference.dense_and_stored(tiny_matrix)
    expected = np.where(stored, 1 / np.sqrt(np.maximum(stored.sum(axis=0), 1)), 0.0)
    np.testing.assert_allclose(rated.toarray(), expected, rtol=1e-7)
    assert (tiny_matrix.data == 0).any()  # stored zeros count
    assert not expected[:, 4].any()  # a column without ratings has no share


def test_a_column_without_ratings_keeps_its_weight_and_a_row_without_has_the_penalty_alone(
    tiny_matrix,
):
    objective, theta, data = problem(tiny_matrix)
    layout = objective.network.layout
    views, expanded = layout.views(theta), layout.views(objective.network.expand(theta))
    np.testing.assert_array_equal(expanded["decoder.weight"][4], views["decoder.weight"][4])
    assert (expanded["decoder.weight"][[0, 1, 2, 3, 5], :2] != 0).all()
    d_implicit = layout.views(objective.value_and_gradient(theta, *data)[1])[IMPLICIT]
    np.testing.assert_allclose(d_implicit[1], 0.4 * 1.7 * views[IMPLICIT][1], rtol=1e-15)


def test_units_beyond_q_and_the_other_blocks_are_not_touched(tiny_matrix):
    network = problem(tiny_matrix)[0].network
    theta = np.random.default_rng(1).normal(size=network.layout.size)
    views, expanded = network.layout.views(theta), network.layout.views(network.expand(theta))
    for name in views:
        if name == "decoder.weight":
            np.testing.assert_array_equal(expanded[name][:, 2:], views[name][:, 2:])
        else:
            np.testing.assert_array_equal(expanded[name], views[name])


def test_the_plain_network_at_the_expanded_point_is_the_same_model(tiny_matrix):
    objective, theta, (inputs, targets, _, _) = problem(tiny_matrix, n_planes=2)
    network, plain = objective.network, objective.network.plain
    assert type(plain) is Network
    assert [*network.layout.shapes][:-1] == [*plain.layout.shapes]
    served = network.expand(theta)[: plain.layout.size]
    np.testing.assert_array_equal(
        plain.forward(served, inputs, targets).outputs,
        network.forward(theta, inputs, targets).outputs,
    )
    codes = network.encode(theta, inputs)
    np.testing.assert_array_equal(plain.encode(served, inputs), codes)
    np.testing.assert_array_equal(
        plain.decode(served, codes, targets), network.decode(theta, codes, targets)
    )


def test_with_y_at_0_it_is_the_plain_network(tiny_matrix):
    objective, theta, data = problem(tiny_matrix)
    network = objective.network
    network.layout.views(theta)[IMPLICIT][...] = 0.0
    size = network.plain.layout.size
    penalties = {name: value for name, value in objective.penalties.items() if name != IMPLICIT}
    value, gradient = objective.value_and_gradient(theta, *data)
    plain_value, plain = Objective(network.plain, penalties).value_and_gradient(theta[:size], *data)
    assert value == plain_value
    np.testing.assert_array_equal(gradient[:size], plain)


def test_the_way_back_is_the_adjoint_of_the_expansion(tiny_matrix):
    network = problem(tiny_matrix, (4, 3), 2)[0].network
    report = adjoint_test(
        network.expand, lambda d: network.expand_transpose(d.copy()), network.layout.size
    )
    assert report.passed, str(report)
    wrong = adjoint_test(network.expand, lambda d: d, network.layout.size)
    assert not wrong.passed


@KINDS
def test_blocks_of_rows_add_up(tiny_matrix, sizes, n_implicit, n_planes):
    objective, theta, (inputs, targets, _, _) = problem(tiny_matrix, sizes, n_implicit, n_planes)
    value, gradient = objective.value_and_gradient(theta, inputs, targets)
    total, sums = 0.0, np.zeros_like(gradient)
    for rows in (np.array([0, 3]), np.array([1]), np.array([6, 2, 4, 5])):
        part, d_part = objective.value_and_gradient(
            theta, take_rows(inputs, rows), take_rows(targets, rows), len(rows) / 7
        )
        total, sums = total + part, sums + d_part
    assert total == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(sums, gradient, rtol=1e-12, atol=1e-13)


@OUTPUT
@DROPOUT
@KINDS
def test_the_hessian_product_is_the_derivative_of_the_gradient(
    tiny_matrix, sizes, n_implicit, n_planes, dropout, output
):
    objective, theta, data = problem(tiny_matrix, sizes, n_implicit, n_planes, dropout, output)
    left, right = np.random.default_rng(2).normal(size=(2, theta.size))
    by_left = implicit_hessian_vector_product(objective, theta, left, *data)
    shifted = objective.value_and_gradient(theta + 1e-30j * left, *data)[1].imag / 1e-30
    np.testing.assert_allclose(by_left, shifted, rtol=0, atol=1e-12 * np.abs(shifted).max())
    by_right = implicit_hessian_vector_product(objective, theta, right, *data)
    assert left @ by_right == pytest.approx(right @ by_left, rel=1e-10)


def test_the_hessian_product_passes_the_checker_and_a_wrong_one_does_not(tiny_matrix):
    objective, theta, data = problem(tiny_matrix)

    def fun(point):
        return objective.value_and_gradient(point, *data)

    def product(point, direction):
        return implicit_hessian_vector_product(objective, point, direction, *data)

    assert check_hessian_vector(fun, product, theta).passed
    assert not check_hessian_vector(fun, lambda p, d: 1.01 * product(p, d), theta).passed


def test_the_hessian_product_of_a_plain_network_is_another_function(tiny_matrix):
    objective = Objective(Network(6, (3,)), 1.0)
    theta = np.zeros(objective.network.layout.size)
    with pytest.raises(TypeError, match=r"an ImplicitNetwork, got Network\."):
        implicit_hessian_vector_product(objective, theta, theta, tiny_matrix, tiny_matrix)


def test_no_argument_is_changed_and_the_dtype_is_that_of_theta(tiny_matrix):
    objective, theta, data = problem(tiny_matrix)
    theta.flags.writeable = False
    value, gradient = objective.value_and_gradient(theta, *data)
    for dtype in (np.float32, np.complex128):
        other, d_other = objective.value_and_gradient(theta.astype(dtype), *data)
        assert d_other.dtype == dtype
        assert other == pytest.approx(value, rel=1e-5)
        np.testing.assert_allclose(d_other, gradient, rtol=1e-4, atol=1e-4)


def test_y_starts_as_the_weights_do(tiny_matrix):
    network = ImplicitNetwork(6, (40,), rated=sparse.csr_array((500, 6)), n_implicit=40)
    start = network.layout.initialize(np.random.default_rng(0))
    implicit = network.layout.views(start)[IMPLICIT]
    assert implicit.shape == (500, 40)
    assert implicit.std() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tied": True}, r"cannot be tied"),
        ({"n_implicit": 0}, r"between 1 and the last hidden width 3, got 0"),
        ({"n_implicit": 4}, r"between 1 and the last hidden width 3, got 4"),
        ({"n_columns": 5}, r"rated must have 5 columns, got 6"),
    ],
)
def test_what_cannot_be_is_refused(tiny_matrix, changes, message):
    settings = {"n_columns": 6, "hidden_layer_sizes": (3,), "n_implicit": 2, **changes}
    with pytest.raises(ValueError, match=message):
        ImplicitNetwork(**settings, rated=scaled_pattern(tiny_matrix))
