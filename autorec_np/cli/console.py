"""What the command line writes: results to stdout, progress and complaints to stderr."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from autorec_np._text import duration, epoch_line, plain
from autorec_np._version import __version__

if TYPE_CHECKING:
    from autorec_np.training import EpochState

LINE_WIDTH = 79
REDRAW_SECONDS = 0.1
CLEAR = f"\r{' ' * LINE_WIDTH}\r"


class UsageError(Exception):
    """Arguments that do not fit together."""


def say(args: Namespace, *lines: str) -> None:
    """Print lines, unless --json."""
    if not args.json:
        print(*lines, sep="\n", flush=True)


def emit(args: Namespace, **content: Any) -> None:
    """Print one object, if --json."""
    if args.json:
        first = {"command": args.command, "version": __version__}
        print(json.dumps(plain({**first, **content}), allow_nan=False))


def finish(args: Namespace, started: float, **content: Any) -> None:
    seconds = time.perf_counter() - started
    say(args, f"Everything in {duration(seconds)}.")
    emit(args, **content, seconds=seconds)


class Progress:
    """A callback of `AutoRec` that shows the epoch and the time left over `n_runs` trainings.

    Not `as_lines`, one line is drawn anew.
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
            print(f"\r{line:{LINE_WIDTH}.{LINE_WIDTH}}", end="", file=self.stream, flush=True)
            self._drawn_at = now

    def _line(self, state: EpochState) -> str:
        run = f"run {self._run} of {self.n_runs}, " if self.n_runs > 1 else ""
        epoch = epoch_line(
            state.epoch, state.n_epochs, state.value, state.validation_rmse, state.seconds
        )
        per_epoch = state.seconds / state.epoch
        epochs_left = state.n_epochs * (1 + self.n_runs - self._run) - state.epoch
        left = f", {duration(per_epoch * epochs_left)} left" if epochs_left else ""
        return f"{run}{epoch}{left}"


@contextmanager
def progress(args: Namespace, n_runs: int = 1) -> Iterator[tuple[Progress, ...]]:
    """Yield callbacks: none with --quiet."""
    with Progress(sys.stderr, n_runs, as_lines=not sys.stderr.isatty()) as shown:
        yield () if args.quiet else (shown,)


def complain(message: str) -> None:
    """Write one line to stderr, in the place of a progress line."""
    stream = sys.stderr
    start = CLEAR if stream.isatty() else ""
    print(f"{start}autorec-np: {' '.join(message.split())}", file=stream, flush=True)


def error_message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
