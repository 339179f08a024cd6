"""Other programs, each in its own file and imported only where a row asks for it.

A peer that learns ratings is an object with three methods, of which the second alone is timed:

    prepare(train) -> data              the ratings in the layout that the program reads
    fit(data, **settings) -> model
    predict(model, test) -> ndarray     one number for each pair of `test`, not clipped

A peer that is not installed is named as absent with the reason, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

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
