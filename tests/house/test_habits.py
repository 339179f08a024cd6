"""An argument by the name that another library gives it: the error says the name here."""

from __future__ import annotations

import inspect

import pytest

from autorec_np._habits import NAMES_ELSEWHERE, hint, knows_habits, name_here


class Model:
    """A model of some parameters."""

    @knows_habits
    def __init__(self, hidden_layer_sizes=(500,), max_iter=20, random_state=None):
        """Remember."""
        self.hidden_layer_sizes, self.max_iter = hidden_layer_sizes, max_iter

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
    assert name_here("k", {"n": 0, "users": 0}) == "n"
    assert name_here("k", {"hidden_layer_sizes": 0}) == "hidden_layer_sizes"
    assert name_here("k", {"model": 0, "cv": 0}) == "cv"
    assert name_here("k", {"model": 0}) is None
    assert hint("k", (8, 4), {"hidden_layer_sizes": 0}).endswith("hidden_layer_sizes=(8, 4).")
    assert hint("k", 3, {"model": 0}) == "."


def test_no_name_here_is_a_name_of_the_same_parameter_elsewhere():
    assert all(here not in elsewhere for here, elsewhere in NAMES_ELSEWHERE.items())
