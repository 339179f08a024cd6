"""Explanations: Jacobians against numeric ones, influence weights against refitting."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from changed_records import with_block, with_record
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.network import Network
from autorec_np.data.ratings import Ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.gradcheck import check_gradient, complex_step
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import GlobalMean
from autorec_np.models.scoring import fit_column
from autorec_np.serving.explanation import (
    column_influence,
    column_weights,
    explain,
    input_derivatives,
    rating_derivatives,
    rating_influence,
)
from autorec_np.serving.model_file import load_model, save_model

SMALL = {"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 0, "dtype": "float64"}
SMALL |= {"implicit": 0, "inputs": "ratings"}
ARCHITECTURES = [
    ((4,), False),
    ((4, 3), False),
    ((4, 3, 4), False),
    ((4,), True),
    ((4, 3, 4), True),
]
ANALYTIC = [name for name, f in ACTIVATIONS.items() if f.analytic]


def data() -> Ratings:
    return make_ratings(n_users=30, n_items=20, n_ratings=250, random_state=3)


def row(values, columns, n_columns):
    values = np.asarray(values)
    return sparse.csr_array((values, columns, [0, len(columns)]), shape=(1, n_columns))


def output(network: Network, theta, values, columns, column):
    """Return y of one column for one row, in the dtype of the values."""
    dtype = np.result_type(theta, values)
    passed = network.forward(
        theta.astype(dtype),
        row(values, columns, network.n_columns),
        row([1.0], [column], network.n_columns),
    )
    return passed.outputs[0]


# The Jacobian, (30)


@pytest.mark.parametrize(("sizes", "tied"), ARCHITECTURES, ids=str)
@pytest.mark.parametrize("output_activation", ACTIVATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_by_the_inputs_are_right(activation, output_activation, sizes, tied):
    network = Network(7, sizes, activation, output_activation, tied)
    generator = np.random.default_rng(1)
    theta = generator.normal(0, 0.6, network.layout.size)
    columns, values = np.array([0, 2, 3, 6]), np.array([4.0, 0.0, 1.0, 5.0])
    column = 2 if tied else 5  # rated, and not

    def value(x):
        return output(network, theta, x, columns, column)

    def fun(x):
        return float(value(x)), input_derivatives(network, theta, row(x, columns, 7), column)

    if activation in ANALYTIC and output_activation in ANALYTIC:
        exact = complex_step(value, values)
        np.testing.assert_allclose(fun(values)[1], exact, rtol=1e-12, atol=1e-14)
    else:
        assert check_gradient(fun, values).passed


@pytest.mark.parametrize("output_activation", ["identity", "sigmoid", "tanh"])
@pytest.mark.parametrize("orientation", ["item", "user"])
def test_derivatives_of_scores_are_in_rating_units(orientation, output_activation):
    ratings = data()
    model = AutoRec(
        orientation,
        **{**SMALL, "hidden_layer_sizes": (5, 3)},
        output_activation=output_activation,
        baseline=None,
    ).fit(ratings)
    user, item = ratings.user_ids[4], ratings.item_ids[7]
    ids, values, derivatives = rating_derivatives(model, user, item)
    users, items, given = ratings.triples()
    mine = items == item if orientation == "item" else users == user
    others = users if orientation == "item" else items
    assert dict(zip(ids, values, strict=True)) == dict(zip(others[mine], given[mine], strict=True))

    def score(changed):
        matrix = ratings.matrix.astype(np.float64)
        if orientation == "item":
            matrix = matrix.T.tocsr()
        place = 7 if orientation == "item" else 4
        matrix.data[matrix.indptr[place] : matrix.indptr[place + 1]] = changed
        matrix.data = model.input_map_(matrix.data)
        codes = model.network_.encode(model.theta_, matrix)
        told = with_record(model, codes=codes).fitted_
        return float(told.score_pairs(np.array([4]), np.array([7]), cold=0.0)[0])

    report = check_gradient(lambda x: (score(x), derivatives), values)
    assert report.passed


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_contributions_of_a_linear_network_are_the_changes_without_each_rating(orientation):
    """And they add up to the score of the ratings minus that of none."""
    ratings = data()
    model = AutoRec(orientation, **SMALL, activation="identity").fit(ratings)
    user, item = ratings.user_ids[0], ratings.item_ids[1]
    by = "users" if orientation == "item" else "items"
    ids, contributions = explain(model, user, item, n=100, by=by)
    known = ratings.user_ids if by == "users" else ratings.item_ids
    columns = np.searchsorted(known, ids.astype(known.dtype))
    values = dict(zip(*rating_derivatives(model, user, item)[:2], strict=True))
    x = model.input_map_(np.array([values[one] for one in ids]))
    column = 0 if orientation == "item" else 1

    def score(x, columns):
        order = np.argsort(columns)
        y = output(model.network_, model.theta_, x[order], columns[order], column)
        return y / model.output_map_.factor

    whole = score(x, columns)
    for place in range(len(ids)):
        without = score(np.delete(x, place), np.delete(columns, place))
        np.testing.assert_allclose(contributions[place], whole - without, rtol=0, atol=1e-12)
    nothing = score(np.empty(0), np.empty(0, int))
    np.testing.assert_allclose(contributions.sum(), whole - nothing, rtol=0, atol=1e-12)


# The influence on a column, (32) to (34)


@given(
    n=st.integers(1, 12),
    k=st.integers(1, 6),
    penalty=st.sampled_from([0.0, 0.5, 40.0]),
    seed=st.integers(0, 10**6),
    rated=st.booleans(),
)
def test_weights_and_changes_are_those_of_refitting(n, k, penalty, seed, rated):
    generator = np.random.default_rng(seed)
    codes, targets = generator.normal(size=(n, k)), generator.normal(size=n)
    code = codes[0] if rated else generator.normal(size=k)
    weights, changes = column_influence(codes, targets, penalty, code)

    def refitted(rows):
        weight, bias = fit_column(codes[rows], targets[rows], penalty)
        return code @ weight + bias

    everyone = np.arange(n)
    np.testing.assert_allclose(weights.sum(), 1, rtol=0, atol=1e-9)
    np.testing.assert_allclose(weights @ targets, refitted(everyone), rtol=0, atol=1e-8)
    determined = np.isfinite(changes)
    if penalty:
        assert determined.all() == (n > 1)
    for place in np.flatnonzero(determined):
        expected = refitted(everyone) - refitted(np.delete(everyone, place))
        np.testing.assert_allclose(changes[place], expected, rtol=1e-6, atol=1e-8)
    if not penalty:
        assert determined.all() == (n > k + 1)


@given(
    n=st.integers(0, 12),
    k=st.integers(1, 6),
    penalty=st.sampled_from([0.0, 1e-9, 1e-4, 0.5, 40.0]),
    seed=st.integers(0, 10**6),
)
def test_weights_alone_are_the_same(n, k, penalty, seed):
    generator = np.random.default_rng(seed)
    codes, code = generator.normal(size=(n, k)), generator.normal(size=k)
    weights, _ = column_influence(codes, np.zeros(n), penalty, code)
    np.testing.assert_allclose(column_weights(codes, penalty, code), weights, rtol=0, atol=1e-8)


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_an_explanation_decomposes_nothing(orientation, monkeypatch):
    R = make_ratings(n_users=30, n_items=20, n_ratings=300, random_state=2)
    options = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, "implicit": 0}
    model = AutoRec(orientation, **options).fit(R)
    influence = rating_influence(model, R.user_ids[3], R.item_ids[5])
    monkeypatch.setattr(np.linalg, "svd", None)
    by = f"{model.fitted_.axes.row}s"
    ids, contributions = explain(model, R.user_ids[3], R.item_ids[5], n=99, by=by)
    found = dict(zip(ids, contributions, strict=True))
    expected = dict(zip(influence.ids, influence.targets * influence.weights, strict=True))
    assert found == pytest.approx(expected, abs=1e-10)


def test_weights_do_not_depend_on_the_targets():
    generator = np.random.default_rng(0)
    codes, code = generator.normal(size=(8, 3)), generator.normal(size=3)
    one, _ = column_influence(codes, generator.normal(size=8), 2.0, code)
    other, _ = column_influence(codes, generator.normal(size=8), 2.0, code)
    assert np.array_equal(one, other)


@pytest.mark.parametrize("options", [{}, {"tied": True}, {"baseline": "mean"}], ids=str)
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("orientation", ["item", "user"])
def test_influence_of_a_model_is_that_of_its_refitted_column(orientation, early_stopping, options):
    ratings = data()
    model = AutoRec(
        orientation,
        **SMALL,
        regularization={"encoder.weight": 3.0, "decoder.weight": 1.5},
        early_stopping=early_stopping,
        **options,
    ).fit(ratings)
    training = model.cold_baseline_.ratings_
    user_at, item_at = 4, 7
    user, item = ratings.user_ids[user_at], ratings.item_ids[item_at]
    ids, targets, weights, _ = rating_influence(model, user, item)
    dense = np.full(ratings.shape, np.nan)
    rows, columns, values = training.positions()
    dense[rows, columns] = values
    base = np.full(ratings.shape, model.cold_baseline_.biases_.mean)
    if "baseline" not in options:
        base += model.cold_baseline_.biases_.user[:, np.newaxis]
        base += model.cold_baseline_.biases_.item
    residuals, known = (dense - base).T, ratings.item_ids
    line, place = residuals[:, user_at], item_at
    if orientation == "user":
        line, known, place = residuals[item_at], ratings.user_ids, user_at
    rated = np.flatnonzero(~np.isnan(line))
    assert ids.tolist() == known[rated].tolist()
    np.testing.assert_allclose(targets, line[rated], rtol=0, atol=1e-12)
    penalty = 4.5 if "tied" in options else 1.5
    weight, bias = fit_column(model.codes_[rated], line[rated], penalty)
    np.testing.assert_allclose(
        weights @ targets, model.codes_[place] @ weight + bias, rtol=0, atol=1e-10
    )
    by = "items" if orientation == "item" else "users"
    best, contributions = explain(model, user, item, n=3, by=by)
    order = np.argsort(-np.abs(weights * targets))[:3]
    assert best.tolist() == ids[order].tolist()
    np.testing.assert_allclose(contributions, (weights * targets)[order], rtol=1e-12)


def test_a_converged_column_is_the_refitted_one():
    """Where the gradient by a column's decoder is 0, the column is the ridge solution."""
    model = AutoRec(
        "item",
        hidden_layer_sizes=(3,),
        solver="lbfgs",
        max_iter=1000,
        tol=0.0,
        dtype="float64",
        regularization={"encoder.weight": 2.0, "decoder.weight": 2.0},
        random_state=0,
    )
    ratings = data()
    model.fit(ratings)
    for user_at, item_at in ((0, 0), (3, 9), (11, 2)):
        found = rating_influence(model, ratings.user_ids[user_at], ratings.item_ids[item_at])
        pair = np.array([user_at]), np.array([item_at])
        trained = model.fitted_.score_pairs(*pair)[0] - model.fitted_.baseline.score_pairs(*pair)[0]
        np.testing.assert_allclose(found.weights @ found.targets, trained, rtol=0, atol=1e-3)


# Explanations


def test_the_checkerboard_is_explained_by_its_colors():
    """Even users love even items and hate odd ones: what is like the item speaks for it."""
    users, items = np.divmod(np.arange(20 * 16), 16)
    liked = np.where(users % 2 == items % 2, 5.0, 1.0)
    ratings = Ratings.from_triples(users, items, liked)
    for orientation in ("item", "user"):
        model = AutoRec(
            orientation, hidden_layer_sizes=(2,), solver="lbfgs", regularization=1.0, random_state=0
        ).fit(ratings)
        for by in ("items", "users"):
            ids, contributions = explain(model, 0, 2, n=20, by=by)
            n_alike = 8 if by == "items" else 10
            if (by == "items") == (orientation == "item"):  # the side of the influence
                assert (ids[:n_alike] % 2 == 0).all()
                assert (contributions[:n_alike] > 0.1).all()
                assert (np.abs(contributions[n_alike:]) < 0.02).all()


def test_the_strongest_come_first_and_ties_by_id():
    ratings = data()
    model = AutoRec("user", **SMALL).fit(ratings)
    first = model.network_.layout.views(model.theta_)["encoder.weight"][0]
    model = with_block(model, "encoder.weight", first)
    user, item = ratings.user_ids[0], ratings.item_ids[0]
    ids, contributions = explain(model, user, item, n=100)
    keys = [(-abs(c), one) for c, one in zip(contributions, ids, strict=True)]
    assert keys == sorted(keys)
    assert len(ids) == model.user_counts_[0]
    short = explain(model, user, item, n=2)
    assert short[0].tolist() == ids[:2].tolist()


@pytest.mark.parametrize("by", ["items", "users"])
@pytest.mark.parametrize("orientation", ["item", "user"])
def test_without_ratings_there_is_nothing_to_explain(orientation, by):
    matrix = data().matrix
    indptr = np.append(matrix.indptr, matrix.indptr[-1])
    matrix = sparse.csr_array((matrix.data, matrix.indices, indptr), shape=(31, 21))
    model = AutoRec(orientation, **SMALL).fit(matrix)
    ids, contributions = explain(model, 30, 20, by=by)
    assert ids.shape == contributions.shape == (0,)


def test_refusals(tmp_path):
    ratings = data()
    user, item = ratings.user_ids[0], ratings.item_ids[0]
    model = AutoRec(**SMALL, output_activation="sigmoid").fit(ratings)
    with pytest.raises(ValueError, match=r"'sigmoid' a score is not linear in the ratings of its"):
        explain(model, user, item)
    assert len(explain(model, user, item, by="users")[0]) > 0
    with pytest.raises(ValueError, match="by must be one of 'items', 'users', got 'both'"):
        explain(model, user, item, by="both")
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        explain(model, user, item, n=0)
    with pytest.raises(ValueError, match="1 of 1 user ids are not in the training ratings"):
        explain(model, 10**9, item)
    with pytest.raises(NotFittedError):
        explain(AutoRec(), user, item)
    with pytest.raises(TypeError, match="only an AutoRec can be explained, got GlobalMean"):
        explain(GlobalMean().fit(ratings), user, item)
    save_model(AutoRec(**SMALL).fit(ratings), tmp_path / "model", include_ratings=False)
    for by in ("items", "users"):
        with pytest.raises(ValueError, match="needs the training ratings, but the model was saved"):
            explain(load_model(tmp_path / "model"), user, item, by=by)


# What is there because it was rated, whatever the rating

BOTH = {"implicit": 3, "inputs": "planes"}


@pytest.mark.parametrize("options", [{}, BOTH])
def test_the_pattern_is_told_apart(options):
    ratings = data()
    model = AutoRec("user", **{**SMALL, **options}).fit(ratings)
    for by in ("items", "users"):
        found = explain(model, ratings.user_ids[0], ratings.item_ids[1], by=by)
        ids, contributions = found
        assert ids.shape == contributions.shape == found.pattern.shape
        assert found.pattern.dtype == np.float64
        assert found.pattern.any() == bool(options)
        again = pickle.loads(pickle.dumps(found))
        assert [part.tolist() for part in again] == [part.tolist() for part in found]
        assert again.pattern.tolist() == found.pattern.tolist()


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_parts_of_the_planes_are_the_changes_of_a_linear_network(orientation):
    """Each rating without its residual, and without both planes."""
    ratings = data()
    model = AutoRec(orientation, **{**SMALL, **BOTH}, activation="identity").fit(ratings)
    user, item = ratings.user_ids[0], ratings.item_ids[1]
    by = "users" if orientation == "item" else "items"
    found = explain(model, user, item, n=100, by=by)
    ids, values, derivatives = rating_derivatives(model, user, item)
    biases = model.cold_baseline_.biases_
    columns = np.searchsorted(
        ratings.user_ids if by == "users" else ratings.item_ids, ids.astype(int)
    )
    pairs = (columns, np.full(len(ids), 1)) if by == "users" else (np.zeros(len(ids), int), columns)
    residuals = values - biases.at(*pairs)
    weight = model.fitted_.weights["decoder.weight"][0 if by == "users" else 1]
    V = np.split(model.fitted_.weights["encoder.weight"], 2)
    by_pattern = 3.0 * V[0][columns] @ weight / model.output_map_.factor
    by_rating = V[1][columns] @ weight
    np.testing.assert_allclose(derivatives, by_rating, rtol=1e-9)
    whole = dict(zip(ids, residuals * by_rating + by_pattern, strict=True))
    assert dict(zip(*found, strict=True)) == pytest.approx(whole, rel=1e-9, abs=1e-12)
    parts = dict(zip(ids, by_pattern, strict=True))
    assert dict(zip(found[0], found.pattern, strict=True)) == pytest.approx(parts, rel=1e-9)


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_parts_of_the_implicit_decoder_add_up_to_its_share(orientation):
    """h . [N Y, 0] by the pattern, and h . w + b by the ratings."""
    ratings = data()
    model = AutoRec(orientation, **{**SMALL, **BOTH}, regularization=1.5).fit(ratings)
    user, item = ratings.user_ids[4], ratings.item_ids[7]
    row, column = (7, 4) if orientation == "item" else (4, 7)
    by = "items" if orientation == "item" else "users"
    found = explain(model, user, item, n=100, by=by)
    share, code = model.fitted_.implicit.shares[column], model.codes_[row]
    factor = model.output_map_.factor
    np.testing.assert_allclose(found.pattern.sum(), code[:3] @ share / factor, rtol=1e-9)
    influence = rating_influence(model, user, item)
    rated = np.searchsorted(
        ratings.item_ids if by == "items" else ratings.user_ids, influence.ids.astype(int)
    )
    codes = model.codes_[rated]
    weight, bias = fit_column(codes, factor * influence.targets, model.fitted_.decoder_penalty)
    by_ratings = (code @ weight + bias) / factor
    np.testing.assert_allclose(influence.weights @ influence.targets, by_ratings, rtol=1e-9)
    np.testing.assert_allclose(found[1].sum(), found.pattern.sum() + by_ratings, rtol=1e-9)


@given(
    n=st.integers(1, 9),
    k=st.integers(1, 5),
    q=st.integers(1, 5),
    penalty=st.sampled_from([0.5, 40.0]),
    seed=st.integers(0, 10**6),
)
def test_changes_with_an_implicit_decoder_are_those_of_refitting(n, k, q, penalty, seed):
    generator = np.random.default_rng(seed)
    q = min(q, k)
    codes, targets, code = (
        generator.normal(size=(n, k)),
        generator.normal(size=n),
        generator.normal(size=k),
    )
    own = generator.normal(size=(n, q)) * (generator.random((n, 1)) < 0.8)  # some have no y

    def refitted(rows):
        told = own[rows]
        share = told.sum(axis=0) / np.sqrt(max(told.any(axis=1).sum(), 1))
        weight, bias = fit_column(
            codes[rows], targets[rows], penalty, offset=codes[rows, :q] @ share
        )
        return code @ weight + bias + code[:q] @ share

    everyone = np.arange(n)
    share = own.sum(axis=0) / np.sqrt(max(own.any(axis=1).sum(), 1))
    _, changes = column_influence(codes, targets - codes[:, :q] @ share, penalty, code, own)
    assert np.isfinite(changes).all() == (n > 1)
    for place in np.flatnonzero(np.isfinite(changes)):
        expected = refitted(everyone) - refitted(np.delete(everyone, place))
        np.testing.assert_allclose(changes[place], expected, rtol=1e-6, atol=1e-8)
