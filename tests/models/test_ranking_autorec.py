"""Lists by the objective over all cells: what the network minimizes, and new columns."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import reference

from autorec_np.core.kernels import with_data
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.data.values import UnsuitableRatingsWarning
from autorec_np.evaluation.held_out import evaluate_ranking
from autorec_np.models.autorec import AutoRec
from autorec_np.models.ranking_autorec import RankingAutoRec, onto_unit
from autorec_np.training.trainer import ConvergenceWarning, short_on_purpose

RATINGS = make_ratings(n_users=30, n_items=20, n_ratings=240, random_state=0)
SETTINGS = {
    "hidden_layer_sizes": (3,),
    "regularization": 2.0,
    "unobserved_weight": 0.3,
    "unobserved_target": 0.1,
    "max_iter": 5,
    "dtype": "float64",
    "random_state": 0,
}


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("values", ["binary", "counts", "ratings"])
@pytest.mark.parametrize("implicit", [0, 2])
def test_a_new_column_is_the_minimum_over_all_rows(orientation, values, implicit):
    """(75), from the normal equations of all cells, one after the other."""
    model = RankingAutoRec(
        **SETTINGS, orientation=orientation, values=values, implicit=implicit
    ).fit(RATINGS)
    fitted = model.fitted_
    rows = RATINGS.matrix if orientation == "item" else RATINGS.matrix.T.tocsr()
    few = rows[np.arange(4)]  # columns of the network, as rows
    told = fitted.told(few)
    shares = fitted.implicit and fitted.implicit.shares_of(told)
    weights, biases = fitted.fit_columns(few, few.data, shares)
    counts = values == "counts"
    t = fitted.input_map(told.data) if values == "ratings" else np.ones(told.nnz)
    wanted, weighs = reference.every_cell(
        with_data(told, t), 0.3, 0.1, told.data if counts else None
    )
    for column in range(4):
        share = np.zeros(4)
        if implicit:
            share[:2] = shares[column]
        normal, right = np.diag([1.0, 1.0, 1.0, 0.0]), share * [1.0, 1.0, 1.0, 0.0]  # lambda / 2
        for row, code in enumerate(fitted.codes):
            z = np.append(code, 1.0)
            normal += weighs[column, row] * np.outer(z, z)
            right += weighs[column, row] * wanted[column, row] * z
        expected = np.linalg.solve(normal, right)
        np.testing.assert_allclose(weights[column], expected[:3], rtol=1e-9)
        assert biases[column] == pytest.approx(expected[3], rel=1e-9)


def test_a_column_without_interactions_has_the_target_everywhere():
    model = RankingAutoRec(**SETTINGS).fit(RATINGS)
    nothing = RATINGS.matrix[[0]] * 0
    nothing.eliminate_zeros()
    weights, biases = model.fitted_.fit_columns(nothing, nothing.data, None)
    assert not weights.any()
    assert biases.tolist() == [0.1]


# Dense problems: (70) with all cells at hand


def every_column(orientation):
    return RATINGS.matrix if orientation == "item" else RATINGS.matrix.T.tocsr()


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("values", ["binary", "counts", "ratings"])
@pytest.mark.parametrize("implicit", [0, 2])
def test_the_gradient_vanishes_at_a_new_column(orientation, values, implicit):
    model = RankingAutoRec(
        **SETTINGS, orientation=orientation, values=values, implicit=implicit, threshold=2
    ).fit(RATINGS)
    fitted = model.fitted_
    few = every_column(orientation)[np.arange(4)]
    told = fitted.told(few)
    shares = fitted.implicit and fitted.implicit.shares_of(told)
    weights, biases = fitted.fit_columns(few, few.data, shares)
    t = fitted.input_map(told.data) if values == "ratings" else np.ones(told.nnz)
    wanted, weighs = reference.every_cell(
        with_data(told, t), 0.3, 0.1, told.data if values == "counts" else None
    )
    share = np.zeros((4, 3))
    if implicit:
        share[:, :2] = shares

    def objective(theta):
        own = theta.reshape(4, 4)
        outputs = own @ np.column_stack([fitted.codes, np.ones(len(fitted.codes))]).T
        penalty = model.regularization_["decoder.weight"] / 2
        return np.sum(weighs * (wanted - outputs) ** 2) + penalty * np.sum(
            (own[:, :3] - share) ** 2
        )

    found = np.column_stack([weights, biases]).ravel()
    for place in range(len(found)):
        step = np.zeros(len(found))
        step[place] = 1e-5
        slope = (objective(found + step) - objective(found - step)) / 2e-5
        assert abs(slope) < 1e-4
        assert objective(found + 1e3 * step) > objective(found)


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied": True, "hidden_layer_sizes": (3,)},
        {"implicit": 2},
        {"hidden_layer_sizes": (4, 3)},
        {"values": "ratings", "threshold": 3},
        {"values": "counts"},
    ],
    ids=str,
)
def test_the_last_value_is_that_of_all_cells(orientation, changes):
    """From the scores of every pair, which is what is minimized, and the weights."""
    settings = {**SETTINGS, "max_iter": 12, **changes}
    with short_on_purpose():
        model = RankingAutoRec(orientation, **settings, solver="lbfgs").fit(RATINGS)
    fitted = model.fitted_
    told = fitted.told(RATINGS.matrix)
    t = fitted.input_map(told.data) if model.values == "ratings" else np.ones(told.nnz)
    wanted, weighs = reference.every_cell(
        with_data(told, t), 0.3, 0.1, told.data if model.values == "counts" else None
    )
    scores = fitted.score_all_items(np.arange(RATINGS.n_users))
    columns = fitted.counts[fitted.axes.column][:-1] > 0
    counted = columns if orientation == "user" else columns[:, np.newaxis]
    errors = np.sum(counted * weighs * (wanted - scores) ** 2)
    views = fitted.network.layout.views(fitted.theta.copy())
    penalized = {name: view for name, view in views.items() if name.endswith(".weight")}
    if fitted.implicit is not None:
        penalized["decoder.weight"][:, :2] -= fitted.implicit.shares
        penalized["implicit.weight"] = fitted.implicit.weight
    penalties = sum(
        model.regularization_.get(name, 0.0) / 2 * np.sum(view**2)
        for name, view in penalized.items()
    )
    assert model.loss_curve_[-1] == pytest.approx(errors + penalties, rel=1e-6)


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_without_a_weight_it_is_the_masked_objective_to_the_bit(orientation, solver):
    """The same network as an AutoRec that is told the same ones."""
    ones = RATINGS.matrix.copy()
    ones.data[:] = 1.0
    common = {
        "orientation": orientation,
        "hidden_layer_sizes": (3,),
        "regularization": 2.0,
        "solver": solver,
        "max_iter": 5,
        "random_state": 0,
        "implicit": 0,
    }
    starts = []
    for model in (
        RankingAutoRec(**common, unobserved_weight=0.0),
        AutoRec(**common, baseline=None, inputs="ratings"),
    ):
        with short_on_purpose(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UnsuitableRatingsWarning)
            task = model._prepare(ones, None, np.random.default_rng(0))
            theta = np.random.default_rng(1).normal(0, 0.1, task.theta.size).astype(np.float32)
            inputs, cells = task.inputs, task.targets
            starts.append(task.objective().value_and_gradient(theta, inputs, cells))
    (value, gradient), (masked, expected) = starts
    assert value == masked
    np.testing.assert_array_equal(gradient, expected)


# Around the training


def lists_of(model, n=5):
    return model.recommend(RATINGS.user_ids, n)[0].tolist()


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("implicit", [0, 2])
def test_warm_start_goes_on_where_the_last_fit_ended(orientation, implicit):
    with short_on_purpose():
        model = RankingAutoRec(
            orientation, **SETTINGS, implicit=implicit, solver="lbfgs", warm_start=True
        ).fit(RATINGS)
        first = model.loss_curve_
        model.fit(RATINGS)
    assert first[-1] > model.loss_curve_[0] > 0.8 * first[-1]
    users, items, _ = RATINGS.positions()
    fewer = RATINGS.select((users > 0) & (items > 0)).filter(min_user=1, min_item=1)
    with pytest.raises(ValueError, match=r"warm_start=True needs the orientation"):
        model.fit(fewer)


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_early_stopping_follows_the_lists(orientation):
    train, test = train_test_split(RATINGS, 0.2, random_state=0)
    model = RankingAutoRec(orientation, **{**SETTINGS, "max_iter": 8}).fit(train, test)
    assert len(model.validation_curve_) == 8
    measured = evaluate_ranking(model, test, threshold=1)
    assert measured.n_users == np.count_nonzero(np.diff(test.matrix.indptr))
    assert model.validation_curve_[-1] == pytest.approx(1 - measured.ndcg, abs=1e-12)

    stopped = RankingAutoRec(
        orientation, **{**SETTINGS, "max_iter": 30}, early_stopping=True, n_iter_no_change=3
    ).fit(RATINGS)
    best = int(np.argmin(stopped.validation_curve_))
    assert stopped.n_iter_ < 30
    assert stopped.n_iter_ >= best + 1
    again = RankingAutoRec(
        orientation, **{**SETTINGS, "max_iter": 30}, early_stopping=True, n_iter_no_change=3
    ).fit(RATINGS)
    assert again.theta_.tobytes() == stopped.theta_.tobytes()
    rng = np.random.default_rng(0)
    split = train_test_split(RATINGS, 0.1, random_state=rng)
    given = RankingAutoRec(orientation, **{**SETTINGS, "max_iter": 30, "random_state": rng})
    followed = given.fit(*split).validation_curve_
    assert stopped.validation_curve_ == followed[: stopped.n_iter_]
    # what was held out is seen, and read
    fitted = stopped.fitted_
    read = fitted.read(fitted.axes.orient(RATINGS.matrix))
    codes = fitted.network.encode(fitted.theta, read)
    np.testing.assert_allclose(stopped.codes_, codes, rtol=1e-12)
    assert stopped.ratings_ is RATINGS
    assert len(stopped.fitted_.training) < len(RATINGS)
    seen = RATINGS.matrix.toarray() != 0
    for user, ids in enumerate(stopped.recommend(RATINGS.user_ids, 5)[0]):
        found = [one for one in ids if one is not None]
        assert not seen[user, RATINGS.item_positions(found)].any()


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_held_out_ratings_below_the_threshold_are_not_wanted(orientation):
    train, test = train_test_split(RATINGS, 0.2, random_state=0)
    model = RankingAutoRec(orientation, **SETTINGS, threshold=3).fit(train, test)
    measured = evaluate_ranking(model, test, threshold=3)
    assert measured.ndcg != evaluate_ranking(model, test, threshold=1).ndcg
    assert model.validation_curve_[-1] == pytest.approx(1 - measured.ndcg, abs=1e-12)


def test_how_often_is_a_weight_and_is_not_read():
    model = RankingAutoRec(**SETTINGS, values="counts").fit(RATINGS)
    read = model.fitted_.read(RATINGS.matrix)
    assert (read.data == 1).all()
    codes = model.network_.encode(model.theta_, read)
    np.testing.assert_allclose(model.codes_, codes, rtol=1e-12)


def test_every_output_starts_from_the_target():
    task = RankingAutoRec(**SETTINGS)._prepare(RATINGS, None, np.random.default_rng(0))
    assert (task.network.layout.views(task.theta)["decoder.bias"] == 0.1).all()


def test_held_out_interactions_of_nobody_known_are_refused():
    with pytest.raises(ValueError, match="no held-out interaction is of a known user and item"):
        RankingAutoRec(**SETTINGS).fit(RATINGS, ([1000], [2000]))


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize(
    "changes", [{}, {"implicit": 2}, {"values": "ratings", "threshold": 3}], ids=str
)
def test_a_visitor_who_stays_keeps_the_scores(orientation, changes):
    model = RankingAutoRec(orientation, **SETTINGS, **changes).fit(RATINGS)
    liked = RATINGS.item_ids[[1, 4, 6]]
    told = dict.fromkeys(liked.tolist(), 5.0)
    before = model.recommend_new(told, 10)
    newcomer = int(RATINGS.user_ids.max()) + 1
    pairs = [newcomer] * 3, liked
    model.partial_fit((*pairs, [5.0] * 3) if changes.get("values") else pairs)
    ids, scores = model.recommend([newcomer], 10)
    assert ids[0].tolist() == before.ids.tolist()
    np.testing.assert_allclose(scores[0], before.scores, rtol=1e-9)
    assert model.user_counts_[-1] == 3
    assert not {*ids[0]} & {*liked.tolist()}


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("implicit", [0, 2])
def test_a_column_that_is_told_again_is_a_new_one(orientation, implicit):
    """With a threshold, only what reaches it counts, in the shares of an implicit decoder too."""
    model = RankingAutoRec(orientation, **SETTINGS, implicit=implicit, threshold=3).fit(RATINGS)
    axes, codes = model.fitted_.axes, model.codes_.copy()
    place = 2  # of a column
    known = every_column(orientation)[[place]]
    users, items = axes.users_and_items(known.indices, np.full(known.nnz, place))
    ids = RATINGS.user_ids[users], RATINGS.item_ids[items]
    model.partial_fit((*ids, known.data))
    np.testing.assert_allclose(model.codes_, codes, rtol=1e-9)
    fitted = model.fitted_
    shares = fitted.implicit and fitted.implicit.shares_of(fitted.told(known))
    weights, biases = fitted.fit_columns(known, known.data, shares)
    np.testing.assert_array_equal(fitted.weights["decoder.weight"][[place]], weights)
    assert fitted.weights["decoder.bias"][place] == biases[0]


def test_tied_weights_cannot_take_in_interactions():
    model = RankingAutoRec(**SETTINGS, tied=True).fit(RATINGS)
    with pytest.raises(ValueError, match="tied=True"):
        model.partial_fit(([1], [2]))


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_features_are_read(orientation):
    rng = np.random.default_rng(0)
    ids = RATINGS.item_ids if orientation == "item" else RATINGS.user_ids
    table = pd.DataFrame({orientation: ids, "a": rng.normal(size=len(ids))})
    with_features = RATINGS.with_features(**{f"{orientation}s": table})
    model = RankingAutoRec(orientation, **SETTINGS).fit(with_features)
    assert model.network_.n_inputs == model.network_.n_columns + 2  # and whether it is known
    assert lists_of(model) != lists_of(RankingAutoRec(orientation, **SETTINGS).fit(RATINGS))
    assert len(model.recommend_new(RATINGS.item_ids[:3]).ids) == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unobserved_weight": -1}, "unobserved_weight must be"),
        ({"unobserved_target": np.nan}, "unobserved_target must be"),
        ({"threshold": np.inf}, "threshold must be"),
        ({"threshold": 6}, "no rating reaches threshold=6"),
        ({"values": "log"}, "values must be one of"),
        ({"regularization": "none"}, "regularization must be"),
        ({"regularization": -1.0}, "regularization must be"),
        ({"implicit": 4}, "implicit=4 is more than the 3 units"),
        ({"tied": True, "implicit": 1}, "tied=True makes one weight"),
        ({"solver": "lbfgs", "dropout": 0.5}, "one fixed function"),
        ({"engine": "gpu"}, "engine must be one of"),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_used_are_refused(changes, message):
    model = RankingAutoRec(**{**SETTINGS, **changes})
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(RATINGS)
    assert not hasattr(model, "fitted_")


def test_a_column_alone_without_a_penalty_has_the_solution_of_least_norm():
    settings = {**SETTINGS, "orientation": "item"}
    settings |= {"regularization": 0.0, "unobserved_weight": 0.0}
    model = RankingAutoRec(**settings).fit(RATINGS)
    scores = model.predict_new({RATINGS.item_ids[0]: 1.0})
    assert scores[0] == pytest.approx(1.0)
    assert np.isfinite(scores).all()


def test_a_warning_points_at_the_line_that_called_fit():
    model = RankingAutoRec(hidden_layer_sizes=(2,), solver="lbfgs", max_iter=1)
    with pytest.warns(ConvergenceWarning) as caught:
        model.fit(RATINGS)
    assert [warning.filename for warning in caught] == [__file__]


def test_adam_takes_more_epochs_than_for_ratings_unless_told():
    assert RankingAutoRec("user", (2,), random_state=0).fit(RATINGS).n_iter_ == 60


@pytest.mark.parametrize(
    ("levels", "scale", "expected"),
    [
        ([1, 2, 3, 4, 5], (1, 5), [0.2, 0.4, 0.6, 0.8, 1.0]),
        ([0.5, 1.0, 4.5, 5.0], (0.5, 5), [0.1, 0.2, 0.9, 1.0]),  # half stars
        ([10, 30, 40], (0, 40), [0.4, 0.8, 1.0]),  # the scale has more than was given
        ([3], (3, 3), [1.0]),
    ],
)
def test_ratings_are_mapped_onto_the_unit_with_the_lowest_a_step_above_zero(
    levels, scale, expected
):
    assert onto_unit(np.array(levels, float), scale)(np.array(levels, float)) == pytest.approx(
        expected
    )


@pytest.mark.parametrize(("values", "expected"), [("binary", 30), ("counts", 30), ("ratings", 10)])
def test_the_automatic_penalty_is_by_what_the_values_say(values, expected):
    model = RankingAutoRec("user", (2,), values=values, max_iter=1).fit(RATINGS)
    assert model.regularization_ == {"encoder.weight": expected, "decoder.weight": expected}
