"""Memory of training against what its arrays need."""

from __future__ import annotations

from benchmarks.harness import Measurement, Result, Setting
from benchmarks.rows.big import trained

SHAPES = {"ML-1M": (6_040, 3_706, 1_000_000), "ML-10M": (69_878, 10_677, 10_000_000)}
QUICK_SHAPES = {"ML-1M / 10": (1_900, 1_170, 100_000)}
SLOTS = {"adam": 2, "sgd": 1, "rprop": 2, "lbfgs": 20}  # arrays like theta that a solver keeps
ALLOWANCE = 512e6


def run(setting: Setting) -> Result:
    """Train two epochs (12 iterations of L-BFGS, to fill its memory) with every solver."""
    measurements = []
    for name, shape in (QUICK_SHAPES if setting.quick else SHAPES).items():
        solvers = list(SLOTS) if name.startswith("ML-1M") else ["adam"]
        fits = [{"solver": solver, "max_iter": 2} for solver in solvers]
        for settings in fits:
            if settings["solver"] == "lbfgs":
                settings |= {"max_iter": 12, "tol": 0.0}
        for solver, figures in zip(solvers, trained(shape, fits), strict=True):
            bound = 2 * figures["data"] + figures["theta"] * (SLOTS[solver] + 2) + ALLOWANCE
            training = figures["peak"] - figures["before"] + figures["data"]
            measurements.append(
                Measurement(
                    f"{name}, {solver}",
                    figures={
                        "data, MB": figures["data"] / 1e6,
                        "parameters, MB": figures["theta"] / 1e6,
                        "peak of the process, MB": figures["peak"] / 1e6,
                        "without interpreter and libraries, MB": training / 1e6,
                        "bound, MB": bound / 1e6,
                        "holds": "yes" if training <= bound else "no",
                    },
                )
            )
    note = "k = 500. Peak resident memory of a process of its own."
    bound = "Bound: data in both orientations + parameters x (solver's slots + 2) + 512 MB."
    return Result(measurements, notes=[note, bound])
