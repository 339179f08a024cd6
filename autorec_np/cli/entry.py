"""The command line ``autorec-np``: messages and exit codes.

`options` defines the arguments, `commands` does the work, `reporting` gives it its looks. Results
go to stdout, everything else to stderr. Exit codes: 0 success, 1 failure, 2 wrong usage, 130
Ctrl-C, 141 the reader of stdout went away.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from autorec_np._text import UsageError, complain, error_message

INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 + the signal's number, as shells report it

# What bad data, files and parameters raise; anything else is a bug, whose traceback is wanted.
EXPECTED_ERRORS = (ValueError, TypeError, IndexError, ArithmeticError, OSError, MemoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; None: those of the process.

    Returns
    -------
    int
        The exit code.
    """
    try:
        try:
            status = _run(argv)
        except SystemExit as ended:  # argparse has printed help or the version
            status = int(ended.code or 0)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Python would try again to write the rest when it ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except UsageError as error:
        complain(f"error: {error}")
        return 2
    except EXPECTED_ERRORS as error:
        complain(f"error: {error_message(error)}")
        return 1


def _run(argv: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for a title that the terminal lacks
    from autorec_np.cli.options import make_parser  # here, so that Ctrl-C while NumPy loads is met

    args = make_parser().parse_args(argv)
    with _messages(args.quiet, args.verbosity):
        status: int = args.run(args)
    return status


@contextmanager
def _messages(quiet: bool, verbose: bool) -> Iterator[None]:
    """Show warnings and log records as lines on stderr."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complain(record.getMessage())

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        complain(f"warning: {message}")

    logger, handler, level = logging.getLogger("autorec_np"), Handler(), logging.WARNING
    if quiet or verbose:
        level = logging.ERROR if quiet else logging.INFO
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if quiet else "always", UserWarning)
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
