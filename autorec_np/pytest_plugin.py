"""A pytest plugin: the fixture ``gradcheck``, which fails a test with the table of the check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Check a gradient: ``gradcheck(fun, theta, blocks=None, **options)``.

    As `autorec_np.gradcheck.check_gradient`; a block whose verdict is not "pass" fails the test
    with the table, which ``pytest -rP`` shows of all.
    """
    from autorec_np.gradcheck import assert_gradient  # pytest starts without NumPy

    def check(fun: Any, theta: Any, blocks: Any = None, **options: Any) -> Any:
        __tracebackhide__ = True
        report = assert_gradient(fun, theta, blocks, **options)
        request.node.add_report_section("call", "gradient check", f"{report}\n")
        return report

    return check
