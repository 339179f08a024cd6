"""BLAS is held to one thread by whoever comes first; warnings are kept back in one thread alone."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from blas_threads import blas_threads, one_way, two_threads

from autorec_np.data.synthetic import make_ratings
from autorec_np.gradcheck import (
    adjoint_test,
    check_gradient,
    check_hessian_vector,
    complex_step,
    process,
    taylor_test,
)
from autorec_np.gradcheck.process import VARIABLES, kept_back, single_threaded_blas
from autorec_np.models.autorec import AutoRec

two_threads = pytest.fixture(autouse=True)(two_threads)
way = pytest.fixture(params=["threadpoolctl", "ctypes"])(one_way)


@pytest.mark.usefixtures("way")
def test_the_last_to_leave_gives_back_what_the_first_found():
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
        assert blas_threads() == {1}  # the other is still inside
        leave.set()
        other.result()
    assert blas_threads() == {2}


@pytest.mark.usefixtures("way")
def test_the_limit_is_lifted_where_the_first_to_come_was_another_thread():
    entered, leave = Event(), Event()

    def use():
        with single_threaded_blas():
            entered.set()
            leave.wait(timeout=60)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(use)
        assert entered.wait(timeout=60)
        with single_threaded_blas():
            leave.set()
            other.result(timeout=60)
            assert blas_threads() == {1}
        assert blas_threads() == {2}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", VARIABLES)
def test_where_the_environment_says_how_many_nothing_is_changed(name, monkeypatch):
    monkeypatch.setenv(name, "2")
    with single_threaded_blas():
        assert blas_threads() == {2}


@pytest.mark.usefixtures("way")
def test_a_variable_that_comes_or_goes_meanwhile_does_no_harm(monkeypatch):
    with single_threaded_blas():
        monkeypatch.setenv(VARIABLES[0], "2")
    assert blas_threads() == {2}
    context = single_threaded_blas()
    with context:
        monkeypatch.delenv(VARIABLES[0])
    assert blas_threads() == {2}


@pytest.mark.usefixtures("way")
def test_sixteen_threads_come_and_go():
    barrier = threading.Barrier(16)

    def use(_):
        barrier.wait(timeout=60)
        for _ in range(200):
            with single_threaded_blas():
                pass

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(use, range(16)))
    assert blas_threads() == {2}


# Checks


def square(x):
    return (x * x).sum(), 2 * x


LARGE = np.ones(100_000)
CHECKS = {
    "check_gradient": lambda see: check_gradient(
        lambda x: see(square(x)), LARGE, n_directions=1, n_coordinates=1
    ),
    "taylor_test": lambda see: taylor_test(lambda x: see(square(x)), LARGE),
    "complex_step": lambda see: complex_step(lambda x: see(square(x)[0]), LARGE, LARGE),
    "adjoint_test": lambda see: adjoint_test(lambda x: see(2 * x), lambda y: see(2 * y), 100_000),
    "check_hessian_vector": lambda see: check_hessian_vector(
        square, lambda x, v: see(2 * v), LARGE, n_directions=1, n_coordinates=1
    ),
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("check", CHECKS)
def test_large_thetas_hold_blas_to_one_thread(check):
    seen = []
    CHECKS[check](lambda answer: (seen.append(blas_threads()), answer)[1])
    assert seen
    assert set.union(*seen) == {1}


def test_small_thetas_leave_blas_alone():
    seen = []
    check_gradient(lambda x: (seen.append(blas_threads()), square(x))[1], np.ones(3))
    assert set.union(*seen) == {2}


@pytest.mark.usefixtures("way")
def test_of_a_check_and_a_fit_at_once_the_last_to_end_restores():
    check_has_begun, fit_has_begun, check_has_ended, seen = Event(), Event(), Event(), []

    def fun(x):
        check_has_begun.set()
        assert fit_has_begun.wait(timeout=60)
        return square(x)

    def wait(state):
        fit_has_begun.set()
        assert check_has_ended.wait(timeout=60)
        seen.append(blas_threads())

    with ThreadPoolExecutor(1) as pool:
        check = pool.submit(check_gradient, fun, LARGE, n_directions=1, n_coordinates=1)
        assert check_has_begun.wait(timeout=60)
        check.add_done_callback(lambda _: check_has_ended.set())
        R = make_ratings(n_users=9, n_items=8, n_ratings=30, random_state=0)
        AutoRec(hidden_layer_sizes=(2,), max_iter=1, callbacks=[wait], random_state=0).fit(R)
    assert check.result().passed
    assert seen == [{1}]


@pytest.mark.usefixtures("way")
def test_two_checks_at_once_share_the_limit():
    barrier, seen = threading.Barrier(2), []

    def check(n_directions):
        meet = iter([barrier.wait])

        def fun(x):
            next(meet, lambda **_: None)(timeout=60)
            seen.append(blas_threads())
            return square(x)

        return check_gradient(fun, LARGE, n_directions=n_directions, n_coordinates=0).passed

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(check, [1, 8]))
    assert set.union(*seen) == {1}


# Where nothing can be limited, and where threads have gone


def test_without_a_way_one_hint_is_logged(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    monkeypatch.setattr(process, "FUNCTIONS", (("no_such_get", "no_such_set"),))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(process, "_limit", type(process._limit)())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with single_threaded_blas():
                assert blas_threads() == {2}
    (message,) = caplog.messages
    assert "pip install threadpoolctl, or set OPENBLAS_NUM_THREADS=1" in message


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_forks_off_meanwhile_has_the_number_back():
    program = """
import os, sys, threading
import numpy as np, threadpoolctl
from autorec_np.gradcheck.process import single_threaded_blas
threadpoolctl.threadpool_limits(2, user_api="blas")
def count():
    pools = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    return {one["num_threads"] for one in pools}
entered, leave = threading.Event(), threading.Event()
def use():
    with single_threaded_blas():
        entered.set()
        leave.wait()
thread = threading.Thread(target=use)
thread.start()
entered.wait()
assert count() == {1}
child = os.fork()
if child == 0:
    with single_threaded_blas():
        inside = count()
    os._exit(0 if (inside, count()) == ({1}, {2}) else 1)
assert os.waitpid(child, 0)[1] == 0
with single_threaded_blas():
    child = os.fork()
    if child == 0:
        assert count() == {1}
if child == 0:
    os._exit(0 if count() == {2} else 1)
assert os.waitpid(child, 0)[1] == 0
leave.set()
thread.join()
assert count() == {2}
"""
    environment = {name: x for name, x in os.environ.items() if name not in VARIABLES}
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment)


# Warnings


@pytest.fixture(params=["error", "ignore", "default"])
def filters(request):
    """Any filters; afterwards there must be the same."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter(request.param)
        before = [entry for entry in warnings.filters if entry[2] is not process._Nobodys]
        yield request.param, shown
        after = [entry for entry in warnings.filters if entry[2] is not process._Nobodys]
        assert after == before


def warn(text="too far", category=RuntimeWarning):
    warnings.warn(text, category, stacklevel=1)  # always from here


@pytest.mark.usefixtures("filters")
def test_warnings_are_kept_back_whatever_the_filters_say():
    for _ in range(2):  # whether it was shown before or not
        with kept_back() as heard:
            warn()
            warn("as always", DeprecationWarning)
            with kept_back() as inner:
                warn("inside")
        assert heard == {"too far", "as always"}
        assert inner == {"inside"}


@pytest.mark.usefixtures("filters")
def test_numpy_warnings_are_kept_back():
    with np.errstate(all="warn"), kept_back() as heard:
        np.log(np.zeros(1))
    assert heard == {"divide by zero encountered in log"}


def test_a_warning_that_was_shown_before_is_heard():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for _ in range(2):
            warn()
        with kept_back() as heard:
            warn()
    assert len(shown) == 1
    assert heard == {"too far"}


def test_only_what_begins_so_is_kept_back():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with kept_back("Glyph") as heard:
            warn("Glyph 1 is missing", UserWarning)
            warn()
    assert [str(one.message) for one in shown] == ["too far"]
    assert heard == {"Glyph 1 is missing"}


def test_other_threads_warn_as_before(filters):
    inside, leave, raised = Event(), Event(), []

    def keep():
        with kept_back() as heard:
            inside.set()
            assert leave.wait(timeout=60)
            warn("mine")
        return heard

    with ThreadPoolExecutor(1) as pool:
        mine = pool.submit(keep)
        assert inside.wait(timeout=60)
        try:
            warn()
        except RuntimeWarning as error:
            raised = [str(error)]
        leave.set()
        assert mine.result() == {"mine"}
    action, shown = filters
    assert raised == (["too far"] if action == "error" else [])
    assert [str(one.message) for one in shown] == (["too far"] if action == "default" else [])


@pytest.mark.usefixtures("filters")
def test_sixteen_checks_at_once_hear_their_own_warnings():
    barrier = threading.Barrier(16)

    def check(number):
        barrier.wait(timeout=60)

        def fun(x):
            warn(f"number {number}")
            if abs(x[0] - 1) > 1e-7:
                warn("too far")
            return square(x)

        return check_gradient(fun, np.ones(2))

    with ThreadPoolExecutor(16) as pool:
        for number, report in enumerate(pool.map(check, range(16))):
            assert report.passed
            assert f"fun warned at theta itself: number {number};" in report.note
            assert "warned (too far)" in report.note
