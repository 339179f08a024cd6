"""The commands that train: demo, train, tune, evaluate."""

from __future__ import annotations

import math
import multiprocessing
import shlex
import signal
import sys
import time
from argparse import SUPPRESS, Namespace
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from autorec_np import baselines, data, evaluation, models, reports, serving, training
from autorec_np._text import duration, epoch_line, indented, table
from autorec_np.cli.lists import (
    MEASURES,
    POPULAR,
    add_lists,
    add_ranking,
    check_told_apart,
    make_model,
    say_gain,
    say_measured,
    scores,
)
from autorec_np.cli.options import (
    CLEAR,
    COUNT,
    LINE_WIDTH,
    PART,
    Command,
    Parser,
    UsageError,
    add_data,
    add_fit_options,
    add_jobs,
    add_output,
    add_save,
    add_seed,
    check_writable,
    default_of,
    finish,
    held_out,
    list_best,
    load_data,
    say,
)

if TYPE_CHECKING:
    from autorec_np.data import Ratings
    from autorec_np.evaluation import Trial
    from autorec_np.evaluation.cross_validation import Evaluation
    from autorec_np.evaluation.held_out import RankingEvaluation
    from autorec_np.models import AutoRec, Recommender
    from autorec_np.training import EpochState

Errors: TypeAlias = "dict[str, dict[str, float]]"

MODEL = "AutoRec"
LISTS = "RankingAutoRec"
REDRAW_SECONDS = 0.1
PUBLISHED_FOLDS = ("u1", "u2", "u3", "u4", "u5")


class Progress:
    """A callback that shows epochs and time left, `as_lines` or in one."""

    def __init__(
        self,
        stream: TextIO,
        n_runs: int = 1,
        as_lines: bool = True,
        measure: str = "validation RMSE",
    ) -> None:
        self.measure = measure
        self.stream, self.n_runs, self.as_lines = stream, n_runs, as_lines
        self._run = 0
        self._epoch = math.inf
        self._drawn_at = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._drawn_at:
            print(CLEAR, end="", file=self.stream, flush=True)

    def __call__(self, state: EpochState) -> None:
        self._run += state.epoch <= self._epoch
        self._epoch = state.epoch
        line, now = self._line(state), time.monotonic()
        if self.as_lines:
            print(line, file=self.stream, flush=True)
        elif now - self._drawn_at >= REDRAW_SECONDS:
            print(f"\r{line:{LINE_WIDTH}.{LINE_WIDTH}}", end="", file=self.stream, flush=True)
            self._drawn_at = now

    def _line(self, state: EpochState) -> str:
        run = f"run {self._run} of {self.n_runs}, " if self.n_runs > 1 else ""
        n, seconds = state.n_epochs, state.seconds
        epoch = epoch_line(
            state.epoch, n, state.value, state.validation_rmse, seconds, self.measure
        )
        epochs_left = n * (1 + self.n_runs - self._run) - state.epoch
        left = f", {duration(seconds / state.epoch * epochs_left)} left" if epochs_left else ""
        return f"{run}{epoch}{left}"


@contextmanager
def progress(
    args: Namespace, n_runs: int = 1, model: AutoRec | None = None
) -> Iterator[tuple[Progress, ...]]:
    """Yield callbacks: none with --quiet."""
    measure = "1 - validation NDCG@10" if _is_list(model) else "validation RMSE"
    with Progress(sys.stderr, n_runs, not sys.stderr.isatty(), measure) as shown:
        yield () if args.quiet else (shown,)


def demo(args: Namespace) -> int:
    started = time.perf_counter()
    ratings, truth = data.make_ratings(
        n_users=1500,
        n_items=600,
        n_ratings=80_000,
        rank=2,
        noise=0.5,
        random_state=args.seed,
        return_truth=True,
    )
    model = models.AutoRec(hidden_layer_sizes=(50,), max_iter=30, random_state=args.seed)
    say(args, "Ratings made from user and item biases, two planted factors and noise.", "")
    content = _fit_and_test(args, "synthetic", ratings, model, 0.1, {"planted truth": truth})
    say(args, "The truth is the best that a model can reach.", "")

    report = reports.check_case(reports.Case(), args.seed)
    rows = [[name, b.verdict, f"{b.relative_error:.1e}"] for name, b in report.blocks.items()]
    say(args, "gradient of the objective, derived by hand, against central differences", "")
    say(args, indented(table(["block", "verdict", "relative error"], rows, left=(0, 1))), "")

    content["recommendations"] = list_best(args, model, [ratings.user_ids[0]], 5)
    say(args, "", "Next: autorec-np train ml-100k")
    finish(args, started, **content, gradient=report.to_dict())
    return 0 if report.passed else 1


def _add_demo(command: Parser) -> None:
    add_seed(command)
    add_output(command)


DEMO = Command(
    usage="[options]",
    summary="train on made-up ratings, check the gradient, recommend",
    description="""\
The ratings come from a known model: errors stand beside those of two baselines
and the best that a model can reach. Takes seconds.
""",
    examples=("autorec-np demo --json",),
    add_arguments=_add_demo,
    run=demo,
)


def train(args: Namespace) -> int:
    started = time.perf_counter()
    check_writable("--save", args.save)
    check_writable("--checkpoint", getattr(args, "checkpoint", None))
    if args.resume and "checkpoint" not in args:
        raise UsageError("--resume needs --checkpoint FILE")
    ratings, titles, _ = load_data(args, pairs=True)
    lists = args.lists or data.are_pairs(ratings)
    if not lists:
        check_told_apart(args.data, ratings)
    model = make_model(args, lists)
    with _saving(args, model, titles):
        content = _fit_and_test(args, args.data, ratings, model, args.test_size, {})
    finish(args, started, **content, saved=args.save)
    return 0


def _add_train(command: Parser) -> None:
    add_data(command)
    add_save(command)
    add = command.add_argument
    add(
        "--checkpoint",
        help="keep the state of the fit in FILE (default: nowhere)",
        default=SUPPRESS,
        metavar="FILE",
    )
    add(
        "--checkpoint-every",
        help="epochs from one to the next (default: as many as make it cheap)",
        type=COUNT,
        default=SUPPRESS,
        metavar="N",
    )
    add("--resume", help="go on from FILE, if it is there", action="store_true")
    add_fit_options(command)
    add_lists(command)


TRAIN = Command(
    usage="DATA [options]",
    summary="train on a data set or a file, report errors, save the model",
    description="""\
RMSE and MAE on held-out ratings stand beside those of two baselines. --save
stores the model that was measured; for the model to use, run again with
--test-size 0. Ctrl-C after the first epoch saves the best so far.

A file of two columns, user and item, says who chose what. A model of lists is
trained on it, and its NDCG@10 stands beside that of popularity. So it is with
--implicit on ratings.
""",
    examples=(
        "autorec-np train ratings.csv --scale 1 5 --save model.npz",
        "autorec-np train clicks.csv --save model.npz",
        "autorec-np train ml-1m --orientation user --hidden 500,100 --epochs 20",
        "autorec-np train ml-1m --test-size 0 --save model.npz",
        "autorec-np train ml-1m --save model.npz --checkpoint run.npz --resume",
    ),
    add_arguments=_add_train,
    run=train,
)


def tune(args: Namespace) -> int:
    started = time.perf_counter()
    check_writable("--save", args.save)
    ratings, titles, _ = load_data(args)
    model = make_model(args, lists=False)
    part, _ = _split(args, ratings, args.test_size)
    space = evaluation.default_space(model, part)
    space = {name: space[name] for name in space if name not in args}
    if not space:
        raise UsageError("nothing is left to search: leave out an option such as --regularization")
    say(
        args,
        f"search  {args.candidates} candidates, {args.strategy}, on "
        f"{100 * args.validation_size:g} % of {len(part):,} training ratings",
        f"        over {', '.join(space)}",
        "",
    )
    with processes(args.jobs) as executor:
        result = evaluation.search(
            model,
            part,
            space,
            args.candidates,
            strategy=args.strategy,
            validation_size=args.validation_size,
            random_state=args.seed,
            resume=args.resume,
            callback=None if args.quiet else _show_trial,
            executor=executor,
        )
    say(args, "validation RMSE (number 0 is the model without a change)", "")
    say(args, indented(str(result)), "")
    with _saving(args, result.model, titles):
        content = _fit_and_test(args, args.data, ratings, result.model, args.test_size, {})
    finish(args, started, **content, saved=args.save, search=result.to_dict())
    return 0


def _show_trial(trial: Trial, number: int, n_trials: int) -> None:
    print(f"trial {number} of {n_trials}: {trial}", file=sys.stderr, flush=True)


def _add_tune(command: Parser) -> None:
    add_data(command)
    add_save(command)
    command.add_argument(
        "-n",
        "--candidates",
        help="sets of parameters to try, the unchanged one too (default %(default)s)",
        type=COUNT,
        default=default_of(evaluation.search, "n_candidates"),
        metavar="N",
    )
    command.add_argument(
        "--strategy",
        help="train all in full, or successively fewer for longer (default %(default)s)",
        choices=["halving", "random"],
        default=default_of(evaluation.search, "strategy"),
    )
    command.add_argument(
        "--validation-size",
        help="share of the training ratings that compares the candidates (default %(default)s)",
        type=PART,
        default=default_of(evaluation.search, "validation_size"),
        metavar="SHARE",
    )
    command.add_argument(
        "--resume", help="keep the trials in FILE, go on from those there", metavar="FILE"
    )
    add_jobs(command)
    add_fit_options(command)


TUNE = Command(
    usage="DATA [options]",
    summary="search for the best parameters, test their model once",
    description="""\
Penalties, hidden width, learning rate, dropout and corruption are drawn around
the defaults, unless an option fixes them, and compared on validation ratings:
first all for few epochs, then the best third for more. The best model is
trained anew on all training ratings, then tested once.
""",
    examples=(
        "autorec-np tune ml-1m --hidden 200 --resume search.jsonl --save model.npz",
        "autorec-np tune ratings.csv -n 10 --strategy random --epochs 20",
    ),
    add_arguments=_add_tune,
    run=tune,
)


def evaluate(args: Namespace) -> int:
    for name, option in {"lists": "implicit", "model": "model", "relevant": "threshold"}.items():
        if getattr(args, name) and not args.ranking:
            raise UsageError(f"--{option} is for --ranking")
    if args.model is not None:
        return _evaluate_saved(args)
    started = time.perf_counter()
    ratings, _, published = load_data(args, pairs=args.ranking)
    model = make_model(args, args.lists or data.are_pairs(ratings))
    parameters = model.get_params()
    cv, n_runs, protocol = _protocol(args, published)
    _say_setting(args, args.data, ratings, model)
    say(args, f"splits  {protocol}", "")
    side_by_side = args.jobs > 1  # without epochs of other processes
    callback = _show_evaluation if side_by_side and not args.quiet else None
    beside = {POPULAR: baselines.Popularity()} if args.ranking else _baselines()
    with progress(args, n_runs, model) as callbacks, processes(args.jobs) as executor:
        model.set_params(callbacks=() if side_by_side else callbacks)
        compared: dict[str, Any] = {**beside, type(model).__name__: model}
        options: dict[str, Any] = {"random_state": args.seed, "threshold": args.relevant}
        options |= {"executor": executor, "callback": callback}
        if cv:
            results = evaluation.cross_validate(compared, ratings, cv, **options)
        else:
            repeats = n_runs, args.test_size
            results = evaluation.evaluate_repeats(compared, ratings, *repeats, **options)
    if args.ranking:
        found = {name: [one.ranking for one in x.evaluations] for name, x in results.items()}
        content = _compared_lists(args, found, model.set_params(callbacks=()))
        finish(args, started, **content, data=args.data, protocol=protocol)
        return 0
    difference = results.difference(MODEL, "BiasBaseline")
    say(args, indented(str(results)), "", f"RMSE, AutoRec - BiasBaseline: {difference}")
    errors = {
        name: {"rmse": result.rmse.mean, "mae": result.mae.mean} for name, result in results.items()
    }
    finish(
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


def _evaluate_saved(args: Namespace) -> int:
    started = time.perf_counter()
    ratings, _, _ = load_data(args, pairs=True)
    model: Any = serving.load_model(args.model)
    test = held_out(args, model, ratings)
    protocol = f"what {args.model} was not trained on"
    _say_data(args, args.data, ratings)
    say(args, f"test    {len(test):,} pairs, {protocol}", "")
    found = reports.beside_popularity(model, test, args.relevant)
    content = _compared_lists(args, found, model)
    finish(args, started, **content, data=args.data, protocol=protocol)
    return 0


def _compared_lists(
    args: Namespace, found: dict[str, list[RankingEvaluation]], model: AutoRec
) -> dict[str, Any]:
    name = type(model).__name__
    say_measured(args, found, [*MEASURES])
    content = scores(found, name)
    say_gain(args, name, content["ndcg"], content["baselines"][POPULAR]["ndcg"])
    return {**content, "parameters": model.get_params()}


def _show_evaluation(split: str, name: str, result: Evaluation) -> None:
    measure = result.shown[0]
    value = result.means[measure]
    print(f"{split}, {name}: {measure.upper()} {value:.4f}", file=sys.stderr, flush=True)


class _Pool(ProcessPoolExecutor):
    """Its work ends with its processes: some Pythons stumble over what was cancelled before."""

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Any:
        future: Any = super().submit(function, *arguments, **options)
        future.cancel = lambda: False
        return future


@contextmanager
def processes(n: int) -> Iterator[ProcessPoolExecutor | None]:
    if n == 1:
        yield None
        return
    before = {*multiprocessing.active_children()}
    with _Pool(
        n,
        multiprocessing.get_context("spawn"),  # which all systems have
        initializer=signal.signal,  # Ctrl-C ends them without a word
        initargs=(signal.SIGINT, signal.SIG_DFL),
    ) as pool:
        try:
            yield pool
        except BaseException:  # SIGTERM comes to this process alone
            for worker in {*multiprocessing.active_children()} - before:
                worker.terminate()
            raise


def _protocol(args: Namespace, published: dict[str, Any]) -> tuple[Any, int, str]:
    if not args.test_size:
        raise UsageError("evaluate needs test ratings: --test-size must be above 0")
    if args.folds:
        if not published:
            raise UsageError(f"--folds needs published folds, which {args.data} lacks; use --cv 5")
        folds = {name: published[name] for name in PUBLISHED_FOLDS}
        return folds, len(folds), f"published folds {', '.join(folds)}"
    if args.cv:
        return args.cv, args.cv, f"{args.cv}-fold cross-validation (seed {args.seed})"
    share = f"{100 * args.test_size:g} % for testing"
    return None, args.repeats, f"{args.repeats} random splits, {share} (from seed {args.seed})"


def _add_evaluate(command: Parser) -> None:
    add_data(command)
    protocol = command.add_mutually_exclusive_group()
    protocol.add_argument(
        "--repeats",
        help="random splits (default %(default)s)",
        type=COUNT,
        default=default_of(evaluation.evaluate_repeats, "repeats"),
        metavar="N",
    )
    protocol.add_argument("--cv", help="K-fold cross-validation instead", type=COUNT, metavar="K")
    protocol.add_argument(
        "--folds", help="the published folds u1 to u5 instead (ml-100k)", action="store_true"
    )
    add_jobs(command)
    add_fit_options(command)
    add_ranking(command)


EVALUATE = Command(
    usage="DATA [options]",
    summary="train and measure over random splits or folds",
    description="""\
AutoRec and two baselines see the same splits; mean errors come with 95 %
confidence intervals. By default as in the AutoRec paper: five random splits.

With --ranking, lists are measured beside those of popularity: of the model
that is trained, or of a saved one.
""",
    examples=(
        "autorec-np evaluate ml-1m --repeats 5 --jobs 2",
        "autorec-np evaluate ml-100k --folds",
        "autorec-np evaluate ratings.csv --cv 5 --epochs 20",
        "autorec-np evaluate ml-100k --ranking --model model.npz",
    ),
    add_arguments=_add_evaluate,
    run=evaluate,
)


def _baselines() -> dict[str, Recommender]:
    return {"GlobalMean": models.GlobalMean(), "BiasBaseline": models.BiasBaseline()}


def _split(args: Namespace, ratings: Ratings, test_size: float) -> tuple[Ratings, Ratings | None]:
    return data.train_test_split(ratings, test_size, args.seed) if test_size else (ratings, None)


def _fit_and_test(
    args: Namespace,
    label: str,
    ratings: Ratings,
    model: AutoRec,
    test_size: float,
    others: dict[str, Any],
) -> dict[str, Any]:
    """Return what --json tells."""
    _say_setting(args, label, ratings, model)
    parameters = model.get_params()
    part, test = _split(args, ratings, test_size)
    started = time.perf_counter()
    with progress(args, model=model) as callbacks, training.interrupts_end_all():
        resume = "checkpoint" in args and args.resume
        model.set_params(callbacks=callbacks).fit(part, resume=resume)
    fit_seconds = time.perf_counter() - started
    say(args, f"fit     {model.n_iter_} epochs or iterations in {duration(fit_seconds)}")
    errors: Errors = {}
    n_cold = None
    found: dict[str, Any] = {}
    if test is None:
        say(args, "test    none: all ratings are trained on (--test-size 0)", "")
    elif _is_list(model):
        threshold = model.get_params()["threshold"]
        least = ratings.matrix.data.min() if threshold is None else threshold
        found = reports.beside_popularity(model, test, float(least))
        say(args, f"test    {len(test):,} held-out pairs (seed {args.seed})", "")
        say_measured(args, found, ["ndcg", "recall", "hit_rate", "coverage"])
        say_gain(args, LISTS, *(found[name][0].ndcg for name in (LISTS, POPULAR)))
    else:
        compared = {name: one.fit(part) for name, one in _baselines().items()}
        users, items, values = test.triples()
        for name, one in {**compared, MODEL: model, **others}.items():
            predicted = one.predict(users, items)
            errors[name] = {key: getattr(data, key)(values, predicted) for key in ("rmse", "mae")}
        n_cold = int(compared["BiasBaseline"].cold_pairs(users, items).sum())
        _say_errors(args, errors, len(test), n_cold)
    return {
        **(scores(found, LISTS) if _is_list(model) else _scores(errors, n_cold)),
        "model": type(model).__name__,
        "data": label,
        "n_ratings": len(ratings),
        "n_train": len(part),
        "n_test": 0 if test is None else len(test),
        "parameters": parameters,
        "n_iter": model.n_iter_,
        "objective": model.loss_curve_[-1],
        "fit_seconds": fit_seconds,
    }


def _say_errors(args: Namespace, errors: Errors, n_test: int, n_cold: int) -> None:
    held_out = f"{n_test:,} held-out ratings (seed {args.seed}), {n_cold:,} of them cold"
    say(args, f"test    {held_out}", "")
    rows = [[name, f"{one['rmse']:.4f}", f"{one['mae']:.4f}"] for name, one in errors.items()]
    say(args, indented(table(["model", "RMSE", "MAE"], rows)), "")
    gain = 100 * (1 - errors[MODEL]["rmse"] / errors["BiasBaseline"]["rmse"])
    side = "below" if gain > 0 else "above"
    say(args, f"AutoRec's RMSE is {abs(gain):.1f} % {side} that of the biases.")
    if n_cold:
        say(args, "A rating is cold where its user or its item has no training rating.")


def _scores(errors: Errors, n_cold: int | None) -> dict[str, Any]:
    own = errors.get(MODEL, {"rmse": None, "mae": None})
    baselines = {name: one for name, one in errors.items() if name != MODEL}
    return {**own, "n_cold": n_cold, "baselines": baselines}


def _is_list(model: AutoRec | None) -> bool:
    return isinstance(model, models.RankingAutoRec)


def _say_data(args: Namespace, label: str, ratings: Ratings) -> None:
    say(args, f"data    {label}: {reports.describe_ratings(ratings)}")
    if ratings.columns is not None:
        say(args, f"        columns {ratings.columns}")
    if ratings.n_missing:
        say(args, f"        without {ratings.n_missing:,} that are no ratings (--missing)")


def _say_setting(args: Namespace, label: str, ratings: Ratings, model: AutoRec) -> None:
    _say_data(args, label, ratings)
    if _is_list(model):
        why = "two columns, user and item" if data.are_pairs(ratings) else "--implicit"
        say(args, f"lists   {LISTS} learns who chose what ({why})")
    say(args, f"model   {reports.describe_model(model)}")


@contextmanager
def _saving(args: Namespace, model: AutoRec, titles: dict[int, str]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if hasattr(model, "fitted_"):
            _save(args, model, titles)
        raise
    _save(args, model, titles)


def _save(args: Namespace, model: AutoRec, titles: dict[int, str]) -> None:
    if args.save is None:
        return
    path = Path(args.save)
    ids = model.ratings_.item_ids.tolist()
    known = {str(item): titles[item] for item in ids if item in titles}
    serving.save_model(model, path, metadata={"dataset": args.data, "titles": known})
    say(args, f"saved   {path}")
    if args.test_size:
        say(args, "        trained without the held-out ratings; --test-size 0 uses them too")
    user = str(model.ratings_.user_ids[0])
    say(args, f"next    autorec-np {shlex.join(['recommend', str(path), '--user', user])}")
