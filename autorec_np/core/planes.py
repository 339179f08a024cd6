"""Chapter five: input planes, several values at each rated pair, and features of the rows.

One number a pair says two things: that there is a rating, and how high it is. Planes keep them
apart. Plane p holds a value X_p at every stored pair, and has encoder weights V_p of its own:

    Z1 = sum_p X_p V_p + F V_F + 1 mu^T = [X_1 X_2 ... F] [V_1; V_2; ...; V_F] + 1 mu^T   (38)

F, if any, is dense and holds what else is known of the rows, such as the genres of items. For the
network that is a wider matrix: three of the five kernels are all that is new. The derivative by V_p
is X_p^T D_Z, plane by plane, and by V_F it is F^T D_Z, (39).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autorec_np._types import CSR, Array, Matrix
from autorec_np.core.kernels import sddmm, spmm, spmm_transpose, with_data


class Planes:
    """The planes side by side, (38), (39): what `Network(..., n_inputs=planes.shape[1])` reads.

    Parameters
    ----------
    pattern : csr_array, (n_rows, n_columns)
        Where every plane has its values; its own are not read.
    data : ndarray, (n_planes, nnz)
        The values of each plane, in the order of the pattern's.
    features : ndarray, (n_rows, n_features), optional
        F, fewer than columns: a width divided by n_columns says the numbers of planes and features.

    Attributes
    ----------
    blocks : list of csr_array (n_rows, n_columns) and ndarray (n_rows, n_features)
        X_p, which share the indices of the pattern, and F.
    shape : (int, int)
        (n_rows, n_planes * n_columns + n_features), one block after the other, as are the rows of
        the encoder weight.
    nnz : int
        Stored pairs: values of one plane.
    indices : ndarray of int, (nnz,)
        Column of each pair within a plane.

    Raises
    ------
    ValueError
        `data` without one value of each plane for each stored pair, or too many features.
    """

    def __init__(self, pattern: Matrix, data: Array, features: Array | None = None) -> None:
        if data.ndim != 2 or not len(data) or data.shape[1] != pattern.nnz:
            raise ValueError(
                f"data must have shape (n_planes, {pattern.nnz}), one value of each plane for each "
                f"stored pair, got {data.shape}."
            )
        self.pattern, self.data, self.features = pattern, data, features
        self.blocks: list[Any] = [with_data(pattern, plane) for plane in data]
        if features is not None:
            if features.shape[1] >= pattern.shape[1]:
                raise ValueError(
                    f"there must be fewer features than columns, got {features.shape[1]} features "
                    f"of the rows and {pattern.shape[1]} columns; leave some out."
                )
            self.blocks.append(features)

    @property
    def shape(self) -> tuple[int, int]:
        return self.pattern.shape[0], sum(block.shape[1] for block in self.blocks)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def nnz(self) -> int:
        return self.pattern.nnz

    @property
    def indices(self) -> Array:
        return np.asarray(self.pattern.indices)

    def __getitem__(self, rows: Any) -> Planes:
        """Return some rows, chosen as those of a CSR array."""
        csr: Any = self.pattern
        taken: CSR = with_data(csr, np.arange(csr.nnz))[rows]
        return self.part(rows, taken, self.data[:, taken.data])

    def part(self, rows: Any, pattern: Matrix, data: Array) -> Planes:
        """Return some rows, of which pattern and data are at hand."""
        return Planes(pattern, data, None if self.features is None else self.features[rows])


@with_data.register
def _(pattern: Planes, data: Array) -> Planes:  # type: ignore[misc]
    return Planes(pattern.pattern, data, pattern.features)


@sddmm.register
def _(pattern: Planes, left: Array, right: Array) -> Array:
    return sddmm(pattern.pattern, left, right)


@spmm.register
def _(matrix: Planes, dense: Array) -> Array:
    weights = np.split(dense, np.cumsum([block.shape[1] for block in matrix.blocks[:-1]]))
    total, *others = map(spmm, matrix.blocks, weights)  # (38)
    for other in others:
        total += other
    return total


@spmm_transpose.register
def _(matrix: Planes, dense: Array) -> Array:
    return np.concatenate([spmm_transpose(block, dense) for block in matrix.blocks])  # (39)
