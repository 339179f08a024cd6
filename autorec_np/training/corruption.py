"""Random damage to the network's inputs, in training only: denoising and dropout.

Who is hit is looked up, not drawn in turn: (seed, step, position) says it. So a mask depends on
neither threads nor batches, nor on which part of a matrix is at hand, nor on who asks first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autorec_np._types import AnyMatrix, Array
from autorec_np.core.kernels import with_data

INPUT = 0  # the layer that `corrupt` damages; hidden layers count from 1
ENTRIES_PER_BLOCK = 32_768  # that are looked up at once, in a core's cache


class Draws(NamedTuple):
    """A counter-based generator: SplitMix64 (Steele, Lea and Flood, 2014), read at any position.

    Number n of a stream is mix(start + n gamma). Each layer of each step has a stream of its own.
    """

    seed: int
    step: int

    def at(self, positions: Array, layer: int = INPUT) -> Array:
        """Return the numbers at some positions, (n,), uniform uint64 each."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(self.step, layer))
        return splitmix64(sequence.generate_state(1, np.uint64)[0], positions)

    def keeps(self, positions: Array, probability: float, layer: int = INPUT) -> Array:
        """Return (n,) bool: False, with the probability, where a position is hit."""
        return np.asarray(self.at(positions, layer) >= np.uint64(probability * 2.0**64))


def splitmix64(start: np.uint64, positions: Array) -> Array:
    """Return what SplitMix64, seeded with `start`, gives as numbers 0, 1, ... at positions (n,)."""
    z = positions.astype(np.uint64)
    z += np.uint64(1)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += start
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def corrupt(
    inputs: AnyMatrix, probability: float, draws: Draws, entries: Array | None = None
) -> AnyMatrix:
    """Return inputs with each stored value set to 0 with a probability, the others scaled up.

    The others are divided by (1 - probability), so that the expectation of V^T r stays the same
    (masking noise of Vincent et al., 2010, in inverted form). The pattern is kept; all planes of a
    pair are hit, or none. `entries` says where each stored value lies in the data of the whole
    matrix; None: `inputs` is the whole.
    """
    kept = np.empty(inputs.nnz, bool)
    for first in range(0, inputs.nnz, ENTRIES_PER_BLOCK):
        block = slice(first, min(first + ENTRIES_PER_BLOCK, inputs.nnz))
        positions = np.arange(block.start, block.stop) if entries is None else entries[block]
        kept[block] = draws.keeps(positions, probability)
    return with_data(inputs, inputs.data * kept / inputs.dtype.type(1.0 - probability))


def dropout_masks(
    rows: Array, widths: Sequence[int], probability: float, draws: Draws, dtype: npt.DTypeLike
) -> list[Array]:
    """Return one array (len(rows), width) of 0 or 1 / (1 - probability) for each hidden layer."""
    values = np.array([0.0, 1.0 / (1.0 - probability)], dtype)
    masks = []
    for layer, width in enumerate(widths, INPUT + 1):
        units = rows[:, np.newaxis] * width + np.arange(width)
        kept = draws.keeps(units.reshape(-1), probability, layer)
        masks.append(values[kept.astype(np.intp)].reshape(units.shape))
    return masks
