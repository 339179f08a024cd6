"""Canonical units: mean, standard deviation, and the grid that ratings lie on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.training.units import (
    MEAN,
    SPREAD,
    AffineMap,
    Mapped,
    canonical,
    map_onto_outputs,
    step_of,
)

FINITE = st.floats(-1e6, 1e6)


def float32(values):
    return np.asarray(values, np.float64).astype(np.float32)


# Affine maps


@given(factor=st.floats(0.01, 100.0), offset=FINITE, values=st.lists(FINITE, min_size=1))
def test_a_map_and_its_inverse(factor, offset, values):
    affine, values = AffineMap(factor, offset), np.array(values)
    before = values.copy()
    mapped = affine(values)
    np.testing.assert_allclose(mapped, factor * values + offset, rtol=1e-15)
    np.testing.assert_allclose(affine.inverse(mapped), values, rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal(values, before)


def test_maps_of_float32_are_computed_in_float64():
    values = float32([1e5 + 0.5])
    assert AffineMap(1.0, -1e5)(values).tolist() == [0.5]
    assert AffineMap(1.0, 1e5).inverse(values).dtype == np.float64


def test_one_map_then_another():
    first, second = AffineMap(2.0, 3.0), AffineMap(5.0, 7.0)
    values = np.array([1.0, -4.0])
    np.testing.assert_array_equal(first.then(second)(values), second(first(values)))


# The step of a grid


@example(counts=[26, 0, 23], step=0.01, shift=-0.02)
@example(counts=[28, 8, 10, 25, 32], step=86.2, shift=-208.5)
@given(
    counts=st.lists(st.integers(0, 40), min_size=2, max_size=12, unique=True),
    step=st.floats(0.01, 1000.0),
    shift=st.floats(-100.0, 100.0),
)
def test_the_step_is_the_greatest_common_divisor(counts, step, shift):
    levels = np.unique(float32(step * (np.array(counts) + shift))).astype(np.float64)
    divisor = np.gcd.reduce(np.diff(np.sort(counts)))
    assert step_of(levels) == pytest.approx(step * divisor, rel=1e-3)


@pytest.mark.parametrize(
    ("levels", "step"),
    [
        ([1, 2, 3, 4, 5], 1.0),
        (np.arange(1, 11) / 2, 0.5),
        ([0, 4, 10], 2.0),  # none of the distances is the step
        (np.arange(-1000, 1001) / 100, 0.01),
        (np.arange(1, 101), 1.0),
        ([3.0], 1.0),  # one level tells no step
        ([0, 1, np.sqrt(2), np.pi, 9], 1.0),  # no grid
        (np.arange(20_000), 1.0),  # too many levels to be one
        (np.random.default_rng(0).normal(size=3000), 1.0),
    ],
    ids=range(9),
)
def test_the_step_of_usual_ratings(levels, step):
    levels = np.unique(float32(levels)).astype(np.float64)
    assert step_of(levels) == pytest.approx(step, rel=1e-5)


# Canonical units


@given(
    counts=st.lists(st.integers(0, 20), min_size=3, max_size=60),
    a=st.floats(0.01, 1e4),
    shift=st.floats(-100.0, 100.0),
    low=st.integers(0, 3),
)
def test_every_unit_gives_the_same_numbers_to_the_bit(counts, a, shift, low):
    """|b| up to a hundred times the width of the scale."""
    counts = np.array(counts)
    if np.ptp(counts) == 0:
        counts = np.append(counts, counts[0] + 1)
    step = np.gcd.reduce(np.diff(np.unique(counts)))  # an end between two steps is rounded
    scale = (counts.min() - low * step, counts.max())
    b = shift * a * (scale[1] - scale[0])
    expected = canonical(float32(counts), scale)
    got = canonical(float32(a * counts + b), (a * scale[0] + b, a * scale[1] + b))
    np.testing.assert_array_equal(got.values, expected.values)
    assert got.scale == expected.scale


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=50))
def test_canonical_ratings_have_the_mean_and_spread_of_ml_1m(values):
    values = float32(values)
    if np.ptp(values) < 1e-3:
        return
    scale = float(values.min()), float(values.max())
    mapped = canonical(values, scale)
    assert mapped.values.mean() == pytest.approx(MEAN, abs=1e-9)
    assert mapped.values.std() == pytest.approx(SPREAD, rel=1e-9)
    np.testing.assert_allclose(mapped.values, mapped.units(values), rtol=0, atol=1e-3)
    np.testing.assert_allclose(mapped.scale, mapped.units(np.array(scale)), rtol=0, atol=1e-3)


def test_ratings_of_ml_1m_stay_nearly_as_they_are():
    values = np.repeat([1, 2, 3, 4, 5], [56_174, 107_557, 261_197, 348_971, 226_310])  # its counts
    mapped = canonical(float32(values), (1.0, 5.0))
    assert mapped.units == pytest.approx((1.0, 0.0), abs=2e-3)


@pytest.mark.parametrize(
    ("scale", "factor"), [((1.0, 5.0), 1.0), ((0.0, 100.0), 0.04), ((3.0, 3.0), 1.0)]
)
def test_equal_ratings_take_the_width_of_their_scale(scale, factor):
    mapped = canonical(float32([3, 3, 3]), scale)
    assert mapped.units.factor == pytest.approx(factor)
    assert mapped.values.tolist() == [MEAN] * 3
    assert mapped.scale == pytest.approx(mapped.units(np.array(scale)).tolist())


def test_a_stated_end_off_the_grid_is_kept():
    mapped = canonical(float32([1, 2, 3]), (0.7, 3.4))
    np.testing.assert_allclose(mapped.scale, mapped.units(np.array([0.7, 3.4])), rtol=1e-12)


# What the network is to say


def mapped_by(scale, units=(1.0, 0.0)):
    return Mapped.by(AffineMap(*units), np.array([1.0, 2.0]), scale)


@pytest.mark.parametrize("name", [name for name, f in ACTIVATIONS.items() if f.bounded])
def test_a_bounded_output_has_the_ends_of_the_scale_as_its_own(name):
    mapped = mapped_by((1.0, 5.0), (0.5, 2.0))
    outputs = map_onto_outputs(name, mapped, centered=False)
    f = ACTIVATIONS[name]
    np.testing.assert_allclose(outputs(np.array(mapped.scale)), [f.lower, f.upper], atol=1e-12)
    point = mapped_by((3.0, 3.0), (0.5, 2.0))
    with pytest.raises(ValueError, match=r"every rating is 3; pass rating_scale=\(low, high\)"):
        map_onto_outputs(name, point, centered=False)


@pytest.mark.parametrize("name", [name for name, f in ACTIVATIONS.items() if not f.bounded])
def test_another_output_says_the_ratings_and_reaches_the_low_end(name):
    assert map_onto_outputs(name, mapped_by((1.0, 5.0)), centered=False) == (1.0, 0.0)
    assert map_onto_outputs(name, mapped_by((-10.0, 10.0)), centered=True) == (1.0, 0.0)
    lifted = map_onto_outputs(name, mapped_by((-10.0, 10.0)), centered=False)
    lower = ACTIVATIONS[name].lower
    assert lifted == (1.0, 10.0 + lower if np.isfinite(lower) else 0.0)
