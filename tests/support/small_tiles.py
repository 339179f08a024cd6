"""Tiles so small that every path of a plan is taken on a matrix of a few rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from autorec_np.engine import tiled as tiling
from autorec_np.engine.tiled import Plan, Tiled, by_activity, reordered, split

SMALL = {
    "TILE_ROWS": 2,
    "TILE_COLUMNS": 3,
    "BAND_ROWS": 3,
    "STATIC_BAND_ROWS": 3,
    "FEWEST_ENTRIES": 1,
    "STRIP_COLUMNS": 3,
    "STEP": 1,
    "GROUP": 2,
    "GATHERED_ELEMENTS": 8,
    "GROUPS_PER_TASK": 4,
    "GROUP_COLUMNS": 2,
    "DENSE_ENOUGH": 0.4,
}


def make_small(patch, **changes):
    for name, value in {**SMALL, **changes}.items():
        patch.setattr(tiling, name, value)


def tiled_from(matrix, workers=None):
    return Tiled.of(matrix, Plan(split(matrix), workers=workers))


def small_tiling(matrix):
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        return tiled_from(matrix)


def long_tailed(n_rows=300, n_columns=700, nnz=20_000, seed=0, dtype=np.float32):
    """A matrix with a dense corner, in order of activity."""
    rng = np.random.default_rng(seed)
    rows = (n_rows * rng.random(nnz) ** 3).astype(int)
    columns = (n_columns * rng.random(nnz) ** 3).astype(int)
    cells = np.unique(rows * n_columns + columns)
    matrix = sparse.csr_array(
        (rng.normal(size=len(cells)).astype(dtype), np.divmod(cells, n_columns)),
        shape=(n_rows, n_columns),
    )
    return reordered(matrix, *by_activity(matrix))
