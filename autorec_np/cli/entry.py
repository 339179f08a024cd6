"""The command line ``autorec-np``: its commands, messages and exit codes.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from autorec_np import __version__
from autorec_np.cli import commands, train
from autorec_np.cli.options import Command, Parser, UsageError, complain, epilog, error_message

INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 + the signal's number; the reader of stdout went away

# anything else is a bug, whose traceback is wanted
EXPECTED_ERRORS = (ValueError, TypeError, IndexError, ArithmeticError, OSError, MemoryError)

COMMANDS: dict[str, Command] = {
    "demo": train.DEMO,
    "fetch": commands.FETCH,
    "train": train.TRAIN,
    "tune": train.TUNE,
    "evaluate": train.EVALUATE,
    "predict": commands.PREDICT,
    "recommend": commands.RECOMMEND,
    "report": commands.REPORT,
    "lesson": commands.LESSON,
    "gradcheck": commands.GRADCHECK,
}

OVERVIEW = """\
AutoRec: rating prediction and recommendations with an autoencoder, in NumPy.

commands:
"""

EXAMPLES = (
    "autorec-np demo",
    "autorec-np train ml-100k --save model.npz",
    "autorec-np recommend model.npz --user 1",
    "autorec-np train --help",
)
EXIT_CODES = "exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted"
COMPLETION = """\
completion in bash and zsh, after pip install 'autorec_np[completion]':
  eval "$(register-python-argcomplete autorec-np)"
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; see `cli.main`."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            status = _run(words)
        except SystemExit as ended:  # argparse has printed help or the version
            status = int(ended.code or 0)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Python writes the rest when it ends
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except UsageError as error:
        complain(f"error: {error}")
        return 2
    except EXPECTED_ERRORS as error:
        complain(f"error: {_in_options(words, error_message(error))}")
        return 1


def make_parser(words: Sequence[str]) -> Parser:
    """Only the commands among the words have arguments: all would load most of the package."""
    summaries = "".join(f"  {name:10}  {one.summary}\n" for name, one in COMMANDS.items())
    parser = Parser(
        prog="autorec-np",
        description=OVERVIEW + summaries,
        epilog=f"{epilog(EXAMPLES)}\n{COMPLETION}\n{EXIT_CODES}\n",
        usage="autorec-np COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"autorec-np {__version__}")
    group = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
        prog="autorec-np",
        help=argparse.SUPPRESS,
    )
    for name, command in COMMANDS.items():
        added = group.add_parser(
            name,
            usage=f"autorec-np {name} {command.usage}",
            description=f"{command.summary}\n\n{command.description}",
            epilog=epilog(command.examples),
        )
        if name in words:
            command.add_arguments(added)
    return parser


def _run(words: Sequence[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for a title that the terminal lacks
    if "_ARGCOMPLETE" in os.environ:
        _complete(os.environ["COMP_LINE"])
    args = make_parser(words).parse_args(words)
    with _messages(words, args.quiet, args.verbosity):
        try:
            return COMMANDS[args.command].run(args)
        except UsageError as error:
            raise UsageError(f"{error} (see autorec-np {args.command} --help)") from None


def _in_options(words: Sequence[str], message: str) -> str:
    parser = Parser()
    if words and words[0] in COMMANDS:
        COMMANDS[words[0]].add_arguments(parser)
    return parser.in_options(message)


def _complete(line: str) -> None:
    with suppress(ImportError):
        import argcomplete

        argcomplete.autocomplete(make_parser(line.split()))


@contextmanager
def _messages(words: Sequence[str], quiet: bool, verbose: bool) -> Iterator[None]:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complain(record.getMessage())

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        complain(f"warning: {_in_options(words, str(message))}")

    logger, handler, level = logging.getLogger("autorec_np"), Handler(), logging.WARNING
    if quiet or verbose:
        level = logging.ERROR if quiet else logging.INFO
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        with warnings.catch_warnings():  # of all threads: the command owns its process
            warnings.simplefilter("ignore" if quiet else "always", UserWarning)
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
