"""Draw the picture of docs/from_the_post_to_the_paper.md from the figures of the ladder.

    python docs/make_ladder_picture.py        (needs matplotlib: pip install .[plot])

The figures are those of benchmarks/results/keras_program.jsonl; nothing is trained or read.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks is a folder of the repository, not of the package

from benchmarks.ladder import MODELS, load, rungs  # noqa: E402

# Okabe and Ito's colors, which stay distinct with any kind of color blindness
BLUE, VERMILION, GRAY = "#0072B2", "#D55E00", "#666666"
FIRST_HIDDEN = 3  # rung from which on ratings are hidden: one test for all of them


def draw() -> Figure:
    """Return the figure: a row for each rung, what is reported and what is true."""
    done = load()
    names = [rung.name for rung in rungs()] + ["defaults"]
    labels = {rung.name: rung.label for rung in rungs()} | {"defaults": "AutoRec(), all defaults"}
    figure = Figure(figsize=(5.4, 6.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for height, name in enumerate(names):
        line = done[name]
        reported, true = line["reported"], line["true"]
        axes.plot([reported, true], [height, height], color="#BBBBBB", lw=2, zorder=1)
        axes.plot(true, height, "o", color=BLUE, ms=8, zorder=3)
        if reported != true:
            axes.plot(reported, height, "D", color=VERMILION, ms=7, zorder=2)
            axes.annotate(
                f"{reported:.2f}", (reported, height), xytext=(0, 9), textcoords="offset points",
                ha="center", color=VERMILION, fontsize=10,
            )  # fmt: skip
        axes.annotate(
            f"{true:.2f}" if true > 1.5 else f"{true:.3f}", (true, height), xytext=(10, 0),
            textcoords="offset points", va="center", color=BLUE, fontsize=11,
        )  # fmt: skip
    for name in ("mean", "bias baseline"):
        axes.axvline(done[name]["true"], color=GRAY, lw=1, ls=":", zorder=0)
    axes.set_xscale("log")
    ticks = [0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(0.37, 4.6)
    axes.set_yticks(range(len(names)), [f"{n}  {labels[x]}" for n, x in enumerate(names)])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelsize=10)
    axes.set_xlabel("RMSE (logarithmic)", fontsize=11)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


if __name__ == "__main__":
    assert set(MODELS) >= {"mean", "bias baseline", "defaults"}
    draw().savefig(ROOT / "docs" / "images" / "ladder.png", dpi=110)
