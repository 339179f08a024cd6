"""No function is so long that nobody reads it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import autorec_np

FOLDER = Path(autorec_np.__file__).parent
MOST_LINES = 60

# Folders in which every function keeps the limit.
SHORT = ["cli"]


def code_lines(function: ast.AST) -> int:
    """Count the lines that hold code: no docstring, comment or blank line."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    lines = {function.lineno}
    for statement in body:
        for node in ast.walk(statement):
            if hasattr(node, "lineno"):
                lines |= {node.lineno, node.end_lineno}
    return len(lines)


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of code lines of every function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, code_lines(node)


@pytest.mark.parametrize("folder", SHORT)
def test_functions_are_short(folder):
    too_long = {
        f"{path.relative_to(FOLDER)}: {name}": n_lines
        for path in sorted((FOLDER / folder).rglob("*.py"))
        for name, n_lines in functions(path.read_text(encoding="utf-8"))
        if n_lines > MOST_LINES
    }
    assert too_long == {}


def test_a_long_function_is_found():
    body = "".join(f"    x{k} = {k}  # a comment\n\n" for k in range(MOST_LINES))
    source = f'def long():\n    """One line.\n\n    Two.\n    """\n{body}'
    assert list(functions(source)) == [("long", MOST_LINES + 1)]
    call = "def f():\n    return g(\n        1,\n        2,\n        # three\n    )\n"
    assert list(functions(call)) == [("f", 5)]
