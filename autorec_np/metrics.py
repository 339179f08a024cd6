"""Errors of rating predictions, and confidence intervals for their means over repeats.

With pairs (u, i) of a test set T, true ratings r and predictions p, *pooled* over all of T,

    RMSE = sqrt( (1/|T|) sum_T (r - p)^2 ),     MAE = (1/|T|) sum_T |r - p|.

Every test pair weighs the same. A mean of per-user RMSEs is another number (smaller users weigh
more) and is not comparable with published RMSEs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
        defined = self.n > 1
        return {
            "mean": self.mean,
            "low": self.low if defined else None,
            "high": self.high if defined else None,
            "n": self.n,
            "confidence": self.confidence,
        }

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.mean:.4f} (one value, no interval)"
        percent = f"{100 * self.confidence:g} %"
        return f"{self.mean:.4f} ± {self.half_width:.4f} ({percent} CI, n = {self.n})"


def mean_and_interval(
    values: Iterable[float] | NDArray[np.floating], confidence: float = 0.95
) -> MeanInterval:
    """Mean of repeated measurements with Student's t confidence interval.

    The interval is mean ± t * s / sqrt(n), with s the sample standard deviation (n - 1 in the
    denominator) and t the (1 + confidence) / 2 quantile of Student's t with n - 1 degrees of
    freedom. It assumes independent, roughly normal values. Repeats over random splits of *one* set
    of ratings, and even more the folds of a cross-validation, share most of their training ratings,
    so the interval says how far the mean moves with the splits, not with a new set of ratings.

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
    sample = _finite_vector("values", values if isinstance(values, np.ndarray) else list(values))
    n = len(sample)
    mean = float(np.mean(sample))
    if n == 1:
        return MeanInterval(mean, float("nan"), float("nan"), 1, confidence)
    # Imported here: who only wants an RMSE need not load it.
    from scipy.special import stdtrit

    quantile = float(stdtrit(n - 1, (1 + confidence) / 2))
    half_width = quantile * float(np.std(sample, ddof=1)) / float(np.sqrt(n))
    return MeanInterval(mean, mean - half_width, mean + half_width, n, confidence)


def _errors(true: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    """Return true - predicted, in float64, of two checked vectors of the same length."""
    true_values = _finite_vector("true", true)
    predicted_values = _finite_vector("predicted", predicted)
    if len(true_values) != len(predicted_values):
        raise ValueError(
            f"true has {len(true_values)} ratings and predicted has {len(predicted_values)}; "
            f"they must match pair by pair: give every test pair a prediction."
        )
    return true_values - predicted_values


def _finite_vector(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return `values` as a non-empty 1-d float64 array of finite numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise TypeError(
            f"{name} must hold real numbers, got {type(values).__name__} of dtype {array.dtype}; "
            f"pass one number per pair (of a sparse matrix: those of the observed pairs)."
        )
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be 1-d, one value per pair, got shape {array.shape}; "
            f"of a matrix, pass the values at the observed pairs only."
        )
    if array.size == 0:
        raise ValueError(f"{name} is empty; at least one value is needed.")
    vector = array.astype(np.float64)
    finite = np.isfinite(vector)
    if not finite.all():
        index = int(np.argmin(finite))
        raise ValueError(
            f"{name} must be finite, got {vector[index]} at index {index} "
            f"({np.count_nonzero(~finite)} such values in all)."
        )
    return vector
