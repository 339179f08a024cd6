"""What type checkers and editors know: the class of a loaded model, the words of an argument."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from autorec_np import AutoRec, fetch_movielens
from autorec_np._types import Axis, Solver
from autorec_np.sources.movielens import MOVIELENS_NAMES, MovieLensName
from autorec_np.training import SOLVERS

ROOT = Path(__file__).parents[2]

PROGRAM = """\
from autorec_np import AutoRec, BiasBaseline, fetch_movielens, load_model
reveal_type(load_model("a.npz"))
reveal_type(load_model("a.npz", AutoRec))
reveal_type(load_model("a.npz", BiasBaseline, memory_map=True))
answer = load_model("a.npz", AutoRec).recommend_new({1: 5.0})
reveal_type(answer.n_unknown)
AutoRec(solver="adan")
AutoRec(orientation="items")
fetch_movielens("ml-2m")
AutoRec("user", solver="rprop")
fetch_movielens("ml-1m")
"""


def test_the_words_are_those_that_are_known():
    assert set(get_args(Solver)) == set(SOLVERS)
    assert set(get_args(MovieLensName)) == set(MOVIELENS_NAMES)
    assert get_args(Axis) == ("item", "user")
    hints = inspect.unwrap(AutoRec.__init__).__annotations__
    assert (hints["orientation"], hints["solver"]) == ("Axis", "Solver")
    assert inspect.unwrap(fetch_movielens).__annotations__["name"] == "MovieLensName"


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("AUTOREC_NP_SLOW"), reason="set AUTOREC_NP_SLOW to run it")
def test_mypy_knows_what_is_loaded_and_which_words_are_wrong(tmp_path):
    pytest.importorskip("mypy", reason="needs mypy")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), str(program)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT), "PATH": "", "PYTHONPATH": str(ROOT)},
    )
    lines = [line for line in result.stdout.splitlines() if line.startswith("program.py:")]
    told = {int(line.split(":")[1]): line for line in lines}
    assert sorted(told) == [2, 3, 4, 6, 7, 8, 9], result.stdout
    for line, name in {2: "Recommender", 3: "AutoRec", 4: "BiasBaseline", 6: "int"}.items():
        assert f'{name}"' in told[line]
    for line, word in {7: "adan", 8: "items", 9: "ml-2m"}.items():
        assert word in told[line]
        assert "error" in told[line]
