"""Where a training starts: random weights, and an output that says the mean of its targets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autorec_np._types import CSR, Array
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.network import Network


def starting_theta(
    network: Network,
    targets: CSR,
    centered: bool,
    random_state: np.random.Generator,
    dtype: npt.DTypeLike = np.float64,
) -> Array:
    """Return a random theta, from which the outputs are about the mean of the targets.

    While weights are small, every hidden unit is about g(0). Where this is not 0, rated columns
    start from b = 0 with mean / (k g(0)) added to W: the mean stays in W h, where the penalty holds
    it. J ends higher than from b = mean, and the RMSE of new ratings lower. Where g(0) = 0, W is V
    as well (tied), or the targets are `centered`, b is the mean. A bounded output starts in its
    middle.

    Parameters
    ----------
    network : Network
    targets : csr_array, (n_rows, n_columns)
        What the outputs are to say.
    centered : bool
        Whether a baseline was subtracted from the targets.
    random_state : Generator
    dtype : dtype
    """
    theta = network.layout.initialize(random_state, dtype)
    if ACTIVATIONS[network.output_activation].bounded:
        return theta
    views, mean = network.layout.views(theta), targets.data.mean(dtype=np.float64)
    views["decoder.bias"][...] = mean
    at_zero = ACTIVATIONS[network.activation].forward(np.zeros(1))[0]
    if not (centered or network.tied or at_zero == 0.0):
        rated = np.flatnonzero(np.bincount(targets.indices))  # W of others would be penalty alone
        views["decoder.weight"][rated] += mean / (network.hidden_layer_sizes[-1] * at_zero)
        views["decoder.bias"][rated] = 0.0
    return theta
