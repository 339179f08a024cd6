"""What new ratings change in a fitted model, short of training: ratings, biases, positions."""

from __future__ import annotations

import numpy as np

from autorec_np._types import CSR, Array
from autorec_np.core.kernels import take_rows
from autorec_np.data.ratings import Ratings, assemble, shown, unique_with_positions
from autorec_np.models.biases import Biases

MAX_SWEEPS = 20
SMALLEST_CHANGE = 1e-4  # of a bias in rating units: sweeps end below it


def merge(old: Ratings, new: Ratings, indexed: bool) -> Ratings:
    """Return the old ratings and the new; of a pair that is in both, the new.

    Users and items without ratings stay, and the new come in; the scale stays. Where one of the
    two has no timestamps, the result has none.

    Parameters
    ----------
    old, new : Ratings
    indexed : bool
        Whether the ids are indices of a sparse matrix.

    Raises
    ------
    TypeError
        Ids of another kind than the old.
    IndexError
        A negative index, or a gap between indices.
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
    """Return zeros of the new length with `values` at their new `places`."""
    result = np.zeros((length, *values.shape[1:]), values.dtype)
    result[places] = values
    return result


def refresh_biases(
    biases: Biases, matrices: tuple[CSR, CSR], touched: tuple[Array, Array], regularization: float
) -> Biases:
    """Return biases of which those of some users and items are fitted anew.

    They move in turn to their exact minimizers, (19), while the mean and all the others stay.

    Parameters
    ----------
    biases : Biases
    matrices : pair of csr_array
        The ratings (n_users x n_items), and their transpose.
    touched : pair of ndarray of int
        The users and the items whose biases are fitted.
    regularization : float
        lambda of `fit_biases`.
    """
    users, items = touched
    rated_by, raters_of = (take_rows(*pair) for pair in zip(matrices, touched, strict=True))
    mean, user, item = biases.mean, biases.user.copy(), biases.item.copy()
    for _ in range(MAX_SWEEPS):
        before = item[items]
        user[users] = best_biases(rated_by, mean, item, regularization)
        item[items] = best_biases(raters_of, mean, user, regularization)
        if np.abs(item[items] - before).max() < SMALLEST_CHANGE:
            break
    return Biases(mean, user, item)


def best_biases(rated: CSR, mean: float, others: Array, regularization: float) -> Array:
    """Return the bias of each row, (19), given those of the columns; 0 without ratings."""
    counts = np.diff(rated.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    sums = np.bincount(rows, rated.data - mean - others[rated.indices], minlength=len(counts))
    return np.asarray(sums / np.maximum(regularization + counts, regularization or 1.0))
