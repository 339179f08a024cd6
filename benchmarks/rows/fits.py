"""Whole fits: seconds of `fit` alone, and the test RMSE, which is read once after it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from autorec_np import Ratings, rmse
from autorec_np._types import Array
from benchmarks import ours, peers, settings
from benchmarks.data import split_for
from benchmarks.harness import Result, Setting, alternate

TARGETS = (0.838, 0.835, 0.831, 0.8265, 0.8240)
QUICK_FITS: dict[str, dict[str, Any]] = {
    "PyTorch sparse": {"penalties": (100.0, 100.0), "epochs": 3, "rate": 3e-3},
    "LIBMF": {"k": 8, "nr_iters": 10, "lambda_p2": 0.05, "lambda_q2": 0.05},
    "Cornac MF": {"k": 8, "max_iter": 10},
}


def run(setting: Setting) -> Result:
    """Fit ours and every peer with each of its settings."""
    train, test = split_for(setting.quick)
    if setting.quick:
        mine: dict[str, list[Any]] = {"autorec_np": [{"max_iter": 3}]}
        others = {label: [chosen] for label, chosen in QUICK_FITS.items()}
    else:
        mine, others = ours.FITS, settings.PEERS
    present, absent = peers.load(others)
    fitters = {**dict.fromkeys(mine, ours.Fitter()), **present}
    chosen = {label: fits for label, fits in {**mine, **others}.items() if label in fitters}
    result = compare(fitters, chosen, train, test, setting)
    result.absent = absent
    return result


def compare(
    fitters: Mapping[str, Any],
    chosen: Mapping[str, list[dict[str, Any]]],
    train: Ratings,
    test: Ratings,
    setting: Setting,
) -> Result:
    """Time every fit in turns and read its test RMSE."""
    contestants, fits, errors = {}, {}, {}
    for label, list_of_settings in chosen.items():
        data = fitters[label].prepare(train)
        for number, values in enumerate(list_of_settings, start=1):
            name = f"{label} #{number}"
            contestants[name] = partial(fitters[label].fit, data, **values)
            fits[name] = label, values

    def read_test(name: str, model: Any) -> None:
        errors[name] = clipped_rmse(test, fitters[fits[name][0]].predict(model, test))

    measurements = alternate(contestants, setting.repeats, after_first=read_test)
    for measurement in measurements:
        label, values = fits[measurement.label]
        shown = ", ".join(f"{key}={value}" for key, value in values.items())
        measurement.figures = {
            "test RMSE": errors[measurement.label],
            "contestant": label,
            "settings": shown,
        }
    return Result(measurements, notes=["Predictions are clipped to the scale; cold pairs count."])


def clipped_rmse(test: Ratings, predicted: Array) -> float:
    """Return the RMSE over all pairs of `test`."""
    return rmse(test.triples()[2], np.clip(predicted, *test.scale))
