"""The tables of the journal as Markdown, and the picture of RMSE against hidden units."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autorec_np.evaluation.held_out import MeanInterval, mean_and_interval
from benchmarks.paper.rows import TABLES, UNITS, Row
from benchmarks.paper.search import Results, cells_of, chosen

BEGIN, END = "<!-- tables -->\n", "<!-- end of the tables -->\n"


def tested(dataset: str, row: Row, results: Results) -> list[Mapping[str, Any]]:
    """Return what was measured on each test split that was run, in their order."""
    return [results[cell] for cell in cells_of(dataset, row, results) if cell in results]


def mean_error(measured: Sequence[Mapping[str, Any]]) -> MeanInterval:
    """Return mean and 95 % interval of test RMSE."""
    return mean_and_interval(one["rmse"] for one in measured)


def render(dataset: str, results: Results) -> str:
    """Return every table in Markdown; what was not run yet is blank."""
    parts = [provenance(dataset, results)]
    for table in TABLES.values():
        parts.append(f"## {table.title}\n\n{lines_of(dataset, table.rows, results)}\n")
    return "\n".join(parts)


def provenance(dataset: str, results: Results) -> str:
    """Return of what, when and with what the cells were measured."""
    found = [measured for cell, measured in results.items() if cell.dataset == dataset]
    if not found:
        return f"{dataset}: no cell was run yet.\n"
    versions = sorted({f"{k} {v}" for one in found for k, v in one["versions"].items()})
    days = sorted({one["date"] for one in found})
    period = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    hours = sum(one["seconds"] for one in found) / 3600
    return (
        f"{dataset}, {len(found)} cells, {hours:.1f} hours of one thread in all,\n{period}, "
        f"{', '.join(versions)}.\n"
    )


def lines_of(dataset: str, rows: Iterable[Row], results: Results) -> str:
    """Return the lines of one table."""
    lines = [
        "| model | published | ours | 95 % interval | each split | chosen | cold pairs |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        measured = tested(dataset, row, results)
        published = "" if row.published is None else f"{row.published:.3f}"
        ours = interval = choice = ""
        if measured:
            mean = mean_error(measured)
            ours = f"{mean.mean:.4f}"
            if mean.n > 1:
                interval = f"{mean.low:.4f} to {mean.high:.4f}"
            settings, _ = chosen(dataset, row, results)
            choice = ", ".join(f"{k} {settings[k]:g}" for k in sorted(settings))
        splits = " ".join(f"{one['rmse']:.4f}" for one in measured)
        cold = " ".join(str(one["cold"]) for one in measured)
        lines.append(
            "| " + " | ".join((row.label, published, ours, interval, splits, choice, cold)) + " |"
        )
    return "\n".join(lines)


def write(dataset: str, results: Results, path: Path) -> None:
    """Write the tables into a page, between its marks."""
    between_marks(path, f"# The paper's tables, {dataset}\n\n", render(dataset, results))


def between_marks(path: Path, title: str, text: str) -> None:
    """Write text into a page, between its marks; a new page holds a title and nothing else."""
    tables = BEGIN + text + END
    if not path.exists():
        path.write_text(title + tables, encoding="utf-8")
        return
    page = path.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise ValueError(f"{path} has no {BEGIN.strip()} and {END.strip()}; add both lines.")
    marked = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    path.write_text(marked.sub(lambda _: tables, page), encoding="utf-8")


def draw_units(dataset: str, results: Results, path: Path) -> None:
    """Draw RMSE against hidden units, with intervals, on a light ground."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = {
        k: tested(dataset, row, results) for k, row in zip(UNITS, TABLES["units"].rows, strict=True)
    }
    points = {k: mean_error(measured) for k, measured in found.items() if measured}
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    means = [point.mean for point in points.values()]
    spread = [point.half_width for point in points.values()]
    axes.errorbar(list(points), means, spread, fmt="o-", color="#0072B2", capsize=3)
    if dataset == "ml-1m":  # of which the paper's figure is
        published = TABLES["units"].rows[-1].published
        axes.axhline(published, color="#777777", linestyle="--", linewidth=1)
        place = (UNITS[-1], published)
        axes.annotate("the paper", place, (0, 4), textcoords="offset points", ha="right")
    axes.set(xlabel="hidden units k", ylabel="test RMSE", title=f"I-AutoRec, {dataset}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)
    plt.close(figure)
