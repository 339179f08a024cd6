"""The file of a fitted model (format 2, docs/model_file.md), and its network as ONNX.

It is an uncompressed ``.npz`` that ends in the SHA-256 of all before it. Headers are not evaluated,
and no array takes more memory than its bytes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import mmap
import os
import platform
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar, overload

import numpy as np
import scipy

from autorec_np import __version__
from autorec_np._files import replacing
from autorec_np._types import Array
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Recommender, check_fitted
from autorec_np.models.biases import FittedBiases, FittedMean
from autorec_np.models.scoring import RATED, Baseline, Fitted
from autorec_np.serving.records import (
    KINDS,
    ModelFileError,
    Packing,
    State,
    check,
    pack_model,
    saying,
    unpack_model,
)
from autorec_np.training.start import AffineMap

AnyModel = TypeVar("AnyModel", bound=Recommender)

AnyPath: TypeAlias = "str | os.PathLike[str]"

_ALIGNMENT = 64
_HASH_PREFIX = b"sha256:"
_HASH_DIGITS = 64
_ZIP_MAGIC = b"PK\x03\x04"
_LOCAL_HEADER = 30  # bytes before the name of a zip member
_ZIP64_FIELD = 20  # bytes that zipfile appends to it
_ARRAY_MAGIC = b"\x93NUMPY\x01\x00"

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
        Fitted. `callbacks` become ``()``, a Generator as `random_state` None.
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


def write_archive(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _HASH_PREFIX + b"0" * _HASH_DIGITS
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # of 1980, always
            member.extra = _padding(file.tell() + _LOCAL_HEADER + len(member.filename))
            little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, little_endian, (1, 0), allow_pickle=False)
    file.write(_digest(file))


def _padding(offset: int) -> bytes:
    """Align a member, as zipalign does."""
    fixed = struct.calcsize("<HHH")
    n_zeros = -(offset + fixed + _ZIP64_FIELD) % _ALIGNMENT
    return struct.pack("<HHH", 0xD935, 2 + n_zeros, _ALIGNMENT) + bytes(n_zeros)


def _digest(file: BinaryIO) -> bytes:
    size = max(0, file.seek(0, os.SEEK_END) - _HASH_DIGITS)
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(min(size, 1 << 20)):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode("ascii")


@contextmanager
def reading(path: AnyPath, memory_map: bool = False, verify: bool = True) -> Iterator[Members]:
    with open(path, "rb") as file, saying(f"{os.fspath(path)} cannot be loaded as a model"):
        start = file.read(len(_ZIP_MAGIC))
        if start != _ZIP_MAGIC:
            raise ModelFileError(
                f"it begins with {start!r}, so it is not a file that autorec_np.save_model wrote"
            )
        if verify and _digest(file) != file.read():
            raise ModelFileError(
                "it does not end in the SHA-256 of its content: it is damaged, or "
                "save_model did not write it; copy it again, or save the model anew"
            )
        with zipfile.ZipFile(file) as archive:
            yield Members(archive, file, memory_map)


def listing(arrays: Mapping[str, Array]) -> dict[str, Any]:
    return {
        name: {"dtype": array.dtype.newbyteorder("<").str, "shape": [*array.shape]}
        for name, array in arrays.items()
    }


class Members:
    """Arrays, which must be as `listed`."""

    prefix = ""
    listed: dict[str, Any] | None = None

    def __init__(self, archive: zipfile.ZipFile, file: BinaryIO, memory_map: bool) -> None:
        self.archive, self.file_size = archive, os.fstat(file.fileno()).st_size
        self.mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if memory_map else None
        self.unread: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in self.unread:
                raise ModelFileError(f"it holds two members of the name {name!r}")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > self.file_size:
                raise ModelFileError(f"its member {name!r} is compressed, or larger than the file")
            self.unread[name] = info

    def within(self, prefix: str) -> Members:
        part = copy.copy(self)
        part.prefix += prefix
        return part

    def check_all_read(self) -> None:
        for arrays, what in ((self.unread, "holds unknown"), (self.listed, "lacks the listed")):
            if arrays:
                raise ModelFileError(f"it {what} arrays: {sorted(arrays)!r:.100}")

    def _content(self, name: str) -> memoryview:
        info = self.unread.pop(name)
        if self.mapped is None:
            return memoryview(self.archive.read(info))
        lengths = struct.unpack_from("<HH", self.mapped, info.header_offset + _LOCAL_HEADER - 4)
        start = info.header_offset + _LOCAL_HEADER + sum(lengths)  # of name and padding
        return memoryview(self.mapped)[start : start + info.file_size]

    def take(self, name: str, dtypes: str, *shape: int | None) -> Array:
        """Return a read-only array of one of the dtypes and the shape (None: any length)."""
        name = self.prefix + name
        if name not in self.unread:
            raise ModelFileError(f"it lacks the array {name!r}")
        content = self._content(name)
        prefix = len(_ARRAY_MAGIC) + 2
        start = prefix + int.from_bytes(content[len(_ARRAY_MAGIC) : prefix], "little")
        stated = bytes(content[prefix:start]).decode("latin-1").rstrip()
        for code in dtypes.split():
            dtype = np.dtype(code)
            n_values, rest = divmod(len(content) - start, dtype.itemsize)
            needed = tuple(n_values if length is None else length for length in shape)
            header = f"{{'descr': {code!r}, 'fortran_order': False, 'shape': {needed}, }}"
            fits = math.prod(needed) == n_values and rest == 0
            if content[: len(_ARRAY_MAGIC)] == _ARRAY_MAGIC and stated == header and fits:
                array = np.frombuffer(content, dtype, offset=start).reshape(needed)
                native = np.require(array, dtype.newbyteorder("="), "A")
                native.flags.writeable = False
                self._compare(name, {"dtype": code, "shape": [*needed]})
                return native
        lengths = tuple("any" if length is None else length for length in shape)
        raise ModelFileError(
            f"its array {name!r} is not a plain array of dtype {dtypes} and shape {lengths}: in "
            f"{len(content):,} bytes it states {stated!r:.100}"
        )

    def _compare(self, name: str, found: dict[str, Any]) -> None:
        if self.listed is not None:
            listed = self.listed.pop(name, None)
            if listed != found:
                raise ModelFileError(f"its header lists {name!r} as {listed!r:.100}, not {found}")


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
    if planes:
        lines += ["Sub ratings column_bias less_column", "Sub less_column row_bias difference"]
    else:
        lines += ["Sub ratings rating_of_input_0 difference"]
    lines += ["Mul difference input_factor mapped"]
    if planes:
        lines += [f"Where {unrated} zero rated first"]
    lines += [f"Where {unrated} zero mapped {'second' if planes else 'inputs'}"]
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
