"""Timing in alternation, results as JSON, and what a figure depends on: machine, versions, threads.

Contestants take turns (ours, a peer, the next peer, ours, ...), so that a machine that slows
down or is shared slows all of them. Each is run once before, to be warm; one that needs more than
`SLOW` seconds for that is not run again.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

SLOW = 60.0  # seconds of a run above which it is not repeated
THREADS = 2
DISTRIBUTIONS = (
    "numpy",
    "scipy",
    "torch",
    "libmf",
    "cornac",
    "scikit-surprise",
    "myfm",
    "implicit",
    "lenskit",
    "threadpoolctl",
)


@dataclass
class Measurement:
    """One line of a table.

    Attributes
    ----------
    label : str
    seconds : list of float
        Of each run, in their order; empty where something else than time was measured.
    figures : dict of str to float, str or None
        Everything else.
    """

    label: str
    seconds: list[float] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass
class Result:
    """What a row returns: its measurements, who was absent and why, remarks."""

    measurements: list[Measurement]
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Setting:
    """How thoroughly to measure.

    Attributes
    ----------
    quick : bool
        Small data and few contestants, to see within two minutes that everything runs.
    repeats : int
        Runs of each contestant.
    data : sequence of str
        Of the row "lists": its data sets.
    """

    quick: bool = False
    repeats: int = 5
    data: Sequence[str] = ("ml-100k", "ml-latest-small", "ml-1m")


def alternate(
    contestants: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    slow: float = SLOW,
    after_first: Callable[[str, Any], None] = lambda label, returned: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Measurement]:
    """Warm every contestant, then time them in turns.

    Parameters
    ----------
    contestants : mapping of str to callable
    repeats : int
    slow : float
        A contestant whose first run takes longer has this one run as its measurement.
    after_first : callable
        Given a label and what its first run returned, outside of the time.
    clock : callable

    Returns
    -------
    list of Measurement
        In the order of the contestants.
    """

    measurements = []
    for label, run in contestants.items():
        started = clock()
        returned = run()
        once = clock() - started
        after_first(label, returned)
        measurements.append(Measurement(label, [once] if once > slow else []))
    quick = [measurement for measurement in measurements if not measurement.seconds]
    for _ in range(repeats):
        for measurement in quick:
            started = clock()
            contestants[measurement.label]()
            measurement.seconds.append(clock() - started)
    return measurements


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function of a module returns in a fresh process, for its memory or imports."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_memory() -> float:
    """Return the most memory that this process has had resident, in bytes.

    Linux keeps it for a process in `VmHWM`; what `getrusage` gives there is never less than the
    memory of the parent at the start.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def start_peak() -> float:
    """Forget the peak so far, where the system can; return what is resident, in bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def environment() -> dict[str, Any]:
    """Return the machine, the versions of what is installed, and the time."""
    versions = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "cores": cores, "system": platform.platform()},
        "load_at_start": load,
        "threads": THREADS,
        "versions": versions,
    }


def processor() -> str:
    """Return the name of the processor."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def run_rows(
    rows: Mapping[str, Callable[[Setting], Result]],
    names: Sequence[str],
    setting: Setting,
    path: Path,
    log: Callable[[str], None] = print,
) -> None:
    """Run rows by name (none: all) and write each to the file as soon as it is done.

    Rows that the file already holds and that are not run now stay.

    Raises
    ------
    ValueError
        A name that is not a row; nothing is run then.
    """
    unknown = [name for name in names if name not in rows]
    if unknown:
        raise ValueError(f"no row is called {', '.join(unknown)}; the rows are {', '.join(rows)}.")
    for name in names or rows:
        log(f"{name} ...")
        about = environment()
        started = time.perf_counter()
        result = rows[name](setting)
        seconds = time.perf_counter() - started
        record = {**asdict(setting), **about, "took": seconds, **asdict(result)}
        save({**load(path), name: record}, path)
        log(f"{name}: {seconds:.1f} s")


def save(results: Mapping[str, Any], path: Path) -> None:
    """Write results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def load(path: Path) -> dict[str, Any]:
    """Return what :func:`save` wrote; nothing where there is no file."""
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return results


def slope(x: Iterable[float], y: Iterable[float]) -> float:
    """Return the least-squares slope of log y against log x."""
    import numpy as np

    return float(np.polyfit(np.log(list(x)), np.log(list(y)), 1)[0])
