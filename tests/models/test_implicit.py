"""The implicit decoder and the planes in a model: what serves, what is held out, what is new."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
from markdown_pages import ROOT
from sklearn.base import clone
from small_models import SMALL, R, axes, fit

from autorec_np.core.implicit import ImplicitNetwork
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.cross_validation import cross_validate
from autorec_np.evaluation.hyperparameters import default_space, search
from autorec_np.models import scoring as scoring_room
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline
from autorec_np.models.scoring import fit_column
from autorec_np.training.trainer import Trainer

BOTH = {"implicit": 3, "inputs": "planes"}
orientations = pytest.mark.parametrize("orientation", ["item", "user"])


@pytest.fixture
def objectives(monkeypatch):
    """The objectives that were trained, and their starts."""
    seen, run = [], Trainer.run

    def spy(trainer, objective, theta, inputs, targets, *others):
        seen.append((objective, theta.copy(), inputs, targets))
        return run(trainer, objective, theta, inputs, targets, *others)

    monkeypatch.setattr(Trainer, "run", spy)
    return seen


# What the parameters say


AUTO = {"implicit": "auto", "inputs": "auto"}


@pytest.mark.filterwarnings("ignore::autorec_np.training.trainer.ConvergenceWarning")
@pytest.mark.parametrize("changes", [{"solver": "lbfgs"}, {"tied": True}], ids=str)
def test_auto_is_the_paper_where_nothing_else_is_right(changes):
    automatic, plain = fit(AUTO, **changes), fit(**changes)
    np.testing.assert_array_equal(automatic.theta_, plain.theta_)
    assert (automatic.implicit_, automatic.inputs_) == (0, "ratings")
    assert automatic.fitted_.implicit is None


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@orientations
def test_auto_is_a_part_of_the_units_and_both_planes(orientation, solver):
    model = fit(AUTO, orientation=orientation, solver=solver, hidden_layer_sizes=(12,))
    assert (model.implicit_, model.inputs_) == ({"item": 2, "user": 6}[orientation], "planes")
    given = fit(AUTO, orientation=orientation, implicit=1)
    assert (given.implicit_, given.inputs_) == (1, "planes")


def test_the_parameters_are_cloned_and_trained_with():
    model = fit(BOTH)
    assert clone(model).get_params() == model.get_params()
    assert "implicit=3, inputs='planes'" in repr(model)
    assert (model.implicit_, model.inputs_) == (3, "planes")
    assert model.network_.layout.shapes["encoder.weight"] == (2 * R.n_users, 4)
    assert not isinstance(model.network_, ImplicitNetwork)
    assert {*model.regularization_} == {"encoder.weight", "decoder.weight", "implicit.weight"}


@pytest.mark.parametrize("penalty", [7.0, 0.0])
def test_a_mapping_may_name_y(penalty, objectives):
    mapping = {"encoder.weight": 1.0, "decoder.weight": 2.0, "implicit.weight": penalty}
    model = fit(implicit=3, regularization=mapping)
    assert model.regularization_ == mapping
    assert objectives[0][0].penalties == mapping
    assert model.fitted_.decoder_penalty == 2.0


def test_the_automatic_penalty_of_y_is_that_of_the_decoder():
    penalties = fit(BOTH, regularization="auto").regularization_
    assert penalties["implicit.weight"] == penalties["decoder.weight"]


# What is trained, and what serves


@orientations
def test_y_comes_after_the_weights_of_the_plain_network(orientation, objectives):
    """So a start without it is the same, and it is drawn last."""
    fit({"orientation": orientation}, implicit=3)
    fit({"orientation": orientation})
    (_, with_y, *_), (_, without, *_) = objectives
    np.testing.assert_array_equal(with_y[: without.size], without)
    drawn = with_y[without.size :]
    assert 0.005 < drawn.std() < 0.02


@orientations
def test_the_served_weight_is_w_with_n_y(orientation, objectives):
    model = fit({"orientation": orientation}, **BOTH, dtype="float64")
    weight, shares = model.fitted_.implicit
    rated = (R.matrix.T if orientation == "item" else R.matrix).toarray() != 0
    assert weight.shape == (len(rated), 3)
    np.testing.assert_allclose(shares, rated.T / np.sqrt(rated.sum(0))[:, None] @ weight)
    for array in (weight, shares):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0
    objective, _, inputs, targets = objectives[0]
    trained = np.append(model.theta_, weight)
    objective.network.layout.views(trained)["decoder.weight"][:, :3] -= shares
    value = objective.value(trained, inputs, targets)
    users, items, _ = R.triples()
    rows_of_factor = model.output_map_.factor**2
    errors = np.asarray(R.triples()[2], float) - model.fitted_.score_pairs(*R.positions()[:2])
    penalty = objective.penalty_term(trained)
    assert value == pytest.approx(rows_of_factor * errors @ errors + penalty, rel=1e-6)
    assert len(users) == len(items)


def test_engines_and_threads_agree():
    plain = fit(BOTH, engine="plain")
    tiled = fit(BOTH)
    np.testing.assert_allclose(plain.theta_, tiled.theta_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        plain.fitted_.implicit.weight, tiled.fitted_.implicit.weight, atol=1e-5
    )
    threads = fit(BOTH, n_jobs=3)
    np.testing.assert_array_equal(threads.theta_, tiled.theta_)
    np.testing.assert_array_equal(threads.fitted_.implicit.weight, tiled.fitted_.implicit.weight)


@orientations
def test_held_out_pairs_are_not_in_the_pattern(orientation, objectives, monkeypatch):
    """Nor does a validation score move with who rated what among them."""
    model = fit({"orientation": orientation}, **BOTH, early_stopping=True, max_iter=2)
    held_out = R.select(~np.isin(keys(R), keys(model.fitted_.training)))
    assert 0 < len(held_out) < len(R)
    check_no_leak(model, objectives[-1], held_out)
    # the planted leak: N of all ratings
    every = R.matrix.T.tocsr() if orientation == "item" else R.matrix
    whole = scoring_room.scaled_pattern
    monkeypatch.setattr(scoring_room, "scaled_pattern", lambda _, dtype: whole(every, dtype))
    model = fit({"orientation": orientation}, **BOTH, early_stopping=True, max_iter=2)
    with pytest.raises(AssertionError, match="held-out"):
        check_no_leak(model, objectives[-1], held_out)


def keys(ratings):
    users, items, _ = ratings.triples()
    return np.asarray(users) * 100_000 + np.asarray(items)


def check_no_leak(model, trained, held_out):
    objective, _, inputs, targets = trained
    pattern = objective.network.rated
    by_user = pattern.T.tocsr() if model.orientation_ == "item" else pattern
    users, items, _ = held_out.triples()
    leaked = by_user.toarray()[R.user_positions(users), R.item_positions(items)] != 0
    assert not leaked.any(), "held-out pairs are in N"
    assert pattern.nnz == inputs.nnz == targets.nnz
    _, shares = model.fitted_.implicit
    rated = (by_user.toarray() if model.orientation_ == "item" else by_user.toarray().T) != 0
    counts = np.maximum(rated.sum(1, keepdims=True), 1)
    expected = rated / np.sqrt(counts) @ model.fitted_.implicit.weight
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_the_validation_curve_is_of_what_serves():
    train, validation = train_test_split(R, 0.2, 0)
    model = AutoRec(**{**SMALL, **BOTH}).fit(train, validation)
    assert model.validation_curve_[-1] == pytest.approx(-model.score(validation), rel=1e-6)


@orientations
def test_a_row_without_ratings_has_no_y(orientation):
    ids = R.user_ids if orientation == "user" else R.item_ids
    mine = R.triples()[0 if orientation == "user" else 1]
    model = fit({"orientation": orientation}, R.select(np.asarray(mine) != ids[4]), **BOTH)
    has_y = model.fitted_.implicit.weight.any(axis=1)
    assert has_y.tolist() == [one != 4 for one in range(len(ids))]


# The next training


@orientations
def test_a_warm_start_begins_where_the_last_one_ended(orientation, objectives):
    model = fit({"orientation": orientation}, **BOTH, warm_start=True)
    before = model.predict(*R.triples()[:2])
    weight, shares = model.fitted_.implicit
    end = model.theta_.copy()
    model.set_params(max_iter=1, learning_rate_init=1e-12, learning_rate="constant").fit(R)
    objective, start, *_ = objectives[-1]
    views = objective.network.layout.views(start)
    np.testing.assert_array_equal(views["implicit.weight"], weight)
    expected = model.network_.layout.views(end)["decoder.weight"].copy()
    expected[:, :3] -= shares
    np.testing.assert_array_equal(views["decoder.weight"], expected)
    np.testing.assert_allclose(model.predict(*R.triples()[:2]), before, atol=1e-4)


@orientations
def test_a_warm_start_finds_rows_by_their_ids(orientation, objectives):
    model = fit({"orientation": orientation}, **BOTH, warm_start=True)
    weight = model.fitted_.implicit.weight
    users, items, ratings = (np.array(part) for part in R.triples())
    (users if orientation == "user" else items)[:] += 1  # all but one of the rows are known
    changed = Ratings.from_triples(users, items, ratings, scale=R.scale)
    rows = R.user_ids if orientation == "user" else R.item_ids
    model.fit(changed)
    objective, start, *_ = objectives[-1]
    found = objective.network.layout.views(start)["implicit.weight"]
    known = np.isin(rows + 1, rows)
    np.testing.assert_array_equal(found[known], weight[np.searchsorted(rows, (rows + 1)[known])])
    np.testing.assert_array_equal(found[~known], 0.0)


@pytest.mark.parametrize("changes", [{"implicit": 2}, {"implicit": 0}, {"inputs": "ratings"}])
def test_a_warm_start_needs_the_same_decoder_and_inputs(changes):
    model = fit(BOTH, warm_start=True)
    with pytest.raises(ValueError, match=r"needs .*implicit units and inputs of the last fit"):
        model.set_params(**changes).fit(R)
    with pytest.raises(ValueError, match="implicit units"):
        fit(warm_start=True).set_params(implicit=2).fit(R)


# Newcomers


@axes
@orientations
@pytest.mark.parametrize("n_ratings", [0, 1, 2, 7])
def test_a_newcomer_with_few_ratings(orientation, axis, n_ratings):
    """Against the definitions: the forward pass of a row, the ridge problem of a column."""
    model = fit({"orientation": orientation}, **BOTH, dtype="float64")
    known = R.item_ids if axis == "user" else R.user_ids
    told = dict(zip(known[:n_ratings].tolist(), [5.0, 1, 4, 2, 5, 3, 3], strict=False))
    predicted = model.predict_new(told, axis=axis)
    mean, *sides = model.cold_baseline_.biases_
    others = sides[axis == "user"]
    ratings, at = np.array(list(told.values())), slice(n_ratings)
    own = (ratings - mean - others[at]).sum() / (n_ratings + 5.0)
    base = mean + others + own
    weight, bias = (model.fitted_.weights[f"decoder.{name}"] for name in ("weight", "bias"))
    factor = model.output_map_.factor
    if n_ratings == 0:
        expected = base
    elif axis == orientation:
        V = np.split(model.fitted_.weights["encoder.weight"], 2)
        z = 3.0 * V[0][at].sum(0) + model.input_map_.factor * (ratings - base[at]) @ V[1][at]
        code = 1 / (1 + np.exp(-z - model.fitted_.weights["encoder.bias"]))
        expected = base + (weight @ code + bias) / factor
    else:
        share = model.fitted_.implicit.weight[at].sum(0) / np.sqrt(n_ratings)
        codes, penalty = model.codes_, model.fitted_.decoder_penalty
        targets = factor * (ratings - base[at]) - codes[at, :3] @ share
        w, b = fit_column(codes[at], targets, penalty)
        w[:3] += share
        expected = base + (codes @ w + b) / factor
    np.testing.assert_allclose(predicted, np.clip(expected, *R.scale), rtol=1e-9)
    ids, _ = model.recommend_new(told, n=3, axis=axis)
    assert not set(ids) & set(told)


@pytest.mark.parametrize("output", ["sigmoid", "softplus"])
def test_a_new_column_of_another_output_is_at_its_minimum(output):
    rng = np.random.default_rng(0)
    codes, targets, offset = rng.normal(size=(9, 3)), rng.uniform(0.2, 0.8, 9), rng.normal(size=9)
    weight, bias = fit_column(codes, targets, 0.3, output, offset)
    shifted = np.column_stack([codes, offset])

    def value(w, b):
        a = shifted @ np.append(w, 1.0) + b
        y = 1 / (1 + np.exp(-a)) if output == "sigmoid" else np.log1p(np.exp(a))
        return ((targets - y) ** 2).sum() + 0.15 * w @ w

    best = value(weight, bias)
    for _ in range(50):
        assert value(weight + rng.normal(0, 0.01, 3), bias + rng.normal(0, 0.01)) > best


# New ratings


@orientations
def test_new_rows_bring_no_y_and_leave_the_counts(orientation):
    model = fit({"orientation": orientation}, **BOTH)
    before = model.fitted_
    column_ids = before.ids(before.axes.column)[:4]
    new = np.full(4, 10_000)
    pairs = before.axes.users_and_items(new, column_ids)
    model.partial_fit((*pairs, [5.0, 1.0, 4.0, 2.0]))
    after = model.fitted_
    assert len(after.implicit.weight) == len(before.implicit.weight) + 1
    np.testing.assert_array_equal(after.implicit.weight[-1], 0.0)
    np.testing.assert_allclose(after.implicit.shares, before.implicit.shares, atol=1e-7)
    assert np.isfinite(model.predict(*pairs)).all()


@orientations
def test_new_ratings_of_known_rows_change_the_share_of_their_column(orientation):
    model = fit({"orientation": orientation}, **BOTH)
    before = model.fitted_
    rated = before.axes.orient(R.matrix).toarray() != 0
    row, column = np.argwhere(~rated)[5]
    pair = before.axes.users_and_items(
        before.ids(before.axes.row)[[row]], before.ids(before.axes.column)[[column]]
    )
    model.partial_fit((*pair, [4.0]))
    rows = np.append(np.flatnonzero(rated[:, column]), row)
    expected = before.implicit.weight[rows].sum(0) / np.sqrt(len(rows))
    np.testing.assert_allclose(model.fitted_.implicit.shares[column], expected, rtol=1e-4)
    others = np.arange(rated.shape[1]) != column
    np.testing.assert_array_equal(
        model.fitted_.implicit.shares[others], before.implicit.shares[others]
    )


@axes
@orientations
def test_twice_is_as_once(orientation, axis):
    model = fit({"orientation": orientation}, **BOTH)
    known = (R.item_ids if axis == "user" else R.user_ids)[:6]
    new, ratings = np.full(6, 10_000), np.array([5.0, 1, 4, 2, 5, 3])
    pairs = (new, known) if axis == "user" else (known, new)
    once = copy.deepcopy(model).partial_fit((*pairs, ratings))
    first, second = (
        (*(part[half] for part in pairs), ratings[half]) for half in (slice(3), slice(3, 6))
    )
    twice = copy.deepcopy(model).partial_fit(first).partial_fit(second)
    own = np.full(len(known), 10_000), known
    own = own if axis == "user" else own[::-1]
    np.testing.assert_allclose(twice.predict(*own), once.predict(*own), atol=0.02)
    np.testing.assert_allclose(
        twice.fitted_.implicit.shares, once.fitted_.implicit.shares, atol=1e-6
    )
    newcomer = model.predict_new(dict(zip(known.tolist(), ratings, strict=True)), axis=axis)
    near = once.fitted_.find(axis, [10_000])[0]
    assert near >= 0
    assert np.abs(newcomer[:6] - once.predict(*own)).max() < 0.5


def test_a_warm_start_after_growth_keeps_y(objectives):
    model = fit(BOTH, warm_start=True).partial_fit(([10_000], [R.item_ids[0]], [4.0]))
    model.partial_fit(([R.user_ids[0]], [20_000], [4.0]))
    weight = model.fitted_.implicit.weight
    model.fit(model.ratings_)
    objective, start, *_ = objectives[-1]
    np.testing.assert_array_equal(objective.network.layout.views(start)["implicit.weight"], weight)
    assert model.fitted_.implicit.weight[-1].any()


@pytest.mark.parametrize("changes", [{"implicit": 10}, {"inputs": "planes"}, BOTH])
@orientations
def test_folding_in_is_about_as_good_as_training(orientation, changes):
    """Both ways of folding in, by the error on ratings that nobody has seen."""
    ratings = make_ratings(300, 120, 9000, noise=0.5, random_state=0)
    train, test = train_test_split(ratings, 0.2, 1)
    settings = {
        "orientation": orientation, "hidden_layer_sizes": (20,), "random_state": 0, "n_jobs": 1,
    }  # fmt: skip
    everyone = AutoRec(**settings, **changes).fit(train)
    for axis, ids in (("user", ratings.user_ids[-40:]), ("item", ratings.item_ids[-20:])):
        of = 0 if axis == "user" else 1
        late, asked = (np.isin(part.triples()[of], ids) for part in (train, test))
        model = AutoRec(**settings, **changes).fit(train.select(~late))
        model.partial_fit(train.select(late))
        tested = test.select(asked)
        folded, retrained = -model.score(tested), -everyone.score(tested)
        biases = -BiasBaseline().fit(train).score(tested)
        assert folded < retrained + 0.25 * (biases - retrained) + 0.02


# Around a model


def test_search_and_cross_validation_take_them():
    model = AutoRec(**{**SMALL, "max_iter": 2})
    space = {"implicit": [0, 2, 4], "inputs": ["ratings", "planes"]}
    found = search(model, R, space, 4, strategy="random")
    assert {trial.params.get("inputs") for trial in found.trials[1:]} <= {"ratings", "planes"}
    assert any(trial.params.get("implicit") for trial in found.trials)
    result = cross_validate({"both": AutoRec(**{**SMALL, **BOTH})}, R, cv=2)
    assert "both" in str(result)


def test_the_default_space_penalizes_y_and_leaves_room_for_it():
    model = AutoRec(**{**SMALL, "hidden_layer_sizes": (200,), "implicit": 100})
    space = default_space(model, R)
    assert {*space["regularization"]} == {"encoder.weight", "decoder.weight", "implicit.weight"}
    assert space["hidden_layer_sizes"] == [(100,), (200,), (500,)]
    plain = default_space(AutoRec(**SMALL), R)
    assert {*plain["regularization"]} == {"encoder.weight", "decoder.weight"}
    assert plain["hidden_layer_sizes"] == [(50,), (100,), (200,), (500,)]


def test_the_unit_of_the_ratings_does_not_matter():
    users, items, ratings = R.triples()
    tens = Ratings.from_triples(users, items, 10 * ratings - 30, scale=(-20, 20))
    for regularization in ("auto", 2.0):
        model = fit(BOTH, regularization=regularization)
        penalty = regularization if isinstance(regularization, str) else 100 * regularization
        other = fit(BOTH, tens, regularization=penalty)
        expected = 10 * model.predict(users, items) - 30
        np.testing.assert_allclose(other.predict(users, items), expected, rtol=0, atol=1e-4)


def test_an_interrupted_training_serves_what_it_has():
    def stop(state):
        if state.epoch == 2:
            raise KeyboardInterrupt

    model = AutoRec(**{**SMALL, **BOTH}, callbacks=[stop])
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(R)
    assert model.fitted_.implicit.weight.shape == (R.n_items, 3)
    assert np.isfinite(model.predict(*R.triples()[:2])).all()
    assert dataclasses.is_dataclass(model.fitted_)


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_the_width_that_none_means_is_the_documented_one(orientation):
    model = AutoRec(orientation, max_iter=1, n_jobs=1, random_state=0).fit(R)
    (width,) = model.network_.hidden_layer_sizes
    said = {"item": f"None: ({width},)", "user": f"for U-AutoRec ({width},)."}
    assert said[orientation] in AutoRec.__doc__
    page = (ROOT / "docs" / "defaults.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith("| `hidden_layer_sizes` |"))
    assert {"item": f"({width},) for I-", "user": f"({width},) for U-"}[orientation] in row
