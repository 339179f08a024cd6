"""The student's code has a process of its own, and what it may use up is limited."""

from __future__ import annotations

import os
import sys
import time

import pytest

from autorec_np.lessons import process
from autorec_np.lessons.course import lesson_of
from autorec_np.lessons.diagnosis import judge
from autorec_np.lessons.process import Running, ask_all

LESSON = lesson_of(2)
RIGHT = LESSON.solution
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")


def write(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def answers(path, seconds=None):
    with Running(2, path, 0, seconds) as running:
        return running.answers()


def test_a_right_file_passes_and_what_it_prints_is_kept_apart(tmp_path):
    text = RIGHT.replace("    Z = X @", "    print('hello', Z := 3)\n    Z = X @")
    found = answers(write(tmp_path, text))
    verdict = judge(LESSON, found, text)
    assert verdict.passed
    assert verdict.printed.startswith("hello 3\nhello 3\n")


def test_code_without_end_is_ended_with_what_it_has_started(tmp_path):
    text = (
        "import subprocess, sys\n"
        "one = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('child', 'w').write(str(one.pid))\n"
        "print('started', flush=True)\n"
        "while True: pass\n"
    )
    started = time.monotonic()
    found = answers(write(tmp_path, text), seconds=3)
    assert time.monotonic() - started < 15
    assert found.said["error"]["kinds"] == ["TimeoutError"]
    verdict = judge(LESSON, found, text)
    assert verdict.text.startswith("it did not end in 3 seconds: is there a loop without end")
    if (tmp_path / "child").exists() and sys.platform == "linux":
        pid = (tmp_path / "child").read_text()
        for _ in range(100):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    if file.read().split(") ")[1][0] == "Z":
                        break
            except (FileNotFoundError, ProcessLookupError):
                break
            time.sleep(0.1)
        else:
            pytest.fail("the process of the code is left")


@LINUX
def test_memory_is_limited(tmp_path):
    text = RIGHT.replace("    Z = X @", "    np.empty(4 * 10**8)\n    Z = X @")
    verdict = judge(LESSON, answers(write(tmp_path, text)), text)
    assert (verdict.stage, verdict.sources) == ("error", ["np.empty(4 * 10**8)"])
    assert verdict.text.startswith("it wanted too much memory")


def test_code_that_ends_its_process_is_told_so(tmp_path):
    text = "import os\nprint('x' * 10**5, flush=True)\nos._exit(7)\n"
    found = answers(write(tmp_path, text))
    verdict = judge(LESSON, found, text)
    assert "ended the process itself (exit status 7)" in verdict.text
    assert len(verdict.printed) == process.MOST_PRINTED


def test_several_files_are_asked_in_order(tmp_path):
    texts = {"a.py": RIGHT, "b.py": "input()\n", "c.py": RIGHT}
    paths = [write(tmp_path, text, name) for name, text in texts.items()]
    found = dict(ask_all(2, paths, 0, at_a_time=2))
    assert list(found) == paths
    assert ["error" in one.said for one in found.values()] == [False, True, False]
    assert found[paths[1]].said["error"]["kinds"][0] == "EOFError"  # there is no keyboard


def test_all_are_ended_if_nobody_listens_any_more(tmp_path, monkeypatch):
    slow = [write(tmp_path, "import time\ntime.sleep(600)\n", f"{n}.py") for n in range(2)]
    first = write(tmp_path, RIGHT, "0first.py")
    made = []

    class Counted(Running):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(process, "Running", Counted)
    found = ask_all(2, [first, *slow], 0, at_a_time=3)
    next(found)
    found.close()
    assert [one._process.poll() is not None for one in made] == [True] * 3
    assert not any(os.path.exists(one._folder.name) for one in made)
