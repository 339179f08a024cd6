"""Features of users or items, such as genres: checked, and in the order of their ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autorec_np._types import Array
from autorec_np.data.entries import frozen
from autorec_np.data.values import Positions, check_ids, shown, unique_with_positions


def read_features(
    frame: Any, axis: str, known: Array, find: Callable[[Array], Positions]
) -> tuple[Array, Array, Positions]:
    """Return ids (n,), ascending, their features (n, d) and where among them the `known` ids are.

    `find` tells which of the known an id is. Each feature is centered and divided by its range.
    """
    if not hasattr(frame, "select_dtypes"):
        raise TypeError(
            f"features of {axis}s must be a DataFrame with their ids as its index, got "
            f"{type(frame).__name__}; pass pandas.DataFrame(features, index=ids)."
        )
    odd = [*frame.select_dtypes(exclude=["number", "bool"])]
    if odd:
        raise TypeError(
            f"features of {axis}s must be numbers, but {odd} are not; encode them: "
            f"pandas.get_dummies(frame, columns={odd})."
        )
    values = frame.to_numpy(np.float64, na_value=np.nan)
    if not (values.size and np.isfinite(values).all()):
        raise ValueError(
            f"features of {axis}s must be finite, and at least one, got shape {values.shape} with "
            f"{np.count_nonzero(~np.isfinite(values)):,} that are not; fill gaps with "
            f"frame.fillna(frame.mean())."
        )
    ids, places = unique_with_positions(check_ids(frame.index, f"{axis} ids"))
    found = find(ids)
    missing = np.delete(known, found[found >= 0])
    if len(ids) < len(frame) or len(missing):
        example = f", for example {shown(missing[0])}" if len(missing) else ""
        raise ValueError(
            f"features of {axis}s must have one row for each {axis} of the ratings, but lack "
            f"{len(missing):,} of {len(known):,}{example}, and repeat {len(frame) - len(ids):,}; "
            f"frame[~frame.index.duplicated()].astype(float).reindex(ids, fill_value=0) gives "
            f"those who lack any the features 0."
        )
    features = np.empty(values.shape)
    features[places] = values
    span = np.ptp(features, axis=0)
    features = (features - features.mean(axis=0)) / np.where(span > 0, span, 1.0)
    return frozen(ids), frozen(features), np.flatnonzero(found >= 0)
