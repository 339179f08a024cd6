"""BLAS is held to one thread beside our pool, and gets its own number back."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from autorec_np.data.synthetic import make_ratings
from autorec_np.engine.threads import single_threaded_blas, workers
from autorec_np.models.autorec import AutoRec

threadpoolctl = pytest.importorskip("threadpoolctl", reason="needs the extra `fast`")


def blas_threads():
    np.dot(np.ones(2), np.ones(2))  # so that BLAS is loaded
    pools = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    return {pool["num_threads"] for pool in pools}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("BLAS cannot be given two threads here")
        yield
        assert blas_threads() == {2}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_blas_has_one_thread_while_workers_work(n_jobs):
    with workers(n_jobs) as executor:
        assert blas_threads() == {1}
        assert (executor is None) == (n_jobs == 1)
    assert blas_threads() == {2}


def test_the_thread_that_set_the_limit_lifts_it_and_nobody_else():
    entered, leave = Event(), Event()

    def use():
        with single_threaded_blas():
            entered.set()
            leave.wait(timeout=60)

    with ThreadPoolExecutor(1) as pool:
        with single_threaded_blas():
            other = pool.submit(use)
            assert entered.wait(timeout=60)
            with single_threaded_blas():
                pass
            assert blas_threads() == {1}
        assert blas_threads() == {2}
        leave.set()
        other.result()
    assert blas_threads() == {2}


def test_an_error_restores_the_limit():
    with pytest.raises(ZeroDivisionError), workers(2):
        raise ZeroDivisionError
    assert blas_threads() == {2}


def test_a_fit_holds_blas_to_one_thread():
    seen = []
    R = make_ratings(n_users=40, n_items=30, n_ratings=300, random_state=0)
    callback = lambda state: seen.append(blas_threads())  # noqa: E731
    AutoRec(hidden_layer_sizes=(3,), max_iter=2, callbacks=[callback], random_state=0).fit(R)
    assert seen == [{1}, {1}]


def test_without_threadpoolctl_nothing_is_changed(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with workers(2) as executor:
        assert executor is not None
        assert blas_threads() == {2}
