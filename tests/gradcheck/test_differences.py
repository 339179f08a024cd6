"""The error budget: what it explains and what it does not."""

import numpy as np
import pytest
from gradcheck_cases import BLOCKS, POINT, rosenbrock, verdicts, with_fault

from autorec_np.gradcheck import check_gradient
from autorec_np.gradcheck.differences import value_grid


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


# ---------------------------------------------------------------- a location far from zero


def location(family, data, factor):
    """The location of a likelihood, its gradient off by a factor."""

    def student(t):
        z = data - t[0]
        return np.sum(2.5 * np.log1p(z * z / 4)), -np.sum(5 * z / 4 / (1 + z * z / 4))

    def logistic(t):
        z = data - t[0]
        return np.sum(np.logaddexp(0, z) - (z > 0) * z), -np.sum(1 / (1 + np.exp(-z)) - (z > 0))

    def bounded(t):
        z = data - t[0]
        return np.sum(1 - np.exp(-z * z / 2)), -np.sum(z * np.exp(-z * z / 2))

    fun = {"student": student, "logistic": logistic, "bounded": bounded}[family]
    return lambda t: (fun(t)[0], factor * np.array([fun(t)[1]]))


@pytest.mark.parametrize("family", ["student", "logistic", "bounded"])
@pytest.mark.parametrize("offset", [1e3, 1e4, 2.4e6, 1e8, 1.7e9])
def test_a_location_far_from_zero_in_units_of_its_scale(family, offset):
    data = offset + 3 * np.random.default_rng(0).normal(size=200)
    theta = np.array([offset + 0.7])
    right = check_gradient(location(family, data, 1.0), theta).blocks["theta"]
    assert right.verdict != "fail"
    for factor in (0.0, 0.5, 1.1, 1.01, 1.001):
        block = check_gradient(location(family, data, factor), theta).blocks["theta"]
        assert block.verdict != "pass"
        assert factor in (1.01, 1.001) or block.verdict == "fail"


def test_no_pass_stands_with_a_budget_above_a_hundredth_of_the_slopes():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        offset = 10 ** rng.uniform(0, 10)
        data = offset + 3 * rng.normal(size=200)
        fun = location("student", data, 1 + 10 ** rng.uniform(-5, 0))
        block = check_gradient(fun, np.array([offset + 0.7]), resolution=1.0).blocks["theta"]
        if block.verdict == "pass":
            assert block.budget <= max(abs(block.analytic), abs(block.numeric)) / 100


# ---------------------------------------------------------------- faster than the steps


def rippled(x):
    return float(x @ x + 1e-3 * np.sum(np.sin(1e6 * x))), 2 * x + 1e3 * np.cos(1e6 * x)


def test_a_term_that_oscillates_faster_than_the_steps_is_not_forgotten():
    for seed in range(10):
        x = np.random.default_rng(seed).normal(size=2) + 2.5
        right = check_gradient(rippled, x, random_state=seed).blocks["theta"]
        assert right.verdict == "pass"
        forgotten = check_gradient(lambda x: (rippled(x)[0], 2 * x), x, random_state=seed)
        assert not forgotten.passed


def test_a_small_ripple_shows_when_one_direction_is_looked_at_closely():
    def fun(x, factor=1.0):  # its slope is 1e-3, its height 1e-9: below the budget of the steps
        ripple = 1e-9 * np.sum(np.sin(1e6 * x))
        return float(np.sum(x**2) + ripple), 2 * x + factor * 1e-3 * np.cos(1e6 * x)

    assert check_gradient(fun, POINT).passed
    assert not check_gradient(lambda x: fun(x, 0.0), POINT).passed


def test_the_frequency_of_an_oscillation():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        p = np.array([rng.uniform(0.005, 0.05), rng.uniform(0.3, 1.5)])
        t = np.sort(rng.uniform(0, 10 ** rng.uniform(4, 7), 200))
        y = np.sin(0.013 * t)

        def fit(p, t=t, y=y):
            residual, angle = p[1] * np.sin(p[0] * t) - y, p[0] * t
            d_frequency = 2e-3 * np.mean(residual * p[1] * np.cos(angle) * t) + p[0]
            gradient = np.array([d_frequency, 2e-3 * np.mean(residual * np.sin(angle)) + p[1]])
            return 1e-3 * np.mean(residual**2) + p @ p / 2, gradient

        def forgotten(p, fit=fit):
            value, gradient = fit(p)
            return value, np.array([p[0], gradient[1]])

        blocks = {"frequency": slice(0, 1), "amplitude": slice(1, 2)}
        assert "fail" not in verdicts(check_gradient(fit, p, blocks)).values()
        true = fit(p)[1][0]
        if abs(true - p[0]) > 0.1 * max(abs(true), p[0]):
            report = check_gradient(forgotten, p, blocks)
            assert report.blocks["frequency"].verdict != "pass"


# ---------------------------------------------------------------- rounded on the way


def logistic_loss(rng):
    X, y = rng.normal(size=(40, 6)), rng.integers(0, 2, 40)

    def fun(t):
        z = X @ t
        gradient = X.T @ (1 / (1 + np.exp(-z)) - y) + 0.1 * t
        return float(np.sum(np.logaddexp(0, z) - y * z) + 0.05 * t @ t), gradient

    return fun, rng.normal(size=6)


ROUNDINGS = {
    "three places": lambda v: round(v, 3),
    "six places": lambda v: round(v, 6),
    "three digits": lambda v: float(f"{v:.3g}"),
    "four digits": lambda v: float(f"{v:.4g}"),
    "a grid of 0.0007": lambda v: 0.0007 * round(v / 0.0007),
    "float16": lambda v: float(np.float16(v)),
    "four digits of the logarithm": lambda v: 10 ** round(np.log10(v), 4),
}


@pytest.mark.parametrize("rounding", ROUNDINGS.values(), ids=ROUNDINGS)
def test_values_that_are_rounded_are_no_false_alarm(rounding):
    for seed in range(12):
        fun, t = logistic_loss(np.random.default_rng(seed))
        report = check_gradient(lambda x, f=fun: (rounding(f(x)[0]), f(x)[1]), t, random_state=seed)
        assert "fail" not in verdicts(report).values(), f"seed {seed}\n{report}"
        assert rounding(0.123456789) == np.float16(0.123456789) or "float32" not in report.note
        wrong = with_fault(fun, 1, 3.0)
        report = check_gradient(lambda x, f=wrong: (rounding(f(x)[0]), f(x)[1]), t)
        assert not report.passed


@pytest.mark.parametrize("digits", [3, 4, 8])
def test_parameters_that_pass_through_text_are_no_false_alarm(digits):
    for seed in range(12):
        fun, t = logistic_loss(np.random.default_rng(seed))

        def through_text(x, fun=fun):
            return fun(np.array([float(f"{v:.{digits}g}") for v in x]))

        report = check_gradient(through_text, t, random_state=seed)
        assert "fail" not in verdicts(report).values(), f"seed {seed}\n{report}"
        assert not check_gradient(with_fault(through_text, 1, 3.0), t).passed


def test_scores_that_are_cast_to_float32_are_no_false_alarm():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(60, 5)), rng.integers(0, 2, 60)
        penalty = 10.0 ** rng.integers(-4, 1)

        def fun(w, X=X, y=y, penalty=penalty):
            z = (X @ w).astype(np.float32)
            gradient = X.T @ (1 / (1 + np.exp(-z)) - y) / len(y)
            loss = float(np.mean(np.logaddexp(0, z) - y * z))
            return loss + penalty / 2 * (w @ w), gradient + penalty * w

        w = rng.normal(size=5)
        report = check_gradient(fun, w, random_state=seed)
        assert "fail" not in verdicts(report).values(), f"seed {seed}\n{report}"
        assert report.blocks["theta"].kinks == 0
        assert not check_gradient(with_fault(fun, 1, 1.5), w, random_state=seed).passed


@pytest.mark.parametrize(
    ("values", "grid"),
    [
        ([1.25, 3.5], 0.25),
        ([0.123, 0.456, 12.0], 1e-3),
        ([1200.0, 3400.0], 100.0),
        ([1.0 / 3.0, 0.123], 2.0**-54),
        ([1e-7, 3e-7], 1e-7),
        ([5.0], 0.0),
        ([5.0, 0.0, 5.0], 0.0),
    ],
)
def test_the_grid_of_values(values, grid):
    assert value_grid(values) == pytest.approx(grid, rel=1e-12)


# ---------------------------------------------------------------- steeper than any step


@pytest.mark.parametrize("condition", [1e8, 1e12, 1e13, 1e14])
def test_the_determinant_of_a_singular_matrix_is_no_false_alarm(condition):
    for seed in range(8):
        U, _, V = np.linalg.svd(np.random.default_rng(seed).normal(size=(6, 6)))
        A = U * 10.0 ** np.linspace(0, -np.log10(condition), 6) @ V

        def fun(B, factor=1.0):
            return np.linalg.slogdet(B)[1], factor * np.linalg.inv(B).T

        assert "fail" not in verdicts(check_gradient(fun, A, random_state=seed)).values()
        assert not check_gradient(lambda B, f=fun: f(B, 1.1), A, random_state=seed).passed


@pytest.mark.parametrize("width", [1e-6, 1e-9, 1e-11, 1e-13, 1e-15])
def test_a_resonance_narrower_than_any_step_is_no_false_alarm(width):
    center = np.array([0.7, -1.3, 2.1])
    theta = center * (1 + width * np.array([0.5, 1.2, -0.8]))

    def fun(x, factor=1.0):
        z = (x - center) / width
        return float(np.sum(1 / (1 + z**2))), factor * -2 * z / width / (1 + z**2) ** 2

    report = check_gradient(fun, theta)
    assert "fail" not in verdicts(report).values()
    assert report.passed == (width > 1e-10)
    if width < 1e-12:
        assert "steeper than any step" in str(report)
    assert not check_gradient(lambda x: fun(x, 1.1), theta).passed
