"""Value and gradient while another process keeps one core busy."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from benchmarks import ours, peers
from benchmarks.data import by_item, split_for
from benchmarks.harness import THREADS, Measurement, Result, Setting, in_own_process

K = 500


@contextmanager
def busy_neighbor() -> Iterator[None]:
    """Keep one core busy by another process."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)  # until it has started
        yield
    finally:
        process.kill()
        process.wait()


def time_ours(
    hide_threadpoolctl: bool, quick: bool, repeats: int
) -> tuple[list[float], list[float]]:
    """Return seconds idle and beside a neighbor, in a process with or without threadpoolctl."""
    if hide_threadpoolctl:
        sys.modules["threadpoolctl"] = None  # type: ignore[assignment]  # its import fails then
    matrix = ours.in_order(by_item(split_for(quick)[0]))
    theta = ours.initial_theta(matrix.shape[1], K)
    fun = ours.value_and_gradient(matrix, K, out=np.empty_like(theta))
    return in_turns(lambda: fun(theta), repeats)


def time_torch(quick: bool, repeats: int) -> tuple[list[float], list[float]]:
    """Return the same for the sparse PyTorch model."""
    import torch

    from benchmarks.peers import torch_sparse

    torch.set_num_threads(THREADS)
    matrix = ours.in_order(by_item(split_for(quick)[0]))
    model = torch_sparse.Model(matrix, K, (ours.PENALTY, ours.PENALTY))
    return in_turns(model.evaluate, repeats)


def in_turns(run: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Time a function idle and beside a busy neighbor, in turns."""

    def timed() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    timed()
    idle, busy = [], []
    for _ in range(repeats):
        idle.append(timed())
        with busy_neighbor():
            busy.append(timed())
    return idle, busy


def run(setting: Setting) -> Result:
    """Time ours with and without threadpoolctl, and the sparse PyTorch model."""
    measured = {
        "autorec_np, with threadpoolctl": (time_ours, False, setting.quick, setting.repeats),
        "autorec_np, without threadpoolctl": (time_ours, True, setting.quick, setting.repeats),
    }
    present, absent = peers.load(["PyTorch sparse kernels"])
    if present:
        measured["PyTorch sparse"] = (time_torch, setting.quick, setting.repeats)
    try:
        import threadpoolctl  # noqa: F401
    except ImportError as error:
        absent["threadpoolctl"] = f"not installed here ({error})"
        del measured["autorec_np, with threadpoolctl"]
    measurements = []
    for label, (function, *arguments) in measured.items():
        idle, busy = in_own_process(function, *arguments)
        measurements += [
            Measurement(f"{label}: idle", idle),
            Measurement(f"{label}: one core busy", busy),
        ]
    return Result(measurements, absent)
