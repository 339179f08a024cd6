"""Learning-rate schedules: a factor of the full rate for each step of a run of known length."""

from __future__ import annotations

import math
from collections.abc import Callable

from autorec_np._validation import check_choice

WARM_UP = 0.1  # part of all steps in which "cosine" climbs to the full rate


def _constant(progress: float) -> float:
    return 1.0


def _step(progress: float) -> float:
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def _exponential(progress: float) -> float:
    return float(0.01**progress)


def _cosine(progress: float) -> float:
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1.0 + math.cos(math.pi * (progress - WARM_UP) / (1.0 - WARM_UP)))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": _constant,
    "step": _step,
    "exponential": _exponential,
    "cosine": _cosine,
}


def learning_rate_at(schedule: str, initial: float, step: int, n_steps: int) -> float:
    """Return the learning rate of one step.

    Parameters
    ----------
    schedule : {"constant", "step", "exponential", "cosine"}
        "step": times 0.1 after half and again after three quarters of the steps;
        "exponential": falls evenly in the logarithm to 1 % of the initial rate;
        "cosine": climbs linearly from 0 in the first 10 %, then falls along half a cosine to 0.
    initial : float
        The full rate.
    step : int
        0 for the first.
    n_steps : int
        All steps that are planned.
    """
    check_choice("schedule", schedule, tuple(SCHEDULES))
    return initial * SCHEDULES[schedule]((step + 0.5) / n_steps)
