"""After the fit: new users and items are scored, new ratings taken in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import singledispatch
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt
from scipy import sparse

from autorec_np._text import knows_habits
from autorec_np._types import CSR, Array, Axis, UnknownIds
from autorec_np._validation import check_choice
from autorec_np.core.kernels import take_rows
from autorec_np.core.parameters import COLUMN_BLOCKS
from autorec_np.data.entries import row_of_each
from autorec_np.data.ratings import Ratings, as_ratings, assemble
from autorec_np.data.values import OutsideScaleError, check_ids, shown, unique_with_positions
from autorec_np.engine.threads import undisturbed
from autorec_np.models import frames
from autorec_np.models.base import (
    Axes,
    Recommender,
    Record,
    Self,
    check_fitted,
    check_n,
    chunks,
    padded,
)
from autorec_np.models.biases import Biases, FittedBiases, FittedMean, best_biases
from autorec_np.models.frames import top_n
from autorec_np.models.scoring import (
    Baseline,
    Fitted,
    Implicit,
    baseline_at,
    by_plane,
    pairs_of,
    refuse_cold,
)

if TYPE_CHECKING:
    from pandas import DataFrame


class NewRecommendations(tuple[Array, Array]):
    """The pair (ids, scores) that `AutoRec.recommend_new` returns.

    Attributes
    ----------
    n_unknown : int
        Ratings left out, of something unknown.
    popular : bool, or ndarray of bool, (m,)
        Whether, for lack of ratings, the answer is the most popular, and `scores` are numbers of
        training ratings.
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

    `single`: one without an id. `n_unknown` ratings were left out.
    """

    single: bool
    ids: Array
    other: str
    rated: CSR
    n_unknown: int


class FoldIn(Recommender):
    """A model that scores who was not in training."""

    @abstractmethod
    def _cold(self, fitted: Any) -> str | float:
        """Return the parameter `cold`."""

    def _told(self, fitted: Record, ratings: Any) -> Any:
        """Return what `read_new` reads."""
        return ratings

    def _take_in(self, ratings: Any) -> Self:
        if not hasattr(self, "fitted_"):
            return self.fit(ratings)
        if not is_empty(ratings):
            fitted = self.fitted_
            self.fitted_ = updated(fitted, within_scale(fitted, self._told(fitted, ratings)))
        return self

    @overload
    def predict_new(
        self,
        ratings: DataFrame,
        items: npt.ArrayLike | None = None,
        *,
        users: npt.ArrayLike | None = None,
        axis: Axis = "user",
        unknown: UnknownIds = "raise",
    ) -> DataFrame: ...
    @overload
    def predict_new(
        self,
        ratings: Any,
        items: npt.ArrayLike | None = None,
        *,
        users: npt.ArrayLike | None = None,
        axis: Axis = "user",
        unknown: UnknownIds = "raise",
    ) -> Array: ...
    @knows_habits
    @undisturbed()
    def predict_new(
        self,
        ratings: Any,
        items: npt.ArrayLike | None = None,
        *,
        users: npt.ArrayLike | None = None,
        axis: Axis = "user",
        unknown: UnknownIds = "raise",
    ) -> Any:
        """Predict for users (or items) who were not in training, from their ratings.

        Nothing is kept. A new row (a user in orientation "user", an item in "item") takes a forward
        pass; a new column `scoring.fit_column`, whose bias is not penalized: with fewer than about
        ten ratings the bias baseline is better.

        Parameters
        ----------
        ratings : mapping of id to rating, or (ids, ratings)
            Of known items by one new user (``{}``: biases alone), or for ``axis="item"`` of one new
            item by known users. Or of many, whose ids tell them apart: Ratings, a sparse matrix
            (users x items), a DataFrame or (users, items, ratings).
        items, users : array_like, (n,), optional
            Known items (for ``axis="item"`` users) to predict for. None: all, as in ``ratings_``.
        axis : {"user", "item"}
            What is new.
        unknown : {"raise", "ignore"}
            What to do with ratings of items (or by users) that are not known.

        Returns
        -------
        ndarray of float64, (n,) for one, (m, n) for many
            Clipped to `rating_scale_`; rows by ascending id. Of a DataFrame one with ids on both
            axes.

        Raises
        ------
        ValueError
            An unknown id where `unknown` is "raise", a repeated one, an unusable rating.
        TypeError
            A member of a Blend cannot score newcomers.
        """
        fitted = check_fitted(self)
        cold = self._cold(fitted)
        new = read_new(fitted, self._told(fitted, ratings), axis, unknown)
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
            np.clip(scores, *fitted.bounds, out=predicted[part])
        if frames.is_frame(ratings):
            return frames.table(predicted, new.ids, known[places], (axis, new.other))
        return predicted[0] if new.single else predicted

    @overload
    def recommend_new(
        self,
        ratings: DataFrame,
        n: int = 10,
        exclude_seen: bool = True,
        *,
        axis: Axis = "user",
        unknown: UnknownIds = "raise",
        candidates: npt.ArrayLike | None = None,
        exclude: npt.ArrayLike | None = None,
    ) -> DataFrame: ...
    @overload
    def recommend_new(
        self,
        ratings: Any,
        n: int = 10,
        exclude_seen: bool = True,
        *,
        axis: Axis = "user",
        unknown: UnknownIds = "raise",
        candidates: npt.ArrayLike | None = None,
        exclude: npt.ArrayLike | None = None,
    ) -> NewRecommendations: ...
    @knows_habits
    @undisturbed()
    def recommend_new(
        self,
        ratings: Any,
        n: int = 10,
        exclude_seen: bool = True,
        *,
        axis: Axis = "user",
        unknown: UnknownIds = "raise",
        candidates: npt.ArrayLike | None = None,
        exclude: npt.ArrayLike | None = None,
    ) -> Any:
        """Recommend to users who were not in training, from their ratings.

        For ``axis="item"``: the users who will rate a new item highest. `ratings`, `axis` and
        `unknown` as in :meth:`predict_new`, the rest as in :meth:`recommend`. Without ratings of
        known items, the answer is the items with the most training ratings, and the scores are
        these numbers (`cold` ``"raise"`` refuses).

        Returns
        -------
        newcomers.NewRecommendations
            Ids (object) and scores (float64), (n,) for one, (m, n) for many by ascending id. Of a
            DataFrame one as in :meth:`recommend` (for ``axis="item"`` with item before user), whose
            ``attrs`` hold `n_unknown`, and `popular` as ids.
        """
        fitted = check_fitted(self)
        cold = self._cold(fitted)
        new = read_new(fitted, self._told(fitted, ratings), axis, unknown)
        unrated = np.diff(fitted.told(new.rated).indptr) == 0
        counts = fitted.counts[new.other][:-1]
        left_out = fitted.left_out(new.other, candidates, exclude)
        known = fitted.ids(new.other)
        n = check_n(n, len(known))
        best = np.empty((new.rated.shape[0], min(n, len(known))), np.int64)
        best_scores = np.empty(best.shape)
        for part in chunks(*new.rated.shape):
            rated = new.rated[part]
            scores = score_new(fitted, rated, axis, cold)
            scores[unrated[part]] = counts
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
    if frames.is_frame(ratings) and len(ratings.columns) == 2:
        first, second = ratings.columns
        raise ValueError(
            f"a DataFrame of two columns does not say which new {axis} a rating is of; for one "
            f"{axis} pass (frame[{first!r}], frame[{second!r}]), for many add a column {axis!r}."
        )
    new = within_scale(fitted, ratings)
    matrix = new.oriented(axes.row)
    labels, others = axes.rows_and_columns(new.user_ids, new.item_ids)
    used = np.unique(matrix.indices)
    find = fitted.find if unknown == "ignore" else fitted.look_up
    places = np.full(len(others), -1)
    places[used] = find(other, others[used])  # both ascend
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
    """Return unclipped scores (m, n) from ratings (m, n)."""
    raise TypeError(
        "this model cannot score who was not in training; fit it with their ratings, or leave it "
        "out."
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
    shares = fitted.implicit and fitted.implicit.shares_of(rated)
    weights, own_biases = fitted.fit_columns(rated, residuals, shares)
    activity = weights.astype(fitted.codes.dtype) @ fitted.codes.T
    return fitted.to_ratings(activity + own_biases[:, np.newaxis])


def is_empty(ratings: Any) -> bool:
    if isinstance(ratings, tuple):
        return all(hasattr(part, "__len__") and len(part) == 0 for part in ratings[:3])
    if isinstance(ratings, Ratings) or frames.is_frame(ratings):
        return len(ratings) == 0
    return sparse.issparse(ratings) and getattr(ratings, "nnz", 1) == 0


def within_scale(fitted: Record, ratings: Any) -> Ratings:
    low, high = fitted.bounds
    try:
        return as_ratings(ratings, scale=(low, high) if -np.inf < low < high else None)
    except OutsideScaleError as error:
        model = "AutoRec" if isinstance(fitted, Fitted) else "Blend"
        wide = f"({min(low, error.rating):g}, {max(high, error.rating):g})"
        raise ValueError(
            f"a rating is {error.rating:g}, outside the stated scale [{low:g}, {high:g}] of the "
            f"model; correct it, or fit a model with {model}(rating_scale={wide})."
        ) from None


MAX_SWEEPS = 20
SMALLEST_CHANGE = 1e-4  # of a bias, in deviations of the ratings: sweeps end


@singledispatch
def updated(fitted: Any, new: Ratings, data: Ratings | None = None) -> Any:
    """Return a record with new ratings; `data`: all ratings, if merged already."""
    raise TypeError(
        "this model cannot take in new ratings; call fit with all the ratings, or leave it out of "
        "the Blend."
    )


@updated.register(FittedMean)
@updated.register(FittedBiases)
def _fitted_anew(
    fitted: FittedMean | FittedBiases, new: Ratings, data: Ratings | None = None
) -> FittedMean | FittedBiases:
    by_index = fitted.ids_are_indices
    data = merge(fitted.ratings, new, by_index) if data is None else data
    if isinstance(fitted, FittedMean):
        return FittedMean.of(data, by_index)
    return FittedBiases.of(data, by_index, fitted.regularization)


@updated.register(Fitted)
def _updated_network(fitted: Fitted, new: Ratings, data: Ratings | None = None) -> Fitted:
    if fitted.network.tied:
        raise ValueError(
            "with tied=True the decoder weight of a column is its encoder weight too, so new "
            "ratings would change all codes; call fit with all the ratings, or use tied=False."
        )
    old, by_index = fitted.ratings, fitted.ids_are_indices
    data = training = merge(old, new, by_index) if data is None else data
    if fitted.training is not old:  # some were held out
        training = merge(fitted.training, new, by_index)
    new_users, new_items, _ = new.triples()
    change = Change(
        training,
        (data.user_positions(old.user_ids), data.item_positions(old.item_ids)),
        (np.unique(data.user_positions(new_users)), np.unique(data.item_positions(new_items))),
        (data.matrix, data.oriented("item")),
    )
    with undisturbed():
        grown = _grown(fitted, data, change)
        grown = replace(grown, codes=_updated_codes(grown, change))
        return _with_updated_columns(grown, change)


class Change(NamedTuple):
    """What new ratings change; pairs are of users and items.

    `training`: what the model learned from, and the new. `places`: where known ones are now.
    `touched` have new ratings. `matrices`: all, users x items, and transposed.
    """

    training: Ratings
    places: tuple[Array, Array]
    touched: tuple[Array, Array]
    matrices: tuple[CSR, CSR]


def _updated_baselines(fitted: Fitted, change: Change) -> tuple[FittedBiases, Baseline | None]:
    cold = fitted.cold_baseline
    sides = map(spread, cold.biases[1:], change.places, change.training.shape)
    biases = refresh_biases(
        Biases(cold.biases.mean, *sides), change.matrices, change.touched, cold.regularization
    )
    cold_baseline = replace(cold, ratings=change.training, biases=biases)
    if isinstance(fitted.baseline, FittedMean):
        return cold_baseline, replace(fitted.baseline, ratings=change.training)
    return cold_baseline, None if fitted.baseline is None else cold_baseline


def _grown(fitted: Fitted, data: Ratings, change: Change) -> Fitted:
    """Return the model with known ones at their new places, others 0, and new biases."""
    axes = fitted.axes
    rows_at, columns_at = axes.rows_and_columns(*change.places)
    n_rows, n_columns = axes.rows_and_columns(*change.training.shape)
    had_none = fitted.counts[axes.column][:-1] == 0
    n_inputs = fitted.network.n_inputs
    if n_inputs is not None:
        n_planes, n_features = divmod(n_inputs, fitted.network.n_columns)
        n_inputs = n_planes * n_columns + n_features
    network = replace(fitted.network, n_columns=n_columns, n_inputs=n_inputs)
    theta = np.zeros(network.layout.size, fitted.theta.dtype)
    for name, view in network.layout.views(theta).items():
        if name not in COLUMN_BLOCKS:
            view[...] = fitted.weights[name]
            continue
        planes, others = by_plane(view, n_columns)
        planes[:, columns_at], others[...] = by_plane(fitted.weights[name], len(columns_at))
        if name == "encoder.weight":  # was random
            planes[:, columns_at[had_none]] = 0.0
    implicit = fitted.implicit
    if implicit is not None:
        weight, shares = implicit
        implicit = Implicit(spread(weight, rows_at, n_rows), spread(shares, columns_at, n_columns))
    cold_baseline, baseline = _updated_baselines(fitted, change)
    return replace(
        fitted,
        ratings=data,
        network=network,
        theta=theta,
        codes=spread(fitted.codes, rows_at, n_rows),
        baseline=baseline,
        cold_baseline=cold_baseline,
        implicit=implicit,
    )


def _updated_codes(grown: Fitted, change: Change) -> Array:
    axes, codes = grown.axes, np.array(grown.codes)
    known, touched = (axes.rows_and_columns(*pair)[0] for pair in (change.places, change.touched))
    rows = np.union1d(touched, np.setdiff1d(np.arange(len(codes)), known))
    rated = take_rows(axes.rows_and_columns(*change.matrices)[0], rows)
    biases = grown.cold_baseline.score_pairs(*pairs_of(rated, axes, rows))
    codes[rows] = grown.network.encode(grown.theta, grown.read(rated, biases, rows))
    return codes


def _with_updated_columns(grown: Fitted, change: Change) -> Fitted:
    theta, implicit, network = grown.theta.copy(), grown.implicit, grown.network
    _, columns = grown.axes.rows_and_columns(*change.touched)
    rated = take_rows(grown.axes.rows_and_columns(*change.matrices)[1], columns)
    own = columns[row_of_each(rated)]
    base = baseline_at(grown.baseline, *grown.axes.users_and_items(rated.indices, own))
    shares = None
    if implicit is not None:
        shares, every_share = implicit.shares_of(grown.told(rated)), implicit.shares.copy()
        every_share[columns] = shares
        implicit = implicit._replace(shares=every_share)
    views = network.layout.views(theta)
    views["decoder.weight"][columns], views["decoder.bias"][columns] = grown.fit_columns(
        rated, rated.data - np.float64(base), shares
    )
    return replace(grown, theta=theta, implicit=implicit)


def merge(old: Ratings, new: Ratings, indexed: bool) -> Ratings:
    """Return the old ratings and the new, which replace those of their pairs.

    Users and items without ratings stay, as do scale and features, 0 for new users and items;
    timestamps where both have them.
    """
    axes, features = [], {}
    for name in ("user", "item"):
        known, added = (getattr(ratings, f"{name}_ids") for ratings in (old, new))
        if known.dtype != added.dtype:
            kinds = {"O": "strings", "i": "integers"}
            raise TypeError(
                f"the {name} ids of the model are {kinds[known.dtype.kind]} and the new ones "
                f"{kinds[added.dtype.kind]} (the first: {shown(added[0])}); convert them."
            )
        ids, positions = unique_with_positions(np.concatenate((known, added)))
        if indexed and (ids[0] < 0 or ids[-1] >= len(ids)):
            example = added[(added < 0) | (added >= len(known))][0]
            raise IndexError(
                f"{name} index {example} is out of range: the model was fitted on a sparse matrix, "
                f"so new {name}s go on from {len(known)} without a gap; pass a sparse matrix "
                f"of the new shape."
            )
        axes.append((ids, positions[: len(known)], positions[len(known) :]))
        if name in old.features:
            features[name] = spread(old.features[name], positions[: len(known)], len(ids))
    (user_ids, *user_at), (item_ids, *item_at) = axes
    parts = [ratings.positions() for ratings in (old, new)]
    times = None
    if old.timestamps is not None and new.timestamps is not None:
        times = np.concatenate([R.timestamps[R.order] for R in (old, new)])  # type: ignore[index]
    merged = assemble(
        np.concatenate([at[rows] for at, (rows, _, _) in zip(user_at, parts, strict=True)]),
        np.concatenate([at[columns] for at, (_, columns, _) in zip(item_at, parts, strict=True)]),
        np.concatenate([values for *_, values in parts]),
        times,
        user_ids,
        item_ids,
        old.scale,
        "last",
    )
    return replace(merged, features=features)


def spread(values: Array, places: Array, length: int) -> Array:
    result = np.zeros((length, *values.shape[1:]), values.dtype)
    result[places] = values
    return result


def refresh_biases(
    biases: Biases, matrices: tuple[CSR, CSR], touched: tuple[Array, Array], regularization: float
) -> Biases:
    """Return biases; the `touched` have moved to (19) in turn."""
    users, items = touched
    rated_by, raters_of = (take_rows(*pair) for pair in zip(matrices, touched, strict=True))
    mean, user, item = biases.mean, biases.user.copy(), biases.item.copy()
    smallest = SMALLEST_CHANGE * matrices[0].data.std(dtype=np.float64)
    for _ in range(MAX_SWEEPS):
        before = item[items]
        user[users] = best_biases(rated_by, mean, item, regularization)
        item[items] = best_biases(raters_of, mean, user, regularization)
        if np.abs(item[items] - before).max() <= smallest:
            break
    return Biases(mean, user, item)
