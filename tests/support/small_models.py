"""A small AutoRec of each kind, and ratings of three users or items that it does not know."""

from __future__ import annotations

import numpy as np
import pytest

from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec

SMALL = {
    "hidden_layer_sizes": (4,),
    "max_iter": 4,
    "batch_size": 8,
    "regularization": 2.0,
    "random_state": 0,
    "n_jobs": 1,
    "implicit": 0,
    "inputs": "ratings",
}
VARIANTS = [
    {"orientation": "item"},
    {"orientation": "user"},
    {"orientation": "item", "baseline": None},
    {"orientation": "user", "baseline": "mean"},
    {"orientation": "item", "output_activation": "sigmoid"},
    {"orientation": "user", "hidden_layer_sizes": (5, 3), "dtype": "float64"},
    {"orientation": "item", "regularization": "auto"},
    {"orientation": "user", "regularization": "auto", "output_activation": "tanh"},
    {"orientation": "item", "implicit": 3},
    {"orientation": "user", "inputs": "planes"},
    {"orientation": "item", "implicit": 2, "inputs": "planes", "regularization": "auto"},
    {"orientation": "user", "implicit": 4, "inputs": "planes", "output_activation": "sigmoid"},
]
variants = pytest.mark.parametrize(
    "variant", VARIANTS, ids=lambda v: "-".join(map(str, v.values()))
)
axes = pytest.mark.parametrize("axis", ["user", "item"])

R = make_ratings(n_users=30, n_items=24, n_ratings=330, random_state=0)
COUNTS = np.bincount(R.positions()[0]), np.bincount(R.positions()[1])


def fit(variant=None, data=R, **changes):
    return AutoRec(**{**SMALL, **(variant or {}), **changes}).fit(data)


def newcomers(axis):
    """Ratings (new ids, known ids, ratings) of three new users or items: 1, 6 and 5 of them."""
    known = (R.item_ids if axis == "user" else R.user_ids)[[3, 0, 4, 8, 2, 9, 1, 8, 0, 3, 7, 5]]
    ids = np.array([905, 901, 901, 901, 901, 901, 901, 903, 903, 903, 903, 903])
    return ids, known, np.array([5.0, 1, 4, 2, 5, 3, 3, 1, 1, 5, 2, 4])


def as_triples(axis, ids, known, ratings):
    return (ids, known, ratings) if axis == "user" else (known, ids, ratings)
