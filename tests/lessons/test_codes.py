"""Lessons 10 to 12 agree with the package."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from lesson_answers import verdict_on
from scipy import sparse
from scipy.spatial.distance import cosine

from autorec_np.core import Network, Objective
from autorec_np.lessons import codes
from autorec_np.lessons.lesson import close

seeds = given(st.integers(0, 10**9))


@seeds
def test_cosines_are_those_of_scipy(seed):
    problem = codes.codes_problem(np.random.default_rng(seed))
    work, centered = codes.codes_work(problem), problem["H"] - problem["H"].mean(axis=0)
    assert np.isclose(work["cosine"][1, 4], 1 - cosine(centered[1], centered[4]))
    variances = np.linalg.eigvalsh(centered.T @ centered)
    assert np.isclose(float(work["share"]), variances[-2:].sum() / variances.sum())
    assert (work["nearest"] != np.arange(8)).all()


@seeds
def test_the_deeper_gradient_is_that_of_the_package(seed):
    problem = codes.deeper_problem(np.random.default_rng(seed))
    X, rated, V, mu, V1, mu1, b, mask, penalty = problem.values()
    k = len(mu)
    network = Network(X.shape[1], (k, k), "sigmoid", tied=True)
    theta = np.zeros(network.layout.size)
    names = {
        "encoder.weight": ("D_V", V),
        "encoder.bias": ("D_mu", mu),
        "hidden1.weight": ("D_V1", V1),
        "hidden1.bias": ("D_mu1", mu1),
        "decoder.bias": ("D_b", b),
    }
    for name, (_, value) in names.items():
        network.layout.views(theta)[name][...] = value
    rows, columns = np.nonzero(rated)
    R = sparse.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)
    masks = [mask, np.ones_like(mask)]
    objective = Objective(network, penalty)
    gradient = objective.value_and_gradient(theta, R, R, masks=masks)[1]
    work = codes.deeper_work(problem)
    for name, (block, _) in names.items():
        assert close(work[block], network.layout.views(gradient)[name])


@seeds
def test_a_request_is_answered_with_what_is_not_in_it(seed):
    problem = codes.service_problem(np.random.default_rng(seed))
    work, request = codes.service_work(problem), problem["request"]
    assert not set(work["ids"].tolist()) & set(request)
    assert (np.diff(work["scores"]) < 0).all()
    assert (work["shown"] == 5).sum() > 1
    assert int(work["unknown"]) == 2
    assert 0.0 in request.values()


def test_an_answer_that_writes_into_the_model_is_found():
    text = codes.SERVICE.solution.replace("    ids = ", "    b[best] -= 1\n    ids = ")
    found = verdict_on(codes.SERVICE, text)
    assert found.passed
    assert "changes its argument b in place" in found.text
