"""Where the check looks, and kinks."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from gradcheck_cases import POINT, absolute, random_case, rosenbrock, verdicts, with_fault

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


def test_a_vector_between_the_slopes_of_each_coordinate_may_be_no_subgradient():
    def length(gradient):
        return lambda x: (float(np.linalg.norm(x)), gradient.copy())

    report = check_gradient(length(np.ones(3)), np.zeros(3))
    assert verdicts(report) == {"theta": "inconclusive"}
    assert "it is no subgradient, or kinks of opposite signs meet" in str(report)
    for right in (np.zeros(3), np.full(3, 0.5), np.array([0.0, -1.0, 0.0])):
        assert check_gradient(length(right), np.zeros(3)).passed


def relu_network(dtype):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(32, 5)), rng.integers(0, 3, 32)

    def fun(theta, factor=1.0):
        t, A = theta.astype(dtype), X.astype(dtype)
        W, b, V, c = t[:40].reshape(5, 8), t[40:48], t[48:72].reshape(8, 3), t[72:75]
        Z = A @ W + b
        H = np.maximum(Z, 0)
        out = H @ V + c
        p = np.exp(out - out.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        value = -np.mean(np.log(p[np.arange(32), y]))
        p[np.arange(32), y] -= 1
        d = p / dtype(32)
        dZ = (d @ V.T) * (Z > 0)
        parts = [
            dtype(factor) * (A.T @ dZ).ravel(),
            dZ.sum(axis=0),
            (H.T @ d).ravel(),
            d.sum(axis=0),
        ]
        return value, np.concatenate(parts)

    return fun


def test_a_relu_network_in_float32_is_no_false_alarm():
    blocks = {"W": slice(0, 40), "b": slice(40, 48), "V": slice(48, 72), "c": slice(72, 75)}
    fun = relu_network(np.float32)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        theta = (rng.normal(size=75) * rng.choice([0.1, 0.5, 1.0])).astype(np.float32)
        report = check_gradient(fun, theta, blocks, random_state=seed)
        assert "fail" not in verdicts(report).values(), f"seed {seed}\n{report}"
        wrong = check_gradient(lambda t: fun(t, 1.5), theta, blocks, random_state=seed)
        assert wrong.blocks["W"].verdict != "pass"


LOSSES = {
    "hinge": (lambda z, y: np.maximum(0, 1 - y * z), lambda z, y: -y * (y * z < 1)),
    "absolute": (lambda z, y: np.abs(z - y), lambda z, y: np.sign(z - y)),
    "quantile": (
        lambda z, y: np.where(z > y, 0.3 * (z - y), 0.7 * (y - z)),
        lambda z, y: np.where(z > y, 0.3, -0.7),
    ),
    "insensitive": (
        lambda z, y: np.maximum(0, np.abs(z - y) - 0.2),
        lambda z, y: np.sign(z - y) * (np.abs(z - y) > 0.2),
    ),
}


@pytest.mark.parametrize(("loss", "slope"), LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_with_kinks_are_no_false_alarm(loss, slope, dtype):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        m = int(rng.choice([20, 100, 400]))
        X = rng.normal(size=(m, 6)).astype(dtype)
        y = np.sign(rng.normal(size=m)).astype(dtype)

        def fun(w, factor=1.0, X=X, y=y):
            w = w.astype(dtype)
            z = X @ w
            gradient = X.T @ slope(z, y).astype(dtype) / dtype(len(y)) + dtype(0.1) * w
            return loss(z, y).astype(dtype).mean() + dtype(0.05) * (w @ w), gradient * dtype(factor)

        w = rng.normal(size=6).astype(dtype)
        report = check_gradient(fun, w, random_state=seed)
        assert "fail" not in verdicts(report).values(), f"seed {seed}\n{report}"
        assert dtype == np.float32 or report.passed
        assert not check_gradient(lambda w, f=fun: f(w, 1.1), w, random_state=seed).passed


def test_what_is_said_to_be_in_the_way_is_there():
    theta = np.array([1.2345, 2.3456])
    flat = check_gradient(lambda x: (float(np.floor(1e3 * x).sum()), np.full_like(x, 1e3)), theta)
    assert "the function is constant near theta" in str(flat)
    assert "noise" not in flat.blocks["theta"].note
    noisy = check_gradient(lambda x: (float((1e15 + x @ x) - 1e15), 2 * x), theta)
    assert "kink" not in str(noisy)


@pytest.mark.parametrize(("seed", "size"), [(102252, 1.9e-5)])
def test_what_looks_wrong_without_a_proof_does_not_pass(seed, size):
    case = random_case(seed)  # in float32 throughout, where only errors of 1e-3 are owed
    right = check_gradient(case.fun, case.theta, case.blocks, random_state=seed)
    assert right.blocks["weight"].verdict == "pass"

    def faulty(theta):
        value, gradient = case.fun(theta)
        weight = gradient[case.blocks["weight"]]
        weight[np.argmax(np.abs(weight))] *= np.float32(1 + size)
        return value, gradient

    report = check_gradient(faulty, case.theta, case.blocks, random_state=seed)
    assert report.blocks["weight"].verdict == "inconclusive"
    assert "1 of 7 probes look wrong, without a proof" in report.blocks["weight"].note


def regression(seed, reduce, dtype=np.float32, scale=1.0, cast=True):
    """A loss in float32 beside a penalty in float64; `cast` says whether its theta is, too."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 5)).astype(dtype)
    y, penalty = rng.integers(0, 2, 60).astype(dtype), 10.0 ** rng.integers(-4, 1)

    def fun(w):
        z = X @ (w.astype(dtype) if cast else w)
        loss = scale * float(dtype(reduce(np.logaddexp(0, z) - y * z)))
        slope = scale * X.T @ (1 / (1 + np.exp(-z)) - y) / (60 if reduce is np.mean else 1)
        return loss + penalty / 2 * float(w @ w), slope + penalty * w

    return fun, rng.normal(size=5)


STEPS = re.compile(r"the values move in steps of ([\d.e-]+), as float32 rounds: compute in float64")


@pytest.mark.parametrize("reduce", [np.mean, np.sum])
@pytest.mark.parametrize("cast", [True, False])
def test_values_in_steps_of_float32_are_the_reason_that_is_said(reduce, cast):
    undecided = said = 0
    for seed in range(20):
        fun, w = regression(seed, reduce, cast=cast)
        report = check_gradient(fun, w, random_state=seed)
        block = report.blocks["theta"]
        assert block.verdict != "fail"
        if block.verdict == "inconclusive" and "rounds a float64 theta" not in report.note:
            undecided += 1
            steps = STEPS.search(block.note)
            if not steps and not cast:  # too few values have moved at all
                continue
            assert steps, str(report)
            said += 1
            spacing = float(np.spacing(np.float32(fun(w)[0])))
            ratio = np.log2(float(steps[1]) / spacing)
            assert abs(ratio - round(ratio)) < 0.02
            assert -8 <= ratio <= 1
    assert undecided >= 3
    assert said >= 0.75 * undecided


def rounded(digits):
    return lambda x: (round(float(np.sum(np.cosh(x))), digits), np.sinh(x))


def counted(x):
    return float(np.sum(np.floor(1e6 * x))) + float(x @ x), 1e6 + 2 * x


def half(x):
    return float(np.float16(np.sum(np.cosh(x)))) + float(x @ x), np.sinh(x) + 2 * x


def noisy(x):
    noise = 1e-7 * np.sin(1e9 * float(x @ x))
    return float(np.sum(np.cosh(x))) + noise, np.sinh(x)


def rippled(x):
    return float(x @ x + 1e-4 * np.sin(1e6 * x).sum()), 2 * x


def kinked(x):
    knots = np.linspace(-3, 3, 200_001)
    return float(np.abs(x[:, None] - knots).mean()), np.zeros_like(x)


def single(x):
    return float(np.float32(np.sum(np.cosh(x)))), np.sinh(x)


@pytest.mark.parametrize(
    "fun",
    [rounded(6), rounded(8), rounded(10), counted, half, noisy, rippled, kinked, rosenbrock],
)
def test_other_obstacles_are_not_called_float32(fun):
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=4)
        assert "float32" not in str(check_gradient(fun, x, random_state=seed))


def test_a_value_that_is_float32_as_a_whole_is_called_so():
    assert "float32" in str(check_gradient(single, np.random.default_rng(0).normal(size=4)))


DEAD = np.array([0.98, 0.9, -0.5, 1.0])  # of relus that begin at 1.05


def dead_relus(x, gradient=0.0):
    alive = np.maximum(0, x - 1.05)
    return float(np.sum(alive + 0.3 * alive**2 + 1e3)), np.full_like(x, gradient)


def test_relus_that_are_dead_at_theta_and_alive_beside_it_are_resolved():
    for seed in range(10):
        report = check_gradient(dead_relus, DEAD, random_state=seed)
        assert report.passed, str(report)
        assert max(block.budget for block in report.blocks.values()) < 1e-6
        assert report.evaluations < 4 * 66 + 12 * 6 + 12
    for wrong in (1.0, 1e-3, 1e-6):
        assert not check_gradient(lambda x, g=wrong: dead_relus(x, g), DEAD).passed


def forgotten(digits, of):
    """A gradient that is zero, of values or parameters that are rounded."""

    def fun(x):
        y = x.astype(np.float32).astype(float) if digits is None else np.round(x, digits)
        value = float(np.sum(np.cosh(y if of == "parameters" else x)))
        rounded = value if of == "parameters" else float(np.float32(value))
        if of == "values" and digits is not None:
            rounded = round(value, digits)
        return rounded, np.zeros_like(x)

    return fun


@pytest.mark.parametrize("of", ["values", "parameters"])
@pytest.mark.parametrize("digits", [1, 2, 3, 5, 8, None])
def test_a_forgotten_gradient_is_not_taken_for_dead_relus(digits, of):
    for seed in range(10):
        x = np.random.default_rng(seed).normal(size=4)
        report = check_gradient(forgotten(digits, of), x, random_state=seed)
        assert not report.passed, str(report)
