"""A fitted model at work."""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.serving.archive import ModelFileError as ModelFileError
    from autorec_np.serving.every_user import recommend_all as recommend_all
    from autorec_np.serving.explanation import explain as explain
    from autorec_np.serving.explanation import similar_items as similar_items
    from autorec_np.serving.explanation import similar_users as similar_users
    from autorec_np.serving.model_file import export_onnx as export_onnx
    from autorec_np.serving.model_file import load_model as load_model
    from autorec_np.serving.model_file import read_metadata as read_metadata
    from autorec_np.serving.model_file import save_model as save_model
    from autorec_np.serving.scikit import RatingRegressor as RatingRegressor

_MODULE_OF = {
    "ModelFileError": "archive",
    "RatingRegressor": "scikit",
    "explain": "explanation",
    "export_onnx": "model_file",
    "load_model": "model_file",
    "read_metadata": "model_file",
    "recommend_all": "every_user",
    "save_model": "model_file",
    "similar_items": "explanation",
    "similar_users": "explanation",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
