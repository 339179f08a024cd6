"""Ratings past memory: seconds and anonymous memory of reading and storing a file.

Memory that maps files counts as resident, but the system takes it back at any time; what a process
cannot give back is anonymous, and `/proc` says how much that is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import Measurement, Result, Setting

SHAPES = {"ML-10M": (69_878, 10_677, 10_000_000), "Netflix": (480_189, 17_770, 100_000_000)}
QUICK_SHAPES = {"ML-1M / 10": (1_900, 1_170, 100_000)}
USERS_AT_ONCE = 10_000
FIRST_USER, FIRST_ITEM = 1_000_000, 100_000  # so that all ids are of one width
READ = "import sys; from autorec_np import read_ratings; read_ratings(sys.argv[1])"
STORE = (
    "import sys; from autorec_np import store_ratings; "
    "store_ratings(sys.argv[1], sys.argv[2], memory=int(sys.argv[3]), overwrite=True)"
)


def generate(path: Path, shape: tuple[int, int, int], seed: int = 0) -> int:
    """Write lines of user, item and rating, users in turn; return how many."""
    n_users, n_items, n_ratings = shape
    rng = np.random.default_rng(seed)
    shares = rng.lognormal(sigma=1.0, size=n_users)
    counts = np.ceil(shares / shares.sum() * n_ratings).astype(np.int64)
    popular = rng.permutation(n_items)
    n_written = 0
    with open(path, "wb") as file:
        for start in range(0, n_users, USERS_AT_ONCE):
            wanted = counts[start : start + USERS_AT_ONCE]
            users = np.repeat(np.arange(start, start + len(wanted)), wanted + wanted // 2)
            items = popular[(n_items * rng.random(len(users)) ** 2).astype(np.int64)]
            cells = rng.permutation(np.unique(users * n_items + items))  # each pair once
            cells = cells[: min(wanted.sum(), n_ratings - n_written)]
            users, items = np.divmod(cells, n_items)
            ratings = rng.integers(1, 6, len(cells))
            file.write(as_lines(users + FIRST_USER, items + FIRST_ITEM, ratings))
            n_written += len(cells)
    return n_written


def as_lines(users: np.ndarray, items: np.ndarray, ratings: np.ndarray) -> bytes:
    """Return ``1000000,100000,5`` and so on, by digits, which is fast."""
    parts = []
    for numbers, width, end in ((users, 7, b","), (items, 6, b","), (ratings, 1, b"\n")):
        digits = numbers[:, None] // 10 ** np.arange(width - 1, -1, -1) % 10
        parts += [
            (digits + ord("0")).astype(np.uint8),
            np.full((len(numbers), 1), end[0], np.uint8),
        ]
    return np.hstack(parts).tobytes()


def anonymous_peak(code: str, *arguments: object) -> tuple[float, float]:
    """Run Python code; return its seconds and its peak of anonymous memory in bytes."""
    started, peak = time.perf_counter(), 0
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            with open(f"/proc/{process.pid}/status") as status:
                for line in status:
                    if line.startswith("RssAnon:"):
                        peak = max(peak, 1024 * int(line.split()[1]))
            time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{code!r} ended with {process.returncode}")
    return time.perf_counter() - started, peak


def run(setting: Setting) -> Result:
    """Read what fits in memory; store all, with two bounds."""
    measurements = []
    shapes = QUICK_SHAPES if setting.quick else SHAPES
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        path, target = Path(folder, "ratings.csv"), Path(folder, "stored")
        for name, shape in shapes.items():
            n_ratings = generate(path, shape)
            ways = {"stored with 1 GB": (STORE, path, target, 2**30)}
            if n_ratings <= 20_000_000:
                ways = {
                    "read": (READ, path),
                    "stored with 100 MB": (STORE, path, target, 10**8),
                } | ways
            for way, (code, *arguments) in ways.items():
                seconds, peak = anonymous_peak(code, *arguments)
                figures = {
                    "ratings": n_ratings,
                    "file, MB": path.stat().st_size / 1e6,
                    "anonymous peak, MB": peak / 1e6,
                    "B a rating": peak / n_ratings,
                    "microseconds a rating": 1e6 * seconds / n_ratings,
                }
                if target.exists():
                    size = sum(one.stat().st_size for one in target.iterdir())
                    figures["folder, MB"] = size / 1e6
                measurements.append(Measurement(f"{name}, {way}", [seconds], figures))
    note = "Made-up ratings of the shape. The peak includes the interpreter and its libraries."
    return Result(measurements, notes=[note])
