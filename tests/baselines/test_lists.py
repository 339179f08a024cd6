"""Lists to compare with: under the contract, and each against its formula or its Lagrangian."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from list_contract import ListContract
from recommender_contract import SEEN, TRAIN, USER_IDS
from scipy import sparse

from autorec_np import EASE, ItemKNN, Popularity, explain, similar_items, similar_users
from autorec_np.baselines import lists
from autorec_np.baselines.lists import inverse, item_weights, neighbors
from autorec_np.gradcheck import check_gradient
from autorec_np.models import base


class TestPopularity(ListContract):
    model_class = Popularity
    learns = False


def test_everybody_gets_the_same_scores():
    counts = Popularity().fit(TRAIN).predict_new({"000": 1})
    np.testing.assert_array_equal(counts, SEEN.sum(axis=0))


def test_everything_chosen_is_left_out():
    ids, scores = Popularity(threshold=5).fit(TRAIN).recommend(USER_IDS[:3], 30)
    for user in range(3):
        assert np.isfinite(scores[user]).sum() == (~SEEN[user]).sum()
        assert not {*TRAIN.item_ids[SEEN[user]]} & {*ids[user]}


# Neighbors


class TestItemKNN(ListContract, n_neighbors=12, shrinkage=2.0):
    model_class = ItemKNN


def with_an_unused_item(seed, shape=(9, 7)):
    rng = np.random.default_rng(seed)
    filled = rng.random(shape) < 0.5
    filled[:, 2] = False  # an item without users
    return np.where(filled, 1 + rng.random(shape), 0.0)


@given(st.integers(0, 2**32), st.integers(1, 9), st.sampled_from([0.0, 0.5, 30.0]))
def test_the_weights_are_those_of_the_nearest(seed, n_neighbors, shrinkage):
    X = with_an_unused_item(seed)
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
    X = sparse.csr_array(with_an_unused_item(3, (40, 33)))
    whole = neighbors(X, 4, 1.0)
    monkeypatch.setattr(base, "SCORES_PER_CHUNK", 5 * 33)
    assert len([*lists.chunks(33, 33)]) == 7
    np.testing.assert_array_equal(neighbors(X, 4, 1.0).toarray(), whole.toarray())


def test_equal_similarities_go_by_item():
    X = sparse.csr_array(np.ones((3, 4)))
    assert (neighbors(X, 1, 0.0).toarray() > 0).argmax(axis=0).tolist() == [1, 0, 0, 0]


def test_users_with_one_item_each_make_no_neighbors():
    model = ItemKNN().fit(([1, 2], ["a", "b"]))
    assert model.item_weights_.nnz == 0
    assert model.recommend([1])[0][0, :2].tolist() == ["b", None]


@pytest.mark.parametrize("parameters", [{"n_neighbors": 0}, {"shrinkage": -1}, {"values": "log"}])
def test_parameters_of_neighbors_are_checked(parameters):
    with pytest.raises(ValueError, match="must be"):
        ItemKNN(**parameters).fit(([1, 2], ["a", "b"]))


# EASE


class TestEASE(ListContract, regularization=30.0):
    model_class = EASE


def interactions(seed, n_users=12, n_items=6):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((n_users, n_items)) < 0.4, 1 + rng.random((n_users, n_items)), 0.0)


def objective(X, B, regularization):
    """Return (65), written down once more, and its derivative (66) without multipliers."""
    residuals = X - X @ B
    value = np.sum(residuals**2) + regularization * np.sum(B**2)
    return value, -2 * X.T @ residuals + 2 * regularization * B


SHAPES = st.sampled_from([(12, 6), (5, 30), (3, 7), (20, 20)])


@given(st.integers(0, 2**32), SHAPES, st.sampled_from([0.1, 3.0, 500.0]))
def test_the_lagrangian_is_stationary(seed, shape, regularization):
    X = interactions(seed, *shape)
    B = item_weights(sparse.csr_array(X), regularization)
    assert B.dtype == np.float32
    assert (np.diag(B) == 0).all()
    _, gradient = objective(X, B.astype(np.float64), regularization)
    scale = np.abs(X.T @ X).max() + regularization
    off = ~np.eye(len(B), dtype=bool)
    np.testing.assert_allclose(gradient[off], 0.0, atol=1e-6 * scale)
    # the multipliers take up the diagonal: 2 (lambda + ...) at least where an item was chosen
    assert (np.diag(gradient)[X.any(axis=0)] < 0).all()


def test_the_gradient_that_vanishes_is_that_of_the_objective():
    X, B = interactions(1), np.random.default_rng(2).normal(size=(6, 6))

    def value_and_gradient(theta):
        value, gradient = objective(X, theta.reshape(6, 6), 2.0)
        return value, gradient.ravel()

    assert check_gradient(value_and_gradient, B.ravel()).passed


@given(st.integers(0, 2**32))
def test_no_other_weights_are_better(seed):
    X = interactions(seed)
    B = item_weights(sparse.csr_array(X), 2.0).astype(np.float64)
    moved = B + np.random.default_rng(seed).normal(0, 0.05, B.shape)
    np.fill_diagonal(moved, 0.0)
    assert objective(X, B, 2.0)[0] <= objective(X, moved, 2.0)[0]


@pytest.mark.parametrize("shape", [(12, 6), (5, 30)])
def test_both_ways_to_the_inverse_agree(shape, monkeypatch):
    X = interactions(5, *shape)
    expected = np.linalg.inv(X.T @ X + 0.7 * np.eye(shape[1]))
    np.testing.assert_allclose(
        np.tril(inverse(sparse.csr_array(X), 0.7)), np.tril(expected), atol=1e-12
    )
    monkeypatch.setattr(base, "SCORES_PER_CHUNK", 3 * min(shape))
    assert len([*lists.chunks(*2 * [min(shape)])]) > 1
    np.testing.assert_allclose(
        np.tril(inverse(sparse.csr_array(X), 0.7)), np.tril(expected), atol=1e-12
    )


def test_items_without_interactions_have_no_weights():
    X = interactions(4)
    X[:, 2] = 0
    B = item_weights(sparse.csr_array(X), 1.0)
    assert not B[2].any()
    assert not B[:, 2].any()


def test_a_penalty_is_needed():
    with pytest.raises(ValueError, match="regularization must be a finite number in"):
        EASE(0).fit(([1, 2], ["a", "b"]))
    same = ([1, 1, 2, 2, 3, 3], ["a", "b", "a", "b", "a", "b"])
    with pytest.raises(ValueError, match=r"regularization=1e-300 is too small .*; raise it"):
        EASE(1e-300).fit(same)


# Why an item is in a list

MODELS = [ItemKNN(12, 2.0).fit(TRAIN), EASE(30.0).fit(TRAIN)]


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_what_the_user_chose_adds_up_to_the_score(model):
    user, item = USER_IDS[3], TRAIN.item_ids[8]
    ids, contributions = explain(model, user, item, n=100)
    assert {*ids} == {*TRAIN.item_ids[SEEN[3]]}
    assert contributions.sum() == pytest.approx(model.predict([user], [item])[0], rel=1e-5)
    assert (np.diff(np.abs(contributions)) <= 0).all()
    with pytest.raises(TypeError, match="ItemKNN and EASE have weights, of items by items"):
        explain(model, user, item, by="users")


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_similar_items_are_those_that_add_most(model):
    asked = TRAIN.item_ids[[4, 0]]
    ids, weights = similar_items(model, asked, 3)
    B = model.item_weights_
    B = B if isinstance(B, np.ndarray) else B.toarray()
    for item, row, found in zip((4, 0), ids, weights, strict=True):
        others = np.delete(np.arange(len(B)), item)
        best = others[np.argsort(-B[others, item], kind="stable")[:3]]
        assert row.tolist() == TRAIN.item_ids[best].tolist()
        np.testing.assert_array_equal(found, B[best, item])
    with pytest.raises(TypeError, match="of items by items"):
        similar_users(model, USER_IDS[:2])


def test_popularity_has_nothing_to_explain():
    for call in (
        lambda: explain(Popularity().fit(TRAIN), USER_IDS[0], "000"),
        lambda: similar_items(Popularity().fit(TRAIN), ["000"]),
    ):
        with pytest.raises(TypeError, match="ItemKNN and EASE have weights"):
            call()
