"""Files are whole or not there, whatever ends the process; a lock says who holds it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import zipfile

import pytest

from autorec_np._files import alone, cleaned_up_on_sigterm, replacing

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM is not delivered")


def run(program, **environment):
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# Whole or not at all


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(ValueError, match="closed"), replacing(path) as file:
        file.close()
    assert path.read_text() == "before"
    with replacing(path) as file:
        file.write(b"whole")
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["file"]


TERMINATED = """
import os, signal
from pathlib import Path
from autorec_np._files import replacing
with replacing(Path({path!r})) as file:
    file.write(b"half")
    {then}
"""


@needs_signals
@pytest.mark.parametrize("times", [1, 3])
def test_sigterm_leaves_no_temporary_and_ends_the_process_as_ever(tmp_path, times):
    path = tmp_path / "file"
    path.write_text("before")
    kill = "os.kill(os.getpid(), signal.SIGTERM)"
    then = f"try: {kill}\n    finally: {'; '.join([kill] * (times - 1)) or 'pass'}"
    ended = run(TERMINATED.format(path=str(path), then=then))
    assert ended.returncode == -signal.SIGTERM
    assert ended.stderr == ""
    assert path.read_text() == "before"
    assert names(tmp_path) == ["file"]


@needs_signals
def test_sigterm_in_the_middle_of_a_save_leaves_the_model_that_was_there(tmp_path):
    path = tmp_path / "model.npz"
    ended = run(f"""
import os, signal
from autorec_np import GlobalMean, make_ratings, save_model
model = GlobalMean().fit(make_ratings(10, 8, 30, random_state=0))
save_model(model, {str(path)!r})
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGTERM)
save_model(model, {str(path)!r})
""")
    assert ended.returncode == -signal.SIGTERM
    assert ended.stderr == ""
    assert names(tmp_path) == ["model.npz"]


@needs_signals
def test_sigterm_leaves_no_unpacked_archive(tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    with zipfile.ZipFile(home / "ml-latest-small.zip", "w") as archive:
        for name in ("ratings.csv", "movies.csv"):
            archive.writestr(f"ml-latest-small/{name}", "1,1,1\n")
    ended = run(
        f"""
import os, signal
from pathlib import Path
from autorec_np.sources import movielens
def read(name, folder):
    assert list(Path({str(temporary)!r}).rglob("ratings.csv"))
    os.kill(os.getpid(), signal.SIGTERM)
movielens._read = read
movielens.fetch_movielens("ml-latest-small", {str(home)!r})
""",
        TMPDIR=str(temporary),
    )
    assert ended.returncode == -signal.SIGTERM
    assert ended.stderr == ""
    assert names(temporary) == []


@needs_signals
def test_a_program_keeps_its_own_handler():
    calls = []
    before = signal.signal(signal.SIGTERM, lambda *_: calls.append(1))
    try:
        with cleaned_up_on_sigterm():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert calls == [1]


@needs_signals
def test_the_default_comes_back_and_another_thread_changes_nothing():
    seen = []

    def look():
        with cleaned_up_on_sigterm():
            seen.append(signal.getsignal(signal.SIGTERM))

    with cleaned_up_on_sigterm():
        changed = signal.getsignal(signal.SIGTERM)
        with cleaned_up_on_sigterm():
            assert signal.getsignal(signal.SIGTERM) is changed
    assert changed != signal.SIG_DFL
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL] == [signal.getsignal(signal.SIGTERM)]


# One at a time


def test_a_lock_says_who_holds_it_and_leaves_nothing(tmp_path):
    lock = tmp_path / "search.lock"
    held = rf"the search is in use by process {os.getpid()} on .+; wait for its end\."
    with alone(lock, "the search"):
        for _ in range(2):
            with pytest.raises(ValueError, match=held), alone(lock, "the search"):
                pass
    assert names(tmp_path) == []
    with alone(lock, "the search"):
        assert names(tmp_path) == ["search.lock"]


def test_a_lock_of_a_dead_process_holds_nobody_up(tmp_path):
    lock = tmp_path / "search.lock"
    ended = run(f"""
import os
from pathlib import Path
from autorec_np._files import alone
with alone(Path({str(lock)!r}), "the search"):
    os._exit(3)
""")
    assert ended.returncode == 3
    assert re.fullmatch(r"process \d+ on .+", lock.read_text())
    with alone(lock, "the search"):
        assert lock.read_text().startswith(f"process {os.getpid()} on ")
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
def test_a_lock_file_removed_by_its_holder_is_no_lock(tmp_path, monkeypatch):
    from autorec_np import _files

    lock, calls = tmp_path / "search.lock", []
    try_lock = _files.try_lock

    def late(descriptor):
        calls.append(descriptor)
        if len(calls) == 1:
            lock.unlink()
        return try_lock(descriptor)

    monkeypatch.setattr(_files, "try_lock", late)
    with alone(lock, "the search"):
        assert lock.exists()
    assert len(calls) == 2
