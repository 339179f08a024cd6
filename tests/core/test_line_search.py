"""The strong-Wolfe line search on functions made to be hard, and where no step exists."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.core.lbfgs import CURVATURE, SUFFICIENT_DECREASE, Trial, strong_wolfe


class Line:
    """A function of one variable that remembers its trials."""

    def __init__(self, value, slope):
        self.value, self.slope, self.trials = value, slope, []

    def __call__(self, step):
        trial = Trial(step, self.value(step), self.slope(step), f"payload of {step}")
        self.trials.append(trial)
        return trial

    @property
    def start(self):
        return Trial(0.0, self.value(0.0), self.slope(0.0))


def assert_strong_wolfe(found, start):
    assert found is not None
    assert found.step > 0
    assert found.value <= start.value + SUFFICIENT_DECREASE * found.step * start.slope
    assert abs(found.slope) <= CURVATURE * abs(start.slope)


def rational(beta=2.0):
    """More and Thuente (1994), function 5.1."""
    return (lambda a: -a / (a**2 + beta), lambda a: (a**2 - beta) / (a**2 + beta) ** 2)


def quintic(beta=0.004):
    """More and Thuente (1994), function 5.2: its slope at 0 is -5e-7."""
    return (
        lambda a: (a + beta) ** 5 - 2 * (a + beta) ** 4,
        lambda a: 5 * (a + beta) ** 4 - 8 * (a + beta) ** 3,
    )


def yanai(beta1, beta2):
    """More and Thuente (1994), functions 5.4 to 5.6: nearly kinks."""
    gamma1, gamma2 = (math.sqrt(1 + beta**2) - beta for beta in (beta1, beta2))

    def value(a):
        return gamma1 * math.hypot(1 - a, beta2) + gamma2 * math.hypot(a, beta1)

    def slope(a):
        return gamma1 * (a - 1) / math.hypot(1 - a, beta2) + gamma2 * a / math.hypot(a, beta1)

    return value, slope


HARD = {
    "parabola": (lambda a: (a - 1.0) ** 2, lambda a: 2.0 * (a - 1.0)),
    "rational": rational(),
    "quintic": quintic(),
    "yanai 4": yanai(0.001, 0.001),
    "yanai 5": yanai(0.01, 0.001),
    "yanai 6": yanai(0.001, 0.01),
    "waves": (lambda a: 0.1 * a * a - math.sin(3 * a), lambda a: 0.2 * a - 3 * math.cos(3 * a)),
    "exponential": (lambda a: math.exp(a) - 5 * a, lambda a: math.exp(a) - 5),
}


@pytest.mark.parametrize("first_step", [1e-3, 1e-1, 1.0, 1e1, 1e2])
@pytest.mark.parametrize("name", HARD)
def test_both_conditions_hold_from_any_first_step(name, first_step):
    line = Line(*HARD[name])
    found = strong_wolfe(line, line.start, first_step)
    assert_strong_wolfe(found, line.start)
    assert found in line.trials
    assert found.point == f"payload of {found.step}"
    assert len(line.trials) <= 20


@given(
    minimum=st.floats(1e-2, 1e2),
    curvature=st.floats(1e-3, 1e3),
    quartic=st.floats(0, 10),
    first_step=st.floats(1e-3, 1e3),
)
def test_both_conditions_hold_on_convex_functions(minimum, curvature, quartic, first_step):
    line = Line(
        lambda a: curvature * (a - minimum) ** 2 + quartic * (a - minimum) ** 4,
        lambda a: 2 * curvature * (a - minimum) + 4 * quartic * (a - minimum) ** 3,
    )
    assert_strong_wolfe(strong_wolfe(line, line.start, first_step), line.start)


def test_a_first_step_that_is_good_is_taken_with_one_evaluation():
    line = Line(*HARD["parabola"])
    assert strong_wolfe(line, line.start, 0.9).step == 0.9
    assert len(line.trials) == 1


def test_the_minimum_of_a_cubic_is_found_by_the_interpolation():
    # a^3 - a^2 - a has its minimum at 1; from the bracket (0, 3) cubic interpolation is exact
    line = Line(lambda a: a**3 - a**2 - a, lambda a: 3 * a**2 - 2 * a - 1)
    found = strong_wolfe(line, line.start, 3.0)
    assert found.step == pytest.approx(1.0, rel=1e-12)
    assert len(line.trials) == 2


def test_a_step_that_is_too_short_grows():
    line = Line(*HARD["parabola"])
    found = strong_wolfe(line, line.start, 1e-4)
    assert [trial.step for trial in line.trials] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert found.step == line.trials[-1].step


def test_infinite_and_undefined_values_count_as_too_high():
    def value(a):
        return -a - 0.1 * math.log(1 - a) if a < 1 else (math.inf if a < 5 else math.nan)

    def slope(a):
        return -1 + 0.1 / (1 - a) if a < 1 else math.nan

    for first_step in (0.5, 2.0, 10.0, 1000.0):
        line = Line(value, slope)
        assert_strong_wolfe(strong_wolfe(line, line.start, first_step), line.start)


def test_no_descent_gives_none():
    # the stated slope is wrong: the function rises
    line = Line(lambda a: a, lambda a: 1.0)
    assert strong_wolfe(line, Trial(0.0, 0.0, -1.0), 1.0) is None
    assert len(line.trials) == 20


def test_an_unbounded_descent_gives_the_lowest_trial():
    line = Line(lambda a: -a, lambda a: -1.0)
    found = strong_wolfe(line, line.start, 1.0, max_evaluations=5)
    assert len(line.trials) == 5
    assert found.value == min(trial.value for trial in line.trials) == -1e4


@pytest.mark.parametrize("max_evaluations", [1, 2, 3])
def test_the_limit_of_evaluations_holds(max_evaluations):
    line = Line(*quintic())
    strong_wolfe(line, line.start, 1e3, max_evaluations=max_evaluations)
    assert len(line.trials) == max_evaluations


def test_a_rise_within_the_noise_is_a_sufficient_decrease():
    # flat to rounding error: value is too high by 1e-9, slope is good
    line = Line(lambda a: 1.0 + (1e-9 if a else 0.0), lambda a: 0.0 if a else -1e-12)
    assert strong_wolfe(line, line.start, 1.0) is None
    assert strong_wolfe(line, line.start, 1.0, noise=1e-8).step == 1.0
