import json
import tracemalloc
import warnings
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from autorec_np.gradcheck import (
    ComplexStepError,
    GradientError,
    assert_gradient,
    check_gradient,
    complex_step,
)

POINT = np.array([-1.2, 1.0, 0.5, 2.0])
BLOCKS = {"front": slice(0, 2), "back": slice(2, 4)}


def rosenbrock(x):
    a, b = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * x[:-1] * a - 2 * b
    gradient[1:] += 200 * a
    return float(np.sum(100 * a**2 + b**2)), gradient


def with_fault(fun, index, factor):
    """The same function with one entry of its gradient off."""

    def faulty(theta):
        value, gradient = fun(theta)
        gradient = gradient.copy()
        gradient[index] *= factor
        return value, gradient

    return faulty


def absolute(x):
    return float(np.abs(x).sum()), np.sign(x)


def verdicts(report):
    return {name: block.verdict for name, block in report.blocks.items()}


# ---------------------------------------------------------------- the report


def test_a_right_gradient_passes_in_every_block():
    report = check_gradient(rosenbrock, POINT, BLOCKS)
    assert report.passed
    assert verdicts(report) == {"front": "pass", "back": "pass"}
    assert all(block.relative_error < 1e-8 for block in report.blocks.values())


@pytest.mark.parametrize("factor", [1.1, 1 - 1e-3, 1 + 1e-5, 1 + 1e-6, -1.0, 0.0])
@pytest.mark.parametrize(("index", "wrong"), [(1, "front"), (2, "back")])
def test_the_block_and_the_coordinate_of_a_fault_are_named(index, wrong, factor):
    report = check_gradient(with_fault(rosenbrock, index, factor), POINT, BLOCKS)
    assert not report.passed
    assert [name for name, verdict in verdicts(report).items() if verdict != "pass"] == [wrong]
    block = report.blocks[wrong]
    assert block.worst_coordinate == f"{wrong}[{index % 2}]"
    right = rosenbrock(POINT)[1][index]
    assert block.analytic == pytest.approx(factor * right, abs=1e-9)
    assert block.numeric == pytest.approx(right, rel=1e-7)


def test_the_report_is_a_dictionary_for_json_and_a_table_for_people():
    report = check_gradient(with_fault(rosenbrock, 1, 1.01), POINT, BLOCKS)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["passed"] is False
    assert data["blocks"]["front"]["verdict"] == "fail"
    assert data["blocks"]["back"]["verdict"] == "pass"
    assert data["blocks"]["front"]["evaluations"] > 0
    assert data["evaluations"] > sum(b["evaluations"] for b in data["blocks"].values())
    header, front, back = str(report).splitlines()[:3]
    assert header.split()[:2] == ["block", "verdict"]
    assert front.split()[:3] == ["front", "fail", "front[1]"]
    assert back.split()[:2] == ["back", "pass"]


def test_reruns_agree_and_seeds_differ():
    first, again = (check_gradient(rosenbrock, POINT).to_dict() for _ in range(2))
    assert first == again
    other = check_gradient(rosenbrock, POINT, random_state=1).to_dict()
    assert other["passed"]
    assert other != first


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
    assert calls["fun"] == 4  # twice at theta, twice beside it for the noise of the gradient
    assert report.evaluations == calls["fun"] + calls["value"]


def test_a_layout_names_rows_and_columns():
    layout = SimpleNamespace(slices={"decoder.weight": slice(1, 301)}, shapes={})
    layout.shapes = {"decoder.weight": (60, 5)}
    weights = np.random.default_rng(0).normal(size=301)

    def fun(theta):
        return float(np.sum(np.exp(0.1 * theta * weights))), 0.1 * weights * np.exp(
            0.1 * theta * weights
        )

    theta = np.random.default_rng(1).normal(size=301)
    faulty = with_fault(fun, 1 + 17 * 5 + 3, 1.05)
    report = check_gradient(faulty, theta, layout, n_coordinates=4)
    assert report.blocks["decoder.weight"].verdict == "fail"
    assert report.blocks["decoder.weight"].worst_coordinate == "decoder.weight[17, 3]"
    assert check_gradient(fun, theta, layout).passed


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


def test_rows_with_and_without_data_are_both_sampled():
    active = np.zeros(200, dtype=bool)
    active[:3] = True

    def fun(theta):  # only rows 0, 1, 2 have data; the penalty of the others is forgotten
        rows = theta.reshape(200, 4)
        gradient = np.zeros_like(rows)
        gradient[active] = 2 * rows[active]
        return float(np.sum(rows[active] ** 2)), gradient.ravel()

    seen = []

    def recording(theta):
        moved = np.flatnonzero(theta != 1.0)
        if moved.size == 1:
            seen.append(int(moved[0]) // 4)
        return fun(theta)

    theta = np.ones(800)
    report = check_gradient(
        recording, theta, {"w": slice(0, 800)}, n_coordinates=6, active_rows={"w": active}
    )
    assert report.passed
    assert {row < 3 for row in seen} == {True, False}


# ---------------------------------------------------------------- the error budget


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


def test_a_block_that_does_nothing_passes_only_with_a_zero_gradient():
    def fun(theta):
        value, gradient = rosenbrock(theta[:2])
        return value, np.concatenate([gradient, [0.0, 0.0]])

    def leaky(theta):
        value, gradient = fun(theta)
        return value, gradient + np.array([0.0, 0.0, 1e-6, 0.0])

    assert check_gradient(fun, POINT, BLOCKS).passed
    assert verdicts(check_gradient(leaky, POINT, BLOCKS)) == {"front": "pass", "back": "fail"}


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


@pytest.mark.parametrize("method", ["central", "forward"])
def test_a_full_sweep_draws_the_curve_of_error_against_step(method):
    report = check_gradient(rosenbrock, POINT, method=method, full_sweep=True)
    assert report.passed
    curve = report.blocks["theta"].curve
    steps, errors, budgets = (np.array(curve[k]) for k in ("step", "error", "budget"))
    assert np.log10(steps.max() / steps.min()) >= 7.5
    assert (errors <= budgets).all()
    best = report.blocks["theta"].step
    assert steps.min() < best < steps.max()


# ---------------------------------------------------------------- methods


def test_the_complex_step_sees_errors_of_1e_13():
    def fun(x):
        return np.sum(np.exp(x)), np.exp(x)

    assert check_gradient(fun, POINT, method="complex").passed
    assert check_gradient(with_fault(fun, 1, 1 + 1e-13), POINT).passed
    report = check_gradient(with_fault(fun, 1, 1 + 1e-13), POINT, method="complex")
    assert verdicts(report) == {"theta": "fail"}
    assert report.blocks["theta"].worst_coordinate == "theta[1]"


def test_complex_step_returns_the_gradient_and_directional_derivatives():
    def value(x):
        return np.sum(np.exp(x) * np.sin(x))

    exact = np.exp(POINT) * (np.sin(POINT) + np.cos(POINT))
    gradient = complex_step(value, POINT)
    np.testing.assert_allclose(gradient, exact, rtol=2e-15)
    direction = np.array([1.0, 2.0, 0.0, -1.0])
    assert complex_step(value, POINT, direction) == pytest.approx(exact @ direction, rel=4e-15)
    square = POINT.reshape(2, 2)
    assert complex_step(lambda x: (value(x), None), square).shape == (2, 2)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda x: float(np.sum(x.real**2)), "not a complex scalar"),
        (lambda x: np.abs(x @ x), "not a complex scalar"),
        (lambda x: np.vdot(x, x), "not analytic"),
        (lambda x: np.sum(np.abs(x) * x), "not analytic"),
        (lambda x: np.sum(x * np.conj(x)) ** 2, "not analytic"),
        (lambda x: float(x[0]) if x.dtype == float else [][1], "raised IndexError"),
    ],
)
@pytest.mark.parametrize("along", [None, np.array([0.3, -1.0, 0.2, 0.4])])
def test_what_is_not_complex_safe_is_refused_with_a_reason(value, reason, along):
    with pytest.raises(ComplexStepError, match=reason):
        complex_step(value, POINT, along)


def test_check_gradient_refuses_a_complex_step_that_is_silently_wrong():
    def fun(x):
        return np.vdot(x, x), 2 * x

    assert check_gradient(fun, POINT).passed
    with pytest.raises(ComplexStepError, match="not analytic"):
        check_gradient(fun, POINT, method="complex")


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


# ---------------------------------------------------------------- domains


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


# ---------------------------------------------------------------- kinks


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("known", [False, True])
def test_a_kink_beside_theta_is_stepped_round(distance, known):
    theta = np.array([distance, 2.0, -3.0, -distance])
    pattern = (lambda x: x > 0) if known else None
    report = check_gradient(absolute, theta, pattern=pattern)
    assert report.passed
    wrong = check_gradient(with_fault(absolute, 1, 1.001), theta, pattern=pattern)
    assert verdicts(wrong) == {"theta": "fail"}
    if distance in (1e-5, 1e-7):
        assert report.blocks["theta"].kinks > 0
        assert "skipped: across a kink" in str(report)


@pytest.mark.parametrize("slope", [-1.0, -0.3, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("known", [False, True])
def test_at_a_kink_any_value_between_the_slopes_is_accepted(slope, known):
    def fun(x):
        value, gradient = absolute(x)
        gradient[0] = slope
        return value, gradient

    theta = np.array([0.0, 2.0])
    report = check_gradient(fun, theta, pattern=(lambda x: x > 0) if known else None)
    assert report.passed
    assert "theta lies on a kink" in report.blocks["theta"].note
    assert "any value between is accepted" in report.blocks["theta"].note


@pytest.mark.parametrize("slope", [1.01, -2.0])
def test_at_a_kink_a_value_beyond_the_slopes_fails(slope):
    def fun(x):
        value, gradient = absolute(x)
        gradient[0] = slope
        return value, gradient

    report = check_gradient(fun, np.array([0.0, 2.0]))
    assert verdicts(report) == {"theta": "fail"}
    assert report.blocks["theta"].worst_coordinate == "theta[0]"


def test_a_network_of_zeros_is_no_false_alarm():
    # f is a difference of relus: its convention relu'(0) = 0 lies outside the one-sided slopes.
    x, w = np.array([1.0, -0.2, 0.7]), np.array([1.0, -1.0, 0.5])

    def fun(theta):
        z = x * theta[0] + theta[1]
        return float(w @ np.maximum(z, 0)), np.array([w @ (x * (z > 0)), w @ (z > 0)])

    assert "fail" not in verdicts(check_gradient(fun, np.zeros(2))).values()
    assert check_gradient(fun, np.array([0.3, 0.1])).passed


def test_many_small_kinks():
    theta = np.concatenate([np.linspace(-1e-4, 1e-4, 40), [1.0, 2.0, 3.0]])

    def fun(x):
        return float(np.maximum(x, 0).sum()), (x > 0).astype(float)

    assert check_gradient(fun, theta).passed
    assert not check_gradient(with_fault(fun, 41, 1.001), theta).passed


# ---------------------------------------------------------------- float32


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


# ---------------------------------------------------------------- bad input


def test_values_that_differ_between_two_evaluations_stop_the_check():
    rng = np.random.default_rng(0)
    calls = Counter()

    def dropout(x):
        calls["fun"] += 1
        mask = rng.random(x.size) < 0.5
        return float(np.sum(mask * x**2)), 2 * mask * x

    report = check_gradient(dropout, POINT, BLOCKS)
    assert verdicts(report) == {"front": "inconclusive", "back": "inconclusive"}
    assert not report.passed
    assert "two evaluations at the same theta differ" in report.note
    assert "freeze" in str(report)
    assert calls["fun"] < 6


def test_a_gradient_alone_that_differs_is_noticed():
    count = Counter()

    def fun(x):
        count["calls"] += 1
        return float(x @ x), 2 * x * (1 + 0.1 * (count["calls"] == 2))

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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "backward"}, "'central', 'forward', 'complex'"),
        ({"n_directions": 0}, "n_directions must be an integer of at least 1"),
        ({"n_coordinates": -1}, "n_coordinates"),
        ({"n_coordinates": 2.5}, "n_coordinates"),
        ({"active_rows": {"other": [True]}}, "names 'other'"),
        ({"active_rows": {"theta": [True, False, True]}}, "one entry per row"),
        ({"active_rows": {"theta": [1, 0]}}, "boolean mask"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        check_gradient(rosenbrock, POINT, **options)


def test_fun_keeps_its_arguments_and_its_gradient_buffer():
    buffer = np.empty(4)
    theta = POINT.copy()

    def fun(x):  # returns the same array at every call
        value, buffer[:] = rosenbrock(x)
        return value, buffer

    assert check_gradient(fun, theta).passed
    np.testing.assert_array_equal(theta, POINT)


# ---------------------------------------------------------------- assert_gradient


def test_assert_gradient_raises_with_the_table():
    assert assert_gradient(rosenbrock, POINT, BLOCKS).passed
    with pytest.raises(GradientError, match="did not pass for back") as caught:
        assert_gradient(with_fault(rosenbrock, 3, 1.01), POINT, BLOCKS, n_directions=2)
    assert isinstance(caught.value, AssertionError)
    assert str(caught.value.report) in str(caught.value)
    assert caught.value.report.blocks["back"].worst_coordinate == "back[1]"


def test_a_large_block_costs_few_evaluations_and_few_copies_of_theta():
    size = 1_000_000
    theta = np.random.default_rng(0).normal(size=size)
    blocks = {"first": slice(0, size // 2), "second": slice(size // 2, size)}
    tracemalloc.start()
    report = check_gradient(
        lambda x: (float(x @ x), 2 * x),
        theta,
        blocks,
        value=lambda x: float(x @ x),
        n_directions=2,
        n_coordinates=2,
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.passed
    # for each block four probes of six evaluations, and the preparation
    assert report.evaluations == 2 * 4 * 6 + 6
    assert peak < 12 * theta.nbytes
