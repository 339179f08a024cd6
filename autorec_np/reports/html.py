"""Ratings and models in a line each; tables and pictures as HTML."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from autorec_np.gradcheck.process import kept_back

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autorec_np.data import Ratings
    from autorec_np.models import AutoRec

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
    low, high = ratings.scale
    return (
        f"{len(ratings):,} ratings, {ratings.n_users:,} users x {ratings.n_items:,} items, "
        f"scale {low:g} to {high:g}"
    )


def describe_model(model: AutoRec) -> str:
    from autorec_np.models.autorec import resolved_widths

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
