"""The implicit decoder, faster: W~ stands in the place of W for as long as a step needs it.

N Y is worked out once a step, and D_Y once from all of D_W~. Both are products of the whole
pattern, which stays, by few columns: its dense corner and its rest are laid out once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from autorec_np._types import CSR, Array, Matrix
from autorec_np.core.implicit import IMPLICIT, ImplicitNetwork
from autorec_np.core.kernels import spmm, spmm_transpose
from autorec_np.core.objective import Objective, Passes
from autorec_np.engine.plan import cut, split
from autorec_np.engine.threads import Workers, row_block, run

TILE_COLUMNS = 256  # of N^T, in one tile of the corner
BAND_ROWS = 128  # of a product by N^T in one task


class Parts(NamedTuple):
    """A matrix in pieces: `corner` and `rest` for each tile of columns, `bands` of the rest."""

    corner: list[Array]  # (columns of the tile, width): cells of the most active rows
    rest: list[CSR]  # (columns of the tile, n_rows)
    bands: list[CSR]  # (rows of the band, n_columns)


class Static:
    """A matrix whose values stay, with its products by few columns.

    Parameters
    ----------
    matrix : csr_array, (n_rows, n_columns)
        In order of activity.
    workers : Workers, optional
        Threads; no number depends on them.
    """

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
    """N Y in the memory of W, there and back, and D_Y in the end; for many evaluations.

    Parameters
    ----------
    network : ImplicitNetwork
        Its `rated` is a `Static`.
    dtype : dtype
    workers : Workers, optional
    """

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
