"""How many held-out ratings the intervals of `predict(interval=...)` hold, and how wide they are.

    python -m benchmarks.coverage [DATA SET ...]      (needs ml-100k, ml-latest-small and ml-1m)

Three random 90/10 splits, seeds 0, 1 and 2. Each model is fitted on the training part and
calibrated inside it; the test ratings are read once, and those of the splits are pooled. "At most
20" are the test ratings of users with at most 20 training ratings. The standard error is that of a
binomial proportion, sqrt(p (1 - p) / n) with p the level. A star marks a coverage that is off by
more than 2 points and by more than two standard errors.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from autorec_np import AutoRec, BiasBaseline, Ratings, fetch_movielens, train_test_split
from autorec_np.models.base import Recommender

LEVELS = (0.5, 0.8, 0.95)
SPLITS = (0, 1, 2)
FEW = 20
MODELS: dict[str, Recommender] = {
    "biases": BiasBaseline(),
    "I-AutoRec": AutoRec(random_state=0),
    "U-AutoRec": AutoRec("user", random_state=0),
}
COLUMNS = ("ratings", "coverage", "s.e.", "width")


def main(names: list[str]) -> None:
    """Print a row of a Markdown table for each data set, model and level."""
    sides = ("all", f"at most {FEW}")
    header = [f"{side}: {column}" for side in sides for column in COLUMNS]
    print("| data | model | level |", " | ".join(header), "|")
    print("|---" * (3 + len(header)) + "|")
    for data in names:
        ratings = fetch_movielens(data).ratings
        for name, model in MODELS.items():
            splits = [measure(ratings, model, seed) for seed in SPLITS]
            held, widths, few = (
                np.concatenate(parts, axis=-1) for parts in zip(*splits, strict=True)
            )
            for level, is_in, width in zip(LEVELS, held, widths, strict=True):
                found = [summary(is_in[some], width[some], level) for some in (..., few)]
                print(f"| {data} | {name} | {level:.0%} |", " | ".join(found), "|", flush=True)


def measure(ratings: Ratings, model: Recommender, seed: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return which test ratings the intervals hold and their widths, by level, and who has few."""
    train, test = train_test_split(ratings, 0.1, seed)
    users, items, truth = test.triples()
    fitted = type(model)(**model.get_params()).fit(train)
    ends = [fitted.predict(users, items, interval=level)[1:] for level in LEVELS]
    held = [(low <= truth) & (truth <= high) for low, high in ends]
    widths = [high - low for low, high in ends]
    return np.array(held), np.array(widths), fitted.user_counts_[test.positions()[0]] <= FEW


def summary(held: NDArray, width: NDArray, level: float) -> str:
    """Return the cells of a table, with a star where the coverage is not that of the level."""
    error = np.sqrt(level * (1 - level) / len(held))
    star = "*" if abs(held.mean() - level) > max(0.02, 2 * error) else ""
    return f"{len(held):,} | {held.mean():.1%}{star} | {error:.1%} | {width.mean():.2f}"


if __name__ == "__main__":
    main(sys.argv[1:] or ["ml-100k", "ml-latest-small", "ml-1m"])
