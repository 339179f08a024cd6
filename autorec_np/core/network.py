"""The autoencoder: forward pass and hand-derived backward pass, any depth, tied or not.

Equation numbers refer to docs/derivation.md. For a block of rows X (inputs) and the pattern P
of its targets, with g the hidden and f the output activation,

    Z1 = X V + 1 mu^T            H1 = g(Z1)
    Zl = H(l-1) Ul + 1 ul^T      Hl = g(Zl)          l = 2, 3, ...
    a_rc = Hl_r . W_c + b_c      y_rc = f(a_rc)      for (r, c) in P only                      (1)

The way back has two parts. First the *signals*: dJ/da at each entry of P, and dJ/dZ of each hidden
layer, each from the one above it. Then the *products*: the derivative by a weight is the signal
behind it times what its layer read, and the derivative by a bias is the sum of the signal. With
D_x for dJ/dx,

    D_A = D_Y o f'(A)      D_H = D_A W  or  D_Z U^T      D_Z = D_H o g'(Z)         the signals
    D_W = D_A^T H          D_U = H^T D_Z                 D_V = X^T D_Z             the products
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from autorec_np._types import Array, Matrix
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.kernels import column_sums, sddmm, spmm, spmm_transpose, with_data
from autorec_np.core.parameters import ParameterLayout


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


class Signals(NamedTuple):
    """The derivatives of J by what each layer adds up, before its activation.

    Attributes
    ----------
    d_activity : csr_array, (n_rows, n_columns)
        dJ/da, with the pattern of the targets.
    d_z : list of ndarray, (n_rows, width)
        dJ/dZ of each hidden layer, the encoder's first.
    """

    d_activity: Matrix
    d_z: list[Array]


class Product(NamedTuple):
    """The derivative by the weight of a layer, as its two factors, and by its bias.

    Attributes
    ----------
    layer : str
        "encoder", "hidden1", ..., or "decoder".
    left, right : matrix or ndarray, (n_rows, ...)
        dJ/dweight = left^T right.
    signal : matrix or ndarray, (n_rows, width)
        dJ/dbias is its sum over the rows.
    """

    layer: str
    left: Matrix | Array
    right: Array
    signal: Matrix | Array


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
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, n_in, n_out in zip(self.layer_names, (n_inputs, *sizes), sizes, strict=False):
            shapes |= {f"{layer}.weight": (n_in, n_out), f"{layer}.bias": (n_out,)}
        shapes |= {"decoder.weight": (self.n_columns, sizes[-1]), "decoder.bias": (self.n_columns,)}
        aliases = {"decoder.weight": "encoder.weight"} if self.tied else {}
        for alias in aliases:
            del shapes[alias]
        object.__setattr__(self, "layout", ParameterLayout(shapes, aliases))

    @property
    def layer_names(self) -> list[str]:
        """The names of the hidden layers, the encoder's first."""
        return ["encoder", *(f"hidden{i}" for i in range(1, len(self.hidden_layer_sizes)))]

    def encode(self, theta: Array, inputs: Matrix, masks: Sequence[Array] | None = None) -> Array:
        """Return the code of each row: the last hidden layer, (n_rows, k)."""
        return self._hidden_layers(theta, inputs, masks)[1][-1]

    def decode(self, theta: Array, codes: Array, pattern: Matrix) -> Array:
        """Return y = f(a) at the stored entries of `pattern`, from the codes of its rows, (1)."""
        views = self.layout.views(theta)
        activity = sddmm(pattern, codes, views["decoder.weight"])
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
        """
        hidden, dropped = self._hidden_layers(theta, inputs, masks)
        return Forward(hidden, dropped, self.decode(theta, dropped[-1], pattern))

    def _hidden_layers(
        self, theta: Array, inputs: Matrix, masks: Sequence[Array] | None
    ) -> tuple[list[Array], list[Array]]:
        """Return every hidden layer before and after dropout."""
        views = self.layout.views(theta)
        g = ACTIVATIONS[self.activation].forward
        hidden: list[Array] = []
        dropped: list[Array] = []
        for depth, layer in enumerate(self.layer_names):
            z = spmm(dropped[-1] if depth else inputs, views[f"{layer}.weight"])
            hidden.append(g(z + views[f"{layer}.bias"]))
            dropped.append(hidden[-1] if masks is None else hidden[-1] * masks[depth])
        return hidden, dropped

    def backward(
        self,
        theta: Array,
        pattern: Matrix,
        passed: Forward,
        d_outputs: Array,
        masks: Sequence[Array] | None = None,
    ) -> Signals:
        """Return the signals: dJ/da on the pattern, and dJ/dZ of each hidden layer.

        Parameters
        ----------
        theta, pattern, masks
            The arguments of :meth:`forward`.
        passed : Forward
            What it returned.
        d_outputs : ndarray, (nnz,)
            dJ/dy at the stored entries of `pattern`.
        """
        views = self.layout.views(theta)
        f, g = ACTIVATIONS[self.output_activation], ACTIVATIONS[self.activation]
        d_activity = with_data(pattern, d_outputs * f.derivative(passed.outputs))  # (5)
        d_dropped = spmm(d_activity, views["decoder.weight"])  # (8)
        d_z: list[Array] = []
        for depth, layer in reversed([*enumerate(self.layer_names)]):
            d_hidden = d_dropped if masks is None else d_dropped * masks[depth]  # (15)
            d_z.insert(0, d_hidden * g.derivative(passed.hidden[depth]))  # (9)
            if depth:
                d_dropped = d_z[0] @ views[f"{layer}.weight"].T  # (13)
        return Signals(d_activity, d_z)

    def products(self, inputs: Matrix, passed: Forward, signals: Signals) -> Iterator[Product]:
        """Yield the derivatives by the weight and the bias of each layer, not yet multiplied."""
        d_activity, d_z = signals
        yield Product("decoder", d_activity, passed.dropped[-1], d_activity)  # (6)
        yield Product("encoder", inputs, d_z[0], d_z[0])  # (10)
        for depth, layer in enumerate(self.layer_names[1:], start=1):
            yield Product(layer, passed.dropped[depth - 1], d_z[depth], d_z[depth])  # (12)

    def gradient(self, inputs: Matrix, passed: Forward, signals: Signals) -> Array:
        """Return dJ/dtheta, (layout.size,): each signal times what its layer read.

        Parameters
        ----------
        inputs : csr_array, (n_rows, n_inputs)
        passed, signals
            What :meth:`forward` and :meth:`backward` returned.
        """
        gradient = np.zeros(self.layout.size, passed.hidden[0].dtype)
        d_views = self.layout.views(gradient)
        for layer, left, right, signal in self.products(inputs, passed, signals):
            d_views[f"{layer}.weight"] += spmm_transpose(left, right)  # tied: a sum, (14)
            d_views[f"{layer}.bias"] += column_sums(signal)  # (7), (11)
        return gradient
