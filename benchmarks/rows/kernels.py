"""The suite of `benchmarks.kernels_asv`, in turns."""

from __future__ import annotations

from benchmarks.harness import Result, Setting, alternate
from benchmarks.kernels_asv import Kernels


def run(setting: Setting) -> Result:
    """Time every `time_*` method."""
    suite = Kernels()
    suite.setup()
    names = [name for name in dir(suite) if name.startswith("time_")]
    contestants = {name.removeprefix("time_"): getattr(suite, name) for name in names}
    try:
        return Result(alternate(contestants, setting.repeats))
    finally:
        suite.teardown()
