"""Blocks of rows, and matrices that are made of the ratings block by block.

Ratings may be mapped files. Memory holds no copy of them, nor anything else as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np.core.kernels import spmm, spmm_transpose, with_data
from autorec_np.core.network import Network
from autorec_np.core.planes import Planes
from autorec_np.engine.threads import Workers, run

KEPT = 2**20  # entries of a matrix that is made at once
ENTRIES_PER_BLOCK = 16_384  # enough work for a task

Made: TypeAlias = "CSR | Planes"


class Rows:
    """A matrix whose rows are made when they are asked for: `of` makes those of a `pattern`."""

    def __init__(self, pattern: CSR, of: Callable[[Array | slice], Made]) -> None:
        self.pattern, self.of = pattern, of
        none = of(slice(0, 0))
        self.shape, self.dtype = (pattern.shape[0], none.shape[1]), none.dtype

    def __getitem__(self, rows: Array | slice) -> Made:
        return self.of(rows)

    @property
    def nnz(self) -> int:
        return self.pattern.nnz


Rated: TypeAlias = "CSR | Planes | Rows"


def rows_of(pattern: CSR, of: Callable[[Array | slice], Made]) -> Rated:
    """Return all rows where they are few entries, else `Rows`."""
    return of(slice(0, pattern.shape[0])) if pattern.nnz <= KEPT else Rows(pattern, of)


def pattern_of(matrix: Rated) -> CSR:
    """Return a CSR array, or that behind planes or rows."""
    pattern: Any = matrix.pattern if isinstance(matrix, Planes | Rows) else matrix
    csr: CSR = pattern
    return csr


def take(pattern: CSR, rows: Array | slice) -> CSR:
    """Return some rows; of a slice without copies."""
    taken: CSR = row_block(pattern, rows) if isinstance(rows, slice) else pattern[rows]
    return taken


def numbers(rows: Array | slice) -> Array:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def row_block(matrix: CSR, rows: slice) -> CSR:
    """Return rows of a matrix, their entries not copied."""
    indptr = matrix.indptr[rows.start : rows.stop + 1]
    entries = slice(indptr[0], indptr[-1])
    block: CSR = sparse.csr_array((len(indptr) - 1, matrix.shape[1]), dtype=matrix.dtype)
    block.data, block.indices = matrix.data[entries], matrix.indices[entries]  # not checked anew
    block.indptr = indptr - indptr[0]
    return block


def row_blocks(counts: Array, n_entries: int) -> Iterator[slice]:
    """Cut rows with so many entries each into runs of about `n_entries`."""
    ends = np.cumsum(counts)
    marks = np.arange(n_entries, ends[-1] if len(ends) else 0, n_entries)
    cuts = np.unique([0, *np.searchsorted(ends, marks) + 1, len(counts)]).tolist()
    return map(slice, cuts[:-1], cuts[1:])


def blocks_of(matrix: Rated, n_entries: int = KEPT) -> Iterator[slice]:
    """Cut all rows into blocks."""
    return row_blocks(np.diff(pattern_of(matrix).indptr), n_entries)


def data_of(matrix: Rated) -> Iterator[Array]:
    """Yield all values, by blocks."""
    if isinstance(matrix, Rows):
        yield from (matrix[rows].data for rows in blocks_of(matrix))
    else:
        yield matrix.data


def entries_of(pattern: CSR, rows: Array) -> Array:
    """Return where the entries of some rows are."""
    starts, counts = pattern.indptr[rows], np.diff(pattern.indptr)[rows]
    ends = np.cumsum(counts)
    entries: Array = np.repeat(starts - ends + counts, counts) + np.arange(ends[-1:].sum())
    return entries


def column_counts(matrix: Rated) -> Array:
    """Return the number of entries in each column."""
    pattern = pattern_of(matrix)
    counts = np.zeros(pattern.shape[1], np.intp)
    for start in range(0, pattern.nnz, KEPT):
        counts += np.bincount(pattern.indices[start : start + KEPT], minlength=len(counts))
    return counts


def encode(network: Network, theta: Array, inputs: Rated, workers: Workers | None) -> Array:
    """Return `Network.encode` of all rows, (n_rows, k), by blocks."""
    codes = np.empty((inputs.shape[0], network.hidden_layer_sizes[-1]), theta.dtype)

    def work(rows: slice) -> None:
        block: Any = inputs
        if isinstance(inputs, Planes):
            pattern = pattern_of(inputs)
            entries = slice(pattern.indptr[rows.start], pattern.indptr[rows.stop])
            block = inputs.part(rows, row_block(pattern, rows), inputs.data[:, entries])
        else:
            block = inputs[rows] if isinstance(inputs, Rows) else row_block(inputs, rows)
        codes[rows] = network.encode(theta, block)

    blocks = blocks_of(inputs, ENTRIES_PER_BLOCK)
    run([partial(work, rows) for rows in blocks], workers)
    return codes


class Scaled:
    """A pattern with one value for each column, N^T of (35); `turned` gives the transpose."""

    def __init__(self, pattern: CSR, scale: Array, turned: Callable[[], CSR]) -> None:
        self.pattern, self.scale, self.turned = pattern, scale, turned
        self.shape = pattern.shape

    @classmethod
    def of(cls, matrix: CSR) -> Scaled:
        scale = np.zeros(matrix.shape[1], matrix.dtype)
        scale[matrix.indices] = matrix.data
        return cls(matrix, scale, lambda: matrix.T.tocsr())

    def blocks(self, dtype: Any) -> Iterator[tuple[slice, CSR]]:
        for rows in blocks_of(self.pattern):
            block = row_block(self.pattern, rows)
            yield rows, with_data(block, self.scale.astype(dtype).take(block.indices))


@spmm.register
def _(matrix: Scaled, dense: Array) -> Array:
    return np.concatenate([spmm(block, dense) for _, block in matrix.blocks(dense.dtype)])


@spmm_transpose.register
def _(matrix: Scaled, dense: Array) -> Array:
    total, *others = (
        spmm_transpose(block, dense[rows]) for rows, block in matrix.blocks(dense.dtype)
    )
    for other in others:
        total += other
    return total
