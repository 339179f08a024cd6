"""ItemKNN: under the contract, and against the formula written down once more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from list_contract import ListContract
from scipy import sparse

from autorec_np import ItemKNN
from autorec_np.baselines import item_knn
from autorec_np.baselines.item_knn import neighbors
from autorec_np.models import base


class TestItemKNN(ListContract, n_neighbors=12, shrinkage=2.0):
    model_class = ItemKNN


def interactions(seed, shape=(9, 7)):
    rng = np.random.default_rng(seed)
    filled = rng.random(shape) < 0.5
    filled[:, 2] = False  # an item without users
    return np.where(filled, 1 + rng.random(shape), 0.0)


@given(st.integers(0, 2**32), st.integers(1, 9), st.sampled_from([0.0, 0.5, 30.0]))
def test_the_weights_are_those_of_the_nearest(seed, n_neighbors, shrinkage):
    X = interactions(seed)
    found = neighbors(sparse.csr_array(X), n_neighbors, shrinkage).toarray()
    for item in range(7):
        cosines = {}
        for other in range(7):
            product = X[:, item] @ X[:, other]
            if other != item and product > 0:
                lengths = np.linalg.norm(X[:, item]) * np.linalg.norm(X[:, other])
                cosines[other] = product / (lengths + shrinkage)
        best = sorted(cosines, key=lambda other: (-round(cosines[other], 12), other))[:n_neighbors]
        expected = [cosines[other] if other in best else 0.0 for other in range(7)]
        np.testing.assert_allclose(found[:, item], expected, rtol=1e-6)


def test_blocks_of_items_change_nothing(monkeypatch):
    X = sparse.csr_array(interactions(3, (40, 33)))
    whole = neighbors(X, 4, 1.0)
    monkeypatch.setattr(base, "SCORES_PER_CHUNK", 5 * 33)
    assert len([*item_knn.chunks(33, 33)]) == 7
    np.testing.assert_array_equal(neighbors(X, 4, 1.0).toarray(), whole.toarray())


def test_equal_similarities_go_by_item():
    X = sparse.csr_array(np.ones((3, 4)))
    assert (neighbors(X, 1, 0.0).toarray() > 0).argmax(axis=0).tolist() == [1, 0, 0, 0]


def test_users_with_one_item_each_make_no_neighbors():
    model = ItemKNN().fit(([1, 2], ["a", "b"]))
    assert model.item_weights_.nnz == 0
    assert model.recommend([1])[0][0, :2].tolist() == ["b", None]


@pytest.mark.parametrize("parameters", [{"n_neighbors": 0}, {"shrinkage": -1}, {"values": "log"}])
def test_parameters_are_checked(parameters):
    with pytest.raises(ValueError, match="must be"):
        ItemKNN(**parameters).fit(([1, 2], ["a", "b"]))
