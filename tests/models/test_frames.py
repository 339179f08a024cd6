"""DataFrames in, DataFrames out: whatever the index, the order and the dtype of the ids."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from autorec_np.data.ratings import Ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline

BY_NUMBER = make_ratings(n_users=20, n_items=15, n_ratings=160, random_state=0)
ROWS, COLUMNS, VALUES = BY_NUMBER.positions()
NAMES = np.array([f"item {column:02d}" for column in range(15)], dtype=object)
R = Ratings.from_triples(3 * ROWS + 7, NAMES[COLUMNS], VALUES, scale=BY_NUMBER.scale)
MODEL = AutoRec(hidden_layer_sizes=(3,), max_iter=2, n_jobs=1, random_state=0).fit(R)

FRAME = pd.DataFrame(
    {"rating": 0.0, "userId": [13, 7, 13, 10, 999], "item": [*NAMES[[2, 5, 2, 0]], "new"]},
    index=["b", "a", "a", "c", "b"],  # neither unique nor sorted
)
EXPECTED = MODEL.predict(FRAME["userId"].tolist(), FRAME["item"].tolist())


def test_predictions_stand_beside_their_pairs():
    predicted = MODEL.predict(FRAME)
    expected = pd.Series(EXPECTED, index=FRAME.index, name="prediction")
    pd.testing.assert_series_equal(predicted, expected)
    wide = FRAME.copy()
    wide["prediction"] = predicted
    np.testing.assert_array_equal(wide["prediction"], EXPECTED)


@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_frame_gives_the_same_predictions_by_label(seed):
    frame = pd.DataFrame({"user": 3 * ROWS + 7, "item": NAMES[COLUMNS]})
    shuffled = frame.sample(frac=1.0, random_state=seed)
    predicted = MODEL.predict(shuffled)
    assert predicted.index.equals(shuffled.index)
    pd.testing.assert_series_equal(predicted.sort_index(), MODEL.predict(frame))


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame[["userId", "item"]].set_axis(["who", "what"], axis=1),  # by place
        lambda frame: frame[["item", "userId"]],  # by name
        lambda frame: frame.astype({"userId": "Int64", "item": "string"}),
        lambda frame: frame.astype({"userId": "category", "item": "category"}),
        lambda frame: frame.astype({"userId": "uint16", "item": object}),
        lambda frame: frame.set_index(pd.MultiIndex.from_product([[1], frame.index])),
    ],
    ids=["place", "name", "nullable", "categorical", "unsigned", "multi-index"],
)
def test_every_kind_of_column_is_read(convert):
    frame = convert(FRAME)
    predicted = MODEL.predict(frame)
    assert predicted.index.equals(frame.index)
    np.testing.assert_array_equal(predicted, EXPECTED)


def test_series_are_paired_by_place_and_answered_by_an_array():
    predicted = MODEL.predict(FRAME["userId"], FRAME["item"].reset_index(drop=True))
    assert type(predicted) is np.ndarray
    np.testing.assert_array_equal(predicted, EXPECTED)


def test_an_empty_frame_has_an_empty_answer():
    predicted = MODEL.predict(FRAME.iloc[:0])
    assert predicted.shape == (0,)
    assert predicted.index.equals(FRAME.index[:0])
    recommended = MODEL.recommend(FRAME.iloc[:0])
    assert recommended.shape == (0, 5)


@pytest.mark.parametrize(
    "convert",
    [
        lambda users: users,
        lambda users: users.to_frame(),
        lambda users: pd.DataFrame({"item": "x", "user_id": users}),
        lambda users: users.astype("Int64"),
        lambda users: users.astype("category"),
        lambda users: pd.Index(users),
    ],
    ids=["series", "frame", "by name", "nullable", "categorical", "index"],
)
def test_recommendations_are_a_long_frame(convert):
    asked = pd.Series([25, 22, 25, 64, 22], index=[5, 5, 0, 1, 2], name="user")
    users = convert(asked)
    frame = MODEL.recommend(users, n=4, exclude=NAMES[:1])
    assert frame.columns.tolist() == ["user", "item", "rank", "score", "cold"]
    assert frame.index.equals(pd.RangeIndex(len(frame)))
    ids, scores = MODEL.recommend([25, 22, 64], n=4, exclude=NAMES[:1])
    assert frame["user"].tolist() == np.repeat([25, 22, 64], 4).tolist()
    assert frame["item"].tolist() == ids.ravel().tolist()
    assert frame["rank"].tolist() == [1, 2, 3, 4] * 3
    np.testing.assert_array_equal(frame["score"], scores.ravel())
    assert not frame["cold"].any()
    given = users.iloc[:, -1] if isinstance(users, pd.DataFrame) else users
    assert frame["user"].dtype == given.dtype


def test_short_lists_have_no_empty_rows_and_cold_pairs_are_marked():
    cold_user, cold_item = R.user_ids[3], R.item_ids[6]
    users, items, _ = R.triples()
    model = BiasBaseline().fit(R.select((users != cold_user) & (items != cold_item)))
    frame = model.recommend(pd.Series(R.user_ids), n=100)
    n_unseen = 15 - np.diff(model.ratings_.matrix.indptr)
    assert frame.groupby("user").size().tolist() == n_unseen.tolist()
    assert frame["cold"].tolist() == model.cold_pairs(frame["user"], frame["item"]).tolist()
    assert frame["cold"].sum() == 15 + 19
    assert frame.loc[frame["user"] == cold_user, "cold"].all()
    assert frame["item"].dtype == object


def test_new_users_and_items_in_a_frame():
    told = pd.DataFrame(
        {"user": [5, 5, 2], "item": NAMES[[1, 4, 4]], "rating": [5.0, 1.0, 3.0]}, index=[1, 1, 0]
    )
    table = MODEL.predict_new(told, items=NAMES[[3, 0]])
    assert table.index.tolist() == [2, 5]
    assert table.columns.tolist() == NAMES[[3, 0]].tolist()
    assert (table.index.name, table.columns.name) == ("user", "item")
    one = MODEL.predict_new({NAMES[1]: 5.0, NAMES[4]: 1.0}, NAMES[[3, 0]])
    np.testing.assert_allclose(table.loc[5], one, rtol=1e-5)
    frame = MODEL.recommend_new(told, n=2)
    assert frame.columns.tolist() == ["user", "item", "rank", "score", "cold"]
    assert frame["user"].tolist() == [2, 2, 5, 5]
    ids, scores = MODEL.recommend_new(tuple(told[name] for name in told), n=2)
    assert frame["item"].tolist() == ids.ravel().tolist()
    np.testing.assert_array_equal(frame["score"], scores.ravel())
    new_item = told.assign(user=[7, 10, 7], item=["x", "x", "y"])
    frame = MODEL.recommend_new(new_item, n=3, axis="item")
    assert frame.columns.tolist() == ["item", "user", "rank", "score", "cold"]
    assert frame["item"].tolist() == ["x"] * 3 + ["y"] * 3
    assert MODEL.predict_new(new_item, axis="item").shape == (2, R.n_users)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: MODEL.predict(FRAME[["userId"]]), ValueError, "columns named user and item"),
        (
            lambda: MODEL.predict(pd.DataFrame({"item": ["x"], "who": [1]})),
            ValueError,
            r"its columns are \['item', 'who'\].*reset_index",
        ),
        (lambda: MODEL.predict([1]), TypeError, r"got one list; call predict\(users, items\)"),
        (
            lambda: MODEL.recommend(pd.DataFrame({"item": ["x"]})),
            ValueError,
            "must have columns named user, or",
        ),
        (
            lambda: MODEL.predict(FRAME.astype({"userId": "Int64"}).assign(userId=pd.NA)),
            ValueError,
            "user ids has a missing id",
        ),
        (lambda: MODEL.recommend(pd.Series([1])), ValueError, "1 of 1 user ids are not in"),
        (lambda: MODEL.recommend(pd.Series(["7"])), TypeError, "were asked for"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_teaches(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_pandas_is_not_imported_by_arrays():
    code = (
        "import sys; from autorec_np.models.biases import BiasBaseline;"
        "model = BiasBaseline().fit(([0, 1], [0, 1], [1.0, 2.0]));"
        "model.predict([0], [1]); model.recommend([0]); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("model", [MODEL, BiasBaseline().fit(R)], ids=["AutoRec", "BiasBaseline"])
def test_ratings_and_tables_are_taken_whole(model):
    part = R.select(np.arange(0, 160, 3))
    users, items, ratings = part.triples()
    expected = model.predict(users, items)
    np.testing.assert_array_equal(model.predict(part), expected)
    np.testing.assert_array_equal(model.predict({"item": items, "user": users}), expected)
    assert model.score(part) == model.score(users, items, ratings)
    assert model.score(part.to_frame()) == model.score(part)
    assert model.score((users, items, ratings)) == model.score(part)


def test_columns_are_known_by_the_names_that_people_give():
    frame = pd.DataFrame({"rank": [7, 8], "customer": [22, 10], "product": NAMES[[2, 5]]})
    expected = MODEL.predict(frame["customer"], frame["product"])
    np.testing.assert_array_equal(MODEL.predict(frame), expected)
    with pytest.raises(ValueError, match=r"'rank' in the place of the user means something else"):
        MODEL.predict(frame.rename(columns={"customer": "a", "product": "b"}))
    asked = MODEL.recommend(frame[["rank", "customer"]], n=1)
    assert asked["user"].tolist() == [22, 10]
    with pytest.raises(TypeError, match="or Ratings, got one str; call predict"):
        MODEL.predict("user 7")
