"""Scores of a trained network, in rating units: from codes and decoder weights, without ids."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from autorec_np.activations import ACTIVATIONS
from autorec_np.foldin import fit_column
from autorec_np.kernels import Array
from autorec_np.network import Network

PAIRS_PER_CHUNK = 16_384  # pairs whose codes are gathered at once


class OutputMap(NamedTuple):
    """The affine map of ratings to the range of a bounded output, (17): y = factor r + offset."""

    factor: float = 1.0
    offset: float = 0.0

    @classmethod
    def onto(cls, output_activation: str, scale: tuple[float, float]) -> OutputMap:
        """Map the rating scale onto (0, 1) or (-1, 1); the identity for an unbounded output.

        Raises
        ------
        ValueError
            The scale is a single point.
        """
        f = ACTIVATIONS[output_activation]
        if not f.bounded:
            return cls()
        low, high = scale
        if low == high:
            raise ValueError(
                f"output_activation={output_activation!r} needs a rating scale with two ends, but "
                f"every rating is {low}; pass rating_scale=(low, high)."
            )
        factor = (f.upper - f.lower) / (high - low)
        return cls(factor, f.lower - factor * low)


class Scorer(NamedTuple):
    """The reconstruction (1) by a trained network, in rating units; `codes` (n_rows, k)."""

    network: Network
    theta: Array
    codes: Array
    output_map: OutputMap

    def pairs(self, rows: Array, columns: Array) -> Array:
        """Return the scores (n,) of pairs; float64, as all scores."""
        weight, bias = self._decoder()
        activity = np.empty(len(rows), self.theta.dtype)
        for start in range(0, len(rows), PAIRS_PER_CHUNK):
            part = slice(start, start + PAIRS_PER_CHUNK)
            np.einsum("ij,ij->i", self.codes[rows[part]], weight[columns[part]], out=activity[part])
        return self._to_ratings(activity + bias[columns])

    def whole_rows(self, rows: Array) -> Array:
        """Return the scores (len(rows), n_columns) of some rows."""
        weight, bias = self._decoder()
        return self._to_ratings(self.codes[rows] @ weight.T + bias)

    def whole_columns(self, columns: Array) -> Array:
        """Return the scores (len(columns), n_rows) of some columns."""
        weight, bias = self._decoder()
        return self._to_ratings(weight[columns] @ self.codes.T + bias[columns, np.newaxis])

    def new_row(self, columns: Array, ratings: Array) -> Array:
        """Return the scores (n_columns,) of a new row, with `ratings` (n,) at `columns`, by (1)."""
        row = sparse.csr_array(
            (ratings.astype(self.theta.dtype), columns, [0, len(columns)]),
            shape=(1, self.network.n_columns),
        )
        row.sort_indices()
        weight, bias = self._decoder()
        return self._to_ratings(weight @ self.network.encode(self.theta, row)[0] + bias)

    def new_column(self, rows: Array, targets: Array, penalty: float) -> Array:
        """Return the scores (n_rows,) of a new column, fitted to `targets` (n,) at `rows`.

        `penalty` is lambda of its decoder weight; all in rating units. See `foldin.fit_column`.
        """
        factor, offset = self.output_map
        weight, bias = fit_column(
            self.codes[rows],
            factor * targets + offset,
            factor**2 * penalty,
            self.network.output_activation,
        )
        return self._to_ratings(self.codes @ weight + bias)

    def _decoder(self) -> tuple[Array, Array]:
        views = self.network.layout.views(self.theta)
        return views["decoder.weight"], views["decoder.bias"]

    def _to_ratings(self, activity: Array) -> Array:
        """Apply f and undo the output map."""
        f = ACTIVATIONS[self.network.output_activation].forward
        outputs = f(activity).astype(np.float64)
        outputs -= self.output_map.offset
        outputs /= self.output_map.factor
        return outputs
