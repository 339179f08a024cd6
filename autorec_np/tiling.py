"""A plan that sends the dense corner of a rating matrix to BLAS, and the rest to sparse products.

Ratings are long-tailed. With rows and columns in order of activity, most of them lie in a corner
that is dense enough for a dense product to be the faster one, unrated cells included:

               columns, most active first
              +------------------+-----------+
      rows,   | dense            |           |   one tile: TILE_ROWS rows, with a width of its own
      most    |---------+--------+           |
      active  | dense   |                    |   the widths never grow: a staircase
      first   |---+-----+        rest        |
              |   |                          |
              +---+--------------------------+
                panels of PANEL_COLUMNS columns, for the product of the transpose

Any matrix may be tiled: one that is thin everywhere, or in another order, is all rest. Tiles, bands
and panels are the tasks of a thread pool. Each writes its own part of a result, with the same
arithmetic whichever thread runs it, so that no bit depends on the number of threads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

Array: TypeAlias = npt.NDArray[Any]
CSR: TypeAlias = "sparse.csr_array[Any, tuple[int, int]]"

TILE_ROWS = 64
BAND_ROWS = 256
PANEL_COLUMNS = 512
STEP = 64  # columns by which a tile's width grows
DENSE_ENOUGH = 0.12  # part of the cells that is rated, from which a dense product is faster
GROUP = 8  # entries of one row in the rest that are sampled by one small product
GROUPS_AT_ONCE, GROUPS_PER_TASK = 128, 1024


class Tiling:
    """Where each stored entry of a pattern goes.

    Parameters
    ----------
    pattern : csr_array, (n_rows, n_columns)
        Its values are not read.

    Attributes
    ----------
    tiles : list of slice
        Rows of each tile.
    widths : list of int
        Columns of the corner in each tile.
    panels : list of slice
        Columns of each panel.
    rows_of_panels : list of int
        Rows of the corner in each panel.
    dense, rest : ndarray of int
        The entries (positions in ``pattern.data``) inside and outside of the corner.
    cells : ndarray of int
        Positions of the dense entries in the flat (n_rows, widths[0]) array of the corner.
    samples : list of (slice, ndarray)
        The dense entries of each tile, and their positions in a flat (tile, width) array.
    bands : list of slice
        Rows of each band of the rest; its rows of a product fit in a core's cache.
    rest_of_bands : list of csc_array, (band, n_columns)
    rest_of_panels : list of csr_array, (panel, n_rows)
        The rest, column by column: as it is, and transposed. Their data are positions of entries.
    groups : (ndarray, ndarray, ndarray) of int
        The rest in padded groups of GROUP entries of one row: the row of each group, the column of
        each place, and the place of each entry of the rest.
    """

    def __init__(self, pattern: CSR) -> None:
        n_rows, n_columns = pattern.shape
        counts = np.diff(pattern.indptr)
        rows, columns = np.repeat(np.arange(n_rows), counts), pattern.indices
        self.tiles = _cut(n_rows, TILE_ROWS)
        widths = _widths(rows // TILE_ROWS, columns, self.tiles, n_columns)
        self.widths: list[int] = widths.tolist()
        self.panels = _cut(n_columns, PANEL_COLUMNS)
        self.rows_of_panels = [
            min(n_rows, TILE_ROWS * int((widths > panel.start).sum())) for panel in self.panels
        ]
        width_of_row = np.repeat(widths, TILE_ROWS)[:n_rows]
        inside = columns < np.repeat(width_of_row, counts)
        self.dense, self.rest = np.flatnonzero(inside), np.flatnonzero(~inside)

        rows_of_dense, columns_of_dense = rows[self.dense], columns[self.dense]
        self.cells = rows_of_dense * (self.widths[0] if self.tiles else 0) + columns_of_dense
        ends = np.searchsorted(rows_of_dense, [*range(0, n_rows, TILE_ROWS), n_rows]).tolist()
        places = rows_of_dense % TILE_ROWS * width_of_row[rows_of_dense] + columns_of_dense
        self.samples = [(slice(start, stop), places[start:stop]) for start, stop in pairwise(ends)]

        rest_counts = np.bincount(rows[self.rest], minlength=n_rows)
        indptr = np.concatenate(([0], np.cumsum(rest_counts)))
        rest = sparse.csr_array((self.rest, columns[self.rest], indptr), shape=pattern.shape)
        self.bands = _cut(n_rows, BAND_ROWS)
        self.rest_of_bands = [row_block(rest, band).tocsc() for band in self.bands]
        by_column = rest.tocsc().T
        self.rest_of_panels = [row_block(by_column, panel) for panel in self.panels]
        self.groups = _groups(rest_counts, rest.indices)


def row_block(matrix: CSR, rows: slice) -> CSR:
    """Return rows start..stop of a matrix without copying their entries."""
    indptr = matrix.indptr[rows.start : rows.stop + 1]
    entries = slice(indptr[0], indptr[-1])
    return sparse.csr_array(
        (matrix.data[entries], matrix.indices[entries], indptr - indptr[0]),
        shape=(len(indptr) - 1, matrix.shape[1]),
    )


def _cut(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _widths(tile_of: Array, columns: Array, tiles: Sequence[slice], n_columns: int) -> Array:
    """Return the width of the corner in each tile that saves the most time."""
    n_steps = -(-n_columns // STEP)
    counts = np.bincount(tile_of * n_steps + columns // STEP, minlength=len(tiles) * n_steps)
    heights = np.array([[tile.stop - tile.start] for tile in tiles]).reshape(-1, 1)
    saved = np.zeros((len(tiles), n_steps + 1))
    np.cumsum(
        counts.reshape(len(tiles), n_steps) - DENSE_ENOUGH * STEP * heights,
        axis=1,
        out=saved[:, 1:],
    )
    widths = np.minimum(saved.argmax(axis=1) * STEP, n_columns)
    return np.maximum.accumulate(widths[::-1])[::-1]


def _groups(counts: Array, columns: Array) -> tuple[Array, Array, Array]:
    n_groups = -(-counts // GROUP)
    rows = np.repeat(np.arange(len(counts)), n_groups)
    padding = (np.cumsum(n_groups) - n_groups) * GROUP - (np.cumsum(counts) - counts)
    places = np.arange(len(columns)) + np.repeat(padding, counts)
    column_of_place = np.zeros(len(rows) * GROUP, np.intp)
    column_of_place[places] = columns
    return rows, column_of_place, places


@dataclass(frozen=True)
class Tiled:
    """A CSR array with its tiling; the products in :mod:`kernels` take it like a CSR array."""

    matrix: CSR
    tiling: Tiling

    @cached_property
    def corner(self) -> Array:
        """The dense corner, (n_rows, width of the first tile); 0 where nothing is stored."""
        corner = np.zeros((self.matrix.shape[0], max(self.tiling.widths, default=0)), self.dtype)
        corner.reshape(-1)[self.tiling.cells] = self.data.take(self.tiling.dense)
        return corner

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.matrix.dtype

    @property
    def nnz(self) -> int:
        return self.matrix.nnz

    @property
    def data(self) -> Array:
        return self.matrix.data

    @property
    def indices(self) -> Array:
        return self.matrix.indices

    def multiply(self, dense: Array, executor: Executor | None) -> Array:
        """Return A D, (n_rows, k)."""
        tiling = self.tiling
        product = np.empty((self.shape[0], dense.shape[1]), dense.dtype)
        of_rest = np.empty_like(product)

        def multiply_tile(tile: slice, width: int) -> None:
            np.matmul(self.corner[tile, :width], dense[:width], out=product[tile])

        def multiply_band(band: slice, rest: Any) -> None:
            of_rest[band] = self._values_of(rest) @ dense

        tiles = zip(tiling.tiles, tiling.widths, strict=True)
        bands = zip(tiling.bands, tiling.rest_of_bands, strict=True)
        tasks = [partial(multiply_tile, *tile) for tile in tiles]
        run([*tasks, *(partial(multiply_band, *band) for band in bands)], executor)
        product += of_rest
        return product

    def multiply_panel(self, number: int, dense: Array) -> Array:
        """Return the rows of A^T D that belong to a panel, (columns of the panel, k)."""
        product: Array = self._values_of(self.tiling.rest_of_panels[number]) @ dense
        n_rows = self.tiling.rows_of_panels[number]
        if n_rows:
            corner = self.corner[:n_rows, self.tiling.panels[number]]
            product[: corner.shape[1]] += corner.T @ dense[:n_rows]
        return product

    def sample(self, left: Array, right: Array, executor: Executor | None) -> Array:
        """Return L R^T at the stored entries, (nnz,)."""
        tiling = self.tiling
        rows, columns, places = tiling.groups
        in_corner = np.empty(len(tiling.dense), left.dtype)
        in_rest = np.empty((len(rows), GROUP), left.dtype)

        def sample_tile(tile: slice, width: int, entries: slice, where: Array) -> None:
            products = left[tile] @ right[:width].T
            products.reshape(-1).take(where, out=in_corner[entries], mode="clip")

        def sample_groups(start: int) -> None:
            gathered = np.empty((GROUPS_AT_ONCE * GROUP, right.shape[1]), right.dtype)
            for first in range(start, min(start + GROUPS_PER_TASK, len(rows)), GROUPS_AT_ONCE):
                part = slice(first, first + GROUPS_AT_ONCE)
                part_rows = rows[part]
                block = gathered[: len(part_rows) * GROUP]
                part_columns = columns[first * GROUP : first * GROUP + len(block)]
                right.take(part_columns, axis=0, out=block, mode="clip")  # "raise" would copy
                np.matmul(
                    block.reshape(len(part_rows), GROUP, -1),
                    left.take(part_rows, axis=0)[:, :, np.newaxis],
                    out=in_rest[part, :, np.newaxis],
                )

        tasks: list[Callable[[], None]] = [
            partial(sample_tile, tile, width, *sample)
            for tile, width, sample in zip(tiling.tiles, tiling.widths, tiling.samples, strict=True)
        ]
        tasks += [partial(sample_groups, i) for i in range(0, len(rows), GROUPS_PER_TASK)]
        run(tasks, executor)
        values = np.empty(self.nnz, left.dtype)
        values[tiling.dense] = in_corner
        values[tiling.rest] = in_rest.reshape(-1).take(places)
        return values

    def _values_of(self, positions: Any) -> Any:
        """Return a sparse array of positions of entries with their values instead."""
        array = copy.copy(positions)  # building a new one would check its indices again
        array.data = self.data.take(positions.data)
        return array


def by_activity(pattern: CSR) -> tuple[Array, Array]:
    """Return the rows and the columns in order of their numbers of entries, most first."""
    n_in_columns = np.bincount(pattern.indices, minlength=pattern.shape[1])
    n_in_rows = np.diff(pattern.indptr)
    return np.argsort(-n_in_rows, kind="stable"), np.argsort(-n_in_columns, kind="stable")


def reordered(matrix: CSR, rows: Array, columns: Array) -> CSR:
    """Return the matrix with its rows and columns in a new order, indices sorted."""
    place = np.empty_like(columns)
    place[columns] = np.arange(len(columns))
    block = matrix[rows]
    block = sparse.csr_array((block.data, place[block.indices], block.indptr), shape=block.shape)
    block.sort_indices()
    return block


def run(tasks: Sequence[Callable[[], None]], executor: Executor | None) -> None:
    """Run all tasks and wait; the first exception is raised here."""
    if executor is None:
        for task in tasks:
            task()
        return
    settings = np.geterr()  # each thread has its own

    def run_alike(task: Callable[[], None]) -> None:
        with np.errstate(**settings):
            task()

    for future in [executor.submit(run_alike, task) for task in tasks]:
        future.result()
