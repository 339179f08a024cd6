"""``autorec-np lesson`` from the keyboard: what it prints, and its exit status."""

from __future__ import annotations

import json
import threading
import time

import pytest

from autorec_np.cli import commands
from autorec_np.lessons import command
from autorec_np.lessons.course import NAMES, PROGRESS, file_name, lesson_of

LESSON = lesson_of(4)
WRONG = LESSON.solution.replace("np.where(rated, D_Y, 0)", "D_Y")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys, folder):
    """Call the command; return its exit status and what it wrote to stdout and stderr."""

    def call(*arguments):
        status = commands.main(["lesson", *map(str, arguments)])
        return (status, *capsys.readouterr())

    return call


def test_the_way_of_a_student(run, folder):
    status, out, _ = run()
    assert status == 0
    assert "begin: autorec-np lesson start FOLDER" in out
    status, out, _ = run("start", "mine", "--seed", 5)
    assert (status, out.split("\n")[0]) == (0, "mine: 13 files written")
    assert run("start", "mine")[1].startswith("mine: 0 files written, 13 kept as they were")

    status, out, err = run(4)
    assert (status, err) == (1, "")
    assert "nothing is written yet; begin with D_b, see (7)" in out

    path = folder / "mine" / file_name(4)
    path.write_text(WRONG)
    status, out, _ = run(4)
    assert status == 1
    line = WRONG.splitlines().index("    D_A = D_Y  # (5): what is not rated is not in the sum") + 1
    assert f"  look at D_A, see (5)\n    line {line}: D_A = D_Y" in out
    assert f"why: {LESSON.mistakes['no_mask'].text}" in out

    path.write_text(LESSON.solution)
    assert run(4)[:2] == (0, "04_backward.py: all is right\n")
    assert json.loads((folder / "mine" / PROGRESS).read_text())["passed"] == [4]
    status, out, _ = run()
    assert "Backward by hand" in out
    assert "80  right" in out
    assert f"next: {folder / 'mine' / file_name(1)}, then: autorec-np lesson 1" in out
    objects = [json.loads(line) for line in run("--json")[1].splitlines()]
    assert [one["lesson"] for one in objects if one["passed"]] == [4]
    assert "the solution:" in run(4, "--solution")[1]


def test_hints_step_by_step_and_the_line_only_when_asked_for(run, folder):
    run("start", folder)
    (folder / file_name(4)).write_text(WRONG)
    outs = [run(4, "--hint")[1] for _ in range(4)]
    parts = ["D_V   wrong", "look at D_A", "why: the holes", "ask yourself: Which pairs"]
    for number, out in enumerate(outs):
        assert [part in out for part in parts] == [place <= number for place in range(4)]
        assert ("more: autorec-np lesson 4 --hint" in out) == (number < 3)
    assert run(4, "--hint", 2)[1] == outs[1]
    assert not any("np.where(rated" in out for out in (*outs, run(4)[1]))
    assert "the solution's line: D_A = np.where(rated, D_Y, 0)" in run(4, "--solution")[1]


def test_no_more_hints_are_promised_than_there_are(run, folder):
    run("start", folder)
    path = folder / file_name(4)
    kept = LESSON.solution.replace("    Z =", "    X += 1\n    Z =")
    for text, n_hints in {"x = \n": 1, LESSON.stub: 1, kept: 4}.items():
        path.write_text(text)
        outs = [run(4, "--hint", number)[1] for number in range(1, 5)]
        assert len(set(outs)) == n_hints
        assert ["more:" in out for out in outs] == [number < n_hints for number in range(1, 5)]


def test_the_line_of_the_solution_is_that_of_what_is_written_and_wrong(run, folder):
    text = LESSON.solution.replace("D_V = X.T @ D_Z + penalty * V", "D_V = None")
    (folder / "a.py").write_text(text.replace(" + penalty * W", ""))
    out = run(4, "a.py", "--solution")[1]
    assert "look at D_W, see (6)\n" in out
    assert "the solution's line: D_W = " in out
    assert "D_V = " not in out


def test_one_object_a_file(run, folder):
    texts = {"a.py": LESSON.solution, "b.py": WRONG, "c.py": "x = \n"}
    for name, text in texts.items():
        (folder / name).write_text(text)
    status, out, _ = run(4, *texts, "--json")
    right, wrong, broken = map(json.loads, out.splitlines())
    assert status == 1
    assert (right["passed"], right["mistake"], right["lesson"]) == (True, None, 4)
    assert right["blocks"] == dict.fromkeys(LESSON.blocks, "pass")
    assert (wrong["file"], wrong["mistake"], wrong["array"]) == ("b.py", "no_mask", "D_A")
    assert wrong["blocks"] == dict.fromkeys(LESSON.blocks, "fail")
    assert (broken["mistake"], broken["lines"]) == ("SyntaxError", [1])
    assert run(4, "a.py", "--json")[0] == 0


def test_a_tally_for_teachers(run, folder):
    both = WRONG.replace("2 * E", "E")
    for number, text in enumerate([LESSON.solution, WRONG, both, LESSON.stub]):
        (folder / f"student{number}.py").write_text(text)
    status, out, _ = run(4, *sorted(folder.glob("student*.py")))
    assert status == 1
    assert "student0.py  right\n" in out
    assert "student2.py  factor_2+no_mask\n" in out
    assert "1 of 4 right\n" in out
    assert f"    2  no_mask: {LESSON.mistakes['no_mask'].text}\n" in out
    assert "    1  in D_b\n" in out


def test_numbers_of_ones_own(run, folder):
    text = LESSON.solution.replace("return D_V", "print(X[0])\n    return D_V")
    run("start", "one", "--seed", 1)
    run("start", "two", "--seed", 2)
    for name in ("one", "two"):
        (folder / name / file_name(4)).write_text(text)
    printed = [run(4, name)[1] for name in ("one", "two")]
    assert printed[0] != printed[1]
    assert run(4, "two", "--seed", 1)[1] == printed[0]
    assert run(4, "two", "--seed", 2)[1] == printed[1]


def test_watching_ends_when_all_is_right(run, folder, monkeypatch):
    monkeypatch.setattr(command, "BETWEEN_LOOKS", 0.05)
    path = folder / file_name(4)
    path.write_text(WRONG)
    told = command._told

    def tell(args, path, verdict):
        if not verdict.passed:
            threading.Thread(target=mend).start()
        return told(args, path, verdict)

    def mend():
        time.sleep(0.2)
        path.write_text(LESSON.solution)

    monkeypatch.setattr(command, "_told", tell)
    status, out, _ = run(4, "--watch")
    assert status == 0
    assert out.index("not yet") < out.index("waiting for a change") < out.index("all is right")


WRONG_USAGE = {
    "13": "must be start or 1 to 12, got '13'",
    "begin": "must be start or 1 to 12, got 'begin'",
    "4 --hint 5": "must be 1 to 4, got '5'",
    "4 --seed -1": "--seed",
    "start": "start needs one FOLDER",
    "4 a.py b.py --watch": "--watch is for one file",
    "4 a.py --watch --json": "--watch is for one file, without --json",
    "4 a.py b.py --hint 1": "--hint is for one file",
}


@pytest.mark.parametrize("words", WRONG_USAGE)
def test_wrong_usage(words, run, folder):
    for name in ("a.py", "b.py"):
        (folder / name).write_text("")
    status, out, err = run(*words.split())
    assert (status, out) == (2, "")
    assert WRONG_USAGE[words] in err
    assert "(see autorec-np lesson --help)" in err


@pytest.mark.parametrize("words", ["4 nothing.py", "4"])
def test_a_file_that_is_not_there(words, run):
    status, out, err = run(*words.split())
    assert (status, out) == (1, "")
    assert "does not exist" in err or "there is no 04_backward.py here" in err


def test_every_solution_passes_from_the_command(run, folder):
    """Each in a process of its own, as a student has it."""
    for number in (1, 7, 12):
        (folder / file_name(number)).write_text(lesson_of(number).solution)
        assert run(number)[:2] == (0, f"{file_name(number)}: all is right\n")
    assert len(NAMES) == 12
