"""The check of a gradient: every block gets a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .complex_difference import judge_complex
from .differences import CENTRAL, FORWARD, noise_level
from .function import Array, Block, Fun, Function, make_blocks, norm, random_direction
from .probes import Outcome, Probe, ProbeMaker
from .report import BlockReport, GradientReport, Verdict

# An error of this relative size must be visible, or the verdict is "inconclusive".
RESOLUTION = {np.dtype(np.float64): 1e-5, np.dtype(np.float32): 1e-3}
_METHODS = {"central": CENTRAL, "forward": FORWARD, "complex": CENTRAL}


def check_gradient(
    fun: Fun,
    theta: Any,
    blocks: Any = None,
    *,
    method: str = "central",
    value: Fun | None = None,
    pattern: Callable[[Any], Any] | None = None,
    active_rows: Mapping[str, Any] | None = None,
    n_directions: int = 4,
    n_coordinates: int = 12,
    resolution: float | None = None,
    full_sweep: bool = False,
    random_state: Any = 0,
) -> GradientReport:
    """Compare a hand-written gradient with numeric derivatives, block by block.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> (value, gradient)``: a real scalar and an array of theta's shape.
    theta : ndarray of float64 or float32
        The point. For float32 the numeric side calls `fun` with a float64 theta if it accepts one.
    blocks : mapping of str to slice or int array, or layout, optional
        Named parts of (flat) theta, or an object with such ``slices`` and with ``shapes``, which
        make the coordinates readable. Default: one block, "theta".
    method : {"central", "complex", "forward"}
        Central differences; the complex step (analytic functions only, error near 1e-15); or
        one-sided differences, for a theta at the border of the domain.
    value : callable, optional
        ``value(theta) -> value``, if that is cheaper than `fun`.
    pattern : callable, optional
        ``pattern(theta)`` -> array that names the linear piece of a piecewise function, such as the
        signs of the pre-activations of a relu. Steps onto another piece are then skipped.
    active_rows : mapping of str to bool array, optional
        By block: which of its rows are touched by data. Both kinds are sampled.
    n_directions, n_coordinates : int
        Directions and single coordinates per block. A block of at most `n_coordinates` entries is
        checked entry by entry.
    resolution : float, optional
        The relative error that must be visible for the verdict "pass". Default 1e-5, for a float32
        gradient 1e-3.
    full_sweep : bool
        Sweep the step over nine decades everywhere (default: only where the nominal step does not
        settle the matter); for pictures of error against step.
    random_state : int, Generator or None
        Draws directions and coordinates; the default repeats itself.

    Returns
    -------
    GradientReport
        ``report.passed``, ``report.blocks[name].verdict``, ``str(report)``, ``report.to_dict()``.

    Raises
    ------
    TypeError, ValueError, IndexError
        For a theta, blocks or an answer of `fun` that cannot be checked.
    ComplexStepError
        With ``method="complex"`` where `fun` is not complex-safe.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, _METHODS))}, got {method!r}.")
    _check_count("n_directions", n_directions, 1)
    _check_count("n_coordinates", n_coordinates, 0)
    function = Function(fun, theta, value)
    named = make_blocks(blocks, function.shape)
    rows = _check_active_rows(active_rows or {}, named)
    if function.differs:
        note = (
            f"two evaluations at the same theta differ ({function.differs}): freeze whatever is "
            f"random (dropout masks, sampling) before checking; nothing else was checked."
        )
        undecided = {block.name: BlockReport(Verdict.INCONCLUSIVE) for block in named}
        return GradientReport(undecided, note, function.evaluations)
    if resolution is None:
        coarse = function.gradient_eps > np.finfo(np.float64).eps
        resolution = RESOLUTION[np.dtype(np.float32 if coarse else np.float64)]
    rng = np.random.default_rng(random_state)
    changes = function.gradient_changes(rng)
    maker = ProbeMaker(function, _METHODS[method], rng, pattern, resolution, changes)
    checker = BlockChecker(maker, complex_step=method == "complex", full_sweep=full_sweep)
    reports = {
        block.name: checker.check(block, n_directions, n_coordinates, rows.get(block.name))
        for block in named
    }
    return GradientReport(reports, _function_note(function), function.evaluations)


class GradientError(AssertionError):
    """A gradient check that did not pass; ``error.report`` is the report, the message its table."""

    def __init__(self, report: GradientReport) -> None:
        self.report = report
        failed = [
            name for name, block in report.blocks.items() if block.verdict is not Verdict.PASS
        ]
        super().__init__(f"the gradient check did not pass for {', '.join(failed)}\n{report}")


def assert_gradient(fun: Fun, theta: Any, blocks: Any = None, **options: Any) -> GradientReport:
    """Raise GradientError with the table unless every block passes `check_gradient`.

    Parameters
    ----------
    fun, theta, blocks, **options
        As for `check_gradient`.

    Returns
    -------
    GradientReport
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    report = check_gradient(fun, theta, blocks, **options)
    if not report.passed:
        raise GradientError(report)
    return report


def _check_count(name: str, value: Any, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}.")


def _check_active_rows(active_rows: Mapping[str, Any], blocks: list[Block]) -> dict[str, Array]:
    checked = {}
    by_name = {block.name: block for block in blocks}
    for name, rows in active_rows.items():
        if name not in by_name:
            raise ValueError(
                f"active_rows names {name!r}, but the blocks are {', '.join(by_name)}."
            )
        mask = np.asarray(rows)
        block = by_name[name]
        if mask.dtype != bool or mask.ndim != 1 or not mask.size or block.size % mask.size:
            raise ValueError(
                f"active_rows[{name!r}] must be a 1-d boolean mask with one entry per row of the "
                f"block (size {block.size}), got dtype {mask.dtype} and shape {mask.shape}."
            )
        checked[name] = mask
    return checked


def _function_note(function: Function) -> str:
    notes = []
    if function.eps > np.finfo(np.float64).eps:
        does = "refuses" if function.dtype == np.float32 else "rounds"
        notes.append(f"fun {does} a float64 theta: differences were taken in float32")
    if function.warned:
        first = min(text for _, text in function.warned)
        notes.append(f"fun warned at theta itself: {first}")
    if function.skipped:
        reasons = ", ".join(f"{n} {reason}" for reason, n in function.skipped.most_common())
        notes.append(f"skipped points: {reasons}")
    return "; ".join(notes)


class BlockChecker:
    """Judges one block after another."""

    def __init__(self, maker: ProbeMaker, complex_step: bool, full_sweep: bool) -> None:
        self.maker, self.complex_step, self.full_sweep = maker, complex_step, full_sweep

    def check(
        self, block: Block, n_directions: int, n_coordinates: int, active: Array | None
    ) -> BlockReport:
        """Return the report of one block."""
        function = self.maker.function
        before = function.evaluations
        directions = self.maker.directions(block, n_directions)
        chosen = self.maker.choose(block, n_coordinates, active)
        coordinates = self.maker.coordinates(block, chosen)
        self._judge(directions, sweep_unresolved=True)
        unsettled = any(p.outcome is not Outcome.RIGHT for p in directions)
        self._judge(coordinates, sweep_unresolved=unsettled and block.size <= n_coordinates)
        if self.complex_step:
            judge_complex([*directions, *coordinates])
        if any(p.outcome is Outcome.WRONG for p in directions) and not any(
            p.outcome is Outcome.WRONG for p in coordinates
        ):
            coordinates.append(self._hunt(block))
        verdict = _verdict(directions, coordinates, complete=block.size <= n_coordinates)
        evaluations = function.evaluations - before
        kinks = sum(p.kinks() for p in [*directions, *coordinates])
        return _block_report(block, verdict, directions, coordinates, evaluations, kinks)

    def _judge(self, probes: list[Probe], sweep_unresolved: bool) -> None:
        """Judge at the nominal step; sweep where that finds a fault or decides nothing.

        The largest fault is confirmed first; after one is, the others remain suspects.
        """
        noise = noise_level([r for p in probes for r in p.noise_residuals()])
        for probe in probes:
            probe.judge_base(noise)
        found = False
        for probe in sorted(probes, key=lambda probe: -probe.error):
            if probe.outcome is Outcome.WRONG and found and not self.full_sweep:
                probe.suspect()
                continue
            undecided = sweep_unresolved and not probe.sharp
            if self.full_sweep or probe.outcome is Outcome.WRONG or undecided:
                probe.judge_sweep()
            found = found or probe.outcome is Outcome.WRONG

    def _hunt(self, block: Block) -> Probe:
        """Find the coordinate of a fault that only directions have seen, by bisection."""
        low, high = 0, block.size
        rng = self.maker.rng
        while high - low > 1:
            middle = (low + high) // 2
            halves = []
            for start, stop in ((low, middle), (middle, high)):
                direction = np.zeros(block.size)
                direction[start:stop] = random_direction(rng, stop - start)
                probe = self.maker.along(block, direction)
                probe.judge_base(0.0)
                size = norm(probe.line.direction)
                halves.append((probe.error / size, start, stop))
            _, low, high = max(halves)
        (probe,) = self.maker.coordinates(block, [low])
        self._judge([probe], sweep_unresolved=True)
        return probe


def _verdict(directions: list[Probe], coordinates: list[Probe], *, complete: bool) -> Verdict:
    """One wrong probe fails a block; it passes if all directions, or all its entries, are right."""
    outcomes = [p.outcome for p in [*directions, *coordinates]]
    if Outcome.WRONG in outcomes:
        return Verdict.FAIL
    settled = (Outcome.RIGHT, Outcome.KINK)
    if all(p.outcome in settled for p in directions) and Outcome.OFF_KINK not in outcomes:
        return Verdict.PASS
    if complete and coordinates and all(p.outcome in settled for p in coordinates):
        return Verdict.PASS
    return Verdict.INCONCLUSIVE


def _block_report(
    block: Block,
    verdict: Verdict,
    directions: list[Probe],
    coordinates: list[Probe],
    evaluations: int,
    kinks: int,
) -> BlockReport:
    seen = [p for p in [*directions, *coordinates] if p.best is not None]
    note = _block_note(block, directions, coordinates, kinks)
    if not seen:
        return BlockReport(verdict, evaluations=evaluations, kinks=kinks, note=note)
    judged = [p for p in seen if p.outcome not in (Outcome.UNRESOLVED, Outcome.SUSPECT)] or seen
    wrong = [p for p in judged if p.outcome is Outcome.WRONG]
    of_coordinates = [p for p in wrong or judged if p.coordinate is not None]
    shown = max(of_coordinates or wrong or judged, key=_severity)
    assert shown.best is not None
    where = None if shown.coordinate is None else block.coordinate(shown.coordinate)
    return BlockReport(
        verdict=verdict,
        relative_error=max(p.relative_error for p in judged),
        worst_coordinate=where,
        analytic=shown.line.analytic,
        numeric=shown.numeric,
        step=shown.best.step,
        budget=shown.best.budget,
        noise_floor=shown.best.noise,
        evaluations=evaluations,
        kinks=kinks,
        note=note,
        curve=shown.curve(),
    )


def _severity(probe: Probe) -> tuple[float, float]:
    assert probe.best is not None
    return (probe.error if probe.outcome is Outcome.WRONG else 0.0, probe.best.excess)


def _block_note(block: Block, directions: list[Probe], coordinates: list[Probe], kinks: int) -> str:
    notes = [f"{kinks} steps skipped: across a kink or a sharp bend"] if kinks else []
    at_kink = [
        p for p in [*coordinates, *directions] if p.outcome in (Outcome.KINK, Outcome.OFF_KINK)
    ]
    if at_kink:
        low, high = sorted(at_kink[0].one_sided_slopes)
        i = at_kink[0].coordinate
        notes.append(
            f"theta lies on a kink or next to it ({len(at_kink)} probes; one-sided slopes "
            f"{low:.6g} and {high:.6g} along {'a direction' if i is None else block.coordinate(i)}"
            f"): any value between is accepted"
        )
    lost = [p for p in directions if p.outcome is Outcome.UNRESOLVED]
    if lost:
        why = ", ".join(sorted({p.obstacle() for p in lost}))
        notes.append(f"{len(lost)} of {len(directions)} directions are not resolved ({why})")
    return "; ".join(notes)
