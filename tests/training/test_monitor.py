"""What watches a training and what ends it: callbacks, the bar, Ctrl-C, divergence."""

from __future__ import annotations

import builtins
import io
import logging
import math
import pickle
import sys

import numpy as np
import pytest

from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.engine import engines
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.scoring import Fitted, inputs_of
from autorec_np.training import solvers as monitoring
from autorec_np.training.solvers import DivergenceError
from autorec_np.training.trainer import SOLVERS, InterruptedWarning, interrupts_end_all

R = make_ratings(40, 25, 400, random_state=0)
TRAIN, VALIDATION = train_test_split(R, 0.2, 0)
N_EPOCHS = 6

pytestmark = pytest.mark.filterwarnings("ignore::autorec_np.training.trainer.ConvergenceWarning")


def make(solver="adam", **changes):
    settings = {"hidden_layer_sizes": (4,), "max_iter": N_EPOCHS, "batch_size": 7, "n_jobs": 1}
    settings |= {"implicit": 0, "inputs": "ratings", "regularization": 2.0}
    return AutoRec(**{**settings, "solver": solver, "random_state": 0, **changes})


class Recorder:
    """Keeps the states; calls `action` after an epoch."""

    def __init__(self, epoch=None, action=None):
        self.epoch, self.action = epoch, action
        self.states, self.thetas = [], []

    def on_epoch_end(self, state):
        self.states.append(state)
        self.thetas.append(state.theta.copy())
        return self.action() if state.epoch == self.epoch else None


def interrupt():
    raise KeyboardInterrupt


def kept_epoch(recorder, validated):
    """The epoch, from 0, whose weights an interrupted model should have."""
    if not validated:
        return len(recorder.states) - 1
    return int(np.argmin([state.validation_rmse for state in recorder.states]))


def assert_fitted_with(model, theta, n_epochs, validated):
    """Weights, codes, curves and predictions all belong to one run of so many epochs."""
    np.testing.assert_array_equal(model.theta_, theta)
    rated = model.fitted_.axes.orient(TRAIN.matrix)
    inputs = inputs_of(rated, model.input_map_, model.dtype)
    np.testing.assert_allclose(model.codes_, model.network_.encode(theta, inputs), rtol=1e-5)
    assert model.n_iter_ == len(model.loss_curve_) == n_epochs
    assert len(model.validation_curve_) == (n_epochs if validated else 0)
    assert model.n_evaluations_ >= n_epochs
    assert np.isfinite(model.predict(*TRAIN.triples()[:2])).all()


def interrupt_at_evaluation(monkeypatch, number):
    """Let Ctrl-C come in the middle of an evaluation, when a part of the step is done."""
    stream, calls = engines.stream, []

    def interrupted(*batch, receive, **others):
        calls.append(None)

        def receive_and_stop(where, part):
            receive(where, part)
            if len(calls) >= number:
                raise KeyboardInterrupt

        return stream(*batch, receive=receive_and_stop, **others)

    monkeypatch.setattr(engines, "stream", interrupted)


# Callbacks


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("validation", [None, VALIDATION], ids=["", "validation"])
def test_a_callback_does_not_change_the_training(solver, validation):
    plain = make(solver).fit(TRAIN, validation=validation)
    recorder = Recorder()
    watched = make(solver, callbacks=[recorder]).fit(TRAIN, validation=validation)
    np.testing.assert_array_equal(plain.theta_, watched.theta_)
    np.testing.assert_array_equal(plain.codes_, watched.codes_)
    np.testing.assert_array_equal(recorder.thetas[-1], plain.theta_)
    assert plain.loss_curve_ == watched.loss_curve_ == [s.value for s in recorder.states]
    assert plain.n_evaluations_ == watched.n_evaluations_
    assert watched.n_iter_ == len(recorder.states)


def test_a_callback_cannot_change_the_weights():
    def meddle(state):
        with pytest.raises(ValueError, match="read-only"):
            state.theta[0] = 1.0

    make(callbacks=[meddle], max_iter=1).fit(TRAIN)


@pytest.mark.parametrize("answer", [True, 1, "enough"])
def test_an_object_with_on_epoch_end_is_a_callback_and_can_stop(answer):
    recorder, functions = Recorder(2, lambda: answer), []
    model = make(callbacks=(recorder, functions.append)).fit(TRAIN)
    assert_fitted_with(model, recorder.thetas[1], 2, validated=False)
    assert [state.epoch for state in functions] == [1, 2]


@pytest.mark.parametrize("wrong", [[object()], [type("C", (), {"on_epoch_end": 3})()]])
def test_an_object_without_a_callable_on_epoch_end_is_refused(wrong):
    with pytest.raises(TypeError, match=r"objects with on_epoch_end\(state\)"):
        make(callbacks=wrong).fit(TRAIN)


# Ctrl-C


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("validation", [None, VALIDATION], ids=["", "validation"])
@pytest.mark.parametrize("orientation", ["item", "user"])
def test_an_interrupt_in_a_callback_keeps_the_best_weights(solver, validation, orientation):
    recorder = Recorder(4, interrupt)
    model = make(solver, orientation=orientation, callbacks=[recorder])
    validated = validation is not None
    with pytest.warns(InterruptedWarning, match="interrupted by the user after 4 ") as caught:
        assert model.fit(TRAIN, validation=validation) is model
    best = kept_epoch(recorder, validated)
    assert f"weights after number {best + 1}" in str(caught[0].message)
    assert ("lowest validation RMSE" in str(caught[0].message)) == validated
    assert caught[0].filename == __file__
    assert_fitted_with(model, recorder.thetas[best], 4, validated)


def test_the_best_weights_are_kept_where_the_last_are_worse():
    recorder = Recorder(6, interrupt)
    overfits = {"learning_rate": "constant", "learning_rate_init": 0.3, "corruption": 0.0}
    model = make(callbacks=[recorder], max_iter=7, regularization=0.0, **overfits)
    with pytest.warns(InterruptedWarning):
        model.fit(TRAIN, validation=VALIDATION)
    best = kept_epoch(recorder, validated=True)
    assert best < 5
    assert_fitted_with(model, recorder.thetas[best], 6, validated=True)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("validation", [None, VALIDATION], ids=["", "validation"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupt_within_an_epoch_keeps_the_one_before(solver, validation, n_jobs, monkeypatch):
    n_per_epoch = 1 if SOLVERS[solver].full_batch else math.ceil(R.n_items / 7)
    recorder = Recorder()
    interrupt_at_evaluation(monkeypatch, 3 * n_per_epoch + 2)
    model = make(solver, n_jobs=n_jobs, callbacks=[recorder])
    with pytest.warns(InterruptedWarning):
        model.fit(TRAIN, validation=validation)
    assert 1 <= len(recorder.states) <= 4
    validated = validation is not None
    theta = recorder.thetas[kept_epoch(recorder, validated)]
    assert_fitted_with(model, theta, len(recorder.states), validated)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_interrupt_in_the_first_epoch_leaves_the_model_as_it_was(solver, monkeypatch):
    model = make(solver)
    fitted = make(solver).fit(TRAIN)
    before = dict(vars(fitted))
    interrupt_at_evaluation(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(TRAIN)
    with pytest.raises(NotFittedError):
        model.predict(R.user_ids[:1], R.item_ids[:1])
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(VALIDATION)
    assert all(vars(fitted)[name] is value for name, value in before.items())


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interrupt_in_the_validation_does_not_count_its_epoch(epoch, monkeypatch):
    scored = Fitted.score_pairs
    calls = []

    def interrupted(self, *args):
        calls.append(None)
        return interrupt() if len(calls) == epoch else scored(self, *args)

    recorder = Recorder()
    model = make(callbacks=[recorder])
    with monkeypatch.context() as patch:
        patch.setattr(Fitted, "score_pairs", interrupted)
        if epoch == 1:
            with pytest.raises(KeyboardInterrupt):
                model.fit(TRAIN, validation=VALIDATION)
            assert not hasattr(model, "theta_")
            return
        with pytest.warns(InterruptedWarning):
            model.fit(TRAIN, validation=VALIDATION)
    best = kept_epoch(recorder, validated=True)
    assert_fitted_with(model, recorder.thetas[best], epoch - 1, validated=True)


def test_an_interrupt_between_two_blocks_of_weights_does_not_mix_epochs(monkeypatch):
    take, calls = engines.take_rows_of_blocks, []

    def interrupted(network, theta, columns, out, workers):
        calls.append(None)
        if len(calls) == 4:  # the first is before training
            out[: out.size // 2] = theta[: out.size // 2]
            raise KeyboardInterrupt
        take(network, theta, columns, out, workers)

    monkeypatch.setattr(engines, "take_rows_of_blocks", interrupted)
    with pytest.warns(InterruptedWarning, match="after 3 "):
        model = make().fit(TRAIN)
    recorder = Recorder()
    monkeypatch.undo()
    make(callbacks=[recorder]).fit(TRAIN)
    assert_fitted_with(model, recorder.thetas[2], 3, validated=False)


def test_several_trainings_in_a_row_can_be_ended_by_one_interrupt():
    recorder = Recorder(2, interrupt)
    model = make(callbacks=[recorder])
    with pytest.raises(KeyboardInterrupt), interrupts_end_all():
        model.fit(TRAIN)
    assert_fitted_with(model, recorder.thetas[-1], 2, validated=False)
    with interrupts_end_all(), pytest.raises(KeyError):
        make(callbacks=[lambda state: {}["no"]]).fit(TRAIN)


def test_training_goes_on_from_an_interrupted_model():
    model = make(callbacks=[Recorder(2, interrupt)])
    with pytest.warns(InterruptedWarning):
        model.fit(TRAIN)
    loss = model.loss_curve_[-1]
    model.set_params(callbacks=(), warm_start=True).fit(TRAIN)
    assert model.n_iter_ == N_EPOCHS
    assert model.loss_curve_[-1] < loss


# Divergence


def diverge_at_evaluation(monkeypatch, number, what):
    """Spoil the value, or one derivative (and so a weight), of an evaluation."""
    stream, calls = engines.stream, []

    def spoiled(*batch, receive, **others):
        calls.append(None)

        def receive_spoiled(where, part):
            if what == "weight" and len(calls) == number:
                part.reshape(-1)[0] = math.nan
            receive(where, part)

        value = stream(*batch, receive=receive_spoiled, **others)
        return math.nan if what == "value" and len(calls) == number else value

    monkeypatch.setattr(engines, "stream", spoiled)


@pytest.mark.parametrize("solver", ["adam", "sgd", "rprop"])
@pytest.mark.parametrize("what", ["value", "weight"])
@pytest.mark.parametrize("validation", [None, VALIDATION], ids=["", "validation"])
def test_divergence_is_caught_in_its_epoch_and_keeps_good_weights(
    solver, what, validation, monkeypatch
):
    per_epoch = 1 if solver == "rprop" else math.ceil(R.n_items / 7)
    recorder = Recorder()
    model = make(solver, callbacks=[recorder])
    diverge_at_evaluation(monkeypatch, 4 * per_epoch, what)  # the last of epoch 4
    message = "the objective became nan" if what == "value" else "a weight became nan"
    with pytest.raises(DivergenceError, match=rf"{message} in iteration 4; .*learning_rate_init"):
        model.fit(TRAIN, validation=validation)
    assert len(recorder.states) == 3
    assert not hasattr(model, "theta_")


@pytest.mark.parametrize("validation", [None, VALIDATION], ids=["", "validation"])
def test_the_error_has_a_model_with_the_last_good_weights(validation, monkeypatch):
    recorder = Recorder()
    model = make(callbacks=[recorder]).fit(TRAIN)
    before = model.theta_
    recorder.states, recorder.thetas = [], []
    diverge_at_evaluation(monkeypatch, 4 * 4 - 1, "value")
    with pytest.raises(DivergenceError) as caught:
        model.fit(TRAIN, validation=validation)
    assert model.theta_ is before
    validated = validation is not None
    assert caught.value.epoch == 3
    best = recorder.thetas[kept_epoch(recorder, validated)]
    assert_fitted_with(caught.value.model, best, 3, validated)


def test_divergence_in_the_first_epoch_has_no_model(monkeypatch):
    diverge_at_evaluation(monkeypatch, 2, "value")
    with pytest.raises(DivergenceError, match="in iteration 1;") as caught:
        make().fit(TRAIN)
    assert (caught.value.epoch, caught.value.model) == (0, None)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"solver": "sgd", "learning_rate_init": 1e9}, r"Here learning_rate_init=1e\+09"),
        ({"regularization": 0.0}, "no penalty keeps encoder.weight and decoder.weight from"),
        ({"regularization": {"encoder.weight": 1.0}}, "no penalty keeps decoder.weight from"),
        ({"solver": "lbfgs"}, "Here the largest target is"),
    ],
)
def test_the_message_names_the_likely_causes(changes, named, monkeypatch):
    diverge_at_evaluation(monkeypatch, 1, "value")
    with pytest.raises(DivergenceError, match=named) as caught:
        make(**changes).fit(TRAIN)
    message = str(caught.value)
    assert ("learning_rate_init" in message) == (changes.get("solver") != "lbfgs")
    assert ("no penalty" in message) == ("regularization" in changes)
    assert "largest target is" in message


# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def open_terminal(monkeypatch):
    """To be called in the test: pytest sets sys.stderr after the fixtures."""
    pytest.importorskip("tqdm")

    def open_it():
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return open_it


def test_a_terminal_shows_a_bar_to_the_last_epoch(open_terminal, capsys):
    terminal = open_terminal()
    make(verbose=True).fit(TRAIN, validation=VALIDATION)
    last = terminal.getvalue().rstrip().split("\r")[-1]
    assert f"{N_EPOCHS}/{N_EPOCHS}" in last
    assert "objective=" in last
    assert "validation RMSE=" in last
    assert terminal.getvalue().endswith("\n")  # closed
    assert capsys.readouterr().out == ""


def test_the_bar_is_closed_by_an_error_and_an_early_end(open_terminal):
    terminal = open_terminal()
    make(verbose=True, callbacks=[lambda state: True]).fit(TRAIN)
    assert f"1/{N_EPOCHS}" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")
    terminal = open_terminal()
    with pytest.raises(ZeroDivisionError):
        make(verbose=True, callbacks=[lambda state: 1 / 0]).fit(TRAIN)
    assert terminal.getvalue().endswith("\n")


def test_who_asked_for_log_lines_gets_no_bar(open_terminal, caplog):
    terminal = open_terminal()
    caplog.set_level(logging.INFO, logger="autorec_np.training.solvers")
    make(verbose=True).fit(TRAIN)
    assert len(caplog.messages) == N_EPOCHS
    assert terminal.getvalue() == ""


def test_who_asked_for_nothing_sees_nothing(open_terminal):
    terminal = open_terminal()
    make().fit(TRAIN)
    assert terminal.getvalue() == ""


def test_there_is_no_bar_without_a_terminal_or_without_tqdm(open_terminal, monkeypatch):
    open_terminal()
    actual_import = builtins.__import__

    def without_tqdm(name, *rest):
        if name.startswith("tqdm"):
            raise ImportError(name)
        return actual_import(name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without_tqdm)
        assert monitoring.progress_bar(3) is None
    for stream in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        assert monitoring.progress_bar(3) is None
        make(verbose=True).fit(TRAIN)
