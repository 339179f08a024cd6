"""Similar items and users: cosines by hand, ties, zero vectors, padding, chunks."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from changed_records import with_block, with_record
from scipy import sparse

from autorec_np.data.ratings import Ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.models import base
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import GlobalMean
from autorec_np.serving import explanation as similarity
from autorec_np.serving.explanation import similar_items, similar_users

SMALL = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
SMALL |= {"implicit": 0, "inputs": "ratings"}
BY_AXIS = {"item": similar_items, "user": similar_users}


def fitted(orientation: str, ratings=None, **options) -> AutoRec:
    if ratings is None:
        ratings = make_ratings(n_users=30, n_items=20, n_ratings=300, random_state=2)
    return AutoRec(orientation, **SMALL, **options).fit(ratings)


def ids_of(model: AutoRec, axis: str):
    return model.ratings_.item_ids if axis == "item" else model.ratings_.user_ids


def with_vectors(model: AutoRec, axis: str, vectors) -> AutoRec:
    """A model that has these vectors of items or users, wherever the orientation keeps them."""
    if axis == model.orientation_:
        return with_record(model, codes=np.asarray(vectors, np.float32))
    return with_block(model, "decoder.weight", vectors)


def plain_cosines(model: AutoRec, axis: str):
    """The definition, pair by pair."""
    if axis == model.orientation_:
        vectors = model.codes_.astype(np.float64) - model.codes_.mean(axis=0, dtype=np.float64)
    else:
        weights = model.network_.layout.views(model.theta_)["decoder.weight"]
        vectors = weights.astype(np.float64)
        if model.baseline_ is None:
            vectors = vectors - vectors.mean(axis=0)
    return np.array([[a @ b / np.sqrt((a @ a) * (b @ b)) for b in vectors] for a in vectors])


@pytest.mark.parametrize("baseline", ["bias", None])
@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("axis", ["item", "user"])
def test_cosines_are_those_of_the_definition(axis, orientation, baseline, monkeypatch):
    model = fitted(orientation, baseline=baseline)
    expected = plain_cosines(model, axis)
    np.fill_diagonal(expected, -np.inf)
    known = ids_of(model, axis)
    wanted = [3, 0, 3]
    ids, cosines = BY_AXIS[axis](model, known[wanted], n=5)
    order = np.argsort(-expected[wanted], axis=1)[:, :5]
    assert ids.tolist() == known[order].tolist()
    np.testing.assert_allclose(
        cosines, np.take_along_axis(expected[wanted], order, axis=1), rtol=0, atol=2e-12
    )
    monkeypatch.setattr(base, "SCORES_PER_CHUNK", 1)  # one row at a time
    again = BY_AXIS[axis](model, known[wanted], n=5)
    assert again[0].tolist() == ids.tolist()
    assert again[1].tolist() == cosines.tolist()


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("axis", ["item", "user"])
def test_checkerboard_neighbors_have_the_same_color(axis, orientation):
    """Even users love even items and hate odd ones, and odd users the reverse."""
    users, items = np.divmod(np.arange(24 * 16), 16)
    liked = np.where(users % 2 == items % 2, 5.0, 1.0)
    model = AutoRec(
        orientation, hidden_layer_sizes=(4,), solver="lbfgs", regularization=1.0, random_state=0
    ).fit(Ratings.from_triples(users, items, liked))
    known = ids_of(model, axis)
    ids, cosines = BY_AXIS[axis](model, known, n=len(known) - 1)
    n_alike = len(known) // 2 - 1
    alike = ids.astype(int) % 2 == known[:, np.newaxis] % 2
    assert alike[:, :n_alike].all()
    assert not alike[:, n_alike:].any()
    assert (cosines[:, :n_alike] > 0.9).all()


@pytest.mark.parametrize("axis", ["item", "user"])
def test_a_constant_added_to_every_code_changes_nothing(axis):
    model = fitted(axis)
    expected = BY_AXIS[axis](model, ids_of(model, axis))
    model = with_record(model, codes=model.codes_.astype(np.float64) + 3.0)
    found = BY_AXIS[axis](model, ids_of(model, axis))
    assert found[0].tolist() == expected[0].tolist()
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-7)


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("axis", ["item", "user"])
def test_equal_cosines_come_in_the_order_of_the_ids(axis, orientation):
    model = fitted(orientation)
    known = ids_of(model, axis)
    directions = np.random.default_rng(0).normal(size=(2, 4))
    # + and - make the mean code 0; lengths must not matter
    lengths = np.repeat(np.arange(1.0, len(known) // 2 + 1), 2)[:, np.newaxis]
    model = with_vectors(
        model, axis, np.resize([directions[0], -directions[0]], (len(known), 4)) * lengths
    )
    ids, cosines = BY_AXIS[axis](model, known[[4, 5]], n=len(known))
    even, odd = known[::2].tolist(), known[1::2].tolist()
    assert ids[0].tolist() == [one for one in even if one != known[4]] + odd + [None]
    assert ids[1].tolist() == [one for one in odd if one != known[5]] + even + [None]
    n_same = len(even) - 1
    np.testing.assert_allclose(cosines[:, :n_same], 1.0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(cosines[:, n_same:-1], -1.0, rtol=0, atol=1e-6)
    assert (cosines[:, -1] == -np.inf).all()


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("axis", ["item", "user"])
def test_zero_vectors_and_what_has_no_ratings_have_cosine_0(axis, orientation):
    matrix = make_ratings(n_users=30, n_items=20, n_ratings=300, random_state=2).matrix
    wider = sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(30, 21))
    wider = sparse.csr_array((wider.data, wider.indices, np.append(wider.indptr, 300)), (31, 21))
    model = fitted(orientation, wider)
    last = len(ids_of(model, axis)) - 1  # of which there is no rating
    if axis == orientation:
        vectors = model.codes_.copy()
        vectors[2] = np.delete(vectors[:last], 2, axis=0).mean(axis=0)
    else:
        vectors = model.network_.layout.views(model.theta_)["decoder.weight"].copy()
        vectors[2] = 0
    model = with_vectors(model, axis, vectors)
    ids, cosines = BY_AXIS[axis](model, [2, last, 0], n=last)
    assert ids[1].tolist() == list(range(last))
    assert (cosines[1] == 0).all()
    assert (cosines[0] == 0).all()
    assert np.isfinite(cosines).all()
    assert cosines[2, ids[2].tolist().index(last)] == 0


def test_codes_that_are_all_equal_have_cosine_0_not_the_cosine_of_their_rounding_errors():
    model = fitted("item")
    model = with_record(model, codes=np.full_like(model.codes_, 0.1))
    ids, cosines = similar_items(model, model.ratings_.item_ids[:1], n=3)
    assert ids.tolist() == [model.ratings_.item_ids[1:4].tolist()]
    assert cosines.tolist() == [[0.0] * 3]


def test_a_single_item_has_no_neighbor():
    model = AutoRec("item", **SMALL).fit(([1, 2], ["a", "a"], [3.0, 4.0]))
    ids, cosines = similar_items(model, ["a"], n=2)
    assert ids.tolist() == [[None, None]]
    assert cosines.tolist() == [[-np.inf, -np.inf]]


def test_no_items_are_asked_for():
    ids, cosines = similar_items(fitted("item"), [], n=2)
    assert ids.shape == cosines.shape == (0, 2)


def test_the_model_is_not_changed():
    model = fitted("item")
    codes, theta = model.codes_.copy(), model.theta_.copy()
    similar_items(model, model.ratings_.item_ids)
    similar_users(model, model.ratings_.user_ids)
    assert np.array_equal(codes, model.codes_)
    assert np.array_equal(theta, model.theta_)


def test_refusals():
    model = fitted("item")
    with pytest.raises(TypeError, match="need the codes of an AutoRec, got GlobalMean"):
        similar_items(GlobalMean().fit(([1], [2], [3.0])), [2])
    with pytest.raises(NotFittedError, match=r"call fit\(ratings\) first"):
        similar_items(AutoRec(), [1])
    with pytest.raises(ValueError, match="1 of 2 item ids are not in the training ratings"):
        similar_items(model, [model.ratings_.item_ids[0], 10**9])
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        similar_users(model, model.ratings_.user_ids, n=0)
    indexed = AutoRec(**SMALL).fit(sparse.csr_array(np.eye(3) + 1))
    with pytest.raises(IndexError, match="user index 3 is out of range"):
        similar_users(indexed, [3])


def test_vectors_are_worked_out_once_for_what_a_fit_has_learned(monkeypatch):
    model, calls = fitted("item"), []
    work_out = similarity._unit_vectors
    monkeypatch.setattr(similarity, "_unit_vectors", lambda *a: (calls.append(a), work_out(*a))[1])
    for _ in range(3):
        for axis, similar in BY_AXIS.items():
            similar(model, ids_of(model, axis)[:2])
    assert [axis for _, axis in calls] == ["item", "user"]
    before = similar_items(model, model.ratings_.item_ids[:1])[1]
    model.set_params(random_state=1).fit(model.ratings_)
    assert not np.array_equal(similar_items(model, model.ratings_.item_ids[:1])[1], before)
    assert len(calls) == 3


def test_what_is_kept_ends_with_the_model():
    model = fitted("item")
    similar_items(model, model.ratings_.item_ids[:1])
    n_kept = len(similarity._known)
    del model
    gc.collect()
    assert len(similarity._known) == n_kept - 1


def test_more_places_than_a_list_can_have_are_refused_before_memory_is():
    model = fitted("item")
    with pytest.raises(ValueError, match=r"^n is 1,000,000,000, but only \d+ are known"):
        similar_items(model, model.ratings_.item_ids[:1], n=10**9)
