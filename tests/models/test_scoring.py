"""The record of an AutoRec; a new column with frozen codes against the normal equations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline
from autorec_np.models.scoring import fit_column

SMOOTH = ["identity", "sigmoid", "tanh", "softplus", "elu"]


def codes_and_targets(n, k, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)), rng.uniform(0.1, 0.9, n)


@given(
    n=st.integers(1, 12), k=st.integers(1, 8), penalty=st.floats(1e-3, 1e3), seed=st.integers(0, 99)
)
def test_dual_form_solves_the_normal_equations(n, k, penalty, seed):
    codes, targets = codes_and_targets(n, k, seed)
    weight, bias = fit_column(codes, targets, penalty)
    expected_weight, expected_bias = reference.ridge(codes, targets, penalty)
    np.testing.assert_allclose(weight, expected_weight, rtol=1e-8, atol=1e-10)
    assert bias == pytest.approx(expected_bias, rel=1e-8, abs=1e-10)


def test_worked_by_hand():
    # codes 0 and 2, targets 1 and 3, penalty 4: centred codes -1 and 1, so
    # w = (1 + 1) / (2 + 4 / 2) = 1/2 and b = 2 - 1 * 1/2
    weight, bias = fit_column(np.array([[0.0], [2.0]]), np.array([1.0, 3.0]), 4.0)
    np.testing.assert_allclose(weight, [0.5], rtol=1e-14)
    assert bias == pytest.approx(1.5, rel=1e-14)


@pytest.mark.parametrize("output", SMOOTH)
def test_the_new_column_is_a_stationary_point_of_the_objective(output):
    """The same column inside (2), all codes as they are: its derivatives are zero."""
    rng = np.random.default_rng(1)
    network = Network(5, (3,), "tanh", output, n_inputs=4)
    theta = rng.normal(0, 0.7, network.layout.size)
    inputs = sparse.csr_array(rng.normal(size=(9, 4)))
    rows = np.array([0, 2, 3, 5, 6, 8])
    targets = rng.uniform(0.1, 0.9, len(rows))
    codes = network.encode(theta, inputs)
    penalty = 0.6

    weight, bias = fit_column(codes[rows], targets, penalty, output)
    views = network.layout.views(theta)
    views["decoder.weight"][2], views["decoder.bias"][2] = weight, bias
    observed = sparse.csr_array((targets, (rows, np.full(6, 2))), shape=(9, 5))
    objective = Objective(network, {"decoder.weight": penalty})
    value, gradient = objective.value_and_gradient(theta, inputs, observed)
    d_views = network.layout.views(gradient)
    tolerance = 1e-12 if output == "identity" else 1e-4
    np.testing.assert_allclose(d_views["decoder.weight"][2], 0.0, atol=tolerance)
    assert d_views["decoder.bias"][2] == pytest.approx(0.0, abs=tolerance)

    for _ in range(20):  # and no nearby column is better
        views["decoder.weight"][2] = weight + rng.normal(0, 0.05, 3)
        views["decoder.bias"][2] = bias + rng.normal(0, 0.05)
        assert objective.value(theta, inputs, observed) > value


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "softplus", "elu", "relu"])
def test_other_outputs_fit_better_than_a_constant(output):
    codes, _ = codes_and_targets(40, 2, seed=2)
    f = ACTIVATIONS[output].forward
    truth = f(codes @ np.array([0.8, -0.5]) + 0.3)
    weight, bias = fit_column(codes, truth, 1e-6, output)
    error = np.sqrt(np.mean((f(codes @ weight + bias) - truth) ** 2))
    assert error < 1e-2 * truth.std()


def test_a_strong_penalty_leaves_the_mean():
    codes, targets = codes_and_targets(10, 4)
    weight, bias = fit_column(codes, targets, 1e12)
    np.testing.assert_allclose(weight, 0.0, atol=1e-10)
    assert bias == pytest.approx(targets.mean(), rel=1e-9)


def test_one_target_is_met_by_the_bias_alone():
    weight, bias = fit_column(np.array([[0.3, -2.0]]), np.array([4.0]), 7.0)
    np.testing.assert_array_equal(weight, 0.0)
    assert bias == 4.0


@pytest.mark.parametrize(("n", "k"), [(3, 6), (6, 3), (4, 4)])
def test_without_a_penalty_the_solution_of_least_norm(n, k):
    codes, targets = codes_and_targets(n, k, seed=3)
    weight, bias = fit_column(codes, targets, 0.0)
    centred = codes - codes.mean(axis=0)
    expected = np.linalg.pinv(centred) @ (targets - targets.mean())
    np.testing.assert_allclose(weight, expected, rtol=1e-9, atol=1e-12)
    if n <= k:
        np.testing.assert_allclose(codes @ weight + bias, targets, rtol=1e-9)


def test_equal_codes_cannot_be_told_apart():
    weight, bias = fit_column(np.ones((3, 2)), np.array([1.0, 2.0, 6.0]), 0.0)
    np.testing.assert_allclose(weight, 0.0, atol=1e-12)
    assert bias == pytest.approx(3.0)


@pytest.mark.parametrize("output", ["identity", "sigmoid"])
def test_float32_codes_are_solved_in_float64_and_arguments_kept(output):
    codes, targets = (array.astype(np.float32) for array in codes_and_targets(8, 3))
    for array in (codes, targets):
        array.flags.writeable = False
    weight, bias = fit_column(codes, targets, 0.5, output)
    assert weight.dtype == np.float64
    assert type(bias) is float
    wide_weight, wide_bias = fit_column(
        codes.astype(np.float64), targets.astype(np.float64), 0.5, output
    )
    np.testing.assert_array_equal(weight, wide_weight)
    assert bias == wide_bias


# The record


@pytest.fixture(scope="module")
def model():
    ratings = make_ratings(20, 15, 150, random_state=0)
    settings = {"hidden_layer_sizes": (3,), "max_iter": 2, "n_jobs": 1, "random_state": 0}
    return AutoRec(**settings, early_stopping=True).fit(ratings)


def test_weights_and_codes_of_a_record_are_read_only_and_the_arguments_stay_writable(model):
    for array in (model.theta_, model.codes_, *model.fitted_.weights.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0
    theta, codes = model.theta_.copy(), model.codes_.copy()
    dataclasses.replace(model.fitted_, theta=theta, codes=codes)
    assert theta.flags.writeable
    assert codes.flags.writeable


def test_what_is_read_from_a_model_cannot_change_it(model):
    penalties, losses = model.regularization_, model.loss_curve_
    penalties["encoder.weight"], losses[0] = -1.0, -1.0
    assert model.regularization_["encoder.weight"] > 0
    assert model.loss_curve_[0] > 0
    model.cold_baseline_.fit(([1], [1], [5.0]))
    assert model.cold_baseline_.ratings_ is model.fitted_.training
    assert len(model.fitted_.training) < len(model.ratings_)


def test_baselines_of_a_model_answer_as_those_fitted_alone(model):
    alone = BiasBaseline().fit(model.fitted_.training)
    users, items, _ = model.ratings_.triples()
    for baseline in (model.baseline_, model.cold_baseline_):
        assert repr(baseline) == repr(alone)
        np.testing.assert_allclose(
            baseline.predict(users, items), alone.predict(users, items), rtol=1e-12
        )


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_scores_of_all_items_are_those_of_pairs(orientation):
    ratings = make_ratings(20, 15, 150, random_state=0)
    fitted = AutoRec(orientation, hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit(ratings)
    users, items = np.divmod(np.arange(20 * 15), 15)
    table = fitted.fitted_.score_all_items(np.arange(20))
    np.testing.assert_allclose(table.ravel(), fitted.fitted_.score_pairs(users, items), rtol=1e-5)
    vectors = fitted.fitted_.vectors
    assert vectors(orientation) is fitted.fitted_.codes
    assert (len(vectors("user")), len(vectors("item"))) == ratings.shape
