"""The parameters as one flat vector with named, shaped views: optimizers see only the vector."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from autorec_np._types import Array

COLUMN_BLOCKS = ("encoder.weight", "decoder.weight", "decoder.bias")  # with a row a column
WEIGHT_SCALE = 0.01  # standard deviation of the initial encoder and decoder weights


class ParameterLayout:
    """Where each named block of parameters lies in the flat vector theta.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Name and shape of each block, in the order of the vector.
    aliases : mapping of str to str, optional
        Further names of blocks: ``{"decoder.weight": "encoder.weight"}`` for tied weights, (14).

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
        self.slices: dict[str, slice] = {}
        self.size = 0
        for name, shape in self.shapes.items():
            start, self.size = self.size, self.size + int(np.prod(shape))
            self.slices[name] = slice(start, self.size)

    def views(self, theta: Array) -> dict[str, Array]:
        """Return {name: view of theta in the shape of the block}; writing to a view writes theta.

        Two names of one block give the very same view, (14).

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
