"""Verdicts, tables and values for JSON."""

import json
import pickle

import numpy as np
import pytest
from gradcheck_cases import BLOCKS, POINT, rosenbrock, with_fault

from autorec_np.gradcheck import Verdict, check_gradient, taylor_test


def test_the_report_is_a_dictionary_for_json_and_a_table_for_people():
    report = check_gradient(with_fault(rosenbrock, 1, 1.01), POINT, BLOCKS)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["passed"] is False
    assert data["blocks"]["front"]["verdict"] == "fail"
    assert data["blocks"]["back"]["verdict"] == "pass"
    assert data["blocks"]["front"]["evaluations"] > 0
    assert data["evaluations"] > sum(b["evaluations"] for b in data["blocks"].values())
    header, front, back = str(report).splitlines()[:3]
    assert header.split()[:2] == ["block", "verdict"]
    assert front.split()[:3] == ["front", "fail", "front[1]"]
    assert back.split()[:2] == ["back", "pass"]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_verdict_is_its_word_wherever_it_is_compared_printed_or_stored(verdict):
    word = verdict.value
    assert verdict == word
    assert {word: 1}[verdict] == 1
    assert [str(verdict), f"{verdict}", f"{verdict:>15}", f"{verdict!r}"] == [
        word, word, f"{word:>15}", repr(word),
    ]  # fmt: skip
    assert json.dumps({"verdict": verdict}) == json.dumps({"verdict": word})
    assert pickle.loads(pickle.dumps(verdict)) is verdict
    assert Verdict(word) is verdict


def test_dictionaries_hold_plain_strings():
    report = check_gradient(rosenbrock, POINT, BLOCKS)
    found = [report.to_dict(), taylor_test(rosenbrock, POINT, BLOCKS).to_dict()]
    assert {type(block["verdict"]) for r in found for block in r["blocks"].values()} == {str}


def test_the_relative_error_is_that_of_the_two_numbers_beside_it():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        theta, factor = rng.normal(size=4), 1 + 10 ** rng.uniform(-9, 0) * rng.integers(0, 2)
        block = check_gradient(with_fault(rosenbrock, 2, factor), theta).blocks["theta"]
        larger = max(abs(block.analytic), abs(block.numeric))
        difference = abs(block.analytic - block.numeric)
        assert block.relative_error == pytest.approx(difference / larger, rel=1e-6, abs=1e-15)
