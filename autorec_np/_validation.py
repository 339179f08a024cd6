"""Checks of arguments."""

from __future__ import annotations

import math
import numbers
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

RandomState: TypeAlias = "int | np.random.Generator | None"


def check_random_state(random_state: RandomState) -> np.random.Generator:
    if isinstance(random_state, numbers.Integral):
        check_integer("random_state", random_state, minimum=0)
    elif not (random_state is None or isinstance(random_state, np.random.Generator)):
        raise TypeError(
            f"random_state must be None, an int or a numpy.random.Generator, got "
            f"{type(random_state).__name__}; pass an int."
        )
    return np.random.default_rng(random_state)


def check_integer(name: str, value: object, *, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__}).")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}.")
    return int(value)


def check_number(
    name: str,
    value: object,
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    inclusive: tuple[bool, bool] = (True, True),
) -> float:
    """Return a finite float in the interval; `inclusive` is of its two ends."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__}).")
    number = float(value)
    above = number >= minimum if inclusive[0] else number > minimum
    below = number <= maximum if inclusive[1] else number < maximum
    if not (np.isfinite(number) and above and below):
        left, right = "[" if inclusive[0] else "(", "]" if inclusive[1] else ")"
        raise ValueError(
            f"{name} must be a finite number in {left}{minimum}, {maximum}{right}, got {number}."
        )
    return number


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if not any(value is choice or value == choice for choice in choices):
        wanted = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {wanted}, got {value!r}.")


def check_cold(cold: Any) -> None:
    if isinstance(cold, str):
        check_choice("cold", cold, ("baseline", "raise"))
    elif not isinstance(cold, numbers.Real):
        raise TypeError(f"cold must be 'baseline', 'raise' or a number, got {cold!r}.")
    else:
        check_number("cold", cold)


def check_hidden_layer_sizes(widths: Any) -> None:
    if widths is None:
        return
    if isinstance(widths, str | bytes) or not isinstance(widths, Sequence | np.ndarray):
        raise TypeError(
            f"hidden_layer_sizes must be a sequence of widths, got {widths!r}; pass (500,) for one."
        )
    for width in widths:
        check_integer("a width of hidden_layer_sizes", width, minimum=1)


def check_regularization(regularization: Any) -> None:
    if isinstance(regularization, str):
        check_choice("regularization", regularization, ("auto",))
    elif isinstance(regularization, Mapping):
        for name, penalty in regularization.items():
            check_number(f"regularization of {name}", penalty, minimum=0)
    else:
        check_number("regularization", regularization, minimum=0)


def check_n_jobs(n_jobs: int | None) -> int:
    """None: the cores that this process may use."""
    if n_jobs is not None:
        return check_integer("n_jobs", n_jobs, minimum=1)
    if hasattr(os, "sched_getaffinity"):
        n_cores = len(os.sched_getaffinity(0))
    else:
        n_cores = os.cpu_count() or 1
    return max(1, min(n_cores, _container_limit()))


def _container_limit() -> int:
    """Those that a Linux control group grants."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no file, or "max"
        return sys.maxsize
