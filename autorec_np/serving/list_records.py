"""The records of models for lists, as `records` writes and reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from autorec_np._types import Array
from autorec_np.baselines.item_knn import FittedItemWeights
from autorec_np.baselines.popularity import FittedPopularity
from autorec_np.models.interactions import VALUES, ListRecord
from autorec_np.serving.archive import Members, ModelFileError, saying

if TYPE_CHECKING:
    from autorec_np.serving.records import Common, Packing, State

LISTS: State = {"threshold": (float, None), "values": VALUES}
LISTS |= {"weights": ("dense", "sparse", None)}
_CSR = ("data", "indices", "indptr")


def pack_lists(fitted: ListRecord, packing: Packing) -> State:
    threshold, values, kind = fitted.threshold, fitted.values, None
    if not packing.include_ratings and (threshold is not None or values != "binary"):
        raise ValueError(
            "threshold and values='counts' need the ratings; save with include_ratings=True."
        )
    if isinstance(fitted, FittedItemWeights):
        weights, kind = fitted.weights, "dense"
        if isinstance(weights, np.ndarray):
            packing.put({"weights": weights})
        else:
            kind = "sparse"
            packing.put({name: getattr(weights, name) for name in _CSR}, "weights.")
    threshold = None if threshold is None else float(threshold)
    return {"lists": {"threshold": threshold, "values": values, "weights": kind}}


def unpack_lists(state: State, common: Common, members: Members) -> ListRecord:
    found, n = dict(state["lists"]), common.ratings.n_items
    kind, weights = found.pop("weights"), None
    if kind is None:
        return FittedPopularity(**common._asdict(), **found)
    if kind == "dense":
        weights = values = members.take("weights", "<f4", n, n)
    else:
        values = members.take("weights.data", "<f4", None)
        indices = members.take("weights.indices", "<i4 <i8", len(values))
        indptr = members.take("weights.indptr", "<i4 <i8", n + 1)
        weights = csr_of("its item weights", (values, indices, indptr), (n, n))
    if not np.isfinite(values).all():
        raise ModelFileError("its item weights are not finite")
    return FittedItemWeights(**common._asdict(), **found, weights=weights)


def csr_of(
    name: str, arrays: tuple[Array, Array, Array], shape: tuple[int, int], least: int = 0
) -> Any:
    with saying(f"the positions of {name} are damaged"):
        matrix = sparse.csr_array(arrays, shape=shape)
        matrix.check_format()
    if not (matrix.has_canonical_format and matrix.nnz == len(arrays[0]) >= least):
        raise ModelFileError(f"{name} are none, or not in ascending positions")
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    return matrix
