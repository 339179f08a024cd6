"""Stored entries: sound, each cell once, whatever the shape."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.data.entries import row_of_each, sort_by_cell
from autorec_np.data.ratings import Ratings


def csr_of(data, indices, indptr, shape=(2, 3), kind=sparse.csr_array):
    """A matrix made by hand: SciPy is given sound arrays and then other ones."""
    matrix = kind(shape, dtype=np.float64)
    matrix.data, matrix.indices, matrix.indptr = map(np.array, (data, indices, indptr))
    return matrix


def test_huge_shape_does_not_overflow():
    # Numbered in int64, the cell of the first entry would wrap to 1, that of the second to 2.
    shape = (2**34, 2**34)
    matrix = sparse.coo_array(([1.0, 2.0], ([2**32, 2**30], [1, 2])), shape=shape)
    rows, columns = matrix.row, matrix.col
    np.testing.assert_array_equal(sort_by_cell(rows, columns, shape), [1, 0])


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize(
    ("data", "indices", "indptr", "message"),
    [
        ([1.0, 2, 9], [2, 0, 2], [0, 3, 3], "the matrix stores (row 0, column 2) more than once, "
         "with the ratings 1.0 and 9.0, and 1 such repeats in all; SciPy would add them up"),
        ([1.0, 2], [0, -1], [0, 1, 2], "the matrix is damaged: "),
        ([1.0, 2], [0, 3], [0, 1, 2], "the matrix is damaged: "),
        ([1.0, 2], [0, 1], [0, 2, 1], "the matrix is damaged: "),
        ([1.0, 2], [0, 1], [1, 1, 2], "the matrix is damaged: "),
        ([1.0, 2], [0, 1], [0, 2], "the matrix is damaged: "),
        ([1.0, 2], [0, 1], [0, 1, 9], "the matrix is damaged: "),
        ([1.0, np.nan, np.inf], [0, 1, 2], [0, 1, 3],
         "the rating at (row 1, column 1) is nan, which is not finite, and so are 2 of 3 ratings"),
    ],
)  # fmt: skip
def test_unsound_matrix_is_refused(kind, data, indices, indptr, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Ratings.from_matrix(csr_of(data, indices, indptr, kind=kind))


def test_unsound_csc_and_coo_are_refused():
    csc = csr_of([1.0, 2], [0, -1], [0, 1, 2, 2], kind=sparse.csc_array)
    with pytest.raises(ValueError, match=r"the matrix is damaged: .*Build it anew"):
        Ratings.from_matrix(csc)
    csc = csr_of([1.0, 2], [0, 0], [0, 2, 2, 2], kind=sparse.csc_array)
    with pytest.raises(ValueError, match=r"stores \(row 0, column 0\) more than once"):
        Ratings.from_matrix(csc)
    coo = sparse.coo_array(([1.0, 2, 3], ([0, 1, 0], [2, 2, 2])), shape=(2, 3))
    with pytest.raises(ValueError, match=r"stores \(row 0, column 2\) more than once, with the"):
        Ratings.from_matrix(coo)


def test_unused_space_at_the_end_of_a_csr_is_ignored():
    matrix = sparse.csr_array((np.ones(2), np.array([0, 1]), np.array([0, 1, 2])), shape=(2, 2))
    matrix.data, matrix.indices = np.array([1.0, 2.0, np.nan]), np.array([0, 1, -7])
    assert Ratings.from_matrix(matrix).triples()[2].tolist() == [1, 2]


@given(counts=st.lists(st.integers(0, 4), max_size=8), seed=st.integers(0, 9))
def test_the_row_of_each_entry_is_that_of_a_loop(counts, seed):
    indptr = np.cumsum([0, *counts])
    indices = np.concatenate([np.arange(n) for n in counts] or [[]]).astype(int)
    data = np.random.default_rng(seed).integers(0, 2, len(indices)).astype(float)
    matrix = sparse.csr_array((data, indices, indptr), shape=(len(counts), 4))
    expected = [row for row, n in enumerate(counts) for _ in range(n)]
    found = row_of_each(matrix)
    assert found.tolist() == expected
    assert found.dtype == np.int64
