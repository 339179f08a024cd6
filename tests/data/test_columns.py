"""Which column is which: by name, else by place where nothing contradicts it."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from autorec_np.data.ratings import as_ratings


@pytest.mark.parametrize(
    "columns",
    [
        ["user", "item", "rating"],
        ["userId", "movieId", "rating"],
        ["User-ID", "item_id", "RATING"],
        ["a", "b", "c"],
        [0, 1, 2],
        ["a", "movieId", "c"],
    ],
)
def test_frame_is_read_by_known_names_or_by_place(columns):
    frame = pd.DataFrame([[1, 2, 3.0], [4, 5, 6.0]], columns=columns)
    assert [part.tolist() for part in as_ratings(frame).triples()] == [[1, 4], [2, 5], [3, 6]]
    if columns[0] in ("a", 0):
        return
    turned = frame[columns[::-1]]
    assert [part.tolist() for part in as_ratings(turned).triples()] == [[1, 4], [2, 5], [3, 6]]


@pytest.mark.parametrize(
    "columns",
    [["a", "b"], ["movieId", "b", "c"], ["rating", "x", "y"], ["x", "y", "timestamp"]],
)
def test_frame_that_contradicts_itself_is_refused(columns):
    frame = pd.DataFrame([[1] * len(columns)], columns=columns)
    with pytest.raises(ValueError, match=re.escape(f"its columns are {columns}. Name them")):
        as_ratings(frame)
