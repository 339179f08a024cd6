"""What the paper's tables hold: a row for each model, with its published figure and its grids.

What has a grid is chosen on the validation ratings of split 0, and then fixed for the test ratings
of all splits. The paper's grids are k from 10 to 500 and lambda from 0.001 to 1000. Ours has the
half decades too, and another decade: linear encoders are best beyond the end of the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

UNITS = (10, 20, 40, 80, 100, 200, 300, 400, 500)
PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
PENALTIES += (1000.0, 3000.0, 10000.0)
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)

# Equation (2) alone, with the batches and epochs of results/accuracy.md
EQUATION_2: Mapping[str, Any] = {
    "implicit": 0,
    "inputs": "ratings",
    "baseline": None,
    "corruption": 0.0,
    "batch_size": 256,
    "max_iter": 40,
}


class Row(NamedTuple):
    """A model of a table.

    Attributes
    ----------
    name, label : str
        In the journal, and in the table. Rows of one name are the same model, run once.
    model : str
        A key of `models.BUILDERS`.
    fixed : mapping
        Parameters of the model that are not chosen.
    grids : mapping of str to sequence
        The values, ascending, of what is chosen: "k", "lambda", "rate".
    start : mapping
        Where the search begins. It also holds what has no grid.
    seconds : float
        Of a fit on ML-1M by one thread: tells the hours where none was measured yet.
    published : float or None
        Test RMSE in the paper.
    """

    name: str
    label: str
    model: str
    fixed: Mapping[str, Any]
    grids: Mapping[str, Sequence[Any]]
    start: Mapping[str, Any]
    seconds: float
    published: float | None = None


class Table(NamedTuple):
    """A table: its title and its rows."""

    title: str
    rows: tuple[Row, ...]


def equation_2(
    name: str,
    label: str,
    published: float | None,
    start: Mapping[str, Any],
    grids: Sequence[str] = ("lambda",),
    **changes: Any,
) -> Row:
    """Return a row of equation (2) alone; `changes` are other parameters of `AutoRec`."""
    every = {"k": UNITS, "lambda": PENALTIES, "rate": RATES}
    chosen = {name: every[name] for name in grids}
    seconds = 3.0 + 0.07 * start["k"]
    return Row(name, label, "AutoRec", {**EQUATION_2, **changes}, chosen, start, seconds, published)


# A linear encoder needs a higher penalty and smaller steps
LINEAR_ENCODER = {"k": 500, "lambda": 3000.0, "rate": 3e-4}
SIGMOID_ENCODER = {"k": 500, "lambda": 300.0, "rate": 3e-3}


def with_activations(f: str, g: str, published: float, start: Mapping[str, Any]) -> Row:
    """Return a row of table (b)."""
    return equation_2(
        f"f={f} g={g}",
        f"f {f}, g {g}",
        published,
        start,
        ("lambda", "rate"),
        activation=g,
        output_activation=f,
    )


def with_units(k: int, penalty: float) -> Row:
    """Return a row of the curve of RMSE against hidden units."""
    return equation_2(f"k={k}", f"k = {k}", None, {"k": k, "lambda": penalty, "rate": 3e-3})


def deep(name: str, label: str, model: str, published: float | None, seconds: float) -> Row:
    """Return a row of a network with three hidden layers."""
    start = {"lambda": 100.0, "rate": 1e-3}
    return Row(name, label, model, {}, {"lambda": PENALTIES}, start, seconds, published)


I_AUTOREC = equation_2("I-AutoRec", "I-AutoRec", 0.831, SIGMOID_ENCODER, ("k", "lambda", "rate"))
U_AUTOREC = equation_2(
    "U-AutoRec",
    "U-AutoRec",
    0.874,
    {"k": 200, "lambda": 100.0, "rate": 3e-3},
    ("k", "lambda"),
    orientation="user",
)
U_OF_RESIDUALS = equation_2(
    "U-AutoRec of residuals",
    "U-AutoRec of what the biases leave",
    None,
    {"k": 200, "lambda": 300.0, "rate": 3e-3},
    ("k", "lambda"),
    orientation="user",
    baseline="bias",
)
U_RBM = Row(
    "U-RBM",
    "U-RBM",
    "RatingRBM",
    {"orientation": "user"},
    {"k": UNITS, "lambda": PENALTIES},
    {"k": 200, "lambda": 30.0},
    60.0,
    0.881,
)
I_RBM = U_RBM._replace(name="I-RBM", label="I-RBM", fixed={"orientation": "item"}, published=0.854)
BIASED_MF = Row(
    "BiasedMF",
    "BiasedMF",
    "BiasedMF",
    {},
    {"k": UNITS, "lambda": PENALTIES},
    {"k": 20, "lambda": 1.0},
    10.0,
    0.845,
)
LLORMA = Row(
    "LLORMA",
    "LLORMA",
    "LLORMA",
    {},
    {"k": UNITS, "lambda": PENALTIES},
    {"k": 10, "lambda": 1.0},
    20.0,
    0.833,
)

BY_ACTIVATIONS = (
    with_activations("identity", "identity", 0.872, LINEAR_ENCODER),
    with_activations("sigmoid", "identity", 0.852, LINEAR_ENCODER),
    I_AUTOREC._replace(label="f identity, g sigmoid"),
    with_activations("sigmoid", "sigmoid", 0.836, SIGMOID_ENCODER),
)
BY_UNITS = (
    *(with_units(k, 30.0 if k < 40 else 100.0 if k < 200 else 300.0) for k in UNITS[:-1]),
    I_AUTOREC._replace(label="k = 500"),
)
DEEP = (
    deep("deep", "pretrained, then fine-tuned", "pretrained", 0.827, 150.0),
    deep("deep from scratch", "from scratch", "from scratch", None, 90.0),
)

TABLES: dict[str, Table] = {
    "a": Table(
        "(a) Autoencoders and Boltzmann machines",
        (U_RBM, I_RBM, U_AUTOREC, U_OF_RESIDUALS, I_AUTOREC),
    ),
    "b": Table("(b) Activations of I-AutoRec", BY_ACTIVATIONS),
    "c": Table("(c) Beside other models", (BIASED_MF, I_RBM, U_RBM, LLORMA, I_AUTOREC)),
    "units": Table("I-AutoRec by its hidden units", BY_UNITS),
    "deep": Table("Deep I-AutoRec, 500, 250 and 500 hidden units", DEEP),
}
