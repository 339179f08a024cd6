"""LensKit's biased matrix factorization, for the latency of a recommendation only."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from lenskit import recommend, topn_pipeline
from lenskit.als import BiasedMFScorer
from lenskit.data import from_interactions_df

from autorec_np import Ratings


def recommender(train: Ratings, factors: int) -> Callable[[int], object]:
    """Train briefly; return user position -> ten best unseen items."""
    users, items, ratings = train.positions()
    frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": ratings})
    pipeline = topn_pipeline(BiasedMFScorer(embedding_size=factors, epochs=1))
    pipeline.train(from_interactions_df(frame))
    return lambda user: recommend(pipeline, user, 10)
