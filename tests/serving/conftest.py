"""A saved model that the tests of its file share."""

from __future__ import annotations

import pytest
from model_files import MODELS, strange_ratings

from autorec_np.serving.model_file import save_model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small saved model with string ids, timestamps and a validation part."""
    path = tmp_path_factory.mktemp("saved") / "model.npz"
    save_model(MODELS["early"]().fit(strange_ratings()), path, metadata={"dataset": "strange"})
    return path
