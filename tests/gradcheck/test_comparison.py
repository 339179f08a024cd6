"""The comparison with other checkers: what its table says of this one is so."""

import sys
from pathlib import Path

import pytest
from scipy import optimize

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks is a folder of the repository, not of the package

from benchmarks.gradient_checkers import TOOLS, Counted, all_cases, is_right  # noqa: E402

CASES = list(all_cases())


def rows():
    page = (ROOT / "docs" / "gradient_checking.md").read_text(encoding="utf-8")
    section = page[page.index("## Beside other checkers") :]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    header = cells[0]
    return {row[0]: dict(zip(header, row, strict=True)) for row in cells[2 : 2 + len(CASES) + 3]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_of_the_page(case):
    counted = Counted(case)
    verdict = TOOLS["autorec_np"][0](counted, case.theta)
    shown = verdict if is_right(verdict, case.right) else f"**{verdict}**"
    said = rows()[case.name]["autorec_np"]
    assert said.rpartition(", ")[0] == shown
    assert counted.values <= 1.3 * int(said.rpartition(", ")[2])
    assert case.right or verdict != "pass"
    assert not case.right or verdict != "fail"


def test_the_totals_of_the_page():
    table = rows()
    right = sum("**" not in table[case.name]["autorec_np"] for case in CASES)
    assert table["**right verdicts**"]["autorec_np"] == str(right)
    assert table["**wrong ones passed**"]["autorec_np"] == "0"


def test_the_rules_of_the_page_are_those_of_the_benchmark():
    page = (ROOT / "docs" / "gradient_checking.md").read_text(encoding="utf-8")
    for name, (_, rule) in TOOLS.items():
        assert f"* {name}: {rule}" in page


def test_values_are_counted():
    counted = Counted(CASES[0])
    optimize.check_grad(counted.value, counted.gradient, CASES[0].theta)
    assert counted.values == CASES[0].theta.size + 1
