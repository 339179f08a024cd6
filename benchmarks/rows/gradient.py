"""Value and gradient of (2), from the same theta, on the same ratings."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks import ours, peers
from benchmarks.data import by_item, split_for
from benchmarks.harness import THREADS, Result, Setting, alternate

K = 500


def run(setting: Setting) -> Result:
    """Time ours, both PyTorch models and the authors' algorithm; check that they agree."""
    matrix = ours.in_order(by_item(split_for(setting.quick)[0]))
    theta = ours.initial_theta(matrix.shape[1], K)
    mine = ours.value_and_gradient(matrix, K, out=np.empty_like(theta))
    contestants = {"autorec_np": partial(mine, theta)}
    kernels = ("PyTorch dense kernels", "PyTorch sparse kernels", "authors' algorithm")
    present, absent = peers.load(kernels)
    models = {}
    for name, peer in present.items():
        label = name.removesuffix(" kernels")
        model = peer.Model(matrix, K, (ours.PENALTY, ours.PENALTY))
        if label == "authors' algorithm":
            contestants[label] = partial(model.value_and_gradient, theta.astype(np.float64))
            continue
        import torch

        torch.set_num_threads(THREADS)
        model.reset(theta)
        contestants[label] = model.evaluate
        models[label] = model
    results = {}

    def keep(label: str, returned: Any) -> None:
        results[label] = models[label].value_and_gradient() if label in models else returned

    measurements = alternate(contestants, setting.repeats, after_first=keep)
    value, gradient = results["autorec_np"]
    for measurement in measurements:
        other_value, other = results[measurement.label]
        difference = np.linalg.norm(other - gradient) / np.linalg.norm(gradient)
        measurement.figures["value differs by"] = float(abs(other_value - value) / abs(value))
        measurement.figures["gradient differs by"] = float(difference)
    notes = [
        "float32 but for the authors' algorithm (float64).",
        "Rows and columns are in the order of their activity, for all.",
    ]
    return Result(measurements, absent, notes)
