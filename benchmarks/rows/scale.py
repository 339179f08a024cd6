"""Fits past memory: seconds and anonymous memory of a training, in memory and of stored ratings.

`rows/store.py` says why anonymous memory. What the interpreter, its libraries and, where they are
in memory, the ratings take is measured by a process that only opens them, and taken off.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from autorec_np import store_ratings
from benchmarks.harness import Measurement, Result, Setting
from benchmarks.rows.store import QUICK_SHAPES, SHAPES, anonymous_peak, generate

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
model = AutoRec(sys.argv[3], (50,), max_iter=2, random_state=0, **eval(sys.argv[4]))
"""
FIT = f"""{OPEN}
model.fit(R)
if len(sys.argv) > 5:
    from autorec_np import save_model

    print("RMSE", -model.score(*Ratings.open(sys.argv[5]).triples()))
    save_model(model, sys.argv[6])
"""
PAPERS = {"implicit": 0, "inputs": "ratings"}
MOST_IN_MEMORY = 20_000_000
N_TESTED = 1_000_000
NOTE = (
    "Adam, k = 50, two epochs, by default and with the paper's network (implicit=0, "
    "inputs='ratings'); of Netflix's shape also evaluated on a million pairs, and saved."
)


def run(setting: Setting) -> Result:
    """Train two epochs with 50 units in both orientations; past memory, evaluate and save too."""
    measurements = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        lines, path, test = (Path(folder, name) for name in ("ratings.csv", "stored", "test"))
        for name, shape in (QUICK_SHAPES if setting.quick else SHAPES).items():
            n_ratings = generate(lines, shape)
            store_ratings(lines, path, overwrite=True)
            generate(lines, (*shape[:2], min(N_TESTED, n_ratings // 10)), seed=1)
            store_ratings(lines, test, overwrite=True)
            lines.unlink()
            is_long = n_ratings > MOST_IN_MEMORY
            saved = (test, Path(folder, "model.npz")) if is_long else ()
            for network, options in {"defaults": {}, "the paper's": PAPERS}.items():
                if is_long and options is not PAPERS:
                    continue
                for orientation in ("item", "user"):
                    for way in ["stored"] if is_long else ["in memory", "stored"]:
                        arguments = path, way, orientation, options
                        before, base = anonymous_peak(OPEN, *arguments)
                        seconds, peak = anonymous_peak(FIT, *arguments, *saved)
                        figures = {
                            "ratings": n_ratings,
                            "anonymous peak, MB": peak / 1e6,
                            "B a rating, beyond the ratings": (peak - base) / n_ratings,
                            "microseconds a rating": 1e6 * (seconds - before) / n_ratings,
                        }
                        label = f"{name}, {network}, {orientation}, {way}"
                        measurements.append(Measurement(label, [seconds - before], figures))
    return Result(measurements, notes=[NOTE])
