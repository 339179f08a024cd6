"""Ids: of one exact kind, distinct, in order."""

from __future__ import annotations

import datetime
import uuid

import numpy as np
import pytest
from advice import follow
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.data.ratings import Ratings
from autorec_np.data.values import check_ids, unique_with_positions

INT64 = np.iinfo(np.int64)
integer_ids = st.one_of(st.integers(-3, 5), st.integers(INT64.min, INT64.max))
string_ids = st.text(max_size=3)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1))
def test_look_up_table_and_sort_find_the_same_unique_ids(ids):
    dense = np.array(ids) // 10**5
    for array in (np.array(ids), dense, np.array(ids) * 10**12):
        unique, positions = unique_with_positions(array)
        expected, expected_positions = np.unique(array, return_inverse=True)
        np.testing.assert_array_equal(unique, expected)
        np.testing.assert_array_equal(positions, expected_positions.reshape(-1))


@given(st.lists(st.one_of(integer_ids, string_ids, st.booleans(), st.none(), st.floats())))
def test_ids_are_of_one_exact_kind_or_refused(ids):
    kinds = {type(one) for one in ids}
    if kinds <= {int}:
        assert check_ids(ids, "ids").dtype == np.int64
    elif kinds == {str}:
        assert check_ids(ids, "ids").dtype == object
    else:
        with pytest.raises((TypeError, ValueError), match=r"ids (must|mixes|has)"):
            check_ids(ids, "ids")
        return
    assert check_ids(ids, "ids").tolist() == ids


def test_uuids_become_strings():
    ids = [uuid.UUID(int=2), uuid.UUID(int=1)]
    assert check_ids(ids, "users").tolist() == [str(one) for one in ids]
    assert check_ids(np.array(ids, object), "users").dtype == object


@pytest.mark.parametrize(
    ("ids", "start", "expected"),
    [
        ([1.0, 2.0], "numpy.asarray(", [1, 2]),
        (np.array([1.0, 2.0]), "numpy.asarray(", [1, 2]),
        (np.array(["2004-01-01"], "M8[D]"), "numpy.asarray(", ["2004-01-01"]),
    ],
)
def test_advice_makes_ids(ids, start, expected):
    with pytest.raises(TypeError, match="users must be integers or strings") as caught:
        check_ids(ids, "users")
    text = str(caught.value)
    method = ".astype('int64')" if "int64" in text else ".astype(str)"
    assert f"{start}ids){method}" in text
    mended = follow(text.replace("ids)", "(ids))"), f"{start}(", ids=ids)
    mended = mended.astype("int64") if "int64" in text else mended.astype(str)
    assert check_ids(mended, "users").tolist() == expected


@pytest.mark.parametrize(
    ("ids", "advice", "expected"),
    [
        ([b"a", b"b"], "[one.decode() for one in ids]", ["a", "b"]),
        ([1.5, 2.5], "[str(one) for one in ids]", ["1.5", "2.5"]),
        ([(1, 2), (3, 4)], "[str(one) for one in ids]", ["(1, 2)", "(3, 4)"]),
        ([datetime.date(2004, 1, 1)], "[str(one) for one in ids]", ["2004-01-01"]),
        ([1, "2"], "[str(one) for one in ids]", ["1", "2"]),
    ],
)
def test_advice_in_the_form_of_a_list(ids, advice, expected):
    with pytest.raises(TypeError) as caught:
        check_ids(ids, "users")
    assert advice in str(caught.value)
    assert check_ids(eval(advice, {"ids": ids}), "users").tolist() == expected


@pytest.mark.parametrize("one", ["a", 7, np.int64(7), uuid.UUID(int=1)])
def test_one_id_is_to_be_put_into_a_list(one):
    with pytest.raises(TypeError, match="for one id") as caught:
        check_ids(one, "ids")
    names = {"UUID": uuid.UUID, "np": np}
    advice = str(caught.value).rpartition("pass ")[2].removesuffix(" for one id.")
    assert len(check_ids(eval(advice, names), "ids")) == 1


@pytest.mark.parametrize("nothing", [None, 1.5, True])
def test_what_is_no_id_is_not_to_be_put_into_a_list(nothing):
    with pytest.raises(TypeError, match=r"ids must be a sequence of ids, got [\w.]+\.$"):
        check_ids(nothing, "ids")


def test_of_a_mask_the_ids_are_wanted():
    mask = np.array([True, False])
    with pytest.raises(TypeError, match=r"of a mask, pass the ids that it selects: ids\[mask\]"):
        check_ids(mask, "item ids")
    assert check_ids(np.array([5, 7])[mask], "item ids").tolist() == [5]


def test_advice_on_ids_of_the_other_kind():
    R = Ratings.from_triples([30, 10], ["7", "8"], [1, 2])
    with pytest.raises(TypeError, match=r"\[int\(one\) for one in ids\] if they write integers"):
        R.user_positions(["10"])
    with pytest.raises(TypeError, match="pass \\[str\\(one\\) for one in ids\\]"):
        R.item_positions([7])
    assert R.user_positions([int(one) for one in ["10"]]).tolist() == [0]
    assert R.item_positions([str(one) for one in [7]]).tolist() == [0]
