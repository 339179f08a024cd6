"""Which column of a table is which: the one place that decides it.

Names decide where they say who is who. Columns are taken by their place only where nothing
contradicts it. Everything else is an error, because a wrong guess would give plausible figures.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autorec_np._types import Array
from autorec_np.data.times import EARLIEST_LIKELY, are_times
from autorec_np.data.values import as_numbers

ROLES = ("user", "item", "rating", "timestamp")

_WORDS = {
    "user": "user usr customer reviewer viewer member reader player listener rater client consumer "
    "buyer shopper visitor subscriber person participant respondent student learner judge critic "
    "account profile",
    "item": "item movie film book isbn asin product sku business place anime manga joke song track "
    "artist album game app recipe restaurant hotel article news video show series course beer wine "
    "venue poi location dish document paper photo podcast episode",
    "rating": "rating rate score star overall grade mark preference",
    "timestamp": "timestamp tstamp datetime date time",
}
"""Words for each role, by which people in this field name their columns."""

_SHORT = {
    "uid": "user", "iid": "item", "parentasin": "item", "ts": "timestamp",
    "u": "user", "i": "item", "r": "rating", "t": "timestamp",
}  # fmt: skip
_KEYS = ("id", "key", "no", "nr", "num", "number", "idx", "index", "code", "hash")
_OF_A_RATING = {"user", "my", "your", "star", "review", "overall", "raw", "numeric", "explicit"}
_AFTER_A_RATING = {"val", "value", "score", "given"}
_OF_A_TIME = {"unix", "review", "rating", "rated", "created", "event", "utc", "interaction"}
_TIMES = {"createdat", "updatedat", "ratedat", "epoch", "when", "unixtimestamp"}
_OF_MANY = {"avg", "average", "mean", "median", "count", "total", "max", "min", "std", "n", "num"}
_OTHERS = (
    "id index unnamed level row rank year month day age gender sex genre occupation zip zipcode "
    "title name text review comment summary description helpful vote url link image tag city state "
    "country price style category brand author cold prediction predicted"
)
_INDEX_NAMES = ("", "index", "unnamed0", "level0")

EARLIEST_YEAR, LATEST_YEAR = 1900, 2100
LARGEST_PLAIN_RATING = 1000  # ids are larger
SAMPLE = 100_000
SAMPLE_OF_MANY = 100


def check_three_or_four(columns: Sequence[Any], shown: object) -> None:
    if len(columns) not in (3, 4) or len(set(columns)) < len(columns):
        raise ValueError(
            f"columns must be three or four different columns (user, item, rating and perhaps "
            f"timestamp), got {shown}."
        )


class UndecidedColumns(ValueError):
    """Nothing tells which column is which; `is_table`: it may be of users x items."""

    def __init__(self, reason: str, is_table: bool = False) -> None:
        super().__init__(reason)
        self.is_table = is_table


@dataclasses.dataclass(frozen=True)
class ColumnsRead:
    """Which columns were read as what.

    Attributes
    ----------
    names : dict of str to (str or int)
        By role ("user", "item", "rating", "timestamp"), the name or the position of its column.
    left_out : tuple of (str or int)
        The columns that were not read.
    """

    names: dict[str, Any]
    left_out: tuple[Any, ...] = ()

    def __str__(self) -> str:
        read = ", ".join(f"{role} = {_shown(name)}" for role, name in self.names.items())
        if not self.left_out:
            return read
        first = ", ".join(
            f"{_shown(name)} (a saved index)" if is_index_name(name) else _shown(name)
            for name in self.left_out[:3]
        )
        more = f" and {len(self.left_out) - 3} more" if len(self.left_out) > 3 else ""
        return f"{read}, without {first}{more}"


def _shown(name: object) -> str:
    return repr(name) if isinstance(name, str) else f"column {name}"


def role_of(name: object) -> tuple[str, int] | None:
    words = _words(name)
    joined = "".join(words)
    if joined in _SHORT:
        return _SHORT[joined], 0
    for role in ("user", "item"):
        if joined in _NAMES[role]:
            return role, 0
        if (
            len(words) > 1
            and words[-1] in ("name", "title")
            and "".join(words[:-1]) in _NAMES[role]
        ):
            return role, 1
    if joined in ("username", "nickname"):
        return "user", 1
    if not words or joined.isdecimal():
        return "other", 0
    if words[-1] in _NAMES["timestamp"] or joined in _TIMES:
        if set(words[:-1]) <= _OF_A_TIME or joined in _TIMES:
            return "timestamp", 0 if joined == "timestamp" else 1
        return "other", 0
    if set(words) & _OF_MANY or words[-1] in _KEYS:
        return "other", 0
    if words[-1] in _AFTER_A_RATING and words[:-1] and words[-2] in _NAMES["rating"]:
        words = words[:-1]
    if words[-1] in _NAMES["rating"]:
        of_items = _NAMES["item"] | _NAMES["user"] | _OF_A_RATING
        return "rating", min(len(words) - 1, 1) if set(words[:-1]) <= of_items else 2
    if {words[0], words[-1]} & _NAMES["other"]:
        return "other", 0
    return None


def _words(name: object) -> list[str]:
    text = re.sub(r":[a-z_]+$", "", str(name).strip())
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    return re.findall(r"[^\W_]+", text.lower())


def _every_form(words: str) -> set[str]:
    known = set(words.split())
    known |= {f"{word}s" for word in known}
    return known


_NAMES = {role: _every_form(words) for role, words in (*_WORDS.items(), ("other", _OTHERS))}
for _role in ("user", "item"):
    _NAMES[_role] |= {f"{word}{key}" for word in _NAMES[_role] for key in (*_KEYS, "ids")}


def is_index_name(name: object) -> bool:
    return isinstance(name, str) and "".join(_words(name)) in _INDEX_NAMES


def known_roles(names: Sequence[object]) -> dict[str, int]:
    return {role: places[0] for role, places in _candidates(names).items() if len(places) == 1}


def _candidates(names: Sequence[object]) -> dict[str, list[int]]:
    found: dict[str, dict[int, list[int]]] = {role: {} for role in ROLES}
    for place, name in enumerate(names):
        said = role_of(name)
        if said is not None and said[0] != "other":
            found[said[0]].setdefault(said[1], []).append(place)
    return {role: levels[min(levels)] for role, levels in found.items() if levels}


def decide(
    names: Sequence[object] | None,
    n_columns: int,
    values: Callable[[int], Array],
    wanted: Sequence[str] = ("user", "item", "rating"),
    may_be_table: bool = True,
) -> dict[str, int]:
    """Return ``{role: position}`` of the `wanted` roles and, where there is one, the timestamp."""
    known: dict[str, int] = {}
    if names is not None:
        for role, places in _candidates(names).items():
            if len(places) > 1 and role in wanted:
                listed = " and ".join(repr(names[place]) for place in places[:3])
                raise UndecidedColumns(f"{listed} could each be the {role}")
        known = known_roles(names)
        if set(wanted) <= known.keys():
            _find_times(names, values, known)
            return {role: known[role] for role in (*wanted, "timestamp") if role in known}
    return _by_place(names, n_columns, values, wanted, known, may_be_table)


def _find_times(
    names: Sequence[object], values: Callable[[int], Array], known: dict[str, int]
) -> None:
    rest = [place for place in range(len(names)) if place not in known.values()]
    if "timestamp" not in known and len(names) == 4 and len(rest) == 1:
        (place,) = rest
        if role_of(names[place]) is None and are_times(values(place)[:SAMPLE]):
            known["timestamp"] = place


def _by_place(
    names: Sequence[object] | None,
    n_columns: int,
    values: Callable[[int], Array],
    wanted: Sequence[str],
    known: dict[str, int],
    may_be_table: bool,
) -> dict[str, int]:
    sample = SAMPLE if n_columns <= 4 else SAMPLE_OF_MANY
    numbers = [as_numbers(values(place)[:sample]) for place in range(n_columns)]
    missing = [role for role in wanted if role not in known]
    if n_columns > 4:
        untitled = [place for place in range(n_columns) if place not in known.values()]
        n_text = sum(numbers[place] is None for place in untitled)
        is_table = n_text <= 1 and not {"rating", "item"} <= known.keys()
        reason = f"{n_columns} columns, and no name says which is the {' or the '.join(missing)}"
        raise UndecidedColumns(reason, is_table)
    if n_columns < len(wanted):
        is_pivot = names is not None and all(
            isinstance(name, tuple) or str(name).isdecimal() for name in names
        )
        raise UndecidedColumns(
            f"there is no column for the {' and the '.join(missing)}", is_table=is_pivot
        )
    places = {role: place for place, role in enumerate(ROLES[: min(n_columns, 3)])}
    if names is not None:
        _check_names(names, places, known, all(one is not None for one in numbers[1:]))
    if "rating" in places and "rating" not in known:
        fault = _why_no_rating(numbers[2])
        if fault:
            raise UndecidedColumns(f"{_title(names, 2)} in the place of the rating holds {fault}")
        ids = [values(place)[:SAMPLE] for place in (0, 1)]
        if may_be_table and _is_table(names, numbers, known, ids):
            raise UndecidedColumns("ids and ratings have the same values", is_table=True)
    found = {role: places[role] for role in wanted}
    if n_columns == 4:
        if known.get("timestamp") == 3 or are_times(values(3)[:SAMPLE]):
            found["timestamp"] = 3
        elif not _says_nothing(numbers[3]) and (names is None or role_of(names[3]) != ("other", 0)):
            raise UndecidedColumns(
                f"{_title(names, 3)} holds no times and no name says what it is",
                is_table=all(one is not None for one in numbers),
            )
    return found


def _says_nothing(numbers: Array | None) -> bool:
    """Zeros only are the times of a copy that has lost them."""
    return numbers is not None and len(numbers) > 1 and not numbers.any()


def _title(names: Sequence[object] | None, place: int) -> str:
    return f"column {place if names is None else repr(names[place])}"


def _check_names(
    names: Sequence[object], places: dict[str, int], known: dict[str, int], are_numbers: bool
) -> None:
    for role, place in places.items():
        said = role_of(names[place])
        if said is not None and said[0] != role:
            numeric = [str(name).strip().isdecimal() for name in names]
            saved = is_index_name(names[place]) and are_numbers and not known
            raise UndecidedColumns(
                f"{names[place]!r} in the place of the {role} means something else",
                is_table=saved or sum(numeric) >= len(names) - 1,
            )
    for role, place in known.items():
        if places.get(role, 3) != place:
            raise UndecidedColumns(f"{names[place]!r} is not in the place of the {role}")


def _why_no_rating(numbers: Array | None) -> str | None:
    if numbers is None:
        return None
    numbers = numbers[~np.isnan(numbers)]
    if len(numbers) == 0 or not _are_whole(numbers):
        return None
    low, high = float(numbers.min()), float(numbers.max())
    if high >= 2.0**63:
        return None
    if low >= EARLIEST_LIKELY:
        return f"times ({low:.0f} for example)"
    if low >= EARLIEST_YEAR and high <= LATEST_YEAR:
        return f"years ({low:.0f} for example)"
    n_distinct = len(np.unique(numbers))
    if high > LARGEST_PLAIN_RATING and n_distinct > max(1, len(numbers) // 2):
        return f"ids ({high:.0f} for example)"
    return None


def _is_table(
    names: Sequence[object] | None,
    numbers: Sequence[Array | None],
    known: dict[str, int],
    ids: Sequence[Array],
) -> bool:
    """Whether the would-be ids are ratings too."""
    users, items, ratings = numbers[:3]
    if any(one.dtype.kind == "f" and not _are_whole(one) for one in ids):
        return True
    if items is None or ratings is None or "item" in known or not _alike(items, ratings):
        return False
    if names is None:
        if users is None or not _alike(users, ratings):
            return False
        pairs = set(zip(map(str, ids[0]), map(str, ids[1]), strict=True))
        holds_zero = [(column == 0).any() for column in (users, items, ratings)]
        is_unsorted = len(users) > 2 and (np.diff(users) < 0).any()
        return bool(
            all(holds_zero[:2]) and (len(pairs) < len(users) or (all(holds_zero) and is_unsorted))
        )
    if len(set(map(str, ids[0]))) == len(ids[0]) > 1:
        return True
    return users is not None and "user" not in known and _alike(users, ratings)


def _are_whole(numbers: Array) -> bool:
    return bool((numbers == np.floor(numbers)).all())  # NaN is not


def _alike(ids: Array, ratings: Array) -> bool:
    if not _are_whole(ids):
        return True
    if ids.dtype != ratings.dtype or np.isnan(ratings).all():
        return False
    low, high = np.fmin.reduce(ratings), np.fmax.reduce(ratings)
    return bool(ids.min() >= 2 * min(low, 0) and ids.max() <= 2 * high)
