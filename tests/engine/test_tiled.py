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
from small_tiles import SMALL, long_tailed, make_small, tiled_from

from autorec_np.core.kernels import column_sums, sddmm, spmm, spmm_transpose, with_data
from autorec_np.engine import tiled as planning
from autorec_np.engine import tiled as tiling
from autorec_np.engine.threads import Workers
from autorec_np.engine.tiled import by_activity, reordered


@pytest.fixture(scope="module")
def pool():
    with Workers(2) as pool:
        yield pool


@pytest.fixture
def small_tiles(monkeypatch):
    make_small(monkeypatch)


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
        make_small(patch, DENSE_ENOUGH=dense_enough)
        for workers in (None, pool):
            tiled = tiled_from(matrix, workers)
            for got, expected in [
                (spmm(tiled, right), reference.spmm(matrix, right)),
                (spmm_transpose(tiled, left), reference.spmm_transpose(matrix, left)),
                (
                    sddmm(tiled, left, right),
                    reference.sddmm(matrix, left, right)[tiled.plan.order],
                ),
            ]:
                assert got.dtype == dtype
                np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(column_sums(tiled), column_sums(matrix))


@pytest.mark.parametrize("tile_rows", [64, 100])
def test_a_long_tailed_matrix_has_a_corner_and_a_rest(tile_rows, monkeypatch, pool):
    monkeypatch.setattr(planning, "TILE_ROWS", tile_rows)
    monkeypatch.setattr(tiling, "ELEMENTS_PER_TASK", 1)  # so that the columns of a tile are shared
    matrix = long_tailed()
    tiled = tiled_from(matrix)
    plan = tiled.plan
    assert plan.widths[0] > plan.widths[-1]
    assert 0.2 < plan.n_dense / matrix.nnz < 0.8
    rng = np.random.default_rng(1)
    left, right = (rng.normal(size=(n, 150)).astype(np.float32) for n in matrix.shape)
    for product, factors in [(spmm, (right,)), (spmm_transpose, (left,)), (sddmm, (left, right))]:
        plain = product(matrix, *factors)
        if product is sddmm:
            plain = plain[plan.order]
        for workers in (None, pool):
            got = product(tiled_from(matrix, workers), *factors)
            np.testing.assert_allclose(got, plain, rtol=1e-4, atol=1e-4)


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
            threaded = product(tiled_from(matrix, threads), *factors)
            assert alone.tobytes() == threaded.tobytes()


class CountingWorkers(Workers):
    """Counts the tasks that they are given."""

    n_tasks = 0

    def run(self, tasks):
        self.n_tasks += len(tasks)
        super().run(tasks)


def test_large_products_are_cut_into_several_tasks():
    matrix = long_tailed()
    left, right = (np.ones((n, 2), np.float32) for n in matrix.shape)
    for product, factors in [(spmm, (right,)), (spmm_transpose, (left,)), (sddmm, (left, right))]:
        with CountingWorkers(2) as pool:
            tiled = tiled_from(matrix, pool)
            tiled.corner()
            pool.n_tasks = 0
            product(tiled, *factors)
        assert pool.n_tasks >= 2


def test_the_dense_factor_decides_the_dtype(tiny_matrix, small_tiles):
    tiled = tiled_from(tiny_matrix)
    assert tiled.cast(np.dtype(np.float64)) is tiled
    for dtype in (np.float32, np.complex128):
        assert spmm(tiled, np.ones((6, 2), dtype)).dtype == dtype
        assert spmm_transpose(tiled, np.ones((7, 2), dtype)).dtype == dtype


def test_with_data_shares_the_plan_and_keeps_zeros(tiny_matrix, small_tiles):
    tiled = tiled_from(tiny_matrix)
    zeros = with_data(tiled, np.zeros(tiny_matrix.nnz))
    assert zeros.plan is tiled.plan
    assert zeros.nnz == tiny_matrix.nnz
    assert not zeros.corner()[0].any()
    assert tiled.corner()[0].any()


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (70, 600)])
def test_matrices_without_entries(shape, pool):
    matrix = sparse.csr_array(shape)
    left, right = (np.ones((n, 2)) for n in shape)
    for workers in (None, pool):
        tiled = tiled_from(matrix, workers)
        np.testing.assert_array_equal(spmm(tiled, right), np.zeros((shape[0], 2)))
        np.testing.assert_array_equal(spmm_transpose(tiled, left), np.zeros((shape[1], 2)))
        assert sddmm(tiled, left, right).shape == (0,)


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
    _, places, _ = tiled.plan.groups
    assert len(places) > 8 * SMALL["GROUP"]
    assert sum(taken) == len(places)


def test_an_exception_in_a_thread_is_raised(pool):
    matrix = long_tailed()
    with pytest.raises(ValueError, match=r"shape|dimension|mismatch"):
        spmm(tiled_from(matrix, pool), np.ones((3, 2), np.float32))


def test_threads_heed_the_callers_floating_point_settings(pool):
    matrix = long_tailed()
    huge = np.full((matrix.shape[1], 2), np.finfo(np.float32).max, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        spmm(tiled_from(matrix, pool), huge)


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
