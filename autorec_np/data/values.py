"""Ids, ratings, scales and timestamps, checked and looked up."""

from __future__ import annotations

import calendar
import datetime
import decimal
import functools
import itertools
import math
import numbers
import re
import uuid
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autorec_np._types import Array

Positions: TypeAlias = npt.NDArray[np.int64]


def check_ids(values: Any, name: str) -> Array:
    """Return ids as a 1-d array: int64, or exact ``str`` in an object array."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        is_id = isinstance(values, (str, uuid.UUID)) or is_integer_type(type(values))
        advice = f"; pass [{values!r}] for one id" if is_id else ""
        raise TypeError(f"{name} must be a sequence of ids, got {values!r}{advice}.")
    has_array = hasattr(values, "__array__")
    array = np.asarray(values) if has_array else np.fromiter(values, dtype=object)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got an array of shape {array.shape}.")
    if len(array) == 0:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind == "i" or (array.dtype.kind == "u" and int(array.max()) < 2**63):
        return array.astype(np.int64, copy=False)
    if array.dtype.kind not in "OUSTfbu":
        raise TypeError(
            f"{name} must be integers or strings, got an array of dtype {array.dtype}; pass "
            "numpy.asarray(ids).astype(str)."
        )
    return _check_object_ids(array.astype(object), name)


def _check_object_ids(array: Array, name: str) -> Array:
    kinds = set(map(type, array))
    if kinds == {str}:
        return array
    if kinds == {uuid.UUID}:
        return np.fromiter(map(str, array), dtype=object, count=len(array))
    if all(issubclass(kind, str) for kind in kinds):
        # np.str_ overrides str()
        return np.fromiter(map(str.__str__, array), dtype=object, count=len(array))
    if all(is_integer_type(kind) for kind in kinds):
        try:
            return array.astype(np.int64)
        except OverflowError:
            index = next(k for k, value in enumerate(array) if not -(2**63) <= value < 2**63)
            raise ValueError(
                f"{name} has the integer {array[index]} at index {index}, which does not fit in "
                f"int64; pass these ids as strings."
            ) from None
    missing = [index for index, value in enumerate(array) if is_missing(value)]
    if missing:
        raise ValueError(
            f"{name} has a missing id ({array[missing[0]]!r}) at index {missing[0]}, and "
            f"{len(missing):,} in all; drop them."
        )
    for index, value in enumerate(array):
        if not (isinstance(value, str) or is_integer_type(type(value))):
            raise TypeError(
                f"{name} must be integers or strings, got {value!r} ({type(value).__name__}) at "
                f"index {index}; {_how_to_pass(array, value)}."
            )
    is_text = [isinstance(value, str) for value in array]
    index = is_text.index(not is_text[0])
    raise TypeError(
        f"{name} mixes integers and strings: {shown(array[0])} at index 0, {shown(array[index])} "
        f"at index {index}; pass [str(one) for one in ids]."
    )


def _how_to_pass(array: Array, value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "of a mask, pass the ids that it selects: ids[mask]"
    if isinstance(value, bytes):
        return "pass [one.decode() for one in ids]"
    if all(isinstance(one, float) and one.is_integer() for one in array):
        return "pass numpy.asarray(ids).astype('int64')"
    return "pass [str(one) for one in ids]"


def shown(value: object) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)


def is_integer_type(kind: type) -> bool:
    return issubclass(kind, numbers.Integral) and not issubclass(kind, bool)


def is_missing(value: object) -> bool:
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def axis_ids(values: Any, length: int, name: str, axis: str) -> tuple[Array, Array]:
    """Return ids, ascending, and their position for each row or column."""
    if values is None:
        return np.arange(length, dtype=np.int64), np.arange(length, dtype=np.int64)
    ids = check_ids(values, name)
    if len(ids) != length:
        raise ValueError(
            f"{name} has {len(ids):,} ids but the matrix has {length:,} {axis}; pass one id for "
            f"each, in their order."
        )
    unique, positions = unique_with_positions(ids)
    if len(unique) < length:
        index = first_repeat(positions)
        raise ValueError(
            f"{name} has {shown(ids[index])} at index {index} for the second time, and "
            f"{length - len(unique):,} such repeats in all; ids must be unique."
        )
    return unique, positions


def first_repeat(positions: Array) -> int:
    firsts = np.unique(positions, return_index=True)[1]
    return int(np.delete(np.arange(len(positions)), firsts)[0])


def unique_with_positions(ids: Array) -> tuple[Array, Positions]:
    if ids.dtype.kind == "O":
        # pandas.factorize takes "a\0b" and "a\0c" for the same
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


def string_table(ids: Array) -> dict[str, int]:
    return dict(zip(ids, range(len(ids)), strict=True)) if ids.dtype.kind == "O" else {}


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


class OutsideScaleError(ValueError):
    """A rating is outside the stated scale: `rating` (float) the first, `scale` (low, high)."""

    def __init__(self, message: str, rating: float, scale: tuple[float, float]) -> None:
        super().__init__(message)
        self.rating, self.scale = rating, scale

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.rating, self.scale)


def check_ratings(values: Any) -> Array:
    """Return a 1-d float32 or float64 array."""
    try:
        array = np.asarray(values)
    except ValueError:  # lists of several lengths
        array = np.asarray(values, dtype=object)
    if array.ndim != 1:
        raise ValueError(
            f"ratings must be one-dimensional, one for each pair, got an array of shape "
            f"{array.shape}; of a table of users x items pass a scipy.sparse.csr_array."
        )
    if array.dtype.kind == "O":
        return np.fromiter(map(_as_float, array, range(len(array))), np.float64, len(array))
    if array.dtype.kind not in "iufb":
        example = f"; the first is {shown(array[0])}" if len(array) else ""
        raise TypeError(
            f"ratings must be numbers, got an array of dtype {array.dtype}{example}; {_CONVERT}."
        )
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64, copy=False)


_CONVERT = (
    "pass numpy.asarray(ratings, dtype='float64') if all of them write numbers, or "
    "numpy.real(ratings) of complex ones"
)


def _as_float(value: object, index: int) -> float:
    if is_missing(value):
        return math.nan
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(
            f"ratings must be numbers, got {value!r} ({type(value).__name__}) at index {index}; "
            f"correct or drop it, or {_CONVERT}."
        )
    return float(value.__float__())


def as_numbers(values: Array) -> Array | None:
    """Return int64 or float64, NaN where missing, or None: no numbers, also as texts write them."""
    if values.dtype.kind in "bi":
        return values.astype(np.int64)
    if values.dtype.kind in "uf":
        return values.astype(np.float64)
    if values.dtype.kind not in "OUT":
        return None
    numbers = [_number(value) for value in values.tolist()]
    if None in numbers:
        return None
    whole = all(isinstance(number, int) and abs(number) < 2**63 for number in numbers)
    return np.array(numbers, dtype=np.int64 if whole else np.float64)


def _number(value: object) -> float | None:
    if isinstance(value, str):
        if not value:
            return math.nan
        if not _NUMBER.fullmatch(value):
            return None
        return float(value) if len(value) > 18 or set(value) & set(".eE") else int(value)
    if is_missing(value):
        return math.nan
    if is_integer_type(type(value)) or isinstance(value, (bool, np.bool_)):
        return int(value)  # type: ignore[call-overload, no-any-return]
    if isinstance(value, (numbers.Real, decimal.Decimal)):
        return float(value)
    return None


# without leading zeros: "007" is an id
_NUMBER = re.compile(
    r"[+-]?(?=\.?[0-9])(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII
)


def check_missing(missing: Any) -> Array:
    values = np.atleast_1d(() if missing is None else missing)
    if len(values) and values.dtype.kind not in "iuf":
        raise TypeError(
            f"missing must be the numbers that mean 'not rated', got {missing!r}; pass (-1, 99) "
            f"for example."
        )
    return values.astype(np.float64)


def is_rating(values: Array, missing: Array) -> Array:
    rated = ~np.isin(values, missing.astype(values.dtype))
    if np.isnan(missing).any():
        rated &= ~np.isnan(values)
    return rated


def check_lengths(**arrays: Array | None) -> None:
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise ValueError(
            f"the arrays must have the same length, one entry per rating; got {listed} entries."
        )
    if 0 in lengths.values():
        raise ValueError("there are no ratings: pass at least one.")


def split_missing(values: Array, missing: Array) -> tuple[Array, int]:
    rated = is_rating(values, missing)
    n_missing = int(np.count_nonzero(~rated))
    if n_missing == len(values):
        raise ValueError(
            f"all of the {n_missing:,} values mean 'not rated'; pass fewer as missing=."
        )
    return rated, n_missing


def check_values(
    values: Array, scale: tuple[float, float] | None, where: Callable[[int], str]
) -> tuple[float, float]:
    low, high = check_scale(scale)
    with np.errstate(over="ignore"):
        stored = values.astype(np.float32, copy=False)
    bad = ~np.isfinite(stored)
    if bad.any():
        index = int(np.argmax(bad))
        reason = "is too large for float32" if np.isfinite(values[index]) else "is not finite"
        advice = _or_missing("NaN", "float('nan')") if np.isnan(values[index]) else ""
        raise ValueError(
            f"the rating {where(index)} is {values[index]}, which {reason}, and so are "
            f"{int(bad.sum()):,} of {len(values):,} ratings; drop or correct them{advice}."
        )
    outside = (stored < np.float32(low)) | (stored > np.float32(high))
    if outside.any():
        index = int(np.argmax(outside))
        raise OutsideScaleError(
            f"the rating {where(index)} is {values[index]:g}, outside the stated scale "
            f"[{low:g}, {high:g}], and so are {int(outside.sum()):,} of {len(values):,} ratings; "
            f"{remedy(stored[outside], (low, high))}.",
            float(values[index]),
            (low, high),
        )
    if scale is None:
        return float(stored.min()), float(stored.max())
    return low, high


def remedy(outside: Array, scale: tuple[float, float]) -> str:
    low, high = min(scale[0], outside.min()), max(scale[1], outside.max())
    wider = f"({low:g}, {high:g})"
    advice = f"correct them, or state a wider scale: scale={wider}, of a model rating_scale={wider}"
    if len(np.unique(outside)) == 1:
        value = f"{outside[0]:g}"
        advice += _or_missing(value, f"({value},)")
    return advice


def _or_missing(what: str, missing: str) -> str:
    return (
        f", or, if {what} means 'not rated', pass missing={missing} to "
        f"autorec_np.data.as_ratings or read_ratings"
    )


def check_scale(scale: tuple[float, float] | None) -> tuple[float, float]:
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


LONGEST_TAIL = 20  # greatest by median


class UnsuitableRatingsWarning(UserWarning):
    """Predicting such ratings ranks nothing."""


def unsuitable(ratings: Array) -> str | None:
    low, high = float(ratings.min()), float(ratings.max())
    ratings = ratings[:: 1 + len(ratings) // 2**20]  # a million says enough
    if low == high:
        return (
            f"every rating is {low:g}. Every prediction will be {low:g} too: an RMSE of 0 on such "
            f"ratings says nothing, and predicting them ranks no items. If a rating says that "
            f"somebody chose an item, RankingAutoRec makes lists of it"
        )
    if (low, high) == (0, 1) and bool(np.isin(ratings, (0, 1)).all()):
        return (
            f"every rating is 0 or 1, and {np.mean(ratings == 1):.0%} are 1. If 0 is 'not chosen', "
            f"not 'disliked', a low RMSE says nothing, and predicting such ratings does not rank "
            f"items. Judge the lists by autorec_np.evaluate_ranking(model, test)"
        )
    positive = ratings[ratings > 0]
    if low >= 0 and high > LONGEST_TAIL * float(np.median(positive)):
        return (
            f"the ratings look like counts with a long tail: half of those above 0 are at most "
            f"{np.median(positive):g}, and the greatest is {high:g}. A squared error follows the "
            f"few great ones, and does not rank items. Pass numpy.log1p(ratings), or make lists by "
            f"RankingAutoRec(values='counts')"
        )
    return None


def warn_of_unsuitable(ratings: Array, stacklevel: int) -> None:
    reason = unsuitable(ratings)
    if reason is not None:
        warnings.warn(
            f"{reason}; or, where this is what you want, call warnings.simplefilter('ignore', "
            f"autorec_np.data.UnsuitableRatingsWarning).",
            UnsuitableRatingsWarning,
            stacklevel=stacklevel + 1,
        )


EARLIEST_LIKELY = 1e8  # 1973

_DATE = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:[ T](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?"
    r"\s*(?:Z|UTC|([+-])(\d{2}):?(\d{2}))?",
    re.ASCII,
)
_SECONDS = re.compile(r"[+-]?\d{1,40}(?:\.\d*)?(?:[eE][+-]?\d{1,3})?", re.ASCII)


def are_times(values: Array) -> bool:
    if len(values) == 0:
        return False
    if values.dtype.kind == "M":
        return True
    numbers = as_numbers(values)
    if numbers is not None:
        return bool((numbers >= EARLIEST_LIKELY).all())
    return all(
        isinstance(value, datetime.date) or (isinstance(value, str) and _date(value) is not None)
        for value in values.tolist()
    )


def check_timestamps(values: Any) -> Positions:
    """Return whole seconds since 1970, int64 of shape (n,); integers stay as they are."""
    array = np.asarray(values)
    kind = array.dtype.kind if array.ndim == 1 else None
    if kind in ("i", "u"):
        return array.astype(np.int64, copy=False)
    if kind == "M" and not np.isnat(array).any():
        return array.astype("datetime64[s]").astype(np.int64)
    if kind == "f" and (np.abs(array) < 2.0**63).all():
        whole: Positions = np.floor(array).astype(np.int64)
        return whole
    if kind in ("O", "U", "T"):
        found = [*map(_seconds, array.tolist())]
        if None not in found:
            return np.array(found, dtype=np.int64)
    raise TypeError(
        f"timestamps must be a one-dimensional array of integers, floats, dates or ISO texts such "
        f"as '2004-02-01', got dtype {array.dtype}, shape {array.shape}{_example(array)}; convert "
        f"them to seconds since 1970, or leave them out."
    )


def is_date(text: str) -> bool:
    return _date(text) is not None


def seconds_of_texts(texts: Iterable[str], are_dates: bool) -> tuple[Positions, int | None]:
    found = [*map(_date if are_dates else _seconds_in, texts)]
    wrong = found.index(None) if None in found else None
    return np.array(found[:wrong], dtype=np.int64), wrong


def _example(array: Array) -> str:
    if array.ndim != 1:
        return ""
    wrong = [one for one in array[:1000].tolist() if _seconds(one) is None]
    return f", with {wrong[0]!r}" if wrong else ""


def _seconds(value: object) -> int | None:
    if isinstance(value, str):
        seconds = _seconds_in(value)
        return _date(value) if seconds is None else seconds
    if isinstance(value, datetime.date):
        if value != value:  # pandas' NaT is a date
            return None
        moment = value.utctimetuple() if isinstance(value, datetime.datetime) else value.timetuple()
        return calendar.timegm(moment)
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return None
    return _whole(value)


def _seconds_in(text: str) -> int | None:
    if not _SECONDS.fullmatch(text):
        return None
    return _whole(int(text) if text.lstrip("+-").isdigit() else float(text))


def _whole(number: Any) -> int | None:
    if not math.isfinite(number):
        return None
    whole = math.floor(number)
    return whole if -(2**63) <= whole < 2**63 else None


@functools.lru_cache(maxsize=2**16)
def _date(text: str) -> int | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    *parts, sign, hours, minutes = found.groups()
    try:
        moment = datetime.datetime(*(int(part or 0) for part in parts))  # type: ignore[arg-type]
    except ValueError:
        return None
    ahead = 3600 * int(hours or 0) + 60 * int(minutes or 0)
    return calendar.timegm(moment.timetuple()) + (ahead if sign == "-" else -ahead)
