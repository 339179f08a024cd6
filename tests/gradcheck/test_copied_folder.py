"""The folder works when it is copied into another project under another name."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import autorec_np.gradcheck

FOLDER = Path(autorec_np.gradcheck.__file__).parent
DOCS = Path(__file__).parents[2] / "docs" / "gradient_checking.md"
HIDE = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden}:
            raise ImportError(f"{{name}} is hidden")

sys.meta_path.insert(0, Hide())
sys.path.insert(0, {place!r})
"""


def first_example():
    text = DOCS.read_text(encoding="utf-8")
    found = re.search(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    assert "logistic_loss" in found[1]
    return found[1]


@pytest.fixture
def run(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "borrowed", ignore=shutil.ignore_patterns("__pycache__"))
    hidden = {"autorec_np", "scipy", "matplotlib", "pandas", "sklearn", "threadpoolctl"}

    def run(code):
        code = HIDE.format(hidden=hidden, place=str(tmp_path)) + code
        return subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


def test_the_hidden_package_cannot_be_imported(run):
    assert "autorec_np is hidden" in run("import autorec_np").stderr


def test_the_example_of_the_docs_runs_in_a_copy(run):
    code = first_example()
    assert "from autorec_np import check_gradient" in code
    done = run(code.replace("from autorec_np import", "from borrowed import"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"weight +fail +weight\[1\]", done.stdout)
    assert re.search(r"bias +pass", done.stdout)


def test_every_public_name_is_at_hand_in_a_copy(run):
    code = """
import borrowed
assert "borrowed.check" not in sys.modules  # nothing but on first use
for name in borrowed.__all__:
    assert name in dir(borrowed)
    assert getattr(borrowed, name).__module__.startswith("borrowed.")
try:
    borrowed.nothing
except AttributeError as error:
    print(error)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "module 'borrowed' has no attribute 'nothing'"


def test_the_folder_imports_numpy_and_itself_alone():
    names = set()
    for room in FOLDER.glob("*.py"):
        text = room.read_text(encoding="utf-8")
        names |= set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert names - sys.stdlib_module_names == {"numpy"}
