"""The shape of the Netflix prize: 480,189 users, 17,770 items, 100 million ratings, k = 100."""

from __future__ import annotations

from benchmarks.harness import Measurement, Result, Setting
from benchmarks.rows.big import trained

SHAPES = {
    "ML-10M": (69_878, 10_677, 10_000_000),
    "Netflix": (480_189, 17_770, 100_000_000),
}
QUICK_SHAPES = {
    "ML-10M / 100": (6_988, 1_068, 100_000),
    "Netflix / 100": (48_019, 1_777, 1_000_000),
}


def run(setting: Setting) -> Result:
    """Train one epoch in both orientations on both shapes."""
    measurements = []
    for name, shape in (QUICK_SHAPES if setting.quick else SHAPES).items():
        fits = [
            {
                "orientation": orientation,
                "hidden_layer_sizes": (100,),
                "max_iter": 2,
                "batch_size": 512,
            }
            for orientation in ("item", "user")
        ]
        for settings, figures in zip(fits, trained(shape, fits), strict=True):
            measurements.append(
                Measurement(
                    f"{name}, {settings['orientation']}",
                    [figures["epoch"]],
                    {
                        "ns per rating": figures["epoch"] / shape[2] * 1e9,
                        "fit, s": figures["fit"],
                        "peak, GB": figures["peak"] / 1e9,
                    },
                )
            )
    note = "The second epoch of a `fit`, defaults but for k and batch 512; the bar is 10 GB."
    return Result(measurements, notes=[note])
