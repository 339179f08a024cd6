"""LIBMF (Chin et al.): parallel stochastic gradient descent for matrix factorization, in C++."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np

from autorec_np import Ratings
from autorec_np._types import Array

with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it compares strings by identity, and prints where it lies
    from libmf import mf


def prepare(train: Ratings) -> Array:
    """Return (user, item, rating) as rows of float32."""
    users, items, ratings = train.positions()
    return np.column_stack([users, items, ratings]).astype(np.float32)


def fit(data: Array, **settings: float) -> mf.MF:
    """Factorize with two threads; `settings` are LIBMF's own names.

    The wrapper's own default has L1 penalties, LIBMF's has none.
    """
    model = mf.MF(**{"nr_threads": 2, "quiet": True, "lambda_p1": 0, "lambda_q1": 0, **settings})
    model.fit(data)
    return model


def predict(model: mf.MF, test: Ratings) -> Array:
    """Return predictions from the factors (the wrapper's own `predict` mixes up the pairs).

    A user or item that was not in training has no factors: there it is the mean.
    """
    users, items, _ = test.positions()
    products = np.einsum("nk,nk->n", model.p_factors()[users], model.q_factors()[items])
    return np.where(np.isnan(products), model.model.b, products)
