"""Files written whole or not at all, and locks that say who holds them."""

from __future__ import annotations

import errno
import glob
import os
import platform
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

BEYOND_TEXT = 1 << 30  # Windows locks against reading too


class _Terminated(BaseException):
    """SIGTERM arrived."""


@contextmanager
def cleaned_up_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, unless the program handles it, unwind the block, then end the process."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    arrived = False

    def unwind(*_: object) -> None:
        nonlocal arrived
        if not arrived:
            arrived = True
            raise _Terminated

    signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if arrived:
            os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` if the block succeeds."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder; create it first", str(path.parent))
    _remove_abandoned(path)
    with cleaned_up_on_sigterm():
        is_ours = False
        while not is_ours:
            # tempfile.mkstemp would hide it from others
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
            try:
                with open(temporary, "x+b") as file:
                    is_ours = True
                    with suppress(OSError):  # no locks here
                        is_ours = try_lock(file.fileno())
                    if not (is_ours := is_ours and is_at(file.fileno(), temporary)):
                        continue  # another took it for abandoned
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                    if sys.platform != "win32":
                        os.replace(temporary, path)
                if sys.platform == "win32":  # which renames no open file
                    os.replace(temporary, path)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise


def _remove_abandoned(path: Path) -> None:
    """Remove those of killed processes."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.tmp"):
        with suppress(OSError):
            # on Windows it may not be locked any more
            if sys.platform == "win32" and time.time() - temporary.stat().st_mtime < 60.0:
                continue
            with open(temporary, "r+b") as file:
                free = try_lock(file.fileno()) and is_at(file.fileno(), temporary)
                if free and sys.platform != "win32":  # which removes no open file
                    temporary.unlink()
            if free:
                temporary.unlink(missing_ok=True)


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`; ValueError, which begins with `what`, where it is held."""
    while True:
        with open(path, "a+b") as file:
            if not try_lock(file.fileno()):
                file.seek(0)
                holder = file.read().decode("utf-8", "replace") or "another process"
                raise ValueError(f"{what} is in use by {holder}; wait for its end.")
            if not is_at(file.fileno(), path):  # removed by its last holder
                continue
            try:
                file.truncate(0)
                file.write(f"process {os.getpid()} on {platform.node()}".encode())
                file.flush()
                yield
                return
            finally:
                with suppress(OSError):  # Windows removes no open file
                    path.unlink()


def is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            place = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, BEYOND_TEXT, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(descriptor, place, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
