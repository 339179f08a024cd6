"""Lesson 4: the right way is the package's, and its bank names what people get wrong."""

from __future__ import annotations

import numpy as np
import planted_faults as faults
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lesson_answers import verdict_of
from scipy import sparse

from autorec_np.core import network as own_network
from autorec_np.core import objective as own_objective
from autorec_np.lessons import backward
from autorec_np.lessons.backward import LESSON
from autorec_np.lessons.lesson import close

NAMES = {
    "D_V": "encoder.weight",
    "D_mu": "encoder.bias",
    "D_W": "decoder.weight",
    "D_b": "decoder.bias",
}


def gradient_of(network, objective):
    """Return a backward pass that asks the core, or a copy of it with a fault."""

    def function(X, rated, V, mu, W, b, penalty):
        net = network.Network(X.shape[1], (V.shape[1],), "sigmoid")
        theta = np.zeros(net.layout.size)
        for name, value in zip(NAMES.values(), (V, mu, W, b), strict=True):
            net.layout.views(theta)[name][...] = value
        rows, columns = np.nonzero(rated)
        R = sparse.csr_array((X[rows, columns], (rows, columns)), shape=X.shape)
        gradient = objective.Objective(net, penalty).value_and_gradient(theta, R, R)[1]
        views = net.layout.views(gradient)
        return tuple(views[name].copy() for name in NAMES.values())

    return function


package = gradient_of(own_network, own_objective)


@given(st.integers(0, 10**9))
def test_what_is_right_is_the_gradient_of_the_package(seed):
    problem = backward.problem(np.random.default_rng(seed))
    work = backward.work(problem)
    for name, wanted in zip(NAMES, package(*problem.values()), strict=True):
        np.testing.assert_allclose(work[name], wanted, rtol=1e-11, atol=1e-11)


def test_the_problem_shows_what_can_go_wrong():
    for seed in range(20):
        problem = backward.problem(np.random.default_rng(seed))
        rated, X = problem["rated"], problem["X"]
        assert not rated[3].any()
        assert not rated[:, 4].any()
        assert rated[1, 1]
        assert X[1, 1] == 0
        assert not X[~rated].any()
        assert len({*X.shape, problem["mu"].size}) == 3


def test_the_bank_is_large():
    assert len(LESSON.mistakes) >= 40


def test_a_given_array_stands_in_the_place_of_a_step():
    problem = backward.problem(np.random.default_rng(0))
    right = backward.work(problem)
    again = backward.work(problem, (), {name: right[name] for name in LESSON.steps})
    assert all(close(again[name], right[name]) for name in right)
    other = backward.work(problem, (), {"D_A": 0 * right["D_A"]})
    assert not other["D_b"].any()
    assert close(other["D_Y"], right["D_Y"])


# The right way in other styles


def loops(X, rated, V, mu, W, b, lam):
    n, m = X.shape
    k = len(mu)
    d_V, d_W, d_mu, d_b = lam * V, lam * W, np.zeros(k), np.zeros(m)
    for r in range(n):
        z = [mu[i] + sum(X[r, j] * V[j, i] for j in range(m)) for i in range(k)]
        h, back = [1 / (1 + np.exp(-one)) for one in z], np.zeros(k)
        for c in range(m):
            if rated[r, c]:
                d = 2 * (b[c] + sum(h[i] * W[c, i] for i in range(k)) - X[r, c])
                d_b[c] += d
                for i in range(k):
                    d_W[c, i] += d * h[i]
                    back[i] += d * W[c, i]
        for i in range(k):
            slope = back[i] * h[i] * (1 - h[i])
            d_mu[i] += slope
            for j in range(m):
                d_V[j, i] += X[r, j] * slope
    return d_V, d_mu, d_W, d_b


def einsum(X, rated, V, mu, W, b, lam):
    H = 1 / (1 + np.exp(-np.einsum("rj,ji->ri", X, V) - mu))
    D = 2 * rated * (np.einsum("ri,ci->rc", H, W) + b - X)
    Z = np.einsum("rc,ci,ri,ri->ri", D, W, H, 1 - H)
    return (
        *(np.einsum("rj,ri->ji", X, Z) + lam * V, Z.sum(0)),
        *(np.einsum("rc,ri->ci", D, H) + lam * W, D.sum(0)),
    )


def with_sparse_arrays(X, rated, V, mu, W, b, lam):
    r, c = np.nonzero(rated)
    H = 1 / (1 + np.exp(-(sparse.csr_array(X) @ V + mu)))
    d = 2 * ((H[r] * W[c]).sum(1) + b[c] - X[r, c])
    D = sparse.csr_array((d, (r, c)), shape=X.shape)
    Z = (D @ W) * H * (1 - H)
    return X.T @ Z + lam * V, Z.sum(0), D.T @ H + lam * W, np.bincount(c, d, X.shape[1])


def by_rows(X, rated, V, mu, W, b, lam):
    D_V, D_W, D_mu, D_b = lam * V, lam * W, 0 * mu, 0 * b
    for x, o in zip(X, rated, strict=True):
        h = 1 / (1 + np.exp(-(V.T @ x + mu)))
        d = np.zeros_like(b)
        d[o] = 2 * ((W @ h + b)[o] - x[o])
        z = (W.T @ d) * h * (1 - h)
        D_V, D_mu = D_V + np.outer(x, z), D_mu + z
        D_W, D_b = D_W + np.outer(d, h), D_b + d
    return {"D_V": D_V, "D_mu": D_mu, "D_W": D_W, "D_b": D_b}


def halves(X, rated, V, mu, W, b, lam):
    """The residual with the other sign, tanh for the sigmoid, the 2 at the end, lists returned."""
    H = (1 + np.tanh((X @ V + mu) / 2)) / 2
    E = np.where(rated, X - H @ W.T - b, 0)
    Z = -(E @ W) * (H - H**2)
    D_V, D_W = 2 * X.T @ Z + lam * V, -2 * E.T @ H + lam * W
    return [D_V.tolist(), 2 * Z.sum(0), D_W, tuple(-2 * E.sum(0))]


def single_precision(X, rated, V, mu, W, b, lam):
    X, V, mu, W, b = (one.astype(np.float32) for one in (X, V, mu, W, b))
    return package(X.astype(float), rated, *(one.astype(float) for one in (V, mu, W, b)), lam)


def by_differences(X, rated, V, mu, W, b, lam):
    """No backward pass, but numbers that are right: central differences."""

    def J():
        Y = 1 / (1 + np.exp(-(X @ V + mu))) @ W.T + b
        return np.sum((Y - X)[rated] ** 2) + lam / 2 * (np.sum(V**2) + np.sum(W**2))

    found = []
    for one in (V, mu, W, b):
        slopes = np.zeros(one.size)
        for i in range(one.size):
            values = []
            for step in (1e-4, -2e-4):
                one.flat[i] += step
                values.append(J())
            one.flat[i] += 1e-4
            slopes[i] = (values[0] - values[1]) / 2e-4
        found.append(slopes.reshape(one.shape))
    return tuple(found)


STYLES = (loops, einsum, with_sparse_arrays, by_rows, halves, single_precision, by_differences)


@pytest.mark.parametrize("style", [*STYLES, package])
@pytest.mark.parametrize("seed", [0, 5])
def test_what_is_right_passes_in_any_style(style, seed):
    found = verdict_of(LESSON, style, seed=seed)
    assert found.passed, found
    assert found.stage == "right"


# The faults that are planted in the package for its own checks


SETTINGS = (faults.ONE, faults.DEEP)
PLANTED = [
    fault
    for fault in faults.FAULTS + faults.CONSISTENT
    if fault.room in faults.CORE and fault.setting in SETTINGS and fault.method == "central"
]
# Neither is in the bank: a sum over all rows but the last two, and a hundredth of the biases.
RELATIONS = {
    "the last row forgotten in a bias": ("rows_left_out", "rows 4, 5, the last, out of the sum"),
    "biases penalized in the gradient alone": ("terms", "D_b: the penalty's multiple of b does"),
}


def test_the_faults_planted_in_the_package_are_named():
    n_named = n_changed = 0
    for fault in PLANTED:
        copies = faults.load_copies({fault.room: faults.patched(fault)})
        function = gradient_of(copies.network, copies.objective)
        wrong = {
            name
            for seed in ("1", "2", "3")
            for problem in [LESSON.problems()[seed]]
            for name, got, wanted in zip(
                NAMES, function(*problem.values()), package(*problem.values()), strict=True
            )
            if not close(got, wanted)
        }
        if not wrong:  # a fault of the value, or of deeper networks
            continue
        n_changed += 1
        found = verdict_of(LESSON, function)
        assert {name for name, state in found.blocks.items() if state == "fail"} == wrong
        if fault.what in RELATIONS:
            name, text = RELATIONS[fault.what]
            assert (found.stage, found.mistake) == ("relation", name)
            assert text in found.text
        n_named += found.stage == "mistake"
    assert n_changed == 26
    assert n_named >= 24
