"""The snippets of the page fail as it says, where the packages are installed in those versions."""

import contextlib
import importlib.metadata
import io
import re
import textwrap
import warnings
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "gradient_checking.md"


def snippets():
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("## Found in released packages") :]
    section = section[: section.index("\n## ", 1)]
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.MULTILINE)
    return [textwrap.dedent(block).strip() for block in blocks]


def name(code):
    package, version = code.splitlines()[0].removeprefix("# ").split()
    return f"{package} {version}"


def test_every_package_is_named_with_its_version():
    packages = {name(code).split()[0] for code in snippets()}
    wanted = {"scikit-learn", "statsmodels", "scipy", "scikit-optimize", "metric-learn"}
    assert packages == wanted


@pytest.mark.parametrize("code", snippets(), ids=name)
def test_the_gradient_of_the_package_fails(code):
    package, version = name(code).split()
    try:
        installed = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        installed = "none"
    if installed != version:
        pytest.skip(f"needs {package} {version}, installed is {installed}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, str(PAGE), "exec"), {})
    tables = printed.getvalue().count("verdict")
    assert tables
    assert len(re.findall(r"^[\w ]+? +fail ", printed.getvalue(), re.MULTILINE)) >= tables
