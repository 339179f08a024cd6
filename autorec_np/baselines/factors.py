"""Factorizations: r_ui = mean + b_u + b_i + P_u . Q_i, (43), and the mean of local ones, (62).

A model that learns (43) has the biases as one more factor: [P, b_user], [Q, b_item].
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np._validation import (
    RandomState,
    check_choice,
    check_integer,
    check_number,
    check_random_state,
)
from autorec_np.core.kernels import spmm, spmm_transpose, take_rows, with_data
from autorec_np.core.optimizers import Adam, learning_rate_at
from autorec_np.data.entries import row_of_each
from autorec_np.engine.threads import undisturbed
from autorec_np.models.base import Recommender, Record, Self, of_record, to_learn
from autorec_np.models.biases import REGULARIZATION, Biases, fit_biases

Sides: TypeAlias = tuple[Array, Array]  # of the users, of the items

ROWS_PER_BLOCK = 1_024  # whose Gram matrices are held at once
PAIRS_PER_BLOCK = 65_536
INITIAL_DEVIATION = 0.1  # of random factors
BIAS_PENALTY = 3.0  # of a squared bias
SMALLEST_RIDGE = 1e-6  # for empty rows, and regularization 0
PRIOR_ROWS = 2.0  # beta_0: that the prior mean 0 counts as
GLOBAL_WEIGHT = 0.01  # of the model of all ratings: docs/defaults.md
LOCAL_SWEEPS = 3  # from that model's factors
LOCAL_PAIRS_PER_BLOCK = 16_384
LOCAL_RIDGE = 1e-6  # of the trace, in float32


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


def penalties(rated: CSR, width: int, regularization: float) -> tuple[Array, Array]:
    """Return the penalties (44) of the squared entries of [P, b_user] and [Q, b_item]."""
    counts = np.diff(rated.indptr), np.bincount(rated.indices, minlength=rated.shape[1])
    of_users, of_items = (
        np.repeat(regularization * np.sqrt(n)[:, np.newaxis], width, axis=1) for n in counts
    )
    of_users[:, -1] = of_items[:, -1] = BIAS_PENALTY
    return of_users.astype(rated.dtype), of_items.astype(rated.dtype)


def objective(rated: CSR, users: Array, items: Array, weights: tuple[Array, Array]) -> float:
    """Return (44) with penalties `weights`."""
    squares = [np.square(residuals(rated, users, items).data)]
    squares += [w * np.square(side) for w, side in zip(weights, (users, items), strict=True)]
    return float(sum(np.sum(one, dtype=np.float64) for one in squares))


def derivatives(
    rated: CSR, users: Array, items: Array, weights: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Return half the derivatives of (44) by [P, b_user] and [Q, b_item], (45)."""
    E = residuals(rated, users, items)
    d_users = weights[0] * users - spmm(E, design(items))
    d_items = weights[1] * items - spmm_transpose(E, design(users))
    return d_users, d_items


def best_rows(rated: CSR, others: Array, weights: Array) -> Array:
    """Return the minimizers [P, b] of (44) for the other side, (46); 0 of empty rows."""
    best = np.zeros((rated.shape[0], others.shape[1]), others.dtype)
    ridges = np.maximum(weights, SMALLEST_RIDGE)
    for rows, grams, moments in normal_equations(rated, others):
        grams += ridges[rows, :, np.newaxis] * np.eye(others.shape[1])
        best[rows] = np.linalg.solve(grams, moments[:, :, np.newaxis])[:, :, 0]
    return best


class BiasedMF(FactorModel):
    """Matrix factorization with biases (Koren, Bell and Volinsky, 2009).

    A fit reads all ratings into memory, stored ones too.

    Parameters
    ----------
    n_factors : int
        k.
    regularization : float
        lambda of (44), for each rating.
    solver : {"als", "sgd"}
        Least squares for users and items in turn; or gradient steps on minibatches.
    max_iter : int
        Passes through the ratings.
    learning_rate_init : float
        Of "sgd"; falls linearly to 0. At most 1 / n for a row with n ratings in a minibatch.
    batch_size : int
        Ratings in a minibatch of "sgd".
    random_state : int, Generator or None
    """

    def __init__(
        self,
        n_factors: int = 20,
        regularization: float = 1.0,
        solver: str = "als",
        max_iter: int = 20,
        learning_rate_init: float = 0.05,
        batch_size: int = 5_000,
        random_state: RandomState = None,
    ) -> None:
        self.n_factors = n_factors
        self.regularization = regularization
        self.solver = solver
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.random_state = random_state

    def check_parameters(self) -> None:
        super().check_parameters()
        check_choice("solver", self.solver, ("als", "sgd"))

    def _learn(self, rated: CSR, rng: np.random.Generator) -> tuple[Array, Array, list[float]]:
        users, items = initial(rated.shape, self.n_factors, rng)
        weights = penalties(rated, self.n_factors + 1, self.regularization)
        by_item, losses = rated.T.tocsr(), []
        for epoch in range(self.max_iter):
            if self.solver == "als":
                users = best_rows(rated, items, weights[0])
                items = best_rows(by_item, users, weights[1])
            else:
                rate = self.learning_rate_init * (1 - epoch / self.max_iter)
                self._descend(rated, users, items, weights, rate, rng)
            losses.append(objective(rated, users, items, weights))
        return users, items, losses

    def _descend(
        self,
        rated: CSR,
        users: Array,
        items: Array,
        weights: tuple[Array, Array],
        rate: float,
        rng: np.random.Generator,
    ) -> None:
        """Step against (45) for each minibatch, in place; penalties add up, (16)."""
        rows, order = row_of_each(rated), rng.permutation(rated.nnz)
        for start in range(0, rated.nnz, self.batch_size):
            some = order[start : start + self.batch_size]
            triples = rated.data[some], (rows[some], rated.indices[some])
            batch = sparse.csr_array(triples, shape=rated.shape)
            share = np.float32(len(some) / rated.nnz)
            of_batch = share * weights[0], share * weights[1]
            counts = np.diff(batch.indptr), np.bincount(batch.indices, minlength=len(items))
            moves = derivatives(batch, users, items, of_batch)
            for side, move, n in zip((users, items), moves, counts, strict=True):
                rates = np.minimum(rate, 1 / np.maximum(n, 1)).astype(side.dtype)
                side -= rates[:, np.newaxis] * move


def implicit_pattern(rated: CSR) -> CSR:
    """Return N of (47): 1 / sqrt(ratings of the user) where there is a rating."""
    counts = np.diff(rated.indptr)
    shares = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    return with_data(rated, shares.astype(rated.dtype))


def split(theta: Array) -> tuple[Array, Array]:
    """Return [Q, b_item] and Z of theta, (n_items, 2 k + 1)."""
    k = theta.shape[1] // 2
    return theta[:, : k + 1], theta[:, k + 1 :]


def best_users(rated: CSR, theta: Array, weights: Array) -> tuple[Array, Array]:
    """Return the [P, b_user] that minimize (48), and [N Z, 0]."""
    items, Z = split(theta)
    implied = np.zeros((rated.shape[0], items.shape[1]), theta.dtype)
    implied[:, :-1] = spmm(implicit_pattern(rated), Z)
    no_bias = items * (np.arange(items.shape[1]) < Z.shape[1])
    left = residuals(rated, implied, no_bias)
    return best_rows(left, items, weights), implied


def value_and_gradient(
    rated: CSR, theta: Array, weights: tuple[Array, Array, Array]
) -> tuple[float, Array]:
    """Return (48) of some users at the best [P, b_user], and its derivative by theta, (49)."""
    (items, Z), (of_users, of_items, of_Z) = split(theta), weights
    own, implied = best_users(rated, theta, of_users)
    users = own + implied
    d_users, d_items = derivatives(rated, users, items, (np.zeros_like(users), of_items))
    d_Z = of_Z * Z + spmm_transpose(implicit_pattern(rated), d_users[:, :-1])
    value = objective(rated, users, items, (np.zeros_like(users), of_items))
    value += float(np.sum(of_users * np.square(own)) + np.sum(of_Z * np.square(Z)))
    return value, 2 * np.column_stack([d_items, d_Z])


class SVDpp(FactorModel):
    """SVD++ (Koren, 2008).

    A fit reads all ratings into memory, stored ones too.

    Parameters
    ----------
    n_factors : int
        k.
    regularization : float
        lambda of (48), for each rating.
    max_iter : int
        Passes through the users.
    learning_rate_init : float
        Of Adam.
    batch_size : int
        Users in a minibatch.
    random_state : int, Generator or None
    """

    def __init__(
        self,
        n_factors: int = 20,
        regularization: float = 1.4,
        max_iter: int = 15,
        learning_rate_init: float = 0.03,
        batch_size: int = 128,
        random_state: RandomState = None,
    ) -> None:
        self.n_factors = n_factors
        self.regularization = regularization
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.random_state = random_state

    def _learn(self, rated: CSR, rng: np.random.Generator) -> tuple[Array, Array, list[float]]:
        n_users, n_items = rated.shape
        _, items = initial(rated.shape, self.n_factors, rng)
        theta = np.column_stack([items, np.zeros((n_items, self.n_factors), np.float32)])
        of_users, of_items = penalties(rated, self.n_factors + 1, self.regularization)
        of_Z = of_items[:, :-1]
        adam, losses, n_batches = Adam(), [], -(-n_users // self.batch_size)
        for epoch in range(self.max_iter):
            order, total = rng.permutation(n_users), 0.0
            for batch in range(n_batches):
                users, step = order[batch::n_batches], epoch * n_batches + batch
                share = np.float32(len(users) / n_users)
                weights = of_users[users], share * of_items, share * of_Z
                value, gradient = value_and_gradient(take_rows(rated, users), theta, weights)
                rate = learning_rate_at(
                    "cosine", self.learning_rate_init, step, self.max_iter * n_batches
                )
                theta, total = adam.step(theta, gradient, rate), total + value
            losses.append(total)
        own, implied = best_users(rated, theta, of_users)
        return own + implied, split(theta)[0], losses


def draw_prior(side: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw mean and precision of the rows from their posterior, (51)."""
    n, width = side.shape
    rows = side.astype(np.float64)
    average = rows.mean(axis=0)
    scatter = (rows - average).T @ (rows - average)
    pulled = PRIOR_ROWS * n / (PRIOR_ROWS + n) * np.outer(average, average)
    scale = np.linalg.cholesky(np.linalg.inv(np.eye(width) + scatter + pulled))
    bartlett = np.tril(rng.normal(size=(width, width)), -1)
    bartlett[np.diag_indices(width)] = np.sqrt(rng.chisquare(width + n - np.arange(width)))
    root = scale @ bartlett
    precision = root @ root.T
    noise = np.linalg.solve(np.linalg.cholesky(precision).T, rng.normal(size=width))
    return n * average / (PRIOR_ROWS + n) + noise / np.sqrt(PRIOR_ROWS + n), precision


def draw_rows(
    rated: CSR,
    others: Array,
    prior: tuple[Array, Array],
    alpha: float,
    rng: np.random.Generator,
) -> Array:
    """Draw the rows [P, b] of one side; `prior`: mean and precision, (50)."""
    mean, precision = prior
    drawn = np.empty((rated.shape[0], others.shape[1]), others.dtype)
    for rows, grams, moments in normal_equations(rated, others):
        precisions = alpha * grams + precision
        rights = (alpha * moments + precision @ mean)[:, :, np.newaxis]
        roots = np.linalg.cholesky(precisions).swapaxes(1, 2)
        noise = np.linalg.solve(roots, rng.normal(size=rights.shape))
        drawn[rows] = (np.linalg.solve(precisions, rights) + noise)[:, :, 0]
    return drawn


def averaged(samples: Sequence[Array]) -> Array:
    """Return [P, b] whose products are the mean of those of the samples."""
    factors = [one[:, :-1] / np.sqrt(len(samples)) for one in samples]
    return np.column_stack([*factors, np.mean([one[:, -1] for one in samples], axis=0)])


class BayesianMF(FactorModel):
    """Bayesian matrix factorization with biases (Salakhutdinov and Mnih, 2008).

    A fit reads all ratings into memory, stored ones too.

    Parameters
    ----------
    n_factors : int
        k of one sample.
    max_iter : int
        Sweeps of the Gibbs sampler.
    burn_in : int
        Sweeps before the first sample.
    n_samples : int
        Samples kept; the model has ``n_samples * n_factors`` factors.
    random_state : int, Generator or None
    """

    def __init__(
        self,
        n_factors: int = 32,
        max_iter: int = 80,
        burn_in: int = 20,
        n_samples: int = 30,
        random_state: RandomState = None,
    ) -> None:
        self.n_factors = n_factors
        self.max_iter = max_iter
        self.burn_in = burn_in
        self.n_samples = n_samples
        self.random_state = random_state

    def check_parameters(self) -> None:
        super().check_parameters()
        if self.burn_in >= self.max_iter:
            raise ValueError(
                f"burn_in must be below max_iter, got {self.burn_in} of {self.max_iter} sweeps."
            )

    def _learn(self, rated: CSR, rng: np.random.Generator) -> tuple[Array, Array, list[float]]:
        users, items = initial(rated.shape, self.n_factors, rng)
        by_item, alpha, losses = rated.T.tocsr(), 1.0, []
        kept: list[tuple[Array, Array]] = []
        last = self.max_iter - 1
        wanted = set(np.linspace(self.burn_in, last, self.n_samples).astype(int)) | {last}
        for sweep in range(self.max_iter):
            users = draw_rows(rated, items, draw_prior(users, rng), alpha, rng)
            items = draw_rows(by_item, users, draw_prior(items, rng), alpha, rng)
            errors = residuals(rated, users, items).data
            losses.append(float(np.sum(np.square(errors), dtype=np.float64)))
            alpha = rng.gamma((1 + rated.nnz) / 2, 2 / (1 + losses[-1]))  # (52)
            if sweep in wanted:
                kept.append((users, items))
        of_users, of_items = zip(*kept, strict=True)
        return averaged(of_users), averaged(of_items), losses


def angles(factors: Array, anchor: int) -> Array:
    """Return the angles between the rows' factors and the anchor's, (60)."""
    lengths = np.linalg.norm(factors, axis=1)
    lengths = np.maximum(lengths * lengths[anchor], np.finfo(np.float32).tiny)
    return np.asarray(np.arccos(np.clip(factors @ factors[anchor] / lengths, -1, 1)))


def epanechnikov(distances: Array, bandwidth: float) -> Array:
    """Return 1 - (d / h)^2, 0 beyond h, (60)."""
    return np.asarray(np.maximum(1 - np.square(distances / bandwidth), 0))


def best_local_rows(rated: CSR, others: Array, weights: Array, regularization: float) -> Array:
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
    grams[:, range(k), range(k)] += np.maximum(ridges, LOCAL_RIDGE * (1 + traces))
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
        for start in range(0, len(warm), LOCAL_PAIRS_PER_BLOCK):
            some = warm[start : start + LOCAL_PAIRS_PER_BLOCK]
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

    A fit reads all ratings into memory, stored ones too.

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
            users = best_local_rows(rated, items, near[1], self.regularization)
            items = best_local_rows(by_item, users, near[0], self.regularization)
        return users, items
