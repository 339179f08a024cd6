"""Models of others to compare with, each with its derivation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorec_np._lazy import hand_on

if TYPE_CHECKING:
    from autorec_np.baselines.rbm import RatingRBM as RatingRBM

_MODULE_OF = {
    "RatingRBM": "rbm",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
