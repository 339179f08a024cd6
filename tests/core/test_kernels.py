"""The sparse products against loops, against each other, and within memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from matrices import random_csr, small_csr, whole_numbers
from scipy import sparse

from autorec_np.core.kernels import column_sums, sddmm, spmm, spmm_transpose, take_rows, with_data
from autorec_np.gradcheck import adjoint_test

DTYPES = [np.float32, np.float64, np.complex128]
MEGABYTE = 2**20


# Against loops


@pytest.mark.parametrize("dtype", DTYPES)
@given(matrix=small_csr(), k=st.integers(1, 3), seed=st.integers(0, 99))
def test_products_equal_the_loops(dtype, matrix, k, seed):
    n_rows, n_columns = matrix.shape
    left, right = (
        whole_numbers((n_rows, k), seed, dtype),
        whole_numbers((n_columns, k), seed, dtype),
    )
    for got, expected in [
        (spmm(matrix, right), reference.spmm(matrix, right)),
        (spmm_transpose(matrix, left), reference.spmm_transpose(matrix, left)),
        (sddmm(matrix, left, right), reference.sddmm(matrix, left, right)),
    ]:
        assert got.dtype == dtype
        assert got.shape == expected.shape
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@given(matrix=small_csr(), seed=st.integers(0, 99))
def test_column_sums_equal_the_loops(dtype, matrix, seed):
    matrix = with_data(matrix, whole_numbers(matrix.nnz, seed, dtype))
    sums = column_sums(matrix)
    assert (sums.dtype, sums.shape) == (dtype, (matrix.shape[1],))
    np.testing.assert_array_equal(sums, reference.column_sums(matrix))


def test_long_rows():
    matrix = random_csr(4, 2000, 5000, seed=1)
    left, right = whole_numbers((4, 3), 2), whole_numbers((2000, 3), 3)
    np.testing.assert_array_equal(sddmm(matrix, left, right), reference.sddmm(matrix, left, right))


def test_column_sums_are_accumulated_in_float64():
    # in float32, 2^24 + 1 is 2^24 again: a float32 sum would never leave its first term
    column = np.array([2.0**24, *[1.0] * 64], np.float32)[:, np.newaxis]
    assert column_sums(sparse.csr_array(column))[0] == 2**24 + 64


# Laws


@given(matrix=small_csr(), k=st.integers(1, 3), seed=st.integers(0, 99))
def test_each_product_is_the_adjoint_of_another(matrix, k, seed):
    left, right = (whole_numbers((n, k), seed + n) for n in matrix.shape)
    through_spmm = np.sum(spmm(matrix, right) * left)  # <A D, Y>
    assert through_spmm == np.sum(right * spmm_transpose(matrix, left))  # <D, A^T Y>
    assert through_spmm == np.sum(matrix.data * sddmm(matrix, left, right))  # <A, Y D^T>


def test_adjoint_at_size():
    matrix = random_csr(300, 200, 4000, seed=4)
    rng = np.random.default_rng(5)
    left, right = rng.normal(size=(300, 5)), rng.normal(size=(200, 5))
    forward = np.sum(spmm(matrix, right) * left)
    np.testing.assert_allclose(np.sum(right * spmm_transpose(matrix, left)), forward, rtol=1e-12)
    np.testing.assert_allclose(matrix.data @ sddmm(matrix, left, right), forward, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_products_equal_the_dense_ones(dtype):
    matrix = random_csr(60, 40, 900, seed=6, dtype=dtype)
    rng = np.random.default_rng(7)
    left, right = rng.normal(size=(60, 8)).astype(dtype), rng.normal(size=(40, 8)).astype(dtype)
    dense, stored = reference.dense_and_stored(matrix)
    tolerance = 40 * np.finfo(dtype).eps
    wide_left, wide_right = left.astype(np.float64), right.astype(np.float64)
    for got, expected in [
        (spmm(matrix, right), dense @ wide_right),
        (spmm_transpose(matrix, left), dense.T @ wide_left),
        (sddmm(matrix, left, right), (wide_left @ wide_right.T)[stored]),
    ]:
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * 10)


# The pattern


A = random_csr(40, 30, 300, seed=0)
LEFT, RIGHT = (np.random.default_rng(1).normal(size=(n, 4)) for n in A.shape)
PAIRS = {
    "spmm": (lambda D: spmm(A, D), lambda Y: spmm_transpose(A, Y), (30, 4)),
    "spmm_transpose": (lambda D: spmm_transpose(A, D), lambda Y: spmm(A, Y), (40, 4)),
    "sddmm by its left": (
        lambda L: sddmm(A, L, RIGHT.astype(L.dtype)),
        lambda y: spmm(with_data(A, y), RIGHT.astype(y.dtype)),
        (40, 4),
    ),
    "sddmm by its right": (
        lambda R: sddmm(A, LEFT.astype(R.dtype), R),
        lambda y: spmm_transpose(with_data(A, y), LEFT.astype(y.dtype)),
        (30, 4),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PAIRS)
def test_the_backward_pass_of_each_product_is_its_adjoint(name, dtype):
    forward, backward, shape = PAIRS[name]
    report = adjoint_test(forward, backward, shape, dtype=dtype)
    assert report.passed, report
    wrong = adjoint_test(forward, lambda Y: backward(Y) * Y.dtype.type(1.01), shape, dtype=dtype)
    assert wrong.note == "At is not the adjoint of A"


def test_sddmm_samples_stored_zeros_and_does_not_read_values(tiny_matrix):
    left, right = whole_numbers((7, 2), 8), whole_numbers((6, 2), 9)
    sampled = sddmm(tiny_matrix, left, right)
    assert len(sampled) == tiny_matrix.nnz == 17
    _, stored = reference.dense_and_stored(tiny_matrix)
    np.testing.assert_array_equal(sampled, (left @ right.T)[stored])
    poisoned = with_data(tiny_matrix, np.full(17, np.nan))
    np.testing.assert_array_equal(sddmm(poisoned, left, right), sampled)


def test_with_data_shares_the_pattern_and_keeps_zeros(tiny_matrix):
    zeros = with_data(tiny_matrix, np.zeros(tiny_matrix.nnz))
    assert zeros.nnz == tiny_matrix.nnz
    assert zeros.shape == tiny_matrix.shape
    assert np.shares_memory(zeros.indices, tiny_matrix.indices)
    assert np.shares_memory(zeros.indptr, tiny_matrix.indptr)


def test_take_rows_keeps_stored_zeros_in_the_order_asked(tiny_matrix):
    rows = np.array([6, 1, 0, 3])
    block = take_rows(tiny_matrix, rows)
    values, stored = reference.dense_and_stored(tiny_matrix)
    block_values, block_stored = reference.dense_and_stored(block)
    np.testing.assert_array_equal(block_values, values[rows])
    np.testing.assert_array_equal(block_stored, stored[rows])
    assert block.nnz == 9
    assert np.count_nonzero(block.data == 0) == 3


@pytest.mark.parametrize("rows", [[], [2]])
def test_take_no_row_or_one_row_is_two_dimensional(tiny_matrix, rows):
    block = take_rows(tiny_matrix, np.array(rows, np.int64))
    assert block.shape == (len(rows), 6)
    assert block.format == "csr"


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (4, 3)])
def test_matrices_without_entries(shape):
    n_rows, n_columns = shape
    matrix = sparse.csr_array(shape)
    left, right = np.ones((n_rows, 2)), np.ones((n_columns, 2))
    np.testing.assert_array_equal(spmm(matrix, right), np.zeros((n_rows, 2)))
    np.testing.assert_array_equal(spmm_transpose(matrix, left), np.zeros((n_columns, 2)))
    assert sddmm(matrix, left, right).shape == (0,)
    np.testing.assert_array_equal(column_sums(matrix), np.zeros(n_columns))


def test_one_column():
    matrix = sparse.csr_array(np.array([[2.0], [0.0], [3.0]]))
    left, right = np.array([[1.0], [9.0], [4.0]]), np.array([[5.0]])
    np.testing.assert_array_equal(spmm(matrix, right), [[10.0], [0.0], [15.0]])
    np.testing.assert_array_equal(spmm_transpose(matrix, left), [[14.0]])
    np.testing.assert_array_equal(sddmm(matrix, left, right), [5.0, 20.0])
    np.testing.assert_array_equal(column_sums(matrix), [5.0])


def test_unsorted_indices_and_64_bit_indices_give_the_same(tiny_matrix):
    rows = np.repeat(np.arange(7), np.diff(tiny_matrix.indptr))
    backwards = np.lexsort((-tiny_matrix.indices, rows))  # within each row
    shuffled = sparse.csr_array(
        (
            tiny_matrix.data[backwards],
            tiny_matrix.indices[backwards].astype(np.int64),
            tiny_matrix.indptr.astype(np.int64),
        ),
        shape=tiny_matrix.shape,
    )
    left, right = whole_numbers((7, 2), 10), whole_numbers((6, 2), 11)
    np.testing.assert_array_equal(spmm(shuffled, right), spmm(tiny_matrix, right))
    np.testing.assert_array_equal(spmm_transpose(shuffled, left), spmm_transpose(tiny_matrix, left))
    np.testing.assert_array_equal(
        sddmm(shuffled, left, right), sddmm(tiny_matrix, left, right)[backwards]
    )
    np.testing.assert_array_equal(column_sums(shuffled), column_sums(tiny_matrix))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dense_factor_decides_the_dtype(tiny_matrix, dtype):
    for own in (np.float32, np.float64, np.int64):
        matrix = with_data(tiny_matrix, tiny_matrix.data.astype(own))
        assert spmm(matrix, np.ones((6, 2), dtype)).dtype == dtype
        assert spmm_transpose(matrix, np.ones((7, 2), dtype)).dtype == dtype
        assert sddmm(matrix, np.ones((7, 2), dtype), np.ones((6, 2), dtype)).dtype == dtype


def test_arguments_are_not_changed(tiny_matrix):
    copy = tiny_matrix.copy()
    left, right = np.ones((7, 2), np.float32), np.ones((6, 2), np.float32)
    for array in (left, right):
        array.flags.writeable = False
    spmm(tiny_matrix, right)
    spmm_transpose(tiny_matrix, left)
    sddmm(tiny_matrix, left, right)
    column_sums(tiny_matrix)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(tiny_matrix, name), getattr(copy, name))
    assert np.all(left == 1)
    assert np.all(right == 1)


# What a layer reads may be dense


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_matrices_have_the_products_of_a_layer(dtype):
    hidden, signal = whole_numbers((7, 4), 1, dtype), whole_numbers((7, 3), 2, dtype)
    weight = whole_numbers((4, 3), 3, dtype)
    np.testing.assert_array_equal(spmm(hidden, weight), hidden @ weight)
    np.testing.assert_array_equal(spmm_transpose(hidden, signal), hidden.T @ signal)
    np.testing.assert_array_equal(column_sums(signal), signal.sum(axis=0))
    for product in (spmm(hidden, weight), spmm_transpose(hidden, signal), column_sums(signal)):
        assert product.dtype == dtype


def test_column_sums_of_a_dense_matrix_are_accumulated_in_float64():
    column = np.array([2.0**24, *[1.0] * 64], np.float32)[:, np.newaxis]
    assert column_sums(column)[0] == 2**24 + 64


def test_another_kind_of_matrix_brings_its_own_products(tiny_matrix):
    class Doubled:
        def __init__(self, matrix):
            self.matrix = matrix

    spmm.register(Doubled, lambda doubled, dense: 2 * spmm(doubled.matrix, dense))
    dense = whole_numbers((6, 2), 4)
    np.testing.assert_array_equal(spmm(Doubled(tiny_matrix), dense), 2 * spmm(tiny_matrix, dense))


# Memory


def test_no_dense_rows_by_columns_array_is_formed():
    n, k = 20_000, 4
    matrix = random_csr(n, n, 20_000, seed=16, dtype=np.float32)
    left, right = np.ones((n, k), np.float32), np.ones((n, k), np.float32)
    tracemalloc.start()
    try:
        spmm(matrix, right)
        spmm_transpose(matrix, left)
        sddmm(matrix, left, right)
        column_sums(matrix)
        take_rows(matrix, np.arange(0, n, 2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * MEGABYTE  # one bit for each of the n x n cells would take 48
