"""New users and new items, scored by their ratings, and not kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np._validation import check_choice, check_integer
from autorec_np.core.kernels import with_data
from autorec_np.data.entries import row_of_each
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.values import OutsideScaleError, check_ids
from autorec_np.models import frames
from autorec_np.models.base import Axes, Record, chunks, padded
from autorec_np.models.biases import FittedBiases, FittedMean, best_biases
from autorec_np.models.scoring import Fitted, fit_columns, refuse_cold
from autorec_np.models.top_n import top_n

if TYPE_CHECKING:
    from typing_extensions import Self


class NewRecommendations(tuple[Array, Array]):
    """The pair (ids, scores) that `AutoRec.recommend_new` returns, and what it came from.

    Attributes
    ----------
    n_unknown : int
        Ratings left out because they are of something unknown.
    popular : bool, or ndarray of bool, (m,)
        Whether, without a rating to go by, the most popular are the answer, and `scores` are
        numbers of training ratings.
    """

    n_unknown: int
    popular: bool | Array

    def __new__(
        cls, ids: Array, scores: Array, n_unknown: int = 0, popular: bool | Array = False
    ) -> Self:
        self = super().__new__(cls, (ids, scores))
        self.n_unknown, self.popular = n_unknown, popular
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (*self, self.n_unknown, self.popular)

    @property
    def ids(self) -> Array:
        return self[0]

    @property
    def scores(self) -> Array:
        return self[1]


class NewRatings(NamedTuple):
    """Ratings `rated` (m, n) of new users by known items, or the `other` way round.

    `single`: one who has no id. `n_unknown` ratings of others were left out.
    """

    single: bool
    ids: Array
    other: str
    rated: CSR
    n_unknown: int


def predict_new(
    fitted: Record,
    ratings: Any,
    *,
    items: npt.ArrayLike | None,
    users: npt.ArrayLike | None,
    axis: str,
    unknown: str,
    cold: str | float,
) -> Any:
    new = read_new(fitted, ratings, axis, unknown)
    wrong, asked = Axes(axis).rows_and_columns(users, items)
    if wrong is not None:
        raise ValueError(
            f"with axis={axis!r} known {new.other}s are what to predict for; pass "
            f"{new.other}s=..., or the other axis."
        )
    known = fitted.ids(new.other)
    places = np.arange(len(known)) if asked is None else fitted.look_up(new.other, asked)
    if cold == "raise":
        refuse_cold(fitted.counts[new.other][places] == 0)
    predicted = np.empty((new.rated.shape[0], len(places)))
    for part in chunks(*new.rated.shape):
        scores = score_new(fitted, new.rated[part], axis, cold)[:, places]
        np.clip(scores, *fitted.ratings.scale, out=predicted[part])
    if frames.is_frame(ratings):
        return frames.table(predicted, new.ids, known[places], (axis, new.other))
    return predicted[0] if new.single else predicted


def recommend_new(
    fitted: Record,
    ratings: Any,
    n: int,
    exclude_seen: bool,
    *,
    axis: str,
    candidates: npt.ArrayLike | None,
    exclude: npt.ArrayLike | None,
    unknown: str,
    cold: str | float,
) -> Any:
    n = check_integer("n", n, minimum=1)
    new = read_new(fitted, ratings, axis, unknown)
    unrated = np.diff(new.rated.indptr) == 0
    counts = fitted.counts[new.other][:-1]
    left_out = fitted.left_out(new.other, candidates, exclude)
    known = fitted.ids(new.other)
    best = np.empty((new.rated.shape[0], min(n, len(known))), np.int64)
    best_scores = np.empty(best.shape)
    for part in chunks(*new.rated.shape):
        rated = new.rated[part]
        scores = score_new(fitted, rated, axis, cold)
        scores[unrated[part]] = counts  # the most popular
        scores[:, left_out] = -np.inf
        best[part], best_scores[part] = top_n(scores, n, rated if exclude_seen else None)
    if frames.is_frame(ratings):
        cold_ones = unrated, counts == 0
        frame = frames.recommendations(
            (axis, new.other), new.ids, known, best, best_scores, cold_ones
        )
        frame.attrs.update(n_unknown=new.n_unknown, popular=new.ids[unrated].tolist())
        return frame
    ids, best_scores = padded(best, best_scores, known, n)
    if new.single:
        return NewRecommendations(ids[0], best_scores[0], new.n_unknown, bool(unrated[0]))
    return NewRecommendations(ids, best_scores, new.n_unknown, unrated)


def read_new(fitted: Record, ratings: Any, axis: str, unknown: str) -> NewRatings:
    check_choice("axis", axis, ("user", "item"))
    check_choice("unknown", unknown, ("raise", "ignore"))
    axes = Axes(axis)
    other = axes.column
    single = isinstance(ratings, Mapping) or (isinstance(ratings, tuple) and len(ratings) == 2)
    if single:
        told = ratings
        if isinstance(ratings, Mapping):
            told = list(ratings), list(ratings.values())
        if is_empty(tuple(told)):
            nothing: CSR = sparse.csr_array((1, len(fitted.ids(other))))
            return NewRatings(True, np.zeros(1, np.int64), other, nothing, 0)
        ids = check_ids(told[0], f"{other} ids")
        ratings = (*axes.users_and_items(np.zeros(len(ids), np.int64), ids), told[1])
    elif not (
        isinstance(ratings, Ratings | np.ndarray)
        or sparse.issparse(ratings)
        or frames.is_frame(ratings)
        or (isinstance(ratings, tuple) and len(ratings) in (3, 4))
    ):
        raise TypeError(
            f"the ratings of a new {axis} must be a mapping {{{other} id: rating}} or a pair "
            f"({other} ids, ratings); those of many Ratings, a sparse matrix, a DataFrame or "
            f"(users, items, ratings); got {type(ratings).__name__}."
        )
    new = within_scale(fitted, ratings)
    matrix = axes.orient(new.matrix)
    labels, others = axes.rows_and_columns(new.user_ids, new.item_ids)
    used = np.unique(matrix.indices)
    find = fitted.find if unknown == "ignore" else fitted.look_up
    places = np.full(len(others), -1)
    places[used] = find(other, others[used])  # both ascending: the order stays
    columns = places[matrix.indices]
    is_known = columns >= 0
    ends = np.cumsum(np.concatenate(([0], is_known)))[matrix.indptr]
    rated: CSR = sparse.csr_array(
        (matrix.data[is_known].astype(np.float64), columns[is_known], ends),
        shape=(len(labels), len(fitted.ids(other))),
    )
    return NewRatings(single, labels, other, rated, int(np.count_nonzero(~is_known)))


@singledispatch
def score_new(fitted: Record, rated: CSR, axis: str, cold: str | float) -> Array:
    """Return unclipped scores (m, n) of newcomers from their ratings `rated` (m, n)."""
    raise TypeError(
        "this model cannot score who was not in training; fit it with their ratings, or leave it "
        "out of the Blend."
    )


@score_new.register(FittedMean)
def _score_by_mean(fitted: FittedMean, rated: CSR, axis: str, cold: str | float) -> Array:
    return np.full(rated.shape, fitted.mean)


@score_new.register(FittedBiases)
def _score_by_biases(fitted: FittedBiases, rated: CSR, axis: str, cold: str | float) -> Array:
    mean, *sides = fitted.biases
    known = Axes(axis).rows_and_columns(*sides)[1]
    own = best_biases(rated, mean, known, fitted.regularization)  # (19)
    return np.asarray(mean + known + own[:, np.newaxis])


@score_new.register(Fitted)
def _score_by_network(fitted: Fitted, rated: CSR, axis: str, cold: str | float) -> Array:
    axes, bias_scores = Axes(axis), _score_by_biases(fitted.cold_baseline, rated, axis, cold)
    if isinstance(fitted.baseline, FittedBiases):
        base = bias_scores
    else:
        mean = fitted.cold_baseline.biases.mean
        base = np.full(bias_scores.shape, 0.0 if fitted.baseline is None else mean)
    score = new_rows if fitted.axes.row == axis else new_columns
    scores = base + score(fitted, rated, base, bias_scores)
    unrated = np.diff(rated.indptr) == 0
    is_cold = unrated[:, np.newaxis] | (fitted.counts[axes.column][:-1] == 0)
    if cold == "raise":
        refuse_cold(unrated)
    if cold == "baseline":
        scores[is_cold] = bias_scores[is_cold]
    else:
        scores[is_cold] = -np.inf if cold == "raise" else cold
    return scores


def new_rows(fitted: Fitted, rated: CSR, base: Array, biases: Array) -> Array:
    inputs = fitted.read(rated, biases[row_of_each(rated), rated.indices])
    codes, weights = fitted.network.encode(fitted.theta, inputs), fitted.weights
    return fitted.to_ratings(codes @ weights["decoder.weight"].T + weights["decoder.bias"])


def new_columns(fitted: Fitted, rated: CSR, base: Array, biases: Array) -> Array:
    residuals = rated.data - base[row_of_each(rated), rated.indices]
    weights, own_biases = fit_columns(
        fitted.codes,
        with_data(rated, fitted.output_map(residuals)),
        fitted.decoder_penalty,
        fitted.network.output_activation,
        fitted.implicit and fitted.implicit.shares_of(rated),
    )
    activity = weights.astype(fitted.codes.dtype) @ fitted.codes.T
    return fitted.to_ratings(activity + own_biases[:, np.newaxis])


def is_empty(ratings: Any) -> bool:
    if isinstance(ratings, tuple):
        return all(hasattr(part, "__len__") and len(part) == 0 for part in ratings[:3])
    if isinstance(ratings, Ratings) or frames.is_frame(ratings):
        return len(ratings) == 0
    return sparse.issparse(ratings) and getattr(ratings, "nnz", 1) == 0


def within_scale(fitted: Record, ratings: Any) -> Ratings:
    low, high = fitted.ratings.scale
    try:
        return as_ratings(ratings, scale=(low, high) if low < high else None)
    except OutsideScaleError as error:
        model = "AutoRec" if isinstance(fitted, Fitted) else "Blend"
        wide = f"({min(low, error.rating):g}, {max(high, error.rating):g})"
        raise ValueError(
            f"a rating is {error.rating:g}, outside the stated scale [{low:g}, {high:g}] of the "
            f"model; correct it, or fit a model with {model}(rating_scale={wide})."
        ) from None
