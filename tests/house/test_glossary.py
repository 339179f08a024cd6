"""The glossary is regular, has every symbol of the notation, and is where the pages lead."""

from __future__ import annotations

import re
import sys

import pytest
from markdown_pages import PAGES, ROOT, anchors, links, name_of, prose, read

sys.path.insert(0, str(ROOT / "docs" / "site"))
import symbols as of_the_site

sys.path.pop(0)

GLOSSARY = ROOT / "docs" / "glossary.md"
LEADING = [ROOT / "docs" / f"{name}.md" for name in ("tour", "derivation", "notation")]
LESSONS = sorted((ROOT / "docs" / "lessons").glob("[01]*.md"))
WORDS = {"mathcal", "mathrm", "T"}  # of formulas, and "transposed": no symbols
LETTER = re.compile(r"(?<=\\)[A-Za-z]+|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")
LINK_TEXT = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(")


def entries(text):
    """Return {heading: its paragraphs} of the glossary's third level."""
    parts = re.split(r"^#+ ", text, flags=re.MULTILINE)
    levels = re.findall(r"^#+(?= )", text, flags=re.MULTILINE)
    found = {}
    for level, part in zip(levels, parts[1:], strict=True):
        heading, _, body = part.partition("\n")
        if level == "###":
            found[heading] = [paragraph for paragraph in body.strip().split("\n\n") if paragraph]
    return found


def symbols(formula):
    """Return the letters of a formula: V, or theta of ``\\theta``."""
    return set(LETTER.findall(formula)) - WORDS


def first_cells(text):
    """Return the first cells of the table of symbols."""
    table = text.partition("\n| Paper |")[2].partition("\n\n")[0]
    return [row.partition(" | ")[0].removeprefix("| ") for row in table.splitlines()[2:]]


def irregular(text):
    """Return the entries that a reader of the short texts could not use."""
    found = []
    for heading, paragraphs in entries(text).items():
        first = paragraphs[0] if paragraphs else ""
        if not first or first.startswith(("*In the code:*", "*Where:*", "|", "* ", "```")):
            found.append(f"{heading}: begins with no text")
        elif len(first.split()) > 75:
            found.append(f"{heading}: {len(first.split())} words in the first paragraph")
        elif len(paragraphs) > 2:
            found.append(f"{heading}: {len(paragraphs)} paragraphs")
    return found


def test_entries_are_a_heading_a_short_text_and_where_to_find_it():
    assert len(entries(read(GLOSSARY))) >= 80
    assert irregular(read(GLOSSARY)) == []


@pytest.mark.parametrize(
    "entry",
    [
        "### q: r\n",
        "### q: r\n\n*Where:* (1).\n",
        "### q: r\n\n" + "so " * 76,
        "### q\n\na\n\nb\n\nc",
    ],
)
def test_an_irregular_entry_is_found(entry):
    assert irregular("### a\n\nIt is so.\n") == []
    assert len(irregular(entry)) == 1


def test_every_entry_has_an_anchor_of_its_own():
    headings = re.findall(r"^#+ .*", read(GLOSSARY), re.MULTILINE)
    assert len(anchors(read(GLOSSARY))) == len(headings)


def test_every_anchor_that_is_linked_exists_and_every_symbol_is_linked():
    linked = {
        link.partition("#")[2]
        for page in LEADING
        for link in links(read(page))
        if link.startswith("glossary.md#")
    }
    assert linked - anchors(read(GLOSSARY)) == set()
    part = read(GLOSSARY).partition("\n## Symbols\n")[2].partition("\n## Words\n")[0]
    assert anchors(part) - linked - {"symbols-of-the-other-models"} == set()


def test_every_symbol_of_the_notation_is_in_the_glossary():
    part = read(GLOSSARY).partition("\n## Symbols\n")[2].partition("\n## Words\n")[0]
    known = {
        name
        for heading in entries(part)
        for name in re.findall(r"[A-Za-z]+", heading.split(":")[0])
    }
    known |= {name for heading in entries(part) for name in re.findall(r"[A-Za-z](?=_)", heading)}
    cells = first_cells(read(LEADING[-1]))
    assert len(cells) >= 30
    for cell in cells:
        assert "](glossary.md#" in cell, f"{cell} leads to no entry of the glossary"
        missing = {
            one for found in re.findall(r"\$(.+?)\$", cell) for one in symbols(found)
        } - known
        assert not missing, f"{cell}: {missing} has no entry in the glossary"


def test_symbols_of_a_formula():
    assert symbols(r"g(V r + \mu)") == {"g", "V", "r", "mu"}
    assert symbols(r"\mathcal O") == {"O"}
    assert symbols("N^T") == {"N"}
    assert symbols("r^{(i)}") == {"r", "i"}
    assert symbols("p_u") == {"p", "u"}


def with_formula(text):
    """Return the texts of links that hold a formula: GitHub shows its dollars."""
    return [found for found in LINK_TEXT.findall(prose(text)) if "$" in found]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_link_is_on_a_formula(page):
    assert with_formula(read(page)) == []


def test_a_link_on_a_formula_is_found():
    page = "[$V$](a.md), [*V*](a.md) $x$ and `[$y$](b)` [a [$b$](c)](d)\n"
    assert with_formula(page) == ["$V$", "a [$b$](c)"]


# What opens from a formula of the site


def test_the_symbols_of_the_site_lead_to_entries():
    known = of_the_site.symbols(read(GLOSSARY))
    assert {anchor for anchor, _ in known.values()} <= anchors(read(GLOSSARY))
    shown = {letter: anchor for letter, (anchor, _) in known.items()}
    assert shown["λ"] == "lambda-the-factor-of-the-penalty"
    assert shown["Λ"] == "lambda-a-matrix-of-precisions-or-penalties"
    assert shown["z"] == shown["Z"] == "z-activity-of-the-hidden-units"
    assert shown["∇"] == "nabla-the-gradient"
    assert (shown["E"], shown["𝒪"]) == ("e-residuals", "o-the-observed-set")
    assert len(shown) >= 45


@pytest.mark.parametrize("page", LESSONS, ids=name_of)
def test_every_symbol_of_a_lesson_has_an_entry(page):
    names = {"theta": "θ", "mu": "μ", "lambda": "λ", "nabla": "∇", "eta": "η", "tau": "τ", "O": "𝒪"}
    formulas = re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", prose(read(page)), re.DOTALL)
    used = {names.get(one, one) for both in formulas for one in symbols("".join(both))}
    known = {*of_the_site.symbols(read(GLOSSARY)), "l"}  # of l2 in Keras
    assert {one for one in used if len(one) == 1} - known == set()


def test_letters_with_another_meaning_are_those_of_the_page():
    """In lesson 5 h is a step, and not the network."""
    for name, letters in of_the_site.OWN.items():
        (page,) = [one for one in PAGES if one.stem == name and "ko" not in one.parts]
        used = set("".join(re.findall(r"\$\$?(.+?)\$", prose(read(page)), re.DOTALL)))
        assert set(letters) - used == set() or name == "lbfgs"
