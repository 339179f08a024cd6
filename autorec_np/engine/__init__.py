"""The lesson's numbers, faster."""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.engine.engines import Engine as Engine
    from autorec_np.engine.engines import PlainEngine as PlainEngine
    from autorec_np.engine.engines import TiledEngine as TiledEngine
    from autorec_np.engine.threads import Workers as Workers
    from autorec_np.engine.tiled import Plan as Plan
    from autorec_np.engine.tiled import Tiled as Tiled

_MODULE_OF = {
    "Engine": "engines",
    "Plan": "tiled",
    "PlainEngine": "engines",
    "Tiled": "tiled",
    "TiledEngine": "engines",
    "Workers": "threads",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
