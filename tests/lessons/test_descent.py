"""Lessons 5 and 6 agree with the package."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from lesson_answers import verdict_on

from autorec_np import check_gradient
from autorec_np.core import SGD, Adam, TwoLoop
from autorec_np.lessons import descent
from autorec_np.lessons.lesson import close

seeds = given(st.integers(0, 10**9))


@settings(max_examples=8)
@seeds
def test_the_check_blames_the_planted_entries_as_the_check_of_the_package_does(seed):
    problem = descent.check_problem(np.random.default_rng(seed))
    fun, faults = descent.function_of(problem), problem["faults"]
    work = descent.check_work(problem)
    assert np.array_equal(work["blamed"], faults != 0)
    blocks = {str(i): slice(i, i + 1) for i in range(len(faults))}
    report = check_gradient(fun, problem["theta"], blocks)
    assert [report.blocks[one].verdict == "fail" for one in blocks] == work["blamed"].tolist()


@seeds
def test_the_steps_are_those_of_the_rules_of_the_package(seed):
    problem = descent.descent_problem(np.random.default_rng(seed))
    gradient, work = descent.gradient_of(problem), descent.descent_work(problem)
    for name, rule in {"sgd": SGD(0.0, False), "adam": Adam()}.items():
        theta = problem["theta"]
        for _ in range(problem["n_steps"]):
            theta = rule.step(theta, gradient(theta), problem["rate"])
        np.testing.assert_allclose(work[name], theta, rtol=1e-12)


@seeds
def test_the_direction_is_that_of_the_two_loop_recursion(seed):
    problem = descent.descent_problem(np.random.default_rng(seed))
    pairs, zero = TwoLoop(5), 0 * problem["s"]
    pairs.add((zero, zero), (problem["s"], problem["y"]))
    direction, _ = pairs.direction(descent.gradient_of(problem)(problem["theta"]))
    assert close(descent.descent_work(problem)["lbfgs"], direction)


def test_a_forgotten_theta_is_found_by_its_name_or_by_what_it_leaves():
    kept = descent.CHECK.solution.replace(
        "        numeric[i] = (fun(theta + e)[0] - fun(theta - e)[0]) / (2 * step)\n",
        "        theta = theta + e\n        up = fun(theta)[0]\n        theta = theta - 2 * e\n"
        "        numeric[i] = (up - fun(theta)[0]) / (2 * step)\n",
    )
    assert verdict_on(descent.CHECK, kept).mistake == "kept"
    in_place = kept.replace("theta = theta + e", "theta += e")
    in_place = in_place.replace("theta = theta - 2 * e", "theta -= 2 * e")
    assert verdict_on(descent.CHECK, in_place).mistake == "kept"


def test_who_is_right_is_told_where_the_faults_were():
    for seed in range(3):
        faults = descent.CHECK.problems(seed)["1"]["faults"]
        first, second = np.flatnonzero(faults)
        found = verdict_on(descent.CHECK, descent.CHECK.solution, seed)
        wanted = f"all is right; blamed is True at {first} and {second}, where the faults are"
        assert found.text == wanted
