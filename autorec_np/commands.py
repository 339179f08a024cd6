"""What each command of ``autorec-np`` does, given its parsed arguments.

Every function here is named as its command and returns the exit code. `cli` defines the arguments,
`reporting` the looks.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import itertools
import json
import os
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autorec_np import __version__
from autorec_np.activations import ACTIVATIONS
from autorec_np.autorec import AutoRec
from autorec_np.base import Recommender
from autorec_np.baselines import BiasBaseline, GlobalMean
from autorec_np.corruption import dropout_masks
from autorec_np.datasets import MOVIELENS_NAMES, fetch_movielens
from autorec_np.evaluation import cross_validate, evaluate_repeats
from autorec_np.gradcheck import GradientReport, check_gradient
from autorec_np.metrics import mae, rmse
from autorec_np.network import Network
from autorec_np.objective import Objective
from autorec_np.persistence import load_model, looks_like_model, read_metadata, save_model
from autorec_np.ratings import Ratings, known_roles
from autorec_np.reading import read_ratings
from autorec_np.reporting import (
    Progress,
    UsageError,
    clear,
    complain,
    describe_model,
    describe_ratings,
    draw,
    duration,
    file_size,
    gradient_table,
    indented,
    plain,
    shortened,
    table,
)
from autorec_np.splitting import train_test_split
from autorec_np.synthetic import make_ratings

Array: TypeAlias = npt.NDArray[Any]
Args: TypeAlias = argparse.Namespace
Errors: TypeAlias = dict[str, dict[str, float]]

MODEL = "AutoRec"
PUBLISHED_FOLDS = ("u1", "u2", "u3", "u4", "u5")
READING = ("sep", "columns", "header", "scale", "duplicates", "encoding")
SEPARATORS = ("::", "\t", ",", ";", "|")


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
    training, test = train_test_split(ratings, 0.1, args.seed)
    model = AutoRec(hidden_layer_sizes=(50,), max_iter=30, random_state=args.seed)
    _say(args, "Ratings made from user and item biases, two planted factors and noise.", "")
    _say_setting(args, "synthetic", ratings, model)
    fit_seconds = _fit(args, model, training, on_terminal_only=True)
    errors, n_cold = _measure(model, training, test)
    users, items, values = test.triples()
    planted = truth.predict(users, items)
    limit = {"rmse": rmse(values, planted), "mae": mae(values, planted)}
    _say_errors(args, {**errors, "planted truth": limit}, n_cold, len(test))
    _say(args, f"The truth is the best that a model can reach. {_passes(model, fit_seconds)}.", "")

    report = _check_case(Case(), args.seed, n_directions=4, n_coordinates=12)
    _say(args, "gradient of the objective, derived by hand, against central differences", "")
    _say(args, indented(gradient_table(report)), "")

    n_rated = np.diff(training.matrix.indptr)
    position = np.argsort(n_rated)[len(n_rated) // 2]
    user = training.user_ids[position]
    ids, scores = model.recommend([user], n=5)
    best = truth.predict(np.full(5, user), ids[0].astype(np.int64))
    _say(args, f"five recommendations for user {user}, who rated {n_rated[position]} items", "")
    rows = [
        [str(item), f"{score:.2f}", f"{rating:.2f}"]
        for item, score, rating in zip(ids[0], scores[0], best, strict=True)
    ]
    _say(args, indented(table(["item", "score", "planted rating"], rows)), "")
    seconds = time.perf_counter() - started
    _say(args, f"Everything in {duration(seconds)}. Next: autorec-np train ml-100k")
    _emit(
        args,
        **_scores(errors, n_cold),
        planted_truth=limit,
        n_train=len(training),
        n_test=len(test),
        gradient=report.to_dict(),
        recommendations={"user": user, "items": ids[0], "scores": scores[0]},
        fit_seconds=fit_seconds,
        seconds=seconds,
    )
    return 0 if report.passed else 1


def fetch(args: Args) -> int:
    """Find or download a MovieLens data set and say what it holds."""
    data = fetch_movielens(args.name, args.data_home, progress=not args.quiet)
    folds = f", folds {', '.join(data.folds)}" if data.folds else ""
    print(f"{data.name}  {describe_ratings(data.ratings)}")
    print(f"{' ' * len(data.name)}  {len(data.titles):,} titles{folds}")
    print(f"{' ' * len(data.name)}  from {data.source}")
    print(f"\nWhere you use it, cite:\n{indented(textwrap.fill(data.citation, 76))}")
    return 0


def train(args: Args) -> int:
    """Train on one split, report errors, save the model."""
    started = time.perf_counter()
    if args.save is not None:
        _check_target(Path(args.save))
    data = _load_data(args)
    training, test = data.ratings, None
    if args.test_size > 0:
        training, test = train_test_split(data.ratings, args.test_size, args.seed)
    model = AutoRec(**_model_parameters(args))
    _say_setting(args, data.label, data.ratings, model)
    fit_seconds = _fit(args, model, training)
    errors: Errors = {}
    n_cold = None
    if test is None:
        _say(args, "test    none: all ratings are trained on (--test-size 0)", "")
    else:
        errors, n_cold = _measure(model, training, test)
        _say_errors(args, errors, n_cold, len(test))
    seconds = time.perf_counter() - started
    _say(args, f"{_passes(model, fit_seconds)}, everything in {duration(seconds)}.")
    if args.save is not None:
        save_model(model, args.save, metadata=data.metadata())
        _say_saved(args, Path(args.save), training)
    _emit(
        args,
        **_scores(errors, n_cold),
        data=data.label,
        n_ratings=len(data.ratings),
        n_train=len(training),
        n_test=0 if test is None else len(test),
        parameters=_shown_parameters(model),
        n_iter=model.n_iter_,
        objective=model.loss_curve_[-1],
        saved=args.save,
        fit_seconds=fit_seconds,
        seconds=time.perf_counter() - started,
    )
    return 0


def evaluate(args: Args) -> int:
    """Measure AutoRec and the baselines over several splits."""
    started = time.perf_counter()
    if args.test_size == 0:
        raise UsageError("evaluate needs test ratings: --test-size must be above 0")
    data = _load_data(args)
    parameters = _model_parameters(args)
    _say_setting(args, data.label, data.ratings, AutoRec(**parameters))
    folds = data.published_folds() if args.folds else {}
    n_runs = len(folds) or args.cv or args.repeats
    with _progress(args, n_runs) as callbacks:
        models: dict[str, Recommender] = {
            "GlobalMean": GlobalMean(),
            "BiasBaseline": BiasBaseline(),
            MODEL: AutoRec(**parameters, callbacks=callbacks),
        }
        if folds:
            protocol = f"published folds {', '.join(folds)}"
            results = cross_validate(models, cv=folds)
        elif args.cv:
            protocol = f"{args.cv}-fold cross-validation (seed {args.seed})"
            results = cross_validate(models, data.ratings, args.cv, args.seed)
        else:
            share = f"{100 * args.test_size:g} %"
            protocol = f"{n_runs} random splits, {share} for testing (from seed {args.seed})"
            results = evaluate_repeats(models, data.ratings, n_runs, args.test_size, args.seed)
    difference = results.difference(MODEL, "BiasBaseline")
    _say(args, f"splits  {protocol}", "", indented(str(results)), "")
    seconds = time.perf_counter() - started
    _say(args, f"RMSE, AutoRec - BiasBaseline: {difference}", f"Everything in {duration(seconds)}.")
    errors = {
        name: {"rmse": result.rmse.mean, "mae": result.mae.mean} for name, result in results.items()
    }
    _emit(
        args,
        **_scores(errors, sum(one.n_cold for one in results[MODEL].evaluations)),
        data=data.label,
        protocol=protocol,
        models=results.to_dict(),
        rmse_difference_to_bias=difference.to_dict(),
        parameters=_shown_parameters(models[MODEL]),
        seconds=seconds,
    )
    return 0


def predict(args: Args) -> int:
    """Predict pairs with a saved model, as CSV."""
    single = args.user is not None and args.item is not None
    if (args.pairs is not None) == single or (args.user is None) != (args.item is None):
        raise UsageError("predict needs either --user and --item, or --pairs")
    model = load_model(args.model)
    if single:
        places, pairs = [""] * len(args.item), [(args.user, item) for item in args.item]
    else:
        places, pairs = _read_pairs(args.pairs, args.sep)
    users = _ids([user for user, _ in pairs], model.ratings_.user_ids, "user", places)
    items = _ids([item for _, item in pairs], model.ratings_.item_ids, "item", places)
    predictions, cold = model.predict(users, items), model.cold_pairs(users, items)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["user", "item", "prediction", "cold"])
    for (user, item), rating, is_cold in zip(pairs, predictions, cold, strict=True):
        writer.writerow([user, item, f"{rating:.4f}", int(is_cold)])
    return 0


def recommend(args: Args) -> int:
    """List the best items of each user."""
    model, titles = _load_source(args)
    if args.titles is not None:
        titles = _read_titles(args)
    ratings = model.ratings_
    users = _ids(args.user, ratings.user_ids, "user", [""] * len(args.user))
    positions = ratings.user_positions(users)
    unknown = [user for user, position in zip(users, positions, strict=True) if position < 0]
    if unknown:
        raise ValueError(
            f"user {unknown[0]!r} has no ratings that the model knows; its {ratings.n_users:,} "
            f"users are {ratings.user_ids[0]} to {ratings.user_ids[-1]}"
        )
    ids, scores = model.recommend(users, args.n, exclude_seen=not args.include_seen)
    lists = []
    for row, (user, position) in enumerate(zip(users, positions, strict=True)):
        found = [
            {"item": item, "score": score, "title": titles.get(str(item))}
            for item, score in zip(ids[row], scores[row], strict=True)
            if item is not None
        ]
        n_rated = int(ratings.matrix.indptr[position + 1] - ratings.matrix.indptr[position])
        lists.append({"user": user, "n_rated": n_rated, "items": found})
    for number, one in enumerate(lists):
        if number:
            _say(args, "")
        _say(args, *_list_lines(one))
    _emit(args, users=lists)
    return 0


def gradcheck(args: Args) -> int:
    """Check the package's own gradients over a matrix of small networks."""
    started = time.perf_counter()
    cases = [
        Case(sizes, activation, output, tied, dropout)
        for activation, output, sizes, tied, dropout in itertools.product(
            ACTIVATIONS, ACTIVATIONS, [(4,), (4, 3, 4)], [False, True], [0.0, 0.3]
        )
    ]
    effort = {"n_directions": 4, "n_coordinates": 12} if args.thorough else {"n_directions": 1}
    shows = not args.quiet and sys.stderr.isatty()
    reports = {}
    for number, case in enumerate(cases, 1):
        reports[case] = _check_case(case, args.seed, **{"n_coordinates": 0, **effort})
        if shows:
            draw(sys.stderr, f"network {number} of {len(cases)}")
    if shows:
        clear(sys.stderr)
    seconds = time.perf_counter() - started
    failed = [case for case, report in reports.items() if not report.passed]
    _say(args, f"gradients of {len(cases)} networks, by hand and by central differences", "")
    _say(args, indented(_activation_table(reports)), "")
    _say(args, "Each entry is the largest relative error of the networks with this pair of")
    _say(args, "activations: one and three hidden layers, tied or not, dropout or not.")
    _say(args, f"{len(cases) - len(failed)} of {len(cases)} pass, in {duration(seconds)}.")
    for case in failed:
        _say(args, "", str(case), indented(gradient_table(reports[case])))
    _emit(
        args,
        passed=not failed,
        n_cases=len(cases),
        n_failed=len(failed),
        cases=[{**asdict(case), **report.to_dict()} for case, report in reports.items()],
        seconds=seconds,
    )
    return 1 if failed else 0


# Data and models


@dataclass(frozen=True)
class Data:
    """Ratings with what is known about them; `titles` by the id as text."""

    label: str
    ratings: Ratings
    titles: dict[str, str]
    folds: dict[str, tuple[Ratings, Ratings]]

    def published_folds(self) -> dict[str, tuple[Ratings, Ratings]]:
        """Return the folds u1 to u5, or raise UsageError."""
        if not self.folds:
            raise UsageError(f"--folds needs published folds, which {self.label} lacks; use --cv 5")
        return {name: self.folds[name] for name in PUBLISHED_FOLDS}

    def metadata(self) -> dict[str, Any]:
        """Return what a saved model keeps: the name of the data, the titles of the rated items."""
        ids = map(str, self.ratings.item_ids)
        return {
            "dataset": self.label,
            "titles": {one: self.titles[one] for one in ids if one in self.titles},
        }


def _load_data(args: Args) -> Data:
    """Read the data set or the file that ``args.data`` names."""
    name = args.data
    reading = _reading_options(args)
    if name in MOVIELENS_NAMES:
        if reading:
            raise UsageError(f"{name} is a data set: --{next(iter(reading))} is for files")
        data = fetch_movielens(name, args.data_home, progress=not args.quiet)
        titles = {str(item): title for item, title in data.titles.items()}
        return Data(name, data.ratings, titles, data.folds)
    if not os.path.exists(name):
        close = difflib.get_close_matches(name, MOVIELENS_NAMES, 1)
        raise FileNotFoundError(
            f"{name!r} is neither a file nor a MovieLens name ({', '.join(MOVIELENS_NAMES)})"
            + (f"; did you mean {close[0]}?" if close else "")
        )
    return Data(name, read_ratings(name, **reading), {}, {})


def _reading_options(args: Args) -> dict[str, Any]:
    return {name: value for name in READING if (value := getattr(args, name)) is not None}


def _load_source(args: Args) -> tuple[Recommender, dict[str, str]]:
    """Return the model to recommend with, saved or trained now, and titles by item id."""
    name = args.data
    is_file = name not in MOVIELENS_NAMES and os.path.isfile(name)
    if is_file and (name.endswith(".npz") or looks_like_model(name)):
        if _reading_options(args) or len(_model_parameters(args)) > 1:
            raise UsageError(f"{name} is a saved model: options of reading and training do not fit")
        titles = read_metadata(name).get("titles", {})
        return load_model(name), titles if isinstance(titles, dict) else {}
    data = _load_data(args)
    model = AutoRec(**_model_parameters(args))
    if not args.quiet:
        complain(f"training on all ratings of {data.label} (train --save would keep the model)")
    _fit(args, model, data.ratings)
    return model, data.titles


def _model_parameters(args: Args) -> dict[str, Any]:
    names = AutoRec().get_params().keys()
    given = {name: getattr(args, name) for name in names if hasattr(args, name)}
    return {**given, "random_state": args.seed}


def _fit(args: Args, model: AutoRec, ratings: Ratings, on_terminal_only: bool = False) -> float:
    """Train with progress on stderr; return the seconds it took."""
    started = time.perf_counter()
    with _progress(args, on_terminal_only=on_terminal_only) as callbacks:
        model.set_params(callbacks=callbacks).fit(ratings)
    model.set_params(callbacks=())
    return time.perf_counter() - started


@contextmanager
def _progress(
    args: Args, n_runs: int = 1, on_terminal_only: bool = False
) -> Iterator[tuple[Progress, ...]]:
    """Yield the callbacks that show progress: none with --quiet."""
    on_terminal = sys.stderr.isatty()
    if args.quiet or not (on_terminal or args.verbosity or not on_terminal_only):
        yield ()
        return
    with Progress(sys.stderr, n_runs, as_lines=args.verbosity or not on_terminal) as progress:
        yield (progress,)


def _measure(model: AutoRec, training: Ratings, test: Ratings) -> tuple[Errors, int]:
    """Return the errors on the test ratings, baselines first, and the number of cold pairs."""
    users, items, values = test.triples()
    biases = BiasBaseline().fit(training)
    models = {"GlobalMean": GlobalMean().fit(training), "BiasBaseline": biases, MODEL: model}
    errors = {}
    for name, one in models.items():
        predicted = one.predict(users, items)
        errors[name] = {"rmse": rmse(values, predicted), "mae": mae(values, predicted)}
    return errors, int(np.count_nonzero(biases.cold_pairs(users, items)))


def _check_target(path: Path) -> None:
    """Raise before the training what would make saving fail after it."""
    folder = path.resolve().parent
    if path.is_dir():
        raise ValueError(f"--save {path}: this is a folder; name a file in it")
    if not folder.is_dir():
        raise ValueError(f"--save {path}: there is no folder {folder}; create it first")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"--save {path}: no permission to write to {folder}")


# Ids, pairs and titles on the command line


def _ids(texts: list[str], known: Array, kind: str, places: list[str]) -> list[Any]:
    """Return ids as the model has them; `places` say in an error where the text comes from."""
    if known.dtype.kind == "O":
        return list(texts)
    ids = []
    for text, place in zip(texts, places, strict=True):
        try:
            ids.append(int(text))
        except ValueError:
            raise ValueError(
                f"{place}the {kind} ids of this model are integers, got {text!r}"
            ) from None
    return ids


def _read_pairs(path: str, sep: str | None) -> tuple[list[str], list[tuple[str, str]]]:
    """Return places ("FILE, line 3: ") and (user, item) pairs of a text file."""
    places: list[str] = []
    pairs: list[tuple[str, str]] = []
    user, item = 0, 1
    for number, fields in _read_fields(path, sep):
        roles = known_roles(fields) if not pairs else {}
        if {"user", "item"} <= roles.keys():
            user, item = roles["user"], roles["item"]
            continue
        if len(fields) <= max(user, item):
            raise ValueError(f"{path}, line {number}: needs a user and an item, got {fields}")
        places.append(f"{path}, line {number}: ")
        pairs.append((fields[user], fields[item]))
    if not pairs:
        raise ValueError(f"{path} holds no pairs; write a user id and an item id in each line")
    return places, pairs


def _read_titles(args: Args) -> dict[str, str]:
    """Return titles by item id of the data set or the file that ``args.titles`` names."""
    if args.titles in MOVIELENS_NAMES:
        data = fetch_movielens(args.titles, args.data_home, progress=not args.quiet)
        return {str(item): title for item, title in data.titles.items()}
    return {fields[0]: fields[1] for _, fields in _read_fields(args.titles) if len(fields) > 1}


def _read_fields(path: str, sep: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of every line that is not blank; ``-`` is stdin."""
    with nullcontext(sys.stdin) if path == "-" else open(path, encoding="utf-8-sig") as stream:
        try:
            lines = [(number, line.strip()) for number, line in enumerate(stream, 1)]
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text ({error})") from None
    lines = [(number, line) for number, line in lines if line]
    if sep is None and lines:
        sep = next((one for one in SEPARATORS if one in lines[0][1]), "whitespace")
    for number, line in lines:
        if sep == "whitespace":
            yield number, line.split()
        elif sep is not None and len(sep) == 1:
            yield number, next(csv.reader([line], delimiter=sep, skipinitialspace=True))
        else:
            yield number, line.split(sep)


# Gradient checks of small networks


@dataclass(frozen=True)
class Case:
    """A small network, untrained, whose gradient is checked."""

    hidden_layer_sizes: tuple[int, ...] = (4,)
    activation: str = "sigmoid"
    output_activation: str = "identity"
    tied: bool = False
    dropout: float = 0.0


def _check_case(case: Case, seed: int, n_directions: int, n_coordinates: int) -> GradientReport:
    """Check the gradient of (2) in float64, at a random theta, on 30 ratings."""
    generator = np.random.default_rng(seed)
    ratings = make_ratings(n_users=9, n_items=7, n_ratings=30, random_state=generator).matrix
    targets = ratings.astype(np.float64)
    network = Network(
        targets.shape[1],
        case.hidden_layer_sizes,
        case.activation,
        case.output_activation,
        case.tied,
    )
    theta = generator.normal(0.0, 0.3, network.layout.size)
    objective = Objective(network, 0.7)
    masks = None
    if case.dropout:
        masks = dropout_masks(
            targets.shape[0], case.hidden_layer_sizes, case.dropout, generator, np.float64
        )
    return check_gradient(
        lambda point: objective.value_and_gradient(point, targets, targets, 1.0, masks),
        theta,
        network.layout,
        n_directions=n_directions,
        n_coordinates=n_coordinates,
        random_state=generator,
    )


def _activation_table(reports: dict[Case, GradientReport]) -> str:
    """Return the largest relative error, or FAIL, for each pair of activations."""

    def entry(hidden: str, output: str) -> str:
        of_pair = [
            report
            for case, report in reports.items()
            if (case.activation, case.output_activation) == (hidden, output)
        ]
        if not all(report.passed for report in of_pair):
            return "FAIL"
        errors = [block.relative_error for one in of_pair for block in one.blocks.values()]
        return f"{max(errors):.0e}"

    rows = [[hidden, *(entry(hidden, output) for output in ACTIVATIONS)] for hidden in ACTIVATIONS]
    return table(["hidden \\ output", *ACTIVATIONS], rows)


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


def _say_setting(args: Args, label: str, ratings: Ratings, model: AutoRec) -> None:
    _say(args, f"data    {label}: {describe_ratings(ratings)}")
    _say(args, f"model   {describe_model(model)}")


def _scores(errors: Errors, n_cold: int | None) -> dict[str, Any]:
    """Return the keys that every JSON report of errors has."""
    own = errors.get(MODEL, {"rmse": None, "mae": None})
    baselines = {name: one for name, one in errors.items() if name != MODEL}
    return {**own, "n_cold": n_cold, "baselines": baselines}


def _say_errors(args: Args, errors: Errors, n_cold: int, n_test: int) -> None:
    cold = f", {n_cold:,} of them cold" if n_cold else ""
    own, biases = errors[MODEL]["rmse"], errors["BiasBaseline"]["rmse"]
    side = "below" if own < biases else "above"
    percent = 100 * abs(own / biases - 1)
    rows = [[name, f"{one['rmse']:.4f}", f"{one['mae']:.4f}"] for name, one in errors.items()]
    _say(args, f"test    {n_test:,} held-out ratings (seed {args.seed}){cold}", "")
    _say(args, indented(table(["model", "RMSE", "MAE"], rows)), "")
    if n_cold:
        _say(args, "A rating is cold where its user or its item has no training rating.")
    _say(args, f"AutoRec's RMSE is {percent:.1f} % {side} that of the biases.")


def _passes(model: AutoRec, seconds: float) -> str:
    unit = "epoch" if model.solver in ("adam", "sgd") else "iteration"
    plural = "" if model.n_iter_ == 1 else "s"
    return f"{model.n_iter_} {unit}{plural} took {duration(seconds)}"


def _say_saved(args: Args, path: Path, training: Ratings) -> None:
    """Say what was saved and what to do with it."""
    _say(args, "", f"saved   {path} ({file_size(path.stat().st_size)})")
    if args.test_size > 0:
        _say(args, "        trained without the held-out ratings; --test-size 0 uses them too")
    words = ["autorec-np", "recommend", str(path), "--user", str(training.user_ids[0])]
    _say(args, f"next    {shlex.join(words)}")


def _shown_parameters(model: Recommender) -> dict[str, Any]:
    return {name: value for name, value in model.get_params().items() if name != "callbacks"}


def _list_lines(one: dict[str, Any]) -> list[str]:
    """Return a user's recommendations as lines; titles are cut to the width of a terminal."""
    found = one["items"]
    n_rated = one["n_rated"]
    items = "item" if len(found) == 1 else "items"
    heading = f"{len(found)} {items} for user {one['user']}, who rated {n_rated:,}"
    if not found:
        return [f"{heading}: no item is left"]
    rows = [
        [str(rank), f"{entry['score']:.2f}", str(entry["item"])]
        for rank, entry in enumerate(found, 1)
    ]
    header = ["", "score", "item"]
    if any(entry["title"] for entry in found):
        header.append("title")
        for row, entry in zip(rows, found, strict=True):
            row.append(entry["title"] or "")
    lines = indented(table(header, rows, left=(3,))).split("\n")
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        lines = [shortened(line, width) for line in lines]
    return [heading, "", *lines]
