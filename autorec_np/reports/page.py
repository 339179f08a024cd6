"""One HTML page on a fitted model: errors, pictures, a gradient check, recommendations.

Pictures are inline SVG whose colors follow the reader's light or dark setting. The same model and
ratings give the same bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autorec_np.data.ratings import as_ratings
from autorec_np.evaluation.held_out import (
    Group,
    Predictions,
    calibration,
    errors_by_activity,
    errors_by_rating,
    predict_held_out,
    rmse_difference,
)
from autorec_np.evaluation.hyperparameters import WITHOUT_EFFECT
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import check_fitted
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.reports import html
from autorec_np.reports import pictures as plotting
from autorec_np.reports.gradients import check_model_gradient
from autorec_np.reports.words import describe_model, describe_ratings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autorec_np.evaluation.held_out import MeanInterval

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
    model : AutoRec
        Fitted.
    test : Ratings, sparse matrix, DataFrame or (users, items, ratings), optional
        Held-out ratings; without them the sections on errors are left out.
    titles : mapping of item id to str, optional
    name : str
        Of the data; part of the heading.
    n_recommended : int
        For each of the sample users.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        `model` is not an AutoRec.
    NotFittedError
        `model` is not fitted.
    ValueError
        A test pair is also a training pair, there is none, or the model lacks its ratings.
    ImportError
        matplotlib is not installed.
    """
    if not isinstance(model, AutoRec):
        raise TypeError(f"a report is on an AutoRec, got {type(model).__name__}.")
    model = copy.copy(model)  # it keeps its record, whatever is fitted meanwhile
    check_fitted(model).ratings.positions()  # raises if saved without them
    matplotlib = plotting.import_matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not the reader's own settings
        sections = _sections(model, test, titles or {}, n_recommended)
    return html.page(f"AutoRec report{f': {name}' if name else ''}", sections)


def _sections(model: AutoRec, test: Any, titles: Titles, n_recommended: int) -> dict[str, str]:
    curves = plotting.plot_learning_curves(model)
    sections = {"The model": _model_section(model)}
    if test is not None:
        held_out = as_ratings(test)
        pairs = predict_held_out(model, held_out)
        sections["Errors on held-out ratings"] = _error_section(model, held_out, pairs)
    sections["Training"] = html.grid([_picture(curves, "curves", _curve_alt(model))])
    if test is not None:
        sections["Where the errors are"] = _group_section(model, held_out, pairs)
    sections["Inside the network"] = _inside_section(model, titles)
    sections["Gradient check"] = _gradient_section(model)
    sections["Sample recommendations"] = _recommendation_section(model, titles, n_recommended)
    if test is None:
        sections["Left out"] = (
            "<p>No held-out ratings were given, so this report lacks the sections <em>Errors on "
            "held-out ratings</em> (RMSE and MAE beside the baselines) and <em>Where the errors "
            "are</em> (by rating, by activity, calibration).</p>"
        )
    return sections


def _model_section(model: AutoRec) -> str:
    defaults = AutoRec().get_params()
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
        ["Parameters that are not the defaults", ", ".join(changed) or "none"],
        ["Weights and biases", f"{model.theta_.size:,}"],
        ["Penalty λ in rating units", ", ".join(penalties) or "none"],
        ["Trained on", describe_ratings(model.ratings_)],
        ["Epochs or iterations", f"{model.n_iter_:,}"],
        ["Objective J after the last", f"{model.loss_curve_[-1]:.6g}"],
    ]
    return html.table("What was trained, on what", ["", ""], rows)


def _error_section(model: AutoRec, test: Any, pairs: Predictions) -> str:
    baselines = [
        ("Global mean", GlobalMean().fit(model.ratings_)),
        ("User and item biases", BiasBaseline().fit(model.ratings_)),
    ]
    measured = {name: predict_held_out(one, test) for name, one in baselines}
    measured["AutoRec"] = pairs
    rows = [[name, _interval(one.rmse), _interval(one.mae)] for name, one in measured.items()]
    difference = rmse_difference(pairs, measured["User and item biases"])
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
        f"{_interval(difference)} (95 % interval).</p>\n"
        '<p class="note">The intervals say how far an error would move with other held-out pairs '
        "of such users and items, the model being fixed: the delta method, with a variance that "
        "is clustered by user and by item, since errors of one user, or of one item, are alike. "
        "They do not say how far it would move with another training.</p>"
    )


def _group_section(model: AutoRec, test: Any, pairs: Predictions) -> str:
    by_rating = errors_by_rating(pairs)
    by_user, by_item = (errors_by_activity(pairs, axis) for axis in ("user", "item"))
    tenths = calibration(pairs)
    shown = [
        _picture(
            plotting.plot_error_by_rating(model, test),
            "rating",
            f"RMSE by true rating: {_said(by_rating)}.",
            _error_table("true rating", by_rating),
        ),
        _picture(
            plotting.plot_error_by_activity(model, test),
            "activity",
            f"RMSE by training ratings of the user: {_said(by_user)}; of the item: "
            f"{_said(by_item)}.",
            _error_table("training ratings of the user", by_user)
            + _error_table("training ratings of the item", by_item),
        ),
        _picture(
            plotting.plot_calibration(model, test),
            "calibration",
            "Mean true rating by mean prediction: "
            + ", ".join(f"{g.predicted:.2f}: {g.pairs.mean_rating.mean:.2f}" for g in tenths)
            + ".",
            _calibration_table(tenths),
        ),
    ]
    return html.grid(shown)


def _inside_section(model: AutoRec, titles: Titles) -> str:
    shapes = model.network_.layout.shapes
    by, codes = model.orientation_, model.codes_
    shown = [
        _picture(
            plotting.plot_weights(model),
            "weights",
            f"Histograms of the fitted {', '.join(shapes)}.",
        ),
        _picture(
            plotting.plot_activations(model),
            "activations",
            f"Histograms of the codes of each {by}, between {codes.min():.3g} and "
            f"{codes.max():.3g}, and of the standard deviation of each hidden unit.",
        ),
        _picture(
            plotting.plot_item_map(model, titles),
            "map",
            "Scatter plot of the most rated items on the two first principal components of their "
            "codes, marked by mean rating.",
        ),
    ]
    return html.grid(shown)


def _gradient_section(model: AutoRec) -> str:
    report, (n_rows, n_columns, n_ratings) = check_model_gradient(model.fitted_)
    rows = [
        [
            name,
            b.verdict,
            f"{b.relative_error:.1e}",
            f"{b.analytic:.6g}",
            f"{b.numeric:.6g}",
            f"{b.budget:.1e}",
        ]
        for name, b in report.blocks.items()
    ]
    notes = [report.note, *(f"{name}: {b.note}" for name, b in report.blocks.items() if b.note)]
    return (
        f"<p>The hand-derived gradient of the model's own objective, where the training ended, "
        f"against central differences in float64; on a block of {n_rows} rows and {n_columns} "
        f"columns with {n_ratings:,} ratings.</p>\n"
        + html.table(
            "Where the error of each block is largest",
            ["Block", "Verdict", "Relative error", "By hand", "Numeric", "Error budget"],
            rows,
            n_numbers=4,
        )
        + "".join(f'<p class="note">{html.text(note)}</p>\n' for note in notes if note)
    )


def _recommendation_section(model: AutoRec, titles: Titles, n: int) -> str:
    """Show the users with the most, the median and the fewest ratings."""
    counts, ratings = model.user_counts_, model.ratings_
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    positions = list(dict.fromkeys(order[[0, len(order) // 2, -1]].tolist()))
    users = ratings.user_ids[positions]
    parts = []
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
            [_name(item, titles), f"{score:.2f}"]
            for item, score in zip(ids, scores, strict=True)
            if item is not None
        ]
        parts.append(
            f"<div>\n<h3>User {html.text(user)}</h3>\n"
            + html.table(f"Rated highest, of {len(rated):,} rated", ["Item", "Rating"], liked, 1)
            + html.table("Recommended, of the items not rated", ["Item", "Score"], found, 1)
            + "</div>"
        )
    note = "Scores are not clipped to the rating scale, so they can exceed it."
    return f'{html.grid(parts)}\n<p class="note">{note}</p>'


# Words

CAPTIONS = {
    "curves": "The objective (2) after each epoch, of a minibatch solver summed over its batches; "
    "and the validation RMSE, if there were validation ratings.",
    "rating": "Errors by true rating. A model that is unsure predicts near the mean: low ratings "
    "too high, high ones too low. Mean error: prediction less rating. Bars are 95 % intervals.",
    "activity": "RMSE by the number of training ratings of the user, and of the item. Bars are "
    "95 % intervals.",
    "calibration": "Calibration: mean true rating against mean prediction, for tenths of the "
    "held-out pairs. Bars are 95 % intervals.",
    "weights": "Fitted weights and biases by block, counts on a logarithmic scale.",
    "activations": "Codes, and how much each hidden unit varies over the rows. A unit that hardly "
    "varies tells rows apart as little as a bias would.",
    "map": "The most rated items by the principal components of their codes.",
}


def _curve_alt(model: AutoRec) -> str:
    curve, validation = model.loss_curve_, model.validation_curve_
    said = f"Objective from {curve[0]:.6g} to {curve[-1]:.6g} in {len(curve)} epochs or iterations"
    if validation:
        said += f"; validation RMSE from {validation[0]:.4f} to {validation[-1]:.4f}, at best "
        said += f"{min(validation):.4f} after {int(np.argmin(validation)) + 1}"
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
        [
            g.label,
            f"{len(g.pairs):,}",
            _interval(g.pairs.rmse),
            f"{g.predicted - g.pairs.truth.mean():+.3f}",
        ]
        for g in groups
    ]
    return html.table(f"By {what}", ["Ratings", "Pairs", "RMSE", "Mean error"], rows, n_numbers=3)


def _calibration_table(groups: Sequence[Group]) -> str:
    rows = [
        [g.label, f"{len(g.pairs):,}", f"{g.predicted:.3f}", _interval(g.pairs.mean_rating)]
        for g in groups
    ]
    return html.table("By prediction", ["Range", "Pairs", "Mean", "Mean rating"], rows, n_numbers=3)


def _picture(figure: Figure, key: str, alt: str, numbers: str = "") -> str:
    return html.picture(html.svg(figure, key, alt), CAPTIONS[key], numbers)
