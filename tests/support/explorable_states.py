"""Golden values for docs/explorable: what the package says about random states of its network.

``python tests/support/explorable_states.py FILE`` writes them as JSON. Every array of the way
forward and back comes from the package. The planted faults are written once more here, in dense
NumPy, so that two programs by two ways must agree; without a fault, that program is compared with
the package too.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np
from scipy import sparse

from autorec_np.core.kernels import spmm, with_data
from autorec_np.core.lbfgs import minimize_lbfgs
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.optimizers import SGD, Adam
from autorec_np.gradcheck import check_gradient, taylor_test

NETWORK = Network(n_columns=4, hidden_layer_sizes=(2,), activation="sigmoid")
NAMES = {
    "V": "encoder.weight",
    "mu": "encoder.bias",
    "W": "decoder.weight",
    "b": "decoder.bias",
}
FAULTS = (
    *("none", "factor", "sign", "mean", "mask", "zero", "half", "activity"),
    *("bias", "swap", "slope", "before", "penalty", "rows", "value", "both"),
)
N_STATES = 16 * 13
STEPS = 8  # of each rule
ALONG = np.array([(-1.0) ** k for k in range(NETWORK.layout.size)])

EXAMPLE = {
    "X": [[5, 3, None, 1], [4, None, None, 1], [None, 1, 5, 4]],
    "V": [[0.2, -0.1], [0.1, 0.2], [-0.1, 0.3], [-0.2, 0.1]],
    "mu": [0, 0.1],
    "W": [[1, 0.5], [0.5, 1], [-1, 2], [-0.5, 2]],
    "b": [3, 2, 3, 1],
    "lambda": 1,
}


def random_state(rng):
    """Draw ratings with holes, zeros and numbers off the scale, and parameters of size 1."""
    X = rng.choice([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 3.5, -2.0], size=(3, 4))
    holes = rng.random((3, 4)) < 0.4
    holes[rng.integers(3), rng.integers(4)] = False  # one rating at least
    pairs = zip(X, holes, strict=True)
    drawn = {name: rng.normal(size=NETWORK.layout.shapes[full]) for name, full in NAMES.items()}
    return {
        "X": [[None if hole else x for x, hole in zip(*row, strict=True)] for row in pairs],
        **{name: array.round(2).tolist() for name, array in drawn.items()},
        "lambda": float(rng.choice([0.0, 0.5, 1.0, 3.0])),
    }


def theta_of(state):
    theta = np.zeros(NETWORK.layout.size)
    for name, full in NAMES.items():
        NETWORK.layout.views(theta)[full][...] = state[name]
    return theta


def stored(state):
    """The ratings as the package wants them; a stored 0 is a rating."""
    found = [(r, c, x) for r, row in enumerate(state["X"]) for c, x in enumerate(row)]
    rows, columns, values = zip(*(entry for entry in found if entry[2] is not None), strict=True)
    return sparse.csr_array((np.array(values, float), (rows, columns)), shape=(3, 4))


def spread(matrix):
    """A dense table of a sparse one, None where nothing is stored."""
    table = [[None] * 4 for _ in range(3)]
    entries = matrix.tocoo()
    for row, column, value in zip(*entries.coords, entries.data, strict=True):
        table[row][column] = float(value)
    return table


def intermediates(state):
    """Every array of the way forward and back, from the package."""
    theta, ratings = theta_of(state), stored(state)
    objective = Objective(NETWORK, state["lambda"])
    views = NETWORK.layout.views(theta)
    passed, signals, data = objective.passes(theta, ratings, ratings, None)
    everywhere = sparse.csr_array(np.ones((3, 4)))
    value, gradient = objective.value_and_gradient(theta, ratings, ratings)
    d_views = NETWORK.layout.views(gradient)
    return {
        "Z": (spmm(ratings, views["encoder.weight"]) + views["encoder.bias"]).tolist(),
        "H": passed.hidden[0].tolist(),
        "Y": NETWORK.decode(theta, passed.hidden[0], everywhere).reshape(3, 4).tolist(),
        "E": spread(with_data(ratings, passed.outputs - ratings.data)),
        "DA": spread(signals.d_activity),
        "DH": spmm(signals.d_activity, views["decoder.weight"]).tolist(),
        "DZ": signals.d_z[0].tolist(),
        **{f"D{name}": d_views[full].tolist() for name, full in NAMES.items()},
        "data": data,
        "penalty": objective.penalty_term(theta),
        "J": value,
    }


def with_fault(state, fault):
    """Return fun(theta) -> (value, gradient) with a fault planted, and its value alone."""
    X = np.array([[x or 0.0 for x in row] for row in state["X"]])
    rated = np.array([[x is not None for x in row] for row in state["X"]])
    penalty = state["lambda"]
    counted = np.ones_like(rated) if fault == "both" else rated
    layout = NETWORK.layout
    parts = [(layout.slices[full], layout.shapes[full]) for full in NAMES.values()]

    def forward(theta):
        V, mu, W, b = (theta[part].reshape(shape) for part, shape in parts)
        Z = X @ V + mu
        H = 1 / (1 + np.exp(-Z))
        return Z, H, H @ W.T + b - X, V, W, b

    def value_of(theta, passed=None):
        _, _, E, V, W, _ = passed or forward(theta)
        squares = np.sum(W**2) + np.sum(V**2)
        return np.sum(E[counted] ** 2) + (1 if fault == "value" else 0.5) * penalty * squares

    def fun(theta):
        Z, H, E, V, W, b = passed = forward(theta)
        D_A = np.where(counted, 2 * E, 0.0)
        if fault == "factor":
            D_A = D_A / 2
        elif fault == "sign":
            D_A = -D_A
        elif fault == "mean":
            D_A = D_A / rated.sum()
        elif fault == "mask":
            D_A = 2 * E
        elif fault == "zero":
            D_A = np.where(X != 0, D_A, 0.0)
        D_H = D_A @ (V if fault == "swap" else W)
        slope = {"slope": H, "before": Z * (1 - Z)}.get(fault, H * (1 - H))
        D_Z = D_H * slope

        gradient = np.zeros_like(theta)
        d_views = NETWORK.layout.views(gradient)
        d_views["decoder.weight"][...] = D_A.T @ (Z if fault == "activity" else H)
        d_views["decoder.weight"][...] += (0.5 if fault == "half" else 1) * penalty * W
        d_views["decoder.bias"][...] = D_A.sum(axis=0) + (penalty * b if fault == "bias" else 0)
        d_views["encoder.weight"][...] = X.T @ D_Z + (0 if fault == "penalty" else penalty * V)
        d_views["encoder.bias"][...] = D_Z.mean(axis=0) if fault == "rows" else D_Z.sum(axis=0)
        return value_of(theta, passed), gradient

    return fun, value_of


def verdicts(state, fault, **settings):
    """What `check_gradient` says of each block."""
    (fun, value_of), theta = with_fault(state, fault), theta_of(state)
    value, gradient = fun(theta)
    report = check_gradient(fun, theta, blocks=NETWORK.layout, value=value_of, **settings)
    blocks = {name: str(report.blocks[full].verdict) for name, full in NAMES.items()}
    return {"fault": fault, "value": value, "gradient": gradient.tolist(), "verdicts": blocks}


def slopes(state, fault):
    """Taylor slopes; None where the remainder is exact."""
    (fun, value_of), theta = with_fault(state, fault), theta_of(state)
    report = taylor_test(fun, theta, NETWORK.layout, ALONG, value=value_of)
    fitted = {name: report.blocks[full].slopes[1] for name, full in NAMES.items()}
    return {name: None if slope == np.inf else slope for name, slope in fitted.items()}


def step_errors(state):
    """Largest relative error of central differences of the package's value, by block and step."""
    theta, ratings = theta_of(state), stored(state)
    objective = Objective(NETWORK, state["lambda"])
    gradient = objective.value_and_gradient(theta, ratings, ratings)[1]
    errors = {}
    for name, full in NAMES.items():
        where = range(NETWORK.layout.size)[NETWORK.layout.slices[full]]
        for h in (0.5, 0.1, 0.02):
            gaps = []
            for k in where:
                up, down = theta.copy(), theta.copy()
                up[k] += h
                down[k] -= h
                rise = objective.value(up, ratings, ratings)
                rise -= objective.value(down, ratings, ratings)
                gaps.append(abs(rise / (up[k] - down[k]) - gradient[k]))
            errors[f"{name} {h}"] = max(gaps) / np.abs(gradient[where]).max()
    return errors


def walks(state, entries, start):
    """Steps of the lesson's rules over two entries of theta, the others as they are."""
    theta, ratings = theta_of(state), stored(state)
    objective = Objective(NETWORK, state["lambda"])

    def fun(point):
        here = theta.copy()
        here[entries] = point
        value, gradient = objective.value_and_gradient(here, ratings, ratings)
        return value, gradient[entries]

    rules = {
        "sgd": (SGD(momentum=0.0, nesterovs_momentum=False), 0.02),
        "momentum": (SGD(nesterovs_momentum=False), 0.01),
        "nesterov": (SGD(), 0.01),
        "adam": (Adam(), 0.1),
    }
    paths = {}
    for name, (rule, rate) in rules.items():
        point, paths[name] = np.array(start), []
        for _ in range(STEPS):
            point = rule.step(point, fun(point)[1], rate)
            paths[name].append(point.tolist())
    iterates = islice(minimize_lbfgs(fun, np.array(start)), STEPS)
    paths["lbfgs"] = [[*point.tolist(), value] for point, value in iterates]
    return {"entries": entries, "start": start, **paths}


def golden():
    rng = np.random.default_rng(0)
    states = [EXAMPLE] * len(FAULTS) + [random_state(rng) for _ in range(N_STATES)]
    records = []
    for n, state in enumerate(states):
        few = {} if state is EXAMPLE else {"n_directions": 1, "n_coordinates": 4}  # faster
        entries = rng.choice(NETWORK.layout.size, size=2, replace=False).tolist()
        records.append(
            {
                "state": state,
                **intermediates(state),
                "faulty": verdicts(state, FAULTS[n % len(FAULTS)], **few),
                "walks": walks(state, entries, rng.normal(scale=2, size=2).round(2).tolist()),
            }
        )
    for record in records[: 3 * len(FAULTS)]:
        record["slopes"] = slopes(record["state"], record["faulty"]["fault"])
    for record in records[len(FAULTS) : 2 * len(FAULTS)]:
        record["step_errors"] = step_errors(record["state"])
    return {"faults": FAULTS, "records": records}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(golden()), encoding="utf-8")
