"""SVDpp: under the contract, and its gradient, which goes through the best users."""

from __future__ import annotations

import numpy as np
import pytest
from factor_problems import all_scores, pattern, problem
from recommender_contract import TEST, RecommenderContract

from autorec_np.baselines.factors import (
    SVDpp,
    best_users,
    derivatives,
    implicit_pattern,
    penalties,
    split,
    value_and_gradient,
)
from autorec_np.gradcheck import check_gradient


class TestSVDpp(
    RecommenderContract, n_factors=4, regularization=0.5, batch_size=10, random_state=0
):
    model_class = SVDpp


def svdpp_problem(regularization=0.7):
    rated, _, items = problem()
    theta = np.column_stack([items, np.random.default_rng(1).normal(size=(len(items), 3))])
    of_users, of_items = penalties(rated, 4, regularization)
    return rated, theta, (of_users, of_items, 2 * of_items[:, :-1])


def test_it_solves_the_checkerboard():
    assert TestSVDpp.fitted().score(TEST) > -0.5


def test_the_implied_factors_are_sums_over_who_was_rated():
    rated, theta, weights = svdpp_problem()
    _, Z = split(theta)
    _, implied = best_users(rated, theta, weights[0])
    for user, row in enumerate(pattern(rated)):
        total = sum((Z[item] for item in np.flatnonzero(row)), np.zeros(3))
        np.testing.assert_allclose(implied[user, :-1], total / np.sqrt(max(row.sum(), 1)))
    assert not implied[:, -1].any()
    squares = np.square(implicit_pattern(rated).toarray()).sum(axis=1)
    np.testing.assert_allclose(squares, pattern(rated).any(axis=1))


def test_no_users_are_better_than_the_best():
    rated, theta, weights = svdpp_problem()
    items, _ = split(theta)
    own, implied = best_users(rated, theta, weights[0])
    d_users, _ = derivatives(rated, own + implied, items, (0 * own, weights[1]))
    np.testing.assert_allclose(d_users + weights[0] * own, 0, atol=1e-4)


def test_the_value_is_that_of_the_page():
    rated, theta, weights = svdpp_problem()
    items, Z = split(theta)
    own, implied = best_users(rated, theta, weights[0])
    errors = (rated.toarray() - all_scores(own + implied, items))[pattern(rated)]
    expected = np.sum(errors**2) + sum(
        np.sum(weight * one**2) for weight, one in zip(weights, (own, items, Z), strict=True)
    )
    assert value_and_gradient(rated, theta, weights)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("regularization", [0.05, 0.7])
def test_the_gradient_is_that_of_the_value(regularization):
    rated, theta, weights = svdpp_problem(regularization)
    blocks = {"Q": np.s_[:, :3], "b_item": np.s_[:, 3], "Z": np.s_[:, 4:]}
    report = check_gradient(lambda at: value_and_gradient(rated, at, weights), theta, blocks)
    assert report.passed, report


@pytest.mark.parametrize("fault", ["Z", "Q"])
def test_a_planted_fault_is_found(fault):
    rated, theta, weights = svdpp_problem()

    def wrong(at):
        value, gradient = value_and_gradient(rated, at, weights)
        columns = slice(4, None) if fault == "Z" else slice(0, 3)
        gradient[:, columns] *= 1.01
        return value, gradient

    assert not check_gradient(wrong, theta).passed


def test_who_rated_what_says_who_a_user_is():
    """All ratings of a user but one are alike: only their items tell the two groups apart."""
    rng = np.random.default_rng(0)
    n_users, n_items = 200, 40
    groups = np.arange(n_users) % 2
    users, items, values = [], [], []
    for user in range(n_users):
        own = rng.permutation(np.arange(n_items // 2 - 1))[:8] + groups[user] * n_items // 2
        users += [user] * 8
        items += own.tolist()
        values += [3.0] * 8
        if user < 160:  # and one item that all have rated, each group in its own way
            users, items = [*users, user], [*items, n_items - 1]
            values.append(5.0 if groups[user] else 1.0)
    model = SVDpp(2, 0.3, 40, 0.05, 20, random_state=0).fit((users, items, values))
    predicted = model.predict(np.arange(160, 200), np.full(40, n_items - 1))
    assert predicted[groups[160:] == 1].min() > predicted[groups[160:] == 0].max() + 1
