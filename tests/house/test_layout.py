"""How large the house may be, and that its tests have the same rooms."""

from __future__ import annotations

from pathlib import Path

import pytest

import autorec_np

PACKAGE = Path(autorec_np.__file__).parent
TESTS = Path(__file__).parents[1]
MOST_ROOMS, MOST_LINES, MOST_ON_TOP = 11, 700, 12

FOLDERS = sorted({path.parent for path in PACKAGE.glob("*/*.py")})
ROOMS = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")

# Tests of what is on top; the re-exports are tested where they lead to.
TESTED_ELSEWHERE = {
    "__main__.py": "cli/test_entry.py",
    "_types.py": "house/test_imports.py",
    "network.py": "core/test_network.py",
    "objective.py": "core/test_objective.py",
}


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def file_for(room):
    """Return the file that holds the tests of a room."""
    name = name_of(room)
    if "/" not in name:
        name = TESTED_ELSEWHERE.get(name, f"house/test_{name.lstrip('_')}")
        return TESTS / name
    folder, _, file = name.rpartition("/")
    return TESTS / folder / f"test_{file}"


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_can_be_seen_at_once(folder):
    rooms = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(rooms) <= MOST_ROOMS, rooms
    assert [path for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"] == []


def test_the_top_can_be_seen_at_once():
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_ON_TOP


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_room_is_not_long(room):
    assert len(room.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_every_room_has_its_tests():
    missing = {name_of(room): file_for(room) for room in ROOMS if not file_for(room).is_file()}
    assert missing == {}


def test_a_missing_file_of_tests_is_found():
    assert not file_for(PACKAGE / "core" / "attic.py").is_file()
    assert file_for(PACKAGE / "_validation.py") == TESTS / "house" / "test_validation.py"


def test_every_file_of_tests_is_in_a_folder_of_the_house():
    folders = {path.parent.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    assert folders <= {"explorable", "house", "site", *(folder.name for folder in FOLDERS)}
