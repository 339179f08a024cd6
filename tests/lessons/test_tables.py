"""Lessons 1 to 3 agree with the package."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lesson_answers import function_in, verdict_on
from scipy import sparse

from autorec_np import Ratings
from autorec_np.core import Network, Objective
from autorec_np.lessons import tables
from autorec_np.lessons.lesson import close

seeds = given(st.integers(0, 10**9))


@seeds
def test_the_table_is_that_of_the_ratings_of_the_package(seed):
    problem = tables.table_problem(np.random.default_rng(seed))
    work = tables.table_work(problem)
    ratings = Ratings.from_triples(problem["users"], problem["items"], problem["ratings"])
    rows, columns = ratings.item_ids.astype(int), ratings.user_ids.astype(int)
    matrix = ratings.matrix.T.tocoo()
    X, rated = np.zeros(work["X"].shape), np.zeros(work["X"].shape, bool)
    X[rows[matrix.row], columns[matrix.col]] = matrix.data
    rated[rows[matrix.row], columns[matrix.col]] = True
    assert np.array_equal(work["X"], X)
    assert np.array_equal(work["rated"], rated)
    assert work["means"][3] == 0
    assert np.allclose(work["means"][0], X[0][rated[0]].mean())
    assert float(work["share"]) == rated.mean()


@seeds
def test_the_forward_pass_is_that_of_the_package(seed):
    problem = tables.network_problem(np.random.default_rng(seed))
    X, V, mu, W, b = problem.values()
    network = Network(X.shape[1], (V.shape[1],), "sigmoid")
    theta = network.layout.initialize(np.random.default_rng(0))
    for name, value in zip(
        ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"),
        (V, mu, W, b),
        strict=True,
    ):
        network.layout.views(theta)[name][...] = value
    everywhere = sparse.csr_array(np.ones(X.shape))
    passed = network.forward(theta, sparse.csr_array(X), everywhere)
    work = tables.forward_work(problem)
    assert close(work["H"], passed.hidden[0])
    assert close(work["Y"].ravel(), passed.outputs)


@seeds
def test_the_objective_is_that_of_the_package(seed):
    problem = tables.objective_problem(np.random.default_rng(seed))
    X, rated, Y, V, W, penalty = problem.values()
    work = tables.objective_work(problem)
    network = Network(X.shape[1], (V.shape[1],), "sigmoid")
    theta = np.zeros(network.layout.size)
    views = network.layout.views(theta)
    views["encoder.weight"][...], views["decoder.weight"][...] = V, W
    rows, columns = np.nonzero(rated)
    targets = sparse.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)
    whole, plain = (Objective(network, one).value(theta, targets, targets) for one in (penalty, 0))
    assert np.isclose(float(work["weights"]), whole - plain)
    assert np.isclose(float(work["error"]), ((X - Y)[rated] ** 2).sum())
    assert np.isclose(float(work["J"]), float(work["error"]) + whole - plain)


def test_a_transposed_table_is_said_to_be_one():
    lesson = tables.TABLE
    text = lesson.solution.replace("return X,", "return X.T,")
    found = verdict_on(lesson, text)
    assert (found.mistake, found.blocks["X"], found.blocks["means"]) == (
        "transposed",
        "fail",
        "pass",
    )


@pytest.mark.parametrize("lesson", tables.LESSONS, ids=lambda one: one.name)
def test_a_solution_does_not_change_what_it_is_given(lesson):
    problem = lesson.problem(np.random.default_rng(0))
    before = repr(problem)
    function_in(lesson.solution, lesson.function)(*problem.values())
    assert repr(problem) == before
