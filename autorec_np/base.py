"""`Recommender`, the base of every model: parameters, ids, cold pairs, clipping, ranking."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autorec_np._validation import check_integer
from autorec_np.metrics import rmse
from autorec_np.ranking import top_n

if TYPE_CHECKING:
    from typing_extensions import Self

    from autorec_np.ratings import Ratings

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

    def predict(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Array:
        """Predict the rating of each pair.

        Parameters
        ----------
        users, items : array_like, (n,)
            Ids (indices where the model was fitted on a sparse matrix). An unknown id makes the
            pair cold.

        Returns
        -------
        ndarray of float64, (n,)
            Clipped to `rating_scale_`.

        Raises
        ------
        IndexError
            An index out of range (models fitted on a sparse matrix).
        TypeError
            Strings where the training ratings' ids are integers, or vice versa.
        ValueError
            Arrays of different lengths.
        """
        return np.clip(self._score_pairs(*self._positions(users, items)), *self.rating_scale_)

    def score(self, users: npt.ArrayLike, items: npt.ArrayLike, ratings: npt.ArrayLike) -> float:
        """Return the negative RMSE of the predictions: greater is better."""
        return -rmse(ratings, self.predict(users, items))

    def cold_pairs(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Array:
        """Return (bool, (n,)) whether a pair's user or item has no training rating."""
        return self._is_cold(*self._positions(users, items))

    def recommend(
        self, users: npt.ArrayLike, n: int = 10, exclude_seen: bool = True
    ) -> tuple[Array, Array]:
        """Return the items with the highest scores for each user, in bounded memory.

        Parameters
        ----------
        users : array_like, (m,)
            Ids (indices where the model was fitted on a sparse matrix).
        n : int
            Items for each user.
        exclude_seen : bool
            Whether to leave out the items that the user rated in training.

        Returns
        -------
        ids : ndarray of object, (m, n)
            Item ids, best first, equal scores in the order of the ids; None where no item is left.
        scores : ndarray of float64, (m, n)
            Unclipped (clipped, the best would be tied at the top of the scale); -inf for None.

        Raises
        ------
        ValueError
            An unknown id.
        IndexError
            An index out of range (models fitted on a sparse matrix).
        """
        n = check_integer("n", n, minimum=1)
        positions = self._look_up("user", users)
        best = np.empty((len(positions), min(n, self.ratings_.n_items)), np.int64)
        best_scores = np.empty(best.shape)
        chunk = max(1, SCORES_PER_CHUNK // self.ratings_.n_items)
        for start in range(0, len(positions), chunk):
            rows = slice(start, start + chunk)
            block = self._score_all_items(positions[rows])
            seen = self.ratings_.matrix[positions[rows]] if exclude_seen else None
            best[rows], best_scores[rows] = top_n(block, n, seen)
        return self._with_ids(best, best_scores, n)

    def _with_ids(self, best: Array, best_scores: Array, n: int) -> tuple[Array, Array]:
        """Translate ranked columns into ids, padded to n with None and -inf."""
        ids = np.full((len(best), n), None, dtype=object)
        scores = np.full((len(best), n), -np.inf)
        width = best.shape[1]
        scores[:, :width] = best_scores
        found = np.isfinite(best_scores)
        ids[:, :width][found] = self.ratings_.item_ids[best[found]].astype(object)
        return ids, scores

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
                last = (ratings.n_users if by_user else ratings.n_items) - 1
                raise IndexError(
                    f"{axis} index {example} is out of range: the model was fitted on a sparse "
                    f"matrix, so {axis}s are the indices 0 to {last}."
                )
            raise ValueError(
                f"{len(unknown)} of {len(positions)} {axis} ids are not in the training ratings, "
                f"for example {example!r}; leave them out (for a new user call predict_new or "
                f"recommend_new with their ratings)."
            )
        return positions

    def _is_cold(self, users: Array, items: Array) -> Array:
        counted_users = np.append(self.user_counts_, 0)  # position -1 reads the 0
        counted_items = np.append(self.item_counts_, 0)
        return np.asarray((counted_users[users] == 0) | (counted_items[items] == 0))
