"""Small functions of the checker's tests, and random correct objectives, easy and nasty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from textbook_functions import FACTORIES, TextbookFunction

POINT = np.array([-1.2, 1.0, 0.5, 2.0])
BLOCKS = {"front": slice(0, 2), "back": slice(2, 4)}


def rosenbrock(x):
    a, b = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * x[:-1] * a - 2 * b
    gradient[1:] += 200 * a
    return float(np.sum(100 * a**2 + b**2)), gradient


def with_fault(fun, index, factor):
    """The same function with one entry of its gradient off."""

    def faulty(theta):
        value, gradient = fun(theta)
        gradient = gradient.copy()
        gradient[index] *= factor
        return value, gradient

    return faulty


def absolute(x):
    return float(np.abs(x).sum()), np.sign(x)


def verdicts(report):
    return {name: block.verdict for name, block in report.blocks.items()}


@dataclass(frozen=True)
class Case:
    """A correct objective and how to check it."""

    name: str
    fun: Callable[[Any], Any]
    theta: Any
    blocks: dict[str, slice]
    options: dict[str, Any] = field(default_factory=dict)
    clean: bool = True  # a verdict is owed: float64, smooth, no cancellation beyond repair


def plain(case: TextbookFunction, rng: np.random.Generator) -> Case:
    options: dict[str, Any] = {}
    if case.pattern is not None and rng.random() < 0.5:
        options["pattern"] = case.pattern
    if rng.random() < 0.8:
        options["value"] = case.value
        if case.analytic and rng.random() < 0.25:
            options["method"] = "complex"
    return Case(case.name, case, case.theta, case.blocks, options)


def forward(case: TextbookFunction, rng: np.random.Generator) -> Case:
    options = {"method": "forward", "value": case.value}
    return Case(case.name, case, case.theta, case.blocks, options, clean=False)


def whole(case: TextbookFunction, rng: np.random.Generator) -> Case:
    return Case(
        case.name, case, case.theta, {"all": slice(0, case.theta.size)}, {"value": case.value}
    )


def scaled_blocks(case: TextbookFunction, rng: np.random.Generator) -> Case:
    scale = np.ones(case.theta.size)
    for block in case.blocks.values():
        scale[block] = 10.0 ** rng.uniform(-8, 8)

    def fun(phi: Any) -> tuple[Any, Any]:
        value, gradient = case(phi * scale)
        return value, gradient * scale

    return Case(case.name, fun, case.theta / scale, case.blocks)


def scaled_entries(case: TextbookFunction, rng: np.random.Generator) -> Case:
    scale = 10.0 ** rng.uniform(-4, 4, size=case.theta.size)

    def fun(phi: Any) -> tuple[Any, Any]:
        value, gradient = case(phi * scale)
        return value, gradient * scale

    return Case(case.name, fun, case.theta / scale, case.blocks, clean=False)


def scaled_value(case: TextbookFunction, rng: np.random.Generator) -> Case:
    factor = 10.0 ** rng.uniform(-12, 12)

    def fun(theta: Any) -> tuple[Any, Any]:
        value, gradient = case(theta)
        return factor * value, factor * gradient

    return Case(case.name, fun, case.theta, case.blocks)


def offset(case: TextbookFunction, rng: np.random.Generator) -> Case:
    constant = 10.0 ** rng.uniform(0, 4)

    def fun(theta: Any) -> tuple[Any, Any]:
        value, gradient = case(theta)
        return value + constant, gradient

    return Case(case.name, fun, case.theta, case.blocks)


def large_offset(case: TextbookFunction, rng: np.random.Generator) -> Case:
    constant = 10.0 ** rng.uniform(4, 14)

    def fun(theta: Any) -> tuple[Any, Any]:
        value, gradient = case(theta)
        return value + constant, gradient

    return Case(case.name, fun, case.theta, case.blocks, clean=False)


def cancelling(case: TextbookFunction, rng: np.random.Generator) -> Case:
    large = rng.normal(size=20) * 10.0 ** rng.uniform(0, 12)

    def fun(theta: Any) -> tuple[Any, Any]:
        value, gradient = case(theta)
        terms = value + large
        return float(np.sum(np.concatenate([terms, -large])) / len(large)), gradient

    return Case(case.name, fun, case.theta, case.blocks, clean=False)


def stationary(case: TextbookFunction, rng: np.random.Generator) -> Case:
    slope = case.gradient(case.theta)

    def fun(theta: Any) -> tuple[Any, Any]:
        value, gradient = case(theta)
        return value - slope @ (theta - case.theta), gradient - slope

    return Case(case.name, fun, case.theta, case.blocks)


def zero_theta(case: TextbookFunction, rng: np.random.Generator) -> Case:
    if case.name in ("cosine_similarity", "rayleigh_quotient"):
        return plain(case, rng)
    return Case(case.name, case, 0 * case.theta, case.blocks, clean=False)


def sparse_theta(case: TextbookFunction, rng: np.random.Generator) -> Case:
    if case.name in ("cosine_similarity", "rayleigh_quotient"):
        return plain(case, rng)
    theta = case.theta * (rng.random(case.theta.size) < 0.5)
    clean = case.name not in ("lasso", "relu_network")
    return Case(case.name, case, theta, case.blocks, clean=clean)


def unused_block(case: TextbookFunction, rng: np.random.Generator) -> Case:
    n = case.theta.size

    def fun(theta: Any) -> tuple[Any, Any]:
        value, gradient = case(theta[:n])
        return value, np.concatenate([gradient, np.zeros(3)])

    blocks = {**case.blocks, "unused": slice(n, n + 3)}
    return Case(case.name, fun, np.concatenate([case.theta, rng.normal(size=3)]), blocks)


def linear(case: TextbookFunction, rng: np.random.Generator) -> Case:
    slope = case.gradient(case.theta)
    return Case("linear", lambda x: (slope @ x + 1, slope.copy()), case.theta, case.blocks)


def constant(case: TextbookFunction, rng: np.random.Generator) -> Case:
    value = float(rng.normal())
    return Case("constant", lambda x: (value, np.zeros_like(x)), case.theta, case.blocks)


def float32(case: TextbookFunction, rng: np.random.Generator) -> Case:
    theta = case.theta.astype(np.float32)
    return Case(case.name, case, theta, case.blocks, clean=False)


def float32_only(case: TextbookFunction, rng: np.random.Generator) -> Case:
    def fun(theta: Any) -> tuple[Any, Any]:
        if theta.dtype != np.float32:
            raise TypeError("float32 only")
        value, gradient = case(theta)
        return np.float32(value), gradient.astype(np.float32)

    return Case(case.name, fun, case.theta.astype(np.float32), case.blocks, clean=False)


def float32_inside(case: TextbookFunction, rng: np.random.Generator) -> Case:
    def fun(theta: Any) -> tuple[Any, Any]:
        value, gradient = case(theta.astype(np.float32))
        return float(value), gradient.astype(theta.dtype)

    dtype = np.float64 if rng.random() < 0.5 else np.float32
    return Case(case.name, fun, case.theta.astype(dtype), case.blocks, clean=False)


def narrow_domain(case: TextbookFunction, rng: np.random.Generator) -> Case:
    radius = 10.0 ** rng.uniform(-6, -2)

    def fun(theta: Any) -> tuple[Any, Any]:
        value, gradient = case(theta)
        outside = np.max(np.abs(theta - case.theta)) > radius
        return (np.nan if outside else value), gradient

    return Case(case.name, fun, case.theta, case.blocks)


VARIANTS = (
    (plain, 8),
    (whole, 1),
    (forward, 1),
    (scaled_blocks, 2),
    (scaled_entries, 1),
    (scaled_value, 1),
    (offset, 1),
    (large_offset, 1),
    (cancelling, 1),
    (stationary, 1),
    (zero_theta, 1),
    (sparse_theta, 1),
    (unused_block, 1),
    (linear, 1),
    (constant, 1),
    (float32, 1),
    (float32_only, 1),
    (float32_inside, 1),
    (narrow_domain, 1),
)


def random_case(seed: int) -> Case:
    """The correct case number `seed`."""
    rng = np.random.default_rng(seed)
    textbook = FACTORIES[int(rng.integers(len(FACTORIES)))](rng)
    weights = np.array([weight for _, weight in VARIANTS], dtype=float)
    variant = VARIANTS[int(rng.choice(len(VARIANTS), p=weights / weights.sum()))][0]
    case = variant(textbook, rng)
    return replace(case, name=f"{case.name}/{variant.__name__}")
