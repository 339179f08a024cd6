"""The page itself, in headless Chromium (the tests themselves are in page.test.mjs)."""

from __future__ import annotations


def test_the_page_in_chromium(run_tests, golden, chromium):
    assert len(run_tests("page.test.mjs", GOLDEN=str(golden), CHROMIUM=chromium)) == 19
