"""What reports are made of: ratings and models in a line, HTML, our own gradients checked.

Gradients are checked of small networks and of fitted models.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from autorec_np._types import Array
from autorec_np.baselines.lists import Popularity
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.all_cells import AllCells
from autorec_np.core.implicit import IMPLICIT
from autorec_np.core.kernels import take_rows, with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.parameters import COLUMN_BLOCKS
from autorec_np.core.planes import Planes
from autorec_np.data.clicks import are_pairs
from autorec_np.data.ratings import Ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.held_out import RankingEvaluation, evaluate_ranking
from autorec_np.gradcheck import GradientReport, check_gradient
from autorec_np.gradcheck.process import kept_back
from autorec_np.models.autorec import AutoRec, resolved_widths
from autorec_np.models.base import Recommender
from autorec_np.models.ranking_autorec import FittedRanking, targets_and_weights
from autorec_np.models.scoring import (
    Fitted,
    Inputs,
    by_plane,
    network_for,
    pairs_of,
    scaled,
    targets_of,
)
from autorec_np.training.trainer import Draws, dropout_masks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TERMS = ("objective", "data", "penalty")
POINTS = ("initial", "trained", "saturated")

# of Okabe and Ito, for the color-blind
BLUE, ORANGE, GRAY = "#0072b2", "#d55e00", "#999999"

# of the pictures -> of the page
COLORS = {
    "#000000": "currentColor",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GRAY: "var(--gray)",
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
figcaption, caption, summary, .note { color: var(--soft); font-size: 0.875rem; }
summary { cursor: pointer; }
caption { text-align: left; padding-bottom: 0.25rem; }
.grid th[scope=row] { font-weight: normal; }
.scroll { overflow-x: auto; margin: 0.5rem 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem;
  overflow-wrap: normal; }
th, td { padding: 0.2rem 0.75rem 0.2rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
.number { text-align: right; white-space: nowrap; }
"""


def page(heading: str, sections: Mapping[str, str]) -> str:
    names = {title: title.lower().replace(" ", "-") for title in sections}
    links = "".join(f'<li><a href="#{key}">{title}</a></li>\n' for title, key in names.items())
    body = "\n".join(
        f'<section aria-labelledby="{names[title]}">\n<h2 id="{names[title]}">{title}</h2>\n'
        f"{content}\n</section>"
        for title, content in sections.items()
    )
    title = text(heading)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f'<header>\n<h1>{title}</h1>\n<nav aria-label="Sections">\n<ul>\n{links}</ul>\n</nav>\n'
        f"</header>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def text(value: Any) -> str:
    return escape(printable(str(value)))


def grid(parts: Iterable[str]) -> str:
    return '<div class="grid">\n' + "\n".join(parts) + "\n</div>"


def table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], n_numbers: int = 0
) -> str:
    """Return a table whose last `n_numbers` columns are flush right."""
    first_number = len(header) - n_numbers
    sides = [' class="number"' if column >= first_number else "" for column in range(len(header))]
    name = text(caption)
    # reachable by keyboard
    lines = [f'<div class="scroll" role="group" aria-label="{name}" tabindex="0">']
    lines += ["<table>", f"<caption>{name}</caption>"]
    if any(header):
        cells = zip(sides, header, strict=True)
        heads = "".join(f'<th scope="col"{side}>{text(cell)}</th>' for side, cell in cells)
        lines.append(f"<thead><tr>{heads}</tr></thead>")
    lines.append("<tbody>")
    for first, *others in rows:
        cells = zip(sides[1:], others, strict=True)
        line = "".join(f"<td{side}>{text(cell)}</td>" for side, cell in cells)
        lines.append(f'<tr><th scope="row">{text(first)}</th>{line}</tr>')
    return "\n".join([*lines, "</tbody>", "</table>", "</div>", ""])


def picture(svg: str, caption: str, numbers: str = "") -> str:
    details = f"<details>\n<summary>Numbers</summary>\n{numbers}</details>\n" if numbers else ""
    return f"<figure>\n{svg}\n<figcaption>{caption}</figcaption>\n{details}</figure>"


def svg(figure: Figure, key: str, alt: str) -> str:
    """Return inline SVG with the colors of the page."""
    rc = import_matplotlib().rcParams
    rc.update({"svg.fonttype": "none", "svg.hashsalt": key})
    stream = io.StringIO()
    with kept_back("Glyph"):  # the browser has more letters
        figure.savefig(stream, format="svg", transparent=True)
    svg = re.sub(r"(?s)^.*?(?=<svg)|<(metadata|style)\b.*?</\1>|<!--.*?-->", "", stream.getvalue())
    names = {*re.findall(r"(?:url\(|href=\")#([^)\"]+)", svg)}

    def restyle(match: re.Match[str]) -> str:
        tag = re.sub(r' id="([^"]*)"', lambda one: one[0] if one[1] in names else "", match[0])
        tag = re.sub(r"#[0-9a-f]{6}\b", lambda one: COLORS.get(one[0], one[0]), tag)
        return re.sub(r"font-family: [^;\"]*;? ?", "", tag)  # that of the page

    svg = re.sub(r"<[^>]*>", restyle, svg)
    [view] = re.findall(r'viewBox="[^"]*"', svg)[:1]
    start = f'<svg {view} role="img" aria-label="{text(alt)}">'
    return (start + svg[svg.index(">") + 1 :]).strip()


def printable(text: str) -> str:
    """Return one line, without what no font can show."""
    unseen = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"
    return re.sub(unseen, "\ufffd", " ".join(text.split()))


def import_matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'autorec_np[plot]'.") from error
    return matplotlib


def describe_ratings(ratings: Ratings) -> str:
    what, scale = "ratings", ", scale {:g} to {:g}".format(*ratings.scale)
    if are_pairs(ratings):
        what, scale = "interactions", ""
    return f"{len(ratings):,} {what}, {ratings.n_users:,} users x {ratings.n_items:,} items{scale}"


def describe_model(model: AutoRec) -> str:
    layers = " x ".join(map(str, resolved_widths(model.get_params())))
    implicit, inputs = (getattr(model, f"{x}_", getattr(model, x)) for x in ("implicit", "inputs"))
    parts = [
        f"{model.orientation[0].upper()}-AutoRec",
        "tied" if model.tied else "",
        f"{layers} hidden units",
        f"{model.activation} and {model.output_activation}",
        f"implicit {implicit}" if implicit and not isinstance(implicit, str) else "",
        "planes" if inputs == "planes" else "",
        f"solver {model.solver}",
    ]
    return ", ".join(filter(None, parts))


def beside_popularity(
    model: Recommender, test: Any, threshold: float | None = None
) -> dict[str, list[RankingEvaluation]]:
    """Measure lists of popularity and of a model by one threshold; they have one split each."""
    own = evaluate_ranking(model, test, 10, threshold)
    popular = Popularity(getattr(model, "threshold", None)).fit(model.ratings_)
    beside = evaluate_ranking(popular, test, 10, own.threshold)
    return {"Popularity": [beside], type(model).__name__: [own]}


class Case(NamedTuple):
    """A small network, one of TERMS, and "drawn" (small weights at random) or one of POINTS."""

    hidden_layer_sizes: tuple[int, ...] = (4,)
    activation: str = "sigmoid"
    output_activation: str = "identity"
    tied: bool = False
    dropout: float = 0.0
    term: str = "objective"
    point: str = "drawn"
    implicit: int = 0
    planes: bool = False


def all_cases() -> Iterator[Case]:
    sizes = (4,), (4, 3, 4)
    networks = itertools.product(sizes, ACTIVATIONS, ACTIVATIONS, [False, True], [0.0, 0.3])
    yield from itertools.starmap(Case, networks)
    for activation, term, point in itertools.product(ACTIVATIONS, TERMS, POINTS):
        yield Case((4, 3, 4), activation, "sigmoid", tied=True, dropout=0.3, term=term, point=point)
    for activation, widths, planes in itertools.product(ACTIVATIONS, sizes, [False, True]):
        yield Case(widths, activation, dropout=0.3, implicit=2, planes=planes)


def check_case(case: Case, seed: int = 0, **effort: Any) -> GradientReport:
    """Check it; `effort` holds options of `check_gradient`."""
    rng = np.random.default_rng(seed)
    ratings = make_ratings(n_users=9, n_items=7, n_ratings=30, random_state=rng)
    targets = ratings.matrix.astype(np.float64)
    if case.term == "penalty":
        targets = sparse.csr_array(targets.shape)
    inputs: Inputs = targets
    if case.planes:
        inputs = Planes(targets, np.stack([np.full(targets.nnz, 3.0), targets.data]))
    network = network_for(targets, inputs.shape[1], *case[:4], case.implicit, np.float64)
    objective = Objective(network, 0.0 if case.term == "data" else 0.7)
    masks = None
    if case.dropout:
        draws = Draws(int(rng.integers(2**63)), 0)
        sizes, rows = case.hidden_layer_sizes, np.arange(9)
        masks = dropout_masks(rows, sizes, case.dropout, draws, np.float64)

    def fun(theta: Any) -> tuple[float, Any]:
        return objective.value_and_gradient(theta, inputs, targets, 1.0, masks)

    spread = {"drawn": 0.3, "saturated": 10.0}.get(case.point)
    layout = network.layout
    theta = layout.initialize(rng) if spread is None else rng.normal(0.0, spread, layout.size)
    if case.point == "trained":
        theta += rng.normal(0.0, 0.1, theta.size)  # off the kinks of relu
        for _ in range(20):
            theta = theta - 0.002 * fun(theta)[1]
    return check_gradient(fun, theta, layout, random_state=rng, **effort)


def is_right(case: Case, report: GradientReport) -> bool:
    """Say whether every block passes, or where no verdict is owed, none fails."""
    # saturated slopes vanish behind rounding; initial relu units lie on kinks
    owed = case.point != "saturated" and (case.activation, case.point) != ("relu", "initial")
    verdicts = {block.verdict for block in report.blocks.values()}
    return verdicts <= ({"pass"} if owed else {"pass", "inconclusive"})


def check_model_gradient(
    fitted: Fitted, n_rows: int = 20, n_columns: int = 40
) -> tuple[GradientReport, tuple[int, int, int]]:
    """Check the gradient of a fitted model where its training ended, in float64.

    Return the report, and numbers of rows and columns, those with the most ratings, and of ratings.
    """
    axes, dtype = fitted.axes, fitted.theta.dtype
    rated = fitted.ratings.oriented(axes.row)
    biases = fitted.cold_baseline.score_pairs(*pairs_of(rated, axes))
    inputs = fitted.read(rated, biases, np.arange(rated.shape[0]))
    if isinstance(inputs, Planes):  # which holds fewer features than columns
        n_columns = max(n_columns, 1 + inputs.shape[1] % rated.shape[1])
    if isinstance(fitted, FittedRanking):
        rated = fitted.told(rated)
        t, c = targets_and_weights(rated.data, fitted.values, fitted.input_map)
        targets = with_data(rated, t)
    else:
        targets = targets_of(rated, axes, fitted.baseline, fitted.output_map, dtype)
    rows = np.sort(np.argsort(-np.diff(rated.indptr), kind="stable")[:n_rows])
    counts = np.bincount(take_rows(rated, rows).indices, minlength=rated.shape[1])
    columns = np.sort(np.argsort(-counts, kind="stable")[:n_columns])

    def cut(values: Array) -> Any:
        block = take_rows(with_data(rated, values), rows).tocoo()  # coordinates keep stored zeros
        inside = np.isin(block.col, columns)
        where = block.row[inside], np.searchsorted(columns, block.col[inside])
        return sparse.csr_array(
            (block.data[inside].astype(np.float64), where), shape=(len(rows), len(columns))
        )

    block_targets = cut(targets.data)
    if isinstance(inputs, Planes):
        data = np.stack([cut(plane).data for plane in inputs.data])
        block_inputs: Any = inputs.part(rows, block_targets, data)
    else:
        block_inputs = cut(inputs.data)
    whole, n_features = fitted.network, block_inputs.shape[1]
    shape = whole.hidden_layer_sizes, whole.activation, whole.output_activation, whole.tied
    network = network_for(block_targets, n_features, *shape, fitted.n_implicit, np.float64)
    theta = _weights_of_block(fitted, network, rows, columns)
    objective = Objective(network, scaled(fitted.penalties, fitted.output_map.factor))
    block_cells = block_targets
    if isinstance(fitted, FittedRanking):
        cells = fitted.unobserved_weight, fitted.unobserved_target
        objective = AllCells(network, fitted.penalties, *cells)
        block_cells = Planes(block_targets, np.array([block_targets.data, cut(c).data]))

    def fun(point: Array) -> tuple[float, Array]:
        fraction = len(rows) / rated.shape[0]
        return objective.value_and_gradient(point, block_inputs, block_cells, fraction)

    report = check_gradient(fun, theta, network.layout)
    return report, (len(rows), len(columns), block_targets.nnz)


def _weights_of_block(fitted: Fitted, network: Network, rows: Array, columns: Array) -> Array:
    theta = np.empty(network.layout.size)
    views, implicit = network.layout.views(theta), fitted.implicit
    for name, trained in fitted.weights.items():
        if name in COLUMN_BLOCKS:
            planes, others = by_plane(trained, fitted.network.n_columns)
            trained = np.append(planes[:, columns], others)
        views[name][...] = trained.reshape(views[name].shape)
    if implicit is not None:
        views[IMPLICIT][...] = implicit.weight[rows]
        views["decoder.weight"][:, : fitted.n_implicit] -= implicit.shares[columns]
    return theta
