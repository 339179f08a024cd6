"""Whether the parameters of an `AutoRec` can be used: types, ranges, and what excludes what."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from autorec_np._validation import check_choice, check_integer, check_number
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.optimizers import SCHEDULES
from autorec_np.training.solvers import is_callback
from autorec_np.training.trainer import ENGINES, SOLVERS

CHOICES: dict[str, tuple[str | None, ...]] = {
    "orientation": ("item", "user"),
    "activation": tuple(ACTIVATIONS),
    "output_activation": tuple(ACTIVATIONS),
    "baseline": ("auto", "bias", "mean", None),
    "solver": tuple(SOLVERS),
    "learning_rate": tuple(SCHEDULES),
    "dtype": ("float32", "float64"),
    "engine": tuple(ENGINES),
    "inputs": ("auto", "ratings", "planes"),
}
FLAGS = ("tied", "nesterovs_momentum", "early_stopping", "warm_start", "verbose")
# name, maximum, whether 0 and the maximum are allowed
NUMBERS = (
    ("dropout", 1, (True, False)),
    ("momentum", 1, (True, False)),
    ("warm_up", 1, (True, False)),
    ("corruption", 1, (True, False)),
    ("validation_fraction", 1, (False, False)),
    ("learning_rate_init", np.inf, (False, True)),
    ("tol", np.inf, (True, True)),
)
COUNTS = ("batch_size", "n_iter_no_change", "max_iter")
MAY_BE_NONE = ("corruption", "learning_rate_init", "warm_up", "max_iter", "batch_size")


WIDTHS = {"item": (500,), "user": (200,)}  # hidden_layer_sizes=None
IMPLICIT_PART = {"item": 5, "user": 2}  # implicit="auto": one in so many units
BATCHES, BATCH_SIZES = 8, (64, 512)  # batch_size=None: an eighth of the rows, within these


def resolved_widths(parameters: Mapping[str, Any]) -> tuple[int, ...]:
    widths = parameters["hidden_layer_sizes"]
    return WIDTHS[parameters["orientation"]] if widths is None else tuple(widths)


def resolved_batch_size(parameters: Mapping[str, Any], n_rows: int) -> int:
    given = parameters["batch_size"]
    return int(np.clip(-(-n_rows // BATCHES), *BATCH_SIZES)) if given is None else given


def resolved_implicit(parameters: Mapping[str, Any]) -> tuple[int, str]:
    """Return `implicit` and `inputs`, "auto" replaced: docs/decisions.md."""
    [width] = resolved_widths(parameters)[-1:] or [0]
    automatic = width // IMPLICIT_PART[parameters["orientation"]], "planes"
    if parameters["tied"] or SOLVERS[parameters["solver"]].full_batch:
        automatic = 0, "ratings"
    implicit, inputs = parameters["implicit"], parameters["inputs"]
    units = automatic[0] if isinstance(implicit, str) else int(implicit)
    return units, automatic[1] if inputs == "auto" else inputs


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError for the first parameter of an `AutoRec` that cannot be used."""
    for name, allowed in CHOICES.items():
        check_choice(name, parameters[name], allowed)
    _check_cold(parameters["cold"])
    _check_hidden_layer_sizes(parameters["hidden_layer_sizes"])
    _check_regularization(parameters["regularization"])
    for name in FLAGS:
        if not isinstance(parameters[name], (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, got {parameters[name]!r}.")
    _check_callbacks(parameters["callbacks"])
    given = {k: x for k, x in parameters.items() if x is not None or k not in MAY_BE_NONE}
    for name, maximum, inclusive in NUMBERS:
        if name in given:
            check_number(name, given[name], minimum=0, maximum=maximum, inclusive=inclusive)
    for name in COUNTS:
        if name in given:
            check_integer(name, given[name], minimum=1)
    _check_implicit(parameters)
    _check_combinations(parameters)


def _check_cold(cold: Any) -> None:
    if isinstance(cold, str):
        check_choice("cold", cold, ("baseline", "raise"))
    elif not isinstance(cold, numbers.Real):
        raise TypeError(f"cold must be 'baseline', 'raise' or a number, got {cold!r}.")
    else:
        check_number("cold", cold)


def _check_hidden_layer_sizes(widths: Any) -> None:
    if widths is None:
        return
    if isinstance(widths, str | bytes) or not isinstance(widths, Sequence | np.ndarray):
        raise TypeError(
            f"hidden_layer_sizes must be a sequence of widths, got {widths!r}; pass (500,) for "
            f"one hidden layer."
        )
    for width in widths:
        check_integer("a width of hidden_layer_sizes", width, minimum=1)


def _check_regularization(regularization: Any) -> None:
    if isinstance(regularization, str):
        check_choice("regularization", regularization, ("auto",))
    elif isinstance(regularization, Mapping):
        for name, penalty in regularization.items():
            check_number(f"regularization of {name}", penalty, minimum=0)
    else:
        check_number("regularization", regularization, minimum=0)


def _check_implicit(parameters: Mapping[str, Any]) -> None:
    implicit, inputs = parameters["implicit"], parameters["inputs"]
    if isinstance(implicit, str):
        check_choice("implicit, where it is no integer,", implicit, ("auto",))
    else:
        check_integer("implicit", implicit, minimum=0)
        widths = resolved_widths(parameters)
        if widths and implicit > widths[-1]:
            raise ValueError(
                f"implicit={implicit} is more than the {widths[-1]} units of the last hidden layer "
                f"(hidden_layer_sizes={widths}), whose decoder weights it is added to; "
                f"lower implicit, or widen that layer."
            )
    wanted = [f"implicit={implicit}"] if not isinstance(implicit, str) and implicit else []
    wanted += [f"inputs={inputs!r}"] if inputs == "planes" else []
    if parameters["tied"] and wanted:
        raise ValueError(
            f"tied=True makes one weight of encoder and decoder, which {' and '.join(wanted)} "
            f"cannot share; use tied=False, or implicit=0 and inputs='ratings'."
        )


def _check_callbacks(callbacks: Any) -> None:
    if not (isinstance(callbacks, Iterable) and all(map(is_callback, callbacks))):
        raise TypeError(
            f"callbacks must be a sequence of callables, each taking an EpochState, or of "
            f"objects with on_epoch_end(state), got {callbacks!r}; pass [callback] for one."
        )


def _check_combinations(parameters: Mapping[str, Any]) -> None:
    solver, dropout, corruption = (parameters[name] for name in ("solver", "dropout", "corruption"))
    if SOLVERS[solver].full_batch and (dropout or corruption):
        raise ValueError(
            f"solver={solver!r} minimizes one fixed function, which dropout={dropout} and "
            f"corruption={corruption} change at every step; use solver='adam' or 'sgd', or set "
            f"both to 0."
        )
    baseline, output = parameters["baseline"], parameters["output_activation"]
    if baseline in ("bias", "mean") and not ACTIVATIONS[output].covers_the_line:
        raise ValueError(
            f"baseline={baseline!r} leaves residuals of both signs, which "
            f"output_activation={output!r} cannot produce; use baseline=None (or 'auto') or "
            f"output_activation='identity'."
        )
