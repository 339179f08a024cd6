"""From a source of ratings to its text and records, or a refusal."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import csv
import dataclasses
import gzip
import io
import itertools
import json
import lzma
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from autorec_np._validation import check_integer

if TYPE_CHECKING:
    from pandas import DataFrame

DEFAULT_MAX_BYTES = 4 << 30

_CHUNK = 1 << 20
_SUSPICIOUS_BYTES = 64 << 20
_SUSPICIOUS_RATIO = 100
PACKERS = (
    (re.compile(rb"\x1f\x8b"), "gzip", gzip.open),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bzip2", bz2.open),
    (re.compile(rb"\xfd7zXZ\x00"), "xz", lzma.open),
)
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_LEFT_BY_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}


def read_source(source: Any, member: str | None, max_bytes: int | None) -> tuple[str, str | bytes]:
    """Return a name for messages, and the unpacked content."""
    if max_bytes is not None:
        check_integer("max_bytes", max_bytes, minimum=1)
    bound = sys.maxsize - 1 if max_bytes is None else max_bytes
    if hasattr(source, "read"):
        label = getattr(source, "name", None)
        if not isinstance(label, str):
            label = f"the {type(source).__name__}"
        return _read_stream(source, label, member, bound)
    if not isinstance(source, (str, bytes, os.PathLike)):
        raise TypeError(
            f"read_ratings reads a path or an open file, got {type(source).__name__}; pass data in "
            f"memory to autorec_np.data.as_ratings."
        )
    path = os.fsdecode(source)
    if re.match(r"\w+://", path):
        raise ValueError(
            f"{path} is an address and no path; pass urllib.request.urlopen({path!r})."
        )
    if "\n" in path:
        raise ValueError(
            f"{path[:40]!r}... holds line ends, so it is text and no path; pass io.StringIO(text)."
        )
    if path == "-":
        stream = getattr(sys.stdin, "buffer", sys.stdin)
        return _read_stream(stream, "standard input", member, bound)
    with open(path, "rb") as file:
        if os.path.isfile(path):
            return _read_file(file, path, member, bound)
        return _read_stream(file, path, member, bound)


def _read_stream(
    stream: Any, label: str, member: str | None, bound: int
) -> tuple[str, str | bytes]:
    chunks: list[Any] = []
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        check_size(size, label, bound)
        chunks.append(chunk)
    if not chunks or isinstance(chunks[0], bytes):
        return _read_file(io.BytesIO(b"".join(chunks)), label, member, bound)
    if member is not None:
        raise no_archive(label, member)
    return label, "".join(chunks)


def _read_file(file: IO[bytes], label: str, member: str | None, bound: int) -> tuple[str, bytes]:
    start = file.read(10)
    file.seek(0)
    if start.startswith(ZIP):
        return _read_member(file, label, member, bound)
    if member is not None:
        raise no_archive(label, member)
    for magic, name, opener in PACKERS:
        if magic.match(start):
            return label, _unpack(opener, file, name, label, bound)
    return label, file.read()


def no_archive(label: str, member: str) -> ValueError:
    return ValueError(f"{label}: member={member!r} is for zip archives only; leave it out.")


def _unpack(opener: Any, file: IO[bytes], name: str, label: str, bound: int) -> bytes:
    """What unpacks to suspiciously much is counted first, then read."""
    chunks: list[bytes] = []
    size, is_kept = 0, True
    with complete(label, name), opener(file) as unpacked:
        while chunk := unpacked.read(_CHUNK):
            size += len(chunk)
            check_size(size, label, bound)
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


@contextlib.contextmanager
def complete(label: str, kind: str) -> Iterator[None]:
    """Say that a packed file is damaged."""
    try:
        yield
    except (ValueError, MemoryError):
        raise
    except RuntimeError as error:  # encrypted
        raise ValueError(f"{label}: {error}; unpack it and pass the file.") from None
    except Exception as error:
        what = f"not a complete {kind} file ({error})"
        if kind == "zip":
            what = f"the zip archive cannot be read ({error})"
        raise ValueError(f"{label}: {what}; fetch it again.") from None


def _read_member(file: IO[bytes], label: str, member: str | None, bound: int) -> tuple[str, bytes]:
    with complete(label, "zip"), zipfile.ZipFile(file) as archive:
        member = chosen(archive, label, member)
        check_size(archive.getinfo(member).file_size, label, bound)
        return f"{label} ({member})", archive.read(member)


def chosen(archive: zipfile.ZipFile, label: str, member: str | None) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if member is None:
        refuse_archive(names, label)
        names = [name for name in names if not _is_left_by_a_system(name)]
        member = names[0] if len(names) == 1 else None
    if member in names:
        return member
    if not names:
        raise ValueError(f"{label}: the archive holds nothing; pass one that holds ratings.")
    found = f"{', '.join(map(repr, names[:20]))}{', ...' if len(names) > 20 else ''}"
    asked = "it must hold exactly one file" if member is None else f"it holds no {member!r}"
    raise ValueError(f"{label}: {asked}; it holds {found}. Pass member=... to choose one.")


def _is_left_by_a_system(name: str) -> bool:
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1] in _LEFT_BY_SYSTEMS or parts[-1].startswith("._")


def check_size(size: int, label: str, bound: int) -> None:
    if size > bound:
        raise ValueError(
            f"{label}: holds more than the {bound:,} bytes that are accepted; if you trust it, "
            f"pass a larger max_bytes=."
        )


THEN = "and pass its result to autorec_np.data.as_ratings"
_EXCEL = f"read it with pandas.read_excel {THEN}"
_UNPACK = "unpack it with {} and pass the file of ratings"
_MAGIC = (
    *(
        (magic, "a packed file within another", "unpack it and pass the file of ratings")
        for magic in (ZIP[0], b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"BZh91AY&SY")
    ),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel sheet", _EXCEL),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK.format("7z x")),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK.format("unrar x")),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK.format("zstd -d")),
    (b"\x93NUMPY", "a NumPy array", f"read it with numpy.load {THEN}"),
    (b"\x89HDF\r\n", "an HDF5 file", f"read it with pandas.read_hdf {THEN}"),
    (b"ARROW1\x00\x00", "an Arrow file", f"read it with pandas.read_feather {THEN}"),
    (b"FEA1", "a Feather file", f"read it with pandas.read_feather {THEN}"),
    (b"ORC", "an ORC file", f"read it with pandas.read_orc {THEN}"),
    (b"SQLite format 3\x00", "an SQLite database", f"read it with pandas.read_sql_query {THEN}"),
    (b"%PDF-", "a PDF document", "pass a file of text"),
)
PARQUET = b"PAR1"


def refuse_archive(names: Sequence[str], label: str) -> None:
    members = set(names)
    if "[Content_Types].xml" in members or {"mimetype", "content.xml"} <= members:
        raise refused(label, "a spreadsheet", _EXCEL)
    if members and all(name.endswith(".npy") for name in members):
        what, how = "NumPy arrays", "numpy.load"
        if "format.npy" in members:
            what, how = "a SciPy sparse matrix", "scipy.sparse.load_npz"
        raise refused(label, what, f"read it with {how} {THEN}")


def refuse_binary(raw: bytes, label: str) -> None:
    for magic, what, advice in _MAGIC:
        if raw.startswith(magic) and (not magic.isalnum() or b"\0" in raw[:4096]):
            raise refused(label, what, advice)
    if re.match(rb"\x80[\x02-\x05]", raw) and raw.rstrip()[-1:] == b".":
        advice = f"read it with pandas.read_pickle, if you trust it, {THEN}"
        raise refused(label, "a pickle", advice)
    if raw[257:262] == b"ustar":
        advice = f"{_UNPACK.format('tar -xf')}, or read a single file with pandas.read_csv {THEN}"
        raise refused(label, "a tar archive", advice)


def refuse_text(text: str, label: str) -> None:
    first = next((line for line in text[:100_000].splitlines() if line.strip()), "").strip()
    if first[:1] in ("{", "["):
        if _is_json(first) and len(first) < len(text.strip()):
            raise refused(
                label, "JSON lines", f"read it with pandas.read_json(path, lines=True) {THEN}"
            )
        if _is_json(first) or _is_json(text):
            raise refused(label, "JSON", f"read it with pandas.read_json(path) {THEN}")
    if re.match(r"<(!doctype|html|\?xml)", first, re.IGNORECASE):
        raise refused(label, "a web page or XML", "fetch the file again")
    if re.fullmatch(r"[-+.\d]+(\s+\d+:[-+.\deE]+)+", first):
        raise refused(
            label,
            "in the format of libFM and LIBSVM",
            "read it with X, ratings = sklearn.datasets.load_svmlight_file(path), and, if lines "
            "name a user and an item, pass pairs = X.indices.reshape(-1, 2) as "
            "Ratings.from_triples(pairs[:, 0], pairs[:, 1], ratings)",
        )


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except ValueError:
        return False


def refused(label: str, what: str, advice: str) -> ValueError:
    return ValueError(f"{label}: this is {what}, not lines of ratings; {advice}.")


def frame_of_parquet(raw: bytes, label: str) -> DataFrame | None:
    if not (raw.startswith(PARQUET) and raw.endswith(PARQUET)):
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


Record: TypeAlias = tuple[int, list[str]]
Rest: TypeAlias = "Callable[[], Iterator[str]] | None"  # of a text, after its head

WHITESPACE = "whitespace"
SEPARATORS = ("::", "\t", ",", ";", "|", WHITESPACE)
_SAMPLE_SIZE = 20
_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_PLAIN_QUOTES = "quoting=False if quotes are plain characters here"
_LINE_END = r"\r\n|\r|\n"


@dataclasses.dataclass(frozen=True)
class Dialect:
    separator: str | None = None
    decimal: str = "."
    quoting: bool | None = None
    comment: str | None = None
    skip_lines: int = 0


@dataclasses.dataclass(frozen=True)
class Document:
    label: str
    text: str
    separator: str
    quoted: bool
    decimal: str = "."
    trusts_quotes: bool = False
    skips_spaces: bool = False
    rest: Rest = None

    def texts(self) -> Iterator[str]:
        """Yield the text by pieces of whole lines."""
        yield self.text
        if self.rest is not None:
            yield from self.rest()

    def error(self, line: int, message: str) -> ValueError:
        return ValueError(f"{self.label}, line {line:,}: {message}")

    def records(self, block: str | None = None, line: int = 1) -> Iterator[Record]:
        texts = self.texts() if block is None else (block,)
        for number, fields in self._quoted(texts) if self.quoted else self._plain(texts, line):
            if len(fields) > 1 or "".join(fields).strip(" \t"):
                yield number, fields

    def _plain(self, texts: Iterable[str], line: int) -> Iterator[Record]:
        lines = (found for text in texts for found in re.finditer(r"[^\n]*\n|[^\n]+", text))
        for number, match in enumerate(lines, line):
            yield number, match.group().removesuffix("\n").split(self.separator)

    def _quoted(self, texts: Iterable[str]) -> Iterator[Record]:
        pattern = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
        reader = csv.reader(
            (match.group() for text in texts for match in pattern.finditer(text)),
            delimiter=self.separator,
            strict=True,
            skipinitialspace=self.skips_spaces,
        )
        n_fields = 0
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self.error(
                    line,
                    f"a quoted field is malformed ({error}). Double a quote in it, or pass "
                    f"{_PLAIN_QUOTES}.",
                ) from None
            if reader.line_num > line and not self.trusts_quotes:
                self._check_runs_on(fields, n_fields, line, reader.line_num)
            n_fields = n_fields or len(fields)
            yield line, fields

    def _check_runs_on(self, fields: list[str], n_fields: int, line: int, last: int) -> None:
        for field in fields:
            for part in re.split(_LINE_END, field)[1:]:
                if n_fields and part.count(self.separator) >= n_fields - 1:
                    raise self.error(
                        line,
                        f"a quoted field runs on to line {last:,} and holds what looks like a "
                        f"rating, {cut(part)}; pass {_PLAIN_QUOTES}, else quoting=True.",
                    )

    def is_number(self, token: str) -> bool:
        try:
            float(self.with_point(token))
        except ValueError:
            return False
        return True

    def with_point(self, token: str) -> str:
        if self.decimal == ".":
            return token
        return "x" if "." in token else token.replace(self.decimal, ".")

    def first_record(self) -> Record:
        for record in self.records():
            return record
        raise no_ratings(self.label)

    def record(self, index: int) -> Record:
        """A header has index 0."""
        return next(itertools.islice(self.records(), index, None))


def decode(raw: bytes, encoding: str, label: str, n_lines: int = 0) -> str:
    """`raw` follows `n_lines`."""
    try:
        is_utf8 = codecs.lookup(encoding).name == "utf-8"
    except LookupError:
        raise ValueError(
            f"{label}: unknown text encoding {encoding!r}; pass 'utf-8' or 'latin-1' for example."
        ) from None
    if is_utf8 and not n_lines:
        encoding = next((name for name in _MARKS if raw.startswith(_MARKS[name])), encoding)
    try:
        text = raw.decode(encoding)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = n_lines + _line_at(raw[:start].decode("latin-1"), start)
        advice = "pass the encoding of the file, encoding='latin-1' for example"
        if _looks_binary(raw):
            advice = "this is not a text file; pass one"
        raise ValueError(
            f"{label}, line {line:,}: the byte 0x{raw[start : start + 1].hex()} is not valid "
            f"{encoding}; {advice}."
        ) from None
    return without_mark(text, label, n_lines)


def without_mark(text: str, label: str, n_lines: int = 0) -> str:
    nul = text.find("\0")
    if nul >= 0:
        raise ValueError(
            f"{label}, line {n_lines + _line_at(text, nul):,}: a NUL character, so this is not a "
            f"text file; if it is UTF-16, pass encoding='utf-16-le' or 'utf-16-be'."
        )
    return text if n_lines else text.removeprefix("\ufeff")


def has_marks(raw: bytes) -> bool:
    return any(map(raw.startswith, _MARKS.values()))


def _looks_binary(raw: bytes) -> bool:
    head = raw[:4096]
    return len(re.findall(rb"[\x00-\x08\x0b\x0e-\x19\x1b-\x1f]", head)) > len(head) // 50


def _line_at(text: str, position: int) -> int:
    return len(re.findall(_LINE_END, text[:position])) + 1


class OnlyPairs(ValueError):
    """Lines of user and item, without a rating."""

    def __init__(self, document: Document) -> None:
        line, fields = document.first_record()
        super().__init__(
            f"{document.label}, line {line:,}: found {len(fields)} fields, {cut(fields)}; of "
            f"ratings, a line must hold a user, an item and a rating: correct it, or pass sep=... "
            f"(now {document.separator!r}). Who chose what, without ratings, makes lists: "
            f"RankingAutoRec().fit(read_interactions(path)), or autorec-np train FILE."
        )
        self.document = document

    def __reduce__(self) -> Any:  # for another process, without the file
        return ValueError, self.args


def no_ratings(label: str) -> ValueError:
    return ValueError(
        f"{label}: the file holds no ratings; each line must hold a user, an item and a rating."
    )


def open_document(label: str, text: str, dialect: Dialect, rest: Rest = None) -> Document:
    text, separator = _without_other_lines(text, dialect)
    separator = dialect.separator or separator
    lines = (match for match in re.finditer(r"[^\r\n]+", text) if match.group().strip(" \t"))
    sample = list(itertools.islice(lines, _SAMPLE_SIZE))
    if not sample:
        raise no_ratings(label)
    if separator is None:
        separator = _sniff_separator(text, text[: sample[-1].end()], dialect)
    if separator is None:
        raise ValueError(
            f"{label}, line {_line_at(text, sample[0].start()):,}: no separator makes three fields "
            f"of {cut(sample[0].group())}; each line must hold a user, an item and a rating. Pass "
            f"sep=... if it is none of {', '.join(map(repr, SEPARATORS))}, and skip_lines=... or "
            f"comment='#' if the first lines are no ratings."
        )
    return _without_spaces(make_document(label, text, separator, dialect, rest))


def without_comments(text: str, dialect: Dialect) -> str:
    if not dialect.comment:
        return text
    return re.sub(rf"(?:\A|(?<=[\r\n]))[ \t]*{re.escape(dialect.comment)}[^\r\n]*", "", text)


def _without_other_lines(text: str, dialect: Dialect) -> tuple[str, str | None]:
    if dialect.skip_lines:
        ends = re.finditer(_LINE_END, text)
        last = next(itertools.islice(ends, dialect.skip_lines - 1, None), None)
        stop = len(text) if last is None else last.end()
        text = re.sub(r"[^\r\n]+", "", text[:stop]) + text[stop:]
    text = without_comments(text, dialect)
    stated = re.match(r"(?i)\s*sep=([^\r\n])[ \t]*(?=[\r\n])", text)
    if stated is None:
        return text, None
    return text[: stated.start(1) - 4] + text[stated.end() :], stated.group(1)


def _sniff_separator(text: str, head: str, dialect: Dialect) -> str | None:
    candidates: dict[str, list[list[str]]] = {}
    malformed, of_two = set(), []
    if dialect.quoting is None:
        dialect = dataclasses.replace(dialect, quoting=True)
    # a decimal comma last
    for separator in sorted(SEPARATORS, key=dialect.decimal.__eq__):
        quoted = '"' in head and len(separator) == 1
        document = make_document("", text if quoted else head, separator, dialect)
        records: list[list[str]] = []
        try:
            for _, fields in itertools.islice(document.records(), _SAMPLE_SIZE):
                records.append(fields)
        except ValueError:
            malformed.add(separator)
        if records and len(records[0]) >= 3:
            candidates[separator] = records
        elif {*map(len, records)} == {2} and separator not in malformed:
            of_two.append(separator)
    regular = {one for one, records in candidates.items() if len({*map(len, records)}) == 1}
    for separator, records in candidates.items():
        has_number = any(map(document.is_number, records[-1])) or separator in malformed
        if separator in regular and has_number:
            return separator
    if of_two and not regular and candidates.keys() <= {WHITESPACE}:  # of titles
        return of_two[0]
    return next(iter(candidates), None)


def make_document(
    label: str, text: str, separator: str, dialect: Dialect, rest: Rest = None
) -> Document:
    """`rest` may have `quotes`."""
    later = getattr(rest, "quotes", False)
    quoted = (later or '"' in text) and len(separator) == 1 and dialect.quoting is not False
    if quoted and not later:
        text = _with_plain_header(text, separator)
        quoted = '"' in text

    def plain(text: str) -> str:
        if quoted:
            return text
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return _collapse(text) if separator == WHITESPACE else text

    text = plain(text if quoted or rest is not None else text.rstrip("\r\n"))
    following = rest and (lambda: (plain(without_comments(one, dialect)) for one in rest()))
    mark = " " if separator == WHITESPACE else separator
    quoting = dialect.quoting is True
    return Document(label, text, mark, quoted, dialect.decimal, quoting, rest=following)


def _with_plain_header(text: str, separator: str) -> str:
    """Reading is then faster."""
    first, last = text.find('"'), text.rfind('"')
    start = max(text.rfind("\n", 0, first), text.rfind("\r", 0, first)) + 1
    found = re.compile(r"[^\r\n]*").match(text, start)
    line = "" if found is None else found.group()
    if start + len(line) <= last:
        return text
    try:
        (fields,) = csv.reader([line], delimiter=separator, strict=True)
    except csv.Error:
        return text
    if any(separator in field or '"' in field for field in fields):
        return text
    return text[:start] + separator.join(fields) + text[start + len(line) :]


def _collapse(text: str) -> str:
    text = text.replace("\t", " ")
    if "  " in text:
        text = re.sub(" +", " ", text)
    return text.replace("\n ", "\n").replace(" \n", "\n").strip(" ")


def _without_spaces(document: Document) -> Document:
    sample: list[list[str]] = []
    with contextlib.suppress(ValueError):  # reported later
        sample = [fields for _, fields in itertools.islice(document.records(), _SAMPLE_SIZE)]
    later = [field for fields in sample for field in fields[1:]]
    if not later or not all(field.startswith((" ", "\t")) for field in later):
        return document
    if document.quoted:
        return dataclasses.replace(document, skips_spaces=True)
    after, rest = re.compile(rf"({re.escape(document.separator)})[ \t]+"), document.rest
    return dataclasses.replace(
        document,
        text=after.sub(r"\1", document.text),
        rest=rest and (lambda: (after.sub(r"\1", one) for one in rest())),
    )


def cut(value: object, length: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."


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
