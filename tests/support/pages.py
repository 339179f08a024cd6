"""A page of HTML taken apart, and texts that a page must not take for its own."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "input", "hr"}
NASTY = [
    "<script>alert(1)</script>",
    "\"><img src='x' onerror=alert(2)>",
    "$\\frac{1$ &amp; fill: #0072b2",
    "千と千尋\ud800 \0\n two lines",
    "<!-- --> ]]> </svg></style>",
]


class Page(HTMLParser):
    """Elements of a page as (tag, attributes, enclosing tags), and its text by element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements, self.open, self.faults = [], [], []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))
        if len({name for name, _ in attributes}) < len(attributes):
            self.faults.append(f"<{tag}> has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def text(self, tag):
        return [data for name, data in self.texts if name == tag]


def shown(title: str) -> str:
    """Return a title as the page shows it."""
    return re.sub("[\0\ud800]", "\ufffd", " ".join(title.split()))
