"""What the tests of the explorable share: Node, the golden values, a way to run a script."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import explorable_states
import pytest
from markdown_pages import ROOT


@pytest.fixture(scope="session")
def node():
    found = shutil.which("node")
    if found is None:
        pytest.skip("the explorable is tested with Node, which is not installed (nodejs)")
    return found


@pytest.fixture(scope="session")
def golden(tmp_path_factory):
    """What the package says, in a file."""
    path = tmp_path_factory.mktemp("explorable") / "golden.json"
    path.write_text(json.dumps(explorable_states.golden()), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def run_tests(node):
    """Run a test file of Node's own runner, and return its tests: name -> passed."""

    def run(file, **environment):
        path = ROOT / "tests" / "explorable" / file
        process = subprocess.run(
            [node, "--test", "--test-reporter=tap", path],
            capture_output=True,
            text=True,
            timeout=900,
            env={**os.environ, **environment},
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return [line for line in process.stdout.splitlines() if line.lstrip().startswith("ok ")]

    return run


@pytest.fixture(scope="session")
def chromium():
    """Chromium, where it and the packages of docs/site/package.json are installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("the explorable is looked at in Chromium, which is not installed (chromium)")
    modules = ROOT / "docs" / "site" / "node_modules"
    for package in ("puppeteer-core", "axe-core"):
        if not (modules / package).is_dir():
            pytest.skip(f"{package} is not installed (npm ci in docs/site)")
    return found
