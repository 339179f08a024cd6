"""One epoch of Adam where dense rows are long: 69,878 users, 10,677 items, 10 million ratings."""

from __future__ import annotations

from benchmarks.data import planted
from benchmarks.harness import Result, Setting
from benchmarks.rows.epoch import compare

SHAPE = 69_878, 10_677, 10_000_000
QUICK_SHAPE = 6_987, 1_067, 100_000


def run(setting: Setting) -> Result:
    """Time ours and both PyTorch models."""
    shape = QUICK_SHAPE if setting.quick else SHAPE
    result = compare(setting, planted(*shape))
    result.notes.append("Made-up, long-tailed ratings: {:,} x {:,}, {:,}.".format(*shape))
    return result
