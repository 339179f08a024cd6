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


def hand_back_control():
    """Let any thread set limits again: threadpoolctl lets only the first that did."""
    openblas = getattr(threadpoolctl, "OpenBLASController", None)
    getattr(openblas, "clear_controlling_thread", lambda force: None)(force=True)


@pytest.fixture(autouse=True)
def two_threads():
    limit = threadpoolctl.threadpool_limits(2, user_api="blas")
    hand_back_control()
    if blas_threads() != {2}:
        pytest.skip("BLAS cannot be given two threads here")
    yield
    assert blas_threads() == {2}
    limit.restore_original_limits()
    hand_back_control()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_blas_has_one_thread_while_workers_work(n_jobs):
    with workers(n_jobs) as executor:
        assert blas_threads() == {1}
        assert (executor is None) == (n_jobs == 1)
    assert blas_threads() == {2}


def hold_in(pool):
    """Enter in a thread of the pool; return what lets it leave."""
    entered, leave = Event(), Event()

    def use():
        with single_threaded_blas():
            entered.set()
            leave.wait(timeout=60)

    other = pool.submit(use)
    assert entered.wait(timeout=60)

    def release():
        leave.set()
        other.result(timeout=60)

    return release


def test_the_last_to_leave_lifts_the_limit():
    with ThreadPoolExecutor(1) as pool:
        with single_threaded_blas():
            release = hold_in(pool)
            with single_threaded_blas():
                pass
            assert blas_threads() == {1}
        left_inside = blas_threads()
        release()
    assert left_inside == {1}  # the other one still needed it
    assert blas_threads() == {2}


def test_the_limit_is_lifted_where_the_first_to_come_was_another_thread():
    with ThreadPoolExecutor(1) as pool:
        release = hold_in(pool)
        with single_threaded_blas():
            release()
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_many_fits_at_once_share_the_limit_and_give_it_back():
    R = make_ratings(n_users=40, n_items=30, n_ratings=300, random_state=0)
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
