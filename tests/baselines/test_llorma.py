"""LLORMA: under the contract, and each half step against an independent minimizer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recommender_contract import RecommenderContract
from scipy import sparse

from autorec_np import LLORMA
from autorec_np.baselines import factors
from autorec_np.baselines.factors import angles, best_local_rows, epanechnikov
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.gradcheck import check_gradient

SMALL = {"n_models": 4, "n_factors": 3, "random_state": 0}


class TestLLORMA(RecommenderContract, n_models=10, n_factors=4, bandwidth=2.0, random_state=0):
    model_class = LLORMA


def problem(seed, n_rows=7, n_columns=6, k=3):
    """Ratings with stored zeros and an empty row, factors, and weights of which some are 0."""
    rng = np.random.default_rng(seed)
    filled = rng.random((n_rows, n_columns)) < 0.6
    filled[0], filled[1, 0] = False, True
    rows, columns = np.nonzero(filled)
    ratings = rng.integers(0, 6, len(rows)).astype(np.float64)
    rated = sparse.coo_array((ratings, (rows, columns)), shape=filled.shape).tocsr()
    near = [np.maximum(rng.uniform(-0.3, 1, n), 0) for n in filled.shape]
    near[1][0] = 1.0
    return rated, rng.normal(size=(n_rows, k)), rng.normal(size=(n_columns, k)), near


def objective(rated, users, items, near, regularization):
    """Return (59), written down once more, and its gradient with respect to the users' factors."""
    rows = np.repeat(np.arange(rated.shape[0]), np.diff(rated.indptr))
    weights = near[0][rows] * near[1][rated.indices]
    errors = rated.data - np.sum(users[rows] * items[rated.indices], axis=1)
    of_users = np.sqrt(np.bincount(rows, weights**2, rated.shape[0]))
    of_items = np.sqrt(np.bincount(rated.indices, weights**2, rated.shape[1]))
    value = weights @ errors**2 + regularization * (
        of_users @ np.sum(users**2, axis=1) + of_items @ np.sum(items**2, axis=1)
    )
    gradient = 2 * regularization * of_users[:, None] * users
    np.add.at(gradient, rows, -2 * (weights * errors)[:, None] * items[rated.indices])
    return value, gradient


@given(st.integers(0, 2**32), st.sampled_from([0.01, 0.65, 20.0]))
def test_a_half_step_is_the_exact_minimizer(seed, regularization):
    rated, _, items, near = problem(seed)
    best = best_local_rows(rated, items, near[1], regularization)
    for row in range(len(best)):  # least squares with the ridge as further rows
        some = slice(*rated.indptr[row : row + 2])
        root = np.sqrt(near[1][rated.indices[some]])
        ridge = np.sqrt(regularization * np.linalg.norm(root**2)) * np.eye(3)
        design = np.vstack([root[:, None] * items[rated.indices[some]], ridge])
        target = np.append(root * rated.data[some], np.zeros(3))
        expected = np.linalg.lstsq(design, target, rcond=None)[0]
        np.testing.assert_allclose(best[row], expected, rtol=1e-3, atol=1e-4)
    value, gradient = objective(rated, best, items, near, regularization)
    np.testing.assert_allclose(gradient, 0.0, atol=2e-4)
    moved = best + np.random.default_rng(seed).normal(0, 0.1, best.shape)
    assert value <= objective(rated, moved, items, near, regularization)[0]


def test_the_gradient_that_vanishes_is_that_of_the_objective():
    rated, users, items, near = problem(3)

    def value_and_gradient(theta):
        value, gradient = objective(rated, theta.reshape(users.shape), items, near, 0.65)
        return value, gradient.ravel()

    assert check_gradient(value_and_gradient, users.ravel()).passed


@given(st.integers(0, 2**32))
def test_no_half_step_raises_the_objective(seed):
    rated, users, items, near = problem(seed)
    before, _ = objective(rated, users, items, near, 0.5)
    for _ in range(4):
        users = best_local_rows(rated, items, near[1], 0.5)
        between, _ = objective(rated, users, items, near, 0.5)
        items = best_local_rows(rated.T.tocsr(), users, near[0], 0.5)
        after, _ = objective(rated, users, items, near, 0.5)
        assert before * (1 + 1e-9) >= between >= after * (1 - 1e-9)
        before = after


def test_an_empty_row_and_a_row_without_weight_have_no_factors():
    rated, _, items, _ = problem(0)
    assert not best_local_rows(rated, items, np.ones(6), 0.5)[0].any()
    assert not best_local_rows(rated, items, np.zeros(6), 0.5).any()


def test_without_a_penalty_a_singular_row_is_solved():
    rated, _, items, near = problem(0)
    for dtype in (np.float32, np.float64):
        flat = np.repeat(items[:, :1], 3, axis=1).astype(dtype)
        assert np.isfinite(best_local_rows(rated, flat, near[1].astype(dtype), 0.0)).all()


def test_angles_are_those_between_vectors():
    factors = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [-5.0, 0.0], [0.0, 0.0]])
    expected = np.array([0.0, 0.5, 0.25, 1.0, 0.5]) * np.pi
    np.testing.assert_allclose(angles(factors, 0), expected, atol=1e-7)


@given(st.lists(st.floats(0, np.pi), min_size=2, max_size=9), st.floats(0.01, 10), st.floats(1, 3))
def test_weights_never_rise_with_the_distance_nor_fall_with_the_bandwidth(
    distances, bandwidth, factor
):
    distances = np.sort(distances)
    weights = epanechnikov(distances, bandwidth)
    assert (np.diff(weights) <= 0).all()
    assert (weights >= 0).all()
    assert (weights <= 1).all()
    assert not weights[distances > bandwidth].any()
    assert (epanechnikov(distances, factor * bandwidth) >= weights).all()


def test_the_anchor_has_the_whole_weight():
    assert epanechnikov(np.zeros(1), 0.5) == [1.0]


def planted():
    return make_ratings(n_users=60, n_items=40, n_ratings=900, random_state=1)


def test_a_single_anchor_and_an_infinite_bandwidth_are_a_plain_factorization(monkeypatch):
    ratings = planted()
    model = LLORMA(1, 3, bandwidth=1e9, max_iter=7, random_state=0).fit(ratings)
    models = model.fitted_.models
    assert (models.user_weights[:, 1] == 1).all()
    assert (models.item_weights[:, 1] == 1).all()
    unit = ratings.matrix.data.std(dtype=np.float64)
    rated = ratings.matrix / np.float32(unit)
    rng = np.random.default_rng(0)
    rng.integers(rated.nnz, size=1)
    items = rng.normal(0.5, 0.1, (40, 3)).astype(np.float32)
    for sweep in range(7 + factors.LOCAL_SWEEPS):
        users = best_local_rows(rated, items, np.ones(40, np.float32), 0.65)
        items = best_local_rows(rated.T.tocsr(), users, np.ones(60, np.float32), 0.65)
        if sweep == 6:
            of_all = unit * users @ items.T
    g = factors.GLOBAL_WEIGHT
    expected = (g * of_all + unit * users @ items.T) / (1 + g)
    scores = model.fitted_.score_all_items(np.arange(60))
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


def test_a_local_model_is_fitted_with_its_weights_from_the_factors_of_all_ratings():
    ratings = planted()
    model = LLORMA(**SMALL, bandwidth=1.2).fit(ratings)
    anchors, user_weights, item_weights, user_factors, item_factors = model.fitted_.models
    root = np.sqrt(ratings.matrix.data.std(dtype=np.float64))
    rated = ratings.matrix / np.float32(root**2)
    of_all = [side[:, :3] / root / np.sqrt(0.01) for side in (user_factors, item_factors)]
    for number in range(1, 5):
        near = user_weights[:, number], item_weights[:, number]
        for weights, side, anchor in zip(near, of_all, anchors[number - 1], strict=True):
            expected = epanechnikov(angles(side, anchor), 1.2)
            np.testing.assert_allclose(weights, expected, atol=1e-3)
        items = of_all[1]
        for _ in range(factors.LOCAL_SWEEPS):
            users = best_local_rows(rated, items, near[1], 0.65)
            items = best_local_rows(rated.T.tocsr(), users, near[0], 0.65)
        some = slice(3 * number, 3 * number + 3)
        for side, weights, expected in zip(
            (user_factors, item_factors), near, (users, items), strict=True
        ):
            weighted = root * weights[:, np.newaxis] * expected
            np.testing.assert_allclose(side[:, some], weighted, rtol=1e-2, atol=1e-3)


def test_scores_are_the_weighted_mean_of_the_models():
    model = LLORMA(**SMALL).fit(planted())
    _, user_weights, item_weights, user_factors, item_factors = model.fitted_.models
    for user, item in ((0, 0), (13, 7), (59, 39)):
        total = weight_of_all = 0.0
        for number in range(5):
            weight = float(user_weights[user, number]) * float(item_weights[item, number])
            some = slice(3 * number, 3 * number + 3)
            total += float(user_factors[user, some].astype(float) @ item_factors[item, some])
            weight_of_all += weight
        scores = model.fitted_.score_pairs(np.array([user]), np.array([item]))
        assert scores[0] == pytest.approx(total / weight_of_all, rel=1e-4)


def test_where_no_anchor_is_near_the_model_of_all_ratings_answers():
    ratings = planted()
    far = LLORMA(**SMALL, bandwidth=1e-6).fit(ratings)
    models = far.fitted_.models
    pairs = np.array([(u, i) for u in range(60) for i in range(40)])
    near = (models.user_weights[pairs[:, 0], 1:] * models.item_weights[pairs[:, 1], 1:]).any(axis=1)
    assert near.sum() <= 4
    users, items = pairs[~near].T
    products = np.einsum("nk,nk->n", models.user_factors[users, :3], models.item_factors[items, :3])
    scores = far.fitted_.score_pairs(users, items)
    np.testing.assert_allclose(scores, products / factors.GLOBAL_WEIGHT, rtol=1e-5)


def test_anchors_are_rated_pairs_and_may_outnumber_the_ratings():
    ratings = make_ratings(n_users=5, n_items=4, n_ratings=8, random_state=0)
    model = LLORMA(20, 2, random_state=0).fit(ratings)
    rated = set(zip(*(array.tolist() for array in ratings.positions()[:2]), strict=True))
    assert model.anchors_.shape == (20, 2)
    assert {tuple(pair) for pair in model.anchors_.tolist()} <= rated


def test_it_beats_a_single_factorization_on_ratings_held_out():
    train, test = train_test_split(make_ratings(random_state=0), 0.2, random_state=0)
    local = LLORMA(20, 5, bandwidth=1.2, random_state=0).fit(train)
    plain = LLORMA(1, 5, bandwidth=1e9, random_state=0).fit(train)
    assert local.score(test) > plain.score(test)


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_the_unit_of_the_ratings_does_not_matter(factor):
    ratings = planted()
    users, items, values = ratings.triples()
    scaled = Ratings.from_triples(users, items, values * factor)
    scores, of_scaled = (
        LLORMA(**SMALL).fit(given).fitted_.score_all_items(np.arange(60))
        for given in (ratings, scaled)
    )
    np.testing.assert_allclose(of_scaled, factor * scores, rtol=2e-3)


def test_equal_seeds_give_equal_models_to_the_bit():
    one, other = (LLORMA(**SMALL).fit(planted()).fitted_.models for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"n_models": 0}, ValueError),
        ({"n_factors": 2.5}, TypeError),
        ({"regularization": -1}, ValueError),
        ({"bandwidth": 0}, ValueError),
        ({"max_iter": 0}, ValueError),
        ({"random_state": "x"}, TypeError),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(changed, error):
    with pytest.raises(error, match=next(iter(changed))):
        LLORMA(**changed).fit(planted())
