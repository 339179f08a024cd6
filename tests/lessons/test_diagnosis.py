"""What is said of a wrong answer: proved where it can be, and never of what is right."""

from __future__ import annotations

import time

import numpy as np
import pytest
from lesson_answers import blocks_of, function_in, mutants, verdict_of, verdict_on, verdict_with

from autorec_np.lessons.backward import LESSON
from autorec_np.lessons.course import lesson_of
from autorec_np.lessons.diagnosis import Source, judge
from autorec_np.lessons.process import Answers

PLAIN = LESSON.solution
ARGUMENTS = ("X", "rated", "V", "mu", "W", "b", "penalty")
VARIABLES = ("Z", "H", "Y", "E", "D_Y", "D_A", "D_H", "D_Z", "D_V", "D_mu", "D_W", "D_b")


def changed(old, new, source=PLAIN):
    assert source.count(old) == 1
    return source.replace(old, new)


def line_of(text, source):
    return next(n for n, line in enumerate(source.splitlines(), 1) if text in line)


# Single mutants


def test_mutants_that_give_numbers_are_pinned_and_nothing_right_is_blamed():
    n_numbers = n_pinned = 0
    slowest = 0.0
    right = function_in(PLAIN, "backward")
    problems = [LESSON.problems()[label] for label in ("1", "2", "3")]
    for text, lines in mutants(PLAIN, ARGUMENTS + VARIABLES):
        function = function_in(text, "backward")
        try:
            with np.errstate(all="ignore"):
                answers = [function(*problem.values()) for problem in problems]
        except (ValueError, TypeError, UnboundLocalError, AttributeError):
            continue
        started = time.process_time()
        found = verdict_on(LESSON, text)
        slowest = max(slowest, time.process_time() - started)
        wrong = blamed(answers, [right(*problem.values()) for problem in problems])
        assert {name for name, state in found.blocks.items() if state == "fail"} == wrong, text
        if found.passed:
            continue
        n_numbers += 1
        at_the_line = bool(set(found.lines) & set(lines))
        n_pinned += at_the_line or found.stage == "mistake" or found.mistake == "shape"
        if found.stage == "line":  # said to be proved
            assert at_the_line, (text, found)
    assert n_numbers > 200
    assert n_pinned >= 0.97 * n_numbers
    assert slowest <= 0.3


def blamed(answers, truths):
    """Return the blocks that are wrong, judged by another rule than that of the lessons."""
    wrong = set()
    for place, name in enumerate(LESSON.blocks):
        pairs = [
            (np.asarray(got[place], float), wanted[place])
            for got, wanted in zip(answers, truths, strict=True)
        ]
        if not all(
            got.shape == wanted.shape and np.allclose(got, wanted, rtol=1e-6, atol=1e-9)
            for got, wanted in pairs
        ):
            wrong.add(name)
    return wrong


def test_a_mutant_that_stops_is_no_accusation_but_a_line():
    text = changed("D_A @ W", "D_A.T @ W")
    found = verdict_on(LESSON, text)
    assert (found.passed, found.stage, found.mistake) == (False, "error", "ValueError")
    assert found.lines == [line_of("D_A.T @ W", text)]
    assert found.text.startswith(f"line {found.lines[0]}: what stands in it does not fit together")
    assert found.text.index("compare the shapes") < found.text.index("Python says")


# The first wrong variable


def test_the_first_wrong_variable_is_proved():
    text = changed("D_H * H * (1 - H)", "D_H * np.sqrt(H)")
    found = verdict_on(LESSON, text)
    assert (found.stage, found.array, found.read) == ("line", "D_Z", "(9)")
    assert found.lines == [line_of("np.sqrt(H)", text)]
    assert "D_A and D_H are right; D_Z is not what (9) says" in found.text


def test_a_variable_with_another_meaning_is_not_accused():
    """E is X - Y here, which is right, for its sign is put back; the slope is not."""
    text = changed("E = Y - X", "E = X - Y").replace("2 * E", "-2 * E")
    assert verdict_on(LESSON, text).passed
    found = verdict_on(LESSON, changed("H * (1 - H)", "H ** 3", text))
    assert {name for name, state in found.blocks.items() if state == "fail"} == {"D_V", "D_mu"}
    assert (found.stage, found.array) == ("line", "D_Z")
    assert "E" not in found.text.split(";")[0].replace("Z, H, Y", "")


def test_a_mistake_is_shown_at_the_line_that_makes_it():
    text = changed("np.where(rated, D_Y, 0)", "np.where(X > 0, D_Y, 0)")
    found = verdict_on(LESSON, text)
    wanted = "mask_of_values", "D_A", [line_of("X > 0", text)]
    assert (found.mistake, found.array, found.lines) == wanted
    text = changed(
        "D_Y, 0)  # (5): what is not rated is not in the sum", "D_Y, 0)\n    D_A[X == 0] = 0"
    )
    found = verdict_on(LESSON, text)
    assert found.lines == [line_of("D_A = np.where", text), line_of("D_A[X == 0]", text)]


STYLES = {
    "another sign, returned as made": """
import numpy as np
def backward(X, rated, V, mu, W, b, penalty):
    h = 1 / (1 + np.exp(-(X @ V + mu)))
    e = X - h @ W.T - b
    e[~rated] = 0
    d = -2 * e
    dz = (d @ W) * h * (1 - h)
    dW = d.T @ h + penalty * W
    dV = X.T @ dz + penalty * V
    return dV, dz.sum(0), dW, d.sum(0)
""",
    "in steps, the 2 late": """
import numpy as np
def backward(X, rated, V, mu, W, b, penalty):
    Z = X @ V + mu
    H = 1 / (1 + np.exp(-Z))
    Y = (H @ W.T + b) * rated
    E = Y - X
    D_A = E
    D_b = 2 * D_A.sum(axis=0)
    D_W = 2 * D_A.T @ H
    D_W += penalty * W
    D_H = D_A @ W
    D_H *= 2
    D_Z = D_H * (H - H**2)
    D_mu = D_Z.sum(axis=0)
    D_V = X.T @ D_Z
    D_V += penalty * V
    return D_V, D_mu, D_W, D_b
""",
}


@pytest.mark.parametrize("style", STYLES)
def test_in_other_styles_what_is_said_to_be_proved_is_so(style):
    assert verdict_on(LESSON, STYLES[style]).passed
    n_proved = 0
    for text, lines in mutants(STYLES[style], ("E", "X", "e")):
        found = verdict_on(LESSON, text)
        if found.stage == "line" or "so it is " in found.text:
            n_proved += 1
            assert set(found.lines) & set(lines), (text, found)
    assert n_proved > 10


def test_what_reproduces_one_problem_alone_is_no_proof():
    blocks = {"1": blocks_of(LESSON, ("no_mask",))["1"]}
    blocks |= {label: blocks_of(LESSON, ("factor_2",))[label] for label in ("2", "3")}
    said = {"changed": [], "missing": [], "again": True}
    assert judge(LESSON, Answers(said, blocks), "").stage != "mistake"


def test_one_line_that_is_wrong_is_preferred_to_two_mistakes():
    """D_Z = 0 leads to what a lost data term of D_V and a lost D_mu lead to, too."""
    text = changed("D_H * H * (1 - H)", "D_H * H * (1 - H) * 0")
    assert verdict_on(LESSON, text).mistake == "nothing_back"
    text = changed("D_A = np.where(rated, D_Y, 0)", "D_A = E")
    found = verdict_on(LESSON, text)
    assert (found.mistake, found.lines) == ("factor_2+no_mask", [line_of("D_A = E", text)])


def test_a_wrong_shape_is_said_beside_a_mistake():
    text = changed("np.where(rated, D_Y, 0)", "D_Y")
    found = verdict_on(LESSON, changed("D_Z.sum(axis=0)", "D_Z.sum()", text))
    assert found.mistake == "no_mask+shape"
    shape = "D_mu has the shape (), and must have (3,)"
    assert found.text == f"{LESSON.mistakes['no_mask'].text}; and {shape}"


# Relations of one block


RELATIONS = {
    "D_W = D_W.T": ("transposed", "D_W is transposed: its shape is (3, 7), not (7, 3)"),
    "D_b = D_b[:, None]": ("shape", "D_b holds the right numbers in the shape (7, 1)"),
    "D_b = D_A.sum(axis=1)": ("shape", "D_b has the shape (6,), and must have (7,)"),
    "D_V, D_W = D_W, D_V": ("exchanged", "D_V holds what D_W should hold"),
    "D_mu = 3 * D_mu": ("terms", "D_mu: the data term is taken 3 times"),
    "D_mu = D_mu / rated.sum()": ("terms", "data term is taken 1 / the number of ratings times"),
    "D_W = D_W + 2 * penalty * W": ("terms", "D_W: the penalty's multiple of W is taken 3 times"),
    "D_b = D_b + b": ("terms", "multiple of b does not belong there, and is there 1 / the penalty"),
    "D_V = penalty * V - 5 * (D_V - penalty * V)": ("terms", "the data term is taken -5 times"),
    "D_W[-1] = penalty * W[-1]": ("one_part", "D_W is wrong in row 6 alone, the last"),
    "D_b[0] = 1": ("one_part", "D_b is wrong in entry 0 alone"),
    "D_W[:, 1] = 0": ("one_part", "D_W is wrong in column 1 alone"),
    "D_mu = D_Z[:-1].sum(axis=0)": ("rows_left_out", "D_mu leaves row 5, the last, out of the sum"),
    "D_W = np.outer(D_A[-1], H[-1]) + penalty * W": ("one_row", "D_W holds what row 5 gives"),
    "D_V = np.roll(D_V, 2, axis=0)": ("order", "D_V holds the right numbers in other places"),
    "D_W = D_W[::-1]": ("order", "D_W holds the right numbers in other places"),
    "D_mu = np.roll(D_mu, 1)": ("shifted", "D_mu is shifted by one place"),
    "D_b = D_b / 0": ("not_finite", "D_b holds nan or inf"),
    "X += 1; D_V = X.T @ D_Z": ("in_place", "it changes its argument X in place"),
    "backward.n = getattr(backward, 'n', 0) + 1; D_b = D_b + backward.n": ("kept", "asked again"),
}


@pytest.mark.parametrize("line", RELATIONS)
def test_a_relation_is_named(line):
    name, text = RELATIONS[line]
    found = verdict_on(LESSON, changed("    return D_V", f"    {line}\n    return D_V"))
    assert (found.stage, found.mistake) == ("relation", name)
    assert text in found.text


PROBED = {
    "D_V = D_V - penalty * V + penalty**2 * V * abs(V)": "the penalty (all is right without it)",
    "D_W = D_A.T @ (H + W.sum() * H**2) + penalty * W": "all is right with W = 0",
    "D_mu = np.full_like(mu, D_mu.sum())": "the hidden units (all is right with one unit)",
}


@pytest.mark.parametrize("line", PROBED)
def test_a_changed_problem_says_what_a_mistake_has_to_do_with(line):
    found = verdict_on(LESSON, changed("    return D_V", f"    {line}\n    return D_V"))
    assert (found.stage, found.mistake) == ("probe", None)
    assert PROBED[line] in found.text


def test_what_nobody_knows_is_said_to_be_wrong_and_no_more():
    line = "D_b = np.exp(D_b / 100)"
    found = verdict_on(LESSON, changed("    return D_V", f"    {line}\n    return D_V"))
    assert (found.stage, found.array) == ("unknown", "D_b")
    assert found.text.startswith("D_b is wrong; read (7) again")


def test_another_value_returned_than_made_is_said():
    found = verdict_on(LESSON, changed("return D_V, D_mu, D_W, D_b", "return D_V, D_mu, H, D_b"))
    assert found.sources == ["return D_V, D_mu, H, D_b"]
    assert "the variable D_W is right, but something else is returned" in found.text


# What is not written yet


def test_blocks_are_judged_one_by_one():
    start = PLAIN.replace("D_V = X.T @ D_Z + penalty * V", "D_V = None")
    found = verdict_on(LESSON, start.replace("D_mu = D_Z.sum(axis=0)", "D_mu = None"))
    assert (found.stage, found.array) == ("missing", "D_mu")
    assert found.text == "D_b and D_W are right so far; next D_mu, see (11)"
    found = verdict_on(LESSON, changed("2 * E", "E", start))
    assert found.mistake == "factor_2"
    assert found.blocks == {"D_V": "missing", "D_mu": "fail", "D_W": "fail", "D_b": "fail"}


UP_TO_D_W = PLAIN.replace("D_V = X.T @ D_Z + penalty * V", "D_V = None").replace(
    "D_mu = D_Z.sum(axis=0)", "D_mu = None"
)
SHARED = {  # what stands in D_W: its mistake, and what is said of it
    "D_A.T @ H": ("no_penalty_W", "the penalty is missing, in D_W alone so far"),
    "D_A.T @ H + penalty / 2 * W": ("half_penalty_W", "in D_W alone so far"),
    "D_A.T @ H + penalty * V": ("swap_penalty_W", "in D_W alone so far"),
}


@pytest.mark.parametrize("value", SHARED)
def test_what_is_not_written_is_not_blamed(value):
    text = changed("D_A.T @ H + penalty * W", value, UP_TO_D_W)
    found = verdict_on(LESSON, text)
    assert (found.mistake, found.array, found.shown) == (SHARED[value][0], "D_W", "D_W")
    assert found.text.endswith(SHARED[value][1])
    assert "D_V" not in found.text
    assert found.lines == [line_of("D_W = ", text)]
    written = changed("D_A.T @ H + penalty * W", value)
    for text in (written, changed("D_mu = D_Z.sum(axis=0)", "D_mu = None", written)):
        assert verdict_on(LESSON, text).text.endswith(", in D_W alone")


def test_a_penalty_on_the_biases_is_shown_where_it_is_written():
    text = changed("D_b = D_A.sum(axis=0)", "D_b = D_A.sum(axis=0) + penalty * b", UP_TO_D_W)
    found = verdict_on(LESSON, text)
    assert (found.mistake, found.array) == ("bias_penalty", "D_b")
    assert found.lines == [line_of("D_b = ", text)]


@pytest.mark.parametrize("name", LESSON.mistakes)
@pytest.mark.parametrize("n_written", [1, 2, 3])
def test_no_block_is_looked_at_that_is_not_both_written_and_wrong(name, n_written):
    said = {"changed": [], "missing": [], "again": True}
    written = LESSON.in_order[:n_written]
    blocks = {
        label: {one: work[one] for one in written}
        for label, work in blocks_of(LESSON, (name,)).items()
    }
    found = judge(LESSON, Answers(said, blocks), "")
    if "fail" in found.blocks.values():
        assert found.stage == "mistake"
        wrong = {one for one, state in found.blocks.items() if state == "fail"}
        assert found.array in {*LESSON.steps, *wrong}
        assert found.shown in wrong
        if "alone" in found.text or "D_W and D_V" in found.text:
            assert any(one in found.text for one in {*wrong, "D_H"})
            assert "D_V" in written or "D_V" not in found.text


def test_the_blocks_come_in_the_order_of_the_page():
    for number, first in ((4, "D_b"), (11, "D_b"), (2, "Z")):
        lesson = lesson_of(number)
        assert sorted(lesson.in_order) == sorted(lesson.blocks)
        found = verdict_on(lesson, lesson.stub)
        assert (tuple(found.blocks), found.array) == (lesson.in_order, first)
        assert f"begin with {first}, " in found.text
    found = verdict_on(LESSON, UP_TO_D_W)
    assert found.text == "D_b and D_W are right so far; next D_mu, see (11)"


# The place, where a student has other names than the page


SHORT = """
import numpy as np
def backward(X, rated, V, mu, W, b, penalty):
    H = 1 / (1 + np.exp(-(X @ V + mu)))
    dA = np.where(rated, H @ W.T + b - X, 0) * 2
    D_b = dA.sum(axis=0)
    D_W = dA.T @ H + penalty * W
    return None, None, D_W, D_b
"""
NO_NAME = changed("dA.sum", "(np.where(rated, H @ W.T + b - X, 0) * 2).sum", SHORT)
NO_NAME = changed("dA.T @ H + penalty * W", "None", changed("    dA =", "    q =", NO_NAME))
AS_MASKED = changed("np.where(rated, H @ W.T + b - X, 0) * 2", "2 * E", SHORT).replace(
    "    dA", "    E = (H @ W.T + b - X) * rated\n    dA"
)


@pytest.mark.parametrize(
    ("text", "old", "new", "wanted"),
    [
        (SHORT, " * 2", "", ("factor_2", "D_Y", "(4)", "dA")),
        (SHORT, "b - X, 0)", "b - X, 0) * -1", ("sign", "E", "(3)", "dA")),
        (NO_NAME, " * 2).sum", ").sum", ("factor_2", "D_Y", "(4)", "D_b")),
        (AS_MASKED, "(H @ W.T + b - X)", "(X - H @ W.T - b)", ("sign", "E", "(3)", "E")),
    ],
)
def test_the_first_name_that_a_student_has_is_shown(text, old, new, wanted):
    assert verdict_on(LESSON, text).stage == "missing"
    text = changed(old, new, text)
    found = verdict_on(LESSON, text)
    assert (found.mistake, found.array, found.read, found.shown) == wanted
    assert found.lines == [line_of(f"    {wanted[-1]} = ", text)]


def test_a_right_answer_that_changes_its_arguments_passes_with_a_word():
    line = "    W *= 0\n    return D_V"
    found = verdict_on(LESSON, changed("    return D_V", line))
    assert found.passed
    assert "it changes its argument W in place" in found.text


# The place in a source


def test_the_line_that_makes_a_name():
    source = Source(
        "def f(a):\n    b, c = a, a\n    b[a] = 0\n    if a:\n        c += b\n    return c\n"
        "def g():\n    b = 1\n",
        "f",
    )
    assert {name: source.lines_of(name) for name in "abc"} == {"a": [], "b": [2, 3], "c": [2, 5]}
    assert source.at_end() == [6]
    assert source.text(3) == "b[a] = 0"
    assert source.read_by("c") == {"a", "b"}
    assert Source("def f(:", "f").made == {}


# Other lessons


def test_a_scalar_is_asked_for_in_words():
    lesson = lesson_of(3)
    found = verdict_on(lesson, changed("np.sum((X - Y)[rated] ** 2)", "(X - Y)", lesson.solution))
    assert "error has the shape (5, 6), and must be one number" in found.text


def test_a_scalar_may_have_one_entry():
    lesson = lesson_of(3)
    text = lesson.solution.replace("J = error + weights", "J = np.array([error + weights])")
    assert verdict_on(lesson, text).passed


def test_a_first_wrong_step_is_proved_in_other_lessons_too():
    lesson = lesson_of(2)
    text = lesson.solution.replace("1 / (1 + np.exp(-Z))", "1 / (2 + np.exp(-Z))")
    found = verdict_on(lesson, text)
    assert (found.stage, found.array, found.read) == ("line", "H", "(1)")
    lesson = lesson_of(11)
    text = lesson.solution.replace("D_H1 * H1 * (1 - H1)", "D_H1 * H1")
    found = verdict_on(lesson, text)
    assert (found.stage, found.array) == ("line", "D_Z1")


def test_a_verdict_is_the_same_each_time():
    text = changed("D_H * H * (1 - H)", "D_H * H")
    function = function_in(text, "backward")
    assert verdict_of(LESSON, function, text) == verdict_of(LESSON, function, text)


# Who writes everything at once makes a mistake in each block


def test_a_mistake_in_each_block_is_proved_where_pairs_are_not_enough():
    made = {
        1: ("ratings_added", "holes", "nan", "percent"),
        6: ("ascent", "from_0", "by_entries"),
        8: ("seen", "whole_penalty", "no_b", "codes_not_centered"),
        10: ("one_mean", "itself", "singular_values"),
        12: ("worst", "all", "not_clipped", "no_mu"),
    }
    for number, names in made.items():
        started = time.process_time()
        found = verdict_with(lesson_of(number), names)
        assert time.process_time() - started <= 0.3
        assert (found.stage, set(found.mistake.split("+"))) == ("mistake", set(names))
        assert found.text.count("; and ") >= len(names) - 1


def test_a_known_mistake_is_named_beside_a_block_that_nobody_knows():
    lesson = lesson_of(10)
    text = changed("np.sum(s**2)", "np.sum(s**3)", lesson.solution)
    text = changed("cosine - 3 * np.eye(len(H))", "cosine", text)
    found = verdict_on(lesson, text)
    assert (found.stage, found.mistake, found.array) == ("relation", "itself", "nearest")
    assert found.text.startswith("nearest: nearest is each item itself; ")
    assert "share is " in found.text
    assert found.questions == [lesson.mistakes["itself"].question]
