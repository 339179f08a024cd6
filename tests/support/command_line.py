"""What the tests of the command line share."""

from __future__ import annotations

import numpy as np

from autorec_np.core.objective import Objective
from autorec_np.data.ratings import Ratings

SMALL = ["--hidden", "6", "--epochs", "3", "--batch-size", "16", "--n-jobs", "1"]
SMALL_PARAMETERS = {"hidden_layer_sizes": (6,), "max_iter": 3, "batch_size": 16, "n_jobs": 1}
COMMANDS = ["demo", "fetch", "train", "tune", "evaluate", "predict", "recommend", "report"]
COMMANDS += ["lesson", "gradcheck"]


def write_csv(path, ratings: Ratings) -> None:
    lines = [
        f"{user},{item},{rating:g}" for user, item, rating in zip(*ratings.triples(), strict=True)
    ]
    path.write_text("\n".join(["user,item,rating", *lines]) + "\n")


def wrong_gradients(monkeypatch, *, where) -> None:
    right = Objective.value_and_gradient

    def wrong(self, theta, inputs, targets, fraction=1.0, masks=None):
        value, gradient = right(self, theta, inputs, targets, fraction, masks)
        if where(self.network, masks):
            gradient = gradient * np.where(np.arange(len(gradient)) < 3, 1.01, 1)
        return value, gradient

    monkeypatch.setattr(Objective, "value_and_gradient", wrong)
