"""Test RMSE of the models that the README and results/accuracy.md speak of.

    python -m benchmarks.accuracy                     # every row
    python -m benchmarks.accuracy ml-1m-defaults u1   # the rows whose name contains a word

Each row is fitted on the training part of each of its splits; test ratings are read once, after
the fit. Needs the MovieLens archives (see the README, "Data").
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from autorec_np import (
    LLORMA,
    AutoRec,
    BayesianMF,
    BiasBaseline,
    BiasedMF,
    Blend,
    RatingRBM,
    Ratings,
    SVDpp,
    fetch_movielens,
    rmse,
    train_test_split,
)
from autorec_np.evaluation.held_out import mean_and_interval
from autorec_np.models.base import Recommender, copy_unfitted

N_ML1M_SPLITS = 3
BIAS_ROW = BiasBaseline(regularization=5.0)
EQUATION_2 = {"implicit": 0, "inputs": "ratings", "baseline": None, "corruption": 0.0}
ADAM = {**EQUATION_2, "batch_size": 256, "learning_rate_init": 3e-3}
# More epochs, more steps and more units that are told who rated what: chosen on validation ratings
BEST_ITEM = {"implicit": 250, "batch_size": 256, "max_iter": 30}
BEST_USER = {"implicit": 150, "batch_size": 256, "max_iter": 30, "corruption": 0.4}


def blend() -> Blend:
    """Return the best blend: two seeds and both orientations, with planes and without."""
    members = [
        ("item", AutoRec(**BEST_ITEM)),
        ("seed", AutoRec(**BEST_ITEM)),
        ("ratings", AutoRec(**BEST_ITEM, inputs="ratings")),
        ("user", AutoRec("user", **BEST_USER)),
    ]
    return Blend(members, random_state=0)


class Row(NamedTuple):
    """One row of the table: a model on the splits of a data set."""

    name: str
    data: str
    splits: str
    model: Recommender


ROWS = [
    Row("ml-1m-bias", "ml-1m", "random", BIAS_ROW),
    Row(
        "ml-1m-item-eq2-adam",
        "ml-1m",
        "random",
        AutoRec(**ADAM, regularization=300.0, max_iter=40, random_state=0),
    ),
    Row(
        "ml-1m-item-eq2-lbfgs",
        "ml-1m",
        "random",
        AutoRec(**EQUATION_2, regularization=400.0, solver="lbfgs", random_state=0),
    ),
    Row("ml-1m-defaults-item", "ml-1m", "random", AutoRec(random_state=0)),
    Row("ml-1m-defaults-user", "ml-1m", "random", AutoRec(orientation="user", random_state=0)),
    Row("ml-1m-best-item", "ml-1m", "random", AutoRec(**BEST_ITEM, random_state=0)),
    Row("ml-1m-best-user", "ml-1m", "random", AutoRec("user", **BEST_USER, random_state=0)),
    Row("ml-1m-blend", "ml-1m", "random", blend()),
    Row("baseline-bmf-als", "ml-1m", "random", BiasedMF(random_state=0)),
    Row("baseline-bmf-sgd", "ml-1m", "random", BiasedMF(solver="sgd", random_state=0)),
    Row("baseline-svdpp", "ml-1m", "random", SVDpp(random_state=0)),
    Row("baseline-llorma", "ml-1m", "random", LLORMA(random_state=0)),
    Row("baseline-bayesian", "ml-1m", "random", BayesianMF(random_state=0)),
    Row("baseline-rbm-item", "ml-1m", "random", RatingRBM(random_state=0)),
    Row("baseline-rbm-user", "ml-1m", "random", RatingRBM("user", random_state=0)),
    *(
        row
        for fold in ("u1", "u2", "u3", "u4", "u5")
        for row in (
            Row(f"ml-100k-{fold}-bias", "ml-100k", fold, BIAS_ROW),
            Row(f"ml-100k-{fold}-defaults", "ml-100k", fold, AutoRec(random_state=0)),
        )
    ),
    Row("ml-latest-small-bias", "ml-latest-small", "random", BIAS_ROW),
    Row("ml-latest-small-defaults", "ml-latest-small", "random", AutoRec(random_state=0)),
]


def splits_of(row: Row) -> Iterator[tuple[str, Ratings, Ratings]]:
    """Yield (name, train, test): a predefined fold, or random 90/10 splits with seeds 0, 1, 2."""
    data = fetch_movielens(row.data)
    if row.splits in data.folds:
        yield row.splits, *data.folds[row.splits]
        return
    for seed in range(N_ML1M_SPLITS):
        yield f"seed {seed}", *train_test_split(data.ratings, test_size=0.1, random_state=seed)


def measure(row: Row) -> None:
    """Fit the row's model on each split and print a line for each, and one for the mean."""
    figures = []
    for split, train, test in splits_of(row):
        users, items, ratings = test.triples()
        model = copy_unfitted(row.model)
        started = time.perf_counter()
        model.fit(train)
        seconds = time.perf_counter() - started
        figures.append(rmse(ratings, model.predict(users, items)))
        n_cold = int(model.cold_pairs(users, items).sum())
        work = ""
        if isinstance(model, AutoRec):
            work = f", {model.n_iter_} iterations, {model.n_evaluations_} evaluations"
        print(
            f"{row.name:26} {split:8} RMSE {figures[-1]:.4f}  cold {n_cold}  "
            f"fit {seconds:.1f} s{work}",
            flush=True,
        )
    if len(figures) > 1:
        summary = mean_and_interval(np.array(figures))
        print(f"{row.name:26} mean     RMSE {summary.mean:.4f}", flush=True)


def main(words: list[str]) -> None:
    """Measure the rows whose name contains one of the words; all rows without words."""
    for row in ROWS:
        if not words or any(word in row.name for word in words):
            measure(row)


if __name__ == "__main__":
    main(sys.argv[1:])
