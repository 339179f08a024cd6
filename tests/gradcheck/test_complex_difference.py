"""The complex step."""

import numpy as np
import pytest
from gradcheck_cases import POINT, verdicts, with_fault

from autorec_np.gradcheck import ComplexStepError, check_gradient, complex_step


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


@pytest.mark.parametrize(
    "answer",
    [lambda v: v, lambda v: (v, None), lambda v: [v, "no gradient"], lambda v: np.asarray(v)],
    ids=["value", "tuple", "list", "0-d array"],
)
def test_the_value_alone_is_enough(answer):
    def fun(x):
        return answer(np.sum(np.exp(x)))

    np.testing.assert_allclose(complex_step(fun, POINT), np.exp(POINT), rtol=2e-15)
    slope = complex_step(fun, POINT, np.ones(4))
    assert slope == pytest.approx(np.exp(POINT).sum(), rel=4e-15)
