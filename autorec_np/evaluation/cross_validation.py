"""Evaluation that cannot leak: fit on the training part, predict test *pairs*, pool the errors.

For each split, a copy of the model is fitted to the training ratings, and predicts *all* test
pairs, cold ones too, from their ids. Of models of lists, and whatever is beside them, the lists are
measured, as by `held_out.evaluate_ranking`. An executor changes no result: results, and the first
error, come in the order asked, and warnings of other processes are issued again.
"""

from __future__ import annotations

import logging
import numbers
import os
import platform
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, overload

import numpy as np

from autorec_np._text import beginning, knows_habits, table
from autorec_np._validation import RandomState, check_integer, check_random_state
from autorec_np.data.clicks import as_interactions
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.splitting import check_apart, k_fold, mae, rmse, train_test_split
from autorec_np.evaluation.held_out import (
    MeanInterval,
    RankingEvaluation,
    evaluate_ranking,
    mean_and_interval,
    own_threshold,
)
from autorec_np.models.base import check_not_empty, copy_unfitted
from autorec_np.models.interactions import ListRecommender
from autorec_np.training.trainer import interrupts_end_all

logger = logging.getLogger(__name__)


class Model(Protocol):
    def fit(self, R: Any, /) -> Any: ...

    def predict(self, user_ids: Any, item_ids: Any, /) -> Any: ...

    def get_params(self, deep: bool = ...) -> dict[str, Any]: ...


Models: TypeAlias = Mapping[str, Model]
Split: TypeAlias = tuple[Any, Any]
Folds: TypeAlias = int | Mapping[str, Split] | Iterable[Split]
Callback: TypeAlias = "Callable[[str, str, Evaluation], Any]"


@dataclass(frozen=True)
class Evaluation:
    """The result of one model on one split, over all test pairs.

    `n_cold` of them have no training ratings of user or item.
    """

    rmse: float
    mae: float
    n_train: int
    n_test: int
    n_cold: int
    fit_seconds: float
    predict_seconds: float

    shown: ClassVar[tuple[str, ...]] = ("rmse", "mae")

    @property
    def means(self) -> dict[str, float]:
        """By name."""
        return {name: getattr(self, name) for name in self.shown}

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"RMSE {self.rmse:.4f}, MAE {self.mae:.4f} on {self.n_test:,} test ratings "
            f"({self.n_cold:,} cold); {self.n_train:,} training ratings, "
            f"fit {self.fit_seconds:.2f} s, predict {self.predict_seconds:.2f} s"
        )


@dataclass(frozen=True)
class ListEvaluation:
    """The result of one model of lists on one split."""

    ranking: RankingEvaluation
    n_train: int
    n_test: int
    fit_seconds: float
    predict_seconds: float

    shown: ClassVar[tuple[str, ...]] = ("ndcg", "precision", "recall")

    @property
    def n_cold(self) -> int:
        """Relevant items without a training rating."""
        return self.ranking.n_cold

    @property
    def means(self) -> dict[str, float]:
        """By name: over users, and the coverage."""
        return {name: getattr(self.ranking, name) for name in (*self.ranking.intervals, "coverage")}

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict: that of `ranking`, and more."""
        more = {k: x for k, x in vars(self).items() if k != "ranking"}
        return self.ranking.to_dict() | more

    def __str__(self) -> str:
        return (
            f"{self.ranking}; {self.n_test:,} test and {self.n_train:,} training ratings, "
            f"fit {self.fit_seconds:.2f} s, recommend {self.predict_seconds:.2f} s"
        )


@dataclass(frozen=True)
class CrossValidation:
    """The results of one model on several splits, by name.

    `splits` are "1", ... of folds, or their own names; "seed 0", ... of random splits.
    """

    splits: tuple[str, ...]
    evaluations: tuple[Any, ...]  # of one kind

    def mean(self, name: str) -> MeanInterval:
        """Mean over the splits with its 95 % interval, of "rmse" or "mae"; of lists "ndcg", ..."""
        return mean_and_interval([one.means[name] for one in self.evaluations])

    @property
    def rmse(self) -> MeanInterval:
        """Mean over the splits with its 95 % interval; not of lists."""
        return self.mean("rmse")

    @property
    def mae(self) -> MeanInterval:
        """As `rmse`."""
        return self.mean("mae")

    @property
    def ndcg(self) -> MeanInterval:
        """As `rmse`, of lists."""
        return self.mean("ndcg")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict: means, and an entry per split."""
        return {
            **{name: self.mean(name).to_dict() for name in self.evaluations[0].means},
            "splits": [
                {"name": name, **one.to_dict()}
                for name, one in zip(self.splits, self.evaluations, strict=True)
            ],
        }

    def __str__(self) -> str:
        rows = [
            [
                name,
                *(f"{one.means[measure]:.4f}" for measure in one.shown),
                *(f"{n:,}" for n in (one.n_test, one.n_cold)),
                *(f"{t:.2f}" for t in (one.fit_seconds, one.predict_seconds)),
            ]
            for name, one in zip(self.splits, self.evaluations, strict=True)
        ]
        shown = self.evaluations[0].shown
        means = [self.mean(name) for name in shown]
        rows.append(["mean", *(f"{x.mean:.4f}" for x in means)])
        if len(self.splits) > 1:
            rows.append(["95 % CI", *(f"±{x.half_width:.4f}" for x in means)])
        return table(["split", *map(_heading, shown), "test", "cold", "fit s", "predict s"], rows)


class Comparison(dict[str, CrossValidation]):
    """The results of several models on the same splits, by name."""

    def difference(self, first: str, second: str) -> MeanInterval:
        """Mean over the splits of RMSE(first) - RMSE(second), with its 95 % interval.

        The first model is better where the whole interval is negative; of lists, whose NDCG is
        compared, positive.
        """
        pairs = zip(self[first].evaluations, self[second].evaluations, strict=True)
        name = self[first].evaluations[0].shown[0]
        return mean_and_interval([one.means[name] - other.means[name] for one, other in pairs])

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict of the results by model."""
        return {name: result.to_dict() for name, result in self.items()}

    def __str__(self) -> str:
        some = next(iter(self.values()))
        n_splits, shown = len(some.splits), some.evaluations[0].shown
        rows = []
        for name, result in self.items():
            means = [
                f"{x.mean:.4f}" + (f" ± {x.half_width:.4f}" if n_splits > 1 else "")
                for x in map(result.mean, shown)
            ]
            fit_seconds = np.mean([one.fit_seconds for one in result.evaluations])
            n_test = sum(one.n_test for one in result.evaluations)
            n_cold = sum(one.n_cold for one in result.evaluations)
            rows.append([name, *means, f"{n_test:,}", f"{n_cold:,}", f"{fit_seconds:.2f}"])
        over = "one split" if n_splits == 1 else f"mean ± 95 % CI over {n_splits} splits"
        columns = ["model", *map(_heading, shown), "test", "cold", "fit s"]
        return f"{over}; test and cold pairs in all\n{table(columns, rows)}"


def _heading(name: str) -> str:
    return name if name in ("precision", "recall") else name.upper()


@overload
def evaluate(
    model: ListRecommender, train: Any, test: Any, *, threshold: float | None = ...
) -> ListEvaluation: ...
@overload
def evaluate(
    model: Model, train: Any, test: Any, *, threshold: float | None = ...
) -> Evaluation: ...
def evaluate(
    model: Model, train: Any, test: Any, *, threshold: float | None = None
) -> Evaluation | ListEvaluation:
    """Fit a copy of `model` on `train` and measure its predictions of the pairs of `test`.

    Of a model of lists, measure its lists of 10.

    Parameters
    ----------
    model : estimator
        With ``fit``, ``predict`` and ``get_params``; Generators are copied too.
    train, test : Ratings, sparse matrix, DataFrame or (users, items, ratings)
        Without a common pair. Of lists, pairs of user and item too.
    threshold : float, optional
        Of relevance in lists: see :func:`held_out.evaluate_ranking`.

    Raises
    ------
    ValueError
        An empty part, a test pair in `train`, a missing or infinite prediction.
    TypeError
        `model` cannot be copied, or ids are of two kinds.
    """
    result: Evaluation | ListEvaluation
    result = _measure(model, train, test, measures_lists(model), threshold)
    logger.info("%s: %s", type(model).__name__, result)
    return result


def measures_lists(model: Model | Models) -> bool:
    """Return whether a model makes lists; of several, all are measured by their lists if one is."""
    models = model.values() if isinstance(model, Mapping) else (model,)
    return any(isinstance(one, ListRecommender) for one in models)


def read_for(model: Model | Models, data: Any) -> Ratings:
    """Return ratings; for lists, pairs too."""
    return as_interactions(data) if measures_lists(model) else as_ratings(data)


def _measure(model: Any, train: Any, test: Any, lists: bool, threshold: float | None) -> Any:
    read = as_interactions if lists else as_ratings
    training, test = read(train), read(test)
    check_not_empty(training, "train")
    check_not_empty(test, "test")
    check_apart(
        training,
        test,
        "so the error would be too small; split them with autorec_np.data.splitting, or call "
        "model.score for the training error.",
    )
    users, items, ratings = test.triples()
    fresh_model = copy_unfitted(model)
    start = time.perf_counter()
    with interrupts_end_all():
        fresh_model.fit(training)
    fitted = time.perf_counter()
    if lists:
        ranking = evaluate_ranking(fresh_model, test, threshold=threshold)
        end = time.perf_counter()
        return ListEvaluation(ranking, len(training), len(test), fitted - start, end - fitted)
    predicted = np.asarray(fresh_model.predict(users, items))
    end = time.perf_counter()
    if predicted.shape != ratings.shape:
        raise ValueError(
            f"{type(model).__name__}.predict returned shape {predicted.shape} for {len(ratings)} "
            f"test pairs; it must predict every pair, cold ones too."
        )
    trained_rows, trained_columns, _ = training.positions()
    is_warm = np.isin(training.user_positions(users), trained_rows)
    is_warm &= np.isin(training.item_positions(items), trained_columns)
    return Evaluation(
        rmse=rmse(ratings, predicted),
        mae=mae(ratings, predicted),
        n_train=len(training),
        n_test=len(ratings),
        n_cold=int(np.count_nonzero(~is_warm)),
        fit_seconds=fitted - start,
        predict_seconds=end - fitted,
    )


@overload
def cross_validate(
    model: Models,
    ratings: Any = ...,
    cv: Folds = ...,
    random_state: RandomState = ...,
    *,
    executor: Executor | None = ...,
    callback: Callback | None = ...,
    threshold: float | None = ...,
) -> Comparison: ...
@overload
def cross_validate(
    model: Model,
    ratings: Any = ...,
    cv: Folds = ...,
    random_state: RandomState = ...,
    *,
    executor: Executor | None = ...,
    callback: Callback | None = ...,
    threshold: float | None = ...,
) -> CrossValidation: ...
@knows_habits
def cross_validate(
    model: Model | Models,
    ratings: Any = None,
    cv: Folds = 5,
    random_state: RandomState = None,
    *,
    executor: Executor | None = None,
    callback: Callback | None = None,
    threshold: float | None = None,
) -> CrossValidation | Comparison:
    """Evaluate a model, or several on the same splits, by cross-validation.

    Parameters
    ----------
    model : estimator, or mapping of str to estimators
        As for :func:`evaluate`.
    ratings : Ratings, sparse matrix, DataFrame or (users, items, ratings)
        Not used where `cv` brings the splits.
    cv : int, mapping of str to (train, test), or iterable of (train, test)
        Random folds (:func:`autorec_np.data.splitting.k_fold`), or predefined ones, e.g.
        ``fetch_movielens("ml-100k").folds``.
    random_state : None, int or numpy.random.Generator
        Seed of random folds; the models keep theirs.
    executor : Executor, optional
        A pool of `concurrent.futures`, a Dask client's ``get_executor()``, or what else has
        ``submit``. ``n_jobs=None`` then means one thread.
    callback : callable, optional
        Called with the names of split and model ("" of a single one) and the `Evaluation`.
    threshold : float, optional
        As for :func:`evaluate`. None, among models of lists: their own, if there is one.

    Returns
    -------
    CrossValidation, or of a mapping Comparison

    Raises
    ------
    ValueError
        No split or model, and as :func:`evaluate`.
    TypeError
        `cv` is none of the above, or `ratings` are missing.
    """
    if isinstance(cv, numbers.Integral):
        if ratings is None:
            raise TypeError(f"cv={cv} asks for folds of the ratings, but ratings is None.")
        cv = k_fold(read_for(model, ratings), int(cv), random_state)
    if not isinstance(cv, Iterable):
        raise TypeError(
            f"cv must be an int, a mapping to (train, test), or an iterable of (train, "
            f"test), got {type(cv).__name__}."
        )
    splits = cv.items() if isinstance(cv, Mapping) else enumerate(cv, 1)
    return _evaluate_all(model, splits, executor, callback, threshold)


@overload
def evaluate_repeats(
    model: Models,
    ratings: Any,
    repeats: int = ...,
    test_size: float = ...,
    random_state: RandomState = ...,
    *,
    executor: Executor | None = ...,
    callback: Callback | None = ...,
    threshold: float | None = ...,
) -> Comparison: ...
@overload
def evaluate_repeats(
    model: Model,
    ratings: Any,
    repeats: int = ...,
    test_size: float = ...,
    random_state: RandomState = ...,
    *,
    executor: Executor | None = ...,
    callback: Callback | None = ...,
    threshold: float | None = ...,
) -> CrossValidation: ...
@knows_habits
def evaluate_repeats(
    model: Model | Models,
    ratings: Any,
    repeats: int = 5,
    test_size: float = 0.1,
    random_state: RandomState = 0,
    *,
    executor: Executor | None = None,
    callback: Callback | None = None,
    threshold: float | None = None,
) -> CrossValidation | Comparison:
    """Evaluate a model, or several on the same splits, on repeated random splits.

    By default five 90/10 splits, as in the paper (Sedhain et al., WWW 2015). Repeat i = 0, 1, ...
    uses ``train_test_split(ratings, test_size, random_state=random_state + i)``.

    Parameters
    ----------
    model, ratings, executor, callback, threshold
        As for :func:`cross_validate`, as are result and errors.
    repeats : int
        At least 1.
    test_size : float or int
        As in :func:`autorec_np.data.splitting.train_test_split`.
    random_state : None, int or numpy.random.Generator
        Seed of the first split; drawn from None or a Generator.
    """
    whole = read_for(model, ratings)
    repeats = check_integer("repeats", repeats, minimum=1)
    generator = check_random_state(random_state)
    if not isinstance(random_state, numbers.Integral):
        random_state = int(generator.integers(2**32))
    seeds = range(int(random_state), int(random_state) + repeats)
    splits = ((f"seed {seed}", train_test_split(whole, test_size, seed)) for seed in seeds)
    return _evaluate_all(model, splits, executor, callback, threshold)


def _evaluate_all(
    model: Model | Models,
    splits: Iterable[tuple[object, Split]],
    executor: Executor | None,
    callback: Callback | None,
    threshold: float | None,
) -> CrossValidation | Comparison:
    models: Models = model if isinstance(model, Mapping) else {"": model}
    if not models:
        raise ValueError("no model to evaluate: the mapping of models is empty.")
    lists = measures_lists(models)
    own = {own_threshold(one) for one in models.values()} - {None}
    if lists and threshold is None and own:
        threshold, *others = own
        if others:
            raise ValueError(
                "the models have other thresholds of their own; pass threshold=... to measure all "
                "lists alike."
            )
    if executor is not None:
        models = {name: for_task(one) for name, one in models.items()}
    places: list[tuple[str, str]] = []  # by task
    results: dict[str, list[Any]] = {name: [] for name in models}

    def tasks() -> Iterator[Task]:
        for split_name, split in splits:
            if not isinstance(split, tuple | list) or len(split) != 2:
                raise TypeError(
                    f"cv: split {split_name} must be a pair (train, test), got {split!r:.60}."
                )
            for model_name, one in models.items():
                name = f"split {split_name}, {model_name or type(one).__name__}"
                logger.info("%s", name)
                places.append((str(split_name), model_name))
                yield Task(name, _measure, (one, *split, lists, threshold))

    for number, result in enumerate(run_tasks(tasks(), executor)):
        split_name, model_name = places[number]
        results[model_name].append(result)
        shown_name = model_name or type(model).__name__
        logger.info("split %s, %s: %s", split_name, shown_name, result)
        if callback is not None:
            callback(split_name, model_name, result)
    if not places:
        raise ValueError("no split to evaluate on: cv is empty; pass pairs (train, test).")
    names = tuple(split_name for split_name, _ in places[:: len(models)])
    validated = {name: CrossValidation(names, tuple(results[name])) for name in models}
    return Comparison(validated) if isinstance(model, Mapping) else validated[""]


class Executor(Protocol):
    """See :func:`cross_validate`."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Return a future with ``result()`` and ``cancel()``."""


class Task(NamedTuple):
    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def run_tasks(
    tasks: Iterable[Task],
    executor: Executor | None,
    done: Callable[[Any], object] | None = None,
) -> Generator[Any]:
    """Yield what the tasks return, in order; errors begin with the name of their task.

    `done` is called with what each returns as it ends, where futures of the executor tell.
    """
    if executor is None:
        for task in tasks:
            with _named(task.name):
                result = task.function(*task.arguments)
            yield result
        return
    futures = []
    registry: dict[Any, Any] = {}  # to warn once
    try:
        for name, function, arguments in tasks:
            with _named(name):
                future = executor.submit(_run, _place(), function, *arguments)
            futures.append((name, future))
            if done is not None and hasattr(future, "add_done_callback"):
                future.add_done_callback(partial(_tell, done))
        for name, future in futures:
            with _named(name):
                result, caught = future.result()
                for message, category, filename, line in caught:
                    warnings.warn_explicit(message, category, filename, line, registry=registry)
            yield result
    finally:
        for _, future in futures:
            future.cancel()


def _tell(done: Callable[[Any], object], future: Any) -> None:
    if not future.cancelled() and future.exception() is None:
        done(future.result()[0])


def for_task(model: Any) -> Any:
    """Return an unfitted copy that trains in one thread by default."""
    model = copy_unfitted(model)
    if model.get_params(deep=False).get("n_jobs", 1) is None:
        model.set_params(n_jobs=1)
    return model


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        with beginning(name):
            yield
    except Exception:
        logger.error("%s failed", name)
        raise


def _place() -> tuple[str, int]:
    return platform.node(), os.getpid()


def _run(
    caller: tuple[str, int], function: Callable[..., Any], *arguments: Any
) -> tuple[Any, list[Any]]:
    if caller == _place():
        return function(*arguments), []
    with _recorder.recording() as caught:
        return function(*arguments), caught


class _Recorder:
    """Keeps the warnings of each thread; the common filters go with the last task."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._filters = warnings.catch_warnings()
        self._caught: ContextVar[list[Any] | None] = ContextVar("caught", default=None)

    @contextmanager
    def recording(self) -> Iterator[list[Any]]:
        caught: list[Any] = []
        self._enter()
        before = self._caught.set(caught)
        try:
            yield caught
        finally:
            self._caught.reset(before)
            with self._lock:
                self._n_inside -= 1
                if self._n_inside == 0:
                    self._filters.__exit__(None, None, None)

    def _enter(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("always")
                show = warnings.showwarning

                def keep(message: Any, category: Any, filename: str, line: int, *rest: Any) -> None:
                    caught = self._caught.get()
                    if caught is None:
                        show(message, category, filename, line, *rest)
                    else:
                        caught.append((message, category, filename, line))

                warnings.showwarning = keep  # type: ignore[assignment]
            self._n_inside += 1


_recorder = _Recorder()
