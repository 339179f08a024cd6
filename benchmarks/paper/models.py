"""The model of a row with its settings, and the deep I-AutoRec that is trained layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

import autorec_np
from autorec_np import AutoRec, Ratings
from autorec_np._types import Array
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.optimizers import Adam
from autorec_np.models.base import Recommender
from benchmarks.paper.rows import EQUATION_2, Row

WIDTHS = (500, 250, 500)
SHALLOW = {**EQUATION_2, "regularization": 300.0, "learning_rate_init": 3e-3, "n_jobs": 1}
# Of the middle layers' autoencoder, which reads and says codes in (0, 1)
CODES_PENALTY, CODES_EPOCHS, CODES_BATCH, CODES_RATE = 1.0, 20, 64, 3e-3


def fitted(row: Row, settings: Mapping[str, Any], train: Ratings, seed: int) -> Recommender:
    """Fit the model of a row with its settings."""
    return BUILDERS[row.model](row, settings, train, seed)


def autorec(row: Row, settings: Mapping[str, Any], train: Ratings, seed: int) -> AutoRec:
    """Fit an AutoRec with one hidden layer."""
    return AutoRec(
        **row.fixed,
        hidden_layer_sizes=(settings["k"],),
        regularization=settings["lambda"],
        learning_rate_init=settings["rate"],
        n_jobs=1,
        random_state=seed,
    ).fit(train)


def from_scratch(row: Row, settings: Mapping[str, Any], train: Ratings, seed: int) -> AutoRec:
    """Fit all layers of a deep I-AutoRec from random weights."""
    return deep_autorec(settings, seed).fit(train)


def pretrained(row: Row, settings: Mapping[str, Any], train: Ratings, seed: int) -> AutoRec:
    """Fit a deep I-AutoRec from the outside to the inside, then all layers together.

    An I-AutoRec gives the outer layers. A small autoencoder of its codes gives the two inner ones.
    """
    outer = AutoRec(**SHALLOW, hidden_layer_sizes=WIDTHS[:1], random_state=seed).fit(train)
    model = deep_autorec(settings, seed).set_params(max_iter=1).fit(train)
    theta = np.array(model.theta_)
    views, outside = model.network_.layout.views(theta), outer.network_.layout.views(outer.theta_)
    for name in ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"):
        views[name][...] = outside[name]
    network, inner = autoencoder_of(outer.codes_, seed)
    inside = network.layout.views(inner)
    views["hidden1.weight"][...] = inside["encoder.weight"]
    views["hidden1.bias"][...] = inside["encoder.bias"]
    views["hidden2.weight"][...] = inside["decoder.weight"].T
    views["hidden2.bias"][...] = inside["decoder.bias"]
    model.fitted_ = replace(model.fitted_, theta=theta)
    return model.set_params(max_iter=EQUATION_2["max_iter"], warm_start=True).fit(train)


def deep_autorec(settings: Mapping[str, Any], seed: int) -> AutoRec:
    """Return the deep I-AutoRec, unfitted."""
    return AutoRec(
        **EQUATION_2,
        hidden_layer_sizes=WIDTHS,
        regularization=settings["lambda"],
        learning_rate_init=settings["rate"],
        n_jobs=1,
        random_state=seed,
    )


def autoencoder_of(codes: Array, seed: int) -> tuple[Network, Array]:
    """Train an autoencoder of codes (n_rows, k) in (0, 1); return it and its weights."""
    network = Network(codes.shape[1], WIDTHS[1:2], "sigmoid", "sigmoid")
    objective, rows = Objective(network, CODES_PENALTY), sparse.csr_array(codes)
    random_state = np.random.default_rng(seed)
    theta = network.layout.initialize(random_state, codes.dtype)
    rule = Adam()
    for _ in range(CODES_EPOCHS):
        order = random_state.permutation(len(codes))
        for batch in np.array_split(order, -(-len(order) // CODES_BATCH)):
            block, fraction = rows[batch], len(batch) / len(codes)
            _, gradient = objective.value_and_gradient(theta, block, block, fraction)
            theta = rule.step(theta, gradient, CODES_RATE)
    return network, theta


def baseline(row: Row, settings: Mapping[str, Any], train: Ratings, seed: int) -> Recommender:
    """Fit a matrix factorization or a Boltzmann machine."""
    width = "n_hidden" if row.model == "RatingRBM" else "n_factors"
    model: Recommender = getattr(autorec_np, row.model)(
        **row.fixed,
        **{width: settings["k"]},
        regularization=settings["lambda"],
        random_state=seed,
    )
    return model.fit(train)


BUILDERS: dict[str, Callable[[Row, Mapping[str, Any], Ratings, int], Recommender]] = {
    "AutoRec": autorec,
    "from scratch": from_scratch,
    "pretrained": pretrained,
    "RatingRBM": baseline,
    "BiasedMF": baseline,
    "LLORMA": baseline,
}
