"""What each command of ``autorec-np`` does, given its parsed arguments.

Every function here is named as its command and returns the exit code. `cli` defines the arguments,
`reporting` the looks.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import runpy
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autorec_np import __version__
from autorec_np._text import (
    Progress,
    UsageError,
    describe_model,
    describe_ratings,
    duration,
    indented,
    plain,
    table,
)
from autorec_np.data.columns import known_roles
from autorec_np.data.metrics import mae, rmse
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.cross_validation import cross_validate, evaluate_repeats
from autorec_np.evaluation.held_out import not_trained_on
from autorec_np.evaluation.hyperparameters import Trial, default_space, search
from autorec_np.gradcheck import GradientReport, check_gradient
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Recommender
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.reports.gradients import Case, all_cases, check_case, is_right
from autorec_np.reports.page import html_report
from autorec_np.serving.model_file import load_model, read_metadata, save_model
from autorec_np.sources.movielens import MOVIELENS_NAMES, fetch_movielens
from autorec_np.sources.reading import read_ratings
from autorec_np.training.trainer import interrupts_end_all

Args: TypeAlias = argparse.Namespace
Errors: TypeAlias = dict[str, dict[str, float]]

MODEL = "AutoRec"
PUBLISHED_FOLDS = ("u1", "u2", "u3", "u4", "u5")
READING = ("sep", "columns", "header", "scale", "duplicates", "encoding")


def demo(args: Args) -> int:
    """Train on planted ratings, check the gradient, recommend."""
    started = time.perf_counter()
    ratings, truth = make_ratings(
        n_users=1500,
        n_items=600,
        n_ratings=80_000,
        rank=2,
        noise=0.5,
        random_state=args.seed,
        return_truth=True,
    )
    model = AutoRec(hidden_layer_sizes=(50,), max_iter=30, random_state=args.seed)
    _say(args, "Ratings made from user and item biases, two planted factors and noise.", "")
    content = _train(args, "synthetic", ratings, model, 0.1, {"planted truth": truth})
    _say(args, "The truth is the best that a model can reach.", "")

    report = check_case(Case(), args.seed)
    rows = [
        [name, block.verdict, f"{block.relative_error:.1e}"]
        for name, block in report.blocks.items()
    ]
    _say(args, "gradient of the objective, derived by hand, against central differences", "")
    _say(args, indented(table(["block", "verdict", "relative error"], rows, left=(0, 1))), "")

    content["recommendations"] = _recommend(args, model, [ratings.user_ids[0]], 5)
    _say(args, "", "Next: autorec-np train ml-100k")
    _finish(args, started, **content, gradient=report.to_dict())
    return 0 if report.passed else 1


def fetch(args: Args) -> int:
    """Find or download a MovieLens data set and say what it holds."""
    data = fetch_movielens(args.name, args.data_home, progress=not args.quiet)
    folds = f", folds {', '.join(data.folds)}" if data.folds else ""
    print(f"{data.name}  {describe_ratings(data.ratings)}\n{len(data.titles):,} titles{folds}")
    print(f"from {data.source}\n\nWhere you use it, cite:")
    print(indented(textwrap.fill(data.citation, 76)))
    return 0


def train(args: Args) -> int:
    """Train on one split, report errors, save the model."""
    started = time.perf_counter()
    path = None if args.save is None else Path(args.save)
    if path:
        _check_writable("--save", path)
    ratings, titles, _ = _load_data(args)
    model = _model(args)
    content = _train(args, args.data, ratings, model, args.test_size, {})
    if path:
        _save(args, path, model, titles)
    _finish(args, started, **content, saved=args.save)
    return 0


def tune(args: Args) -> int:
    """Search on validation ratings, train the best anew, read the test ratings once."""
    started = time.perf_counter()
    path = None if args.save is None else Path(args.save)
    if path:
        _check_writable("--save", path)
    ratings, titles, _ = _load_data(args)
    model = _model(args)
    training = ratings
    if args.test_size:  # as `_train` will do, which reads the test part
        training, _ = train_test_split(ratings, args.test_size, args.seed)
    space = {
        name: values
        for name, values in default_space(model, training).items()
        if name not in vars(args)  # what is given is not searched
    }
    if not space:
        raise UsageError("nothing is left to search: leave out an option such as --regularization")
    _say(
        args,
        f"search  {args.candidates} candidates, {args.strategy}, on "
        f"{100 * args.validation_size:g} % of {len(training):,} training ratings",
        f"        over {', '.join(space)}",
        "",
    )
    result = search(
        model,
        training,
        space,
        args.candidates,
        strategy=args.strategy,
        validation_size=args.validation_size,
        random_state=args.seed,
        resume=args.resume,
        callback=None if args.quiet else _show_trial,
    )
    _say(args, "validation RMSE (number 0 is the model without a change)", "")
    _say(args, indented(str(result)), "")
    content = _train(args, args.data, ratings, result.model, args.test_size, {})
    if path:
        _save(args, path, result.model, titles)
    _finish(args, started, **content, saved=args.save, search=result.to_dict())
    return 0


def _show_trial(trial: Trial, number: int, n_trials: int) -> None:
    print(f"trial {number} of {n_trials}: {trial}", file=sys.stderr, flush=True)


def evaluate(args: Args) -> int:
    """Measure AutoRec and the baselines over several splits."""
    started = time.perf_counter()
    ratings, _, published = _load_data(args)
    model = _model(args)
    parameters = model.get_params()
    cv, n_runs = args.cv, args.cv or args.repeats
    if not args.test_size:
        raise UsageError("evaluate needs test ratings: --test-size must be above 0")
    protocol = f"{n_runs}-fold cross-validation (seed {args.seed})"
    if args.folds:
        if not published:
            raise UsageError(f"--folds needs published folds, which {args.data} lacks; use --cv 5")
        cv, n_runs = {name: published[name] for name in PUBLISHED_FOLDS}, len(PUBLISHED_FOLDS)
        protocol = f"published folds {', '.join(cv)}"
    elif not cv:
        share = f"{100 * args.test_size:g} % for testing"
        protocol = f"{n_runs} random splits, {share} (from seed {args.seed})"
    _say_setting(args, args.data, ratings, model)
    _say(args, f"splits  {protocol}", "")
    with _progress(args, n_runs) as callbacks:
        model.set_params(callbacks=callbacks)
        models: dict[str, Recommender] = {
            "GlobalMean": GlobalMean(),
            "BiasBaseline": BiasBaseline(),
            MODEL: model,
        }
        if cv:
            results = cross_validate(models, ratings, cv, args.seed)
        else:
            results = evaluate_repeats(models, ratings, n_runs, args.test_size, args.seed)
    difference = results.difference(MODEL, "BiasBaseline")
    _say(args, indented(str(results)), "", f"RMSE, AutoRec - BiasBaseline: {difference}")
    errors = {
        name: {"rmse": result.rmse.mean, "mae": result.mae.mean} for name, result in results.items()
    }
    _finish(
        args,
        started,
        **_scores(errors, sum(one.n_cold for one in results[MODEL].evaluations)),
        data=args.data,
        protocol=protocol,
        models=results.to_dict(),
        rmse_difference_to_bias=difference.to_dict(),
        parameters=parameters,
    )
    return 0


def predict(args: Args) -> int:
    """Predict pairs with a saved model, as CSV."""
    given = [value is not None for value in (args.user, args.item, args.pairs)]
    if given not in ([True, True, False], [False, False, True]):
        raise UsageError("predict needs either --user and --item, or --pairs")
    model = load_model(args.model)
    pairs = _read_pairs(args.pairs) if args.pairs else [("", args.user, one) for one in args.item]
    known = model.ratings_
    users = [_id(user, known.user_ids, f"{place}the user") for place, user, _ in pairs]
    items = [_id(item, known.item_ids, f"{place}the item") for place, _, item in pairs]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["user", "item", "prediction", "cold"])
    for user, item, rating, cold in zip(
        users, items, model.predict(users, items), model.cold_pairs(users, items), strict=True
    ):
        writer.writerow([user, item, f"{rating:.4f}", int(cold)])
    return 0


def recommend(args: Args) -> int:
    """List the best items of each user."""
    model = load_model(args.model)
    titles = read_metadata(args.model).get("titles", {})
    users = [_id(user, model.ratings_.user_ids, "the user") for user in args.user]
    _emit(args, users=_recommend(args, model, users, args.n, not args.include_seen, titles))
    return 0


def report(args: Args) -> int:
    """Write a page on a saved model."""
    path = Path(args.output)
    _check_writable("--output", path)
    model, metadata = load_model(args.model), read_metadata(args.model)
    titles, test = metadata.get("titles") or {}, None
    if args.data is not None:
        ratings, known, _ = _load_data(args)
        titles = {str(item): title for item, title in known.items()} | titles
        new = not_trained_on(model, ratings)
        if not new.any():
            raise ValueError(f"the model was trained on all pairs of {args.data}: none is held out")
        test = ratings.select(new)
        print(f"test    {len(test):,} held-out ratings of {args.data}")
        if len(test) < len(ratings):
            print(f"        without {len(ratings) - len(test):,} that the model was trained on")
    ids = model.ratings_.item_ids.tolist()
    try:
        page = html_report(
            model,
            test,
            titles={item: titles[str(item)] for item in ids if str(item) in titles},
            name=str(metadata.get("dataset", "")),
        )
    except ImportError as error:
        raise ValueError(str(error)) from error
    path.write_text(page, encoding="utf-8", newline="\n")
    print(f"wrote   {path}, {len(page) / 1000:,.0f} kB")
    return 0


def gradcheck(args: Args) -> int:
    """Check a user's gradient, or the package's own over a matrix of small networks."""
    started = time.perf_counter()
    if (args.function is None) != (args.theta is None):
        raise UsageError("gradcheck needs both FILE.py:FUNCTION and --theta, or neither")
    if args.function is None:
        return _check_own_gradients(args, started)
    report = check_gradient(
        _load_function(args.function),
        _load_theta(args.theta),
        dict(args.block) if args.block else None,
        method=args.method,
        random_state=args.seed,
    )
    _say(args, str(report), "")
    _finish(args, started, **report.to_dict())
    return 0 if report.passed else 1


def _check_own_gradients(args: Args, started: float) -> int:
    _say(args, "gradients of small networks, derived by hand, against central differences", "")
    reports = {
        case: check_case(case, args.seed, n_directions=1, n_coordinates=0) for case in all_cases()
    }
    _say(args, "by hidden and output activation; one and three hidden layers, tied or not,")
    _say(args, "dropout or not, at a random point:", "")
    drawn = {case: report for case, report in reports.items() if case.point == "drawn"}
    _say(args, _error_table(drawn, "activation", "output_activation"), "")
    _say(args, "by point and term of the objective:", "")
    others = {case: report for case, report in reports.items() if case.point != "drawn"}
    _say(args, _error_table(others, "point", "term"), "")
    _say(args, "Each entry is the largest relative error of a block that has a verdict.")
    failed = [case for case, report in reports.items() if not is_right(case, report)]
    _say(args, f"{len(reports) - len(failed)} of {len(reports)} pass.")
    for case in failed:
        _say(args, "", str(case), indented(str(reports[case])))
    _finish(
        args,
        started,
        passed=not failed,
        n_cases=len(reports),
        n_failed=len(failed),
        cases=[{**case._asdict(), **report.to_dict()} for case, report in reports.items()],
    )
    return 1 if failed else 0


def _error_table(reports: dict[Case, GradientReport], down: str, across: str) -> str:
    """Return the largest relative error for every value of two fields of the cases."""
    worst: dict[tuple[str, str], float] = {}
    for case, report in reports.items():
        pair = getattr(case, down), getattr(case, across)
        errors = [b.relative_error for b in report.blocks.values() if b.verdict != "inconclusive"]
        error = max(errors, default=0.0) if is_right(case, report) else math.inf
        worst[pair] = max(worst.get(pair, 0.0), error)
    rows, columns = (list(dict.fromkeys(pair[i] for pair in worst)) for i in (0, 1))
    cells = [
        [row, *(f"{worst[row, column]:.0e}".replace("inf", "FAIL") for column in columns)]
        for row in rows
    ]
    return indented(table([f"{down} \\ {across}".replace("_", " "), *columns], cells))


# Data and models


def _save(args: Args, path: Path, model: Recommender, titles: dict[int, str]) -> None:
    """Save a model with the titles of its items, and say how to go on."""
    ids = model.ratings_.item_ids.tolist()
    known = {str(item): titles[item] for item in ids if item in titles}
    save_model(model, path, metadata={"dataset": args.data, "titles": known})
    _say(args, f"saved   {path}")
    if args.test_size:
        _say(args, "        trained without the held-out ratings; --test-size 0 uses them too")
    user = str(model.ratings_.user_ids[0])
    _say(args, f"next    autorec-np {shlex.join(['recommend', str(path), '--user', user])}")


def _check_writable(option: str, path: Path) -> None:
    """Raise ValueError before the work whose result could not be written."""
    if path.is_dir() or not os.access(path.resolve().parent, os.W_OK):
        raise ValueError(f"{option} {path}: name a file in a folder that exists and is writable")


def _load_data(
    args: Args,
) -> tuple[Ratings, dict[int, str], dict[str, tuple[Ratings, Ratings]]]:
    """Return ratings, titles and folds of the data set or the file that ``args.data`` names."""
    name = args.data
    reading = {key: value for key in READING if (value := getattr(args, key)) is not None}
    if name in MOVIELENS_NAMES:
        if reading:
            raise UsageError(f"{name} is a data set: --{next(iter(reading))} is for files")
        data = fetch_movielens(name, args.data_home, progress=not args.quiet)
        return data.ratings, data.titles, data.folds
    if not os.path.exists(name):
        raise FileNotFoundError(
            f"{name!r} is neither a file nor a MovieLens name ({', '.join(MOVIELENS_NAMES)})"
        )
    return read_ratings(name, **reading), {}, {}


def _model(args: Args) -> AutoRec:
    """Return the model that the options describe; what they leave out keeps its default."""
    model = AutoRec(random_state=args.seed)
    given = {name: None if value == "none" else value for name, value in vars(args).items()}
    return model.set_params(**{name: given[name] for name in model.get_params() if name in given})


@contextmanager
def _progress(args: Args, n_runs: int = 1) -> Iterator[tuple[Progress, ...]]:
    """Yield the callbacks that show progress: none with --quiet."""
    with Progress(sys.stderr, n_runs, as_lines=not sys.stderr.isatty()) as progress:
        yield () if args.quiet else (progress,)


def _train(
    args: Args,
    label: str,
    ratings: Ratings,
    model: AutoRec,
    test_size: float,
    others: dict[str, Any],
) -> dict[str, Any]:
    """Fit the model, compare its errors on held-out ratings; return what --json tells of it."""
    _say_setting(args, label, ratings, model)
    parameters = model.get_params()
    training, test = ratings, None
    if test_size:
        training, test = train_test_split(ratings, test_size, args.seed)
    started = time.perf_counter()
    with _progress(args) as callbacks, interrupts_end_all():
        model.set_params(callbacks=callbacks).fit(training)
    fit_seconds = time.perf_counter() - started
    _say(args, f"fit     {model.n_iter_} epochs or iterations in {duration(fit_seconds)}")
    errors: Errors = {}
    n_cold = None
    if test is None:
        _say(args, "test    none: all ratings are trained on (--test-size 0)", "")
    else:
        users, items, values = test.triples()
        baseline = BiasBaseline().fit(training)
        models = {"GlobalMean": GlobalMean().fit(training), "BiasBaseline": baseline, MODEL: model}
        for name, one in {**models, **others}.items():
            predicted = one.predict(users, items)
            errors[name] = {"rmse": rmse(values, predicted), "mae": mae(values, predicted)}
        n_cold = int(np.count_nonzero(baseline.cold_pairs(users, items)))
        rows = [[name, f"{one['rmse']:.4f}", f"{one['mae']:.4f}"] for name, one in errors.items()]
        gain = 100 * (1 - errors[MODEL]["rmse"] / errors["BiasBaseline"]["rmse"])
        side = "below" if gain > 0 else "above"
        _say(
            args,
            f"test    {len(test):,} held-out ratings (seed {args.seed}), {n_cold:,} of them cold",
            "",
            indented(table(["model", "RMSE", "MAE"], rows)),
            "",
            f"AutoRec's RMSE is {abs(gain):.1f} % {side} that of the biases.",
        )
        if n_cold:
            _say(args, "A rating is cold where its user or its item has no training rating.")
    return {
        **_scores(errors, n_cold),
        "data": label,
        "n_ratings": len(ratings),
        "n_train": len(training),
        "n_test": 0 if test is None else len(test),
        "parameters": parameters,
        "n_iter": model.n_iter_,
        "objective": model.loss_curve_[-1],
        "fit_seconds": fit_seconds,
    }


def _recommend(
    args: Args,
    model: Recommender,
    users: list[Any],
    n: int,
    exclude_seen: bool = True,
    titles: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Print the recommendations for each user; return them for --json."""
    lists: list[dict[str, Any]] = []
    for user, ids, scores in zip(users, *model.recommend(users, n, exclude_seen), strict=True):
        found = [
            {"item": item, "score": score, "title": (titles or {}).get(str(item))}
            for item, score in zip(ids, scores, strict=True)
            if item is not None
        ]
        rows = [
            [str(rank), f"{one['score']:.2f}", str(one["item"]), one["title"] or ""]
            for rank, one in enumerate(found, 1)
        ]
        if lists:
            _say(args, "")
        _say(args, f"{len(found)} recommended for user {user}", "")
        _say(args, indented(table(["", "score", "item", ""], rows, left=(3,))))
        lists.append({"user": user, "items": found})
    return lists


# Ids and pairs on the command line


def _id(text: str, known: npt.NDArray[Any], what: str) -> Any:
    """Return an id of the kind that the model has."""
    if known.dtype.kind == "O":
        return text
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{what} ids of this model are integers, got {text!r}") from None


def _read_pairs(path: str) -> list[tuple[str, str, str]]:
    """Return (place, user, item) for every line of a CSV file; errors begin with the place."""
    pairs: list[tuple[str, str, str]] = []
    user, item = 0, 1
    with open(path, encoding="utf-8-sig", newline="") as stream:
        lines = csv.reader(stream)
        try:
            for fields in filter(None, lines):
                roles = {} if pairs else known_roles(fields)
                place = f"{path}, line {lines.line_num}: "
                if {"user", "item"} <= roles.keys():
                    user, item = roles["user"], roles["item"]
                elif len(fields) <= max(user, item):
                    raise ValueError(f"{place}needs a user and an item, got {fields}")
                else:
                    pairs.append((place, fields[user], fields[item]))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is not UTF-8 text in CSV form ({error})") from None
    if not pairs:
        raise ValueError(f"{path} holds no pairs; write a user id and an item id in each line")
    return pairs


# Gradients of a user


def _load_function(target: str) -> Any:
    """Return the function that FILE.py:FUNCTION names."""
    path, colon, name = target.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise UsageError(f"a function is named FILE.py:FUNCTION, as in model.py:loss; got {target}")
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


def _load_theta(path: str) -> npt.NDArray[Any]:
    try:
        theta = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not an array of numbers that numpy.save wrote") from error
    if not isinstance(theta, np.ndarray):
        raise ValueError(f"{path} holds several arrays; save theta alone: numpy.save(path, theta)")
    return theta


# Output


def _say(args: Args, *lines: str) -> None:
    """Print lines for people: nothing with --json."""
    if not args.json:
        print(*lines, sep="\n", flush=True)


def _emit(args: Args, **content: Any) -> None:
    """Print one object for machines: only with --json."""
    if args.json:
        first = {"command": args.command, "version": __version__}
        print(json.dumps(plain({**first, **content}), allow_nan=False))


def _finish(args: Args, started: float, **content: Any) -> None:
    seconds = time.perf_counter() - started
    _say(args, f"Everything in {duration(seconds)}.")
    _emit(args, **content, seconds=seconds)


def _say_setting(args: Args, label: str, ratings: Ratings, model: AutoRec) -> None:
    _say(args, f"data    {label}: {describe_ratings(ratings)}")
    _say(args, f"model   {describe_model(model)}")


def _scores(errors: Errors, n_cold: int | None) -> dict[str, Any]:
    """Return the keys that every JSON report of errors has."""
    own = errors.get(MODEL, {"rmse": None, "mae": None})
    baselines = {name: one for name, one in errors.items() if name != MODEL}
    return {**own, "n_cold": n_cold, "baselines": baselines}
