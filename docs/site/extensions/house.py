"""What this site adds to its theme: links that lead out of docs/, notebooks, languages, repairs."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import symbols
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

LINK = re.compile(r"(?<=\]\()([^()\s#]+)(#[^()\s]*)?(?=\))")
KOREAN = "docs/ko/"


# Before Sphinx parses a page


def lead_on(app: Sphinx, name: str, source: list[str]) -> None:
    """Let links to Python files lead to their pages, and those to copied files stay as they are."""
    if app.env.doc2path(name).suffix != ".md":
        return
    folder = PurePosixPath(name).parent

    def changed(found: re.Match[str]) -> str:
        path = found[1]
        target = _normal(folder / path)
        if target.endswith(".py") and f"{target}" in app.env.found_docs:
            return f"{path}.md"
        if any(f"{target}/".startswith(f"docs/{one}/") for one in app.config.copied):
            return f"placed:{path}{found[2]}" if found[2] else f"copied:{path}"
        return found[0]

    source[0] = LINK.sub(changed, source[0])


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


# Docstrings are plain text with a little markup; reStructuredText sees more in them


def quiet(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Keep signs of mathematics in a docstring from being read as markup."""
    for number, line in enumerate(lines):
        if line.lstrip().startswith(">>>") or re.match(r"\s*(:\w|\.\. )", line):
            continue
        parts = re.split(r"(``.+?``|:\w+:`[^`]+`|`[^`]+`)", line)
        parts[::2] = [re.sub(r"((?<!^)[*|]|(?<=\w)_(?!\w))", r"\\\1", part) for part in parts[::2]]
        lines[number] = "".join(parts)


# Every page


def name_symbols(app: Sphinx) -> None:
    """Write the script that knows the entries of the glossary."""
    folder = Path(app.doctreedir, "symbols")
    folder.mkdir(parents=True, exist_ok=True)
    glossary = Path(__file__).resolve().parents[2] / "glossary.md"
    text = symbols.script(glossary.read_text(encoding="utf-8"))
    (folder / "symbols.js").write_text(text, encoding="utf-8")
    app.config.html_static_path.append(str(folder))
    app.add_js_file("symbols.js")


def describe(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Say the language of a page, and where it is in another language."""
    pages = app.env.found_docs
    if name.startswith(KOREAN):
        context["language"] = "ko"
    partners = {"ko": _korean(name), "en": name}
    if name.startswith(KOREAN):
        rest = name.removeprefix(KOREAN)
        english = next((n for n in (f"docs/{rest}", rest) if n in pages), None)
        partners = {"ko": name, "en": english or ""}
    if all(partner in pages for partner in partners.values()):
        own = f"{name.rpartition('/')[2]}.html"  # pathto would say "#"
        addresses = {
            code: own if partner == name else context["pathto"](partner)
            for code, partner in partners.items()
        }
        links = [
            f'<link rel="alternate" hreflang="{code}" href="{address}">'
            for code, address in addresses.items()
        ]
        context["metatags"] = context.get("metatags", "") + "\n".join(links)


def _korean(name: str) -> str:
    return KOREAN + name.removeprefix("docs/")


# Repairs of what the theme lacks for those who use a keyboard or a screen reader

REPAIRS: list[tuple[str, str]] = [
    (r'<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="Pages">'),
    (r'<aside class="toc-drawer([^"]*)">', r'<aside class="toc-drawer\1" aria-label="Contents">'),
    (r'<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
    (r'<th class="head">(?:<p></p>)?</th>', '<td class="head"></td>'),  # an empty corner
    (r'<div id="search-results">', '<h1>Search</h1>\n<div id="search-results">'),
]


def repair(app: Sphinx, error: Exception | None) -> None:
    """Apply the repairs to every page, and put links to notebooks below the titles."""
    if error or app.builder.name != "html":
        return
    used: set[str] = set()
    for path in Path(app.outdir).rglob("*.html"):
        name = path.relative_to(app.outdir).with_suffix("").as_posix()
        if name.startswith("docs/explorable/"):
            # beside it stand pages here, and their sources in the repository
            text = path.read_text(encoding="utf-8").replace('.md"', '.html"')
            path.write_text(text, encoding="utf-8")
            continue
        text = path.read_text(encoding="utf-8")
        for pattern, new in REPAIRS:
            text, n_found = re.subn(pattern, new, text)
            used |= {pattern} if n_found else set()
        if name.removeprefix("docs/") in app.config.notebooks and name.startswith("docs/"):
            up = "../" * name.count("/")
            target = f"{up}notebooks/{name.removeprefix('docs/')}.ipynb"
            label = "이 페이지의 노트북" if name.startswith(KOREAN) else "This page as a notebook"
            link = f'<p class="notebook"><a href="{target}" download>{label}</a></p>'
            text = text.replace("</h1>", f"</h1>\n{link}", 1)
        path.write_text(text, encoding="utf-8")
    if unused := [pattern for pattern, _ in REPAIRS if pattern not in used]:
        raise ExtensionError(f"the theme has changed: nothing matches {unused}")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register all of it."""
    app.add_config_value("copied", [], "env")
    app.add_config_value("notebooks", [], "env")
    app.connect("builder-inited", name_symbols)
    app.connect("source-read", lead_on)
    app.connect("autodoc-process-docstring", quiet, priority=100)
    app.connect("html-page-context", describe)
    app.connect("build-finished", repair)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
