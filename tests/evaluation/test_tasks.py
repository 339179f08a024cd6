"""Independent tasks: results, errors and warnings do not depend on who runs them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from small_tasks import (
    Backwards,
    Given,
    OddError,
    OddWarning,
    Threads,
    fail,
    give,
    where,
)

from autorec_np.evaluation import cross_validation as tasks
from autorec_np.evaluation.cross_validation import Task, for_task, run_tasks
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import GlobalMean
from autorec_np.training.solvers import DivergenceError


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(params=["serial", "threads", "processes", "backwards"])
def executor(request):
    if request.param == "serial":
        return None
    if request.param == "backwards":
        return Backwards()
    return request.getfixturevalue(request.param)


def task(name, *arguments, function=give):
    return Task(name, function, arguments)


def test_results_come_in_the_order_asked(executor):
    slow_first = [task(f"{n}", n, 0.2 if n == 0 else 0.0) for n in range(5)]
    assert [*run_tasks(slow_first, executor)] == [0, 1, 2, 3, 4]


def test_no_task_is_no_result(executor):
    assert [*run_tasks([], executor)] == []


def test_an_executor_runs_what_it_is_given_where_it_likes(processes, threads):
    asked = [task("", function=where)] * 3
    here = where()
    assert all(pid != here[0] for pid, _ in run_tasks(asked, processes))
    assert all(pid == here[0] and thread != here[1] for pid, thread in run_tasks(asked, threads))
    assert [*run_tasks(asked, None)] == [here] * 3


def test_without_an_executor_a_task_waits_until_its_result_is_asked_for():
    made = []

    def make():
        for n in range(3):
            made.append(n)
            yield task("", n)

    results = run_tasks(make(), None)
    assert next(results) == 0
    assert made == [0]


def test_an_executor_has_all_tasks_before_the_first_result():
    executor = Backwards()
    results = run_tasks((task("", n) for n in range(3)), executor)
    assert next(results) == 0
    assert executor.log == [*(("submit", n) for n in (1, 2, 3)), *(("run", n) for n in (3, 2, 1))]


# Errors


def test_the_first_failing_task_in_the_order_asked_is_named(executor, caplog):
    asked = [
        task("fine", 1),
        task("slow", ValueError("no ratings"), 0.2, function=fail),
        task("fast", TypeError("not this one"), function=fail),
    ]
    results = run_tasks(asked, executor)
    assert next(results) == 1
    with pytest.raises(ValueError, match=r"^slow: no ratings$"), caplog.at_level(logging.ERROR):
        next(results)
    assert "slow failed" in caplog.text


def test_an_error_keeps_its_type_and_its_attributes(executor):
    error = DivergenceError("too long steps")
    error.epoch = 7
    with pytest.raises(DivergenceError, match=r"^split 2: too long steps$") as caught:
        [*run_tasks([task("split 2", error, function=fail)], executor)]
    assert caught.value.epoch == 7


@pytest.mark.parametrize("error", [KeyError("x"), OSError(2, "No such file"), OddError("a", 3)])
def test_an_error_that_is_more_than_a_message_stays_as_it_is_and_the_log_names_the_task(
    executor, error, caplog
):
    with pytest.raises(type(error)) as caught:
        [*run_tasks([task("split 2", error, function=fail)], executor)]
    assert caught.value.args == error.args
    assert "split 2 failed" in caplog.text


def test_what_cannot_be_sent_is_named(processes):
    with pytest.raises(Exception, match=r"^split 1: .*(pickle|local object)"):
        [*run_tasks([task("split 1", lambda: 0)], processes)]


def test_a_closed_pool_is_named():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="split 1: cannot schedule"):
        [*run_tasks([task("split 1", 0)], pool)]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_and_ctrl_c_cancel_what_has_not_begun(error):
    executor = Given(result=(0, []), error=error)
    results = run_tasks([task("", n) for n in range(5)], executor)
    assert next(results) == 0
    with pytest.raises(type(error)):
        next(results)
    assert [one.cancelled() for one in executor.futures] == [False, False, True, True, True]


def test_a_caller_who_takes_no_more_results_cancels_the_others():
    executor = Given(result=(0, []))
    for result in run_tasks([task("", n) for n in range(3)], executor):
        assert result == 0
        break
    assert [one.cancelled() for one in executor.futures] == [False, True, True]


def test_a_task_that_cannot_be_made_cancels_those_before():
    executor = Given(result=(0, []))

    def make():
        yield from (task("", n) for n in range(3))
        raise TypeError("no more")

    with pytest.raises(TypeError, match=r"^no more$"):
        [*run_tasks(make(), executor)]
    assert [one.cancelled() for one in executor.futures] == [False, True, True]


# Warnings


def test_warnings_reach_the_caller(executor):
    asked = [task("", n, 0.0, f"warning {n}") for n in range(3)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [*run_tasks(asked, executor)] == [0, 1, 2]
    said = {str(one.message) for one in caught}
    assert said == {"warning 0", "warning 1", "warning 2"}
    assert {one.category for one in caught} == {OddWarning}
    assert all(one.filename.endswith("small_tasks.py") for one in caught)


def test_a_filter_of_the_caller_makes_a_warning_an_error_of_its_task(processes):
    with warnings.catch_warnings():
        warnings.simplefilter("error", OddWarning)
        with pytest.raises(OddWarning, match=r"^split 2: look$"):
            [*run_tasks([task("split 1", 1), task("split 2", 2, 0.0, "look")], processes)]


def test_one_warning_of_many_tasks_is_shown_once_by_default(processes):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        [*run_tasks([task("", n, 0.0, "the same") for n in range(4)], processes)]
    assert [str(one.message) for one in caught] == ["the same"]


def test_threads_of_another_process_keep_their_warnings_apart():
    """As in a worker of a cluster: one process with several threads that run tasks."""
    both_inside, shown = threading.Barrier(2), []

    def work(name):
        both_inside.wait()
        warnings.warn(name, OddWarning, stacklevel=1)
        both_inside.wait()
        return name

    elsewhere = ("another machine", os.getpid())
    before = warnings.filters[:], warnings.showwarning
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(tasks._run, elsewhere, work, name) for name in ("a", "b")]
        for future in futures:
            result, caught = future.result()
            shown.append((result, [str(message) for message, *_ in caught]))
    assert shown == [("a", ["a"]), ("b", ["b"])]
    assert (warnings.filters[:], warnings.showwarning) == before


# Models


def test_a_model_in_a_task_has_one_thread_unless_it_asks_for_more():
    assert for_task(AutoRec()).n_jobs == 1
    assert for_task(AutoRec(n_jobs=3)).n_jobs == 3
    assert for_task(Threads()).n_jobs == 1
    model = AutoRec(max_iter=7)
    assert for_task(model).max_iter == 7
    assert model.n_jobs is None
    assert isinstance(for_task(GlobalMean()), GlobalMean)
