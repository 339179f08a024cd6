"""`extract`: whole and safe, or an ArchiveError and nothing written."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autorec_np.sources.downloading import ArchiveError, extract


def make_zip(path: Path, members: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            # As found in a foreign archive: `ZipInfo` itself would clean the name.
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def refuses(archive: Path, folder: Path, match: str, **options: Any) -> None:
    """Unpack and require an ArchiveError, and that nothing was written anywhere."""
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(ArchiveError, match=match):
        extract(archive, folder, **{"max_bytes": 10**6, **options})
    assert sorted(folder.parent.rglob("*")) == before


MEMBERS = {"d/": b"", "d/a.txt": b"alpha", "d/e/b.txt": b"beta" * 1000, "d/c.txt": b""}


def test_extract_unpacks(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "z.zip", MEMBERS)
    folder = extract(archive, tmp_path / "out", max_bytes=4005)
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found == {name: content for name, content in MEMBERS.items() if name != "d/"}
    assert sorted(os.listdir(tmp_path)) == ["out", "z.zip"]


def test_extract_unpacks_the_members_asked_for(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "z.zip", MEMBERS)
    # The bound is on what is unpacked, not on the rest of the archive.
    folder = extract(archive, tmp_path / "out", members=["d/a.txt"], max_bytes=5)
    assert [path.name for path in folder.rglob("*")] == ["d", "a.txt"]
    refuses(archive, tmp_path / "two", "lacks d/x, d/y", members=["d/y", "d/a.txt", "d/x"])


def test_extract_wants_a_new_folder(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "z.zip", MEMBERS)
    with pytest.raises(FileExistsError, match="into a new folder only"):
        extract(archive, tmp_path, max_bytes=10**6)


@pytest.mark.parametrize(
    "names",
    [
        ["../evil", "d/../../evil", "d/..", "..", "../"],
        ["d//evil", "./evil", "d/./evil", "", "."],
        ["/etc/evil", "//server/evil", "/"],
        ["C:/evil", "C:evil", "d/file:stream"],
        ["..\\evil", "d\\evil", "\\\\server\\evil"],
        ["d/a\x00evil", "d/a\nevil", "\x1b[2J"],
    ],
)
def test_extract_refuses_unsafe_names(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        archive = make_zip(tmp_path / "z.zip", {"d/good": b"good", name: b"evil"})
        expected = re.escape(f"member {name!r}, which is not a relative path without")
        refuses(archive, tmp_path / "out", expected)
        # It is enough that the archive has it: a source of such names is not to be trusted.
        refuses(archive, tmp_path / "out", expected, members=["d/good"])


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_extract_refuses_links_and_devices(tmp_path: Path, kind: int) -> None:
    archive = tmp_path / "z.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        info = zipfile.ZipInfo("link")
        info.create_system = 3
        info.external_attr = (kind | 0o777) << 16
        opened.writestr(info, "/etc/passwd")
    refuses(archive, tmp_path / "out", "which is not a regular file or a folder")


def test_extract_refuses_encrypted_members(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "z.zip", {"a": b"alpha"})
    content = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    archive.write_bytes(content)
    refuses(archive, tmp_path / "out", "is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_extract_refuses_other_compressions(tmp_path: Path, method: int) -> None:
    archive = tmp_path / "z.zip"
    with zipfile.ZipFile(archive, "w", method) as opened:
        opened.writestr("a", b"alpha")
    refuses(archive, tmp_path / "out", "which is not stored or deflated")


def test_extract_refuses_names_that_occur_twice(tmp_path: Path) -> None:
    archive = tmp_path / "z.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(archive, "w") as opened:
        warnings.simplefilter("ignore")
        for name in ("d/a", "d/a"):
            opened.writestr(name, b"")
    refuses(archive, tmp_path / "out", "File exists")


def test_extract_refuses_a_file_that_is_also_a_folder(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "z.zip", {"d/a/b": b"", "d/a": b""})
    refuses(archive, tmp_path / "out", "File exists")


def test_extract_bounds_the_bytes(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "z.zip", {"a": bytes(600_000), "b": bytes(600_000)})
    assert archive.stat().st_size < 3000
    refuses(archive, tmp_path / "out", "more than the 1,000,000 bytes")
    extract(archive, tmp_path / "out", max_bytes=1_200_000)


def declare(archive: Path, size: int) -> None:
    """Write another unpacked size into both headers of the only member of an archive."""
    content = bytearray(archive.read_bytes())
    for signature, position in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(signature) + position, size)
    archive.write_bytes(content)


@pytest.mark.parametrize("size", [10, 599_999, 600_001])
def test_extract_does_not_believe_the_declared_size(tmp_path: Path, size: int) -> None:
    archive = make_zip(tmp_path / "z.zip", {"a": bytes(600_000)})
    declare(archive, size)
    refuses(archive, tmp_path / "out", "not a readable zip archive")


def test_extract_refuses_truncated_archives(tmp_path: Path) -> None:
    content = make_zip(tmp_path / "whole.zip", MEMBERS).read_bytes()
    archive = tmp_path / "z.zip"
    for length in [*range(0, len(content), 7), len(content) - 1]:
        archive.write_bytes(content[:length])
        refuses(archive, tmp_path / "out", "is not a readable zip archive .* is damaged")


def test_extract_refuses_wrong_offsets(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "z.zip", MEMBERS)
    content = bytearray(archive.read_bytes())
    # The start of the directory, in the record at the end: members then seem to begin before 0.
    struct.pack_into("<I", content, len(content) - 6, 100_000)
    archive.write_bytes(content)
    refuses(archive, tmp_path / "out", "not a readable zip archive")


def test_extract_survives_any_damage(tmp_path: Path) -> None:
    """Flipped bytes give the right files or an ArchiveError: never another error, never a mess."""
    content = make_zip(tmp_path / "whole.zip", MEMBERS).read_bytes()
    archive, folder = tmp_path / "z.zip", tmp_path / "out"
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        for position in generator.integers(len(content), size=2):
            damaged[position] = generator.integers(256)
        archive.write_bytes(damaged)
        try:
            extract(archive, folder, max_bytes=10**6)
        except ArchiveError:
            refused += 1
            assert not folder.exists()
        else:
            contents = {path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            assert contents <= set(MEMBERS.values())
            shutil.rmtree(folder)
        assert sorted(os.listdir(tmp_path)) == ["whole.zip", "z.zip"]
    assert refused > 100


def test_extract_wants_an_archive(tmp_path: Path) -> None:
    (tmp_path / "z.zip").write_text("<html>Please log in</html>")
    refuses(tmp_path / "z.zip", tmp_path / "out", "not a readable zip archive")
    with pytest.raises(FileNotFoundError):
        extract(tmp_path / "absent.zip", tmp_path / "out", max_bytes=1)


def test_extract_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "z.zip", MEMBERS)

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        extract(archive, tmp_path / "out", max_bytes=10**6)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ["z.zip"]
