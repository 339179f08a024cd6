"""Filters of warnings belong to all threads: few rooms may touch them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import autorec_np

PACKAGE = Path(autorec_np.__file__).parent
ROOMS = sorted(PACKAGE.rglob("*.py"))
PROCESS_WIDE = {"catch_warnings", "simplefilter", "filterwarnings", "resetwarnings", "filters"}
PROCESS_WIDE |= {"showwarning"}

ALLOWED = {
    "cli/commands.py",  # the command owns its process
    "evaluation/cross_validation.py",  # counted, and kept apart by thread
    "gradcheck/process.py",  # a filter that matches in one thread alone
}


def touches(source):
    """Return the names of what the source uses of all threads' warnings."""
    tree = ast.parse(source)
    imported = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    names = {a.name for node in imported if node.module == "warnings" for a in node.names}
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    names |= {
        node.attr
        for node in attributes
        if isinstance(node.value, ast.Name) and node.value.id == "warnings"
    }
    return names & PROCESS_WIDE


def test_only_these_rooms_touch_the_warnings_of_all_threads():
    found = {
        room.relative_to(PACKAGE).as_posix()
        for room in ROOMS
        if touches(room.read_text(encoding="utf-8"))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import warnings\nwith warnings.catch_warnings():\n    pass",
        "def f():\n    import warnings\n    warnings.simplefilter('ignore')",
        "from warnings import catch_warnings",
        "import warnings\nwarnings.showwarning = print",
        "import warnings\nwarnings.filters.insert(0, 1)",
    ],
)
def test_a_planted_use_is_found(source):
    assert touches(source)


def test_issuing_a_warning_is_no_such_use():
    assert not touches("import warnings\nwarnings.warn('x', stacklevel=2)")
