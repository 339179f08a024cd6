"""Tables of every kind become the same ratings; what can be read in two ways is refused."""

from __future__ import annotations

import collections
import datetime
import decimal
import subprocess
import sys
import uuid

import numpy as np
import pandas as pd
import pytest
from advice import expression, follow
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.data.ratings import Ratings, as_ratings

USERS, ITEMS, VALUES = ["ann", "ann", "bob"], [7, 9, 7], [4.0, 0.0, 5.0]
TIMES = [1200000000, 1200000060, 1200000120]
FRAME = pd.DataFrame({"user": USERS, "item": ITEMS, "rating": VALUES, "timestamp": TIMES})
ROWS = list(zip(USERS, ITEMS, VALUES, strict=True))
Row = collections.namedtuple("Row", ["user", "item", "rating"])
Swapped = collections.namedtuple("Swapped", ["rating", "item", "user"])


class Protocol:
    """A table that speaks the interchange protocol only."""

    def __init__(self, frame):
        self.frame = frame

    def __dataframe__(self, *arguments, **keywords):
        return self.frame.__dataframe__(*arguments, **keywords)


class Named:
    """A table as polars and pyarrow have them: names, and columns that are no arrays."""

    def __init__(self, frame, attribute):
        setattr(self, attribute, list(frame.columns))
        self.frame = frame

    def __getitem__(self, name):
        return self.frame[name]

    def __arrow_c_stream__(self):
        raise NotImplementedError


KINDS = {
    "tuple of lists": (USERS, ITEMS, VALUES),
    "tuple with times": (USERS, ITEMS, VALUES, TIMES),
    "list of tuples": ROWS,
    "list of 4-tuples": [(*row, time) for row, time in zip(ROWS, TIMES, strict=True)],
    "4-tuples without times": [(*row, None) for row in ROWS],
    "iterator": [*ROWS],
    "named tuples": [Row(*row) for row in ROWS],
    "named tuples in another order": [Swapped(r, i, u) for u, i, r in ROWS],
    "rows of a frame": list(FRAME.itertuples()),
    "list of dicts": [{"item": i, "user": u, "rating": r} for u, i, r in ROWS],
    "dict of columns": {"stars": VALUES, "asin": ITEMS, "reviewer": USERS},
    "dict of arrays": {"user": np.array(USERS), "item": np.array(ITEMS), "rating": VALUES},
    "nested dict": {"ann": {7: 4.0, 9: 0.0}, "bob": {7: 5.0}},
    "dict by pair": {(user, item): rating for user, item, rating in ROWS},
    "frame": FRAME,
    "frame in the index": FRAME.set_index(["user", "item"]),
    "series in the index": FRAME.set_index(["item", "user"])["rating"],
    "series without names": pd.Series(VALUES, pd.MultiIndex.from_arrays([USERS, ITEMS])),
    "structured array": np.array(ROWS, [("user", "U3"), ("item", "i4"), ("rating", "f4")]),
    "interchange protocol": Protocol(FRAME),
    "column names": Named(FRAME, "column_names"),
    "columns": Named(FRAME, "columns"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_gives_the_same_ratings(kind):
    data = KINDS[kind]
    R = as_ratings(iter(data) if kind == "iterator" else data)
    assert [part.tolist() for part in R.triples()] == [USERS, ITEMS, VALUES]
    assert R.matrix.nnz == 3
    if R.timestamps is not None:
        assert R.timestamps[R.order].tolist() == TIMES


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries(library):
    module = pytest.importorskip(library)
    make = module.DataFrame if library == "polars" else module.table
    columns = {"reviewerID": USERS, "asin": ITEMS, "overall": VALUES, "date": TIMES}
    R = as_ratings(make(columns))
    assert [part.tolist() for part in R.triples()] == [USERS, ITEMS, VALUES]
    assert R.timestamps[R.order].tolist() == TIMES
    if library == "polars":
        with pytest.raises(TypeError, match=r"got LazyFrame; call its collect\(\)"):
            as_ratings(make(columns).lazy())


def test_arrow_needs_pyarrow_or_a_message():
    class Stream:
        def __arrow_c_stream__(self):
            raise NotImplementedError

    if "pyarrow" in sys.modules:
        pytest.skip("pyarrow is installed")
    with pytest.raises(TypeError, match="can be read through Arrow, which needs pyarrow: inst"):
        as_ratings(Stream())


def test_decimals_booleans_uuids_and_dates():
    ids = [uuid.UUID(int=k) for k in (3, 1)]
    liked = as_ratings((ids, [1, 2], [True, False], [datetime.date(1970, 1, 2)] * 2))
    assert liked.triples()[0].tolist() == [str(one) for one in ids]
    assert liked.triples()[2].tolist() == [1, 0]
    assert liked.timestamps.tolist() == [86400, 86400]
    assert liked.user_positions(ids).tolist() == [1, 0]
    exact = as_ratings([(1, 2, decimal.Decimal("3.5"))])
    assert exact.matrix.data.tolist() == [3.5]
    assert as_ratings(pd.DataFrame({"user": [1], "item": [2], "rating": [True]})).scale == (1, 1)
    assert as_ratings(sparse.csr_array(np.eye(2, dtype=bool))).matrix.data.tolist() == [1, 1]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), unique=True, min_size=1))
def test_rows_columns_and_dicts_agree(pairs):
    rows = [(user, item, (user + item) % 5) for user, item in pairs]
    whole = Ratings.from_triples(*zip(*rows, strict=True))
    names = ("user", "item", "rating")
    dicts = [dict(zip(names, row, strict=True)) for row in rows]
    for form in (rows, dicts, pd.DataFrame(dicts)[["rating", "item", "user"]]):
        for mine, yours in zip(as_ratings(form).triples(), whole.triples(), strict=True):
            assert mine.tolist() == yours.tolist()


# Tables of users x items

RATED = pd.DataFrame(
    {"Harbour": [5, 0, 2, 4], "Lighthouse": [0, 4, 1, 4], "Meadow": [3, 1, 0, 0]},
    index=pd.Index([1, 2, 3, 4], name="user"),
).assign(Orchard=[4, 2, 5, 1])
TRIPLES = sorted(
    (user, item, float(RATED.loc[user, item]))
    for user in RATED.index
    for item in RATED.columns
    if RATED.loc[user, item]
)
MELT = "autorec_np.data.as_ratings(data"
SPARSE = "scipy.sparse.csr_array("


@pytest.mark.parametrize("columns", [2, 3, 4])
@pytest.mark.parametrize("holes", [0, np.nan])
@pytest.mark.parametrize(
    "form",
    [
        lambda table: table,
        lambda table: table.reset_index(),
        lambda table: table.astype(float),
        lambda table: table.rename_axis(columns="movie"),
        lambda table: table.rename_axis(None).reset_index(names="client"),
        lambda table: table.rename_axis(None).reset_index(),
        lambda table: table.astype("Int64"),
        lambda table: table.astype(object).where(table.notna(), None),
    ],
    ids=["index", "reset", "float", "both axes", "unusual name", "saved", "nullable", "objects"],
)
def test_a_pivot_is_an_error_and_its_advice_gives_its_ratings(form, holes, columns):
    table = form(RATED.iloc[:, :columns].replace(0, holes))
    wanted = [triple for triple in TRIPLES if triple[1] in RATED.columns[:columns]]
    with pytest.raises(ValueError, match="looks like a table of users x items") as caught:
        as_ratings(table)
    melted = follow(caught.value, MELT, data=table)
    assert sorted(zip(*(part.tolist() for part in melted.triples()), strict=True)) == wanted
    matrix = as_ratings(follow(caught.value, SPARSE, data=table))
    assert sorted(matrix.matrix.data.tolist()) == sorted(rating for *_, rating in wanted)
    assert matrix.shape == (4, columns)


@pytest.mark.parametrize(
    "form",
    [
        lambda table: pd.DataFrame(table.to_numpy()),
        lambda table: table.rename_axis(None).iloc[:, :3],
        lambda table: table.rename_axis(None),
        lambda table: table.T.rename_axis("item"),
        lambda table: table.set_axis([10, 20, 30, 40], axis=1),
        lambda table: table.astype(pd.SparseDtype("int64", 0)),
        lambda table: {name: table[name].tolist() for name in table},
        lambda table: table.to_dict("records"),
    ],
    ids=[
        "no names",
        "three items",
        "no axis",
        "items x users",
        "numbers",
        "sparse",
        "dict",
        "dicts",
    ],
)
def test_every_table_of_users_and_items_is_refused_with_advice(form):
    table = form(RATED)
    with pytest.raises(ValueError, match="looks like a table of users x items") as caught:
        as_ratings(table)
    R = as_ratings(follow(caught.value, SPARSE, data=table))
    rated = RATED.iloc[:, :3] if R.n_items == 3 else RATED
    assert R.matrix.toarray().tolist() == rated.to_numpy().tolist()


@pytest.mark.parametrize("values", ["stars", ["stars"]])
@pytest.mark.parametrize("fill", [None, 0])
@pytest.mark.parametrize("names", [("user", "item"), ("who", "what")])
@pytest.mark.parametrize("reset", [False, True])
def test_what_pivot_table_makes_is_refused_with_advice(values, fill, names, reset):
    long = pd.DataFrame({names[0]: [1, 1, 2], names[1]: [7, 8, 7], "stars": [5, 3, 4]})
    table = long.pivot_table(index=names[0], columns=names[1], values=values, fill_value=fill)
    table = table.reset_index() if reset else table
    with pytest.raises(ValueError, match="looks like a table of users x items") as caught:
        as_ratings(table)
    R = as_ratings(follow(caught.value, SPARSE, data=table))
    assert sorted(R.matrix.data.tolist()) == [3, 4, 5]
    melted = follow(caught.value, MELT, data=table)
    assert sorted(melted.triples()[2].tolist()) == [3, 4, 5]


def test_a_column_with_a_number_for_a_name_holds_no_ids():
    table = pd.DataFrame({101: [0, 4, 5], 102: [5, 1, 3], 103: [2, 2, 4], 104: [1, 0, 2]})
    with pytest.raises(ValueError, match="looks like a table of users x items") as caught:
        as_ratings(table)
    melted = follow(caught.value, MELT, data=table)
    assert melted.item_ids.tolist() == [101, 102, 103, 104]
    assert len(melted) == len(as_ratings(follow(caught.value, SPARSE, data=table))) == 10


def test_jesters_matrix_is_refused():
    jester = np.full((5, 101), 99.0)
    jester[:, :4] = [[3, -7.82, 8.79, -9.66]] * 5
    with pytest.raises(ValueError, match="looks like a table of users x items"):
        as_ratings(pd.DataFrame(jester))
    with pytest.raises(TypeError, match="a dense array cannot say which of its zeros"):
        as_ratings(jester)
    holes = np.where(jester == 99, np.nan, jester)[:, 1:]
    assert len(as_ratings(holes)) == 15


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of numpy.matrix
def test_a_dense_array_is_read_where_its_holes_are_nan():
    array = np.array([[5, np.nan, 0, 1, 2], [np.nan] * 5, [np.nan, 3, 4, np.nan, 1]])
    for table in (array, array.astype("f4"), np.ma.masked_invalid(array), np.asmatrix(array)):
        R = as_ratings(table)
        assert R.shape == (3, 5)
        assert R.matrix.nnz == 7
        assert R.matrix[[0]].toarray().tolist() == [[5, 0, 0, 1, 2]]


@pytest.mark.parametrize("width", [3, 4])
@pytest.mark.parametrize("dtype", [np.int64, np.float64, object, "U4"])
def test_a_dense_array_of_three_or_four_columns_names_both_ways(width, dtype):
    rows = np.array([[1, 10, 3, 1200000000], [1, 11, 4, 1200000060], [2, 10, 5, 1200000120]])
    array = rows[:, :width].astype(dtype)
    if dtype == "U4" and width == 4:
        array[:, 3] = "1200"
    with pytest.raises(TypeError, match="can be a list of ratings or a table of users x") as caught:
        as_ratings(array)
    R = follow(caught.value, "Ratings.from_triples(", array=array)
    assert R.triples()[2].tolist() == [3, 4, 5]
    assert (R.timestamps is not None) == (width == 4)
    if dtype in (np.int64, np.float64):
        assert as_ratings(follow(caught.value, SPARSE, array=array)).shape == (3, width)


def test_other_dense_arrays_are_refused():
    for array in (np.eye(5), np.ones((2, 6), int), np.ones(4), np.ones((2, 2, 2))):
        with pytest.raises(TypeError, match=r"a dense array cannot say which of its zeros"):
            as_ratings(array)
    with pytest.raises(TypeError) as caught:
        as_ratings(np.eye(5))
    assert len(as_ratings(follow(caught.value, SPARSE, array=np.eye(5)))) == 5


# Lists


def test_lists_that_can_be_read_in_two_ways_are_refused():
    square = [[1, 10, 3], [1, 11, 4], [2, 10, 5]]
    with pytest.raises(ValueError, match="a list of 3 lists of 3 can be rows or columns"):
        as_ratings(square)
    as_rows = as_ratings([tuple(row) for row in square])
    as_columns = as_ratings(tuple(square))
    assert as_rows.triples()[2].tolist() == [3, 4, 5]
    assert as_columns.triples()[2].tolist() == [2, 10, 5]
    assert as_ratings(square[:2]).triples()[1].tolist() == [10, 11]


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        ((1, 2, 1200000000), (0, 1, 2), "column 2 in the place of the rating holds times"),
        ((1, 2, 1999), (0, 1, 2), "column 2 in the place of the rating holds years"),
        ((0, 1, 2, 5), (1, 2, 3), "column 3 holds no times and no name says what it is"),
    ],
)
def test_tuples_that_hold_something_else_are_refused_with_advice(row, columns, message):
    rows = [row, tuple(value + 1 for value in row)]
    with pytest.raises(ValueError, match=f"{message}.*columns=") as caught:
        as_ratings(rows)
    user, item, rating = columns
    R = follow(caught.value, MELT, data=rows, user=user, item=item, rating=rating)
    assert R.triples()[2].tolist() == pytest.approx([one[rating] for one in rows])


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([(1, 2, 3), (1, 2)], ValueError, "the row at index 1 has 2 entries, but the first has 3"),
        ([{"user": 1, "item": 2, "rating": 3}, {"user": 1}], ValueError, "the dict at index 1 has"),
        ([(1, 2)], TypeError, "got list of length 1"),
        ([[1, 1, 2, 2, 2], [1, 2, 3, 4, 5], [3, 3, 3, 3, 3]], TypeError, "got list of length 3"),
        ([1, 2, 3], TypeError, "got list of length 3"),
        ([], TypeError, "got list of length 0"),
        ({}, TypeError, "got dict"),
        ({"user": 1, "item": 2, "rating": 3}, TypeError, "got dict"),
        (pd.Series([1.0, 2.0]), TypeError, "got Series"),
        ({"user": [1, 2], "item": [1, 2], "rating": [3]}, ValueError, "must have the same length"),
    ],
)
def test_what_is_no_table(data, error, message):
    with pytest.raises(error, match=message):
        as_ratings(data)


# Stated columns


def test_columns_are_stated_by_name_or_by_position():
    frame = pd.DataFrame({"p": [3, 4], "q": [7, 8], "r": [1, 1], "s": [9, 9]})
    for columns in (("q", "r", "p"), (1, 2, 0), ["q", "r", "p", "s"]):
        R = as_ratings(frame, columns=columns)
        assert [part.tolist() for part in R.triples()] == [[7, 8], [1, 1], [3, 4]]
        assert R.columns.names["user"] == "q"
    numbered = frame.set_axis([3, 2, 1, 0], axis=1)
    assert as_ratings(numbered, columns=(2, 1, 3)).user_ids.tolist() == [7, 8]


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        (FRAME, ("user", "item", "stars"), "no columns are 'stars'; its columns are"),
        (FRAME, ("user", "item"), "columns must be three or four different columns"),
        (FRAME, "abc", "columns must be three or four different columns"),
        (FRAME, (0, 1, 9), "no columns are 9"),
        ((USERS, ITEMS, VALUES), (0, 1, 2), "name the columns of a table, got tuple"),
        (sparse.csr_array(np.eye(2)), (0, 1, 2), "name the columns of a table, got csr_array"),
    ],
)
def test_wrong_columns_are_an_error(data, columns, message):
    with pytest.raises(ValueError, match=message):
        as_ratings(data, columns=columns)


# Other options


def test_missing_values_are_left_out_and_counted_in_every_form():
    values = [-1, 4, 99, 5]
    frame = pd.DataFrame({"user": [1, 1, 2, 3], "item": [5, 6, 5, 5], "rating": values})
    matrix = sparse.coo_array((values, (frame["user"], frame["item"])))
    for form in (frame, tuple(frame[name] for name in frame), Ratings.from_frame(frame), matrix):
        R = as_ratings(form, missing=(-1, 99))
        assert R.triples()[0].tolist() == [1, 3]
        assert (R.scale, R.n_missing) == ((4, 5), 2)
        assert "2 values mean 'not rated'" in repr(R)
        assert as_ratings(form, missing=-1).n_missing == 1
        with pytest.raises(ValueError, match="all of the 4 values mean 'not rated'"):
            as_ratings(form, missing=values)
    holes = frame.assign(rating=[np.nan, 4, np.nan, 5])
    assert as_ratings(holes, missing=(np.nan,)).n_missing == 2
    assert as_ratings(holes.astype({"rating": "Float64"}), missing=np.nan).n_missing == 2
    dense = sparse.csr_array(np.array([[np.nan, 4], [5, np.nan]]))
    with pytest.raises(ValueError, match="if NaN means 'not rated', pass missing=float") as caught:
        as_ratings(dense)
    assert "missing=float('nan') to autorec_np.data.as_ratings" in str(caught.value)
    assert as_ratings(dense, missing=float("nan")).n_missing == 2
    with pytest.raises(TypeError, match="missing must be the numbers that mean 'not rated', got"):
        as_ratings(frame, missing=("-1",))


def test_indices_in_errors_are_those_of_the_data_with_its_missing_values():
    users, items = [1, 1, 1, 1], [2, 3, 3, 3]
    with pytest.raises(ValueError, match="at index 1 and index 3 are both for user 1 and item 3"):
        as_ratings((users, items, [0, 1, 0, 2]), missing=0)
    with pytest.raises(ValueError, match="the rating at index 3 is 9, outside the stated scale"):
        as_ratings((users, [1, 2, 3, 4], [0, 1, 0, 9]), missing=0, scale=(1, 5))


def test_advice_on_repeated_pairs_resolves_them():
    frame = pd.DataFrame({"user": [1, 1, 2], "item": [5, 5, 6], "rating": [3, 4, 5]})
    matrix = sparse.coo_array(([3.0, 4, 5], ([1, 1, 2], [5, 5, 6])))
    for data in (frame, tuple(frame[name] for name in frame), matrix):
        with pytest.raises(ValueError, match="'last'") as caught:
            as_ratings(data)
        R = follow(caught.value, "autorec_np.data.as_ratings(", data=data, matrix=data)
        assert R.triples()[2].tolist() == [4, 5]


@pytest.mark.parametrize(
    ("ratings", "scale"), [([9], (1, 5)), ([1, 5], (2, 3)), ([0, 3], (1, 5)), ([-1, 8], (1, 10))]
)
def test_advice_on_the_scale_is_a_scale_that_fits(ratings, scale):
    ids = list(range(len(ratings)))
    with pytest.raises(ValueError, match="state a wider scale") as caught:
        as_ratings((ids, ids, ratings), scale=scale)
    text = str(caught.value)
    wide = eval(expression(text[text.index("scale: scale=") :], "("))
    assert as_ratings((ids, ids, ratings), scale=wide).scale == wide
    assert f"rating_scale=({wide[0]}, {wide[1]})" in text
    if "missing=" in text and len(ids) > 1:
        missing = eval(text[text.index("missing=") + 8 : text.index(",)") + 2])
        assert as_ratings((ids, ids, ratings), scale=scale, missing=missing).n_missing == 1


def test_reading_tables_without_pandas_does_not_load_it():
    script = (
        "import sys; from autorec_np.data.ratings import as_ratings\n"
        "as_ratings([(1, 2, 3)]); as_ratings({'user': [1], 'item': [2], 'rating': [3]})\n"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
