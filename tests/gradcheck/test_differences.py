"""The error budget: what it explains and what it does not."""

import numpy as np
import pytest
from gradcheck_cases import BLOCKS, POINT, rosenbrock, verdicts, with_fault

from autorec_np.gradcheck import check_gradient


def test_rosenbrock_passes_at_its_minimum_where_value_and_gradient_are_zero():
    report = check_gradient(rosenbrock, np.ones(4))
    assert report.passed
    nearly = check_gradient(lambda x: (rosenbrock(x)[0], rosenbrock(x)[1] + 1e-5), np.ones(4))
    assert verdicts(nearly) == {"theta": "fail"}


@pytest.mark.parametrize("scales", [(1e-8, 1e8), (1e8, 1e-8), (1e-4, 1.0)])
def test_badly_scaled_blocks_pass_and_fail_as_they_should(scales):
    scale = np.repeat(scales, 2)

    def fun(theta):
        value, gradient = rosenbrock(theta / scale)
        return value, gradient / scale

    theta = POINT * scale
    assert check_gradient(fun, theta, BLOCKS).passed
    for index, wrong in ((0, "front"), (3, "back")):
        report = check_gradient(with_fault(fun, index, 1 + 1e-5), theta, BLOCKS)
        assert [n for n, verdict in verdicts(report).items() if verdict == "fail"] == [wrong]


def test_a_cancelling_sum_is_judged_by_its_own_noise():
    def fun(theta):  # rounded to a multiple of 2^-26 by the large constant
        value, gradient = rosenbrock(theta)
        return float((1e8 + value) - 1e8), gradient

    report = check_gradient(fun, POINT)
    assert report.passed
    assert report.blocks["theta"].budget > 1e-7  # eps |f| / h would have promised 1e-9
    assert verdicts(check_gradient(with_fault(fun, 1, 1.001), POINT)) == {"theta": "fail"}


def test_noise_that_hides_the_gradient_is_inconclusive_not_wrong():
    def fun(theta):
        value, gradient = rosenbrock(theta)
        return float((1e15 + value) - 1e15), gradient

    for function in (fun, with_fault(fun, 0, 1.01)):
        report = check_gradient(function, POINT)
        assert verdicts(report) == {"theta": "inconclusive"}
        assert not report.passed
        assert "not resolved" in str(report)


def test_noise_without_any_grid_is_measured():
    def fun(theta):  # rough at 1e-9, as if an inner solver had stopped early
        value, gradient = rosenbrock(theta)
        return value + 1e-9 * np.sin(1e15 * theta.sum()), gradient

    report = check_gradient(fun, POINT)
    assert report.passed
    assert report.blocks["theta"].budget > 1e-7


@pytest.mark.parametrize("theta", [POINT, np.zeros(4), POINT * 1e-9], ids=["", "zero", "tiny"])
def test_linear_and_constant_functions(theta):
    slope = np.array([1.0, -2.0, 3.0, 0.5])
    assert check_gradient(lambda x: (slope @ x, slope.copy()), theta).passed
    assert check_gradient(lambda x: (7.0, np.zeros_like(x)), theta).passed
    assert not check_gradient(lambda x: (slope @ x, slope * 1.00001), theta).passed
    assert not check_gradient(lambda x: (7.0, np.full_like(x, 1e-3)), theta).passed


def test_functions_that_vary_on_a_scale_of_their_own():
    def fast(x):
        return float(np.sum(np.sin(1e6 * x))), 1e6 * np.cos(1e6 * x)

    assert check_gradient(fast, POINT).passed
    assert not check_gradient(with_fault(fast, 2, 1.0001), POINT).passed

    def bounded(x):  # at every step but the smallest it looks flat
        return float(np.sum(np.sin(1e12 * x))), 1e12 * np.cos(1e12 * x)

    assert "fail" not in verdicts(check_gradient(bounded, POINT)).values()


def test_high_order_minima():
    def quartic(x):
        return float(np.sum(x**4)), 4 * x**3

    assert check_gradient(quartic, np.zeros(3)).passed
    assert not check_gradient(lambda x: (quartic(x)[0], quartic(x)[1] + 1e-7), np.zeros(3)).passed


def test_values_near_the_largest_float():
    theta = np.array([700.0, 2.0])
    assert check_gradient(lambda x: (float(np.sum(np.exp(x))), np.exp(x)), theta).passed


def test_one_sided_differences_at_the_border_of_the_domain():
    def fun(x):
        if np.any(x < 0):
            raise ValueError("defined for x >= 0")
        return float(np.sum(np.exp(x))), np.exp(x)

    theta = np.array([0.0, 1.0])
    assert verdicts(check_gradient(fun, theta)) == {"theta": "inconclusive"}
    assert check_gradient(fun, theta, method="forward").passed
    wrong = with_fault(fun, 0, 1.001)
    report = check_gradient(wrong, theta, method="forward")
    assert verdicts(report) == {"theta": "fail"}
    assert report.blocks["theta"].worst_coordinate == "theta[0]"

    def mirrored(x):
        value, gradient = fun(-x)
        return value, -gradient

    assert check_gradient(mirrored, -theta, method="forward").passed


def test_jumps_are_inconclusive():
    theta = np.array([1.0, 2.0])
    for side in (np.greater, np.greater_equal):
        report = check_gradient(
            lambda x, side=side: (float(x.sum() + side(x[0], 1)), np.ones_like(x)), theta
        )
        assert verdicts(report) == {"theta": "inconclusive"}


def test_a_step_function_is_inconclusive():
    theta = np.array([1.2345, 2.3456])
    for slope in (0.0, 1e3):
        report = check_gradient(
            lambda x, slope=slope: (float(np.floor(1e3 * x).sum()), np.full_like(x, slope)), theta
        )
        assert verdicts(report) == {"theta": "inconclusive"}
