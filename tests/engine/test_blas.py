"""BLAS is held to one thread while we compute, by whoever comes first, and gets its own back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from blas_threads import blas_threads, one_way, two_threads

from autorec_np import explain, similar_items, similar_users
from autorec_np.data.synthetic import make_ratings
from autorec_np.engine.threads import undisturbed, workers
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Record

two_threads = pytest.fixture(autouse=True)(two_threads)
way = pytest.fixture(params=["threadpoolctl", "ctypes"])(one_way)
R = make_ratings(n_users=40, n_items=30, n_ratings=300, random_state=0)
SMALL = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_blas_has_one_thread_while_workers_work(n_jobs):
    with workers(n_jobs) as pool:
        assert blas_threads() == {1}
        assert (pool is None) == (n_jobs == 1)
    assert blas_threads() == {2}


@pytest.mark.usefixtures("way")
def test_many_fits_at_once_share_the_limit_and_give_it_back():
    seen = []

    def fit(seed):
        callback = lambda state: seen.append(blas_threads())  # noqa: E731
        options = {"hidden_layer_sizes": (3,), "max_iter": 1 + seed, "n_jobs": 1 + seed % 2}
        return AutoRec(**options, callbacks=[callback], random_state=seed).fit(R).theta_.tobytes()

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fit, range(6)))
    assert seen == [{1}] * sum(range(1, 7))
    assert blas_threads() == {2}
    assert together == [fit(seed) for seed in range(6)]


def test_two_fits_at_once_do_not_change_one_anothers_bits():
    alone = AutoRec(**SMALL, n_jobs=1).fit(R).theta_.tobytes()
    first_has_ended, second_has_begun, seen = Event(), Event(), []

    def wait(state):
        second_has_begun.set()
        assert first_has_ended.wait(timeout=60)
        seen.append(blas_threads())

    with ThreadPoolExecutor(1) as pool:
        began = lambda state: second_has_begun.wait(timeout=60) and False  # noqa: E731
        slow = AutoRec(**SMALL, n_jobs=1, callbacks=[wait])
        first = AutoRec(**SMALL, n_jobs=1, callbacks=[began])
        second = pool.submit(slow.fit, R)
        assert first.fit(R).theta_.tobytes() == alone
        first_has_ended.set()
        assert second.result().theta_.tobytes() == alone
    assert seen == [{1}, {1}]


@pytest.mark.usefixtures("way")
def test_an_error_restores_the_limit():
    with pytest.raises(ZeroDivisionError), workers(2):
        raise ZeroDivisionError
    assert blas_threads() == {2}


# Whoever computes


@pytest.fixture(scope="module")
def model():
    return AutoRec(**SMALL, orientation="user").fit(R)


def test_a_fit_holds_blas_to_one_thread(way):
    seen = []
    callback = lambda state: seen.append(blas_threads())  # noqa: E731
    AutoRec(**SMALL, callbacks=[callback]).fit(R)
    assert seen == [{1}, {1}]


USER, ITEM = R.user_ids[0], R.item_ids[0]
CALLS = {
    "predict": lambda model: model.predict([USER], [ITEM]),
    "recommend": lambda model: model.recommend([USER]),
    "predict_new": lambda model: model.predict_new({ITEM: 4.0}),
    "recommend_new": lambda model: model.recommend_new({ITEM: 4.0}),
    "partial_fit": lambda model: AutoRec(**SMALL).fit(R).partial_fit(([USER], [ITEM], [2.0])),
    "similar_items": lambda model: similar_items(model, [ITEM]),
    "similar_users": lambda model: similar_users(model, [USER]),
    "explain": lambda model: explain(model, USER, ITEM),
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("call", CALLS)
def test_all_that_computes_holds_blas_to_one_thread(call, model, monkeypatch):
    seen, look_up = [], Record.look_up

    def look(self, *arguments, **options):
        seen.append(blas_threads())
        return look_up(self, *arguments, **options)

    if call == "partial_fit":
        from autorec_np.models import newcomers

        best = newcomers.best_biases
        monkeypatch.setattr(
            newcomers, "best_biases", lambda *a: (seen.append(blas_threads()), best(*a))[1]
        )
    else:
        monkeypatch.setattr(Record, "look_up", look)
    CALLS[call](model)
    assert seen
    assert set.union(*seen) == {1}


def test_underflow_is_zero_whatever_is_set():
    with np.errstate(all="raise"):
        with undisturbed():
            assert np.float32(1e-30) * np.float32(1e-30) == 0
            with pytest.raises(FloatingPointError):  # the rest is the caller's
                np.float32(1) / np.float32(0)
        with pytest.raises(FloatingPointError):
            np.float32(1e-30) * np.float32(1e-30)


@pytest.mark.parametrize("output_activation", ["identity", "sigmoid", "softplus"])
def test_answers_are_the_same_where_numpy_raises(output_activation):
    def answers():
        model = AutoRec(**SMALL, output_activation=output_activation).fit(R)
        ids, scores = model.recommend_new({ITEM: 5.0, R.item_ids[1]: 1.0})
        return [model.theta_, model.predict([USER], [ITEM]), ids, scores]

    expected = answers()
    with np.errstate(all="raise"):
        found = answers()
    assert all(map(np.array_equal, found, expected))
