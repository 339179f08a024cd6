"""What commands share: their parser, options, and what they write."""

from __future__ import annotations

import argparse
import glob
import inspect
import json
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from autorec_np import __version__, core, data, evaluation, models, sources, training
from autorec_np._text import closest, did_you_mean, duration, indented, plain, table

if TYPE_CHECKING:
    from autorec_np.data import Ratings
    from autorec_np.models import Recommender

LINE_WIDTH = 79
CLEAR = f"\r{' ' * LINE_WIDTH}\r"


class UsageError(Exception):
    """Arguments that do not fit together."""


class Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            alike = self._did_you_mean(unknown[0].partition("=")[0])
            if getattr(parsed, "lists", False) and unknown[0].isdecimal():
                alike = "; did you mean '--implicit-units'?"
            self.error(f"unrecognized arguments: {' '.join(unknown)}{alike}")
        return parsed, unknown

    def _did_you_mean(self, flag: str) -> str:
        options = {name.lstrip("-"): name for name in self._option_string_actions}
        word = flag.lstrip("-")
        action = self._by_parameter().get(word.replace("-", "_"))
        meant = HABITS.get(flag) if action is None else action.option_strings[-1]
        if meant not in options.values():
            meant = options.get(closest(word, options) or "")
        return f"; did you mean {meant!r}?" if meant else ""

    def _by_parameter(self) -> dict[str, argparse.Action]:
        return {action.dest: action for action in self._actions if action.option_strings}

    def in_options(self, message: str) -> str:
        """Add the options that a message means."""
        named = dict.fromkeys(re.findall(r"\b([a-z]\w*)=|\b([a-z]+(?:_[a-z]+)+)\b", message))
        by_parameter = self._by_parameter()
        actions = filter(None, map(by_parameter.get, map("".join, named)))
        forms = ", ".join(dict.fromkeys(map(_form, actions)))
        return f"{message.removesuffix('.')}. On the command line: {forms}." if forms else message

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = ", ".join(map(repr, action.choices))
            alike = did_you_mean(str(value), map(str, action.choices))
            raise argparse.ArgumentError(
                action, f"invalid choice: {value!r} (choose from {choices}){alike}"
            )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


# of other tools
HABITS = {
    "--factors": "--hidden",
    "--n-factors": "--hidden",
    "--iterations": "--epochs",
    "--n-epochs": "--epochs",
    "--lr": "--learning-rate",
    "--reg": "--regularization",
    "--random-state": "--seed",
    "--output": "--save",
    "--threads": "--n-jobs",
    "--top-n": "-n",
}


def _form(action: argparse.Action) -> str:
    if isinstance(action, argparse.BooleanOptionalAction):
        return "/".join(action.option_strings)
    if action.nargs == 0:
        return action.option_strings[0]
    value = action.metavar or (action.choices and f"{{{','.join(map(str, action.choices))}}}")
    shown = " ".join(value) if isinstance(value, tuple) else value or action.dest.upper()
    return f"{action.option_strings[-1]} {shown}"


@dataclass(frozen=True)
class Command:
    """`run` returns the exit code."""

    usage: str
    summary: str
    description: str
    examples: tuple[str, ...]
    add_arguments: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], int]


def epilog(examples: tuple[str, ...]) -> str:
    return "\n  ".join(["examples:", *examples]) + "\n"


def default_of(function: Callable[..., Any], parameter: str) -> Any:
    return inspect.signature(function).parameters[parameter].default


def add_data(command: Parser) -> None:
    data = command.add_argument(
        "data",
        help="a MovieLens name such as ml-100k, a file, a folder that store wrote, or - for "
        "standard input",
        metavar="DATA",
    )
    data.completer = lambda prefix, **_: [  # type: ignore[attr-defined]
        *sources.MOVIELENS_NAMES,
        *glob.glob(f"{glob.escape(prefix)}*"),
    ]


def add_saved_model(command: Parser) -> None:
    command.add_argument("model", help="file that train --save wrote", metavar="MODEL")


def add_save(command: Parser) -> None:
    command.add_argument("--save", help="write the trained model to FILE (.npz)", metavar="FILE")


def add_seed(command: Parser) -> None:
    command.add_argument(
        "--seed",
        help="seed of everything random (default %(default)s)",
        type=SEED,
        default=0,
        metavar="N",
    )


def add_jobs(
    command: Parser, what: str = "trainings at a time, each in a process of --n-jobs threads or one"
) -> None:
    command.add_argument(
        "--jobs",
        help=f"{what} (default: one)",
        type=COUNT,
        default=1,
        metavar="N",
    )


def add_fit_options(command: Parser) -> None:
    command.add_argument(
        "--test-size",
        help="share of the ratings held out for testing (default %(default)s)",
        type=SHARE,
        default=default_of(data.train_test_split, "test_size"),
        metavar="SHARE",
    )
    add_seed(command)
    add_data_home(command)
    add_output(command)
    add_reading(command)
    add_model(command)


def add_data_home(command: Parser) -> None:
    command.add_argument(
        "--data-home",
        help="of the MovieLens archives (default $AUTOREC_NP_DATA, then the per-user cache)",
        metavar="FOLDER",
    )


def add_output(command: Parser, as_json: bool = True) -> None:
    if as_json:
        command.add_argument("--json", help="print one JSON object", action="store_true")
    command.add_argument("-q", "--quiet", help="no progress and no warnings", action="store_true")
    # "verbose" is a parameter of AutoRec
    command.add_argument("-v", "--verbose", help="say more", dest="verbosity", action="store_true")


def add_reading(command: Parser) -> None:
    add = command.add_argument_group(
        "reading", "What a ratings file holds is found out, unless these say it."
    ).add_argument
    max_bytes = default_of(sources.read_ratings, "max_bytes")
    add(
        "--sep",
        type=lambda text: {"tab": "\t", r"\t": "\t"}.get(text, text),
        help="separator: any string, tab, or whitespace",
    )
    add(
        "--columns",
        type=_columns,
        metavar="U,I,R",
        help="columns of user, item, rating, perhaps timestamp: names, or numbers from 0; of "
        "lists user and item",
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
    add(
        "--missing",
        type=_checked("numbers, as in -1,99", lambda text: [*map(float, text.split(","))]),
        metavar="X[,X...]",
        help="values that are no ratings, as in --missing=-1,99",
    )
    add(
        "--decimal",
        type=_checked(". or ,", str, lambda value: value in (".", ",")),
        metavar="MARK",
        help=f"a point or a comma (default {default_of(sources.read_ratings, 'decimal')})",
    )
    add("--comment", metavar="TEXT", help="how lines begin that are no ratings, such as #")
    add("--skip-lines", type=SEED, metavar="N", help="lines to leave out at the start")
    add(
        "--quoting",
        action=argparse.BooleanOptionalAction,
        help="whether fields may be in quotes",
    )
    add("--encoding", help=f"(default {default_of(sources.read_ratings, 'encoding')})")
    add("--member", help="the file to read in an archive of several", metavar="NAME")
    add(
        "--max-bytes",
        type=BYTES,
        metavar="N",
        help=f"the most that are unpacked, with K, M or G (default {max_bytes >> 30}G)",
    )


def add_model(command: Parser) -> None:
    group = command.add_argument_group(
        "model", "The parameters of autorec_np.AutoRec.", argument_default=argparse.SUPPRESS
    )

    add = adder(group, models.AutoRec)
    _add_network(add)
    _add_training(add)


def adder(group: Any, kind: Callable[..., Any]) -> Callable[..., None]:
    """Return what adds options of a model to a group, with its defaults."""

    def add(flag: str, help: str, **options: Any) -> None:
        parameter = options.get("dest", flag.lstrip("-").replace("-", "_"))
        default = default_of(kind, parameter)
        group.add_argument(flag, help=help.replace("{default}", _written(default)), **options)

    return add


def _add_network(add: Callable[..., None]) -> None:
    from autorec_np.models.autorec import WIDTHS

    functions = list(core.ACTIVATIONS)
    corruption = training.SOLVERS[default_of(models.AutoRec, "solver")].corruption
    add(
        "--orientation",
        "what a row is: an item (I-AutoRec, the default) or a user (U-AutoRec)",
        choices=["item", "user"],
    )
    add(
        "--hidden",
        f"width of each hidden layer (default {WIDTHS['item'][0]}; {WIDTHS['user'][0]} with "
        "--orientation user)",
        dest="hidden_layer_sizes",
        type=lambda text: tuple(map(COUNT, text.split(","))),
        metavar="N[,N...]",
    )
    add("--activation", "hidden (default {default})", choices=functions)
    add("--output-activation", "output (default {default})", choices=functions)
    add(
        "--regularization",
        "{default} (default), a number, or one for each block: "
        "encoder.weight=1000,decoder.weight=200",
        type=_checked("auto, a number, or NAME=NUMBER,...", _regularization),
        metavar="LAMBDA",
    )
    add("--tied", "one weight matrix for both layers", action="store_true")
    add(
        "--implicit-units",
        "hidden units that are told who rated what: {default} (default) or a number",
        dest="implicit",
        type=_checked("auto or an integer of at least 0", _word_or(SEED, "auto")),
        metavar="N",
    )
    add(
        "--inputs",
        "what the network reads (default {default}); planes: who rated, and ratings minus biases",
        choices=["auto", "ratings", "planes"],
    )
    add("--dropout", "of hidden units (default {default})", type=float, metavar="P")
    add(
        "--corruption",
        f"share of the input ratings set to 0 in training (default {corruption:g}; 0 for full "
        "batches)",
        type=float,
        metavar="P",
    )
    add(
        "--baseline",
        "what the network corrects (default {default})",
        choices=["auto", "bias", "mean", "none"],
    )
    add(
        "--cold",
        "prediction without training ratings: {default} (default), a number, or raise",
        type=_checked("baseline, raise or a number", _word_or(float, "baseline", "raise")),
        metavar="RULE",
    )


def _add_training(add: Callable[..., None]) -> None:
    add("--solver", "(default {default})", choices=list(training.SOLVERS))
    add(
        "--epochs",
        "at most so many, or iterations (default: by solver)",
        dest="max_iter",
        type=COUNT,
        metavar="N",
    )
    add(
        "--batch-size",
        "rows (default: an eighth of all, 64 to 512, of nearly empty ones more)",
        type=COUNT,
        metavar="N",
    )
    add(
        "--learning-rate",
        "the highest learning rate (default: by solver)",
        dest="learning_rate_init",
        type=float,
        metavar="X",
    )
    add(
        "--schedule",
        "(default {default})",
        dest="learning_rate",
        choices=list(core.SCHEDULES),
    )
    add(
        "--warm-up",
        "part of the steps in which cosine climbs (default: by orientation)",
        type=SHARE,
        metavar="SHARE",
    )
    add("--momentum", "of sgd (default {default})", type=SHARE, metavar="X")
    add("--tol", "to end early (default {default})", type=float, metavar="X")
    add(
        "--early-stopping",
        "hold out validation ratings; keep the best weights",
        action="store_true",
    )
    add(
        "--validation-fraction",
        "part of the training ratings held out by that (default {default})",
        type=PART,
        metavar="SHARE",
    )
    add("--dtype", "(default {default})", choices=["float32", "float64"])
    add("--n-jobs", "threads (default: all cores)", type=COUNT, metavar="N")


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_written, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _checked(
    wanted: str, convert: Callable[[str], Any], accept: Callable[[Any], bool] = lambda value: True
) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        with suppress(ValueError):
            if accept(value := convert(text)):
                return value
        raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}")

    return parse


def _regularization(text: str) -> Any:
    if "=" not in text:
        return _word_or(float, "auto")(text)
    pairs = [part.partition("=") for part in text.split(",")]
    return {name.strip(): float(value) for name, _, value in pairs}


def _word_or(convert: Callable[[str], Any], *words: str) -> Callable[[str], Any]:
    return lambda text: text if text in words else convert(text)


def _block(text: str) -> tuple[str, slice]:
    [(name, start, stop)] = re.findall(r"^(.+)=(\d+):(\d+)$", text)
    return name, slice(int(start), int(stop))


def _bytes(text: str) -> int:
    [(number, unit)] = re.findall(r"^(\d+)([KMG]?)B?$", text.upper())
    return int(number) << 10 * " KMG".index(unit or " ")


def _columns(text: str) -> list[str] | list[int]:
    names = [name.strip() for name in text.split(",")]
    return [int(name) for name in names] if all(map(str.isdecimal, names)) else names


BYTES = _checked("a number of bytes, as in 500M", _bytes, lambda value: value >= 1)
COUNT = _checked("an integer of at least 1", int, lambda value: value >= 1)
SEED = _checked("an integer of at least 0", int, lambda value: value >= 0)
SHARE = _checked("a number from 0 to below 1", float, lambda value: 0 <= value < 1)
PART = _checked("a number between 0 and 1", float, lambda value: 0 < value < 1)
BLOCK = _checked("NAME=START:STOP, as in bias=6:9", _block)


def say(args: argparse.Namespace, *lines: str) -> None:
    """Print lines, unless --json."""
    if not args.json:
        print(*lines, sep="\n", flush=True)


def emit(args: argparse.Namespace, **content: Any) -> None:
    """Print one object, if --json."""
    if args.json:
        content = {"command": args.command, "version": __version__, **content}
        print(json.dumps(plain(content), allow_nan=False))


def finish(args: argparse.Namespace, started: float, **content: Any) -> None:
    seconds = time.perf_counter() - started
    say(args, f"Everything in {duration(seconds)}.")
    emit(args, **content, seconds=seconds)


def complain(message: str) -> None:
    """Write one line to stderr, over a progress line."""
    start = CLEAR if sys.stderr.isatty() else ""
    print(f"{start}autorec-np: {' '.join(message.split())}", file=sys.stderr, flush=True)


def error_message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def check_writable(option: str, name: str | None) -> None:
    if name is None:
        return
    path = Path(name)
    if path.is_dir() or not os.access(path.resolve().parent, os.W_OK):
        raise ValueError(f"{option} {path}: name a file in a folder that exists and is writable")


def reading_options(args: argparse.Namespace) -> dict[str, Any]:
    given = {
        key: getattr(args, key, None) for key in inspect.signature(sources.read_ratings).parameters
    }
    return {key: value for key, value in given.items() if value is not None}


def load_data(
    args: argparse.Namespace, pairs: bool = False
) -> tuple[Ratings, dict[int, str], dict[str, tuple[Ratings, Ratings]]]:
    """Return ratings, or perhaps `pairs`, titles and folds."""
    name, names = args.data, sources.MOVIELENS_NAMES
    reading = reading_options(args)
    is_store = name not in names and os.path.isdir(name)
    if reading and (name in names or is_store):
        kind = "folder of stored ratings" if is_store else "data set"
        option = next(iter(reading)).replace("_", "-")
        raise UsageError(f"{name} is a {kind}: --{option} is for files")
    if is_store:
        return data.Ratings.open(name), {}, {}
    if name in names:
        found = sources.fetch_movielens(name, args.data_home, progress=not args.quiet)
        return found.ratings, found.titles, found.folds
    if name != "-" and not os.path.exists(name):
        raise FileNotFoundError(
            f"{name!r} is neither a file nor a MovieLens name ({', '.join(names)})"
            f"{did_you_mean(name, names)}"
        )
    read = sources.read_interactions if pairs else sources.read_ratings
    return read(name, **reading), {}, {}


def held_out(args: argparse.Namespace, model: Recommender, ratings: Ratings) -> Ratings:
    """Return what `model` was not trained on; ValueError where it has seen all."""
    new = evaluation.not_trained_on(model, ratings)
    if not new.any():
        raise ValueError(
            f"the model was trained on all pairs of {args.data}: none is held out; name other "
            f"ratings"
        )
    return ratings.select(new)


def list_best(
    args: argparse.Namespace,
    model: Recommender,
    users: list[Any],
    n: int,
    exclude_seen: bool = True,
    titles: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return what --json tells."""
    lists: list[dict[str, Any]] = []
    is_list = isinstance(model, models.RankingAutoRec)
    for user, ids, scores in zip(users, *model.recommend(users, n, exclude_seen), strict=True):
        found, rows = [], []
        for item, score in zip(ids, scores, strict=True):
            if item is not None:
                title = (titles or {}).get(str(item))
                found.append({"item": item, "score": score, "title": title})
                shown = f"{score:.{4 if is_list else 2}f}"
                rows.append([str(len(found)), shown, str(item), title or ""])
        if lists:
            say(args, "")
        say(args, f"{len(found)} recommended for user {user}", "")
        say(args, indented(table(["", "score", "item", ""], rows, left=(3,))))
        lists.append({"user": user, "items": found})
    return lists
