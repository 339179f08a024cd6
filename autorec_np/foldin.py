"""A new column of a trained autoencoder: the exact minimizer of (2) with the codes frozen."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autorec_np.activations import ACTIVATIONS
from autorec_np.optimizers import minimize_lbfgs

Array: TypeAlias = npt.NDArray[Any]

MAX_ITER = 500
TOLERANCE = 1e-10


def fit_column(
    codes: Array, targets: Array, penalty: float, output_activation: str = "identity"
) -> tuple[Array, float]:
    """Return the decoder row w and bias b of one new column.

    Minimizes sum_r (t_r - f(h_r . w + b))^2 + penalty / 2 ||w||^2 over the rows r that the new
    column has a target for. With an identity output this is a ridge problem with an unpenalized
    intercept; its dual form, (18), solves one system of the size of the number of targets:

        w = Hc^T a,   (Hc Hc^T + penalty / 2 I) a = t - mean(t),   b = mean(t) - mean(h) . w

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
    centered = codes - mean_code
    gram = centered @ centered.T
    gram[np.diag_indices_from(gram)] += penalty / 2
    # lstsq and not solve: without a penalty the centered Gram matrix is singular
    dual = np.linalg.lstsq(gram, targets - mean_target, rcond=None)[0]
    weight = centered.T @ dual
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
    column = minimize_lbfgs(fun, start, max_iter=MAX_ITER, tol=TOLERANCE).theta
    return column[:-1], float(column[-1])
