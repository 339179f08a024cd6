"""Matrix factorization: r_ui = mean + b_u + b_i + P_u . Q_i, (43).

A model that learns has the biases as one more factor: [P, b_user], [Q, b_item].
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np._validation import check_integer, check_number, check_random_state
from autorec_np.core.kernels import with_data
from autorec_np.data.entries import row_of_each
from autorec_np.engine.threads import undisturbed
from autorec_np.models.base import Recommender, Record, Self, of_record, to_learn
from autorec_np.models.biases import Biases

ROWS_PER_BLOCK = 1_024  # whose Gram matrices are held at once
PAIRS_PER_BLOCK = 65_536
INITIAL_DEVIATION = 0.1  # of random factors


class Learned(NamedTuple):
    """The parts of (43), and a number for each iteration."""

    biases: Biases
    user_factors: Array
    item_factors: Array
    loss_curve: Array


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedFactors(Record):
    """Scores of (43). An unrated side has factors and bias 0."""

    learned: Learned

    def score_pairs(self, users: Array, items: Array) -> Array:
        biases, P, Q, _ = self.learned
        scores = biases.at(users, items)
        known = np.flatnonzero((users >= 0) & (items >= 0))
        scores[known] += products(P, Q, users[known], items[known])
        return scores

    def score_all_items(self, users: Array) -> Array:
        biases, P, Q, _ = self.learned
        scores = biases.at(users[:, np.newaxis], np.arange(len(Q)))
        return np.asarray(scores + P[users] @ Q.T)


class FactorModel(Recommender):
    """What the three models of (43) do alike.

    Attributes
    ----------
    biases_ : Biases
    user_factors_, item_factors_ : ndarray of float32, (n_users, k), (n_items, k)
    loss_curve_ : ndarray of float64, (max_iter,)
    """

    fitted_: FittedFactors
    biases_: Biases = of_record("learned.biases")
    user_factors_: Array = of_record("learned.user_factors")
    item_factors_: Array = of_record("learned.item_factors")
    loss_curve_: Array = of_record("learned.loss_curve")

    @undisturbed()
    def fit(self, ratings: Any, validation: Any = None) -> Self:
        self.check_parameters()
        given, by_index = to_learn(ratings)
        values = given.matrix.data.astype(np.float64)
        mean, unit = float(values.mean()), float(values.std()) or 1.0
        rated = with_data(given.matrix, ((values - mean) / unit).astype(np.float32))
        rng = check_random_state(self.get_params()["random_state"])
        users, items, losses = self._learn(rated, rng)
        self.fitted_ = FittedFactors(
            ratings=given,
            ids_are_indices=by_index,
            learned=centered(rated, mean, unit, users, items, losses),
        )
        return self

    def check_parameters(self) -> None:
        """ValueError or TypeError for a parameter that cannot be used."""
        for name, value in self.get_params().items():
            if name in ("n_factors", "max_iter", "burn_in", "n_samples", "batch_size"):
                check_integer(name, value, minimum=1)
            elif name != "solver" and name != "random_state":
                check_number(name, value, minimum=0.0)

    @abstractmethod
    def _learn(self, rated: CSR, rng: np.random.Generator) -> tuple[Array, Array, list[float]]:
        """Return [P, b_user], [Q, b_item] and the loss curve; ratings have mean 0, deviation 1."""


def initial(shape: tuple[int, int], n_factors: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Return [P, b_user] and [Q, b_item]: random factors, and biases of 0."""
    sides = [rng.normal(0, INITIAL_DEVIATION, (n, n_factors + 1)) for n in shape]
    for side in sides:
        side[:, -1] = 0
    return tuple(side.astype(np.float32) for side in sides)


def centered(
    rated: CSR, mean: float, unit: float, users: Array, items: Array, losses: list[float]
) -> Learned:
    """Return the same scores in the unit of the ratings, factors and biases of mean 0.

    So an unrated side, with factors and bias 0, scores as the average row.
    """
    counts = np.diff(rated.indptr), np.bincount(rated.indices, minlength=rated.shape[1])
    sides = [side.astype(np.float64) for side in (users, items)]
    for side, other, count in zip(sides, sides[::-1], counts, strict=True):
        average = side[count > 0].mean(axis=0)
        other[:, -1] += other[:, :-1] @ average[:-1]
        mean += unit * float(average[-1])
        side -= average
        side[count == 0] = 0
    user, item = (unit * side[:, -1] for side in sides)
    P, Q = (np.sqrt(unit) * side[:, :-1] for side in sides)  # copies: contiguous
    return Learned(
        Biases(mean, user, item), P.astype(np.float32), Q.astype(np.float32), np.array(losses)
    )


def design(others: Array) -> Array:
    """Return [Q, 1], which [P, b_user] is multiplied with."""
    read: Array = others.copy()
    read[:, -1] = 1
    return read


def products(P: Array, Q: Array, rows: Array, columns: Array) -> Array:
    """Return P_r . Q_c of pairs (r, c)."""
    found = np.empty(len(rows), np.result_type(P, Q))
    for start in range(0, len(rows), PAIRS_PER_BLOCK):
        some = slice(start, start + PAIRS_PER_BLOCK)
        found[some] = np.einsum("nk,nk->n", P[rows[some]], Q[columns[some]])
    return found


def residuals(rated: CSR, users: Array, items: Array) -> CSR:
    """Return r - P_u . Q_i - b_u - b_i where there is a rating."""
    scores = products(users, design(items), row_of_each(rated), rated.indices)
    return with_data(rated, rated.data - scores - items[rated.indices, -1])


def normal_equations(rated: CSR, others: Array) -> Iterator[tuple[slice, Array, Array]]:
    """Yield blocks of rows, and D^T D and D^T t of each row, (46).

    D holds [Q_c, 1] of the rated columns, and t what b_c leaves of the ratings.
    """
    read, (n_rows, _) = design(others), rated.shape
    targets = rated.data - others[rated.indices, -1]
    width = others.shape[1]
    for first in range(0, n_rows, ROWS_PER_BLOCK):
        rows = slice(first, min(first + ROWS_PER_BLOCK, n_rows))
        ends = rated.indptr[rows.start : rows.stop + 1]
        grams = np.empty((len(ends) - 1, width, width))
        moments = np.empty((len(ends) - 1, width))
        for row, (start, stop) in enumerate(pairwise(ends)):
            D = read[rated.indices[start:stop]]
            grams[row], moments[row] = D.T @ D, targets[start:stop] @ D
        yield rows, grams, moments
