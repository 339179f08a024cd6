"""The command gradcheck."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import wrong_gradients

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.reports import html as gradient_cases


@pytest.fixture
def two_activations(monkeypatch):
    two = {name: ACTIVATIONS[name] for name in ("sigmoid", "relu")}
    monkeypatch.setattr(gradient_cases, "ACTIVATIONS", two)


@pytest.mark.usefixtures("two_activations")
def test_gradcheck_passes(run):
    status, out, err = run("gradcheck", "--json")
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert (result["passed"], result["n_cases"], result["n_failed"]) == (True, 58, 0)
    drawn = [case for case in result["cases"] if case["point"] == "drawn"]
    distinct = {
        (tuple(c["hidden_layer_sizes"]), c["activation"], c["output_activation"], c["tied"])
        for c in drawn
        if not c["implicit"]
    }
    assert len(distinct) == 16
    assert {case["dropout"] for case in drawn} == {0.0, 0.3}
    told = [(c["activation"], c["planes"]) for c in drawn if c["implicit"]]
    assert sorted(told) == sorted(2 * [(a, p) for a in ("relu", "sigmoid") for p in (False, True)])
    others = {(c["activation"], c["term"], c["point"]) for c in result["cases"]}
    assert len(others) == 2 * (1 + 9)


@pytest.mark.usefixtures("two_activations")
def test_gradcheck_fails_with_a_wrong_gradient_and_says_where(run, monkeypatch):
    def where(network, masks) -> bool:
        pair = (network.activation, network.output_activation)
        one_layer = len(network.hidden_layer_sizes) == 1
        return one_layer and network.tied and masks is not None and pair == ("relu", "sigmoid")

    wrong_gradients(monkeypatch, where=where)
    status, out, _ = run("gradcheck")
    assert status == 1
    rows = {line.split()[0]: line.split()[1:] for line in out.split("\n") if line.startswith("  ")}
    assert rows["relu"][0] == "FAIL"
    others = ("sigmoid", "initial", "trained", "saturated")
    assert "FAIL" not in [cell for name in others for cell in rows[name]]
    assert rows["relu"][1] != "FAIL"
    assert "57 of 58 pass" in out
    assert out.count("Case(hidden_layer_sizes=") == 1


USER_FILE = """
import numpy as np

def loss(theta):
    return float(theta @ theta), 2 * theta * np.array([1.0, 1.0, FACTOR])

def broken(theta):
    raise RuntimeError("no data")
"""


@pytest.fixture
def user_file(tmp_path, monkeypatch):
    """Return a function that writes loss.py with a factor in its gradient, beside theta.npy."""
    monkeypatch.chdir(tmp_path)
    np.save("theta.npy", np.array([1.0, 2.0, 3.0]))

    def write(factor=1.0, text=USER_FILE):
        Path("loss.py").write_text(text.replace("FACTOR", str(factor)))

    write()
    return write


def test_a_file_of_the_user_may_import_what_lies_beside_it(run, user_file, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("deep").mkdir()
    Path("deep/factors_beside_it.py").write_text("ones = 1.0")
    text = USER_FILE.replace("import numpy as np", "import numpy as np\nimport factors_beside_it")
    Path("deep/loss.py").write_text(text.replace("FACTOR", "factors_beside_it.ones"))
    assert run("gradcheck", "deep/loss.py:loss", "--theta", "theta.npy")[0] == 0


def test_the_seed_draws_the_coordinates(run, user_file):
    user_file(text="def loss(theta):\n    return float((theta**3).sum()), 3 * theta**2")
    np.save("theta.npy", np.arange(1.0, 101.0))
    command = ("gradcheck", "loss.py:loss", "--theta", "theta.npy", "--json", "--seed")
    blocks = [json.loads(run(*command, seed)[1])["blocks"] for seed in (0, 0, 1)]
    assert blocks[0] == blocks[1] != blocks[2]


def test_gradcheck_checks_a_function_of_the_user(run, user_file):
    status, out, err = run("gradcheck", "loss.py:loss", "--theta", "theta.npy")
    assert (status, err) == (0, "")
    assert re.search(r"(?m)^theta +pass ", out)
    user_file(factor=1.01)
    options = ("--theta", "theta.npy", "--block", "a=0:2", "--block", "b=2:3")
    status, out, err = run("gradcheck", "loss.py:loss", *options)
    assert (status, err) == (1, "")
    assert re.search(r"(?m)^a +pass ", out)
    assert re.search(r"(?m)^b +fail +b\[0\] ", out)
    status, out, _ = run("gradcheck", "loss.py:loss", *options, "--method", "forward", "--json")
    assert status == 1
    result = json.loads(out)
    assert {name: b["verdict"] for name, b in result["blocks"].items()} == {
        "a": "pass",
        "b": "fail",
    }


def test_a_tolerance_accepts_what_a_solver_leaves(run, user_file):
    user_file(factor=1 + 1e-7)
    command = ("gradcheck", "loss.py:loss", "--theta", "theta.npy")
    status, out, _ = run(*command)
    assert status == 1
    assert "tolerance=1e-06 would accept that" in out
    status, out, err = run(*command, "--tolerance", "1e-6")
    assert (status, err) == (0, "")
    assert "accepted within tolerance=1e-06" in out
    assert run(*command, "--tolerance", "1e-9")[0] == 1
    status, _, err = run(*command, "--tolerance", "0")
    assert status == 2
    assert "a number between 0 and 1" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["loss.py:loss"], 2, "needs both FILE.py:FUNCTION and --theta"),
        (["--theta", "theta.npy"], 2, "needs both FILE.py:FUNCTION and --theta"),
        (["loss", "--theta", "theta.npy"], 2, "a function is named FILE.py:FUNCTION"),
        (["other.py:loss", "--theta", "theta.npy"], 1, "'other.py' does not exist"),
        (["loss.py:los", "--theta", "theta.npy"], 1, "no function 'los'; it has loss, broken"),
        (["loss.py:broken", "--theta", "theta.npy"], 1, "fun raised RuntimeError .*no data"),
        (["loss.py:loss", "--theta", "loss.py"], 1, r"loss\.py is not an array of numbers"),
        (["loss.py:loss", "--theta", "two.npz"], 1, "holds several arrays"),
        (["loss.py:loss", "--theta", "none.npy"], 1, "none.npy"),
        (["syntax.py:loss", "--theta", "theta.npy"], 1, "syntax.py raised SyntaxError"),
        (["loss.py:loss", "--theta", "theta.npy", "--block", "a=0-2"], 2, "NAME=START:STOP"),
        (["loss.py:loss", "--theta", "theta.npy", "--block", "a=0:9"], 1, "theta has 3 entries"),
        (["loss.py:loss", "--theta", "theta.npy", "--method", "complex"], 1, "for a complex theta"),
    ],
)
def test_gradcheck_says_what_it_cannot_check(run, user_file, arguments, code, message):
    np.savez("two.npz", a=np.ones(1), b=np.ones(1))
    Path("syntax.py").write_text("def loss(:")
    status, out, err = run("gradcheck", *arguments)
    assert (status, out) == (code, "")
    assert re.search(message, err)
    assert "Traceback" not in err
