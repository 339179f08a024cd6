"""Step rules, as the papers print them: from theta and a gradient to the next theta.

A rule knows a vector and its gradient and nothing of networks. It holds the running averages that
its paper asks for, and begins them with zeros at the first step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from autorec_np._types import Array


class StepRule(Protocol):
    """An optimizer, with its own running averages."""

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> Array:
        """Return the next theta; no argument is changed."""


class SGD:
    """Gradient descent with momentum (Polyak) or Nesterov's momentum.

    v <- m v - rate g;  theta <- theta + v, or for Nesterov theta + m v - rate g (Sutskever et al.,
    2013, in the form that needs the gradient at theta only).

    Parameters
    ----------
    momentum : float in [0, 1)
    nesterovs_momentum : bool
    """

    def __init__(self, momentum: float = 0.9, nesterovs_momentum: bool = True) -> None:
        self.momentum, self.nesterovs_momentum = momentum, nesterovs_momentum
        self.velocity: Array | float = 0.0

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> Array:
        """Return the next theta."""
        self.velocity = self.momentum * self.velocity - learning_rate * gradient
        if self.nesterovs_momentum:
            return theta + self.momentum * self.velocity - learning_rate * gradient
        return theta + self.velocity


class Adam:
    """Adam (Kingma and Ba, 2015, algorithm 1).

    Parameters
    ----------
    beta1, beta2 : float in [0, 1)
        Decay of the running means m of g and v of g^2.
    epsilon : float
        Added to the root of the second.
    """

    def __init__(self, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.m: Array | float = 0.0
        self.v: Array | float = 0.0
        self.t = 0

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> Array:
        """Return the next theta."""
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * gradient
        self.v = self.beta2 * self.v + (1 - self.beta2) * gradient**2
        m_hat = self.m / (1 - self.beta1**self.t)  # the means of the gradients so far
        v_hat = self.v / (1 - self.beta2**self.t)
        return theta - learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)


class RProp:
    """Resilient propagation, full batch: iRprop- (Igel and Huesken, 2003).

    Each parameter has its own step length, times 1.2 while its derivative keeps its sign and
    times 0.5 where it changes (the derivative is then taken as 0 once). Only signs of derivatives
    are used, so the objective's scale does not matter.

    Parameters
    ----------
    shortest, longest : float
        Bounds of a step length.
    """

    def __init__(self, shortest: float = 1e-6, longest: float = 50.0) -> None:
        self.shortest, self.longest = shortest, longest
        self.previous: Array | float = 0.0
        self.lengths: Array | None = None

    def step(self, theta: Array, gradient: Array, learning_rate: float) -> Array:
        """Return the next theta; `learning_rate` is the first step length, and used once."""
        if self.lengths is None:
            self.lengths = np.full_like(theta, learning_rate)
        agreement = np.sign(gradient) * np.sign(self.previous)
        factors = np.where(agreement > 0, 1.2, np.where(agreement < 0, 0.5, 1.0))
        lengths = self.lengths * factors.astype(theta.dtype)
        self.lengths = np.clip(lengths, self.shortest, self.longest)
        self.previous = np.where(agreement < 0, 0, gradient)
        return np.asarray(theta - np.sign(self.previous) * self.lengths)


# Learning-rate schedules: a factor of the full rate for each step of a run of known length


def _constant(progress: float, warm_up: float) -> float:
    return 1.0


def _step(progress: float, warm_up: float) -> float:
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def _exponential(progress: float, warm_up: float) -> float:
    return float(0.01**progress)


def _cosine(progress: float, warm_up: float) -> float:
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warm_up) / (1.0 - warm_up)))


SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "constant": _constant,
    "step": _step,
    "exponential": _exponential,
    "cosine": _cosine,
}


def learning_rate_at(
    schedule: str, initial: float, step: int, n_steps: int, warm_up: float = 0.3
) -> float:
    """Return the learning rate of one step.

    Parameters
    ----------
    schedule : {"constant", "step", "exponential", "cosine"}
        "step": times 0.1 after half and again after three quarters of the steps;
        "exponential": falls evenly in the logarithm to 1 % of the initial rate;
        "cosine": climbs linearly from 0, then falls along half a cosine to 0.
    initial : float
        The full rate.
    step : int
        0 for the first.
    n_steps : int
        All steps that are planned.
    warm_up : float in [0, 1)
        Part of the steps in which "cosine" climbs.
    """
    return initial * SCHEDULES[schedule]((step + 0.5) / n_steps, warm_up)
