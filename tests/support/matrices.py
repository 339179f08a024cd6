"""Sparse matrices for tests: random ones, small ones for hypothesis, tiles as CSR again."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.core.kernels import sddmm


def random_csr(n_rows, n_columns, nnz, seed, dtype=np.float64):
    """Return a CSR array with about nnz entries, some of them stored zeros."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(n_rows, size=nnz), rng.integers(n_columns, size=nnz)
    pairs = np.unique(np.column_stack((rows, columns)), axis=0)
    values = rng.integers(0, 6, len(pairs)).astype(dtype)
    indptr = np.searchsorted(pairs[:, 0], np.arange(n_rows + 1))
    return sparse.csr_array(
        (values, pairs[:, 1].astype(np.int32), indptr.astype(np.int32)), shape=(n_rows, n_columns)
    )


@st.composite
def small_csr(draw, dtype=np.float64):
    """Any pattern on at most 6 x 6; whole numbers, so that every order of summation is exact."""
    n_rows, n_columns = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    cells = st.sampled_from([None, None, -2, -1, 0, 1, 2, 3])
    values, indices, indptr = [], [], [0]
    for _ in range(n_rows):
        row = draw(st.lists(cells, min_size=n_columns, max_size=n_columns))
        indices += [column for column, cell in enumerate(row) if cell is not None]
        values += [cell for cell in row if cell is not None]
        indptr.append(len(values))
    return sparse.csr_array(
        (np.array(values, dtype), np.array(indices, np.int32), np.array(indptr, np.int32)),
        shape=(n_rows, n_columns),
    )


def whole_numbers(shape, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(-3, 4, shape).astype(dtype)
    return numbers + 1j * rng.integers(-3, 4, shape) if np.iscomplexobj(numbers) else numbers


def untiled(tiled):
    """The CSR array again, with rows found by the sampled product that other tests check."""
    n_rows, n_columns = tiled.shape
    numbers = np.arange(n_rows, dtype=np.float64)[:, np.newaxis]
    rows = sddmm(tiled, numbers, np.ones((n_columns, 1))).astype(int)
    order = np.lexsort((tiled.indices, rows))
    indptr = np.searchsorted(rows[order], np.arange(n_rows + 1))
    return sparse.csr_array((tiled.data[order], tiled.indices[order], indptr), tiled.shape)
