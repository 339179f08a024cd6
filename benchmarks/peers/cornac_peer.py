"""Cornac's MF: matrix factorization with biases by stochastic gradient descent, in Cython."""

from __future__ import annotations

from typing import Any

import numpy as np
from cornac.data import Dataset
from cornac.models import MF

from autorec_np import Ratings
from autorec_np._types import Array


def prepare(train: Ratings) -> Dataset:
    """Return Cornac's data set, with positions as ids."""
    positions = zip(*(array.tolist() for array in train.positions()), strict=True)
    return Dataset.build(list(positions))


def fit(data: Dataset, **settings: Any) -> MF:
    """Train with two threads; `settings` are Cornac's own names."""
    return MF(num_threads=2, seed=0, **settings).fit(data)


def predict(model: MF, test: Ratings) -> Array:
    """Return predictions; a user or item that it does not know has no bias and no factors."""
    users, items, _ = test.positions()
    u, i = _known(model.uid_map, users), _known(model.iid_map, items)
    scores = model.global_mean + np.where(u < 0, 0.0, model.u_biases[u])
    scores += np.where(i < 0, 0.0, model.i_biases[i])
    products = np.einsum("nk,nk->n", model.u_factors[u], model.i_factors[i])
    return np.asarray(scores + np.where((u < 0) | (i < 0), 0.0, products))


def _known(map_of_ids: dict[int, int], ids: Array) -> Array:
    return np.array([map_of_ids.get(id_, -1) for id_ in ids.tolist()])
