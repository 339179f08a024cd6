"""The site is built once for all tests; what a test needs and is not there makes it skip."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_pages import ROOT

HERE = ROOT / "docs" / "site"
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
NEEDED = ("sphinx", "myst_parser", "furo", "sphinx_copybutton", "sphinx_design", "fontTools")

sys.path.insert(0, str(HERE))


def lacking() -> str | None:
    """Say what a build of the site needs and is not there."""
    if absent := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        return f"needs {', '.join(absent)}: pip install -e '.[docs]' (Python 3.11 or later)"
    if shutil.which("node") is None:
        return "needs Node 18 or later"
    if not (HERE / "node_modules" / "temml").is_dir():
        return "needs temml: (cd docs/site && npm ci)"
    return None


@pytest.fixture(scope="session")
def can_build():
    """Skip where a site cannot be built."""
    if what := lacking():
        pytest.skip(what)


@pytest.fixture(scope="session")
def site(can_build, tmp_path_factory) -> Path:
    """The folder of the built site; all processes of a test run share it."""
    fcntl = pytest.importorskip("fcntl")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    target, said = folder / "site" / "html", folder / "site.txt"
    with (folder / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            command = [sys.executable, str(HERE / "build.py"), "--to", str(target)]
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=600, check=False, cwd=folder
            )
            text = f"status {ended.returncode}\n{ended.stdout}{ended.stderr}"
            said.write_text(text, encoding="utf-8")
    text = said.read_text(encoding="utf-8")
    assert text.startswith("status 0\n"), text
    return target


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium, with the packages that drive it."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium (on Debian, apt install chromium)")
    if not (HERE / "node_modules" / "puppeteer-core").is_dir():
        pytest.skip("needs puppeteer-core: (cd docs/site && npm ci)")
    return CHROMIUM
