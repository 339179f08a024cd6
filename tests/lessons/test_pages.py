"""The pages of the lessons say what the lessons are, and the slides are those of the pages."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from autorec_np.lessons.course import NAMES, file_name, lesson_of

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "lessons"
MOST_LINES = 130

each = pytest.mark.parametrize("number", NAMES)


def read(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def row_of(page, column):
    """Return the cells below the table's header that begins with a column."""
    body = page.partition(f"\n| {column} |")[2].split("\n")
    return [re.split(r" \| ", line.strip("| ")) for line in body[2:]]


@each
def test_a_page_says_what_its_lesson_is(number):
    lesson, page = lesson_of(number), read(f"{number:02}.md")
    assert page.startswith(f"# {number}. {lesson.title}\n")
    minutes, _, task, check = row_of(page, "minutes")[0]
    assert minutes == str(lesson.minutes)
    assert task == f"`{lesson.function}` in [`{file_name(number)}`](index.md#begin)"
    assert check == f"`autorec-np lesson {number}`"
    for block in lesson.blocks:
        assert re.search(rf"[`$]{block}[`$]", page.partition("\n## Write\n")[2]) or number == 5
    assert "\n**Goals.** " in page
    after = f"({number + 1:02}.md) · " if number < len(NAMES) else ""
    assert page.rstrip().endswith(f"{after}[All lessons](index.md)")


@pytest.mark.parametrize("number", [4, 11])
def test_a_page_goes_in_the_order_of_the_check(number):
    page = read(f"{number:02}.md").partition("\n## Write\n")[2]
    assert tuple(re.findall(r"`(D_\w+)`", page)) == lesson_of(number).in_order


@each
def test_a_page_prints_neither_stub_nor_solution(number):
    lesson, page = lesson_of(number), read(f"{number:02}.md")
    assert f"def {lesson.function}(" not in page
    new = set(lesson.solution.splitlines()) - set(lesson.stub.splitlines())
    code = {line.partition("  #")[0].strip() for line in new} - {"e = np.zeros(len(theta))"}
    assert [line for line in code if line in page and len(line) > 25] == []


def test_the_list_has_titles_and_minutes():
    rows = {row[0]: row[1] for row in row_of(read("index.md"), "lesson")[: len(NAMES)]}
    lessons = [lesson_of(number) for number in NAMES]
    assert rows == {
        f"[{one.number}. {one.title}]({one.number:02}.md)": str(one.minutes) for one in lessons
    }
    half_a_day = sum(one.minutes for one in lessons[:5])
    assert f"exercises: {half_a_day} minutes" in read("index.md")


def test_the_teachers_minutes_add_up():
    rows = row_of(read("teacher.md"), "lesson")[: len(NAMES)]
    totals = {int(row[0]): sum(map(int, row[1:5])) for row in rows}
    assert totals == {number: lesson_of(number).minutes for number in NAMES}


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda page: page.name)
def test_a_page_is_short(page):
    assert len(read(page.name).splitlines()) <= MOST_LINES


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_slides", DOCS / "make_slides.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_slides_are_what_their_program_makes(maker):
    """Where it fails, a page or a picture has changed: run docs/make_slides.py."""
    assert read("slides.html") == maker.document()


def test_the_slides_need_nothing_beside_them():
    slides = re.sub(r"data:image/png;base64,[\w+/=]+", "data:", read("slides.html"))
    assert set(re.findall(r"""(?:src|href)=["'](.*?)["']""", slides)) == {"data:"}
    assert not re.search(r"https?:|url\(|@import|fetch\(|<<|\$[^{$]+\$", slides)
    assert all(re.findall(r'<img alt="(.*?)"', slides))
    assert 20 <= slides.count("<section") <= 30


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("D_A^T H", "<i>D</i><sub><i>A</i></sub><sup><i>T</i></sup> <i>H</i>"),
        ("e^{-z}", "<i>e</i><sup>−<i>z</i></sup>"),
        ("\\sum_{rated} x^2", "∑<sub>rated</sub> <i>x</i><sup>2</sup>"),
    ],
)
def test_formulas_of_the_slides(maker, text, html):
    assert maker.formula(text) == f'<span class="f">{html}</span>'
