"""One training run: what the solver is given, what the monitor does, when there is a warning."""

from __future__ import annotations

import dataclasses
import logging
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrices import untiled
from scipy import sparse

from autorec_np.core.kernels import take_rows
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.optimizers import learning_rate_at
from autorec_np.data.synthetic import make_ratings
from autorec_np.engine import engines
from autorec_np.engine.threads import Workers
from autorec_np.engine.tiled import TILE_ROWS, by_activity, corner_widths, reordered
from autorec_np.models.autorec import AutoRec
from autorec_np.training import solvers as monitoring
from autorec_np.training import trainer as training
from autorec_np.training.solvers import DivergenceError, EpochMonitor, Iteration
from autorec_np.training.trainer import (
    SOLVERS,
    ConvergenceWarning,
    Trainer,
    short_on_purpose,
)

N_ROWS, N_COLUMNS = 30, 12
MINIBATCH = [name for name, defaults in SOLVERS.items() if not defaults.full_batch]
FULL_BATCH = [name for name, defaults in SOLVERS.items() if defaults.full_batch]


@pytest.fixture(scope="module")
def matrix():
    ratings = make_ratings(N_ROWS, N_COLUMNS, 150, random_state=0).matrix
    cells = (ratings.data.astype(np.float64), ratings.indices, ratings.indptr)
    return sparse.csr_array(cells, shape=ratings.shape)


def make_trainer(**changes):
    settings = {
        "solver": "adam",
        "learning_rate": "constant",
        "learning_rate_init": 0.01,
        "warm_up": 0.3,
        "momentum": 0.9,
        "nesterovs_momentum": True,
        "batch_size": 7,
        "max_iter": 3,
        "tol": 1e-4,
        "n_iter_no_change": 10,
        "dropout": 0.0,
        "corruption": 0.0,
    }
    return Trainer(**{**settings, **changes})


def make_monitor(n_epochs=3, validate=None, **changes):
    settings = {
        "early_stopping": False,
        "tol": 0.0,
        "n_iter_no_change": 10,
        "callbacks": (),
        "verbose": False,
    }
    return EpochMonitor(n_epochs, validate, **{**settings, **changes})


def run(
    trainer,
    matrix,
    *,
    targets=None,
    monitor=None,
    hidden=(4, 3),
    seed=0,
    regularization=2.0,
    workers=None,
):
    """Train; return the objective with what the engine was asked, the start and the result.

    A call is theta, inputs, targets, fraction, masks, value; rows and columns are in order of
    activity.
    """
    objective = Objective(Network(N_COLUMNS, hidden), regularization)
    objective.calls, stream = [], engines.stream

    def spy(objective, theta, inputs, targets, fraction, masks, **others):
        before, pair = theta.copy(), (untiled(inputs), untiled(targets))
        value = stream(objective, theta, inputs, targets, fraction, masks, **others)
        objective.calls.append((before, *pair, fraction, masks, value))
        return value

    random_state = np.random.default_rng(seed)
    theta = objective.network.layout.initialize(random_state, matrix.dtype)
    start = theta.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "stream", spy)
        result = trainer.run(
            objective,
            theta,
            matrix,
            matrix if targets is None else targets,
            random_state,
            make_monitor(trainer.max_iter) if monitor is None else monitor,
            workers,
        )
    return objective, start, result


def in_order_of_activity(matrix):
    return reordered(matrix, *by_activity(matrix))


def same_rows(block, matrix):
    """The rows of `matrix` that `block` holds, by their patterns and values (all differ)."""
    whole = matrix.toarray()
    return [int(np.flatnonzero((whole == row).all(axis=1))[0]) for row in block.toarray()]


# What the objective is given


def test_batches_have_the_corner_of_the_whole_matrix():
    ratings = make_ratings(400, 500, 30_000, random_state=0)
    matrix = in_order_of_activity(ratings.matrix.astype(np.float32))
    n_batches = 2
    widths = corner_widths(matrix, TILE_ROWS * n_batches)
    assert widths[0] > widths[-1]
    trainer = make_trainer(batch_size=400 // n_batches)
    arrangement = engines.TiledEngine().arrange(Network(500, (3,)), matrix, n_batches)
    batches = trainer.batches(arrangement, (3,), matrix, matrix, np.random.default_rng(0))
    counts = np.diff(matrix.indptr)
    for batch in (next(batches), next(batches)):
        plan = batch.targets.plan
        assert plan.widths == [*filter(None, widths[:: TILE_ROWS * n_batches].tolist())]
        share = plan.n_dense / batch.targets.nnz
        inside = matrix.indices < np.repeat(widths, counts)
        assert share == pytest.approx(inside.mean(), abs=0.02)


@pytest.mark.parametrize("solver", SOLVERS)
def test_workers_change_no_bit(solver, matrix):
    monitor = lambda: make_monitor(3, callbacks=[lambda state: state.epoch == 3])  # noqa: E731
    changes = {"corruption": 0.3, "dropout": 0.3} if solver in MINIBATCH else {}
    trainer = make_trainer(solver=solver, **changes)
    alone = run(trainer, matrix, monitor=monitor())[2]
    for n_threads in (2, 3):
        with Workers(n_threads) as workers:
            together = run(trainer, matrix, monitor=monitor(), workers=workers)[2]
        assert together.theta.tobytes() == alone.theta.tobytes()
        assert together.values == alone.values


@pytest.mark.parametrize("position", [0, 7, 12])
@pytest.mark.parametrize("value", [-1.0, 13.0, np.nan, np.inf, -np.inf])
def test_the_least_and_the_greatest_of_all_weights_are_found(value, position, monkeypatch):
    monkeypatch.setattr(training, "WEIGHTS_PER_TASK", 5)
    weights = np.arange(13.0)
    weights[position] = value
    with Workers(2) as pool:
        for executor in (None, pool):
            extremes = training._extremes(weights, executor)
            np.testing.assert_array_equal(extremes, (weights.min(), weights.max()))


@pytest.mark.parametrize("warm_up", [0.0, 0.5, 0.75])
def test_the_rate_climbs_in_the_part_that_was_asked_for(matrix, warm_up):
    rates = []
    callback = lambda state: rates.append(state.learning_rate)  # noqa: E731
    trainer = make_trainer(learning_rate="cosine", warm_up=warm_up, max_iter=4)
    run(trainer, matrix, monitor=make_monitor(4, callbacks=[callback]))
    n_batches = -(-N_ROWS // 7)
    last_steps = [n_batches * epoch - 1 for epoch in (1, 2, 3, 4)]
    expected = [
        learning_rate_at("cosine", 0.01, step, 4 * n_batches, warm_up) for step in last_steps
    ]
    assert rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("solver", MINIBATCH)
def test_every_epoch_visits_every_row_once_in_a_new_order(solver, matrix):
    targets = sparse.csr_array(
        (np.random.default_rng(0).random(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape
    )
    trainer = make_trainer(solver=solver, learning_rate_init=1e-4)
    objective, _, result = run(trainer, matrix, targets=targets)
    orders = []
    for epoch in range(3):
        calls = objective.calls[5 * epoch : 5 * epoch + 5]
        assert sum(fraction for _, _, _, fraction, _, _ in calls) == pytest.approx(1.0, rel=1e-12)
        rows = [same_rows(wanted, in_order_of_activity(targets)) for _, _, wanted, *_ in calls]
        for (_, inputs, _, fraction, masks, _), block in zip(calls, rows, strict=True):
            expected = take_rows(in_order_of_activity(matrix), np.array(block))
            np.testing.assert_array_equal(inputs.toarray(), expected.toarray())
            assert fraction == len(block) / N_ROWS
            assert masks is None
        assert [len(block) for block in rows] == [6] * 5
        for block in rows:  # one row of the five most active, one of the next five, ...
            assert [row // 5 for row in block] == list(range(6))
        orders.append([row for block in rows for row in block])
        assert sorted(orders[-1]) == list(range(N_ROWS))
        values = [value for *_, value in calls]
        assert result.values[epoch] == pytest.approx(sum(values), rel=1e-12)
    assert orders[0] != orders[1] != orders[2]
    assert result.n_evaluations == len(objective.calls) == 15


@pytest.mark.parametrize("solver", FULL_BATCH)
def test_a_full_batch_solver_sees_all_rows_unchanged_in_every_call(solver, matrix):
    trainer = make_trainer(solver=solver, learning_rate_init=1e-3, batch_size=2)
    with pytest.warns(ConvergenceWarning):
        objective, start, result = run(trainer, matrix)
    layout, columns = objective.network.layout, by_activity(matrix)[1]
    for name, block in layout.views(start).items():
        sorted_block = layout.views(objective.calls[0][0])[name]
        of_columns = name in ("encoder.weight", "decoder.weight", "decoder.bias")
        np.testing.assert_array_equal(sorted_block, block[columns] if of_columns else block)
    for _, inputs, targets, fraction, masks, _ in objective.calls:
        for part in (inputs, targets):
            np.testing.assert_array_equal(part.toarray(), in_order_of_activity(matrix).toarray())
            assert part.nnz == matrix.nnz
        assert fraction == 1.0
        assert masks is None
    assert len(result.values) == 3


@pytest.mark.parametrize("solver", FULL_BATCH)
def test_a_full_batch_in_blocks_of_rows_is_the_full_batch(solver, matrix, monkeypatch):
    results = []
    for n_entries in (2**20, 40):
        monkeypatch.setattr(training, "ENTRIES_PER_BLOCK", n_entries)
        with pytest.warns(ConvergenceWarning):
            objective, _, result = run(make_trainer(solver=solver, max_iter=2), matrix)
        results.append(result)
    assert len(objective.calls) > results[0].n_evaluations  # several blocks an evaluation
    np.testing.assert_allclose(results[1].values, results[0].values, rtol=1e-9)
    np.testing.assert_allclose(results[1].theta, results[0].theta, rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore::autorec_np.training.trainer.ConvergenceWarning")
def test_rprop_has_no_schedule(matrix):
    rates = []
    for schedule in ("constant", "cosine", "step"):
        monitor = make_monitor(callbacks=[lambda state: rates.append(state.learning_rate)])
        run(make_trainer(solver="rprop", learning_rate=schedule), matrix, monitor=monitor)
    assert rates == [0.01] * 9


@pytest.mark.parametrize("solver", MINIBATCH)
def test_corruption_changes_the_inputs_and_never_the_targets(solver, matrix):
    trainer = make_trainer(solver=solver, corruption=0.25, batch_size=N_ROWS, learning_rate_init=0)
    objective, _, _ = run(trainer, matrix)
    kept = []
    for _, inputs, targets, _, _, _ in objective.calls:
        np.testing.assert_array_equal(inputs.indptr, targets.indptr)  # the pattern is kept
        np.testing.assert_array_equal(inputs.indices, targets.indices)
        assert sorted(targets.data) == sorted(matrix.data)
        is_kept = inputs.data != 0
        np.testing.assert_allclose(inputs.data[is_kept], targets.data[is_kept] / 0.75, rtol=1e-12)
        kept.append(is_kept)
    assert np.mean(kept) == pytest.approx(0.75, abs=0.06)  # of 450: 3 standard deviations
    assert not np.array_equal(kept[0], kept[1])


@pytest.mark.parametrize("solver", MINIBATCH)
def test_dropout_passes_one_inverted_mask_for_each_hidden_layer(solver, matrix):
    trainer = make_trainer(solver=solver, dropout=0.4, max_iter=6)
    objective, _, _ = run(trainer, matrix, hidden=(9, 5))
    shares = []
    for _, _, targets, _, masks, _ in objective.calls:
        assert [mask.shape for mask in masks] == [(targets.shape[0], 9), (targets.shape[0], 5)]
        for mask in masks:
            assert mask.dtype == matrix.dtype
            assert set(np.unique(mask)) == {0.0, 1 / 0.6}
            shares.append(np.count_nonzero(mask) / mask.size)
    assert np.mean(shares) == pytest.approx(0.6, abs=0.04)
    first, second = objective.calls[0][4][0], objective.calls[1][4][0]
    assert not np.array_equal(first, second)


def test_the_learning_rate_follows_the_schedule_over_the_whole_run(matrix):
    rates = []
    trainer = make_trainer(learning_rate="cosine", max_iter=20, batch_size=10)
    monitor = make_monitor(20, callbacks=[lambda state: rates.append(state.learning_rate)])
    run(trainer, matrix, monitor=monitor)
    steps = (np.arange(20) * 3 + 2 + 0.5) / 60  # the last of the three steps of each epoch
    expected = np.where(steps < 0.3, steps / 0.3, (1 + np.cos(np.pi * (steps - 0.3) / 0.7)) / 2)
    np.testing.assert_allclose(rates, 0.01 * expected, rtol=1e-12)


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_uses_its_momentum(nesterov, matrix):
    trainer = make_trainer(
        solver="sgd",
        momentum=0.5,
        nesterovs_momentum=nesterov,
        learning_rate_init=1e-4,
        batch_size=N_ROWS,
    )
    objective, start, result = run(trainer, matrix)
    theta, velocity = start.copy(), 0.0
    for _ in range(3):
        _, gradient = Objective(objective.network, 2.0).value_and_gradient(theta, matrix, matrix)
        velocity = 0.5 * velocity - 1e-4 * gradient
        theta = theta + (0.5 * velocity - 1e-4 * gradient if nesterov else velocity)
    np.testing.assert_allclose(result.theta, theta, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_matrix_is_changed(solver, matrix):
    copied = matrix.copy()
    changes = {"corruption": 0.3, "dropout": 0.3} if solver in MINIBATCH else {}
    monitor = make_monitor(callbacks=[lambda state: state.epoch == 2])
    run(make_trainer(solver=solver, **changes), matrix, monitor=monitor)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(matrix, name), getattr(copied, name))


# Warnings and errors


@pytest.mark.parametrize("solver", FULL_BATCH)
def test_a_run_that_converges_does_not_warn(solver, matrix):
    trainer = make_trainer(
        solver=solver, max_iter=400, tol=1e-3, learning_rate_init=1e-3, n_iter_no_change=3
    )
    _, _, result = run(trainer, matrix)
    assert result.converged
    assert 3 < len(result.values) < 400


@pytest.mark.parametrize("solver", FULL_BATCH)
@pytest.mark.parametrize("max_iter", [1, 2, 5])
def test_the_limit_of_iterations_is_a_warning_that_says_what_to_do(solver, max_iter, matrix):
    with pytest.warns(
        ConvergenceWarning, match=f"solver='{solver}' did not converge in max_iter={max_iter} "
    ) as caught:
        _, _, result = run(make_trainer(solver=solver, max_iter=max_iter), matrix)
    message = str(caught[0].message)
    assert len(caught) == 1
    assert len(result.values) == max_iter
    assert not result.converged
    assert "raise max_iter" in message
    assert "raise tol" in message
    if max_iter > 1:
        fall = (result.values[-2] - result.values[-1]) / abs(result.values[-2])
        assert f"{fall:.1e} of itself" in message


def test_the_limit_is_a_warning_where_an_iteration_found_no_lower_value(matrix, monkeypatch):
    """L-BFGS then forgets its pairs and searches again, along the gradient."""
    from autorec_np.core import lbfgs

    search, searches = lbfgs.strong_wolfe, []

    def fail_once(*args, **options):
        searches.append(args)
        return None if len(searches) == 3 else search(*args, **options)

    monkeypatch.setattr(lbfgs, "strong_wolfe", fail_once)
    with pytest.warns(ConvergenceWarning, match="max_iter=6"):
        _, _, result = run(make_trainer(solver="lbfgs", max_iter=6), matrix)
    assert len(result.values) == 6
    assert len(searches) == 7


@pytest.mark.parametrize("solver", FULL_BATCH)
def test_a_callback_that_stops_the_run_is_not_a_warning(solver, matrix):
    for stop in (1, 2):
        monitor = make_monitor(3, callbacks=[lambda state, stop=stop: state.epoch == stop])
        _, _, result = run(make_trainer(solver=solver, max_iter=3), matrix, monitor=monitor)
        assert len(result.values) == stop


@pytest.mark.parametrize("solver", MINIBATCH)
def test_a_minibatch_solver_runs_to_its_limit_without_a_warning(solver, matrix):
    trainer = make_trainer(solver=solver, tol=0.5, n_iter_no_change=1, learning_rate_init=1e-6)
    _, _, result = run(trainer, matrix)
    assert len(result.values) == 3


@pytest.mark.parametrize(
    ("solver", "rate", "epoch"), [("sgd", 1e3, 1), ("sgd", 1e200, 1), ("adam", 1e300, 1)]
)
def test_divergence_is_an_error_that_says_what_to_do(solver, rate, epoch, matrix):
    states = []
    trainer = make_trainer(solver=solver, learning_rate_init=rate, max_iter=50, batch_size=3)
    with pytest.raises(DivergenceError, match="lower learning_rate_init"):
        run(trainer, 1e3 * matrix, monitor=make_monitor(50, callbacks=[states.append]))
    assert all(math.isfinite(state.value) for state in states)


# The monitor


def follow(monitor, n_epochs):
    """Report epochs to a monitor until it stops; return their number and the weights of each."""
    thetas = [np.full(3, float(number)) for number in range(1, n_epochs + 1)]
    for number, theta in enumerate(thetas, start=1):
        buffer = theta.copy()
        iteration = Iteration(number, buffer, 100.0 / number, 0.1, number)
        monitor.record(iteration)
        stopped = monitor(iteration)
        buffer[:] = np.nan  # a solver goes on working in place
        if stopped:
            return number, thetas
    return len(thetas), thetas


def scripted(rmses):
    """A validation that returns the numbers one after the other, and never looks at theta."""
    remaining = iter(rmses)
    return lambda theta: next(remaining)


def stopping_epoch(rmses, tol, patience):
    """A slow reference: waits for `patience` epochs that do not improve the best by tol."""
    waited, best = 0, math.inf
    for number, rmse in enumerate(rmses, start=1):
        waited = 0 if best - rmse > tol else waited + 1
        best = min(best, rmse)
        if waited >= patience:
            return number
    return len(rmses)


@given(
    st.lists(st.sampled_from([0.8, 0.9, 0.95, 1.0, 1.2, 2.0]), min_size=1, max_size=25),
    st.sampled_from([0.0, 0.07, 0.5]),
    st.integers(1, 6),
)
def test_early_stopping_keeps_the_first_best_weights(rmses, tol, patience):
    monitor = make_monitor(
        len(rmses), scripted(rmses), early_stopping=True, tol=tol, n_iter_no_change=patience
    )
    stopped, thetas = follow(monitor, len(rmses))
    assert stopped == stopping_epoch(rmses, tol, patience)
    assert monitor.curve == rmses[:stopped]
    np.testing.assert_array_equal(monitor.best_theta, thetas[int(np.argmin(rmses[:stopped]))])


def test_without_early_stopping_validation_is_only_watched():
    rmses = [1.0, 2.0, 3.0, 4.0]
    monitor = make_monitor(4, scripted(rmses), n_iter_no_change=1)
    assert follow(monitor, 4)[0] == 4
    assert monitor.curve == rmses
    assert monitor.best_theta[0] == 1.0  # for an interrupt
    unwatched = make_monitor(4, None, early_stopping=True, n_iter_no_change=1)
    assert follow(unwatched, 4)[0] == 4
    assert unwatched.curve == []


def test_every_callback_is_called_in_every_epoch_with_the_state():
    first, second = [], []

    def stop_in_the_second(state):
        first.append(state)
        return state.epoch == 2

    monitor = make_monitor(
        9, scripted([1.0] * 9), callbacks=iter([stop_in_the_second, second.append])
    )
    assert follow(monitor, 9)[0] == 2
    assert [state.epoch for state in first] == [state.epoch for state in second] == [1, 2]
    state = first[1]
    assert (state.n_epochs, state.value, state.learning_rate) == (9, 50.0, 0.1)
    assert state.validation_rmse == 1.0
    assert 0.0 <= first[0].seconds <= first[1].seconds
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.value = 0.0


@pytest.mark.parametrize("answer", [None, False, 0, ""])
def test_training_goes_on_where_a_callback_returns_nothing_true(answer):
    assert follow(make_monitor(3, callbacks=[lambda state: answer]), 3)[0] == 3


def test_early_stopping_and_callbacks_both_count_in_the_same_epoch():
    rmses = [3.0, 2.0, 1.0]
    monitor = make_monitor(
        3, scripted(rmses), early_stopping=True, callbacks=[lambda state: state.epoch == 3]
    )
    stopped, thetas = follow(monitor, len(rmses))
    assert stopped == 3
    np.testing.assert_array_equal(monitor.best_theta, thetas[2])  # of the epoch that stopped it


def test_a_verbose_monitor_logs_each_epoch(caplog):
    caplog.set_level(logging.INFO, logger=monitoring.__name__)
    follow(make_monitor(12, scripted([0.98765] * 2), verbose=True), 2)
    follow(make_monitor(12, verbose=True), 1)
    follow(make_monitor(12, scripted([1.0])), 1)
    assert len(caplog.messages) == 3
    assert caplog.messages[1].startswith("epoch 2 of 12: objective 50, validation RMSE 0.9877, ")
    assert "validation RMSE" not in caplog.messages[2]


def test_a_training_that_is_short_on_purpose_warns_of_nothing_and_others_do():
    """Also where both run at once: the switch is that of a thread."""
    ratings = make_ratings(n_users=20, n_items=15, n_ratings=120, random_state=0)
    model = AutoRec(hidden_layer_sizes=(2,), solver="lbfgs", max_iter=1, random_state=0)
    with short_on_purpose():
        model.fit(ratings)
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(model.fit, ratings)
            assert isinstance(other.exception(timeout=60), ConvergenceWarning)
    with pytest.warns(ConvergenceWarning):
        model.fit(ratings)
