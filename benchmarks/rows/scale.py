"""Fits past memory: seconds and anonymous memory of a training, in memory and of stored ratings.

`rows/store.py` says why anonymous memory. What the interpreter, its libraries and, where they are
in memory, the ratings take is measured by a process that only opens them, and taken off.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from autorec_np import make_ratings, store_ratings
from benchmarks.harness import Measurement, Result, Setting
from benchmarks.rows.store import QUICK_SHAPES, SHAPES, anonymous_peak

OPEN = """
import dataclasses, sys
import numpy as np
from autorec_np import AutoRec, Ratings
from autorec_np.data.entries import canonical_csr

R = Ratings.open(sys.argv[1])
if sys.argv[2] == "in memory":
    parts = [np.array(getattr(R.matrix, name)) for name in ("data", "indices", "indptr")]
    matrix = canonical_csr(*parts, R.shape)
    R = dataclasses.replace(R, matrix=matrix, order=np.array(R.order))
model = AutoRec(sys.argv[3], (50,), max_iter=2, random_state=0)
"""
FIT = f"{OPEN}\nmodel.fit(R)\n"
MOST_IN_MEMORY = 20_000_000


def run(setting: Setting) -> Result:
    """Train two epochs with 50 units in both orientations."""
    measurements = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        for name, shape in (QUICK_SHAPES if setting.quick else SHAPES).items():
            path = Path(folder, name.replace(" / ", "_"))
            store_ratings(make_ratings(*shape, random_state=0), path)
            ways = ["stored"] if shape[2] > MOST_IN_MEMORY else ["in memory", "stored"]
            for orientation in ("item", "user"):
                for way in ways:
                    before, base = anonymous_peak(OPEN, path, way, orientation)
                    seconds, peak = anonymous_peak(FIT, path, way, orientation)
                    figures = {
                        "ratings": shape[2],
                        "anonymous peak, MB": peak / 1e6,
                        "B a rating, beyond the ratings": (peak - base) / shape[2],
                        "microseconds a rating": 1e6 * (seconds - before) / shape[2],
                    }
                    label = f"{name}, {orientation}, {way}"
                    measurements.append(Measurement(label, [seconds - before], figures))
    return Result(measurements, notes=["Adam, k = 50, two epochs; all else as by default."])
