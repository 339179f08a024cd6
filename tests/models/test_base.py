"""What every model has: one record, axes, and `recommend` against a sort of all scores."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import autorec_np
from autorec_np import RatingRegressor, cross_validate, evaluate_ranking, search
from autorec_np.data.ratings import Ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.models import base
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Axes, NotFittedError, check_fitted, copy_unfitted
from autorec_np.models.biases import BiasBaseline, GlobalMean

EVERY = make_ratings(n_users=20, n_items=15, n_ratings=160, random_state=0)
R = EVERY.select(np.asarray(EVERY.triples()[0]) != EVERY.user_ids[4])  # user 4 is cold
SETTINGS = {"hidden_layer_sizes": (3,), "max_iter": 2, "n_jobs": 1, "random_state": 0}
MODELS = {
    "item": AutoRec(**SETTINGS).fit(R),
    "user": AutoRec("user", **SETTINGS).fit(R),
    "biases": BiasBaseline().fit(R),
    "mean": GlobalMean().fit(R),  # all scores are tied
}
SEEN = R.matrix.toarray() != 0
models = pytest.mark.parametrize("name", MODELS)


def by_sorting(model, users, n, allowed, exclude_seen):
    """Ids of the n best for each user, padded, from the scores of all pairs."""
    answer = []
    for user in users:
        scores = model.fitted_.score_all_items(np.array([user]))[0]
        left = [i for i in allowed if not (exclude_seen and SEEN[user, i])]
        best = sorted(left, key=lambda i, scores=scores: (-scores[i], i))[:n]
        answer.append([*R.item_ids[best].tolist(), *[None] * (n - len(best))])
    return answer


@models
@settings(deadline=None, max_examples=40)
@given(
    users=st.lists(st.integers(0, R.n_users - 1), max_size=5),
    n=st.integers(1, 20),
    candidates=st.none() | st.lists(st.integers(0, R.n_items - 1)),
    exclude=st.none() | st.lists(st.integers(0, R.n_items - 1)),
    exclude_seen=st.booleans(),
    scores_per_chunk=st.sampled_from([1, 40, 10**6]),
)
def test_equals_a_sort_of_all_scores(
    name, users, n, candidates, exclude, exclude_seen, scores_per_chunk
):
    allowed = set(range(R.n_items) if candidates is None else candidates) - set(exclude or ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "SCORES_PER_CHUNK", scores_per_chunk)
        ids, scores = MODELS[name].recommend(
            R.user_ids[users],
            n,
            exclude_seen,
            candidates=None if candidates is None else R.item_ids[candidates],
            exclude=None if exclude is None else R.item_ids[exclude],
        )
    assert ids.shape == scores.shape == (len(users), n)
    assert ids.tolist() == by_sorting(MODELS[name], users, n, sorted(allowed), exclude_seen)
    assert (np.isneginf(scores) == (ids == None)).all()  # noqa: E711


@models
def test_a_cold_user_is_answered_by_the_biases_and_marked(name):
    model = MODELS[name]
    assert np.flatnonzero(model.cold_users(R.user_ids)).tolist() == [4]
    assert model.cold_users([R.user_ids[0], -77]).tolist() == [False, True]
    ids, scores = model.recommend(R.user_ids[[4]], n=R.n_items)
    if name == "mean":
        assert ids[0].tolist() == R.item_ids.tolist()
        return
    biases = MODELS["biases"].biases_
    np.testing.assert_allclose(scores[0], np.sort(biases.mean + biases.item)[::-1], rtol=1e-12)


@models
def test_unknown_users_and_candidates_are_errors_and_unknown_exclusions_are_not(name):
    model, users = MODELS[name], R.user_ids[:2]
    with pytest.raises(ValueError, match=r"1 of 1 user ids are not in .*leave them out"):
        model.recommend([-77])
    with pytest.raises(ValueError, match=r"1 of 2 item ids are not in .* for example -77"):
        model.recommend(users, candidates=[R.item_ids[0], -77])
    expected, _ = model.recommend(users, exclude=R.item_ids[:1])
    ids, _ = model.recommend(users, exclude=[-77, R.item_ids[0]])
    assert ids.tolist() == expected.tolist()
    for argument in ("candidates", "exclude"):
        with pytest.raises(TypeError, match="item ids of these ratings are integers"):
            model.recommend(users, **{argument: ["a"]})
        with pytest.raises(TypeError, match=r"pass \[3\] for one id"):
            model.recommend(users, **{argument: 3})


def test_candidates_of_a_sparse_matrix_are_indices():
    model = BiasBaseline().fit(sparse.csr_array(R.matrix))
    ids, _ = model.recommend([4], n=2, candidates=[14, 3])
    assert set(ids[0]) == {3, 14}
    with pytest.raises(IndexError, match="item index 15 is out of range"):
        model.recommend([4], candidates=[15])


def test_many_users_need_no_table_of_all_scores(monkeypatch):
    n_users, n_items = 3000, 2000
    rng = np.random.default_rng(0)
    ratings = Ratings.from_triples(
        np.arange(6000) % n_users, np.arange(6000) % n_items, rng.integers(1, 6, 6000)
    )
    model = BiasBaseline().fit(ratings)
    monkeypatch.setattr(base, "SCORES_PER_CHUNK", 50 * n_items)
    model.recommend(ratings.user_ids[:2])
    tracemalloc.start()
    try:
        model.recommend(ratings.user_ids, n=3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    table = 8 * n_users * n_items
    assert peak < table / 8


# The record


def test_check_fitted_is_public_and_returns_the_record():
    from autorec_np import models as public

    assert public.check_fitted is check_fitted
    for model in MODELS.values():
        assert check_fitted(model) is model.fitted_
        with pytest.raises(NotFittedError, match=f"this {type(model).__name__} is not fitted yet"):
            check_fitted(copy_unfitted(model))


@models
def test_fit_assigns_one_attribute_and_the_others_are_read_from_it(name):
    model = MODELS[name]
    assert vars(model).keys() - model.get_params().keys() == {"fitted_"}
    fresh = copy_unfitted(model)
    public = [one for one in dir(type(model)) if one.endswith("_") and not one.startswith("_")]
    assert {"ratings_", "rating_scale_", "user_counts_", "item_counts_"} <= set(public)
    for attribute in public:
        assert hasattr(model, attribute)
        assert not hasattr(fresh, attribute)
        with pytest.raises(NotFittedError, match=r"call fit\(ratings\) first"):
            getattr(fresh, attribute)
        with pytest.raises(AttributeError):
            setattr(model, attribute, None)


@models
def test_a_record_does_not_change(name):
    record = MODELS[name].fitted_
    for field in dataclasses.fields(record):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field.name, None)
    for array in (record.user_counts, record.item_counts, *record.counts.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@models
def test_copies_share_the_record_and_pickles_do_not(name):
    model = MODELS[name]
    assert copy.copy(model).fitted_ is model.fitted_
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.fitted_ is not model.fitted_
        assert other.user_counts_.tolist() == model.user_counts_.tolist()
        assert other.ratings_.triples()[2].tolist() == model.ratings_.triples()[2].tolist()


@models
def test_counts_are_those_of_the_ratings_and_of_an_unknown_id_0(name):
    record = MODELS[name].fitted_
    users, items, _ = R.positions()
    assert record.user_counts.tolist() == np.bincount(users, minlength=R.n_users).tolist()
    assert record.item_counts.tolist() == np.bincount(items, minlength=R.n_items).tolist()
    assert (record.counts["user"][-1], record.counts["item"][-1]) == (0, 0)
    assert record.ids("user") is R.user_ids
    assert record.ids("item") is R.item_ids


# Axes


@pytest.mark.parametrize(("row", "column"), [("item", "user"), ("user", "item")])
def test_axes_say_what_a_row_is(row, column):
    axes = Axes(row)
    assert axes.column == column
    assert axes.rows_and_columns("user", "item") == (row, column)
    assert axes.users_and_items(row, column) == ("user", "item")
    oriented = axes.orient(R.matrix)
    assert oriented.shape == axes.rows_and_columns(*R.shape)
    for user, item in ((0, 1), (3, 2), (5, 14)):
        assert oriented[axes.rows_and_columns(user, item)] == R.matrix[user, item]
    assert oriented.nnz == R.matrix.nnz
    assert oriented.has_sorted_indices


def test_what_a_row_is_is_decided_in_axes_alone():
    """Elsewhere one product has two shapes, and one look-up in CSR goes by rows or by columns."""
    folder = Path(autorec_np.__file__).parent
    compared = {
        path.name: len(re.findall(r"[!=]= \"(?:user|item)\"", path.read_text(encoding="utf-8")))
        for floor in ("models", "serving", "evaluation", "reports")
        for path in folder.joinpath(floor).glob("*.py")
    }
    found = {name: count for name, count in compared.items() if count}
    refused_of_lists = {"interactions.py": 1, "explanation.py": 1 + 1}  # new items, similar users
    shapes = {"scoring.py": 1, "ranking_autorec.py": 1}
    assert found == {"base.py": 3, **shapes, **refused_of_lists}


@pytest.mark.parametrize(
    "use",
    [
        lambda R: cross_validate(AutoRec, R),
        lambda R: search(AutoRec, R),
        lambda R: evaluate_ranking(AutoRec, R),
        lambda R: RatingRegressor(AutoRec).fit(np.column_stack(R.triples()[:2]), R.triples()[2]),
    ],
    ids=["cross_validate", "search", "evaluate_ranking", "RatingRegressor"],
)
def test_a_class_in_place_of_a_model_is_told_apart(use):
    with pytest.raises(TypeError, match=r"got its class: pass AutoRec\(\)\.$"):
        use(make_ratings(20, 10, 100, random_state=0))


def test_more_places_than_a_list_can_have_are_refused_before_memory_is():
    model = GlobalMean().fit(make_ratings(20, 10, 100, random_state=0))
    assert model.recommend([1], n=12)[0].shape == (1, 12)
    with pytest.raises(ValueError, match=r"^n is 1,000,000,000, but only 10 are known"):
        model.recommend([1], n=10**9)
