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
                panels of strips of columns, for the product of the transpose

Any matrix may be tiled: one that is thin everywhere, or in another order, is all rest. Tiles, bands
and panels are the tasks of a thread pool. Each writes its own part of a result, with the same
arithmetic whichever thread runs it, so that no bit depends on the number of threads. Parameters go
into the order of the columns, and back.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise, starmap
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np.core.implicit import IMPLICIT, ImplicitNetwork
from autorec_np.core.network import Network
from autorec_np.core.parameters import COLUMN_BLOCKS
from autorec_np.engine.threads import Workers, row_block, run

TILE_ROWS = 64
BAND_ROWS = 256
STRIP_COLUMNS = 512  # of the corner that are multiplied at once where it is transposed
PANEL_ELEMENTS = 200_000  # of the product of a panel with a dense matrix: enough work for one task
STEP = 64  # columns by which a tile's width grows
DENSE_ENOUGH = 0.14  # part of the cells that is rated, from which a dense product is faster
GROUP = 8  # entries of one row in the rest that are sampled by one small product
GROUP_COLUMNS = 6144  # whose rows of a factor stay in the shared cache while they are sampled


class Split(NamedTuple):
    """The entries of a pattern inside and outside of the corner, as positions in its data.

    `row_widths` (n_rows,), the width of the corner in each row, never grow.
    """

    dense: CSR
    rest: CSR
    row_widths: Array

    def take(self, rows: Array) -> Split:
        """Return the split of some rows, in the order that they have here."""
        return Split(self.dense[rows], self.rest[rows], self.row_widths[rows])


def split(pattern: CSR, tile_rows: int | None = None) -> Split:
    """Return which entries of a pattern belong to its corner; its values are not read.

    `tile_rows` is the number of rows that share a width, by default those of a tile. Where every
    n-th row is taken out of the matrix, n times as many make one tile.
    """
    row_widths = corner_widths(pattern, TILE_ROWS if tile_rows is None else tile_rows)
    indptr, indices = pattern.indptr, pattern.indices
    inside = indices < np.repeat(row_widths.astype(indices.dtype), np.diff(indptr))
    in_corner, in_rest = (  # positions as short as those of the matrix
        np.flatnonzero(chosen).astype(indptr.dtype) for chosen in (inside, ~inside)
    )
    starts = np.searchsorted(in_corner, indptr).astype(indptr.dtype)
    dense, rest = (
        sparse.csr_array((entries, indices.take(entries), rows), pattern.shape)
        for entries, rows in ((in_corner, starts), (in_rest, indptr - starts))
    )
    return Split(dense, rest, row_widths)


class Plan:
    """Where each stored entry of a pattern goes.

    Parameters
    ----------
    parts : Split
        The entries of the pattern. A tile has the width of its first row.
    panel_columns : int
        Columns of a panel, a multiple of STRIP_COLUMNS; see :func:`panel_columns`.
    workers : Workers, optional
        Threads that make the plan, and that multiply by it.

    Attributes
    ----------
    shape : (int, int)
        Of the pattern.
    order, indices : ndarray of int, (nnz,)
        Position in the data of the pattern, and column, of each entry: first those in the corner,
        `n_dense`, then the rest.
    tiles, bands, panels : list of slice
        Rows of each tile, rows of each band of the rest, columns of each panel.
    widths : list of int
        Columns of the corner in each tile.
    strips : list of (int, slice)
        Columns of the corner, STRIP_COLUMNS at most, that the same tiles reach, and how many do.
    dense_of_tiles : list of slice
        Entries of the corner that each tile holds.
    cells : ndarray of int
        Their positions in the flat cells of their tile.
    rest_of_bands : list of csc_array, (band, n_columns)
    rest_of_panels : list of csr_array, (panel, n_rows)
        The rest, column by column: as it is, and transposed. Their data are positions in the rest.
    groups : (ndarray, ndarray, ndarray) of int
        The rest in padded groups of GROUP entries of one row and one block of columns: the row of
        each group, the column of each place, and the place of each entry of the rest.
    """

    rest_of_bands: list[Any]
    rest_of_panels: list[CSR]
    groups: tuple[Array, Array, Array]

    def __init__(
        self,
        parts: Split,
        panel_columns: int = STRIP_COLUMNS,
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers
        dense, rest = parts.dense, parts.rest
        self.shape = n_rows, n_columns = dense.shape
        self.order = np.concatenate((dense.data, rest.data))
        self.indices = np.concatenate((dense.indices, rest.indices))
        self.n_dense = dense.nnz

        self.tiles = cut(n_rows, TILE_ROWS)
        self.widths: list[int] = parts.row_widths[::TILE_ROWS].tolist()
        self.panels = cut(n_columns, panel_columns)
        cuts = sorted({0, *self.widths, *range(0, max(self.widths, default=0), STRIP_COLUMNS)})
        reached_by = [sum(width >= stop for width in self.widths) for stop in cuts[1:]]
        self.strips = [*zip(reached_by, starmap(slice, pairwise(cuts)), strict=True)]
        edges = [*dense.indptr[:-1:TILE_ROWS].tolist(), dense.nnz]
        self.dense_of_tiles = [slice(*edge) for edge in pairwise(edges)]
        width_of_row = np.repeat(self.widths, TILE_ROWS)[:n_rows]
        first_cells = np.arange(n_rows) % TILE_ROWS * width_of_row
        self.cells = np.repeat(first_cells, np.diff(dense.indptr)) + dense.indices

        self.bands = cut(n_rows, BAND_ROWS)
        numbered = with_values(rest, np.arange(rest.nnz))

        def plan_bands() -> None:
            self.rest_of_bands = [band.tocsc() for band in _row_blocks(numbered, self.bands)]

        def plan_panels() -> None:
            self.rest_of_panels = _row_blocks(numbered.tocsc().T, self.panels)

        def plan_groups() -> None:
            self.groups = _groups(rest)

        run([plan_groups, plan_bands, plan_panels], workers)


def corner_widths(pattern: CSR, tile_rows: int) -> Array:
    """Return the width of the corner in each row, one for each run of `tile_rows` rows.

    It is the width that saves the most time.
    """
    n_rows, n_columns = pattern.shape
    tiles, n_steps = cut(n_rows, tile_rows), -(-n_columns // STEP)
    edges = [*pattern.indptr[:-1:tile_rows].tolist(), pattern.nnz]
    step_of = np.repeat(np.arange(len(tiles)) * n_steps, np.diff(edges))
    step_of += pattern.indices // STEP
    counts = np.bincount(step_of, minlength=len(tiles) * n_steps).reshape(len(tiles), n_steps)
    heights = np.array([[tile.stop - tile.start] for tile in tiles]).reshape(-1, 1)
    saved = np.zeros((len(tiles), n_steps + 1))
    np.cumsum(counts - DENSE_ENOUGH * STEP * heights, axis=1, out=saved[:, 1:])
    widths = np.minimum(saved.argmax(axis=1) * STEP, n_columns)
    widths = np.maximum.accumulate(widths[::-1])[::-1]
    return np.repeat(widths, tile_rows)[:n_rows]


def panel_columns(n_columns: int, k: int) -> int:
    """Return the columns of a panel for products with k columns: many where k is small."""
    n_strips = min(PANEL_ELEMENTS // k, n_columns // 3) // STRIP_COLUMNS
    return max(1, n_strips) * STRIP_COLUMNS


def _row_blocks(matrix: CSR, blocks: Sequence[slice]) -> list[CSR]:
    """Return what `row_block` returns for each of some blocks of one size, the last but for it."""
    matrices: list[CSR] = []
    for rows in blocks:
        if rows is blocks[0] or rows is blocks[-1]:
            block = row_block(matrix, rows)
        else:
            block = copy.copy(matrices[0])  # building a new one would check it at length
            indptr = matrix.indptr[rows.start : rows.stop + 1]
            entries = slice(indptr[0], indptr[-1])
            block.data, block.indices = matrix.data[entries], matrix.indices[entries]
            block.indptr = indptr - indptr[0]
        matrices.append(block)
    return matrices


def with_values(array: Any, values: Array) -> Any:
    """Return a sparse array with other values: building a new one would check its indices again."""
    changed = copy.copy(array)
    changed.data = values
    return changed


def cut(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _groups(rest: CSR) -> tuple[Array, Array, Array]:
    """Cut the entries of each row into groups, one block of columns after the other."""
    n_rows, n_columns = rest.shape
    n_blocks = -(-n_columns // GROUP_COLUMNS)
    counts = np.diff(rest.indptr)
    order: Any = slice(None)
    if n_blocks > 1:
        rows, blocks = np.repeat(np.arange(n_rows), counts), rest.indices // GROUP_COLUMNS
        counts = np.bincount(blocks * n_rows + rows, minlength=n_blocks * n_rows)
        order = np.argsort(blocks.astype(np.uint16), kind="stable")  # 16 bits: a radix sort
    n_groups = -(-counts // GROUP)
    row_of_group = np.repeat(np.arange(len(counts)) % max(n_rows, 1), n_groups)
    padding = (np.cumsum(n_groups) - n_groups) * GROUP - (np.cumsum(counts) - counts)
    places = np.empty(rest.nnz, np.intp)
    places[order] = np.arange(rest.nnz) + np.repeat(padding, counts)
    column_of_place = np.zeros(len(row_of_group) * GROUP, np.intp)
    column_of_place[places] = rest.indices
    return row_of_group, column_of_place, places


WEIGHTS_PER_TASK = 2**18  # that are put in another order


def by_activity(pattern: CSR) -> tuple[Array, Array]:
    """Return the rows and the columns in order of their numbers of entries, most first."""
    n_in_columns = np.bincount(pattern.indices, minlength=pattern.shape[1])
    n_in_rows = np.diff(pattern.indptr)
    return np.argsort(-n_in_rows, kind="stable"), np.argsort(-n_in_columns, kind="stable")


def reordered(matrix: CSR, rows: Array, columns: Array) -> CSR:
    """Return the matrix with its rows and columns in a new order, indices sorted."""
    place = np.empty_like(columns, matrix.indices.dtype)
    place[columns] = np.arange(len(columns))
    block = matrix[rows]
    block = sparse.csr_array((block.data, place[block.indices], block.indptr), shape=block.shape)
    block.sort_indices()
    return block


def row_orders(network: Network, columns: Array) -> dict[str, Array]:
    """Return the new order of the rows of each block that has one; `columns` have theirs.

    Planes of the inputs have it one after the other; rows of the implicit weight go by activity.
    """
    shapes, n_columns = network.layout.shapes, len(columns)
    orders = {name: columns for name in COLUMN_BLOCKS if name in shapes}
    firsts = np.arange(0, shapes["encoder.weight"][0], n_columns)
    orders["encoder.weight"] = np.add.outer(firsts, columns).reshape(-1)
    if isinstance(network, ImplicitNetwork):
        rated: Any = network.rated
        orders[IMPLICIT] = by_activity(rated)[0]
    return orders


def take_rows_of_blocks(
    network: Network,
    theta: Array,
    orders: Mapping[str, Array],
    out: Array,
    workers: Workers | None,
) -> None:
    """Write theta to `out`, with the rows of some blocks taken in another order."""
    views, taken_views = network.layout.views(theta), network.layout.views(out)
    tasks: list[Callable[[], object]] = []
    for name in network.layout.slices:
        block, taken = views[name], taken_views[name]
        if name not in orders:
            taken[...] = block
            continue
        n_rows = max(1, WEIGHTS_PER_TASK * len(block) // block.size)
        for start in range(0, len(block), n_rows):
            rows = slice(start, start + n_rows)
            take = partial(block.take, orders[name][rows], axis=0, out=taken[rows], mode="clip")
            tasks.append(take)
    run(tasks, workers)
