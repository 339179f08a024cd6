"""Objective (2) and its gradient against loops, differences, laws, and a sum worked by hand."""

from __future__ import annotations

import dataclasses
import tracemalloc
from typing import Any, NamedTuple

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.kernels import take_rows, with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective

SIZES = {
    (1, False): (3,),
    (2, False): (4, 3),
    (3, False): (4, 2, 3),
    (1, True): (3,),
    (2, True): (3, 3),
    (3, True): (3, 4, 3),
}
# Different for every block, so that none can stand for another.
PENALTIES = {
    "encoder.weight": 0.7,
    "hidden1.weight": 0.3,
    "hidden2.weight": 1.9,
    "decoder.weight": 1.1,
}
FRACTION = 0.4


def every(*names):
    """Parametrize over depth x activation x output x tied x dropout, or those of them named."""
    values = {
        "depth": [1, 2, 3],
        "activation": sorted(ACTIVATIONS),
        "output": sorted(ACTIVATIONS),
        "tied": [False, True],
        "dropout": [False, True],
    }
    marks = [pytest.mark.parametrize(name, values[name]) for name in names or values]

    def decorate(test):
        for mark in marks:
            test = mark(test)
        return test

    return decorate


class Problem(NamedTuple):
    objective: Objective
    theta: np.ndarray
    inputs: sparse.csr_array
    targets: sparse.csr_array
    fraction: float
    masks: list[np.ndarray] | None

    def value(self, theta=None) -> Any:
        theta = self.theta if theta is None else theta
        return self.objective.value(theta, *self[2:])

    def value_and_gradient(self, theta=None):
        theta = self.theta if theta is None else theta
        return self.objective.value_and_gradient(theta, *self[2:])

    @property
    def layout(self):
        return self.objective.network.layout


def make_problem(
    matrix, depth=1, activation="sigmoid", output="identity", tied=False, dropout=False, seed=0
):
    """A problem on the pattern of `matrix` whose inputs, targets, weights and biases all differ."""
    sizes = SIZES[depth, tied]
    network = Network(matrix.shape[1], sizes, activation, output, tied)
    blocks = {*network.layout.shapes, *network.layout.aliases}
    penalties = {name: penalty for name, penalty in PENALTIES.items() if name in blocks}
    rng = np.random.default_rng(seed)
    theta = rng.normal(0.1, 0.5, network.layout.size)
    # whole and half numbers: exact in float32; some targets are 0.0
    targets = with_data(matrix, rng.integers(-2, 7, matrix.nnz) / 2.0)
    masks = None
    if dropout:
        masks = [np.where(rng.random((matrix.shape[0], k)) < 0.4, 0.0, 1 / 0.6) for k in sizes]
    return Problem(Objective(network, penalties), theta, matrix, targets, FRACTION, masks)


def reference_of(problem, **changes):
    """Return the value and {block: gradient} of the problem by the loops of tests/reference.py."""
    network = problem.objective.network
    blocks = {name: view.copy() for name, view in problem.layout.views(problem.theta).items()}
    arguments = {
        "activation": network.activation,
        "output_activation": network.output_activation,
        "penalties": {name: PENALTIES[name] for name in blocks if name.endswith(".weight")},
        "fraction": problem.fraction,
        "masks": problem.masks,
    }
    value, gradient = reference.objective(
        blocks, problem.inputs, problem.targets, **(arguments | changes)
    )
    return value, reference.add_tied_gradients(gradient) if network.tied else gradient


def assert_blocks_equal(layout, gradient, expected, rtol):
    """Compare block by block; each has its own scale."""
    views = layout.views(gradient)
    assert set(expected) == set(layout.slices)
    for name, block in expected.items():
        scale = np.abs(block).max()
        np.testing.assert_allclose(
            views[name], block, rtol=rtol, atol=rtol * scale, err_msg=f"block {name}"
        )


# The value and the gradient


def test_worked_by_hand():
    """One hidden unit, all activations the identity, lambda = 4.

    V = (1, 2), mu = 0, W = (1, -1), b = (1/2, 0); ratings r = (3, -) and (1, 2).

        h1 = 1*3 = 3          y1 = (3 + 1/2, -)          residuals (1/2, -)
        h2 = 1*1 + 2*2 = 5    y2 = (5 + 1/2, -5)         residuals (9/2, -7)

        J = 1/4 + 81/4 + 49 + 4/2 (1 + 4) + 4/2 (1 + 1) = 69.5 + 10 + 4 = 83.5

        db = 2 (1/2 + 9/2, -7)                              = (10, -14)
        dW = 2 (3*1/2 + 5*9/2, 5*-7) + 4 (1, -1)            = (48 + 4, -70 - 4)
        dh1 = 2 * 1/2 * 1 = 1,  dh2 = 2 (9/2 * 1 + -7 * -1) = 23
        dV = (3*1 + 1*23, 2*23) + 4 (1, 2)                  = (26 + 4, 46 + 8)
        dmu = 1 + 23                                        = 24
    """
    ratings = sparse.csr_array((np.array([3.0, 1.0, 2.0]), [0, 0, 1], [0, 1, 3]), shape=(2, 2))
    objective = Objective(Network(2, (1,), "identity", "identity"), 4.0)
    theta = np.array([1.0, 2.0, 0.0, 1.0, -1.0, 0.5, 0.0])  # V, mu, W, b
    value, gradient = objective.value_and_gradient(theta, ratings, ratings)
    assert value == 83.5
    np.testing.assert_array_equal(gradient, [30, 54, 24, 52, -74, 10, -14])

    # half of all rows: half of the penalty, the whole squared error
    value, gradient = objective.value_and_gradient(theta, ratings, ratings, fraction=0.5)
    assert value == 69.5 + 7
    np.testing.assert_array_equal(gradient, [28, 50, 24, 50, -72, 10, -14])

    # a stored zero at (1, 2) is a rating: y = -3, so J grows by 9
    with_zero = sparse.csr_array(
        (np.array([3.0, 0.0, 1.0, 2.0]), [0, 1, 0, 1], [0, 2, 4]), shape=(2, 2)
    )
    assert objective.value(theta, with_zero, with_zero) == 83.5 + 9


def test_tied_worked_by_hand():
    """V = W = (1, -1), mu = 0, b = 0, r = (2, 1), lambda = 4, all identity.

    h = 1, y = (1, -1), residuals (-1, -2); J = 1 + 4 + 4/2 * 2 * 2 = 13: the weight is in both
    terms of (2). dW = 2 (-1, -2), dh = 2 (-1 + 2) = 2, dV = 2 (2, 1), penalty 2 * 4 (1, -1).
    """
    ratings = sparse.csr_array(np.array([[2.0, 1.0]]))
    objective = Objective(Network(2, (1,), "identity", "identity", tied=True), 4.0)
    value, gradient = objective.value_and_gradient(np.array([1.0, -1, 0, 0, 0]), ratings, ratings)
    assert value == 13.0
    np.testing.assert_array_equal(gradient, [-2 + 4 + 8, -4 + 2 - 8, 2, -2, -4])


@every()
def test_value_and_gradient_equal_the_loops(tiny_matrix, depth, activation, output, tied, dropout):
    problem = make_problem(tiny_matrix, depth, activation, output, tied, dropout)
    value, gradient = problem.value_and_gradient()
    expected, expected_gradient = reference_of(problem)
    assert value == pytest.approx(expected, rel=1e-13)
    assert_blocks_equal(problem.layout, gradient, expected_gradient, rtol=1e-12)


@every()
def test_every_block_agrees_with_central_differences(
    tiny_matrix, depth, activation, output, tied, dropout
):
    problem = make_problem(tiny_matrix, depth, activation, output, tied, dropout)
    value, gradient = problem.value_and_gradient()
    rng = np.random.default_rng(1)
    step = 1e-5
    for name, where in problem.layout.slices.items():
        assert np.any(gradient[where]), f"nothing to check in {name}"
        for _ in range(2):
            direction = np.zeros_like(gradient)
            direction[where] = rng.normal(size=where.stop - where.start)
            higher = problem.value(problem.theta + step * direction)
            lower = problem.value(problem.theta - step * direction)
            difference = (higher - lower) / (2 * step)
            # rounding: eps J / step; truncation: step^2 times a third derivative
            scale = np.linalg.norm(gradient[where]) * np.linalg.norm(direction)
            budget = 4e-16 * value / step + 1e-7 * scale
            assert abs(difference - gradient @ direction) < budget, name


@every()
def test_float32_gradient_is_the_float64_one_to_rounding(
    tiny_matrix, depth, activation, output, tied, dropout
):
    problem = make_problem(tiny_matrix, depth, activation, output, tied, dropout)
    theta = problem.theta.astype(np.float32)
    value, gradient = problem.value_and_gradient(theta)
    exact_value, exact = problem.value_and_gradient(theta.astype(np.float64))
    assert gradient.dtype == np.float32
    eps = float(np.finfo(np.float32).eps)
    assert value == pytest.approx(exact_value, rel=16 * eps)
    # components that cancel carry the rounding of the terms that they are the sum of
    for name, where in problem.layout.slices.items():
        error = np.abs(gradient[where] - exact[where]).max()
        assert error < 16 * eps * np.abs(exact).max(), name


@every()
def test_every_block_agrees_with_the_complex_step(
    tiny_matrix, depth, activation, output, tied, dropout
):
    problem = make_problem(tiny_matrix, depth, activation, output, tied, dropout)
    _, gradient = problem.value_and_gradient()
    rng = np.random.default_rng(2)
    for name, where in problem.layout.slices.items():
        direction = np.zeros_like(gradient)
        direction[where] = rng.normal(size=where.stop - where.start)
        stepped = problem.value(problem.theta + 1e-30j * direction).imag / 1e-30
        scale = np.linalg.norm(gradient[where]) * np.linalg.norm(direction)
        assert abs(stepped - gradient @ direction) < 1e-13 * scale, name


@every("depth", "tied", "dropout")
def test_complex_gradient_gives_a_symmetric_hessian(tiny_matrix, depth, tied, dropout):
    problem = make_problem(tiny_matrix, depth, "tanh", "softplus", tied, dropout)
    left, right = np.random.default_rng(3).normal(size=(2, problem.layout.size))

    def hessian_times(direction):
        return problem.value_and_gradient(problem.theta + 1e-30j * direction)[1].imag / 1e-30

    assert left @ hessian_times(right) == pytest.approx(right @ hessian_times(left), rel=1e-12)


@every("depth", "tied", "dropout")
def test_value_alone_is_the_value_of_both(tiny_matrix, depth, tied, dropout):
    problem = make_problem(tiny_matrix, depth, "elu", "tanh", tied, dropout)
    assert problem.value() == problem.value_and_gradient()[0]


# The observed set


def test_stored_zeros_are_observed(tiny_matrix):
    problem = make_problem(tiny_matrix)
    assert np.count_nonzero(problem.targets.data == 0) >= 2
    without = problem.targets.copy()
    without.eliminate_zeros()
    dropped = problem._replace(targets=without)
    at_zero = problem.targets.data == 0
    outputs = problem.objective.network.forward(problem.theta, problem.inputs, problem.targets)
    missing = np.sum(outputs.outputs[at_zero] ** 2)
    assert missing > 0.1
    assert problem.value() - dropped.value() == pytest.approx(missing, rel=1e-12)
    assert reference_of(dropped)[0] == pytest.approx(dropped.value(), rel=1e-13)


def test_stored_zeros_among_the_inputs_change_nothing(tiny_matrix):
    problem = make_problem(tiny_matrix)
    sparser = tiny_matrix.copy()
    sparser.eliminate_zeros()
    assert sparser.nnz < tiny_matrix.nnz
    value, gradient = problem.value_and_gradient()
    other_value, other_gradient = problem._replace(inputs=sparser).value_and_gradient()
    assert value == other_value
    np.testing.assert_array_equal(gradient, other_gradient)


@every("depth", "tied")
def test_inputs_and_targets_may_have_different_patterns(tiny_matrix, depth, tied):
    problem = make_problem(tiny_matrix, depth, "tanh", "sigmoid", tied)
    flipped = take_rows(problem.targets, np.arange(7)[::-1])
    problem = problem._replace(targets=flipped)
    value, gradient = problem.value_and_gradient()
    expected, expected_gradient = reference_of(problem)
    assert value == pytest.approx(expected, rel=1e-13)
    assert_blocks_equal(problem.layout, gradient, expected_gradient, rtol=1e-12)


@every("depth")
def test_inputs_may_be_wider_than_the_targets(tiny_matrix, depth):
    network = Network(6, SIZES[depth, False], n_inputs=8)
    side = np.random.default_rng(4).normal(size=(7, 2))
    wider = sparse.csr_array(np.hstack((tiny_matrix.toarray(), side)))
    theta = np.random.default_rng(5).normal(0, 0.5, network.layout.size)
    objective = Objective(
        network, {k: v for k, v in PENALTIES.items() if k in network.layout.shapes}
    )
    problem = Problem(objective, theta, wider, tiny_matrix, FRACTION, None)
    value, gradient = problem.value_and_gradient()
    expected, expected_gradient = reference_of(problem)
    assert value == pytest.approx(expected, rel=1e-13)
    assert_blocks_equal(problem.layout, gradient, expected_gradient, rtol=1e-12)


def test_an_empty_column_pulls_on_no_parameter_but_through_the_penalty(tiny_matrix):
    problem = make_problem(tiny_matrix)
    views = problem.layout.views(problem.value_and_gradient()[1])
    weights = problem.layout.views(problem.theta)
    assert views["decoder.bias"][4] == 0
    for name in ("encoder.weight", "decoder.weight"):
        np.testing.assert_allclose(
            views[name][4], FRACTION * PENALTIES[name] * weights[name][4], rtol=1e-15
        )


def test_an_empty_row_adds_nothing(tiny_matrix):
    problem = make_problem(tiny_matrix, depth=2)
    others = np.array([0, 2, 3, 4, 5, 6])
    shorter = problem._replace(
        inputs=take_rows(problem.inputs, others), targets=take_rows(problem.targets, others)
    )
    assert shorter.value() == problem.value()
    np.testing.assert_array_equal(shorter.value_and_gradient()[1], problem.value_and_gradient()[1])


def test_no_observed_rating_leaves_the_penalty():
    empty = sparse.csr_array((3, 6))
    problem = make_problem(empty, depth=2)
    value, gradient = problem.value_and_gradient()
    expected, expected_gradient = reference_of(problem)
    assert value == pytest.approx(expected, rel=1e-14)
    assert_blocks_equal(problem.layout, gradient, expected_gradient, rtol=1e-14)


# Penalties and fraction


@every("tied")
def test_each_penalty_is_lambda_half_times_the_squared_norm_of_its_block(tiny_matrix, tied):
    problem = make_problem(tiny_matrix, depth=3, tied=tied)
    network, unpenalized = problem.objective.network, Objective(problem.objective.network, 0.0)
    arguments = (problem.theta, problem.inputs, problem.targets)
    base_value, base_gradient = unpenalized.value_and_gradient(*arguments)
    for name in PENALTIES:
        block = problem.layout.views(problem.theta)[name]
        value, gradient = Objective(network, {name: 6.0}).value_and_gradient(
            *arguments, fraction=0.25
        )
        assert value - base_value == pytest.approx(0.25 * 3.0 * np.sum(block**2), rel=1e-12)
        pull = np.zeros_like(gradient)
        problem.layout.views(pull)[name][...] = 0.25 * 6.0 * block
        np.testing.assert_allclose(gradient - base_gradient, pull, rtol=1e-12, atol=1e-13)


def test_one_number_penalizes_every_weight_and_no_bias():
    network = Network(6, (3, 4, 2))
    assert Objective(network, 2.5).penalties == dict.fromkeys(PENALTIES, 2.5)


def test_tied_weights_have_both_penalties():
    network = Network(6, (3,), tied=True)
    assert Objective(network, 2.5).penalties == {"encoder.weight": 5.0}
    both = Objective(network, {"encoder.weight": 2.0, "decoder.weight": 0.5})
    assert both.penalties == {"encoder.weight": 2.5}


def test_a_block_left_out_of_the_mapping_is_not_penalized():
    assert Objective(Network(6, (3,)), {"decoder.weight": 1.0}).penalties == {"decoder.weight": 1.0}
    assert Objective(Network(6, (3,)), {}).penalties == {}


@pytest.mark.parametrize("name", ["decoder.bias", "decoder", "hidden1.weight"])
def test_a_penalty_for_what_is_no_weight_block_is_refused(name):
    with pytest.raises(
        ValueError, match=rf"names '{name}'; the weight blocks are .*encoder.weight"
    ):
        Objective(Network(6, (3,)), {name: 1.0})


@pytest.mark.parametrize("penalty", [-1.0, np.nan, np.inf])
def test_a_penalty_that_is_no_penalty_is_refused(penalty):
    for regularization in (penalty, {"decoder.weight": penalty}):
        with pytest.raises(ValueError, match=r"weight must be finite and at least 0, got"):
            Objective(Network(6, (3,)), regularization)


# Laws


@st.composite
def partitions_of_seven_rows(draw):
    """Return the row sets of a random partition, in random order."""
    labels = draw(st.lists(st.integers(0, 3), min_size=7, max_size=7))
    rows = draw(st.permutations(range(7)))
    blocks = [[row for row in rows if labels[row] == label] for label in range(4)]
    return [np.array(block) for block in blocks if block]


def block_of(problem, rows):
    n_rows = problem.targets.shape[0]
    return problem._replace(
        inputs=take_rows(problem.inputs, rows),
        targets=take_rows(problem.targets, rows),
        masks=None if problem.masks is None else [mask[rows] for mask in problem.masks],
        fraction=len(rows) / n_rows,
    )


@given(
    partition=partitions_of_seven_rows(),
    depth=st.sampled_from([1, 2, 3]),
    tied=st.booleans(),
    dropout=st.booleans(),
    output=st.sampled_from(sorted(ACTIVATIONS)),
)
def test_blocks_of_rows_add_up_to_the_whole(tiny_matrix, partition, depth, tied, dropout, output):
    problem = make_problem(tiny_matrix, depth, "tanh", output, tied, dropout)._replace(fraction=1.0)
    value, gradient = problem.value_and_gradient()
    parts = [block_of(problem, rows).value_and_gradient() for rows in partition]
    assert sum(part[0] for part in parts) == pytest.approx(value, rel=1e-12)
    added = problem.layout.views(sum(part[1] for part in parts))
    for name, block in problem.layout.views(gradient).items():
        np.testing.assert_allclose(
            added[name], block, rtol=1e-12, atol=1e-12 * np.abs(block).max(), err_msg=name
        )


@given(rows=st.permutations(range(7)), tied=st.booleans(), dropout=st.booleans())
def test_the_order_of_the_rows_does_not_matter(tiny_matrix, rows, tied, dropout):
    problem = make_problem(tiny_matrix, 2, tied=tied, dropout=dropout)
    value, gradient = problem.value_and_gradient()
    permuted = block_of(problem, np.array(rows))._replace(fraction=FRACTION)
    other_value, other_gradient = permuted.value_and_gradient()
    assert other_value == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(
        other_gradient, gradient, rtol=1e-12, atol=1e-13 * np.abs(gradient).max()
    )


@given(columns=st.permutations(range(6)), depth=st.sampled_from([1, 2]))
def test_the_order_of_the_columns_does_not_matter(tiny_matrix, columns, depth):
    problem = make_problem(tiny_matrix, depth)
    columns = np.array(columns)
    theta = problem.theta.copy()
    views, moved = problem.layout.views(problem.theta), problem.layout.views(theta)
    names = ("encoder.weight", "decoder.weight", "decoder.bias")
    for name in names:
        moved[name][columns] = views[name]
    renamed = problem._replace(
        inputs=rename_columns(problem.inputs, columns),
        targets=rename_columns(problem.targets, columns),
    )
    value, gradient = problem.value_and_gradient()
    other_value, other_gradient = renamed.value_and_gradient(theta)
    assert other_value == pytest.approx(value, rel=1e-13)
    other_views = problem.layout.views(other_gradient)
    for name, block in problem.layout.views(gradient).items():
        found = other_views[name][columns] if name in names else other_views[name]
        np.testing.assert_allclose(found, block, rtol=1e-12, atol=1e-12 * np.abs(block).max())


def rename_columns(matrix, columns):
    """Move column c to columns[c]; the indices of a row are then no longer sorted."""
    return sparse.csr_array((matrix.data, columns[matrix.indices], matrix.indptr), matrix.shape)


@every("depth", "activation", "output")
def test_tied_is_untied_with_equal_blocks_and_added_gradients(
    tiny_matrix, depth, activation, output
):
    tied = make_problem(tiny_matrix, depth, activation, output, tied=True, dropout=True)
    network = dataclasses.replace(tied.objective.network, tied=False)
    penalties = {name: PENALTIES[name] for name in network.layout.shapes if "weight" in name}
    theta = np.zeros(network.layout.size)
    for name, view in network.layout.views(theta).items():
        view[...] = tied.layout.views(tied.theta)[name]
    untied = tied._replace(objective=Objective(network, penalties), theta=theta)
    value, gradient = untied.value_and_gradient()
    tied_value, tied_gradient = tied.value_and_gradient()
    assert tied_value == pytest.approx(value, rel=1e-14)
    added = reference.add_tied_gradients(network.layout.views(gradient))
    assert_blocks_equal(tied.layout, tied_gradient, added, rtol=1e-13)


@every("depth", "activation", "output", "tied")
def test_sparse_equals_dense(depth, activation, output, tied):
    """Every rating stored, in both a CSR array and the dense formula in matrix products."""
    matrix = sparse.csr_array(np.random.default_rng(6).integers(1, 6, (7, 6)).astype(float))
    problem = make_problem(matrix, depth, activation, output, tied)
    assert problem.targets.nnz == 42
    network, views = problem.objective.network, problem.layout.views(problem.theta)
    g, f = ACTIVATIONS[activation], ACTIVATIONS[output]
    layers = ["encoder", *(f"hidden{i}" for i in range(1, depth))]

    signals = [matrix.toarray()]
    for name in layers:
        signals.append(g.forward(signals[-1] @ views[f"{name}.weight"] + views[f"{name}.bias"]))
    outputs = f.forward(signals[-1] @ views["decoder.weight"].T + views["decoder.bias"])
    residuals = outputs - problem.targets.toarray()
    d_activity = 2 * residuals * f.derivative(outputs)
    expected = {
        "decoder.weight": d_activity.T @ signals[-1],
        "decoder.bias": d_activity.sum(axis=0),
    }
    d_signal = d_activity @ views["decoder.weight"]
    for level in reversed(range(depth)):
        d_z = d_signal * g.derivative(signals[level + 1])
        expected[f"{layers[level]}.weight"] = signals[level].T @ d_z
        expected[f"{layers[level]}.bias"] = d_z.sum(axis=0)
        d_signal = d_z @ views[f"{layers[level]}.weight"].T
    penalties = {name: PENALTIES[name] for name in views if name.endswith(".weight")}
    for name, penalty in penalties.items():
        expected[name] = expected[name] + FRACTION * penalty * views[name]
    if network.tied:
        expected = reference.add_tied_gradients(expected)

    value, gradient = problem.value_and_gradient()
    penalty = sum(penalty / 2 * np.sum(views[name] ** 2) for name, penalty in penalties.items())
    assert value == pytest.approx(np.sum(residuals**2) + FRACTION * penalty, rel=1e-13)
    assert_blocks_equal(problem.layout, gradient, expected, rtol=1e-12)


@every("depth", "tied", "dropout")
def test_no_argument_is_changed(tiny_matrix, depth, tied, dropout):
    # identity may hand an array on uncopied: the case in which writing in place would show
    problem = make_problem(tiny_matrix, depth, "identity", "identity", tied, dropout)
    inputs, targets = tiny_matrix.copy(), problem.targets.copy()
    arrays = [
        problem.theta,
        *(problem.masks or []),
        *(array for m in (inputs, targets) for array in (m.data, m.indices, m.indptr)),
    ]
    copies = [array.copy() for array in arrays]
    problem = problem._replace(inputs=inputs, targets=targets)
    for writeable in (True, False):
        for array in arrays:
            array.flags.writeable = writeable
        problem.value()
        problem.value_and_gradient()
        for array, copy in zip(arrays, copies, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_calls_do_not_depend_on_earlier_calls(tiny_matrix):
    problem = make_problem(tiny_matrix, 2, dropout=True)
    value, gradient = problem.value_and_gradient()
    kept = gradient.copy()
    problem.value_and_gradient(problem.theta + 1.0)
    again, other_gradient = problem.value_and_gradient()
    assert again == value
    np.testing.assert_array_equal(other_gradient, kept)
    np.testing.assert_array_equal(gradient, kept)  # not a buffer that is used again


# Precision


@pytest.mark.parametrize("ratings", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("own", [np.float32, np.float64])
@every("dropout")
def test_theta_decides_the_dtype_and_the_value_is_a_python_float(
    tiny_matrix, own, ratings, dropout
):
    problem = make_problem(tiny_matrix, 2, dropout=dropout)
    whole = np.round(tiny_matrix.data)
    cast = with_data(tiny_matrix, whole.astype(ratings))
    problem = problem._replace(inputs=cast, targets=cast, theta=problem.theta.astype(own))
    value, gradient = problem.value_and_gradient()
    assert type(value) is float
    assert type(problem.value()) is float
    assert gradient.dtype == own
    # the arithmetic is that of theta's dtype, whatever the ratings'
    wide = with_data(tiny_matrix, whole)
    exact = problem._replace(inputs=wide, targets=wide, theta=problem.theta.astype(np.float64))
    exact_value, exact_gradient = exact.value_and_gradient()
    error = np.abs(gradient - exact_gradient).max() / np.abs(exact_gradient).max()
    if own is np.float64:
        assert value == exact_value
        assert error == 0
    else:
        assert value == pytest.approx(exact_value, rel=1e-6)
        assert 1e-9 < error < 1e-6


def test_the_squared_error_is_accumulated_in_float64():
    # in float32, 2^24 + 1 is 2^24 again: each of the later terms would be lost
    targets = sparse.csr_array(np.array([[4096.0, *[1.0] * 63]], np.float32))
    network = Network(64, (1,))
    theta = np.zeros(network.layout.size, np.float32)
    value, gradient = Objective(network, 0.0).value_and_gradient(theta, targets, targets)
    assert value == 2**24 + 63
    assert gradient.dtype == np.float32


def test_the_penalty_is_accumulated_in_float64_but_for_single_rows():
    n = 2**16
    network = Network(n, (1,))
    theta = np.zeros(network.layout.size, np.float32)
    network.layout.views(theta)["decoder.weight"][:, 0] = [4096.0, *[1.0] * (n - 1)]
    nothing = sparse.csr_array((1, n), dtype=np.float32)
    for value in (
        Objective(network, 2.0).value(theta, nothing, nothing),
        Objective(network, 2.0).value_and_gradient(theta, nothing, nothing)[0],
    ):
        # lost in float32 throughout: an eighth of the ones, 5e-4, or all of them
        assert value == pytest.approx(2**24 + n - 1, rel=2e-5)


def test_bias_gradients_are_accumulated_in_float64():
    n_rows = 65
    column = np.array([-(2.0**23), *[-0.5] * (n_rows - 1)], np.float32)[:, np.newaxis]
    targets = sparse.csr_array(column)
    network = Network(1, (1,), "identity", "identity")
    theta = np.zeros(network.layout.size, np.float32)
    network.layout.views(theta)["decoder.weight"][0] = 1.0
    _, gradient = Objective(network, 0.0).value_and_gradient(theta, targets, targets)
    views = network.layout.views(gradient)
    # derivatives 2^24, then 64 ones: their sum is exact in float32, its partial sums are not
    assert views["decoder.bias"][0] == 2**24 + n_rows - 1
    assert views["encoder.bias"][0] == 2**24 + n_rows - 1


# Memory


def test_no_dense_rows_by_columns_array_is_formed():
    n = 20_000
    rng = np.random.default_rng(8)
    ratings = sparse.csr_array(
        (np.ones(n, np.float32), rng.integers(n, size=n).astype(np.int32), np.arange(n + 1)),
        shape=(n, n),
    )
    network = Network(n, (2,))
    theta = network.layout.initialize(rng, np.float32)
    tracemalloc.start()
    try:
        Objective(network, 1.0).value_and_gradient(theta, ratings, ratings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20  # one bit for each of the n x n cells would take 48 MB


# What is refused


@pytest.mark.parametrize(
    ("argument", "shape", "message"),
    [
        ("inputs", (7, 5), r"inputs must have shape \(7, 6\), got \(7, 5\)"),
        ("inputs", (6, 6), r"inputs must have shape \(7, 6\), got \(6, 6\)"),
        ("targets", (7, 5), r"targets must have shape \(7, 6\), got \(7, 5\)"),
    ],
)
def test_matrices_of_the_wrong_shape_are_refused(tiny_matrix, argument, shape, message):
    problem = make_problem(tiny_matrix)._replace(**{argument: sparse.csr_array(shape)})
    for call in (problem.value, problem.value_and_gradient):
        with pytest.raises(ValueError, match=message):
            call()


def test_masks_that_do_not_fit_the_layers_are_refused(tiny_matrix):
    problem = make_problem(tiny_matrix, 2)
    for masks, message in [
        ([np.ones((7, 4))], r"each of the 2 hidden layers, got 1"),
        ([np.ones((7, 4)), np.ones((7, 4))], r"masks\[1\] must have shape \(7, 3\), got \(7, 4\)"),
        ([np.ones((1, 4)), np.ones((7, 3))], r"masks\[0\] must have shape \(7, 4\), got \(1, 4\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            problem._replace(masks=masks).value_and_gradient()


def test_an_integer_theta_is_refused(tiny_matrix):
    problem = make_problem(tiny_matrix)
    with pytest.raises(ValueError, match=r"floating dtype, got int64; pass theta.astype"):
        problem.value(np.ones(problem.layout.size, np.int64))
