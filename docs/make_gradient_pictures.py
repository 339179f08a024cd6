"""Draw the pictures of docs/gradient_checking.md.

    python docs/make_gradient_pictures.py        (needs matplotlib: pip install .[plot])

The function is the two-layer network of the page, its hidden bias off by one percent.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import small_picture

from autorec_np.gradcheck import check_gradient, plot_error_curves, plot_taylor, taylor_test

DOCS = Path(__file__).resolve().parent


def network_of_the_page() -> dict[str, Any]:
    """Run the code of the page and return the variables as the example of the network left them."""
    names: dict[str, Any] = {}
    text = (DOCS / "gradient_checking.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block, "gradient_checking.md", "exec"), names)
        if "network_loss" in names:
            return names
    raise ValueError("gradient_checking.md defines no network_loss")


def main() -> None:
    page = network_of_the_page()
    theta, blocks = page["theta"], page["blocks"]

    def loss(point: Any) -> Any:
        return page["network_loss"](point, bias_factor=1.01)

    curves = plot_error_curves(check_gradient(loss, theta, blocks, full_sweep=True))
    small_picture.save(curves, DOCS / "images" / "gradient_errors.png", dpi=80)
    taylor = plot_taylor(taylor_test(loss, theta, blocks))
    small_picture.save(taylor, DOCS / "images" / "gradient_taylor.png", dpi=80)


if __name__ == "__main__":
    main()
