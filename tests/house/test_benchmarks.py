"""The harness of the benchmarks on tiny data, without any peer; nothing here asserts a time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks is a folder of the repository, not of the package

from autorec_np import make_ratings, train_test_split  # noqa: E402
from benchmarks import __main__ as command_line  # noqa: E402
from benchmarks import (  # noqa: E402
    before_and_after,
    data,
    harness,
    kernels_asv,
    nearly_empty,
    ours,
    peer_accuracy,
    peers,
    report,
    settings,
    tune,
)
from benchmarks.harness import Measurement, Result, Setting, alternate  # noqa: E402
from benchmarks.peers import authors  # noqa: E402
from benchmarks.rows import ROWS, TITLES, fits  # noqa: E402

ONCE = Setting(quick=True, repeats=1)


@pytest.fixture(scope="module")
def split():
    R = make_ratings(n_users=40, n_items=30, n_ratings=400, random_state=0)
    return train_test_split(R, 0.1, random_state=0)


@pytest.fixture
def no_peers(monkeypatch):
    def fail(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(peers, "import_module", fail)


class Clock:
    """Time that passes only where a contestant says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def runner(self, seconds, log, name):
        durations = iter(seconds)

        def run():
            log.append(name)
            self.now += next(durations)
            return name.upper()

        return run


# Timing


def test_contestants_take_turns_and_the_first_run_is_not_counted():
    clock, log = Clock(), []
    contestants = {
        "a": clock.runner([50.0, 1.0, 9.0, 2.0], log, "a"),
        "b": clock.runner([1.0, 4.0, 5.0, 6.0], log, "b"),
    }
    a, b = alternate(contestants, 3, clock=clock)
    assert log == ["a", "b"] * 4
    assert (a.label, a.seconds, a.median) == ("a", [1.0, 9.0, 2.0], 2.0)
    assert (b.label, b.seconds, b.median) == ("b", [4.0, 5.0, 6.0], 5.0)


def test_a_slow_contestant_runs_once():
    clock, log = Clock(), []
    contestants = {
        "slow": clock.runner([61.0], log, "slow"),
        "fast": clock.runner([60.0, 1.0, 2.0], log, "fast"),
    }
    slow, fast = alternate(contestants, 2, clock=clock)
    assert slow.seconds == [61.0]
    assert fast.seconds == [1.0, 2.0]
    assert log == ["slow", "fast", "fast", "fast"]


def test_what_the_first_run_returned_is_read_once_and_outside_of_the_time():
    clock, seen = Clock(), {}

    def read(label, returned):
        clock.now += 1000.0
        assert label not in seen
        seen[label] = returned

    (only,) = alternate({"a": clock.runner([1.0, 2.0], [], "a")}, 1, after_first=read, clock=clock)
    assert (only.seconds, seen) == ([2.0], {"a": "A"})


def test_a_slope_is_the_exponent():
    assert harness.slope([1, 10, 100], [3, 30**1.0, 300]) == pytest.approx(1)
    assert harness.slope([1, 4, 16], [5, 10, 20]) == pytest.approx(0.5)


def test_another_process_and_its_memory():
    assert harness.in_own_process(os.getpid) != os.getpid()
    assert harness.peak_memory() > 1e7


# Runs and their file


def rows_of(**results):
    return {name: lambda setting, result=result: result for name, result in results.items()}


def test_results_survive_the_file_and_other_rows_stay(tmp_path):
    path = tmp_path / "folder" / "results.json"
    first = Result([Measurement("a", [1.0, 2.0], {"RMSE": 0.5, "none": None})], {"p": "absent"})
    second = Result([Measurement("b")], notes=["a note"])
    rows, log = rows_of(one=first, two=second), []
    harness.run_rows(rows, ["one"], Setting(), path, log.append)
    harness.run_rows(rows, ["two"], ONCE, path, log.append)
    results = harness.load(path)
    assert list(results) == ["one", "two"]
    assert results["one"]["measurements"] == [
        {"label": "a", "seconds": [1.0, 2.0], "figures": {"RMSE": 0.5, "none": None}}
    ]
    assert results["one"]["absent"] == {"p": "absent"}
    assert results["two"]["notes"] == ["a note"]
    assert (results["one"]["repeats"], results["two"]["repeats"]) == (5, 1)
    assert results["one"]["threads"] == harness.THREADS
    assert results["one"]["versions"]["numpy"] == np.__version__
    assert {"processor", "cores", "system"} == set(results["one"]["machine"])
    assert [line.split(" ")[0] for line in log] == ["one", "one:", "two", "two:"]


def test_no_name_means_every_row(tmp_path):
    path = tmp_path / "results.json"
    rows = rows_of(one=Result([]), two=Result([]))
    harness.run_rows(rows, [], Setting(), path, lambda line: None)
    assert list(harness.load(path)) == ["one", "two"]


def test_an_unknown_name_tells_the_names_and_runs_nothing(tmp_path):
    path = tmp_path / "results.json"
    with pytest.raises(ValueError, match=r"no row is called gradeint; the rows are one, two\."):
        harness.run_rows(
            rows_of(one=Result([]), two=Result([])), ["one", "gradeint"], ONCE, path, print
        )
    assert not path.exists()


def test_the_command_line_tells_the_names_of_the_rows(capsys):
    with pytest.raises(SystemExit) as left:
        command_line.main(["run", "gradeint"])
    assert left.value.code == 2
    message = capsys.readouterr().err
    assert "no row is called gradeint" in message
    assert all(name in message for name in ROWS)


def test_a_report_without_results_says_what_to_do(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command_line.main(["report", "--input", str(tmp_path / "none.json")])
    assert "measure with `run` first" in capsys.readouterr().err


# Peers


def test_absent_peers_are_named_with_the_reason(no_peers):
    present, absent = peers.load(["LIBMF", "myFM"])
    assert present == {}
    assert set(absent) == {"LIBMF", "myFM"}
    assert absent["LIBMF"].startswith("not installed here (ImportError: No module named")


def test_every_peer_has_its_file_and_every_setting_its_peer():
    folder = ROOT / "benchmarks" / "peers"
    for module, _ in peers.PEERS.values():
        assert (folder / f"{module}.py").exists()
    assert set(settings.PEERS) <= set(peers.PEERS)
    assert set(settings.GRIDS) <= {*settings.PEERS, *ours.FITS}


class Shy:
    """A peer that predicts beyond the scale."""

    def prepare(self, train):
        return train

    def fit(self, data, offset):
        return data.matrix.data.mean(dtype=np.float64) + offset

    def predict(self, model, test):
        return np.full(len(test), model)


def test_the_accuracy_of_peers_is_printed_and_who_is_absent(monkeypatch, split, capsys):
    train, test = split
    monkeypatch.setattr(peer_accuracy, "load", lambda labels: ({"shy": Shy()}, {"gone": "why"}))
    monkeypatch.setattr(peer_accuracy, "movielens_split", lambda: split)
    monkeypatch.setitem(settings.PEERS, "shy", [{"offset": 0.0}, {"offset": 100.0}])
    peer_accuracy.main(["shy", "gone"])
    measured, absent = capsys.readouterr().out.splitlines()
    expected = np.sqrt(np.mean((test.matrix.data - train.scale[1]) ** 2, dtype=np.float64))
    assert f"RMSE {expected:.4f} " in measured
    assert measured.endswith("(offset=100.0)")
    assert absent.split(maxsplit=1) == ["gone", "absent: why"]


def test_the_peers_of_the_table_have_settings():
    assert set(peer_accuracy.LABELS) <= set(settings.PEERS)


def test_the_stand_in_for_the_authors_has_our_value_and_gradient(split):
    matrix = data.by_item(split[0])
    theta = ours.initial_theta(matrix.shape[1], 4).astype(np.float64) * 10
    value, gradient = ours.value_and_gradient(matrix, 4, threads=1)(theta)
    model = authors.Model(matrix, 4, (ours.PENALTY, ours.PENALTY))
    other_value, other = model.value_and_gradient(theta)
    assert other_value == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(other, gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kernels", "constants"),
    [
        ("torch_dense", {"BLOCK_OF_ROWS": 7}),
        ("torch_dense", {"CELLS_AT_ONCE": 0}),
        ("torch_sparse", {}),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_pytorch_has_our_value_and_gradient(split, kernels, constants, monkeypatch):
    pytest.importorskip("torch")
    for name, value in constants.items():
        monkeypatch.setattr(f"benchmarks.peers.{kernels}.{name}", value)
    matrix = data.by_item(split[0])
    theta = ours.initial_theta(matrix.shape[1], 4) * 10
    value, gradient = ours.value_and_gradient(matrix, 4, threads=1)(theta)
    model = import_module(f"benchmarks.peers.{kernels}").Model(matrix, 4, (ours.PENALTY,) * 2)
    model.reset(theta)
    other_value, other = model.value_and_gradient()
    assert other_value == pytest.approx(value, rel=1e-6)
    assert np.linalg.norm(other - gradient) < 1e-5 * np.linalg.norm(gradient)


# Our side


def test_a_fit_is_held_between_its_epochs(split, monkeypatch):
    epoch = ours.Epochs(split[0], k=3, batch_size=10)
    trained, hold = [], epoch._hold
    monkeypatch.setattr(epoch, "_hold", lambda: (trained.append("an epoch"), hold()))
    with epoch:
        for number in (1, 2, 3):
            epoch()
            assert len(trained) == number
    assert len(trained) == 3
    assert not epoch._thread.is_alive()


def test_an_error_of_a_held_fit_is_raised(split):
    with (
        ours.Epochs(split[0], k=0) as epoch,
        pytest.raises(ValueError, match="a width of hidden_layer_sizes"),
    ):
        epoch()


def test_a_fit_that_is_never_asked_for_an_epoch_ends(split):
    with ours.Epochs(split[0], k=3) as epoch:
        pass
    assert not epoch._thread.is_alive()


# Rows

SMALLER = {
    "gradient": {"K": 3},
    "epoch": {"K": 3},
    "lbfgs": {"K": 3},
    "ml10m": {"QUICK_SHAPE": (40, 30, 400)},
    "fits": {},
    "growth": {"RATINGS": (500, 1000), "WIDTHS": (2, 3, 4), "RATINGS_FOR_WIDTHS": 500},
    "lists": {},
    "recommend": {},
    "roofline": {"K": 3, "SIDE": 8, "COPIED": 2**12},
}


def shrink(monkeypatch, name, split):
    """Give a row tiny data and sizes; return its module."""
    row = import_module(f"benchmarks.rows.{name}")
    for constant, value in SMALLER[name].items():
        monkeypatch.setattr(row, constant, value)
    if hasattr(row, "split_for"):
        monkeypatch.setattr(row, "split_for", lambda quick: split)
    return row


def test_every_title_has_its_row():
    assert list(ROWS) == list(TITLES)
    for name in TITLES:
        assert callable(import_module(f"benchmarks.rows.{name}").run)


@pytest.mark.parametrize("name", SMALLER)
def test_a_row_runs_without_peers_and_renders(name, split, monkeypatch, no_peers, tmp_path):
    monkeypatch.setattr(import_module("benchmarks.rows.epoch"), "K", 3)  # of ml10m too
    row = shrink(monkeypatch, name, split)
    path = tmp_path / "results.json"
    harness.run_rows({name: row.run}, [name], ONCE, path, lambda line: None)
    results = harness.load(path)
    text = report.write(results, tmp_path).read_text()
    assert f"## {TITLES[name]}" in text
    assert f"python -m benchmarks run {name} --quick --repeats 1" in text
    for measurement in results[name]["measurements"]:
        assert measurement["seconds"]
        assert f"| {measurement['label']} |" in text
    for label, reason in results[name]["absent"].items():
        assert f"* Absent: {label}, {reason}." in text
    needs_peers = name in ("gradient", "epoch", "ml10m", "fits", "lists", "recommend")
    assert bool(results[name]["absent"]) == needs_peers
    if name in ("fits", "growth", "roofline"):
        assert (tmp_path / f"{name}.svg").stat().st_size > 1000
        assert f"]({name}.svg)" in text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the example service needs fork")
def test_the_service_is_put_under_load(split, monkeypatch, tmp_path):
    from benchmarks.rows import service

    monkeypatch.setattr(service, "split_for", lambda quick: split)
    monkeypatch.setattr(service, "QUICK_SECONDS", 0.5)
    monkeypatch.setattr(service, "N_RATED", 3)
    path = tmp_path / "results.json"
    harness.run_rows({"service": service.run}, ["service"], ONCE, path, lambda line: None)
    results = harness.load(path)
    assert f"## {TITLES['service']}" in report.write(results, tmp_path).read_text()
    for measurement in results["service"]["measurements"]:
        figures = measurement["figures"]
        assert figures["requests answered"] > 0
        assert figures["time-outs"] == figures["failures"] == 0
        assert 0 < figures["p50, ms"] <= figures["p99, ms"]


def test_the_service_is_started_in_three_environments(monkeypatch, tmp_path):
    from benchmarks.rows import service

    for name in service.VARIABLES:
        monkeypatch.setenv(name, "3")
    found = {}
    for label in (service.INSTALLED, service.PLAIN, service.ONE_THREAD):
        variables = service.environment(label, tmp_path)
        set_here = {name: variables[name] for name in service.VARIABLES if name in variables}
        program = "import threadpoolctl"
        ended = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True)
        found[label] = set_here, b"ImportError: hidden" in ended.stderr
    assert found == {
        service.INSTALLED: ({}, False),
        service.PLAIN: ({}, True),
        service.ONE_THREAD: ({"OPENBLAS_NUM_THREADS": "1"}, False),
    }


def test_the_kernels_run():
    class Small(kernels_asv.Kernels):
        n_users, n_items, n_ratings, k = 30, 20, 200, 3

    suite = Small()
    suite.setup()
    names = [name for name in dir(suite) if name.startswith("time_")]
    assert len(names) == 6
    for name in names:
        getattr(suite, name)()
    suite.teardown()


# Fits


class MeanPeer:
    """Predicts a constant, and counts."""

    def __init__(self):
        self.fits, self.predictions = 0, 0

    def prepare(self, train):
        return float(train.matrix.data.mean())

    def fit(self, data, *, shift):
        self.fits += 1
        return data + shift

    def predict(self, model, test):
        self.predictions += 1
        return np.full(len(test), model)


def test_fits_are_repeated_but_the_test_ratings_are_read_once(split):
    peer = MeanPeer()
    chosen = {"mean": [{"shift": 0.0}, {"shift": 100.0}]}
    result = fits.compare({"mean": peer}, chosen, *split, Setting(repeats=3))
    assert (peer.fits, peer.predictions) == (8, 2)
    near, far = result.measurements
    truth = split[1].triples()[2]
    assert near.figures["test RMSE"] < far.figures["test RMSE"]
    high = split[1].scale[1]  # 100 is clipped to it
    assert far.figures["test RMSE"] == pytest.approx(np.sqrt(np.mean((truth - high) ** 2)))
    assert far.figures["settings"] == "shift=100.0"
    assert len(near.seconds) == 3


def point(contestant, seconds, error):
    figures = {"contestant": contestant, "test RMSE": error}
    return {"label": f"{contestant} #1", "seconds": seconds, "figures": figures}


def test_the_table_of_targets_takes_the_fastest_fit_that_is_accurate_enough():
    table = report.targets(
        [
            point("ours", [9.0, 10.0, 11.0], 0.8300),
            point("ours", [3.0, 2.0, 4.0], 0.8350),
            point("a peer", [1.0], 0.8400),
        ]
    )
    lines = table.splitlines()
    assert "| ours | 3.0 s | 3.0 s | 10.0 s | not reached | not reached | 0.8300 |" in lines
    assert lines[-1] == "| a peer " + "| not reached " * 5 + "| 0.8400 |"


def test_a_table_leaves_what_was_not_measured_empty():
    table = report.table_of(
        [
            {"label": "a", "seconds": [1.0, 3.0, 2.0], "figures": {"x": 1.23456, "word": "yes"}},
            {"label": "b", "seconds": [], "figures": {"word": None}},
        ]
    )
    assert "| a | 2 | 1 to 3 | 3 | 1.235 | yes |" in table
    assert "| b |  |  |  |  |  |" in table


def test_candidates_differ_from_the_chosen_settings_in_one_value(monkeypatch):
    monkeypatch.setattr(settings, "PEERS", {"p": [{"rate": 1, "size": 2}]})
    monkeypatch.setattr(settings, "GRIDS", {"p": {"rate": [1, 3], "size": [4]}})
    assert list(tune.candidates("p")) == [
        {"rate": 1, "size": 2},
        {"rate": 3, "size": 2},
        {"rate": 1, "size": 4},
    ]


def test_settings_can_be_written_as_json():
    json.dumps([ours.FITS, settings.PEERS, settings.GRIDS])


def test_two_checkouts_in_turns_show_ratio_and_spread(monkeypatch, capsys, tmp_path):
    seconds = {"before": iter([1.0, 1.5, 1.2]), "after": iter([0.9, 0.6, 0.3])}

    def turn(tree, rows, repeats):
        assert (rows, repeats) == (["epoch"], 2)
        return {"epoch, autorec_np": next(seconds["before" if tree == tmp_path else "after"])}

    monkeypatch.setattr(before_and_after, "turn", turn)
    before_and_after.main([str(tmp_path), "epoch", "--turns", "3", "--repeats", "2"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "| epoch, autorec_np | 1.200 | 0.600 | 0.50 | 1.50 |"


def test_nearly_empty_rows_are_measured(capsys):
    nearly_empty.main(["300", "500", "-k", "2", "--solver", "lbfgs", "--epochs", "3"])
    found = re.fullmatch(
        r"(\d+) ratings in 300 x 300, k = 2, lbfgs, tiled: [\d.]+ s an epoch, [\d.]+ s of CPU; "
        r"[\d.]+ GB\n",
        capsys.readouterr().out,
    )
    assert 480 < int(found[1]) <= 500
