"""The stored entries of a ratings matrix: sorted, each cell once, in canonical CSR.

A stored 0.0 is a rating, which sparse arithmetic may drop: only ``data`` and so on are indexed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np.data.values import Positions, first_repeat, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 1 << 20
DUPLICATE_RULES = ("raise", "first", "last", "mean")  # and "sum", of pairs without a rating
_RESOLVED = (
    "a pair has one rating: autorec_np.data.as_ratings({}, duplicates='last') (or 'first' or "
    "'mean') resolves this"
)


class DuplicateRatingError(ValueError):
    """A (user, item) pair is rated more than once.

    Attributes
    ----------
    first, second : int
        Index of the first rating that repeats a pair (`second`), and of that pair's first.
    n_repeats : int
        How many repeat an earlier pair, of `n_ratings`.
    pair : str
        User and item of the first repeat.
    """

    def __init__(self, pair: str, first: int, second: int, n_repeats: int, n_ratings: int) -> None:
        super().__init__(
            f"the ratings at index {first} and index {second} are both for {pair}, and "
            f"{n_repeats:,} of {n_ratings:,} ratings repeat an earlier pair; "
            f"{_RESOLVED.format('data')}."
        )
        self.pair, self.first, self.second = pair, first, second
        self.n_repeats, self.n_ratings = n_repeats, n_ratings

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.pair, self.first, self.second, self.n_repeats, self.n_ratings)

    def renumbered(self, indices: Any) -> DuplicateRatingError:
        first, second = int(indices[self.first]), int(indices[self.second])
        return DuplicateRatingError(self.pair, first, second, self.n_repeats, self.n_ratings)


def arrange(
    rows: Positions,
    columns: Positions,
    values: Array,
    timestamps: Positions | None,
    ids: tuple[Array, Array],
    duplicates: str,
) -> tuple[sparse.csr_array[np.float32], Positions | None, Positions]:
    """Return canonical CSR, timestamps, and the places of kept entries in file order."""
    parts, times, places = sort_entries(rows, columns, values, timestamps, ids, duplicates)
    if len(places) > len(parts[0]):
        places = places[places >= 0]
    return (
        canonical_csr(*parts, (len(ids[0]), len(ids[1]))),
        None if times is None else frozen(times),
        frozen(places),
    )


def sort_entries(
    rows: Positions,
    columns: Positions,
    values: Array,
    timestamps: Positions | None,
    ids: tuple[Array, Array],
    duplicates: str,
) -> tuple[tuple[Array, Array, Array], Positions | None, Positions]:
    """Return data, indices and indptr, timestamps, and the place of each entry, -1 of none.

    What is as long as the ratings is seldom there twice: this is the peak of reading.
    """
    user_ids, item_ids = ids
    shape = len(user_ids), len(item_ids)
    by_cell = sort_by_cell(rows, columns, shape)
    is_repeat = np.zeros(len(by_cell), dtype=bool)
    for start in range(1, len(by_cell), _BLOCK):
        part = by_cell[start - 1 : start + _BLOCK]
        same = (np.diff(rows[part]) == 0) & (np.diff(columns[part]) == 0)
        is_repeat[start : start + _BLOCK] = same
    kept = last = by_cell
    has_repeats = bool(is_repeat.any())
    if has_repeats:
        if duplicates == "raise":
            repeats = by_cell[is_repeat]
            second = int(repeats.min())
            row, column = rows[second], columns[second]
            earlier = int(np.argmax((rows == row) & (columns == column)))
            pair = f"user {shown(user_ids[row])} and item {shown(item_ids[column])}"
            raise DuplicateRatingError(pair, earlier, second, len(repeats), len(rows))
        starts = np.flatnonzero(~is_repeat)
        last = by_cell[np.append(starts[1:], len(by_cell)) - 1]
        kept = last if duplicates == "last" else by_cell[starts]
    if has_repeats and duplicates in ("mean", "sum"):
        data = np.add.reduceat(values[by_cell].astype(np.float64), starts)
        if duplicates == "mean":
            data /= np.diff(np.append(starts, len(by_cell)))
    else:
        data, last = values[kept], kept
    data = data.astype(np.float32, copy=False)
    indptr = np.zeros(shape[0] + 1, dtype=np.int64)
    of_kept = rows[kept] if has_repeats else rows
    for start in range(0, len(of_kept), _BLOCK):
        indptr[1:] += np.bincount(of_kept[start : start + _BLOCK], minlength=shape[0])
    np.cumsum(indptr, out=indptr)
    places = np.full(len(rows), -1, dtype=np.int64)
    for start in range(0, len(kept), _BLOCK):
        part = kept[start : start + _BLOCK]
        places[part] = np.arange(start, start + len(part))
    times = None if timestamps is None else timestamps[last]
    return (data, columns[kept], indptr), times, places


def sort_by_cell(rows: Array, columns: Array, shape: tuple[int, int]) -> Array:
    if shape[0] * shape[1] < 2**63:
        cells: Array = rows.astype(np.int64)
        cells *= shape[1]
        cells += columns
        return cells.argsort(kind="stable")
    return np.lexsort((columns, rows))


def index_dtype(most: int) -> type[Any]:
    return np.int32 if most < 2**31 else np.int64


def canonical_csr(
    data: NDArray[np.float32], indices: Array, indptr: Array, shape: tuple[int, int]
) -> sparse.csr_array[np.float32]:
    """Wrap canonical arrays, read-only."""
    # SciPy would keep int64.
    index = index_dtype(max(*shape, len(data)))
    indices, indptr = indices.astype(index, copy=False), indptr.astype(index, copy=False)
    matrix = sparse.csr_array((data, indices, indptr), shape=shape)
    matrix.has_canonical_format = True
    for name in ("data", "indices", "indptr"):
        setattr(matrix, name, frozen(getattr(matrix, name)))
    return matrix


def frozen(array: Array) -> Array:
    view: Array = array.view()
    view.flags.writeable = False
    return view


def dense_message(array: Array) -> str:
    table = "scipy.sparse.csr_array(array) if 0 means 'not rated'"
    if array.ndim == 2 and array.shape[1] in (3, 4):
        ids = "" if array.dtype.kind in "iuOUT" else ".astype('int64')"
        value = "" if array.dtype.kind in "iuf" else ".astype('float64')"
        times = ", array[:, 3]" if array.shape[1] == 4 else ""
        return (
            f"a dense array of shape {array.shape} can be a list of ratings or a table of users x "
            f"items. Of a list, pass Ratings.from_triples(array[:, 0]{ids}, array[:, 1]{ids}, "
            f"array[:, 2]{value}{times}); of a table, pass {table}."
        )
    return (
        f"a dense array cannot say which of its zeros are ratings (its shape is {array.shape}). Of "
        f"a table of users x items, pass {table}, or floats, in more than four columns, with NaN "
        f"for none; of a list, pass Ratings.from_triples(users, items, ratings)."
    )


def matrix_entries(matrix: Any, duplicates: str) -> tuple[Positions, Positions, Array]:
    if isinstance(matrix, np.ndarray):
        raise TypeError(dense_message(matrix))
    is_sparse: bool = sparse.issparse(matrix)
    if not is_sparse:
        raise TypeError(
            f"the matrix must be a SciPy sparse matrix or array, got {type(matrix).__name__}; pass "
            f"this to autorec_np.data.as_ratings."
        )
    if matrix.ndim != 2:
        raise ValueError(f"the matrix must be users x items, got a {matrix.ndim}-d sparse array.")
    if matrix.format in ("bsr", "dia"):
        raise TypeError(
            f"a matrix in {matrix.format.upper()} format pads with zeros, which would be ratings; "
            f"pass matrix.tocsr(), after its eliminate_zeros() if no rating is 0."
        )
    if matrix.format in ("lil", "dok"):
        matrix = matrix.tocsr()
    coo = _sound(matrix)  # not CSR, which would add repeats up
    rows, columns, values = coo.row, coo.col, coo.data
    if len(values) == 0:
        raise ValueError("the matrix stores no ratings; pass one that does.")
    by_cell = sort_by_cell(rows, columns, matrix.shape)
    rows, columns, values = rows[by_cell], columns[by_cell], values[by_cell]
    is_repeat = (np.diff(rows) == 0) & (np.diff(columns) == 0)
    if duplicates == "raise" and is_repeat.any():
        index = int(np.argmax(is_repeat))
        raise ValueError(
            f"the matrix stores (row {rows[index]}, column {columns[index]}) more than once, with "
            f"the ratings {values[index]} and {values[index + 1]}, and {int(is_repeat.sum()):,} "
            f"such repeats in all; SciPy would add them up; {_RESOLVED.format('matrix')}."
        )
    return rows.astype(np.int64), columns.astype(np.int64), values


def row_of_each(matrix: CSR) -> Array:
    return np.repeat(np.arange(len(matrix.indptr) - 1), np.diff(matrix.indptr))


def _sound(matrix: Any) -> Any:
    """Return a COO matrix whose indices SciPy has checked."""
    try:
        if matrix.format == "coo":
            return type(matrix)((matrix.data, (matrix.row, matrix.col)), shape=matrix.shape)
        parts = matrix.data, matrix.indices, matrix.indptr
        matrix = type(matrix)(parts, shape=matrix.shape)
        matrix.check_format()
        return matrix.tocoo()
    except ValueError as error:
        raise ValueError(f"the matrix is damaged: {error}. Build it anew.") from None


def selection_mask(selection: Any, n_ratings: int) -> NDArray[np.bool_]:
    array = np.asarray(selection)
    if array.ndim != 1:
        raise ValueError(f"selection must be one-dimensional, got shape {array.shape}.")
    if array.dtype.kind == "b":
        if len(array) != n_ratings:
            raise ValueError(
                f"the boolean selection has {len(array):,} entries, but there are {n_ratings:,} "
                f"ratings; pass one entry per rating."
            )
        return array
    mask = np.zeros(n_ratings, dtype=bool)
    if len(array) == 0:
        return mask
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"selection must be a boolean mask or integer positions, got dtype {array.dtype}."
        )
    wrong = array[(array < 0) | (array >= n_ratings)]
    if len(wrong):
        raise IndexError(
            f"selection has the position {wrong[0]}; positions must be in [0, {n_ratings})."
        )
    mask[array] = True
    n_repeats = len(array) - np.count_nonzero(mask)
    if n_repeats:
        raise ValueError(
            f"selection gives {n_repeats:,} positions more than once "
            f"(the first: {array[first_repeat(array)]}); a rating can be selected once."
        )
    return mask
