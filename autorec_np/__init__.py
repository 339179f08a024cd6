"""AutoRec in pure NumPy and SciPy, with every gradient derived by hand.

Public names are imported on first use (PEP 562), so ``import autorec_np`` itself loads nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autorec_np.autorec import AutoRec as AutoRec
    from autorec_np.baselines import BiasBaseline as BiasBaseline
    from autorec_np.baselines import GlobalMean as GlobalMean
    from autorec_np.datasets import fetch_movielens as fetch_movielens
    from autorec_np.evaluation import cross_validate as cross_validate
    from autorec_np.evaluation import evaluate as evaluate
    from autorec_np.evaluation import evaluate_repeats as evaluate_repeats
    from autorec_np.explanation import explain as explain
    from autorec_np.gradcheck import check_gradient as check_gradient
    from autorec_np.gradcheck import taylor_test as taylor_test
    from autorec_np.metrics import mae as mae
    from autorec_np.metrics import rmse as rmse
    from autorec_np.onnx_export import export_onnx as export_onnx
    from autorec_np.persistence import ModelFileError as ModelFileError
    from autorec_np.persistence import load_model as load_model
    from autorec_np.persistence import save_model as save_model
    from autorec_np.ranking_metrics import evaluate_ranking as evaluate_ranking
    from autorec_np.rating_regressor import RatingRegressor as RatingRegressor
    from autorec_np.ratings import Ratings as Ratings
    from autorec_np.reading import read_ratings as read_ratings
    from autorec_np.similarity import similar_items as similar_items
    from autorec_np.similarity import similar_users as similar_users
    from autorec_np.splitting import train_test_split as train_test_split
    from autorec_np.synthetic import make_ratings as make_ratings
    from autorec_np.tuning import search as search

__version__ = "0.1.0"

_MODULE_OF = {
    "AutoRec": "autorec",
    "BiasBaseline": "baselines",
    "GlobalMean": "baselines",
    "ModelFileError": "persistence",
    "RatingRegressor": "rating_regressor",
    "Ratings": "ratings",
    "check_gradient": "gradcheck",
    "cross_validate": "evaluation",
    "evaluate": "evaluation",
    "evaluate_ranking": "ranking_metrics",
    "evaluate_repeats": "evaluation",
    "explain": "explanation",
    "export_onnx": "onnx_export",
    "fetch_movielens": "datasets",
    "load_model": "persistence",
    "mae": "metrics",
    "make_ratings": "synthetic",
    "read_ratings": "reading",
    "rmse": "metrics",
    "save_model": "persistence",
    "search": "tuning",
    "similar_items": "similarity",
    "similar_users": "similarity",
    "taylor_test": "gradcheck",
    "train_test_split": "splitting",
}

__all__ = [*_MODULE_OF, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_MODULE_OF))
