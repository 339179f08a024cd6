"""`RatingRegressor` under scikit-learn's own tools, and against our own loops."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
from sklearn.utils.estimator_checks import estimator_checks_generator

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import k_fold
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.cross_validation import cross_validate, evaluate
from autorec_np.evaluation.held_out import evaluate_ranking
from autorec_np.models import base
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.ranking_autorec import RankingAutoRec
from autorec_np.serving.scikit import RatingRegressor

MODELS = {
    "AutoRec": AutoRec(hidden_layer_sizes=(5,), max_iter=3, n_jobs=1, random_state=0),
    "U-AutoRec": AutoRec("user", (5,), solver="rprop", max_iter=3, tol=1.0, n_iter_no_change=1),
    "BiasBaseline": BiasBaseline(),
    "GlobalMean": GlobalMean(),
}
RMSE = "neg_root_mean_squared_error"


def triples(**settings):
    """X, y and the same as Ratings whose timestamps are the rows of X."""
    made = make_ratings(n_users=40, n_items=25, random_state=0, **settings)
    users, items, y = made.triples()
    R = Ratings.from_triples(users, items, y, np.arange(len(y)), scale=(1, 5))
    return np.column_stack((users, items)), y, R


X, Y, R = DENSE = triples(n_ratings=600, activity=0.1)
SPARSE = triples(n_ratings=120)  # every fold has cold pairs


@pytest.fixture
def regressor():
    return RatingRegressor(clone(MODELS["AutoRec"]), rating_scale=(1, 5))


# Every check of scikit-learn's check_estimator

WIDE = "passes X of other than two columns, which cannot be user and item ids"
EXPECTED_FAILURES = dict.fromkeys(
    [
        "check_dict_unchanged",
        "check_dont_overwrite_parameters",
        "check_dtype_object",
        "check_estimators_dtypes",
        "check_estimators_nan_inf",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_fit2d_1sample",
        "check_fit2d_predict1d",
        "check_fit_score_takes_y",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_n_features_in_after_fitting",
        "check_pipeline_consistency",
        "check_positive_only_tag_during_fit",
        "check_regressor_data_not_an_array",
        "check_regressors_int",
        "check_regressors_no_decision_function",
        "check_regressors_train",
        "check_supervised_y_2d",
    ],
    WIDE,
)
EXPECTED_FAILURES_OF_THE_FIRST_TWO = {
    "check_n_features_in_after_fitting": "FirstTwoColumns drops columns; RatingRegressor would not",
    "check_supervised_y_2d": "y of shape (n, 1) is an error, which says so, and not a warning",
}


class FirstTwoColumns(RatingRegressor):
    """Lets the checks that pass wider X reach the code, by dropping their further columns."""

    def fit(self, X, y=None):
        return super().fit(first_two_columns(X), y)

    def predict(self, X):
        return super().predict(first_two_columns(X))


def first_two_columns(X):
    if hasattr(X, "tocsr"):
        return X
    X = X if hasattr(X, "iloc") else np.asarray(X)
    if X.ndim != 2:
        return X
    return X.iloc[:, :2] if hasattr(X, "iloc") else X[:, :2]


# It subtracts a fraction from the integers that ids of a category are.
BROKEN_BEFORE_1_8 = "check_positive_only_tag_during_fit"
IS_OLD = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8)


def checks(kind, expected):
    """The checks of a regressor by AutoRec and of one by biases; resampled rows are their mean."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimator .* does not inherit from")  # on purpose
        for name in ("AutoRec", "BiasBaseline"):
            for estimator, check in estimator_checks_generator(
                kind(MODELS[name], duplicates="mean")
            ):
                known = check.func.__name__
                details = "".join(f"-{value}" for value in check.keywords.values())
                marks = []
                if IS_OLD and known == BROKEN_BEFORE_1_8:
                    marks = [pytest.mark.skip(reason="this check of scikit-learn < 1.8 is broken")]
                elif known in expected:
                    marks = [
                        pytest.mark.xfail(
                            reason=expected[known], raises=(ValueError, AssertionError)
                        )
                    ]
                yield pytest.param(estimator, check, marks=marks, id=f"{name}-{known}{details}")


@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit from")
@pytest.mark.parametrize(("estimator", "check"), [*checks(RatingRegressor, EXPECTED_FAILURES)])
def test_check_estimator(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit from")
@pytest.mark.parametrize(
    ("estimator", "check"), [*checks(FirstTwoColumns, EXPECTED_FAILURES_OF_THE_FIRST_TWO)]
)
def test_check_estimator_on_the_first_two_columns(estimator, check):
    check(estimator)


# Searches, scores and pipelines give what our own loops give


def splits_of(cv, X=X, Y=Y):
    """scikit-learn's folds of rows as pairs of triples for our own loop."""
    for train, test in cv.split(X):
        yield tuple((*X[rows].T, Y[rows]) for rows in (train, test))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("X", "Y"), [DENSE[:2], SPARSE[:2]], ids=["dense", "with cold pairs"])
def test_cross_val_score_is_our_own_cross_validation(name, X, Y):
    model = clone(MODELS[name]).set_params(**({"random_state": 0} if "Auto" in name else {}))
    cv = KFold(5, shuffle=True, random_state=0)
    regressor = RatingRegressor(model)
    scores = cross_val_score(regressor, X, Y, cv=cv, scoring=RMSE, error_score="raise")
    ours = cross_validate(model, cv=splits_of(cv, X, Y))
    np.testing.assert_allclose(-scores, [one.rmse for one in ours.evaluations], rtol=1e-12)
    assert np.ptp(scores) > 0
    assert all(one.n_cold for one in ours.evaluations) == (X is not DENSE[0])


def test_our_own_folds_are_a_cv_of_scikit_learn(regressor):
    """Folds of `splitting`, which keep all ids and the scale, against index arrays."""
    folds = list(k_fold(R, 4, random_state=1))
    for train, _ in folds:  # no row or column without ratings: the same matrix in both
        assert [len(np.unique(part)) for part in train.positions()[:2]] == [R.n_users, R.n_items]
    cv = [[part.timestamps[part.order] for part in fold] for fold in folds]
    scores = cross_val_score(regressor, X, Y, cv=cv, scoring=RMSE, error_score="raise")
    ours = [evaluate(regressor.model, *fold).rmse for fold in folds]
    np.testing.assert_allclose(-scores, ours, rtol=1e-12)


def test_grid_search_is_our_own_loop(regressor):
    penalties = [1.0, 30.0, 1000.0]
    search = GridSearchCV(
        regressor,
        {"model__regularization": penalties},
        cv=5,
        scoring=RMSE,
        error_score="raise",
        n_jobs=1,
    ).fit(X, Y)
    ours = [
        cross_validate(
            clone(regressor.model).set_params(regularization=penalty), cv=splits_of(KFold(5))
        ).rmse.mean
        for penalty in penalties
    ]
    np.testing.assert_allclose(-search.cv_results_["mean_test_score"], ours, rtol=1e-12)
    best = penalties[int(np.argmin(ours))]
    assert search.best_params_ == {"model__regularization": best}
    whole = clone(regressor.model).set_params(regularization=best).fit(R)
    np.testing.assert_array_equal(search.predict(X), whole.predict(*X.T))
    assert regressor.model.regularization == "auto"
    assert "RatingRegressor" in search._repr_html_()  # what a notebook shows


def test_randomized_search_and_mappings_of_penalties(regressor):
    space = {
        "model__regularization": [{"encoder.weight": 9.0, "decoder.weight": 3.0}, 5.0],
        "model__hidden_layer_sizes": [(3,), (4, 2)],
        "model": [clone(regressor.model), clone(regressor.model).set_params(tied=False)],
    }
    search = RandomizedSearchCV(
        regressor, space, n_iter=3, cv=2, random_state=0, error_score="raise", n_jobs=1
    ).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_pipeline_encodes_ids_and_passes_parameters_on(regressor):
    words = pd.DataFrame(X, columns=["user", "item"]).astype(str)
    pipeline = make_pipeline(OrdinalEncoder(), regressor)  # makes floats
    scores = cross_val_score(pipeline, words, Y, cv=KFold(2), scoring=RMSE)
    codes = OrdinalEncoder().fit_transform(words)
    assert codes.dtype == np.float64
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(), regressor),
        {"ratingregressor__model__tied": [False]},
        cv=KFold(2),
        scoring=RMSE,
        error_score="raise",
    ).fit(codes, Y)
    np.testing.assert_allclose(search.best_score_, scores.mean(), rtol=1e-12)


def test_predictions_are_out_of_fold(regressor):
    cv = KFold(3)
    predicted = cross_val_predict(regressor, X, Y, cv=cv)
    for train, test in cv.split(X):
        model = clone(regressor.model).fit((*X[train].T, Y[train]))
        np.testing.assert_array_equal(predicted[test], model.predict(*X[test].T))


# The estimator


@pytest.mark.parametrize("name", MODELS)
def test_models_themselves_can_be_cloned_and_set(name):
    model = MODELS[name]
    copied = clone(model)
    assert copied is not model
    assert copied.get_params() == model.get_params()
    assert copied.set_params() is copied


def test_parameters_reach_into_the_model(regressor):
    assert is_regressor(regressor)
    copied = clone(regressor)
    assert copied.model is not regressor.model
    assert set(copied.get_params(deep=False)) == {"model", "rating_scale", "duplicates"}
    assert copied.set_params(model__dropout=0.25, duplicates="last") is copied
    assert copied.get_params()["model__dropout"] == copied.model.dropout == 0.25
    assert regressor.model.dropout == 0.0
    copied.set_params(model__regularization=2.0, model=BiasBaseline())  # in either order
    assert copied.model.regularization == 2.0
    with pytest.raises(ValueError, match="no parameter 'modle'; it has model, rating_scale, dup"):
        copied.set_params(modle=1)
    with pytest.raises(ValueError, match="BiasBaseline has no parameter 'dropout'"):
        copied.set_params(model__dropout=0.5)
    with pytest.raises(ValueError, match="model is None, so model__dropout cannot be set"):
        RatingRegressor().set_params(model__dropout=0.5)
    assert "hidden_layer_sizes=(5,)" in repr(regressor)


def test_the_default_model_is_autorec():
    assert isinstance(RatingRegressor().fit(X[:20], Y[:20]).model_, AutoRec)


def test_fit_leaves_the_model_and_starts_anew_each_time():
    model = AutoRec(
        hidden_layer_sizes=(2,), max_iter=1, n_jobs=1, random_state=np.random.default_rng(7)
    )
    regressor = RatingRegressor(model)
    first, second = (regressor.fit(X, Y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not hasattr(model, "ratings_")
    assert regressor.model_.recommend([X[0, 0]], 3)[0].shape == (1, 3)
    revived = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_array_equal(revived.predict(X), second)


def test_the_scale_is_stated_or_the_range(regressor):
    low = Y < 4
    assert regressor.fit(X[low], Y[low]).model_.rating_scale_ == (1, 5)
    regressor.set_params(rating_scale=None).fit(X[low], Y[low])
    assert regressor.model_.rating_scale_ == (Y[low].min(), Y[low].max())


@pytest.mark.parametrize(
    "make",
    [
        lambda X: X.tolist(),
        lambda X: X.astype(np.float32),
        lambda X: X.astype(object),
        lambda X: pd.DataFrame(X),
        lambda X: pd.DataFrame(X, columns=["user", "item"]).astype("category"),
        lambda X: pd.DataFrame(X, columns=["u", "i"]).astype("Int64"),
        lambda X: np.asfortranarray(X),
    ],
    ids=["lists", "float32", "objects", "frame", "categories", "nullable", "Fortran"],
)
def test_ids_of_many_kinds(make, regressor):
    expected = regressor.fit(X, Y).predict(X)
    np.testing.assert_array_equal(clone(regressor).fit(make(X), Y).predict(make(X)), expected)


def test_strings_and_a_frame_of_both_kinds(regressor):
    mixed = pd.DataFrame({"user": X[:, 0], "item": [f"i{item}" for item in X[:, 1]]})
    assert regressor.fit(mixed, Y).model_.ratings_.item_ids.dtype == object
    regressor.fit(X.astype(str), Y)
    assert np.isfinite(regressor.predict([["0", "no such item"]])).all()


def test_column_names_are_remembered_and_compared(regressor):
    frame = pd.DataFrame(X, columns=["user", "item"])
    regressor.fit(frame, Y)
    assert regressor.feature_names_in_.tolist() == ["user", "item"]
    with pytest.raises(ValueError, match="names should match those that were passed during fit"):
        regressor.predict(frame[["item", "user"]])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        regressor.predict(X)
    regressor.fit(X, Y)
    assert not hasattr(regressor, "feature_names_in_")
    with pytest.warns(UserWarning, match="fitted without feature names"):
        regressor.predict(frame)


@pytest.mark.parametrize("y", [Y, np.full(len(Y), 3.0)], ids=["ratings", "constant"])
def test_the_score_is_r2(y):
    regressor = RatingRegressor(BiasBaseline()).fit(X, Y)
    assert regressor.score(X, y) == pytest.approx(r2_score(y, regressor.predict(X)))


def test_the_score_of_a_perfect_prediction_of_a_constant():
    constant = np.full(len(Y), 3.0)
    assert RatingRegressor(GlobalMean()).fit(X, constant).score(X, constant) == 1.0


# Refusals teach


@pytest.mark.parametrize(
    ("X", "y", "kind", "message"),
    [
        (X[:, [0, 1, 1]], Y, ValueError, r"X has 3 feature\(s\) .* and no more: user and item ids"),
        (X[:, 0], Y, ValueError, "Expected 2D array, got shape .*two columns"),
        (X + 0.5, Y, ValueError, "must hold ids, integers or strings, got [0-9]+.5"),
        (X * np.nan, Y, ValueError, "NaN, infinity or a value too large to be an id"),
        (X + 2.0**53, Y, ValueError, "NaN, infinity or a value too large to be an id"),
        (X * 1j, Y, ValueError, "Complex data not supported"),
        (R.matrix, Y, TypeError, r"Sparse data is not supported.*call model.fit\(matrix\)"),
        (X, None, ValueError, "requires y to be passed, but the target y is None"),
        (X, Y[:-1], ValueError, "must have the same length"),
        (X[[0, 0]], Y[:2], ValueError, "duplicates='last'"),
        (X, Y[:, None], ValueError, "must be one-dimensional"),
        (X, Y * np.nan, ValueError, "is not finite"),
    ],
)
def test_wrong_data_is_refused(X, y, kind, message):
    with pytest.raises(kind, match=message):
        RatingRegressor(BiasBaseline()).fit(X, y)


def ndcg(model, X, y=None):
    return evaluate_ranking(model, X).ndcg


def test_a_model_of_lists_is_searched_by_its_lists_of_pairs():
    users, items, ratings = make_ratings(40, 25, 600, random_state=0).triples()
    X, folds = np.column_stack((users, items)), KFold(3, shuffle=True, random_state=0)
    model = RankingAutoRec(hidden_layer_sizes=(4,), max_iter=2, random_state=0)
    grid = {"regularization": [1.0, 30.0]}
    search = GridSearchCV(model, grid, cv=folds, scoring=ndcg).fit(X)
    means = [
        np.mean([ndcg(clone(model).set_params(regularization=x).fit(X[a]), X[b]) for a, b in split])
        for x, split in ((x, [*folds.split(X)]) for x in grid["regularization"])
    ]
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], means)
    assert search.best_params_ == {"regularization": grid["regularization"][np.argmax(means)]}
    with pytest.raises(TypeError, match=r"pass it alone, X of two columns .*evaluate_ranking"):
        RatingRegressor(model).fit(X, ratings)


def test_not_fitted_is_scikit_learns_error_where_it_is_loaded(regressor, monkeypatch):
    with pytest.raises(NotFittedError, match=r"call fit\(X, y\) first"):
        regressor.predict(X)
    monkeypatch.delitem(sys.modules, "sklearn.exceptions")
    with pytest.raises(base.NotFittedError):
        regressor.predict(X)


def test_scikit_learn_is_not_needed():
    program = """
import sys
from autorec_np.serving.scikit import RatingRegressor
from autorec_np.models.biases import BiasBaseline
regressor = RatingRegressor(BiasBaseline()).fit([[1, 1], [1, 2], [2, 1]], [1, 2, 3])
assert regressor.set_params(model__regularization=0.0).score([[1, 1]], [1]) <= 1
assert not any(name.split(".")[0] in ("sklearn", "pandas") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_columns_of_a_frame_are_known_by_name():
    frame = pd.DataFrame(
        {"item": [501, 502, 503, 501, 502], "user": [1, 1, 1, 2, 2], "rating": [5, 3, 4, 4, 2]}
    )
    whole = BiasBaseline().fit(frame)
    for order in (["item", "user"], ["user", "item"]):
        fitted = RatingRegressor(BiasBaseline()).fit(frame[order], frame["rating"])
        assert fitted.model_.ratings_.user_ids.tolist() == [1, 2]
        np.testing.assert_array_equal(fitted.predict(frame[order]), whole.predict(frame))
    swapped = frame[["item", "rating"]]
    with pytest.raises(ValueError, match="must have columns named user and item"):
        RatingRegressor(BiasBaseline()).fit(swapped, frame["rating"])
    unknown = frame[["user", "item"]].set_axis(["who", "what"], axis=1)
    fitted = RatingRegressor(BiasBaseline()).fit(unknown, frame["rating"])
    assert fitted.model_.ratings_.user_ids.tolist() == [1, 2]
