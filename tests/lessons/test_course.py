"""The student's folder: stubs, progress, and which hint comes next."""

from __future__ import annotations

import json

import pytest

from autorec_np.lessons.course import (
    NAMES,
    PROGRESS,
    file_name,
    find,
    last_folder,
    lesson_of,
    next_hint,
    note,
    progress,
    start,
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder to be in, and one to remember things in, that are nobody's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_twelve_stubs_and_a_progress_file(elsewhere):
    folder = elsewhere / "new" / "lessons"
    assert start(folder, seed=3) == [*map(file_name, NAMES), PROGRESS]
    assert len(NAMES) == 12
    for number in NAMES:
        assert (folder / file_name(number)).read_text(encoding="utf-8") == lesson_of(number).stub
    assert progress(folder) == {"seed": 3, "passed": set(), "hints": {}}


def test_what_is_there_is_kept(elsewhere):
    folder = elsewhere / "lessons"
    start(folder, seed=3)
    (folder / file_name(2)).write_text("mine")
    (folder / file_name(5)).unlink()
    assert start(folder, seed=4) == [file_name(5)]
    assert (folder / file_name(2)).read_text() == "mine"
    assert progress(folder)["seed"] == 3


def test_a_stub_is_found_here_or_where_one_has_started_last(elsewhere):
    with pytest.raises(FileNotFoundError, match=r"there is no 04_backward\.py here: begin with"):
        find(4)
    assert last_folder() is None
    start(elsewhere / "first")
    start(elsewhere / "second")
    assert find(4) == elsewhere / "second" / file_name(4)
    (elsewhere / "here" / file_name(4)).write_text("")
    assert find(4).resolve() == elsewhere / "here" / file_name(4)


def test_progress_is_noted_where_there_is_a_progress_file(elsewhere):
    folder = elsewhere / "lessons"
    start(folder)
    for number, passed in ((4, True), (2, True), (4, True), (2, False)):
        note(folder / file_name(number), number, passed)
    assert progress(folder)["passed"] == {4}
    note(folder / "other.py", 7, True)  # not the student's file of this lesson
    note(elsewhere / file_name(7), 7, True)  # no progress file there
    assert progress(folder)["passed"] == {4}
    assert not (elsewhere / PROGRESS).exists()


def test_a_hint_more_each_time_for_the_same_text(elsewhere):
    folder = elsewhere / "lessons"
    start(folder)
    path = folder / file_name(4)
    assert [next_hint(path, 4, most=3) for _ in range(4)] == [1, 2, 3, 3]
    path.write_text("changed")
    assert next_hint(path, 4, most=3) == 1
    assert next_hint(folder / file_name(5), 5, most=3) == 1
    alone = elsewhere / file_name(4)
    alone.write_text("")
    assert [next_hint(alone, 4, most=3) for _ in range(2)] == [1, 1]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"seed": 1}', '{"seed": "x", "passed": [], "hints": {}}']
)
def test_a_damaged_progress_file_is_named(text, elsewhere):
    (elsewhere / PROGRESS).write_text(text)
    with pytest.raises(ValueError, match=r"progress.json is no progress file .* remove it"):
        progress(elsewhere)


def test_the_progress_file_is_json_that_people_can_read(elsewhere):
    start(elsewhere)
    note(elsewhere / file_name(1), 1, True)
    assert json.loads((elsewhere / PROGRESS).read_text()) == {"seed": 0, "passed": [1], "hints": {}}
