"""The rows of the benchmark, one file each; every `run(setting)` returns a `harness.Result`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from benchmarks.harness import Result, Setting

# name -> what it measures
TITLES = {
    "gradient": "Value and gradient, ML-1M, I-AutoRec, k = 500",
    "epoch": "One Adam epoch, ML-1M, I-AutoRec, k = 500, batch 512",
    "fits": "Time of `fit` alone, and test RMSE, ML-1M",
    "lbfgs": "L-BFGS: seconds of an evaluation beyond the value and gradient",
    "ml10m": "One Adam epoch, shape of ML-10M, k = 500",
    "netflix": "One epoch, shape of Netflix, k = 100: memory and time per rating",
    "growth": "Growth of the epoch's time with the ratings and with k",
    "memory": "Memory of training",
    "store": "Ratings past memory: seconds and memory of reading and storing",
    "scale": "Fits past memory: seconds and memory, in memory and of stored ratings",
    "recommend": "Ten recommendations, ML-1M",
    "lists": "Lists: NDCG@10, what else they are, seconds and memory of `fit`",
    "service": "The example service under load, ML-1M, k = 500",
    "distributed": "One training on Dask workers, ML-1M: clock, CPU and bytes moved",
    "light": "Time of import and size of the wheel",
    "neighbor": "Value and gradient beside another process",
    "roofline": "What the machine can do: GEMM, copy, sparse products",
    "kernels": "The kernels, to see a slowdown",
}


def _run(name: str, setting: Setting) -> Result:
    result: Result = import_module(f"benchmarks.rows.{name}").run(setting)
    return result


ROWS: dict[str, Callable[[Setting], Result]] = {name: partial(_run, name) for name in TITLES}
