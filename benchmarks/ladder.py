"""From the Keras program to the paper and beyond: one repair at a time, on the same ratings.

    python -m benchmarks.keras_program --ladder           # measure what is missing, and print all
    python -m benchmarks.keras_program --ladder adam      # rungs whose name contains a word

Each rung keeps the repairs below it and adds one. From the rung on where ratings are hidden, all
rungs have the same split: 10 % of ml-latest-small are the test ratings (seed 0). What a rung has to
choose (rate, lambda, epochs) is chosen on 10 % of the training part (seed 1); then it is trained on
the whole training part, and the test ratings are read once.

One line of results/keras_program.jsonl is one rung. A line that is there is not measured again.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from autorec_np import (
    AutoRec,
    BiasBaseline,
    GlobalMean,
    Ratings,
    fetch_movielens,
    rmse,
    train_test_split,
)
from autorec_np.models.base import Recommender
from benchmarks.keras_program import (
    DATA,
    Program,
    Task,
    Trained,
    by_item,
    draw,
    score,
    task_of,
    train,
)
from benchmarks.paper import journal

RESULTS = Path(__file__).parent / "results" / "keras_program.jsonl"
RATES = (1e-4, 3e-4, 1e-3)
PENALTIES = (100.0, 300.0, 1000.0)
PENALTIES_AT_THE_MINIMUM = (300.0, 500.0, 700.0, 1000.0)
N_IMPLICIT = 61  # a fifth of the units, as `AutoRec`

Grid: TypeAlias = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Rung:
    """One repair.

    Parameters
    ----------
    name : str
    label : str
        What was repaired, for a table.
    program : Program
    grid : dict
        Values to try of one argument, {} where there is nothing to choose; the best number of
        epochs is found with them, but L-BFGS has all its iterations.
    after : str, optional
        The rung whose chosen rate is kept.
    """

    name: str
    label: str
    program: Program
    grid: Grid = field(default_factory=dict)
    after: str | None = None


def rungs() -> list[Rung]:
    """Return the ladder, lowest rung first."""
    found: list[Rung] = []

    def add(
        name: str, label: str, grid: Grid | None = None, after: str | None = None, **change: Any
    ) -> None:
        below = found[-1].program if found else Program()
        found.append(Rung(name, label, replace(below, **change), grid or {}, after))

    add("program", "the Keras program")
    add("masked", "holes masked in the metric too", metric="masked")
    add("metric", "the metric over rated cells", metric="rated cells")
    add("ratings", "ratings are hidden, not rows", hidden="ratings")
    add("scale", "the rating scale onto the sigmoid's range", scaled=True)
    rates, penalties = {"learning_rate": RATES}, {"regularization": PENALTIES}
    add("sum", "a sum over ratings, not a mean over cells", rates, loss="sum over ratings")
    swapped = {"activation": "sigmoid", "output_activation": "identity"}
    add("sigmoid", "the sigmoid in the codes, not in the output", rates, **swapped)
    batches = {"batch_size": 64, "epochs": 20}
    add("adam", "Adam, in batches of 64", rates, optimizer="adam", **batches)
    add("lambda", "lambda of (2), on both weights", penalties, "adam", regularization=0.0)
    penalties = {"regularization": PENALTIES_AT_THE_MINIMUM}
    add("lbfgs", "L-BFGS in place of Adam", penalties, optimizer="lbfgs", epochs=120)
    add("biases", "biases subtracted", penalties, biases=True)
    add("implicit", "the implicit decoder", penalties, implicit=N_IMPLICIT)
    return found


# What needs no network, and the estimator with all that it has
MODELS: dict[str, tuple[str, Recommender]] = {
    "mean": ("the mean of the ratings", GlobalMean()),
    "bias baseline": ("mean and biases, no network", BiasBaseline()),
    "defaults": ("`AutoRec()`, all defaults", AutoRec(random_state=0, n_jobs=1)),
}


class Parts:
    """The ratings, the split that all rungs share, and the networks that were trained on it."""

    def __init__(self, ratings: Ratings) -> None:
        self.ratings = ratings
        self.train, self.test = train_test_split(ratings, 0.1, random_state=0)
        self.fit, self.validation = train_test_split(self.train, 0.1, random_state=1)
        self.trained: dict[Program, tuple[Task, Trained]] = {}


def measure(rung: Rung, parts: Parts, done: dict[str, Any]) -> dict[str, Any]:
    """Choose on the validation ratings, train on the training part, and read the test ratings."""
    program, tried = rung.program, []
    if rung.after:
        program = replace(program, learning_rate=done[rung.after]["program"]["learning_rate"])
    for name, values in rung.grid.items():
        for value in values:
            candidate = replace(program, **{name: value})
            course = epochs_of(candidate, parts.fit, parts.validation)
            errors = [score(candidate, *epoch).true for epoch in course]
            # L-BFGS goes to the minimum of (2); the others may have to stop before it
            last = candidate.optimizer == "lbfgs"
            epochs = len(errors) if last else int(np.argmin(errors)) + 1
            tried.append({name: value, "epochs": epochs, "validation RMSE": errors[epochs - 1]})
    if tried:
        best = min(tried, key=lambda one: one["validation RMSE"])
        program = replace(program, **{x: best[x] for x in best if x != "validation RMSE"})
    whole = parts.ratings if program.hidden == "rows" else parts.train
    network = replace(program, metric="")  # which the metric does not change
    if network not in parts.trained:
        *_, parts.trained[network] = epochs_of(program, whole, parts.test)
    task, last = parts.trained[network]
    found: dict[str, Any] = score(program, task, last)._asdict()
    if program.hidden == "rows":
        rated = task.test.nnz / np.prod(task.test.shape)
        mean = np.full(task.test.nnz, task.inputs.data.mean())
        found |= {"rated share": rated, "mean's RMSE": rmse(task.test.data, mean)}
    return found | {"program": asdict(program), "tried": tried}


def epochs_of(
    program: Program, train_part: Ratings, test_part: Ratings
) -> Iterator[tuple[Task, Trained]]:
    """Train, and yield the task with the network after each epoch."""
    draws = draw(program, by_item(train_part).shape)
    task = task_of(program, train_part, test_part, draws)
    for epoch in train(program, task, draws):
        yield task, epoch


def measure_model(model: Recommender, parts: Parts) -> dict[str, Any]:
    """Fit a model of the package on the training part, and read the test ratings."""
    users, items, ratings = parts.test.triples()
    true = rmse(ratings, model.fit(parts.train).predict(users, items))
    return {"reported": true, "true": true}


class Key(NamedTuple):
    """What a line of the file is found by."""

    name: str


def load(path: Path = RESULTS) -> dict[str, Any]:
    """Return the lines of the file by name."""
    return {key.name: line for key, line in journal.read(path, Key).items()}


def climb(words: Sequence[str] = (), path: Path = RESULTS) -> None:
    """Measure the rungs that the file does not have yet, and print the table."""
    parts = Parts(fetch_movielens(DATA).ratings)
    all_rungs = {rung.name: rung for rung in rungs()}
    for name in [*all_rungs, *MODELS]:
        if name in load(path) or (words and not any(word in name for word in words)):
            continue
        started = time.process_time()
        if name in all_rungs:
            label, found = all_rungs[name].label, measure(all_rungs[name], parts, load(path))
        else:
            label, found = MODELS[name][0], measure_model(MODELS[name][1], parts)
        line = {"label": label, **found}
        line["CPU seconds"] = round(time.process_time() - started, 1)
        line["versions"] = {x: version(x) for x in ("numpy", "scipy")} | {
            "python": platform.python_version()
        }
        line["date"] = date.today().isoformat()
        journal.append(path, Key(name), line)
        print(f"{name:14} true {line['true']:.4f}  {line['CPU seconds']} s", flush=True)
    print(table(load(path)))


def table(done: dict[str, Any]) -> str:
    """Return the ladder as a Markdown table; a rung that is not measured yet is blank."""
    lines = ["| step | reported | true | chosen on validation ratings |", "|---|---|---|---|"]
    labels = {rung.name: rung.label for rung in rungs()} | {x: MODELS[x][0] for x in MODELS}
    for name, label in labels.items():
        line = done.get(name, {})
        figures = [f"{line[key]:.4f}" if line else "" for key in ("reported", "true")]
        lines.append(f"| {label} | {' | '.join(figures)} | {choice(line)} |")
    return "\n".join(lines)


def choice(line: dict[str, Any]) -> str:
    """Return what a rung has chosen, as words."""
    if not line.get("tried"):
        return ""
    program = line["program"]
    words = {"learning_rate": "rate", "regularization": "lambda"}
    chosen = [f"{words[name]} {program[name]:g}" for name in words if name in line["tried"][0]]
    unit = "iterations" if program["optimizer"] == "lbfgs" else "epochs"
    return ", ".join([*chosen, f"{program['epochs']} {unit}"])
