"""Scores of a trained network, in rating units: from codes and decoder weights, without ids.

A new column has no decoder weights yet: `fit_column` finds them with the codes frozen.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.kernels import with_data
from autorec_np.core.network import Network
from autorec_np.training.solvers import run_lbfgs

MAX_ITER, TOLERANCE = 500, 1e-10  # of a new column without a closed form
SMALLEST_PENALTY = 1e-12  # of the trace: below it, least squares of least norm
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

    def new_rows(self, inputs: CSR) -> Array:
        """Return the scores (m, n_columns) of new rows of ratings (m, n_columns), by (1)."""
        weight, bias = self._decoder()
        inputs = with_data(inputs, inputs.data.astype(self.theta.dtype))
        return self._to_ratings(self.network.encode(self.theta, inputs) @ weight.T + bias)

    def new_columns(self, targets: CSR, penalty: float) -> Array:
        """Return the scores (m, n_rows) of new columns, fitted to `targets` (m, n_rows)."""
        weights, biases = self.fit_columns(targets, penalty)
        activity = weights.astype(self.codes.dtype) @ self.codes.T
        return self._to_ratings(activity + biases[:, np.newaxis])

    def fit_columns(self, targets: CSR, penalty: float) -> tuple[Array, Array]:
        """Return decoder weights (m, k) and biases (m,) of columns, each by `fit_column`.

        A row of `targets` (m, n_rows) holds what one column is to be, `penalty` is lambda of its
        decoder weight; both in rating units. A column without targets gets zeros.
        """
        factor, offset = self.output_map
        weights = np.zeros((targets.shape[0], self.codes.shape[1]))
        biases = np.zeros(len(weights))
        for column, (start, stop) in enumerate(pairwise(targets.indptr)):
            if start < stop:
                weights[column], biases[column] = fit_column(
                    self.codes[targets.indices[start:stop]],
                    factor * targets.data[start:stop] + offset,
                    factor**2 * penalty,
                    self.network.output_activation,
                )
        return weights, biases

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


# A new column


def fit_column(
    codes: Array, targets: Array, penalty: float, output_activation: str = "identity"
) -> tuple[Array, float]:
    """Return the decoder row w and bias b of one new column.

    Minimizes sum_r (t_r - f(h_r . w + b))^2 + penalty / 2 ||w||^2 over the rows r that the new
    column has a target for. With an identity output this is a ridge problem with an unpenalized
    intercept; its dual form, (18), solves one system of the size of the number of targets:

        w = Hc^T a,   (Hc Hc^T + penalty / 2 I) a = t - mean(t),   b = mean(t) - mean(h) . w

    With more targets than codes, the primal (Hc^T Hc + penalty / 2 I) w = Hc^T (t - mean(t)) is
    the smaller system of the two.

    Parameters
    ----------
    codes : ndarray, (n, k)
        Frozen codes h_r.
    targets : ndarray, (n,)
    penalty : float
        lambda of the decoder weight; 0 gives the solution of least norm.
    output_activation : str
        f. Other than "identity" has no closed form and is minimized by L-BFGS.

    Returns
    -------
    w : ndarray of float64, (k,)
    b : float
    """
    codes, targets = codes.astype(np.float64), targets.astype(np.float64)
    if output_activation == "identity":
        return _ridge(codes, targets, penalty)
    return _minimize(codes, targets, penalty, output_activation)


def _ridge(codes: Array, targets: Array, penalty: float) -> tuple[Array, float]:
    mean_code, mean_target = codes.mean(axis=0), float(targets.mean())
    centered, residuals = codes - mean_code, targets - mean_target
    n, k = centered.shape
    gram = centered @ centered.T if n <= k else centered.T @ centered
    if penalty / 2 > SMALLEST_PENALTY * gram.trace():
        gram[np.diag_indices_from(gram)] += penalty / 2
        if n <= k:
            weight = centered.T @ np.linalg.solve(gram, residuals)
        else:
            weight = np.linalg.solve(gram, centered.T @ residuals)
    else:  # the Gram matrix may be singular
        weight = np.linalg.lstsq(centered, residuals, rcond=None)[0]
    return weight, mean_target - float(mean_code @ weight)


def _minimize(
    codes: Array, targets: Array, penalty: float, output_activation: str
) -> tuple[Array, float]:
    f = ACTIVATIONS[output_activation]

    def fun(column: Array) -> tuple[float, Array]:
        weight, bias = column[:-1], column[-1]
        outputs = f.forward(codes @ weight + bias)
        residuals = outputs - targets
        d_activity = 2 * residuals * f.derivative(outputs)
        value = float(residuals @ residuals + penalty / 2 * (weight @ weight))
        return value, np.append(codes.T @ d_activity + penalty * weight, d_activity.sum())

    start = np.append(np.zeros(codes.shape[1]), targets.mean())
    column = run_lbfgs(fun, start, max_iter=MAX_ITER, tol=TOLERANCE).theta
    return column[:-1], float(column[-1])
