"""The two sides of the seam: the order that they want, their batches, rules and memories."""

from __future__ import annotations

import numpy as np
import pytest
from matrices import random_csr, untiled
from small_tiles import make_small

from autorec_np.core import optimizers
from autorec_np.core.implicit import ImplicitNetwork, scaled_pattern
from autorec_np.core.lbfgs import TwoLoop
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.planes import Planes
from autorec_np.engine import engines
from autorec_np.engine.engines import CompactPairs, PlainEngine, TiledEngine
from autorec_np.engine.tiled import Static, by_activity, reordered

ENGINES = {"plain": PlainEngine, "tiled": TiledEngine}
EVERY_ENGINE = pytest.mark.parametrize("name", ENGINES)
MATRIX = random_csr(23, 17, 160, seed=0)
NETWORK = Network(17, (4, 3))


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    make_small(monkeypatch)


def theta_of(seed=0):
    return np.random.default_rng(seed).normal(0.0, 0.3, NETWORK.layout.size)


@EVERY_ENGINE
def test_theta_comes_back_as_it_went(name):
    arrangement = ENGINES[name]().arrange(NETWORK, MATRIX, 2)
    theta = theta_of()
    arranged, restored = arrangement.arranged(theta), np.full_like(theta, np.nan)
    assert not np.shares_memory(arranged, theta)
    arrangement.restore(arranged, restored)
    assert restored.tobytes() == theta.tobytes()
    assert (name == "plain") == (arranged.tobytes() == theta.tobytes())


@pytest.mark.parametrize("n_batches", [1, 3])
def test_a_batch_holds_the_rows_that_were_asked_for_in_the_order_of_the_engine(n_batches):
    rows, columns = by_activity(MATRIX)
    few = rows[::n_batches]
    masks = [np.ones((len(few), 4)), np.ones((len(few), 3))]
    inputs = MATRIX.copy()
    inputs.data = inputs.data * 2 + 1
    plain = PlainEngine().arrange(NETWORK, MATRIX, n_batches).batch(inputs, MATRIX, few, masks)
    tiled = TiledEngine().arrange(NETWORK, MATRIX, n_batches).batch(inputs, MATRIX, few, masks)
    for batch in (plain, tiled):
        assert batch.fraction == len(few) / 23
        assert batch.masks is masks
    np.testing.assert_array_equal(plain.targets.toarray(), MATRIX[few].toarray())
    np.testing.assert_array_equal(plain.inputs.toarray(), inputs[few].toarray())
    for got, whole in ((tiled.inputs, inputs), (tiled.targets, MATRIX)):
        expected = reordered(whole, few, columns)
        assert got.nnz == expected.nnz  # stored zeros too
        np.testing.assert_array_equal(untiled(got).toarray(), expected.toarray())


PLANES = Planes(MATRIX, np.random.default_rng(4).normal(size=(2, MATRIX.nnz)))
IMPLICIT = ImplicitNetwork(17, (4, 3), n_inputs=34, rated=scaled_pattern(MATRIX), n_implicit=2)
EVERY_KIND = pytest.mark.parametrize(
    ("network", "inputs"), [(NETWORK, MATRIX), (IMPLICIT, PLANES)], ids=["", "implicit, planes"]
)


@EVERY_ENGINE
@EVERY_KIND
def test_the_parts_add_up_to_the_whole(name, network, inputs):
    engine, objective = ENGINES[name](), Objective(network, 2.0)
    arrangement = engine.arrange(network, MATRIX, 1)
    arranged = arrangement.objective(objective)
    rows, _ = by_activity(MATRIX)
    start = np.random.default_rng(0).normal(0.0, 0.3, network.layout.size)
    theta = arrangement.arranged(start)
    whole = [arrangement.batch(inputs, MATRIX, rows, None)]
    parts = [arrangement.batch(inputs, MATRIX, part, None) for part in np.array_split(rows, 3)]
    value, gradient = engine.value_and_gradient(arranged, theta, whole)
    other_value, other_gradient = engine.value_and_gradient(arranged, theta, parts)
    assert other_value == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(other_gradient, gradient, rtol=1e-10, atol=1e-12)
    exact, expected = objective.value_and_gradient(start, inputs, MATRIX)
    assert value == pytest.approx(exact, rel=1e-12)
    restored = np.empty_like(start)
    arrangement.restore(gradient, restored)
    np.testing.assert_allclose(restored, expected, rtol=1e-10, atol=1e-12)


def test_the_products_of_the_whole_pattern_are_made_once_an_evaluation(monkeypatch):
    """However many batches there are."""
    engine, made = TiledEngine(), []
    arrangement = engine.arrange(IMPLICIT, MATRIX, 1)
    arranged = arrangement.objective(Objective(IMPLICIT, 2.0))
    rows, _ = by_activity(MATRIX)
    parts = [arrangement.batch(PLANES, MATRIX, part, None) for part in np.array_split(rows, 3)]

    def count(name):
        original = getattr(Static, name)

        def counted(self, dense):
            made.append(name)
            return original(self, dense)

        monkeypatch.setattr(Static, name, counted)

    count("tiles_of_transpose")
    count("bands_of_product")
    theta = np.zeros(IMPLICIT.layout.size)
    engine.value_and_gradient(arranged, theta, parts)
    assert made == ["tiles_of_transpose", "bands_of_product"]


def test_a_batch_of_planes_has_one_plan_for_all():
    rows, columns = by_activity(MATRIX)
    few = rows[::2]
    batch = TiledEngine().arrange(IMPLICIT, MATRIX, 2).batch(PLANES, MATRIX, few, None)
    assert {id(block.plan) for block in batch.inputs.blocks} == {id(batch.targets.plan)}
    for got, whole in zip(batch.inputs.blocks, PLANES.blocks, strict=True):
        expected = reordered(whole, few, columns).toarray()
        np.testing.assert_array_equal(untiled(got).toarray(), expected)


@EVERY_ENGINE
@pytest.mark.parametrize("solver", ["sgd", "adam", "rprop"])
@pytest.mark.parametrize("n_parts", [1, 3])
def test_a_step_moves_theta_in_place_and_returns_the_value_before(name, solver, n_parts):
    engine, objective = ENGINES[name](), Objective(NETWORK, 2.0)
    arrangement = engine.arrange(NETWORK, MATRIX, 1)
    rows, _ = by_activity(MATRIX)
    batches = [
        arrangement.batch(MATRIX, MATRIX, part, None) for part in np.array_split(rows, n_parts)
    ]
    theta = arrangement.arranged(theta_of())
    rule, before = engine.rule(solver, theta), theta.copy()
    expected, _ = engine.value_and_gradient(objective, theta, batches)
    for _ in range(5):
        value = engine.step(objective, theta, batches, rule, 1e-3)
        if expected is not None:
            assert value == pytest.approx(expected, rel=1e-14)
            expected = None
    assert not np.array_equal(theta, before)
    assert engine.value_and_gradient(objective, theta, batches)[0] < value


def test_each_engine_has_its_own_rules_and_memory():
    theta = theta_of()
    plain, tiled = PlainEngine(), TiledEngine()
    for solver, name in (("sgd", "SGD"), ("adam", "Adam"), ("rprop", "RProp")):
        assert type(plain.rule(solver, theta)) is getattr(optimizers, name)
        assert type(tiled.rule(solver, theta)) is getattr(engines, name)
    assert plain.rule("sgd", theta, momentum=0.5, nesterovs_momentum=False).momentum == 0.5
    assert tiled.rule("sgd", theta, momentum=0.5, nesterovs_momentum=False).momentum == 0.5
    assert isinstance(plain.pairs(theta, 3), TwoLoop)
    assert isinstance(tiled.pairs(theta, 3), CompactPairs)
