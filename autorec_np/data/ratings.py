"""`Ratings`: a sparse matrix of ratings with the ids of its rows and columns.

Ids live only here, at the two ends of the way of the data: everything between works on positions.
The set of observed ratings is the *stored pattern* of the matrix, never ``value != 0``, so a stored
0.0 is a rating. Sparse arithmetic may drop stored zeros; this module therefore moves entries only
by indexing ``data``, ``indices`` and ``indptr``.
"""

from __future__ import annotations

import dataclasses
import itertools
import numbers
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse

from autorec_np._validation import check_choice, check_integer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from pandas import DataFrame

    Array: TypeAlias = NDArray[Any]
    Positions: TypeAlias = NDArray[np.int64]

KNOWN_COLUMN_NAMES = {
    "user": ("user", "userid", "uid"),
    "item": ("item", "itemid", "iid", "movie", "movieid", "book", "bookid"),
    "rating": ("rating", "ratings"),
    "timestamp": ("timestamp",),
}
"""Names by which `as_ratings` and `read_ratings` know what a column is: lower-case letters only."""

DUPLICATE_RULES = ("raise", "first", "last", "mean")


class DuplicateRatingError(ValueError):
    """A (user, item) pair is rated more than once.

    Attributes
    ----------
    first, second : int
        Index, in the order given, of the first rating that repeats a pair (`second`) and of the
        first rating of that pair (`first`).
    n_repeats : int
        How many ratings repeat an earlier pair.
    """

    def __init__(self, message: str, first: int, second: int, n_repeats: int) -> None:
        super().__init__(message)
        self.first, self.second, self.n_repeats = first, second, n_repeats

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.first, self.second, self.n_repeats)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Ratings:
    """Ratings of users for items: a sparse matrix, the ids of its rows and columns, a scale.

    Build one with `from_triples`, `from_frame`, `from_matrix`, `as_ratings` or `read_ratings`,
    which check everything; the constructor itself trusts its arguments. A `Ratings` is immutable:
    every method returns a new one, and its arrays are read-only.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array of float32, shape (n_users, n_items)
        Canonical: indices sorted, no duplicates; index arrays are int32 where that suffices.
        Every stored entry is a rating, 0.0 too.
    user_ids, item_ids : ndarray, shape (n_users,) and (n_items,)
        Ids of the rows and columns, unique and ascending: int64, or str in an object array.
    timestamps : ndarray of int64, shape (n_ratings,), or None
        Aligned with ``matrix.data``.
    scale : tuple of float
        ``(low, high)``: the stated rating scale; where none was stated, the smallest and the
        largest rating.
    order : ndarray of int64, shape (n_ratings,)
        ``order[k]`` is the position in ``matrix.data`` of the k-th rating of the file (or of the
        arrays) that the ratings came from. A matrix counts as a file in row-major order.

    Examples
    --------
    >>> R = Ratings.from_triples([7, 7, 9], ["a", "b", "a"], [4, 0, 5], scale=(0, 5))
    >>> R
    Ratings(3 ratings, 2 users x 2 items, 75 % filled, scale 0-5)
    >>> R.matrix.toarray()
    array([[4., 0.],
           [5., 0.]], dtype=float32)
    >>> R.matrix.nnz
    3
    """

    matrix: sparse.csr_array[np.float32]
    user_ids: Array
    item_ids: Array
    timestamps: Positions | None
    scale: tuple[float, float]
    order: Positions

    @classmethod
    def from_triples(
        cls,
        users: ArrayLike,
        items: ArrayLike,
        ratings: ArrayLike,
        timestamps: ArrayLike | None = None,
        *,
        scale: tuple[float, float] | None = None,
        duplicates: str = "raise",
    ) -> Ratings:
        """Build from parallel arrays, one entry per rating.

        Parameters
        ----------
        users, items : array_like, shape (n_ratings,)
            Ids: all integers (within int64) or all strings, separately for users and items.
        ratings : array_like of numbers, shape (n_ratings,)
            Finite; stored as float32.
        timestamps : array_like of integers, shape (n_ratings,), optional
        scale : (low, high), optional
            The rating scale. A rating outside it is an error. Default: the ratings' range.
        duplicates : {"raise", "first", "last", "mean"}
            What to do where a (user, item) pair occurs more than once: raise; keep the first or
            the last entry; or take the mean (in float64) at the first entry's place in the order,
            with the last entry's timestamp.

        Returns
        -------
        Ratings

        Raises
        ------
        ValueError
            No ratings, arrays of different lengths, a missing id, a NaN or infinite rating or one
            outside `scale`, a repeated pair under ``duplicates="raise"``. The message names the
            index of the first offender and how many there are.
        TypeError
            Ids that are neither integers nor strings (or both at once), ratings that are not
            numbers, timestamps that are not integers.
        """
        check_choice("duplicates", duplicates, DUPLICATE_RULES)
        values = _check_numbers(ratings)
        user_array, item_array = check_ids(users, "users"), check_ids(items, "items")
        times = None if timestamps is None else _check_timestamps(timestamps)
        _check_lengths(users=user_array, items=item_array, ratings=values, timestamps=times)
        checked_scale = _check_values(values, scale, _at_index)
        user_ids, rows = unique_with_positions(user_array)
        item_ids, columns = unique_with_positions(item_array)
        return assemble(rows, columns, values, times, user_ids, item_ids, checked_scale, duplicates)

    @classmethod
    def from_frame(
        cls,
        frame: DataFrame,
        *,
        user: str = "user",
        item: str = "item",
        rating: str = "rating",
        timestamp: str | None = None,
        scale: tuple[float, float] | None = None,
        duplicates: str = "raise",
    ) -> Ratings:
        """Build from a pandas DataFrame with one row per rating.

        Parameters
        ----------
        frame : pandas.DataFrame
        user, item, rating : str
            Names of the columns.
        timestamp : str, optional
            Name of the column of timestamps (integers); by default timestamps are not read.
        scale, duplicates
            As in `from_triples`.

        Raises
        ------
        ValueError
            A column that the frame lacks or holds twice; otherwise as `from_triples`. "Index" in a
            message means the row's position, not its label.
        TypeError
            As `from_triples`.
        """
        names = [name for name in (user, item, rating, timestamp) if name is not None]
        for name in names:
            found = sum(column == name for column in frame.columns)
            if found != 1:
                raise ValueError(
                    f"the frame has {'no column' if found == 0 else f'{found} columns named'} "
                    f"{name!r}; its columns are {list(frame.columns)}. Name the columns to read: "
                    f"Ratings.from_frame(frame, user=..., item=..., rating=...)."
                )
        return cls.from_triples(
            *(frame[name] for name in names), scale=scale, duplicates=duplicates
        )

    @classmethod
    def from_matrix(
        cls,
        matrix: Any,
        *,
        user_ids: ArrayLike | None = None,
        item_ids: ArrayLike | None = None,
        scale: tuple[float, float] | None = None,
    ) -> Ratings:
        """Build from a SciPy sparse matrix or array, users x items; every *stored* entry counts.

        Empty rows and columns are kept. The order of the ratings is row-major. The matrix is
        copied and never changed; its indices need not be sorted.

        Parameters
        ----------
        matrix : csr_matrix or csr_array; also CSC, COO, LIL or DOK
        user_ids, item_ids : array_like, shape (n_users,) and (n_items,), optional
            Ids of the rows and columns, in any order, each once. Default: ``arange``. Rows and
            columns of the result are in ascending order of the ids.
        scale : (low, high), optional
            As in `from_triples`.

        Raises
        ------
        ValueError
            No stored entries, an entry stored twice (SciPy would add the two ratings up), NaN or
            infinite ratings or ratings outside `scale`, a broken index structure (negative or too
            large indices, a decreasing ``indptr``), ids that repeat or do not fit the shape.
        TypeError
            A dense array, or a sparse format that pads with zeros (BSR, DIA).
        """
        rows, columns, data = _matrix_entries(matrix)
        n_users, n_items = matrix.shape
        users = _check_axis_ids(user_ids, n_users, "user_ids", "rows")
        items = _check_axis_ids(item_ids, n_items, "item_ids", "columns")
        values = _check_numbers(data)

        def where(index: int) -> str:
            return f"at (row {rows[index]}, column {columns[index]})"

        checked_scale = _check_values(values, scale, where)
        row_ids, rows_by_id = _relabel(users, rows, n_users)
        column_ids, columns_by_id = _relabel(items, columns, n_items)
        return assemble(
            rows_by_id, columns_by_id, values, None, row_ids, column_ids, checked_scale, "raise"
        )

    @property
    def n_users(self) -> int:
        """Number of users (rows), with those that have no rating."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Number of items (columns), with those that have no rating."""
        return len(self.item_ids)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_users, n_items)``."""
        return self.n_users, self.n_items

    def __len__(self) -> int:
        return len(self.order)

    def __repr__(self) -> str:
        cells = self.n_users * self.n_items
        filled = 100.0 * len(self) / cells if cells else 0.0
        low, high = self.scale
        return (
            f"Ratings({len(self):,} ratings, {self.n_users:,} users x {self.n_items:,} items, "
            f"{filled:.3g} % filled, scale {low:.6g}{'-' if low >= 0 else ' to '}{high:.6g})"
        )

    def triples(self) -> tuple[Array, Array, NDArray[np.float32]]:
        """Return ``(user ids, item ids, ratings)``, each of shape (n_ratings,), in file order."""
        rows, columns, ratings = self.positions()
        return self.user_ids[rows], self.item_ids[columns], ratings

    def positions(self) -> tuple[Positions, Positions, NDArray[np.float32]]:
        """Return ``(rows, columns, ratings)`` of `matrix`, each (n_ratings,), in file order."""
        rows, columns = _expand(self.matrix.indptr, self.matrix.indices)
        return rows[self.order], columns[self.order], self.matrix.data[self.order]

    def user_positions(self, ids: ArrayLike) -> Positions:
        """Return the row of each user id, int64 of shape (n,); -1 where the id is unknown.

        Raises
        ------
        TypeError
            The ids asked for are integers where those here are strings, or vice versa.
        """
        return _look_up(ids, self.user_ids, self._user_table, "user")

    def item_positions(self, ids: ArrayLike) -> Positions:
        """Return the column of each item id, int64 of shape (n,); -1 where the id is unknown.

        Raises
        ------
        TypeError
            The ids asked for are integers where those here are strings, or vice versa.
        """
        return _look_up(ids, self.item_ids, self._item_table, "item")

    @cached_property
    def _user_table(self) -> dict[str, int]:
        return _string_table(self.user_ids)

    @cached_property
    def _item_table(self) -> dict[str, int]:
        return _string_table(self.item_ids)

    def select(self, selection: ArrayLike) -> Ratings:
        """Return some of the ratings, with the same ids, shape and scale.

        Parameters
        ----------
        selection : array_like
            A boolean mask of shape (n_ratings,), or the positions (integers, each once) of the
            ratings to keep, in *file order*. The result keeps the file's order in both cases.

        Raises
        ------
        ValueError
            A mask of the wrong length, a position that is given twice.
        IndexError
            A position outside ``[0, n_ratings)``.
        TypeError
            Neither booleans nor integers.
        """
        mask = _selection_mask(selection, len(self))
        keep = np.zeros(len(self), dtype=bool)
        keep[self.order[mask]] = True
        kept_before = np.concatenate(([0], np.cumsum(keep)))
        matrix = _canonical_csr(
            self.matrix.data[keep],
            self.matrix.indices[keep],
            kept_before[self.matrix.indptr],
            self.shape,
        )
        return Ratings(
            matrix,
            self.user_ids,
            self.item_ids,
            None if self.timestamps is None else _frozen(self.timestamps[keep]),
            self.scale,
            _frozen(kept_before[self.order[mask]]),
        )

    def filter(self, min_user: int = 0, min_item: int = 0) -> Ratings:
        """Drop users with few ratings and items with few ratings until none is left.

        Dropping a user takes ratings from items, so the rule is applied until both minima hold
        (the result is the largest part of the data for which they do). Users and items without
        ratings are dropped too, their ids with them; the scale stays.

        Parameters
        ----------
        min_user, min_item : int
            The number of ratings that each remaining user, and each remaining item, has at least.

        Raises
        ------
        ValueError
            A negative minimum, or minima that no rating survives.
        """
        min_user = check_integer("min_user", min_user, minimum=0)
        min_item = check_integer("min_item", min_item, minimum=0)
        rows, columns, _ = self.positions()
        mask = np.ones(len(self), dtype=bool)
        while True:
            per_user = np.bincount(rows[mask], minlength=self.n_users)
            per_item = np.bincount(columns[mask], minlength=self.n_items)
            kept = mask & (per_user[rows] >= min_user) & (per_item[columns] >= min_item)
            if np.array_equal(kept, mask):
                break
            mask = kept
        if not mask.any():
            raise ValueError(
                f"no rating is left after filter(min_user={min_user}, min_item={min_item}) of "
                f"{self!r}; lower the minima."
            )
        users, items = np.flatnonzero(per_user), np.flatnonzero(per_item)
        part = self.select(mask)
        new_column = np.cumsum(per_item > 0) - 1
        matrix = _canonical_csr(
            part.matrix.data,
            new_column[part.matrix.indices],
            part.matrix.indptr[np.concatenate((users, [self.n_users]))],
            (len(users), len(items)),
        )
        return dataclasses.replace(
            part,
            matrix=matrix,
            user_ids=_frozen(self.user_ids[users]),
            item_ids=_frozen(self.item_ids[items]),
        )

    def to_frame(self) -> DataFrame:
        """Return a DataFrame with columns user, item, rating[, timestamp], in file order.

        String ids are in columns of dtype object, so that they stay exactly what they are.
        """
        import pandas as pd

        users, items, ratings = self.triples()
        frame: DataFrame = pd.DataFrame(
            {
                "user": pd.Series(users, dtype=users.dtype),
                "item": pd.Series(items, dtype=items.dtype),
                "rating": ratings,
            }
        )
        if self.timestamps is not None:
            frame["timestamp"] = self.timestamps[self.order]
        return frame


def as_ratings(data: Any, *, scale: tuple[float, float] | None = None) -> Ratings:
    """Turn what a user has into `Ratings`.

    Parameters
    ----------
    data : Ratings, scipy sparse matrix or array, pandas.DataFrame, or tuple of arrays
        A sparse matrix is users x items, its indices become the ids (`Ratings.from_matrix`).
        A tuple is ``(users, items, ratings)`` or ``(users, items, ratings, timestamps)``
        (`Ratings.from_triples`). A DataFrame's columns are known by name (user, item, rating, or
        well-known variants such as userId, movieId, user_id, in any letter case); without such
        names its first three columns are user, item and rating. A column named timestamp is read
        if it holds integers.
    scale : (low, high), optional
        The rating scale. Default: that of the `Ratings`, or the range of the ratings.

    Raises
    ------
    TypeError
        Anything else, a dense array for instance.
    ValueError
        Data that the constructors of `Ratings` refuse.
    """
    if isinstance(data, Ratings):
        if np.isnan(data.matrix.data[:1]).any():
            raise ValueError(
                "these ratings say who rated what but not how (their model was saved with "
                "include_ratings=False); pass the ratings themselves."
            )
        if scale is None:
            return data
        checked = _check_values(data.matrix.data, scale, _at_index, data.order)
        return dataclasses.replace(data, scale=checked)
    if sparse.issparse(data):
        return Ratings.from_matrix(data, scale=scale)
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _from_any_frame(data, scale)
    if isinstance(data, tuple) and len(data) in (3, 4):
        return Ratings.from_triples(*data, scale=scale)
    if isinstance(data, np.ndarray):
        raise TypeError(_DENSE_MESSAGE)
    raise TypeError(
        f"ratings must be a Ratings, a SciPy sparse matrix (users x items), a pandas DataFrame "
        f"(columns user, item, rating) or a tuple (users, items, ratings), "
        f"got {type(data).__name__}{f' of length {len(data)}' if isinstance(data, tuple) else ''}; "
        f"for a file use autorec_np.read_ratings(path)."
    )


_DENSE_MESSAGE = (
    "a dense array cannot say which of its zeros are ratings and which mean 'not rated'; pass a "
    "scipy.sparse.csr_array that stores exactly the ratings, for example "
    "scipy.sparse.csr_array(dense) if no rating is 0, or Ratings.from_triples(users, items, "
    "ratings)."
)


def known_roles(names: Iterable[object]) -> dict[str, int]:
    """Return ``{role: position}`` for the roles that exactly one of the column names has."""
    letters = ["".join(filter(str.isalpha, str(name).lower())) for name in names]
    roles = {}
    for role, known in KNOWN_COLUMN_NAMES.items():
        found = [position for position, name in enumerate(letters) if name in known]
        if len(found) == 1:
            roles[role] = found[0]
    return roles


def default_columns(names: Sequence[object]) -> dict[str, int] | None:
    """Return ``{role: position}`` of user, item, rating and, where one is known, timestamp.

    By name where all of the first three are known, else the first three columns; None where there
    are too few, or where a known name stands at a place that contradicts that.
    """
    roles = known_roles(names)
    by_place = {"user": 0, "item": 1, "rating": 2}
    if by_place.keys() <= roles.keys():
        return roles
    if len(names) < 3 or any(roles.get(role, place) != place for role, place in by_place.items()):
        return None
    if roles.get("timestamp", 3) < 3:
        return None
    return roles | by_place


def check_ids(values: Any, name: str) -> Array:
    """Return ids as a 1-d array: int64, or object with nothing but exact ``str``.

    Accepts every integer dtype (within int64) and every kind of string: NumPy ``<U`` and object
    arrays, pandas string and categorical columns, plain sequences.

    Raises
    ------
    TypeError
        Ids that are neither integers nor strings, or both at once.
    ValueError
        A missing id (None, NaN), an integer beyond int64, an array that is not 1-d.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(
            f"{name} must be a sequence of ids, got {values!r}; pass [{values!r}] for one id."
        )
    array = np.asarray(values) if hasattr(values, "dtype") else np.fromiter(values, dtype=object)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, got an array of shape {array.shape}.")
    if len(array) == 0:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind == "u" and int(array.max()) >= 2**63:
        index = int(np.argmax(array >= np.uint64(2**63)))
        raise ValueError(_beyond_int64(name, index, array[index]))
    if array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind not in "OUSfb":
        raise TypeError(
            f"{name} must be integers or strings, got an array of dtype {array.dtype}; convert it, "
            f"for example with .astype(str)."
        )
    return _check_object_ids(array.astype(object), name)


def _check_object_ids(array: Array, name: str) -> Array:
    kinds = set(map(type, array))
    if kinds == {str}:
        return array
    if all(issubclass(kind, str) for kind in kinds):
        # A subclass such as np.str_ may override str(), so the base method makes the exact copy.
        return np.fromiter(map(str.__str__, array), dtype=object, count=len(array))
    if all(_is_integer_type(kind) for kind in kinds):
        try:
            return array.astype(np.int64)
        except OverflowError:
            index = next(k for k, value in enumerate(array) if not -(2**63) <= value < 2**63)
            raise ValueError(_beyond_int64(name, index, array[index])) from None
    missing = [index for index, value in enumerate(array) if _is_missing(value)]
    if missing:
        raise ValueError(
            f"{name} has a missing id ({array[missing[0]]!r}) at index {missing[0]}, and "
            f"{len(missing):,} in all; drop those ratings or give them ids."
        )
    for index, value in enumerate(array):
        if not (isinstance(value, str) or _is_integer_type(type(value))):
            raise TypeError(
                f"{name} must be integers or strings, got {value!r} ({type(value).__name__}) at "
                f"index {index}; convert them, for example with .astype('int64') or .astype(str)."
            )
    first = type(array[0])
    index = next(k for k, v in enumerate(array) if isinstance(v, str) != issubclass(first, str))
    raise TypeError(
        f"{name} mixes integers and strings: {shown(array[0])} at index 0, {shown(array[index])} "
        f"at index {index}; make them all strings, for example [str(i) for i in {name}]."
    )


def shown(value: object) -> str:
    """Return an id as a message shows it: ``'a'`` or ``7``, not ``np.int64(7)``."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def _is_integer_type(kind: type) -> bool:
    return issubclass(kind, numbers.Integral) and not issubclass(kind, bool)


def _is_missing(value: object) -> bool:
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _beyond_int64(name: str, index: int, value: object) -> str:
    return (
        f"{name} has the integer {value} at index {index}, which does not fit in int64; "
        f"pass these ids as strings."
    )


def _check_axis_ids(values: Any, length: int, name: str, axis: str) -> Array | None:
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
        index = _first_repeat(positions)
        raise ValueError(
            f"{name} has {shown(ids[index])} at index {index} for the second time, and "
            f"{length - len(unique):,} such repeats in all; ids must be unique."
        )
    return ids


def _first_repeat(positions: Array) -> int:
    seen = np.ones(len(positions), dtype=bool)
    seen[np.unique(positions, return_index=True)[1]] = False
    return int(np.argmax(seen))


def _check_numbers(values: Any) -> Array:
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
    if _is_missing(value):
        return float("nan")
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(
            f"ratings must be numbers, got {value!r} ({type(value).__name__}) at index {index}; "
            f"convert them first."
        )
    return float(value.__float__())


def _check_timestamps(values: Any) -> Positions:
    array = np.asarray(values)
    if array.dtype.kind == "O" and all(map(_is_integer_type, set(map(type, array)))):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(
            f"timestamps must be a one-dimensional array of integers, got dtype {array.dtype}, "
            f"shape {array.shape}; convert them (seconds since 1970, for example) and drop or "
            f"fill missing ones."
        )
    return array.astype(np.int64, copy=False)


def _check_lengths(**arrays: Array | None) -> None:
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise ValueError(
            f"the arrays must have the same length, one entry per rating; got {listed} entries."
        )
    if lengths["ratings"] == 0:
        raise ValueError("there are no ratings: all arrays are empty; pass at least one rating.")


def _at_index(index: int) -> str:
    return f"at index {index}"


def _check_values(
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


def unique_with_positions(ids: Array) -> tuple[Array, Positions]:
    """Return the unique ids, ascending, and the position of each id among them."""
    if ids.dtype.kind == "O":
        # Not pandas.factorize: before pandas 3 it takes "a\0b" and "a\0c" for the same string.
        table: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        codes = np.fromiter(map(table.__getitem__, ids), dtype=np.int64, count=len(ids))
        return sort_codes(np.fromiter(table, dtype=object, count=len(table)), codes)
    low, span = int(ids.min()), int(ids.max()) - int(ids.min()) + 1
    if span <= 4 * len(ids) + 1024:
        # Dense ids: one table look-up per id instead of a sort.
        present = np.zeros(span, dtype=bool)
        present[ids - low] = True
        return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[ids - low]
    unique, positions = np.unique(ids, return_inverse=True)
    return unique, positions.reshape(-1)


def sort_codes(distinct: Array, codes: Positions) -> tuple[Array, Positions]:
    """Return distinct ids in ascending order, and the codes (positions in `distinct`) to fit."""
    by_value = np.argsort(distinct, kind="stable")
    rank = np.empty(len(distinct), dtype=np.int64)
    rank[by_value] = np.arange(len(distinct))
    return distinct[by_value], rank[codes]


def _relabel(ids: Array | None, positions: Array, length: int) -> tuple[Array, Array]:
    """Return the ids in ascending order and the positions that fit them."""
    if ids is None:
        return np.arange(length, dtype=np.int64), positions
    unique, new_position = unique_with_positions(ids)
    return unique, new_position[positions]


def assemble(
    rows: Positions,
    columns: Positions,
    values: Array,
    timestamps: Positions | None,
    user_ids: Array,
    item_ids: Array,
    scale: tuple[float, float],
    duplicates: str,
) -> Ratings:
    """Sort checked entries, given in file order, into a canonical CSR; resolve duplicates."""
    shape = len(user_ids), len(item_ids)
    by_cell = _sort_by_cell(rows, columns, shape)
    is_repeat = np.zeros(len(by_cell), dtype=bool)
    is_repeat[1:] = (np.diff(rows[by_cell]) == 0) & (np.diff(columns[by_cell]) == 0)
    starts = np.flatnonzero(~is_repeat)
    first = by_cell[starts]
    last = by_cell[np.append(starts[1:], len(by_cell)) - 1]
    if duplicates == "raise" and is_repeat.any():
        repeats = by_cell[is_repeat]
        second = int(repeats.min())
        group = int(np.searchsorted(starts, np.flatnonzero(by_cell == second)[0], "right")) - 1
        raise DuplicateRatingError(
            f"the ratings at index {first[group]} and index {second} are both for user "
            f"{shown(user_ids[rows[second]])} and item {shown(item_ids[columns[second]])}, and "
            f"{len(repeats):,} of {len(rows):,} ratings repeat an earlier pair; a pair has one "
            f"rating: pass duplicates='last' (or 'first' or 'mean') to resolve this.",
            int(first[group]),
            second,
            len(repeats),
        )
    kept = last if duplicates == "last" else first
    if duplicates == "mean":
        sums = np.add.reduceat(values[by_cell].astype(np.float64), starts)
        data = sums / np.diff(np.append(starts, len(by_cell)))
        times_from = last
    else:
        data = values[kept]
        times_from = kept
    indptr = np.zeros(shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows[kept], minlength=shape[0]), out=indptr[1:])
    position = np.full(len(rows), -1, dtype=np.int64)
    position[kept] = np.arange(len(kept))
    return Ratings(
        _canonical_csr(data.astype(np.float32), columns[kept], indptr, shape),
        _frozen(user_ids),
        _frozen(item_ids),
        None if timestamps is None else _frozen(timestamps[times_from]),
        scale,
        _frozen(position[position >= 0]),
    )


def _sort_by_cell(rows: Array, columns: Array, shape: tuple[int, int]) -> Array:
    """Return the stable permutation that sorts entries by row, then column."""
    if shape[0] * shape[1] < 2**63:
        cells: Array = rows.astype(np.int64) * shape[1] + columns
        return cells.argsort(kind="stable")
    return np.lexsort((columns, rows))


def _canonical_csr(
    data: NDArray[np.float32], indices: Array, indptr: Array, shape: tuple[int, int]
) -> sparse.csr_array[np.float32]:
    """Wrap arrays that are known to be canonical; read-only views, so no caller's flag changes."""
    # SciPy would keep int64, twice the memory and slower, where int32 suffices.
    index = np.int32 if max(*shape, len(data)) < 2**31 else np.int64
    indices, indptr = indices.astype(index, copy=False), indptr.astype(index, copy=False)
    matrix = sparse.csr_array((data, indices, indptr), shape=shape)
    matrix.has_canonical_format = True
    matrix.data = _frozen(matrix.data)
    matrix.indices = _frozen(matrix.indices)
    matrix.indptr = _frozen(matrix.indptr)
    return matrix


def _frozen(array: Array) -> Array:
    view: Array = array.view()
    view.flags.writeable = False
    return view


def _expand(indptr: Array, indices: Array) -> tuple[Positions, Positions]:
    """Return the row and the column of every stored entry."""
    rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
    return rows, indices.astype(np.int64)


def _check_is_sparse(matrix: object) -> None:
    if isinstance(matrix, np.ndarray):
        raise TypeError(_DENSE_MESSAGE)
    if not sparse.issparse(matrix):
        raise TypeError(
            f"the matrix must be a SciPy sparse matrix or array, got {type(matrix).__name__}."
        )


def _matrix_entries(matrix: Any) -> tuple[Positions, Positions, Array]:
    """Return rows, columns and values of the stored entries, row-major, each cell once."""
    _check_is_sparse(matrix)
    if matrix.ndim != 2:
        raise ValueError(f"the matrix must be users x items, got a {matrix.ndim}-d sparse array.")
    if matrix.format in ("bsr", "dia"):
        raise TypeError(
            f"a matrix in {matrix.format.upper()} format pads with zeros, which would count as "
            f"ratings; pass a scipy.sparse.csr_array that stores exactly the ratings."
        )
    if matrix.format in ("lil", "dok"):
        matrix = matrix.tocsr()
    if matrix.format == "coo":
        # Not by way of CSR: SciPy adds duplicates up in that conversion.
        rows, columns, values = matrix.row, matrix.col, matrix.data
        _check_indices(rows, matrix.shape[0], "row")
        _check_indices(columns, matrix.shape[1], "column")
    else:
        rows, columns, values = _compressed_entries(matrix)
    if len(values) == 0:
        raise ValueError(
            "the matrix stores no ratings; pass a matrix that stores at least one entry."
        )
    by_cell = _sort_by_cell(rows, columns, matrix.shape)
    rows, columns, values = rows[by_cell], columns[by_cell], values[by_cell]
    is_repeat = (np.diff(rows) == 0) & (np.diff(columns) == 0)
    if is_repeat.any():
        index = int(np.argmax(is_repeat))
        raise ValueError(
            f"the matrix stores (row {rows[index]}, column {columns[index]}) more than once, with "
            f"the ratings {values[index]} and {values[index + 1]}, and {int(is_repeat.sum()):,} "
            f"such repeats in all; SciPy would add them up: keep one of them, or pass triples to "
            f"Ratings.from_triples(..., duplicates='last')."
        )
    return rows.astype(np.int64), columns.astype(np.int64), values


def _compressed_entries(matrix: Any) -> tuple[Array, Array, Array]:
    """Return rows, columns and values of a CSR or CSC whose structure is checked here.

    SciPy does not look at the index arrays of a matrix made by hand; its conversions would read
    outside them.
    """
    is_csr = matrix.format == "csr"
    n_major, n_minor = matrix.shape if is_csr else matrix.shape[::-1]
    major, minor = ("row", "column") if is_csr else ("column", "row")
    indptr, indices, data = matrix.indptr, matrix.indices, matrix.data
    if len(indptr) != n_major + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError(
            f"the matrix's indptr must hold {n_major + 1:,} non-decreasing offsets from 0, one per "
            f"{major} and the end; it does not. Build the matrix anew, for example from triples."
        )
    n_stored = int(indptr[-1])
    if n_stored > min(len(indices), len(data)):
        raise ValueError(
            f"the matrix's indptr ends at {n_stored:,} but it has {len(indices):,} indices and "
            f"{len(data):,} values. Build the matrix anew, for example from triples."
        )
    _check_indices(indices[:n_stored], n_minor, minor)
    along, across = _expand(indptr, indices[:n_stored])
    rows, columns = (along, across) if is_csr else (across, along)
    return rows, columns, data[:n_stored]


def _check_indices(indices: Array, length: int, axis: str) -> None:
    bad = (indices < 0) | (indices >= length)
    if bad.any():
        index = int(np.argmax(bad))
        raise ValueError(
            f"the matrix has the {axis} index {indices[index]} (stored entry {index}), and "
            f"{int(bad.sum()):,} such in all; {axis} indices must be in [0, {length}). Correct "
            f"them, or pass ids of any kind to Ratings.from_triples."
        )


def _selection_mask(selection: Any, n_ratings: int) -> NDArray[np.bool_]:
    array = np.asarray(selection)
    if array.ndim != 1:
        raise ValueError(f"selection must be one-dimensional, got shape {array.shape}.")
    if array.dtype.kind == "b":
        if len(array) != n_ratings:
            raise ValueError(
                f"the boolean selection has {len(array):,} entries, but there are {n_ratings:,} "
                f"ratings; pass one entry per rating, in file order."
            )
        return array
    mask = np.zeros(n_ratings, dtype=bool)
    if len(array) == 0:
        return mask
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"selection must be a boolean mask or integer positions, got dtype {array.dtype}."
        )
    if array.min() < 0 or array.max() >= n_ratings:
        wrong = array[(array < 0) | (array >= n_ratings)][0]
        raise IndexError(
            f"selection has the position {wrong}; positions must be in [0, {n_ratings}), in file "
            f"order."
        )
    mask[array] = True
    if np.count_nonzero(mask) < len(array):
        raise ValueError(
            f"selection gives {len(array) - np.count_nonzero(mask):,} positions more than once "
            f"(the first: {array[_first_repeat(array)]}); a rating can be selected once."
        )
    return mask


def _string_table(ids: Array) -> dict[str, int]:
    return {name: position for position, name in enumerate(ids)} if ids.dtype.kind == "O" else {}


def _look_up(ids: Any, known: Array, table: dict[str, int], name: str) -> Positions:
    asked = check_ids(ids, f"{name} ids")
    if len(asked) == 0 or len(known) == 0:
        return np.full(len(asked), -1, dtype=np.int64)
    kinds = {"O": "strings", "i": "integers"}
    if asked.dtype.kind != known.dtype.kind:
        raise TypeError(
            f"the {name} ids of these ratings are {kinds[known.dtype.kind]} (the first: "
            f"{shown(known[0])}), but {kinds[asked.dtype.kind]} were asked for (the first: "
            f"{shown(asked[0])}); convert them."
        )
    if known.dtype.kind == "O":
        return np.fromiter((table.get(one, -1) for one in asked), np.int64, len(asked))
    position = np.searchsorted(known, asked)
    position[position == len(known)] = 0
    return np.where(known[position] == asked, position, -1)


def _from_any_frame(frame: DataFrame, scale: tuple[float, float] | None) -> Ratings:
    names = list(frame.columns)
    roles = default_columns(names)
    if roles is None:
        raise ValueError(
            f"the frame must have the columns user, item and rating, or these three first and in "
            f"this order; its columns are {names}. Name them: "
            f"Ratings.from_frame(frame, user=..., item=..., rating=...)."
        )
    columns = {role: frame.iloc[:, place] for role, place in roles.items()}
    timestamps = columns.get("timestamp")
    if timestamps is not None and np.asarray(timestamps).dtype.kind not in "iu":
        timestamps = None
    return Ratings.from_triples(
        columns["user"], columns["item"], columns["rating"], timestamps, scale=scale
    )
