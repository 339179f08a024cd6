"""Fixtures and settings that several test files share."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from scipy import sparse

settings.register_profile("autorec_np", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("autorec_np")


@pytest.fixture(scope="session")
def tiny_matrix():
    """7 x 6 ratings in float64, read-only: row 1 and column 4 are empty, row 2 has one rating.

    Three ratings are stored zeros; every value is exact in float32 too.
    """
    rows = [
        {0: 4.0, 1: 0.0, 3: 2.0},
        {},
        {2: 5.0},
        {0: 3.0, 1: 1.0, 3: 0.0, 5: 4.0},
        {1: 2.5, 5: 1.0},
        {0: 5.0, 1: 1.5, 2: 2.0, 3: 4.0, 5: 3.0},
        {3: 4.5, 5: 0.0},
    ]
    data = np.array([value for row in rows for value in row.values()])
    indices = np.array([column for row in rows for column in row], np.int32)
    indptr = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int32)
    for array in (data, indices, indptr):
        array.flags.writeable = False
    return sparse.csr_array((data, indices, indptr), shape=(7, 6))
