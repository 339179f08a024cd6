"""The pages of the interface: every public name, from its docstring."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
from typing import Any

# page: title, and the module whose public names it shows, with the folders that they come from
PAGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "data": ("Ratings: read, make, split, measure", "autorec_np", ("data", "sources")),
    "models": ("Models", "autorec_np", ("models",)),
    "evaluation": ("How good a model is", "autorec_np", ("evaluation",)),
    "serving": ("A fitted model at work", "autorec_np", ("serving",)),
    "gradcheck": ("Checking gradients", "autorec_np.gradcheck", ("gradcheck",)),
    "core": ("The core", "autorec_np.core", ("core",)),
}


def names_of(module: str, folders: tuple[str, ...]) -> list[str]:
    """Return the public names of a module that come from some folders of the package."""
    there = importlib.import_module(module)
    values = {name: getattr(there, name) for name in there.__all__}
    return [
        name
        for name, value in values.items()
        if not name.startswith("_") and _folder_of(value, module) in folders
    ]


def _folder_of(value: Any, module: str) -> str:
    home = getattr(value, "__module__", None) or module
    return str(home.partition("autorec_np.")[2].partition(".")[0])


def page(title: str, module: str, names: list[str]) -> str:
    """Return the page, in reStructuredText, of some names of a module."""
    there = importlib.import_module(module)
    text = [f"{title}\n{'=' * len(title)}", f".. currentmodule:: {module}"]
    for name in names:
        value = getattr(there, name)
        directive = (
            "autoexception"
            if inspect.isclass(value) and issubclass(value, BaseException)
            else "autoclass"
            if inspect.isclass(value)
            else "autofunction"
            if inspect.isfunction(value)
            else "py:data"
        )
        below = ["   :no-inherited-members:"] if directive == "autoexception" else []
        if directive == "py:data":  # a table of functions by name
            below = ["", "   The names are " + ", ".join(f"`{key}`" for key in value) + "."]
        head = f".. {directive}:: {name}{signature(value)}"
        text += [f"{name}\n{'-' * len(name)}", "\n".join([head, *below])]
    return "\n\n".join(text) + "\n"


def signature(value: Any) -> str:
    """Return a signature where Sphinx 9.0 cannot write it: a default that is of an enumeration."""
    if not dataclasses.is_dataclass(value):
        return ""
    parameters = inspect.signature(value).parameters.values()
    if not any(isinstance(one.default, enum.Enum) for one in parameters):
        return ""
    defaults = {one.name: getattr(one.default, "value", one.default) for one in parameters}
    shown = [n if value is inspect._empty else f"{n}={value!r}" for n, value in defaults.items()]
    return f"({', '.join(shown)})"


def pages() -> dict[str, str]:
    """Return the text of every page by its name."""
    return {
        f"api/{name}": page(title, module, names_of(module, folders))
        for name, (title, module, folders) in PAGES.items()
    }
