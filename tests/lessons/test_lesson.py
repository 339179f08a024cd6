"""Every lesson keeps its promises: names, solution, stub, and mistakes that are told apart."""

from __future__ import annotations

import ast
import inspect
import itertools
import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lesson_answers import blocks_of, function_in, verdict_on, verdict_with

from autorec_np.lessons.course import NAMES, file_name, lesson_of
from autorec_np.lessons.diagnosis import judge
from autorec_np.lessons.lesson import SEEDS, Mistake, close
from autorec_np.lessons.process import Answers

every_lesson = pytest.mark.parametrize("number", NAMES)


@every_lesson
def test_a_lesson_is_what_it_says(number):
    lesson = lesson_of(number)
    assert (lesson.number, lesson.file) == (number, file_name(number))
    assert lesson.minutes >= 20
    assert len(lesson.mistakes) >= 10
    for one in lesson.mistakes.values():
        assert isinstance(one, Mistake)
        assert one.question.endswith("?")
        assert "\n" not in one.text
        assert one.group
    assert not any("+" in name for name in lesson.mistakes)


@every_lesson
def test_the_stub_has_the_arguments_and_the_blocks(number):
    lesson = lesson_of(number)
    for text in (lesson.stub, lesson.solution):
        assert max(map(len, text.splitlines())) <= 100
        assert f"autorec-np lesson {number}\n" in text
        (function,) = (one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.FunctionDef))
        (end,) = (one for one in ast.walk(function) if isinstance(one, ast.Return))
        assert ast.unparse(end.value).strip("()").split(", ") == list(lesson.blocks)
        nothing = [one.strip() for one in text.splitlines() if one.endswith(" = None")]
        in_order = [f"{name} = None" for name in lesson.in_order]
        assert nothing == (in_order if text == lesson.stub else [])
        given = inspect.signature(function_in(text, lesson.function)).parameters
        if number not in (5, 6):  # which are given a function
            assert list(given) == list(lesson.problem(np.random.default_rng(0)))


@every_lesson
def test_the_solution_passes_with_any_numbers_and_the_stub_does_not(number):
    lesson = lesson_of(number)
    for seed in (0, 1, 77):
        assert verdict_on(lesson, lesson.solution, seed).passed
    found = verdict_on(lesson, lesson.stub)
    assert (found.passed, found.stage, set(found.blocks.values())) == (
        False,
        "missing",
        {"missing"},
    )


@every_lesson
def test_the_solution_makes_each_step_and_block_on_a_line_of_its_own(number):
    lesson = lesson_of(number)
    lines = [line.strip() for line in lesson.solution.splitlines()]
    for name in lesson.blocks:
        assert sum(line.startswith((f"{name} = ", f"{name}[")) for line in lines) >= 1


@every_lesson
def test_the_mistakes_change_something_and_are_different(number):
    lesson = lesson_of(number)
    for seed in range(10):
        found = {name: blocks_of(lesson, (name,), seed) for name in ["", *lesson.mistakes]}
        labels = list(map(str, SEEDS))
        for one, other in itertools.combinations(found, 2):
            assert not all(
                close(found[one][label][name], found[other][label][name])
                for label in labels
                for name in lesson.blocks
            ), (seed, one, other)


@every_lesson
def test_each_mistake_is_named(number):
    lesson = lesson_of(number)
    for name, mistake in lesson.mistakes.items():
        found = verdict_with(lesson, (name,))
        assert (found.stage, found.mistake, found.text) == ("mistake", name, mistake.text)
        assert found.questions == [mistake.question]
        assert found.array in {*lesson.steps, *lesson.blocks}


@every_lesson
def test_pairs_of_mistakes_are_named(number):
    lesson = lesson_of(number)
    pairs = [
        pair
        for pair in itertools.combinations(lesson.mistakes, 2)
        if lesson.mistakes[pair[0]].group != lesson.mistakes[pair[1]].group
    ]
    named = 0
    for pair in random.Random(0).sample(pairs, min(len(pairs), 25)):
        found = verdict_with(lesson, pair)
        if found.stage != "mistake":
            continue
        named += 1
        one, other = (blocks_of(lesson, made) for made in (pair, found.mistake.split("+")))
        for label in map(str, SEEDS):  # what is named leads to the same numbers
            assert all(close(one[label][name], other[label][name]) for name in lesson.blocks)
    assert named >= 22


@every_lesson
def test_problems_are_drawn_from_the_seed(number):
    lesson = lesson_of(number)

    def text(seed):
        return repr(lesson.problems(seed))

    assert text(3) == text(3)
    assert text(3) != text(4)
    assert list(map(str, SEEDS)) == [label for label in lesson.problems() if " " not in label]


def test_a_variable_is_known_by_its_name():
    step_of = lesson_of(4).step_of
    assert [step_of(name) for name in ("d_a", "dA", "D_A", "residuals", "D_W", "x", "DZ1")] == [
        *("D_A", "D_A", "D_A", "E", "D_W", None, None)
    ]


@given(st.integers(0, 10**6), st.floats(-1e6, 1e6))
def test_rounding_is_no_mistake_and_a_millionth_of_the_whole_is_far_less_than_one(seed, factor):
    wanted = factor * np.random.default_rng(seed).normal(size=(3, 2))
    assert close(wanted, wanted)
    assert close(wanted.astype(np.float32), wanted)
    if abs(factor) > 1e-2:
        assert not close(1.001 * wanted, wanted)
    assert not close(wanted.T, wanted)


def test_nothing_is_close_to_nan_and_anything_to_nothing():
    assert not close(np.array([np.nan, 1]), np.array([0.0, 1]))
    assert close(np.zeros((0, 2)), np.zeros((0, 2)))
    assert close(np.array([True, False]), np.array([1, 0]))


@every_lesson
def test_a_diagnosis_is_quick_whatever_is_wrong(number):
    """Three mistakes, and one block more that nothing explains."""
    lesson, rng = lesson_of(number), np.random.default_rng(0)
    said = {"changed": [], "missing": [], "again": True}
    for n in range(8):
        made = tuple(rng.choice(list(lesson.mistakes), 3, replace=False))
        blocks = blocks_of(lesson, made)
        for one in blocks.values():
            value = one[lesson.in_order[-1 - n % 2]]
            one[lesson.in_order[-1 - n % 2]] = value + rng.normal(size=value.shape)
        started = time.process_time()
        assert not judge(lesson, Answers(said, blocks), lesson.solution).passed
        assert time.process_time() - started <= 0.3
