"""The kernels as a suite for airspeed velocity (`time_*` methods after `setup`).

Point asv's `benchmark_dir` here, or run `python -m benchmarks run kernels`, which needs nothing.
"""

from __future__ import annotations

import numpy as np

from autorec_np import make_ratings
from autorec_np._types import Array
from autorec_np.core.kernels import sddmm, spmm, spmm_transpose
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.engine.engines import Adam, CompactPairs
from autorec_np.engine.threads import Workers
from autorec_np.engine.tiled import Plan, Tiled, split
from autorec_np.training.solvers import run_lbfgs
from benchmarks.ours import in_order


class Kernels:
    """One batch: 512 items of 6,000 users with 125,000 ratings, k = 500, float32, two threads."""

    n_users, n_items, n_ratings, k = 6000, 512, 125_000, 500

    def setup(self) -> None:
        rng = np.random.default_rng(0)
        ratings = make_ratings(self.n_users, self.n_items, self.n_ratings, random_state=0)
        matrix = in_order(ratings.matrix.T.tocsr().astype(np.float32))
        self.workers = Workers(2)
        self.matrix = Tiled.of(matrix, Plan(split(matrix), workers=self.workers))
        self.objective = Objective(Network(self.n_users, (self.k,)), 400.0)
        self.theta = self.objective.network.layout.initialize(rng, np.float32)
        self.gradient = rng.normal(size=self.theta.size).astype(np.float32)
        self.weight = rng.random((self.n_users, self.k), np.float32)
        self.hidden = rng.random((self.n_items, self.k), np.float32)
        self.adam = Adam(self.theta)
        self.curvature = rng.uniform(0.5, 2.0, self.theta.size).astype(np.float32)

    def teardown(self) -> None:
        self.workers.shutdown()

    def time_spmm(self) -> None:
        spmm(self.matrix, self.weight)

    def time_spmm_transpose(self) -> None:
        spmm_transpose(self.matrix, self.hidden)

    def time_sddmm(self) -> None:
        sddmm(self.matrix, self.hidden, self.weight)

    def time_value_and_gradient(self) -> None:
        self.objective.value_and_gradient(self.theta, self.matrix, self.matrix)

    def time_adam_step(self) -> None:
        self.adam.begin(1e-3)
        self.adam.update(self.theta, slice(None), self.gradient.copy())

    def time_lbfgs_iterations(self) -> None:
        """Twelve iterations on a quadratic, which costs next to nothing beside the directions."""

        def quadratic(theta: Array) -> tuple[float, Array]:
            gradient = self.curvature * theta
            return float(theta @ gradient) / 2, gradient

        run_lbfgs(quadratic, self.theta, CompactPairs(self.theta), max_iter=12, tol=0.0)
