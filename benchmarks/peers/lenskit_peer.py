"""LensKit's biased matrix factorization by alternating least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from lenskit import recommend, topn_pipeline
from lenskit.als import BiasedMFScorer, ImplicitMFScorer
from lenskit.data import Dataset, ItemList, from_interactions_df
from lenskit.training import TrainingOptions

from autorec_np import Ratings
from autorec_np._types import Array
from benchmarks.peers import best_unseen


def prepare(train: Ratings) -> Dataset:
    """Return LensKit's data set, with positions as ids."""
    users, items, ratings = train.positions()
    frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": ratings})
    return from_interactions_df(frame)


def fit(data: Dataset, **settings: Any) -> BiasedMFScorer:
    """Train; `settings` are LensKit's own names."""
    scorer = BiasedMFScorer(**settings)
    scorer.train(data)
    return scorer


def predict(model: BiasedMFScorer, test: Ratings) -> Array:
    """Return predictions, user by user; where it has none, the mean."""
    users, items, _ = test.positions()
    scores = np.full(len(users), np.nan)
    order = np.argsort(users, kind="stable")
    for some in np.split(order, np.flatnonzero(np.diff(users[order])) + 1):
        asked = ItemList(item_ids=items[some])
        scores[some] = model(int(users[some[0]]), asked).scores()
    return np.where(np.isnan(scores), model.bias.global_bias, scores)


def recommender(train: Ratings, factors: int) -> Callable[[int], object]:
    """Train briefly; return user position -> ten best unseen items."""
    pipeline = topn_pipeline(BiasedMFScorer(embedding_size=factors, epochs=1))
    pipeline.train(prepare(train))
    return lambda user: recommend(pipeline, user, 10)


class Lists:
    """A contestant of `benchmarks.lists`; `settings` are LensKit's own names."""

    def prepare(self, train: Ratings) -> Dataset:
        """Return interactions without ratings, with positions as ids."""
        users, items, _ = train.positions()
        return from_interactions_df(pd.DataFrame({"user_id": users, "item_id": items}))

    def fit(self, data: Dataset, seed: int, **settings: Any) -> ImplicitMFScorer:
        """Train; each interaction has the weight that the settings say."""
        scorer = ImplicitMFScorer(**settings)
        scorer.train(data, TrainingOptions(rng=seed))
        return scorer

    def lists(self, model: ImplicitMFScorer, train: Ratings, users: Array, n: int) -> Array:
        """Return ids, by its scores: products of its embeddings, 0 of whom it does not know."""
        width = model.item_embeddings.shape[1]
        factors = [np.zeros((count, width)) for count in (train.n_users, train.n_items)]
        factors[0][model.users.ids()] = model.user_embeddings
        factors[1][model.items.ids()] = model.item_embeddings
        rows = train.user_positions(users)
        return best_unseen(factors[0][rows], factors[1], train, rows, n)


IMPLICIT = Lists()
