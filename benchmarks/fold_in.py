"""New users and new items: fold-in and `partial_fit` against a training that had their ratings.

    python -m benchmarks.fold_in ml-100k
    python -m benchmarks.fold_in ml-1m

100 users (items) with 20 ratings and more are taken out; of theirs, a fifth is held out and the
others are given. The test RMSE is that of the held out ones, by the model that never saw the 100,
by `partial_fit` of that model, and by a model trained on all given ratings. Settings are the
defaults but for k = 100.
"""

from __future__ import annotations

import sys

import numpy as np

from autorec_np import AutoRec, BiasBaseline, fetch_movielens, rmse

N_NEW, HELD_OUT, ENOUGH = 100, 0.2, 20


def measure(name: str, axis: str, orientation: str) -> None:
    """Print a line for new users or items in one orientation."""
    *ids_of_pairs, values = fetch_movielens(name).ratings.triples()
    triples = np.array([*ids_of_pairs, values.astype(np.int64)])  # whole stars
    own, other = (0, 1) if axis == "user" else (1, 0)
    rng = np.random.default_rng(0)
    ids, counts = np.unique(triples[own], return_counts=True)
    is_new = np.isin(triples[own], rng.choice(ids[counts >= ENOUGH], N_NEW, replace=False))
    of_known = np.isin(triples[other], triples[other, ~is_new])
    drawn = rng.random(len(is_new)) < HELD_OUT
    old, given, asked = ~is_new, is_new & of_known & ~drawn, is_new & of_known & drawn
    users, items, ratings = triples[:, asked]

    settings = {"orientation": orientation, "hidden_layer_sizes": (100,), "random_state": 0}
    model = AutoRec(**settings).fit(tuple(triples[:, old]))
    known = model.ratings_.item_ids if axis == "user" else model.ratings_.user_ids
    new = np.unique(triples[own, given])
    table = model.predict_new(tuple(triples[:, given]), axis=axis)
    folded = table[
        np.searchsorted(new, triples[own, asked]), np.searchsorted(known, triples[other, asked])
    ]
    seen = tuple(triples[:, old | given])
    errors = {
        "biases": rmse(ratings, BiasBaseline().fit(seen).predict(users, items)),
        "fold-in": rmse(ratings, folded),
        "partial_fit": rmse(
            ratings, model.partial_fit(tuple(triples[:, given])).predict(users, items)
        ),
        "trained with them": rmse(ratings, AutoRec(**settings).fit(seen).predict(users, items)),
    }
    shown = ", ".join(f"{label} {error:.4f}" for label, error in errors.items())
    print(f"{name}, new {axis}s, orientation {orientation}: {shown} ({asked.sum()} ratings)")


if __name__ == "__main__":
    for axis in ("user", "item"):
        for orientation in ("item", "user"):
            measure(sys.argv[1], axis, orientation)
