"""`RatingRegressor`: a model for scikit-learn, which is not imported."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from scipy import sparse

from autorec_np._types import Array
from autorec_np.data.ratings import Ratings
from autorec_np.models import frames
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError, Recommender, Self, copy_unfitted
from autorec_np.models.interactions import ListRecommender

LARGEST_EXACT = 2.0**53  # from here, float64 skips integers


class RatingRegressor:
    """A regressor from ids to ratings, for scikit-learn's tools.

    ``GridSearchCV(RatingRegressor(AutoRec()), {"model__regularization": [100.0, 400.0]}, cv=5,
    scoring="neg_root_mean_squared_error")`` searches as usual. X has two columns, user and item
    ids: a DataFrame, or an array of integers, strings or whole floats. `y` is (n,).

    Parameters
    ----------
    model : AutoRec, BiasBaseline or GlobalMean, optional
        `fit` fits a copy. None: ``AutoRec()``.
    rating_scale : (low, high), optional
        None: the model's own, else the range of `y`.
    duplicates : {"raise", "first", "last", "mean"}
        Of repeated pairs; see `Ratings.from_triples`.

    Attributes
    ----------
    model_ : as `model`
        The fitted copy.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, (2,)
        Of a DataFrame with strings as column names.
    """

    model_: Any
    n_features_in_: int
    feature_names_in_: Array

    def __init__(
        self,
        model: Recommender | None = None,
        rating_scale: tuple[float, float] | None = None,
        duplicates: str = "raise",
    ) -> None:
        self.model = model
        self.rating_scale = rating_scale
        self.duplicates = duplicates

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; `deep`: the model's too."""
        params = {name: getattr(self, name) for name in ("model", "rating_scale", "duplicates")}
        if deep and self.model is not None and not isinstance(self.model, type):
            nested = self.model.get_params()
            params.update({f"model__{name}": value for name, value in nested.items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; ValueError for an unknown name."""
        nested = {}
        for name, value in params.items():
            if name.startswith("model__"):
                nested[name.removeprefix("model__")] = value
            elif name in self.get_params(deep=False):
                setattr(self, name, value)
            else:
                raise ValueError(
                    f"RatingRegressor has no parameter {name!r}; it has "
                    f"{', '.join(self.get_params())}."
                )
        if nested:
            if self.model is None:
                raise ValueError(
                    f"model is None, so model__{next(iter(nested))} cannot be set; pass a model."
                )
            self.model.set_params(**nested)
        return self

    def __repr__(self) -> str:
        return f"RatingRegressor({self.model!r})"

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit a copy of the model.

        Parameters
        ----------
        X : array_like or DataFrame, (n, 2)
            User and item ids.
        y : array_like, (n,)
            Ratings.

        Raises
        ------
        ValueError, TypeError
            A model of lists; X without two columns, or sparse; wrong ids, ratings or parameters.
        """
        if isinstance(self.model, ListRecommender):
            raise TypeError(
                f"RatingRegressor predicts ratings, and {type(self.model).__name__} ranks items; "
                f"pass it alone, X of two columns without y, and a scoring=... by "
                f"autorec_np.evaluate_ranking."
            )
        users, items = _columns(X)
        if y is None:
            raise ValueError(
                "RatingRegressor requires y to be passed, but the target y is None: the ratings."
            )
        ratings = Ratings.from_triples(
            users, items, y, scale=self.rating_scale, duplicates=self.duplicates
        )
        self.model_ = copy_unfitted(AutoRec() if self.model is None else self.model).fit(ratings)
        self.n_features_in_ = 2
        vars(self).pop("feature_names_in_", None)
        names = _feature_names(X)
        if names is not None:
            self.feature_names_in_ = names
        return self

    def predict(self, X: Any) -> Array:
        """Predict ratings, (n,) float64; errors as `fit`, and NotFittedError."""
        if not self.__sklearn_is_fitted__():
            # scikit-learn's class where in use
            theirs = sys.modules.get("sklearn.exceptions")
            raise (theirs or sys.modules[NotFittedError.__module__]).NotFittedError(
                "this RatingRegressor is not fitted yet; call fit(X, y) first."
            )
        users, items = _columns(X)
        self._check_feature_names(_feature_names(X))
        return np.asarray(self.model_.predict(users, items))

    def score(self, X: Any, y: Any) -> float:
        """Return R^2; of a constant `y`, 1.0 for exact predictions, else 0.0."""
        truth = np.asarray(y, dtype=np.float64)
        error, variance = np.mean((truth - self.predict(X)) ** 2), truth.var()
        return float(1 - error / variance) if variance else float(error == 0)

    def _check_feature_names(self, names: Array | None) -> None:
        fitted: Array | None = getattr(self, "feature_names_in_", None)
        if (names is None) != (fitted is None):
            has, fit = ("does not have valid", "with") if names is None else ("has", "without")
            warnings.warn(
                f"X {has} feature names, but RatingRegressor was fitted {fit} feature names",
                UserWarning,
                stacklevel=3,
            )
        elif not (names is None or fitted is None or np.array_equal(names, fitted)):
            raise ValueError(
                f"The feature names should match those that were passed during fit: {fitted}, got "
                f"{names}. Feature names must be in the same order as they were in fit."
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        import sklearn.utils as tags  # type: ignore[import-untyped]

        return tags.Tags(
            estimator_type="regressor",
            target_tags=tags.TargetTags(required=True),
            regressor_tags=tags.RegressorTags(poor_score=True),
            input_tags=tags.InputTags(categorical=True, string=True),
        )


def _columns(X: Any) -> tuple[Any, Any]:
    if sparse.issparse(X):
        raise TypeError(
            "Sparse data is not supported: X must have two columns, user and item ids; for a "
            "sparse matrix of users x items call model.fit(matrix)."
        )
    is_frame = any(hasattr(X, name) for name in ("iloc", "__dataframe__", "__arrow_c_stream__"))
    table: Any = X if is_frame else np.asarray(X)
    if np.iscomplexobj(table):
        raise ValueError("Complex data not supported: X must hold user and item ids.")
    if len(table.shape) != 2:
        raise ValueError(
            f"Expected 2D array, got shape {table.shape}. Reshape your data to two columns, user "
            f"and item ids."
        )
    if table.shape[1] != 2:
        raise ValueError(
            f"X has {table.shape[1]} feature(s) (shape={table.shape}) while a minimum of 2 is "
            f"required, and no more: user and item ids."
        )
    if is_frame:
        users, items = frames.id_columns(table, "user", "item")
    else:
        users, items = table.T
    return _whole(users), _whole(items)


def _whole(ids: Any) -> Any:
    array = np.asarray(ids)
    if array.dtype.kind != "f":
        return ids
    if not (np.abs(array) < LARGEST_EXACT).all():
        raise ValueError("X contains NaN, infinity or a value too large to be an id; drop the row.")
    if (array % 1).any():
        raise ValueError(
            f"X must hold ids, integers or strings, got {array[array % 1 != 0][0]}; measurements "
            f"cannot be read as users and items."
        )
    return array.astype(np.int64)


def _feature_names(X: Any) -> Array | None:
    names = list(getattr(X, "columns", ()))
    if not names or not all(isinstance(name, str) for name in names):
        return None
    return np.array(names, dtype=object)
