"""The file of a saved model: an uncompressed ``.npz`` that ends in the SHA-256 of all before it.

Headers are not evaluated, and no array takes more memory than its bytes.
"""

from __future__ import annotations

import copy
import hashlib
import math
import mmap
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from autorec_np._types import Array

AnyPath: TypeAlias = "str | os.PathLike[str]"

_ALIGNMENT = 64
_HASH_PREFIX = b"sha256:"
_HASH_DIGITS = 64
_ZIP_MAGIC = b"PK\x03\x04"
_LOCAL_HEADER = 30  # bytes before the name of a zip member
_ZIP64_FIELD = 20  # bytes that zipfile appends to it
_ARRAY_MAGIC = b"\x93NUMPY\x01\x00"


class ModelFileError(ValueError):
    """The file is no model that this version can load."""


@contextmanager
def saying(what: str) -> Iterator[None]:
    """Raise errors as a ModelFileError that begins with `what`."""
    try:
        yield
    except Exception as error:
        raise ModelFileError(f"{what}: {str(error) or repr(error)}") from error


def write_archive(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = _HASH_PREFIX + b"0" * _HASH_DIGITS
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # of 1980, always
            member.extra = _padding(file.tell() + _LOCAL_HEADER + len(member.filename))
            little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, little_endian, (1, 0), allow_pickle=False)
    file.write(_digest(file))


def _padding(offset: int) -> bytes:
    """Align a member, as zipalign does."""
    fixed = struct.calcsize("<HHH")
    n_zeros = -(offset + fixed + _ZIP64_FIELD) % _ALIGNMENT
    return struct.pack("<HHH", 0xD935, 2 + n_zeros, _ALIGNMENT) + bytes(n_zeros)


def _digest(file: BinaryIO) -> bytes:
    size = max(0, file.seek(0, os.SEEK_END) - _HASH_DIGITS)
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(min(size, 1 << 20)):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode("ascii")


@contextmanager
def reading(path: AnyPath, memory_map: bool = False, verify: bool = True) -> Iterator[Members]:
    with open(path, "rb") as file, saying(f"{os.fspath(path)} cannot be loaded as a model"):
        start = file.read(len(_ZIP_MAGIC))
        if start != _ZIP_MAGIC:
            raise ModelFileError(
                f"it begins with {start!r}, so it is not a file that autorec_np.save_model wrote"
            )
        if verify and _digest(file) != file.read():
            raise ModelFileError(
                "it does not end in the SHA-256 of its content: it is damaged, or "
                "save_model did not write it; copy it again, or save the model anew"
            )
        with zipfile.ZipFile(file) as archive:
            yield Members(archive, file, memory_map)


def listing(arrays: Mapping[str, Array]) -> dict[str, Any]:
    return {
        name: {"dtype": array.dtype.newbyteorder("<").str, "shape": [*array.shape]}
        for name, array in arrays.items()
    }


class Members:
    """Arrays, which must be as `listed`."""

    prefix = ""
    listed: dict[str, Any] | None = None

    def __init__(self, archive: zipfile.ZipFile, file: BinaryIO, memory_map: bool) -> None:
        self.archive, self.file_size = archive, os.fstat(file.fileno()).st_size
        self.mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if memory_map else None
        self.unread: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in self.unread:
                raise ModelFileError(f"it holds two members of the name {name!r}")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > self.file_size:
                raise ModelFileError(f"its member {name!r} is compressed, or larger than the file")
            self.unread[name] = info

    def within(self, prefix: str) -> Members:
        part = copy.copy(self)
        part.prefix += prefix
        return part

    def check_all_read(self) -> None:
        for arrays, what in ((self.unread, "holds unknown"), (self.listed, "lacks the listed")):
            if arrays:
                raise ModelFileError(f"it {what} arrays: {sorted(arrays)!r:.100}")

    def _content(self, name: str) -> memoryview:
        info = self.unread.pop(name)
        if self.mapped is None:
            return memoryview(self.archive.read(info))
        lengths = struct.unpack_from("<HH", self.mapped, info.header_offset + _LOCAL_HEADER - 4)
        start = info.header_offset + _LOCAL_HEADER + sum(lengths)  # of name and padding
        return memoryview(self.mapped)[start : start + info.file_size]

    def take(self, name: str, dtypes: str, *shape: int | None) -> Array:
        """Return a read-only array of one of the dtypes and the shape (None: any length)."""
        name = self.prefix + name
        if name not in self.unread:
            raise ModelFileError(f"it lacks the array {name!r}")
        content = self._content(name)
        prefix = len(_ARRAY_MAGIC) + 2
        start = prefix + int.from_bytes(content[len(_ARRAY_MAGIC) : prefix], "little")
        stated = bytes(content[prefix:start]).decode("latin-1").rstrip()
        for code in dtypes.split():
            dtype = np.dtype(code)
            n_values, rest = divmod(len(content) - start, dtype.itemsize)
            needed = tuple(n_values if length is None else length for length in shape)
            header = f"{{'descr': {code!r}, 'fortran_order': False, 'shape': {needed}, }}"
            fits = math.prod(needed) == n_values and rest == 0
            if content[: len(_ARRAY_MAGIC)] == _ARRAY_MAGIC and stated == header and fits:
                array = np.frombuffer(content, dtype, offset=start).reshape(needed)
                native = np.require(array, dtype.newbyteorder("="), "A")
                native.flags.writeable = False
                self._compare(name, {"dtype": code, "shape": [*needed]})
                return native
        lengths = tuple("any" if length is None else length for length in shape)
        raise ModelFileError(
            f"its array {name!r} is not a plain array of dtype {dtypes} and shape {lengths}: in "
            f"{len(content):,} bytes it states {stated!r:.100}"
        )

    def _compare(self, name: str, found: dict[str, Any]) -> None:
        if self.listed is not None:
            listed = self.listed.pop(name, None)
            if listed != found:
                raise ModelFileError(f"its header lists {name!r} as {listed!r:.100}, not {found}")
