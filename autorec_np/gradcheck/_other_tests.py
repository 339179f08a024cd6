"""Other tests: slopes of Taylor remainders, adjoints of linear maps, Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ._check import BlockReport, GradientReport, Report, check_gradient, jsonable, number
from ._differences import (
    RATIO,
    SAFETY,
    Line,
    Sample,
    line_scale,
    measured_noise,
    noise_level,
    rounding_noise,
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

_LARGEST_STEP = 0.25  # of the size of theta along the direction
_FITTED = 4  # remainders in a fit: they span a factor 64 of steps
_SLACK = 0.2  # a slope this much below its order is a failure
_VISIBLE = 1e-3  # a relative error of the gradient that must stand out of the noise


@dataclass(frozen=True)
class TaylorBlock:
    """Remainders along one direction of one block.

    Attributes
    ----------
    verdict : {"pass", "fail", "inconclusive"}
    slopes : dict of int to float
        Fitted slope of the remainder of each order: order + 1 when right, infinite when exact.
    steps : list of float
        Descending.
    remainders : dict of int to list of float
        By order, aligned with `steps`.
    noise_floor : float
        Remainders below it are rounding noise and take no part in the fit.
    note : str
    evaluations : int
    """

    verdict: str
    slopes: dict[int, float]
    steps: list[float] = field(repr=False)
    remainders: dict[int, list[float]] = field(repr=False)
    noise_floor: float
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
            fields = {key: getattr(block, key) for key in block.__dataclass_fields__}
            exact = [order for order, slope in block.slopes.items() if slope == np.inf]
            blocks[name] = jsonable({**fields, "exact": exact})
        return {"passed": self.passed, "note": self.note, "blocks": blocks}

    def __str__(self) -> str:
        orders = sorted({order for block in self.blocks.values() for order in block.slopes})
        header = ("block", "verdict", *(f"slope {k} (want {k + 1})" for k in orders), "noise")
        rows = [
            (
                name,
                b.verdict,
                *(
                    "exact" if b.slopes.get(k) == np.inf else number(b.slopes.get(k), 4)
                    for k in orders
                ),
                number(b.noise_floor, 2),
            )
            for name, b in self.blocks.items()
        ]
        return self.with_notes(header, rows, left=2)


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

    With phi(h) = f(theta + h d) the remainders, each the larger one of those at h and -h, are

        R0(h) = |phi(h) - phi(0)|                                  ~ h
        R1(h) = |phi(h) - phi(0) - h gradient . d|                 ~ h^2
        R2(h) = |phi(h) - phi(0) - h gradient . d - h^2/2 d . Hd|  ~ h^3

    if gradient and Hessian-vector product are right. A wrong gradient turns the slope of R1 into 1.
    The slope is fitted to the smallest steps whose remainders stand above the rounding noise, where
    an error of the gradient weighs most. Taking the larger of the two sides keeps the remainder
    from crossing zero.

    Parameters
    ----------
    fun, theta, blocks, value
        As for `check_gradient`.
    direction : ndarray of theta's shape, optional
        Along it, confined to each block; default: random.
    hvp : callable, optional
        ``hvp(theta, v) -> H v``; adds order 2.
    random_state : int, Generator or None

    Returns
    -------
    TaylorReport
        ``report.blocks[name].slopes[1]`` is near 2, infinite where the function is linear.
    """
    function = Function(fun, theta, value)
    named = make_blocks(blocks, function.shape)
    along = None if direction is None else check_direction(direction, function)
    if function.differs:
        note = (
            f"two evaluations at the same theta differ ({function.differs}): freeze what is random"
        )
        empty = TaylorBlock("inconclusive", {}, [], {}, np.nan, note)
        return TaylorReport({block.name: empty for block in named}, note)
    rng = np.random.default_rng(random_state)
    return TaylorReport({b.name: _test_block(function, b, along, hvp, rng) for b in named})


def _test_block(
    function: Function,
    block: Block,
    along: Array | None,
    hvp: Callable[[Any, Any], Any] | None,
    rng: np.random.Generator,
) -> TaylorBlock:
    before = function.evaluations
    if along is None:
        direction = random_direction(rng, block.size)
    else:
        direction = along[block.index]
        if not direction.any():
            note = "the given direction does not enter this block"
            return TaylorBlock("inconclusive", {}, [], {}, np.nan, note)
    direction = direction / rms(direction)
    theta = function.theta[block.index]
    line = Line(function, block.index, direction, line_scale(theta, direction))
    samples = _samples(line)
    if len(samples) < 3:
        note = f"fewer than three steps could be evaluated ({dict(function.skipped)})"
        return TaylorBlock("inconclusive", {}, [], {}, np.nan, note)
    floor = _noise_floor(function, samples)
    curvature = None if hvp is None else _curvature(hvp, function, block, direction)
    remainders = _remainders(samples, line.analytic, curvature)
    steps = [s.step for s in samples]
    slopes = {order: fitted_slope(steps, r, floor, order) for order, r in remainders.items()}
    verdict, note = _verdict(samples, slopes, floor, remainders)
    evaluations = function.evaluations - before
    return TaylorBlock(verdict, slopes, steps, remainders, floor, note, evaluations)


def _samples(line: Line) -> list[Sample]:
    """Samples at descending steps, from a quarter of theta to its spacing."""
    eps = line.function.eps
    n = int(np.log(_LARGEST_STEP / (64 * eps)) / np.log(RATIO))
    taken = [line.sample(_LARGEST_STEP * line.scale / RATIO**k) for k in range(n + 1)]
    return [s for s in taken if s is not None]


def _noise_floor(function: Function, samples: Sequence[Sample]) -> float:
    """Return twice the noise of a value, with the safety of the error budget."""
    ascending = samples[::-1]
    small = ascending[: len(ascending) // 2 + 2]
    triples = zip(small, small[1:], small[2:], strict=False)
    measured = noise_level([r for t in triples for r in measured_noise(t)])
    return 2 * SAFETY * max(measured, rounding_noise(function, samples))


def _curvature(
    hvp: Callable[[Any, Any], Any], function: Function, block: Block, direction: Array
) -> float:
    whole = np.zeros(function.theta.size)
    whole[block.index] = direction
    shaped = whole.reshape(function.shape)
    product = np.asarray(hvp(function.theta.reshape(function.shape).copy(), shaped))
    if product.shape != function.shape or not np.isfinite(product).all():
        raise ValueError(
            f"hvp must return a finite array of theta's shape {function.shape}, "
            f"got shape {product.shape}."
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
    steps: Sequence[float], remainders: Sequence[float], floor: float, order: int
) -> float:
    """Return the log-log slope at the smallest steps above the floor; infinite if exact there.

    `steps` descend. A remainder that falls below the floor from one step to the next faster than
    any smooth one could (it leaves a kink behind) is exact as well.
    """
    above = 0
    while above < len(steps) and remainders[above] > floor:
        above += 1
    if above < len(steps):
        drop = RATIO ** (order + 3)
        if above < 2 or remainders[above - 1] > drop * floor:
            return float(np.inf)
    first = max(0, above - _FITTED)
    log_steps = np.log(steps[first:above])
    centered = log_steps - log_steps.mean()
    return float(centered @ np.log(remainders[first:above]) / (centered @ centered))


def _verdict(
    samples: Sequence[Sample],
    slopes: dict[int, float],
    floor: float,
    remainders: dict[int, list[float]],
) -> tuple[str, str]:
    if all(s.stuck for s in samples):
        if max(remainders[1]) <= floor:
            return "pass", "the function does not change along the direction"
        return "fail", "the function does not change, but the gradient says that it does"
    if max(*remainders[0], *remainders[1]) * _VISIBLE < floor:
        return "inconclusive", "the changes of the function are lost in its rounding noise"
    steps = [s.step for s in samples]
    if fitted_slope(steps, [abs(s.even) for s in samples], floor, 1) < 1.5:
        return "inconclusive", "theta lies on a kink; use check_gradient"
    low = [order for order, slope in slopes.items() if slope < order + 1 - _SLACK]
    if low:
        what = {0: "value", 1: "gradient", 2: "Hessian-vector product"}
        wrong = what[min(low)]
        return "fail", f"the remainder of order {min(low)} falls too slowly: the {wrong} is wrong"
    return "pass", ""


# Linear maps and second derivatives


@dataclass(frozen=True)
class AdjointReport:
    """The worst trial of an adjoint test.

    Attributes
    ----------
    forward, adjoint : float
        <A x, y> and <x, At y>.
    difference, budget : float
        Their distance, and the distance that rounding can explain.
    note : str
        What is wrong; empty if the test passed.
    """

    forward: float
    adjoint: float
    difference: float
    budget: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """True if A is linear and At is its adjoint, up to rounding."""
        return not self.note

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and ``passed`` as JSON-able values."""
        return {"passed": self.passed, **jsonable(asdict(self))}

    def __str__(self) -> str:
        return (
            f"<A x, y> = {self.forward:.12g}, <x, At y> = {self.adjoint:.12g}, "
            f"difference {self.difference:.2g}, budget {self.budget:.2g}: "
            f"{self.note or 'At is the adjoint of A'}"
        )


def adjoint_test(
    A: Callable[[Any], Any],
    At: Callable[[Any], Any],
    shape: int | tuple[int, ...],
    *,
    dtype: Any = np.float64,
    n_trials: int = 3,
    random_state: Any = 0,
) -> AdjointReport:
    """Check that `At` is the adjoint of the linear map `A`: <A x, y> = <x, At y> for all x and y.

    A backward pass is the adjoint of a linear forward pass, so this finds a transposed or a
    mismatched kernel without differentiating anything. `A` is tested for linearity as well.

    Parameters
    ----------
    A, At : callable
        ``A(x)`` takes an array of `shape`, ``At(y)`` one of the shape of ``A(x)``; both return
        arrays.
    shape : int or tuple of int
        Shape of x.
    dtype : dtype
        float64 or float32: that of x and y.
    n_trials : int
    random_state : int, Generator or None

    Returns
    -------
    AdjointReport

    Raises
    ------
    ValueError
        If `At` does not return the shape of x.

    Notes
    -----
    A sum of n terms of random signs is off by about eps sqrt(n) times its size, so the budget of
    the difference is 8 eps sqrt(n) (||A x|| ||y|| + ||x|| ||At y||), n the larger of the two sizes.
    """
    rng = np.random.default_rng(random_state)
    trials = [_adjoint_trial(A, At, shape, np.dtype(dtype), rng) for _ in range(n_trials)]
    failed = [trial for trial in trials if not trial.passed]
    return max(failed or trials, key=lambda t: t.difference / t.budget if t.budget else 0.0)


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
        y += Ax * (norm(y) / norm(Ax))  # else <A x, y> would be a sum of random signs, near zero
    y = y.astype(dtype)
    Aty = np.asarray(At(y.copy()))
    if Aty.shape != x.shape:
        raise ValueError(
            f"At must return the shape of x, {x.shape}, for y of shape {y.shape}, "
            f"got {Aty.shape}; A maps {x.shape} to {Ax.shape}."
        )
    rounding = SAFETY * float(np.finfo(dtype).eps) * max(x.size, y.size) ** 0.5
    forward, adjoint = _inner(Ax, y), _inner(x, Aty)
    budget = rounding * (norm(Ax) * norm(y) + norm(x) * norm(Aty))
    difference = abs(forward - adjoint)
    note = ""
    departure = np.asarray(A(x - 2 * other)) - Ax + 2 * A_other
    if not np.isfinite([forward, adjoint]).all():
        note = "A or At returned values that are not finite"
    elif norm(departure) > rounding * (norm(Ax) + 2 * norm(A_other)):
        note = "A is not linear: A(x - 2 z) differs from A(x) - 2 A(z)"
    elif difference > budget:
        note = "At is not the adjoint of A"
    return AdjointReport(forward, adjoint, difference, budget, note)


def _inner(a: Array, b: Array) -> float:
    return float(np.sum(a.astype(np.float64) * b))


def check_hessian_vector(
    fun: Fun,
    hvp: Callable[[Any, Any], Any],
    theta: Any,
    blocks: Any = None,
    *,
    random_state: Any = 0,
    **options: Any,
) -> GradientReport:
    """Check a hand-written Hessian-vector product against the gradient, pair by pair of blocks.

    For a fixed u the scalar u . gradient(theta) has the gradient H u, so every pair is a gradient
    check of its own: ``blocks["a x b"]`` says whether the part of ``hvp(theta, u)`` in block b is
    right for a u confined to block a. The row "symmetry" says whether u . H v = v . H u.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> (value, gradient)``, the gradient already checked.
    hvp : callable
        ``hvp(theta, v) -> H v`` for v of theta's shape.
    theta, blocks
        As for `check_gradient`.
    random_state : int, Generator or None
    **options
        Of `check_gradient`, such as `n_coordinates` or ``method="forward"``.

    Returns
    -------
    GradientReport
    """
    point = check_theta(theta)
    named = make_blocks(blocks, point.shape)
    partition = {block.name: block.index for block in named}
    rng = np.random.default_rng(random_state)
    vectors = {block.name: _confined(block, point, rng) for block in named}
    reports: dict[str, BlockReport] = {}
    notes: list[str] = []
    evaluations = 0
    for row, u in vectors.items():

        def projected(x: Any, u: Array = u) -> tuple[Any, Any]:
            return np.sum(u * np.asarray(fun(x)[1])), hvp(x, u.copy())

        report = check_gradient(projected, point, partition, random_state=rng, **options)
        reports |= {f"{row} x {column}": found for column, found in report.blocks.items()}
        evaluations += report.evaluations
        notes += [report.note] if report.note and report.note not in notes else []
    reports["symmetry"] = _check_symmetry(hvp, point, list(vectors.values()), rng)
    return GradientReport(reports, "; ".join(notes), evaluations)


def _confined(block: Block, theta: Array, rng: np.random.Generator) -> Array:
    whole = np.zeros(theta.size, theta.dtype)
    whole[block.index] = random_direction(rng, block.size)
    return whole.reshape(theta.shape)


def _check_symmetry(
    hvp: Callable[[Any, Any], Any], theta: Array, parts: list[Array], rng: np.random.Generator
) -> BlockReport:
    """Compare u . H v with v . H u for u and v that enter all blocks.

    The budget is rounding as the products themselves show it: their change when theta moves by one
    ulp, and eps times their size.
    """
    u, v = sum(parts), sum(rng.normal() * part for part in parts)
    assert isinstance(u, np.ndarray)
    assert isinstance(v, np.ndarray)
    eps = float(np.finfo(theta.dtype).eps)

    def both(point: Array) -> tuple[float, float, float]:
        Hu, Hv = np.asarray(hvp(point.copy(), u.copy())), np.asarray(hvp(point.copy(), v.copy()))
        size = norm(u * Hv) + norm(v * Hu)
        return _inner(u, Hv), _inner(v, Hu), size

    left, right, size = both(theta)
    change = 0.0
    for _ in range(2):
        signs = rng.choice(np.array([-1.0, 1.0]), size=theta.shape)
        moved = both((theta * (1 + eps * signs)).astype(theta.dtype))
        change = max(change, abs(moved[0] - left), abs(moved[1] - right))
    budget = SAFETY * (eps * size * theta.size**0.5 + change)
    error = abs(left - right)
    return BlockReport(
        verdict="pass" if error <= budget else "fail",
        relative_error=error / max(abs(left), abs(right), size) if error else 0.0,
        analytic=left,
        numeric=right,
        budget=budget,
        noise_floor=budget,
        evaluations=6,
        note="" if error <= budget else "u . H v and v . H u differ: the Hessian is symmetric",
    )
