"""The complex step: the derivatives of analytic functions, exact to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .differences import CENTRAL, SAFETY, Estimate, Line, noise_level
from .function import (
    Array,
    Block,
    Fun,
    Function,
    OutOfEvaluations,
    check_direction,
    check_theta,
    norm,
    one_blas_thread,
    parts_of,
    random_direction,
    rms,
)
from .probes import AT_KINK, Outcome, Probe, ProbeMaker, line_scale

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
        Exact to rounding, near 1e-15 relative.

    Raises
    ------
    ComplexStepError
        Where `fun` is not complex-safe: it raises, returns a real value, or disagrees with a
        central difference beyond the error budget of that.
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
