"""One training on Dask workers beside a fit: the clock, seconds of CPU, and bytes moved."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterator
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
N_ITERATIONS = {"lbfgs": 5, "adam": 2}
PRELOAD = {"MALLOC_TRIM_THRESHOLD_": "1073741824", "OPENBLAS_NUM_THREADS": "1"}


def run(setting: Setting) -> Result:
    """Fit by both solvers, alone and on one and two workers of this machine."""
    try:
        import dask
        import distributed
    except ImportError as error:
        return Result([], absent={"dask": str(error)})
    train, _ = split_for(setting.quick)
    dask.config.set({"distributed.nanny.pre-spawn-environ": PRELOAD})
    measurements = []
    usual, trainer.ENTRIES_PER_BLOCK = trainer.ENTRIES_PER_BLOCK, ENTRIES_PER_BLOCK
    try:
        fits = list(models(setting.quick))
        for n_jobs in WORKERS:
            for label, make in fits:
                model = make(n_jobs)
                done = measured(lambda model=model: model.fit(train), model)
                measurements.append(Measurement(f"{label}, fit, n_jobs={n_jobs}", [], done))
        for n_workers in WORKERS:
            with (
                distributed.LocalCluster(
                    n_workers=n_workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                ) as cluster,
                distributed.Client(cluster) as client,
            ):
                for label, make in fits:
                    done = on_cluster(client, make(1), train)
                    label = f"{label}, workers={n_workers}"
                    measurements.append(Measurement(label, [], done))
    finally:
        trainer.ENTRIES_PER_BLOCK = usual
    measurements.sort(key=lambda one: one.label.partition(", workers")[0].partition(", fit")[0])
    notes = [
        f"Workers have a thread each. L-BFGS adds up blocks of {ENTRIES_PER_BLOCK:,} ratings "
        f"(2**20 otherwise, of which this has one). Adam with 1 worker has the bits of the fit.",
        "The time is that between the first and the last callback, divided by what lies between: "
        "evaluations of L-BFGS, steps of Adam (which has the end of its epochs in it). "
        "CPU is that of all processes over the whole fit, moved is what went through the loopback "
        "device, which is all that client, scheduler and workers say to one another.",
    ]
    return Result(measurements, notes=notes)


def models(quick: bool) -> Iterator[tuple[str, Callable[[int], AutoRec]]]:
    """Yield a label, and what makes a model with so many threads."""
    kinds = {
        "L-BFGS": {"solver": "lbfgs"},
        "Adam, implicit=0": {"implicit": 0, "inputs": "ratings"},
        "Adam": {},
    }
    for k in QUICK_WIDTHS if quick else WIDTHS:
        for name, changes in kinds.items():
            solver = changes.get("solver", "adam")
            settings = {"hidden_layer_sizes": (k,), "max_iter": N_ITERATIONS[solver], **changes}

            def make(n_jobs: int, settings: dict[str, Any] = settings) -> AutoRec:
                return AutoRec(**settings, tol=0.0, random_state=0, n_jobs=n_jobs)

            yield f"k = {k}, {name}", make


def measured(fit: Callable[[], Any], model: AutoRec) -> dict[str, Any]:
    """Return seconds of an evaluation or step, and CPU of this process."""
    ticks: list[float] = []
    model.callbacks = [lambda state: ticks.append(time.perf_counter())]
    before = time.process_time()
    with trainer.short_on_purpose():
        fit()
    spent = time.process_time() - before
    part = (model.n_iter_ - 1) / model.n_iter_  # of evaluations; L-BFGS: about one an iteration
    each = (ticks[-1] - ticks[0]) / (part * model.n_evaluations_)
    return {"ms each": each * 1e3, "CPU, s": spent, "evaluations or steps": model.n_evaluations_}


def on_cluster(client: Any, model: AutoRec, train: Ratings) -> dict[str, Any]:
    """Return the same of a fit on a cluster, and what was moved."""

    def others() -> float:
        return sum(client.run(time.process_time).values())

    with tempfile.TemporaryDirectory() as folder:
        spent, moved = others(), through_loopback()
        done = measured(lambda: fit_distributed(model, train, client, folder), model)
        moved = through_loopback() - moved
        done["CPU, s"] += others() - spent
    done["MB moved each"] = moved / 1e6 / model.n_evaluations_
    return done


def through_loopback() -> float:
    """Return the bytes that the loopback device has received; nan where it is not Linux's."""
    path = Path("/proc/net/dev")
    lines = path.read_text().splitlines() if path.exists() else []
    counts = [line.split()[1] for line in lines if line.strip().startswith("lo:")]
    return float(counts[0]) if counts else math.nan
