"""Validation RMSE of AutoRec's defaults for ratings in other units, on the scale of the ratings.

    python -m benchmarks.units [DATA SET ...]      (ml-100k without names)

The test part of a random 90/10 split (seed 0) is set aside and not read; of the training part, 10 %
are the validation ratings. Predictions are mapped back to the unit of the data set.
"""

from __future__ import annotations

import sys

from autorec_np import AutoRec, BiasBaseline, fetch_movielens, rmse, train_test_split

MAPS = {
    "R": (1.0, 0.0),
    "R / 5": (0.2, 0.0),
    "20 R": (20.0, 0.0),
    "4 R - 14": (4.0, -14.0),
    "R + 100": (1.0, 100.0),
    "24.75 R - 23.75, the scale 1 to 100": (24.75, -23.75),
    "5 R - 15, the scale -10 to 10": (5.0, -15.0),
}


def main(names: list[str]) -> None:
    """Print a row for each data set and unit."""
    print("| data | ratings | biases | I-AutoRec, defaults |")
    print("|---|---|---|---|")
    for name in names:
        train, _ = train_test_split(fetch_movielens(name).ratings, 0.1, random_state=0)
        fit, validation = train_test_split(train, 0.1, random_state=1)
        users, items, ratings = fit.triples()
        asked = validation.triples()
        for label, (factor, offset) in MAPS.items():
            errors = []
            for model in (BiasBaseline(), AutoRec(random_state=0)):
                model.fit((users, items, factor * ratings + offset))
                predicted = (model.predict(*asked[:2]) - offset) / factor
                errors.append(f"{rmse(asked[2], predicted):.4f}")
            print("|", " | ".join([name, label, *errors]), "|", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["ml-100k"])
