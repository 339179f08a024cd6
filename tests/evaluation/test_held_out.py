"""Errors of held-out pairs with intervals, and by groups."""

from itertools import pairwise

import numpy as np
import pytest

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import mae, rmse, train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.held_out import (
    Predictions,
    calibration,
    errors_by_activity,
    errors_by_rating,
    not_trained_on,
    predict_held_out,
    rmse_difference,
)
from autorec_np.models.biases import BiasBaseline, GlobalMean

QUICK = {"hidden_layer_sizes": (6,), "max_iter": 3, "n_jobs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def split():
    ratings = make_ratings(n_users=60, n_items=40, n_ratings=900, activity=1.0, random_state=0)
    return train_test_split(ratings, 0.3, 0)


def made_pairs(truth, predicted, users, items) -> Predictions:
    ones = np.ones(len(truth), np.int64)
    return Predictions(*map(np.asarray, (users, items, truth, predicted)), ones, ones)


# Held-out pairs


def test_predictions_are_those_of_the_model(split):
    train, test = split
    model = BiasBaseline().fit(train)
    pairs = predict_held_out(model, test)
    users, items, ratings = test.triples()
    np.testing.assert_array_equal(pairs.predicted, model.predict(users, items))
    np.testing.assert_array_equal(pairs.truth, ratings)
    assert pairs.rmse.mean == rmse(ratings, pairs.predicted)
    assert pairs.mae.mean == mae(ratings, pairs.predicted)
    assert pairs.n_cold == np.count_nonzero(model.cold_pairs(users, items))
    np.testing.assert_array_equal(
        pairs.user_counts, model.user_counts_[model.ratings_.user_positions(users)]
    )


def test_unknown_ids_are_cold_and_count_zero():
    model = GlobalMean().fit(([1, 1, 2], [1, 2, 2], [1.0, 2.0, 3.0]))
    pairs = predict_held_out(model, ([1, 9, 2], [9, 1, 1], [1.0, 2.0, 3.0]))
    assert pairs.user_counts.tolist() == [2, 0, 1]
    assert pairs.item_counts.tolist() == [0, 1, 1]
    assert pairs.n_cold == 2


def test_trained_pairs_are_known_and_refused(split):
    train, test = split
    model = GlobalMean().fit(train)
    assert not not_trained_on(model, train).any()
    assert not_trained_on(model, test).all()
    user, item, _ = (part[0] for part in train.triples())
    mixed = Ratings.from_triples([user, 10**6], [item, item], [5.0, 5.0])
    assert not_trained_on(model, mixed).tolist() == [False, True]
    with pytest.raises(ValueError, match="1 of the 2 test pairs are also training pairs"):
        predict_held_out(model, mixed)


def test_no_ratings_are_refused(split):
    train, test = split
    empty = test.select(np.zeros(len(test), bool))
    with pytest.raises(ValueError, match="test holds no ratings"):
        predict_held_out(GlobalMean().fit(train), empty)


# Intervals


def slow_half_width(influence, users, items) -> float:
    """Sum the products of all influences that share a user or an item, t aside."""
    share_user = np.equal.outer(users, users)
    share_item = np.equal.outer(items, items)
    products = np.outer(influence, influence)
    n_users, n_items = len(set(users)), len(set(items))
    by_user = n_users / (n_users - 1) * products[share_user].sum()
    by_item = n_items / (n_items - 1) * products[share_item].sum()
    both = by_user + by_item - products[share_user & share_item].sum()
    return float(np.sqrt(max(both, by_user, by_item)) / len(influence))


def test_the_variance_is_the_sum_over_pairs_that_share_a_user_or_an_item():
    from scipy.special import stdtrit

    rng = np.random.default_rng(0)
    cells = rng.choice(12 * 9, 50, replace=False)
    users, items = cells // 9, cells % 9
    truth, predicted = rng.normal(size=(2, 50))
    pairs = made_pairs(truth, predicted, users, items)
    quantile = stdtrit(min(len(set(users)), len(set(items))) - 1, 0.975)
    errors = np.abs(truth - predicted)
    wanted = quantile * slow_half_width(errors - errors.mean(), users, items)
    assert pairs.mae.half_width == pytest.approx(wanted, rel=1e-9, abs=0)
    squares = errors**2 - np.mean(errors**2)
    wanted = quantile * slow_half_width(squares, users, items) / (2 * pairs.rmse.mean)
    assert pairs.rmse.half_width == pytest.approx(wanted, rel=1e-9, abs=0)


@pytest.mark.parametrize("measure", ["rmse", "mae", "mean_rating"])
def test_influences_are_the_derivative_by_the_weight_of_a_pair(measure):
    """Doubling one pair moves a measure by its influence / n, to first order."""
    rng = np.random.default_rng(1)
    n = 4000
    truth, predicted = rng.normal(3.0, 1.0, (2, n))
    pairs = made_pairs(truth, predicted, np.arange(n), np.arange(n))
    twice = np.append(np.arange(n), 0)
    moved = made_pairs(truth[twice], predicted[twice], twice, twice)
    change = getattr(moved, measure).mean - getattr(pairs, measure).mean
    error = truth[0] - predicted[0]
    influence = {
        "rmse": pairs.rmse_influence[0],
        "mae": abs(error) - pairs.mae.mean,
        "mean_rating": truth[0] - truth.mean(),
    }[measure]
    assert change == pytest.approx(influence / n, rel=5e-3, abs=0)


def test_intervals_cover_where_errors_of_a_user_and_of_an_item_are_alike():
    """An interval for independent pairs would cover far less often."""
    rng = np.random.default_rng(2)
    n_users, n_items, n = 60, 50, 800
    true_rmse = np.sqrt(np.exp(2 * 0.5**2) ** 2)  # E exp(2 s z) = exp(2 s^2): user times item
    covered = naive = 0
    n_trials = 200
    for _ in range(n_trials):
        cells = rng.choice(n_users * n_items, n, replace=False)
        users, items = cells // n_items, cells % n_items
        sizes = np.exp(0.5 * rng.normal(size=n_users))[users]
        sizes *= np.exp(0.5 * rng.normal(size=n_items))[items]
        errors = sizes * rng.normal(size=n)
        found = made_pairs(errors, np.zeros(n), users, items).rmse
        covered += found.low <= true_rmse <= found.high
        independent = made_pairs(errors, np.zeros(n), np.arange(n), np.arange(n)).rmse
        naive += independent.low <= true_rmse <= independent.high
    assert covered / n_trials > 0.85
    assert naive / n_trials < 0.65


def test_pairs_of_one_user_or_item_have_no_interval():
    pairs = made_pairs([1.0, 2.0], [2.0, 2.0], [0, 0], [0, 1])
    assert pairs.mae.mean == 0.5
    assert np.isnan(pairs.mae.half_width)


def test_perfect_predictions_have_an_interval_of_no_width():
    pairs = made_pairs([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0, 1, 2], [0, 1, 2])
    assert (pairs.rmse.mean, pairs.rmse.half_width, pairs.mae.half_width) == (0, 0, 0)


def test_a_paired_difference_knows_that_the_pairs_are_the_same():
    rng = np.random.default_rng(3)
    truth, noise = rng.normal(size=(2, 500))
    labels = np.arange(500) % 50, np.arange(500) // 10
    first = made_pairs(truth, truth + noise, *labels)
    second = made_pairs(truth, truth + 1.1 * noise, *labels)
    difference = rmse_difference(first, second)
    assert difference.mean == first.rmse.mean - second.rmse.mean
    assert difference.high < 0
    assert difference.half_width == pytest.approx(0.1 * first.rmse.half_width, rel=1e-9, abs=0)
    same = rmse_difference(first, first)
    assert (same.mean, same.half_width) == (0, 0)


# Groups


def test_groups_by_rating_are_the_values():
    pairs = made_pairs([1.0, 2.5, 1.0], [2.0, 2.0, 3.0], [0, 1, 2], [0, 1, 2])
    low, high = errors_by_rating(pairs)
    assert (low.label, len(low.pairs), low.predicted) == ("1", 2, 2.5)
    assert (high.label, len(high.pairs), high.predicted) == ("2.5", 1, 2.0)


def test_many_values_are_put_into_ten_classes():
    truth = np.linspace(0, 10, 101)
    groups = errors_by_rating(made_pairs(truth, truth, np.arange(101), np.arange(101)))
    assert [len(group.pairs) for group in groups] == [10] * 9 + [11]  # the last has both ends
    assert [groups[0].label, groups[-1].label] == ["0.00–1.00", "9.00–10.00"]


def test_groups_by_activity_divide_at_half_decades():
    counts = np.array([0, 1, 2, 3, 9, 10, 31, 32, 1000, 99_999, 100_000, 10**7])
    ones = np.ones(len(counts))
    labels = np.arange(len(counts))
    pairs = Predictions(labels, labels, ones, ones, counts, counts[::-1])
    groups = errors_by_activity(pairs, "user")
    found = {group.label: len(group.pairs) for group in groups}
    assert found == {
        "0": 1, "1–2": 2, "3–9": 2, "10–31": 2, "32–99": 1, "1,000–3,161": 1,
        "31,623–99,999": 1, "100,000 or more": 2,
    }  # fmt: skip
    assert errors_by_activity(pairs, "item")[0].pairs.users.tolist() == [11]


def test_calibration_has_groups_of_equal_size_and_all_pairs(split):
    train, test = split
    pairs = predict_held_out(BiasBaseline().fit(train), test)
    groups = calibration(pairs)
    sizes = [len(group.pairs) for group in groups]
    assert sum(sizes) == len(pairs)
    assert max(sizes) - min(sizes) <= 2
    assert all(a.predicted < b.predicted for a, b in pairwise(groups))


def test_calibration_of_a_constant_is_one_group(split):
    train, test = split
    (group,) = calibration(predict_held_out(GlobalMean().fit(train), test))
    assert len(group.pairs) == len(test)
