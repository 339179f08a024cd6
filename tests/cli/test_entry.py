"""The command line as a whole: help, exit codes, and how it fails."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import subprocess
import sys
import warnings
from importlib.metadata import entry_points

import pytest
from command_line import COMMANDS, SMALL

from autorec_np import __version__, data
from autorec_np.cli import commands as cli
from autorec_np.cli import main as way_in
from autorec_np.cli.options import UsageError
from autorec_np.serving.model_file import load_model

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
    "sing": r"invalid choice: 'sing' \(choose from 'demo', .*'gradcheck'\) \(see autorec-np --help",
    "trian F": r"invalid choice: 'trian' .*; did you mean 'train'\? \(see autorec-np --help\)",
    "Recommend M": r"invalid choice: 'Recommend' .*; did you mean 'recommend'\?",
    "train": r"arguments are required: DATA \(see autorec-np train --help\)",
    "train F --hidden 0": "--hidden: must be an integer of at least 1, got '0'",
    "train F --hidden 5,": "--hidden: must be an integer of at least 1, got ''",
    "train F --test-size 1": "--test-size: must be a number from 0 to below 1, got '1'",
    "train F --seed -1": "--seed: must be an integer of at least 0, got '-1'",
    "train F --warm-up 1": "--warm-up: must be a number from 0 to below 1, got '1'",
    "train F --momentum x": "--momentum: must be a number from 0 to below 1, got 'x'",
    "train F --validation-fraction 1": "must be a number between 0 and 1, got '1'",
    "train ml-1m --member x": "ml-1m is a data set: --member is for files",
    "train F --missing x": "--missing: must be numbers, as in -1,99, got 'x'",
    "train F --decimal :": "--decimal: must be . or ,, got ':'",
    "train F --max-bytes 3T": "--max-bytes: must be a number of bytes, as in 500M, got '3T'",
    "train F --skip-lines -1": "--skip-lines: must be an integer of at least 0, got '-1'",
    "train ml-1m --max-bytes 3": "ml-1m is a data set: --max-bytes is for files",
    "train F --regularization x": "must be auto, a number, or NAME=NUMBER,..., got 'x'",
    "train F --regularization a=b": "must be auto, a number, or NAME=NUMBER,..., got 'a=b'",
    "train F --baseline x": "--baseline: invalid choice: 'x' .*'auto', 'bias', 'mean', 'none'",
    "train F --cold x": "--cold: must be baseline, raise or a number, got 'x'",
    "train F --solver newton": r"--solver: invalid choice: 'newton' .* \(see autorec-np train --h",
    "train F --epoch 3": "unrecognized arguments: --epoch 3; did you mean '--epochs'.* train --he",
    "train F --epoch=3": "unrecognized arguments: --epoch=3; did you mean '--epochs'.* train --he",
    "train F --implicit 40": "unrecognized arguments: 40; did you mean '--implicit-units'",
    "tune F --implicit 40": "unrecognized arguments: --implicit 40; did you mean '--implicit-uni",
    "train F --lr 3": "unrecognized arguments: --lr 3; did you mean '--learning-rate'",
    "train F --max-iter 3": "unrecognized arguments: --max-iter 3; did you mean '--epochs'",
    "train F --learning_rate_init=3": "did you mean '--learning-rate'",
    "evaluate F --n-factors 3": "unrecognized arguments: --n-factors 3; did you mean '--hidden'",
    "recommend M --user 1 --top-n 3": "unrecognized arguments: --top-n 3; did you mean '-n'",
    "gradcheck --lr 3": r"unrecognized arguments: --lr \(see autorec-np gradcheck --help",
    "predict M N": r"unrecognized arguments: N \(see autorec-np predict --help\)",
    "train ml-1m --sep ,": "ml-1m is a data set: --sep is for files .see autorec-np train --help",
    "tune F --validation-size 0": "--validation-size: must be a number between 0 and 1, got '0'",
    "tune F --solver lbfgs --hidden 3 --regularization auto": "nothing is left to search",
    "evaluate F --test-size 0": "evaluate needs test ratings: --test-size must be above 0",
    "evaluate F --cv 3 --folds": "not allowed with argument",
    "evaluate F --folds": "--folds needs published folds, which .*numbers.csv lacks; use --cv 5",
    "predict M": "predict needs either --user and --item, or --pairs .see autorec-np predict --he",
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


@pytest.mark.parametrize("command", USAGE_ERRORS)
def test_the_help_that_a_usage_error_names_is_there(command, run, folder):
    _, _, err = run(*filled(command, folder))
    (named,) = re.findall(r"\(see autorec-np (.*--help)\)\n$", err)
    if command and command.split()[0] in COMMANDS:
        assert named == f"{command.split()[0]} --help"
    assert run(*named.split())[0] == 0


# What fails, what it advises, and the same as advised.
ADVICE = {
    "evaluate F --folds": ("use --cv 5", "evaluate F --cv 5"),
    "evaluate F --test-size 0": ("--test-size must be above 0", "evaluate F --test-size 0.2"),
    "tune F --solver lbfgs --regularization auto -n 2": (
        "leave out an option such as --regularization",
        "tune F --solver lbfgs -n 2",
    ),
    "predict M --user 1": ("needs either --user and --item", "predict M --user 1 --item 3"),
    "train ml-100k --sep ,": ("--sep is for files", "train F --sep ,"),
    "train F --solver lbfgs --dropout 0.1": (
        "use solver='adam' or 'sgd', or set both to 0. On the command line: --solver",
        "train F --solver adam --dropout 0.1",
    ),
    "train F --hidden 8,6 --tied": ("or change the widths", "train F --hidden 8,8 --tied"),
}


@pytest.mark.parametrize("command", ADVICE)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_advice_of_an_error_works(command, run, folder):
    said, advised = ADVICE[command]
    small = [] if command.startswith("predict") else SMALL
    if "--hidden" in command:
        small = small[2:]
    status, _, err = run(*filled(command, folder), *small, "-q")
    assert status in (1, 2)
    assert said in err
    status, _, err = run(*filled(advised, folder), *small, "-q")
    assert (status, err) == (0, "")


FAILURES = {
    "train missing.csv": r"'missing.csv' is neither a file nor a MovieLens name \(ml-latest-small",
    "train ml-100K": "'ml-100K' is neither a file nor .*, ml-100k, .*; did you mean 'ml-100k'",
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

    monkeypatch.setattr(data, "make_ratings", broken)
    with pytest.raises(KeyError):
        cli.main(["demo"])


def test_the_overview_loads_no_array_library():
    program = "import sys; from autorec_np.cli import main; main(['--help']); print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split("examples:")[1].split())
    assert "autorec_np.cli.train" in loaded
    assert not loaded & {"numpy", "scipy", "pandas", "requests", "autorec_np.models.autorec"}


# Completion


def completions(line: str, tmp_path) -> list[str]:
    """Ask as a shell does that argcomplete has set up."""
    answer = tmp_path / "answer.txt"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": f"autorec-np {line}",
        "COMP_POINT": str(len(f"autorec-np {line}")),
    }
    subprocess.run(
        [sys.executable, "-m", "autorec_np"], env={**os.environ, **asked}, cwd=tmp_path, check=True
    )
    return [word.strip() for word in answer.read_text().split("\n")]


def test_a_shell_completes_commands_options_and_values(tmp_path):
    pytest.importorskip("argcomplete", reason="needs argcomplete")
    assert sorted(completions("tr", tmp_path)) == ["train"]
    assert set(COMMANDS) <= set(completions("", tmp_path))
    assert sorted(completions("train ml-1m --out", tmp_path)) == ["--output-activation"]
    assert sorted(completions("train ml-1m --solver l", tmp_path)) == ["lbfgs"]
    (tmp_path / "mine.csv").touch()
    found = completions("train m", tmp_path)
    assert {"mine.csv", "ml-100k"} <= set(found)


def test_without_argcomplete_a_command_that_asks_for_completions_runs(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    monkeypatch.setenv("COMP_LINE", "autorec-np train")
    assert run("--version")[0] == 0


# Interrupts and pipes


def test_ctrl_c_gives_130_and_one_line(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "make_ratings", interrupted)
    assert run("demo") == (130, "", "autorec-np: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_or_sigterm_in_training_saves_the_best_so_far(sent, folder, tmp_path):
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
        process.send_signal(sent)
        rest = process.stderr.read().split("\n")
    assert process.returncode == 128 + sent
    assert rest[-2:] == ["autorec-np: interrupted", ""]
    assert all(line.startswith("epoch") for line in rest[:-2])
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    n_lines = 1 + len(rest) - 2
    assert load_model(target).n_iter_ in (n_lines, n_lines + 1)  # an epoch counts before its line


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
    assert entry.load() is way_in
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


def test_usage_errors_are_not_caught_as_failures():
    assert not issubclass(UsageError, cli.EXPECTED_ERRORS)
