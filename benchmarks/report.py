"""Markdown tables and plots from the JSON that a run wrote."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.rows import TITLES
from benchmarks.rows.fits import TARGETS

Results = Mapping[str, Any]


def write(results: Results, folder: Path) -> Path:
    """Write report.md and its plots to a folder; return the path of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = draw(results, folder)
    path = folder / "report.md"
    path.write_text(render(results, plots))
    return path


def render(results: Results, plots: Mapping[str, str] | None = None) -> str:
    """Return the report in Markdown; `plots` maps names of rows to file names."""
    parts = ["# Measurements of speed and memory\n"]
    for name in [name for name in TITLES if name in results]:
        parts += [f"## {TITLES[name]}\n", command(name, results[name])]
        parts.append(table_of(results[name]["measurements"]))
        if name == "fits":
            parts.append(targets(results[name]["measurements"]))
        absent = results[name]["absent"]
        parts += [f"* Absent: {label}, {reason}." for label, reason in absent.items()]
        parts += [f"* {note}" for note in results[name]["notes"]]
        parts.append("")
        if plots and name in plots:
            parts.append(f"![{TITLES[name]}]({plots[name]})\n")
    return "\n".join(parts)


def command(name: str, row: Mapping[str, Any]) -> str:
    """Return how and where a row was measured."""
    machine, versions = row["machine"], row["versions"]
    installed = ", ".join(
        f"{package} {version}" for package, version in versions.items() if version != "absent"
    )
    quick, smaller = "", ""
    if row["quick"]:
        quick, smaller = " --quick", "Quick: smaller, made-up ratings in the place of ML-1M. "
    load = row["load_at_start"]
    return (
        f"    python -m benchmarks run {name}{quick} --repeats {row['repeats']}\n\n"
        f"{smaller}{row['measured']}, {machine['processor']}, {machine['cores']} cores, load "
        f"{'unknown' if load is None else f'{load:.1f}'} at the start, {row['threads']} threads; "
        f"{installed}.\n"
    )


def table_of(measurements: list[dict[str, Any]]) -> str:
    """Return a Markdown table: median, spread and number of runs, and all other figures."""
    timed = any(measurement["seconds"] for measurement in measurements)
    names = list(dict.fromkeys(name for m in measurements for name in m["figures"]))
    header = ["", *(["median, s", "lowest to highest", "runs"] if timed else []), *names]
    lines = [header, ["---"] * len(header)]
    for measurement in measurements:
        seconds = measurement["seconds"]
        cells = [measurement["label"]]
        if timed and seconds:
            spread = f"{min(seconds):.4g} to {max(seconds):.4g}"
            cells += [f"{statistics.median(seconds):.4g}", spread, str(len(seconds))]
        elif timed:
            cells += [""] * 3
        lines.append(cells + [shown(measurement["figures"].get(name)) for name in names])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def shown(value: Any) -> str:
    """Return a figure for a table."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def targets(measurements: list[dict[str, Any]]) -> str:
    """Return for each contestant the fastest of its fits that is as accurate as each target."""
    header = ["", *(f"{target:.4f}" for target in TARGETS), "lowest RMSE"]
    lines = [header, ["---"] * len(header)]
    for label in dict.fromkeys(m["figures"]["contestant"] for m in measurements):
        points = curve(measurements, label)
        cells = [label]
        for target in TARGETS:
            seconds = [taken for taken, error in points if error <= target]
            cells.append(f"{min(seconds):.1f} s" if seconds else "not reached")
        lines.append([*cells, f"{min(error for _, error in points):.4f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def curve(measurements: list[dict[str, Any]], label: str) -> list[tuple[float, float]]:
    """Return (seconds, test RMSE) of each fit of a contestant, by seconds."""
    return sorted(
        (statistics.median(m["seconds"]), m["figures"]["test RMSE"])
        for m in measurements
        if m["figures"]["contestant"] == label
    )


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Draw the plots of the rows that have one; return {row: file name}."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "the plots need matplotlib; install it with the extra `plot`: "
            "pip install 'autorec_np[plot]'."
        ) from error
    drawn = {name: f"{name}.svg" for name in PLOTS if name in results}
    for name, file in drawn.items():
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        PLOTS[name](figure.subplots(), results)
        figure.savefig(folder / file)
    return drawn


def plot_fits(axes: Any, results: Results) -> None:
    """Draw test RMSE against seconds of `fit`."""
    from matplotlib import colormaps
    from matplotlib.ticker import LogLocator

    measurements = results["fits"]["measurements"]
    colors = colormaps["tab20"].colors  # pairs of a strong and a pale one
    axes.set_prop_cycle(color=colors[::2] + colors[1::2])
    for label in dict.fromkeys(m["figures"]["contestant"] for m in measurements):
        seconds, errors = zip(*curve(measurements, label), strict=True)
        style = {"linewidth": 2.5} if label.startswith("autorec_np") else {"linewidth": 1.0}
        axes.plot(seconds, errors, "o-", label=label, **style)
    axes.set(xscale="log", xlabel="seconds of fit", ylabel="test RMSE")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def plot_growth(axes: Any, results: Results) -> None:
    """Draw seconds of an epoch against the number of ratings."""
    points = [
        (m["figures"]["ratings"], statistics.median(m["seconds"]))
        for m in results["growth"]["measurements"]
        if m["figures"]["k"] == 100
    ]
    ratings, seconds = zip(*sorted(points), strict=True)
    axes.plot(ratings, seconds, "o-", label="autorec_np, k = 100")
    proportional = [seconds[-1] * n / ratings[-1] for n in ratings]
    axes.plot(ratings, proportional, "k:", label="in proportion")
    axes.set(xscale="log", yscale="log", xlabel="ratings", ylabel="seconds of an epoch")
    axes.legend()


def plot_roofline(axes: Any, results: Results) -> None:
    """Draw the measured limits and where the sparse products stand."""
    figures = {m["label"]: m["figures"] for m in results["roofline"]["measurements"]}
    bandwidth = figures["copy"]["GB/s"]
    intensity = [2.0**power for power in range(-4, 9)]
    for label in ("GEMM, 1 thread", "GEMM, 2 threads"):
        if label in figures:
            peak = figures[label]["GFLOP/s"]
            roof = [min(peak, bandwidth * x) for x in intensity]
            axes.plot(intensity, roof, label=f"roof: copy, then {label}")
    for label, marker in (("SciPy CSR product", "s"), ("autorec_np value and gradient", "o")):
        axes.plot([0.5], [figures[label]["GFLOP/s"]], marker, label=label)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="operations for each byte, where nothing is found in a cache",
        ylabel="GFLOP/s",
    )
    axes.legend(fontsize="small")


PLOTS = {"fits": plot_fits, "growth": plot_growth, "roofline": plot_roofline}
