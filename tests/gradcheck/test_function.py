"""The function under test, what is said of bad input, and blocks."""

import warnings
from collections import Counter
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from gradcheck_cases import BLOCKS, POINT, rosenbrock, verdicts, with_fault

from autorec_np.gradcheck import check_gradient, check_hessian_vector, complex_step, taylor_test


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


# ---------------------------------------------------------------- state, state everywhere


class Layer:
    """A squared loss whose backward pass may run before its forward pass."""

    def __init__(self, backward_first):
        rng = np.random.default_rng(0)
        self.X, self.y, self.h = rng.normal(size=(20, 4)), rng.normal(size=20), None
        self.backward_first = backward_first

    def forward(self, w):
        self.h = np.tanh(self.X @ w)
        return float(np.sum((self.h - self.y) ** 2))

    def backward(self):
        return self.X.T @ (2 * (self.h - self.y) * (1 - self.h**2))

    def __call__(self, w):
        if self.backward_first and self.h is not None:
            gradient = self.backward()
            return self.forward(w), gradient
        return self.forward(w), self.backward()


@pytest.mark.parametrize("test", [check_gradient, taylor_test])
def test_the_gradient_of_the_call_before_does_not_pass(test):
    assert test(Layer(backward_first=False), POINT).passed
    report = test(Layer(backward_first=True), POINT)
    assert not report.passed
    assert "keeps state from the call before" in report.note
    assert "from theta alone" in report.note


def test_a_solver_that_starts_where_it_ended_is_no_random_function():
    start = Counter()

    def fun(x):  # an inner variable that comes nearer to its limit with every call
        start["calls"] += 1
        return float(x @ x) + 1e-7 / start["calls"], 2 * x

    assert not check_gradient(fun, POINT).passed
    assert check_gradient(lambda x: (float(x @ x), 2 * x), POINT).passed


# ---------------------------------------------------------------- entries that no block names


def test_entries_that_no_block_names_are_checked_and_said():
    def forgotten(x):
        return float(x @ x), np.append(2 * x[:3], 99.0)

    report = check_gradient(forgotten, POINT, {"a": [0, 1]})
    assert verdicts(report) == {"a": "pass", "others": "fail"}
    assert report.blocks["others"].worst_coordinate == "theta[3]"
    assert report.note == "no block names 2 of the entries of theta: they are 'others'"
    assert check_gradient(rosenbrock, POINT, {"a": [0, 1]}).passed
    assert "others" not in check_gradient(rosenbrock, POINT, BLOCKS).blocks
    taken = check_gradient(forgotten, POINT, {"others": [0, 1]})
    assert verdicts(taken) == {"others": "pass", "others (no block)": "fail"}


def test_blocks_may_have_two_dimensions():
    theta = np.arange(1.0, 13.0).reshape(4, 3)
    wrong = np.ones((4, 3))
    wrong[2, 1] = 1.01

    def fun(x):
        return float(np.sum(x**3)), 3 * x**2 * wrong

    grid = np.arange(12).reshape(4, 3)
    for blocks, name in (
        ({"first": np.s_[:, 0], "rest": np.s_[:, 1:]}, "rest[2, 0]"),
        ({"top": grid[:2], "bottom": grid[2:]}, "bottom[0, 1]"),
        ({"even": grid % 2 == 0, "odd": grid % 2 == 1}, "odd[3]"),
        ({"top": slice(0, 6), "bottom": slice(6, 12)}, "bottom[1]"),
    ):
        report = check_gradient(fun, theta, blocks)
        failed = [block for block in report.blocks.values() if block.verdict == "fail"]
        assert [block.worst_coordinate for block in failed] == [name]


# ---------------------------------------------------------------- thetas of other kinds

W, B = np.arange(1.0, 7.0).reshape(2, 3), np.array([0.5, -1.0, 2.0])


def of_parts(W, b, factor=1.0):
    value = np.sum(W**3) + np.sum(np.exp(b)) + b @ W.sum(axis=0)
    return value, 3 * W**2 + b, factor * (np.exp(b) + W.sum(axis=0))


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_dicts_lists_and_tuples_of_arrays(factor):
    def of_dict(p):
        value, d_W, d_b = of_parts(p["W"], p["b"], factor)
        return value, {"b": d_b, "W": d_W}

    def of_list(p):
        value, *gradients = of_parts(*p, factor)
        return value, gradients

    verdict = "pass" if factor == 1 else "fail"
    report = check_gradient(of_dict, {"W": W, "b": B})
    assert verdicts(report) == {"W": "pass", "b": verdict}
    assert report.blocks["W"].worst_coordinate.startswith("W[")
    for kind in (list, tuple):
        report = check_gradient(of_list, kind([W, B]), value=lambda p: of_parts(*p)[0])
        assert verdicts(report) == {"theta[0]": "pass", "theta[1]": verdict}
    assert taylor_test(of_dict, {"W": W, "b": B}).passed == (factor == 1)
    whole = check_gradient(of_dict, {"W": W, "b": B}, {"all": slice(0, 9)})
    assert verdicts(whole) == {"all": verdict}


def test_named_tuples_and_single_numbers_among_the_parts():
    class Model(NamedTuple):
        W: np.ndarray
        scale: np.ndarray

    def fun(p, factor=1.0):
        assert isinstance(p, Model)
        value = float(p.scale * np.sum(p.W**2))
        return value, (2 * p.scale * p.W, factor * np.sum(p.W**2))

    theta = Model(W, np.asarray(0.7))
    assert check_gradient(fun, theta).passed
    report = check_gradient(lambda p: fun(p, 1.01), theta)
    assert report.blocks["theta[1]"].worst_coordinate == "theta[1][0]"
    assert verdicts(report) == {"theta[0]": "pass", "theta[1]": "fail"}
    gradient = complex_step(lambda p: (p[1][0] * np.sum(p[0] ** 2), None), [W, np.array([0.7])])
    np.testing.assert_allclose(gradient[1], [np.sum(W**2)], rtol=1e-14)


def test_the_other_tests_take_several_arrays_too():
    def hvp(p, v):
        return [6 * p[0] * v[0] + v[1], np.exp(p[1]) * v[1] + v[0].sum(axis=0)]

    def fun(p):
        value, *gradients = of_parts(*p)
        return value, gradients

    assert check_hessian_vector(fun, hvp, [W, B]).passed
    assert taylor_test(fun, [W, B], hvp=hvp, direction=[W, 0 * B]).blocks["theta[0]"].slopes[2] > 2
    gradient = complex_step(lambda p: of_parts(*p)[0], [W, B])
    for found, right in zip(gradient, of_parts(W, B)[1:], strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-14)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda p: {"W": p["W"]}, "the gradient must have the parts of theta"),
        (lambda p: {"W": p["W"], "b": p["W"]}, r"'b': \(3,\)"),
        (lambda p: p["W"], "got ndarray"),
    ],
)
def test_a_gradient_of_other_parts_is_an_error(answer, message):
    with pytest.raises(ValueError, match=message):
        check_gradient(lambda p: (0.0, answer(p)), {"W": W, "b": B})
    with pytest.raises(TypeError, match="dtype int64 for n"):
        check_gradient(lambda p: (0.0, p), {"W": W, "n": np.array([1])})


def test_the_advice_for_a_function_and_its_gradient_works():
    func, grad, x0 = (lambda x: float(x @ x)), (lambda x: 2 * x), np.ones(4)
    with pytest.raises(
        TypeError, match=r"check_gradient\(lambda x: \(func\(x\), grad\(x\)\), x0\)"
    ):
        check_gradient(func, grad, x0)
    assert check_gradient(lambda x: (func(x), grad(x)), x0).passed


def test_the_advice_for_a_complex_theta_works():
    z = np.array([1.0 + 2j, -0.5 + 0.3j])

    def fun(z):  # |z|^4, whose gradient by the parts is 4 |z|^2 z
        return float(np.sum(np.abs(z) ** 4)), 4 * np.abs(z) ** 2 * z

    with pytest.raises(TypeError, match=r"np.append\(z.real, z.imag\)"):
        check_gradient(fun, z)
    n = z.size

    def real_fun(t):
        value, g = fun(t[:n] + 1j * t[n:])
        return value, np.append(g.real, g.imag)

    assert check_gradient(real_fun, np.append(z.real, z.imag)).passed


# ---------------------------------------------------------------- outside the domain


class DomainError(Exception):
    pass


def raising(error):
    def action():
        raise error("outside the domain")

    return action


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        *((raising(e), f"raised {e.__name__}: outside the domain") for e in (
            ValueError, DomainError, AssertionError, TypeError, np.linalg.LinAlgError
        )),
        (raising(KeyError), "raised KeyError: 'outside the domain'"),
        (lambda: None, "returned NoneType"),
        (lambda: (None, None), "returned NoneType"),
        (lambda: (np.nan, None), "not finite"),
        (lambda: (1 + 2j, None), "returned complex"),
    ],
)  # fmt: skip
def test_whatever_happens_outside_of_the_domain_is_a_skipped_point(action, reason):
    def fun(x):
        if (x < 1 - 1e-7).any():
            return action()
        return float(np.sum(np.log(x))), 1 / x

    inside = check_gradient(fun, np.array([1.5, 2.0]))
    assert inside.passed
    border = check_gradient(fun, np.array([1.0, 2.0]))
    assert "fail" not in verdicts(border).values()
    assert reason in border.note
    assert not check_gradient(with_fault(fun, 1, 1.001), np.array([1.5, 2.0])).passed
    with pytest.raises(ValueError, match=r"call fun\(theta\) by itself|must return|value nan"):
        check_gradient(fun, np.array([0.5, 2.0]))


# ---------------------------------------------------------------- float32 in a part


def mixed_precision(seed, factor=1.0):
    """A loss that casts its parameters to the type of its data, beside a penalty that does not."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 5)).astype(np.float32)
    y, penalty = rng.integers(0, 2, 60).astype(np.float32), 10.0 ** rng.integers(-4, 1)

    def fun(w):
        z = X @ w.astype(X.dtype)
        value = float(np.mean(np.logaddexp(0, z) - y * z)) + penalty / 2 * float(w @ w)
        gradient = X.T @ (1 / (1 + np.exp(-z)) - y) / len(y)
        return value, (gradient.astype(w.dtype) + penalty * w) * np.where(w == w[1], factor, 1)

    return fun, rng.normal(size=5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_part_in_float32_is_recognized_and_judged_so(dtype):
    recognized = 0
    for seed in range(24):
        fun, w = mixed_precision(seed)
        report = check_gradient(fun, w.astype(dtype), random_state=seed)
        assert report.blocks["theta"].verdict != "fail"
        assert report.blocks["theta"].kinks == 0
        recognized += report.note.startswith("a part of fun rounds a float64 theta")
        wrong, w = mixed_precision(seed, 1.2)
        assert not check_gradient(wrong, w.astype(dtype), random_state=seed).passed
    # Elsewhere the jump of the loss rounds to nothing, for which seeds depends on the processor
    assert recognized >= 8


def test_a_function_in_float64_has_no_part_in_float32():
    for noise in (0.0, 1e3, 1e8):  # added and subtracted: another rounding than that of theta

        def fun(x, noise=noise):
            value, gradient = rosenbrock(x)
            return (value + noise) - noise, gradient

        assert "float32" not in check_gradient(fun, POINT).note
