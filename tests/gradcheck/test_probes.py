"""Where the check looks, and kinks."""

from types import SimpleNamespace

import numpy as np
import pytest
from gradcheck_cases import POINT, absolute, rosenbrock, verdicts, with_fault

from autorec_np.gradcheck import check_gradient


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
