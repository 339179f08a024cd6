"""Draw the picture of docs/performance.md: a rating matrix before and after it is put in order.

    python docs/make_performance_pictures.py

Needs the extra `plot`; no data: the ratings are made up, in the shape of MovieLens 1M.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import small_picture
from matplotlib.figure import Figure

from autorec_np import make_ratings
from autorec_np._types import CSR
from autorec_np.engine.tiled import STRIP_COLUMNS, Plan, by_activity, reordered, split

IMAGES = Path(__file__).parent / "images"
CELL = 32  # rows and columns that make one dot


def density(matrix: CSR) -> np.ndarray[Any, Any]:
    """Return the part of the cells that is rated, in squares of CELL x CELL."""
    n_rows, n_columns = (-(-n // CELL) for n in matrix.shape)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)) // CELL
    squares = rows * n_columns + matrix.indices // CELL
    counts = np.bincount(squares, minlength=n_rows * n_columns)
    return counts.reshape(n_rows, n_columns) / CELL**2


def draw() -> Figure:
    """Return the figure."""
    matrix = make_ratings(6040, 3706, 1_000_000, random_state=0).matrix.T.tocsr()
    ordered = reordered(matrix, *by_activity(matrix))
    plan = Plan(split(ordered), STRIP_COLUMNS)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    extent = (0, matrix.shape[1], matrix.shape[0], 0)
    for axis, shown, title in (
        (axes[0], matrix, "as given"),
        (axes[1], ordered, "rows and columns in order of activity"),
    ):
        image = axis.imshow(
            density(shown), vmin=0, vmax=0.6, cmap="Blues", extent=extent, aspect="auto"
        )
        axis.set(title=title, xlabel="users (columns)")
    axes[0].set_ylabel("items (rows)")
    rows = [0] + [tile.stop for tile in plan.tiles]
    axes[1].stairs(plan.widths, rows, orientation="horizontal", color="C1", linewidth=1.5)
    for start in range(STRIP_COLUMNS, matrix.shape[1], STRIP_COLUMNS):
        axes[1].axvline(start, color="0.6", linewidth=0.4, linestyle=":")
    share, cells = (
        plan.n_dense / matrix.nnz,
        sum(
            width * (tile.stop - tile.start)
            for tile, width in zip(plan.tiles, plan.widths, strict=True)
        )
        / np.prod(matrix.shape),
    )
    axes[1].annotate(
        f"left of the line: {share:.0%} of the ratings\nin {cells:.0%} of the cells",
        (0.97, 0.06),
        xycoords="axes fraction",
        ha="right",
        fontsize="small",
    )
    figure.colorbar(image, ax=axes, label="part of the cells rated")
    return figure


if __name__ == "__main__":
    small_picture.save(draw(), IMAGES / "tiling.png", dpi=90)
