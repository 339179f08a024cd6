"""A dense autoencoder with what the objective of the package lacks, for planting published faults.

Mean squared error over m rows, an L2 penalty on weights and one on biases, a KL sparsity penalty on
the mean activity of each hidden unit, and dropout on a tanh layer:

    J = 1/m sum ||x - y||^2 + lambda/2 sum ||weight||^2 + mu/2 sum ||bias||^2
        + beta sum_j KL(rho || rho_j),      rho_j = 1/m sum_i (1 + h_ij) / 2
"""

from __future__ import annotations

import numpy as np

LAMBDA, MU, BETA, RHO = 0.3, 0.2, 0.5, 0.2


def value_and_gradient(theta, layout, X, mask):
    """Return J and its gradient; `mask` is 0 or 1 / (1 - p) for each row and hidden unit."""
    m = len(X)
    views = layout.views(theta)
    V, mu, W, b = (views[name] for name in layout.shapes)
    gradient = np.zeros_like(theta)
    d_V, d_mu, d_W, d_b = layout.views(gradient).values()

    H = np.tanh(X @ V + mu)
    D = H * mask
    Y = D @ W.T + b
    rate = np.mean((1 + H) / 2, axis=0)

    value = np.sum((Y - X) ** 2) / m
    penalty = LAMBDA / 2 * (np.sum(V**2) + np.sum(W**2))
    penalty += MU / 2 * (np.sum(mu**2) + np.sum(b**2))
    value += penalty
    value += BETA * np.sum(RHO * np.log(RHO / rate) + (1 - RHO) * np.log((1 - RHO) / (1 - rate)))

    d_Y = 2 * (Y - X) / m
    d_rate = BETA * ((1 - RHO) / (1 - rate) - RHO / rate)
    d_D = d_Y @ W
    d_H = d_D * mask
    d_H += d_rate / (2 * m)
    d_Z = d_H * (1 - H**2)
    d_W += d_Y.T @ D + LAMBDA * W
    d_b += d_Y.sum(axis=0) + MU * b
    d_V += X.T @ d_Z + LAMBDA * V
    d_mu += d_Z.sum(axis=0) + MU * mu
    return value, gradient
