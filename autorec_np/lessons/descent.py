"""Lessons 5 and 6: a gradient is checked, and used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from autorec_np.lessons.lesson import Array, Lesson, Mistake, Named, Problem

# Lesson 5

CHECK_STUB = '''"""Lesson 5: check it.

A gradient says how a value changes. So change one parameter a little, to both sides, and look how
much the value changes:

    (fun(theta + step e_i) - fun(theta - step e_i)) / (2 step)

where e_i is 1 at i and 0 elsewhere. A central difference has an error of the order of step^2.

    autorec-np lesson 5
"""

import numpy as np


def check(fun, theta, step, tolerance):
    """Return central differences, how far the gradient is from them, and which entries are blamed.

    fun(theta) returns (value, gradient). error is the absolute difference of each entry, divided
    by the absolute value of the central difference where that is above 1; blamed is True where
    error is above the tolerance. theta itself must stay as it is.
    """
    value, gradient = fun(theta)
    numeric = None
    error = None
    blamed = None
    return numeric, error, blamed
'''
CHECK_SOLUTION = CHECK_STUB.replace(
    """    numeric = None
    error = None
    blamed = None
""",
    """    numeric = np.zeros(len(theta))
    for i in range(len(theta)):
        e = np.zeros(len(theta))
        e[i] = step
        numeric[i] = (fun(theta + e)[0] - fun(theta - e)[0]) / (2 * step)
    error = np.abs(gradient - numeric) / np.maximum(1, np.abs(numeric))
    blamed = error > tolerance
""",
)
SIDES = "At which two points is the value taken, and how far apart are they?"
SIZE = "Which sizes can an error have?"
CHECK_MISTAKES = {
    "forward": Mistake(
        "the difference is to one side, (fun(theta + step) - fun(theta)) / step: its error is of "
        "the order of step, not of its square",
        SIDES,
        "numeric",
    ),
    "backward": Mistake(
        "the difference is to one side, (fun(theta) - fun(theta - step)) / step", SIDES, "numeric"
    ),
    "no_two": Mistake("the two points are 2 steps apart, and one step divides", SIDES, "numeric"),
    "half": Mistake("the two points are one step apart, and 2 steps divide", SIDES, "numeric"),
    "no_step": Mistake("the difference is not divided by 2 step", SIDES, "numeric"),
    "sign": Mistake(
        "the value below is taken first: the sign is wrong", "Which value is larger?", "sign"
    ),
    "kept": Mistake(
        "each parameter stays changed when the next one's turn comes: put it back",
        "What is theta when the second parameter is moved?",
        "kept",
    ),
    "all_at_once": Mistake(
        "all parameters are moved at once: only entry i may move", SIDES, "numeric"
    ),
    "own_gradient": Mistake(
        "numeric is the gradient itself: then a check cannot fail",
        "What would this check say of a wrong gradient?",
        "numeric",
    ),
    "signed": Mistake("error has a sign: take the absolute value", SIZE, "error"),
    "absolute": Mistake(
        "error is not divided by the size of the difference",
        "Is an error of 1 large where the derivative is 1000?",
        "error",
    ),
    "relative": Mistake(
        "error is divided also where the difference is below 1",
        "What becomes of the error where the derivative is nearly 0?",
        "error",
    ),
    "of_gradient": Mistake(
        "error is divided by the size of the gradient; divide by that of the difference",
        "Which of the two may be wrong?",
        "error",
    ),
    "squared": Mistake("error is squared", SIZE, "error"),
    "praised": Mistake("blamed is True where the error is small", "Who is to blame?", "blamed"),
}  # fmt: skip


def check_problem(rng: np.random.Generator) -> Problem:
    """Draw a function of four parameters, and faults for two entries of its gradient."""
    n = 5
    faults = np.zeros(n)
    faults[rng.choice(n, 2, replace=False)] = rng.uniform(2, 3, 2)
    return {
        "a": rng.uniform(0.5, 1, n),
        "slope": rng.uniform(-1, 1, n),
        "faults": faults,
        "theta": rng.uniform(0.5, 1.5, n) * np.sign(rng.normal(size=n)),
        "step": 0.1,
        "tolerance": 0.1,
    }


def function_of(problem: Problem) -> Callable[[Any], tuple[float, Array]]:
    """Return the function, whose gradient has the faults."""
    a, slope, faults = problem["a"], problem["slope"], problem["faults"]

    def fun(theta: Any) -> tuple[float, Array]:
        theta = np.asarray(theta, dtype=float)
        value = np.sum(a * theta**4) / 4 + (slope @ theta) ** 2 / 2
        return float(value), a * theta**3 + slope * (slope @ theta) + faults

    return fun


def check_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Check the gradient."""
    fun, theta, step = function_of(problem), problem["theta"], problem["step"]
    gradient = fun(theta)[1]
    numeric = gradient if "own_gradient" in made else _differences(fun, theta, step, made)
    numeric = (given or {}).get("numeric", -numeric if "sign" in made else numeric)
    error = gradient - numeric if "signed" in made else np.abs(gradient - numeric)
    size = np.abs(gradient if "of_gradient" in made else numeric)
    if "absolute" not in made:
        error = error / (size if "relative" in made else np.maximum(1, size))
    error = (given or {}).get("error", error**2 if "squared" in made else error)
    blamed = error > problem["tolerance"]
    return {
        "numeric": numeric,
        "error": error,
        "blamed": ~blamed if "praised" in made else blamed,
    }


def _differences(
    fun: Callable[[Any], tuple[float, Array]], theta: Array, step: float, made: Collection[str]
) -> Array:
    numeric, moved = np.zeros(len(theta)), theta.copy()
    for i in range(len(theta)):
        e = np.full(len(theta), step) if "all_at_once" in made else step * np.eye(len(theta))[i]
        if "half" in made:
            e = e / 2
        up = fun(moved)[0] if "backward" in made else fun(moved + e)[0]
        down = fun(moved)[0] if "forward" in made else fun(moved - e)[0]
        one = {"forward", "backward", "no_two"} & set(made)
        numeric[i] = (up - down) / (1 if "no_step" in made else step if one else 2 * step)
        if "kept" in made:
            moved = moved + e if "forward" in made else moved - e
    return numeric


CHECK = Lesson(
    number=5,
    name="check",
    title="Check it: step, budget, what no check can see",
    minutes=45,
    function="check",
    blocks=dict.fromkeys(("numeric", "error", "blamed"), "the task"),
    steps=dict.fromkeys(("numeric", "error"), "the task"),
    told="blamed",
    problem=check_problem,
    work=check_work,
    mistakes=CHECK_MISTAKES,
    stub=CHECK_STUB,
    solution=CHECK_SOLUTION,
    ask=lambda function, p: function(function_of(p), p["theta"], p["step"], p["tolerance"]),
)

# Lesson 6

DESCENT_STUB = '''"""Lesson 6: one objective, three ways down.

SGD goes against the gradient:     theta <- theta - rate g

Adam scales each parameter's step. With m = v = 0 at first, in step t = 1, 2, ...:

    m <- 0.9 m + 0.1 g               v <- 0.999 v + 0.001 g^2
    theta <- theta - rate m / (1 - 0.9^t) / (sqrt(v / (1 - 0.999^t)) + 1e-8)

L-BFGS remembers a step s and the change y of the gradient along it:

    alpha = s.g / s.y,   q = g - alpha y,   r = (s.y / y.y) q,   beta = y.r / s.y
    direction = -(r + (alpha - beta) s)

    autorec-np lesson 6
"""

import numpy as np


def descent(gradient, theta, rate, n_steps, s, y):
    """Return theta after n_steps of SGD, after n_steps of Adam, and the direction of L-BFGS.

    gradient(theta) returns the gradient. Both begin at theta, which must stay as it is; the
    direction is that at theta.
    """
    sgd = None
    adam = None
    lbfgs = None
    return sgd, adam, lbfgs
'''
DESCENT_SOLUTION = DESCENT_STUB.replace(
    """    sgd = None
    adam = None
    lbfgs = None
""",
    """    sgd = theta
    for _ in range(n_steps):
        sgd = sgd - rate * gradient(sgd)
    adam, m, v = theta, 0, 0
    for t in range(1, n_steps + 1):
        g = gradient(adam)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        adam = adam - rate * m_hat / (np.sqrt(v_hat) + 1e-8)
    g = gradient(theta)
    alpha = s @ g / (s @ y)
    q = g - alpha * y
    r = (s @ y) / (y @ y) * q
    beta = y @ r / (s @ y)
    lbfgs = -(r + (alpha - beta) * s)
""",
)
DOWN = "Does the gradient point up or down?"
FRESH = "At which point is the gradient of the second step taken?"
FIRST = "How large are m and v after one step, and how large should they be?"
TWO_LOOP = "What is each of alpha, q, r, beta, in this order?"
DESCENT_MISTAKES = {
    "ascent": Mistake("SGD goes up: it must go against the gradient", DOWN, "sgd"),
    "sgd_once": Mistake("SGD takes one step, and should take n_steps", FRESH, "sgd"),
    "sgd_stale": Mistake("SGD's gradient is always that at the start", FRESH, "sgd"),
    "sgd_more": Mistake("SGD takes a step too many", "How many steps does the loop take?", "sgd"),
    "momentum": Mistake("SGD has momentum 0.9 here: the task has none", "What is added?", "sgd"),
    "adam_ascent": Mistake("Adam goes up: it must go against the gradient", DOWN, "adam way"),
    "adam_once": Mistake("Adam takes one step, and should take n_steps", FRESH, "adam n"),
    "adam_stale": Mistake("Adam's gradient is always that at the start", FRESH, "adam g"),
    "from_sgd": Mistake("Adam begins where SGD ended: it begins at theta", FRESH, "adam from"),
    "no_correction": Mistake("m and v are not divided by 1 - 0.9^t, 1 - 0.999^t", FIRST, "adam"),
    "m_correction": Mistake("v is not divided by 1 - 0.999^t", FIRST, "adam"),
    "v_correction": Mistake("m is not divided by 1 - 0.9^t", FIRST, "adam"),
    "from_0": Mistake("t begins at 0, and 1 - 0.9^0 is 0: it begins at 1", FIRST, "adam"),
    "always_first": Mistake("t stays 1: it counts the steps", "What is t in step 2?", "adam"),
    "no_root": Mistake("the root of v is missing", "Which unit has v, and which has g?", "root"),
    "swapped": Mistake("0.9 and 0.999 are exchanged", "Which mean is the longer one?", "betas"),
    "lbfgs_up": Mistake("the direction of L-BFGS points up", DOWN, "lbfgs"),
    "by_entries": Mistake("s.y is the sum of the products, one number: s @ y", TWO_LOOP, "lbfgs"),
    "no_scale": Mistake("r lacks the factor s.y / y.y", TWO_LOOP, "lbfgs"),
    "scale_up": Mistake("the factor of r is y.y / s.y, and should be s.y / y.y", TWO_LOOP, "lbfgs"),
    "steepest": Mistake("the direction is -g: s and y are not used", TWO_LOOP, "lbfgs"),
    "no_beta": Mistake("beta is missing in the last line of L-BFGS", TWO_LOOP, "lbfgs"),
    "no_alpha": Mistake("alpha is missing in the last line of L-BFGS", TWO_LOOP, "lbfgs"),
    "plus_beta": Mistake("the last line has alpha + beta; it must be alpha - beta", TWO_LOOP,
                         "lbfgs"),
}  # fmt: skip


def descent_problem(rng: np.random.Generator) -> Problem:
    """Draw a quadratic function, a start and a step with its change of the gradient."""
    n = 4
    root = rng.normal(size=(n, n))
    A, s = root @ root.T / n + np.eye(n), rng.normal(size=n)
    return {
        "A": A,
        "lowest": rng.normal(size=n),
        "theta": rng.normal(0, 2, n),
        "rate": 0.1,
        "n_steps": 4,
        "s": s,
        "y": A @ s,
    }


def gradient_of(problem: Problem) -> Callable[[Any], Array]:
    """Return the gradient of the quadratic function."""
    return lambda theta: np.asarray(problem["A"] @ (np.asarray(theta) - problem["lowest"]))


def descent_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Go down in three ways."""
    sgd = _sgd(problem, made)
    start = sgd if "from_sgd" in made else problem["theta"]
    return {"sgd": sgd, "adam": _adam(problem, start, made), "lbfgs": _lbfgs(problem, made)}


def _sgd(problem: Problem, made: Collection[str]) -> Array:
    gradient, theta = gradient_of(problem), problem["theta"]
    n_steps = 1 if "sgd_once" in made else problem["n_steps"] + ("sgd_more" in made)
    velocity, sgd = 0 * theta, theta
    for _ in range(n_steps):
        g = gradient(theta if "sgd_stale" in made else sgd)
        velocity = (0.9 * velocity if "momentum" in made else 0) - problem["rate"] * g
        sgd = sgd - velocity if "ascent" in made else sgd + velocity
    return np.asarray(sgd)


def _adam(problem: Problem, start: Array, made: Collection[str]) -> Array:
    gradient, theta = gradient_of(problem), start
    beta1, beta2 = (0.999, 0.9) if "swapped" in made else (0.9, 0.999)
    m = v = 0 * theta
    for step in range(1 if "adam_once" in made else problem["n_steps"]):
        g = gradient(start if "adam_stale" in made else theta)
        t = 1 if "always_first" in made else step + ("from_0" not in made)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        plain_m = "no_correction" in made or "v_correction" in made
        plain_v = "no_correction" in made or "m_correction" in made
        up = m if plain_m else m / (1 - beta1**t)
        down = v if plain_v else v / (1 - beta2**t)
        down = (down if "no_root" in made else np.sqrt(down)) + 1e-8
        theta = theta + (1 if "adam_ascent" in made else -1) * problem["rate"] * up / down
    return np.asarray(theta)


def _lbfgs(problem: Problem, made: Collection[str]) -> Array:
    g, s, y = gradient_of(problem)(problem["theta"]), problem["s"], problem["y"]
    if "steepest" in made:
        return -g
    dot = np.multiply if "by_entries" in made else np.dot
    alpha = dot(s, g) / dot(s, y)
    scale = dot(y, y) / dot(s, y) if "scale_up" in made else dot(s, y) / dot(y, y)
    r = (1 if "no_scale" in made else scale) * (g - alpha * y)
    beta = dot(y, r) / dot(s, y)
    alpha = 0 if "no_alpha" in made else alpha
    beta = 0 if "no_beta" in made else -beta if "plus_beta" in made else beta
    return np.asarray((1 if "lbfgs_up" in made else -1) * (r + (alpha - beta) * s))


DESCENT = Lesson(
    number=6,
    name="descent",
    title="One objective, three ways down: SGD, Adam, L-BFGS",
    minutes=50,
    function="descent",
    blocks=dict.fromkeys(("sgd", "adam", "lbfgs"), "the task"),
    problem=descent_problem,
    work=descent_work,
    mistakes=DESCENT_MISTAKES,
    stub=DESCENT_STUB,
    solution=DESCENT_SOLUTION,
    ask=lambda function, p: function(
        gradient_of(p), p["theta"], p["rate"], p["n_steps"], p["s"], p["y"]
    ),
)

LESSONS = (CHECK, DESCENT)
