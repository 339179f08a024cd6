"""MovieLens in its three formats: small synthetic archives, and the real ones where present."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import itertools
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import http_server
import numpy as np
import pytest
from http_server import ScriptedServer, body, status

from autorec_np.data.ratings import Ratings
from autorec_np.sources import movielens as datasets
from autorec_np.sources.downloading import DownloadError, download
from autorec_np.sources.movielens import MOVIELENS_NAMES, MovieLens, cache_folder, fetch_movielens

FOLDS = ("u1", "u2", "u3", "u4", "u5", "ua", "ub")
UNPINNED = "ml-latest-small"
TITLES = {
    1: "Toy Story (1995)",
    2: "Misérables, Les (1995)",
    40: '"Great Performances" Cats (1998)',
    7: "Nobody rated this: a tale (1999)",
    3952: "Señor, ¿qué? (2000)",
}
USERS = (3, 10, 11)  # of whom something is told
Rating = tuple[int, int, float, int]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any data, without the world, and with little patience; its cache."""
    http_server.allow_loopback_only(monkeypatch)
    monkeypatch.delenv("AUTOREC_NP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(datasets, "cache_folder", lambda: tmp_path / "cache")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    quick = partial(download, retries=1, backoff=0.005)
    monkeypatch.setattr(datasets, "download", quick)
    return tmp_path / "cache"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


# --- synthetic archives -----------------------------------------------------------------------


def make_rows(name: str) -> list[Rating]:
    """Twenty-one ratings of 6 users for 4 of the items, unsorted, all timestamps different."""
    generator = np.random.default_rng(len(name))
    pairs = list(itertools.product((3, 10, 11, 12, 200, 71567), (1, 2, 40, 3952)))
    # The very last cell stays empty.
    pairs.remove((71567, 3952))
    generator.shuffle(pairs)
    # Not the whole scale, so that the scale read must be the stated one.
    scale = (2, 3, 4) if name in ("ml-100k", "ml-1m") else (1, 2.5, 4)
    return [
        (user, item, float(generator.choice(scale)), 874_724_710 + 1000 * k)
        for k, (user, item) in enumerate(pairs[:21])
    ]


def as_lines(rows: list[Rating], separator: str) -> bytes:
    lines = [separator.join((str(u), str(i), f"{r:g}", str(t))) for u, i, r, t in rows]
    return ("\n".join(lines) + "\n").encode()


def as_csv(rows: list[tuple[object, ...]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue().encode("utf-8")


def fold_rows(rows: list[Rating], fold: str) -> list[Rating]:
    """The test part of a fold: u1..u5 partition the ratings; ua, ub take one of each user's."""
    if fold in ("ua", "ub"):
        of_user: dict[int, list[Rating]] = {}
        for row in rows:
            of_user.setdefault(row[0], []).append(row)
        return [own[0 if fold == "ua" else 1] for own in of_user.values()]
    return sorted(rows[int(fold[1]) - 1 :: 5])


def make_files(name: str) -> dict[str, bytes]:
    """The files of a small data set in the format of `name`, by their path in the archive."""
    rows = make_rows(name)
    if name == "ml-100k":
        items = [f"{i}|{title}|01-Jan-1995||http://x|0|1\n" for i, title in TITLES.items()]
        files = {"u.data": as_lines(rows, "\t"), "u.item": "".join(items).encode("latin-1")}
        files["u.user"] = b"".join(b"%d|%d|F|writer|T8H1N\n" % (u, u + 15) for u in USERS)
        for fold in FOLDS:
            files[f"{fold}.test"] = as_lines(fold_rows(rows, fold), "\t")
        folder = "ml-100k"
    elif name in ("ml-1m", "ml-10m"):
        encoding = "latin-1" if name == "ml-1m" else "utf-8"
        movies = "".join(f"{i}::{title}::Comedy|Drama\n" for i, title in TITLES.items())
        files = {"ratings.dat": as_lines(rows, "::"), "movies.dat": movies.encode(encoding)}
        folder = "ml-1m" if name == "ml-1m" else "ml-10M100K"
        if name == "ml-1m":
            files["users.dat"] = b"".join(b"%d::M::1::10::48067-9\n" % u for u in USERS)
    else:
        movies_csv = [(i, title, "Comedy|Drama") for i, title in TITLES.items()]
        files = {
            "ratings.csv": as_csv([("userId", "movieId", "rating", "timestamp"), *rows]),
            "movies.csv": as_csv([("movieId", "title", "genres"), *movies_csv]),
        }
        folder = name
    files["README"] = b"about the data"
    return {f"{folder}/{file}": content for file, content in files.items()}


def pack(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            undated = zipfile.ZipInfo(name)  # the same bytes, and hashes, at any time
            archive.writestr(undated, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def place_archive(home: Path, name: str, files: dict[str, bytes] | None = None) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    archive = home / f"{name}.zip"
    archive.write_bytes(pack(make_files(name) if files is None else files))
    return archive


def place_folder(home: Path, name: str) -> Path:
    files = make_files(name)
    for path, content in files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)
    return home / next(iter(files)).split("/")[0]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the table expect the synthetic data sets: their counts, sizes and hashes."""
    for name, known in datasets._DATA_SETS.items():
        content = pack(make_files(name))
        changes: dict[str, object] = {"n_ratings": (21, 21), "n_users": (6, 6), "n_items": (4, 4)}
        if name != UNPINNED:
            changes["size"] = len(content)
            changes["md5"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
            changes["sha256"] = known.sha256 and hashlib.sha256(content).hexdigest()
        altered = dataclasses.replace(known, **changes)  # type: ignore[arg-type]
        monkeypatch.setitem(datasets._DATA_SETS, name, altered)


def rows_of(ratings: Ratings) -> list[Rating]:
    frame = ratings.to_frame()
    return list(frame.itertuples(index=False, name=None))


def check_content(data: MovieLens, name: str) -> None:
    rows = make_rows(name)
    assert data.name == name
    assert rows_of(data.ratings) == rows
    assert data.ratings.scale == ((1.0, 5.0) if name in ("ml-100k", "ml-1m") else (0.5, 5.0))
    assert data.titles == TITLES
    assert tuple(data.folds) == (FOLDS if name == "ml-100k" else ())
    for fold, (train, test) in data.folds.items():
        wanted = set(fold_rows(rows, fold))
        # Both parts in the order of the whole file.
        assert rows_of(test) == [row for row in rows if row in wanted]
        assert rows_of(train) == [row for row in rows if row not in wanted]
        for part in (train, test):
            assert part.shape == data.ratings.shape
            assert part.scale == data.ratings.scale
            np.testing.assert_array_equal(part.user_ids, data.ratings.user_ids)
            np.testing.assert_array_equal(part.item_ids, data.ratings.item_ids)


# --- formats ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", MOVIELENS_NAMES)
def test_an_archive_placed_by_hand(name: str, tmp_path: Path) -> None:
    archive = place_archive(tmp_path / "data", name)
    data = fetch_movielens(name, tmp_path / "data", download_if_missing=False)
    check_content(data, name)
    assert data.source == archive
    assert os.listdir(tmp_path / "data") == [archive.name]
    assert os.listdir(tmp_path / "temporary") == []


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", MOVIELENS_NAMES)
def test_a_folder_placed_by_hand(name: str, tmp_path: Path) -> None:
    folder = place_folder(tmp_path / "data", name)
    assert folder.name == ("ml-10M100K" if name == "ml-10m" else name)
    data = fetch_movielens(name, str(tmp_path / "data"), download_if_missing=False)
    check_content(data, name)
    assert data.source == folder


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", MOVIELENS_NAMES)
def test_a_download(name: str, tmp_path: Path, server: ScriptedServer) -> None:
    server.script[f"/{name}.zip"] = [body(pack(make_files(name)))]
    for _ in range(2):
        data = fetch_movielens(name, tmp_path / "data", _base_url=server.base_url)
        check_content(data, name)
        assert data.source == tmp_path / "data" / f"{name}.zip"
    assert len(server.requests) == 1
    assert os.listdir(tmp_path / "data") == [f"{name}.zip"]
    assert os.listdir(tmp_path / "temporary") == []


@pytest.mark.usefixtures("small")
def test_lines_of_dos_and_blank_lines_in_titles(tmp_path: Path) -> None:
    for name, file in (("ml-100k", "ml-100k/u.item"), ("ml-20m", "ml-20m/movies.csv")):
        files = make_files(name)
        unix = files[file].replace(b"\r\n", b"\n")
        files[file] = unix.replace(b"\n", b"\r\n") + b"\r\n"
        place_archive(tmp_path / "data", name, files)
        assert fetch_movielens(name, tmp_path / "data").titles == TITLES


def test_repr_and_citation(small: None, tmp_path: Path) -> None:
    place_archive(tmp_path, "ml-100k")
    place_archive(tmp_path, "ml-1m")
    data = fetch_movielens("ml-100k", tmp_path)
    assert repr(data) == (
        "MovieLens('ml-100k', Ratings(21 ratings, 6 users x 4 items, 87.5 % filled, scale 1-5), "
        f"5 titles, folds u1, u2, u3, u4, u5, ua, ub, from '{tmp_path / 'ml-100k.zip'}')"
    )
    assert "no folds" in repr(fetch_movielens("ml-1m", tmp_path))
    assert "Harper and Joseph A. Konstan. 2015" in data.citation
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "other"  # type: ignore[misc]


def test_an_archive_may_unpack_to_a_small_multiple_of_its_size():
    pinned = [known for known in datasets._DATA_SETS.values() if known.size is not None]
    assert len(pinned) == 6
    assert all(known.size < known.max_bytes < 25 * known.size for known in pinned)
    assert datasets._DATA_SETS["ml-latest-small"].max_bytes == 100_000_000


def test_the_table_is_well_formed() -> None:
    assert MOVIELENS_NAMES == (
        "ml-latest-small",
        "ml-100k",
        "ml-1m",
        "ml-10m",
        "ml-20m",
        "ml-25m",
        "ml-32m",
    )
    for name, known in datasets._DATA_SETS.items():
        assert re.fullmatch("[0-9a-f]{32}", known.md5 or "") or name == UNPINNED
        assert known.sha256 is None or re.fullmatch("[0-9a-f]{64}", known.sha256)
        assert (known.size is None) == (name == UNPINNED)
        assert known.size is None or known.size < known.max_bytes
        for accepted in (known.n_ratings, known.n_users, known.n_items):
            low, high = accepted if isinstance(accepted, tuple) else (accepted, accepted)
            assert 0 < low <= high
    hashes = [known.md5 for known in datasets._DATA_SETS.values()]
    assert len(set(hashes)) == len(hashes)


# --- where it is looked for, and where it goes ------------------------------------------------


@pytest.mark.usefixtures("small")
def test_the_order_of_the_search(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    given, stated = tmp_path / "given", tmp_path / "stated"
    monkeypatch.setenv("AUTOREC_NP_DATA", str(stated))
    fetch = partial(fetch_movielens, "ml-1m", download_if_missing=False)
    with pytest.raises(FileNotFoundError):
        fetch()
    in_cache = place_archive(cache, "ml-1m")
    assert fetch().source == in_cache
    assert fetch(given).source == in_cache
    in_stated = place_archive(stated, "ml-1m")
    assert fetch().source == in_stated
    # A data_home takes the place of the environment variable.
    assert fetch(given).source == in_cache
    in_given = place_archive(given, "ml-1m")
    assert fetch(given).source == in_given
    assert fetch().source == in_stated
    # An archive is preferred to a folder beside it.
    place_folder(given, "ml-1m")
    assert fetch(given).source == in_given
    in_given.unlink()
    assert fetch(given).source == given / "ml-1m"


@pytest.mark.usefixtures("small")
def test_downloads_never_go_to_the_stated_folder(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    stated = tmp_path / "stated"
    stated.mkdir()
    monkeypatch.setenv("AUTOREC_NP_DATA", str(stated))
    server.script["/ml-1m.zip"] = [body(pack(make_files("ml-1m")))]
    data = fetch_movielens("ml-1m", _base_url=server.base_url)
    assert data.source == cache / "ml-1m.zip"
    assert os.listdir(stated) == []
    cache.joinpath("ml-1m.zip").unlink()
    data = fetch_movielens("ml-1m", tmp_path / "given", _base_url=server.base_url)
    assert data.source == tmp_path / "given" / "ml-1m.zip"
    assert os.listdir(cache) == []


@pytest.mark.usefixtures("small")
def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    archive = place_archive(tmp_path / "data", "ml-1m")
    assert fetch_movielens("ml-1m", "~/data").source == archive
    monkeypatch.setenv("AUTOREC_NP_DATA", "~/data")
    assert fetch_movielens("ml-1m").source == archive


def without_home() -> Path:
    raise RuntimeError("Could not determine home directory.")  # as Path.home does


@pytest.mark.usefixtures("small")
def test_a_user_without_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(Path, "home", without_home)
    monkeypatch.setattr(
        Path, "expanduser", lambda self: without_home() if "~" in str(self) else self
    )
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("AUTOREC_NP_DATA", str(data))
    for home in (None, data):
        with pytest.raises(FileNotFoundError, match=r"ml-1m was not found in .*data\. Place ml-1m"):
            fetch_movielens("ml-1m", home, download_if_missing=False)
    with pytest.raises(FileNotFoundError, match="has no cache to download it to; pass data_home="):
        fetch_movielens("ml-1m")
    monkeypatch.delenv("AUTOREC_NP_DATA")
    with pytest.raises(FileNotFoundError, match="not found in any folder, and a user without a h"):
        fetch_movielens("ml-1m")
    with pytest.raises(FileNotFoundError, match="'~/data' begins with a home folder that is not"):
        fetch_movielens("ml-1m", "~/data")
    with pytest.raises(RuntimeError, match="home"):
        cache_folder()


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs the users of POSIX")
def test_a_uid_without_an_entry_is_one_line(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    program = (
        "import os, sys; from autorec_np.cli import main; import autorec_np.cli.commands, numpy\n"
        "from autorec_np import fetch_movielens, read_ratings\n"
        "os.setuid(54321); sys.exit(main(sys.argv[1:]))"
    )
    environment = {name: value for name, value in os.environ.items() if name not in NO_HOME}
    for options in ([], ["--data-home", str(tmp_path)]):
        ended = subprocess.run(
            [sys.executable, "-c", program, "fetch", "ml-100k", *options],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
            cwd="/",
        )
        assert ended.returncode == 1
        assert re.fullmatch(r"autorec-np: error: .*\n", ended.stderr)


NO_HOME = {"HOME", "USERPROFILE", "XDG_CACHE_HOME", "AUTOREC_NP_DATA"}


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x/cache"}, "/x/cache/autorec_np"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/autorec_np"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/me/.cache/autorec_np"),
        ("linux", {}, "/home/me/.cache/autorec_np"),
        ("darwin", {"XDG_CACHE_HOME": "/x/cache"}, "/home/me/Library/Caches/autorec_np"),
        ("win32", {"LOCALAPPDATA": "/x/local"}, "/x/local/autorec_np"),
        ("win32", {}, "/home/me/AppData/Local/autorec_np"),
    ],
)
def test_the_cache_folder(
    platform: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: cls("/home/me")))
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder().as_posix() == expected


def test_an_archive_found_is_trusted_as_to_its_hash(
    small: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Packed anew with another file in it: another hash, the same data.
    files = {**make_files("ml-1m"), "ml-1m/extra": b"more"}
    archive = place_archive(tmp_path, "ml-1m", files)
    with caplog.at_level(logging.INFO):
        check_content(fetch_movielens("ml-1m", tmp_path), "ml-1m")
    assert f"ml-1m found at {archive}; its hash is not checked" in caplog.messages


# --- what can go wrong ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ml-2m", "ML-1M", "", "../ml-1m", None])
def test_an_unknown_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"'ml-100k', 'ml-1m'.*'ml-32m', got") as caught:
        fetch_movielens(name)
    assert repr(name) in str(caught.value)


def test_not_found(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        fetch_movielens("ml-10m", tmp_path / "given", download_if_missing=False)
    message = str(caught.value)
    assert f"not found in {tmp_path / 'given'} or in {cache}" in message
    assert "Place ml-10m.zip" in message
    assert "https://files.grouplens.org/datasets/movielens/ml-10m.zip" in message
    assert "folder ml-10M100K there" in message


def test_offline(tmp_path: Path, cache: Path) -> None:
    with ScriptedServer() as gone:
        base_url = gone.base_url
    with pytest.raises(DownloadError) as caught:
        fetch_movielens("ml-1m", _base_url=base_url)
    message = str(caught.value)
    assert f"Could not download {base_url}ml-1m.zip: " in message
    assert f"place it at {cache / 'ml-1m.zip'}" in message
    assert os.listdir(cache) == []


@pytest.mark.usefixtures("small")
def test_a_download_with_another_content(tmp_path: Path, server: ScriptedServer) -> None:
    content = bytearray(pack(make_files("ml-25m")))
    content[-1] ^= 1
    server.script["/ml-25m.zip"] = [body(bytes(content))]
    with pytest.raises(DownloadError, match="has md5"):
        fetch_movielens("ml-25m", tmp_path / "data", _base_url=server.base_url)
    server.script["/ml-25m.zip"] = [body(bytes(content) + b"more")]
    with pytest.raises(DownloadError, match="announces"):
        fetch_movielens("ml-25m", tmp_path / "data", _base_url=server.base_url)
    server.script["/ml-25m.zip"] = [status(404)]
    with pytest.raises(DownloadError, match="HTTP 404"):
        fetch_movielens("ml-25m", tmp_path / "data", _base_url=server.base_url)
    assert os.listdir(tmp_path / "data") == []


@pytest.mark.usefixtures("small")
def test_a_download_that_breaks_off_is_resumed(tmp_path: Path, server: ScriptedServer) -> None:
    # Stored, not deflated, so that it is larger than one read of the transport.
    files = {**make_files("ml-1m"), "ml-1m/padding": np.random.default_rng(0).bytes(50_000)}
    content = pack(files)
    known = dataclasses.replace(
        datasets._DATA_SETS["ml-1m"],
        size=len(content),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        sha256=None,
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(datasets._DATA_SETS, "ml-1m", known)
        server.script["/ml-1m.zip"] = [body(content, stop_after=16_384), body(content)]
        check_content(fetch_movielens("ml-1m", tmp_path, _base_url=server.base_url), "ml-1m")
    assert server.ranges() == [None, "bytes=16384-"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("fault", ["html", "other data", "truncated", "traversal"])
def test_an_unpinned_download_is_read_before_it_is_kept(
    fault: str, tmp_path: Path, server: ScriptedServer
) -> None:
    content = pack(make_files(UNPINNED))
    wrong = {
        "html": b"<html>Please log in</html>",
        "other data": pack(make_files("ml-1m")),
        "truncated": content[:-100],
        "traversal": pack({**make_files(UNPINNED), "../evil": b"evil"}),
    }[fault]
    server.script[f"/{UNPINNED}.zip"] = [body(wrong), body(content)]
    with pytest.raises(DownloadError, match=f"delivers is not {UNPINNED}"):
        fetch_movielens(UNPINNED, tmp_path / "data", _base_url=server.base_url)
    assert os.listdir(tmp_path / "data") == []
    assert os.listdir(tmp_path / "temporary") == []
    data = fetch_movielens(UNPINNED, tmp_path / "data", _base_url=server.base_url)
    check_content(data, UNPINNED)


@pytest.mark.usefixtures("small")
def test_plain_http_after_bad_tls_is_for_pinned_data_sets_only(
    tmp_path: Path, server: ScriptedServer
) -> None:
    # The server speaks no TLS.
    base_url = server.base_url.replace("http:", "https:")
    for name in (UNPINNED, "ml-32m"):
        server.script[f"/{name}.zip"] = [body(pack(make_files(name)))]
    with pytest.raises(DownloadError, match="TLS failed"):
        fetch_movielens(UNPINNED, tmp_path, _base_url=base_url)
    with pytest.warns(RuntimeWarning, match="falling back to plain http"):
        check_content(fetch_movielens("ml-32m", tmp_path, _base_url=base_url), "ml-32m")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["ml-latest-small", "ml-100k", "ml-1m"])
def test_missing_files(name: str, tmp_path: Path) -> None:
    files = make_files(name)
    for missing in files:
        if missing.endswith("README"):
            continue
        rest = {file: content for file, content in files.items() if file != missing}
        archive = place_archive(tmp_path / "a", name, rest)
        with pytest.raises(ValueError, match=re.escape(f"{archive} lacks {missing}")):
            fetch_movielens(name, tmp_path / "a")
        folder = place_folder(tmp_path / "b", name)
        (tmp_path / "b" / missing).unlink()
        file = missing.split("/")[1]
        expected = re.escape(f"{folder} is not {name} as published: it lacks {file}.")
        with pytest.raises(ValueError, match=expected):
            fetch_movielens(name, tmp_path / "b")


@pytest.mark.usefixtures("small")
def test_a_damaged_archive(tmp_path: Path) -> None:
    archive = place_archive(tmp_path, "ml-1m")
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(ValueError, match=re.escape(f"{archive} is not a readable zip archive")):
        fetch_movielens("ml-1m", tmp_path)


@pytest.mark.usefixtures("small")
def test_an_archive_that_unpacks_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = datasets._DATA_SETS["ml-1m"]
    monkeypatch.setitem(datasets._DATA_SETS, "ml-1m", dataclasses.replace(known, max_bytes=10_000))
    files = make_files("ml-1m")
    files["ml-1m/ratings.dat"] *= 100
    place_archive(tmp_path, "ml-1m", files)
    with pytest.raises(ValueError, match="unpacks to more than the 10,000 bytes"):
        fetch_movielens("ml-1m", tmp_path)


@pytest.mark.parametrize(
    ("count", "accepted", "message"),
    [
        ("n_ratings", (22, 22), "it has 21 ratings where 22 are expected"),
        ("n_ratings", (1, 20), "it has 21 ratings where 1 to 20 are expected"),
        ("n_users", (7, 1000), "it has 6 users where 7 to 1,000 are expected"),
        ("n_users", (5, 5), "it has 6 users where 5 are expected"),
        ("n_items", (5, 5), "it has 4 items where 5 are expected"),
        ("n_items", (1, 3), "it has 4 items where 1 to 3 are expected"),
    ],
)
def test_other_counts_than_published(
    small: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count: str,
    accepted: tuple[int, int],
    message: str,
) -> None:
    altered = dataclasses.replace(datasets._DATA_SETS["ml-1m"], **{count: accepted})  # type: ignore[arg-type]
    monkeypatch.setitem(datasets._DATA_SETS, "ml-1m", altered)
    archive = place_archive(tmp_path, "ml-1m")
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        fetch_movielens("ml-1m", tmp_path)
    assert str(archive) in str(caught.value)
    assert "https://files.grouplens.org/datasets/movielens/ml-1m.zip" in str(caught.value)


def test_the_synthetic_data_sets_are_not_the_real_ones(tmp_path: Path) -> None:
    for name in MOVIELENS_NAMES:
        place_archive(tmp_path, name)
        with pytest.raises(ValueError, match=r"21 ratings where .* expected"):
            fetch_movielens(name, tmp_path)


@pytest.mark.usefixtures("small")
def test_a_bad_line_is_named_in_the_archive(tmp_path: Path) -> None:
    files = make_files("ml-1m")
    lines = files["ml-1m/ratings.dat"].split(b"\n")
    lines[6] = b"1::2::six::0"
    files["ml-1m/ratings.dat"] = b"\n".join(lines)
    archive = place_archive(tmp_path / "data", "ml-1m", files)
    with pytest.raises(ValueError, match="six") as caught:
        fetch_movielens("ml-1m", tmp_path / "data")
    message = str(caught.value)
    assert f"{archive}/ml-1m/ratings.dat" in message
    assert "line 7" in message
    assert "temporary" not in message


@pytest.mark.usefixtures("small")
def test_a_rating_outside_the_scale(tmp_path: Path) -> None:
    files = make_files("ml-1m")
    files["ml-1m/ratings.dat"] = re.sub(
        rb"::[1-5]::", b"::0.5::", files["ml-1m/ratings.dat"], count=1
    )
    place_archive(tmp_path, "ml-1m", files)
    with pytest.raises(ValueError, match=r"0\.5"):
        fetch_movielens("ml-1m", tmp_path)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("name", "file", "content", "entry"),
    [
        ("ml-1m", "movies.dat", b"1::A::x\n2:B\n", 2),
        ("ml-1m", "movies.dat", b"one::A::x\n", 1),
        ("ml-100k", "u.item", b"1|A|x\n\n7\n", 2),
        ("ml-20m", "movies.csv", b"movieId,title,genres\n1,A,x\n2\n", 2),
        ("ml-20m", "movies.csv", "movieId,title,genres\n1,é,x\n".encode("latin-1"), 1),
        ("ml-10m", "movies.dat", "1::é::x\n".encode("latin-1"), 1),
    ],
)
def test_titles_that_are_none(
    name: str, file: str, content: bytes, entry: int, tmp_path: Path
) -> None:
    folder = place_folder(tmp_path, name)
    (folder / file).write_bytes(content)
    expected = re.escape(f"{folder / file}, entry {entry}: expected an item id")
    with pytest.raises(ValueError, match=expected):
        fetch_movielens(name, tmp_path)


@pytest.mark.usefixtures("small")
def test_users_that_are_none(tmp_path: Path) -> None:
    folder = place_folder(tmp_path, "ml-1m")
    (folder / "users.dat").write_text("3::M::1::10::1\n4::F\n")
    wanted = "entry 2: expected a user id, gender, age, occupation, separated by '::'"
    with pytest.raises(ValueError, match=re.escape(f"{folder / 'users.dat'}, {wanted}")):
        fetch_movielens("ml-1m", tmp_path)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", MOVIELENS_NAMES)
def test_features(name: str, tmp_path: Path) -> None:
    place_archive(tmp_path, name)
    data = fetch_movielens(name, tmp_path)
    assert set(data.genres.values()) == {"Action" if name == "ml-100k" else "Comedy|Drama"}
    items = data.item_features
    assert items.index.tolist() == list(TITLES)
    assert items.columns.tolist() == (["Action"] if name == "ml-100k" else ["Comedy", "Drama"])
    assert (items == 1).all(axis=None)
    R = data.ratings.with_features(items=items)
    assert R.item_ids.tolist() == sorted(TITLES)  # also those that nobody rated
    if name not in ("ml-100k", "ml-1m"):
        assert data.users == {}
        assert data.user_features.shape == (0, 0)
        return
    assert data.user_features.index.tolist() == list(USERS)
    flags = {name: column.tolist() for name, column in data.user_features.items()}
    if name == "ml-100k":
        assert data.users[3] == "age_18|gender_F|occupation_writer"
        ages = {"age_18": [1, 0, 0], "age_25": [0, 1, 1]}
        assert flags == {**ages, "gender_F": [1, 1, 1], "occupation_writer": [1, 1, 1]}
    else:
        assert flags == {key: [1, 1, 1] for key in ("gender_M", "age_1", "occupation_10")}


@pytest.mark.usefixtures("small")
def test_genres_that_are_not_listed(tmp_path: Path) -> None:
    folder = place_folder(tmp_path, "ml-20m")
    rows = "".join(f"{item},T,(no genres listed)\n" for item in TITLES)
    (folder / "movies.csv").write_text(f"movieId,title,genres\n{rows}5,U,Drama|War\n")
    data = fetch_movielens("ml-20m", tmp_path)
    flags = [0] * len(TITLES) + [1]
    assert data.item_features.to_dict("list") == {"Drama": flags, "War": flags}


def foreign_pairs(rows: list[Rating]) -> list[tuple[int, int]]:
    """Pairs without a rating: of known ids, the last cell of all included, and of unknown ones."""
    users, items = {row[0] for row in rows}, {row[1] for row in rows}
    rated = {row[:2] for row in rows}
    missing = [
        pair for pair in itertools.product(sorted(users), sorted(items)) if pair not in rated
    ]
    assert (max(users), max(items)) in missing
    return [*missing, *((user, 7) for user in users), *((9999, item) for item in items), (9999, 7)]


@pytest.mark.usefixtures("small")
def test_a_fold_that_is_not_of_the_data(tmp_path: Path) -> None:
    rows = make_rows("ml-100k")
    folder = place_folder(tmp_path, "ml-100k")
    of_pair = {row[:2]: row[2] for row in rows}
    foreign = [(pair, value) for pair in foreign_pairs(rows) for value in (2, 3, 4)]
    changed = [(pair, value % 5 + 1) for pair, value in of_pair.items()]
    for (user, item), value in foreign + changed:
        (folder / "u1.test").write_text(f"{user}\t{item}\t{value:g}\t0\n")
        expected = (
            f"u1.test: the rating {value:g} of user {user} for item {item} is not one of u.data"
        )
        with pytest.raises(ValueError, match=re.escape(expected)):
            datasets._read_fold("ml-100k", folder / "u1.test", ratings_of(rows))
    with pytest.raises(ValueError, match=r"u1\.test: the rating .* Fetch ml-100k anew"):
        fetch_movielens("ml-100k", tmp_path)


def ratings_of(rows: list[Rating]) -> Ratings:
    return Ratings.from_triples(*zip(*rows, strict=True), scale=(1, 5))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("progress", [True, False])
def test_progress_on_a_terminal(
    progress: bool, tmp_path: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script["/ml-1m.zip"] = [body(pack(make_files("ml-1m")))]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    fetch_movielens("ml-1m", tmp_path, progress=progress, _base_url=server.base_url)
    assert terminal.getvalue().startswith("\rml-1m.zip  100 %") == progress
    assert bool(terminal.getvalue()) == progress


def test_a_download_of_unknown_size_is_bounded(tmp_path: Path, server: ScriptedServer) -> None:
    server.script[f"/{UNPINNED}.zip"] = [body(b"PK", declared=10**12, stall_after=0)]
    with pytest.raises(DownloadError, match="sends more than 100,000,000 bytes"):
        fetch_movielens(UNPINNED, tmp_path, _base_url=server.base_url)


def test_importing_loads_neither_pandas_nor_requests() -> None:
    code = (
        "import sys, autorec_np.sources.movielens, autorec_np.sources.downloading; "
        "print(sorted({'pandas', 'requests', 'urllib3'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


# --- the real data sets -----------------------------------------------------------------------


def real(name: str, monkeypatch: pytest.MonkeyPatch) -> MovieLens:
    """A data set of this machine, or a skipped test."""
    monkeypatch.undo()
    try:
        return fetch_movielens(name, download_if_missing=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.data
def test_the_real_ml_100k(monkeypatch: pytest.MonkeyPatch) -> None:
    data = real("ml-100k", monkeypatch)
    R = data.ratings
    assert repr(R) == "Ratings(100,000 ratings, 943 users x 1,682 items, 6.3 % filled, scale 1-5)"
    assert [column[0] for column in R.triples()] == [196, 242, 3.0]
    assert R.timestamps is not None
    assert (R.timestamps.min(), R.timestamps.max()) == (874_724_710, 893_286_638)
    assert len(data.titles) == 1682
    assert data.titles[1] == "Toy Story (1995)"
    assert data.titles[543] == "Misérables, Les (1995)"
    assert tuple(data.folds) == FOLDS


@pytest.mark.data
def test_the_real_folds_of_ml_100k(monkeypatch: pytest.MonkeyPatch) -> None:
    data = real("ml-100k", monkeypatch)
    R = data.ratings
    cells = {fold: [pattern(part) for part in parts] for fold, parts in data.folds.items()}
    for fold, (train, test) in data.folds.items():
        assert len(test) == (9_430 if fold in ("ua", "ub") else 20_000)
        assert len(train) + len(test) == 100_000
        assert train.shape == test.shape == R.shape
        assert not cells[fold][0] & cells[fold][1]
        assert cells[fold][0] | cells[fold][1] == pattern(R)
    assert set.union(*(cells[f"u{k}"][1] for k in range(1, 6))) == pattern(R)
    assert not cells["ua"][1] & cells["ub"][1]
    for fold in ("ua", "ub"):
        per_user = np.diff(data.folds[fold][1].matrix.indptr)
        np.testing.assert_array_equal(per_user, np.full(943, 10))


@pytest.mark.data
def test_the_published_training_files_are_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    data = real("ml-100k", monkeypatch)
    for fold, (train, _) in data.folds.items():
        content = read_member(data.source, f"ml-100k/{fold}.base")
        published = np.array(content.split(), dtype=np.int64).reshape(-1, 4)
        rows = train.to_frame().to_numpy().astype(np.int64)
        np.testing.assert_array_equal(in_order(rows), in_order(published))


def in_order(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def pattern(ratings: Ratings) -> set[int]:
    users, items, _ = ratings.positions()
    return set((users * ratings.n_items + items).tolist())


def read_member(source: Path, member: str) -> bytes:
    if source.is_dir():
        return (source.parent / member).read_bytes()
    with zipfile.ZipFile(source) as archive:
        return archive.read(member)


@pytest.mark.data
def test_the_real_ml_1m(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = time.perf_counter()
    data = real("ml-1m", monkeypatch)
    # Far above the 2 s that it takes, and far below what a reader line by line would.
    assert time.perf_counter() - begin < 10.0
    R = data.ratings
    assert (len(R), *R.shape, R.scale) == (1_000_209, 6_040, 3_706, (1.0, 5.0))
    assert R.timestamps is not None
    assert len(data.titles) == 3_883
    assert data.titles[1] == "Toy Story (1995)"
    assert data.titles[73] == "Misérables, Les (1995)"
    assert set(R.item_ids.tolist()) <= set(data.titles)
    assert data.folds == {}


@pytest.mark.data
def test_the_real_ml_latest_small(monkeypatch: pytest.MonkeyPatch) -> None:
    data = real("ml-latest-small", monkeypatch)
    R = data.ratings
    assert R.scale == (0.5, 5.0)
    assert (R.matrix.data.min(), R.matrix.data.max()) == (0.5, 5.0)
    assert R.timestamps is not None
    assert R.timestamps.min() > 800_000_000
    assert data.titles[1] == "Toy Story (1995)"
    assert data.titles[11] == "American President, The (1995)"
    assert data.titles[73] == "Misérables, Les (1995)"
    assert set(R.item_ids.tolist()) <= set(data.titles)
