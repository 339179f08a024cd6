"""Chapter four: the implicit decoder, which also reads who has rated what.

That a user rated a film at all says who the user is, whatever the rating (Koren, 2008). Each row j
has q further parameters y_j, and each column c adds up those of the rows O_c that rated it:

    w~_c = w_c + n_c^(-1/2) sum_{j in O_c} [y_j, 0]       W~ = W + [N Y, 0]              (35)

N is (n_columns x n_rows) and holds n_c^(-1/2) at each training pair, n_c = |O_c|. So theta~ is a
linear map of theta, and everything behind it stays as it was. The derivative goes back through the
map: D_W = D_W~ and D_Y = N^T D_W~[:, :q].
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from autorec_np._types import CSR, Array, Matrix
from autorec_np.core.hessian import hessian_vector_product
from autorec_np.core.kernels import spmm, spmm_transpose, with_data
from autorec_np.core.network import Forward, Network, Signals
from autorec_np.core.objective import Objective
from autorec_np.core.parameters import ParameterLayout

IMPLICIT = "implicit.weight"


def scaled_pattern(targets: CSR, dtype: npt.DTypeLike = np.float64) -> CSR:
    """Return N^T of (35): n_c^(-1/2) at each stored pair, whatever its value.

    Parameters
    ----------
    targets : csr_array, (n_rows, n_columns)
        The training ratings; only the pattern is read, and it is shared.
    dtype : dtype

    Returns
    -------
    csr_array, (n_rows, n_columns)
    """
    counts = np.bincount(targets.indices, minlength=targets.shape[1])
    return with_data(targets, (counts[targets.indices] ** -0.5).astype(dtype))


@dataclass(frozen=True, kw_only=True)
class ImplicitNetwork(Network):
    """A network whose decoder weight is W~ of (35).

    Parameters
    ----------
    rated : csr_array, (n_rows, n_columns)
        N^T: see :func:`scaled_pattern`. It holds all rows, whichever are at hand.
    n_implicit : int
        q, at most the last hidden width.

    The others are those of `Network`.

    Attributes
    ----------
    layout : ParameterLayout
        The blocks of the plain network, then implicit.weight, Y (n_rows x q).
    plain : Network
        The same without Y: it reads the first ``plain.layout.size`` of :meth:`expand`.

    Raises
    ------
    ValueError
        Where a `Network` does; for tied weights, a q out of range, or N of other columns.
    """

    rated: Matrix = field(compare=False, repr=False)
    n_implicit: int
    plain: Network = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        width, (n_rows, n_columns) = self.hidden_layer_sizes[-1], self.rated.shape
        if self.tied:
            raise ValueError(
                "the implicit decoder cannot be tied: pass tied=False or n_implicit=0."
            )
        if not 1 <= self.n_implicit <= width:
            raise ValueError(
                f"n_implicit must lie between 1 and the last hidden width {width}, "
                f"got {self.n_implicit}."
            )
        if n_columns != self.n_columns:
            raise ValueError(f"rated must have {self.n_columns} columns, got {n_columns}.")
        sizes = self.n_columns, self.hidden_layer_sizes
        plain = Network(*sizes, self.activation, self.output_activation, n_inputs=self.n_inputs)
        shapes = plain.layout.shapes | {IMPLICIT: (n_rows, self.n_implicit)}
        object.__setattr__(self, "plain", plain)
        object.__setattr__(self, "layout", ParameterLayout(shapes))

    def expand(self, theta: Array) -> Array:
        """Return theta~, (layout.size,): theta with W~ in the place of W, (35).

        The map is linear; it takes a direction to a direction as well.
        """
        expanded: Array = theta.copy()
        views = self.layout.views(expanded)
        views["decoder.weight"][:, : self.n_implicit] += spmm_transpose(self.rated, views[IMPLICIT])
        return expanded

    def expand_transpose(self, gradient: Array) -> Array:
        """Return the derivative by theta from the one by theta~, in place: D_Y joins, (36)."""
        d_views = self.layout.views(gradient)
        d_views[IMPLICIT] += spmm(self.rated, d_views["decoder.weight"][:, : self.n_implicit])
        return gradient

    def decode(self, theta: Array, codes: Array, pattern: Matrix) -> Array:
        """Return y at the stored entries of `pattern`, (1) with W~."""
        return super().decode(self.expand(theta), codes, pattern)

    def backward(
        self,
        theta: Array,
        pattern: Matrix,
        passed: Forward,
        d_outputs: Array,
        masks: Sequence[Array] | None = None,
    ) -> Signals:
        """Return the signals, (8) with W~."""
        return super().backward(self.expand(theta), pattern, passed, d_outputs, masks)

    def gradient(self, inputs: Matrix, passed: Forward, signals: Signals) -> Array:
        """Return dJ/dtheta, (layout.size,)."""
        return self.expand_transpose(super().gradient(inputs, passed, signals))


def implicit_hessian_vector_product(
    objective: Objective,
    theta: Array,
    direction: Array,
    inputs: Matrix,
    targets: Matrix,
    fraction: float = 1.0,
    masks: Sequence[Array] | None = None,
) -> Array:
    """Return H v = E^T H~ E v + penalties, with E the map of (35), (37).

    The arguments are those of `hessian.hessian_vector_product`; the network of the objective is an
    `ImplicitNetwork`.
    """
    network = objective.network
    if not isinstance(network, ImplicitNetwork):
        raise TypeError(f"the network must be an ImplicitNetwork, got {type(network).__name__}.")
    behind, plain = slice(network.plain.layout.size), copy.copy(objective)
    plain.network, plain.penalties = network.plain, {}
    product = np.zeros_like(theta)
    product[behind] = hessian_vector_product(
        plain,
        network.expand(theta)[behind],
        network.expand(direction.astype(theta.dtype))[behind],
        inputs,
        targets,
        fraction,
        masks,
    )
    network.expand_transpose(product)
    for block, penalty in objective.penalties.items():
        where = network.layout.slices[block]
        product[where] += fraction * penalty * direction[where]
    return product
