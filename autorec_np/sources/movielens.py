"""MovieLens: the data sets of GroupLens Research by name."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np

from autorec_np._files import cleaned_up_on_sigterm
from autorec_np._validation import check_choice
from autorec_np.sources.downloading import DownloadError, download, extract
from autorec_np.sources.reading import read_ratings

if TYPE_CHECKING:
    from pandas import DataFrame

    from autorec_np.data.ratings import Ratings

logger = logging.getLogger(__name__)

T = TypeVar("T")

CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. "
    "ACM Transactions on Interactive Intelligent Systems (TiiS) 5, 4, Article 19, 19 pages. "
    "https://doi.org/10.1145/2827872"
)

_BASE_URL = "https://files.grouplens.org/datasets/movielens/"


class _Layout(NamedTuple):
    ratings: str
    separator: str
    titles: str
    titles_separator: str
    encoding: str
    scale: tuple[float, float]
    users: tuple[str, ...] = ()  # the file, its fields


# Flags in ml-100k
_GENRES = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|Film-Noir|"
    "Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
)
_AGES = (1, 18, 25, 35, 45, 50, 56)  # each begins a group

_USERS = ("u.user", "age", "gender", "occupation")
_TABS = _Layout("u.data", "\t", "u.item", "|", "latin-1", (1.0, 5.0), _USERS)
_COLONS = _Layout("ratings.dat", "::", "movies.dat", "::", "utf-8", (0.5, 5.0))
_CSV = _Layout("ratings.csv", ",", "movies.csv", ",", "utf-8", (0.5, 5.0))


@dataclasses.dataclass(frozen=True)
class _DataSet:
    """Counts: one, or (lowest, highest)."""

    layout: _Layout
    n_ratings: int | tuple[int, int]
    n_users: int | tuple[int, int]
    n_items: int | tuple[int, int]
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    folds: tuple[str, ...] = ()
    max_bytes: int = 2_000_000_000


# Sizes and md5 as published
_DATA_SETS = {
    "ml-latest-small": _DataSet(
        _CSV, (50_000, 500_000), (100, 10_000), (1_000, 100_000), max_bytes=100_000_000
    ),
    "ml-100k": _DataSet(
        _TABS,
        100_000,
        943,
        1_682,
        size=4_924_029,
        md5="0e33842e24a9c977be4e0107933c0723",
        sha256="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        folds=("u1", "u2", "u3", "u4", "u5", "ua", "ub"),
        max_bytes=100_000_000,
    ),
    "ml-1m": _DataSet(
        _COLONS._replace(
            encoding="latin-1",
            scale=(1.0, 5.0),
            users=("users.dat", "gender", "age", "occupation"),
        ),
        1_000_209,
        6_040,
        3_706,
        size=5_917_549,
        md5="c4d9eecfca2ab87c1945afe126590906",
        sha256="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        max_bytes=100_000_000,
    ),
    "ml-10m": _DataSet(
        _COLONS,
        10_000_054,
        69_878,
        10_677,
        size=65_566_137,
        md5="ce571fd55effeba0271552578f2648bd",
        sha256="813c411ccb6122564edfe752e7f80c4dcc5aa25fa94c93622f6877a7ba252862",
        max_bytes=1_000_000_000,
    ),
    "ml-20m": _DataSet(
        _CSV,
        20_000_263,
        138_493,
        26_744,
        size=198_702_078,
        md5="cd245b17a1ae2cc31bb14903e1204af3",
        sha256="96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
    ),
    "ml-25m": _DataSet(
        _CSV,
        25_000_095,
        162_541,
        59_047,
        size=261_978_986,
        md5="6b51fb2759a8657d3bfcbfc42b592ada",
    ),
    "ml-32m": _DataSet(
        _CSV,
        32_000_204,
        200_948,
        (80_000, 87_585),
        size=238_950_008,
        md5="d472be332d4daa821edc399621853b57",
    ),
}

MovieLensName: TypeAlias = Literal[
    "ml-latest-small", "ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m"
]

MOVIELENS_NAMES = tuple(_DATA_SETS)
"""The names that `fetch_movielens` knows."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class MovieLens:
    """One MovieLens data set.

    Attributes
    ----------
    name : str
    ratings : Ratings
        With timestamps (seconds since 1970, UTC), from 1 (ml-100k, ml-1m) or 0.5 to 5.
    titles : dict of int to str
        By item id, also without a rating.
    folds : dict of str to (Ratings, Ratings)
        (training, test) as published, of ml-100k: ``"u1"`` to ``"u5"``, ``"ua"``, ``"ub"``.
    source : pathlib.Path
        The archive or folder.
    citation : str
    genres : dict of int to str
        By item id, between bars.
    users : dict of int to str
        By user id, as "gender_F|age_25|occupation_writer" (25 to 34), of ml-100k and ml-1m.
    """

    name: str
    ratings: Ratings
    titles: dict[int, str]
    folds: dict[str, tuple[Ratings, Ratings]]
    source: Path
    citation: str = CITATION
    genres: dict[int, str] = dataclasses.field(default_factory=dict)
    users: dict[int, str] = dataclasses.field(default_factory=dict)

    @property
    def item_features(self) -> DataFrame:
        """0 and 1 for each genre, by item id: for `Ratings.with_features`."""
        return _flags(self.genres)

    @property
    def user_features(self) -> DataFrame:
        """Likewise for `users`."""
        return _flags(self.users)

    def __repr__(self) -> str:
        folds = f"folds {', '.join(self.folds)}" if self.folds else "no folds"
        return (
            f"MovieLens({self.name!r}, {self.ratings!r}, {len(self.titles):,} titles, {folds}, "
            f"from {str(self.source)!r})"
        )


def _flags(names: dict[int, str]) -> DataFrame:
    import pandas as pd

    flags: DataFrame = pd.Series(names, dtype=object).str.get_dummies("|")
    return flags


def fetch_movielens(
    name: MovieLensName,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    *,
    progress: bool = True,
    _base_url: str = _BASE_URL,
) -> MovieLens:
    """Read a MovieLens data set; download it where it is not here yet.

    ``<name>.zip`` or the folder (``<name>/``; ``ml-10M100K/`` of ml-10m) is looked for in
    `data_home`, else ``$AUTOREC_NP_DATA``; then in `cache_folder`. A download goes to `data_home`
    or the cache, and is checked by size and hash.

    Parameters
    ----------
    name : {"ml-latest-small", "ml-100k", "ml-1m", "ml-10m", "ml-20m", "ml-25m", "ml-32m"}
        ml-latest-small changes over time.
    data_home : path, optional
    download_if_missing : bool
        False: raise FileNotFoundError instead.
    progress : bool
        On stderr, if that is a terminal.

    Raises
    ------
    ValueError
        An unknown name; a damaged or another data set.
    FileNotFoundError
        It is not here, and there is no leave or no folder for a download.
    DownloadError
        An OSError.

    Notes
    -----
    GroupLens allow research, ask for the `CITATION` and mostly forbid redistribution: see the
    README of each.
    """
    check_choice("name", name, MOVIELENS_NAMES)
    stated = os.environ.get("AUTOREC_NP_DATA") if data_home is None else data_home
    cache = None
    with contextlib.suppress(RuntimeError):  # no home folder
        cache = cache_folder()
    homes = [_expanded(home) for home in (stated, cache) if home]
    folder = _folder(name)
    for source in [home / file for home in homes for file in (f"{name}.zip", folder)]:
        if source.exists():
            logger.info("%s found at %s; its hash is not checked", name, source)
            return _load(name, source)
    url = f"{_base_url}{name}.zip"
    looked = " or in ".join(map(str, homes)) or "any folder"
    if not download_if_missing:
        raise FileNotFoundError(
            f"{name} was not found in {looked}. Place {name}.zip (from {url}) or its folder "
            f"{folder} there, or pass download_if_missing=True."
        )
    target = cache if data_home is None else homes[0]
    if target is None:
        raise FileNotFoundError(
            f"{name} was not found in {looked}, and a user without a home folder has no cache to "
            f"download it to; pass data_home=...."
        )

    def check_content(archive: Path) -> None:
        try:
            _load(name, archive)
        except ValueError as error:
            raise DownloadError(f"What {url} delivers is not {name}: {error}") from error

    known = _DATA_SETS[name]
    archive = download(
        url,
        target / f"{name}.zip",
        size=known.size,
        md5=known.md5,
        sha256=known.sha256,
        max_bytes=known.max_bytes,
        check=None if known.md5 else check_content,
        total_timeout=6 * 3600.0,
        progress=progress,
    )
    return _load(name, archive)


def cache_folder() -> Path:
    """The per-user folder for downloads; RuntimeError without a home folder.

    ``$XDG_CACHE_HOME/autorec_np`` or ``~/.cache/autorec_np``; on macOS in ``~/Library/Caches``, on
    Windows in ``%LOCALAPPDATA%``.
    """
    variable, default = {
        "win32": ("LOCALAPPDATA", "AppData/Local"),
        "darwin": ("", "Library/Caches"),
    }.get(sys.platform, ("XDG_CACHE_HOME", ".cache"))
    stated = Path(os.environ.get(variable, ""))
    # XDG: ignore a relative path.
    return (stated if stated.is_absolute() else Path.home() / default) / "autorec_np"


def _expanded(folder: str | os.PathLike[str]) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(
            f"{os.fspath(folder)!r} begins with a home folder that is not known here; write it out."
        ) from error


def _folder(name: str) -> str:
    return "ml-10M100K" if name == "ml-10m" else name


def _load(name: str, source: Path) -> MovieLens:
    if source.is_dir():
        return _read(name, source)
    known = _DATA_SETS[name]
    with cleaned_up_on_sigterm(), tempfile.TemporaryDirectory(prefix="autorec_np-") as temporary:
        unpacked = Path(temporary) / "archive"
        members = [f"{_folder(name)}/{file}" for file in _files(known)]
        extract(source, unpacked, members=members, max_bytes=known.max_bytes)
        try:
            data = _read(name, unpacked / _folder(name))
        except ValueError as error:
            raise ValueError(str(error).replace(str(unpacked), str(source))) from error
    return dataclasses.replace(data, source=source)


def _files(known: _DataSet) -> list[str]:
    tests = [f"{fold}.test" for fold in known.folds]
    return [known.layout.ratings, known.layout.titles, *known.layout.users[:1], *tests]


def _read(name: str, folder: Path) -> MovieLens:
    known = _DATA_SETS[name]
    missing = [file for file in _files(known) if not (folder / file).is_file()]
    if missing:
        raise _not_as_published(name, folder, f"it lacks {', '.join(missing)}")
    ratings = _read_ratings(folder / known.layout.ratings, known.layout)
    for what, count, accepted in (
        ("ratings", len(ratings), known.n_ratings),
        ("users", ratings.n_users, known.n_users),
        ("items", ratings.n_items, known.n_items),
    ):
        low, high = accepted if isinstance(accepted, tuple) else (accepted, accepted)
        if not low <= count <= high:
            wanted = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            reason = f"it has {count:,} {what} where {wanted} are expected"
            raise _not_as_published(name, folder, reason)
    layout, users = known.layout, {}
    items = _read_rows(folder / layout.titles, layout, "an item id and a title", _title_and_genres)
    if layout.users:
        file, *fields = layout.users
        wanted = f"a user id, {', '.join(fields)}"
        users = _read_rows(folder / file, layout, wanted, lambda row: _about_user(fields, row))
    titles, genres = ({item: pair[n] for item, pair in items.items()} for n in (0, 1))
    folds = {fold: _read_fold(name, folder / f"{fold}.test", ratings) for fold in known.folds}
    return MovieLens(name, ratings, titles, folds, folder, genres=genres, users=users)


def _not_as_published(name: str, source: Path, reason: str) -> ValueError:
    return ValueError(
        f"{source} is not {name} as published: {reason}. Replace it by {_BASE_URL}{name}.zip, or "
        "remove it, and call fetch_movielens again."
    )


def _read_ratings(path: Path, layout: _Layout) -> Ratings:
    sep, scale = layout.separator, layout.scale
    columns = None if sep == "," else (0, 1, 2, 3)
    ratings = read_ratings(path, sep=sep, header=sep == ",", columns=columns, scale=scale)
    return dataclasses.replace(ratings, columns=None)


def _title_and_genres(row: list[str]) -> tuple[str, str]:
    if len(row) > 3:
        flagged = zip(_GENRES.split("|"), row[5:], strict=False)
        return row[1], "|".join(genre for genre, flag in flagged if flag == "1")
    return row[1], "|".join(row[2:]).replace("(no genres listed)", "")


def _about_user(fields: list[str], row: list[str]) -> str:
    told = dict(zip(fields, row[1:4], strict=True))
    told["age"] = f"{max(age for age in _AGES if age <= int(told['age']))}"
    return "|".join(map("_".join, told.items()))


def _read_rows(
    path: Path, layout: _Layout, wanted: str, pick: Callable[[list[str]], T]
) -> dict[int, T]:
    separator = layout.titles_separator
    picked: dict[int, T] = {}
    with open(path, encoding=layout.encoding) as file:
        is_csv = separator == ","
        rows = csv.reader(file) if is_csv else (line.strip().split(separator) for line in file)
        try:
            if is_csv:
                next(rows, None)
            for row in filter(any, rows):
                picked[int(row[0])] = pick(row)
        except (ValueError, IndexError, csv.Error) as error:
            raise ValueError(
                f"{path}, entry {len(picked) + 1}: expected {wanted}, separated by {separator!r}, "
                f"in {layout.encoding} ({error}). Fetch it anew."
            ) from error
    return picked


def _read_fold(name: str, path: Path, ratings: Ratings) -> tuple[Ratings, Ratings]:
    layout = _DATA_SETS[name].layout
    index, listed = (
        part.to_frame().set_index(["user", "item", "rating"]).index
        for part in (ratings, _read_ratings(path, layout))
    )
    places = index.get_indexer(listed)
    if places.min() < 0:
        user, item, rating = listed[places.argmin()]
        raise ValueError(
            f"{path}: the rating {rating:g} of user {user} for item {item} is not one of "
            f"{layout.ratings}. Fetch {name} anew."
        )
    is_test = np.isin(np.arange(len(ratings)), places)
    return ratings.select(~is_test), ratings.select(is_test)
