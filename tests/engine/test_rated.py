"""The pattern of who rated what, laid out once, and W~ in the memory of W."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from matrices import random_csr, small_csr, whole_numbers
from scipy import sparse
from small_tiles import long_tailed, make_small

from autorec_np.core.implicit import IMPLICIT, ImplicitNetwork, scaled_pattern
from autorec_np.core.kernels import spmm, spmm_transpose, with_data
from autorec_np.core.objective import Objective
from autorec_np.engine.engines import TiledEngine
from autorec_np.engine.rows import Scaled
from autorec_np.engine.threads import Workers
from autorec_np.engine.tiled import Shares, Static, by_activity, reordered
from autorec_np.gradcheck import adjoint_test


@pytest.fixture(scope="module")
def pool():
    with Workers(2) as pool:
        yield pool


def one_value_a_column(matrix):
    """The pattern of a matrix, with the values 1, 2, ... of its columns, and as `Scaled`."""
    scale = np.arange(1, matrix.shape[1] + 1).astype(matrix.dtype)
    filled = with_data(matrix, scale[matrix.indices])
    return filled, Scaled(filled, scale, lambda: filled.T.tocsr())


@pytest.mark.parametrize("kept", [0, 10**9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@given(
    matrix=small_csr(),
    k=st.integers(1, 3),
    seed=st.integers(0, 99),
    dense_enough=st.sampled_from([0.0, 0.4, 2.0]),  # all corner, both, all rest
)
def test_products_equal_the_loops(pool, kept, dtype, matrix, k, seed, dense_enough):
    """Whether rows and columns are in another order, and cells are kept as bits, or not."""
    rng = np.random.default_rng(seed)
    rows, columns = map(rng.permutation, matrix.shape)
    matrix, scaled = one_value_a_column(matrix)
    ordered = reordered(matrix, rows, columns)
    left, right = (whole_numbers((n, k), seed + n, dtype) for n in matrix.shape)
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch, DENSE_ENOUGH=dense_enough, KEPT=kept, ENTRIES_AT_ONCE=5)
        for workers in (None, pool):
            static = Static(scaled, rows, columns, workers)
            for got, expected in [
                (spmm(static, right), reference.spmm(ordered, right)),
                (spmm_transpose(static, left), reference.spmm_transpose(ordered, left)),
            ]:
                assert got.dtype == dtype
                np.testing.assert_array_equal(got, expected)


def test_a_long_tailed_pattern_has_a_corner_and_a_rest(pool):
    matrix, scaled = one_value_a_column(long_tailed())
    static = Static(scaled, workers=pool)
    corner, rest, bands, _ = static.parts(matrix.dtype)
    in_rest = sum(part.nnz for part in rest)
    assert 0.2 < in_rest / matrix.nnz < 0.8
    assert in_rest == sum(band.nnz for band in bands)
    assert sum(map(np.count_nonzero, corner)) == matrix.nnz - in_rest
    rng = np.random.default_rng(1)
    left, right = (rng.normal(size=(n, 20)).astype(np.float32) for n in matrix.shape)
    for product, factor in ((spmm, right), (spmm_transpose, left)):
        expected = product(matrix, factor)
        np.testing.assert_allclose(product(static, factor), expected, rtol=1e-4, atol=1e-4)


def test_the_products_are_adjoint():
    static = Static(one_value_a_column(long_tailed(dtype=np.float64))[1])
    report = adjoint_test(
        lambda x: spmm(static, x), lambda y: spmm_transpose(static, y), (static.shape[1], 3)
    )
    assert report.passed, str(report)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_change_no_bit(n_threads):
    matrix, scaled = one_value_a_column(long_tailed())
    rng = np.random.default_rng(2)
    left, right = (rng.normal(size=(n, 40)).astype(np.float32) for n in matrix.shape)
    with Workers(n_threads) as threads:
        for product, factor in ((spmm, right), (spmm_transpose, left)):
            alone = product(Static(scaled), factor)
            shared = product(Static(scaled, workers=threads), factor)
            assert alone.tobytes() == shared.tobytes()


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (70, 600)])
def test_matrices_without_entries(shape):
    static = Static(Scaled.of(sparse.csr_array(shape)))
    left, right = (np.ones((n, 2)) for n in shape)
    np.testing.assert_array_equal(spmm(static, right), np.zeros((shape[0], 2)))
    np.testing.assert_array_equal(spmm_transpose(static, left), np.zeros((shape[1], 2)))


def test_the_pieces_are_made_once_in_each_dtype():
    static = Static(Scaled.of(scaled_pattern(long_tailed())))
    first = static.parts(np.dtype(np.float32))
    assert static.parts(np.dtype(np.float64)).corner[0].dtype == np.float64
    assert static.parts(np.dtype(np.float32)) is first


def shares_of(monkeypatch, seed=0):
    make_small(monkeypatch)
    matrix = random_csr(23, 17, 160, seed=0)
    matrix = reordered(matrix, *by_activity(matrix))
    rated = Static(Scaled.of(scaled_pattern(matrix)))
    network = ImplicitNetwork(17, (4,), rated=rated, n_implicit=2)
    theta = np.random.default_rng(seed).normal(size=network.layout.size).astype(np.float32)
    return network, theta, matrix


def test_w_comes_back_to_the_bit(monkeypatch):
    network, theta, matrix = shares_of(monkeypatch)
    before, expanded = theta.copy(), network.expand(theta)
    shares = Shares(network, theta.dtype, None)
    shares.begin(theta)
    shares.passes(Objective(network, 0.0), theta, matrix, matrix, None)
    assert theta.tobytes() == expanded.tobytes()
    for rows in (slice(0, 9), slice(9, 17)):
        shares.take_off(rows, np.zeros((rows.stop - rows.start, 4), np.float32))
    assert theta.tobytes() == before.tobytes()


def test_what_is_taken_off_adds_up_to_the_derivative_by_y(monkeypatch):
    network, theta, matrix = shares_of(monkeypatch)
    shares, got = Shares(network, theta.dtype, None), np.full_like(theta, np.nan)
    shares.begin(theta)
    rng = np.random.default_rng(1)
    d_weights = rng.normal(size=(2, 17, 4)).astype(np.float32)
    for d_weight in d_weights:  # of two batches
        shares.passes(Objective(network, 0.0), theta, matrix, matrix, None)
        for rows in (slice(9, 17), slice(0, 9)):
            shares.take_off(rows, d_weight[rows])

    def store(where, part):
        got[where] = part

    shares.finish(0.5, store)
    d_implicit = network.layout.views(got)[IMPLICIT]
    expected = reference.spmm(scaled_pattern(matrix), d_weights.sum(axis=0)[:, :2])
    expected += 0.5 * network.layout.views(theta)[IMPLICIT]
    np.testing.assert_allclose(d_implicit, expected, rtol=1e-5, atol=1e-5)
    assert np.isnan(got[: network.plain.layout.size]).all()  # those come from the panels


def test_an_engine_that_goes_on_to_another_pattern_forgets_the_first(monkeypatch):
    make_small(monkeypatch)
    shared, found = TiledEngine(), []
    for seed in (0, 1):
        matrix = random_csr(23, 17, 160, seed=seed)
        network = ImplicitNetwork(17, (4,), rated=scaled_pattern(matrix), n_implicit=2)
        theta = np.random.default_rng(3).normal(size=network.layout.size)
        for engine in (shared, TiledEngine()):
            arrangement = engine.arrange(network, matrix, 1)
            objective = arrangement.objective(Objective(network, 0.3))
            batch = arrangement.batch(matrix, matrix, by_activity(matrix)[0], None)
            found.append(engine.value_and_gradient(objective, arrangement.arranged(theta), [batch]))
    for got, expected in (found[:2], found[2:]):
        assert got[0] == expected[0]
        np.testing.assert_array_equal(got[1], expected[1])
    assert found[0][0] != found[2][0]
