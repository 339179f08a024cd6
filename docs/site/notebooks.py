"""Pages as notebooks: the same Markdown, its Python in code cells with the outputs that it shows.

A notebook needs nothing beside it. Its pictures are inside of it, a link to another page leads to
that page's notebook, and a link to anything else is left as its text.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

import markdown_pages

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
Cell = dict[str, Any]


def notebook(page: Path, root: Path, with_notebook: set[Path]) -> dict[str, Any]:
    """Return a page as a notebook, in the JSON of its format 4.5."""
    text = markdown_pages.read(page)
    lines, done = text.splitlines(keepends=True), 0
    name = page.relative_to(root).as_posix()
    first = (
        f"*This notebook is the page {name} of autorec_np: its code, and what the code prints. "
        f"It runs where autorec_np is installed.*"
    )
    cells = [_markdown(first, page, with_notebook)]
    for block, shown in markdown_pages.snippets(text):
        cells.append(_markdown("".join(lines[done : block.line - 1]), page, with_notebook))
        cells.append(_code(block.code, shown.code if shown else None))
        last = shown or block
        done = last.line + last.code.count("\n") + 1
    cells.append(_markdown("".join(lines[done:]), page, with_notebook))
    cells = [cell for cell in cells if cell["source"]]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _code(code: str, printed: str | None) -> Cell:
    output = {"output_type": "stream", "name": "stdout", "text": _lines(printed or "")}
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [] if printed is None else [output],
        "source": _lines(code.rstrip("\n")),
    }


def _markdown(text: str, page: Path, with_notebook: set[Path]) -> Cell:
    pictures: dict[str, dict[str, str]] = {}

    def relink(found: re.Match[str]) -> str:
        is_picture, label, link = found.groups()
        path, _, _ = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if is_picture:
            content = base64.b64encode(target.read_bytes()).decode()
            pictures[target.name] = {"image/png": content}
            return f"![{label}](attachment:{target.name})"
        if re.match(r"\w+:", link):
            return found[0]
        if path and target in with_notebook:
            return f"[{label}]({Path(path).with_suffix('.ipynb').as_posix()})"
        return label

    source = "".join(
        part if part.startswith("```") else LINK.sub(relink, part)
        for part in re.split(r"(^```.*?^```$)", text.strip("\n"), flags=re.MULTILINE | re.DOTALL)
    )
    cell: Cell = {"cell_type": "markdown", "metadata": {}, "source": _lines(source)}
    if pictures:
        cell["attachments"] = pictures
    return cell


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def write_all(folder: Path, target: Path) -> list[str]:
    """Write the notebook of every page with Python below a folder; return the pages' names."""
    runnable = {
        page
        for page in folder.rglob("*.md")
        if page.relative_to(folder).parts[0] != "site"
        and markdown_pages.snippets(markdown_pages.read(page))
    }
    for page in sorted(runnable):
        path = target / page.relative_to(folder).with_suffix(".ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        found = notebook(page, folder.parent, runnable)
        content = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        path.write_text(content + "\n", encoding="utf-8")
    return [page.relative_to(folder).with_suffix("").as_posix() for page in sorted(runnable)]
