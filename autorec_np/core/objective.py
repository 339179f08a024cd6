"""The objective, equation (2) as printed in Sedhain et al. (2015), with its gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autorec_np.core.network import Network
from autorec_np.core.parameters import inner_product

if TYPE_CHECKING:
    from autorec_np.core.kernels import Array, Matrix

ELEMENTS_PER_BLOCK = 65_536  # converted to float64 at a time


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

    Raises
    ------
    ValueError
        If a lambda is negative or not finite, or a name is not a weight block.
    """

    def __init__(self, network: Network, regularization: float | Mapping[str, float]) -> None:
        self.network = network
        self.penalties = _penalty_of_blocks(network, regularization)

    def value(
        self,
        theta: Array,
        inputs: Matrix,
        targets: Matrix,
        fraction: float = 1.0,
        masks: Sequence[Array] | None = None,
    ) -> float:
        """Return J alone; see :meth:`value_and_gradient`."""
        self._check(theta, inputs, targets, masks)
        outputs = self.network.forward(theta, inputs, targets, masks).outputs
        residuals = outputs - targets.data.astype(theta.dtype, copy=False)
        return self.data_term(residuals) + self.penalty_term(theta, fraction)

    def value_and_gradient(
        self,
        theta: Array,
        inputs: Matrix,
        targets: Matrix,
        fraction: float = 1.0,
        masks: Sequence[Array] | None = None,
        out: Array | None = None,
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
        out : ndarray, (layout.size,), optional
            Takes the gradient; a large one that is used again saves the system's work of giving
            and taking its memory each time, up to a tenth of the whole.

        Returns
        -------
        value : float
            Accumulated in float64 (a complex number where theta is complex).
        gradient : ndarray, (layout.size,), in the dtype of theta

        Raises
        ------
        ValueError
            If shapes do not fit the network, or `out` does not fit theta.
        """
        gradient = np.empty_like(theta) if out is None else out
        if (gradient.shape, gradient.dtype) != (theta.shape, theta.dtype):
            raise ValueError(
                f"out must have the shape and dtype of theta, {theta.shape} and {theta.dtype}, "
                f"got {gradient.shape} and {gradient.dtype}; pass np.empty_like(theta)."
            )

        def store(where: slice, part: Array) -> None:
            gradient[where] = part

        return self.backpropagate(theta, inputs, targets, store, fraction, masks), gradient

    def backpropagate(
        self,
        theta: Array,
        inputs: Matrix,
        targets: Matrix,
        receive: Callable[[slice, Array], None],
        fraction: float = 1.0,
        masks: Sequence[Array] | None = None,
    ) -> float:
        """Return J, and pass dJ/dtheta on in parts that are still in the cache.

        Parameters
        ----------
        receive : callable
            ``receive(where, part)`` with dJ/dtheta[where], which it may keep and change. The parts
            cover theta once, in any order and from several threads. Nothing reads
            ``theta[where]`` any more, so that an optimizer may change it at once.

        The other arguments and errors are those of :meth:`value_and_gradient`.
        """
        self._check(theta, inputs, targets, masks)
        penalty_terms: dict[int, float] = {}

        def add_penalty(block: str, first_row: int, derivative: Array) -> None:
            where = self.network.layout.part(block, first_row, len(derivative))
            part = derivative.reshape(-1)
            if block in self.penalties:
                weight, penalty = theta[where], self.penalties[block]
                penalty_terms[where.start] = penalty / 2 * inner_product(weight, weight)
                part += theta.dtype.type(fraction * penalty) * weight
            receive(where, part)

        passed = self.network.forward(theta, inputs, targets, masks)
        residuals = passed.outputs - targets.data.astype(theta.dtype, copy=False)  # (3)
        d_outputs = 2 * residuals  # (4)
        self.network.backward(theta, inputs, targets, passed, d_outputs, add_penalty, masks)
        penalty_term = sum(penalty_terms[start] for start in sorted(penalty_terms))
        return self.data_term(residuals) + fraction * penalty_term

    def data_term(self, residuals: Array) -> float:
        """Return the sum of squares, accumulated in float64."""
        return _sum_of_squares(residuals)

    def penalty_term(self, theta: Array, fraction: float = 1.0) -> float:
        """Return fraction * sum lambda / 2 * ||weight||_F^2."""
        slices = self.network.layout.slices
        return fraction * sum(
            penalty / 2 * inner_product(theta[slices[name]], theta[slices[name]])
            for name, penalty in self.penalties.items()
        )

    def _check(
        self, theta: Array, inputs: Matrix, targets: Matrix, masks: Sequence[Array] | None
    ) -> None:
        network = self.network
        shapes = network.layout.shapes
        n_rows = targets.shape[0]
        wanted = [
            ("inputs", inputs.shape, (n_rows, shapes["encoder.weight"][0])),
            ("targets", targets.shape, (n_rows, network.n_columns)),
        ]
        if masks is not None:
            if len(masks) != len(network.hidden_layer_sizes):
                raise ValueError(
                    f"masks must hold one array for each of the "
                    f"{len(network.hidden_layer_sizes)} hidden layers, got {len(masks)}."
                )
            for depth, width in enumerate(network.hidden_layer_sizes):
                wanted.append((f"masks[{depth}]", masks[depth].shape, (n_rows, width)))
        for name, got, needed in wanted:
            if got != needed:
                raise ValueError(f"{name} must have shape {needed}, got {got}.")
        if not np.issubdtype(theta.dtype, np.inexact):
            raise ValueError(
                f"theta must be of a floating dtype, got {theta.dtype}; "
                f"pass theta.astype(numpy.float64)."
            )


def _penalty_of_blocks(
    network: Network, regularization: float | Mapping[str, float]
) -> dict[str, float]:
    """Return {block: lambda}; the penalties of names that share a block are added."""
    layout = network.layout
    weights = [name for name in [*layout.shapes, *layout.aliases] if name.endswith(".weight")]
    if not isinstance(regularization, Mapping):
        regularization = dict.fromkeys(weights, regularization)
    penalties: dict[str, float] = {}
    for name, penalty in regularization.items():
        if name not in weights:
            raise ValueError(f"regularization names {name!r}; the weight blocks are {weights}.")
        if not (np.isfinite(penalty) and penalty >= 0):
            raise ValueError(
                f"regularization of {name} must be finite and at least 0, got {penalty}."
            )
        block = layout.aliases.get(name, name)
        penalties[block] = penalties.get(block, 0.0) + float(penalty)
    return penalties


def _sum_of_squares(vector: Array) -> float:
    """Return sum x^2 in float64; complex x is squared, not conjugated (complex step)."""
    wide_dtype = np.result_type(vector, np.float64)
    total = 0.0
    for start in range(0, vector.size, ELEMENTS_PER_BLOCK):
        wide = vector[start : start + ELEMENTS_PER_BLOCK].astype(wide_dtype, copy=False)
        total += np.einsum("i,i->", wide, wide).item()
    return total
