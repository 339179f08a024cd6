"""The contract of the models for lists, on the checkerboard: scores are no ratings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from recommender_contract import (
    COLD_USER,
    EVERY_ITEM,
    EVERY_USER,
    ITEM_IDS,
    LIKED,
    LIKES,
    N_ITEMS,
    SEEN,
    TEST,
    TRAIN,
    USER_IDS,
    RecommenderContract,
    score_table,
    with_scale,
)


class ListContract(RecommenderContract):
    """What every model for lists does. `learns`: it tells users apart."""

    learns = True

    def test_predictions_are_clipped_and_recommendations_are_not(self):
        table = score_table(self.fitted())
        narrow = with_scale(self.fitted(), 0.1, 0.2)
        np.testing.assert_array_equal(narrow.predict(EVERY_USER, EVERY_ITEM), table.ravel())
        np.testing.assert_array_equal(
            narrow.recommend(USER_IDS)[1], self.fitted().recommend(USER_IDS)[1]
        )

    def test_the_score_is_the_negative_rmse(self):
        users, items, ratings = TEST.triples()
        for call in (
            lambda: self.fitted().score(users, items, ratings),
            lambda: self.fitted().score(TEST),
            lambda: self.fitted().predict(users, items, interval=0.9),
            lambda: self.fitted().calibrate(),
        ):
            with pytest.raises(TypeError, match=r"rank items and are no ratings.*evaluate_ranking"):
                call()

    def test_ratings_alone_are_their_pairs(self):
        model, (users, items, _) = self.fitted(), TEST.triples()
        np.testing.assert_array_equal(model.predict(TEST), model.predict(users, items))

    def test_a_part_of_what_a_score_needs_is_refused(self):
        with pytest.raises(TypeError, match=r"call predict\(users, item"):
            self.fitted().predict(USER_IDS.tolist())

    def test_pairs_give_the_same_model_as_ratings(self):
        rated = TRAIN.filter(min_user=1, min_item=1)
        users, items, _ = rated.triples()
        expected = self.make().fit(rated)
        frame = pd.DataFrame({"item": items, "user": users})
        for pairs in ((users, items), frame, [*zip(users.tolist(), items, strict=True)]):
            model = self.make().fit(pairs)
            asked = rated.user_ids, rated.item_ids[: rated.n_users]
            asked = np.resize(asked[0], 200), np.resize(asked[1], 200)
            np.testing.assert_array_equal(model.predict(*asked), expected.predict(*asked))

    def test_the_most_popular_for_who_chose_nothing(self):
        model = self.fitted()
        frame = model.recommend(pd.Series([COLD_USER, USER_IDS[0]]), 4)
        order = np.lexsort((np.arange(N_ITEMS), -SEEN.sum(axis=0)))[:4]
        assert frame["item"].tolist()[:4] == ITEM_IDS[order].tolist()
        assert frame["cold"].tolist() == 4 * [True] + 4 * [False]
        assert frame["score"].tolist()[:4] == SEEN.sum(axis=0)[order].tolist()
        found = model.recommend_new([], 4)
        assert found.popular is True
        assert found.ids.tolist() == ITEM_IDS[order].tolist()
        np.testing.assert_array_equal(
            model.predict_new({}), model.predict([COLD_USER] * N_ITEMS, ITEM_IDS)
        )

    def test_a_visitor_is_as_a_user_with_the_same_choices(self):
        model = self.fitted()
        for user in (0, 1, 17):
            clicks = ITEM_IDS[SEEN[user]]
            ids, scores = model.recommend(USER_IDS[[user]], 5)
            for told in (clicks, clicks.tolist(), dict.fromkeys(clicks[::-1], 4.0)):
                found = model.recommend_new(told, 5)
                assert found.ids.tolist() == ids[0].tolist()
                np.testing.assert_allclose(found.scores, scores[0], rtol=1e-5)
        many = model.recommend_new((np.repeat([5, 4], 2), ITEM_IDS[[0, 2, 1, 3]]), 5)
        for place, clicks in enumerate(([1, 3], [0, 2])):
            alone = model.recommend_new(ITEM_IDS[clicks], 5)
            assert many.ids[place].tolist() == alone.ids.tolist()

    def test_what_was_liked_is_recommended(self):
        """With a threshold; else both groups choose the same."""
        model = self.make(threshold=LIKED).fit(TRAIN)
        assert model.user_counts_.tolist() == (SEEN & LIKES).sum(axis=1).tolist()
        if not self.learns:
            return
        column_of = {item: column for column, item in enumerate(ITEM_IDS)}
        ids, scores = model.recommend(USER_IDS[:-1], n=N_ITEMS)
        for user, (row, marks) in enumerate(zip(ids, scores, strict=True)):
            liked = np.flatnonzero(LIKES[user, :-1] & ~SEEN[user, :-1])
            assert {column_of[item] for item in row[: len(liked)]} == {*liked}
            assert (marks[: len(liked)] > 0).all()
        new = model.recommend_new(ITEM_IDS[[1, 3, 5]], 5)
        assert {column_of[item] % 2 for item in new.ids} == {1}

    def test_reruns_are_bit_identical(self):
        first, second = (self.make().fit(TRAIN) for _ in range(2))
        np.testing.assert_array_equal(score_table(first), score_table(second))
