"""AutoRec in pure NumPy and SciPy, with every gradient derived by hand.

Public names are imported on first use (PEP 562), so ``import autorec_np`` itself loads nothing.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from autorec_np.baselines.factors import LLORMA as LLORMA
    from autorec_np.baselines.factors import BayesianMF as BayesianMF
    from autorec_np.baselines.factors import BiasedMF as BiasedMF
    from autorec_np.baselines.factors import SVDpp as SVDpp
    from autorec_np.baselines.lists import EASE as EASE
    from autorec_np.baselines.lists import ItemKNN as ItemKNN
    from autorec_np.baselines.lists import Popularity as Popularity
    from autorec_np.baselines.rbm import RatingRBM as RatingRBM
    from autorec_np.data.ratings import Ratings as Ratings
    from autorec_np.data.splitting import mae as mae
    from autorec_np.data.splitting import rmse as rmse
    from autorec_np.data.splitting import train_test_split as train_test_split
    from autorec_np.data.synthetic import make_ratings as make_ratings
    from autorec_np.evaluation.cross_validation import cross_validate as cross_validate
    from autorec_np.evaluation.cross_validation import evaluate as evaluate
    from autorec_np.evaluation.cross_validation import evaluate_repeats as evaluate_repeats
    from autorec_np.evaluation.held_out import evaluate_ranking as evaluate_ranking
    from autorec_np.evaluation.hyperparameters import search as search
    from autorec_np.gradcheck import check_gradient as check_gradient
    from autorec_np.gradcheck import taylor_test as taylor_test
    from autorec_np.models.autorec import AutoRec as AutoRec
    from autorec_np.models.biases import BiasBaseline as BiasBaseline
    from autorec_np.models.biases import GlobalMean as GlobalMean
    from autorec_np.models.blend import Blend as Blend
    from autorec_np.models.ranking_autorec import RankingAutoRec as RankingAutoRec
    from autorec_np.serving.archive import ModelFileError as ModelFileError
    from autorec_np.serving.every_user import recommend_all as recommend_all
    from autorec_np.serving.explanation import explain as explain
    from autorec_np.serving.explanation import similar_items as similar_items
    from autorec_np.serving.explanation import similar_users as similar_users
    from autorec_np.serving.model_file import export_onnx as export_onnx
    from autorec_np.serving.model_file import load_model as load_model
    from autorec_np.serving.model_file import save_model as save_model
    from autorec_np.serving.scikit import RatingRegressor as RatingRegressor
    from autorec_np.sources.movielens import fetch_movielens as fetch_movielens
    from autorec_np.sources.pairs import read_interactions as read_interactions
    from autorec_np.sources.reading import read_ratings as read_ratings
    from autorec_np.sources.store import store_ratings as store_ratings


def hand_on(
    package: str, module_of: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package; `module_of` says where a public name is."""

    def get_attribute(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def directory() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_of})

    return get_attribute, directory


_MODULE_OF = {
    "AutoRec": "models.autorec",
    "BayesianMF": "baselines.factors",
    "BiasBaseline": "models.biases",
    "BiasedMF": "baselines.factors",
    "Blend": "models.blend",
    "EASE": "baselines.lists",
    "GlobalMean": "models.biases",
    "ItemKNN": "baselines.lists",
    "LLORMA": "baselines.factors",
    "ModelFileError": "serving.archive",
    "Popularity": "baselines.lists",
    "RankingAutoRec": "models.ranking_autorec",
    "RatingRBM": "baselines.rbm",
    "RatingRegressor": "serving.scikit",
    "Ratings": "data.ratings",
    "SVDpp": "baselines.factors",
    "check_gradient": "gradcheck",
    "cross_validate": "evaluation.cross_validation",
    "evaluate": "evaluation.cross_validation",
    "evaluate_ranking": "evaluation.held_out",
    "evaluate_repeats": "evaluation.cross_validation",
    "explain": "serving.explanation",
    "export_onnx": "serving.model_file",
    "fetch_movielens": "sources.movielens",
    "load_model": "serving.model_file",
    "mae": "data.splitting",
    "make_ratings": "data.synthetic",
    "read_interactions": "sources.pairs",
    "read_ratings": "sources.reading",
    "recommend_all": "serving.every_user",
    "rmse": "data.splitting",
    "save_model": "serving.model_file",
    "search": "evaluation.hyperparameters",
    "similar_items": "serving.explanation",
    "similar_users": "serving.explanation",
    "store_ratings": "sources.store",
    "taylor_test": "gradcheck",
    "train_test_split": "data.splitting",
}

__all__ = [*_MODULE_OF, "__version__"]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
