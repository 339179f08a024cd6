"""What the command line shows: tables, sizes and times as text, and the progress of a training."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from autorec_np.autorec import AutoRec
    from autorec_np.gradcheck import GradientReport
    from autorec_np.ratings import Ratings
    from autorec_np.training import EpochState

LINE_WIDTH = 79
REDRAW_SECONDS = 0.1
CLEAR = f"\r{' ' * LINE_WIDTH}\r"


class UsageError(Exception):
    """Arguments that do not fit together; the message takes one line."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Return aligned text, two spaces between columns; the columns in `left` are flush left."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    )


def indented(text: str) -> str:
    """Return text with two spaces before every line."""
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n"))


def duration(seconds: float) -> str:
    """Return a time as ``8.2 s``, ``42 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def file_size(n_bytes: int) -> str:
    """Return a size as ``12 kB`` or ``3.4 MB``."""
    return f"{n_bytes / 1e3:.0f} kB" if n_bytes < 1e6 else f"{n_bytes / 1e6:.1f} MB"


def shortened(text: str, width: int) -> str:
    """Return text of at most `width` characters; three dots stand for what is left out."""
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."


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


def gradient_table(report: GradientReport) -> str:
    """Return the verdict of each block as a table that fits a terminal."""
    rows = [
        [name, block.verdict, f"{block.relative_error:.1e}", str(block.evaluations)]
        for name, block in report.blocks.items()
    ]
    return table(["block", "verdict", "relative error", "evaluations"], rows, left=(0, 1))


def draw(stream: TextIO, text: str) -> None:
    """Write a line that the next one will replace."""
    stream.write(f"\r{shortened(text, LINE_WIDTH).ljust(LINE_WIDTH)}")
    stream.flush()


def clear(stream: TextIO) -> None:
    """Remove what `draw` wrote."""
    stream.write(CLEAR)
    stream.flush()


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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._drawn_at:
            clear(self.stream)

    def __call__(self, state: EpochState) -> None:
        if state.epoch == 1:
            self._run += 1
        if self.as_lines:
            print(self._line(state), file=self.stream, flush=True)
            return
        now = time.monotonic()
        if now - self._drawn_at >= REDRAW_SECONDS:
            draw(self.stream, self._line(state))
            self._drawn_at = now

    def _line(self, state: EpochState) -> str:
        run = f"run {self._run} of {self.n_runs}, " if self.n_runs > 1 else ""
        validation = (
            ""
            if state.validation_rmse is None
            else f", validation RMSE {state.validation_rmse:.4f}"
        )
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
    if isinstance(error, MemoryError):
        return f"not enough memory ({error})" if str(error) else "not enough memory"
    return str(error) or type(error).__name__


def plain(value: Any) -> Any:
    """Return `value` for JSON: NumPy's scalars as Python's, tuples as lists, other objects as text.

    NaN and infinities, which JSON lacks, become None.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
