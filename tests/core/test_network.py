"""The forward pass against dense matrix algebra, the layout, and what the constructor refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference
from scipy import sparse

from autorec_np.core import kernels
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.network import Network

SIZES = pytest.mark.parametrize("sizes", [(3,), (4, 3), (3, 4, 2)], ids=str)


def random_theta(network, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(0, 0.5, network.layout.size).astype(dtype)


def dropout(network, n_rows, seed=1):
    rng = np.random.default_rng(seed)
    return [np.where(rng.random((n_rows, k)) < 0.4, 0, 1 / 0.6) for k in network.hidden_layer_sizes]


def dense_forward(network, theta, inputs, masks=None):
    """Equation (1) by dense matrix products; returns hidden layers, dropped layers and outputs."""
    views = network.layout.views(theta)
    g, f = (ACTIVATIONS[n].forward for n in (network.activation, network.output_activation))
    signal, hidden, dropped = reference.dense_and_stored(inputs)[0], [], []
    names = ["encoder", *(f"hidden{i}" for i in range(1, len(network.hidden_layer_sizes)))]
    for level, name in enumerate(names):
        hidden.append(g(signal @ views[f"{name}.weight"] + views[f"{name}.bias"]))
        signal = hidden[-1] if masks is None else hidden[-1] * masks[level]
        dropped.append(signal)
    return hidden, dropped, f(signal @ views["decoder.weight"].T + views["decoder.bias"])


# The layout


def test_blocks_are_named_and_shaped_as_documented():
    network = Network(6, (3, 4, 2), n_inputs=9)
    assert network.layout.shapes == {
        "encoder.weight": (9, 3),
        "encoder.bias": (3,),
        "hidden1.weight": (3, 4),
        "hidden1.bias": (4,),
        "hidden2.weight": (4, 2),
        "hidden2.bias": (2,),
        "decoder.weight": (6, 2),
        "decoder.bias": (6,),
    }
    assert network.layout.aliases == {}


def test_tied_decoder_weight_is_a_view_of_the_encoder_weight():
    network = Network(6, (3, 4, 3), tied=True)
    assert network.layout.aliases == {"decoder.weight": "encoder.weight"}
    theta = random_theta(network)
    views = network.layout.views(theta)
    assert np.shares_memory(views["decoder.weight"], theta[network.layout.slices["encoder.weight"]])
    assert network.layout.size == 18 + 3 + 12 + 4 + 12 + 3 + 6


# The forward pass


@SIZES
@pytest.mark.parametrize("with_masks", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("output_activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "elu"])
def test_forward_is_the_dense_formula_at_the_observed_entries(
    tiny_matrix, sizes, activation, output_activation, with_masks
):
    network = Network(6, sizes, activation, output_activation)
    theta = random_theta(network)
    masks = dropout(network, 7) if with_masks else None
    passed = network.forward(theta, tiny_matrix, tiny_matrix, masks)
    hidden, dropped, outputs = dense_forward(network, theta, tiny_matrix, masks)
    _, observed = reference.dense_and_stored(tiny_matrix)
    np.testing.assert_allclose(passed.outputs, outputs[observed], rtol=1e-13)
    for got, expected in zip([*passed.hidden, *passed.dropped], [*hidden, *dropped], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)


def test_worked_by_hand():
    # One column of codes: V = (1, 2), mu = 3, W = (-1, 4), b = (0.5, 0), all identity.
    network = Network(2, (1,), "identity", "identity")
    theta = np.array([1.0, 2.0, 3.0, -1.0, 4.0, 0.5, 0.0])
    inputs = sparse.csr_array(np.array([[1.0, 5.0]]))
    # h = 1 * 1 + 2 * 5 + 3 = 14; y = (-14 + 0.5, 56 + 0)
    np.testing.assert_array_equal(network.encode(theta, inputs), [[14.0]])
    np.testing.assert_array_equal(network.forward(theta, inputs, inputs).outputs, [-13.5, 56.0])


def test_an_empty_row_is_encoded_from_the_bias_alone(tiny_matrix):
    network = Network(6, (3,))
    theta = random_theta(network)
    bias = network.layout.views(theta)["encoder.bias"]
    np.testing.assert_allclose(
        network.encode(theta, tiny_matrix)[1], 1 / (1 + np.exp(-bias)), rtol=1e-14
    )


@SIZES
def test_encode_and_decode_are_the_two_halves_of_forward(tiny_matrix, sizes):
    network = Network(6, sizes, "tanh", "softplus")
    theta = random_theta(network)
    masks = dropout(network, 7)
    codes = network.encode(theta, tiny_matrix, masks)
    passed = network.forward(theta, tiny_matrix, tiny_matrix, masks)
    np.testing.assert_array_equal(codes, passed.dropped[-1])
    np.testing.assert_array_equal(network.decode(theta, codes, tiny_matrix), passed.outputs)


def test_inputs_may_be_wider_than_the_outputs_and_have_another_pattern(tiny_matrix):
    network = Network(6, (4, 3), "tanh", n_inputs=8)
    inputs = sparse.csr_array(np.random.default_rng(2).normal(size=(7, 8)))
    theta = random_theta(network)
    _, observed = reference.dense_and_stored(tiny_matrix)
    np.testing.assert_allclose(
        network.forward(theta, inputs, tiny_matrix).outputs,
        dense_forward(network, theta, inputs)[2][observed],
        rtol=1e-13,
    )


def test_values_of_the_pattern_are_not_read(tiny_matrix):
    network = Network(6, (3,))
    theta = random_theta(network)
    poisoned = kernels.with_data(tiny_matrix, np.full(tiny_matrix.nnz, np.nan))
    np.testing.assert_array_equal(
        network.forward(theta, tiny_matrix, poisoned).outputs,
        network.forward(theta, tiny_matrix, tiny_matrix).outputs,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@SIZES
def test_theta_decides_the_dtype(tiny_matrix, sizes, dtype):
    network = Network(6, sizes)
    passed = network.forward(random_theta(network, dtype=dtype), tiny_matrix, tiny_matrix)
    assert {array.dtype for array in (*passed.hidden, passed.outputs)} == {np.dtype(dtype)}


# The backward pass (its derivatives are checked in test_objective.py)


@SIZES
@pytest.mark.parametrize("with_masks", [False, True], ids=["plain", "dropout"])
def test_the_signals_are_those_of_the_dense_formula(tiny_matrix, sizes, with_masks):
    network = Network(6, sizes, "tanh", "sigmoid")
    theta = random_theta(network)
    views = network.layout.views(theta)
    masks = dropout(network, 7) if with_masks else None
    passed = network.forward(theta, tiny_matrix, tiny_matrix, masks)
    d_outputs = np.random.default_rng(3).normal(size=tiny_matrix.nnz)
    signals = network.backward(theta, tiny_matrix, passed, d_outputs, masks)

    y = passed.outputs
    np.testing.assert_allclose(signals.d_activity.data, d_outputs * y * (1 - y), rtol=1e-13)
    np.testing.assert_array_equal(signals.d_activity.indices, tiny_matrix.indices)
    d_next = reference.dense_and_stored(signals.d_activity)[0] @ views["decoder.weight"]
    for depth in reversed(range(len(sizes))):
        if masks is not None:
            d_next = d_next * masks[depth]
        d_z = d_next * (1 - passed.hidden[depth] ** 2)
        np.testing.assert_allclose(signals.d_z[depth], d_z, rtol=1e-12, atol=1e-14)
        if depth:
            d_next = d_z @ views[f"hidden{depth}.weight"].T


@SIZES
@pytest.mark.parametrize("tied", [False, True])
def test_the_gradient_is_the_sum_of_the_products(tiny_matrix, sizes, tied):
    network = Network(6, (*sizes[:-1], sizes[0]) if tied else sizes, "tanh", tied=tied)
    theta = random_theta(network)
    passed = network.forward(theta, tiny_matrix, tiny_matrix)
    signals = network.backward(theta, tiny_matrix, passed, passed.outputs)
    expected = np.zeros_like(theta)
    d_views = network.layout.views(expected)
    layers = []
    for layer, left, right, signal in network.products(tiny_matrix, passed, signals):
        layers.append(layer)
        left, signal = (m if isinstance(m, np.ndarray) else m.toarray() for m in (left, signal))
        d_views[f"{layer}.weight"] += left.T @ right
        d_views[f"{layer}.bias"] += signal.sum(axis=0)
    assert sorted(layers) == sorted([*network.layer_names, "decoder"])
    gradient = network.gradient(tiny_matrix, passed, signals)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-13)


def test_backward_changes_neither_the_forward_pass_nor_the_derivatives(tiny_matrix):
    network = Network(6, (4, 3), "identity", "identity")  # identity could pass arrays on uncopied
    theta = random_theta(network)
    masks = dropout(network, 7)
    passed = network.forward(theta, tiny_matrix, tiny_matrix, masks)
    d_outputs = passed.outputs.copy()
    kept = [array.copy() for array in (*passed.hidden, *passed.dropped, passed.outputs, theta)]
    signals = network.backward(theta, tiny_matrix, passed, d_outputs, masks)
    network.gradient(tiny_matrix, passed, signals)
    now = (*passed.hidden, *passed.dropped, passed.outputs, theta)
    for array, copy in zip(now, kept, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(d_outputs, passed.outputs)


# What is refused


def test_an_unknown_activation_is_refused_with_the_known_ones():
    for arguments in [("sigmod", "identity"), ("sigmoid", "linear")]:
        with pytest.raises(ValueError, match=r"unknown activation '(sigmod|linear)'.*softplus"):
            Network(6, (3,), *arguments)


@pytest.mark.parametrize("sizes", [(), (0,), (3, 0), (-1,)])
def test_no_hidden_layer_or_an_empty_one_is_refused(sizes):
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must hold one width of at least 1"):
        Network(6, sizes)


@pytest.mark.parametrize(("sizes", "n_inputs"), [((4, 3), None), ((3,), 7), ((3, 5, 2), 6)])
def test_widths_that_cannot_be_tied_are_refused(sizes, n_inputs):
    with pytest.raises(ValueError, match=r"tied weights need equal .* pass tied=False"):
        Network(6, sizes, tied=True, n_inputs=n_inputs)


def test_a_network_holds_no_parameters_and_cannot_be_changed():
    network = Network(6, (3,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.tied = True
    arrays = [v for v in vars(network).values() if isinstance(v, np.ndarray)]
    assert arrays == []
    assert network == Network(6, (3,))
    assert network != Network(6, (3,), "tanh")
