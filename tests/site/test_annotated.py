"""The annotated code: every citation has its equation, and each leads to the other."""

from __future__ import annotations

import re
import sys
from html import unescape

import pytest
from markdown_pages import ROOT, read

sys.path.insert(0, str(ROOT / "docs" / "site"))
import annotated

sys.path.pop(0)

DERIVATION = read(ROOT / "docs" / "derivation.md")
PACKAGE = ROOT / "autorec_np"
KNOWN = annotated.equations(DERIVATION)
PAGES = annotated.pages(PACKAGE, KNOWN)


def test_the_derivation_has_every_number():
    assert sorted(KNOWN) == list(range(1, max(KNOWN) + 1))
    assert all(equation.tex for equation in KNOWN.values())
    assert KNOWN[10].heading == "(10), (11) Encoder weight and bias"
    assert KNOWN[4].tex.startswith("d^Y_{rc} = ")


def test_every_equation_of_the_core_stands_beside_its_line():
    assert [page.module for page in PAGES[:2]] == ["core/objective", "core/network"]
    core = set().union(*(page.cited() for page in PAGES if page.module.startswith("core/")))
    assert set(range(1, 16)) | set(range(20, 30)) | set(range(35, 40)) <= core


def test_every_citation_of_the_package_is_shown():
    """Counted in another way: by the text of the files alone."""
    for path in PACKAGE.glob("*/[!_]*.py"):
        if path.parent.name == "lessons":  # what they cite stands in the texts of the exercises
            continue
        cited = {
            int(number)
            for line in read(path).splitlines()
            for number in re.findall(r"(?<!\w)\((\d+)\)", line.partition("  # ")[2])
        }
        name = path.relative_to(PACKAGE).with_suffix("").as_posix()
        shown = set().union(*(page.cited() for page in PAGES if page.module == name))
        assert cited - shown == set(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.module)
def test_the_code_is_that_of_the_file(page):
    lines = read(PACKAGE / f"{page.module}.py").splitlines()
    for part in page.parts:
        for passage in part.passages:
            code = passage.code.removesuffix(' [...]"""').splitlines()
            assert lines[passage.first - 1 : passage.first - 1 + len(code)] == code


SOURCE = '''"""A module."""


def step(a, b):
    """Return the sum, (1).

    Parameters
    ----------
    a, b : float
    """
    c = function(
        a,  # (2)
        b,
    )
    return c  # (3), (1)
'''


def test_a_statement_is_whole_and_the_rest_of_a_docstring_is_left_out():
    known = {number: annotated.Equation(number, "x", "") for number in (1, 2, 3)}
    (part,) = annotated.annotate(SOURCE, known, "m")
    assert part.name == "step"
    assert [(passage.first, passage.cited) for passage in part.passages] == [
        (4, (1,)),
        (11, (2,)),
        (15, (3, 1)),
    ]
    assert part.passages[0].code.endswith('"""Return the sum, (1). [...]"""')
    assert part.passages[1].code.count("\n") == 3


def test_a_number_that_the_derivation_lacks_is_an_error():
    known = {1: annotated.Equation(1, "x", "")}
    message = r"autorec_np/m\.py, line 12, cites \[2\], and docs/derivation\.md has no such"
    with pytest.raises(ValueError, match=message):
        annotated.annotate(SOURCE, known, "m")


def test_equations_and_lines_link_to_each_other(site):
    derivation = unescape(read(site / "docs" / "derivation.html"))
    for page in PAGES:
        text = read(site / f"{page.document}.html")
        for number in page.cited():
            assert f'id="equation-{number}"' in text
            assert f'href="../../docs/derivation.html#equation-{number}">({number})</a>' in text
            assert f'href="../{page.document}.html#equation-{number}"' in derivation
    for number in KNOWN:
        assert derivation.count(f'id="equation-{number}"') == 1
