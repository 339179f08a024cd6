"""Intervals by split-conformal prediction (docs/derivation.md).

The interval is score -+ q sigma, clipped to the scale. Sigma is the usual distance of rating and
score for such a pair, q the ceil((n + 1) level)-th smallest distance / sigma of n held-out ratings
of its group (Vovk, Gammerman and Shafer, 2005; Lei et al., 2018).

Groups: cold pairs, and users with at most 20, at most 100 and more training ratings. One with too
few held-out ratings has the largest q of the others.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from autorec_np._types import Array
from autorec_np._validation import check_number

EDGES = (21, 101)  # a user's ratings, between groups
FEWEST = 50  # held-out ratings of a group with its own quantile
RIDGE = 10.0  # of sigma's coefficients
SMALLEST = 0.1  # mean distances, added before the logarithm

N_FEATURES, N_GROUPS = 6, len(EDGES) + 2

Scale = tuple[float, float]


class Calibration(NamedTuple):
    """log sigma = `features` @ `coefficients` (6,), and held-out `errors` (n,), distance / sigma.

    They ascend in each group, which begins at one of `starts` (n_groups + 1,), int64.
    """

    coefficients: Array
    errors: Array
    starts: Array

    def interval(
        self, level: float, scores: Array, user_counts: Array, item_counts: Array, scale: Scale
    ) -> tuple[Array, Array]:
        """Return both ends (n,)."""
        pairs = scores, user_counts, item_counts
        sigma = np.exp(features(*pairs, scale) @ self.coefficients)
        reach = self.quantiles(level)[groups(user_counts, item_counts)] * sigma
        return np.clip(scores - reach, *scale), np.clip(scores + reach, *scale)

    def quantiles(self, level: float) -> Array:
        """Return q of each group, which grows with `level`."""
        place, n = rank(level, len(self.errors)), len(self.errors)
        if place > n:
            least = math.ceil(level / (1 - level))
            raise ValueError(
                f"interval={level:g} needs {least} held-out ratings, and the model was calibrated "
                f"on {n}; call calibrate(ratings) with more, or ask for less."
            )
        parts = [self.errors[start:stop] for start, stop in pairwise(self.starts)]
        own = [
            part[min(rank(level, len(part)), len(part)) - 1] if len(part) >= FEWEST else 0.0
            for part in parts
        ]
        widest = max(np.partition(self.errors, place - 1)[place - 1], *own)
        enough = [len(part) >= max(FEWEST, rank(level, len(part))) for part in parts]
        return np.where(enough, own, widest)


def check_level(interval: object) -> float:
    try:
        return check_number("interval", interval, minimum=0, maximum=1, inclusive=(False, False))
    except ValueError as error:
        raise ValueError(f"{error} For 80 % of the ratings pass interval=0.8.") from None


def rank(level: float, n: int) -> int:
    """Return ceil((n + 1) level), safe from rounding."""
    return max(1, math.ceil((n + 1) * level - 1e-9))


def groups(user_counts: Array, item_counts: Array) -> Array:
    by_activity = 1 + np.digitize(user_counts, EDGES)
    return np.where((user_counts == 0) | (item_counts == 0), 0, by_activity)


def features(scores: Array, user_counts: Array, item_counts: Array, scale: Scale) -> Array:
    """Return (n, 6) what sigma depends on: activity, place on the scale, being cold."""
    low, high = scale
    place = (np.clip(scores, low, high) - low) / ((high - low) or 1.0)
    is_cold = groups(user_counts, item_counts) == 0
    activity = np.log1p(user_counts), np.log1p(item_counts)
    return np.stack((np.ones(len(scores)), *activity, place, place**2, is_cold), axis=1)


def calibrated_on(
    truth: Array, scores: Array, user_counts: Array, item_counts: Array, scale: Scale
) -> Calibration:
    """Calibrate on held-out ratings `truth` (n,) and their unclipped scores."""
    if len(truth) == 0:
        raise ValueError(
            "none of the held-out ratings is of a known user and item, and the model has "
            "cold='raise'; pass others, or set cold='baseline'."
        )
    low, high = scale
    truth = truth.astype(np.float64)
    outside = truth[(truth < low) | (truth > high)]
    if len(outside):
        raise ValueError(
            f"a held-out rating is {outside[0]:g}, outside the scale [{low:g}, {high:g}], which no "
            f"interval leaves; correct it, or leave it out."
        )
    beyond = ((truth == high) & (scores >= high)) | ((truth == low) & (scores <= low))
    distances = np.where(beyond, 0.0, np.abs(truth - scores))
    table = features(scores, user_counts, item_counts, scale)
    usual = np.log(distances + SMALLEST * (distances.mean() or 1.0))
    penalty = np.diag([0.0] + [RIDGE] * (table.shape[1] - 1))
    coefficients = np.linalg.solve(table.T @ table + penalty, table.T @ usual)
    errors, group = distances / np.exp(table @ coefficients), groups(user_counts, item_counts)
    order = np.lexsort((errors, group))
    starts = np.searchsorted(group[order], np.arange(N_GROUPS + 1))
    return Calibration(coefficients, errors[order], starts.astype(np.int64))
