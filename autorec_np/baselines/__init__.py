"""Models that papers compare AutoRec with."""

from typing import TYPE_CHECKING

from autorec_np._lazy import hand_on

if TYPE_CHECKING:
    from autorec_np.baselines.bayesian_mf import BayesianMF as BayesianMF
    from autorec_np.baselines.biased_mf import BiasedMF as BiasedMF
    from autorec_np.baselines.lists import EASE as EASE
    from autorec_np.baselines.lists import ItemKNN as ItemKNN
    from autorec_np.baselines.lists import Popularity as Popularity
    from autorec_np.baselines.llorma import LLORMA as LLORMA
    from autorec_np.baselines.rbm import RatingRBM as RatingRBM
    from autorec_np.baselines.svdpp import SVDpp as SVDpp

_MODULE_OF = {
    "BayesianMF": "bayesian_mf",
    "BiasedMF": "biased_mf",
    "EASE": "lists",
    "ItemKNN": "lists",
    "LLORMA": "llorma",
    "Popularity": "lists",
    "RatingRBM": "rbm",
    "SVDpp": "svdpp",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
