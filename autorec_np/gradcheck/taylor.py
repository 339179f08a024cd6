"""The Taylor test: the slopes of the remainders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .differences import RATIO, SAFETY, Line, Sample, coarseness, measured_noise, noise_level
from .function import (
    Array,
    Block,
    Fun,
    Function,
    check_direction,
    make_blocks,
    one_blas_thread,
    parts_of,
    random_direction,
    rms,
)
from .probes import line_scale
from .report import Report, Verdict, jsonable, number

_LARGEST_STEP = 0.25  # of the size of theta along the direction
_FITTED = 4  # remainders in a fit: they span a factor 64 of steps
_SLACK = 0.2  # a slope this much below its order is a failure
_VISIBLE = 1e-3  # a relative error of the gradient that must stand out of the noise


@dataclass(frozen=True)
class TaylorBlock:
    """Remainders along one direction of one block.

    Attributes
    ----------
    verdict : Verdict
        A string: "pass", "fail" or "inconclusive".
    slopes : dict of int to float
        Fitted slope of the remainder of each order: order + 1 when right, infinite when exact.
    steps : list of float
        Descending.
    remainders : dict of int to list of float
        By order, aligned with `steps`.
    noise_floor : float
        Remainders below it are rounding noise and take no part in the fit. It is that of the
        smallest step: where the values are larger, their rounding is.
    note : str
    evaluations : int
    """

    verdict: Verdict
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
    direction : as theta, optional
        Along it, confined to each block; default: random.
    hvp : callable, optional
        ``hvp(theta, v) -> H v``; adds order 2.
    random_state : int, Generator or None

    Returns
    -------
    TaylorReport
        ``report.blocks[name].slopes[1]`` is near 2, infinite where the function is linear.
    """
    parts = parts_of(theta)
    if parts is not None:
        fun, value, hvp = (
            parts.gradient_of(fun),
            value and parts.of(value),
            hvp and parts.product_of(hvp),
        )
        theta, blocks = parts.flat(), parts if blocks is None else blocks
        direction = None if direction is None else parts.join(direction, "direction")
    with one_blas_thread(np.size(theta)):
        return _taylor_report(fun, theta, blocks, direction, hvp, value, random_state)


def _taylor_report(
    fun: Fun,
    theta: Any,
    blocks: Any,
    direction: Any,
    hvp: Callable[[Any, Any], Any] | None,
    value: Fun | None,
    random_state: Any,
) -> TaylorReport:
    function = Function(fun, theta, value)
    along = None if direction is None else check_direction(direction, function)
    named = [
        block
        for block in make_blocks(blocks, function.shape)
        if along is None or not block.others or along[block.index].any()
    ]
    if function.differs:
        note = function.differs
        empty = TaylorBlock(Verdict.INCONCLUSIVE, {}, [], {}, np.nan, note)
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
            return TaylorBlock(Verdict.INCONCLUSIVE, {}, [], {}, np.nan, note)
    direction = direction / rms(direction)
    theta = function.theta[block.index]
    line = Line(function, block.index, direction, line_scale(theta, direction))
    samples = _samples(line)
    if len(samples) < 3:
        note = f"fewer than three steps could be evaluated ({dict(function.skipped)})"
        return TaylorBlock(Verdict.INCONCLUSIVE, {}, [], {}, np.nan, note)
    floors = _noise_floors(function, samples)
    curvature = None if hvp is None else _curvature(hvp, function, block, direction)
    remainders = _remainders(samples, line.analytic, curvature)
    steps = [s.step for s in samples]
    slopes = {order: fitted_slope(steps, r, floors, order) for order, r in remainders.items()}
    verdict, note = _taylor_verdict(samples, slopes, floors, remainders)
    evaluations = function.evaluations - before
    return TaylorBlock(verdict, slopes, steps, remainders, floors[-1], note, evaluations)


def _samples(line: Line) -> list[Sample]:
    """Samples at descending steps, from a quarter of theta to its spacing."""
    eps = line.function.eps
    n = int(np.log(_LARGEST_STEP / (64 * eps)) / np.log(RATIO))
    taken = [line.sample(_LARGEST_STEP * line.scale / RATIO**k) for k in range(n + 1)]
    return [s for s in taken if s is not None]


def _noise_floors(function: Function, samples: Sequence[Sample]) -> list[float]:
    """Return twice the noise of the values at each step, with the safety of the error budget.

    One huge value at a large step is rounded coarsely, which says nothing of the others.
    """
    ascending = samples[::-1]
    small = ascending[: len(ascending) // 2 + 2]
    triples = zip(small, small[1:], small[2:], strict=False)
    measured = noise_level([r for t in triples for r in measured_noise(t)])
    common = max(measured, coarseness(function, samples))
    return [2 * SAFETY * max(common, function.eps * s.size) for s in samples]


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
    steps: Sequence[float], remainders: Sequence[float], floors: Sequence[float], order: int
) -> float:
    """Return the log-log slope at the smallest steps above the floor; infinite if exact there.

    `steps` descend. A remainder that falls below the floor from one step to the next faster than
    any smooth one could (it leaves a kink behind) is exact as well.
    """
    above = 0
    while above < len(steps) and remainders[above] > floors[above]:
        above += 1
    if above < len(steps):
        drop = RATIO ** (order + 3)
        if above < 2 or remainders[above - 1] > drop * floors[above]:
            return float(np.inf)
    first = max(0, above - _FITTED)
    log_steps = np.log(steps[first:above])
    centered = log_steps - log_steps.mean()
    return float(centered @ np.log(remainders[first:above]) / (centered @ centered))


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
        return Verdict.INCONCLUSIVE, "the changes of the function are lost in its rounding noise"
    steps = [s.step for s in samples]
    if fitted_slope(steps, [abs(s.even) for s in samples], floors, 1) < 1.5:
        return Verdict.INCONCLUSIVE, "theta lies on a kink; use check_gradient"
    low = [order for order, slope in slopes.items() if slope < order + 1 - _SLACK]
    if low:
        what = {0: "value", 1: "gradient", 2: "Hessian-vector product"}
        wrong = what[min(low)]
        return (
            Verdict.FAIL,
            f"the remainder of order {min(low)} falls too slowly: the {wrong} is wrong",
        )
    return Verdict.PASS, ""
