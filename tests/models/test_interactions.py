"""Who chose what: how it is read, what of it counts, and what lists are asked for."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.baselines.lists import Popularity
from autorec_np.data.ratings import Ratings
from autorec_np.models.biases import GlobalMean
from autorec_np.models.blend import Blend
from autorec_np.models.interactions import positives, to_interactions

USERS, ITEMS = ["b", "a", "b", "c", "b"], [7, 7, 3, 9, 7]  # b chose 7 twice
FRAME = pd.DataFrame({"user": USERS, "item": ITEMS})
TIMES = [50, 40, 30, 20, 10]


def table(ratings):
    return {(u, i): r for u, i, r in zip(*(x.tolist() for x in ratings.triples()), strict=True)}


PAIRS = {
    "tuple": (USERS, ITEMS),
    "arrays": (np.array(USERS), np.array(ITEMS)),
    "list": list(zip(USERS, ITEMS, strict=True)),
    "iterator": None,
    "frame": FRAME,
    "turned": FRAME[["item", "user"]],
    "renamed": FRAME.set_axis(["customer_id", "movieId"], axis=1),
    "unnamed": FRAME.set_axis(["x", "y"], axis=1),
    "dict": {"item": ITEMS, "user": USERS},
    "array": np.array([USERS, ITEMS], dtype=object).T,
    "dicts": [{"user": u, "item": i} for u, i in zip(USERS, ITEMS, strict=True)],
    "times": FRAME.assign(timestamp=TIMES),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_pairs_of_every_kind_are_interactions(kind):
    data = iter(PAIRS["list"]) if kind == "iterator" else PAIRS[kind]
    R, by_index = to_interactions(data)
    assert not by_index
    assert table(R) == {("b", 7): 2.0, ("a", 7): 1.0, ("b", 3): 1.0, ("c", 9): 1.0}
    assert R.scale == (1.0, 2.0)
    assert R.triples()[0].tolist() == ["b", "a", "b", "c"]  # in the order of the first rows


def test_the_time_of_a_pair_is_that_of_its_last_row():
    R, _ = to_interactions(PAIRS["times"])
    assert R.timestamps[R.order].tolist() == [10, 40, 30, 20]
    assert str(R.columns) == "user = 'user', item = 'item', timestamp = 'timestamp'"


def test_ratings_are_read_as_ever():
    R = Ratings.from_triples([1, 2], [3, 4], [5.0, 1.0])
    assert to_interactions(R) == (R, False)
    assert table(to_interactions(R.to_frame())[0]) == {(1, 3): 5.0, (2, 4): 1.0}
    assert table(to_interactions([(1, 3, 5.0), (2, 4, 1.0)])[0]) == {(1, 3): 5.0, (2, 4): 1.0}
    assert to_interactions(R.matrix)[1]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (([], []), ValueError, "there are no ratings"),
        (([1, 2], [3]), ValueError, "same length.*users 2, items 1"),
        (([1.5], [3]), TypeError, "users must be integers or strings, got an array|got 1.5"),
        (pd.DataFrame({"user": [1], "rating": [3]}), ValueError, "no column for the item"),
        (pd.DataFrame({"user": [1], "when": [3]}), ValueError, "Rename them"),
        ({"ann": ["x", "y"], "bob": ["x", "z"]}, ValueError, "no column for the user and"),
        (np.eye(2), TypeError, "dense array"),
        (7, TypeError, "got int"),
    ],
)
def test_what_is_no_pairs_is_refused(data, error, message):
    with pytest.raises(error, match=message):
        to_interactions(data)


def ratings(*values):
    return Ratings.from_triples(np.arange(len(values)) // 2, np.arange(len(values)) % 2, values)


def test_every_stored_pair_counts_whatever_its_rating(caplog):
    R = ratings(5, 1, -2, 0)
    with caplog.at_level(logging.INFO, "autorec_np"):
        found = positives(R)
    assert found.dtype == np.float64
    assert found.toarray().tolist() == [[1, 1], [1, 1]]
    assert "2 of 4 stored values are 0 or less, and count too" in caplog.text


def test_a_threshold_is_kept_as_ratings_are_rounded():
    R = ratings(0.7, 0.6, 0.8, 0.7)
    assert positives(R, threshold=0.7).toarray().tolist() == [[1, 0], [1, 1]]
    with pytest.raises(ValueError, match=r"reaches threshold=0.9 \(the highest is 0.8\); lower"):
        positives(R, threshold=0.9)


def test_counts_weigh_by_their_logarithm():
    R = ratings(1, 3, 0.5, 20)
    np.testing.assert_allclose(positives(R, values="counts").data, 1 + np.log1p([1, 3, 0.5, 20]))
    found = positives(R, threshold=3, values="counts")
    np.testing.assert_allclose(
        found.toarray(), 1.0 * np.array([[0, 1 + np.log(4)], [0, 1 + np.log(21)]])
    )
    with pytest.raises(ValueError, match="counts above 0, got -1; drop them, or pass threshold=1"):
        positives(ratings(1, -1), values="counts")
    assert positives(ratings(1, -1), 1, "counts").nnz == 1


def test_a_table_full_of_zeros_can_mean_two_things():
    zeros = sparse.csr_array(([0.0, 0.0, 0.0, 2.0], ([0, 0, 1, 1], [0, 1, 0, 1])))
    with pytest.raises(ValueError, match=r"3 of 4 .* pass threshold=2; if .*, threshold=0\."):
        Popularity().fit(zeros)
    assert Popularity(threshold=2).fit(zeros).item_counts_.tolist() == [0, 1]
    assert Popularity(threshold=0).fit(zeros).item_counts_.tolist() == [2, 2]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_counts_are_the_numbers_of_rows(pairs):
    R, _ = to_interactions(pairs)
    assert table(R) == {pair: pairs.count(pair) for pair in pairs}
    assert (positives(R).toarray() > 0).sum() == len(set(pairs))
    first = dict.fromkeys(pairs)
    assert list(zip(*(x.tolist() for x in R.triples()[:2]), strict=True)) == [*first]


# Popularity: who likes what only matters in sum

MODEL = Popularity().fit(([1, 1, 1, 2, 2, 3], ["a", "b", "c", "a", "b", "a"]))
COLD = Popularity(4).fit(([1, 1, 2, 3, 3], ["a", "b", "b", "b", "c"], [5, 1, 3, 4, 4]))


def test_a_frame_of_two_columns_gives_lists():
    ids, scores = MODEL.recommend([3, 2])
    assert ids[:, :3].tolist() == [["b", "c", None], ["c", None, None]]
    assert scores[0, :2].tolist() == [2.0, 1.0]


def test_users_below_the_threshold_get_the_most_popular_marked():
    assert COLD.user_counts_.tolist() == [1, 0, 2]
    frame = COLD.recommend(pd.Series([1, 2]), 3)
    assert frame["item"].tolist() == ["c", "a", "c"]  # b is seen, though not liked
    assert frame["cold"].tolist() == [False, True, True]
    assert COLD.cold_users([1, 2, 3, 9]).tolist() == [False, True, False, True]
    assert COLD.predict([9, 9], ["b", "a"]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "clicks",
    [["b", "a", "b"], np.array(["b", "a"]), pd.Series(["b", "a"]), {"b": 1, "a": 3}, {"a", "b"}],
)
def test_a_visitors_clicks_are_ids(clicks):
    found = MODEL.recommend_new(clicks, 2)
    assert found.ids.tolist() == ["c", None]
    assert found.popular is False
    assert MODEL.predict_new(clicks, ["c", "a"]).tolist() == [1.0, 3.0]


def test_a_visitor_without_clicks_gets_the_most_popular_marked():
    for nothing in ([], {}, {"a": 3}):
        found = COLD.recommend_new(nothing, 2)
        assert found.popular is True
        assert found.ids.tolist() == ["b", "c"] if "a" in nothing else ["a", "b"]
    assert COLD.recommend_new(["a"], 2).popular is False  # a click reaches every threshold


@pytest.mark.parametrize("many", [([8, 7, 7], ["a", "b", "a"]), [(8, "a"), (7, "b"), (7, "a")]])
def test_many_visitors_are_pairs(many):
    found = MODEL.recommend_new(many, 1)
    assert found.ids.tolist() == [["c"], ["b"]]
    frame = pd.DataFrame(list(zip(*many, strict=True)) if isinstance(many, tuple) else many)
    answer = MODEL.recommend_new(frame.set_axis(["user", "item"], axis=1), 1)
    assert answer["user"].tolist() == [7, 8]
    assert answer["item"].tolist() == ["c", "b"]


def test_unknown_clicks_are_refused_or_left_out():
    with pytest.raises(ValueError, match="'z'"):
        MODEL.recommend_new(["a", "z"])
    assert MODEL.recommend_new(["a", "z"], unknown="ignore").n_unknown == 1
    with pytest.raises(ValueError, match="a new item has no place"):
        MODEL.recommend_new([1], axis="item")


def test_scores_are_no_ratings():
    for call in (
        lambda: MODEL.predict([1], ["a"], interval=0.8),
        lambda: MODEL.calibrate(),
        lambda: MODEL.score([1], ["a"], [1.0]),
    ):
        with pytest.raises(TypeError, match=r"Popularity rank items .*evaluate_ranking"):
            call()


def test_parameters_are_checked():
    with pytest.raises(TypeError, match="threshold must be a number"):
        Popularity("4").fit(FRAME)


def test_a_blend_of_ratings_takes_no_lists():
    with pytest.raises(TypeError, match="member 'popular' ranks items and predicts no ratings"):
        Blend([("mean", GlobalMean()), ("popular", Popularity())]).fit(ratings(1, 2, 3, 4))
