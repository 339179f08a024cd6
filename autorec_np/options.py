"""The arguments of every command of ``autorec-np``, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias

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


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

DATA_HELP = "a MovieLens name such as ml-100k (see fetch), or a file of ratings"

OVERVIEW = """\
AutoRec: rating prediction and recommendations with an autoencoder, in NumPy.

commands:
  demo        train on made-up ratings, check the gradient, recommend
  fetch       find or download a MovieLens data set
  train       train on a data set or a file, report errors, save the model
  evaluate    the same over random splits or folds, with confidence intervals
  predict     predict ratings of (user, item) pairs with a saved model
  recommend   list the best items that a user has not rated
  gradcheck   check the hand-derived gradients against numeric derivatives
"""

OVERVIEW_END = """\
examples:
  autorec-np demo
  autorec-np train ml-100k --save model.npz
  autorec-np recommend model.npz --user 1
  autorec-np train --help

exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted
"""

DEMO = """\
Make ratings from a known model, train a small AutoRec on 90 % of them, and
show its errors on the rest beside two baselines and the best that any model
can reach; check the gradient it was trained with; recommend. Needs no network
and ends in seconds.
"""

FETCH = """\
Find a MovieLens data set in --data-home or $AUTOREC_NP_DATA or the per-user
cache, download it if it is in none of them, and say what it holds.
"""

TRAIN = """\
Train an AutoRec and report RMSE and MAE on held-out ratings, beside the global
mean and the user and item biases.

--save stores the model that was measured: trained on the training part, with
its ratings and, where the data set has them, titles. For the model to use, run
again with --test-size 0, which trains on all ratings and reports no errors.
"""

EVALUATE = """\
Train and measure an AutoRec and two baselines on the same splits, and report
mean errors with 95 % confidence intervals. By default as in the AutoRec paper:
five random splits of the ratings into 90 % for training and 10 % for testing.
"""

PREDICT = """\
Predict ratings with a saved model. Writes CSV: user, item, prediction, cold
(1 where the user or the item has no training rating, so that the bias baseline
answers; 0 elsewhere).
"""

RECOMMEND = """\
List the items with the highest predicted ratings that a user has not rated.
SOURCE is a saved model; or a data set or a ratings file, on all of which a
model is then trained (the options of train apply). Scores are not clipped to
the rating scale, so they can exceed it.
"""

GRADCHECK = """\
Check the gradient of the training objective against central differences, for
networks of every pair of activations with one and three hidden layers, tied
and untied weights, with and without dropout. Exits with 1 unless all pass.
"""


def make_parser() -> Parser:
    """Return the parser; the parsed arguments hold the command's function as ``run``."""
    parser = Parser(
        prog="autorec-np", description=OVERVIEW, epilog=OVERVIEW_END, usage="autorec-np COMMAND ..."
    )
    parser.add_argument("--version", action="version", version=f"autorec-np {__version__}")
    group: Commands = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
        prog="autorec-np",
        help=argparse.SUPPRESS,
    )
    _define_demo(group)
    _define_fetch(group)
    _define_train(group)
    _define_evaluate(group)
    _define_predict(group)
    _define_recommend(group)
    _define_gradcheck(group)
    return parser


def _add_command(
    group: Commands, run: Callable[..., int], usage: str, text: str, examples: Sequence[str]
) -> Parser:
    name = run.__name__
    lines = [f"  autorec-np {name} {example}".rstrip() for example in examples]
    command = group.add_parser(
        name,
        usage=f"autorec-np {name} {usage}",
        description=text,
        epilog="\n".join(["examples:", *lines]),
    )
    command.set_defaults(run=run)
    return command


def _define_demo(group: Commands) -> None:
    command = _add_command(group, commands.demo, "[options]", DEMO, ["", "--json"])
    _add_seed(command)
    _add_output(command, json=True, trains=True)


def _define_fetch(group: Commands) -> None:
    command = _add_command(
        group, commands.fetch, "NAME [options]", FETCH, ["ml-100k", "ml-1m --data-home data"]
    )
    command.add_argument(
        "name", metavar="NAME", choices=MOVIELENS_NAMES, help=", ".join(MOVIELENS_NAMES)
    )
    _add_data_home(command)
    _add_output(command)


def _define_train(group: Commands) -> None:
    command = _add_command(
        group,
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
    command.add_argument("data", metavar="DATA", help=DATA_HELP)
    command.add_argument(
        "--test-size",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="share of the ratings held out for the report; 0 trains on all of them and reports "
        "no errors (default 0.1)",
    )
    command.add_argument("--save", metavar="FILE", help="write the trained model to FILE (.npz)")
    _add_seed(command)
    _add_reading(command)
    _add_model(command)
    _add_output(command, json=True, trains=True)


def _define_evaluate(group: Commands) -> None:
    command = _add_command(
        group,
        commands.evaluate,
        "DATA [options]",
        EVALUATE,
        ["ml-100k", "ml-100k --folds", "ratings.csv --cv 5 --epochs 20", "ml-1m --repeats 3"],
    )
    command.add_argument("data", metavar="DATA", help=DATA_HELP)
    protocol = command.add_mutually_exclusive_group()
    protocol.add_argument(
        "--repeats", type=_count, default=5, metavar="N", help="random splits (default 5)"
    )
    protocol.add_argument("--cv", type=_count, metavar="K", help="K-fold cross-validation instead")
    protocol.add_argument(
        "--folds", action="store_true", help="the published folds u1 to u5 instead (ml-100k)"
    )
    command.add_argument(
        "--test-size",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="share of the ratings held out in each random split (default 0.1)",
    )
    _add_seed(command)
    _add_reading(command)
    _add_model(command)
    _add_output(command, json=True, trains=True)


def _define_predict(group: Commands) -> None:
    command = _add_command(
        group,
        commands.predict,
        "MODEL (--user ID --item ID ... | --pairs FILE)",
        PREDICT,
        [
            "model.npz --user 1 --item 50",
            "model.npz --user 1 --item 50 172 181",
            "model.npz --pairs pairs.csv > predictions.csv",
        ],
    )
    command.add_argument("model", metavar="MODEL", help="file that train --save wrote")
    command.add_argument("--user", metavar="ID", help="user id")
    command.add_argument("--item", metavar="ID", nargs="+", help="one or more item ids")
    command.add_argument(
        "--pairs",
        metavar="FILE",
        help="text file with a user and an item id in each line; more columns, and a header that "
        "names the columns (user, item), are allowed; - is stdin",
    )
    command.add_argument(
        "--sep", type=_separator, metavar="SEP", help="what separates the columns of --pairs"
    )
    _add_output(command)


def _define_recommend(group: Commands) -> None:
    command = _add_command(
        group,
        commands.recommend,
        "SOURCE --user ID [ID ...] [options]",
        RECOMMEND,
        [
            "model.npz --user 1",
            "model.npz --user 1 2 3 -n 5 --json",
            "ml-100k --user 196 --epochs 20",
        ],
    )
    command.add_argument("data", metavar="SOURCE", help=f"a saved model, {DATA_HELP}")
    command.add_argument(
        "--user", metavar="ID", nargs="+", required=True, help="one or more user ids"
    )
    command.add_argument(
        "-n", type=_count, default=10, metavar="N", help="items per user (default 10)"
    )
    command.add_argument(
        "--include-seen", action="store_true", help="also list items that the user has rated"
    )
    command.add_argument(
        "--titles",
        metavar="NAME_OR_FILE",
        help="take titles from this MovieLens data set, or from a CSV file of item id and title "
        "(default: those that train --save stored)",
    )
    _add_seed(command)
    _add_reading(command)
    _add_model(command)
    _add_output(command, json=True, trains=True)


def _define_gradcheck(group: Commands) -> None:
    command = _add_command(group, commands.gradcheck, "[options]", GRADCHECK, ["", "--thorough"])
    command.add_argument(
        "--thorough",
        action="store_true",
        help="four directions and twelve single entries of every block, not one direction",
    )
    _add_seed(command)
    _add_output(command, json=True)


def _add_output(command: Parser, json: bool = False, trains: bool = False) -> None:
    group = command.add_argument_group("output")
    if json:
        group.add_argument("--json", action="store_true", help="print one JSON object")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress and no warnings")
    group.add_argument(
        "-v",
        "--verbose",
        dest="verbosity",  # "verbose" is a parameter of AutoRec
        action="store_true",
        help="say more" + (", also one line for each epoch on a terminal" if trains else ""),
    )


def _add_seed(command: Parser) -> None:
    command.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="of everything random (default 0)"
    )


def _add_data_home(command: argparse._ActionsContainer) -> None:
    command.add_argument(
        "--data-home",
        metavar="FOLDER",
        help="where the MovieLens archives are or go to (default $AUTOREC_NP_DATA, then the "
        "per-user cache)",
    )


def _add_reading(command: Parser) -> None:
    group = command.add_argument_group(
        "reading", "What a ratings file holds is found out; these options say it instead."
    )
    _add_data_home(group)
    group.add_argument(
        "--sep", type=_separator, help="separator: any string, tab, or whitespace", metavar="SEP"
    )
    group.add_argument(
        "--columns",
        type=_columns,
        metavar="U,I,R",
        help="columns of user, item, rating and optionally timestamp: names, or numbers from 0",
    )
    group.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first line names the columns",
    )
    group.add_argument(
        "--scale", type=float, nargs=2, metavar=("LOW", "HIGH"), help="the rating scale"
    )
    group.add_argument(
        "--duplicates",
        choices=["raise", "first", "last", "mean"],
        help="which rating of a repeated pair counts (default: raise an error)",
    )
    group.add_argument("--encoding", help="of the text (default utf-8)")


def _add_model(command: Parser) -> None:
    """Add the parameters of AutoRec; what is not given is left to its defaults."""
    group = command.add_argument_group(
        "model", "The parameters of autorec_np.AutoRec, whose documentation says more."
    )

    def add(flag: str, name: str, **options: Any) -> None:
        group.add_argument(flag, dest=name, default=argparse.SUPPRESS, **options)

    activations = list(ACTIVATIONS)
    add(
        "--orientation",
        "orientation",
        choices=["item", "user"],
        help="what a row is: an item (I-AutoRec, the default) or a user (U-AutoRec)",
    )
    add(
        "--hidden",
        "hidden_layer_sizes",
        type=_sizes,
        metavar="N[,N...]",
        help="width of each hidden layer (default 500)",
    )
    add("--activation", "activation", choices=activations, help="hidden (default sigmoid)")
    add(
        "--output-activation",
        "output_activation",
        choices=activations,
        help="output (default identity)",
    )
    add(
        "--regularization",
        "regularization",
        type=_regularization,
        metavar="LAMBDA",
        help="auto (default), a number, or one for each block: "
        "encoder.weight=1000,decoder.weight=200",
    )
    add("--tied", "tied", action="store_true", help="one weight matrix for both layers")
    add("--dropout", "dropout", type=float, metavar="P", help="of hidden units (default 0)")
    add(
        "--corruption",
        "corruption",
        type=float,
        metavar="P",
        help="share of the input ratings set to 0 in training (default 0.1; 0 for full batches)",
    )
    add(
        "--baseline",
        "baseline",
        type=_baseline,
        metavar="KIND",
        help="what the network corrects: auto (default), bias, mean or none",
    )
    add(
        "--cold",
        "cold",
        type=_cold,
        metavar="RULE",
        help="prediction for users and items without training ratings: baseline (default), "
        "a number, or raise",
    )
    add("--solver", "solver", choices=list(SOLVERS), help="(default adam)")
    add(
        "--epochs",
        "max_iter",
        type=_count,
        metavar="N",
        help="epochs or iterations (max_iter), at most",
    )
    add("--batch-size", "batch_size", type=_count, metavar="N", help="rows (default 256)")
    add(
        "--learning-rate",
        "learning_rate_init",
        type=float,
        metavar="X",
        help="the highest learning rate (default: by solver)",
    )
    add("--schedule", "learning_rate", choices=list(SCHEDULES), help="(default cosine)")
    add("--tol", "tol", type=float, metavar="X", help="to end early (default 1e-4)")
    add(
        "--early-stopping",
        "early_stopping",
        action="store_true",
        help="hold out validation ratings of the training part; keep the best weights",
    )
    add("--dtype", "dtype", choices=["float32", "float64"], help="(default float32)")
    add("--n-jobs", "n_jobs", type=_count, metavar="N", help="threads (default: all cores)")


# Types of arguments: argparse shows the message of an ArgumentTypeError


def _count(text: str) -> int:
    return _integer(text, 1)


def _seed(text: str) -> int:
    return _integer(text, 0)


def _integer(text: str, minimum: int) -> int:
    if not text.strip().isdecimal() or int(text) < minimum:
        raise argparse.ArgumentTypeError(f"must be an integer of at least {minimum}, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number from 0 to below 1, got {text!r}")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(_count(part) for part in text.split(","))


def _separator(text: str) -> str:
    return {"tab": "\t", "\\t": "\t"}.get(text, text)


def _columns(text: str) -> list[str] | list[int]:
    names = [name.strip() for name in text.split(",")]
    return [int(name) for name in names] if all(map(str.isdecimal, names)) else names


def _baseline(text: str) -> str | None:
    if text not in ("auto", "bias", "mean", "none"):
        raise argparse.ArgumentTypeError(f"must be auto, bias, mean or none, got {text!r}")
    return None if text == "none" else text


def _cold(text: str) -> str | float:
    return text if text in ("baseline", "raise") else _number(text, "baseline, raise or a number")


def _regularization(text: str) -> str | float | dict[str, float]:
    wanted = "auto, a number, or NAME=NUMBER,..."
    if text == "auto":
        return text
    if "=" not in text:
        return _number(text, wanted)
    pairs = [part.partition("=") for part in text.split(",")]
    return {name.strip(): _number(value, wanted) for name, _, value in pairs}


def _number(text: str, wanted: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}") from None
