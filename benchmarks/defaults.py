"""Validation RMSE of AutoRec with its defaults, and with one parameter changed at a time.

    python -m benchmarks.defaults [DATA SET ...]      (ml-100k and ml-latest-small without names)

For each data set: the test part of a random 90/10 split (seed 0) is set aside and not read; of the
training part, 10 % are the validation ratings. Prints a Markdown table; docs/defaults.md shows it.
"""

from __future__ import annotations

import sys
from typing import Any

from autorec_np import AutoRec, fetch_movielens, train_test_split

CHANGES: list[dict[str, Any]] = [
    {},
    {"implicit": 0, "inputs": "ratings"},
    {"implicit": 20},
    {"implicit": 100},
    {"inputs": "ratings"},
    {"hidden_layer_sizes": (100,)},
    {"hidden_layer_sizes": (200,)},
    {"hidden_layer_sizes": (500,)},
    {"hidden_layer_sizes": (1000,)},
    {"hidden_layer_sizes": (500, 100, 500)},
    {"activation": "tanh"},
    {"activation": "relu"},
    {"output_activation": "sigmoid"},
    {"tied": True},
    {"dropout": 0.2},
    {"baseline": "mean"},
    {"baseline": None},
    {"learning_rate": "constant"},
    {"learning_rate_init": 1e-3},
    {"learning_rate_init": 3e-3},
    {"learning_rate_init": 1e-2},
    {"batch_size": 64},
    {"batch_size": 128},
    {"batch_size": 256},
    {"batch_size": 512},
    {"solver": "sgd"},
    {"solver": "lbfgs"},
    {"dtype": "float64"},
]


def main(names: list[str]) -> None:
    """Print a row for each change, with a column for each data set and orientation."""
    cases = []
    for name in names:
        train, _ = train_test_split(fetch_movielens(name).ratings, 0.1, random_state=0)
        parts = train_test_split(train, 0.1, random_state=1)
        cases += [(name, orientation, *parts) for orientation in ("item", "user")]
    print("|", " | ".join(["change", *(f"{name}, {side}" for name, side, *_ in cases)]), "|")
    print("|" + "---|" * (1 + len(cases)))
    for change in CHANGES:
        cells = [", ".join(f"`{key}={value!r}`" for key, value in change.items()) or "none"]
        for _, orientation, fit, validation in cases:
            model = AutoRec(orientation=orientation, random_state=0, **change).fit(fit)
            cells.append(f"{-model.score(*validation.triples()):.4f}")
        print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["ml-100k", "ml-latest-small"])
