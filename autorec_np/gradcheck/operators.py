"""Linear maps and second derivatives: the adjoint test, and Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .check import check_gradient
from .differences import SAFETY
from .function import (
    Array,
    Block,
    Fun,
    check_theta,
    make_blocks,
    norm,
    parts_of,
    random_direction,
)
from .report import BlockReport, GradientReport, Verdict, jsonable

_VISIBLE = 1e-2  # relative: a budget beyond it hides what the test is for
_LINEAR = 1e-5  # relative: departures below it may be rounding inside of A


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
        What is wrong or what hides it; empty if the test passed.
    verdict : Verdict
        A string: "pass", "fail" or "inconclusive".
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
        Inconclusive where two calls of A differ, where A is linear only to some digits fewer than
        its type has (it computes in float32, or iterates) and the difference is no larger, or where
        the budget exceeds a hundredth of the two sides.

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
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS):
        found = [trial for trial in trials if trial.verdict is verdict]
        if found:
            break
    return max(found, key=lambda t: t.difference / t.budget if t.budget else 0.0)


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
    eps = max(float(np.finfo(d).eps) for d in (dtype, *_seen_dtypes(Ax, Aty)))
    rounding = SAFETY * eps * max(x.size, y.size) ** 0.5
    forward, adjoint = _inner(Ax, y), _inner(x, Aty)
    scale = norm(Ax) * norm(y) + norm(x) * norm(Aty)
    difference = abs(forward - adjoint)
    departure = norm(np.asarray(A(x - 2 * other)) - Ax + 2 * A_other)
    verdict, note = _adjoint_verdict(
        bool(np.isfinite([forward, adjoint]).all()),
        bool(np.array_equal(Ax, np.asarray(A(x.copy())))),
        departure / (norm(Ax) + 2 * norm(A_other) or 1.0),
        difference / (scale or 1.0),
        rounding,
        max(abs(forward), abs(adjoint)) / (scale or 1.0),
    )
    return AdjointReport(forward, adjoint, difference, rounding * scale, note, verdict)


def _adjoint_verdict(
    finite: bool, repeats: bool, bend: float, difference: float, rounding: float, size: float
) -> tuple[Verdict, str]:
    """Judge a trial; `bend` is the departure from linearity, all are relative."""
    if not finite:
        return Verdict.FAIL, "A or At returned values that are not finite"
    if not repeats and bend > rounding:
        return Verdict.INCONCLUSIVE, "two calls of A with the same x differ: freeze what is random"
    if bend > max(rounding, _LINEAR):
        return Verdict.FAIL, "A is not linear: A(x - 2 z) differs from A(x) - 2 A(z)"
    if difference > rounding:
        if difference > SAFETY * bend:
            return Verdict.FAIL, "At is not the adjoint of A"
        note = f"A is linear only to {bend:.1g} (it rounds or iterates inside), which hides this"
        return Verdict.INCONCLUSIVE, note
    if rounding > _VISIBLE * size > 0:
        return Verdict.INCONCLUSIVE, "rounding hides errors of more than one percent"
    return Verdict.PASS, ""


def _seen_dtypes(*arrays: Array) -> list[Any]:
    """Return the precision of the arrays, float32 also where all values of one are of float32."""
    floating = [a.dtype if a.dtype.kind == "f" else np.dtype(np.float64) for a in arrays]
    short = [a.any() and np.array_equal(a, a.astype(np.float32)) for a in arrays]
    return [np.float32 if s else d for s, d in zip(short, floating, strict=True)]


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
    notes: list[str] = []
    evaluations = 0
    for row, u in vectors.items():

        def projected(x: Any, u: Array = u) -> tuple[Any, Any]:
            return np.sum(u * np.asarray(fun(x)[1])), hvp(x, u.copy())

        report = check_gradient(projected, point, partition, random_state=rng, **options)
        reports |= {f"{row} x {column}": found for column, found in report.blocks.items()}
        evaluations += report.evaluations
        notes += [report.note] if report.note and report.note not in notes else []
    tolerance = options.get("tolerance") or 0.0
    reports["symmetry"] = _check_symmetry(hvp, point, list(vectors.values()), rng, tolerance)
    return GradientReport(reports, "; ".join(notes), evaluations)


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
    relative_error = error / max(abs(left), abs(right), size) if error else 0.0
    note, verdict = "", Verdict.PASS
    if error > budget and relative_error <= tolerance:
        note = f"accepted within tolerance={tolerance:g}"
    elif error > budget:
        verdict = Verdict.FAIL
        note = "u . H v and v . H u differ: the Hessian is symmetric"
    return BlockReport(
        verdict=verdict,
        relative_error=error / max(abs(left), abs(right)) if error else 0.0,
        analytic=left,
        numeric=right,
        budget=budget,
        noise_floor=budget,
        evaluations=6,
        note=note,
    )
