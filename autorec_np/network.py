"""The network (1); it lives in `core.network`."""

from autorec_np.core.network import Network

__all__ = ["Network"]
