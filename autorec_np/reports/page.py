"""One HTML page on a fitted model: errors, pictures, a gradient check, recommendations.

The page is one file that loads nothing: pictures are inline SVG whose colors follow the reader's
light or dark setting. The same model and ratings give the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from autorec_np._text import describe_model, describe_ratings
from autorec_np.data.ratings import as_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.reports import pictures as plotting
from autorec_np.reports.diagnostics import (
    Group,
    Predictions,
    calibration,
    check_model_gradient,
    errors_by_activity,
    errors_by_rating,
    predict_held_out,
    rmse_difference,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autorec_np.data.metrics import MeanInterval

__all__ = ["html_report"]

Titles = Mapping[Any, str]

# of the pictures -> of the page
COLORS = {
    "#000000": "currentColor",
    plotting.BLUE: "var(--blue)",
    plotting.ORANGE: "var(--orange)",
    plotting.GRAY: "var(--gray)",
    "#ffffff": "var(--page)",
    "#cccccc": "var(--line)",
}

STYLE = """\
:root { color-scheme: light dark; --page: #ffffff; --ink: #1b1f24; --soft: #57606a;
  --line: #d0d7de; --blue: #0072b2; --orange: #d55e00; --gray: #8a8a8a; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --ink: #e6e9ec; --soft: #a3abb3;
  --line: #3b434b; --blue: #56b4e9; --orange: #f0953f; --gray: #8f979e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 84rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { line-height: 1.2; margin: 0.5rem 0; }
h2 { margin: 2.5rem 0 0.5rem; border-bottom: 1px solid var(--line); }
h3 { margin: 1.5rem 0 0.25rem; font-size: 1.05rem; }
p, li { max-width: 48rem; }
a { color: var(--blue); }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; }
.grid { display: grid; gap: 1.5rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 23rem), 1fr)); }
figure { margin: 0; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; fill: currentColor; }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figure svg text { paint-order: stroke; stroke: var(--page); stroke-width: 2px; }
figure th { white-space: nowrap; }
figcaption, caption, .note { color: var(--soft); font-size: 0.875rem; }
summary { color: var(--soft); font-size: 0.875rem; cursor: pointer; }
caption { text-align: left; padding-bottom: 0.25rem; }
.grid th[scope=row] { font-weight: normal; }
.scroll { overflow-x: auto; margin: 0.5rem 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem;
  overflow-wrap: normal; }
th, td { padding: 0.2rem 0.75rem 0.2rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
.number { text-align: right; white-space: nowrap; }
"""


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
        Held-out ratings, ids as in training. Without them the sections on errors are left out, and
        the page says so.
    titles : mapping of item id to str, optional
    name : str
        Of the data; part of the heading.
    n_recommended : int
        Items recommended to each of the sample users.

    Returns
    -------
    str
        The same for the same model, ratings and versions of the libraries.

    Raises
    ------
    TypeError
        `model` is not an AutoRec.
    NotFittedError
        `model` is not fitted.
    ValueError
        A test pair is also a training pair, or there is none; or the model was saved without its
        ratings.
    ImportError
        matplotlib is not installed.
    """
    if not isinstance(model, AutoRec):
        raise TypeError(f"a report is on an AutoRec, got {type(model).__name__}.")
    model._check_fitted()
    model.ratings_.positions()  # raises if the model was saved without its ratings
    matplotlib = plotting.import_matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not the reader's own settings
        sections = _sections(model, test, titles or {}, n_recommended)
    return _page(f"AutoRec report{f': {name}' if name else ''}", sections)


def _sections(model: AutoRec, test: Any, titles: Titles, n_recommended: int) -> dict[str, str]:
    """Return the sections by heading; without `test`, those that need no held-out ratings."""
    curves = plotting.plot_learning_curves(model)
    sections = {"The model": _model_section(model)}
    if test is not None:
        held_out = as_ratings(test)
        pairs = predict_held_out(model, held_out)
        sections["Errors on held-out ratings"] = _error_section(model, held_out, pairs)
    sections["Training"] = _grid([_picture(curves, "curves", _curve_alt(model))])
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


def _page(heading: str, sections: Mapping[str, str]) -> str:
    names = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(f'<li><a href="#{key}">{title}</a></li>\n' for title, key in names.items())
    body = "\n".join(
        f'<section aria-labelledby="{names[title]}">\n<h2 id="{names[title]}">{title}</h2>\n'
        f"{content}\n</section>"
        for title, content in sections.items()
    )
    title = _text(heading)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f'<header>\n<h1>{title}</h1>\n<nav aria-label="Sections">\n<ul>\n{links}</ul>\n</nav>\n'
        f"</header>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


# Sections


def _model_section(model: AutoRec) -> str:
    defaults = AutoRec().get_params()
    changed = [
        f"{name} = {value!r}"
        for name, value in model.get_params().items()
        if name not in ("callbacks", "n_jobs", "verbose")
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
    return _table("What was trained, on what", ["", ""], rows)


def _error_section(model: AutoRec, test: Any, pairs: Predictions) -> str:
    baselines = [
        ("Global mean", GlobalMean().fit(model.ratings_)),
        ("User and item biases", BiasBaseline().fit(model.ratings_)),
    ]
    measured = {name: predict_held_out(one, test) for name, one in baselines} | {"AutoRec": pairs}
    rows = [[name, _interval(one.rmse), _interval(one.mae)] for name, one in measured.items()]
    difference = rmse_difference(pairs, measured["User and item biases"])
    return (
        f"<p>{len(pairs):,} ratings that the model was not trained on; in {pairs.n_cold:,} of "
        f"them the user or the item has no training rating (cold).</p>\n"
        + _table(
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
    return _grid(shown)


def _inside_section(model: AutoRec, titles: Titles) -> str:
    shapes = model.network_.layout.shapes
    by = "item" if model.orientation_ == "item" else "user"
    codes = model.codes_
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
    return _grid(shown)


def _gradient_section(model: AutoRec) -> str:
    report, (n_rows, n_columns, n_ratings) = check_model_gradient(model)
    rows = [
        [
            name,
            block.verdict,
            f"{block.relative_error:.1e}",
            f"{block.analytic:.6g}",
            f"{block.numeric:.6g}",
            f"{block.budget:.1e}",
        ]
        for name, block in report.blocks.items()
    ]
    notes = [report.note, *(f"{name}: {b.note}" for name, b in report.blocks.items() if b.note)]
    return (
        f"<p>The hand-derived gradient of the model's own objective, where the training ended, "
        f"against central differences in float64; on a block of {n_rows} rows and {n_columns} "
        f"columns with {n_ratings:,} ratings.</p>\n"
        + _table(
            "Where the error of each block is largest",
            ["Block", "Verdict", "Relative error", "By hand", "Numeric", "Error budget"],
            rows,
            n_numbers=4,
        )
        + "".join(f'<p class="note">{_text(note)}</p>\n' for note in notes if note)
    )


def _recommendation_section(model: AutoRec, titles: Titles, n: int) -> str:
    """Show the users with the most, the median and the fewest training ratings."""
    counts = model.user_counts_
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    positions = list(dict.fromkeys(order[[0, len(order) // 2, -1]].tolist()))
    users = model.ratings_.user_ids[positions]
    parts = []
    for position, user, ids, scores in zip(
        positions, users.tolist(), *model.recommend(users, n), strict=True
    ):
        start, end = model.ratings_.matrix.indptr[[position, position + 1]]
        rated = model.ratings_.matrix.indices[start:end]
        values = model.ratings_.matrix.data[start:end]
        best = np.argsort(-values, kind="stable")[:5]
        liked = [
            [_name(item, titles), f"{value:g}"]
            for item, value in zip(
                model.ratings_.item_ids[rated[best]].tolist(), values[best], strict=True
            )
        ]
        found = [
            [_name(item, titles), f"{score:.2f}"]
            for item, score in zip(ids, scores, strict=True)
            if item is not None
        ]
        parts.append(
            f"<div>\n<h3>User {_text(user)}</h3>\n"
            + _table(f"Rated highest, of {len(rated):,} rated", ["Item", "Rating"], liked, 1)
            + _table("Recommended, of the items not rated", ["Item", "Score"], found, 1)
            + "</div>"
        )
    note = "Scores are not clipped to the rating scale, so they can exceed it."
    return f'{_grid(parts)}\n<p class="note">{note}</p>'


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
    """Return the value with half the width of its interval, if it has one."""
    bounds = "" if np.isnan(value.low) else f" ± {value.half_width:.4f}"
    return f"{value.mean:.4f}{bounds}"


# HTML


def _text(value: Any) -> str:
    return escape(plotting.printable(str(value)))


def _grid(parts: Iterable[str]) -> str:
    return '<div class="grid">\n' + "\n".join(parts) + "\n</div>"


def _table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], n_numbers: int = 0
) -> str:
    """Return a table; the first column names the rows, the last `n_numbers` are flush right."""
    first_number = len(header) - n_numbers
    sides = [' class="number"' if column >= first_number else "" for column in range(len(header))]
    lines = [f"<caption>{_text(caption)}</caption>"]
    if any(header):
        cells = zip(sides, header, strict=True)
        heads = "".join(f'<th scope="col"{side}>{_text(cell)}</th>' for side, cell in cells)
        lines.append(f"<thead><tr>{heads}</tr></thead>")
    lines.append("<tbody>")
    for first, *others in rows:
        cells = zip(sides[1:], others, strict=True)
        line = "".join(f"<td{side}>{_text(cell)}</td>" for side, cell in cells)
        lines.append(f'<tr><th scope="row">{_text(first)}</th>{line}</tr>')
    lines.append("</tbody>")
    # what scrolls must be reachable by keyboard
    group = f'<div class="scroll" role="group" aria-label="{_text(caption)}" tabindex="0">'
    return f"{group}\n<table>\n" + "\n".join(lines) + "\n</table>\n</div>\n"


def _error_table(what: str, groups: Sequence[Group]) -> str:
    rows = [
        [
            group.label,
            f"{len(group.pairs):,}",
            _interval(group.pairs.rmse),
            f"{group.predicted - group.pairs.truth.mean():+.3f}",
        ]
        for group in groups
    ]
    return _table(f"By {what}", ["Ratings", "Pairs", "RMSE", "Mean error"], rows, n_numbers=3)


def _calibration_table(groups: Sequence[Group]) -> str:
    rows = [
        [
            group.label,
            f"{len(group.pairs):,}",
            f"{group.predicted:.3f}",
            _interval(group.pairs.mean_rating),
        ]
        for group in groups
    ]
    return _table("By prediction", ["Range", "Pairs", "Mean", "Mean rating"], rows, n_numbers=3)


def _picture(figure: Figure, key: str, alt: str, numbers: str = "") -> str:
    """Return a picture with its caption, and with the tables of its numbers to unfold."""
    details = f"<details>\n<summary>Numbers</summary>\n{numbers}</details>\n" if numbers else ""
    return (
        f"<figure>\n{_svg(figure, key, alt)}\n<figcaption>{CAPTIONS[key]}</figcaption>\n"
        f"{details}</figure>"
    )


def _svg(figure: Figure, key: str, alt: str) -> str:
    """Return a picture as inline SVG; its text is text, its colors are the page's."""
    rc = plotting.import_matplotlib().rcParams
    rc.update({"svg.fonttype": "none", "svg.hashsalt": key})
    stream = io.StringIO()
    with warnings.catch_warnings():
        # the browser has the letters that matplotlib's font lacks
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(
        r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", svg, flags=re.S
    )
    used = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", svg))
    names = {name for pair in used for name in pair}

    def restyle(match: re.Match[str]) -> str:
        tag = re.sub(
            r' id="([^"]*)"', lambda found: found[0] if found[1] in names else "", match[0]
        )
        tag = re.sub(r"#[0-9a-f]{6}\b", lambda found: COLORS.get(found[0], found[0]), tag)
        return re.sub(r"font-family: [^;\"]*;? ?", "", tag)  # that of the page

    svg = re.sub(r"<[^>]*>", restyle, svg)
    [view] = re.findall(r'viewBox="[^"]*"', svg)[:1]
    start = f'<svg {view} role="img" aria-label="{_text(alt)}">'
    return (start + svg[svg.index(">") + 1 :]).strip()
