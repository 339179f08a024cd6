"""A thread that asks a model meanwhile fitted anew sees the old model or the new, never both.

Every answer must come from one record. So each function is asked of a model that has another record
each time it is read, and must read it once; and threads ask a model that is fitted and updated all
the while.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import threading
import time

import pandas as pd
import pytest

from autorec_np.baselines.factors import BiasedMF
from autorec_np.baselines.rbm import RatingRBM
from autorec_np.data.ratings import Ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.held_out import evaluate_ranking, not_trained_on, predict_held_out
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.blend import Blend
from autorec_np.reports import html, pictures
from autorec_np.reports.pictures import html_report
from autorec_np.serving.explanation import (
    explain,
    rating_derivatives,
    rating_influence,
    similar_items,
    similar_users,
)
from autorec_np.serving.model_file import export_onnx, save_model

SMALL = {"hidden_layer_sizes": (4,), "max_iter": 2, "n_jobs": 1, "random_state": 0}


def ratings_of(n_users, n_items, seed):
    return make_ratings(n_users, n_items, n_users * n_items // 3, random_state=seed)


FIRST, SECOND = ratings_of(30, 20, 0), ratings_of(36, 26, 1)
USERS, ITEMS = FIRST.user_ids[:3], FIRST.item_ids[:3]  # known to both
NEW = dict.fromkeys(ITEMS.tolist(), 4.0)
TEST = FIRST.user_ids[[4]], FIRST.item_ids[[4]], [3.0]
KNOWN = set(zip(*FIRST.triples()[:2], strict=True)) | set(zip(*SECOND.triples()[:2], strict=True))
UNSEEN = next((u, i) for u in USERS for i in ITEMS if (u, i) not in KNOWN)
HELD_OUT = [UNSEEN[0]], [UNSEEN[1]], [5.0]

OF_EVERY_MODEL = {
    "predict": lambda model: model.predict(USERS, ITEMS),
    "predict a frame": lambda model: model.predict(pd.DataFrame({"user": USERS, "item": ITEMS})),
    "score": lambda model: model.score(USERS, ITEMS, [3.0, 4.0, 5.0]),
    "cold_pairs": lambda model: model.cold_pairs(USERS, ITEMS),
    "cold_users": lambda model: model.cold_users(USERS),
    "recommend": lambda model: model.recommend(USERS, 30, candidates=ITEMS, exclude=ITEMS[:1]),
    "recommend to a series": lambda model: model.recommend(pd.Series(USERS), 30),
    "not_trained_on": lambda model: not_trained_on(model, TEST),
}
OF_AN_AUTOREC = {
    "encode": lambda model: model.encode(),
    "encode some": lambda model: model.encode(ITEMS),
    "predict_new": lambda model: model.predict_new(NEW),
    "predict_new an item": lambda model: model.predict_new({USERS[0]: 4.0}, axis="item"),
    "predict_new many": lambda model: model.predict_new((*HELD_OUT,)),
    "recommend_new": lambda model: model.recommend_new(NEW, 40, exclude=ITEMS[:1]),
    "recommend_new an item": lambda model: model.recommend_new({USERS[0]: 4.0}, 40, axis="item"),
    "similar_items": lambda model: similar_items(model, ITEMS, 40),
    "similar_users": lambda model: similar_users(model, USERS, 40),
    "explain by items": lambda model: explain(model, USERS[0], ITEMS[0]),
    "explain by users": lambda model: explain(model, USERS[0], ITEMS[0], by="users"),
    "rating_derivatives": lambda model: rating_derivatives(model, USERS[0], ITEMS[0]),
    "rating_influence": lambda model: rating_influence(model, USERS[0], ITEMS[0]),
}
DRAWN = {
    name: getattr(pictures, name)
    for name in ("plot_learning_curves", "plot_weights", "plot_activations", "plot_item_map")
}


MODELS = {
    "item": lambda: AutoRec(**SMALL),
    "user": lambda: AutoRec("user", **SMALL),
    "implicit": lambda: AutoRec(**SMALL, implicit=2, inputs="planes"),
    "biases": BiasBaseline,
    "mean": GlobalMean,
    "machine": lambda: RatingRBM(n_hidden=2, max_iter=2, random_state=0),
    "factors": lambda: BiasedMF(n_factors=2, max_iter=2, random_state=0),
    "blend": lambda: Blend([("item", AutoRec(**SMALL)), ("biases", BiasBaseline())]),
}


@pytest.fixture
def reads(monkeypatch):
    """Return a function: from then on each read of a class's record gives the next of two."""

    def turn(*models):
        records, asked = [model.fitted_ for model in models], []

        def read(model):
            asked.append(model)
            return records[len(asked) % 2]

        monkeypatch.setattr(type(models[0]), "fitted_", property(read), raising=False)
        return asked

    return turn


def both(name):
    return MODELS[name]().fit(FIRST), MODELS[name]().fit(SECOND)


@pytest.mark.parametrize("asked", OF_EVERY_MODEL)
@pytest.mark.parametrize("name", MODELS)
def test_an_answer_of_every_model_reads_the_record_once(name, asked, reads):
    model, other = both(name)
    count = reads(model, other)
    OF_EVERY_MODEL[asked](model)
    assert len(count) == 1


@pytest.mark.parametrize("asked", OF_AN_AUTOREC)
@pytest.mark.parametrize("name", ["item", "user", "implicit"])
def test_an_answer_of_an_autorec_reads_the_record_once(name, asked, reads):
    model, other = both(name)
    count = reads(model, other)
    OF_AN_AUTOREC[asked](model)
    assert len(count) == 1


@pytest.mark.parametrize("asked", [one for one in OF_AN_AUTOREC if "_new" in one or "expl" in one])
def test_an_answer_of_a_blend_reads_the_record_once(asked, reads):
    model, other = both("blend")
    count = reads(model, other)
    OF_AN_AUTOREC[asked](model)
    assert len(count) == 1


@pytest.mark.parametrize("asked", DRAWN)
def test_a_picture_shows_one_record(asked, reads):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    model, other = both("item")
    count = reads(model, other)
    DRAWN[asked](model)
    assert len(count) == 1


@pytest.mark.parametrize(
    ("write", "name"), [(save_model, "user"), (save_model, "blend"), (export_onnx, "user")]
)
def test_a_file_holds_one_record(write, name, reads, tmp_path):
    if write is export_onnx:
        pytest.importorskip("onnx", reason="needs the package onnx")
    model, other = both(name)
    count = reads(model, other)
    write(model, tmp_path / "file")
    assert len(count) == 1


def test_an_answer_that_reads_twice_is_found(reads):
    model, other = both("item")
    count = reads(model, other)
    assert len(model.codes_) != len(model.ratings_.item_ids)
    assert len(count) == 2


# Answers that take a copy of the model, which keeps its record


def fit_in_the_middle(model, monkeypatch, other):
    """Give the model another record as soon as it looks up an id."""
    find = Ratings.user_positions

    def fitted_meanwhile(self, ids):
        model.fitted_ = other.fitted_
        return find(self, ids)

    monkeypatch.setattr(Ratings, "user_positions", fitted_meanwhile)


MEASURES = {
    "predict_held_out": lambda model: predict_held_out(model, HELD_OUT).predicted.tolist(),
    "evaluate_ranking": lambda model: evaluate_ranking(model, HELD_OUT, k=40),
}


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", ["item", "biases"])
def test_a_fit_in_the_middle_changes_no_measure(name, measure, monkeypatch):
    model, other = both(name)
    expected = MEASURES[measure](model)
    assert MEASURES[measure](other) != expected
    fit_in_the_middle(model, monkeypatch, other)
    assert MEASURES[measure](model) == expected
    assert model.fitted_ is other.fitted_


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_that_keeps_no_record_is_found(measure, monkeypatch):
    model, other = both("item")
    expected = MEASURES[measure](model)
    fit_in_the_middle(model, monkeypatch, other)
    monkeypatch.setattr(copy, "copy", lambda thing: thing)
    with contextlib.suppress(IndexError, ValueError):  # of positions of the one in the other
        assert MEASURES[measure](model) != expected


def test_a_fit_in_the_middle_changes_no_report(monkeypatch):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    monkeypatch.setattr(html, "svg", lambda figure, key, alt: "<svg></svg>")
    model, other = both("item")
    expected = html_report(model)
    fit_in_the_middle(model, monkeypatch, other)
    assert html_report(model) == expected
    assert model.fitted_ is other.fitted_


# Threads


def answers(model):
    ids, scores = model.recommend(USERS, 30)
    return (
        model.predict(USERS, ITEMS).tolist(),
        ids.tolist(),
        scores.tolist(),
        model.predict_new(NEW).tolist(),
        similar_items(model, ITEMS, 4)[1].tolist(),
    )


def seen_by_threads(model, change, n_threads=3):
    """Return what threads are answered, one by one, while `change` is called."""
    seen, errors, done = [set() for _ in range(5)], [], threading.Event()

    def ask():
        try:
            while not done.is_set():
                for place, answer in zip(seen, answers(model), strict=True):
                    place.add(repr(answer))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    try:
        change()
    finally:
        done.set()
        for thread in threads:
            thread.join(timeout=60)
    return seen, errors


def expected_of(*models):
    return [set(map(repr, each)) for each in zip(*map(answers, models), strict=True)]


def test_threads_see_the_old_model_or_the_new_while_it_is_fitted():
    model, other = both("item")
    allowed = expected_of(model, other)

    def change():
        for _ in range(15):
            model.fit(SECOND)
            model.fit(FIRST)

    seen, errors = seen_by_threads(model, change, n_threads=16)
    assert errors == []
    for found, allowed_here in zip(seen, allowed, strict=True):
        assert found <= allowed_here
    assert any(len(found) == 2 for found in seen), "no thread saw both: nothing was tested"


def test_threads_see_the_old_model_or_the_new_while_it_takes_in_ratings():
    """Each update grows the model by a user: users, codes and weights all change their places."""
    states = [AutoRec("user", **SMALL).fit(FIRST)]
    updates = [([-1 - k] * 3, ITEMS, [5.0, 1.0, 3.0]) for k in range(12)]
    for update in updates:
        states.append(copy.copy(states[-1]).partial_fit(update))
    allowed, model = expected_of(*states), copy.copy(states[0])

    def change():
        for _ in range(4):
            model.fitted_ = states[0].fitted_
            for update in updates:
                model.partial_fit(update)

    seen, errors = seen_by_threads(model, change)
    assert errors == []
    for found, allowed_here in zip(seen, allowed, strict=True):
        assert found <= allowed_here
    assert any(len(found) > 1 for found in seen), "no thread saw two states: nothing was tested"


def test_a_model_that_changes_part_by_part_is_found(monkeypatch):
    """The fault of old: attributes that are written one after the other."""
    model, other = both("item")
    allowed, states = expected_of(model, other), (model.fitted_, other.fitted_)

    def change():
        for turn in range(400):
            old, new = states[turn % 2], states[1 - turn % 2]
            halves = dataclasses.replace(old, theta=new.theta, network=new.network)
            model.fitted_ = halves
            time.sleep(1e-3)
            model.fitted_ = new

    seen, errors = seen_by_threads(model, change)
    mixed = [found - allowed_here for found, allowed_here in zip(seen, allowed, strict=True)]
    assert errors or any(mixed)
