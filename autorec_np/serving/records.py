"""The record of a model as JSON and named arrays. Nothing that is read is trusted.

A model in a model is the same again, under a prefix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np
from scipy import sparse

from autorec_np._types import Array
from autorec_np._validation import check_number
from autorec_np.baselines.factors import (
    LLORMA,
    BayesianMF,
    BiasedMF,
    FactorModel,
    FittedFactors,
    FittedLocal,
    Learned,
    Models,
    SVDpp,
)
from autorec_np.baselines.lists import EASE, FittedLists, ItemKNN, Popularity
from autorec_np.baselines.rbm import MOST_VALUES, FittedRBM, Machine, RatingRBM
from autorec_np.core.implicit import IMPLICIT
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.data.entries import row_of_each
from autorec_np.data.ratings import Ratings
from autorec_np.models.autorec import AutoRec, check_parameters
from autorec_np.models.base import Axes, Recommender, Record, check_fitted
from autorec_np.models.biases import BiasBaseline, Biases, FittedBiases, FittedMean, GlobalMean
from autorec_np.models.blend import WHOLE, Blend, FittedBlend, check_names
from autorec_np.models.frames import N_FEATURES, N_GROUPS, Calibration
from autorec_np.models.interactions import VALUES, ListRecord
from autorec_np.models.ranking_autorec import FittedRanking, RankingAutoRec
from autorec_np.models.scoring import Course, Fitted, Implicit
from autorec_np.serving.archive import (
    Members,
    ModelFileError,
    check,
    csr_of,
    ids_as_arrays,
    ids_of,
    saying,
)
from autorec_np.training.units import AffineMap

State: TypeAlias = dict[str, Any]

# What `check` wants: types, tuples of choices, and dicts of them.
_IDS = ("integers", "strings")
_RATINGS: State = {"kept": ("all", "pattern"), "scale": list, "timestamps": bool}
_RATINGS |= {"user_ids": _IDS, "item_ids": _IDS, "features": {"user": int, "item": int}}
_CURVES = ("loss_curve", "validation_curve")
_BIASES = {"mean": float}
_BASELINE: State = {"biases": _BIASES, "regularization": float}
_FACTORS = ("factors.user", "factors.item", "loss_curve")
_RBM = ("theta", "codes", "values", "loss_curve")
_LISTS = {"threshold": (float, None), "values": VALUES, "weights": ("dense", "sparse", None)}
_CSR = ("data", "indices", "indptr")
_AFFINE_MAP = {"factor": float, "offset": float}
_NETWORK = {
    "n_columns": int,
    "hidden_layer_sizes": list,
    "activation": str,
    "output_activation": str,
    "tied": bool,
    "n_inputs": (int, None),
}
_UNOBSERVED = ("unobserved_weight", "unobserved_target")
_RANKING: State = {"threshold": (float, None), "values": (*VALUES, "ratings")}
_RANKING |= dict.fromkeys(_UNOBSERVED, float)
_AUTOREC = {
    "orientation": ("item", "user"),
    "network": _NETWORK,
    "inputs": ("ratings", "planes"),
    "shrinkage": float,
    "implicit": (int, None),
    "input_map": _AFFINE_MAP,
    "output_map": _AFFINE_MAP,
    "regularization": dict,
    "baseline": ("BiasBaseline", "GlobalMean", None),
    "baseline_mean": (float, None),
    "cold_baseline": {"regularization": float, "biases": _BIASES, "trained_on_all": bool},
    "n_iter": int,
    "n_evaluations": int,
}


class RatedPairs(Ratings):
    """`ratings_` of a model saved without them: ``matrix.data`` is NaN, reading a ValueError."""

    def positions(self) -> NoReturn:
        raise ValueError(
            "the model was saved with include_ratings=False, so it knows who rated what but no "
            "ratings; save it with include_ratings=True, or pass them."
        )


class Packing(NamedTuple):
    """Where arrays go; `around` are ratings of the model around."""

    arrays: dict[str, Array]
    include_ratings: bool
    around: Ratings | None = None
    prefix: str = ""

    def put(self, arrays: Mapping[str, Array], under: str = "") -> None:
        self.arrays.update({self.prefix + under + name: x for name, x in arrays.items()})

    def within(self, prefix: str, around: Ratings) -> Packing:
        return self._replace(around=around, prefix=self.prefix + prefix)


class Common(NamedTuple):
    """What every record has."""

    ratings: Ratings
    ids_are_indices: bool
    calibration: Calibration | None


class Kind(NamedTuple):
    """A class of models, and its part of the state."""

    model: type[Recommender]
    check: Callable[[Any], object]  # of its parameters
    wanted: State  # of what `pack` returns, by `check`
    pack: Callable[[Any, Packing], State]
    unpack: Callable[[State, Common, Members], Record]


def pack_model(model: Recommender, packing: Packing) -> State:
    """Return class, parameters and state, and put arrays."""
    template, fitted = _pack_template(model), check_fitted(model)
    state: State = {"ids_are_indices": fitted.ids_are_indices, "ratings": None}
    if packing.around is not fitted.ratings:
        state["ratings"] = _pack_ratings(fitted.ratings, packing)
    if fitted.calibration is not None:
        packing.put(fitted.calibration._asdict(), "calibration.")
        state["calibration"] = len(fitted.calibration.errors)
    return {**template, "state": {**state, **KINDS[template["class"]].pack(fitted, packing)}}


def unpack_model(found: State, members: Members, around: Ratings | None = None) -> Recommender:
    kind, state = KINDS[found["class"]], found["state"]
    shared = around if state.get("ratings", "") is None else None
    common: State = {"ids_are_indices": bool, "ratings": _RATINGS if shared is None else (None,)}
    # without features, and in older files
    unsaid: State = {"ratings": {"features": {"user": 0, "item": 0}}, "autorec": {"shrinkage": 0.0}}
    for part, values in unsaid.items():
        if isinstance(state.get(part), dict):
            state[part] = {**values, **state[part]}
    if "calibration" in state:
        common["calibration"] = int
    check(f"{members.prefix}state", state, {**common, **kind.wanted})
    model = _unpack_template(found)
    ratings = _unpack_ratings(state["ratings"], members) if shared is None else shared
    for name in ("user_ids", "item_ids"):
        if around is not None and not np.array_equal(getattr(around, name), getattr(ratings, name)):
            raise ModelFileError(f"its {members.prefix}{name} are not those of the model around it")
    calibration = _unpack_calibration(state.get("calibration"), members)
    read = Common(ratings, state["ids_are_indices"], calibration)
    model.fitted_ = kind.unpack(state, read, members)
    return model


def _unpack_calibration(n_errors: int | None, members: Members) -> Calibration | None:
    if n_errors is None:
        return None
    coefficients = members.take("calibration.coefficients", "<f8", N_FEATURES)
    errors = members.take("calibration.errors", "<f8", n_errors)
    starts = members.take("calibration.starts", "<i8", N_GROUPS + 1)
    ends = starts.tolist()
    if not (0 == ends[0] < ends[-1] == n_errors and ends == sorted(ends)):
        raise ModelFileError("the groups of its calibration do not fit")
    falls = 1 + np.flatnonzero(np.diff(errors) < 0)  # only between groups
    finite = np.isfinite(errors).all() and np.isfinite(coefficients).all()
    if not (finite and errors.min() >= 0 and np.isin(falls, starts).all()):
        raise ModelFileError("its calibration is not finite, or not ascending in each group")
    return Calibration(coefficients, errors, starts)


# Parameters


def _pack_template(model: Recommender) -> State:
    name = type(model).__name__
    kind = KINDS.get(name)
    if kind is None or kind.model is not type(model):
        raise TypeError(f"save_model can save {', '.join(KINDS)}, got {name}.")
    kind.check(model)
    parameters = model.get_params(deep=False)
    for left_out in ("callbacks", "checkpoint", "checkpoint_every"):
        parameters.pop(left_out, None)
    if isinstance(parameters.get("random_state"), np.random.Generator):
        parameters["random_state"] = None
    packed = {name: _pack_parameter(value) for name, value in parameters.items()}
    return {"class": name, "parameters": packed}


def _unpack_template(found: State) -> Recommender:
    kind = KINDS[found["class"]]
    model = kind.model(**_unpack_parameter({"mapping": found["parameters"]}))
    kind.check(model)
    return model


def _pack_parameter(value: Any) -> Any:
    """What JSON would confuse is wrapped."""
    if isinstance(value, Recommender):
        return {"model": _pack_template(value)}
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
        case {"model": dict(template)}:
            check("parameters/model", template, {"class": tuple(KINDS), "parameters": dict})
            return _unpack_template(template)
        case dict():
            raise ModelFileError(f"one of its parameters is stored as {found!r:.100}")
    return found


# Of a Blend

_BLEND = {"validation_rmse": float, "members": list}


def _pack_blend(fitted: FittedBlend, packing: Packing) -> State:
    members = [
        {
            "name": name,
            "weight": float(fitted.weights[name]),
            "validation_rmse": float(fitted.validation_rmse[name]),
            **pack_model(member, packing.within(f"members.{number}.", fitted.ratings)),
        }
        for number, (name, member) in enumerate(fitted.members.items())
    ]
    whole = float(fitted.validation_rmse[WHOLE])
    return {"blend": {"validation_rmse": whole, "members": members}}


def _unpack_blend(state: State, common: Common, members: Members) -> FittedBlend:
    found = state["blend"]["members"]
    wanted: State = {"name": str, "weight": float, "validation_rmse": float}
    wanted |= {"class": tuple(KINDS), "parameters": dict, "state": dict}
    parts = [members.within(f"members.{number}.") for number in range(len(found))]
    for part, member in zip(parts, found, strict=True):
        check(part.prefix.removesuffix("."), member, wanted)
    check_names([member["name"] for member in found])
    total = sum(member["weight"] for member in found)
    if not abs(total - 1) < 1e-6:
        raise ModelFileError(f"the weights of its members add up to {total}")
    errors = {member["name"]: member["validation_rmse"] for member in found}
    return FittedBlend(
        **common._asdict(),
        members={
            member["name"]: unpack_model(member, part, common.ratings)
            for part, member in zip(parts, found, strict=True)
        },
        weights={member["name"]: member["weight"] for member in found},
        validation_rmse={**errors, WHOLE: state["blend"]["validation_rmse"]},
    )


# Of the baselines


def _pack_biases(biases: Biases, packing: Packing) -> State:
    packing.put({"user": biases.user, "item": biases.item}, "biases.")
    return {"mean": float(biases.mean)}


def _unpack_biases(state: State, ratings: Ratings, members: Members) -> Biases:
    n_users, n_items = ratings.shape
    user = members.take("biases.user", "<f8", n_users)
    return Biases(state["mean"], user, members.take("biases.item", "<f8", n_items))


def _pack_baseline(fitted: FittedBiases, packing: Packing) -> State:
    biases = _pack_biases(fitted.biases, packing)
    return {"biases": biases, "regularization": float(fitted.regularization)}


def _unpack_baseline(state: State, common: Common, members: Members) -> FittedBiases:
    return FittedBiases(
        **common._asdict(),
        biases=_unpack_biases(state["biases"], common.ratings, members),
        regularization=check_number("regularization", state["regularization"], minimum=0.0),
    )


def _pack_factors(fitted: FittedFactors, packing: Packing) -> State:
    biases, *parts = fitted.learned
    packing.put(dict(zip(_FACTORS, parts, strict=True)))
    return {"factors": {"width": parts[0].shape[1], "biases": _pack_biases(biases, packing)}}


def _unpack_factors(state: State, common: Common, members: Members) -> FittedFactors:
    found, lengths = state["factors"], common.ratings.shape
    biases = _unpack_biases(found["biases"], common.ratings, members)
    P, Q = (
        members.take(name, "<f4", n, found["width"])
        for name, n in zip(_FACTORS, lengths, strict=False)
    )
    losses = members.take(_FACTORS[-1], "<f8", None)
    return FittedFactors(**common._asdict(), learned=Learned(biases, P, Q, losses))


def _pack_rbm(fitted: FittedRBM, packing: Packing) -> State:
    packing.put({name: np.asarray(getattr(fitted, name)) for name in _RBM})
    state = {"orientation": fitted.axes.row, "n_hidden": int(fitted.machine.n_hidden)}
    return {"rbm": state, **_pack_baseline(fitted.cold_baseline, packing)}


def _unpack_rbm(state: State, common: Common, members: Members) -> FittedRBM:
    axes, k = Axes(state["rbm"]["orientation"]), state["rbm"]["n_hidden"]
    values = members.take("values", "<f8", None)
    n_rows, n_columns = axes.rows_and_columns(*common.ratings.shape)
    ascending = np.isfinite(values).all() and (np.diff(values) > 0).all()
    if not (1 <= len(values) <= MOST_VALUES and 1 <= k <= members.file_size and ascending):
        raise ModelFileError(f"it has {k} hidden units, and the values {values!r:.100}")
    machine = Machine(n_columns, len(values), k)
    return FittedRBM(
        **common._asdict(),
        machine=machine,
        theta=members.take("theta", "<f4", machine.layout.size),
        codes=members.take("codes", "<f4", n_rows, k),
        values=values,
        axes=axes,
        cold_baseline=_unpack_baseline(state, common._replace(calibration=None), members),
        loss_curve=tuple(members.take("loss_curve", "<f8", None).tolist()),
    )


def _pack_local(fitted: FittedLocal, packing: Packing) -> State:
    packing.put(fitted.models._asdict())
    n_models, width = len(fitted.models.anchors), fitted.models.user_factors.shape[1]
    biases = _pack_biases(fitted.biases, packing)
    return {"local": {"n_models": n_models, "width": width, "biases": biases}}


def _unpack_local(state: State, common: Common, members: Members) -> FittedLocal:
    found, shape = state["local"], common.ratings.shape
    anchors = members.take("anchors", "<i8", found["n_models"], 2)
    sides = [
        members.take(name, "<f4", n, width)
        for kind, width in (("weights", found["n_models"] + 1), ("factors", found["width"]))
        for name, n in zip((f"user_{kind}", f"item_{kind}"), shape, strict=True)
    ]
    if not all((side >= 0).all() and (side[:, 0] > 0).all() for side in sides[:2]):
        raise ModelFileError("the weights of its models are not positive")
    biases = _unpack_biases(found["biases"], common.ratings, members)
    return FittedLocal(**common._asdict(), models=Models(anchors, *sides), biases=biases)


def _pack_lists(fitted: FittedLists, packing: Packing) -> State:
    weights, told = fitted.weights, _pack_told(fitted, packing)
    kind = "sparse" if sparse.issparse(weights) else weights if weights is None else "dense"
    if kind == "dense":
        packing.put({"weights": weights})
    elif kind:
        packing.put({name: getattr(weights, name) for name in _CSR}, "weights.")
    return {"lists": {**told, "weights": kind}}


def _pack_told(fitted: ListRecord, packing: Packing) -> State:
    threshold, values = fitted.threshold, fitted.values
    if not packing.include_ratings and (threshold is not None or values != "binary"):
        told = f"threshold={threshold} and values={values!r}"
        raise ValueError(f"{told} need the ratings; save with include_ratings=True.")
    return {"threshold": None if threshold is None else float(threshold), "values": values}


def _unpack_lists(state: State, common: Common, members: Members) -> FittedLists:
    found, n = dict(state["lists"]), common.ratings.n_items
    if found["weights"] == "dense":
        found["weights"] = values = members.take("weights", "<f4", n, n)
    elif found["weights"]:
        values = members.take("weights.data", "<f4", None)
        indices = members.take("weights.indices", "<i4 <i8", len(values))
        arrays = values, indices, members.take("weights.indptr", "<i4 <i8", n + 1)
        found["weights"] = csr_of("its item weights", arrays, (n, n))
    if found["weights"] is not None and not np.isfinite(values).all():
        raise ModelFileError("its item weights are not finite")
    return FittedLists(**common._asdict(), **found)


# Of an AutoRec


def _pack_autorec(fitted: Fitted, packing: Packing) -> State:
    network = {name: getattr(fitted.network, name) for name in _NETWORK}
    network["hidden_layer_sizes"] = [int(size) for size in network["hidden_layer_sizes"]]
    course, cold, baseline = fitted.course, fitted.cold_baseline, fitted.baseline
    packing.put({"theta": fitted.theta, "codes": fitted.codes})
    if fitted.implicit is not None:
        packing.put({IMPLICIT: fitted.implicit.weight, "implicit.shares": fitted.implicit.shares})
    packing.put({name: np.array(getattr(course, name), np.float64) for name in _CURVES})
    trained_on_all = cold.ratings is fitted.ratings
    if not trained_on_all:
        every, some = (
            row_of_each(R.matrix) * R.n_items + R.matrix.indices
            for R in (fitted.ratings, cold.ratings)
        )
        packing.put({"trained_on": np.isin(every, some, assume_unique=True)})
    state = {
        "orientation": fitted.axes.row,
        "network": network,
        "inputs": fitted.inputs,
        "shrinkage": float(fitted.shrinkage),
        "implicit": fitted.implicit and fitted.implicit.weight.shape[1],
        "input_map": _floats(fitted.input_map._asdict()),
        "output_map": _floats(fitted.output_map._asdict()),
        "regularization": _floats(fitted.penalties),
        "baseline": None if baseline is None else type(baseline.model()).__name__,
        "baseline_mean": baseline.mean if isinstance(baseline, FittedMean) else None,
        "cold_baseline": {
            "regularization": float(cold.regularization),
            "biases": _pack_biases(cold.biases, packing),
            "trained_on_all": trained_on_all,
        },
        "n_iter": int(course.n_iter),
        "n_evaluations": int(course.n_evaluations),
    }
    return {"autorec": state}


def _unpack_autorec(
    whole: State, common: Common, members: Members, record: Callable[..., Fitted] = Fitted
) -> Fitted:
    state, ratings = whole["autorec"], common.ratings
    axes = Axes(state["orientation"])
    network, penalties = _unpack_network(state, axes, ratings, members)
    theta = members.take("theta", "<f4 <f8", network.layout.size)
    n_rows, _ = axes.rows_and_columns(*ratings.shape)
    codes = members.take("codes", f"<f{theta.itemsize}", n_rows, network.hidden_layer_sizes[-1])
    loss, validation = (tuple(members.take(name, "<f8", None).tolist()) for name in _CURVES)
    course = Course(loss, validation, state["n_iter"], state["n_evaluations"])
    cold_baseline, baseline = _unpack_baselines(state, common, members)
    return record(
        **common._asdict(),
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
        implicit=_unpack_implicit(state, network, n_rows, members),
        inputs=state["inputs"],
        shrinkage=state["shrinkage"],
    )


def _pack_ranking(fitted: FittedRanking, packing: Packing) -> State:
    told = _pack_told(fitted, packing) | {name: getattr(fitted, name) for name in _UNOBSERVED}
    return {**_pack_autorec(fitted, packing), "ranking": told}


def _unpack_ranking(state: State, common: Common, members: Members) -> Fitted:
    fitted = _unpack_autorec(state, common, members, partial(FittedRanking, **state["ranking"]))
    check_number("unobserved_weight", state["ranking"]["unobserved_weight"], minimum=0)
    plain = fitted.output_map == AffineMap() and fitted.network.output_activation == "identity"
    if not plain or fitted.baseline is not None or fitted.inputs != "ratings":
        raise ModelFileError("its network is none of a RankingAutoRec")
    return fitted


def _floats(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(x) for name, x in values.items()}


def _unpack_map(name: str, state: State) -> AffineMap:
    if state["factor"] == 0:
        raise ModelFileError(f"the factor of its {name} is 0")
    return AffineMap(**state)


def _unpack_network(
    state: State, axes: Axes, ratings: Ratings, members: Members
) -> tuple[Network, dict[str, float]]:
    with saying("its network is not valid"):
        sizes = tuple(state["network"].pop("hidden_layer_sizes"))
        if not all(type(size) is int and size <= members.file_size for size in sizes):
            raise ModelFileError(f"its hidden layer sizes are {sizes!r:.100}")
        network = Network(hidden_layer_sizes=sizes, **state["network"])
        penalties = _floats(state["regularization"])
        checked = dict(penalties)
        if state["implicit"] is not None:
            check_number(IMPLICIT, checked.pop(IMPLICIT, 0.0), minimum=0.0)
        Objective(network, checked)
    _, n_columns = axes.rows_and_columns(*ratings.shape)
    n_inputs, n_planes = network.n_inputs or network.n_columns, 1 + (state["inputs"] == "planes")
    n_features = ratings.features[axes.row].shape[1] if axes.row in ratings.features else 0
    if n_planes == 2 and network.tied:
        raise ModelFileError("its network is tied and reads two planes")
    read = divmod(n_inputs, n_columns)
    if network.n_columns != n_columns or read != (n_planes, n_features):
        raise ModelFileError(
            f"its network reads {n_inputs} columns and returns {network.n_columns}, and its "
            f"ratings, in orientation {axes.row!r}, have {n_columns} and {n_features} features"
        )
    return network, penalties


def _unpack_implicit(
    state: State, network: Network, n_rows: int, members: Members
) -> Implicit | None:
    n_units = state["implicit"]
    if n_units is None:
        return None
    width = network.hidden_layer_sizes[-1]
    if network.tied or not 1 <= n_units <= width:
        raise ModelFileError(
            f"its implicit decoder has {n_units} units, of {width}; tied: {network.tied}"
        )
    weight = members.take(IMPLICIT, "<f4 <f8", n_rows, n_units)
    return Implicit(weight, members.take("implicit.shares", "<f4 <f8", network.n_columns, n_units))


def _unpack_baselines(
    state: State, common: Common, members: Members
) -> tuple[FittedBiases, FittedBiases | FittedMean | None]:
    ratings, cold = common.ratings, state["cold_baseline"]
    common = common._replace(calibration=None)
    if not cold["trained_on_all"]:
        mask = members.take("trained_on", "|b1", len(ratings))
        selected = ratings.select(mask[ratings.order])
        common = common._replace(ratings=type(ratings)(**vars(selected)))
    cold_baseline = _unpack_baseline(cold, common, members)
    kind, mean = state["baseline"], state["baseline_mean"]
    if (kind == "GlobalMean") == (mean is None):
        raise ModelFileError(f"its baseline is {kind!r} with the mean {mean}")
    if kind == "GlobalMean":
        return cold_baseline, FittedMean(**common._asdict(), mean=mean)
    return cold_baseline, cold_baseline if kind == "BiasBaseline" else None


# Of ratings


def _pack_ratings(ratings: Ratings, packing: Packing) -> State:
    include_ratings, matrix = packing.include_ratings, ratings.matrix
    if include_ratings and isinstance(ratings, RatedPairs):
        raise ValueError(
            "the model was saved without its ratings and cannot save them; "
            "pass include_ratings=False."
        )
    if ratings.features and not include_ratings:
        raise ValueError(
            "features are learned from the ratings; save the model with include_ratings=True."
        )
    user_ids, users = ids_as_arrays("users", ratings.user_ids)
    item_ids, items = ids_as_arrays("items", ratings.item_ids)
    packing.put({**users, **items})
    packing.put(ratings.features, "features.")
    arrays: dict[str, Array] = {"indices": matrix.indices, "indptr": matrix.indptr}
    if include_ratings:
        arrays |= {"data": matrix.data, "order": ratings.order}
        if ratings.timestamps is not None:
            arrays["timestamps"] = ratings.timestamps
    packing.put(arrays, "ratings.")
    state: State = {
        "kept": "all" if include_ratings else "pattern",
        "scale": [float(end) for end in ratings.scale],
        "timestamps": "timestamps" in arrays,
        "user_ids": user_ids,
        "item_ids": item_ids,
    }
    if ratings.features:
        given = {axis: found.shape[1] for axis, found in ratings.features.items()}
        state["features"] = {"user": 0, "item": 0, **given}
    return state


def _unpack_ratings(state: State, members: Members) -> Ratings:
    low, high = map(float, state["scale"])
    if not -math.inf < low <= high < math.inf:
        raise ModelFileError(f"its rating scale is {low} to {high}")
    user_ids = ids_of("users", state["user_ids"], members)
    item_ids = ids_of("items", state["item_ids"], members)
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
    matrix = csr_of("its ratings", (data, indices, indptr), (len(user_ids), len(item_ids)), 1)
    seen = np.zeros(n_ratings, bool)
    seen[order[(order >= 0) & (order < n_ratings)]] = True
    if not seen.all():
        raise ModelFileError("the order of its ratings is not a permutation")
    order.flags.writeable = False
    features = {
        axis: members.take(f"features.{axis}", "<f8", len(ids), state["features"][axis])
        for axis, ids in (("user", user_ids), ("item", item_ids))
        if state["features"][axis]
    }
    if not all(np.isfinite(array).all() for array in features.values()):
        raise ModelFileError("its features are not finite")
    return kind(matrix, user_ids, item_ids, timestamps, (low, high), order, features=features)


KINDS: dict[str, Kind] = {
    kind.model.__name__: kind
    for kind in (
        Kind(
            AutoRec,
            lambda model: check_parameters(model.get_params()),
            {"autorec": _AUTOREC},
            _pack_autorec,
            _unpack_autorec,
        ),
        Kind(
            BiasBaseline,
            lambda model: check_number("regularization", model.regularization, minimum=0.0),
            _BASELINE,
            _pack_baseline,
            _unpack_baseline,
        ),
        Kind(Blend, Blend.check_parameters, {"blend": _BLEND}, _pack_blend, _unpack_blend),
        Kind(
            GlobalMean,
            lambda model: None,
            {"mean": float},
            lambda fitted, packing: {"mean": fitted.mean},
            lambda state, common, members: FittedMean(**common._asdict(), mean=state["mean"]),
        ),
        Kind(
            RatingRBM,
            RatingRBM.check_parameters,
            {"rbm": {"orientation": ("item", "user"), "n_hidden": int}, **_BASELINE},
            _pack_rbm,
            _unpack_rbm,
        ),
        Kind(
            LLORMA,
            LLORMA.check_parameters,
            {"local": {"n_models": int, "width": int, "biases": _BIASES}},
            _pack_local,
            _unpack_local,
        ),
        *(
            Kind(
                model,
                FactorModel.check_parameters,
                {"factors": {"width": int, "biases": _BIASES}},
                _pack_factors,
                _unpack_factors,
            )
            for model in (BayesianMF, BiasedMF, SVDpp)
        ),
        *(
            Kind(model, model.check_parameters, {"lists": _LISTS}, _pack_lists, _unpack_lists)
            for model in (Popularity, ItemKNN, EASE)
        ),
        Kind(
            RankingAutoRec,
            RankingAutoRec.check_parameters,
            {"autorec": _AUTOREC, "ranking": _RANKING},
            _pack_ranking,
            _unpack_ranking,
        ),
    )
}
