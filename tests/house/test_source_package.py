"""The source package holds what its tests and pages need, and the wheel the package alone."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter

import pytest
from markdown_pages import ROOT

pytest.importorskip("setuptools", reason="setuptools builds the packages")
pytest.importorskip("zopfli", reason="zopflipy packs the wheel")
pytest.importorskip("python_minifier", reason="python-minifier packs the modules of the wheel")

# what building leaves behind; the rest of what is no part of the repository, git knows
IGNORED = shutil.ignore_patterns(
    *("build", "dist", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info", "*.pyc")
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the repository, in which a build may leave its files."""
    copy = tmp_path_factory.mktemp("packages") / "tree"
    if not (ROOT / ".git").exists():  # the tests run from a source package
        return shutil.copytree(ROOT, copy, ignore=IGNORED)
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


def build(tree, kind):
    program = f"from build_backend import {kind}; print('built', {kind}('built'))"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return tree / "built" / run.stdout.split()[-1]


@pytest.fixture(scope="module")
def in_the_source_package(tree):
    """The files of the source package, without the folder that all are in."""
    with tarfile.open(build(tree, "build_sdist")) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


def test_the_source_package_holds_every_file_of_the_repository(tree, in_the_source_package):
    here = {
        path.relative_to(tree).as_posix()
        for path in tree.rglob("*")
        if path.is_file() and "built" not in path.parts and ".egg-info" not in str(path)
    }
    assert here - in_the_source_package == set()
    assert {"tests/support/reference.py", "tests/fixtures/format_1.json", "CHANGELOG.md"} <= here
    assert "autorec_np/lessons/backward.py" in here


def test_the_source_package_holds_nothing_that_was_left_behind(in_the_source_package):
    suffixes = {name.rpartition(".")[2] for name in in_the_source_package}
    assert suffixes & {"pyc", "pyo", "so", "tmp"} == set()


@pytest.fixture(scope="module")
def wheel(tree):
    pytest.importorskip("wheel", reason="setuptools below 70 needs wheel to build one")
    return build(tree, "build_wheel")


def test_the_wheel_is_small_and_holds_the_package_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    folders = {name.partition("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == {"autorec_np"}
    assert wheel.stat().st_size <= 300_000
    assert "autorec_np/cli/commands.py" in names
    assert not any("lessons" in name for name in names)  # it would be full with them


def documented(source):
    """Return the statements of a module without types and imports, and docstrings by owner."""
    tree, found = ast.parse(source), {}
    for name, node in [("the module", tree), *named(tree)]:
        if ast.get_docstring(node):
            found[name] = ast.get_docstring(node)
            node.body = node.body[1:]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(getattr(node, "body", None), list):
            node.body = [one for one in node.body if not isinstance(one, NAMES_ALONE)]
    return ast.dump(tree), found


NAMES_ALONE = (ast.Import, ast.ImportFrom, ast.Pass)


def named(tree, prefix=""):
    """Yield functions and classes with their dotted names, numbered where there are several."""
    count = Counter()
    for node in ast.iter_child_nodes(tree):
        inner = prefix
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            count[node.name] += 1
            inner = f"{prefix}{node.name}#{count[node.name]}."
            yield inner[:-1], node
        yield from named(node, inner)


def typed(source):
    """Return the types of each function, and whether `register` reads them."""
    return {
        name: (
            [one.annotation and ast.unparse(one.annotation) for one in node.args.args],
            node.returns and ast.unparse(node.returns),
            any("register" in ast.unparse(decorator) for decorator in node.decorator_list),
        )
        for name, node in named(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }


def is_for_users(name):
    """Return whether a dotted name is that of a public name, or of one of its public methods."""
    parts = [part.partition("#")[0] for part in name.split(".")]
    is_method = len(parts) == 2 and parts[0][0].isupper() and not re.match("_(?!_)", parts[1])
    return parts[0] in PUBLIC and (len(parts) == 1 or is_method)


def test_the_wheel_has_the_statements_lessons_and_public_docstrings_of_the_source(tree, wheel):
    backend = runpy.run_path(str(tree / "build_backend.py"))
    n_left_out = n_untyped = 0
    with zipfile.ZipFile(wheel) as archive:
        modules = {name: archive.read(name) for name in archive.namelist() if name[-3:] == ".py"}
        public = backend["names_for_users"]({name: (tree / name).read_bytes() for name in modules})
        for name, packed in modules.items():
            source = (tree / name).read_bytes()
            if name.startswith("autorec_np/core/"):
                assert packed == source
                continue
            bare = backend["bare"](source.decode(), public)
            assert packed == backend["packed"](source.decode(), public)
            (statements, docstrings), (kept_statements, kept) = map(documented, (source, bare))
            assert kept_statements == statements
            assert kept.items() <= docstrings.items()
            assert kept.get("the module") == docstrings.get("the module")
            left_out = docstrings.keys() - kept.keys()
            before, after = typed(source), typed(bare)
            changed = {one for one in before if before[one] != after[one]}
            for one in {*left_out, *changed}:
                assert not is_for_users(one) or (one.endswith("__#1") and one in left_out), one
            assert not any(registered for *_, registered in map(before.get, changed)), name
            n_left_out += len(left_out)
            n_untyped += len(changed)
    assert n_left_out > 100
    assert n_untyped > 100


PUBLIC = {
    name
    for path in ROOT.glob("autorec_np/**/__init__.py")
    if path.parent.name not in ("core", "engine", "lessons", "training")
    for name in runpy.run_path(str(path)).get("_MODULE_OF", ())
}

WRITTEN = '''"""A module."""

X = 1  # a comment


def internal(a: int, *b: str, c: dict[str, int] | None = None) -> int:
    """Return 2.

    It is 2.
    """
    return X + 1  # here too


@public.register
def _(a: int) -> str:
    """Return "3"."""
    return "# no comment"


def public(
    a: int,
    b: str = """two
    lines""",
) -> int:
    """Return 3.

        It is 3.
    """
    if a:

        return b
    return 3


class Internal:
    """A class."""

    def method(self) -> int:
        """Return 4."""
        return 4

    def __init__(self, a: int) -> None:
        self.a = a

    def _method(self, one: "Internal") -> int:
        """Return 5."""
        return 5


def nothing():
    """It has no other statement."""
'''
LEFT = """'A module.'
X=1
def internal(a,*A,c=None):return X+1
@public.register
def _(a:int)->str:return'# no comment'
def public(a:int,b:str='two\\n    lines')->int:
	'Return 3.\\n\\nIt is 3.'
	if a:return b
	return 3
class Internal:
	def method(A):return 4
	def __init__(A,a):A.a=a
	def _method(A,one):return 5
def nothing():'It has no other statement.'
"""


def test_a_module_is_packed_without_comments_internal_docstrings_types_and_spaces():
    packed = runpy.run_path(str(ROOT / "build_backend.py"))["packed"]
    assert packed(WRITTEN, {"public"}).decode() == LEFT.rstrip()
    assert packed(LEFT, {"public"}).decode() == LEFT.rstrip()


FROM_THE_WHEEL = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import autorec_np
assert autorec_np.__file__.startswith(sys.argv[1])
for module in pkgutil.walk_packages(autorec_np.__path__, "autorec_np."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from autorec_np.cli import main
sys.exit(main(["demo"]))
"""


def test_the_packed_modules_work(wheel):
    run = subprocess.run(
        [sys.executable, "-c", FROM_THE_WHEEL, wheel], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "Next: autorec-np train" in run.stdout
