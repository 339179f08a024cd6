"""BayesianMF: under the contract."""

from __future__ import annotations

from recommender_contract import RecommenderContract

from autorec_np.baselines.bayesian_mf import BayesianMF


class TestBayesianMF(RecommenderContract, n_factors=4, max_iter=20, random_state=0):
    model_class = BayesianMF
