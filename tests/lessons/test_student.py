"""What is written down of a student's code, whatever it does."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from lesson_answers import verdict_on

from autorec_np.lessons.course import lesson_of
from autorec_np.lessons.diagnosis import judge
from autorec_np.lessons.process import gathered
from autorec_np.lessons.student import record

LESSON = lesson_of(2)
RIGHT = LESSON.solution


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Record a text, as the process of its own does."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "lesson", None)

    def call(text):
        path = tmp_path / "mine.py"
        path.write_text(text, encoding="utf-8")
        with np.errstate(all="ignore"):
            said, arrays = record(LESSON, 0, path)
        return said, arrays, judge(LESSON, gathered(said, arrays), text)

    return call


def test_answers_and_variables_are_written_down(recorded):
    said, arrays, found = recorded(RIGHT)
    assert found.passed
    assert said == {"changed": [], "missing": [], "again": True}
    assert {"1/Z", "2/H", "3/Y", "local/Z"} <= arrays.keys()
    assert not any(name.startswith("local/X") for name in arrays)


FAILED = {
    "def forward(X, V, mu, W, b:\n": ("SyntaxError", 1, "Python cannot read line 1; look at it"),
    "import nowhere_at_all\n": ("ModuleNotFoundError", 1, "a module cannot be imported: install"),
    "x = 1\n": ("Unfit", None, "the file has no function 'forward'"),
    "def foward(X):\n    pass\n": ("Unfit", None, "no function 'forward'; it has foward"),
    "def forward(X, V, mu, W, b):\n    Z = X @ V\n": (
        "Unfit",
        None,
        "returns nothing: end it with",
    ),
    "def forward(X, V, mu, W, b):\n    return X, X\n": ("Unfit", None, "and returns 2 values"),
    "def forward(X, V, mu, W, b):\n    return 3.0\n": ("Unfit", None, "and returns one float"),
    "def forward(X, V, mu, W, b):\n    return [[1, 2], [3]], X, X\n": (
        *("Unfit", None, "Z is a list of lists of unequal lengths"),
    ),
    "def forward(X, V, mu, W, b):\n    return 'Z', X, X\n": ("Unfit", None, "Z is a str of <U1"),
    "def forward(X, V):\n    return X\n": ("TypeError", None, "the code: a value has another type"),
    "def forward(X, V, mu, W, b):\n    raise NotImplementedError\n": (
        *("NotImplementedError", 2, "not written yet"),
    ),
    "def forward(X, V, mu, W, b):\n    return Q, X, X\n": (
        *("NameError", 2, "line 2 uses a name that nothing has given a value"),
    ),
    "def forward(X, V, mu, W, b):\n    Z = Z + 1\n": (
        *("UnboundLocalError", 2, "line 2 uses a name before it has a value"),
    ),
    "def forward(X, V, mu, W, b):\n    return {}[3], X, X\n": (
        *("KeyError", 2, "asks a dictionary for a key that it does not have (3)"),
    ),
    "def forward(X, V, mu, W, b):\n    return X.size(), X.lenght\n": (
        *("TypeError", 2, "a value has another type"),
    ),
    "def forward(X, V, mu, W, b):\n    return X.lenght\n": (
        *("AttributeError", 2, "asks a value for what its type does not have"),
    ),
    "def forward(X, V, mu, W, b):\n    return 1 // 0\n": (
        *("ZeroDivisionError", 2, "divides by 0: which number is 0 there?"),
    ),
    "def forward(X, V, mu, W, b):\n    return X[99], X, X\n": (
        *("IndexError", 2, "asks for an entry that is not there"),
    ),
    "def forward(X, V, mu, W, b):\n    return X @ W.T, X, X\n": (
        *("ValueError", 2, "compare the shapes; X is (5, 6), W is (6, 3)"),
    ),
    "def forward(X, V, mu, W, b):\n    return forward(X, V, mu, W, b)\n": (
        *("RecursionError", ..., "fails: see what it says"),
    ),
    "import sys\nsys.exit(3)\n": ("SystemExit", 2, "the code ended the process itself (3)"),
    "def forward(X, V, mu, W, b):\n    return X / 0 @ V, np.zeros(10**6), 1\nimport numpy as np": (
        *("Unfit", None, "H is of shape (1000000,), far too large"),
    ),
}


@pytest.mark.parametrize("text", FAILED)
def test_what_to_do_comes_before_what_python_says(text, recorded):
    kind, line, begins = FAILED[text]
    _, _, found = recorded(text)
    assert (found.passed, found.stage, found.mistake) == (False, "error", kind)
    assert line is ... or found.lines == [line] * (line is not None)
    assert begins in found.text
    assert begins in found.text.split("Python says")[0]
    assert set(found.blocks.values()) == {"missing"}
    assert found.sources == [text.splitlines()[one - 1].strip() for one in found.lines]


def test_arguments_that_are_changed_are_named(recorded):
    said, _, found = recorded(RIGHT.replace("    Z = X @", "    mu += 1\n    Z = X @"))
    assert said["changed"] == ["mu"]
    assert (found.mistake, found.stage) == ("in_place", "relation")


def test_what_is_drawn_at_random_is_found(recorded):
    said, _, found = recorded(RIGHT.replace("+ mu", "+ np.random.random(3)"))
    assert not said["again"]
    assert found.mistake == "kept"


def test_a_file_may_import_its_neighbor(recorded, tmp_path):
    (tmp_path / "neighbor_of_mine.py").write_text("from numpy import exp\n")
    text = RIGHT.replace("import numpy", "import neighbor_of_mine\nimport numpy")
    assert recorded(text.replace("np.exp", "neighbor_of_mine.exp"))[2].passed


def test_sparse_arrays_complex_zeros_and_dicts_are_answers():
    text = RIGHT.replace("return Z, H, Y", "return {'Y': Y + 0j, 'Z': sparse.csr_array(Z), 'H': H}")
    text = text.replace("import numpy", "from scipy import sparse\nimport numpy")
    assert verdict_on(LESSON, text).passed
