"""`store_ratings`: ratings past memory, sorted on disk into a folder that `Ratings.open` maps.

Ratings are divided by user into buckets that fit in memory, each of which is arranged there as all
are in memory; then likewise by item.
"""

from __future__ import annotations

import errno
import glob
import importlib.util
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autorec_np._files import alone, cleaned_up_on_sigterm
from autorec_np._types import Array
from autorec_np._validation import check_choice, check_integer
from autorec_np.data.columns import ColumnsRead, as_table, find_ratings
from autorec_np.data.entries import (
    DUPLICATE_RULES,
    MANIFEST,
    DuplicateRatingError,
    Growing,
    index_dtype,
    mapped,
    sort_entries,
    write_array,
    write_ids,
    write_manifest,
)
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.values import (
    check_ids,
    check_missing,
    check_ratings,
    check_scale,
    check_timestamps,
    check_values,
    is_rating,
    split_missing,
)
from autorec_np.sources.reading import (
    Columns,
    Opened,
    check_numbers,
    open_source,
    rated_again,
    saying_where,
)
from autorec_np.sources.text import PARQUET

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BYTES_PER_RATING = 192  # while it is divided and arranged


def store_ratings(
    source: Any,
    folder: str | os.PathLike[str],
    *,
    memory: int = 2**30,
    overwrite: bool = False,
    callback: Callable[[float, float], Any] | None = None,
    scale: tuple[float, float] | None = None,
    duplicates: str = "raise",
    missing: ArrayLike = (),
    **options: Any,
) -> Ratings:
    """Store ratings, more than memory holds, in a folder; return what `Ratings.open` does.

    They are those of `read_ratings`, to the bit. Nothing half is left: the folder is there when all
    of it is, and what a killed process leaves beside it is removed by the next.

    Parameters
    ----------
    source : str, path-like, a list of these, or anything that `as_ratings` takes
        Files are read one after the other. What comes in memory, by a stream, or in UTF-16 is
        arranged there; so is Parquet without pyarrow.
    folder : str or path-like
    memory : int
        About how many bytes to use, beside some 200 for each user and item. The disk needs some 70
        for each rating meanwhile, then 24, or 32 with timestamps.
    overwrite : bool
        Whether to replace ratings that the folder holds.
    callback : callable, optional
        Called now and then with the share that is done, and the seconds since the begin.
    scale, duplicates, missing
        As in `read_ratings`.
    **options
        The others of `read_ratings`.

    Raises
    ------
    ValueError
        As `read_ratings`; the files have other columns; another process stores there.
    OSError
        The disk is full; the folder exists.
    """
    check_integer("memory", memory, minimum=1)
    check_choice("duplicates", duplicates, DUPLICATE_RULES)
    check_scale(scale)
    target = Path(folder).absolute()
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder; create it first", str(target.parent))
    started = time.monotonic()

    def report(share: float) -> None:
        if callback is not None:
            callback(share, time.monotonic() - started)

    with _replacing(target, overwrite) as temporary:
        paths = source if isinstance(source, (list, tuple)) and source else [source]
        if all(isinstance(one, (str, os.PathLike)) or hasattr(one, "read") for one in paths):
            files = _Files(temporary, memory, report)
            files.read(paths, options)
            facts = files.arrange(scale, duplicates, check_missing(missing))
        else:
            R = as_ratings(source, scale=scale, duplicates=duplicates, missing=missing, **options)
            facts = _facts(R, temporary)
        _turn(temporary, facts, memory, report)
        write_manifest(temporary, **facts)
    report(1.0)
    return Ratings.open(target)


def _facts(R: Ratings, folder: Path) -> dict[str, Any]:
    """Write ratings in memory; return what the manifest says."""
    parts: dict[str, Array | None] = {
        "users.indptr": R.matrix.indptr,
        "users.indices": R.matrix.indices,
        "users.data": R.matrix.data,
        "order": R.order,
        "timestamps": R.timestamps,
        **{f"features.{axis}": features.reshape(-1) for axis, features in R.features.items()},
    }
    arrays = write_ids(folder, "user_ids", R.user_ids) | write_ids(folder, "item_ids", R.item_ids)
    for name, array in parts.items():
        if array is not None:
            arrays[name] = write_array(folder / name, array)
    return {
        "arrays": arrays,
        "shape": [*R.shape],
        "scale": [*map(float, R.scale)],
        "columns": _named(R.columns),
        "n_missing": R.n_missing,
        "features": {axis: features.shape[1] for axis, features in R.features.items()},
    }


def _named(columns: ColumnsRead | None) -> dict[str, Any] | None:
    if columns is None:
        return None
    names = {role: _plain(name) for role, name in columns.names.items()}
    return {"names": names, "left_out": [*map(_plain, columns.left_out)]}


def _plain(name: Any) -> Any:
    name = name.item() if isinstance(name, np.generic) else name
    return name if isinstance(name, int) else str(name)


def is_parquet(path: Any) -> bool:
    """Return whether pyarrow reads it."""
    if not (isinstance(path, (str, os.PathLike)) and os.path.isfile(path)):
        return False
    with open(path, "rb") as file:
        return file.read(4) == PARQUET and importlib.util.find_spec("pyarrow") is not None


def frames_of_parquet(path: Any, n_rows: int) -> Iterator[Any]:
    from pyarrow.parquet import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
        ParquetFile,
    )

    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(n_rows):
                yield batch.to_pandas()
    except Exception as error:
        raise ValueError(
            f"{os.fspath(path)}: the Parquet file cannot be read ({error}); fetch it again."
        ) from None


class _Buckets:
    """Records divided by ranges of a key, as many keys as `limit` records; their order stays."""

    def __init__(self, folder: Path, counts: Array, dtypes: Sequence[Any], limit: int) -> None:
        ends, bounds = np.cumsum(counts, dtype=np.int64), [0]
        while bounds[-1] < len(counts):
            before = ends[bounds[-1] - 1] if bounds[-1] else 0
            stop = int(np.searchsorted(ends, before + limit, side="right"))
            bounds.append(max(stop, bounds[-1] + 1))
        self.bounds = np.array(bounds)
        self.starts = np.concatenate(([0], ends))[self.bounds]
        self.filled = self.starts[:-1].copy()
        self.bucket_of = np.repeat(np.arange(len(bounds) - 1, dtype=np.int32), np.diff(self.bounds))
        self.dtypes = [np.dtype(one) for one in dtypes]
        self.paths = [folder / f"bucket.{place}" for place in range(len(dtypes))]
        for path in self.paths:
            path.touch()

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def divide(self, keys: Array) -> tuple[Array, list[tuple[int, slice, slice]]]:
        """Return records by bucket, and for each its part of these and of its file."""
        buckets = self.bucket_of[keys]
        by_bucket = np.argsort(buckets, kind="stable")
        ends = np.cumsum(np.bincount(buckets, minlength=len(self)))
        parts = []
        for bucket in np.unique(buckets).tolist():
            start = int(ends[bucket - 1]) if bucket else 0
            n, first = int(ends[bucket]) - start, int(self.filled[bucket])
            parts.append((bucket, slice(start, start + n), slice(first, first + n)))
            self.filled[bucket] += n
        return by_bucket, parts

    def add(self, keys: Array, *columns: Array) -> None:
        by_bucket, parts = self.divide(keys)
        for column, dtype, path in zip(columns, self.dtypes, self.paths, strict=True):
            moved = column.astype(dtype, copy=False)[by_bucket]
            with open(path, "r+b") as file:
                for _, mine, place in parts:
                    file.seek(place.start * dtype.itemsize)
                    file.write(moved[mine].data)

    def __iter__(self) -> Iterator[tuple[slice, list[Array]]]:
        """Yield the keys of each bucket, and its columns."""
        for bucket in range(len(self)):
            keys = slice(int(self.bounds[bucket]), int(self.bounds[bucket + 1]))
            start, stop = self.starts[bucket : bucket + 2].tolist()
            yield (
                keys,
                [
                    np.fromfile(path, dtype, stop - start, offset=start * dtype.itemsize)
                    for path, dtype in zip(self.paths, self.dtypes, strict=True)
                ],
            )

    def remove(self) -> None:
        for path in self.paths:
            path.unlink()


class _Files:
    """The columns of files, on the disk, and these arranged."""

    def __init__(self, folder: Path, memory: int, report: Callable[[float], None]) -> None:
        self.folder, self.report = folder, report
        self.step = max(1, memory // BYTES_PER_RATING)
        self.grown: list[Growing] = []
        self.columns = Columns(self._grow)
        self.parts: list[tuple[Any, int, int]] = []  # which records are of which file
        self.said: Any = None

    def _grow(self, dtype: Any) -> Growing:
        self.grown.append(Growing(self.folder / f"column.{len(self.grown)}", dtype))
        return self.grown[-1]

    def read(self, paths: Sequence[Any], options: dict[str, Any]) -> None:
        opened = [
            Opened(os.fspath(path), frames_of_parquet(path, self.step))
            if is_parquet(path)
            else open_source(path, True, **options)
            for path in paths
        ]
        sizes = [0 if one.stream is None else one.stream.size for one in opened]
        for place, one in enumerate(opened):
            if one.stream is not None:
                one.stream.watch = partial(self._watch, sum(sizes[:place]), sum(sizes))
            start = self.columns.n_records
            if one.document is None:
                said = self._read_frames(one, options.get("columns"))
            else:
                self.columns.read(one.document, one.found.layout)
                said = one.columns(True)
            self.parts.append((one, start, self.columns.n_records))
            self.said = self.said or said
            if [*said.names.items()][:3] != [*self.said.names.items()][:3]:
                raise ValueError(
                    f"{one.label}: its columns are {said}, but those before {self.said}; pass "
                    f"columns=..., or store the files apart."
                )

    def _read_frames(self, one: Opened, columns: Any) -> Any:
        said: Any = None
        for frame in one.frame if is_parquet(one.label) else [one.frame]:
            with saying_where(one.label):
                table: Any = as_table(frame)
                found, said = find_ratings(table, columns)
                times = check_timestamps(found[3]) if len(found) > 3 else None
                users, items = check_ids(found[0], "users"), check_ids(found[1], "items")
                self.columns.add(users, items, check_ratings(found[2]), times)
            columns = [*said.names.values()]
        return said

    def _watch(self, before: int, total: int, n_bytes: int) -> None:
        self.report(0.6 * (before + n_bytes) / total)

    def _blocks(self) -> Iterator[tuple[Array, list[Array]]]:
        """Yield which records are ratings, and their users, items, values and times."""
        for start in range(0, self.columns.n_records, self.step):
            part = slice(start, start + self.step)
            values = self.ratings[part].astype(self.columns.dtype, copy=False)
            rated = np.flatnonzero(is_rating(values, self.missing))
            users, items = (
                ranks[codes[part][rated]]
                for ranks, codes in zip(self.ranks, self.codes, strict=True)
            )
            times = [one[part][rated] for one in self.times]
            yield rated + start, [users, items, values[rated], *times]

    def arrange(
        self, scale: tuple[float, float] | None, duplicates: str, missing: Array
    ) -> dict[str, Any]:
        columns, self.missing = self.columns, missing
        self.ratings = columns.ratings.array()
        self.codes = [one.codes.array() for one in columns.ids]
        self.times = [columns.times.array()] if columns.has_times else []
        found = [one.ids() for one in columns.ids]
        ids, self.ranks = [one for one, _ in found], [ranks for _, ranks in found]
        for one, start, stop in self.parts:
            if len(self.parts) == 1:
                one.check_sizes((ids[0], ids[1]), stop)
            if one.document is not None:
                where = one.document, one.found.layout
                check_numbers(self.ratings[start:stop], *where, scale, missing)

        low, high, n_rated = np.inf, -np.inf, 0
        counts = [np.zeros(len(one), np.int64) for one in ids]
        for rated, (users, items, values, *_) in self._blocks():
            n_rated += len(rated)
            counts[0] += np.bincount(users, minlength=len(ids[0]))
            counts[1] += np.bincount(items, minlength=len(ids[1]))
            low = np.min(values, initial=low)
            high = np.max(values, initial=high)
        if n_rated == 0:
            split_missing(self.ratings, missing)
        least, most = check_scale(scale)
        with np.errstate(over="ignore"):
            low, high = np.float32(low), np.float32(high)
        if not (
            np.isfinite([low, high]).all() and np.float32(least) <= low and high <= np.float32(most)
        ):
            rated = np.concatenate([rated for rated, _ in self._blocks()])
            with saying_where(self.parts[0][0].label):
                check_values(self.ratings[rated], scale, lambda k: f"at index {rated[k]}")
        for axis, count in enumerate(counts):  # without those of what is not rated
            used = count > 0
            ids[axis] = ids[axis][used]
            self.ranks[axis] = (np.cumsum(used, dtype=np.int32) - 1)[self.ranks[axis]]
        arrays = write_ids(self.folder, "user_ids", ids[0])
        arrays |= write_ids(self.folder, "item_ids", ids[1])
        n_each = counts[0][counts[0] > 0]
        arrays |= self._sort(n_each, ids, n_rated, duplicates)
        for grown in self.grown:
            grown.path.unlink()
        first, said = self.parts[0][0], self.said
        if first.document is not None:
            said = first.columns(columns.has_times)
        return {
            "arrays": arrays,
            "shape": [*map(len, ids)],
            "scale": [float(low), float(high)] if scale is None else [least, most],
            "columns": _named(said),
            "n_missing": columns.n_records - n_rated,
            "features": {},
        }

    def _sort(
        self, counts: Array, ids: list[Array], n_rated: int, duplicates: str
    ) -> dict[str, Any]:
        value = np.float64 if duplicates == "mean" else np.float32
        kinds = np.int32, np.int32, value, *(np.int64 for _ in self.times)
        buckets = _Buckets(self.folder, counts, kinds, self.step)
        for rated, found in self._blocks():
            buckets.add(found[0], *found)
            self.report(0.6 + 0.15 * rated[-1:].sum() / self.columns.n_records)
        index = index_dtype(max(*map(len, ids), n_rated))
        new = {"users.indices": index, "users.data": np.float32}
        new |= {"order": np.int64} | ({"timestamps": np.int64} if self.times else {})
        grown = {name: Growing(self.folder / name, kind) for name, kind in new.items()}
        again, indptr, places = {}, [np.zeros(1, np.int64)], self._grow(np.int64)
        for bucket, (keys, (users, items, values, *times)) in enumerate(buckets):
            of_bucket = ids[0][keys], ids[1]
            try:
                (data, indices, ends), at_times, at = sort_entries(
                    users - keys.start,
                    items,
                    values,
                    times[0] if times else None,
                    of_bucket,
                    duplicates,
                )
            except DuplicateRatingError as error:
                again[bucket] = error
                continue
            start = grown["users.data"].length
            at[at >= 0] += start
            places.append(at)
            indptr.append(ends[1:] + start)
            grown["users.indices"].append(indices)
            grown["users.data"].append(data)
            if at_times is not None:
                grown["timestamps"].append(at_times)
            self.report(0.75 + 0.1 * (bucket + 1) / len(buckets))
        buckets.remove()
        if again:
            raise self._rated_again(again, buckets, n_rated)
        order = places.array()
        for _, by_bucket, parts in self._divided(buckets):
            at = np.empty(len(by_bucket), np.int64)
            for _, mine, place in parts:
                at[by_bucket[mine]] = order[place]
            grown["order"].append(at[at >= 0])
        ends = np.concatenate(indptr).astype(index)
        arrays = {"users.indptr": write_array(self.folder / "users.indptr", ends)}
        return arrays | {name: one.finish() for name, one in grown.items()}

    def _divided(self, buckets: _Buckets) -> Iterator[tuple[Array, Array, list[Any]]]:
        """Yield blocks anew, with what `buckets.divide` says of them."""
        buckets.filled = buckets.starts[:-1].copy()
        for rated, (users, *_) in self._blocks():
            yield rated, *buckets.divide(users)

    def _rated_again(
        self, again: dict[int, DuplicateRatingError], buckets: _Buckets, n_rated: int
    ) -> ValueError:
        """Return the error of the first repeat of all."""
        found = {bucket: [0, 0] for bucket in again}
        for rated, by_bucket, parts in self._divided(buckets):
            for bucket, mine, place in parts:
                if bucket not in again:
                    continue
                numbers = rated[by_bucket[mine]]
                for which, at in enumerate((again[bucket].first, again[bucket].second)):
                    at += buckets.starts[bucket] - place.start
                    if 0 <= at < len(numbers):
                        found[bucket][which] = int(numbers[at])
        bucket = min(again, key=lambda one: found[one][1])
        n_repeats = sum(error.n_repeats for error in again.values())
        first, second = found[bucket]
        error = DuplicateRatingError(again[bucket].pair, first, second, n_repeats, n_rated)
        if any(one.document is None for one, *_ in self.parts):
            return ValueError(f"{self.parts[0][0].label}: {error}")
        records = []
        for number in (first, second):
            [(one, start)] = [
                (one, start) for one, start, stop in self.parts if start <= number < stop
            ]
            records.append((one.document, one.found.layout, number - start))
        return rated_again(error, *records)


def _turn(
    folder: Path, facts: dict[str, Any], memory: int, report: Callable[[float], None]
) -> None:
    """Write the matrix with items as its rows, of that with users."""
    arrays, (_, n_items) = facts["arrays"], facts["shape"]
    indptr, indices, data = (
        mapped(folder / name, arrays[name]["dtype"], arrays[name]["length"])
        for name in ("users.indptr", "users.indices", "users.data")
    )
    step = max(1, memory // BYTES_PER_RATING)
    starts = range(0, len(indices), step)
    counts = np.zeros(n_items, np.int64)
    for start in starts:
        counts += np.bincount(indices[start : start + step], minlength=n_items)
    buckets = _Buckets(folder, counts, (indices.dtype, indices.dtype, np.float32), step)
    for start in starts:
        keys = indices[start : start + step]
        users = np.searchsorted(indptr, np.arange(start, start + len(keys)), side="right") - 1
        buckets.add(keys, keys, users, data[start : start + step])
        report(0.85 + 0.1 * start / len(indices))
    grown = [
        Growing(folder / f"items.{name}", dtype)
        for name, dtype in (("indices", indices.dtype), ("data", np.float32))
    ]
    for _, (items, *columns) in buckets:
        by_item = np.argsort(items, kind="stable")
        for one, column in zip(grown, columns, strict=True):
            one.append(column[by_item])
    buckets.remove()
    ends = np.concatenate(([0], np.cumsum(counts))).astype(indptr.dtype)
    arrays["items.indptr"] = write_array(folder / "items.indptr", ends)
    arrays.update({one.path.name: one.finish() for one in grown})


@contextmanager
def _replacing(target: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a folder that takes the place of `target` if the block succeeds."""
    pattern = f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.tmp"
    lock = target.with_name(f".{target.name}.lock")
    with cleaned_up_on_sigterm(), alone(lock, f"the store {target}"):
        _check_free(target, overwrite)
        for abandoned in target.parent.glob(pattern):  # of killed processes: this one is alone
            shutil.rmtree(abandoned, ignore_errors=True)
        temporary, former = (
            target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp") for _ in range(2)
        )
        temporary.mkdir()
        try:
            yield temporary
            if target.exists():
                os.rename(target, former)
            try:
                os.rename(temporary, target)
            except BaseException:
                with suppress(OSError):
                    os.rename(former, target)
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(former, ignore_errors=True)


def _check_free(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    is_ours = (target / MANIFEST).is_file() or (target.is_dir() and not any(target.iterdir()))
    if not is_ours:
        raise FileExistsError(
            errno.EEXIST, "exists and holds no stored ratings; name another folder", str(target)
        )
    if not overwrite and (target / MANIFEST).is_file():
        raise FileExistsError(
            errno.EEXIST,
            "holds stored ratings; name another folder, or pass overwrite=True",
            str(target),
        )
