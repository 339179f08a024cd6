"""Check hand-written gradients: anyone's ``fun(theta) -> (value, gradient)``."""

from .check import *  # noqa: F403
from .check import __all__ as __all__
