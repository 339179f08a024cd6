"""Models of lists are measured by their lists: splits, comparisons and search."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from autorec_np import EASE, AutoRec, BiasBaseline, Popularity, RankingAutoRec
from autorec_np.data.clicks import are_pairs
from autorec_np.data.splitting import holdout_per_user, k_fold, train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation import (
    cross_validate,
    default_space,
    evaluate,
    evaluate_ranking,
    evaluate_repeats,
    predict_held_out,
    search,
)

RATINGS = make_ratings(n_users=40, n_items=30, n_ratings=500, random_state=1)
USERS, ITEMS, _ = RATINGS.triples()
PAIRS = USERS, ITEMS
SETTINGS = {"hidden_layer_sizes": (4,), "regularization": 2.0, "max_iter": 6, "random_state": 0}
MEANS = ["precision", "recall", "ndcg", "map", "mrr", "hit_rate", "coverage"]


def test_a_model_of_lists_is_measured_by_its_lists():
    train, test = train_test_split(RATINGS, 0.2, random_state=0)
    found = evaluate(EASE(30.0), train, test)
    expected = evaluate_ranking(EASE(30.0).fit(train), test)
    assert found.ranking == expected
    assert (found.n_train, found.n_test, found.n_cold) == (400, 100, expected.n_cold)
    assert list(found.means) == MEANS
    told = json.loads(json.dumps(found.to_dict()))
    assert told["ndcg"] == expected.ndcg
    assert told["n_train"] == 400
    assert "NDCG" in str(found)
    assert "recommend" in str(found)
    assert not hasattr(found, "rmse")


def test_relevance_is_as_asked_or_the_models_own():
    train, test = train_test_split(RATINGS, 0.2, random_state=0)
    for model, threshold, expected in (
        (EASE(30.0), None, 4.0),
        (EASE(30.0, threshold=3), None, 3.0),
        (EASE(30.0, threshold=3), 2, 2.0),
        (EASE(30.0, values="counts"), None, 1.0),
    ):
        found = evaluate(model, train, test, threshold=threshold)
        assert found.ranking.threshold == expected
        assert found.ranking == evaluate_ranking(model.fit(train), test, threshold=threshold)


@pytest.mark.parametrize("pairs", [PAIRS, pd.DataFrame({"user": USERS, "item": ITEMS})])
def test_all_pairs_without_ratings_are_relevant(pairs):
    train, test = train_test_split(pairs, 0.2, random_state=0)
    assert are_pairs(train)
    assert are_pairs(test)
    for model in (EASE(30.0), EASE(30.0, threshold=1)):
        found = evaluate(model, train, test).ranking
        assert (found.threshold, found.n_relevant) == (1.0, 100)
        fitted = model.fit(train)
        users, items, _ = test.triples()
        assert evaluate_ranking(fitted, (users, items)) == found
    for split in (k_fold(pairs, 3, 0), [holdout_per_user(pairs, 1, 0)]):
        for part, rest in split:
            assert len(part) + len(rest) == 500
    cv = cross_validate(EASE(30.0), pairs, cv=3, random_state=0)
    assert sum(one.ranking.n_relevant for one in cv.evaluations) == 500
    repeats = evaluate_repeats(EASE(30.0), pairs, repeats=2, test_size=0.2)
    assert repeats.evaluations[0].ranking == evaluate(EASE(30.0), train, test).ranking


def test_repeated_clicks_are_all_relevant():
    repeated = np.concatenate([USERS, USERS[:50]]), np.concatenate([ITEMS, ITEMS[:50]])
    _, test = train_test_split(repeated, 0.2, random_state=0)
    assert test.scale == (1.0, 2.0)
    cv = cross_validate(EASE(30.0), repeated, cv=3, random_state=0)
    assert sum(one.ranking.n_relevant for one in cv.evaluations) == 500


def test_splits_of_lists_have_means_of_lists():
    model = RankingAutoRec(**SETTINGS)
    cv = cross_validate(model, RATINGS, cv=3, random_state=0)
    assert cv.ndcg.mean == pytest.approx(np.mean([one.ranking.ndcg for one in cv.evaluations]))
    assert cv.mean("recall").n == 3
    assert list(cv.to_dict()) == [*MEANS, "splits"]
    heading = str(cv).splitlines()[0].split()
    assert heading[:4] == ["split", "NDCG", "precision", "recall"]
    with pytest.raises(KeyError, match="rmse"):
        _ = cv.rmse


def test_an_executor_changes_nothing():
    models = {"lists": RankingAutoRec(**SETTINGS), "EASE": EASE(30.0)}
    alone = cross_validate(models, PAIRS, cv=2, random_state=0)
    with ThreadPoolExecutor(2) as pool:
        together = cross_validate(models, PAIRS, cv=2, random_state=0, executor=pool)
    for name in models:
        assert [one.ranking for one in together[name].evaluations] == [
            one.ranking for one in alone[name].evaluations
        ]


def test_whatever_is_beside_a_model_of_lists_is_measured_likewise():
    models = {
        "popular": Popularity(),
        "ratings": AutoRec(**SETTINGS),
        "lists": RankingAutoRec(**SETTINGS, threshold=3),
    }
    found = evaluate_repeats(models, RATINGS, repeats=2, test_size=0.2)
    assert {one.ranking.threshold for cv in found.values() for one in cv.evaluations} == {3.0}
    difference = found.difference("lists", "popular")
    assert difference.mean == pytest.approx(found["lists"].ndcg.mean - found["popular"].ndcg.mean)
    assert "NDCG" in str(found)
    train, test = train_test_split(RATINGS, 0.2, random_state=0)
    alone = evaluate_ranking(AutoRec(**SETTINGS).fit(train), test, threshold=3)
    assert found["ratings"].evaluations[0].ranking == alone
    models["popular"] = Popularity(4)
    with pytest.raises(ValueError, match=r"pass threshold=... to measure all lists alike"):
        cross_validate(models, RATINGS, cv=2)
    assert cross_validate(models, RATINGS, cv=2, threshold=4)["popular"].ndcg.n == 2


@pytest.mark.parametrize("values", ["counts", "binary"])
def test_beside_counts_all_that_was_chosen_is_to_be_found(values):
    models = {"popular": Popularity(), "lists": RankingAutoRec(**SETTINGS, values=values)}
    found = cross_validate(models, RATINGS, cv=2, random_state=0)
    pairs = zip(*(found[name].evaluations for name in models), strict=True)
    for popular, lists in pairs:
        relevant = popular.ranking.n_relevant
        assert relevant == lists.ranking.n_relevant
        assert (relevant == popular.n_test) == (values == "counts")


def test_pairs_have_no_errors_of_ratings():
    for measure in (cross_validate, evaluate_repeats, search):
        with pytest.raises((TypeError, ValueError), match="who chose what, without ratings"):
            measure(BiasBaseline(), PAIRS)


def test_scores_of_lists_are_no_predictions():
    train, test = train_test_split(RATINGS, 0.2, random_state=0)
    with pytest.raises(TypeError, match=r"RankingAutoRec ranks items.*evaluate_ranking"):
        predict_held_out(RankingAutoRec(**SETTINGS).fit(train), test)


# Search


def test_search_maximizes_the_ndcg_over_w0_too(tmp_path):
    model = RankingAutoRec(**SETTINGS)
    space = default_space(model, RATINGS)
    assert space["unobserved_weight"].low == model.unobserved_weight / 8
    assert {*space["regularization"]} == {"encoder.weight", "decoder.weight"}
    journal = tmp_path / "search.jsonl"
    options = {"n_candidates": 6, "random_state": 3, "resume": journal}
    found = search(model, RATINGS, **options)
    full = [trial for trial in found.trials if trial.divisor == 1]
    assert found.best.ndcg == max(trial.ndcg for trial in full)
    assert all(np.isnan(trial.rmse) for trial in found.trials)
    assert {"unobserved_weight", "regularization"} < {*found.trials[1].params}
    train, validation = train_test_split(RATINGS, 0.1, 3)
    assert found.best.ndcg == evaluate(found.model, train, validation).ranking.ndcg
    assert "NDCG@10" in str(found)
    assert "NDCG@10" in str(found.best)
    again = search(model, RATINGS, **options)  # nothing is run again
    assert [trial.ndcg for trial in again.trials] == [trial.ndcg for trial in found.trials]
    assert again.best.candidate == found.best.candidate
    told = json.loads(json.dumps(found.to_dict()))
    assert told["best"]["rmse"] is None
    assert told["best"]["ndcg"] == found.best.ndcg


def test_search_takes_clicks_and_a_threshold():
    space = {"regularization": [1.0, 30.0, 300.0]}
    clicks = search(EASE(), PAIRS, space, 3, strategy="random")
    assert clicks.best.ndcg == max(trial.ndcg for trial in clicks.trials)
    low, high = (
        search(EASE(), RATINGS, space, 3, strategy="random", threshold=threshold).best.ndcg
        for threshold in (1, 4)
    )
    assert low != high


def test_the_space_of_an_implicit_decoder_and_without_w0():
    model = RankingAutoRec(**SETTINGS, implicit=2, unobserved_weight=0.0)
    space = default_space(model, PAIRS)
    assert "implicit.weight" in space["regularization"]
    assert 0 < space["unobserved_weight"].low < space["unobserved_weight"].high
    found = search(model, PAIRS, n_candidates=2, strategy="random")
    assert found.best.ndcg is not None
