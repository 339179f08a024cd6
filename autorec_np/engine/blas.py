"""Computing undisturbed: BLAS has one thread, whatever floating-point errors are set to raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from autorec_np.gradcheck.process import VARIABLES as VARIABLES
from autorec_np.gradcheck.process import single_threaded_blas as single_threaded_blas


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute whatever is set around us: BLAS has one thread, and what underflows is 0.

    Also a decorator, ``@undisturbed()``.
    """
    with single_threaded_blas(), np.errstate(under="ignore"):
        yield
