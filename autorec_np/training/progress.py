"""The bar that ``verbose=True`` shows on a terminal."""

from __future__ import annotations

import sys
from typing import Any


def progress_bar(n_epochs: int) -> Any:
    """Return a tqdm bar on stderr; None where that is no terminal or tqdm is not installed."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=n_epochs, unit="epoch")
