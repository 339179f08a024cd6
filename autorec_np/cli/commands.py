"""The command line ``autorec-np``: results go to stdout, everything else to stderr.

Its commands, but for those of `train`.
"""

from __future__ import annotations

import argparse
import csv
import io
import logging
import math
import os
import runpy
import sys
import textwrap
import time
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from autorec_np import __version__, gradcheck, models, reports, serving, sources
from autorec_np._files import replacing
from autorec_np._text import duration, indented, table
from autorec_np.cli import INTERRUPTED, train
from autorec_np.cli.options import (
    BLOCK,
    BYTES,
    CLEAR,
    COUNT,
    PART,
    Command,
    Parser,
    UsageError,
    add_data_home,
    add_jobs,
    add_output,
    add_reading,
    add_saved_model,
    add_seed,
    check_writable,
    complain,
    default_of,
    emit,
    epilog,
    error_message,
    finish,
    held_out,
    list_best,
    load_data,
    reading_options,
    say,
)

if TYPE_CHECKING:
    from autorec_np._types import Array
    from autorec_np.gradcheck import GradientReport
    from autorec_np.reports import Case


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


def store(args: Namespace) -> int:
    started, shown = time.perf_counter(), sys.stderr.isatty() and not args.quiet

    def show(share: float, seconds: float) -> None:
        left = duration(seconds / max(share, 1e-3) - seconds)
        print(f"\r{share:4.0%}, {left:12} left", end="", file=sys.stderr, flush=True)

    try:
        ratings = sources.store_ratings(
            args.files,
            args.folder,
            memory=args.memory,
            overwrite=args.overwrite,
            callback=show if shown else None,
            **reading_options(args),
        )
    finally:
        if shown:
            print(CLEAR, end="", file=sys.stderr, flush=True)
    say(args, f"stored  {reports.describe_ratings(ratings)}, in {args.folder}")
    n_users, n_items = ratings.shape
    finish(args, started, n_ratings=len(ratings), n_users=n_users, n_items=n_items)
    return 0


def _add_store(command: Parser) -> None:
    command.add_argument("files", nargs="+", help="files of ratings", metavar="FILE")
    command.add_argument("folder", help="where to store them", metavar="FOLDER")
    command.add_argument(
        "--memory",
        help="about how much to use, with K, M or G (default 1G)",
        type=BYTES,
        default=default_of(sources.store_ratings, "memory"),
        metavar="N",
    )
    command.add_argument("--overwrite", help="replace stored ratings", action="store_true")
    add_output(command)
    add_reading(command)


STORE = Command(
    usage="FILE [FILE ...] FOLDER [options]",
    summary="store ratings past memory in a folder, for other commands",
    description="""\
Several files are read one after the other. The folder is there when all of it
is: nothing half is left.
""",
    examples=("autorec-np store ratings.csv ratings --memory 2G", "autorec-np train ratings"),
    add_arguments=_add_store,
    run=store,
)


def parse_id(text: str, known: Array, what: str) -> Any:
    if known.dtype.kind == "O":
        return text
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{what} ids of this model are integers, got {text!r}") from None


def _lines(path: str) -> AbstractContextManager[TextIO]:
    if path != "-":
        return open(path, encoding="utf-8-sig", newline="")
    buffer = getattr(sys.stdin, "buffer", None)
    stream = sys.stdin if buffer is None else io.TextIOWrapper(buffer, "utf-8-sig", newline="")
    return nullcontext(stream)


def read_pairs(path: str) -> list[tuple[str, str, str]]:
    """Return (place, user, item) of each line."""
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
    is_list = isinstance(model, models.RankingAutoRec)
    names = ("score" if is_list else "prediction", "low", "high")[: len(columns)]
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
    if args.user is None and args.output is None:
        raise UsageError("recommend needs --user, or --output for all users")
    check_writable("--output", args.output)
    model = serving.load_model(args.model, memory_map=True, verify=True)
    unseen = not args.include_seen
    users: Any = args.user
    if users is not None:
        users = [parse_id(user, model.ratings_.user_ids, "the user") for user in users]
    if args.output is None:
        titles = serving.read_metadata(args.model).get("titles", {})
        emit(args, users=list_best(args, model, users, args.n, unseen, titles))
        return 0
    with train.processes(args.jobs) as executor:
        n_rows = serving.recommend_all(
            args.model, users, args.n, executor, path=args.output, exclude_seen=unseen
        )
    say(args, f"{n_rows:,} lines in {args.output}")
    emit(args, output=args.output, rows=n_rows)
    return 0


def _add_recommend(command: Parser) -> None:
    add_saved_model(command)
    command.add_argument("--user", help="one or more user ids", metavar="ID", nargs="+")
    command.add_argument(
        "--output", help="write the lists to FILE, without --user those of all", metavar="FILE"
    )
    add_jobs(command, "processes that work out --output")
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
    usage="MODEL {--user ID ... | --output FILE} [options]",
    summary="list the best items that a user has not rated, from a saved model",
    description="""\
With the titles of the data set. Of a model of ratings, scores are predicted
ratings, and can exceed the scale; of a model of lists, they are no ratings.
--output writes a .csv or .parquet file of user, item, rank, score and cold.
""",
    examples=(
        "autorec-np recommend model.npz --user 1 2 3 -n 5 --json",
        "autorec-np recommend model.npz --output lists.csv --jobs 2",
    ),
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
        is_list = isinstance(model, models.RankingAutoRec)
        ratings, others, _ = load_data(args, pairs=is_list)
        titles = {str(item): title for item, title in others.items()} | titles
        test = held_out(args, model, ratings)
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
    with suppress(ImportError):
        from autorec_np import lessons

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


BROKEN_PIPE = 141  # 128 + the signal's number

# others are bugs
EXPECTED_ERRORS = (ValueError, TypeError, IndexError, ArithmeticError, OSError, MemoryError)

COMMANDS: dict[str, Command] = {
    "demo": train.DEMO,
    "fetch": FETCH,
    "store": STORE,
    "train": train.TRAIN,
    "tune": train.TUNE,
    "evaluate": train.EVALUATE,
    "predict": PREDICT,
    "recommend": RECOMMEND,
    "report": REPORT,
    "lesson": LESSON,
    "gradcheck": GRADCHECK,
}

OVERVIEW = """\
AutoRec: rating prediction and recommendations with an autoencoder, in NumPy.

commands:
"""

EXAMPLES = (
    "autorec-np demo",
    "autorec-np train ml-100k --save model.npz",
    "autorec-np recommend model.npz --user 1",
    "autorec-np train --help",
)
EXIT_CODES = "exit codes: 0 success, 1 failure, 2 wrong usage, 130 or 143 interrupted"
COMPLETION = """\
completion in bash and zsh, after pip install 'autorec_np[completion]':
  eval "$(register-python-argcomplete autorec-np)"
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; see `cli.main`."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            status = _run(words)
        except SystemExit:  # of help or version
            status = 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # where Python writes the rest
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except UsageError as error:
        complain(f"error: {error}")
        return 2
    except EXPECTED_ERRORS as error:
        complain(f"error: {_in_options(words, error_message(error))}")
        return 1


def make_parser(words: Sequence[str]) -> Parser:
    """Only the commands in `words` have arguments, which load much."""
    summaries = "".join(f"  {name:10}  {one.summary}\n" for name, one in COMMANDS.items())
    parser = Parser(
        prog="autorec-np",
        description=OVERVIEW + summaries,
        epilog=f"{epilog(EXAMPLES)}\n{COMPLETION}\n{EXIT_CODES}\n",
        usage="autorec-np COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"autorec-np {__version__}")
    group = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
        prog="autorec-np",
        help=argparse.SUPPRESS,
    )
    for name, command in COMMANDS.items():
        added = group.add_parser(
            name,
            usage=f"autorec-np {name} {command.usage}",
            description=f"{command.summary}\n\n{command.description}",
            epilog=epilog(command.examples),
        )
        if name in words:
            command.add_arguments(added)
    return parser


def _run(words: Sequence[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for a title that the terminal lacks
    if "_ARGCOMPLETE" in os.environ:
        _complete(os.environ["COMP_LINE"])
    args = make_parser(words).parse_args(words)
    with _messages(words, args.quiet, args.verbosity):
        try:
            return COMMANDS[args.command].run(args)
        except UsageError as error:
            raise UsageError(f"{error} (see autorec-np {args.command} --help)") from None


def _in_options(words: Sequence[str], message: str) -> str:
    parser = Parser()
    if words and words[0] in COMMANDS:
        COMMANDS[words[0]].add_arguments(parser)
    return parser.in_options(message)


def _complete(line: str) -> None:
    with suppress(ImportError):
        import argcomplete

        argcomplete.autocomplete(make_parser(line.split()))


@contextmanager
def _messages(words: Sequence[str], quiet: bool, verbose: bool) -> Iterator[None]:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complain(record.getMessage())

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        complain(f"warning: {_in_options(words, str(message))}")

    logger, handler = logging.getLogger("autorec_np"), Handler()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel("ERROR" if quiet else "INFO" if verbose else "WARNING")
    try:
        with warnings.catch_warnings():  # of all threads
            warnings.simplefilter("ignore" if quiet else "always", UserWarning)
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
