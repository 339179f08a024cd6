"""Test RMSE of other programs on the split of ML-1M with seed 0.

    python -m benchmarks.peer_accuracy                # every peer
    python -m benchmarks.peer_accuracy LIBMF myFM     # these

Each is fitted once with the last of its settings in `settings.PEERS`, which were chosen on
validation ratings; test ratings are read once, after the fit. A peer that is not installed is named
as absent, with the reason.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from autorec_np import rmse
from benchmarks.data import movielens_split
from benchmarks.peers import load
from benchmarks.settings import PEERS

LABELS = ("LIBMF", "Cornac MF", "Surprise SVD", "Surprise SVD++", "LensKit ALS", "myFM")


def main(labels: list[str]) -> None:
    """Print a line for each peer."""
    present, absent = load(labels or LABELS)
    train, test = movielens_split()
    _, _, ratings = test.positions()
    for label, peer in present.items():
        settings, data = PEERS[label][-1], peer.prepare(train)
        started = time.perf_counter()
        model = peer.fit(data, **settings)
        seconds = time.perf_counter() - started
        error = rmse(ratings, np.clip(peer.predict(model, test), *train.scale))
        shown = ", ".join(f"{name}={value}" for name, value in settings.items())
        print(f"{label:22} RMSE {error:.4f}  fit {seconds:.1f} s  ({shown})", flush=True)
    for label, reason in absent.items():
        print(f"{label:22} absent: {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
