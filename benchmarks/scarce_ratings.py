"""The defaults beside the biases where ratings are few: validation RMSE minus that of the biases.

    python -m benchmarks.scarce_ratings [WORD ...]  (of names of sets; needs the MovieLens archives)

For each set, two random 90/10 splits are made (of ML-1M one) and their test parts not read; 10 % of
each training part are the validation ratings. "network alone" believes every column whole, as an
explicit penalty does; "default" believes it by its ratings (`training.reliability`). The last two
columns are of the pairs whose user or item has at most five training ratings.
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
    rmse,
    train_test_split,
)
from autorec_np.models.base import Recommender
from autorec_np.training.start import reliability, typical_root

FEW = 5


def sets() -> Iterator[tuple[str, Ratings]]:
    """Yield name and ratings: random parts of real ratings, few users, planted ones, whole sets."""
    rng = np.random.default_rng(0)
    for name in ("ml-100k", "ml-latest-small"):
        ratings = fetch_movielens(name).ratings
        for size in (5_000, 10_000, 20_000, 50_000):
            yield f"{name}, {size:,} ratings", thinned(ratings, size, rng)
        some = rng.choice(ratings.n_users, 50, replace=False)
        of_some = ratings.select(np.isin(ratings.positions()[0], some)).filter(1, 1)
        yield f"{name}, 50 users", of_some
    for n_users, n_items in ((1000, 800), (300, 200), (200, 80)):
        planted = make_ratings(n_users, n_items, 5_000, random_state=0)
        yield f"planted, {n_users} x {n_items}, 5,000 ratings", planted
    million = fetch_movielens("ml-1m").ratings
    users, items, _ = million.positions()
    within = np.isin(users, rng.choice(million.n_users, 3_000, replace=False))
    within &= np.isin(items, rng.choice(million.n_items, 3_000, replace=False))
    for size in (5_000, 20_000, 60_000, 120_000):
        yield f"ml-1m, 3,000 x 3,000, {size:,} ratings", thinned(million.select(within), size, rng)
        planted = make_ratings(3_000, 3_000, size, random_state=1)
        yield f"planted, 3,000 x 3,000, {size:,} ratings", planted
    for name in ("ml-100k", "ml-latest-small", "ml-1m"):
        yield name, fetch_movielens(name).ratings


def thinned(ratings: Ratings, size: int, rng: np.random.Generator) -> Ratings:
    """Return so many of the ratings, without the users and items that have none of them."""
    part = rng.choice(len(ratings), size, replace=False)
    return ratings.select(np.sort(part)).filter(1, 1)


def main(words: list[str]) -> None:
    """Print a row of a Markdown table for each set and orientation."""
    columns = ["biases", "network alone", "default", "biases, few", "default, few"]
    print("| ratings | root g | orientation |", " | ".join(columns), "|")
    print("|---" * (3 + len(columns)) + "|")
    for name, ratings in sets():
        if words and not any(word in name for word in words):
            continue
        for orientation in ("item", "user"):
            seeds = (0,) if name == "ml-1m" else (0, 1)
            rows = [differences(ratings, orientation, seed) for seed in seeds]
            root, bias, alone, default, few, default_few = np.mean(rows, axis=0)
            cells = f"{bias:.4f} | {alone:+.4f} | {default:+.4f} | {few:.4f} | {default_few:+.4f}"
            print(f"| {name} | {root:.1f} | {orientation} | {cells} |", flush=True)


def differences(ratings: Ratings, orientation: str, seed: int) -> list[float]:
    """Return g, the RMSE of the biases, and how much the network and the default add to it."""
    train, _ = train_test_split(ratings, 0.1, seed)
    fit, validation = train_test_split(train, 0.1, 100 + seed)
    *pairs, truth = validation.triples()
    biases = BiasBaseline().fit(fit)
    model = AutoRec(orientation, random_state=0).fit(fit)
    base, default = scores(biases, pairs), scores(model, pairs)
    users, items = (
        counts[places]
        for counts, places in zip(
            (model.fitted_.counts["user"], model.fitted_.counts["item"]),
            model.fitted_.positions(*pairs),
            strict=True,
        )
    )
    kept = reliability(users if orientation == "item" else items, model.shrinkage_)
    alone = base + (default - base) / np.where(kept > 0, kept, 1.0)
    few = (users <= FEW) | (items <= FEW)

    def error(scored: np.ndarray, of: np.ndarray | slice = slice(None)) -> float:
        return rmse(truth[of], np.clip(scored[of], *fit.scale))

    own = error(base)
    worse = [error(scored) - own for scored in (alone, default)]
    own_few = error(base, few)
    return [typical_root(fit.matrix), own, *worse, own_few, error(default, few) - own_few]


def scores(model: Recommender, pairs: list[np.ndarray]) -> np.ndarray:
    """Return unclipped scores."""
    return np.asarray(model.fitted_.score_pairs(*model.fitted_.positions(*pairs)))


if __name__ == "__main__":
    main(sys.argv[1:])
