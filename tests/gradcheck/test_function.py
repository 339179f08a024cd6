"""The function under test, what is said of bad input, and blocks."""

import warnings
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from gradcheck_cases import BLOCKS, POINT, rosenbrock, verdicts, with_fault

from autorec_np.gradcheck import check_gradient


def test_the_number_of_evaluations_is_honest():
    calls = Counter()

    def counted(theta):
        calls["fun"] += 1
        return rosenbrock(theta)

    report = check_gradient(counted, POINT, BLOCKS)
    assert report.evaluations == calls["fun"]


def test_values_alone_serve_the_numeric_side():
    calls = Counter()

    def fun(theta):
        calls["fun"] += 1
        return rosenbrock(theta)

    def value(theta):
        calls["value"] += 1
        return rosenbrock(theta)[0]

    report = check_gradient(fun, POINT, value=value)
    assert report.passed
    # twice at theta, once elsewhere in between, twice beside it for the noise of the gradient
    assert calls["fun"] == 5
    assert report.evaluations == calls["fun"] + calls["value"]


def test_blocks_may_be_indices_or_masks_and_theta_may_have_any_shape():
    theta = POINT.reshape(2, 2)

    def fun(x):
        value, gradient = with_fault(rosenbrock, 3, 1.01)(x.ravel())
        return value, gradient.reshape(x.shape)

    blocks = {"ends": [0, -1], "middle": np.array([False, True, True, False])}
    report = check_gradient(fun, theta, blocks)
    assert verdicts(report) == {"ends": "fail", "middle": "pass"}
    assert report.blocks["ends"].worst_coordinate == "ends[1]"
    assert check_gradient(fun, theta).blocks["theta"].worst_coordinate == "theta[1, 1]"


@pytest.mark.parametrize("how", ["nan", "raise", "warn", "infinite"])
def test_points_outside_the_domain_are_skipped_and_counted(how):
    def fun(x):
        if np.max(np.abs(x - POINT)) > 1e-7:
            if how == "raise":
                raise ArithmeticError("too far")
            if how == "warn":
                warnings.warn("too far", RuntimeWarning, stacklevel=1)
                return 0.0, np.zeros_like(x)
            return (np.nan if how == "nan" else np.inf), np.zeros_like(x)
        return rosenbrock(x)

    report = check_gradient(fun, POINT)
    assert report.passed
    assert "skipped points" in report.note
    assert not check_gradient(with_fault(fun, 0, 1.001), POINT).passed


def test_a_warning_at_theta_itself_skips_nothing():
    def fun(x):
        warnings.warn("as always", UserWarning, stacklevel=1)
        return rosenbrock(x)

    report = check_gradient(fun, POINT)
    assert report.passed
    assert report.note == "fun warned at theta itself: as always"


def test_float32_theta_is_judged_from_float64_with_a_float32_budget():
    theta = POINT.astype(np.float32)
    seen = set()

    def fun(x):
        seen.add(x.dtype)
        return rosenbrock(x)

    report = check_gradient(fun, theta)
    assert report.passed
    assert seen == {np.dtype(np.float32), np.dtype(np.float64)}
    assert 1e-7 < report.blocks["theta"].budget / abs(report.blocks["theta"].analytic) < 1e-3
    assert check_gradient(with_fault(fun, 1, 1 + 1e-7), theta).passed
    assert not check_gradient(with_fault(fun, 1, 1.001), theta).passed


def float32_only(x):
    if x.dtype != np.float32:
        raise TypeError("float32 only")
    value, gradient = rosenbrock(x)
    return np.float32(value), gradient


def float32_inside(x):
    value, gradient = rosenbrock(x.astype(np.float32))
    return value, gradient.astype(x.dtype)


@pytest.mark.parametrize(
    ("fun", "theta", "word"),
    [
        (float32_only, POINT.astype(np.float32), "refuses"),
        (float32_inside, POINT, "rounds"),
        (float32_inside, POINT.astype(np.float32), "rounds"),
    ],
)
def test_functions_that_compute_in_float32(fun, theta, word):
    report = check_gradient(fun, theta)
    assert report.passed
    assert report.note == f"fun {word} a float64 theta: differences were taken in float32"
    assert not check_gradient(with_fault(fun, 1, 1.05), theta).passed


def test_a_float32_gradient_of_a_float64_theta_gets_the_float32_budget():
    def fun(x):
        value, gradient = rosenbrock(x)
        return value, gradient.astype(np.float32)

    assert check_gradient(fun, POINT).passed
    assert not check_gradient(with_fault(fun, 1, 1.001), POINT).passed


def test_a_gradient_alone_that_differs_is_noticed():
    count = Counter()

    def fun(x):
        count["calls"] += 1
        return float(x @ x), 2 * x * (1 + 0.1 * (count["calls"] == 3))

    assert "gradient changed" in check_gradient(fun, POINT).note


def test_differences_as_of_threads_that_add_in_another_order_are_tolerated():
    count = Counter()

    def fun(x):
        count["calls"] += 1
        value, gradient = rosenbrock(x)
        return value * (1 + 1e-15 * (count["calls"] % 3)), gradient

    assert check_gradient(fun, POINT).passed


@pytest.mark.parametrize(
    ("theta", "error", "message"),
    [
        ([1, 2], TypeError, "float64 or float32"),
        (np.array([1j]), TypeError, "complex128"),
        (np.array([1.0], dtype=np.float16), TypeError, "float16"),
        ("theta", TypeError, "float64 or float32"),
        (1.0, ValueError, "at least one entry"),
        (np.empty(0), ValueError, "at least one entry"),
        ([1.0, np.nan], ValueError, "nan at flat index 1"),
        ([[1.0], [np.inf]], ValueError, "inf at flat index 1"),
    ],
)
def test_bad_theta(theta, error, message):
    with pytest.raises(error, match=message):
        check_gradient(rosenbrock, theta)


def mutating(x):
    x *= 2
    return 0.0, x


@pytest.mark.parametrize(
    ("fun", "message"),
    [
        (lambda x: 1.0, r"must return \(value, gradient\), got float"),
        (lambda x: None, "got NoneType"),
        (lambda x: (1.0, x, x), "must return"),
        (lambda x: (x, x), r"real scalar value, got ndarray of shape \(4,\)"),
        (lambda x: (1j, x), "complex128"),
        (lambda x: ("1", x), "real scalar value"),
        (lambda x: (np.nan, x), "value nan"),
        (lambda x: (1.0, x[:2]), r"theta's shape \(4,\), got shape \(2,\)"),
        (lambda x: (1.0, None), "real gradient"),
        (lambda x: (1.0, 1j * x), "real gradient"),
        (lambda x: (1.0, np.where(x == 1, np.inf, x)), "inf at flat index 1"),
        (lambda x: 1 / 0, "fun raised ZeroDivisionError"),
        (mutating, "changed theta in place"),
    ],
)
def test_bad_fun(fun, message):
    with pytest.raises(ValueError, match=message):
        check_gradient(fun, POINT)


def test_bad_callables():
    with pytest.raises(TypeError, match="fun must be a callable of theta, got float"):
        check_gradient(1.0, POINT)
    with pytest.raises(TypeError, match="value must be a callable"):
        check_gradient(rosenbrock, POINT, value=1.0)
    with pytest.raises(ValueError, match="same function"):
        check_gradient(rosenbrock, POINT, value=lambda x: rosenbrock(x)[0] + 1)
    with pytest.raises(ValueError, match="value at theta is nan"):
        check_gradient(rosenbrock, POINT, value=lambda x: np.nan)


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        ({}, ValueError, "at least one block"),
        ([slice(0, 2)], TypeError, "map names to slices"),
        ({"a": slice(2, 2)}, ValueError, "'a' is empty"),
        ({"a": []}, ValueError, "'a' is empty"),
        ({"a": slice(0, 3), "b": slice(2, 4)}, ValueError, "'a' and 'b' overlap"),
        ({"a": [0, 1], "b": [-4]}, ValueError, "'a' and 'b' overlap"),
        ({"a": [1, 1]}, ValueError, "names an index twice"),
        ({"a": [4]}, IndexError, "from 4 to 4"),
        ({"a": [-5]}, IndexError, "from -5 to -5"),
        ({"a": slice(0, 5)}, IndexError, "at most 4"),
        ({"a": [0.5]}, TypeError, "integer indices"),
        ({"a": "front"}, TypeError, "integer indices"),
        ({"a": np.array([True])}, IndexError, r"mask of shape \(1,\)"),
        (
            SimpleNamespace(slices={"a": slice(0, 4)}, shapes={"a": (3, 2)}),
            ValueError,
            "4 entries but shape",
        ),
    ],
)
def test_bad_blocks(blocks, error, message):
    with pytest.raises(error, match=message):
        check_gradient(rosenbrock, POINT, blocks)


def test_fun_keeps_its_arguments_and_its_gradient_buffer():
    buffer = np.empty(4)
    theta = POINT.copy()

    def fun(x):  # returns the same array at every call
        value, buffer[:] = rosenbrock(x)
        return value, buffer

    assert check_gradient(fun, theta).passed
    np.testing.assert_array_equal(theta, POINT)


def test_the_cheap_value_may_come_with_a_gradient_that_nobody_reads():
    report = check_gradient(rosenbrock, POINT, value=lambda x: (rosenbrock(x)[0], None))
    assert report.passed
