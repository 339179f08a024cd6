"""Write the network of a fitted `AutoRec` as an ONNX file (extra "onnx"), to be run elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autorec_np._files import replacing
from autorec_np._types import Array
from autorec_np._version import __version__
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import check_fitted
from autorec_np.models.biases import FittedBiases, FittedMean
from autorec_np.models.scoring import RATED, Baseline, Fitted

IR_VERSION, OPSET = 8, 17  # of 2022: read by every runtime since
OPERATORS = {
    name.lower(): name for name in ("Identity", "Sigmoid", "Tanh", "Relu", "Elu", "Softplus")
}


def export_onnx(model: AutoRec, path: str | os.PathLike[str]) -> None:
    """Write the network from input ratings to scores, in float32; the file whole or not at all.

    Its inputs, for any number of rows at once:

    ``ratings``, (n_rows, n_columns)
        NaN where there is no rating, or 0 where the rating scale does not hold 0: of users over
        ``ratings_.item_ids`` (orientation "user"), or of items over ``ratings_.user_ids``.
    ``row_bias``, (n_rows, 1)
        Only where ``baseline_`` is a `BiasBaseline`, or the network reads planes, which the graph
        makes itself: from ``cold_baseline_.biases_``; for a new row by (19) of docs/derivation.md,
        or 0.

    Its output ``scores``, (n_rows, n_columns), is in rating units as `recommend` ranks them: not
    clipped, rated columns not left out, and nothing special for cold pairs.

    Parameters
    ----------
    model : AutoRec
        Fitted.
    path : str or path-like
        The file; ``.onnx`` is customary.

    Raises
    ------
    ImportError
        onnx is not installed.
    NotFittedError, TypeError
        The model is not fitted, or no AutoRec.
    OSError
        The file cannot be written.
    """
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise ImportError(
            "export_onnx needs onnx, which is not installed: pip install 'autorec_np[onnx]'."
        ) from error
    if not isinstance(model, AutoRec):
        raise TypeError(f"export_onnx can export an AutoRec, got {type(model).__name__}.")
    fitted = check_fitted(model)
    network = fitted.network
    nodes, value = _input_nodes(fitted, helper.make_node), "inputs"
    input_factor, input_offset = fitted.input_map
    factor, offset = fitted.output_map
    constants = {
        **{name: x for name, x in fitted.weights.items() if name not in network.layout.aliases},
        "zero": np.array(0.0),
        "input_factor": np.array(input_factor),
        "factor": np.array(factor),
        "column": _column_scores(fitted, fitted.baseline) - offset / factor,
    }
    inputs = {"ratings": network.n_columns}
    if fitted.inputs == "planes":
        inputs["row_bias"] = 1
        constants["column_bias"] = _column_scores(fitted, fitted.cold_baseline)
        constants["rated"] = np.array(RATED)
    else:
        constants["rating_of_input_0"] = np.array(-input_offset / input_factor)

    def append(operator: str, *further: str, **attributes: Any) -> None:
        nonlocal value
        result = f"value{len(nodes)}"
        nodes.append(helper.make_node(operator, [value, *further], [result], **attributes))
        value = result

    for depth in range(len(network.hidden_layer_sizes)):
        name = f"hidden{depth}" if depth else "encoder"
        append("Gemm", f"{name}.weight", f"{name}.bias")
        append(OPERATORS[network.activation])
    decoder = network.layout.aliases.get("decoder.weight", "decoder.weight")
    append("Gemm", decoder, "decoder.bias", transB=1)
    append(OPERATORS[network.output_activation])
    append("Div", "factor")
    append("Add", "column")
    if isinstance(fitted.baseline, FittedBiases):
        inputs["row_bias"] = 1
        append("Add", "row_bias")
    nodes.append(helper.make_node("Identity", [value], ["scores"]))

    def declared(name: str, width: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n_rows", width])

    graph = helper.make_graph(
        nodes,
        "autorec",
        [declared(name, width) for name, width in inputs.items()],
        [declared("scores", network.n_columns)],
        [
            numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name)
            for name, array in constants.items()
        ],
    )
    exported = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="autorec_np",
        producer_version=__version__,
        doc_string=f"AutoRec, one row for each {fitted.axes.row}; see export_onnx.",
    )
    with replacing(Path(os.path.realpath(path))) as file:
        file.write(exported.SerializeToString())


def _input_nodes(fitted: Fitted, make_node: Callable[..., Any]) -> list[Any]:
    nodes, unrated = [make_node("IsNaN", ["ratings"], ["missing"])], "missing"
    low, high = fitted.ratings.scale
    if not low <= 0 <= high:
        unrated = "missing_or_0"
        nodes += [
            make_node("Equal", ["ratings", "zero"], ["is_0"]),
            make_node("Or", ["missing", "is_0"], [unrated]),
        ]
    if fitted.inputs == "planes":
        return [
            *nodes,
            make_node("Sub", ["ratings", "column_bias"], ["less_column"]),
            make_node("Sub", ["less_column", "row_bias"], ["difference"]),
            make_node("Mul", ["difference", "input_factor"], ["mapped"]),
            make_node("Where", [unrated, "zero", "rated"], ["first"]),
            make_node("Where", [unrated, "zero", "mapped"], ["second"]),
            make_node("Concat", ["first", "second"], ["inputs"], axis=1),
        ]
    return [
        *nodes,
        make_node("Sub", ["ratings", "rating_of_input_0"], ["difference"]),
        make_node("Mul", ["difference", "input_factor"], ["mapped"]),
        make_node("Where", [unrated, "zero", "mapped"], ["inputs"]),
    ]


def _column_scores(fitted: Fitted, baseline: Baseline | None) -> Array:
    columns = np.zeros(fitted.network.n_columns)
    if isinstance(baseline, FittedMean):
        columns += baseline.mean
    elif isinstance(baseline, FittedBiases):
        mean, *sides = baseline.biases
        columns += mean + fitted.axes.rows_and_columns(*sides)[1]
    return columns
