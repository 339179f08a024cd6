"""An argument by the name that another library gives it: the error says the name here."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import re

import numpy as np
import pytest

import autorec_np
from autorec_np import AutoRec, BiasBaseline, make_ratings, train_test_split
from autorec_np._text import (
    ATTRIBUTES_ELSEWHERE,
    NAMES_ELSEWHERE,
    NETWORK_ATTRIBUTES_ELSEWHERE,
    knows_habits,
    name_here,
    parameter_hint,
)
from autorec_np.models.base import NotFittedError, copy_unfitted


class Model:
    """A model of some parameters."""

    @knows_habits
    def __init__(self, hidden_layer_sizes=(500,), max_iter=20, random_state=None):
        """Remember."""
        self.hidden_layer_sizes, self.max_iter = hidden_layer_sizes, max_iter

    @knows_habits
    def fit(self, ratings, validation=None):
        """Fit."""

    @knows_habits
    def recommend(self, users, n=10, *, candidates=None):
        """Recommend."""
        return users, n, candidates


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Model(n_factors=50),
            "Model() got an unexpected keyword argument 'n_factors'; here it is "
            "hidden_layer_sizes: pass hidden_layer_sizes=(50,).",
        ),
        (
            lambda: Model(max_itr=5),
            "Model() got an unexpected keyword argument 'max_itr'; did you mean 'max_iter'?",
        ),
        (
            lambda: Model(color="red"),
            "Model() got an unexpected keyword argument 'color'.",
        ),
        (
            lambda: Model().fit([], epochs=5),
            "fit() got an unexpected keyword argument 'epochs'; here it is max_iter: pass "
            "Model(max_iter=5).",
        ),
        (
            lambda: Model().fit([], max_iter=5),
            "fit() got an unexpected keyword argument 'max_iter'; here it is max_iter: pass "
            "Model(max_iter=5).",
        ),
        (
            lambda: Model().fit([], validation_data=None),
            "fit() got an unexpected keyword argument 'validation_data'; here it is validation: "
            "pass validation=None.",
        ),
        (
            lambda: Model().recommend([1], N=5),
            "recommend() got an unexpected keyword argument 'N'; here it is n: pass n=5.",
        ),
        (
            lambda: Model().recommend([1], items=list(range(99))),
            "recommend() got an unexpected keyword argument 'items'; here it is candidates: pass "
            "candidates=[0, 1, 2, 3, 4, 5, ...].",
        ),
    ],
)
def test_the_error_says_the_name_here(call, message):
    with pytest.raises(TypeError) as error:
        call()
    assert str(error.value) == message


def test_what_is_right_goes_through():
    model = Model((3,), max_iter=2)
    assert (model.hidden_layer_sizes, model.max_iter) == ((3,), 2)
    assert model.recommend([1], 3, candidates=[2]) == ([1], 3, [2])
    assert list(inspect.signature(Model).parameters) == [
        "hidden_layer_sizes",
        "max_iter",
        "random_state",
    ]
    assert Model.recommend.__doc__ == "Recommend."


def test_a_name_means_what_the_function_has():
    assert name_here("k", ["n", "users"]) == "n"
    assert name_here("k", ["hidden_layer_sizes"]) == "hidden_layer_sizes"
    assert name_here("k", ["model", "cv"]) == "cv"
    assert name_here("k", ["model"]) is None
    assert "_sizes=(8, 4)." in parameter_hint("k", (8, 4), ["hidden_layer_sizes"])
    assert parameter_hint("k", 3, ["model"]) == "."


def test_no_name_here_is_a_name_of_the_same_parameter_elsewhere():
    assert all(here not in elsewhere for here, elsewhere in NAMES_ELSEWHERE.items())


# On the library itself: every piece of advice is followed.


@pytest.fixture(scope="module")
def parts():
    R = make_ratings(n_users=40, n_items=30, n_ratings=500, random_state=0)
    return train_test_split(R, 0.1, random_state=0)


@pytest.fixture(scope="module")
def train(parts):
    return parts[0]


@pytest.fixture(scope="module")
def model(train):
    return AutoRec(hidden_layer_sizes=(4,), max_iter=1, n_jobs=1, random_state=0).fit(train)


USUAL = {
    "AutoRec(n_factors=50)": "AutoRec(hidden_layer_sizes=(50,))",
    "AutoRec(k=50)": "AutoRec(hidden_layer_sizes=(50,))",
    "AutoRec(n_epochs=3)": "AutoRec(max_iter=3)",
    "AutoRec(epochs=3)": "AutoRec(max_iter=3)",
    "AutoRec(lr=0.01)": "AutoRec(learning_rate_init=0.01)",
    "AutoRec(reg=0.5)": "AutoRec(regularization=0.5)",
    "AutoRec(seed=3)": "AutoRec(random_state=3)",
    "model.fit(train, epochs=1)": "AutoRec(max_iter=1).fit(train)",
    "model.recommend([1], N=3)": "model.recommend([1], n=3)",
    "model.recommend([1], k=3)": "model.recommend([1], n=3)",
    "model.recommend([1], filter_already_liked_items=True)": (
        "model.recommend([1], exclude_seen=True)"
    ),
    "model.recommend([1], items=[3, 4])": "model.recommend([1], candidates=[3, 4])",
    "model.recommend([1], filter_items=[3])": "model.recommend([1], exclude=[3])",
    "model.recommend_new({1: 4.0}, N=3)": "model.recommend_new({1: 4.0}, n=3)",
    "model.predict_new({1: 4.0}, item_ids=[3])": "model.predict_new({1: 4.0}, items=[3])",
    "similar_items(model, [1], N=3)": "similar_items(model, [1], n=3)",
    "similar_users(model, [1], k=3)": "similar_users(model, [1], n=3)",
    "evaluate_ranking(model, train, N=3)": "evaluate_ranking(model, train, k=3)",
    "cross_validate(model, train, n_folds=2)": "cross_validate(model, train, cv=2)",
    "evaluate_repeats(model, train, seed=1)": "evaluate_repeats(model, train, random_state=1)",
    "train_test_split(train, seed=1)": "train_test_split(train, random_state=1)",
    "read_ratings(file, delimiter=';')": "read_ratings(file, sep=';')",
    "read_ratings(file, usecols=[0, 1, 2])": "read_ratings(file, columns=[0, 1, 2])",
    "read_ratings(file, skiprows=0)": "read_ratings(file, skip_lines=0)",
    "read_ratings(file, na_values=9)": "read_ratings(file, missing=9)",
    "read_ratings(file, rating_scale=(1, 5))": "read_ratings(file, scale=(1, 5))",
    "search(model, train, param_grid={'tied': [True]}, n_candidates=1)": (
        "search(model, train, space={'tied': [True]}, n_candidates=1)"
    ),
}


@pytest.mark.parametrize("there", USUAL)
def test_the_usual_names_lead_to_those_here(there, model, train):
    here = USUAL[there]
    file = io.StringIO("user;item;rating\n1;2;3\n2;3;4\n3;2;5\n")
    names = {"file": file, "model": model, "train": train}
    names.update({name: getattr(autorec_np, name) for name in autorec_np.__all__})
    with pytest.raises(TypeError, match="got an unexpected keyword argument") as error:
        eval(there, names)
    (advice,) = re.findall(r"; here it is \w+: pass (.+)\.$", str(error.value))
    assert advice in here
    if "evaluate_ranking" not in here:  # whose ratings must be new to the model
        eval(here, {**names, "model": copy_unfitted(model) if "cv" in here else model})


def test_set_params_knows_the_habits_too(model):
    with pytest.raises(ValueError, match=r"'n_epochs'; here it is max_iter: pass max_iter=3; it"):
        AutoRec().set_params(n_epochs=3)
    with pytest.raises(ValueError, match=r"'max_itr'; did you mean 'max_iter'\?; it has orient"):
        AutoRec().set_params(max_itr=3)


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        *(("AutoRec", name) for name in NETWORK_ATTRIBUTES_ELSEWHERE),
        *(("BiasBaseline", name) for name in ATTRIBUTES_ELSEWHERE),
    ],
)
def test_an_attribute_of_others_leads_to_what_does_the_same_here(
    class_name, name, model, parts, tmp_path
):
    train, test = parts
    asked = model if class_name == "AutoRec" else BiasBaseline().fit(train)
    with pytest.raises(AttributeError) as error:
        getattr(asked, name)
    start, advice = str(error.value).split("; here it is ")
    assert start == f"'{class_name}' object has no attribute '{name}'"
    path = tmp_path / "model.npz"
    autorec_np.save_model(asked, path)
    users, items, _ = train.triples()
    names = {"autorec_np": autorec_np, "AutoRec": AutoRec, "model": asked, "ratings": train}
    names |= {"test": test, "path": path, "users": users[:3], "items": items[:3]}
    names |= {"user": users[0], "item": items[0]}
    for one in advice.split(" or "):
        eval(one, names)


def test_other_attributes_are_as_python_has_them(model):
    with pytest.raises(AttributeError, match=r"^'AutoRec' object has no attribute 'colour'$"):
        _ = model.colour
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        _ = AutoRec().theta_
    assert not hasattr(AutoRec(), "theta_")
    assert not hasattr(model, "save")
    again = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert again.theta_.tobytes() == model.theta_.tobytes()


def test_a_tool_of_scikit_learn_is_told_what_to_wrap(train):
    selection = pytest.importorskip("sklearn.model_selection", reason="needs scikit-learn")
    users, items, ratings = train.triples()
    X, grid = np.column_stack((users, items)), {"max_iter": [1, 2]}
    with pytest.raises(TypeError, match=r"pass RatingRegressor\(AutoRec\(\)\) and, as X, two"):
        selection.GridSearchCV(AutoRec(), grid).fit(X, ratings)
    with pytest.raises(TypeError, match=r"pass RatingRegressor\(BiasBaseline\(\)\)"):
        selection.cross_val_score(BiasBaseline(), X, ratings)
    small = AutoRec(hidden_layer_sizes=(4,), n_jobs=1, random_state=0)
    wrapped = autorec_np.RatingRegressor(small, rating_scale=train.scale)
    search = selection.GridSearchCV(wrapped, {"model__max_iter": [1, 2]}, cv=2)
    assert search.fit(X, ratings).best_params_
