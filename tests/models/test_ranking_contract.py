"""`RankingAutoRec` under the contract of lists: both halves of the checkerboard are found."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from list_contract import ListContract
from recommender_contract import (
    COLD_USER,
    ITEM_IDS,
    LIKES,
    SEEN,
    TEST,
    TRAIN,
    USER_IDS,
    score_table,
)

from autorec_np import RankingAutoRec
from autorec_np.engine import rows
from autorec_np.training.trainer import ConvergenceWarning


class RankingContract(
    ListContract,
    hidden_layer_sizes=(4,),
    orientation="item",
    regularization=1.0,
    unobserved_weight=0.5,
    max_iter=60,
    learning_rate_init=0.03,
    batch_size=16,
    random_state=0,
):
    model_class = RankingAutoRec
    brief: ClassVar = {"max_iter": 3}

    def test_the_number_of_threads_does_not_matter(self, monkeypatch):
        monkeypatch.setattr(rows, "ENTRIES_PER_BLOCK", 100)  # several blocks even here
        alone = self.fit_briefly(TRAIN, validation=TEST, n_jobs=1)
        for n_jobs in (2, 3, None):
            together = self.fit_briefly(TRAIN, validation=TEST, n_jobs=n_jobs)
            np.testing.assert_array_equal(together.theta_, alone.theta_)
            assert together.loss_curve_ == alone.loss_curve_
            assert together.validation_curve_ == alone.validation_curve_

    def test_the_objective_falls(self):
        model = self.fitted()
        assert model.loss_curve_[-1] < 0.7 * model.loss_curve_[0]
        assert model.validation_curve_ == []


class TestByUser(RankingContract, orientation="user"):
    pass


class TestPlain(RankingContract, orientation="user", engine="plain", dtype="float64", implicit=2):
    pass


class TestByItem(RankingContract, corruption=0.2):
    """A visitor's column is a minimum, to which Adam has only come near."""

    def test_a_visitor_is_as_a_user_with_the_same_choices(self):
        model = self.fitted()
        for user in (0, 1, 17):
            clicks, rest = ITEM_IDS[SEEN[user]], ITEM_IDS[:-1][~SEEN[user, :-1]]
            known = model.predict([USER_IDS[user]] * len(rest), rest)
            for told in (clicks.tolist(), dict.fromkeys(clicks[::-1], 4.0)):
                np.testing.assert_allclose(model.predict_new(told, rest), known, atol=0.05)
        many = model.recommend_new((np.repeat([5, 4], 2), ITEM_IDS[[0, 2, 1, 3]]), 5)
        for place, clicks in enumerate(([1, 3], [0, 2])):
            alone = model.recommend_new(ITEM_IDS[clicks], 5)
            assert many.ids[place].tolist() == alone.ids.tolist()


class TestFullBatch(RankingContract, solver="lbfgs", max_iter=2000, tol=1e-13, dtype="float64"):
    """At the minimum, the contract's visitor is a user to five digits."""

    def test_the_limit_of_iterations_is_a_warning(self):
        with pytest.warns(ConvergenceWarning, match="max_iter=1"):
            self.make(max_iter=1).fit(TRAIN)


VALUES = [{"values": "counts"}, {"values": "ratings"}, {"values": "ratings", "threshold": 4}]


@pytest.mark.parametrize("changes", VALUES, ids=str)
def test_a_visitor_who_says_as_much_is_as_the_user(changes):
    model = RankingContract.make(orientation="user", **changes).fit(TRAIN)
    matrix = TRAIN.matrix.toarray()
    for user in (0, 1, 17):
        told = dict(zip(ITEM_IDS[SEEN[user]], matrix[user, SEEN[user]], strict=True))
        ids, scores = model.recommend(USER_IDS[[user]], 5)
        found = model.recommend_new(told, 5)
        assert found.ids.tolist() == ids[0].tolist()
        np.testing.assert_allclose(found.scores, scores[0], rtol=1e-5)


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("values", ["binary", "ratings", "counts"])
def test_the_other_half_of_the_own_group_is_found(orientation, values):
    """Without a threshold too, where what is disliked is not in the data."""
    liked = TRAIN.select(TRAIN.triples()[2] > 3)
    model = RankingContract.make(orientation=orientation, values=values, max_iter=200).fit(liked)
    ids, scores = model.recommend(USER_IDS[:-1], len(ITEM_IDS))
    place = {item: column for column, item in enumerate(ITEM_IDS)}
    for user, (row, marks) in enumerate(zip(ids, scores, strict=True)):
        rest = np.flatnonzero(LIKES[user, :-1] & ~SEEN[user, :-1])
        assert {place[item] for item in row[: len(rest)]} == {*rest}
        assert (marks[: len(rest)] > 0.5).all()
        assert (marks[len(rest) :] < 0.5).all()


def test_who_has_no_history_gets_what_others_chose_most():
    """With a threshold, whoever has nothing above it has no history either."""
    model = RankingContract.make(threshold=6).set_params(threshold=4).fit(TRAIN)
    few = model.ratings_.select(TRAIN.triples()[0] != USER_IDS[0])
    low = ([USER_IDS[0]] * 2, ITEM_IDS[:2].tolist(), [1.0, 1.0])
    parts = zip(few.triples(), low, strict=True)
    triples = tuple(np.concatenate((one, np.asarray(two, one.dtype))) for one, two in parts)
    model.fit(triples)
    frame = model.recommend_new([])
    assert frame.popular is True
    for nothing in ([], {ITEM_IDS[0]: 1.0}):
        scores = model.predict_new(nothing, model.ratings_.item_ids)
        assert scores.tolist() == model.item_counts_.tolist()
    _, scores = model.recommend([USER_IDS[0]], 3)
    assert scores[0].tolist() == sorted(model.item_counts_.tolist(), reverse=True)[:3]
    assert model.cold_users([USER_IDS[0]]).tolist() == [True]
    assert model.recommend_new({ITEM_IDS[0]: 1.0}).popular is True


def test_scores_of_who_is_cold_are_those_of_the_list():
    model = RankingContract.make().fit(TRAIN)
    scores = model.predict([COLD_USER] * len(ITEM_IDS), ITEM_IDS)
    assert scores.tolist() == SEEN.sum(axis=0).tolist()
    assert score_table(model)[-1].tolist() == scores.tolist()
