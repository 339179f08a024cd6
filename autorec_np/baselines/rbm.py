"""A restricted Boltzmann machine for ratings (Salakhutdinov, Mnih and Hinton, 2007).

A rated pair is a softmax unit over the distinct ratings; hidden units are 0 or 1. Equations are
those of docs/derivation.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array, Axis
from autorec_np._validation import (
    RandomState,
    check_choice,
    check_integer,
    check_number,
    check_random_state,
)
from autorec_np.core.activations import sigmoid
from autorec_np.core.kernels import column_sums, sddmm, spmm, spmm_transpose, take_rows, with_data
from autorec_np.core.parameters import ParameterLayout
from autorec_np.engine.engines import Adam
from autorec_np.engine.threads import undisturbed
from autorec_np.models.base import Axes, Recommender, Record, Self, of_record, to_learn
from autorec_np.models.biases import FittedBiases
from autorec_np.training.solvers import DivergenceError, Iteration, check_finite, run_steps

MOST_VALUES = 20  # distinct ratings
PRIOR_RATINGS = 5.0  # added to a column's, with frequencies of all
SPREAD = 5.0  # of an AutoRec's first weights: hidden units part sooner
WARM_UP = 0.1  # of the cosine schedule
PAIRS_PER_CHUNK = 4_096  # whose weights are gathered at once


class Machine(NamedTuple):
    """The units, and functions of theta = (W, b, mu).

    X has n_values columns for each column of the ratings: 1 where a pair has that value.
    """

    n_columns: int
    n_values: int
    n_hidden: int

    @property
    def layout(self) -> ParameterLayout:
        width, k = self.n_columns * self.n_values, self.n_hidden
        shapes = {"visible.weight": (width, k), "visible.bias": (width,), "hidden.bias": (k,)}
        return ParameterLayout(shapes)

    def one_hot(self, pattern: CSR, numbers: Array, dtype: Any = np.float32) -> CSR:
        """Return X; `numbers` (nnz, m) say which values each pair has, or may have."""
        K, index = self.n_values, pattern.indices.dtype
        indices = pattern.indices[:, np.newaxis] * K + numbers.astype(index)
        indptr, shape = pattern.indptr * indices.shape[1], (pattern.shape[0], K * self.n_columns)
        data = np.ones(indices.size, dtype)
        return sparse.csr_array((data, indices.reshape(-1), indptr), shape=shape)

    def start(self, pattern: CSR, random_state: np.random.Generator) -> Array:
        """Return a random float32 theta whose biases give each column its frequencies."""
        theta = self.layout.initialize(random_state, np.float32)
        theta *= np.float32(SPREAD)
        counts = column_sums(self.one_hot(pattern, pattern.data[:, np.newaxis]))
        of_values = counts.reshape(-1, self.n_values).sum(axis=0)
        prior = np.tile(PRIOR_RATINGS * of_values / pattern.nnz, self.n_columns)
        self.layout.views(theta)["visible.bias"][...] = np.log(counts + prior)
        return theta

    def hidden(self, theta: Array, X: CSR) -> Array:
        """Return the probabilities of the hidden units, (n_rows, k)."""
        weight, _, bias = self.layout.views(theta).values()
        return sigmoid(spmm(X, weight) + bias)  # (54)

    def visible(self, theta: Array, cells: CSR, H: Array) -> Array:
        """Return the probabilities of the values, (nnz, n_values); `cells` is X with all of 1."""
        weight, bias, _ = self.layout.views(theta).values()
        activity = sddmm(cells, H, weight) + bias[cells.indices]
        return softmax(activity.reshape(-1, self.n_values))  # (55)

    def d_free_energy(self, X: CSR, H: Array, factors: Array) -> Array:
        """Return the derivative of a sum of factors (n_rows,) times free energies; H: `hidden`."""
        signed = with_data(X, -X.data * np.repeat(factors, np.diff(X.indptr)))
        parts = spmm_transpose(signed, H), column_sums(signed), -factors @ H  # (57)
        return np.concatenate([part.reshape(-1) for part in parts])

    def contrastive_divergence(
        self, theta: Array, pattern: CSR, n_steps: int, random_state: np.random.Generator
    ) -> tuple[float, Array]:
        """Return the first reconstruction's cross entropy, and (57); no penalty.

        ``pattern.data`` says which values the pairs have.
        """
        X = data = self.one_hot(pattern, pattern.data[:, np.newaxis], theta.dtype)
        H = first = self.hidden(theta, X)
        cells = self.one_hot(pattern, np.arange(self.n_values), theta.dtype)
        loss = 0.0
        for step in range(n_steps):
            state = (random_state.random(H.shape, theta.dtype) < H).astype(theta.dtype)
            probabilities = self.visible(theta, cells, state)
            if step == 0:
                truth = probabilities[np.arange(pattern.nnz), pattern.data]
                with np.errstate(divide="ignore"):  # it may be infinite
                    loss = -float(np.log(truth).sum(dtype=np.float64))
            X = self.one_hot(pattern, draw(probabilities, random_state), theta.dtype)
            H = self.hidden(theta, X)
        factors = np.repeat(np.array([1, -1], theta.dtype), len(H))
        both = sparse.vstack([data, X], format="csr")
        return loss, self.d_free_energy(both, np.concatenate([first, H]), factors)


def softmax(activity: Array) -> Array:
    """Return exp(activity), scaled to add up to 1 along the last axis."""
    powers = np.exp(activity - activity.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def draw(probabilities: Array, random_state: np.random.Generator) -> Array:
    """Draw one number by each row of probabilities, (n, 1)."""
    at = random_state.random((len(probabilities), 1), probabilities.dtype)
    below = np.cumsum(probabilities, axis=1)[:, :-1] <= at
    return np.asarray(below.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedRBM(Record):
    """`values` (n_values,) are the distinct ratings, and `codes` (n_rows, k) are (54)."""

    machine: Machine
    theta: Array
    codes: Array
    values: Array
    axes: Axes
    cold_baseline: FittedBiases
    loss_curve: tuple[float, ...]

    @property
    def weights(self) -> tuple[Array, Array]:
        """Weights (n_columns, n_values, k), visible biases (n_columns, n_values)."""
        weight, bias, _ = self.machine.layout.views(self.theta).values()
        shape = self.machine[:2]
        return weight.reshape(*shape, -1), bias.reshape(shape)

    def score_pairs(self, users: Array, items: Array) -> Array:
        scores = self.cold_baseline.score_pairs(users, items)
        warm = np.flatnonzero(~self.is_cold(users, items))
        rows, columns = self.axes.rows_and_columns(users[warm], items[warm])
        weight, bias = self.weights
        for start in range(0, len(warm), PAIRS_PER_CHUNK):
            part = slice(start, start + PAIRS_PER_CHUNK)
            c = columns[part]
            activity = np.einsum("ik,ivk->iv", self.codes[rows[part]], weight[c]) + bias[c]
            scores[warm[part]] = self._expected(activity)
        return scores

    def score_all_items(self, users: Array) -> Array:
        blocks = np.array_split(users, self.machine.n_values)  # bounded memory
        scores = np.concatenate([self._of_items(block) for block in blocks])
        cold = np.nonzero(self.is_cold(users[:, np.newaxis], np.arange(self.ratings.n_items)))
        scores[cold] = self.cold_baseline.score_pairs(users[cold[0]], cold[1])
        return scores

    def _of_items(self, users: Array) -> Array:
        weight, bias = self.weights
        if self.axes.row == "user":
            return self._expected(np.tensordot(self.codes[users], weight, (1, 2)) + bias)
        activity = np.tensordot(weight[users], self.codes, (2, 1)).swapaxes(1, 2)
        return self._expected(activity + bias[users, np.newaxis])

    def _expected(self, activity: Array) -> Array:
        return np.asarray((softmax(activity) * self.values).sum(axis=-1))  # (58)


class RatingRBM(Recommender):
    """Restricted Boltzmann machine for ratings (Salakhutdinov, Mnih and Hinton, 2007).

    Minimizes the negative log-likelihood + lambda/2 ||W||^2, (56), by contrastive divergence and
    Adam. A `BiasBaseline` predicts cold pairs.

    A fit reads all ratings into memory, stored ones too.

    Parameters
    ----------
    orientation : {"item", "user"}
        What a row is.
    n_hidden : int
        k.
    regularization : float
        lambda.
    max_iter : int
        Epochs.
    batch_size : int
        Rows of a minibatch.
    learning_rate_init : float
        Of the cosine schedule.
    n_steps : int or sequence of int
        Of contrastive divergence; several: each for an equal part of the epochs.
    random_state : int, Generator or None

    Attributes
    ----------
    theta_ : ndarray
        W, b and mu of (53).
    codes_ : ndarray, (n_rows, k)
        Probabilities of the hidden units.
    rating_values_ : ndarray
        The distinct ratings.
    loss_curve_ : list of float
        Cross entropy + penalty, by epoch, for each rating.
    """

    fitted_: FittedRBM
    theta_: Array = of_record("theta")
    codes_: Array = of_record("codes")
    rating_values_: Array = of_record("values")
    loss_curve_: list[float] = of_record(lambda record: [*record.loss_curve])

    def __init__(
        self,
        orientation: Axis = "item",
        n_hidden: int = 200,
        regularization: float = 20.0,
        max_iter: int = 20,
        batch_size: int = 256,
        learning_rate_init: float = 0.01,
        n_steps: int | Sequence[int] = 1,
        random_state: RandomState = None,
    ) -> None:
        self.orientation = orientation
        self.n_hidden = n_hidden
        self.regularization = regularization
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.n_steps = n_steps
        self.random_state = random_state

    def check_parameters(self) -> tuple[int, ...]:
        """Return `n_steps`; ValueError or TypeError for what cannot be used."""
        check_choice("orientation", self.orientation, ("item", "user"))
        check_number("regularization", self.regularization, minimum=0.0)
        rate = self.learning_rate_init
        check_number("learning_rate_init", rate, minimum=0.0, inclusive=(False, True))
        for name in ("n_hidden", "max_iter", "batch_size"):
            check_integer(name, getattr(self, name), minimum=1)
        n_steps = tuple(np.atleast_1d(np.array(self.n_steps, object)))
        if not n_steps:
            raise ValueError("n_steps is empty; pass a number, such as 1.")
        return tuple(check_integer("n_steps", number, minimum=1) for number in n_steps)

    @undisturbed()
    def fit(self, ratings: Any, validation: Any = None) -> Self:
        """Train on ratings; `validation` is not used.

        Raises
        ------
        ValueError
            More than 20 distinct ratings.
        DivergenceError
            The learning rate is too high; the model stays as it was.
        """
        n_steps, axes = self.check_parameters(), Axes(self.orientation)
        R, by_index = to_learn(ratings)
        matrix = R.oriented(axes.row)
        values, numbers = np.unique(matrix.data, return_inverse=True)
        if len(values) > MOST_VALUES:
            raise ValueError(
                f"the ratings have {len(values):,} distinct values, and RatingRBM takes "
                f"{MOST_VALUES} at most; round them, or use AutoRec."
            )
        pattern = with_data(matrix, numbers)
        machine = Machine(matrix.shape[1], len(values), self.n_hidden)
        random_state = check_random_state(self.random_state)
        theta = machine.start(pattern, random_state)
        loss_curve = self._train(machine, theta, pattern, n_steps, random_state)
        self.fitted_ = FittedRBM(
            ratings=R,
            ids_are_indices=by_index,
            machine=machine,
            theta=theta,
            codes=machine.hidden(theta, machine.one_hot(pattern, numbers[:, np.newaxis])),
            values=values.astype(np.float64),
            axes=axes,
            cold_baseline=FittedBiases.of(R, by_index),
            loss_curve=loss_curve,
        )
        return self

    def _train(
        self,
        machine: Machine,
        theta: Array,
        pattern: CSR,
        n_steps: Sequence[int],
        random_state: np.random.Generator,
    ) -> tuple[float, ...]:
        n_rows, layout, rule = pattern.shape[0], machine.layout, Adam(theta)
        n_batches = -(-n_rows // self.batch_size)

        def batches() -> Iterator[tuple[int, Array]]:
            for epoch in range(self.max_iter):
                number = n_steps[epoch * len(n_steps) // self.max_iter]
                order = random_state.permutation(n_rows)
                for rows in np.array_split(order, n_batches):
                    yield number, rows

        def step(theta: Array, rate: float) -> float:
            number, rows = next(drawn)
            block = take_rows(pattern, rows)
            loss, gradient = machine.contrastive_divergence(theta, block, number, random_state)
            weight = layout.views(theta)["visible.weight"]
            penalty = self.regularization * len(rows) / n_rows
            loss += penalty / 2 * float(np.vdot(weight, weight))
            layout.views(gradient)["visible.weight"][...] += theta.dtype.type(penalty) * weight
            rule.step(theta, gradient, rate)
            return loss

        def report(iteration: Iteration) -> bool:
            greatest = float(np.abs(theta).max())
            check_finite(greatest, "a weight", f"iteration {iteration.number}")
            losses.append(iteration.value / pattern.nnz)
            return False

        drawn, losses = batches(), list[float]()
        try:
            run_steps(
                step,
                theta,
                n_batches=n_batches,
                n_epochs=self.max_iter,
                learning_rate_init=self.learning_rate_init,
                schedule="cosine",
                warm_up=WARM_UP,
                callback=report,
            )
        except DivergenceError as error:
            error.epoch = len(losses)
            raise
        return tuple(losses)
