"""The plan: each entry in one place, a corner where it pays, none where it does not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from matrices import random_csr, small_csr
from small_tiles import SMALL, small_tiling

from autorec_np.engine.tiled import Plan, Tiled, split


@given(matrix=small_csr())
def test_every_entry_is_in_the_corner_or_in_the_rest(matrix):
    plan = small_tiling(matrix).plan
    np.testing.assert_array_equal(np.sort(plan.order), np.arange(matrix.nnz))
    np.testing.assert_array_equal(plan.indices, matrix.indices[plan.order])
    n_cells = sum(plan.widths[number // SMALL["TILE_ROWS"]] for number in range(matrix.shape[0]))
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
    assert plan.widths == [0] * 8
    assert plan.n_dense == 0
    assert not any(cells.size for cells in Tiled.of(matrix, plan).corner())
