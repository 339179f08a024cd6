"""Metrics of recommended lists: against ranx, known values, and the conventions stated."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import holdout_per_user, train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation import held_out
from autorec_np.evaluation.held_out import (
    coverage_at_k,
    evaluate_ranking,
    mean_and_interval,
    novelty_at_k,
    popularity_share_at_k,
    relevant_items,
    scores_per_user,
)
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import BiasBaseline, GlobalMean

METRICS = ["precision", "recall", "ndcg", "map", "mrr", "hit_rate"]

TRAIN, TEST = train_test_split(
    make_ratings(n_users=60, n_items=40, n_ratings=900, activity=0.3, random_state=0), 0.3, 0
)


def metric(name):
    return getattr(held_out, f"{name}_at_k")


# Against ranx


@pytest.fixture(scope="module")
def ranx():
    """ranx without compilation by Numba, which would take half a minute."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        yield pytest.importorskip("ranx", reason="ranx, the reference, is not installed")


@st.composite
def lists_and_relevant(draw):
    """Lists of six places with None at their ends, and at least one relevant item each."""
    items = [f"i{number}" for number in range(9)]
    n_users = draw(st.integers(1, 4))
    lists, relevant = [], []
    for _ in range(n_users):
        found = draw(st.permutations(items))[: draw(st.integers(1, 6))]
        lists.append([*found, *[None] * (6 - len(found))])
        relevant.append(draw(st.sets(st.sampled_from([*items, "unknown"]), min_size=1)))
    return lists, relevant


@given(lists_and_relevant(), st.integers(1, 8))
def test_every_metric_is_that_of_ranx(ranx, case, k):
    lists, relevant = case
    names = [f"u{number}" for number in range(len(lists))]
    qrels = ranx.Qrels(
        {user: dict.fromkeys(sorted(items), 1) for user, items in zip(names, relevant, strict=True)}
    )
    run = ranx.Run(
        {
            user: {item: -float(place) for place, item in enumerate(places) if item is not None}
            for user, places in zip(names, lists, strict=True)
        }
    )
    theirs = ranx.evaluate(qrels, run, [f"{name}@{k}" for name in METRICS], return_mean=False)
    ours = scores_per_user(np.array(lists, dtype=object), relevant, k)
    for name in METRICS:
        np.testing.assert_allclose(ours[name], theirs[f"{name}@{k}"], rtol=1e-12, err_msg=name)
        assert metric(name)(lists, relevant, k) == pytest.approx(theirs[f"{name}@{k}"].mean())


def test_a_model_measured_is_its_lists_in_ranx(ranx):
    """Who has no relevant item is no user of theirs, and the mean is over the others."""
    model = BiasBaseline().fit(TRAIN)
    users, items, ratings = (array.tolist() for array in TEST.triples())
    qrels, run = {}, {}
    for user, item, rating in zip(users, items, ratings, strict=True):
        if rating >= 4:
            qrels.setdefault(str(user), {})[str(item)] = 1
    for user in qrels:
        (places,), _ = model.recommend([int(user)], 10)
        run[user] = {str(item): -float(place) for place, item in enumerate(places)}
    theirs = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), [f"{name}@10" for name in METRICS])
    ours = evaluate_ranking(model, TEST, k=10, threshold=4)
    assert ours.n_users == len(qrels)
    for name in METRICS:
        assert getattr(ours, name) == pytest.approx(theirs[f"{name}@10"], rel=1e-12)


# Known values and conventions

LISTS = [["a", "b", "c"], ["a", None, None], ["x", "y", "z"]]
RELEVANT = [{"b", "c", "d", "e"}, {"a"}, set()]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("precision", 2 / 3, 1 / 3),  # the empty places are misses
        ("recall", 2 / 4, 1.0),
        ("ndcg", (1 / math.log2(3) + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2), 1.0),
        ("map", (1 / 2 + 2 / 3) / 4, 1.0),  # over all four relevant items, not min(k, R)
        ("mrr", 1 / 2, 1.0),
        ("hit_rate", 1.0, 1.0),
    ],
)
def test_known_values_leave_out_the_user_without_relevant_items(name, first, second):
    np.testing.assert_allclose(
        scores_per_user(LISTS, RELEVANT, 3)[name], [first, second, np.nan], rtol=1e-15
    )
    assert metric(name)(LISTS, RELEVANT, 3) == pytest.approx((first + second) / 2)


@pytest.mark.parametrize("name", METRICS)
def test_only_the_first_k_places_count_and_an_empty_one_is_a_place(name):
    assert metric(name)([["a", "b"]], [{"b"}], 1) == 0.0
    assert metric(name)([[None, "b"]], [{"b"}]) == metric(name)([["a", "b"]], [{"b"}])


@given(lists_and_relevant(), st.integers(1, 8))
def test_every_metric_is_between_0_and_1_and_the_best_list_has_ndcg_1(case, k):
    lists, relevant = case
    for scores in scores_per_user(lists, relevant, k).values():
        assert ((scores >= 0) & (scores <= 1 + 1e-15)).all()
    best = [sorted(items) for items in relevant]
    np.testing.assert_allclose(scores_per_user(best, relevant, k)["ndcg"], 1.0, rtol=1e-15)


def test_ids_are_equal_whatever_library_they_come_from():
    assert metric("recall")(np.array([[3, 4]]), [np.array([3])]) == 1.0
    assert metric("recall")(np.array([["3", "4"]]), [["3", "3"]]) == 1.0


def test_relevant_items_reach_the_threshold():
    R = Ratings.from_triples([1, 1, 1, 2], list("abca"), [3.7, 3.6, 5, 2], scale=(1, 5))
    assert relevant_items(R, [1, 2, 3], 3.7) == [{"a", "c"}, set(), set()]
    assert relevant_items(R, [1]) == [{"c"}]  # three quarters from 1 to 5 is 4
    assert relevant_items(R, [2, 1], 2) == [{"a"}, {"a", "b", "c"}]
    numbers = Ratings.from_triples([1], [7], [5])
    assert type(next(iter(relevant_items(numbers, [1], 1)[0]))) is int


def test_a_stored_zero_can_be_relevant():
    R = Ratings.from_triples([1, 1], [7, 8], [0.0, -1.0])
    assert relevant_items(R, [1], 0.0) == [{7}]


def test_coverage_counts_items_once():
    assert coverage_at_k([["a", "b"], ["a", None]], 4) == 0.5
    assert coverage_at_k([["a", "b"], ["a", "c"]], 4, k=1) == 0.25
    assert coverage_at_k([[None]], 4) == 0.0


def test_novelty_is_self_information():
    R = Ratings.from_triples([1, 2, 3, 4, 1], list("aaaab"), [5] * 5)
    assert novelty_at_k([["a"]], R) == 0.0
    assert novelty_at_k([["b", None]], R) == 2.0  # one of four users
    assert novelty_at_k([["a", "b"]], R) == 1.0
    assert novelty_at_k([["never rated"]], R) == 2.0
    assert math.isnan(novelty_at_k([[None]], R))
    part = R.select([0, 1, 4])  # users 3 and 4 are left without ratings: they do not count
    assert novelty_at_k([["b"]], part) == 1.0


CLICKS = Ratings.from_triples([1, 1, 2, 2, 3, 4], list("abacda"), [1] * 6)  # a, then b, c, d


@pytest.mark.parametrize(
    ("user", "places", "share"),
    [
        (1, ["c", "d"], 1.0),  # has a and b
        (1, ["d", "c"], 1.0),  # places, not their order
        (2, ["b", "x"], 1 / 2),
        (3, ["c", "d"], 0.0),  # of a, b and c, which are not seen, a and b come first
        (4, ["b", None], 1.0),  # an empty place is nobody's
        ("a stranger", ["a", "b"], 1.0),  # has seen nothing
    ],
)
def test_the_share_of_popularity_is_of_the_unseen_and_ties_are_in_the_order_of_ids(
    user, places, share
):
    users = [9 if user == "a stranger" else user]
    assert popularity_share_at_k([places], CLICKS, users, 2) == share


def test_the_share_of_popularity_is_over_the_filled_places():
    lists = [["c", "d"], ["c", None], [None, None]]
    assert popularity_share_at_k(lists, CLICKS, [1, 3, 4], 2) == 2 / 3
    assert popularity_share_at_k(lists, CLICKS, [1, 3, 4], 1) == 1 / 2
    assert math.isnan(popularity_share_at_k([[None]], CLICKS, [1]))
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        popularity_share_at_k(lists, CLICKS, [1, 2, 3, 4])


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_popularity_gives_all_that_popularity_gives(seed, k):
    """A slow reference: sort the unseen items by (ratings, id), whatever was given."""
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 30)
    users, items = np.unique(rng.integers(0, 6, (2, n)), axis=1)
    R = Ratings.from_triples(users, items, np.ones(len(users)))
    lists, shared = [], 0
    for user in R.user_ids.tolist():
        unseen = set(items.tolist()) - set(items[users == user].tolist())
        best = sorted(unseen, key=lambda item: (-np.count_nonzero(items == item), item))[:k]
        given_ = rng.permutation(sorted(unseen))[:k].tolist()
        lists.append((best, given_))
        shared += len(set(best) & set(given_))
    popular, others = zip(*lists, strict=True)
    n_places = sum(map(len, others))
    for found, expected in ((popular, n_places), (others, shared)):
        share = popularity_share_at_k(found, R, R.user_ids, k)
        assert share == expected / n_places if n_places else math.isnan(share)


# A fitted model


@pytest.mark.parametrize("kind", [BiasBaseline, GlobalMean, AutoRec])
def test_evaluate_ranking_is_the_sum_of_its_parts(kind):
    settings = {"hidden_layer_sizes": (4,), "max_iter": 3, "n_jobs": 1, "random_state": 0}
    model = kind(**settings if kind is AutoRec else {}).fit(TRAIN)
    result = evaluate_ranking(model, TEST, k=5, threshold=4)
    users = np.unique(TEST.triples()[0])
    relevant = relevant_items(TEST, users, 4)
    lists, _ = model.recommend(users, 5)
    for name in METRICS:
        assert getattr(result, name) == pytest.approx(metric(name)(lists, relevant, 5))
    measured = np.array([len(items) > 0 for items in relevant])
    assert result.coverage == coverage_at_k(lists[measured], TRAIN.n_items, 5)
    assert result.novelty == pytest.approx(novelty_at_k(lists[measured], TRAIN, 5))
    assert result.n_users + result.n_without_relevant == len(users)
    assert result.n_without_relevant > 0
    assert (result.n_unknown, result.k, result.threshold) == (0, 5, 4)
    assert 0 < result.ndcg < 1
    share = popularity_share_at_k(lists[measured], TRAIN, users[measured], 5)
    assert 0 < result.popularity_share == share < 1
    per_user = scores_per_user(lists[measured], [items for items in relevant if items], 5)
    assert result.intervals == {name: mean_and_interval(per_user[name]) for name in METRICS}
    assert result.intervals["ndcg"].low < result.ndcg < result.intervals["ndcg"].high
    assert (result.n_cold, result.n_relevant) == (0, sum(map(len, relevant)))
    told = json.loads(json.dumps(result.to_dict()))
    assert told["map"] == told["intervals"]["map"]["mean"] == result.map
    assert f"precision@5 {result.precision:.4f}" in str(result)
    assert f"NDCG {result.intervals['ndcg']}" in str(result)


def test_one_user_has_no_interval_and_json_says_null():
    result = evaluate_ranking(BiasBaseline().fit(TRAIN), TEST.select(TEST.triples()[0] == 1))
    assert result.intervals["ndcg"].n == result.n_users == 1
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["intervals"]["ndcg"]["low"] is None
    assert "one value, no interval" in str(result)


def test_relevant_items_without_training_ratings_are_counted_and_missed():
    R = Ratings.from_triples([1, 1, 2, 2, 2], list("abacd"), [5, 1, 5, 5, 5], scale=(1, 5))
    model = BiasBaseline().fit(R.select([0, 1, 2]))  # c and d are known and never rated
    one = evaluate_ranking(model, R.select([3, 4]), k=1)
    assert (one.n_relevant, one.n_cold) == (2, 2)
    more = evaluate_ranking(model, ([2, 2, 1, 9], ["b", "c", "new", "b"], [5, 5, 5, 5]), k=1)
    assert (more.n_relevant, more.n_cold, more.n_unknown) == (4, 2, 1)
    rated_low = evaluate_ranking(model, ([2, 2], ["b", "c"], [5, 1]), k=1)
    assert (rated_low.n_relevant, rated_low.n_cold) == (1, 0)
    assert str(more).endswith("2 of 4 such items cold")


def test_leave_one_out_measures_one_item_of_each_user():
    train, test = holdout_per_user(TRAIN, 1, 0)
    result = evaluate_ranking(BiasBaseline().fit(train), test, k=5, threshold=1)
    assert result.n_users == result.n_relevant == len(test) == TRAIN.n_users
    assert result.recall == result.hit_rate == pytest.approx(5 * result.precision)
    assert result.map == pytest.approx(result.mrr)  # of one relevant item
    assert result.ndcg >= result.mrr > 0


def test_ties_are_broken_by_id_so_that_the_result_is_one():
    """The global mean ties everything: the lists are the first unseen items."""
    assert evaluate_ranking(GlobalMean().fit(TRAIN), TEST) == evaluate_ranking(
        GlobalMean().fit(TRAIN), TEST
    )
    R = Ratings.from_triples([1, 1, 2, 2], [10, 11, 12, 13], [1, 5, 1, 5])
    model = GlobalMean().fit(R)
    test = Ratings.from_triples([1, 2], [12, 11], [5, 5], scale=(1, 5))
    assert evaluate_ranking(model, test).mrr == pytest.approx((1 + 1 / 2) / 2)


def test_unknown_users_and_items_count_as_misses():
    model = BiasBaseline().fit(TRAIN)
    users, items, ratings = TEST.triples()
    alone = evaluate_ranking(model, TEST, threshold=4)
    strangers = Ratings.from_triples(
        [*users, 9_999, users[0]], [*items, items[0], 9_999], [*ratings, 5, 1], scale=(1, 5)
    )
    result = evaluate_ranking(model, strangers, threshold=4)
    assert (result.n_users, result.n_unknown) == (alone.n_users + 1, 1)
    assert result.hit_rate == pytest.approx(alone.hit_rate * alone.n_users / result.n_users)
    only = evaluate_ranking(model, ([9_999], [items[0]], [5]), threshold=4)
    assert (only.hit_rate, only.coverage) == (0.0, 0.0)
    assert math.isnan(only.novelty)


def test_what_cannot_be_measured_is_refused():
    model = BiasBaseline().fit(TRAIN)
    with pytest.raises(ValueError, match=r"threshold=5\.5 \(the highest is 5\).*lower"):
        evaluate_ranking(model, TEST, threshold=5.5)
    with pytest.raises(ValueError, match="of the 630 test pairs are also training pairs"):
        evaluate_ranking(model, TRAIN)
    with pytest.raises(ValueError, match="test holds no ratings"):
        evaluate_ranking(model, TEST.select([]))
    with pytest.raises(NotFittedError, match="call fit"):
        evaluate_ranking(BiasBaseline(), TEST)
    with pytest.raises(ValueError, match="k must be at least 1"):
        evaluate_ranking(model, TEST, k=0)
    with pytest.raises(ValueError, match="lists for 1 users and relevant has 2"):
        metric("recall")([["a"]], [{"a"}, {"b"}])
    with pytest.raises(ValueError, match="index 1 recommends an item twice"):
        metric("recall")([["a", None, None], ["b", "b"]], [{"a"}, {"b"}])
    with pytest.raises(ValueError, match="none of the 1 users has a relevant item"):
        metric("recall")([["a"]], [set()])
    with pytest.raises(ValueError, match="n_items must be at least 1"):
        coverage_at_k([["a"]], 0)


# Ids and scales


@pytest.mark.parametrize(
    ("recommended", "relevant"),
    [
        ([[1, 2]], [{"1"}]),
        ([["1", None]], [{1}]),
        (np.array([[1, 2]]), [["a"]]),
        ([[1], ["a"]], [{1}, {2}]),
        ([[1], [2]], [{1}, {"2"}]),
    ],
)
@pytest.mark.parametrize("name", METRICS)
def test_ids_of_another_kind_are_an_error_whose_advice_works(name, recommended, relevant):
    with pytest.raises(TypeError, match=r"must be of one kind, got .* make all of them") as caught:
        metric(name)(recommended, relevant)
    advice = "[[str(one) for one in ids] for ids in lists]"
    assert advice in str(caught.value)
    texts = [eval(advice, {"lists": lists}) for lists in (recommended, relevant)]
    assert metric(name)(*texts) >= 0


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("recommended", "relevant", "message"),
    [
        ([1, 2], [{1}, {2}], r"recommended must hold one list of ids for each user, got 1 at inde"),
        (["ab", "c"], [{"a"}, {"c"}], r"got 'ab' at index 0; of one user, pass \[recommended\]"),
        (np.array([1, 2]), [{1}, {2}], r"got 1 at index 0"),
        ([[1], [2]], [1, 2], r"relevant must hold one list of ids for each user, got 1 at index 0"),
        ([["a"], ["b"]], ["a", "b"], r"got 'a' at index 0; of one user, pass \[relevant\]"),
    ],
)
def test_a_flat_list_of_ids_is_an_error(name, recommended, relevant, message):
    with pytest.raises(TypeError, match=message):
        metric(name)(recommended, relevant)


def test_coverage_and_novelty_want_lists_too():
    for wrong in ([1, 2], ["ab"]):
        with pytest.raises(TypeError, match="recommended must hold one list of ids for each user"):
            coverage_at_k(wrong, 9)
        with pytest.raises(TypeError, match="recommended must hold one list of ids for each user"):
            novelty_at_k(wrong, TRAIN)
    assert coverage_at_k([[1, 2]], 4) == 0.5
    with pytest.raises(TypeError, match="item ids of these ratings are integers"):
        novelty_at_k([["a"]], TRAIN)


def test_the_same_test_part_in_every_form_gives_the_same_figures():
    model = BiasBaseline().fit(TRAIN)
    part = TEST.select(TEST.triples()[2] >= 2)  # so that its range is not the scale
    users, items, ratings = part.triples()
    rows = list(zip(users.tolist(), items.tolist(), ratings.tolist(), strict=True))
    whole = evaluate_ranking(model, part, k=5)
    assert whole.threshold == 4.0
    for form in (
        part.to_frame(),
        part.triples(),
        rows,
        part.to_frame()[["rating", "item", "user"]],
    ):
        assert evaluate_ranking(model, form, k=5) == whole
    assert evaluate_ranking(model, part.to_frame(), k=5, threshold=5).threshold == 5
