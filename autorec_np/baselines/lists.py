"""Lists to compare with: popularity, nearest neighbors (63), and EASE (65)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np._validation import check_integer, check_number
from autorec_np.engine.threads import undisturbed
from autorec_np.models.base import Self, chunks, of_record
from autorec_np.models.frames import top_n
from autorec_np.models.interactions import ListRecommender, ListRecord, positives, to_interactions


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedLists(ListRecord):
    """Scores X B, (64): `weights` B (n_items, n_items), dense or CSR, float32; None: popularity."""

    weights: Any = None

    def scores_of(self, wanted: CSR) -> Array:
        if self.weights is None:
            return np.tile(self.item_counts.astype(np.float64), (wanted.shape[0], 1))
        return dense(wanted.astype(self.weights.dtype) @ self.weights)

    def weights_of(self, items: Array) -> Array:
        """Return what each item adds to the scores of some, (len(items), n_items)."""
        return dense(self.weights[:, items].T)


def dense(matrix: Any) -> Array:
    return np.asarray(matrix if isinstance(matrix, np.ndarray) else matrix.toarray())


class ListBaseline(ListRecommender):
    """What the baselines of lists do alike."""

    fitted_: FittedLists

    def fit(self, ratings: Any, validation: Any = None) -> Self:
        import scipy.linalg  # noqa: F401 - before its BLAS is held to one thread

        self.check_parameters()
        given, by_index = to_interactions(ratings)
        wanted = positives(given, self.threshold, self.values)
        with undisturbed():
            self.fitted_ = FittedLists(
                ratings=given,
                ids_are_indices=by_index,
                threshold=self.threshold,
                values=self.values,
                weights=self._weights(wanted),
            )
        return self

    @abstractmethod
    def _weights(self, wanted: CSR) -> Any:
        """Return what is learned from :func:`positives`."""


class Popularity(ListBaseline):
    """Recommends to everybody the items with the most interactions: their numbers are the scores.

    Parameters
    ----------
    threshold : float, optional
        Only ratings from here on count as interactions.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold

    def _weights(self, wanted: CSR) -> None:
        return None


class ItemKNN(ListBaseline):
    """Item-based nearest neighbors, by the cosine with shrinkage (Sarwar et al., 2001).

    A fit reads all ratings into memory, stored ones too.

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
        n_neighbors: int = 200,
        shrinkage: float = 50.0,
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

    def _weights(self, wanted: CSR) -> CSR:
        return neighbors(wanted, self.n_neighbors, self.shrinkage)


class EASE(ListBaseline):
    """Embarrassingly shallow autoencoder (Steck, 2019): a score for each item from all others.

    A fit takes n_items^3 operations (fewer with few users), and 12 bytes for each pair of items.

    A fit reads all ratings into memory, stored ones too.

    Parameters
    ----------
    regularization : float
        lambda of (65), above 0.
    threshold, values
        As of :class:`ListRecommender`.

    Attributes
    ----------
    item_weights_ : ndarray of float32, (n_items, n_items)
        B of (68): what an item of the row adds to the score of that of the column.
    """

    item_weights_: Array = of_record("weights")

    def __init__(
        self,
        regularization: float = 700.0,
        threshold: float | None = None,
        values: str = "binary",
    ) -> None:
        self.regularization = regularization
        self.threshold = threshold
        self.values = values

    def check_parameters(self) -> None:
        super().check_parameters()
        above = (False, True)
        check_number("regularization", self.regularization, minimum=0.0, inclusive=above)

    def _weights(self, wanted: CSR) -> Array:
        return item_weights(wanted, self.regularization)


def neighbors(wanted: CSR, n_neighbors: int, shrinkage: float) -> CSR:
    """Return S of (63)."""
    n, by_item = wanted.shape[1], wanted.T.tocsr()
    lengths = np.sqrt(np.bincount(wanted.indices, wanted.data**2, minlength=n))
    found = []
    for part in chunks(n, n):
        block = (by_item[part] @ wanted).toarray()
        block /= np.maximum(lengths[part, np.newaxis] * lengths + shrinkage, np.finfo(float).tiny)
        block[np.arange(len(block)), np.arange(n)[part]] = 0.0
        found.append(top_n(block, n_neighbors))
    places, similarities = (np.concatenate(arrays).ravel() for arrays in zip(*found, strict=True))
    items, near = np.repeat(np.arange(n), len(places) // n), similarities > 0
    triples = similarities[near].astype(np.float32), (places[near], items[near])
    return sparse.coo_array(triples, shape=(n, n)).tocsr()


def item_weights(wanted: CSR, regularization: float) -> Array:
    """Return B of (65) and (66), which is (68)."""
    P = inverse(wanted, regularization)
    own, B = P.diagonal().copy(), np.empty(P.shape, np.float32)
    for item, column in enumerate(P.T):
        B[item:, item] = column[item:] / -own[item]
        B[item, item:] = column[item:] / -own[item:]
    np.fill_diagonal(B, 0.0)
    return B


def inverse(wanted: CSR, regularization: float) -> Array:
    """Return P of (67), in its lower triangle; by (69) for few users."""
    from scipy.linalg import lapack, solve_triangular

    n_users, n_items = wanted.shape
    of_users = 2 * n_users < n_items
    gram = gram_of(wanted.T.tocsr() if of_users else wanted)
    gram[np.diag_indices_from(gram)] += regularization
    L, fault = lapack.dpotrf(gram, lower=True, overwrite_a=True, clean=False)
    if fault:
        raise ValueError(
            f"regularization={regularization:g} is too small for these ratings; raise it."
        )
    P: Array
    if not of_users:
        P, _ = lapack.dpotri(L, lower=True, overwrite_c=True)
        return P
    V = solve_triangular(L, wanted.toarray(), lower=True, overwrite_b=True)
    P = V.T @ V
    P /= -regularization
    P[np.diag_indices_from(P)] += 1 / regularization
    return P


def gram_of(matrix: CSR) -> Array:
    """Return X^T X, in Fortran's order."""
    turned, n = matrix.T.tocsr(), matrix.shape[1]
    gram = np.empty((n, n), order="F")
    for part in chunks(n, n):
        gram[:, part] = (turned[part] @ matrix).toarray().T
    return gram
