"""One training run: where it starts, what damages its inputs, and the solver.

(seed, step, position) says what corruption and dropout hit, whatever threads, batches or part of a
matrix are at hand.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autorec_np._types import CSR, AnyMatrix, Array
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.kernels import with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.engine.engines import Arrangement, Batch, Engine, PlainEngine, TiledEngine
from autorec_np.engine.rows import (
    Made,
    Rated,
    Rows,
    column_counts,
    data_of,
    entries_of,
    numbers,
    pattern_of,
    row_blocks,
)
from autorec_np.engine.threads import Workers, run
from autorec_np.engine.tiled import by_activity
from autorec_np.training.checkpoint import Checkpoint
from autorec_np.training.solvers import (
    Callback,
    DivergenceError,
    Done,
    EpochMonitor,
    Iteration,
    Minimum,
    check_finite,
    run_lbfgs,
    run_scipy_lbfgs,
    run_steps,
)


def starting_theta(
    network: Network,
    targets: Rated,
    centered: bool,
    penalty: float,
    random_state: np.random.Generator,
    dtype: npt.DTypeLike = np.float64,
) -> Array:
    """Return a random theta whose outputs are about the mean of the targets.

    While weights are small, hidden units are about g(0). Where this is not 0, rated columns start
    from b = 0 with mean / (k g(0)) added to W: docs/decisions.md says why. b is the mean where
    g(0) = 0, W is V (tied), targets are `centered`, or the `penalty` of such a W is more than their
    squared deviations. A bounded output starts in its middle.
    """
    theta = network.layout.initialize(random_state, dtype)
    if ACTIVATIONS[network.output_activation].bounded:
        return theta
    total = sum(data.sum(dtype=np.float64) for data in data_of(targets))
    views, mean = network.layout.views(theta), total / targets.nnz
    views["decoder.bias"][...] = mean
    at_zero = ACTIVATIONS[network.activation].forward(np.zeros(1))[0]
    if centered or network.tied or at_zero == 0.0:
        return theta
    width = network.hidden_layer_sizes[-1]
    share = mean / (width * at_zero)
    rated = np.flatnonzero(column_counts(targets))
    cost = penalty / 2 * len(rated) * width * share**2
    if cost < sum(float(np.sum((data - mean) ** 2)) for data in data_of(targets)):
        views["decoder.weight"][rated] += share
        views["decoder.bias"][rated] = 0.0
    return theta


# docs/decisions.md, "The automatic penalty".
ENCODER_FACTOR = 36.0
DECODER_FACTOR = 12.0
DETECTABLE = 16.0  # root of ratings at which one says as much as the baseline


def automatic_penalties(network: Network, matrix: CSR, corruption: float = 0.0) -> dict[str, float]:
    """Return lambda of (2) for each weight block, in canonical units (`units.canonical`).

    lambda = factor * (n_row n_column)^(1/4), with factor 36 (1 - corruption)^2 for the encoder
    weight, so that V / (1 - corruption), which acts on the inputs as they were, has factor 36; and
    12 for others. n_row and n_column are :func:`typical_count` of rows and columns of `matrix`
    (n_rows, n_columns), the training ratings, of which only the pattern is read.
    """
    unit = typical_root(matrix)
    names = [*network.layout.shapes, *network.layout.aliases]
    penalties = {name: unit * DECODER_FACTOR for name in names if name.endswith(".weight")}
    return penalties | {"encoder.weight": unit * ENCODER_FACTOR * (1.0 - corruption) ** 2}


def automatic_shrinkage(matrix: CSR) -> float:
    """Return c = 2^16 / (n_row n_column) of `reliability`."""
    return (DETECTABLE / typical_root(matrix)) ** 4


def reliability(counts: Array, shrinkage: float) -> Array:
    """Return n / (n + c), (42): how much of its output a column with n ratings keeps."""
    return counts / (counts + shrinkage) if shrinkage else np.ones(np.shape(counts))


def typical_root(matrix: CSR) -> float:
    """See `automatic_penalties`."""
    of_rows, of_columns = np.diff(matrix.indptr), column_counts(matrix)
    return float((typical_count(of_rows) * typical_count(of_columns)) ** 0.25)


def typical_count(counts: Array) -> float:
    """Return sum n^2 / sum n, the mean count of ratings."""
    counts = counts.astype(np.float64)
    return float(counts @ counts / counts.sum())


INPUT = 0  # the layer that `corrupt` damages; hidden ones follow
ENTRIES_AT_ONCE = 32_768  # that are looked up at once


class Draws(NamedTuple):
    """Random numbers by position: each layer of each step has its own stream."""

    seed: int
    step: int

    def at(self, positions: Array, layer: int = INPUT) -> Array:
        """Return uniform uint64 at positions (n,)."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(self.step, layer))
        return splitmix64(sequence.generate_state(1, np.uint64)[0], positions)

    def keeps(self, positions: Array, probability: float, layer: int = INPUT) -> Array:
        """Return (n,) bool: False, with the probability, where hit."""
        return np.asarray(self.at(positions, layer) >= np.uint64(probability * 2.0**64))


def splitmix64(start: np.uint64, positions: Array) -> Array:
    """Return the numbers of SplitMix64 (Steele, Lea and Flood, 2014) at positions (n,)."""
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

    The expectation of V^T r stays (masking noise of Vincent et al., 2010, in inverted form), as
    does the pattern; all planes of a pair are hit, or none. `entries` are the places of the values
    in the whole matrix; None: this is it.
    """
    kept = np.empty(inputs.nnz, bool)
    for first in range(0, inputs.nnz, ENTRIES_AT_ONCE):
        block = slice(first, min(first + ENTRIES_AT_ONCE, inputs.nnz))
        positions = np.arange(block.start, block.stop) if entries is None else entries[block]
        kept[block] = draws.keeps(positions, probability)
    return with_data(inputs, inputs.data * kept / inputs.dtype.type(1.0 - probability))


class Corrupted(Rows):
    """`corrupt` of the whole, for any of its rows."""

    def __init__(self, inputs: Rated, probability: float, draws: Draws) -> None:
        self.inputs, self.probability, self.draws = inputs, probability, draws
        super().__init__(pattern_of(inputs), self.corrupted)

    def corrupted(self, rows: Array | slice) -> Made:
        entries = entries_of(self.pattern, numbers(rows))
        return corrupt(self.inputs[rows], self.probability, self.draws, entries)


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


BATCHES, BATCH_SIZES = 8, (64, 512)  # an eighth of the rows, within these
COLUMNS_PER_RATING = 4  # in a batch at most


def automatic_batch_size(matrix: CSR) -> int:
    """Return how many rows of a matrix (n_rows, n_columns) share a step.

    A step moves the weights of all columns, which a few ratings are not worth: of nearly empty
    rows, more share one, up to an eighth.
    """
    (n_rows, n_columns), (least, most) = matrix.shape, BATCH_SIZES
    worth_a_step = -(-n_rows * n_columns // (COLUMNS_PER_RATING * max(matrix.nnz, 1)))
    return max(least, min(-(-n_rows // BATCHES), max(most, worth_a_step)))


ENGINES = ("tiled", "plain")
ENTRIES_PER_BLOCK = 2**20  # of a full batch, at once
ENTRIES_PLANNED = 2**22  # of a full batch, whose plans are kept
MEMORY = 10  # of L-BFGS
WEIGHTS_PER_TASK = 2**18


class ConvergenceWarning(UserWarning):
    """A full-batch solver reached its limit of iterations."""


class InterruptedWarning(UserWarning):
    """Ctrl-C ended a training; the model has what was learned until then."""


@contextmanager
def interrupts_end_all() -> Iterator[None]:
    """Let Ctrl-C end several trainings in a row: KeyboardInterrupt, not `InterruptedWarning`.

    The model keeps what it has learned.
    """
    with _set(_interrupts_end_all):
        yield


def warn_of_interrupt(n_iter: int, validation_curve: Sequence[float], stacklevel: int) -> None:
    """Raise KeyboardInterrupt instead within `interrupts_end_all`."""
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


_engine_instead: ContextVar[Callable[[Engine], Engine] | None]
_engine_instead = ContextVar("_engine_instead", default=None)


@contextmanager
def computed_by(engine_for: Callable[[Engine], Engine]) -> Iterator[None]:
    """Let trainings have another engine, made for their own."""
    with _set(_engine_instead, engine_for):
        yield


@contextmanager
def _set(switch: ContextVar[Any], value: Any = True) -> Iterator[None]:
    before = switch.set(value)
    try:
        yield
    finally:
        switch.reset(before)


@dataclass(frozen=True)
class SolverDefaults:
    """What None means; `full_batch` solvers see all rows, without corruption or dropout."""

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
        inputs: Rated,
        targets: Rated,
        random_state: np.random.Generator,
        monitor: EpochMonitor,
        workers: Workers | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Minimum:
        """Minimize the objective over all rows; see `solvers.Minimum`.

        `theta`, the start, holds the last good weights after each epoch, whatever ends the run.
        `inputs` and `targets` have one pattern. No result depends on the `workers`. DivergenceError
        where the objective or a weight is not finite, ConvergenceWarning where a full-batch solver
        ends at its limit of iterations. A run goes on from the `checkpoint`, and is kept in it.
        """
        full_batch = SOLVERS[self.solver].full_batch
        engine: Engine = TiledEngine(workers) if self.engine == "tiled" else PlainEngine()
        engine_instead = _engine_instead.get()
        if engine_instead is not None:
            engine = engine_instead(engine)
        n_batches = 1 if full_batch else self._n_batches(targets.shape[0])
        arrangement = engine.arrange(objective.network, pattern_of(targets), n_batches)
        working = arrangement.arranged(theta)
        objective = arrangement.objective(objective)
        last_good = theta.view()
        last_good.flags.writeable = False
        memory = self._memory(engine, working)
        done = Done() if checkpoint is None else checkpoint.restore(theta, memory, monitor)
        n_done, ended = len(done.values), done.converged or monitor.is_exhausted
        if n_done > self.max_iter:
            raise ValueError(
                f"max_iter={self.max_iter} is below the {n_done} epochs or iterations of the "
                f"checkpoint; raise it."
            )
        is_finished = ended or n_done == self.max_iter
        if n_done and (is_finished or memory is not None):
            working = arrangement.arranged(theta)

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
            stops = monitor(replace(iteration, theta=last_good))
            if checkpoint is not None and checkpoint.is_due(iteration.number):
                so_far = Done(done.values, iteration.n_evaluations)
                checkpoint.save(theta, memory, so_far, monitor)
            return stops

        try:
            drawn: Iterator[Sequence[Batch]] = iter(())
            if is_finished:
                result = Minimum(working, done.values, done.n_evaluations, ended, not ended, "")
            elif full_batch:
                drawn = itertools.repeat(InBlocks(arrangement, inputs, targets))
            else:
                widths = objective.network.hidden_layer_sizes
                batches = self.batches(arrangement, widths, inputs, targets, random_state, n_done)
                drawn = map(_alone, batches)  # keeps none
            if not is_finished:
                result = self._minimize(
                    engine, objective, working, memory, done, drawn, n_batches, report
                )
        except DivergenceError as error:
            error.epoch = monitor.n_complete
            error.args = (f"{error} {self._circumstances(objective, targets)}",)
            raise
        monitor.n_evaluations = result.n_evaluations
        arrangement.restore(result.theta, theta)
        if checkpoint is not None:
            at_end = Done(result.values, result.n_evaluations, result.converged)
            checkpoint.save(theta, memory, at_end, monitor)
        if full_batch and result.limit_reached and not _short_on_purpose.get():
            self._warn_of_limit(result)
        return replace(result, theta=theta)

    def _memory(self, engine: Engine, theta: Array) -> Any:
        """Return what the solver remembers from step to step, at a start."""
        if self.solver == "scipy-lbfgs":
            return None
        if self.solver == "lbfgs":
            return engine.pairs(theta, MEMORY)
        settings = {}
        if self.solver == "sgd":
            settings = {"momentum": self.momentum, "nesterovs_momentum": self.nesterovs_momentum}
        return engine.rule(self.solver, theta, **settings)

    def _minimize(
        self,
        engine: Engine,
        objective: Objective,
        theta: Array,
        memory: Any,
        done: Done,
        drawn: Iterator[Sequence[Batch]],
        n_batches: int,
        callback: Callback,
    ) -> Minimum:
        if "lbfgs" in self.solver:
            fun = partial(engine.value_and_gradient, objective, batches=next(drawn))
            if self.solver == "scipy-lbfgs":
                return run_scipy_lbfgs(
                    fun, theta, max_iter=self.max_iter, tol=self.tol, callback=callback, done=done
                )
            return run_lbfgs(
                fun,
                theta,
                memory,
                max_iter=self.max_iter,
                tol=self.tol,
                n_iter_no_change=self.n_iter_no_change,
                callback=callback,
                done=done,
            )

        def step(point: Array, rate: float) -> float:
            return engine.step(objective, point, next(drawn), memory, rate)

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
            done=done,
        )

    def batches(
        self,
        arrangement: Arrangement,
        widths: Sequence[int],
        inputs: Rated,
        targets: Rated,
        random_state: np.random.Generator,
        n_done: int = 0,
    ) -> Iterator[Batch]:
        """Yield batches without end, after those of `n_done` epochs.

        Corruption and dropout do not depend on them.

        Each run of as many rows, in order of activity, as batches is dealt out at random.
        """
        n_rows = targets.shape[0]
        n_batches = self._n_batches(n_rows)
        n_runs = -(-n_rows // n_batches)
        in_order, _ = by_activity(pattern_of(targets))
        seed = int(random_state.integers(2**63)) if self.corruption or self.dropout else 0
        read, masks = inputs, None
        for epoch in itertools.count():
            dealt = np.tile(np.arange(n_batches), (n_runs, 1))
            batch_of = random_state.permuted(dealt, axis=1).reshape(-1)[:n_rows]
            if epoch < n_done:
                continue
            draws = Draws(seed, epoch)
            if self.corruption:
                read = Corrupted(inputs, self.corruption, draws)
            order = in_order[np.argsort(batch_of, kind="stable")]
            ends = np.cumsum(np.bincount(batch_of, minlength=n_batches))[:-1]
            for rows in np.split(order, ends):
                if self.dropout:
                    masks = dropout_masks(rows, widths, self.dropout, draws, inputs.dtype)
                yield arrangement.batch(read, targets, rows, masks)

    def _n_batches(self, n_rows: int) -> int:
        return math.ceil(n_rows / self.batch_size)

    def _circumstances(self, objective: Objective, targets: Rated) -> str:
        largest = max(np.abs(data).max() for data in data_of(targets))
        facts = [f"the largest target is {largest:g}"]
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


def _alone(batch: Batch) -> list[Batch]:
    return [batch]


class InBlocks(Sequence[Batch]):
    """A full batch in blocks of rows; many are planned anew whenever they are asked for."""

    def __init__(self, arrangement: Arrangement, inputs: Rated, targets: Rated) -> None:
        pattern = pattern_of(targets)
        rows, _ = by_activity(pattern)
        blocks = row_blocks(np.diff(pattern.indptr)[rows], ENTRIES_PER_BLOCK)
        self.blocks = [rows[block] for block in blocks]
        self.arrangement, self.matrices = arrangement, (inputs, targets)
        self.are_kept, self.kept = pattern.nnz <= ENTRIES_PLANNED, dict[int, Batch]()

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: Any) -> Any:
        batch = self.kept.get(number)
        if batch is None:
            batch = self.arrangement.batch(*self.matrices, self.blocks[number], None)
            if self.are_kept:
                self.kept[number] = batch
        return batch


def _extremes(weights: Array, workers: Workers | None) -> tuple[float, float]:
    """Return the least and the greatest weight, NaN if one is."""
    extremes: list[tuple[float, float]] = []

    def look(block: Array) -> None:
        extremes.append((block.min(), block.max()))

    starts = range(0, len(weights), WEIGHTS_PER_TASK)
    run([partial(look, weights[i : i + WEIGHTS_PER_TASK]) for i in starts], workers)
    return float(np.min(extremes)), float(np.max(extremes))
