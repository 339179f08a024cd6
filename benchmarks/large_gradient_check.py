"""Check every block of the gradient at k = 500 on MovieLens 1M: six million parameters.

python -m benchmarks.large_gradient_check      (needs ml-1m in $AUTOREC_NP_DATA)

Prints the table, the seconds of the check alone, and the peak of memory of the process.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from autorec_np import check_gradient, fetch_movielens
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.engine.engines import TiledEngine
from autorec_np.engine.threads import Workers
from autorec_np.engine.tiled import by_activity
from benchmarks.ours import in_order


def main() -> None:
    items = in_order(fetch_movielens("ml-1m").ratings.matrix.T.tocsr().astype(np.float64))
    with Workers(2) as workers:
        network = Network(items.shape[1], (500,))
        objective = Objective(network, 400.0)
        engine = TiledEngine(workers)
        arrangement = engine.arrange(network, items, n_batches=1)
        batch = arrangement.batch(items, items, by_activity(items)[0], None)
        theta = network.layout.initialize(np.random.default_rng(0), np.float64)
        rated = np.bincount(items.indices, minlength=items.shape[1]) > 0
        started = time.perf_counter()
        report = check_gradient(
            lambda point: engine.value_and_gradient(objective, point, [batch]),
            theta,
            network.layout,
            value=lambda point: objective.value(point, *batch),
            active_rows=dict.fromkeys(objective.penalties, rated),
            n_directions=2,
            n_coordinates=2,
        )
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(report)
    print(f"{theta.size:,} parameters, {report.evaluations} evaluations: {seconds:.1f} s")
    print(f"peak of memory {peak:.2f} GB")


if __name__ == "__main__":
    main()
