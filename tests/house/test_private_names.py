"""No module reads the underscore names of another module, or of an object that is not its own.

The modules whose own name begins with an underscore are shared by all floors: their name may be
imported, and what they do is not looked at.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import autorec_np

FOLDER = Path(autorec_np.__file__).parent
MODULES = {
    str(path.relative_to(FOLDER)): path
    for path in sorted(FOLDER.rglob("*.py"))
    if not path.stem.startswith("_") or path.stem.startswith("__")
}

# Public, for all that: a NamedTuple's methods have the underscore so as not to clash with fields.
OF_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}
BY_NAME = {"getattr", "setattr", "hasattr", "delattr"}


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in OF_NAMED_TUPLES


def is_own(node):
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def faults(source):
    """Return the lines that read a private name of somebody else."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name = None
        if isinstance(node, ast.Attribute) and not is_own(node.value):
            name = node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in BY_NAME and len(node.args) > 1 and not is_own(node.args[0]):
                constant = node.args[1]
                name = constant.value if isinstance(constant, ast.Constant) else None
        elif isinstance(node, ast.ImportFrom):
            private = [alias.name for alias in node.names if is_private(alias.name)]
            if node.module not in (None, "autorec_np"):  # whose private names are modules
                name = next(iter(private), None)
        if isinstance(name, str) and is_private(name):
            found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_reads_no_private_name_of_another(module):
    assert faults(MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "model._check_fitted()",
        "model.fitted_._counted",
        "fit()._theta",
        "models[0]._theta = 1",
        "del model._theta",
        "from autorec_np.models.scoring import _minimize",
        "from .scoring import fit_column, _minimize",
        "def f(model):\n    return [one._theta for one in model]",
        "getattr(model, '_theta', None)",
        "class A:\n    def f(self, other):\n        return self.other._theta",
        "super()._fit",
    ],
)
def test_a_planted_private_name_is_found(source):
    assert len(faults(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "self._theta = cls._theta",
        "type(self).__name__, model.__dict__, vars(model)['_theta']",
        "from autorec_np._text import table",
        "from autorec_np import _text",
        "from autorec_np._validation import check_integer",
        "point._replace(x=1)._asdict()",
        "from __future__ import annotations",
        "_theta = _minimize(1)",
        "getattr(self, '_theta')",
        "model.theta_",
    ],
)
def test_what_is_allowed_passes(source):
    assert faults(source) == []


def test_the_modules_of_all_floors_are_looked_at():
    assert {"models/scoring.py", "cli/__init__.py", "__main__.py"} <= MODULES.keys()
    assert "_text.py" not in MODULES
