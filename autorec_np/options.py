"""The arguments of every command of ``autorec-np``, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from autorec_np import __version__, commands
from autorec_np.activations import ACTIVATIONS
from autorec_np.datasets import MOVIELENS_NAMES
from autorec_np.reporting import UsageError
from autorec_np.schedules import SCHEDULES
from autorec_np.training import SOLVERS


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

OVERVIEW_END = """\
examples:
  autorec-np demo
  autorec-np train ml-100k --save model.npz
  autorec-np recommend model.npz --user 1
  autorec-np train --help

exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted
"""

# What each command does; the first line is also its line in the overview.

DEMO = """\
train on made-up ratings, check the gradient, recommend

The ratings come from a known model. A small AutoRec is trained on 90 % of
them; its errors on the rest stand beside two baselines and the best that any
model can reach. Needs no network and ends in seconds.
"""

FETCH = """\
find or download a MovieLens data set

Looks in --data-home or $AUTOREC_NP_DATA or the per-user cache, downloads what
is in none of them, and says what the data set holds.
"""

TRAIN = """\
train on a data set or a file, report errors, save the model

RMSE and MAE on held-out ratings stand beside those of the global mean and of
the user and item biases. --save stores the model that was measured: trained on
the training part, with its ratings and, where the data set has them, titles.
For the model to use, run again with --test-size 0, which trains on all ratings
and reports no errors.
"""

EVALUATE = """\
train and measure over random splits or folds

AutoRec and the two baselines see the same splits; mean errors come with 95 %
confidence intervals. By default as in the AutoRec paper: five random splits of
the ratings into 90 % for training and 10 % for testing.
"""

PREDICT = """\
predict ratings of (user, item) pairs with a saved model

Writes CSV: user, item, prediction, cold (1 where the user or the item has no
training rating, so that the bias baseline answers; 0 elsewhere).
"""

RECOMMEND = """\
list the best items that a user has not rated, from a saved model

With titles where the model was trained on a data set that has them. Scores are
not clipped to the rating scale, so they can exceed it.
"""

GRADCHECK = """\
check hand-written gradients against numeric derivatives

Without arguments the package's own: every pair of activations, one and three
hidden layers, tied and untied weights, dropout; data term and penalty apart,
at the initial point, after training and in saturation. With FILE.py:FUNCTION
yours: any function theta -> (value, gradient). Exits with 1 unless all pass.
"""


def make_parser() -> Parser:
    """Return the parser; the parsed arguments hold the command's function as ``run``."""
    parser = Parser(
        prog="autorec-np", description=OVERVIEW, epilog=OVERVIEW_END, usage="autorec-np COMMAND ..."
    )
    parser.add_argument("--version", action="version", version=f"autorec-np {__version__}")
    group = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
        prog="autorec-np",
        help=argparse.SUPPRESS,
    )

    def add_command(
        run: Callable[..., int], usage: str, text: str, examples: Sequence[str]
    ) -> Parser:
        name = run.__name__
        lines = [f"  autorec-np {name} {example}".rstrip() for example in examples]
        command: Parser = group.add_parser(
            name,
            usage=f"autorec-np {name} {usage}",
            description=text,
            epilog="\n".join(["examples:", *lines]),
        )
        command.set_defaults(run=run)
        summary, _, _ = text.partition("\n")
        parser.description = f"{parser.description}  {name:10}  {summary}\n"
        return command

    demo = add_command(commands.demo, "[options]", DEMO, ["", "--json"])

    fetch = add_command(
        commands.fetch, "NAME [options]", FETCH, ["ml-100k", "ml-1m --data-home data"]
    )
    names = ", ".join(MOVIELENS_NAMES)
    fetch.add_argument("name", metavar="NAME", choices=MOVIELENS_NAMES, help=names)

    train = add_command(
        commands.train,
        "DATA [options]",
        TRAIN,
        [
            "ml-100k",
            "ratings.csv --scale 1 5 --save model.npz",
            "ml-1m --orientation user --hidden 500,100 --epochs 20",
            "ml-1m --baseline none --regularization 400 --solver rprop",
            "ml-1m --test-size 0 --save model.npz",
        ],
    )
    train.add_argument("--save", metavar="FILE", help="write the trained model to FILE (.npz)")

    evaluate = add_command(
        commands.evaluate,
        "DATA [options]",
        EVALUATE,
        ["ml-1m --repeats 5", "ml-100k --folds", "ratings.csv --cv 5 --epochs 20"],
    )
    protocol = evaluate.add_mutually_exclusive_group()
    protocol.add_argument(
        "--repeats", type=COUNT, default=5, metavar="N", help="random splits (default 5)"
    )
    protocol.add_argument("--cv", type=COUNT, metavar="K", help="K-fold cross-validation instead")
    protocol.add_argument(
        "--folds", action="store_true", help="the published folds u1 to u5 instead (ml-100k)"
    )

    predict = add_command(
        commands.predict,
        "MODEL (--user ID --item ID ... | --pairs FILE)",
        PREDICT,
        ["model.npz --user 1 --item 50 172", "model.npz --pairs pairs.csv > predictions.csv"],
    )
    predict.add_argument("--user", metavar="ID", help="user id")
    predict.add_argument("--item", metavar="ID", nargs="+", help="one or more item ids")
    predict.add_argument(
        "--pairs",
        metavar="FILE",
        help="CSV file with a user and an item id in each line; more columns, and a header that "
        "names the columns (user, item), are allowed",
    )

    recommend = add_command(
        commands.recommend,
        "MODEL --user ID [ID ...] [options]",
        RECOMMEND,
        ["model.npz --user 1", "model.npz --user 1 2 3 -n 5 --json"],
    )
    recommend.add_argument(
        "--user", metavar="ID", nargs="+", required=True, help="one or more user ids"
    )
    recommend.add_argument(
        "-n", type=COUNT, default=10, metavar="N", help="items per user (default 10)"
    )
    recommend.add_argument(
        "--include-seen", action="store_true", help="also list items that the user has rated"
    )

    gradcheck = add_command(
        commands.gradcheck,
        "[FILE.py:FUNCTION --theta FILE.npy] [options]",
        GRADCHECK,
        ["", "loss.py:loss --theta theta.npy --block bias=6:9"],
    )
    gradcheck.add_argument(
        "function",
        nargs="?",
        metavar="FILE.py:FUNCTION",
        help="a function of theta that returns (value, gradient)",
    )
    gradcheck.add_argument("--theta", metavar="FILE.npy", help="the point, from numpy.save")
    gradcheck.add_argument(
        "--block",
        type=_block,
        action="append",
        metavar="NAME=START:STOP",
        help="a part of flat theta to judge by itself; may be repeated",
    )
    gradcheck.add_argument(
        "--method",
        choices=["central", "complex", "forward"],
        default="central",
        help="differences or the complex step (default central)",
    )

    for command in (predict, recommend):
        command.add_argument("model", metavar="MODEL", help="file that train --save wrote")
    for command in (train, evaluate):
        command.add_argument(
            "data",
            metavar="DATA",
            help="a MovieLens name such as ml-100k (see fetch), or a file of ratings",
        )
        command.add_argument(
            "--test-size",
            type=SHARE,
            default=0.1,
            metavar="SHARE",
            help="share of the ratings held out for testing (default 0.1)",
        )
        _add_reading(command)
        _add_model(command)
    for command in (demo, train, evaluate, gradcheck):
        command.add_argument(
            "--seed",
            type=SEED,
            default=0,
            metavar="N",
            help="seed of everything random (default 0)",
        )
    for command in (fetch, train, evaluate):
        command.add_argument(
            "--data-home",
            metavar="FOLDER",
            help="where the MovieLens archives are or go to (default $AUTOREC_NP_DATA, then the "
            "per-user cache)",
        )
    for command in (demo, train, evaluate, recommend, gradcheck):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    for command in group.choices.values():
        add = command.add_argument
        add("-q", "--quiet", action="store_true", help="no progress and no warnings")
        # "verbose" is a parameter of AutoRec
        add("-v", "--verbose", dest="verbosity", action="store_true", help="say more")
    return parser


def _block(text: str) -> tuple[str, slice]:
    name, _, ends = text.partition("=")
    start, _, stop = ends.partition(":")
    if not (name and start.isdecimal() and stop.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected NAME=START:STOP, as in bias=6:9, got {text!r}")
    return name, slice(int(start), int(stop))


def _add_reading(command: Parser) -> None:
    add = command.add_argument_group(
        "reading", "What a ratings file holds is found out; these options say it instead."
    ).add_argument
    add("--sep", type=_separator, help="separator: any string, tab, or whitespace", metavar="SEP")
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
        "model", "The parameters of autorec_np.AutoRec, whose documentation says more."
    )

    def add(flag: str, help: str, parameter: str = "", **options: Any) -> None:
        name = parameter or flag[2:].replace("-", "_")
        group.add_argument(flag, dest=name, default=argparse.SUPPRESS, help=help, **options)

    add(
        "--orientation",
        "what a row is: an item (I-AutoRec, the default) or a user (U-AutoRec)",
        choices=["item", "user"],
    )
    add(
        "--hidden",
        "width of each hidden layer (default 500)",
        "hidden_layer_sizes",
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
        "max_iter",
        type=COUNT,
        metavar="N",
    )
    add("--batch-size", "rows (default 256)", type=COUNT, metavar="N")
    add(
        "--learning-rate",
        "the highest learning rate (default: by solver)",
        "learning_rate_init",
        type=float,
        metavar="X",
    )
    add("--schedule", "(default cosine)", "learning_rate", choices=list(SCHEDULES))
    add("--tol", "to end early (default 1e-4)", type=float, metavar="X")
    add(
        "--early-stopping",
        "hold out validation ratings of the training part; keep the best weights",
        action="store_true",
    )
    add("--dtype", "(default float32)", choices=["float32", "float64"])
    add("--n-jobs", "threads (default: all cores)", type=COUNT, metavar="N")


# Types of arguments


def _parser_of(wanted: str, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return `convert` with the error message that argparse shows."""

    def parse(text: str) -> Any:
        try:
            return convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}") from None

    return parse


def _at_least(minimum: int) -> Callable[[str], Any]:
    def convert(text: str) -> int:
        if int(text) < minimum:
            raise ValueError
        return int(text)

    return _parser_of(f"an integer of at least {minimum}", convert)


def _share(text: str) -> float:
    if not 0 <= float(text) < 1:
        raise ValueError
    return float(text)


def _regularization(text: str) -> str | float | dict[str, float]:
    if "=" not in text:
        return text if text == "auto" else float(text)
    pairs = [part.partition("=") for part in text.split(",")]
    return {name.strip(): float(value) for name, _, value in pairs}


COUNT, SEED = _at_least(1), _at_least(0)
SHARE = _parser_of("a number from 0 to below 1", _share)
REGULARIZATION = _parser_of("auto, a number, or NAME=NUMBER,...", _regularization)
COLD = _parser_of(
    "baseline, raise or a number",
    lambda text: text if text in ("baseline", "raise") else float(text),
)


def _separator(text: str) -> str:
    return {"tab": "\t", "\\t": "\t"}.get(text, text)


def _columns(text: str) -> list[str] | list[int]:
    names = [name.strip() for name in text.split(",")]
    return [int(name) for name in names] if all(map(str.isdecimal, names)) else names
