"""SVDpp: under the contract."""

from __future__ import annotations

from recommender_contract import RecommenderContract

from autorec_np.baselines.svdpp import SVDpp


class TestSVDpp(RecommenderContract, n_factors=4, batch_size=10, random_state=0):
    model_class = SVDpp
