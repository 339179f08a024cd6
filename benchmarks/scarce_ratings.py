"""The defaults beside the biases where ratings are few: validation RMSE minus that of the biases.

    python -m benchmarks.scarce_ratings [WORD ...]  (of names of sets; needs the MovieLens archives)

Each set of real ratings is split twice at random, 90/10 (ML-1M once), and planted ones are drawn
six times and split once each. The test parts are not read; 10 % of each training part are the
validation ratings, which are pooled. "network alone" believes every column whole, as an explicit
penalty does; "default" believes it by its ratings (`training.reliability`). The last columns are of
the pairs whose user or item has at most five training ratings, with the standard error of the
difference.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from autorec_np import (
    AutoRec,
    BiasBaseline,
    Ratings,
    fetch_movielens,
    make_ratings,
    train_test_split,
)
from autorec_np.models.base import Recommender
from autorec_np.training.trainer import reliability, typical_root

FEW = 5
DRAWS = 6  # of planted ratings; one has only some 30 pairs with few ratings


def sets() -> Iterator[tuple[str, list[Ratings]]]:
    """Yield name and draws: parts of real ratings, few users, planted ones, whole sets."""
    rng = np.random.default_rng(0)
    for name in ("ml-100k", "ml-latest-small"):
        ratings = fetch_movielens(name).ratings
        for size in (5_000, 10_000, 20_000, 50_000):
            yield f"{name}, {size:,} ratings", 2 * [thinned(ratings, size, rng)]
        some = rng.choice(ratings.n_users, 50, replace=False)
        of_some = ratings.select(np.isin(ratings.positions()[0], some)).filter(1, 1)
        yield f"{name}, 50 users", 2 * [of_some]
    for n_users, n_items in ((1000, 800), (300, 200), (200, 80)):
        yield f"planted, {n_users} x {n_items}, 5,000 ratings", planted(n_users, n_items, 5_000)
    million = fetch_movielens("ml-1m").ratings
    users, items, _ = million.positions()
    within = np.isin(users, rng.choice(million.n_users, 3_000, replace=False))
    within &= np.isin(items, rng.choice(million.n_items, 3_000, replace=False))
    for size in (5_000, 20_000, 60_000, 120_000):
        part = thinned(million.select(within), size, rng)
        yield f"ml-1m, 3,000 x 3,000, {size:,} ratings", 2 * [part]
        yield f"planted, 3,000 x 3,000, {size:,} ratings", planted(3_000, 3_000, size)
    for name in ("ml-100k", "ml-latest-small"):
        yield name, 2 * [fetch_movielens(name).ratings]
    yield "ml-1m", [million]


def planted(n_users: int, n_items: int, size: int) -> list[Ratings]:
    """Draw planted ratings with one seed after the other."""
    return [make_ratings(n_users, n_items, size, random_state=seed) for seed in range(DRAWS)]


def thinned(ratings: Ratings, size: int, rng: np.random.Generator) -> Ratings:
    """Return so many of the ratings, without the users and items that have none of them."""
    part = rng.choice(len(ratings), size, replace=False)
    return ratings.select(np.sort(part)).filter(1, 1)


def main(words: list[str]) -> None:
    """Print a row of a Markdown table for each set and orientation."""
    columns = ["biases", "network alone", "default", "biases, few", "default, few", "s.e."]
    print("| ratings | root g | orientation |", " | ".join(columns), "|")
    print("|---" * (3 + len(columns)) + "|")
    for name, draws in sets():
        if words and not any(word in name for word in words):
            continue
        for orientation in ("item", "user"):
            root, *figures = differences(draws, orientation)
            shown = zip(("", "+", "+", "", "+", ""), figures, strict=True)
            cells = " | ".join(f"{figure:{sign}.4f}" for sign, figure in shown)
            print(f"| {name} | {root:.1f} | {orientation} | {cells} |", flush=True)


def differences(draws: list[Ratings], orientation: str) -> list[float]:
    """Return g and what the columns say: RMSE of the biases, and what the others add to it."""
    roots, parts = zip(
        *(squared_errors(one, orientation, seed) for seed, one in enumerate(draws)), strict=True
    )
    base, alone, default, few = np.concatenate(parts, axis=1)
    few = few.astype(bool)
    more = (default - base)[few]
    own, own_few = np.sqrt(base.mean()), np.sqrt(base[few].mean())
    worse = [float(np.sqrt(squares.mean()) - own) for squares in (alone, default)]
    worse_few = float(np.sqrt(default[few].mean()) - own_few)
    error = more.std() / np.sqrt(len(more)) / (2 * own_few)  # of the RMSE, by its derivative
    return [float(np.mean(roots)), float(own), *worse, float(own_few), worse_few, float(error)]


def squared_errors(ratings: Ratings, orientation: str, seed: int) -> tuple[float, np.ndarray]:
    """Return g, and (4, n) of the validation ratings: squared errors of biases, network, default.

    The last row tells whether the pair has few ratings.
    """
    train, _ = train_test_split(ratings, 0.1, seed)
    fit, validation = train_test_split(train, 0.1, 100 + seed)
    *pairs, truth = validation.triples()
    model = AutoRec(orientation, random_state=0).fit(fit)
    base, default = scores(BiasBaseline().fit(fit), pairs), scores(model, pairs)
    positions = zip(("user", "item"), model.fitted_.positions(*pairs), strict=True)
    users, items = (model.fitted_.counts[axis][places] for axis, places in positions)
    kept = reliability(users if orientation == "item" else items, model.shrinkage_)
    alone = base + (default - base) / np.where(kept > 0, kept, 1.0)
    squares = [(truth - np.clip(one, *fit.scale)) ** 2 for one in (base, alone, default)]
    few = (users <= FEW) | (items <= FEW)
    return typical_root(fit.matrix), np.array([*squares, few])


def scores(model: Recommender, pairs: list[np.ndarray]) -> np.ndarray:
    """Return unclipped scores."""
    return np.asarray(model.fitted_.score_pairs(*model.fitted_.positions(*pairs)))


if __name__ == "__main__":
    main(sys.argv[1:])
