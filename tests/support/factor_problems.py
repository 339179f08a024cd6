"""A small problem for factor models, and their scores and pattern as dense arrays."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def problem(seed=0, n_rows=7, n_columns=5, k=3, dtype=np.float64):
    """Ratings with an empty row, an empty column and stored zeros, and [P, b] of both sides."""
    rng = np.random.default_rng(seed)
    filled = rng.random((n_rows, n_columns)) < 0.6
    filled[0, 0], filled[-1], filled[:, -1] = True, False, False
    rows, columns = np.nonzero(filled)
    values = rng.integers(-2, 3, len(rows)).astype(dtype)
    rated = sparse.csr_array((values, (rows, columns)), shape=filled.shape)
    sides = [rng.normal(size=(n, k + 1)).astype(dtype) for n in rated.shape]
    return rated, *sides


def all_scores(users, items):
    return users[:, :-1] @ items[:, :-1].T + users[:, -1:] + items[:, -1]


def pattern(rated):
    filled = np.zeros(rated.shape, bool)
    filled[np.repeat(np.arange(rated.shape[0]), np.diff(rated.indptr)), rated.indices] = True
    return filled
