"""The files of a fitted model (format 2, docs/model_file.md), and its network as ONNX."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import scipy

from autorec_np import __version__
from autorec_np._files import replacing
from autorec_np._types import Array
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Recommender, check_fitted
from autorec_np.models.biases import FittedBiases, FittedMean
from autorec_np.models.ranking_autorec import FittedRanking
from autorec_np.models.scoring import RATED, Baseline, Fitted
from autorec_np.serving.archive import (
    AnyPath,
    Members,
    ModelFileError,
    check,
    listing,
    reading,
    saying,
    write_archive,
)
from autorec_np.serving.records import KINDS, Packing, State, pack_model, unpack_model
from autorec_np.training.units import AffineMap

AnyModel = TypeVar("AnyModel", bound=Recommender)

FORMAT = "autorec_np model"
FORMAT_VERSION = 2

_HEADER_1 = {  # of format 1
    "format": str,
    "format_version": int,
    "class": tuple(KINDS),
    "parameters": dict,
    "state": dict,
    "metadata": dict,
    "versions": dict,
}
_HEADER = {**_HEADER_1, "arrays": dict}


def save_model(
    model: Recommender,
    path: AnyPath,
    *,
    metadata: Mapping[str, Any] | None = None,
    include_ratings: bool = True,
) -> None:
    """Write a fitted model, whole or not at all, always the same bytes.

    Parameters
    ----------
    model : any model of this package
        Fitted. Callbacks and a checkpoint are left out, a Generator as `random_state` is None.
    path : str or path-like
        Is replaced; ``.npz`` is customary.
    metadata : mapping of str to JSON-able values, optional
        For `read_metadata`.
    include_ratings : bool
        False: the file says who rated what, not how; what needs ratings raises a ValueError.

    Raises
    ------
    NotFittedError
    TypeError
        Another class; parameters or metadata that JSON cannot hold.
    ValueError
        Parameters that are invalid now, or ``include_ratings=True`` without ratings.
    OSError
    """
    arrays: dict[str, Array] = {}
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **pack_model(model, Packing(arrays, include_ratings)),
        "arrays": listing(arrays),
        "metadata": dict(metadata or {}),
        "versions": {
            "autorec_np": __version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "python": platform.python_version(),
        },
    }
    try:
        text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"parameters and metadata must be what JSON can hold: lists, strings, finite numbers, "
            f"booleans, None, mappings of strings to them ({error})."
        ) from error
    with replacing(Path(os.path.realpath(path))) as file:
        write_archive(file, {"header": np.frombuffer(text, np.uint8), **arrays})


@overload
def load_model(
    path: AnyPath, expected: type[AnyModel], *, memory_map: bool = ..., verify: bool | None = ...
) -> AnyModel: ...
@overload
def load_model(
    path: AnyPath, expected: None = None, *, memory_map: bool = ..., verify: bool | None = ...
) -> Recommender: ...
def load_model(
    path: AnyPath,
    expected: type[AnyModel] | None = None,
    *,
    memory_map: bool = False,
    verify: bool | None = None,
) -> AnyModel | Recommender:
    """Load a model that `save_model` wrote; no code in it is run.

    Parameters
    ----------
    path : str or path-like
    expected : class, optional
        Of the model, `AutoRec` for example.
    memory_map : bool
        Read arrays as they are used: a large model opens at once, and processes share its memory.
        Replace such a file (`save_model`, ``os.replace``), never write into it: the model would
        change, or the process die (SIGBUS).
    verify : bool, optional
        Compare the hash of the file first. None: unless it is mapped.

    Returns
    -------
    the model
        It predicts as the saved one, to the bit (elsewhere to rounding). Its arrays are read-only.

    Raises
    ------
    ModelFileError
        A ValueError: damaged, no model, not the `expected` one, or of another format.
    OSError
    """
    with reading(path, memory_map, not memory_map if verify is None else verify) as members:
        header = _read_header(members)
        members.listed = header.get("arrays")
        model = unpack_model(header, members)
        members.check_all_read()
        if expected is not None and not isinstance(model, expected):
            raise ModelFileError(
                f"it holds a {type(model).__name__} where {expected.__name__} is expected"
            )
        return model


def read_metadata(path: AnyPath) -> dict[str, Any]:
    """Return the metadata that `save_model` was given, or ``{}``; errors as in `load_model`."""
    with reading(path) as members:
        metadata: dict[str, Any] = _read_header(members)["metadata"]
        return metadata


def _read_header(members: Members) -> State:
    text = members.take("header", "|u1", None).tobytes()
    with saying("its header is not JSON"):
        header = json.loads(text)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(f"its header does not say that it is an {FORMAT}")
    version = header.get("format_version")
    if version not in (1, FORMAT_VERSION):
        raise ModelFileError(
            f"it is in format {version!r:.20}, written by {header.get('versions')!r:.100}, and "
            f"autorec_np {__version__} reads format 1 and {FORMAT_VERSION}: pip install --upgrade "
            f"autorec_np"
        )
    if version == 1:
        check("header", header, _HEADER_1)
        _upgrade(header)
    else:
        check("header", header, _HEADER)
    return header


def _upgrade(header: State) -> None:
    """Add what format 1 does not say."""
    state, parameters = header["state"], header["parameters"]
    if header["class"] == "BiasBaseline":
        given = parameters.get("regularization")
        state.setdefault("regularization", float(given) if type(given) is int else given)
    autorec = state.get("autorec")
    if isinstance(autorec, dict):
        unsaid = {"input_map": AffineMap()._asdict(), "inputs": "ratings", "implicit": None}
        header["state"] = {**state, "autorec": {**unsaid, **autorec}}


IR_VERSION, OPSET = 8, 17  # of 2022


def export_onnx(model: AutoRec, path: str | os.PathLike[str]) -> None:
    """Write the network from ratings to scores, in float32, whole or not at all.

    Its inputs, of any number of rows:

    ``ratings``, (n_rows, n_columns)
        NaN for no rating, or 0 where the rating scale does not hold 0: of users over
        ``ratings_.item_ids`` (orientation "user"), or of items over ``ratings_.user_ids``.
    ``row_bias``, (n_rows, 1)
        Where ``baseline_`` is a `BiasBaseline`, or the network reads planes: from
        ``cold_baseline_.biases_``; of a new row (19) of docs/derivation.md, or 0.

    Its output ``scores``, (n_rows, n_columns), in rating units, is not clipped, has rated columns,
    and does not know cold pairs.

    Parameters
    ----------
    model : AutoRec
        Fitted.
    path : str or path-like
        ``.onnx`` is customary.

    Raises
    ------
    ImportError
        onnx is not installed.
    NotFittedError, TypeError, OSError
    ValueError
        The network reads features.
    """
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise ImportError("export_onnx needs onnx: pip install 'autorec_np[onnx]'.") from error
    if not isinstance(model, AutoRec):
        raise TypeError(f"export_onnx can export an AutoRec, got {type(model).__name__}.")
    fitted = check_fitted(model)
    if fitted.axes.row in fitted.ratings.features:
        raise ValueError(
            "export_onnx cannot export a network that reads features; fit on ratings without them."
        )
    network = fitted.network
    nodes = _input_nodes(fitted, helper.make_node)
    input_factor, input_offset = fitted.input_map
    factor, offset = fitted.output_map
    constants: dict[str, Any] = {
        **{name: x for name, x in fitted.weights.items() if name not in network.layout.aliases},
        "zero": 0.0,
        "input_factor": input_factor,
        "factor": factor,
        "column": _column_scores(fitted, fitted.baseline) - offset / factor,
    }
    inputs = {"ratings": network.n_columns}
    if fitted.inputs == "planes":
        inputs["row_bias"] = 1
        constants["column_bias"] = _column_scores(fitted, fitted.cold_baseline)
        constants["rated"] = RATED
    else:
        constants["rating_of_input_0"] = -input_offset / input_factor
    if isinstance(fitted, FittedRanking):
        constants["one"] = 1.0
        constants["threshold"] = -np.inf if fitted.threshold is None else fitted.threshold

    def append(operator: str, *further: str, **attributes: Any) -> None:
        [value], result = nodes[-1].output, f"value{len(nodes)}"
        nodes.append(helper.make_node(operator, [value, *further], [result], **attributes))

    for depth in range(len(network.hidden_layer_sizes)):
        name = f"hidden{depth}" if depth else "encoder"
        append("Gemm", f"{name}.weight", f"{name}.bias")
        append(network.activation.capitalize())
    decoder = network.layout.aliases.get("decoder.weight", "decoder.weight")
    append("Gemm", decoder, "decoder.bias", transB=1)
    append(network.output_activation.capitalize())
    append("Div", "factor")
    append("Add", "column")
    if isinstance(fitted.baseline, FittedBiases):
        inputs["row_bias"] = 1
        append("Add", "row_bias")
    nodes.append(helper.make_node("Identity", nodes[-1].output, ["scores"]))

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
            if any(name in node.input for node in nodes)
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
    lines, unrated = ["IsNaN ratings missing"], "missing"  # operator, inputs, result
    low, high = fitted.ratings.scale
    if not low <= 0 <= high:
        unrated = "missing_or_0"
        lines += ["Equal ratings zero is_0", f"Or missing is_0 {unrated}"]
    planes = fitted.inputs == "planes"
    value = "mapped"
    if isinstance(fitted, FittedRanking):
        lines += ["Less ratings threshold low", f"Or {unrated} low left_out"]
        unrated, value = "left_out", "mapped" if fitted.values == "ratings" else "one"
    if planes:
        lines += ["Sub ratings column_bias less_column", "Sub less_column row_bias difference"]
    else:
        lines += ["Sub ratings rating_of_input_0 difference"]
    lines += ["Mul difference input_factor mapped"]
    if planes:
        lines += [f"Where {unrated} zero rated first"]
    lines += [f"Where {unrated} zero {value} {'second' if planes else 'inputs'}"]
    nodes = [make_node(operator, read, [to]) for operator, *read, to in map(str.split, lines)]
    if planes:
        nodes.append(make_node("Concat", ["first", "second"], ["inputs"], axis=1))
    return nodes


def _column_scores(fitted: Fitted, baseline: Baseline | None) -> Array:
    columns = np.zeros(fitted.network.n_columns)
    if isinstance(baseline, FittedMean):
        columns += baseline.mean
    elif isinstance(baseline, FittedBiases):
        mean, *sides = baseline.biases
        columns += mean + fitted.axes.rows_and_columns(*sides)[1]
    return columns
