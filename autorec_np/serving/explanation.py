"""Why a score is what it is, and what is similar: docs/derivation.md (30) to (34).

The encoder reads the ratings of the row (`rating_derivatives`), and decoder weights were fitted to
those of the column (`rating_influence`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from scipy import sparse

from autorec_np._text import knows_habits
from autorec_np._types import Array
from autorec_np._validation import check_choice, check_integer
from autorec_np.baselines.lists import FittedLists, ListBaseline
from autorec_np.core.kernels import take_rows
from autorec_np.core.network import Network
from autorec_np.data.ratings import Ratings
from autorec_np.engine.threads import undisturbed
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Recommender, Self, check_fitted, check_n, chunks, padded
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.blend import Blend, FittedBlend, naming
from autorec_np.models.frames import top_n
from autorec_np.models.ranking_autorec import FittedRanking, solved
from autorec_np.models.scoring import Fitted, Inputs, baseline_at, by_plane, pairs_of
from autorec_np.training.trainer import reliability

SMALLEST_PENALTY = 1e-6  # of the trace: below, linear systems lose digits


class Explanation(tuple[Array, Array]):
    """The pair (ids, contributions) of `explain`.

    Attributes
    ----------
    pattern : ndarray of float64, (m,)
        What contributes whatever the rating is: ``inputs="planes"``, an implicit decoder.
    """

    pattern: Array

    def __new__(cls, ids: Array, contributions: Array, pattern: Array) -> Self:
        self = super().__new__(cls, (ids, contributions))
        self.pattern = pattern
        return self

    def __getnewargs__(self) -> tuple[Array, ...]:
        return (*self, self.pattern)


class Derivatives(NamedTuple):
    """Of a score by the ratings of its row; all (n,).

    `ids` (object) are users (orientation "item"), or items ("user").
    """

    ids: Array
    ratings: Array
    derivatives: Array


class Influence(NamedTuple):
    """Of the ratings of a column on a score, codes frozen; all (n,).

    Attributes
    ----------
    ids : ndarray of object
        Items (orientation "item"), or users ("user").
    targets : ndarray of float64
        Ratings minus baseline and what an implicit decoder says.
    weights : ndarray of float64
        Their sum is the `reliability` of the column, and ``weights @ targets`` the score, likewise.
    changes : ndarray of float64
        The score minus that without this rating; NaN where nothing would be left to fit.
    """

    ids: Array
    targets: Array
    weights: Array
    changes: Array


@undisturbed()
def explain(
    model: AutoRec | Blend | ListBaseline, user: Any, item: Any, n: int = 10, by: str = "items"
) -> Explanation:
    """Return the ratings that contribute most to a score.

    ``by="items"``: those of the user. ``by="users"``: those of the item. Where the encoder read
    them (by "items" in orientation "user", by "users" in "item"), a contribution is input times
    derivative; otherwise target times weight of :func:`rating_influence`, which add up to the score
    minus its baseline. It includes ``result.pattern``. Of a Blend, it is the weighted sum over its
    members (none in a baseline). Of an `ItemKNN` or `EASE`, by "items", contributions are weights
    and add up to the score. Of a `RankingAutoRec` they are of interactions: of a row those that the
    network reads, times the derivatives; of a column they add up to the score minus t0.

    Parameters
    ----------
    model : AutoRec, Blend, ItemKNN or EASE
        Fitted.
    user, item
        One id each (indices where the model was fitted on a sparse matrix).
    n : int
        At most so many.
    by : {"items", "users"}

    Returns
    -------
    Explanation
        Ids (object, (m,), m <= n), greatest absolute contribution first, and contributions
        (float64, (m,)).

    Raises
    ------
    NotFittedError, IndexError
        As `AutoRec.predict`.
    TypeError
        A model or member that is no AutoRec.
    ValueError
        An unknown id, no ratings in the model, or an influence under an output activation other
        than the identity.
    """
    n = check_integer("n", n, minimum=1)
    check_choice("by", by, ("items", "users"))
    found = _contributions(model, user, item, by)
    best = np.argsort(-np.abs(found[1]), kind="stable")[:n]
    return Explanation(found[0][best], found[1][best], found.pattern[best])


def _contributions(model: Recommender, user: Any, item: Any, by: str) -> Explanation:
    """Return all, by ascending ids."""
    if isinstance(model, ListBaseline):
        lists = _check_weights(check_fitted(model), by == "items")
        users, items = lists.look_up("user", [user]), lists.look_up("item", [item])
        chosen = take_rows(lists.positives, users)
        parts = chosen.data * lists.weights_of(items)[0, chosen.indices]
        ids = lists.ids("item")[chosen.indices].astype(object)
        return Explanation(ids, parts, np.zeros(len(ids)))
    if isinstance(model, Blend):
        return _of_members(check_fitted(model), user, item, by)
    fitted = _check_model(model)
    if by == f"{fitted.axes.column}s":
        (ids, ratings, derivatives), pattern, unread = _of_row(fitted, user, item)
        return Explanation(ids, (ratings - unread) * derivatives + pattern, pattern)
    if isinstance(fitted, FittedRanking):
        return _of_interactions(fitted, user, item)
    ids, targets, codes, code, own = _of_column(fitted, user, item)
    [kept] = reliability(np.array([len(ids)]), fitted.shrinkage)
    pattern = kept * pattern_parts(own, code)
    by_ratings = kept * targets * column_weights(codes, fitted.decoder_penalty, code)
    return Explanation(ids, by_ratings + pattern, pattern)


def _of_interactions(fitted: FittedRanking, user: Any, item: Any) -> Explanation:
    """Return what those of the column contribute to its solution of (75)."""
    row, column = _row_and_column(fitted, user, item)
    others, values = _ratings_of(fitted.training, fitted.axes.column, column)
    rated = sparse.csr_array((values, others, [0, len(others)]), shape=(1, len(fitted.codes)))
    k, n_units = fitted.codes.shape[1], fitted.n_implicit
    matrix, pulls = fitted.problem(others, fitted.told(rated).data, np.zeros(k + 1))
    toward = solved(matrix, np.append(fitted.codes[row].astype(np.float64), 1.0))
    own = np.zeros((len(others), n_units))
    if fitted.implicit is not None:
        own += fitted.implicit.weight[others]
    pattern = fitted.decoder_penalty / 2 * pattern_parts(own, toward)
    ids = fitted.ids(fitted.axes.row)[others].astype(object)
    return Explanation(ids, pulls[:-1] @ toward + pattern, pattern)


def _check_weights(fitted: FittedLists, of_items: bool) -> FittedLists:
    if fitted.weights is None or not of_items:
        raise TypeError("of models for lists, ItemKNN and EASE have weights, of items by items.")
    return fitted


def _of_members(fitted: FittedBlend, user: Any, item: Any, by: str) -> Explanation:
    users, items = fitted.look_up("user", [user]), fitted.look_up("item", [item])
    pair = fitted.ids("user")[users[0]], fitted.ids("item")[items[0]]
    total: dict[Any, Array] = {}
    for name, member in fitted.members.items():
        if isinstance(member, BiasBaseline | GlobalMean):
            continue
        with naming(name):
            found = _contributions(member, *pair, by)
        parts = fitted.weights[name] * np.column_stack([found[1], found.pattern])
        for one, part in zip(found[0].tolist(), parts, strict=True):
            total[one] = total.get(one, 0.0) + part
    ids = sorted(total)
    both = np.array([total[one] for one in ids]).reshape(-1, 2)
    return Explanation(np.array(ids, object), *both.T)


@undisturbed()
def rating_derivatives(model: AutoRec, user: Any, item: Any) -> Derivatives:
    """Return the derivatives of a score by each rating that the encoder read, (30) and (31).

    The baseline is fixed. Of a `RankingAutoRec`, ratings are what the network reads. Parameters and
    errors as in :func:`explain`.
    """
    return _of_row(_check_model(model), user, item)[0]


def _of_row(fitted: Fitted, user: Any, item: Any) -> tuple[Derivatives, Array, Array | float]:
    """Return derivatives, contributions of the first plane, and ratings read as 0."""
    row, column = _row_and_column(fitted, user, item)
    others, values = _ratings_of(fitted.ratings, fitted.axes.row, row)
    rated = sparse.csr_array(
        (values, others, [0, len(others)]), shape=(1, fitted.network.n_columns)
    )
    biases = fitted.cold_baseline.score_pairs(*pairs_of(rated, fitted.axes, np.array([row])))
    inputs, (factor, offset) = fitted.read(rated, biases, np.array([row])), fitted.input_map
    *first, slopes = np.atleast_2d(input_derivatives(fitted.network, fitted.theta, inputs, column))
    read = fitted.presented(rated)
    pattern = np.zeros(read.nnz)
    if first:
        pattern += inputs.data[0] * first[0] / fitted.output_map.factor
    ids = fitted.ids(fitted.axes.column)[read.indices].astype(object)
    found = Derivatives(ids, read.data, slopes * (factor / fitted.output_map.factor))
    return found, pattern, biases if fitted.inputs == "planes" else -offset / factor


def input_derivatives(network: Network, theta: Array, inputs: Inputs, column: int) -> Array:
    """Return the derivatives by the data of one row of inputs."""
    pattern = sparse.csr_array(
        (np.ones(1, theta.dtype), [column], [0, 1]), shape=(1, network.n_columns)
    )
    passed = network.forward(theta, inputs, pattern)
    [d_z] = network.backward(theta, pattern, passed, np.ones_like(passed.outputs)).d_z[0]
    weight, _ = by_plane(network.layout.views(theta)["encoder.weight"], network.n_columns)
    return np.reshape(weight[:, inputs.indices] @ d_z, inputs.data.shape)  # (30)


@undisturbed()
def rating_influence(model: AutoRec, user: Any, item: Any) -> Influence:
    """Return what each training rating of the column says about a score, (32) to (34).

    At the minimum by `scoring.fit_column`; not of lists. Parameters and errors as in
    :func:`explain`.
    """
    fitted = _check_model(model)
    if isinstance(fitted, FittedRanking):
        raise TypeError(
            "rating_influence is of predicted ratings; of lists, call explain(model, user, item, "
            "by=...)."
        )
    ids, targets, codes, code, own = _of_column(fitted, user, item)
    weights, changes = column_influence(codes, targets, fitted.decoder_penalty, code, own)
    score = weights @ targets + pattern_parts(own, code).sum()
    kept, kept_without = reliability(len(ids) - np.arange(2), fitted.shrinkage)
    changes = kept * score - kept_without * (score - changes)
    return Influence(ids, targets, kept * weights, changes)


def _of_column(fitted: Fitted, user: Any, item: Any) -> tuple[Array, Array, Array, Array, Array]:
    row, column = _row_and_column(fitted, user, item)
    output_activation = fitted.network.output_activation
    if output_activation != "identity":
        raise ValueError(
            f"with output_activation={output_activation!r} a score is not linear in the ratings of "
            f"its column; ask for its row (rating_derivatives, or the other `by` of explain)."
        )
    others, values = _ratings_of(fitted.training, fitted.axes.column, column)
    pairs = fitted.axes.users_and_items(others, np.full(len(others), column))
    targets = values - baseline_at(fitted.baseline, *pairs)
    ids = fitted.ids(fitted.axes.row)[others].astype(object)
    codes = fitted.codes[np.append(others, row)].astype(np.float64)
    own = np.zeros((len(others), fitted.n_implicit))
    if fitted.implicit is not None:
        own += fitted.implicit.weight[others] / fitted.output_map.factor
        share = own.sum(axis=0) / np.sqrt(n_told(own))
        targets = targets - codes[:-1, : own.shape[1]] @ share
    return ids, targets, codes[:-1], codes[-1], own


def n_told(own: Array) -> int:
    """Return n_c, at least 1, of rows `own` (n, q) of Y."""
    return max(int(own.any(axis=1).sum()), 1)


def pattern_parts(own: Array, code: Array) -> Array:
    """Return what each row of Y says: the sum is h . [N Y, 0]."""
    return np.asarray(own @ code[: own.shape[1]] / np.sqrt(n_told(own)))


def column_weights(codes: Array, penalty: float, code: Array) -> Array:
    """Return the weights of `column_influence`, faster."""
    if len(codes) == 0:
        return np.empty(0)
    n, mean_code = len(codes), codes.mean(axis=0)
    centered, asked = codes - mean_code, code - mean_code
    is_dual = n <= codes.shape[1]
    gram = centered @ centered.T if is_dual else centered.T @ centered
    if penalty / 2 <= SMALLEST_PENALTY * gram.trace():
        return column_influence(codes, np.zeros(n), penalty, code)[0]
    gram[np.diag_indices_from(gram)] += penalty / 2
    if is_dual:
        return np.asarray(1 / n + np.linalg.solve(gram, centered @ asked))
    return np.asarray(1 / n + centered @ np.linalg.solve(gram, asked))


def column_influence(
    codes: Array, targets: Array, penalty: float, code: Array, own: Array | None = None
) -> tuple[Array, Array]:
    """Return weights (32) of targets (n,) in the output of a row with `code` (k,), changes (34).

    Their rows have `codes` (n, k), and `own` (n, q) of Y, whose part targets leave out.
    """
    if len(targets) == 0:
        return np.empty(0), np.empty(0)
    n, mean_code = len(targets), codes.mean(axis=0)
    left, scales, right = np.linalg.svd(codes - mean_code, full_matrices=False)
    kept = scales > np.finfo(np.float64).eps * max(codes.shape) * scales[0]
    left, scales, right = left[:, kept], scales[kept], right[kept]
    shrunk = scales**2 + penalty / 2
    weights = 1 / n + left @ (scales / shrunk * (right @ (code - mean_code)))  # (32)
    free = 1 - (1 / n + left**2 @ (scales**2 / shrunk))  # of targets in their own outputs
    determined = free > np.sqrt(np.finfo(np.float64).eps)

    def changes_of(values: Array) -> Array:
        outputs = values.mean(axis=0) + left @ (scales**2 / shrunk * (left.T @ values).T).T
        changes = np.full(values.T.shape, np.nan)
        np.divide(weights * (values - outputs).T, free, out=changes, where=determined)  # (34)
        return np.transpose(changes)

    changes = changes_of(targets)
    if own is not None and own.size:  # without row j, N Y changes too
        told = codes[:, : own.shape[1]]
        moved = weights @ told - code[: own.shape[1]] - changes_of(told)
        n_left = max(n_told(own) - 1, 1)
        longer = 1 - np.sqrt(n_told(own) / n_left)
        share = own.sum(axis=0) / np.sqrt(n_told(own))
        by_share = longer * (moved @ share) + (moved * own).sum(axis=1) / np.sqrt(n_left)
        changes -= np.where(own.any(axis=1), by_share, 0.0)
    return weights, changes


def _check_model(model: Recommender) -> Fitted:
    if not isinstance(model, AutoRec):
        raise TypeError(f"only an AutoRec can be explained, got {type(model).__name__}.")
    return check_fitted(model)


def _row_and_column(fitted: Fitted, user: Any, item: Any) -> tuple[int, int]:
    user_at, item_at = fitted.look_up("user", [user])[0], fitted.look_up("item", [item])[0]
    return fitted.axes.rows_and_columns(int(user_at), int(item_at))


def _ratings_of(ratings: Ratings, axis: str, position: int) -> tuple[Array, Array]:
    matrix = ratings.matrix
    others: Array
    if axis == "item":
        stored = np.flatnonzero(matrix.indices == position)
        others = np.searchsorted(matrix.indptr, stored, side="right") - 1
    else:
        stored = np.arange(matrix.indptr[position], matrix.indptr[position + 1])
        others = matrix.indices[stored]
    values = matrix.data[stored].astype(np.float64)
    if np.isnan(values).any():
        raise ValueError(
            "an explanation needs the training ratings, but the model was saved without them; "
            "save it with include_ratings=True."
        )
    return others, values


_known: WeakKeyDictionary[Fitted, dict[str, Array]] = WeakKeyDictionary()

DECIMALS = 12  # of a cosine: equal vectors tie


@knows_habits
def similar_items(
    model: AutoRec | ListBaseline, items: npt.ArrayLike, n: int = 10
) -> tuple[Array, Array]:
    """Return the items that are most similar to each of some items.

    By the cosine of their codes (orientation "item"), relative to the mean code, or decoder weights
    ("user"), without a baseline relative to their mean; 0 for items without training ratings. Of an
    `ItemKNN` or `EASE`, by what they add to the score of the item, in place of the cosine.

    Parameters
    ----------
    model : AutoRec, ItemKNN or EASE
        Fitted.
    items : array_like, (m,)
        Ids, as in `explain`.
    n : int
        For each.

    Returns
    -------
    ids : ndarray of object, (m, n)
        Most similar first, equal ones in the order of the ids; None where none is left.
    cosines : ndarray of float64, (m, n)
        Rounded to 12 decimals; -inf for None.

    Raises
    ------
    NotFittedError, IndexError, ValueError
        As `AutoRec.recommend`.
    TypeError
        A model without codes.
    """
    return _most_similar(model, "item", items, n)


@knows_habits
def similar_users(model: AutoRec, users: npt.ArrayLike, n: int = 10) -> tuple[Array, Array]:
    """As `similar_items`, of users."""
    return _most_similar(model, "user", users, n)


@undisturbed()
def _most_similar(
    model: AutoRec | ListBaseline, axis: str, wanted: npt.ArrayLike, n: int
) -> tuple[Array, Array]:
    if not isinstance(model, AutoRec | ListBaseline):
        advice = "; pass one of its members_" if hasattr(model, "members_") else ""
        raise TypeError(
            f"similar items and users need the codes of an AutoRec, got {type(model).__name__}"
            f"{advice}."
        )
    fitted = check_fitted(model)
    n = check_n(n, len(fitted.ids(axis)))
    positions = fitted.look_up(axis, wanted)
    similar = _similarity(fitted, axis)
    n_known = len(fitted.ids(axis))
    best = np.empty((len(positions), min(n, n_known)), np.int64)
    cosines = np.empty(best.shape)
    for part in chunks(len(positions), n_known):
        block = similar(positions[part])
        block[np.arange(len(block)), positions[part]] = -np.inf  # the item itself
        best[part], cosines[part] = top_n(block, n)
    return padded(best, cosines, fitted.ids(axis), n)


def _similarity(fitted: Any, axis: str) -> Callable[[Array], Array]:
    if isinstance(fitted, FittedLists):
        return _check_weights(fitted, axis == "item").weights_of
    known = _known.setdefault(fitted, {})
    if axis not in known:
        known[axis] = _unit_vectors(fitted, axis)
    vectors = known[axis]
    return lambda asked: np.round(vectors[asked] @ vectors.T, DECIMALS)


def _unit_vectors(fitted: Fitted, axis: str) -> Array:
    known = fitted.counts[axis][:-1] > 0
    vectors, rounding = fitted.vectors(axis).astype(np.float64), 0.0
    if axis == fitted.axes.row or fitted.baseline is None:
        # Codes are known up to a constant; without a baseline, decoder weights hold the mean
        mean = vectors[known].mean(axis=0)
        vectors -= mean
        rounding = 4 * np.finfo(fitted.codes.dtype).eps * np.linalg.norm(mean)
    lengths = np.linalg.norm(vectors, axis=1)
    learned = known & (lengths > rounding)
    vectors[learned] /= lengths[learned, np.newaxis]
    vectors[~learned] = 0.0
    return vectors
