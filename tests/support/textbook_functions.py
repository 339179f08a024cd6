"""Twenty-two textbook objectives with gradients written by hand.

Each factory draws a small problem from a Generator. ``value(theta, xp)`` is written once for NumPy
and for ``autograd.numpy`` (`xp`), so that automatic differentiation can confirm the gradient that
stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TextbookFunction:
    """An objective, its gradient, a point, and the named blocks of theta."""

    name: str
    value: Callable[..., Any]  # value(theta, xp=numpy)
    gradient: Callable[[Any], Any]
    theta: Any
    blocks: dict[str, slice]
    analytic: bool = True  # the complex step applies
    pattern: Callable[[Any], Any] | None = field(default=None)

    def __call__(self, theta: Any) -> tuple[Any, Any]:
        return self.value(theta), self.gradient(theta)


def blocks_of(**sizes: int) -> dict[str, slice]:
    """Consecutive slices of the given sizes."""
    ends = np.cumsum(list(sizes.values()))
    return {
        name: slice(int(end) - size, int(end))
        for (name, size), end in zip(sizes.items(), ends, strict=True)
    }


def join(*parts: Any) -> Any:
    """One flat vector."""
    return np.concatenate([np.ravel(part) for part in parts])


def sigmoid(z: Any, xp: Any = np) -> Any:
    """Logistic function through tanh: stable, and analytic for a complex z."""
    return (1 + xp.tanh(z / 2)) / 2


def softplus(z: Any, xp: Any = np) -> Any:
    """log(1 + exp(z)) for moderate z."""
    return xp.log(1 + xp.exp(z))


def regression_data(rng: np.random.Generator) -> tuple[Any, Any]:
    n, p = rng.integers(4, 9), rng.integers(2, 5)
    return rng.normal(size=(n, p)), rng.normal(size=n)


def rosenbrock(rng: np.random.Generator) -> TextbookFunction:
    n = int(rng.integers(2, 6))

    def value(x: Any, xp: Any = np) -> Any:
        return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    def gradient(x: Any) -> Any:
        g = np.zeros_like(x)
        g[:-1] = -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
        g[1:] += 200 * (x[1:] - x[:-1] ** 2)
        return g

    return TextbookFunction("rosenbrock", value, gradient, rng.normal(size=n), blocks_of(x=n))


def powell_singular(rng: np.random.Generator) -> TextbookFunction:
    def value(x: Any, xp: Any = np) -> Any:
        a, b, c, d = x[0], x[1], x[2], x[3]
        return (a + 10 * b) ** 2 + 5 * (c - d) ** 2 + (b - 2 * c) ** 4 + 10 * (a - d) ** 4

    def gradient(x: Any) -> Any:
        a, b, c, d = x
        return np.array(
            [
                2 * (a + 10 * b) + 40 * (a - d) ** 3,
                20 * (a + 10 * b) + 4 * (b - 2 * c) ** 3,
                10 * (c - d) - 8 * (b - 2 * c) ** 3,
                -10 * (c - d) - 40 * (a - d) ** 3,
            ]
        )

    return TextbookFunction("powell_singular", value, gradient, rng.normal(size=4), blocks_of(x=4))


def ridge(rng: np.random.Generator) -> TextbookFunction:
    X, y = regression_data(rng)
    penalty = 0.3

    def value(w: Any, xp: Any = np) -> Any:
        return xp.sum((X @ w - y) ** 2) / 2 + penalty / 2 * xp.sum(w**2)

    def gradient(w: Any) -> Any:
        return X.T @ (X @ w - y) + penalty * w

    n = X.shape[1]
    return TextbookFunction("ridge", value, gradient, rng.normal(size=n), blocks_of(weight=n))


def lasso(rng: np.random.Generator) -> TextbookFunction:
    X, y = regression_data(rng)

    def value(w: Any, xp: Any = np) -> Any:
        return xp.sum((X @ w - y) ** 2) / 2 + 0.3 * xp.sum(xp.abs(w))

    def gradient(w: Any) -> Any:
        return X.T @ (X @ w - y) + 0.3 * np.sign(w)

    n = X.shape[1]
    theta = rng.normal(size=n)
    blocks = blocks_of(weight=n)
    return TextbookFunction("lasso", value, gradient, theta, blocks, False, lambda w: w > 0)


def logistic(rng: np.random.Generator) -> TextbookFunction:
    X, y = regression_data(rng)
    y = (y > 0).astype(float)

    def value(theta: Any, xp: Any = np) -> Any:
        z = X @ theta[:-1] + theta[-1]
        return xp.sum(softplus(z, xp) - y * z)

    def gradient(theta: Any) -> Any:
        d_z = sigmoid(X @ theta[:-1] + theta[-1]) - y
        return join(X.T @ d_z, d_z.sum())

    n = X.shape[1]
    blocks = blocks_of(weight=n, bias=1)
    return TextbookFunction("logistic", value, gradient, rng.normal(size=n + 1), blocks)


def softmax_cross_entropy(rng: np.random.Generator) -> TextbookFunction:
    X, _ = regression_data(rng)
    (n, p), k = X.shape, 3
    labels = np.eye(k)[rng.integers(0, k, size=n)]

    def value(theta: Any, xp: Any = np) -> Any:
        z = X @ xp.reshape(theta[: p * k], (p, k)) + theta[p * k :]
        return xp.sum(xp.log(xp.sum(xp.exp(z), axis=1))) - xp.sum(labels * z)

    def gradient(theta: Any) -> Any:
        z = X @ theta[: p * k].reshape(p, k) + theta[p * k :]
        d_z = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) - labels
        return join(X.T @ d_z, d_z.sum(axis=0))

    theta = rng.normal(size=p * k + k)
    blocks = blocks_of(weight=p * k, bias=k)
    return TextbookFunction("softmax_cross_entropy", value, gradient, theta, blocks)


def log_sum_exp(rng: np.random.Generator) -> TextbookFunction:
    n = int(rng.integers(2, 8))

    def value(x: Any, xp: Any = np) -> Any:
        return xp.log(xp.sum(xp.exp(x)))

    def gradient(x: Any) -> Any:
        return np.exp(x) / np.exp(x).sum()

    return TextbookFunction("log_sum_exp", value, gradient, rng.normal(size=n), blocks_of(x=n))


def huber(rng: np.random.Generator) -> TextbookFunction:
    X, y = regression_data(rng)

    def value(w: Any, xp: Any = np) -> Any:
        r = xp.abs(X @ w - y)
        return xp.sum(xp.where(r <= 1, r**2 / 2, r - 0.5))

    def gradient(w: Any) -> Any:
        return X.T @ np.clip(X @ w - y, -1, 1)

    n = X.shape[1]
    blocks = blocks_of(weight=n)
    return TextbookFunction("huber", value, gradient, rng.normal(size=n), blocks, analytic=False)


def squared_hinge(rng: np.random.Generator) -> TextbookFunction:
    X, y = regression_data(rng)
    y = np.sign(y)

    def value(w: Any, xp: Any = np) -> Any:
        return xp.sum(xp.maximum(0, 1 - y * (X @ w)) ** 2)

    def gradient(w: Any) -> Any:
        return X.T @ (-2 * y * np.maximum(0, 1 - y * (X @ w)))

    n = X.shape[1]
    blocks = blocks_of(weight=n)
    return TextbookFunction("squared_hinge", value, gradient, rng.normal(size=n), blocks, False)


def poisson(rng: np.random.Generator) -> TextbookFunction:
    X, _ = regression_data(rng)
    counts = rng.poisson(2.0, size=len(X)).astype(float)

    def value(w: Any, xp: Any = np) -> Any:
        return xp.sum(xp.exp(X @ w) - counts * (X @ w))

    def gradient(w: Any) -> Any:
        return X.T @ (np.exp(X @ w) - counts)

    n = X.shape[1]
    return TextbookFunction("poisson", value, gradient, rng.normal(size=n), blocks_of(weight=n))


def gaussian_likelihood(rng: np.random.Generator) -> TextbookFunction:
    X, y = regression_data(rng)

    def value(theta: Any, xp: Any = np) -> Any:
        r = X @ theta[:-1] - y
        return xp.sum(r**2) * xp.exp(-2 * theta[-1]) / 2 + len(y) * theta[-1]

    def gradient(theta: Any) -> Any:
        r = X @ theta[:-1] - y
        precision = np.exp(-2 * theta[-1])
        return join(X.T @ r * precision, len(y) - np.sum(r**2) * precision)

    n = X.shape[1]
    blocks = blocks_of(weight=n, log_deviation=1)
    return TextbookFunction("gaussian_likelihood", value, gradient, rng.normal(size=n + 1), blocks)


def student_t(rng: np.random.Generator) -> TextbookFunction:
    X, y = regression_data(rng)
    nu = 4.0

    def value(theta: Any, xp: Any = np) -> Any:
        q = (X @ theta[:-1] - y) ** 2 * xp.exp(-2 * theta[-1])
        return xp.sum((nu + 1) / 2 * xp.log(1 + q / nu)) + len(y) * theta[-1]

    def gradient(theta: Any) -> Any:
        r, precision = X @ theta[:-1] - y, np.exp(-2 * theta[-1])
        weight = (nu + 1) * precision / (nu + r**2 * precision)
        return join(X.T @ (weight * r), len(y) - np.sum(weight * r**2))

    n = X.shape[1]
    blocks = blocks_of(weight=n, log_scale=1)
    return TextbookFunction("student_t", value, gradient, rng.normal(size=n + 1), blocks)


def cox_partial_likelihood(rng: np.random.Generator) -> TextbookFunction:
    X, _ = regression_data(rng)
    died = rng.random(len(X)) < 0.7  # subjects in order of their times, so i's risk set is i, ...
    died[0] = True
    at_risk = np.triu(np.ones((len(X), len(X))))[died]

    def value(w: Any, xp: Any = np) -> Any:
        z = X @ w
        return xp.sum(xp.log(at_risk @ xp.exp(z))) - xp.sum(z[died])

    def gradient(w: Any) -> Any:
        hazard = np.exp(X @ w)
        share = at_risk * hazard / (at_risk @ hazard)[:, None]
        return share.sum(axis=0) @ X - X[died].sum(axis=0)

    n = X.shape[1]
    theta = rng.normal(size=n)
    return TextbookFunction("cox_partial_likelihood", value, gradient, theta, blocks_of(weight=n))


def pairwise_ranking(rng: np.random.Generator) -> TextbookFunction:
    n = int(rng.integers(3, 7))
    winner, loser = np.array([rng.choice(n, 2, replace=False) for _ in range(2 * n)]).T

    def value(strength: Any, xp: Any = np) -> Any:
        return xp.sum(softplus(strength[loser] - strength[winner], xp))

    def gradient(strength: Any) -> Any:
        d = sigmoid(strength[loser] - strength[winner])
        return np.bincount(loser, d, n) - np.bincount(winner, d, n)

    theta = rng.normal(size=n)
    return TextbookFunction("pairwise_ranking", value, gradient, theta, blocks_of(strength=n))


def matrix_factorization(rng: np.random.Generator) -> TextbookFunction:
    m, n, k = 4, 3, 2
    R, mask = rng.normal(size=(m, n)), (rng.random((m, n)) < 0.7).astype(float)
    penalty = 0.1

    def split(theta: Any) -> tuple[Any, Any]:
        return theta[: m * k].reshape((m, k)), theta[m * k :].reshape((n, k))

    def value(theta: Any, xp: Any = np) -> Any:
        U, V = split(theta)
        return xp.sum(mask * (R - U @ V.T) ** 2) + penalty / 2 * xp.sum(theta**2)

    def gradient(theta: Any) -> Any:
        U, V = split(theta)
        d = -2 * mask * (R - U @ V.T)
        return join(d @ V, d.T @ U) + penalty * theta

    theta = rng.normal(size=(m + n) * k)
    blocks = blocks_of(users=m * k, items=n * k)
    return TextbookFunction("matrix_factorization", value, gradient, theta, blocks)


def _network(name: str, rng: np.random.Generator, relu: bool) -> TextbookFunction:
    X, y = regression_data(rng)
    p, k = X.shape[1], 4
    sizes = {"hidden.weight": p * k, "hidden.bias": k, "output.weight": k, "output.bias": 1}
    ends = np.cumsum(list(sizes.values()))[:-1]

    def preactivation(theta: Any) -> Any:
        return X @ theta[: ends[0]].reshape((p, k)) + theta[ends[0] : ends[1]]

    def value(theta: Any, xp: Any = np) -> Any:
        z = preactivation(theta)
        h = xp.maximum(z, 0) if relu else xp.tanh(z)
        return xp.sum((h @ theta[ends[1] : ends[2]] + theta[-1] - y) ** 2) / 2

    def gradient(theta: Any) -> Any:
        z, w = preactivation(theta), theta[ends[1] : ends[2]]
        h = np.maximum(z, 0) if relu else np.tanh(z)
        d_output = h @ w + theta[-1] - y
        d_z = np.outer(d_output, w) * ((z > 0) if relu else 1 - h**2)
        return join(X.T @ d_z, d_z.sum(axis=0), h.T @ d_output, d_output.sum())

    theta = rng.normal(size=sum(sizes.values()))
    pattern = (lambda theta: preactivation(theta) > 0) if relu else None
    return TextbookFunction(name, value, gradient, theta, blocks_of(**sizes), not relu, pattern)


def two_layer_network(rng: np.random.Generator) -> TextbookFunction:
    return _network("two_layer_network", rng, relu=False)


def relu_network(rng: np.random.Generator) -> TextbookFunction:
    return _network("relu_network", rng, relu=True)


def recurrent_network(rng: np.random.Generator) -> TextbookFunction:
    k, steps = 3, 4
    x, y = rng.normal(size=steps), rng.normal(size=steps)

    def states(theta: Any, xp: Any = np) -> list[Any]:
        h = [0 * theta[:k]]
        for t in range(steps):
            z = theta[:k] * x[t] + theta[k : k + k * k].reshape((k, k)) @ h[-1]
            h.append(xp.tanh(z + theta[k + k * k :]))
        return h

    def value(theta: Any, xp: Any = np) -> Any:
        h = states(theta, xp)
        return sum((xp.sum(h[t + 1]) - y[t]) ** 2 for t in range(steps))

    def gradient(theta: Any) -> Any:
        h, W = states(theta), theta[k : k + k * k].reshape(k, k)
        d_input, d_W, d_bias, d_h = np.zeros(k), np.zeros((k, k)), np.zeros(k), np.zeros(k)
        for t in reversed(range(steps)):
            d_z = (d_h + 2 * (h[t + 1].sum() - y[t])) * (1 - h[t + 1] ** 2)
            d_input += d_z * x[t]
            d_W += np.outer(d_z, h[t])
            d_bias += d_z
            d_h = W.T @ d_z
        return join(d_input, d_W, d_bias)

    theta = rng.normal(size=k * (k + 2))
    blocks = blocks_of(input=k, recurrent=k * k, bias=k)
    return TextbookFunction("recurrent_network", value, gradient, theta, blocks)


def radial_basis(rng: np.random.Generator) -> TextbookFunction:
    x, y = rng.normal(size=6), rng.normal(size=6)
    k = 3

    def value(theta: Any, xp: Any = np) -> Any:
        center, log_width, weight = theta[:k], theta[k : 2 * k], theta[2 * k :]
        u = (x[:, None] - center) * xp.exp(-log_width)
        return xp.sum((xp.exp(-(u**2) / 2) @ weight - y) ** 2)

    def gradient(theta: Any) -> Any:
        center, log_width, weight = theta[:k], theta[k : 2 * k], theta[2 * k :]
        u = (x[:, None] - center) * np.exp(-log_width)
        phi = np.exp(-(u**2) / 2)
        d_output = 2 * (phi @ weight - y)
        d_u = -d_output[:, None] * weight * phi * u
        d_center = -(d_u * np.exp(-log_width)).sum(axis=0)
        return join(d_center, -(d_u * u).sum(axis=0), phi.T @ d_output)

    theta = rng.normal(size=3 * k)
    blocks = blocks_of(center=k, log_width=k, weight=k)
    return TextbookFunction("radial_basis", value, gradient, theta, blocks)


def cosine_similarity(rng: np.random.Generator) -> TextbookFunction:
    n = int(rng.integers(2, 6))

    def value(theta: Any, xp: Any = np) -> Any:
        a, b = theta[:n], theta[n:]
        return xp.sum(a * b) / xp.sqrt(xp.sum(a**2) * xp.sum(b**2))

    def gradient(theta: Any) -> Any:
        a, b = theta[:n], theta[n:]
        norms = np.sqrt(np.sum(a**2) * np.sum(b**2))
        c = a @ b / norms
        return join(b / norms - c * a / (a @ a), a / norms - c * b / (b @ b))

    blocks = blocks_of(left=n, right=n)
    return TextbookFunction("cosine_similarity", value, gradient, rng.normal(size=2 * n), blocks)


def rayleigh_quotient(rng: np.random.Generator) -> TextbookFunction:
    n = int(rng.integers(2, 6))
    A = rng.normal(size=(n, n))
    A = A + A.T

    def value(x: Any, xp: Any = np) -> Any:
        return xp.sum(x * (A @ x)) / xp.sum(x**2)

    def gradient(x: Any) -> Any:
        return 2 * (A @ x - (x @ A @ x) / (x @ x) * x) / (x @ x)

    theta = rng.normal(size=n)
    return TextbookFunction("rayleigh_quotient", value, gradient, theta, blocks_of(x=n))


def log_determinant(rng: np.random.Generator) -> TextbookFunction:
    n = 3

    def value(theta: Any, xp: Any = np) -> Any:
        A = theta.reshape((n, n))
        return xp.linalg.slogdet(A @ A.T + np.eye(n))[1]

    def gradient(theta: Any) -> Any:
        A = theta.reshape(n, n)
        return join(2 * np.linalg.solve(A @ A.T + np.eye(n), A))

    theta, blocks = rng.normal(size=n * n), blocks_of(factor=n * n)
    return TextbookFunction("log_determinant", value, gradient, theta, blocks, analytic=False)


FACTORIES = (
    rosenbrock,
    powell_singular,
    ridge,
    lasso,
    logistic,
    softmax_cross_entropy,
    log_sum_exp,
    huber,
    squared_hinge,
    poisson,
    gaussian_likelihood,
    student_t,
    cox_partial_likelihood,
    pairwise_ranking,
    matrix_factorization,
    two_layer_network,
    relu_network,
    recurrent_network,
    radial_basis,
    cosine_similarity,
    rayleigh_quotient,
    log_determinant,
)
