"""BiasedMF: under the contract."""

from __future__ import annotations

from recommender_contract import RecommenderContract

from autorec_np.baselines.biased_mf import BiasedMF


class TestALS(RecommenderContract, n_factors=4, random_state=0):
    model_class = BiasedMF


class TestSGD(TestALS, solver="sgd", batch_size=100):
    pass
