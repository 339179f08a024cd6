"""Corruption of the inputs and dropout masks: what they do, and that they are looked up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.core.kernels import with_data
from autorec_np.core.planes import Planes
from autorec_np.engine.engines import AsItIs
from autorec_np.training.trainer import (
    INPUT,
    Draws,
    Trainer,
    corrupt,
    dropout_masks,
    splitmix64,
)

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def ones(n, dtype=np.float64):
    return sparse.csr_array(np.ones((10, n // 10), dtype))


def agree_as_coins_do(first, second):
    """Two independent vectors of fair coins agree in half of the places, to five deviations."""
    return abs(np.mean(first == second) - 0.5) < 5 * 0.5 / np.sqrt(len(first))


def within_five_deviations(kept, n, probability):
    deviation = np.sqrt(n * probability * (1 - probability))
    return abs(kept - n * (1 - probability)) < 5 * deviation


@given(probability=st.floats(0.01, 0.95), seed=st.integers(0, 999))
def test_a_value_becomes_zero_or_is_scaled_up(tiny_matrix, probability, seed):
    damaged = corrupt(tiny_matrix, probability, Draws(seed, 0))
    scaled = tiny_matrix.data / (1 - probability)
    is_scaled = np.isclose(damaged.data, scaled, rtol=1e-15)
    assert np.all(is_scaled | (damaged.data == 0))


def test_the_pattern_is_kept_and_so_are_stored_zeros(tiny_matrix):
    damaged = corrupt(tiny_matrix, 0.5, Draws(0, 0))
    assert damaged.nnz == tiny_matrix.nnz
    np.testing.assert_array_equal(damaged.indices, tiny_matrix.indices)
    np.testing.assert_array_equal(damaged.indptr, tiny_matrix.indptr)
    assert damaged.shape == tiny_matrix.shape
    assert np.count_nonzero(damaged.data) < np.count_nonzero(tiny_matrix.data)


def test_one_mask_hits_all_planes_and_it_is_that_of_plain_ratings(tiny_matrix):
    planes = Planes(tiny_matrix, np.random.default_rng(0).normal(size=(3, tiny_matrix.nnz)))
    draws = Draws(5, 2)
    plain = corrupt(with_data(tiny_matrix, np.ones(tiny_matrix.nnz)), 0.5, draws)
    damaged = corrupt(planes, 0.5, draws)
    assert damaged.pattern is planes.pattern
    np.testing.assert_array_equal(damaged.data, planes.data * plain.data)
    assert 0 < np.count_nonzero(plain.data) < tiny_matrix.nnz


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_stated_fraction_is_lost_and_the_expectation_kept(probability):
    n = 40_000
    damaged = corrupt(ones(n), probability, Draws(1, 0))
    assert within_five_deviations(np.count_nonzero(damaged.data), n, probability)
    deviation = np.sqrt(probability / (1 - probability) / n)
    assert abs(damaged.data.mean() - 1) < 5 * deviation


def test_nothing_is_lost_with_probability_zero(tiny_matrix):
    damaged = corrupt(tiny_matrix, 0.0, Draws(2, 0))
    np.testing.assert_array_equal(damaged.data, tiny_matrix.data)


@DTYPES
def test_corruption_keeps_the_dtype_and_the_argument(dtype):
    inputs = ones(100, dtype)
    inputs.data.flags.writeable = False
    damaged = corrupt(inputs, 0.3, Draws(3, 0))
    assert damaged.dtype == dtype
    assert not np.shares_memory(damaged.data, inputs.data)
    np.testing.assert_array_equal(inputs.data, 1)


def test_corruption_is_repeatable_and_new_with_every_step_and_seed():
    first, again = (corrupt(ones(1000), 0.5, Draws(4, 0)) for _ in range(2))
    np.testing.assert_array_equal(first.data, again.data)
    for other in (Draws(4, 1), Draws(5, 0)):
        assert not np.array_equal(first.data, corrupt(ones(1000), 0.5, other).data)


def test_corruption_falls_on_the_same_places_in_both_precisions():
    single = corrupt(ones(1000, np.float32), 0.3, Draws(5, 0))
    double = corrupt(ones(1000, np.float64), 0.3, Draws(5, 0))
    np.testing.assert_array_equal(single.data == 0, double.data == 0)


# Looked up, not drawn in turn


def test_the_numbers_are_those_of_splitmix64():
    # the published output of the authors' code for this seed
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    numbers = splitmix64(np.uint64(1234567), np.arange(5))
    assert numbers.dtype == np.uint64
    assert numbers.tolist() == expected


@given(seed=st.integers(0, 2**63 - 1), step=st.integers(0, 1000), data=st.data())
def test_a_number_is_the_same_in_whatever_company_and_order_it_is_asked_for(seed, step, data):
    whole = Draws(seed, step).at(np.arange(100))
    asked = np.array(data.draw(st.lists(st.integers(0, 99))), np.int32)
    np.testing.assert_array_equal(Draws(seed, step).at(asked), whole[asked])


def test_positions_beyond_32_bits_have_numbers_of_their_own():
    low, high = np.arange(1000), np.arange(1000) + 2**40
    assert agree_as_coins_do(*(Draws(0, 0).keeps(places, 0.5) for places in (low, high)))


@given(seed=st.integers(0, 999), data=st.data())
def test_rows_alone_are_corrupted_as_in_the_whole_matrix(tiny_matrix, seed, data):
    """The law that batches and shards rest on."""
    n_rows = tiny_matrix.shape[0]
    rows = data.draw(st.permutations(range(n_rows)))[: data.draw(st.integers(1, n_rows))]
    places = sparse.csr_array(
        (np.arange(tiny_matrix.nnz), tiny_matrix.indices, tiny_matrix.indptr), tiny_matrix.shape
    )
    whole = corrupt(tiny_matrix, 0.5, Draws(seed, 3))
    shard = corrupt(tiny_matrix[rows], 0.5, Draws(seed, 3), places[rows].data)
    np.testing.assert_array_equal(shard.data, whole[rows].data)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_corruption_does_not_depend_on_the_blocks_in_which_it_is_looked_up(size, monkeypatch):
    whole = corrupt(ones(1000), 0.5, Draws(1, 2))
    monkeypatch.setattr("autorec_np.training.trainer.ENTRIES_AT_ONCE", size)
    np.testing.assert_array_equal(corrupt(ones(1000), 0.5, Draws(1, 2)).data, whole.data)
    backwards = np.arange(1000)[::-1]
    reverse = corrupt(ones(1000), 0.5, Draws(1, 2), backwards)
    np.testing.assert_array_equal(reverse.data, whole.data[::-1])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((Draws(0, 0), INPUT), (Draws(0, 1), INPUT)),
        ((Draws(0, 0), INPUT), (Draws(1, 0), INPUT)),
        ((Draws(0, 1), INPUT), (Draws(1, 0), INPUT)),
        ((Draws(0, 0), INPUT), (Draws(0, 0), 1)),
        ((Draws(0, 0), 1), (Draws(0, 0), 2)),
        ((Draws(0, 0), 1), (Draws(0, 1), INPUT)),
    ],
)
def test_steps_seeds_and_layers_are_independent_at_any_distance(first, second):
    n = 20_000
    one, other = (draws.keeps(np.arange(n), 0.5, layer) for draws, layer in (first, second))
    for shift in range(20):
        assert agree_as_coins_do(one[: n - shift], other[shift:])


def test_neighbors_are_independent_too():
    kept = Draws(7, 7).keeps(np.arange(40_000), 0.5)
    for shift in (*range(1, 70), 128, 1000, 1024):
        assert agree_as_coins_do(kept[:-shift], kept[shift:])


# Dropout


@given(rows=st.lists(st.integers(0, 29), min_size=1, max_size=10), step=st.integers(0, 9))
def test_the_mask_of_a_row_is_the_same_in_whichever_batch_it_comes(rows, step):
    whole = dropout_masks(np.arange(30), (6, 4), 0.5, Draws(11, step), np.float64)
    batch = dropout_masks(np.array(rows), (6, 4), 0.5, Draws(11, step), np.float64)
    for all_rows, some in zip(whole, batch, strict=True):
        np.testing.assert_array_equal(some, all_rows[rows])


@DTYPES
def test_masks_have_the_shape_of_every_layer_and_two_values(dtype):
    masks = dropout_masks(np.arange(5), (40, 30, 20), 0.2, Draws(6, 0), dtype)
    assert [mask.shape for mask in masks] == [(5, 40), (5, 30), (5, 20)]
    for mask in masks:
        assert mask.dtype == dtype
        assert set(np.unique(mask)) == {0, dtype(1.25)}


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_masks_drop_the_stated_fraction(probability):
    n = 40_000
    (mask,) = dropout_masks(np.arange(200), (200,), probability, Draws(7, 0), np.float64)
    assert within_five_deviations(np.count_nonzero(mask), n, probability)


def test_masks_of_layers_are_independent():
    first, second = dropout_masks(np.arange(50), (60, 60), 0.5, Draws(8, 0), np.float64)
    assert agree_as_coins_do((first > 0).reshape(-1), (second > 0).reshape(-1))


def test_masks_are_ones_with_probability_zero():
    (mask,) = dropout_masks(np.arange(3), (4,), 0.0, Draws(9, 0), np.float32)
    np.testing.assert_array_equal(mask, np.ones((3, 4)))


def test_masks_are_repeatable_and_alike_in_both_precisions():
    masks = [
        dropout_masks(np.arange(6), (5, 4), 0.4, Draws(10, 0), dtype)
        for dtype in (np.float32, np.float64, np.float64)
    ]
    for single, double, again in zip(*masks, strict=True):
        np.testing.assert_array_equal(single == 0, double == 0)
        np.testing.assert_array_equal(double, again)


# In a training


def masks_of_a_training(matrix, batch_size, n_epochs):
    """Return, for each epoch, the inputs as trained on, (n_rows, n_columns), and a layer's mask."""
    trainer = Trainer(
        solver="adam",
        learning_rate="constant",
        learning_rate_init=0.01,
        warm_up=0.0,
        momentum=0.9,
        nesterovs_momentum=True,
        batch_size=batch_size,
        max_iter=n_epochs,
        tol=0.0,
        n_iter_no_change=10,
        dropout=0.5,
        corruption=0.5,
    )
    batches = trainer.batches(AsItIs(), (6,), matrix, matrix, np.random.default_rng(1))
    n_rows = matrix.shape[0]
    for _ in range(n_epochs):
        inputs, masks = np.full(matrix.shape, np.nan), np.full((n_rows, 6), np.nan)
        for batch in itertools.islice(batches, -(-n_rows // batch_size)):
            # a row of nine is known by its first target
            rows = np.searchsorted(matrix.data[::9], batch.targets.data[::9])
            inputs[rows], masks[rows] = batch.inputs.toarray(), batch.masks[0]
        yield inputs, masks


@pytest.mark.parametrize("batch_size", [1, 7, 20])
def test_no_mask_depends_on_the_batches(batch_size):
    values = np.arange(1.0, 20 * 9 + 1).reshape(20, 9)
    matrix = sparse.csr_array(values)
    epochs = list(masks_of_a_training(matrix, batch_size, 3))
    for (inputs, masks), (others, other_masks) in zip(
        epochs, masks_of_a_training(matrix, 5, 3), strict=True
    ):
        np.testing.assert_array_equal(inputs, others)
        np.testing.assert_array_equal(masks, other_masks)
    assert not np.array_equal(epochs[0][0] == 0, epochs[1][0] == 0)
    assert not np.array_equal(epochs[0][1], epochs[1][1])
