"""Synthetic ratings: what was asked for, long tails, and a planted truth that is the best model."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorec_np.data import synthetic
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import rmse
from autorec_np.data.synthetic import make_ratings

law = settings(deadline=None, derandomize=True, max_examples=60)


@st.composite
def sizes(draw):
    n_users, n_items = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    fill = draw(st.sampled_from(["one", "rows", "any", "almost full", "full"]))
    cells = n_users * n_items
    n_ratings = {
        "one": 1,
        "rows": max(n_users, n_items),
        "any": draw(st.integers(1, cells)),
        "almost full": max(1, cells - 1),
        "full": cells,
    }[fill]
    return n_users, n_items, n_ratings


def counts(R):
    """Ratings of each user and of each item."""
    users, items, _ = R.positions()
    return np.bincount(users, minlength=R.n_users), np.bincount(items, minlength=R.n_items)


@pytest.fixture(scope="module")
def planted():
    return make_ratings(2000, 1500, 150_000, random_state=1, return_truth=True)


@given(sizes(), st.integers(0, 1000), st.sampled_from([0.0, 1.5, 5.0]))
@law
def test_the_ratings_are_as_many_and_as_spread_as_asked_for(size, seed, sigma):
    n_users, n_items, n_ratings = size
    R = make_ratings(*size, popularity=sigma, activity=sigma, random_state=seed)
    assert R.shape == (n_users, n_items)
    users, items, values = R.triples()
    assert len(values) == n_ratings
    assert len(set(zip(users.tolist(), items.tolist(), strict=True))) == n_ratings
    per_user, per_item = counts(R)
    assert n_ratings < n_users or per_user.min() >= 1
    assert n_ratings < n_items or per_item.min() >= 1
    assert set(values.tolist()) <= {1.0, 2.0, 3.0, 4.0, 5.0}


@given(sizes(), st.integers(0, 1000))
@law
def test_the_result_is_what_the_checked_constructor_makes_of_its_triples(size, seed):
    R = make_ratings(*size, random_state=seed)
    again = Ratings.from_triples(*R.triples(), scale=(1, 5))
    per_user, per_item = counts(R)
    assert again.user_ids.tolist() == np.flatnonzero(per_user).tolist()
    assert again.item_ids.tolist() == np.flatnonzero(per_item).tolist()
    assert again.matrix.data.tolist() == R.matrix.data.tolist()
    assert again.item_ids[again.matrix.indices].tolist() == R.matrix.indices.tolist()
    assert again.order.tolist() == R.order.tolist()
    assert R.matrix.dtype == np.float32
    assert R.order.dtype == R.user_ids.dtype == R.item_ids.dtype == np.int64
    assert (R.timestamps, R.scale) == (None, (1.0, 5.0))


def test_the_result_is_read_only():
    R = make_ratings(5, 5, 10, random_state=0)
    matrix = R.matrix
    for array in (matrix.data, matrix.indices, matrix.indptr, R.order, R.user_ids, R.item_ids):
        assert not array.flags.writeable


def test_every_argument_has_a_default():
    R = make_ratings()
    assert isinstance(R, Ratings)
    assert (R.shape, len(R)) == ((1000, 800), 60_000)


def test_the_seed_determines_everything():
    one, truth = make_ratings(50, 40, 600, random_state=3, return_truth=True)
    same = make_ratings(50, 40, 600, random_state=np.random.default_rng(3))
    other = make_ratings(50, 40, 600, random_state=4)
    for ours, equal, different in zip(one.triples(), same.triples(), other.triples(), strict=True):
        assert np.array_equal(ours, equal)
        assert not np.array_equal(ours, different)
    again = make_ratings(50, 40, 600, random_state=3, return_truth=True)[1]
    assert np.array_equal(truth.user_factors, again.user_factors)


def test_small_blocks_keep_every_law(monkeypatch):
    # Users and ratings span many blocks; one user alone has more ratings than a block.
    monkeypatch.setattr(synthetic, "BLOCK_SIZE", 16)
    R, truth = make_ratings(
        60, 50, 900, noise=0, step=None, random_state=0, return_truth=True, activity=1.5
    )
    per_user, per_item = counts(R)
    assert per_user.max() > 16
    assert (per_user.min() >= 1, per_item.min() >= 1, len(R)) == (True, True, 900)
    users, items, values = R.triples()
    assert len(set(zip(users.tolist(), items.tolist(), strict=True))) == 900
    np.testing.assert_allclose(values, truth.predict(users, items), rtol=1e-6)


def test_the_order_of_the_ratings_is_random(planted):
    users, items, values = planted[0].triples()
    for column in (users, items, values):
        steps = np.diff(column.astype(float))
        # Up and down are equally likely in a random order; five standard deviations at most.
        n_moves = np.count_nonzero(steps)
        assert abs(np.count_nonzero(steps > 0) - n_moves / 2) < 5 * math.sqrt(n_moves) / 2


# Long tails


def test_a_few_items_and_users_have_most_of_the_ratings(planted):
    for per_row, least in zip(counts(planted[0]), (0.30, 0.40), strict=True):
        top_tenth = np.sort(per_row)[::-1][: len(per_row) // 10]
        assert top_tenth.sum() > least * per_row.sum()
        assert np.median(per_row) < 0.7 * per_row.mean()


def test_popularity_and_activity_are_the_sigmas_of_lognormal_counts():
    def sigmas(**options):
        # Two percent filled, so that counts hardly saturate; 200 ratings a row on average.
        R = make_ratings(10_000, 10_000, 2_000_000, random_state=0, **options)
        return [np.log(per_row).std() for per_row in counts(R)]

    assert sigmas(activity=0.8, popularity=0.5) == pytest.approx([0.8, 0.5], abs=0.03)
    # Uniform weights leave the spread of a Poisson number of mean 200.
    assert sigmas(activity=0, popularity=0) == pytest.approx([200**-0.5] * 2, abs=0.01)


def test_popularity_does_not_follow_the_ids(planted):
    for per_row in counts(planted[0]):
        correlation = np.corrcoef(np.arange(len(per_row)), np.log(per_row))[0, 1]
        assert abs(correlation) < 4 / math.sqrt(len(per_row))


def inclusion_probabilities(weights):
    """P(item i is one of two items drawn by weight, one after the other, without replacement)."""
    p = weights / weights.sum()
    first_j_then_i = np.outer(p / (1 - p), p)
    np.fill_diagonal(first_j_then_i, 0)
    return p + first_j_then_i.sum(axis=0)


@pytest.mark.parametrize("max_rounds", [20, 1, 0], ids=["rounds", "both", "race"])
def test_a_users_items_are_drawn_by_weight_without_replacement(max_rounds, monkeypatch):
    monkeypatch.setattr(synthetic, "MAX_ROUNDS", max_rounds)
    weights = 2.0 ** -np.arange(16)
    n_users = 20_000
    degrees = np.full(n_users, 2)
    codes = synthetic._draw_block(degrees, weights, np.random.default_rng(0))
    assert np.array_equal(codes // 16, np.repeat(np.arange(n_users), 2))
    assert (np.diff(codes) > 0).all()
    expected = inclusion_probabilities(weights)
    share = np.bincount(codes % 16, minlength=16) / n_users
    assert np.abs(share - expected).max() < 4 * math.sqrt(0.25 / n_users)


def test_memory_does_not_grow_with_the_number_of_cells():
    tracemalloc.start()
    make_ratings(20_000, 20_000, 50_000, random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One byte for each of the 4e8 cells would be 400 MB.
    assert peak < 40e6


# The planted truth


def test_the_error_of_the_truth_is_the_noise_and_the_rounding(planted):
    R, truth = planted
    users, items, values = R.triples()
    predicted = truth.predict(users, items)
    noise = math.sqrt(0.75**2 + 1 / 12)
    # Clipping to the scale can only bring rating and truth closer together.
    assert 0.9 * noise < rmse(values, predicted) < noise * 1.005
    assert (predicted.min() >= 1.0, predicted.max() <= 5.0) == (True, True)


@pytest.mark.parametrize(("noise", "step"), [(0.3, 0.5), (0.5, None), (0.0, 0.1), (0.5, 1.0)])
def test_away_from_the_ends_of_the_scale_that_is_exact(noise, step):
    R, truth = make_ratings(
        scale=(0, 10), noise=noise, step=step, random_state=2, return_truth=True
    )
    users, items, values = R.triples()
    predicted = truth.predict(users, items)
    inside = (predicted > 4 * noise + 0.5) & (predicted < 9.5 - 4 * noise)
    assert np.count_nonzero(inside) > 20_000
    expected = math.sqrt(noise**2 + (step or 0) ** 2 / 12)
    # The standard error of an RMSE of 20,000 normal errors is half a percent.
    assert rmse(values[inside], predicted[inside]) == pytest.approx(expected, rel=0.02)


def test_without_noise_and_rounding_the_ratings_are_the_truth():
    R, truth = make_ratings(noise=0, step=None, random_state=0, return_truth=True)
    users, items, values = R.triples()
    np.testing.assert_allclose(values, truth.predict(users, items), rtol=1e-6)


def test_the_factors_explain_what_the_biases_cannot(planted):
    R, truth = planted
    users, items, values = R.triples()
    biases = dataclasses.replace(
        truth, user_factors=0 * truth.user_factors, item_factors=0 * truth.item_factors
    )
    mean = dataclasses.replace(biases, user_bias=0 * truth.user_bias, item_bias=0 * truth.item_bias)
    errors = [rmse(values, model.predict(users, items)) for model in (truth, biases, mean)]
    assert errors[0] < 0.92 * errors[1]
    assert errors[1] < 0.90 * errors[2]


@pytest.mark.parametrize("rank", [1, 4, 50])
def test_the_size_of_the_interaction_does_not_depend_on_the_rank(rank):
    _, truth = make_ratings(400, 400, 1000, rank=rank, random_state=0, return_truth=True)
    assert truth.user_factors.shape == truth.item_factors.shape == (400, rank)
    interaction = truth.user_factors @ truth.item_factors.T
    # w / 8 = 0.5; the sample's own spread is large at rank 1.
    assert interaction.std() == pytest.approx(0.5, rel=0.12)


def test_rank_zero_leaves_the_biases():
    R, truth = make_ratings(
        rank=0, noise=0, step=None, scale=(-50, 50), random_state=0, return_truth=True
    )
    users, items, values = R.triples()
    assert truth.user_factors.shape == (1000, 0)
    scores = truth.mean + truth.user_bias[users] + truth.item_bias[items]
    np.testing.assert_allclose(values, np.clip(scores, -50, 50), rtol=1e-5, atol=1e-5)


def test_truth_predicts_pairs_by_their_ids():
    _, truth = make_ratings(6, 5, 20, random_state=0, return_truth=True)
    one = truth.mean + truth.user_bias[4] + truth.item_bias[2]
    one += truth.user_factors[4] @ truth.item_factors[2]
    assert truth.predict([4, 0], [2, 1])[0] == pytest.approx(np.clip(one, 1, 5))
    with pytest.raises(dataclasses.FrozenInstanceError):
        truth.mean = 0.0


@pytest.mark.parametrize(
    ("users", "items", "error", "message"),
    [
        ([6], [0], IndexError, "user ids must be from 0 to 5, got 6"),
        ([-1], [0], IndexError, "user ids must be from 0 to 5, got -1"),
        ([0], [5], IndexError, "item ids must be from 0 to 4, got 5"),
        ([0.0], [0], TypeError, "user ids must be integers"),
        (["0"], [0], TypeError, "user ids must be integers"),
    ],
)
def test_truth_refuses_unknown_ids(users, items, error, message):
    _, truth = make_ratings(6, 5, 20, random_state=0, return_truth=True)
    with pytest.raises(error, match=message):
        truth.predict(users, items)


@pytest.mark.parametrize(
    ("scale", "step"), [((1, 5), 1), ((0.5, 5), 0.5), ((-1, 1), 0.1), ((0, 1), 1)]
)
def test_ratings_stand_on_the_steps_of_the_scale(scale, step):
    R = make_ratings(noise=(scale[1] - scale[0]) / 3, scale=scale, step=step, random_state=0)
    grid = np.linspace(*scale, round((scale[1] - scale[0]) / step) + 1).astype(np.float32)
    np.testing.assert_allclose(np.unique(R.matrix.data), grid, rtol=1e-6, atol=1e-7)
    assert R.scale == tuple(map(float, scale))


# Impossible requests


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"n_users": 3, "n_items": 4, "n_ratings": 13},
            ValueError,
            r"at most n_users \* n_items = 3 \* 4 = 12.*got 13",
        ),
        ({"n_users": 0}, ValueError, "n_users must be at least 1"),
        ({"n_items": -1}, ValueError, "n_items must be at least 1"),
        ({"n_ratings": 0}, ValueError, "n_ratings must be at least 1"),
        ({"n_ratings": 1e3}, TypeError, "n_ratings must be an integer"),
        ({"rank": -1}, ValueError, "rank must be at least 0"),
        ({"noise": -0.1}, ValueError, "noise must be"),
        ({"noise": np.inf}, ValueError, "noise must be"),
        ({"popularity": -1}, ValueError, "popularity must be"),
        ({"activity": 6}, ValueError, "activity must be"),
        ({"scale": (5, 1)}, ValueError, "scale must be"),
        ({"scale": 5}, TypeError, "scale must be"),
        ({"step": 0}, ValueError, "step must be"),
        ({"step": 3}, ValueError, "does not divide the scale"),
        ({"scale": (0, 100), "step": 7.5}, ValueError, "does not divide the scale"),
        ({"step": 100}, ValueError, "does not divide the scale"),
        ({"random_state": -1}, ValueError, "random_state must be"),
    ],
)
def test_an_impossible_request_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        make_ratings(**arguments)


def test_where_every_item_is_rated_covering_them_takes_no_memory():
    indices = np.tile(np.arange(1000, dtype=np.int32), 1000)
    indptr, users = np.arange(0, 1_000_001, 1000), np.repeat(np.arange(1000), 1000)
    before = indices.copy()
    tracemalloc.start()
    synthetic._cover_items(indptr, indices, users, 1000, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < indices.nbytes / 10
    np.testing.assert_array_equal(indices, before)
