"""EASE: a linear autoencoder whose items must not predict themselves, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np._validation import check_number
from autorec_np.baselines.item_knn import FittedItemWeights
from autorec_np.baselines.popularity import ListBaseline
from autorec_np.models.base import Self, chunks, of_record
from autorec_np.models.interactions import ListRecord


class EASE(ListBaseline):
    """Embarrassingly shallow autoencoder (Steck, 2019): a score for each item from all others.

    A fit takes n_items^3 operations, and 12 bytes for each pair of items.

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

    def fit(self, ratings: Any, validation: Any = None) -> Self:
        import scipy.linalg  # noqa: F401 - before its BLAS is held to one thread

        return super().fit(ratings)

    def _learn(self, wanted: CSR, common: dict[str, Any]) -> ListRecord:
        weights = item_weights(wanted, self.regularization)
        return FittedItemWeights(**common, weights=weights)


def item_weights(wanted: CSR, regularization: float) -> Array:
    """Return B of (68)."""
    P = inverse(wanted, regularization)
    own, B = P.diagonal().copy(), np.empty(P.shape, np.float32)
    for item, (column, weight) in enumerate(zip(P.T, own, strict=True)):
        B[item:, item] = column[item:] / -weight
        B[item, item:] = column[item:] / -own[item:]
    np.fill_diagonal(B, 0.0)
    return B


def gram_of(matrix: CSR) -> Array:
    """Return X^T X, in Fortran's order."""
    turned, n = matrix.T.tocsr(), matrix.shape[1]
    gram = np.empty((n, n), order="F")
    for part in chunks(n, n):
        gram[:, part] = (turned[part] @ matrix).toarray().T
    return gram


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
