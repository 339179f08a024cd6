"""The site holds every page, its links lead somewhere, and nothing of it needs a network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import markdown_pages as pages
import pytest
from markdown_pages import PAGES, ROOT, name_of, read

HERE = ROOT / "docs" / "site"
MOST_BYTES = 8_000_000
LOADING = {"img": "src", "script": "src", "source": "src", "iframe": "src", "link": "href"}


class Page(HTMLParser):
    """The ids of a page, where its links lead, and what it loads."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded = set(), set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.add(found["href"])
        if found.get(LOADING.get(tag, "")) and found.get("rel") not in ("alternate", "canonical"):
            self.loaded.add(found[LOADING[tag]])


@pytest.fixture(scope="module")
def html(site):
    """Every page of the site by its name, but for the pages that were copied as they are."""
    paths = [path for path in site.rglob("*.html") if "explorable" not in path.parts]
    return {path.relative_to(site).as_posix(): Page(path) for path in paths}


def leads_nowhere(site, html, name, link):
    """Return whether a link of a page leads to no file, or to no place in it."""
    parts = urlsplit(link)
    if parts.scheme in ("http", "https", "mailto", "data"):
        return False
    target = (site / name).parent / unquote(parts.path) if parts.path else site / name
    if not target.is_file():
        return True
    there = html.get(target.resolve().relative_to(site.resolve()).as_posix())
    anchor = unquote(parts.fragment)
    return bool(anchor and there and anchor not in {*there.ids, "top"})


def test_every_page_of_the_project_is_there(html):
    wanted = {f"{name_of(page).removesuffix('.md')}.html" for page in PAGES}
    assert wanted - set(html) == set()
    assert {"index.html", "search.html", "annotated/core/network.html", "api/core.html"} <= set(
        html
    )


def test_the_site_is_small(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) <= MOST_BYTES


def test_links_lead_somewhere(site, html):
    broken = [
        f"{name}: {link}"
        for name, page in html.items()
        for link in sorted(page.links | page.loaded)
        if leads_nowhere(site, html, name, link)
    ]
    assert not broken, "\n".join(broken)


def test_a_planted_link_is_found(site, html):
    name = "docs/tour.html"
    for link in ("nowhere.html", "derivation.html#nowhere", "#nowhere", "../nowhere.png"):
        assert leads_nowhere(site, html, name, link)
    for link in ("derivation.html#equation-5", "#the-data", "https://example.org"):
        assert link == "#the-data" or not leads_nowhere(site, html, name, link)


def test_nothing_is_loaded_from_elsewhere(site, html):
    foreign = [
        f"{name}: {address}"
        for name, page in html.items()
        for address in page.loaded
        if urlsplit(address).scheme not in ("", "data")
    ]
    for style in site.rglob("*.css"):
        foreign += re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]+", read(style))
    assert not foreign, "\n".join(foreign)


# Formulas


def test_every_formula_is_set(site):
    derivation = read(site / "docs" / "derivation.html")
    assert derivation.count("<math") > 400
    for path in site.rglob("*.html"):
        text = re.sub(r"<(pre|script|code|annotation)\b.*?</\1>", "", read(path), flags=re.DOTALL)
        assert not re.search(r"\$[^$<]*\\\w+[^$<]*\$", text), path
        assert "temml-error" not in text


def test_what_is_wrong_stops_the_build(can_build, tmp_path):
    """A formula, a character that the font lacks, a link, and a page that no list names."""
    faults = {
        r"$\nothing$": r"formula '\\nothing': ",
        r"$\text{가}$": "lacks U+AC00 가; see docs/site/make_font.py",
        "[a](nowhere.md)": "'nowhere.md'",
    }
    (tmp_path / "index.md").write_text("# Title\n\n" + "\n\n".join(faults), encoding="utf-8")
    (tmp_path / "other.md").write_text("# Other\n", encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    ended = subprocess.run(
        [*command, "-c", str(HERE), "-D", "notebooks=", "-D", "copied=", tmp_path, tmp_path / "o"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode != 0
    for said in [*faults.values(), "isn't included in any toctree"]:
        assert said in ended.stderr


def test_the_font_has_its_licence_beside_it():
    folder = HERE / "static"
    assert "GUST Font License" in read(folder / "GUST-FONT-LICENSE.txt")
    assert (folder / "autorec-math.woff2").stat().st_size <= 150_000


def test_the_font_is_what_its_program_makes(can_build, tmp_path):
    import make_font
    from fontTools.ttLib import TTFont

    if not make_font.SOURCE.exists():
        pytest.skip("needs Latin Modern Math (on Debian, apt install fonts-lmodern)")
    make_font.make(make_font.SOURCE, tmp_path / "font.woff2")
    made, kept = TTFont(tmp_path / "font.woff2"), TTFont(make_font.FONT)
    assert made.getBestCmap() == kept.getBestCmap()
    assert made["name"].getDebugName(1) == "Autorec Math"
    assert "MATH" in kept


def test_packages_are_pinned_and_their_list_names_no_server():
    pinned = json.loads(read(HERE / "package.json"))["devDependencies"]
    assert pinned == {"temml": "0.13.5", "axe-core": "4.14.1", "puppeteer-core": "24.8.2"}
    locked = json.loads(read(HERE / "package-lock.json"))["packages"]
    assert not any("resolved" in package for package in locked.values())
    assert all("integrity" in package for name, package in locked.items() if name)


# Languages, lessons and the page to touch: what may come


class Sphinx:
    """What the extension asks of Sphinx."""

    def __init__(self, *names, copied=()):
        self.env, self.config = self, self
        self.found_docs, self.copied = set(names), copied

    def doc2path(self, name):
        return pages.ROOT / f"{name}.md"


def described(name, *names):
    house = extension()
    context = {"pathto": lambda other: f"{other}.html"}
    house.describe(Sphinx(*names), name, "page.html", context, None)
    return context


def extension():
    pytest.importorskip("sphinx")
    sys.path.insert(0, str(HERE / "extensions"))
    try:
        import house
    finally:
        sys.path.pop(0)
    return house


def test_a_page_in_two_languages_says_so():
    names = ("docs/lessons/02", "docs/ko/lessons/02", "index", "docs/ko/index", "docs/tour")
    for name in names[:2]:
        links = described(name, *names)["metatags"]
        for code, page in (("ko", "docs/ko/lessons/02"), ("en", "docs/lessons/02")):
            address = "02.html" if page == name else f"{page}.html"
            assert f'hreflang="{code}" href="{address}"' in links
    assert described("docs/ko/index", *names)["language"] == "ko"
    assert 'hreflang="ko" href="docs/ko/index.html"' in described("index", *names)["metatags"]
    assert described("docs/tour", *names).keys() == {"pathto"}


@pytest.mark.parametrize(
    ("link", "changed"),
    [
        ("../example.py", "../example.py.md"),
        ("../explorable/index.html#s=1", "placed:../explorable/index.html#s=1"),
        ("../explorable/index.html", "copied:../explorable/index.html"),
        ("slides.html", "copied:slides.html"),
        ("other.html", "other.html"),
        ("../tour.md#1-the-data", "../tour.md#1-the-data"),
        ("other.py", "other.py"),
    ],
)
def test_links_that_lead_out_of_the_pages(link, changed):
    source = [f"[a]({link})"]
    app = Sphinx("docs/example.py", copied=["explorable", "lessons/slides.html"])
    extension().lead_on(app, "docs/lessons/01", source)
    assert source == [f"[a]({changed})"]


def test_a_copied_page_leads_to_pages(tmp_path):
    path = tmp_path / "docs" / "explorable" / "index.html"
    path.parent.mkdir(parents=True)
    path.write_text('<a href="../tour.md" id="a">b.md</a>', encoding="utf-8")
    house = extension()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house, "REPAIRS", [])
        app = SimpleNamespace(builder=SimpleNamespace(name="html"), outdir=str(tmp_path))
        house.repair(app, None)
    assert read(path) == '<a href="../tour.html" id="a">b.md</a>'


def test_the_slides_open_and_are_not_downloaded(site):
    assert read(site / "docs" / "lessons" / "slides.html") == read(
        ROOT / "docs" / "lessons" / "slides.html"
    )
    for name in ("index", "teacher"):
        page = read(site / "docs" / "lessons" / f"{name}.html")
        (link,) = re.findall(r'<a [^>]*href="[^"]*slides\.html"[^>]*>', page)
        assert 'href="slides.html"' in link
        assert "download" not in link


def test_the_links_of_the_copied_page_lead_somewhere(site):
    folder = site / "docs" / "explorable"
    links = re.findall(r'href="(\.\./[^"]*)"', read(folder / "index.html"))
    assert [link for link in links if not (folder / link).is_file()] == []
    assert "../tour.html" in links


def test_the_first_page_shows_what_is_there(can_build, tmp_path, monkeypatch):
    import build

    monkeypatch.setattr(build, "ROOT", tmp_path)
    lessons = ("docs/lessons/index", "docs/lessons/01", "docs/ko/index", "docs/ko/lessons/02")
    for name in ("docs/tour", "docs/new", *lessons):
        path = tmp_path / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# Title\n", encoding="utf-8")
    (tmp_path / "docs" / "explorable").mkdir()
    (tmp_path / "docs" / "explorable" / "index.html").touch()
    build.list_contents(tmp_path)
    text = read(tmp_path / "index.md")
    links = re.findall(r"^:link: (.*)$", text, re.MULTILINE)
    assert links == [
        "docs/tour",
        "docs/lessons/index",
        "docs/explorable/index.html",
        "docs/ko/index",
    ]
    trees = [block.code.split("\n") for block in pages.blocks(text) if "toctree" in block.language]
    listed = [line for tree in trees for line in tree if line and line[0] != ":"]
    korean = ["docs/ko/index", "docs/ko/lessons/02"]
    assert listed == ["docs/lessons/index", "docs/tour", *korean, "docs/new"]
    assert "/docs/lessons/01" in read(tmp_path / "docs" / "lessons" / "index.md")
