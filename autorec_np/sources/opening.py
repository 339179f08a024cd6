"""Open a source of ratings, unpacked within a bound; its first bytes say what packs it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import sys
import zipfile
import zlib
from typing import IO, Any

from autorec_np._validation import check_integer
from autorec_np.sources.formats import refuse_archive

STANDARD_INPUT = "-"
DEFAULT_MAX_BYTES = 4 << 30

_CHUNK = 1 << 20
_SUSPICIOUS_BYTES = 64 << 20
_SUSPICIOUS_RATIO = 100
_PACKERS = (
    (re.compile(rb"\x1f\x8b"), "gzip", gzip.open),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bzip2", bz2.open),
    (re.compile(rb"\xfd7zXZ\x00"), "xz", lzma.open),
)
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_LEFT_BY_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}


def read_source(source: Any, member: str | None, max_bytes: int | None) -> tuple[str, str | bytes]:
    """Return the name by which messages call a source, and its unpacked content."""
    if max_bytes is not None:
        check_integer("max_bytes", max_bytes, minimum=1)
    bound = sys.maxsize - 1 if max_bytes is None else max_bytes
    if hasattr(source, "read"):
        label = getattr(source, "name", None)
        label = label if isinstance(label, str) else f"the {type(source).__name__}"
        return _read_stream(source, label, member, bound)
    if not isinstance(source, (str, bytes, os.PathLike)):
        raise TypeError(
            f"read_ratings reads a path or an open file, got {type(source).__name__}; pass data in "
            f"memory to autorec_np.data.as_ratings."
        )
    path = os.fsdecode(source)
    if re.match(r"\w+://", path):
        raise ValueError(
            f"{path} is an address and no path; pass urllib.request.urlopen({path!r}), or download "
            f"the file."
        )
    if "\n" in path:
        raise ValueError(
            f"{path[:40]!r}... holds line ends, so it is text and no path; pass io.StringIO(text)."
        )
    if path == STANDARD_INPUT:
        stream = getattr(sys.stdin, "buffer", sys.stdin)
        return _read_stream(stream, "standard input", member, bound)
    with open(path, "rb") as file:
        if os.path.isfile(path):
            return _read_file(file, path, member, bound)
        return _read_stream(file, path, member, bound)


def _read_stream(
    stream: Any, label: str, member: str | None, bound: int
) -> tuple[str, str | bytes]:
    content = _read_within(stream, label, bound)
    if isinstance(content, str):
        if member is not None:
            raise _no_archive(label, member)
        return label, content
    return _read_file(io.BytesIO(content), label, member, bound)


def _read_file(file: IO[bytes], label: str, member: str | None, bound: int) -> tuple[str, bytes]:
    start = file.read(10)
    file.seek(0)
    if start.startswith(_ZIP):
        return _read_member(file, label, member, bound)
    if member is not None:
        raise _no_archive(label, member)
    for magic, name, opener in _PACKERS:
        if magic.match(start):
            return label, _unpack(opener, file, name, label, bound)
    return label, file.read()


def _no_archive(label: str, member: str) -> ValueError:
    return ValueError(f"{label}: member={member!r} is for zip archives only; leave it out.")


def _unpack(opener: Any, file: IO[bytes], name: str, label: str, bound: int) -> bytes:
    """Only count what unpacks to suspiciously much, and read it again if it keeps the bound."""
    chunks: list[bytes] = []
    size, is_kept = 0, True
    try:
        with opener(file) as unpacked:
            while chunk := unpacked.read(_CHUNK):
                size += len(chunk)
                _check_size(size, label, bound)
                if size > max(_SUSPICIOUS_BYTES, _SUSPICIOUS_RATIO * file.tell()):
                    is_kept = False
                    chunks.clear()
                if is_kept:
                    chunks.append(chunk)
            if is_kept:
                return b"".join(chunks)
            unpacked.seek(0)
            content: bytes = unpacked.read()
            return content
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(
            f"{label}: not a complete {name} file ({error}); fetch it again."
        ) from None


def _read_member(file: IO[bytes], label: str, member: str | None, bound: int) -> tuple[str, bytes]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if member is None:
                refuse_archive(names, label)
                names = [name for name in names if not _is_left_by_a_system(name)]
                member = names[0] if len(names) == 1 else None
            if member in names:
                _check_size(archive.getinfo(member).file_size, label, bound)
                return f"{label} ({member})", archive.read(member)
    except (ValueError, MemoryError):
        raise
    except RuntimeError as error:  # encrypted
        raise ValueError(f"{label}: {error}; unpack it and pass the file.") from None
    except Exception as error:
        raise ValueError(
            f"{label}: the zip archive cannot be read ({error}); fetch it again."
        ) from None
    if not names:
        raise ValueError(f"{label}: the archive holds nothing; pass one that holds ratings.")
    found = f"{', '.join(map(repr, names[:20]))}{', ...' if len(names) > 20 else ''}"
    asked = "it must hold exactly one file" if member is None else f"it holds no {member!r}"
    raise ValueError(f"{label}: {asked}; it holds {found}. Pass member=... to choose one.")


def _is_left_by_a_system(name: str) -> bool:
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1] in _LEFT_BY_SYSTEMS or parts[-1].startswith("._")


def _read_within(stream: Any, label: str, bound: int) -> str | bytes:
    chunks: list[Any] = []
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        _check_size(size, label, bound)
        chunks.append(chunk)
    if not chunks:
        return b""
    joined: str | bytes = chunks[0][:0].join(chunks)
    return joined


def _check_size(size: int, label: str, bound: int) -> None:
    if size > bound:
        raise ValueError(
            f"{label}: holds more than the {bound:,} bytes that are accepted, so it may be made to "
            f"fill the memory; if you trust it, pass a larger max_bytes=, or None for no bound."
        )
