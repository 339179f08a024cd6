"""Matrices cut by a plan, with products of their own for the kernels of the lesson.

The numbers are those of a CSR array, to rounding. Tiles, bands and panels of the plan are the
tasks of its threads. `Tiled` is a batch of ratings. `Static` is the whole pattern of an implicit
decoder: its dense corner and its rest are laid out once, for N Y once a step and D_Y once from all
of D_W~, while W~ stands in the place of W (`Shares`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from autorec_np._types import CSR, Array, Matrix
from autorec_np.core.implicit import IMPLICIT, ImplicitNetwork
from autorec_np.core.kernels import sddmm, spmm, spmm_transpose, with_data
from autorec_np.core.objective import Objective, Passes
from autorec_np.engine.plan import GROUP, Plan, cut, split, with_values
from autorec_np.engine.threads import Workers, row_block, run

ELEMENTS_PER_TASK = 1_000_000  # of a dense factor that a tile is multiplied with at once
GROUPS_PER_TASK = 1024
NON_ZEROS = 0.8  # part of the values; where fewer are not 0, products leave out those that are
GATHERED_ELEMENTS = 400_000  # of the rows of a factor that are gathered for groups at once


class Tiled:
    """A matrix with its plan.

    Parameters
    ----------
    data : ndarray, (nnz,)
        The values in the order of the plan.
    plan : Plan
    """

    def __init__(self, data: Array, plan: Plan) -> None:
        self.data, self.plan = data, plan
        self._corner: list[Array] = []
        self._many_zeros = np.count_nonzero(data) < NON_ZEROS * len(data)

    @classmethod
    def of(cls, matrix: CSR, plan: Plan) -> Tiled:
        """Return the values of a matrix in the order of a plan of its pattern."""
        return cls(matrix.data.take(plan.order), plan)

    def cast(self, dtype: np.dtype[Any]) -> Tiled:
        """Return the matrix in another dtype, itself where it has that."""
        return self if self.dtype == dtype else Tiled(self.data.astype(dtype), self.plan)

    def corner(self) -> list[Array]:
        """Return the cells of each tile, (rows, width), with 0 where nothing is stored."""
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
        """Return the rows of A^T D that belong to a panel, (columns of the panel, k)."""
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
        """Return a sparse array of positions in the rest with the values there instead."""
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

    matrix.corner()  # before the threads ask for it
    panels = enumerate(matrix.plan.panels)
    run([partial(multiply, *panel) for panel in panels], matrix.plan.workers)
    return product


@sddmm.register
def _(pattern: Tiled, left: Array, right: Array) -> Array:
    return pattern.sample(left, right)


TILE_COLUMNS = 256  # of N^T, in one tile of the corner
BAND_ROWS = 128  # of a product by N^T in one task


class Parts(NamedTuple):
    """A matrix in pieces: `corner` and `rest` for each tile of columns, `bands` of the rest."""

    corner: list[Array]  # (columns of the tile, width): cells of the most active rows
    rest: list[CSR]  # (columns of the tile, n_rows)
    bands: list[CSR]  # (rows of the band, n_columns)


class Static:
    """A matrix in order of activity whose values stay, with its products by few columns."""

    def __init__(self, matrix: CSR, workers: Workers | None = None) -> None:
        self.matrix, self.workers = matrix, workers
        n_rows, n_columns = self.shape = matrix.shape
        self.tiles, self.bands = cut(n_columns, TILE_COLUMNS), cut(n_rows, BAND_ROWS)
        self._parts: dict[np.dtype[Any], Parts] = {}

    def parts(self, dtype: np.dtype[Any]) -> Parts:
        """Return the pieces in a dtype, laid out when it is first asked for."""
        if dtype not in self._parts:
            turned = self.matrix.astype(dtype).T.tocsr()
            dense, rest, widths = split(turned, TILE_COLUMNS)
            for part in (dense, rest):
                part.data = turned.data.take(part.data)
            corner = [
                np.ascontiguousarray(row_block(dense, tile)[:, : widths[tile.start]].toarray())
                for tile in self.tiles
            ]
            of_rows = rest.tocsc().T
            self._parts[dtype] = Parts(
                corner,
                [row_block(rest, tile) for tile in self.tiles],
                [row_block(of_rows, band) for band in self.bands],
            )
        return self._parts[dtype]

    def bands_of_product(self, dense: Array) -> Iterator[tuple[slice, Callable[[], Array]]]:
        """Yield some rows of A D, and the function that multiplies them out."""
        parts = self.parts(dense.dtype)

        def multiply(band: slice, rest: CSR) -> Array:
            product = np.asarray(rest @ dense)
            for tile, cells in zip(self.tiles, parts.corner, strict=True):
                n_rows = min(cells.shape[1], band.stop) - band.start
                if n_rows <= 0:
                    break
                inside = cells[:, band.start : band.start + n_rows]
                product[:n_rows] += inside.T @ dense[tile]
            return product

        for band, rest in zip(self.bands, parts.bands, strict=True):
            yield band, partial(multiply, band, rest)

    def tiles_of_transpose(self, dense: Array) -> Iterator[tuple[slice, Callable[[], Array]]]:
        """Yield some rows of A^T D, and the function that multiplies them out."""
        parts = self.parts(dense.dtype)

        def multiply(rest: CSR, cells: Array) -> Array:
            product = np.asarray(rest @ dense)
            product += cells @ dense[: cells.shape[1]]
            return product

        for tile, rest, cells in zip(self.tiles, parts.rest, parts.corner, strict=True):
            yield tile, partial(multiply, rest, cells)


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
    """N Y in the memory of W, there and back, and D_Y in the end; `network.rated` is a `Static`."""

    def __init__(
        self, network: ImplicitNetwork, dtype: np.dtype[Any], workers: Workers | None
    ) -> None:
        self.network, self.dtype, self.workers = network, dtype, workers
        self.rated: Any = network.rated
        shape = network.n_columns, network.n_implicit
        self.shares, self.before, self.d_shares = (np.empty(shape, dtype) for _ in range(3))

    def begin(self, theta: Array) -> None:
        """Work N Y out; :meth:`passes` will change theta, :meth:`take_off` restore it."""
        views = self.network.layout.views(theta)
        self.implicit = views[IMPLICIT]
        self.decoder = views["decoder.weight"][:, : self.network.n_implicit]
        self.n_passes = 0
        _product(self.rated.tiles_of_transpose(self.implicit), self.shares, self.workers)

    def passes(
        self, theta: Array, inputs: Matrix, targets: Matrix, masks: Sequence[Array] | None
    ) -> Passes:
        """Return `Objective.passes` at theta~, which theta is from now on."""
        run([partial(self._put_on, rows) for rows in self.rated.tiles], self.workers)
        self.n_passes += 1
        plain = self.network.plain
        return Objective(plain, 0.0).passes(theta[: plain.layout.size], inputs, targets, masks)

    def _put_on(self, rows: slice) -> None:
        self.before[rows] = self.decoder[rows]
        self.decoder[rows] += self.shares[rows]

    def take_off(self, rows: slice, d_weight: Array) -> None:
        """Make some rows those of W again, to the bit, and keep what D_Y needs of D_W~."""
        self.decoder[rows] = self.before[rows]
        d_shares = d_weight[:, : self.network.n_implicit]
        if self.n_passes == 1:
            self.d_shares[rows] = d_shares
        else:
            self.d_shares[rows] += d_shares

    def finish(self, penalty: float, receive: Callable[[slice, Array], None]) -> None:
        """Pass D_Y + penalty Y on, (36), in parts, when all rows have been taken off."""
        start, width = self.network.layout.slices[IMPLICIT].start, self.network.n_implicit

        def work(rows: slice, multiply: Callable[[], Array]) -> None:
            part = multiply()
            part += part.dtype.type(penalty) * self.implicit[rows]
            receive(slice(start + rows.start * width, start + rows.stop * width), part.reshape(-1))

        parts = self.rated.bands_of_product(self.d_shares)
        run([partial(work, *part) for part in parts], self.workers)
