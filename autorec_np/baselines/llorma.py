"""`LLORMA`: the mean of small factorizations near anchors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np._validation import RandomState, check_integer, check_number, check_random_state
from autorec_np.core.kernels import spmm, with_data
from autorec_np.data.entries import row_of_each
from autorec_np.engine.threads import undisturbed
from autorec_np.models.base import Recommender, Record, Self, of_record, to_learn
from autorec_np.models.biases import REGULARIZATION, Biases, fit_biases

Sides: TypeAlias = tuple[Array, Array]  # of the users, of the items

GLOBAL_WEIGHT = 0.01  # of the model of all ratings: docs/defaults.md
LOCAL_SWEEPS = 3  # from that model's factors
PAIRS_PER_BLOCK = 16_384
SMALLEST_RIDGE = 1e-6  # of the trace, in float32


def angles(factors: Array, anchor: int) -> Array:
    """Return the angles between the rows' factors and the anchor's, (60)."""
    lengths = np.linalg.norm(factors, axis=1)
    lengths = np.maximum(lengths * lengths[anchor], np.finfo(np.float32).tiny)
    return np.asarray(np.arccos(np.clip(factors @ factors[anchor] / lengths, -1, 1)))


def epanechnikov(distances: Array, bandwidth: float) -> Array:
    """Return 1 - (d / h)^2, 0 beyond h, (60)."""
    return np.asarray(np.maximum(1 - np.square(distances / bandwidth), 0))


def best_rows(rated: CSR, others: Array, weights: Array, regularization: float) -> Array:
    """Return the minimizers P_r of (59) for factors and weights of the columns, (61).

    The weight of the row itself cancels.
    """
    k = others.shape[1]
    p, q = np.triu_indices(k)
    ones = with_data(rated, np.ones_like(rated.data))
    weighted = weights[:, np.newaxis] * others
    grams = np.empty((rated.shape[0], k, k), others.dtype)
    grams[:, p, q] = grams[:, q, p] = spmm(ones, weighted[:, p] * others[:, q])
    ridges = regularization * np.sqrt(spmm(ones, np.square(weights)[:, np.newaxis]))
    traces = np.trace(grams, axis1=1, axis2=2)[:, np.newaxis]
    grams[:, range(k), range(k)] += np.maximum(ridges, SMALLEST_RIDGE * (1 + traces))
    solved = np.linalg.solve(grams, spmm(rated, weighted)[:, :, np.newaxis])
    return np.asarray(solved[:, :, 0])


class Models(NamedTuple):
    """All models side by side, that of all ratings first; factors are weighted."""

    anchors: Array  # (n_models, 2)
    user_weights: Array  # (n_users, n_models + 1)
    item_weights: Array
    user_factors: Array  # (n_users, (n_models + 1) k)
    item_factors: Array


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedLocal(Record):
    """Scores of (62), and biases for cold pairs."""

    models: Models
    biases: Biases

    def score_pairs(self, users: Array, items: Array) -> Array:
        scores = self.biases.at(users, items)
        warm = np.flatnonzero((users >= 0) & (items >= 0))
        warm = warm[~self.is_cold(users[warm], items[warm])]
        for start in range(0, len(warm), PAIRS_PER_BLOCK):
            some = warm[start : start + PAIRS_PER_BLOCK]
            u, i = users[some], items[some]
            sums, totals = (
                np.einsum("nk,nk->n", of_user[u], of_item[i]) for of_user, of_item in self._sides()
            )
            scores[some] = sums / totals
        return scores

    def score_all_items(self, users: Array) -> Array:
        sums, totals = (of_user[users] @ of_item.T for of_user, of_item in self._sides())
        pairs = users[:, np.newaxis], np.arange(self.ratings.n_items)
        return np.where(self.is_cold(*pairs), self.biases.at(*pairs), sums / totals)

    def _sides(self) -> tuple[Sides, Sides]:
        """Return the factors of numerator and denominator of (62)."""
        _, *weights, user_factors, item_factors = self.models
        return (user_factors, item_factors), (weights[0], weights[1])


class LLORMA(Recommender):
    """Local low-rank matrix approximation (Lee, Kim, Lebanon and Singer, 2013).

    Parameters
    ----------
    n_models : int
        Anchors, rated pairs drawn at random, of one local model each.
    n_factors : int
        k of each model.
    regularization : float
        lambda of (59), for ratings of deviation 1.
    bandwidth : float
        h of the kernel, in radians.
    max_iter : int
        Sweeps for the model of all ratings, from which the others start.
    random_state : int, Generator or None

    Attributes
    ----------
    anchors_ : ndarray of int, (n_models, 2)
        Positions of their users and items.
    """

    fitted_: FittedLocal
    anchors_: Array = of_record("models.anchors")

    def __init__(
        self,
        n_models: int = 50,
        n_factors: int = 10,
        regularization: float = 0.65,
        bandwidth: float = 0.95,
        max_iter: int = 10,
        random_state: RandomState = None,
    ) -> None:
        self.n_models = n_models
        self.n_factors = n_factors
        self.regularization = regularization
        self.bandwidth = bandwidth
        self.max_iter = max_iter
        self.random_state = random_state

    def check_parameters(self) -> None:
        """ValueError or TypeError for a parameter that cannot be used."""
        for name in ("n_models", "n_factors", "max_iter"):
            check_integer(name, getattr(self, name), minimum=1)
        check_number("regularization", self.regularization, minimum=0.0)
        check_number("bandwidth", self.bandwidth, minimum=0.0, inclusive=(False, True))

    @undisturbed()
    def fit(self, ratings: Any, validation: Any = None) -> Self:
        self.check_parameters()
        rng = check_random_state(self.random_state)
        given, by_index = to_learn(ratings)
        unit = float(given.matrix.data.std(dtype=np.float64)) or 1.0
        rated = with_data(given.matrix, given.matrix.data / np.float32(unit))
        drawn = rng.integers(rated.nnz, size=self.n_models)
        anchors = np.column_stack([row_of_each(rated)[drawn], rated.indices[drawn]])
        start = rng.normal(0.5, 0.1, (rated.shape[1], self.n_factors)).astype(np.float32)
        self.fitted_ = FittedLocal(
            ratings=given,
            ids_are_indices=by_index,
            models=self._learn(rated, anchors, start, unit),
            biases=fit_biases(given.matrix, REGULARIZATION),
        )
        return self

    def _learn(self, rated: CSR, anchors: Array, start: Array, unit: float) -> Models:
        shape, by_item = (len(anchors) + 1, self.n_factors), rated.T.tocsr()
        weights = [np.empty((n, shape[0]), np.float32) for n in rated.shape]
        factors = [np.empty((n, *shape), np.float32) for n in rated.shape]
        near = [np.ones(n, np.float32) for n in rated.shape]
        of_all = local = self._factorize(rated, by_item, near, start, self.max_iter)
        for number in range(shape[0]):
            if number:
                near = [
                    epanechnikov(angles(side, anchor), self.bandwidth)
                    for side, anchor in zip(of_all, anchors[number - 1], strict=True)
                ]
                local = self._factorize(rated, by_item, near, of_all[1], LOCAL_SWEEPS)
            for side, weight in enumerate(near):
                weight = weight if number else np.sqrt(GLOBAL_WEIGHT) * weight
                weights[side][:, number] = weight
                factors[side][:, number] = np.sqrt(unit) * weight[:, np.newaxis] * local[side]
        return Models(anchors, *weights, *(side.reshape(len(side), -1) for side in factors))

    def _factorize(
        self, rated: CSR, by_item: CSR, near: list[Array], items: Array, n_sweeps: int
    ) -> Sides:
        """Return factors after some sweeps of (61)."""
        for _ in range(n_sweeps):
            users = best_rows(rated, items, near[1], self.regularization)
            items = best_rows(by_item, users, near[0], self.regularization)
        return users, items
