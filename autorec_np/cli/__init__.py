"""The command autorec-np: Ctrl-C is one line, also while the rest is imported."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, `argv` or else that of the process; return the exit code."""
    interrupts = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += 1
        signal.default_int_handler(number, frame)

    in_main = threading.current_thread() is threading.main_thread()
    ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        from autorec_np.cli import commands

        return commands.main(argv)
    except (KeyboardInterrupt, ImportError, SystemError) as error:
        # compiled modules make an ImportError of an interrupt
        if not (interrupts or isinstance(error, KeyboardInterrupt)):
            raise
        print("autorec-np: interrupted", file=sys.stderr, flush=True)
        return 128 + signal.SIGINT  # as shells report it
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
