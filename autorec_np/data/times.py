"""Timestamps: whole seconds since 1970, of integers, floats, dates and their ISO texts."""

from __future__ import annotations

import calendar
import datetime
import functools
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from autorec_np._types import Array
from autorec_np.data.ids import Positions
from autorec_np.data.values import as_numbers

EARLIEST_LIKELY = 1e8  # 1973

_DATE = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:[ T](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?"
    r"\s*(Z|UTC|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d{1,40}(?:\.\d*)?(?:[eE][+-]?\d{1,3})?", re.ASCII)


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
    """Return times as whole seconds since 1970, int64 of shape (n,).

    Integers stay as they are, whatever their unit; dates without a time zone are in UTC. TypeError
    where anything else stands, or nothing.
    """
    array = np.asarray(values)
    if array.ndim == 1 and array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    if array.ndim == 1 and array.dtype.kind == "M":
        if not np.isnat(array).any():
            return array.astype("datetime64[s]").astype(np.int64)
    elif array.ndim == 1 and array.dtype.kind == "f":
        if (np.abs(array) < 2.0**63).all():
            whole: Positions = np.floor(array).astype(np.int64)
            return whole
    elif array.ndim == 1 and array.dtype.kind in "OUT":
        found = [_seconds(value) for value in array.tolist()]
        if None not in found:
            return np.array(found, dtype=np.int64)
    raise TypeError(
        f"timestamps must be a one-dimensional array of integers, floats, dates or ISO texts such "
        f"as '2004-02-01', got dtype {array.dtype}, shape {array.shape}{_example(array)}; convert "
        f"them to seconds since 1970, fill or drop missing ones, or leave the timestamps out."
    )


def is_date(text: str) -> bool:
    return _date(text) is not None


def seconds_of_texts(texts: Iterable[str], are_dates: bool) -> tuple[Positions, int | None]:
    read = _date if are_dates else _number
    found: list[int] = []
    for text in texts:
        seconds = read(text)
        if seconds is None:
            return np.empty(0, dtype=np.int64), len(found)
        found.append(seconds)
    return np.array(found, dtype=np.int64), None


def _example(array: Array) -> str:
    if array.ndim != 1:
        return ""
    wrong = [one for one in array[:1000].tolist() if _seconds(one) is None]
    return f", with {wrong[0]!r}" if wrong else ""


def _seconds(value: object) -> int | None:
    if isinstance(value, str):
        seconds = _number(value)
        return _date(value) if seconds is None else seconds
    if isinstance(value, datetime.date):
        if value != value:  # pandas' NaT is a date
            return None
        moment = value.utctimetuple() if isinstance(value, datetime.datetime) else value.timetuple()
        return calendar.timegm(moment)
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return None
    return _whole(value)


def _number(text: str) -> int | None:
    if not _NUMBER.fullmatch(text):
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
    *parts, zone = found.groups()
    try:
        moment = datetime.datetime(*(int(part or 0) for part in parts))  # type: ignore[arg-type]
    except ValueError:
        return None
    seconds = calendar.timegm(moment.timetuple())
    if zone in (None, "Z", "UTC"):
        return seconds
    digits = zone[1:].replace(":", "")
    offset = 3600 * int(digits[:2]) + 60 * int(digits[2:])
    return seconds - offset if zone[0] == "+" else seconds + offset
