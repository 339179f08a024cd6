"""The global mean, and regularized biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np._validation import check_number
from autorec_np.data.entries import row_of_each
from autorec_np.data.ratings import Ratings
from autorec_np.engine.rows import KEPT, blocks_of, column_counts, row_block
from autorec_np.models.base import Axes, Recommender, Record, Self, of_record, to_learn
from autorec_np.training.units import AffineMap, mean_and_deviation

REGULARIZATION = 5.0  # lambda by default
MAX_SWEEPS = 200
SMALLEST_CHANGE = 1e-6  # of a bias, in deviations of the ratings: sweeps end
FEATURE_PENALTY = 100.0  # of (40) and (41): docs/decisions.md
SMALLEST_PENALTY = 1e-12  # of the trace: below, least norm
AS_THEY_ARE = AffineMap().__call__
OVER_RELAXATION = 1.5  # with 1, ML-1M takes two to three times the sweeps


class Biases(NamedTuple):
    """r_ui = mean + user[u] + item[i]; float64. A bias without ratings is 0."""

    mean: float
    user: Array
    item: Array

    def at(self, users: Array, items: Array) -> Array:
        """Return the sums for pairs of positions; -1 has bias 0."""
        user, item = (
            np.where(np.less(places, 0), 0.0, side[places])
            for side, places in ((self.user, users), (self.item, items))
        )
        return np.asarray(self.mean + user + item)


def fit_biases(
    matrix: CSR, regularization: float, convert: Callable[[Array], Array] = AS_THEY_ARE
) -> Biases:
    """Return the minimizer of sum (r - mean - b_u - b_i)^2 + lambda (sum b_u^2 + sum b_i^2).

    User and item biases move in turn to (19), and beyond by OVER_RELAXATION (Young, 1954), until
    they settle (Koren, 2010, section 2.1). `convert` gives r of the stored ratings.
    """
    mean, deviation = mean_and_deviation(matrix.data, convert)
    item_sums, item_counts = np.zeros(matrix.shape[1]), column_counts(matrix)
    parts: list[Array] = []
    for rows in blocks_of(matrix):
        residuals: Any = row_block(matrix, rows)
        residuals.data = convert(residuals.data) - mean
        parts.append(residuals.sum(axis=1))
        item_sums += residuals.sum(axis=0)
    user_sums = np.concatenate(parts)
    user_weights, item_weights = (  # not 0 / 0 of empty rows
        np.maximum(regularization + counts, regularization or 1.0)
        for counts in (np.diff(matrix.indptr), item_counts)
    )
    user, item = np.zeros(len(user_sums)), np.zeros(len(item_sums))
    smallest_change = SMALLEST_CHANGE * deviation
    for _ in range(MAX_SWEEPS):
        previous = item
        best_item = (item_sums - _sums(matrix, user, axis=0)) / item_weights
        item = item + OVER_RELAXATION * (best_item - item)
        best_user = (user_sums - _sums(matrix, item, axis=1)) / user_weights
        user = user + OVER_RELAXATION * (best_user - user)
        if np.abs(item - previous).max() <= smallest_change:
            break
    return Biases(mean, best_user, item)


def _sums(pattern: CSR, biases: Array, axis: int) -> Array:
    """Return P^T b (`axis` 0) or P b, of a pattern P of ones."""
    sums: Array = np.zeros(pattern.shape[1 - axis])
    ones = np.ones(min(pattern.nnz, 2 * KEPT))
    for rows in blocks_of(pattern):
        block: Any = row_block(pattern, rows)
        block.data = ones[: block.nnz] if block.nnz <= len(ones) else np.ones(block.nnz)
        if axis:
            sums[rows] = block @ biases
        else:
            sums += block.T @ biases[rows]
    return sums


def best_biases(rated: CSR, mean: float, others: Array, regularization: float) -> Array:
    """Return the biases (19) of rows, given those of the columns; 0 without ratings."""
    counts = np.diff(rated.indptr)
    residuals = rated.data.astype(np.float64) - mean - others[rated.indices]
    sums = np.bincount(row_of_each(rated), residuals, minlength=len(counts))
    return np.asarray(sums / np.maximum(regularization + counts, regularization or 1.0))


def ridge(inputs: Array, targets: Array, penalty: float) -> tuple[Array, float]:
    """Return the minimizer w, b of sum (t - h . w - b)^2 + penalty / 2 ||w||^2, (18)."""
    mean_input, mean_target = inputs.mean(axis=0), float(targets.mean())
    centered, residuals = inputs - mean_input, targets - mean_target
    n, k = centered.shape
    gram = centered @ centered.T if n <= k else centered.T @ centered
    if penalty / 2 > SMALLEST_PENALTY * gram.trace():
        gram[np.diag_indices_from(gram)] += penalty / 2
        if n <= k:
            weight = centered.T @ np.linalg.solve(gram, residuals)
        else:
            weight = np.linalg.solve(gram, centered.T @ residuals)
    else:
        weight = np.linalg.lstsq(centered, residuals, rcond=None)[0]
    return weight, mean_target - float(mean_input @ weight)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedMean(Record):
    mean: float

    @classmethod
    def of(cls, ratings: Ratings, ids_are_indices: bool) -> FittedMean:
        mean = float(ratings.matrix.data.mean(dtype=np.float64))
        return cls(ratings=ratings, ids_are_indices=ids_are_indices, mean=mean)

    def score_pairs(self, users: Array, items: Array) -> Array:
        return np.full(len(users), self.mean)

    def score_all_items(self, users: Array) -> Array:
        return np.full((len(users), self.ratings.n_items), self.mean)

    def model(self) -> GlobalMean:
        model = GlobalMean()
        model.fitted_ = self
        return model


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedBiases(Record):
    biases: Biases
    regularization: float

    @classmethod
    def of(
        cls,
        ratings: Ratings,
        ids_are_indices: bool,
        regularization: float = REGULARIZATION,
        convert: Callable[[Array], Array] = AS_THEY_ARE,
    ) -> FittedBiases:
        return cls(
            ratings=ratings,
            ids_are_indices=ids_are_indices,
            biases=fit_biases(ratings.matrix, regularization, convert),
            regularization=regularization,
        )

    def mean_alone(self) -> FittedMean:
        return FittedMean(
            ratings=self.ratings, ids_are_indices=self.ids_are_indices, mean=self.biases.mean
        )

    def unmapped(self, units: AffineMap) -> FittedBiases:
        mean, user, item = self.biases
        biases = Biases(
            float(units.inverse(np.array(mean))), user / units.factor, item / units.factor
        )
        return replace(self, biases=biases)

    @cached_property
    def effects(self) -> dict[str, Array]:
        """Effects E (n_columns + 1, d + 1) of the rows' features, by axis, (40) and (41).

        An unrated row f adds [f, 1] . E[c] to its biases; the last of E is of unrated columns.
        """
        (mean, *sides), effects = self.biases, {}
        for axis, features in self.ratings.features.items():
            own, others = Axes(axis).rows_and_columns(*sides)
            wide = np.column_stack([features, np.ones(len(features))])
            weighted = self.counts[axis][:-1] * wide.T
            gram = weighted @ wide + FEATURE_PENALTY * np.eye(wide.shape[1])
            common = np.linalg.solve(gram, weighted @ own)  # (40)
            rated = self.ratings.oriented(Axes(axis).column)  # columns x rows
            base = mean + others[row_of_each(rated)] + (wide @ common)[rated.indices]
            residuals = rated.data - base
            effects[axis] = np.tile(common, (len(others) + 1, 1))
            for effect, (start, stop) in zip(effects[axis], pairwise(rated.indptr), strict=False):
                if start < stop:
                    rows = features[rated.indices[start:stop]]
                    weight, bias = ridge(rows, residuals[start:stop], FEATURE_PENALTY)  # (41)
                    effect += [*weight, bias]
        return effects

    def score_pairs(self, users: Array, items: Array) -> Array:
        scores = self.biases.at(users, items)
        for axis, features in self.ratings.features.items():
            rows, columns = Axes(axis).rows_and_columns(*np.broadcast_arrays(users, items))
            unrated = np.nonzero((rows >= 0) & (self.counts[axis][rows] == 0))
            if len(unrated[0]):
                rows, columns, effects = rows[unrated], columns[unrated], self.effects[axis]
                scores[unrated] += effects[columns, -1]
                for feature, effect in zip(features.T, effects.T, strict=False):
                    scores[unrated] += feature[rows] * effect[columns]
        return scores

    def score_all_items(self, users: Array) -> Array:
        return self.score_pairs(users[:, np.newaxis], np.arange(self.ratings.n_items))

    def model(self) -> BiasBaseline:
        model = BiasBaseline(self.regularization)
        model.fitted_ = self
        return model


class GlobalMean(Recommender):
    """Predicts the mean of the training ratings.

    Attributes
    ----------
    mean_ : float
    """

    fitted_: FittedMean
    mean_: float = of_record("mean")

    def __init__(self) -> None:
        pass

    def fit(self, ratings: Any, validation: Any = None) -> Self:
        self.fitted_ = FittedMean.of(*to_learn(ratings))
        return self


class BiasBaseline(Recommender):
    """Predicts mean + user bias + item bias.

    Parameters
    ----------
    regularization : float
        lambda of :func:`fit_biases`.

    Attributes
    ----------
    biases_ : Biases
    """

    fitted_: FittedBiases
    biases_: Biases = of_record("biases")

    def __init__(self, regularization: float = REGULARIZATION) -> None:
        self.regularization = regularization

    def fit(self, ratings: Any, validation: Any = None) -> Self:
        regularization = check_number("regularization", self.regularization, minimum=0.0)
        self.fitted_ = FittedBiases.of(*to_learn(ratings), regularization)
        return self
