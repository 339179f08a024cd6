"""Plain text: tables, times, values for JSON; what others call things."""

from __future__ import annotations

import difflib
import functools
import inspect
import json
import reprlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    columns = []
    for number, cells in enumerate(zip_longest(header, *rows, fillvalue="")):
        width = max(map(len, cells))
        side = "<" if number in left else ">"
        columns.append([f"{cell:{side}{width}}" for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n"))


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def epoch_line(
    epoch: int, n_epochs: int, objective: float, validation_rmse: float | None, seconds: float
) -> str:
    validation = "" if validation_rmse is None else f", validation RMSE {validation_rmse:.4f}"
    return (
        f"epoch {epoch} of {n_epochs}: objective {objective:.6g}{validation}, {duration(seconds)}"
    )


def closest(word: str, known: Iterable[str]) -> str | None:
    by_lower = {one.lower(): one for one in known}
    alike = difflib.get_close_matches(word.lower(), by_lower, 1)
    return by_lower[alike[0]] if alike else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    meant = closest(word, known)
    return "" if meant is None else f"; did you mean {meant!r}?"


@contextmanager
def beginning(start: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if error.args == (str(error),):
            error.args = (f"{start}: {error}",)
        raise


def plain(value: Any, other: Callable[[Any], Any] = str) -> Any:
    """Return `value` as in JSON, NaN and infinities as None; `other` converts the rest."""

    def convert(one: Any) -> Any:
        return one.tolist() if hasattr(one, "tolist") else other(one)

    return json.loads(json.dumps(value, default=convert), parse_constant=lambda name: None)


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
    "sep": ("delimiter",),
    "columns": ("usecols", "names"),
    "skip_lines": ("skiprows",),
    "missing": ("na_values",),
    "scale": ("rating_scale",),
}


ATTRIBUTES_ELSEWHERE = {
    "cross_validate": "autorec_np.cross_validate(model, ratings)",
    "dump": "autorec_np.save_model(model, path)",
    "estimate": "model.predict(users, items)",
    "evaluate": "model.score(test) or autorec_np.evaluate_ranking(model, test)",
    "load": "autorec_np.load_model(path)",
    "rank": "model.recommend(users)",
    "rate": "model.predict(users, items)",
    "save": "autorec_np.save_model(model, path)",
    "test": "model.predict(test) or model.score(test)",
}

NETWORK_ATTRIBUTES_ELSEWHERE = {
    **ATTRIBUTES_ELSEWHERE,
    "codes": "model.codes_",
    "coefs_": "model.network_.layout.views(model.theta_)",
    "compile": "AutoRec(solver='adam', learning_rate_init=0.003)",
    "explain": "autorec_np.explain(model, user, item)",
    "get_neighbors": "autorec_np.similar_items(model, items)",
    "get_weights": "model.network_.layout.views(model.theta_)",
    "history": "model.loss_curve_",
    "item_factors": "model.codes_",
    "similar_items": "autorec_np.similar_items(model, items)",
    "similar_users": "autorec_np.similar_users(model, users)",
    "transform": "model.encode()",
}


def name_here(name: str, known: Iterable[str]) -> str | None:
    return next((one for one in known if name in NAMES_ELSEWHERE.get(one, ())), None)


def parameter_hint(name: str, value: object, known: Collection[str], owner: str = "") -> str:
    here = name if name in known else name_here(name, known)
    if here is None:
        return did_you_mean(name, known) or "."
    if here == "hidden_layer_sizes" and isinstance(value, int):
        value = (value,)  # one hidden layer
    advice = f"{here}={reprlib.repr(value)}"
    return f"; here it is {here}: pass {f'{owner}({advice})' if owner else advice}."


def knows_habits(function: Function) -> Function:
    """Let it say what an unknown keyword argument is called here."""
    own = [*inspect.signature(function).parameters]
    is_method = "self" in own
    if is_method:
        own.remove("self")
    called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for name, value in kwargs.items():
            if name in own:
                continue
            hint = parameter_hint(name, value, own)
            if is_method and name_here(name, own) is None:
                owner = type(args[0])  # where it may be set
                parameters = inspect.signature(owner).parameters
                if name in parameters or name_here(name, parameters):
                    hint = parameter_hint(name, value, parameters, owner.__name__)
            raise TypeError(f"{called}() got an unexpected keyword argument {name!r}{hint}")
        return function(*args, **kwargs)

    return cast("Function", checked)
