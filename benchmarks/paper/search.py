"""Which cells a row still needs: first the search on validation ratings, then five test splits.

A cell is a row with settings on a split. What is next follows from the results alone, so a run
can stop anywhere and go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from benchmarks.paper.rows import Row

N_SPLITS = 5

Settings = Mapping[str, Any]
Grids = Mapping[str, Sequence[Any]]
AnyCell = TypeVar("AnyCell")


class Cell(NamedTuple):
    """One fit and its RMSE.

    Attributes
    ----------
    dataset, row : str
    ratings : {"validation", "test"}
        What it is scored on.
    split : int
        Seed of the split, of the weights and of the batches.
    settings : str
        As JSON, keys sorted.
    """

    dataset: str
    row: str
    ratings: str
    split: int
    settings: str


Results = Mapping[Cell, Mapping[str, Any]]


def as_text(settings: Settings) -> str:
    """Return settings as JSON, so that equal settings are the same text."""
    return json.dumps(dict(settings), sort_keys=True)


def validation_cell(dataset: str, row: Row, settings: Settings) -> Cell:
    """Return the cell that scores settings on the validation ratings of split 0."""
    return Cell(dataset, row.name, "validation", 0, as_text(settings))


def chosen(dataset: str, row: Row, results: Results) -> tuple[Settings, list[Cell]]:
    """Return where the search ends, and the cells that it needs yet."""
    errors = {cell: found["rmse"] for cell, found in results.items()}
    return climbed(row.start, row.grids, partial(validation_cell, dataset, row), errors)


def climbed(
    start: Settings,
    grids: Grids,
    cell_of: Callable[[Settings], AnyCell],
    errors: Mapping[AnyCell, float],
) -> tuple[Settings, list[AnyCell]]:
    """Climb down the grids from the start; return where it ends, and the cells that it needs yet.

    At each point the neighbors along every grid are scored. The best of them is the next point,
    until no neighbor is better.
    """
    point = dict(start)
    while True:
        around = [point, *neighbors(grids, point)]
        cells = [cell_of(settings) for settings in around]
        missing = [cell for cell in cells if cell not in errors]
        if missing:
            return point, missing
        found = [errors[cell] for cell in cells]
        best = around[found.index(min(found))]
        if best == point:
            return point, []
        point = best


def neighbors(grids: Grids, point: Settings) -> list[dict[str, Any]]:
    """Return the settings one step away along one grid."""
    found = []
    for name, values in grids.items():
        place = values.index(point[name])
        for other in values[max(place - 1, 0) : place] + values[place + 1 : place + 2]:
            found.append({**point, name: other})
    return found


def cells_of(dataset: str, row: Row, results: Results) -> list[Cell]:
    """Return the test cells of a row, none before its settings are chosen."""
    settings, missing = chosen(dataset, row, results)
    if missing:
        return []
    text = as_text(settings)
    return [Cell(dataset, row.name, "test", split, text) for split in range(N_SPLITS)]


def next_cells(dataset: str, row: Row, results: Results) -> list[Cell]:
    """Return the cells of a row that can run now."""
    _, missing = chosen(dataset, row, results)
    return missing or [cell for cell in cells_of(dataset, row, results) if cell not in results]
