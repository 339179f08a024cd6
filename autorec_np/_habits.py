"""What other libraries call things, so that an error can say what they are called here."""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from autorec_np._text import did_you_mean

Function = TypeVar("Function", bound=Callable[..., Any])

# Of a parameter here, its names in Surprise, implicit, LensKit, Cornac, scikit-learn and Keras.
NAMES_ELSEWHERE = {
    "hidden_layer_sizes": ("n_factors", "factors", "k", "embedding_size", "n_components"),
    "max_iter": ("n_epochs", "epochs", "iterations", "num_epochs", "n_iter"),
    "learning_rate_init": ("lr", "lr_all"),
    "regularization": ("reg", "reg_all", "lambda_reg", "l2", "alpha", "weight_decay"),
    "n_iter_no_change": ("patience",),
    "random_state": ("seed", "random_seed"),
    "n_jobs": ("num_threads", "n_threads"),
    "validation": ("validation_data", "val_set"),
    "n": ("N", "k", "K", "top_n", "n_items"),
    "k": ("K", "N", "n"),
    "exclude_seen": ("filter_already_liked_items", "remove_seen"),
    "candidates": ("items", "item_ids"),
    "exclude": ("filter_items",),
    "users": ("user_ids", "userid", "user_id", "uid"),
    "items": ("item_ids", "itemid", "item_id", "iid"),
    "cv": ("n_splits", "n_folds", "k"),
    "n_candidates": ("n_trials",),
    "space": ("param_grid", "param_distributions"),
}


def name_here(name: str, known: Mapping[str, object]) -> str | None:
    """Return which of the known parameters another library calls `name`; None for none."""
    return next((one for one in known if name in NAMES_ELSEWHERE.get(one, ())), None)


def hint(name: str, value: object, known: Mapping[str, object]) -> str:
    """Return the end of a message about an unknown parameter: what to pass in its place."""
    here = name_here(name, known)
    if here is None:
        return did_you_mean(name, known) or "."
    if here == "hidden_layer_sizes" and isinstance(value, int):
        value = (value,)  # one hidden layer
    return f"; here it is {here}: pass {here}={reprlib.repr(value)}."


def knows_habits(function: Function) -> Function:
    """Let a function say what an unknown keyword argument is called here.

    Raises
    ------
    TypeError
        As Python itself does, by the function that is returned.
    """
    known = {
        name: one for name, one in inspect.signature(function).parameters.items() if name != "self"
    }
    called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for name, value in kwargs.items():
            if name not in known:
                raise TypeError(
                    f"{called}() got an unexpected keyword argument {name!r}"
                    f"{hint(name, value, known)}"
                )
        return function(*args, **kwargs)

    return cast("Function", checked)
