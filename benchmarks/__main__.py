"""Run the rows of the benchmark, report what they measured, or make the paper's tables.

python -m benchmarks run [NAME ...] [--quick] [--repeats N] [--output FILE]
python -m benchmarks report [--input FILE] [--output FOLDER]
python -m benchmarks paper [--table a|b|c|units|deep] [--dataset ml-1m] [--jobs N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import harness, paper, report
from benchmarks.rows import ROWS, TITLES

FOLDER = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and do what it asks for."""
    names = "\n".join(f"  {name:10} {title}" for name, title in TITLES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Measure autorec_np beside its peers. The rows:\n\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure rows and write them to a JSON file")
    run.add_argument("names", nargs="*", metavar="NAME", help="rows (default: all)")
    run.add_argument("--quick", action="store_true", help="small sizes, two minutes in all")
    run.add_argument("--repeats", type=int, default=None, help="runs of each (default: 5)")
    run.add_argument("--output", type=Path, help="default: benchmarks/results/[quick|full].json")
    run.add_argument(
        "--data", nargs="+", default=harness.Setting.data, help="of the row lists: its data sets"
    )
    rendering = commands.add_parser("report", help="render tables and plots from the file")
    rendering.add_argument("--input", type=Path, default=FOLDER / "full.json")
    rendering.add_argument("--output", type=Path, help="folder (default: that of the input)")
    paper.add_command(commands)
    options = parser.parse_args(arguments)
    if options.command == "paper":
        paper.main(options)
    elif options.command == "run":
        repeats = options.repeats or (3 if options.quick else 5)
        path = options.output or FOLDER / f"{'quick' if options.quick else 'full'}.json"
        setting = harness.Setting(options.quick, repeats, options.data)
        try:
            harness.run_rows(ROWS, options.names, setting, path)
        except ValueError as error:
            parser.error(str(error))
    else:
        results = harness.load(options.input)
        if not results:
            parser.error(f"{options.input} holds no results; measure with `run` first.")
        print(report.write(results, options.output or options.input.parent))


if __name__ == "__main__":
    main()
