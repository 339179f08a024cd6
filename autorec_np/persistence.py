"""Save a fitted model to one file, and load it: the same predictions to the last bit, no pickle.

The file is an uncompressed ``.npz``: a zip archive whose members are arrays in NumPy's format, so
``numpy.load`` can look into it. Format 1:

* ``header.npy`` holds, as bytes, a JSON object: the format and its version, the class, the
  constructor's parameters, the fitted state that is not arrays, the caller's metadata, and the
  versions of the libraries that wrote it.
* The other members are the fitted arrays and the training ratings: an autoencoder cannot predict
  without its inputs. String ids are UTF-8 bytes and offsets, because arrays of Python strings would
  need pickle, and NumPy's fixed-width strings drop trailing NULs.
* Every array begins at a multiple of 64 bytes, so it can be mapped into memory where it lies.
* The archive's comment, the last bytes of the file, is ``sha256:`` and the SHA-256 of all bytes
  before its hexadecimal digits. Damage anywhere is found before anything is interpreted.

A file with a right hash can still be foreign or made with intent, so nothing in it is trusted:
sizes are compared with the size of the file before memory is taken, the array headers are matched
with one pattern instead of being evaluated, and every value that is read is checked.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import platform
import re
import secrets
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy
from scipy import sparse

from autorec_np import __version__
from autorec_np._validation import check_number
from autorec_np.autorec import AutoRec
from autorec_np.base import Recommender
from autorec_np.baselines import BiasBaseline, Biases, GlobalMean
from autorec_np.network import Network
from autorec_np.objective import Objective
from autorec_np.ratings import Ratings
from autorec_np.scoring import OutputMap

__all__ = ["ModelFileError", "load_model", "looks_like_model", "read_metadata", "save_model"]

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
State: TypeAlias = dict[str, Any]
Arrays: TypeAlias = dict[str, Array]
AnyPath: TypeAlias = "str | os.PathLike[str]"

FORMAT = "autorec_np model"
FORMAT_VERSION = 1

_ALIGNMENT = 64
_HASH_PREFIX = b"sha256:"
_HASH_DIGITS = 64
_READ_SIZE = 1 << 20
_ZIP_MAGIC = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a zip member: magic, length of name, of extra field
_ZIP64_FIELD = 20  # bytes of the extra field that zipfile appends to each local header
_ARRAY_MAGIC = b"\x93NUMPY\x01\x00"
_ARRAY_HEADER = re.compile(
    rb"\{'descr': '([<|][a-zA-Z][0-9]{0,9})', 'fortran_order': False, "
    rb"'shape': \(((?:[0-9]{1,18}, ?)*(?:[0-9]{1,18})?)\), \} *\n"
)
# What zipfile is known to raise, besides BadZipFile, for a damaged directory.
_DIRECTORY_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    OverflowError,
    ValueError,
    OSError,
    EOFError,
    struct.error,
)
_BECAME_SHORTER = "it became shorter while it was read"
_FLOATS = (np.dtype("<f4"), np.dtype("<f8"))
_INDICES = (np.dtype("<i4"), np.dtype("<i8"))
_FLOAT32, _FLOAT64, _INT64 = (np.dtype("<f4"),), (np.dtype("<f8"),), (np.dtype("<i8"),)
_BYTES, _BOOL = (np.dtype("u1"),), (np.dtype("?"),)


class ModelFileError(ValueError):
    """A file is not a model that this version can load; the message says why and what to do."""


class _Unusable(Exception):
    """Why a file cannot be loaded; becomes a ModelFileError that names the file."""


def save_model(
    model: Recommender, path: AnyPath, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a fitted model to a file, whole or not at all.

    A temporary file in the same folder is renamed to `path` at the end: an error or an interrupt
    leaves whatever was there before. The same model always gives the same bytes.

    Parameters
    ----------
    model : AutoRec, BiasBaseline or GlobalMean
        Fitted. Two parameters are not saved: `callbacks`, which are code, come back as ``()``, and
        a `random_state` that is a Generator comes back as None (an int is kept).
    path : str or path-like
        The file, under exactly this name; ``.npz`` is the customary ending. An existing file is
        replaced.
    metadata : mapping of str to JSON-able values, optional
        Whatever should be kept with the model, such as the name of the data; `read_metadata`
        returns it.

    Raises
    ------
    NotFittedError
        The model is not fitted.
    TypeError
        A model of another class, or a parameter or metadata that JSON cannot hold.
    ValueError
        Parameters that were changed to invalid ones after `fit`.
    OSError
        The file cannot be written.
    """
    name = type(model).__name__
    if _CLASSES.get(name) is not type(model):
        raise TypeError(f"save_model can save {', '.join(_CLASSES)}, got {name}.")
    model._check_fitted()
    _check_parameters(model)
    arrays: Arrays = {}
    state = _pack_model(model, arrays)
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "class": name,
        "parameters": _pack_parameters(model),
        "state": state,
        "metadata": dict(metadata or {}),
        "versions": {
            "autorec_np": __version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "python": platform.python_version(),
        },
    }
    text = _to_json(header)
    with _replacing(Path(os.path.realpath(path))) as file:
        _write_archive(file, {"header": np.frombuffer(text, np.uint8), **arrays})


def load_model(path: AnyPath) -> Any:
    """Load a model that `save_model` wrote.

    Loading never executes code from the file.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    AutoRec, BiasBaseline or GlobalMean
        Its predictions, recommendations and codes equal those of the saved model to the last bit
        (on another machine, or with another NumPy, to rounding).

    Raises
    ------
    ModelFileError
        The file is damaged, cut off, not a model, or of a format that this version cannot read.
        It is a ValueError.
    OSError
        The file cannot be opened.
    """
    with _reading(path) as members:
        header = _read_header(members)
        model = _unpack_model(header, members)
        members.check_all_taken()
        return model


def read_metadata(path: AnyPath) -> dict[str, Any]:
    """Return the metadata that `save_model` was given; ``{}`` if it was given none.

    Raises
    ------
    ModelFileError, OSError
        As `load_model`.
    """
    with _reading(path) as members:
        metadata: dict[str, Any] = _read_header(members)["metadata"]
        return metadata


def looks_like_model(path: AnyPath) -> bool:
    """Return whether a file begins like one that `save_model` wrote; OSError as from `open`."""
    with open(path, "rb") as file:
        start = file.read(_LOCAL_HEADER.size + len("header.npy"))
    return start.startswith(_ZIP_MAGIC) and start.endswith(b"header.npy")


# A model as state (for JSON) and arrays, and back


def _pack_model(model: Recommender, arrays: Arrays) -> State:
    state: State = {"ids_are_indices": model._indexed, "ratings": _pack_ratings(model, arrays)}
    if isinstance(model, AutoRec):
        state["autorec"] = _pack_autorec(model, arrays)
    elif isinstance(model, BiasBaseline):
        state["biases"] = _pack_biases(model, arrays)
    elif isinstance(model, GlobalMean):
        state["mean"] = model.mean_
    return state


def _unpack_model(header: State, members: _Members) -> Recommender:
    make, own_field = _CLASSES[header["class"]], _OWN_FIELD[header["class"]]
    fields = {"ids_are_indices": bool, "ratings": dict, **own_field}
    state = _check_fields("state", header["state"], fields)
    with _saying("its parameters are not valid"):
        model = make(**_unpack_parameters(header["parameters"]))
        _check_parameters(model)
    ratings = _unpack_ratings(state["ratings"], members)
    indexed = state["ids_are_indices"]
    if isinstance(model, AutoRec):
        _unpack_autorec(model, state["autorec"], ratings, indexed, members)
    else:
        model._remember(ratings, ratings, indexed)
        if isinstance(model, BiasBaseline):
            _unpack_biases(model, state["biases"], members)
        elif isinstance(model, GlobalMean):
            model.mean_ = state["mean"]
    return model


def _pack_biases(model: BiasBaseline, arrays: Arrays) -> State:
    arrays["biases.user"], arrays["biases.item"] = model.biases_.user, model.biases_.item
    return {"mean": float(model.biases_.mean)}


def _unpack_biases(model: BiasBaseline, state: State, members: _Members) -> None:
    n_users, n_items = model.ratings_.shape
    model.biases_ = Biases(
        _check_fields("biases", state, {"mean": float})["mean"],
        members.take("biases.user", _FLOAT64, (n_users,)),
        members.take("biases.item", _FLOAT64, (n_items,)),
    )


_NETWORK_FIELDS = {
    "n_columns": int,
    "hidden_layer_sizes": list,
    "activation": str,
    "output_activation": str,
    "tied": bool,
    "n_inputs": (int, type(None)),
}
_AUTOREC_FIELDS = {
    "orientation": str,
    "network": dict,
    "output_map": dict,
    "regularization": dict,
    "baseline": (str, type(None)),
    "baseline_mean": (float, type(None)),
    "cold_baseline": dict,
    "n_iter": int,
    "n_evaluations": int,
}


def _pack_autorec(model: AutoRec, arrays: Arrays) -> State:
    network = {name: getattr(model.network_, name) for name in _NETWORK_FIELDS}
    network["hidden_layer_sizes"] = [int(size) for size in network["hidden_layer_sizes"]]
    arrays["theta"], arrays["codes"] = model.theta_, model.codes_
    arrays["loss_curve"] = np.array(model.loss_curve_, np.float64)
    arrays["validation_curve"] = np.array(model.validation_curve_, np.float64)
    training = model.cold_baseline_.ratings_
    if training is not model.ratings_:
        arrays["trained_on"] = _mask_of_part(model.ratings_, training)
    baseline = model.baseline_
    return {
        "orientation": model.orientation_,
        "network": network,
        "output_map": {name: float(x) for name, x in model.output_map_._asdict().items()},
        "regularization": {name: float(x) for name, x in model.regularization_.items()},
        "baseline": None if baseline is None else type(baseline).__name__,
        "baseline_mean": baseline.mean_ if isinstance(baseline, GlobalMean) else None,
        "cold_baseline": {
            "regularization": float(model.cold_baseline_.regularization),
            "biases": _pack_biases(model.cold_baseline_, arrays),
            "trained_on_all": training is model.ratings_,
        },
        "n_iter": int(model.n_iter_),
        "n_evaluations": int(model.n_evaluations_),
    }


def _unpack_autorec(
    model: AutoRec, found: State, ratings: Ratings, indexed: bool, members: _Members
) -> None:
    state = _check_fields("autorec", found, _AUTOREC_FIELDS)
    network = _unpack_network(state["network"], members.file_size)
    model.orientation_ = state["orientation"]
    if model.orientation_ not in ("item", "user"):
        raise _Unusable(f"its orientation is {model.orientation_!r:.100}")
    by_item = model.orientation_ == "item"
    n_rows, n_columns = ratings.shape[::-1] if by_item else ratings.shape
    if (network.n_columns, network.n_inputs) not in ((n_columns, None), (n_columns, n_columns)):
        raise _Unusable(
            f"its network reads {network.n_inputs or network.n_columns} columns and returns "
            f"{network.n_columns}, where its ratings, in orientation {model.orientation_!r}, have "
            f"{n_columns}"
        )
    model.network_ = network
    model.theta_ = members.take("theta", _FLOATS, (network.layout.size,))
    model.codes_ = members.take("codes", _FLOATS, (n_rows, network.hidden_layer_sizes[-1]))
    fields: State = dict.fromkeys(OutputMap._fields, float)
    model.output_map_ = OutputMap(**_check_fields("output_map", state["output_map"], fields))
    if model.output_map_.factor == 0:
        raise _Unusable("the factor of its output map is 0")
    model.regularization_ = _unpack_regularization(state["regularization"], network)
    training = _unpack_baselines(model, state, ratings, members)
    model._remember(ratings, training, indexed)
    model.loss_curve_ = members.take("loss_curve", _FLOAT64, (None,)).tolist()
    model.validation_curve_ = members.take("validation_curve", _FLOAT64, (None,)).tolist()
    model.n_iter_, model.n_evaluations_ = state["n_iter"], state["n_evaluations"]


def _unpack_network(found: State, limit: int) -> Network:
    config = _check_fields("network", found, _NETWORK_FIELDS)
    sizes = config.pop("hidden_layer_sizes")
    # Widths beyond the size of the file cannot be right, and products of them might overflow.
    if not all(type(size) is int and 1 <= size <= limit for size in sizes):
        raise _Unusable(f"its hidden layer sizes are {sizes!r:.100}")
    with _saying("its network is not valid"):
        return Network(hidden_layer_sizes=tuple(sizes), **config)


def _unpack_regularization(found: State, network: Network) -> dict[str, float]:
    regularization: dict[str, float] = _check_fields(
        "regularization", found, dict.fromkeys(found, float)
    )
    with _saying("its regularization is not valid"):
        Objective(network, regularization)
    return regularization


def _unpack_baselines(model: AutoRec, state: State, ratings: Ratings, members: _Members) -> Ratings:
    """Restore the two baselines of a network; return the ratings that it was trained on."""
    fields = {"regularization": float, "biases": dict, "trained_on_all": bool}
    cold = _check_fields("cold_baseline", state["cold_baseline"], fields)
    training = ratings
    if not cold["trained_on_all"]:
        mask = members.take("trained_on", _BOOL, (len(ratings),))
        training = ratings.select(mask[ratings.order])
    model.cold_baseline_ = BiasBaseline(cold["regularization"])
    with _saying("its cold baseline is not valid"):
        _check_parameters(model.cold_baseline_)
    model.cold_baseline_._remember(training, training, indexed=False)
    _unpack_biases(model.cold_baseline_, cold["biases"], members)
    kind, mean = state["baseline"], state["baseline_mean"]
    if kind not in (None, "BiasBaseline", "GlobalMean") or (kind == "GlobalMean") == (mean is None):
        raise _Unusable(f"its baseline is {kind!r:.100} with the mean {mean}")
    model.baseline_ = model.cold_baseline_ if kind == "BiasBaseline" else None
    if kind == "GlobalMean":
        model.baseline_ = GlobalMean()
        model.baseline_._remember(training, training, indexed=False)
        model.baseline_.mean_ = mean
    return training


def _mask_of_part(whole: Ratings, part: Ratings) -> Array:
    """Return which entries of ``whole.matrix.data`` are in `part`, which was selected from it."""
    every, some = (
        np.repeat(np.arange(R.n_users), np.diff(R.matrix.indptr)) * R.n_items + R.matrix.indices
        for R in (whole, part)
    )
    return np.isin(every, some, assume_unique=True)


_CLASSES: dict[str, Callable[..., Recommender]] = {
    "AutoRec": AutoRec,
    "BiasBaseline": BiasBaseline,
    "GlobalMean": GlobalMean,
}
_OWN_FIELD: dict[str, dict[str, type]] = {
    "AutoRec": {"autorec": dict},
    "BiasBaseline": {"biases": dict},
    "GlobalMean": {"mean": float},
}


# Parameters


def _check_parameters(model: Recommender) -> None:
    if isinstance(model, AutoRec):
        model._check_parameters()
    elif isinstance(model, BiasBaseline):
        check_number("regularization", model.regularization, minimum=0.0)


def _pack_parameters(model: Recommender) -> State:
    parameters = model.get_params()
    parameters.pop("callbacks", None)
    if isinstance(parameters.get("random_state"), np.random.Generator):
        parameters["random_state"] = None
    return {name: _pack_parameter(name, value) for name, value in parameters.items()}


def _pack_parameter(name: str, value: Any) -> Any:
    """Return `value` as JSON holds it; what JSON would confuse is wrapped in a one-key object."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _pack_parameter(name, x) for key, x in value.items()}}
    if isinstance(value, list | tuple):
        items = [_pack_parameter(name, x) for x in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    raise TypeError(
        f"the parameter {name} is a {type(value).__name__}, which save_model cannot save; set it "
        f"to a number, a string, a tuple, a list or a dict of them."
    )


def _unpack_parameters(found: State) -> State:
    return {name: _unpack_parameter(value) for name, value in found.items()}


def _unpack_parameter(found: Any) -> Any:
    if isinstance(found, list):
        return [_unpack_parameter(x) for x in found]
    if isinstance(found, dict):
        match found:
            case {"tuple": list(items)}:
                return tuple(_unpack_parameter(x) for x in items)
            case {"mapping": dict(items)}:
                return _unpack_parameters(items)
        raise _Unusable(f"one of its parameters is stored as {found!r:.100}")
    return found


# Ratings


def _pack_ratings(model: Recommender, arrays: Arrays) -> State:
    ratings = model.ratings_
    _pack_ids("users", ratings.user_ids, arrays)
    _pack_ids("items", ratings.item_ids, arrays)
    arrays["ratings.data"] = ratings.matrix.data
    arrays["ratings.indices"] = ratings.matrix.indices
    arrays["ratings.indptr"] = ratings.matrix.indptr
    arrays["ratings.order"] = ratings.order
    if ratings.timestamps is not None:
        arrays["ratings.timestamps"] = ratings.timestamps
    low, high = ratings.scale
    return {
        "kept": "all",
        "scale": [float(low), float(high)],
        "timestamps": ratings.timestamps is not None,
        "user_ids": _kind_of_ids(ratings.user_ids),
        "item_ids": _kind_of_ids(ratings.item_ids),
    }


def _unpack_ratings(found: State, members: _Members) -> Ratings:
    fields = {"kept": str, "scale": list, "timestamps": bool, "user_ids": str, "item_ids": str}
    state = _check_fields("ratings", found, fields)
    if state["kept"] != "all":
        raise _Unusable(f"it keeps {state['kept']!r:.100} of its ratings, not 'all'")
    scale = state["scale"]
    ends = len(scale) == 2 and all(type(end) is float and math.isfinite(end) for end in scale)
    if not ends or scale[0] > scale[1]:
        raise _Unusable(f"its rating scale is {scale!r:.100}")
    user_ids = _unpack_ids("users", state["user_ids"], members)
    item_ids = _unpack_ids("items", state["item_ids"], members)
    data = members.take("ratings.data", _FLOAT32, (None,))
    n_ratings = (len(data),)
    order = members.take("ratings.order", _INT64, n_ratings)
    timestamps = None
    if state["timestamps"]:
        timestamps = members.take("ratings.timestamps", _INT64, n_ratings)
    indices = members.take("ratings.indices", _INDICES, n_ratings)
    indptr = members.take("ratings.indptr", _INDICES, (len(user_ids) + 1,))
    _check_pattern(indices, indptr, len(item_ids))
    if len(data) == 0 or not np.isfinite(data).all():
        raise _Unusable("it has no ratings, or some that are not finite")
    if not np.array_equal(np.sort(order), np.arange(len(order))):
        raise _Unusable("the order of its ratings is not a permutation")
    matrix = sparse.csr_array((data, indices, indptr), shape=(len(user_ids), len(item_ids)))
    matrix.has_canonical_format = True
    for array in (matrix.data, matrix.indices, matrix.indptr, user_ids, item_ids, order):
        array.flags.writeable = False
    if timestamps is not None:
        timestamps.flags.writeable = False
    return Ratings(matrix, user_ids, item_ids, timestamps, (scale[0], scale[1]), order)


def _check_pattern(indices: Array, indptr: Array, n_columns: int) -> None:
    """Raise unless the arrays are a canonical CSR: in range, each row ascending."""
    if indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        raise _Unusable("the row offsets of its ratings do not fit their number")
    if len(indices) and not 0 <= indices.min() <= indices.max() < n_columns:
        raise _Unusable("its ratings have item positions out of range")
    starts_row = np.zeros(len(indices) + 1, dtype=bool)
    starts_row[indptr] = True
    if not (starts_row[1:-1] | (indices[1:] > indices[:-1])).all():
        raise _Unusable("the item positions of a user's ratings are not ascending")


def _kind_of_ids(ids: Array) -> str:
    return "integers" if ids.dtype.kind == "i" else "strings"


def _pack_ids(name: str, ids: Array, arrays: Arrays) -> None:
    if _kind_of_ids(ids) == "integers":
        arrays[name] = ids
        return
    encoded = [one.encode("utf-8", "surrogatepass") for one in ids]
    arrays[f"{name}.utf8"] = np.frombuffer(b"".join(encoded), np.uint8)
    arrays[f"{name}.offsets"] = np.cumsum([0, *map(len, encoded)], dtype=np.int64)


def _unpack_ids(name: str, kind: str, members: _Members) -> Array:
    if kind == "integers":
        ids = members.take(name, _INT64, (None,))
    elif kind == "strings":
        text = members.take(f"{name}.utf8", _BYTES, (None,)).tobytes()
        offsets = members.take(f"{name}.offsets", _INT64, (None,)).tolist()
        if not offsets or offsets[0] != 0 or offsets[-1] != len(text) or offsets != sorted(offsets):
            raise _Unusable(f"the offsets of its {name}' ids do not fit their text")
        with _saying(f"the ids of its {name} are not UTF-8"):
            strings = [
                text[start:stop].decode("utf-8", "surrogatepass")
                for start, stop in pairwise(offsets)
            ]
        ids = np.fromiter(strings, dtype=object, count=len(strings))
    else:
        raise _Unusable(f"the ids of its {name} are {kind!r:.100}, not integers or strings")
    if not (ids[1:] > ids[:-1]).all():
        raise _Unusable(f"the ids of its {name} are not ascending and unique")
    return ids


# The header


def _to_json(header: State) -> bytes:
    try:
        return json.dumps(header, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"metadata must be what JSON can hold: mappings with string keys, lists, strings, "
            f"finite numbers, booleans and None ({error})."
        ) from error


def _read_header(members: _Members) -> State:
    text = members.take("header", _BYTES, (None,)).tobytes()
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _Unusable(f"its header is not JSON ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _Unusable(f"its header does not say that it is an {FORMAT}")
    version, versions = header.get("format_version"), header.get("versions")
    if version != FORMAT_VERSION:
        writer = versions.get("autorec_np") if isinstance(versions, dict) else None
        raise _Unusable(
            f"it is in format {version!r:.20}, written by autorec_np {writer!r:.40}, and this "
            f"autorec_np {__version__} reads format {FORMAT_VERSION}: pip install --upgrade "
            f"autorec_np"
        )
    fields = {
        "format": str,
        "format_version": int,
        "class": str,
        "parameters": dict,
        "state": dict,
        "metadata": dict,
        "versions": dict,
    }
    _check_fields("header", header, fields)
    if header["class"] not in _CLASSES:
        raise _Unusable(f"it holds a {header['class']!r:.100}, not one of {', '.join(_CLASSES)}")
    return header


def _check_fields(name: str, found: State, fields: Mapping[str, Any]) -> State:
    """Return a copy of a JSON object that has exactly these keys, with values of these types."""
    if found.keys() != fields.keys():
        different = sorted(found.keys() ^ fields.keys())
        raise _Unusable(f"its {name} lacks, or has unknown, entries: {different!r:.100}")
    for key, kind in fields.items():
        value = found[key]
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        if wrong or (isinstance(value, float) and not math.isfinite(value)):
            raise _Unusable(f"the entry {key} of its {name} is {value!r:.100}")
    return dict(found)


@contextmanager
def _saying(reason: str) -> Iterator[None]:
    """Turn what the package's own checks raise into a reason why the file is unusable."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise _Unusable(f"{reason}: {error}") from error


# The file


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of `path` if the block succeeds."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder; create it first", str(path.parent))
    # Not tempfile.mkstemp: its files are readable by their owner only, also once renamed.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _write_archive(file: BinaryIO, arrays: Arrays) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _HASH_PREFIX + b"0" * _HASH_DIGITS
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # its date is fixed: 1980
            member.extra = _padding(file.tell() + _LOCAL_HEADER.size + len(member.filename))
            little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, little_endian, (1, 0), allow_pickle=False)
    size = file.seek(0, os.SEEK_END)
    digest = _digest(file, size - _HASH_DIGITS)
    file.seek(size - _HASH_DIGITS)
    file.write(digest)


def _padding(offset: int) -> bytes:
    """Return an extra field at `offset` after which a member's content is aligned.

    The field is that of Android's zipalign: id, length, alignment, zeros.
    """
    fixed = struct.calcsize("<HHH")
    n_zeros = -(offset + fixed + _ZIP64_FIELD) % _ALIGNMENT
    return struct.pack("<HHH", 0xD935, 2 + n_zeros, _ALIGNMENT) + bytes(n_zeros)


def _digest(file: BinaryIO, size: int) -> bytes:
    """Return the SHA-256 of the first `size` bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0:
        block = file.read(min(size, _READ_SIZE))
        if not block:
            raise _Unusable(_BECAME_SHORTER)
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode("ascii")


@contextmanager
def _reading(path: AnyPath) -> Iterator[_Members]:
    """Open a model file whose hash is right; name the file in what goes wrong."""
    with open(path, "rb") as file:
        try:
            file_size = os.fstat(file.fileno()).st_size
            _check_hash(file, file_size)
            yield _Members(file, file_size, _directory(file, file_size))
        except (_Unusable, RecursionError) as error:  # RecursionError: a header nested too deeply
            raise ModelFileError(
                f"{os.fspath(path)} cannot be loaded as a model: {error}."
            ) from error


def _check_hash(file: BinaryIO, file_size: int) -> None:
    start = file.read(len(_ZIP_MAGIC))
    if start != _ZIP_MAGIC:
        raise _Unusable(
            f"it begins with {start!r}, so it is not a file that autorec_np.save_model wrote"
            if start
            else "it is empty"
        )
    trailer = len(_HASH_PREFIX) + _HASH_DIGITS
    file.seek(max(file_size - trailer, 0))
    comment = file.read(trailer)
    if len(comment) < trailer or not comment.startswith(_HASH_PREFIX):
        raise _Unusable(
            "it does not end in a SHA-256: it was cut off, or autorec_np.save_model did not write "
            "it; copy it again, or save the model anew"
        )
    if _digest(file, file_size - _HASH_DIGITS) != comment[len(_HASH_PREFIX) :]:
        raise _Unusable(
            "its content does not have the SHA-256 that it states, so it is damaged; copy it "
            "again, or save the model anew"
        )


class _Member(NamedTuple):
    """Where a member's content lies in the file; in bytes."""

    start: int
    size: int


def _directory(file: BinaryIO, file_size: int) -> dict[str, _Member]:
    """Return the members by name, without ``.npy``."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except _DIRECTORY_ERRORS as error:
        raise _Unusable(f"its zip directory is damaged ({error})") from error
    members = {info.filename.removesuffix(".npy"): _locate(file, info, file_size) for info in infos}
    if len(members) != len(infos):
        raise _Unusable("it holds two members of the same name")
    return members


def _locate(file: BinaryIO, info: zipfile.ZipInfo, file_size: int) -> _Member:
    name = info.filename
    if info.compress_type != zipfile.ZIP_STORED:
        raise _Unusable(f"its member {name!r:.100} is compressed; models are stored uncompressed")
    if not 0 <= info.header_offset <= file_size - _LOCAL_HEADER.size:
        raise _Unusable(f"its member {name!r:.100} lies outside the file")
    file.seek(info.header_offset)
    magic, *lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = info.header_offset + _LOCAL_HEADER.size + sum(lengths)
    if magic != _ZIP_MAGIC or start + info.file_size > file_size:
        raise _Unusable(f"its member {name!r:.100} lies outside the file")
    return _Member(start, info.file_size)


class _Members:
    """The arrays of an open model file, each read when it is taken.

    Parameters
    ----------
    file : binary file
    file_size : int
        In bytes.
    members : dict of str to _Member
    """

    def __init__(self, file: BinaryIO, file_size: int, members: dict[str, _Member]) -> None:
        self.file, self.file_size, self._members = file, file_size, members

    def take(
        self, name: str, dtypes: tuple[np.dtype[Any], ...], shape: tuple[int | None, ...]
    ) -> Array:
        """Return an array that has one of the dtypes and the shape (None: any length)."""
        if name not in self._members:
            raise _Unusable(f"it lacks the array {name!r}")
        member = self._members.pop(name)
        type_code, found, start = self._read_array_header(name, member)
        dtype = next((wanted for wanted in dtypes if wanted.str == type_code), None)
        if dtype is None:
            wanted = " or ".join(str(wanted) for wanted in dtypes)
            raise _Unusable(f"its array {name!r} has the dtype {type_code!r}, not {wanted}")
        fits = len(found) == len(shape) and all(
            length in (None, there) for length, there in zip(shape, found, strict=True)
        )
        if not fits:
            needed = tuple("any" if length is None else length for length in shape)
            raise _Unusable(f"its array {name!r} has the shape {found}, not {needed}")
        if math.prod(found) * dtype.itemsize != member.start + member.size - start:
            raise _Unusable(
                f"its array {name!r} states the shape {found} and the dtype {dtype}, which its "
                f"{member.size:,} bytes do not hold"
            )
        self.file.seek(start)
        array = np.fromfile(self.file, dtype, math.prod(found))
        if array.size < math.prod(found):
            raise _Unusable(_BECAME_SHORTER)
        return array.reshape(found).astype(dtype.newbyteorder("="), copy=False)

    def _read_array_header(self, name: str, member: _Member) -> tuple[str, Shape, int]:
        """Return the type code and the shape that an array states, and where its data begin."""
        self.file.seek(member.start)
        prefix = len(_ARRAY_MAGIC) + 2
        start = self.file.read(min(prefix, member.size))
        length = int.from_bytes(start[len(_ARRAY_MAGIC) :], "little")
        match = None
        if start.startswith(_ARRAY_MAGIC) and prefix + length <= member.size:
            match = _ARRAY_HEADER.fullmatch(self.file.read(length))
        if match is None:
            raise _Unusable(f"its array {name!r} is not a plain array in NumPy's format 1.0")
        shape = tuple(int(number) for number in match[2].decode("ascii").split(",") if number)
        return match[1].decode("ascii"), shape, member.start + prefix + length

    def check_all_taken(self) -> None:
        """Raise if the file holds more than the model has."""
        if self._members:
            raise _Unusable(f"it holds unknown arrays: {sorted(self._members)!r:.100}")
