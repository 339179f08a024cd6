"""The options: each reaches what it is for, and its help states the real default."""

from __future__ import annotations

import argparse
import gzip
import inspect
import io
import json
import re
import shlex
import sys
import zipfile

import pytest
from command_line import SMALL

from autorec_np.cli.commands import COMMANDS, make_parser
from autorec_np.cli.options import Parser
from autorec_np.data.splitting import train_test_split
from autorec_np.evaluation.cross_validation import evaluate_repeats
from autorec_np.evaluation.held_out import evaluate_ranking
from autorec_np.evaluation.hyperparameters import search
from autorec_np.gradcheck import check_gradient
from autorec_np.models.autorec import WARM_UP, WIDTHS, AutoRec
from autorec_np.models.ranking_autorec import RankingAutoRec
from autorec_np.sources.movielens import fetch_movielens
from autorec_np.sources.reading import read_ratings
from autorec_np.sources.store import store_ratings
from autorec_np.training.trainer import BATCH_SIZES, BATCHES, SOLVERS


def parser_of(command: str) -> Parser:
    parser = Parser(prog=f"autorec-np {command}")
    COMMANDS[command].add_arguments(parser)
    return parser


def option(action: argparse.Action) -> str:
    return action.option_strings[-1] if action.option_strings else action.dest


def stated_default(help: str) -> str | None:
    """Return the default that a help text states, None where it states none."""
    found = re.search(
        r"\bdefault:? ([^;)]+)|([\w-]+) \(default\)|(\w+) \([\w-]+, the default\)", help
    )
    return next(filter(None, found.groups())) if found else None


def default(function, name):
    return inspect.signature(function).parameters[name].default


# What stands in words in a help text, and whether it is so.
IN_WORDS = {
    "by solver": lambda name: len({getattr(one, name) for one in SOLVERS.values()}) > 2,
    "by orientation": lambda name: (
        default(AutoRec, name) is None and WARM_UP["item"] != WARM_UP["user"]
    ),
    "an eighth of all, 64 to 512, of nearly empty ones more": lambda name: (
        default(AutoRec, name) is None and (BATCHES, BATCH_SIZES) == (8, (64, 512))
    ),
    "nowhere": lambda name: default(AutoRec, name) is None,
    "as many as make it cheap": lambda name: default(AutoRec, name) is None,
    "all cores": lambda name: default(AutoRec, name) is None,
    "one": lambda name: all(parser_of(c).get_default(name) == 1 for c in ("evaluate", "tune")),
    "raise an error": lambda name: default(read_ratings, name) == "raise",
    "$AUTOREC_NP_DATA, then the per-user cache": lambda name: (
        default(fetch_movielens, name) is None
    ),
    "none": lambda name: default(check_gradient, name) is None,
    "all": lambda name: default(RankingAutoRec, name) is None,
    "three quarters up the scale, and of two columns all": lambda name: (
        default(evaluate_ranking, "threshold") is None
    ),
    "report.html": lambda name: parser_of("report").get_default(name) == "report.html",
}

# Options whose default is that of a function, not of AutoRec.
OF_FUNCTIONS = {
    "--candidates": (search, "n_candidates"),
    "--strategy": (search, "strategy"),
    "--validation-size": (search, "validation_size"),
    "--repeats": (evaluate_repeats, "repeats"),
    "--test-size": (train_test_split, "test_size"),
    "--method": (check_gradient, "method"),
    "--encoding": (read_ratings, "encoding"),
    "--decimal": (read_ratings, "decimal"),
    "--max-bytes": (read_ratings, "max_bytes"),
    "--memory": (store_ratings, "memory"),
    "--seed": (search, "random_state"),
    "-n": (AutoRec.recommend, "n"),
    "--values": (RankingAutoRec, "values"),
    "--unobserved-weight": (RankingAutoRec, "unobserved_weight"),
    "--unobserved-target": (RankingAutoRec, "unobserved_target"),
}


def real_default(action: argparse.Action) -> object:
    """Return what holds where an option is not given."""
    if option(action) in OF_FUNCTIONS:
        return default(*OF_FUNCTIONS[option(action)])
    value = default(AutoRec, action.dest)
    if action.dest == "corruption":
        value = AutoRec().get_params()["solver"]
        value = SOLVERS[value].corruption
    if action.dest == "hidden_layer_sizes":
        value = WIDTHS["item"]
    return value


def default_fault(action: argparse.Action, help: str) -> str | None:
    """Say what is wrong with the default that a help text states, None where nothing is."""
    stated = stated_default(help)
    if stated in IN_WORDS:
        return None if IN_WORDS[stated](action.dest) else f"{stated!r} is not so"
    real = real_default(action)
    if stated is None:
        return f"states no default, where it is {real!r}"
    value = (action.type or str)(stated)
    return None if value == real else f"states {value!r}, where it is {real!r}"


WITH_DEFAULTS = [
    (command, option(action))
    for command in COMMANDS
    for action in parser_of(command)._actions
    if option(action) not in ("--help", "--json", "--quiet", "--verbose", "--cv")
    and action.nargs != 0  # a flag is off
    and (stated_default(action.help or "") or action.default is not None)
]


@pytest.mark.parametrize(("command", "name"), WITH_DEFAULTS)
def test_a_help_text_states_the_real_default(command, name):
    parser = parser_of(command)
    (action,) = (one for one in parser._actions if option(one) == name)
    help = parser._get_formatter()._expand_help(action)
    assert default_fault(action, help) is None
    if action.default not in (None, argparse.SUPPRESS) and name in OF_FUNCTIONS:
        assert action.default == real_default(action)


def test_the_help_states_the_width_for_users_too():
    (hidden,) = (one for one in parser_of("train")._actions if option(one) == "--hidden")
    assert f"; {WIDTHS['user'][0]} with --orientation user)" in hidden.help


def test_a_wrong_default_in_a_help_text_is_found():
    actions = {option(one): one for one in parser_of("train")._actions}
    planted = {
        "--corruption": ("share (default 0.1; 0 for full batches)", "states 0.1, where it is 0.5"),
        "--hidden": ("width (default 500,100)", "states (500, 100), where it is (500,)"),
        "--schedule": ("(default step)", "states 'step', where it is 'cosine'"),
        "--tol": ("to end early", "states no default, where it is 0.0001"),
        "--seed": ("seed (default 1)", "states 1, where it is 0"),
        "--batch-size": ("rows (default: by solver)", None),
        "--orientation": ("a user (U-AutoRec, the default)", "states 'user', where it is 'item'"),
    }
    for name, (help, fault) in planted.items():
        if fault is None:
            with pytest.raises(AttributeError):
                default_fault(actions[name], help)
        else:
            assert default_fault(actions[name], help) == fault


@pytest.mark.parametrize(
    "example",
    [example for command in COMMANDS.values() for example in command.examples],
)
def test_the_arguments_of_every_example_are_understood(example):
    words = shlex.split(example.partition(" > ")[0])
    assert words.pop(0) == "autorec-np"
    assert COMMANDS[make_parser(words).parse_args(words).command].run


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
        "--implicit-units 3": ("implicit", 3),
        "--inputs planes": ("inputs", "planes"),
        "--dropout 0.2": ("dropout", 0.2),
        "--corruption 0.3": ("corruption", 0.3),
        "--baseline none": ("baseline", None),
        "--cold 2.5": ("cold", 2.5),
        "--solver sgd": ("solver", "sgd"),
        "--epochs 2": ("max_iter", 2),
        "--batch-size 7": ("batch_size", 7),
        "--learning-rate 0.001": ("learning_rate_init", 0.001),
        "--schedule step": ("learning_rate", "step"),
        "--warm-up 0.6": ("warm_up", 0.6),
        "--momentum 0.5": ("momentum", 0.5),
        "--tol 0.01": ("tol", 0.01),
        "--early-stopping": ("early_stopping", True),
        "--validation-fraction 0.2": ("validation_fraction", 0.2),
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


def test_every_parameter_of_the_reader_has_an_option():
    parameters = [*inspect.signature(read_ratings).parameters][1:]
    for command in ("train", "tune", "evaluate", "report"):
        options = {action.dest for action in parser_of(command)._actions}
        assert [name for name in parameters if name not in options] == []


READING_OPTIONS = {
    "missing": ("1,2,3\n1,3,-1\n2,3,99\n2,2,4\n3,2,5\n", ["--missing=-1,99"], "3 ratings"),
    "decimal": ("1;2;2,5\n2;3;4,5\n3;2;3,5\n", ["--decimal", ","], "scale 2.5 to 4.5"),
    "comment": ("# a\n1,2,3\n# b\n2,3,4\n3,2,5\n", ["--comment", "#"], "3 ratings"),
    "skip": ("of 2020\n1,2,3\n2,3,4\n3,2,5\n", ["--skip-lines", "1"], "3 ratings"),
    "quoting": ('1\ta "x\t3\n2\ty\t4\n3\ta "x\t5\n', ["--no-quoting"], "2 items"),
    "bytes": ("1,2,3\n2,3,4\n3,2,5\n", ["--max-bytes", "1K"], "3 ratings"),
}


@pytest.mark.parametrize("case", READING_OPTIONS)
def test_what_a_file_holds_can_be_said(case, run, tmp_path):
    content, options, said = READING_OPTIONS[case]
    path = tmp_path / "ratings.txt"
    path.write_text(content)
    status, out, err = run("train", path, *options, *SMALL, "--test-size", 0, "-q")
    assert (status, err) == (0, "")
    assert said in out
    if case == "missing":
        assert "without 2 that are no ratings (--missing)" in out


def test_more_bytes_than_allowed_are_refused_and_the_option_is_said(run, tmp_path):
    path = tmp_path / "ratings.csv.gz"
    path.write_bytes(gzip.compress(b"1,2,3\n" * 1000))
    status, _, err = run("train", path, "--max-bytes", "1k", *SMALL, "-q")
    assert status == 1
    assert "On the command line: --max-bytes N" in err


def test_standard_input_is_read(run, folder, monkeypatch):
    content = (folder / "numbers.csv").read_bytes()
    stdin = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    status, out, err = run("train", "-", *SMALL, "-q")
    assert (status, err) == (0, "")
    assert "700 ratings, 50 users x 40 items" in out
    assert "        columns user = 'user', item = 'item', rating = 'rating'\n" in out


def test_member_chooses_a_file_of_an_archive(run, tmp_path):
    path = tmp_path / "ratings.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, scale in {"a.csv": 5, "deep/b.csv": 9}.items():
            lines = [f"{k % 5},{k % 7},{k % scale + 1}" for k in range(35)]
            archive.writestr(name, "\n".join(lines))
    status, out, err = run("train", path, "--member", "deep/b.csv", *SMALL, "-q")
    assert (status, err) == (0, "")
    assert "scale 1 to 9" in out
    status, _, err = run("train", path, *SMALL, "-q")
    assert status == 1
    assert "'a.csv', 'deep/b.csv'" in err


# What the library advises, and how that is followed on the command line.
ADVICE = {
    "repeats": (
        "1,2,3\n1,2,4\n2,3,5\n3,2,5\n",
        "pass duplicates='last'",
        "--duplicates {raise,first,last,mean}",
        ["--duplicates", "last"],
    ),
    "columns": (
        "who,what,how\n1,2,3\n2,3,5\n3,2,5\n",
        "no columns are named 'a'",
        "--columns U,I,R, --sep SEP",
        ["--columns", "who,what,how"],
    ),
    "encoding": (
        "ü,2,3\ny,3,5\nz,2,5\n",
        "pass the encoding of the file, encoding='latin-1' for example",
        "--encoding ENCODING",
        ["--encoding", "latin-1"],
    ),
}


@pytest.mark.parametrize("case", ADVICE)
def test_the_advice_of_the_library_is_said_in_options_and_works(case, run, tmp_path):
    content, said, form, options = ADVICE[case]
    path = tmp_path / "ratings.csv"
    path.write_text(content, encoding="latin-1" if case == "encoding" else "utf-8")
    wrong = ["--columns", "a,b,c"] if case == "columns" else []
    status, _, err = run("train", path, *SMALL, *wrong, "--test-size", 0, "-q")
    assert status == 1
    assert said in err
    assert f". On the command line: {form}.\n" in err
    status, _, err = run("train", path, *SMALL, *options, "--test-size", 0, "-q")
    assert (status, err) == (0, "")


def test_what_has_no_option_is_said_as_it_is():
    parser = parser_of("train")
    assert parser.in_options("pass include_ratings=False.") == "pass include_ratings=False."
    assert parser.in_options("raise max_iter, or header=False; max_iter is 3") == (
        "raise max_iter, or header=False; max_iter is 3. On the command line: --epochs N, "
        "--header/--no-header."
    )
    assert parser.in_options("tied=False, scale=(1, 5).") == (
        "tied=False, scale=(1, 5). On the command line: --tied, --scale LOW HIGH."
    )
