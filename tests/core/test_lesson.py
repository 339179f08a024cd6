"""The lesson stays a lesson: its length, its words, its imports, its examples, its equations."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import io
import re
import subprocess
import sys
import tokenize
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import autorec_np
from autorec_np import core

PACKAGE = Path(autorec_np.__file__).parent
DERIVATION = PACKAGE.parent / "docs" / "derivation.md"
CHAPTER_ONE = ("activations", "kernels", "parameters", "network", "objective", "optimizers")
CHAPTERS = (*CHAPTER_ONE, "lbfgs", "hessian", "implicit", "planes", "all_cells")
LONGEST = 500  # code lines of chapter one
FORBIDDEN = re.compile(
    r"thread|\btiles?\b|tiled|tiling|callback|executor|workspace|workers?\b|receive|\bout=",
    re.IGNORECASE,
)
# Rows of the table of docs/derivation.md: equations, what, where
ROW = re.compile(r"^\| (\([^|]*\)) \| [^|]+ \| (`[^|]*`) \|$", re.MULTILINE)
SKIPPED = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def text_of(room):
    return (PACKAGE / "core" / f"{room}.py").read_text(encoding="utf-8")


def code_lines(text):
    """Count the lines that hold code: no blank line, comment or docstring."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SKIPPED:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def test_the_count_of_lines_leaves_out_what_is_no_code():
    text = '"""A docstring\nof two lines."""\n\n# a comment\nx = [\n    1,  # a remark\n]\n'
    text += 'def f():\n    """Return x."""\n    return """a\nb"""\n'
    assert code_lines(text) == 3 + 1 + 2


def test_chapter_one_can_be_read_in_one_sitting():
    assert sum(code_lines(text_of(room)) for room in CHAPTER_ONE) <= LONGEST


@pytest.mark.parametrize("room", [*CHAPTERS, "__init__"])
def test_the_lesson_speaks_of_mathematics_alone(room):
    assert FORBIDDEN.findall(text_of(room)) == []


@pytest.mark.parametrize("text", ["in a thread", "np.exp(x, out=x)", "a Tiled matrix", "# Workers"])
def test_a_forbidden_word_would_be_found(text):
    assert FORBIDDEN.search(text)


@pytest.mark.parametrize("room", CHAPTERS)
def test_the_lesson_imports_numpy_scipy_the_types_and_earlier_rooms(room):
    earlier = {f"autorec_np.core.{name}" for name in CHAPTERS[: CHAPTERS.index(room)]}
    known = {"numpy", "numpy.typing", "scipy", "autorec_np._types", *earlier}
    for node in ast.walk(ast.parse(text_of(room))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        for name in names:
            assert name in known or name.split(".")[0] in sys.stdlib_module_names, name


def test_the_lesson_runs_without_the_engine():
    script = (
        "import sys\n"
        "for floor in ('engine', 'training', 'models', 'data'):\n"
        "    sys.modules[f'autorec_np.{floor}'] = None\n"
        "import doctest, autorec_np.core\n"
        "print(doctest.testmod(autorec_np.core))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(doctest.TestResults(0, 16))


def test_one_adam_step_of_the_example_is_the_formula():
    """From a rating to the next weights by hand: (1) to (11), then Adam's first step."""
    ratings = sparse.csr_array(np.array([[3.0]]))
    network = core.Network(1, (1,), "identity", "identity")
    theta = np.array([0.5, 0.25, 2.0, 1.0])  # V, mu, W, b
    passed = network.forward(theta, ratings, ratings)
    h = 3 * 0.5 + 0.25
    y = 2 * h + 1
    assert passed.outputs == [y]
    signals = network.backward(theta, ratings, passed, 2 * (passed.outputs - 3.0))
    d_a = 2 * (y - 3)
    np.testing.assert_array_equal(signals.d_activity.data, [d_a])
    np.testing.assert_array_equal(signals.d_z[0], [[d_a * 2]])
    gradient = network.gradient(ratings, passed, signals)
    np.testing.assert_array_equal(gradient, [3 * d_a * 2, d_a * 2, d_a * h, d_a])
    stepped = core.Adam().step(theta, gradient, learning_rate=0.1)
    np.testing.assert_allclose(theta - stepped, 0.1 * np.sign(gradient), rtol=1e-8)


def cited_places():
    """Yield (equation, module, name) for each place that the derivation's table names."""
    for equations, places in ROW.findall(DERIVATION.read_text(encoding="utf-8")):
        numbers = [int(number) for number in re.findall(r"\d+", equations)]
        if " to " in equations:
            numbers = list(range(numbers[0], numbers[1] + 1))
        for file, names in re.findall(r"`([\w/]+)\.py`: ((?:`[\w.]+`(?:, )?)+)", places):
            for name in re.findall(r"`([\w.]+)`", names):
                for number in numbers:
                    yield number, f"autorec_np.{file.replace('/', '.')}", name


CITED = list(cited_places())


def test_the_table_of_the_derivation_covers_the_equations():
    assert {number for number, _, _ in CITED} >= {*range(1, 31), 32, 34, *range(35, 40)}


@pytest.mark.parametrize(("number", "module", "name"), CITED)
def test_each_function_of_the_table_exists_and_cites_its_equation(number, module, name):
    found = reduce(getattr, name.split("."), importlib.import_module(module))
    found = getattr(found, "func", found)  # of a cached_property
    assert f"({number})" in inspect.getsource(found)
