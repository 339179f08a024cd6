"""`Ratings`: what goes in comes out, in order; stored zeros survive; errors name the offender."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.data.entries import DuplicateRatingError
from autorec_np.data.ratings import Ratings, as_ratings

INT64 = np.iinfo(np.int64)
integer_ids = st.one_of(st.integers(-3, 5), st.integers(INT64.min, INT64.max))
string_ids = st.text(max_size=3)
values = st.floats(-100, 100, width=32)


@st.composite
def triples(draw, min_size=1, max_size=30):
    """Lists of users, items, ratings and timestamps: each pair once, ids of either kind."""
    users = draw(st.sampled_from([integer_ids, string_ids]))
    items = draw(st.sampled_from([integer_ids, string_ids]))
    pairs = st.lists(st.tuples(users, items), min_size=min_size, max_size=max_size, unique=True)
    rows = [(*pair, draw(values), draw(st.integers(0, 99))) for pair in draw(pairs)]
    return tuple(map(list, zip(*rows, strict=True)))


def small(**keywords):
    """Three users (one without ratings) and two items; the second rating is a stored zero."""
    matrix = sparse.csr_array(
        (np.array([4, 0, 5], np.float32), np.array([0, 1, 0]), np.array([0, 2, 2, 3])),
        shape=(3, 2),
    )
    return Ratings.from_matrix(matrix, **keywords)


def assert_equal(one, other):
    """Every attribute of the two is equal, bit for bit."""
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(one.matrix, part), getattr(other.matrix, part))
    assert one.matrix.shape == other.matrix.shape
    assert one.scale == other.scale
    for name in ("user_ids", "item_ids", "order"):
        mine, yours = getattr(one, name), getattr(other, name)
        assert mine.dtype == yours.dtype
        np.testing.assert_array_equal(mine, yours)
    assert (one.timestamps is None) == (other.timestamps is None)
    if one.timestamps is not None:
        np.testing.assert_array_equal(one.timestamps, other.timestamps)


def assert_valid(R):
    """The invariants that the class promises."""
    matrix = R.matrix
    assert isinstance(matrix, sparse.csr_array)
    assert matrix.dtype == np.float32
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
    assert matrix.shape == R.shape == (R.n_users, R.n_items)
    fresh = sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    assert fresh.has_canonical_format
    fresh.check_format(full_check=True)
    assert len(R) == matrix.nnz == len(R.order)
    np.testing.assert_array_equal(np.sort(R.order), np.arange(len(R)))
    for ids in (R.user_ids, R.item_ids):
        assert ids.dtype == np.int64 or all(type(one) is str for one in ids)
        assert list(ids) == sorted(set(ids))
    arrays = [matrix.data, matrix.indices, matrix.indptr, R.user_ids, R.item_ids, R.order]
    assert not any(array.flags.writeable for array in arrays)
    low, high = R.scale
    if len(R):
        assert low <= matrix.data.min() <= matrix.data.max() <= high


# From triples


@given(triples())
def test_triples_come_back_in_order(given_triples):
    users, items, ratings, timestamps = given_triples
    R = Ratings.from_triples(users, items, ratings, timestamps)
    assert_valid(R)
    got_users, got_items, got_ratings = R.triples()
    assert got_users.tolist() == users
    assert got_items.tolist() == items
    assert got_ratings.dtype == np.float32
    assert got_ratings.tolist() == ratings
    assert R.timestamps[R.order].tolist() == timestamps
    assert R.timestamps.dtype == np.int64
    assert R.scale == (min(ratings), max(ratings))
    assert set(R.user_ids) == set(users)
    assert set(R.item_ids) == set(items)
    rows, columns, same = R.positions()
    np.testing.assert_array_equal(R.user_ids[rows], got_users)
    np.testing.assert_array_equal(R.item_ids[columns], got_items)
    np.testing.assert_array_equal(R.matrix.toarray()[rows, columns], got_ratings)
    np.testing.assert_array_equal(same, got_ratings)
    assert rows.dtype == columns.dtype == np.int64


@given(triples(), st.randoms(use_true_random=False))
def test_order_of_the_file_changes_nothing_but_order(given_triples, random):
    rows = list(zip(*given_triples, strict=True))
    R = Ratings.from_triples(*given_triples)
    random.shuffle(rows)
    shuffled = Ratings.from_triples(*zip(*rows, strict=True))
    assert_equal(dataclasses.replace(shuffled, order=R.order), R)


@pytest.mark.parametrize(
    "dtype",
    [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, object],
)
def test_every_integer_dtype_becomes_int64(dtype):
    largest = INT64.max if dtype in (object, np.uint64) else int(np.iinfo(dtype).max)
    R = Ratings.from_triples(
        np.array([3, 1, 2], dtype), np.array([largest, 7, 7], dtype), [1, 2, 3]
    )
    assert R.user_ids.dtype == R.item_ids.dtype == np.int64
    assert R.user_ids.tolist() == [1, 2, 3]
    assert R.item_ids.tolist() == [7, largest]


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        np.array,
        lambda ids: np.array(ids, dtype=object),
        pd.Series,
        lambda ids: pd.Series(ids, dtype=object),
        lambda ids: pd.Series(ids, dtype="string"),
        lambda ids: pd.Series(ids, dtype="category"),
        pd.Index,
        lambda ids: [np.str_(one) for one in ids],
    ],
    ids=["list", "tuple", "U", "object", "Series", "O", "string", "category", "Index", "str_"],
)
def test_every_kind_of_string_becomes_object_of_str(make):
    ids = ["b", "", "007", "NA", " x ", "é"]
    R = Ratings.from_triples(make(ids), make(ids), np.arange(6))
    assert_valid(R)
    assert R.user_ids.dtype == object
    assert R.triples()[0].tolist() == ids


@pytest.mark.parametrize("make", [pd.Series, lambda ids: pd.Series(ids, dtype="Int64")])
def test_integer_series_with_any_index_becomes_int64(make):
    users = make([5, 3, 5])
    users.index = [9, 9, 0]
    R = Ratings.from_triples(users, [1, 1, 2], pd.Series([1.0, 2.0, 3.0], dtype="Float64"))
    assert R.user_ids.dtype == np.int64
    assert R.triples()[0].tolist() == [5, 3, 5]


def test_nul_and_lone_surrogates_keep_ids_apart():
    ids = ["a", "a\0", "a\0b", "a\0c", "\ud800", "\udfff"]
    R = Ratings.from_triples(ids, ids, np.ones(6))
    assert R.triples()[0].tolist() == ids
    assert R.user_positions(ids).tolist() == R.positions()[0].tolist()


def test_inputs_are_not_changed():
    users, items = np.array([2, 1, 2]), np.array(["b", "a", "a"], dtype=object)
    ratings, timestamps = np.array([1, 2, 3], np.float32), np.array([7, 8, 9])
    before = [array.copy() for array in (users, items, ratings, timestamps)]
    R = Ratings.from_triples(users, items, ratings, timestamps)
    ratings[:] = 0
    assert R.matrix.data.tolist() == [2, 3, 1]
    ratings[:] = before[2]
    for array, copied in zip((users, items, ratings, timestamps), before, strict=True):
        np.testing.assert_array_equal(array, copied)
        assert array.flags.writeable


def test_ratings_accept_every_kind_of_number():
    for ratings in ([1, 2], [1.0, 2.0], [Decimal(1), Decimal(2)], np.array([1, 2], np.uint8)):
        R = Ratings.from_triples([1, 2], [1, 2], ratings)
        assert R.matrix.data.tolist() == [1.0, 2.0]
        assert R.matrix.dtype == np.float32


# Duplicates


def with_repeats(**keywords):
    return Ratings.from_triples(
        ["b", "a", "b", "a", "b"], [9, 9, 9, 8, 9], [1, 2, 4, 0, 2.5], [1, 2, 3, 4, 5], **keywords
    )


def test_duplicates_raise_by_default():
    message = (
        "the ratings at index 0 and index 2 are both for user 'b' and item 9, and 2 of 5 ratings "
        "repeat an earlier pair; a pair has one rating: autorec_np.data.as_ratings(data, "
        "duplicates='last') (or 'first' or 'mean') resolves this."
    )
    with pytest.raises(DuplicateRatingError, match=re.escape(message)) as caught:
        with_repeats()
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.first, error.second, error.n_repeats) == (0, 2, 2)
    assert str(error) == message


@pytest.mark.parametrize(
    ("rule", "users", "ratings", "timestamps"),
    [
        ("first", ["b", "a", "a"], [1, 2, 0], [1, 2, 4]),
        ("last", ["a", "a", "b"], [2, 0, 2.5], [2, 4, 5]),
        ("mean", ["b", "a", "a"], [2.5, 2, 0], [5, 2, 4]),
    ],
)
def test_duplicates_are_resolved_on_request(rule, users, ratings, timestamps):
    R = with_repeats(duplicates=rule)
    assert_valid(R)
    got_users, _, got_ratings = R.triples()
    assert got_users.tolist() == users
    assert got_ratings.tolist() == ratings
    assert R.timestamps[R.order].tolist() == timestamps


def test_mean_is_taken_in_float64():
    ratings = np.array([1.0, 2.0**24, 1.0, -(2.0**24)], np.float32)
    R = Ratings.from_triples([1] * 4, [1] * 4, ratings, duplicates="mean")
    assert R.matrix.data.tolist() == [0.5]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), values), min_size=1))
def test_duplicate_rules_agree_with_a_dictionary(rows):
    for rule in ("first", "last", "mean"):
        table = {}
        for user, item, rating in rows:
            if rule == "last":
                table.pop((user, item), None)
            table.setdefault((user, item), []).append(rating)
        expected = [
            (*pair, np.float32(np.mean(ratings) if rule == "mean" else ratings[0]))
            for pair, ratings in table.items()
        ]
        got = Ratings.from_triples(*zip(*rows, strict=True), duplicates=rule).triples()
        assert [pair for *pair, _ in zip(*got, strict=True)] == [
            list(pair) for *pair, _ in expected
        ]
        np.testing.assert_allclose(
            got[2], [rating for *_, rating in expected], rtol=3e-7, atol=1e-5
        )


# Errors


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], [], []), ValueError, "there are no ratings"),
        (([1], [1, 2], [1]), ValueError, "got users 1, items 2, ratings 1 entries"),
        (([1], [1], [1], [1, 2]), ValueError, "timestamps 2 entries"),
        (([1], [1], [[1]]), ValueError, "ratings must be one-dimensional, one for each "
         "pair, got an array of shape (1, 1)"),
        ((np.ones((1, 1), int), [1], [1]), ValueError, "users must be one-dimensional"),
        (([1.5, 2], [1, 1], [1, 1]), TypeError, "users must be integers or strings, got 1.5 (float)"
         " at index 0"),
        ((np.array([1.0]), [1], [1]), TypeError, "users must be integers or strings, got 1.0"),
        (([1, 2], [True, 1], [1, 1]), TypeError, "items must be integers or strings, got True"),
        (([b"a"], [1], [1]), TypeError, "users must be integers or strings, got b'a' (bytes)"),
        (([1, 2, "3"], [1, 2, 3], [1] * 3), TypeError, "users mixes integers and strings: 1 at "
         "index 0, '3' at index 2"),
        (([1, 2], [1, None], [1, 1]), ValueError, "items has a missing id (None) at index 1, and 1"
         " in all"),
        (([1, 2], [1, np.nan], [1, 1]), ValueError, "items has a missing id (nan) at index 1"),
        ((pd.Series([1, None, None], dtype="Int64"), [1, 2, 3], [1] * 3), ValueError,
         "users has a missing id (.*) at index 1, and 2 in all"),
        ((pd.Series(["a", None]), [1, 2], [1, 1]), ValueError, "users has a missing id"),
        ((np.array(["2020-01-01"], "M8[ns]"), [1], [1]), TypeError, "dtype datetime64[ns]"),
        ((np.array([1, 2**63], np.uint64), [1, 2], [1, 1]), ValueError,
         f"users has the integer {2**63} at index 1, which does not fit in int64; pass these"),
        (([1, 2**63], [1, 2], [1, 1]), ValueError, f"users has the integer {2**63} at index 1"),
        (([1, -(2**63) - 1], [1, 2], [1, 1]), ValueError, "at index 1, which does not fit"),
        (("ab", [1, 2], [1, 1]), TypeError, "users must be a sequence of ids, got 'ab'; pass ['ab']"
         " for one id"),
        ((7, [1], [1]), TypeError, "users must be a sequence of ids, got 7; pass [7]"),
        (([1], [1], ["5"]), TypeError, "ratings must be numbers, got an array of dtype <U1; the "
         "first is '5'"),
        (([1, 2], [1, 2], np.array([1, "5"], object)), TypeError,
         "ratings must be numbers, got '5' (str) at index 1"),
        (([1], [1], [1j]), TypeError, "ratings must be numbers, got an array of dtype complex128"),
        (([1, 2, 3], [1, 2, 3], [1, np.nan, np.inf]), ValueError,
         "the rating at index 1 is nan, which is not finite, and so are 2 of 3 ratings"),
        (([1, 2], [1, 2], [1, None]), ValueError, "the rating at index 1 is nan"),
        (([1], [1], [1e39]), ValueError, "is 1e+39, which is too large for float32"),
        (([1], [1], [1], [np.nan]), TypeError, "timestamps must be a one-dimensional array of "
         "integers, floats, dates or ISO texts such as '2004-02-01', got dtype float64"),
        (([1], [1], [1], ["now"]), TypeError, "got dtype <U3, shape (1,), with 'now'; convert"),
        (([1], [1], [1], np.array(["NaT"], "M8[s]")), TypeError, "got dtype datetime64[s]"),
    ],
)  # fmt: skip
def test_error_names_the_first_offender_and_what_to_do(arguments, error, message):
    pattern = re.escape(message).replace(re.escape(".*"), ".*")
    with pytest.raises(error, match=pattern):
        Ratings.from_triples(*arguments)


def test_rating_outside_the_scale():
    message = (
        "the rating at index 1 is 6, outside the stated scale [1, 5], and so are 2 of 3 ratings; "
        "correct them, or state a wider scale: scale=(0, 6), of a model rating_scale=(0, 6)."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        Ratings.from_triples([1, 2, 3], [1, 2, 3], [1, 6, 0], scale=(1, 5))


def test_unknown_duplicate_rule():
    with pytest.raises(ValueError, match="duplicates must be one of 'raise', 'first', 'last'"):
        Ratings.from_triples([1], [1], [1], duplicates="sum")


# From a frame


@given(triples())
def test_frame_round_trip(given_triples):
    R = Ratings.from_triples(*given_triples, scale=(-100, 100))
    frame = R.to_frame()
    assert list(frame.columns) == ["user", "item", "rating", "timestamp"]
    assert_equal(Ratings.from_frame(frame, timestamp="timestamp", scale=(-100, 100)), R)
    assert_equal(as_ratings(frame, scale=(-100, 100)), R)
    without = Ratings.from_triples(*given_triples[:3]).to_frame()
    assert list(without.columns) == ["user", "item", "rating"]


def test_frame_columns_are_named():
    frame = pd.DataFrame({"stars": [1, 2], "who": ["a", "b"], "what": [5, 5], "when": [8, 9]})
    before = frame.copy(deep=True)
    R = Ratings.from_frame(frame, user="who", item="what", rating="stars", timestamp="when")
    assert R.triples()[0].tolist() == ["a", "b"]
    assert R.timestamps.tolist() == [8, 9]
    pd.testing.assert_frame_equal(frame, before)
    with pytest.raises(ValueError, match=r"no column 'user'; its columns are \['stars', 'who', "):
        Ratings.from_frame(frame)
    frame.columns = ["user", "item", "item", "rating"]
    with pytest.raises(ValueError, match="the frame has 2 columns named 'item'"):
        Ratings.from_frame(frame)


def test_frame_reads_only_times_as_timestamps_unasked():
    frame = pd.DataFrame({"user": [1], "item": [2], "rating": [3], "timestamp": ["yesterday"]})
    R = as_ratings(frame)
    assert R.timestamps is None
    assert R.columns.left_out == ("timestamp",)
    assert as_ratings(frame.assign(timestamp=7)).timestamps.tolist() == [7]
    assert as_ratings(frame.assign(timestamp="2020-01-01")).timestamps.tolist() == [1577836800]
    with pytest.raises(TypeError, match="timestamps must be a one-dimensional array of integers"):
        Ratings.from_frame(frame, timestamp="timestamp")


# From a matrix


@st.composite
def matrices(draw):
    """CSR arrays with float32 data, zeros stored, indices in any order, rows perhaps empty."""
    n_rows, n_columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    rows = [
        draw(st.lists(st.integers(0, n_columns - 1), unique=True, max_size=n_columns))
        for _ in range(n_rows)
    ]
    indices = np.array([column for row in rows for column in row], dtype=np.int64)
    indptr = np.cumsum([0] + [len(row) for row in rows])
    elements = st.sampled_from([0.0, 0.0, 1.0, 2.5, -4.0])
    data = draw(st.lists(elements, min_size=len(indices), max_size=len(indices)))
    return sparse.csr_array((np.array(data, np.float32), indices, indptr), (n_rows, n_columns))


def snapshot(matrix):
    return [(part.copy(), part.dtype) for part in (matrix.data, matrix.indices, matrix.indptr)]


@given(matrices())
def test_csr_matrix_and_csr_array_are_equal_and_unchanged(matrix):
    before = snapshot(matrix)
    if matrix.nnz == 0:
        with pytest.raises(ValueError, match="the matrix stores no ratings"):
            Ratings.from_matrix(matrix)
        return
    R = Ratings.from_matrix(matrix)
    assert_valid(R)
    assert R.shape == matrix.shape
    assert len(R) == matrix.nnz
    np.testing.assert_array_equal(R.matrix.toarray(), matrix.toarray())
    np.testing.assert_array_equal(R.order, np.arange(len(R)))
    coo = matrix.tocoo()
    assert set(zip(*R.positions()[:2], strict=True)) == set(zip(coo.row, coo.col, strict=True))
    for other in (sparse.csr_matrix(matrix), matrix.tocsc(), matrix.tocoo(), matrix.astype("f8")):
        assert_equal(Ratings.from_matrix(other), R)
        assert_equal(as_ratings(other), R)
    after = snapshot(matrix)
    for (old, old_dtype), (new, new_dtype) in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
        assert old_dtype == new_dtype
    assert matrix.data.flags.writeable


def test_lil_and_dok_are_read():
    for make in (sparse.lil_array, sparse.dok_array, sparse.lil_matrix, sparse.dok_matrix):
        matrix = make((2, 3), dtype=np.float32)
        matrix[1, 2], matrix[0, 1] = 4, 3
        assert [part.tolist() for part in as_ratings(matrix).triples()] == [[0, 1], [1, 2], [3, 4]]


@given(matrices(), st.randoms(use_true_random=False))
def test_ids_of_a_matrix_in_any_order(matrix, random):
    if matrix.nnz == 0:
        return
    users = [f"u{row}" for row in range(matrix.shape[0])]
    items = list(range(10, 10 + matrix.shape[1]))
    random.shuffle(users)
    random.shuffle(items)
    R = Ratings.from_matrix(matrix, user_ids=users, item_ids=items)
    assert_valid(R)
    assert R.shape == matrix.shape
    matrix.sort_indices()
    coo = matrix.tocoo()
    expected = [(users[r], items[c], v) for r, c, v in zip(coo.row, coo.col, coo.data, strict=True)]
    assert list(zip(*R.triples(), strict=True)) == expected


def test_a_matrix_is_copied():
    matrix = sparse.csr_array(np.array([[1, 0], [2, 3]], np.float32))
    R = Ratings.from_matrix(matrix)
    matrix.data[:] = 9
    assert R.matrix.data.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        (np.eye(2), TypeError, "a dense array cannot say which of its zeros are ratings"),
        ([[1, 2]], TypeError, "the matrix must be a SciPy sparse matrix or array, got list"),
        (sparse.dia_array(np.eye(2)), TypeError, "in DIA format pads with zeros"),
        (sparse.bsr_array(np.eye(2)), TypeError, "in BSR format pads with zeros"),
        (sparse.csr_array((2, 2)), ValueError, "the matrix stores no ratings"),
        (sparse.csr_array((0, 2)), ValueError, "the matrix stores no ratings"),
        (sparse.csr_array(np.eye(2) * 1j), TypeError, "ratings must be numbers"),
    ],
)
def test_wrong_kind_of_matrix(matrix, error, message):
    with pytest.raises(error, match=message):
        Ratings.from_matrix(matrix)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"user_ids": [1, 2]}, ValueError, "user_ids has 2 ids but the matrix has 3 rows"),
        ({"item_ids": ["a", "a"]}, ValueError, "item_ids has 'a' at index 1 for the second time"),
        ({"user_ids": [7, 5, 7]}, ValueError, "user_ids has 7 at index 2 for the second time"),
        ({"item_ids": [1.0, 2.0]}, TypeError, "item_ids must be integers or strings"),
        ({"scale": (1, 5)}, ValueError, r"the rating at \(row 0, column 1\) is 0, outside"),
    ],
)
def test_wrong_ids_or_scale_of_a_matrix(keywords, error, message):
    with pytest.raises(error, match=message):
        small(**keywords)


# Stored zeros


def test_stored_zeros_survive_every_path():
    R = Ratings.from_triples([1, 1, 2], ["a", "b", "a"], [0.0, 5, -0.0], scale=(0, 5))
    assert (R.matrix.data == 0).sum() == 2
    assert len(R.select([0, 2])) == len(R.select([True, False, True])) == 2
    assert (R.filter(min_item=2).matrix.data == 0).sum() == len(R.filter(min_item=2)) == 2
    assert (Ratings.from_frame(R.to_frame()).matrix.data == 0).sum() == 2
    assert (Ratings.from_matrix(R.matrix).matrix.data == 0).sum() == 2
    assert (Ratings.from_matrix(R.matrix, user_ids=[9, 4]).matrix.data == 0).sum() == 2
    assert (as_ratings(R.triples()).matrix.data == 0).sum() == 2
    assert (as_ratings(R, scale=(-1, 6)).matrix.data == 0).sum() == 2
    averaged = Ratings.from_triples([1, 1], [1, 1], [1, -1], duplicates="mean")
    assert averaged.matrix.nnz == 1


# Look-up


def test_positions_of_ids():
    R = Ratings.from_triples([30, 10, 20], ["x", "z", "y"], [1, 2, 3])
    positions = R.user_positions([10, 15, 30, 99, -(2**63), 2**63 - 1])
    assert positions.dtype == np.int64
    assert positions.tolist() == [0, -1, 2, -1, -1, -1]
    assert R.item_positions(np.array(["z", "?", "x"])).tolist() == [2, -1, 0]
    assert R.user_positions([]).tolist() == []
    assert R.item_positions(pd.Series([], dtype=object)).tolist() == []
    assert R.item_positions(R.item_ids).tolist() == [0, 1, 2]
    assert R.user_positions(R.user_ids).tolist() == [0, 1, 2]


def test_positions_refuse_ids_of_the_wrong_kind():
    R = Ratings.from_triples([30, 10], ["x", "z"], [1, 2])
    with pytest.raises(TypeError, match=r"user ids of these ratings are integers \(the first: 10"):
        R.user_positions(["10"])
    with pytest.raises(TypeError, match=r"are strings \(the first: 'x'\), but integers"):
        R.item_positions([1])
    with pytest.raises(TypeError, match=r"user ids must be integers or strings, got 1.0"):
        R.user_positions(np.array([1.0]))
    with pytest.raises(TypeError, match=r"item ids must be a sequence of ids, got 'x'; pass \['x'"):
        R.item_positions("x")


# Select and filter


@given(triples(), st.data())
def test_parts_of_a_selection_add_up(given_triples, data):
    R = Ratings.from_triples(*given_triples)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(R), max_size=len(R))))
    one, other = R.select(mask), R.select(~mask)
    for part in (one, other):
        assert_valid(part)
        assert part.shape == R.shape
        assert part.scale == R.scale
        assert part.user_ids is R.user_ids
    assert len(one) + len(other) == len(R)
    np.testing.assert_array_equal(one.matrix.toarray() + other.matrix.toarray(), R.matrix.toarray())
    rows = list(zip(*R.triples(), R.timestamps[R.order], strict=True))
    for part, kept in ((one, mask), (other, ~mask)):
        got = list(zip(*part.triples(), part.timestamps[part.order], strict=True))
        assert got == [row for row, keep in zip(rows, kept, strict=True) if keep]
    positions = np.flatnonzero(mask)
    assert_equal(R.select(data.draw(st.permutations(positions.tolist()))), one)


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        ([True, False], ValueError, "the boolean selection has 2 entries, but there are 3 ratings"),
        ([0, 3], IndexError, r"selection has the position 3; positions must be in \[0, 3\)"),
        ([-1], IndexError, "selection has the position -1"),
        ([2, 0, 2, 2], ValueError, r"gives 2 positions more than once \(the first: 2\)"),
        ([0.0, 1.0], TypeError, "a boolean mask or integer positions, got dtype float64"),
        ([[0]], ValueError, r"selection must be one-dimensional, got shape \(1, 1\)"),
    ],
)
def test_wrong_selection(selection, error, message):
    with pytest.raises(error, match=message):
        small().select(selection)


def test_empty_selection():
    R = small().select([])
    assert_valid(R)
    assert len(R) == 0
    assert R.shape == (3, 2)
    assert repr(R) == "Ratings(0 ratings, 3 users x 2 items, 0 % filled, scale 0-5)"
    assert [len(part) for part in R.triples()] == [0, 0, 0]
    assert len(R.to_frame()) == 0


@given(triples(), st.integers(0, 3), st.integers(0, 3))
def test_filter_reaches_the_largest_fixpoint(given_triples, min_user, min_item):
    rows = list(zip(*given_triples, strict=True))
    while True:  # one pass after the other, with plain lists
        users, items = [row[0] for row in rows], [row[1] for row in rows]
        kept = [
            row
            for row in rows
            if users.count(row[0]) >= min_user and items.count(row[1]) >= min_item
        ]
        if kept == rows:
            break
        rows = kept
    R = Ratings.from_triples(*given_triples)
    if not rows:
        with pytest.raises(ValueError, match=r"no rating is left after filter\(min_user="):
            R.filter(min_user, min_item)
        return
    filtered = R.filter(min_user=min_user, min_item=min_item)
    assert_valid(filtered)
    assert filtered.scale == R.scale
    assert list(zip(*filtered.triples(), filtered.timestamps[filtered.order], strict=True)) == rows
    assert filtered.matrix.sum(axis=1).shape == (filtered.n_users,)
    assert np.diff(filtered.matrix.indptr).min() >= max(min_user, 1)
    assert np.bincount(filtered.matrix.indices).min() >= max(min_item, 1)
    assert_equal(filtered.filter(min_user, min_item), filtered)


def test_filter_drops_what_has_no_ratings():
    R = small(user_ids=["a", "b", "c"]).filter()
    assert R.user_ids.tolist() == ["a", "c"]
    assert R.matrix.toarray().tolist() == [[4, 0], [5, 0]]
    assert len(R) == 3


@pytest.mark.parametrize("keywords", [{"min_user": -1}, {"min_item": -5}])
def test_filter_refuses_negative_minima(keywords):
    with pytest.raises(ValueError, match=r"min_\w+ must be at least 0, got -"):
        small().filter(**keywords)
    with pytest.raises(TypeError, match=r"min_user must be an integer, got 2.0"):
        small().filter(2.0)


# The object


def test_repr():
    n = 1234
    R = Ratings.from_triples(np.arange(n), np.arange(n) % 7, np.arange(n) % 9 / 2 + 0.5)
    assert repr(R) == "Ratings(1,234 ratings, 1,234 users x 7 items, 14.3 % filled, scale 0.5-4.5)"
    assert repr(as_ratings(R, scale=(-10, 10))).endswith("scale -10 to 10)")


def test_ratings_are_immutable_and_can_be_copied():
    R = small(user_ids=["a", "b", "c"])
    R.user_positions(["a"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        R.scale = (1, 5)
    with pytest.raises(ValueError, match="read-only"):
        R.matrix.data[0] = 1
    for twin in (copy.copy(R), copy.deepcopy(R), pickle.loads(pickle.dumps(R))):
        assert_equal(twin, R)


def test_sparse_algebra_works_on_read_only_arrays():
    matrix = small().matrix
    dense = matrix.toarray()
    np.testing.assert_array_equal(matrix @ np.ones((2, 3)), dense @ np.ones((2, 3)))
    np.testing.assert_array_equal(matrix.T @ np.ones(3), dense.T @ np.ones(3))
    np.testing.assert_array_equal(matrix[[2, 0]].toarray(), dense[[2, 0]])
    np.testing.assert_array_equal(matrix[1:3].toarray(), dense[1:3])
    np.testing.assert_array_equal(matrix[:, [1]].toarray(), dense[:, [1]])
    for turned in (matrix.tocsc(), matrix.T.tocsr().T, matrix.tocoo(), matrix.astype(np.float64)):
        assert turned.nnz == 3
        np.testing.assert_array_equal(turned.toarray(), dense)
    matrix.sort_indices()
    matrix.sum_duplicates()
    assert matrix.nnz == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.eye(2), "a dense array cannot say which of its zeros are ratings"),
        ([[1], [2], [3]], "ratings must be a Ratings, a SciPy sparse matrix .* got list"),
        (([1], [2]), "got tuple of length 2"),
        ("ratings.csv", "got str; for a file use autorec_np.read_ratings"),
        (None, "got NoneType"),
    ],
)
def test_as_ratings_says_what_it_takes(data, message):
    with pytest.raises(TypeError, match=message):
        as_ratings(data)


def test_as_ratings_keeps_ratings_and_checks_a_new_scale():
    R = Ratings.from_triples([2, 1], [1, 1], [5, 1])
    assert as_ratings(R) is R
    assert as_ratings(R, scale=(0, 6)).scale == (0, 6)
    assert R.scale == (1, 5)
    with pytest.raises(ValueError, match="the rating at index 0 is 5, outside the stated scale"):
        as_ratings(R, scale=(0, 4))
    four = as_ratings(([2, 1], [1, 1], [5, 1], [8, 9]), scale=(0, 6))
    assert four.scale == (0, 6)
    assert four.timestamps[four.order].tolist() == [8, 9]


def test_integer_ids_do_not_load_pandas():
    script = (
        "import sys; from autorec_np.data.ratings import Ratings, as_ratings\n"
        "R = as_ratings(([3, 1], [1, 1], [5, 1])); R.user_positions([1]); R.filter()\n"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_oriented_has_users_or_items_as_its_rows():
    R = Ratings.from_triples([2, 1, 1, 3], [10, 20, 10, 20], [1.0, 0.0, 3.0, 4.0])
    assert R.oriented("user") is R.matrix
    turned = R.oriented("item")
    assert turned.has_canonical_format
    assert turned.dtype == np.float32
    assert turned.shape == (2, 3)
    found = [turned.indptr.tolist(), turned.indices.tolist(), turned.data.tolist()]
    assert found == [[0, 2, 4], [0, 1, 0, 2], [3.0, 1.0, 0.0, 4.0]]
