"""The numbers of docs/explorable are the package's (the tests themselves are in model.test.js)."""

from __future__ import annotations

import re

import explorable_states
import numpy as np
from markdown_pages import ROOT

PAGE = ROOT / "docs" / "explorable"


def test_the_page_is_small_and_asks_for_nothing():
    files = [path for path in PAGE.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 60_000
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "http" not in text.replace("http://www.w3.org/", "")  # names, not addresses
        assert not any(word in text for word in ("fetch(", "XMLHttpRequest", "@import", "@font"))


def test_its_links_lead_somewhere_in_a_copy_of_the_repository():
    links = re.findall(r'href="(\.\./[^"]*)"', (PAGE / "index.html").read_text(encoding="utf-8"))
    assert len(links) == 2
    assert all((PAGE / link).is_file() for link in links)


def test_the_example_is_that_of_the_tour():
    tour = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    names = {}
    for line in tour.splitlines():
        if line.startswith(("X = ", "V = ", "mu = ", "W = ", "b = ")):
            exec(line, {"np": np}, names)
    example = explorable_states.EXAMPLE
    for name in ("V", "mu", "W", "b"):
        assert np.array_equal(names[name], example[name])
    assert [[x or 0 for x in row] for row in example["X"]] == names["X"].tolist()


def test_the_numbers_are_those_of_the_package(run_tests, golden):
    assert len(run_tests("model.test.js", GOLDEN=str(golden))) == 11
