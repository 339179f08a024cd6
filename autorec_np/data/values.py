"""Ratings, timestamps and scales: what numbers they must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from autorec_np._types import Array
from autorec_np.data.ids import Positions, is_integer_type, is_missing, shown

if TYPE_CHECKING:
    pass


def check_ratings(values: Any) -> Array:
    """Return ratings as a 1-d float32 or float64 array; TypeError where they are not numbers."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"ratings must be one-dimensional, got an array of shape {array.shape}.")
    if array.dtype.kind == "O":
        return np.fromiter(map(_as_float, array, range(len(array))), np.float64, len(array))
    if array.dtype.kind not in "iuf":
        example = f"; the first is {shown(array[0])}" if len(array) else ""
        raise TypeError(
            f"ratings must be numbers, got an array of dtype {array.dtype}{example}; convert them "
            f"first, for example with .astype('float64')."
        )
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64, copy=False)


def _as_float(value: object, index: int) -> float:
    if is_missing(value):
        return float("nan")
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(
            f"ratings must be numbers, got {value!r} ({type(value).__name__}) at index {index}; "
            f"convert them first."
        )
    return float(value.__float__())


def check_timestamps(values: Any) -> Positions:
    array = np.asarray(values)
    if array.dtype.kind == "O" and all(map(is_integer_type, set(map(type, array)))):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(
            f"timestamps must be a one-dimensional array of integers, got dtype {array.dtype}, "
            f"shape {array.shape}; convert them (seconds since 1970, for example) and drop or "
            f"fill missing ones."
        )
    return array.astype(np.int64, copy=False)


def check_lengths(**arrays: Array | None) -> None:
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise ValueError(
            f"the arrays must have the same length, one entry per rating; got {listed} entries."
        )
    if lengths["ratings"] == 0:
        raise ValueError("there are no ratings: all arrays are empty; pass at least one rating.")


def at_index(index: int) -> str:
    return f"at index {index}"


def check_values(
    values: Array,
    scale: tuple[float, float] | None,
    where: Callable[[int], str],
    order: Array | None = None,
) -> tuple[float, float]:
    """Raise on the first rating that is not finite or outside the scale; return the scale."""
    low, high = check_scale(scale)
    if order is not None:
        values = values[order]
    # Ratings are stored as float32: rounding is monotone, so a rating within the scale stays
    # within the scale rounded in the same way, and 1e300 becomes infinite.
    with np.errstate(over="ignore"):
        stored = values.astype(np.float32, copy=False)
    bad = ~np.isfinite(stored)
    if bad.any():
        index = int(np.argmax(bad))
        reason = "is not finite"
        if np.isfinite(values[index]):
            reason = "is too large for float32"
        raise ValueError(
            f"the rating {where(index)} is {values[index]}, which {reason}, and so are "
            f"{int(bad.sum()):,} of {len(values):,} ratings; drop or correct them."
        )
    outside = (stored < np.float32(low)) | (stored > np.float32(high))
    if outside.any():
        index = int(np.argmax(outside))
        raise ValueError(
            f"the rating {where(index)} is {values[index]:g}, outside the stated scale "
            f"[{low:g}, {high:g}], and so are {int(outside.sum()):,} of {len(values):,} ratings; "
            f"correct them or pass scale=({stored.min():g}, {stored.max():g})."
        )
    if scale is None:
        return float(stored.min()), float(stored.max())
    return low, high


def check_scale(scale: tuple[float, float] | None) -> tuple[float, float]:
    """Return a stated scale as two floats, low < high; an unstated one as (-inf, inf)."""
    if scale is None:
        return -np.inf, np.inf
    try:
        low, high = (float(bound) for bound in scale)
    except (TypeError, ValueError):
        raise TypeError(
            f"scale must be a pair of numbers (low, high), got {scale!r}; pass (1, 5) for example."
        ) from None
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(
            f"scale must be two finite numbers (low, high) with low < high, got {scale!r}."
        )
    return low, high
