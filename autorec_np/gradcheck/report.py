"""What a check found: verdicts by block, as a table for people and as values for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .function import Word


class Verdict(Word):
    """What a check says of a block."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


def number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}g}"


def jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, Word):
        return value.value
    return int(value) if isinstance(value, np.integer) else value


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """The first `left` columns are flush left."""
    columns = []
    for number, cells in enumerate(zip(header, *rows, strict=True)):
        width = max(map(len, cells))
        side = "<" if number < left else ">"
        columns.append([f"{cell:{side}{width}}" for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


@dataclass(frozen=True)
class BlockReport:
    """What was found in one block.

    Attributes
    ----------
    verdict : Verdict
        A string: "pass", "fail" or "inconclusive".
    relative_error : float
        The largest error found, relative to the slopes of the function.
    worst_coordinate : str or None
        Name and index of the coordinate with the largest error, ``decoder.weight[17, 3]``.
    analytic, numeric : float
        The two derivatives there (along the worst direction if no coordinate was evaluated).
    step : float
        The step of the numeric derivative.
    budget : float
        The error that truncation and rounding can explain.
    noise_floor : float
        The part of the budget that is rounding noise.
    evaluations : int
        Calls of the function.
    kinks : int
        Steps skipped because they lead across a kink: the pattern changed, or the slopes of the two
        sides disagreed.
    note : str
        What a reader should know; empty if nothing.
    curve : dict
        ``step``, ``error`` and ``budget`` (lists) of the worst probe, for a picture.
    """

    verdict: Verdict
    relative_error: float = np.nan
    worst_coordinate: str | None = None
    analytic: float = np.nan
    numeric: float = np.nan
    step: float = np.nan
    budget: float = np.nan
    noise_floor: float = np.nan
    evaluations: int = 0
    kinks: int = 0
    note: str = ""
    curve: dict[str, list[float]] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values, without the curve."""
        fields = {name: value for name, value in asdict(self).items() if name != "curve"}
        return dict(jsonable(fields))


@dataclass(frozen=True)
class Report:
    """Verdicts by block, with a note on the whole function."""

    blocks: Mapping[str, Any]
    note: str = ""

    @property
    def passed(self) -> bool:
        """True only if every block's verdict is "pass"."""
        return all(block.verdict is Verdict.PASS for block in self.blocks.values())

    def with_notes(self, header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
        notes = [f"{name}: {block.note}" for name, block in self.blocks.items() if block.note]
        return "\n".join([table(header, rows, left), *filter(None, [self.note]), *notes])


@dataclass(frozen=True)
class GradientReport(Report):
    """Verdicts by block. ``str(report)`` is a table.

    Attributes
    ----------
    blocks : dict of str to BlockReport
    note : str
        What concerns the whole function, such as values that differ between two evaluations.
    evaluations : int
        Calls of the function, those that prepared the check included.
    """

    blocks: dict[str, BlockReport]
    evaluations: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"passed": bool, "note": str, "blocks": {name: {"verdict": ..., ...}}}``."""
        return {
            "passed": self.passed,
            "note": self.note,
            "evaluations": self.evaluations,
            "blocks": {name: block.to_dict() for name, block in self.blocks.items()},
        }

    def __str__(self) -> str:
        header = (
            "block,verdict,worst coordinate,rel. error,analytic,numeric,budget,noise,step,evals"
        )
        rows = [
            (
                name,
                b.verdict,
                b.worst_coordinate or "-",
                number(b.relative_error, 2),
                number(b.analytic, 6),
                number(b.numeric, 6),
                number(b.budget, 2),
                number(b.noise_floor, 2),
                number(b.step, 2),
                str(b.evaluations),
            )
            for name, b in self.blocks.items()
        ]
        return self.with_notes(header.split(","), rows, left=3)
