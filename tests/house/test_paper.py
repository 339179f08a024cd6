"""The command that makes the paper's tables: its search, its journal, its page."""

from __future__ import annotations

import json
import re
import sys
from concurrent.futures import Executor, Future
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks is a folder of the repository, not of the package

from autorec_np import AutoRec, make_ratings, rmse, train_test_split  # noqa: E402
from benchmarks import paper  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402
from benchmarks.paper import journal, models, report, rows, runner, search  # noqa: E402
from benchmarks.paper.search import Cell, as_text, next_cells  # noqa: E402

JOURNAL = paper.RESULTS / "paper.jsonl"
PAGE = paper.RESULTS / "paper.md"


class AtOnce(Executor):
    """Runs what is submitted there and then."""

    def submit(self, function, /, *arguments, **named):
        future: Future = Future()
        future.set_result(function(*arguments, **named))
        return future


@pytest.fixture
def row():
    grids = {"k": (1, 2, 3, 4), "lambda": (0.1, 1.0, 10.0)}
    return rows.Row("r", "R", "AutoRec", {}, grids, {"k": 1, "lambda": 1.0, "rate": 0.1}, 36.0, 0.9)


def bowl(cell):
    """An error whose least value is at k = 3 and lambda = 10."""
    settings = json.loads(cell.settings)
    return abs(settings["k"] - 3) + abs(np.log10(settings["lambda"]) - 1) + cell.split


def run_all(row, error, results=None):
    results, order = dict(results or {}), []
    while cells := next_cells("d", row, results):
        order += cells
        results |= {
            cell: {"rmse": error(cell), "cold": 1, "seconds": 36.0, "date": "2000-01-01"}
            | {"versions": {"numpy": "2"}}
            for cell in cells
        }
    return results, order


def test_the_search_ends_at_the_best_settings_of_the_grids(row):
    results, order = run_all(row, bowl)
    settings, missing = search.chosen("d", row, results)
    assert (settings, missing) == ({"k": 3, "lambda": 10.0, "rate": 0.1}, [])
    assert len(order) == len(set(order)) == len(results)


def test_five_test_splits_follow_with_what_validation_chose(row):
    _, order = run_all(row, bowl)
    kinds = [cell.ratings for cell in order]
    assert kinds == sorted(kinds, key=["validation", "test"].index)
    tests = [cell for cell in order if cell.ratings == "test"]
    assert [cell.split for cell in tests] == [0, 1, 2, 3, 4]
    assert {cell.settings for cell in tests} == {as_text({"k": 3, "lambda": 10.0, "rate": 0.1})}
    assert all(cell.split == 0 for cell in order if cell.ratings == "validation")


def test_test_errors_choose_nothing(row):
    def misleading(cell):
        return bowl(cell) if cell.ratings == "validation" else -bowl(cell)

    assert search.chosen("d", row, run_all(row, misleading)[0])[0]["k"] == 3


def test_a_row_without_grids_needs_one_validation_cell(row):
    alone = row._replace(grids={})
    assert len(run_all(alone, bowl)[1]) == 1 + search.N_SPLITS


def test_a_run_goes_on_where_another_ended(row):
    results, order = run_all(row, bowl)
    some = dict(list(results.items())[:4])
    again, rest = run_all(row, bowl, some)
    assert again == results
    assert len(rest) == len(order) - 4


# The journal


def test_what_is_appended_is_read(tmp_path):
    path, cell = tmp_path / "new" / "cells.jsonl", Cell("d", "r", "test", 1, "{}")
    journal.append(path, cell, {"rmse": 0.5})
    journal.append(path, cell._replace(split=2), {"rmse": 0.6})
    found = journal.read(path)
    assert {key.split: value["rmse"] for key, value in found.items()} == {1: 0.5, 2: 0.6}


def test_a_line_that_was_cut_off_is_skipped_and_replaced(tmp_path):
    path, cell = tmp_path / "cells.jsonl", Cell("d", "r", "test", 1, "{}")
    journal.append(path, cell, {"rmse": 0.5})
    whole = path.read_text()
    path.write_text(whole + whole[:20])
    assert list(journal.read(path)) == [cell]
    journal.append(path, cell._replace(split=2), {"rmse": 0.6})
    assert [key.split for key in journal.read(path)] == [1, 2]


@pytest.mark.parametrize("line", ["{", "{}", "[]", "3"])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "cells.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ValueError, match=r"line 1 of .* remove that line"):
        journal.read(path)
    path.write_text("")  # the advice, followed
    assert journal.read(path) == {}


# Runs on small ratings


@pytest.fixture
def small(monkeypatch):
    R = make_ratings(n_users=60, n_items=40, n_ratings=900, random_state=0)
    monkeypatch.setattr(runner, "fetch_movielens", lambda name: SimpleNamespace(ratings=R))
    return R


@pytest.fixture
def quick(monkeypatch):
    fixed = {**rows.EQUATION_2, "max_iter": 2}
    start = {"k": 3, "lambda": 10.0, "rate": 3e-3}
    only = rows.Row("q", "quick", "AutoRec", fixed, {"lambda": (1.0, 10.0)}, start, 3600.0, 0.831)
    monkeypatch.setitem(rows.TABLES, "b", rows.Table("(b)", (only,)))
    return only


def test_a_cell_is_what_the_package_gives(small, quick):
    settings = dict(quick.start)
    measured = runner.measure(quick, Cell("d", "q", "test", 3, as_text(settings)))
    train, test = train_test_split(small, 0.1, random_state=3)
    model = AutoRec(
        **quick.fixed,
        hidden_layer_sizes=(3,),
        regularization=10.0,
        learning_rate_init=3e-3,
        random_state=3,
        cold=3.0,
    ).fit(train)
    users, items, truth = test.triples()
    assert measured["rmse"] == pytest.approx(rmse(truth, model.predict(users, items)), abs=1e-6)
    assert measured["cold"] == model.cold_pairs(users, items).sum()


def test_validation_ratings_are_no_test_ratings(small):
    cell = Cell("d", "q", "validation", 0, "{}")
    fit, validation = runner.split("d", cell)
    train, test = runner.split("d", cell._replace(ratings="test"))

    def pairs(ratings):
        return set(zip(*ratings.positions()[:2], strict=True))

    assert pairs(fit) | pairs(validation) == pairs(train)
    assert not pairs(validation) & (pairs(test) | pairs(fit))


def test_hours_are_told_first_and_cells_are_kept(small, quick, tmp_path, capsys):
    path = tmp_path / "cells.jsonl"
    runner.run(["b"], "d", path, 2, AtOnce())
    first = capsys.readouterr().out.splitlines()
    # two settings, each counted twice, and five splits, of an hour each, two at a time
    assert first[0].startswith("About 4.5 hours with 2 at a time")
    assert len(journal.read(path)) == len(first) - 1 == 2 + search.N_SPLITS
    runner.run(["b"], "d", path, 2, AtOnce())
    assert capsys.readouterr().out.startswith("About 0.0 hours")


def test_the_tables_show_what_was_run_and_leave_the_rest_blank(quick):
    results, _ = run_all(quick, lambda cell: 0.8 + cell.split / 100)
    text = report.render("d", results)
    line = next(line for line in text.splitlines() if line.startswith("| quick"))
    assert line.startswith("| quick | 0.831 | 0.8200 | 0.8004 to 0.8396 | 0.8000 0.8100 ")
    assert "| U-RBM | 0.881 |  |  |  |  |  |" in text
    assert "no cell was run yet" in report.render("other", results)


def test_the_page_keeps_what_stands_around_the_tables(quick, tmp_path):
    path = tmp_path / "page.md"
    report.write("d", {}, path)
    path.write_text("before\n" + path.read_text() + "after\n")
    results, _ = run_all(quick, lambda cell: 0.5)
    report.write("d", results, path)
    page = path.read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "0.5000" in page
    path.write_text("no marks")
    with pytest.raises(ValueError, match="has no <!-- tables -->"):
        report.write("d", results, path)
    assert path.read_text() == "no marks"


# The deep network


def test_pretraining_starts_where_the_outer_and_inner_layers_ended(small, monkeypatch):
    monkeypatch.setattr(models, "WIDTHS", (6, 3, 6))
    monkeypatch.setattr(models, "SHALLOW", {**models.SHALLOW, "max_iter": 5})
    started = {}

    class StoppedError(Exception):
        pass

    def at_the_second_fit(model, ratings):
        if model.warm_start:
            started.update(model.network_.layout.views(model.theta_))
            raise StoppedError
        return fit(model, ratings)

    fit = AutoRec.fit
    monkeypatch.setattr(AutoRec, "fit", at_the_second_fit)
    settings = {"lambda": 10.0, "rate": 1e-3}
    with pytest.raises(StoppedError):
        models.pretrained(None, settings, small, 0)
    outer = models.AutoRec(**models.SHALLOW, hidden_layer_sizes=(6,), random_state=0).fit(small)
    outside = outer.network_.layout.views(outer.theta_)
    network, inner = models.autoencoder_of(outer.codes_, 0)
    inside = network.layout.views(inner)
    np.testing.assert_array_equal(started["encoder.weight"], outside["encoder.weight"])
    np.testing.assert_array_equal(started["decoder.weight"], outside["decoder.weight"])
    np.testing.assert_array_equal(started["hidden1.weight"], inside["encoder.weight"])
    np.testing.assert_array_equal(started["hidden2.weight"], inside["decoder.weight"].T)
    np.testing.assert_array_equal(started["hidden2.bias"], inside["decoder.bias"])


def test_the_inner_autoencoder_learns_the_codes(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(models, "WIDTHS", (8, 3, 8))
    monkeypatch.setattr(models, "CODES_PENALTY", 0.01)
    monkeypatch.setattr(models, "CODES_BATCH", 10)
    line = 1 / (1 + np.exp(-3 * rng.normal(size=(200, 1)) * rng.normal(size=8)))
    network, theta = models.autoencoder_of(line, 0)
    pattern = models.sparse.csr_array(line)
    said = network.forward(theta, pattern, pattern).outputs.reshape(line.shape)
    assert rmse(line.ravel(), said.ravel()) < 0.6 * line.std(axis=0).mean()


def test_the_command_line_knows_its_tables(capsys):
    with pytest.raises(SystemExit):
        main(["paper", "--table", "z"])
    assert "units" in capsys.readouterr().err


# What is committed


def test_the_page_shows_the_journal():
    page = PAGE.read_text(encoding="utf-8")
    tables = page.partition(report.BEGIN)[2].partition(report.END)[0]
    assert tables == report.render("ml-1m", journal.read(JOURNAL))


def test_the_journal_holds_all_that_the_search_asks_for_and_no_more():
    results = journal.read(JOURNAL)
    asked = set()
    for row in runner.rows_of(rows.TABLES).values():
        known: dict = {}
        while cells := [cell for cell in next_cells("ml-1m", row, known) if cell in results]:
            known |= {cell: results[cell] for cell in cells}
        assert not next_cells("ml-1m", row, known), f"{row.name} is not complete"
        asked |= set(known)
    assert asked == set(results)


# Of experiments beyond the grids: the page says what each was, and some are rows of accuracy.md
BESIDE_THE_JOURNAL = "0.8323 0.8263 0.8678 0.8716 0.8440 0.8522 0.8613 0.8421 0.8406 0.8450 0.8420"


def test_the_text_of_the_page_has_the_figures_of_the_journal():
    told = PAGE.read_text(encoding="utf-8").partition("## Where ours differs")[2]
    told = set(re.findall(r"\b0\.\d{4}\b", told))
    found = {
        f"{cell['rmse']:.4f}"
        for key, cell in journal.read(JOURNAL).items()
        if key.ratings == "validation"
    }
    beside = set(BESIDE_THE_JOURNAL.split())
    assert told - found <= beside <= told


def test_the_tables_are_as_good_as_the_paper_within_a_hundredth():
    """The activations are in its order, too."""
    results, mean = journal.read(JOURNAL), {}
    of_all = runner.rows_of(rows.TABLES).values()
    for row in of_all:
        errors = [
            cell["rmse"]
            for key, cell in results.items()
            if (key.row, key.ratings) == (row.name, "test")
        ]
        assert len(errors) == 5
        mean[row.name] = np.mean(errors)
    assert {row.name for row in of_all if row.published} >= {"I-RBM", "U-RBM", "LLORMA", "deep"}
    for row in of_all:
        assert row.published is None or mean[row.name] <= row.published + 0.01
    activations = sorted(rows.TABLES["b"].rows, key=lambda row: row.published)
    assert activations == sorted(activations, key=lambda row: mean[row.name])
