"""AutoRec in PyTorch on dense matrices: what most published implementations do, at full speed.

Every cell is computed and the unrated ones are masked: three matrix products forward and
backward of 2 n_rows n_columns k operations each, and one more, all in BLAS.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from autorec_np._types import CSR, Array
from autorec_np.core.kernels import with_data
from autorec_np.core.optimizers import learning_rate_at

BLOCK_OF_ROWS = 512  # of a full value and gradient: faster than all rows at once
CELLS_AT_ONCE = 2**30  # 4 GB an array; larger data are made dense batch by batch


class Model:
    """Equation (2) with theta's four blocks as torch parameters.

    Parameters
    ----------
    matrix : csr_array, (n_rows, n_columns)
        Inputs.
    k : int
    penalties : (float, float)
        lambda of the encoder's and of the decoder's weight.
    targets : ndarray, (nnz,), optional
        None: the inputs.
    """

    def __init__(
        self, matrix: CSR, k: int, penalties: tuple[float, float], targets: Array | None = None
    ) -> None:
        self.matrix, self.k, self.penalties = matrix, k, penalties
        self.n_rows, self.n_columns = matrix.shape
        self.targets = matrix.data if targets is None else targets.astype(np.float32)
        self.prepare()
        self.reset(self.initial_theta(seed=0))

    def prepare(self) -> None:
        """Lay out the data in the form that training reads: dense at once, where that fits."""
        inputs = self.to_layer(self.matrix.data)
        same = self.targets is self.matrix.data
        targets = inputs if same else self.to_layer(self.targets)
        self.layers = inputs, targets, self.to_layer(np.ones(self.matrix.nnz, np.float32))

    def to_layer(self, values: Array) -> Any:
        """Return values of the rated cells as a dense tensor, or as CSR where that is too large."""
        layer = with_data(self.matrix, values)
        fits = self.n_rows * self.n_columns <= CELLS_AT_ONCE
        return torch.from_numpy(layer.toarray()) if fits else layer

    def initial_theta(self, seed: int) -> Array:
        """Return N(0, 0.01^2) weights, zero encoder biases and the mean target as output bias."""
        rng = np.random.default_rng(seed)
        v, w = rng.normal(0.0, 0.01, (2, self.n_columns * self.k))
        biases = np.zeros(self.k), np.full(self.n_columns, self.targets.mean())
        return np.concatenate([v, biases[0], w, biases[1]]).astype(np.float32)

    def reset(self, theta: Array) -> None:
        """Start from theta, laid out as `autorec_np` does: V, mu, W, b."""
        shapes = [(self.n_columns, self.k), (self.k,)] * 2
        shapes[3] = (self.n_columns,)
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        self.parameters = [
            torch.from_numpy(block.reshape(shape).copy()).requires_grad_()
            for block, shape in zip(np.split(theta, ends), shapes, strict=True)
        ]

    def squared_error(self, rows: Array | slice, corruption: float = 0.0) -> torch.Tensor:
        """Return the data term of (2) over some rows."""
        v, mu, w, b = self.parameters
        inputs = dense_rows(self.layers[0], rows)
        same = self.layers[1] is self.layers[0]
        targets = inputs if same else dense_rows(self.layers[1], rows)
        mask = dense_rows(self.layers[2], rows)
        if corruption:
            inputs = torch.nn.functional.dropout(inputs, corruption)
        hidden = torch.sigmoid(torch.addmm(mu, inputs, v))
        residuals = torch.addmm(b, hidden, w.T)
        residuals = (residuals - targets) * mask
        return residuals.square().sum()

    def value_and_gradient(self) -> tuple[float, Array]:
        """Return (2) over all rows and its gradient, without a step."""
        value = self.evaluate()
        return value, np.concatenate([p.grad.numpy().ravel() for p in self.parameters])

    def evaluate(self) -> float:
        """Return (2) over all rows, in blocks of rows; its gradient is left in the parameters."""
        v, mu, w, b = self.parameters
        mu.grad = b.grad = None
        value = 0.0
        with torch.no_grad():
            for penalty, weight in zip(self.penalties, (v, w), strict=True):
                flat = weight.flatten()
                value += penalty / 2 * torch.dot(flat, flat).item()
                if weight.grad is None:
                    weight.grad = torch.empty_like(weight)
                torch.mul(weight, penalty, out=weight.grad)
        for start in range(0, self.n_rows, BLOCK_OF_ROWS):
            loss = self.squared_error(slice(start, min(start + BLOCK_OF_ROWS, self.n_rows)))
            loss.backward()
            value += loss.item()
        return value

    def optimizer(self, rate: float) -> torch.optim.Adam:
        """Return fused Adam; the penalties are its weight decay, which costs nothing."""
        v, mu, w, b = self.parameters
        groups = [{"params": [v]}, {"params": [w]}, {"params": [mu, b]}]
        return torch.optim.Adam(groups, lr=rate, fused=True)

    def epoch(
        self,
        optimizer: torch.optim.Adam,
        rates: Iterable[float] = itertools.repeat(1e-3),
        batch_size: int = 512,
        corruption: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        """Visit every row once, in nearly equal batches, with a learning rate for each."""
        order = np.arange(self.n_rows) if rng is None else rng.permutation(self.n_rows)
        batches = np.array_split(order, math.ceil(self.n_rows / batch_size))
        for rows, rate in zip(batches, rates, strict=False):
            for group, penalty in zip(optimizer.param_groups, (*self.penalties, 0.0), strict=True):
                group["lr"], group["weight_decay"] = rate, penalty * len(rows) / self.n_rows
            optimizer.zero_grad(set_to_none=True)
            self.squared_error(rows, corruption).backward()
            optimizer.step()

    def train(
        self,
        epochs: int,
        rate: float,
        batch_size: int = 512,
        k: int = 500,
        corruption: float = 0.0,
        warm_up: float = 0.3,
        seed: int = 0,
    ) -> None:
        """Train anew with k hidden units; the schedule is our "cosine"."""
        self.k = k
        self.reset(self.initial_theta(seed))
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        optimizer = self.optimizer(rate)
        n_steps = epochs * math.ceil(self.n_rows / batch_size)
        rates = (
            learning_rate_at("cosine", rate, step, n_steps, warm_up) for step in itertools.count()
        )
        for _ in range(epochs):
            self.epoch(optimizer, rates, batch_size, corruption, rng)

    def predict(self, rows: Array, columns: Array) -> Array:
        """Return predictions of pairs."""
        v, mu, w, b = (parameter.detach().numpy() for parameter in self.parameters)
        hidden = expit(self.matrix @ v + mu)
        blocks = np.array_split(np.arange(len(rows)), 1 + len(rows) // 10_000)
        products = [np.einsum("nk,nk->n", hidden[rows[i]], w[columns[i]]) for i in blocks]
        return np.asarray(np.concatenate(products) + b[columns])


def dense_rows(layer: Any, rows: Array | slice) -> torch.Tensor:
    """Return rows of a dense tensor or a CSR array as a dense tensor."""
    if not isinstance(layer, torch.Tensor):
        return torch.from_numpy(layer[rows].toarray())
    return layer[rows if isinstance(rows, slice) else torch.from_numpy(rows)]
