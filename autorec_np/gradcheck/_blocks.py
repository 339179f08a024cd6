"""Named blocks of theta: validated index sets, and coordinates with readable names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._function import Array


class Block:
    """A named part of flat theta: `index` (a slice or int array), and the shape it stands for."""

    def __init__(
        self, name: str, index: slice | Array, size: int, shape: tuple[int, ...] | None = None
    ) -> None:
        self.name, self.index, self.size = name, index, size
        self.shape = shape if shape is not None else (size,)

    def position(self, i: int) -> int:
        """Return the flat position in theta of the block's i-th entry."""
        if isinstance(self.index, slice):
            return int(self.index.start) + i * int(self.index.step)
        return int(self.index[i])

    def coordinate(self, i: int) -> str:
        """Return the name of the block's i-th entry, such as ``decoder.weight[17, 3]``."""
        subscripts = np.unravel_index(i, self.shape)
        return f"{self.name}[{', '.join(str(int(k)) for k in subscripts)}]"


def make_blocks(blocks: Any, theta_shape: tuple[int, ...]) -> list[Block]:
    """Return the blocks of a mapping name -> indices, of a layout, or one of the whole theta."""
    n = int(np.prod(theta_shape))
    if blocks is None:
        return [Block("theta", slice(0, n, 1), n, theta_shape)]
    shapes: Mapping[str, tuple[int, ...]] = {}
    if hasattr(blocks, "slices") and hasattr(blocks, "shapes"):
        blocks, shapes = blocks.slices, blocks.shapes
    if not isinstance(blocks, Mapping):
        raise TypeError(
            f"blocks must map names to slices or index arrays, or be a layout with .slices and "
            f".shapes, got {type(blocks).__name__}; pass for example {{'weight': slice(0, 6)}}."
        )
    if not blocks:
        raise ValueError("blocks must name at least one block, got none; pass None for all.")
    made = [_make_block(str(name), index, n, shapes.get(name)) for name, index in blocks.items()]
    _check_overlap(made, n)
    return made


def _make_block(name: str, index: Any, n: int, shape: Any) -> Block:
    if isinstance(index, slice):
        normal = slice(*index.indices(n))
        size = len(range(normal.start, normal.stop, normal.step))
        if index.stop is not None and (index.stop > n or index.stop < -n):
            raise IndexError(
                f"block {name!r} is {index}, but theta has {n} entries; stop must be at most {n}."
            )
        positions: slice | Array = normal
    else:
        positions = np.atleast_1d(np.asarray(index))
        if positions.dtype == bool:
            if positions.shape != (n,):
                raise IndexError(
                    f"block {name!r} is a mask of shape {positions.shape}, but theta has {n} "
                    f"entries; pass a mask of shape ({n},)."
                )
            positions = np.flatnonzero(positions)
        if positions.dtype.kind not in "iu" and positions.size:
            raise TypeError(
                f"block {name!r} must be a slice, integer indices or a mask, got "
                f"{type(index).__name__} of dtype {positions.dtype}."
            )
        positions = positions.ravel().astype(np.intp)
        size = positions.size
        if size and (positions.min() < -n or positions.max() >= n):
            raise IndexError(
                f"block {name!r} has indices from {positions.min()} to {positions.max()}, but "
                f"theta has {n} entries; give indices from 0 to {n - 1}."
            )
        positions = positions % n
    if size == 0:
        raise ValueError(
            f"block {name!r} is empty ({index}); leave it out or give it at least one index."
        )
    if shape is not None and int(np.prod(shape)) != size:
        raise ValueError(
            f"block {name!r} has {size} entries but shape {tuple(shape)}; the two must agree."
        )
    return Block(name, positions, size, None if shape is None else tuple(shape))


def _check_overlap(blocks: list[Block], n: int) -> None:
    owner = np.full(n, -1, dtype=np.intp)
    for number, block in enumerate(blocks):
        taken = owner[block.index]
        if (taken >= 0).any():
            raise ValueError(
                f"blocks {blocks[int(taken.max())].name!r} and {block.name!r} overlap; each entry "
                f"of theta may belong to one block only, or a fault would be blamed on both."
            )
        owner[block.index] = number
        if np.count_nonzero(owner == number) != block.size:
            raise ValueError(f"block {block.name!r} names an index twice; give each index once.")
