"""What features say of rows without ratings: two ridge regressions, (40) and (41)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from autorec_np._types import CSR, Array

PENALTY = 100.0  # of (40) and (41), for features of range 1: docs/decisions.md
SMALLEST_PENALTY = 1e-12  # of the trace: below it, least squares of least norm


def feature_effects(features: Array, own: Array, residuals: CSR) -> Array:
    """Return the effects E of d features (n_rows, d) in each column, (n_columns + 1, d + 1).

    To the biases of an unrated row f comes [f, 1] . E[c]; the last of E is of an unrated column.
    `own` (n_rows,) are the biases of the rows; `residuals` (n_columns, n_rows) are without those of
    columns.
    """
    counts = np.bincount(residuals.indices, minlength=len(features))
    wide = np.column_stack([features, np.ones(len(features))])
    weighted = counts * wide.T
    gram = weighted @ wide + PENALTY * np.eye(wide.shape[1])
    common = np.linalg.solve(gram, weighted @ own)  # (40)
    effects = np.tile(common, (residuals.shape[0] + 1, 1))
    left = residuals.data - (wide @ common)[residuals.indices]
    for column, (start, stop) in enumerate(pairwise(residuals.indptr)):
        if start < stop:
            rows = residuals.indices[start:stop]
            weight, bias = ridge(features[rows], left[start:stop], PENALTY)  # (41)
            effects[column] += [*weight, bias]
    return effects


def ridge(inputs: Array, targets: Array, penalty: float) -> tuple[Array, float]:
    """Return the minimizer w, b of sum (t - h . w - b)^2 + penalty / 2 ||w||^2, (18)."""
    mean_input, mean_target = inputs.mean(axis=0), float(targets.mean())
    centered, residuals = inputs - mean_input, targets - mean_target
    n, k = centered.shape
    gram = centered @ centered.T if n <= k else centered.T @ centered
    if penalty / 2 > SMALLEST_PENALTY * gram.trace():
        gram[np.diag_indices_from(gram)] += penalty / 2
        if n <= k:
            weight = centered.T @ np.linalg.solve(gram, residuals)
        else:
            weight = np.linalg.solve(gram, centered.T @ residuals)
    else:  # the Gram matrix may be singular
        weight = np.linalg.lstsq(centered, residuals, rcond=None)[0]
    return weight, mean_target - float(mean_input @ weight)
