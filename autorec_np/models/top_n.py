"""The best n of each row of scores."""

from __future__ import annotations

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np.data.entries import row_of_each


def top_n(scores: Array, n: int, excluded: CSR | None = None) -> tuple[Array, Array]:
    """Return columns and scores, (n_rows, min(n, n_columns)), of the highest scores in each row.

    Highest first; equal scores by ascending column, also at the boundary. The stored entries of
    `excluded` are left out: `scores` is overwritten with -inf there.
    """
    if excluded is not None:
        scores[row_of_each(excluded), excluded.indices] = -np.inf
    n = min(n, scores.shape[1])
    columns = np.empty((scores.shape[0], n), np.int64)
    for row, target in zip(scores, columns, strict=True):
        target[:] = _best_of_row(row, n)
    return columns, np.take_along_axis(scores, columns, axis=1)


def _best_of_row(row: Array, n: int) -> Array:
    # np.argpartition alone would break ties freely
    threshold = np.partition(row, len(row) - n)[len(row) - n]
    above = np.flatnonzero(row > threshold)
    level = np.flatnonzero(row == threshold)[: n - len(above)]
    chosen = np.concatenate((above, level))
    return chosen[np.lexsort((chosen, -row[chosen]))]
