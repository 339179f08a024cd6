"""The numbers of docs/explorable are the package's (the tests themselves are in model.test.js)."""

from __future__ import annotations

import subprocess

import explorable_states
import numpy as np
import pytest
from markdown_pages import ROOT

PAGE = ROOT / "docs" / "explorable"
# Faults in the page's own mathematics that its tests must see: text of model.js, and another.
MISTAKES = [
    ("(p.X[r][j] ?? 0) * p.V[j][i]) + p.mu[i]", "(p.X[r][j] ?? 0) * p.V[j][i])"),
    ("p.lambda / 2) * dot(weights", "p.lambda) * dot(weights"),
    ("h * (1 - h);", "h * (1 + h);"),
    ('p.X[r][c] === 0 && fault === "zero"', 'p.X[r][c] === 1 && fault === "zero"'),
    ("1e-6 * scale + 8 * EPS", "1e-1 * scale + 8 * EPS"),
    ("points.slice(-4)", "points.slice(0, 2)"),
    ("x + momentum * velocity[k] - rate * g[k]", "x + velocity[k]"),
    ("(Math.sqrt(square) + epsilon)", "Math.sqrt(square + epsilon)"),
    ("x.value <= start.value + 1e-4 * x.step", "x.value <= start.value + 0.9 * x.step"),
    ("coefficients.pop() - rho", "coefficients.shift() - rho"),
    ("low.step + 0.1 * width, high", "low.step + 0.4 * width, high"),
]


def test_the_page_is_small_and_asks_for_nothing():
    files = [path for path in PAGE.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 60_000
    for path in files:
        text = path.read_text(encoding="utf-8")
        used = text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert "http" not in used
        assert not any(word in text for word in ("fetch(", "XMLHttpRequest", "@import", "@font"))


def test_the_example_is_that_of_the_tour():
    tour = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    names = {}
    for line in tour.splitlines():
        if line.startswith(("X = ", "V = ", "mu = ", "W = ", "b = ")):
            exec(line, {"np": np}, names)
    example = explorable_states.EXAMPLE
    for name in ("V", "mu", "W", "b"):
        assert np.array_equal(names[name], example[name])
    assert [[x or 0 for x in row] for row in example["X"]] == names["X"].tolist()


def test_the_numbers_are_those_of_the_package(run_tests, golden):
    assert len(run_tests("model.test.js", GOLDEN=str(golden))) == 10


@pytest.mark.parametrize(("right", "wrong"), MISTAKES)
def test_a_mistake_in_the_page_would_be_seen(node, golden, tmp_path, right, wrong):
    source = (PAGE / "model.js").read_text(encoding="utf-8")
    assert source.count(right) == 1
    (tmp_path / "docs" / "explorable").mkdir(parents=True)
    (tmp_path / "docs" / "explorable" / "model.js").write_text(source.replace(right, wrong))
    tests = tmp_path / "tests" / "explorable" / "model.test.js"
    tests.parent.mkdir(parents=True)
    tests.write_bytes((ROOT / "tests" / "explorable" / "model.test.js").read_bytes())
    run = subprocess.run(
        [node, "--test", tests],
        capture_output=True,
        env={"GOLDEN": str(golden)},
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
