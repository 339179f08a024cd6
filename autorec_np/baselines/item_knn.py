"""Nearest neighbors: items are recommended that the same users chose, (63) and (64)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np._validation import check_integer, check_number
from autorec_np.baselines.popularity import ListBaseline
from autorec_np.models.base import chunks, of_record
from autorec_np.models.frames import top_n
from autorec_np.models.interactions import ListRecord


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedItemWeights(ListRecord):
    """Scores X B: `weights` B (n_items, n_items), dense or CSR, of float32."""

    weights: Any

    def scores_of(self, wanted: CSR) -> Array:
        scores: Any = wanted.astype(self.weights.dtype) @ self.weights
        return np.asarray(scores if isinstance(scores, np.ndarray) else scores.toarray())

    def weights_of(self, items: Array) -> Array:
        """Return (len(items), n_items) what all items add to the scores of some."""
        found: Any = self.weights[:, items].T
        return np.asarray(found if isinstance(found, np.ndarray) else found.toarray())


class ItemKNN(ListBaseline):
    """Item-based nearest neighbors, by the cosine with shrinkage (Sarwar et al., 2001).

    Parameters
    ----------
    n_neighbors : int
        Most items that a score is made of.
    shrinkage : float
        Added to the denominator of (63): items of few users are similar to none.
    threshold, values
        As of :class:`ListRecommender`.

    Attributes
    ----------
    item_weights_ : csr_array of float32, (n_items, n_items)
        S of (64), 0 where the row is no neighbor of the column.
    """

    item_weights_: CSR = of_record("weights")

    def __init__(
        self,
        n_neighbors: int = 100,
        shrinkage: float = 10.0,
        threshold: float | None = None,
        values: str = "binary",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.shrinkage = shrinkage
        self.threshold = threshold
        self.values = values

    def check_parameters(self) -> None:
        super().check_parameters()
        check_integer("n_neighbors", self.n_neighbors, minimum=1)
        check_number("shrinkage", self.shrinkage, minimum=0.0)

    def _learn(self, wanted: CSR, common: dict[str, Any]) -> ListRecord:
        weights = neighbors(wanted, self.n_neighbors, self.shrinkage)
        return FittedItemWeights(**common, weights=weights)


def neighbors(wanted: CSR, n_neighbors: int, shrinkage: float) -> CSR:
    """Return S of (64)."""
    n_items = wanted.shape[1]
    by_item = wanted.T.tocsr()
    lengths = np.sqrt(np.bincount(wanted.indices, wanted.data**2, minlength=n_items))
    found = []
    for part in chunks(n_items, n_items):
        block = (by_item[part] @ wanted).toarray()
        block /= np.maximum(lengths[part, np.newaxis] * lengths + shrinkage, np.finfo(float).tiny)
        block[np.arange(len(block)), np.arange(n_items)[part]] = 0.0
        found.append(top_n(block, n_neighbors))
    places, similarities = (np.concatenate(arrays).ravel() for arrays in zip(*found, strict=True))
    items = np.repeat(np.arange(n_items), len(places) // n_items)
    near = similarities > 0
    triples = similarities[near].astype(np.float32), (places[near], items[near])
    return sparse.coo_array(triples, shape=(n_items, n_items)).tocsr()
