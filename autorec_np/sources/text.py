"""The text of a file of ratings: decoded, its separator found, cut into records."""

from __future__ import annotations

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
SAMPLE_SIZE = 20
_MAGIC = {
    b"\x1f\x8b": "it looks like a gzip file: give it a name that ends in .gz",
    b"PK\x03\x04": "it looks like a zip archive: give it a name that ends in .zip",
    b"\xff\xfe": "it looks like UTF-16: pass encoding='utf-16'",
    b"\xfe\xff": "it looks like UTF-16: pass encoding='utf-16'",
}


@dataclasses.dataclass(frozen=True)
class Document:
    """The text of a file, with what is needed to split it into records."""

    label: str
    text: str
    separator: str
    quoted: bool

    def error(self, line: int, message: str) -> ValueError:
        return ValueError(f"{self.label}, line {line:,}: {message}")

    def records(self, block: str | None = None, line: int = 1) -> Iterator[Record]:
        """Yield ``(line number, fields)`` of every record that is not blank: slow, but exact.

        Of the whole text, or of a block of it that starts on the given line.
        """
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
            (match.group() for match in lines), delimiter=self.separator, strict=True
        )
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
                    f"right before the separator; double a quote that belongs to it.",
                ) from None
            yield line, fields

    def first_record(self) -> Record:
        for record in self.records():
            return record
        raise no_ratings(self.label)

    def record(self, index: int) -> Record:
        """Return the record of that index; a header has index 0."""
        return next(itertools.islice(self.records(), index, None))


def open_document(label: str, text: str, separator: str | None) -> Document:
    lines = (match for match in re.finditer(r"[^\r\n]+", text) if match.group().strip(" \t"))
    sample = list(itertools.islice(lines, SAMPLE_SIZE))
    if not sample:
        raise no_ratings(label)
    if separator is None:
        separator = _sniff_separator(text, text[: sample[-1].end()])
    if separator is None:
        raise ValueError(
            f"{label}, line {_line_at(text, sample[0].start()):,}: no separator makes three fields "
            f"of {cut(sample[0].group())}; each line must hold a user, an item and a rating. Pass "
            f"sep=... if the separator is none of {', '.join(map(repr, SEPARATORS))}."
        )
    return _make_document(label, text, separator)


def _sniff_separator(text: str, head: str) -> str | None:
    """Return the separator that suits the first records; the head of the text holds these.

    Quoted fields may hold line ends, so that records with quotes are read from the whole text.
    """
    candidates = {}
    for separator in SEPARATORS:
        quoted = '"' in head and len(separator) == 1
        document = _make_document("", text if quoted else head, separator)
        records: list[list[str]] = []
        with contextlib.suppress(ValueError):  # a malformed quoted field ends the sample
            for _, fields in itertools.islice(document.records(), SAMPLE_SIZE):
                records.append(fields)
        if records and len(records[0]) >= 3:
            candidates[separator] = records
    for separator, records in candidates.items():
        if len(set(map(len, records))) == 1 and any(map(is_number, records[-1])):
            return separator
    return next(iter(candidates), None)


def _make_document(label: str, text: str, separator: str) -> Document:
    quoted = '"' in text and len(separator) == 1
    if not quoted:
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = text.rstrip("\n")
    if separator == WHITESPACE:
        separator, text = " ", _collapse(text)
    return Document(label, text, separator, quoted)


def _collapse(text: str) -> str:
    """Make every run of spaces and tabs one space, and take it off the ends of lines."""
    text = text.replace("\t", " ")
    if "  " in text:
        text = re.sub(" +", " ", text)
    return text.replace("\n ", "\n").replace(" \n", "\n").strip(" ")


def decode(raw: bytes, encoding: str, label: str) -> str:
    hint = next((text for magic, text in _MAGIC.items() if raw.startswith(magic)), None)
    try:
        text = raw.decode(encoding)
    except LookupError:
        raise ValueError(
            f"{label}: unknown text encoding {encoding!r}; pass 'utf-8' or 'latin-1' for example."
        ) from None
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = len(re.findall(rb"\r\n|\r|\n", raw[:start])) + 1
        raise ValueError(
            f"{label}, line {line:,}: the byte 0x{raw[start : start + 1].hex()} is not valid "
            f"{encoding}; {hint or 'pass the encoding of the file, latin-1 for example'}."
        ) from None
    nul = text.find("\0")
    if nul >= 0:
        raise ValueError(
            f"{label}, line {_line_at(text, nul):,}: a NUL character, so this is not a text file; "
            f"{hint or 'check the file and its encoding'}."
        )
    return text.removeprefix("\ufeff")


def _line_at(text: str, position: int) -> int:
    return len(re.findall(r"\r\n|\r|\n", text[:position])) + 1


def is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def no_ratings(label: str) -> ValueError:
    return ValueError(
        f"{label}: the file holds no ratings; each line must hold a user, an item and a rating."
    )


def cut(value: object, length: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."
