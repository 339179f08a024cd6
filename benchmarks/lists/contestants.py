"""Who makes lists, and what of each is chosen on validation ratings.

A contestant is an object with three methods, of which the second alone is timed:

    prepare(train) -> data                   the interactions in the layout that the program reads
    fit(data, seed, **settings) -> model
    lists(model, train, users, n) -> ids     (m, n), of object; None where no item is left

Each stored pair of the training part is an interaction, whatever its rating. The ratings themselves
are read by `AutoRec.recommend`, which ranks predicted ratings, and with ``values="ratings"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import autorec_np
from autorec_np import Ratings
from autorec_np._types import Array
from benchmarks import peers
from benchmarks.settings import LISTS, Settings


@dataclass(frozen=True)
class Ours:
    """An estimator of the package, by its name; it may not be there yet."""

    name: str

    def prepare(self, train: Ratings) -> Ratings:
        return train

    def fit(self, data: Ratings, seed: int, **settings: Any) -> Any:
        kind = getattr(autorec_np, self.name)
        given = {"random_state": seed} if "random_state" in kind().get_params() else {}
        return kind(**given, **settings).fit(data)

    def lists(self, model: Any, train: Ratings, users: Array, n: int) -> Array:
        ids: Array = model.recommend(users, n)[0]
        return ids


@dataclass(frozen=True)
class Contestant:
    """A row of the table.

    Attributes
    ----------
    name : str
    ours : str or None
        Its estimator; None: a peer of that label in `benchmarks.peers`.
    start : mapping
        Where the search on validation ratings begins. It also holds what has no grid.
    grids : mapping of str to sequence
        The values, ascending, of what is chosen.
    """

    name: str
    ours: str | None
    start: Settings = field(default_factory=dict)
    grids: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def settings(self, data: str) -> Settings:
        """Return what was chosen for a data set, or where the search begins."""
        return LISTS.get(data, {}).get(self.name, self.start)

    def program(self) -> Any:
        """Return the object with the three methods.

        Raises
        ------
        LookupError
            It is not installed; the message says why.
        """
        if self.ours is not None:
            if not hasattr(autorec_np, self.ours):
                raise LookupError(f"autorec_np has no {self.ours}")
            return Ours(self.ours)
        present, absent = peers.load([self.name])
        if absent:
            raise LookupError(absent[self.name])
        return present[self.name]


RIDGES = (50.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 700.0, 1000.0, 1500.0, 2000.0, 3000.0)
FACTORS = (16, 32, 64, 128, 256)
PENALTIES = (0.1, 1.0, 3.0, 10.0, 20.0, 30.0, 50.0, 70.0, 100.0, 200.0, 300.0)
ITERATIONS = (3, 5, 7, 10, 15, 30)
WEIGHTS = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0)

ALL = (
    Contestant("popularity", "Popularity"),
    Contestant(
        "ItemKNN",
        "ItemKNN",
        {"n_neighbors": 100, "shrinkage": 10.0},
        {
            "n_neighbors": (10, 20, 50, 100, 200, 500, 1000),
            "shrinkage": (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
        },
    ),
    Contestant(
        "EASE",
        "EASE",
        {"regularization": 500.0},
        {"regularization": RIDGES},
    ),
    Contestant("RankingAutoRec, defaults", "RankingAutoRec"),
    Contestant(
        "RankingAutoRec",
        "RankingAutoRec",
        {"values": "ratings", "regularization": 30.0, "unobserved_weight": 1.0},
        {
            "values": ("binary", "ratings"),
            "regularization": (3.0, 10.0, 30.0, 100.0, 300.0),
            "unobserved_weight": (0.2, 0.5, 1.0, 2.0),
        },
    ),
    Contestant("AutoRec, highest predicted ratings", "AutoRec"),
    Contestant(
        "implicit, iALS",
        None,
        {"factors": 64, "regularization": 30.0, "alpha": 5.0, "iterations": 7},
        {
            "factors": FACTORS,
            "regularization": PENALTIES,
            "alpha": WEIGHTS,
            "iterations": ITERATIONS,
        },
    ),
    Contestant(
        "implicit, BPR",
        None,
        {"factors": 64, "regularization": 0.003, "learning_rate": 0.01, "iterations": 50},
        {
            "factors": FACTORS,
            "regularization": (0.001, 0.003, 0.01, 0.03, 0.1),
            "learning_rate": (0.003, 0.01, 0.03, 0.1),
            "iterations": (12, 25, 50, 100, 200),
        },
    ),
    Contestant(
        "LensKit, ImplicitMF",
        None,
        {"embedding_size": 64, "regularization": 30.0, "weight": 5.0, "epochs": 7},
        {
            "embedding_size": FACTORS,
            "regularization": PENALTIES,
            "weight": WEIGHTS,
            "epochs": ITERATIONS,
        },
    ),
)
BY_NAME = {one.name: one for one in ALL}
