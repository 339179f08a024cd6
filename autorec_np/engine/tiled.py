"""Rating matrices cut by a plan: their dense corner goes to BLAS, the rest to sparse products.

With rows and columns in order of activity, most ratings lie in a corner where a dense product is
faster, unrated cells included (docs/performance.md):

               columns, most active first
              +------------------+-----------+
      rows,   | dense            |           |   one tile: TILE_ROWS rows, with a width of its own
      most    |---------+--------+           |
      active  | dense   |                    |   the widths never grow: a staircase
      first   |---+-----+        rest        |
              |   |                          |
              +---+--------------------------+
                panels of strips of columns, for the product of the transpose

A matrix that is thin everywhere, or in another order, is all rest. Tiles, bands and panels are
tasks of a thread pool. Each writes its own part of a result: no bit depends on the threads.

Numbers are those of a CSR array, to rounding. `Tiled` is a batch of ratings, `Static` the pattern
of an implicit decoder, laid out once, for N Y once a step and D_Y once from all of D_W~, while W~
stands for W (`Shares`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise, starmap
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array, Matrix
from autorec_np.core.implicit import IMPLICIT, ImplicitNetwork
from autorec_np.core.kernels import sddmm, spmm, spmm_transpose, with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective, Passes
from autorec_np.core.parameters import COLUMN_BLOCKS
from autorec_np.engine.rows import KEPT, Scaled, column_counts, row_block, row_blocks
from autorec_np.engine.threads import Workers, run

TILE_ROWS = 64
BAND_ROWS = 256
STRIP_COLUMNS = 512  # of the transposed corner, at once
PANEL_ELEMENTS = 200_000  # of its product: enough work for a task
STEP = 64  # of a tile's width
DENSE_ENOUGH = 0.14  # rated part of the cells, where dense products are faster
GROUP = 8  # entries of a row in the rest, sampled by one product
GROUP_COLUMNS = 6144  # whose rows of a factor stay in the shared cache
WEIGHTS_PER_TASK = 2**18  # that are reordered
ENTRIES_AT_ONCE = 2**17  # that are looked at
ELEMENTS_PER_TASK = 1_000_000  # of a dense factor, at once
GROUPS_PER_TASK = 1024
NON_ZEROS = 0.8  # part of the values; where fewer, products leave out zeros
GATHERED_ELEMENTS = 400_000  # of a factor's rows that are gathered at once
TILE_COLUMNS, STATIC_BAND_ROWS = 256, 128  # of N^T, in one task
FEWEST_ENTRIES = 1024  # for which they are so few


class Split(NamedTuple):
    """A pattern's entries in and outside the corner, as positions in its data.

    `row_widths` (n_rows,), the width of the corner in each row, never grow.
    """

    dense: CSR
    rest: CSR
    row_widths: Array


def split(pattern: CSR, row_widths: Array | None = None) -> Split:
    """Return which entries of a pattern belong to its corner; values are not read.

    None: by `corner_widths` of tiles.
    """
    if row_widths is None:
        row_widths = corner_widths(pattern, TILE_ROWS)
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
        A tile has the width of its first row.
    panel_columns : int
        Columns of a panel, a multiple of STRIP_COLUMNS; see :func:`panel_columns`.
    workers : Workers, optional
        Make the plan, and multiply by it.

    Attributes
    ----------
    order, indices : ndarray of int, (nnz,)
        Position in the pattern's data, and column, of each entry: `n_dense` of the corner first.
    tiles, bands, panels : list of slice
        Rows of each tile of the corner, rows of each band of the rest, columns of each panel.
    widths : list of int
        Columns of the corner in each tile.
    strips : list of (int, slice)
        How many tiles reach which columns of the corner, STRIP_COLUMNS at most.
    dense_of_tiles, cells : list of slice, ndarray of int
        Entries of each tile, and their positions in its flat cells.
    rest_of_bands : list of csc_array, (band, n_columns)
        Or csr_array, where a band has fewer entries than the matrix columns.
    rest_of_panels : list of csr_array, (panel, n_rows)
        The rest, and transposed; their data are positions in the rest.
    groups : (ndarray, ndarray, ndarray) of int
        The rest in padded groups of GROUP entries of a row and block of columns: the row of each
        group, the column of each place, and the place of each entry.
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

        widths = parts.row_widths[::TILE_ROWS]
        self.widths: list[int] = widths[widths > 0].tolist()
        self.tiles = cut(n_rows, TILE_ROWS)[: len(self.widths)]
        self.panels = cut(n_columns, panel_columns)
        cuts = sorted({0, *self.widths, *range(0, max(self.widths, default=0), STRIP_COLUMNS)})
        reached_by = (len(self.widths) - np.searchsorted(self.widths[::-1], cuts[1:])).tolist()
        self.strips = [*zip(reached_by, starmap(slice, pairwise(cuts)), strict=True)]
        edges = [*dense.indptr[:-1:TILE_ROWS][: len(self.tiles)].tolist(), dense.nnz]
        self.dense_of_tiles = [slice(*edge) for edge in pairwise(edges)]
        width_of_row = np.repeat(widths, TILE_ROWS)[:n_rows]
        first_cells = np.arange(n_rows) % TILE_ROWS * width_of_row
        self.cells = np.repeat(first_cells, np.diff(dense.indptr)) + dense.indices

        self.bands = cut(n_rows, BAND_ROWS)
        numbered = with_values(rest, np.arange(rest.nnz, dtype=rest.indices.dtype))

        def plan_bands() -> None:
            bands = _row_blocks(numbered, self.bands)
            self.rest_of_bands = [b.tocsc() if b.nnz > n_columns else b for b in bands]

        def plan_panels() -> None:
            self.rest_of_panels = _row_blocks(numbered.tocsc().T, self.panels)

        def plan_groups() -> None:
            self.groups = _groups(rest)

        run([plan_groups, plan_bands, plan_panels], workers)


def corner_widths(
    pattern: CSR, tile_rows: int, rows: Array | None = None, place_of_column: Array | None = None
) -> Array:
    """Return the width of the corner in each row, which saves most for `tile_rows` rows.

    `rows` come in this order, and columns go to these places; None: as they are. Where every n-th
    row is taken, n times as many make a tile. Of a nearly empty one, steps with entries count.
    """
    n_rows, n_columns = pattern.shape
    rows = np.arange(n_rows) if rows is None else rows
    counts, tiles = np.diff(pattern.indptr), cut(n_rows, tile_rows)
    widths, n_steps = np.zeros(len(tiles), np.intp), -(-n_columns // STEP)

    def steps_of(rows: Array) -> Array:
        columns: Array = pattern[rows].indices
        return (columns if place_of_column is None else place_of_column[columns]) // STEP

    for number, tile in enumerate(tiles):
        in_tile = rows[tile]
        if counts[in_tile].sum() < n_steps:
            steps, found = np.unique(steps_of(in_tile), return_counts=True)
        else:
            steps, found = np.arange(n_steps), np.zeros(n_steps, np.intp)
            for block in row_blocks(counts[in_tile], ENTRIES_AT_ONCE):
                found += np.bincount(steps_of(in_tile[block]), minlength=n_steps)
        saved = np.cumsum(found) - DENSE_ENOUGH * (steps + 1) * STEP * len(in_tile)
        if (saved > 0).any():
            widths[number] = min((steps[saved.argmax()] + 1) * STEP, n_columns)
    widths = np.maximum.accumulate(widths[::-1])[::-1]
    return np.repeat(widths, tile_rows)[:n_rows]


def panel_columns(n_columns: int, k: int) -> int:
    """Return the columns of a panel for products with k columns."""
    n_strips = min(PANEL_ELEMENTS // k, n_columns // 3) // STRIP_COLUMNS
    return max(1, n_strips) * STRIP_COLUMNS


def _row_blocks(matrix: CSR, blocks: Sequence[slice]) -> list[CSR]:
    matrices: list[CSR] = []
    for rows in blocks:
        if rows is blocks[0] or rows is blocks[-1]:
            block = row_block(matrix, rows)
        else:
            block = copy.copy(matrices[0])  # a new one would be checked at length
            indptr = matrix.indptr[rows.start : rows.stop + 1]
            entries = slice(indptr[0], indptr[-1])
            block.data, block.indices = matrix.data[entries], matrix.indices[entries]
            block.indptr = indptr - indptr[0]
        matrices.append(block)
    return matrices


def with_values(array: Any, values: Array) -> Any:
    """Return a sparse array with other values, without checks of its indices."""
    changed = copy.copy(array)
    changed.data = values
    return changed


def cut(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _groups(rest: CSR) -> tuple[Array, Array, Array]:
    """Cut each row into groups, by blocks of columns."""
    n_rows, n_columns = rest.shape
    counts = np.diff(rest.indptr)
    rows: Array = np.arange(n_rows)
    order: Any = slice(None)
    if n_columns > GROUP_COLUMNS:
        blocks = (rest.indices // GROUP_COLUMNS).astype(np.uint16)
        order = np.argsort(blocks, kind="stable")  # 16 bits: a radix sort
        rows, blocks = np.repeat(rows, counts)[order], blocks[order]
        first = np.ones(rest.nnz, bool)
        first[1:] = (np.diff(rows) != 0) | (blocks[1:] != blocks[:-1])
        starts = np.flatnonzero(first)  # of a row in a block
        rows, counts = rows[starts], np.diff(starts, append=rest.nnz)
    n_groups = -(-counts // GROUP)
    row_of_group = np.repeat(rows, n_groups)
    padding = (np.cumsum(n_groups) - n_groups) * GROUP - (np.cumsum(counts) - counts)
    places = np.empty(rest.nnz, np.intp)
    places[order] = np.arange(rest.nnz) + np.repeat(padding, counts)
    column_of_place = np.zeros(len(row_of_group) * GROUP, np.intp)
    column_of_place[places] = rest.indices
    return row_of_group, column_of_place, places


def by_activity(pattern: CSR) -> tuple[Array, Array]:
    """Return rows and columns by numbers of entries, most first."""
    n_in_rows, n_in_columns = np.diff(pattern.indptr), column_counts(pattern)
    return np.argsort(-n_in_rows, kind="stable"), np.argsort(-n_in_columns, kind="stable")


def places_in(order: Array) -> Array:
    """Return where each number is in an order."""
    places = np.empty(len(order), np.int32 if len(order) < 2**31 else np.int64)
    places[order] = np.arange(len(order))
    return places


def reordered(matrix: CSR, rows: Array, columns: Array) -> CSR:
    """Return the matrix with rows and columns in a new order, indices sorted."""
    place, block = places_in(columns), matrix[rows]
    block = sparse.csr_array((block.data, place[block.indices], block.indptr), shape=block.shape)
    block.sort_indices()
    return block


def row_orders(network: Network, columns: Array) -> dict[str, Array]:
    """Return the new order of the rows of blocks, given that of `columns`.

    Planes of the inputs have it one after the other, features stay; rows of the implicit weight go
    by activity.
    """
    shapes, n_columns = network.layout.shapes, len(columns)
    orders = {name: columns for name in COLUMN_BLOCKS if name in shapes}
    order = np.arange(shapes["encoder.weight"][0])
    planes = order[: len(order) - len(order) % n_columns].reshape(-1, n_columns)
    planes[...] = planes[:, columns]
    orders["encoder.weight"] = order
    if isinstance(network, ImplicitNetwork):
        rated: Any = network.rated
        pattern: CSR = rated.pattern if isinstance(rated, Scaled) else rated
        orders[IMPLICIT] = by_activity(pattern)[0]
    return orders


def take_rows_of_blocks(
    network: Network,
    theta: Array,
    orders: Mapping[str, Array],
    out: Array,
    workers: Workers | None,
) -> None:
    """Write theta to `out`, with rows of blocks in another order."""
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


class Tiled:
    """A matrix with its plan, in whose order its `data` (nnz,) are."""

    def __init__(self, data: Array, plan: Plan) -> None:
        self.data, self.plan = data, plan
        self._corner: list[Array] = []
        self._many_zeros = np.count_nonzero(data) < NON_ZEROS * len(data)

    @classmethod
    def of(cls, matrix: CSR, plan: Plan) -> Tiled:
        return cls(matrix.data.take(plan.order), plan)

    def cast(self, dtype: np.dtype[Any]) -> Tiled:
        """Return the matrix in a dtype."""
        return self if self.dtype == dtype else Tiled(self.data.astype(dtype), self.plan)

    def corner(self) -> list[Array]:
        """Return the cells of each tile, (rows, width)."""
        if self._corner:
            return self._corner
        plan = self.plan
        corner = [np.empty(0)] * len(plan.tiles)

        def fill(number: int, tile: slice, width: int, entries: slice) -> None:
            cells = np.zeros((tile.stop - tile.start, width), self.dtype)
            cells.reshape(-1)[plan.cells[entries]] = self.data[entries]
            corner[number] = cells

        tiles = zip(plan.tiles, plan.widths, plan.dense_of_tiles, strict=True)
        run([partial(fill, number, *tile) for number, tile in enumerate(tiles)], plan.workers)
        self._corner = corner
        return corner

    @property
    def shape(self) -> tuple[int, int]:
        return self.plan.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def nnz(self) -> int:
        return len(self.data)

    @property
    def indices(self) -> Array:
        return self.plan.indices

    def multiply(self, dense: Array) -> Array:
        """Return A D, (n_rows, k)."""
        plan, corner = self.plan, self.corner()
        product = np.empty((self.shape[0], dense.shape[1]), dense.dtype)

        def multiply_band(band: slice, rest: Any) -> None:
            product[band] = self._values_of(rest) @ dense

        def add_tile(tile: slice, cells: Array, part: slice) -> None:
            product[tile, part] += cells @ dense[: cells.shape[1], part]

        bands = zip(plan.bands, plan.rest_of_bands, strict=True)
        run([partial(multiply_band, *band) for band in bands], plan.workers)
        tasks = [
            partial(add_tile, tile, cells, part)
            for tile, cells in zip(plan.tiles, corner, strict=True)
            for part in cut(dense.shape[1], max(64, ELEMENTS_PER_TASK // max(cells.shape[1], 1)))
        ]
        run(tasks, plan.workers)
        return product

    def multiply_panel(self, number: int, dense: Array) -> Array:
        """Return a panel of A^T D, (columns of the panel, k)."""
        panel = self.plan.panels[number]
        product: Array = self._values_of(self.plan.rest_of_panels[number]) @ dense
        for n_tiles, strip in self.plan.strips:
            if panel.start <= strip.start < panel.stop:
                cells = np.concatenate([tile[:, strip] for tile in self.corner()[:n_tiles]])
                columns = slice(strip.start - panel.start, strip.stop - panel.start)
                product[columns] += cells.T @ dense[: len(cells)]
        return product

    def sample(self, left: Array, right: Array) -> Array:
        """Return L R^T at the stored entries, (nnz,)."""
        plan = self.plan
        rows, columns, places = plan.groups
        values = np.empty(self.nnz, left.dtype)
        in_rest = np.empty((len(rows), GROUP), left.dtype)
        at_once = max(1, GATHERED_ELEMENTS // (GROUP * right.shape[1]))

        def sample_tile(tile: slice, width: int, entries: slice) -> None:
            products = left[tile] @ right[:width].T
            cells = plan.cells[entries]
            products.reshape(-1).take(cells, out=values[entries], mode="clip")

        def sample_groups(start: int) -> None:
            gathered = np.empty((at_once * GROUP, right.shape[1]), right.dtype)
            stop = min(start + GROUPS_PER_TASK, len(rows))
            for first in range(start, stop, at_once):
                part = slice(first, min(first + at_once, stop))
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
            partial(sample_tile, *tile)
            for tile in zip(plan.tiles, plan.widths, plan.dense_of_tiles, strict=True)
        ]
        tasks += [partial(sample_groups, i) for i in range(0, len(rows), GROUPS_PER_TASK)]
        run(tasks, plan.workers)
        in_rest.reshape(-1).take(places, out=values[plan.n_dense :], mode="clip")
        return values

    def _values_of(self, positions: Any) -> Any:
        """Return a sparse array with values for its positions in the rest."""
        values = with_values(positions, self.data[self.plan.n_dense :].take(positions.data))
        if self._many_zeros:  # corrupted
            values.indices, values.indptr = values.indices.copy(), values.indptr.copy()
            values.eliminate_zeros()
        return values


@with_data.register
def _(pattern: Tiled, data: Array) -> Tiled:  # type: ignore[misc]
    return Tiled(data, pattern.plan)


@spmm.register
def _(matrix: Tiled, dense: Array) -> Array:
    return matrix.cast(dense.dtype).multiply(dense)


@spmm_transpose.register
def _(matrix: Tiled, dense: Array) -> Array:
    matrix = matrix.cast(dense.dtype)
    product = np.empty((matrix.shape[1], dense.shape[1]), dense.dtype)

    def multiply(number: int, panel: slice) -> None:
        product[panel] = matrix.multiply_panel(number, dense)

    matrix.corner()  # before threads ask
    panels = enumerate(matrix.plan.panels)
    run([partial(multiply, *panel) for panel in panels], matrix.plan.workers)
    return product


@sddmm.register
def _(pattern: Tiled, left: Array, right: Array) -> Array:
    return pattern.sample(left, right)


class Parts(NamedTuple):
    """A matrix in pieces: tiles of columns, and bands of the rest, whose values are a scale's."""

    corner: list[Array]  # (columns of the tile, width): cells of the most active rows
    rest: list[CSR]  # (columns of the tile, n_rows)
    bands: list[CSR]  # (rows of the band, n_columns)
    scale: Array  # (n_columns,)


class Static:
    """A `Scaled` pattern whose `rows` and `columns` come in this order; None: as they are."""

    def __init__(
        self,
        rated: Scaled,
        rows: Array | None = None,
        columns: Array | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.rated, self.workers = rated, workers
        n_rows, n_columns = self.shape = rated.shape
        self.rows = np.arange(n_rows) if rows is None else rows
        self.columns = np.arange(n_columns) if columns is None else columns
        nnz = max(rated.pattern.nnz, 1)
        self.tile_columns = max(TILE_COLUMNS, FEWEST_ENTRIES * n_columns // nnz)
        self.tiles = cut(n_columns, self.tile_columns)
        self.bands = cut(n_rows, max(STATIC_BAND_ROWS, FEWEST_ENTRIES * n_rows // nnz))
        self._parts: dict[np.dtype[Any], Parts] = {}

    def parts(self, dtype: np.dtype[Any]) -> Parts:
        """Return the pieces in a dtype, laid out once."""
        if dtype not in self._parts:
            self._parts[dtype] = self._laid_out(dtype)
        return self._parts[dtype]

    def _laid_out(self, dtype: np.dtype[Any]) -> Parts:
        pattern, turned = self.rated.pattern, self.rated.turned()
        place_of_row, place_of_column = places_in(self.rows), places_in(self.columns)
        widths = corner_widths(turned, self.tile_columns, self.columns, place_of_row)
        scale = self.rated.scale[self.columns].astype(dtype)
        corner: list[Any] = [None] * len(self.tiles)
        rest: list[Any] = [None] * len(self.tiles)
        bands: list[Any] = [None] * len(self.bands)

        def lay_tile(number: int, tile: slice) -> None:
            width = widths[tile.start]
            cells = np.zeros((tile.stop - tile.start, width), bool)
            rest[number] = _rest(
                turned, self.columns[tile], place_of_row, lambda _, place: place < width, cells
            )
            corner[number] = cells if pattern.nnz > KEPT else _scaled(cells, scale[tile])

        def lay_band(number: int, band: slice) -> None:
            bands[number] = _rest(
                pattern,
                self.rows[band],
                place_of_column,
                lambda row, place: row + band.start < widths[place],
            )

        run([partial(lay_tile, *tile) for tile in enumerate(self.tiles)], self.workers)
        run([partial(lay_band, *band) for band in enumerate(self.bands)], self.workers)
        return Parts(corner, rest, bands, scale)

    def bands_of_product(self, dense: Array) -> Iterator[tuple[slice, Callable[[], Array]]]:
        """Yield rows of A D, and functions that multiply them out."""
        parts = self.parts(dense.dtype)

        def multiply(band: slice, rest: CSR) -> Array:
            product = _multiplied(rest, parts.scale.take(rest.indices), dense)
            for tile, cells in zip(self.tiles, parts.corner, strict=True):
                n_rows = min(cells.shape[1], band.stop) - band.start
                if n_rows <= 0:
                    break
                inside = _scaled(cells[:, band.start : band.start + n_rows], parts.scale[tile])
                product[:n_rows] += inside.T @ dense[tile]
            return product

        for band, rest in zip(self.bands, parts.bands, strict=True):
            yield band, partial(multiply, band, rest)

    def tiles_of_transpose(self, dense: Array) -> Iterator[tuple[slice, Callable[[], Array]]]:
        """Yield rows of A^T D, and functions that multiply them out."""
        parts = self.parts(dense.dtype)

        def multiply(tile: slice, rest: CSR, cells: Array) -> Array:
            product = _multiplied(rest, np.repeat(parts.scale[tile], np.diff(rest.indptr)), dense)
            product += _scaled(cells, parts.scale[tile]) @ dense[: cells.shape[1]]
            return product

        for tile, rest, cells in zip(self.tiles, parts.rest, parts.corner, strict=True):
            yield tile, partial(multiply, tile, rest, cells)


def _rest(
    matrix: CSR,
    rows: Array,
    places: Array,
    inside: Callable[[Array, Array], Array],
    cells: Array | None = None,
) -> CSR:
    """Return rows, columns at other places, without values and what is `inside` the corner.

    Of that, `cells` become True.
    """
    parts: list[CSR] = []
    for some in row_blocks(matrix.indptr[rows + 1] - matrix.indptr[rows], ENTRIES_AT_ONCE):
        block = matrix[rows[some]]
        place, row = places[block.indices], np.arange(some.start, some.stop)
        row = np.repeat(row, np.diff(block.indptr))
        held = inside(row, place)
        if cells is not None:
            cells[row[held], place[held]] = True
        ends = np.zeros(len(held) + 1, block.indptr.dtype)
        np.cumsum(~held, out=ends[1:])
        place = place[~held]
        part: CSR = sparse.csr_array(
            (np.empty(len(place), bool), place, ends[block.indptr]), shape=block.shape
        )
        part.sort_indices()
        parts.append(part)
    rest: CSR = sparse.csr_array((len(rows), matrix.shape[1]), dtype=bool)
    short = matrix.shape[1] <= 2**16  # half as long, until they are multiplied
    rest.indices = np.concatenate(
        [part.indices.astype(np.uint16) if short else part.indices for part in parts]
    )
    rest.indptr[1:] = np.cumsum(np.concatenate([np.diff(part.indptr) for part in parts]))
    return rest


def _multiplied(rest: CSR, values: Array, dense: Array) -> Array:
    block: Any = with_values(rest, values)
    block.indices = block.indices.astype(rest.indptr.dtype, copy=False)
    return np.asarray(block @ dense)


def _scaled(cells: Array, scale: Array) -> Array:
    """Return cells with the values of the rows, unless they have them."""
    return cells * scale[:, np.newaxis] if cells.dtype == bool else cells


def _product(
    parts: Iterator[tuple[slice, Callable[[], Array]]], out: Array, workers: Workers | None
) -> Array:
    def store(rows: slice, multiply: Callable[[], Array]) -> None:
        out[rows] = multiply()

    run([partial(store, *part) for part in parts], workers)
    return out


@spmm.register
def _(matrix: Static, dense: Array) -> Array:
    dense = np.ascontiguousarray(dense)
    out = np.empty((matrix.shape[0], dense.shape[1]), dense.dtype)
    return _product(matrix.bands_of_product(dense), out, matrix.workers)


@spmm_transpose.register
def _(matrix: Static, dense: Array) -> Array:
    out = np.empty((matrix.shape[1], dense.shape[1]), dense.dtype)
    return _product(matrix.tiles_of_transpose(dense), out, matrix.workers)


class Shares:
    """N Y in the memory of W, there and back, and D_Y; `network.rated` is a `Static`."""

    def __init__(
        self, network: ImplicitNetwork, dtype: np.dtype[Any], workers: Workers | None
    ) -> None:
        self.network, self.dtype, self.workers = network, dtype, workers
        self.rated: Any = network.rated
        shape = network.n_columns, network.n_implicit
        self.shares, self.before, self.d_shares = (np.empty(shape, dtype) for _ in range(3))

    def begin(self, theta: Array) -> None:
        """Work N Y out; :meth:`passes` changes theta, :meth:`take_off` restores it."""
        views = self.network.layout.views(theta)
        self.implicit = views[IMPLICIT]
        self.decoder = views["decoder.weight"][:, : self.network.n_implicit]
        self.n_passes = 0
        _product(self.rated.tiles_of_transpose(self.implicit), self.shares, self.workers)

    def passes(
        self,
        objective: Objective,
        theta: Array,
        inputs: Matrix,
        targets: Matrix,
        masks: Sequence[Array] | None,
    ) -> Passes:
        """Return `Objective.passes` at theta~, which theta becomes."""
        run([partial(self._put_on, rows) for rows in self.rated.tiles], self.workers)
        self.n_passes += 1
        plain = copy.copy(objective)
        plain.network = self.network.plain
        return plain.passes(theta[: plain.network.layout.size], inputs, targets, masks)

    def _put_on(self, rows: slice) -> None:
        self.before[rows] = self.decoder[rows]
        self.decoder[rows] += self.shares[rows]

    def take_off(self, rows: slice, d_weight: Array) -> None:
        """Make rows those of W again, to the bit, and keep what D_Y needs of D_W~."""
        self.decoder[rows] = self.before[rows]
        d_shares = d_weight[:, : self.network.n_implicit]
        if self.n_passes == 1:
            self.d_shares[rows] = d_shares
        else:
            self.d_shares[rows] += d_shares

    def finish(self, penalty: float, receive: Callable[[slice, Array], None]) -> None:
        """Pass D_Y + penalty Y on, (36), in parts, once all rows are taken off."""
        start, width = self.network.layout.slices[IMPLICIT].start, self.network.n_implicit

        def work(rows: slice, multiply: Callable[[], Array]) -> None:
            part = multiply()
            part += part.dtype.type(penalty) * self.implicit[rows]
            receive(slice(start + rows.start * width, start + rows.stop * width), part.reshape(-1))

        parts = self.rated.bands_of_product(self.d_shares)
        run([partial(work, *part) for part in parts], self.workers)
