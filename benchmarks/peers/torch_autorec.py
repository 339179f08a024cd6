"""Whole fits of I-AutoRec in PyTorch, from `Ratings`; see the two modules of kernels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from autorec_np import BiasBaseline, Ratings
from autorec_np._types import Array
from benchmarks.data import by_item
from benchmarks.peers import torch_dense, torch_sparse


class Fitter:
    """Trains one of the two models.

    Parameters
    ----------
    model_class : torch_dense.Model or torch_sparse.Model
    centered : bool
        Whether the biases of users and items are subtracted from the targets.
    """

    def __init__(self, model_class: type[torch_dense.Model], centered: bool) -> None:
        self.model_class, self.centered = model_class, centered

    def prepare(self, train: Ratings) -> SimpleNamespace:
        """Lay out the data; not timed."""
        torch.set_num_threads(2)
        matrix = by_item(train)
        baseline, targets = None, matrix.data
        if self.centered:
            baseline = BiasBaseline().fit(train)
            items = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
            ids = train.user_ids[matrix.indices], train.item_ids[items]
            targets = matrix.data - baseline.predict(*ids)
        model = self.model_class(matrix, 1, (0.0, 0.0), targets)
        return SimpleNamespace(model=model, baseline=baseline, train=train)

    def fit(self, data: SimpleNamespace, *, penalties: Any, **settings: Any) -> SimpleNamespace:
        """Train with k hidden units; what is timed."""
        data.model.penalties = tuple(penalties)
        data.model.train(**settings)
        return data

    def predict(self, data: SimpleNamespace, test: Ratings) -> Array:
        """Return predictions of the pairs of `test`."""
        users, items, _ = test.positions()
        predicted = data.model.predict(items, users)
        if data.baseline is not None:
            predicted = predicted + data.baseline.predict(*test.triples()[:2])
        return np.asarray(predicted)


DENSE = Fitter(torch_dense.Model, centered=False)
SPARSE = Fitter(torch_sparse.Model, centered=False)
SPARSE_CENTERED = Fitter(torch_sparse.Model, centered=True)
