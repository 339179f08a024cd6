"""Whether test ratings are training ratings too, which would flatter a model."""

from __future__ import annotations

import numpy as np

from autorec_np._types import Array
from autorec_np.data.entries import row_of_each
from autorec_np.data.ratings import Ratings


def shared_pairs(training: Ratings, test: Ratings) -> Array:
    """Return which pairs of `test`, in file order, are rated in `training` too: bool, (n_test,).

    TypeError where the ids are of another kind.
    """
    users, items, _ = test.triples()
    rows, columns = training.user_positions(users), training.item_positions(items)
    pairs = row_of_each(training.matrix) * training.n_items + training.matrix.indices
    shared = np.isin(rows * training.n_items + columns, pairs)
    return np.asarray((rows >= 0) & (columns >= 0) & shared)


def check_apart(training: Ratings, test: Ratings, advice: str) -> None:
    n_shared = np.count_nonzero(shared_pairs(training, test))
    if n_shared:
        raise ValueError(
            f"{n_shared} of the {len(test)} test pairs are also training pairs, {advice}"
        )
