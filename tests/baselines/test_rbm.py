"""RatingRBM: under the contract, and the exact likelihood of a machine that can be enumerated."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np
import pytest
from recommender_contract import (
    EVERY_ITEM,
    EVERY_USER,
    TEST,
    TRAIN,
    RecommenderContract,
    score_table,
)
from scipy import sparse

from autorec_np.baselines import rbm
from autorec_np.baselines.rbm import Machine, RatingRBM
from autorec_np.data.synthetic import make_ratings
from autorec_np.gradcheck import check_gradient
from autorec_np.models.biases import BiasBaseline
from autorec_np.training.solvers import DivergenceError


class TestByItem(
    RecommenderContract,
    n_hidden=6,
    regularization=0.1,
    max_iter=60,
    batch_size=10,
    learning_rate_init=0.05,
    random_state=0,
):
    model_class = RatingRBM
    brief: ClassVar[dict[str, Any]] = {"max_iter": 2}

    def test_the_groups_are_found(self):
        assert self.fitted().score(TEST) > -0.5

    def test_cold_pairs_get_the_bias_baseline(self):
        cold = self.fitted().cold_pairs(EVERY_USER, EVERY_ITEM)
        np.testing.assert_array_equal(
            self.fitted().predict(EVERY_USER, EVERY_ITEM)[cold],
            BiasBaseline().fit(TRAIN).predict(EVERY_USER, EVERY_ITEM)[cold],
        )
        assert len(set(score_table(self.fitted())[-1])) > 1


class TestByUser(TestByItem, orientation="user", n_steps=(1, 2)):
    pass


# A machine of three columns, three values and two hidden units: few enough states to count

TINY = Machine(n_columns=3, n_values=3, n_hidden=2)
RATED = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]])  # a row without ratings among them


def tiny(scale=1.0):
    """Theta, a pattern whose data are values, X, and for each row its columns."""
    rng = np.random.default_rng(0)
    pattern = sparse.csr_array(RATED)
    pattern.data = np.array([2, 0, 1, 1, 2, 0])
    theta = rng.normal(scale=scale, size=TINY.layout.size)
    return theta, pattern, TINY.one_hot(pattern, pattern.data[:, None], np.float64)


EVERY_H = np.array([*itertools.product((0.0, 1.0), repeat=TINY.n_hidden)])


def energies(theta, x):
    """(53) of rows x with each h, (n_rows, 4)."""
    W, b, mu = TINY.layout.views(theta).values()
    return -((x @ W) @ EVERY_H.T + (x @ b)[:, None] + EVERY_H @ mu)


def every_x(rated):
    """All rows x that a row could be which has these columns."""
    values = [np.eye(3) if is_rated else np.zeros((1, 3)) for is_rated in rated]
    return np.array([np.concatenate(parts) for parts in itertools.product(*values)])


def free_energies(theta, x):
    return -np.log(np.exp(-energies(theta, x)).sum(axis=1))


def test_hidden_units_have_the_probabilities_of_the_energy():
    theta, _, X = tiny()
    powers = np.exp(-energies(theta, X.toarray()))
    expected = powers @ EVERY_H / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(TINY.hidden(theta, X), expected, rtol=1e-12)


@pytest.mark.parametrize("number", range(len(EVERY_H)))
def test_visible_units_have_the_probabilities_of_the_energy(number):
    theta, pattern, _ = tiny()
    cells = TINY.one_hot(pattern, np.arange(3), np.float64)
    found = TINY.visible(theta, cells, np.tile(EVERY_H[number], (4, 1)))
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    expected = np.zeros((4, 9))
    for row, states in enumerate(map(every_x, RATED)):
        powers = np.exp(-energies(theta, states)[:, number])
        expected[row] = powers @ states / powers.sum()
    cells.data = found.ravel()
    np.testing.assert_allclose(cells.toarray(), expected, rtol=1e-12)


def test_the_derivative_of_the_free_energy_is_exact():
    theta, _, X = tiny()
    factors = np.array([1.0, -2.0, 0.5, 3.0])

    def fun(point):
        value = factors @ free_energies(point, X.toarray())
        return value, TINY.d_free_energy(X, TINY.hidden(point, X), factors)

    assert check_gradient(fun, theta, tolerance=1e-7).passed


def log_likelihood(theta, X):
    """J of (56) without the penalty, and its derivative, over all states."""
    value, gradient = 0.0, 0.0
    for x, rated in zip(X.toarray(), RATED, strict=True):
        states = np.vstack([x, every_x(rated)])
        of_data, *of_states = free_energies(theta, states)
        powers = np.exp(-np.array(of_states))
        value += of_data + np.log(powers.sum())
        both, factors = sparse.csr_array(states), np.append(1.0, -powers / powers.sum())
        gradient = gradient + TINY.d_free_energy(both, TINY.hidden(theta, both), factors)
    return value, gradient


def test_the_derivative_of_the_likelihood_is_exact():
    theta, _, X = tiny()
    assert check_gradient(lambda point: log_likelihood(point, X), theta, tolerance=1e-7).passed


@pytest.mark.parametrize("n_steps", [1, 12])
def test_long_chains_estimate_the_derivative_of_the_likelihood(n_steps, monkeypatch):
    """Over many copies of the rows; a chain of one step does not."""

    def fast(pattern, left, right):
        rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
        return (left[rows] * right[pattern.indices]).sum(axis=1)

    monkeypatch.setattr(rbm, "sddmm", fast)
    n_copies, (theta, pattern, X) = 15_000, tiny(scale=2.0)
    copies = sparse.vstack([pattern] * n_copies, format="csr")
    rng = np.random.default_rng(0)
    estimate = TINY.contrastive_divergence(theta, copies, n_steps, rng)[1] / n_copies
    error = np.abs(estimate - log_likelihood(theta, X)[1]).max()
    # of the mean of a sum over three rows, each within [0, 1]: four standard errors
    limit = 4 * np.sqrt(3 / 4 / n_copies)
    assert (error < limit) == (n_steps > 1)


def test_a_batch_adds_up_its_rows():
    """Where the chain is forgotten at once: without weights."""
    theta, pattern, X = tiny()
    TINY.layout.views(theta)["visible.weight"][...] = 0.0
    loss, _ = TINY.contrastive_divergence(theta, pattern, 1, np.random.default_rng(0))
    assert loss == pytest.approx(log_likelihood(theta, X)[0], rel=1e-12)


# Parts


def test_values_are_drawn_by_their_probabilities():
    probabilities = np.tile([0.5, 0.0, 0.2, 0.3, 0.0], (20_000, 1))
    numbers = rbm.draw(probabilities, np.random.default_rng(0))
    assert numbers.shape == (20_000, 1)
    shares = np.bincount(numbers[:, 0], minlength=5) / 20_000
    np.testing.assert_allclose(shares, [0.5, 0.0, 0.2, 0.3, 0.0], atol=4 * 0.5 / np.sqrt(20_000))
    assert shares[1] == shares[4] == 0.0


def test_probabilities_of_great_activities_are_finite():
    found = rbm.softmax(np.array([[1e4, 0.0, -1e4], [-1e4, -1e4, -2e4]]))
    np.testing.assert_array_equal(found, [[1, 0, 0], [0.5, 0.5, 0]])


def test_biases_start_where_each_column_has_its_frequencies():
    pattern = sparse.csr_array(np.array([[1, 0], [1, 0], [1, 0]]))
    pattern.data = np.array([0, 0, 1])
    machine = Machine(2, 2, 3)
    weights = machine.layout.views(machine.start(pattern, np.random.default_rng(0)))
    shares = rbm.softmax(weights["visible.bias"].reshape(2, 2))
    np.testing.assert_allclose(shares, np.full((2, 2), [2 / 3, 1 / 3]), rtol=1e-6)
    assert weights["visible.weight"].std() == pytest.approx(0.05, rel=0.5)
    assert not weights["hidden.bias"].any()


# The estimator


def small(**changes):
    given = {"n_hidden": 4, "max_iter": 3, "batch_size": 16, "random_state": 0}
    return RatingRBM(**{**given, **changes})


def ratings():
    return make_ratings(n_users=40, n_items=30, n_ratings=500, random_state=1)


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_a_prediction_is_the_mean_of_the_softmax(orientation):
    model, R = small(orientation=orientation).fit(ratings()), ratings()
    W, b, mu = (
        part.astype(float) for part in model.fitted_.machine.layout.views(model.theta_).values()
    )
    values, n_columns = model.rating_values_, len(b) // len(model.rating_values_)
    rated = R.matrix.toarray() if orientation == "user" else R.matrix.toarray().T
    X = (rated[:, :, None] == values).reshape(len(rated), -1)  # no rating is 0
    H = 1 / (1 + np.exp(-(X @ W + mu)))
    powers = np.exp(H @ W.T + b).reshape(len(rated), n_columns, -1)
    expected = powers @ values / powers.sum(axis=-1)
    users, items = np.repeat(R.user_ids, R.n_items), np.tile(R.item_ids, R.n_users)
    found = model.predict(users, items).reshape(R.shape)
    np.testing.assert_allclose(found, expected if orientation == "user" else expected.T, rtol=1e-5)


def test_a_fit_repeats_to_the_bit():
    theta = small(n_steps=[1, 2]).fit(ratings()).theta_
    np.testing.assert_array_equal(small(n_steps=(1, 2)).fit(ratings()).theta_, theta)
    assert (small(n_steps=1).fit(ratings()).theta_ != theta).any()


def test_steps_grow_over_the_epochs(monkeypatch):
    seen, whole = [], Machine.contrastive_divergence

    def spy(self, theta, pattern, n_steps, random_state):
        seen.append(n_steps)
        return whole(self, theta, pattern, n_steps, random_state)

    monkeypatch.setattr(Machine, "contrastive_divergence", spy)
    small(max_iter=5, n_steps=(1, 3), batch_size=30).fit(ratings())
    assert seen == [1, 1, 1, 3, 3]


def test_the_penalty_is_that_of_all_rows(monkeypatch):
    """Steps of an epoch, of plain descent at a rate that nothing moves at, add up to lambda W."""
    total = []

    class Sum:
        def __init__(self, theta):
            pass

        def step(self, theta, gradient, rate):
            total.append(gradient.copy())

    monkeypatch.setattr(rbm, "Adam", Sum)
    sums = []
    for regularization in (0.0, 50.0):
        total.clear()
        model = small(regularization=regularization, max_iter=1).fit(ratings())
        sums.append(np.sum(total, axis=0))
        assert len(total) == 2
    W = model.fitted_.machine.layout.views(model.theta_)["visible.weight"]
    expected = np.zeros_like(model.theta_)
    expected[: W.size] = 50.0 * W.reshape(-1)
    np.testing.assert_allclose(sums[1] - sums[0], expected, atol=1e-4)


def test_the_loss_falls_and_is_of_a_rating():
    model = small(max_iter=30, learning_rate_init=0.05, regularization=0.1).fit(TRAIN)
    assert len(model.loss_curve_) == 30
    assert model.loss_curve_[0] == pytest.approx(np.log(2), abs=0.05)
    assert model.loss_curve_[-1] < 0.3


def test_equal_ratings_are_predicted():
    assert small().fit(([1, 1, 2], [1, 2, 1], [4, 4, 4])).predict([2], [2]) == [4.0]


@pytest.mark.parametrize("rate", [1e30, 1e3])
def test_a_rate_that_is_too_high_is_told(rate):
    model = small().fit(ratings())
    before = model.fitted_
    model.set_params(learning_rate_init=rate)
    with pytest.raises(DivergenceError, match=r"became .* in iteration 1; .*lower learning_rate"):
        model.fit(ratings())
    assert model.fitted_ is before


def test_too_many_values_are_refused():
    users, items, _ = ratings().triples()
    numbers = np.arange(len(users)) % 21
    with pytest.raises(ValueError, match=r"have 21 distinct values.* 20 at most; round them"):
        small().fit((users, items, numbers))
    small(max_iter=1).fit((users, items, numbers % 20))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"orientation": "items"}, ValueError, "orientation must be one of 'item', 'user'"),
        ({"n_hidden": 0}, ValueError, "n_hidden must be at least 1"),
        ({"regularization": -1.0}, ValueError, "regularization must be"),
        ({"learning_rate_init": 0.0}, ValueError, "learning_rate_init must be"),
        ({"n_steps": ()}, ValueError, "n_steps is empty; pass"),
        ({"n_steps": (1, 0)}, ValueError, "n_steps must be at least 1"),
        ({"n_steps": 1.5}, TypeError, "n_steps must be an integer"),
        ({"random_state": -1}, ValueError, "random_state must be"),
    ],
)
def test_wrong_parameters_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        small(**changes).fit(ratings())
