"""Save a fitted model to one file, and load it: the same predictions to the last bit, no pickle.

Nothing in a file (format 1, docs/model_file.md) is trusted: every value is checked.
"""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, TypeVar, overload

import numpy as np
import scipy
from scipy import sparse

from autorec_np._files import replacing
from autorec_np._types import Array
from autorec_np._validation import check_number
from autorec_np._version import __version__
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.data.entries import row_of_each
from autorec_np.data.ratings import Ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Axes, Recommender, Record, check_fitted
from autorec_np.models.biases import BiasBaseline, Biases, FittedBiases, FittedMean, GlobalMean
from autorec_np.models.parameters import check_parameters
from autorec_np.models.scoring import Course, Fitted
from autorec_np.serving.archive import (
    AnyPath,
    Members,
    ModelFileError,
    reading,
    saying,
    write_archive,
)
from autorec_np.training.units import AffineMap

State: TypeAlias = dict[str, Any]
Arrays: TypeAlias = dict[str, Array]
AnyModel = TypeVar("AnyModel", bound=Recommender)

FORMAT = "autorec_np model"
FORMAT_VERSION = 1

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
_CURVES = ("loss_curve", "validation_curve")
_BIASES = {"mean": float}
_AFFINE_MAP = {"factor": float, "offset": float}
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
    "input_map": _AFFINE_MAP,  # files of version 0.1 have none: the identity
    "output_map": _AFFINE_MAP,
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


class RatedPairs(Ratings):
    """`ratings_` of a model that was saved without them: who rated what.

    ``matrix.data`` is NaN throughout, and what returns ratings raises a ValueError.
    """

    def positions(self) -> NoReturn:
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
    """Write a fitted model to a file, whole or not at all; the same model gives the same bytes.

    Parameters
    ----------
    model : AutoRec, BiasBaseline or GlobalMean
        Fitted. `callbacks` come back as ``()``, and a `random_state` that is a Generator as None.
    path : str or path-like
        The file, under exactly this name; ``.npz`` is customary. It is replaced.
    metadata : mapping of str to JSON-able values, optional
        What `read_metadata` returns.
    include_ratings : bool
        Whether to keep the training ratings. Without them the file says who rated what:
        predictions, recommendations and codes stay the same, and what needs ratings raises a
        ValueError.

    Raises
    ------
    NotFittedError
        The model is not fitted.
    TypeError
        A model of another class, or a parameter or metadata that JSON cannot hold.
    ValueError
        Parameters that became invalid after `fit`, or ``include_ratings=True`` without ratings.
    OSError
        The file cannot be written.
    """
    name = type(model).__name__
    if _CLASSES.get(name) is not type(model):
        raise TypeError(f"save_model can save {', '.join(_CLASSES)}, got {name}.")
    fitted = check_fitted(model)
    _check_parameters(model)
    if include_ratings and isinstance(fitted.ratings, RatedPairs):
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
        "state": _pack_state(fitted, arrays, include_ratings),
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
    """Load a model that `save_model` wrote. No code from the file is run.

    Parameters
    ----------
    path : str or path-like
    expected : class, optional
        `AutoRec`, `BiasBaseline` or `GlobalMean`: what the file must hold.
    memory_map : bool
        Whether the arrays stay in the file and are read as they are used: a large model opens at
        once, and processes share its memory. Replace such a file (`save_model`, ``os.replace``),
        and never write into it: what is mapped changes, and a shorter file kills the process with
        SIGBUS.
    verify : bool, optional
        Whether to compare the hash of the whole file first. None: unless it is mapped.

    Returns
    -------
    AutoRec, BiasBaseline or GlobalMean
        What it predicts equals what the saved model does to the last bit (on another machine, or
        with another NumPy, to rounding). Its arrays are read-only.

    Raises
    ------
    ModelFileError
        The file is damaged, not a model, not the `expected` one, or of another format. It is a
        ValueError.
    OSError
        The file cannot be opened.
    """
    with reading(path, memory_map, not memory_map if verify is None else verify) as members:
        model = _unpack_model(_read_header(members), members)
        if members.unread:
            raise ModelFileError(f"it holds unknown arrays: {sorted(members.unread)!r:.100}")
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


def _pack_state(fitted: Record, arrays: Arrays, include_ratings: bool) -> State:
    ratings = _pack_ratings(fitted.ratings, arrays, include_ratings)
    state: State = {"ids_are_indices": fitted.ids_are_indices, "ratings": ratings}
    if isinstance(fitted, Fitted):
        state["autorec"] = _pack_autorec(fitted, arrays)
    elif isinstance(fitted, FittedBiases):
        state["biases"] = _pack_biases(fitted.biases, arrays)
    elif isinstance(fitted, FittedMean):
        state["mean"] = fitted.mean
    return state


def _unpack_model(header: State, members: Members) -> Recommender:
    state = header["state"]
    parameters = _unpack_parameter({"mapping": header["parameters"]})
    model = _CLASSES[header["class"]](**parameters)
    _check_parameters(model)
    ratings = _unpack_ratings(state["ratings"], members)
    by_index = state["ids_are_indices"]
    if isinstance(model, AutoRec):
        model.fitted_ = _unpack_autorec(state["autorec"], ratings, by_index, members)
    elif isinstance(model, BiasBaseline):
        model.fitted_ = FittedBiases(
            ratings=ratings,
            ids_are_indices=by_index,
            biases=_unpack_biases(state["biases"], ratings, members),
            regularization=float(model.regularization),
        )
    elif isinstance(model, GlobalMean):
        model.fitted_ = FittedMean(ratings=ratings, ids_are_indices=by_index, mean=state["mean"])
    return model


def _pack_biases(biases: Biases, arrays: Arrays) -> State:
    arrays["biases.user"], arrays["biases.item"] = biases.user, biases.item
    return {"mean": float(biases.mean)}


def _unpack_biases(state: State, ratings: Ratings, members: Members) -> Biases:
    n_users, n_items = ratings.shape
    user = members.take("biases.user", "<f8", n_users)
    return Biases(state["mean"], user, members.take("biases.item", "<f8", n_items))


def _pack_autorec(fitted: Fitted, arrays: Arrays) -> State:
    network = {name: getattr(fitted.network, name) for name in _NETWORK}
    network["hidden_layer_sizes"] = [int(size) for size in network["hidden_layer_sizes"]]
    course, cold, baseline = fitted.course, fitted.cold_baseline, fitted.baseline
    arrays["theta"], arrays["codes"] = fitted.theta, fitted.codes
    for name in _CURVES:
        arrays[name] = np.array(getattr(course, name), np.float64)
    trained_on_all = fitted.training is fitted.ratings
    if not trained_on_all:
        every, some = (
            row_of_each(R.matrix) * R.n_items + R.matrix.indices
            for R in (fitted.ratings, fitted.training)
        )
        arrays["trained_on"] = np.isin(every, some, assume_unique=True)
    return {
        "orientation": fitted.axes.row,
        "network": network,
        "input_map": _pack_map(fitted.input_map),
        "output_map": _pack_map(fitted.output_map),
        "regularization": {name: float(x) for name, x in fitted.penalties.items()},
        "baseline": None if baseline is None else type(baseline.model()).__name__,
        "baseline_mean": baseline.mean if isinstance(baseline, FittedMean) else None,
        "cold_baseline": {
            "regularization": float(cold.regularization),
            "biases": _pack_biases(cold.biases, arrays),
            "trained_on_all": trained_on_all,
        },
        "n_iter": int(course.n_iter),
        "n_evaluations": int(course.n_evaluations),
    }


def _unpack_autorec(state: State, ratings: Ratings, by_index: bool, members: Members) -> Fitted:
    axes = Axes(state["orientation"])
    network, penalties = _unpack_network(state, axes, ratings, members)
    theta = members.take("theta", "<f4 <f8", network.layout.size)
    n_rows, _ = axes.rows_and_columns(*ratings.shape)
    codes = members.take("codes", f"<f{theta.itemsize}", n_rows, network.hidden_layer_sizes[-1])
    loss, validation = (tuple(members.take(name, "<f8", None).tolist()) for name in _CURVES)
    course = Course(loss, validation, state["n_iter"], state["n_evaluations"])
    cold_baseline, baseline = _unpack_baselines(state, ratings, by_index, members)
    return Fitted(
        ratings=ratings,
        ids_are_indices=by_index,
        network=network,
        theta=theta,
        codes=codes,
        axes=axes,
        input_map=_unpack_map("input map", state["input_map"]),
        output_map=_unpack_map("output map", state["output_map"]),
        penalties=penalties,
        baseline=baseline,
        cold_baseline=cold_baseline,
        course=course,
    )


def _pack_map(affine: AffineMap) -> State:
    return {name: float(value) for name, value in affine._asdict().items()}


def _unpack_map(name: str, state: State) -> AffineMap:
    if state["factor"] == 0:
        raise ModelFileError(f"the factor of its {name} is 0")
    return AffineMap(**state)


def _unpack_network(
    state: State, axes: Axes, ratings: Ratings, members: Members
) -> tuple[Network, dict[str, float]]:
    with saying("its network is not valid"):
        sizes = tuple(state["network"].pop("hidden_layer_sizes"))
        # products of greater widths might overflow
        if not all(type(size) is int and size <= members.file_size for size in sizes):
            raise ModelFileError(f"its hidden layer sizes are {sizes!r:.100}")
        network = Network(hidden_layer_sizes=sizes, **state["network"])
        penalties = {name: float(x) for name, x in state["regularization"].items()}
        Objective(network, penalties)  # checks them
    _, n_columns = axes.rows_and_columns(*ratings.shape)
    n_inputs = network.n_inputs or network.n_columns
    if not n_inputs == network.n_columns == n_columns:
        raise ModelFileError(
            f"its network reads {n_inputs} columns and returns {network.n_columns}, where its "
            f"ratings, in orientation {axes.row!r}, have {n_columns}"
        )
    return network, penalties


def _unpack_baselines(
    state: State, ratings: Ratings, by_index: bool, members: Members
) -> tuple[FittedBiases, FittedBiases | FittedMean | None]:
    training, cold = ratings, state["cold_baseline"]
    if not cold["trained_on_all"]:
        mask = members.take("trained_on", "|b1", len(ratings))
        selected = ratings.select(mask[ratings.order])
        training = type(ratings)(**vars(selected))
    regularization = check_number("regularization", cold["regularization"], minimum=0.0)
    cold_baseline = FittedBiases(
        ratings=training,
        ids_are_indices=by_index,
        biases=_unpack_biases(cold["biases"], training, members),
        regularization=regularization,
    )
    kind, mean = state["baseline"], state["baseline_mean"]
    if (kind == "GlobalMean") == (mean is None):
        raise ModelFileError(f"its baseline is {kind!r} with the mean {mean}")
    if kind == "GlobalMean":
        return cold_baseline, FittedMean(ratings=training, ids_are_indices=by_index, mean=mean)
    return cold_baseline, cold_baseline if kind == "BiasBaseline" else None


def _check_parameters(model: Recommender) -> None:
    if isinstance(model, AutoRec):
        check_parameters(model.get_params())
    elif isinstance(model, BiasBaseline):
        check_number("regularization", model.regularization, minimum=0.0)


def _pack_parameters(model: Recommender) -> State:
    parameters = model.get_params()
    parameters.pop("callbacks", None)
    if isinstance(parameters.get("random_state"), np.random.Generator):
        parameters["random_state"] = None
    return {name: _pack_parameter(value) for name, value in parameters.items()}


def _pack_parameter(value: Any) -> Any:
    """Return `value` as JSON holds it; what JSON would confuse is wrapped."""
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


def _unpack_ratings(state: State, members: Members) -> Ratings:
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
    with saying("the positions of its ratings are damaged"):
        matrix = sparse.csr_array((data, indices, indptr), shape=(len(user_ids), len(item_ids)))
        matrix.check_format()
    if not (matrix.has_canonical_format and matrix.nnz == n_ratings > 0):
        raise ModelFileError("its ratings are none, or not in ascending positions")
    seen = np.zeros(n_ratings, bool)
    seen[order[(order >= 0) & (order < n_ratings)]] = True
    if not seen.all():
        raise ModelFileError("the order of its ratings is not a permutation")
    for array in (matrix.data, matrix.indices, matrix.indptr, order):
        array.flags.writeable = False
    return kind(matrix, user_ids, item_ids, timestamps, (low, high), order)


def _pack_ids(name: str, ids: Array, arrays: Arrays) -> str:
    if ids.dtype.kind == "i":
        arrays[name] = ids
        return "integers"
    encoded = [one.encode("utf-8", "surrogatepass") for one in ids]
    arrays[f"{name}.utf8"] = np.frombuffer(b"".join(encoded), np.uint8)
    arrays[f"{name}.offsets"] = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return "strings"


def _unpack_ids(name: str, kind: str, members: Members) -> Array:
    if kind == "integers":
        ids = members.take(name, "<i8", None)
    else:
        text = members.take(f"{name}.utf8", "|u1", None).tobytes()
        offsets = members.take(f"{name}.offsets", "<i8", None).tolist()
        if offsets[:1] != [0] or offsets[-1] != len(text) or offsets != sorted(offsets):
            raise ModelFileError(f"the offsets of its {name}' ids do not fit their text")
        with saying(f"the ids of its {name} are not UTF-8"):
            decoded = (text[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(offsets))
            ids = np.fromiter(decoded, dtype=object, count=len(offsets) - 1)
        ids.flags.writeable = False
    if not (ids[1:] > ids[:-1]).all():
        raise ModelFileError(f"the ids of its {name} are not ascending and unique")
    return ids


def _read_header(members: Members) -> State:
    text = members.take("header", "|u1", None).tobytes()
    with saying("its header is not JSON"):
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
    autorec = header["state"].get("autorec")
    if isinstance(autorec, dict):
        autorec.setdefault("input_map", _pack_map(AffineMap()))
    _check("state", header["state"], {**_STATE, **_OWN_STATE[header["class"]]})
    return header


def _check(name: str, found: Any, wanted: Any) -> None:
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
