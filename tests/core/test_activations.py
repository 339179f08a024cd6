"""Activations and their derivatives in terms of the output."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import FUNCTIONS

from autorec_np.core.activations import ACTIVATIONS

EVERY = pytest.mark.parametrize("name", sorted(ACTIVATIONS))
POINTS = np.array([-12.0, -3.3, -1.0, -0.25, -1e-3, 1e-3, 0.4, 1.0, 2.7, 12.0])
moderate = st.floats(-30, 30, allow_subnormal=False)


def test_the_six_functions_of_the_package():
    assert set(ACTIVATIONS) == {"identity", "sigmoid", "tanh", "relu", "elu", "softplus"}
    assert set(ACTIVATIONS) == set(FUNCTIONS)


@EVERY
def test_values_are_those_of_the_formula(name):
    f, _ = FUNCTIONS[name]
    expected = [f(x) for x in POINTS]
    # atol: exp(x) - 1 and log(1 + exp(x)) of the reference cancel, the package's do not
    np.testing.assert_allclose(ACTIVATIONS[name].forward(POINTS), expected, rtol=1e-14, atol=1e-15)


@EVERY
def test_derivative_in_terms_of_the_output_is_that_of_the_formula(name):
    activation = ACTIVATIONS[name]
    _, slope = FUNCTIONS[name]
    got = activation.derivative(activation.forward(POINTS))
    # where y saturates, 1 - y has lost digits that the formula in x still has
    np.testing.assert_allclose(got, [slope(x) for x in POINTS], rtol=1e-13, atol=1e-15)


@EVERY
@given(x=moderate)
def test_derivative_agrees_with_the_complex_step(name, x):
    activation = ACTIVATIONS[name]
    if not activation.analytic and abs(x) < 1e-12:
        x = 1.0  # the kink
    point = np.array([x])
    stepped = activation.forward(point + 1e-30j).imag / 1e-30
    np.testing.assert_allclose(
        activation.derivative(activation.forward(point)), stepped, rtol=1e-13, atol=3e-16
    )


@EVERY
@given(x=moderate)
def test_second_derivative_agrees_with_the_complex_step(name, x):
    activation = ACTIVATIONS[name]
    if not activation.analytic and abs(x) < 1e-12:
        x = 1.0  # the kink
    point = np.array([x])
    stepped = activation.derivative(activation.forward(point + 1e-30j)).imag / 1e-30
    got = activation.second_derivative(activation.forward(point))
    np.testing.assert_allclose(got, stepped, rtol=1e-12, atol=1e-15)


@EVERY
def test_at_zero(name):
    value_and_slope = {
        "identity": (0.0, 1.0),
        "sigmoid": (0.5, 0.25),
        "tanh": (0.0, 1.0),
        "relu": (0.0, 0.0),
        "elu": (0.0, 1.0),
        "softplus": (np.log(2.0), 0.5),
    }
    y = ACTIVATIONS[name].forward(np.zeros(1))
    slope = ACTIVATIONS[name].derivative(y)
    np.testing.assert_allclose([y[0], slope[0]], value_and_slope[name], rtol=1e-15)


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_dtype_and_shape_are_kept(name, dtype):
    x = np.linspace(-2, 2, 12).astype(dtype).reshape(3, 4)
    y = ACTIVATIONS[name].forward(x)
    slope = ACTIVATIONS[name].derivative(y)
    assert (y.dtype, y.shape) == (dtype, (3, 4))
    assert (slope.dtype, slope.shape) == (dtype, (3, 4))


@EVERY
@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_complex_values_continue_the_real_ones(name, real):
    x = POINTS.astype(real)
    lifted = x.astype(np.result_type(real, np.complex64))
    activation = ACTIVATIONS[name]
    tolerance = 4 * np.finfo(real).eps
    y, complex_y = activation.forward(x), activation.forward(lifted)
    np.testing.assert_allclose(complex_y.real, y, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(complex_y.imag, 0.0)
    np.testing.assert_allclose(
        activation.derivative(y.astype(lifted.dtype)), activation.derivative(y), rtol=tolerance
    )


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_no_overflow_and_exact_limits_far_out(name, dtype):
    limits = {
        "identity": (-1e4, 1e4, 1.0, 1.0),
        "sigmoid": (0.0, 1.0, 0.0, 0.0),
        "tanh": (-1.0, 1.0, 0.0, 0.0),
        "relu": (0.0, 1e4, 0.0, 1.0),
        "elu": (-1.0, 1e4, 0.0, 1.0),
        "softplus": (0.0, 1e4, 0.0, 1.0),
    }
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = ACTIVATIONS[name].forward(np.array([-1e4, 1e4], dtype))
        slopes = ACTIVATIONS[name].derivative(y)
    np.testing.assert_array_equal([*y, *slopes], limits[name])


@EVERY
@given(x=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_monotone_within_its_bounds_with_a_slope_of_at_least_zero(name, x):
    activation = ACTIVATIONS[name]
    y = activation.forward(np.sort(x))
    assert np.all(np.diff(y) >= 0)
    assert np.all((y >= activation.lower) & (y <= activation.upper))
    slope = activation.derivative(y)
    assert np.all((slope >= 0) & (slope <= 1))


@given(x=moderate)
def test_symmetries(x):
    point = np.array([x])
    sigmoid, tanh, softplus = (ACTIVATIONS[n].forward for n in ("sigmoid", "tanh", "softplus"))
    np.testing.assert_allclose(sigmoid(point) + sigmoid(-point), 1.0, rtol=1e-15)
    np.testing.assert_array_equal(tanh(-point), -tanh(point))
    np.testing.assert_allclose(softplus(point) - softplus(-point), x, rtol=1e-14, atol=1e-15)


@EVERY
def test_the_argument_is_not_changed(name):
    x = POINTS.copy()
    x.flags.writeable = False
    y = ACTIVATIONS[name].forward(x)
    y.flags.writeable = False
    ACTIVATIONS[name].derivative(y)
    np.testing.assert_array_equal(x, POINTS)


@EVERY
def test_stated_bounds_are_the_infimum_and_the_supremum(name):
    activation = ACTIVATIONS[name]
    low, high = activation.forward(np.array([-1e300, 1e300]))
    assert low == activation.lower if np.isfinite(activation.lower) else low == -1e300
    assert high == activation.upper if np.isfinite(activation.upper) else high == 1e300


def test_what_an_output_activation_can_produce():
    assert {n for n, a in ACTIVATIONS.items() if a.bounded} == {"sigmoid", "tanh"}
    assert {n for n, a in ACTIVATIONS.items() if a.covers_the_line} == {"identity"}
    assert {n for n, a in ACTIVATIONS.items() if not a.analytic} == {"relu", "elu"}
