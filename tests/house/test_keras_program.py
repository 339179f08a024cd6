"""The Keras program has Keras's losses; its repairs are arguments; the pages have its figures."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_pages import ROOT, read

sys.path.insert(0, str(ROOT))  # benchmarks is a folder of the repository, not of the package

import itertools

from autorec_np import fetch_movielens, rmse, train_test_split
from benchmarks import keras_program, ladder
from benchmarks.keras_program import MADE_UP, Program, by_item, draw, score, task_of

# What Keras 3.15.1 on TensorFlow 2.21.0 printed: python -m benchmarks.keras_program [--made-up]
KERAS_LOSSES = [
    4.184479713439941,
    4.097433567047119,
    4.012267112731934,
    3.9289469718933105,
    3.847425937652588,
    3.7676706314086914,
    3.689641237258911,
    3.613300085067749,
    3.5386133193969727,
    3.4655354022979736,
]
KERAS_REPORTED = 0.646533191204071
KERAS_LOSSES_MADE_UP = [
    2.144444704,
    2.010705948,
    1.890600443,
    1.790115595,
    1.710961938,
    1.652274728,
    1.607000709,
    1.572542787,
    1.545129895,
    1.522700787,
]
KERAS_REPORTED_MADE_UP = 1.365551

PAGE = ROOT / "benchmarks" / "results" / "keras_program.md"
STORY = ROOT / "docs" / "from_the_post_to_the_paper.md"
SHORT = replace(MADE_UP, epochs=2)


@pytest.fixture(scope="module")
def ratings():
    return keras_program.made_up()


def last(program, ratings, test=None):
    """Train; return task and network after the last epoch."""
    draws = draw(program, by_item(ratings).shape)
    task = task_of(program, ratings, test, draws)
    return task, list(keras_program.train(program, task, draws))[-1]


# Beside Keras


def test_ours_has_the_losses_that_keras_printed(ratings):
    here = keras_program.ours(MADE_UP, ratings)
    np.testing.assert_allclose(here.losses, KERAS_LOSSES_MADE_UP, rtol=1e-6)
    assert here.reported == pytest.approx(KERAS_REPORTED_MADE_UP, rel=1e-6)


@pytest.mark.data
def test_ours_has_the_losses_that_keras_printed_of_movielens():
    try:
        ratings = fetch_movielens(keras_program.DATA, download_if_missing=False).ratings
    except FileNotFoundError:
        pytest.skip("needs ml-latest-small in $AUTOREC_NP_DATA or the per-user cache")
    here = keras_program.ours(Program(), ratings)
    np.testing.assert_allclose(here.losses, KERAS_LOSSES, rtol=1e-5)
    assert here.reported == pytest.approx(KERAS_REPORTED, rel=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_keras_still_prints_these_losses(ratings):
    pytest.importorskip("keras")
    there = keras_program.in_keras(MADE_UP, ratings)
    np.testing.assert_allclose(there.losses, KERAS_LOSSES_MADE_UP, rtol=1e-5)
    assert there.reported == pytest.approx(KERAS_REPORTED_MADE_UP, rel=1e-5)


@pytest.mark.parametrize(
    "fault",
    [{"l2": 0.0}, {"learning_rate": 0.49}, {"loss": "sum over ratings"}, {"seed": 1}],
    ids=str,
)
def test_another_program_has_other_losses(fault, ratings):
    losses = keras_program.ours(replace(SHORT, **fault), ratings).losses
    assert not np.allclose(losses, KERAS_LOSSES_MADE_UP[:2], rtol=1e-5)


def test_the_command_prints_the_losses_without_keras(capsys, monkeypatch):
    monkeypatch.setattr(keras_program, "find_spec", lambda name: None)
    keras_program.main(["--made-up"])
    first, _, *lines, reported = capsys.readouterr().out.splitlines()
    assert first == "Keras is not installed: pip install keras tensorflow-cpu"
    printed = [float(line.split()[1]) for line in lines]
    np.testing.assert_allclose(printed, KERAS_LOSSES_MADE_UP, rtol=1e-6)
    assert reported.startswith("reported 1.3655")


# What is reported, and what is true


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_reported_is_the_truth_times_the_root_of_the_rated_share(seed):
    program = replace(SHORT, epochs=1, seed=seed)
    task, trained = last(program, keras_program.made_up())
    reported, true = score(replace(program, metric="masked"), task, trained)
    share = task.test.nnz / np.prod(task.test.shape)
    assert reported == pytest.approx(true * np.sqrt(share), rel=1e-12)
    # without the mask, the holes add the squares of what is predicted there
    V, W = trained.network.layout.views(trained.theta), task.test_inputs.toarray()
    codes = W @ V["encoder.weight"] + V["encoder.bias"]
    outputs = 1 / (1 + np.exp(-(codes @ V["decoder.weight"].T + V["decoder.bias"])))
    in_holes = np.mean(outputs**2 * (task.test.toarray() == 0))
    unmasked = score(program, task, trained).reported
    assert unmasked == pytest.approx(np.sqrt(reported**2 + in_holes), rel=1e-6)
    assert score(replace(program, metric="rated cells"), task, trained) == (true, true)


def test_held_out_rows_are_their_own_input_and_hidden_ratings_are_not(ratings):
    task, _ = last(SHORT, ratings)
    assert (task.test != task.test_inputs).nnz == 0
    parts = train_test_split(ratings, 0.1, random_state=0)
    task, _ = last(replace(SHORT, hidden="ratings"), *parts)
    both = (task.test_inputs > 0).multiply(task.test > 0)
    assert (task.test.nnz, both.nnz) == (len(parts[1]), 0)


def test_hidden_ratings_must_be_given(ratings):
    with pytest.raises(ValueError, match="pass both parts of a split"):
        last(replace(SHORT, hidden="ratings"), ratings)


# Repairs

REPAIRED = replace(
    MADE_UP,
    metric="rated cells",
    hidden="ratings",
    scaled=True,
    loss="sum over ratings",
    activation="sigmoid",
    output_activation="identity",
    learning_rate=0.001,
    epochs=5,
)
REPAIRS = [
    {"loss": "mean over cells"},
    {"activation": "identity"},
    {"output_activation": "sigmoid"},
    {"scaled": False, "output_activation": "sigmoid"},
    {"optimizer": "adam"},
    {"optimizer": "lbfgs"},
    {"regularization": 3.0},
    {"biases": True},
    {"implicit": 3},
]


@pytest.mark.parametrize("change", REPAIRS, ids=str)
def test_every_repair_is_an_argument(change, ratings):
    parts = train_test_split(ratings, 0.1, random_state=0)
    program = replace(REPAIRED, **change)
    task, trained = last(program, *parts)
    reported, true = score(program, task, trained)
    assert reported == true
    assert true != score(REPAIRED, *last(REPAIRED, *parts)).true
    assert score(program, *last(program, *parts)).true == true  # to the bit


def test_the_lowest_rating_is_a_rating_where_it_is_mapped_to_zero(ratings):
    one = {"optimizer": "adam", "learning_rate": 0.05, "batch_size": 80, "epochs": 60, "l2": 0.0}
    program = replace(REPAIRED, output_activation="sigmoid", **one)
    task, trained = last(program, ratings, ratings)
    lowest = task.inputs.data == 1
    predictions = keras_program.predict(program, task, trained, task.inputs)
    assert rmse(task.inputs.data[lowest], predictions[lowest]) < 0.5


def test_the_last_repairs_minimize_equation_2(ratings):
    program = replace(REPAIRED, optimizer="lbfgs", regularization=30.0, biases=True)
    task, trained = last(program, *train_test_split(ratings, 0.1, random_state=0))
    views = trained.network.layout.views(trained.theta.astype(float))
    V, W = views["encoder.weight"], views["decoder.weight"]
    codes = 1 / (1 + np.exp(-(task.inputs.toarray() @ V + views["encoder.bias"])))
    items, users = task.inputs.tocoo().coords
    outputs = (codes @ W.T + views["decoder.bias"])[items, users]
    residuals = task.inputs.data - task.train_baseline - outputs
    value = np.sum(residuals**2) + 30 / 2 * (np.sum(V**2) + np.sum(W**2))
    assert trained.loss == pytest.approx(value, rel=1e-5)


# The ladder


def small_rungs():
    rate = {"learning_rate": (1e-3, 1e-2)}
    hidden = replace(REPAIRED, epochs=3)
    return [
        ladder.Rung("program", "first", SHORT),
        ladder.Rung("adam", "second", replace(hidden, optimizer="adam"), rate),
        ladder.Rung("lambda", "third", hidden, {"regularization": (1.0, 9.0)}, "adam"),
    ]


@pytest.fixture
def small_ladder(monkeypatch, ratings):
    monkeypatch.setattr(ladder, "rungs", small_rungs)
    monkeypatch.setattr(ladder, "fetch_movielens", lambda name: type("M", (), {"ratings": ratings}))


def test_the_ladder_goes_on_where_it_was_left(small_ladder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ladder, "MODELS", {"mean": ladder.MODELS["mean"]})
    path = tmp_path / "ladder.jsonl"
    ladder.climb(["program", "adam"], path)
    assert list(ladder.load(path)) == ["program", "adam"]
    assert "| third |  |  |  |" in capsys.readouterr().out  # not measured yet: blank
    ladder.climb([], path)
    done = ladder.load(path)
    assert list(done) == ["program", "adam", "lambda", *ladder.MODELS]
    assert done["lambda"]["program"]["learning_rate"] == done["adam"]["program"]["learning_rate"]
    monkeypatch.setattr(ladder, "measure", lambda *arguments: pytest.fail("measured again"))
    ladder.climb([], path)
    assert len(path.read_text().splitlines()) == len(done)


def test_choices_are_those_of_the_validation_ratings(small_ladder, ratings, monkeypatch):
    parts = ladder.Parts(ratings)
    read_of, epochs_of = [], ladder.epochs_of

    def spy(program, train_part, test_part):
        read_of.append((train_part, test_part))
        return epochs_of(program, train_part, test_part)

    monkeypatch.setattr(ladder, "epochs_of", spy)
    found = ladder.measure(small_rungs()[1], parts, {})
    assert read_of == [(parts.fit, parts.validation)] * 2 + [(parts.train, parts.test)]
    best = min(found["tried"], key=lambda one: one["validation RMSE"])
    chosen = found["program"]
    assert {name: chosen[name] for name in ("learning_rate", "epochs")} == {
        name: best[name] for name in ("learning_rate", "epochs")
    }


def test_each_rung_keeps_the_repairs_below_it():
    programs = [rung.program for rung in ladder.rungs()]
    assert programs[0] == Program()
    for below, above in itertools.pairwise(programs):
        assert below != above
    assert {rung.name for rung in ladder.rungs()} | set(ladder.MODELS) == set(ladder.load())


# Pages


def test_the_page_has_the_figures_of_the_file():
    assert ladder.table(ladder.load()) in read(PAGE)


def test_the_page_has_the_losses_that_keras_printed():
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", read(PAGE), re.MULTILINE)
    assert [int(epoch) for epoch, _, _ in rows] == list(range(1, 11))
    there, here = np.array([row[1:] for row in rows], float).T
    np.testing.assert_allclose(there, KERAS_LOSSES, atol=5e-7)
    np.testing.assert_allclose(here, KERAS_LOSSES, rtol=1e-5)


def test_the_story_has_the_figures_of_the_file():
    """Each row of its table shows a rung of the file, to three digits."""
    done = ladder.load()
    shown = re.findall(r"^\| [\d-]+ \| .* \| `(.+?)` \| ([\d.]*) \| ([\d.]+) \|", read(STORY), re.M)
    assert sorted(name for name, _, _ in shown) == sorted(done)
    for name, reported, true in shown:
        assert reported in ("", f"{done[name]['reported']:.3f}"), name
        assert true == f"{done[name]['true']:.3f}", name


def test_the_file_is_json_lines():
    for line in ladder.RESULTS.read_text().splitlines():
        assert {"name", "reported", "true", "versions", "date"} <= set(json.loads(line))
