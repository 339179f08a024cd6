"""Where ratings come from: files, archives, MovieLens."""

from typing import TYPE_CHECKING

from autorec_np._lazy import hand_on

if TYPE_CHECKING:
    from autorec_np.sources.movielens import MOVIELENS_NAMES as MOVIELENS_NAMES
    from autorec_np.sources.movielens import fetch_movielens as fetch_movielens
    from autorec_np.sources.reading import find_pairs as find_pairs
    from autorec_np.sources.reading import read_ratings as read_ratings

_MODULE_OF = {
    "MOVIELENS_NAMES": "movielens",
    "fetch_movielens": "movielens",
    "find_pairs": "reading",
    "read_ratings": "reading",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
