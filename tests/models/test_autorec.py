"""The estimator: what it makes of its parameters, and the mathematics of its predictions."""

from __future__ import annotations

import copy
import inspect
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from advice import follow
from changed_records import with_record, without_limits
from scipy import sparse

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.data.values import UnsuitableRatingsWarning
from autorec_np.models import autorec
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.newcomers import score_new
from autorec_np.models.scoring import fit_column
from autorec_np.serving.model_file import load_model, save_model
from autorec_np.training.solvers import DivergenceError
from autorec_np.training.trainer import (
    DECODER_FACTOR,
    ENCODER_FACTOR,
    SOLVERS,
    Trainer,
    automatic_batch_size,
    automatic_penalties,
    reliability,
)

PAPER = {"implicit": 0, "inputs": "ratings"}  # decoder and inputs
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 4, "n_jobs": 1, "random_state": 0, **PAPER}
ORIENTATIONS = pytest.mark.parametrize("orientation", ["item", "user"])
BASELINES = pytest.mark.parametrize("baseline", ["bias", "mean", None])


@pytest.fixture(scope="module")
def R():
    """Ratings of 40 users for 30 items; users 3 and 4 and item 5 have none."""
    ratings = make_ratings(40, 30, 600, random_state=0)
    users, items, _ = ratings.positions()
    return ratings.select((users != 3) & (users != 4) & (items != 5))


@pytest.fixture
def runs(monkeypatch):
    """What each training run is given: a list of (trainer, objective, theta, inputs, targets)."""
    seen = []
    run = Trainer.run

    def spy(trainer, objective, theta, *others):
        seen.append((trainer, objective, theta.copy(), *others[:2]))
        return run(trainer, objective, theta, *others)

    monkeypatch.setattr(Trainer, "run", spy)
    return seen


def oriented(model, ratings, dtype=np.float64):
    """What the network reads of ratings."""
    matrix = ratings.matrix.T.tocsr() if model.orientation == "item" else ratings.matrix
    cells = (model.input_map_(matrix.data).astype(dtype), matrix.indices, matrix.indptr)
    return sparse.csr_array(cells, shape=matrix.shape)


def baseline_matrix(model, ratings, baseline):
    """What the baseline predicts at each rating, oriented."""
    fitted = {"bias": BiasBaseline(), "mean": GlobalMean(), None: None}[baseline]
    predicted = np.zeros(len(ratings))
    if fitted is not None:
        users, items, _ = ratings.triples()
        predicted = without_limits(fitted.fit(ratings)).predict(users, items)
    rows, columns, _ = ratings.positions()
    cells = sparse.coo_array((predicted, (rows, columns)), shape=ratings.shape)
    return (cells.T if model.orientation == "item" else cells).tocsr()


# Parameters


def test_the_defaults_are_those_of_the_documentation():
    defaults = {name: p.default for name, p in inspect.signature(AutoRec).parameters.items()}
    assert defaults["orientation"] == "item"
    assert defaults["hidden_layer_sizes"] is None
    assert (defaults["activation"], defaults["output_activation"]) == ("sigmoid", "identity")
    assert (defaults["regularization"], defaults["cold"]) == ("auto", "baseline")
    assert (defaults["solver"], defaults["learning_rate"]) == ("adam", "cosine")
    assert (defaults["batch_size"], defaults["dtype"]) == (None, "float32")
    assert (defaults["n_jobs"], defaults["random_state"]) == (None, None)


@pytest.mark.parametrize("solver", SOLVERS)
def test_parameters_left_at_none_have_a_value_for_each_solver(solver, R, runs):
    stopped = {**SMALL, "max_iter": None, "callbacks": [lambda state: True]}
    AutoRec(**stopped, solver=solver, regularization=1.0).fit(R)
    trainer = runs[0][0]
    limits = {"adam": 20, "sgd": 60, "rprop": 200, "lbfgs": 150, "scipy-lbfgs": 150}
    assert trainer.max_iter == limits[solver]
    assert trainer.corruption == (0.5 if solver in ("adam", "sgd") else 0.0)
    rates = {"adam": 4e-3, "rprop": 1e-3, "sgd": 0.1 / (len(R) / 40 * 6)}
    if solver in rates:
        assert trainer.learning_rate_init == pytest.approx(rates[solver], rel=1e-12)


@pytest.mark.parametrize(
    ("n_rows", "expected"), [(9, 64), (512, 64), (513, 65), (4000, 500), (9000, 512)]
)
def test_a_batch_is_an_eighth_of_the_rows_by_default(n_rows, expected, runs):
    rows = np.arange(n_rows)
    ratings = (rows, rows % 3, 1.0 + rows % 5)
    AutoRec("user", **{**SMALL, "max_iter": 1}).fit(ratings)
    AutoRec("user", **{**SMALL, "max_iter": 1}, batch_size=7).fit(ratings)
    assert [trainer.batch_size for trainer, *_ in runs] == [expected, 7]


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "n_ratings", "expected"),
    [
        (100_000, 100_000, 100_000, 12_500),  # an eighth
        (100_000, 100_000, 1_000_000, 2_500),  # so that they have 25,000 ratings
        (100_000, 100_000, 6_000_000, 512),
        (1_000, 10_000_000, 1_000, 125),
        (3_706, 6_040, 900_000, 464),  # MovieLens 1M, and turned
        (6_040, 3_706, 900_000, 512),
        (9_724, 610, 50_000, 512),  # ml-latest-small, half of it
    ],
)
def test_a_batch_has_more_rows_where_they_are_nearly_empty(n_rows, n_columns, n_ratings, expected):
    matrix = SimpleNamespace(shape=(n_rows, n_columns), nnz=n_ratings)
    assert automatic_batch_size(matrix) == expected


@pytest.mark.parametrize("name", ["ml-100k", "ml-1m", "ml-latest-small"])
@pytest.mark.parametrize("orientation", ["item", "user"])
def test_a_batch_of_movielens_is_an_eighth_of_the_rows(name, orientation):
    shapes = {"ml-100k": (943, 1_682), "ml-1m": (6_040, 3_706), "ml-latest-small": (610, 9_724)}
    n_rows, n_columns = shapes[name] if orientation == "user" else shapes[name][::-1]
    for share in (0.45, 0.9, 1.0):
        n_ratings = int(share * (1_000_209 if name == "ml-1m" else 100_000))
        matrix = SimpleNamespace(shape=(n_rows, n_columns), nnz=n_ratings)
        assert automatic_batch_size(matrix) == int(np.clip(-(-n_rows // 8), 64, 512))


@pytest.mark.parametrize(("orientation", "rate"), [("item", 4e-3), ("user", 3e-3)])
def test_the_default_rate_of_adam_depends_on_the_orientation(R, runs, orientation, rate):
    AutoRec(**SMALL, orientation=orientation).fit(R)
    assert runs[0][0].learning_rate_init == rate


@pytest.mark.parametrize(("orientation", "warm_up"), [("item", 0.3), ("user", 0.1)])
def test_the_default_warm_up_depends_on_the_orientation(R, runs, orientation, warm_up):
    settings = {**SMALL, "orientation": orientation}
    AutoRec(**settings).fit(R)
    assert runs[0][0].warm_up == warm_up
    AutoRec(**settings, warm_up=0.6).fit(R)
    assert runs[1][0].warm_up == 0.6


def test_the_default_rate_of_sgd_falls_with_the_ratings_in_a_batch(R, runs):
    few = {**SMALL, "max_iter": 1, "batch_size": 10}
    AutoRec(**few, solver="sgd", regularization=1.0).fit(R)
    assert runs[0][0].learning_rate_init == pytest.approx(0.1 / (len(R) / 40 * 10 / 30 * 6))
    assert runs[0][0].momentum == 0.9
    AutoRec(**few, solver="sgd", regularization={"encoder.weight": 5e3}).fit(R)
    assert runs[1][0].learning_rate_init == 1 / 5e3  # a longer step would overshoot the penalty


@ORIENTATIONS
def test_the_automatic_penalty_is_that_of_the_training_ratings(orientation, R, runs):
    model = AutoRec(
        **{**SMALL, "hidden_layer_sizes": (4, 3)}, orientation=orientation, early_stopping=True
    ).fit(R)
    _, objective, _, inputs, _ = runs[0]
    assert inputs.nnz < len(R)
    expected = automatic_penalties(model.network_, inputs, 0.5)
    assert objective.penalties == expected
    factor = model.input_map_.factor
    in_ratings = {name: pytest.approx(penalty / factor**2) for name, penalty in expected.items()}
    assert model.regularization_ == in_ratings
    assert list(expected) == ["encoder.weight", "hidden1.weight", "decoder.weight"]


@pytest.mark.parametrize("n_ratings", [1500, 3000])
def test_the_automatic_penalty_grows_with_the_count_that_a_rating_sees(n_ratings):
    """lambda = factor * (n_user n_item)^(1/4), n the mean count of the row of a rating."""
    R = make_ratings(120, 90, n_ratings, random_state=0)
    users, items, _ = R.positions()
    per_user, per_item = np.bincount(users), np.bincount(items)
    unit = (per_user[users].mean() * per_item[items].mean()) ** 0.25
    for orientation in ("item", "user"):
        model = AutoRec(**{**SMALL, "hidden_layer_sizes": (4, 3)}, orientation=orientation).fit(R)
        in_ratings = unit / model.input_map_.factor**2
        assert model.regularization_ == {
            "encoder.weight": pytest.approx(ENCODER_FACTOR * 0.5**2 * in_ratings),
            "hidden1.weight": pytest.approx(DECODER_FACTOR * in_ratings),
            "decoder.weight": pytest.approx(DECODER_FACTOR * in_ratings),
        }


@pytest.mark.filterwarnings("ignore::autorec_np.training.trainer.ConvergenceWarning")
@pytest.mark.parametrize(
    ("given", "corruption"),
    [({}, 0.5), ({"solver": "lbfgs"}, 0.0), ({"corruption": 0.2}, 0.2), ({"corruption": 0.0}, 0.0)],
)
def test_the_automatic_penalty_is_on_the_weight_that_acts_on_uncorrupted_inputs(
    given, corruption, R
):
    """Inputs that are kept are divided by 1 - p, so V / (1 - p) is what the penalty is about."""
    penalties = AutoRec(**SMALL, **given).fit(R).regularization_
    ratio = penalties["encoder.weight"] / penalties["decoder.weight"]
    assert ratio == pytest.approx(ENCODER_FACTOR / DECODER_FACTOR * (1 - corruption) ** 2)


@ORIENTATIONS
def test_on_five_thousand_ratings_the_defaults_are_as_good_as_the_biases(orientation):
    train, test = train_test_split(make_ratings(1000, 800, 5000, random_state=0), 0.1, 0)
    error, of_the_biases = (
        -model.fit(train).score(*test.triples())
        for model in (AutoRec(orientation, random_state=0), BiasBaseline())
    )
    assert error < 1.001 * of_the_biases


def test_the_automatic_penalty_of_tied_weights_has_both_parts(R, runs):
    AutoRec(**SMALL).fit(R)
    AutoRec(**SMALL, tied=True).fit(R)
    apart, tied = runs[0][1].penalties, runs[1][1].penalties
    assert tied == {"encoder.weight": pytest.approx(sum(apart.values()))}


def test_penalties_are_given_for_all_or_by_name(R, runs):
    assert AutoRec(**SMALL, regularization=7).fit(R).regularization_ == {
        "encoder.weight": 7.0,
        "decoder.weight": 7.0,
    }
    AutoRec(**SMALL, regularization={"decoder.weight": 3}).fit(R)
    assert runs[1][1].penalties == {"decoder.weight": 3.0}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_training_dtype_is_that_of_weights_and_codes(dtype, R, runs):
    model = AutoRec(**SMALL, dtype=dtype).fit(R)
    assert model.theta_.dtype == model.codes_.dtype == dtype
    assert runs[0][3].dtype == runs[0][4].dtype == dtype
    assert model.predict([0], [0]).dtype == np.float64


def test_predictions_are_clipped_to_the_scale_given(R):
    model = AutoRec(**SMALL, rating_scale=(1, 5.5)).fit(R)
    assert model.rating_scale_ == (1.0, 5.5)
    users, items, _ = R.triples()
    unstated = AutoRec(**SMALL).fit((users, items, np.minimum(R.triples()[2], 4)))
    assert unstated.rating_scale_ == (1.0, 4.0)


def test_a_bounded_output_needs_a_scale_with_two_ends(R):
    users, items, _ = R.triples()
    same = (users, items, np.full(len(R), 3.0))
    with pytest.raises(ValueError, match=r"every rating is 3.*pass rating_scale=\(low, high\)"):
        AutoRec(**SMALL, output_activation="sigmoid").fit(same)
    model = AutoRec(**SMALL, output_activation="sigmoid", rating_scale=(1, 5))
    with pytest.warns(UnsuitableRatingsWarning, match="every rating is 3"):
        model.fit(same)
    assert model.predict([0], [0]) == pytest.approx(3.0, abs=0.5)


@ORIENTATIONS
@pytest.mark.parametrize("changes", [{}, {"implicit": 3, "inputs": "planes"}], ids=str)
def test_a_column_is_believed_by_its_training_ratings(orientation, changes, R, monkeypatch):
    """Decoder weight and bias times n / (n + c), and so the predictions and those of newcomers."""
    options = {**SMALL, **changes, "orientation": orientation, "dtype": "float64"}
    model = AutoRec(**options).fit(R)
    monkeypatch.setattr(autorec, "automatic_shrinkage", lambda matrix: 0.0)
    whole = AutoRec(**options).fit(R)
    n_users, n_items = (np.bincount(at).clip(1).astype(float) for at in R.positions()[:2])
    per_user, per_item = n_users @ n_users / len(R), n_items @ n_items / len(R)
    assert model.shrinkage_ == pytest.approx(2**16 / (per_user * per_item), rel=0.05)
    assert whole.shrinkage_ == 0.0
    column = "user" if orientation == "item" else "item"
    n = model.fitted_.counts[column][:-1]
    kept = n / (n + model.shrinkage_)
    ours, theirs = model.fitted_.weights, whole.fitted_.weights
    np.testing.assert_array_equal(ours["encoder.weight"], theirs["encoder.weight"])
    expected = theirs["decoder.weight"] * kept[:, np.newaxis]
    np.testing.assert_allclose(ours["decoder.weight"], expected, rtol=1e-12)
    np.testing.assert_allclose(ours["decoder.bias"], theirs["decoder.bias"] * kept, rtol=1e-12)
    told = sparse.csr_array(([5.0, 1, 2, 4, 3], [0, 4, 7, 11, 29], [0, 5]), shape=(1, 30))
    part = 5 / (5 + model.shrinkage_) if column == "user" else kept
    records = model.fitted_, whole.fitted_, model.fitted_.cold_baseline
    [new], [of_whole], [base] = (score_new(one, told, "user", "baseline") for one in records)
    np.testing.assert_allclose(new - base, part * (of_whole - base), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("changes", [{"regularization": 3.0}, {"baseline": None}, {"tied": True}])
def test_without_a_baseline_or_with_an_explicit_penalty_nothing_is_shrunk(changes, R):
    assert AutoRec(**SMALL).fit(R).shrinkage_ > 0
    assert AutoRec(**{**SMALL, **changes}).fit(R).shrinkage_ == 0.0


# Targets, inputs, objective


@ORIENTATIONS
@BASELINES
def test_the_baseline_is_subtracted_from_the_targets_and_never_from_the_inputs(
    orientation, baseline, R, runs
):
    model = AutoRec(**SMALL, orientation=orientation, baseline=baseline, dtype="float64").fit(R)
    _, _, _, inputs, targets = runs[0]
    raw = oriented(model, R)
    for part in (inputs, targets):
        np.testing.assert_array_equal(part.indptr, raw.indptr)
        np.testing.assert_array_equal(part.indices, raw.indices)
    np.testing.assert_allclose(inputs.data, raw.data, rtol=1e-13)
    subtracted = model.input_map_.factor * baseline_matrix(model, R, baseline).data
    if baseline is not None:
        subtracted += model.input_map_.offset
    np.testing.assert_allclose(targets.data, raw.data - subtracted, rtol=1e-12, atol=1e-12)


@ORIENTATIONS
@BASELINES
def test_predictions_are_the_reconstruction_plus_the_baseline(orientation, baseline, R):
    model = AutoRec(**SMALL, orientation=orientation, baseline=baseline, dtype="float64").fit(R)
    raw = oriented(model, R)
    views = model.network_.layout.views(model.theta_)
    hidden = 1 / (1 + np.exp(-(raw.toarray() @ views["encoder.weight"] + views["encoder.bias"])))
    table = hidden @ views["decoder.weight"].T + views["decoder.bias"]
    table = table.T if orientation == "item" else table
    table = (table - model.output_map_.offset) / model.output_map_.factor
    fitted = {"bias": BiasBaseline(), "mean": GlobalMean(), None: None}[baseline]
    users, items = np.divmod(np.arange(40 * 30), 30)
    expected = table[users, items]
    if fitted is not None:
        expected = expected + fitted.fit(R).fitted_.score_pairs(users, items)
    warm = ~model.cold_pairs(users, items)
    np.testing.assert_allclose(
        model.predict(users, items)[warm], np.clip(expected, 1, 5)[warm], rtol=1e-12
    )


@ORIENTATIONS
@pytest.mark.parametrize(
    ("output", "scale"), [("sigmoid", (1, 5)), ("tanh", (0.5, 5.5)), ("identity", (0, 100))]
)
def test_a_bounded_output_has_the_objective_times_the_squared_map_factor(
    orientation, output, scale, R, runs
):
    model = AutoRec(
        **SMALL,
        orientation=orientation,
        output_activation=output,
        baseline=None,
        rating_scale=scale,
        regularization=3.0,
        dtype="float64",
    ).fit(R)
    width = {"sigmoid": 1.0, "tanh": 2.0, "identity": 100.0}[output]
    factor = width / (scale[1] - scale[0])
    _, objective, theta, inputs, targets = runs[0]
    assert objective.penalties == {
        "encoder.weight": pytest.approx(3.0 * factor**2, rel=1e-12),
        "decoder.weight": pytest.approx(3.0 * factor**2, rel=1e-12),
    }
    # the objective (2) in rating units: no map, the penalty as given
    lower = {"sigmoid": 0.0, "tanh": -1.0, "identity": 0.0}[output]
    outputs = model.network_.forward(theta, inputs, inputs).outputs
    in_ratings = (outputs - lower) / factor + (scale[0] if output != "identity" else 0.0)
    weights = [view for name, view in model.network_.layout.views(theta).items() if "wei" in name]
    expected = np.sum((inputs.data - in_ratings) ** 2)
    expected += 3.0 / 2 * sum(np.sum(weight**2) for weight in weights)
    assert objective.value(theta, inputs, targets) == pytest.approx(factor**2 * expected, rel=1e-12)
    assert targets.data.min() >= lower
    assert targets.data.max() <= lower + width


@ORIENTATIONS
@BASELINES
def test_the_mean_starts_in_the_decoder_weight_where_nothing_was_subtracted(
    orientation, baseline, R, runs
):
    options = {**SMALL, "orientation": orientation, "baseline": baseline}
    model = AutoRec(**options, regularization=0.01).fit(R)
    _, _, theta, _, targets = runs[0]
    views, rated = model.network_.layout.views(theta), np.unique(targets.indices)
    mean = targets.data.mean(dtype=np.float64)
    of_weight, of_bias = (mean, 0.0) if baseline is None else (0.0, mean)
    weights = views["decoder.weight"][rated]
    assert 6 * 0.5 * weights.mean() == pytest.approx(of_weight, abs=0.01)
    assert weights.std() < 0.02
    assert (views["decoder.bias"][rated] == np.float32(of_bias)).all()


@ORIENTATIONS
def test_the_mean_stays_in_the_bias_where_the_penalty_of_few_ratings_would_drive_it_there(
    orientation, R, runs
):
    model = AutoRec(**SMALL, orientation=orientation, baseline=None).fit(R)
    _, _, theta, _, targets = runs[0]
    bias = model.network_.layout.views(theta)["decoder.bias"]
    assert bias == pytest.approx(targets.data.mean(dtype=np.float64), rel=1e-6)


@pytest.mark.filterwarnings("ignore::autorec_np.training.trainer.ConvergenceWarning")
@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "relu"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_both_engines_start_at_the_same_place(solver, activation, R):
    options = {**SMALL, "solver": solver, "activation": activation, "baseline": None}
    options["regularization"] = 0.01
    plain, tiled = (
        AutoRec(**options, dtype="float64", engine=engine).fit(R).loss_curve_
        for engine in ("plain", "tiled")
    )
    assert plain == pytest.approx(tiled, rel=1e-10)


@ORIENTATIONS
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_the_batches_of_an_epoch_add_up_to_the_objective(orientation, solver, batch_size, R, runs):
    model = AutoRec(
        **{**SMALL, "max_iter": 2},
        orientation=orientation,
        solver=solver,
        batch_size=batch_size,
        regularization=1000.0,  # so that a penalty counted per batch would show
        corruption=0.0,
        learning_rate_init=1e-30,  # theta stays where it is
        dtype="float64",
    ).fit(R)
    _, objective, theta, inputs, targets = runs[0]
    np.testing.assert_allclose(model.theta_, theta, rtol=0, atol=1e-27)
    value = objective.value(theta, inputs, targets)
    assert model.loss_curve_ == pytest.approx([value, value], rel=1e-12)


@ORIENTATIONS
@pytest.mark.parametrize("solver", ["lbfgs", "scipy-lbfgs"])
def test_a_full_batch_solver_ends_where_the_gradient_of_the_whole_objective_is_zero(
    orientation, solver, R, runs
):
    model = AutoRec(
        **{**SMALL, "max_iter": 1000},
        orientation=orientation,
        solver=solver,
        regularization=40.0,
        dtype="float64",
        tol=1e-13,
    ).fit(R)
    _, objective, theta, inputs, targets = runs[0]
    _, start = objective.value_and_gradient(theta, inputs, targets)
    _, end = objective.value_and_gradient(model.theta_, inputs, targets)
    assert np.linalg.norm(end) < 1e-4 * np.linalg.norm(start)


# A user who was not in training


def of_user(R, user):
    ids, rated, ratings = R.triples()
    return rated[ids == user], ratings[ids == user]


@BASELINES
@pytest.mark.parametrize("output", ["identity", "sigmoid"])
def test_a_new_user_with_the_ratings_of_a_trained_row_gets_its_predictions(baseline, output, R):
    if output == "sigmoid" and baseline is not None:
        baseline = "auto"
    model = AutoRec(
        **SMALL, orientation="user", baseline=baseline, output_activation=output, dtype="float64"
    ).fit(R)
    for user in (0, 17, 39):
        np.testing.assert_allclose(
            model.predict_new(of_user(R, user)),
            model.predict(np.full(30, user), R.item_ids),
            rtol=1e-10,
        )


def column_problem(model, R, items, ratings, baseline):
    """Codes, targets and penalty of a new user's ridge problem, from public attributes."""
    fitted = BiasBaseline().fit(R).biases_
    new_bias = (ratings - fitted.mean - fitted.item[items]).sum() / (len(items) + 5.0)
    base = {
        "bias": fitted.mean + fitted.item + new_bias,
        "mean": np.full(30, fitted.mean),
        None: np.zeros(30),
    }[baseline]
    codes = model.codes_.astype(np.float64)
    return codes, ratings - base[items], base


def solve_primal(codes, targets, penalty):
    """Minimize sum (t - [h 1] x)^2 + penalty/2 ||w||^2 by its (k + 1) x (k + 1) system."""
    design = np.column_stack([codes, np.ones(len(codes))])
    ridge = np.diag(np.append(np.full(codes.shape[1], penalty / 2), 0.0))
    return np.linalg.solve(design.T @ design + ridge, design.T @ targets)


@BASELINES
@pytest.mark.parametrize(
    ("tied", "regularization", "penalty"),
    [
        (False, 4.0, 4.0),
        (False, {"encoder.weight": 1.0, "decoder.weight": 9.0}, 9.0),
        (False, {"encoder.weight": 1.0}, 0.0),
        (True, 4.0, 8.0),  # tied weights carry both penalties of (2)
        (True, {"encoder.weight": 1.0, "decoder.weight": 9.0}, 10.0),
    ],
)
def test_a_new_column_is_the_ridge_solution_with_the_codes_frozen(
    baseline, tied, regularization, penalty, R
):
    model = AutoRec(
        **SMALL, baseline=baseline, tied=tied, regularization=regularization, dtype="float64"
    ).fit(R)
    items = np.array([4, 0, 11, 29, 7, 8, 9, 12])
    ratings = np.array([5.0, 1.0, 2.0, 4.0, 3.0, 2.0, 5.0, 1.0])
    codes, targets, base = column_problem(model, R, items, ratings, baseline)
    solution = solve_primal(codes[items], targets, penalty)
    expected = np.clip(codes @ solution[:-1] + solution[-1] + base, 1, 5)
    warm = model.item_counts_ > 0
    np.testing.assert_allclose(model.predict_new((items, ratings))[warm], expected[warm], rtol=1e-6)


@pytest.mark.parametrize("output", ["identity", "sigmoid", "tanh", "softplus"])
def test_a_new_column_minimizes_its_part_of_the_objective(output):
    rng = np.random.default_rng(0)
    codes = rng.random((9, 5))
    targets = rng.uniform(0.1, 0.9, 9)
    weight, bias = fit_column(codes, targets, 0.3, output)

    def objective(weight, bias):
        outputs = ACTIVATIONS[output].forward(codes @ weight + bias)
        return np.sum((targets - outputs) ** 2) + 0.3 / 2 * np.sum(weight**2)

    least = objective(weight, bias)
    for size in (1e-3, 1e-1):
        for step in rng.normal(0, size, (200, 6)):
            assert objective(weight + step[:-1], bias + step[-1]) > least
    # and the first derivatives vanish
    for direction in np.eye(6):
        ahead = objective(weight + 1e-5 * direction[:-1], bias + 1e-5 * direction[-1])
        behind = objective(weight - 1e-5 * direction[:-1], bias - 1e-5 * direction[-1])
        assert abs(ahead - behind) / 2e-5 < 1e-5


def test_a_new_column_has_fewer_or_more_ratings_than_codes_and_no_penalty():
    rng = np.random.default_rng(1)
    codes, targets = rng.random((4, 9)), rng.random(4)
    weight, bias = fit_column(codes, targets, 0.0)
    np.testing.assert_allclose(codes @ weight + bias, targets, atol=1e-9)
    weight, bias = fit_column(codes[:1], targets[:1], 0.0)
    assert weight.tolist() == [0.0] * 9
    assert bias == pytest.approx(targets[0])
    codes, targets = rng.random((50, 3)), rng.random(50)
    np.testing.assert_allclose(
        np.append(*fit_column(codes, targets, 2.0)), solve_primal(codes, targets, 2.0), rtol=1e-8
    )


@pytest.mark.parametrize("output", ["identity", "sigmoid"])
def test_at_the_minimum_a_trained_column_is_its_own_solution(output, R):
    """There the decoder weights and the bias of every user minimize (2) given the codes."""
    model = AutoRec(
        **{**SMALL, "max_iter": 1000},
        output_activation=output,
        solver="lbfgs",
        regularization=40.0,
        dtype="float64",
        tol=1e-9,
    ).fit(R)
    for user in (0, 17, 39):
        np.testing.assert_allclose(
            model.predict_new(of_user(R, user)),
            model.predict(np.full(30, user), R.item_ids),
            atol=2e-4,
        )


@ORIENTATIONS
def test_a_new_user_changes_nothing(orientation, R):
    model = AutoRec(**SMALL, orientation=orientation).fit(R)
    before, names = copy.deepcopy(model), vars(model).keys()
    items, ratings = np.array([7, 0, 11]), np.array([5.0, 1.0, 2.0])
    model.predict_new((items, ratings))
    model.recommend_new((items, ratings))
    assert items.tolist() == [7, 0, 11]
    assert ratings.tolist() == [5.0, 1.0, 2.0]
    np.testing.assert_array_equal(model.theta_, before.theta_)
    np.testing.assert_array_equal(model.codes_, before.codes_)
    assert vars(model).keys() == names


@ORIENTATIONS
@pytest.mark.parametrize(
    ("told", "error", "message"),
    [
        ({1000: 4.0}, ValueError, "1 of 1 item ids are not in the training .* example 1000"),
        ({"1": 4.0}, TypeError, "item ids of these ratings are integers"),
        (([1, 2, 1], [4.0, 3.0, 2.0]), ValueError, "index 0 and index 2"),
        ({1: 5.5}, ValueError, r"5.5, outside the stated scale \[1, 5\]"),
        ({1: np.nan}, ValueError, "nan, which is not finite"),
        (([1, 2], [4.0]), ValueError, "same length"),
        ([1, 2, 3], TypeError, "must be a mapping .*or a pair .*got list"),
        ((1, 4.0), TypeError, r"item ids must be a sequence of ids, got 1"),
    ],
)
def test_the_ratings_of_a_new_user_are_checked(orientation, told, error, message, R):
    model = AutoRec(**{**SMALL, "max_iter": 1}, orientation=orientation).fit(R)
    for method in (model.predict_new, model.recommend_new):
        with pytest.raises(error, match=message):
            method(told)


def test_the_items_asked_for_a_new_user_are_checked(R):
    model = AutoRec(**{**SMALL, "max_iter": 1}).fit(R)
    with pytest.raises(ValueError, match=r"1 of 2 item ids .*example 99; leave them out"):
        model.predict_new({1: 4.0}, [1, 99])
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        model.recommend_new({1: 4.0}, n=0)
    by_index = AutoRec(**{**SMALL, "max_iter": 1}).fit(R.matrix)
    with pytest.raises(IndexError, match="item index 30 is out of range"):
        by_index.predict_new({1: 4.0}, [30])
    with pytest.raises(IndexError, match="item index -1 is out of range"):
        by_index.recommend_new({-1: 4.0})


@ORIENTATIONS
def test_a_new_user_may_come_to_ratings_that_are_all_equal(orientation, R):
    users, items, _ = R.triples()
    model = AutoRec(**SMALL, orientation=orientation)
    with pytest.warns(UnsuitableRatingsWarning, match="every rating is 3"):
        model.fit((users, items, np.full(len(R), 3.0)))
    np.testing.assert_allclose(model.predict_new({1: 3.0}), 3.0)


# Validation and early stopping


@ORIENTATIONS
def test_early_stopping_holds_out_training_ratings_and_restores_the_best(
    orientation, R, runs, monkeypatch
):
    splits = []

    def spy(*args):
        splits.append(train_test_split(*args))
        return splits[-1]

    monkeypatch.setattr(autorec, "train_test_split", spy)
    model = AutoRec(
        **{**SMALL, "max_iter": 200},
        orientation=orientation,
        regularization=0.1,
        learning_rate="constant",
        learning_rate_init=0.1,  # soon overfits
        early_stopping=True,
        validation_fraction=0.2,
        n_iter_no_change=5,
    ).fit(R)
    ((training, held_out),) = splits
    assert len(held_out) == np.ceil(0.2 * len(R))
    best = int(np.argmin(model.validation_curve_))
    assert best < model.n_iter_ - 1 < 199
    assert len(model.validation_curve_) == len(model.loss_curve_) == model.n_iter_

    # the network, the baseline and the automatic penalty know the training part only
    _, _, _, inputs, targets = runs[0]
    np.testing.assert_array_equal(inputs.toarray(), oriented(model, training).toarray())
    residuals = oriented(model, training) - baseline_matrix(model, training, "bias")
    np.testing.assert_allclose(targets.toarray(), residuals.toarray(), atol=1e-5)
    assert model.user_counts_.tolist() == np.diff(training.matrix.indptr).tolist()

    # the best weights score what the curve says, when they read the training part only
    as_then = with_record(
        model,
        codes=model.network_.encode(model.theta_, oriented(model, training, dtype=np.float32)),
    )
    achieved = -as_then.score(*held_out.triples())
    assert achieved == pytest.approx(model.validation_curve_[best], rel=1e-6)
    # afterwards every rating is read, and none that was held out is recommended
    np.testing.assert_array_equal(
        model.codes_, model.network_.encode(model.theta_, oriented(model, R, dtype=np.float32))
    )
    assert model.ratings_ is R


def test_early_stopping_uses_the_validation_ratings_where_they_are_given(R, monkeypatch):
    def fail(*args):
        raise AssertionError("nothing is to be held out")

    monkeypatch.setattr(autorec, "train_test_split", fail)
    train, validation = train_test_split(R, 0.2, 0)
    model = AutoRec(**SMALL, early_stopping=True).fit(train, validation=validation)
    assert model.user_counts_.sum() == len(train)
    assert min(model.validation_curve_) == pytest.approx(-model.score(*validation.triples()), 1e-6)


@pytest.mark.parametrize("cold", ["raise", "baseline", 3.0])
def test_cold_validation_pairs_count_and_never_raise(cold, R):
    train, validation = train_test_split(R, 0.2, 0)
    pairs = [*zip(*validation.triples(), strict=True), (1000, 0, 5.0), (0, 1000, 1.0), (3, 0, 4.0)]
    extended = Ratings.from_triples(*map(list, zip(*pairs, strict=True)))
    model = AutoRec(**SMALL, cold=cold).fit(train, validation=extended)
    scored = model if cold != "raise" else copy.copy(model).set_params(cold="baseline")
    expected = -scored.score(*extended.triples())
    assert model.validation_curve_[-1] == pytest.approx(expected, rel=1e-6)
    sparse_ratings = Ratings.from_triples([0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4])
    AutoRec(**SMALL, cold=cold, early_stopping=True, validation_fraction=0.5).fit(sparse_ratings)


def test_wrong_validation_ratings_are_an_error(R):
    with pytest.raises(TypeError, match="user ids of these ratings are integers"):
        AutoRec(**SMALL).fit(R, validation=(["a"], [1], [3.0]))
    with pytest.raises(ValueError, match="no ratings"):
        AutoRec(**SMALL).fit(R, validation=R.select([]))
    with pytest.raises(IndexError, match="item index 30 is out of range"):
        AutoRec(**SMALL).fit(R.matrix, validation=([0], [30], [3.0]))


def test_a_given_generator_is_advanced_and_an_int_is_not(R):
    generator = np.random.default_rng(0)
    first = AutoRec(**{**SMALL, "random_state": generator}).fit(R)
    second = AutoRec(**{**SMALL, "random_state": generator}).fit(R)
    assert not np.array_equal(first.theta_, second.theta_)
    model = AutoRec(**SMALL).fit(R)
    theta = model.theta_.copy()
    np.testing.assert_array_equal(model.fit(R).theta_, theta)


# Warm start


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_layer_sizes": (5,)},
        {"hidden_layer_sizes": (6, 6)},
        {"tied": True},
        {"orientation": "user"},
    ],
)
def test_warm_start_needs_the_same_network(changes, R):
    model = AutoRec(**SMALL, warm_start=True).fit(R)
    with pytest.raises(ValueError, match=r"warm_start=True needs .*use warm_start=False"):
        model.set_params(**changes).fit(R)


@BASELINES
def test_a_warm_start_begins_where_the_last_training_ended(baseline, R, runs):
    model = AutoRec(**SMALL, baseline=baseline, warm_start=True).fit(R)
    theta = model.theta_.copy()
    model.fit(R)
    start, views = runs[1][2], model.network_.layout.views
    assert (model.shrinkage_ > 0) == (baseline is not None)
    kept = reliability(model.user_counts_, model.shrinkage_)
    for name, block in views(theta).items():
        expected = block
        if name.startswith("decoder") and baseline is not None:
            kept_each = np.where(kept, kept, 1.0).reshape(-1, *[1] * (block.ndim - 1))
            expected = block / kept_each
        np.testing.assert_allclose(views(start)[name], expected, rtol=1e-6)


def test_a_warm_start_does_not_take_a_square_matrix_for_its_transpose():
    square = make_ratings(20, 20, 200, random_state=0)
    model = AutoRec(**SMALL, warm_start=True).fit(square)
    with pytest.raises(ValueError, match="warm_start=True needs the orientation"):
        model.set_params(orientation="user").fit(square)


@ORIENTATIONS
def test_a_parameter_set_after_fit_waits_for_the_next_fit(orientation, tmp_path):
    square = make_ratings(20, 20, 200, random_state=0)
    other = {"item": "user", "user": "item"}[orientation]
    model = AutoRec(**SMALL, orientation=orientation).fit(square)
    users, items = np.divmod(np.arange(400), 20)
    told = {1: 5.0, 7: 2.0}
    before = model.predict(users, items), model.recommend([0, 1])[1], model.predict_new(told)
    model.set_params(orientation=other)
    save_model(model, tmp_path / "model.npz")
    for same in (model, load_model(tmp_path / "model.npz")):
        assert same.orientation_ == orientation
        after = same.predict(users, items), same.recommend([0, 1])[1], same.predict_new(told)
        for one, two in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, two)
    assert model.fit(square).orientation_ == other


def test_warm_start_needs_the_same_ids(R):
    users, items, ratings = R.triples()
    model = AutoRec(**SMALL, warm_start=True).fit((users, items, ratings))
    with pytest.raises(ValueError, match="warm_start=True needs the orientation, users"):
        model.fit((users + 1, items, ratings))
    model.fit((users, items * 2, ratings))  # items are rows here, which have no weights
    model.set_params(dtype="float64").fit((users, items, np.minimum(ratings, 4)))
    assert model.theta_.dtype == np.float64


# Divergence


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_an_absurd_learning_rate_is_an_error(solver, R):
    model = AutoRec(
        **{**SMALL, "max_iter": 30},
        solver=solver,
        activation="identity",
        learning_rate="constant",
        learning_rate_init=1e30,
        batch_size=8,
    )
    with pytest.raises(DivergenceError, match=r"iteration 1; .* lower learning_rate_init"):
        model.fit(R)
    with pytest.raises(DivergenceError):
        model.fit(R, validation=R)
    with pytest.raises(NotFittedError):
        model.predict([0], [0])


@pytest.mark.parametrize("validation", [False, True])
def test_weights_that_explode_in_the_last_step_are_an_error(validation, R):
    model = AutoRec(**{**SMALL, "max_iter": 1}, solver="sgd", learning_rate_init=1e38)
    with pytest.raises(DivergenceError, match="lower learning_rate_init"):
        model.fit(R, validation=R if validation else None)


# Quality


@pytest.fixture(scope="module")
def planted():
    """Ratings with little noise: the best attainable RMSE is 0.488."""
    ratings = make_ratings(
        200, 300, 20_000, popularity=0.3, activity=0.3, noise=0.4, random_state=0
    )
    return train_test_split(ratings, 0.1, 0)


@pytest.mark.parametrize(
    "parameters",
    [
        {},  # who sets nothing
        {"orientation": "user", "hidden_layer_sizes": (20,), "solver": "lbfgs"},
        {"hidden_layer_sizes": (20,), "regularization": 50.0, "batch_size": 32},
        {  # the paper's model
            "hidden_layer_sizes": (20,),
            "implicit": 0,
            "inputs": "ratings",
            "baseline": None,
            "regularization": 60.0,
            "solver": "rprop",
            "tol": 1e-3,
            "cold": 3.0,
        },
    ],
    ids=["defaults", "U-AutoRec", "small batches", "paper"],
)
def test_autorec_beats_the_biases_and_they_beat_the_mean(parameters, planted):
    train, test = planted
    model, biases, mean = (
        -fitted.fit(train).score(*test.triples())
        for fitted in (AutoRec(**parameters, random_state=0), BiasBaseline(), GlobalMean())
    )
    assert 0.488 < model < biases - 0.015
    assert biases < mean - 0.15


# Log


def test_progress_is_logged_on_request_and_never_printed(R, caplog, capsys):
    caplog.set_level(logging.INFO, logger="autorec_np")
    AutoRec(**SMALL).fit(R)
    assert caplog.messages == []
    AutoRec(**SMALL, verbose=True).fit(R, validation=R)
    assert len(caplog.messages) == 4
    assert caplog.messages[0].startswith("epoch 1 of 4: objective ")
    assert "validation RMSE 0." in caplog.messages[0]
    assert capsys.readouterr() == ("", "")


# Ratings that rank nothing


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full(600, 4.0), "every rating is 4"),
        (np.arange(600) % 3 == 0, "every rating is 0 or 1, and 33% are 1"),
        (np.exp(np.random.default_rng(0).normal(1, 1.6, 600)) // 1 + 1, "counts with a long tail"),
    ],
    ids=["equal", "choices", "counts"],
)
def test_ratings_that_rank_nothing_are_said_where_fit_is_called(values, message, R):
    users, items, _ = R.triples()
    values = values[: len(users)].astype(float)
    for fit in (AutoRec(**SMALL).fit, AutoRec(**SMALL).partial_fit):
        with pytest.warns(UnsuitableRatingsWarning, match=message):
            model = fit((users, items, values))
        assert np.isfinite(model.predict(users, items)).all()
    with pytest.warns(UnsuitableRatingsWarning) as caught:
        AutoRec(**SMALL).fit((users, items, values))
    assert caught[0].filename == __file__


def test_lists_of_choices_can_be_judged_as_the_warning_says(R):
    users, items, _ = R.triples()
    liked = (np.arange(len(users)) % 3 == 0).astype(float)
    train, test = train_test_split(Ratings.from_triples(users, items, liked), 0.3, 0)
    with pytest.warns(UnsuitableRatingsWarning) as caught:
        model = AutoRec(**SMALL).fit(train)
    call = "autorec_np.evaluate_ranking("
    assert 0 <= follow(caught[0].message, call, model=model, test=test).ndcg <= 1


def test_equal_ratings_are_predicted_in_every_unit():
    users, items = np.divmod(np.arange(30), 6)
    for value in (3.0, 1e5, -0.001):
        for scale in (None, (value - 1, value + 1)):
            with pytest.warns(UnsuitableRatingsWarning, match="every rating is"):
                model = AutoRec(**SMALL, rating_scale=scale).fit((users, items, np.full(30, value)))
            np.testing.assert_allclose(model.predict(users, items), value, rtol=1e-6, atol=0.02)
