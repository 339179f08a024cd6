"""The best n of each row against a full sort."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from autorec_np.models.frames import top_n


@st.composite
def scores_and_excluded(draw):
    """Few different scores, so that most rows have ties, also at the boundary."""
    shape = draw(st.tuples(st.integers(0, 4), st.integers(1, 9)))
    values = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 2.0])
    scores = draw(hnp.arrays(np.float64, shape, elements=values))
    excluded = draw(hnp.arrays(np.bool_, shape))
    rows, columns = np.nonzero(excluded)
    seen = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)
    return scores, draw(st.sampled_from([None, seen]))


@given(case=scores_and_excluded(), n=st.integers(1, 12))
def test_equals_the_full_sort(case, n):
    scores, excluded = case
    expected_columns, expected = reference.top_n(scores, n, excluded)
    columns, best = top_n(scores.copy(), n, excluded)
    assert columns.shape == best.shape == (len(scores), min(n, scores.shape[1]))
    assert columns.tolist() == expected_columns
    assert best.tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_full_sort_on_long_rows(dtype):
    scores = np.random.default_rng(0).integers(0, 200, (3, 1000)).astype(dtype)
    excluded = sparse.csr_array(np.random.default_rng(1).random((3, 1000)) < 0.3)
    expected_columns, expected = reference.top_n(scores, 50, excluded)
    columns, best = top_n(scores, 50, excluded)
    assert columns.tolist() == expected_columns
    assert best.tolist() == expected
    assert best.dtype == dtype


def test_equal_scores_by_ascending_column_also_at_the_boundary():
    columns, best = top_n(np.array([[1.0, 3.0, 2.0, 3.0, 2.0, 2.0]]), 4)
    np.testing.assert_array_equal(columns, [[1, 3, 2, 4]])
    np.testing.assert_array_equal(best, [[3.0, 3.0, 2.0, 2.0]])


def test_stored_zeros_are_excluded():
    excluded = sparse.csr_array((np.array([0.0, 4.0]), [2, 0], [0, 2]), shape=(1, 3))
    columns, best = top_n(np.array([[1.0, 2.0, 3.0]]), 2, excluded)
    np.testing.assert_array_equal(columns, [[1, 0]])
    np.testing.assert_array_equal(best, [[2.0, -np.inf]])


def test_excluded_scores_are_overwritten_and_no_others():
    scores = np.array([[1.0, 2.0], [3.0, 4.0]])
    top_n(scores, 1, sparse.csr_array(np.array([[0, 1], [1, 0]])))
    np.testing.assert_array_equal(scores, [[1.0, -np.inf], [-np.inf, 4.0]])


def test_a_row_with_everything_excluded_is_minus_infinity():
    _, best = top_n(np.ones((2, 3)), 2, sparse.csr_array(np.array([[1, 1, 1], [0, 0, 1]])))
    np.testing.assert_array_equal(best, [[-np.inf, -np.inf], [1.0, 1.0]])


def test_no_more_than_all_columns():
    columns, best = top_n(np.array([[1.0, 3.0, 2.0]]), 10)
    np.testing.assert_array_equal(columns, [[1, 2, 0]])
    np.testing.assert_array_equal(best, [[3.0, 2.0, 1.0]])
