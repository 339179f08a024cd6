"""Models that papers compare AutoRec with."""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.baselines.factors import LLORMA as LLORMA
    from autorec_np.baselines.factors import BayesianMF as BayesianMF
    from autorec_np.baselines.factors import BiasedMF as BiasedMF
    from autorec_np.baselines.factors import SVDpp as SVDpp
    from autorec_np.baselines.lists import EASE as EASE
    from autorec_np.baselines.lists import ItemKNN as ItemKNN
    from autorec_np.baselines.lists import Popularity as Popularity
    from autorec_np.baselines.rbm import RatingRBM as RatingRBM

_MODULE_OF = {
    "BayesianMF": "factors",
    "BiasedMF": "factors",
    "EASE": "lists",
    "ItemKNN": "lists",
    "LLORMA": "factors",
    "Popularity": "lists",
    "RatingRBM": "rbm",
    "SVDpp": "factors",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
