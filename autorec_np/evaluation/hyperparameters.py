"""`search`: hyper-parameters by random search or successive halving.

The winner's RMSE, of lists NDCG, is too good to report: hold test ratings out before, and read them
once, after ``result.model.fit(train)``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn, TypeAlias

import numpy as np

from autorec_np._files import alone
from autorec_np._text import knows_habits, plain, table
from autorec_np._validation import check_choice, check_integer
from autorec_np.core.implicit import IMPLICIT
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.data.clicks import as_interactions
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.evaluation.cross_validation import (
    Executor,
    Task,
    evaluate,
    for_task,
    read_for,
    run_tasks,
)
from autorec_np.models.autorec import AutoRec, resolved_implicit, resolved_widths
from autorec_np.models.base import copy_unfitted
from autorec_np.models.ranking_autorec import RankingAutoRec
from autorec_np.training.checkpoint import WITHOUT_EFFECT
from autorec_np.training.solvers import DivergenceError
from autorec_np.training.trainer import (
    SOLVERS,
    automatic_penalties,
    corruption_for,
    short_on_purpose,
)

Space: TypeAlias = Mapping[str, Any]
Parameters: TypeAlias = dict[str, Any]

logger = logging.getLogger(__name__)

LARGEST_DIVISOR = 10  # of the epochs, in halving
DRAWS_PER_CANDIDATE = 100  # until a space is exhausted
SMALL_WEIGHT = 0.1  # w0 of a space around 0
NDCG = "NDCG@10"
HEADINGS = {"hidden_layer_sizes": "hidden", "learning_rate_init": "rate"}


@dataclass(frozen=True)
class LogUniform:
    """Numbers with uniform logarithm, to three digits."""

    low: float
    high: float

    def rvs(self, random_state: np.random.Generator) -> float:
        """Draw one, as `scipy.stats` does."""
        logarithm = random_state.uniform(math.log(self.low), math.log(self.high))
        return float(f"{math.exp(logarithm):.3g}")


def default_space(model: AutoRec, ratings: Any) -> dict[str, Any]:
    """Return a space around the defaults; penalties, of lists w0 too, within a factor of 8."""
    if not isinstance(model, AutoRec):
        raise TypeError(
            f"a {type(model).__name__} has no space by default; pass space={{name: [value, ...]}}."
        )
    matrix = as_interactions(ratings).matrix
    parameters = {name: getattr(model, name) for name in AutoRec().get_params()}

    def implicit_at(widths: Sequence[int]) -> int:
        return resolved_implicit(parameters | {"hidden_layer_sizes": widths})[0]

    sizes = resolved_widths(parameters)
    network = Network(1, sizes, tied=model.tied)
    space: dict[str, Any] = {}
    if isinstance(model, RankingAutoRec):
        penalties = dict(Objective(network, model.check_parameters()).penalties)
        w0 = model.unobserved_weight or SMALL_WEIGHT
        space["unobserved_weight"] = LogUniform(w0 / 8, 8 * w0)
    else:
        corruption = corruption_for(model.solver, model.corruption)
        penalties = automatic_penalties(network, matrix, corruption)
    units = implicit_at(sizes)
    if units:
        penalties[IMPLICIT] = penalties["decoder.weight"]
    space["regularization"] = {name: LogUniform(x / 8, 8 * x) for name, x in penalties.items() if x}
    widths = [
        (k,)
        for k in (50, 100, 200, 500)
        if implicit_at((k,)) <= k and bool(implicit_at((k,))) == bool(units)
    ]
    if len(sizes) == 1 and widths:
        space["hidden_layer_sizes"] = widths
    if model.solver == "adam":
        space["learning_rate_init"] = LogUniform(1e-3, 1e-2)
    if not SOLVERS[model.solver].full_batch:
        space["dropout"] = [0.0, 0.1, 0.2, 0.4]
        space["corruption"] = [0.0, 0.1, 0.3, 0.5, 0.7]
    return space


@dataclass(frozen=True)
class Trial:
    """One fit of one candidate; 0 is the model as given, `params` what differs from it.

    ``max_iter`` is divided by `divisor`, rounded up. `rmse` is on the validation ratings, infinite
    where training diverged; of lists it is NaN, and `ndcg` their NDCG@10. `seconds` of the fit.
    """

    candidate: int
    params: Parameters
    divisor: int
    rmse: float
    seconds: float = field(compare=False)
    ndcg: float | None = None

    @property
    def loss(self) -> float:
        """What is minimized: the RMSE, or 1 - NDCG."""
        return self.rmse if self.ndcg is None else 1.0 - self.ndcg

    @property
    def measured(self) -> str:
        return f"{self.rmse if self.ndcg is None else self.ndcg:.4f}"

    def __str__(self) -> str:
        part = "all epochs" if self.divisor == 1 else f"1/{self.divisor} of the epochs"
        name = "RMSE" if self.ndcg is None else NDCG
        return f"candidate {self.candidate}, {part}: {name} {self.measured}, {self.seconds:.1f} s"


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    `model` is unfitted, with the parameters of the `best` of those trained in full; `trials` are as
    they ran.
    """

    model: Any = field(compare=False)
    best: Trial
    trials: tuple[Trial, ...]
    n_train: int
    n_validation: int
    random_state: int

    @property
    def best_params(self) -> Parameters:
        return self.best.params

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict; an infinite RMSE is None."""
        names = "best", "n_train", "n_validation", "random_state", "trials"
        found: dict[str, Any] = plain({name: getattr(self, name) for name in names}, asdict)
        return found

    def __str__(self) -> str:
        last = {trial.candidate: trial for trial in self.trials}
        ranked = sorted(last.values(), key=lambda one: (one.divisor, *_rank(one)))
        flat = {trial.candidate: _flat(trial.params) for trial in self.trials}
        names = list(dict.fromkeys(name for one in flat.values() for name in one))
        rows = [
            [
                str(trial.candidate),
                "all" if trial.divisor == 1 else f"1/{trial.divisor}",
                trial.measured,
                *(flat[trial.candidate].get(name, "-") for name in names),
            ]
            for trial in ranked[:10]
        ]
        headings = [HEADINGS.get(name, name.removesuffix(".weight")) for name in names]
        name = "RMSE" if self.best.ndcg is None else NDCG
        return table(["no.", "epochs", name, *headings], rows)


@knows_habits
def search(
    model: Any,
    ratings: Any,
    space: Space | None = None,
    n_candidates: int = 27,
    *,
    strategy: str = "halving",
    factor: int = 3,
    validation_size: float = 0.1,
    random_state: int = 0,
    resume: str | os.PathLike[str] | None = None,
    callback: Callable[[Trial, int, int], Any] | None = None,
    executor: Executor | None = None,
    threshold: float | None = None,
) -> SearchResult:
    """Search for the parameters with the least validation RMSE, of lists the greatest NDCG@10.

    Parameters
    ----------
    model : estimator
        Candidate 0, trained in full. A `random_state` that is no int becomes that of the search.
    ratings : Ratings, sparse matrix, DataFrame or (users, items, ratings)
        Without the test ratings.
    space : mapping of str to list, distribution or mapping, optional
        Distributions are a :class:`LogUniform` or of `scipy.stats`; mappings make mappings, such as
        ``{"regularization": {"encoder.weight": LogUniform(100, 900)}}``. Values must be JSON-able.
        None: :func:`default_space`.
    n_candidates : int
        At most, with the model itself.
    strategy : {"halving", "random"}
        "random": all are trained in full. "halving": for a part of ``max_iter``, the best
        1 / `factor` anew for `factor` times as long, and so on (Jamieson and Talwalkar, 2016).
    factor : int
        At least 2.
    validation_size : float or int
        As `test_size` of :func:`autorec_np.data.splitting.train_test_split`.
    random_state : int
        Of candidates and split.
    resume : path, optional
        A file of JSON lines: settings, and every trial as it ends, in any order, which is not run
        again with the same settings. ``<resume>.lock`` keeps others out.
    callback : callable, optional
        Called with each new `Trial`, its number, and that of all.
    executor : Executor, optional
        As for :func:`cross_validate`.
    threshold : float, optional
        Of relevance in lists, as for :func:`evaluate`.

    Raises
    ------
    ValueError
        An unusable argument, a `resume` file that is damaged, foreign, of other settings or in use,
        or no training that converged.
    TypeError
        An unusable space, or values that are not JSON-able.
    """
    check_choice("strategy", strategy, ("halving", "random"))
    n_candidates = check_integer("n_candidates", n_candidates, minimum=1)
    factor = check_integer("factor", factor, minimum=2)
    seed = check_integer("random_state", random_state, minimum=0)
    whole = read_for(model, ratings)
    model = copy_unfitted(model)
    given = model.get_params()
    if not isinstance(given.get("random_state", 0), int | np.integer):
        model.set_params(random_state=seed)
    if strategy == "halving" and "max_iter" not in given:
        raise ValueError(
            f"strategy='halving' shortens max_iter, which {type(model).__name__} lacks; use "
            f"strategy='random'."
        )
    candidates = _draw(default_space(model, whole) if space is None else space, n_candidates, seed)
    training, validation = train_test_split(whole, validation_size, seed)
    rungs = _rungs(len(candidates), factor) if strategy == "halving" else [(1, len(candidates))]
    settings = {
        "format": "autorec_np search 1",
        "ratings": _digest(whole),
        "model": type(model).__name__,
        "parameters": {k: v for k, v in model.get_params().items() if k not in WITHOUT_EFFECT},
        "candidates": candidates,
        "strategy": strategy,
        "factor": factor,
        "validation_size": validation_size,
        "random_state": seed,
    }
    if threshold is not None:
        settings["threshold"] = float(threshold)
    with nullcontext() if resume is None else alone(Path(f"{os.fspath(resume)}.lock"), f"{resume}"):
        tried = model if executor is None else for_task(model)
        run_trial = partial(
            _run, tried, training=training, validation=validation, threshold=threshold
        )
        journal = _Journal(resume, settings)
        with closing(journal):
            trials, rung = _run_rungs(rungs, candidates, run_trial, journal, callback, executor)
    best = min(rung, key=_rank)
    if math.isinf(best.loss):
        raise ValueError("every training diverged; narrow the space, above all learning_rate_init.")
    return SearchResult(
        model.set_params(**best.params), best, tuple(trials), len(training), len(validation), seed
    )


def _run_rungs(
    rungs: Sequence[tuple[int, int]],
    candidates: Sequence[Parameters],
    run_trial: Callable[[int, Parameters, int], Trial],
    journal: _Journal,
    callback: Callable[[Trial, int, int], Any] | None,
    executor: Executor | None,
) -> tuple[list[Trial], list[Trial]]:
    n_trials = sum(size for _, size in rungs)
    trials: list[Trial] = []
    rung: list[Trial] = []
    numbers = [*range(len(candidates))]
    for divisor, size in rungs:
        known = [journal.trials.get((number, divisor)) for number in numbers[:size]]
        tasks = [
            Task(f"candidate {number}", run_trial, (number, candidates[number], divisor))
            for number, trial in zip(numbers, known, strict=False)
            if trial is None
        ]
        rung = []
        with closing(run_tasks(tasks, executor, journal.append)) as new:
            for number, trial in enumerate(known, len(trials) + 1):
                if trial is None:
                    trial = next(new)
                    journal.append(trial)
                    logger.info("trial %d of %d: %s", number, n_trials, trial)
                    if callback is not None:
                        callback(trial, number, n_trials)
                rung.append(trial)
        trials += rung
        numbers = [0, *(one.candidate for one in sorted(rung[1:], key=_rank))]
    return trials, rung


def _rank(trial: Trial) -> tuple[float, int]:
    return trial.loss, trial.candidate


def _draw(space: Space, n_candidates: int, seed: int) -> list[Parameters]:
    if not isinstance(space, Mapping):
        raise TypeError(
            f"space must map names of parameters to lists, distributions or mappings, got "
            f"{type(space).__name__}."
        )
    generator = np.random.default_rng(seed)
    found: dict[str, Parameters] = {"{}": {}}
    for _ in range(DRAWS_PER_CANDIDATE * n_candidates):
        if len(found) == n_candidates:
            break
        candidate = plain(_sample("space", space, generator), _refuse)
        found.setdefault(json.dumps(candidate), candidate)
    return list(found.values())


def _sample(name: str, space: Any, generator: np.random.Generator) -> Any:
    if isinstance(space, Mapping):
        return {key: _sample(str(key), one, generator) for key, one in space.items()}
    if hasattr(space, "rvs"):
        return space.rvs(random_state=generator)
    if isinstance(space, str) or not isinstance(space, Sequence | np.ndarray) or not len(space):
        raise TypeError(
            f"{name} in the space must be a list of values, a distribution with rvs or a mapping, "
            f"got {space!r}; pass [{space!r}]."
        )
    return space[int(generator.integers(len(space)))]


def _refuse(value: Any) -> NoReturn:
    raise TypeError(
        f"a value of the space must be JSON-able (numbers, strings, lists, mappings), got "
        f"{type(value).__name__}."
    )


def _rungs(n_candidates: int, factor: int) -> list[tuple[int, int]]:
    """Return (divisor of the epochs, candidates) of each rung."""
    divisors = [1]
    while factor * divisors[0] <= min(n_candidates, LARGEST_DIVISOR):
        divisors.insert(0, factor * divisors[0])
    rungs, n_drawn = [], n_candidates - 1
    for divisor in divisors:
        rungs.append((divisor, 1 + n_drawn))
        n_drawn = -(-n_drawn // factor)
    return rungs


def _run(
    model: Any,
    candidate: int,
    params: Parameters,
    divisor: int,
    training: Ratings,
    validation: Ratings,
    threshold: float | None,
) -> Trial:
    tried: Any = copy_unfitted(model)
    tried.set_params(**params)
    if divisor > 1:
        epochs = tried.max_iter or SOLVERS[tried.solver].max_iter
        tried.set_params(max_iter=-(-epochs // divisor))
    try:
        with short_on_purpose():
            result = evaluate(tried, training, validation, threshold=threshold)
        means, seconds = result.means, result.fit_seconds
        rmse, ndcg = means.get("rmse", math.nan), means.get("ndcg")
    except DivergenceError as error:
        logger.info("candidate %d: %s", candidate, error)
        rmse, seconds, ndcg = math.inf, math.nan, None
    return Trial(candidate, params, divisor, rmse, seconds, ndcg)


def _digest(ratings: Ratings) -> str:
    digest = hashlib.sha256()
    features: Any = ratings.features.values()
    ids = ratings.user_ids, ratings.item_ids
    for array in (*ratings.positions(), *ids, ratings.scale, *features):
        is_text = np.asarray(array).dtype.kind == "O"
        digest.update(json.dumps(list(array)).encode() if is_text else np.asarray(array).tobytes())
    return digest.hexdigest()


class _Journal:
    """The trials of a search by candidate and divisor, and their file.

    Tasks may end in any order, and after the search, which then keeps nothing of them.
    """

    def __init__(self, path: str | os.PathLike[str] | None, settings: dict[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self.trials: dict[tuple[int, int], Trial] = {}
        self._lock, self._closed = Lock(), False
        if self.path is None:
            return
        header = json.dumps(settings, default=str)
        content = self.path.read_bytes() if self.path.exists() else b""
        complete = content[: content.rfind(b"\n") + 1]
        if not complete and not header.encode().startswith(content):
            raise ValueError(f"{self.path} is not a file of `search`; name another file.")
        lines = [self._parse(line, n) for n, line in enumerate(complete.splitlines(), 1)]
        if lines:
            self._check_settings(lines[0], json.loads(header))
        if len(complete) < len(content):  # it was killed
            os.truncate(self.path, len(complete))
        if not lines:
            _write(self.path, header)
        for number, line in enumerate(lines[1:], 2):
            try:
                trial = Trial(**line)
                is_one = trial.params == settings["candidates"][trial.candidate]
            except (TypeError, LookupError):
                is_one = False
            if not is_one:
                raise self._damaged(number)
            if trial.rmse is None:
                diverged = {"rmse": math.inf, "seconds": math.nan}
                trial = replace(trial, **(diverged if trial.ndcg is None else {"rmse": math.nan}))
            self.trials.setdefault((trial.candidate, trial.divisor), trial)

    def append(self, trial: Trial) -> None:
        """Keep a trial that is not known yet."""
        key = trial.candidate, trial.divisor
        with self._lock:
            if key in self.trials or self._closed:
                return
            if self.path is not None:
                _write(self.path, json.dumps(plain(asdict(trial))))
            self.trials[key] = trial

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            parsed = json.loads(line)
            if isinstance(parsed, dict):
                return parsed
        except ValueError:
            pass
        raise self._damaged(number)

    def _damaged(self, number: int) -> ValueError:
        return ValueError(
            f"{self.path}, line {number} is not what `search` wrote there; delete it, or name "
            f"another file."
        )

    def _check_settings(self, there: dict[str, Any], here: dict[str, Any]) -> None:
        listed = "; ".join(
            f"{name} was {there.get(name)!r:.60}, is {value!r:.60}"
            for name, value in here.items()
            if there.get(name) != value
        )
        if listed:
            raise ValueError(
                f"{self.path} holds a search with other settings ({listed}); repeat them, or name "
                f"another file."
            )


def _write(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as stream:
        stream.write(line + "\n")


def _flat(params: Parameters) -> dict[str, str]:
    flat = {}
    for name, value in params.items():
        if isinstance(value, dict):
            flat.update(_flat(value))
        elif isinstance(value, list):
            flat[name] = "x".join(map(str, value))
        else:
            flat[name] = f"{value:g}" if isinstance(value, float) else str(value)
    return flat
