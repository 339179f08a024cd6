"""The page for those who come from other libraries: whatever it says is typed here, runs."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import autorec_np
from autorec_np._text import NAMES_ELSEWHERE

PAGE = Path(__file__).parents[2] / "docs" / "coming_from.md"
TEXT = PAGE.read_text(encoding="utf-8")
LIBRARIES = ["Surprise", "implicit", "LensKit", "Cornac", "scikit-learn", "Keras"]
PART = re.compile(r"^```python\n(?P<code>(?s:.*?))^```$|^\|.*\| `(?P<cell>[^|`]*)` \|$", re.M)
CELLS = re.compile(r"^\| (.*) \| (.*) \|$", re.M)


def rows() -> dict[str, list[tuple[str, str]]]:
    """Return the rows of each library's table: there, here."""
    sections = re.split(r"^## (.*)\n", TEXT, flags=re.M)
    found = {}
    for title, section in zip(sections[1::2], sections[2::2], strict=True):
        cells = [pair for pair in CELLS.findall(section) if not pair[0].startswith("-")]
        if cells:
            found[title] = cells[1:]  # without the header
    return found


def test_every_library_has_its_table():
    assert list(rows()) == LIBRARIES
    assert all(len(table) >= 10 for table in rows().values())
    for table in rows().values():
        assert all(re.fullmatch(r"`[^`]*`", here) for _, here in table)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_everything_on_the_right_runs_in_order(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    monkeypatch.chdir(tmp_path)
    stand_in = SimpleNamespace(ratings=autorec_np.make_ratings(30, 20, 200, random_state=0))
    monkeypatch.setattr(autorec_np, "fetch_movielens", lambda name: stand_in)
    names, n_cells = {"__name__": "__main__"}, 0
    for part in PART.finditer(TEXT):
        line = TEXT.count("\n", 0, part.start())
        code = part["code"] or part["cell"]
        n_cells += part["cell"] is not None
        exec(compile("\n" * line + code, str(PAGE), "exec"), names)
    assert n_cells == sum(map(len, rows().values()))
    assert "here it is hidden_layer_sizes" in capsys.readouterr().out


def test_the_page_shows_the_usual_names():
    usual = {"n_factors", "n_epochs", "factors", "iterations", "N", "items", "filter_items"}
    usual |= {"filter_already_liked_items", "k", "epochs", "seed", "embedding_size", "patience"}
    known = {name for names in NAMES_ELSEWHERE.values() for name in names}
    assert usual <= known
    left = " ".join(there for table in rows().values() for there, _ in table)
    assert [name for name in usual if not re.search(rf"\b{name}\b", left)] == []
