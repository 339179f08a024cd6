"""For eyes: pictures, one HTML page, tables of gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorec_np._lazy import hand_on

if TYPE_CHECKING:
    from autorec_np.reports.page import html_report as html_report

_MODULE_OF = {
    "html_report": "page",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
