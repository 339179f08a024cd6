"""The arguments of every command of ``autorec-np``, and its help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, NoReturn

from autorec_np import __version__
from autorec_np._text import UsageError
from autorec_np.cli import commands
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.optimizers import SCHEDULES
from autorec_np.sources.movielens import MOVIELENS_NAMES
from autorec_np.training.trainer import SOLVERS


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors take one line, and whose epilogs keep their lines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


OVERVIEW = """\
AutoRec: rating prediction and recommendations with an autoencoder, in NumPy.

commands:
"""

EXAMPLES = """\
examples:
  autorec-np demo
  autorec-np train ml-100k --save model.npz
  autorec-np recommend model.npz --user 1
  autorec-np train --help

exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted
"""

# Of each command: its usage, its line in the overview, what it does, examples.
COMMANDS = {
    "demo": """\
[options]
train on made-up ratings, check the gradient, recommend

The ratings come from a known model. A small AutoRec is trained on 90 % of
them; its errors on the rest stand beside two baselines and the best that any
model can reach. Needs no network and ends in seconds.

examples:
  autorec-np demo
  autorec-np demo --json
""",
    "fetch": """\
NAME [options]
find or download a MovieLens data set

Looks in --data-home or $AUTOREC_NP_DATA or the per-user cache, downloads what
is in none of them, and says what the data set holds.

examples:
  autorec-np fetch ml-100k
  autorec-np fetch ml-1m --data-home data
""",
    "train": """\
DATA [options]
train on a data set or a file, report errors, save the model

RMSE and MAE on held-out ratings stand beside those of the global mean and of
the user and item biases. --save stores the model that was measured: trained on
the training part, with its ratings and, where the data set has them, titles.
For the model to use, run again with --test-size 0, which trains on all ratings
and reports no errors.

examples:
  autorec-np train ml-100k
  autorec-np train ratings.csv --scale 1 5 --save model.npz
  autorec-np train ml-1m --orientation user --hidden 500,100 --epochs 20
  autorec-np train ml-1m --baseline none --regularization 400 --solver rprop
  autorec-np train ml-1m --test-size 0 --save model.npz
""",
    "tune": """\
DATA [options]
search for the best parameters, test the model that has them once

Penalties, hidden width, learning rate, dropout and corruption are drawn at
random around the defaults and compared by their RMSE on validation ratings, a
part of the training ratings: by halving, first all for few epochs, then the
best third for more. What an option fixes is not searched. The best model is
trained anew on all training ratings, and only then are the test ratings read.
With --resume, a search that was interrupted goes on where it ended.

examples:
  autorec-np tune ml-100k
  autorec-np tune ml-1m --hidden 200 --resume search.jsonl --save model.npz
  autorec-np tune ratings.csv -n 10 --strategy random --epochs 20
""",
    "evaluate": """\
DATA [options]
train and measure over random splits or folds

AutoRec and the two baselines see the same splits; mean errors come with 95 %
confidence intervals. By default as in the AutoRec paper: five random splits of
the ratings into 90 % for training and 10 % for testing.

examples:
  autorec-np evaluate ml-1m --repeats 5
  autorec-np evaluate ml-100k --folds
  autorec-np evaluate ratings.csv --cv 5 --epochs 20
""",
    "predict": """\
MODEL (--user ID --item ID ... | --pairs FILE)
predict ratings of (user, item) pairs with a saved model

Writes CSV: user, item, prediction, cold (1 where the user or the item has no
training rating, so that the bias baseline answers; 0 elsewhere).

examples:
  autorec-np predict model.npz --user 1 --item 50 172
  autorec-np predict model.npz --pairs pairs.csv > predictions.csv
""",
    "recommend": """\
MODEL --user ID [ID ...] [options]
list the best items that a user has not rated, from a saved model

With titles where the model was trained on a data set that has them. Scores are
not clipped to the rating scale, so they can exceed it.

examples:
  autorec-np recommend model.npz --user 1
  autorec-np recommend model.npz --user 1 2 3 -n 5 --json
""",
    "report": """\
MODEL [options]
write a page on a saved model: errors, pictures, recommendations

One HTML file that loads nothing: RMSE and MAE with intervals beside the
baselines, learning curves, errors by rating and by activity, calibration,
weights, a map of the items, a check of the gradient, recommendations. What
needs held-out ratings is left out without --test. Pairs of --test that the
model was trained on do not count, so the data set that it was trained on
serves, if a part was held out. Needs matplotlib.

examples:
  autorec-np report model.npz --test ml-100k -o report.html
  autorec-np report model.npz --test held_out.csv
""",
    "gradcheck": """\
[FILE.py:FUNCTION --theta FILE.npy] [options]
check hand-written gradients against numeric derivatives

Without arguments the package's own: every pair of activations, one and three
hidden layers, tied and untied weights, dropout; data term and penalty apart,
at the initial point, after training and in saturation. With FILE.py:FUNCTION
yours: any function theta -> (value, gradient). Exits with 1 unless all pass.

examples:
  autorec-np gradcheck
  autorec-np gradcheck loss.py:loss --theta theta.npy --block bias=6:9
""",
}


def make_parser() -> Parser:
    """Return the parser; the parsed arguments hold the command's function as ``run``."""
    parser = Parser(
        prog="autorec-np", description=OVERVIEW, epilog=EXAMPLES, usage="autorec-np COMMAND ..."
    )
    parser.add_argument("--version", action="version", version=f"autorec-np {__version__}")
    group = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
        prog="autorec-np",
        help=argparse.SUPPRESS,
    )
    parsers: dict[str, Parser] = {}
    for name, text in COMMANDS.items():
        usage, summary, _ = text.split("\n", 2)
        description, heading, examples = text[len(usage) + 1 :].partition("examples:")
        parsers[name] = group.add_parser(
            name,
            usage=f"autorec-np {name} {usage}",
            description=description,
            epilog=heading + examples,
        )
        parsers[name].set_defaults(run=getattr(commands, name))
        parser.description = f"{parser.description}  {name:10}  {summary}\n"

    def add(names: str, flags: str, help: str, **settings: Any) -> None:
        for name in names.split():
            parsers[name].add_argument(*flags.split(), help=help, **settings)

    known = ", ".join(MOVIELENS_NAMES)
    add("fetch", "name", known, metavar="NAME", choices=MOVIELENS_NAMES)
    add("predict recommend report", "model", "file that train --save wrote", metavar="MODEL")
    add(
        "train tune evaluate",
        "data",
        "a MovieLens name such as ml-100k (see fetch), or a file of ratings",
        metavar="DATA",
    )
    add("train tune", "--save", "write the trained model to FILE (.npz)", metavar="FILE")

    add(
        "tune",
        "-n --candidates",
        "sets of parameters to try, the unchanged one too (default 27)",
        type=COUNT,
        default=27,
        metavar="N",
    )
    add(
        "tune",
        "--strategy",
        "train all in full, or successively fewer for longer (default halving)",
        choices=["halving", "random"],
        default="halving",
    )
    add(
        "tune",
        "--validation-size",
        "share of the training ratings on which the candidates are compared (default 0.1)",
        type=PART,
        default=0.1,
        metavar="SHARE",
    )
    add("tune", "--resume", "keep the trials in FILE, and go on from those in it", metavar="FILE")

    protocol = parsers["evaluate"].add_mutually_exclusive_group()
    protocol.add_argument(
        "--repeats", type=COUNT, default=5, metavar="N", help="random splits (default 5)"
    )
    protocol.add_argument("--cv", type=COUNT, metavar="K", help="K-fold cross-validation instead")
    protocol.add_argument(
        "--folds", action="store_true", help="the published folds u1 to u5 instead (ml-100k)"
    )

    add("predict", "--user", "user id", metavar="ID")
    add("predict", "--item", "one or more item ids", metavar="ID", nargs="+")
    add(
        "predict",
        "--pairs",
        "CSV file with a user and an item id in each line; more columns, and a header that "
        "names the columns (user, item), are allowed",
        metavar="FILE",
    )
    add("recommend", "--user", "one or more user ids", metavar="ID", nargs="+", required=True)
    add("recommend", "-n", "items per user (default 10)", type=COUNT, default=10, metavar="N")
    add(
        "recommend",
        "--include-seen",
        "also list items that the user has rated",
        action="store_true",
    )
    add(
        "report",
        "--test",
        "a MovieLens name or a file of ratings, for the errors",
        dest="data",
        metavar="DATA",
    )
    add(
        "report",
        "-o --output",
        "where to write the page (default report.html)",
        default="report.html",
        metavar="FILE",
    )
    add(
        "gradcheck",
        "function",
        "a function of theta that returns (value, gradient)",
        nargs="?",
        metavar="FILE.py:FUNCTION",
    )
    add("gradcheck", "--theta", "the point, from numpy.save", metavar="FILE.npy")
    add(
        "gradcheck",
        "--block",
        "a part of flat theta to judge by itself; may be repeated",
        type=BLOCK,
        action="append",
        metavar="NAME=START:STOP",
    )
    add(
        "gradcheck",
        "--method",
        "differences or the complex step (default central)",
        choices=["central", "complex", "forward"],
        default="central",
    )
    add(
        "train tune evaluate",
        "--test-size",
        "share of the ratings held out for testing (default 0.1)",
        type=SHARE,
        default=0.1,
        metavar="SHARE",
    )
    add(
        "demo train tune evaluate gradcheck",
        "--seed",
        "seed of everything random (default 0)",
        type=SEED,
        default=0,
        metavar="N",
    )
    add(
        "fetch train tune evaluate report",
        "--data-home",
        "where the MovieLens archives are or go to (default $AUTOREC_NP_DATA, then the "
        "per-user cache)",
        metavar="FOLDER",
    )
    can_be_json = "demo train tune evaluate recommend gradcheck"
    add(can_be_json, "--json", "print one JSON object", action="store_true")
    every = " ".join(COMMANDS)
    add(every, "-q --quiet", "no progress and no warnings", action="store_true")
    # "verbose" is a parameter of AutoRec
    add(every, "-v --verbose", "say more", dest="verbosity", action="store_true")
    for name in ("train", "tune", "evaluate"):
        _add_reading(parsers[name])
        _add_model(parsers[name])
    _add_reading(parsers["report"])
    return parser


def _add_reading(command: Parser) -> None:
    add = command.add_argument_group(
        "reading", "What a ratings file holds is found out; these options say it instead."
    ).add_argument
    add(
        "--sep",
        type=lambda text: {"tab": "\t", r"\t": "\t"}.get(text, text),
        help="separator: any string, tab, or whitespace",
        metavar="SEP",
    )
    add(
        "--columns",
        type=_columns,
        metavar="U,I,R",
        help="columns of user, item, rating and optionally timestamp: names, or numbers from 0",
    )
    add(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first line names the columns",
    )
    add("--scale", type=float, nargs=2, metavar=("LOW", "HIGH"), help="the rating scale")
    add(
        "--duplicates",
        choices=["raise", "first", "last", "mean"],
        help="which rating of a repeated pair counts (default: raise an error)",
    )
    add("--encoding", help="of the text (default utf-8)")


def _add_model(command: Parser) -> None:
    """Add the parameters of AutoRec; what is not given is left to its defaults."""
    group = command.add_argument_group(
        "model",
        "The parameters of autorec_np.AutoRec, whose documentation says more.",
        argument_default=argparse.SUPPRESS,
    )

    def add(flag: str, help: str, **options: Any) -> None:
        group.add_argument(flag, help=help, **options)

    add(
        "--orientation",
        "what a row is: an item (I-AutoRec, the default) or a user (U-AutoRec)",
        choices=["item", "user"],
    )
    add(
        "--hidden",
        "width of each hidden layer (default 500)",
        dest="hidden_layer_sizes",
        type=lambda text: tuple(map(COUNT, text.split(","))),
        metavar="N[,N...]",
    )
    add("--activation", "hidden (default sigmoid)", choices=list(ACTIVATIONS))
    add("--output-activation", "output (default identity)", choices=list(ACTIVATIONS))
    add(
        "--regularization",
        "auto (default), a number, or one for each block: encoder.weight=1000,decoder.weight=200",
        type=REGULARIZATION,
        metavar="LAMBDA",
    )
    add("--tied", "one weight matrix for both layers", action="store_true")
    add("--dropout", "of hidden units (default 0)", type=float, metavar="P")
    add(
        "--corruption",
        "share of the input ratings set to 0 in training (default 0.1; 0 for full batches)",
        type=float,
        metavar="P",
    )
    add(
        "--baseline",
        "what the network corrects (default auto)",
        choices=["auto", "bias", "mean", "none"],
    )
    add(
        "--cold",
        "prediction for users and items without training ratings: baseline (default), a number, "
        "or raise",
        type=COLD,
        metavar="RULE",
    )
    add("--solver", "(default adam)", choices=list(SOLVERS))
    add(
        "--epochs",
        "at most so many epochs or iterations (max_iter)",
        dest="max_iter",
        type=COUNT,
        metavar="N",
    )
    add("--batch-size", "rows (default 256)", type=COUNT, metavar="N")
    add(
        "--learning-rate",
        "the highest learning rate (default: by solver)",
        dest="learning_rate_init",
        type=float,
        metavar="X",
    )
    add("--schedule", "(default cosine)", dest="learning_rate", choices=list(SCHEDULES))
    add("--tol", "to end early (default 1e-4)", type=float, metavar="X")
    add(
        "--early-stopping",
        "hold out validation ratings of the training part; keep the best weights",
        action="store_true",
    )
    add("--dtype", "(default float32)", choices=["float32", "float64"])
    add("--n-jobs", "threads (default: all cores)", type=COUNT, metavar="N")


# Types of arguments


def _checked(
    wanted: str, convert: Callable[[str], Any], accept: Callable[[Any], bool] = lambda value: True
) -> Callable[[str], Any]:
    """Return `convert` with the error message that argparse shows."""

    def parse(text: str) -> Any:
        try:
            value = convert(text)
            if accept(value):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}")

    return parse


def _regularization(text: str) -> str | float | dict[str, float]:
    if "=" not in text:
        return text if text == "auto" else float(text)
    pairs = [part.partition("=") for part in text.split(",")]
    return {name.strip(): float(value) for name, _, value in pairs}


def _block(text: str) -> tuple[str, slice]:
    [(name, start, stop)] = re.findall(r"^(.+)=(\d+):(\d+)$", text)
    return name, slice(int(start), int(stop))


def _columns(text: str) -> list[str] | list[int]:
    names = [name.strip() for name in text.split(",")]
    return [int(name) for name in names] if all(map(str.isdecimal, names)) else names


COUNT = _checked("an integer of at least 1", int, lambda value: value >= 1)
SEED = _checked("an integer of at least 0", int, lambda value: value >= 0)
SHARE = _checked("a number from 0 to below 1", float, lambda value: 0 <= value < 1)
PART = _checked("a number between 0 and 1", float, lambda value: 0 < value < 1)
REGULARIZATION = _checked("auto, a number, or NAME=NUMBER,...", _regularization)
COLD = _checked(
    "baseline, raise or a number",
    lambda text: text if text in ("baseline", "raise") else float(text),
)
BLOCK = _checked("NAME=START:STOP, as in bias=6:9", _block)
