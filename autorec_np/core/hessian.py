"""Chapter three: the Hessian of the objective times a vector, by Pearlmutter's R-operator (1994).

R{q} is the derivative of a quantity q along a direction v of the parameters: d/dt q(theta + t v)
at t = 0. Applied to every line of the forward and the backward pass it gives H v exactly, at
about twice the cost of a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import numpy as np

from autorec_np._types import Array, Matrix
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.kernels import column_sums, sddmm, spmm, spmm_transpose, with_data
from autorec_np.core.network import Forward
from autorec_np.core.objective import Objective


def hessian_vector_product(
    objective: Objective,
    theta: Array,
    direction: Array,
    inputs: Matrix,
    targets: Matrix,
    fraction: float = 1.0,
    masks: Sequence[Array] | None = None,
) -> Array:
    """Return H v, with H the matrix of second derivatives of J at theta.

    Parameters
    ----------
    objective : Objective
        Any depth, tied or not.
    theta, direction : ndarray, (layout.size,)
        The point and v.
    inputs, targets, fraction, masks
        As in `Objective.value_and_gradient`.

    Returns
    -------
    ndarray, (layout.size,), in the dtype of theta
    """
    network = objective.network
    layout = network.layout
    along = direction.astype(theta.dtype)
    weights, r_weights = layout.views(theta), layout.views(along)
    product = np.zeros_like(theta)
    d_views = layout.views(product)
    g = ACTIVATIONS[network.activation]
    passed = network.forward(theta, inputs, targets, masks)

    # R of the forward pass
    r_z: list[Array] = []
    r_dropped: list[Array] = []
    for depth, layer in enumerate(network.layer_names):
        if depth:
            z = r_dropped[-1] @ weights[f"{layer}.weight"]  # (21)
            z += passed.dropped[depth - 1] @ r_weights[f"{layer}.weight"]
        else:
            z = spmm(inputs, r_weights["encoder.weight"])  # (20)
        r_z.append(z + r_weights[f"{layer}.bias"])
        r_hidden = g.derivative(passed.hidden[depth]) * r_z[-1]  # (22)
        r_dropped.append(r_hidden if masks is None else r_hidden * masks[depth])
    r_activity = sddmm(targets, r_dropped[-1], weights["decoder.weight"])  # (23)
    r_activity += sddmm(targets, passed.dropped[-1], r_weights["decoder.weight"])
    r_activity += r_weights["decoder.bias"][targets.indices]

    # the backward pass and R of it, side by side, from (24)
    r_passed = Forward(r_z, r_dropped, r_activity)
    d_activity, r_d_activity = output_signals(objective, theta, along, targets, passed, r_passed)
    d_views["decoder.weight"] += spmm_transpose(r_d_activity, passed.dropped[-1])  # (25)
    d_views["decoder.weight"] += spmm_transpose(d_activity, r_dropped[-1])
    d_views["decoder.bias"] += column_sums(r_d_activity)
    d_hidden = spmm(d_activity, weights["decoder.weight"])
    r_d_hidden = spmm(r_d_activity, weights["decoder.weight"])  # (26)
    r_d_hidden += spmm(d_activity, r_weights["decoder.weight"])
    for depth, layer in reversed([*enumerate(network.layer_names)]):
        hidden = passed.hidden[depth]
        if masks is not None:
            d_hidden, r_d_hidden = d_hidden * masks[depth], r_d_hidden * masks[depth]
        d_z = d_hidden * g.derivative(hidden)
        r_d_z = r_d_hidden * g.derivative(hidden)  # (27)
        r_d_z += d_hidden * g.second_derivative(hidden) * r_z[depth]
        d_views[f"{layer}.bias"] += column_sums(r_d_z)
        if depth:
            d_views[f"{layer}.weight"] += passed.dropped[depth - 1].T @ r_d_z  # (28)
            d_views[f"{layer}.weight"] += r_dropped[depth - 1].T @ d_z
            r_d_hidden = r_d_z @ weights[f"{layer}.weight"].T
            r_d_hidden += d_z @ r_weights[f"{layer}.weight"].T
            d_hidden = d_z @ weights[f"{layer}.weight"].T
        else:
            d_views["encoder.weight"] += spmm_transpose(inputs, r_d_z)
    for block, penalty in objective.penalties.items():
        where = layout.slices[block]
        product[where] += fraction * penalty * direction[where]  # (29)
    return product


@singledispatch
def output_signals(
    objective: Objective,
    theta: Array,
    direction: Array,
    targets: Matrix,
    passed: Forward,
    r_passed: Forward,
) -> tuple[Matrix, Matrix]:
    """Return D_A and R{D_A}, where the way back begins; R of the outputs' activity is given."""
    f = ACTIVATIONS[objective.network.output_activation]
    outputs, r_activity = passed.outputs, r_passed.outputs
    residuals = outputs - targets.data.astype(theta.dtype, copy=False)
    slope = f.derivative(outputs)
    return with_data(targets, 2 * residuals * slope), with_data(  # (24)
        targets, 2 * r_activity * (slope**2 + residuals * f.second_derivative(outputs))
    )
