"""The tiled products against the plain ones, in tiles so small that every path is taken."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from matrices import random_csr, small_csr, whole_numbers
from scipy import sparse

from autorec_np.core.kernels import (
    column_sums,
    sddmm,
    spmm,
    spmm_transpose,
    spmm_transpose_parts,
    with_data,
)
from autorec_np.engine import tiled as tiling
from autorec_np.engine.threads import Workers
from autorec_np.engine.tiled import Tiling, by_activity, reordered, split

SMALL = {
    "TILE_ROWS": 2,
    "BAND_ROWS": 3,
    "STRIP_COLUMNS": 3,
    "STEP": 1,
    "GROUP": 2,
    "GATHERED_ELEMENTS": 8,
    "GROUPS_PER_TASK": 4,
    "GROUP_COLUMNS": 2,
    "DENSE_ENOUGH": 0.4,
}


@pytest.fixture(scope="module")
def pool():
    with Workers(2) as pool:
        yield pool


@pytest.fixture
def small_tiles(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(tiling, name, value)


def tiled_from(matrix):
    return Tiling(split(matrix)).tile(matrix)


def small_tiling(matrix):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(tiling, name, value)
        return tiled_from(matrix)


def long_tailed(n_rows=300, n_columns=700, nnz=20_000, seed=0, dtype=np.float32):
    """A matrix with a dense corner, in order of activity."""
    rng = np.random.default_rng(seed)
    rows = (n_rows * rng.random(nnz) ** 3).astype(int)
    columns = (n_columns * rng.random(nnz) ** 3).astype(int)
    cells = np.unique(rows * n_columns + columns)
    matrix = sparse.csr_array(
        (rng.normal(size=len(cells)).astype(dtype), np.divmod(cells, n_columns)),
        shape=(n_rows, n_columns),
    )
    return reordered(matrix, *by_activity(matrix))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@given(
    matrix=small_csr(),
    k=st.integers(1, 3),
    seed=st.integers(0, 99),
    dense_enough=st.sampled_from([0.4, 0.8, 2.0]),  # from 1 on, all is rest
)
def test_products_equal_the_loops(pool, dtype, matrix, k, seed, dense_enough):
    left, right = (whole_numbers((n, k), seed + n, dtype) for n in matrix.shape)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SMALL, "DENSE_ENOUGH": dense_enough}.items():
            patch.setattr(tiling, name, value)
        tiled = tiled_from(matrix)
        for threads in (None, pool):
            for got, expected in [
                (spmm(tiled, right, threads), reference.spmm(matrix, right)),
                (spmm_transpose(tiled, left, threads), reference.spmm_transpose(matrix, left)),
                (
                    sddmm(tiled, left, right, threads),
                    reference.sddmm(matrix, left, right)[tiled.tiling.order],
                ),
            ]:
                assert got.dtype == dtype
                np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(column_sums(tiled), column_sums(matrix))


@given(matrix=small_csr())
def test_every_entry_is_in_the_corner_or_in_the_rest(matrix):
    plan = small_tiling(matrix).tiling
    np.testing.assert_array_equal(np.sort(plan.order), np.arange(matrix.nnz))
    np.testing.assert_array_equal(plan.indices, matrix.indices[plan.order])
    n_cells = sum(plan.widths[number // SMALL["TILE_ROWS"]] for number in range(matrix.shape[0]))
    assert plan.n_dense == len(plan.cells) <= n_cells
    assert sum(cells.size for cells in plan.tile(matrix).corner()) == n_cells
    for name in ("rest_of_bands", "rest_of_panels"):
        held = [part.data for part in getattr(plan, name)]
        positions = np.arange(matrix.nnz - plan.n_dense)
        np.testing.assert_array_equal(np.sort(np.concatenate([*held, []])), positions)
    assert plan.widths == sorted(plan.widths, reverse=True)


@pytest.mark.parametrize("tile_rows", [64, 100])
def test_a_long_tailed_matrix_has_a_corner_and_a_rest(tile_rows, monkeypatch, pool):
    monkeypatch.setattr(tiling, "TILE_ROWS", tile_rows)
    monkeypatch.setattr(tiling, "ELEMENTS_PER_TASK", 1)  # so that the columns of a tile are shared
    matrix = long_tailed()
    tiled = tiled_from(matrix)
    plan = tiled.tiling
    assert plan.widths[0] > plan.widths[-1]
    assert 0.2 < plan.n_dense / matrix.nnz < 0.8
    rng = np.random.default_rng(1)
    left, right = (rng.normal(size=(n, 150)).astype(np.float32) for n in matrix.shape)
    for product, factors in [(spmm, (right,)), (spmm_transpose, (left,)), (sddmm, (left, right))]:
        plain = product(matrix, *factors)
        if product is sddmm:
            plain = plain[plan.order]
        np.testing.assert_allclose(product(tiled, *factors), plain, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(product(tiled, *factors, pool), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_no_bit(n_threads, dtype):
    matrix = long_tailed(dtype=dtype)
    tiled = tiled_from(matrix)
    rng = np.random.default_rng(2)
    left, right = (rng.normal(size=(n, 40)).astype(dtype) for n in matrix.shape)
    with Workers(n_threads) as threads:
        for product, factors in [
            (spmm, (right,)),
            (spmm_transpose, (left,)),
            (sddmm, (left, right)),
        ]:
            alone = product(tiled, *factors)
            assert alone.tobytes() == product(tiled, *factors, threads).tobytes()


@given(matrix=small_csr(), seed=st.integers(0, 99))
def test_parts_are_the_sum_of_the_products_and_come_once(matrix, seed):
    tiled = small_tiling(matrix)
    plain = with_data(matrix, whole_numbers(matrix.nnz, seed))
    other = tiled.tiling.tile(plain)
    first, second = (whole_numbers((matrix.shape[0], 2), seed + i) for i in (1, 2))
    expected = spmm_transpose(tiled, first) + spmm_transpose(other, second)
    for matrices in [(tiled, other), (matrix, plain)]:
        times, total = np.zeros(matrix.shape[1], int), np.zeros_like(expected)

        def receive(name, start, rows, times=times, total=total):
            assert name == "sum"
            times[start : start + len(rows)] += 1
            total[start : start + len(rows)] = rows
            rows[...] = np.nan

        pairs = list(zip(matrices, (first, second), strict=True))
        spmm_transpose_parts({"sum": pairs}, receive)
        np.testing.assert_array_equal(times, 1)
        np.testing.assert_array_equal(total, expected)


def test_with_data_shares_the_plan_and_keeps_zeros(tiny_matrix, small_tiles):
    tiled = tiled_from(tiny_matrix)
    zeros = with_data(tiled, np.zeros(tiny_matrix.nnz))
    assert zeros.tiling is tiled.tiling
    assert zeros.nnz == tiny_matrix.nnz
    assert not zeros.corner()[0].any()
    assert tiled.corner()[0].any()


def test_a_matrix_that_is_thin_everywhere_has_no_corner():
    matrix = random_csr(500, 900, 2000, seed=3, dtype=np.float32)
    plan = Tiling(split(matrix))
    assert plan.widths == [0] * 8
    assert plan.n_dense == 0
    assert not any(cells.size for cells in plan.tile(matrix).corner())


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (70, 600)])
def test_matrices_without_entries(shape, pool):
    matrix = sparse.csr_array(shape)
    tiled = tiled_from(matrix)
    left, right = (np.ones((n, 2)) for n in shape)
    for threads in (None, pool):
        np.testing.assert_array_equal(spmm(tiled, right, threads), np.zeros((shape[0], 2)))
        transposed = spmm_transpose(tiled, left, threads)
        np.testing.assert_array_equal(transposed, np.zeros((shape[1], 2)))
        assert sddmm(tiled, left, right, threads).shape == (0,)


def test_no_group_is_sampled_twice(small_tiles, monkeypatch):
    monkeypatch.setattr(tiling, "GATHERED_ELEMENTS", 6)  # 3 groups at once, 4 in a task
    taken = []

    class CountsRows(np.ndarray):
        def take(self, indices, axis=None, **options):
            if axis == 0:
                taken.append(len(indices))
            return super().take(indices, axis=axis, **options)

    tiled = tiled_from(random_csr(9, 20, 60, seed=5))
    sddmm(tiled, np.ones((9, 1)), np.ones((20, 1)).view(CountsRows))
    _, places, _ = tiled.tiling.groups
    assert len(places) > 8 * SMALL["GROUP"]
    assert sum(taken) == len(places)


def test_an_exception_in_a_thread_is_raised(pool):
    matrix = long_tailed()
    with pytest.raises(ValueError, match=r"shape|dimension|mismatch"):
        spmm(tiled_from(matrix), np.ones((3, 2), np.float32), pool)


def test_threads_heed_the_callers_floating_point_settings(pool):
    matrix = long_tailed()
    huge = np.full((matrix.shape[1], 2), np.finfo(np.float32).max, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        spmm(tiled_from(matrix), huge, pool)


def test_rows_and_columns_are_put_in_order_of_activity(tiny_matrix):
    rows, columns = by_activity(tiny_matrix)
    matrix = reordered(tiny_matrix, rows, columns)
    assert matrix.has_sorted_indices
    for axis in (0, 1):
        counts = (reference.dense_and_stored(matrix)[1]).sum(axis=axis)
        assert counts.tolist() == sorted(counts, reverse=True)
    for part, original in zip(
        reference.dense_and_stored(matrix), reference.dense_and_stored(tiny_matrix), strict=True
    ):
        np.testing.assert_array_equal(part, original[rows][:, columns])


def test_no_array_larger_than_the_plan_allows_is_allocated():
    """Counted, not timed: a dense n_rows x n_columns array would take 160 MB."""
    n_rows, n_columns, k = 2_000, 20_000, 16
    matrix = random_csr(n_rows, n_columns, 100_000, seed=4, dtype=np.float32)
    matrix = reordered(matrix, *by_activity(matrix))
    left, right = (np.ones((n, k), np.float32) for n in (n_rows, n_columns))
    tracemalloc.start()
    try:
        tiled = tiled_from(matrix)
        spmm(tiled, right)
        spmm_transpose(tiled, left)
        sddmm(tiled, left, right)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    plan, product = 60 * matrix.nnz, 4 * n_columns * k
    assert peak < plan + 3 * product + 4 * 2**20
