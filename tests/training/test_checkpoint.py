"""A fit that was stopped goes on from its file to the same bits, whatever stopped it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
from full_disk import full_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from autorec_np import __version__
from autorec_np._files import replacing
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.cross_validation import cross_validate
from autorec_np.evaluation.hyperparameters import search
from autorec_np.models.autorec import AutoRec
from autorec_np.models.blend import Blend
from autorec_np.models.ranking_autorec import RankingAutoRec
from autorec_np.serving.model_file import load_model, save_model
from autorec_np.serving.scikit import RatingRegressor
from autorec_np.training import checkpoint as room
from autorec_np.training import solvers
from autorec_np.training.checkpoint import (
    WITHOUT_EFFECT,
    Checkpoint,
    CheckpointWarning,
    digest_of,
    read_checkpoint,
)
from autorec_np.training.trainer import SOLVERS, InterruptedWarning, Trainer

R = make_ratings(40, 25, 400, random_state=0)
TRAIN, VALIDATION = train_test_split(R, 0.2, 0)
N_EPOCHS = 7
SMALL = {
    "hidden_layer_sizes": (4,),
    "max_iter": N_EPOCHS,
    "batch_size": 7,
    "n_jobs": 1,
    "random_state": 0,
}

pytestmark = pytest.mark.filterwarnings("ignore::autorec_np.training.trainer.ConvergenceWarning")


class Killed(BaseException):
    """Ends a fit as a kill would: nothing catches it."""


class KillAt:
    """A callback that ends the fit in an epoch, or in `way` "stop" lets it end."""

    def __init__(self, epoch, way="kill"):
        self.epoch, self.way, self.seen = epoch, way, []

    def __call__(self, state):
        self.seen.append(state.epoch)
        if state.epoch != self.epoch:
            return False
        if self.way == "kill":
            raise Killed
        if self.way == "interrupt":
            raise KeyboardInterrupt
        return True


def result_of(model):
    """All that a fit sets, in bits."""
    users, items = np.repeat(R.user_ids[:9], 4), np.tile(R.item_ids[:4], 9)
    return {
        "theta": model.theta_.tobytes(),
        "codes": model.codes_.tobytes(),
        "loss_curve": model.loss_curve_,
        "validation_curve": model.validation_curve_,
        "n_iter": model.n_iter_,
        "n_evaluations": model.n_evaluations_,
        "predictions": model.predict(users, items).tobytes(),
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def stopped(model, path, epoch, way="kill", every=1, data=R, validation=None):
    """Stop a fit in an epoch; return what it would have gone on to, and the callback."""
    callback = KillAt(epoch, way)
    model.set_params(checkpoint=path, checkpoint_every=every, callbacks=[callback])
    with contextlib.suppress(Killed), warnings.catch_warnings():
        warnings.simplefilter("ignore", InterruptedWarning)
        model.fit(data, validation)
    return callback


def resumed(model, path, data=R, validation=None, **changes):
    model.set_params(checkpoint=path, callbacks=[], **changes)
    return model.fit(data, validation, resume=True)


# To the same bits

SETTINGS = {
    **{solver: {"solver": solver} for solver in SOLVERS},
    **{f"plain {solver}": {"solver": solver, "engine": "plain"} for solver in SOLVERS},
    **{
        f"early {solver}": {"solver": solver, "early_stopping": True, "n_iter_no_change": 2}
        for solver in SOLVERS
    },
    **{name: {"solver": "sgd", "learning_rate": name} for name in ("constant", "step", "cosine")},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
    "dropout": {"dropout": 0.3, "corruption": 0.0},
    "corruption and dropout": {"dropout": 0.3, "corruption": 0.6},
    "none of both": {"corruption": 0.0},
    "implicit": {"implicit": 2, "inputs": "planes", "orientation": "user"},
    "implicit lbfgs": {"solver": "lbfgs", "implicit": 2, "engine": "tiled"},
    "plain implicit": {"implicit": 3, "engine": "plain"},
    "paper": {"implicit": 0, "inputs": "ratings", "regularization": 2.0},
    "tied": {"tied": True},
    "deep": {"hidden_layer_sizes": (5, 3)},
    "float64": {"dtype": "float64", "solver": "lbfgs"},
    "bounded": {"output_activation": "sigmoid", "solver": "rprop"},
    "flat": {"solver": "rprop", "tol": 0.5, "n_iter_no_change": 2},
    "flat lbfgs": {"solver": "lbfgs", "tol": 0.5, "n_iter_no_change": 2},
    "flat scipy-lbfgs": {"solver": "scipy-lbfgs", "tol": 0.5},
    "threads": {"n_jobs": 2},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_fit_that_was_killed_goes_on_to_the_same_bits(name, tmp_path):
    """Then, and again after its end, where nothing is left to do."""
    parameters = {**SMALL, **SETTINGS[name]}
    whole = AutoRec(**parameters).fit(R)
    expected, last = result_of(whole), whole.n_iter_
    epochs = sorted({1, 2, last // 2 + 1, last})
    for epoch in epochs:
        path = tmp_path / f"{epoch}.npz"
        stopped(AutoRec(**parameters), path, epoch)
        assert path.exists() == (epoch > 1)  # the epoch that was stopped is not in the file
        for _ in range(2):
            assert result_of(resumed(AutoRec(**parameters), path)) == expected
    assert names(tmp_path) == [f"{epoch}.npz" for epoch in epochs]


def test_lists_and_validation_ratings_go_on_too(tmp_path):
    for number, changes in enumerate(
        [{}, {"values": "counts", "solver": "lbfgs"}, {"values": "ratings", "implicit": 2}]
    ):
        parameters = {**SMALL, **changes, "early_stopping": True, "n_iter_no_change": 3}
        whole = RankingAutoRec(**parameters).fit(TRAIN, VALIDATION)
        expected, path = result_of(whole), tmp_path / f"{number}.npz"
        for epoch in (2, whole.n_iter_):
            stopped(RankingAutoRec(**parameters), path, epoch, data=TRAIN, validation=VALIDATION)
            model = resumed(RankingAutoRec(**parameters), path, TRAIN, VALIDATION)
            assert result_of(model) == expected


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_warm_start_goes_on_with_the_model_that_it_began_with(solver, tmp_path):
    parameters = {**SMALL, "solver": solver, "warm_start": True, "implicit": 0, "inputs": "ratings"}
    path = tmp_path / "run.npz"

    def before():
        return AutoRec(**{**parameters, "solver": "adam"}).fit(R).set_params(solver=solver)

    expected = result_of(before().fit(R))
    stopped(before(), path, 4)
    with pytest.raises(ValueError, match="with start='"):
        resumed(AutoRec(**parameters), path)
    assert result_of(resumed(before(), path)) == expected


@given(
    solver=st.sampled_from([*SOLVERS]),
    epoch=st.integers(1, N_EPOCHS),
    again=st.integers(1, N_EPOCHS),
    every=st.sampled_from([None, 1, 2, 3]),
    way=st.sampled_from(["kill", "stop", "interrupt"]),
    changes=st.fixed_dictionaries(
        {
            "engine": st.sampled_from(["tiled", "plain"]),
            "orientation": st.sampled_from(["item", "user"]),
            "early_stopping": st.booleans(),
            "learning_rate": st.sampled_from(["cosine", "constant", "exponential"]),
            "n_iter_no_change": st.integers(1, 4),
            "tol": st.sampled_from([0.0, 1e-3, 0.1]),
            "batch_size": st.sampled_from([3, 10, 100]),
            "random_state": st.integers(0, 2),
            "n_jobs": st.sampled_from([1, 2]),
        }
    ),
)
@settings(max_examples=25, deadline=None)
def test_any_two_stops_change_no_bit(tmp_path_factory, solver, epoch, again, every, way, changes):
    parameters = {**SMALL, **changes, "solver": solver}
    path = tmp_path_factory.mktemp("run") / "run.npz"
    expected = result_of(AutoRec(**parameters).fit(R))
    stopped(AutoRec(**parameters), path, epoch, way, every)
    with contextlib.suppress(Killed):
        model = AutoRec(**parameters, checkpoint=path, callbacks=[KillAt(again)])
        model.fit(R, resume=True)
    assert result_of(resumed(AutoRec(**parameters), path)) == expected
    assert names(path.parent) == ["run.npz"]


@pytest.mark.parametrize("kind", ["PCG64", "MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_a_generator_ends_as_if_nothing_had_stopped(kind, tmp_path):
    def generator(seed=5):
        return np.random.Generator(getattr(np.random, kind)(seed))

    path, parameters = tmp_path / "run.npz", {**SMALL, "early_stopping": True, "dropout": 0.2}
    parameters["random_state"] = left = generator()
    expected = result_of(AutoRec(**parameters).fit(R))
    stopped(AutoRec(**{**parameters, "random_state": generator()}), path, 4)
    parameters["random_state"] = other = generator(seed=6)  # its state comes from the file
    assert result_of(resumed(AutoRec(**parameters), path)) == expected
    assert other.random() == left.random()


def test_without_a_seed_the_file_has_it(tmp_path):
    path, parameters = tmp_path / "run.npz", {**SMALL, "early_stopping": True, "random_state": None}
    stopped(AutoRec(**parameters), path, 3)
    first = result_of(resumed(AutoRec(**parameters), path))
    again = tmp_path / "again.npz"
    again.write_bytes(path.read_bytes())
    assert result_of(resumed(AutoRec(**parameters), again)) == first
    assert result_of(AutoRec(**parameters).fit(R)) != first


@pytest.mark.parametrize(
    "changes",
    [
        {"solver": "lbfgs"},
        {"solver": "rprop"},
        {"solver": "scipy-lbfgs", "tol": 0.0},
        {"solver": "adam", "learning_rate": "constant"},
    ],
)
def test_a_fit_that_ended_goes_on_to_a_higher_limit(changes, tmp_path):
    parameters, path = {**SMALL, **changes}, tmp_path / "run.npz"
    AutoRec(**parameters, checkpoint=path).fit(R)
    parameters["max_iter"] += 4
    expected = result_of(AutoRec(**parameters).fit(R))
    assert expected["n_iter"] == N_EPOCHS + 4
    assert result_of(resumed(AutoRec(**parameters), path)) == expected
    with pytest.raises(ValueError, match=f"max_iter=3 is below the {N_EPOCHS + 4} epochs"):
        resumed(AutoRec(**{**parameters, "max_iter": 3}), path)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_finished_fit_is_only_read(solver, tmp_path, monkeypatch):
    path, parameters = tmp_path / "run.npz", {**SMALL, "solver": solver}
    expected = result_of(AutoRec(**parameters, checkpoint=path).fit(R))
    content = path.read_bytes()
    monkeypatch.setattr(Trainer, "_minimize", None)
    callback = KillAt(1)
    model = AutoRec(**parameters, checkpoint=path, callbacks=[callback]).fit(R, resume=True)
    assert (result_of(model), callback.seen) == (expected, [])
    assert path.read_bytes() == content


def test_the_callbacks_hear_of_each_epoch_once(tmp_path):
    """But for the one in which it was killed, which comes again."""
    for solver in SOLVERS:
        path = tmp_path / f"{solver}.npz"
        first = stopped(AutoRec(**SMALL, solver=solver), path, 4)
        second = KillAt(None)
        AutoRec(**SMALL, solver=solver, checkpoint=path, callbacks=[second]).fit(R, resume=True)
        assert (first.seen, second.seen) == ([1, 2, 3, 4], [4, 5, 6, 7])


def test_without_a_file_a_resume_begins(tmp_path):
    path = tmp_path / "run.npz"
    expected = result_of(AutoRec(**SMALL).fit(R))
    assert result_of(resumed(AutoRec(**SMALL), path)) == expected
    with pytest.raises(ValueError, match=r"pass checkpoint=path"):
        AutoRec(**SMALL).fit(R, resume=True)


def test_without_resume_a_fit_begins_anew_and_replaces_the_file(tmp_path):
    path = tmp_path / "run.npz"
    stopped(AutoRec(**SMALL), path, 5)
    model = AutoRec(**{**SMALL, "random_state": 1}, checkpoint=path).fit(R)
    assert result_of(model) == result_of(AutoRec(**{**SMALL, "random_state": 1}).fit(R))
    assert result_of(resumed(AutoRec(**{**SMALL, "random_state": 1}), path)) == result_of(model)


# What must be the same

OTHER_RATINGS = make_ratings(40, 25, 400, random_state=1)
USERS, ITEMS, VALUES = R.triples()
LAST_USER = USERS.max()
OTHER_ID = Ratings.from_triples(np.where(USERS == LAST_USER, 999, USERS), ITEMS, VALUES)
REFUSED = {
    "ratings": ({}, OTHER_RATINGS, None, "with ratings='400 of"),
    "an id": ({}, OTHER_ID, None, "with ratings='400 of"),
    "validation": ({}, R, VALIDATION, "with validation='"),
    "max_iter": ({"max_iter": 9}, R, None, "with max_iter=7, which cannot go on with 9"),
    "widths": ({"hidden_layer_sizes": (5,)}, R, None, r"hidden_layer_sizes=\[4\], .* \[5\]"),
    "seed": ({"random_state": 1}, R, None, "random_state=0, which cannot go on with 1;"),
    "engine": ({"engine": "plain"}, R, None, "engine='tiled', which cannot go on with 'plain'"),
    "corruption": ({"corruption": 0.2}, R, None, "corruption=None, which cannot go on with 0.2"),
    "dtype": ({"dtype": "float64"}, R, None, "dtype='float32'.*'float64'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_another_fit_is_refused_with_both_named(name, tmp_path):
    path = tmp_path / "run.npz"
    stopped(AutoRec(**SMALL), path, 3)
    content = path.read_bytes()
    changes, data, validation, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as refused:
        resumed(AutoRec(**{**SMALL, **changes}), path, data, validation)
    assert str(path) in str(refused.value)
    assert "resume=False" in str(refused.value)
    assert path.read_bytes() == content
    assert names(tmp_path) == ["run.npz"]


def test_every_parameter_counts_but_those_without_effect(tmp_path):
    path = tmp_path / "run.npz"
    stopped(AutoRec(**SMALL), path, 3)
    known = read_checkpoint(path)["facts"].keys() - {"version", "ratings", "validation", "start"}
    assert known == AutoRec().get_params().keys() - {*WITHOUT_EFFECT}
    free = {"n_jobs": 2, "verbose": False, "callbacks": [print], "checkpoint_every": 3}
    assert {*free, "checkpoint"} == {*WITHOUT_EFFECT}
    model = AutoRec(**{**SMALL, "n_jobs": 2, "checkpoint_every": 3})
    assert result_of(resumed(model, path)) == result_of(AutoRec(**SMALL).fit(R))


def test_another_version_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    stopped(AutoRec(**SMALL), path, 3)
    monkeypatch.setattr(room, "__version__", "9.9")
    with pytest.raises(ValueError, match=f"version='{__version__}', which cannot .* '9.9'"):
        resumed(AutoRec(**SMALL), path)


def test_a_digest_tells_text_values_and_order():
    one = [np.array([1.0, 2.0]), np.array(["a", "b"], object)]
    assert digest_of(one) == digest_of([array.copy() for array in one])
    others = [[one[1], one[0]], [one[0][::-1], one[1]], [one[0], np.array(["a", "c"], object)]]
    assert len({digest_of(arrays) for arrays in (one, *others)}) == 4


# Faults that the tests above must see


def without(name):
    def fault(monkeypatch):
        read = room.read_checkpoint

        def changed(path):
            state = read(path)
            if name == "random_state":
                state[name] = np.random.default_rng(9).bit_generator.state
            elif name in ("theta", "best_theta"):
                state[name] = np.zeros_like(state[name])
            elif name == "memory":
                state[name] = {}
            elif name == "curve":
                state[name] = [value + 1.0 for value in state[name]]
            else:
                state["done"][name] = state["done"][name] + 1
            return state

        monkeypatch.setattr(room, "read_checkpoint", changed)

    return fault


def no_skip(monkeypatch):
    batches = Trainer.batches
    monkeypatch.setattr(Trainer, "batches", lambda self, *given: batches(self, *given[:-1], 0))


def rounded(monkeypatch):
    savez = np.savez

    def half(file, **arrays):
        coarse = {
            k: x.astype(np.float16).astype(x.dtype) if x.ndim else x for k, x in arrays.items()
        }
        savez(file, **{**coarse, "header": arrays["header"]})

    monkeypatch.setattr(np, "savez", half)


FAULTS = {
    **{
        name: (without(name), "adam")
        for name in ("random_state", "theta", "best_theta", "memory", "curve")
    },
    "pairs": (without("memory"), "lbfgs"),
    "evaluations": (without("n_evaluations"), "lbfgs"),
    "batches": (no_skip, "adam"),
    "rounding": (rounded, "rprop"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_changes_a_bit(name, tmp_path, monkeypatch):
    fault, solver = FAULTS[name]
    parameters = {**SMALL, "solver": solver, "early_stopping": True}
    if name == "best_theta":  # the best is before the stop
        parameters |= {"learning_rate_init": 0.3, "n_iter_no_change": 2, "max_iter": 40}
    whole = AutoRec(**parameters).fit(R)
    path = tmp_path / "run.npz"
    with monkeypatch.context() as patch:
        if name == "rounding":
            fault(patch)
        stopped(AutoRec(**parameters), path, whole.n_iter_ if name == "best_theta" else 4)
    fault(monkeypatch)
    with contextlib.suppress(ValueError):  # another split is another start
        assert result_of(resumed(AutoRec(**parameters), path)) != result_of(whole)


# Files


def test_a_damaged_file_is_refused_or_changes_nothing(tmp_path):
    path = tmp_path / "run.npz"
    parameters = {**SMALL, "solver": "lbfgs"}
    expected = result_of(AutoRec(**parameters).fit(R))
    stopped(AutoRec(**parameters), path, 4)
    content = path.read_bytes()
    draw, n_refused = random.Random(0), 0
    for _ in range(60):
        damaged = bytearray(content)
        if draw.random() < 0.2:
            del damaged[draw.randrange(len(content)) :]
        else:
            damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            assert result_of(resumed(AutoRec(**parameters), path)) == expected
        except ValueError as error:
            assert "cannot be read as a checkpoint" in str(error)  # noqa: PT017
            n_refused += 1
    assert n_refused > 40


@pytest.mark.parametrize("content", [b"", b"user,item,rating\n1,2,3\n", b"PK\x03\x04"])
def test_another_file_is_refused_and_stays(content, tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ratings.csv cannot be read as a checkpoint: "):
        resumed(AutoRec(**SMALL), path)
    assert path.read_bytes() == content


def test_a_model_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.npz"
    save_model(AutoRec(**SMALL).fit(R), path)
    with pytest.raises(ValueError, match="it is 'autorec_np model', not 'autorec_np check"):
        resumed(AutoRec(**SMALL), path)


def test_a_saved_model_names_no_checkpoint(tmp_path):
    model = AutoRec(**SMALL).fit(R)
    save_model(model, tmp_path / "without.npz")
    model.set_params(checkpoint=tmp_path / "run.npz", checkpoint_every=3)
    save_model(model, tmp_path / "with.npz")
    assert (tmp_path / "with.npz").read_bytes() == (tmp_path / "without.npz").read_bytes()
    assert load_model(tmp_path / "with.npz").get_params()["checkpoint"] is None


@pytest.mark.parametrize("name", ["run", "run.npz", "run 1.[x]"])
def test_the_file_has_the_name_that_was_given(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    AutoRec(**SMALL, checkpoint=name).fit(R)
    assert names(tmp_path) == [name]


def test_a_folder_that_is_not_there_is_an_error_before_the_training(tmp_path):
    callback = KillAt(None)
    with pytest.raises(FileNotFoundError):
        AutoRec(**SMALL, checkpoint=tmp_path / "no" / "run.npz", callbacks=[callback]).fit(R)
    assert callback.seen == []


@pytest.mark.parametrize("every", [0, 2.0, "all"])
def test_every_is_a_number_of_epochs(every, tmp_path):
    with pytest.raises((ValueError, TypeError), match="checkpoint_every must be"):
        AutoRec(**SMALL, checkpoint=tmp_path / "run.npz", checkpoint_every=every).fit(R)
    assert names(tmp_path) == []


# How often


def epochs_saved(monkeypatch, path, parameters=SMALL, **changes):
    epochs, save = [], Checkpoint.save

    def noted(self, theta, memory, done, monitor):
        save(self, theta, memory, done, monitor)
        epochs.append(len(done.values))

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", noted)
        AutoRec(**{**parameters, **changes}, checkpoint=path).fit(R)
    return epochs


def test_every_so_many_epochs_and_at_the_end(monkeypatch, tmp_path):
    path = tmp_path / "run.npz"
    assert epochs_saved(monkeypatch, path, checkpoint_every=3) == [3, 6, 7]
    assert epochs_saved(monkeypatch, path, checkpoint_every=9) == [7]


def test_by_default_it_takes_at_most_a_twentieth_of_the_time(monkeypatch, tmp_path):
    """An epoch takes a second, and a save `cost` of them."""

    class Clock:
        now, cost = 0.0, 0.0

        def perf_counter(self):
            return self.now

        def epoch(self, state):
            self.now += 1.0

    clock, write = Clock(), np.savez

    def slow(file, **arrays):
        clock.now += clock.cost
        write(file, **arrays)

    monkeypatch.setattr(room.time, "perf_counter", clock.perf_counter)
    monkeypatch.setattr(np, "savez", slow)
    parameters = {**SMALL, "max_iter": 30, "callbacks": [clock.epoch]}
    path = tmp_path / "run.npz"
    assert epochs_saved(monkeypatch, path, parameters) == [*range(1, 31), 30]
    clock.cost = 0.5
    assert epochs_saved(monkeypatch, path, parameters) == [1, 11, 21, 30]
    clock.cost = 2.0
    assert epochs_saved(monkeypatch, path, parameters) == [1, 30]


# Disks that are full, and others at the same file


def test_a_full_disk_is_a_warning_and_the_last_file_stays(tmp_path):
    path, disk = tmp_path / "run.npz", contextlib.ExitStack()

    def fills_up(state):
        if state.epoch == 3:
            disk.enter_context(full_disk(1000))
        if state.epoch == 6:
            disk.close()

    expected = result_of(AutoRec(**SMALL).fit(R))
    saw = []

    def look(state):
        saw.append(len(read_checkpoint(path)["done"]["values"]) if state.epoch > 1 else 0)

    model = AutoRec(**SMALL, checkpoint=path, checkpoint_every=1, callbacks=[look, fills_up])
    with disk, pytest.warns(CheckpointWarning) as warned:
        model.fit(R)
    assert result_of(model) == expected
    assert saw == [0, 1, 2, 2, 2, 2, 6]
    messages = [str(one.message) for one in warned if one.category is CheckpointWarning]
    assert len(messages) == 1
    assert messages[0].startswith(f"the checkpoint {path} could not be written (")
    assert "a resume begins after number 2." in messages[0]
    assert names(tmp_path) == ["run.npz"]


def test_two_at_the_same_file_are_refused(tmp_path):
    path, refused = tmp_path / "run.npz", []

    def another(state):
        with pytest.raises(
            ValueError, match=rf"{path} is in use by process {os.getpid()}"
        ) as error:
            AutoRec(**SMALL, checkpoint=path).fit(R, resume=True)
        refused.append(str(error.value))

    model = AutoRec(**SMALL, checkpoint=path, callbacks=[another]).fit(R)
    assert len(refused) == N_EPOCHS
    assert result_of(model) == result_of(AutoRec(**SMALL).fit(R))
    assert names(tmp_path) == ["run.npz"]


def test_a_link_and_its_file_are_one(tmp_path):
    (tmp_path / "link.npz").symlink_to(tmp_path / "run.npz")
    path = tmp_path / "link.npz"

    def another(state):
        with pytest.raises(ValueError, match="in use"):
            AutoRec(**SMALL, checkpoint=tmp_path / "run.npz").fit(R)

    AutoRec(**SMALL, checkpoint=path, callbacks=[another]).fit(R)
    assert path.is_symlink()
    assert names(tmp_path) == ["link.npz", "run.npz"]


def test_the_next_save_removes_what_a_kill_left_and_nothing_that_lives(tmp_path):
    path = tmp_path / "run.npz"
    dead = tmp_path / ".run.npz.0123abcd.tmp"
    dead.write_bytes(b"half")
    os.utime(dead, (0, 0))
    with replacing(path) as living:
        living.write(b"whole")
        [alive] = set(names(tmp_path)) - {dead.name}
        AutoRec(**SMALL, checkpoint=path).fit(R)
        assert names(tmp_path) == [alive, "run.npz"]
    assert names(tmp_path) == ["run.npz"]


def test_ctrl_c_in_a_save_leaves_the_last_file_and_a_fitted_model(tmp_path, monkeypatch):
    path, write, calls = tmp_path / "run.npz", np.savez, []

    def interrupted(file, **arrays):
        calls.append(None)
        write(file, **arrays)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    model = AutoRec(**SMALL, checkpoint=path, checkpoint_every=1)
    with pytest.warns(InterruptedWarning, match="after 4 complete epochs"):
        model.fit(R)
    assert len(read_checkpoint(path)["done"]["values"]) == 3
    assert names(tmp_path) == ["run.npz"]
    assert result_of(resumed(AutoRec(**SMALL), path)) == result_of(AutoRec(**SMALL).fit(R))


# Copies of a model would all write its file


def test_copies_keep_no_checkpoint(tmp_path):
    path = tmp_path / "run.npz"
    model = AutoRec(**{**SMALL, "max_iter": 1}, checkpoint=path)
    cross_validate(model, R, 2)
    search(model, R, {"tol": [0.0, 0.1]}, 2, strategy="random")
    Blend([("a", model), ("b", AutoRec(**SMALL))]).fit(R)
    RatingRegressor(model).fit(np.column_stack([USERS, ITEMS]), VALUES)
    assert names(tmp_path) == []
    fitted = AutoRec(**SMALL).fit(R).set_params(checkpoint=path)
    fitted.calibrate()
    assert names(tmp_path) == []
    assert model.checkpoint == fitted.checkpoint == path


# The monitor of a run that goes on


def test_the_bar_and_the_clock_go_on(tmp_path, monkeypatch):
    path, bars = tmp_path / "run.npz", []

    class Bar:
        def __init__(self, n_epochs):
            self.n = 0
            bars.append(self)

        def update(self, n=1):
            self.n += n

        def set_postfix(self, *_, **__):
            pass

        def close(self):
            pass

    monkeypatch.setattr(solvers, "progress_bar", Bar)
    stopped(AutoRec(**SMALL, verbose=True), path, 4)
    kept = read_checkpoint(path)["seconds"]
    seconds = []
    model = AutoRec(**SMALL, verbose=True, checkpoint=path)
    model.set_params(callbacks=[lambda state: seconds.append(state.seconds)])
    model.fit(R, resume=True)
    assert [bar.n for bar in bars] == [4, N_EPOCHS]
    assert seconds[0] > kept > 0


# kill -9

KILLS = """
import json, os, random, signal, sys, time
from pathlib import Path
from autorec_np import AutoRec, make_ratings
from autorec_np.training.checkpoint import read_checkpoint

path, every, settings = Path(sys.argv[1]), 2, json.loads(sys.argv[2])
ratings = make_ratings(60, 40, 800, random_state=0)
draw = random.Random(0)


def fit(report, every=every):
    say = lambda state: os.write(report, state.epoch.to_bytes(4, "big")) and None
    model = AutoRec(**settings, checkpoint=path, checkpoint_every=every, callbacks=[say])
    return model.fit(ratings, resume=True)


n_in_a_save = begun = 0
for number in range(30):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        fit(write)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb", buffering=0) as reports:
        told = [int.from_bytes(reports.read(4), "big") for _ in range(draw.randint(1, 7))]
        time.sleep(draw.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert status == signal.SIGKILL, f"the fit ended before kill {number}: {status}"
        while rest := reports.read(4):
            told.append(int.from_bytes(rest, "big"))
    assert told == [*range(begun + 1, begun + 1 + len(told))], (begun, told)
    begun = len(read_checkpoint(path)["done"]["values"]) if path.exists() else 0
    assert 0 <= told[-1] - begun <= every, (told, begun)
    left = {one.name for one in path.parent.iterdir()} - {path.name, path.name + ".lock"}
    assert len(left) <= 1, left
    n_in_a_save += len(left)
read, write = os.pipe()
os.set_blocking(write, False)
model = fit(write, every=100)
print(json.dumps([n_in_a_save, model.theta_.tobytes().hex(), model.loss_curve_]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_thirty_kills_lose_at_most_an_interval_each_and_no_bit(solver, tmp_path):
    settings = {**SMALL, "solver": solver, "max_iter": 500, "batch_size": 100, "tol": 0.0}
    settings |= {"hidden_layer_sizes": [60], "n_iter_no_change": 500}
    ended = subprocess.run(
        [sys.executable, "-c", KILLS, str(tmp_path / "run.npz"), json.dumps(settings)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    n_in_a_save, theta, curve = json.loads(ended.stdout)
    whole = AutoRec(**settings).fit(make_ratings(60, 40, 800, random_state=0))
    assert (theta, curve) == (whole.theta_.tobytes().hex(), whole.loss_curve_)
    assert n_in_a_save > 0, "no kill came in a save: nothing was tested"
    assert names(tmp_path) == ["run.npz"]
