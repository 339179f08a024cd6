"""Ratings and models in one line each."""

from __future__ import annotations

from autorec_np.data.ratings import Ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.reports.html import describe_model, describe_ratings


def test_a_model_in_one_line():
    model = AutoRec("user", (8, 4), tied=True)
    assert describe_model(model) == (
        "U-AutoRec, tied, 8 x 4 hidden units, sigmoid and identity, solver adam"
    )
    assert describe_model(AutoRec()).startswith("I-AutoRec, 500 hidden units, sigmoid and id")
    told = AutoRec(implicit=100, inputs="planes")
    assert describe_model(told).endswith("sigmoid and identity, implicit 100, planes, solver adam")


def test_ratings_in_one_line():
    ratings = Ratings.from_triples(["a", "a", "b"], ["x", "y", "x"], [1, 2, 3], scale=(0.5, 5))
    assert describe_ratings(ratings) == "3 ratings, 2 users x 2 items, scale 0.5 to 5"
