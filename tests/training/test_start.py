"""Where a training starts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.network import Network
from autorec_np.data.synthetic import make_ratings
from autorec_np.training.trainer import starting_theta

R = make_ratings(80, 60, 1500, random_state=0).matrix
MEAN = R.data.mean(dtype=np.float64)
AT_ZERO = {"sigmoid": 0.5, "softplus": math.log(2.0)}


def network(activation="sigmoid", output="identity", sizes=(200,), **options):
    return Network(R.shape[1], sizes, activation, output, **options)


def started(net, centered=False, dtype=np.float64, seed=3):
    """The blocks of the start, and those of the random weights alone."""
    theta = starting_theta(net, R, centered, 0.0, np.random.default_rng(seed), dtype)
    assert theta.dtype == dtype
    random = net.layout.initialize(np.random.default_rng(seed), dtype)
    return net.layout.views(theta), net.layout.views(random)


def assert_only(changed, got, random):
    for name, view in random.items():
        if name not in changed:
            np.testing.assert_array_equal(got[name], view)


@pytest.mark.parametrize("sizes", [(200,), (30, 10, 50)], ids=str)
@pytest.mark.parametrize("output", ["identity", "relu", "elu", "softplus"])
@pytest.mark.parametrize("activation", AT_ZERO)
def test_the_mean_goes_into_the_decoder_weight(activation, output, sizes):
    got, random = started(network(activation, output, sizes))
    assert not got["decoder.bias"].any()
    np.testing.assert_allclose(
        got["decoder.weight"] - random["decoder.weight"],
        MEAN / (sizes[-1] * AT_ZERO[activation]),
        rtol=1e-12,
    )
    assert_only({"decoder.weight"}, got, random)


@pytest.mark.parametrize("centered", [False, True])
def test_the_mean_is_taken_in_float64(centered):
    net = network(sizes=(1,))
    targets = sparse.csr_array(np.array([[2**24, 1, 1, 1] + [0] * 56], np.float32))
    views = net.layout.views(starting_theta(net, targets, centered, 0.0, np.random.default_rng(0)))
    mean = views["decoder.bias"] if centered else views["decoder.weight"] / 2
    np.testing.assert_allclose(mean[:4], 2**22 + 0.75, rtol=0, atol=0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("options", "centered"),
    [
        ({"tied": True}, False),
        ({"activation": "relu"}, False),
        ({"activation": "tanh"}, False),
        ({"activation": "elu"}, False),
        ({"activation": "identity"}, False),
        ({}, True),
        ({"activation": "softplus"}, True),
        ({"output": "relu", "activation": "identity"}, False),
    ],
    ids=str,
)
def test_otherwise_it_goes_into_the_bias(options, centered, dtype):
    got, random = started(network(**options), centered, dtype)
    np.testing.assert_array_equal(got["decoder.bias"], np.full(R.shape[1], MEAN, dtype))
    assert_only({"decoder.bias"}, got, random)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_a_bounded_output_starts_in_its_middle(activation, output, centered):
    got, random = started(network(activation, output), centered)
    assert_only({}, got, random)


@pytest.mark.parametrize("activation", AT_ZERO)
def test_columns_without_ratings_keep_their_weights_and_say_the_mean(activation):
    """A mean in their weights would be penalty alone, and no rating could move it."""
    net, empty = network(activation), np.array([0, 7, R.shape[1] - 1])
    targets = R.tolil()
    targets[:, empty] = 0
    targets = targets.tocsr()
    theta = starting_theta(net, targets, False, 0.0, np.random.default_rng(3))
    got = net.layout.views(theta)
    random = net.layout.views(net.layout.initialize(np.random.default_rng(3)))
    change = (got["decoder.weight"] - random["decoder.weight"]).mean(axis=1)
    assert np.array_equal(np.flatnonzero(change == 0), empty)
    mean = targets.data.mean(dtype=np.float64)
    np.testing.assert_array_equal(got["decoder.bias"][empty], mean)
    assert np.count_nonzero(got["decoder.bias"]) == 3


def mean_output(net):
    theta = starting_theta(net, R, False, 0.0, np.random.default_rng(1))
    return net.forward(theta, R.astype(np.float64), R).outputs.mean()


@pytest.mark.parametrize("output", ["identity", "softplus"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_outputs_are_about_the_mean(activation, output):
    assert mean_output(network(activation, output)) == pytest.approx(MEAN, rel=0.05)


def test_the_outputs_of_a_deep_network_are_about_the_mean():
    assert mean_output(network(sizes=(200, 100, 200))) == pytest.approx(MEAN, rel=0.2)


def test_g_at_zero_is_read_from_the_table_of_activations(monkeypatch):
    shifted = ACTIVATIONS["sigmoid"]._replace(forward=lambda x: 1 / (1 + np.exp(-x)) + 1.5)
    monkeypatch.setitem(ACTIVATIONS, "sigmoid", shifted)
    got, random = started(network())
    np.testing.assert_allclose(
        got["decoder.weight"] - random["decoder.weight"], MEAN / 400, rtol=1e-12
    )


@pytest.mark.parametrize(("factor", "in_weight"), [(0.99, True), (1.01, False)])
def test_a_penalty_that_outweighs_the_targets_keeps_the_mean_in_the_bias(factor, in_weight):
    net = network()
    of_start = R.shape[1] * 200 * (MEAN / (200 * 0.5)) ** 2 / 2  # at a penalty of 1
    penalty = factor * R.nnz * R.data.var(dtype=np.float64) / of_start
    theta = starting_theta(net, R, False, penalty, np.random.default_rng(1))
    bias = net.layout.views(theta)["decoder.bias"]
    np.testing.assert_allclose(bias, 0.0 if in_weight else MEAN, rtol=1e-12)
