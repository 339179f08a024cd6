"""How the penalty of a row of factors should grow with its number of ratings, on ML-1M.

    python -m benchmarks.factor_penalty

`BiasedMF` by least squares in turn, with lambda n^p for the factors of a row of n ratings: p = 0 is
a constant penalty, p = 1 one for each rating, p = 1/2 that of the class. Each p has the lambda of a
grid that is best on the validation ratings: a tenth of the training part of split 0. Needs the
MovieLens archive.
"""

from __future__ import annotations

import numpy as np

from autorec_np import BiasedMF, fetch_movielens, train_test_split
from autorec_np._types import CSR, Array
from autorec_np._validation import RandomState
from autorec_np.baselines.factors import BIAS_PENALTY, best_rows, initial

GRIDS = {0.0: (3.0, 10.0, 30.0, 100.0), 0.5: (0.3, 1.0, 3.0), 1.0: (0.01, 0.03, 0.1, 0.3)}


class PowerMF(BiasedMF):
    """`BiasedMF` with another power of the number of ratings."""

    def __init__(
        self, power: float, regularization: float, random_state: RandomState = None
    ) -> None:
        super().__init__(regularization=regularization, random_state=random_state)
        self.power = power

    def _learn(self, rated: CSR, rng: np.random.Generator) -> tuple[Array, Array, list[float]]:
        users, items = initial(rated.shape, self.n_factors, rng)
        by_item = rated.T.tocsr()
        of_users, of_items = map(self._weights, (rated, by_item))
        for _ in range(self.max_iter):
            users = best_rows(rated, items, of_users)
            items = best_rows(by_item, users, of_items)
        return users, items, []

    def _weights(self, rated: CSR) -> Array:
        """Return the penalties of [P, b], (n, k + 1)."""
        grown = self.regularization * np.diff(rated.indptr) ** self.power
        weights = np.repeat(grown[:, np.newaxis], self.n_factors + 1, axis=1)
        weights[:, -1] = BIAS_PENALTY
        return weights.astype(rated.dtype)


def main() -> None:
    train, _ = train_test_split(fetch_movielens("ml-1m").ratings, 0.1, random_state=0)
    rest, validation = train_test_split(train, 0.1, random_state=0)
    for power, grid in GRIDS.items():
        errors = {}
        for penalty in grid:
            model = PowerMF(power, penalty, random_state=0).fit(rest)
            errors[penalty] = -model.score(validation)
            print(f"p = {power:g}, lambda {penalty:g}: {errors[penalty]:.4f}", flush=True)
        best = min(errors, key=errors.__getitem__)
        print(f"p = {power:g}: best {errors[best]:.4f} with lambda {best:g}", flush=True)


if __name__ == "__main__":
    main()
