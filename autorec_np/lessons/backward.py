"""Lesson 4: the backward pass by hand, and how it goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from autorec_np.lessons.lesson import Array, Lesson, Mistake, Named, Problem

STUB = '''"""Lesson 4: backward by hand.

Differentiate the objective (2) of docs/derivation.md by all parameters:

    J = sum over the rated (X - Y)^2 + penalty / 2 (|W|^2 + |V|^2),
    Y = H W^T + b,   H = sigmoid(Z),   Z = X V + mu                                    (1)

Begin at the end: how does J change with Y? Then go back, one step at a time. The derivative by an
array has the shape of the array. Check as often as you like: what is None is not judged yet.

    autorec-np lesson 4
"""

import numpy as np


def backward(X, rated, V, mu, W, b, penalty):
    """Return the derivatives of J by V, mu, W and b.

    X is (n, m) and 0 in the holes; rated is (n, m) and True where there is a rating, which may be
    a 0; V and W are (m, k), mu is (k,), b is (m,).
    """
    Z = X @ V + mu
    H = 1 / (1 + np.exp(-Z))
    Y = H @ W.T + b
    D_b = None
    D_W = None
    D_mu = None
    D_V = None
    return D_V, D_mu, D_W, D_b
'''

SOLUTION = STUB.replace(
    """    D_b = None
    D_W = None
    D_mu = None
    D_V = None
""",
    """    E = Y - X  # (3)
    D_Y = 2 * E  # (4)
    D_A = np.where(rated, D_Y, 0)  # (5): what is not rated is not in the sum
    D_W = D_A.T @ H + penalty * W  # (6), and the penalty
    D_b = D_A.sum(axis=0)  # (7)
    D_H = D_A @ W  # (8)
    D_Z = D_H * H * (1 - H)  # (9)
    D_V = X.T @ D_Z + penalty * V  # (10), and the penalty
    D_mu = D_Z.sum(axis=0)  # (11)
""",
)

STEPS = {
    "Z": "(1)",
    "H": "(1)",
    "Y": "(1)",
    "E": "(3)",
    "D_Y": "(4)",
    "D_A": "(5)",
    "D_H": "(8)",
    "D_Z": "(9)",
}
ALIASES = {"residual": "E", "residuals": "E", "error": "E", "errors": "E"}

READ_2 = "Which terms, and which factors, does (2) have?"
SQUARE = "What is the derivative of (x - y)^2 by y?"
HALF = "What is the derivative of penalty / 2 w^2 by w?"
SLOPE = "What is the derivative of 1 / (1 + exp(-z)) by z, written with h = sigmoid(z)?"
MASK = "Which pairs are in the sum of (2)? What is the derivative by the others?"
PENALTY = "Which parameters stand in the penalty of (2)?"
ROWS = "A bias is used in every row. What happens to a value that is used several times?"
SIGN = "If y is too large, does J rise or fall with y?"

# What may be wrong with the penalty: in one weight, or, where both are written, in both
PENALTIES = {
    "no_penalty": ("the penalty is missing", PENALTY),
    "half_penalty": ("half of the penalty: the 1/2 of (2) and the 2 of the square give 1", HALF),
    "double_penalty": ("twice the penalty: the 1/2 of (2) and the 2 of the square give 1", HALF),
    "minus_penalty": (
        "the penalty's derivative is subtracted",
        "Does the penalty rise or fall with a large weight?",
    ),
    "swap_penalty": (
        "the penalty is that of the other weight",
        "By which weight is D_V the derivative, and by which is D_W?",
    ),
    "penalty_rows": ("the penalty is divided by the number of rows", READ_2),
    "penalty_columns": ("the penalty is divided by the number of columns", READ_2),
    "penalty_ratings": ("the penalty is divided by the number of ratings", READ_2),
    "penalty_norm": ("the derivative of the norm in place of that of its square", HALF),
    "penalty_signs": ("the derivative of absolute values in place of that of squares", HALF),
    "penalty_unscaled": ("the weight is added without the factor `penalty`", HALF),
    "penalty_alone": (
        "the penalty stands in the place of the data term; it must be added to it",
        "Of how many terms is J the sum?",
    ),
}
OF_THE_PENALTY = {
    f"{name}{suffix}": Mistake(f"{text}, in {where}", question, "penalty")
    for name, (text, question) in PENALTIES.items()
    for suffix, where in {"_W": "D_W alone", "_V": "D_V alone", "": "D_W and D_V"}.items()
}

MISTAKES = {
    "factor_2": Mistake("the factor 2 of (4) is missing: D_Y is 2 (Y - X)", SQUARE, "scale"),
    "factor_4": Mistake("there is a factor 2 too many in (4): D_Y is 2 (Y - X)", SQUARE, "scale"),
    "sign": Mistake("the residual has the wrong sign: it is Y - X", SIGN, "sign"),
    "mean_ratings": Mistake(
        "divided by the number of ratings: J is a sum, no mean", READ_2, "mean"
    ),
    "mean_rows": Mistake("divided by the number of rows: J is a sum, no mean", READ_2, "mean"),
    "mean_cells": Mistake(
        "divided by the number of all cells, as mean() does: J is a sum over the rated, no mean",
        READ_2,
        "mean",
    ),
    "mean_of_row": Mistake(
        "each row is divided by its number of ratings: J is a sum, no mean", READ_2, "mean"
    ),
    "no_mask": Mistake(
        "the holes are not masked, so they are taken for ratings of 0: D_A is 0 where not rated",
        MASK,
        "mask",
    ),
    "mask_of_values": Mistake(
        "the mask is X > 0, which loses the ratings of 0: the mask is `rated`",
        "Is every 0 in X a hole?",
        "mask",
    ),
    "no_mask_W": Mistake("the mask is missing in D_W (6) alone", MASK, "mask W"),
    "no_mask_b": Mistake("the mask is missing in D_b (7) alone", MASK, "mask b"),
    "no_mask_H": Mistake("the mask is missing in D_H (8) alone", MASK, "mask H"),
    "nothing_back": Mistake(
        "nothing comes back through the hidden layer: D_Z is 0 (8), (9)",
        "Does J change with V?",
        "slope",
    ),
    "no_slope": Mistake("the slope of the sigmoid, H (1 - H), is missing in (9)", SLOPE, "slope"),
    "slope_h": Mistake("the slope in (9) is H (1 - H), here it is H", SLOPE, "slope"),
    "slope_1_h": Mistake("the slope in (9) is H (1 - H), here it is 1 - H", SLOPE, "slope"),
    "slope_minus": Mistake("the slope in (9) is H (1 - H), here it is H (H - 1)", SLOPE, "slope"),
    "slope_plus": Mistake("the slope in (9) is H (1 - H), here it is H (1 + H)", SLOPE, "slope"),
    "slope_z": Mistake(
        "the slope in (9) is H (1 - H), here it is Z (1 - Z): it wants the output of the sigmoid",
        "In h (1 - h), is h what goes into the sigmoid or what comes out?",
        "slope",
    ),
    "slope_twice": Mistake(
        "the sigmoid is applied twice in (9): H is sigmoid(Z) already",
        "What goes into the sigmoid, and what comes out?",
        "slope",
    ),
    "slope_tanh": Mistake(
        "the slope in (9) is H (1 - H); 1 - H^2 is that of tanh",
        "Which function is g here?",
        "slope",
    ),
    "slope_relu": Mistake(
        "the slope in (9) is H (1 - H); Z > 0 is that of relu", "Which function is g here?", "slope"
    ),
    "back_V": Mistake("D_H (8) goes back through W, here through V", "What made Y from H?", "back"),
    **OF_THE_PENALTY,
    "bias_penalty": Mistake(
        "the biases are penalized too: (2) has W and V only", PENALTY, "biases"
    ),
    "mean_mu": Mistake("D_mu (11) is a sum over the rows, here a mean", ROWS, "mu"),
    "no_mu": Mistake("D_mu (11) is 0 here", "Where does mu enter?", "mu"),
    "mu_of_H": Mistake(
        "D_mu (11) sums D_Z, here D_H", "Is mu added before or behind the sigmoid?", "mu"
    ),
    "mean_b": Mistake("D_b (7) is a sum over the rows, here a mean", ROWS, "b"),
    "no_b": Mistake("D_b (7) is 0 here", "Where does b enter?", "b"),
    "b_of_E": Mistake("D_b (7) sums D_A, here the residuals without their 2", SQUARE, "b"),
    "b_next": Mistake("D_b (7) is shifted by one column", "To which column belongs a sum?", "b"),
    "empty_rows": Mistake(
        "a row without ratings gets what belongs to the next row, as with np.add.reduceat: "
        "its sums are 0",
        "What is a sum without terms?",
        "rows",
    ),
    "W_of_Z": Mistake("D_W (6) is made from H, here from Z", "What did W multiply?", "W"),
    "minus_W": Mistake("the data term of D_W (6) has the wrong sign", SIGN, "W"),
    "V_of_H": Mistake(
        "D_V (10) is made from D_Z, here from D_H", "Is V before or behind the sigmoid?", "V"
    ),
    "V_of_mask": Mistake("D_V (10) is made from X, here from `rated`", "What did V multiply?", "V"),
    "V_of_E": Mistake("D_V (10) is made from X, here from E", "What did V multiply?", "V"),
    "minus_V": Mistake("the data term of D_V (10) has the wrong sign", SIGN, "V"),
    "minus_mu": Mistake("D_mu (11) has the wrong sign", SIGN, "mu"),
    "minus_b": Mistake("D_b (7) has the wrong sign", SIGN, "b"),
    "forward_mu": Mistake("Z forgets mu: it is X V + mu (1)", "What does (1) add?", "forward mu"),
    "forward_b": Mistake("Y forgets b: it is H W^T + b (1)", "What does (1) add?", "forward b"),
    "forward_next_b": Mistake(
        "Y adds the b of the column before", "To which column belongs an entry of b?", "forward b"
    ),
    "tanh": Mistake(
        "H is tanh(Z), with its slope: g is the sigmoid", "Which function is g here?", "g"
    ),
    "relu": Mistake(
        "H is max(Z, 0), with its slope: g is the sigmoid", "Which function is g here?", "g"
    ),
    "sigmoid_of_minus_z": Mistake(
        "H is 1 / (1 + exp(Z)): the sigmoid has exp(-Z)", "Does the sigmoid rise or fall?", "g"
    ),
    "sigmoid_outputs": Mistake(
        "Y goes through a sigmoid: f is the identity", "Which function is f here?", "f"
    ),
}


SLOPES: dict[str, Callable[[Array, Array], Array]] = {
    "nothing_back": lambda Z, H: 0 * H,
    "no_slope": lambda Z, H: np.ones_like(H),
    "slope_h": lambda Z, H: H,
    "slope_1_h": lambda Z, H: 1 - H,
    "slope_minus": lambda Z, H: H * (H - 1),
    "slope_plus": lambda Z, H: H * (1 + H),
    "slope_z": lambda Z, H: Z * (1 - Z),
    "slope_twice": lambda Z, H: sigmoid(H) * (1 - sigmoid(H)),
    "slope_tanh": lambda Z, H: 1 - H**2,
    "slope_relu": lambda Z, H: np.asarray(Z > 0),
    "tanh": lambda Z, H: 1 - H**2,
    "relu": lambda Z, H: np.asarray(Z > 0),
}


def problem(rng: np.random.Generator) -> Problem:
    """Draw a problem with an empty row, an empty column and a rating of 0; no size is another's."""
    n_rows, n_columns, k = 6, 7, 3
    rated = rng.random((n_rows, n_columns)) < 0.6
    rated[3], rated[:, 4] = False, False
    rated[[0, 1, 2, 4, 5], [0, 1, 2, 5, 6]] = True
    X = np.where(rated, rng.integers(1, 6, rated.shape), 0).astype(float)
    X[1, 1] = 0
    return {
        "X": X,
        "rated": rated,
        "V": rng.normal(0, 0.3, (n_columns, k)),
        "mu": rng.normal(0, 0.5, k),
        "W": rng.normal(0, 1, (n_columns, k)),
        "b": rng.normal(3, 1, n_columns),
        "penalty": float(rng.uniform(0.5, 0.9)),
    }


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z))."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-z)))


def work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Go forward and backward, (1) to (11)."""
    X, rated, V, mu, W, b, penalty = problem.values()
    done = dict(given or {})
    out: Named = {}

    def step(name: str, value: Array) -> Array:
        out[name] = done.get(name, value)
        return out[name]

    Z = step("Z", _product(X, V, rated, made) + (0 if "forward_mu" in made else mu))
    H = step("H", _code(Z, made))
    bias = 0 if "forward_b" in made else np.roll(b, 1) if "forward_next_b" in made else b
    Y = step("Y", H @ W.T + bias)
    out["Y.rated"] = np.where(rated, Y, 0)
    if "sigmoid_outputs" in made:
        Y = sigmoid(Y)
    E = step("E", X - Y if "sign" in made else Y - X)
    out["E.rated"] = np.where(rated, E, 0)
    full = step("D_Y", _scale(rated, made) * E * (Y * (1 - Y) if "sigmoid_outputs" in made else 1))
    mask = np.ones_like(rated) if "no_mask" in made else rated
    D_A = step("D_A", np.where(X > 0 if "mask_of_values" in made else mask, full, 0))
    out["D_Y.rated"] = D_A
    D_H = step(
        "D_H", _product(full if "no_mask_H" in made else D_A, _back(problem, made), rated, made)
    )
    D_Z = step("D_Z", D_H * _slope(Z, H, made))
    D_W = (
        _sign("minus_W", made)
        * (full if "no_mask_W" in made else D_A).T
        @ (Z if "W_of_Z" in made else H)
    )
    inputs = X
    if "V_of_mask" in made:
        inputs = rated.astype(float)
    if "V_of_E" in made:
        inputs = out["E.rated"]
    D_V = _sign("minus_V", made) * inputs.T @ (D_H if "V_of_H" in made else D_Z)
    D_b = _by_b(full if "no_mask_b" in made else D_A, E * mask, made)
    D_mu = _by_mu(D_H if "mu_of_H" in made else D_Z, made)
    if "penalty_alone" in made or "penalty_alone_W" in made:
        D_W = 0 * D_W
    if "penalty_alone" in made or "penalty_alone_V" in made:
        D_V = 0 * D_V
    D_W = D_W + _penalty("W", problem, made)
    D_V = D_V + _penalty("V", problem, made)
    if "bias_penalty" in made:
        D_b, D_mu = D_b + penalty * b, D_mu + penalty * mu
    return out | {"D_V": D_V, "D_mu": D_mu, "D_W": D_W, "D_b": D_b}


def _product(left: Array, right: Array, rated: Array, made: Collection[str]) -> Array:
    product = left @ right
    if "empty_rows" in made:
        rows, columns = np.nonzero(rated)
        for row in np.flatnonzero(~rated.any(axis=1)):
            after = np.flatnonzero(rows > row)
            if after.size:
                first = rows[after[0]], columns[after[0]]
                product[row] = left[first] * right[first[1]]
    return np.asarray(product)


def _code(Z: Array, made: Collection[str]) -> Array:
    if "tanh" in made:
        return np.tanh(Z)
    if "relu" in made:
        return np.maximum(Z, 0)
    return sigmoid(-Z if "sigmoid_of_minus_z" in made else Z)


def _slope(Z: Array, H: Array, made: Collection[str]) -> Array:
    for name in made:
        if name in SLOPES:
            return SLOPES[name](Z, H)
    return np.asarray(H * (1 - H))


def _scale(rated: Array, made: Collection[str]) -> Array:
    scale = np.array(1.0 if "factor_2" in made else 4.0 if "factor_4" in made else 2.0)
    if "mean_ratings" in made:
        scale = scale / rated.sum()
    if "mean_rows" in made:
        scale = scale / len(rated)
    if "mean_cells" in made:
        scale = scale / rated.size
    if "mean_of_row" in made:
        scale = scale / np.maximum(rated.sum(axis=1, keepdims=True), 1)
    return np.asarray(scale)


def _sign(name: str, made: Collection[str]) -> int:
    return -1 if name in made else 1


def _back(problem: Problem, made: Collection[str]) -> Array:
    return np.asarray(problem["V" if "back_V" in made else "W"])


def _by_b(D_A: Array, E: Array, made: Collection[str]) -> Array:
    sums = _sign("minus_b", made) * D_A.sum(axis=0)
    if "mean_b" in made:
        return np.asarray(sums / len(D_A))
    if "b_of_E" in made:
        return np.asarray(E.sum(axis=0))
    if "b_next" in made:
        return np.roll(sums, 1)
    return np.asarray(0 * sums if "no_b" in made else sums)


def _by_mu(D_Z: Array, made: Collection[str]) -> Array:
    sums = _sign("minus_mu", made) * D_Z.sum(axis=0)
    if "mean_mu" in made:
        return np.asarray(sums / len(D_Z))
    return np.asarray(0 * sums if "no_mu" in made else sums)


def _penalty(name: str, problem: Problem, made: Collection[str]) -> Array:
    weight, penalty = problem[name], problem["penalty"]
    kind = next((one.removesuffix(f"_{name}") for one in made if one in KINDS[name]), "")
    if kind == "swap_penalty":
        weight = problem["V" if name == "W" else "W"]
    elif kind == "penalty_signs":
        weight = np.sign(weight)
    elif kind == "penalty_norm":
        weight = weight / max(np.linalg.norm(weight), 1e-300)
    elif kind == "penalty_unscaled":
        return np.asarray(weight)
    n_rows, n_columns = problem["rated"].shape
    factors = {
        "no_penalty": 0,
        "half_penalty": 1 / 2,
        "double_penalty": 2,
        "minus_penalty": -1,
        "penalty_rows": 1 / n_rows,
        "penalty_columns": 1 / n_columns,
        "penalty_ratings": 1 / max(problem["rated"].sum(), 1),
    }
    return np.asarray(factors.get(kind, 1) * penalty * weight)


KINDS = {
    name: {f"{one}{suffix}" for one in PENALTIES for suffix in ("", f"_{name}")} for name in "WV"
}


def _few(problem: Problem, rows: slice, columns: slice, units: slice) -> Problem:
    return {
        "X": problem["X"][rows, columns],
        "rated": problem["rated"][rows, columns],
        "V": problem["V"][columns, units],
        "mu": problem["mu"][units],
        "W": problem["W"][columns, units],
        "b": problem["b"][columns],
        "penalty": problem["penalty"],
    }


ALL, ONE = slice(None), slice(1)
PROBES = {
    "the penalty (all is right without it)": lambda p: p | {"penalty": 0.0},
    "the holes (all is right where everything is rated)": lambda p: (
        p | {"X": np.where(p["rated"], p["X"], 2.0), "rated": np.ones_like(p["rated"])}
    ),
    "ratings of 0 (all is right where no rating is 0)": lambda p: (
        p | {"X": np.where(p["rated"] & (p["X"] == 0), 1.0, p["X"])}
    ),
    "the sum over rows (all is right with one row)": lambda p: _few(p, ONE, ALL, ALL),
    "the hidden units (all is right with one unit)": lambda p: _few(p, ALL, ALL, ONE),
    "the columns (all is right with one column)": lambda p: _few(p, ALL, ONE, ALL),
    "the output bias (all is right with b = 0)": lambda p: p | {"b": 0 * p["b"]},
    "the hidden bias (all is right with mu = 0)": lambda p: p | {"mu": 0 * p["mu"]},
    "V (all is right with V = 0)": lambda p: p | {"V": 0 * p["V"]},
    "the way back into the hidden layer (all is right with W = 0)": lambda p: p | {"W": 0 * p["W"]},
}

LESSON = Lesson(
    number=4,
    name="backward",
    title="Backward by hand",
    minutes=80,
    function="backward",
    blocks={"D_V": "(10)", "D_mu": "(11)", "D_W": "(6)", "D_b": "(7)"},
    steps=STEPS,
    aliases=ALIASES,
    problem=problem,
    work=work,
    mistakes=MISTAKES,
    stub=STUB,
    solution=SOLUTION,
    penalized={"D_V": ("V", 1), "D_mu": ("mu", 0), "D_W": ("W", 1), "D_b": ("b", 0)},
    probes=PROBES,
    order=("D_b", "D_W", "D_mu", "D_V"),
)

LESSONS = (LESSON,)
