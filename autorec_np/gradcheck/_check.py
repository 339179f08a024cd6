"""`check_gradient`: a verdict for every block of a gradient, by differences or the complex step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._differences import (
    CENTRAL,
    FORWARD,
    SAFETY,
    Estimate,
    Line,
    Probe,
    ProbeMaker,
    line_scale,
    noise_level,
)
from ._function import (
    Array,
    Block,
    Fun,
    Function,
    check_direction,
    check_theta,
    make_blocks,
    norm,
    random_direction,
    rms,
)

# The report


def number(value: float | None, digits: int = 3) -> str:
    """Return `value` for a table; a dash where there is none."""
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}g}"


def jsonable(value: Any) -> Any:
    """Return `value` with floats that JSON can hold: None for NaN and infinities."""
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Return an aligned plain-text table, the first `left` columns flush left."""
    lines = [header, *rows]
    widths = [max(len(line[c]) for line in lines) for c in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if c < left else cell.rjust(width)
            for c, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


@dataclass(frozen=True)
class BlockReport:
    """What was found in one block.

    Attributes
    ----------
    verdict : {"pass", "fail", "inconclusive"}
    relative_error : float
        The largest error found, relative to the slopes of the function.
    worst_coordinate : str or None
        Name and index of the coordinate with the largest error, ``decoder.weight[17, 3]``.
    analytic, numeric : float
        The two derivatives there (along the worst direction if no coordinate was evaluated).
    step : float
        The step of the numeric derivative.
    budget : float
        The error that truncation and rounding can explain.
    noise_floor : float
        The part of the budget that is rounding noise.
    evaluations : int
        Calls of the function.
    kinks : int
        Steps skipped because they lead across a kink: the pattern changed, or the slopes of the two
        sides disagreed.
    note : str
        What a reader should know; empty if nothing.
    curve : dict
        ``step``, ``error`` and ``budget`` (lists) of the worst probe, for a picture.
    """

    verdict: str
    relative_error: float = np.nan
    worst_coordinate: str | None = None
    analytic: float = np.nan
    numeric: float = np.nan
    step: float = np.nan
    budget: float = np.nan
    noise_floor: float = np.nan
    evaluations: int = 0
    kinks: int = 0
    note: str = ""
    curve: dict[str, list[float]] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values, without the curve."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del fields["curve"]
        return dict(jsonable(fields))


@dataclass(frozen=True)
class Report:
    """Verdicts by block, with a note on the whole function."""

    blocks: Mapping[str, Any]
    note: str = ""

    @property
    def passed(self) -> bool:
        """True only if every block's verdict is "pass"."""
        return all(block.verdict == "pass" for block in self.blocks.values())

    def with_notes(self, header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
        """Return a table with the notes below it."""
        notes = [f"{name}: {block.note}" for name, block in self.blocks.items() if block.note]
        return "\n".join([table(header, rows, left), *filter(None, [self.note]), *notes])


@dataclass(frozen=True)
class GradientReport(Report):
    """Verdicts by block. ``str(report)`` is a table.

    Attributes
    ----------
    blocks : dict of str to BlockReport
    note : str
        What concerns the whole function, such as values that differ between two evaluations.
    evaluations : int
        Calls of the function, those that prepared the check included.
    """

    blocks: dict[str, BlockReport]
    evaluations: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"passed": bool, "note": str, "blocks": {name: {"verdict": ..., ...}}}``."""
        blocks = {name: block.to_dict() for name, block in self.blocks.items()}
        return {
            "passed": self.passed,
            "note": self.note,
            "evaluations": self.evaluations,
            "blocks": blocks,
        }

    def __str__(self) -> str:
        header = (
            "block,verdict,worst coordinate,rel. error,analytic,numeric,budget,noise,step,evals"
        )
        rows = [
            (
                name,
                b.verdict,
                b.worst_coordinate or "-",
                number(b.relative_error, 2),
                number(b.analytic, 6),
                number(b.numeric, 6),
                number(b.budget, 2),
                number(b.noise_floor, 2),
                number(b.step, 2),
                str(b.evaluations),
            )
            for name, b in self.blocks.items()
        ]
        return self.with_notes(header.split(","), rows, left=3)


# The complex step: no subtraction, no truncation

# Its square vanishes beside 1, and with it the truncation error.
_RELATIVE_STEP = 1e-20


class ComplexStepError(ValueError):
    """The function is not complex-safe; the message says in which way."""


def complex_slope(line: Line, theta: Array) -> float:
    """Return Im f(theta + i h d) / h, or raise ComplexStepError."""
    h = _RELATIVE_STEP * line.scale
    point = theta.astype(np.complex128)
    point[line.index] += 1j * h * line.direction
    try:
        answer = np.asarray(line.function.complex_value(point))
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
    """Judge probes by the complex step, after their central differences have confirmed that step.

    Its noise is what one ulp of theta changes, pooled over the probes in units of their length.
    """
    judged = [probe for probe in probes if probe.outcome not in ("kink", "off-kink")]
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
        probe.best = Estimate(
            step=_RELATIVE_STEP * probe.line.scale,
            error=slope - probe.line.analytic,
            truncation=0.0,
            roughness=0.0,
            noise=SAFETY * max(change, pooled * length),
            analytic_noise=probe.analytic_noise,
        )
        probe.outcome = "wrong" if probe.best.excess > 1 else "right"


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


def complex_step(fun: Fun, theta: Any, direction: Any = None, *, random_state: Any = 0) -> Any:
    """Return derivatives of an analytic function by the complex step.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> value`` or ``fun(theta) -> (value, gradient)``; it must accept a complex128
        theta. The gradient is not looked at.
    theta : ndarray of float64
    direction : ndarray of theta's shape, optional
        Return the derivative along it; default: the whole gradient, one evaluation per entry.
    random_state : int, Generator or None
        Draws the direction in which the gradient is confirmed.

    Returns
    -------
    float or ndarray of theta's shape
        Exact to rounding, near 1e-15 relative.

    Raises
    ------
    ComplexStepError
        Where `fun` is not complex-safe: it raises, returns a real value, or disagrees with a
        central difference beyond the error budget of that.
    """
    point = check_theta(theta).astype(np.float64)

    def value(x: Any) -> Any:
        answer = fun(x)
        return answer[0] if isinstance(answer, tuple) else answer

    function = Function(lambda x: (value(x), np.zeros(x.shape)), point)
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
    """Check the complex gradient like any other: by central differences."""
    rng = np.random.default_rng(0)
    block = Block("theta", slice(None), function.theta.size)
    probe = ProbeMaker(function, CENTRAL, rng).along(block, direction)
    probe.judge_sweep()
    if probe.outcome in ("wrong", "off-kink"):
        raise _not_analytic(probe.line.analytic, probe)


# The check

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
        undecided = {block.name: BlockReport("inconclusive") for block in named}
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
        failed = [name for name, block in report.blocks.items() if block.verdict != "pass"]
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
        unsettled = any(p.outcome != "right" for p in directions)
        self._judge(coordinates, sweep_unresolved=unsettled and block.size <= n_coordinates)
        if self.complex_step:
            judge_complex([*directions, *coordinates])
        if any(p.outcome == "wrong" for p in directions) and not any(
            p.outcome == "wrong" for p in coordinates
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
            if probe.outcome == "wrong" and found and not self.full_sweep:
                probe.outcome = "suspect"
                continue
            undecided = sweep_unresolved and not probe.sharp
            if self.full_sweep or probe.outcome == "wrong" or undecided:
                probe.judge_sweep()
            found = found or probe.outcome == "wrong"

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


def _verdict(directions: list[Probe], coordinates: list[Probe], *, complete: bool) -> str:
    """One wrong probe fails a block; it passes if all directions, or all its entries, are right."""
    outcomes = [p.outcome for p in [*directions, *coordinates]]
    if "wrong" in outcomes:
        return "fail"
    settled = ("right", "kink")
    if all(p.outcome in settled for p in directions) and "off-kink" not in outcomes:
        return "pass"
    if complete and coordinates and all(p.outcome in settled for p in coordinates):
        return "pass"
    return "inconclusive"


def _block_report(
    block: Block,
    verdict: str,
    directions: list[Probe],
    coordinates: list[Probe],
    evaluations: int,
    kinks: int,
) -> BlockReport:
    seen = [p for p in [*directions, *coordinates] if p.best is not None]
    note = _block_note(block, directions, coordinates, kinks)
    if not seen:
        return BlockReport(verdict, evaluations=evaluations, kinks=kinks, note=note)
    judged = [p for p in seen if p.outcome not in ("unresolved", "suspect")] or seen
    wrong = [p for p in judged if p.outcome == "wrong"]
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
    return (probe.error if probe.outcome == "wrong" else 0.0, probe.best.excess)


def _block_note(block: Block, directions: list[Probe], coordinates: list[Probe], kinks: int) -> str:
    notes = [f"{kinks} steps skipped: across a kink or a sharp bend"] if kinks else []
    at_kink = [p for p in [*coordinates, *directions] if p.outcome in ("kink", "off-kink")]
    if at_kink:
        low, high = sorted(at_kink[0].one_sided_slopes)
        i = at_kink[0].coordinate
        notes.append(
            f"theta lies on a kink or next to it ({len(at_kink)} probes; one-sided slopes "
            f"{low:.6g} and {high:.6g} along {'a direction' if i is None else block.coordinate(i)}"
            f"): any value between is accepted"
        )
    lost = [p for p in directions if p.outcome == "unresolved"]
    if lost:
        why = ", ".join(sorted({p.obstacle() for p in lost}))
        notes.append(f"{len(lost)} of {len(directions)} directions are not resolved ({why})")
    return "; ".join(notes)
