"""The lesson and the engine are one: the same value, gradient, step and training."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from scipy import sparse
from small_tiles import make_small

from autorec_np.core.all_cells import AllCells
from autorec_np.core.implicit import ImplicitNetwork, scaled_pattern
from autorec_np.core.kernels import with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.planes import Planes
from autorec_np.data.synthetic import make_ratings
from autorec_np.engine.engines import PlainEngine, TiledEngine
from autorec_np.engine.threads import Workers
from autorec_np.engine.tiled import by_activity
from autorec_np.models.autorec import AutoRec
from autorec_np.models.ranking_autorec import RankingAutoRec
from autorec_np.training.solvers import EpochMonitor
from autorec_np.training.trainer import (
    ENGINES,
    SOLVERS,
    Trainer,
    short_on_purpose,
)

SIZES = {
    (1, False): (3,),
    (2, False): (4, 3),
    (3, False): (4, 2, 3),
    (1, True): (3,),
    (2, True): (3, 3),
    (3, True): (3, 4, 3),
}
RELATIVE = {np.float32: 3e-5, np.float64: 1e-12, np.complex128: 1e-12}
FRACTION = 0.4
PENALTY = 0.7
RATINGS = make_ratings(n_users=23, n_items=17, n_ratings=160, random_state=0).matrix
RULES = ("sgd", "adam", "rprop")


def matrix_of(orientation):
    """Ratings with stored zeros, an empty row and an empty column, one row an item or a user."""
    cells = RATINGS.tolil(copy=True)
    cells[3], cells[:, 5] = 0, 0
    matrix = sparse.csr_array(cells).astype(np.float64)
    matrix.data[::7] = 0.0  # stored zeros are ratings
    return matrix.T.tocsr() if orientation == "item" else matrix


def make_network(targets, n_implicit, *settings):
    if not n_implicit:
        return Network(*settings)
    return ImplicitNetwork(*settings, rated=scaled_pattern(targets), n_implicit=n_implicit)


def over_all_cells(network, targets, weighed):
    """The objective over all cells, and its targets: with weights, shifts and a t0 by column."""
    dtype, (n_rows, n_columns) = targets.dtype, targets.shape
    counted = np.bincount(targets.indices, minlength=n_columns) > 0
    if not weighed:
        return AllCells(network, PENALTY, 0.2, 0.5, counted), targets
    rng = np.random.default_rng(7)
    weights = rng.integers(1, 5, targets.nnz).astype(dtype) / dtype.type(2)
    shifts = rng.normal(size=(n_rows, 1)).astype(dtype)
    objective = AllCells(network, PENALTY, 0.2, rng.normal(size=n_columns), counted)
    return objective, Planes(targets, np.array([targets.data, weights]), shifts)


class Case:
    """One network at one point, as the lesson and as the engine see it."""

    def __init__(
        self,
        depth,
        activation,
        output,
        tied,
        dropout,
        dtype,
        orientation,
        workers=None,
        n_implicit=0,
        n_planes=0,
        n_features=0,
        cells=None,
    ):
        rng = np.random.default_rng(0)
        self.matrix = matrix_of(orientation)
        real = np.zeros(0, dtype).real.dtype
        inputs = targets = with_data(self.matrix, self.matrix.data.astype(real))
        n_rows, n_columns = self.matrix.shape
        sizes = SIZES[depth, tied]
        if n_planes:
            features = rng.normal(size=(n_rows, n_features)).astype(real) if n_features else None
            planes = rng.normal(size=(n_planes, targets.nnz)).astype(real)
            inputs = Planes(targets, planes, features)
        self.network = make_network(
            targets, n_implicit, n_columns, sizes, activation, output, tied, inputs.shape[1]
        )
        self.objective, wanted = Objective(self.network, PENALTY), targets
        if cells:
            self.objective, wanted = over_all_cells(self.network, targets, cells == "weighed")
        self.theta = rng.normal(0.0, 0.3, self.network.layout.size).astype(dtype)
        if np.iscomplexobj(self.theta):
            self.theta += 1e-3j * rng.normal(size=self.theta.size)
        masks = None
        if dropout:
            masks = [(rng.random((n_rows, k)) < 0.6) / inputs.dtype.type(0.6) for k in sizes]
        self.arguments = (inputs, wanted, FRACTION, masks)
        self.engine = TiledEngine(workers)
        self.arrangement = self.engine.arrange(self.network, targets, 1)
        self.arranged = self.arrangement.objective(self.objective)
        rows, _ = by_activity(targets)
        in_order = None if masks is None else [mask[rows] for mask in masks]
        batch = self.arrangement.batch(inputs, wanted, rows, in_order)
        self.batch = batch._replace(fraction=FRACTION)

    def restored(self, theta):
        out = np.empty_like(theta)
        self.arrangement.restore(theta, out)
        return out


def assert_close(got, expected, relative):
    assert np.abs(got - expected).max() <= relative * np.abs(expected).max()


EXTRAS = {
    "implicit": {"n_implicit": 2},
    "planes": {"n_planes": 2},
    "both": {"n_implicit": 3, "n_planes": 3},
    "features": {"n_planes": 1, "n_features": 3},
    "all": {"n_implicit": 2, "n_planes": 2, "n_features": 9},
}


def with_extras(cases):
    """Add each of EXTRAS to cases without tied weights."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param({**case.values[0], **extra, "tied": False}, id=f"{case.id}-{name}")
            for case in cases.args[1]
            for name, extra in EXTRAS.items()
        ],
    )


CELLS = {
    "all cells": {"cells": "alike"},
    "tied": {"cells": "weighed", "tied": True},
    "weighed": {"cells": "weighed"},
    "implicit": {"cells": "weighed", "n_implicit": 2},
    "all": {"cells": "alike", "n_implicit": 3, "n_planes": 2, "n_features": 3},
}


def with_all_cells(cases):
    """Give cases an objective over all cells, of each of CELLS."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(
                {**case.values[0], "tied": False, "output": "identity", **changes},
                id=f"{case.id}-{name}",
            )
            for case in cases.args[1]
            for name, changes in CELLS.items()
        ],
    )


def cases(*names, dtypes=tuple(RELATIVE)):
    """Parametrize over the whole matrix of cases, or over the axes named."""
    axes = {
        "depth": [1, 2, 3],
        "activation": ["sigmoid", "identity", "elu"],
        "output": ["identity", "sigmoid", "softplus"],
        "tied": [False, True],
        "dropout": [False, True],
        "dtype": dtypes,
        "orientation": ["item", "user"],
    }
    fixed = {"activation": "tanh", "output": "sigmoid"}
    chosen = {name: axes[name] for name in axes if not names or name in names}
    found = []
    for values in itertools.product(*chosen.values()):
        case = {**{name: axes[name][-1] for name in axes}, **fixed}
        case.update(zip(chosen, values, strict=True))
        words = [str(getattr(value, "__name__", value)) for value in values]
        found.append(pytest.param(case, id="-".join(words)))
    return pytest.mark.parametrize("case", found)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    make_small(monkeypatch)


@pytest.fixture(scope="module")
def workers():
    with Workers(2) as pool:
        yield pool


def test_the_tiles_of_the_cases_have_a_corner_and_a_rest():
    for orientation in ("item", "user"):
        plan = Case(1, "tanh", "identity", False, False, np.float64, orientation).batch.targets.plan
        assert 0 < plan.n_dense < len(plan.indices)
        assert len(plan.panels) > 1


@cases()
def test_the_lesson_on_tiles_is_the_lesson_on_csr(case):
    both = Case(**case)
    value, gradient = both.objective.value_and_gradient(both.theta, *both.arguments)
    tiled_value, tiled_gradient = both.arranged.value_and_gradient(
        both.arrangement.arranged(both.theta), *both.batch
    )
    relative = RELATIVE[case["dtype"]]
    assert abs(tiled_value - value) <= relative * abs(value)
    assert_close(both.restored(tiled_gradient), gradient, relative)


@with_extras(cases("depth", "output", "dropout", "dtype", "orientation"))
def test_the_lesson_on_tiles_is_the_lesson_on_csr_with_implicit_decoder_and_planes(case):
    test_the_lesson_on_tiles_is_the_lesson_on_csr(case)


@with_all_cells(cases("depth", "dropout", "dtype", "orientation"))
def test_the_lesson_on_tiles_is_the_lesson_on_csr_over_all_cells(case):
    test_the_lesson_on_tiles_is_the_lesson_on_csr(case)


@cases("depth", "tied", "dropout", "dtype", "orientation")
def test_the_streamed_gradient_is_that_of_the_lesson_to_the_bit(case, workers):
    both = Case(**case, workers=workers)
    theta = both.arrangement.arranged(both.theta)
    value, gradient = both.arranged.value_and_gradient(theta, *both.batch)
    out, before = np.full_like(theta, np.nan), theta.tobytes()
    streamed_value, streamed = both.engine.value_and_gradient(
        both.arranged, theta, [both.batch], out=out
    )
    assert theta.tobytes() == before
    assert streamed is out
    assert streamed_value == value
    np.testing.assert_array_equal(streamed, gradient)


@with_extras(cases("depth", "dropout", "dtype", "orientation"))
def test_the_streamed_gradient_is_that_of_the_lesson_with_implicit_decoder_and_planes(
    case, workers
):
    test_the_streamed_gradient_is_that_of_the_lesson_to_the_bit(case, workers)


@with_all_cells(cases("depth", "dropout", "dtype", "orientation"))
def test_the_streamed_gradient_is_that_of_the_lesson_over_all_cells(case, workers):
    test_the_streamed_gradient_is_that_of_the_lesson_to_the_bit(case, workers)


@pytest.mark.parametrize("rule", RULES)
@cases("depth", "tied", "dropout", "dtype", "orientation", dtypes=(np.float32, np.float64))
def test_a_streamed_step_is_value_and_gradient_then_a_step_to_the_bit(case, rule, workers):
    both = Case(**case, workers=workers)
    streamed, stepped = (both.arrangement.arranged(both.theta) for _ in "ab")
    rules = [both.engine.rule(rule, theta) for theta in (streamed, stepped)]
    for rate in (0.01, 0.002, 0.03):
        value, gradient = both.arranged.value_and_gradient(stepped, *both.batch)
        rules[1].step(stepped, gradient, rate)
        assert value == both.engine.step(both.arranged, streamed, [both.batch], rules[0], rate)
        assert streamed.tobytes() == stepped.tobytes()


@pytest.mark.parametrize("rule", RULES)
@with_extras(cases("depth", "dropout", "dtype", "orientation", dtypes=(np.float32, np.float64)))
def test_a_streamed_step_is_that_of_the_lesson_with_implicit_decoder_and_planes(
    case, rule, workers
):
    test_a_streamed_step_is_value_and_gradient_then_a_step_to_the_bit(case, rule, workers)


@pytest.mark.parametrize("rule", RULES)
@with_all_cells(cases("depth", "dropout", "orientation", "dtype", dtypes=(np.float32, np.float64)))
def test_a_streamed_step_is_that_of_the_lesson_over_all_cells(case, rule, workers):
    test_a_streamed_step_is_value_and_gradient_then_a_step_to_the_bit(case, rule, workers)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "extra",
    [{}, *EXTRAS.values(), *CELLS.values()],
    ids=["", *EXTRAS, *(f"over all cells, {name}" for name in CELLS)],
)
def test_a_step_in_the_lesson_is_the_step_of_the_engine(rule, extra):
    settings = {"tied": False, "output": "identity" if "cells" in extra else "sigmoid", **extra}
    both = Case(2, "tanh", dropout=True, dtype=np.float64, orientation="item", **settings)
    plain = PlainEngine()
    theta, tiled = both.theta.copy(), both.arrangement.arranged(both.theta)
    rules = plain.rule(rule, theta), both.engine.rule(rule, tiled)
    for _ in range(5):
        value = plain.step(both.objective, theta, [both.arguments], rules[0], 0.01)
        other = both.engine.step(both.arranged, tiled, [both.batch], rules[1], 0.01)
        assert other == pytest.approx(value, rel=1e-12)
    assert_close(both.restored(tiled), theta, 1e-9)


CHANGES = {
    "plain": {},
    "dropout": {"dropout": 0.3},
    "corruption": {"corruption": 0.4},
    "deep and tied": {"hidden_layer_sizes": (4, 3, 4), "tied": True},
    "bounded": {"output_activation": "sigmoid"},
}


TRAININGS = [
    pytest.param(solver, changes, id=f"{solver}-{name}")
    for solver, defaults in SOLVERS.items()
    for name, changes in CHANGES.items()
    if not (defaults.full_batch and {"dropout", "corruption"} & set(changes))
]


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize(("solver", "changes"), TRAININGS)
def test_both_engines_have_one_loss_curve(solver, changes, orientation):
    settings = {
        "orientation": orientation,
        "hidden_layer_sizes": (4,),
        "solver": solver,
        "max_iter": 10,
        "batch_size": 7,
        "tol": 0.0,
        "dtype": "float64",
        "random_state": 0,
        **({} if SOLVERS[solver].full_batch else {"corruption": 0.0}),
        **changes,
    }
    ratings = make_ratings(n_users=40, n_items=30, n_ratings=500, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten iterations need not converge
        tiled, plain = (AutoRec(**settings, engine=name).fit(ratings) for name in ENGINES)
    assert len(tiled.loss_curve_) == len(plain.loss_curve_) == 10
    np.testing.assert_allclose(tiled.loss_curve_, plain.loss_curve_, rtol=1e-9)
    assert tiled.n_evaluations_ == plain.n_evaluations_
    np.testing.assert_allclose(tiled.theta_, plain.theta_, rtol=1e-4, atol=1e-6)


RATES = {"adam": 3e-3, "sgd": 1e-4, "rprop": 1e-3}


def train(engine, solver, orientation, corruption, extra, workers=None):
    """Ten epochs of a network with an implicit decoder or planes; theta and the loss curve."""
    targets = matrix_of(orientation)
    targets.data = targets.data - 2.0
    rng = np.random.default_rng(3)
    inputs = targets
    if "n_planes" in extra:
        n_features = extra.get("n_features", 0)
        features = rng.normal(size=(targets.shape[0], n_features)) if n_features else None
        inputs = Planes(targets, rng.normal(size=(extra["n_planes"], targets.nnz)), features)
    network = make_network(
        targets,
        extra.get("n_implicit", 0),
        targets.shape[1],
        (4,),
        "sigmoid",
        "identity",
        False,
        inputs.shape[1],
    )
    trainer = Trainer(
        solver=solver,
        learning_rate="constant",
        learning_rate_init=RATES.get(solver, 0.0),
        warm_up=0.3,
        momentum=0.9,
        nesterovs_momentum=True,
        batch_size=5,
        max_iter=10,
        tol=0.0,
        n_iter_no_change=10,
        dropout=0.0,
        corruption=corruption,
        engine=engine,
    )
    theta = network.layout.initialize(rng)
    monitor = EpochMonitor(
        10, None, early_stopping=False, tol=0.0, n_iter_no_change=10, callbacks=(), verbose=False
    )
    with short_on_purpose():
        result = trainer.run(
            Objective(network, PENALTY), theta, inputs, targets, rng, monitor, workers
        )
    return theta, result.values


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize(
    ("solver", "corruption"), [*((solver, 0.0) for solver in SOLVERS), ("adam", 0.4), ("sgd", 0.4)]
)
def test_both_engines_have_one_loss_curve_with_implicit_decoder_and_planes(
    solver, corruption, orientation, extra, workers
):
    theta, tiled = train("tiled", solver, orientation, corruption, extra, workers)
    other, plain = train("plain", solver, orientation, corruption, extra)
    assert len(tiled) == 10
    assert corruption or tiled[-1] < tiled[0]
    np.testing.assert_allclose(tiled, plain, rtol=1e-9)
    np.testing.assert_allclose(theta, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_threads_change_no_bit_of_a_training(solver, extra):
    alone = train("tiled", solver, "item", 0.0, extra)
    for n_threads in (2, 3):
        with Workers(n_threads) as pool:
            theta, values = train("tiled", solver, "item", 0.0, extra, pool)
        assert theta.tobytes() == alone[0].tobytes()
        assert values == alone[1]


LISTS = {
    "plain": {},
    "tied": {"tied": True},
    "implicit": {"implicit": 2},
    "ratings": {"values": "ratings", "unobserved_target": 0.2},
    "counts": {"values": "counts"},
    "weight 0": {"unobserved_weight": 0.0},
}
FULL_BATCH = {solver for solver, defaults in SOLVERS.items() if defaults.full_batch}


def fit_lists(solver, changes, **others):
    """Ten epochs of a model of lists."""
    settings = {
        "hidden_layer_sizes": (4,),
        "solver": solver,
        "regularization": 1.0,
        "max_iter": 10,
        "batch_size": 7,
        "tol": 0.0,
        "dtype": "float64",
        "random_state": 0,
        **({} if solver in FULL_BATCH else {"corruption": 0.3}),
        **changes,
        **others,
    }
    ratings = make_ratings(n_users=40, n_items=30, n_ratings=500, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten iterations need not converge
        return RankingAutoRec(**settings).fit(ratings)


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("changes", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_both_engines_have_one_loss_curve_of_lists(solver, changes, orientation):
    tiled, plain = (
        fit_lists(solver, changes, orientation=orientation, engine=name) for name in ENGINES
    )
    assert len(tiled.loss_curve_) == len(plain.loss_curve_) == 10
    np.testing.assert_allclose(tiled.loss_curve_, plain.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(tiled.theta_, plain.theta_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("changes", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_threads_change_no_bit_of_lists(solver, changes):
    for dtype in ("float32", "float64"):
        alone, together = (
            fit_lists(solver, changes, dtype=dtype, n_jobs=n_jobs) for n_jobs in (1, 2)
        )
        assert together.theta_.tobytes() == alone.theta_.tobytes()
        assert together.loss_curve_ == alone.loss_curve_
