"""Chapter six: an objective that also counts what was not rated.

What a user did not choose says something too. Every cell without a rating gets a weight w0
and a target t0 (Hu, Koren and Volinsky, 2008; Steck, 2010), and observed ones may weigh c:

    J = sum_observed c (t - y)^2 + w0 sum_others (t0 - y)^2 + penalties                       (70)
      = sum_observed [c (t - y)^2 - w0 (t0 - y)^2] + w0 sum_all (t0 - y)^2 + penalties        (71)

With an identity output, y - t0 is a product of two thin matrices, one row of each for a row and a
column of the ratings:

    Y - T0 = L R^T      L = [H, 1, s]      R = [W, b - t0, 1]                                 (72)

(s, if any, was subtracted from all targets of a row, as its bias is). So the sum over all cells is
one of two small Gram matrices, and dJ/dA is a sparse matrix plus a product that is never formed:

    sum_all (t0 - y)^2 = sum_ij (L^T L)_ij (R^T R)_ij                                         (73)
    D_A = 2 [c (Y - T) - w0 (Y - T0)] on the pattern + 2 w0 L R^T                             (74)

For the network that is another kind of matrix: four of the five kernels are all that is new. Rows
without ratings count; columns without any are left out. R{D_A}, for the Hessian times a vector, has
the same form, (76). Equation numbers refer to docs/derivation.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autorec_np._types import Array, Matrix
from autorec_np.core.hessian import hessian_vector_product, output_signals
from autorec_np.core.implicit import ImplicitNetwork, implicit_hessian_vector_product
from autorec_np.core.kernels import column_sums, sddmm, spmm, spmm_transpose, with_data
from autorec_np.core.network import Forward, Network
from autorec_np.core.objective import Objective, Passes, in_float64
from autorec_np.core.planes import Planes

ROWS_AT_ONCE = 4_096  # of a Gram matrix, in float64


class PlusLowRank:
    """S + L R^T: a sparse matrix, and a product of thin ones, never formed, (74).

    Parameters
    ----------
    pattern : csr_array, (n_rows, n_columns)
        S.
    left, right : ndarray, (n_rows, m) and (n_columns, m)
        L and R.
    """

    def __init__(self, pattern: Matrix, left: Array, right: Array) -> None:
        self.pattern, self.left, self.right = pattern, left, right


@with_data.register
def _(pattern: PlusLowRank, data: Array) -> PlusLowRank:  # type: ignore[misc]
    return PlusLowRank(with_data(pattern.pattern, data), pattern.left, pattern.right)


@spmm.register
def _(matrix: PlusLowRank, dense: Array) -> Array:
    return np.asarray(spmm(matrix.pattern, dense) + matrix.left @ (matrix.right.T @ dense))


@spmm_transpose.register
def _(matrix: PlusLowRank, dense: Array) -> Array:
    return np.asarray(
        spmm_transpose(matrix.pattern, dense) + matrix.right @ (matrix.left.T @ dense)
    )


@column_sums.register
def _(matrix: PlusLowRank) -> Array:
    return np.asarray(column_sums(matrix.pattern) + matrix.right @ column_sums(matrix.left))


class Cells(NamedTuple):
    """Observed cells: their pattern, targets t and weights c, (nnz,), and shifts s, (n_rows, 1)."""

    pattern: Matrix
    targets: Array
    weights: Array
    shifts: Array | None

    @classmethod
    def of(cls, targets: Matrix, dtype: npt.DTypeLike) -> Cells:
        """Read the targets of `AllCells`: c is 1 without a plane of its own."""
        if not isinstance(targets, Planes):
            return cls(targets, targets.data.astype(dtype, copy=False), np.ones(1, dtype), None)
        t, c = targets.data.astype(dtype, copy=False)
        shifts = targets.features
        return cls(targets.pattern, t, c, None if shifts is None else shifts.astype(dtype))


class AllCells(Objective):
    """The objective (70): w0 and t0 of the cells without a rating beside the penalties.

    Parameters
    ----------
    network : Network
        With an identity output.
    regularization : float or mapping of str to float
        As of `Objective`.
    weight : float
        w0; 0: `Objective` itself, to the bit.
    target : float or ndarray, (n_columns,)
        t0.
    counted : ndarray of bool, (n_columns,), optional
        Columns that count where they are not rated: those with a rating. None: all.

    Raises
    ------
    ValueError
        Where an `Objective` does; for another output, or w0 or t0 out of range.
    """

    def __init__(
        self,
        network: Network,
        regularization: float | Mapping[str, float],
        weight: float,
        target: float | Array = 0.0,
        counted: Array | None = None,
    ) -> None:
        super().__init__(network, regularization)
        if network.output_activation != "identity":
            raise ValueError(
                f"the sum over all cells has two thin factors only with an identity output, got "
                f"output_activation={network.output_activation!r}; use 'identity'."
            )
        if not (np.isfinite(weight) and weight >= 0 and np.all(np.isfinite(target))):
            raise ValueError(
                f"the weight of unobserved cells must be finite and at least 0 and their target "
                f"finite, got {weight} and {target}."
            )
        self.weight = float(weight)
        self.target = np.broadcast_to(np.asarray(target, np.float64), network.n_columns)
        self.counted = counted

    def reorder(self, columns: Array) -> None:
        """Take the columns in another order."""
        self.target = self.target[columns]
        self.counted = None if self.counted is None else self.counted[columns]

    def value(
        self,
        theta: Array,
        inputs: Matrix,
        targets: Matrix,
        fraction: float = 1.0,
        masks: Sequence[Array] | None = None,
    ) -> float:
        """Return J alone; the arguments are those of :meth:`passes`."""
        cells = Cells.of(targets, theta.dtype)
        self.check(theta, inputs, cells.pattern, masks)
        passed = self.network.forward(theta, inputs, cells.pattern, masks)
        return self.errors(theta, cells, passed)[0] + self.penalty_term(theta, fraction)

    def passes(
        self, theta: Array, inputs: Matrix, targets: Matrix, masks: Sequence[Array] | None
    ) -> Passes:
        """Go forward to the residuals and back to the signals, as `Objective.passes`.

        `targets` may be two `Planes`, t and c, whose only feature, if any, is s. The `d_activity`
        of the signals is a `PlusLowRank`.
        """
        cells = Cells.of(targets, theta.dtype)
        self.check(theta, inputs, cells.pattern, masks)
        passed = self.network.forward(theta, inputs, cells.pattern, masks)
        value, d_outputs, (left, right) = self.errors(theta, cells, passed)
        left *= left.dtype.type(2 * self.weight)
        d_everywhere: Any = PlusLowRank(cells.pattern, left, right)
        signals = self.network.backward(theta, d_everywhere, passed, d_outputs, masks)  # (74)
        return Passes(passed, signals, value)

    def errors(
        self, theta: Array, cells: Cells, passed: Forward
    ) -> tuple[float, Array, tuple[Array, Array]]:
        """Return the data terms of (71), D_Y of the first on the pattern, and L and R of (72)."""
        left, right = factors = self.factors(theta, passed.dropped[-1], cells.shifts)
        residuals = passed.outputs - cells.targets
        above = passed.outputs - self.target.astype(theta.dtype).take(cells.pattern.indices)
        if cells.shifts is not None:
            above += sddmm(cells.pattern, cells.shifts, np.ones((len(right), 1), theta.dtype))
        wide = np.result_type(theta, np.float64)
        observed = cells.weights * residuals.astype(wide) ** 2
        observed = in_float64(observed - self.weight * above.astype(wide) ** 2)
        everywhere = in_float64((gram(left) * gram(right)).reshape(-1))  # (73)
        d_outputs = 2 * (cells.weights * residuals - above.dtype.type(self.weight) * above)
        return observed + self.weight * everywhere, d_outputs, factors

    def factors(
        self, theta: Array, codes: Array, shifts: Array | None = None
    ) -> tuple[Array, Array]:
        """Return L and R of (72), which multiply to Y - T0; 0 for columns that do not count."""
        network = self.network
        if isinstance(network, ImplicitNetwork):
            theta = network.expand(theta)
        views = network.layout.views(theta)
        bias = views["decoder.bias"] - self.target.astype(theta.dtype)
        left, right = [codes, np.ones(len(codes), theta.dtype)], [views["decoder.weight"], bias]
        if shifts is not None:
            left.append(shifts)
            right.append(np.ones_like(bias))
        return np.column_stack(left), self.counting(np.column_stack(right))

    def counting(self, factor: Array) -> Array:
        """Return R with 0 in the rows of columns that do not count, in place."""
        if self.counted is not None:
            factor[~self.counted] = 0
        return factor


def gram(factor: Array) -> Array:
    """Return A^T A, (m, m), of a thin A (n, m), in float64 (complex if it is)."""
    wide = np.result_type(factor, np.float64)
    total = np.zeros((factor.shape[1],) * 2, wide)
    for start in range(0, len(factor), ROWS_AT_ONCE):
        block = factor[start : start + ROWS_AT_ONCE].astype(wide)
        total += block.T @ block
    return total


@output_signals.register
def _(
    objective: AllCells,
    theta: Array,
    direction: Array,
    targets: Matrix,
    passed: Forward,
    r_passed: Forward,
) -> tuple[Any, Any]:
    cells = Cells.of(targets, theta.dtype)
    _, d_outputs, (left, right) = objective.errors(theta, cells, passed)
    codes, r_codes = passed.dropped[-1], r_passed.dropped[-1]
    twice, k = theta.dtype.type(2 * objective.weight), codes.shape[1]
    r_views = objective.network.layout.views(direction)
    r_left = np.column_stack([r_codes, codes, np.ones(len(codes), theta.dtype)])
    r_right = [right[:, :k], r_views["decoder.weight"], r_views["decoder.bias"]]
    r_factors = twice * r_left, objective.counting(np.column_stack(r_right))
    r_d_outputs = (2 * cells.weights - twice) * r_passed.outputs  # (76)
    return (
        PlusLowRank(with_data(cells.pattern, d_outputs), twice * left, right),
        PlusLowRank(with_data(cells.pattern, r_d_outputs), *r_factors),
    )


def all_cells_hessian_vector_product(
    objective: AllCells,
    theta: Array,
    direction: Array,
    inputs: Matrix,
    targets: Matrix,
    fraction: float = 1.0,
    masks: Sequence[Array] | None = None,
) -> Array:
    """Return H v for an objective over all cells, (76), whichever its network.

    The arguments are those of `hessian.hessian_vector_product`, and `targets` as of
    :meth:`AllCells.passes`.
    """
    implicit = isinstance(objective.network, ImplicitNetwork)
    product = implicit_hessian_vector_product if implicit else hessian_vector_product
    return product(objective, theta, direction, inputs, targets, fraction, masks)
