"""Follow the advice of an error's message: evaluate the very expression that it shows."""

from __future__ import annotations

from typing import Any

import numpy
import pandas
import scipy

import autorec_np
from autorec_np.data.ratings import Ratings


def expression(message: str, start: str) -> str:
    """Return the call in a message that begins with `start`, up to its closing parenthesis."""
    begin = message.index(start)
    depth = 0
    for place in range(begin, len(message)):
        depth += (message[place] == "(") - (message[place] == ")")
        if depth == 0 and message[place] == ")":
            return message[begin : place + 1]
    raise AssertionError(f"no call that begins with {start!r} ends in: {message}")


def follow(message: object, start: str, **names: Any) -> Any:
    """Evaluate the call that begins with `start` in a message, with the given variables."""
    scope = {"autorec_np": autorec_np, "numpy": numpy, "pandas": pandas, "scipy": scipy}
    code = expression(str(message), start)
    return eval(code, scope | {"Ratings": Ratings} | names)
