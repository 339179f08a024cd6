"""Which room may import which: the table of the house, checked on the source of every module.

A module that is missing from the table fails: a new room needs a decision on what it may know.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

import autorec_np

PACKAGE = "autorec_np"
FOLDER = Path(autorec_np.__file__).parent

# The core, each with the rooms before it that it may import.
CORE = {
    "activations": {"numpy"},
    "threads": {"numpy", "threadpoolctl"},
    "tiling": {"numpy", "scipy.sparse", "threads"},
    "kernels": {"numpy", "scipy.sparse", "threads", "tiling"},
    "parameters": {"numpy"},
    "network": {"numpy", "activations", "kernels", "parameters", "threads"},
    "objective": {"numpy", "network", "parameters"},
    "optimizers": {"numpy", "scipy.optimize", "_validation", "parameters", "threads"},
}
LEAF = {"numpy", "scipy.sparse", "_validation", "ratings", *CORE}
SERVES_A_FITTED_MODEL = {*LEAF, "autorec", "base", "baselines", "metrics"}

# room -> rooms and third-party modules that it may import; "scipy.sparse" allows what is below it
MAY_IMPORT: dict[str, set[str]] = {
    **CORE,
    "hessian": {"numpy", "activations", "kernels", "objective"},
    "scoring": {"numpy", "scipy.sparse", *CORE},
    # what models share
    "_validation": {"numpy"},
    "ranking": {"numpy", "scipy.sparse"},
    "metrics": {"numpy", "scipy.special", "_validation"},
    "frames": {"numpy", "ratings"},  # pandas in, pandas out, without importing it
    "base": {"numpy", "_validation", "frames", "metrics", "ranking"},
    # ratings: from files and models of them
    "ratings": {"numpy", "scipy.sparse", "pandas", "_validation"},
    "reading": {"numpy", "pandas", "_validation", "ratings"},
    "downloading": {"requests", "_validation"},
    "datasets": {"numpy", "_validation", "ratings", "reading", "downloading"},
    "synthetic": LEAF,
    "splitting": LEAF,
    # training
    "baselines": {"numpy", "scipy.sparse", "_validation", "base", "ratings"},
    "corruption": {"numpy", "kernels"},
    "progress": {"tqdm"},
    "training": {"numpy", *CORE, "corruption", "progress"},
    "regularization": {"numpy", "kernels", "network"},
    "gradcheck": {"numpy"},
    # a fitted model and new ratings
    "updating": {"numpy", "baselines", "kernels", "ratings"},
    "fold_in": {*LEAF, "base", "baselines", "frames", "ranking", "scoring", "threads", "updating"},
    "autorec": {
        *LEAF,
        "base",
        "fold_in",
        "baselines",
        "corruption",
        "metrics",  # the validation curve
        "ranking",
        "regularization",
        "scoring",
        "splitting",  # holds out the validation ratings
        "threads",
        "training",
    },
    # what takes a fitted model
    "evaluation": SERVES_A_FITTED_MODEL | {"reporting", "splitting", "training"},
    "persistence": SERVES_A_FITTED_MODEL | {"__init__", "scipy", "scoring"},  # versions
    "diagnostics": SERVES_A_FITTED_MODEL | {"scipy.special", "gradcheck"},
    "plotting": SERVES_A_FITTED_MODEL | {"matplotlib", "diagnostics"},
    "report": SERVES_A_FITTED_MODEL | {"diagnostics", "plotting", "reporting"},
    "tuning": {"numpy", "_validation", "autorec", "evaluation", "network", "optimizers", "ratings"}
    | {"regularization", "reporting", "splitting", "training"},
    "rating_regressor": {"numpy", "scipy.sparse", "sklearn", "autorec", "base", "evaluation"}
    | {"ratings"},
    "ranking_metrics": {"numpy", "_validation", "base", "ratings"},
    "similarity": SERVES_A_FITTED_MODEL | {"ranking"},
    "explanation": SERVES_A_FITTED_MODEL,
    "onnx_export": SERVES_A_FITTED_MODEL | {"__init__", "onnx"},
    # entry points
    "__init__": set(),
    "__main__": {"cli"},
    "cli": {"reporting", "options"},
    "reporting": set(),
    "options": {"__init__", "activations", "commands", "datasets", "reporting"}
    | {"optimizers", "training"},
    "gradient_cases": {*LEAF, "corruption", "gradcheck", "synthetic"},
    "commands": SERVES_A_FITTED_MODEL
    | {"__init__", "datasets", "evaluation", "gradcheck", "gradient_cases", "persistence"}
    | {"diagnostics", "reading", "report", "reporting", "splitting", "synthetic"}
    | {"training", "tuning"},
    "pytest_plugin": {"pytest", "gradcheck"},
}

# Slow to load, or needed by few: imported inside the functions that need them.
INSIDE_FUNCTIONS_ONLY = {"pandas", "requests", "matplotlib", "scipy.optimize", "scipy.stats"}
INSIDE_FUNCTIONS_ONLY |= {"sklearn", "threadpoolctl", "onnx", "tqdm"}


def module_name(path):
    parts = [PACKAGE, *path.relative_to(FOLDER).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


SOURCES = {module_name(path): path for path in sorted(FOLDER.rglob("*.py"))}
ROOMS = {name.split(".")[1] for name in SOURCES}


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports_of(tree, package):
    """Yield (imported module, whether inside a function), all but those for type checkers."""

    def visit(node, inside):
        if is_type_checking(node):
            for child in node.orelse:
                yield from visit(child, inside)
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = resolve_name(base, package) if node.level else base
            yield from ((f"{base}.{alias.name}", inside) for alias in node.names)
        deeper = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, deeper)

    return list(visit(tree, False))


def room_of(imported):
    """Return the room of ours that an imported dotted name belongs to, or None for a stranger."""
    parts = imported.split(".")
    if parts[0] != PACKAGE:
        return None
    if len(parts) == 1:
        return "__init__"
    if parts[1] in ROOMS or parts[1] in MAY_IMPORT:
        return parts[1]
    return autorec_np._MODULE_OF.get(parts[1], "__init__")


def covers(allowed, imported):
    return imported == allowed or imported.startswith(allowed + ".")


def faults(source, module, package=None):
    """Return what the table does not allow in the source of a module, as sentences."""
    room = module.split(".")[1]
    if room not in MAY_IMPORT:
        return [f"{room} is not in the table of tests/test_imports.py: decide what it may import"]
    found = []
    for imported, inside in imports_of(ast.parse(source), package or module.rpartition(".")[0]):
        other = room_of(imported)
        if imported.split(".")[0] in sys.stdlib_module_names or other == room:
            continue
        if other is not None:
            allowed = other in MAY_IMPORT[room]
        else:
            allowed = any(covers(name, imported) for name in MAY_IMPORT[room])
        if not allowed:
            found.append(f"{module} imports {imported}, which the table does not allow")
        elif not inside and any(covers(name, imported) for name in INSIDE_FUNCTIONS_ONLY):
            found.append(f"{module} imports {imported} outside of a function")
    return found


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_what_the_table_allows(module):
    path = SOURCES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    assert faults(path.read_text(encoding="utf-8"), module, package) == []


def test_the_table_has_no_circle():
    rooms = {room: allowed & set(MAY_IMPORT) for room, allowed in MAY_IMPORT.items()}
    graphlib.TopologicalSorter(rooms).prepare()  # CycleError names the circle


@pytest.mark.parametrize("module", SOURCES)
def test_only_the_package_itself_imports_by_a_name_in_a_string(module):
    if module != f"{PACKAGE}.__init__":
        text = SOURCES[module].read_text(encoding="utf-8")
        assert "import_module" not in text
        assert "__import__" not in text


PLANTED = {
    "from autorec_np.models.autorec import AutoRec": "imports autorec_np.models.autorec.AutoRec, which",
    "from autorec_np import AutoRec": "imports autorec_np.AutoRec, which",
    "import autorec_np.models.autorec as a": "imports autorec_np.models.autorec, which",
    "from . import autorec": "imports autorec_np.models.autorec, which",
    "from .objective import Objective": "imports autorec_np.core.objective.Objective, which",
    "def f():\n    from autorec_np.models.autorec import AutoRec": "imports autorec_np.models.autorec.AutoRec",
    "class C:\n    async def f(self):\n        import sklearn": "imports sklearn, which",
    "try:\n    import torch\nexcept ImportError:\n    pass": "imports torch, which",
    "import scipy.linalg": "imports scipy.linalg, which",
    "from scipy import optimize": "imports scipy.optimize, which",
    "import scipy": "imports scipy, which",
    "import numpy.random, pandas": "imports pandas, which",
    "if not TYPE_CHECKING:\n    pass\nelse:\n    pass\nimport requests": "imports requests, which",
    "if TYPE_CHECKING:\n    pass\nelse:\n    import requests": "imports requests, which",
}


@pytest.mark.parametrize("source", PLANTED, ids=repr)
def test_a_planted_import_is_found(source):
    found = faults(source, f"{PACKAGE}.kernels")
    assert len(found) == 1
    assert PLANTED[source] in found[0]


def test_a_planted_import_outside_of_a_function_is_found():
    source = "import pandas as pd\nclass C:\n    import pandas\ndef f():\n    import pandas"
    assert len(faults(source, f"{PACKAGE}.ratings")) == 2
    assert len(faults("from scipy.optimize import minimize", f"{PACKAGE}.optimizers")) == 1
    assert faults("def f():\n    import scipy.optimize", f"{PACKAGE}.optimizers") == []


def test_a_new_room_is_found():
    (found,) = faults("import math", f"{PACKAGE}.attic")
    assert "attic is not in the table" in found


def test_imports_that_are_allowed_pass():
    source = (
        "from __future__ import annotations\nimport math, numpy as np\nfrom scipy import sparse\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from autorec_np import AutoRec\n"
        "    import pandas\nfrom scipy.sparse import csr_array"
    )
    assert faults(source, f"{PACKAGE}.kernels") == []


# What is loaded


def loaded_after(statement):
    """Return the names of all modules in a fresh process after a statement."""
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.split())


def test_importing_the_package_loads_next_to_nothing():
    loaded = loaded_after(f"import {PACKAGE}")
    slow = {"numpy", "scipy", "pandas", "requests", "matplotlib", "sklearn", "scipy.optimize"}
    assert not loaded & slow
    assert {name for name in loaded if name.startswith(PACKAGE)} == {PACKAGE}


def test_importing_the_estimator_loads_numpy_and_a_part_of_scipy_only():
    loaded = loaded_after(f"from {PACKAGE} import AutoRec")
    assert {"numpy", "scipy.sparse", "scipy.special", f"{PACKAGE}.autorec"} <= loaded
    slow = {"pandas", "requests", "matplotlib", "sklearn", "scipy.optimize", "scipy.stats"}
    assert not loaded & slow


# Public names


@pytest.mark.parametrize("name", autorec_np.__all__)
def test_a_public_name_resolves(name):
    value = getattr(autorec_np, name)
    assert name in dir(autorec_np)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__module__.startswith(f"{PACKAGE}.{autorec_np._MODULE_OF[name]}")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'autorec_np' has no attribute 'AutoReck'"):
        _ = autorec_np.AutoReck


def test_type_checkers_see_the_same_public_names():
    tree = ast.parse(SOURCES[f"{PACKAGE}.__init__"].read_text(encoding="utf-8"))
    (block,) = filter(is_type_checking, tree.body)
    seen = {
        alias.asname: node.module.rpartition(".")[2]
        for node in block.body
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == autorec_np._MODULE_OF
    assert set(autorec_np.__all__) == {*seen, "__version__"}
