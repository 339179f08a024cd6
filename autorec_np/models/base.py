"""What every model is: a `Record`, and a `Recommender` that uses it."""

from __future__ import annotations

import copy
import inspect
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, overload

import numpy as np
import numpy.typing as npt
from scipy import sparse

from autorec_np._text import ATTRIBUTES_ELSEWHERE, knows_habits, parameter_hint
from autorec_np._types import CSR, Array
from autorec_np._validation import check_integer
from autorec_np.data.entries import frozen
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.splitting import check_apart, rmse, train_test_split
from autorec_np.engine.threads import undisturbed
from autorec_np.models import frames
from autorec_np.models.frames import Calibration, calibrated_on, check_level, top_n
from autorec_np.training.trainer import interrupts_end_all, short_on_purpose

if TYPE_CHECKING:
    from pandas import DataFrame, Index, Series
    from typing_extensions import Self as Self
else:
    Self = Any

MOST_PADDED = 100_000  # places of a list
SCORES_PER_CHUNK = 8_388_608  # 64 MB in float64
HELD_OUT = 0.1  # of the ratings, by `calibrate`
# Of the copy that `calibrate` fits
UNSEEN: dict[str, Any] = {"callbacks": (), "verbose": False}

logger = logging.getLogger(__name__)
_calibrating = threading.RLock()

T = TypeVar("T")
AnyModel = TypeVar("AnyModel")


def check_not_empty(ratings: Ratings, name: str = "ratings") -> None:
    if len(ratings) == 0:
        raise ValueError(f"{name} holds no ratings; pass at least one.")


def to_learn(ratings: Any, scale: tuple[float, float] | None = None) -> tuple[Ratings, bool]:
    """Return ratings, of which there are some, and whether their ids are indices."""
    data = as_ratings(ratings, scale=scale)
    check_not_empty(data)
    return data, sparse.issparse(ratings)


@dataclass(frozen=True)
class Axes:
    """What a row is: "item" or "user"; a column is the other."""

    row: str

    @property
    def column(self) -> str:
        return self.rows_and_columns("user", "item")[1]

    def rows_and_columns(self, users: T, items: T) -> tuple[T, T]:
        """Return what belongs to rows, and what to columns."""
        return (items, users) if self.row == "item" else (users, items)

    def users_and_items(self, rows: T, columns: T) -> tuple[T, T]:
        return (columns, rows) if self.row == "item" else (rows, columns)

    def orient(self, matrix: CSR) -> CSR:
        return matrix.T.tocsr() if self.row == "item" else matrix


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Record(ABC):
    """The state of a fitted model, which never changes: another fit makes another record.

    Positions are of users x items, -1 for an unknown id; an `axis` is "user" or "item".
    `ids_are_indices`: the model was fitted on a sparse matrix.
    """

    ratings: Ratings
    ids_are_indices: bool
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                object.__setattr__(self, name, frozen(value))

    @abstractmethod
    def score_pairs(self, users: Array, items: Array) -> Array:
        """Return unclipped scores (n,) of pairs of positions."""

    @abstractmethod
    def score_all_items(self, users: Array) -> Array:
        """Return unclipped scores (len(users), n_items) of positions."""

    @property
    def training(self) -> Ratings:
        """What the model learned from."""
        return self.ratings

    @property
    def bounds(self) -> tuple[float, float]:
        """What predictions are clipped to."""
        return self.ratings.scale

    def told(self, rated: CSR) -> CSR:
        """Return the ratings of newcomers that count."""
        return rated

    @property
    def counts(self) -> dict[str, Array]:
        return self._counted

    @cached_property
    def _counted(self) -> dict[str, Array]:
        matrix = self.training.matrix
        return {
            "user": frozen(np.diff(matrix.indptr, append=matrix.indptr[-1:])),
            "item": frozen(np.bincount(matrix.indices, minlength=matrix.shape[1] + 1)),
        }

    @property
    def user_counts(self) -> Array:
        return self.counts["user"][:-1]

    @property
    def item_counts(self) -> Array:
        return self.counts["item"][:-1]

    def ids(self, axis: str) -> Array:
        return Axes(axis).rows_and_columns(self.ratings.user_ids, self.ratings.item_ids)[0]

    def find(self, axis: str, ids: npt.ArrayLike) -> Array:
        """Return the positions of ids."""
        ratings = self.ratings
        find, _ = Axes(axis).rows_and_columns(ratings.user_positions, ratings.item_positions)
        return find(ids)

    def look_up(self, axis: str, ids: npt.ArrayLike, known: bool = True) -> Array:
        """As `find`; ValueError for an unknown id where `known`.

        IndexError for an index out of range, TypeError for ids of another kind.
        """
        positions = self.find(axis, ids)
        unknown = np.flatnonzero(positions < 0)
        if len(unknown) and (known or self.ids_are_indices):
            example = np.asarray(ids, dtype=object)[unknown[0]]
            if self.ids_are_indices:
                raise IndexError(
                    f"{axis} index {example} is out of range: the model was fitted on a sparse "
                    f"matrix, so {axis}s are the indices 0 to {len(self.ids(axis)) - 1}."
                )
            raise ValueError(
                f"{len(unknown)} of {len(positions)} {axis} ids are not in the training ratings, "
                f"for example {example!r}; leave them out (for a new {axis} call predict_new or "
                f"recommend_new with its ratings, or fit with them)."
            )
        return positions

    def positions(self, users: npt.ArrayLike, items: npt.ArrayLike) -> tuple[Array, Array]:
        """As `find`, of pairs."""
        pairs = self.look_up("user", users, known=False), self.look_up("item", items, known=False)
        n_users, n_items = map(len, pairs)
        if n_users != n_items:
            raise ValueError(
                f"users and items must make pairs, got {n_users} users and {n_items} items."
            )
        return pairs

    def left_out(
        self, axis: str, candidates: npt.ArrayLike | None, exclude: npt.ArrayLike | None
    ) -> Array:
        allowed = np.full(len(self.ids(axis)), candidates is None)
        if candidates is not None:
            allowed[self.look_up(axis, candidates)] = True
        if exclude is not None:
            excluded = self.look_up(axis, exclude, known=False)
            allowed[excluded[excluded >= 0]] = False
        return np.flatnonzero(~allowed)

    def is_cold(self, users: Array, items: Array) -> Array:
        counts = self.counts
        return np.asarray((counts["user"][users] == 0) | (counts["item"][items] == 0))


AnyRecord = TypeVar("AnyRecord", bound=Record, covariant=True)


class NotFittedError(ValueError, AttributeError):
    """A model was used before `fit`."""


class HasRecord(Protocol[AnyRecord]):
    """A model that has a record once fitted."""

    @property
    def fitted_(self) -> AnyRecord:
        """The record."""


def check_fitted(model: HasRecord[AnyRecord]) -> AnyRecord:
    """Return the record of a fitted model; NotFittedError before `fit`.

    Call it once: another thread may fit the model meanwhile.
    """
    check_no_class(model)
    try:
        return model.fitted_
    except AttributeError:
        raise NotFittedError(
            f"this {type(model).__name__} is not fitted yet; call fit(ratings) first."
        ) from None


def of_record(what: str | Callable[[Any], Any]) -> Any:
    read = attrgetter(what) if isinstance(what, str) else what
    return property(lambda model: read(check_fitted(model)))


class Recommender(ABC):
    """A model of ratings with the interface of a scikit-learn estimator.

    `fit` assigns a record at its end: an error leaves the model as it was.

    Attributes
    ----------
    fitted_ : Record
        What the other attributes are read from.
    ratings_ : Ratings
        Those given to `fit`; what `recommend` leaves out as seen.
    rating_scale_ : tuple of float
        Predictions are clipped to it.
    user_counts_, item_counts_ : ndarray of int
        Training ratings of each user and item; 0 makes a pair cold.
    """

    _attributes_elsewhere: ClassVar[Mapping[str, str]] = ATTRIBUTES_ELSEWHERE

    fitted_: Record
    ratings_: Ratings = of_record("ratings")
    rating_scale_: tuple[float, float] = of_record("ratings.scale")
    user_counts_: Array = of_record("user_counts")
    item_counts_: Array = of_record("item_counts")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; ValueError for an unknown name."""
        names = self.get_params(deep=False)
        for name, value in params.items():
            if name not in names:
                hint = parameter_hint(name, value, names).removesuffix(".")
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}{hint}; it has "
                    f"{', '.join(names)}."
                )
            setattr(self, name, value)
        return self

    if not TYPE_CHECKING:  # which would then allow any attribute

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property that raised: raise again
                return object.__getattribute__(self, name)
            here = self._attributes_elsewhere.get(name)
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}"
                f"{f'; here it is {here}' if here else ''}"
            )

    def __sklearn_tags__(self) -> Any:
        """Raise TypeError."""
        name = type(self).__name__
        raise TypeError(
            f"scikit-learn's tools divide rows of features, which {name} has none of; pass "
            f"RatingRegressor({name}()) and, as X, two columns of user and item ids."
        )

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if repr(getattr(self, name)) != repr(parameter.default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    @abstractmethod
    def fit(self, ratings: Any, validation: Any = None) -> Self:
        """Learn from the ratings."""

    def _score_pairs(self, fitted: Any, users: Array, items: Array) -> Array:
        return np.asarray(fitted.score_pairs(users, items))

    def _score_all_items(self, fitted: Any, users: Array) -> Array:
        return np.asarray(fitted.score_all_items(users))

    @overload
    def predict(self, users: DataFrame) -> Series[Any]: ...
    @overload
    def predict(self, users: Ratings) -> Array: ...
    @overload
    def predict(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Array: ...
    @overload
    def predict(
        self, users: Any, items: Any = None, *, interval: float
    ) -> tuple[Any, Any, Any]: ...
    @undisturbed()
    def predict(self, users: Any, items: Any = None, *, interval: float | None = None) -> Any:
        """Predict the rating of each pair.

        Parameters
        ----------
        users, items : array_like, (n,)
            Ids (indices where the model was fitted on a sparse matrix), paired by place, whatever
            the index of a Series. An unknown id makes the pair cold.
            Or `Ratings` alone, in the order of their file; or a table that `as_ratings` reads, with
            columns named user and item, or with these first.
        interval : float in (0, 1), optional
            Also return intervals that hold this part of such ratings: `uncertainty`. The first time
            this calls `calibrate`, and takes as long as a fit.

        Returns
        -------
        ndarray of float64, (n,)
            Clipped to `rating_scale_`. For a DataFrame a Series named "prediction" with its index.
            With `interval` a tuple of three such: prediction, low, high.

        Raises
        ------
        IndexError
            An index out of range (models fitted on a sparse matrix).
        TypeError
            Ids of another kind than the training ratings'; no items.
        ValueError
            Different lengths, a frame without the two columns; an `interval` outside (0, 1), or
            that needs more held-out ratings than there are.
        """
        level, frame = None if interval is None else check_level(interval), None
        if items is None:
            users, items, frame = frames.asked_pairs(users)
        fitted = check_fitted(self)
        if level is not None and fitted.calibration is None:
            fitted = self._calibrated()
        users, items = fitted.positions(users, items)
        scores, scale = self._score_pairs(fitted, users, items), fitted.bounds
        calibration, answers = fitted.calibration, list[Any]((np.clip(scores, *scale),))
        if level is not None and calibration is not None:
            counts = fitted.counts["user"][users], fitted.counts["item"][items]
            answers += calibration.interval(level, scores, *counts, scale)
        if frame is not None:
            named = zip(answers, ("prediction", "low", "high"), strict=False)
            answers = [frames.predictions(values, frame, name) for values, name in named]
        return answers[0] if level is None else tuple(answers)

    @undisturbed()
    def calibrate(self, ratings: Any = None) -> Self:
        """Learn how far predictions err, for ``predict(interval=...)``; return the model itself.

        `partial_fit` keeps that, `fit` drops it.

        Parameters
        ----------
        ratings : Ratings, sparse matrix, DataFrame or (users, items, ratings), optional
            Held-out ratings within `rating_scale_`. None: a copy without `callbacks` is fitted to
            nine tenths of `ratings_` (by `random_state`), as long as by `fit`, and predicts the
            rest.

        Raises
        ------
        NotFittedError
        ValueError, TypeError
            Ratings that cannot be used, or that the model was trained on; None, of a model saved
            without its ratings.
        """
        fitted = check_fitted(self)
        if ratings is None:
            self._calibrated(anew=True)
            return self
        held_out = as_ratings(ratings)
        check_not_empty(held_out)
        check_apart(
            fitted.ratings, held_out, "where errors are smaller; pass ratings that are held out."
        )
        self._keep(fitted, self._calibration_on(fitted, held_out))
        return self

    def _calibrated(self, anew: bool = False) -> Record:
        with _calibrating:
            fitted = check_fitted(self)
            if fitted.calibration is not None and not anew:
                return fitted
            if np.isnan(fitted.ratings.matrix.data[:1]).any():
                raise ValueError(
                    "intervals need held-out ratings, and this model was saved without its own; "
                    "call calibrate(ratings) with some that it was not trained on, or "
                    "calibrate() before save_model."
                )
            logger.info("%s: one more fit, to calibrate its intervals", type(self).__name__)
            given = self.get_params()
            last = {name: name.rpartition("__")[2] for name in given}  # of a Blend: member__name
            quiet = {name: UNSEEN[end] for name, end in last.items() if end in UNSEEN}
            copied = copy_unfitted(self).set_params(**quiet)
            seed = copy.deepcopy(given.get("random_state", 0))
            rest, held_out = train_test_split(fitted.ratings, HELD_OUT, seed)
            with interrupts_end_all(), short_on_purpose():
                copied.fit(rest)
            more = len(fitted.ratings) / len(rest)
            return self._keep(fitted, self._calibration_on(copied.fitted_, held_out, more))

    def _calibration_on(self, fitted: Record, held_out: Ratings, more: float = 1.0) -> Calibration:
        user_ids, item_ids, truth = held_out.triples()
        users, items = fitted.positions(user_ids, item_ids)
        if "raise" in (getattr(one, "cold", None) for one in (self, fitted)):
            warm = ~fitted.is_cold(users, items)
            users, items, truth = users[warm], items[warm], truth[warm]
        counts = more * fitted.counts["user"][users], more * fitted.counts["item"][items]
        scores = self._score_pairs(fitted, users, items)
        return calibrated_on(truth, scores, *counts, fitted.ratings.scale)

    def _keep(self, fitted: Record, calibration: Calibration) -> Record:
        calibrated = replace(fitted, calibration=calibration)
        if self.fitted_ is fitted:  # else it has been fitted meanwhile
            self.fitted_ = calibrated
        return calibrated

    @overload
    def score(self, users: Any) -> float: ...
    @overload
    def score(
        self, users: npt.ArrayLike, items: npt.ArrayLike, ratings: npt.ArrayLike
    ) -> float: ...
    def score(self, users: Any, items: Any = None, ratings: Any = None) -> float:
        """Return the negative RMSE of the predictions: greater is better.

        Parameters
        ----------
        users, items, ratings : array_like, (n,)
            Ids and their ratings, paired by place; or one argument that `as_ratings` takes.

        Raises
        ------
        IndexError, TypeError, ValueError
            As `predict`, and where items come without ratings.
        """
        if items is None and ratings is None:
            users, items, ratings = as_ratings(users).triples()
        if items is None or ratings is None:
            raise TypeError(
                "score needs items and ratings; call score(users, items, ratings) or score(test)."
            )
        return -rmse(ratings, self.predict(users, items))

    def cold_pairs(self, users: npt.ArrayLike, items: npt.ArrayLike) -> Array:
        """Return (bool, (n,)) whether user or item has no training rating."""
        fitted = check_fitted(self)
        return fitted.is_cold(*fitted.positions(users, items))

    def cold_users(self, users: npt.ArrayLike) -> Array:
        """As `cold_pairs`, of users."""
        fitted = check_fitted(self)
        return np.asarray(fitted.counts["user"][fitted.look_up("user", users, known=False)] == 0)

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
    @knows_habits
    @undisturbed()
    def recommend(
        self,
        users: Any,
        n: int = 10,
        exclude_seen: bool = True,
        *,
        candidates: npt.ArrayLike | None = None,
        exclude: npt.ArrayLike | None = None,
    ) -> Any:
        """Return the items with the highest scores for each user.

        Of a model of ratings these are the highest predicted ratings, not what the user is most
        likely to choose: `RankingAutoRec` lists that.

        Parameters
        ----------
        users : array_like, (m,)
            Ids (indices where the model was fitted on a sparse matrix); of a DataFrame, the column
            named user, else the first. `cold` says what is done for those without ratings.
        n : int
            Items for each user.
        exclude_seen : bool
            Leave out items that the user rated in training.
        candidates, exclude : array_like, optional
            Item ids: only these, or not these. Unknown ones may be excluded.

        Returns
        -------
        ids : ndarray of object, (m, n)
            Best first, equal scores in the order of the ids; None where no item is left.
        scores : ndarray of float64, (m, n)
            Unclipped, as the best would tie at the top of the scale; -inf for None.

        For a DataFrame, Series or Index instead one DataFrame with columns user (of its dtype),
        item, rank (from 1), score and cold, and no row for None: each distinct user once, in order
        of first appearance.

        Raises
        ------
        ValueError
            An unknown user or candidate.
        IndexError, TypeError
            As `predict`.
        """
        fitted = check_fitted(self)
        n = check_n(n, fitted.ratings.n_items)
        framed = frames.is_pandas(users)
        if frames.is_frame(users):
            (users,) = frames.id_columns(users, "user")
        positions = fitted.look_up("user", users)
        if framed:
            users, positions = frames.first_of_each(users, positions)
        left_out = fitted.left_out("item", candidates, exclude)
        known = fitted.ids("item")
        best = np.empty((len(positions), min(n, len(known))), np.int64)
        best_scores = np.empty(best.shape)
        for rows in chunks(len(positions), len(known)):
            block = self._score_all_items(fitted, positions[rows])
            block[:, left_out] = -np.inf
            seen = fitted.ratings.matrix[positions[rows]] if exclude_seen else None
            best[rows], best_scores[rows] = top_n(block, n, seen)
        if not framed:
            return padded(best, best_scores, known, n)
        cold = fitted.user_counts[positions] == 0, fitted.item_counts == 0
        return frames.recommendations(("user", "item"), users, known, best, best_scores, cold)


def check_no_class(model: Any) -> None:
    if isinstance(model, type):
        raise TypeError(f"a model is needed, got its class: pass {model.__name__}().")


def copy_unfitted(model: AnyModel) -> AnyModel:
    check_no_class(model)
    read_parameters = getattr(model, "get_params", None)
    if read_parameters is None:
        raise TypeError(
            f"the model must have get_params(deep=False), fit(R) and predict(users, items), got "
            f"{type(model).__name__}; pass several models as a mapping of names to models."
        )
    # A shared Generator would make results depend on the order.
    parameters = {
        name: copy.deepcopy(value) if isinstance(value, np.random.Generator) else value
        for name, value in read_parameters(deep=False).items()
    }
    return type(model)(**parameters)


def chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    length = max(1, SCORES_PER_CHUNK // n_columns)
    yield from (slice(start, start + length) for start in range(0, n_rows, length))


def check_n(n: int, n_known: int) -> int:
    places: int = check_integer("n", n, minimum=1)
    if places > max(n_known, MOST_PADDED):
        raise ValueError(f"n is {n:,}, but only {n_known:,} are known; pass a smaller n.")
    return places


def padded(best: Array, best_scores: Array, ids: Array, n: int) -> tuple[Array, Array]:
    missing = ((0, 0), (0, n - best.shape[1]))
    scores = np.pad(best_scores, missing, constant_values=-np.inf)
    found_ids = ids[np.pad(best, missing)].astype(object)
    found_ids[scores == -np.inf] = None
    return found_ids, scores
