"""Where the stored entries of a sparse matrix are."""

from __future__ import annotations

import numpy as np

from autorec_np._types import CSR, Array


def row_of_each(matrix: CSR) -> Array:
    """Return the row of each stored entry, shape (nnz,)."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
