"""The journal: JSON lines, one a cell, appended as soon as a cell is measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.paper.search import Cell


def read(path: Path, kind: Any = Cell) -> dict[Any, dict[str, Any]]:
    """Return what was measured, by cell, a named tuple of a kind.

    A last line that an interrupted run left unfinished is skipped.
    """
    results = {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith("\n"):
            break
        try:
            found = json.loads(line)
            results[kind(*(found[name] for name in kind._fields))] = found
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"line {number} of {path} is no cell of a table ({error!r}); remove that line, and "
                f"its cell runs again."
            ) from error
    return results


def append(path: Path, cell: Any, measured: Mapping[str, Any]) -> None:
    """Add a cell, after dropping the unfinished line that may stand at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**cell._asdict(), **measured}) + "\n")
