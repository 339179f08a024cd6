"""Tables and times as text, and the progress of a training."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from autorec_np.data.ratings import Ratings
    from autorec_np.models.autorec import AutoRec
    from autorec_np.training.monitor import EpochState

LINE_WIDTH = 79
REDRAW_SECONDS = 0.1
CLEAR = f"\r{' ' * LINE_WIDTH}\r"


class UsageError(Exception):
    """Arguments that do not fit together; the message takes one line."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Return aligned text, two spaces between columns; the columns in `left` are flush left.

    Rows may be shorter than the header.
    """
    columns = []
    for number, cells in enumerate(zip_longest(header, *rows, fillvalue="")):
        width = max(map(len, cells))
        side = "<" if number in left else ">"
        columns.append([f"{cell:{side}{width}}" for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def indented(text: str) -> str:
    """Return text with two spaces before every line."""
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n"))


def duration(seconds: float) -> str:
    """Return a time as ``8.2 s`` or ``3 min 20 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def describe_ratings(ratings: Ratings) -> str:
    """Return the numbers of ratings, users and items, and the scale, in one line."""
    low, high = ratings.scale
    return (
        f"{len(ratings):,} ratings, {ratings.n_users:,} users x {ratings.n_items:,} items, "
        f"scale {low:g} to {high:g}"
    )


def describe_model(model: AutoRec) -> str:
    """Return orientation, layers, activations and solver, in one line."""
    layers = " x ".join(str(size) for size in model.hidden_layer_sizes)
    return (
        f"{'I' if model.orientation == 'item' else 'U'}-AutoRec, "
        f"{'tied, ' if model.tied else ''}{layers} hidden units, {model.activation} and "
        f"{model.output_activation}, solver {model.solver}"
    )


class Progress:
    """A callback of `AutoRec` that shows the epoch and the time left; a context manager.

    Parameters
    ----------
    stream : text stream
    n_runs : int
        Trainings that will report here, one after the other.
    as_lines : bool
        Whether to write a line for each epoch, instead of one line that is drawn anew.
    """

    def __init__(self, stream: TextIO, n_runs: int = 1, as_lines: bool = True) -> None:
        self.stream, self.n_runs, self.as_lines = stream, n_runs, as_lines
        self._run = 0
        self._drawn_at = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._drawn_at:
            print(CLEAR, end="", file=self.stream, flush=True)

    def __call__(self, state: EpochState) -> None:
        if state.epoch == 1:
            self._run += 1
        line, now = self._line(state), time.monotonic()
        if self.as_lines:
            print(line, file=self.stream, flush=True)
        elif now - self._drawn_at >= REDRAW_SECONDS:
            # padded and cut to the width of the line that it replaces
            print(f"\r{line:{LINE_WIDTH}.{LINE_WIDTH}}", end="", file=self.stream, flush=True)
            self._drawn_at = now

    def _line(self, state: EpochState) -> str:
        run = f"run {self._run} of {self.n_runs}, " if self.n_runs > 1 else ""
        validation = ""
        if state.validation_rmse is not None:
            validation = f", validation RMSE {state.validation_rmse:.4f}"
        per_epoch = state.seconds / state.epoch
        epochs_left = state.n_epochs * (1 + self.n_runs - self._run) - state.epoch
        left = f", {duration(per_epoch * epochs_left)} left" if epochs_left else ""
        return (
            f"{run}epoch {state.epoch} of {state.n_epochs}: objective {state.value:.6g}"
            f"{validation}, {duration(state.seconds)}{left}"
        )


def complain(message: str) -> None:
    """Write one line to stderr, in the place of a progress line if there is one."""
    stream = sys.stderr
    start = CLEAR if stream.isatty() else ""
    print(f"{start}autorec-np: {' '.join(message.split())}", file=stream, flush=True)


def error_message(error: BaseException) -> str:
    """Return what an exception says, without what only a programmer needs."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def plain(value: Any) -> Any:
    """Return `value` for JSON: arrays as lists, NaN and infinities as None, else text."""

    def convert(other: Any) -> Any:
        return other.tolist() if hasattr(other, "tolist") else str(other)

    return json.loads(json.dumps(value, default=convert), parse_constant=lambda name: None)
