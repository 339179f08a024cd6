"""The command autorec-np."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorec_np._lazy import hand_on

if TYPE_CHECKING:
    from autorec_np.cli.start import main as main

_MODULE_OF = {
    "main": "start",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
