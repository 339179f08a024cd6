"""Blends: under the contract, with weights that are the least squares they claim to be."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest
from changed_records import with_record, with_scale
from hypothesis import given
from hypothesis import strategies as st
from recommender_contract import (
    COLD_ITEM,
    COLD_USER,
    ITEM_IDS,
    N_ITEMS,
    N_USERS,
    TEST,
    TRAIN,
    USER_IDS,
    RecommenderContract,
    score_table,
    unclipped,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.cross_validation import cross_validate, evaluate_repeats
from autorec_np.evaluation.hyperparameters import search
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError, Recommender, Record, copy_unfitted
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.blend import Blend, blending_weights
from autorec_np.serving.explanation import explain, similar_items
from autorec_np.serving.model_file import load_model, save_model
from autorec_np.serving.scikit import RatingRegressor
from autorec_np.training.solvers import DivergenceError

SMALL = {"hidden_layer_sizes": (4,), "max_iter": 4, "batch_size": 16}
R = make_ratings(n_users=60, n_items=40, n_ratings=1200, random_state=0)
TOLD = {R.item_ids[0]: 5.0, R.item_ids[3]: 1.0, R.item_ids[7]: 4.0}


def members(**changes):
    small = {**SMALL, **changes}
    return [
        ("item", AutoRec(**small)),
        ("user", AutoRec("user", **small)),
        ("biases", BiasBaseline()),
    ]


@pytest.fixture(scope="module")
def fitted():
    return Blend(members(), random_state=0).fit(R)


def plain(parameters):
    """Parameters with models as their text, so that copies are equal."""
    return {name: repr(value) for name, value in parameters.items()}


# The contract


class BlendContract(RecommenderContract, random_state=0, n_jobs=1):
    model_class = Blend

    def test_parameters_can_be_read_set_and_cloned(self):
        model = self.make()
        for name, value in self.parameters.items():
            assert model.get_params()[name] is value
            assert model.set_params(**{name: "another"}) is model
            assert getattr(model, name) == "another"
        copied = clone(self.fitted())
        assert plain(copied.get_params()) == plain(self.make().get_params())
        assert not hasattr(copied, "ratings_")
        assert all(
            one is not other
            for (_, one), (_, other) in zip(
                copied.estimators, self.parameters["estimators"], strict=True
            )
        )

    # Validation ratings are drawn in the order of the file, so it must be the same.

    def test_all_kinds_of_ratings_give_the_same_model(self):
        rated = TRAIN.filter(min_user=1, min_item=1)
        matrix = rated.matrix.tocoo()
        rows, columns, ratings = matrix.row, matrix.col, matrix.data
        kinds = {
            "csr_array": rated.matrix,
            "Ratings": Ratings.from_triples(rows, columns, ratings),
            "triples": (rows.tolist(), columns.tolist(), ratings.tolist()),
        }
        pairs = np.divmod(np.arange(rated.n_users * rated.n_items), rated.n_items)
        predictions = [unclipped(self.fit_briefly(data), *pairs) for data in kinds.values()]
        for predicted in predictions:
            np.testing.assert_array_equal(predicted, predictions[0])

    def test_a_sparse_matrix_is_asked_by_index(self):
        model = self.fit_briefly(sparse.csr_array(TRAIN.matrix))
        pairs = np.divmod(np.arange(N_USERS * N_ITEMS), N_ITEMS)
        assert np.isfinite(model.predict(*pairs)).all()
        for outside in (N_USERS, -1):
            with pytest.raises(IndexError, match=f"user index {outside} is out of range.* 0 to 39"):
                model.predict([0, outside], [0, 0])
            with pytest.raises(IndexError, match=f"user index {outside}"):
                model.recommend([outside])
        with pytest.raises(IndexError, match=f"item index {N_ITEMS} is out of range.* 0 to 29"):
            model.predict([0], [N_ITEMS])


class TestTwoOrientationsAndBiases(BlendContract, estimators=members(n_jobs=1)):
    pass


class TestBaselines(
    BlendContract, estimators=[("mean", GlobalMean()), ("biases", BiasBaseline(50.0))]
):
    pass


class TestABlendInABlend(
    BlendContract,
    estimators=[
        ("inner", Blend([("light", BiasBaseline(1)), ("heavy", BiasBaseline(90))])),
        ("item", AutoRec(**SMALL)),
    ],
):
    pass


class TestOneMember(BlendContract, estimators=[("biases", BiasBaseline())]):
    def test_it_has_the_weight_1(self):
        assert self.fitted().weights_ == {"biases": 1.0}
        np.testing.assert_array_equal(
            score_table(self.fitted()), score_table(BiasBaseline().fit(TRAIN))
        )


class TestItLearns(
    BlendContract,
    estimators=members(
        hidden_layer_sizes=(8,), max_iter=60, learning_rate_init=0.03, regularization=1.0
    ),
):
    brief: ClassVar = {"estimators": members()}

    def test_held_out_ratings_are_predicted(self):
        assert self.fitted().score(TEST) > -0.5


# The weights


def test_two_weights_by_hand():
    """w = 1/2 + sum d t / (sum d^2 + 2 lambda), d = x - y, t = r - (x + y) / 2.

    Here d = 2, 1, -2, 3 and t = 0, -1, 1, 0, so lambda = 4 * 2 / 4 and w = 1/2 - 3 / (18 + 4).
    """
    x, y = np.array([4.0, 3.0, 1.0, 5.0]), np.array([2.0, 2.0, 3.0, 2.0])
    ratings = np.array([3.0, 1.5, 3.0, 3.5])
    weights = blending_weights(np.column_stack((x, y)), ratings)
    np.testing.assert_allclose(weights, [1 / 2 - 3 / 22, 1 / 2 + 3 / 22], rtol=1e-14)


def made_up(seed, n, m):
    rng = np.random.default_rng(seed)
    ratings = rng.integers(1, 6, n).astype(np.float64)
    scores = ratings[:, np.newaxis] + rng.normal(0, 1, (n, m)) * rng.uniform(0.1, 2, m)
    return scores, ratings


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 6), st.integers(0, 3))
def test_weights_add_up_to_1_and_are_no_worse_than_the_best_member(seed, n, m, n_copies):
    """Worse by at most lambda (1 - 1/m), the penalty of a member alone.

    Members that are the same get the same weight.
    """
    scores, ratings = made_up(seed, n, m)
    scores = np.column_stack((scores, *([scores[:, 0]] * n_copies)))
    weights = blending_weights(scores, ratings)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(weights[m:], weights[0], atol=1e-10)
    errors = np.sum((scores - ratings[:, np.newaxis]) ** 2, axis=0)
    penalty = len(weights) ** 2 * np.mean((ratings - scores.mean(axis=1)) ** 2)
    distance = np.sum((weights - 1 / len(weights)) ** 2)
    blended = np.sum((scores @ weights - ratings) ** 2)
    bound = errors.min() + penalty * (1 - 1 / len(weights))
    assert blended + penalty * distance <= bound * (1 + 1e-9)


@given(st.integers(0, 2**32), st.integers(2, 5))
def test_weights_are_the_minimum_that_a_lagrange_multiplier_gives(seed, m):
    """The gradient of what is minimized is the same for all weights: a multiple of 1."""
    scores, ratings = made_up(seed, 60, m)
    weights = blending_weights(scores, ratings)
    penalty = m**2 * np.mean((ratings - scores.mean(axis=1)) ** 2)
    gradient = scores.T @ (scores @ weights - ratings) + penalty * (weights - 1 / m)
    np.testing.assert_allclose(gradient - gradient.mean(), 0, atol=1e-9 * np.abs(scores).sum())


def test_with_many_ratings_the_penalty_is_as_good_as_nothing():
    """The squared error of 20,000 ratings is that of the best of all weights, and not above."""
    scores, ratings = made_up(5, 20_000, 4)
    errors = scores - ratings[:, np.newaxis]
    solved = np.linalg.solve(errors.T @ errors, np.ones(4))
    best = solved / solved.sum()
    weights = blending_weights(scores, ratings)
    np.testing.assert_allclose(weights, best, atol=1e-3)
    sums = [np.sum((errors @ one) ** 2) for one in (weights, best, *np.eye(4))]
    assert sums[1] <= sums[0] <= sums[1] * (1 + 1e-4)
    assert sums[0] < min(sums[2:])


def test_members_that_hardly_differ_get_equal_weights():
    rng = np.random.default_rng(0)
    ratings, score = rng.normal(3, 1, 500), rng.normal(3, 1, 500)
    for difference, tolerance in ((1e-9, 1e-9), (1e-3, 2e-2)):
        twins = score[:, np.newaxis] + difference * rng.normal(size=(500, 3))
        np.testing.assert_allclose(blending_weights(twins, ratings), 1 / 3, atol=tolerance)
        other = ratings + rng.normal(0, 0.5, 500)
        weights = blending_weights(np.column_stack((twins, other)), ratings)
        np.testing.assert_allclose(weights[:3], weights[:3].mean(), atol=tolerance)
        assert weights[3] > 0.7
    assert blending_weights(ratings[:, np.newaxis].repeat(2, axis=1), ratings).tolist() == [0.5] * 2


@given(st.integers(0, 2**32), st.floats(0.1, 100), st.floats(-10, 10))
def test_weights_do_not_depend_on_the_unit_of_the_ratings(seed, factor, offset):
    scores, ratings = made_up(seed, 40, 3)
    np.testing.assert_allclose(
        blending_weights(factor * scores + offset, factor * ratings + offset),
        blending_weights(scores, ratings),
        atol=1e-8,
    )


def test_the_same_member_twice_has_equal_weights():
    twice = [("one", BiasBaseline()), ("two", BiasBaseline()), ("mean", GlobalMean())]
    weights = Blend(twice, random_state=0).fit(R).weights_
    assert weights["one"] == pytest.approx(weights["two"], rel=1e-9)
    assert weights["one"] > weights["mean"]


# Fitting


def test_weights_come_from_ratings_that_no_member_has_seen(monkeypatch):
    seen, fit = [], BiasBaseline.fit
    monkeypatch.setattr(
        BiasBaseline, "fit", lambda self, ratings: (seen.append(ratings), fit(self, ratings))[1]
    )
    pair = [("light", BiasBaseline(1.0)), ("heavy", BiasBaseline(100.0))]
    blend = Blend(pair, validation_fraction=0.25, random_state=3).fit(R)
    first, second, third, fourth = seen
    assert first is second
    assert third is fourth is R
    assert len(first) == 900
    generator = np.random.default_rng(3)
    _ = [generator.integers(2**31) for _ in range(2)]  # the seeds of the members
    training, validation = train_test_split(R, 0.25, generator)
    assert first.triples()[0].tolist() == training.triples()[0].tolist()

    users, items, truth = validation.triples()
    scores = np.column_stack(
        [unclipped(BiasBaseline(c).fit(training), users, items) for c in (1.0, 100.0)]
    )
    weights = blending_weights(scores, truth.astype(np.float64))
    assert list(blend.weights_.values()) == weights.tolist()
    expected = [*(np.clip(column, *R.scale) for column in scores.T)]
    expected.append(np.clip(scores @ weights, *R.scale))
    errors = [np.sqrt(np.mean((one - truth.astype(np.float64)) ** 2)) for one in expected]
    assert list(blend.validation_rmse_) == ["light", "heavy", "blend"]
    assert list(blend.validation_rmse_.values()) == pytest.approx(errors, rel=1e-12)


def test_unclipped_scores_are_added_and_then_clipped(fitted):
    users, items, _ = R.triples()
    total = sum(
        fitted.weights_[name] * unclipped(member, users, items)
        for name, member in fitted.members_.items()
    )
    np.testing.assert_allclose(unclipped(fitted, users, items), total, rtol=1e-12)
    np.testing.assert_allclose(fitted.predict(R), np.clip(total, *R.scale), rtol=1e-12)


def test_validation_ratings_may_be_given(monkeypatch):
    training, validation = train_test_split(R, 0.2, 1)
    blend = Blend([("mean", GlobalMean()), ("biases", BiasBaseline())]).fit(training, validation)
    for name, alone in (("mean", GlobalMean()), ("biases", BiasBaseline())):
        alone.fit(training)
        assert blend.validation_rmse_[name] == pytest.approx(-alone.score(validation), rel=1e-12)
    assert blend.validation_rmse_["blend"] == pytest.approx(-blend.score(validation), rel=1e-12)
    assert blend.ratings_ is training
    with pytest.raises(ValueError, match="validation holds no ratings"):
        blend.fit(training, validation.select([]))


def test_a_blend_is_better_than_its_members():
    train, test = train_test_split(make_ratings(150, 80, 3000, random_state=0), 0.1, 0)
    free = {"hidden_layer_sizes": (40,), "regularization": 1.0, "corruption": 0, "max_iter": 40}
    free |= {"learning_rate_init": 0.02, "batch_size": 16}  # it learns the noise
    trio = [("one", AutoRec(**free)), ("two", AutoRec(**free)), ("user", AutoRec("user", **free))]
    blend = Blend(trio, random_state=0).fit(train)
    assert blend.score(test) > max(one.score(test) for one in blend.members_.values()) + 0.01


def test_the_models_given_are_not_touched(fitted):
    given = members()
    before = [repr(model) for _, model in given]
    Blend(given, n_jobs=1, random_state=0).fit(R)
    assert [repr(model) for _, model in given] == before
    assert not any(hasattr(model, "fitted_") for _, model in given)


def test_members_take_seeds_and_threads_from_the_blend():
    pair = [("a", AutoRec(**SMALL)), ("b", AutoRec(**SMALL)), ("c", AutoRec(**SMALL, n_jobs=2))]
    pair.append(("d", AutoRec(**SMALL, random_state=7)))
    blend = Blend(pair, random_state=0, n_jobs=1).fit(R)
    a, b, c, d = blend.members_.values()
    assert len({a.random_state, b.random_state, c.random_state}) == 3
    assert d.random_state == 7
    assert [one.n_jobs for one in (a, b, c, d)] == [1, 1, 2, 1]
    assert not np.array_equal(a.theta_, b.theta_)
    np.testing.assert_array_equal(d.theta_, AutoRec(**SMALL, random_state=7).fit(R).theta_)
    again = Blend(pair, random_state=0).fit(R)
    assert again.weights_ == blend.weights_
    np.testing.assert_array_equal(again.predict(R), blend.predict(R))
    assert Blend(pair, random_state=1).fit(R).weights_ != blend.weights_


def test_members_hold_the_ratings_of_the_blend(fitted):
    assert all(member.ratings_ is fitted.ratings_ is R for member in fitted.members_.values())


def test_a_member_given_out_does_not_change_the_blend(fitted):
    before = fitted.predict(R)
    mine = fitted.members_["item"]
    mine.set_params(cold="raise").fit(R.select(range(900)))
    fitted.weights_["item"] = 5.0
    np.testing.assert_array_equal(fitted.predict(R), before)
    assert fitted.predict([-5], R.item_ids[:1]).shape == (1,)


def test_ctrl_c_ends_all_and_leaves_the_blend_as_it_was(fitted):
    blend = copy.copy(fitted)

    def interrupt(state):
        raise KeyboardInterrupt

    blend.set_params(user__callbacks=[interrupt])
    with pytest.raises(KeyboardInterrupt):
        blend.fit(R.select(range(900)))
    assert blend.ratings_ is R
    assert blend.fitted_ is fitted.fitted_


def test_an_error_names_its_member(fitted):
    def fail(state):
        raise KeyError("spilled")

    with pytest.raises(ValueError, match=r"^member 'user': solver must be one of"):
        Blend(members(solver="newton")[1:]).fit(R)
    with pytest.raises(KeyError, match="spilled"):
        Blend(members(callbacks=[fail])).fit(R)
    wild = AutoRec("item", (4,), solver="sgd", learning_rate_init=1e6)
    with pytest.raises(DivergenceError, match=r"^member 'wild': "):
        Blend([("wild", wild)]).fit(R)


@pytest.mark.parametrize(
    ("estimators", "error", "message"),
    [
        ([], ValueError, r"needs members, got none; pass pairs .*Blend\(\[\('item', AutoRec\(\)"),
        ({"a": GlobalMean()}, TypeError, r"must be a list of pairs \(name, model\), got dict"),
        (GlobalMean(), TypeError, r"must be a list of pairs \(name, model\), got GlobalMean"),
        ([GlobalMean()], TypeError, r"a member must be a pair \(name, model\), got GlobalMean"),
        ([(3, GlobalMean())], TypeError, r"a member must be a pair \(name, model\), got \(3, Glo"),
        (
            [("a", GlobalMean)],
            TypeError,
            r"member 'a': a model is needed, got its class: pass GlobalMean\(\)",
        ),
        ([("a", object())], TypeError, r"'a' must be a model, got object; pass AutoRec\(\)"),
        ([("a", GlobalMean()), ("a", BiasBaseline())], ValueError, "two members are named 'a'"),
        ([("a__b", GlobalMean())], ValueError, "cannot be named 'a__b': set_params.* choose anoth"),
        ([("n_jobs", GlobalMean())], ValueError, "cannot be named 'n_jobs'"),
        ([("blend", GlobalMean())], ValueError, "cannot be named 'blend'"),
        ([("", GlobalMean())], ValueError, "cannot be named ''"),
    ],
)
def test_what_makes_no_blend_is_refused(estimators, error, message):
    with pytest.raises(error, match=message):
        Blend(estimators).fit(R)


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"validation_fraction": 1.0}, ValueError),
        ({"validation_fraction": "a"}, TypeError),
        ({"n_jobs": 0}, ValueError),
        ({"random_state": "seed"}, TypeError),
        ({"rating_scale": (1, 2)}, ValueError),
    ],
)
def test_parameters_are_checked(parameters, error):
    with pytest.raises(error, match=next(iter(parameters)).replace("rating_scale", "stated scale")):
        Blend([("mean", GlobalMean())], **parameters).fit(R)


def test_a_scale_may_be_given():
    blend = Blend([("biases", BiasBaseline())], rating_scale=(0, 10)).fit(R.matrix)
    assert blend.rating_scale_ == (0, 10)
    assert all(member.rating_scale_ == (0, 10) for member in blend.members_.values())


# Parameters


def test_parameters_of_members_are_set_in_copies():
    model, pair = AutoRec(**SMALL), BiasBaseline()
    one, other = (Blend([("a", model), ("b", pair)]) for _ in range(2))
    assert one.set_params(a__max_iter=9, b__regularization=2.0, n_jobs=3) is one
    assert (one.get_params()["a__max_iter"], one.estimators[1][1].regularization) == (9, 2.0)
    assert one.n_jobs == 3
    assert other.get_params()["a__max_iter"] == model.max_iter == 4
    one.set_params(b=GlobalMean(), a__tol=0.5)
    assert repr(one.estimators[1]) == "('b', GlobalMean())"
    assert one.get_params()["a__max_iter"] == 9
    outer = Blend([("inner", one)]).set_params(inner__a__max_iter=2)
    assert outer.get_params()["inner__a__max_iter"] == 2
    assert one.get_params()["a__max_iter"] == 9
    one.set_params(estimators=[("c", AutoRec())], c__max_iter=1)
    assert one.get_params()["c"].max_iter == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"c__max_iter": 3}, "Blend has no member 'c'; it has a."),
        ({"a__max_itr": 3}, "AutoRec has no parameter 'max_itr'.*max_iter"),
        ({"c": GlobalMean()}, "Blend has no parameter 'c'.*; it has estimators, validation_fr"),
    ],
)
def test_an_unknown_parameter_says_where_it_is_unknown(params, message):
    with pytest.raises(ValueError, match=message):
        Blend([("a", AutoRec())]).set_params(**params)


def test_a_copy_shares_nothing_that_changes():
    generator = np.random.default_rng(0)
    blend = Blend([("a", AutoRec(**SMALL, random_state=generator))], random_state=0)
    state = generator.bit_generator.state
    first = copy_unfitted(blend).fit(R)
    assert generator.bit_generator.state == state
    np.testing.assert_array_equal(first.predict(R), copy_unfitted(blend).fit(R).predict(R))


# Cold pairs


def test_cold_pairs_are_answered_as_the_members_say(fitted):
    blend = Blend(members(cold=3.0, n_jobs=1)[:2], random_state=0).fit(R)
    assert blend.predict([-5], R.item_ids[:1]) == pytest.approx([3.0], rel=1e-12)
    assert blend.predict_new({}) == pytest.approx(np.full(R.n_items, 3.0), rel=1e-12)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (-1.0, 2.0), (0.0, 1.0)])
def test_what_a_member_refuses_the_blend_refuses(weights):
    pair = members(cold="raise", n_jobs=1)[:1] + members()[2:]
    blend = Blend(pair, random_state=0).fit(TRAIN)
    blend = with_record(blend, weights=dict(zip(("item", "biases"), weights, strict=True)))
    with pytest.raises(ValueError, match=r"1 of 1 pairs are cold.*cold='raise'"):
        blend.predict([COLD_USER], ITEM_IDS[:1])
    ids, scores = blend.recommend(USER_IDS[:1], n=N_ITEMS, exclude_seen=False)
    assert ids[0, -1] is None
    assert COLD_ITEM not in ids
    assert np.isfinite(scores[0, :-1]).all()
    told = {ITEM_IDS[0]: 5.0, ITEM_IDS[1]: 1.0}
    assert COLD_ITEM not in blend.recommend_new(told, n=N_ITEMS)[0]
    for call in (lambda: blend.predict_new(told, [COLD_ITEM]), lambda: blend.predict_new({})):
        with pytest.raises(ValueError, match="cold='raise'"):
            call()


def test_weights_of_members_that_refuse_need_warm_validation_ratings():
    blend = Blend([("item", AutoRec(**SMALL, cold="raise"))])
    with pytest.raises(ValueError, match="there are none; use cold='baseline'"):
        blend.fit(TRAIN, ([COLD_USER], [ITEM_IDS[0]], [3.0]))
    mixed = ([COLD_USER, USER_IDS[0]], [ITEM_IDS[0], ITEM_IDS[0]], [3.0, 5.0])
    assert blend.fit(TRAIN, mixed).weights_ == {"item": 1.0}


def test_counts_are_the_least_of_any_member():
    held = AutoRec(**SMALL, early_stopping=True, validation_fraction=0.5, random_state=0)
    blend = Blend([("held", held), ("mean", GlobalMean())], random_state=0).fit(R)
    expected = blend.members_["held"].user_counts_
    assert blend.user_counts_.tolist() == expected.tolist()
    assert expected.sum() == 600
    assert not blend.user_counts_.flags.writeable


# New users, new items, new ratings


@pytest.mark.parametrize("axis", ["user", "item"])
def test_newcomers_get_the_weighted_sum(fitted, axis):
    known = R.item_ids if axis == "user" else R.user_ids
    told = {known[0]: 5.0, known[3]: 1.0, known[7]: 4.0}
    total = 0.0
    for name, member in fitted.members_.items():
        if name == "biases":
            mean, *sides = member.biases_
            others = sides[axis == "user"]
            residuals = np.array([5.0, 1.0, 4.0]) - mean - others[[0, 3, 7]]
            scores = mean + others + residuals.sum() / (5.0 + 3)
        else:
            scores = with_scale(member, -1e6, 1e6).predict_new(told, axis=axis)
        total = total + fitted.weights_[name] * scores
    np.testing.assert_allclose(
        fitted.predict_new(told, axis=axis), np.clip(total, *R.scale), rtol=1e-12
    )
    ids, scores = fitted.recommend_new(told, n=3, axis=axis)
    total[[0, 3, 7]] = -np.inf
    assert ids.tolist() == known[np.argsort(-total)[:3]].tolist()
    np.testing.assert_allclose(scores, np.sort(total)[::-1][:3], rtol=1e-12)


def test_new_ratings_are_taken_in_by_every_member(fitted):
    blend, new = copy.copy(fitted), ([901, 901, R.user_ids[0]], R.item_ids[:3], [5.0, 1.0, 2.0])
    assert blend.partial_fit(new) is blend
    merged = blend.ratings_
    assert 901 in merged.user_ids
    assert fitted.ratings_ is R
    for name, member in blend.members_.items():
        assert member.ratings_ is merged
        if name == "biases":
            expected = BiasBaseline().fit(merged)
        else:
            expected = copy.copy(fitted.members_[name]).partial_fit(new)
        np.testing.assert_array_equal(member.predict(merged), expected.predict(merged))
    assert blend.weights_ == fitted.weights_
    assert np.isfinite(blend.predict([901], R.item_ids[:1])).all()
    assert Blend([("mean", GlobalMean())]).partial_fit(R).ratings_ is R
    np.testing.assert_array_equal(
        copy.copy(fitted).partial_fit(([], [], [])).predict(R), fitted.predict(R)
    )


class Popular(Recommender):
    """A model that knows nothing of newcomers."""

    def fit(self, ratings, validation=None):
        self.fitted_ = Threes(ratings=ratings, ids_are_indices=False)
        return self


class Threes(Record):
    def score_pairs(self, users, items):
        return np.full(len(users), 3.0)

    def score_all_items(self, users):
        return np.full((len(users), self.ratings.n_items), 3.0)


def test_members_that_cannot_take_in_newcomers_say_so():
    blend = Blend([("mean", GlobalMean()), ("popular", Popular())], random_state=0).fit(R)
    before = blend.predict(R)
    for call in (lambda: blend.predict_new(TOLD), lambda: blend.recommend_new(TOLD)):
        with pytest.raises(
            TypeError, match=r"member 'popular': .* cannot score who was not in tra"
        ):
            call()
    new = ([901], R.item_ids[:1], [5.0])
    with pytest.raises(
        TypeError, match=r"member 'popular': .* cannot take in new ratings; call fi"
    ):
        blend.partial_fit(new)
    tied = Blend([("mean", GlobalMean()), ("tied", AutoRec(**SMALL, tied=True))]).fit(R)
    with pytest.raises(ValueError, match="member 'tied': with tied=True"):
        tied.partial_fit(new)
    assert tied.ratings_ is R
    with pytest.raises(ValueError, match="outside the stated scale"):
        blend.partial_fit(([901], R.item_ids[:1], [99.0]))
    np.testing.assert_array_equal(blend.predict(R), before)


def test_nothing_works_before_fit():
    blend = Blend([("mean", GlobalMean())])
    for call in (lambda: blend.predict_new(TOLD), lambda: blend.recommend_new(TOLD)):
        with pytest.raises(NotFittedError, match="this Blend is not fitted yet"):
            call()
    for name in ("members_", "weights_", "validation_rmse_"):
        with pytest.raises(NotFittedError):
            getattr(blend, name)


# At work


@pytest.mark.parametrize("by", ["items", "users"])
def test_an_explanation_is_the_weighted_sum(fitted, by):
    pair = R.user_ids[0], R.item_ids[7]
    ids, contributions = explain(fitted, *pair, n=100, by=by)
    total = {}
    for name in ("item", "user"):
        for one, part in zip(*explain(fitted.members_[name], *pair, n=100, by=by), strict=True):
            total[one] = total.get(one, 0.0) + fitted.weights_[name] * part
    assert set(ids.tolist()) == set(total)
    assert ids.dtype == object
    np.testing.assert_allclose(contributions, [total[one] for one in ids], rtol=1e-12)
    assert (np.diff(np.abs(contributions)) <= 0).all()
    best, _ = explain(fitted, *pair, n=2, by=by)
    assert best.tolist() == ids[:2].tolist()


def test_what_cannot_be_explained_is_refused(fitted):
    blend = Blend([("mean", GlobalMean()), ("popular", Popular())], random_state=0).fit(R)
    with pytest.raises(TypeError, match=r"member 'popular': only an AutoRec .* got Popular"):
        explain(blend, R.user_ids[0], R.item_ids[0])
    with pytest.raises(ValueError, match="not in the training ratings"):
        explain(fitted, -5, R.item_ids[0])
    by_index = Blend(members(), random_state=0).fit(R.matrix)
    assert len(explain(by_index, 0, 7)[0]) > 0
    with pytest.raises(IndexError, match="user index 99 is out of range"):
        explain(by_index, 99, 7)


def test_similar_items_are_those_of_a_member(fitted):
    with pytest.raises(TypeError, match="codes of an AutoRec, got Blend; pass one of its members_"):
        similar_items(fitted, R.item_ids[:1])
    assert similar_items(fitted.members_["item"], R.item_ids[:1])[0].shape == (1, 10)


def test_it_is_evaluated_and_searched_as_one_model():
    blend = Blend([("light", BiasBaseline(1.0)), ("mean", GlobalMean())], random_state=0)
    serial = cross_validate(blend, R, 3, random_state=0)
    with ThreadPoolExecutor(2) as pool:
        assert cross_validate(blend, R, 3, random_state=0, executor=pool).rmse == serial.rmse
    repeats = evaluate_repeats({"blend": blend, "mean": GlobalMean()}, R, 2)
    assert repeats["blend"].rmse.mean < repeats["mean"].rmse.mean
    space = {"light__regularization": [1.0, 5.0, 20.0], "validation_fraction": [0.1, 0.2]}
    result = search(blend, R, space, n_candidates=4, strategy="random")
    assert len(result.trials) == 4
    assert all(result.model.get_params()[key] == x for key, x in result.best_params.items())
    assert blend.get_params()["light__regularization"] == 1.0
    assert result.model.fit(R).score(R) > -2
    with pytest.raises(TypeError, match=r"a Blend has no space by default; pass space=\{name: \["):
        search(blend, R, strategy="random")


def test_scikit_learn_searches_it():
    users, items, ratings = R.triples()
    blend = Blend([("biases", BiasBaseline()), ("mean", GlobalMean())], random_state=0)
    grid = GridSearchCV(
        RatingRegressor(blend, rating_scale=R.scale),
        {"model__biases__regularization": [1.0, 500.0]},
        cv=2,
        scoring="neg_root_mean_squared_error",
    ).fit(np.column_stack((users, items)), ratings)
    assert grid.best_params_ == {"model__biases__regularization": 1.0}
    assert set(grid.best_estimator_.model_.weights_) == {"biases", "mean"}
    assert blend.get_params()["biases__regularization"] == 5.0


@pytest.mark.parametrize("memory_map", [False, True])
def test_a_loaded_blend_answers_newcomers_and_takes_in_ratings(fitted, memory_map, tmp_path):
    save_model(fitted, tmp_path / "blend.npz")
    loaded = load_model(tmp_path / "blend.npz", Blend, memory_map=memory_map)
    np.testing.assert_array_equal(loaded.predict_new(TOLD), fitted.predict_new(TOLD))
    new = ([901, 901], R.item_ids[:2], [5.0, 1.0])
    one, other = copy.copy(loaded).partial_fit(new), copy.copy(fitted).partial_fit(new)
    np.testing.assert_array_equal(one.predict(other.ratings_), other.predict(other.ratings_))
    again, before = (copy.copy(model).fit(R) for model in (loaded, fitted))
    np.testing.assert_array_equal(again.predict(R), before.predict(R))
