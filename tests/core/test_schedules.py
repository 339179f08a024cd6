"""Learning-rate schedules: ends, warm-up, continuity, and the sentences that describe them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.core.optimizers import SCHEDULES, learning_rate_at

EVERY = pytest.mark.parametrize("schedule", sorted(SCHEDULES))


def rates(schedule, n_steps=1000, initial=2.0):
    return np.array([learning_rate_at(schedule, initial, k, n_steps) for k in range(n_steps)])


def test_the_four_schedules():
    assert set(SCHEDULES) == {"constant", "step", "exponential", "cosine"}


@EVERY
@given(n_steps=st.integers(1, 300), initial=st.floats(1e-6, 10))
def test_every_rate_is_positive_and_at_most_the_full_rate(schedule, n_steps, initial):
    every = rates(schedule, n_steps, initial)
    assert np.all(every > 0)
    assert np.all(every <= initial)


@EVERY
@given(step=st.integers(0, 99), initial=st.floats(1e-3, 1e3))
def test_the_rate_is_proportional_to_the_full_rate(schedule, step, initial):
    unit = learning_rate_at(schedule, 1.0, step, 100)
    assert learning_rate_at(schedule, initial, step, 100) == pytest.approx(initial * unit)


@EVERY
def test_a_longer_run_has_the_same_shape(schedule):
    # step 3 k + 1 of a run three times as long lies where step k lies
    np.testing.assert_allclose(rates(schedule, 300)[1::3], rates(schedule, 100), rtol=1e-12)


def test_constant_is_the_full_rate():
    np.testing.assert_array_equal(rates("constant"), 2.0)


def test_step_is_times_a_tenth_after_half_and_after_three_quarters():
    every = rates("step", 400)
    np.testing.assert_allclose(every[:200], 2.0)
    np.testing.assert_allclose(every[200:300], 0.2)
    np.testing.assert_allclose(every[300:], 0.02)


def test_exponential_falls_evenly_in_the_logarithm_to_one_percent():
    every = rates("exponential")
    np.testing.assert_allclose(np.diff(np.log(every)), np.log(0.01) / 1000, rtol=1e-9)
    assert SCHEDULES["exponential"](0.0, 0.3) == 1.0
    assert SCHEDULES["exponential"](1.0, 0.3) == pytest.approx(0.01, rel=1e-12)
    assert every[0] == pytest.approx(2.0, rel=3e-3)
    assert every[-1] == pytest.approx(0.02, rel=3e-3)


def test_cosine_climbs_linearly_then_falls_along_half_a_cosine():
    every = rates("cosine")
    np.testing.assert_allclose(every[:300], 2.0 * (np.arange(300) + 0.5) / 300, rtol=1e-12)
    progress = (np.arange(700) + 0.5) / 700
    np.testing.assert_allclose(every[300:], 1.0 + np.cos(np.pi * progress), rtol=1e-9)
    assert np.all(np.diff(every[:300]) > 0)
    assert np.all(np.diff(every[300:]) < 0)


@pytest.mark.parametrize("warm_up", [0.1, 0.3, 0.75])
def test_cosine_ends(warm_up):
    cosine = partial(SCHEDULES["cosine"], warm_up=warm_up)
    assert cosine(0.0) == 0.0
    assert cosine(warm_up / 4) == pytest.approx(0.25, rel=1e-12)
    assert cosine(warm_up) == 1.0
    assert cosine((1 + warm_up) / 2) == pytest.approx(0.5, rel=1e-12)  # half of the fall
    assert cosine(1.0) == pytest.approx(0.0, abs=1e-15)


def test_cosine_without_a_warm_up_only_falls():
    every = [learning_rate_at("cosine", 1.0, step, 100, warm_up=0.0) for step in range(100)]
    assert every[0] == pytest.approx(1.0, abs=1e-3)
    assert np.all(np.diff(every) < 0)


@pytest.mark.parametrize("schedule", ["constant", "exponential", "cosine"])
def test_all_but_step_are_continuous(schedule):
    progress = np.linspace(0, 1, 10_001)
    factors = np.array([SCHEDULES[schedule](p, 0.3) for p in progress])
    # the steepest are the warm-up and the start of the exponential fall
    steepest = max(1 / 0.3, np.log(100))
    assert np.abs(np.diff(factors)).max() <= 1e-4 * steepest * (1 + 1e-9)


@EVERY
def test_a_run_of_one_step_has_a_positive_rate(schedule):
    assert 0 < learning_rate_at(schedule, 1.0, 0, 1) <= 1
