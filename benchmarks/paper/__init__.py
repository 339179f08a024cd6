"""The tables of Sedhain et al. (WWW 2015), by one command: `python -m benchmarks paper`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.paper import journal, report, runner
from benchmarks.paper.rows import TABLES

RESULTS = Path(__file__).parents[1] / "results"
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "units_paper.png"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `paper` to those of `python -m benchmarks`."""
    description = (
        "Fit and score what the paper's tables hold: settings are chosen on the validation ratings "
        "of split 0, then five random 90/10 splits are scored. Each cell is one line of "
        "results/paper.jsonl and is never run twice; results/paper.md shows them."
    )
    command = commands.add_parser("paper", help="the tables of the paper", description=description)
    command.add_argument("--table", choices=TABLES, help="default: all")
    command.add_argument("--dataset", default="ml-1m", help="a data set of `fetch_movielens`")
    command.add_argument("--jobs", type=int, default=1, help="cells at a time, a thread each")
    command.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")


def main(options: argparse.Namespace) -> None:
    """Run the missing cells, and write the page and the picture."""
    folder, dataset = options.output, options.dataset
    is_ours = dataset == "ml-1m"
    name = "paper" if is_ours else f"paper_{dataset}"
    cells = folder / f"{name}.jsonl"
    runner.run([options.table] if options.table else list(TABLES), dataset, cells, options.jobs)
    results = journal.read(cells)
    report.write(dataset, results, folder / f"{name}.md")
    report.draw_units(
        dataset, results, PICTURE if is_ours and folder == RESULTS else folder / f"{name}.png"
    )
