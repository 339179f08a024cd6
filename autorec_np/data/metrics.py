"""Errors of rating predictions, and confidence intervals for their means over repeats.

With pairs (u, i) of a test set T, true ratings r and predictions p, *pooled* over all of T,

    RMSE = sqrt( (1/|T|) sum_T (r - p)^2 ),     MAE = (1/|T|) sum_T |r - p|.

Every test pair weighs the same. A mean of per-user RMSEs is another number (smaller users weigh
more) and is not comparable with published RMSEs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from autorec_np._validation import check_number

__all__ = ["MeanInterval", "mae", "mean_and_interval", "rmse"]


def rmse(true: ArrayLike, predicted: ArrayLike) -> float:
    """Root mean squared error, pooled over all pairs, computed in float64.

    Parameters
    ----------
    true, predicted : array-like of shape (n,)
        The ratings of n pairs and their predictions, in the same order.

    Returns
    -------
    float
        In rating units; 0.0 is perfect.

    Raises
    ------
    ValueError
        If the arrays are empty, not 1-d, of different lengths, or hold NaN or infinity.
    TypeError
        If they do not hold real numbers.
    """
    error = _errors(true, predicted)
    return float(np.sqrt(np.mean(error * error)))


def mae(true: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error, pooled over all pairs, computed in float64.

    Parameters
    ----------
    true, predicted : array-like of shape (n,)
        The ratings of n pairs and their predictions, in the same order.

    Returns
    -------
    float
        In rating units; 0.0 is perfect. Never larger than :func:`rmse`.

    Raises
    ------
    ValueError
        If the arrays are empty, not 1-d, of different lengths, or hold NaN or infinity.
    TypeError
        If they do not hold real numbers.
    """
    return float(np.mean(np.abs(_errors(true, predicted))))


@dataclass(frozen=True)
class MeanInterval:
    """A mean over repeats with its two-sided confidence interval.

    Attributes
    ----------
    mean : float
        Mean of the values.
    low, high : float
        Ends of the interval, symmetric about the mean; NaN where ``n == 1``.
    n : int
        Number of values.
    confidence : float
        Coverage of the interval, e.g. 0.95.
    """

    mean: float
    low: float
    high: float
    n: int
    confidence: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval: the number after the ± sign."""
        return (self.high - self.low) / 2

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the fields as a JSON-able dict; an undefined end is None."""
        return asdict(self) | ({"low": None, "high": None} if self.n == 1 else {})

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.mean:.4f} (one value, no interval)"
        confidence = f"{100 * self.confidence:g} % CI"
        return f"{self.mean:.4f} ± {self.half_width:.4f} ({confidence}, n = {self.n})"


def mean_and_interval(values: Iterable[float], confidence: float = 0.95) -> MeanInterval:
    """Mean of repeated measurements with Student's t confidence interval.

    The interval is mean ± t * s / sqrt(n), with s the sample standard deviation (n - 1 in the
    denominator) and t the (1 + confidence) / 2 quantile of Student's t with n - 1 degrees of
    freedom. It assumes independent, roughly normal values. Random splits of *one* set of ratings,
    and even more the folds of a cross-validation, share most of their training ratings, so it says
    how far the mean moves with the splits, not with new ratings.

    Parameters
    ----------
    values : iterable of float
        One value per repeat.
    confidence : float
        Coverage, strictly between 0 and 1.

    Returns
    -------
    MeanInterval
        With NaN ends where there is one value only: its spread is unknown, not zero.

    Raises
    ------
    ValueError
        If there is no value, one is not finite, or `confidence` is outside (0, 1).
    TypeError
        If the values are not real numbers.
    """
    confidence = check_number(
        "confidence", confidence, minimum=0.0, maximum=1.0, inclusive=(False, False)
    )
    sample = _finite_vector("values", list(values))
    n = len(sample)
    mean, half_width = float(sample.mean()), float("nan")
    if n > 1:
        quantile = stdtrit(n - 1, (1 + confidence) / 2)
        half_width = float(quantile * sample.std(ddof=1) / np.sqrt(n))
    return MeanInterval(mean, mean - half_width, mean + half_width, n, confidence)


def _errors(true: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    left, right = _finite_vector("true", true), _finite_vector("predicted", predicted)
    if len(left) != len(right):
        raise ValueError(
            f"true has {len(left)} ratings and predicted has {len(right)}; they must match pair by "
            f"pair: give every test pair a prediction."
        )
    return left - right


def _finite_vector(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return `values` as a non-empty 1-d float64 array of finite numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise TypeError(
            f"{name} must hold real numbers, got {type(values).__name__} of dtype {array.dtype}; "
            f"of a sparse matrix, pass the values of the observed pairs."
        )
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be 1-d, one value per pair, got shape {array.shape}; "
            f"of a matrix, pass the values of the observed pairs."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty; at least one value is needed.")
    vector = array.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(vector))
    if len(wrong):
        raise ValueError(
            f"{name} must be finite, got {vector[wrong[0]]} at index {wrong[0]} "
            f"({len(wrong)} such values in all)."
        )
    return vector
