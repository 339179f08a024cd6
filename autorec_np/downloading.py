"""Fetch one URL to one file, verified and whole or not at all; unpack one zip archive safely."""

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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TextIO
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    import requests

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["ArchiveError", "DownloadError", "download", "extract"]

logger = logging.getLogger(__name__)

_CHUNK = 8192  # bytes; also how often the time limit is looked at, so not larger
_COPY_CHUNK = 1 << 20
_MAX_REDIRECTS = 5
_LOCK_POLL = 0.05  # seconds
_PROGRESS_INTERVAL = 0.2  # seconds
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_PERMITTED = (errno.EACCES, errno.EPERM, errno.EROFS)
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(OSError):
    """A file could not be fetched; the message names the URL, the reason and what to do."""


class ArchiveError(ValueError):
    """A zip archive is damaged, unsafe, or not the one that was expected."""


class _Broken(Exception):
    """One attempt failed in a way that another attempt may mend."""


@dataclass(frozen=True)
class _Request:
    """One file to fetch: where from, where to, and what is known of it beforehand."""

    url: str
    destination: Path
    size: int | None
    md5: str | None
    sha256: str | None
    max_bytes: int | None

    @property
    def pinned(self) -> bool:
        """Whether a hash will tell any other content apart, whoever delivers it."""
        return self.md5 is not None or self.sha256 is not None

    @property
    def part(self) -> Path:
        return self.destination.with_name(self.destination.name + ".part")

    @property
    def lock(self) -> Path:
        return self.destination.with_name(self.destination.name + ".lock")

    def error(self, reason: str, advice: str = "Try again later") -> DownloadError:
        return DownloadError(
            f"Could not download {self.url}: {reason}. {advice}, or fetch the file by other means "
            f"and place it at {self.destination}."
        )


@dataclass(frozen=True)
class _Patience:
    """How often and how long to try; `deadline` is in seconds of `time.monotonic`."""

    retries: int
    backoff: float
    connect_timeout: float
    read_timeout: float
    deadline: float

    def left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())


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

    The bytes go to ``<destination>.part`` in the same folder, are checked there, and are then
    renamed (atomically). A transfer that breaks off is resumed from the partial file; so is one
    that an earlier call left behind, if the file is pinned by a hash. Of several processes that
    ask for the same file at once one fetches it, the others wait and find it.

    Parameters
    ----------
    url : str
        An http or https address. Redirects are followed (at most five), but from https to http
        only if the file is pinned by a hash.
    destination : path
        The file to write; missing folders are made. If it exists it is returned as it is.
    size : int, optional
        The exact number of bytes.
    md5, sha256 : str, optional
        Hexadecimal hashes of the content. Either pins the file: only then may the transfer fall
        back to plain http, with a warning, when TLS fails.
    max_bytes : int, optional
        The largest acceptable number of bytes, for a file of unknown size.
    check : callable, optional
        Called with the path of the complete partial file before the rename. If it raises
        ValueError or DownloadError, the partial file is deleted and the error passed on.
    retries : int
        Attempts after one that failed; counted anew whenever the partial file has grown.
    backoff : float
        Seconds before the first retry; doubled for each further one.
    connect_timeout, read_timeout, total_timeout : float
        Seconds to wait for a connection, for the next bytes, and for everything together
        (waiting for another process included).
    progress : bool
        Show a line of progress on stderr, if that is a terminal.

    Returns
    -------
    pathlib.Path
        `destination`.

    Raises
    ------
    DownloadError
        The file could not be fetched, verified or written. Nothing is at `destination` then.

    Warns
    -----
    RuntimeWarning
        TLS failed and a pinned file was fetched over plain http.
    """
    request = _Request(url, Path(destination), size, md5, sha256, max_bytes)
    if request.destination.is_file():
        return request.destination
    deadline = time.monotonic() + total_timeout
    patience = _Patience(retries, backoff, connect_timeout, read_timeout, deadline)
    try:
        request.destination.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(request, patience):
            # Another process may have finished the file while this one waited for the lock.
            if not request.destination.is_file():
                _fetch_and_rename(request, patience, check, progress)
    except DownloadError:
        raise
    except OSError as error:
        raise _explain_disk(request, error) from error
    return request.destination


def _fetch_and_rename(
    request: _Request,
    patience: _Patience,
    check: Callable[[Path], None] | None,
    progress: bool,
) -> None:
    logger.info("downloading %s to %s", request.url, request.destination)
    try:
        with _progress_line(request.destination.name, progress) as line:
            _fetch(request, patience, line)
        try:
            _verify(request)
            if check is not None:
                check(request.part)
        except (DownloadError, ValueError):
            request.part.unlink(missing_ok=True)
            raise
        os.replace(request.part, request.destination)
    except BaseException:
        # Without a hash nothing could tell whether a later call may go on from these bytes.
        if not request.pinned:
            request.part.unlink(missing_ok=True)
        raise
    logger.info("%s is complete", request.destination)


def _fetch(request: _Request, patience: _Patience, line: _ProgressLine) -> None:
    """Fill the partial file: attempts, back-off, and the one fallback from TLS."""
    import requests

    transfer = _Transfer(request, patience, line)
    failures, longest = 0, _length(request.part)
    with _session() as session:
        while True:
            try:
                transfer.attempt(session)
                return
            except requests.exceptions.SSLError as error:
                transfer.url = _without_tls(request, transfer.url, error)
                continue
            except (
                _Broken,
                requests.exceptions.ConnectionError,
                requests.exceptions.Timeout,
            ) as error:
                reason, cause = _reason(error), error
            except requests.exceptions.RequestException as error:
                raise request.error(_reason(error), "Check the address") from error
            length = _length(request.part)
            failures = 1 if length > longest else failures + 1
            longest = max(longest, length)
            if failures > patience.retries:
                raise request.error(reason, "Check the network and try again later") from cause
            wait = min(patience.backoff * 2 ** (failures - 1), patience.left())
            logger.info("%s: %s; next attempt in %.3g s", request.url, reason, wait)
            time.sleep(wait)


def _session() -> requests.Session:
    import requests

    class Session(requests.Session):
        """Leaves redirects alone. Requests would parse the target and read the body unbounded."""

        def get_redirect_target(self, resp: requests.Response) -> None:
            return None

    return Session()


class _Transfer:
    """The attempts at one file; remembers which version of it the partial file belongs to."""

    def __init__(self, request: _Request, patience: _Patience, line: _ProgressLine) -> None:
        self.request = request
        self.patience = patience
        self.line = line
        self.url = request.url
        self.validator: str | None = None

    def attempt(self, session: requests.Session) -> None:
        """Fetch what is missing; _Broken or a requests exception if that does not succeed."""
        offset = self._usable_length()
        if offset and offset == self.request.size:
            return
        with self._open(session, offset) as response:
            status = response.status_code
            if status == 200:
                # The whole file, be it that no range was asked for or that it was refused.
                self.validator = _validator(response)
                total = _decimal(response.headers.get("Content-Length"))
                self._copy(response, 0, total)
            elif status == 206 and offset and self._continues(response, offset):
                total = _content_range(response)[1]
                self._copy(response, offset, total)
            elif status in (206, 416):
                self.request.part.unlink(missing_ok=True)
                raise _Broken(f"the server did not continue at byte {offset} (HTTP {status})")
            elif status in _PASSING_STATUS:
                raise _Broken(f"the server answered HTTP {status} {response.reason}")
            else:
                raise self.request.error(
                    f"the server answered HTTP {status} {response.reason}", "Check the address"
                )

    def _usable_length(self) -> int:
        """Bytes of the partial file that may be kept."""
        length = _length(self.request.part)
        too_long = self.request.size is not None and length > self.request.size
        if too_long or not (self.request.pinned or self.validator):
            return 0
        return length

    def _open(self, session: requests.Session, offset: int) -> requests.Response:
        """Send the request and follow redirects one by one, each checked."""
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self.validator:
                headers["If-Range"] = self.validator
        url = self.url
        for _ in range(_MAX_REDIRECTS + 1):
            left = self.patience.left()
            if not left:
                raise self._timed_out()
            response = session.get(
                url,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(
                    min(self.patience.connect_timeout, left),
                    min(self.patience.read_timeout, left),
                ),
            )
            if not response.is_redirect:
                return response
            response.close()
            url = self._redirected(url, response.headers["Location"])
        raise self.request.error(f"more than {_MAX_REDIRECTS} redirects", "Check the address")

    def _redirected(self, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
            scheme = urlsplit(target).scheme
        except ValueError:
            target, scheme = location, ""
        if scheme not in ("http", "https"):
            raise self.request.error(f"the server redirects to {target!r}", "Check the address")
        if scheme == "http" and urlsplit(url).scheme == "https" and not self.request.pinned:
            raise self.request.error(
                f"the server redirects from https to {target}, and without a known hash the "
                "content could not be trusted"
            )
        return target

    def _continues(self, response: requests.Response, offset: int) -> bool:
        """Whether a partial answer starts at `offset` of the very file begun before."""
        start, total = _content_range(response)
        tag = response.headers.get("ETag")
        changed = tag is not None and _is_strong(self.validator) and tag != self.validator
        other = self.request.size is not None and total not in (None, self.request.size)
        return start == offset and not changed and not other

    def _copy(self, response: requests.Response, offset: int, total: int | None) -> None:
        """Write the body to the partial file from `offset` on and check that it is whole."""
        size = self.request.size
        limit = size if size is not None else self.request.max_bytes
        if size is not None and total not in (None, size):
            raise self.request.error(
                f"the server announces {total:,} bytes where {size:,} are expected, so it is "
                "another file"
            )
        if limit is not None and total is not None and total > limit:
            raise self._too_long(limit)
        count = offset
        with open(self.request.part, "ab" if offset else "wb") as file:
            for chunk in _body(response):
                count += len(chunk)
                if limit is not None and count > limit:
                    raise self._too_long(limit)
                file.write(chunk)
                self.line.update(count, total if total is not None else size)
                if not self.patience.left():
                    raise self._timed_out()
            file.flush()
            os.fsync(file.fileno())
        whole = total if total is not None else size
        if whole is not None and count < whole:
            raise _Broken(f"the connection broke off after {count:,} of {whole:,} bytes")

    def _too_long(self, limit: int) -> DownloadError:
        self.request.part.unlink(missing_ok=True)
        return self.request.error(f"the server sends more than {limit:,} bytes")

    def _timed_out(self) -> DownloadError:
        kept = " (a further call goes on from the partial file)" if self.request.pinned else ""
        return self.request.error(f"the time limit for the whole transfer has passed{kept}")


def _without_tls(request: _Request, url: str, error: Exception) -> str:
    """The plain-http address to use after a TLS failure; DownloadError where that is not safe."""
    reason = f"TLS failed ({_reason(error)})"
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise request.error(reason) from error
    if not request.pinned:
        raise request.error(
            f"{reason}, and without a known hash the content could not be trusted over plain http"
        ) from error
    warnings.warn(
        f"{url}: {reason}; falling back to plain http, because the content is verified by its "
        "hash.",
        RuntimeWarning,
        stacklevel=5,
    )
    return parts._replace(scheme="http").geturl()


def _verify(request: _Request) -> None:
    """Compare the partial file with the size and the hashes that are known."""
    length = _length(request.part)
    if request.size is not None and length != request.size:
        raise request.error(f"{length:,} bytes arrived where {request.size:,} are expected")
    digests = {
        name: (hashlib.new(name, usedforsecurity=False), wanted.lower())
        for name, wanted in (("sha256", request.sha256), ("md5", request.md5))
        if wanted is not None
    }
    if not digests:
        return
    with open(request.part, "rb") as file:
        while chunk := file.read(_COPY_CHUNK):
            for digest, _ in digests.values():
                digest.update(chunk)
    for name, (digest, wanted) in digests.items():
        if digest.hexdigest() != wanted:
            raise request.error(
                f"the content has {name} {digest.hexdigest()} where {wanted} is expected; it was "
                "deleted"
            )


def _body(response: requests.Response) -> Iterator[bytes]:
    """The chunks of the body. TLS that fails only here is a broken connection, no bad TLS."""
    import requests

    broken = (requests.exceptions.ChunkedEncodingError, requests.exceptions.SSLError)
    try:
        yield from response.iter_content(_CHUNK)
    except broken as error:
        raise _Broken(f"the connection broke off ({_reason(error)})") from error


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _decimal(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch("[0-9]{1,18}", text) else None


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """First byte and total length that a partial answer states; None for what it does not."""
    header = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", header)
    return (int(match[1]), _decimal(match[2])) if match else (None, None)


def _is_strong(validator: str | None) -> bool:
    return validator is not None and validator.startswith('"')


def _validator(response: requests.Response) -> str | None:
    """What If-Range may carry: a strong ETag, else the date of the last change."""
    tag = response.headers.get("ETag")
    return tag if _is_strong(tag) else response.headers.get("Last-Modified")


def _reason(error: BaseException) -> str:
    """The innermost message: requests wraps urllib3's, which wraps that of the system."""
    inner: object = error
    for _ in range(5):
        arguments = getattr(inner, "args", ())
        deeper = getattr(inner, "reason", None) or (arguments[0] if arguments else None)
        if not isinstance(deeper, BaseException):
            break
        inner = deeper
    text = str(inner) or type(inner).__name__
    # urllib3 begins some messages with the representation of its connection.
    return re.sub(r"^(<[^>]*>|HTTPS?Connection\w*\([^)]*\)): ", "", text).rstrip(".")


def _explain_disk(request: _Request, error: OSError) -> DownloadError:
    folder = request.destination.parent
    if error.errno in _DISK_FULL:
        return request.error(
            f"the disk that holds {folder} is full", "Free space there, choose another folder"
        )
    if error.errno in _NOT_PERMITTED:
        return request.error(
            f"no permission to write in {folder} ({error.strerror})",
            "Choose a folder that you may write to",
        )
    return request.error(f"writing in {folder} failed ({error})", "Choose another folder")


# --- one process at a time ------------------------------------------------------------------


@contextmanager
def _exclusive(request: _Request, patience: _Patience) -> Iterator[None]:
    """Hold the lock of a destination. The system frees it if the process dies, however it dies."""
    descriptor = _acquire(request, patience)
    try:
        yield
    finally:
        _release(descriptor, request.lock)


def _acquire(request: _Request, patience: _Patience) -> int:
    waiting = False
    while True:
        descriptor = os.open(request.lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _try_lock(descriptor) and _is_at(descriptor, request.lock):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if not patience.left():
            raise request.error(f"another process has held {request.lock} for too long")
        if not waiting:
            logger.info("waiting for another process that downloads %s", request.destination)
            waiting = True
        time.sleep(_LOCK_POLL)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the locked file is still the one at `path`: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


if sys.platform == "win32":

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _release(descriptor: int, path: Path) -> None:
        # The file stays: Windows does not remove what another process has open.
        os.close(descriptor)

else:

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(descriptor: int, path: Path) -> None:
        with suppress(OSError):
            os.unlink(path)
        os.close(descriptor)


# --- progress -------------------------------------------------------------------------------


class _ProgressLine:
    """One line of text, rewritten in place; silent without a stream."""

    def __init__(self, name: str, stream: TextIO | None) -> None:
        self.name = name
        self.stream = stream
        self.next_time = 0.0
        self.begun = False

    def update(self, count: int, total: int | None) -> None:
        now = time.monotonic()
        if self.stream is None or (now < self.next_time and count != total):
            return
        self.next_time = now + _PROGRESS_INTERVAL
        done = f"{count / 1e6:.1f} MB"
        if total:
            done = f"{100 * count // total:3d} %  {count / 1e6:.1f} of {total / 1e6:.1f} MB"
        self.stream.write(f"\r{self.name}  {done:<40}")
        self.stream.flush()
        self.begun = True

    def close(self) -> None:
        if self.stream is not None and self.begun:
            self.stream.write("\n")
            self.stream.flush()


@contextmanager
def _progress_line(name: str, wanted: bool) -> Iterator[_ProgressLine]:
    stream = sys.stderr if wanted and sys.stderr is not None and sys.stderr.isatty() else None
    line = _ProgressLine(name, stream)
    try:
        yield line
    finally:
        line.close()


# --- archives -------------------------------------------------------------------------------


def extract(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    members: Collection[str] | None = None,
    max_bytes: int,
    max_members: int = 1000,
) -> Path:
    """Unpack a zip archive into the new folder `folder`, which appears only when it is complete.

    The whole archive is refused if any of its members has an absolute path, a drive letter, a
    backslash or a ".." in its name, is a symbolic link or another special file, is encrypted,
    or has the name of another member (also if only the case differs).

    Parameters
    ----------
    archive : path
        A zip file with stored or deflated members.
    folder : path
        Must not exist; its parent must.
    members : collection of str, optional
        The names of the members to unpack; all by default.
    max_bytes : int
        Bound on the bytes of the unpacked members together, those declared and those written.
    max_members : int
        Bound on the number of members of the archive.

    Returns
    -------
    pathlib.Path
        `folder`.

    Raises
    ------
    ArchiveError
        The archive is damaged, unsafe, too large, or lacks one of `members`.
    OSError
        The archive cannot be read, or the folder exists or cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists; extract unpacks into a new folder only.")
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with _readable(archive), zipfile.ZipFile(archive) as opened:
            infos = _checked_members(archive, opened.infolist(), max_members)
            chosen = _chosen(archive, infos, members)
            if sum(info.file_size for info in chosen) > max_bytes:
                raise ArchiveError(
                    f"{archive} unpacks to more than the {max_bytes:,} bytes that are accepted; "
                    "it is not the expected archive."
                )
            for info in chosen:
                _copy_member(archive, opened, info, temporary)
        os.rename(temporary, folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise OSError(
                error.errno,
                f"the disk is full, so {archive} could not be unpacked; free space there, or "
                "unpack the archive yourself in another place",
                str(folder),
            ) from error
        raise
    return folder


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Turn what `zipfile` raises for a damaged archive into ArchiveError."""
    try:
        yield
    except ArchiveError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        OverflowError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        # A wrong offset in the archive ends in a seek that the system calls invalid.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise ArchiveError(
            f"{archive} is not a readable zip archive ({error or type(error).__name__}); it is "
            "damaged or incomplete. Delete it and fetch it anew."
        ) from error


def _unsafe(archive: Path, name: str, reason: str) -> ArchiveError:
    return ArchiveError(
        f"{archive}: member {name!r} {reason}; the archive is not safe to unpack and none of it "
        "was. Fetch it anew from a source that you trust."
    )


def _checked_members(
    archive: Path, infos: list[zipfile.ZipInfo], max_members: int
) -> list[zipfile.ZipInfo]:
    if len(infos) > max_members:
        raise ArchiveError(
            f"{archive} has {len(infos):,} members where at most {max_members:,} are accepted."
        )
    files: set[str] = set()
    seen: set[str] = set()
    for info in infos:
        # The original name: `filename` is already cut at a NUL.
        name = info.orig_filename
        _check_name(archive, name)
        _check_kind(archive, info)
        key = name.rstrip("/").casefold()
        if key in seen:
            raise _unsafe(archive, name, "occurs twice")
        seen.add(key)
        if not info.is_dir():
            files.add(key)
    for key in seen:
        if any(str(parent) in files for parent in PurePosixPath(key).parents):
            raise _unsafe(archive, key, "lies inside another member that is a file")
    return infos


def _check_name(archive: Path, name: str) -> None:
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or ":" in name:
        raise _unsafe(archive, name, "has an absolute path or a drive letter")
    if "\\" in name or any(ord(character) < 32 for character in name):
        raise _unsafe(archive, name, "has a backslash or a control character in its name")
    if any(part in ("", ".", "..") for part in parts):
        raise _unsafe(archive, name, "has an empty, '.' or '..' part in its path")


def _check_kind(archive: Path, info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unsafe(archive, info.filename, "is a symbolic link or another special file")
    if info.flag_bits & 0x1:
        raise _unsafe(archive, info.filename, "is encrypted")
    # The others are decompressed without a bound on memory.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _unsafe(archive, info.filename, "is neither stored nor deflated")


def _chosen(
    archive: Path, infos: list[zipfile.ZipInfo], members: Collection[str] | None
) -> list[zipfile.ZipInfo]:
    if members is None:
        return infos
    by_name = {info.filename: info for info in infos}
    missing = sorted(set(members) - set(by_name))
    if missing:
        raise ArchiveError(
            f"{archive} lacks {', '.join(missing)}; it is not the expected archive, or not all of "
            "it. Delete it and fetch it anew."
        )
    return [by_name[name] for name in sorted(set(members))]


def _copy_member(
    archive: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path
) -> None:
    """Unpack one member below `folder`, never more than its declared bytes."""
    target = folder.joinpath(*PurePosixPath(info.filename).parts)
    if info.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with opened.open(info) as source, open(target, "xb") as file:
        while chunk := source.read(_COPY_CHUNK):
            count += len(chunk)
            if count > info.file_size:
                raise _unsafe(archive, info.filename, "unpacks to more bytes than it declares")
            file.write(chunk)
    if count != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} has {count} of {info.file_size} bytes")
