"""Threads that share tasks: each is run once, by as many threads as were asked for."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.engine.threads import Workers, run

TIMEOUT = 60.0  # seconds; only a failing test waits as long


@given(n_threads=st.integers(1, 4), n_tasks=st.integers(0, 20))
def test_each_task_is_run_once(n_threads, n_tasks):
    times = [0] * n_tasks

    def count(number):
        times[number] += 1

    with Workers(n_threads) as workers:
        for executor in (workers, None, workers):
            run([partial(count, number) for number in range(n_tasks)], executor)
    assert times == [3] * n_tasks


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_as_many_threads_work_as_were_asked_for_and_the_caller_is_one(n_threads):
    meeting = threading.Barrier(n_threads, timeout=TIMEOUT)  # passed by n_threads at once only
    seen = set()

    def meet():
        meeting.wait()
        seen.add(threading.get_ident())

    with Workers(n_threads) as workers:
        for _ in range(5):
            workers.run([meet] * n_threads)
    assert len(seen) == n_threads
    assert threading.get_ident() in seen


def test_every_thread_has_the_callers_floating_point_settings():
    meeting = threading.Barrier(3, timeout=TIMEOUT)
    seen = []

    def look():
        meeting.wait()
        seen.append(np.geterr()["over"])

    with Workers(3) as workers, np.errstate(over="call"):
        workers.run([look] * 3)
    assert seen == ["call"] * 3


@pytest.mark.parametrize("fails_in_caller", [False, True])
def test_after_an_exception_no_task_is_begun_and_those_that_run_are_waited_for(fails_in_caller):
    caller = threading.get_ident()
    meeting = threading.Barrier(2, timeout=TIMEOUT)
    failing = threading.Event()
    ended = []

    def first():
        meeting.wait()
        if (threading.get_ident() == caller) == fails_in_caller:
            failing.set()
            raise ZeroDivisionError
        assert failing.wait(TIMEOUT)
        ended.append("first")

    def later():
        time.sleep(0.001)
        ended.append("later")

    with Workers(2) as workers:
        with pytest.raises(ZeroDivisionError):
            workers.run([first, first, *[later] * 1000])
        assert ended[0] == "first"
        assert ended.count("first") == 1
        assert len(ended) < 500
        workers.run([partial(ended.append, "again")])
        assert ended[-1] == "again"


def test_a_task_may_run_tasks_itself():
    done = []

    def outer(workers):
        workers.run([partial(done.append, None)] * 5)

    def call():
        with Workers(2) as workers:
            for _ in range(20):
                workers.run([partial(outer, workers)] * 4)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    caller.join(10.0)  # a deadlock would last
    assert len(done) == 400


def test_several_callers_share_the_workers():
    with Workers(3) as workers:
        done = [[] for _ in range(8)]

        def call(caller):
            for _ in range(20):
                workers.run([partial(done[caller].append, None)] * 5)

        callers = [threading.Thread(target=call, args=[number]) for number in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(TIMEOUT)
    assert [len(each) for each in done] == [100] * 8


@pytest.mark.parametrize("n_granted", [0, 1, 2])
def test_threads_that_the_system_refuses_are_done_without(n_granted, monkeypatch, caplog):
    start, started = threading.Thread.start, []

    def refuse(thread):
        if sum(one.is_alive() for one in started) == n_granted:
            raise RuntimeError("can't start new thread")
        start(thread)
        started.append(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with caplog.at_level(logging.INFO), Workers(4) as pool:
        assert pool.n_threads == 1 + n_granted
        done = []
        for _ in range(3):
            pool.run([partial(done.append, number) for number in range(50)])
        assert sorted(done) == sorted([*range(50)] * 3)
    assert f"the system refuses thread {n_granted + 2}" in caplog.text
    assert not any(thread.is_alive() for thread in started)
