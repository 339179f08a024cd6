"""One training run around a solver.

(seed, step, position) says what corruption and dropout hit. So masks depend neither on threads and
batches, nor on which part of a matrix is at hand.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autorec_np._types import CSR, AnyMatrix, Array
from autorec_np.core.kernels import with_data
from autorec_np.core.objective import Objective
from autorec_np.core.planes import Planes
from autorec_np.engine.engines import Arrangement, Batch, Engine, PlainEngine, TiledEngine
from autorec_np.engine.threads import Workers, pattern_of, row_blocks, run
from autorec_np.engine.tiled import by_activity
from autorec_np.training.solvers import (
    Callback,
    DivergenceError,
    EpochMonitor,
    Iteration,
    Minimum,
    check_finite,
    run_lbfgs,
    run_scipy_lbfgs,
    run_steps,
)

INPUT = 0  # the layer that `corrupt` damages; hidden ones follow
ENTRIES_AT_ONCE = 32_768  # that are looked up at once


class Draws(NamedTuple):
    """SplitMix64 (Steele, Lea and Flood, 2014), read at any position: mix(start + n gamma).

    Each layer of each step has its own stream.
    """

    seed: int
    step: int

    def at(self, positions: Array, layer: int = INPUT) -> Array:
        """Return the numbers at positions (n,), uniform uint64."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(self.step, layer))
        return splitmix64(sequence.generate_state(1, np.uint64)[0], positions)

    def keeps(self, positions: Array, probability: float, layer: int = INPUT) -> Array:
        """Return (n,) bool: False, with the probability, for positions that are hit."""
        return np.asarray(self.at(positions, layer) >= np.uint64(probability * 2.0**64))


def splitmix64(start: np.uint64, positions: Array) -> Array:
    """Return the numbers of SplitMix64, seeded with `start`, at positions (n,) from 0."""
    z = positions.astype(np.uint64)
    z += np.uint64(1)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += start
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def corrupt(
    inputs: AnyMatrix, probability: float, draws: Draws, entries: Array | None = None
) -> AnyMatrix:
    """Return inputs with each stored value set to 0 with a probability, the others scaled up.

    The others are divided by (1 - probability), so that the expectation of V^T r stays (masking
    noise of Vincent et al., 2010, in inverted form). The pattern is kept; all planes of a pair are
    hit, or none. `entries` are the places of the values in the whole matrix; None: this is it.
    """
    kept = np.empty(inputs.nnz, bool)
    for first in range(0, inputs.nnz, ENTRIES_AT_ONCE):
        block = slice(first, min(first + ENTRIES_AT_ONCE, inputs.nnz))
        positions = np.arange(block.start, block.stop) if entries is None else entries[block]
        kept[block] = draws.keeps(positions, probability)
    return with_data(inputs, inputs.data * kept / inputs.dtype.type(1.0 - probability))


def dropout_masks(
    rows: Array, widths: Sequence[int], probability: float, draws: Draws, dtype: npt.DTypeLike
) -> list[Array]:
    """Return one array (len(rows), width) of 0 or 1 / (1 - probability) for each hidden layer."""
    values = np.array([0.0, 1.0 / (1.0 - probability)], dtype)
    masks = []
    for layer, width in enumerate(widths, INPUT + 1):
        units = rows[:, np.newaxis] * width + np.arange(width)
        kept = draws.keeps(units.reshape(-1), probability, layer)
        masks.append(values[kept.astype(np.intp)].reshape(units.shape))
    return masks


ENGINES = ("tiled", "plain")
ENTRIES_PER_BLOCK = 2**20  # of a full batch, at once
MEMORY = 10  # of L-BFGS
WEIGHTS_PER_TASK = 2**18


class ConvergenceWarning(UserWarning):
    """A full-batch solver reached its limit of iterations."""


class InterruptedWarning(UserWarning):
    """Ctrl-C ended a training; the model has what was learned until then."""


@contextmanager
def interrupts_end_all() -> Iterator[None]:
    """Let Ctrl-C end several trainings in a row.

    KeyboardInterrupt takes the place of `InterruptedWarning`; the model keeps what it has learned.
    """
    with _set(_interrupts_end_all):
        yield


def warn_of_interrupt(n_iter: int, validation_curve: Sequence[float], stacklevel: int) -> None:
    """Issue an `InterruptedWarning`; KeyboardInterrupt instead within `interrupts_end_all`."""
    if _interrupts_end_all.get():
        raise KeyboardInterrupt
    best = int(np.argmin(validation_curve)) + 1 if validation_curve else n_iter
    warnings.warn(
        f"Training interrupted by the user after {n_iter} complete epochs or iterations; the "
        f"model is fitted with the weights after number {best}"
        f"{', of the lowest validation RMSE' if validation_curve else ''}.",
        InterruptedWarning,
        stacklevel + 1,
    )


@contextmanager
def short_on_purpose() -> Iterator[None]:
    """Issue no `ConvergenceWarning`, where trainings are compared."""
    with _set(_short_on_purpose):
        yield


# Filters of warnings would be those of all threads.
_interrupts_end_all = ContextVar("interrupts_end_all", default=False)
_short_on_purpose = ContextVar("short_on_purpose", default=False)


@contextmanager
def _set(switch: ContextVar[bool]) -> Iterator[None]:
    before = switch.set(True)
    try:
        yield
    finally:
        switch.reset(before)


@dataclass(frozen=True)
class SolverDefaults:
    """What None means for a solver; see `AutoRec`.

    `full_batch`: iterations see all rows, without corruption or dropout.
    """

    full_batch: bool
    max_iter: int
    learning_rate_init: float
    corruption: float


SOLVERS = {
    "adam": SolverDefaults(False, 20, 3e-3, 0.5),
    "sgd": SolverDefaults(False, 60, 0.1, 0.5),
    "rprop": SolverDefaults(True, 200, 1e-3, 0.0),
    "lbfgs": SolverDefaults(True, 150, math.nan, 0.0),
    "scipy-lbfgs": SolverDefaults(True, 150, math.nan, 0.0),
}


def corruption_for(solver: str, corruption: float | None) -> float:
    """Return the corruption, the solver's for None."""
    return SOLVERS[solver].corruption if corruption is None else corruption


@dataclass(frozen=True)
class Trainer:
    """A solver with all settings resolved; :meth:`run` trains an objective."""

    solver: str
    learning_rate: str
    learning_rate_init: float
    warm_up: float
    momentum: float
    nesterovs_momentum: bool
    batch_size: int
    max_iter: int
    tol: float
    n_iter_no_change: int
    dropout: float
    corruption: float
    engine: str = "tiled"

    def run(
        self,
        objective: Objective,
        theta: Array,
        inputs: CSR | Planes,
        targets: CSR | Planes,
        random_state: np.random.Generator,
        monitor: EpochMonitor,
        workers: Workers | None = None,
    ) -> Minimum:
        """Minimize the objective over all rows; see `solvers.Minimum`.

        `theta`, the start, is overwritten after each epoch: it holds the last good weights whatever
        ends the run. `inputs` and `targets` have one pattern. No result depends on the `workers`.
        DivergenceError where the objective or a weight is not finite, ConvergenceWarning where a
        full-batch solver ends at its limit of iterations.
        """
        full_batch = SOLVERS[self.solver].full_batch
        engine: Engine = TiledEngine(workers) if self.engine == "tiled" else PlainEngine()
        n_batches = 1 if full_batch else self._n_batches(targets.shape[0])
        arrangement = engine.arrange(objective.network, pattern_of(targets), n_batches)
        working = arrangement.arranged(theta)
        objective = arrangement.objective(objective)
        last_good = theta.view()
        last_good.flags.writeable = False

        def report(iteration: Iteration) -> bool:
            weights = iteration.theta
            for extreme in _extremes(weights, workers):
                check_finite(extreme, "a weight", f"iteration {iteration.number}")
            monitor.record(iteration)
            try:
                arrangement.restore(weights, theta)
            except KeyboardInterrupt:  # perhaps between two blocks
                arrangement.restore(weights, theta)
                raise
            return monitor(replace(iteration, theta=last_good))

        try:
            drawn: Iterator[Sequence[Batch]]
            if full_batch:
                drawn = itertools.repeat(_in_blocks(arrangement, inputs, targets))
            else:
                widths = objective.network.hidden_layer_sizes
                batches = self.batches(arrangement, widths, inputs, targets, random_state)
                drawn = ([batch] for batch in batches)
            run_solver = self._run_lbfgs if "lbfgs" in self.solver else self._run_steps
            result = run_solver(engine, objective, working, drawn, n_batches, report)
        except DivergenceError as error:
            error.epoch = monitor.n_complete
            error.args = (f"{error} {self._circumstances(objective, targets)}",)
            raise
        if full_batch and result.limit_reached and not _short_on_purpose.get():
            self._warn_of_limit(result)
        monitor.n_evaluations = result.n_evaluations
        arrangement.restore(result.theta, theta)
        return replace(result, theta=theta)

    def _run_lbfgs(
        self,
        engine: Engine,
        objective: Objective,
        theta: Array,
        drawn: Iterator[Sequence[Batch]],
        n_batches: int,
        callback: Callback,
    ) -> Minimum:
        fun = partial(engine.value_and_gradient, objective, batches=next(drawn))
        if self.solver == "scipy-lbfgs":
            return run_scipy_lbfgs(
                fun, theta, max_iter=self.max_iter, tol=self.tol, callback=callback
            )
        return run_lbfgs(
            fun,
            theta,
            engine.pairs(theta, MEMORY),
            max_iter=self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            callback=callback,
        )

    def _run_steps(
        self,
        engine: Engine,
        objective: Objective,
        theta: Array,
        drawn: Iterator[Sequence[Batch]],
        n_batches: int,
        callback: Callback,
    ) -> Minimum:
        settings = {}
        if self.solver == "sgd":
            settings = {"momentum": self.momentum, "nesterovs_momentum": self.nesterovs_momentum}
        rule = engine.rule(self.solver, theta, **settings)

        def step(point: Array, rate: float) -> float:
            return engine.step(objective, point, next(drawn), rule, rate)

        full_batch = SOLVERS[self.solver].full_batch
        return run_steps(
            step,
            theta,
            n_batches=n_batches,
            n_epochs=self.max_iter,
            learning_rate_init=self.learning_rate_init,
            schedule="constant" if full_batch else self.learning_rate,
            warm_up=self.warm_up,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change if full_batch else 0,
            callback=callback,
        )

    def batches(
        self,
        arrangement: Arrangement,
        widths: Sequence[int],
        inputs: CSR | Planes,
        targets: CSR | Planes,
        random_state: np.random.Generator,
    ) -> Iterator[Batch]:
        """Yield batches without end, each epoch's drawn anew.

        Rows are in order of activity; each run of as many rows as batches is dealt out at random,
        one to a batch. Corruption and dropout do not depend on the batches.
        """
        n_rows = targets.shape[0]
        n_batches = self._n_batches(n_rows)
        n_runs = -(-n_rows // n_batches)
        in_order, _ = by_activity(pattern_of(targets))
        is_random = self.corruption or self.dropout
        seed = int(random_state.integers(2**63)) if is_random else 0
        corrupted, masks = inputs, None
        for epoch in itertools.count():
            dealt = np.tile(np.arange(n_batches), (n_runs, 1))
            batch_of = random_state.permuted(dealt, axis=1).reshape(-1)[:n_rows]
            draws = Draws(seed, epoch)
            if self.corruption:
                corrupted = corrupt(inputs, self.corruption, draws)
            for number in range(n_batches):
                rows = in_order[batch_of == number]
                if self.dropout:
                    masks = dropout_masks(rows, widths, self.dropout, draws, inputs.dtype)
                yield arrangement.batch(corrupted, targets, rows, masks)

    def _n_batches(self, n_rows: int) -> int:
        return math.ceil(n_rows / self.batch_size)

    def _circumstances(self, objective: Objective, targets: CSR | Planes) -> str:
        """Return what may have made a run diverge."""
        facts = [f"the largest target is {np.abs(targets.data).max():g}"]
        if not math.isnan(self.learning_rate_init):
            facts.insert(0, f"learning_rate_init={self.learning_rate_init:g}")
        weights = (name for name in objective.network.layout.slices if name.endswith(".weight"))
        free = [name for name in weights if not objective.penalties.get(name)]
        if free:
            facts.append(
                f"no penalty keeps {' and '.join(free)} from growing: raise regularization"
            )
        return f"Here {', '.join(facts)}."

    def _warn_of_limit(self, result: Minimum) -> None:
        last = ""
        if len(result.values) > 1:
            before, after = result.values[-2:]
            fall = (before - after) / abs(before)
            last = f"the last one lowered the objective by {fall:.1e} of itself, "
        warnings.warn(
            f"solver={self.solver!r} did not converge in max_iter={self.max_iter} iterations "
            f"({last}tol={self.tol:g}). The model can be used; for a lower objective raise "
            f"max_iter, or raise tol to accept this one.",
            ConvergenceWarning,
            stacklevel=6,
        )


def _in_blocks(
    arrangement: Arrangement, inputs: CSR | Planes, targets: CSR | Planes
) -> list[Batch]:
    """Return all rows, in order of activity, in batches."""
    pattern = pattern_of(targets)
    rows, _ = by_activity(pattern)
    blocks = row_blocks(np.diff(pattern.indptr)[rows], ENTRIES_PER_BLOCK)
    return [arrangement.batch(inputs, targets, rows[block], None) for block in blocks]


def _extremes(weights: Array, workers: Workers | None) -> tuple[float, float]:
    """Return the least and the greatest weight, NaN if one is."""
    extremes: list[tuple[float, float]] = []

    def look(block: Array) -> None:
        extremes.append((block.min(), block.max()))

    starts = range(0, len(weights), WEIGHTS_PER_TASK)
    run([partial(look, weights[i : i + WEIGHTS_PER_TASK]) for i in starts], workers)
    least, greatest = zip(*extremes, strict=True)
    return float(np.min(least)), float(np.max(greatest))
