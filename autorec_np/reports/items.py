"""The items of a fitted model on a map."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from autorec_np._types import Array
from autorec_np.models.scoring import Fitted


class ItemMap(NamedTuple):
    """Items, most rated first, with coordinates (m, 2) and the shares of the variance."""

    positions: Array
    coordinates: Array
    shares: tuple[float, float]


def map_items(fitted: Fitted, n_items: int = 300) -> ItemMap:
    """Map the items with the most ratings by the principal components of their codes.

    For orientation "user" these are the rows of the decoder weight.
    """
    counts = fitted.item_counts
    order = np.argsort(-counts, kind="stable")[:n_items]
    order = order[counts[order] > 0]
    centered = fitted.vectors("item")[order].astype(np.float64)
    centered -= centered.mean(axis=0)
    left, strengths, _ = np.linalg.svd(centered, full_matrices=False)
    left = np.pad(left * strengths, ((0, 0), (0, max(0, 2 - len(strengths)))))[:, :2]
    # an SVD leaves the signs open
    farthest = left[np.abs(left).argmax(axis=0), [0, 1]]
    left = left * np.where(farthest < 0, -1.0, 1.0)
    total = float(strengths @ strengths) or 1.0
    first, second = (left**2).sum(axis=0) / total
    return ItemMap(order, left, (float(first), float(second)))
