"""Tables that hold ratings, and which of their columns is which.

Names decide, and places only where nothing contradicts: a wrong guess gives plausible figures.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from autorec_np._types import Array
from autorec_np.data.entries import dense_message
from autorec_np.data.values import EARLIEST_LIKELY, are_times, as_numbers, check_timestamps
from autorec_np.gradcheck.process import kept_back

if TYPE_CHECKING:
    from pandas import DataFrame

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
    """`is_table`: perhaps users x items."""

    def __init__(self, reason: str, is_table: bool = False) -> None:
        super().__init__(reason)
        self.is_table = is_table


@dataclasses.dataclass(frozen=True)
class ColumnsRead:
    """Which columns were read as what.

    Attributes
    ----------
    names : dict of str to (str or int)
        By role ("user", "item", "rating", "timestamp"), a name or position.
    left_out : tuple of (str or int)
        The others.
    """

    names: dict[str, Any]
    left_out: tuple[Any, ...] = ()

    def __str__(self) -> str:
        read = ", ".join(f"{role} = {_shown(name)}" for role, name in self.names.items())
        if not self.left_out:
            return read
        without = ", ".join(
            _shown(name) + " (a saved index)" * is_index_name(name) for name in self.left_out[:3]
        )
        n_more = len(self.left_out) - 3
        return f"{read}, without {without}{f' and {n_more} more' if n_more > 0 else ''}"


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
        if words and words[-1] in ("name", "title") and "".join(words[:-1]) in _NAMES[role]:
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


_NAMES = {
    role: {word + ending for word in words.split() for ending in ("", "s")}
    for role, words in {**_WORDS, "other": _OTHERS}.items()
}
for _role in ("user", "item"):
    _NAMES[_role] |= {f"{word}{key}" for word in _NAMES[_role] for key in (*_KEYS, "ids")}


def is_index_name(name: object) -> bool:
    return isinstance(name, str) and "".join(_words(name)) in _INDEX_NAMES


def known_roles(names: Sequence[object]) -> dict[str, int]:
    return {role: places[0] for role, places in _candidates(names).items() if len(places) == 1}


def _candidates(names: Sequence[object]) -> dict[str, list[int]]:
    said = [role_of(name) for name in names]
    best = {one[0]: one for one in sorted(filter(None, said), reverse=True)}
    return {
        role: [place for place, one in enumerate(said) if one == best[role]]
        for role in ROLES
        if role in best
    }


def decide(
    names: Sequence[object] | None,
    n_columns: int,
    values: Callable[[int], Array],
    wanted: Sequence[str] = ("user", "item", "rating"),
    may_be_table: bool = True,
) -> dict[str, int]:
    """Return places by role: of those `wanted`, and the timestamp if any."""
    titles = names or ()
    for role, places in _candidates(titles).items():
        if len(places) > 1 and role in wanted:
            listed = " and ".join(repr(titles[place]) for place in places[:3])
            raise UndecidedColumns(f"{listed} could each be the {role}")
    known = known_roles(titles)
    if not set(wanted) <= known.keys():
        return _by_place(names, n_columns, values, wanted, known, may_be_table)
    rest = [place for place in range(len(titles)) if place not in known.values()]
    if "timestamp" not in known and len(titles) == 4 and len(rest) == 1:
        (place,) = rest
        if role_of(titles[place]) is None and are_times(values(place)[:SAMPLE]):
            known["timestamp"] = place
    return {role: known[role] for role in (*wanted, "timestamp") if role in known}


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
        texts = {place for place, column in enumerate(numbers) if column is None}
        is_table = len(texts - {*known.values()}) <= 1 and not {"rating", "item"} <= known.keys()
        reason = f"{n_columns} columns, and no name says which is the {' or the '.join(missing)}"
        raise UndecidedColumns(reason, is_table)
    if n_columns < len(wanted):
        reason = f"there is no column for the {' and the '.join(missing)}"
        is_item = (isinstance(name, tuple) or str(name).isdecimal() for name in names or ("?",))
        raise UndecidedColumns(reason, is_table=all(is_item))
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
        elif _says_something(numbers[3]) and (names is None or role_of(names[3]) != ("other", 0)):
            raise UndecidedColumns(
                f"{_title(names, 3)} holds no times and no name says what it is",
                is_table=all(one is not None for one in numbers),
            )
    return found


def _says_something(numbers: Array | None) -> bool:
    """Zeros only: a copy has lost its times."""
    return numbers is None or len(numbers) < 2 or bool(numbers.any())


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
    if len(numbers) == 0 or not _are_whole(numbers) or numbers.max() >= 2.0**63:
        return None
    low, high = float(numbers.min()), float(numbers.max())
    if low >= EARLIEST_LIKELY:
        return f"times ({low:.0f} for example)"
    if low >= EARLIEST_YEAR and high <= LATEST_YEAR:
        return f"years ({low:.0f} for example)"
    if high > LARGEST_PLAIN_RATING and len(np.unique(numbers)) > max(1, len(numbers) // 2):
        return f"ids ({high:.0f} for example)"
    return None


def _is_table(
    names: Sequence[object] | None,
    numbers: Sequence[Array | None],
    known: dict[str, int],
    ids: Sequence[Array],
) -> bool:
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
    low, high = np.nanmin(ratings), np.nanmax(ratings)
    return bool(ids.min() >= 2 * min(low, 0) and ids.max() <= 2 * high)


TRIPLES, TUPLES = "list of ratings", "list of tuples"
_HOW_TO_NAME = "autorec_np.data.as_ratings(data, columns=(user, item, rating))"


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of equal length."""

    names: list[Any] | None
    columns: list[Any]
    kind: str = "table"
    index: Any = None

    def sample(self, place: int) -> Array:
        column = self.columns[place]
        return np.asarray(column[:SAMPLE] if hasattr(column, "__getitem__") else column)

    def title(self, place: int) -> Any:
        return place if self.names is None else self.names[place]

    def described(self) -> str:
        if self.names is None:
            return f"its {len(self.columns)} columns have no names"
        names = [str(name) if isinstance(name, np.generic) else name for name in self.names]
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        return f"its columns are {names[:12]}{more}"


def as_table(data: Any) -> Table | None:
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _from_frame(data)
    if pandas is not None and isinstance(data, pandas.Series):
        return _from_series(data)
    if isinstance(data, np.ndarray) and data.dtype.names:
        return Table(list(data.dtype.names), [data[name] for name in data.dtype.names], "array")
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if isinstance(data, Iterator):
        data = list(data)
    if isinstance(data, list) and data:
        return _from_rows(data)
    if hasattr(data, "__dataframe__") or hasattr(data, "__arrow_c_stream__"):
        return _from_other_library(data)
    return None


def _from_frame(frame: DataFrame, kind: str = "frame") -> Table:
    """Levels of the index with a role's name count too."""
    names: list[Any] = list(frame.columns)
    columns: list[Any] = [frame.iloc[:, place] for place in range(len(names))]
    if names == list(range(len(names))) and len(names) > 0:
        return Table(None, columns, kind)
    known = known_roles(names)
    for level, name in reversed(list(enumerate(frame.index.names))):
        said = role_of(name) if isinstance(name, str) else None
        if said is not None and said[0] in ROLES and said[0] not in known:
            names.insert(0, name)
            columns.insert(0, frame.index.get_level_values(level))
    axes = [frame.index.name, frame.columns.name]
    index = next((name for name in axes if (role_of(name) or "?")[0] in ("user", "item")), None)
    return Table(names, columns, kind, index)


def _from_series(series: Any) -> Table | None:
    index = series.index
    if index.nlevels != 2:
        return None
    names = [*index.names, series.name]
    columns = [index.get_level_values(0), index.get_level_values(1), series]
    return Table(None if None in names[:2] else names, columns, "Series")


def _from_other_library(data: Any) -> Table:
    kind = type(data).__name__
    names = getattr(data, "column_names", None) or getattr(data, "columns", None)
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        columns = [data[name] for name in names]
        if all(hasattr(column, "__array__") for column in columns):
            return Table(names, columns, kind)
    if hasattr(data, "__arrow_c_stream__"):
        with suppress(ImportError):
            import pyarrow  # type: ignore[import-not-found, import-untyped, unused-ignore]

            return _from_frame(pyarrow.table(data).to_pandas(), kind)
        if not hasattr(data, "__dataframe__"):
            raise TypeError(
                f"{kind} can be read through Arrow, which needs pyarrow: install it, or pass a "
                f"dict of lists."
            )
    import pandas

    with kept_back():  # deprecated by pandas
        return _from_frame(pandas.api.interchange.from_dataframe(data), kind)


def _from_mapping(data: Mapping[Any, Any]) -> Table | None:
    values = list(data.values())
    if not values:
        return None
    if all(isinstance(value, Mapping) for value in values):
        triples = [(user, *pair) for user, rated in data.items() for pair in rated.items()]
    elif all(isinstance(key, tuple) and len(key) == 2 for key in data):
        triples = [(*pair, rating) for pair, rating in data.items()]
    elif all(hasattr(value, "__len__") and not isinstance(value, (str, bytes)) for value in values):
        return Table(list(data), values, "dict")
    else:
        return None
    return Table(None, [[one[place] for one in triples] for place in range(3)], TRIPLES)


def _from_rows(rows: list[Any]) -> Table | None:
    if all(isinstance(row, Mapping) for row in rows):
        names = list(rows[0])
        for index, row in enumerate(rows):
            if row.keys() != rows[0].keys():
                raise ValueError(
                    f"the dict at index {index} has the keys {list(row)}, but the first has "
                    f"{names}; all need the same."
                )
        return Table(names, [[row[name] for row in rows] for name in names], "list of dicts")
    fields = getattr(rows[0], "_fields", None)
    if fields and all(getattr(row, "_fields", None) == fields for row in rows):
        return Table(list(fields), [*map(list, zip(*rows, strict=True))], "list of named tuples")
    lengths = {len(row) if isinstance(row, (tuple, list, np.ndarray)) else 0 for row in rows}
    if len(lengths) > 1 and lengths & {3, 4} and 0 not in lengths:
        index = next(k for k, row in enumerate(rows) if len(row) != len(rows[0]))
        raise ValueError(
            f"the row at index {index} has {len(rows[index])} entries, but the first has "
            f"{len(rows[0])}; all must be (user, item, rating), or all with a timestamp."
        )
    if lengths not in ({3}, {4}):
        return None
    columns = [*map(list, zip(*rows, strict=True))]
    if all(isinstance(row, tuple) for row in rows):
        if len(columns) == 4 and all(value is None for value in columns[3]):
            del columns[3]
        return Table(None, columns, TUPLES)
    if len(rows) == len(columns):
        raise ValueError(
            f"a list of {len(rows)} lists of {len(rows)} can be rows or columns; pass a list of "
            f"tuples (user, item, rating), or a tuple (users, items, ratings)."
        )
    return Table(None, columns, "list of lists")


def matrix_of(array: Array) -> sparse.coo_array:
    if isinstance(array, np.ma.MaskedArray):
        array = np.where(np.ma.getmaskarray(array), np.nan, array.data.astype(np.float64))
    array = np.asarray(array)  # numpy.matrix stays two-dimensional
    is_table = array.ndim == 2 and array.shape[1] > 4 and array.dtype.kind == "f"
    if not is_table or not np.isnan(array).any():
        raise TypeError(dense_message(array))
    rows, columns = np.nonzero(~np.isnan(array))
    return sparse.coo_array((array[rows, columns], (rows, columns)), shape=array.shape)


def find_ratings(
    table: Table, columns: Sequence[Any] | None
) -> tuple[list[Any], ColumnsRead | None]:
    """Return columns, and which these are, if not plain."""
    if columns is not None:
        places = _stated_places(table, columns)
    elif table.kind == TRIPLES or not table.columns:
        return table.columns or [[], [], []], None
    else:
        try:
            known = known_roles(table.names or ()).keys()
            if table.index is not None and not {*ROLES[:3]} <= known:
                raise UndecidedColumns(f"{table.index!r} is the name of an axis", is_table=True)
            places = decide(
                table.names, len(table.columns), table.sample, may_be_table=table.kind != TUPLES
            )
        except UndecidedColumns as error:
            raise ValueError(_message(table, error)) from None
    found = [table.columns[place] for place in places.values()]
    if columns is None and "timestamp" in places:
        try:
            check_timestamps(found[3])
        except TypeError:
            del places["timestamp"], found[3]
    if columns is None and table.kind == TUPLES:
        return found, None
    return found, columns_read(places, [table.title(k) for k in range(len(table.columns))])


def columns_read(places: Mapping[str, int], titles: Sequence[Any]) -> ColumnsRead:
    left_out = [title for place, title in enumerate(titles) if place not in places.values()]
    return ColumnsRead({role: titles[place] for role, place in places.items()}, tuple(left_out))


def find_ids(table: Table, roles: Sequence[str], advice: str) -> list[Any]:
    try:
        places = decide(table.names, len(table.columns), table.sample, roles)
    except UndecidedColumns as error:
        raise ValueError(
            f"the {table.kind} must have columns named {' and '.join(roles)}, or these first and "
            f"in this order ({error}); {table.described()}. {advice}"
        ) from None
    return [table.columns[places[role]] for role in roles]


def _stated_places(table: Table, columns: Sequence[Any]) -> dict[str, int]:
    check_three_or_four("" if isinstance(columns, str) else columns, repr(columns))
    titles = [table.title(place) for place in range(len(table.columns))]
    if not set(columns) <= set(titles) and all(isinstance(one, int) for one in columns):
        titles = list(range(len(table.columns)))
    for column in columns:
        if titles.count(column) != 1:
            raise ValueError(
                f"{titles.count(column) or 'no'} columns are {column!r}; {table.described()}. "
                f"Correct columns=(user, item, rating)."
            )
    return {role: titles.index(column) for role, column in zip(ROLES, columns, strict=False)}


def _message(table: Table, error: UndecidedColumns) -> str:
    if not error.is_table or table.kind == TUPLES:
        return (
            f"which column of the {table.kind} is which is not certain: {error}; "
            f"{table.described()}. Name them: {_HOW_TO_NAME}."
        )
    frame, names = "data", table.names
    if table.kind in ("dict", "array") or table.kind.startswith("list"):
        frame = "pandas.DataFrame(data)"
    elif table.kind != "frame":
        frame = "data.to_pandas()"
    elif names and any(isinstance(name, tuple) for name in names):
        frame = "data.droplevel(0, axis=1)"  # of pivot_table
        if isinstance(names[0], tuple) and names[0][-1] == "":  # after reset_index
            frame = "data.set_axis([a if b == '' else b for a, b in data.columns], axis=1)"
            names = [name[0] if name[-1] == "" else name[-1] for name in names]
    advice = table_advice(names, frame, table.index, holds_ids(table.sample(0)))
    return (
        f"this {table.kind} looks like a table of users x items ({error}); {table.described()}. "
        f"{advice} If it is a list of ratings, name its columns: {_HOW_TO_NAME}."
    )


def holds_ids(values: Array) -> bool:
    numbers = as_numbers(values)
    return numbers is None or (len(numbers) > 1 and bool((np.diff(numbers) > 0).all()))


def table_advice(
    names: Sequence[Any] | None, frame: str, index: Any = None, first_holds_ids: bool = False
) -> str:
    """Say how to melt `frame`, an expression, or to make it sparse."""
    known = known_roles(names or ())
    axis = "item" if "item" in known and "user" not in known else "user"
    other, turned = ("user", ".T") if axis == "item" else ("item", "")
    wide, ids = frame, repr(axis)
    if axis in known and names is not None and names[known[axis]] != index:
        long, ids = frame, repr(names[known[axis]])
        wide = f"{frame}.set_index({ids})"
    else:
        if names and index is None and first_holds_ids and not str(names[0]).isdecimal():
            wide = f"{frame}.set_index({names[0]!r})"
        long = f"{wide}.reset_index(names={ids})"
    return (
        f"Melt it: autorec_np.data.as_ratings({long}.melt(id_vars={ids}, var_name={other!r}, "
        f"value_name='rating').dropna(), missing=(0,)) where 0 means 'not rated'; or pass a sparse "
        f"matrix of users x items: scipy.sparse.csr_array({wide}.astype(float).fillna(0)"
        f".to_numpy(){turned})."
    )
