"""Which column is which: by name, else by place where nothing contradicts it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from advice import follow
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.data.columns import (
    ROLES,
    ColumnsRead,
    UndecidedColumns,
    decide,
    known_roles,
    role_of,
)
from autorec_np.data.ratings import as_ratings

NAMES = {
    "user": "user userId user_id USER-ID User.ID user:token user_id:token users uid u reviewerID "
    "customer CustomerID viewer member_id reader listener visitorid username profileName user_name",
    "item": "item itemId item_id iid i movie movieId movie_id book BookID ISBN asin parent_asin "
    "sku product productId business_id placeID anime_id joke track artist game_id hotel "
    "movie_title",
    "rating": "rating ratings Rating RATING rating:float score Score stars star overall grade "
    "mark rating_val ratingValue Book-Rating user_rating review/score star_rating overall_rating",
    "timestamp": "timestamp Timestamp timestamp:float date datetime time unixReviewTime ts t "
    "review_time review_date created_at rated_at unix_timestamp",
    "other": "id _id index Unnamed:_0 level_0 year title genres avg_rating num_ratings "
    "rating_count mean_score review_id session_id release_date birth_date text comment "
    "helpful_votes 3 1.5 -",
}


@pytest.mark.parametrize(
    ("role", "name"), [(role, name) for role, names in NAMES.items() for name in names.split()]
)
def test_names_that_people_give(role, name):
    said = role_of(name)
    assert said is not None
    assert said[0] == role


@pytest.mark.parametrize("name", ["who", "a", "Harbour", "weight", "is_read", "x1", "Überschrift"])
def test_names_that_say_nothing(name):
    assert role_of(name) is None


@pytest.mark.parametrize("name", ["", 0, 7, np.int64(3), None, 2.5])
def test_names_that_are_none(name):
    assert (role_of(name) or ("other",))[0] == "other"


def test_the_clearest_name_wins():
    assert known_roles(["user_name", "userId", "movie_title", "movieId"]) == {"user": 1, "item": 3}
    assert known_roles(["rating", "food_rating", "service_rating"]) == {"rating": 0}
    assert known_roles(["food_rating", "service_rating"]) == {}
    assert known_roles(["timestamp", "date"]) == {"timestamp": 0}
    assert known_roles(["user", "reviewer"]) == {}


def decided(names, rows, wanted=("user", "item", "rating")):
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return decide(names, len(columns), columns.__getitem__, wanted)


TRIPLES = [(1, 10, 4.5), (1, 11, 3.0), (2, 10, 5.0)]
TIMED = [(*row, 1200000000 + place) for place, row in enumerate(TRIPLES)]


@given(st.permutations(["userId", "movieId", "rating", "timestamp", "comment"]))
def test_names_decide_in_any_order(names):
    rows = [[dict(zip(names, row, strict=True))[name] for name in names] for row in [range(5)] * 2]
    places = decided(names, rows)
    expected = dict(zip(ROLES, ("userId", "movieId", "rating", "timestamp"), strict=True))
    assert {role: names[place] for role, place in places.items()} == expected


@given(st.permutations(["who", "what", "stars", "when"]), st.permutations(range(6)))
def test_any_order_of_named_columns_gives_the_same_ratings(order, rows):
    names = {"who": "customer", "what": "asin", "stars": "stars", "when": "date"}
    frame = pd.DataFrame(
        {
            "who": [5, 5, 5, 7, 7, 9],
            "what": list("abcabc"),
            "stars": [1.0, 2, 3, 4, 5, 1],
            "when": np.arange(6),
        }
    ).iloc[list(rows)]
    R = as_ratings(frame[order].rename(columns=names))
    expected = frame.sort_values(["who", "what"])
    assert R.matrix.data.tolist() == expected["stars"].tolist()
    assert R.timestamps.tolist() == expected["when"].tolist()
    assert [part.tolist() for part in R.triples()] == [
        frame[name].tolist() for name in ("who", "what", "stars")
    ]


@pytest.mark.parametrize("names", [None, ["a", "b", "c"], ["user", "b", "c"], ["a", "b", "score"]])
def test_places_decide_where_nothing_contradicts_it(names):
    assert decided(names, TRIPLES) == {"user": 0, "item": 1, "rating": 2}
    names = None if names is None else [*names, "x"]
    assert decided(names, TIMED)["timestamp"] == 3
    dated = [(*row, "2004-02-01") for row in TRIPLES]
    assert decided(names, dated)["timestamp"] == 3


def test_a_fourth_column_is_a_time_where_its_values_say_so():
    names = ["stars", "zeit", "user", "item"]
    rows = [(rating, time, user, item) for user, item, rating, time in TIMED]
    assert decided(names, rows)["timestamp"] == 1
    assert "timestamp" not in decided(names, [(*row[:1], 7, *row[2:]) for row in rows])
    assert "timestamp" not in decided(["stars", "title", "user", "item"], rows)


def test_a_fourth_column_of_zeros_is_no_time_and_no_obstacle():
    rows = [(*row, 0) for row in TRIPLES]
    assert decided(None, rows) == {"user": 0, "item": 1, "rating": 2}


def test_a_fourth_column_that_names_something_else_is_left_out():
    rows = [(*row, 7) for row in TRIPLES]
    assert decided(["a", "b", "c", "year"], rows) == {"user": 0, "item": 1, "rating": 2}


@pytest.mark.parametrize(
    ("names", "rows", "reason"),
    [
        (["a", "b"], [(1, 2), (3, 4)], "there is no column for the user and the item and the rat"),
        (["user", "item"], [(1, 2), (3, 4)], "there is no column for the rating"),
        (["rating", "x", "y"], TRIPLES, "'rating' in the place of the user means something else"),
        (["movieId", "x", "y"], TRIPLES, "'movieId' in the place of the user"),
        (["user", "item", "timestamp"], TRIPLES, "'timestamp' in the place of the rating means"),
        (["user", "item", "year"], TRIPLES, "'year' in the place of the rating means something"),
        (["user", "item", "session_id"], TRIPLES, "'session_id' in the place of the rating"),
        (["", "a", "b"], TRIPLES, "'' in the place of the user means something else"),
        (["Unnamed: 0", "a", "b"], TRIPLES, "'Unnamed: 0' in the place of the user"),
        (["a", "b", "rating", "item"], TIMED, "'item' is not in the place of the item"),
        (["user", "movie", "asin", "score"], TIMED, "'movie' and 'asin' could each be the item"),
        (None, [(1, 2, 1200000000), (1, 3, 1200000060)], "holds times (1200000000 for example)"),
        (["a", "b", "c"], [(1, 2, 1999), (1, 3, 2004)], "'c' in the place of the rating holds yea"),
        (None, [(1, 2, 5012), (1, 3, 7033), (2, 3, 88)], "holds ids (7033 for example)"),
        (None, [(*row, 7) for row in TRIPLES], "column 3 holds no times and no name says what it"),
        (["a", "b", "c", "d"], [(*row, 7) for row in TRIPLES], "column 'd' holds no times"),
        (list("abcde"), [(*row, "x", "y") for row in TRIPLES], "5 columns, and no name says which"),
        (["user", "item", "c", "d", "e"], [(*row, 5, 6) for row in TRIPLES], "5 columns, and no"),
        (None, [(1, 2, 3, 4, 5)], "5 columns, and no name says which is the user or the item or"),
    ],
)  # fmt: skip
def test_what_contradicts_the_places(names, rows, reason):
    with pytest.raises(UndecidedColumns, match=re.escape(reason)):
        decided(names, rows)


def test_counts_are_no_ids():
    rows = [(user, item, 1000 + 500 * (item % 3)) for user in range(9) for item in range(9)]
    assert decided(["userID", "artistID", "weight"], rows)["rating"] == 2


TABLE = [(5, 0, 3, 4), (0, 4, 1, 2), (2, 1, 0, 5), (4, 4, 0, 1)]


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["Harbour", "Lighthouse", "Meadow", "Orchard"], TABLE),
        (["Harbour", "Lighthouse", "Meadow"], [row[:3] for row in TABLE]),
        (["Harbour", "Lighthouse", "Meadow"], np.array(TABLE, float)[:, :3]),
        (["user", "Harbour", "Lighthouse"], [(k, *row[:2]) for k, row in enumerate(TABLE)]),
        (["user", "Harbour", "Lighthouse"], [(f"u{k}", *row[:2]) for k, row in enumerate(TABLE)]),
        (
            ["client number", "Harbour", "Light"],
            [(f"u{k}", *row[:2]) for k, row in enumerate(TABLE)],
        ),
        (["user", "Harbour", "Lighthouse", "M"], [(k, *row[:3]) for k, row in enumerate(TABLE)]),
        (["user", "a", "b", "c", "d"], [(k, *row) for k, row in enumerate(TABLE)]),
        (["", "10", "20"], [(k, *row[:2]) for k, row in enumerate(TABLE)]),
        (["user", 10, 20, 30], [(k, *row[:3]) for k, row in enumerate(TABLE)]),
        (["1", "2", "3"], [row[:3] for row in TABLE]),
        (None, TABLE),
        (None, [row[:3] for row in TABLE]),
        (None, np.where(np.array(TABLE) == 0, np.nan, TABLE)[:, :3]),
        (None, np.array(TABLE * 9)[:, [0, 1, 3]]),
        (None, [(2, *row, *row) for row in TABLE]),  # a count and then the ratings, as Jester
    ],
)
def test_a_table_of_users_and_items_is_no_list_of_ratings(names, rows):
    with pytest.raises(UndecidedColumns) as caught:
        decided(names, rows)
    assert caught.value.is_table


@pytest.mark.parametrize(
    ("names", "wanted", "places"),
    [
        (["item", "user"], ("user", "item"), {"user": 1, "item": 0}),
        (["who", "what"], ("user", "item"), {"user": 0, "item": 1}),
        (["rank", "customer", "product"], ("user", "item"), {"user": 1, "item": 2}),
        (["who"], ("user",), {"user": 0}),
        (["x", "user_id"], ("user",), {"user": 1}),
    ],
)
def test_pairs_and_users(names, wanted, places):
    rows = [range(10 * k, 10 * k + len(names)) for k in range(3)]
    assert decided(names, rows, wanted) == places


@pytest.mark.parametrize("names", [["item", "what"], ["rank", "who", "what"], ["rating", "who"]])
def test_pairs_that_are_not_known(names):
    with pytest.raises(UndecidedColumns):
        decided(names, [range(len(names))] * 2, ("user", "item"))


def test_what_was_read_is_said():
    read = ColumnsRead({"user": "customer", "item": 2}, ("", "x", "y", "z", "w"))
    text = "user = 'customer', item = column 2, without '' (a saved index), 'x', 'y' and 2 more"
    assert str(read) == text


# Frames


@pytest.mark.parametrize(
    "columns",
    [
        ["user", "item", "rating"],
        ["userId", "movieId", "rating"],
        ["User-ID", "item_id", "RATING"],
        ["a", "b", "c"],
        [0, 1, 2],
        ["a", "movieId", "c"],
    ],
)
def test_frame_is_read_by_known_names_or_by_place(columns):
    frame = pd.DataFrame([[1, 2, 3.0], [4, 5, 6.0]], columns=columns)
    R = as_ratings(frame)
    assert [part.tolist() for part in R.triples()] == [[1, 4], [2, 5], [3, 6]]
    assert R.columns.names == dict(zip(ROLES, columns, strict=False))
    if columns[0] in ("a", 0):
        return
    turned = frame[columns[::-1]]
    assert [part.tolist() for part in as_ratings(turned).triples()] == [[1, 4], [2, 5], [3, 6]]


@pytest.mark.parametrize(
    "columns",
    [["a", "b"], ["movieId", "b", "c"], ["rating", "x", "y"], ["x", "y", "timestamp"]],
)
def test_frame_that_contradicts_itself_is_refused(columns):
    frame = pd.DataFrame([[1] * len(columns)], columns=columns)
    with pytest.raises(ValueError, match=re.escape(f"its columns are {columns}. Name them")) as got:
        as_ratings(frame)
    if len(columns) > 2:
        user, item, rating = columns
        named = {"user": user, "item": item, "rating": rating}
        assert len(follow(got.value, "autorec_np.data.as_ratings(", data=frame, **named)) == 1


def test_a_saved_index_is_left_out_where_names_are_known():
    frame = pd.DataFrame({"Unnamed: 0": [0, 1], "customer": [7, 7], "product": [1, 2], "score": 4})
    R = as_ratings(frame)
    assert R.user_ids.tolist() == [7]
    assert "without 'Unnamed: 0' (a saved index)" in repr(R)
