"""Slopes of Taylor remainders, adjoints, Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .check import check_gradient
from .differences import RATIO, SAFETY, Line, Sample, coarseness, measured_noise, noise_level
from .function import (
    Array,
    Block,
    Fun,
    Function,
    check_direction,
    check_theta,
    eps_of,
    make_blocks,
    norm,
    one_blas_thread,
    parts_of,
    random_direction,
    random_signs,
    rms,
)
from .probes import line_scale
from .report import BlockReport, GradientReport, Report, Verdict, jsonable, number

_LARGEST_STEP = 0.25  # of the size of theta along the direction
_FITTED = 4  # remainders in a fit, over a factor 64 of steps
_SLACK = 0.2  # how much below its order a slope may be
_VISIBLE = 1e-3  # relative error that must stand out of the noise


@dataclass(frozen=True)
class TaylorBlock:
    """Remainders along one direction of one block, by order and descending `steps`.

    `slopes` are order + 1 when right, infinite when exact; `noise_floor` is of the smallest step.
    """

    verdict: Verdict
    slopes: dict[int, float] = field(default_factory=dict)
    steps: list[float] = field(default_factory=list, repr=False)
    remainders: dict[int, list[float]] = field(default_factory=dict, repr=False)
    noise_floor: float = np.nan
    note: str = ""
    evaluations: int = 0


@dataclass(frozen=True)
class TaylorReport(Report):
    """Slopes and verdicts by block. ``str(report)`` is a table."""

    blocks: dict[str, TaylorBlock]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values; an exact order has the slope None and stands in "exact"."""
        blocks = {}
        for name, block in self.blocks.items():
            exact = [order for order, slope in block.slopes.items() if slope == np.inf]
            blocks[name] = jsonable({**asdict(block), "exact": exact})
        return {"passed": self.passed, "note": self.note, "blocks": blocks}

    def __str__(self) -> str:
        orders = sorted({order for block in self.blocks.values() for order in block.slopes})
        header = ("block", "verdict", *(f"slope {k} (want {k + 1})" for k in orders), "noise")
        rows = []
        for name, b in self.blocks.items():
            slopes = [b.slopes.get(k) for k in orders]
            said = ("exact" if slope == np.inf else number(slope, 4) for slope in slopes)
            rows.append((name, b.verdict, *said, number(b.noise_floor, 2)))
        return self.with_notes(header, rows, left=2)


@np.errstate(under="ignore")  # what underflows is 0
def taylor_test(
    fun: Fun,
    theta: Any,
    blocks: Any = None,
    direction: Any = None,
    *,
    hvp: Callable[[Any, Any], Any] | None = None,
    value: Fun | None = None,
    random_state: Any = 0,
) -> TaylorReport:
    r"""Fit the slopes of the Taylor remainders of `fun`, block by block.

    With phi(h) = f(theta + h d) the remainders, the larger ones of h and -h, are

        R0(h) = |phi(h) - phi(0)|                                  ~ h
        R1(h) = |phi(h) - phi(0) - h gradient . d|                 ~ h^2
        R2(h) = |phi(h) - phi(0) - h gradient . d - h^2/2 d . Hd|  ~ h^3

    if gradient and Hessian-vector product are right; a wrong gradient turns the slope of R1 into 1.

    Parameters
    ----------
    fun, theta, blocks, value
        As for `check_gradient`.
    direction : as theta, optional
        Confined to each block; default: random.
    hvp : callable, optional
        ``hvp(theta, v) -> H v``; adds order 2.
    random_state : int, Generator or None

    Returns
    -------
    TaylorReport
        ``report.blocks[name].slopes[1]`` is near 2, infinite for a linear function.
    """
    parts = parts_of(theta)
    if parts is not None:
        fun = parts.gradient_of(fun)
        value, hvp = value and parts.of(value), hvp and parts.product_of(hvp)
        theta, blocks = parts.flat(), parts if blocks is None else blocks
        direction = None if direction is None else parts.join(direction, "direction")
    with one_blas_thread(np.size(theta)):
        function = Function(fun, theta, value)
        along = None if direction is None else check_direction(direction, function)
        named = [
            block
            for block in make_blocks(blocks, function.shape)
            if along is None or not block.others or along[block.index].any()
        ]
        if note := function.differs:
            return TaylorReport({block.name: _undecided(note) for block in named}, note)
        rng = np.random.default_rng(random_state)
        return TaylorReport({b.name: _test_block(function, b, along, hvp, rng) for b in named})


def _undecided(note: str) -> TaylorBlock:
    return TaylorBlock(Verdict.INCONCLUSIVE, note=note)


def _test_block(
    function: Function,
    block: Block,
    along: Array | None,
    hvp: Callable[[Any, Any], Any] | None,
    rng: np.random.Generator,
) -> TaylorBlock:
    before = function.evaluations
    direction = random_direction(rng, block.size) if along is None else along[block.index]
    if not direction.any():
        return _undecided("the given direction does not enter this block")
    direction = direction / rms(direction)
    theta = function.theta[block.index]
    line = Line(function, block.index, direction, line_scale(theta, direction))
    n_steps = int(np.log(_LARGEST_STEP / (64 * function.eps)) / np.log(RATIO)) + 1
    taken = (line.sample(_LARGEST_STEP * line.scale / RATIO**k) for k in range(n_steps))
    samples = [s for s in taken if s is not None]
    if len(samples) < 3:
        return _undecided(f"fewer than three steps could be taken ({dict(function.skipped)})")
    floors = _noise_floors(function, samples)
    curvature = None if hvp is None else _curvature(hvp, function, block, direction)
    remainders = _remainders(samples, line.analytic, curvature)
    steps = [s.step for s in samples]
    slopes = {order: fitted_slope(steps, r, floors, order) for order, r in remainders.items()}
    verdict, note = _taylor_verdict(samples, slopes, floors, remainders)
    evaluations = function.evaluations - before
    return TaylorBlock(verdict, slopes, steps, remainders, floors[-1], note, evaluations)


def _noise_floors(function: Function, samples: Sequence[Sample]) -> list[float]:
    """Each by its own size: one huge value says nothing of the others."""
    small = samples[::-1][: len(samples) // 2 + 2]
    triples = zip(small, small[1:], small[2:], strict=False)
    measured = noise_level([r for t in triples for r in measured_noise(t)])
    common = max(measured, coarseness(function, samples))
    return [2 * SAFETY * max(common, function.eps * s.size) for s in samples]


def _curvature(
    hvp: Callable[[Any, Any], Any], function: Function, block: Block, direction: Array
) -> float:
    whole, shape = np.zeros(function.theta.size), function.shape
    whole[block.index] = direction
    product = np.asarray(hvp(function.theta.reshape(shape).copy(), whole.reshape(shape)))
    if product.shape != shape or not np.isfinite(product).all():
        raise ValueError(
            f"hvp must return a finite array of theta's shape {shape}, got shape {product.shape}."
        )
    return float(whole @ product.ravel())


def _remainders(
    samples: Sequence[Sample], slope: float, curvature: float | None
) -> dict[int, list[float]]:
    """The larger side of phi(h) and phi(-h): |odd part| + |even part|."""
    remainders = {
        0: [abs(s.odd + slope * s.step) + abs(s.even) for s in samples],
        1: [abs(s.odd) + abs(s.even) for s in samples],
    }
    if curvature is not None:
        remainders[2] = [abs(s.odd) + abs(s.even - curvature * s.step**2 / 2) for s in samples]
    return remainders


def fitted_slope(
    steps: Sequence[float], remainders: Sequence[float], floors: Sequence[float], order: int
) -> float:
    """Return the log-log slope just above the floor; infinite if exact, or beyond a kink."""
    below = [r <= floor for r, floor in zip(remainders, floors, strict=True)]
    above = [*below, True].index(True)
    drop = RATIO ** (order + 3)
    if any(below) and (above < 2 or remainders[above - 1] > drop * floors[above]):
        return float(np.inf)
    fitted = slice(max(0, above - _FITTED), above)
    log_steps = np.log(steps[fitted])
    centered = log_steps - log_steps.mean()
    return float(centered @ np.log(remainders[fitted]) / (centered @ centered))


def _taylor_verdict(
    samples: Sequence[Sample],
    slopes: dict[int, float],
    floors: Sequence[float],
    remainders: dict[int, list[float]],
) -> tuple[Verdict, str]:
    if all(s.stuck for s in samples):
        if max(remainders[1]) <= floors[-1]:
            return Verdict.PASS, "the function does not change along the direction"
        return Verdict.FAIL, "the function does not change, but the gradient says that it does"
    seen = zip([*remainders[0], *remainders[1]], [*floors, *floors], strict=True)
    if all(remainder * _VISIBLE < floor for remainder, floor in seen):
        return Verdict.INCONCLUSIVE, "the function changes by no more than its rounding noise"
    steps = [s.step for s in samples]
    if fitted_slope(steps, [abs(s.even) for s in samples], floors, 1) < 1.5:
        return Verdict.INCONCLUSIVE, "theta lies on a kink; use check_gradient"
    for order, wrong in enumerate(("value", "gradient", "Hessian-vector product")):
        if slopes.get(order, np.inf) < order + 1 - _SLACK:
            note = f"the remainder of order {order} falls too slowly: the {wrong} is wrong"
            return Verdict.FAIL, note
    return Verdict.PASS, ""


_HIDES = 1e-2  # a relative budget beyond it hides what the test is for
_LINEAR = 1e-5  # relative departures below it may be rounding inside of A


@dataclass(frozen=True)
class AdjointReport:
    """The worst trial of an adjoint test.

    `forward` is <A x, y>, `adjoint` <x, At y>, `budget` the `difference` that rounding can explain.
    """

    forward: float
    adjoint: float
    difference: float
    budget: float
    note: str = ""
    verdict: Verdict = Verdict.PASS

    @property
    def passed(self) -> bool:
        """True if A is linear and At is its adjoint, up to rounding."""
        return self.verdict is Verdict.PASS

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and ``passed`` as JSON-able values."""
        return {"passed": self.passed, **jsonable(asdict(self))}

    def __str__(self) -> str:
        return (
            f"<A x, y> = {self.forward:.12g}, <x, At y> = {self.adjoint:.12g}, "
            f"difference {self.difference:.2g}, budget {self.budget:.2g}: "
            f"{self.note or 'At is the adjoint of A'}"
        )


@np.errstate(under="ignore")  # what underflows is 0
def adjoint_test(
    A: Callable[[Any], Any],
    At: Callable[[Any], Any],
    shape: int | tuple[int, ...],
    *,
    dtype: Any = np.float64,
    n_trials: int = 3,
    random_state: Any = 0,
) -> AdjointReport:
    """Check that `A` is linear and `At` its adjoint: <A x, y> = <x, At y> for all x and y.

    Parameters
    ----------
    A, At : callable
        Of an array of `shape`, and of one of the shape of ``A(x)``.
    shape : int or tuple of int
    dtype : float64 or float32
        Of x and y.
    n_trials : int
    random_state : int, Generator or None

    Returns
    -------
    AdjointReport
        Inconclusive where two calls of A differ, A is linear to few digits, or the budget exceeds
        a hundredth of the two sides.

    Raises
    ------
    ValueError
        If `At` does not return the shape of x.
    """
    rng = np.random.default_rng(random_state)
    with one_blas_thread(int(np.prod(shape))):
        trials = [_adjoint_trial(A, At, shape, np.dtype(dtype), rng) for _ in range(n_trials)]
    gravest = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL).index

    def how_bad(trial: AdjointReport) -> tuple[int, float]:
        return gravest(trial.verdict), trial.difference / trial.budget if trial.budget else 0.0

    return max(trials, key=how_bad)


def _adjoint_trial(
    A: Callable[[Any], Any],
    At: Callable[[Any], Any],
    shape: int | tuple[int, ...],
    dtype: np.dtype[Any],
    rng: np.random.Generator,
) -> AdjointReport:
    x, other = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    Ax, A_other = np.asarray(A(x.copy())), np.asarray(A(other.copy()))
    y = rng.normal(size=Ax.shape)
    if Ax.any():
        y += Ax * (norm(y) / norm(Ax))  # else <A x, y> would be near zero
    y = y.astype(dtype)
    Aty = np.asarray(At(y.copy()))
    if Aty.shape != x.shape:
        raise ValueError(
            f"At must return the shape of x, {x.shape}, for y of shape {y.shape}, got {Aty.shape}."
        )
    eps = max(eps_of(dtype), _seen_eps(Ax), _seen_eps(Aty))
    rounding = SAFETY * eps * max(x.size, y.size) ** 0.5
    forward, adjoint = _inner(Ax, y), _inner(x, Aty)
    scale = norm(Ax) * norm(y) + norm(x) * norm(Aty)
    difference = abs(forward - adjoint)
    bend = norm(np.asarray(A(x - 2 * other)) - Ax + 2 * A_other)  # the departure from linearity
    bend /= norm(Ax) + 2 * norm(A_other) or 1.0
    relative, size = (
        part / (scale or 1.0) for part in (difference, max(abs(forward), abs(adjoint)))
    )
    verdict, note = Verdict.PASS, ""
    if not np.isfinite([forward, adjoint]).all():
        verdict, note = Verdict.FAIL, "A or At returned values that are not finite"
    elif bend > rounding and not np.array_equal(Ax, np.asarray(A(x.copy()))):
        verdict, note = Verdict.INCONCLUSIVE, "two calls of A differ: freeze what is random"
    elif bend > max(rounding, _LINEAR):
        verdict, note = Verdict.FAIL, "A is not linear: A(x - 2 z) differs from A(x) - 2 A(z)"
    elif relative > max(rounding, SAFETY * bend):
        verdict, note = Verdict.FAIL, "At is not the adjoint of A"
    elif relative > rounding:
        verdict = Verdict.INCONCLUSIVE
        note = f"A is linear only to {bend:.1g}, as if it rounds inside, which hides this"
    elif rounding > _HIDES * size > 0:
        verdict, note = Verdict.INCONCLUSIVE, "rounding hides errors of more than one percent"
    return AdjointReport(forward, adjoint, difference, rounding * scale, note, verdict)


def _seen_eps(array: Array) -> float:
    """All values of float32 have its precision."""
    single = array.any() and np.array_equal(array, array.astype(np.float32))
    return eps_of(np.float32 if single else array.dtype if array.dtype.kind == "f" else float)


def _inner(a: Array, b: Array) -> float:
    return float(np.sum(a.astype(np.float64) * b))


@np.errstate(under="ignore")  # what underflows is 0
def check_hessian_vector(
    fun: Fun,
    hvp: Callable[[Any, Any], Any],
    theta: Any,
    blocks: Any = None,
    *,
    random_state: Any = 0,
    **options: Any,
) -> GradientReport:
    """Check a Hessian-vector product against the gradient, pair by pair of blocks.

    The scalar u . gradient(theta) has the gradient H u: ``blocks["a x b"]`` checks its part in
    block b for u in block a, and "symmetry" whether u . H v = v . H u.

    Parameters
    ----------
    fun, theta, blocks, **options
        As for `check_gradient`.
    hvp : callable
        ``hvp(theta, v) -> H v`` for v of theta's shape.
    random_state : int, Generator or None
    """
    parts = parts_of(theta)
    if parts is not None:
        fun, hvp = parts.gradient_of(fun), parts.product_of(hvp)
        theta, blocks = parts.flat(), parts if blocks is None else blocks
    point = check_theta(theta)
    named = make_blocks(blocks, point.shape)
    partition = {block.name: block.index for block in named}
    rng = np.random.default_rng(random_state)
    vectors = {block.name: _confined(block, point, rng) for block in named}
    reports: dict[str, BlockReport] = {}
    notes: dict[str, None] = {}
    evaluations = 0
    for row, u in vectors.items():

        def projected(x: Any, u: Array = u) -> tuple[Any, Any]:
            return np.sum(u * np.asarray(fun(x)[1])), hvp(x, u.copy())

        report = check_gradient(projected, point, partition, random_state=rng, **options)
        reports |= {f"{row} x {column}": found for column, found in report.blocks.items()}
        evaluations += report.evaluations
        notes[report.note] = None
    tolerance = options.get("tolerance") or 0.0
    with one_blas_thread(point.size):
        reports["symmetry"] = _check_symmetry(hvp, point, list(vectors.values()), rng, tolerance)
    return GradientReport(reports, "; ".join(filter(None, notes)), evaluations)


def _confined(block: Block, theta: Array, rng: np.random.Generator) -> Array:
    whole = np.zeros(theta.size, theta.dtype)
    whole[block.index] = random_direction(rng, block.size)
    return whole.reshape(theta.shape)


def _check_symmetry(
    hvp: Callable[[Any, Any], Any],
    theta: Array,
    parts: list[Array],
    rng: np.random.Generator,
    tolerance: float,
) -> BlockReport:
    u, v = np.sum(parts, axis=0), np.sum([rng.normal() * part for part in parts], axis=0)
    eps = eps_of(theta.dtype)

    def both(point: Array) -> tuple[float, float, float]:
        Hu, Hv = (np.asarray(hvp(point.copy(), w.copy())) for w in (u, v))
        return _inner(u, Hv), _inner(v, Hu), norm(u * Hv) + norm(v * Hu)

    left, right, size = both(theta)
    change = 0.0
    for _ in range(2):
        moved = both((theta * (1 + eps * random_signs(rng, theta.shape))).astype(theta.dtype))
        change = max(change, abs(moved[0] - left), abs(moved[1] - right))
    budget = SAFETY * (eps * size * theta.size**0.5 + change)
    error, larger = abs(left - right), max(abs(left), abs(right))
    verdict, note = Verdict.PASS, ""
    if error > budget:
        verdict, note = Verdict.FAIL, "u . H v and v . H u differ: the Hessian is symmetric"
        if error <= tolerance * max(larger, size):
            verdict, note = Verdict.PASS, f"accepted within tolerance={tolerance:g}"
    return BlockReport(
        verdict=verdict,
        relative_error=error / larger if error else 0.0,
        analytic=left,
        numeric=right,
        budget=budget,
        noise_floor=budget,
        evaluations=6,
        note=note,
    )
