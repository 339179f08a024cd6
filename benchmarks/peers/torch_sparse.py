"""AutoRec in PyTorch at the rated cells only: the strongest that we could write.

The encoder is a CSR product, the decoder `torch.sparse.sampled_addmm`; both have their derivative
written by hand in an autograd function, because PyTorch's own for CSR matrices forms them in other
layouts: an epoch of ML-1M takes 0.7 s so, and 0.4 s like this. The transposed pattern of a batch is
made once and serves both derivatives. Indices are int32: MKL's products need no conversion then.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse

from autorec_np._types import CSR, Array
from benchmarks.peers import torch_dense

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


class Pattern(NamedTuple):
    """A batch's sparsity pattern, its transpose, and the way between their entries."""

    indptr: torch.Tensor
    indices: torch.Tensor
    transposed_indptr: torch.Tensor
    transposed_indices: torch.Tensor
    order: torch.Tensor  # the transpose's entries in the pattern's
    shape: tuple[int, int]

    @classmethod
    def of(cls, matrix: CSR) -> Pattern:
        """Return the pattern of a CSR array with sorted rows."""
        numbered = sparse.csr_array(
            (np.arange(matrix.nnz, dtype=np.int32), matrix.indices, matrix.indptr),
            shape=matrix.shape,
        )
        transposed = numbered.tocsc()
        return cls(
            torch.from_numpy(matrix.indptr.astype(np.int32, copy=False)),
            torch.from_numpy(matrix.indices.astype(np.int32, copy=False)),
            torch.from_numpy(transposed.indptr.astype(np.int32, copy=False)),
            torch.from_numpy(transposed.indices.astype(np.int32, copy=False)),
            torch.from_numpy(transposed.data),
            matrix.shape,
        )

    def with_values(self, values: torch.Tensor) -> torch.Tensor:
        """Return the CSR tensor with these values."""
        return torch.sparse_csr_tensor(
            self.indptr, self.indices, values, self.shape, check_invariants=False
        )

    def transposed_with(self, values: torch.Tensor) -> torch.Tensor:
        """Return the transpose of :meth:`with_values`, as CSR."""
        return torch.sparse_csr_tensor(
            self.transposed_indptr,
            self.transposed_indices,
            values[self.order],
            self.shape[::-1],
            check_invariants=False,
        )


class Encode(torch.autograd.Function):
    """X V + mu."""

    @staticmethod
    def forward(
        ctx: Any, weight: torch.Tensor, bias: torch.Tensor, pattern: Pattern, values: torch.Tensor
    ) -> torch.Tensor:
        ctx.pattern, ctx.values = pattern, values
        return torch.addmm(bias.expand(pattern.shape[0], -1), pattern.with_values(values), weight)

    @staticmethod
    def backward(ctx: Any, d_z: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        d_weight = ctx.pattern.transposed_with(ctx.values) @ d_z
        return d_weight, d_z.sum(0), None, None


class Decode(torch.autograd.Function):
    """H_r . W_c + b_c at the entries of the pattern."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, pattern: Pattern
    ) -> torch.Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(hidden, weight)
        at_start = pattern.with_values(bias[pattern.indices])
        return torch.sparse.sampled_addmm(at_start, hidden, weight.T).values()

    @staticmethod
    def backward(ctx: Any, d_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight = ctx.saved_tensors
        d_hidden = ctx.pattern.with_values(d_output) @ weight
        d_weight = ctx.pattern.transposed_with(d_output) @ hidden
        d_bias = torch.zeros(len(weight)).index_add_(0, ctx.pattern.indices, d_output)
        return d_hidden, d_weight, d_bias, None


class Model(torch_dense.Model):
    """As the dense model, in another layout."""

    def prepare(self) -> None:
        """Number the entries, so that a batch's targets are found from its rows."""
        self.blocks: dict[tuple[int, int], tuple[CSR, Pattern]] = {}
        self.numbered: CSR = sparse.csr_array(
            (np.arange(self.matrix.nnz), self.matrix.indices, self.matrix.indptr),
            shape=self.matrix.shape,
        )

    def squared_error(self, rows: Array | slice, corruption: float = 0.0) -> torch.Tensor:
        """Return the data term of (2) over some rows."""
        block, pattern = self.block(rows)
        inputs = torch.from_numpy(self.matrix.data[block.data])
        if corruption:
            inputs = torch.nn.functional.dropout(inputs, corruption)
        v, mu, w, b = self.parameters
        hidden = torch.sigmoid(Encode.apply(v, mu, pattern, inputs))
        outputs = Decode.apply(hidden, w, b, pattern)
        return (outputs - torch.from_numpy(self.targets[block.data])).square().sum()

    def block(self, rows: Array | slice) -> tuple[CSR, Pattern]:
        """Return some rows and their pattern; those of a full evaluation are made once."""
        if not isinstance(rows, slice):
            block = self.numbered[rows]
            return block, Pattern.of(block)
        key = rows.start, rows.stop
        if key not in self.blocks:
            block = self.numbered[rows]
            self.blocks[key] = block, Pattern.of(block)
        return self.blocks[key]
