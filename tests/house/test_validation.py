"""Checks of arguments: what passes comes back, what does not is named with what is needed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from autorec_np._validation import (
    check_choice,
    check_integer,
    check_n_jobs,
    check_number,
    check_random_state,
)


def test_an_integer_comes_back_as_int():
    for value in (3, np.int64(3), np.uint8(3)):
        checked = check_integer("n", value, minimum=3)
        assert checked == 3
        assert type(checked) is int


@pytest.mark.parametrize("value", [True, np.True_, 3.0, "3", None, [3]])
def test_what_is_no_integer_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"n must be an integer, got .*\(\w+\)\."):
        check_integer("n", value, minimum=0)


def test_an_integer_below_the_minimum_is_a_value_error():
    with pytest.raises(ValueError, match=r"n must be at least 1, got 0\."):
        check_integer("n", 0, minimum=1)


def test_a_number_comes_back_as_float():
    for value in (2, 2.0, np.float32(2), np.int8(2)):
        checked = check_number("x", value)
        assert checked == 2.0
        assert type(checked) is float


@pytest.mark.parametrize("value", [True, "2", None, 2j, np.array([2.0])])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match="x must be a number, got "):
        check_number("x", value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_must_be_finite(value):
    with pytest.raises(ValueError, match="x must be a finite number in "):
        check_number("x", value)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("right", [True, False])
def test_the_ends_of_an_interval_are_in_it_or_not(left, right):
    bounds = {"minimum": 0.0, "maximum": 1.0, "inclusive": (left, right)}
    assert check_number("x", 0.5, **bounds) == 0.5
    for value, inside in ((0.0, left), (1.0, right), (-1e-9, False), (1 + 1e-9, False)):
        if inside:
            assert check_number("x", value, **bounds) == value
        else:
            interval = f"{'[' if left else '('}0.0, 1.0{']' if right else ')'}"
            with pytest.raises(ValueError, match="x must be a finite number in ") as caught:
                check_number("x", value, **bounds)
            assert interval in str(caught.value)


def test_a_choice_is_one_of_the_choices():
    for value in ("a", None, 1):
        check_choice("kind", value, ("a", None, 1))
    with pytest.raises(ValueError, match=r"kind must be one of 'a', None, got 'b'\."):
        check_choice("kind", "b", ("a", None))


def test_a_seed_repeats_and_a_generator_is_kept():
    assert check_random_state(5).random() == check_random_state(np.int32(5)).random()
    assert check_random_state(None).random() != check_random_state(None).random()
    generator = np.random.default_rng(0)
    assert check_random_state(generator) is generator


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, ValueError, "random_state must be at least 0, got -1"),
        (True, TypeError, "random_state must be an integer, got True"),
        (
            1.0,
            TypeError,
            "an int or a numpy.random.Generator, got float; pass an int",
        ),
        (np.random.RandomState(0), TypeError, "got RandomState"),
    ],
)
def test_a_wrong_seed(value, error, message):
    with pytest.raises(error, match=message):
        check_random_state(value)


# Threads


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes a machine: its cores, and the text of the group's limit."""

    def make(cores, limit):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)

        def read_text(path, *_, **__):
            assert path.as_posix() == "/sys/fs/cgroup/cpu.max"
            if limit is None:
                raise FileNotFoundError(path)
            return limit

        monkeypatch.setattr(Path, "read_text", read_text)

    return make


@pytest.mark.parametrize(
    ("cores", "limit", "n_jobs"),
    [
        (8, None, 8),
        (8, "max 100000\n", 8),
        (8, "200000 100000\n", 2),
        (8, "250000 100000\n", 3),  # a part of a core counts as one
        (8, "50000 100000\n", 1),
        (8, "0 100000\n", 1),
        (2, "1600000 100000\n", 2),
        (8, "damaged", 8),
        (8, "100000 0\n", 8),
        (8, "", 8),
    ],
)
def test_none_means_the_cores_that_the_container_grants(machine, cores, limit, n_jobs):
    machine(cores, limit)
    assert check_n_jobs(None) == n_jobs


def test_without_affinity_the_cores_of_the_machine_count(machine, monkeypatch):
    machine(8, None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert check_n_jobs(None) == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert check_n_jobs(None) == 1


def test_a_stated_number_of_threads_is_kept(machine):
    machine(2, "100000 100000\n")
    assert check_n_jobs(7) == 7
    with pytest.raises(ValueError, match="n_jobs must be at least 1, got 0"):
        check_n_jobs(0)
    with pytest.raises(TypeError, match="n_jobs must be an integer, got 2"):
        check_n_jobs(2.0)
