"""Each Korean page leads to its English one and back, and shows the same numbers."""

from __future__ import annotations

import re

import pytest
from markdown_pages import ROOT, blocks, links, name_of, read

KOREAN = ROOT / "docs" / "ko"
KOREAN_PAGES = sorted(KOREAN.rglob("*.md"))
DISPLAYED = re.compile(r"^\$\$.*?\$\$$", re.MULTILINE | re.DOTALL)


def english(page):
    """Return the English page of a Korean one."""
    rest = page.relative_to(KOREAN)
    return ROOT / "README.md" if rest.name == "index.md" else ROOT / "docs" / rest


def targets(page):
    """Return the files that a page leads to."""
    paths = (link.partition("#")[0] for link in links(read(page)) if "://" not in link)
    return {(page.parent / path).resolve() for path in paths if path}


def shown(text):
    """Return what must not differ in another language: formulas, commands, code and outputs."""
    code = [re.sub(r"\s*#.*", "", block.code) for block in blocks(text)]
    return DISPLAYED.findall(text), code


@pytest.mark.parametrize("page", KOREAN_PAGES, ids=name_of)
def test_languages_lead_to_each_other(page):
    assert english(page) in targets(page)
    assert page in targets(english(page))


@pytest.mark.parametrize("page", KOREAN_PAGES, ids=name_of)
def test_a_korean_page_leads_to_the_korean_of_the_page_to_touch(page):
    to_touch = [link for link in links(read(page)) if "explorable" in link]
    assert to_touch
    assert all("lang=ko" in link for link in to_touch)


@pytest.mark.parametrize("page", sorted((KOREAN / "lessons").glob("*.md")), ids=name_of)
def test_a_lesson_shows_the_same_formulas_code_and_numbers(page):
    assert shown(read(page)) == shown(read(english(page)))


def test_another_number_is_found():
    page = "$$ a = 1 $$\n\n```python\nx = 1  # eins\n```\n\n```text\n1\n```\n"
    assert shown(page) == shown(page.replace("eins", "one"))
    for number in ("a = 1", "x = 1", "text\n1"):
        assert shown(page) != shown(page.replace(number, f"{number}0"))
