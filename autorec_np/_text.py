"""Plain text: tables, times, the line of an epoch, values for JSON."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any


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
    """Let the message of an error begin with some words."""
    try:
        yield
    except Exception as error:
        if error.args == (str(error),):  # its one argument is its message
            error.args = (f"{start}: {error}",)
        raise


def plain(value: Any, other: Callable[[Any], Any] = str) -> Any:
    """Return `value` as JSON holds it, NaN and infinities as None; `other` converts the rest."""

    def convert(one: Any) -> Any:
        return one.tolist() if hasattr(one, "tolist") else other(one)

    return json.loads(json.dumps(value, default=convert), parse_constant=lambda name: None)
