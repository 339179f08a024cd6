"""Ten best unseen items: for one user at a time, and for all."""

from __future__ import annotations

import time

import numpy as np

from autorec_np import AutoRec
from benchmarks import peers
from benchmarks.data import split_for
from benchmarks.harness import THREADS, Measurement, Result, Setting, alternate

FACTORS = 100  # of the peers: fewer than our 500 codes, which favors them


def run(setting: Setting) -> Result:
    """Ask each contestant for the same users, in turns."""
    train = split_for(setting.quick)[0]
    model = AutoRec(max_iter=1, n_jobs=THREADS, random_state=0).fit(train)
    contestants = {
        "autorec_np, k = 500": lambda user: model.recommend(train.user_ids[[user]], n=10)
    }
    present, absent = peers.load(["implicit ALS", "LensKit ALS", "Surprise"])
    for label, peer in present.items():
        contestants[f"{label}, {FACTORS} factors"] = peer.recommender(train, FACTORS)
    n_asked = 20 if setting.quick else 300
    rng = np.random.default_rng(0)
    asked = rng.choice(train.n_users, n_asked, replace=False).tolist()
    measurements = [Measurement(label) for label in contestants]
    for user in asked[:3] + asked:
        for measurement in measurements:
            started = time.perf_counter()
            contestants[measurement.label](user)
            measurement.seconds.append(time.perf_counter() - started)
    alone = Measurement("autorec_np, k = 500, nobody else in between")
    for user in asked[:3] + asked:
        started = time.perf_counter()
        model.recommend(train.user_ids[[user]], n=10)
        alone.seconds.append(time.perf_counter() - started)
    measurements.append(alone)
    for measurement in measurements:
        del measurement.seconds[:3]  # to be warm
        p50, p99 = np.percentile(measurement.seconds, [50, 99])
        measurement.figures = {"p50, ms": p50 * 1e3, "p99, ms": p99 * 1e3}
    everyone = {
        f"autorec_np, all {train.n_users:,} users": lambda: model.recommend(train.user_ids, n=10)
    }
    measurements += alternate(everyone, setting.repeats)
    return Result(measurements, absent, [f"{n_asked} random users, one after the other."])
