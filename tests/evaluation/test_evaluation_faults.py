"""Faults that published AutoRec codes have, each with the test that would find it here."""

from __future__ import annotations

import copy
import inspect
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from matrices import untiled
from scipy import sparse

from autorec_np.core import network
from autorec_np.core.objective import Objective
from autorec_np.core.parameters import ParameterLayout
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import rmse, train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.engine.tiled import Tiled, by_activity, reordered
from autorec_np.evaluation.cross_validation import evaluate
from autorec_np.models import autorec, scoring
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.training.trainer import Trainer

SMALL = {"hidden_layer_sizes": (6,), "max_iter": 4, "n_jobs": 1, "random_state": 0}
SMALL |= {"implicit": 0, "inputs": "ratings"}
ORIENTATIONS = pytest.mark.parametrize("orientation", ["item", "user"])
SOLVERS = pytest.mark.parametrize("solver", ["adam", "sgd", "rprop", "lbfgs", "scipy-lbfgs"])
pytestmark = pytest.mark.filterwarnings("ignore::autorec_np.training.trainer.ConvergenceWarning")


@pytest.fixture(scope="module")
def R():
    return make_ratings(40, 30, 600, random_state=0)


def marked(R, held_out):
    """The same pairs; every held-out rating becomes a number that occurs nowhere else."""
    users, items, ratings = R.triples()
    values = np.where(held_out, 4.375, ratings)
    return Ratings.from_triples(users, items, values, scale=R.scale)


@pytest.fixture
def parts(R):
    """A training part, and a test part whose ratings are all 4.375."""
    held_out = np.zeros(len(R), dtype=bool)
    held_out[np.random.default_rng(0).permutation(len(R))[:100]] = True
    whole = marked(R, held_out)
    return whole.select(~held_out), whole.select(held_out)


class Run(NamedTuple):
    """What a training run is given."""

    objective: Objective
    theta: np.ndarray
    inputs: sparse.csr_array
    targets: sparse.csr_array


@pytest.fixture
def runs(monkeypatch):
    """Every training run."""
    seen = []
    run = Trainer.run

    def spy(trainer, objective, theta, inputs, targets, *others):
        seen.append(Run(objective, theta.copy(), inputs, targets))
        return run(trainer, objective, theta, inputs, targets, *others)

    monkeypatch.setattr(Trainer, "run", spy)
    return seen


@pytest.fixture
def read(monkeypatch):
    """Every matrix that a network reads, and whether in order of activity, as in training."""
    seen = []

    def spied(method):
        def spy(self, theta, inputs, *others):
            tiled = isinstance(inputs, Tiled)
            seen.append((untiled(inputs) if tiled else inputs, tiled))
            return method(self, theta, inputs, *others)

        return spy

    for name in ("encode", "forward"):
        monkeypatch.setattr(network.Network, name, spied(getattr(network.Network, name)))
    return seen


# Test ratings as input


@ORIENTATIONS
@SOLVERS
def test_the_network_reads_training_ratings_only(orientation, solver, parts, read):
    train, test = parts
    model = AutoRec(**SMALL, orientation=orientation, solver=solver, corruption=0.0)
    evaluate(model, train, test)
    fitted = copy.copy(model).fit(train)
    fitted.predict(*test.triples()[:2])
    fitted.score(*test.triples())
    fitted.recommend(train.user_ids)
    assert len(read) >= 8
    oriented = train.matrix.T.tocsr() if orientation == "item" else train.matrix
    oriented = scoring.inputs_of(oriented, fitted.input_map_, np.float32)
    rows_of_training = {
        sorted_columns: {tuple(row) for row in matrix.toarray().round(3)}
        for sorted_columns, matrix in [
            (False, oriented),
            (True, reordered(oriented, *by_activity(oriented))),
        ]
    }
    for matrix, sorted_columns in read:
        assert not np.isclose(matrix.data, fitted.input_map_(np.array(4.375))).any()
        rows = {tuple(row) for row in matrix.toarray().astype(np.float32).round(3)}
        assert rows <= rows_of_training[sorted_columns]


@ORIENTATIONS
def test_the_spy_would_find_a_leak(orientation, parts, read):
    train, test = parts
    model = AutoRec(**SMALL, orientation=orientation).fit(train)
    matrix = test.matrix.T.tocsr() if orientation == "item" else test.matrix
    model.network_.encode(model.theta_, matrix)  # what the faulty codes do to predict
    assert 4.375 in read[-1][0].data


@ORIENTATIONS
def test_predictions_do_not_depend_on_the_test_ratings(orientation, R):
    train, test = train_test_split(R, 0.2, 0)
    users, items, ratings = test.triples()
    turned = Ratings.from_triples(users, items, 6 - ratings, scale=(1, 5))
    model = AutoRec(**SMALL, orientation=orientation).fit(train)
    predicted = model.predict(users, items)
    again = evaluate(AutoRec(**SMALL, orientation=orientation), train, test)
    other = evaluate(AutoRec(**SMALL, orientation=orientation), train, turned)
    assert again.rmse == rmse(ratings, predicted)
    assert other.rmse == rmse(6 - ratings, predicted)


def test_predicting_takes_pairs_and_no_matrix():
    predict = inspect.signature(AutoRec.predict).parameters
    assert list(predict) == ["self", "users", "items", "interval"]
    score = inspect.signature(AutoRec.score).parameters
    assert list(score) == ["self", "users", "items", "ratings"]


@pytest.mark.parametrize("model", [GlobalMean(), BiasBaseline()])
def test_the_baselines_know_training_ratings_only(model, parts):
    train, test = parts
    with_other_values = marked(test, np.zeros(len(test), dtype=bool))
    first, second = evaluate(model, train, test), evaluate(model, train, with_other_values)
    assert first.rmse == second.rmse
    fitted = model.fit(train)
    assert fitted.user_counts_.sum() == len(train)


# The loss of all cells


def deterministic_start(layout, n_rated_columns):
    """Weights that do not depend on how many columns follow those with ratings."""
    theta = np.zeros(layout.size)
    for name, view in layout.views(theta).items():
        if name.endswith(".weight"):
            rated = view[:n_rated_columns]
            rated[...] = 0.3 * np.sin(1.0 + np.arange(rated.size)).reshape(rated.shape)
    return theta


@ORIENTATIONS
@SOLVERS
@pytest.mark.parametrize("baseline", ["bias", None])
def test_empty_columns_do_not_change_the_loss(orientation, solver, baseline, R, monkeypatch):
    n_columns = R.n_users if orientation == "item" else R.n_items
    monkeypatch.setattr(
        ParameterLayout,
        "initialize",
        lambda layout, *_: deterministic_start(layout, n_columns),
    )
    n_more = (25, 0) if orientation == "item" else (0, 25)
    wider = sparse.coo_array(R.matrix)
    wider.resize(R.n_users + n_more[0], R.n_items + n_more[1])
    settings = {
        **SMALL,
        "orientation": orientation,
        "solver": solver,
        "baseline": baseline,
        "regularization": 5.0,
        "corruption": 0.0,
        "learning_rate_init": 1e-4,
        "dtype": "float64",
    }
    alone, padded = (AutoRec(**settings).fit(matrix) for matrix in (R.matrix, wider))
    assert padded.theta_.size > alone.theta_.size
    np.testing.assert_allclose(padded.loss_curve_, alone.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(padded.codes_, alone.codes_, rtol=1e-6)


@ORIENTATIONS
@pytest.mark.parametrize("solver", ["rprop", "lbfgs", "scipy-lbfgs"])
def test_empty_rows_change_nothing(orientation, solver, R):
    n_more = (0, 25) if orientation == "item" else (25, 0)
    wider = sparse.coo_array(R.matrix)
    wider.resize(R.n_users + n_more[0], R.n_items + n_more[1])
    settings = {**SMALL, "orientation": orientation, "solver": solver, "regularization": 5.0}
    alone, padded = (AutoRec(**settings).fit(matrix) for matrix in (R.matrix, wider))
    np.testing.assert_allclose(padded.loss_curve_, alone.loss_curve_, rtol=1e-6)
    np.testing.assert_allclose(padded.theta_, alone.theta_, rtol=1e-3, atol=1e-5)


@ORIENTATIONS
def test_the_loss_is_the_sum_over_the_ratings_plus_the_penalty(orientation, R, runs):
    model = AutoRec(
        **{**SMALL, "max_iter": 1},
        orientation=orientation,
        baseline=None,
        regularization=7.0,
        corruption=0.0,
        learning_rate_init=1e-30,  # the weights stay where they start
        batch_size=9,
        dtype="float64",
    ).fit(R)
    views = model.network_.layout.views(runs[0].theta)
    dense = R.matrix.toarray().astype(np.float64)
    observed = np.zeros(R.shape, dtype=bool)
    observed[R.positions()[:2]] = True
    if orientation == "item":
        dense, observed = dense.T, observed.T
    total = 0.0
    for row, is_rated in zip(dense, observed, strict=True):
        hidden = 1 / (1 + np.exp(-(views["encoder.weight"].T @ row + views["encoder.bias"])))
        for column in np.flatnonzero(is_rated):
            output = views["decoder.weight"][column] @ hidden + views["decoder.bias"][column]
            total += (row[column] - output) ** 2
    for name in ("encoder.weight", "decoder.weight"):
        total += 7.0 / 2 * np.sum(views[name] ** 2)
    assert model.loss_curve_[0] == pytest.approx(total, rel=1e-12)


# Masks from values


def boards_with_zeros():
    """The checkerboard with the ratings 5 and 0, a fifth held out, in every form."""
    rng = np.random.default_rng(0)
    users, items = np.divmod(rng.permutation(40 * 30), 30)
    ratings = np.where(users % 2 == items % 2, 5.0, 0.0)
    held_out = rng.random(len(users)) < 0.2
    held_out[np.unique(users, return_index=True)[1]] = False
    kept = users[~held_out], items[~held_out], ratings[~held_out]
    cells = sparse.coo_array((kept[2], (kept[0], kept[1])), shape=(40, 30))
    forms = {
        "triples": kept,
        "Ratings": Ratings.from_triples(*kept, scale=(0, 5)),
        "csr_array": sparse.csr_array(cells),
        "csr_matrix": sparse.csr_matrix(cells),
        "DataFrame": pd.DataFrame(dict(zip(("user", "item", "rating"), kept, strict=True))),
    }
    return forms, (users[held_out], items[held_out], ratings[held_out])


FORMS, HELD_OUT = boards_with_zeros()


@ORIENTATIONS
@pytest.mark.parametrize("form", FORMS)
def test_ratings_of_zero_are_learned(form, orientation):
    model = AutoRec(
        hidden_layer_sizes=(8,),
        orientation=orientation,
        regularization=1.0,
        learning_rate_init=0.03,
        batch_size=16,
        max_iter=60,
        random_state=0,
    ).fit(FORMS[form])
    users, items, ratings = HELD_OUT
    predicted = model.predict(users, items)
    assert predicted[ratings == 0].max() < 1.5
    assert predicted[ratings == 5].min() > 3.5
    assert model.rating_scale_ == (0.0, 5.0)


@pytest.mark.parametrize("form", FORMS)
def test_ratings_of_zero_count_everywhere(form, runs):
    model = AutoRec(**SMALL, corruption=0.0).fit(FORMS[form])
    n_ratings = len(FORMS["triples"][0])
    inputs, targets = runs[0].inputs, runs[0].targets
    assert inputs.nnz == targets.nnz == n_ratings
    assert np.count_nonzero(np.isclose(inputs.data, model.input_map_.offset)) > 400
    assert model.user_counts_.sum() == model.item_counts_.sum() == n_ratings
    assert GlobalMean().fit(FORMS[form]).mean_ == pytest.approx(2.5, abs=0.1)
    assert model.baseline_.biases_.mean == pytest.approx(GlobalMean().fit(FORMS[form]).mean_)
    ids, _ = model.recommend([0], n=30)
    rated = FORMS["triples"][1][FORMS["triples"][0] == 0]
    assert not set(rated) & set(ids[0])
    assert {item for item in ids[0] if item is not None} == set(range(30)) - set(rated)


def test_a_zero_of_a_new_user_is_a_rating():
    for orientation in ("item", "user"):
        model = AutoRec(**SMALL, orientation=orientation).fit(FORMS["Ratings"])
        told = {0: 5.0, 2: 5.0, 4: 5.0}
        with_zeros = {**told, 1: 0.0, 3: 0.0, 5: 0.0}
        assert model.predict_new(with_zeros).mean() < model.predict_new(told).mean() - 0.1
        ids, _ = model.recommend_new(with_zeros, n=30)
        assert not {0, 1, 2, 3, 4, 5} & set(ids)


def test_a_test_rating_of_zero_counts():
    users, items, ratings = HELD_OUT
    test = Ratings.from_triples(users, items, ratings)
    result = evaluate(GlobalMean(), FORMS["Ratings"], test)
    assert result.n_test == len(users)
    assert result.rmse == pytest.approx(2.5, abs=0.05)


# The penalty


@ORIENTATIONS
@pytest.mark.parametrize("output", ["identity", "sigmoid"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_penalty_is_in_the_value_and_in_the_gradient(orientation, output, tied, R, runs):
    AutoRec(
        **SMALL,
        orientation=orientation,
        output_activation=output,
        tied=tied,
        regularization={"encoder.weight": 300.0, "decoder.weight": 50.0},
        dtype="float64",
    ).fit(R)
    objective, theta, inputs, targets = runs[0]
    without = Objective(objective.network, 0.0)
    rng = np.random.default_rng(0)
    theta = rng.normal(0, 0.1, theta.size)
    for fraction in (1.0, 0.25):
        value, gradient = objective.value_and_gradient(theta, inputs, targets, fraction)
        bare_value, bare_gradient = without.value_and_gradient(theta, inputs, targets, fraction)
        factor = 1.0 if output == "identity" else 1 / 4
        penalty, d_penalty = 0.0, np.zeros_like(theta)
        for name, strength in (("encoder.weight", 300.0), ("decoder.weight", 50.0)):
            weight = objective.network.layout.views(theta)[name]
            scaled = fraction * strength * factor**2
            penalty += scaled / 2 * np.sum(weight**2)
            d_weight = objective.network.layout.views(d_penalty)[name]  # one view where tied
            d_weight += scaled * weight
        assert value - bare_value == pytest.approx(penalty, rel=1e-9)
        np.testing.assert_allclose(gradient - bare_gradient, d_penalty, rtol=1e-9, atol=1e-9)
        direction = rng.standard_normal(theta.size)
        ahead, behind = (
            objective.value(theta + step * direction, inputs, targets, fraction)
            for step in (1e-5, -1e-5)
        )
        assert (ahead - behind) / 2e-5 == pytest.approx(gradient @ direction, rel=1e-6)


@ORIENTATIONS
def test_the_penalty_of_an_epoch_does_not_depend_on_the_batches(orientation, R):
    losses = [
        AutoRec(
            **SMALL,
            orientation=orientation,
            batch_size=batch_size,
            regularization=1e5,
            corruption=0.0,
            learning_rate_init=1e-30,
            dtype="float64",
        )
        .fit(R)
        .loss_curve_
        for batch_size in (1, 4, 1000)
    ]
    np.testing.assert_allclose(losses, losses[0][0], rtol=1e-12)


@SOLVERS
def test_a_huge_penalty_leaves_no_weights(solver, R):
    model = AutoRec(**{**SMALL, "max_iter": 150}, solver=solver, regularization=1e4, corruption=0.0)
    if solver == "sgd":
        model.set_params(learning_rate_init=5e-5)  # a step times lambda must stay below 2
    views = model.fit(R).network_.layout.views(model.theta_)
    assert np.abs(views["encoder.weight"]).max() < 0.02
    assert np.abs(views["decoder.weight"]).max() < 0.02


# The epoch


@ORIENTATIONS
def test_the_epoch_is_chosen_on_held_out_training_ratings(orientation, R, monkeypatch):
    train, test = train_test_split(R, 0.2, 0)
    validated = []
    monkeypatch.setattr(
        scoring, "rmse", lambda true, predicted: validated.append(true) or rmse(true, predicted)
    )
    splits = []
    monkeypatch.setattr(
        autorec,
        "train_test_split",
        lambda *args: splits.append(train_test_split(*args)) or splits[-1],
    )
    settings = {
        **SMALL,
        "max_iter": 40,
        "orientation": orientation,
        "early_stopping": True,
        "n_iter_no_change": 2,
        "learning_rate_init": 0.1,
        "regularization": 0.1,
    }
    result = evaluate(AutoRec(**settings), train, test)
    assert 2 < len(validated) < 40  # it did stop early
    ((training, held_out),) = splits
    for true in validated:
        np.testing.assert_array_equal(true, held_out.triples()[2])
    pairs = [
        set(zip(*part.positions()[:2], strict=True)) for part in (training, held_out, test, train)
    ]
    assert not pairs[1] & pairs[2]
    assert not pairs[0] & pairs[2]
    assert pairs[0] | pairs[1] == pairs[3]

    # with all test ratings turned round, the same weights are chosen
    users, items, ratings = test.triples()
    turned = Ratings.from_triples(users, items, 6 - ratings, scale=(1, 5))
    model = AutoRec(**settings).fit(train)
    predicted = model.predict(users, items)
    assert result.rmse == rmse(ratings, predicted)
    assert evaluate(AutoRec(**settings), train, turned).rmse == rmse(6 - ratings, predicted)


def test_evaluate_passes_no_validation_ratings(R, monkeypatch):
    train, test = train_test_split(R, 0.2, 0)
    given = []
    fit = AutoRec.fit
    monkeypatch.setattr(
        AutoRec, "fit", lambda self, *args, **named: given.append((args, named)) or fit(self, *args)
    )
    evaluate(AutoRec(**SMALL), train, test)
    assert given == [((train,), {})]


# Cold pairs


@pytest.fixture
def with_cold_pairs(R):
    """A training part in which user 0 and item 1 have no ratings, and all their ratings to test."""
    users, items, _ = R.positions()
    cold = (users == 0) | (items == 1)
    held_out = cold | (np.random.default_rng(0).random(len(R)) < 0.1)
    return R.select(~held_out), R.select(held_out), int(cold.sum())


MODELS = pytest.mark.parametrize(
    "model",
    [
        GlobalMean(),
        BiasBaseline(),
        AutoRec(**SMALL),
        AutoRec(**SMALL, orientation="user"),
        AutoRec(**SMALL, cold=3.0),
    ],
    ids=["mean", "biases", "item", "user", "cold=3"],
)


@MODELS
def test_cold_pairs_are_predicted_counted_and_scored(model, with_cold_pairs):
    train, test, n_cold = with_cold_pairs
    users, items, ratings = test.triples()
    predicted = model.fit(train).predict(users, items)
    assert predicted.shape == ratings.shape
    assert np.isfinite(predicted).all()
    assert np.count_nonzero(model.cold_pairs(users, items)) >= n_cold > 10
    squared = (ratings.astype(np.float64) - predicted) ** 2
    assert model.score(users, items, ratings) == pytest.approx(-np.sqrt(squared.mean()), rel=1e-12)
    result = evaluate(model, train, test)
    assert result.n_test == len(test)
    assert result.n_cold == np.count_nonzero(model.cold_pairs(users, items))
    assert result.rmse == pytest.approx(np.sqrt(squared.sum() / len(test)), rel=1e-12)
    warm = ~model.cold_pairs(users, items)
    assert result.rmse != pytest.approx(np.sqrt(squared[warm].mean()), rel=1e-3)


@MODELS
def test_ids_that_training_never_saw_are_predicted_too(model, with_cold_pairs):
    train, test, _ = with_cold_pairs
    without = train.filter(min_user=1, min_item=1)  # drops the ids of user 0 and item 1
    users, items, ratings = test.triples()
    predicted = model.fit(without).predict(users, items)
    assert predicted.shape == ratings.shape
    assert np.isfinite(predicted).all()
    assert evaluate(model, without, test).n_cold == evaluate(model, train, test).n_cold
