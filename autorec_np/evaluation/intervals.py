"""Confidence intervals: of a mean over repeats, and of an error over held-out pairs.

Errors of one user are alike, and so are those of one item; so the variance over pairs is clustered
two ways (Cameron, Gelbach and Miller, "Robust inference with multiway clustering", J. Business &
Economic Statistics 29, 2011):

    V = V(users) + V(items) - V(pairs),   V(G) = G / (G - 1) sum_groups (sum_group z)^2 / n^2

with z the influence of a pair on the estimate. Student's t has one degree of freedom less than
there are users or items, whichever are fewer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import stdtrit

from autorec_np._types import Array
from autorec_np._validation import check_number
from autorec_np.data.metrics import finite_vector

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its two-sided confidence interval.

    Attributes
    ----------
    mean : float
    low, high : float
        Ends of the interval, symmetric about the mean; NaN where ``n == 1``.
    n : int
        Number of values.
    confidence : float
        Coverage, e.g. 0.95.
    """

    mean: float
    low: float
    high: float
    n: int
    confidence: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval: what follows ±."""
        return (self.high - self.low) / 2

    def to_dict(self) -> dict[str, float | int | None]:
        """Return a JSON-able dict; an undefined end is None."""
        return asdict(self) | ({"low": None, "high": None} if self.n == 1 else {})

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.mean:.4f} (one value, no interval)"
        confidence = f"{100 * self.confidence:g} % CI"
        return f"{self.mean:.4f} ± {self.half_width:.4f} ({confidence}, n = {self.n})"


def mean_and_interval(values: Iterable[float], confidence: float = 0.95) -> MeanInterval:
    """Mean of repeated measurements with Student's t confidence interval.

    mean ± t * s / sqrt(n), with s the sample standard deviation (n - 1 in the denominator) and t
    the (1 + confidence) / 2 quantile of Student's t with n - 1 degrees of freedom. It assumes
    independent, roughly normal values; of splits of *one* set of ratings it says how far the mean
    moves with the splits, not with new ratings.

    Parameters
    ----------
    values : iterable of float
    confidence : float
        Coverage, strictly between 0 and 1.

    Returns
    -------
    MeanInterval
        With NaN ends where there is one value only.

    Raises
    ------
    ValueError
        If there is no value, one is not finite, or `confidence` is out of range.
    TypeError
        If the values are no numbers.
    """
    confidence = check_number(
        "confidence", confidence, minimum=0.0, maximum=1.0, inclusive=(False, False)
    )
    sample = finite_vector("values", list(values))
    n = len(sample)
    mean, half_width = float(sample.mean()), float("nan")
    if n > 1:
        quantile = stdtrit(n - 1, (1 + confidence) / 2)
        half_width = float(quantile * sample.std(ddof=1) / np.sqrt(n))
    return MeanInterval(mean, mean - half_width, mean + half_width, n, confidence)


def clustered_interval(
    estimate: float, influence: Array, users: Array, items: Array
) -> MeanInterval:
    """Return estimate ± t sqrt(V); NaN ends where all pairs are of one user or one item.

    `influence`, (n,), sums to 0; `users` and `items`, (n,), say whose pairs they are.
    """
    n, variances, n_groups = len(influence), [], []
    for labels in (users, items):
        _, groups = np.unique(labels, return_inverse=True)
        sums = np.bincount(groups, weights=influence)
        n_groups.append(len(sums))
        variances.append(len(sums) / max(len(sums) - 1, 1) * float(sums @ sums))
    half_width = float("nan")
    if min(n_groups) > 1:
        both = sum(variances) - float(influence @ influence)
        # by chance the sum can be below its parts
        quantile = float(stdtrit(min(n_groups) - 1, (1 + CONFIDENCE) / 2))
        half_width = quantile * max(both, *variances) ** 0.5 / n
    return MeanInterval(estimate, estimate - half_width, estimate + half_width, n, CONFIDENCE)
