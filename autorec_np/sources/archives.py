"""Unpack one zip archive safely, whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

_ARCHIVE_ERRNOS = (errno.EINVAL, errno.EEXIST, errno.ENOTDIR)


class ArchiveError(ValueError):
    """A zip archive is damaged, unsafe, or not the one that was expected."""


def extract(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    members: Collection[str] | None = None,
    max_bytes: int,
) -> Path:
    """Unpack a zip archive into the new folder `folder`, which appears only when it is complete.

    Only `members` (all by default) are unpacked, to at most `max_bytes` together.

    Raises
    ------
    ArchiveError
        The archive is damaged, unsafe, too large, or another one.
    OSError
        A file cannot be read or written, or the folder exists.
    """
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
    except (
        zipfile.BadZipFile,
        zlib.error,
        ArithmeticError,
        EOFError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        if isinstance(error, OSError) and error.errno not in _ARCHIVE_ERRNOS:
            raise
        reason = str(error)
        if not isinstance(error, ArchiveError):
            reason = f"is not a readable zip archive ({reason or type(error).__name__})"
        raise ArchiveError(
            f"{archive} {reason}; it is damaged, unsafe or not the expected archive, and none of "
            "it was unpacked. Delete it and fetch it anew, from a source that you trust."
        ) from error


def _chosen(
    infos: list[zipfile.ZipInfo], members: Collection[str] | None, max_bytes: int
) -> list[zipfile.ZipInfo]:
    for info in infos:
        name = info.orig_filename  # `filename` is already cut at a NUL
        parts = name.removesuffix("/").split("/")
        plain = not re.search(r"[\\:\x00-\x1f]", name) and {"", ".", ".."}.isdisjoint(parts)
        kind = stat.S_IFMT(info.external_attr >> 16)
        # Others take memory without a bound.
        for fits, needed in (
            (plain, "a relative path without '..', drive letter, backslash or control character"),
            (kind in (0, stat.S_IFREG, stat.S_IFDIR), "a regular file or a folder"),
            (
                info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
                "stored or deflated",
            ),
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
