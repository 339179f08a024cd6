"""The objective, equation (2) as printed in Sedhain et al. (2015), with its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from autorec_np._types import Array, Matrix
from autorec_np.core.network import Forward, Network, Signals


class Passes(NamedTuple):
    """What one forward and one backward pass over a block of rows have found."""

    passed: Forward
    signals: Signals
    squared_error: float  # the data term of (2)


class Objective:
    """Squared error over observed ratings plus Frobenius penalties.

    For a block of rows that is the part ``fraction`` of all rows,

        J = sum_{(r, c) observed} (t_rc - y_rc)^2
            + fraction * sum_blocks lambda_block / 2 * ||weight_block||_F^2                   (2)

    A sum, not a mean; no 1/2 on the data term; every weight is penalized, no bias is. With
    ``fraction = rows in the block / all rows`` the blocks of one pass add up to the J of the
    whole, so a minibatch solver and a full-batch solver minimize the same function, (16).

    Parameters
    ----------
    network : Network
    regularization : float or mapping of str to float
        lambda for every weight block, or one for each name ("encoder.weight", ...); a weight
        that the mapping leaves out is not penalized. Tied weights have both penalties of (2).

    Attributes
    ----------
    network : Network
    penalties : dict of str to float
        lambda of each block of `network.layout`; those of names that share a block are added.

    Raises
    ------
    ValueError
        If a lambda is negative or not finite, or a name is not a weight block.
    """

    def __init__(self, network: Network, regularization: float | Mapping[str, float]) -> None:
        layout = network.layout
        weights = [name for name in [*layout.shapes, *layout.aliases] if name.endswith(".weight")]
        if not isinstance(regularization, Mapping):
            regularization = dict.fromkeys(weights, regularization)
        self.network = network
        self.penalties: dict[str, float] = {}
        for name, penalty in regularization.items():
            if name not in weights:
                raise ValueError(f"regularization names {name!r}; the weight blocks are {weights}.")
            if not (np.isfinite(penalty) and penalty >= 0):
                raise ValueError(
                    f"regularization of {name} must be finite and at least 0, got {penalty}."
                )
            block = layout.aliases.get(name, name)
            self.penalties[block] = self.penalties.get(block, 0.0) + float(penalty)  # (14)

    def value(
        self,
        theta: Array,
        inputs: Matrix,
        targets: Matrix,
        fraction: float = 1.0,
        masks: Sequence[Array] | None = None,
    ) -> float:
        """Return J alone; see :meth:`value_and_gradient`."""
        self.check(theta, inputs, targets, masks)
        outputs = self.network.forward(theta, inputs, targets, masks).outputs
        residuals = outputs - targets.data.astype(theta.dtype, copy=False)  # (3)
        return sum_of_squares(residuals) + self.penalty_term(theta, fraction)

    def value_and_gradient(
        self,
        theta: Array,
        inputs: Matrix,
        targets: Matrix,
        fraction: float = 1.0,
        masks: Sequence[Array] | None = None,
    ) -> tuple[float, Array]:
        """Return J and dJ/dtheta for a block of rows.

        Parameters
        ----------
        theta : ndarray, (layout.size,)
            All parameters; its dtype is the dtype of the computation.
        inputs : csr_array, (n_rows, n_inputs)
            What the network reads. No argument is changed.
        targets : csr_array, (n_rows, n_columns)
            t; its stored pattern is the observed set, stored zeros included.
        fraction : float
            Rows of this block / all rows.
        masks : sequence of ndarray, (n_rows, width), optional
            One dropout mask of 0 or 1 / (1 - p) for each hidden layer.

        Returns
        -------
        value : float
            Accumulated in float64 (a complex number where theta is complex).
        gradient : ndarray, (layout.size,), in the dtype of theta

        Raises
        ------
        ValueError
            If shapes do not fit the network, or theta is not of a floating dtype.
        """
        passed, signals, squared_error = self.passes(theta, inputs, targets, masks)
        gradient = self.network.gradient(inputs, passed, signals)
        for block, penalty in self.penalties.items():  # of lambda/2 ||W||^2: lambda W
            where = self.network.layout.slices[block]
            gradient[where] += theta.dtype.type(fraction * penalty) * theta[where]
        return squared_error + self.penalty_term(theta, fraction), gradient

    def passes(
        self, theta: Array, inputs: Matrix, targets: Matrix, masks: Sequence[Array] | None
    ) -> Passes:
        """Go forward to the residuals and back to the signals."""
        self.check(theta, inputs, targets, masks)
        passed = self.network.forward(theta, inputs, targets, masks)  # (1)
        residuals = passed.outputs - targets.data.astype(theta.dtype, copy=False)  # (3)
        d_outputs = 2 * residuals  # (4)
        signals = self.network.backward(theta, targets, passed, d_outputs, masks)
        return Passes(passed, signals, sum_of_squares(residuals))

    def penalty_term(self, theta: Array, fraction: float = 1.0) -> float:
        """Return fraction * sum lambda / 2 * ||weight||_F^2."""
        views = self.network.layout.views(theta)
        return fraction * sum(
            penalty / 2 * in_float64(squared_lengths(views[block]))
            for block, penalty in self.penalties.items()
        )

    def check(
        self, theta: Array, inputs: Matrix, targets: Matrix, masks: Sequence[Array] | None
    ) -> None:
        """Raise ValueError where shapes do not fit the network, or theta is not floating."""
        n_rows, sizes = targets.shape[0], self.network.hidden_layer_sizes
        n_inputs = self.network.layout.shapes["encoder.weight"][0]
        wanted = [
            ("inputs", inputs.shape, (n_rows, n_inputs)),
            ("targets", targets.shape, (n_rows, self.network.n_columns)),
        ]
        if masks is not None:
            if len(masks) != len(sizes):
                raise ValueError(
                    f"masks must hold one array for each of the {len(sizes)} hidden layers, "
                    f"got {len(masks)}."
                )
            for depth, (mask, width) in enumerate(zip(masks, sizes, strict=True)):
                wanted.append((f"masks[{depth}]", mask.shape, (n_rows, width)))
        for name, got, needed in wanted:
            if got != needed:
                raise ValueError(f"{name} must have shape {needed}, got {got}.")
        if not np.issubdtype(theta.dtype, np.inexact):
            raise ValueError(
                f"theta must be of a floating dtype, got {theta.dtype}; "
                f"pass theta.astype(numpy.float64)."
            )


def sum_of_squares(vector: Array) -> float:
    """Return sum x^2 in float64; complex x is squared, not conjugated (complex step)."""
    wide = vector.astype(np.result_type(vector, np.float64))
    return in_float64(wide * wide)


def squared_lengths(weight: Array) -> Array:
    """Return the sum of squares of each row, (n,), in the dtype of `weight`."""
    return np.asarray(np.einsum("ij,ij->i", weight, weight))


def in_float64(terms: Array) -> float:
    """Return the sum of a vector, accumulated in float64 (a complex number if it is complex)."""
    total: float = terms.sum(dtype=np.result_type(terms, np.float64)).item()
    return total
