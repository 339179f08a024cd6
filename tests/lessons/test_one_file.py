"""docs/autorec_in_one_file.py has the value and the gradient of the package, and is short."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.core.network import Network
from autorec_np.core.objective import Objective

FILE = Path(__file__).parents[2] / "docs" / "autorec_in_one_file.py"
BLOCKS = ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
RMSE = re.compile(r"RMSE of (.+?) +(\d\.\d{3})$", re.MULTILINE)


def load():
    spec = importlib.util.spec_from_file_location("autorec_in_one_file", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


one_file = load()


@given(st.integers(0, 10**9))
def test_value_and_gradient_are_those_of_the_package(seed):
    rng = np.random.default_rng(seed)
    n_users, n_items, k = rng.integers(1, 7, 3)
    items, users = np.nonzero(rng.random((n_items, n_users)) < 0.6)
    ratings = rng.integers(0, 6, len(items)).astype(float)  # 0 is a rating
    X, rated = one_file.table(users, items, ratings, (n_items, n_users))
    network = Network(n_users, (k,))
    theta = rng.normal(size=network.layout.size)
    parts = network.layout.views(theta)
    penalty = float(rng.uniform(0, 2))

    value, gradient = one_file.value_and_gradient(
        [parts[name] for name in BLOCKS], X, rated, penalty
    )

    R = sparse.csr_array((ratings, (items, users)), shape=X.shape)
    expected, d_theta = Objective(network, penalty).value_and_gradient(theta, R, R)
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)
    d_parts = network.layout.views(d_theta)
    for name, got in zip(BLOCKS, gradient, strict=True):
        np.testing.assert_allclose(got, d_parts[name], rtol=1e-10, atol=1e-10)


def test_it_learns_more_than_biases(capsys):
    one_file.main()
    first = capsys.readouterr().out
    errors = {name: float(error) for name, error in RMSE.findall(first)}
    assert list(errors) == ["the mean", "biases", "AutoRec"]
    assert errors["AutoRec"] < 0.8 * errors["biases"] < 0.8 * errors["the mean"]
    one_file.main()
    assert capsys.readouterr().out == first


def test_it_reads_a_file(tmp_path, capsys):
    users, items, ratings = one_file.made_up_ratings(np.random.default_rng(1), 30, 20)
    path = tmp_path / "ratings.csv"
    lines = [f"{u * 10 + 7},{i + 1000},{r}" for u, i, r in zip(users, items, ratings, strict=True)]
    path.write_text("\n".join(["userId,movieId,rating", *lines]), encoding="utf-8")
    one_file.main(path)
    assert len(RMSE.findall(capsys.readouterr().out)) == 3


def test_it_is_short_and_cites_each_equation():
    text = FILE.read_text(encoding="utf-8")
    n_lines = len(text.splitlines())
    assert n_lines <= 100
    assert f"in {n_lines} lines of NumPy" in (FILE.parent / "lessons" / "index.md").read_text(
        "utf-8"
    )
    assert set(re.findall(r"\((\d+)\)", text)) >= {str(number) for number in range(1, 12)}
    assert set(re.findall(r"^import (\w+)", text, re.MULTILINE)) == {"sys", "numpy"}
    assert "autorec_np" not in text
