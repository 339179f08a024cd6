import json

import numpy as np
import pytest

from autorec_np.gradcheck import taylor_test

POINT = np.array([-1.2, 1.0, 0.5, 2.0])
BLOCKS = {"front": slice(0, 2), "back": slice(2, 4)}


def exponential(x):
    return float(np.sum(np.exp(x) * np.array([1, 2, 3, 4]))), np.exp(x) * np.array([1, 2, 3, 4])


def exponential_hvp(x, v):
    return exponential(x)[1] * v


def off_by(factor, index):
    def fun(x):
        value, gradient = exponential(x)
        gradient[index] *= factor
        return value, gradient

    return fun


def test_the_slopes_are_one_two_and_three():
    report = taylor_test(exponential, POINT, BLOCKS, hvp=exponential_hvp)
    assert report.passed
    for block in report.blocks.values():
        assert block.slopes == pytest.approx({0: 1, 1: 2, 2: 3}, abs=0.05)


def test_a_wrong_gradient_has_slope_one_in_its_block_alone():
    report = taylor_test(off_by(1.01, 3), POINT, BLOCKS)
    assert report.blocks["back"].verdict == "fail"
    assert report.blocks["back"].slopes[1] < 1.3
    assert "the gradient is wrong" in report.blocks["back"].note
    assert report.blocks["front"].verdict == "pass"


@pytest.mark.parametrize("size", [1e-1, 1e-3, 1e-5])
def test_small_errors_show_at_small_steps(size):
    assert not taylor_test(off_by(1 + size, 0), POINT, BLOCKS).passed


def test_a_wrong_hessian_has_slope_two():
    report = taylor_test(exponential, POINT, hvp=lambda x, v: 1.01 * exponential_hvp(x, v))
    assert report.blocks["theta"].verdict == "fail"
    assert report.blocks["theta"].slopes == pytest.approx({0: 1, 1: 2, 2: 2}, abs=0.1)
    assert "Hessian-vector product is wrong" in str(report)


def test_exact_orders_are_recognized():
    slope = np.array([1.0, -2.0, 3.0, 0.5])
    linear = taylor_test(lambda x: (slope @ x, slope.copy()), POINT).blocks["theta"]
    assert linear.verdict == "pass"
    assert linear.slopes[0] == pytest.approx(1, abs=0.01)
    assert linear.slopes[1] == np.inf

    A = np.diag([1.0, 2.0, -3.0, 4.0])
    report = taylor_test(lambda x: (x @ A @ x / 2, A @ x), POINT, hvp=lambda x, v: A @ v)
    assert report.passed
    assert report.blocks["theta"].slopes[1] == pytest.approx(2, abs=0.05)
    assert report.blocks["theta"].slopes[2] == np.inf
    assert "exact" in str(report)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["blocks"]["theta"]["exact"] == [2]
    assert data["blocks"]["theta"]["slopes"]["2"] is None


def test_functions_that_do_not_change():
    assert taylor_test(lambda x: (5.0, np.zeros_like(x)), POINT).passed
    wrong = taylor_test(lambda x: (5.0, np.full_like(x, 0.1)), POINT)
    assert "the gradient says that it does" in wrong.blocks["theta"].note
    assert not wrong.passed


def test_at_a_minimum_the_value_itself_has_slope_two():
    report = taylor_test(lambda x: (float(np.sum(np.cosh(x))), np.sinh(x)), np.zeros(3))
    assert report.passed
    assert report.blocks["theta"].slopes[0] == pytest.approx(2, abs=0.05)


def test_the_given_direction_is_followed():
    direction = np.array([0.0, 0.0, 1.0, 0.0])
    report = taylor_test(off_by(1.01, 3), POINT, {"back": slice(2, 4)}, direction)
    assert report.passed  # the fault lies across it
    both = taylor_test(exponential, POINT, BLOCKS, direction)
    assert both.blocks["front"].verdict == "inconclusive"
    assert "does not enter" in both.blocks["front"].note


def test_a_kink_beside_theta_leaves_the_exact_linear_piece():
    theta = np.array([1e-3, 2.0, -1.0])
    right = taylor_test(lambda x: (float(np.abs(x).sum()), np.sign(x)), theta)
    assert right.blocks["theta"].verdict == "pass"
    assert not taylor_test(lambda x: (float(np.abs(x).sum()), 1.01 * np.sign(x)), theta).passed


def test_at_a_kink_no_slope_can_judge():
    report = taylor_test(lambda x: (float(np.abs(x).sum()), np.sign(x)), np.zeros(3))
    assert report.blocks["theta"].verdict == "inconclusive"
    assert "kink" in report.blocks["theta"].note


@pytest.mark.parametrize("factor", [1, 3])
def test_noise_beyond_every_change_is_inconclusive(factor):
    def fun(x):
        value, gradient = exponential(x)
        return float((1e16 + value) - 1e16), factor * gradient

    assert taylor_test(fun, POINT).blocks["theta"].verdict == "inconclusive"


def test_values_that_differ_stop_the_test():
    rng = np.random.default_rng(0)
    report = taylor_test(lambda x: (float(rng.random()), x), POINT)
    assert not report.passed
    assert "freeze" in report.note


def test_a_narrow_domain():
    def fun(x):
        value, gradient = exponential(x)
        return (value if np.max(np.abs(x - POINT)) < 1e-4 else np.nan), gradient

    assert taylor_test(fun, POINT).passed
    nowhere = taylor_test(lambda x: (1.0 if (x == POINT).all() else np.nan, x), POINT)
    assert nowhere.blocks["theta"].verdict == "inconclusive"
    assert "fewer than three steps" in nowhere.blocks["theta"].note


def test_float32_theta():
    def fun(x):
        value, gradient = exponential(x.astype(np.float64))
        return value, gradient.astype(x.dtype)

    assert taylor_test(fun, POINT.astype(np.float32)).passed


@pytest.mark.parametrize(
    ("direction", "message"),
    [
        (np.ones(3), r"theta's shape \(4,\), got shape \(3,\)"),
        (np.zeros(4), "not all zero"),
        (np.array([1.0, np.nan, 0.0, 0.0]), "finite"),
    ],
)
def test_bad_directions(direction, message):
    with pytest.raises(ValueError, match=message):
        taylor_test(exponential, POINT, direction=direction)


def test_bad_hvp():
    with pytest.raises(ValueError, match=r"hvp must return a finite array"):
        taylor_test(exponential, POINT, hvp=lambda x, v: v[:2])


def test_one_huge_value_at_a_large_step_hides_nothing():
    def link(p):  # the Cauchy link; its pole at 1 is clipped
        p = np.clip(p, 2.2e-16, 1 - 2.2e-16)
        return np.sum(np.tan(np.pi * (p - 0.5))), np.pi / np.cos(np.pi * (p - 0.5)) ** 2

    p = np.array([0.02, 0.3, 0.5, 0.77, 0.99])
    report = taylor_test(link, p)
    assert report.passed
    assert report.blocks["theta"].noise_floor < 1e-10
    wrong = taylor_test(lambda p: (link(p)[0], 1.01 * link(p)[1]), p)
    assert wrong.blocks["theta"].verdict == "fail"
