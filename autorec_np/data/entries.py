"""The stored entries of a ratings matrix: sorted, each cell once, in canonical CSR; in a folder.

A stored 0.0 is a rating, which sparse arithmetic may drop: only ``data`` and so on are indexed. A
folder holds one file of plain numbers for each array, and a manifest that comes last.
"""

from __future__ import annotations

import hashlib
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np.data.values import Positions, first_repeat, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 1 << 20
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
    for start in range(1, len(by_cell), BLOCK):
        part = by_cell[start - 1 : start + BLOCK]
        same = (np.diff(rows[part]) == 0) & (np.diff(columns[part]) == 0)
        is_repeat[start : start + BLOCK] = same
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
    for start in range(0, len(of_kept), BLOCK):
        indptr[1:] += np.bincount(of_kept[start : start + BLOCK], minlength=shape[0])
    np.cumsum(indptr, out=indptr)
    places = np.full(len(rows), -1, dtype=np.int64)
    for start in range(0, len(kept), BLOCK):
        part = kept[start : start + BLOCK]
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


MANIFEST = "manifest.json"
FORMAT, VERSION = "autorec_np ratings", 1
_AGAIN = "store the ratings again"


class Stored(NamedTuple):
    """Where ratings are stored, and what of them differs from there."""

    folder: Path
    digest: str
    turned: sparse.csr_array[np.float32]
    changes: dict[str, Any]


class Growing:
    """The file of an array of one dimension, written from its begin to its end."""

    def __init__(self, path: Path, dtype: Any) -> None:
        self.path, self.dtype, self.length = path, np.dtype(dtype).newbyteorder("<"), 0
        self._digest = hashlib.sha256()
        path.touch(exist_ok=False)

    def append(self, array: Array) -> None:
        content = np.ascontiguousarray(array, self.dtype).view(np.uint8).data
        with open(self.path, "ab") as file:
            file.write(content)
        self._digest.update(content)
        self.length += len(array)

    def array(self) -> Array:
        return mapped(self.path, self.dtype, self.length)

    def finish(self) -> dict[str, Any]:
        with open(self.path, "r+b") as file:
            os.fsync(file.fileno())
        return {
            "dtype": self.dtype.str,
            "length": self.length,
            "sha256": self._digest.hexdigest(),
        }


def mapped(path: Path, dtype: Any, length: int) -> Array:
    if length == 0:  # which cannot be mapped
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype, "r", shape=(length,)))


def write_array(path: Path, array: Array) -> dict[str, Any]:
    growing = Growing(path, array.dtype)
    growing.append(array)
    return growing.finish()


def write_ids(folder: Path, name: str, ids: Array) -> dict[str, Any]:
    if ids.dtype.kind != "O":
        return {name: write_array(folder / name, ids)}
    encoded = [one.encode("utf-8", "surrogatepass") for one in ids]
    parts: dict[str, Array] = {
        f"{name}.utf8": np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}.offsets": np.cumsum([0, *map(len, encoded)], dtype=np.int64),
    }
    return {one: write_array(folder / one, array) for one, array in parts.items()}


def write_manifest(folder: Path, arrays: dict[str, Any], **facts: Any) -> None:
    content = {"format": FORMAT, "format_version": VERSION, **facts, "arrays": arrays}
    content["sha256"] = _digest(content)
    with open(folder / MANIFEST, "x", encoding="ascii") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Opened:
    def __init__(self, folder: str | os.PathLike[str], verify: bool = False) -> None:
        self.folder = Path(folder).absolute()
        self.manifest = self._read_manifest()
        self.arrays = self.manifest["arrays"]
        for name, stated in self.arrays.items():
            self._check(name, stated, verify)

    def _error(self, what: str) -> ValueError:
        return ValueError(f"{self.folder} {what}.")

    def _read_manifest(self) -> dict[str, Any]:
        path = self.folder / MANIFEST
        if self.folder.exists() and not path.is_file():
            raise self._error(
                f"holds no stored ratings: it lacks {MANIFEST}, which is written last. Pass a "
                f"folder that store_ratings made; read a file with read_ratings"
            )
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
            is_ours = content["format"] == FORMAT
            version, digest = content["format_version"], content.pop("sha256")
        except (ValueError, TypeError, KeyError):
            raise self._error(
                f"has a {MANIFEST} that is damaged or not of ratings; {_AGAIN}"
            ) from None
        if not is_ours or version != VERSION:
            raise self._error(
                f"holds {content['format']!r} of version {version!r}, and this version of "
                f"autorec_np reads {FORMAT!r} of version {VERSION}; update it, or {_AGAIN}"
            )
        if digest != _digest(content):
            raise self._error(f"has a {MANIFEST} that was changed or damaged; {_AGAIN}")
        self.digest = digest
        return content

    def _check(self, name: str, stated: dict[str, Any], verify: bool) -> None:
        path, size = self.folder / name, stated["length"] * np.dtype(stated["dtype"]).itemsize
        found = path.stat().st_size if path.is_file() else -1
        if found != size:
            held = f"holds {found:,} bytes" if found >= 0 else "is missing"
            raise self._error(f"is damaged: {name} {held}, and must hold {size:,}; {_AGAIN}")
        if verify:
            digest = hashlib.sha256()
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            if digest.hexdigest() != stated["sha256"]:
                raise self._error(f"is damaged: {name} has other content than stored; {_AGAIN}")

    def array(self, name: str) -> Array:
        return mapped(self.folder / name, self.arrays[name]["dtype"], self.arrays[name]["length"])

    def ids(self, name: str) -> Array:
        if name in self.arrays:
            return self.array(name)
        text, offsets = self.array(f"{name}.utf8").tobytes(), self.array(f"{name}.offsets").tolist()
        decoded = (text[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(offsets))
        ids: Array = np.fromiter(decoded, object, len(offsets) - 1)
        return ids

    def matrix(self, axis: str, shape: tuple[int, int]) -> sparse.csr_array[np.float32]:
        data, indices, indptr = (
            self.array(f"{axis}s.{part}") for part in ("data", "indices", "indptr")
        )
        return canonical_csr(data, indices, indptr, shape)

    def fields(self) -> dict[str, Any]:
        """Return what `Ratings` takes, and their `Stored`."""
        facts, users, items = self.manifest, self.ids("user_ids"), self.ids("item_ids")
        shape = len(users), len(items)
        turned = self.matrix("item", (shape[1], shape[0]))
        return {
            "matrix": self.matrix("user", shape),
            "user_ids": users,
            "item_ids": items,
            "timestamps": self.array("timestamps") if "timestamps" in self.arrays else None,
            "scale": tuple(facts["scale"]),
            "order": self.array("order"),
            "columns": facts["columns"],
            "n_missing": facts["n_missing"],
            "features": {
                axis: self.array(f"features.{axis}").reshape(-1, width)
                for axis, width in facts["features"].items()
            },
            "stored": Stored(self.folder, self.digest, turned, {}),
        }
