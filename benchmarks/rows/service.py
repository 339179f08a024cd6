"""The example service under load: HTTP, two workers, eight clients, a model replaced meanwhile."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autorec_np import AutoRec, Ratings, save_model
from autorec_np.gradcheck.process import VARIABLES
from benchmarks.data import split_for
from benchmarks.harness import THREADS, Measurement, Result, Setting

SERVICE = Path(__file__).parents[2] / "docs" / "example_service.py"
WORKERS, CLIENTS = 2, 8
SECONDS, QUICK_SECONDS = 25.0, 2.0
PATIENCE = 10.0  # seconds until a client gives a request up
N_RATED = 20  # by a visitor

ONE_THREAD = "OPENBLAS_NUM_THREADS=1"
INSTALLED = "as installed, extra fast"
PLAIN = "as installed, plain"  # threadpoolctl is hidden


class Load(NamedTuple):
    """What one client saw: seconds of the requests that were answered, and how many were not."""

    seconds: list[float]
    timeouts: int
    failures: int


def run(setting: Setting) -> Result:
    """Serve with each environment in turns, and count what is answered."""
    train = split_for(setting.quick)[0]
    model = AutoRec(max_iter=1, n_jobs=THREADS, random_state=0).fit(train)
    seconds = QUICK_SECONDS if setting.quick else SECONDS
    labels = (INSTALLED, PLAIN, ONE_THREAD)
    loads: dict[str, list[Load]] = {label: [] for label in labels}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        save_model(model, path)
        for _ in range(setting.repeats):
            for label in labels:
                with served(path, environment(label, Path(folder))) as port:
                    loads[label].append(under_load(port, train, seconds, model, path))
    measurements = [
        Measurement(label, figures=figures_of(loads[label], seconds)) for label in labels
    ]
    return Result(
        measurements,
        notes=[
            f"{WORKERS} workers, {CLIENTS} clients, {seconds:g} s a run; the model is mapped, and "
            f"replaced in the middle of a run. Medians over {setting.repeats} runs in turns.",
            "Of ten requests, five recommend to a known user, three to a visitor with "
            f"{N_RATED} ratings, one asks for similar items and one for an explanation.",
        ],
    )


def environment(label: str, folder: Path) -> dict[str, str]:
    """Return the environment of a contestant."""
    own = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    if label == ONE_THREAD:
        own["OPENBLAS_NUM_THREADS"] = "1"
    if label == PLAIN:
        hidden = folder / "hidden"
        hidden.mkdir(exist_ok=True)
        (hidden / "threadpoolctl.py").write_text("raise ImportError('hidden')\n")
        own["PYTHONPATH"] = os.pathsep.join([str(hidden), *sys.path])
    else:
        own["PYTHONPATH"] = os.pathsep.join(sys.path)
    return own


@contextmanager
def served(path: Path, variables: Mapping[str, str]) -> Iterator[int]:
    """Run the example service; yield its port."""
    command = [sys.executable, str(SERVICE), str(path), "--port", "0", "--workers", str(WORKERS)]
    with subprocess.Popen(
        command, env=dict(variables), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


def under_load(port: int, train: Ratings, seconds: float, model: AutoRec, path: Path) -> Load:
    """Let the clients ask, replace the model meanwhile, and return what all of them saw."""
    ask(port, train, 0, time.perf_counter() + 1.0)  # so that the workers have loaded
    with ThreadPoolExecutor(CLIENTS) as pool:
        end = time.perf_counter() + seconds
        asking = [pool.submit(ask, port, train, seed, end) for seed in range(1, 1 + CLIENTS)]
        time.sleep(seconds / 2)
        save_model(model, path)
        loads = [one.result() for one in asking]
    return Load(
        [taken for load in loads for taken in load.seconds],
        sum(load.timeouts for load in loads),
        sum(load.failures for load in loads),
    )


def ask(port: int, train: Ratings, seed: int, end: float) -> Load:
    """Ask one question after the other until the end."""
    rng, taken, timeouts, failures = np.random.default_rng(seed), [], 0, 0
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    while time.perf_counter() < end:
        method, url, body = question(rng, train)
        started = time.perf_counter()
        try:
            connection.request(method, url, body)
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                taken.append(time.perf_counter() - started)
            else:
                failures += 1
        except TimeoutError:
            timeouts += 1
            connection.close()
        except (OSError, HTTPException):
            failures += 1
            connection.close()
    connection.close()
    return Load(taken, timeouts, failures)


def question(rng: np.random.Generator, train: Ratings) -> tuple[str, str, str | None]:
    """Draw one request."""
    kind, user, item = rng.integers(10), rng.choice(train.user_ids), rng.choice(train.item_ids)
    if kind < 5:
        return "GET", f"/recommend?user={user}", None
    if kind < 8:
        rated = rng.choice(train.item_ids, N_RATED, replace=False).tolist()
        body: dict[str, Any] = {str(one): int(rng.integers(1, 6)) for one in rated}
        return "POST", "/recommend", json.dumps(body)
    if kind < 9:
        return "GET", f"/similar?item={item}", None
    return "GET", f"/because?user={user}&item={item}", None


def figures_of(loads: list[Load], seconds: float) -> dict[str, float]:
    """Return medians over the runs; of what went wrong, the sum."""
    return {
        "requests answered": statistics.median(len(load.seconds) for load in loads),
        "requests/s": statistics.median(len(load.seconds) / seconds for load in loads),
        "p50, ms": statistics.median(np.percentile(one.seconds, 50) * 1e3 for one in loads),
        "p99, ms": statistics.median(np.percentile(one.seconds, 99) * 1e3 for one in loads),
        "time-outs": float(sum(load.timeouts for load in loads)),
        "failures": float(sum(load.failures for load in loads)),
    }
