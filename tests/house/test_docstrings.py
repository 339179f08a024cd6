"""Documented parameters are those of the signature, and decimals in comments have their zero."""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import pkgutil
import re
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autorec_np

SECTION = re.compile(
    r"^([A-Z][A-Za-z ]+)\n-{3,}\n(.*?)(?=^[A-Z][A-Za-z ]+\n-{3,}\n|\Z)", re.M | re.S
)

# In the lesson and the engine, methods share arguments whose shapes the class states once.
SAID_BY_THE_CLASS = ("core.", "engine.")

KINDS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def sections(docstring: str) -> dict[str, str]:
    """Return the numpydoc sections of a docstring by heading."""
    return dict(SECTION.findall(inspect.cleandoc(docstring)))


def documented(docstring: str) -> list[str]:
    """Return the names that the section on parameters documents, in order."""
    text = textwrap.dedent(sections(docstring).get("Parameters", ""))
    lines = [line for line in text.splitlines() if re.match(r"\S", line) and line[-1] != "."]
    entries = [line.partition(" : ")[0] for line in lines]
    return [name.strip().lstrip("*") for entry in entries for name in entry.split(",")]


def faults(function: Any, docstring: str) -> list[str]:
    """Say where a docstring documents other parameters than the signature has."""
    given = inspect.signature(function).parameters
    names = [name for name in given if name not in ("self", "cls")]
    found = documented(docstring)
    if not found:
        return []
    unknown = [name for name in found if name not in names]
    twice = [name for name in dict.fromkeys(found) if found.count(name) > 1]
    needed = [name for name in names if given[name].kind not in KINDS and name[0] != "_"]
    missing = [name for name in needed if name not in found]
    return [
        *(f"documents {name!r}, which is no parameter" for name in unknown),
        *(f"documents {name!r} twice" for name in twice),
        *(f"leaves out {name!r}" for name in missing),
    ]


def modules() -> Iterator[Any]:
    yield autorec_np
    for found in pkgutil.walk_packages(autorec_np.__path__, "autorec_np."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def public() -> dict[str, tuple[Any, str]]:
    """Return every public function, class and method of the package with its docstring."""
    found: dict[str, tuple[Any, str]] = {}
    for module in modules():
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            path = f"{module.__name__.removeprefix('autorec_np.')}.{name}"
            if inspect.isclass(value):
                found[path] = value, value.__doc__ or ""
                for key, method in vars(value).items():
                    function = getattr(method, "__func__", method)
                    if inspect.isfunction(function) and not key.startswith("_"):
                        found[f"{path}.{key}"] = function, function.__doc__ or ""
            elif inspect.isfunction(value):
                found[path] = value, value.__doc__ or ""
    return {path: pair for path, pair in found.items() if "Parameters\n" in pair[1]}


PUBLIC = public()


@pytest.mark.parametrize("path", PUBLIC)
def test_documented_parameters_are_those_of_the_signature(path):
    value, docstring = PUBLIC[path]
    found = faults(value, docstring)
    if path.startswith(SAID_BY_THE_CLASS):
        found = [fault for fault in found if not fault.startswith("leaves out")]
    assert found == []


def test_much_is_documented():
    assert len(PUBLIC) > 60
    names = {path.rpartition(".")[2] for path in PUBLIC}
    assert {"AutoRec", "read_ratings", "check_gradient", "recommend", "predict"} <= names


DOCUMENTED = """Do something.

    Parameters
    ----------
    first, second : int
        What they are; a : b.
    third : {"a", "b"}, optional
    **options
        Of another function.

    And a sentence.

    Returns
    -------
    other : int
    """


def test_the_tester():
    def right(first, second, third=None, **options): ...

    def renamed(first, other, third=None, **options): ...

    def longer(first, second, third=None, fourth=None, _fifth=None, **options): ...

    assert documented(DOCUMENTED) == ["first", "second", "third", "options"]
    assert faults(right, DOCUMENTED) == []
    assert faults(renamed, DOCUMENTED) == [
        "documents 'second', which is no parameter",
        "leaves out 'other'",
    ]
    assert faults(longer, DOCUMENTED) == ["leaves out 'fourth'"]
    assert faults(right, DOCUMENTED.replace("third", "second")) == [
        "documents 'second' twice",
        "leaves out 'third'",
    ]


# Decimals

ROOT = Path(autorec_np.__file__).parents[1]
WRITTEN = sorted(
    path for name in ("autorec_np", "benchmarks") for path in (ROOT / name).rglob("*.py")
)


def words(source: str) -> Iterator[str]:
    """Yield the comments, the docstrings and the messages of a module."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    todo: list[ast.AST] = [ast.parse(source)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"\{[^{}]*\}", "{}", node.value)  # of str.format
        if isinstance(node, ast.FormattedValue):
            node.format_spec = None
        todo += ast.iter_child_nodes(node)


def bare_decimals(source: str) -> list[str]:
    """Return the lines in words with a decimal that lacks its zero."""
    lines = [line for text in words(source) for line in text.splitlines()]
    return [line for line in lines if re.search(r"(?<![\w.)\]}*/%])\.\d", line)]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_decimals_have_their_zero(path):
    assert bare_decimals(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    ["x = 1  # about .5", '"""Falls\n\nby .006."""', 'f"got {x:.3g}, not .5"', "y = 'at .5'"],
)
def test_a_decimal_without_its_zero_is_found(source):
    assert len(bare_decimals(source)) == 1


def test_formats_and_code_are_no_decimals():
    source = 'x = .5  # 0.5, 1.5\nprint(f"{x:.3f} s", "%.3g" % x, "{:.2f}", a.b[.5])\n'
    assert bare_decimals(source) == []
