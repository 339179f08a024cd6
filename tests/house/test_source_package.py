"""The source package holds what its tests and pages need, and the wheel the package alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from markdown_pages import ROOT

pytest.importorskip("setuptools", reason="setuptools builds the packages")
pytest.importorskip("zopfli", reason="zopflipy packs the wheel")

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


def test_the_wheel_is_small_and_holds_the_package_alone(tree):
    pytest.importorskip("wheel", reason="setuptools below 70 needs wheel to build one")
    path = build(tree, "build_wheel")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    folders = {name.partition("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == {"autorec_np"}
    assert path.stat().st_size <= 300_000
    assert "autorec_np/cli/commands.py" in names
    assert not any("lessons" in name for name in names)  # it would be full with them
