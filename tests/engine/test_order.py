"""Rows and columns in order of activity, and the parameters there and back."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from autorec_np.core.implicit import ImplicitNetwork, scaled_pattern
from autorec_np.core.network import Network
from autorec_np.core.parameters import COLUMN_BLOCKS
from autorec_np.engine import tiled
from autorec_np.engine.threads import Workers
from autorec_np.engine.tiled import by_activity, reordered, row_orders, take_rows_of_blocks


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


@pytest.mark.parametrize("size", [1, 5, 13, 2**18])
@pytest.mark.parametrize("tied", [False, True])
def test_weights_are_put_in_order_in_pieces_of_any_size(size, tied, monkeypatch):
    monkeypatch.setattr(tiled, "WEIGHTS_PER_TASK", size)
    network = Network(6, (3, 2, 3), tied=tied)
    theta = np.random.default_rng(0).normal(size=network.layout.size)
    columns = np.array([4, 0, 5, 1, 3, 2])
    orders = row_orders(network, columns)
    orders_back = {name: np.argsort(order) for name, order in orders.items()}
    taken, back = np.empty_like(theta), np.empty_like(theta)
    with Workers(2) as workers:
        for pool in (None, workers):
            take_rows_of_blocks(network, theta, orders, taken, pool)
            views, taken_views = network.layout.views(theta), network.layout.views(taken)
            for name in network.layout.slices:
                of_columns = name in ("encoder.weight", "decoder.weight", "decoder.bias")
                expected = views[name][columns] if of_columns else views[name]
                np.testing.assert_array_equal(taken_views[name], expected)
            take_rows_of_blocks(network, taken, orders_back, back, pool)
            assert back.tobytes() == theta.tobytes()


def test_planes_and_the_implicit_weight_have_orders_of_their_own(tiny_matrix):
    rated = scaled_pattern(tiny_matrix)
    network = ImplicitNetwork(6, (3,), n_inputs=12, rated=rated, n_implicit=2)
    rows, columns = by_activity(tiny_matrix)
    orders = row_orders(network, columns)
    assert [*orders] == [*COLUMN_BLOCKS, "implicit.weight"]
    assert orders["encoder.weight"].tolist() == [*columns, *columns + 6]
    wider = ImplicitNetwork(6, (3,), n_inputs=15, rated=rated, n_implicit=2)
    with_features = row_orders(wider, columns)["encoder.weight"]
    assert with_features.tolist() == [*columns, *columns + 6, 12, 13, 14]
    assert orders["implicit.weight"].tolist() == rows.tolist()
    assert rows.tolist() != sorted(rows)


def test_tied_weights_have_one_order():
    assert [*row_orders(Network(6, (3,), tied=True), np.arange(6))] == [
        "encoder.weight",
        "decoder.bias",
    ]
