"""One epoch of Adam on the same ratings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from autorec_np import Ratings
from benchmarks import ours, peers
from benchmarks.data import by_item, split_for
from benchmarks.harness import THREADS, Result, Setting, alternate

K = 500


def run(setting: Setting) -> Result:
    """Time ours and both PyTorch models (fused Adam)."""
    return compare(setting, split_for(setting.quick)[0])


def compare(setting: Setting, train: Ratings) -> Result:
    """Time epochs with k = 500 and batches of 512 rows."""
    matrix = by_item(train)
    contestants: dict[str, Callable[[], None]] = {}
    present, absent = peers.load(("PyTorch dense kernels", "PyTorch sparse kernels"))
    for name, peer in present.items():
        import torch

        torch.set_num_threads(THREADS)
        model = peer.Model(matrix, K, (ours.PENALTY, ours.PENALTY))
        contestants[name.removesuffix(" kernels")] = partial(model.epoch, model.optimizer(1e-3))
    with ours.Epochs(train, K) as epoch:
        contestants = {"autorec_np": epoch, **contestants}
        return Result(alternate(contestants, setting.repeats), absent)
