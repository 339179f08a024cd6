"""Which floor may import which: the table of the house, checked on the source of every module.

The table is read both ways: an import that it does not allow fails, and so does an allowance that
no import uses.
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

# Floors from the ground up. An entry is a floor, a room of one ("engine.threads"), or a module of
# somebody else; "scipy.sparse" allows what is below it.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "_text": set(),
    "_files": set(),
    "_types": {"numpy"},
    "_validation": {"numpy"},
    "gradcheck": {"numpy", "matplotlib", "threadpoolctl"},
    "pytest_plugin": {"pytest", "gradcheck"},
    "core": {"numpy", "scipy.sparse", "__init__", "_types"},
    "network": {"core.network"},
    "objective": {"core.objective"},
    "data": {"numpy", "scipy.sparse", "pandas", "pyarrow"}
    | {"__init__", "_text", "_types", "_validation", "gradcheck.process"},
    "engine": {"numpy", "scipy.sparse", "__init__", "_types", "core", "gradcheck.process"},
    "sources": {"numpy", "pandas", "pyarrow", "requests", "_files", "__init__", "_text", "_types"}
    | {"_validation", "data"},
    "training": {
        "_files",
        "numpy",
        "scipy.optimize",
        "tqdm",
        "__init__",
        "_text",
        "_types",
        "core",
        "engine",
    },
    "models": {"numpy", "scipy.sparse", "sklearn", "__init__", "_text", "_types", "_validation"}
    | {"core", "data", "engine.rows", "engine.threads", "training"},
    "baselines": {"numpy", "scipy.sparse", "scipy.linalg", "__init__", "_types", "_validation"}
    | {"core", "data", "engine.engines", "engine.threads", "models", "training.solvers"},
    "serving": {"numpy", "scipy", "onnx", "pyarrow", "sklearn", "__init__", "_types", "_validation"}
    | {
        "_files",
        "_text",
        "baselines",
        "core",
        "data",
        "engine.threads",
        "models",
        "training.trainer",
        "training.units",
    },
    "evaluation": {"numpy", "scipy.special", "__init__", "_text", "_types", "_validation"}
    | {"_files", "core", "data", "models", "training"},
    "reports": {"numpy", "scipy.sparse", "matplotlib", "__init__", "_types"}
    | {"baselines", "core", "data", "evaluation", "gradcheck", "models", "training"},
    "distributed": {"numpy", "scipy.sparse", "cloudpickle", "dask"}
    | {"__init__", "_types", "core", "data", "engine", "models", "training"},
    "lessons": {"numpy", "_files", "_text", "__init__"},
    "cli": {"numpy", "argcomplete", "_files", "_text", "__init__", "baselines", "core", "data"}
    | {"evaluation", "gradcheck", "lessons", "models", "reports", "serving", "sources"}
    | {"training"},
    "__main__": {"cli"},
}

# The six files of the lesson in reading order, then chapters two to six.
READING_ORDER = (
    "activations",
    "kernels",
    "parameters",
    "network",
    "objective",
    "optimizers",
    "lbfgs",
    "hessian",
    "implicit",
    "planes",
    "all_cells",
)

# Slow to load, or needed by few: imported inside the functions that need them.
INSIDE_FUNCTIONS_ONLY = {"pandas", "requests", "matplotlib", "scipy.optimize", "scipy.stats"}
INSIDE_FUNCTIONS_ONLY |= {"sklearn", "threadpoolctl", "onnx", "tqdm", "pyarrow"}
INSIDE_FUNCTIONS_ONLY |= {"cloudpickle", "dask"}


def module_name(path):
    parts = [PACKAGE, *path.relative_to(FOLDER).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(FOLDER.rglob("*.py"))}
FLOORS = {name.split(".")[1] for name in SOURCES if name != PACKAGE} | {"__init__"}


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports_of(tree, package):
    """Yield (imported name, whether inside a function), all but those for type checkers."""

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


def place_of(imported):
    """Return the floor, or floor.room, that an imported name belongs to; None for a stranger."""
    if imported.split(".")[0] != PACKAGE:
        return None
    name = imported
    while name not in SOURCES:
        name = name.rpartition(".")[0]
    if name == PACKAGE:
        public = imported.split(".")[1:2]
        module = autorec_np._MODULE_OF.get(*public) if public else None
        return module or "__init__"
    return name.removeprefix(f"{PACKAGE}.")


def floor_of(module):
    return module.split(".")[1] if module != PACKAGE else "__init__"


def covers(allowed, imported):
    return imported == allowed or imported.startswith(allowed + ".")


def edges(source, module, package=None):
    """Return (name, place or None, inside) of what a module imports from other floors."""
    found = []
    for imported, inside in imports_of(ast.parse(source), package or module.rpartition(".")[0]):
        place = place_of(imported)
        standard = imported.split(".")[0] in sys.stdlib_module_names
        if not standard and (place is None or place.split(".")[0] != floor_of(module)):
            found.append((imported, place, inside))
    return found


def faults(source, module, package=None):
    """Return what the table does not allow in the source of a module, as sentences."""
    floor = floor_of(module)
    if floor not in MAY_IMPORT:
        return [f"{floor} is not in the table of {Path(__file__).name}: decide what it may import"]
    found = []
    for imported, place, inside in edges(source, module, package):
        if not any(covers(name, place or imported) for name in MAY_IMPORT[floor]):
            found.append(f"{module} imports {imported}, which the table does not allow")
        elif not inside and any(covers(name, imported) for name in INSIDE_FUNCTIONS_ONLY):
            found.append(f"{module} imports {imported} outside of a function")
    return found


def package_of(module):
    path = SOURCES[module]
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


def read(module):
    return SOURCES[module].read_text(encoding="utf-8")


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_what_the_table_allows(module):
    assert faults(read(module), module, package_of(module)) == []


def test_the_table_allows_nothing_that_no_import_uses():
    used = {floor: set() for floor in MAY_IMPORT}
    for module in SOURCES:
        for imported, place, _ in edges(read(module), module, package_of(module)):
            used[floor_of(module)] |= {
                name for name in MAY_IMPORT[floor_of(module)] if covers(name, place or imported)
            }
    unused = {floor: MAY_IMPORT[floor] - used[floor] for floor in MAY_IMPORT}
    assert not any(unused.values()), {floor: names for floor, names in unused.items() if names}


def test_imports_go_down():
    floors = list(MAY_IMPORT)
    for number, floor in enumerate(floors):
        own = {name.split(".")[0] for name in MAY_IMPORT[floor]} & set(floors)
        assert own <= set(floors[:number]), f"{floor} imports from above"


def rooms_of(floor):
    return {name.split(".")[2]: name for name in SOURCES if name.startswith(f"{PACKAGE}.{floor}.")}


@pytest.mark.parametrize("floor", sorted(FLOORS))
def test_the_rooms_of_a_floor_make_no_circle(floor):
    graph = {}
    for room, module in rooms_of(floor).items():
        places = {
            place_of(name) or ""
            for name, _ in imports_of(ast.parse(read(module)), f"{PACKAGE}.{floor}")
        }
        graph[room] = {place.split(".")[1] for place in places if place.startswith(f"{floor}.")}
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_the_lesson_can_be_read_in_its_order():
    rooms = rooms_of("core")
    assert set(rooms) == set(READING_ORDER)
    for number, room in enumerate(READING_ORDER):
        for imported, _ in imports_of(ast.parse(read(rooms[room])), f"{PACKAGE}.core"):
            floor, _, other = (place_of(imported) or "").partition(".")
            assert floor != "core" or other in READING_ORDER[:number]


@pytest.mark.parametrize("module", SOURCES)
def test_only_one_module_imports_by_a_name_in_a_string(module):
    own = {PACKAGE, f"{PACKAGE}.gradcheck"}  # the checker can be copied without us
    if module not in own:
        assert "import_module" not in read(module)
        assert "__import__" not in read(module)


PLANTED = {
    "from autorec_np.models.autorec import AutoRec": "imports autorec_np.models.autorec.AutoRec",
    "from autorec_np import AutoRec": "imports autorec_np.AutoRec, which",
    "import autorec_np.models.autorec as a": "imports autorec_np.models.autorec, which",
    "from autorec_np import models": "imports autorec_np.models, which",
    "from ..engine import tiled": "imports autorec_np.engine.tiled, which",
    "from ..data.ratings import Ratings": "imports autorec_np.data.ratings.Ratings, which",
    "def f():\n    from autorec_np.models.autorec import AutoRec": "imports autorec_np.models.",
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
    found = faults(source, f"{PACKAGE}.core.kernels")
    assert len(found) == 1
    assert PLANTED[source] in found[0]


def test_a_planted_import_outside_of_a_function_is_found():
    source = "import pandas as pd\nclass C:\n    import pandas\ndef f():\n    import pandas"
    assert len(faults(source, f"{PACKAGE}.data.ratings")) == 2
    source = "from matplotlib.pyplot import plot"
    assert len(faults(source, f"{PACKAGE}.reports.pictures")) == 1
    assert faults(f"def f():\n    {source}", f"{PACKAGE}.reports.pictures") == []


def test_a_new_floor_is_found():
    (found,) = faults("import math", f"{PACKAGE}.attic.box")
    assert "attic is not in the table" in found


def test_imports_that_are_allowed_pass():
    source = (
        "from __future__ import annotations\nimport math, numpy as np\nfrom scipy import sparse\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from autorec_np import AutoRec\n"
        "    import pandas\nfrom scipy.sparse import csr_array"
    )
    assert faults(source, f"{PACKAGE}.core.kernels") == []


# What is loaded


def loaded_after(statement):
    """Return the names of all modules in a fresh process after a statement."""
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(run.stdout.split())


SLOW = {"pandas", "requests", "matplotlib", "sklearn", "scipy.optimize", "scipy.stats"}


@pytest.mark.parametrize("floor", ["", *sorted(name for name in FLOORS if rooms_of(name))])
def test_importing_a_package_loads_next_to_nothing(floor):
    name = f"{PACKAGE}.{floor}" if floor else PACKAGE
    loaded = loaded_after(f"import {name}")
    assert not loaded & {"numpy", "scipy", *SLOW}
    ours = {PACKAGE, name}
    assert {other for other in loaded if other.startswith(PACKAGE)} <= ours


def test_importing_the_estimator_loads_numpy_and_a_part_of_scipy_only():
    loaded = loaded_after(f"from {PACKAGE} import AutoRec")
    assert {"numpy", "scipy.sparse", f"{PACKAGE}.models.autorec"} <= loaded
    assert not loaded & SLOW


# Public names


PACKAGES = {"": autorec_np} | {
    floor: __import__(f"{PACKAGE}.{floor}", fromlist=["_MODULE_OF"])
    for floor in sorted(FLOORS)
    if rooms_of(floor) and floor != "cli"  # which hands nothing on
}
PUBLIC = [(floor, name) for floor, package in PACKAGES.items() for name in package._MODULE_OF]


@pytest.mark.parametrize(("floor", "name"), PUBLIC, ids=".".join)
def test_a_public_name_resolves(floor, name):
    package = PACKAGES[floor]
    value = getattr(package, name)
    assert name in dir(package)
    if hasattr(value, "__name__"):
        assert value.__name__ == name
        assert value.__module__.startswith(f"{package.__name__}.{package._MODULE_OF[name]}")


@pytest.mark.parametrize("floor", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(floor):
    package = PACKAGES[floor]
    with pytest.raises(
        AttributeError, match=f"module '{package.__name__}' has no attribute 'AutoReck'"
    ):
        _ = package.AutoReck


@pytest.mark.parametrize("floor", PACKAGES)
def test_type_checkers_see_the_same_public_names(floor):
    package = PACKAGES[floor]
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    (block,) = filter(is_type_checking, tree.body)
    seen = {
        alias.asname: resolve_name("." * node.level + node.module, package.__name__)
        if node.level
        else node.module
        for node in block.body
        for alias in node.names
        if alias.asname == alias.name
    }
    prefix = f"{package.__name__}."
    assert {
        name: module.removeprefix(prefix) for name, module in seen.items()
    } == package._MODULE_OF
    assert set(package.__all__) - {"__version__"} == set(seen)


@pytest.mark.parametrize("floor", [floor for floor in PACKAGES if floor])
def test_no_room_shadows_a_public_name_of_its_folder(floor):
    assert not set(rooms_of(floor)) & set(PACKAGES[floor]._MODULE_OF)
