"""Pairs of user and item, without ratings: what is read as such, and that splits know it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autorec_np.data.clicks import are_pairs, as_interactions
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.splitting import train_test_split

USERS, ITEMS = ["b", "a", "b", "c", "b"], [7, 7, 3, 9, 7]  # b chose 7 twice
FRAME = pd.DataFrame({"user": USERS, "item": ITEMS})
KINDS = {
    "tuple": (USERS, ITEMS),
    "list": [*zip(USERS, ITEMS, strict=True)],
    "iterator": iter([*zip(USERS, ITEMS, strict=True)]),
    "frame": FRAME,
    "times": FRAME.assign(timestamp=range(5)),
    "array": np.array([USERS, np.array(ITEMS, str)]).T,
}


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_pairs_are_counted(data):
    R = as_interactions(data)
    assert are_pairs(R)
    assert (R.shape, R.scale) == ((3, 3), (1.0, 2.0))
    assert sorted(R.matrix.data.tolist()) == [1.0, 1.0, 1.0, 2.0]
    assert all(map(are_pairs, train_test_split(R, 1, random_state=0)))
    assert "user = " in str(R)


def test_ratings_are_no_pairs():
    triples = (USERS[1:], ITEMS[1:], [1, 2, 3, 4])
    frame = pd.DataFrame(dict(zip(("user", "item", "rating"), triples, strict=True)))
    for data in (Ratings.from_triples(*triples), triples, frame):
        assert not are_pairs(as_interactions(data))
        assert as_interactions(data).matrix.data.tolist() == as_ratings(data).matrix.data.tolist()


def test_what_is_neither_is_refused():
    with pytest.raises((ValueError, TypeError)):
        as_interactions(([1, 2], [3]))
    with pytest.raises((ValueError, TypeError)):
        as_interactions(pd.DataFrame({"x": [1.5], "y": ["a"]}))
