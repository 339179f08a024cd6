"""What regularization="auto" means: a penalty for each weight block, from counts of ratings."""

from __future__ import annotations

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np.core.network import Network

# Fitted on validation ratings of three data sets: docs/decisions.md, "The automatic penalty".
ENCODER_FACTOR = 36.0
DECODER_FACTOR = 12.0
DETECTABLE, DROWNED_FACTOR = 6.0, 64.0


def automatic_penalties(network: Network, matrix: CSR, corruption: float = 0.0) -> dict[str, float]:
    """Return lambda of (2) for each weight block, in canonical units (`units.canonical`).

    lambda = factor * (n_row n_column)^(1/4), with factor 36 (1 - corruption)^2 for the encoder
    weight and 12 for every other; n_row and n_column are :func:`typical_count` of the rows and of
    the columns. Both orientations of the same ratings have the same penalties. Where the root is
    below 6, factors cannot be told from noise, and 64 times the penalty leaves the prediction to
    the baseline.

    The inputs that corruption leaves are divided by (1 - corruption): what acts on them as they
    were is V / (1 - corruption), whose penalty has factor 36.

    Parameters
    ----------
    network : Network
    matrix : csr_array, (n_rows, n_columns)
        The training ratings; only the pattern is read.
    corruption : float in [0, 1)
        See `corruption.corrupt`.
    """
    unit = detail(np.diff(matrix.indptr), np.bincount(matrix.indices))
    if unit < DETECTABLE:
        unit *= DROWNED_FACTOR
    names = [*network.layout.shapes, *network.layout.aliases]
    penalties = {name: unit * DECODER_FACTOR for name in names if name.endswith(".weight")}
    return penalties | {"encoder.weight": unit * ENCODER_FACTOR * (1.0 - corruption) ** 2}


def detail(of_rows: Array, of_columns: Array) -> float:
    """Return (n_row n_column)^(1/4) of the numbers of ratings of rows and columns.

    From `DETECTABLE` on, factors can be told from noise.
    """
    return float((typical_count(of_rows) * typical_count(of_columns)) ** 0.25)


def typical_count(counts: Array) -> float:
    """Return the mean count as a rating sees it: sum n^2 / sum n.

    The count of the row (or column) of a rating drawn at random. Unlike the plain mean it does
    not depend on how many rows with hardly any ratings are listed.
    """
    counts = counts.astype(np.float64)
    return float(counts @ counts / counts.sum())
