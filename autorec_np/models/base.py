"""`Recommender`, the base of every model: parameters, ids, cold pairs, clipping, ranking."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from autorec_np._validation import check_integer
from autorec_np.data.metrics import rmse
from autorec_np.models import frames
from autorec_np.models.top_n import top_n

if TYPE_CHECKING:
    from pandas import DataFrame, Index, Series
    from typing_extensions import Self

    from autorec_np.data.ratings import Ratings

Array: TypeAlias = npt.NDArray[Any]

SCORES_PER_CHUNK = 8_388_608  # held at once while ranking: 64 MB in float64


def check_not_empty(ratings: Ratings, name: str = "ratings") -> None:
    """Raise ValueError where there are no ratings."""
    if len(ratings) == 0:
        raise ValueError(f"{name} holds no ratings; pass at least one rating.")


class NotFittedError(ValueError, AttributeError):
    """A method that needs a fitted model was called before `fit`."""


class Recommender(ABC):
    """A model of ratings with the interface of a scikit-learn estimator.

    A subclass stores its constructor's arguments unchanged under their own names, calls
    `_remember` in `fit`, and scores positions (rows and columns of users x items).

    Attributes
    ----------
    ratings_ : Ratings
        Those given to `fit`; what `recommend` leaves out as seen.
    rating_scale_ : tuple of float
        Predictions are clipped to it.
    user_counts_, item_counts_ : ndarray of int
        Training ratings of each user and item; 0 makes a pair cold.
    """

    ratings_: Ratings
    rating_scale_: tuple[float, float]
    user_counts_: Array
    item_counts_: Array
    _indexed: bool

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name (`deep` is accepted for scikit-learn)."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name and return the model; ValueError for an unknown name."""
        names = self.get_params()
        for name, value in params.items():
            if name not in names:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(names)}."
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if repr(value) != repr(defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    @abstractmethod
    def fit(self, ratings: Any, validation: Any = None) -> Self:
        """Learn from the ratings."""

    @abstractmethod
    def _score_pairs(self, users: Array, items: Array) -> Array:
        """Return unclipped scores (n,) of pairs of positions, -1 for an unknown id."""

    @abstractmethod
    def _score_all_items(self, users: Array) -> Array:
        """Return unclipped scores (len(users), n_items) of positions."""

    @overload
    def predict(self, users: DataFrame) -> Series[Any]: ...
    @overload
    def predict(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Array: ...
    def predict(self, users: Any, items: Any = None) -> Any:
        """Predict the rating of each pair.

        Parameters
        ----------
        users, items : array_like, (n,)
            Ids (indices where the model was fitted on a sparse matrix), paired by place: the index
            of a Series is not looked at. An unknown id makes the pair cold.
            Or a DataFrame alone, with columns named user and item (or a well-known variant, see
            `ratings.as_ratings`), or with these two first.

        Returns
        -------
        ndarray of float64, (n,)
            Clipped to `rating_scale_`. For a DataFrame a Series named "prediction" with the
            frame's index, so that ``frame["prediction"] = model.predict(frame)`` is right.

        Raises
        ------
        IndexError
            An index out of range (models fitted on a sparse matrix).
        TypeError
            Strings where the training ratings' ids are integers, or vice versa; no items.
        ValueError
            Arrays of different lengths, a frame without the two columns.
        """
        frame = None
        if items is None:
            if not frames.is_frame(users):
                raise TypeError(
                    f"predict needs users and items, or one DataFrame with these columns, got one "
                    f"{type(users).__name__}; call predict(users, items)."
                )
            frame = users
            users, items = frames.id_columns(frame, "user", "item")
        scores = self._score_pairs(*self._positions(users, items))
        predicted = np.clip(scores, *self.rating_scale_)
        return predicted if frame is None else frames.predictions(predicted, frame)

    def score(self, users: npt.ArrayLike, items: npt.ArrayLike, ratings: npt.ArrayLike) -> float:
        """Return the negative RMSE of the predictions: greater is better."""
        return -rmse(ratings, self.predict(users, items))

    def cold_pairs(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Array:
        """Return (bool, (n,)) whether a pair's user or item has no training rating."""
        return self._is_cold(*self._positions(users, items))

    def cold_users(self, users: npt.ArrayLike) -> Array:
        """Return (bool, (m,)) whether a user has no training rating."""
        return np.asarray(self._counts("user")[self._look_up("user", users, known=False)] == 0)

    @overload
    def recommend(
        self,
        users: DataFrame | Series[Any] | Index[Any],
        n: int = 10,
        exclude_seen: bool = True,
        *,
        candidates: npt.ArrayLike | None = None,
        exclude: npt.ArrayLike | None = None,
    ) -> DataFrame: ...
    @overload
    def recommend(
        self,
        users: npt.ArrayLike,
        n: int = 10,
        exclude_seen: bool = True,
        *,
        candidates: npt.ArrayLike | None = None,
        exclude: npt.ArrayLike | None = None,
    ) -> tuple[Array, Array]: ...
    def recommend(
        self,
        users: Any,
        n: int = 10,
        exclude_seen: bool = True,
        *,
        candidates: npt.ArrayLike | None = None,
        exclude: npt.ArrayLike | None = None,
    ) -> Any:
        """Return the items with the highest scores for each user, in bounded memory.

        Parameters
        ----------
        users : array_like, (m,)
            Ids (indices where the model was fitted on a sparse matrix). One without training
            ratings is answered as `cold` says, see `cold_users`. Of a DataFrame, the column named
            user (or a well-known variant), else the first.
        n : int
            Items for each user.
        exclude_seen : bool
            Whether to leave out the items that the user rated in training.
        candidates : array_like, optional
            Item ids: no others are recommended.
        exclude : array_like, optional
            Item ids that are not recommended to anybody; unknown ones may be among them.

        Returns
        -------
        ids : ndarray of object, (m, n)
            Item ids, best first, equal scores in the order of the ids; None where no item is left.
        scores : ndarray of float64, (m, n)
            Unclipped (clipped, the best would be tied at the top of the scale); -inf for None.

        For a DataFrame, Series or Index instead one DataFrame with columns user (of the dtype
        that came in), item, rank (from 1), score and cold (see `cold_pairs`), and no row where no
        item is left. Each distinct user is answered once, in the order of first appearance.

        Raises
        ------
        ValueError
            An unknown user or candidate.
        IndexError
            An index out of range (models fitted on a sparse matrix).
        TypeError
            Strings where the training ratings' ids are integers, or vice versa.
        """
        n = check_integer("n", n, minimum=1)
        framed = frames.is_pandas(users)
        if frames.is_frame(users):
            (users,) = frames.id_columns(users, "user")
        positions = self._look_up("user", users)
        if framed:
            users, positions = frames.first_of_each(users, positions)
        left_out = self._left_out("item", candidates, exclude)
        best = np.empty((len(positions), min(n, self.ratings_.n_items)), np.int64)
        best_scores = np.empty(best.shape)
        for rows in chunks(len(positions), self.ratings_.n_items):
            block = self._score_all_items(positions[rows])
            block[:, left_out] = -np.inf
            seen = self.ratings_.matrix[positions[rows]] if exclude_seen else None
            best[rows], best_scores[rows] = top_n(block, n, seen)
        known = self.ratings_.item_ids
        if not framed:
            return padded(best, best_scores, known, n)
        cold = self._counts("user")[positions] == 0, self.item_counts_ == 0
        return frames.recommendations(("user", "item"), users, known, best, best_scores, cold)

    def _left_out(
        self, axis: str, candidates: npt.ArrayLike | None, exclude: npt.ArrayLike | None
    ) -> Array:
        """Return the positions of the items (or users) that may not be recommended."""
        allowed = np.full(self._n_ids(axis), candidates is None)
        if candidates is not None:
            allowed[self._look_up(axis, candidates)] = True
        if exclude is not None:
            excluded = self._look_up(axis, exclude, known=False)
            allowed[excluded[excluded >= 0]] = False
        return np.flatnonzero(~allowed)

    def _n_ids(self, axis: str) -> int:
        return self.ratings_.n_users if axis == "user" else self.ratings_.n_items

    def _counts(self, axis: str) -> Array:
        """Return the training ratings of each user or item; position -1, unknown, reads a 0."""
        self._check_fitted()
        return np.append(self.user_counts_ if axis == "user" else self.item_counts_, 0)

    def _remember(self, ratings: Ratings, trained_on: Ratings, indexed: bool) -> None:
        """Store what a fitted model needs; `indexed`: ids are indices of a sparse matrix."""
        self.ratings_ = ratings
        self.rating_scale_ = ratings.scale
        self.user_counts_ = np.diff(trained_on.matrix.indptr)
        self.item_counts_ = np.bincount(trained_on.matrix.indices, minlength=ratings.n_items)
        self._indexed = indexed

    def _check_fitted(self) -> None:
        if not hasattr(self, "ratings_"):
            raise NotFittedError(
                f"this {type(self).__name__} is not fitted yet; call fit(ratings) first."
            )

    def _positions(self, users: npt.ArrayLike, items: npt.ArrayLike) -> tuple[Array, Array]:
        """Translate pairs of ids into positions, -1 for an unknown id."""
        pairs = self._look_up("user", users, known=False), self._look_up("item", items, known=False)
        n_users, n_items = map(len, pairs)
        if n_users != n_items:
            raise ValueError(
                f"users and items must make pairs, got {n_users} users and {n_items} items."
            )
        return pairs

    def _look_up(self, axis: str, ids: npt.ArrayLike, known: bool = True) -> Array:
        """Translate ids into positions; an unknown id raises, or is -1 where `known` is False."""
        self._check_fitted()
        ratings, by_user = self.ratings_, axis == "user"
        positions = ratings.user_positions(ids) if by_user else ratings.item_positions(ids)
        unknown = np.flatnonzero(positions < 0)
        if len(unknown) and (known or self._indexed):
            example = np.asarray(ids, dtype=object)[unknown[0]]
            if self._indexed:
                last = self._n_ids(axis) - 1
                raise IndexError(
                    f"{axis} index {example} is out of range: the model was fitted on a sparse "
                    f"matrix, so {axis}s are the indices 0 to {last}."
                )
            raise ValueError(
                f"{len(unknown)} of {len(positions)} {axis} ids are not in the training ratings, "
                f"for example {example!r}; leave them out (for a new {axis} call predict_new or "
                f"recommend_new with its ratings, or fit with them)."
            )
        return positions

    def _is_cold(self, users: Array, items: Array) -> Array:
        return np.asarray((self._counts("user")[users] == 0) | (self._counts("item")[items] == 0))


def chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Yield slices of rows that have at most SCORES_PER_CHUNK scores together."""
    chunk = max(1, SCORES_PER_CHUNK // n_columns)
    for start in range(0, n_rows, chunk):
        yield slice(start, start + chunk)


def padded(best: Array, best_scores: Array, ids: Array, n: int) -> tuple[Array, Array]:
    """Translate ranked positions into ids, padded to n with None and -inf."""
    found_ids = np.full((len(best), n), None, dtype=object)
    scores = np.full((len(best), n), -np.inf)
    width = best.shape[1]
    scores[:, :width] = best_scores
    found = best_scores > -np.inf
    found_ids[:, :width][found] = ids[best[found]].astype(object)
    return found_ids, scores
