"""The items that most users chose; and what a baseline of lists is."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np.engine.threads import undisturbed
from autorec_np.models.base import Self
from autorec_np.models.interactions import ListRecommender, ListRecord, positives, to_interactions


class ListBaseline(ListRecommender):
    """What the baselines of lists do alike."""

    fitted_: ListRecord

    @undisturbed()
    def fit(self, ratings: Any, validation: Any = None) -> Self:
        self.check_parameters()
        given, by_index = to_interactions(ratings)
        wanted = positives(given, self.threshold, self.values)
        common = {"ratings": given, "ids_are_indices": by_index}
        common |= {"threshold": self.threshold, "values": self.values}
        self.fitted_ = self._learn(wanted, common)
        return self

    @abstractmethod
    def _learn(self, wanted: CSR, common: dict[str, Any]) -> ListRecord:
        """Return a record that has what is common, from :func:`positives`."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedPopularity(ListRecord):
    def scores_of(self, wanted: CSR) -> Array:
        return np.tile(self.item_counts.astype(np.float64), (wanted.shape[0], 1))


class Popularity(ListBaseline):
    """Recommends to everybody the items with the most interactions: their numbers are the scores.

    Parameters
    ----------
    threshold : float, optional
        As of :class:`ListRecommender`.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold

    def _learn(self, wanted: CSR, common: dict[str, Any]) -> ListRecord:
        return FittedPopularity(**common)
