"""The autoencoder: forward pass and hand-derived backward pass, any depth, tied or not.

Equation numbers refer to docs/derivation.md. For a block of rows X (inputs) and the pattern P
of its targets, with g the hidden and f the output activation,

    Z1 = X V + 1 mu^T            H1 = g(Z1)
    Zl = H(l-1) Ul + 1 ul^T      Hl = g(Zl)          l = 2, 3, ...
    a_rc = Hl_r . W_c + b_c      y_rc = f(a_rc)      for (r, c) in P only                      (1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.kernels import (
    Array,
    Matrix,
    by_rows,
    column_sums,
    sddmm,
    spmm,
    spmm_transpose_parts,
    with_data,
)
from autorec_np.core.parameters import ParameterLayout
from autorec_np.engine.threads import Workers


class Forward(NamedTuple):
    """What the backward pass needs of the forward pass.

    Attributes
    ----------
    hidden : list of ndarray, (n_rows, width)
        H of each hidden layer, before dropout.
    dropped : list of ndarray, (n_rows, width)
        H times its mask, which is what the next layer read.
    outputs : ndarray, (nnz,)
        y at the stored entries of the pattern, in the order of its data.
    """

    hidden: list[Array]
    dropped: list[Array]
    outputs: Array


@dataclass(frozen=True)
class Network:
    """An autoencoder over sparse rows; holds its architecture, never its parameters.

    Parameters
    ----------
    n_columns : int
        Length of a row of ratings, and of an output row.
    hidden_layer_sizes : sequence of int
        Width of every hidden layer, encoder first.
    activation : str
        Hidden activation g: a key of `activations.ACTIVATIONS`.
    output_activation : str
        Output activation f.
    tied : bool
        Whether the decoder weight is the encoder weight; needs equal first and last widths.
    n_inputs : int, optional
        Length of an input row where it differs from `n_columns` (side features).
    executor : Workers, optional
        Threads for the sparse products; the results do not depend on it.

    Attributes
    ----------
    layout : ParameterLayout
        encoder.weight (n_inputs x k1), encoder.bias (k1), hidden1.weight (k1 x k2),
        hidden1.bias (k2), ..., decoder.weight (n_columns x k), decoder.bias (n_columns).

    Raises
    ------
    ValueError
        For an unknown activation, no or an empty hidden layer, or widths that cannot be tied.
    """

    n_columns: int
    hidden_layer_sizes: Sequence[int]
    activation: str = "sigmoid"
    output_activation: str = "identity"
    tied: bool = False
    n_inputs: int | None = None
    executor: Workers | None = field(default=None, compare=False, repr=False)
    layout: ParameterLayout = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in (self.activation, self.output_activation):
            if name not in ACTIVATIONS:
                raise ValueError(f"unknown activation {name!r}; use one of {sorted(ACTIVATIONS)}.")
        sizes = tuple(self.hidden_layer_sizes)
        if not sizes or min(sizes) < 1:
            raise ValueError(
                f"hidden_layer_sizes must hold one width of at least 1 for each hidden layer, "
                f"got {self.hidden_layer_sizes!r}."
            )
        n_inputs = self.n_columns if self.n_inputs is None else self.n_inputs
        if self.tied and (sizes[0] != sizes[-1] or n_inputs != self.n_columns):
            raise ValueError(
                f"tied weights need equal first and last hidden widths and as many inputs as "
                f"columns, got widths {sizes}, {n_inputs} inputs and {self.n_columns} columns; "
                f"pass tied=False or change the widths."
            )
        object.__setattr__(self, "layout", self._make_layout(n_inputs, sizes))

    def _make_layout(self, n_inputs: int, sizes: tuple[int, ...]) -> ParameterLayout:
        shapes: dict[str, tuple[int, ...]] = {
            "encoder.weight": (n_inputs, sizes[0]),
            "encoder.bias": (sizes[0],),
        }
        for depth, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
            shapes[f"hidden{depth}.weight"] = (n_in, n_out)
            shapes[f"hidden{depth}.bias"] = (n_out,)
        if not self.tied:
            shapes["decoder.weight"] = (self.n_columns, sizes[-1])
        shapes["decoder.bias"] = (self.n_columns,)
        return ParameterLayout(shapes, {"decoder.weight": "encoder.weight"} if self.tied else {})

    def encode(self, theta: Array, inputs: Matrix, masks: Sequence[Array] | None = None) -> Array:
        """Return the code of each row: the last hidden layer, (n_rows, k)."""
        return self._hidden_layers(theta, inputs, masks)[1][-1]

    def decode(self, theta: Array, codes: Array, pattern: Matrix) -> Array:
        """Return y = f(a) at the stored entries of `pattern`, from the codes of its rows, (1)."""
        views = self.layout.views(theta)
        activity = sddmm(pattern, codes, views["decoder.weight"], self.executor)
        activity += views["decoder.bias"].take(pattern.indices)
        return ACTIVATIONS[self.output_activation].forward(activity)

    def forward(
        self, theta: Array, inputs: Matrix, pattern: Matrix, masks: Sequence[Array] | None = None
    ) -> Forward:
        """Reconstruct a block of rows at the stored entries of `pattern`, equation (1).

        Parameters
        ----------
        theta : ndarray, (layout.size,)
        inputs : csr_array, (n_rows, n_inputs)
        pattern : csr_array, (n_rows, n_columns)
            Its values are not read.
        masks : sequence of ndarray, (n_rows, width), optional
            Inverted dropout: for each hidden layer an array of 0 or 1 / (1 - p).

        Returns
        -------
        Forward
        """
        hidden, dropped = self._hidden_layers(theta, inputs, masks)
        return Forward(hidden, dropped, self.decode(theta, dropped[-1], pattern))

    def backward(
        self,
        theta: Array,
        inputs: Matrix,
        pattern: Matrix,
        passed: Forward,
        d_outputs: Array,
        receive: Callable[[str, int, Array], None],
        masks: Sequence[Array] | None = None,
    ) -> None:
        """Pass the derivatives by every parameter to `receive`, equations (5) to (15).

        Parameters
        ----------
        passed : Forward
            What :meth:`forward` returned for the same arguments.
        d_outputs : ndarray, (nnz,)
            dJ/dy at the stored entries of `pattern`.
        receive : callable
            ``receive(block, first_row, derivative)`` with the name of a block of `layout` and the
            derivative by some of its rows, which it may keep and change. Each row comes once:
            with tied weights the encoder's and the decoder's derivative are added, (14). Rows
            of tiled matrices come from several threads. By then theta has been read: an
            optimizer may change the rows at once.
        """
        views = self.layout.views(theta)
        g_derivative = ACTIVATIONS[self.activation].derivative
        f_derivative = ACTIVATIONS[self.output_activation].derivative

        def through_g(d_hidden: Array, hidden: Array) -> Array:
            return d_hidden * g_derivative(hidden)  # (9)

        d_activity = with_data(pattern, d_outputs * f_derivative(passed.outputs))  # (5)
        d_hidden = spmm(d_activity, views["decoder.weight"], self.executor)  # (8)
        d_z: list[Array] = []  # of the deepest layer first
        for depth in reversed(range(len(passed.hidden))):
            if masks is not None:
                d_hidden = d_hidden * masks[depth]  # (15)
            d_z.append(by_rows(through_g, d_hidden, passed.hidden[depth], executor=self.executor))
            if depth:
                d_hidden = d_z[-1] @ views[f"hidden{depth}.weight"].T  # (13)

        receive("decoder.bias", 0, column_sums(d_activity))  # (7)
        for depth, derivative in enumerate(reversed(d_z)):
            name = f"hidden{depth}" if depth else "encoder"
            receive(f"{name}.bias", 0, _row_sum(derivative).astype(theta.dtype))  # (11)
            if depth:
                receive(f"{name}.weight", 0, passed.dropped[depth - 1].T @ derivative)  # (12)
        encoder, decoder = (inputs, d_z[-1]), (d_activity, passed.dropped[-1])  # (10), (6)
        sums = {"encoder.weight": [encoder], "decoder.weight": [decoder]}
        if self.tied:
            sums = {"encoder.weight": [encoder, decoder]}  # (14)
        spmm_transpose_parts(sums, receive, self.executor)

    def _hidden_layers(
        self, theta: Array, inputs: Matrix, masks: Sequence[Array] | None
    ) -> tuple[list[Array], list[Array]]:
        """Return every hidden layer before and after dropout."""
        views = self.layout.views(theta)
        g = ACTIVATIONS[self.activation].forward
        hidden: list[Array] = []
        dropped: list[Array] = []

        def add_bias_and_activate(bias: Array, z: Array) -> Array:
            return g(z + bias)

        for depth in range(len(self.hidden_layer_sizes)):
            name = f"hidden{depth}" if depth else "encoder"
            if depth:
                z = dropped[-1] @ views[f"{name}.weight"]
            else:
                z = spmm(inputs, views["encoder.weight"], self.executor)
            layer = partial(add_bias_and_activate, views[f"{name}.bias"])
            hidden.append(by_rows(layer, z, executor=self.executor))
            dropped.append(hidden[-1] if masks is None else hidden[-1] * masks[depth])
        return hidden, dropped


def _row_sum(array: Array) -> Array:
    """Sum over rows, accumulated in float64."""
    return np.sum(array, axis=0, dtype=np.result_type(array, np.float64))  # type: ignore[no-any-return]
