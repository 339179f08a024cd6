"""Elementwise activation functions, each beside its derivatives in terms of its output.

For y = f(x), the derivative functions take y, not x: a backward pass keeps only the outputs of
the forward pass. All functions keep the dtype of their argument and accept complex128, so that
the complex-step derivative works through the whole network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from autorec_np._types import Array


def identity(x: Array) -> Array:
    """y = x."""
    return x


def identity_derivative(y: Array) -> Array:
    """dy/dx = 1."""
    return np.broadcast_to(np.ones((), y.dtype), y.shape)  # one number, seen everywhere


def identity_second_derivative(y: Array) -> Array:
    """d2y/dx2 = 0."""
    return np.zeros_like(y)


def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + exp(-x)), without overflow for any x."""
    if np.iscomplexobj(x):
        return np.asarray((1.0 + np.tanh(0.5 * x)) / 2.0)
    with np.errstate(over="ignore"):  # 1 / (1 + inf) = 0; twice as fast as SciPy's expit
        return np.asarray(1 / (1 + np.exp(-x)))


def sigmoid_derivative(y: Array) -> Array:
    """dy/dx = y (1 - y)."""
    return np.asarray(y * (1 - y))


def sigmoid_second_derivative(y: Array) -> Array:
    """d2y/dx2 = y (1 - y) (1 - 2 y)."""
    return np.asarray(y * (1 - y) * (1 - 2 * y))


def tanh(x: Array) -> Array:
    """y = tanh(x)."""
    return np.asarray(np.tanh(x))


def tanh_derivative(y: Array) -> Array:
    """dy/dx = 1 - y^2."""
    return np.asarray(1 - y * y)


def tanh_second_derivative(y: Array) -> Array:
    """d2y/dx2 = -2 y (1 - y^2)."""
    return np.asarray(-2 * y * (1 - y * y))


def relu(x: Array) -> Array:
    """y = max(x, 0); by the real part where x is complex."""
    return np.where(x.real > 0, x, x.dtype.type(0))


def relu_derivative(y: Array) -> Array:
    """dy/dx = 1 where y > 0, else 0 (the value at the kink x = 0 is a convention)."""
    return (y.real > 0).astype(y.dtype)


def relu_second_derivative(y: Array) -> Array:
    """d2y/dx2 = 0 (away from the kink)."""
    return np.zeros_like(y)


def elu(x: Array) -> Array:
    """y = x where x > 0, else exp(x) - 1 (Clevert et al., 2016, with alpha = 1)."""
    positive = x.real > 0
    return np.where(positive, x, np.expm1(np.where(positive, x.dtype.type(0), x)))


def elu_derivative(y: Array) -> Array:
    """dy/dx = 1 where y > 0, else exp(x) = y + 1."""
    return np.where(y.real > 0, y.dtype.type(1), y + 1)


def elu_second_derivative(y: Array) -> Array:
    """d2y/dx2 = 0 where y > 0, else exp(x) = y + 1."""
    return np.where(y.real > 0, y.dtype.type(0), y + 1)


def softplus(x: Array) -> Array:
    """y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), without overflow for any x."""
    positive = x.real > 0
    return np.where(positive, x, x.dtype.type(0)) + np.log1p(np.exp(np.where(positive, -x, x)))


def softplus_derivative(y: Array) -> Array:
    """dy/dx = 1 / (1 + exp(-x)) = 1 - exp(-y)."""
    return -np.expm1(-y)


def softplus_second_derivative(y: Array) -> Array:
    """d2y/dx2 = exp(-y) (1 - exp(-y))."""
    return -np.exp(-y) * np.expm1(-y)


class Activation(NamedTuple):
    """One activation function.

    Attributes
    ----------
    forward : callable
        x -> y, elementwise.
    derivative : callable
        y -> dy/dx, elementwise, in terms of the output y.
    second_derivative : callable
        y -> d2y/dx2, likewise; needed by the Hessian-vector product.
    lower, upper : float
        Infimum and supremum of y.
    analytic : bool
        Whether f is analytic near the real axis, so that a complex step differentiates it
        everywhere. (relu and elu are analytic on either side of x = 0 only.)
    """

    forward: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    second_derivative: Callable[[Array], Array]
    lower: float
    upper: float
    analytic: bool

    @property
    def bounded(self) -> bool:
        """Whether y has both a lower and an upper bound."""
        return bool(np.isfinite(self.lower) and np.isfinite(self.upper))

    @property
    def covers_the_line(self) -> bool:
        """Whether y takes every real value."""
        return not (np.isfinite(self.lower) or np.isfinite(self.upper))


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(
        identity, identity_derivative, identity_second_derivative, -np.inf, np.inf, True
    ),
    "sigmoid": Activation(sigmoid, sigmoid_derivative, sigmoid_second_derivative, 0.0, 1.0, True),
    "tanh": Activation(tanh, tanh_derivative, tanh_second_derivative, -1.0, 1.0, True),
    "relu": Activation(relu, relu_derivative, relu_second_derivative, 0.0, np.inf, False),
    "elu": Activation(elu, elu_derivative, elu_second_derivative, -1.0, np.inf, False),
    "softplus": Activation(
        softplus, softplus_derivative, softplus_second_derivative, 0.0, np.inf, True
    ),
}
