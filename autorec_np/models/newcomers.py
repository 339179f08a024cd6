"""New users, new items and new ratings in a fitted model, without training."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np._validation import check_choice, check_integer
from autorec_np.core.kernels import take_rows, with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.data.ratings import Ratings, as_ratings, check_ids
from autorec_np.engine.threads import single_threaded_blas
from autorec_np.models import frames
from autorec_np.models.base import Recommender, chunks, padded
from autorec_np.models.biases import BiasBaseline, Biases, GlobalMean
from autorec_np.models.scoring import Scorer
from autorec_np.models.top_n import top_n
from autorec_np.models.updates import best_biases, merge, refresh_biases, spread

if TYPE_CHECKING:
    from pandas import DataFrame
    from typing_extensions import Self

COLUMN_BLOCKS = ("encoder.weight", "decoder.weight", "decoder.bias")  # a row for each column


class NewRatings(NamedTuple):
    """Ratings of new users (or items): one row for each.

    Attributes
    ----------
    single : bool
        Whether it is one, who has no id.
    ids : ndarray, (m,)
    others : ndarray, (n,)
        Ids of the known items (or users).
    rated : csr_array of float64, (m, n)
    """

    single: bool
    ids: Array
    others: Array
    rated: CSR


class FoldIn(Recommender):
    """What a fitted autoencoder does with ratings that it was not trained on.

    A row is given its code by a forward pass; a column its decoder weight and bias by (18), the
    codes frozen. The attributes are those of `AutoRec`.
    """

    theta_: Array
    codes_: Array
    network_: Network
    orientation_: str
    regularization_: dict[str, float]
    cold_baseline_: BiasBaseline
    baseline_: Recommender | None
    cold: str | float

    @abstractmethod
    def _scorer(self) -> Scorer:
        """Return what scores by codes and weights."""

    @abstractmethod
    def _baseline_at(self, users: Array, items: Array) -> Array | float:
        """Return the baseline (n,) of pairs of positions."""

    @abstractmethod
    def _refuse_cold(self, cold: Array) -> None:
        """Raise ValueError where any is cold."""

    @abstractmethod
    def _rows_and_columns(self, users: Any, items: Any) -> tuple[Any, Any]:
        """Return what belongs to the rows and to the columns."""

    @overload
    def predict_new(
        self,
        ratings: DataFrame,
        items: npt.ArrayLike | None = None,
        *,
        users: npt.ArrayLike | None = None,
        axis: str = "user",
    ) -> DataFrame: ...
    @overload
    def predict_new(
        self,
        ratings: Any,
        items: npt.ArrayLike | None = None,
        *,
        users: npt.ArrayLike | None = None,
        axis: str = "user",
    ) -> Array: ...
    def predict_new(
        self,
        ratings: Any,
        items: npt.ArrayLike | None = None,
        *,
        users: npt.ArrayLike | None = None,
        axis: str = "user",
    ) -> Any:
        """Predict for users (or items) who were not in training, from their ratings.

        Nothing is learned or kept; `partial_fit` does that. A new row (a user in orientation
        "user", an item in "item") takes one forward pass. A new column (the other way round) takes
        the exact minimizer of (2) over its decoder weight and bias with the codes frozen (see
        `scoring.fit_column`). That bias is not penalized, so with fewer than about ten ratings it
        follows them too closely: there the bias baseline is the better guess.

        Parameters
        ----------
        ratings : mapping of id to rating, or (ids, ratings)
            Of one new user: at least one rating, of known items. For ``axis="item"``, of one new
            item by known users.
            Or of many: Ratings, a sparse matrix (users x items), a DataFrame or (users, items,
            ratings). Their ids on `axis` only tell them apart: a known one is not looked up.
        items : array_like, (n,), optional
            Known items to predict for, ``axis="user"``. None: all, in the order of
            ``ratings_.item_ids``.
        users : array_like, (n,), optional
            Known users to predict for, ``axis="item"``. None: all.
        axis : {"user", "item"}
            What is new.

        Returns
        -------
        ndarray of float64, (n,) for one, (m, n) for many
            Clipped to `rating_scale_`. The m rows are in ascending order of their ids, as in
            ``as_ratings(ratings).user_ids``. For a DataFrame a DataFrame with these ids as index
            and the known ones as columns.

        Raises
        ------
        ValueError
            No ratings, an unknown or repeated id, a rating not finite or outside the scale.
        """
        new = self._new(ratings, axis)
        asked_name, asked, wrong = (
            ("item", items, users) if axis == "user" else ("user", users, items)
        )
        if wrong is not None:
            raise ValueError(
                f"with axis={axis!r} known {asked_name}s are what to predict for; pass "
                f"{asked_name}s=..., or the other axis."
            )
        places = np.arange(len(new.others)) if asked is None else self._look_up(asked_name, asked)
        if self.cold == "raise":
            self._refuse_cold(self._counts(asked_name)[places] == 0)
        predicted = np.empty((new.rated.shape[0], len(places)))
        for part in chunks(*new.rated.shape):
            scores = self._score_new(new.rated[part], axis)[:, places]
            np.clip(scores, *self.rating_scale_, out=predicted[part])
        if frames.is_frame(ratings):
            return frames.table(predicted, new.ids, new.others[places], (axis, asked_name))
        return predicted[0] if new.single else predicted

    @overload
    def recommend_new(
        self,
        ratings: DataFrame,
        n: int = 10,
        exclude_seen: bool = True,
        *,
        axis: str = "user",
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
        axis: str = "user",
        candidates: npt.ArrayLike | None = None,
        exclude: npt.ArrayLike | None = None,
    ) -> tuple[Array, Array]: ...
    def recommend_new(
        self,
        ratings: Any,
        n: int = 10,
        exclude_seen: bool = True,
        *,
        axis: str = "user",
        candidates: npt.ArrayLike | None = None,
        exclude: npt.ArrayLike | None = None,
    ) -> Any:
        """Recommend to users who were not in training, from their ratings.

        For ``axis="item"``: the users who will rate a new item highest. `ratings` and `axis` as in
        :meth:`predict_new`, the rest as in :meth:`recommend`.

        Returns
        -------
        ids : ndarray of object, (n,) for one, (m, n) for many
        scores : ndarray of float64, of the same shape
            The m rows are in ascending order of the new ids. For a DataFrame a DataFrame as in
            :meth:`recommend` (for ``axis="item"`` with item before user).
        """
        n = check_integer("n", n, minimum=1)
        new = self._new(ratings, axis)
        other = "item" if axis == "user" else "user"
        left_out = self._left_out(other, candidates, exclude)
        best = np.empty((new.rated.shape[0], min(n, len(new.others))), np.int64)
        best_scores = np.empty(best.shape)
        for part in chunks(*new.rated.shape):
            rated = new.rated[part]
            scores = self._score_new(rated, axis)
            scores[:, left_out] = -np.inf
            best[part], best_scores[part] = top_n(scores, n, rated if exclude_seen else None)
        if frames.is_frame(ratings):
            cold = np.diff(new.rated.indptr) == 0, self._counts(other)[:-1] == 0
            return frames.recommendations(
                (axis, other), new.ids, new.others, best, best_scores, cold
            )
        ids, best_scores = padded(best, best_scores, new.others, n)
        return (ids[0], best_scores[0]) if new.single else (ids, best_scores)

    def _new(self, ratings: Any, axis: str) -> NewRatings:
        """Check the ratings of new users or items, and find the known ones that they are of."""
        self._check_fitted()
        check_choice("axis", axis, ("user", "item"))
        by_user = axis == "user"
        other = "item" if by_user else "user"
        single = isinstance(ratings, Mapping) or (isinstance(ratings, tuple) and len(ratings) == 2)
        if single:
            told = ratings
            if isinstance(ratings, Mapping):
                told = list(ratings.keys()), list(ratings.values())
            ids = check_ids(told[0], f"{other} ids")
            nobody = np.zeros(len(ids), np.int64)
            ratings = (nobody, ids, told[1]) if by_user else (ids, nobody, told[1])
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
        new = self._within_scale(ratings)
        matrix = new.matrix if by_user else new.matrix.T.tocsr()
        labels, others = (new.user_ids, new.item_ids) if by_user else (new.item_ids, new.user_ids)
        known = self.ratings_.item_ids if by_user else self.ratings_.user_ids
        used = np.unique(matrix.indices)
        places = np.full(len(others), -1)
        places[used] = self._look_up(other, others[used])  # both ascending: the order stays
        rated: CSR = sparse.csr_array(
            (matrix.data.astype(np.float64), places[matrix.indices], matrix.indptr),
            shape=(len(labels), len(known)),
        )
        return NewRatings(single, labels, known, rated)

    def _score_new(self, rated: CSR, axis: str) -> Array:
        """Return unclipped scores (m, n) of new users (or items) for all known items (or users)."""
        mean, *sides = self.cold_baseline_.biases_
        other = "item" if axis == "user" else "user"
        known = sides[axis == "user"]
        own = best_biases(rated, mean, known, self.cold_baseline_.regularization)  # (19)
        bias_scores: Array = mean + known + own[:, np.newaxis]
        if isinstance(self.baseline_, BiasBaseline):
            base = bias_scores
        else:
            base = np.full(bias_scores.shape, 0.0 if self.baseline_ is None else mean)
        if self.orientation_ == axis:
            scores = base + self._scorer().new_rows(rated)
        else:
            rows = np.repeat(np.arange(len(own)), np.diff(rated.indptr))
            targets = with_data(rated, rated.data - base[rows, rated.indices])
            with single_threaded_blas() if len(own) > 1 else nullcontext():  # it takes 2 ms
                scores = base + self._scorer().new_columns(targets, self._column_penalty())
        unrated = np.diff(rated.indptr) == 0
        cold = unrated[:, np.newaxis] | (self._counts(other)[:-1] == 0)
        if self.cold == "raise":
            self._refuse_cold(unrated)
        if self.cold == "baseline":
            scores[cold] = bias_scores[cold]
        else:
            scores[cold] = -np.inf if self.cold == "raise" else self.cold
        return scores

    # New ratings of the model itself

    def partial_fit(self, ratings: Any) -> Self:
        """Take in new ratings without training; return the model itself.

        The training ratings are updated: a rating of a known pair replaces the earlier one. Then,
        of the users and items that have new ratings, and of no others,

        * the biases are fitted anew, (19), the mean staying;
        * a row gets its code anew, by a forward pass over all its ratings;
        * a column gets its decoder weight and bias anew: the ridge problem (18) over all its
          ratings, the codes frozen.

        New users and items are taken in. A new row (an item in orientation "item") is complete. A
        new column (a user) gets encoder weight 0: its ratings reach no code until `fit` with
        ``warm_start=True`` trains on from here, ``model.fit(model.ratings_)``. Before any `fit`,
        this is `fit`.

        Parameters
        ----------
        ratings : Ratings, sparse matrix (users x items), DataFrame or (users, items, ratings)
            The new ratings only, at least one, within `rating_scale_`.

        Raises
        ------
        ValueError
            Tied weights; ratings that cannot be used. The model stays as it was.
        TypeError
            Ids of another kind than those of the model.
        """
        if not hasattr(self, "ratings_"):
            return self.fit(ratings)
        updated = copy.copy(self)
        with single_threaded_blas():
            updated._update(self._within_scale(ratings))
        vars(self).update(vars(updated))
        return self

    def _update(self, new: Ratings) -> None:
        if self.network_.tied:
            raise ValueError(
                "with tied=True the decoder weight of a column is its encoder weight too, so to "
                "fit it to new ratings would change the codes of all rows; call fit with all the "
                "ratings (warm_start=True begins at these weights), or use tied=False."
            )
        old, trained_on = self.ratings_, self.cold_baseline_.ratings_
        data = training = merge(old, new, self._indexed)
        if trained_on is not old:  # ratings were held out for early stopping
            training = merge(trained_on, new, self._indexed)
        places = data.user_positions(old.user_ids), data.item_positions(old.item_ids)
        self._grow(places, data.shape)
        self._remember(data, training, self._indexed)
        new_users, new_items, _ = new.triples()
        users = np.unique(data.user_positions(new_users))
        items = np.unique(data.item_positions(new_items))
        by_user, by_item = data.matrix, data.matrix.T.tocsr()
        self._update_baselines(training, places, (by_user, by_item), (users, items))
        rows, columns = self._rows_and_columns(users, items)
        by_row, by_column = self._rows_and_columns(by_user, by_item)
        self._update_rows(by_row, rows, self._rows_and_columns(*places)[0])
        self._update_columns(take_rows(by_column, columns), columns)

    def _grow(self, places: tuple[Array, Array], shape: tuple[int, int]) -> None:
        """Move codes and weights to the new places of users and items; the others are zeros.

        A column that has no ratings yet keeps nothing of its random initial encoder weight.
        """
        rows_at, columns_at = self._rows_and_columns(*places)
        n_rows, n_columns = self._rows_and_columns(*shape)
        _, counts = self._rows_and_columns(self.user_counts_, self.item_counts_)
        last_views = self.network_.layout.views(self.theta_)
        self.codes_ = spread(self.codes_, rows_at, n_rows)
        self.network_ = replace(self.network_, n_columns=n_columns)
        self.theta_ = np.zeros(self.network_.layout.size, self.theta_.dtype)
        for name, view in self.network_.layout.views(self.theta_).items():
            places_in_block = columns_at if name in COLUMN_BLOCKS else slice(None)
            view[places_in_block] = last_views[name]
            if name == "encoder.weight":
                view[columns_at[counts == 0]] = 0.0

    def _update_baselines(
        self,
        training: Ratings,
        places: tuple[Array, Array],
        matrices: tuple[CSR, CSR],
        touched: tuple[Array, Array],
    ) -> None:
        mean, *sides = self.cold_baseline_.biases_
        user, item = map(spread, sides, places, training.shape)
        self.cold_baseline_ = copy.copy(self.cold_baseline_)
        self.cold_baseline_._remember(training, training, self._indexed)
        self.cold_baseline_.biases_ = refresh_biases(
            Biases(mean, user, item), matrices, touched, self.cold_baseline_.regularization
        )
        if isinstance(self.baseline_, GlobalMean):
            self.baseline_ = copy.copy(self.baseline_)
            self.baseline_._remember(training, training, self._indexed)
        elif self.baseline_ is not None:
            self.baseline_ = self.cold_baseline_

    def _update_rows(self, matrix: CSR, touched: Array, known: Array) -> None:
        """Encode the rows that have new ratings, and the new rows without any."""
        new = np.setdiff1d(np.arange(matrix.shape[0]), known)
        rows = np.union1d(touched, new)
        inputs = take_rows(matrix, rows)
        inputs = with_data(inputs, inputs.data.astype(self.theta_.dtype))
        self.codes_[rows] = self.network_.encode(self.theta_, inputs)

    def _update_columns(self, rated: CSR, columns: Array) -> None:
        """Fit the decoder weights and biases of columns to their ratings (columns x all rows)."""
        own = np.repeat(columns, np.diff(rated.indptr))
        base = self._baseline_at(*self._rows_and_columns(rated.indices, own))
        targets = with_data(rated, rated.data - np.float64(base))
        fitted = self._scorer().fit_columns(targets, self._column_penalty())
        views = self.network_.layout.views(self.theta_)
        views["decoder.weight"][columns], views["decoder.bias"][columns] = fitted

    def _within_scale(self, ratings: Any) -> Ratings:
        """Return new ratings, which the scale of the model must hold."""
        low, high = self.rating_scale_
        return as_ratings(ratings, scale=(low, high) if low < high else None)

    def _column_penalty(self) -> float:
        """Return lambda of the decoder weight, in rating units; tied weights carry both."""
        block = self.network_.layout.aliases.get("decoder.weight", "decoder.weight")
        return Objective(self.network_, self.regularization_).penalties.get(block, 0.0)
