"""Save a fitted model to one file, and load it: the same predictions to the last bit, no pickle.

The file (format 1, docs/design.md) is an uncompressed ``.npz``: a JSON header, the fitted arrays,
the training ratings (or only who rated what), and a SHA-256 of all of it. A file with a right hash
can still be foreign or made with intent, so nothing in it is trusted: no array takes more memory
than its bytes, its header is compared and not evaluated, and every value is checked.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import mmap
import os
import platform
import secrets
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy
from scipy import sparse

from autorec_np import __version__
from autorec_np._validation import check_number
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.data.ratings import Ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Recommender
from autorec_np.models.biases import BiasBaseline, Biases, GlobalMean
from autorec_np.models.scoring import OutputMap

__all__ = ["ModelFileError", "load_model", "read_metadata", "save_model"]

Array: TypeAlias = npt.NDArray[Any]
State: TypeAlias = dict[str, Any]
Arrays: TypeAlias = dict[str, Array]
AnyPath: TypeAlias = "str | os.PathLike[str]"

FORMAT = "autorec_np model"
FORMAT_VERSION = 1

_ALIGNMENT = 64
_HASH_PREFIX = b"sha256:"
_HASH_DIGITS = 64
_ZIP_MAGIC = b"PK\x03\x04"
_LOCAL_HEADER = 30  # bytes of a zip member before its name
_ZIP64_FIELD = 20  # bytes of the extra field that zipfile appends to each local header
_ARRAY_MAGIC = b"\x93NUMPY\x01\x00"

_CLASSES: dict[str, type[Recommender]] = {
    one.__name__: one for one in (AutoRec, BiasBaseline, GlobalMean)
}

# What `_check` wants of the header: types, tuples of choices, and dicts of them.
_HEADER = {
    "format": str,
    "format_version": int,
    "class": tuple(_CLASSES),
    "parameters": dict,
    "state": dict,
    "metadata": dict,
    "versions": dict,
}
_IDS = ("integers", "strings")
_STATE = {
    "ids_are_indices": bool,
    "ratings": {
        "kept": ("all", "pattern"),
        "scale": list,
        "timestamps": bool,
        "user_ids": _IDS,
        "item_ids": _IDS,
    },
}
_BIASES = {"mean": float}
_NETWORK = {
    "n_columns": int,
    "hidden_layer_sizes": list,
    "activation": str,
    "output_activation": str,
    "tied": bool,
    "n_inputs": (int, None),
}
_AUTOREC = {
    "orientation": ("item", "user"),
    "network": _NETWORK,
    "output_map": dict.fromkeys(OutputMap._fields, float),
    "regularization": dict,
    "baseline": ("BiasBaseline", "GlobalMean", None),
    "baseline_mean": (float, None),
    "cold_baseline": {"regularization": float, "biases": _BIASES, "trained_on_all": bool},
    "n_iter": int,
    "n_evaluations": int,
}
_OWN_STATE: dict[str, State] = {
    "AutoRec": {"autorec": _AUTOREC},
    "BiasBaseline": {"biases": _BIASES},
    "GlobalMean": {"mean": float},
}


class ModelFileError(ValueError):
    """A file is not a model that this version can load; the message says why and what to do."""


class RatedPairs(Ratings):
    """Who rated what, without the ratings: `ratings_` of a model that was saved without them.

    ``matrix.data`` is NaN throughout, and what returns ratings raises a ValueError.
    """

    def positions(self) -> NoReturn:
        """Raise ValueError."""
        raise ValueError(
            "the model was saved with include_ratings=False, so it knows who rated what but not "
            "the ratings; save it with include_ratings=True, or pass the ratings themselves."
        )


def save_model(
    model: Recommender,
    path: AnyPath,
    *,
    metadata: Mapping[str, Any] | None = None,
    include_ratings: bool = True,
) -> None:
    """Write a fitted model to a file, whole or not at all.

    An error or an interrupt leaves whatever was there before. The same model always gives the same
    bytes.

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
    include_ratings : bool
        Whether to keep the training ratings, with their order and timestamps. Without them the file
        says who rated what and no more: predictions, recommendations and codes stay the same, and
        what needs ratings, such as `explanation.explain`, raises a ValueError.

    Raises
    ------
    NotFittedError
        The model is not fitted.
    TypeError
        A model of another class, or a parameter or metadata that JSON cannot hold.
    ValueError
        Parameters that were changed to invalid ones after `fit`, or ``include_ratings=True`` for a
        model that was saved without.
    OSError
        The file cannot be written.
    """
    name = type(model).__name__
    if _CLASSES.get(name) is not type(model):
        raise TypeError(f"save_model can save {', '.join(_CLASSES)}, got {name}.")
    model._check_fitted()
    _check_parameters(model)
    if include_ratings and isinstance(model.ratings_, RatedPairs):
        raise ValueError(
            "the model was saved without its ratings and cannot save them; pass "
            "include_ratings=False."
        )
    arrays: Arrays = {}
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "class": name,
        "parameters": _pack_parameters(model),
        "state": _pack_state(model, arrays, include_ratings),
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
            f"parameters and metadata must be what JSON can hold: mappings with string keys, "
            f"lists, strings, finite numbers, booleans and None ({error})."
        ) from error
    with _replacing(Path(os.path.realpath(path))) as file:
        _write_archive(file, {"header": np.frombuffer(text, np.uint8), **arrays})


def load_model(path: AnyPath, *, memory_map: bool = False, verify: bool | None = None) -> Any:
    """Load a model that `save_model` wrote.

    Loading never executes code from the file.

    Parameters
    ----------
    path : str or path-like
    memory_map : bool
        Whether the arrays stay in the file and are read as they are used, so that a large model
        opens at once and processes share its memory. Replace such a file (`save_model` does),
        never write into it while a model is open.
    verify : bool, optional
        Whether to read the whole file first and compare its hash. None: unless it is mapped.
        Everything else is checked in any case.

    Returns
    -------
    AutoRec, BiasBaseline or GlobalMean
        Its predictions, recommendations and codes equal those of the saved model to the last bit
        (on another machine, or with another NumPy, to rounding). Its arrays are read-only.

    Raises
    ------
    ModelFileError
        The file is damaged, cut off, not a model, or of a format that this version cannot read.
        It is a ValueError.
    OSError
        The file cannot be opened.
    """
    with _reading(path, memory_map, not memory_map if verify is None else verify) as members:
        model = _unpack_model(_read_header(members), members)
        if members.unread:
            raise ModelFileError(f"it holds unknown arrays: {sorted(members.unread)!r:.100}")
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


# A model as state (for JSON) and arrays, and back


def _pack_state(model: Recommender, arrays: Arrays, include_ratings: bool) -> State:
    ratings = _pack_ratings(model.ratings_, arrays, include_ratings)
    state: State = {"ids_are_indices": model._indexed, "ratings": ratings}
    if isinstance(model, AutoRec):
        state["autorec"] = _pack_autorec(model, arrays)
    elif isinstance(model, BiasBaseline):
        state["biases"] = _pack_biases(model, arrays)
    elif isinstance(model, GlobalMean):
        state["mean"] = model.mean_
    return state


def _unpack_model(header: State, members: _Members) -> Recommender:
    state = header["state"]
    parameters = _unpack_parameter({"mapping": header["parameters"]})
    model = _CLASSES[header["class"]](**parameters)
    _check_parameters(model)
    ratings = training = _unpack_ratings(state["ratings"], members)
    if isinstance(model, AutoRec):
        training = _unpack_autorec(model, state["autorec"], ratings, members)
    model._remember(ratings, training, state["ids_are_indices"])
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
    user = members.take("biases.user", "<f8", n_users)
    model.biases_ = Biases(state["mean"], user, members.take("biases.item", "<f8", n_items))


def _pack_autorec(model: AutoRec, arrays: Arrays) -> State:
    network = {name: getattr(model.network_, name) for name in _NETWORK}
    network["hidden_layer_sizes"] = [int(size) for size in network["hidden_layer_sizes"]]
    arrays["theta"], arrays["codes"] = model.theta_, model.codes_
    arrays["loss_curve"] = np.array(model.loss_curve_, np.float64)
    arrays["validation_curve"] = np.array(model.validation_curve_, np.float64)
    cold, baseline = model.cold_baseline_, model.baseline_
    trained_on_all = cold.ratings_ is model.ratings_
    if not trained_on_all:
        every, some = (
            np.repeat(np.arange(R.n_users), np.diff(R.matrix.indptr)) * R.n_items + R.matrix.indices
            for R in (model.ratings_, cold.ratings_)
        )
        arrays["trained_on"] = np.isin(every, some, assume_unique=True)
    return {
        "orientation": model.orientation_,
        "network": network,
        "output_map": {name: float(x) for name, x in model.output_map_._asdict().items()},
        "regularization": {name: float(x) for name, x in model.regularization_.items()},
        "baseline": None if baseline is None else type(baseline).__name__,
        "baseline_mean": baseline.mean_ if isinstance(baseline, GlobalMean) else None,
        "cold_baseline": {
            "regularization": float(cold.regularization),
            "biases": _pack_biases(cold, arrays),
            "trained_on_all": trained_on_all,
        },
        "n_iter": int(model.n_iter_),
        "n_evaluations": int(model.n_evaluations_),
    }


def _unpack_autorec(model: AutoRec, state: State, ratings: Ratings, members: _Members) -> Ratings:
    """Restore all but the ratings, and return those that the model was trained on."""
    with _saying("its network is not valid"):
        sizes = tuple(state["network"].pop("hidden_layer_sizes"))
        # Widths beyond the size of the file cannot be right, and products of them might overflow.
        if not all(type(size) is int and size <= members.file_size for size in sizes):
            raise ModelFileError(f"its hidden layer sizes are {sizes!r:.100}")
        network = Network(hidden_layer_sizes=sizes, **state["network"])
        penalties = {name: float(x) for name, x in state["regularization"].items()}
        Objective(network, penalties)  # checks them
    model.network_, model.regularization_ = network, penalties
    model.orientation_ = state["orientation"]
    by_item = model.orientation_ == "item"
    n_rows, n_columns = ratings.shape[::-1] if by_item else ratings.shape
    n_inputs = network.n_inputs or network.n_columns
    if not n_inputs == network.n_columns == n_columns:
        raise ModelFileError(
            f"its network reads {n_inputs} columns and returns {network.n_columns}, where its "
            f"ratings, in orientation {model.orientation_!r}, have {n_columns}"
        )
    model.theta_ = members.take("theta", "<f4 <f8", network.layout.size)
    same_dtype = f"<f{model.theta_.itemsize}"
    model.codes_ = members.take("codes", same_dtype, n_rows, sizes[-1])
    model.output_map_ = OutputMap(**state["output_map"])
    if model.output_map_.factor == 0:
        raise ModelFileError("the factor of its output map is 0")
    model.loss_curve_ = members.take("loss_curve", "<f8", None).tolist()
    model.validation_curve_ = members.take("validation_curve", "<f8", None).tolist()
    model.n_iter_, model.n_evaluations_ = state["n_iter"], state["n_evaluations"]

    training, cold = ratings, state["cold_baseline"]
    if not cold["trained_on_all"]:
        mask = members.take("trained_on", "|b1", len(ratings))
        selected = ratings.select(mask[ratings.order])
        training = type(ratings)(**vars(selected))
    model.cold_baseline_ = BiasBaseline(cold["regularization"])
    _check_parameters(model.cold_baseline_)
    model.cold_baseline_._remember(training, training, indexed=False)
    _unpack_biases(model.cold_baseline_, cold["biases"], members)
    kind, mean = state["baseline"], state["baseline_mean"]
    if (kind == "GlobalMean") == (mean is None):
        raise ModelFileError(f"its baseline is {kind!r} with the mean {mean}")
    model.baseline_ = model.cold_baseline_ if kind == "BiasBaseline" else None
    if kind == "GlobalMean":
        model.baseline_ = GlobalMean()
        model.baseline_._remember(training, training, indexed=False)
        model.baseline_.mean_ = mean
    return training


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
    return {name: _pack_parameter(value) for name, value in parameters.items()}


def _pack_parameter(value: Any) -> Any:
    """Return `value` as JSON holds it; what JSON would confuse is wrapped in a one-key object."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _pack_parameter(x) for key, x in value.items()}}
    if isinstance(value, list | tuple):
        items = [_pack_parameter(x) for x in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    return value


def _unpack_parameter(found: Any) -> Any:
    match found:
        case list():
            return [_unpack_parameter(x) for x in found]
        case {"tuple": list(items)}:
            return tuple(_unpack_parameter(x) for x in items)
        case {"mapping": dict(items)}:
            return {name: _unpack_parameter(x) for name, x in items.items()}
        case dict():
            raise ModelFileError(f"one of its parameters is stored as {found!r:.100}")
    return found


# Ratings


def _pack_ratings(ratings: Ratings, arrays: Arrays, include_ratings: bool) -> State:
    user_ids = _pack_ids("users", ratings.user_ids, arrays)
    item_ids = _pack_ids("items", ratings.item_ids, arrays)
    timestamps = ratings.timestamps if include_ratings else None
    if include_ratings:
        arrays["ratings.data"] = ratings.matrix.data
    arrays["ratings.indices"] = ratings.matrix.indices
    arrays["ratings.indptr"] = ratings.matrix.indptr
    if include_ratings:
        arrays["ratings.order"] = ratings.order
    if timestamps is not None:
        arrays["ratings.timestamps"] = timestamps
    return {
        "kept": "all" if include_ratings else "pattern",
        "scale": [float(end) for end in ratings.scale],
        "timestamps": timestamps is not None,
        "user_ids": user_ids,
        "item_ids": item_ids,
    }


def _unpack_ratings(state: State, members: _Members) -> Ratings:
    low, high = map(float, state["scale"])
    if not -math.inf < low <= high < math.inf:
        raise ModelFileError(f"its rating scale is {low} to {high}")
    user_ids = _unpack_ids("users", state["user_ids"], members)
    item_ids = _unpack_ids("items", state["item_ids"], members)
    indices = members.take("ratings.indices", "<i4 <i8", None)
    indptr = members.take("ratings.indptr", "<i4 <i8", len(user_ids) + 1)
    n_ratings, timestamps = len(indices), None
    if state["kept"] == "all":
        kind = Ratings
        data = members.take("ratings.data", "<f4", n_ratings)
        order = members.take("ratings.order", "<i8", n_ratings)
        if not np.isfinite(data).all():
            raise ModelFileError("its ratings are not finite")
    else:
        kind = RatedPairs
        data, order = np.full(n_ratings, np.nan, np.float32), np.arange(n_ratings)
    if state["timestamps"]:
        timestamps = members.take("ratings.timestamps", "<i8", n_ratings)
    with _saying("the positions of its ratings are damaged"):
        matrix = sparse.csr_array((data, indices, indptr), shape=(len(user_ids), len(item_ids)))
        matrix.check_format()
    if not (matrix.has_canonical_format and matrix.nnz == n_ratings > 0):
        raise ModelFileError("its ratings are none, or not in ascending positions")
    if not _is_permutation(order):
        raise ModelFileError("the order of its ratings is not a permutation")
    for array in (matrix.data, matrix.indices, matrix.indptr, order):
        array.flags.writeable = False
    return kind(matrix, user_ids, item_ids, timestamps, (low, high), order)


def _is_permutation(order: Array) -> bool:
    seen = np.zeros(len(order), bool)
    within = order[(order >= 0) & (order < len(order))]
    seen[within] = True
    return bool(seen.all())


def _pack_ids(name: str, ids: Array, arrays: Arrays) -> str:
    """Add ids to the arrays and return their kind."""
    if ids.dtype.kind == "i":
        arrays[name] = ids
        return "integers"
    encoded = [one.encode("utf-8", "surrogatepass") for one in ids]
    arrays[f"{name}.utf8"] = np.frombuffer(b"".join(encoded), np.uint8)
    arrays[f"{name}.offsets"] = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return "strings"


def _unpack_ids(name: str, kind: str, members: _Members) -> Array:
    if kind == "integers":
        ids = members.take(name, "<i8", None)
    else:
        text = members.take(f"{name}.utf8", "|u1", None).tobytes()
        offsets = members.take(f"{name}.offsets", "<i8", None).tolist()
        if offsets[:1] != [0] or offsets[-1] != len(text) or offsets != sorted(offsets):
            raise ModelFileError(f"the offsets of its {name}' ids do not fit their text")
        with _saying(f"the ids of its {name} are not UTF-8"):
            ids = np.fromiter(
                (
                    text[start:end].decode("utf-8", "surrogatepass")
                    for start, end in pairwise(offsets)
                ),
                dtype=object,
                count=len(offsets) - 1,
            )
        ids.flags.writeable = False
    if not (ids[1:] > ids[:-1]).all():
        raise ModelFileError(f"the ids of its {name} are not ascending and unique")
    return ids


# The header


def _read_header(members: _Members) -> State:
    text = members.take("header", "|u1", None).tobytes()
    with _saying("its header is not JSON"):
        header = json.loads(text)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(f"its header does not say that it is an {FORMAT}")
    version = header.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelFileError(
            f"it is in format {version!r:.20}, written by {header.get('versions')!r:.100}, and "
            f"this autorec_np {__version__} reads format {FORMAT_VERSION}: pip install --upgrade "
            f"autorec_np"
        )
    _check("header", header, _HEADER)
    _check("state", header["state"], {**_STATE, **_OWN_STATE[header["class"]]})
    return header


def _check(name: str, found: Any, wanted: Any) -> None:
    """Raise unless a JSON value is of a type, one of a tuple of choices, or a dict of such."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        if found.keys() != wanted.keys():
            different = sorted(found.keys() ^ wanted.keys())
            raise ModelFileError(f"its {name} lacks, or has unknown, entries: {different!r:.100}")
        for key, value in found.items():
            _check(f"{name}/{key}", value, wanted[key])
        return
    if isinstance(found, float) and not math.isfinite(found):
        wanted = "a finite number"
    choices = wanted if isinstance(wanted, tuple) else (wanted,)
    if not any(type(found) is one if isinstance(one, type) else found == one for one in choices):
        needed = " or ".join(getattr(one, "__name__", repr(one)) for one in choices)
        raise ModelFileError(f"its {name} is {found!r:.100}, not {needed}")


@contextmanager
def _saying(what: str) -> Iterator[None]:
    """Make whatever goes wrong a ModelFileError that begins with `what`.

    Any exception: no list of what zipfile, json, NumPy and SciPy raise would be complete.
    """
    try:
        yield
    except Exception as error:
        raise ModelFileError(f"{what}: {str(error) or repr(error)}") from error


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
            member.extra = _padding(file.tell() + _LOCAL_HEADER + len(member.filename))
            little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, little_endian, (1, 0), allow_pickle=False)
    file.write(_digest(file))


def _padding(offset: int) -> bytes:
    """Return an extra field at `offset` after which a member is aligned, as zipalign writes it."""
    fixed = struct.calcsize("<HHH")
    n_zeros = -(offset + fixed + _ZIP64_FIELD) % _ALIGNMENT
    return struct.pack("<HHH", 0xD935, 2 + n_zeros, _ALIGNMENT) + bytes(n_zeros)


def _digest(file: BinaryIO) -> bytes:
    """Return the SHA-256 of what precedes the digits at a file's end, and stop before them."""
    size = max(0, file.seek(0, os.SEEK_END) - _HASH_DIGITS)
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(min(size, 1 << 20)):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode("ascii")


@contextmanager
def _reading(path: AnyPath, memory_map: bool = False, verify: bool = True) -> Iterator[_Members]:
    """Open a model file; name the file in what goes wrong."""
    with open(path, "rb") as file, _saying(f"{os.fspath(path)} cannot be loaded as a model"):
        start = file.read(len(_ZIP_MAGIC))
        if start != _ZIP_MAGIC:
            raise ModelFileError(
                f"it begins with {start!r}, so it is not a file that autorec_np.save_model wrote"
            )
        if verify and _digest(file) != file.read():
            raise ModelFileError(
                "it does not end in the SHA-256 of its content: it is damaged or cut off, or "
                "autorec_np.save_model did not write it; copy it again, or save the model anew"
            )
        with zipfile.ZipFile(file) as archive:
            yield _Members(archive, file, memory_map)


class _Members:
    """The arrays of an open model file, each read, or mapped into memory, when it is taken."""

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

    def _content(self, name: str) -> memoryview:
        info = self.unread.pop(name)
        if self.mapped is None:
            return memoryview(self.archive.read(info))
        lengths = struct.unpack_from("<HH", self.mapped, info.header_offset + _LOCAL_HEADER - 4)
        start = info.header_offset + _LOCAL_HEADER + sum(lengths)  # of the name, and of the padding
        return memoryview(self.mapped)[start : start + info.file_size]

    def take(self, name: str, dtypes: str, *shape: int | None) -> Array:
        """Return an array of one of the dtypes and of the shape (None: any length), read-only."""
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
                # A file of other origin need not be aligned, which compiled code may rely on.
                native = np.require(array, dtype.newbyteorder("="), "A")
                native.flags.writeable = False
                return native
        lengths = tuple("any" if length is None else length for length in shape)
        raise ModelFileError(
            f"its array {name!r} is not a plain array of dtype {dtypes} and shape {lengths}: in "
            f"{len(content):,} bytes it states {stated!r:.100}"
        )
