"""The sparse algebra of an autoencoder over CSR rows; in the core, only this file reads `indptr`.

Three products do all the work (2 nnz k operations each), and each is the adjoint of another:

    spmm            Y = A D             n_rows x k       <A D, Y> = <D, A^T Y>
    spmm_transpose  Y = A^T D           n_columns x k
    sddmm           y_e = L_r . R_c     one value for each stored entry e = (r, c) of a pattern

The observed set is the stored pattern, never ``value != 0``: a stored zero is a rating. Nothing
here forms an n_rows x n_columns array. With an executor, blocks of rows run in its threads; a row's
result does not depend on the block that it is in, so the result is the same to the last bit
with any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, overload

import numpy as np
from scipy import sparse

from autorec_np.engine.threads import Workers, run
from autorec_np.engine.tiled import CSR as CSR
from autorec_np.engine.tiled import Array as Array
from autorec_np.engine.tiled import Tiled as Tiled
from autorec_np.engine.tiled import row_block as row_block

Matrix: TypeAlias = "CSR | Tiled"

ENTRIES_PER_BLOCK = 16_384  # stored entries in a block of rows: enough work for one task
ROWS_PER_BLOCK = 256  # of an elementwise function
GATHERED_ROWS = 256  # rows of the right factor gathered at once: they stay in a core's cache


@overload
def with_data(pattern: CSR, data: Array) -> CSR: ...
@overload
def with_data(pattern: Tiled, data: Array) -> Tiled: ...
@overload
def with_data(pattern: Matrix, data: Array) -> Matrix: ...
def with_data(pattern: Matrix, data: Array) -> Matrix:
    """Return a matrix with the pattern of `pattern` (shared, not copied) and other values."""
    if isinstance(pattern, Tiled):
        return Tiled(data, pattern.tiling)
    return sparse.csr_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)


def take_rows(matrix: CSR, rows: Array) -> CSR:
    """Return the rows `rows` of `matrix` as a CSR array; stored zeros stay stored."""
    block: CSR = matrix[rows]
    return block


def column_sums(matrix: Matrix) -> Array:
    """Return the sums over each column (n_columns,), accumulated in float64, in its dtype."""
    n_columns = matrix.shape[1]
    sums = np.bincount(matrix.indices, matrix.data.real, n_columns)
    if np.iscomplexobj(matrix.data):
        sums = sums + 1j * np.bincount(matrix.indices, matrix.data.imag, n_columns)
    return sums.astype(matrix.dtype)


def spmm(matrix: Matrix, dense: Array, executor: Workers | None = None) -> Array:
    """Return A D, sparse times dense.

    Parameters
    ----------
    matrix : csr_array, (n_rows, n_columns)
        A; its values are cast to the dtype of `dense`.
    dense : ndarray, (n_columns, k)
        D.
    executor : Workers, optional
        Threads for blocks of rows.

    Returns
    -------
    ndarray, (n_rows, k), in the dtype of `dense`
    """
    matrix = _cast(matrix, dense.dtype)
    if isinstance(matrix, Tiled):
        return matrix.multiply(dense, executor)
    if executor is None:
        return np.asarray(matrix @ dense)
    product = np.empty((matrix.shape[0], dense.shape[1]), dense.dtype)

    def multiply(rows: slice) -> None:
        product[rows] = row_block(matrix, rows) @ dense

    run([partial(multiply, rows) for rows in row_blocks(matrix, ENTRIES_PER_BLOCK)], executor)
    return product


def spmm_transpose(matrix: Matrix, dense: Array, executor: Workers | None = None) -> Array:
    """Return A^T D: the adjoint of :func:`spmm`.

    `matrix` is (n_rows, n_columns), `dense` (n_rows, k); returns (n_columns, k) in the dtype of
    `dense`. The transpose is made first (cost nnz): its rows can be summed in parallel, each by
    one thread and in the order of the rows of A.
    """
    if not isinstance(matrix, Tiled):
        return spmm(matrix.T.tocsr(), dense, executor)
    product = np.empty((matrix.shape[1], dense.shape[1]), dense.dtype)

    def store(name: str, first_row: int, rows: Array) -> None:
        product[first_row : first_row + len(rows)] = rows

    spmm_transpose_parts({"product": [(matrix, dense)]}, store, executor)
    return product


def spmm_transpose_parts(
    sums: Mapping[str, Sequence[tuple[Matrix, Array]]],
    receive: Callable[[str, int, Array], None],
    executor: Workers | None = None,
) -> None:
    """Pass sums of products A^T D to `receive`, some rows at a time.

    Parameters
    ----------
    sums : mapping of str to sequence of (matrix, ndarray)
        The pairs (A, D) of each sum, as the arguments of :func:`spmm_transpose`; all matrices of
        one sum have one shape, all are tiled or none.
    receive : callable
        ``receive(name, first_row, rows)``, in any order and from any thread, until every row of
        every sum has been passed once; it may keep and change `rows`. A sum of CSR arrays is
        passed as a whole.
    """
    tasks: list[Callable[[], None]] = []
    for name, pairs in sums.items():
        cast = [(_cast(matrix, dense.dtype), dense) for matrix, dense in pairs]
        tiled = [(matrix, dense) for matrix, dense in cast if isinstance(matrix, Tiled)]
        if not tiled:
            total = spmm_transpose(*pairs[0], executor)
            for matrix, dense in pairs[1:]:
                total += spmm_transpose(matrix, dense, executor)
            receive(name, 0, total)
            continue
        for matrix, _ in tiled:
            matrix.corner(executor)  # before the threads ask for it
        tasks += [
            partial(_multiply_panel, tiled, *panel, partial(receive, name))
            for panel in enumerate(tiled[0][0].tiling.panels)
        ]
    run(tasks, executor)


def _multiply_panel(
    pairs: Sequence[tuple[Tiled, Array]],
    number: int,
    panel: slice,
    receive: Callable[[int, Array], None],
) -> None:
    total, *others = (matrix.multiply_panel(number, dense) for matrix, dense in pairs)
    for other in others:
        total += other
    receive(panel.start, total)


def sddmm(pattern: Matrix, left: Array, right: Array, executor: Workers | None = None) -> Array:
    """Return the sampled dense-dense product: L R^T at the stored entries of a pattern.

    Parameters
    ----------
    pattern : csr_array, (n_rows, n_columns)
        Its values are not read.
    left : ndarray, (n_rows, k)
        L.
    right : ndarray, (n_columns, k)
        R, of the same dtype.
    executor : Workers, optional
        Threads for blocks of rows.

    Returns
    -------
    ndarray, (nnz,)
        ``left[r] @ right[c]`` for each stored entry (r, c), in the order of ``pattern.data``.
    """
    if isinstance(pattern, Tiled):
        return pattern.sample(left, right, executor)
    values = np.empty(pattern.nnz, np.result_type(left, right))
    indptr, indices = pattern.indptr, pattern.indices

    def multiply(rows: slice) -> None:
        gathered = np.empty((GATHERED_ROWS, right.shape[1]), right.dtype)
        for row in range(rows.start, rows.stop):
            for first in range(indptr[row], indptr[row + 1], GATHERED_ROWS):
                columns = indices[first : min(first + GATHERED_ROWS, indptr[row + 1])]
                block = gathered[: len(columns)]
                right.take(columns, axis=0, out=block, mode="clip")  # "raise" would copy `out`
                # einsum and not BLAS: its threads would compete with the executor's
                np.einsum("ij,j->i", block, left[row], out=values[first : first + len(columns)])

    run([partial(multiply, rows) for rows in row_blocks(pattern, ENTRIES_PER_BLOCK)], executor)
    return values


def _cast(matrix: Matrix, dtype: np.dtype[Any]) -> Matrix:
    if matrix.dtype == dtype:
        return matrix  # the very object: it may have its dense corner at hand
    return with_data(matrix, matrix.data.astype(dtype))


def by_rows(function: Callable[..., Array], *arrays: Array, executor: Workers | None) -> Array:
    """Return ``function(*arrays)``, elementwise or row by row, worked out in blocks of rows.

    The result has the shape and dtype of the first array.
    """
    if executor is None:
        return function(*arrays)
    result = np.empty_like(arrays[0])

    def work(block: slice) -> None:
        result[block] = function(*(array[block] for array in arrays))

    starts = range(0, len(result), ROWS_PER_BLOCK)
    run([partial(work, slice(start, start + ROWS_PER_BLOCK)) for start in starts], executor)
    return result


def row_blocks(matrix: CSR, n_entries: int) -> Iterator[slice]:
    """Cut the rows into runs of about `n_entries` stored entries."""
    marks = np.arange(n_entries, matrix.nnz, n_entries)
    cuts = np.unique([0, *np.searchsorted(matrix.indptr, marks), matrix.shape[0]]).tolist()
    return map(slice, cuts[:-1], cuts[1:])
