"""`store_ratings`: ratings past memory, sorted on disk into a folder that `Ratings.open` maps.

Ratings are divided by user into buckets that fit in memory, each of which is arranged there as all
are in memory; then likewise by item.
"""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from autorec_np._files import alone, cleaned_up_on_sigterm
from autorec_np._types import Array
from autorec_np._validation import check_integer
from autorec_np.data.folder import MANIFEST, Growing, write_array, write_ids, write_manifest
from autorec_np.data.ratings import Ratings, as_ratings

BYTES_PER_RATING = 128  # while it is arranged


def store_ratings(
    source: Any,
    folder: str | os.PathLike[str],
    *,
    memory: int = 2**30,
    overwrite: bool = False,
    **options: Any,
) -> Ratings:
    memory = check_integer("memory", memory, minimum=1)
    target = Path(folder).absolute()
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder; create it first", str(target.parent))
    with _replacing(target, overwrite) as temporary:
        R = as_ratings(source, **options)
        _write(R, temporary, memory)
    return Ratings.open(target)


def _write(R: Ratings, folder: Path, memory: int) -> None:
    matrix = R.matrix
    arrays = write_ids(folder, "user_ids", R.user_ids) | write_ids(folder, "item_ids", R.item_ids)
    parts: dict[str, Array | None] = {
        "users.indptr": matrix.indptr,
        "users.indices": matrix.indices,
        "users.data": matrix.data,
        "order": R.order,
        "timestamps": R.timestamps,
    }
    for name, array in parts.items():
        if array is not None:
            arrays[name] = write_array(folder / name, array)
    arrays |= _turn(folder, arrays, R.shape, memory)
    _conclude(folder, arrays, R)


def _conclude(folder: Path, arrays: dict[str, Any], R: Ratings) -> None:
    for axis, features in R.features.items():
        name = f"features.{axis}"
        arrays[name] = write_array(folder / name, features.reshape(-1))
    columns = R.columns and {
        "names": {role: _plain(name) for role, name in R.columns.names.items()},
        "left_out": [*map(_plain, R.columns.left_out)],
    }
    write_manifest(
        folder,
        arrays,
        scale=[*map(float, R.scale)],
        columns=columns,
        n_missing=int(R.n_missing),
        features={axis: features.shape[1] for axis, features in R.features.items()},
    )


def _plain(name: Any) -> Any:
    name = name.item() if isinstance(name, np.generic) else name
    return name if isinstance(name, int) else str(name)


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

    def places(self, keys: Array) -> tuple[Array, list[tuple[int, slice, slice]]]:
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
        by_bucket, parts = self.places(keys)
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


def _turn(
    folder: Path, arrays: dict[str, Any], shape: tuple[int, int], memory: int
) -> dict[str, Any]:
    """Write the matrix with items as its rows, of that with users."""
    indptr, indices, data = (
        np.memmap(folder / f"users.{part}", arrays[f"users.{part}"]["dtype"], "r")
        if arrays[f"users.{part}"]["length"]
        else np.zeros(0, arrays[f"users.{part}"]["dtype"])
        for part in ("indptr", "indices", "data")
    )
    step = limit = max(1, memory // BYTES_PER_RATING)
    counts = np.zeros(shape[1], np.int64)
    for start in range(0, len(indices), step):
        counts += np.bincount(indices[start : start + step], minlength=shape[1])
    buckets = _Buckets(folder, counts, (indices.dtype, indices.dtype, np.float32), limit)
    for start in range(0, len(indices), step):
        places = np.arange(start, min(start + step, len(indices)))
        rows = np.searchsorted(indptr, places, side="right") - 1
        keys = indices[start : start + step]
        buckets.add(keys, keys, rows, data[start : start + step])
    grown = [
        Growing(folder / f"items.{part}", kind)
        for part, kind in (("indices", indices.dtype), ("data", data.dtype))
    ]
    for _, (items, *columns) in buckets:
        by_item = np.argsort(items, kind="stable")
        for one, column in zip(grown, columns, strict=True):
            one.append(column[by_item])
    buckets.remove()
    ends = np.concatenate(([0], np.cumsum(counts))).astype(indptr.dtype)
    return {
        "items.indptr": write_array(folder / "items.indptr", ends),
        **{one.path.name: one.finish() for one in grown},
    }


@contextmanager
def _replacing(target: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a folder that takes the place of `target` if the block succeeds."""
    pattern = f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.tmp"
    lock = target.with_name(f".{target.name}.lock")
    with alone(lock, f"the store {target}"), cleaned_up_on_sigterm():
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
