"""Fit the two factors of regularization="auto" on validation ratings.

    python -m benchmarks.automatic_penalty [DATA SET ...] [--orientation item|user]

For each data set: the test part of a random 90/10 split (seed 0) is set aside and not read; of the
training part, 10 % are the validation ratings. Prints the validation RMSE for each corruption and
pair of factors (encoder, decoder): each the penalty of a weight block / (n_user n_item)^(1/4), the
encoder's also / (1 - corruption)^2, see `autorec_np.training.trainer`.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from autorec_np import AutoRec, BiasBaseline, fetch_movielens, train_test_split
from autorec_np.training.trainer import typical_count

CORRUPTIONS = (0.1, 0.3, 0.5, 0.7)
FACTORS = ((24.0, 12.0), (36.0, 12.0), (36.0, 16.0))


def main() -> None:
    """Print a line for each data set, orientation and pair of factors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=["ml-100k", "ml-latest-small", "ml-1m"])
    parser.add_argument("--orientation", nargs="*", default=["item", "user"])
    arguments = parser.parse_args()
    for name in arguments.data:
        train, _ = train_test_split(fetch_movielens(name).ratings, 0.1, random_state=0)
        fit, validation = train_test_split(train, 0.1, random_state=1)
        users, items, ratings = validation.triples()
        bias = -BiasBaseline().fit(fit).score(users, items, ratings)
        print(f"{name} biases {bias:.4f}", flush=True)
        n_user = typical_count(np.diff(fit.matrix.indptr))
        n_item = typical_count(np.bincount(fit.matrix.indices))
        unit = (n_user * n_item) ** 0.25
        for orientation in arguments.orientation:
            for corruption, (encoder, decoder) in itertools.product(CORRUPTIONS, FACTORS):
                penalties = {
                    "encoder.weight": encoder * (1 - corruption) ** 2 * unit,
                    "decoder.weight": decoder * unit,
                }
                model = AutoRec(
                    orientation,
                    hidden_layer_sizes=(500,),
                    implicit=0,
                    inputs="ratings",
                    regularization=penalties,
                    corruption=corruption,
                    random_state=0,
                ).fit(fit)
                error = -model.score(users, items, ratings)
                print(name, orientation, corruption, encoder, decoder, f"{error:.4f}", flush=True)


if __name__ == "__main__":
    main()
