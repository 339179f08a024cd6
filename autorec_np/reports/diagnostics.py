"""What a fitted model does, in numbers: errors on held-out pairs, a map of the items, a check of
its gradient. `plotting` draws them, `report` writes them down.

Intervals treat the model as fixed and the held-out pairs as a sample. Errors of one user are alike,
and so are those of one item; an interval that took pairs for independent would be too narrow. The
variance here is clustered two ways (Cameron, Gelbach and Miller, "Robust inference with multiway
clustering", J. Business & Economic Statistics 29, 2011):

    V = V(users) + V(items) - V(pairs),   V(G) = G / (G - 1) sum_groups (sum_group z)^2 / n^2

with z the influence of a pair on the error: |e| - MAE for the MAE, (e^2 - RMSE^2) / (2 RMSE) for
the RMSE (the delta method). Student's t has one degree of freedom less than there are users or
items, whichever are fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import stdtrit

from autorec_np.core.kernels import take_rows
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.data.metrics import MeanInterval, mae, rmse
from autorec_np.data.ratings import as_ratings
from autorec_np.gradcheck import GradientReport, check_gradient
from autorec_np.models.base import Recommender, check_not_empty

if TYPE_CHECKING:
    from autorec_np.models.autorec import AutoRec

__all__ = [
    "Group",
    "ItemMap",
    "Predictions",
    "calibration",
    "check_model_gradient",
    "errors_by_activity",
    "errors_by_rating",
    "map_items",
    "not_trained_on",
    "predict_held_out",
    "rmse_difference",
]

Array = npt.NDArray[Any]

CONFIDENCE = 0.95
MOST_RATING_VALUES = 12  # more are put into ten classes
ACTIVITY_EDGES = (1, 3, 10, 32, 100, 316, 1000, 3162, 10_000, 31_623, 100_000)  # half decades
PER_COLUMN = ("encoder.weight", "decoder.weight", "decoder.bias")  # blocks with a row per column


# Held-out pairs


@dataclass(frozen=True)
class Predictions:
    """Held-out pairs with what the model predicts for them; arrays (n,).

    Attributes
    ----------
    users, items : ndarray of int
        Who and what, as positions in the held-out ratings.
    truth, predicted : ndarray of float64
    user_counts, item_counts : ndarray of int
        Training ratings of the pair's user and item; a pair with a 0 is cold.
    """

    users: Array
    items: Array
    truth: Array
    predicted: Array
    user_counts: Array
    item_counts: Array

    def __len__(self) -> int:
        return len(self.truth)

    def where(self, mask: Array) -> Predictions:
        """Return some of the pairs."""
        return Predictions(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    @property
    def n_cold(self) -> int:
        """Number of cold pairs."""
        return int(np.count_nonzero((self.user_counts == 0) | (self.item_counts == 0)))

    @property
    def rmse(self) -> MeanInterval:
        """RMSE with its 95 % interval; NaN ends where all pairs are of one user or one item."""
        return self._interval(rmse(self.truth, self.predicted), self.rmse_influence)

    @property
    def mae(self) -> MeanInterval:
        """MAE with its 95 % interval, likewise."""
        errors = np.abs(self.truth - self.predicted)
        return self._interval(mae(self.truth, self.predicted), errors - errors.mean())

    @property
    def mean_rating(self) -> MeanInterval:
        """Mean of the true ratings with its 95 % interval, likewise."""
        mean = self.truth.mean()
        return self._interval(float(mean), self.truth - mean)

    @property
    def rmse_influence(self) -> Array:
        """By how much each pair moves the RMSE, times n; they sum to 0."""
        squares = (self.truth - self.predicted) ** 2
        mean = squares.mean()
        return np.asarray((squares - mean) / (2 * np.sqrt(mean) if mean > 0 else 1.0))

    def _interval(self, estimate: float, influence: Array) -> MeanInterval:
        return _clustered_interval(estimate, influence, self.users, self.items)


def rmse_difference(first: Predictions, second: Predictions) -> MeanInterval:
    """Return RMSE(first) - RMSE(second) over the same pairs, with its 95 % interval."""
    return first._interval(
        rmse(first.truth, first.predicted) - rmse(second.truth, second.predicted),
        first.rmse_influence - second.rmse_influence,
    )


def _clustered_interval(
    estimate: float, influence: Array, users: Array, items: Array
) -> MeanInterval:
    """Return estimate ± t sqrt(V), with V as at the top of this file."""
    n, variances, n_groups = len(influence), [], []
    for labels in (users, items):
        _, groups = np.unique(labels, return_inverse=True)
        sums = np.bincount(groups, weights=influence)
        n_groups.append(len(sums))
        variances.append(len(sums) / max(len(sums) - 1, 1) * float(sums @ sums))
    half_width = float("nan")
    if min(n_groups) > 1:
        both = sum(variances) - float(influence @ influence)
        # by chance the sum can be below its parts, even below 0
        quantile = float(stdtrit(min(n_groups) - 1, (1 + CONFIDENCE) / 2))
        half_width = quantile * max(both, *variances) ** 0.5 / n
    return MeanInterval(estimate, estimate - half_width, estimate + half_width, n, CONFIDENCE)


def not_trained_on(model: Recommender, ratings: Any) -> Array:
    """Return (bool, (n,), in file order) which ratings' pairs the model was not trained on."""
    model._check_fitted()
    data, known = as_ratings(ratings), model.ratings_
    users, items, _ = data.triples()
    rows, columns = known.user_positions(users), known.item_positions(items)
    trained_rows = np.repeat(np.arange(known.n_users), np.diff(known.matrix.indptr))
    trained_pairs = trained_rows * known.n_items + known.matrix.indices
    trained = np.isin(rows * known.n_items + columns, trained_pairs)
    return np.asarray((rows < 0) | (columns < 0) | ~trained)


def predict_held_out(model: Recommender, test: Any) -> Predictions:
    """Predict held-out pairs.

    Parameters
    ----------
    model : Recommender
        Fitted.
    test : Ratings, sparse matrix, DataFrame or (users, items, ratings)
        Ids as in the training ratings.

    Raises
    ------
    ValueError
        No ratings, or a pair that the model was trained on: its error would be too small.
    TypeError
        Ids of another kind than the model's.
    """
    data = as_ratings(test)
    check_not_empty(data, "test")
    n_trained = int(np.count_nonzero(~not_trained_on(model, data)))
    if n_trained:
        raise ValueError(
            f"{n_trained} of the {len(data)} test pairs are also training pairs, so the errors "
            f"would be too small; leave them out: "
            f"test.select(diagnostics.not_trained_on(model, test))."
        )
    user_ids, item_ids, truth = data.triples()
    users, items, _ = data.positions()
    rows, columns = model._positions(user_ids, item_ids)
    return Predictions(
        users,
        items,
        truth.astype(np.float64),
        model.predict(user_ids, item_ids),
        np.append(model.user_counts_, 0)[rows],  # position -1, unknown, reads the 0
        np.append(model.item_counts_, 0)[columns],
    )


# Groups of pairs


class Group(NamedTuple):
    """Held-out pairs that have something in common."""

    label: str
    predicted: float  # mean
    pairs: Predictions


def errors_by_rating(pairs: Predictions) -> list[Group]:
    """Group pairs by their true rating; more than twelve values by ten classes of equal width."""
    values, keys = np.unique(pairs.truth, return_inverse=True)
    if len(values) <= MOST_RATING_VALUES:
        return _groups(pairs, keys, [f"{value:g}" for value in values])
    return _classes(pairs, pairs.truth, np.linspace(values[0], values[-1], 11))


def errors_by_activity(pairs: Predictions, axis: str) -> list[Group]:
    """Group pairs by the number of training ratings of their user or item (`axis`)."""
    counts = {"user": pairs.user_counts, "item": pairs.item_counts}[axis]
    ends = [f"–{high - 1:,}" if high - 1 > low else "" for low, high in pairwise(ACTIVITY_EDGES)]
    starts = [f"{low:,}" for low in ACTIVITY_EDGES]
    labels = ["0", *(a + b for a, b in zip(starts, [*ends, " or more"], strict=True))]
    return _groups(pairs, np.digitize(counts, ACTIVITY_EDGES), labels)


def calibration(pairs: Predictions, n_groups: int = 10) -> list[Group]:
    """Group pairs by prediction into groups of about equal size."""
    edges = np.unique(np.quantile(pairs.predicted, np.linspace(0, 1, n_groups + 1)))
    return _classes(pairs, pairs.predicted, edges)


def _classes(pairs: Predictions, values: Array, edges: Array) -> list[Group]:
    """Group pairs by the class between two edges that holds their value; the last is closed."""
    if len(edges) == 1:
        return _groups(pairs, np.zeros(len(pairs), np.int64), [f"{edges[0]:.2f}"])
    keys = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return _groups(pairs, keys, [f"{low:.2f}–{high:.2f}" for low, high in pairwise(edges)])


def _groups(pairs: Predictions, keys: Array, labels: Sequence[str]) -> list[Group]:
    found = []
    for key in np.unique(keys):
        part = pairs.where(keys == key)
        found.append(Group(labels[key], float(part.predicted.mean()), part))
    return found


# The items


class ItemMap(NamedTuple):
    """The most rated items on the two directions in which their codes differ most.

    Attributes
    ----------
    positions : ndarray of int, (m,)
        Of the items in ``model.ratings_.item_ids``; most rated first.
    coordinates : ndarray of float64, (m, 2)
    shares : tuple of float
        Of the variance of the codes, by direction.
    """

    positions: Array
    coordinates: Array
    shares: tuple[float, float]


def map_items(model: AutoRec, n_items: int = 300) -> ItemMap:
    """Map the items with the most ratings by the principal components of their codes.

    The codes are ``codes_`` for orientation "item", the rows of the decoder weight for "user".
    """
    model._check_fitted()
    order = np.argsort(-model.item_counts_, kind="stable")[:n_items]
    order = order[model.item_counts_[order] > 0]
    vectors = model.codes_
    if model.orientation_ == "user":
        vectors = model.network_.layout.views(model.theta_)["decoder.weight"]
    centered = vectors[order].astype(np.float64)
    centered -= centered.mean(axis=0)
    left, strengths, _ = np.linalg.svd(centered, full_matrices=False)
    left = np.pad(left * strengths, ((0, 0), (0, max(0, 2 - len(strengths)))))[:, :2]
    # an SVD leaves the signs open: the entry farthest out is made positive
    farthest = left[np.abs(left).argmax(axis=0), [0, 1]]
    left = left * np.where(farthest < 0, -1.0, 1.0)
    total = float(strengths @ strengths) or 1.0
    first, second = (left**2).sum(axis=0) / total
    return ItemMap(order, left, (float(first), float(second)))


# The gradient


def check_model_gradient(
    model: AutoRec, n_rows: int = 20, n_columns: int = 40
) -> tuple[GradientReport, tuple[int, int, int]]:
    """Check the gradient of a model's own objective where its training ended, on a small block.

    The block holds the rows with the most ratings and the columns with the most ratings there, the
    trained weights of these columns, the model's activations and penalties. All in float64.

    Returns
    -------
    GradientReport
    (n_rows, n_columns, n_ratings) : tuple of int
        Of the block.
    """
    model._check_fitted()
    inputs = model._orient(model.ratings_.matrix)
    targets = model._targets(inputs)
    rows = np.sort(np.argsort(-np.diff(inputs.indptr), kind="stable")[:n_rows])
    counts = np.bincount(take_rows(inputs, rows).indices, minlength=inputs.shape[1])
    columns = np.sort(np.argsort(-counts, kind="stable")[:n_columns])

    def cut(matrix: Any) -> Any:
        block = take_rows(matrix, rows).tocoo()  # coordinates keep stored zeros
        inside = np.isin(block.col, columns)
        where = block.row[inside], np.searchsorted(columns, block.col[inside])
        return sparse.csr_array(
            (block.data[inside].astype(np.float64), where), shape=(len(rows), len(columns))
        )

    whole = model.network_
    network = Network(
        len(columns),
        whole.hidden_layer_sizes,
        whole.activation,
        whole.output_activation,
        whole.tied,
    )
    theta = np.empty(network.layout.size)
    trained = whole.layout.views(model.theta_)
    for name, view in network.layout.views(theta).items():
        view[...] = trained[name][columns] if name in PER_COLUMN else trained[name]
    objective = Objective(network, model._mapped_regularization())
    block_inputs, block_targets = cut(inputs), cut(targets)

    def fun(point: Array) -> tuple[float, Array]:
        fraction = len(rows) / inputs.shape[0]
        return objective.value_and_gradient(point, block_inputs, block_targets, fraction)

    report = check_gradient(fun, theta, network.layout)
    return report, (len(rows), len(columns), block_targets.nnz)
