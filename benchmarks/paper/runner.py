"""Run the cells of tables, several at a time, each in a process with one thread."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from datetime import date
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import autorec_np
from autorec_np import Ratings, fetch_movielens, rmse, train_test_split
from benchmarks.paper import journal
from benchmarks.paper.rows import TABLES, Row
from benchmarks.paper.search import N_SPLITS, Cell, Results, chosen, next_cells

COLD = 3.0  # what the paper predicts for a user or item without training ratings
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def rows_of(tables: Iterable[str]) -> dict[str, Row]:
    """Return the rows of tables by name; several tables may share one."""
    return {row.name: row for table in tables for row in TABLES[table].rows}


def split(dataset: str, cell: Cell) -> tuple[Ratings, Ratings]:
    """Return the ratings that a cell learns from and those that it is scored on."""
    ratings = fetch_movielens(dataset).ratings
    train, test = train_test_split(ratings, 0.1, random_state=cell.split)
    if cell.ratings == "validation":
        train, test = train_test_split(train, 0.1, random_state=1)
    return train, test


def measure(row: Row, cell: Cell) -> dict[str, Any]:
    """Fit the model of a cell and score it."""
    from benchmarks.paper.models import fitted

    train, test = split(cell.dataset, cell)
    started = time.perf_counter()
    model = fitted(row, json.loads(cell.settings), train, cell.split)
    seconds = time.perf_counter() - started
    users, items, ratings = test.triples()
    is_cold = model.cold_pairs(users, items)
    predictions = np.where(is_cold, COLD, model.predict(users, items))
    return {
        "rmse": round(rmse(ratings, predictions), 6),
        "cold": int(is_cold.sum()),
        "seconds": round(seconds, 1),
        "date": date.today().isoformat(),
        "versions": {
            "autorec_np": autorec_np.__version__,
            **{name: metadata.version(name) for name in ("numpy", "scipy")},
        },
    }


def hours_left(dataset: str, rows: Iterable[Row], results: Results, jobs: int) -> float:
    """Return about how many hours the cells that are missing take.

    A search is taken to need as many fits as one step of it and the neighbors of that: a bound
    for most, not for all.
    """
    seconds = 0.0
    for row in rows:
        known = [found["seconds"] for cell, found in results.items() if cell.row == row.name]
        fit = float(np.mean(known)) if known else row.seconds
        _, missing = chosen(dataset, row, results)
        tests = N_SPLITS if missing else len(next_cells(dataset, row, results))
        seconds += fit * (2 * len(missing) + tests)
    return seconds / 3600 / jobs


def run(
    tables: Sequence[str],
    dataset: str,
    path: Path,
    jobs: int,
    executor: Executor | None = None,
) -> None:
    """Measure the missing cells of tables and append each to the journal."""
    rows, results = rows_of(tables), journal.read(path)
    hours = hours_left(dataset, rows.values(), results, jobs)
    print(f"About {hours:.1f} hours with {jobs} at a time; {path} keeps what is done.", flush=True)
    if executor is not None:
        _run(executor, dataset, rows, results, path, jobs)
        return
    for name in ONE_THREAD:  # before NumPy is loaded in the other processes
        os.environ.setdefault(name, "1")
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        _run(pool, dataset, rows, results, path, jobs)


def _run(
    executor: Executor,
    dataset: str,
    rows: Mapping[str, Row],
    results: dict[Cell, dict[str, Any]],
    path: Path,
    jobs: int,
) -> None:
    running: dict[Future[dict[str, Any]], Cell] = {}
    while True:
        waiting = [
            cell
            for row in rows.values()
            for cell in next_cells(dataset, row, results)
            if cell not in running.values()
        ]
        for cell in waiting[: jobs - len(running)]:
            running[executor.submit(measure, rows[cell.row], cell)] = cell
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            cell = running.pop(future)
            results[cell] = future.result()
            journal.append(path, cell, results[cell])
            print(
                f"{cell.row}: {cell.ratings} {cell.split} {cell.settings} "
                f"{results[cell]['rmse']:.4f} {results[cell]['seconds']:.0f} s",
                flush=True,
            )
