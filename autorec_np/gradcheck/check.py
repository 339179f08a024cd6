"""Gradients checked by differences or the complex step: every block gets a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .differences import CENTRAL, FORWARD, SAFETY, Estimate, Line, noise_level
from .function import (
    Array,
    Block,
    Fun,
    Function,
    OutOfEvaluations,
    check_direction,
    check_theta,
    make_blocks,
    norm,
    one_blas_thread,
    parts_of,
    random_direction,
    rms,
)
from .probes import (
    AT_KINK,
    SETTLED,
    Demands,
    Outcome,
    Probe,
    ProbeMaker,
    float32_steps,
    line_scale,
)
from .report import BlockReport, GradientReport, Verdict

# the relative error that must be visible
RESOLUTION = {np.dtype(np.float64): 1e-5, np.dtype(np.float32): 1e-3}
_METHODS = {"central": CENTRAL, "forward": FORWARD, "complex": CENTRAL}
_EVALUATIONS = {"central": 6, "forward": 3, "complex": 9}  # of one probe, if it needs no sweep
_RELATIVE_STEP = 1e-20  # its square vanishes beside 1, and with it the truncation error
_OF_AN_ITERATION = 1e-6  # smaller relative errors may come from a solver that stopped early


@np.errstate(under="ignore")  # what underflows is 0
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
    directions: Any = None,
    resolution: float | None = None,
    tolerance: float | None = None,
    max_evaluations: int | None = None,
    full_sweep: bool = False,
    random_state: Any = 0,
) -> GradientReport:
    """Compare a hand-written gradient with numeric derivatives, block by block.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> (value, gradient)``: a real scalar and an array of theta's shape.
    theta : ndarray of float64 or float32, or a list, tuple or dict of such arrays
        The point. For float32 the numeric side is float64 if `fun` accepts that. Several arrays are
        the blocks; `fun` gets them and returns its gradient in the same form.
    blocks : mapping of str to slice, int array, mask or subscript, or layout, optional
        Named parts of theta: slices and integers count in flat theta, masks and subscripts such as
        ``np.s_[:, 0]`` may have its shape. Or an object with such ``slices`` and with ``shapes``.
        Default: one block, "theta". Entries that no block names are one more, "others".
    method : {"central", "complex", "forward"}
        The complex step is for analytic functions (error near 1e-15), one-sided differences for a
        theta at the border of the domain.
    value : callable, optional
        ``value(theta) -> value``, if that is cheaper than `fun`.
    pattern : callable, optional
        ``pattern(theta)`` -> array that names the linear piece of a piecewise function, such as the
        signs before a relu. Steps onto another piece are skipped.
    active_rows : mapping of str to bool array, optional
        By block: which of its rows data touch. Both kinds are sampled.
    n_directions, n_coordinates : int
        Per block. A block of at most `n_coordinates` entries is checked entry by entry.
    directions : sequence of arrays of theta's shape, optional
        Check along these alone, such as the tangents of a constraint, and no coordinates.
    resolution : float, optional
        The relative error that must be visible to pass. Default 1e-5, for a float32 gradient 1e-3.
    tolerance : float, optional
        Accept errors up to this part of the slopes, and say so: for values that a solver leaves.
        Default: an error beyond truncation and rounding fails however small it is.
    max_evaluations : int, optional
        Of `fun` and `value` together. What is left then is inconclusive.
    full_sweep : bool
        Sweep the step over nine decades everywhere, for pictures.
    random_state : int, Generator or None
        Draws directions and coordinates.

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

    Notes
    -----
    Some 12 evaluations prepare the check. Each direction and coordinate of a block costs 6 (3
    one-sided, 9 with the complex step), and up to 60 more if it has to be swept.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, _METHODS))}, got {method!r}.")
    _check_count("n_directions", n_directions, 1)
    _check_count("n_coordinates", n_coordinates, 0)
    if max_evaluations is not None:
        _check_count("max_evaluations", max_evaluations, 1)
    _check_fraction("resolution", resolution)
    _check_fraction("tolerance", tolerance)
    parts = parts_of(theta)
    if parts is not None:
        fun, value, pattern = (
            parts.gradient_of(fun),
            value and parts.of(value),
            pattern and parts.of(pattern),
        )
        theta, blocks = parts.flat(), parts if blocks is None else blocks
        if directions is not None:
            directions = [parts.join(d, "a direction") for d in directions]
    with one_blas_thread(np.size(theta)):
        limit = np.inf if max_evaluations is None else max_evaluations
        try:
            function = Function(fun, theta, value, tolerance=tolerance or 0.0, limit=limit)
            named = make_blocks(blocks, function.shape)
            rows = _check_active_rows(active_rows or {}, named)
            given = _check_directions(directions, function)
            if function.differs:
                undecided = {block.name: BlockReport(Verdict.INCONCLUSIVE) for block in named}
                note = f"{function.differs}; nothing else was checked."
                return GradientReport(undecided, note, function.evaluations)
            rng = np.random.default_rng(random_state)
            changes = function.gradient_changes(rng)
        except OutOfEvaluations:
            raise ValueError(
                f"max_evaluations={max_evaluations} does not suffice to prepare the check, which "
                f"takes some 12; a block takes {_EVALUATIONS[method]} for each direction and "
                f"coordinate."
            ) from None
        if resolution is None:
            coarse = function.gradient_eps > np.finfo(np.float64).eps
            resolution = RESOLUTION[np.dtype(np.float32 if coarse else np.float64)]
        demands = Demands(resolution, tolerance or 0.0)
        maker = ProbeMaker(function, _METHODS[method], rng, pattern, demands, changes)
        checker = BlockChecker(maker, method, full_sweep, given)
        reports = checker.check_all(named, n_directions, n_coordinates, rows)
    return GradientReport(reports, _function_note(function, named), function.evaluations)


class GradientError(AssertionError):
    """A gradient check that did not pass; ``error.report`` is the report, the message its table."""

    def __init__(self, report: GradientReport) -> None:
        self.report = report
        failed = [n for n, block in report.blocks.items() if block.verdict is not Verdict.PASS]
        super().__init__(f"the gradient check did not pass for {', '.join(failed)}\n{report}")


def assert_gradient(fun: Fun, theta: Any, blocks: Any = None, **options: Any) -> GradientReport:
    """Raise GradientError with the table unless every block passes `check_gradient`.

    Parameters
    ----------
    fun, theta, blocks, **options
        As for `check_gradient`.
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    report = check_gradient(fun, theta, blocks, **options)
    if not report.passed:
        raise GradientError(report)
    return report


def _check_count(name: str, value: Any, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}.")


def _check_fraction(name: str, value: Any) -> None:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value < np.inf):
        raise ValueError(
            f"{name} must be a relative error above 0, such as 1e-6, or None, got {value!r}."
        )


def _check_directions(directions: Any, function: Function) -> list[Array] | None:
    """A single direction may be given as it is."""
    if directions is None:
        return None
    single = np.shape(directions) == function.shape
    given = [check_direction(d, function) for d in ([directions] if single else directions)]
    if not given:
        raise ValueError("directions must hold at least one direction, got none; pass None.")
    return given


def _check_active_rows(active_rows: Mapping[str, Any], blocks: list[Block]) -> dict[str, Array]:
    sizes = {block.name: block.size for block in blocks}
    checked = {name: np.asarray(rows) for name, rows in active_rows.items()}
    for name, mask in checked.items():
        if name not in sizes:
            raise ValueError(f"active_rows names {name!r}, but the blocks are {', '.join(sizes)}.")
        if mask.dtype != bool or mask.ndim != 1 or not mask.size or sizes[name] % mask.size:
            raise ValueError(
                f"active_rows[{name!r}] must be a 1-d boolean mask with one entry per row of the "
                f"block (size {sizes[name]}), got dtype {mask.dtype} and shape {mask.shape}."
            )
    return checked


def _function_note(function: Function, blocks: Sequence[Block]) -> str:
    notes = []
    if function.eps > np.finfo(np.float64).eps:
        does = "refuses" if function.dtype == np.float32 else "rounds"
        who = "a part of fun" if function.in_part else "fun"
        notes.append(f"{who} {does} a float64 theta: differences were taken in float32")
    others = [block for block in blocks if block.others]
    if others:
        size, name = others[0].size, others[0].name
        notes.append(f"no block names {size} of the entries of theta: they are {name!r}")
    if function.warned:
        notes.append(f"fun warned at theta itself: {min(function.warned)}")
    if function.skipped:
        reasons = ", ".join(f"{n} {reason}" for reason, n in function.skipped.most_common())
        notes.append(f"skipped points: {reasons}")
    return "; ".join(notes)


@dataclass(frozen=True)
class Plan:
    directions: list[Probe]
    coordinates: list[Probe]
    complete: bool  # every entry is looked at by itself
    left_out: str = ""

    @property
    def probes(self) -> list[Probe]:
        return [*self.directions, *self.coordinates]


class BlockChecker:
    """`given` are the directions that the caller chose."""

    def __init__(
        self, maker: ProbeMaker, method: str, full_sweep: bool, given: list[Array] | None
    ) -> None:
        self.maker, self.method, self.full_sweep, self.given = maker, method, full_sweep, given

    def check_all(
        self, blocks: list[Block], n_directions: int, n_coordinates: int, rows: Mapping[str, Array]
    ) -> dict[str, BlockReport]:
        """The blocks share the evaluations that are left evenly."""
        function = self.maker.function
        limit = function.limit
        reports = {}
        for number, block in enumerate(blocks):
            share = (limit - function.evaluations) // (len(blocks) - number)
            function.limit = function.evaluations + share
            plan = self._plan(block, n_directions, n_coordinates, rows.get(block.name))
            reports[block.name] = self._check(block, plan)
        return reports

    def _plan(
        self, block: Block, n_directions: int, n_coordinates: int, active: Array | None
    ) -> Plan:
        function = self.maker.function
        if self.given is not None:
            parts = [(k, d[block.index]) for k, d in enumerate(self.given)]
            directions = [self.maker.along(block, d, given=k) for k, d in parts if d.any()]
            n_coordinates = 0
        else:
            n = 1 if block.size == 1 else n_directions
            directions = self.maker.directions(block, n)
        coordinates = self.maker.coordinates(block, self.maker.choose(block, n_coordinates, active))
        planned = len(directions), len(coordinates)
        affordable = (function.limit - function.evaluations) / _EVALUATIONS[self.method]
        if sum(planned) > affordable:
            directions = directions[: int(affordable)]
            coordinates = coordinates[: int(affordable) - len(directions)]
        kept = len(directions), len(coordinates)
        left_out = ""
        if kept != planned:
            left_out = (
                f"max_evaluations allowed {kept[0]} of {planned[0]} directions and {kept[1]} of "
                f"{planned[1]} coordinates"
            )
        return Plan(directions, coordinates, len(coordinates) == block.size, left_out)

    def _check(self, block: Block, plan: Plan) -> BlockReport:
        function = self.maker.function
        before = function.evaluations
        left_out = plan.left_out
        try:
            self._judge_all(block, plan)
        except OutOfEvaluations:
            left_out = left_out or "max_evaluations ended the search in this block"
        if not plan.directions:
            left_out = left_out or "no given direction enters this block"
        note = _block_note(block, plan, self.maker.demands.tolerance)
        evaluations = function.evaluations - before
        return _block_report(block, plan, evaluations, _joined(note, left_out))

    def _judge_all(self, block: Block, plan: Plan) -> None:
        directions, coordinates = plan.directions, plan.coordinates
        self._judge(directions, sweep_unresolved=True)
        self._look_closer(directions)
        unsettled = any(p.outcome not in SETTLED for p in directions)
        self._judge(coordinates, sweep_unresolved=unsettled and plan.complete)
        if self.method == "complex":
            judge_complex(plan.probes)
        if self.given is not None or any(p.outcome is Outcome.WRONG for p in coordinates):
            return
        if any(p.outcome is Outcome.WRONG for p in directions):
            coordinates.append(self._hunt(block))

    def _judge(self, probes: list[Probe], sweep_unresolved: bool) -> None:
        """Judge at the nominal step; sweep where that finds a fault or decides nothing.

        After the largest fault is confirmed, the others remain suspects.
        """
        noise = noise_level([r for p in probes for r in p.noise_residuals()])
        for probe in probes:
            probe.judge_base(noise)
        found = False
        for probe in sorted(probes, key=lambda probe: -probe.error):
            fault = probe.outcome is Outcome.SUSPECT
            if fault and found and not self.full_sweep:
                continue
            if self.full_sweep or fault or (sweep_unresolved and not probe.sharp):
                probe.judge_sweep()
            found = found or probe.outcome is Outcome.WRONG

    def _look_closer(self, directions: list[Probe]) -> None:
        probe = directions[-1] if directions else None
        if probe and probe.outcome is Outcome.RIGHT and probe.departs_at_small_steps():
            probe.judge_sweep()

    def _hunt(self, block: Block) -> Probe:
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
                halves.append((probe.error / norm(probe.line.direction), start, stop))
            _, low, high = max(halves)
        (probe,) = self.maker.coordinates(block, [low])
        self._judge([probe], sweep_unresolved=True)
        return probe


def _verdict(plan: Plan) -> Verdict:
    """One wrong probe fails a block; it passes if all directions, or all its entries, are right.

    Where steps dispute along a direction what a coordinate shows, neither is proven.
    """
    directions, probes = plan.directions, plan.probes
    outcomes = [p.outcome for p in probes]
    if Outcome.WRONG in outcomes:
        disputed = any(p.is_disputed() for p in directions)
        return Verdict.INCONCLUSIVE if disputed else Verdict.FAIL
    if Outcome.OFF_KINK in outcomes or any(p.is_doubted() for p in probes):
        return Verdict.INCONCLUSIVE
    all_settled = directions and all(p.outcome in SETTLED for p in directions)
    if all_settled or (plan.complete and all(p.outcome in SETTLED for p in plan.coordinates)):
        return Verdict.PASS
    return Verdict.INCONCLUSIVE


def _block_report(block: Block, plan: Plan, evaluations: int, note: str) -> BlockReport:
    verdict, kinks = _verdict(plan), _kinks(plan.probes)
    seen = [p for p in plan.probes if p.best is not None]
    if not seen:
        return BlockReport(verdict, evaluations=evaluations, kinks=kinks, note=note)
    judged = [p for p in seen if p.outcome not in (Outcome.UNRESOLVED, Outcome.SUSPECT)] or seen
    wrong = [p for p in judged if p.outcome is Outcome.WRONG]
    of_coordinates = [p for p in wrong or judged if p.coordinate is not None]
    shown = max(of_coordinates or wrong or judged, key=_severity)
    assert shown.best is not None
    if verdict is not Verdict.PASS and _is_of_an_iteration(shown):
        note = _joined(
            note,
            f"the two differ by {shown.relative_error:.1g} of their size: perhaps one comes from "
            f"an iteration that stops early (a solver, a fixed point, an inner optimizer); "
            f"tolerance={_OF_AN_ITERATION:g} would accept that",
        )
    return BlockReport(
        verdict=verdict,
        relative_error=shown.relative_error,
        worst_coordinate=_place(block, shown),
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


def _kinks(probes: Sequence[Probe]) -> int:
    # values that are rounded inside look like kinks, and are disputed
    if any(p.is_disputed() for p in probes):
        return sum(p.line.crossed for p in probes)
    return sum(p.kinks() for p in probes)


def _place(block: Block, probe: Probe) -> str | None:
    if probe.coordinate is not None:
        return block.coordinate(probe.coordinate)
    return None if probe.given is None else f"directions[{probe.given}]"


def _severity(probe: Probe) -> tuple[float, float]:
    assert probe.best is not None
    return (probe.error if probe.outcome is Outcome.WRONG else 0.0, probe.best.excess)


def _is_of_an_iteration(probe: Probe) -> bool:
    doubted = probe.outcome is Outcome.WRONG or probe.is_disputed()
    return doubted and 0 < probe.relative_error < _OF_AN_ITERATION


def _block_note(block: Block, plan: Plan, tolerance: float) -> str:
    directions = plan.directions
    probes = [*plan.coordinates, *directions]
    kinks = _kinks(probes)
    notes = [f"{kinks} steps skipped: across a kink or a sharp bend"] if kinks else []
    accepted = [p.accepted_error for p in probes if p.outcome is Outcome.ACCEPTED]
    if accepted:
        worst = f"errors up to {max(accepted):.2g} of the slopes"
        notes.append(f"accepted within tolerance={tolerance:g}: {worst}")
    at_kink = [p for p in probes if p.outcome in AT_KINK]
    if at_kink:
        low, high = sorted(at_kink[0].one_sided_slopes)
        where = _place(block, at_kink[0]) or "a direction"
        notes.append(
            f"theta lies on a kink or next to it ({len(at_kink)} probes; one-sided slopes "
            f"{low:.6g} and {high:.6g} along {where}): any value between is accepted"
        )
    outside = [p for p in at_kink if p.outcome is Outcome.OFF_KINK]
    if outside:
        notes.append(
            f"along {len(outside)} of them the gradient lies outside of the one-sided slopes: it "
            f"is no subgradient, or kinks of opposite signs meet; move theta by a little"
        )
    outcomes = [p.outcome for p in probes]
    unproven = [Outcome.UNRESOLVED]
    n_suspects = outcomes.count(Outcome.SUSPECT)
    if n_suspects and Outcome.WRONG not in outcomes:  # one proof is enough
        notes.append(f"{n_suspects} of {len(probes)} probes look wrong, without a proof")
        unproven.append(Outcome.SUSPECT)
    lost = [p for p in directions if p.outcome in unproven]
    if lost:
        why = ", ".join(sorted({p.obstacle() for p in lost}))
        if spacing := float32_steps(probes):
            steps = f"the values move in steps of {spacing:.3g}"
            why = f"{steps}, as float32 rounds: compute in float64"
        notes.append(f"{len(lost)} of {len(directions)} directions are not resolved ({why})")
    return "; ".join(notes)


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


class ComplexStepError(ValueError):
    """The function is not complex-safe; the message says in which way."""


def complex_slope(line: Line, theta: Array) -> float:
    h = _RELATIVE_STEP * line.scale
    point = theta.astype(np.complex128)
    point[line.index] += 1j * h * line.direction
    try:
        answer = np.asarray(line.function.complex_value(point))
    except OutOfEvaluations:
        raise
    except Exception as error:
        raise ComplexStepError(
            f"the function raised {type(error).__name__} at a complex theta: {error}. The complex "
            f"step needs a value made of analytic operations: pass value= if it is the gradient "
            f"that refuses, else use method='central'."
        ) from error
    if answer.ndim != 0 or answer.dtype.kind != "c":
        raise ComplexStepError(
            f"the function returned {answer.dtype} of shape {answer.shape} for a complex theta, "
            f"not a complex scalar; a cast, np.abs, np.vdot or .real drops the imaginary part. "
            f"Use method='central'."
        )
    numeric = float(answer.imag) / h
    if not np.isfinite(numeric):
        raise ComplexStepError(f"the complex step gave {numeric}; use method='central'.")
    return numeric


def judge_complex(probes: Sequence[Probe]) -> None:
    """Judge probes after their central differences have confirmed the complex step, whose noise is
    what one ulp of theta changes, pooled over the probes in units of their length.
    """
    judged = [probe for probe in probes if probe.outcome not in AT_KINK]
    lines = [probe.line for probe in judged]
    lengths = [norm(line.direction) for line in lines]
    slopes = [complex_slope(line, line.function.theta) for line in lines]
    for probe, slope in zip(judged, slopes, strict=True):
        error = slope - probe.line.analytic
        if probe.best is not None and abs(error - probe.best.error) > probe.best.budget:
            raise _not_analytic(slope, probe)
    changes = [_largest_change(line, slope) for line, slope in zip(lines, slopes, strict=True)]
    pooled = noise_level([c / n for c, n in zip(changes, lengths, strict=True)])
    for probe, slope, change, length in zip(judged, slopes, changes, lengths, strict=True):
        found = Estimate(
            step=_RELATIVE_STEP * probe.line.scale,
            error=slope - probe.line.analytic,
            truncation=0.0,
            roughness=0.0,
            noise=SAFETY * max(change, pooled * length),
            analytic_noise=probe.analytic_noise,
        )
        probe.settle(found)


def _largest_change(line: Line, slope: float) -> float:
    theta, eps = line.function.theta, float(np.finfo(np.float64).eps)
    moved = (complex_slope(line, theta * (1 + sign * eps)) for sign in (-1, 1))
    return max(abs(other - slope) for other in moved)


def _not_analytic(numeric: float, probe: Probe) -> ComplexStepError:
    assert probe.best is not None
    return ComplexStepError(
        f"the complex step gives {numeric:.9g}, a central difference {probe.numeric:.9g} with an "
        f"error budget of {probe.best.budget:.2g}: the function is not analytic; np.abs, np.vdot, "
        f".conj and comparisons are the usual reasons. Use method='central'."
    )


@np.errstate(under="ignore")  # what underflows is 0
def complex_step(fun: Fun, theta: Any, direction: Any = None, *, random_state: Any = 0) -> Any:
    """Return derivatives of an analytic function by the complex step.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> value`` or ``fun(theta) -> (value, gradient)``, of a complex128 theta too.
        The gradient is not looked at.
    theta : ndarray of float64, or a list, tuple or dict of such arrays
    direction : as theta, optional
        Return the derivative along it; default: the whole gradient, one evaluation per entry.
    random_state : int, Generator or None
        Draws the direction in which the gradient is confirmed.

    Returns
    -------
    float, or what theta is
        Exact to rounding.

    Raises
    ------
    ComplexStepError
        Where `fun` is not complex-safe: it raises, returns a real value, or disagrees with a
        central difference beyond its error budget.
    """
    parts = parts_of(theta)
    if parts is not None:
        if direction is not None:
            direction = parts.join(direction, "direction")
        found = complex_step(parts.of(fun), parts.flat(), direction, random_state=random_state)
        return found if direction is not None else parts.split(found)
    point = check_theta(theta).astype(np.float64)
    with one_blas_thread(point.size):
        function = Function(fun, point, gradient=False)
        if direction is None:
            for i, x in enumerate(function.theta):
                line = Line(function, np.array([i]), np.ones(1), abs(x) or 1.0)
                function.gradient[i] = complex_slope(line, function.theta)
            rng = np.random.default_rng(random_state)
            _confirm(function, random_direction(rng, point.size))
            return function.gradient.reshape(point.shape)
        along = check_direction(direction, function)
        unit = along / rms(along)
        line = Line(function, slice(None), unit, line_scale(function.theta, unit))
        slope = complex_slope(line, function.theta) * rms(along)
        function.gradient = along * (slope / float(along @ along))
        _confirm(function, along)
        return slope


def _confirm(function: Function, direction: Array) -> None:
    rng = np.random.default_rng(0)
    block = Block("theta", slice(None), function.theta.size)
    probe = ProbeMaker(function, CENTRAL, rng).along(block, direction)
    probe.judge_sweep()
    if probe.outcome in (Outcome.WRONG, Outcome.OFF_KINK):
        raise _not_analytic(probe.line.analytic, probe)
