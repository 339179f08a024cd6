"""The text of a file of ratings: decoded, its separator found, cut into records."""

from __future__ import annotations

import codecs
import contextlib
import csv
import dataclasses
import itertools
import re
from collections.abc import Iterator
from typing import TypeAlias

Record: TypeAlias = tuple[int, list[str]]

WHITESPACE = "whitespace"
SEPARATORS = ("::", "\t", ",", ";", "|", WHITESPACE)
_SAMPLE_SIZE = 20
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = bytes({*range(32)} - {*b"\t\n\r\f\x1a"})


@dataclasses.dataclass(frozen=True)
class Dialect:
    separator: str | None = None
    decimal: str = "."
    quoting: bool | None = None
    comment: str | None = None
    skip_lines: int = 0


@dataclasses.dataclass(frozen=True)
class Document:
    """The text of a file, with what is needed to split it into records.

    Quoted fields may run over lines that look like records if it `trusts_quotes`.
    """

    label: str
    text: str
    separator: str
    quoted: bool
    decimal: str = "."
    trusts_quotes: bool = False
    skips_spaces: bool = False

    def error(self, line: int, message: str) -> ValueError:
        return ValueError(f"{self.label}, line {line:,}: {message}")

    def records(self, block: str | None = None, line: int = 1) -> Iterator[Record]:
        """Yield line numbers and fields of all records that are not blank: slow, but exact."""
        text = self.text if block is None else block
        for number, fields in self._quoted(text) if self.quoted else self._plain(text, line):
            if len(fields) > 1 or "".join(fields).strip(" \t"):
                yield number, fields

    def _plain(self, text: str, line: int) -> Iterator[Record]:
        for number, match in enumerate(re.finditer(r"[^\n]*\n|[^\n]+", text), line):
            yield number, match.group().removesuffix("\n").split(self.separator)

    def _quoted(self, text: str) -> Iterator[Record]:
        lines = re.finditer(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)
        reader = csv.reader(
            (match.group() for match in lines),
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
                    f"a quoted field is malformed ({error}). A quoted field ends with a quote "
                    f"right before the separator; double a quote that belongs to it, or pass "
                    f"quoting=False if quotes are plain characters here.",
                ) from None
            if reader.line_num > line and not self.trusts_quotes:
                self._check_runs_on(fields, n_fields, line, reader.line_num)
            n_fields = n_fields or len(fields)
            yield line, fields

    def _check_runs_on(self, fields: list[str], n_fields: int, line: int, last: int) -> None:
        for field in fields:
            for part in re.split(r"\r\n|\r|\n", field)[1:]:
                if n_fields and part.count(self.separator) >= n_fields - 1:
                    raise self.error(
                        line,
                        f"a quoted field runs on to line {last:,} and holds lines that look like "
                        f"ratings, {cut(part)} for example; pass quoting=False if quotes are plain "
                        f"characters here, or quoting=True if the field is meant so.",
                    )

    def is_number(self, token: str) -> bool:
        try:
            float(self.with_point(token))
        except ValueError:
            return False
        return True

    def with_point(self, token: str) -> str:
        """What has a point already is no number with a decimal comma."""
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


def decode(raw: bytes, encoding: str, label: str) -> str:
    if codecs_name(encoding, label) == "utf-8":
        encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), encoding)
    try:
        text = raw.decode(encoding)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = len(re.findall(rb"\r\n|\r|\n", raw[:start])) + 1
        advice = "pass the encoding of the file, encoding='latin-1' for example"
        if _looks_binary(raw):
            advice = "this is not a text file; pass one with a user, an item and a rating a line"
        raise ValueError(
            f"{label}, line {line:,}: the byte 0x{raw[start : start + 1].hex()} is not valid "
            f"{encoding}; {advice}."
        ) from None
    return without_mark(text, label)


def codecs_name(encoding: str, label: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise ValueError(
            f"{label}: unknown text encoding {encoding!r}; pass 'utf-8' or 'latin-1' for example."
        ) from None


def without_mark(text: str, label: str) -> str:
    nul = text.find("\0")
    if nul >= 0:
        raise ValueError(
            f"{label}, line {_line_at(text, nul):,}: a NUL character, so this is not a text file; "
            f"if it is UTF-16 without a byte-order mark, pass encoding='utf-16-le' or 'utf-16-be'."
        )
    return text.removeprefix("\ufeff")


def _looks_binary(raw: bytes) -> bool:
    head = raw[:4096]
    return len(head) - len(head.translate(None, _CONTROL)) > len(head) // 50


def _line_at(text: str, position: int) -> int:
    return len(re.findall(r"\r\n|\r|\n", text[:position])) + 1


def no_ratings(label: str) -> ValueError:
    return ValueError(
        f"{label}: the file holds no ratings; each line must hold a user, an item and a rating."
    )


def open_document(label: str, text: str, dialect: Dialect) -> Document:
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
            f"sep=... if the separator is none of {', '.join(map(repr, SEPARATORS))}, and "
            f"skip_lines=... or comment='#' if the first lines are no ratings."
        )
    document = make_document(label, text, separator, dialect)
    return _without_spaces(document) if separator != WHITESPACE else document


def _without_other_lines(text: str, dialect: Dialect) -> tuple[str, str | None]:
    if dialect.skip_lines:
        ends = re.finditer(r"\r\n|\r|\n", text)
        last = next(itertools.islice(ends, dialect.skip_lines - 1, None), None)
        stop = len(text) if last is None else last.end()
        text = re.sub(r"[^\r\n]+", "", text[:stop]) + text[stop:]
    if dialect.comment:
        text = re.sub(rf"(?:\A|(?<=[\r\n]))[ \t]*{re.escape(dialect.comment)}[^\r\n]*", "", text)
    stated = re.match(r"(?i)\s*sep=([^\r\n])[ \t]*(?=[\r\n])", text)
    if stated is None:
        return text, None
    return text[: stated.start(1) - 4] + text[stated.end() :], stated.group(1)


def _sniff_separator(text: str, head: str, dialect: Dialect) -> str | None:
    candidates: dict[str, list[list[str]]] = {}
    malformed = set()
    if dialect.quoting is None:
        dialect = dataclasses.replace(dialect, quoting=True)
    # a decimal comma comes last
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
    for separator, records in candidates.items():
        has_number = any(map(document.is_number, records[-1])) or separator in malformed
        if len(set(map(len, records))) == 1 and has_number:
            return separator
    return next(iter(candidates), None)


def make_document(label: str, text: str, separator: str, dialect: Dialect) -> Document:
    quoted = '"' in text and len(separator) == 1 and dialect.quoting is not False
    if quoted:
        text = _with_plain_header(text, separator)
        quoted = '"' in text
    if not quoted:
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = text.rstrip("\n")
    if separator == WHITESPACE:
        separator, text = " ", _collapse(text)
    return Document(label, text, separator, quoted, dialect.decimal, dialect.quoting is True)


def _with_plain_header(text: str, separator: str) -> str:
    """Reading is faster without quotes."""
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
    after = re.compile(rf"({re.escape(document.separator)})[ \t]+")
    return dataclasses.replace(document, text=after.sub(r"\1", document.text))


def cut(value: object, length: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."
