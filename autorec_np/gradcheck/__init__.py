"""Check hand-written gradients: anyone's ``fun(theta) -> (value, gradient)``.

* `check_gradient` gives a verdict for every block of theta; `assert_gradient` raises instead.
* `taylor_test` fits the slopes of the Taylor remainders.
* `complex_step` differentiates analytic functions to 1e-15.
* `adjoint_test` and `check_hessian_vector` do the same for linear maps and second derivatives.

The error budget behind every verdict is derived in docs/gradient_checking.md.
"""

from ._check import (
    BlockReport,
    ComplexStepError,
    GradientError,
    GradientReport,
    assert_gradient,
    check_gradient,
    complex_step,
)
from ._other_tests import (
    AdjointReport,
    TaylorBlock,
    TaylorReport,
    adjoint_test,
    check_hessian_vector,
    taylor_test,
)

__all__ = [
    "AdjointReport",
    "BlockReport",
    "ComplexStepError",
    "GradientError",
    "GradientReport",
    "TaylorBlock",
    "TaylorReport",
    "adjoint_test",
    "assert_gradient",
    "check_gradient",
    "check_hessian_vector",
    "complex_step",
    "taylor_test",
]
