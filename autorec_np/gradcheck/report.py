"""What a check found, as a table, as values for JSON, and as pictures, which need matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .function import Word

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .taylor import TaylorReport


class Verdict(Word):
    """What a check says of a block."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


def number(value: float | None, digits: int) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}g}"


def jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.value if isinstance(value, Word) else value


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
        Of the two derivatives, to the larger one.
    worst_coordinate : str or None
        Such as ``decoder.weight[17, 3]``.
    analytic, numeric : float
        The derivatives there, or along the worst direction.
    step : float
        Of the numeric one.
    budget, noise_floor : float
        The error that truncation and rounding can explain, and the part of rounding.
    evaluations : int
        Calls of the function.
    kinks : int
        Steps skipped across kinks.
    note : str
    curve : dict
        ``step``, ``error`` and ``budget`` (lists), for a picture.
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
        return {name: jsonable(value) for name, value in asdict(self).items() if name != "curve"}


@dataclass(frozen=True)
class Report:
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
    evaluations : int
        Calls of the function.
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
        rows = []
        for name, b in self.blocks.items():
            numbers = [number(getattr(b, field), digits) for field, digits in DIGITS.items()]
            where = b.worst_coordinate or "-"
            rows.append([name, b.verdict, where, *numbers, str(b.evaluations)])
        return self.with_notes(header.split(","), rows, left=3)


DIGITS = {
    "relative_error": 2,
    "analytic": 6,
    "numeric": 6,
    "budget": 2,
    "noise_floor": 2,
    "step": 2,
}


# distinct with any kind of color blindness
VERDICT_COLORS = {
    Verdict.PASS: "#1b7837",
    Verdict.FAIL: "#b2182b",
    Verdict.INCONCLUSIVE: "#b35806",
}
ORDER_COLORS = ("#4d4d4d", "#2166ac", "#762a83")


def plot_error_curves(report: GradientReport) -> Figure:
    """Plot the error of the numeric derivative against its step, one panel a block, log-log.

    Parameters
    ----------
    report : GradientReport
        Of ``check_gradient(..., full_sweep=True)``.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        No block has a curve of at least three steps.
    """
    blocks = {name: b for name, b in report.blocks.items() if len(b.curve.get("step", ())) > 2}
    if not blocks:
        raise ValueError(
            "the report holds no errors by step; call check_gradient(..., full_sweep=True)."
        )
    figure, panels = _panels(blocks, "|numeric - analytic slope|")
    for panel, block in zip(panels, blocks.values(), strict=True):
        step, error, budget = (np.asarray(block.curve[key]) for key in ("step", "error", "budget"))
        seen = error > 0  # 0 has no place on a logarithmic axis
        color = VERDICT_COLORS[block.verdict]
        panel.loglog(step, budget, color="#999999", lw=1, label="error budget")
        panel.loglog(step[seen], error[seen], "o-", color=color, ms=4, label="error")
        _reference(panel, step[seen], error[seen], -1, "rounding, slope -1", "-")
        _reference(panel, step[seen], error[seen], 2, "truncation, slope 2", "--")
        panel.axvline(block.step, color="#2166ac", ls=":", label="chosen step")
    entries = {
        label: line
        for p in panels
        for line, label in zip(*p.get_legend_handles_labels(), strict=True)
    }
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=5, fontsize=8)
    return figure


def plot_taylor(report: TaylorReport) -> Figure:
    """Plot the Taylor remainders against the step with their slopes, one panel a block.

    Errors are as in `plot_error_curves`.
    """
    blocks = {name: block for name, block in report.blocks.items() if block.steps}
    if not blocks:
        raise ValueError(f"the report holds no remainders: {report.note or 'see its notes'}.")
    figure, panels = _panels(blocks, "remainder")
    for panel, block in zip(panels, blocks.values(), strict=True):
        step = np.asarray(block.steps)
        for order, values in block.remainders.items():
            remainder, slope = np.asarray(values), block.slopes[order]
            said = "exact" if np.isinf(slope) else f"slope {slope:.2f}, wanted {order + 1}"
            label, color, seen = f"order {order}: {said}", ORDER_COLORS[order], remainder > 0
            panel.loglog(step[seen], remainder[seen], "o-", ms=3, color=color, label=label)
        panel.axhspan(panel.get_ylim()[0], block.noise_floor, color="#eeeeee", label="rounding")
        panel.legend(fontsize=7, loc="upper left")
    return figure


def _panels(blocks: Mapping[str, Any], what: str) -> tuple[Figure, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install matplotlib.") from error
    n = len(blocks)
    n_columns = 2 if n == 4 else min(n, 3)
    n_rows = -(-n // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 3.4 * n_rows), layout="constrained")
    panels = [figure.add_subplot(n_rows, n_columns, place) for place in range(1, n + 1)]
    for panel, (name, block) in zip(panels, blocks.items(), strict=True):
        panel.set(xlabel="step", ylabel=what)
        color = VERDICT_COLORS[block.verdict]
        panel.set_title(f"{name}: {block.verdict}", fontsize=10, color=color)
    return figure, panels


def _reference(panel: Any, step: Any, error: Any, slope: int, label: str, style: str) -> None:
    """Draw it through the end towards which the error rises."""
    end = 0 if slope < 0 else -1
    if len(error) and error[end] > 10 * error.min():
        line = error[end] * (step / step[end]) ** slope
        shown = line >= error.min() / 3
        panel.loglog(step[shown], line[shown], style, color="#bbbbbb", lw=3, zorder=0, label=label)
