"""Notebooks are the pages: their code runs, and prints what they show."""

from __future__ import annotations

import sys

import markdown_pages as pages
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


def notebook_of(page):
    return notebooks.notebook(page, ROOT, set(RUNNABLE))


def source(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_a_notebook_holds_the_code_and_the_outputs_of_its_page(page):
    """So what is shown on a page is what test_docs.py runs and compares, from the notebook."""
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


def test_the_notebooks_of_the_site_are_those_that_are_run(site, tmp_path):
    """test_docs.py writes them in the same way, and runs each from its file."""
    names = {f"{name}.ipynb" for name in notebooks.write_all(ROOT / "docs", tmp_path)}
    assert len(names) == len(RUNNABLE) > 20
    offered = {path.relative_to(site / "notebooks") for path in site.glob("notebooks/**/*.ipynb")}
    assert {path.as_posix() for path in offered} == names
    for name in names:
        assert read(site / "notebooks" / name) == read(tmp_path / name)
    assert set(RUNNABLE) <= set(pages.PAGES)


def test_every_page_with_code_leads_to_its_notebook(site):
    for page in RUNNABLE:
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        up = "../" * (name.count("/") + 1)
        assert (site / "notebooks" / f"{name}.ipynb").is_file()
        assert f'href="{up}notebooks/{name}.ipynb" download' in read(site / "docs" / f"{name}.html")
