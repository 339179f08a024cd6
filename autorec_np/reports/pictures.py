"""Pictures of fitted models, new Figures, and one HTML page that holds them.

The same model and ratings give the same bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autorec_np._types import Array
from autorec_np.core.implicit import IMPLICIT
from autorec_np.data.ratings import as_ratings
from autorec_np.evaluation.held_out import (
    Group,
    MeanInterval,
    Predictions,
    calibration,
    errors_by_activity,
    errors_by_rating,
    predict_held_out,
    rmse_difference,
)
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Recommender, check_fitted
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.interactions import ListRecommender
from autorec_np.models.ranking_autorec import RankingAutoRec
from autorec_np.models.scoring import Fitted
from autorec_np.reports import html
from autorec_np.reports.html import (
    BLUE,
    GRAY,
    ORANGE,
    check_model_gradient,
    describe_model,
    describe_ratings,
    import_matplotlib,
    printable,
)
from autorec_np.training.checkpoint import WITHOUT_EFFECT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "plot_activations",
    "plot_calibration",
    "plot_error_by_activity",
    "plot_error_by_rating",
    "plot_item_map",
    "plot_learning_curves",
    "plot_weights",
]

LEAST_SPREAD = 1e-9  # of values beside their size, in a histogram
PANEL_WIDTH = 4.4  # inches; readable on a telephone


def plot_learning_curves(model: AutoRec) -> Figure:
    """Plot `loss_curve_` and, where there is one, `validation_curve_`.

    Parameters
    ----------
    model : AutoRec
        Fitted.

    Raises
    ------
    NotFittedError
        The model is not fitted.
    ImportError
        matplotlib is not installed.
    """
    course = check_fitted(model).course
    curves = {"objective J": course.loss_curve}
    if course.validation_curve:
        curves[_followed(model)] = course.validation_curve
    figure, panels = _stack([2.4] * len(curves))
    for panel, (name, values) in zip(panels, curves.items(), strict=True):
        epochs = np.arange(1, len(values) + 1)
        panel.plot(epochs, values, color=BLUE, marker="." if len(values) < 20 else None)
        panel.set_ylabel(name)
        panel.set_xlim(0, len(values) + 1)
        panel.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    panels[-1].set_xlabel("epoch or iteration")
    if course.validation_curve:
        best = int(np.argmin(values))
        label = f"lowest: {values[best]:.4f} after {best + 1}"
        panels[-1].plot(best + 1, values[best], "o", color=ORANGE, label=label)
        panels[-1].legend(fontsize=8)
    return figure


def plot_error_by_rating(model: Recommender, test: Any) -> Figure:
    """Plot RMSE, with 95 % intervals, and mean error of held-out pairs by their true rating.

    Parameters
    ----------
    model : Recommender
        Fitted.
    test : Ratings, sparse matrix, DataFrame or (users, items, ratings)
        Held out.

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
    errors = [_mean_error(group) for group in groups]
    panel.plot(places, errors, "s--", color=ORANGE, ms=4, label="mean error")
    panel.set(xlabel="true rating", ylabel="error")
    panel.legend(fontsize=8)
    return figure


def plot_error_by_activity(model: Recommender, test: Any) -> Figure:
    """Plot the RMSE of held-out pairs by the training ratings of their user, and of their item.

    All else is as in :func:`plot_error_by_rating`.
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

    All else is as in :func:`plot_error_by_rating`.
    """
    groups = calibration(predict_held_out(model, test))
    figure, (panel,) = _stack([3.6])
    predicted = [group.predicted for group in groups]
    ends = [min(predicted), max(predicted)]
    panel.plot(ends, ends, "--", color=GRAY, label="right on average")
    means = [group.pairs.mean_rating for group in groups]
    _bars(panel, predicted, means, "held-out pairs, by tenths")
    panel.set(xlabel="mean prediction", ylabel="mean true rating")
    panel.legend(fontsize=8)
    return figure


def plot_weights(model: AutoRec) -> Figure:
    """Plot a histogram of each block of the fitted weights, on a logarithmic count.

    All else is as in :func:`plot_learning_curves`.
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

    All else is as in :func:`plot_learning_curves`.
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
        As in :func:`plot_learning_curves`, as are result and errors.
    titles : mapping of item id to str, optional
        Items without one are labeled by their id.
    n_items : int
        At most so many.
    """
    fitted = check_fitted(model)
    found = map_items(fitted, n_items)
    x, y = found.coordinates.T
    means, title = fitted.item_counts[found.positions], "interactions"
    if not isinstance(model, ListRecommender):
        _, columns, ratings = fitted.ratings.positions()
        means, title = (np.bincount(columns, ratings)[found.positions] / means), "mean rating"
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
    _place_labels(panel, x, y, [_name(item, titles or {}) for item in ids])
    figure.legend(title=title, loc="outside lower center", ncols=3, fontsize=8, title_fontsize=8)
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


def _stack(heights: Sequence[float]) -> tuple[Figure, Any]:
    import_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PANEL_WIDTH, sum(heights)), layout="constrained")
    grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    return figure, grid.ravel()


class ItemMap(NamedTuple):
    """Most rated first, with coordinates (m, 2) and shares of the variance."""

    positions: Array
    coordinates: Array
    shares: tuple[float, float]


def map_items(fitted: Fitted, n_items: int = 300) -> ItemMap:
    """Map them by the principal components of their codes or decoder weights."""
    counts = fitted.item_counts
    order = np.argsort(-counts, kind="stable")[:n_items]
    order = order[counts[order] > 0]
    centered = fitted.vectors("item")[order].astype(np.float64)
    centered -= centered.mean(axis=0)
    left, strengths, _ = np.linalg.svd(centered, full_matrices=False)
    left = np.pad(left * strengths, ((0, 0), (0, max(0, 2 - len(strengths)))))[:, :2]
    # an SVD leaves the signs open
    farthest = left[np.abs(left).argmax(axis=0), [0, 1]]
    left = left * np.where(farthest < 0, -1.0, 1.0)
    total = float(strengths @ strengths) or 1.0
    first, second = (left**2).sum(axis=0) / total
    return ItemMap(order, left, (float(first), float(second)))


Titles = Mapping[Any, str]


def html_report(
    model: AutoRec,
    test: Any = None,
    *,
    titles: Titles | None = None,
    name: str = "",
    n_recommended: int = 10,
) -> str:
    """Return a report on a fitted model as one HTML page that loads nothing.

    Parameters
    ----------
    model : AutoRec or RankingAutoRec
        Fitted.
    test : Ratings, sparse matrix, DataFrame or (users, items[, ratings]), optional
        Held out, for the sections on errors; of lists, for that on lists.
    titles : mapping of item id to str, optional
    name : str
        Of the data.
    n_recommended : int
        For each sample user.

    Raises
    ------
    TypeError
        `model` is not an AutoRec.
    ValueError
        The model lacks its ratings; else, and other errors, as in :func:`plot_error_by_rating`.
    """
    if not isinstance(model, AutoRec):
        raise TypeError(f"a report is on an AutoRec, got {type(model).__name__}.")
    model = copy.copy(model)  # keeps its record
    check_fitted(model).ratings.positions()  # raises if saved without them
    matplotlib = import_matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        sections = _sections(model, test, titles or {}, n_recommended)
    return html.page(f"{type(model).__name__} report{f': {name}' if name else ''}", sections)


def _sections(model: AutoRec, test: Any, titles: Titles, n_recommended: int) -> dict[str, str]:
    curves = plot_learning_curves(model)
    sections = {"The model": _model_section(model)}
    lists = isinstance(model, ListRecommender)
    if test is not None and lists:
        sections["Lists of held-out users"] = _list_section(model, test)
    elif test is not None:
        held_out = as_ratings(test)
        pairs = predict_held_out(model, held_out)
        sections["Errors on held-out ratings"] = _error_section(model, held_out, pairs)
    sections["Training"] = html.grid([_picture(curves, "curves", _curve_alt(model))])
    if test is not None and not lists:
        sections["Where the errors are"] = _group_section(model, held_out, pairs)
    sections["Inside the network"] = _inside_section(model, titles)
    sections["Gradient check"] = _gradient_section(model)
    sections["Sample recommendations"] = _recommendation_section(model, titles, n_recommended)
    if test is None:
        missing = "Errors on held-out ratings</em> and <em>Where the errors are"
        sections["Left out"] = (
            f"<p>Without held-out ratings this report lacks <em>"
            f"{'Lists of held-out users' if lists else missing}</em>.</p>"
        )
    return sections


def _model_section(model: AutoRec) -> str:
    defaults = type(model)().get_params()
    changed = [
        f"{name} = {value!r}"
        for name, value in model.get_params().items()
        if name not in WITHOUT_EFFECT
        and repr(value) != repr(defaults[name])
        and not isinstance(value, np.random.Generator)
    ]
    penalties = [f"{name}: {value:.4g}" for name, value in model.regularization_.items()]
    rows = [
        ["Network", describe_model(model)],
        ["Changed parameters", ", ".join(changed) or "none"],
        ["Weights and biases", f"{model.theta_.size:,}"],
        ["Penalty λ in rating units", ", ".join(penalties) or "none"],
        ["Trained on", describe_ratings(model.ratings_)],
        ["Epochs or iterations", f"{model.n_iter_:,}"],
        ["Objective J after the last", f"{model.loss_curve_[-1]:.6g}"],
    ]
    if isinstance(model, RankingAutoRec):
        w0, t0 = model.unobserved_weight, model.unobserved_target
        rows[3:3] = [["Cells without an interaction", f"weight w0 = {w0:g}, target t0 = {t0:g}"]]
        rows[5:5] = [["Interactions that count", f"{len(model.fitted_.training):,}"]]
    return html.table("What was trained, on what", ["", ""], rows)


def _list_section(model: AutoRec, test: Any) -> str:
    found = html.beside_popularity(model, test)
    means = {"ndcg": "NDCG", "precision": "Precision", "recall": "Recall", "hit_rate": "Hit rate"}
    shares = {"coverage": "Coverage", "popularity_share": "Of popularity"}
    rows = [
        [
            name,
            *(_interval(one.intervals[mean]) for mean in means),
            *(f"{getattr(one, share):.4f}" for share in shares),
        ]
        for name, [one] in found.items()
    ]
    [one] = found["Popularity"]
    caption = f"Over {one.n_users:,} users, lists of {one.k}; ± half a 95 % interval"
    return (
        f"<p>{one.n_relevant:,} items that were held out are to be found, rated {one.threshold:g} "
        f"or higher; nobody chose {one.n_cold:,} of them in training.</p>\n"
        + html.table(caption, ["Model", *means.values(), *shares.values()], rows, len(rows[0]) - 1)
        + '<p class="note">Of popularity: the share of the places that popularity alone would '
        "have given.</p>\n"
    )


def _error_section(model: AutoRec, test: Any, pairs: Predictions) -> str:
    mean, biases = (
        predict_held_out(one.fit(model.ratings_), test) for one in (GlobalMean(), BiasBaseline())
    )
    measured = {"Global mean": mean, "User and item biases": biases, "AutoRec": pairs}
    rows = [[name, _interval(one.rmse), _interval(one.mae)] for name, one in measured.items()]
    return (
        f"<p>{len(pairs):,} ratings that the model was not trained on; in {pairs.n_cold:,} of "
        f"them the user or the item has no training rating (cold).</p>\n"
        + html.table(
            "Over all held-out pairs, clipped to the rating scale; ± half a 95 % interval",
            ["Model", "RMSE", "MAE"],
            rows,
            n_numbers=2,
        )
        + f"<p>RMSE of AutoRec less that of the biases, over the same pairs: "
        f"{_interval(rmse_difference(pairs, biases))} (95 % interval).</p>\n"
        '<p class="note">The intervals say how far an error would move with other held-out pairs, '
        "not with another training (delta method, variance clustered by user and by item).</p>"
    )


def _group_section(model: AutoRec, test: Any, pairs: Predictions) -> str:
    by_rating = errors_by_rating(pairs)
    by_user, by_item = (errors_by_activity(pairs, axis) for axis in ("user", "item"))
    tenths = calibration(pairs)
    shown = [
        _picture(
            plot_error_by_rating(model, test),
            "rating",
            f"RMSE by true rating: {_said(by_rating)}",
            _error_table("true rating", by_rating),
        ),
        _picture(
            plot_error_by_activity(model, test),
            "activity",
            f"RMSE by training ratings of the user: {_said(by_user)}; of the item: "
            f"{_said(by_item)}",
            _error_table("training ratings of the user", by_user)
            + _error_table("training ratings of the item", by_item),
        ),
        _picture(
            plot_calibration(model, test),
            "calibration",
            "Mean true rating by mean prediction: "
            + ", ".join(f"{g.predicted:.2f}: {g.pairs.mean_rating.mean:.2f}" for g in tenths),
            _calibration_table(tenths),
        ),
    ]
    return html.grid(shown)


def _inside_section(model: AutoRec, titles: Titles) -> str:
    blocks = [*model.network_.layout.shapes, *[IMPLICIT][: model.implicit_]]
    by, codes = model.orientation_, model.codes_
    shown = [
        _picture(plot_weights(model), "weights", f"Histograms of the fitted {', '.join(blocks)}."),
        _picture(
            plot_activations(model),
            "activations",
            f"Histograms of the codes of each {by}, from {codes.min():.3g} to {codes.max():.3g}, "
            f"and of their standard deviations.",
        ),
        _picture(
            plot_item_map(model, titles),
            "map",
            "Scatter plot of the most rated items, marked by "
            + ("interactions." if isinstance(model, ListRecommender) else "mean rating."),
        ),
    ]
    return html.grid(shown)


def _gradient_section(model: AutoRec) -> str:
    report, (n_rows, n_columns, n_ratings) = check_model_gradient(model.fitted_)
    rows, notes = [], [report.note]
    for name, b in report.blocks.items():
        error, budget = f"{b.relative_error:.1e}", f"{b.budget:.1e}"
        rows.append([name, b.verdict, error, f"{b.analytic:.6g}", f"{b.numeric:.6g}", budget])
        notes.append(b.note and f"{name}: {b.note}")
    return (
        f"<p>The hand-derived gradient of the objective where the training ended, against "
        f"central differences; on {n_rows} rows and {n_columns} columns with {n_ratings:,} "
        f"ratings.</p>\n"
        + html.table(
            "Where the error of each block is largest",
            ["Block", "Verdict", "Relative error", "By hand", "Numeric", "Error budget"],
            rows,
            n_numbers=4,
        )
        + "".join(f'<p class="note">{html.text(note)}</p>\n' for note in notes if note)
    )


def _recommendation_section(model: AutoRec, titles: Titles, n: int) -> str:
    counts, ratings = model.user_counts_, model.ratings_
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    # the most, the median and the fewest ratings
    positions = list(dict.fromkeys(order[[0, len(order) // 2, -1]].tolist()))
    users = ratings.user_ids[positions]
    lists, parts = isinstance(model, ListRecommender), []
    for position, user, ids, scores in zip(
        positions, users.tolist(), *model.recommend(users, n), strict=True
    ):
        entries = slice(*ratings.matrix.indptr[position : position + 2])
        rated, values = ratings.matrix.indices[entries], ratings.matrix.data[entries]
        best = np.argsort(-values, kind="stable")[:5]
        items = ratings.item_ids[rated[best]].tolist()
        liked = [
            [_name(item, titles), f"{value:g}"]
            for item, value in zip(items, values[best], strict=True)
        ]
        found = [
            [_name(item, titles), f"{score:.{4 if lists else 2}f}"]
            for item, score in zip(ids, scores, strict=True)
            if item is not None
        ]
        parts.append(
            f"<div>\n<h3>User {html.text(user)}</h3>\n"
            + html.table(f"Rated highest, of {len(rated):,} rated", ["Item", "Rating"], liked, 1)
            + html.table("Recommended, of the items not rated", ["Item", "Score"], found, 1)
            + "</div>"
        )
    note = (
        "Scores rank items and are no ratings."
        if lists
        else "These are the highest predicted ratings, not clipped to the scale, so they can "
        "exceed it. For lists of what people choose next, train a RankingAutoRec."
    )
    return f'{html.grid(parts)}\n<p class="note">{note}</p>'


CAPTIONS = {
    "curves": "The objective, (2) or of lists (70), after each epoch, of a minibatch solver summed "
    "over its batches; and the validation RMSE, of lists 1 - NDCG@10, if any.",
    "rating": "Errors by true rating. A model that is unsure predicts near the mean: low ratings "
    "too high, high ones too low. Mean error: prediction less rating. Bars are 95 % intervals.",
    "activity": "RMSE by the training ratings of the user, and of the item, with 95 % intervals.",
    "calibration": "Calibration: mean true rating against mean prediction, for tenths of the "
    "held-out pairs, with 95 % intervals.",
    "weights": "Fitted weights and biases by block.",
    "activations": "Codes, and how much each hidden unit varies over the rows.",
    "map": "The most rated items by the principal components of their codes.",
}


def _followed(model: AutoRec) -> str:
    return "1 - NDCG@10" if isinstance(model, ListRecommender) else "validation RMSE"


def _curve_alt(model: AutoRec) -> str:
    curve, validation = model.loss_curve_, model.validation_curve_
    said = f"Objective from {curve[0]:.6g} to {curve[-1]:.6g} in {len(curve)} epochs or iterations"
    if validation:
        said += f"; {_followed(model)} from {validation[0]:.4f} to {validation[-1]:.4f}, at best "
        said += f"{min(validation):.4f}"
    return f"{said}."


def _said(groups: Iterable[Group]) -> str:
    return ", ".join(f"{group.label}: {group.pairs.rmse.mean:.2f}" for group in groups)


def _name(item: Any, titles: Titles) -> str:
    return titles.get(item) or str(item)


def _interval(value: MeanInterval) -> str:
    bounds = "" if np.isnan(value.low) else f" ± {value.half_width:.4f}"
    return f"{value.mean:.4f}{bounds}"


def _error_table(what: str, groups: Sequence[Group]) -> str:
    rows = [
        [g.label, f"{len(g.pairs):,}", _interval(g.pairs.rmse), f"{_mean_error(g):+.3f}"]
        for g in groups
    ]
    return html.table(f"By {what}", ["Ratings", "Pairs", "RMSE", "Mean error"], rows, 3)


def _mean_error(group: Group) -> float:
    return float(group.predicted - group.pairs.truth.mean())


def _calibration_table(groups: Sequence[Group]) -> str:
    rows = [
        [g.label, f"{len(g.pairs):,}", f"{g.predicted:.3f}", _interval(g.pairs.mean_rating)]
        for g in groups
    ]
    return html.table("By prediction", ["Range", "Pairs", "Mean", "Mean rating"], rows, 3)


def _picture(figure: Figure, key: str, alt: str, numbers: str = "") -> str:
    return html.picture(html.svg(figure, key, alt), CAPTIONS[key], numbers)
