"""Lessons 1 to 3: a table with holes, the forward pass, the objective."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from autorec_np.lessons.backward import sigmoid
from autorec_np.lessons.lesson import Array, Lesson, Mistake, Named, Problem

# Lesson 1

TABLE_STUB = '''"""Lesson 1: a table with holes.

Ratings come as three lists: who (users), what (items), how much (ratings). Make a table of them
with a row for each item and a column for each user. Most of it is holes. A hole is no rating of 0:
so a second table says where there is a rating.

    autorec-np lesson 1
"""

import numpy as np


def table(users, items, ratings, n_users, n_items):
    """Return the table, where it is rated, the share that is rated, and the mean of each item.

    users and items are numbers from 0. X is (n_items, n_users), 0 in the holes; rated is True where
    there is a rating; share is the number of ratings by the number of cells; means has the mean of
    the ratings of each item, and 0 for an item that nobody has rated.
    """
    X = None
    rated = None
    share = None
    means = None
    return X, rated, share, means
'''
TABLE_SOLUTION = TABLE_STUB.replace(
    """    X = None
    rated = None
    share = None
    means = None
""",
    """    X = np.zeros((n_items, n_users))
    X[items, users] = ratings
    rated = np.zeros((n_items, n_users), bool)
    rated[items, users] = True  # whatever the rating is
    share = rated.mean()
    means = X.sum(axis=1) / np.maximum(rated.sum(axis=1), 1)
""",
)
HOLE = "Is every 0 in X a hole?"
MEAN = "What is divided by what in the mean of an item that three of a thousand have rated?"
TABLE_MISTAKES = {
    "mask_of_values": Mistake(
        "rated is read from the values, which loses the ratings of 0: write True where a rating is",
        HOLE,
        "rated",
    ),
    "rated_alone": Mistake(
        "rated is read from the values (the rest does right without it): a rating of 0 is a rating",
        HOLE,
        "rated",
    ),
    "holes": Mistake("rated is True in the holes, and False where a rating is", HOLE, "rated"),
    "mean_of_cells": Mistake(
        "the means are over all users: the holes are taken for ratings of 0", MEAN, "means"
    ),
    "mean_not_0": Mistake("the means leave out the ratings of 0, which are ratings", HOLE, "means"),
    "mean_of_all": Mistake(
        "an item without ratings has the mean of all; here it should be 0",
        "What does the task say of an item that nobody has rated?",
        "empty",
    ),
    "nan": Mistake(
        "an item without ratings has 0 / 0, which is nan; it should have 0",
        "What does the task say of an item that nobody has rated?",
        "empty",
    ),
    "sums": Mistake("means holds the sums", MEAN, "means"),
    "share_of_holes": Mistake("share is that of the holes", "Which share is asked for?", "share"),
    "count": Mistake(
        "share is the number of ratings, and should be divided by the number of cells",
        "How large can a share be?",
        "share",
    ),
    "percent": Mistake("share is in percent", "How large can a share be?", "share"),
    "ratings_added": Mistake(
        "X holds 1 where there is a rating, and should hold the rating",
        "What does X hold where there is a rating?",
        "X",
    ),
}


def table_problem(rng: np.random.Generator) -> Problem:
    """Draw ratings with a 0 among them and an item that nobody has rated."""
    n_users, n_items = 7, 5
    rated = rng.random((n_items, n_users)) < 0.5
    rated[3], rated[[0, 1, 2, 4], [1, 2, 3, 0]] = False, True
    items, users = np.nonzero(rated)
    order = rng.permutation(len(items))
    ratings = rng.integers(1, 6, len(items)).astype(float)
    ratings[(items == 1) & (users == 2)] = 0.0
    return {
        "users": users[order],
        "items": items[order],
        "ratings": ratings[order],
        "n_users": n_users,
        "n_items": n_items,
    }


def table_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Make the table."""
    users, items, ratings, n_users, n_items = problem.values()
    X = np.zeros((n_items, n_users))
    X[items, users] = 1 if "ratings_added" in made else ratings
    where = np.zeros(X.shape, bool)
    where[items, users] = True
    rated = X != 0 if "mask_of_values" in made else where
    share = rated.mean() * (100 if "percent" in made else rated.size if "count" in made else 1)
    if "share_of_holes" in made:
        share = 1 - share
    count = (X != 0 if "mean_not_0" in made else rated).sum(axis=1)
    means = X.sum(axis=1) / (count if "nan" in made else np.maximum(count, 1))
    if "sums" in made:
        means = X.sum(axis=1)
    if "mean_of_cells" in made:
        means = X.mean(axis=1)
    if "mean_of_all" in made:
        means = np.where(where.any(axis=1), means, ratings.mean())
    if "rated_alone" in made:
        rated = X != 0
    if "holes" in made:
        rated = ~rated
    return {"X": X, "rated": rated, "share": np.asarray(share), "means": means}


TABLE = Lesson(
    number=1,
    name="table",
    title="A table with holes",
    minutes=20,
    function="table",
    blocks=dict.fromkeys(("X", "rated", "share", "means"), "the task"),
    problem=table_problem,
    work=table_work,
    mistakes=TABLE_MISTAKES,
    stub=TABLE_STUB,
    solution=TABLE_SOLUTION,
)

# Lesson 2

FORWARD_STUB = '''"""Lesson 2: forward with pencil and paper.

    Z = X V + mu,   H = sigmoid(Z),   Y = H W^T + b                                        (1)

Each row of X goes through a few hidden units, H, and comes out as a row of Y without holes.

    autorec-np lesson 2
"""

import numpy as np


def forward(X, V, mu, W, b):
    """Return Z and H, both (n, k), and Y, (n, m).

    X is (n, m) and 0 in the holes; V and W are (m, k), mu is (k,), b is (m,).
    """
    Z = None
    H = None
    Y = None
    return Z, H, Y
'''
FORWARD_SOLUTION = FORWARD_STUB.replace(
    """    Z = None
    H = None
    Y = None
""",
    """    Z = X @ V + mu
    H = 1 / (1 + np.exp(-Z))
    Y = H @ W.T + b
""",
)
WHICH_G = "Which function is the sigmoid, what is it at 0, and does it rise or fall?"
READ_1 = "What stands in (1), term by term?"
FORWARD_MISTAKES = {
    "no_mu": Mistake("Z is X V + mu, here mu is missing", READ_1, "mu"),
    "mu_behind": Mistake("mu is added behind the sigmoid, and belongs before it", READ_1, "mu"),
    "minus_mu": Mistake("mu is subtracted, and must be added", READ_1, "mu"),
    "no_b": Mistake("Y is H W^T + b, here b is missing", READ_1, "b"),
    "minus_b": Mistake("b is subtracted, and must be added", READ_1, "b"),
    "back_V": Mistake("Y is made with V, and should be made with W", READ_1, "W"),
    "Y_of_Z": Mistake("Y is made from Z, and should be made from H", READ_1, "H"),
    "tanh": Mistake("H is tanh(Z), and should be the sigmoid of Z", WHICH_G, "g"),
    "relu": Mistake("H is max(Z, 0), and should be the sigmoid of Z", WHICH_G, "g"),
    "exp": Mistake("H is exp(-Z), a part of the sigmoid only", WHICH_G, "g"),
    "rising": Mistake("H is 1 / (1 + exp(Z)): the sigmoid has exp(-Z)", WHICH_G, "g"),
    "minus": Mistake("H is 1 / (1 - exp(-Z)): the sigmoid has a plus", WHICH_G, "g"),
    "identity": Mistake("H is Z: the sigmoid is missing", WHICH_G, "g"),
    "twice": Mistake("the sigmoid is applied twice in H", WHICH_G, "g"),
    "sigmoid_outputs": Mistake(
        "Y goes through a sigmoid: the outputs are ratings, f is the identity",
        "How large can a rating be, and how large a sigmoid?",
        "f",
    ),
    "mask": Mistake(
        "Z is made from where X is not 0, and should be made from X", "What goes into V?", "X"
    ),
}
CODES: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "relu": lambda Z: np.maximum(Z, 0),
    "exp": lambda Z: np.exp(-Z),
    "rising": lambda Z: sigmoid(-Z),
    "minus": lambda Z: 1 / (1 - np.exp(-Z)),
    "identity": lambda Z: Z,
    "twice": lambda Z: sigmoid(sigmoid(Z)),
}


def network_problem(rng: np.random.Generator) -> Problem:
    """Draw ratings with holes and a small network."""
    n, m, k = 5, 6, 3
    rated = rng.random((n, m)) < 0.6
    return {
        "X": np.where(rated, rng.integers(1, 6, (n, m)), 0).astype(float),
        "V": rng.normal(0, 0.3, (m, k)),
        "mu": rng.normal(0, 0.5, k),
        "W": rng.normal(0, 1, (m, k)),
        "b": rng.normal(3, 1, m),
    }


def forward_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Go forward, (1)."""
    X, V, mu, W, b = problem.values()
    done = given or {}
    inputs = (X != 0).astype(float) if "mask" in made else X
    Z = inputs @ V
    if "minus_mu" in made:
        Z = Z - mu
    elif "no_mu" not in made and "mu_behind" not in made:
        Z = Z + mu
    Z = done.get("Z", Z)
    H = next((CODES[one](Z) for one in made if one in CODES), None)
    H = sigmoid(Z) if H is None else H
    H = done.get("H", H + mu if "mu_behind" in made else H)
    Y = (Z if "Y_of_Z" in made else H) @ (V if "back_V" in made else W).T
    Y = Y - b if "minus_b" in made else Y if "no_b" in made else Y + b
    return {"Z": Z, "H": H, "Y": sigmoid(Y) if "sigmoid_outputs" in made else Y}


FORWARD = Lesson(
    number=2,
    name="forward",
    title="Forward with pencil and paper",
    minutes=35,
    function="forward",
    blocks=dict.fromkeys(("Z", "H", "Y"), "(1)"),
    steps=dict.fromkeys(("Z", "H"), "(1)"),
    problem=network_problem,
    work=forward_work,
    mistakes=FORWARD_MISTAKES,
    stub=FORWARD_STUB,
    solution=FORWARD_SOLUTION,
)

# Lesson 3

OBJECTIVE_STUB = '''"""Lesson 3: the objective and the mask.

How good are the outputs Y? Sum the squared errors over what is rated, and add a penalty:

    J = sum over the rated (X - Y)^2 + penalty / 2 (|W|^2 + |V|^2)                         (2)

|W|^2 is the sum of the squares of all entries.

    autorec-np lesson 3
"""

import numpy as np


def objective(X, rated, Y, V, W, penalty):
    """Return the two terms of J and J. The second one, weights, has the factor penalty / 2.

    X and Y are (n, m); rated is True where there is a rating, which may be a 0.
    """
    error = None
    weights = None
    J = None
    return error, weights, J
'''
OBJECTIVE_SOLUTION = OBJECTIVE_STUB.replace(
    """    error = None
    weights = None
    J = None
""",
    """    error = np.sum((X - Y)[rated] ** 2)
    weights = penalty / 2 * (np.sum(W**2) + np.sum(V**2))
    J = error + weights
""",
)
READ_2 = "What stands in (2): which sums, over what, with which factors?"
OBJECTIVE_MISTAKES = {
    "no_mask": Mistake(
        "the sum runs over all cells: the holes are taken for ratings of 0", READ_2, "mask"
    ),
    "mask_of_values": Mistake(
        "the sum runs where X is not 0, which loses the ratings of 0: use `rated`", HOLE, "mask"
    ),
    "mean_rated": Mistake("error is a mean over the ratings; (2) has a sum", READ_2, "mean"),
    "mean_cells": Mistake("error is divided by the number of cells; (2) has a sum", READ_2, "mean"),
    "mean_rows": Mistake("error is divided by the number of rows; (2) has a sum", READ_2, "mean"),
    "half_error": Mistake("error has a 1/2, which (2) has in the penalty alone", READ_2, "factor"),
    "absolute": Mistake("error sums absolute values; (2) has squares", READ_2, "power"),
    "signed": Mistake("error sums the differences without squares", READ_2, "power"),
    "square_of_sum": Mistake(
        "error is the square of a sum; (2) has a sum of squares", READ_2, "power"
    ),
    "root": Mistake("error is the root of the sum; (2) has none", READ_2, "root"),
    "no_half": Mistake("the penalty has no 1/2 here", READ_2, "half"),
    "no_penalty": Mistake("the factor penalty / 2 is missing in weights", READ_2, "half"),
    "half_alone": Mistake("the factor penalty is missing in weights", READ_2, "half"),
    "norms": Mistake("weights sums the norms; (2) has their squares", READ_2, "norm"),
    "absolute_weights": Mistake("weights sums absolute values; (2) has squares", READ_2, "norm"),
    "W_alone": Mistake("V is missing in weights", READ_2, "weights"),
    "V_alone": Mistake("W is missing in weights", READ_2, "weights"),
    "mean_weights": Mistake("weights has means; (2) has sums", READ_2, "norm"),
    "difference": Mistake("J is error - weights; (2) adds them", READ_2, "J"),
    "J_of_error": Mistake("J lacks the penalty", READ_2, "J"),
}


def objective_problem(rng: np.random.Generator) -> Problem:
    """Draw ratings with a 0 among them, outputs and weights."""
    n, m, k = 5, 6, 3
    rated = rng.random((n, m)) < 0.6
    X = np.where(rated, rng.integers(1, 6, (n, m)), 0).astype(float)
    rated[1, 1], X[1, 1] = True, 0
    return {
        "X": X,
        "rated": rated,
        "Y": rng.normal(3, 1, (n, m)),
        "V": rng.normal(0, 1, (m, k)),
        "W": rng.normal(0, 1, (m, k)),
        "penalty": float(rng.uniform(0.5, 0.9)),
    }


def objective_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Compute (2)."""
    X, rated, Y, V, W, penalty = problem.values()
    where = np.ones_like(rated) if "no_mask" in made else rated
    where = X != 0 if "mask_of_values" in made else where
    errors = (X - Y)[where]
    error = np.sum(errors**2)
    if "absolute" in made:
        error = np.sum(np.abs(errors))
    if "signed" in made:
        error = np.sum(errors)
    if "square_of_sum" in made:
        error = np.sum(errors) ** 2
    sizes = {"mean_rated": where.sum(), "mean_cells": X.size, "mean_rows": len(X), "half_error": 2}
    for name, size in sizes.items():
        error = error / size if name in made else error
    error = np.sqrt(error) if "root" in made else error
    total = np.sum([_size(one, made) for one in _weights(V, W, made)])
    factor = penalty / 2
    factor = penalty if "no_half" in made else 1 if "no_penalty" in made else factor
    weights = (0.5 if "half_alone" in made else factor) * total
    J = error - weights if "difference" in made else error + weights
    J = error if "J_of_error" in made else J
    return {"error": np.asarray(error), "weights": np.asarray(weights), "J": np.asarray(J)}


def _weights(V: Array, W: Array, made: Collection[str]) -> list[Array]:
    return [W] if "W_alone" in made else [V] if "V_alone" in made else [W, V]


def _size(weight: Array, made: Collection[str]) -> float:
    if "norms" in made:
        return float(np.linalg.norm(weight))
    if "absolute_weights" in made:
        return float(np.abs(weight).sum())
    return float((weight**2).mean() if "mean_weights" in made else (weight**2).sum())


OBJECTIVE = Lesson(
    number=3,
    name="objective",
    title="The objective and the mask",
    minutes=25,
    function="objective",
    blocks=dict.fromkeys(("error", "weights", "J"), "(2)"),
    problem=objective_problem,
    work=objective_work,
    mistakes=OBJECTIVE_MISTAKES,
    stub=OBJECTIVE_STUB,
    solution=OBJECTIVE_SOLUTION,
)

LESSONS = (TABLE, FORWARD, OBJECTIVE)
