"""The row of each stored entry, stored zeros and empty rows included."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np._entries import row_of_each


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
