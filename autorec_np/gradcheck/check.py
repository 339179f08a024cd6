"""Gradients checked block by block, by differences or the complex step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .differences import CENTRAL, FORWARD, SAFETY, UNSEEN, Estimate, Line, noise_level
from .function import (
    Array,
    Block,
    Fun,
    Function,
    OutOfEvaluations,
    check_direction,
    check_theta,
    eps_of,
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

# and the evaluations of a probe that needs no sweep
_METHODS = {"central": (CENTRAL, 6), "forward": (FORWARD, 3), "complex": (CENTRAL, 9)}
_RELATIVE_STEP = 1e-20  # its square, the truncation error, vanishes beside 1
_OF_AN_ITERATION = 1e-6  # smaller errors may be of a solver that stopped early


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
        ``fun(theta) -> (value, gradient)``: a real scalar and theta's shape.
    theta : ndarray of float64 or float32, or a list, tuple or dict of such arrays
        For float32 the numeric side is float64 if `fun` accepts that. Several arrays are the
        blocks, and the form of the gradient.
    blocks : mapping of str to slice, int array, mask or subscript, or layout, optional
        Slices and integers count in flat theta, masks and subscripts such as ``np.s_[:, 0]`` may
        have its shape; a layout has ``slices`` and ``shapes``. Entries that no block names are one
        more, "others". Default: one block, "theta".
    method : {"central", "complex", "forward"}
        "complex" for analytic functions, "forward" at the border of the domain.
    value : callable, optional
        ``value(theta) -> value``, if cheaper than `fun`.
    pattern : callable, optional
        ``pattern(theta)`` -> array that names the linear piece, such as the signs before a relu.
        Steps onto others are skipped.
    active_rows : mapping of str to bool array, optional
        By block: which of its rows have data. Both kinds are sampled.
    n_directions, n_coordinates : int
        Per block. At most `n_coordinates` entries are all checked.
    directions : sequence of arrays of theta's shape, optional
        Along these alone, such as the tangents of a constraint.
    resolution : float, optional
        The relative error that must be visible to pass. Default 1e-5, for a float32 gradient 1e-3.
    tolerance : float, optional
        Accept errors up to this part of the slopes, as a solver leaves them. Default: none.
    max_evaluations : int, optional
        Of `fun` and `value`; what is left then is inconclusive.
    full_sweep : bool
        For pictures.
    random_state : int, Generator or None

    Returns
    -------
    GradientReport
        ``report.passed``, ``report.blocks[name].verdict``, ``str(report)``, ``report.to_dict()``.

    Raises
    ------
    TypeError, ValueError, IndexError
        A theta, blocks or an answer of `fun` cannot be checked.
    ComplexStepError
        `fun` is not complex-safe.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, _METHODS))}, got {method!r}.")
    _check_count("n_directions", n_directions, 1)
    _check_count("n_coordinates", n_coordinates, 0)
    if max_evaluations is not None:
        _check_count("max_evaluations", max_evaluations, 1)
    _check_fraction("resolution", resolution)
    _check_fraction("tolerance", tolerance)
    tolerance = tolerance or 0.0
    parts = parts_of(theta)
    if parts is not None:
        fun = parts.gradient_of(fun)
        value, pattern = value and parts.of(value), pattern and parts.of(pattern)
        theta, blocks = parts.flat(), parts if blocks is None else blocks
        if directions is not None:
            directions = [parts.join(d, "a direction") for d in directions]
    with one_blas_thread(np.size(theta)):
        try:
            limit = max_evaluations or np.inf
            function = Function(fun, theta, value, tolerance=tolerance, limit=limit)
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
                f"takes some 12."
            ) from None
        if resolution is None:
            resolution = 1e-3 if function.gradient_eps > eps_of(np.float64) else 1e-5
        demands = Demands(resolution, tolerance)
        maker = ProbeMaker(function, _METHODS[method][0], rng, pattern, demands, changes)
        checker = BlockChecker(maker, method, full_sweep, given, n_directions, n_coordinates, rows)
        reports = checker.check_all(named)
    return GradientReport(reports, _function_note(function, named), function.evaluations)


class GradientError(AssertionError):
    """A check that did not pass; ``error.report`` is the report, the message its table."""

    def __init__(self, report: GradientReport) -> None:
        self.report = report
        failed = [n for n, block in report.blocks.items() if block.verdict is not Verdict.PASS]
        super().__init__(f"the gradient check did not pass for {', '.join(failed)}\n{report}")


def assert_gradient(fun: Fun, theta: Any, blocks: Any = None, **options: Any) -> GradientReport:
    """Call `check_gradient`; raise GradientError with the table unless every block passes."""
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
        raise ValueError(f"{name} must be a relative error above 0 or None, got {value!r}.")


def _check_directions(directions: Any, function: Function) -> list[Array] | None:
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
                f"active_rows[{name!r}] must be a boolean mask with one entry per row of the "
                f"block (size {sizes[name]}), got {mask.dtype} of shape {mask.shape}."
            )
    return checked


def _function_note(function: Function, blocks: Sequence[Block]) -> str:
    notes = []
    if function.eps > eps_of(np.float64):
        does = "refuses" if function.dtype == np.float32 else "rounds"
        who = "a part of fun" if function.in_part else "fun"
        notes.append(f"{who} {does} a float64 theta: differences were taken in float32")
    for b in blocks:
        if b.others:
            notes.append(f"no block names {b.size} of the entries of theta: they are {b.name!r}")
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
        return [*self.coordinates, *self.directions]


@dataclass(frozen=True)
class BlockChecker:
    maker: ProbeMaker
    method: str
    full_sweep: bool
    given: list[Array] | None  # directions that the caller chose
    n_directions: int
    n_coordinates: int
    active_rows: Mapping[str, Array]

    def check_all(self, blocks: list[Block]) -> dict[str, BlockReport]:
        function = self.maker.function
        limit = function.limit
        reports = {}
        for number, block in enumerate(blocks):
            share = (limit - function.evaluations) // (len(blocks) - number)
            function.limit = function.evaluations + share
            reports[block.name] = self._check(block, self._plan(block))
        return reports

    def _plan(self, block: Block) -> Plan:
        function, maker = self.maker.function, self.maker
        if self.given is not None:
            parts = [(k, d[block.index]) for k, d in enumerate(self.given)]
            directions = [maker.along(block, d, given=k) for k, d in parts if d.any()]
            coordinates = []
        else:
            directions = maker.directions(block, 1 if block.size == 1 else self.n_directions)
            active = self.active_rows.get(block.name)
            chosen = maker.choose(block, self.n_coordinates, active)
            coordinates = maker.coordinates(block, chosen)
        n, m = len(directions), len(coordinates)
        left_out = "" if directions else "no given direction enters this block"
        affordable = (function.limit - function.evaluations) / _METHODS[self.method][1]
        if n + m > affordable:
            directions = directions[: int(affordable)]
            coordinates = coordinates[: int(affordable) - len(directions)]
            left_out = (
                f"max_evaluations allowed {len(directions)} of {n} directions and "
                f"{len(coordinates)} of {m} coordinates"
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
        notes = [*_notes(block, plan, self.maker.demands.tolerance), left_out]
        return _block_report(block, plan, function.evaluations - before, notes)

    def _judge_all(self, block: Block, plan: Plan) -> None:
        directions, coordinates = plan.directions, plan.coordinates
        self._judge(directions, sweep_unresolved=True)
        for probe in directions[-1:]:
            if probe.outcome is Outcome.RIGHT and probe.departs_at_small_steps():
                probe.judge_sweep()
        unsettled = any(p.outcome not in SETTLED for p in directions)
        self._judge(coordinates, sweep_unresolved=unsettled and plan.complete)
        if self.method == "complex":
            judge_complex([*directions, *coordinates])
        wrong = [p for p in plan.probes if p.outcome is Outcome.WRONG]
        if wrong and self.given is None and wrong[0].coordinate is None:
            coordinates.append(self._hunt(block))

    def _judge(self, probes: list[Probe], sweep_unresolved: bool) -> None:
        """Sweep where the nominal step finds a fault, until one is confirmed, or nothing."""
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
    """Pass if all directions, or all entries, are right."""
    directions, probes = plan.directions, plan.probes
    outcomes = [p.outcome for p in probes]
    if Outcome.WRONG in outcomes:
        disputed = any(p.is_disputed() for p in directions)
        return Verdict.INCONCLUSIVE if disputed else Verdict.FAIL
    doubted = Outcome.OFF_KINK in outcomes or any(p.is_doubted() for p in probes)
    proofs = (directions, plan.coordinates if plan.complete else [])
    settled = (proof and all(p.outcome in SETTLED for p in proof) for proof in proofs)
    return Verdict.PASS if any(settled) and not doubted else Verdict.INCONCLUSIVE


def _block_report(block: Block, plan: Plan, evaluations: int, notes: list[str]) -> BlockReport:
    verdict = _verdict(plan)
    found: dict[str, Any] = {}
    seen = [p for p in plan.probes if p.best is not UNSEEN]
    if seen:
        shown = max(seen, key=_severity)
        doubted = shown.outcome is Outcome.WRONG or shown.is_disputed()
        tiny = 0 < shown.relative_error < _OF_AN_ITERATION
        if doubted and tiny and verdict is not Verdict.PASS:
            notes.append(
                f"the two differ by {shown.relative_error:.1g} of their size, as after an "
                f"iteration that stops early: tolerance={_OF_AN_ITERATION:g} would accept that"
            )
        found = {
            "relative_error": shown.relative_error,
            "worst_coordinate": _place(block, shown),
            "analytic": shown.line.analytic,
            "numeric": shown.numeric,
            "step": shown.best.step,
            "budget": shown.best.budget,
            "noise_floor": shown.best.noise,
            "curve": shown.curve(),
        }
    note = "; ".join(filter(None, notes))
    return BlockReport(
        verdict, evaluations=evaluations, kinks=_kinks(plan.probes), note=note, **found
    )


def _kinks(probes: Sequence[Probe]) -> int:
    # values rounded inside look like kinks, and are disputed
    disputed = any(p.is_disputed() for p in probes)
    return sum(p.line.crossed if disputed else p.kinks() for p in probes)


def _place(block: Block, probe: Probe) -> str | None:
    if probe.coordinate is not None:
        return block.coordinate(probe.coordinate)
    return None if probe.given is None else f"directions[{probe.given}]"


def _severity(probe: Probe) -> tuple[float, ...]:
    wrong = probe.outcome is Outcome.WRONG
    judged = probe.outcome not in (Outcome.UNRESOLVED, Outcome.SUSPECT)
    error = probe.error if wrong else 0.0
    return judged, wrong, probe.coordinate is not None, error, probe.best.excess


def _notes(block: Block, plan: Plan, tolerance: float) -> list[str]:
    directions, probes = plan.directions, plan.probes
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
    outcomes = [p.outcome for p in probes]
    if outside := outcomes.count(Outcome.OFF_KINK):
        notes.append(
            f"along {outside} of them the gradient lies outside: it is no subgradient, or kinks of "
            f"opposite signs meet; move theta by a little"
        )
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
    return notes


class ComplexStepError(ValueError):
    """The function is not complex-safe; the message says in which way."""


def complex_slope(line: Line, stretch: float = 1.0) -> float:
    h = _RELATIVE_STEP * line.scale
    point = (line.function.theta * stretch).astype(np.complex128)
    point[line.index] += 1j * h * line.direction
    try:
        answer = np.asarray(line.function.complex_value(point))
    except OutOfEvaluations:
        raise
    except Exception as error:
        raise ComplexStepError(
            f"the function raised {type(error).__name__} at a complex theta: {error}. Pass value= "
            f"if it is the gradient that refuses, else use method='central'."
        ) from error
    if answer.ndim != 0 or answer.dtype.kind != "c":
        raise ComplexStepError(
            f"the function returned {answer.dtype} of shape {answer.shape} for a complex theta, "
            f"not a complex scalar: a cast, np.abs or .real drops the imaginary part; "
            f"use method='central'."
        )
    numeric = float(answer.imag) / h
    if not np.isfinite(numeric):
        raise ComplexStepError(f"the complex step gave {numeric}; use method='central'.")
    return numeric


def judge_complex(probes: Sequence[Probe]) -> None:
    """The noise is what one ulp of theta changes, pooled by unit of length."""
    judged = [(p, p.line, complex_slope(p.line)) for p in probes if p.outcome not in AT_KINK]
    for probe, line, slope in judged:
        error = slope - line.analytic
        if abs(error - probe.best.error) > probe.best.budget:
            raise _not_analytic(slope, probe)
    eps = eps_of(np.float64)
    changes = [
        max(abs(complex_slope(line, 1 + ulp) - slope) for ulp in (-eps, eps))
        for _, line, slope in judged
    ]
    lengths = [norm(line.direction) for _, line, _ in judged]
    pooled = noise_level([c / n for c, n in zip(changes, lengths, strict=True)])
    for (probe, line, slope), change, length in zip(judged, changes, lengths, strict=True):
        step, error = _RELATIVE_STEP * line.scale, slope - line.analytic
        noise = SAFETY * max(change, pooled * length)
        probe.settle(Estimate(step, error, 0.0, 0.0, noise, probe.analytic_noise))


def _not_analytic(numeric: float, probe: Probe) -> ComplexStepError:
    return ComplexStepError(
        f"the complex step gives {numeric:.9g}, a central difference {probe.numeric:.9g} with an "
        f"error budget of {probe.best.budget:.2g}: the function is not analytic, as with np.abs, "
        f"np.vdot, .conj or comparisons; use method='central'."
    )


@np.errstate(under="ignore")  # what underflows is 0
def complex_step(fun: Fun, theta: Any, direction: Any = None, *, random_state: Any = 0) -> Any:
    """Return derivatives of an analytic function by the complex step.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> value`` or ``fun(theta) -> (value, anything)``, of a complex128 theta too.
    theta : ndarray of float64, or a list, tuple or dict of such arrays
    direction : as theta, optional
        Default: the whole gradient, one evaluation per entry.
    random_state : int, Generator or None
        Draws where the gradient is confirmed.

    Returns
    -------
    float, or what theta is
        Exact to rounding.

    Raises
    ------
    ComplexStepError
        `fun` raises, returns a real value, or disagrees with a central difference beyond its error
        budget.
    """
    parts = parts_of(theta)
    if parts is not None:
        if direction is not None:
            direction = parts.join(direction, "direction")
        found = complex_step(parts.of(fun), parts.flat(), direction, random_state=random_state)
        return found if direction is not None else parts.split(found)
    point = check_theta(theta).astype(np.float64)
    rng = np.random.default_rng(random_state)
    with one_blas_thread(point.size):
        function = Function(fun, point, gradient=False)
        if direction is None:
            for i, x in enumerate(function.theta):
                line = Line(function, np.array([i]), np.ones(1), abs(x) or 1.0)
                function.gradient[i] = complex_slope(line)
            found, along = function.gradient.reshape(point.shape), random_direction(rng, point.size)
        else:
            along = check_direction(direction, function)
            unit = along / rms(along)
            line = Line(function, slice(None), unit, line_scale(function.theta, unit))
            found = complex_slope(line) * rms(along)
            function.gradient = along * (found / float(along @ along))
        block = Block("theta", slice(None), point.size)
        probe = ProbeMaker(function, CENTRAL, rng).along(block, along)
        probe.judge_sweep()
    if probe.outcome in (Outcome.WRONG, Outcome.OFF_KINK):
        raise _not_analytic(probe.line.analytic, probe)
    return found
