"""Other programs, each in its own file and imported only where a row asks for it.

A peer that learns ratings is an object with three methods, of which the second alone is timed:

    prepare(train) -> data              the ratings in the layout that the program reads
    fit(data, **settings) -> model
    predict(model, test) -> ndarray     one number for each pair of `test`, not clipped

One that makes lists is as `benchmarks.lists.contestants` says. A peer that is not installed is
named as absent with the reason, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import numpy as np

from autorec_np import Ratings
from autorec_np._types import Array
from autorec_np.models.frames import top_n

# label -> module of this package and attribute in it (None: the module itself)
PEERS: dict[str, tuple[str, str | None]] = {
    "PyTorch dense kernels": ("torch_dense", None),
    "PyTorch sparse kernels": ("torch_sparse", None),
    "authors' algorithm": ("authors", None),
    "PyTorch dense": ("torch_autorec", "DENSE"),
    "PyTorch sparse": ("torch_autorec", "SPARSE"),
    "PyTorch sparse, centered": ("torch_autorec", "SPARSE_CENTERED"),
    "authors' algorithm, SciPy L-BFGS-B": ("authors", "FITTER"),
    "LIBMF": ("libmf_peer", None),
    "Cornac MF": ("cornac_peer", None),
    "Surprise SVD": ("surprise_peer", "SVD"),
    "Surprise SVD++": ("surprise_peer", "SVDPP"),
    "Surprise": ("surprise_peer", None),
    "myFM": ("myfm_peer", None),
    "implicit ALS": ("implicit_peer", None),
    "LensKit ALS": ("lenskit_peer", None),
    "implicit, iALS": ("implicit_peer", "ALS"),
    "implicit, BPR": ("implicit_peer", "BPR"),
    "LensKit, ImplicitMF": ("lenskit_peer", "IMPLICIT"),
}


def load(labels: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the peers that are installed, and for each other one why it is absent."""
    present, absent = {}, {}
    for label in labels:
        module, attribute = PEERS[label]
        try:
            loaded = import_module(f"benchmarks.peers.{module}")
        except (ImportError, OSError) as error:
            absent[label] = f"not installed here ({type(error).__name__}: {error})"
            continue
        present[label] = loaded if attribute is None else getattr(loaded, attribute)
    return present, absent


def best_unseen(users: Array, items: Array, train: Ratings, rows: Array, n: int) -> Array:
    """Return ids (m, n) of the highest products, ties by id, without what was seen in training.

    Parameters
    ----------
    users, items : ndarray, (m, k) and (n_items, k)
        Factors.
    train : Ratings
    rows : ndarray of int, (m,)
        The users' positions in it.
    n : int
    """
    lists = np.full((len(rows), n), None, dtype=object)
    for some in np.array_split(np.arange(len(rows)), max(len(rows) // 1000, 1)):
        scores = np.asarray(users[some] @ items.T, np.float64)
        best, values = top_n(scores, n, train.matrix[rows[some]])
        lists[some, : best.shape[1]] = np.where(values > -np.inf, train.item_ids[best], None)
    return lists
