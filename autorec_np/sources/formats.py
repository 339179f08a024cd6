"""Files that are no lines of ratings: read, turned into lines, or refused with advice."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

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
    sizes: tuple[int, ...] = ()  # rows, columns and entries, as the header counts them


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
        return Lines("\n".join(lines), "whitespace", (0, 1, 2), tuple(map(int, sizes)))
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
