"""A stand-in for the authors' program: their algorithm, in float64 on one thread, row after row.

NNRec (Sedhain et al.) loops over the rows in Cython, and gives value and gradient to
SciPy's L-BFGS-B. Here the loops over the entries of a row are those of `scipy.sparse`'s compiled
routines and of BLAS, which are as fast as compiled loops of one's own; the loop over rows is left.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import _sparsetools
from scipy.special import expit

from autorec_np import Ratings
from autorec_np._types import CSR, Array
from benchmarks.data import by_item


class Model:
    """Equation (2); theta is laid out as `autorec_np` does."""

    def __init__(self, matrix: CSR, k: int, penalties: tuple[float, float]) -> None:
        self.matrix, self.k, self.penalties = matrix.astype(np.float64), k, penalties
        self.n_rows, self.n_columns = matrix.shape

    def blocks(self, theta: Array) -> tuple[Array, Array, Array, Array]:
        """Return views of V, mu, W and b."""
        size = self.n_columns * self.k
        v, mu, w, b = np.split(theta, [size, size + self.k, 2 * size + self.k])
        return v.reshape(-1, self.k), mu, w.reshape(-1, self.k), b

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return (2) over all rows and its gradient."""
        v, mu, w, b = self.blocks(theta)
        gradient = np.zeros_like(theta)
        d_v, d_mu, d_w, d_b = self.blocks(gradient)
        value = 0.0
        for penalty, weight, d_weight in zip(self.penalties, (v, w), (d_v, d_w), strict=True):
            np.multiply(penalty, weight, out=d_weight)
            value += penalty / 2 * np.vdot(weight, weight)
        indptr, indices, data = self.matrix.indptr, self.matrix.indices, self.matrix.data
        gathered = np.empty((max(np.diff(indptr), default=0), self.k))
        for row in range(self.n_rows):
            entries = slice(indptr[row], indptr[row + 1])
            columns, ratings = indices[entries], data[entries]
            hidden = expit(mu + _sum_of_rows(columns, ratings, v))
            rated = w.take(columns, axis=0, out=gathered[: len(columns)], mode="clip")
            residuals = rated @ hidden + b[columns] - ratings
            value += residuals @ residuals
            d_output = 2 * residuals
            d_z = (d_output @ rated) * hidden * (1 - hidden)
            d_b[columns] += d_output
            d_mu += d_z
            _add_outer(columns, d_output, hidden, d_w)
            _add_outer(columns, ratings, d_z, d_v)
        return float(value), gradient

    def predict(self, theta: Array, rows: Array, columns: Array) -> Array:
        """Return predictions of pairs."""
        v, mu, w, b = self.blocks(theta)
        hidden = expit(self.matrix @ v + mu)
        return np.einsum("nk,nk->n", hidden[rows], w[columns]) + b[columns]


class Fitter:
    """Whole fits from `Ratings`, by SciPy's L-BFGS-B as the authors do."""

    def prepare(self, train: Ratings) -> CSR:
        """Return a row for each item."""
        return by_item(train)

    def fit(self, data: CSR, *, k: int, penalty: float, max_iter: int) -> tuple[Model, Array]:
        """Minimize (2); return the model and its theta."""
        from scipy.optimize import minimize

        model = Model(data, k, (penalty, penalty))
        theta = np.random.default_rng(0).normal(0.0, 0.01, (2 * model.n_columns + 1) * k)
        theta = np.concatenate([theta, np.full(model.n_columns, data.data.mean())])
        options = {"maxiter": max_iter, "maxfun": 20 * max_iter, "maxcor": 10}
        fun = model.value_and_gradient
        result = minimize(fun, theta, jac=True, method="L-BFGS-B", options=options)
        return model, result.x

    def predict(self, fitted: tuple[Model, Array], test: Ratings) -> Array:
        """Return predictions of the pairs of `test`."""
        users, items, _ = test.positions()
        model, theta = fitted
        return model.predict(theta, items, users)


FITTER = Fitter()


def _sum_of_rows(rows: Array, weights: Array, dense: Array) -> Array:
    """Return sum_i weights_i dense[rows_i], by the compiled loop of a CSR product of one row."""
    total = np.zeros(dense.shape[1])
    ends = np.array([0, len(rows)], rows.dtype)
    _sparsetools.csr_matvecs(
        1, len(dense), dense.shape[1], ends, rows, weights, dense.ravel(), total
    )
    return total


def _add_outer(rows: Array, weights: Array, vector: Array, dense: Array) -> None:
    """Add weights_i vector to dense[rows_i], by the compiled loop of a CSC product."""
    ends = np.array([0, len(rows)], rows.dtype)
    _sparsetools.csc_matvecs(
        len(dense), 1, dense.shape[1], ends, rows, weights, vector, dense.reshape(-1)
    )
