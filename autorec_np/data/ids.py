"""Ids of users and items, integers within int64 or exact strings: checked, sorted, looked up."""

from __future__ import annotations

import itertools
import numbers
import uuid
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autorec_np._types import Array

Positions: TypeAlias = npt.NDArray[np.int64]


def check_ids(values: Any, name: str) -> Array:
    """Return ids as a 1-d array: int64, or object with nothing but exact ``str`` (also of UUIDs).

    TypeError where they are neither integers nor strings, or both; ValueError where one is missing
    or beyond int64, or the array is not 1-d.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        is_id = isinstance(values, (str, uuid.UUID)) or is_integer_type(type(values))
        advice = f"; pass [{values!r}] for one id" if is_id else ""
        raise TypeError(f"{name} must be a sequence of ids, got {values!r}{advice}.")
    array = (
        np.asarray(values) if hasattr(values, "__array__") else np.fromiter(values, dtype=object)
    )
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got an array of shape {array.shape}.")
    if len(array) == 0:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind == "u" and int(array.max()) >= 2**63:
        index = int(np.argmax(array >= np.uint64(2**63)))
        raise ValueError(_beyond_int64(name, index, array[index]))
    if array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind not in "OUSTfb":
        raise TypeError(
            f"{name} must be integers or strings, got an array of dtype {array.dtype}; pass "
            "numpy.asarray(ids).astype(str) if these are ids."
        )
    return _check_object_ids(array.astype(object), name)


def _check_object_ids(array: Array, name: str) -> Array:
    kinds = set(map(type, array))
    if kinds == {str}:
        return array
    if kinds == {uuid.UUID}:
        return np.fromiter(map(str, array), dtype=object, count=len(array))
    if all(issubclass(kind, str) for kind in kinds):
        # A subclass such as np.str_ may override str().
        return np.fromiter(map(str.__str__, array), dtype=object, count=len(array))
    if all(is_integer_type(kind) for kind in kinds):
        try:
            return array.astype(np.int64)
        except OverflowError:
            index = next(k for k, value in enumerate(array) if not -(2**63) <= value < 2**63)
            raise ValueError(_beyond_int64(name, index, array[index])) from None
    missing = [index for index, value in enumerate(array) if is_missing(value)]
    if missing:
        raise ValueError(
            f"{name} has a missing id ({array[missing[0]]!r}) at index {missing[0]}, and "
            f"{len(missing):,} in all; drop those ratings or give them ids."
        )
    for index, value in enumerate(array):
        if not (isinstance(value, str) or is_integer_type(type(value))):
            raise TypeError(
                f"{name} must be integers or strings, got {value!r} ({type(value).__name__}) at "
                f"index {index}; {_remedy(array, value)}."
            )
    first = type(array[0])
    index = next(k for k, v in enumerate(array) if isinstance(v, str) != issubclass(first, str))
    raise TypeError(
        f"{name} mixes integers and strings: {shown(array[0])} at index 0, {shown(array[index])} "
        f"at index {index}; make them all strings: [str(one) for one in ids]."
    )


def _remedy(array: Array, value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "of a mask, pass the ids that it selects: ids[mask]"
    if isinstance(value, bytes):
        return "pass [one.decode() for one in ids]"
    if all(isinstance(one, float) and one.is_integer() for one in array):
        return "pass numpy.asarray(ids).astype('int64')"
    return "pass [str(one) for one in ids] if these are ids"


def shown(value: object) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)


def is_integer_type(kind: type) -> bool:
    return issubclass(kind, numbers.Integral) and not issubclass(kind, bool)


def is_missing(value: object) -> bool:
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _beyond_int64(name: str, index: int, value: object) -> str:
    return (
        f"{name} has the integer {value} at index {index}, which does not fit in int64; "
        f"pass these ids as strings."
    )


def check_axis_ids(values: Any, length: int, name: str, axis: str) -> Array | None:
    if values is None:
        return None
    ids = check_ids(values, name)
    if len(ids) != length:
        raise ValueError(
            f"{name} has {len(ids):,} ids but the matrix has {length:,} {axis}; pass one id for "
            f"each, in the order of the {axis}."
        )
    unique, positions = unique_with_positions(ids)
    if len(unique) < length:
        index = first_repeat(positions)
        raise ValueError(
            f"{name} has {shown(ids[index])} at index {index} for the second time, and "
            f"{length - len(unique):,} such repeats in all; ids must be unique."
        )
    return ids


def first_repeat(positions: Array) -> int:
    seen = np.ones(len(positions), dtype=bool)
    seen[np.unique(positions, return_index=True)[1]] = False
    return int(np.argmax(seen))


def unique_with_positions(ids: Array) -> tuple[Array, Positions]:
    if ids.dtype.kind == "O":
        # Not pandas.factorize: before pandas 3 it takes "a\0b" and "a\0c" for the same string.
        table: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        codes = np.fromiter(map(table.__getitem__, ids), dtype=np.int64, count=len(ids))
        return sort_codes(np.fromiter(table, dtype=object, count=len(table)), codes)
    low, span = int(ids.min()), int(ids.max()) - int(ids.min()) + 1
    if span <= 4 * len(ids) + 1024:
        present = np.zeros(span, dtype=bool)
        present[ids - low] = True
        return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[ids - low]
    unique, positions = np.unique(ids, return_inverse=True)
    return unique, positions.reshape(-1)


def sort_codes(distinct: Array, codes: Positions) -> tuple[Array, Positions]:
    by_value = np.argsort(distinct, kind="stable")
    rank = np.empty(len(distinct), dtype=np.int64)
    rank[by_value] = np.arange(len(distinct))
    return distinct[by_value], rank[codes]


def relabel(ids: Array | None, positions: Array, length: int) -> tuple[Array, Array]:
    if ids is None:
        return np.arange(length, dtype=np.int64), positions
    unique, new_position = unique_with_positions(ids)
    return unique, new_position[positions]


def string_table(ids: Array) -> dict[str, int]:
    return {name: position for position, name in enumerate(ids)} if ids.dtype.kind == "O" else {}


def look_up(ids: Any, known: Array, table: dict[str, int], name: str) -> Positions:
    asked = check_ids(ids, f"{name} ids")
    if len(asked) == 0 or len(known) == 0:
        return np.full(len(asked), -1, dtype=np.int64)
    if asked.dtype.kind != known.dtype.kind:
        kinds = {"O": "strings", "i": "integers"}
        convert = "[str(one) for one in ids]"
        if known.dtype.kind == "i":
            convert = "[int(one) for one in ids] if they write integers"
        raise TypeError(
            f"the {name} ids of these ratings are {kinds[known.dtype.kind]} (the first: "
            f"{shown(known[0])}), but {kinds[asked.dtype.kind]} were asked for (the first: "
            f"{shown(asked[0])}); pass {convert}."
        )
    if known.dtype.kind == "O":
        return np.fromiter((table.get(one, -1) for one in asked), np.int64, len(asked))
    position = np.searchsorted(known, asked)
    position[position == len(known)] = 0
    return np.where(known[position] == asked, position, -1)
