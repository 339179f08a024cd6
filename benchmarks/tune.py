"""Validation RMSE of the settings of the row "fits" and of their neighbors; the search for lists.

    python -m benchmarks.tune [LABEL ...]        (labels as in benchmarks/settings.py)
    python -m benchmarks.tune lists DATA [NAME ...]        (names as in benchmarks/lists)

Fits on a part of the training ratings and scores on the rest of it; test ratings are not read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from benchmarks import ours, peers, settings
from benchmarks.data import validation_split
from benchmarks.lists import runner
from benchmarks.rows.fits import clipped_rmse


def candidates(label: str) -> Iterator[settings.Settings]:
    """Yield the chosen settings, each followed by those that differ from it in one value."""
    for chosen in {**ours.FITS, **settings.PEERS}[label]:
        yield chosen
        for name, values in settings.GRIDS.get(label, {}).items():
            yield from ({**chosen, name: value} for value in values if value != chosen.get(name))


def main(labels: list[str]) -> None:
    """Print a line for each candidate."""
    if labels[:1] == ["lists"]:
        runner.tune(labels[1], labels[2:])
        return
    fit, validation = validation_split()
    for label in labels or [*ours.FITS, *settings.PEERS]:
        present, absent = peers.load([label] if label in settings.PEERS else [])
        if absent:
            print(label, absent[label])
            continue
        fitter = present.get(label) or ours.Fitter()
        data = fitter.prepare(fit)
        for values in candidates(label):
            started = time.perf_counter()
            model = fitter.fit(data, **values)
            seconds = time.perf_counter() - started
            error = clipped_rmse(validation, fitter.predict(model, validation))
            print(f"{label}: {values}: validation RMSE {error:.4f}, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
