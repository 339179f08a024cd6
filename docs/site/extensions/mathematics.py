"""Formulas become MathML when the site is built: a page needs no script and no network to show it.

One Node process runs temml. A formula that temml refuses, or a character that the font of the site
lacks, is a warning of Sphinx, and a warning stops the build. A displayed formula that ends in
``\\qquad (7)`` is equation 7: on the page of the derivation it gets the anchor ``equation-7`` and
links to the lines that cite it; on every other page its number leads to the derivation.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import annotated
from docutils import nodes
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

HERE = Path(__file__).resolve().parents[1]
DERIVATION = "docs/derivation"
NUMBER = re.compile(r"\\qquad\s*\((\d+)\)\s*$")
LETTER = re.compile(r"<mi>(.)</mi>")  # a browser shows it in italics, from letters further up

log = logging.getLogger(__name__)


class Renderer:
    """Turns TeX into MathML; every formula once."""

    def __init__(self, font: Path) -> None:
        self.in_font = TTFont(font).getBestCmap()
        self.known: dict[tuple[str, bool], str] = {}
        self.process: subprocess.Popen[str] | None = None

    def __call__(self, tex: str, display: bool) -> str:
        """Return MathML; raise ValueError with what is wrong."""
        key = tex, display
        if key not in self.known:
            self.known[key] = self._render(tex, display)
        return self.known[key]

    def _render(self, tex: str, display: bool) -> str:
        if self.process is None:
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen(
                ["node", "render.mjs"], cwd=HERE, text=True, encoding="utf-8", **pipes
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"tex": tex, "display": display}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "Node has ended"}')
        if "error" in answer:
            raise ValueError(answer["error"])
        mathml = answer["mathml"].replace("\u203e", "\u00af")  # the font's bar
        if lacking := sorted(shown(mathml) - set(self.in_font)):
            names = ", ".join(f"U+{code:04X} {chr(code)}" for code in lacking)
            raise ValueError(f"the font of the site lacks {names}; see docs/site/make_font.py")
        return mathml

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.communicate()


def shown(mathml: str) -> set[int]:
    """Return the code points that a browser draws for a formula."""
    drawn = re.sub(r"<annotation.*?</annotation>", "", mathml, flags=re.DOTALL)
    letters = {italic(ord(html.unescape(found))) for found in LETTER.findall(drawn)}
    text = html.unescape(re.sub(r"<[^>]+>", "", drawn))
    return {ord(character) for character in text if not character.isspace()} | letters


def italic(code: int) -> int:
    """Return the code point of the italic form of a letter, or the code point itself."""
    if chr(code) == "h":
        return 0x210E
    for first, last, start in (
        ("A", "Z", 0x1D434),
        ("a", "z", 0x1D44E),
        ("Α", "Ω", 0x1D6E2),
        ("α", "ω", 0x1D6FC),
    ):
        if ord(first) <= code <= ord(last):
            return start + code - ord(first)
    return code


def show_inline(self: Any, node: nodes.math) -> None:
    """Write a formula in a line of text."""
    self.body.append(f'<span class="math">{_mathml(self, node, False)}</span>')
    raise nodes.SkipNode


def show_display(self: Any, node: nodes.math_block) -> None:
    """Write a displayed formula, with its number and where the number leads."""
    found = NUMBER.search(node.astext())
    formula = f'<div class="math">{_mathml(self, node, True)}</div>'
    if not found:
        self.body.append(f'<div class="equation">{formula}</div>')
        raise nodes.SkipNode
    number, builder = int(found[1]), self.builder
    here = builder.get_target_uri(builder.current_docname)
    is_home = builder.current_docname == DERIVATION
    first = is_home and number not in builder.app.numbered
    if first:
        builder.app.numbered.add(number)
    home = relative_uri(here, builder.get_target_uri(DERIVATION)) or ""
    links = [f'<a class="number" href="{home}#equation-{number}">({number})</a>']
    if is_home:
        for page, label in builder.app.cited_at.get(number, []):
            uri = relative_uri(here, builder.get_target_uri(page)) + f"#equation-{number}"
            name = f"Equation {number} in the code: {label}"
            short = label.rpartition("/")[2]
            links.append(f'<a class="code" href="{uri}" title="{name}">{short}</a>')
    anchor = f' id="equation-{number}"' if first else ""
    numbers = f'<div class="numbers">{" ".join(links)}</div>'
    self.body.append(f'<div class="equation numbered"{anchor}>{formula}{numbers}</div>')
    raise nodes.SkipNode


def _mathml(self: Any, node: nodes.Element, display: bool) -> str:
    tex = NUMBER.sub("", node.astext()) if display else node.astext()
    try:
        return str(self.builder.app.mathematics(tex, display))
    except ValueError as error:
        log.warning("formula %r: %s", tex, error, location=node, type="mathematics")
        return f"<code>{html.escape(tex)}</code>"


def citations() -> dict[int, list[tuple[str, str]]]:
    """Return, by the number of an equation, the annotated pages that cite it, with their names."""
    known = annotated.equations((HERE.parent / "derivation.md").read_text(encoding="utf-8"))
    found: dict[int, list[tuple[str, str]]] = {}
    for page in annotated.pages(HERE.parents[1] / "autorec_np", known):
        for number in page.cited():
            found.setdefault(number, []).append((page.document, f"{page.module}.py"))
    return found


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (show_inline, None), (show_display, None))
    app.mathematics = Renderer(HERE / "static" / "autorec-math.woff2")  # type: ignore[attr-defined]
    app.numbered = set()  # type: ignore[attr-defined]
    app.cited_at = citations()  # type: ignore[attr-defined]
    app.connect("build-finished", lambda app, error: app.mathematics.close())
    return {"parallel_read_safe": True, "parallel_write_safe": False}
