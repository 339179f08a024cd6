"""The check of a gradient as a whole."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from gradcheck_cases import BLOCKS, POINT, rosenbrock, verdicts, with_fault

from autorec_np.gradcheck import (
    GradientError,
    assert_gradient,
    check_gradient,
    complex_step,
    taylor_test,
)


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


def test_reruns_agree_and_seeds_differ():
    first, again = (check_gradient(rosenbrock, POINT).to_dict() for _ in range(2))
    assert first == again
    other = check_gradient(rosenbrock, POINT, random_state=1).to_dict()
    assert other["passed"]
    assert other != first


def test_a_block_that_does_nothing_passes_only_with_a_zero_gradient():
    def fun(theta):
        value, gradient = rosenbrock(theta[:2])
        return value, np.concatenate([gradient, [0.0, 0.0]])

    def leaky(theta):
        value, gradient = fun(theta)
        return value, gradient + np.array([0.0, 0.0, 1e-6, 0.0])

    assert check_gradient(fun, POINT, BLOCKS).passed
    assert verdicts(check_gradient(leaky, POINT, BLOCKS)) == {"front": "pass", "back": "fail"}


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
    # for each block four probes of six evaluations and two closer looks, and the preparation
    assert report.evaluations <= 2 * (4 * 6 + 4) + 12
    assert peak < 12 * theta.nbytes


@pytest.mark.parametrize("theta", [np.zeros(5), np.full(5, 1e-170), np.full(5, 30.0)], ids=str)
def test_a_program_in_which_numpy_raises_gets_its_answer(theta):
    """What underflows is 0 in the checker and in what it calls; the rest raises as ever."""

    def bell(theta):
        value = np.exp(-(theta**2))
        return float(value.sum()), -2 * theta * value

    with np.errstate(all="raise"):
        assert check_gradient(bell, theta).passed
        taylor_test(bell, theta)
        assert complex_step(lambda theta: np.exp(-(theta**2)).sum(), theta).shape == (5,)
        with pytest.raises(FloatingPointError):
            np.float64(1e-200) * 1e-200
        with pytest.raises(ValueError, match="overflow"):
            check_gradient(lambda theta: (float(np.exp(theta + 1e4).sum()), theta), theta)


# ---------------------------------------------------------------- good enough


def solved(x, tolerance=1e-8):
    """The square root by an iteration that stops early, and its exact derivative."""
    root = np.maximum(x, 1.0)
    for _ in range(100):
        if np.max(np.abs(root * root - x)) <= tolerance:
            break
        root = root - 0.3 * (root * root - x) / root
    return float(np.sum(root)), 0.5 / np.sqrt(x)


@pytest.mark.parametrize("stop", [1e-4, 1e-6, 1e-8])
def test_a_tolerance_accepts_what_a_solver_leaves_and_says_so(stop):
    x = np.array([2.0, 3.0, 7.0])

    def fun(x):
        return solved(x, stop)

    assert not check_gradient(fun, x).passed
    report = check_gradient(fun, x, tolerance=1e-2)
    assert report.passed
    assert "accepted within tolerance=0.01" in report.blocks["theta"].note
    assert assert_gradient(fun, x, tolerance=1e-2).passed
    wrong = with_fault(fun, 1, 1.1)
    assert verdicts(check_gradient(wrong, x, tolerance=1e-2)) == {"theta": "fail"}


@pytest.mark.parametrize("method", ["central", "forward", "complex"])
def test_a_tolerance_is_off_by_default_and_holds_for_every_method(method):
    def fun(x, factor=1.0):
        return np.sum(np.exp(x)), factor * np.exp(x)

    def nearly(x):
        return fun(x, 1 + 1e-5)

    assert verdicts(check_gradient(nearly, POINT, method=method)) == {"theta": "fail"}
    assert check_gradient(nearly, POINT, method=method, tolerance=1e-4).passed
    assert not check_gradient(nearly, POINT, method=method, tolerance=1e-6).passed
    assert "tolerance" not in str(check_gradient(fun, POINT, method=method, tolerance=1e-4))


def test_a_fault_below_one_in_a_million_gets_the_note_that_it_may_be_an_iteration():
    tiny = check_gradient(with_fault(rosenbrock, 1, 1 + 3e-8), POINT)
    assert verdicts(tiny) == {"theta": "fail"}
    assert "an iteration that stops early" in tiny.blocks["theta"].note
    assert "tolerance=1e-06 would accept that" in tiny.blocks["theta"].note
    assert check_gradient(with_fault(rosenbrock, 1, 1 + 3e-8), POINT, tolerance=1e-6).passed
    gross = check_gradient(with_fault(rosenbrock, 1, 1.001), POINT)
    assert "iteration" not in str(gross)


# ---------------------------------------------------------------- what it costs


def test_a_block_of_one_entry_costs_no_equal_directions():
    report = check_gradient(rosenbrock, POINT, {"one": [0], "three": [1, 2, 3]})
    assert report.passed
    assert report.blocks["one"].evaluations <= 6 + 6 + 2
    assert report.blocks["three"].evaluations >= 7 * 6


@pytest.mark.parametrize("method", ["central", "forward", "complex"])
@pytest.mark.parametrize("limit", [16, 30, 60, 100, 300])
@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_evaluations_are_bounded_and_what_is_left_is_said(method, limit, factor):
    calls = Counter()

    def fun(x):
        calls["fun"] += 1
        return np.sum(np.exp(x)), factor * np.exp(x)

    report = check_gradient(fun, POINT, BLOCKS, method=method, max_evaluations=limit)
    assert calls["fun"] == report.evaluations <= limit
    assert report.passed in ([True, False] if factor == 1 else [False])
    unbounded = check_gradient(fun, POINT, BLOCKS, method=method)
    if report.evaluations < unbounded.evaluations:
        assert "max_evaluations" in str(report)
    else:
        assert verdicts(report) == verdicts(unbounded)


def test_too_few_evaluations_to_begin_with_are_an_error():
    with pytest.raises(ValueError, match="max_evaluations=3 does not suffice to prepare"):
        check_gradient(rosenbrock, POINT, max_evaluations=3)


# ---------------------------------------------------------------- along given directions


def test_given_directions_are_looked_at_alone():
    def on_the_simplex(x, factor=1.0):  # defined where the entries sum to one
        if abs(x.sum() - 1) > 1e-9:
            raise ValueError("not on the simplex")
        return float(np.sum(x**3)), 3 * x**2 + 7.0 * factor

    theta = np.array([0.2, 0.3, 0.5])
    tangents = [np.array([1.0, -1.0, 0.0]), np.array([0.0, 1.0, -1.0])]
    report = check_gradient(on_the_simplex, theta, directions=tangents)
    assert report.passed
    assert report.blocks["theta"].worst_coordinate in ("directions[0]", "directions[1]")
    assert check_gradient(on_the_simplex, theta, directions=np.array(tangents)).passed
    assert not check_gradient(on_the_simplex, theta).passed
    wrong = with_fault(on_the_simplex, 2, 1.001)
    report = check_gradient(wrong, theta, directions=tangents)
    assert verdicts(report) == {"theta": "fail"}
    assert report.blocks["theta"].worst_coordinate == "directions[1]"
    assert check_gradient(wrong, theta, directions=tangents[0]).passed  # the fault lies across


def test_a_block_that_no_direction_enters_is_inconclusive():
    report = check_gradient(rosenbrock, POINT, BLOCKS, directions=[[1.0, 0.0, 0.0, 0.0]])
    assert verdicts(report) == {"front": "pass", "back": "inconclusive"}
    assert report.blocks["back"].note == "no given direction enters this block"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"directions": []}, "at least one direction"),
        ({"directions": [[1.0, 2.0]]}, r"theta's shape \(4,\), got shape \(2,\)"),
        ({"directions": np.zeros(4)}, "not all zero"),
        ({"tolerance": 0}, "tolerance must be a relative error above 0"),
        ({"tolerance": "1e-6"}, "tolerance must be"),
        ({"resolution": -1.0}, "resolution must be"),
        ({"max_evaluations": 0}, "max_evaluations must be an integer of at least 1"),
    ],
)
def test_bad_directions_tolerances_and_bounds(option, message):
    with pytest.raises(ValueError, match=message):
        check_gradient(rosenbrock, POINT, **option)
