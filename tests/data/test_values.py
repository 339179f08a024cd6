"""Ratings, timestamps and scales are numbers of the right kind."""

from __future__ import annotations

import numpy as np
import pytest

from autorec_np.data.ratings import Ratings, as_ratings


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
