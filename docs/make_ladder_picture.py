"""Draw the picture of docs/from_the_post_to_the_paper.md from the figures of the ladder.

    python docs/make_ladder_picture.py        (needs matplotlib: pip install .[plot])

The figures are those of benchmarks/results/keras_program.jsonl; nothing is trained or read.
"""

from __future__ import annotations

import sys
from pathlib import Path

import small_picture
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks is a folder of the repository, not of the package

from benchmarks.ladder import load, rungs  # noqa: E402

# Okabe and Ito's colors, which stay distinct with any kind of color blindness
BLUE, VERMILION, GRAY = "#0072B2", "#D55E00", "#666666"
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1}
LEFT = 0.36


def draw() -> Figure:
    """Return the figure: a row for each rung, what is reported and what is true."""
    done = load()
    labels = {rung.name: rung.label for rung in rungs()} | {"defaults": "AutoRec(), all defaults"}
    figure = Figure(figsize=(5, 7.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for height, (name, label) in enumerate(labels.items()):
        reported, true = done[name]["reported"], done[name]["true"]
        axes.text(LEFT, height - 0.36, f"{height}  {label}", fontsize=12, va="center", bbox=WHITE)
        axes.plot([reported, true], [height, height], color="#BBBBBB", lw=2, zorder=1)
        shown = f"{true:.2f}" if true > 2 else f"{true:.3f}"
        marks = [(true, "o", BLUE, shown)]
        if reported != true:
            marks.append((reported, "D", VERMILION, f"reported {reported:.2f}"))
        for value, marker, color, text in marks:
            axes.plot(value, height, marker, color=color, ms=9, zorder=3)
            axes.annotate(
                text, (value, height), xytext=(9, 0), textcoords="offset points", va="center",
                color=color, fontsize=12, bbox=WHITE, zorder=2,
            )  # fmt: skip
    bottom = len(labels) - 0.4
    for name, label, side in (("bias baseline", "biases ", "right"), ("mean", " mean", "left")):
        axes.axvline(done[name]["true"], color=GRAY, lw=1, ls=":", zorder=0)
        axes.text(done[name]["true"], bottom, label, ha=side, color=GRAY, fontsize=11, va="center")
    axes.set_xscale("log")
    ticks = [0.4, 0.6, 1.0, 1.5, 2.0, 3.0]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=11)
    axes.minorticks_off()
    axes.set(xlim=(LEFT, 4.4), ylim=(bottom + 0.4, -0.75), yticks=[])
    axes.set_xlabel("RMSE over the test ratings (blue)", fontsize=12)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


if __name__ == "__main__":
    small_picture.save(draw(), ROOT / "docs" / "images" / "ladder.png", dpi=110)
