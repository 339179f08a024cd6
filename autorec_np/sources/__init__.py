"""Where ratings come from: files, archives, MovieLens."""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.sources.movielens import MOVIELENS_NAMES as MOVIELENS_NAMES
    from autorec_np.sources.movielens import MovieLens as MovieLens
    from autorec_np.sources.movielens import fetch_movielens as fetch_movielens
    from autorec_np.sources.pairs import find_pairs as find_pairs
    from autorec_np.sources.pairs import read_interactions as read_interactions
    from autorec_np.sources.reading import read_ratings as read_ratings
    from autorec_np.sources.store import store_ratings as store_ratings

_MODULE_OF = {
    "MOVIELENS_NAMES": "movielens",
    "MovieLens": "movielens",
    "fetch_movielens": "movielens",
    "find_pairs": "pairs",
    "read_interactions": "pairs",
    "read_ratings": "reading",
    "store_ratings": "store",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
