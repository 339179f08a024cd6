"""Draw the pictures of docs/tour.md: run the tour's own code and plot its variables.

    python docs/make_tour_pictures.py        (needs matplotlib: pip install .[plot])

The ratings are synthetic, so nothing is read or fetched. Each function draws one picture into
docs/images/; the names that it reads from `tour` are variables of the tour's code blocks.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import small_picture

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
# Okabe and Ito's colors, which stay distinct with any kind of color blindness
BLUE, ORANGE, VERMILION, GRAY = "#0072B2", "#E69F00", "#D55E00", "#777777"

Names = dict[str, Any]


def run_tour() -> Names:
    """Run the Python blocks of the tour in order and return their variables."""
    names: Names = {}
    text = (DOCS / "tour.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block, "tour.md", "exec"), names)
    return names


def draw_ratings(tour: Names) -> None:
    matrix = tour["R"].matrix.tocoo()
    users, items = matrix.row, matrix.col
    by_user = np.argsort(np.argsort(-np.bincount(users), kind="stable"), kind="stable")
    counts = np.bincount(items)
    by_item = np.argsort(np.argsort(-counts, kind="stable"), kind="stable")
    image = np.full(matrix.shape, np.nan)
    image[by_user[users], by_item[items]] = matrix.data

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4), width_ratios=(1.25, 1))
    levels = matplotlib.colormaps["viridis"].resampled(5)
    shown = left.imshow(
        image.T, cmap=levels, vmin=0.5, vmax=5.5, aspect="auto", interpolation="nearest"
    )
    left.set(xlabel="users, most active first", ylabel="items, most rated first")
    figure.colorbar(shown, ax=left, ticks=[1, 2, 3, 4, 5], label="rating")
    right.plot(np.arange(1, len(counts) + 1), np.sort(counts)[::-1], color=BLUE)
    right.set(xlabel="items, most rated first", ylabel="ratings of the item", ylim=(0, None))
    _save(figure, "tour_ratings")


def draw_model(tour: Names) -> None:
    row, code, output = tour["X"][0], tour["H"][0], tour["Y"][0]
    figure, axes = plt.subplots(figsize=(8, 3.6))
    axes.set(xlim=(-1.7, 12.2), ylim=(-0.6, 4.7), aspect="equal")
    axes.axis("off")
    left, middle, right = 0.0, 5.5, 11.0
    heights = np.arange(4)[::-1] + 0.5
    units = (2.75, 1.25)
    for position, height in enumerate(heights):
        is_hole = row[position] == 0
        for unit in units:
            if not is_hole:
                axes.plot([left + 0.5, middle], [height, unit], color=GRAY, lw=1, zorder=1)
            axes.plot([middle, right - 0.5], [unit, height], color=GRAY, lw=1, zorder=1)
        _draw_box(axes, left, height, "" if is_hole else f"{row[position]:g}", "hole", is_hole)
        _draw_box(axes, right, height, f"{output[position]:.2f}", "prediction", is_hole)
        axes.text(left - 0.7, height, f"user {position + 1}", ha="right", va="center", color=GRAY)
    for unit, activity in zip(units, code, strict=True):
        axes.add_patch(
            plt.Circle((middle, unit), 0.48, facecolor="#D6E9F5", edgecolor=BLUE, zorder=2)
        )
        axes.text(middle, unit, f"{activity:.2f}", ha="center", va="center", zorder=3)
    for x, text in [
        (left, "row $r$"),
        ((left + middle) / 2, r"encoder $V$, $\mu$"),
        (middle, "code"),
        ((middle + right) / 2, "decoder $W$, $b$"),
        (right, "$h(r)$"),
    ]:
        axes.text(x, 4.4, text, ha="center", va="center")
    axes.text(left, -0.35, "dashed: not rated", ha="center", va="center", color=GRAY)
    axes.text(right, -0.35, "its prediction", ha="center", va="center", color=VERMILION)
    _save(figure, "tour_model")


def _draw_box(axes: Any, x: float, y: float, text: str, kind: str, marked: bool) -> None:
    style: dict[str, Any] = {"facecolor": "white", "edgecolor": "black"}
    if marked and kind == "hole":
        style = {"facecolor": "#EEEEEE", "edgecolor": GRAY, "linestyle": "--"}
    elif marked:
        style = {"facecolor": "#FBE3D3", "edgecolor": VERMILION, "linewidth": 2}
    axes.add_patch(plt.Rectangle((x - 0.5, y - 0.38), 1.0, 0.76, **style))
    axes.text(x, y, text, ha="center", va="center")


def draw_taylor(tour: Names) -> None:
    figure, axes = plt.subplots(figsize=(7, 4))
    for report, color, marker, label, order, anchor in [
        (tour["faulty_report"], VERMILION, "s", "penalty forgotten", 1, 1e-5),
        (tour["right"], BLUE, "o", "right gradient", 2, 1e-3),
    ]:
        block = report.blocks["encoder.weight"]
        remainders, steps = np.array(block.remainders[1]), np.array(block.steps)
        seen = remainders > 0
        axes.loglog(steps[seen], remainders[seen], marker, color=color, ms=4, label=label)
        nearest = int(np.argmin(np.abs(np.log(steps / anchor))))
        guide = steps[nearest] * np.array([0.1, 30.0])
        line = remainders[nearest] * (guide / steps[nearest]) ** order
        axes.loglog(guide, line, color=color, lw=1, zorder=0)
        axes.annotate(
            f"slope {order}", (guide[0], line[0]), xytext=(8, -4) if order == 2 else (-6, 8),
            textcoords="offset points", ha="left" if order == 2 else "right", va="center",
            color=color,
        )  # fmt: skip
    axes.text(1e-11, 2e-14, "rounding", color=GRAY, ha="center", va="bottom")
    axes.set(xlabel="step $s$ along a direction in encoder.weight", ylabel="Taylor remainder")
    axes.legend(frameon=False, loc="upper left")
    _save(figure, "tour_taylor")


def draw_learning_curve(tour: Names) -> None:
    figure, axes = plt.subplots(figsize=(7, 4))
    part, validation = tour["part"], tour["validation"]
    users, items, ratings = validation.triples()
    baseline = -tour["BiasBaseline"]().fit(part).score(users, items, ratings)
    epochs = np.arange(1, 101)
    axes.axhline(baseline, color=GRAY, lw=1.5, ls="--")
    axes.text(100, baseline + 0.002, "biases alone", ha="right", va="bottom", color=GRAY)
    axes.plot(epochs, tour["free"].validation_curve_, color=VERMILION, ls="-.")
    axes.plot(epochs, tour["penalized"].validation_curve_, color=BLUE)
    axes.text(
        100, tour["free"].validation_curve_[-1] + 0.004, "no penalty",
        ha="right", va="bottom", color=VERMILION,
    )  # fmt: skip
    axes.text(
        100, tour["penalized"].validation_curve_[-1] - 0.004, "with penalty",
        ha="right", va="top", color=BLUE,
    )  # fmt: skip
    axes.set(xlabel="epoch", ylabel="validation RMSE", xlim=(0, 101))
    _save(figure, "tour_learning_curve")


def draw_solvers(tour: Names) -> None:
    figure, axes = plt.subplots(figsize=(7, 4))
    lowest = np.minimum.accumulate(tour["evaluations"])
    axes.plot(np.arange(len(tour["adam_values"])), tour["adam_values"], color=ORANGE, marker=".")
    axes.plot(np.arange(1, len(lowest) + 1), lowest, color=BLUE)
    for name, x, y, color, offset, side in [
        ("Adam", 15, tour["adam_values"][15], "#A87400", (-6, -6), "right"),
        ("L-BFGS", 15, lowest[14], BLUE, (8, 4), "left"),
    ]:
        axes.annotate(
            name, (x, y), xytext=offset, textcoords="offset points",
            ha=side, va="top" if side == "right" else "bottom", color=color,
        )  # fmt: skip
    axes.set(xlabel="passes through the ratings", ylabel="objective $J$", xlim=(0, 120))
    _save(figure, "tour_solvers")


def draw_codes(tour: Names) -> None:
    axes_of_codes, truth = tour["axes"], tour["truth"]
    counts = tour["bias_model"].item_counts_
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.9), sharex=True, sharey=True)
    for factor, panel in enumerate(panels):
        planted = truth.item_factors[:, factor]
        limit = np.abs(planted).max()
        shown = panel.scatter(
            axes_of_codes[:, 0], axes_of_codes[:, 1], c=planted, s=8 + 0.25 * counts,
            cmap="PuOr", vmin=-limit, vmax=limit, edgecolors="#444444", linewidths=0.4,
        )  # fmt: skip
        panel.set_title(f"color: planted factor {factor + 1}", fontsize=10)
        panel.set_xlabel("first principal axis of the codes")
        figure.colorbar(shown, ax=panel)
    panels[0].set_ylabel("second principal axis")
    _save(figure, "tour_codes")


def draw_new_user(tour: Names) -> None:
    figure, axes = plt.subplots(figsize=(7, 4))
    network, biases = np.array(tour["new_user_rmse"]).T
    axes.plot(tour["n_given"], biases, color=GRAY, marker="s", ls="--")
    axes.plot(tour["n_given"], network, color=BLUE, marker="o")
    axes.text(1.08, biases[0] - 0.012, "biases", color=GRAY, va="top")
    axes.text(1.15, network[0], "AutoRec, predict_new", color=BLUE, va="center")
    axes.set_xscale("log", base=2)
    axes.set_xticks(tour["n_given"], [str(n) for n in tour["n_given"]])
    axes.set(xlabel="ratings that the new user has given", ylabel="RMSE on hidden ratings")
    _save(figure, "tour_new_user")


def _save(figure: Any, name: str) -> None:
    for axes in figure.axes:
        if axes.axison and axes.get_label() != "<colorbar>":
            axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    small_picture.save(figure, IMAGES / f"{name}.png", dpi=110)
    plt.close(figure)


def main() -> None:
    """Run the tour and draw every picture."""
    tour = run_tour()
    for draw in (
        draw_ratings,
        draw_model,
        draw_taylor,
        draw_learning_curve,
        draw_solvers,
        draw_codes,
        draw_new_user,
    ):
        draw(tour)


if __name__ == "__main__":
    main()
