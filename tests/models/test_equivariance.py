"""The unit of the ratings: an AutoRec of a R + b says a x + b wherever that of R says x."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorec_np.data.ratings import Ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.models import autorec, scoring
from autorec_np.models.autorec import AutoRec
from autorec_np.serving.explanation import explain, rating_derivatives
from autorec_np.serving.model_file import load_model, save_model
from autorec_np.training import units
from autorec_np.training.solvers import EpochMonitor
from autorec_np.training.trainer import reliability

R = make_ratings(n_users=60, n_items=50, n_ratings=2400, random_state=5)
USERS, ITEMS = (grid.ravel() for grid in np.meshgrid(R.user_ids, R.item_ids))
SMALL = {"hidden_layer_sizes": (6,), "batch_size": 10, "random_state": 0, "n_jobs": 1}
WIDTH = 4.0  # of the scale 1 to 5
MAPS = [(0.05, 0.0), (0.2, 20.0), (20.0, -8e3), (1000.0, 4e5)]
MAX_ITER = {"adam": 8, "sgd": 8, "rprop": None, "lbfgs": None, "scipy-lbfgs": None}
STOPPING = {
    "solver": "rprop",
    "baseline": "mean",
    "early_stopping": True,
    "n_iter_no_change": 5,
    "tol": 1e-3,
}
CLOSE = 1e-3  # of a standard deviation of one: the promise
pytestmark = pytest.mark.filterwarnings("ignore::autorec_np.training.trainer.ConvergenceWarning")


def mapped(ratings, a, b, stated=True):
    """The ratings a R + b, as somebody would pass them."""
    users, items, values = ratings.triples()
    low, high = ratings.scale
    scale = (a * low + b, a * high + b) if stated else None
    return Ratings.from_triples(users, items, a * values.astype(np.float64) + b, scale=scale)


def fit(a=1.0, b=0.0, stated=True, **options):
    return AutoRec(**{**SMALL, **options}).fit(mapped(R, a, b, stated))


def distance(got, expected, a, b):
    """The root mean square of got - (a expected + b), in units of a."""
    got, expected = np.asarray(got), np.asarray(expected)
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(got), finite)
    return np.sqrt(np.mean((got[finite] - (a * expected[finite] + b)) ** 2)) / a


def farthest(**options):
    """The greatest distance of the predictions of AutoRecs on mapped ratings."""
    options.setdefault("max_iter", MAX_ITER[options.get("solver", "adam")])
    expected = fit(**options).predict(USERS, ITEMS)
    assert np.isfinite(expected).all()
    assert expected.std() > 0.1
    return max(
        distance(fit(a, b, **options).predict(USERS, ITEMS), expected, a, b) for a, b in MAPS
    )


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("solver", MAX_ITER)
def test_every_solver_predicts_the_same_in_every_unit(solver, orientation):
    assert farthest(solver=solver, orientation=orientation) < CLOSE


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(
    "options",
    [
        {"baseline": None},
        {"baseline": "mean", "orientation": "user"},
        {"output_activation": "sigmoid"},
        {"output_activation": "tanh", "orientation": "user"},
        {"output_activation": "relu"},
        {"output_activation": "softplus", "orientation": "user"},
        {"hidden_layer_sizes": (6, 4, 6), "tied": True},
        {"stated": False},
        {"stated": False, "output_activation": "sigmoid"},
        {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 20},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_every_kind_predicts_the_same_in_every_unit(options, solver):
    assert farthest(solver=solver, **options) < CLOSE


@settings(deadline=None, max_examples=15)
@given(
    a=st.floats(0.01, 1e4),
    shift=st.floats(-100.0, 100.0),
    orientation=st.sampled_from(["item", "user"]),
    stated=st.booleans(),
)
def test_any_unit_will_do(a, shift, orientation, stated):
    options = {"orientation": orientation, "stated": stated, "max_iter": 3}
    b = shift * WIDTH * a
    expected = fit(**options).predict(USERS, ITEMS)
    assert distance(fit(a, b, **options).predict(USERS, ITEMS), expected, a, b) < CLOSE


def test_ratings_of_many_decimals_have_no_grid_and_adam_is_steady_all_the_same():
    users, items, values = R.triples()
    values = values + np.random.default_rng(0).normal(0, 0.3, len(R))
    expected, *others = (
        AutoRec(**SMALL).fit((users, items, a * values + b)).predict(USERS, ITEMS)
        for a, b in [(1.0, 0.0), *MAPS]
    )
    for (a, b), got in zip(MAPS, others, strict=True):
        assert distance(got, expected, a, b) < CLOSE


# All that a model says


def told(a, b, axis):
    """Ratings of one whom the model does not know, and of many."""
    known = (R.item_ids if axis == "user" else R.user_ids)[[3, 0, 4, 8, 2, 9]]
    values = a * np.array([5.0, 1, 4, 2, 5, 3]) + b
    others = np.array([901, 901, 901, 902, 902, 903])
    many = (others, known, values) if axis == "user" else (known, others, values)
    return dict(zip(known.tolist(), values, strict=True)), many


@pytest.mark.parametrize("map_", MAPS, ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"output_activation": "sigmoid"}, {"baseline": None}], ids=str
)
@pytest.mark.parametrize("orientation", ["item", "user"])
def test_whatever_a_model_says_follows_the_unit(orientation, options, map_, tmp_path):
    a, b = map_
    options = {"orientation": orientation, "max_iter": 5, **options}
    plain, model = fit(**options), fit(a, b, **options)

    def agree(got, expected, shift=b):
        assert distance(got, expected, a, shift) < CLOSE

    ids, scores = model.recommend(R.user_ids, n=8)
    expected_ids, expected_scores = plain.recommend(R.user_ids, n=8)
    assert (ids == expected_ids).mean() > 0.99  # but for those that are as good as tied
    agree(scores, expected_scores)
    for axis in ("user", "item"):
        for got, wanted in zip(told(a, b, axis), told(1.0, 0.0, axis), strict=True):
            agree(model.predict_new(got, axis=axis), plain.predict_new(wanted, axis=axis))
            got_scores = model.recommend_new(got, n=5, axis=axis)[1]
            agree(got_scores, plain.recommend_new(wanted, n=5, axis=axis)[1])
    for by in ("users", "items"):
        if by[:-1] == orientation and "output_activation" in options:
            continue  # the influence on a column is told for an identity output only
        contributions = explain(model, R.user_ids[0], R.item_ids[1], by=by)[1]
        expected = explain(plain, R.user_ids[0], R.item_ids[1], by=by)[1]
        if by[:-1] != orientation or options.get("baseline", "auto"):
            agree(contributions, expected, 0.0)
    slopes = rating_derivatives(model, R.user_ids[0], R.item_ids[1]).derivatives
    agree(slopes * a, rating_derivatives(plain, R.user_ids[0], R.item_ids[1]).derivatives, 0.0)
    square = 1.0 if options.get("output_activation") else a**2
    assert model.loss_curve_ == pytest.approx([square * x for x in plain.loss_curve_], rel=1e-4)
    assert model.regularization_ == {
        name: pytest.approx(a**2 * penalty, rel=1e-4)
        for name, penalty in plain.regularization_.items()
    }
    save_model(model, tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(USERS, ITEMS), model.predict(USERS, ITEMS))
    assert loaded.input_map_ == model.input_map_
    for axis in ("user", "item"):
        loaded.partial_fit(told(a, b, axis)[1])
        plain.partial_fit(told(1.0, 0.0, axis)[1])
    agree(loaded.predict(USERS, ITEMS), plain.predict(USERS, ITEMS))


def test_early_stopping_stops_at_the_same_epoch():
    plain = fit(**STOPPING)
    assert 5 < plain.n_iter_ < 100
    for a, b in MAPS:
        model = fit(a, b, **STOPPING)
        assert model.n_iter_ == plain.n_iter_
        expected = [a * x for x in plain.validation_curve_]
        assert model.validation_curve_ == pytest.approx(expected, rel=1e-4)


def test_callbacks_are_told_the_objective_in_rating_units():
    values = []
    model = fit(20.0, 3.0, max_iter=4, callbacks=[lambda state: values.append(state.value)])
    assert values == model.loss_curve_


def test_the_curve_is_the_objective_2_in_rating_units():
    options = {"max_iter": 6, "solver": "lbfgs", "dtype": "float64"}
    model = fit(20.0, 300.0, **options, implicit=0)
    users, items, values = model.ratings_.triples()
    scores = model.fitted_.score_pairs(*model.fitted_.positions(users, items))
    weights = dict(model.network_.layout.views(model.theta_))
    kept = reliability(model.user_counts_, model.shrinkage_)  # the model is shrunk, the curve not
    base = model.baseline_.fitted_.score_pairs(*model.fitted_.positions(users, items))
    scores = base + (scores - base) / kept[model.fitted_.positions(users, items)[0]]
    weights["decoder.weight"] = weights["decoder.weight"] / kept[:, np.newaxis]
    penalty = sum(x / 2 * np.sum(weights[name] ** 2) for name, x in model.regularization_.items())
    objective = np.sum((values - scores) ** 2) + penalty
    assert model.loss_curve_[-1] == pytest.approx(objective, rel=1e-9)


def test_an_explicit_penalty_takes_the_ratings_as_they_are():
    model = fit(20.0, 300.0, regularization=3.0, max_iter=2, implicit=0, inputs="ratings")
    assert model.input_map_ == model.output_map_ == (1.0, 0.0)
    assert model.regularization_ == {"encoder.weight": 3.0, "decoder.weight": 3.0}


def test_a_warm_start_keeps_the_unit_of_its_weights():
    model = fit(20.0, 300.0, max_iter=3, warm_start=True)
    before, loss = model.input_map_, model.loss_curve_[-1]
    users, items, values = mapped(R, 20.0, 300.0).triples()
    kept = values > 310
    model.fit((users[kept], items[kept], values[kept]))
    assert model.input_map_ == before
    model.fit(mapped(R, 20.0, 300.0))
    assert model.input_map_ == before
    assert model.loss_curve_[-1] < loss
    model.set_params(regularization=100.0).fit(mapped(R, 20.0, 300.0))
    assert model.input_map_ == before
    assert model.regularization_["encoder.weight"] == pytest.approx(100.0)


# A constant that does not follow the unit is found


def as_they_are(values, scale):
    return units.Mapped.by(units.AffineMap(), values, scale)


def not_shifted(values, scale):
    factor = units.SPREAD / values.std(dtype=np.float64)
    return units.Mapped.by(units.AffineMap(factor), values, scale)


def test_ratings_as_they_are_are_found(monkeypatch):
    monkeypatch.setattr(autorec, "canonical", as_they_are)
    assert farthest() > 10 * CLOSE


def test_ratings_without_the_shift_are_found(monkeypatch):
    monkeypatch.setattr(autorec, "canonical", not_shifted)
    assert farthest(solver="lbfgs") > 10 * CLOSE


def test_ratings_that_are_not_counted_in_steps_are_found(monkeypatch):
    """L-BFGS makes something else of the last bit of a rating."""
    monkeypatch.setattr(units, "step_of", lambda levels: 1.0)
    monkeypatch.setattr(units, "ON_GRID", -1.0)
    assert farthest(solver="lbfgs", baseline=None) > CLOSE


def test_a_penalty_in_rating_units_is_found(monkeypatch):
    monkeypatch.setattr(
        autorec,
        "canonical",
        lambda values, scale: units.canonical(values, scale)._replace(units=units.AffineMap()),
    )
    assert farthest() > 10 * CLOSE


def test_a_new_row_that_is_read_as_it_is_is_found(monkeypatch):
    plain, model = fit(solver="lbfgs"), fit(20.0, 300.0, solver="lbfgs")
    wanted, got = (told(*one, "item")[0] for one in ((1.0, 0.0), (20.0, 300.0)))
    expected = plain.predict_new(wanted, axis="item")
    assert distance(model.predict_new(got, axis="item"), expected, 20.0, 300.0) < CLOSE
    monkeypatch.setattr(scoring, "inputs_of", lambda rated, input_map, dtype: rated.astype(dtype))
    assert distance(model.predict_new(got, axis="item"), expected, 20.0, 300.0) > 10 * CLOSE


def test_a_tolerance_in_rating_units_is_found(monkeypatch):
    def absolute(*args, tol, **options):
        return EpochMonitor(*args, tol=STOPPING["tol"], **options)

    monkeypatch.setattr(autorec, "EpochMonitor", absolute)
    assert fit(1000.0, 0.0, **STOPPING).n_iter_ != fit(**STOPPING).n_iter_
