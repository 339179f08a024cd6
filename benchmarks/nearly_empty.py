"""Fit a wide and nearly empty matrix: seconds an epoch, and the peak of anonymous memory.

    python -m benchmarks.nearly_empty                                        # an epoch of Adam
    python -m benchmarks.nearly_empty 600_000 50_000 -k 2 --solver lbfgs     # memory of a plan
    python -m benchmarks.nearly_empty 3_000_000 10_000_000 -k 50 --epochs 1  # 10 GB

So many ratings, drawn at random, of as many users as items. Seconds of CPU are those of all
threads; on a machine that others use, they say more than those of the clock. Linux alone tells what
is anonymous, arrays and not mapped files.
"""

from __future__ import annotations

import argparse
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from scipy import sparse

from autorec_np import AutoRec
from autorec_np.training import ConvergenceWarning

BETWEEN = 0.005  # seconds between two looks at the memory


class Peak:
    """The most anonymous memory of this process within the block, in bytes."""

    def __enter__(self) -> Peak:
        """Begin to look."""
        self.bytes, self._ended = anonymous_memory(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End the looking."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(BETWEEN):
            self.bytes = max(self.bytes, anonymous_memory())


def anonymous_memory() -> int:
    """Return what is resident and of no file, in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    [line] = (line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


def made_up(n: int, n_ratings: int) -> sparse.csr_array:
    """Return about `n_ratings` ratings from 1 to 5 of n users and n items."""
    rng = np.random.default_rng(0)
    cells = np.unique(rng.integers(n, size=n_ratings) * n + rng.integers(n, size=n_ratings))
    ratings = rng.integers(1, 6, len(cells)).astype(np.float64)
    return sparse.csr_array((ratings, np.divmod(cells, n)), shape=(n, n))


def main(arguments: list[str] | None = None) -> None:
    """Fit, and print a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int, nargs="?", default=100_000, help="users, and items")
    parser.add_argument("n_ratings", type=int, nargs="?", default=100_000)
    parser.add_argument("-k", type=int, default=20)
    parser.add_argument("--solver", default="adam")
    parser.add_argument("--engine", default="tiled")
    parser.add_argument("--epochs", type=int, default=4, help="or iterations")
    options = parser.parse_args(arguments)
    ratings = made_up(options.n, options.n_ratings)
    times = [(time.perf_counter(), time.process_time())]
    model = AutoRec(
        hidden_layer_sizes=(options.k,),
        solver=options.solver,
        engine=options.engine,
        max_iter=options.epochs,
        random_state=0,
        callbacks=[lambda state: times.append((time.perf_counter(), time.process_time()))],
    )
    with warnings.catch_warnings(), Peak() as peak:
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(ratings)
    seconds, cpu_seconds = np.median(np.diff(times, axis=0), axis=0)
    print(
        f"{ratings.nnz:,} ratings in {options.n:,} x {options.n:,}, k = {options.k}, "
        f"{options.solver}, {options.engine}: {seconds:.2f} s an epoch, {cpu_seconds:.2f} s of "
        f"CPU; {peak.bytes / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    main()
