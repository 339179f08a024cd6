"""Measure the cells that are missing: settings on validation ratings, then the test parts.

Each cell is one line of results/lists.jsonl and is never run twice, so a run can stop anywhere and
go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import in_own_process
from benchmarks.lists.contestants import ALL, BY_NAME, Contestant
from benchmarks.lists.measuring import (
    Measured,
    difference,
    measure,
    measure_data,
    over_users,
    validation_split,
)
from benchmarks.paper import journal
from benchmarks.paper.search import as_text, climbed

RESULTS = Path(__file__).parents[1] / "results"
CELLS, PAGE = RESULTS / "lists.jsonl", RESULTS / "lists.md"
REFERENCE = "EASE"


class Cell(NamedTuple):
    """One fit on validation ratings, or one on each test split.

    Attributes
    ----------
    data, name : str
        Data set and contestant.
    ratings : {"validation", "test"}
    settings : str
        As JSON, keys sorted.
    """

    data: str
    name: str
    ratings: str
    settings: str


Results = dict[Cell, dict[str, Any]]


def validation_cell(data: str, contestant: Contestant, values: Mapping[str, Any]) -> Cell:
    return Cell(data, contestant.name, "validation", as_text(values))


def chosen(
    data: str, contestant: Contestant, results: Results
) -> tuple[Mapping[str, Any], list[Cell]]:
    """Return where the search for the highest NDCG is, and the cells that it needs yet."""
    if not contestant.grids:
        return contestant.start, []
    errors = {
        cell: -found["ndcg"] for cell, found in results.items() if cell.ratings == "validation"
    }
    cell_of = partial(validation_cell, data, contestant)
    return climbed(contestant.start, contestant.grids, cell_of, errors)


def tune(data: str, names: Sequence[str] = (), path: Path = CELLS) -> None:
    """Search on the validation ratings of a data set, and print what was chosen."""
    results = journal.read(path, Cell)
    parts = validation_split(data)
    for contestant in [BY_NAME[name] for name in names] or ALL:
        if not contestant.grids:
            continue
        try:
            program = contestant.program()
        except LookupError as absent:
            print(f"{contestant.name}: {absent}")
            continue
        while (found := chosen(data, contestant, results))[1]:
            for cell in found[1]:
                measured = measure(program, json.loads(cell.settings), parts, 0)
                ndcg, seconds = float(measured.ndcg.mean()), measured.figures["seconds"]
                results[cell] = {"ndcg": round(ndcg, 6), "seconds": round(seconds, 2)}
                journal.append(path, cell, results[cell])
                print(f"{cell.name}: {cell.settings} {ndcg:.4f}, {seconds:.1f} s", flush=True)
        ndcg = results[validation_cell(data, contestant, found[0])]["ndcg"]
        print(f"{data}, {contestant.name}: chosen {as_text(found[0])}, {ndcg:.4f}", flush=True)


def test_cell(data: str, contestant: Contestant) -> Cell:
    return Cell(data, contestant.name, "test", as_text(contestant.settings(data)))


test_cell.__test__ = False  # type: ignore[attr-defined]


def measured_apart(name: str, data: str, values: Mapping[str, Any]) -> list[Measured]:
    """Measure a contestant on every split in a process of its own, for its memory."""
    found: list[Measured] = in_own_process(measure_data, name, data, values)
    return found


def run(
    data: Sequence[str],
    path: Path | None = None,
    log: Callable[[str], None] = print,
    measured_on: Callable[..., list[Measured]] | None = None,
) -> tuple[Results, dict[str, str]]:
    """Measure the missing cells of the test parts, each in a process of its own.

    Who has grids is measured when the search has ended, so that no test part is read twice.

    Returns
    -------
    results : dict of Cell to dict
        All that the journal holds.
    absent : dict of str to str
        Contestants that are missing, and why they are.
    """
    path, measured_on = path or CELLS, measured_on or measured_apart
    results: Results = journal.read(path, Cell)
    absent: dict[str, str] = {}
    for name in data:
        reference: list[Measured] = []
        for contestant in ALL:
            cell = test_cell(name, contestant)
            if cell in results:
                continue
            try:
                if chosen(name, contestant, results)[1]:
                    raise LookupError(f"not chosen yet: python -m benchmarks.tune lists {name}")
                contestant.program()
            except LookupError as error:
                absent[f"{name}, {contestant.name}"] = str(error)
                continue
            found = measured_on(contestant.name, name, dict(contestant.settings(name)))
            if contestant.name == REFERENCE:
                reference = found
            elif not reference:
                values = BY_NAME[REFERENCE].settings(name)
                reference = measured_on(REFERENCE, name, dict(values))
            results[cell] = {**summary(found, reference), **provenance()}
            journal.append(path, cell, results[cell])
            log(f"{name}, {contestant.name}: NDCG@10 {results[cell]['ndcg']['mean']:.4f}")
    return results, absent


def summary(found: Sequence[Measured], reference: Sequence[Measured]) -> dict[str, Any]:
    """Return what the journal keeps of a contestant."""
    return {
        "ndcg": over_users([(one.users, one.ndcg) for one in found]).to_dict(),
        "less than EASE": difference(reference, found).to_dict(),
        "each split": [round(float(one.ndcg.mean()), 6) for one in found],
        "figures": {
            name: [float(f"{one.figures[name]:.5g}") for one in found] for name in found[0].figures
        },
        "counts": {name: [one.counts[name] for one in found] for name in found[0].counts},
    }


def provenance() -> dict[str, Any]:
    """Return when and with what a cell was measured."""
    versions = {}
    for name in ("numpy", "scipy", "implicit", "lenskit"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"date": date.today().isoformat(), "versions": versions}


def settings_differ(data: str, results: Results) -> dict[str, Mapping[str, Any]]:
    """Return what a finished search chose and the settings do not say."""
    return {
        one.name: values
        for one in ALL
        if one.grids
        for values, missing in [chosen(data, one, results)]
        if not missing and dict(one.settings(data)) != values
    }
