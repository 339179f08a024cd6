"""Ratings, timestamps and scales are numbers of the right kind."""

from __future__ import annotations

import decimal
import re
import warnings

import numpy as np
import pytest
from advice import follow

from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.values import (
    UnsuitableRatingsWarning,
    as_numbers,
    check_ratings,
    is_rating,
    unsuitable,
    warn_of_unsuitable,
)


@pytest.mark.parametrize("scale", [(5, 1), (1, 1), (0, np.inf), (np.nan, 5)])
def test_scale_must_be_an_interval(scale):
    with pytest.raises(ValueError, match=r"two finite numbers \(low, high\) with low < high"):
        Ratings.from_triples([1], [1], [1], scale=scale)


@pytest.mark.parametrize("scale", [5, (1, 2, 3), ("a", "b"), (None, 5)])
def test_scale_must_be_a_pair(scale):
    with pytest.raises(TypeError, match=r"scale must be a pair of numbers \(low, high\)"):
        Ratings.from_triples([1], [1], [1], scale=scale)


def test_scale_is_compared_as_the_ratings_are_stored():
    # float32(0.7) < 0.7 < 4.3 < float32(4.3): neither end may count as outside.
    R = Ratings.from_triples([1, 2], [1, 2], [0.7, 4.3], scale=(0.7, 4.3))
    assert R.scale == (0.7, 4.3)
    assert as_ratings(R, scale=(0.7, 4.3)).scale == (0.7, 4.3)


def test_every_kind_of_number_is_a_rating():
    for ratings in ([True, False], [decimal.Decimal(1), 0], np.array([1, 0], object), [1.0, 0]):
        assert check_ratings(ratings).tolist() == [1.0, 0.0]
    assert check_ratings(np.array([True, None], object)).tolist()[0] == 1.0


@pytest.mark.parametrize(
    ("ratings", "start"),
    [
        (["4", "3.5"], "numpy.asarray("),
        (np.array(["4", "3.5"], object), "numpy.asarray("),
        ([4 + 0j, 3.5 + 1j], "numpy.real("),
    ],
)
def test_advice_makes_numbers_of_ratings(ratings, start):
    with pytest.raises(TypeError, match="ratings must be numbers") as caught:
        Ratings.from_triples([1, 2], [1, 2], ratings)
    mended = follow(caught.value, start, ratings=ratings)
    assert Ratings.from_triples([1, 2], [1, 2], mended).matrix.data.tolist() == [4, 3.5]


def test_advice_to_pass_a_sparse_matrix_of_a_table():
    with pytest.raises(ValueError, match=re.escape("pass a scipy.sparse.csr_array")):
        Ratings.from_triples([1], [1], np.eye(2))


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (np.array([1, 2], np.int8), [1, 2]),
        (np.array([1.5, np.nan]), [1.5, np.nan]),
        (np.array(["1", "-2"]), [1, -2]),
        (np.array(["1.5", "", "2e3", ".5", "-0"], object), [1.5, np.nan, 2000, 0.5, 0]),
        (np.array([1, None, True], object), [1, np.nan, 1]),
        (np.array([decimal.Decimal("1.5")], object), [1.5]),
        (np.array([2**70], object), [float(2**70)]),
    ],
)
def test_columns_of_any_kind_as_numbers(values, numbers):
    np.testing.assert_array_equal(as_numbers(values), numbers)


@pytest.mark.parametrize(
    "text", ["007", "1_0", ".", "+", "e5", "x", " 1", "1 ", "inf", "nan", "1e"]
)
def test_texts_that_write_no_number(text):
    assert as_numbers(np.array(["1", text], object)) is None


def test_columns_that_hold_no_numbers():
    for values in (np.array(["2004-01-01"], "M8[D]"), np.array([1j]), np.array([b"1"], object)):
        assert as_numbers(values) is None


def test_missing_values_are_compared_as_the_ratings_are_stored():
    values = np.array([0.1, 1, np.nan], np.float32)
    assert is_rating(values, np.array([0.1])).tolist() == [False, True, True]
    assert is_rating(values, np.array([np.nan])).tolist() == [True, True, False]
    assert is_rating(values, np.array([])).all()


# What ratings look like

USUAL = {
    "stars": np.repeat([1, 2, 3, 4, 5], [6, 11, 26, 35, 22]),
    "half stars": np.arange(1, 11) / 2,
    "mostly the best": np.repeat([1, 5], [1, 999]),
    "mostly the worst": np.repeat([1, 5], [999, 1]),
    "thumbs": np.repeat([-1, 1], 20),
    "percent": np.arange(101),
    "Jester": np.linspace(-10, 10, 200),
    "0 to 5": np.repeat(np.arange(6), [90, 1, 2, 3, 4, 5]),
    "parts of 1": np.linspace(0, 1, 11),
}
COUNTS = np.exp(np.random.default_rng(0).normal(1.0, 1.5, 2000)).astype(int) + 1.0
UNSUITABLE = {
    "equal": (np.full(30, 4.0), "every rating is 4.* RMSE of 0 .* ranks no items"),
    "one": (np.array([0.0]), "every rating is 0"),
    "choices": (np.repeat([0, 1], [30, 10]), "every rating is 0 or 1, and 25% are 1.* not rank"),
    "counts": (
        COUNTS,
        "counts with a long tail: half .* at most 3, and the greatest is .*not rank",
    ),
    "counts and none": (np.append(COUNTS, np.zeros(5000)), "above 0 are at most 3"),
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_ratings_are_suitable(name):
    assert unsuitable(USUAL[name].astype(np.float32)) is None


@pytest.mark.parametrize("name", UNSUITABLE)
def test_ratings_that_rank_nothing_are_told(name):
    ratings, message = UNSUITABLE[name]
    reason = unsuitable(ratings.astype(np.float32))
    assert re.search(message, reason)
    with pytest.warns(UnsuitableRatingsWarning, match=re.escape(reason)) as caught:
        warn_of_unsuitable(ratings, stacklevel=1)
    assert caught[0].filename == __file__


def test_advice_for_counts_is_their_logarithm():
    reason = unsuitable(COUNTS)
    assert unsuitable(follow(reason, "numpy.log1p(", ratings=COUNTS)) is None


def test_advice_for_equal_ratings_is_how_often():
    assert "RankingAutoRec makes lists of it" in unsuitable(np.ones(5))
    assert unsuitable(np.array([1.0, 4, 2, 1, 7])) is None


def test_who_wants_such_ratings_can_say_so():
    with pytest.warns(UnsuitableRatingsWarning) as caught:
        warn_of_unsuitable(np.ones(5), stacklevel=1)
    with warnings.catch_warnings():
        follow(caught[0].message, "warnings.simplefilter(", warnings=warnings)
        warn_of_unsuitable(np.ones(5), stacklevel=1)  # a warning would be an error


@pytest.mark.parametrize("values", [[[1], 2], [1, [2, 3]]], ids=str)
def test_lists_of_several_lengths_are_no_ratings(values):
    with pytest.raises(TypeError, match=r"^ratings must be numbers, got \["):
        check_ratings(values)
