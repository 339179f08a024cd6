"""Lessons 10 to 12: what the codes show, deeper networks, and a model in a service."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from autorec_np.lessons.backward import sigmoid
from autorec_np.lessons.lesson import Array, Lesson, Mistake, Named, Problem

# Lesson 10

CODES_STUB = '''"""Lesson 10: what the codes show.

The code of an item is its row of H. Subtract the mean code, and compare the rest: the cosine of two
rows u and v is u.v / (|u| |v|). And the singular values s of the centered codes say how much of
their variance lies along each principal axis: s_i^2 of the sum of all squares.

    autorec-np lesson 10
"""

import numpy as np


def codes(H):
    """Return the cosines, the nearest other item of each, and the share of two principal axes.

    H is (n, k), with a row for each item. cosine is (n, n); nearest is (n,), the number of the item
    with the highest cosine that is not the item itself; share is that of the variance along the
    first two axes.
    """
    cosine = None
    nearest = None
    share = None
    return cosine, nearest, share
'''
CODES_SOLUTION = CODES_STUB.replace(
    """    cosine = None
    nearest = None
    share = None
""",
    """    centered = H - H.mean(axis=0)
    lengths = np.linalg.norm(centered, axis=1)
    cosine = centered @ centered.T / np.outer(lengths, lengths)
    nearest = np.argmax(cosine - 3 * np.eye(len(H)), axis=1)
    s = np.linalg.svd(centered, compute_uv=False)
    share = np.sum(s[:2] ** 2) / np.sum(s**2)
""",
)
CENTER = "What do all codes have in common, and does it say anything about one of them?"
LENGTH = "What is the cosine of a row with twice that row?"
VARIANCE = "Which unit has a variance, and which a singular value?"
CODES_MISTAKES = {
    "not_centered": Mistake("the mean code is not subtracted", CENTER, "center"),
    "centered_rows": Mistake(
        "each row's own mean is subtracted; it must be the mean over the rows", CENTER, "center"
    ),
    "one_mean": Mistake(
        "the mean of all numbers is subtracted; each column has its own", CENTER, "center"
    ),
    "standardized": Mistake(
        "the units are divided by their standard deviation too", CENTER, "center"
    ),
    "dot": Mistake("the products are not divided by the lengths", LENGTH, "cosine"),
    "squared_lengths": Mistake("divided by squared lengths", LENGTH, "cosine"),
    "one_length": Mistake("divided by the length of one of the two rows only", LENGTH, "cosine"),
    "absolute": Mistake("cosine has absolute values", "What does a cosine of -1 say?", "sign"),
    "distance": Mistake("1 - cosine is returned", "Which is larger where two are alike?", "sign"),
    "itself": Mistake(
        "nearest is each item itself", "Which item is most similar to item 0?", "nearest"
    ),
    "furthest": Mistake("nearest is the most different item", "Which cosine is high?", "nearest"),
    "second_smallest": Mistake(
        "nearest is the second in ascending order", "How does argsort sort?", "nearest"
    ),
    "by_distance": Mistake(
        "nearest has the smallest Euclidean distance; asked is the highest cosine",
        LENGTH,
        "nearest",
    ),
    "singular_values": Mistake("the singular values are not squared", VARIANCE, "share"),
    "one_axis": Mistake("share is that of the first axis alone", VARIANCE, "axes"),
    "three_axes": Mistake("share is that of three axes", VARIANCE, "axes"),
    "not_divided": Mistake("share is not divided by the whole", VARIANCE, "whole"),
    "share_not_centered": Mistake("share is that of the codes with their mean", CENTER, "center s"),
}


def codes_problem(rng: np.random.Generator) -> Problem:
    """Draw codes of eight items."""
    return {"H": sigmoid(rng.normal(0.5, 1, (8, 4)) * [2, 1.5, 1, 0.5])}


def codes_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Compare the codes."""
    H = problem["H"]
    mean = H.mean(axis=1, keepdims=True) if "centered_rows" in made else H.mean(axis=0)
    mean = H.mean() if "one_mean" in made else mean
    centered = H if "not_centered" in made else H - mean
    if "standardized" in made:
        centered = centered / centered.std(axis=0)
    lengths = np.linalg.norm(centered, axis=1)
    by = np.outer(lengths, lengths)
    by = np.ones_like(by) if "dot" in made else by**2 if "squared_lengths" in made else by
    by = np.repeat(lengths[:, None], len(H), axis=1) if "one_length" in made else by
    cosine = centered @ centered.T / by
    cosine = np.abs(cosine) if "absolute" in made else cosine
    cosine = (given or {}).get("cosine", 1 - cosine if "distance" in made else cosine)
    others = np.where(np.eye(len(H), dtype=bool), -np.inf, cosine)
    nearest = np.argmax(cosine if "itself" in made else others, axis=1)
    if "furthest" in made:
        nearest = np.argmin(cosine, axis=1)
    if "second_smallest" in made:
        nearest = np.argsort(cosine, axis=1)[:, 1]
    if "by_distance" in made:
        apart = np.linalg.norm(centered[:, None] - centered, axis=2)
        nearest = np.argmin(np.where(np.eye(len(H), dtype=bool), np.inf, apart), axis=1)
    s = np.linalg.svd(H if "share_not_centered" in made else centered, compute_uv=False)
    power = s if "singular_values" in made else s**2
    n_axes = 1 if "one_axis" in made else 3 if "three_axes" in made else 2
    share = power[:n_axes].sum() / (1 if "not_divided" in made else power.sum())
    return {"cosine": cosine, "nearest": nearest, "share": np.asarray(share)}


CODES = Lesson(
    number=10,
    name="codes",
    title="What the codes show",
    minutes=30,
    function="codes",
    blocks=dict.fromkeys(("cosine", "nearest", "share"), "the task"),
    steps={"cosine": "the task"},
    problem=codes_problem,
    work=codes_work,
    mistakes=CODES_MISTAKES,
    stub=CODES_STUB,
    solution=CODES_SOLUTION,
)

# Lesson 11

DEEPER_STUB = '''"""Lesson 11: deeper. Two hidden layers, dropout, and tied weights.

    Z = X V + mu,      H = sigmoid(Z),     K = H mask                                     (15)
    Z1 = K V1 + mu1,   H1 = sigmoid(Z1),   Y = H1 V^T + b

The decoder's weight is V again, so that V is used twice (14); mask is 0 where a hidden unit is left
out and 1 / (1 - p) elsewhere; * is entry by entry. J is the sum over the rated (X - Y)^2 +
penalty / 2 (|V|^2 + |V|^2 + |V1|^2): V counts for the encoder and for the decoder.

    autorec-np lesson 11
"""

import numpy as np


def backward(X, rated, V, mu, V1, mu1, b, mask, penalty):
    """Return the derivatives of J by V, mu, V1, mu1 and b.

    X is (n, m) and 0 in the holes; V is (m, k), V1 is (k, k), mask is (n, k).
    """
    H = 1 / (1 + np.exp(-(X @ V + mu)))
    K = H * mask
    H1 = 1 / (1 + np.exp(-(K @ V1 + mu1)))
    Y = H1 @ V.T + b
    D_b = None
    D_mu1 = None
    D_V1 = None
    D_mu = None
    D_V = None
    return D_V, D_mu, D_V1, D_mu1, D_b
'''
DEEPER_SOLUTION = DEEPER_STUB.replace(
    """    D_b = None
    D_mu1 = None
    D_V1 = None
    D_mu = None
    D_V = None
""",
    """    D_A = np.where(rated, 2 * (Y - X), 0)  # (3) to (5)
    D_b = D_A.sum(axis=0)  # (7)
    D_H1 = D_A @ V  # (8)
    D_Z1 = D_H1 * H1 * (1 - H1)  # (9)
    D_V1 = K.T @ D_Z1 + penalty * V1  # (12), and the penalty
    D_mu1 = D_Z1.sum(axis=0)  # (11)
    D_K = D_Z1 @ V1.T  # (13)
    D_H = D_K * mask  # (15)
    D_Z = D_H * H * (1 - H)  # (9)
    D_V = X.T @ D_Z + D_A.T @ H1 + 2 * penalty * V  # (14): both uses, and both penalties
    D_mu = D_Z.sum(axis=0)  # (11)
""",
)
TWICE = "How often is V used? What happens to a value that is used several times?"
INTO = "What did this weight multiply, and from which side?"
UNITS = "Through what did J feel a unit that was left out?"
DEEPER_MISTAKES = {
    "encoder_lost": Mistake("D_V lacks the term of the encoder, X^T D_Z (14)", TWICE, "tied"),
    "decoder_lost": Mistake("D_V lacks the term of the decoder, D_A^T H1 (14)", TWICE, "tied"),
    "one_penalty": Mistake("D_V has the penalty once: V counts twice in it", TWICE, "penalty V"),
    "no_penalty_V": Mistake("D_V lacks the penalty", TWICE, "penalty V"),
    "no_penalty_V1": Mistake("D_V1 lacks the penalty", "Which weights are penalized?", "penalty 1"),
    "mask_lost": Mistake("the mask is missing on the way back (15)", UNITS, "mask"),
    "mask_unscaled": Mistake("the way back has mask > 0: it must have mask (15)", UNITS, "mask"),
    "mask_on_slope": Mistake(
        "the slope is K (1 - K): it must be that of H, before the mask", UNITS, "slope"
    ),
    "reads_H": Mistake("D_V1 is made from H: it must be from K, which V1 read (12)", INTO, "V1"),
    "V1_transposed": Mistake("D_V1 is transposed", INTO, "V1"),
    "V1_not_turned": Mistake("D_K (13) goes back through V1^T, here through V1", INTO, "back"),
    "no_slope": Mistake("the slope of the first layer is missing (9)", INTO, "slope"),
    "no_slope_1": Mistake("the slope of the second layer is missing (9)", INTO, "slope 1"),
    "slopes_swapped": Mistake(
        "the slopes of the two layers are exchanged", "Whose slope is H (1 - H)?", "slope"
    ),
    "hidden_mean": Mistake("D_mu and D_mu1 are means: they must be sums (11)", TWICE, "mu"),
    "no_rated": Mistake("the holes are not masked in D_A (5)", "Which pairs are in J?", "rated"),
    "mask_of_values": Mistake(
        "D_A is masked by X > 0, which loses the ratings of 0", "Is every 0 a hole?", "rated"
    ),
    "factor_2": Mistake("the factor 2 of (4) is missing", "The derivative of a square?", "scale"),
    "sign": Mistake("the residual has the wrong sign", "Does J rise or fall with y?", "sign"),
}


def deeper_problem(rng: np.random.Generator) -> Problem:
    """Draw ratings and a network with two hidden layers of one width."""
    n, m, k = 6, 7, 3
    rated = rng.random((n, m)) < 0.6
    X = np.where(rated, rng.integers(1, 6, (n, m)), 0).astype(float)
    rated[1, 1], X[1, 1] = True, 0
    mask = np.where(rng.random((n, k)) < 0.4, 0, 1 / 0.6)
    mask[:2] = [[0, 1 / 0.6, 1 / 0.6], [1 / 0.6, 1 / 0.6, 0]]
    return {
        "X": X,
        "rated": rated,
        "V": rng.normal(0, 0.4, (m, k)),
        "mu": rng.normal(0, 0.5, k),
        "V1": rng.normal(0, 1, (k, k)),
        "mu1": rng.normal(0, 0.5, k),
        "b": rng.normal(3, 1, m),
        "mask": mask,
        "penalty": float(rng.uniform(0.5, 0.9)),
    }


def deeper_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Go forward and backward through both layers."""
    X, rated, V, mu, V1, mu1, b, mask, penalty = problem.values()
    out: Named = {}

    def step(name: str, value: Array) -> Array:
        out[name] = (given or {}).get(name, value)
        return out[name]

    H = step("H", sigmoid(X @ V + mu))
    K = step("K", H * mask)
    H1 = step("H1", sigmoid(K @ V1 + mu1))
    Y = step("Y", H1 @ V.T + b)
    full = (1 if "factor_2" in made else 2) * (X - Y if "sign" in made else Y - X)
    where = X > 0 if "mask_of_values" in made else rated | ("no_rated" in made)
    D_A = step("D_A", np.where(where, full, 0))
    D_H1 = step("D_H1", D_A @ V)
    first, second = H * (1 - H), H1 * (1 - H1)
    if "slopes_swapped" in made:
        first, second = second, first
    first = K * (1 - K) if "mask_on_slope" in made else first
    D_Z1 = step("D_Z1", D_H1 if "no_slope_1" in made else D_H1 * second)
    D_K = step("D_K", D_Z1 @ (V1 if "V1_not_turned" in made else V1.T))
    back = np.ones_like(mask) if "mask_lost" in made else mask
    D_H = step("D_H", D_K * (mask > 0 if "mask_unscaled" in made else back))
    D_Z = step("D_Z", D_H if "no_slope" in made else D_H * first)
    of_encoder = 0 if "encoder_lost" in made else X.T @ D_Z
    of_decoder = 0 if "decoder_lost" in made else D_A.T @ H1
    n_penalties = 0 if "no_penalty_V" in made else 1 if "one_penalty" in made else 2
    D_V1 = (H if "reads_H" in made else K).T @ D_Z1
    D_V1 = (D_V1.T if "V1_transposed" in made else D_V1) + penalty * V1 * (
        "no_penalty_V1" not in made
    )
    by = len(X) if "hidden_mean" in made else 1
    return out | {
        "D_V": of_encoder + of_decoder + n_penalties * penalty * V,
        "D_mu": D_Z.sum(axis=0) / by,
        "D_V1": D_V1,
        "D_mu1": D_Z1.sum(axis=0) / by,
        "D_b": D_A.sum(axis=0),
    }


DEEPER = Lesson(
    number=11,
    name="deeper",
    title="Deeper: layers, tied weights, dropout",
    minutes=60,
    function="backward",
    blocks={"D_V": "(14)", "D_mu": "(11)", "D_V1": "(12)", "D_mu1": "(11)", "D_b": "(7)"},
    order=("D_b", "D_mu1", "D_V1", "D_mu", "D_V"),
    steps={
        "H": "(1)",
        "K": "(15)",
        "H1": "(1)",
        "Y": "(1)",
        "D_A": "(5)",
        "D_H1": "(8)",
        "D_Z1": "(9)",
        "D_K": "(13)",
        "D_H": "(15)",
        "D_Z": "(9)",
    },
    problem=deeper_problem,
    work=deeper_work,
    mistakes=DEEPER_MISTAKES,
    stub=DEEPER_STUB,
    solution=DEEPER_SOLUTION,
)

# Lesson 12

SERVICE_STUB = '''"""Lesson 12: in a service.

Somebody who was not in training asks, with a few ratings: {item id: rating}. Items have ids, which
are no row numbers; some of them the model does not know. Score all items with U-AutoRec (1), rank
by the scores as they are, and clip to the scale only what is shown. Whoever asks next must find
the model as it was.

    autorec-np lesson 12
"""

import numpy as np


def answer(request, item_ids, V, mu, W, b, scale, n):
    """Return the ids of the n best items, their scores, the clipped scores, and a count.

    item_ids[j] is the id of the item in row j of V and W. Items of the request are not
    recommended, whatever their rating is. The best comes first. shown is the scores, clipped to
    scale = (low, high). unknown is the number of ids in the request that the model does not know.
    """
    ids = None
    scores = None
    shown = None
    unknown = None
    return ids, scores, shown, unknown
'''
SERVICE_SOLUTION = SERVICE_STUB.replace(
    """    ids = None
    scores = None
    shown = None
    unknown = None
""",
    """    row_of = {item: row for row, item in enumerate(item_ids.tolist())}
    x, seen = np.zeros(len(b)), np.zeros(len(b), bool)
    for item, rating in request.items():
        if item in row_of:
            x[row_of[item]], seen[row_of[item]] = rating, True
    everything = W @ (1 / (1 + np.exp(-(V.T @ x + mu)))) + b
    unseen = np.flatnonzero(~seen)
    best = unseen[np.argsort(-everything[unseen])][:n]
    ids = item_ids[best]
    scores = everything[best]
    shown = np.clip(scores, *scale)
    unknown = sum(item not in row_of for item in request)
""",
)
SERVICE_MISTAKES = {
    "seen": Mistake("items of the request are recommended", "What does the user know?", "seen"),
    "seen_of_values": Mistake(
        "an item that the request rates 0 is recommended", "Is a 0 a rating?", "seen"
    ),
    "rows": Mistake("ids has row numbers", "What would the service show for 3?", "ids"),
    "worst": Mistake("the worst come first", "In which order does argsort sort?", "order"),
    "ranked_clipped": Mistake(
        "the items are ranked by clipped scores, among which many are equal",
        "How many items have the highest rating after clipping?",
        "clip",
    ),
    "scores_clipped": Mistake("scores is clipped: shown alone is", "Which are ranked?", "clip"),
    "not_clipped": Mistake("shown is not clipped", "May a page show 6 of 5 stars?", "shown"),
    "no_mu": Mistake("the scores lack mu", "What does (1) add?", "mu"),
    "no_b": Mistake("the scores lack b", "What does (1) add?", "b"),
    "no_sigmoid": Mistake("the sigmoid is missing", "What is g?", "g"),
    "binary": Mistake("x holds 1 for each item of the request", "What goes into V?", "x"),
    "known": Mistake("unknown counts the known ids", "Which ids are counted?", "unknown"),
    "all": Mistake("unknown counts all ids of the request", "Which are counted?", "unknown"),
}


def service_problem(rng: np.random.Generator) -> Problem:
    """Draw a model and a request with a rating of 0 and an unknown id; many scores are above 5."""
    m, k = 10, 3
    item_ids = rng.permutation(np.arange(101, 101 + m))
    b = rng.permutation(m) + 1.5
    best, second, *others = item_ids[np.argsort(-b)].tolist()
    low, lower = rng.permutation(others)[:2].tolist()
    request = {low: 4.0, 999: 5.0, second: 2.0, lower: 5.0, best: 0.0, 998: 1.0}
    return {
        "request": request,
        "item_ids": item_ids,
        "V": rng.normal(0, 0.3, (m, k)),
        "mu": rng.normal(0, 0.5, k),
        "W": rng.normal(0, 0.2, (m, k)),
        "b": b,
        "scale": (1.0, 5.0),
        "n": 4,
    }


def service_work(
    problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
) -> Named:
    """Answer a request."""
    request, item_ids, V, mu, W, b, scale, n = problem.values()
    row_of = {item: row for row, item in enumerate(item_ids.tolist())}
    x, seen = np.zeros(len(b)), np.zeros(len(b), bool)
    for item, rating in request.items():
        if item in row_of:
            x[row_of[item]] = 1 if "binary" in made else rating
            seen[row_of[item]] = "seen" not in made and not (
                "seen_of_values" in made and rating == 0
            )
    code = V.T @ x + (0 if "no_mu" in made else mu)
    everything = W @ (code if "no_sigmoid" in made else sigmoid(code))
    everything = everything + (0 if "no_b" in made else b)
    unseen = np.flatnonzero(~seen)
    rank = np.clip(everything, *scale) if "ranked_clipped" in made else everything
    order = np.argsort(rank[unseen] if "worst" in made else -rank[unseen], kind="stable")
    best = unseen[order][:n]
    scores, n_known = everything[best], sum(item in row_of for item in request)
    clipped = np.clip(scores, *scale)
    unknown = n_known if "known" in made else len(request) - ("all" not in made) * n_known
    return {
        "ids": best if "rows" in made else item_ids[best],
        "scores": clipped if "scores_clipped" in made else scores,
        "shown": scores if "not_clipped" in made else clipped,
        "unknown": np.asarray(unknown),
    }


SERVICE = Lesson(
    number=12,
    name="service",
    title="In a service",
    minutes=30,
    function="answer",
    blocks=dict.fromkeys(("ids", "scores", "shown", "unknown"), "the task"),
    problem=service_problem,
    work=service_work,
    mistakes=SERVICE_MISTAKES,
    stub=SERVICE_STUB,
    solution=SERVICE_SOLUTION,
)

LESSONS = (CODES, DEEPER, SERVICE)
