"""The sparse algebra of an autoencoder: five functions on the rows of a rating matrix.

Three products do all the work (2 nnz k operations each), and each is the adjoint of another:

    spmm            Y = A D             n_rows x k       <A D, Y> = <D, A^T Y>
    spmm_transpose  Y = A^T D           n_columns x k
    sddmm           y_e = L_r . R_c     one value for each stored entry e = (r, c) of a pattern

The observed set is the stored pattern, never ``value != 0``: a stored zero is a rating. Nothing
here forms an n_rows x n_columns array, and in the lesson only this file reads `indptr`.

Each of the five is written for CSR arrays. It looks at the type of its first argument
(`functools.singledispatch`), so that another kind of matrix can bring products of its own. One
such kind is here: an inner layer reads a hidden layer, which is dense.
"""

from __future__ import annotations

from functools import singledispatch
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, AnyMatrix, Array


@singledispatch
def with_data(pattern: AnyMatrix, data: Array) -> AnyMatrix:
    """Return a matrix with the pattern of `pattern` (shared, not copied) and other values."""
    csr: Any = pattern
    return sparse.csr_array((data, csr.indices, csr.indptr), shape=csr.shape)  # type: ignore[return-value]


@singledispatch
def spmm(matrix: Any, dense: Array) -> Array:
    """Return A D, sparse times dense.

    Parameters
    ----------
    matrix : csr_array, (n_rows, n_columns)
        A; its values are cast to the dtype of `dense`.
    dense : ndarray, (n_columns, k)
        D.

    Returns
    -------
    ndarray, (n_rows, k), in the dtype of `dense`
    """
    return np.asarray(_cast(matrix, dense) @ dense)


@singledispatch
def spmm_transpose(matrix: Any, dense: Array) -> Array:
    """Return A^T D: the adjoint of :func:`spmm`.

    `matrix` is (n_rows, n_columns), `dense` (n_rows, k); returns (n_columns, k) in the dtype of
    `dense`.
    """
    return np.asarray(_cast(matrix, dense).T @ dense)


@singledispatch
def sddmm(pattern: Any, left: Array, right: Array) -> Array:
    """Return the sampled dense-dense product: L R^T at the stored entries of a pattern.

    Parameters
    ----------
    pattern : csr_array, (n_rows, n_columns)
        Its values are not read.
    left : ndarray, (n_rows, k)
        L.
    right : ndarray, (n_columns, k)
        R, of the same dtype.

    Returns
    -------
    ndarray, (nnz,)
        ``left[r] @ right[c]`` for each stored entry (r, c), in the order of ``pattern.data``.
    """
    values = np.empty(pattern.nnz, np.result_type(left, right))
    for row, (start, stop) in enumerate(pairwise(pattern.indptr)):
        values[start:stop] = right[pattern.indices[start:stop]] @ left[row]
    return values


@singledispatch
def column_sums(matrix: Any) -> Array:
    """Return the sums over each column (n_columns,), accumulated in float64, in its dtype."""
    n_columns = matrix.shape[1]
    sums = np.bincount(matrix.indices, matrix.data.real, n_columns)
    if np.iscomplexobj(matrix.data):
        sums = sums + 1j * np.bincount(matrix.indices, matrix.data.imag, n_columns)
    return sums.astype(matrix.dtype)


@spmm.register
def _(matrix: np.ndarray, dense: Array) -> Array:
    return np.asarray(matrix @ dense)


@spmm_transpose.register
def _(matrix: np.ndarray, dense: Array) -> Array:
    return np.asarray(matrix.T @ dense)


@column_sums.register
def _(matrix: np.ndarray) -> Array:
    sums = matrix.sum(axis=0, dtype=np.result_type(matrix, np.float64))
    return np.asarray(sums.astype(matrix.dtype))


def take_rows(matrix: CSR, rows: Array) -> CSR:
    """Return some rows of a CSR array, a minibatch, as another; stored zeros stay stored."""
    block: CSR = matrix[rows]
    return block


def _cast(matrix: CSR, dense: Array) -> CSR:
    return with_data(matrix, matrix.data.astype(dense.dtype, copy=False))
