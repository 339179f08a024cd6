"""Ids: of one exact kind, distinct, in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.data.ids import check_ids, unique_with_positions

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
