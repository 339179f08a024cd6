"""`Ratings`: a sparse matrix of ratings with the ids of its rows and columns."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from autorec_np._types import Array
from autorec_np._validation import check_choice, check_integer
from autorec_np.data.columns import (
    FOR_LISTS,
    ROLES,
    ColumnsRead,
    as_table,
    columns_read,
    find_ratings,
    matrix_of,
)
from autorec_np.data.entries import (
    BLOCK,
    DUPLICATE_RULES,
    DuplicateRatingError,
    Opened,
    Stored,
    arrange,
    canonical_csr,
    frozen,
    index_dtype,
    matrix_entries,
    row_of_each,
    selection_mask,
)
from autorec_np.data.values import (
    Positions,
    axis_ids,
    check_ids,
    check_lengths,
    check_missing,
    check_ratings,
    check_scale,
    check_timestamps,
    check_values,
    look_up,
    split_missing,
    string_table,
    unique_with_positions,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from pandas import DataFrame


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Ratings:
    """Ratings of users for items: a sparse matrix, the ids of its rows and columns, a scale.

    The constructor trusts its arguments. All is immutable, arrays are read-only.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array of float32, shape (n_users, n_items)
        Canonical: sorted, no duplicates. Every stored entry is a rating, 0.0 too.
    user_ids, item_ids : ndarray, shape (n_users,) and (n_items,)
        Unique and ascending: int64, or str in an object array.
    timestamps : ndarray of int64, shape (n_ratings,), or None
        Aligned with ``matrix.data``.
    scale : tuple of float
        ``(low, high)``, as stated or else of the ratings.
    order : ndarray of int64, shape (n_ratings,)
        ``order[k]`` is the position in ``matrix.data`` of the k-th rating of the file.
    columns : ColumnsRead or None
        Which columns were read as what.
    n_missing : int
        Values left out as "not rated".
    features : mapping of "user" and "item" to ndarray of float64, shape (n, d)
        Those of `with_features`, centered and divided by their ranges.
    """

    matrix: sparse.csr_array[np.float32]
    user_ids: Array
    item_ids: Array
    timestamps: Positions | None
    scale: tuple[float, float]
    order: Positions
    columns: ColumnsRead | None = None
    n_missing: int = 0
    features: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    stored: Stored | None = dataclasses.field(default=None, init=False)  # not by `replace`

    @classmethod
    def open(cls, folder: str | os.PathLike[str], verify: bool = False) -> Ratings:
        """Open what `store_ratings` wrote; its arrays are mapped, not read.

        A pickle of them names the folder, which must then be there.

        Parameters
        ----------
        folder : str or path-like
        verify : bool
            Whether to read all, and compare it with the hashes.

        Raises
        ------
        ValueError
            The folder holds no stored ratings, or those of another version; it is damaged.
        OSError
        """
        fields = Opened(folder, verify).fields()
        stored, said = fields.pop("stored"), fields["columns"]
        fields["columns"] = said and ColumnsRead(said["names"], tuple(said["left_out"]))
        return _stored(cls(**fields), stored)

    def relabeled(self, **changes: Any) -> Ratings:
        """Return the same entries with another scale, columns, n_missing or features."""
        stored = self.stored and self.stored._replace(changes=self.stored.changes | changes)
        return _stored(dataclasses.replace(self, **changes), stored)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.stored is None:
            return super().__reduce_ex__(protocol)
        return _reopened, (str(self.stored.folder), self.stored.digest, self.stored.changes)

    @property
    def folder(self) -> Path | None:
        """Where they are stored, or None: in memory."""
        return self.stored and self.stored.folder

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
        missing: ArrayLike = (),
    ) -> Ratings:
        """Build from parallel arrays, one entry per rating.

        Parameters
        ----------
        users, items : array_like, shape (n_ratings,)
            All integers (within int64) or all strings. UUIDs become strings.
        ratings : array_like of numbers, shape (n_ratings,)
            Finite; stored as float32. True is 1, False is 0.
        timestamps : array_like, shape (n_ratings,), optional
            Integers stay; floats, dates and ISO texts become whole seconds since 1970.
        scale : (low, high), optional
            Default: the ratings' range.
        duplicates : {"raise", "first", "last", "mean"}
            What to keep of the ratings of a pair; the mean has the timestamp of the last.
        missing : number or sequence of numbers
            Values, perhaps NaN, that mean "not rated": left out and counted in `n_missing`.

        Raises
        ------
        ValueError
            No ratings, different lengths, a missing id, a rating that is not finite or outside
            `scale`, a repeated pair under ``duplicates="raise"``.
        TypeError
            Other ids, ratings or timestamps than above.
        """
        check_choice("duplicates", duplicates, DUPLICATE_RULES)
        values = check_ratings(ratings)
        user_array, item_array = check_ids(users, "users"), check_ids(items, "items")
        times = None if timestamps is None else check_timestamps(timestamps)
        check_lengths(users=user_array, items=item_array, ratings=values, timestamps=times)
        user_ids, rows = unique_with_positions(user_array)
        item_ids, columns = unique_with_positions(item_array)
        found = rows, columns, values, times
        return of_positions(*found, user_ids, item_ids, scale, duplicates, check_missing(missing))

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
        missing: ArrayLike = (),
    ) -> Ratings:
        """Build from a DataFrame with one row per rating.

        Parameters
        ----------
        frame : pandas.DataFrame
        user, item, rating : str
            Names of the columns.
        timestamp : str, optional
            By default these are not read.
        scale, duplicates, missing
            As in `from_triples`.

        Raises
        ------
        TypeError, ValueError
            As `from_triples` ("index": the row's position); a column that the frame lacks or holds
            twice.
        """
        names = [name for name in (user, item, rating, timestamp) if name is not None]
        titles = list(frame.columns)
        for name in names:
            found = titles.count(name)
            if found != 1:
                raise ValueError(
                    f"the frame has {'no column' if found == 0 else f'{found} columns named'} "
                    f"{name!r}; its columns are {titles}. Name the columns to read, user=..., "
                    f"item=..., rating=...{', after renaming all but one' if found else ''}."
                )
        R = cls.from_triples(
            *(frame[name] for name in names), scale=scale, duplicates=duplicates, missing=missing
        )
        places = {role: titles.index(name) for role, name in zip(ROLES, names, strict=False)}
        return dataclasses.replace(R, columns=columns_read(places, titles))

    @classmethod
    def from_matrix(
        cls,
        matrix: Any,
        *,
        user_ids: ArrayLike | None = None,
        item_ids: ArrayLike | None = None,
        scale: tuple[float, float] | None = None,
        duplicates: str = "raise",
        missing: ArrayLike = (),
    ) -> Ratings:
        """Build from a SciPy sparse matrix or array, users x items; every *stored* entry counts.

        Empty rows and columns stay. The order is row-major.

        Parameters
        ----------
        matrix : csr_matrix or csr_array; also CSC, COO, LIL or DOK
        user_ids, item_ids : array_like, shape (n_users,) and (n_items,), optional
            Ids of the rows and columns. Default: ``arange``.
        scale, duplicates, missing
            As in `from_triples`; an entry stored twice repeats a pair.

        Raises
        ------
        ValueError
            As `from_triples`; a damaged matrix, ids that repeat or do not fit the shape.
        TypeError
            A dense array, or a format that pads with zeros (BSR, DIA).
        """
        check_choice("duplicates", duplicates, DUPLICATE_RULES)
        rows, columns, data = matrix_entries(matrix, duplicates)
        n_users, n_items = matrix.shape
        users, at_rows = axis_ids(user_ids, n_users, "user_ids", "rows")
        items, at_columns = axis_ids(item_ids, n_items, "item_ids", "columns")
        values = check_ratings(data)
        rated, n_missing = split_missing(values, check_missing(missing))
        if n_missing:
            rows, columns, values = rows[rated], columns[rated], values[rated]
        checked_scale = check_values(
            values, scale, lambda index: f"at (row {rows[index]}, column {columns[index]})"
        )
        places = at_rows[rows], at_columns[columns]
        R = assemble(*places, values, None, users, items, checked_scale, duplicates)
        return dataclasses.replace(R, n_missing=n_missing)

    @property
    def n_users(self) -> int:
        """Rows, also without a rating."""
        return self.shape[0]

    @property
    def n_items(self) -> int:
        """Columns, also without a rating."""
        return self.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_users, n_items)``."""
        return len(self.user_ids), len(self.item_ids)

    def __len__(self) -> int:
        return len(self.order)

    def __repr__(self) -> str:
        cells = self.n_users * self.n_items
        filled = 100.0 * len(self) / cells if cells else 0.0
        low, high = self.scale
        return (
            f"Ratings({len(self):,} ratings, {self.n_users:,} users x {self.n_items:,} items, "
            f"{filled:.3g} % filled, scale {low:.6g}{'-' if low >= 0 else ' to '}{high:.6g}"
            f"{f'; {self.reading()}' if self.reading() else ''})"
        )

    def reading(self) -> str:
        """Return what was read as what, and how many values meant "not rated"."""
        said = [] if self.columns is None else [str(self.columns)]
        if self.n_missing:
            verb = "value means" if self.n_missing == 1 else "values mean"
            said.append(f"{self.n_missing:,} {verb} 'not rated'")
        return "; ".join(said)

    def oriented(self, row: str) -> sparse.csr_array[np.float32]:
        """Return the matrix whose rows are each a "user", which is `matrix`, or each an "item"."""
        if row == "user":
            return self.matrix
        return self.matrix.T.tocsr() if self.stored is None else self.stored.turned

    def triples(self) -> tuple[Array, Array, NDArray[np.float32]]:
        """Return ``(user ids, item ids, ratings)``, each (n_ratings,), in file order."""
        rows, columns, ratings = self.positions()
        return self.user_ids[rows], self.item_ids[columns], ratings

    def positions(self) -> tuple[Positions, Positions, NDArray[np.float32]]:
        """Return ``(rows, columns, ratings)`` of `matrix`, each (n_ratings,), in file order."""
        rows = row_of_each(self.matrix)
        columns = self.matrix.indices.astype(np.int64)
        return rows[self.order], columns[self.order], self.matrix.data[self.order]

    def user_positions(self, ids: ArrayLike) -> Positions:
        """Return the row of each user id, int64 of shape (n,); -1 where the id is unknown.

        TypeError where integers are asked for and the ids here are strings, or vice versa.
        """
        return look_up(ids, self.user_ids, self._user_table, "user")

    def item_positions(self, ids: ArrayLike) -> Positions:
        """Return the column of each item id; all else is as in `user_positions`."""
        return look_up(ids, self.item_ids, self._item_table, "item")

    @cached_property
    def _user_table(self) -> dict[str, int]:
        return string_table(self.user_ids)

    @cached_property
    def _item_table(self) -> dict[str, int]:
        return string_table(self.item_ids)

    def select(self, selection: ArrayLike) -> Ratings:
        """Return some ratings, in memory, with the same ids, shape, scale and order.

        Parameters
        ----------
        selection : array_like
            A boolean mask of shape (n_ratings,), or positions, in *file order*.

        Raises
        ------
        ValueError, IndexError, TypeError
            A mask of another length or a repeated position, one outside ``[0, n_ratings)``, neither
            booleans nor integers.
        """
        mask = selection_mask(selection, len(self))
        order = self.order[mask]
        keep = np.zeros(len(self), dtype=bool)
        keep[order] = True
        kept_before = np.zeros(len(self) + 1, index_dtype(len(self)))
        np.cumsum(keep, dtype=kept_before.dtype, out=kept_before[1:])
        for start in range(0, len(order), BLOCK):  # without a copy
            part = order[start : start + BLOCK]
            part[:] = kept_before[part]
        matrix = canonical_csr(
            self.matrix.data[keep],
            self.matrix.indices[keep],
            kept_before[self.matrix.indptr],
            self.shape,
        )
        return dataclasses.replace(
            self,
            matrix=matrix,
            timestamps=None if self.timestamps is None else frozen(self.timestamps[keep]),
            order=frozen(order),
        )

    def filter(self, min_user: int = 0, min_item: int = 0) -> Ratings:
        """Drop users with few ratings and items with few ratings until none is left.

        Parameters
        ----------
        min_user, min_item : int
            The least number of ratings that a user and an item must have; who has none goes.

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
                f"{self!r}; lower them."
            )
        users, items = np.flatnonzero(per_user), np.flatnonzero(per_item)
        part = self.select(mask)
        new_column = np.cumsum(per_item > 0) - 1
        matrix = canonical_csr(
            part.matrix.data,
            new_column[part.matrix.indices],
            part.matrix.indptr[np.concatenate((users, [self.n_users]))],
            (len(users), len(items)),
        )
        return dataclasses.replace(
            part,
            matrix=matrix,
            user_ids=frozen(self.user_ids[users]),
            item_ids=frozen(self.item_ids[items]),
            features={
                axis: frozen(features[users if axis == "user" else items])
                for axis, features in self.features.items()
            },
        )

    def with_features(
        self, users: DataFrame | None = None, items: DataFrame | None = None
    ) -> Ratings:
        """Return the ratings with what else is known of users or items.

        An `AutoRec` reads the features of its rows. Every model's bias baseline predicts users and
        items without ratings from theirs. Whoever new ratings add has average features.

        Parameters
        ----------
        users, items : pandas.DataFrame, shape (n, d), optional
            Numbers, in any unit, by ids: of all users or items here, and of others, who become
            known.

        Raises
        ------
        TypeError, ValueError
            No DataFrame of finite numbers; ids that repeat, lack or are of another kind.
        """
        rows, columns, values = self.positions()
        user_ids, item_ids, features = self.user_ids, self.item_ids, dict(self.features)
        if users is not None:
            find = self.user_positions
            user_ids, features["user"], at = _read_features(users, "user", user_ids, find)
            rows = at[rows]
        if items is not None:
            find = self.item_positions
            item_ids, features["item"], at = _read_features(items, "item", item_ids, find)
            columns = at[columns]
        if self.shape == (len(user_ids), len(item_ids)):
            return self.relabeled(features=features)
        times = None if self.timestamps is None else self.timestamps[self.order]
        R = assemble(rows, columns, values, times, user_ids, item_ids, self.scale, "raise")
        return dataclasses.replace(
            R, columns=self.columns, n_missing=self.n_missing, features=features
        )

    def to_frame(self) -> DataFrame:
        """Return a DataFrame with columns user, item, rating[, timestamp], in file order.

        String ids are of dtype object.
        """
        import pandas as pd

        series = {
            role: pd.Series(values, dtype=values.dtype)
            for role, values in zip(ROLES, self.triples(), strict=False)
        }
        if self.timestamps is not None:
            series["timestamp"] = self.timestamps[self.order]
        frame: DataFrame = pd.DataFrame(series)
        return frame


def as_ratings(
    data: Any,
    *,
    scale: tuple[float, float] | None = None,
    duplicates: str = "raise",
    columns: Sequence[Any] | None = None,
    missing: ArrayLike = (),
) -> Ratings:
    """Turn ratings of any kind into `Ratings`.

    Parameters
    ----------
    data : Ratings, sparse matrix, tuple of arrays, or table of any kind
        A sparse matrix is users x items, as in `Ratings.from_matrix`; so is a dense floating array
        of more than four columns, with NaN for no rating. A tuple is ``(users, items, ratings[,
        timestamps])``, as in `Ratings.from_triples`.

        A table is one of pandas, polars, pyarrow or anything with ``__dataframe__`` or
        ``__arrow_c_stream__``, a dict of columns, ``{user: {item: rating}}``, ``{(user, item):
        rating}``, a list of dicts, or of tuples (user, item, rating[, timestamp]). Its columns are
        known by name (userId, reviewer; movie_id, asin; stars; date; ...); else user, item and
        rating are the first three of three or four.
    scale, duplicates, missing
        As in `Ratings.from_triples`; a `Ratings` keeps its scale.
    columns : sequence of three or four, optional
        Of user, item, rating and perhaps timestamp, by name or by position from 0.

    Raises
    ------
    TypeError
        Anything else; a dense array that is ambiguous.
    ValueError
        A table whose columns are not known for sure, or data that `Ratings` refuse.
    """
    if columns is not None and (isinstance(data, (Ratings, tuple)) or sparse.issparse(data)):
        raise ValueError(
            f"columns={columns!r} name the columns of a table, got {type(data).__name__}; leave "
            f"them out."
        )
    if isinstance(data, Ratings):
        return _changed(data, scale, check_missing(missing))
    if isinstance(data, np.ndarray) and not data.dtype.names:
        data = matrix_of(data)
    if sparse.issparse(data):
        return Ratings.from_matrix(data, scale=scale, duplicates=duplicates, missing=missing)
    found, read = None, None
    if isinstance(data, tuple) and len(data) in (3, 4):
        found = list(data)
    elif (table := as_table(data)) is not None:
        found, read = find_ratings(table, columns)
    if found is None:
        advice = "for a file use autorec_np.read_ratings(path)"
        if hasattr(data, "collect"):
            advice = "call its collect()"
        elif isinstance(data, tuple) and len(data) == 2:
            advice = FOR_LISTS
        of_length = f" of length {len(data)}" if isinstance(data, (tuple, list)) else ""
        raise TypeError(
            f"ratings must be a Ratings, a SciPy sparse matrix (users x items), a table such as a "
            f"DataFrame (columns user, item, rating), a list of tuples (user, item, rating) or a "
            f"tuple (users, items, ratings), got {type(data).__name__}{of_length}; {advice}."
        )
    R = Ratings.from_triples(*found, scale=scale, duplicates=duplicates, missing=missing)
    return dataclasses.replace(R, columns=read)


def _stored(R: Ratings, stored: Stored | None) -> Ratings:
    object.__setattr__(R, "stored", stored)
    return R


def _reopened(folder: str, digest: str, changes: dict[str, Any]) -> Ratings:
    R = Ratings.open(folder)
    if R.stored is None or R.stored.digest != digest:
        raise ValueError(
            f"{folder} holds other ratings than when they were pickled; open it anew, by "
            f"Ratings.open."
        )
    return R.relabeled(**changes)


def _changed(ratings: Ratings, scale: tuple[float, float] | None, missing: Array) -> Ratings:
    if np.isnan(ratings.matrix.data[:1]).any():
        raise ValueError(
            "these ratings say who rated what but not how (their model was saved with "
            "include_ratings=False); pass others."
        )
    if scale is None and not (len(ratings) and len(missing)):
        return ratings
    low, high = bounds = check_scale(scale)
    data = ratings.matrix.data
    if not len(missing) and len(data) and low <= data.min() and data.max() <= high:
        return ratings.relabeled(scale=bounds)  # without a copy
    values = data[ratings.order]
    rated, n_missing = split_missing(values, missing)
    if scale is None and n_missing == 0:
        return ratings
    checked = check_values(values[rated], scale, "at index {}".format)
    n_missing += ratings.n_missing
    return dataclasses.replace(ratings.select(rated), scale=checked, n_missing=n_missing)


def _read_features(
    frame: Any, axis: str, known: Array, find: Callable[[Array], Positions]
) -> tuple[Array, Array, Positions]:
    """Return ids, features and where `known` are."""
    name = f"features of {axis}s must"
    if not hasattr(frame, "select_dtypes"):
        raise TypeError(
            f"{name} be a DataFrame with their ids as its index, got {type(frame).__name__}; pass "
            f"pandas.DataFrame(features, index=ids)."
        )
    if odd := [*frame.select_dtypes(exclude=["number", "bool"])]:
        raise TypeError(
            f"{name} be numbers, but {odd} are not; pass pandas.get_dummies(frame, columns={odd})."
        )
    values = frame.to_numpy(np.float64, na_value=np.nan)
    if not (values.size and np.isfinite(values).all()):
        raise ValueError(
            f"{name} be finite, and at least one, got shape {values.shape} with "
            f"{np.count_nonzero(~np.isfinite(values)):,} that are not; fill gaps with "
            f"frame.fillna(frame.mean())."
        )
    ids, places = unique_with_positions(check_ids(frame.index, f"{axis} ids"))
    found = find(ids)
    missing = np.delete(known, found[found >= 0])
    if len(ids) < len(frame) or len(missing):
        raise ValueError(
            f"{name} have one row for each {axis} of the ratings, but lack {len(missing):,} of "
            f"{len(known):,} {missing[:1].tolist()} and repeat {len(frame) - len(ids):,}; pass "
            f"frame[~frame.index.duplicated()].astype(float).reindex(ids, fill_value=0)."
        )
    features = np.empty(values.shape)
    features[places] = values
    span = np.ptp(features, axis=0)
    features = (features - features.mean(axis=0)) / np.where(span > 0, span, 1.0)
    return ids, frozen(features), np.flatnonzero(found >= 0)


def of_positions(
    rows: Positions,
    columns: Positions,
    values: Array,
    times: Positions | None,
    user_ids: Array,
    item_ids: Array,
    scale: tuple[float, float] | None,
    duplicates: str,
    missing: Array,
) -> Ratings:
    """Leave out what is not rated, users and items too; check the rest."""
    is_rated, n_missing = split_missing(values, missing)
    rated: Any = range(len(values))
    if n_missing:
        rated = np.flatnonzero(is_rated)
        values, times = values[rated], None if times is None else times[rated]
        used, rows = unique_with_positions(rows[rated])
        user_ids = user_ids[used]
        used, columns = unique_with_positions(columns[rated])
        item_ids = item_ids[used]
    del is_rated
    checked = check_values(values, scale, lambda index: f"at index {rated[index]}")
    try:
        R = assemble(rows, columns, values, times, user_ids, item_ids, checked, duplicates)
    except DuplicateRatingError as error:
        raise error.renumbered(rated) from None
    return dataclasses.replace(R, n_missing=n_missing)


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
    matrix, times, order = arrange(
        rows, columns, values, timestamps, (user_ids, item_ids), duplicates
    )
    return Ratings(matrix, frozen(user_ids), frozen(item_ids), times, scale, order)
