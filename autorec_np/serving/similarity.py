"""Similar items and similar users: cosines of codes of rows, or of decoder weights of columns."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from autorec_np._habits import knows_habits
from autorec_np._types import Array
from autorec_np._validation import check_integer
from autorec_np.engine.blas import undisturbed
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import check_fitted, chunks, padded
from autorec_np.models.scoring import Fitted
from autorec_np.models.top_n import top_n

# A record never changes, so what was worked out of it holds as long as it lives.
_known: WeakKeyDictionary[Fitted, dict[str, Array]] = WeakKeyDictionary()

DECIMALS = 12  # of a cosine: vectors that are equal up to rounding tie


@knows_habits
def similar_items(model: AutoRec, items: npt.ArrayLike, n: int = 10) -> tuple[Array, Array]:
    """Return the items that are most similar to each of some items.

    By the cosine of their codes (orientation "item"), relative to the mean code, or decoder weights
    ("user"); with an item without training ratings, it is 0.

    Parameters
    ----------
    model : AutoRec
        Fitted.
    items : array_like, (m,)
        Ids (indices where the model was fitted on a sparse matrix).
    n : int
        Similar items for each.

    Returns
    -------
    ids : ndarray of object, (m, n)
        Most similar first, equal cosines in the order of the ids; None where there are no more
        items.
    cosines : ndarray of float64, (m, n)
        Rounded to 12 decimals; -inf for None.

    Raises
    ------
    NotFittedError, IndexError, ValueError
        As `AutoRec.recommend`.
    TypeError
        A model without codes.
    """
    return _most_similar(model, "item", items, n)


@knows_habits
def similar_users(model: AutoRec, users: npt.ArrayLike, n: int = 10) -> tuple[Array, Array]:
    """Return the users that are most similar to each of some users; see `similar_items`."""
    return _most_similar(model, "user", users, n)


@undisturbed()
def _most_similar(model: AutoRec, axis: str, wanted: npt.ArrayLike, n: int) -> tuple[Array, Array]:
    if not isinstance(model, AutoRec):
        advice = "; pass one of its members_" if hasattr(model, "members_") else ""
        raise TypeError(
            f"similar items and users need the codes of an AutoRec, got {type(model).__name__}"
            f"{advice}."
        )
    n = check_integer("n", n, minimum=1)
    fitted = check_fitted(model)
    positions = fitted.look_up(axis, wanted)
    known = _known.setdefault(fitted, {})
    if axis not in known:
        known[axis] = _unit_vectors(fitted, axis)
    vectors = known[axis]
    best = np.empty((len(positions), min(n, len(vectors))), np.int64)
    cosines = np.empty(best.shape)
    for part in chunks(len(positions), len(vectors)):
        block = np.round(vectors[positions[part]] @ vectors.T, DECIMALS)
        block[np.arange(len(block)), positions[part]] = -np.inf  # the item itself
        best[part], cosines[part] = top_n(block, n)
    return padded(best, cosines, fitted.ids(axis), n)


def _unit_vectors(fitted: Fitted, axis: str) -> Array:
    known = fitted.counts[axis][:-1] > 0
    vectors, rounding = fitted.vectors(axis).astype(np.float64), 0.0
    if axis == fitted.axes.row:
        # (1) does not change where a constant moves from every code into the output biases
        mean = vectors[known].mean(axis=0)
        vectors -= mean
        rounding = np.finfo(fitted.codes.dtype).eps * np.linalg.norm(mean)
    lengths = np.linalg.norm(vectors, axis=1)
    learned = known & (lengths > rounding)
    vectors[learned] /= lengths[learned, np.newaxis]
    vectors[~learned] = 0.0
    return vectors
