"""Notebooks are the pages: their code runs, and prints what they show."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import markdown_pages as pages
import numpy as np
import pytest
from markdown_pages import ROOT, name_of, read

sys.path.insert(0, str(ROOT / "docs" / "site"))
import notebooks

sys.path.pop(0)

RUNNABLE = [
    page
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if "site" not in page.relative_to(ROOT).parts and pages.snippets(read(page))
]


PRINTED_HERE = int(np.__version__.split(".")[0]) >= 2  # as in test_docs.py


def notebook_of(page):
    return notebooks.notebook(page, ROOT, set(RUNNABLE))


def source(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_a_notebook_holds_the_code_and_the_outputs_of_its_page(page):
    """So what test_docs.py runs and compares is what the notebook holds."""
    cells = [cell for cell in notebook_of(page)["cells"] if cell["cell_type"] == "code"]
    expected = [
        (block.code.rstrip("\n"), shown.code if shown else None)
        for block, shown in pages.snippets(read(page))
    ]
    found = [
        (source(cell), "".join(cell["outputs"][0]["text"]) if cell["outputs"] else None)
        for cell in cells
    ]
    assert found == expected


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_a_notebook_needs_nothing_beside_it(page):
    document = notebook_of(page)
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in document["cells"]}) == len(document["cells"])
    for cell in document["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for link in pages.links(source(cell)):
            if link.startswith("attachment:"):
                assert link.partition(":")[2] in cell["attachments"]
            elif not link.startswith("http"):
                target = (page.parent / link).with_suffix(".md").resolve()
                assert link.endswith(".ipynb")
                assert target in RUNNABLE


@pytest.mark.parametrize(("name", "n_shown"), [("derivation", 0), ("gradient_checking", 2)])
def test_a_downloaded_notebook_runs_and_prints_what_it_shows(
    name, n_shown, site, tmp_path, monkeypatch
):
    """The other pages hold the same code as their notebooks, and run in test_docs.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOREC_NP_DATA", str(tmp_path))
    document = json.loads(read(site / "notebooks" / f"{name}.ipynb"))
    namespace, n_outputs = {"__name__": "__main__"}, 0
    for cell in document["cells"]:
        if cell["cell_type"] != "code":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source(cell), cell["id"], "exec"), namespace)
        if cell["outputs"]:
            n_outputs += 1
            shown = "".join(cell["outputs"][0]["text"])
            assert not PRINTED_HERE or pages.difference(shown, printed.getvalue()) is None
    assert n_outputs >= n_shown


def test_every_page_with_code_leads_to_its_notebook(site):
    for page in RUNNABLE:
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        up = "../" * (name.count("/") + 1)
        assert (site / "notebooks" / f"{name}.ipynb").is_file()
        assert f'href="{up}notebooks/{name}.ipynb" download' in read(site / "docs" / f"{name}.html")
