"""New ratings of a fitted model, against the definitions: what they touch, and nothing else."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from small_models import SMALL, R, as_triples, axes, fit, newcomers, variants

from autorec_np.core.kernels import with_data
from autorec_np.data.ratings import Ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import Biases, fit_biases
from autorec_np.models.newcomers import merge, refresh_biases
from autorec_np.models.scoring import baseline_at, fit_column, inputs_of
from autorec_np.serving.model_file import load_model, save_model
from autorec_np.training.trainer import Trainer, reliability

TRIPLES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 5)),
    min_size=1,
    max_size=12,
    unique_by=lambda triple: triple[:2],
)


@settings(deadline=None, max_examples=60)
@given(old=TRIPLES, new=TRIPLES, times=st.booleans())
def test_a_later_rating_of_a_pair_replaces_the_earlier(old, new, times):
    parts = [
        Ratings.from_triples(
            *zip(*triples, strict=True), range(len(triples)) if times else None, scale=(1, 5)
        )
        for triples in (old, new)
    ]
    merged = merge(*parts, indexed=False)
    told = {(u, i): r for u, i, r in old + new}
    assert {(u, i): r for u, i, r in zip(*merged.triples(), strict=True)} == told
    for name in ("user_ids", "item_ids"):
        expected = sorted({*getattr(parts[0], name), *getattr(parts[1], name)})
        assert getattr(merged, name).tolist() == expected
    assert merged.scale == (1, 5)
    assert (merged.timestamps is not None) == times
    last_pair = merged.triples()[0][-1], merged.triples()[1][-1]
    assert last_pair == new[-1][:2]  # in the order of the file


NEW = (R.user_ids[[2, 2, 5]], R.item_ids[[7, 1, 7]], [5.0, 1.0, 2.0])


def oriented(model):
    matrix = model.ratings_.matrix
    return matrix.T.tocsr() if model.orientation_ == "item" else matrix


def read_by_hand(model):
    """What the network reads of all ratings; planes side by side, as one wide matrix."""
    rated, dtype = oriented(model), model.theta_.dtype
    if model.inputs_ == "ratings":
        return inputs_of(rated, model.input_map_, dtype)
    rows = np.repeat(np.arange(rated.shape[0]), np.diff(rated.indptr))
    pairs = (rated.indices, rows) if model.orientation_ == "item" else (rows, rated.indices)
    residuals = model.input_map_.factor * (rated.data - model.cold_baseline_.biases_.at(*pairs))
    planes = [with_data(rated, plane) for plane in (np.full(rated.nnz, 3.0), residuals)]
    return sparse.csr_array(sparse.hstack(planes, format="csr").astype(dtype))


def check_touched(before, model, users, items):
    """Touched rows have their code, touched columns the ridge solution, and no others change."""
    by_item = model.orientation_ == "item"
    rows, columns = (items, users) if by_item else (users, items)
    every_code = model.network_.encode(model.theta_, read_by_hand(model))
    np.testing.assert_allclose(model.codes_[rows], every_code[rows], rtol=1e-5, atol=1e-6)
    views = model.network_.layout.views(model.theta_)
    by_column = oriented(model).T.tocsr()
    penalty = model.regularization_["decoder.weight"] * model.output_map_.factor**2
    for column in columns:
        rated = by_column.indices[by_column.indptr[column] : by_column.indptr[column + 1]]
        own = np.full(len(rated), column)
        baseline = baseline_at(model.fitted_.baseline, *((own, rated) if by_item else (rated, own)))
        ratings = by_column.data[by_column.indptr[column] : by_column.indptr[column + 1]]
        targets = model.output_map_.factor * (ratings - baseline) + model.output_map_.offset
        share = np.zeros(model.codes_.shape[1])
        if model.implicit_:
            Y = model.fitted_.implicit.weight[rated]
            expected = Y.sum(axis=0) / np.sqrt(Y.any(axis=1).sum())
            share[: model.implicit_] = model.fitted_.implicit.shares[column]
            np.testing.assert_allclose(share[: model.implicit_], expected, rtol=1e-5, atol=1e-7)
        weight, bias = fit_column(
            model.codes_[rated],
            targets,
            penalty,
            model.network_.output_activation,
            model.codes_[rated] @ share,
        )
        kept = reliability(len(rated), model.shrinkage_)
        weight, bias = kept * (weight + share), kept * bias
        np.testing.assert_allclose(views["decoder.weight"][column], weight, rtol=1e-4, atol=1e-6)
        assert views["decoder.bias"][column] == pytest.approx(bias, rel=1e-4, abs=1e-6)
    if before is None:
        return
    other_users = np.setdiff1d(np.arange(R.n_users), users)
    other_items = np.setdiff1d(np.arange(R.n_items), items)
    pairs = np.repeat(other_users, len(other_items)), np.tile(other_items, len(other_users))
    pairs = R.user_ids[pairs[0]], R.item_ids[pairs[1]]
    np.testing.assert_array_equal(model.predict(*pairs), before.predict(*pairs))


@variants
def test_new_ratings_change_what_they_touch_and_nothing_else(variant):
    before = fit(variant)
    model = copy.deepcopy(before)
    theta = before.theta_.copy()
    assert model.partial_fit(NEW) is model
    np.testing.assert_array_equal(before.theta_, theta)
    expected = {(u, i): r for u, i, r in zip(*R.triples(), strict=True)}
    expected |= {(u, i): r for u, i, r in zip(*NEW, strict=True)}
    assert {(u, i): r for u, i, r in zip(*model.ratings_.triples(), strict=True)} == expected
    check_touched(before, model, np.array([2, 5]), np.array([1, 7]))
    assert model.user_counts_.tolist() == np.diff(model.ratings_.matrix.indptr).tolist()
    users, items, _ = NEW
    assert not np.array_equal(model.predict(users, items), before.predict(users, items))


@variants
def test_biases_of_the_touched_are_at_their_minimum(variant):
    model = fit(variant).partial_fit(NEW)
    biases, lam = model.cold_baseline_.biases_, model.cold_baseline_.regularization
    users, items, ratings = model.ratings_.positions()
    residuals = ratings - biases.at(users, items)
    for touched, of, own in ((users, [2, 5], biases.user), (items, [1, 7], biases.item)):
        for one in of:  # the derivative of (19)
            slope = residuals[touched == one].sum() - lam * own[one]
            assert abs(slope) < 1e-4 * (lam + (touched == one).sum())
    assert biases.mean == fit(variant).cold_baseline_.biases_.mean


@axes
@variants
def test_new_ids_grow_the_model(variant, axis):
    before = fit(variant)
    model = copy.deepcopy(before)
    ids, known, ratings = newcomers(axis)
    model.partial_fit(as_triples(axis, ids - 910, known, ratings))  # before the ids that there are
    grown = model.ratings_.user_ids if axis == "user" else model.ratings_.item_ids
    old = R.user_ids if axis == "user" else R.item_ids
    assert grown.tolist() == [-9, -7, -5, *old]
    new_positions = (
        model.ratings_.user_positions if axis == "user" else model.ratings_.item_positions
    )
    known_positions = (
        model.ratings_.item_positions if axis == "user" else model.ratings_.user_positions
    )
    touched = np.unique(new_positions([-9, -7, -5])), np.unique(known_positions(known))
    users, items = touched if axis == "user" else touched[::-1]
    check_touched(None, model, users, items)
    views = model.network_.layout.views(model.theta_)
    last_views = before.network_.layout.views(before.theta_)
    if axis == model.orientation_:  # new rows: every weight of the encoder stays
        np.testing.assert_array_equal(views["encoder.weight"], last_views["encoder.weight"])
        if model.implicit_:  # and of y, which the new rows have not
            np.testing.assert_array_equal(model.fitted_.implicit.weight[:3], 0.0)
            np.testing.assert_array_equal(
                model.fitted_.implicit.weight[3:], before.fitted_.implicit.weight
            )
    else:
        for plane, last in zip(
            np.split(views["encoder.weight"], 1 + (model.inputs_ == "planes")),
            np.split(last_views["encoder.weight"], 1 + (model.inputs_ == "planes")),
            strict=True,
        ):
            np.testing.assert_array_equal(plane[:3], 0.0)
            np.testing.assert_array_equal(plane[3:], last)
    rated = known[ids == 901]
    own = np.full(len(rated), -9)
    predicted = model.predict(*((own, rated) if axis == "user" else (rated, own)))
    assert np.isfinite(predicted).all()
    assert not model.cold_pairs(*((own, rated) if axis == "user" else (rated, own))).any()


@axes
def test_a_warm_start_trains_on_after_growth(axis, monkeypatch):
    starts, run = [], Trainer.run

    def spy(trainer, objective, theta, *others):
        starts.append(theta.copy())
        return run(trainer, objective, theta, *others)

    model = fit(warm_start=True).partial_fit(as_triples(axis, *newcomers(axis)))
    end = model.theta_.copy()
    monkeypatch.setattr(Trainer, "run", spy)
    model.fit(model.ratings_)
    np.testing.assert_array_equal(starts[0], end)
    assert not np.array_equal(model.theta_, end)


def test_a_column_without_ratings_forgets_its_random_weight():
    rated = np.asarray(R.triples()[0]) != R.user_ids[2]
    model = fit(data=R.select(rated))
    assert model.network_.layout.views(model.theta_)["encoder.weight"][2].any()
    model.partial_fit(NEW)
    assert not model.network_.layout.views(model.theta_)["encoder.weight"][2].any()


def test_a_sparse_matrix_may_grow_and_indices_may_not_jump():
    model = fit(data=sparse.csr_array(R.matrix))
    model.partial_fit(sparse.csr_array(([5.0], ([31], [2])), shape=(32, R.n_items)))
    assert model.ratings_.shape == (32, R.n_items)
    assert model.cold_users([29, 30, 31]).tolist() == [False, True, False]
    assert np.isfinite(model.predict([30, 31], [0, 0])).all()
    for outside in (33, -1):
        with pytest.raises(
            IndexError, match=f"user index {outside} is out of range.*without a gap"
        ):
            model.partial_fit(([outside], [0], [3.0]))


def test_partial_fit_before_fit_is_fit():
    model = AutoRec(**SMALL)
    assert model.partial_fit(R) is model
    np.testing.assert_array_equal(model.theta_, fit().theta_)


@pytest.mark.parametrize(
    ("changes", "new", "error", "message"),
    [
        ({"tied": True}, NEW, ValueError, r"tied=True.*call fit with all the ratings"),
        ({}, ([0], [0], [9.0]), ValueError, "outside the stated scale"),
        ({}, (["a"], [0], [3.0]), TypeError, "user ids of the model are integers.*strings"),
        ({}, {3: 4.0}, TypeError, "ratings must be"),
    ],
)
def test_a_refused_partial_fit_leaves_the_model_as_it_was(changes, new, error, message):
    model = fit(**changes)
    theta, ratings = model.theta_.copy(), model.ratings_
    with pytest.raises(error, match=message):
        model.partial_fit(new)
    np.testing.assert_array_equal(model.theta_, theta)
    assert model.ratings_ is ratings


@pytest.mark.parametrize("changes", [{}, {"early_stopping": True}, {"baseline": "mean"}])
def test_a_grown_model_can_be_saved(changes, tmp_path):
    model = fit(**changes).partial_fit(as_triples("user", *newcomers("user")))
    save_model(model, tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    users, items, _ = model.ratings_.triples()
    np.testing.assert_array_equal(loaded.predict(users, items), model.predict(users, items))
    np.testing.assert_array_equal(loaded.user_counts_, model.user_counts_)
    assert loaded.partial_fit(NEW).recommend([901])[0].tolist() == (
        model.partial_fit(NEW).recommend([901])[0].tolist()
    )


@pytest.mark.parametrize(
    "nothing",
    [
        ([], [], []),
        ([], [], [], []),
        sparse.csr_array(R.shape),
        R.select(np.zeros(len(R), bool)),
        R.to_frame().iloc[:0],
        pd.DataFrame({"user": [], "item": [], "rating": []}),
        pd.DataFrame(),
    ],
    ids=["arrays", "times", "matrix", "Ratings", "frame", "untyped", "bare"],
)
def test_a_night_without_ratings_is_no_error_and_changes_nothing(nothing):
    model = fit()
    before = model.fitted_
    assert model.partial_fit(nothing) is model
    assert model.fitted_ is before
    with pytest.raises(ValueError, match=r"no ratings|holds no|not certain|not rated"):
        AutoRec(**SMALL).partial_fit(nothing)


@pytest.mark.parametrize("factor", [1e-6, 1e4])
def test_refreshed_biases_follow_the_unit_of_the_ratings(factor):
    matrix = R.matrix.astype(np.float64)
    biases = fit_biases(matrix, 5.0)
    touched = np.arange(10), np.arange(12)
    start = biases._replace(item=biases.item + 1.0)
    expected = refresh_biases(start, (matrix, matrix.T.tocsr()), touched, 5.0)
    mapped = with_data(matrix, factor * matrix.data)
    start = Biases(*(factor * part for part in start))
    got = refresh_biases(start, (mapped, mapped.T.tocsr()), touched, 5.0)
    np.testing.assert_allclose(got.user / factor, expected.user, rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.item / factor, expected.item, rtol=0, atol=1e-9)
