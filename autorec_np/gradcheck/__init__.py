"""Check hand-written gradients: anyone's ``fun(theta) -> (value, gradient)``.

It needs NumPy alone: copy the folder under any name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .check import ComplexStepError as ComplexStepError
    from .check import GradientError as GradientError
    from .check import assert_gradient as assert_gradient
    from .check import check_gradient as check_gradient
    from .check import complex_step as complex_step
    from .report import BlockReport as BlockReport
    from .report import GradientReport as GradientReport
    from .report import Verdict as Verdict
    from .report import plot_error_curves as plot_error_curves
    from .report import plot_taylor as plot_taylor
    from .taylor import AdjointReport as AdjointReport
    from .taylor import TaylorBlock as TaylorBlock
    from .taylor import TaylorReport as TaylorReport
    from .taylor import adjoint_test as adjoint_test
    from .taylor import check_hessian_vector as check_hessian_vector
    from .taylor import taylor_test as taylor_test

_MODULE_OF = {
    "AdjointReport": "taylor",
    "BlockReport": "report",
    "ComplexStepError": "check",
    "GradientError": "check",
    "GradientReport": "report",
    "TaylorBlock": "taylor",
    "TaylorReport": "taylor",
    "Verdict": "report",
    "adjoint_test": "taylor",
    "assert_gradient": "check",
    "check_gradient": "check",
    "check_hessian_vector": "taylor",
    "complex_step": "check",
    "plot_error_curves": "report",
    "plot_taylor": "report",
    "taylor_test": "taylor",
}

__all__ = [*_MODULE_OF]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
