"""The site in Chromium, from its folder: widths, schemes, accessibility, search, keys, print."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from markdown_pages import ROOT

MODULES = ROOT / "docs" / "site" / "node_modules"
VISIT = Path(__file__).with_name("visit.mjs")
STATES = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

# one page of every kind, checked by axe-core in the light and in the dark
KINDS = [
    "index.html",
    "docs/lbfgs.html",  # prose and formulas
    "docs/service.html",  # code
    "docs/defaults.html",  # tables
    "docs/performance.html",  # pictures
    "annotated/index.html",
    "annotated/core/network.html",
    "api/evaluation.html",
    "search.html?q=sigmoid",
    "genindex.html",
]
FOUND = """async () => {
    const found = () => [...document.querySelectorAll('#search-results li a')];
    const soon = () => new Promise((done) => setTimeout(done, 100));
    let before = 0;
    for (let i = 0; i < 300 && (!before || found().length > before); i++) {
        before = found().length;
        await soon();
    }
    return found().map((link) => link.getAttribute('href'));
}"""
PRINTED = """() => [
    '.sidebar-drawer', '.toc-drawer', '.related-pages', 'article h1', 'article .equation'
].map((name) => getComputedStyle(document.querySelector(name)).display !== 'none')"""
PICTURE = "() => getComputedStyle(document.querySelector('article img')).filter"
SYMBOLS = """() => [...document.querySelectorAll('details.symbols a')].map(
    (link) => [link.textContent, link.getAttribute('href')]
)"""
CLICK = """() => {
    const signs = [...document.querySelectorAll('article math .symbol')];
    return ['V', 'λ', '𝒪'].map((letter) => {
        const sign = signs.find((one) => one.textContent === letter);
        sign.dispatchEvent(new MouseEvent('click', { bubbles: true }));
        return location.hash;
    });
}"""
FONT = "() => [...document.fonts].map((font) => [font.family, font.status])"


def visit(chromium, jobs):
    """Return what is found on each page, in the order of the jobs."""
    ended = subprocess.run(
        ["node", str(VISIT), str(MODULES), chromium],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def job(site, page, width=1280, scheme="light", **more):
    path, question, rest = page.partition("?")
    url = (site / path).as_uri() + question + rest
    return {"url": url, "width": width, "scheme": scheme, **more}


def faults(answers):
    keys = ("overflow", "violations", "foreign", "errors")
    return [
        f"{one['url'].rpartition('/html/')[2]} {one['width']} {one['scheme']}: {key}: {one[key]}"
        for one in answers
        for key in keys
        if one.get(key)
    ]


def test_every_page_fits_a_phone_and_needs_no_network(site, chromium):
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    jobs = [job(site, name, 390) for name in names if "explorable" not in name]
    answers = visit(chromium, jobs)
    assert len(answers) == len(jobs) > 40
    assert not faults(answers), "\n".join(faults(answers))


def test_every_kind_of_page_is_accessible_at_both_widths_in_light_and_dark(site, chromium):
    jobs = [
        job(site, page, width, scheme, axe=(width == 1280) == (scheme == "light"))
        for page in KINDS
        for width, scheme in STATES
    ]
    answers = visit(chromium, jobs)
    assert sum("violations" in one for one in answers) == 2 * len(KINDS)
    assert not faults(answers), "\n".join(faults(answers))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A page with every fault that is looked for."""
    page = tmp_path_factory.mktemp("planted") / "index.html"
    page.write_text(
        "<html><body><div style='width: 2000px; color: #999; background: #aaa'>wide and pale</div>"
        "<article style='overflow: hidden'><p style='width: 3000px'>clipped</p></article>"
        "<article style='overflow: auto'><p style='width: 3000px'>it scrolls</p></article>"
        "<img src='http://localhost:9/a.png'><script>undefined.x</script></body></html>",
        encoding="utf-8",
    )
    return page.parent


def test_planted_faults_are_found(planted, chromium):
    (answer,) = visit(chromium, [job(planted, "index.html", axe=True)])
    assert [one.endswith("> 1280") for one in answer["overflow"]] == [True, False]
    assert answer["overflow"][1] == "P.: clipped"
    assert answer["foreign"] == ["http://localhost:9/a.png"]
    assert any("TypeError" in error for error in answer["errors"])
    named = " ".join(answer["violations"])
    for rule in ("color-contrast", "image-alt", "html-has-lang", "document-title"):
        assert rule in named


def test_search_keys_print_and_pictures(site, chromium):
    jobs = [
        job(site, "search.html?q=sigmoid", script=f"({FOUND})()"),
        job(site, "docs/tour.html", keys=["Tab", "Enter"]),
        job(site, "docs/tour.html", 390, keys=["Tab", "Tab", "Enter", "Escape"]),
        job(site, "docs/derivation.html", script=f"({PRINTED})()", media="print"),
        job(site, "docs/tour.html", script=f"({PICTURE})()"),
        job(site, "docs/tour.html", scheme="dark", script=f"({PICTURE})()"),
        job(site, "docs/lbfgs.html", script=f"({FONT})()"),
    ]
    answers = visit(chromium, jobs)
    assert not faults(answers), "\n".join(faults(answers))
    found, skip, drawer, printed, light, dark, font = (one["value"] for one in answers)
    assert any(link.startswith("docs/derivation.html") for link in found)
    assert [state[0] for state in skip[:1]] == ["Skip to content"]
    assert skip[1][2] == "#furo-main-content"
    assert drawer[1][1] == "Pages"
    assert [state[3] for state in drawer] == [False, False, True, False]
    assert printed == [False, False, False, True, True]
    assert light == "none"
    assert "invert" in dark
    assert [family.strip('"') for family, status in font if status == "loaded"] == ["Autorec Math"]


def test_the_glossary_opens_from_any_symbol(site, chromium):
    jobs = [
        job(site, "docs/lessons/04.html", 390, script=f"({SYMBOLS})()", axe=True),
        job(site, "docs/ko/lessons/02.html", script=f"({SYMBOLS})()", axe=True),
        job(site, "docs/glossary.html", script=f"({CLICK})()"),
        job(site, "docs/service.html", script=f"({SYMBOLS})()"),
        job(site, "docs/lbfgs.html", script=f"({SYMBOLS})()"),
    ]
    answers = visit(chromium, jobs)
    assert not faults(answers), "\n".join(faults(answers))
    lesson, korean, clicked, none, own = (one["value"] for one in answers)
    assert ["λ the factor of the penalty", "../../docs/glossary.html#lambda-"] in [
        [text, link[:32]] for text, link in lesson
    ]
    assert not any(text.startswith("T ") for text, _ in lesson)  # transposed
    assert len(korean) > 10
    assert all(link.startswith("../../../docs/glossary.html#") for _, link in korean)
    assert clicked == [
        "#v-the-encoders-weight",
        "#lambda-the-factor-of-the-penalty",
        "#o-the-observed-set",
    ]
    assert none == []
    assert {text.partition(" ")[0] for text, _ in own} == {"J", "θ", "∇"}
