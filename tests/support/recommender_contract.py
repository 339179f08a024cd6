"""The contract of every model, on a checkerboard whose right answer is obvious.

A user likes the items of the own group (5) and dislikes those of the other (1). A quarter of the
ratings is held out, and everything of the last user and the last item, who are cold. A variant is
a subclass that names its parameters, and inherits every test:

    class TestByUser(AutoRecContract, orientation="user"):
        pass
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from changed_records import with_record, with_scale, without_limits
from scipy import sparse
from sklearn.base import clone

from autorec_np.core import kernels
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.data.ratings import Ratings
from autorec_np.engine import rows
from autorec_np.models import base, scoring
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline
from autorec_np.serving.model_file import load_model, save_model
from autorec_np.training.trainer import ConvergenceWarning, Trainer

N_USERS, N_ITEMS = 40, 30
LIKED, DISLIKED = 5.0, 1.0
USER_IDS = 3 * np.arange(N_USERS) + 7
ITEM_IDS = np.array([f"{7 * item:03d}" for item in range(N_ITEMS)], dtype=object)  # "007", ...
LIKES = np.arange(N_USERS)[:, None] % 2 == np.arange(N_ITEMS) % 2
COLD_USER, COLD_ITEM = USER_IDS[-1], ITEM_IDS[-1]
UNKNOWN_USER, UNKNOWN_ITEM = 1_000_000, "no such item"


def _checkerboard():
    rng = np.random.default_rng(0)
    users, items = np.divmod(rng.permutation(N_USERS * N_ITEMS), N_ITEMS)
    ratings = np.where(LIKES[users, items], LIKED, DISLIKED)
    board = Ratings.from_triples(USER_IDS[users], ITEM_IDS[items], ratings, scale=(1, 5))
    cold = (users == N_USERS - 1) | (items == N_ITEMS - 1)
    held_out = rng.random(len(users)) < 0.25
    return board.select(~held_out & ~cold), board.select(held_out & ~cold)


TRAIN, TEST = _checkerboard()
SEEN = np.zeros((N_USERS, N_ITEMS), dtype=bool)
SEEN[TRAIN.positions()[0], TRAIN.positions()[1]] = True
EVERY_USER, EVERY_ITEM = np.repeat(USER_IDS, N_ITEMS), np.tile(ITEM_IDS, N_USERS)


def unclipped(model, users, items):
    """Scores before they are clipped to the rating scale."""
    return without_limits(model).predict(users, items)


def score_table(model):
    return unclipped(model, EVERY_USER, EVERY_ITEM).reshape(N_USERS, N_ITEMS)


def explicit_objective(model):
    """Equation (2) from predictions and weights alone, in the units of the loss curve."""
    users, items, ratings = TRAIN.triples()
    squared_errors = np.sum((ratings.astype(np.float64) - unclipped(model, users, items)) ** 2)
    views = model.network_.layout.views(model.theta_.astype(np.float64))
    weights = [view for name, view in views.items() if name.endswith(".weight")]
    if model.implicit_:  # W is penalized, and Y, but not W + [N Y, 0], which is served
        Y = model.fitted_.implicit.weight.astype(np.float64)
        views["decoder.weight"][:, : model.implicit_] -= implicit_pattern(model) @ Y
        weights.append(Y)
    penalty = model.regularization / 2 * sum(np.sum(weight**2) for weight in weights)
    bounded = ACTIVATIONS[model.output_activation].bounded
    return (model.output_map_.factor if bounded else 1.0) ** 2 * (squared_errors + penalty)


def implicit_pattern(model):
    """N, (n_columns, n_rows), dense, from the definition."""
    rated = model.fitted_.training.matrix.toarray() != 0  # no rating of the board is 0
    by_column = rated if model.orientation == "item" else rated.T
    counts = by_column.sum(axis=1, keepdims=True)
    return by_column / np.sqrt(np.maximum(counts, 1))


def served(model, theta):
    """What a model serves of the parameters `theta` of its training: W + [N Y, 0] in place of W."""
    if not model.implicit_:
        return theta
    layout = model.network_.layout
    weights, Y = theta[: layout.size].copy(), theta[layout.size :].reshape(-1, model.implicit_)
    layout.views(weights)["decoder.weight"][:, : model.implicit_] += implicit_pattern(model) @ Y
    return weights


def check_weights(model, actual, expected):
    """Equal to the bit; up to rounding where an implicit decoder was added and taken away."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 if model.implicit_ else 0)


def check_ranking(ids, scores, table, excluded):
    """The best of each row, padded with None and -inf, up to the rounding error of a score.

    `table` holds the scores of all items for each row, `excluded` what must not be recommended.
    """
    column_of = {item: column for column, item in enumerate(ITEM_IDS)}
    assert ids.shape == scores.shape
    assert ids.dtype == object
    assert scores.dtype == np.float64
    for row_ids, row_scores, row, left_out in zip(ids, scores, table, excluded, strict=True):
        n_found = min(len(row_ids), np.count_nonzero(~left_out))
        assert row_ids[n_found:].tolist() == [None] * (len(row_ids) - n_found)
        assert np.isneginf(row_scores[n_found:]).all()
        columns = [column_of[item] for item in row_ids[:n_found]]
        assert len(set(columns)) == n_found
        assert not left_out[columns].any()
        np.testing.assert_allclose(row_scores[:n_found], row[columns], rtol=1e-5, atol=1e-5)
        falls = np.diff(row_scores[:n_found])
        assert (falls <= 0).all()
        assert (np.diff(columns)[falls == 0] > 0).all(), "equal scores are in the order of the ids"
        not_chosen = np.setdiff1d(np.flatnonzero(~left_out), columns)
        if len(not_chosen):
            assert row[not_chosen].max() <= row_scores[n_found - 1] + 1e-4


def is_named(error):
    """Whether a message tells what to call for a new user."""
    return "predict_new" in str(error) and "recommend_new" in str(error)


@functools.cache
def _fitted(variant):
    return variant.make().fit(TRAIN)


class RecommenderContract:
    """What every model does, however well it learns."""

    model_class: ClassVar[type]
    parameters: ClassVar[dict[str, Any]] = {}
    brief: ClassVar[dict[str, Any]] = {}  # makes a fit short, where only its form is tested

    def __init_subclass__(cls, **changes):
        cls.parameters = {**cls.parameters, **changes}

    @classmethod
    def make(cls, **changes):
        return cls.model_class(**{**cls.parameters, **changes})

    @classmethod
    def fitted(cls):
        """The model fitted on TRAIN; shared by all tests, which must copy what they change."""
        return _fitted(cls)

    @classmethod
    def fit_briefly(cls, data, validation=None, **changes):
        model = cls.make(**{**cls.brief, **changes})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(data, validation=validation)

    # Parameters

    def test_the_constructor_stores_its_arguments_untouched(self):
        given = self.make().get_params(deep=False)
        model = self.model_class(**given)
        assert vars(model).keys() == given.keys()
        assert all(getattr(model, name) is value for name, value in given.items())

    def test_parameters_can_be_read_set_and_cloned(self):
        model = self.make()
        for name, value in self.parameters.items():
            assert model.get_params()[name] is value
            assert model.set_params(**{name: "another"}) is model
            assert getattr(model, name) == "another"
        copied = clone(self.fitted())
        assert copied.get_params() == self.make().get_params()
        assert not hasattr(copied, "ratings_")

    def test_an_unknown_parameter_is_refused(self):
        with pytest.raises(ValueError, match=r"has no parameter 'n_components'.*; it has"):
            self.make().set_params(n_components=3)

    def test_the_representation_names_what_was_changed(self):
        assert repr(self.model_class()) == f"{self.model_class.__name__}()"
        shown = repr(self.make())
        assert all(f"{name}={value!r}" in shown for name, value in self.changed().items())

    @classmethod
    def changed(cls):
        defaults = cls.model_class().get_params()
        return {name: value for name, value in cls.parameters.items() if value != defaults[name]}

    # Fitting

    def test_nothing_works_before_fit(self):
        model = self.make()
        calls = (
            lambda: model.predict([USER_IDS[0]], [ITEM_IDS[0]]),
            lambda: model.recommend([USER_IDS[0]]),
            lambda: model.score([USER_IDS[0]], [ITEM_IDS[0]], [5.0]),
            lambda: model.cold_pairs([USER_IDS[0]], [ITEM_IDS[0]]),
            lambda: model.cold_users([USER_IDS[0]]),
        )
        for call in calls:
            with pytest.raises(base.NotFittedError, match="is not fitted yet; call fit") as caught:
                call()
            assert isinstance(caught.value, ValueError)
            assert isinstance(caught.value, AttributeError)

    def test_fit_returns_the_model_and_keeps_the_ratings(self):
        model = self.make(**self.brief)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            assert model.fit(TRAIN) is model
        assert model.ratings_ is TRAIN
        assert model.rating_scale_ == (1.0, 5.0)
        assert model.user_counts_.tolist() == SEEN.sum(axis=1).tolist()
        assert model.item_counts_.tolist() == SEEN.sum(axis=0).tolist()

    def test_all_kinds_of_ratings_give_the_same_model(self):
        rated = TRAIN.filter(min_user=1, min_item=1)  # neither triples nor frames hold empty rows
        rows, columns, ratings = rated.positions()
        cells = (ratings, (rows, columns))
        kinds = {
            "csr_array": sparse.csr_array(cells, shape=rated.shape),
            "csr_matrix": sparse.csr_matrix(cells, shape=rated.shape),
            "coo_array": sparse.coo_array(cells, shape=rated.shape),
            "Ratings": Ratings.from_triples(rows, columns, ratings),
            "DataFrame": pd.DataFrame({"userId": rows, "movieId": columns, "rating": ratings}),
            "triples": (rows.tolist(), columns.tolist(), ratings.tolist()),
        }
        pairs = np.divmod(np.arange(rated.n_users * rated.n_items), rated.n_items)
        predictions = {
            kind: unclipped(self.fit_briefly(data), *pairs) for kind, data in kinds.items()
        }
        for kind, predicted in predictions.items():
            np.testing.assert_array_equal(predicted, predictions["csr_array"], err_msg=kind)

    def test_ids_are_of_any_kind(self):
        rows, columns, ratings = TRAIN.filter(min_user=1, min_item=1).positions()
        names = {
            "strings and integers": (
                np.array([f"{row:03d}" for row in rows], dtype=object),
                5 * columns - 20,
            ),
            "integers and strings": (1000 - rows, np.array([f"item {c:02d}" for c in columns])),
        }
        users, items = names["strings and integers"]
        model = self.fit_briefly((users, items, ratings))
        by_position = self.fit_briefly((rows, columns, ratings))
        np.testing.assert_array_equal(
            model.predict(users, items), by_position.predict(rows, columns)
        )
        ids, _ = model.recommend(["007", "010"], n=3)
        positions, _ = by_position.recommend([7, 10], n=3)
        assert ids.tolist() == (5 * positions - 20).tolist()
        assert {type(one) for one in ids.ravel()} == {int}

        model = self.fit_briefly((*names["integers and strings"], ratings))
        ids, _ = model.recommend([1000], n=3)
        assert {type(one) for one in ids.ravel()} == {str}

    def test_refitting_forgets_the_first_fit(self):
        model = self.fit_briefly(TRAIN.filter(min_user=22))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(TRAIN)
        fresh = self.fit_briefly(TRAIN)
        assert vars(model).keys() == vars(fresh).keys()
        np.testing.assert_array_equal(score_table(model), score_table(fresh))

    def test_no_argument_is_changed(self):
        matrix = sparse.csr_array(TRAIN.matrix.toarray())
        matrix.indices = matrix.indices[::-1].copy()  # unsorted within the rows, as SciPy allows
        matrix.data = matrix.data[::-1].copy()
        matrix.indptr = (matrix.indptr[-1] - matrix.indptr[::-1]).copy()
        users, items = np.arange(N_USERS)[::-1].copy(), np.arange(N_USERS) % N_ITEMS
        arrays = [matrix.data, matrix.indices, matrix.indptr, users, items]
        before = [array.copy() for array in arrays]
        model = self.fit_briefly(matrix, validation=matrix)
        model.predict(users, items)
        model.recommend(users)
        with contextlib.suppress(TypeError):  # of lists
            model.score(users, items, np.full(N_USERS, 3.0))
        model.cold_pairs(users, items)
        for array, copied in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copied)

    def test_no_ratings_are_an_error(self):
        with pytest.raises(ValueError, match="no ratings"):
            self.make().fit(TRAIN.select([]))

    # Predicting

    def test_there_is_a_prediction_for_each_pair(self):
        predicted = self.fitted().predict(EVERY_USER, EVERY_ITEM)
        assert predicted.shape == (N_USERS * N_ITEMS,)
        assert predicted.dtype == np.float64
        assert np.isfinite(predicted).all()
        order = np.random.default_rng(1).integers(len(predicted), size=2000)  # repeated and mixed
        np.testing.assert_array_equal(
            self.fitted().predict(EVERY_USER[order], EVERY_ITEM[order]), predicted[order]
        )
        assert self.fitted().predict([], []).shape == (0,)

    def test_predictions_are_clipped_and_recommendations_are_not(self):
        table = score_table(self.fitted())
        narrow = with_scale(self.fitted(), np.median(table) + 0.01, np.median(table) + 0.02)
        predicted = narrow.predict(EVERY_USER, EVERY_ITEM)
        np.testing.assert_array_equal(predicted, np.clip(table.ravel(), *narrow.rating_scale_))
        assert (predicted == narrow.rating_scale_[0]).any()
        np.testing.assert_array_equal(
            narrow.recommend(USER_IDS)[1], self.fitted().recommend(USER_IDS)[1]
        )

    def test_the_score_is_the_negative_rmse(self):
        users, items, ratings = TEST.triples()
        errors = ratings.astype(np.float64) - self.fitted().predict(users, items)
        expected = -np.sqrt(np.sum(errors**2) / len(errors))
        assert self.fitted().score(users, items, ratings) == pytest.approx(expected, rel=1e-12)

    def test_ratings_alone_are_their_pairs(self):
        model, (users, items, ratings) = self.fitted(), TEST.triples()
        np.testing.assert_array_equal(model.predict(TEST), model.predict(users, items))
        expected = model.score(users, items, ratings)
        assert model.score(TEST) == model.score((users, items, ratings)) == expected
        frame = pd.DataFrame({"item": items, "user": users, "rating": ratings})
        assert model.score(frame) == expected

    def test_a_part_of_what_a_score_needs_is_refused(self):
        model, (users, items, ratings) = self.fitted(), TEST.triples()
        with pytest.raises(TypeError, match=r"or Ratings, got one list; call predict\(users, item"):
            model.predict(users.tolist())
        with pytest.raises(TypeError, match=r"call score\(users, items, ratings\) or score\(test"):
            model.score(users, items)
        with pytest.raises(TypeError, match=r"call score\(users, items, ratings\) or score\(test"):
            model.score(TEST, ratings=ratings)

    def test_cold_pairs_are_those_without_training_ratings(self):
        users = [USER_IDS[0], COLD_USER, USER_IDS[0], UNKNOWN_USER, USER_IDS[0], COLD_USER]
        items = [ITEM_IDS[0], ITEM_IDS[0], COLD_ITEM, ITEM_IDS[0], UNKNOWN_ITEM, UNKNOWN_ITEM]
        cold = self.fitted().cold_pairs(users, items)
        assert cold.dtype == bool
        assert cold.tolist() == [False, True, True, True, True, True]

    def test_an_unknown_id_is_as_cold_as_a_known_one_without_ratings(self):
        model = self.fitted()
        assert np.isfinite(model.predict([UNKNOWN_USER], [UNKNOWN_ITEM])).all()
        np.testing.assert_array_equal(
            model.predict(np.full(N_ITEMS, UNKNOWN_USER), ITEM_IDS),
            model.predict(np.full(N_ITEMS, COLD_USER), ITEM_IDS),
        )
        np.testing.assert_array_equal(
            model.predict(USER_IDS, [UNKNOWN_ITEM] * N_USERS),
            model.predict(USER_IDS, [COLD_ITEM] * N_USERS),
        )

    def test_ids_of_another_kind_are_an_error(self):
        for users, items in (([str(USER_IDS[0])], [ITEM_IDS[0]]), ([USER_IDS[0]], [7])):
            for method in (self.fitted().predict, self.fitted().cold_pairs):
                with pytest.raises(TypeError, match=r"ids of these ratings are \w+"):
                    method(users, items)
        with pytest.raises(TypeError, match=r"pass \[7\] for one id"):
            self.fitted().recommend(7)

    def test_users_and_items_must_make_pairs(self):
        with pytest.raises(ValueError, match="got 2 users and 1 items"):
            self.fitted().predict(USER_IDS[:2], ITEM_IDS[:1])

    def test_a_sparse_matrix_is_asked_by_index(self):
        matrix = sparse.csr_array(TRAIN.matrix)
        model = self.fit_briefly(matrix)
        pairs = np.divmod(np.arange(N_USERS * N_ITEMS), N_ITEMS)
        expected = score_table(self.fit_briefly(TRAIN)).ravel()
        np.testing.assert_array_equal(unclipped(model, *pairs), expected)
        for outside in (N_USERS, -1):
            with pytest.raises(IndexError, match=f"user index {outside} is out of range.* 0 to 39"):
                model.predict([0, outside], [0, 0])
            with pytest.raises(IndexError, match=f"user index {outside}"):
                model.recommend([outside])
        for outside in (N_ITEMS, -1):
            with pytest.raises(IndexError, match=f"item index {outside} is out of range.* 0 to 29"):
                model.predict([0], [outside])
            with pytest.raises(IndexError, match=f"item index {outside}"):
                model.cold_pairs([0], [outside])

    # Recommending

    def test_the_best_come_first_without_the_seen(self):
        ids, scores = self.fitted().recommend(USER_IDS, n=7)
        assert ids.shape == (N_USERS, 7)
        check_ranking(ids, scores, score_table(self.fitted()), SEEN)

    def test_the_seen_stay_on_request(self):
        ids, scores = self.fitted().recommend(USER_IDS, n=N_ITEMS, exclude_seen=False)
        assert [sorted(row) for row in ids] == [ITEM_IDS.tolist()] * N_USERS
        check_ranking(ids, scores, score_table(self.fitted()), np.zeros_like(SEEN))

    def test_short_rows_are_padded(self):
        n_unseen = N_ITEMS - SEEN.sum(axis=1)
        for n in (N_ITEMS, N_ITEMS + 3):
            ids, scores = self.fitted().recommend(USER_IDS, n=n)
            assert ids.shape == (N_USERS, n)
            assert [list(row).count(None) for row in ids] == (n - n_unseen).tolist()
            check_ranking(ids, scores, score_table(self.fitted()), SEEN)

    def test_users_come_in_any_order_and_number(self):
        picked = [5, 0, 5, 39]
        table = score_table(self.fitted())
        check_ranking(*self.fitted().recommend(USER_IDS[picked], n=4), table[picked], SEEN[picked])
        none, no_scores = self.fitted().recommend([], n=4)
        assert none.shape == no_scores.shape == (0, 4)

    def test_memory_stays_bounded(self, monkeypatch):
        sizes = []
        model = copy.copy(self.fitted())
        whole = model._score_all_items

        def spy(fitted, users):
            sizes.append(len(users))
            return whole(fitted, users)

        monkeypatch.setattr(base, "SCORES_PER_CHUNK", 7 * N_ITEMS + 1)
        monkeypatch.setattr(model, "_score_all_items", spy, raising=False)
        ids, scores = model.recommend(USER_IDS, n=6)
        assert max(sizes) == 7
        assert sum(sizes) == N_USERS
        check_ranking(ids, scores, score_table(self.fitted()), SEEN)
        monkeypatch.setattr(base, "SCORES_PER_CHUNK", 1)
        sizes.clear()
        check_ranking(*model.recommend(USER_IDS, n=6), score_table(self.fitted()), SEEN)
        assert sizes == [1] * N_USERS

    def test_an_unknown_user_cannot_be_recommended_to(self):
        with pytest.raises(ValueError, match=r"1 of 2 user ids .* for example 1000000") as caught:
            self.fitted().recommend([USER_IDS[0], UNKNOWN_USER])
        assert is_named(caught.value)

    @pytest.mark.parametrize(("n", "error"), [(0, ValueError), (2.0, TypeError)])
    def test_the_number_of_items_is_checked(self, n, error):
        with pytest.raises(error, match="n must be"):
            self.fitted().recommend(USER_IDS[:1], n=n)

    def test_candidates_and_exclusions_are_kept_to(self):
        allowed = ITEM_IDS[[3, 8, 9, 20, 29]]
        for exclude_seen in (True, False):
            left_out = ~np.isin(ITEM_IDS, allowed[1:]) | (SEEN & exclude_seen)
            ids, scores = self.fitted().recommend(
                USER_IDS, 6, exclude_seen, candidates=allowed, exclude=[allowed[0], UNKNOWN_ITEM]
            )
            check_ranking(ids, scores, score_table(self.fitted()), left_out)
        none, _ = self.fitted().recommend(USER_IDS[:1], candidates=[])
        assert none.tolist() == [[None] * 10]

    def test_cold_users_are_those_without_training_ratings(self):
        cold = self.fitted().cold_users([USER_IDS[0], COLD_USER, UNKNOWN_USER])
        assert cold.tolist() == [False, True, True]

    # DataFrames

    def test_a_frame_is_answered_by_a_series_with_its_index(self):
        frame = pd.DataFrame({"item": EVERY_ITEM, "user": EVERY_USER}).sample(
            frac=0.5, random_state=0
        )
        frame.index = frame.index % 7
        predicted = self.fitted().predict(frame)
        assert predicted.index.equals(frame.index)
        np.testing.assert_array_equal(
            predicted, self.fitted().predict(frame["user"].to_numpy(), frame["item"].to_numpy())
        )

    def test_recommendations_to_a_series_are_a_frame(self):
        frame = self.fitted().recommend(pd.Series(USER_IDS, index=USER_IDS % 3), n=3)
        ids, scores = self.fitted().recommend(USER_IDS, n=3)
        assert frame["user"].tolist() == np.repeat(USER_IDS, 3).tolist()
        assert frame["item"].tolist() == ids.ravel().tolist()
        assert frame["rank"].tolist() == [1, 2, 3] * N_USERS
        np.testing.assert_array_equal(frame["score"], scores.ravel())
        np.testing.assert_array_equal(
            frame["cold"], self.fitted().cold_pairs(frame["user"], frame["item"])
        )

    # Files

    @pytest.mark.parametrize("memory_map", [False, True])
    def test_a_saved_model_answers_the_same_to_the_last_bit(self, memory_map, tmp_path):
        save_model(self.fitted(), tmp_path / "model.npz")
        loaded = load_model(tmp_path / "model.npz", memory_map=memory_map)
        before, after = (
            (model.predict(EVERY_USER, EVERY_ITEM), *model.recommend(USER_IDS, n=5))
            for model in (self.fitted(), loaded)
        )
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)

    # Sharing

    def test_threads_may_predict_at_once(self):
        unused = dataclasses.replace(TRAIN)  # has not looked up any id yet
        model = with_record(self.fitted(), ratings=unused)
        rng = np.random.default_rng(0)
        picks = [rng.integers(N_USERS * N_ITEMS, size=200) for _ in range(16)]
        start = threading.Barrier(8)

        def work(number):
            if number < 8:
                start.wait(timeout=60)
            pick = picks[number]
            predicted = model.predict(EVERY_USER[pick], EVERY_ITEM[pick])
            return predicted, *model.recommend(USER_IDS, n=5)

        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(work, range(len(picks))))
        everything = self.fitted().predict(EVERY_USER, EVERY_ITEM)
        ids, scores = self.fitted().recommend(USER_IDS, n=5)
        for pick, result in zip(picks, results, strict=True):
            np.testing.assert_array_equal(result[0], everything[pick])
            np.testing.assert_array_equal(result[1], ids)
            np.testing.assert_array_equal(result[2], scores)

    def test_a_model_can_be_pickled_and_copied(self):
        model = self.fitted()
        for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            np.testing.assert_array_equal(score_table(copied), score_table(model))


class AutoRecContract(
    RecommenderContract,
    hidden_layer_sizes=(8,),
    regularization=1.0,
    learning_rate_init=0.03,
    batch_size=16,
    max_iter=60,
    n_jobs=1,
    random_state=0,
):
    """What every AutoRec does besides: it finds the groups, repeatably, and tells how it went."""

    model_class = AutoRec
    brief: ClassVar[dict[str, Any]] = {"max_iter": 3}

    @classmethod
    def is_by_item(cls):
        return cls.make().orientation == "item"

    @classmethod
    def check_codes(cls, model, codes, theta):
        """The codes are what the network makes of TRAIN; to rounding where it reads residuals."""
        matrix = TRAIN.matrix.T.tocsr() if cls.is_by_item() else TRAIN.matrix
        data = matrix.data.astype(model.dtype)
        if model.inputs_ == "ratings":
            inputs = kernels.with_data(matrix, data)
            np.testing.assert_array_equal(codes, model.network_.encode(theta, inputs))
            return
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        pairs = (matrix.indices, rows) if cls.is_by_item() else (rows, matrix.indices)
        residuals = matrix.data - model.cold_baseline_.biases_.at(*pairs)
        factor = 1.117 / model.fitted_.training.matrix.data.std(dtype=np.float64)  # docs: units
        planes = [np.full(len(data), 3.0), factor * residuals]
        wide = sparse.hstack([kernels.with_data(matrix, plane) for plane in planes], format="csr")
        expected = model.network_.encode(theta, sparse.csr_array(wide.astype(model.dtype)))
        np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=1e-6)

    # The right answer

    def test_held_out_ratings_are_predicted(self):
        users, items, ratings = TEST.triples()
        assert np.abs(self.fitted().predict(users, items) - ratings).max() < 1.5
        assert self.fitted().score(users, items, ratings) > -0.5

    def test_unseen_liked_items_are_recommended_first(self):
        ids, _ = self.fitted().recommend(USER_IDS[:-1], n=N_ITEMS)
        for user, row in enumerate(ids):
            liked = LIKES[user, :-1] & ~SEEN[user, :-1]
            assert set(row[: np.count_nonzero(liked)]) == set(ITEM_IDS[:-1][liked])

    def test_all_liked_items_are_recommended_first_where_the_seen_stay(self):
        ids, _ = self.fitted().recommend(USER_IDS[:-1], n=N_ITEMS, exclude_seen=False)
        for user, row in enumerate(ids):
            liked = LIKES[user, :-1]
            assert set(row[: np.count_nonzero(liked)]) == set(ITEM_IDS[:-1][liked])

    def test_a_new_user_belongs_to_the_group_of_their_ratings(self):
        for group in (0, 1):
            told = {ITEM_IDS[i]: LIKED if i % 2 == group else DISLIKED for i in range(10)}
            predicted = self.fitted().predict_new(told)
            assert predicted.shape == (N_ITEMS,)
            wanted = np.where(LIKES[group], LIKED, DISLIKED)
            assert np.abs(predicted - wanted)[:-1].max() < 1.5
            ids, _ = self.fitted().recommend_new(told, n=N_ITEMS)
            liked = [ITEM_IDS[i] for i in range(10, N_ITEMS - 1) if i % 2 == group]
            assert set(ids[: len(liked)]) == set(liked)

    # Cold pairs

    def test_cold_pairs_get_the_bias_baseline(self):
        baseline = BiasBaseline().fit(TRAIN)
        cold = self.fitted().cold_pairs(EVERY_USER, EVERY_ITEM)
        assert np.count_nonzero(cold) == N_USERS + N_ITEMS - 1
        np.testing.assert_allclose(
            self.fitted().predict(EVERY_USER, EVERY_ITEM)[cold],
            baseline.predict(EVERY_USER, EVERY_ITEM)[cold],
            rtol=1e-14
            if getattr(self.fitted(), "inputs_", "") == "planes"
            else 0,  # fitted in other units
        )
        table = score_table(self.fitted())
        ids, scores = self.fitted().recommend([COLD_USER], n=4)
        check_ranking(ids, scores, table[-1:], SEEN[-1:])
        told = {ITEM_IDS[0]: LIKED, ITEM_IDS[1]: DISLIKED}
        by_biases = baseline.biases_.mean + self.new_user_bias(baseline.biases_, [0, 1], [5, 1])
        assert self.fitted().predict_new(told)[-1] == pytest.approx(by_biases, rel=1e-12)

    @staticmethod
    def new_user_bias(biases, items, ratings, regularization=5.0):
        residuals = np.array(ratings) - biases.mean - biases.item[items]
        return residuals.sum() / (len(items) + regularization)

    def test_cold_pairs_get_the_number_given(self):
        model = copy.copy(self.fitted()).set_params(cold=2.5)
        cold = model.cold_pairs(EVERY_USER, EVERY_ITEM)
        predicted = model.predict(EVERY_USER, EVERY_ITEM)
        assert set(predicted[cold]) == {2.5}
        np.testing.assert_array_equal(
            predicted[~cold], self.fitted().predict(EVERY_USER, EVERY_ITEM)[~cold]
        )
        assert model.predict([UNKNOWN_USER], [UNKNOWN_ITEM]).tolist() == [2.5]
        ids, scores = model.recommend(USER_IDS, n=N_ITEMS)
        check_ranking(ids, scores, score_table(model), SEEN)
        assert set(scores[ids == COLD_ITEM]) == {2.5}
        told = {ITEM_IDS[0]: LIKED, ITEM_IDS[1]: DISLIKED}
        assert model.predict_new(told)[-1] == 2.5
        ids, scores = model.recommend_new(told, n=N_ITEMS)
        assert scores[ids == COLD_ITEM].tolist() == [2.5]

    def test_cold_pairs_raise_on_request(self):
        model = copy.copy(self.fitted()).set_params(cold="raise")
        users, items, _ = TEST.triples()
        np.testing.assert_array_equal(
            model.predict(users, items), self.fitted().predict(users, items)
        )
        for pair in ((COLD_USER, ITEM_IDS[0]), (USER_IDS[0], COLD_ITEM), (UNKNOWN_USER, "000")):
            with pytest.raises(ValueError, match=r"1 of 2 pairs are cold.*cold='raise'"):
                model.predict([USER_IDS[0], pair[0]], [ITEM_IDS[0], pair[1]])

    def test_cold_items_are_not_recommended_where_they_would_raise(self):
        model = copy.copy(self.fitted()).set_params(cold="raise")
        cold_too = SEEN.copy()
        cold_too[:, -1] = True
        ids, scores = model.recommend(USER_IDS[:-1], n=N_ITEMS)
        check_ranking(ids, scores, score_table(self.fitted())[:-1], cold_too[:-1])
        with pytest.raises(ValueError, match="cold='raise'"):
            model.recommend([USER_IDS[0], COLD_USER])
        told = {ITEM_IDS[0]: LIKED, ITEM_IDS[1]: DISLIKED}
        ids, _ = model.recommend_new(told, n=N_ITEMS)
        assert COLD_ITEM not in ids
        with pytest.raises(ValueError, match="cold='raise'"):
            model.predict_new(told, [COLD_ITEM])

    # Codes

    def test_codes_are_the_last_hidden_layer(self):
        model = self.fitted()
        codes = model.codes_
        self.check_codes(model, codes, model.theta_)
        ids = ITEM_IDS if self.is_by_item() else USER_IDS
        assert codes.shape == (len(ids), model.hidden_layer_sizes[-1])
        np.testing.assert_array_equal(model.encode(), codes)
        np.testing.assert_array_equal(model.encode(ids[[4, 0, 4]]), codes[[4, 0, 4]])

    def test_codes_are_copies(self):
        before = self.fitted().codes_.copy()
        self.fitted().encode()[:] = 0.0
        self.fitted().encode([(ITEM_IDS if self.is_by_item() else USER_IDS)[0]])[:] = 0.0
        np.testing.assert_array_equal(self.fitted().codes_, before)

    def test_unknown_ids_have_no_code(self):
        with pytest.raises(ValueError, match=r"1 of 1 (item|user) ids are not in") as caught:
            self.fitted().encode([UNKNOWN_ITEM if self.is_by_item() else UNKNOWN_USER])
        assert is_named(caught.value)
        by_index = self.fit_briefly(sparse.csr_array(TRAIN.matrix))
        n_rows = len(by_index.codes_)
        with pytest.raises(IndexError, match=f"index {n_rows} is out of range.* 0 to {n_rows - 1}"):
            by_index.encode([n_rows])

    def test_nothing_of_an_autorec_works_before_fit(self):
        told = {ITEM_IDS[0]: LIKED}
        model = self.make()
        calls = (
            model.encode,
            lambda: model.predict_new(told),
            lambda: model.recommend_new(told),
            lambda: model.predict_new({USER_IDS[0]: LIKED}, axis="item"),
        )
        for call in calls:
            with pytest.raises(base.NotFittedError, match="this AutoRec is not fitted yet"):
                call()

    # Repeatability

    def test_reruns_are_bit_identical(self):
        first, second = self.fit_briefly(TRAIN), self.fit_briefly(TRAIN)
        np.testing.assert_array_equal(first.theta_, second.theta_)
        np.testing.assert_array_equal(score_table(first), score_table(second))
        assert first.loss_curve_ == second.loss_curve_
        same = self.fit_briefly(TRAIN, random_state=np.random.default_rng(0))
        np.testing.assert_array_equal(first.theta_, same.theta_)
        other = self.fit_briefly(TRAIN, random_state=1)
        assert not np.array_equal(first.theta_, other.theta_)

    def test_the_number_of_threads_does_not_matter(self, monkeypatch):
        monkeypatch.setattr(rows, "ENTRIES_PER_BLOCK", 100)  # several blocks even here
        alone = self.fit_briefly(TRAIN, validation=TEST, n_jobs=1)
        for n_jobs in (2, 3, None):
            together = self.fit_briefly(TRAIN, validation=TEST, n_jobs=n_jobs)
            np.testing.assert_array_equal(together.theta_, alone.theta_)
            np.testing.assert_array_equal(together.codes_, alone.codes_)
            assert together.loss_curve_ == alone.loss_curve_
            assert together.validation_curve_ == alone.validation_curve_

    # The course of the training

    def test_the_objective_falls(self):
        model = self.fitted()
        assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
        assert explicit_objective(model) < 0.5 * model.loss_curve_[0]
        assert {type(value) for value in model.loss_curve_} == {float}
        assert model.n_iter_ == len(model.loss_curve_) <= model.n_evaluations_
        assert model.validation_curve_ == []
        assert self.fit_briefly(TRAIN).n_iter_ == self.brief["max_iter"]

    def test_warm_start_continues(self, monkeypatch):
        starts = []
        run = Trainer.run

        def spy(trainer, objective, theta, inputs, targets, *others):
            starts.append((theta.copy(), objective.value(theta, inputs, targets)))
            return run(trainer, objective, theta, inputs, targets, *others)

        monkeypatch.setattr(Trainer, "run", spy)
        model = self.fit_briefly(TRAIN, warm_start=True, max_iter=12)
        end = model.theta_.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(TRAIN)
            continued = model.theta_.copy()
            model.set_params(warm_start=False).fit(TRAIN)
        check_weights(model, served(model, starts[1][0]), end)
        assert starts[1][1] < starts[0][1]
        assert not np.array_equal(continued, end)
        np.testing.assert_array_equal(starts[2][0], starts[0][0])
        assert model.n_iter_ == 12

    def test_validation_ratings_are_followed(self):
        model = self.fit_briefly(TRAIN, validation=TEST)
        assert len(model.validation_curve_) == model.n_iter_ == self.brief["max_iter"]
        last = -model.score(*TEST.triples())
        assert model.validation_curve_[-1] == pytest.approx(last, rel=1e-6)
        np.testing.assert_array_equal(model.theta_, self.fit_briefly(TRAIN).theta_)

    def test_early_stopping_restores_the_best_weights(self, monkeypatch):
        script = [3.0, 2.5, 1.0, 1.5, 1.2, 0.5, 0.4, 0.3]
        monkeypatch.setattr(scoring, "rmse", lambda *_: script[len(thetas)])
        thetas = []

        def follow(state):
            assert state.validation_rmse == script[len(thetas)]
            thetas.append(state.theta.copy())

        model = self.make(
            max_iter=8, early_stopping=True, n_iter_no_change=2, callbacks=[follow]
        ).fit(TRAIN)  # ends before max_iter: no ConvergenceWarning
        assert model.n_iter_ == 5
        assert model.validation_curve_ == script[:5]
        check_weights(model, model.theta_, served(model, thetas[2]))
        self.check_codes(model, model.codes_, model.theta_)

    def test_callbacks_see_every_epoch_and_can_stop(self):
        states, others = [], []

        def follow(state):
            states.append((state.epoch, state.n_epochs, state.value, state.theta.copy()))
            return state.epoch == 2

        model = self.make(max_iter=5, callbacks=(follow, others.append)).fit(TRAIN)
        epochs, limits, values, thetas = zip(*states, strict=True)
        assert epochs == (1, 2)
        assert limits == (5, 5)
        assert list(values) == model.loss_curve_
        assert model.n_iter_ == 2
        check_weights(model, model.theta_, served(model, thetas[1]))
        assert not np.array_equal(thetas[0], thetas[1])
        assert [state.epoch for state in others] == [1, 2]
        assert all(state.validation_rmse is None and state.seconds >= 0 for state in others)

    def test_a_fit_that_fails_leaves_the_last_one(self):
        def fail(state):
            raise KeyError("the callback failed")

        model = self.make(max_iter=5, callbacks=[fail])
        with pytest.raises(KeyError):
            model.fit(TRAIN)
        with pytest.raises(base.NotFittedError):
            model.predict([USER_IDS[0]], [ITEM_IDS[0]])
        model = self.fit_briefly(TRAIN)
        before = score_table(model)
        with pytest.raises(KeyError):
            model.set_params(max_iter=5, callbacks=[fail]).fit(TRAIN.filter(min_user=22))
        np.testing.assert_array_equal(score_table(model), before)

    # A new user

    def test_recommendations_to_a_new_user_agree_with_the_predictions(self):
        told = ([ITEM_IDS[3], ITEM_IDS[0], ITEM_IDS[8]], [1.0, 4.0, 5.0])
        everything = self.fitted().predict_new(told)
        assert everything.dtype == np.float64
        assert ((everything >= 1.0) & (everything <= 5.0)).all()
        for exclude_seen in (True, False):
            left_out = np.zeros((1, N_ITEMS), dtype=bool)
            left_out[0, [3, 0, 8]] = exclude_seen
            ids, scores = self.fitted().recommend_new(told, N_ITEMS + 2, exclude_seen)
            assert ids.shape == scores.shape == (N_ITEMS + 2,)
            table = np.zeros((1, N_ITEMS))
            found = scores > -np.inf
            table[0, np.searchsorted(ITEM_IDS.astype(str), ids[found].astype(str))] = scores[found]
            check_ranking(ids[np.newaxis], scores[np.newaxis], table, left_out)
            np.testing.assert_allclose(
                np.clip(table[~left_out], 1.0, 5.0), everything[~left_out[0]], rtol=1e-12
            )
        best, _ = self.fitted().recommend_new(told, n=3)
        np.testing.assert_array_equal(best, self.fitted().recommend_new(told, N_ITEMS)[0][:3])

    def test_the_order_and_form_of_a_new_users_ratings_do_not_matter(self):
        ids, values = [ITEM_IDS[3], ITEM_IDS[0], ITEM_IDS[8]], [1.0, 4.0, 5.0]
        expected = self.fitted().predict_new((ids, values))
        np.testing.assert_array_equal(
            self.fitted().predict_new(dict(zip(ids, values, strict=True))), expected
        )
        np.testing.assert_allclose(
            self.fitted().predict_new((ids[::-1], values[::-1])), expected, rtol=1e-6
        )
        asked = [ITEM_IDS[5], ITEM_IDS[0], ITEM_IDS[5]]
        np.testing.assert_array_equal(
            self.fitted().predict_new((ids, values), asked), expected[[5, 0, 5]]
        )

    def test_new_users_and_items_belong_to_their_groups(self):
        for axis, known in (("user", ITEM_IDS), ("item", USER_IDS)):
            told = np.arange(1, 13)
            batch = [
                (group, known[one], LIKED if one % 2 == group else DISLIKED)
                for group in (1, 0)
                for one in told
            ]
            new, rated, ratings = zip(*batch, strict=True)
            predicted = self.fitted().predict_new(
                (new, rated, ratings) if axis == "user" else (rated, new, ratings), axis=axis
            )
            liked = np.arange(len(known))[:-1] % 2 == np.array([[0], [1]])
            wanted = np.where(liked, LIKED, DISLIKED)
            assert np.abs(predicted[:, :-1] - wanted).max() < 1.7

    # New ratings

    def test_new_ratings_are_taken_in_without_training(self):
        model = copy.deepcopy(self.fitted())
        if model.tied:
            with pytest.raises(ValueError, match="tied=True"):
                model.partial_fit(TEST)
            return
        newcomer, told = 1_000_000, np.arange(0, N_ITEMS - 1, 2)
        model.partial_fit((np.full(len(told), newcomer), ITEM_IDS[told], np.full(len(told), 5.0)))
        model.partial_fit((np.full(3, newcomer), ITEM_IDS[[1, 3, 5]], np.full(3, DISLIKED)))
        assert len(model.ratings_) == len(TRAIN) + len(told) + 3
        predicted = model.predict(np.full(N_ITEMS - 1, newcomer), ITEM_IDS[:-1])
        assert predicted[::2].min() > predicted[1::2].max()
        users, items, ratings = TEST.triples()
        assert model.score(users, items, ratings) > -0.5
        model.partial_fit(TEST)
        assert model.score(users, items, ratings) > -0.5
        assert not model.cold_pairs(users, items).any()


class FullBatchContract(AutoRecContract, max_iter=300, learning_rate_init=None):
    """What a solver of one fixed function does besides."""

    value_tolerance: ClassVar[float] = 1e-5

    def test_the_limit_of_iterations_is_a_warning(self):
        for max_iter in (1, 3):
            with pytest.warns(ConvergenceWarning, match=f"max_iter={max_iter}.*raise max_iter") as (
                caught
            ):
                model = self.make(max_iter=max_iter).fit(TRAIN)
            assert model.n_iter_ == max_iter
            assert [warning.filename for warning in caught] == [__file__]

    @pytest.mark.parametrize("noise", [{"corruption": 0.1}, {"dropout": 0.1}])
    def test_random_noise_is_refused(self, noise):
        with pytest.raises(ValueError, match=r"one fixed function.*use solver='adam' or 'sgd'"):
            self.make(**noise).fit(TRAIN)

    def test_the_last_value_is_the_objective_of_the_model(self):
        value = explicit_objective(self.fitted())
        assert self.fitted().loss_curve_[-1] == pytest.approx(value, rel=self.value_tolerance)
        assert self.fitted().loss_curve_[-1] < 1.001 * min(self.fitted().loss_curve_)
