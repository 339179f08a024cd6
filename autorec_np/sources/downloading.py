"""Fetch one file, unpack one archive: verified, and whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import stat
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from autorec_np._files import alone

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

_CHUNK = 8192
_UNTRUSTED = "without a known hash the content could not be trusted"
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(OSError):
    """A file could not be fetched."""


class _Broken(Exception):
    """Try again."""


@dataclass(frozen=True)
class _Request:
    url: str
    destination: Path
    size: int | None
    hashes: dict[str, str]
    max_bytes: int | None
    deadline: float

    @property
    def part(self) -> Path:
        return Path(f"{self.destination}.part")

    @property
    def lock(self) -> Path:
        return Path(f"{self.destination}.lock")

    def error(self, reason: str, advice: str = "Try again later") -> DownloadError:
        return DownloadError(
            f"Could not download {self.url}: {reason}. {advice}, or fetch the file by other means "
            f"and place it at {self.destination}."
        )

    def left(self, reason: str = "the time limit for the whole transfer has passed") -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.error(reason)
        return left


def download(
    url: str,
    destination: str | os.PathLike[str],
    *,
    size: int | None = None,
    md5: str | None = None,
    sha256: str | None = None,
    max_bytes: int | None = None,
    check: Callable[[Path], None] | None = None,
    retries: int = 4,
    backoff: float = 0.5,
    connect_timeout: float = 10.0,
    read_timeout: float = 30.0,
    total_timeout: float = 3600.0,
    progress: bool = False,
) -> Path:
    """Fetch `url` to the file `destination`, which appears only when it is whole and verified.

    ``<destination>.part`` is checked, by `check` too, and then renamed. One of several processes
    fetches it, the others wait. Only with a hash is it resumed, and may a redirect, or with a
    warning a failure of TLS, lead from https to http.

    `retries` count anew when the file has grown; `backoff`, in seconds, doubles for each.
    DownloadError: it could not be fetched, verified or written.
    """
    destination = Path(destination)
    if destination.is_file():
        return destination
    stated = {"md5": md5, "sha256": sha256}
    hashes = {name: wanted.lower() for name, wanted in stated.items() if wanted}
    deadline = time.monotonic() + total_timeout
    request = _Request(url, destination, size, hashes, max_bytes, deadline)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(request), closing(_ProgressLine(destination.name, progress)) as line:
            if destination.is_file():
                return destination
            try:
                _fetch(request, retries, backoff, (connect_timeout, read_timeout), line)
                _verify(request, check)
                os.replace(request.part, destination)
            finally:
                if not hashes:
                    request.part.unlink(missing_ok=True)
            logger.info("%s is complete", destination)
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        raise request.error(
            f"writing in {destination.parent} failed ({error.strerror or error})",
            "Free space there, or choose a folder that you may write to",
        ) from error
    return destination


def _fetch(
    request: _Request,
    retries: int,
    backoff: float,
    timeouts: tuple[float, float],
    line: _ProgressLine,
) -> None:
    import requests

    logger.info("downloading %s to %s", request.url, request.destination)
    url, failures, longest = request.url, 0, _length(request.part)
    with requests.Session() as session:
        session.max_redirects = 5
        session.hooks["response"].append(_close_redirect)
        while True:
            offset = _length(request.part) if request.hashes else 0
            if request.size is not None and offset > request.size:
                offset = 0
            if offset and offset == request.size:
                return
            headers = {"Accept-Encoding": "identity"}
            headers |= {"Range": f"bytes={offset}-"} if offset else {}
            connect, read = (min(seconds, request.left()) for seconds in timeouts)
            try:
                try:
                    response = session.get(
                        url, headers=headers, stream=True, timeout=(connect, read)
                    )
                except requests.exceptions.SSLError as error:
                    url = _without_tls(request, url, error)
                    continue
                with response:
                    _receive(request, response, offset, line)
                return
            except (
                _Broken,
                requests.exceptions.ConnectionError,
                requests.exceptions.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                reason, cause = _reason(error), error
            except (requests.exceptions.RequestException, ValueError) as error:
                raise request.error(_reason(error), "Check the address") from error
            length = _length(request.part)
            failures = 1 if length > longest else failures + 1
            longest = max(longest, length)
            if failures > retries:
                raise request.error(reason, "Check the network and try again later") from cause
            wait = min(backoff * 2 ** (failures - 1), request.left())
            logger.info("%s: %s; next attempt in %.3g s", request.url, reason, wait)
            time.sleep(wait)


def _close_redirect(response: requests.Response, **_: object) -> None:
    """requests would read its body, however long."""
    if response.is_redirect:
        response.close()


def _receive(
    request: _Request, response: requests.Response, offset: int, line: _ProgressLine
) -> None:
    downgraded = any(one.url.startswith("http:") for one in (*response.history, response))
    if request.url.startswith("https:") and downgraded and not request.hashes:
        raise request.error(f"the server redirects from https to {response.url}, and {_UNTRUSTED}")
    status = response.status_code
    answer = f"the server answered HTTP {status} {response.reason}"
    if status == 200:
        offset = 0
    elif status in (206, 416):
        if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            request.part.unlink(missing_ok=True)
            raise _Broken(f"the server did not continue at byte {offset} (HTTP {status})")
    elif status in _PASSING_STATUS:
        raise _Broken(answer)
    else:
        raise request.error(answer, "Check the address")
    rest = response.raw.length_remaining
    total = request.size if rest is None else offset + rest
    if request.size not in (None, total):
        raise request.error(
            f"the server announces {total:,} bytes where {request.size:,} are expected"
        )
    count = offset
    _check_bound(request, total or 0)
    with open(request.part, "ab" if offset else "wb") as file:
        for chunk in response.iter_content(_CHUNK):
            count += len(chunk)
            _check_bound(request, count)
            file.write(chunk)
            line.update(count, total)
            request.left()
        file.flush()
        os.fsync(file.fileno())
    if total is not None and count < total:
        raise _Broken(f"the connection broke off after {count:,} of {total:,} bytes")


def _check_bound(request: _Request, count: int) -> None:
    limit = request.max_bytes if request.size is None else request.size
    if limit is not None and count > limit:
        request.part.unlink(missing_ok=True)
        raise request.error(f"the server sends more than {limit:,} bytes")


def _without_tls(request: _Request, url: str, error: Exception) -> str:
    reason = f"TLS failed ({_reason(error)})"
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise request.error(reason) from error
    if not request.hashes:
        raise request.error(f"{reason}, and {_UNTRUSTED} over plain http") from error
    warnings.warn(
        f"{url}: {reason}; falling back to plain http, as the hash verifies the content.",
        RuntimeWarning,
        stacklevel=4,
    )
    return parts._replace(scheme="http").geturl()


def _verify(request: _Request, check: Callable[[Path], None] | None) -> None:
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in request.hashes}
    with open(request.part, "rb") as file:
        while chunk := file.read(1 << 20):
            for digest in digests.values():
                digest.update(chunk)
    try:
        for name, digest in digests.items():
            if digest.hexdigest() != request.hashes[name]:
                raise request.error(
                    f"the content has {name} {digest.hexdigest()} where {request.hashes[name]} is "
                    "expected"
                )
        if check is not None:
            check(request.part)
    except (DownloadError, ValueError):
        request.part.unlink(missing_ok=True)
        raise


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: BaseException) -> str:
    while isinstance(
        inner := getattr(error, "reason", None) or next(iter(error.args), None), BaseException
    ):
        error = inner
    text = re.sub(r"^(<[^>]*>|HTTPS?Connection\w*\([^)]*\)): ", "", str(error))
    return text.rstrip(".") or type(error).__name__


@contextmanager
def _exclusive(request: _Request) -> Iterator[None]:
    said = ""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(alone(request.lock, f"{request.destination}"))
                break
            except ValueError as error:
                request.left(f"another process has held {request.lock} for too long")
                if not said:
                    said = str(error)
                    logger.info(said)
            time.sleep(0.05)
        yield


class _ProgressLine:
    def __init__(self, name: str, wanted: bool) -> None:
        stream = sys.stderr
        self.stream = stream if wanted and stream is not None and stream.isatty() else None
        self.name, self.shown = name, ""

    def update(self, count: int, total: int | None) -> None:
        done = f"{count / 1e6:.1f} MB"
        if total:
            done = f"{100 * count // total:3d} %  {count / 1e6:.1f} of {total / 1e6:.1f} MB"
        if self.stream is not None and done != self.shown:
            self.stream.write(f"\r{self.name}  {done:<40}")
            self.stream.flush()
            self.shown = done

    def close(self) -> None:
        if self.stream is not None and self.shown:
            self.stream.write("\n")


_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ARCHIVE_ERRNOS = (errno.EINVAL, errno.EEXIST, errno.ENOTDIR)
_UNREADABLE = (zipfile.BadZipFile, zlib.error, ArithmeticError, EOFError, RuntimeError, ValueError)


class ArchiveError(ValueError):
    """A zip archive is damaged, unsafe or not the expected one."""


def extract(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    members: Collection[str] | None = None,
    max_bytes: int,
) -> Path:
    """Unpack `members` (default: all), of at most `max_bytes`, of a zip archive to a new folder."""
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists; extract unpacks into a new folder only.")
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with _refusing(archive), zipfile.ZipFile(archive) as opened:
            for info in _chosen(opened.infolist(), members, max_bytes):
                target = temporary / info.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(info) as source, open(target, "xb") as file:
                    shutil.copyfileobj(source, file)
                    if file.tell() != info.file_size:
                        raise zipfile.BadZipFile(f"{info.filename} is shorter than it declares")
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return folder


@contextmanager
def _refusing(archive: Path) -> Iterator[None]:
    try:
        yield
    except (*_UNREADABLE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _ARCHIVE_ERRNOS:
            raise
        reason = str(error)
        if not isinstance(error, ArchiveError):
            reason = f"is not a readable zip archive ({reason or type(error).__name__})"
        raise ArchiveError(
            f"{archive} {reason}; it is damaged, unsafe or not the expected archive. Delete it and "
            "fetch it anew, from a source that you trust."
        ) from error


def _chosen(
    infos: list[zipfile.ZipInfo], members: Collection[str] | None, max_bytes: int
) -> list[zipfile.ZipInfo]:
    for info in infos:
        name = info.orig_filename  # not cut at a NUL
        parts = name.removesuffix("/").split("/")
        plain = not re.search(r"[\\:\x00-\x1f]", name) and {"", ".", ".."}.isdisjoint(parts)
        kind = stat.S_IFMT(info.external_attr >> 16)
        for fits, needed in (
            (plain, "a relative path without '..', drive, backslash or control character"),
            (kind in (0, stat.S_IFREG, stat.S_IFDIR), "a regular file or a folder"),
            (info.compress_type in _COMPRESSIONS, "stored or deflated"),
        ):
            if not fits:
                raise ArchiveError(f"has the member {name!r}, which is not {needed}")
    missing = sorted(set(members or ()) - {info.filename for info in infos})
    if missing:
        raise ArchiveError(f"lacks {', '.join(missing)}")
    files = [info for info in infos if not info.is_dir()]
    chosen = [info for info in files if members is None or info.filename in members]
    if sum(info.file_size for info in chosen) > max_bytes:
        raise ArchiveError(f"unpacks to more than the {max_bytes:,} bytes that are accepted")
    return chosen
