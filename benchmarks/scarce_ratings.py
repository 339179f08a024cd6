"""The defaults beside the biases where ratings are few: validation RMSE minus that of the biases.

    python -m benchmarks.scarce_ratings      (needs ml-100k and ml-latest-small)

For each set, two random 90/10 splits are made and their test parts not read; 10 % of each training
part are the validation ratings. "x 1" is the automatic penalty without its step at g = 6, the
others are multiples of it; "default" is what regularization="auto" does.
"""

from __future__ import annotations

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
from autorec_np.training.start import DECODER_FACTOR, ENCODER_FACTOR, typical_count
from autorec_np.training.trainer import SOLVERS

MULTIPLES = (1, 8, 64)


def sets() -> Iterator[tuple[str, Ratings]]:
    """Yield name and ratings: random parts of real ratings, few users, planted ones."""
    rng = np.random.default_rng(0)
    for name in ("ml-100k", "ml-latest-small"):
        ratings = fetch_movielens(name).ratings
        for size in (5_000, 10_000, 20_000, 50_000):
            part = rng.choice(len(ratings), size, replace=False)
            yield f"{name}, {size:,} ratings", ratings.select(np.sort(part)).filter(1, 1)
        some = rng.choice(ratings.n_users, 50, replace=False)
        of_some = ratings.select(np.isin(ratings.positions()[0], some)).filter(1, 1)
        yield f"{name}, 50 users", of_some
    for n_users, n_items in ((1000, 800), (300, 200), (200, 80)):
        planted = make_ratings(n_users, n_items, 5_000, random_state=0)
        yield f"planted, {n_users} x {n_items}, 5,000 ratings", planted


def main() -> None:
    """Print a row of a Markdown table for each set and orientation."""
    columns = [*(f"x {multiple}" for multiple in MULTIPLES), "default"]
    print("| ratings | root g | orientation | biases |", " | ".join(columns), "|")
    print("|---" * (4 + len(columns)) + "|")
    for name, ratings in sets():
        for orientation in ("item", "user"):
            rows = [differences(ratings, orientation, seed) for seed in (0, 1)]
            unit, bias, *errors = np.mean(rows, axis=0)
            cells = " | ".join(f"{error:+.4f}" for error in errors)
            print(f"| {name} | {unit:.1f} | {orientation} | {bias:.4f} | {cells} |", flush=True)


def differences(ratings: Ratings, orientation: str, seed: int) -> list[float]:
    """Return g, the RMSE of the biases, and how much each penalty adds to it."""
    train, _ = train_test_split(ratings, 0.1, seed)
    fit, validation = train_test_split(train, 0.1, 100 + seed)
    test = validation.triples()
    bias = -BiasBaseline().fit(fit).score(*test)
    n_user = typical_count(np.diff(fit.matrix.indptr))
    n_item = typical_count(np.bincount(fit.matrix.indices))
    unit = (n_user * n_item) ** 0.25
    errors, corruption = [], SOLVERS["adam"].corruption
    for multiple in MULTIPLES:
        penalties = {
            "encoder.weight": multiple * unit * ENCODER_FACTOR * (1 - corruption) ** 2,
            "decoder.weight": multiple * unit * DECODER_FACTOR,
        }
        model = AutoRec(
            orientation,
            hidden_layer_sizes=(500,),
            implicit=0,
            inputs="ratings",
            regularization=penalties,
            random_state=0,
        ).fit(fit)
        errors.append(-model.score(*test) - bias)
    default = AutoRec(orientation, random_state=0).fit(fit)
    return [unit, bias, *errors, -default.score(*test) - bias]


if __name__ == "__main__":
    main()
