"""Splits: the parts partition the ratings and keep ids, shape, scale and order."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import (
    cold_row_split,
    holdout_per_user,
    k_fold,
    temporal_split,
    train_test_split,
)
from autorec_np.data.synthetic import make_ratings

law = settings(deadline=None, derandomize=True, max_examples=50)
SEEDS = st.integers(0, 2**32)


@st.composite
def rating_sets(draw, min_size=2):
    """Ratings of different pairs in any order, with zeros, with integer or string ids."""
    pair = st.tuples(st.integers(0, 7), st.integers(0, 7))
    pairs = draw(st.lists(pair, min_size=min_size, max_size=40, unique=True))
    users, items = (np.array(ids) * 3 for ids in zip(*pairs, strict=True))
    if draw(st.booleans()):
        users = [f"u{user}" for user in users]
    rng = np.random.default_rng(draw(SEEDS))
    values = rng.integers(0, 6, len(pairs)).astype(np.float32)
    timestamps = rng.integers(0, 10, len(pairs))
    timestamps[:2] = 0, 1
    return Ratings.from_triples(users, items, values, timestamps, scale=(0, 5))


def in_file_order(R):
    users, items, values = R.triples()
    times = [None] * len(R) if R.timestamps is None else R.timestamps[R.order].tolist()
    return list(zip(users.tolist(), items.tolist(), values.tolist(), times, strict=True))


def check_partition(R, train, test):
    """The two parts hold each rating once, in the order of the file, on the frame of the whole."""
    whole, kept, held_out = (in_file_order(part) for part in (R, train, test))
    assert sorted(kept + held_out) == sorted(whole)
    is_held_out = set(held_out).__contains__
    assert kept == [one for one in whole if not is_held_out(one)]
    assert held_out == [one for one in whole if is_held_out(one)]
    for part in (train, test):
        assert part.shape == R.shape
        assert part.scale == R.scale
        assert part.user_ids.tolist() == R.user_ids.tolist()
        assert part.item_ids.tolist() == R.item_ids.tolist()


def user_counts(R):
    return np.bincount(R.positions()[0], minlength=R.n_users)


SPLITS = {
    "train_test_split": lambda R, seed: train_test_split(R, 0.3, seed),
    "k_fold": lambda R, seed: next(k_fold(R, 2, seed)),
    "holdout_per_user": lambda R, seed: holdout_per_user(R, 2, seed),
    "temporal_split": lambda R, seed: temporal_split(R, 0.3),
    "cold users": lambda R, seed: cold_row_split(R, 0.3, "user", seed),
    "cold items": lambda R, seed: cold_row_split(R, 0.3, "item", seed),
}
every_split = pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS.keys())
random_splits = pytest.mark.parametrize(
    "split", [SPLITS[name] for name in SPLITS if name != "temporal_split"]
)


@pytest.fixture
def R():
    """Sixty ratings of 10 users and 8 items, in a shuffled order, with timestamps."""
    rng = np.random.default_rng(5)
    codes = rng.permutation(80)[:60]
    return Ratings.from_triples(
        codes // 8, codes % 8, rng.integers(0, 6, 60), rng.permutation(60), scale=(0, 5)
    )


@every_split
@given(rating_sets(min_size=9), SEEDS)
@law
def test_every_split_is_a_partition(split, R, seed):
    # Nine different pairs of 8 x 8 ids: two users, two items, and a user with two ratings at least.
    train, test = split(R, seed)
    assert len(train) > 0
    assert len(test) > 0
    check_partition(R, train, test)


@random_splits
def test_the_same_seed_gives_the_same_split_and_another_seed_another(split, R):
    assert in_file_order(split(R, 7)[1]) == in_file_order(split(R, 7)[1])
    others = [in_file_order(split(R, seed)[1]) for seed in range(8)]
    assert len({tuple(one) for one in others}) > 1


@random_splits
def test_a_generator_is_advanced(split, R):
    generator = np.random.default_rng(3)
    first = [in_file_order(split(R, generator)[1]) for _ in range(6)]
    assert len({tuple(one) for one in first}) > 1


@every_split
def test_the_input_stays_as_it_is(split, R):
    before = in_file_order(R)
    split(R, 0)
    assert in_file_order(R) == before


@every_split
@pytest.mark.parametrize(
    "convert",
    [
        lambda R: R.to_frame(),
        lambda R: (*R.triples(), R.timestamps[R.order]),
    ],
    ids=["frame", "tuple"],
)
def test_every_split_takes_other_forms_of_ratings(split, convert, R):
    expected = split(R, 1)
    for part, wanted in zip(split(convert(R), 1), expected, strict=True):
        assert in_file_order(part) == in_file_order(wanted)


def test_a_sparse_matrix_keeps_its_empty_rows_and_its_stored_zeros():
    matrix = sparse.csr_matrix(([0.0, 3.0, 4.0], [0, 1, 2], [0, 2, 3, 3]), shape=(3, 5))
    train, test = train_test_split(matrix, 1, 0)
    assert train.shape == test.shape == (3, 5)
    stored = np.concatenate([train.matrix.data, test.matrix.data])
    assert sorted(stored.tolist()) == [0.0, 3.0, 4.0]


# train_test_split


@given(rating_sets(), st.floats(0.01, 0.49), SEEDS)
@law
def test_a_share_holds_out_the_first_of_the_permutation(R, share, seed):
    n = len(R)
    _, test = train_test_split(R, share, seed)
    first = np.random.default_rng(seed).permutation(n)[: math.ceil(share * n)]
    assert in_file_order(test) == [in_file_order(R)[k] for k in sorted(first)]


@given(rating_sets(), st.data())
@law
def test_an_integer_holds_out_that_many(R, data):
    n_test = data.draw(st.integers(1, len(R) - 1))
    train, test = train_test_split(R, n_test, 0)
    assert (len(train), len(test)) == (len(R) - n_test, n_test)


def test_a_tenth_is_held_out_by_default(R):
    assert len(train_test_split(R)[1]) == 6


def test_each_rating_is_equally_likely_to_be_held_out():
    codes = np.arange(20)
    R = Ratings.from_triples(codes // 5, codes % 5, codes)
    rng = np.random.default_rng(0)
    held_out = np.zeros(20)
    for _ in range(2000):
        held_out[train_test_split(R, 5, rng)[1].triples()[2].astype(int)] += 1
    # Five standard deviations of a binomial (2000, 1/4).
    assert np.abs(held_out - 500).max() < 5 * math.sqrt(2000 * 0.25 * 0.75)


@pytest.mark.parametrize("split", [train_test_split, temporal_split, cold_row_split])
@pytest.mark.parametrize(
    ("test_size", "error", "message"),
    [
        (0.0, ValueError, "test_size must be"),
        (1.0, ValueError, "test_size must be"),
        (-0.1, ValueError, "test_size must be"),
        (float("nan"), ValueError, "test_size must be"),
        (0, ValueError, "test_size must be at least 1"),
        (-1, ValueError, "test_size must be at least 1"),
        (0.999, ValueError, "leaves none for training"),
        (60, ValueError, "leaves none for training"),
        (10**9, ValueError, "leaves none for training"),
        (True, TypeError, "test_size must be an integer"),
        ("0.1", TypeError, "test_size must be a number"),
        (None, TypeError, "test_size must be a number"),
    ],
)
def test_a_wrong_test_size_is_refused(split, test_size, error, message, R):
    with pytest.raises(error, match=message):
        split(R, test_size)


@pytest.mark.parametrize("seed", [-1, "0", 1.5])
@random_splits
def test_a_wrong_random_state_is_refused(split, seed, R):
    with pytest.raises((ValueError, TypeError), match="random_state must be"):
        split(R, seed)


# k_fold


@given(rating_sets(), st.data(), SEEDS)
@law
def test_the_folds_hold_out_every_rating_once(R, data, seed):
    n_splits = data.draw(st.integers(2, len(R)))
    folds = list(k_fold(R, n_splits, seed))
    assert len(folds) == n_splits
    for train, test in folds:
        check_partition(R, train, test)
    held_out = [one for _, test in folds for one in in_file_order(test)]
    assert sorted(held_out) == sorted(in_file_order(R))
    sizes = [len(test) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1


def test_the_folds_are_random(R):
    first, second = next(k_fold(R, 2, 0)), next(k_fold(R, 2, 1))
    assert in_file_order(first[1]) != in_file_order(second[1])
    assert in_file_order(first[1]) != in_file_order(R)[:30]


@pytest.mark.parametrize(
    ("n_splits", "error", "message"),
    [
        (1, ValueError, "n_splits must be at least 2"),
        (61, ValueError, "n_splits must be at most the number of ratings, got 61 for 60"),
        (2.0, TypeError, "n_splits must be an integer"),
    ],
)
def test_a_wrong_number_of_folds_is_refused_at_the_call(n_splits, error, message, R):
    with pytest.raises(error, match=message):
        k_fold(R, n_splits)


# holdout_per_user


@given(rating_sets(), st.integers(1, 4), st.integers(1, 3), SEEDS)
@law
def test_each_user_gives_a_number_of_ratings_and_keeps_the_minimum(R, n, min_train, seed):
    before = user_counts(R)
    expected = [max(0, min(n, m - min_train)) for m in before]
    if sum(expected) == 0:
        with pytest.raises(ValueError, match=f"no user has more than min_train={min_train}"):
            holdout_per_user(R, n, seed, min_train=min_train)
        return
    train, test = holdout_per_user(R, n, seed, min_train=min_train)
    check_partition(R, train, test)
    assert user_counts(test).tolist() == expected


@given(rating_sets(), st.floats(0.05, 0.95), SEEDS)
@law
def test_each_user_gives_a_share_of_ratings(R, share, seed):
    expected = [min(math.ceil(share * m), m - 1) for m in user_counts(R)]
    if sum(expected) == 0:
        return
    train, test = holdout_per_user(R, share, seed)
    check_partition(R, train, test)
    assert user_counts(test).tolist() == expected


def test_the_first_of_each_user_in_the_permutation_are_held_out():
    R = make_ratings(30, 40, 600, random_state=0)
    users = R.positions()[0]
    taken = {user: [] for user in range(30)}
    for k in np.random.default_rng(5).permutation(600).tolist():
        taken[users[k]].append(k)
    expected = sorted(k for ratings in taken.values() for k in ratings[: min(3, len(ratings) - 1)])
    test = holdout_per_user(R, 3, 5)[1]
    assert in_file_order(test) == [in_file_order(R)[k] for k in expected]


def test_one_rating_of_each_user_is_held_out_by_default(R):
    train, test = holdout_per_user(R)
    assert user_counts(test).tolist() == [1] * R.n_users
    assert user_counts(train).min() >= 1


def test_the_held_out_ratings_of_a_user_are_equally_likely():
    R = Ratings.from_triples([0, 1] * 4, [0, 0, 1, 1, 2, 2, 3, 3], np.arange(8))
    rng = np.random.default_rng(0)
    held_out = np.zeros(8)
    for _ in range(2000):
        held_out[holdout_per_user(R, 1, rng)[1].triples()[2].astype(int)] += 1
    assert np.abs(held_out - 500).max() < 5 * math.sqrt(2000 * 0.25 * 0.75)


def test_a_user_without_ratings_is_left_alone():
    matrix = sparse.csr_array(([1.0, 2.0, 3.0], [0, 1, 0], [0, 2, 2, 3]), shape=(3, 2))
    _, test = holdout_per_user(matrix, 1, 0)
    assert user_counts(test).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("n", "options", "error", "message"),
    [
        (0, {}, ValueError, "n must be at least 1"),
        (0.0, {}, ValueError, "n must be"),
        (1.5, {}, ValueError, "n must be"),
        ("1", {}, TypeError, "n must be a number"),
        (1, {"min_train": 0}, ValueError, "min_train must be at least 1"),
        (1, {"min_train": 60}, ValueError, r"the most active has \d+.*lower min_train"),
    ],
)
def test_a_wrong_holdout_is_refused(n, options, error, message, R):
    with pytest.raises(error, match=message):
        holdout_per_user(R, n, 0, **options)


# temporal_split


@given(rating_sets(), st.floats(0.01, 0.49))
@law
def test_the_latest_ratings_are_held_out_ties_in_the_order_of_the_file(R, share):
    train, test = temporal_split(R, share)
    check_partition(R, train, test)
    whole = in_file_order(R)
    by_time = sorted(range(len(R)), key=lambda k: (whole[k][3], k))
    latest = by_time[len(R) - math.ceil(share * len(R)) :]
    assert in_file_order(test) == [whole[k] for k in sorted(latest)]
    assert train.timestamps.max() <= test.timestamps.min()


def test_a_frame_brings_its_timestamps():
    frame = pd.DataFrame(
        {"user": [1, 1, 2], "item": [1, 2, 1], "rating": [3, 4, 5], "timestamp": [30, 10, 20]}
    )
    _, test = temporal_split(frame, 1)
    assert in_file_order(test) == [(1, 1, 3.0, 30)]


def test_without_timestamps_there_is_no_temporal_split():
    with pytest.raises(ValueError, match=r"these ratings have none.*train_test_split"):
        temporal_split(([1, 1, 2], [1, 2, 1], [3, 4, 5]), 1)


def test_equal_timestamps_make_no_temporal_split():
    with pytest.raises(ValueError, match=r"all 3 are 0.*lost its times"):
        temporal_split(([1, 1, 2], [1, 2, 1], [3, 4, 5], [0, 0, 0]), 1)


# cold_row_split


@pytest.mark.parametrize("axis", ["user", "item"])
@given(rating_sets(), SEEDS)
@law
def test_whole_rows_are_held_out(axis, R, seed):
    column = 0 if axis == "user" else 1
    rows = {one[column] for one in in_file_order(R)}
    if len(rows) < 2:
        return
    train, test = cold_row_split(R, 0.4, axis, seed)
    check_partition(R, train, test)
    cold, warm = ({one[column] for one in in_file_order(part)} for part in (test, train))
    assert cold | warm == rows
    assert cold & warm == set()
    assert len(cold) == math.ceil(0.4 * len(rows))


def test_rows_without_ratings_are_not_counted():
    matrix = sparse.csr_array(([1.0, 2.0], [0, 1], [0, 0, 1, 2, 2, 2]), shape=(5, 2))
    with pytest.raises(ValueError, match="holds out 2 of 2 users"):
        cold_row_split(matrix, 2)
    assert [len(part) for part in cold_row_split(matrix, 1)] == [1, 1]


def test_an_unknown_axis_is_refused(R):
    with pytest.raises(ValueError, match="axis must be one of 'user', 'item', got 'row'"):
        cold_row_split(R, 0.1, "row")


def test_advice_where_nothing_can_be_held_out():
    once = Ratings.from_triples([1, 2, 3], [1, 1, 2], [3, 4, 5])
    with pytest.raises(ValueError, match="so none can be held out; use train_test_split"):
        holdout_per_user(once)
    assert len(train_test_split(once)[1]) == 1
    twice = Ratings.from_triples([1, 1], [1, 2], [3, 4])
    with pytest.raises(ValueError, match="so none can be held out; lower min_train"):
        holdout_per_user(twice, min_train=2)
    assert len(holdout_per_user(twice, min_train=1)[1]) == 1
    with pytest.raises(ValueError, match="got 2 for 1; pass two ratings or more"):
        k_fold(Ratings.from_triples([1], [1], [3]), 2)
