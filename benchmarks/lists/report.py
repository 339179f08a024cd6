"""The table of lists as Markdown; what was not run yet is blank."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.lists.contestants import ALL
from benchmarks.lists.runner import REFERENCE, Results, test_cell
from benchmarks.paper.report import between_marks

HEADER = (
    "model",
    "NDCG@10",
    "95 % interval",
    "each split",
    f"less {REFERENCE}'s",
    "coverage",
    "novelty, bits",
    "popularity's share",
    "fit, s",
    "memory, MB",
    "settings",
)


def table(data: str, results: Results) -> str:
    """Return the rows of a data set."""
    rows = [HEADER, ("---",) * len(HEADER)]
    for contestant in ALL:
        cell = test_cell(data, contestant)
        rows.append((contestant.name, *cells(cell.settings, results.get(cell))))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cells(settings: str, found: dict[str, Any] | None) -> Sequence[str]:
    """Return the cells of a contestant."""
    if found is None:
        return ("",) * (len(HEADER) - 1)
    ndcg, less, figures = found["ndcg"], found["less than EASE"], found["figures"]
    half = (less["high"] - less["low"]) / 2
    chosen = ", ".join(f"{name} {value}" for name, value in json.loads(settings).items())
    return (
        f"{ndcg['mean']:.4f}",
        f"{ndcg['low']:.4f} to {ndcg['high']:.4f}",
        " ".join(f"{one:.4f}" for one in found["each split"]),
        f"{-less['mean']:+.4f} ± {half:.4f}" if half else "",
        f"{statistics.fmean(figures['coverage']):.3f}",
        f"{statistics.fmean(figures['novelty']):.2f}",
        f"{statistics.fmean(figures['popularity']):.3f}",
        f"{statistics.median(figures['seconds']):.2f}",
        f"{max(figures['memory']):.0f}",
        chosen or "defaults",
    )


def provenance(data: str, results: Results) -> str:
    """Return how many users and items count, and when and with what they were measured."""
    found = [one for cell, one in results.items() if (cell.data, cell.ratings) == (data, "test")]
    if not found:
        return "Not run yet."
    counts = found[-1]["counts"]
    shown = {name: " ".join(f"{n:,}" for n in values) for name, values in counts.items()}
    versions = sorted({f"{k} {v}" for one in found for k, v in one["versions"].items()})
    days = sorted({one["date"] for one in found})
    return (
        f"Users with a relevant item: {shown['users']}; left out without one: "
        f"{shown['without relevant']}.\nRelevant items: {shown['relevant']}, of which cold: "
        f"{shown['cold']}.\n{' to '.join(dict.fromkeys((days[0], days[-1])))}, "
        f"{', '.join(versions)}."
    )


def write(data: Sequence[str], results: Results, path: Path) -> None:
    """Write the tables into a page, between its marks."""
    parts = [
        f"## {name}\n\n{provenance(name, results)}\n\n{table(name, results)}\n" for name in data
    ]
    between_marks(path, "# Lists\n\n", "\n".join(parts))
