"""Open a source of ratings, whatever packs it; turn other formats into lines, or refuse them.

What is unpacked keeps within a bound. The first bytes say what a file is.
"""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import json
import lzma
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from autorec_np._validation import check_integer

if TYPE_CHECKING:
    from pandas import DataFrame

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


_THEN = "and pass its result to autorec_np.data.as_ratings"
_EXCEL = f"read it with pandas.read_excel {_THEN}"
_WITHIN = "unpack it and pass the file of ratings"
_MAGIC = (
    (b"PK\x03\x04", "an archive within a packed file", _WITHIN),
    (b"\x1f\x8b\x08", "a packed file within another", _WITHIN),
    (b"\xfd7zXZ\x00", "a packed file within another", _WITHIN),
    (b"BZh91AY&SY", "a packed file within another", _WITHIN),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel sheet", _EXCEL),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it with 7z x and pass the file of ratings"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it with unrar x and pass the file of ratings"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it with zstd -d and pass the result"),
    (b"\x93NUMPY", "a NumPy array", f"read it with numpy.load {_THEN}"),
    (b"\x89HDF\r\n", "an HDF5 file", f"read it with pandas.read_hdf {_THEN}"),
    (b"ARROW1\x00\x00", "an Arrow file", f"read it with pandas.read_feather {_THEN}"),
    (b"FEA1", "a Feather file", f"read it with pandas.read_feather {_THEN}"),
    (b"ORC", "an ORC file", f"read it with pandas.read_orc {_THEN}"),
    (b"SQLite format 3\x00", "an SQLite database", f"read it with pandas.read_sql_query {_THEN}"),
    (b"%PDF-", "a PDF document", "pass a file of text"),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_PARQUET = b"PAR1"
_TAR_AT = slice(257, 262)


def refuse_archive(names: Sequence[str], label: str) -> None:
    members = set(names)
    if "[Content_Types].xml" in members or {"mimetype", "content.xml"} <= members:
        raise _refused(label, "a spreadsheet", _EXCEL)
    if members and all(name.endswith(".npy") for name in members):
        is_matrix = "format.npy" in members
        what = "a SciPy sparse matrix" if is_matrix else "NumPy arrays"
        how = "scipy.sparse.load_npz" if is_matrix else "numpy.load"
        raise _refused(label, what, f"read it with {how} {_THEN}")


def refuse_binary(raw: bytes, label: str) -> None:
    for magic, what, advice in _MAGIC:
        if raw.startswith(magic) and (not magic.isalnum() or b"\0" in raw[:4096]):
            raise _refused(label, what, advice)
    if _PICKLE.match(raw) and raw.rstrip()[-1:] == b".":
        advice = f"read it with pandas.read_pickle, if you trust its source, {_THEN}"
        raise _refused(label, "a pickle", advice)
    if raw[_TAR_AT] == b"ustar":
        raise _refused(
            label,
            "a tar archive",
            f"unpack it with tar -xf and pass the file of ratings, or read one that holds a single "
            f"CSV file with pandas.read_csv {_THEN}",
        )


def refuse_text(text: str, label: str) -> None:
    first = next((line for line in text[:100_000].splitlines() if line.strip()), "").strip()
    if first[:1] in ("{", "["):
        if _is_json(first) and len(first) < len(text.strip()):
            raise _refused(
                label, "JSON lines", f"read it with pandas.read_json(path, lines=True) {_THEN}"
            )
        if _is_json(first) or _is_json(text):
            raise _refused(label, "JSON", f"read it with pandas.read_json(path) {_THEN}")
    if re.match(r"<(!doctype|html|\?xml)", first, re.IGNORECASE):
        raise _refused(
            label, "a web page or XML, perhaps the error page of a server", "fetch the file again"
        )
    if re.fullmatch(r"[-+.\d]+(\s+\d+:[-+.\deE]+)+", first):
        raise _refused(
            label,
            "in the format of libFM and LIBSVM",
            "read it with X, ratings = sklearn.datasets.load_svmlight_file(path), and where each "
            "line names a user and an item, pass pairs = X.indices.reshape(-1, 2) as "
            "Ratings.from_triples(pairs[:, 0], pairs[:, 1], ratings)",
        )


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except ValueError:
        return False


def _refused(label: str, what: str, advice: str) -> ValueError:
    return ValueError(f"{label}: this is {what}, not lines of ratings; {advice}.")


def frame_of_parquet(raw: bytes, label: str) -> DataFrame | None:
    if not (raw.startswith(_PARQUET) and raw.endswith(_PARQUET)):
        return None
    import pandas

    try:
        return pandas.read_parquet(io.BytesIO(raw))
    except ImportError:
        raise ValueError(
            f"{label}: this is a Parquet file, which pandas reads with pyarrow or fastparquet; "
            f"install one of them."
        ) from None
    except Exception as error:
        raise ValueError(
            f"{label}: the Parquet file cannot be read ({error}); fetch it again."
        ) from None


@dataclasses.dataclass(frozen=True)
class Lines:
    """Another format turned into text, line by line, so that line numbers stay."""

    text: str
    separator: str
    columns: tuple[int, ...]
    n_ratings: int | None = None


def lines_of(text: str, label: str) -> Lines | None:
    if text.startswith("%%MatrixMarket"):
        return _lines_of_matrix_market(text, label)
    first = re.match(r"\s*\d+:[ \t]*[\r\n]+", text)
    return None if first is None else _lines_of_blocks(text)


def _lines_of_matrix_market(text: str, label: str) -> Lines:
    lines = text.splitlines()
    kind = lines[0].lower().split()[1:]
    if kind[:2] != ["matrix", "coordinate"] or kind[2:] not in (
        ["real", "general"],
        ["integer", "general"],
    ):
        raise _refused(
            label,
            f"a Matrix Market file of the kind {' '.join(kind)!r}",
            f"read it with scipy.io.mmread, make a csr_array of users x items that stores exactly "
            f"the ratings {_THEN}",
        )
    for place, line in enumerate(lines):
        if not line.strip() or line.startswith("%"):
            lines[place] = ""
            continue
        sizes = line.split()
        if len(sizes) != 3 or not all(map(str.isdecimal, sizes)):
            break
        lines[place] = ""
        return Lines("\n".join(lines), "whitespace", (0, 1, 2), int(sizes[2]))
    raise ValueError(
        f"{label}: the Matrix Market file does not say how many rows, columns and entries it has; "
        f"fetch it again."
    )


def _lines_of_blocks(text: str) -> Lines:
    """``1:`` and ``101,3,date`` give 1,101,3,date."""
    item = ""
    lines = text.splitlines()
    for place, line in enumerate(lines):
        stripped = line.strip()
        if stripped.endswith(":"):
            item, lines[place] = stripped[:-1], ""
        elif stripped:
            lines[place] = f"{item},{stripped}"
    n_fields = max((line.count(",") + 1 for line in lines[:1000]), default=0)
    return Lines("\n".join(lines), ",", (1, 0, 2, 3) if n_fields == 4 else (1, 0, 2))
