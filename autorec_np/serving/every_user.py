"""`recommend_all`: lists for all users, by blocks of users, which any executor may work out.

Blocks are those of `Recommender.recommend`, whoever works them out: so are the scores, to the bit.
"""

from __future__ import annotations

import copy
import csv
import io
import os
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, BinaryIO, TypeAlias, overload

import numpy as np

from autorec_np._files import replacing
from autorec_np._types import Array
from autorec_np.models import frames
from autorec_np.models.base import Recommender, Record, check_fitted, check_n, chunks
from autorec_np.serving.archive import AnyPath, ModelFileError
from autorec_np.serving.model_file import load_model, save_model
from autorec_np.serving.records import RatedPairs

Block: TypeAlias = dict[str, Array]

COLUMNS = "user", "item", "rank", "score", "cold"
MOST_AHEAD = 64  # blocks that are under way
ROWS_AHEAD = 4_000_000  # of their lists


@overload
def recommend_all(
    model: Recommender | AnyPath,
    users: Any = None,
    n: int = 10,
    executor: Any = None,
    path: None = None,
    *,
    exclude_seen: bool = True,
) -> Iterator[Block]: ...
@overload
def recommend_all(
    model: Recommender | AnyPath,
    users: Any = None,
    n: int = 10,
    executor: Any = None,
    *,
    path: AnyPath,
    exclude_seen: bool = True,
) -> int: ...
def recommend_all(
    model: Recommender | AnyPath,
    users: Any = None,
    n: int = 10,
    executor: Any = None,
    path: AnyPath | None = None,
    *,
    exclude_seen: bool = True,
) -> Iterator[Block] | int:
    """Work out the lists of `Recommender.recommend` for all users, without holding them all.

    Parameters
    ----------
    model : any model of this package, or path
        Fitted, or the file of a saved one, which is mapped.
    users : array_like, (m,), optional
        As of `recommend`. None: all, in the order of ``ratings_``.
    n : int
        Items for each user.
    executor : Executor, optional
        A pool of `concurrent.futures`, a Dask client's ``get_executor()``, or what else has
        ``submit``. Each of its processes maps the model once. One in memory is first written to a
        temporary file: for processes on other machines pass a path that they see.
    path : str or path-like, optional
        A ``.csv`` or (with pyarrow) ``.parquet`` file, written whole or not at all.
    exclude_seen : bool
        Leave out items that the user rated in training.

    Returns
    -------
    int or iterator of dict of str to ndarray
        Rows written; without a `path` blocks of rows, in the order of `users`. Columns are user,
        item, rank (from 1), score (unclipped) and cold (no ratings of user or item; in .csv 0 or
        1). A list ends where no item is left.

    Raises
    ------
    NotFittedError, ModelFileError
    ValueError, IndexError, TypeError
        As `recommend`; another ending of `path`; a model file that is replaced meanwhile.
    ImportError
        pyarrow is not installed.
    """
    write = None if path is None else WRITERS.get(Path(path).suffix)
    if path is not None and write is None:
        raise ValueError(f"path must end in .csv or .parquet, got {os.fspath(path)!r}.")
    if isinstance(model, str | os.PathLike):
        file = Path(os.path.abspath(model))
        stamp = _stamp(file)
        shared = Shared(load_model(file, memory_map=True, verify=True), file, stamp)
    else:
        shared = Shared(copy.copy(model))  # another thread may fit it meanwhile
    fitted = check_fitted(shared.model)
    n = check_n(n, fitted.ratings.n_items)
    asked = fitted.ids("user")
    if users is not None:
        if frames.is_frame(users):
            (users,) = frames.id_columns(users, "user")
        asked = asked[fitted.look_up("user", users)]
    blocks = [asked[rows] for rows in chunks(len(asked), fitted.ratings.n_items)]
    found = _blocks(shared, blocks, n, exclude_seen, executor)
    if path is None or write is None:
        return found
    with replacing(Path(os.path.realpath(path))) as stream, closing(found):
        return write(stream, fitted, found)


def _blocks(
    shared: Shared, blocks: list[Array], n: int, exclude_seen: bool, executor: Any
) -> Generator[Block]:
    if executor is None:
        yield from (lists_of(shared, users, n, exclude_seen) for users in blocks)
        return
    longest = max(map(len, blocks), default=0)
    n_ahead = max(2, min(MOST_AHEAD, ROWS_AHEAD // max(1, longest * n)))
    ahead: deque[Any] = deque()
    with TemporaryDirectory(prefix="autorec_np-", ignore_cleanup_errors=True) as folder:
        shared.folder = Path(folder)
        try:
            for users in blocks:
                ahead.append(executor.submit(lists_of, shared, users, n, exclude_seen))
                if len(ahead) == n_ahead:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


class Shared:
    """A model, of which other processes are sent the file alone.

    That of a model in memory is written when the first of them is.
    """

    folder: Path

    def __init__(
        self, model: Recommender, file: Path | None = None, stamp: tuple[int, ...] = ()
    ) -> None:
        self.model, self.file, self.stamp = model, file, stamp
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        with self._lock:
            if self.file is None:
                file = self.folder / "model.npz"
                known = not isinstance(check_fitted(self.model).ratings, RatedPairs)
                save_model(self.model, file, include_ratings=known)
                self.file, self.stamp = file, _stamp(file)
        return _opened, (self.file, self.stamp)


@lru_cache(maxsize=1)
def _opened(file: Path, stamp: tuple[int, ...]) -> Shared:
    if _stamp(file) != stamp:
        raise ModelFileError(f"{file} was replaced meanwhile; call recommend_all again.")
    return Shared(load_model(file, memory_map=True), file, stamp)


def _stamp(file: Path) -> tuple[int, ...]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def lists_of(shared: Shared, users: Array, n: int, exclude_seen: bool) -> Block:
    """Return the lists of users, one below the other."""
    model: Any = shared.model
    best, scores = model.recommend(users, n, exclude_seen)
    rows, ranks = np.nonzero(scores > -np.inf)
    users, items = users[rows], best[rows, ranks].astype(model.ratings_.item_ids.dtype)
    columns = users, items, ranks + 1, scores[rows, ranks], model.cold_pairs(users, items)
    return dict(zip(COLUMNS, columns, strict=True))


def _write_csv(stream: BinaryIO, fitted: Record, blocks: Iterator[Block]) -> int:
    text, n_rows = io.TextIOWrapper(stream, "utf-8", newline=""), 0
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for block in blocks:
        columns = block | {"cold": block["cold"].astype(int)}
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
        n_rows += len(block["rank"])
    text.detach()  # `stream` stays open
    return n_rows


def _write_parquet(stream: BinaryIO, fitted: Record, blocks: Iterator[Block]) -> int:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise ImportError("a .parquet file needs pyarrow: pip install pyarrow.") from error
    ids = (fitted.ids(axis).dtype.kind for axis in ("user", "item"))
    kinds = *("string" if kind == "O" else "int64" for kind in ids), "int64", "double", "bool"
    schema = pyarrow.schema(
        [(name, pyarrow.type_for_alias(kind)) for name, kind in zip(COLUMNS, kinds, strict=True)]
    )
    n_rows = 0
    with ParquetWriter(stream, schema) as writer:
        for block in blocks:
            writer.write_table(pyarrow.table(block, schema))
            n_rows += len(block["rank"])
    return n_rows


WRITERS = {".csv": _write_csv, ".parquet": _write_parquet}
