"""New ratings of a fitted model: they change what they touch, short of training."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np.core.kernels import take_rows, with_data
from autorec_np.core.parameters import COLUMN_BLOCKS
from autorec_np.data.entries import row_of_each
from autorec_np.data.ratings import Ratings, assemble
from autorec_np.data.values import shown, unique_with_positions
from autorec_np.engine.blas import undisturbed
from autorec_np.models.biases import Biases, FittedBiases, FittedMean, best_biases
from autorec_np.models.scoring import (
    Baseline,
    Fitted,
    Implicit,
    baseline_at,
    by_plane,
    fit_columns,
    pairs_of,
)

MAX_SWEEPS = 20
SMALLEST_CHANGE = 1e-4  # of a bias in standard deviations of the ratings: sweeps end below it


@singledispatch
def updated(fitted: Any, new: Ratings, data: Ratings | None = None) -> Any:
    """Return a record with new ratings; `data` are all ratings, None: not merged yet."""
    raise TypeError(
        "this model cannot take in new ratings; call fit with all the ratings, or leave it out of "
        "the Blend."
    )


@updated.register(FittedMean)
@updated.register(FittedBiases)
def _fitted_anew(
    fitted: FittedMean | FittedBiases, new: Ratings, data: Ratings | None = None
) -> FittedMean | FittedBiases:
    by_index = fitted.ids_are_indices
    data = merge(fitted.ratings, new, by_index) if data is None else data
    if isinstance(fitted, FittedMean):
        return FittedMean.of(data, by_index)
    return FittedBiases.of(data, by_index, fitted.regularization)


@updated.register(Fitted)
def _updated_network(fitted: Fitted, new: Ratings, data: Ratings | None = None) -> Fitted:
    """See `AutoRec.partial_fit`."""
    if fitted.network.tied:
        raise ValueError(
            "with tied=True the decoder weight of a column is its encoder weight too, so to "
            "fit it to new ratings would change the codes of all rows; call fit with all the "
            "ratings (warm_start=True begins at these weights), or use tied=False."
        )
    old, by_index = fitted.ratings, fitted.ids_are_indices
    data = training = merge(old, new, by_index) if data is None else data
    if fitted.training is not old:  # ratings were held out for early stopping
        training = merge(fitted.training, new, by_index)
    new_users, new_items, _ = new.triples()
    change = Change(
        training,
        (data.user_positions(old.user_ids), data.item_positions(old.item_ids)),
        (np.unique(data.user_positions(new_users)), np.unique(data.item_positions(new_items))),
        (data.matrix, data.matrix.T.tocsr()),
    )
    with undisturbed():
        grown = _grown(fitted, data, change)
        grown = replace(grown, codes=_updated_codes(grown, change))
        return _with_updated_columns(grown, change)


class Change(NamedTuple):
    """What new ratings change; each pair is of users and of items.

    `training`: all that the model has learned from, with the new. `places`: where those are that
    the model knew. `touched`: those with new ratings. `matrices`: all ratings, users x items, and
    their transpose.
    """

    training: Ratings
    places: tuple[Array, Array]
    touched: tuple[Array, Array]
    matrices: tuple[CSR, CSR]


def _updated_baselines(fitted: Fitted, change: Change) -> tuple[FittedBiases, Baseline | None]:
    cold = fitted.cold_baseline
    sides = map(spread, cold.biases[1:], change.places, change.training.shape)
    biases = refresh_biases(
        Biases(cold.biases.mean, *sides), change.matrices, change.touched, cold.regularization
    )
    cold_baseline = replace(cold, ratings=change.training, biases=biases)
    if isinstance(fitted.baseline, FittedMean):
        return cold_baseline, replace(fitted.baseline, ratings=change.training)
    return cold_baseline, None if fitted.baseline is None else cold_baseline


def _grown(fitted: Fitted, data: Ratings, change: Change) -> Fitted:
    """Return the model with those known at their new places, others zeros, and new biases."""
    axes = fitted.axes
    rows_at, columns_at = axes.rows_and_columns(*change.places)
    n_rows, n_columns = axes.rows_and_columns(*change.training.shape)
    had_none = fitted.counts[axes.column][:-1] == 0
    n_inputs = fitted.network.n_inputs
    if n_inputs is not None:
        n_inputs = n_inputs // fitted.network.n_columns * n_columns
    network = replace(fitted.network, n_columns=n_columns, n_inputs=n_inputs)
    theta = np.zeros(network.layout.size, fitted.theta.dtype)
    for name, view in network.layout.views(theta).items():
        if name not in COLUMN_BLOCKS:
            view[...] = fitted.weights[name]
            continue
        planes = by_plane(view, n_columns)
        planes[:, columns_at] = by_plane(fitted.weights[name], len(columns_at))
        if name == "encoder.weight":  # was random
            planes[:, columns_at[had_none]] = 0.0
    implicit = fitted.implicit
    if implicit is not None:
        weight, shares = implicit
        implicit = Implicit(spread(weight, rows_at, n_rows), spread(shares, columns_at, n_columns))
    cold_baseline, baseline = _updated_baselines(fitted, change)
    return replace(
        fitted,
        ratings=data,
        network=network,
        theta=theta,
        codes=spread(fitted.codes, rows_at, n_rows),
        baseline=baseline,
        cold_baseline=cold_baseline,
        implicit=implicit,
    )


def _updated_codes(grown: Fitted, change: Change) -> Array:
    axes, codes = grown.axes, np.array(grown.codes)
    known, touched = (axes.rows_and_columns(*pair)[0] for pair in (change.places, change.touched))
    rows = np.union1d(touched, np.setdiff1d(np.arange(len(codes)), known))
    rated = take_rows(axes.rows_and_columns(*change.matrices)[0], rows)
    biases = grown.cold_baseline.score_pairs(*pairs_of(rated, axes, rows))
    codes[rows] = grown.network.encode(grown.theta, grown.read(rated, biases))
    return codes


def _with_updated_columns(grown: Fitted, change: Change) -> Fitted:
    theta, implicit, network = grown.theta.copy(), grown.implicit, grown.network
    _, columns = grown.axes.rows_and_columns(*change.touched)
    rated = take_rows(grown.axes.rows_and_columns(*change.matrices)[1], columns)
    own = columns[row_of_each(rated)]
    base = baseline_at(grown.baseline, *grown.axes.users_and_items(rated.indices, own))
    shares = None
    if implicit is not None:
        shares, every_share = implicit.shares_of(rated), implicit.shares.copy()
        every_share[columns] = shares
        implicit = implicit._replace(shares=every_share)
    views = network.layout.views(theta)
    views["decoder.weight"][columns], views["decoder.bias"][columns] = fit_columns(
        grown.codes,
        with_data(rated, grown.output_map(rated.data - np.float64(base))),
        grown.decoder_penalty,
        network.output_activation,
        shares,
    )
    return replace(grown, theta=theta, implicit=implicit)


def merge(old: Ratings, new: Ratings, indexed: bool) -> Ratings:
    """Return the old ratings and the new; of a pair that is in both, the new.

    Users and items without ratings stay, and the scale; timestamps where both have them. TypeError
    for ids of another kind than the old; IndexError, where `indexed`, for a negative index or a
    gap.
    """
    axes = []
    for name in ("user", "item"):
        known, added = (getattr(ratings, f"{name}_ids") for ratings in (old, new))
        if known.dtype != added.dtype:
            kinds = {"O": "strings", "i": "integers"}
            raise TypeError(
                f"the {name} ids of the model are {kinds[known.dtype.kind]} and the new ones "
                f"{kinds[added.dtype.kind]} (the first: {shown(added[0])}); convert them."
            )
        ids, positions = unique_with_positions(np.concatenate((known, added)))
        if indexed and (ids[0] < 0 or ids[-1] >= len(ids)):
            example = added[(added < 0) | (added >= len(known))][0]
            raise IndexError(
                f"{name} index {example} is out of range: the model was fitted on a sparse matrix, "
                f"so {name}s are the indices 0 to {len(known) - 1}, and new ones go on from "
                f"{len(known)} without a gap; pass a sparse matrix of the new shape."
            )
        axes.append((ids, positions[: len(known)], positions[len(known) :]))
    (user_ids, *user_at), (item_ids, *item_at) = axes
    parts = [ratings.positions() for ratings in (old, new)]
    times = None
    if old.timestamps is not None and new.timestamps is not None:
        times = np.concatenate([R.timestamps[R.order] for R in (old, new)])  # type: ignore[index]
    return assemble(
        np.concatenate([at[rows] for at, (rows, _, _) in zip(user_at, parts, strict=True)]),
        np.concatenate([at[columns] for at, (_, columns, _) in zip(item_at, parts, strict=True)]),
        np.concatenate([values for *_, values in parts]),
        times,
        user_ids,
        item_ids,
        old.scale,
        "last",
    )


def spread(values: Array, places: Array, length: int) -> Array:
    result = np.zeros((length, *values.shape[1:]), values.dtype)
    result[places] = values
    return result


def refresh_biases(
    biases: Biases, matrices: tuple[CSR, CSR], touched: tuple[Array, Array], regularization: float
) -> Biases:
    """Return biases of which the `touched` move to their minimizers in turn, (19)."""
    users, items = touched
    rated_by, raters_of = (take_rows(*pair) for pair in zip(matrices, touched, strict=True))
    mean, user, item = biases.mean, biases.user.copy(), biases.item.copy()
    smallest = SMALLEST_CHANGE * matrices[0].data.std(dtype=np.float64)
    for _ in range(MAX_SWEEPS):
        before = item[items]
        user[users] = best_biases(rated_by, mean, item, regularization)
        item[items] = best_biases(raters_of, mean, user, regularization)
        if np.abs(item[items] - before).max() <= smallest:
            break
    return Biases(mean, user, item)
