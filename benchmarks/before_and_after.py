"""Rows of the benchmarks for two checkouts in turns: what a change has cost, beside the noise.

    git worktree add ../before COMMIT
    python -m benchmarks.before_and_after ../before gradient epoch lbfgs --turns 3

``our_fits`` in place of the rows are our fits without implicit decoder in the row "fits", without
its peers.

Each turn runs ``python -m benchmarks run ROWS`` once in the other checkout and once in this one,
each in a process of its own. For each of our measurements it prints the medians, the ratio of the
medians, and the ratio between the slowest and the fastest turn of the other checkout: a difference
within that spread is noise.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
OURS = "autorec_np"
OUR_FITS = """
import json, time
from benchmarks import ours
from benchmarks.data import split_for
train, _ = split_for(False)
fits = ours.FITS.get("autorec_np") or ours.FITS["autorec_np, no implicit decoder"]  # an older name
for number, settings in enumerate(fits, start=1):
    started = time.perf_counter()
    ours.Fitter().fit(train, **settings)
    print(json.dumps([f"fit #{number}", time.perf_counter() - started]))
"""


def turn(tree: Path, rows: list[str], repeats: int) -> dict[str, float]:
    """Run the rows in a checkout; return the median seconds of each of our measurements."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    if rows == ["our_fits"]:
        command = [sys.executable, "-W", "ignore", "-c", OUR_FITS]
        printed = subprocess.check_output(command, cwd=tree, env=environment, text=True)
        return dict(map(json.loads, printed.splitlines()))
    command = [sys.executable, "-m", "benchmarks", "run", *rows, "--repeats", str(repeats)]
    subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL)
    results = json.loads((tree / "benchmarks" / "results" / "full.json").read_text())
    return {
        f"{row}, {measurement['label']}": statistics.median(measurement["seconds"])
        for row in rows
        for measurement in results[row]["measurements"]
        if measurement["seconds"] and OURS in measurement["label"]
    }


def main(arguments: list[str]) -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("other", type=Path, help="a checkout of the version before")
    parser.add_argument("rows", nargs="+")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args(arguments)
    trees = {"before": args.other.resolve(), "after": HERE}
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(args.turns):
        for name, tree in trees.items():
            for label, median in turn(tree, args.rows, args.repeats).items():
                seconds[label][name].append(median)
    print("| row | before, s | after, s | after / before | slowest / fastest before |")
    print("|---|---|---|---|---|")
    for label, found in seconds.items():
        before, after = (statistics.median(found[name]) for name in trees)
        spread = max(found["before"]) / min(found["before"])
        print(f"| {label} | {before:.3f} | {after:.3f} | {after / before:.2f} | {spread:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
