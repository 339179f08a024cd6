"""Make the slides of a lecture, docs/lessons/slides.html: one file, with its pictures inside.

    python docs/make_slides.py

The slides are the Markdown below, cut at the lines of dashes. A formula stands between dollars, in
plain letters: `D_W = D_A^T H`. `<<name>>` is replaced by numbers that are computed here, and
`<<printed 07 1>>` by the first output that docs/lessons/07.md shows: slides and pages agree.
"""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import markdown_pages as pages
import numpy as np
from markdown_it import MarkdownIt
from scipy import sparse

from autorec_np.core.network import Network
from autorec_np.core.objective import Objective

DOCS = Path(__file__).resolve().parent
SLIDES = DOCS / "lessons" / "slides.html"

TEXT = """
## AutoRec, forward and back

From a table with holes to a recommender, with pencil, paper and NumPy

Twelve lessons that say what is wrong: `autorec-np lesson`

*Arrow keys turn the pages. The printer makes a PDF.*

-----
## A table with holes

| | Ada | Ben | Eva |
|---|---|---|---|
| Alien | 4 | · | 1 |
| Brazil | 2 | · | · |
| Casablanca | · | 5 | 0 |

A rating says who, what, and how much.

A hole says *nothing*. It is not a rating of 0.

-----
## Real tables are emptier

![A rating matrix, mostly white, and the number of ratings of each item](tour_ratings.png)

Here 20 of 100 cells are filled. In MovieLens 1M it is 4.

-----
## Guess {.ask}

Brazil has one rating, 2.

What would its mean be if the holes were zeros?

What would that do to films that few have seen?

-----
## A row goes through a bottleneck

![A row with a hole goes through two hidden units and comes out as a full row](tour_model.png)

What comes out where nothing went in is the prediction.

-----
## In letters

$Z = X V + μ$

$H = g(Z)$, with the sigmoid $g(z) = 1 / (1 + e^{-z})$

$Y = H W^T + b$ <small>(1)</small>

| array | what it is | shape |
|---|---|---|
| $X$, $Y$ | ratings, reconstruction | $n × C$ |
| $H$ | codes | $n × k$ |
| $V$, $W$ | what each column says to each unit, and hears from it | $C × k$ |

-----
## On paper

<div class="side">

$X =$ <<X>> $V =$ <<V>> $μ = 0$

</div>
<div class="side">

$W =$ <<W>> $b =$ <<b>>

</div>

The first film together: $z_1 = 4 · 1/4 + 2 · (-1/2) = 0$, so $h_1 = 1/2$

The second film alone. Then all six outputs.

-----
## What is on your paper?

<div class="side">

$h_1 = h_2 = 1/2$ and $Y =$ <<Y>>

</div>

Why do both films get the same predictions?

What changes if the first hole becomes a rating of 0?

-----
## How good is it?

$J = \\sum_{rated} (x - y)^2 + λ/2 ( ‖W‖^2 + ‖V‖^2 )$ <small>(2)</small>

1. A *sum*, and no mean.
2. Over what is *rated*: of six errors three count.
3. The 1/2 is in the penalty alone. Biases are free.

With $λ = 2$: $J = 3/4 + 9 + 5/16 =$ <<J>>

-----
## Guess {.ask}

Predict one number for every cell.

Which is the best one, if the holes do not count?

And which, if each hole is a rating of 0?

-----
## What the mask is for

<<printed 03 2>>

With the holes as zeros the network learns to predict 0 for all that nobody has rated.

-----
## Two rules

A product: $F = P Q$ gives $D_P = D_F Q^T$ and $D_Q = P^T D_F$

Entry by entry: $H = g(Z)$ gives $D_Z = D_H ∘ g'(Z)$

A value that is used several times gets the *sum*.

$D_H$ holds the derivatives of $J$ by $H$, and has the shape of $H$. This catches most mistakes.

-----
## There and back

$X → Z → H → Y → J$

$D_V, D_μ ← D_Z ← D_H ← D_A, D_W, D_b$

$A = H W^T + b$ is $Y$ here, so $D_A = D_Y$.

Three small questions:

1. What is the derivative of $(x - y)^2$ by $y$? And in a hole?
2. What is the derivative of $λ/2 w^2$ by $w$?
3. What is the derivative of $h = g(z)$ by $z$, written with $h$?

-----
## On paper, backward

| | first film | second film |
|---|---|---|
| $D_A$, in the holes 0 | (-1, 0, 1) | ? |
| $D_H = D_A W$ | -4 | ? |
| $D_Z = D_H ∘ h (1 - h)$ | ? | ? |

Then $D_W = D_A^T H + λ W$ and $D_V = X^T D_Z + λ V$

and for the biases the sums over the rows.

-----
## What is on your paper?

<<gradient>>

All of these are exact: the program gives them to the last bit.

-----
## How would you know?

Move one parameter a little, to both sides:

$[ J(θ + h e_i) - J(θ - h e_i) ] / 2h$

It knows nothing of your derivation. Two programs by one author may share a mistake.

*Guess:* which $h$ is best, 0.1, 0.00001, or as small as possible?

-----
## Neither large nor small

<<printed 05 1>>

A large step cuts off the curvature: $h^2$. A small one drowns in rounding: $1 / h$.

-----
## Each block has its own budget

![Errors against the step in four blocks: a wrong one stays flat](gradient_errors.png)

-----
## Plant a fault, guess, reveal {.ask}

Open `docs/explorable/index.html`.

Which of $V$, $μ$, $W$, $b$ will be blamed if

* the 2 of the square is forgotten?
* the penalty on $V$ is forgotten?
* holes are taken for zeros, in $J$ and in the gradient?

-----
## The slope is the verdict

![Remainders against step length: slope 2 if right, slope 1 if wrong](tour_taylor.png)

What no check can see: the right gradient of the wrong function.

-----
## Three ways down

| | remembers | a step |
|---|---|---|
| SGD | nothing | $θ - η G$ |
| Adam | means of $G$ and $G^2$ | $θ - η m / v^{1/2}$ |
| L‑BFGS | steps, and how $G$ changed along them | a direction that fits them |

In a long valley, from the same start:

<<printed 06 1>>

-----
## Who is ahead, and who wins?

![Objective against passes through the data, for Adam and L-BFGS](tour_solvers.png)

-----
## Is it any good?

The root of the mean squared error on *test* ratings, beside what simple models reach:

<<printed 07 1>>

The data are made up, so we know the truth. Nobody is better than the noise.

-----
## Guess {.ask}

A much read program reports an error of 0.647. The paper has 0.831.

The program takes the mean over *all* cells, and 98 of 100 are empty.

What do you want to know before you believe it?

-----
## The last epoch is not the best one

![Validation error by epoch, with and without the penalty](tour_learning_curve.png)

Choose on validation ratings. Open the test ratings once.

-----
## Somebody new

![Error on ratings of new users against how many ratings they have given](tour_new_user.png)

A user is a column: its weights solve a small least squares problem.

-----
## What the codes show

![The first two principal axes of the codes, colored by two planted factors](tour_codes.png)

Two factors were planted. Nobody told the network.

-----
## Now you

```text
pip install -e .
autorec-np lesson start my_lessons
autorec-np lesson 1
```

The check names the mistake; `--hint` begins with less, and says one thing more each time.

All of it in <<lines>> lines: `docs/autorec_in_one_file.py`

<small>BSD-3-Clause: copy it, change it, teach with it.</small>
"""

STYLE = """
* { box-sizing: border-box; }
html { color-scheme: light; }
body { background: #fff; color: #1d1f24; font: 1rem/1.45 system-ui, sans-serif; margin: 0; }
section { break-after: page; border-bottom: 1px solid #d9d6cd; display: flex;
  flex-direction: column; font-size: max(16px, min(2.3vw, 4.1vh)); gap: .7em;
  justify-content: center; min-height: 100vh; padding: 1.2em 8% 2.6em; }
section > *, .side > * { margin: 0; max-width: 100%; }
header { clip-path: inset(50%); position: absolute; }
section:first-child h2 { font-size: 2.2em; line-height: 1.15; }
h2 { font-size: 1.5em; line-height: 1.2; margin-bottom: .3em; }
.ask { background: #fdf4e3; }
.ask h2 { color: #8a4200; }
img { align-self: center; max-height: 58vh; object-fit: contain; width: min(100%, 120vh); }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #d9d6cd; padding: .2em .9em .2em 0; text-align: left; }
.side { align-items: center; display: flex; flex-wrap: wrap; gap: 1em; }
.matrix { border: 2px solid; border-block-color: transparent; border-radius: .5em;
  display: inline-table; margin: 0 .8em 0 .2em; vertical-align: middle; }
.matrix td { border: 0; padding: 0 .45em; text-align: right; }
pre { background: #f4f2ec; font-size: .85em; overflow-x: auto; padding: .6em .9em; }
code { font-family: ui-monospace, Consolas, monospace; }
small { color: #5b6069; font-size: .8em; }
.f { font-family: "Latin Modern Math", "STIX Two Math", Cambria, Georgia, serif;
  font-size: 1.12em; white-space: nowrap; }
@media (max-width: 40rem) { .f { white-space: normal; } }
.f i { padding-right: .06em; }
sub, sup { font-size: .7em; line-height: 0; }
nav { align-items: center; bottom: .4rem; color: #5b6069; display: flex; gap: .6rem;
  position: fixed; right: .8rem; }
nav button { background: #fff; border: 1px solid #85827a; border-radius: 6px; font: inherit;
  min-height: 2rem; min-width: 2.4rem; }
.one section { border: 0; display: none; }
.one section.now { display: flex; }
@page { margin: 0; size: 13.333in 7.5in; }
@media print {
  section, .one section { border: 0; display: flex; font-size: 22pt; height: 7.5in;
    min-height: 0; overflow: hidden; print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }
  img { max-height: 4.5in; width: auto; }
  nav { display: none; }
}
"""

SCRIPT = """
const slides = [...document.querySelectorAll("section")], count = document.getElementById("count");
let at = 0;
function go(number) {
  at = Math.max(0, Math.min(slides.length - 1, number));
  slides.forEach((slide, k) => slide.classList.toggle("now", k === at));
  count.textContent = `${at + 1} / ${slides.length}`;
  history.replaceState(null, "", `#${at + 1}`);
  scrollTo(0, 0);
}
const KEYS = {ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1};
document.onkeydown = event => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const step = event.key === "Home" ? -at : event.key === "End" ? slides.length : KEYS[event.key];
  if (step === undefined) return;
  event.preventDefault();
  go(at + step);
};
document.getElementById("before").onclick = () => go(at - 1);
document.getElementById("after").onclick = () => go(at + 1);
onhashchange = () => go(Number(location.hash.slice(1)) - 1 || 0);
document.documentElement.classList.add("one");
document.querySelector("nav").hidden = false;
onhashchange();
"""

# The example of lessons 2 to 5; a hole is None
X = [[4, None, 2], [None, 5, None]]
V, W, B, PENALTY = (0.25, 0, -0.5), (2, 1, -2), (2.5, 4, 3.5), 2.0


def matrix(rows: list[list[float | None]]) -> str:
    """Return a matrix as HTML."""
    cells = [["·" if value is None else f"{value:g}" for value in row] for row in rows]
    lines = ("".join(f"<td>{cell}</td>" for cell in row) for row in cells)
    return f'<table class="matrix">{"".join(f"<tr>{line}</tr>" for line in lines)}</table>'


def computed() -> dict[str, str]:
    """Return what is not typed: the example, what the package says of it, the length of a file."""
    entries = [(r, c, x) for r, row in enumerate(X) for c, x in enumerate(row) if x is not None]
    rows, columns, ratings = zip(*entries, strict=True)
    R = sparse.csr_array((np.array(ratings, float), (rows, columns)), shape=(2, 3))
    network = Network(3, (1,))
    theta = np.array([*V, 0, *W, *B], float)
    value, gradient = Objective(network, PENALTY).value_and_gradient(theta, R, R)
    everywhere = sparse.csr_array(np.ones((2, 3)))
    outputs = network.forward(theta, R, everywhere).outputs.reshape(2, 3)
    names = dict(zip(network.layout.slices, ("V", "μ", "W", "b"), strict=True))
    lines = "".join(
        f"<tr><td>{formula(f'D_{names[name]}')}</td>"
        f"<td>({', '.join(f'{part:g}' for part in gradient[where])})</td></tr>"
        for name, where in network.layout.slices.items()
    )
    found = {name: matrix([[one] for one in x]) for name, x in {"V": V, "W": W, "b": B}.items()}
    found |= {"X": matrix(X), "Y": matrix(outputs.tolist())}
    one_file = (DOCS / "autorec_in_one_file.py").read_text(encoding="utf-8")
    found["lines"] = str(len(one_file.splitlines()))
    return found | {"J": f"{value:g}", "gradient": f"<table>{lines}</table>"}


def formula(text: str) -> str:
    """Return a formula in plain letters as HTML: single letters slanted, _ and ^ as they look."""
    text = text.replace("\\sum", "∑").replace("-", "−")
    text = re.sub(r"(?<![a-zA-Zα-ω])([a-zA-Zα-ω])(?![a-zA-Zα-ω])", r"<i>\1</i>", text)
    for mark, tag in (("_", "sub"), ("^", "sup")):
        what = rf"\{mark}(?:\{{([^}}]*)\}}|(<i>.</i>|\w))"
        text = re.sub(what, lambda m, tag=tag: f"<{tag}>{m[1] or m[2]}</{tag}>", text)
    return f'<span class="f">{text}</span>'


def printed(page: str, number: str) -> str:
    """Return the given output that a page of the lessons shows, counted from 1."""
    shown = [one for _, one in pages.snippets(pages.read(DOCS / "lessons" / f"{page}.md")) if one]
    return f"<pre>{shown[int(number) - 1].code.rstrip()}</pre>"


def picture(found: re.Match[str]) -> str:
    """Return a picture with its bytes inside."""
    data = base64.b64encode((DOCS / "images" / found[2]).read_bytes()).decode()
    return f'<img alt="{found[1]}" src="data:image/png;base64,{data}">'


def slide(text: str, known: dict[str, str]) -> str:
    """Return one slide."""
    is_question = "{.ask}" in text
    text = re.sub(r"\$([^$]+)\$", lambda m: formula(m[1]), text.replace(" {.ask}", ""))
    text = re.sub(r"<<printed (\d+) (\d+)>>", lambda m: printed(m[1], m[2]), text)
    text = re.sub(r"<<(\w+)>>", lambda m: known[m[1]], text)
    text = re.sub(r"!\[(.*)\]\((.*)\)", picture, text)
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    html = re.sub(r"<p>(<img[^>]*>)</p>", r"\1", html)
    return f"<section{' class=ask' if is_question else ''}>\n{html}</section>\n"


def document() -> str:
    """Return all slides as one document."""
    known = computed()
    slides = "".join(slide(text, known) for text in TEXT.split("\n-----\n"))
    title = "AutoRec, forward and back: slides"
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n"
        f"<body>\n<header><h1>{title}</h1></header>\n<main>\n{slides}</main>\n"
        '<nav hidden><button type="button" id="before" aria-label="back">←</button>'
        '<span id="count" aria-live="polite"></span>'
        '<button type="button" id="after" aria-label="on">→</button></nav>\n'
        f"<script>{SCRIPT}</script>\n"
    )


if __name__ == "__main__":
    SLIDES.write_text(document(), encoding="utf-8")
