"""Pictures of fitted models, with matplotlib (extra "plot"): new Figures, without a window.

`evaluation.intervals` says what the intervals are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autorec_np._types import Array
from autorec_np.core.implicit import IMPLICIT
from autorec_np.evaluation.held_out import (
    Group,
    calibration,
    errors_by_activity,
    errors_by_rating,
    predict_held_out,
)
from autorec_np.models.base import check_fitted
from autorec_np.reports.items import map_items

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autorec_np.evaluation.intervals import MeanInterval
    from autorec_np.models.autorec import AutoRec
    from autorec_np.models.base import Recommender

__all__ = [
    "plot_activations",
    "plot_calibration",
    "plot_error_by_activity",
    "plot_error_by_rating",
    "plot_item_map",
    "plot_learning_curves",
    "plot_weights",
]

# of Okabe and Ito, for the color-blind
BLUE, ORANGE, GRAY = "#0072b2", "#d55e00", "#999999"
LEAST_SPREAD = 1e-9  # of values beside their size, in a histogram
PANEL_WIDTH = 4.4  # inches; readable on a telephone


def plot_learning_curves(model: AutoRec) -> Figure:
    """Plot the objective after each epoch and, where there is one, the validation RMSE.

    A minibatch solver's objective is the sum over the epoch's batches.

    Parameters
    ----------
    model : AutoRec
        Fitted.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    NotFittedError
        The model is not fitted.
    ImportError
        matplotlib is not installed.
    """
    course = check_fitted(model).course
    curves = {"objective J": course.loss_curve, "validation RMSE": course.validation_curve}
    drawn = {name: np.asarray(values) for name, values in curves.items() if len(values)}
    figure, panels = _stack([2.4] * len(drawn))
    for panel, (name, values) in zip(panels, drawn.items(), strict=True):
        epochs = np.arange(1, len(values) + 1)
        panel.plot(epochs, values, color=BLUE, marker="." if len(values) < 20 else None)
        panel.set_ylabel(name)
        panel.set_xlim(0, len(values) + 1)
        panel.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    panels[-1].set_xlabel("epoch or iteration")
    if "validation RMSE" in drawn:
        values = drawn["validation RMSE"]
        best = int(np.argmin(values))
        label = f"lowest: {values[best]:.4f} after {best + 1}"
        panels[-1].plot(best + 1, values[best], "o", color=ORANGE, label=label)
        panels[-1].legend(fontsize=8)
    return figure


def plot_error_by_rating(model: Recommender, test: Any) -> Figure:
    """Plot RMSE and mean error of held-out pairs by their true rating, with 95 % intervals.

    Parameters
    ----------
    model : Recommender
        Fitted.
    test : Ratings, sparse matrix, DataFrame or (users, items, ratings)
        Held out.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        A test pair is also a training pair, or there is none.
    NotFittedError, ImportError
        As :func:`plot_learning_curves`.
    """
    groups = errors_by_rating(predict_held_out(model, test))
    figure, (panel,) = _stack([3.0])
    panel.axhline(0.0, color=GRAY, lw=0.8)
    places = _error_bars(panel, groups)
    mean_errors = [group.predicted - group.pairs.truth.mean() for group in groups]
    panel.plot(places, mean_errors, "s--", color=ORANGE, ms=4, label="mean error")
    panel.set(xlabel="true rating", ylabel="error")
    panel.legend(fontsize=8)
    return figure


def plot_error_by_activity(model: Recommender, test: Any) -> Figure:
    """Plot the RMSE of held-out pairs by the training ratings of their user, and of their item.

    Parameters and errors are those of :func:`plot_error_by_rating`; bars are 95 % intervals.
    """
    pairs = predict_held_out(model, test)
    figure, panels = _stack([2.6, 2.6])
    for panel, axis in zip(panels, ("user", "item"), strict=True):
        groups = errors_by_activity(pairs, axis)
        _error_bars(panel, groups)
        panel.set(xlabel=f"training ratings of the {axis}", ylabel="RMSE")
    return figure


def plot_calibration(model: Recommender, test: Any) -> Figure:
    """Plot the mean true rating against the mean prediction, for tenths of the held-out pairs.

    Parameters and errors are those of :func:`plot_error_by_rating`; bars are 95 % intervals.
    """
    groups = calibration(predict_held_out(model, test))
    figure, (panel,) = _stack([3.6])
    predicted = [group.predicted for group in groups]
    means = [group.pairs.mean_rating for group in groups]
    ends = [min(predicted), max(predicted)]
    panel.plot(ends, ends, "--", color=GRAY, label="right on average")
    _bars(panel, predicted, means, "held-out pairs, by tenths")
    panel.set(xlabel="mean prediction", ylabel="mean true rating")
    panel.legend(fontsize=8)
    return figure


def plot_weights(model: AutoRec) -> Figure:
    """Plot a histogram of each block of the fitted weights, on a logarithmic count.

    Parameters and errors are those of :func:`plot_learning_curves`.
    """
    fitted = check_fitted(model)
    shown = {name: fitted.weights[name] for name in fitted.network.layout.shapes}
    if fitted.implicit is not None:
        shown[IMPLICIT] = fitted.implicit.weight
    figure, panels = _stack([1.5] * len(shown))
    for panel, (name, block) in zip(panels, shown.items(), strict=True):
        _histogram(panel, block, f"{name} ({' x '.join(f'{n:,}' for n in block.shape)})")
        panel.set(yscale="log", ylabel="count")
    return figure


def plot_activations(model: AutoRec) -> Figure:
    """Plot the hidden codes, and how much each unit varies over the rows.

    Parameters and errors are those of :func:`plot_learning_curves`.
    """
    fitted = check_fitted(model)
    codes = fitted.codes[fitted.counts[fitted.axes.row][:-1] > 0]
    figure, (above, below) = _stack([2.2, 2.2])
    _histogram(above, codes, f"codes: {codes.shape[0]:,} rows x {codes.shape[1]:,} units")
    above.set(xlabel="activation", ylabel="count")
    spread = codes.std(axis=0, dtype=np.float64)
    _histogram(below, spread, "standard deviation of each unit over the rows")
    below.set(xlabel="standard deviation", ylabel="units")
    return figure


def plot_item_map(
    model: AutoRec, titles: Mapping[Any, str] | None = None, n_items: int = 300
) -> Figure:
    """Plot the most rated items on the first two principal components of their codes.

    Parameters
    ----------
    model : AutoRec
        Fitted.
    titles : mapping of item id to str, optional
        Items without one are labeled by their id.
    n_items : int
        At most so many.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    NotFittedError, ImportError
        As :func:`plot_learning_curves`.
    """
    fitted = check_fitted(model)
    found = map_items(fitted, n_items)
    x, y = found.coordinates.T
    _, columns, ratings = fitted.ratings.positions()
    sums, counts = (
        np.bincount(columns, weights, fitted.ratings.n_items) for weights in (ratings, None)
    )
    means = sums[found.positions] / counts[found.positions]
    thirds = np.digitize(means, np.quantile(means, [1 / 3, 2 / 3]))
    figure, (panel,) = _stack([4.4])
    looks = (("lowest", ORANGE, "v"), ("middle", GRAY, "o"), ("highest", BLUE, "^"))
    for third, (name, color, marker) in enumerate(looks):
        mask, label = thirds == third, f"{name} third"
        panel.scatter(x[mask], y[mask], 14, color, marker=marker, alpha=0.6, lw=0, label=label)
    for axis, share, name in zip("xy", found.shares, ("first", "second"), strict=True):
        panel.set(**{f"{axis}label": f"{name} component ({100 * share:.0f} % of the variance)"})
    panel.margins(0.1)
    ids = fitted.ids("item")[found.positions].tolist()
    _place_labels(panel, x, y, [(titles or {}).get(item) or str(item) for item in ids])
    figure.legend(
        title="mean rating", loc="outside lower center", ncols=3, fontsize=8, title_fontsize=8
    )
    return figure


def _error_bars(panel: Any, groups: Sequence[Group]) -> Array:
    places, labels = np.arange(len(groups)), [group.label for group in groups]
    _bars(panel, places, [group.pairs.rmse for group in groups], "RMSE")
    panel.set_xticks(places, labels)
    length = len("".join(labels))
    if length > 30:
        panel.tick_params(axis="x", labelsize=8, rotation=25 if length > 36 else 0)
    panel.margins(x=0.08)
    return places


def _bars(panel: Any, places: Any, values: Sequence[MeanInterval], label: str) -> None:
    means = [value.mean for value in values]
    half_widths = np.nan_to_num([value.half_width for value in values])
    panel.errorbar(places, means, half_widths, fmt="o", ms=4, capsize=2, color=BLUE, label=label)


def _histogram(panel: Any, values: Array, title: str) -> None:
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    largest = max(abs(low), abs(high))
    if high - low < LEAST_SPREAD * largest:  # bins would have no width
        low, high = low - largest / 100, high + largest / 100
    counts, edges = np.histogram(values, bins=50, range=(low, high))
    panel.stairs(counts, edges, fill=True, color=BLUE)
    panel.locator_params(axis="x", nbins=6)
    panel.set_title(title, fontsize=9)


def _place_labels(panel: Any, x: Any, y: Any, labels: list[str]) -> None:
    (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    height, letter = 0.055 * (top - bottom), 0.018 * (right - left)
    placed: list[tuple[float, float, float]] = []
    for horizontal, vertical, label in zip(x, y, labels, strict=True):
        text = printable(label)
        text = text if len(text) <= 24 else f"{text[:23].rstrip(' (-:,')}…"
        half = letter * len(text) / 2
        center = min(max(horizontal, left + half), right - half)
        free = all(
            abs(center - other) > half + other_half or abs(vertical - level) > height
            for other, level, other_half in placed
        )
        if free and len(placed) < 12:
            placed.append((center, vertical, half))
            panel.text(
                center, vertical + 0.2 * height, text,
                ha="center", va="bottom", fontsize=8, parse_math=False, in_layout=False,
            )  # fmt: skip


def printable(text: str) -> str:
    """Return text in one line, without what no font can show."""
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", " ".join(text.split())
    )


def import_matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which is not installed: pip install 'autorec_np[plot]'."
        ) from error
    return matplotlib


def _stack(heights: Sequence[float]) -> tuple[Figure, Any]:
    import_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PANEL_WIDTH, sum(heights)), layout="constrained")
    grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    return figure, grid.ravel()
