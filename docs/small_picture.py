"""Save a figure as a small PNG; for the scripts beside this one."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image


def save(figure: Figure, path: Path, dpi: int) -> None:
    """Write a PNG with a palette of 128 colors: a third of the size; not for continuous tones."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi)
    path.parent.mkdir(exist_ok=True)
    Image.open(drawn).convert("RGB").quantize(128).save(path, optimize=True)
