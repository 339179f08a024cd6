"""How many threads BLAS has, by a way that is not ours; two while a test runs."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.linalg

from autorec_np.gradcheck.process import VARIABLES

threadpoolctl = pytest.importorskip("threadpoolctl", reason="needs the extra `fast`")


def blas_threads():
    assert scipy.linalg.blas.ddot([1.0], [1.0]) == np.dot([1.0], [1.0])  # so that both are loaded
    pools = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    return {pool["num_threads"] for pool in pools}


def two_threads(monkeypatch):
    """Give BLAS two threads for a test; afterwards it must have them still."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("BLAS cannot be given two threads here")
        yield
        assert blas_threads() == {2}


def one_way(request, monkeypatch):
    """Take the one or the other way to limit BLAS."""
    if request.param == "ctypes":
        monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    return request.param
