"""The command autorec-np: Ctrl-C, or SIGTERM, is one line, also while the rest is imported."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, `argv` or else that of the process; return the exit code."""
    arrived: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        signal.default_int_handler(number, frame)

    in_main = threading.current_thread() is threading.main_thread()
    usual: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    ours = [one for one, handler in usual.items() if in_main and signal.getsignal(one) == handler]
    for one in ours:
        signal.signal(one, interrupt)
    try:
        from autorec_np.cli import commands

        status = commands.main(argv)
    except (KeyboardInterrupt, ImportError, SystemError) as error:
        # compiled modules make an ImportError of an interrupt
        if not (arrived or isinstance(error, KeyboardInterrupt)):
            raise
        print("autorec-np: interrupted", file=sys.stderr, flush=True)
        status = INTERRUPTED
    finally:
        for one in ours:
            signal.signal(one, usual[one])
    # as shells report it
    return 128 + arrived[0] if arrived and status == INTERRUPTED else status
