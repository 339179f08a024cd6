"""The commands fetch, predict, recommend, report, gradcheck and lesson, which train nothing."""

from __future__ import annotations

import contextlib
import csv
import inspect
import io
import math
import os
import runpy
import sys
import textwrap
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from autorec_np import evaluation, gradcheck, models, reports, serving, sources
from autorec_np._files import replacing
from autorec_np._text import did_you_mean, indented, table
from autorec_np.cli.options import (
    BLOCK,
    COUNT,
    PART,
    Command,
    Parser,
    UsageError,
    add_data_home,
    add_output,
    add_reading,
    add_saved_model,
    add_seed,
    default_of,
    emit,
    finish,
    say,
)

if TYPE_CHECKING:
    from autorec_np._types import Array
    from autorec_np.data import Ratings
    from autorec_np.gradcheck import GradientReport
    from autorec_np.models import Recommender
    from autorec_np.reports import Case

Titles: TypeAlias = "dict[int, str]"
Folds: TypeAlias = "dict[str, tuple[Ratings, Ratings]]"

STANDARD_INPUT = "-"


def fetch(args: Namespace) -> int:
    found = sources.fetch_movielens(args.name, args.data_home, progress=not args.quiet)
    folds = f", folds {', '.join(found.folds)}" if found.folds else ""
    ratings = reports.describe_ratings(found.ratings)
    print(f"{found.name}  {ratings}\n{len(found.titles):,} titles{folds}")
    print(f"from {found.source}\n\nWhere you use it, cite:")
    print(indented(textwrap.fill(found.citation, 76)))
    return 0


def _add_fetch(command: Parser) -> None:
    names = sources.MOVIELENS_NAMES
    command.add_argument("name", help=", ".join(names), metavar="NAME", choices=names)
    add_data_home(command)
    add_output(command, as_json=False)


FETCH = Command(
    usage="NAME [options]",
    summary="find or download a MovieLens data set",
    description="""\
Downloads it unless --data-home, $AUTOREC_NP_DATA or the per-user cache has it.
""",
    examples=("autorec-np fetch ml-1m --data-home data",),
    add_arguments=_add_fetch,
    run=fetch,
)


def load_data(args: Namespace) -> tuple[Ratings, Titles, Folds]:
    name, names = args.data, sources.MOVIELENS_NAMES
    parameters = inspect.signature(sources.read_ratings).parameters
    given = vars(args).items()
    reading = {key: value for key, value in given if key in parameters and value is not None}
    if name in names:
        if reading:
            option = next(iter(reading)).replace("_", "-")
            raise UsageError(f"{name} is a data set: --{option} is for files")
        found = sources.fetch_movielens(name, args.data_home, progress=not args.quiet)
        return found.ratings, found.titles, found.folds
    if name != STANDARD_INPUT and not os.path.exists(name):
        raise FileNotFoundError(
            f"{name!r} is neither a file nor a MovieLens name ({', '.join(names)})"
            f"{did_you_mean(name, names)}"
        )
    return sources.read_ratings(name, **reading), {}, {}


def parse_id(text: str, known: Array, what: str) -> Any:
    if known.dtype.kind == "O":
        return text
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{what} ids of this model are integers, got {text!r}") from None


def _lines(path: str) -> contextlib.AbstractContextManager[TextIO]:
    if path != STANDARD_INPUT:
        return open(path, encoding="utf-8-sig", newline="")
    buffer = getattr(sys.stdin, "buffer", None)  # none where a stream of text stands in for it
    stream = sys.stdin if buffer is None else io.TextIOWrapper(buffer, "utf-8-sig", newline="")
    return contextlib.nullcontext(stream)


def read_pairs(path: str) -> list[tuple[str, str, str]]:
    """Return (place, user, item) for every line of a CSV file."""
    with _lines(path) as stream:
        lines = csv.reader(stream)
        try:
            records = [(lines.line_num, fields) for fields in lines if fields]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is not UTF-8 text in CSV form: {error}") from None
    try:
        has_header, user, item = sources.find_pairs([fields for _, fields in records])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    pairs = []
    for line, fields in records[has_header:]:
        place = f"{path}, line {line}: "
        if len(fields) <= max(user, item):
            raise ValueError(f"{place}needs a user and an item, got {fields}")
        pairs.append((place, fields[user], fields[item]))
    if not pairs:
        raise ValueError(f"{path} holds no pairs; write a user id and an item id in each line")
    return pairs


def check_writable(option: str, name: str | None) -> None:
    if name is None:
        return
    path = Path(name)
    if path.is_dir() or not os.access(path.resolve().parent, os.W_OK):
        raise ValueError(f"{option} {path}: name a file in a folder that exists and is writable")


def predict(args: Namespace) -> int:
    given = [value is not None for value in (args.user, args.item, args.pairs)]
    if given not in ([True, True, False], [False, False, True]):
        raise UsageError("predict needs either --user and --item, or --pairs")
    model = serving.load_model(args.model)
    pairs = read_pairs(args.pairs) if args.pairs else [("", args.user, one) for one in args.item]
    known = model.ratings_
    users = [parse_id(user, known.user_ids, f"{place}the user") for place, user, _ in pairs]
    items = [parse_id(item, known.item_ids, f"{place}the item") for place, _, item in pairs]
    found: Any = model.predict(users, items, interval=args.interval)
    columns = (found,) if args.interval is None else found
    names = ("prediction", "low", "high")[: len(columns)]
    cold = model.cold_pairs(users, items).astype(int)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["user", "item", *names, "cold"])
    for user, item, is_cold, *values in zip(users, items, cold, *columns, strict=True):
        writer.writerow([user, item, *(f"{value:.4f}" for value in values), is_cold])
    return 0


def _add_predict(command: Parser) -> None:
    add_saved_model(command)
    command.add_argument("--user", help="user id", metavar="ID")
    command.add_argument("--item", help="one or more item ids", metavar="ID", nargs="+")
    command.add_argument(
        "--pairs",
        help="CSV file with a user and an item id in each line, - for standard input; its header "
        "may name them",
        metavar="FILE",
    )
    command.add_argument(
        "--interval",
        help="also print an interval that holds this part of such ratings; may fit once more",
        type=float,
        metavar="PART",
    )
    add_output(command, as_json=False)


PREDICT = Command(
    usage="MODEL (--user ID --item ID ... | --pairs FILE)",
    summary="predict ratings of (user, item) pairs with a saved model",
    description="""\
Writes CSV: user, item, prediction, with --interval low and high, and cold (1
where the user or the item has no training rating, 0 elsewhere).
""",
    examples=(
        "autorec-np predict model.npz --user 1 --item 50 172 --interval 0.8",
        "autorec-np predict model.npz --pairs pairs.csv > predictions.csv",
    ),
    add_arguments=_add_predict,
    run=predict,
)


def recommend(args: Namespace) -> int:
    model = serving.load_model(args.model)
    titles = serving.read_metadata(args.model).get("titles", {})
    users = [parse_id(user, model.ratings_.user_ids, "the user") for user in args.user]
    emit(args, users=list_best(args, model, users, args.n, not args.include_seen, titles))
    return 0


def list_best(
    args: Namespace,
    model: Recommender,
    users: list[Any],
    n: int,
    exclude_seen: bool = True,
    titles: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return what --json tells."""
    lists: list[dict[str, Any]] = []
    for user, ids, scores in zip(users, *model.recommend(users, n, exclude_seen), strict=True):
        found, rows = [], []
        for item, score in zip(ids, scores, strict=True):
            if item is not None:
                title = (titles or {}).get(str(item))
                found.append({"item": item, "score": score, "title": title})
                rows.append([str(len(found)), f"{score:.2f}", str(item), title or ""])
        if lists:
            say(args, "")
        say(args, f"{len(found)} recommended for user {user}", "")
        say(args, indented(table(["", "score", "item", ""], rows, left=(3,))))
        lists.append({"user": user, "items": found})
    return lists


def _add_recommend(command: Parser) -> None:
    add_saved_model(command)
    command.add_argument(
        "--user", help="one or more user ids", metavar="ID", nargs="+", required=True
    )
    command.add_argument(
        "-n",
        help="items per user (default %(default)s)",
        type=COUNT,
        default=default_of(models.Recommender.recommend, "n"),
        metavar="N",
    )
    command.add_argument(
        "--include-seen", help="also list items that the user has rated", action="store_true"
    )
    add_output(command)


RECOMMEND = Command(
    usage="MODEL --user ID [ID ...] [options]",
    summary="list the best items that a user has not rated, from a saved model",
    description="""\
With the titles of the data set. Scores can exceed the rating scale.
""",
    examples=("autorec-np recommend model.npz --user 1 2 3 -n 5 --json",),
    add_arguments=_add_recommend,
    run=recommend,
)


def report(args: Namespace) -> int:
    path = Path(args.output)
    check_writable("--output", args.output)
    model = serving.load_model(args.model, models.AutoRec)
    metadata = serving.read_metadata(args.model)
    titles, test = metadata.get("titles") or {}, None
    if args.data is not None:
        ratings, others, _ = load_data(args)
        titles = {str(item): title for item, title in others.items()} | titles
        new = evaluation.not_trained_on(model, ratings)
        if not new.any():
            raise ValueError(
                f"the model was trained on all pairs of {args.data}: none is held out; name other "
                f"ratings"
            )
        test = ratings.select(new)
        print(f"test    {len(test):,} held-out ratings of {args.data}")
        if len(test) < len(ratings):
            print(f"        without {len(ratings) - len(test):,} that the model was trained on")
    ids = model.ratings_.item_ids.tolist()
    known = {item: titles[str(item)] for item in ids if str(item) in titles}
    name = str(metadata.get("dataset", ""))
    try:
        page = reports.html_report(model, test, titles=known, name=name)
    except ImportError as error:
        raise ValueError(str(error)) from error
    with replacing(path.resolve()) as file:
        file.write(page.encode("utf-8"))
    print(f"wrote   {path}, {len(page) / 1000:,.0f} kB")
    return 0


def _add_report(command: Parser) -> None:
    add_saved_model(command)
    command.add_argument(
        "--test",
        help="a MovieLens name or a file of ratings, for the errors",
        dest="data",
        metavar="DATA",
    )
    command.add_argument(
        "-o",
        "--output",
        help="where to write the page (default %(default)s)",
        default="report.html",
        metavar="FILE",
    )
    add_data_home(command)
    add_output(command, as_json=False)
    add_reading(command)


REPORT = Command(
    usage="MODEL [options]",
    summary="write a page on a saved model: errors, pictures, recommendations",
    description="""\
One HTML file that loads nothing: learning curves, weights, a map of the items,
a check of the gradient, recommendations, and with --test errors beside those
of the baselines. Pairs that the model was trained on do not count, so its own
data set serves, if a part was held out. Needs matplotlib.
""",
    examples=("autorec-np report model.npz --test ml-100k -o report.html",),
    add_arguments=_add_report,
    run=report,
)


def check(args: Namespace) -> int:
    started = time.perf_counter()
    if (args.function is None) != (args.theta is None):
        raise UsageError("gradcheck needs both FILE.py:FUNCTION and --theta, or neither")
    if args.function is None:
        return _check_own_gradients(args, started)
    found = gradcheck.check_gradient(
        _load_function(args.function),
        _load_theta(args.theta),
        dict(args.block) if args.block else None,
        method=args.method,
        tolerance=args.tolerance,
        random_state=args.seed,
    )
    say(args, str(found), "")
    finish(args, started, **found.to_dict())
    return 0 if found.passed else 1


def _add_gradcheck(command: Parser) -> None:
    command.add_argument(
        "function",
        help="a function of theta that returns (value, gradient)",
        nargs="?",
        metavar="FILE.py:FUNCTION",
    )
    command.add_argument("--theta", help="the point, from numpy.save", metavar="FILE.npy")
    command.add_argument(
        "--block",
        help="a part of flat theta to judge by itself; may be repeated",
        type=BLOCK,
        action="append",
        metavar="NAME=START:STOP",
    )
    command.add_argument(
        "--method",
        help="differences or the complex step (default %(default)s)",
        choices=["central", "complex", "forward"],
        default=default_of(gradcheck.check_gradient, "method"),
    )
    command.add_argument(
        "--tolerance",
        help="accept errors up to this part of the slopes (default none)",
        type=PART,
        metavar="PART",
    )
    add_seed(command)
    add_output(command)


GRADCHECK = Command(
    usage="[FILE.py:FUNCTION --theta FILE.npy] [options]",
    summary="check hand-written gradients against numeric derivatives",
    description="""\
With FILE.py:FUNCTION yours: any function theta -> (value, gradient). Without
arguments the package's own, in many small networks. Exits with 1 unless all
pass.
""",
    examples=("autorec-np gradcheck loss.py:loss --theta theta.npy --block bias=6:9",),
    add_arguments=_add_gradcheck,
    run=check,
)


def _check_own_gradients(args: Namespace, started: float) -> int:
    say(args, "gradients of small networks, derived by hand, against central differences", "")
    found = {
        case: reports.check_case(case, args.seed, n_directions=1, n_coordinates=0)
        for case in reports.all_cases()
    }
    drawn = {case: report for case, report in found.items() if case.point == "drawn"}
    others = {case: report for case, report in found.items() if case not in drawn}
    failed = [case for case, report in found.items() if not reports.is_right(case, report)]
    say(
        args,
        "by hidden and output activation, at a random point:\n",
        _error_table(drawn, "activation", "output_activation"),
        "\nby point and term of the objective:\n",
        _error_table(others, "point", "term"),
        "\nEach entry is the largest relative error of a block that has a verdict.",
        f"{len(found) - len(failed)} of {len(found)} pass.",
    )
    for case in failed:
        say(args, "", str(case), indented(str(found[case])))
    finish(
        args,
        started,
        passed=not failed,
        n_cases=len(found),
        n_failed=len(failed),
        cases=[{**case._asdict(), **report.to_dict()} for case, report in found.items()],
    )
    return 1 if failed else 0


def _error_table(found: dict[Case, GradientReport], down: str, across: str) -> str:
    worst: dict[tuple[str, str], float] = {}
    for case, report in found.items():
        pair = getattr(case, down), getattr(case, across)
        errors = [b.relative_error for b in report.blocks.values() if b.verdict != "inconclusive"]
        error = max(errors, default=0.0) if reports.is_right(case, report) else math.inf
        worst[pair] = max(worst.get(pair, 0.0), error)
    rows, columns = (list(dict.fromkeys(pair[i] for pair in worst)) for i in (0, 1))
    cells = [
        [row, *(f"{worst[row, column]:.0e}".replace("inf", "FAIL") for column in columns)]
        for row in rows
    ]
    return indented(table([f"{down} \\ {across}".replace("_", " "), *columns], cells))


def _load_function(target: str) -> Any:
    path, colon, name = target.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise UsageError(f"a function is named FILE.py:FUNCTION, got {target}")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path!r} does not exist")
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))  # as for a script
    try:
        found = runpy.run_path(path)
    except Exception as error:
        raise ValueError(f"{path} raised {type(error).__name__}: {error}") from error
    if not callable(found.get(name)):
        own = [key for key, one in found.items() if callable(one) and key[0] != "_"]
        raise ValueError(f"{path} has no function {name!r}; it has {', '.join(own) or 'none'}")
    return found[name]


def _load_theta(path: str) -> Array:
    import numpy as np  # here, so that help does without NumPy

    try:
        theta = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not an array of numbers that numpy.save wrote") from error
    if not isinstance(theta, np.ndarray):
        raise ValueError(f"{path} holds several arrays; save theta alone: numpy.save(path, theta)")
    return theta


def _lessons() -> Any:
    try:
        from autorec_np import lessons
    except ImportError:
        return None
    return lessons


def lesson(args: Namespace) -> int:
    found = _lessons()
    if found is None:
        raise ValueError(
            "the lessons are not in this package: clone the repository, and pip install -e . there"
        )
    return int(found.run(args))


def _add_lesson(command: Parser) -> None:
    add_output(command)
    found = _lessons()
    if found is None:
        command.add_argument("words", nargs="...")
    else:
        found.add_arguments(command)


LESSON = Command(
    usage="[start FOLDER | N [FILE ...]] [options]",
    summary="twelve lessons that check what you write, and name the mistake",
    description="""\
start writes twelve files to fill in; N checks one of them, in a process of its
own. Several files: how often which mistake was made. Exits with 1 unless all
is right.
""",
    examples=("autorec-np lesson start lessons", "autorec-np lesson 4 --hint"),
    add_arguments=_add_lesson,
    run=lesson,
)
