"""Errors of rating predictions.

With true ratings r and predictions p, *pooled* over all pairs of a test set T,

    RMSE = sqrt( (1/|T|) sum_T (r - p)^2 ),     MAE = (1/|T|) sum_T |r - p|.

A mean of per-user RMSEs is another figure than published ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def rmse(true: ArrayLike, predicted: ArrayLike) -> float:
    """Root mean squared error, pooled over all pairs, in float64.

    Parameters
    ----------
    true, predicted : array-like of shape (n,)
        Ratings and their predictions, in the same order.

    Returns
    -------
    float
        In rating units.

    Raises
    ------
    ValueError
        Arrays that are empty, not 1-d, of different lengths, or hold NaN or infinity.
    TypeError
        No real numbers.
    """
    error = _errors(true, predicted)
    return float(np.sqrt(np.mean(error * error)))


def mae(true: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error; all else as in :func:`rmse`, which is never smaller."""
    return float(np.mean(np.abs(_errors(true, predicted))))


def _errors(true: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    left, right = finite_vector("true", true), finite_vector("predicted", predicted)
    if len(left) != len(right):
        raise ValueError(
            f"true has {len(left)} ratings and predicted has {len(right)}; give every test pair a "
            f"prediction."
        )
    return left - right


def finite_vector(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise TypeError(
            f"{name} must hold real numbers, got {type(values).__name__} of dtype {array.dtype}; "
            f"pass numpy.asarray(values, dtype='float64') of texts, numpy.real(values) of complex "
            f"numbers; of a sparse matrix, pass its data."
        )
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be 1-d, one value per pair, got shape {array.shape}; of a table of users "
            f"x items, pass table[is_rated]."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty; pass at least one value.")
    vector = array.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(vector))
    if len(wrong):
        raise ValueError(
            f"{name} must be finite, got {vector[wrong[0]]} at index {wrong[0]} "
            f"({len(wrong)} such values in all)."
        )
    return vector
