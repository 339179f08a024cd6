"""Renew the outputs that pages show: run their snippets and write what they print below them.

    python docs/print_outputs.py docs/tour.md docs/notation.md

A `text` block right below a `python` block is its output. An output stays as it is while it agrees
with what is printed: words equal, numbers nearly (tests/support/markdown_pages.py). Read the
difference before you commit it: the sentences around an output must stay true.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import markdown_pages as pages


def renewed(text: str, name: str) -> str:
    """Return the text of a page with the outputs as they are now."""
    lines, names, shift = text.splitlines(keepends=True), dict[str, Any](__name__="__main__"), 0
    for block, shown in pages.snippets(text):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * block.line + block.code, name, "exec"), names)
        if shown is None or pages.difference(shown.code, printed.getvalue()) is None:
            continue
        new = [line.rstrip() + "\n" for line in printed.getvalue().splitlines()]
        start, n_lines = shown.line + shift, shown.code.count("\n")
        lines[start : start + n_lines] = new
        shift += len(new) - n_lines
    return "".join(lines)


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    """Let snippets write their files into a folder."""
    before = Path.cwd()
    os.chdir(folder)
    os.environ["XDG_CACHE_HOME"] = folder  # and nothing into that of the user
    try:
        yield
    finally:
        os.chdir(before)


def main(names: list[str]) -> None:
    """Renew the outputs of each page in its place."""
    for name in names:
        page = Path(name).resolve()
        text = pages.read(page)
        with tempfile.TemporaryDirectory() as folder, _inside(folder):
            new = renewed(text, name)
        page.write_text(new, encoding="utf-8")
        print(name, "as it was" if new == text else "renewed")


if __name__ == "__main__":
    main(sys.argv[1:])
