"""The memory of L-BFGS in compact form: two passes over it for a direction, shared by threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from autorec_np._types import Array
from autorec_np.engine.threads import Workers, run

ELEMENTS_PER_BLOCK = 131_072  # of each vector in one task
ELEMENTS_PER_RUN = 1_024  # of an inner product, summed in the vectors' own dtype


class CompactPairs:
    """The last steps s and gradient differences y, and H g from them by two passes over memory.

    The compact form of the two-loop recursion, Byrd, Nocedal and Schnabel (1994), theorem 2.2: with
    R the upper triangle of S^T Y, D its diagonal, and gamma = s.y / y.y of the last pair,

        H g = gamma g + S R^-T ((D + gamma Y^T Y) u - gamma Y^T g) - gamma Y u,   R u = S^T g

    S^T y and Y^T y of a new pair are differences of S^T g and Y^T g, which are needed anyway. The
    methods are those of `core.lbfgs.TwoLoop`.

    Parameters
    ----------
    theta : ndarray, (n,)
        Gives length and dtype.
    memory : int
        Pairs that are kept.
    workers : Workers, optional
        Threads for the passes; no number depends on them.
    """

    def __init__(self, theta: Array, memory: int = 10, workers: Workers | None = None) -> None:
        self._store = np.zeros((2, memory, theta.size), theta.dtype)  # S and Y
        self._used: list[int] = []  # slots, oldest first
        self._products: Array = np.zeros((2, memory))  # of S and Y with the last gradient
        self._own_products: tuple[float, float] | None = None  # s.y and y.y of a new pair
        self._sy, self._yy = np.zeros((2, memory, memory))
        self._in_blocks = partial(in_blocks, theta.size, workers)

    def __len__(self) -> int:
        return len(self._used)

    def clear(self) -> None:
        """Forget all pairs."""
        self._used = []

    def add(self, old: tuple[Array, Array], new: tuple[Array, Array]) -> None:
        """Keep the differences of (theta, gradient) between two points, if s . y is positive."""
        slots = range(self._store.shape[1])
        if len(self._used) == len(slots):
            self._used.pop(0)
        slot = min(set(slots) - set(self._used))
        differences = self._store[:, slot]

        def subtract(block: slice) -> list[float]:
            parts = [
                np.subtract(after[block], before[block], out=difference[block])
                for before, after, difference in zip(old, new, differences, strict=True)
            ]
            return [inner_product(part, parts[1]) for part in parts]

        curvature, yy = np.sum(self._in_blocks(subtract), axis=0).tolist()
        if curvature <= 0 or yy == 0:  # the latter by underflow
            return
        self._used.append(slot)
        self._own_products = curvature, yy

    def direction(self, gradient: Array) -> tuple[Array, float]:
        """Return d = -H g, or -g without pairs, and g . d."""
        used = self._used
        if not used:
            return -gradient, -self.dot(gradient, gradient)

        def multiply(block: slice) -> list[list[Any]]:  # one product of all would not use two cores
            g = gradient[block]
            return [[np.dot(vector, g) for vector in part] for part in self._store[:, :, block]]

        products = np.asarray(np.sum(self._in_blocks(multiply), axis=0, dtype=np.float64))
        last = used[-1]
        if self._own_products is not None:
            self._sy[:, last], self._yy[:, last] = products - self._products
            self._yy[last] = self._yy[:, last]
            self._sy[last, last], self._yy[last, last] = self._own_products  # more exactly
            self._own_products = None
        self._products = products

        (sg, yg), gamma = products, self._sy[last, last] / self._yy[last, last]
        sy, yy = (matrix[np.ix_(used, used)] for matrix in (self._sy, self._yy))
        upper, curvature = np.triu(sy), np.diag(sy)
        u = np.linalg.solve(upper, sg[used])
        inner = curvature * u + gamma * (yy @ u - yg[used])
        weights = np.zeros((2, 1, self._store.shape[1]), gradient.dtype)
        weights[0, 0, used] = -np.linalg.solve(upper.T, inner)
        weights[1, 0, used] = gamma * u

        direction = np.empty_like(gradient)

        def combine(block: slice) -> float:
            parts = weights @ self._store[:, :, block]
            np.multiply(gradient[block], -gamma, out=direction[block])
            for part in parts:
                direction[block] += part[0]
            return inner_product(gradient[block], direction[block])

        return direction, sum(self._in_blocks(combine))

    def move(self, theta: Array, step: float, direction: Array) -> Array:
        """Return theta + step d."""
        point = np.empty_like(theta)

        def work(block: slice) -> None:
            np.multiply(direction[block], theta.dtype.type(step), out=point[block])
            point[block] += theta[block]

        self._in_blocks(work)
        return point

    def dot(self, left: Array, right: Array) -> float:
        """Return left . right, accumulated in float64 over short runs."""
        products = self._in_blocks(lambda block: inner_product(left[block], right[block]))
        return float(sum(products))


def in_blocks(size: int, workers: Workers | None, task: Callable[[slice], Any]) -> list[Any]:
    """Return what a task gives for each block of vectors of one size, in order."""
    blocks = [slice(i, i + ELEMENTS_PER_BLOCK) for i in range(0, size, ELEMENTS_PER_BLOCK)]
    results: list[Any] = [None] * len(blocks)

    def work(number: int, block: slice) -> None:
        results[number] = task(block)

    run([partial(work, *numbered) for numbered in enumerate(blocks)], workers)
    return results


def inner_product(left: Array, right: Array) -> float:
    """Return left . right, summed in the dtype within short runs and in float64 over them.

    For float32 it is off by about 1e-9 of the product of the norms, and several times faster than
    float64 throughout. The runs are too short for BLAS to share one among threads, which would
    change its result.
    """
    whole = left.size - left.size % ELEMENTS_PER_RUN
    rows, columns = (-1, 1, ELEMENTS_PER_RUN), (-1, ELEMENTS_PER_RUN, 1)
    sums = np.matmul(left[:whole].reshape(rows), right[:whole].reshape(columns))
    rest = np.einsum("i,i->", left[whole:], right[whole:])
    return float(sums.sum(dtype=np.float64) + rest)
