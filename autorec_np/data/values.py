"""Ratings, timestamps and scales: what numbers they must be, and what ratings look like."""

from __future__ import annotations

import decimal
import numbers
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from autorec_np._types import Array
from autorec_np.data.ids import is_integer_type, is_missing, shown


class OutsideScaleError(ValueError):
    """A rating is outside the stated rating scale.

    Attributes
    ----------
    rating : float
        The first of them.
    scale : tuple of float
    """

    def __init__(self, message: str, rating: float, scale: tuple[float, float]) -> None:
        super().__init__(message)
        self.rating, self.scale = rating, scale

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.rating, self.scale)


def check_ratings(values: Any) -> Array:
    """Return ratings as a 1-d float32 or float64 array; TypeError where they are not numbers.

    True and False are the ratings 1 and 0.
    """
    array = np.asarray(values)
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
            f"ratings must be numbers, got an array of dtype {array.dtype}{example}"
            f"{_REMEDIES.get(array.dtype.kind, '')}."
        )
    return array.astype(np.float32 if array.dtype == np.float32 else np.float64, copy=False)


_REMEDIES = {
    "U": "; if all of them write numbers, pass numpy.asarray(ratings, dtype='float64')",
    "c": "; pass numpy.real(ratings) if the imaginary parts mean nothing",
}


def _as_float(value: object, index: int) -> float:
    if is_missing(value):
        return float("nan")
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(
            f"ratings must be numbers, got {value!r} ({type(value).__name__}) at index {index}; "
            f"correct or drop it, or pass numpy.asarray(ratings, dtype='float64') if all of them "
            f"write numbers."
        )
    return float(value.__float__())


def as_numbers(values: Array) -> Array | None:
    """Return int64 or float64 (NaN: missing), or None where values are no numbers.

    Texts count where all of them write numbers without leading zeros; an empty one is missing.
    """
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
            return float("nan")
        if not _NUMBER.fullmatch(value):
            return None
        return float(value) if len(value) > 18 or set(value) & set(".eE") else int(value)
    if is_missing(value):
        return float("nan")
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
    values = np.atleast_1d(np.asarray(missing if missing is not None else ()))
    if len(values) and values.dtype.kind not in "iuf":
        raise TypeError(
            f"missing must be the numbers that mean 'not rated', got {missing!r}; pass (-1, 99) or "
            f"(0,) for example."
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
    if lengths["ratings"] == 0:
        raise ValueError("there are no ratings: all arrays are empty; pass at least one rating.")


def at_index(index: int) -> str:
    return f"at index {index}"


def split_missing(values: Array, missing: Array) -> tuple[Array, int]:
    """Return which values are ratings, and how many are none; ValueError where all are."""
    rated = is_rating(values, missing)
    n_missing = int(np.count_nonzero(~rated))
    if n_missing == len(values):
        raise ValueError(
            f"all of the {n_missing:,} values mean 'not rated'; pass fewer values as missing=."
        )
    return rated, n_missing


def check_values(
    values: Array,
    scale: tuple[float, float] | None,
    where: Callable[[int], str],
) -> tuple[float, float]:
    low, high = check_scale(scale)
    # Rounding is monotone: a rating within the scale stays within the rounded scale.
    with np.errstate(over="ignore"):
        stored = values.astype(np.float32, copy=False)
    bad = ~np.isfinite(stored)
    if bad.any():
        index = int(np.argmax(bad))
        reason = "is too large for float32" if np.isfinite(values[index]) else "is not finite"
        raise ValueError(
            f"the rating {where(index)} is {values[index]}, which {reason}, and so are "
            f"{int(bad.sum()):,} of {len(values):,} ratings; drop or correct them"
            f"{_FOR_NAN if np.isnan(values[index]) else ''}."
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
    advice = (
        f"correct them, or state a wider scale: scale=({low:g}, {high:g}), of a model "
        f"rating_scale=({low:g}, {high:g})"
    )
    if len(np.unique(outside)) == 1:
        value = f"{outside[0]:g}"
        advice += (
            f", or, if {value} means 'not rated', pass missing=({value},) to "
            f"autorec_np.data.as_ratings or read_ratings"
        )
    return advice


_FOR_NAN = (
    ", or, if NaN means 'not rated', pass missing=float('nan') to autorec_np.data.as_ratings or "
    "read_ratings"
)


def check_scale(scale: tuple[float, float] | None) -> tuple[float, float]:
    """An unstated scale is (-inf, inf)."""
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


LONGEST_TAIL = 20  # of the greatest rating, in medians


class UnsuitableRatingsWarning(UserWarning):
    """Ratings that can be predicted and yet rank nothing: equal ones, 0 and 1, or counts."""


def unsuitable(ratings: Array) -> str | None:
    """Return what is wrong with ratings as something to predict; or None."""
    low, high = float(ratings.min()), float(ratings.max())
    if low == high:
        return (
            f"every rating is {low:g}. Every prediction will be {low:g} too: an RMSE of 0 on such "
            f"ratings says nothing, and predicting them ranks no items. If a rating says that "
            f"somebody chose an item, pass how often or how long instead"
        )
    if (low, high) == (0, 1) and bool(np.isin(ratings, (0, 1)).all()):
        return (
            f"every rating is 0 or 1, and {np.mean(ratings == 1):.0%} are 1. If 0 says that "
            f"somebody has not chosen an item, rather than disliked it, a low RMSE says nothing, "
            f"and predicting such ratings does not rank items. Judge the lists by "
            f"autorec_np.evaluate_ranking(model, test)"
        )
    positive = ratings[ratings > 0]
    if low >= 0 and high > LONGEST_TAIL * float(np.median(positive)):
        return (
            f"the ratings look like counts with a long tail: half of those above 0 are at most "
            f"{np.median(positive):g}, and the greatest is {high:g}. A squared error follows the "
            f"few great ones, and predicting counts does not rank items. Pass their logarithm, "
            f"numpy.log1p(ratings)"
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
