"""The parameters as one flat vector with named, shaped views: optimizers see only the vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

ELEMENTS_PER_RUN = 1_024  # of an inner product, summed in the vectors' own dtype
WEIGHT_SCALE = 0.01  # standard deviation of the initial encoder and decoder weights


class ParameterLayout:
    """Where each named block of parameters lies in the flat vector theta.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Name and shape of each block, in the order of the vector.
    aliases : mapping of str to str, optional
        Further names of blocks: ``{"decoder.weight": "encoder.weight"}`` for tied weights.

    Attributes
    ----------
    shapes : dict of str to tuple of int
    slices : dict of str to slice
        The blocks; they cover the vector without overlap. Aliases are not in it.
    aliases : dict of str to str
    size : int
        Length of theta.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], aliases: Mapping[str, str] | None = None
    ) -> None:
        self.shapes = dict(shapes)
        self.aliases = dict(aliases or {})
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes.values())]).tolist()
        self.slices = {
            name: slice(start, stop)
            for name, start, stop in zip(self.shapes, ends[:-1], ends[1:], strict=True)
        }
        self.size: int = ends[-1]

    def views(self, theta: Array) -> dict[str, Array]:
        """Return {name: view of theta in the shape of the block}; writing to a view writes theta.

        Raises
        ------
        ValueError
            If theta is not a vector of length `size`.
        """
        if theta.shape != (self.size,):
            raise ValueError(
                f"theta must be a vector of length {self.size}, got an array of shape "
                f"{theta.shape}; build it with layout.initialize."
            )
        views = {
            name: theta[where].reshape(self.shapes[name]) for name, where in self.slices.items()
        }
        return views | {alias: views[name] for alias, name in self.aliases.items()}

    def part(self, name: str, first_row: int, n_rows: int) -> slice:
        """Return where rows first_row .. first_row + n_rows of a block lie in theta."""
        block = self.slices[name]
        width = (block.stop - block.start) // self.shapes[name][0]
        start = block.start + first_row * width
        return slice(start, start + n_rows * width)

    def initialize(
        self, random_state: np.random.Generator, dtype: npt.DTypeLike = np.float64
    ) -> Array:
        """Return a random theta.

        Encoder and decoder weights are N(0, 0.01^2); inner weights (n_in x n_out) are
        N(0, 2 / (n_in + n_out)) (Glorot and Bengio, 2010); biases are 0.
        """
        theta = np.zeros(self.size, dtype)
        for name, view in self.views(theta).items():
            if name.endswith(".weight") and name not in self.aliases:
                inner = name.startswith("hidden")
                scale = np.sqrt(2.0 / sum(view.shape)) if inner else WEIGHT_SCALE
                view[...] = random_state.normal(0.0, scale, view.shape)
        return theta

    def __repr__(self) -> str:
        blocks = ", ".join(f"{name}: {shape}" for name, shape in self.shapes.items())
        return f"ParameterLayout({self.size:,} parameters; {blocks})"


def inner_product(left: Array, right: Array) -> float:
    """Return left . right, summed in the dtype within short runs and in float64 over them.

    For float32 it is off by about 1e-9 of the product of the norms, and several times faster than
    float64 throughout. Complex numbers are not conjugated (complex step). The runs are too short
    for BLAS to share one among threads, which would change its result.
    """
    wide = np.result_type(left, np.float64)
    whole = left.size - left.size % ELEMENTS_PER_RUN
    rows, columns = (-1, 1, ELEMENTS_PER_RUN), (-1, ELEMENTS_PER_RUN, 1)
    sums = np.matmul(left[:whole].reshape(rows), right[:whole].reshape(columns))
    rest = np.einsum("i,i->", left[whole:], right[whole:])
    product: float = sums.sum(dtype=wide).item() + rest.item()  # complex for complex vectors
    return product
