"""Genres, gender, age and occupation beside the ratings: test RMSE of warm and of cold rows.

    python -m benchmarks.side_information [ml-100k ml-1m]

Three splits of ml-100k, one of ml-1m. Warm: a random 90/10 split, the model without and with
features. Cold: all ratings of 10 % of the items (orientation "item") or users are held out; what
the biases say of them, beside the model with features, which knows nothing else of them.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from autorec_np import AutoRec, BiasBaseline, Ratings, fetch_movielens, train_test_split
from autorec_np.data import cold_row_split

SPLITS = {"ml-100k": (0, 1, 2), "ml-1m": (0,)}


def errors(plain: Ratings, told: Ratings, orientation: Any, seed: int) -> list[float]:
    """Return the test RMSE of warm rows without and with features, and of cold ones likewise."""
    model = AutoRec(orientation, random_state=0)
    splits = [train_test_split(ratings, 0.1, seed) for ratings in (plain, told)]
    warm = [-model.fit(train).score(test) for train, test in splits]
    splits = [cold_row_split(ratings, 0.1, orientation, seed) for ratings in (plain, told)]
    models = BiasBaseline(), model
    cold = [-one.fit(kept).score(held) for one, (kept, held) in zip(models, splits, strict=True)]
    return [*warm, *cold]


def main(names: list[str]) -> None:
    """Print a row of a Markdown table for each set and orientation."""
    print("| data | orientation | features | warm | with features | cold: biases | with features |")
    print("|---" * 7 + "|")
    for name in names or SPLITS:
        data = fetch_movielens(name)
        for axis, features in (("item", data.item_features), ("user", data.user_features)):
            told = data.ratings.with_features(**{f"{axis}s": features})
            rows = [errors(data.ratings, told, axis, seed) for seed in SPLITS[name]]
            cells = " | ".join(f"{error:.4f}" for error in np.mean(rows, axis=0))
            print(f"| {name} | {axis} | {features.shape[1]} | {cells} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
