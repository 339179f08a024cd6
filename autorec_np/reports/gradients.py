"""Our own gradients, checked: of small networks, and of fitted models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from autorec_np._types import Array
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.all_cells import AllCells
from autorec_np.core.implicit import IMPLICIT
from autorec_np.core.kernels import take_rows, with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.parameters import COLUMN_BLOCKS
from autorec_np.core.planes import Planes
from autorec_np.data.synthetic import make_ratings
from autorec_np.gradcheck import GradientReport, check_gradient
from autorec_np.models.ranking_autorec import FittedRanking, targets_and_weights
from autorec_np.models.scoring import (
    Fitted,
    Inputs,
    by_plane,
    network_for,
    pairs_of,
    scaled,
    targets_of,
)
from autorec_np.training.trainer import Draws, dropout_masks

TERMS = ("objective", "data", "penalty")
POINTS = ("initial", "trained", "saturated")


class Case(NamedTuple):
    """A small network, one of TERMS, and "drawn" (small weights at random) or one of POINTS."""

    hidden_layer_sizes: tuple[int, ...] = (4,)
    activation: str = "sigmoid"
    output_activation: str = "identity"
    tied: bool = False
    dropout: float = 0.0
    term: str = "objective"
    point: str = "drawn"
    implicit: int = 0
    planes: bool = False


def all_cases() -> Iterator[Case]:
    sizes = (4,), (4, 3, 4)
    networks = itertools.product(sizes, ACTIVATIONS, ACTIVATIONS, [False, True], [0.0, 0.3])
    yield from itertools.starmap(Case, networks)
    for activation, term, point in itertools.product(ACTIVATIONS, TERMS, POINTS):
        yield Case((4, 3, 4), activation, "sigmoid", tied=True, dropout=0.3, term=term, point=point)
    for activation, widths, planes in itertools.product(ACTIVATIONS, sizes, [False, True]):
        yield Case(widths, activation, dropout=0.3, implicit=2, planes=planes)


def check_case(case: Case, seed: int = 0, **effort: Any) -> GradientReport:
    """Check it; `effort` holds options of `check_gradient`."""
    rng = np.random.default_rng(seed)
    ratings = make_ratings(n_users=9, n_items=7, n_ratings=30, random_state=rng)
    targets = ratings.matrix.astype(np.float64)
    if case.term == "penalty":
        targets = sparse.csr_array(targets.shape)
    inputs: Inputs = targets
    if case.planes:
        inputs = Planes(targets, np.stack([np.full(targets.nnz, 3.0), targets.data]))
    network = network_for(targets, inputs.shape[1], *case[:4], case.implicit, np.float64)
    objective = Objective(network, 0.0 if case.term == "data" else 0.7)
    masks = None
    if case.dropout:
        draws = Draws(int(rng.integers(2**63)), 0)
        sizes, rows = case.hidden_layer_sizes, np.arange(9)
        masks = dropout_masks(rows, sizes, case.dropout, draws, np.float64)

    def fun(theta: Any) -> tuple[float, Any]:
        return objective.value_and_gradient(theta, inputs, targets, 1.0, masks)

    spread = {"drawn": 0.3, "saturated": 10.0}.get(case.point)
    layout = network.layout
    theta = layout.initialize(rng) if spread is None else rng.normal(0.0, spread, layout.size)
    if case.point == "trained":
        theta += rng.normal(0.0, 0.1, theta.size)  # off the kinks of relu
        for _ in range(20):
            theta = theta - 0.002 * fun(theta)[1]
    return check_gradient(fun, theta, layout, random_state=rng, **effort)


def is_right(case: Case, report: GradientReport) -> bool:
    """Say whether every block passes, or where no verdict is owed, none fails."""
    # saturated slopes vanish behind rounding; initial relu units lie on kinks
    owed = case.point != "saturated" and (case.activation, case.point) != ("relu", "initial")
    verdicts = {block.verdict for block in report.blocks.values()}
    return verdicts <= ({"pass"} if owed else {"pass", "inconclusive"})


def check_model_gradient(
    fitted: Fitted, n_rows: int = 20, n_columns: int = 40
) -> tuple[GradientReport, tuple[int, int, int]]:
    """Check the gradient of a fitted model where its training ended, in float64.

    Return the report, and numbers of rows and columns, those with the most ratings, and of ratings.
    """
    rated, dtype, axes = fitted.axes.orient(fitted.ratings.matrix), fitted.theta.dtype, fitted.axes
    biases = fitted.cold_baseline.score_pairs(*pairs_of(rated, axes))
    inputs = fitted.read(rated, biases, np.arange(rated.shape[0]))
    if isinstance(inputs, Planes):  # which holds fewer features than columns
        n_columns = max(n_columns, 1 + inputs.shape[1] % rated.shape[1])
    if isinstance(fitted, FittedRanking):
        rated = fitted.told(rated)
        t, c = targets_and_weights(rated.data, fitted.values, fitted.input_map)
        targets = with_data(rated, t)
    else:
        targets = targets_of(rated, axes, fitted.baseline, fitted.output_map, dtype)
    rows = np.sort(np.argsort(-np.diff(rated.indptr), kind="stable")[:n_rows])
    counts = np.bincount(take_rows(rated, rows).indices, minlength=rated.shape[1])
    columns = np.sort(np.argsort(-counts, kind="stable")[:n_columns])

    def cut(values: Array) -> Any:
        block = take_rows(with_data(rated, values), rows).tocoo()  # coordinates keep stored zeros
        inside = np.isin(block.col, columns)
        where = block.row[inside], np.searchsorted(columns, block.col[inside])
        return sparse.csr_array(
            (block.data[inside].astype(np.float64), where), shape=(len(rows), len(columns))
        )

    block_targets = cut(targets.data)
    if isinstance(inputs, Planes):
        data = np.stack([cut(plane).data for plane in inputs.data])
        block_inputs: Any = inputs.part(rows, block_targets, data)
    else:
        block_inputs = cut(inputs.data)
    whole, n_features = fitted.network, block_inputs.shape[1]
    shape = whole.hidden_layer_sizes, whole.activation, whole.output_activation, whole.tied
    network = network_for(block_targets, n_features, *shape, fitted.n_implicit, np.float64)
    theta = _weights_of_block(fitted, network, rows, columns)
    objective = Objective(network, scaled(fitted.penalties, fitted.output_map.factor))
    block_cells = block_targets
    if isinstance(fitted, FittedRanking):
        cells = fitted.unobserved_weight, fitted.unobserved_target
        objective = AllCells(network, fitted.penalties, *cells)
        block_cells = Planes(block_targets, np.array([block_targets.data, cut(c).data]))

    def fun(point: Array) -> tuple[float, Array]:
        fraction = len(rows) / rated.shape[0]
        return objective.value_and_gradient(point, block_inputs, block_cells, fraction)

    report = check_gradient(fun, theta, network.layout)
    return report, (len(rows), len(columns), block_targets.nnz)


def _weights_of_block(fitted: Fitted, network: Network, rows: Array, columns: Array) -> Array:
    theta = np.empty(network.layout.size)
    views, implicit = network.layout.views(theta), fitted.implicit
    for name, trained in fitted.weights.items():
        if name in COLUMN_BLOCKS:
            planes, others = by_plane(trained, fitted.network.n_columns)
            trained = np.append(planes[:, columns], others)
        views[name][...] = trained.reshape(views[name].shape)
    if implicit is not None:
        views[IMPLICIT][...] = implicit.weight[rows]
        views["decoder.weight"][:, : fitted.n_implicit] -= implicit.shares[columns]
    return theta
