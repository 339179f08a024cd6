"""Popularity: under the contract; what is read and what counts is in models/test_interactions."""

from __future__ import annotations

import numpy as np
from list_contract import ListContract
from recommender_contract import SEEN, TRAIN, USER_IDS

from autorec_np import Popularity


class TestPopularity(ListContract):
    model_class = Popularity
    learns = False


def test_everybody_gets_the_same_scores():
    counts = Popularity().fit(TRAIN).predict_new({"000": 1})
    np.testing.assert_array_equal(counts, SEEN.sum(axis=0))


def test_everything_chosen_is_left_out():
    ids, scores = Popularity(threshold=5).fit(TRAIN).recommend(USER_IDS[:3], 30)
    for user in range(3):
        assert np.isfinite(scores[user]).sum() == (~SEEN[user]).sum()
        assert not {*TRAIN.item_ids[SEEN[user]]} & {*ids[user]}
