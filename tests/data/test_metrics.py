"""RMSE and MAE."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from autorec_np.data.splitting import mae, rmse

RATINGS = st.floats(-100, 100, allow_nan=False, width=32)
BOTH = pytest.mark.parametrize("metric", [rmse, mae])
law = settings(deadline=None, derandomize=True, max_examples=60)


@st.composite
def rating_pairs(draw, min_size=1):
    n = draw(st.integers(min_size, 30))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    vectors = hnp.arrays(dtype, n, elements=RATINGS)
    return draw(vectors), draw(vectors)


def rmse_by_loop(true, predicted):
    total = 0.0
    for r, p in zip(true.tolist(), predicted.tolist(), strict=True):
        total += (r - p) ** 2
    return math.sqrt(total / len(true))


def mae_by_loop(true, predicted):
    total = 0.0
    for r, p in zip(true.tolist(), predicted.tolist(), strict=True):
        total += abs(r - p)
    return total / len(true)


@given(rating_pairs())
@law
def test_the_errors_equal_plain_loops(pair):
    assert rmse(*pair) == pytest.approx(rmse_by_loop(*pair), rel=1e-12, abs=1e-150)
    assert mae(*pair) == pytest.approx(mae_by_loop(*pair), rel=1e-12, abs=1e-150)


def test_known_values_differ_between_the_two():
    assert rmse([1, 2, 3, 4], [1, 2, 3, 0]) == 2.0
    assert mae([1, 2, 3, 4], [1, 2, 3, 0]) == 1.0


@given(rating_pairs())
@law
def test_rmse_is_at_least_mae_and_at_most_the_largest_error(pair):
    largest = np.abs(pair[0].astype(float) - pair[1]).max()
    assert mae(*pair) <= rmse(*pair) * (1 + 1e-12)
    assert rmse(*pair) <= largest * (1 + 1e-12)


@given(rating_pairs(), st.randoms(use_true_random=False))
@law
def test_the_order_of_the_pairs_does_not_matter(pair, random):
    order = list(range(len(pair[0])))
    random.shuffle(order)
    for metric in (rmse, mae):
        assert metric(pair[0][order], pair[1][order]) == pytest.approx(metric(*pair), rel=1e-12)


@given(rating_pairs())
@law
def test_the_errors_are_symmetric_and_vanish_on_equal_arrays(pair):
    for metric in (rmse, mae):
        assert metric(*pair) == metric(*pair[::-1])
        assert metric(pair[0], pair[0]) == 0.0


@given(rating_pairs(), rating_pairs())
@law
def test_pooling_weighs_the_parts_by_their_number_of_pairs(one, other):
    both = [np.concatenate(arrays) for arrays in zip(one, other, strict=True)]
    n, m = len(one[0]), len(other[0])
    squared = (n * rmse(*one) ** 2 + m * rmse(*other) ** 2) / (n + m)
    assert rmse(*both) == pytest.approx(math.sqrt(squared), rel=1e-9, abs=1e-12)
    absolute = (n * mae(*one) + m * mae(*other)) / (n + m)
    assert mae(*both) == pytest.approx(absolute, rel=1e-9, abs=1e-12)


def test_float32_input_is_accumulated_in_float64():
    error = np.full(2**20 + 1, 0.1, dtype=np.float32)
    zeros = np.zeros_like(error)
    exact = float(np.float32(0.1))
    assert rmse(error, zeros) == pytest.approx(exact, rel=1e-13)
    assert mae(error, zeros) == pytest.approx(exact, rel=1e-13)


@BOTH
def test_integers_of_unsigned_type_do_not_wrap_around(metric):
    assert metric(np.array([1], np.uint8), np.array([3], np.uint8)) == 2.0


@BOTH
def test_the_result_is_a_python_float(metric):
    assert type(metric(np.ones(2, np.float32), np.zeros(2, np.float32))) is float


@BOTH
def test_the_inputs_are_not_changed(metric):
    true, predicted = np.array([1.0, 2.0]), np.array([2.0, 4.0])
    metric(true, predicted)
    assert true.tolist() == [1.0, 2.0]
    assert predicted.tolist() == [2.0, 4.0]


@BOTH
@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([1.0, 2.0], [1.0], "2 ratings and predicted has 1"),
        ([1.0], [1.0, 1.0], "1 ratings and predicted has 2"),
        ([], [], "true is empty"),
        ([1.0, np.nan], [1.0, 1.0], "true must be finite, got nan at index 1"),
        ([1.0, 1.0], [np.inf, 1.0], "predicted must be finite, got inf at index 0"),
        ([[1.0]], [[1.0]], "1-d"),
        (1.0, 1.0, "1-d"),
    ],
)
def test_wrong_values_are_refused(metric, true, predicted, message):
    with pytest.raises(ValueError, match=message):
        metric(true, predicted)


@BOTH
@pytest.mark.parametrize("wrong", [["a"], [None], [1j], sparse.csr_array(np.ones((1, 1)))])
def test_wrong_types_are_refused(metric, wrong):
    with pytest.raises(TypeError, match="predicted must hold real numbers"):
        metric([1.0], wrong)


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        (["4", "3.5"], "numpy.asarray(values, dtype='float64')"),
        (np.array([4 + 0j, 3.5]), "numpy.real(values)"),
        (np.array([4.0, 3.5])[:, None], "table[is_rated]"),
    ],
)
def test_advice_makes_numbers_of_values(values, advice):
    with pytest.raises((TypeError, ValueError)) as caught:
        rmse(values, [4, 3.5])
    assert advice in str(caught.value)
    scope = {"values": values, "numpy": np, "table": values, "is_rated": values == values}
    assert rmse(eval(advice, scope), [4, 3.5]) == 0


def test_advice_on_a_sparse_matrix():
    matrix = sparse.csr_array(np.eye(2))
    with pytest.raises(TypeError, match="of a sparse matrix, pass its data"):
        rmse(matrix, matrix)
    assert rmse(matrix.data, matrix.data) == 0
