"""Fit the two factors of regularization="auto" on validation ratings.

    python -m benchmarks.automatic_penalty [DATA SET ...] [--orientation item|user]

For each data set: the test part of a random 90/10 split (seed 0) is set aside and not read; of the
training part, 10 % are the validation ratings. Prints the validation RMSE for each pair of factors
(encoder, decoder), each the penalty of a weight block / mean number of ratings of a column.
"""

from __future__ import annotations

import argparse
import itertools

from autorec_np import AutoRec, BiasBaseline, fetch_movielens, train_test_split

ENCODER_FACTORS = (2.5, 5.0, 10.0, 20.0)
DECODER_FACTORS = (0.65, 1.3, 2.6)


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
        for orientation in arguments.orientation:
            counts = fit.matrix.getnnz(axis=1 if orientation == "item" else 0)
            per_column = len(fit) / (counts > 0).sum()
            for encoder, decoder in itertools.product(ENCODER_FACTORS, DECODER_FACTORS):
                penalties = {
                    "encoder.weight": encoder * per_column,
                    "decoder.weight": decoder * per_column,
                }
                model = AutoRec(orientation, regularization=penalties, random_state=0).fit(fit)
                error = -model.score(users, items, ratings)
                print(f"{name} {orientation} {encoder} {decoder} {error:.4f}", flush=True)


if __name__ == "__main__":
    main()
