"""The commands that train: what they print, and that it is what the library measures."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import SMALL, SMALL_PARAMETERS, write_csv, wrong_gradients

from autorec_np import __version__
from autorec_np.cli.train import Progress
from autorec_np.data.splitting import mae, rmse, train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.cross_validation import cross_validate, evaluate_repeats
from autorec_np.evaluation.hyperparameters import default_space, search
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.serving.model_file import load_model, read_metadata
from autorec_np.sources.movielens import MOVIELENS_NAMES, fetch_movielens
from autorec_np.sources.reading import read_ratings
from autorec_np.training.trainer import Trainer

# demo


def test_demo_beats_the_biases_and_checks_its_gradient(run):
    status, out, err = run("demo", "--json", "--quiet")
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert result["baselines"]["planted truth"]["rmse"] < result["rmse"]
    assert result["rmse"] < 0.92 * result["baselines"]["BiasBaseline"]["rmse"]
    assert result["baselines"]["BiasBaseline"]["rmse"] < result["baselines"]["GlobalMean"]["rmse"]
    assert result["gradient"]["passed"]
    assert len(result["gradient"]["blocks"]) == 4
    assert [len(one["items"]) for one in result["recommendations"]] == [5]
    assert result["n_cold"] == 0
    assert 0 < result["fit_seconds"] < result["seconds"]


def test_demo_says_it_in_words(run):
    status, out, err = run("demo", "--seed", 1, "--quiet")
    assert (status, err) == (0, "")
    assert re.search(r"(?m)^  AutoRec +0\.\d{4}  0\.\d{4}$", out)
    assert re.search(r"(?m)^  encoder\.weight +pass ", out)
    assert re.search(r"AutoRec's RMSE is \d+\.\d % below that of the biases\.", out)
    lists = out.split("5 recommended for user 0")[1].split("\n\n")[1].split("\n")
    assert len(lists) == 6
    assert max(map(len, out.split("\n"))) < 80


def test_demo_fails_with_a_wrong_gradient(run, monkeypatch):
    wrong_gradients(monkeypatch, where=lambda network, masks: network.n_columns < 10)
    status, out, _ = run("demo", "--quiet")
    assert status == 1
    assert re.search(r"(?m)^  encoder\.weight +fail ", out)


# train


def test_train_reports_what_the_library_measures(run, folder):
    status, out, _ = run("train", folder / "numbers.csv", *SMALL, "--json", "--quiet", "--seed", 3)
    assert status == 0
    result = json.loads(out)
    ratings = read_ratings(folder / "numbers.csv")
    training, test = train_test_split(ratings, 0.1, 3)
    users, items, values = test.triples()
    model = AutoRec(**SMALL_PARAMETERS, random_state=3).fit(training)
    for name, one in {
        None: model,
        "BiasBaseline": BiasBaseline().fit(training),
        "GlobalMean": GlobalMean().fit(training),
    }.items():
        predicted = one.predict(users, items)
        found = result if name is None else result["baselines"][name]
        assert (found["rmse"], found["mae"]) == (rmse(values, predicted), mae(values, predicted))
    assert result["n_cold"] == int(model.cold_pairs(users, items).sum())
    assert (result["n_train"], result["n_test"]) == (len(training), len(test))
    assert result["objective"] == model.loss_curve_[-1]
    assert result["n_iter"] == 3
    assert 0 < result["fit_seconds"] <= result["seconds"]
    assert result["command"], result["version"] == ("train", __version__)


def test_train_counts_cold_ratings(run, tmp_path):
    # Every item has one rating, so every held-out rating is cold.
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(f"{k % 4},{k},{k % 5}" for k in range(60)))
    status, out, _ = run("train", path, *SMALL, "--json", "--quiet")
    assert (status, json.loads(out)["n_cold"]) == (0, 6)
    _, out, _ = run("train", path, *SMALL, "--quiet")
    assert "6 held-out ratings (seed 0), 6 of them cold" in out
    assert "A rating is cold where" in out


def test_early_stopping_makes_no_rating_cold(run, tmp_path):
    # What early stopping holds out of the training ratings was still there to be trained on.
    path, saved = tmp_path / "ratings.csv", tmp_path / "model.npz"
    ratings = make_ratings(n_users=40, n_items=150, n_ratings=400, random_state=0)
    write_csv(path, ratings)
    counts = []
    for option in ([], ["--early-stopping"]):
        _, out, _ = run("train", path, *SMALL, *option, "--save", saved, "--json", "--quiet")
        counts.append(json.loads(out)["n_cold"])
    users, items, _ = train_test_split(ratings, 0.1, 0)[1].triples()
    assert counts[0] == counts[1] < load_model(saved).cold_pairs(users, items).sum()


def test_train_without_test_ratings(run, folder, tmp_path):
    path = tmp_path / "model.npz"
    source = folder / "numbers.csv"
    status, out, _ = run("train", source, *SMALL, "--test-size", 0, "--save", path, "--json", "-q")
    result = json.loads(out)
    assert status == 0
    assert [result[key] for key in ("rmse", "mae", "n_cold", "n_test")] == [None, None, None, 0]
    assert (result["baselines"], result["n_train"]) == ({}, 700)
    assert len(load_model(path).ratings_) == 700
    status, out, _ = run("train", source, *SMALL, "--test-size", 0, "-q")
    assert status == 0
    assert "all ratings are trained on" in out
    assert "RMSE" not in out


def test_train_saves_the_model_that_it_measured(run, folder, tmp_path):
    path = tmp_path / "model.npz"
    source = folder / "numbers.csv"
    status, out, _ = run("train", source, *SMALL, "--save", path, "--json", "-q")
    result = json.loads(out)
    assert (status, result["saved"]) == (0, str(path))
    model = load_model(path)
    _, test = train_test_split(read_ratings(source), 0.1, 0)
    assert -model.score(*test.triples()) == result["rmse"]
    assert len(model.ratings_) == 630
    status, out, _ = run("train", source, *SMALL, "--save", path, "-q")
    assert status == 0
    assert "trained without the held-out ratings; --test-size 0 uses them too" in out
    following = shlex.split(re.search("next    autorec-np (.*)", out)[1])
    assert run(*following)[0] == 0


# tune

TUNE = ["--epochs", "3", "--batch-size", "16", "--n-jobs", "1", "--hidden", "6", "-n", "4"]


def test_tune_searches_on_training_ratings_and_tests_the_best_once(run, folder, tmp_path):
    source, path = folder / "numbers.csv", tmp_path / "model.npz"
    status, out, err = run("tune", source, *TUNE, "--seed", 3, "--save", path, "--json", "--quiet")
    assert (status, err) == (0, "")
    result = json.loads(out)
    training, test = train_test_split(read_ratings(source), 0.1, 3)
    model = AutoRec(**SMALL_PARAMETERS, random_state=3)
    space = default_space(model, training)
    del space["hidden_layer_sizes"]  # an option fixes it
    expected = search(model, training, space, 4, random_state=3)
    found = result["search"]
    assert found["best"] | {"seconds": 0} == expected.to_dict()["best"] | {"seconds": 0}
    assert found["n_train"] + found["n_validation"] == len(training) == result["n_train"]
    best = expected.model.fit(training)
    assert result["rmse"] == -best.score(*test.triples())
    assert load_model(path).theta_.tobytes() == best.theta_.tobytes()


def test_tune_says_it_in_words_and_resumes(run, folder, tmp_path):
    arguments = ["tune", folder / "numbers.csv", *TUNE, "--resume", tmp_path / "search.jsonl"]
    status, out, err = run(*arguments, "--test-size", 0.2, "--validation-size", 0.25)
    assert status == 0
    assert out.startswith("search  4 candidates, halving, on 25 % of 560 training ratings\n")
    assert "over regularization, learning_rate_init, dropout, corruption\n" in out
    assert re.search(r"  no.  epochs    RMSE  +encoder  +decoder .*\n  \d +all  [01]\.", out)
    assert "140 held-out ratings (seed 0)" in out
    trials = [line for line in err.split("\n") if line.startswith("trial ")]
    assert [trial.split(":")[0] for trial in trials] == [f"trial {k} of 6" for k in range(1, 7)]
    again = run(*arguments, "--test-size", 0.2, "--validation-size", 0.25)
    assert again[1].split("fit  ")[0] == out.split("fit  ")[0]
    assert "trial" not in again[2]
    status, _, err = run(*arguments, "--quiet")  # another test part: other training ratings
    assert status == 1
    assert "holds a search with other settings (ratings was" in err


def test_tune_without_test_ratings(run, folder):
    status, out, _ = run(
        "tune", folder / "numbers.csv", *TUNE, "--test-size", 0, "--strategy", "random", "--json"
    )
    result = json.loads(out)
    assert (status, result["rmse"], result["n_train"]) == (0, None, 700)
    assert {trial["divisor"] for trial in result["search"]["trials"]} == {1}


def test_tune_side_by_side_finds_the_same(run, folder):
    arguments = ["tune", folder / "numbers.csv", *TUNE, "--json"]
    (one, out, err), (other, out_2, err_2) = run(*arguments), run(*arguments, "--jobs", 2)
    assert (one, other) == (0, 0)
    results = [json.loads(text) for text in (out, out_2)]
    for result in results:
        for trial in (result["search"]["best"], *result["search"]["trials"]):
            del trial["seconds"]
    assert results[0]["search"] == results[1]["search"]
    assert results[0]["rmse"] == results[1]["rmse"]
    assert [line.split(",")[0] for line in err.splitlines() if line.startswith("trial")] == [
        line.split(",")[0] for line in err_2.splitlines() if line.startswith("trial")
    ]


# evaluate


def models_of_evaluate() -> dict:
    return {
        "GlobalMean": GlobalMean(),
        "BiasBaseline": BiasBaseline(),
        "AutoRec": AutoRec(**SMALL_PARAMETERS, random_state=2),
    }


def errors_of(results: dict) -> dict:
    """Return what does not change from run to run."""
    kept = ("name", "rmse", "mae", "n_train", "n_test", "n_cold")
    return {
        name: [[split[key] for key in kept] for split in one["splits"]]
        for name, one in results.items()
    }


@pytest.mark.parametrize("protocol", ["repeats", "cv", "folds"])
def test_evaluate_reports_what_the_library_measures(protocol, run, folder, movielens):
    ratings, models = movielens.ratings, models_of_evaluate()
    source, options = folder / "numbers.csv", ["--repeats", 2, "--test-size", 0.2]
    if protocol == "repeats":
        expected = evaluate_repeats(models, read_ratings(source), 2, 0.2, 2)
    elif protocol == "cv":
        options = ["--cv", 3]
        expected = cross_validate(models, read_ratings(source), 3, 2)
    else:
        source, options = "ml-100k", ["--folds"]
        expected = cross_validate(models, cv=movielens.folds)
    status, out, err = run("evaluate", source, *options, *SMALL, "--seed", 2, "--json", "-q")
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert errors_of(result["models"]) == errors_of(expected.to_dict())
    assert result["rmse"] == expected["AutoRec"].rmse.mean
    assert result["baselines"]["GlobalMean"]["mae"] == expected["GlobalMean"].mae.mean
    assert result["n_cold"] == sum(one.n_cold for one in expected["AutoRec"].evaluations)
    assert result["seconds"] > 0
    assert len(ratings) == 700


def test_evaluate_says_it_in_words(run, folder):
    status, out, err = run("evaluate", folder / "numbers.csv", *SMALL, "--repeats", 2)
    assert status == 0
    assert "2 random splits, 10 % for testing (from seed 0)" in out
    assert re.search(r"(?m)^  AutoRec +\d\.\d{4} ± \d\.\d{4}", out)
    assert re.search(r"RMSE, AutoRec - BiasBaseline: -?\d\.\d{4} ± \d\.\d{4}", out)
    assert err.startswith("run 1 of 2, epoch 1 of 3: ")
    assert "run 2 of 2, epoch 3 of 3: " in err
    assert max(map(len, out.replace(str(folder), "").split("\n"))) < 80


def test_evaluate_side_by_side_measures_the_same(run, folder):
    arguments = ["evaluate", folder / "numbers.csv", *SMALL, "--repeats", 2, "--json"]
    (one, out, _), (other, out_2, err) = run(*arguments), run(*arguments, "--jobs", 2)
    assert (one, other) == (0, 0)
    first, second = json.loads(out), json.loads(out_2)
    assert errors_of(first["models"]) == errors_of(second["models"])
    assert first["parameters"] == second["parameters"]
    expected = [
        f"seed {seed}, {name}: RMSE {first['models'][name]['splits'][seed]['rmse']:.4f}"
        for seed in (0, 1)
        for name in first["models"]
    ]
    assert err.splitlines() == expected
    assert run(*arguments, "--jobs", 2, "--quiet")[2] == ""


@pytest.mark.parametrize("jobs", [1, 2])
def test_evaluate_names_the_split_that_failed(run, folder, jobs):
    wild = [*SMALL, "--solver", "sgd", "--learning-rate", "1e30", "--jobs", jobs]
    status, _, err = run("evaluate", folder / "numbers.csv", *wild, "--repeats", 2)
    assert status == 1
    assert "error: split seed 0, AutoRec: " in err


def test_evaluate_with_one_repeat_has_no_interval(run, folder):
    status, out, _ = run("evaluate", folder / "numbers.csv", *SMALL, "--repeats", 1, "--json", "-q")
    assert status == 0
    assert json.loads(out)["models"]["AutoRec"]["rmse"]["low"] is None
    assert run("evaluate", folder / "numbers.csv", *SMALL, "--repeats", 1, "-q")[0] == 0


def test_a_named_data_set_gives_the_model_its_titles(run, movielens, tmp_path):
    path = tmp_path / "model.npz"
    status, out, _ = run("train", "ml-1m", *SMALL, "--save", path, "-q")
    assert status == 0
    assert out.startswith("data    ml-1m: 700 ratings")
    assert read_metadata(path)["dataset"] == "ml-1m"
    movielens.calls.clear()
    status, out, _ = run("recommend", path, "--user", 1, "-n", 2)
    assert status == 0
    assert len(re.findall(r"(?m)^  \d +-?\d+\.\d\d +(\d+)  Title \1$", out)) == 2
    assert movielens.calls == []  # the titles are in the model
    assert len(out.split("\n")) == 6


def test_folds_of_a_data_set_without_folds(run, movielens):
    status, _, err = run("evaluate", "ml-1m", "--folds", *SMALL)
    assert status == 2
    assert "published folds, which ml-1m lacks" in err


# Real data


@pytest.mark.data
def test_train_on_ml_100k(run):
    try:
        fetch_movielens("ml-100k", download_if_missing=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert "ml-100k" in MOVIELENS_NAMES
    status, out, _ = run("train", "ml-100k", "--epochs", 5, "--hidden", 50, "--json", "-q")
    assert status == 0
    result = json.loads(out)
    assert (result["n_train"], result["n_test"]) == (90_000, 10_000)
    assert 0 < result["n_cold"] < 100
    assert result["rmse"] < result["baselines"]["BiasBaseline"]["rmse"] < 0.95


# Ctrl-C


@pytest.mark.parametrize("n_epochs", [0, 2])
def test_an_interrupt_saves_the_best_model_so_far(run, folder, tmp_path, monkeypatch, n_epochs):
    """What Ctrl-C leaves is what a callback leaves that ends the training then."""
    path = tmp_path / "model.npz"
    call = Progress.__call__

    def interrupted(self, state):
        call(self, state)
        if state.epoch == n_epochs:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "__call__", interrupted)
        if n_epochs == 0:
            patch.setattr(Trainer, "run", lambda *_: interrupted_at_once())
        command = ["train", folder / "numbers.csv", *SMALL, "--test-size", "0", "--save", path]
        status, out, err = run(*command)
    assert status == 130
    assert err.splitlines()[-1] == "autorec-np: interrupted"
    assert path.exists() == (n_epochs > 0) == (f"saved   {path}" in out)
    if n_epochs:
        assert load_model(path).n_iter_ == n_epochs
        stop = lambda state: state.epoch == n_epochs  # noqa: E731
        ended = AutoRec(**SMALL_PARAMETERS, callbacks=[stop], random_state=0)
        ended.fit(read_ratings(folder / "numbers.csv"))
        assert load_model(path).theta_.tobytes() == ended.theta_.tobytes()


def interrupted_at_once():
    raise KeyboardInterrupt


def test_an_interrupt_without_save_saves_nothing(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Progress, "__call__", lambda *_: interrupted_at_once())
    status, _, err = run("train", folder / "numbers.csv", *SMALL)
    assert (status, err) == (130, "autorec-np: interrupted\n")
    assert list(tmp_path.iterdir()) == []


# Checkpoints


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("sent", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_a_training_that_was_ended_resumes_to_the_same_file(sent, folder, tmp_path):
    whole, path, run = (tmp_path / name for name in ("whole.npz", "model.npz", "run.npz"))
    command = [sys.executable, "-m", "autorec_np", "train", folder / "numbers.csv"]
    command += ["--epochs", "200", "--hidden", "4"]
    kept = ["--save", path, "--checkpoint", run, "--checkpoint-every", "2", "--resume"]
    usual = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    with subprocess.Popen(
        [*command, *kept], stderr=subprocess.PIPE, text=True, preexec_fn=usual
    ) as process:
        for number in range(1, 6):
            assert f"epoch {number} of 200" in process.stderr.readline()
        process.send_signal(getattr(signal, sent))
        process.stderr.read()
    assert process.returncode == (-9 if sent == "SIGKILL" else 128 + getattr(signal, sent))
    again = subprocess.run([*command, *kept], capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert int(again.stderr.split()[1]) >= 5  # of "epoch 5 of 200: ..."
    subprocess.run([*command, "--save", whole], capture_output=True, timeout=60, check=True)
    assert path.read_bytes() == whole.read_bytes()
    left = {one.name for one in tmp_path.iterdir()}
    assert left == {"whole.npz", "model.npz", "run.npz"}


def test_the_time_left_of_a_resumed_training_is_that_of_one(run, folder, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    command = ["train", folder / "numbers.csv", *SMALL, "--checkpoint", path]
    call = Progress.__call__

    def killed(self, state):
        call(self, state)
        if state.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "__call__", killed)
        assert run(*command)[0] == 130
    status, _, err = run(*command, "--resume")
    assert status == 0
    assert [line.split(":")[0] for line in err.splitlines()] == ["epoch 2 of 3", "epoch 3 of 3"]
    assert " left" in err.splitlines()[0]
    assert " left" not in err.splitlines()[1]


def test_what_cannot_be_resumed_is_one_line(run, folder, tmp_path):
    path = tmp_path / "run.npz"
    status, _, err = run("train", folder / "numbers.csv", *SMALL, "--resume")
    assert (status, err) == (
        2,
        "autorec-np: error: --resume needs --checkpoint FILE (see autorec-np train --help)\n",
    )
    status, _, err = run(
        "train", folder / "numbers.csv", "--checkpoint", tmp_path / "no" / "run.npz"
    )
    assert status == 1
    assert "--checkpoint" in err
    command = ["train", folder / "numbers.csv", *SMALL, "--checkpoint", path, "--quiet"]
    assert run(*command)[0] == 0
    status, _, err = run(*command, "--resume", "--dropout", "0.25")
    assert status == 1
    assert "fit with dropout=0.0, which cannot go on with 0.25" in err
    assert "--dropout P, --resume" in err


def test_lists_are_kept_too(run, folder, tmp_path):
    path = tmp_path / "run.npz"
    command = ["train", folder / "numbers.csv", *SMALL, "--implicit", "--checkpoint", path]
    assert run(*command)[0] == 0
    status, _, err = run(*command, "--resume")
    assert (status, err) == (0, "")  # nothing is left to train


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_ends_trainings_in_other_processes_too(folder):
    command = [sys.executable, "-m", "autorec_np", "evaluate", folder / "numbers.csv"]
    command += ["--epochs", "1000000", "--hidden", "4", "--repeats", "2", "--jobs", "2"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            process.kill()
            pytest.skip("needs /proc")
        while len(children.read_text().split()) < 3:  # and one that looks after resources
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        try:
            _, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert (process.returncode, err) == (128 + signal.SIGTERM, "autorec-np: interrupted\n")
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("a training lives on")
