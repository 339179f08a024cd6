"""Files are whole or not there, whatever ends the process; a lock says who holds it."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from autorec_np import GlobalMean, _files, load_model, make_ratings, save_model
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


def write(path, content):
    with replacing(path) as file:
        file.write(content)


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


KILLED_IN_A_THREAD = """
import os, signal, sys, threading
from autorec_np import load_model, save_model
path = {path!r}
model = load_model(path)
writing = threading.Event()
def wait(descriptor):
    writing.set()
    threading.Event().wait()
os.fsync = wait
threading.Thread(target=save_model, args=(model, path), daemon=True).start()
assert writing.wait(60)
os.kill(os.getpid(), signal.{signal})
"""


@needs_signals
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_save_in_another_thread_leaves_the_old_file_and_the_next_save_cleans_up(tmp_path, name):
    path = tmp_path / "model.npz"
    save_model(GlobalMean().fit(make_ratings(10, 8, 30, random_state=0)), path)
    before = path.read_bytes()
    ended = run(KILLED_IN_A_THREAD.format(path=str(path), signal=name))
    assert ended.returncode == -getattr(signal, name), ended.stderr
    assert path.read_bytes() == before
    assert len(names(tmp_path)) == 2
    save_model(load_model(path), path)
    assert names(tmp_path) == ["model.npz"]
    assert path.read_bytes() == before


HOLDING = """
import sys
from pathlib import Path
from autorec_np._files import replacing
with replacing(Path({path!r})) as file:
    file.write(b"theirs")
    file.flush()
    print("writing", flush=True)
    sys.stdin.readline()
"""


def test_the_temporary_of_a_living_process_stays(tmp_path):
    path = tmp_path / "file"
    program = HOLDING.format(path=str(path))
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "writing\n"
        for _ in range(2):
            write(path, b"ours")
        assert path.read_bytes() == b"ours"
        assert len(names(tmp_path)) == 2
        other.communicate("\n", timeout=60)
    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["file"]


def test_the_temporary_of_another_thread_stays(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as file:
        file.write(b"mine")
        file.flush()
        for temporary in tmp_path.iterdir():
            os.utime(temporary, (0, 0))  # however long it has been there
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write, path, b"theirs").result()
        assert path.read_bytes() == b"theirs"
    assert path.read_bytes() == b"mine"
    assert names(tmp_path) == ["file"]


def test_only_temporaries_of_the_same_file_are_removed(tmp_path):
    removed = [".a[1].npz.0123abcd.tmp", ".a[1].npz.00000000.tmp"]
    kept = [".a1.npz.0123abcd.tmp", ".a[1].npz.0123.tmp", ".a[1].npz.tmp", ".b.0123abcd.tmp"]
    for name in (*removed, *kept):
        (tmp_path / name).write_text("half")
    (tmp_path / ".a[1].npz.11111111.tmp").touch()  # of a process that was killed this moment
    write(tmp_path / "a[1].npz", b"whole")
    assert names(tmp_path) == sorted(["a[1].npz", *kept])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_temporary_that_another_took_for_abandoned_is_made_again(when, tmp_path, monkeypatch):
    """Another save may see it before it is locked: it then is locked by that one, or gone."""
    path, lock, taken = tmp_path / "file", _files.try_lock, []

    def late(descriptor):
        if taken:
            return lock(descriptor)
        [temporary] = tmp_path.iterdir()
        taken.append(temporary)
        temporary.unlink()
        return when == "after"

    monkeypatch.setattr(_files, "try_lock", late)
    write(path, b"whole")
    assert len(taken) == 1
    assert names(tmp_path) == ["file"]
    assert path.read_bytes() == b"whole"


def test_a_file_system_without_locks_saves_all_the_same(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(_files, "try_lock", refuse)
    abandoned = tmp_path / ".file.0123abcd.tmp"
    abandoned.write_text("half")
    write(tmp_path / "file", b"whole")
    assert names(tmp_path) == [abandoned.name, "file"]


def test_sixteen_threads_that_save_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "file"

    def save(number):
        for _ in range(20):
            write(path, bytes([number]) * 50_000)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(save, range(16)))
    content = path.read_bytes()
    assert len(content) == 50_000
    assert len(set(content)) == 1
    assert names(tmp_path) == ["file"]


AS_ON_WINDOWS = """
import asyncio, concurrent.futures.process, fcntl, multiprocessing.pool
import importlib, os, pkgutil, sys, types
from pathlib import Path
import numpy, pandas, requests, scipy.sparse, scipy.special
import matplotlib.figure

def locking(descriptor, mode, n_bytes):
    assert (mode, n_bytes) == (2, 1)
    try:
        flock(descriptor, 2 | 4)
    except BlockingIOError as error:
        raise PermissionError(*error.args) from None

flock = fcntl.flock
sys.modules["fcntl"] = None
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=locking)
sys.modules["threadpoolctl"] = None
sys.platform = "win32"
for name in ("fork", "register_at_fork", "sched_getaffinity", "fchmod", "getuid", "geteuid"):
    delattr(os, name)

import autorec_np
for module in pkgutil.walk_packages(autorec_np.__path__, "autorec_np."):
    if not module.name.endswith(("__main__", "pytest_plugin")):
        importlib.import_module(module.name)
from autorec_np import AutoRec, load_model, make_ratings, save_model
from autorec_np._files import alone
folder = Path({folder!r})
R = make_ratings(n_users=9, n_items=8, n_ratings=30, random_state=0)
model = AutoRec(hidden_layer_sizes=(2,), max_iter=1, random_state=0).fit(R)
save_model(model, folder / "model.npz")
(folder / ".model.npz.0123abcd.tmp").write_text("half")
os.utime(folder / ".model.npz.0123abcd.tmp", (0, 0))
save_model(load_model(folder / "model.npz"), folder / "model.npz")
with alone(folder / "lock", "x"):
    try:
        with alone(folder / "lock", "x"):
            raise AssertionError
    except ValueError as error:
        print(str(error).startswith("x is in use by process"))
print(*sorted(path.name for path in folder.iterdir()))
"""


def test_nothing_is_asked_of_the_system_that_windows_lacks(tmp_path):
    pytest.importorskip("fcntl")
    pytest.importorskip("matplotlib")
    ended = subprocess.run(
        [sys.executable, "-c", AS_ON_WINDOWS.format(folder=str(tmp_path))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "True\nmodel.npz\n"


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
