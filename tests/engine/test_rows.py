"""Blocks of rows, and matrices whose rows are made when they are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrices import random_csr, small_csr

from autorec_np.core.implicit import scaled_pattern
from autorec_np.core.kernels import spmm, spmm_transpose, with_data
from autorec_np.core.network import Network
from autorec_np.core.planes import Planes
from autorec_np.engine import rows as rows_room
from autorec_np.engine.rows import (
    Rows,
    Scaled,
    blocks_of,
    column_counts,
    data_of,
    entries_of,
    pattern_of,
    row_block,
    row_blocks,
    rows_of,
    take,
)
from autorec_np.engine.threads import Workers

MATRIX = random_csr(60, 30, 500, seed=3)


def doubled(rows):
    block = take(MATRIX, rows)
    return with_data(block, 2 * block.data)


@given(counts=st.lists(st.integers(0, 9), max_size=12), n_entries=st.integers(1, 20))
def test_rows_are_cut_into_runs_that_cover_them_once(counts, n_entries):
    blocks = [*row_blocks(np.array(counts, int), n_entries)]
    assert [row for rows in blocks for row in range(rows.start, rows.stop)] == [*range(len(counts))]
    assert all(rows.start < rows.stop for rows in blocks)
    for rows in blocks:  # without its last row, a run is short of the number
        assert sum(counts[rows.start : rows.stop - 1]) <= n_entries


@given(matrix=small_csr())
def test_a_block_of_rows_holds_their_entries(matrix):
    for start in range(matrix.shape[0] + 1):
        block = row_block(matrix, slice(start, matrix.shape[0]))
        np.testing.assert_array_equal(block.toarray(), matrix.toarray()[start:])
        assert block.nnz == matrix.indptr[-1] - matrix.indptr[start]


@pytest.mark.parametrize("n_planes", [0, 2])
@pytest.mark.parametrize("n_threads", [None, 1, 3])
def test_codes_in_blocks_of_rows_are_those_of_the_network(n_threads, n_planes, monkeypatch):
    matrix = random_csr(60, 30, 500, seed=3)
    if n_planes:
        planes = np.random.default_rng(1).normal(size=(n_planes, matrix.nnz))
        matrix = Planes(matrix, planes)
    network = Network(30, (5, 4), "tanh", n_inputs=matrix.shape[1])
    theta = network.layout.initialize(np.random.default_rng(0))
    monkeypatch.setattr(rows_room, "ENTRIES_PER_BLOCK", 40)
    with Workers(n_threads or 1) as pool:
        codes = rows_room.encode(network, theta, matrix, pool if n_threads else None)
    np.testing.assert_allclose(codes, network.encode(theta, matrix), rtol=1e-14)
    assert rows_room.encode(network, theta, matrix[:0], None).shape == (0, 4)


@pytest.mark.parametrize("n_planes", [0, 2])
def test_codes_of_rows_that_are_made_are_those_of_all(n_planes, monkeypatch):
    def planes(rows):
        block = doubled(rows)
        return Planes(block, np.stack([block.data] * 2)) if n_planes else block

    made, whole = Rows(MATRIX, planes), planes(slice(0, 60))
    network = Network(30, (5, 4), "tanh", n_inputs=made.shape[1])
    theta = network.layout.initialize(np.random.default_rng(0))
    monkeypatch.setattr(rows_room, "ENTRIES_PER_BLOCK", 40)
    got, expected = (rows_room.encode(network, theta, one, None) for one in (made, whole))
    assert got.tobytes() == expected.tobytes()


def test_rows_are_made_when_they_are_asked_for():
    asked = []

    def of(rows):
        asked.append(rows)
        return doubled(rows)

    rows = rows_of(MATRIX, of)
    assert asked == [slice(0, 60)]  # few: at once
    assert not isinstance(rows, Rows)
    rows = Rows(MATRIX, of)
    assert asked[1:] == [slice(0, 0)]  # for its shape
    assert (rows.shape, rows.dtype, rows.nnz) == ((60, 30), np.float64, MATRIX.nnz)
    few = np.array([7, 3, 59])
    np.testing.assert_array_equal(rows[few].toarray(), 2 * MATRIX[few].toarray())
    np.testing.assert_array_equal(rows[slice(5, 9)].toarray(), 2 * MATRIX[5:9].toarray())
    assert pattern_of(rows) is MATRIX


def test_values_of_all_rows_come_by_blocks(monkeypatch):
    monkeypatch.setattr(rows_room.blocks_of, "__defaults__", (40,))
    parts = [*data_of(Rows(MATRIX, doubled))]
    assert len(parts) > 5
    np.testing.assert_array_equal(np.concatenate(parts), 2 * MATRIX.data)


@given(matrix=small_csr(), seed=st.integers(0, 99), at_once=st.integers(1, 9))
def test_counts_and_places_of_entries_are_those_of_loops(matrix, seed, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_room, "KEPT", at_once)
        counts = column_counts(matrix)
    expected = np.bincount(matrix.indices, minlength=matrix.shape[1])
    np.testing.assert_array_equal(counts, expected)
    rows = np.random.default_rng(seed).permutation(matrix.shape[0])[: matrix.shape[0] // 2 + 1]
    places = [np.arange(*matrix.indptr[row : row + 2]) for row in rows]
    np.testing.assert_array_equal(entries_of(matrix, rows), np.concatenate([[], *places]))


def test_a_pattern_with_a_value_for_each_column_has_the_products_of_the_matrix(monkeypatch):
    monkeypatch.setattr(rows_room.blocks_of, "__defaults__", (40,))
    assert len([*blocks_of(MATRIX)]) > 5
    scaled = scaled_pattern(MATRIX, np.float32)
    for one in (Scaled.of(scaled), Scaled(MATRIX, Scaled.of(scaled).scale, lambda: MATRIX.T)):
        rng = np.random.default_rng(0)
        left, right = (rng.normal(size=(n, 3)).astype(np.float32) for n in MATRIX.shape)
        assert spmm(one, right).tobytes() == spmm(scaled, right).tobytes()
        got, expected = (spmm_transpose(which, left) for which in (one, scaled))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        assert got.dtype == np.float32
