"""One training on many machines, by Dask (the extra `dask`): docs/scale.md."""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.distributed.columns import fit_distributed as fit_distributed

_MODULE_OF = {"fit_distributed": "columns"}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
