"""Random damage to the network's inputs, in training only: denoising and dropout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from autorec_np._types import CSR, Array
from autorec_np.core.kernels import with_data


def corrupt(inputs: CSR, probability: float, random_state: np.random.Generator) -> CSR:
    """Return inputs with each stored value set to 0 with a probability, the others scaled up.

    The others are divided by (1 - probability), so that the expectation of V^T r stays the same
    (masking noise of Vincent et al., 2010, in inverted form). The pattern is kept.
    """
    kept = random_state.random(inputs.nnz, dtype=np.float32) >= probability
    return with_data(inputs, inputs.data * kept / inputs.dtype.type(1.0 - probability))


def dropout_masks(
    n_rows: int,
    widths: Sequence[int],
    probability: float,
    random_state: np.random.Generator,
    dtype: npt.DTypeLike,
) -> list[Array]:
    """Return one (n_rows x width) array of 0 or 1 / (1 - probability) for each hidden layer."""
    values = np.array([0.0, 1.0 / (1.0 - probability)], dtype)
    return [
        values[(random_state.random((n_rows, width), dtype=np.float32) >= probability).astype(int)]
        for width in widths
    ]
