"""Pages of Markdown as the tests of the documentation read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "benchmarks" / "results").glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "lessons").glob("*.md")),
    *sorted((ROOT / "docs" / "ko").rglob("*.md")),
]

FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:e[-+]?\d+)?")
NOTHING = 1e-9  # a number below it is what rounding leaves of zero

_markdown = MarkdownIt("commonmark").enable("table")


def read(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    """Return the path of a page below the root: the id of a test."""
    return page.relative_to(ROOT).as_posix()


# Code


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the number of its first line of code from 0, its code."""

    language: str
    line: int
    code: str


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [
        Block(token.info.strip(), token.map[0] + 1, token.content)
        for token in _markdown.parse(text)
        if token.type == "fence" and token.map is not None
    ]


def snippets(text: str) -> list[tuple[Block, Block | None]]:
    """Return each Python block and, where a text block comes next, what the page says it prints.

    Between the two there may be blank lines, and nothing else.
    """
    lines, found = text.splitlines(), blocks(text)
    pairs: list[tuple[Block, Block | None]] = []
    for block, following in zip(found, [*found[1:], None], strict=False):
        if block.language != "python":
            continue
        end = block.line + block.code.count("\n") + 1
        is_next = (
            following is not None
            and following.language == "text"
            and not any(lines[end : following.line - 1])
        )
        pairs.append((block, following if is_next else None))
    return pairs


def prose(text: str) -> str:
    """Return a page whose blocks of code are blank lines and whose code spans are blanks."""
    lines = text.splitlines()
    for token in _markdown.parse(text):
        if token.type in ("fence", "code_block") and token.map is not None:
            for number in range(*token.map):
                lines[number] = ""
    return CODE_SPAN.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), "\n".join(lines))


def code_spans(text: str) -> list[str]:
    """Return the code spans of a page."""
    return [
        child.content
        for token in _markdown.parse(text)
        for child in token.children or ()
        if child.type == "code_inline"
    ]


# Links


def links(text: str) -> list[str]:
    """Return the targets of the links and pictures of a page."""
    children = [child for token in _markdown.parse(text) for child in token.children or ()]
    targets = [child.attrGet("href") or child.attrGet("src") for child in children]
    return [str(target) for target in targets if target]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    tokens, found = _markdown.parse(text), []
    for token, content in pairwise(tokens):
        if token.type == "heading_open":
            anchor = re.sub(r"[^\w\- ]", "", _visible(content).lower()).replace(" ", "-")
            earlier = found.count(anchor)
            found += [anchor, *([f"{anchor}-{earlier}"] if earlier else [])]
    return set(found)


def _visible(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


# Formulas


def broken_formulas(text: str) -> list[str]:
    """Return what GitHub's Markdown would not hand on unchanged to its mathematics.

    Markdown comes first there: it takes the backslash before punctuation away, reads underscores
    and asterisks as emphasis, and begins lists and headings inside of a formula.
    """
    broken = []
    for token in _markdown.parse(text):
        if token.type != "inline":
            continue
        source = CODE_SPAN.sub("", token.content)
        rendered = "".join(
            {"text": child.content, "softbreak": "\n"}.get(child.type, "\0")
            for child in token.children or ()
        )
        if source.replace("$$", "").count("$") % 2 or source.count("$$") % 2:
            broken.append(f"a dollar without its other: {source}")
        for found in FORMULA.finditer(source):
            formula = found[1] or found[2]
            before, after = source[: found.start()][-1:], source[found.end() :][:1]
            if re.search(r"\\[!-/:-@\[-`{-~]", formula):
                broken.append(f"a backslash before punctuation: {formula}")
            elif found[0] not in rendered:
                broken.append(f"changed by Markdown: {formula}")
            elif found[2] and (before.isalnum() or after.isalnum() or formula != formula.strip()):
                broken.append(f"not read as a formula: {before}{found[0]}{after}")
    return broken


# What code prints


def difference(shown: str, printed: str) -> str | None:
    """Return where a page and what its code prints differ, or None.

    Words are equal, whatever the space between them. Numbers agree within one unit of the last
    decimal that is shown, or 1 %.
    """
    expected, got = shown.rstrip("\n").split("\n"), printed.rstrip("\n").split("\n")
    if len(expected) != len(got):
        return f"{len(expected)} lines are shown, {len(got)} are printed:\n{printed}"
    for one, other in zip(expected, got, strict=True):
        if _words(one) != _words(other) or not all(
            map(_agree, NUMBER.findall(one), NUMBER.findall(other))
        ):
            return f"shown:   {one}\nprinted: {other}"
    return None


def _words(line: str) -> list[str]:
    return re.sub(r"[\[\]()]", r" \g<0> ", NUMBER.sub("#", line)).split()


def _agree(shown: str, printed: str) -> bool:
    value, other = (float(number.replace(",", "")) for number in (shown, printed))
    if abs(value) < NOTHING and abs(other) < NOTHING:
        return True
    mantissa, _, exponent = shown.partition("e")
    decimals = len(mantissa.partition(".")[2])
    is_whole = "." not in mantissa and not exponent
    unit = 0.0 if is_whole else 10.0 ** (int(exponent or 0) - decimals)
    return abs(value - other) <= max(1.01 * unit, 0.01 * abs(value))
