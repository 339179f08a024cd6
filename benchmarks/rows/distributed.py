"""One training on Dask workers beside a fit: the clock, seconds of CPU, and bytes moved."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autorec_np import AutoRec, Ratings
from autorec_np.distributed import fit_distributed
from autorec_np.training import trainer
from benchmarks.data import split_for
from benchmarks.harness import Measurement, Result, Setting

WIDTHS, QUICK_WIDTHS = (50, 500), (20,)
WORKERS = (1, 2)
ENTRIES_PER_BLOCK = 2**16  # so that ML-1M has blocks for two
LIMITS = {"lbfgs": (2, 6), "adam": (1, 3)}  # of a short and a long fit
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": 1}  # and not MALLOC_TRIM_THRESHOLD_: docs/scale.md
KINDS = {
    "L-BFGS": {"solver": "lbfgs"},
    "Adam, implicit=0": {"implicit": 0, "inputs": "ratings"},
    "Adam": {},
}


def run(setting: Setting) -> Result:
    """Fit by both solvers, alone and on one and two workers of this machine."""
    try:
        import dask.distributed
    except ImportError as error:
        return Result([], absent={"dask": str(error)})
    train, _ = split_for(setting.quick)
    dask.config.set({"distributed.nanny.pre-spawn-environ": ENVIRONMENT})
    measurements = []
    usual, trainer.ENTRIES_PER_BLOCK = trainer.ENTRIES_PER_BLOCK, ENTRIES_PER_BLOCK
    try:
        for n_workers in (0, *WORKERS):
            with cluster_of(n_workers) as client:
                for label, settings in models(setting.quick):
                    who = f"{n_workers} workers" if n_workers else "fit"
                    done = each(settings, train, client)
                    measurements.append(Measurement(f"{label}, {who}", [], done))
    finally:
        trainer.ENTRIES_PER_BLOCK = usual
    order = [label for label, _ in models(setting.quick)]
    measurements.sort(key=lambda one: order.index(one.label.rpartition(", ")[0]))
    notes = [
        f"For an evaluation of L-BFGS, or a step of Adam with its part of the end of an epoch: the "
        f"difference of a long and a short fit. A worker has one thread, as has the fit. Blocks of "
        f"L-BFGS are of {ENTRIES_PER_BLOCK:,} ratings (else 2**20, of which this has one).",
        "Moved is what went through the loopback device: all that client, scheduler and workers "
        "say to one another.",
    ]
    return Result(measurements, notes=notes)


def models(quick: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield labels and parameters."""
    for k in QUICK_WIDTHS if quick else WIDTHS:
        for name, changes in KINDS.items():
            yield f"k = {k}, {name}", {"hidden_layer_sizes": (k,), **changes}


@contextmanager
def cluster_of(n_workers: int) -> Iterator[Any]:
    """Give a client of so many workers, None without."""
    if not n_workers:
        yield None
        return
    import distributed

    ways = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "threads_per_worker": 1}
    ways |= {"n_workers": n_workers, "silence_logs": logging.CRITICAL}
    with distributed.LocalCluster(**ways) as cluster, distributed.Client(cluster) as client:
        yield client


def each(settings: dict[str, Any], train: Ratings, client: Any) -> dict[str, Any]:
    """Return seconds of the clock, of CPU, and bytes, for one more evaluation or step."""
    totals = []
    short, long = LIMITS[settings.get("solver", "adam")]
    for max_iter in (short, short, long):  # the first to be warm
        model = AutoRec(**settings, max_iter=max_iter, tol=0.0, random_state=0, n_jobs=1)
        before = counters(client)
        with tempfile.TemporaryDirectory() as folder, trainer.short_on_purpose():
            if client is None:
                model.fit(train)
            else:
                fit_distributed(model, train, client, folder)
        spent = [after - one for one, after in zip(before, counters(client), strict=True)]
        totals.append([*spent, model.n_evaluations_])
    *spent, number = (after - one for one, after in zip(*totals[1:], strict=True))
    names = ("clock, s", "CPU, s", "of it in the client, s", "moved, MB")
    return dict(zip(names, (one / number for one in spent), strict=True))


def counters(client: Any) -> tuple[float, float, float, float]:
    """Return the clock, seconds of CPU of all and of this process, and megabytes moved."""
    own = time.process_time()
    others = 0.0 if client is None else sum(client.run(time.process_time).values())
    moved = 0.0 if client is None else through_loopback() / 1e6
    return time.perf_counter(), own + others, own, moved


def through_loopback() -> float:
    """Return the bytes that the loopback device has received; nan where it is not Linux's."""
    path = Path("/proc/net/dev")
    lines = path.read_text().splitlines() if path.exists() else []
    counts = [line.split()[1] for line in lines if line.strip().startswith("lo:")]
    return float(counts[0]) if counts else math.nan
