"""The plan: each entry in one place, a corner where it pays, none where it does not."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matrices import random_csr, small_csr
from scipy import sparse
from small_tiles import SMALL, long_tailed, make_small, small_tiling, tiled_from

from autorec_np.core.kernels import spmm
from autorec_np.core.network import Network
from autorec_np.engine.engines import ByActivity
from autorec_np.engine.tiled import Plan, Tiled, corner_widths, split


@given(matrix=small_csr())
def test_every_entry_is_in_the_corner_or_in_the_rest(matrix):
    plan = small_tiling(matrix).plan
    np.testing.assert_array_equal(np.sort(plan.order), np.arange(matrix.nnz))
    np.testing.assert_array_equal(plan.indices, matrix.indices[plan.order])
    n_cells = sum(
        width * (tile.stop - tile.start)
        for tile, width in zip(plan.tiles, plan.widths, strict=True)
    )
    assert len(plan.widths) <= -(-matrix.shape[0] // SMALL["TILE_ROWS"])
    assert plan.n_dense == len(plan.cells) <= n_cells
    assert sum(cells.size for cells in Tiled.of(matrix, plan).corner()) == n_cells
    for name in ("rest_of_bands", "rest_of_panels"):
        held = [part.data for part in getattr(plan, name)]
        positions = np.arange(matrix.nnz - plan.n_dense)
        np.testing.assert_array_equal(np.sort(np.concatenate([*held, []])), positions)
    assert plan.widths == sorted(plan.widths, reverse=True)


def test_a_matrix_that_is_thin_everywhere_has_no_corner():
    matrix = random_csr(500, 900, 2000, seed=3, dtype=np.float32)
    plan = Plan(split(matrix))
    assert plan.widths == plan.tiles == plan.strips == []
    assert plan.n_dense == 0
    assert not any(cells.size for cells in Tiled.of(matrix, plan).corner())


EQUAL = sparse.csr_array(np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))  # widths 1 and 2 save 1


def widths_of_the_whole_table(matrix, tile_rows, step, dense_enough):
    """What `corner_widths` is, by a table of all tiles and steps."""
    n_rows, n_columns = matrix.shape
    rated = np.zeros(matrix.shape, int)
    rated[np.repeat(np.arange(n_rows), np.diff(matrix.indptr)), matrix.indices] = 1
    widths = []
    for start in range(0, n_rows, tile_rows):
        tile = rated[start : start + tile_rows]
        stops = [0, *range(step, n_columns + step, step)]
        saved = [tile[:, :stop].sum() - dense_enough * len(tile) * stop for stop in stops]
        widths += [min(stops[int(np.argmax(saved))], n_columns)] * len(tile)
    return np.maximum.accumulate(widths[::-1])[::-1]


@example(matrix=EQUAL, tile_rows=2, step=1, dense_enough=0.5)
@given(
    matrix=small_csr(),
    tile_rows=st.integers(1, 4),
    step=st.integers(1, 3),
    dense_enough=st.sampled_from([0.125, 0.375, 0.5]),  # exact, as ties are
)
def test_a_corner_saves_most_and_of_equals_is_the_narrowest(matrix, tile_rows, step, dense_enough):
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch, STEP=step, DENSE_ENOUGH=dense_enough)
        widths = corner_widths(matrix, tile_rows)
    expected = widths_of_the_whole_table(matrix, tile_rows, step, dense_enough)
    np.testing.assert_array_equal(widths, expected)


def test_nothing_grows_with_rows_times_columns():
    n_rows, n_columns = 150_000, 200_000
    matrix = random_csr(n_rows, n_columns, 4_000, seed=0, dtype=np.float32)
    tracemalloc.start()
    try:
        Plan(split(matrix))  # not in order: tiles with entries are many
        arrangement = ByActivity(Network(n_columns, (2,)), matrix, 1)
        batch = arrangement.batch(matrix, matrix, np.arange(n_rows), None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert batch.targets.nnz == matrix.nnz
    assert peak < 80 * (n_rows + n_columns)


def test_bands_of_rows_and_of_columns_have_the_same_bits():
    tiled = tiled_from(long_tailed(n_rows=2_000))
    bands = tiled.plan.rest_of_bands
    assert {band.format for band in bands} == {"csc", "csr"}
    dense = np.random.default_rng(0).normal(size=(tiled.shape[1], 7)).astype(np.float32)
    product = spmm(tiled, dense)
    for turn in ("tocsc", "tocsr"):
        tiled.plan.rest_of_bands = [getattr(band, turn)() for band in bands]
        np.testing.assert_array_equal(spmm(tiled, dense), product)
