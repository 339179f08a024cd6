"""Rows and columns in order of their activity, and the parameters in the order of the columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np.core.implicit import IMPLICIT, ImplicitNetwork
from autorec_np.core.network import Network
from autorec_np.core.parameters import COLUMN_BLOCKS
from autorec_np.engine.threads import Workers, run

WEIGHTS_PER_TASK = 2**18  # that are put in another order


def by_activity(pattern: CSR) -> tuple[Array, Array]:
    """Return the rows and the columns in order of their numbers of entries, most first."""
    n_in_columns = np.bincount(pattern.indices, minlength=pattern.shape[1])
    n_in_rows = np.diff(pattern.indptr)
    return np.argsort(-n_in_rows, kind="stable"), np.argsort(-n_in_columns, kind="stable")


def reordered(matrix: CSR, rows: Array, columns: Array) -> CSR:
    """Return the matrix with its rows and columns in a new order, indices sorted."""
    place = np.empty_like(columns, matrix.indices.dtype)
    place[columns] = np.arange(len(columns))
    block = matrix[rows]
    block = sparse.csr_array((block.data, place[block.indices], block.indptr), shape=block.shape)
    block.sort_indices()
    return block


def row_orders(network: Network, columns: Array) -> dict[str, Array]:
    """Return the new order of the rows of each block that has one.

    Parameters
    ----------
    network : Network
    columns : ndarray of int, (n_columns,)
        The new order of the columns; the planes of the inputs have it one after the other. Rows of
        the implicit weight are put in order of activity.
    """
    shapes, n_columns = network.layout.shapes, len(columns)
    orders = {name: columns for name in COLUMN_BLOCKS if name in shapes}
    firsts = np.arange(0, shapes["encoder.weight"][0], n_columns)
    orders["encoder.weight"] = np.add.outer(firsts, columns).reshape(-1)
    if isinstance(network, ImplicitNetwork):
        rated: Any = network.rated
        orders[IMPLICIT] = by_activity(rated)[0]
    return orders


def take_rows_of_blocks(
    network: Network,
    theta: Array,
    orders: Mapping[str, Array],
    out: Array,
    workers: Workers | None,
) -> None:
    """Write theta to `out`, with the rows of some blocks taken in another order."""
    views, taken_views = network.layout.views(theta), network.layout.views(out)
    tasks: list[Callable[[], object]] = []
    for name in network.layout.slices:
        block, taken = views[name], taken_views[name]
        if name not in orders:
            taken[...] = block
            continue
        n_rows = max(1, WEIGHTS_PER_TASK * len(block) // block.size)
        for start in range(0, len(block), n_rows):
            rows = slice(start, start + n_rows)
            take = partial(block.take, orders[name][rows], axis=0, out=taken[rows], mode="clip")
            tasks.append(take)
    run(tasks, workers)
