"""Faults that people make in a backward pass, each a one-line patch to a copy of the real source.

``plant(fault)`` is the objective with the fault. A fault stands either in the gradient or in the
value. A fault that is in both is the right gradient of another function, which no gradient check
can see: those are in CONSISTENT, for the tests of the value.

``python tests/planted_faults.py`` prints the table of docs/gradient_checking.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import reference
from scipy import optimize, sparse

from autorec_np.core.parameters import ParameterLayout
from autorec_np.gradcheck import check_gradient

PACKAGE = Path(__file__).parents[2] / "autorec_np"
CORE = ("activations", "tiling", "kernels", "parameters", "network", "objective")
STAND_IN = "sparse_autoencoder"
USUAL = 1e-5  # where people who use the two other ways draw the line


@dataclass(frozen=True)
class Setting:
    """The small network in which a fault shows."""

    sizes: tuple[int, ...] = (3,)
    activation: str = "sigmoid"
    output: str = "identity"
    tied: bool = False
    dropout: bool = False


ONE = Setting()
CURVED = Setting(output="sigmoid")
DEEP = Setting((3, 3), "tanh")
DROPOUT = Setting((3, 3), "tanh", dropout=True)
TIED = Setting((3, 3), tied=True)

WEIGHTS = ("encoder.weight", "decoder.weight")
BIASES = ("encoder.bias", "decoder.bias")
ENCODER = ("encoder.weight", "encoder.bias")
DECODER = ("decoder.weight", "decoder.bias")
INNER = ("hidden1.weight", "hidden1.bias")
ALL = (*ENCODER, *DECODER)


@dataclass(frozen=True)
class Fault:
    """A patch ``old -> new`` of one source file, and the blocks whose gradient it makes wrong."""

    what: str
    room: str
    old: str
    new: str
    blocks: tuple[str, ...]
    setting: Setting = ONE
    side: str = "gradient"  # or "value"
    method: str = "central"


FAULTS = [
    # the factor of the residual
    Fault(
        "the 2 of the square dropped", "objective", "d_outputs = 2 * res", "d_outputs = res", ALL
    ),
    Fault("sign of the residual", "objective", "d_outputs = 2 * res", "d_outputs = -2 * res", ALL),
    Fault(
        "mean over ratings instead of sum, gradient",
        "objective",
        "d_outputs = 2 * residuals",
        "d_outputs = 2 * residuals / targets.nnz",
        ALL,
    ),
    Fault(
        "mean over ratings instead of sum, value",
        "objective",
        "return self.data_term(residuals) + fraction * penalty_term",
        "return self.data_term(residuals) / targets.nnz + fraction * penalty_term",
        ALL,
        side="value",
    ),
    Fault(
        "half the squared error",
        "objective",
        "return _sum_of_squares(residuals)",
        "return _sum_of_squares(residuals) / 2",
        ALL,
        side="value",
    ),
    # the observed set
    Fault(
        "loss over all cells, not over the rated ones",
        "objective",
        "return self.data_term(residuals) + fraction * penalty_term",
        "return np.sum((self.network.decode(theta, passed.dropped[-1], type(targets)(np.ones("
        "targets.shape))) - targets.toarray().ravel()) ** 2)"
        " + fraction * penalty_term",
        ALL,
        side="value",
    ),
    Fault(
        "a rating of 0 taken for no rating, gradient",
        "objective",
        "d_outputs = 2 * residuals",
        "d_outputs = 2 * residuals * (targets.data != 0)",
        ALL,
    ),
    Fault(
        "a rating of 0 taken for no rating, value",
        "objective",
        "return self.data_term(residuals) + fraction * penalty_term",
        "return self.data_term(residuals * (targets.data != 0)) + fraction * penalty_term",
        ALL,
        side="value",
    ),
    Fault(
        "the sum over an empty row is its neighbor (reduceat)",
        "kernels",
        "return np.asarray(matrix @ dense)",
        "return np.add.reduceat("
        "matrix.data[:, None] * dense[matrix.indices], matrix.indptr[:-1], axis=0)",
        (*ENCODER, "decoder.weight"),
    ),
    Fault(
        "the last row forgotten in a bias",
        "network",
        "return np.sum(array, axis=0",
        "return np.sum(array[:-2], axis=0",
        ("encoder.bias",),
    ),
    # columns
    Fault(
        "output bias of the next column, value",
        "network",
        'views["decoder.bias"].take(pattern.indices)',
        'views["decoder.bias"].take(pattern.indices - 1)',
        ("decoder.bias",),
        side="value",
    ),
    Fault(
        "output bias of the next column, gradient",
        "network",
        "column_sums(d_activity)",
        "np.roll(column_sums(d_activity), 1)",
        ("decoder.bias",),
    ),
    # the penalty
    Fault(
        "penalty forgotten in the gradient",
        "objective",
        "part += theta.dtype.type(fraction * penalty) * weight",
        "pass",
        WEIGHTS,
    ),
    Fault(
        "lambda without its half",
        "objective",
        "penalty / 2 * inner_product(weight, weight)",
        "penalty * inner_product(weight, weight)",
        WEIGHTS,
        side="value",
    ),
    Fault(
        "lambda with a half in the gradient",
        "objective",
        "(fraction * penalty) * weight",
        "(fraction * penalty / 2) * weight",
        WEIGHTS,
    ),
    Fault(
        "norm instead of squared norm",
        "objective",
        "inner_product(weight, weight)",
        "inner_product(weight, weight) ** 0.5",
        WEIGHTS,
        side="value",
    ),
    Fault(
        "fraction forgotten, gradient",
        "objective",
        "(fraction * penalty) * weight",
        "(penalty) * weight",
        WEIGHTS,
    ),
    Fault(
        "fraction forgotten, value",
        "objective",
        "+ fraction * penalty_term",
        "+ penalty_term",
        WEIGHTS,
        side="value",
    ),
    Fault(
        "penalty divided by the batch",
        "objective",
        "(fraction * penalty) * weight",
        "(fraction * penalty / targets.shape[0]) * weight",
        WEIGHTS,
    ),
    Fault(
        "one lambda for all blocks",
        "objective",
        "(fraction * penalty) * weight",
        "(fraction * max(self.penalties.values())) * weight",
        ("encoder.weight",),
    ),
    Fault(
        "biases penalized in the gradient alone",
        "objective",
        "            if block in self.penalties:",
        "            if block.endswith('bias'):\n                part += 0.01 * theta[where]\n"
        "            if block in self.penalties:",
        BIASES,
    ),
    # the output layer
    Fault(
        "slope of the output forgotten",
        "network",
        "d_outputs * f_derivative(passed.outputs)",
        "d_outputs",
        ALL,
        CURVED,
    ),
    Fault(
        "slope of the output taken at the residual",
        "network",
        "f_derivative(passed.outputs)",
        "f_derivative(d_outputs)",
        ALL,
        CURVED,
    ),
    Fault(
        "output bias before the slope of the output",
        "network",
        "column_sums(d_activity)",
        "column_sums(with_data(pattern, d_outputs))",
        ("decoder.bias",),
        CURVED,
    ),
    Fault(
        "output bias forgotten, gradient",
        "network",
        "column_sums(d_activity)",
        "0 * column_sums(d_activity)",
        ("decoder.bias",),
    ),
    Fault(
        "output bias forgotten, value",
        "network",
        'activity += views["decoder.bias"].take(pattern.indices)',
        "pass",
        ("decoder.bias",),
        side="value",
    ),
    Fault(
        "a weight's derivative overwritten by the penalty's",
        "objective",
        "part += theta.dtype.type",
        "part[:] = theta.dtype.type",
        WEIGHTS,
    ),
    Fault(
        "encoder weight in place of the decoder's",
        "network",
        'spmm(d_activity, views["decoder.weight"]',
        'spmm(d_activity, views["encoder.weight"]',
        ENCODER,
    ),
    Fault(
        "sign of one block",
        "network",
        "encoder, decoder = (inputs, d_z[-1])",
        "encoder, decoder = (inputs, -d_z[-1])",
        ("encoder.weight",),
    ),
    # hidden layers
    Fault(
        "hidden bias forgotten, gradient",
        "network",
        "_row_sum(derivative)",
        "0 * _row_sum(derivative)",
        ("encoder.bias",),
    ),
    Fault(
        "hidden bias forgotten, value",
        "network",
        "g(z + bias)",
        "g(z)",
        ("encoder.bias",),
        side="value",
    ),
    Fault(
        "inner bias forgotten, value",
        "network",
        "layer = partial(",
        "layer = partial(lambda bias, z: g(z), 0) if depth else partial(",
        ("hidden1.bias",),
        DEEP,
        side="value",
    ),
    Fault(
        "bias before the slope of its layer",
        "network",
        "        d_z: list[Array] = []",
        "        _row_sum = lambda _: globals()['_row_sum'](d_hidden)\n"
        "        d_z: list[Array] = []",
        ("encoder.bias",),
    ),
    Fault(
        "mean over rows instead of sum",
        "network",
        "return np.sum(array, axis=0",
        "return np.mean(array, axis=0",
        ("encoder.bias", "hidden1.bias"),
        DEEP,
    ),
    Fault(
        "weight not transposed going back",
        "network",
        'd_z[-1] @ views[f"hidden{depth}.weight"].T',
        'd_z[-1] @ views[f"hidden{depth}.weight"]',
        ENCODER,
        DEEP,
    ),
    Fault(
        "gradient of a weight transposed",
        "network",
        "passed.dropped[depth - 1].T @ derivative",
        "derivative.T @ passed.dropped[depth - 1]",
        ("hidden1.weight",),
        DEEP,
    ),
    Fault(
        "slope of the wrong layer",
        "network",
        "(through_g, d_hidden, passed.hidden[depth]",
        "(through_g, d_hidden, passed.hidden[-1]",
        ENCODER,
        DEEP,
    ),
    Fault(
        "slope of the hidden layer forgotten",
        "network",
        "return d_hidden * g_derivative(hidden)",
        "return d_hidden",
        ENCODER,
    ),
    Fault(
        "slope of the output's activation in a hidden layer",
        "network",
        "g_derivative = ACTIVATIONS[self.activation].derivative",
        "g_derivative = ACTIVATIONS[self.output_activation].derivative",
        (*ENCODER, *INNER),
        DEEP,
    ),
    Fault(
        "one layer's activation swapped",
        "network",
        "layer = partial(",
        "layer = partial(lambda bias, z: ACTIVATIONS['sigmoid'].forward(z + bias), "
        "views['encoder.bias']) if not depth else partial(",
        ENCODER,
        DEEP,
        side="value",
    ),
    # activations
    Fault(
        "sigmoid' without y",
        "activations",
        "y * (1 - y))\n\n\ndef sigmoid_s",
        "1 - y)\n\n\ndef sigmoid_s",
        ENCODER,
    ),
    Fault(
        "tanh' without the square",
        "activations",
        "np.asarray(1 - y * y)",
        "np.asarray(1 - y)",
        (*ENCODER, *INNER),
        DEEP,
    ),
    Fault(
        "softplus' taken at the output, not the input",
        "activations",
        "return -np.expm1(-y)\n",
        "return 1 / (1 + np.exp(-y))\n",
        ENCODER,
        Setting(activation="softplus"),
    ),
    Fault(
        "elu' is y, not y + 1",
        "activations",
        "np.where(y.real > 0, y.dtype.type(1), y + 1)",
        "np.where(y.real > 0, y.dtype.type(1), y)",
        ENCODER,
        Setting(activation="elu"),
    ),
    Fault(
        "relu' of a dead unit is 1",
        "activations",
        "return (y.real > 0).astype(y.dtype)",
        "return (y.real >= 0).astype(y.dtype)",
        ENCODER,
        Setting(activation="relu"),
    ),
    # dropout
    Fault(
        "dropout mask not applied going back",
        "network",
        "d_hidden = d_hidden * masks[depth]",
        "d_hidden = d_hidden",
        (*ENCODER, *INNER),
        DROPOUT,
    ),
    Fault(
        "dropout mask of another layer",
        "network",
        "d_hidden = d_hidden * masks[depth]",
        "d_hidden = d_hidden * masks[0]",
        (*ENCODER, *INNER),
        DROPOUT,
    ),
    Fault(
        "dropout mask without its 1 / (1 - p)",
        "network",
        "d_hidden = d_hidden * masks[depth]",
        "d_hidden = d_hidden * (masks[depth] > 0)",
        (*ENCODER, *INNER),
        DROPOUT,
    ),
    Fault(
        "decoder reads the layer before dropout",
        "network",
        "(d_activity, passed.dropped[-1])",
        "(d_activity, passed.hidden[-1])",
        ("decoder.weight",),
        DROPOUT,
    ),
    Fault(
        "inner weight reads the layer before dropout",
        "network",
        "passed.dropped[depth - 1].T",
        "passed.hidden[depth - 1].T",
        ("hidden1.weight",),
        DROPOUT,
    ),
    Fault(
        "tanh' taken after dropout (published)",
        "network",
        "(through_g, d_hidden, passed.hidden[depth]",
        "(through_g, d_hidden, passed.dropped[depth]",
        (*ENCODER, *INNER),
        DROPOUT,
    ),
    # tied weights
    Fault(
        "tied gradients not summed: the encoder's is lost",
        "network",
        "[encoder, decoder]}",
        "[decoder]}",
        ("encoder.weight",),
        TIED,
    ),
    Fault(
        "tied gradients not summed: the decoder's is lost",
        "network",
        "[encoder, decoder]}",
        "[encoder]}",
        ("encoder.weight",),
        TIED,
    ),
    # precision
    Fault(
        "a bias summed in float32",
        "network",
        "dtype=np.result_type(array, np.float64)",
        "dtype=np.float32",
        ("encoder.bias",),
        method="complex",
    ),
    Fault(
        "column sums in float32",
        "kernels",
        "sums = np.bincount(matrix.indices, matrix.data.real, n_columns)",
        "sums = np.bincount(matrix.indices, matrix.data.real, n_columns).astype(np.float32)",
        ("decoder.bias",),
        method="complex",
    ),
    # what the objective of the package lacks
    Fault(
        "bias penalty overwrites the weight penalty (published)",
        STAND_IN,
        "penalty += MU",
        "penalty = MU",
        WEIGHTS,
        side="value",
    ),
    Fault(
        "KL sparsity without 1 / m (published)", STAND_IN, "d_rate / (2 * m)", "d_rate / 2", ENCODER
    ),
    Fault("KL sparsity with one of its terms", STAND_IN, " - RHO / rate)", ")", ENCODER),
    Fault("KL sparsity through the mask", STAND_IN, "d_H = d_D * mask", "d_H = d_D", ENCODER),
]

CONSISTENT = [
    Fault(
        "penalty once a batch, whatever its fraction",
        "objective",
        "        penalty_terms: dict",
        "        fraction = 1.0\n        penalty_terms: dict",
        (),
    ),
    Fault(
        "tied weights penalized once",
        "objective",
        "penalties.get(block, 0.0) + float(penalty)",
        "float(penalty)",
        (),
        TIED,
    ),
    Fault(
        "lambda divided by the columns",
        "objective",
        "+ float(penalty)",
        "+ float(penalty) / network.n_columns",
        (),
    ),
    Fault(
        "ratings of 0 removed from the targets",
        "objective",
        "        penalty_terms: dict",
        "        targets = type(targets)(targets.toarray())\n        penalty_terms: dict",
        (),
    ),
    Fault(
        "dropout masks ignored",
        "objective",
        "        penalty_terms: dict",
        "        masks = None\n        penalty_terms: dict",
        (),
        DROPOUT,
    ),
    Fault(
        "relu in place of elu",
        "activations",
        '"elu": Activation(elu, elu_derivative,',
        '"elu": Activation(relu, relu_derivative,',
        (),
        Setting(activation="elu"),
    ),
]


@dataclass
class Problem:
    """An objective at a point, with the arguments of a call."""

    fun: Callable[..., Any]
    value: Callable[..., Any] | None  # for a gradient that refuses a complex theta
    theta: Any
    layout: Any
    arguments: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)  # what the reference needs besides

    def reference(self) -> float:
        """Return the value as the loops of tests/reference.py have it."""
        blocks = {name: view.copy() for name, view in self.layout.views(self.theta).items()}
        return reference.objective(blocks, **self.arguments, **self.options)[0]

    def adds_up(self) -> bool:
        """Say whether the values of single rows add up to that of all rows."""
        targets, masks = self.arguments["targets"], self.arguments["masks"]
        fraction = self.arguments["fraction"] / targets.shape[0]
        total = 0.0
        for row in range(targets.shape[0]):
            part = targets[[row]]
            few = None if masks is None else [mask[[row]] for mask in masks]
            total += self.fun(self.theta, part, part, fraction, few)[0]
        return bool(np.isclose(total, self.fun(self.theta)[0], rtol=1e-12))


def ratings() -> Any:
    """9 x 7 ratings, an empty row, an empty column, a row of one rating, stored zeros."""
    rng = np.random.default_rng(1)
    rated = rng.random((9, 7)) < 0.5
    rated[3], rated[:, 2], rated[5] = False, False, np.arange(7) == 4
    rated[8] |= np.arange(7) == 0
    matrix = sparse.csr_array(rated.astype(np.float64))
    matrix.data = rng.integers(0, 6, matrix.nnz).astype(np.float64)
    return matrix


def patched(fault: Fault) -> str:
    """Return the source of the fault's room with the fault in it; the patch must apply once."""
    folder = Path(__file__).parent if fault.room == STAND_IN else PACKAGE
    source = (folder / f"{fault.room}.py").read_text()
    if source.count(fault.old) != 1:
        raise ValueError(
            f"the patch {fault.what!r} must apply once to {fault.room}.py, found "
            f"{source.count(fault.old)} times: {fault.old!r}"
        )
    return source.replace(fault.old, fault.new)


def load_core(sources: dict[str, str]) -> SimpleNamespace:
    """Load a copy of the core, with some of its sources replaced."""
    copies = {}
    with mock.patch.dict(sys.modules):
        for room in CORE:
            module = sys.modules[f"autorec_np.{room}"] = ModuleType(f"autorec_np.{room}")
            source = sources.get(room) or (PACKAGE / f"{room}.py").read_text()
            exec(compile(source, f"{room}.py", "exec"), module.__dict__)
            copies[room] = module
    return SimpleNamespace(**copies)


def plant(fault: Fault | None, setting: Setting = ONE) -> Problem:
    """Return the objective with the fault, or without one."""
    if fault is not None and fault.room == STAND_IN:
        return plant_stand_in(fault)
    core = load_core({} if fault is None else {fault.room: patched(fault)})
    setting = setting if fault is None else fault.setting
    targets = ratings()
    n_rows, n_columns = targets.shape
    network = core.network.Network(
        n_columns, setting.sizes, setting.activation, setting.output, setting.tied
    )
    weights = [
        name for name in (*network.layout.shapes, *network.layout.aliases) if "weight" in name
    ]
    penalties = {name: 0.7 + 0.4 * i for i, name in enumerate(weights)}
    objective = core.objective.Objective(network, penalties)
    rng = np.random.default_rng(0)
    masks = None
    if setting.dropout:
        masks = [np.where(rng.random((n_rows, k)) < 0.4, 0.0, 1 / 0.6) for k in setting.sizes]
    arguments = {"inputs": targets, "targets": targets, "fraction": 0.4, "masks": masks}
    options = {"activation": setting.activation, "output_activation": setting.output}

    def fun(theta: Any, *changed: Any) -> tuple[Any, Any]:
        return objective.value_and_gradient(theta, *(changed or arguments.values()))

    return Problem(
        fun,
        partial(objective.value, **arguments),
        rng.normal(0.0, 0.5, network.layout.size),
        network.layout,
        arguments,
        {**options, "penalties": penalties},
    )


def plant_stand_in(fault: Fault | None) -> Problem:
    """Return the dense autoencoder with the fault, or without one."""
    module = ModuleType(STAND_IN)
    source = (Path(__file__).parent / f"{STAND_IN}.py").read_text()
    exec(compile(source if fault is None else patched(fault), STAND_IN, "exec"), module.__dict__)
    rng = np.random.default_rng(2)
    shapes = {
        "encoder.weight": (5, 3),
        "encoder.bias": (3,),
        "decoder.weight": (5, 3),
        "decoder.bias": (5,),
    }
    layout = ParameterLayout(shapes)
    X, mask = rng.normal(size=(8, 5)), np.where(rng.random((8, 3)) < 0.4, 0.0, 1 / 0.6)
    return Problem(
        lambda theta: module.value_and_gradient(theta, layout, X, mask),
        None,
        rng.normal(0.0, 0.5, layout.size),
        layout,
    )


@cache
def named_blocks(fault: Fault) -> tuple[str, ...]:
    """Return the blocks that the check blames."""
    problem = plant(fault)
    value = problem.value if fault.method == "complex" else None
    report = check_gradient(
        problem.fun,
        problem.theta,
        problem.layout,
        method=fault.method,
        value=value,
        n_directions=2,
        n_coordinates=4,
    )
    return tuple(name for name, block in report.blocks.items() if block.verdict != "pass")


def scipy_check_grad(problem: Problem) -> float:
    """Return the norm that `scipy.optimize.check_grad` gives."""
    return float(
        optimize.check_grad(
            lambda theta: problem.fun(theta)[0], lambda theta: problem.fun(theta)[1], problem.theta
        )
    )


def global_direction(problem: Problem, step: float = 1e-6) -> float:
    """Return the relative error along one random direction through all of theta."""
    direction = np.random.default_rng(0).normal(size=problem.theta.size)
    direction /= np.linalg.norm(direction)
    analytic = float(problem.fun(problem.theta)[1] @ direction)
    up, down = (problem.fun(problem.theta + sign * step * direction)[0] for sign in (1, -1))
    numeric = (up - down) / (2 * step)
    return abs(numeric - analytic) / max(abs(numeric), abs(analytic))


HEADER = (
    "| fault | planted in | blocks named | `check_grad` | seen | global direction | seen |",
    "|---|---|---|---|---|---|---|",
)


def row(fault: Fault) -> str:
    """Return what this check and two habits say of a fault, as a row of a Markdown table."""
    problem = plant(fault)
    named = named_blocks(fault)
    blamed = "all" if len(named) == len(problem.layout.slices) else ", ".join(named) or "**none**"
    errors = scipy_check_grad(problem), global_direction(problem)
    said = " | ".join(f"{error:.0e} | {'yes' if error > USUAL else '**no**'}" for error in errors)
    return f"| {fault.what} | {fault.side} | {blamed} | {said} |"


def consistent_row(fault: Fault) -> str:
    """Return the row of a fault in value and gradient, with the tests that catch it."""
    problem = plant(fault)
    catches = {
        "value against loops": not np.isclose(problem.fun(problem.theta)[0], problem.reference()),
        "sum over rows": not problem.adds_up(),
    }
    caught = ", ".join(test for test, sees in catches.items() if sees)
    named = ", ".join(named_blocks(fault)) or "none"
    return f"| {fault.what} | both | {named}: caught by {caught} | | | | |"


if __name__ == "__main__":
    print(*HEADER, *map(row, FAULTS), *map(consistent_row, CONSISTENT), sep="\n")
