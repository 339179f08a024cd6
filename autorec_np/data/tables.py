"""Tables of every kind that hold ratings: frames, dicts, lists of rows, dense arrays."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from autorec_np._types import Array
from autorec_np.data.columns import (
    ROLES,
    SAMPLE,
    ColumnsRead,
    UndecidedColumns,
    check_three_or_four,
    decide,
    known_roles,
    role_of,
)
from autorec_np.data.entries import dense_message
from autorec_np.data.times import check_timestamps
from autorec_np.data.values import as_numbers

if TYPE_CHECKING:
    from pandas import DataFrame

TRIPLES, TUPLES = "list of ratings", "list of tuples"
_HOW_TO_NAME = "autorec_np.data.as_ratings(data, columns=(user, item, rating))"


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of equal length, with names or without; `kind` is for messages."""

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
        more = f"{names[:12]} and {len(names) - 12} more" if len(names) > 12 else f"{names}"
        return f"its columns are {more}"


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
    """Include the levels of the index that are named as a role is."""
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
    if series.index.nlevels != 2:
        return None
    names = [*series.index.names, series.name]
    columns = [series.index.get_level_values(0), series.index.get_level_values(1), series]
    return Table(None if None in names[:2] else names, columns, "Series")


def _from_other_library(data: Any) -> Table:
    kind = type(data).__name__
    names = getattr(data, "column_names", None) or getattr(data, "columns", None)
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        columns = [data[name] for name in names]
        if all(hasattr(column, "__array__") for column in columns):
            return Table(names, columns, kind)
    if hasattr(data, "__arrow_c_stream__"):
        try:
            import pyarrow  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError:
            if not hasattr(data, "__dataframe__"):
                raise TypeError(
                    f"{kind} can be read through Arrow, which needs pyarrow: install it, or pass "
                    f"the columns as a dict of lists."
                ) from None
        else:
            return _from_frame(pyarrow.table(data).to_pandas(), kind)
    import pandas

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated by pandas
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
    users, items, ratings = ([triple[place] for triple in triples] for place in range(3))
    return Table(None, [users, items, ratings], TRIPLES)


def _from_rows(rows: list[Any]) -> Table | None:
    if all(isinstance(row, Mapping) for row in rows):
        names = list(rows[0])
        for index, row in enumerate(rows):
            if row.keys() != rows[0].keys():
                raise ValueError(
                    f"the dict at index {index} has the keys {list(row)}, but the first has "
                    f"{names}; give every dict the same keys."
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
            f"{len(rows[0])}; each row must be (user, item, rating) or, all of them, "
            f"(user, item, rating, timestamp)."
        )
    if not lengths <= {3} and not lengths <= {4}:
        return None
    columns = [list(column) for column in zip(*rows, strict=True)]
    if all(isinstance(row, tuple) for row in rows):
        if len(columns) == 4 and all(value is None for value in columns[3]):
            del columns[3]
        return Table(None, columns, TUPLES)
    if len(rows) == len(columns):
        raise ValueError(
            f"a list of {len(rows)} lists of {len(rows)} can be rows or columns; pass a list of "
            f"tuples (user, item, rating), or a tuple of three lists (users, items, ratings)."
        )
    return Table(None, columns, "list of lists")


def matrix_of(array: Array) -> sparse.coo_array:
    """Return the ratings of a dense table, users x items: all that is not NaN."""
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
    """Return the columns of ratings, and which these are: None where the kind states it."""
    if table.kind == TRIPLES and columns is None:
        return table.columns, None
    if not table.columns and columns is None:
        return [[], [], []], None
    if columns is not None:
        places = _stated_places(table, columns)
    else:
        try:
            if (
                table.index is not None
                and not {*ROLES[:3]} <= known_roles(table.names or ()).keys()
            ):
                raise UndecidedColumns(f"{table.index!r} is the name of an axis", is_table=True)
            may_be_table = table.kind != TUPLES
            places = decide(
                table.names, len(table.columns), table.sample, may_be_table=may_be_table
            )
        except UndecidedColumns as error:
            raise ValueError(_message(table, error)) from None
    found = [table.columns[place] for place in places.values()]
    if columns is None and "timestamp" in places and not _are_timestamps(found[3]):
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


def _are_timestamps(column: Any) -> bool:
    try:
        check_timestamps(column)
    except TypeError:
        return False
    return True


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
    frame = "data" if table.kind == "frame" else "pandas.DataFrame(data)"
    names = table.names
    if names and table.kind == "frame" and any(isinstance(name, tuple) for name in names):
        frame = "data.droplevel(0, axis=1)"  # of pivot_table
        if isinstance(names[0], tuple) and names[0][-1] == "":  # after reset_index
            frame = "data.set_axis([a if b == '' else b for a, b in data.columns], axis=1)"
            names = [name[0] if name[-1] == "" else name[-1] for name in names]
    if table.kind not in ("frame", "dict", "array") and not table.kind.startswith("list"):
        frame = "data.to_pandas()"
    advice = table_advice(names, frame, table.index, holds_ids(table.sample(0)))
    return (
        f"this {table.kind} looks like a table of users x items ({error}); {table.described()}. "
        f"{advice} If it is a list of ratings, name its columns: {_HOW_TO_NAME}."
    )


def holds_ids(values: Array) -> bool:
    numbers = as_numbers(values)
    if numbers is None:
        return True
    return len(numbers) > 1 and bool((np.diff(numbers) > 0).all())


def table_advice(
    names: Sequence[Any] | None, frame: str, index: Any = None, first_holds_ids: bool = False
) -> str:
    """Return how to melt the table that the expression `frame` gives, or to make it sparse."""
    known = known_roles(names or ())
    axis = "item" if "item" in known and "user" not in known else "user"
    other, turned = ("user", ".T") if axis == "item" else ("item", "")
    if axis in known and names is not None and names[known[axis]] != index:
        ids, long = repr(names[known[axis]]), frame
        wide = f"{frame}.set_index({ids})"
    elif names and index is None and first_holds_ids and not str(names[0]).isdecimal():
        wide = f"{frame}.set_index({names[0]!r})"
        ids, long = f"{axis!r}", f"{wide}.reset_index(names={axis!r})"
    else:
        ids, wide = f"{axis!r}", frame
        long = f"{frame}.reset_index(names={axis!r})"
    return (
        f"Melt it: autorec_np.data.as_ratings({long}.melt(id_vars={ids}, var_name={other!r}, "
        f"value_name='rating').dropna(), missing=(0,)) where 0 means 'not rated'; or pass a sparse "
        f"matrix of users x items: scipy.sparse.csr_array({wide}.astype(float).fillna(0)"
        f".to_numpy(){turned})."
    )
