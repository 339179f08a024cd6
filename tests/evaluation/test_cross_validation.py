"""Evaluation: nothing leaks, errors are pooled over all pairs, models share their splits."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import multiprocessing
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest
from scipy import sparse
from small_tasks import Backwards, OddWarning, Picky, Threads, Warner

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import cold_row_split, k_fold, rmse, temporal_split, train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.cross_validation import (
    Comparison,
    CrossValidation,
    Evaluation,
    cross_validate,
    evaluate,
    evaluate_repeats,
)
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.sources.movielens import fetch_movielens


class Constant:
    """Predicts one number; the smallest thing that is a model."""

    def __init__(self, value=3.0):
        self.value = value

    def get_params(self, deep=True):
        return {"value": self.value}

    def fit(self, ratings):
        self.fitted_ = True
        return self

    def predict(self, users, items):
        return np.full(len(users), self.value)


class Spy(Constant):
    """Writes down all that it is given."""

    def __init__(self, log):
        self.log = log

    def get_params(self, deep=True):
        return {"log": self.log}

    def fit(self, *args, **kwargs):
        self.log.append(("fit", args, kwargs))
        return self

    def predict(self, *args, **kwargs):
        self.log.append(("predict", args, kwargs))
        return np.zeros(len(args[0]))


class Noisy(Constant):
    """Predicts random numbers of its own seed."""

    def __init__(self, random_state=0):
        self.random_state = random_state

    def get_params(self, deep=True):
        return {"random_state": self.random_state}

    def predict(self, users, items):
        return np.random.default_rng(self.random_state).uniform(1, 5, len(users))


def numbers_within(thing, seen=None):
    """Yield every number that can be reached from `thing`, also by way of the base of a view."""
    seen = {} if seen is None else seen
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    if isinstance(thing, np.ndarray):
        if thing.dtype == object:
            yield from numbers_within(thing.tolist(), seen)
        else:
            yield from thing.ravel().tolist()
        yield from numbers_within(thing.base, seen)
    elif isinstance(thing, (int, float, np.generic)):
        yield float(thing)
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from numbers_within(value, seen)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            yield from numbers_within(value, seen)
    elif hasattr(thing, "__dict__"):
        yield from numbers_within(vars(thing), seen)


@pytest.fixture
def R():
    """Three hundred ratings of 40 users and 30 items; each rating is a number of its own."""
    rng = np.random.default_rng(0)
    codes = rng.permutation(40 * 30)[:300]
    values = 1000.5 + rng.permutation(300)
    return Ratings.from_triples(codes // 30, codes % 30, values, codes, scale=(0, 2000))


@pytest.fixture(scope="module")
def synthetic_ratings():
    return make_ratings(200, 150, 6000, random_state=0)


def pairs_and_ratings(R):
    return sorted(zip(*(column.tolist() for column in R.triples()), strict=True))


# Nothing leaks


@pytest.mark.parametrize(
    "split",
    [
        lambda R: train_test_split(R, 0.2, 0),
        lambda R: next(k_fold(R, 3, 0)),
        lambda R: temporal_split(R, 0.2),
        lambda R: cold_row_split(R, 0.2, "user", 0),
    ],
    ids=["random", "fold", "temporal", "cold"],
)
def test_the_model_never_sees_a_test_rating(split, R):
    train, test = split(R)
    log = []
    evaluate(Spy(log), train, test)
    (fit, (given,), options), (predict, (users, items), no_options) = log
    assert (fit, predict, options, no_options) == ("fit", "predict", {}, {})
    assert pairs_and_ratings(given) == pairs_and_ratings(train)
    expected_users, expected_items, test_values = test.triples()
    assert np.array_equal(users, expected_users)
    assert np.array_equal(items, expected_items)
    reachable = set(numbers_within(log))
    assert set(train.triples()[2].tolist()) <= reachable
    assert reachable & set(test_values.tolist()) == set()


def test_the_spy_would_find_a_leak(R):
    train, test = train_test_split(R, 0.2, 0)
    held_out = set(test.triples()[2].tolist())
    for leak in (test, {"test": (train, test)}, test.matrix.data[:0], dataclasses.replace(test)):
        assert held_out <= set(numbers_within([train, leak]))


@pytest.mark.parametrize("run", [cross_validate, evaluate_repeats])
def test_each_fit_sees_the_training_part_of_its_split_only(run, R):
    log = []
    run(Spy(log), R, 4, random_state=0)
    assert [entry[0] for entry in log] == ["fit", "predict"] * 4
    whole = {pair[:2]: pair[2] for pair in pairs_and_ratings(R)}
    for fit, predict in zip(log[::2], log[1::2], strict=True):
        trained = {pair[:2] for pair in pairs_and_ratings(fit[1][0])}
        tested = set(zip(*(ids.tolist() for ids in predict[1]), strict=True))
        assert trained | tested == whole.keys()
        assert trained & tested == set()
        held_out = {whole[pair] for pair in tested}
        assert held_out & set(numbers_within([fit, predict])) == set()


def test_a_test_pair_that_was_trained_on_is_an_error(R):
    train, test = train_test_split(R, 0.2, 0)
    users, items, values = train.triples()
    # The rating differs and the ids are all there is to recognize the pair by.
    shared = ([users[0], 999], [items[0], 999], [values[0] + 1, 3.0])
    with pytest.raises(ValueError, match="1 of the 2 test pairs are also training pairs"):
        evaluate(Constant(), train, shared)
    with pytest.raises(ValueError, match="300 of the 300 test pairs"):
        evaluate(Constant(), R, R)
    assert evaluate(Constant(), train, test).n_test == 60


def test_unknown_ids_are_not_taken_for_trained_pairs():
    # The last user and item: their pair is where an unknown position -1 would point.
    train = ([1, 2, 2], [1, 1, 2], [3.0, 4.0, 5.0])
    assert evaluate(Constant(), train, ([9, 9, 2], [2, 9, 9], [1.0, 1.0, 1.0])).n_cold == 3


# Errors are pooled over all test pairs


def test_cold_pairs_count_and_are_counted():
    train = ([1, 1, 2], ["a", "b", "a"], [3.0, 4.0, 5.0])
    #       warm, unknown item, unknown user, both unknown
    test = ([2, 1, 3, 4], ["b", "c", "a", "d"], [3.0, 3.0, 5.0, 1.0])
    result = evaluate(Constant(3.0), train, test)
    assert (result.n_train, result.n_test, result.n_cold) == (3, 4, 3)
    # Errors 0, 0, 2, -2: without the cold pairs both would be 0.
    assert result.rmse == pytest.approx(math.sqrt(2.0))
    assert result.mae == pytest.approx(1.0)


def test_pairs_are_cold_where_the_training_part_has_an_empty_row(R):
    train, test = cold_row_split(R, 0.2, "item", 0)
    assert train.shape == R.shape
    result = evaluate(Constant(), train, test)
    assert result.n_cold == result.n_test == len(test)


@pytest.mark.parametrize("model", [GlobalMean(), BiasBaseline()], ids=repr)
def test_cold_pairs_agree_with_the_model(model, R):
    train, test = train_test_split(R, 0.85, 0)
    pairs = test.triples()[:2]
    expected = np.count_nonzero(model.fit(train).cold_pairs(*pairs))
    assert 0 < expected < len(test)
    assert evaluate(model, train, test).n_cold == expected


@pytest.mark.parametrize("shape", ["dropped", "matrix", "scalar"])
def test_a_model_that_drops_pairs_is_an_error(shape, R):
    class Dropping(Constant):
        def predict(self, users, items):
            values = np.full(len(users), 3.0)
            return {"dropped": values[:-1], "matrix": values[:, None], "scalar": 3.0}[shape]

    with pytest.raises(ValueError, match=r"Dropping\.predict returned shape .* must predict every"):
        evaluate(Dropping(), *train_test_split(R, 0.2, 0))


def test_a_prediction_that_is_not_a_number_is_an_error(R):
    with pytest.raises(ValueError, match="predicted must be finite, got nan at index 0"):
        evaluate(Constant(np.nan), *train_test_split(R, 0.2, 0))


def test_the_error_is_pooled_and_not_a_mean_over_users_or_cells():
    train = ([1, 2], [99, 99], [3.0, 3.0])
    # User 1 has one rating, off by 2; user 2 has fifteen, all exact.
    test = ([1] + [2] * 15, [0, *range(15)], [5.0] + [3.0] * 15)
    result = evaluate(Constant(3.0), train, test)
    # A mean of the users' RMSEs would be (2 + 0) / 2 = 1; over the 30 cells, sqrt(4 / 30).
    assert result.rmse == pytest.approx(math.sqrt(4 / 16))
    assert result.mae == pytest.approx(2 / 16)


def test_a_stored_zero_is_a_test_rating():
    train = sparse.csr_array(([3.0, 4.0], [0, 1], [0, 1, 2]), shape=(2, 3))
    test = sparse.csr_array(([0.0, 3.0], [2, 2], [0, 1, 2]), shape=(2, 3))
    result = evaluate(Constant(3.0), train, test)
    assert (result.n_test, result.mae) == (2, 1.5)


def test_the_figures_are_those_of_the_fitted_model(synthetic_ratings):
    train, test = train_test_split(synthetic_ratings, 0.2, 0)
    users, items, values = test.triples()
    expected = rmse(values, BiasBaseline(2.0).fit(train).predict(users, items))
    result = evaluate(BiasBaseline(2.0), train, test)
    assert result.rmse == expected
    assert result.mae < result.rmse
    assert result.fit_seconds > 0
    assert result.predict_seconds > 0


def test_an_empty_part_is_an_error(R):
    empty = R.select(np.zeros(len(R), dtype=bool))
    with pytest.raises(ValueError, match="test holds no ratings"):
        evaluate(Constant(), R, empty)
    with pytest.raises(ValueError, match="train holds no ratings"):
        evaluate(Constant(), empty, R)


def test_ids_of_another_kind_are_an_error():
    with pytest.raises(TypeError, match="user ids"):
        evaluate(Constant(), ([1], [1], [3.0]), (["1"], [1], [3.0]))


# The model is a recipe


def test_the_given_model_is_never_fitted(R):
    model = Constant(2.0)
    for run in (cross_validate, evaluate_repeats):
        run(model, R, 2)
        run({"constant": model}, R, 2)
    evaluate(model, *train_test_split(R, 0.2, 0))
    assert vars(model) == {"value": 2.0}


def test_every_split_gets_a_fresh_model(R):
    class Once(Constant):
        def fit(self, ratings):
            assert not hasattr(self, "fitted_"), "fitted for the second time"
            return super().fit(ratings)

    assert len(cross_validate(Once(), R, 3).evaluations) == 3


def test_a_seed_of_the_model_is_passed_on_as_it_is(R):
    values = train_test_split(R, 0.2, 0)[1].triples()[2]
    expected = rmse(values, np.random.default_rng(8).uniform(1, 5, len(values)))
    result = evaluate_repeats(Noisy(random_state=8), R, 2, test_size=0.2)
    assert result.evaluations[0].rmse == expected


def test_a_generator_of_the_model_is_not_advanced(R):
    generator = np.random.default_rng(8)
    state = generator.bit_generator.state
    folds = list(k_fold(R, 2, 0))
    models = {"one": Noisy(generator), "other": Noisy(generator)}
    results = cross_validate(models, cv=folds)
    assert generator.bit_generator.state == state
    assert results["one"].rmse == results["other"].rmse


def test_a_model_without_parameters_is_refused(R):
    for not_a_model in (object(), "autorec", [Constant()]):
        with pytest.raises(TypeError, match=r"must have get_params\(deep=False\)"):
            cross_validate(not_a_model, R)


# cross_validate


def test_an_integer_asks_for_random_folds(R):
    result = cross_validate(Constant(1100.0), R, cv=4, random_state=3)
    assert result.splits == ("1", "2", "3", "4")
    expected = [evaluate(Constant(1100.0), *fold).rmse for fold in k_fold(R, 4, 3)]
    assert [one.rmse for one in result.evaluations] == expected
    assert sum(one.n_test for one in result.evaluations) == len(R)
    assert result.rmse.mean == pytest.approx(np.mean(expected))
    assert result.rmse.low < result.rmse.mean < result.rmse.high


def test_five_folds_are_the_default(R):
    assert len(cross_validate(Constant(), R).splits) == 5


def test_predefined_folds_keep_their_names(R):
    folds = {"u1": train_test_split(R, 0.2, 0), "u2": train_test_split(R, 0.3, 1)}
    result = cross_validate(Constant(), cv=folds)
    assert result.splits == ("u1", "u2")
    assert [one.n_test for one in result.evaluations] == [60, 90]


@pytest.mark.parametrize("kind", [list, iter, tuple])
def test_pairs_of_parts_are_numbered(kind, R):
    result = cross_validate(Constant(), cv=kind([train_test_split(R, 0.2, s) for s in range(3)]))
    assert result.splits == ("1", "2", "3")


@pytest.mark.parametrize(
    ("cv", "error", "message"),
    [
        ([], ValueError, "no split to evaluate on"),
        ({}, ValueError, "no split to evaluate on"),
        (1, ValueError, "n_splits must be at least 2"),
        (5.0, TypeError, "cv must be an int, a mapping"),
        ("5", TypeError, r"split 1 must be a pair \(train, test\), got '5'"),
        ([1, 2], TypeError, r"split 1 must be a pair \(train, test\), got 1"),
        ({"u1": (1, 2, 3)}, TypeError, r"split u1 must be a pair .* got \(1, 2, 3\)"),
    ],
)
def test_wrong_folds_are_refused(cv, error, message, R):
    with pytest.raises(error, match=message):
        cross_validate(Constant(), R, cv)


def test_random_folds_need_ratings():
    with pytest.raises(TypeError, match="ratings is None"):
        cross_validate(Constant(), cv=5)


# evaluate_repeats


def test_repeat_i_is_the_split_of_seed_plus_i(R):
    result = evaluate_repeats(Constant(1100.0), R, repeats=3, test_size=0.1, random_state=4)
    assert result.splits == ("seed 4", "seed 5", "seed 6")
    expected = [
        evaluate(Constant(1100.0), *train_test_split(R, 0.1, random_state=seed)).rmse
        for seed in (4, 5, 6)
    ]
    assert [one.rmse for one in result.evaluations] == expected


def test_the_papers_protocol_is_the_default(R):
    result = evaluate_repeats(Constant(), R)
    assert result.splits == ("seed 0", "seed 1", "seed 2", "seed 3", "seed 4")
    assert {one.n_test for one in result.evaluations} == {30}
    assert result.rmse.n == 5
    assert result.rmse.confidence == 0.95


@pytest.mark.parametrize("random_state", [None, np.random.default_rng(0)], ids=["None", "rng"])
def test_drawn_seeds_are_told(random_state, R):
    result = evaluate_repeats(Constant(1100.0), R, 2, random_state=random_state)
    seeds = [int(name.removeprefix("seed ")) for name in result.splits]
    assert seeds[0] != seeds[1]
    for seed, one in zip(seeds, result.evaluations, strict=True):
        again = evaluate(Constant(1100.0), *train_test_split(R, 0.1, seed))
        assert again.rmse == one.rmse


def test_one_repeat_has_no_interval_and_no_warning(R):
    result = evaluate_repeats(Constant(), R, 1)
    assert math.isnan(result.rmse.low)
    assert "CI" not in str(result)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["rmse"]["low"] is None
    table = str(Comparison({"constant": result}))
    assert "nan" not in table
    assert table.startswith("one split; ")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"repeats": 0}, ValueError, "repeats must be at least 1"),
        ({"repeats": 1.0}, TypeError, "repeats must be an integer"),
        ({"test_size": 2.0}, ValueError, "test_size must be"),
        ({"random_state": -1}, ValueError, "random_state must be"),
        ({"random_state": "0"}, TypeError, "random_state must be"),
    ],
)
def test_wrong_repeats_are_refused(options, error, message, R):
    with pytest.raises(error, match=message):
        evaluate_repeats(Constant(), R, **options)


# Several models


@pytest.mark.parametrize("random_state", [0, None, np.random.default_rng(0)])
@pytest.mark.parametrize("run", [cross_validate, evaluate_repeats])
def test_all_models_get_the_same_splits(run, random_state, R):
    log, other_log = [], []
    results = run({"a": Spy(log), "b": Spy(other_log)}, R, 3, random_state=random_state)
    assert list(results) == ["a", "b"]
    assert results["a"].splits == results["b"].splits
    for (step, args, _), (_, other_args, _) in zip(log, other_log, strict=True):
        if step == "fit":
            assert pairs_and_ratings(args[0]) == pairs_and_ratings(other_args[0])
        else:
            assert np.array_equal(args, other_args)


def test_alone_and_in_company_the_figures_are_the_same(synthetic_ratings):
    models = {"mean": GlobalMean(), "bias": BiasBaseline()}
    together = evaluate_repeats(models, synthetic_ratings, 3)
    for name, model in models.items():
        alone = evaluate_repeats(model, synthetic_ratings, 3)
        assert alone.rmse == together[name].rmse
        assert alone.mae == together[name].mae


def test_the_paired_difference_is_sharper_than_the_two_intervals(synthetic_ratings):
    models = {"mean": GlobalMean(), "bias": BiasBaseline()}
    results = evaluate_repeats(models, synthetic_ratings)
    gap = results.difference("bias", "mean")
    assert gap.mean == pytest.approx(results["bias"].rmse.mean - results["mean"].rmse.mean)
    assert gap.high < 0
    assert gap.half_width < results["bias"].rmse.half_width + results["mean"].rmse.half_width
    assert results.difference("mean", "bias").mean == -gap.mean
    with pytest.raises(KeyError, match="autorec"):
        results.difference("autorec", "bias")


def test_no_models_are_an_error(R):
    with pytest.raises(ValueError, match="no model to evaluate"):
        cross_validate({}, R)


# What is reported


def result(rmse, mae=0.7, n_cold=3):
    return Evaluation(rmse, mae, 9000, 1000, n_cold, 1.234, 0.05)


def test_an_evaluation_reads_well():
    assert str(result(0.8312)) == (
        "RMSE 0.8312, MAE 0.7000 on 1,000 test ratings (3 cold); 9,000 training ratings, "
        "fit 1.23 s, predict 0.05 s"
    )


def test_an_evaluation_becomes_json():
    assert json.loads(json.dumps(result(0.5).to_dict(), allow_nan=False)) == {
        "rmse": 0.5,
        "mae": 0.7,
        "n_train": 9000,
        "n_test": 1000,
        "n_cold": 3,
        "fit_seconds": 1.234,
        "predict_seconds": 0.05,
    }


def test_a_cross_validation_is_a_table():
    folds = CrossValidation(("u1", "u2"), (result(0.90), result(0.92, 0.72, 12)))
    assert str(folds).splitlines() == [
        "split       RMSE      MAE   test  cold  fit s  predict s",
        "u1        0.9000   0.7000  1,000     3   1.23       0.05",
        "u2        0.9200   0.7200  1,000    12   1.23       0.05",
        "mean      0.9100   0.7100",
        "95 % CI  ±0.1271  ±0.1271",
    ]


def test_a_comparison_is_a_table():
    results = Comparison(
        {
            "bias": CrossValidation(("1", "2"), (result(0.90), result(0.92))),
            "autorec": CrossValidation(("1", "2"), (result(0.80), result(0.81))),
        }
    )
    assert str(results).splitlines() == [
        "mean ± 95 % CI over 2 splits; test and cold pairs in all",
        "model               RMSE              MAE   test  cold  fit s",
        "bias     0.9100 ± 0.1271  0.7000 ± 0.0000  2,000     6   1.23",
        "autorec  0.8050 ± 0.0635  0.7000 ± 0.0000  2,000     6   1.23",
    ]


def test_results_become_json(R):
    results = cross_validate({"a": Constant(), "b": Constant(4.0)}, R, 3, random_state=0)
    read = json.loads(json.dumps(results.to_dict(), allow_nan=False))
    assert read.keys() == {"a", "b"}
    assert read["a"]["rmse"]["mean"] == results["a"].rmse.mean
    assert [split["name"] for split in read["a"]["splits"]] == ["1", "2", "3"]
    assert read["b"]["splits"][1]["n_test"] == 100


def test_progress_is_logged_and_not_printed(R, caplog, capsys):
    with caplog.at_level(logging.INFO, logger="autorec_np.evaluation.cross_validation"):
        cross_validate({"constant": Constant()}, R, 2)
    assert "split 2, constant" in caplog.text
    assert "RMSE" in caplog.text
    assert capsys.readouterr() == ("", "")


# Side by side


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(params=["threads", "processes", "backwards"])
def executor(request):
    if request.param == "threads":
        with ThreadPoolExecutor(3) as pool:
            yield pool
    else:
        elsewhere = request.param == "processes"
        yield request.getfixturevalue("processes") if elsewhere else Backwards()


def without_seconds(result):
    if isinstance(result, Comparison):
        return {name: without_seconds(one) for name, one in result.items()}
    evaluations = result.evaluations
    numbers = [dataclasses.replace(x, fit_seconds=0, predict_seconds=0) for x in evaluations]
    return result.splits, numbers


def small_models():
    small = {"hidden_layer_sizes": (4,), "max_iter": 3, "batch_size": 16, "dropout": 0.2}
    return {
        "biases": BiasBaseline(),
        "seeded": AutoRec(**small, random_state=0),
        "generator": AutoRec(**small, random_state=np.random.default_rng(5), dtype="float64"),
    }


@pytest.mark.parametrize("function", [cross_validate, evaluate_repeats])
def test_an_executor_has_the_serial_results_to_the_last_bit(function, R, executor):
    serial = function(small_models(), R, 3, random_state=4)
    together = function(small_models(), R, 3, random_state=4, executor=executor)
    assert list(together) == list(serial)
    assert without_seconds(together) == without_seconds(serial)
    alone = function(small_models()["seeded"], R, 3, random_state=4, executor=executor)
    assert without_seconds(alone) == without_seconds(serial["seeded"])


def test_folds_of_any_kind_are_evaluated_by_an_executor(R, executor):
    folds = dict(zip("ab", k_fold(R, 2, 0), strict=True))
    serial, together = (
        cross_validate(BiasBaseline(), cv=folds, executor=one) for one in (None, executor)
    )
    assert without_seconds(together) == without_seconds(serial)
    assert together.splits == ("a", "b")


def test_splits_and_models_are_called_back_in_order(R, executor):
    calls = []
    models = {"mean": GlobalMean(), "biases": BiasBaseline()}
    results = cross_validate(
        models, R, 2, 0, executor=executor, callback=lambda *call: calls.append(call)
    )
    expected = [(f"{n + 1}", name, results[name].evaluations[n]) for n in (0, 1) for name in models]
    assert calls == expected
    calls.clear()
    cross_validate(models, R, 2, 0, callback=lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [call[:2] for call in expected]


def test_a_model_has_one_thread_in_a_task_unless_it_asks_for_more(R, executor):
    users, items, values = R.triples()
    zero = Ratings.from_triples(users, items, 0 * values, scale=(0, 9))  # MAE is the prediction
    models = {"none": Threads(), "three": Threads(3)}
    results = cross_validate(models, zero, 2, 0, executor=executor)
    assert {name: result.mae.mean for name, result in results.items()} == {"none": 1, "three": 3}
    assert models["none"].n_jobs is None
    assert cross_validate(Threads(), zero, 2, 0).mae.mean == 0


def test_a_failing_split_and_model_are_named(R, executor):
    folds = list(k_fold(R, 3, 0))
    models = {"fine": GlobalMean(), "picky": Picky([len(folds[1][0])])}
    folds[0] = train_test_split(R, 0.5, 0)
    for one in (None, executor):
        with pytest.raises(ValueError, match=r"^split 2, picky: I do not like these ratings\.$"):
            cross_validate(models, cv=[folds[0], folds[1]], executor=one)
    with pytest.raises(ValueError, match=r"^split odd, GlobalMean: "):
        cross_validate(GlobalMean(), cv={"odd": (R, R)}, executor=executor)


def test_warnings_of_models_reach_the_caller(R, executor):
    with pytest.warns(OddWarning) as caught:
        cross_validate(Warner(), R, 3, 0, executor=executor)
    n = {len(train) for train, _ in k_fold(R, 3, 0)}
    assert {str(one.message) for one in caught} == {f"{one} ratings" for one in n}


def test_progress_is_logged_here_whoever_evaluates(R, executor, caplog):
    with caplog.at_level(logging.INFO, logger="autorec_np.evaluation.cross_validation"):
        cross_validate({"mean": GlobalMean()}, R, 2, 0, executor=executor)
    lines = [one.message for one in caplog.records if one.threadName == "MainThread"]
    for split in ("split 1, mean", "split 2, mean"):
        assert any(line.startswith(f"{split}: RMSE") for line in lines)


# Real ratings


@pytest.fixture
def ml_100k():
    try:
        return fetch_movielens("ml-100k", download_if_missing=False)
    except FileNotFoundError:
        pytest.skip("needs ml-100k in $AUTOREC_NP_DATA or the per-user cache")


@pytest.mark.data
def test_the_published_folds_of_movielens(ml_100k):
    folds = {name: ml_100k.folds[name] for name in ("u1", "u2", "u3", "u4", "u5")}
    bias = cross_validate(BiasBaseline(), cv=folds)
    assert bias.splits == ("u1", "u2", "u3", "u4", "u5")
    assert [one.n_test for one in bias.evaluations] == [20_000] * 5
    assert [one.n_cold for one in bias.evaluations] == [32, 36, 36, 27, 36]
    expected = [0.9547, 0.9438, 0.9376, 0.9358, 0.9367]
    assert [one.rmse for one in bias.evaluations] == pytest.approx(expected, abs=2e-4)


@pytest.mark.data
def test_the_future_of_movielens_is_mostly_cold(ml_100k):
    train, test = temporal_split(ml_100k.ratings, 0.1)
    assert train.timestamps.max() <= test.timestamps.min()
    result = evaluate(GlobalMean(), train, test)
    assert (result.n_test, result.n_cold) == (10_000, 7_200)


class Waiting(Constant):
    """Its fits end in another order than they began."""

    turns: ClassVar[dict[float, tuple[threading.Event, threading.Event]]] = {}

    def fit(self, ratings):
        begun, may_end = self.turns[self.value]
        begun.set()
        assert may_end.wait(timeout=60)
        return super().fit(ratings)


def test_threads_leave_the_filters_of_warnings_as_they_were():
    ratings = make_ratings(n_users=20, n_items=15, n_ratings=120, random_state=0)
    train, test = train_test_split(ratings, 0.2, random_state=0)
    Waiting.turns = {value: (threading.Event(), threading.Event()) for value in (1.0, 2.0)}
    filters = list(warnings.filters)
    with ThreadPoolExecutor(2) as pool:
        running = {}
        for value, (begun, _) in Waiting.turns.items():
            running[value] = pool.submit(evaluate, Waiting(value), train, test)
            assert begun.wait(timeout=60)
        for value, (_, may_end) in Waiting.turns.items():  # the first to begin is the first to end
            may_end.set()
            running[value].result()
    assert warnings.filters == filters
