"""The objective (2); it lives in `core.objective`."""

from autorec_np.core.objective import Objective

__all__ = ["Objective"]
