"""The report has the right numbers, for every kind of model; `test_html` looks at its form."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from pages import Page, shown

from autorec_np.cli import commands as cli
from autorec_np.data.metrics import mae, rmse
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.reports.pictures import html_report
from autorec_np.serving.model_file import save_model

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")


def test_the_same_model_and_ratings_give_the_same_bytes(model, split, titles, html):
    with matplotlib.rc_context():
        matplotlib.rcParams.update({"font.size": 20, "lines.linewidth": 5, "axes.grid": True})
        again = html_report(model, split[1], titles=titles, name="a <b> & c")
        assert matplotlib.rcParams["font.size"] == 20
    assert again == html


# The right numbers


def rows_of(page, first: str) -> list[list[str]]:
    """Return the cells of the table rows whose header cell begins like this."""
    rows, row = [], None
    for tag, text in page.texts:
        if tag == "th":
            row = [text]
            rows.append(row)
        elif tag == "td":
            row.append(text)
    return [row for row in rows if row[0].startswith(first)]


def test_errors_are_those_of_the_models(page, model, split):
    train, test = split
    users, items, ratings = test.triples()
    models = {
        "Global mean": GlobalMean().fit(train),
        "User and item biases": BiasBaseline().fit(train),
        "AutoRec": model,
    }
    for name, one in models.items():
        ((_, root, absolute),) = rows_of(page, name)
        predicted = one.predict(users, items)
        assert re.fullmatch(r"\d\.\d{4} ± 0\.\d{4}", root)
        assert root.startswith(f"{rmse(ratings, predicted):.4f} ± ")
        assert absolute.startswith(f"{mae(ratings, predicted):.4f} ± ")
    n_cold = np.count_nonzero(model.cold_pairs(users, items))
    assert any(f"{len(test):,} ratings" in t and f"{n_cold:,} of" in t for t in page.text("p"))


def test_recommendations_are_those_of_the_model(page, model, titles):
    counts = model.user_counts_
    users = [text.removeprefix("User ") for text in page.text("h3")]
    assert len(users) == 3
    found = counts[model.ratings_.user_positions(users)]
    assert (found[0], found[-1]) == (counts.max(), counts[counts > 0].min())
    ids, scores = model.recommend(users, 10)
    rows = [tuple(row) for row in rows_of(page, "") if len(row) == 2]
    for item, score in zip(ids.ravel(), scores.ravel(), strict=True):
        if item is not None:
            assert (shown(titles[item]), f"{score:.2f}") in rows


def test_the_gradient_of_every_block_has_a_verdict(page, model):
    for name in model.network_.layout.shapes:
        ((_, verdict, error, *_),) = rows_of(page, name)
        assert verdict == "pass"
        assert float(error) < 1e-4


def test_what_needs_held_out_ratings_is_left_out_and_named(model, page, no_drawing):
    without = Page(html_report(model))
    assert set(page.text("h2")) - set(without.text("h2")) == {
        "Errors on held-out ratings",
        "Where the errors are",
    }
    assert without.text("h2")[-1] == "Left out"
    assert set(page.text("h2")) - set(without.text("h2")) == set(without.text("em"))
    assert len(without.all("svg")) == 4
    assert without.faults == []


@pytest.mark.parametrize(
    "changes",
    [
        {"orientation": "user", "hidden_layer_sizes": (5, 4, 5), "tied": True},
        {"output_activation": "sigmoid", "solver": "rprop", "corruption": 0.0},
        {"cold": "raise", "regularization": 0.0, "hidden_layer_sizes": np.array([1])},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::autorec_np.training.trainer.ConvergenceWarning")
def test_every_kind_of_model_has_a_report(split, changes, no_drawing):
    settings = {"hidden_layer_sizes": (5,), "max_iter": 2, "n_jobs": 1, "random_state": 0}
    generator = {"random_state": np.random.default_rng(0), "callbacks": [lambda state: False]}
    fitted = AutoRec(**{**settings, **changes, **generator}).fit(split[0])
    html = html_report(fitted)
    assert Page(html).faults == []
    assert " at 0x" not in html


def test_a_handful_of_ratings_has_a_report():
    train = [1, 1, 2], [1, 2, 2], [1.0, 2.0, 2.0]
    fitted = AutoRec(hidden_layer_sizes=(2,), max_iter=1, n_jobs=1, random_state=0).fit(train)
    page = Page(html_report(fitted, ([2], [1], [2.0])))
    assert page.faults == []
    ((_, root, _),) = rows_of(page, "AutoRec")
    assert re.fullmatch(r"\d\.\d{4}", root)  # one pair has no interval


def test_what_has_no_report_is_refused(model, split):
    with pytest.raises(TypeError, match="a report is on an AutoRec, got BiasBaseline"):
        html_report(BiasBaseline())
    with pytest.raises(NotFittedError):
        html_report(AutoRec())
    with pytest.raises(ValueError, match="also training pairs"):
        html_report(model, split[0])


# The command


@pytest.fixture
def run(capsys, no_drawing):
    def call(*arguments) -> tuple[int, str, str]:
        status = cli.main([str(argument) for argument in arguments])
        return (status, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory, split, model, titles):
    """The model, and all ratings, those that it was trained on and those held out."""
    folder = tmp_path_factory.mktemp("report")
    known = {item: title for item, title in titles.items() if item != "i00"}
    save_model(model, folder / "model.npz", metadata={"dataset": "some <data>", "titles": known})
    for name, parts in {"all": split, "train": split[:1]}.items():
        lines = ["user,item,rating"]
        for part in parts:
            triples = zip(*part.triples(), strict=True)
            lines += [f"{user},{item},{rating:g}" for user, item, rating in triples]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_the_command_reports_on_what_was_held_out(run, folder, model, split, titles, tmp_path):
    path = tmp_path / "page.html"
    status, out, err = run("report", folder / "model.npz", "--test", folder / "all.csv", "-o", path)
    assert (status, err) == (0, "")
    train, test = split
    assert f"{len(test):,} held-out ratings" in out
    assert f"without {len(train):,} that the model was trained on" in out
    assert f"wrote   {path}" in out
    known = {item: title for item, title in titles.items() if item != "i00"}
    wanted = Page(html_report(model, test, titles=known, name="some <data>"))
    found = Page(path.read_bytes().decode())
    assert rows_of(found, "AutoRec") == rows_of(wanted, "AutoRec")
    assert found.text("h1") == ["AutoRec report: some <data>"]
    assert found.text("h3") == wanted.text("h3")


def test_the_command_without_test_ratings(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("report", folder / "model.npz")
    assert (status, out.startswith("wrote   report.html")) == (0, True)
    assert "Left out" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_the_command_cannot_do_takes_one_line(run, folder, tmp_path, monkeypatch):
    status, out, err = run("report", folder / "model.npz", "--test", folder / "train.csv")
    assert (status, out) == (1, "")
    assert "none is held out" in err
    status, _, err = run("report", folder / "model.npz", "-o", tmp_path)
    assert status == 1
    assert "--output" in err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = run("report", folder / "model.npz", "-o", tmp_path / "page.html")
    assert (status, err.count("\n")) == (1, 1)
    assert "pip install 'autorec_np[plot]'" in err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("unit", "output_activation"), [(1e18, "identity"), (1e30, "sigmoid"), (1e-18, "identity")]
)
def test_ratings_of_any_size_make_a_page(unit, output_activation):
    users, items, values = make_ratings(60, 40, 900, random_state=0).triples()
    ratings = Ratings.from_triples(users, items, unit * values)
    train, test = train_test_split(ratings, 0.2, random_state=0)
    options = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
    model = AutoRec(**options, output_activation=output_activation).fit(train)
    assert Page(html_report(model, test)).faults == []
