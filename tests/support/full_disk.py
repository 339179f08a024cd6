"""A disk that is full: no file may grow beyond so many bytes."""

from __future__ import annotations

from contextlib import contextmanager

import pytest


@contextmanager
def full_disk(n_bytes):
    resource = pytest.importorskip("resource", reason="needs the limits of POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
