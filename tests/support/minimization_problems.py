"""Functions to minimize: the objective of a tiny network, parabolas, Rosenbrock's valley."""

from __future__ import annotations

import numpy as np
import reference
from scipy import optimize

from autorec_np.core.kernels import take_rows
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.engine.engines import PlainEngine, TiledEngine

LAMBDA = 0.7
EVERY_ROW = np.arange(7)

# The step rule and its settings, its reference path(gradient, theta, rates), and a good rate
PLAIN_MOMENTUM = {"nesterovs_momentum": False}
RULES = {
    "sgd": (
        "sgd",
        {"momentum": 0.0, "nesterovs_momentum": False},
        reference.gradient_descent,
        2e-3,
    ),
    "sgd, nesterov without momentum": ("sgd", {"momentum": 0.0}, reference.gradient_descent, 2e-3),
    "momentum": (
        "sgd",
        {"momentum": 0.9, **PLAIN_MOMENTUM},
        lambda *a: reference.momentum(*a, 0.9),
        2e-3,
    ),
    "nesterov": ("sgd", {"momentum": 0.9}, lambda *a: reference.nesterov(*a, 0.9), 2e-3),
    "adam": ("adam", {}, reference.adam, 0.05),
    "rprop": (
        "rprop",
        {},
        lambda gradient, theta, rates: reference.rprop(gradient, theta, rates[0], len(rates)),
        0.05,
    ),
}


def make_rule(kind, rule, theta):
    """Return the rule of the lesson ("plain") or of the engine ("tiled")."""
    solver, settings, _, _ = RULES[rule]
    engine = PlainEngine() if kind == "plain" else TiledEngine()
    return engine.rule(solver, theta, **settings)


def take_step(kind, rule, theta, gradient, rate):
    """Change theta in place by one step of a rule of `make_rule`."""
    if kind == "plain":
        theta[...] = rule.step(theta, gradient, rate)
    else:
        rule.step(theta, gradient.copy(), rate)


def tiny_network():
    return Network(6, (3,), "sigmoid", "identity")


def tiny_theta(dtype=np.float64):
    return np.random.default_rng(0).normal(0, 0.5, tiny_network().layout.size).astype(dtype)


def batch_function(matrix):
    """The package's objective on blocks of rows of the matrix."""
    objective = Objective(tiny_network(), LAMBDA)

    def fun(theta, rows):
        block = take_rows(matrix, rows)
        return objective.value_and_gradient(theta, block, block, len(rows) / matrix.shape[0])

    return fun


def whole_function(matrix):
    fun = batch_function(matrix)
    return lambda theta: fun(theta, EVERY_ROW)


def reference_function(matrix):
    """The same objective by loops; nothing of the package but names."""
    layout = tiny_network().layout

    def fun(theta, rows):
        block = take_rows(matrix, rows)
        value, gradient = reference.objective(
            layout.views(theta),
            block,
            block,
            activation="sigmoid",
            output_activation="identity",
            penalties={"encoder.weight": LAMBDA, "decoder.weight": LAMBDA},
            fraction=len(rows) / matrix.shape[0],
        )
        return value, np.concatenate([gradient[name].ravel() for name in layout.shapes])

    return fun


def record(path):
    """A callback that copies theta after every epoch."""
    return lambda iteration: path.append(iteration.theta.copy())


def quadratic(n=20, condition=100.0):
    """Return fun and its minimizer: a parabola in n variables whose lowest value is 1."""
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    matrix = basis @ np.diag(np.geomspace(1, condition, n)) @ basis.T
    minimizer = rng.normal(size=n)

    def fun(theta):
        away = theta - minimizer.astype(theta.dtype)
        gradient = matrix.astype(theta.dtype) @ away
        return 1.0 + 0.5 * float(away @ gradient), gradient

    return fun, minimizer


def rosenbrock(theta):
    return float(optimize.rosen(theta)), optimize.rosen_der(theta)


ROSENBROCK_START = np.array([-1.2, 1.0, -1.2, 1.0, 0.5])
