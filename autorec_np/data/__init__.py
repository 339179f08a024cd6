"""Ratings in memory: ids and values, metrics, splits, made-up ratings."""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.data.columns import ColumnsRead as ColumnsRead
    from autorec_np.data.entries import DuplicateRatingError as DuplicateRatingError
    from autorec_np.data.ratings import Ratings as Ratings
    from autorec_np.data.ratings import as_ratings as as_ratings
    from autorec_np.data.splitting import cold_row_split as cold_row_split
    from autorec_np.data.splitting import holdout_per_user as holdout_per_user
    from autorec_np.data.splitting import k_fold as k_fold
    from autorec_np.data.splitting import mae as mae
    from autorec_np.data.splitting import rmse as rmse
    from autorec_np.data.splitting import temporal_split as temporal_split
    from autorec_np.data.splitting import train_test_split as train_test_split
    from autorec_np.data.synthetic import make_ratings as make_ratings
    from autorec_np.data.values import OutsideScaleError as OutsideScaleError
    from autorec_np.data.values import UnsuitableRatingsWarning as UnsuitableRatingsWarning

_MODULE_OF = {
    "ColumnsRead": "columns",
    "DuplicateRatingError": "entries",
    "OutsideScaleError": "values",
    "Ratings": "ratings",
    "UnsuitableRatingsWarning": "values",
    "as_ratings": "ratings",
    "cold_row_split": "splitting",
    "holdout_per_user": "splitting",
    "k_fold": "splitting",
    "mae": "splitting",
    "make_ratings": "synthetic",
    "rmse": "splitting",
    "temporal_split": "splitting",
    "train_test_split": "splitting",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
