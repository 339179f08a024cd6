"""What is fitted: AutoRec and baselines."""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.models.autorec import AutoRec as AutoRec
    from autorec_np.models.base import NotFittedError as NotFittedError
    from autorec_np.models.base import Recommender as Recommender
    from autorec_np.models.base import check_fitted as check_fitted
    from autorec_np.models.biases import BiasBaseline as BiasBaseline
    from autorec_np.models.biases import GlobalMean as GlobalMean
    from autorec_np.models.blend import Blend as Blend
    from autorec_np.models.ranking_autorec import RankingAutoRec as RankingAutoRec

_MODULE_OF = {
    "AutoRec": "autorec",
    "BiasBaseline": "biases",
    "Blend": "blend",
    "GlobalMean": "biases",
    "NotFittedError": "base",
    "RankingAutoRec": "ranking_autorec",
    "Recommender": "base",
    "check_fitted": "base",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
