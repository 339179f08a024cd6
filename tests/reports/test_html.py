"""The report as HTML: one valid, accessible page that loads nothing, whatever the ids hold."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from pages import shown

from autorec_np.reports import html as elements
from autorec_np.reports.html import COLORS, STYLE

pytest.importorskip("matplotlib", reason="needs matplotlib")

# A page on its own, for everyone


def test_the_page_is_well_formed(page):
    assert (page.faults, page.open) == ([], [])
    ids = Counter(attributes["id"] for _, attributes, _ in page.elements if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    links = [attributes["href"] for attributes in page.all("a")]
    used = [a["xlink:href"] for _, a, _ in page.elements if "xlink:href" in a]
    assert len(links) == len(page.all("h2"))
    assert used
    assert {name[1:] for name in links + used} <= set(ids)


def test_the_page_loads_nothing(html, page):
    tags = {tag for tag, _, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "image", "base", "form"}
    assert "http" not in html
    assert "@import" not in html
    for _, attributes, _ in page.elements:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
        for target in re.findall(r"url\(([^)]*)\)", " ".join(map(str, attributes.values()))):
            assert target.startswith("#")
    assert "url(" not in STYLE
    assert len(page.all("style")) == 1  # those of the pictures would be of the whole page


def test_the_page_is_accessible(page):
    assert page.all("html") == [{"lang": "en"}]
    assert page.text("title") == page.text("h1") == ["AutoRec report: a <b> & c"]
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1
    pictures = page.all("svg")
    assert len(pictures) == len(page.all("figure")) == len(page.all("figcaption")) == 7
    for picture in pictures:
        assert picture["role"] == "img"
        assert len(picture["aria-label"]) > 30
    assert len(page.all("caption")) == len(page.all("table"))
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row"}
    scrolled = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert len(scrolled) == len(page.all("table"))
    assert all(a["tabindex"] == "0" and a["role"] == "group" for a in scrolled)
    assert [a["content"] for a in page.all("meta") if a.get("name") == "viewport"]


def test_pictures_have_the_colors_of_the_page_only(page):
    styles = [a["style"] for _, a, around in page.elements if "svg" in around and "style" in a]
    colors = set(re.findall(r"(?:fill|stroke): ([^;]*)", ";".join(styles)))
    assert colors <= {"none", *COLORS.values()}
    assert {"currentColor", "var(--blue)", "var(--orange)"} <= colors


def schemes() -> dict[str, dict[str, str]]:
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", part))
        for part in STYLE.split("prefers-color-scheme: dark")
    )
    return {"light": light, "dark": dark}


def luminance(color: str) -> float:
    channels = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_stand_out_from_the_page(scheme):
    """WCAG 2.1: a contrast of 4.5 for text, of 3 for graphics."""
    colors = schemes()[scheme]
    used = set(re.findall(r"var\(--(\w+)\)", STYLE + " ".join(COLORS.values())))
    assert set(colors) == used
    wanted = {"ink": 7, "soft": 4.5, "blue": 4.5, "orange": 3, "gray": 3}
    for name, least in wanted.items():
        ends = sorted(luminance(colors[key]) for key in (name, "page"))
        assert (ends[1] + 0.05) / (ends[0] + 0.05) >= least, name


def test_ids_and_titles_are_text(html, page, titles):
    assert "<script" not in html
    assert "onerror=alert" not in re.sub(r">[^<]*<", "><", html)  # no longer in any tag
    assert "\0" not in html
    html.encode()  # no lone surrogates
    clean = {shown(title) for title in titles.values()}
    rows = [text for tag, text in page.texts if tag == "th"]
    assert len(clean & set(rows)) > 10
    assert any(text.startswith("User <u") and text.endswith(">&") for text in page.text("h3"))
    assert any(text.startswith("<script>alert(1)") for text in page.text("text"))


# Its elements


def test_a_table_names_its_rows_and_sets_numbers_flush_right():
    found = elements.table("Errors <b>", ["Model", "RMSE"], [["AutoRec & co", "0.9"]], n_numbers=1)
    assert "<caption>Errors &lt;b&gt;</caption>" in found
    assert '<th scope="col">Model</th><th scope="col" class="number">RMSE</th>' in found
    assert '<th scope="row">AutoRec &amp; co</th><td class="number">0.9</td>' in found
    assert 'tabindex="0"' in found


def test_a_table_without_a_header_has_none():
    found = elements.table("What", ["", ""], [["a", "b"]])
    assert "<thead>" not in found
    assert '<th scope="row">a</th><td>b</td>' in found


def test_a_page_links_to_its_sections():
    found = elements.page("A & B", {"First part": "<p>1</p>", "Second": "<p>2</p>"})
    assert "<title>A &amp; B</title>" in found
    assert re.findall(r'href="#([^"]*)"', found) == ["first-part", "second"]
    assert re.findall(r'<h2 id="([^"]*)"', found) == ["first-part", "second"]
    assert elements.grid(["a", "b"]) == '<div class="grid">\na\nb\n</div>'


def test_a_picture_holds_its_numbers_where_there_are_some():
    found = elements.picture("<svg></svg>", "A caption.", "<table></table>")
    assert found.startswith("<figure>\n<svg></svg>\n<figcaption>A caption.<")
    assert "<details>\n<summary>Numbers</summary>\n<table></table></details>" in found
    assert "<details>" not in elements.picture("<svg></svg>", "A caption.")
