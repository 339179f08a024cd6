"""New users, items and ratings in a fitted model, against single rows and the definitions."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from small_models import COUNTS, SMALL, R, as_triples, axes, fit, newcomers, variants

from autorec_np.data.ratings import Ratings
from autorec_np.models import base
from autorec_np.models import newcomers as newcomers_room
from autorec_np.models.autorec import AutoRec

# Many at once


@axes
@variants
def test_many_are_answered_as_one_by_one(variant, axis):
    model, (ids, known, ratings) = fit(variant), newcomers(axis)
    batch = as_triples(axis, ids, known, ratings)
    table = model.predict_new(batch, axis=axis)
    assert table.shape == (3, R.n_items if axis == "user" else R.n_users)
    best, scores = model.recommend_new(batch, n=5, axis=axis)
    assert best.shape == scores.shape == (3, 5)
    for row, one in enumerate([901, 903, 905]):
        told = known[ids == one], ratings[ids == one]
        single = model.predict_new(told, axis=axis)
        np.testing.assert_allclose(table[row], single, rtol=1e-5)
        ids_of_one, scores_of_one = model.recommend_new(told, n=5, axis=axis)
        assert best[row].tolist() == ids_of_one.tolist()
        np.testing.assert_allclose(scores[row], scores_of_one, rtol=1e-5)
        assert not set(best[row]) & set(told[0])


@axes
@variants
def test_a_new_item_is_a_new_user_of_the_transposed_ratings(variant, axis):
    """The two orientations are one algorithm, so both ways of folding in are checked by it."""
    other = {"user": "item", "item": "user"}
    users, items, ratings = R.triples()
    transposed = Ratings.from_triples(items, users, ratings, scale=R.scale)
    # whose defaults depend on the orientation
    variant = {**variant, "warm_up": 0.3, "learning_rate_init": 3e-3}
    mirrored = {**variant, "orientation": other[variant["orientation"]]}
    np.testing.assert_allclose(
        fit(variant).predict_new(as_triples(axis, *newcomers(axis)), axis=axis),
        fit(mirrored, transposed).predict_new(
            as_triples(other[axis], *newcomers(axis)), axis=other[axis]
        ),
        atol=1e-4,
    )


@axes
def test_a_new_row_with_the_ratings_of_a_trained_one_gets_its_predictions(axis):
    model = fit({"orientation": axis, "baseline": None})
    users, items, ratings = R.triples()
    mine, known, ids = (users, items, R.user_ids) if axis == "user" else (items, users, R.item_ids)
    table = model.predict_new(R, axis=axis)
    pairs = np.divmod(np.arange(R.n_users * R.n_items), R.n_items)
    trained = model.predict(R.user_ids[pairs[0]], R.item_ids[pairs[1]]).reshape(R.shape)
    np.testing.assert_allclose(table, trained if axis == "user" else trained.T, rtol=1e-5)
    told = known[mine == ids[2]], ratings[mine == ids[2]]
    np.testing.assert_allclose(model.predict_new(told, axis=axis), table[2], rtol=1e-5)


def test_every_kind_of_batch_is_the_same():
    users, items, ratings = R.positions()
    matrix = sparse.csr_array((ratings, (users, items)), shape=R.shape)
    model = fit(data=matrix)
    new, known, values = newcomers("user")
    known = np.searchsorted(R.item_ids, known)
    batch = Ratings.from_triples(new, known, values)
    rows = np.searchsorted(batch.user_ids, new)
    expected = model.predict_new(batch)
    for kind in (
        (new, known, values),
        pd.DataFrame({"rating": values, "item": known, "user": new}),
        sparse.csr_array((values, (rows, known)), shape=(3, R.n_items)),
        sparse.coo_matrix((values, (rows, known)), shape=(3, R.n_items + 5)),
    ):
        np.testing.assert_array_equal(np.asarray(model.predict_new(kind)), expected)
    wide = sparse.csr_array((values, (rows, known + R.n_items)))
    with pytest.raises(IndexError, match="item index 24 is out of range"):
        model.predict_new(wide)


@axes
def test_only_what_is_asked_for_is_predicted(axis):
    model, batch = fit(), as_triples(axis, *newcomers(axis))
    known = R.item_ids if axis == "user" else R.user_ids
    asked = {f"{'item' if axis == 'user' else 'user'}s": known[[5, 0, 5]]}
    np.testing.assert_array_equal(
        model.predict_new(batch, axis=axis, **asked),
        model.predict_new(batch, axis=axis)[:, [5, 0, 5]],
    )


@axes
def test_candidates_and_exclude_restrict_recommendations_to_the_new(axis):
    model, batch = fit(), as_triples(axis, *newcomers(axis))
    known = R.item_ids if axis == "user" else R.user_ids
    ids, scores = model.recommend_new(
        batch, n=4, axis=axis, exclude_seen=False, candidates=known[[6, 1, 2]], exclude=known[1:2]
    )
    assert [set(row) for row in ids.tolist()] == [{known[2], known[6], None}] * 3
    assert np.isneginf(scores[:, 2:]).all()


def test_memory_is_bounded_by_chunks(monkeypatch):
    model, batch, sizes = fit(), as_triples("user", *newcomers("user")), []
    expected = model.predict_new(batch), model.recommend_new(batch)[1]
    whole = newcomers_room.score_new

    def spy(fitted, rated, *others):
        sizes.append(rated.shape[0])
        return whole(fitted, rated, *others)

    monkeypatch.setattr(newcomers_room, "score_new", spy)
    monkeypatch.setattr(base, "SCORES_PER_CHUNK", 2 * R.n_items)
    np.testing.assert_allclose(model.predict_new(batch), expected[0], rtol=1e-6)
    np.testing.assert_allclose(model.recommend_new(batch)[1], expected[1], rtol=1e-6)
    assert sizes == [2, 1, 2, 1]


@axes
def test_one_without_ratings_gets_the_biases_and_is_cold(axis):
    batch = Ratings.from_triples(*as_triples(axis, *newcomers(axis)), scale=R.scale)
    batch = batch.select(np.asarray(batch.triples()[axis == "item"]) != 903)
    model = fit()
    biases = model.cold_baseline_.biases_
    expected = biases.mean + (biases.item if axis == "user" else biases.user)
    np.testing.assert_allclose(
        model.predict_new(batch, axis=axis)[1], np.clip(expected, *R.scale), rtol=1e-12
    )
    model.set_params(cold=2.5)
    assert set(model.predict_new(batch, axis=axis)[1]) == {2.5}
    model.set_params(cold="raise")
    with pytest.raises(ValueError, match="cold='raise'"):
        model.predict_new(batch, axis=axis)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({1: 4.0}, None, {"axis": "row"}), ValueError, "axis must be one of 'user', 'item'"),
        (({1: 4.0}, None, {"users": [1]}), ValueError, r"known items are what.*items="),
        (({1: 4.0}, [1], {"axis": "item"}), ValueError, r"known users are what.*users="),
        (({-9: 4.0}, None, {"axis": "item"}), ValueError, "1 of 1 user ids are not in"),
        ((([1], [-9], [4.0]), None, {}), ValueError, "1 of 1 item ids .*predict_new"),
        ((([1], [1], [7.0]), None, {}), ValueError, "outside the stated scale"),
        ((np.ones((2, 24)), None, {}), TypeError, "a dense array cannot say"),
        (([4.0], None, {}), TypeError, r"mapping \{item id: rating\}.*those of many Ratings"),
    ],
)
def test_what_cannot_be_folded_in_is_an_error_that_teaches(arguments, error, message):
    ratings, items, others = arguments
    with pytest.raises(error, match=message):
        fit().predict_new(ratings, items, **others)


def test_advice_on_a_rating_outside_the_scale():
    data = ([1, 1, 2, 2], [1, 2, 1, 2], [1, 3, 5, 2])
    model = AutoRec(hidden_layer_sizes=(2,), max_iter=1, random_state=0).fit(data)
    with pytest.raises(ValueError, match=r"fit a model with AutoRec\(rating_scale=\(0.5, 5\)\)"):
        model.recommend_new({1: 0.5, 2: 3})
    wider = AutoRec(hidden_layer_sizes=(2,), max_iter=1, random_state=0, rating_scale=(0.5, 5))
    assert len(wider.fit(data).recommend_new({1: 0.5, 2: 3}, n=1)[0]) == 1


# Who is not known, and what is not known


def known_and_unknown(axis):
    """Ratings of one newcomer: four of known items (or users), three of unknown ones."""
    known = (R.item_ids if axis == "user" else R.user_ids)[[3, 0, 4, 8]].tolist()
    return dict(zip(known, [5.0, 1.0, 4.0, 2.0], strict=True)), dict.fromkeys((-7, 800, 900), 3.0)


@axes
def test_ratings_of_what_is_unknown_are_left_out_and_counted(axis):
    model, (known, unknown) = fit(), known_and_unknown(axis)
    everything = {**unknown, **known}
    for call in (model.recommend_new, model.predict_new):
        with pytest.raises(ValueError, match="3 of 7 "):
            call(everything, axis=axis)
        with pytest.raises(ValueError, match="unknown must be one of 'raise', 'ignore'"):
            call(known, axis=axis, unknown="drop")
    expected = model.recommend_new(known, axis=axis)
    found = model.recommend_new(everything, axis=axis, unknown="ignore")
    assert [one.tolist() for one in found] == [one.tolist() for one in expected]
    assert (found.n_unknown, expected.n_unknown) == (3, 0)
    assert not found.popular
    assert not expected.popular
    np.testing.assert_array_equal(
        model.predict_new(everything, axis=axis, unknown="ignore"),
        model.predict_new(known, axis=axis),
    )


def test_indices_out_of_range_are_unknown_too():
    model = AutoRec(**SMALL).fit(R.matrix)
    with pytest.raises(IndexError, match="out of range"):
        model.recommend_new({0: 5.0, 99: 1.0})
    found = model.recommend_new({0: 5.0, 99: 1.0}, unknown="ignore")
    assert found.n_unknown == 1
    assert found.ids.tolist() == model.recommend_new({0: 5.0}).ids.tolist()


@axes
@pytest.mark.parametrize("visitor", [{}, ([], []), {-7: 5.0}])
@pytest.mark.parametrize("cold", ["baseline", 3.0])
def test_a_visitor_without_ratings_gets_the_most_popular_marked_so(axis, visitor, cold):
    model, counts = fit(cold=cold), COUNTS[axis == "user"]
    found = model.recommend_new(visitor, n=5, axis=axis, unknown="ignore")
    ids, scores = found
    order = np.argsort(-counts, kind="stable")[:5]
    assert ids.tolist() == (R.item_ids if axis == "user" else R.user_ids)[order].tolist()
    assert scores.tolist() == counts[order].tolist()
    assert found.popular is True
    assert found.n_unknown == len(visitor if isinstance(visitor, dict) else ())
    some = ids[1:3].tolist()
    again = model.recommend_new({}, axis=axis, candidates=ids.tolist(), exclude=some)
    assert [one for one in again.ids if one is not None] == [ids[0], *ids[3:]]


def test_a_visitor_without_ratings_is_predicted_by_the_biases():
    model = fit()
    biases = model.cold_baseline_.biases_
    expected = np.clip(biases.mean + biases.item, *R.scale)
    np.testing.assert_allclose(model.predict_new({}), expected, rtol=1e-12)
    assert model.predict_new({}, R.item_ids[:3]).shape == (3,)
    for call in (model.set_params(cold="raise").predict_new, model.recommend_new):
        with pytest.raises(ValueError, match="cold='raise'"):
            call({})


@pytest.mark.parametrize("as_frame", [False, True])
def test_of_many_each_answer_says_whether_it_is_the_most_popular(as_frame):
    model = fit()
    batch = ([1, 1, 2, 3], [R.item_ids[0], -9, -9, R.item_ids[2]], [4.0, 5.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="1 of 3 item ids"):
        model.recommend_new(batch)
    if not as_frame:
        found = model.recommend_new(batch, n=4, unknown="ignore")
        assert found.popular.tolist() == [False, True, False]
        assert found.n_unknown == 2
        visitor, scores = found.ids[1].tolist(), found.scores[1].tolist()
    else:
        columns = dict(zip(("user", "item", "rating"), batch, strict=True))
        frame = model.recommend_new(pd.DataFrame(columns), n=4, unknown="ignore")
        assert frame.attrs == {"n_unknown": 2, "popular": [2]}
        assert frame.groupby("user").cold.all().tolist() == [False, True, False]
        of_visitor = frame[frame.user == 2]
        visitor, scores = of_visitor.item.tolist(), of_visitor.score.tolist()
    popular = model.recommend_new({}, n=4)
    assert [visitor, scores] == [one.tolist() for one in popular]


def test_the_pair_can_be_pickled_and_copied():
    found = fit().recommend_new({-7: 5.0}, unknown="ignore")
    for one in (pickle.loads(pickle.dumps(found)), copy.copy(found)):
        assert [part.tolist() for part in one] == [part.tolist() for part in found]
        assert (one.n_unknown, one.popular) == (1, True)


def test_who_has_rated_all_has_no_items_and_json_no_infinity():
    """The documented way: an id of None ends the list."""
    model = fit()
    ids, scores = model.recommend_new(dict.fromkeys(R.item_ids.tolist(), 3.0), n=3)
    assert (ids.tolist(), scores.tolist()) == ([None] * 3, [-np.inf] * 3)
    pairs = zip(ids, scores, strict=True)
    answer = [{"item": item, "score": score} for item, score in pairs if item is not None]
    assert json.dumps(answer, allow_nan=False) == "[]"


@pytest.mark.parametrize("axis", ["user", "item"])
def test_a_frame_without_the_new_ones_is_told_what_to_do(axis):
    model, other = fit(), "item" if axis == "user" else "user"
    known = model.ratings_.item_ids if axis == "user" else model.ratings_.user_ids
    frame = pd.DataFrame({other: known[:2], "rating": [4.0, 2.0]})
    with pytest.raises(ValueError, match=r"^a DataFrame of two columns does not say which new"):
        model.recommend_new(frame, axis=axis)
    one = model.recommend_new((frame[other], frame["rating"]), axis=axis)
    many = model.recommend_new(frame.assign(**{axis: "new"}), axis=axis)
    assert many[other].tolist() == [*filter(lambda x: x is not None, one.ids)]
