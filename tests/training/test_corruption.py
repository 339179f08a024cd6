"""Corruption of the inputs and dropout masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.training.corruption import corrupt, dropout_masks

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def ones(n, dtype=np.float64):
    return sparse.csr_array(np.ones((10, n // 10), dtype))


def within_five_deviations(kept, n, probability):
    deviation = np.sqrt(n * probability * (1 - probability))
    return abs(kept - n * (1 - probability)) < 5 * deviation


@given(probability=st.floats(0.01, 0.95), seed=st.integers(0, 999))
def test_a_value_becomes_zero_or_is_scaled_up(tiny_matrix, probability, seed):
    damaged = corrupt(tiny_matrix, probability, np.random.default_rng(seed))
    scaled = tiny_matrix.data / (1 - probability)
    is_scaled = np.isclose(damaged.data, scaled, rtol=1e-15)
    assert np.all(is_scaled | (damaged.data == 0))


def test_the_pattern_is_kept_and_so_are_stored_zeros(tiny_matrix):
    damaged = corrupt(tiny_matrix, 0.5, np.random.default_rng(0))
    assert damaged.nnz == tiny_matrix.nnz
    np.testing.assert_array_equal(damaged.indices, tiny_matrix.indices)
    np.testing.assert_array_equal(damaged.indptr, tiny_matrix.indptr)
    assert damaged.shape == tiny_matrix.shape
    assert np.count_nonzero(damaged.data) < np.count_nonzero(tiny_matrix.data)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_stated_fraction_is_lost_and_the_expectation_kept(probability):
    n = 40_000
    damaged = corrupt(ones(n), probability, np.random.default_rng(1))
    assert within_five_deviations(np.count_nonzero(damaged.data), n, probability)
    deviation = np.sqrt(probability / (1 - probability) / n)
    assert abs(damaged.data.mean() - 1) < 5 * deviation


def test_nothing_is_lost_with_probability_zero(tiny_matrix):
    damaged = corrupt(tiny_matrix, 0.0, np.random.default_rng(2))
    np.testing.assert_array_equal(damaged.data, tiny_matrix.data)


@DTYPES
def test_corruption_keeps_the_dtype_and_the_argument(dtype):
    inputs = ones(100, dtype)
    inputs.data.flags.writeable = False
    damaged = corrupt(inputs, 0.3, np.random.default_rng(3))
    assert damaged.dtype == dtype
    assert not np.shares_memory(damaged.data, inputs.data)
    np.testing.assert_array_equal(inputs.data, 1)


def test_corruption_is_repeatable_and_new_with_every_call():
    rng = np.random.default_rng(4)
    first, second = corrupt(ones(1000), 0.5, rng), corrupt(ones(1000), 0.5, rng)
    again = corrupt(ones(1000), 0.5, np.random.default_rng(4))
    np.testing.assert_array_equal(first.data, again.data)
    assert not np.array_equal(first.data, second.data)


def test_corruption_falls_on_the_same_places_in_both_precisions():
    single = corrupt(ones(1000, np.float32), 0.3, np.random.default_rng(5))
    double = corrupt(ones(1000, np.float64), 0.3, np.random.default_rng(5))
    np.testing.assert_array_equal(single.data == 0, double.data == 0)


# Dropout


@DTYPES
def test_masks_have_the_shape_of_every_layer_and_two_values(dtype):
    masks = dropout_masks(5, (40, 30, 20), 0.2, np.random.default_rng(6), dtype)
    assert [mask.shape for mask in masks] == [(5, 40), (5, 30), (5, 20)]
    for mask in masks:
        assert mask.dtype == dtype
        assert set(np.unique(mask)) == {0, dtype(1.25)}


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_masks_drop_the_stated_fraction(probability):
    n = 40_000
    (mask,) = dropout_masks(200, (200,), probability, np.random.default_rng(7), np.float64)
    assert within_five_deviations(np.count_nonzero(mask), n, probability)


def test_masks_of_layers_are_independent():
    first, second = dropout_masks(50, (60, 60), 0.5, np.random.default_rng(8), np.float64)
    agreement = np.mean((first > 0) == (second > 0))
    assert abs(agreement - 0.5) < 5 * 0.5 / np.sqrt(3000)


def test_masks_are_ones_with_probability_zero():
    (mask,) = dropout_masks(3, (4,), 0.0, np.random.default_rng(9), np.float32)
    np.testing.assert_array_equal(mask, np.ones((3, 4)))


def test_masks_are_repeatable_and_alike_in_both_precisions():
    masks = [
        dropout_masks(6, (5, 4), 0.4, np.random.default_rng(10), dtype)
        for dtype in (np.float32, np.float64, np.float64)
    ]
    for single, double, again in zip(*masks, strict=True):
        np.testing.assert_array_equal(single == 0, double == 0)
        np.testing.assert_array_equal(double, again)
