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

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

Array: TypeAlias = npt.NDArray[Any]
CSR: TypeAlias = "sparse.csr_array[Any, tuple[int, int]]"

ENTRIES_PER_BLOCK = 16_384  # stored entries in a block of rows: enough work for one task
GATHERED_ROWS = 256  # rows of the right factor gathered at once: they stay in a core's cache


def with_data(pattern: CSR, data: Array) -> CSR:
    """Return a CSR array with the pattern of `pattern` (shared, not copied) and other values."""
    return sparse.csr_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)


def take_rows(matrix: CSR, rows: Array) -> CSR:
    """Return the rows `rows` of `matrix` as a CSR array; stored zeros stay stored."""
    block: CSR = matrix[rows]
    return block


def column_sums(matrix: CSR) -> Array:
    """Return the sums over each column (n_columns,), accumulated in float64, in its dtype."""
    n_columns = matrix.shape[1]
    sums = np.bincount(matrix.indices, matrix.data.real, n_columns)
    if np.iscomplexobj(matrix.data):
        sums = sums + 1j * np.bincount(matrix.indices, matrix.data.imag, n_columns)
    return sums.astype(matrix.dtype)


def spmm(matrix: CSR, dense: Array, executor: Executor | None = None) -> Array:
    """Return A D, sparse times dense.

    Parameters
    ----------
    matrix : csr_array, (n_rows, n_columns)
        A; its values are cast to the dtype of `dense`.
    dense : ndarray, (n_columns, k)
        D.
    executor : concurrent.futures.Executor, optional
        Threads for blocks of rows.

    Returns
    -------
    ndarray, (n_rows, k), in the dtype of `dense`
    """
    matrix = with_data(matrix, matrix.data.astype(dense.dtype, copy=False))
    if executor is None:
        return np.asarray(matrix @ dense)
    product = np.empty((matrix.shape[0], dense.shape[1]), dense.dtype)

    def multiply(start: int, stop: int) -> None:
        product[start:stop] = _row_block(matrix, start, stop) @ dense

    _run(multiply, _row_blocks(matrix), executor)
    return product


def spmm_transpose(matrix: CSR, dense: Array, executor: Executor | None = None) -> Array:
    """Return A^T D: the adjoint of :func:`spmm`.

    `matrix` is (n_rows, n_columns), `dense` (n_rows, k); returns (n_columns, k) in the dtype of
    `dense`. The transpose is made first (cost nnz): its rows can be summed in parallel, each by
    one thread and in the order of the rows of A.
    """
    return spmm(matrix.T.tocsr(), dense, executor)


def sddmm(pattern: CSR, left: Array, right: Array, executor: Executor | None = None) -> Array:
    """Return the sampled dense-dense product: L R^T at the stored entries of a pattern.

    Parameters
    ----------
    pattern : csr_array, (n_rows, n_columns)
        Its values are not read.
    left : ndarray, (n_rows, k)
        L.
    right : ndarray, (n_columns, k)
        R, of the same dtype.
    executor : concurrent.futures.Executor, optional
        Threads for blocks of rows.

    Returns
    -------
    ndarray, (nnz,)
        ``left[r] @ right[c]`` for each stored entry (r, c), in the order of ``pattern.data``.
    """
    values = np.empty(pattern.nnz, np.result_type(left, right))
    indptr, indices = pattern.indptr, pattern.indices

    def multiply(start: int, stop: int) -> None:
        gathered = np.empty((GATHERED_ROWS, right.shape[1]), right.dtype)
        for row in range(start, stop):
            for first in range(indptr[row], indptr[row + 1], GATHERED_ROWS):
                columns = indices[first : min(first + GATHERED_ROWS, indptr[row + 1])]
                block = gathered[: len(columns)]
                right.take(columns, axis=0, out=block, mode="clip")  # "raise" would copy `out`
                # einsum and not BLAS: its threads would compete with the executor's
                np.einsum("ij,j->i", block, left[row], out=values[first : first + len(columns)])

    if executor is None:
        multiply(0, pattern.shape[0])
    else:
        _run(multiply, _row_blocks(pattern), executor)
    return values


def _row_block(matrix: CSR, start: int, stop: int) -> CSR:
    """Return rows start..stop without copying their entries."""
    indptr = matrix.indptr[start : stop + 1]
    entries = slice(indptr[0], indptr[-1])
    return sparse.csr_array(
        (matrix.data[entries], matrix.indices[entries], indptr - indptr[0]),
        shape=(stop - start, matrix.shape[1]),
    )


def _row_blocks(matrix: CSR) -> Iterator[tuple[int, int]]:
    """Cut the rows into runs of about ENTRIES_PER_BLOCK stored entries."""
    marks = np.arange(ENTRIES_PER_BLOCK, matrix.nnz, ENTRIES_PER_BLOCK)
    cuts = np.unique([0, *np.searchsorted(matrix.indptr, marks), matrix.shape[0]])
    return zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)


def _run(
    task: Callable[[int, int], None], blocks: Iterator[tuple[int, int]], executor: Executor
) -> None:
    """Run the task on every block and wait; the first exception is raised here."""
    for future in [executor.submit(task, start, stop) for start, stop in blocks]:
        future.result()
