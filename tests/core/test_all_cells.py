"""The objective over all cells against loops, differences, and a sum worked by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from matrices import small_csr, whole_numbers
from scipy import sparse

from autorec_np.core.all_cells import (
    ROWS_AT_ONCE,
    AllCells,
    PlusLowRank,
    all_cells_hessian_vector_product,
    gram,
)
from autorec_np.core.hessian import hessian_vector_product
from autorec_np.core.implicit import (
    IMPLICIT,
    ImplicitNetwork,
    implicit_hessian_vector_product,
    scaled_pattern,
)
from autorec_np.core.kernels import column_sums, spmm, spmm_transpose, with_data
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
W0 = 0.3
T0 = np.array([0.5, -1.0, 0.0, 0.25, 2.0, 1.0])  # of each column
KINDS = pytest.mark.parametrize(
    "kind",
    [
        {},
        {"sizes": (4, 3)},
        {"sizes": (3, 3), "tied": True},
        {"n_implicit": 2},
        {"n_planes": 2},
        {"sizes": (4, 3), "n_implicit": 3, "n_planes": 2},
    ],
    ids=["one layer", "deep", "tied", "implicit", "planes", "all three"],
)
CELLS = pytest.mark.parametrize(
    "cells",
    [
        {},
        {"target": T0, "counted": np.arange(6) != 4},
        {"weighed": True},
        {"weighed": True, "shifted": True, "target": T0, "counted": np.arange(6) != 4},
        {"weight": 0.0, "weighed": True},
    ],
    ids=["", "targets of columns", "weights", "weights, shifts and targets", "w0 = 0"],
)
DROPOUT = pytest.mark.parametrize("dropout", [False, True])


class Case:
    """An objective, a point, and the other arguments of a call."""

    def __init__(
        self,
        matrix,
        sizes=(3,),
        tied=False,
        n_implicit=0,
        n_planes=0,
        dropout=False,
        weight=W0,
        target=0.5,
        counted=None,
        weighed=False,
        shifted=False,
        fraction=0.4,
    ):
        rng = np.random.default_rng(0)
        n_rows, n_columns = matrix.shape
        plain = with_data(matrix, rng.integers(-2, 7, matrix.nnz) / 2.0)
        inputs = targets = plain
        self.c = rng.integers(1, 5, matrix.nnz) / 2.0 if weighed else None
        self.s = rng.normal(size=(n_rows, 1)) if shifted else None
        if weighed:
            targets = Planes(matrix, np.array([plain.data, self.c]), self.s)
        if n_planes:
            inputs = Planes(matrix, rng.integers(-2, 4, (n_planes, matrix.nnz)) / 2.0)
        settings = n_columns, sizes, "tanh", "identity", tied, inputs.shape[1]
        network = Network(*settings)
        if n_implicit:
            network = ImplicitNetwork(
                *settings, rated=scaled_pattern(matrix), n_implicit=n_implicit
            )
        names = [*network.layout.shapes, *network.layout.aliases]
        self.penalties = {name: PENALTIES[name] for name in names if name in PENALTIES}
        masks = None
        if dropout:
            masks = [np.where(rng.random((n_rows, k)) < 0.4, 0.0, 1 / 0.6) for k in sizes]
        self.network, self.plain = network, plain
        self.objective = AllCells(network, self.penalties, weight, target, counted)
        self.theta = rng.normal(0.1, 0.5, network.layout.size)
        self.data = inputs, targets, fraction, masks
        self.cells = reference.every_cell(plain, weight, target, self.c, self.s, counted)

    def fun(self, theta):
        return self.objective.value_and_gradient(theta, *self.data)

    def by_loops(self):
        """The value and {block: gradient}, one cell after the other."""
        network, (inputs, _, fraction, masks) = self.network, self.data
        implicit, layout = isinstance(network, ImplicitNetwork), network.layout
        blocks = {name: view.copy() for name, view in layout.views(self.theta).items()}
        changed = {**blocks, "decoder.weight": blocks["decoder.weight"].copy()}
        n_y = network.n_implicit if implicit else 0
        n = np.zeros(self.plain.shape)
        if implicit:
            _, stored = reference.dense_and_stored(self.plain)
            n[stored] = 1 / np.sqrt(np.broadcast_to(stored.sum(axis=0), n.shape)[stored])
            changed["decoder.weight"][:, :n_y] += n.T @ blocks[IMPLICIT]
        if isinstance(inputs, Planes):
            dense = [reference.dense_and_stored(block)[0] for block in inputs.blocks]
            inputs = sparse.csr_array(np.hstack(dense))
        value, gradient = reference.objective(
            changed,
            inputs,
            self.plain,
            activation=network.activation,
            output_activation="identity",
            penalties={},
            masks=masks,
            cells=self.cells,
        )
        if implicit:
            gradient[IMPLICIT] = n @ gradient["decoder.weight"][:, :n_y]
        for name, penalty in self.penalties.items():
            value += fraction * penalty / 2 * np.sum(blocks[name] ** 2)
            gradient[name] += fraction * penalty * blocks[name]
        return value, reference.add_tied_gradients(gradient) if network.tied else gradient


def test_worked_by_hand():
    """One hidden unit, all activations the identity, w0 = 1/2, t0 = 1, no penalty.

    V = (1, 0, 0), mu = 0, W = (1, 2, 3), b = (0, 1, 0); ratings r_1 = (2, -, 4), r_2 = (-, 3, -).
    So h = (2, 0) and the outputs are all

        Y = (2, 5, 6 | 0, 1, 0)      residuals (0, -, 2 | -, -2, -)
        Y - T0 = (1, 4, 5 | -1, 0, -1)      the unrated: 4 | -1, -1
        J = 0 + 4 + 4 + 1/2 (16 + 1 + 1) = 17
        D_A = 2 (0, 4/2, 2 | -1/2, -2, -1/2) = (0, 4, 4 | -1, -4, -1)
        D_W = 2 D_A1 = (0, 8, 8)      D_b = (-1, 0, 3)
        D_H = D_A W = (20, -12) = D_Z      D_V = X^T D_Z = (40, -36, 80)      D_mu = 8

    L = [H, 1] = (2, 1 | 0, 1) and R = [W, b - 1] = (1, -1 | 2, 0 | 3, -1), L^T L = (4, 2; 2, 2)
    and R^T R = (14, -4; -4, 2). Their product, 56 - 8 - 8 + 4 = 44, is the sum over all cells,
    1 + 16 + 25 + 1 + 0 + 1.
    """
    ratings = sparse.csr_array(([2.0, 4.0, 3.0], [0, 2, 1], [0, 2, 3]), shape=(2, 3))
    objective = AllCells(Network(3, (1,), "identity"), 0.0, weight=0.5, target=1.0)
    theta = np.array([1.0, 0, 0, 0, 1, 2, 3, 0, 1, 0])
    value, gradient = objective.value_and_gradient(theta, ratings, ratings)
    assert value == 17
    assert objective.value(theta, ratings, ratings) == 17
    left, right = objective.factors(theta, np.array([[2.0], [0.0]]))
    assert (left @ right.T).tolist() == [[1, 4, 5], [-1, 0, -1]]
    assert gram(left).tolist() == [[4, 2], [2, 2]]
    assert gram(right).tolist() == [[14, -4], [-4, 2]]
    views = objective.network.layout.views(gradient)
    assert views["decoder.weight"].ravel().tolist() == [0, 8, 8]
    assert views["decoder.bias"].tolist() == [-1, 0, 3]
    assert views["encoder.weight"].ravel().tolist() == [40, -36, 80]
    assert views["encoder.bias"].tolist() == [8]


@DROPOUT
@CELLS
@KINDS
def test_value_and_gradient_equal_the_loops(tiny_matrix, kind, cells, dropout):
    case = Case(tiny_matrix, **kind, **cells, dropout=dropout)
    value, gradient = case.fun(case.theta)
    expected, expected_gradient = case.by_loops()
    assert value == pytest.approx(expected, rel=1e-12)
    assert case.objective.value(case.theta, *case.data) == value
    views = case.network.layout.views(gradient)
    for name in case.network.layout.shapes:
        wanted = expected_gradient[name]
        np.testing.assert_allclose(views[name], wanted, rtol=1e-11, atol=1e-12, err_msg=name)


@DROPOUT
@CELLS
@KINDS
def test_every_block_passes_the_check_and_the_complex_step(tiny_matrix, kind, cells, dropout):
    case = Case(tiny_matrix, **kind, **cells, dropout=dropout)
    layout = case.network.layout
    for method in ("central", "complex"):
        report = check_gradient(
            case.fun,
            case.theta,
            layout,
            method=method,
            value=lambda point: case.objective.value(point, *case.data),
        )
        assert report.passed, f"{method}\n{report}"
        assert set(report.blocks) == set(layout.shapes)


@given(
    matrix=small_csr(),
    k=st.integers(1, 3),
    weight=st.sampled_from([0.0, 0.25, 1.0, 4.0]),
    target=st.sampled_from([-1.0, 0.0, 2.0]),
    seed=st.integers(0, 99),
    weighed=st.booleans(),
    counts=st.booleans(),
)
def test_the_value_is_the_sum_over_a_dense_array(matrix, k, weight, target, seed, weighed, counts):
    """Whole numbers and quarters: every sum is exact."""
    n_rows, n_columns = matrix.shape
    if not n_columns:
        return
    network = Network(n_columns, (k,), "identity")
    theta = whole_numbers(network.layout.size, seed)
    weights = np.abs(whole_numbers(matrix.nnz, seed + 1)) + 1 if weighed else np.ones(matrix.nnz)
    shifts = whole_numbers((n_rows, 1), seed + 2) if weighed and n_columns > 1 else None
    counted = None if counts else np.bincount(matrix.indices, minlength=n_columns) > 0
    targets = Planes(matrix, np.array([matrix.data, weights]), shifts) if weighed else matrix
    value = AllCells(network, 0.0, weight, target, counted).value(theta, matrix, targets)
    wanted, weighs = reference.every_cell(matrix, weight, target, weights, shifts, counted)
    views = network.layout.views(theta)
    read, _ = reference.dense_and_stored(matrix)
    codes = read @ views["encoder.weight"] + views["encoder.bias"]
    outputs = codes @ views["decoder.weight"].T + views["decoder.bias"]
    assert value == np.sum(weighs * (outputs - wanted) ** 2)


@CELLS
@KINDS
def test_blocks_of_rows_add_up(tiny_matrix, kind, cells):
    case = Case(tiny_matrix, **kind, **cells, fraction=1.0)
    inputs, targets, _, _ = case.data
    value, gradient = case.fun(case.theta)
    total, sums = 0.0, np.zeros_like(gradient)
    for rows in (np.array([0, 3]), np.array([1]), np.array([6, 2, 4, 5])):
        part, d_part = case.objective.value_and_gradient(
            case.theta, inputs[rows], targets[rows], len(rows) / 7
        )
        total, sums = total + part, sums + d_part
    assert total == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(sums, gradient, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@DROPOUT
@KINDS
def test_without_weight_it_is_the_objective_to_the_bit(tiny_matrix, kind, dropout, dtype):
    case = Case(tiny_matrix, **kind, dropout=dropout, weight=0.0, target=T0)
    theta = case.theta.astype(dtype)
    value, gradient = case.fun(theta)
    other, d_other = Objective(case.network, case.penalties).value_and_gradient(theta, *case.data)
    assert value == other
    assert case.objective.value(theta, *case.data) == other
    np.testing.assert_array_equal(gradient, d_other)
    assert gradient.tobytes() == d_other.tobytes()


def test_an_empty_row_counts_and_a_column_that_does_not_count_does_not(tiny_matrix):
    case = Case(tiny_matrix, fraction=0.0)
    inputs, targets, _, _ = case.data
    empty = np.array([1])
    value, gradient = case.objective.value_and_gradient(
        case.theta, inputs[empty], targets[empty], 0.0
    )
    views = case.network.layout.views(case.theta)
    outputs = np.tanh(views["encoder.bias"]) @ views["decoder.weight"].T + views["decoder.bias"]
    assert value == pytest.approx(W0 * np.sum((outputs - 0.5) ** 2), rel=1e-14)
    assert np.all(case.network.layout.views(gradient)["decoder.bias"] != 0)
    counted = Case(tiny_matrix, fraction=0.0, counted=np.arange(6) != 4)
    _, gradient = counted.fun(counted.theta)
    d_views = counted.network.layout.views(gradient)
    assert not d_views["decoder.weight"][4].any()
    assert d_views["decoder.bias"][4] == 0


def test_a_stored_zero_is_observed(tiny_matrix):
    """With t = t0 = 0 and a weight of 1 it is no matter; with w0 = 1/4 it is four times as much."""
    ratings = sparse.csr_array(([0.0], [0], [0, 1]), shape=(1, 2))
    network = Network(2, (1,), "identity")
    theta = np.array([0.0, 0, 0, 0, 0, 2, 3])  # y = b = (2, 3)
    assert AllCells(network, 0.0, 1.0).value(theta, ratings, ratings) == 4 + 9
    assert AllCells(network, 0.0, 0.25).value(theta, ratings, ratings) == 4 + 9 / 4


def test_the_signals_are_those_of_the_dense_matrix(tiny_matrix):
    case = Case(tiny_matrix, weighed=True, shifted=True, target=T0)
    inputs, targets, _, masks = case.data
    passed, signals, _ = case.objective.passes(case.theta, inputs, targets, masks)
    d_activity = signals.d_activity
    assert isinstance(d_activity, PlusLowRank)
    dense = d_activity.pattern.toarray() + d_activity.left @ d_activity.right.T
    views = case.network.layout.views(case.theta)
    outputs = passed.hidden[0] @ views["decoder.weight"].T + views["decoder.bias"]
    wanted, weighs = case.cells
    np.testing.assert_allclose(dense, 2 * weighs * (outputs - wanted), rtol=1e-12, atol=1e-13)


def test_the_products_of_a_sum_with_low_rank(tiny_matrix):
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(7, 2)), rng.normal(size=(6, 2))
    matrix = PlusLowRank(tiny_matrix, left, right)
    dense = reference.dense_and_stored(tiny_matrix)[0] + left @ right.T
    rows, columns = rng.normal(size=(7, 3)), rng.normal(size=(6, 3))
    np.testing.assert_allclose(spmm(matrix, columns), dense @ columns, rtol=1e-12)
    np.testing.assert_allclose(spmm_transpose(matrix, rows), dense.T @ rows, rtol=1e-12)
    np.testing.assert_allclose(column_sums(matrix), dense.sum(axis=0), rtol=1e-12)
    report = adjoint_test(lambda x: spmm(matrix, x), lambda y: spmm_transpose(matrix, y), (6, 3))
    assert report.passed, str(report)
    changed = with_data(matrix, 2 * tiny_matrix.data)
    np.testing.assert_array_equal(changed.pattern.data, 2 * tiny_matrix.data)
    assert changed.left is left
    assert changed.right is right


def test_a_gram_matrix_is_summed_in_float64():
    """10,000 squares of 1 and 4,096: float32 keeps none of the ones."""
    factor = np.ones((10_000, 1), np.float32)
    factor[0] = 4_096.0
    assert len(factor) > ROWS_AT_ONCE
    assert gram(factor).dtype == np.float64
    assert gram(factor).item() == 4_096.0**2 + 9_999
    turned = factor * 1j
    assert gram(turned).item() == -(4_096.0**2) - 9_999  # squared, not conjugated


def test_the_value_is_summed_in_float64():
    """The outputs are 4,096 and, in 5,000 rows, 1 of three columns: 1 is half of the last digit."""
    n_rows = 5_000
    ratings = sparse.csr_array(
        (np.array([4_096.0]), [0], [0, *[1] * n_rows]), shape=(n_rows, 3)
    ).astype(np.float32)
    network = Network(3, (1,), "identity")
    theta = np.array([1.0, 0, 0, 0, 1, 0, 0, 0, 1, 0], np.float32)
    value = AllCells(network, 0.0, 1.0).value(theta, ratings, ratings)
    assert value == n_rows
    theta = np.array([1.0, 0, 0, 0, 1, 1, 0, 0, 1, 0], np.float32)
    assert AllCells(network, 0.0, 1.0).value(theta, ratings, ratings) == 4_097.0**2 + n_rows - 1


def test_no_array_of_all_cells_is_formed():
    """20,000 x 20,000 cells would be 3.2 GB in float64."""
    n, k = 20_000, 2
    rng = np.random.default_rng(0)
    indices = rng.integers(0, n, n).astype(np.int32)
    ratings = sparse.csr_array((np.ones(n), indices, np.arange(n + 1)), shape=(n, n))
    network = Network(n, (k,))
    objective = AllCells(network, 1.0, 0.1)
    theta = network.layout.initialize(rng, np.float64)
    objective.network.forward(theta, ratings, ratings)
    tracemalloc.start()
    value, _ = objective.value_and_gradient(theta, ratings, ratings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert value > 0
    assert peak < 60 * n * (k + 2) * 8


@DROPOUT
@CELLS
@KINDS
def test_the_hessian_product_is_the_derivative_of_the_gradient(tiny_matrix, kind, cells, dropout):
    case = Case(tiny_matrix, **kind, **cells, dropout=dropout)
    theta, (left, right) = case.theta, np.random.default_rng(2).normal(size=(2, case.theta.size))
    by_left, by_right = (
        all_cells_hessian_vector_product(case.objective, theta, along, *case.data)
        for along in (left, right)
    )
    shifted = case.fun(theta + 1e-30j * left)[1].imag / 1e-30
    np.testing.assert_allclose(by_left, shifted, rtol=0, atol=1e-12 * np.abs(shifted).max())
    assert left @ by_right == pytest.approx(right @ by_left, rel=1e-10)


@KINDS
def test_the_hessian_product_passes_the_checker_and_a_wrong_one_does_not(tiny_matrix, kind):
    case = Case(tiny_matrix, **kind)

    def product(point, direction):
        return all_cells_hessian_vector_product(case.objective, point, direction, *case.data)

    assert check_hessian_vector(case.fun, product, case.theta).passed
    assert not check_hessian_vector(case.fun, lambda p, d: 1.01 * product(p, d), case.theta).passed


@KINDS
def test_the_hessian_products_of_other_chapters_know_it(tiny_matrix, kind):
    """So that none is of another objective: without w0 they are those of `Objective`."""
    for weight in (0.0, W0):
        case = Case(tiny_matrix, **kind, weight=weight)
        implicit = isinstance(case.network, ImplicitNetwork)
        product = implicit_hessian_vector_product if implicit else hessian_vector_product
        along = np.random.default_rng(2).normal(size=case.theta.size)
        other = product(case.objective, case.theta, along, *case.data)
        mine = all_cells_hessian_vector_product(case.objective, case.theta, along, *case.data)
        np.testing.assert_array_equal(mine, other)
        plain = product(Objective(case.network, case.penalties), case.theta, along, *case.data)
        assert np.allclose(mine, plain, rtol=1e-12) == (weight == 0)


@KINDS
def test_no_argument_is_changed_and_the_dtype_is_that_of_theta(tiny_matrix, kind):
    case = Case(tiny_matrix, **kind, weighed=True, shifted=True, dropout=True, target=T0)
    objective, (inputs, targets, _, masks) = case.objective, case.data
    for array in (case.theta, targets.data, targets.features, inputs.data, *masks):
        array.flags.writeable = False
    value, gradient = case.fun(case.theta)
    along = np.ones_like(case.theta)
    product = all_cells_hessian_vector_product(objective, case.theta, along, *case.data)
    for dtype in (np.float32, np.complex128):
        theta = case.theta.astype(dtype)
        other, d_other = case.fun(theta)
        assert d_other.dtype == dtype
        assert other == pytest.approx(value, rel=1e-5)
        np.testing.assert_allclose(d_other, gradient, rtol=1e-4, atol=1e-4)
        found = all_cells_hessian_vector_product(objective, theta, along, *case.data)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, product, rtol=1e-3, atol=1e-3)
    assert isinstance(case.fun(case.theta.astype(np.float32))[0], float)


def test_columns_in_another_order(tiny_matrix):
    order = np.array([3, 0, 5, 4, 1, 2])
    counted = np.arange(6) != 4
    objective = AllCells(Network(6, (3,)), 1.0, W0, T0, counted)
    objective.reorder(order)
    np.testing.assert_array_equal(objective.target, T0[order])
    np.testing.assert_array_equal(objective.counted, counted[order])
    np.testing.assert_array_equal(T0, [0.5, -1.0, 0.0, 0.25, 2.0, 1.0])
    every = AllCells(Network(6, (3,)), 1.0, W0)
    every.reorder(order)
    assert every.counted is None


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "relu", "softplus"])
def test_outputs_that_are_no_product_are_refused(output):
    with pytest.raises(ValueError, match=rf"identity output, got output_activation='{output}'"):
        AllCells(Network(6, (3,), output_activation=output), 1.0, W0)


@pytest.mark.parametrize(
    ("weight", "target"), [(-0.1, 0.0), (np.nan, 0.0), (np.inf, 0.0), (1.0, np.nan)]
)
def test_weights_and_targets_out_of_range_are_refused(weight, target):
    with pytest.raises(ValueError, match=rf"at least 0 .*, got {weight} and {target}\."):
        AllCells(Network(6, (3,)), 1.0, weight, target)


@pytest.mark.parametrize("weighed", [False, True])
def test_shapes_are_checked(tiny_matrix, weighed):
    case = Case(tiny_matrix, weighed=weighed)
    _, targets, _, _ = case.data
    few = targets[np.arange(3)]
    for call in (case.objective.value, case.objective.value_and_gradient):
        with pytest.raises(ValueError, match=r"inputs must have shape \(3, 6\), got \(7, 6\)"):
            call(case.theta, tiny_matrix, few)
    with pytest.raises(ValueError, match=r"regularization of decoder\.weight must be finite"):
        AllCells(case.network, {"decoder.weight": -1.0}, W0)
