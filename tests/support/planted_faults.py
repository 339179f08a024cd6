"""Faults that people make in a backward pass, each a one-line patch to a copy of the real source.

``plant(fault)`` is the objective with the fault. A fault stands either in the gradient or in the
value. A fault that is in both is the right gradient of another function, which no gradient check
can see: those are in CONSISTENT, for the tests of the value.

``python tests/support/planted_faults.py`` prints the table of docs/gradient_checking.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import reference
from scipy import optimize, sparse
from small_tiles import SMALL

from autorec_np.core.parameters import ParameterLayout
from autorec_np.gradcheck import check_gradient

PACKAGE = Path(__file__).parents[2] / "autorec_np"
ENGINES = ("plain", "tiled")
CORE = ("activations", "kernels", "parameters", "network", "objective")
CORE += ("hessian", "implicit", "planes", "all_cells")
ENGINE = ("threads", "rows", "tiled", "engines")
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
    n_implicit: int = 0
    n_planes: int = 0
    n_features: int = 0
    all_cells: bool = False


ONE = Setting()
CURVED = Setting(output="sigmoid")
DEEP = Setting((3, 3), "tanh")
DROPOUT = Setting((3, 3), "tanh", dropout=True)
TIED = Setting((3, 3), tied=True)
IMPLICIT = Setting((3, 3), "tanh", n_implicit=2)
PLANES = Setting(n_planes=2)
BOTH = Setting((3, 3), "tanh", n_implicit=2, n_planes=2)
FEATURES = Setting(n_planes=1, n_features=2)
ALL_CELLS = Setting(all_cells=True)
ALL_CELLS_DEEP = Setting((3, 3), "tanh", dropout=True, n_implicit=2, n_planes=2, all_cells=True)
ALL_CELLS_TIED = Setting((3, 3), tied=True, all_cells=True)
W0, T0 = 0.3, np.array([0.5, -1.0, 0.0, 0.25, 2.0, 1.0, -0.5])  # of ALL_CELLS: T0 by column

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
    engines: tuple[str, ...] = ENGINES  # through which it shows


PLAIN, TILED_ONLY = ("plain",), ("tiled",)
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
        "sum_of_squares(residuals))\n",
        "sum_of_squares(residuals) / targets.nnz)\n",
        ALL,
        side="value",
    ),
    Fault(
        "half the squared error",
        "objective",
        "return in_float64(wide * wide)",
        "return in_float64(wide * wide) / 2",
        ALL,
        side="value",
    ),
    # the observed set
    Fault(
        "loss over all cells, not over the rated ones",
        "objective",
        "sum_of_squares(residuals))\n",
        "np.sum((self.network.decode(theta, passed.dropped[-1], type(targets)(np.ones("
        "targets.shape))) - targets.toarray().ravel()) ** 2))\n",
        ALL,
        side="value",
        engines=PLAIN,
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
        "sum_of_squares(residuals))\n",
        "sum_of_squares(residuals * (targets.data != 0)))\n",
        ALL,
        side="value",
    ),
    Fault(
        "the sum over an empty row is its neighbor (reduceat)",
        "kernels",
        "return np.asarray(_cast(matrix, dense) @ dense)",
        "return np.add.reduceat("
        "matrix.data[:, None] * dense[matrix.indices], matrix.indptr[:-1], axis=0)",
        ("encoder.bias",),
        engines=PLAIN,
    ),
    Fault(
        "the last row forgotten in a bias",
        "kernels",
        "matrix.sum(axis=0",
        "matrix[:-2].sum(axis=0",
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
        "column_sums(signal)",
        "np.roll(column_sums(signal), layer == 'decoder')",
        ("decoder.bias",),
        engines=PLAIN,
    ),
    # the penalty
    Fault(
        "penalty forgotten in the gradient",
        "objective",
        "gradient[where] += theta.dtype.type(fraction * penalty) * theta[where]",
        "pass",
        WEIGHTS,
        engines=PLAIN,
    ),
    Fault(
        "lambda without its half",
        "objective",
        "penalty / 2 * in_float64",
        "penalty * in_float64",
        WEIGHTS,
        side="value",
        engines=PLAIN,
    ),
    Fault(
        "lambda with a half in the gradient",
        "objective",
        "(fraction * penalty) * theta",
        "(fraction * penalty / 2) * theta",
        WEIGHTS,
        engines=PLAIN,
    ),
    Fault(
        "norm instead of squared norm",
        "objective",
        "in_float64(squared_lengths(views[block]))",
        "in_float64(squared_lengths(views[block])) ** 0.5",
        WEIGHTS,
        side="value",
        engines=PLAIN,
    ),
    Fault(
        "fraction forgotten, gradient",
        "objective",
        "(fraction * penalty) * theta",
        "(penalty) * theta",
        WEIGHTS,
        engines=PLAIN,
    ),
    Fault(
        "fraction forgotten, value",
        "objective",
        "return fraction * sum(",
        "return sum(",
        WEIGHTS,
        side="value",
        engines=PLAIN,
    ),
    Fault(
        "penalty divided by the batch",
        "objective",
        "(fraction * penalty) * theta",
        "(fraction * penalty / targets.shape[0]) * theta",
        WEIGHTS,
        engines=PLAIN,
    ),
    Fault(
        "one lambda for all blocks",
        "objective",
        "(fraction * penalty) * theta",
        "(fraction * max(self.penalties.values())) * theta",
        ("encoder.weight",),
        engines=PLAIN,
    ),
    Fault(
        "biases penalized in the gradient alone",
        "objective",
        "gradient = self.network.gradient(inputs, passed, signals)\n",
        "gradient = self.network.gradient(inputs, passed, signals)\n"
        "        for name, where in self.network.layout.slices.items():\n"
        "            gradient[where] += 0.01 * theta[where] if name.endswith('bias') else 0.0\n",
        BIASES,
        engines=PLAIN,
    ),
    # the output layer
    Fault(
        "slope of the output forgotten",
        "network",
        "d_outputs * f.derivative(passed.outputs)",
        "d_outputs",
        ALL,
        CURVED,
    ),
    Fault(
        "slope of the output taken at the residual",
        "network",
        "f.derivative(passed.outputs)",
        "f.derivative(d_outputs)",
        ALL,
        CURVED,
    ),
    Fault(
        "output bias before the slope of the output",
        "network",
        "passed.dropped[-1], d_activity)",
        "passed.dropped[-1], with_data(d_activity, d_activity.data / "
        "ACTIVATIONS[self.output_activation].derivative(passed.outputs)))",
        ("decoder.bias",),
        CURVED,
    ),
    Fault(
        "output bias forgotten, gradient",
        "network",
        "passed.dropped[-1], d_activity)",
        "passed.dropped[-1], with_data(d_activity, 0 * d_activity.data))",
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
        "gradient[where] += theta.dtype.type",
        "gradient[where] = theta.dtype.type",
        WEIGHTS,
        engines=PLAIN,
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
        '"encoder", inputs, d_z[0], d_z[0])',
        '"encoder", inputs, -d_z[0], d_z[0])',
        ("encoder.weight",),
    ),
    # hidden layers
    Fault(
        "hidden bias forgotten, gradient",
        "network",
        '"encoder", inputs, d_z[0], d_z[0])',
        '"encoder", inputs, d_z[0], 0 * d_z[0])',
        ("encoder.bias",),
    ),
    Fault(
        "hidden bias forgotten, value",
        "network",
        'g(z + views[f"{layer}.bias"])',
        "g(z)",
        ("encoder.bias",),
        side="value",
    ),
    Fault(
        "inner bias forgotten, value",
        "network",
        'g(z + views[f"{layer}.bias"])',
        'g(z if depth else z + views[f"{layer}.bias"])',
        ("hidden1.bias",),
        DEEP,
        side="value",
    ),
    Fault(
        "bias before the slope of its layer",
        "network",
        '"encoder", inputs, d_z[0], d_z[0])',
        '"encoder", inputs, d_z[0], '
        "d_z[0] / ACTIVATIONS[self.activation].derivative(passed.hidden[0]))",
        ("encoder.bias",),
    ),
    Fault(
        "mean over rows instead of sum",
        "kernels",
        "matrix.sum(axis=0",
        "matrix.mean(axis=0",
        ("encoder.bias", "hidden1.bias"),
        DEEP,
    ),
    Fault(
        "weight not transposed going back",
        "network",
        'd_z[0] @ views[f"{layer}.weight"].T',
        'd_z[0] @ views[f"{layer}.weight"]',
        ENCODER,
        DEEP,
    ),
    Fault(
        "gradient of a weight transposed",
        "network",
        "passed.dropped[depth - 1], d_z[depth], d_z[depth])",
        "d_z[depth], passed.dropped[depth - 1], d_z[depth])",
        ("hidden1.weight",),
        DEEP,
    ),
    Fault(
        "slope of the wrong layer",
        "network",
        "g.derivative(passed.hidden[depth])",
        "g.derivative(passed.hidden[-1])",
        ENCODER,
        DEEP,
    ),
    Fault(
        "slope of the hidden layer forgotten",
        "network",
        "d_hidden * g.derivative(passed.hidden[depth])",
        "d_hidden",
        ENCODER,
    ),
    Fault(
        "slope of the output's activation in a hidden layer",
        "network",
        "f, g = ACTIVATIONS[self.output_activation], ACTIVATIONS[self.activation]",
        "f = g = ACTIVATIONS[self.output_activation]",
        (*ENCODER, *INNER),
        DEEP,
    ),
    Fault(
        "one layer's activation swapped",
        "network",
        "hidden.append(g(z",
        "hidden.append((g if depth else ACTIVATIONS['sigmoid'].forward)(z",
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
        "d_dropped * masks[depth]",
        "d_dropped",
        (*ENCODER, *INNER),
        DROPOUT,
    ),
    Fault(
        "dropout mask of another layer",
        "network",
        "d_dropped * masks[depth]",
        "d_dropped * masks[0]",
        (*ENCODER, *INNER),
        DROPOUT,
    ),
    Fault(
        "dropout mask without its 1 / (1 - p)",
        "network",
        "d_dropped * masks[depth]",
        "d_dropped * (masks[depth] > 0)",
        (*ENCODER, *INNER),
        DROPOUT,
    ),
    Fault(
        "decoder reads the layer before dropout",
        "network",
        '"decoder", d_activity, passed.dropped[-1]',
        '"decoder", d_activity, passed.hidden[-1]',
        ("decoder.weight",),
        DROPOUT,
    ),
    Fault(
        "inner weight reads the layer before dropout",
        "network",
        "passed.dropped[depth - 1], d_z",
        "passed.hidden[depth - 1], d_z",
        ("hidden1.weight",),
        DROPOUT,
    ),
    Fault(
        "tanh' taken after dropout (published)",
        "network",
        "g.derivative(passed.hidden[depth])",
        "g.derivative(passed.dropped[depth])",
        (*ENCODER, *INNER),
        DROPOUT,
    ),
    # tied weights
    Fault(
        "tied gradients not summed: the encoder's is lost",
        "network",
        '"encoder", inputs, d_z[0], d_z[0])',
        '"encoder", inputs, 0 * d_z[0], d_z[0])',
        ("encoder.weight",),
        TIED,
    ),
    Fault(
        "tied gradients not summed: the decoder's is lost",
        "network",
        '"decoder", d_activity, passed.dropped[-1]',
        '"decoder", d_activity, 0 * passed.dropped[-1]',
        ("encoder.weight",),
        TIED,
    ),
    # precision
    Fault(
        "a bias summed in float32",
        "kernels",
        "dtype=np.result_type(matrix, np.float64)",
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
        "        passed, signals, squared_error = ",
        "        fraction = 1.0\n        passed, signals, squared_error = ",
        (),
    ),
    Fault(
        "tied weights penalized once",
        "objective",
        "self.penalties.get(block, 0.0) + float(penalty)",
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
        "        passed, signals, squared_error = ",
        "        targets = type(targets)(targets.toarray())\n"
        "        passed, signals, squared_error = ",
        (),
    ),
    Fault(
        "dropout masks ignored",
        "objective",
        "        passed, signals, squared_error = ",
        "        masks = None\n        passed, signals, squared_error = ",
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


# The penalty of a step that streams, which the engine adds panel by panel
STREAMED = [
    Fault(
        "penalty forgotten in the streamed gradient",
        "engines",
        "part += theta.dtype.type",
        "weight = theta.dtype.type",
        WEIGHTS,
    ),
    Fault(
        "fraction forgotten in the streamed gradient",
        "engines",
        "type(fraction * penalties[block])",
        "type(penalties[block])",
        WEIGHTS,
    ),
    Fault(
        "lambda without its half in the streamed value",
        "engines",
        "penalty / 2 * in_float64",
        "penalty * in_float64",
        WEIGHTS,
        side="value",
    ),
    Fault(
        "a panel's penalty taken from the first panel",
        "engines",
        "penalties[block]) * weight",
        "penalties[block]) * weights[block][: len(part)]",
        WEIGHTS,
    ),
    Fault(
        "a streamed bias is not the sum of its signal",
        "engines",
        "column_sums(signal)",
        "0 * column_sums(signal)",
        BIASES,
    ),
    Fault(
        "tied weights streamed without one of the two products",
        "engines",
        "        total += other",
        "        pass",
        ("encoder.weight",),
        TIED,
    ),
]


# of the implicit decoder and the planes: the derivative goes back through (35) and (38)
D_Y = ("implicit.weight",)
LATER = [
    Fault(
        "D_Y forgotten",
        "implicit",
        "return self.expand_transpose(super().gradient(inputs, passed, signals))",
        "return super().gradient(inputs, passed, signals)",
        D_Y,
        IMPLICIT,
        engines=PLAIN,
    ),
    Fault(
        "n^(-1/2) forgotten on the way back",
        "implicit",
        "+= spmm(self.rated, d_views",
        "+= spmm(with_data(self.rated, np.ones(self.rated.nnz)), d_views",
        D_Y,
        IMPLICIT,
        engines=PLAIN,
    ),
    Fault(
        "n^(-1/2) forgotten on the way there",
        "implicit",
        "+= spmm_transpose(self.rated, views",
        "+= spmm_transpose(with_data(self.rated, np.ones(self.rated.nnz)), views",
        D_Y,
        IMPLICIT,
        side="value",
        engines=PLAIN,
    ),
    Fault(
        "D_Y of the last units instead of the first",
        "implicit",
        'd_views["decoder.weight"][:, : self.n_implicit]',
        'd_views["decoder.weight"][:, -self.n_implicit :]',
        D_Y,
        IMPLICIT,
        engines=PLAIN,
    ),
    Fault(
        "signals with W instead of W~",
        "implicit",
        "super().backward(self.expand(theta), pattern",
        "super().backward(theta, pattern",
        (*ENCODER, *INNER),
        IMPLICIT,
        engines=PLAIN,
    ),
    Fault(
        "penalty on W~ instead of W, gradient",
        "objective",
        "(fraction * penalty) * theta[where]",
        "(fraction * penalty) * getattr(self.network, 'expand', np.copy)(theta)[where]",
        ("decoder.weight",),
        IMPLICIT,
        engines=PLAIN,
    ),
    Fault(
        "no penalty on Y",
        "objective",
        "in self.penalties.items():  # of lambda",
        "in [*self.penalties.items()][: -1]:  # of lambda",
        D_Y,
        IMPLICIT,
        engines=PLAIN,
    ),
    Fault(
        "the derivative of one plane for both",
        "planes",
        "for block in matrix.blocks])  # (39)",
        "for block in matrix.blocks[:1] * 2])  # (39)",
        ("encoder.weight",),
        PLANES,
        engines=PLAIN,
    ),
    Fault(
        "planes in the other order on the way back",
        "planes",
        "for block in matrix.blocks])  # (39)",
        "for block in matrix.blocks[::-1]])  # (39)",
        ("encoder.weight",),
        BOTH,
        engines=PLAIN,
    ),
    Fault(
        "only the first plane read",
        "planes",
        "        total += other",
        "        pass",
        ("encoder.weight",),
        PLANES,
        side="value",
    ),
    Fault(
        "W~ left in the memory of W",
        "tiled",
        "self.decoder[rows] = self.before[rows]",
        "pass",
        D_Y,
        IMPLICIT,
        side="value",
        engines=TILED_ONLY,
    ),
    Fault(
        "streamed D_Y of the last batch's units",
        "tiled",
        "d_weight[:, : self.network.n_implicit]",
        "d_weight[:, -self.network.n_implicit :]",
        D_Y,
        IMPLICIT,
        engines=TILED_ONLY,
    ),
    Fault(
        "no penalty on Y, streamed",
        "tiled",
        "part += part.dtype.type(penalty)",
        "part += 0 * part.dtype.type(penalty)",
        D_Y,
        IMPLICIT,
        engines=TILED_ONLY,
    ),
    Fault(
        "streamed D_Y without the corner",
        "tiled",
        "product[:n_rows] += inside.T @ dense[tile]",
        "pass",
        D_Y,
        BOTH,
        engines=TILED_ONLY,
    ),
    Fault(
        "N Y without the corner",
        "tiled",
        "product += _scaled(cells, parts.scale[tile]) @ dense[: cells.shape[1]]",
        "pass",
        D_Y,
        BOTH,
        side="value",
        engines=TILED_ONLY,
    ),
    Fault(
        "a plane's panels given to the other",
        "engines",
        "for block in left.blocks:",
        "for block in left.blocks[::-1]:",
        ("encoder.weight",),
        BOTH,
        engines=TILED_ONLY,
    ),
    Fault(
        "no derivative by the weights of the features",
        "planes",
        "[spmm_transpose(block, dense) for block",
        "[spmm_transpose(block, dense * (block.shape[1] > 2)) for block",
        ("encoder.weight",),
        FEATURES,
        engines=PLAIN,
    ),
    Fault(
        "sign of the derivative by the weights of the features",
        "engines",
        "partial(spmm_transpose, dense, right)",
        "partial(spmm_transpose, dense, -right)",
        ("encoder.weight",),
        FEATURES,
        engines=TILED_ONLY,
    ),
]


# of the objective over all cells, which has weights, shifts and a column that does not count
CELLS = [
    Fault(
        "w0 missing from the observed part, gradient",
        "all_cells",
        " - above.dtype.type(self.weight) * above)",
        ")",
        ALL,
        ALL_CELLS,
    ),
    Fault(
        "w0 missing from the observed part, value",
        "all_cells",
        "observed - self.weight * above.astype(wide) ** 2",
        "observed",
        ALL,
        ALL_CELLS,
        side="value",
    ),
    Fault(
        "the 2 of the square dropped for all cells",
        "all_cells",
        "left.dtype.type(2 * self.weight)",
        "left.dtype.type(self.weight)",
        ALL,
        ALL_CELLS,
    ),
    Fault(
        "the weight c forgotten in the gradient",
        "all_cells",
        "2 * (cells.weights * residuals - ",
        "2 * (residuals - ",
        ALL,
        ALL_CELLS,
    ),
    Fault(
        "the weight c squared with the residual",
        "all_cells",
        "cells.weights * residuals.astype(wide) ** 2",
        "(cells.weights * residuals.astype(wide)) ** 2",
        ALL,
        ALL_CELLS,
        side="value",
    ),
    Fault(
        "t0 forgotten at the observed cells",
        "all_cells",
        "observed = in_float64(observed - self.weight * above.astype(wide) ** 2)",
        "observed = in_float64("
        "observed - self.weight * (residuals + cells.targets).astype(wide) ** 2)",
        ALL,
        ALL_CELLS,
        side="value",
    ),
    Fault(
        "shifts left out where they are observed",
        "all_cells",
        "d_outputs = 2 * (cells.weights * residuals - above.dtype.type(self.weight) * above)",
        "above -= np.repeat(cells.shifts[:, 0], np.diff(cells.pattern.indptr))\n"
        "        d_outputs = 2 * ("
        "cells.weights * residuals - above.dtype.type(self.weight) * above)",
        ALL,
        ALL_CELLS,
        engines=PLAIN,
    ),
    Fault(
        "D_H without the low-rank part",
        "all_cells",
        "return np.asarray(spmm(matrix.pattern, dense) + matrix.left @ (matrix.right.T @ dense))",
        "return spmm(matrix.pattern, dense)",
        (*ENCODER, *INNER),
        ALL_CELLS_DEEP,
    ),
    Fault(
        "D_W without the low-rank part",
        "all_cells",
        "spmm_transpose(matrix.pattern, dense) + matrix.right @ (matrix.left.T @ dense)",
        "spmm_transpose(matrix.pattern, dense)",
        ("decoder.weight", "implicit.weight"),
        ALL_CELLS_DEEP,
        engines=PLAIN,
    ),
    Fault(
        "D_W without the low-rank part, streamed",
        "engines",
        "total += thin[0] @ thin[1]",
        "pass",
        ("decoder.weight", "implicit.weight"),
        ALL_CELLS_DEEP,
        engines=TILED_ONLY,
    ),
    Fault(
        "the tied weight without the decoder's low-rank part, streamed",
        "engines",
        "total += thin[0] @ thin[1]",
        "pass",
        ("encoder.weight",),
        ALL_CELLS_TIED,
        engines=TILED_ONLY,
    ),
    Fault(
        "output bias without the low-rank part",
        "all_cells",
        "column_sums(matrix.pattern) + matrix.right @ column_sums(matrix.left)",
        "column_sums(matrix.pattern)",
        ("decoder.bias",),
        ALL_CELLS,
    ),
    Fault(
        "Gram matrix of H without the column of ones",
        "all_cells",
        "in_float64((gram(left) * gram(right)).reshape(-1))",
        "in_float64(np.delete(np.delete(gram(left) * gram(right), -2, 0), -2, 1).reshape(-1))",
        ALL,
        ALL_CELLS,
        side="value",
    ),
    Fault(
        "Gram matrices multiplied as matrices",
        "all_cells",
        "in_float64((gram(left) * gram(right)).reshape(-1))",
        "in_float64((gram(left) @ gram(right)).reshape(-1))",
        ALL,
        ALL_CELLS,
        side="value",
    ),
    Fault(
        "columns that do not count counted, gradient",
        "all_cells",
        "        value, d_outputs, (left, right) = self.errors(theta, cells, passed)\n",
        "        value, d_outputs, (left, right) = self.errors(theta, cells, passed)\n"
        "        self.counted, counted = None, self.counted\n"
        "        right = self.factors(theta, passed.dropped[-1], cells.shifts)[1]\n"
        "        self.counted = counted\n",
        ALL,
        ALL_CELLS,
    ),
]
LATER += CELLS
IN_TABLE = [*FAULTS, *(fault for fault in CELLS if "plain" in fault.engines)]


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
        """Return the value as the loops of tests/support/reference.py have it."""
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


def source_of(room: str) -> Path:
    """Return the file of a room of `core` or `engine`, or of the stand-in."""
    if room == STAND_IN:
        return Path(__file__).parent / f"{room}.py"
    return PACKAGE / ("core" if room in CORE else "engine") / f"{room}.py"


def patched(fault: Fault) -> str:
    """Return the source of the fault's room with the fault in it; the patch must apply once."""
    source = source_of(fault.room).read_text()
    if source.count(fault.old) != 1:
        raise ValueError(
            f"the patch {fault.what!r} must apply once to {fault.room}.py, found "
            f"{source.count(fault.old)} times: {fault.old!r}"
        )
    return source.replace(fault.old, fault.new)


def load_copies(sources: dict[str, str]) -> SimpleNamespace:
    """Load a copy of the lesson and of the engine, with some of the sources replaced."""
    copies = {}
    with mock.patch.dict(sys.modules):
        for room in (*CORE, *ENGINE):
            name = f"autorec_np.{'core' if room in CORE else 'engine'}.{room}"
            module = sys.modules[name] = ModuleType(name)
            source = sources.get(room) or source_of(room).read_text()
            exec(compile(source, f"{room}.py", "exec"), module.__dict__)
            copies[room] = module
    for constant, value in SMALL.items():
        setattr(copies["tiled"], constant, value)
    return SimpleNamespace(**copies)


def plant(fault: Fault | None, setting: Setting = ONE, engine: str = "plain") -> Problem:
    """Return the objective with the fault, or without one, as an engine evaluates it."""
    if fault is not None and fault.room == STAND_IN:
        return plant_stand_in(fault)
    copies = load_copies({} if fault is None else {fault.room: patched(fault)})
    setting = setting if fault is None else fault.setting
    inputs = targets = matrix = ratings()
    n_rows, n_columns = targets.shape
    if setting.n_planes:
        planes = np.random.default_rng(3).normal(size=(setting.n_planes, targets.nnz))
        features = np.random.default_rng(4).normal(size=(n_rows, setting.n_features))
        inputs = copies.planes.Planes(targets, planes, features if setting.n_features else None)
    kind, extra = copies.network.Network, {}
    if setting.n_implicit:
        kind = copies.implicit.ImplicitNetwork
        extra = {"rated": copies.implicit.scaled_pattern(targets), "n_implicit": setting.n_implicit}
    network = kind(
        n_columns,
        setting.sizes,
        setting.activation,
        setting.output,
        setting.tied,
        inputs.shape[1],
        **extra,
    )
    weights = [
        name for name in (*network.layout.shapes, *network.layout.aliases) if "weight" in name
    ]
    penalties = {name: 0.7 + 0.4 * i for i, name in enumerate(weights)}
    objective = copies.objective.Objective(network, penalties)
    if setting.all_cells:
        c, s = np.random.default_rng(5).integers(1, 5, targets.nnz) / 2.0, np.arange(9.0) / 9
        pair, counted = np.array([targets.data, c]), np.arange(n_columns) != 2
        objective = copies.all_cells.AllCells(network, penalties, W0, T0, counted)
        targets = copies.planes.Planes(targets, pair, s[:, np.newaxis])
    rng = np.random.default_rng(0)
    masks = None
    if setting.dropout:
        masks = [np.where(rng.random((n_rows, k)) < 0.4, 0.0, 1 / 0.6) for k in setting.sizes]
    arguments = {"inputs": inputs, "targets": targets, "fraction": 0.4, "masks": masks}
    options = {"activation": setting.activation, "output_activation": setting.output}
    runs, rows = copies.engines.PlainEngine(), np.arange(n_rows)
    if engine == "tiled":
        runs, rows = copies.engines.TiledEngine(), copies.tiled.by_activity(matrix)[0]
    arrangement = runs.arrange(network, matrix, 1)
    in_order = None if masks is None else [mask[rows] for mask in masks]
    arranged = arrangement.objective(objective)
    batch = arrangement.batch(inputs, targets, rows, in_order)
    batch = batch._replace(fraction=arguments["fraction"])

    def fun(theta: Any, *changed: Any) -> tuple[Any, Any]:
        if changed:  # some of the rows
            return objective.value_and_gradient(theta, *changed)
        point, restored = arrangement.arranged(theta), np.empty_like(theta)
        value, gradient = runs.value_and_gradient(arranged, point, [batch])
        arrangement.restore(gradient, restored)
        return value, restored

    def value(theta: Any) -> Any:
        return arranged.value(arrangement.arranged(theta), *batch)

    return Problem(
        fun,
        value,
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
def named_blocks(fault: Fault, engine: str = "plain") -> tuple[str, ...]:
    """Return the blocks that the check blames."""
    problem = plant(fault, engine=engine)
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
    print(*HEADER, *map(row, IN_TABLE), *map(consistent_row, CONSISTENT), sep="\n")
