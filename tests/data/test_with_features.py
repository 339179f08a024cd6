"""`Ratings.with_features`: what is accepted, who becomes known, and what else stays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import k_fold, train_test_split

USERS, ITEMS = ["b", "a", "b", "c"], [5, 5, 3, 9]
R = Ratings.from_triples(USERS, ITEMS, [1.0, 2, 3, 4], [40, 30, 20, 10], scale=(0.0, 5.0))
ABOUT_ITEMS = pd.DataFrame({"war": [True, False, True, False], "year": [8, 2, 4, 6]}, [9, 3, 7, 5])
ABOUT_USERS = pd.DataFrame({"age": [10.0, 20, 60]}, ["c", "b", "a"])


def test_worked_by_hand():
    told = R.with_features(ABOUT_USERS, ABOUT_ITEMS)
    assert told.item_ids.tolist() == [3, 5, 7, 9]  # nobody rated 7
    assert told.features["item"].tolist() == [
        *([-0.5, -0.5], [-0.5, 1 / 6], [0.5, -1 / 6], [0.5, 0.5]),
    ]
    np.testing.assert_allclose(told.features["user"].ravel(), [0.6, -0.2, -0.4])
    users, items, values = told.triples()
    assert (users.tolist(), items.tolist(), values.tolist()) == (USERS, ITEMS, [1, 2, 3, 4])
    assert told.to_frame().equals(R.to_frame())
    assert told.scale == R.scale
    assert (R.features, R.item_ids.tolist()) == ({}, [3, 5, 9])
    with pytest.raises(ValueError, match="read-only"):
        told.features["item"][0] = 1


def test_one_after_the_other_is_both_at_once():
    both, one = R.with_features(ABOUT_USERS, ABOUT_ITEMS), R.with_features(items=ABOUT_ITEMS)
    assert [*one.features] == ["item"]
    other = one.with_features(ABOUT_USERS)
    for axis in ("user", "item"):
        np.testing.assert_array_equal(other.features[axis], both.features[axis])
    assert R.with_features().features == {}


def test_neither_unit_nor_order_matter_and_a_constant_is_0():
    told = R.with_features(items=ABOUT_ITEMS).features["item"]
    other = R.with_features(items=(ABOUT_ITEMS * -7 + 3).iloc[::-1].assign(constant=4))
    np.testing.assert_allclose(other.features["item"], np.c_[-told, np.zeros(4)], atol=1e-15)
    assert np.ptp(told, axis=0).tolist() == [1, 1]


def test_parts_keep_features():
    told = R.with_features(ABOUT_USERS, ABOUT_ITEMS)
    for part in (*train_test_split(told, 0.5, 0), *next(iter(k_fold(told, 2, 0)))):
        assert part.features is told.features
    few = told.filter(min_item=2)
    assert (few.user_ids.tolist(), few.item_ids.tolist()) == (["a", "b"], [5])
    np.testing.assert_array_equal(few.features["item"], told.features["item"][[1]])
    np.testing.assert_array_equal(few.features["user"], told.features["user"][:2])


REFUSED = {
    "no frame": (np.ones((3, 2)), TypeError, r"their ids as its index, got ndarray; pass pandas"),
    "strings": (
        ABOUT_ITEMS.assign(genre="Drama"),
        TypeError,
        r"but \['genre'\] are not; pass pandas.get_dummies\(frame, columns=\['genre'\]\)",
    ),
    "a gap": (
        ABOUT_ITEMS.assign(year=[1, np.nan, np.inf, 2]),
        ValueError,
        r"shape \(4, 2\) with 2 that are not; fill gaps with",
    ),
    "a gap of pandas": (ABOUT_ITEMS.astype("Int64").replace(8, pd.NA), ValueError, "fill gaps"),
    "no columns": (ABOUT_ITEMS[[]], ValueError, r"at least one, got shape \(4, 0\)"),
    "no rows": (ABOUT_ITEMS[:0], ValueError, r"at least one, got shape \(0, 2\)"),
    "too few": (ABOUT_ITEMS.drop(index=[9, 7]), ValueError, r"lack 1 of 3 \[9\] and"),
    "repeated": (pd.concat([ABOUT_ITEMS] * 2), ValueError, r"lack 0 of 3 \[\] and repeat 4"),
    "other ids": (ABOUT_ITEMS.set_axis([*"abcd"]), TypeError, r"item ids .* are integers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused(case):
    frame, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        R.with_features(items=frame)


def test_the_advice_works():
    frame, ids = ABOUT_ITEMS.assign(genre="Drama"), R.item_ids
    assert R.with_features(items=pd.get_dummies(frame, columns=["genre"])).features
    gaps = ABOUT_ITEMS.assign(year=[1, np.nan, np.nan, 2])
    assert R.with_features(items=gaps.fillna(gaps.mean())).features
    array = pd.DataFrame(np.eye(3), index=ids)
    assert R.with_features(items=array).features["item"].shape == (3, 3)
    frame = pd.concat([ABOUT_ITEMS.drop(index=9)] * 2)
    frame = frame[~frame.index.duplicated()].astype(float).reindex(ids, fill_value=0)
    assert R.with_features(items=frame).item_ids.tolist() == ids.tolist()
