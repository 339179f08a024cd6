"""The leak check against sets of pairs: ids decide, stored zeros count, order does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import check_apart, shared_pairs

PAIRS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=12, unique=True
)


def ratings_of(pairs):
    users, items = zip(*pairs, strict=True)
    return Ratings.from_triples(users, items, np.zeros(len(pairs)), scale=(0, 5))


@given(training=PAIRS, test=PAIRS)
def test_shared_pairs_are_those_of_both_sets(training, test):
    found = shared_pairs(ratings_of(training), ratings_of(test))
    assert found.tolist() == [pair in set(training) for pair in test]
    assert found.dtype == bool


def test_a_shared_pair_is_an_error_with_the_advice_that_is_given():
    training, test = ratings_of([(1, 1), (1, 2), (2, 1)]), ratings_of([(2, 2), (2, 1), (7, 1)])
    with pytest.raises(ValueError, match="1 of the 3 test pairs are also training pairs, so stop"):
        check_apart(training, test, "so stop.")
    check_apart(training, test.select([0, 2]), "so stop.")


def test_unknown_ids_are_no_shared_pair_whatever_their_neighbors_are():
    """Position -1 in a sum of row times width plus column would be a neighbor's cell."""
    training = ratings_of([(1, 9), (2, 1)])
    assert not shared_pairs(training, ratings_of([(0, 1), (1, 0), (2, 3), (9, 9)])).any()


def test_ids_of_another_kind_are_an_error():
    named = Ratings.from_triples(["a"], ["b"], [1.0])
    with pytest.raises(TypeError, match="ids of these ratings are"):
        shared_pairs(ratings_of([(1, 1)]), named)
