"""Files too long for memory: the head of their text, and the rest by pieces."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from autorec_np._validation import check_integer
from autorec_np.sources.text import (
    PACKERS,
    PARQUET,
    ZIP,
    Dialect,
    check_size,
    chosen,
    complete,
    decode,
    has_marks,
    no_archive,
    refuse_binary,
    without_comments,
)

LONG = 1 << 24  # bytes: a longer file is not read as a whole
PIECE = 1 << 22
HEAD = 1 << 20  # in which all that is to be found out is found out


def stream_of(
    path: Any, member: str | None, max_bytes: int | None, is_long: bool = False
) -> Stream | None:
    """Return None if the file is read as a whole: what is short or packed, unless it `is_long`."""
    if not isinstance(path, (str, os.PathLike)) or not os.path.isfile(path):
        return None
    if not is_long and os.path.getsize(path) <= LONG:
        return None
    if max_bytes is not None:
        check_integer("max_bytes", max_bytes, minimum=1)
    stream = Stream(os.fspath(path), member, sys.maxsize if max_bytes is None else max_bytes)
    return stream if is_long or not stream.packed else None


class Stream:
    """A file that is unpacked and decoded anew whenever its text is asked for."""

    def __init__(self, path: str, member: str | None, bound: int) -> None:
        self.path, self.label, self._bound = path, path, bound
        self.is_whole, self.quotes = True, False
        self.watch: Callable[[int], Any] = lambda n_bytes: None
        self._opener: Callable[[Any], Any] = contextlib.nullcontext
        self.packed, self._member = "", member
        self.size = os.path.getsize(path)
        with open(path, "rb") as file:
            start = file.read(10)
        if start.startswith(ZIP):
            with complete(path, "zip"), zipfile.ZipFile(path) as archive:
                self._member = chosen(archive, path, member)
            self.packed, self._opener = "zip", self._open_member
            self.label = f"{path} ({self._member})"
        elif member is not None:
            raise no_archive(path, member)
        for magic, name, opener in PACKERS:
            if magic.match(start):
                self.packed, self._opener = name, opener

    def decoded(self, encoding: str, dialect: Dialect) -> str | None:
        """Return the head once all is decoded, or None: lines cannot be told from bytes."""
        decode(b"", encoding, self.label)
        raw = next(self._pieces(), b"")
        if raw.startswith(PARQUET) or has_marks(raw) or "\n".encode(encoding) != b"\n":
            return None
        refuse_binary(raw, self.label)
        self._encoding = encoding
        texts = self._texts()
        head = next(texts, "")
        for text in texts:
            self.is_whole = False
            self.quotes = self.quotes or '"' in without_comments(text, dialect)
        return head

    def __call__(self) -> Iterator[str]:
        """Yield what follows the head."""
        return itertools.islice(self._texts(), 1, None)

    @contextlib.contextmanager
    def _open_member(self, file: Any) -> Iterator[Any]:
        with zipfile.ZipFile(file) as archive, archive.open(str(self._member)) as unpacked:
            yield unpacked

    def _chunks(self) -> Iterator[bytes]:
        size = 0
        intact = complete(self.path, self.packed) if self.packed else contextlib.nullcontext()
        with open(self.path, "rb") as file, intact, self._opener(file) as unpacked:
            while chunk := unpacked.read(PIECE):
                size += len(chunk)
                if self.packed:
                    check_size(size, self.label, self._bound)
                self.watch(file.tell())
                yield chunk

    def _pieces(self) -> Iterator[bytes]:
        """Yield the content up to ends of lines."""
        kept, least = b"", HEAD
        for chunk in self._chunks():
            kept += chunk
            cut = kept.rfind(b"\n") + 1 or kept.rfind(b"\r", 0, len(kept) - 1) + 1
            if cut and len(kept) >= least:
                yield kept[:cut]
                kept, least = kept[cut:], 0
        if kept:
            yield kept

    def _texts(self) -> Iterator[str]:
        n_lines = 0
        for piece in self._pieces():
            text = decode(piece, self._encoding, self.label, n_lines)
            n_lines += text.count("\n") or text.count("\r")
            yield text
