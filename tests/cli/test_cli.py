"""The command line: what each command prints, its exit codes, and how it fails."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autorec_np import __version__
from autorec_np import _text as reporting
from autorec_np._text import Progress, UsageError
from autorec_np.cli import commands
from autorec_np.cli import entry as cli
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.objective import Objective
from autorec_np.data.metrics import mae, rmse
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.cross_validation import cross_validate, evaluate_repeats
from autorec_np.evaluation.hyperparameters import default_space, search
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.reports import gradients as gradient_cases
from autorec_np.serving.model_file import load_model, read_metadata, save_model
from autorec_np.sources.movielens import MOVIELENS_NAMES, MovieLens, fetch_movielens
from autorec_np.sources.reading import read_ratings
from autorec_np.training.monitor import EpochState

SMALL = ["--hidden", "6", "--epochs", "3", "--batch-size", "16", "--n-jobs", "1"]
SMALL_PARAMETERS = {"hidden_layer_sizes": (6,), "max_iter": 3, "batch_size": 16, "n_jobs": 1}
COMMANDS = ["demo", "fetch", "train", "tune", "evaluate", "predict", "recommend", "report"]
COMMANDS += ["gradcheck"]


@pytest.fixture
def run(capsys):
    """Call main; return its exit code and what it wrote to stdout and stderr."""

    def call(*arguments) -> tuple[int, str, str]:
        status = cli.main([str(argument) for argument in arguments])
        return (status, *capsys.readouterr())

    return call


def write_csv(path, ratings: Ratings) -> None:
    lines = [
        f"{user},{item},{rating:g}" for user, item, rating in zip(*ratings.triples(), strict=True)
    ]
    path.write_text("\n".join(["user,item,rating", *lines]) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of ratings with integer ids, one with string ids, and a model of each."""
    folder = tmp_path_factory.mktemp("cli")
    numbers = make_ratings(n_users=50, n_items=40, n_ratings=700, activity=0.4, random_state=0)
    users, items, ratings = numbers.triples()
    words = Ratings.from_triples(
        [f"u{user}" for user in users], [f"i,{item}" for item in items], ratings, scale=(1, 5)
    )
    write_csv(folder / "numbers.csv", numbers)
    model = AutoRec(**SMALL_PARAMETERS, random_state=0)
    titles = {str(item): f"Fílm {item}" for item in numbers.item_ids if item % 2}
    save_model(model.fit(numbers), folder / "numbers.npz", metadata={"titles": titles})
    save_model(model.fit(words), folder / "words.npz")
    return folder


@pytest.fixture
def movielens(monkeypatch, folder):
    """Make every MovieLens name stand for the small file, with titles and folds."""
    ratings = read_ratings(folder / "numbers.csv", scale=(1, 5))
    titles = {int(item): f"Title {item}" for item in ratings.item_ids}
    folds = {name: train_test_split(ratings, 0.2, k) for k, name in enumerate(["u1", "u2"], 1)}
    calls = []

    def fetch(name, data_home=None, progress=True):
        calls.append((name, data_home))
        named = folds if name == "ml-100k" else {}
        return MovieLens(name, ratings, titles, named, folder / f"{name}.zip")

    monkeypatch.setattr(commands, "fetch_movielens", fetch)
    monkeypatch.setattr(commands, "PUBLISHED_FOLDS", ("u1", "u2"))
    return SimpleNamespace(ratings=ratings, titles=titles, folds=folds, calls=calls)


# Help, usage errors, failures


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_is_whole_and_fits_a_terminal(command, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = run(*([command] if command else []), "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: autorec-np {command or 'COMMAND ...'}")
    assert f"autorec-np {command or 'train'}" in out.split("examples:")[1]
    assert max(map(len, out.split("\n"))) < 80
    if command is None:
        assert all(f"  {name} " in out for name in COMMANDS)


def test_version(run):
    assert run("--version") == (0, f"autorec-np {__version__}\n", "")


USAGE_ERRORS = {
    "": r"arguments are required: COMMAND \(see autorec-np --help\)",
    "sing": "invalid choice: 'sing'",
    "train": r"arguments are required: DATA \(see autorec-np train --help\)",
    "train F --hidden 0": "--hidden: must be an integer of at least 1, got '0'",
    "train F --hidden 5,": "--hidden: must be an integer of at least 1, got ''",
    "train F --test-size 1": "--test-size: must be a number from 0 to below 1, got '1'",
    "train F --seed -1": "--seed: must be an integer of at least 0, got '-1'",
    "train F --regularization x": "must be auto, a number, or NAME=NUMBER,..., got 'x'",
    "train F --regularization a=b": "must be auto, a number, or NAME=NUMBER,..., got 'a=b'",
    "train F --baseline x": "--baseline: invalid choice: 'x' .*'auto', 'bias', 'mean', 'none'",
    "train F --cold x": "--cold: must be baseline, raise or a number, got 'x'",
    "train F --solver newton": "--solver: invalid choice: 'newton'",
    "train F --epoch 3": "unrecognized arguments: --epoch 3",
    "train ml-1m --sep ,": "ml-1m is a data set: --sep is for files",
    "tune F --validation-size 0": "--validation-size: must be a number between 0 and 1, got '0'",
    "tune F --solver lbfgs --hidden 3 --regularization auto": "nothing is left to search",
    "evaluate F --test-size 0": "evaluate needs test ratings: --test-size must be above 0",
    "evaluate F --cv 3 --folds": "not allowed with argument",
    "evaluate F --folds": "--folds needs published folds, which .*numbers.csv lacks; use --cv 5",
    "predict M": "predict needs either --user and --item, or --pairs",
    "predict M --user 1": "predict needs either --user and --item, or --pairs",
    "predict M --user 1 --item 2 --pairs F": "predict needs either --user and --item, or --pairs",
    "predict M --item 2 --pairs F": "predict needs either --user and --item, or --pairs",
    "fetch ml-3m": "invalid choice: 'ml-3m' .*'ml-32m'.* fetch --help",
}


def filled(command: str, folder) -> list[str]:
    """Split a command; F stands for the ratings file, M for the model, D for the folder."""
    names = {"F": "numbers.csv", "M": "numbers.npz", "D": ""}
    return [str(folder / names[w]) if w in names else w for w in command.split()]


@pytest.mark.parametrize("command", USAGE_ERRORS)
def test_usage_errors_take_one_line_and_exit_with_2(command, run, folder):
    status, out, err = run(*filled(command, folder))
    assert (status, out if command[:8] != "evaluate" else "") == (2, "")
    assert re.fullmatch(f"autorec-np: error: .*{USAGE_ERRORS[command]}.*\n", err)


FAILURES = {
    "train missing.csv": r"'missing.csv' is neither a file nor a MovieLens name \(ml-latest-small",
    "train ml-100K": "'ml-100K' is neither a file nor a MovieLens name .*, ml-100k, ",
    "train D": "",
    "train M": "",
    "train F --scale 2 5": r"numbers\.csv, line \d+: the rating is .* stated scale is \[2, 5\]",
    "train F --solver lbfgs --dropout 0.1": "solver='lbfgs' minimizes one fixed function",
    "train F --save D": "--save .*: name a file in a folder that exists and is writable",
    "train F --save missing/model.npz": "--save missing/model.npz: name a file in a folder",
    "tune F --save missing/model.npz": "--save missing/model.npz: name a file in a folder",
    "tune F -n 1 --resume F": r"numbers\.csv, line 1 is not what `search` wrote there",
    "predict missing.npz --user 1 --item 1": "missing.npz: No such file or directory",
    "predict F --user 1 --item 1": "cannot be loaded as a model: it begins with b'user', so",
    "predict M --user x --item 1": "error: the user ids of this model are integers, got 'x'",
    "predict M --user 1 --item 1e3": "error: the item ids of this model are integers, got '1e3'",
    "predict M --pairs missing.csv": "missing.csv: No such file or directory",
    "recommend M --user 1 x": "error: the user ids of this model are integers, got 'x'",
    "recommend M --user 1 77": "user ids are not in the training ratings, for example 77",
}


@pytest.mark.parametrize("command", FAILURES)
def test_failures_take_one_line_and_exit_with_1(command, run, folder):
    status, out, err = run(*filled(command, folder), "--quiet")
    assert status == 1
    assert "RMSE" not in out
    assert re.fullmatch("autorec-np: error: .*\n", err)
    assert re.search(FAILURES[command], err)


def test_a_damaged_model_is_an_error_of_one_line(run, folder, tmp_path):
    path = tmp_path / "model.npz"
    path.write_bytes((folder / "numbers.npz").read_bytes()[:-100])
    status, out, err = run("recommend", path, "--user", 1)
    assert (status, out) == (1, "")
    assert re.fullmatch("autorec-np: error: .*model.npz cannot be loaded as a model.*\n", err)


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(commands, "make_ratings", broken)
    with pytest.raises(KeyError):
        cli.main(["demo"])


def test_errors_of_the_system_are_named_without_numbers():
    error = OSError(28, "No space left on device", "model.npz")
    assert reporting.error_message(error) == "model.npz: No space left on device"
    assert reporting.error_message(ArithmeticError()) == "ArithmeticError"


# Interrupts and pipes


def test_ctrl_c_gives_130_and_one_line(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "make_ratings", interrupted)
    assert run("demo") == (130, "", "autorec-np: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_in_training_leaves_the_old_file(folder, tmp_path):
    target = tmp_path / "model.npz"
    target.write_bytes(b"old")
    command = [sys.executable, "-m", "autorec_np", "train", folder / "numbers.csv"]
    options = ["--epochs", "1000000", "--hidden", "4", "--save", target]
    with subprocess.Popen(
        [*command, *options],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs inherit that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert "epoch 1 of 1000000" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read().split("\n")
    assert process.returncode == 130
    assert rest[-2:] == ["autorec-np: interrupted", ""]
    assert all(line.startswith("epoch") for line in rest[:-2])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"model.npz": b"old"}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_leaves_is_no_error(folder):
    command = [sys.executable, "-m", "autorec_np", "predict", folder / "numbers.npz"]
    # PYTHONUNBUFFERED would let the first write fail, where usually the last flush does.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [*command, "--user", "1", "--item", *map(str, range(40))],
        stdout=write,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
    )
    os.close(write)
    assert (result.returncode, result.stderr) == (141, b"")


def test_the_command_and_the_module_are_the_same():
    (entry,) = entry_points(group="console_scripts", name="autorec-np")
    assert entry.load() is cli.main
    result = subprocess.run(
        [sys.executable, "-m", "autorec_np", "train", "missing.csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch("autorec-np: error: 'missing.csv' is neither .*\n", result.stderr)


def test_titles_that_the_terminal_lacks_do_not_crash(monkeypatch, folder):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    assert cli.main(["recommend", str(folder / "numbers.npz"), "--user", "1"]) == 0
    assert rb"F\xedlm" in buffer.getvalue()


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


def wrong_gradients(monkeypatch, *, where) -> None:
    right = Objective.value_and_gradient

    def wrong(self, theta, inputs, targets, fraction=1.0, masks=None):
        value, gradient = right(self, theta, inputs, targets, fraction, masks)
        if where(self.network, masks):
            gradient = gradient * np.where(np.arange(len(gradient)) < 3, 1.01, 1)
        return value, gradient

    monkeypatch.setattr(Objective, "value_and_gradient", wrong)


def test_demo_fails_with_a_wrong_gradient(run, monkeypatch):
    wrong_gradients(monkeypatch, where=lambda network, masks: network.n_columns < 10)
    status, out, _ = run("demo", "--quiet")
    assert status == 1
    assert re.search(r"(?m)^  encoder\.weight +fail ", out)


# gradcheck


@pytest.fixture
def two_activations(monkeypatch):
    two = {name: ACTIVATIONS[name] for name in ("sigmoid", "relu")}
    monkeypatch.setattr(gradient_cases, "ACTIVATIONS", two)


@pytest.mark.usefixtures("two_activations")
def test_gradcheck_passes(run):
    status, out, err = run("gradcheck", "--json")
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert (result["passed"], result["n_cases"], result["n_failed"]) == (True, 50, 0)
    drawn = [case for case in result["cases"] if case["point"] == "drawn"]
    distinct = {
        (tuple(c["hidden_layer_sizes"]), c["activation"], c["output_activation"], c["tied"])
        for c in drawn
    }
    assert len(distinct) == 16
    assert {case["dropout"] for case in drawn} == {0.0, 0.3}
    others = {(c["activation"], c["term"], c["point"]) for c in result["cases"]}
    assert len(others) == 2 * (1 + 9)


@pytest.mark.usefixtures("two_activations")
def test_gradcheck_fails_with_a_wrong_gradient_and_says_where(run, monkeypatch):
    def where(network, masks) -> bool:
        pair = (network.activation, network.output_activation)
        one_layer = len(network.hidden_layer_sizes) == 1
        return one_layer and network.tied and masks is not None and pair == ("relu", "sigmoid")

    wrong_gradients(monkeypatch, where=where)
    status, out, _ = run("gradcheck")
    assert status == 1
    rows = {line.split()[0]: line.split()[1:] for line in out.split("\n") if line.startswith("  ")}
    assert rows["relu"][0] == "FAIL"
    others = ("sigmoid", "initial", "trained", "saturated")
    assert "FAIL" not in [cell for name in others for cell in rows[name]]
    assert rows["relu"][1] != "FAIL"
    assert "49 of 50 pass" in out
    assert out.count("Case(hidden_layer_sizes=") == 1


USER_FILE = """
import numpy as np

def loss(theta):
    return float(theta @ theta), 2 * theta * np.array([1.0, 1.0, FACTOR])

def broken(theta):
    raise RuntimeError("no data")
"""


@pytest.fixture
def user_file(tmp_path, monkeypatch):
    """Return a function that writes loss.py with a factor in its gradient, beside theta.npy."""
    monkeypatch.chdir(tmp_path)
    np.save("theta.npy", np.array([1.0, 2.0, 3.0]))

    def write(factor=1.0, text=USER_FILE):
        Path("loss.py").write_text(text.replace("FACTOR", str(factor)))

    write()
    return write


def test_a_file_of_the_user_may_import_what_lies_beside_it(run, user_file, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("deep").mkdir()
    Path("deep/factors_beside_it.py").write_text("ones = 1.0")
    text = USER_FILE.replace("import numpy as np", "import numpy as np\nimport factors_beside_it")
    Path("deep/loss.py").write_text(text.replace("FACTOR", "factors_beside_it.ones"))
    assert run("gradcheck", "deep/loss.py:loss", "--theta", "theta.npy")[0] == 0


def test_the_seed_draws_the_coordinates(run, user_file):
    user_file(text="def loss(theta):\n    return float((theta**3).sum()), 3 * theta**2")
    np.save("theta.npy", np.arange(1.0, 101.0))
    command = ("gradcheck", "loss.py:loss", "--theta", "theta.npy", "--json", "--seed")
    blocks = [json.loads(run(*command, seed)[1])["blocks"] for seed in (0, 0, 1)]
    assert blocks[0] == blocks[1] != blocks[2]


def test_gradcheck_checks_a_function_of_the_user(run, user_file):
    status, out, err = run("gradcheck", "loss.py:loss", "--theta", "theta.npy")
    assert (status, err) == (0, "")
    assert re.search(r"(?m)^theta +pass ", out)
    user_file(factor=1.01)
    options = ("--theta", "theta.npy", "--block", "a=0:2", "--block", "b=2:3")
    status, out, err = run("gradcheck", "loss.py:loss", *options)
    assert (status, err) == (1, "")
    assert re.search(r"(?m)^a +pass ", out)
    assert re.search(r"(?m)^b +fail +b\[0\] ", out)
    status, out, _ = run("gradcheck", "loss.py:loss", *options, "--method", "forward", "--json")
    assert status == 1
    result = json.loads(out)
    assert {name: b["verdict"] for name, b in result["blocks"].items()} == {
        "a": "pass",
        "b": "fail",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["loss.py:loss"], 2, "needs both FILE.py:FUNCTION and --theta"),
        (["--theta", "theta.npy"], 2, "needs both FILE.py:FUNCTION and --theta"),
        (["loss", "--theta", "theta.npy"], 2, "a function is named FILE.py:FUNCTION"),
        (["other.py:loss", "--theta", "theta.npy"], 1, "'other.py' does not exist"),
        (["loss.py:los", "--theta", "theta.npy"], 1, "no function 'los'; it has loss, broken"),
        (["loss.py:broken", "--theta", "theta.npy"], 1, "fun raised RuntimeError .*no data"),
        (["loss.py:loss", "--theta", "loss.py"], 1, r"loss\.py is not an array of numbers"),
        (["loss.py:loss", "--theta", "two.npz"], 1, "holds several arrays"),
        (["loss.py:loss", "--theta", "none.npy"], 1, "none.npy"),
        (["syntax.py:loss", "--theta", "theta.npy"], 1, "syntax.py raised SyntaxError"),
        (["loss.py:loss", "--theta", "theta.npy", "--block", "a=0-2"], 2, "NAME=START:STOP"),
        (["loss.py:loss", "--theta", "theta.npy", "--block", "a=0:9"], 1, "theta has 3 entries"),
        (["loss.py:loss", "--theta", "theta.npy", "--method", "complex"], 1, "for a complex theta"),
    ],
)
def test_gradcheck_says_what_it_cannot_check(run, user_file, arguments, code, message):
    np.savez("two.npz", a=np.ones(1), b=np.ones(1))
    Path("syntax.py").write_text("def loss(:")
    status, out, err = run("gradcheck", *arguments)
    assert (status, out) == (code, "")
    assert re.search(message, err)
    assert "Traceback" not in err


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


def test_every_option_reaches_the_model(run, folder):
    options = {
        "--orientation user": ("orientation", "user"),
        "--hidden 6,4": ("hidden_layer_sizes", [6, 4]),
        "--activation tanh": ("activation", "tanh"),
        "--output-activation elu": ("output_activation", "elu"),
        "--regularization encoder.weight=4,decoder.weight=0.5": (
            "regularization",
            {"encoder.weight": 4.0, "decoder.weight": 0.5},
        ),
        "--dropout 0.2": ("dropout", 0.2),
        "--corruption 0.3": ("corruption", 0.3),
        "--baseline none": ("baseline", None),
        "--cold 2.5": ("cold", 2.5),
        "--solver sgd": ("solver", "sgd"),
        "--epochs 2": ("max_iter", 2),
        "--batch-size 7": ("batch_size", 7),
        "--learning-rate 0.001": ("learning_rate_init", 0.001),
        "--schedule step": ("learning_rate", "step"),
        "--tol 0.01": ("tol", 0.01),
        "--early-stopping": ("early_stopping", True),
        "--dtype float64": ("dtype", "float64"),
        "--n-jobs 1": ("n_jobs", 1),
        "--seed 5": ("random_state", 5),
    }
    words = [word for option in options for word in option.split()]
    status, out, err = run("train", folder / "numbers.csv", *words, "--json", "--quiet")
    assert (status, err) == (0, "")
    parameters = json.loads(out)["parameters"]
    assert {name: parameters[name] for name, _ in options.values()} == dict(options.values())
    untouched = parameters.keys() - dict(options.values()).keys()
    defaults = AutoRec().get_params()
    assert {name: parameters[name] for name in untouched} == {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in defaults.items()
        if name in untouched
    }
    status, out, _ = run("train", folder / "numbers.csv", *SMALL, "--tied", "--json", "--quiet")
    assert (status, json.loads(out)["parameters"]["tied"]) == (0, True)


def test_reading_options_reach_the_reader(run, tmp_path):
    path = tmp_path / "ratings.txt"
    rows = [f"{k % 5}\tx\t{k % 7}\t{k % 3 + 1}" for k in range(35)]
    path.write_bytes("\r\n".join(["stars\tü\tthing\twho", *rows, rows[0]]).encode("latin-1"))
    options = ["--sep", "tab", "--columns", "who,thing,stars", "--scale", 0, 9]
    options += ["--duplicates", "last", "--encoding", "latin-1", "--header"]
    status, out, err = run("train", path, *options, *SMALL, "-q")
    assert (status, err) == (0, "")
    assert "21 ratings, 3 users x 7 items, scale 0 to 9" in out
    options = ["--columns", "3,2,0", "--duplicates", "last", "--encoding", "latin-1", "--no-header"]
    status, _, err = run("train", path, *options, *SMALL, "-q")
    assert status == 1
    assert "line 1" in err


def test_progress_goes_to_stderr_as_lines_unless_quiet(run, folder):
    _, out, err = run("train", folder / "numbers.csv", *SMALL)
    lines = err.split("\n")
    assert [line[:14] for line in lines] == [f"epoch {k} of 3: "[:14] for k in (1, 2, 3)] + [""]
    assert lines[0].endswith(" s left")
    assert "epoch 1" not in out
    assert run("train", folder / "numbers.csv", *SMALL, "--quiet")[2] == ""


def test_warnings_take_one_line_unless_quiet(run, folder):
    options = ["--solver", "lbfgs", "--epochs", "2", "--hidden", "4"]
    status, _, err = run("train", folder / "numbers.csv", *options)
    assert status == 0
    assert re.search(r"(?m)^autorec-np: warning: solver='lbfgs' did not converge in .*\.$", err)
    assert run("train", folder / "numbers.csv", *options, "--quiet")[::2] == (0, "")


def test_verbose_shows_the_log_and_leaves_logging_and_warnings_alone(run, folder):
    shown, logger = warnings.showwarning, logging.getLogger("autorec_np")
    before = logger.level, list(logger.handlers)
    source = folder / "numbers.csv"
    options = [*SMALL, "--repeats", "2"]
    _, _, err = run("evaluate", source, *options, "--verbose")
    assert "autorec-np: split seed 1, AutoRec\n" in err
    _, _, err = run("evaluate", source, *options)
    assert "autorec-np:" not in err
    assert warnings.showwarning is shown
    assert (logger.level, logger.handlers) == before


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


def test_evaluate_with_one_repeat_has_no_interval(run, folder):
    status, out, _ = run("evaluate", folder / "numbers.csv", *SMALL, "--repeats", 1, "--json", "-q")
    assert status == 0
    assert json.loads(out)["models"]["AutoRec"]["rmse"]["low"] is None
    assert run("evaluate", folder / "numbers.csv", *SMALL, "--repeats", 1, "-q")[0] == 0


# fetch and named data sets


def test_fetch_says_what_there_is(run, movielens):
    status, out, err = run("fetch", "ml-100k", "--data-home", "here")
    assert (status, err) == (0, "")
    assert "ml-100k  700 ratings, 50 users x 40 items, scale 1 to 5\n" in out
    assert "40 titles, folds u1, u2" in out
    assert "Harper" in out
    assert movielens.calls == [("ml-100k", "here")]
    assert "folds" not in run("fetch", "ml-1m")[1]


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


# predict


def test_predict_writes_csv(run, folder):
    model = load_model(folder / "numbers.npz")
    status, out, err = run("predict", folder / "numbers.npz", "--user", 1, "--item", 3, 4, 999)
    assert (status, err) == (0, "")
    ratings = model.predict([1, 1, 1], [3, 4, 999])
    assert out == "user,item,prediction,cold\n" + "".join(
        f"1,{item},{rating:.4f},{cold}\n"
        for item, rating, cold in zip([3, 4, 999], ratings, [0, 0, 1], strict=True)
    )


PAIR_FILES = {
    "plain": "1,3\n2,4\n",
    "header": "item,user\n3,1\n4,2\n",
    "ratings": "user,item,rating\n1,3,5\n\n2,4,1\n",
    "mark": "\ufeff1,3\r\n2,4",
}


@pytest.mark.parametrize("case", PAIR_FILES)
def test_predict_reads_pairs(case, run, folder, tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_bytes(PAIR_FILES[case].encode())
    status, out, err = run("predict", folder / "numbers.npz", "--pairs", path)
    assert (status, err) == (0, "")
    assert [line[:4] for line in out.split("\n")[1:]] == ["1,3,", "2,4,", ""]


def test_predict_reads_and_writes_quoted_ids(run, folder, tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text('u1,"i,3"\nnobody,"i,4"\n')
    status, out, err = run("predict", folder / "words.npz", "--pairs", path)
    assert (status, err) == (0, "")
    lines = out.split("\n")
    assert re.fullmatch(r'u1,"i,3",\d\.\d{4},0', lines[1])
    assert re.fullmatch(r'nobody,"i,4",\d\.\d{4},1', lines[2])


BAD_PAIRS = {
    "": "holds no pairs; write a user id and an item id in each line",
    "user,item\n": "holds no pairs",
    "1,3\n2\n": r"line 2: needs a user and an item, got \['2'\]",
    "1,3\n2,x\n": r"line 2: the item ids of this model are integers, got 'x'",
    "\n\nu,3\n": r"line 3: the user ids of this model are integers, got 'u'",
    "1,3\n\xff": "is not UTF-8 text",
}


@pytest.mark.parametrize("content", BAD_PAIRS)
def test_pairs_that_cannot_be_read(content, run, folder, tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes(content.encode("latin-1"))
    status, out, err = run("predict", folder / "numbers.npz", "--pairs", path)
    assert (status, out) == (1, "")
    assert re.fullmatch(f"autorec-np: error: .*pairs.csv.*{BAD_PAIRS[content]}.*\n", err)


# recommend


def test_recommend_lists_the_best_unseen_items(run, folder):
    model = load_model(folder / "numbers.npz")
    source = folder / "numbers.npz"
    ids, scores = model.recommend([7, 1], n=3)
    status, out, err = run("recommend", source, "--user", 7, 1, "-n", 3, "--json")
    assert (status, err) == (0, "")
    for row, one in enumerate(json.loads(out)["users"]):
        assert one["user"] == [7, 1][row]
        assert [entry["item"] for entry in one["items"]] == list(ids[row])
        assert [entry["score"] for entry in one["items"]] == list(scores[row])
        titles = [f"Fílm {item}" if item % 2 else None for item in ids[row]]
        assert [entry["title"] for entry in one["items"]] == titles
    status, out, _ = run("recommend", source, "--user", 7, "-n", 3)
    assert status == 0
    lines = out.split("\n")
    assert lines[0] == "3 recommended for user 7"
    assert [line.split()[2] for line in lines[3:6]] == [str(item) for item in ids[0]]
    assert [line.split()[1] for line in lines[3:6]] == [f"{score:.2f}" for score in scores[0]]


def json_count(model, user: int) -> int:
    return int(np.diff(model.ratings_.matrix.indptr)[user])


def test_recommend_with_seen_items_and_more_than_there_are(run, folder):
    model = load_model(folder / "numbers.npz")
    for options, count in ([], 40 - json_count(model, 7)), (["--include-seen"], 40):
        _, out, _ = run("recommend", folder / "numbers.npz", "--user", 7, "-n", 99, *options)
        assert out.startswith(f"{count} recommended for user 7")
        assert len(out.split("\n")) == count + 4


def test_recommend_to_who_has_rated_everything(run, tmp_path):
    path = tmp_path / "model.npz"
    ratings = Ratings.from_triples(["a", "a", "b"], ["x", "y", "x"], [1, 2, 3])
    save_model(BiasBaseline().fit(ratings), path)
    status, out, _ = run("recommend", path, "--user", "a", "b")
    assert status == 0
    assert out.startswith("0 recommended for user a\n")
    assert "\n1 recommended for user b\n" in out


def test_recommend_without_titles(run, folder):
    status, out, _ = run("recommend", folder / "words.npz", "--user", "u7", "-n", 1)
    assert status == 0
    item = load_model(folder / "words.npz").recommend(["u7"], n=1)[0][0, 0]
    assert re.search(rf"(?m)^ +1 +\S+ +{item}$", out)


# Reporting


def state(epoch: int, n_epochs: int = 4, validation: float | None = None) -> EpochState:
    return EpochState(epoch, n_epochs, 12345.678, validation, 2.0 * epoch, 0.1, np.zeros(1))


def test_progress_lines_tell_the_time_left():
    stream = io.StringIO()
    with Progress(stream, n_runs=2) as progress:
        for epoch in (1, 2, 3, 4, 1):
            progress(state(epoch, validation=0.9 if epoch == 2 else None))
    assert stream.getvalue().split("\n") == [
        "run 1 of 2, epoch 1 of 4: objective 12345.7, 2.0 s, 14.0 s left",
        "run 1 of 2, epoch 2 of 4: objective 12345.7, validation RMSE 0.9000, 4.0 s, 12.0 s left",
        "run 1 of 2, epoch 3 of 4: objective 12345.7, 6.0 s, 10.0 s left",
        "run 1 of 2, epoch 4 of 4: objective 12345.7, 8.0 s, 8.0 s left",
        "run 2 of 2, epoch 1 of 4: objective 12345.7, 2.0 s, 6.0 s left",
        "",
    ]


def test_progress_on_a_terminal_draws_one_line_and_removes_it(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with Progress(stream, as_lines=False) as progress:
        for epoch, moment in (1, 100.0), (2, 100.01), (3, 100.2):
            now[0] = moment
            progress(state(epoch))
    frames = stream.getvalue().split("\r")
    assert [frame[:12].strip() for frame in frames] == ["", "epoch 1 of 4", "epoch 3 of 4", "", ""]
    assert {len(frame) for frame in frames[1:-1]} == {reporting.LINE_WIDTH}
    assert "\n" not in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.4, "59.4 s"),
        (59.6, "1 min 0 s"),
        (7500, "125 min 0 s"),
    ],
)
def test_durations(seconds, text):
    assert reporting.duration(seconds) == text


def test_text_helpers():
    assert reporting.table(["a", "bb"], [["ccc", "1"]]) == "a    bb\nccc   1"
    assert reporting.table(["a", "bb"], [["c"]]) == "a  bb\nc"
    assert reporting.indented("a\n\nb") == "  a\n\n  b"
    model = AutoRec("user", (8, 4), tied=True)
    assert reporting.describe_model(model).startswith("U-AutoRec, tied, 8 x 4 hidden units, sig")


def test_json_holds_only_what_json_has():
    value = {1: (np.int64(2), np.float32(0.5)), "a": np.array([math.nan, math.inf]), "b": {3, 4}}
    expected = {"1": [2, 0.5], "a": [None, None], "b": "{3, 4}"}
    assert reporting.plain(value) == expected
    assert json.loads(json.dumps(reporting.plain(value), allow_nan=False)) == expected


def test_messages_take_one_line(capsys):
    reporting.complain("a\n  b")
    assert capsys.readouterr().err == "autorec-np: a b\n"


def test_usage_errors_are_not_caught_as_failures():
    assert not issubclass(UsageError, cli.EXPECTED_ERRORS)


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
