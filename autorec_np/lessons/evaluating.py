"""Lessons 7 to 9: is it any good, a new user, and from a popular program to the paper."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from autorec_np.lessons.backward import sigmoid
from autorec_np.lessons.lesson import Array, Lesson, Mistake, Named, Problem

# Lesson 7

JUDGE_STUB = '''"""Lesson 7: is it any good?

An error means nothing alone. Beside it belongs what simple models reach on the same test ratings:
the mean of all training ratings for every pair, and the mean of the item's training ratings (an
item without: the mean of all). And one split is one draw: over several splits, an interval is

    mean -+ t (standard deviation) / sqrt(n),   with n - 1 under the standard deviation.

    autorec-np lesson 7
"""

import numpy as np


def judge(train, test, errors, t):
    """Return the RMSE of the mean, the RMSE of the item means, and the interval (low, high).

    train and test are (users, items, ratings), three arrays each; items are numbers from 0. errors
    has an RMSE for each of n splits.
    """
    mean_rmse = None
    item_rmse = None
    interval = None
    return mean_rmse, item_rmse, interval
'''
JUDGE_SOLUTION = JUDGE_STUB.replace(
    """    mean_rmse = None
    item_rmse = None
    interval = None
""",
    """    (_, items, ratings), (_, test_items, test_ratings) = train, test
    mean = ratings.mean()
    mean_rmse = np.sqrt(np.mean((test_ratings - mean) ** 2))
    predicted = np.array(
        [ratings[items == i].mean() if i in items else mean for i in test_items]
    )
    item_rmse = np.sqrt(np.mean((test_ratings - predicted) ** 2))
    half = t * np.std(errors, ddof=1) / np.sqrt(len(errors))
    interval = np.mean(errors) - half, np.mean(errors) + half
""",
)
LEAK = "Which ratings may a model see before the test?"
ROOT = "What does each letter of RMSE stand for, from right to left?"
SPREAD = "How does the interval change with n?"
JUDGE_MISTAKES = {
    "leak": Mistake("the means are over training and test ratings: that is a leak", LEAK, "leak"),
    "leak_all": Mistake("the means are those of the test ratings: that is a leak", LEAK, "leak"),
    "mae": Mistake("the errors are absolute values, which is the MAE", ROOT, "rmse"),
    "mse": Mistake("the root is missing, which is the MSE", ROOT, "rmse"),
    "sum": Mistake("the squares are summed, and not divided by their number", ROOT, "rmse"),
    "of_items": Mistake(
        "it is a mean of one RMSE for each item: all test ratings count alike", ROOT, "rmse"
    ),
    "of_users": Mistake(
        "it is a mean of one RMSE for each user: all test ratings count alike", ROOT, "rmse"
    ),
    "cold_0": Mistake(
        "an item without training ratings is predicted as 0: it gets the mean of all",
        "What is known of an item that nobody has rated?",
        "cold",
    ),
    "cold_dropped": Mistake(
        "the ratings of items without training ratings are left out of the error",
        "Would a user of the model be told that there is no prediction?",
        "cold",
    ),
    "mean_of_means": Mistake(
        "the mean is that of the items' means: each rating counts alike",
        "How much does an item count that has a thousand ratings?",
        "mean",
    ),
    "no_root_n": Mistake("the interval is not divided by sqrt(n)", SPREAD, "interval"),
    "n": Mistake("the interval is divided by n, and should be by sqrt(n)", SPREAD, "interval"),
    "ddof": Mistake(
        "the standard deviation divides by n, and should by n - 1 (ddof=1)", SPREAD, "ddof"
    ),
    "variance": Mistake("the variance in place of its root", SPREAD, "variance"),
    "no_t": Mistake("the factor t is missing", SPREAD, "t"),
    "turned": Mistake("the interval is (high, low)", "Which end is first?", "order"),
}


def judge_problem(rng: np.random.Generator) -> Problem:
    """Draw training and test ratings, of an item without training ratings too."""
    users, items = np.divmod(rng.permutation(35), 5)
    ratings = rng.integers(2, 11, 35) / 2
    is_test = (rng.random(35) < 0.3) | (items == 3) | (items == 0)  # 0 has one training rating
    is_test[[np.flatnonzero(items == item)[0] for item in (0, 1, 2, 4)]] = False
    parts = [(users[kept], items[kept], ratings[kept]) for kept in (~is_test, is_test)]
    errors = rng.normal(0.9, 0.02, 5)
    return {"train": parts[0], "test": parts[1], "errors": errors, "t": 2.776}


def judge_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Judge two simple models, and give an interval."""
    train, test, errors, t = problem.values()
    known = train
    if "leak" in made:
        known = tuple(np.concatenate(pair) for pair in zip(train, test, strict=True))
    if "leak_all" in made:
        known = test
    _, items, ratings = known
    means = {item: ratings[items == item].mean() for item in np.unique(items).tolist()}
    mean = np.mean(list(means.values())) if "mean_of_means" in made else ratings.mean()
    cold = 0.0 if "cold_0" in made else mean
    by_item = np.array([means.get(item, cold) for item in test[1].tolist()])
    kept = np.ones(len(by_item), bool)
    if "cold_dropped" in made:
        kept = np.isin(test[1], items)
    spread = np.std(errors, ddof=0 if "ddof" in made else 1)
    spread = spread**2 if "variance" in made else spread
    size = 1 if "no_root_n" in made else len(errors) if "n" in made else np.sqrt(len(errors))
    half = (1 if "no_t" in made else t) * spread / size
    half = -half if "turned" in made else half
    everywhere = np.full(len(by_item), mean)
    return {
        "mean_rmse": _rmse(test, everywhere, np.ones(len(by_item), bool), made),
        "item_rmse": _rmse(test, by_item, kept, made),
        "interval": np.array([errors.mean() - half, errors.mean() + half]),
    }


def _rmse(
    test: tuple[Array, Array, Array], predicted: Array, kept: Array, made: Collection[str]
) -> Array:
    users, items, ratings = (one[kept] for one in test)
    errors = ratings - predicted[kept]
    if "of_items" in made or "of_users" in made:
        by = items if "of_items" in made else users
        return np.asarray(
            np.mean([np.sqrt(np.mean(errors[by == one] ** 2)) for one in np.unique(by)])
        )
    if "mae" in made:
        return np.asarray(np.abs(errors).mean())
    if "sum" in made:
        return np.asarray(np.sqrt(np.sum(errors**2)))
    square = np.mean(errors**2)
    return np.asarray(square if "mse" in made else np.sqrt(square))


JUDGE = Lesson(
    number=7,
    name="judge",
    title="Is it any good? Baselines, a leak, an interval",
    minutes=35,
    function="judge",
    blocks=dict.fromkeys(("mean_rmse", "item_rmse", "interval"), "the task"),
    problem=judge_problem,
    work=judge_work,
    mistakes=JUDGE_MISTAKES,
    stub=JUDGE_STUB,
    solution=JUDGE_SOLUTION,
)

# Lesson 8

NEW_USER_STUB = '''"""Lesson 8: user or item, and a new user.

In U-AutoRec a row is a user. A new user is a new row, and nothing has to be trained:

    scores = W sigmoid(V^T x + mu) + b                                                     (1)

In I-AutoRec a row is an item, and a user is a column: a new user needs a row w of W and an entry w0
of b. With the codes H of the items as they are, w and w0 minimize

    sum over the rated (x - H w - w0)^2 + penalty / 2 |w|^2.                              (18)

    autorec-np lesson 8
"""

import numpy as np


def new_user(x, rated, V, mu, W, b, H, penalty, n):
    """Return U-AutoRec's scores of all items, the n best items, and w for I-AutoRec.

    x has the user's ratings, 0 in the holes, and rated says where they are. V and W are (m, k), mu
    is (k,), b is (m,) and H is (m, k), with a row for each of m items. best are the numbers of the
    n items with the highest scores that the user has not rated, the best first.
    """
    scores = None
    best = None
    w = None
    return scores, best, w
'''
NEW_USER_SOLUTION = NEW_USER_STUB.replace(
    """    scores = None
    best = None
    w = None
""",
    """    scores = W @ (1 / (1 + np.exp(-(V.T @ x + mu)))) + b
    unseen = np.flatnonzero(~rated)
    best = unseen[np.argsort(-scores[unseen])][:n]
    codes = H[rated] - H[rated].mean(axis=0)  # w0 takes the means
    targets = x[rated] - x[rated].mean()
    w = np.linalg.solve(codes.T @ codes + penalty / 2 * np.eye(len(mu)), codes.T @ targets)
""",
)
NORMAL = "What is the derivative of (18) by w, and where is it 0?"
INTERCEPT = "What is the derivative of (18) by w0, and where is it 0?"
NEW_USER_MISTAKES = {
    "seen": Mistake(
        "best has items that the user has rated", "Would you recommend a film just seen?", "best"
    ),
    "seen_of_values": Mistake(
        "an item that is rated 0 is recommended again: use `rated`",
        "Is every 0 in x a hole?",
        "best",
    ),
    "worst": Mistake("best has the worst first", "In which order does argsort sort?", "order"),
    "best_last": Mistake("the n best are there, the best last", "Which comes first?", "order"),
    "in_unseen": Mistake(
        "best has places among the unseen items, and should have numbers of items",
        "Of which array are these the places?",
        "places",
    ),
    "no_mu": Mistake("the scores lack mu", "What does (1) add?", "mu"),
    "no_b": Mistake("the scores lack b", "What does (1) add?", "b"),
    "no_sigmoid": Mistake("the sigmoid is missing in the scores", "What is g?", "g"),
    "exchanged": Mistake("V and W are exchanged", "Which of them reads x?", "VW"),
    "mean_input": Mistake(
        "the holes of x are filled with the user's mean; the network has been trained with 0 there",
        "What did the network see in training where there was a hole?",
        "x",
    ),
    "all_rows": Mistake("w is fitted to the holes too, as ratings of 0", NORMAL, "rows"),
    "whole_penalty": Mistake("penalty in place of penalty / 2 in the equations", NORMAL, "penalty"),
    "no_penalty": Mistake("the penalty is missing in w", NORMAL, "penalty"),
    "quarter_penalty": Mistake("penalty / 4 in place of penalty / 2", NORMAL, "penalty"),
    "no_w0": Mistake("w0 is left out: subtract the means first", INTERCEPT, "w0"),
    "codes_not_centered": Mistake(
        "the mean of x is subtracted, and that of the codes is not", INTERCEPT, "w0"
    ),
    "penalized_w0": Mistake("w0 is penalized too", INTERCEPT, "w0"),
}


def new_user_problem(rng: np.random.Generator) -> Problem:
    """Draw a user, a network and codes; the best unseen items have scores far apart."""
    m, k = 9, 3
    rated = rng.permutation(m) < 5
    x = np.where(rated, rng.integers(1, 6, m), 0).astype(float)
    zero, other = np.flatnonzero(rated)[:2]
    x[zero] = 0
    b = rng.permutation(m) + 1.0
    b[[zero, other]] += 20  # both would be best, so that it shows if they are recommended again
    return {
        "x": x,
        "rated": rated,
        "V": rng.normal(0, 0.3, (m, k)),
        "mu": rng.normal(0, 0.5, k),
        "W": rng.normal(0, 1, (m, k)),
        "b": b,
        "H": rng.random((m, k)),
        "penalty": float(rng.uniform(0.5, 0.9)),
        "n": 3,
    }


def new_user_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Score, recommend, and fit a column."""
    x, rated, V, mu, W, b, _, _, n = problem.values()
    if "exchanged" in made:
        V, W = W, V
    filled = np.where(rated, x, x[rated].mean()) if "mean_input" in made else x
    code = V.T @ filled + (0 if "no_mu" in made else mu)
    scores = W @ (code if "no_sigmoid" in made else sigmoid(code)) + (0 if "no_b" in made else b)
    scores = (given or {}).get("scores", scores)
    seen = x != 0 if "seen_of_values" in made else np.zeros_like(rated) if "seen" in made else rated
    unseen = np.flatnonzero(~seen)
    order = np.argsort(scores[unseen] if "worst" in made else -scores[unseen])
    best = (order if "in_unseen" in made else unseen[order])[:n]
    best = best[::-1] if "best_last" in made else best
    return {"scores": scores, "best": best, "w": _column(problem, made)}


def _column(problem: Problem, made: Collection[str]) -> Array:
    rows = np.ones_like(problem["rated"]) if "all_rows" in made else problem["rated"]
    codes, targets, k = problem["H"][rows], problem["x"][rows], problem["H"].shape[1]
    factor = 1 if "whole_penalty" in made else 1 / 4 if "quarter_penalty" in made else 1 / 2
    factor = 0 if "no_penalty" in made else factor * problem["penalty"]
    if "penalized_w0" in made:
        codes = np.column_stack([codes, np.ones(len(codes))])
    elif "no_w0" not in made:
        targets = targets - targets.mean()
        codes = codes if "codes_not_centered" in made else codes - codes.mean(axis=0)
    both = codes.T @ codes + factor * np.eye(codes.shape[1])
    return np.asarray(np.linalg.lstsq(both, codes.T @ targets, rcond=None)[0][:k])


NEW_USER = Lesson(
    number=8,
    name="new_user",
    title="User or item, and a new user",
    minutes=35,
    function="new_user",
    blocks={"scores": "(1)", "best": "the task", "w": "(18)"},
    steps={"scores": "(1)"},
    problem=new_user_problem,
    work=new_user_work,
    mistakes=NEW_USER_MISTAKES,
    stub=NEW_USER_STUB,
    solution=NEW_USER_SOLUTION,
)

# Lesson 9

KERAS_STUB = '''"""Lesson 9: from the popular Keras program to the paper.

Most AutoRecs on the web minimize Keras' mean squared error with l2 on the weights: a mean over ALL
cells, in which a hole is a rating of 0, plus l2 times the sum of the squares of the weights. The
first rung to the paper is the mask: a mean over what is rated. The second is (2), a sum:

    J = sum over the rated (X - Y)^2 + penalty / 2 (|W|^2 + |V|^2)                         (2)

    autorec-np lesson 9
"""

import numpy as np


def from_keras(X, rated, Y, V, W, l2):
    """Return Keras' loss, the masked loss, the penalty of (2), and J.

    keras is the mean over all cells plus l2 times the squares of the weights; masked the same with
    the mean over what is rated; penalty makes (2) a multiple of masked, whatever the weights are;
    J is (2) with it.
    """
    keras = None
    masked = None
    penalty = None
    J = None
    return keras, masked, penalty, J
'''
KERAS_SOLUTION = KERAS_STUB.replace(
    """    keras = None
    masked = None
    penalty = None
    J = None
""",
    """    squares = np.sum(V**2) + np.sum(W**2)
    keras = np.mean((X - Y) ** 2) + l2 * squares
    masked = np.mean((X - Y)[rated] ** 2) + l2 * squares
    penalty = 2 * rated.sum() * l2
    J = np.sum((X - Y)[rated] ** 2) + penalty / 2 * squares
""",
)
MULTIPLE = "By which number must masked be multiplied to give a sum over the rated?"
KERAS_MISTAKES = {
    "mask_of_values": Mistake(
        "the mask is X != 0, which loses the ratings of 0: use `rated`",
        "Is every 0 in X a hole?",
        "mask",
    ),
    "no_mask": Mistake("masked is the mean over all cells", "What does a hole say?", "mask"),
    "keras_masked": Mistake(
        "keras is masked: the popular program is not", "What does mse know of holes?", "keras"
    ),
    "masked_by_cells": Mistake(
        "masked sums over the rated, and divides by all cells", "A mean of how many?", "mean"
    ),
    "sums": Mistake("keras and masked are sums: they are means", "What is the m of mse?", "sums"),
    "half_l2": Mistake("keras and masked have l2 / 2: Keras has no 1/2", "What is l2(w)?", "l2"),
    "W_alone": Mistake("V is missing among the weights", "Which weights are there?", "weights"),
    "norms": Mistake("the norms in place of their squares", "What is l2(w)?", "weights"),
    "no_2": Mistake("penalty lacks the factor 2: (2) has penalty / 2", MULTIPLE, "penalty"),
    "cells": Mistake("penalty has the number of cells; it is that of ratings", MULTIPLE, "penalty"),
    "half": Mistake("penalty has 1/2, and should have 2", MULTIPLE, "penalty"),
    "l2_alone": Mistake("penalty is l2: a sum is not a mean", MULTIPLE, "penalty"),
    "twice_l2": Mistake("penalty is 2 l2: a sum is not a mean", MULTIPLE, "penalty"),
    "rows": Mistake("penalty has the number of rows; it is that of ratings", MULTIPLE, "penalty"),
    "J_no_half": Mistake("J has penalty, and should have penalty / 2", "What is (2)?", "J"),
    "J_mean": Mistake("J has a mean; (2) has a sum", "What is (2)?", "J"),
}


def keras_problem(rng: np.random.Generator) -> Problem:
    """Draw ratings with a 0 among them, outputs and weights."""
    n, m, k = 5, 6, 3
    rated = rng.random((n, m)) < 0.5
    X = np.where(rated, rng.integers(1, 6, (n, m)), 0).astype(float)
    rated[1, 1], X[1, 1] = True, 0
    return {
        "X": X,
        "rated": rated,
        "Y": rng.normal(3, 1, (n, m)),
        "V": rng.normal(0, 1, (m, k)),
        "W": rng.normal(0, 1, (m, k)),
        "l2": float(rng.uniform(0.01, 0.02)),
    }


def keras_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Climb from one loss to the other."""
    X, rated, Y, V, W, l2 = problem.values()
    errors, mask = (X - Y) ** 2, X != 0 if "mask_of_values" in made else rated
    weights = [W] if "W_alone" in made else [V, W]
    squares = sum(float((one**2).sum()) ** (0.5 if "norms" in made else 1) for one in weights)
    part = np.sum if "sums" in made else np.mean
    decay = (l2 / 2 if "half_l2" in made else l2) * squares
    keras = part(errors[mask]) if "keras_masked" in made else part(errors)
    masked = part(errors) if "no_mask" in made else part(errors[mask])
    if "masked_by_cells" in made:
        masked = errors[mask].sum() / X.size
    factors = {
        "no_2": mask.sum(),
        "cells": 2 * X.size,
        "half": mask.sum() / 2,
        "l2_alone": 1,
        "twice_l2": 2,
        "rows": 2 * len(X),
    }
    penalty = l2 * next((factors[one] for one in made if one in factors), 2 * mask.sum())
    total = errors[mask].mean() if "J_mean" in made else errors[mask].sum()
    J = total + penalty * squares / (1 if "J_no_half" in made else 2)
    found = {"keras": keras + decay, "masked": masked + decay, "penalty": penalty, "J": J}
    return {name: np.asarray(value) for name, value in found.items()}


KERAS = Lesson(
    number=9,
    name="keras",
    title="From the popular Keras program to the paper",
    minutes=60,
    function="from_keras",
    blocks=dict.fromkeys(("keras", "masked", "penalty", "J"), "the task"),
    problem=keras_problem,
    work=keras_work,
    mistakes=KERAS_MISTAKES,
    stub=KERAS_STUB,
    solution=KERAS_SOLUTION,
)

LESSONS = (JUDGE, NEW_USER, KERAS)
