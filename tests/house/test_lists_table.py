"""The command that measures lists: its protocol, its search, its journal, its page."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks is a folder of the repository, not of the package

from autorec_np import (  # noqa: E402
    BiasBaseline,
    Popularity,
    Ratings,
    evaluate_ranking,
    make_ratings,
    train_test_split,
)
from autorec_np.evaluation import mean_and_interval  # noqa: E402
from benchmarks import __main__ as command_line  # noqa: E402
from benchmarks import harness, peers, settings, tune  # noqa: E402
from benchmarks.lists import contestants, measuring, report, runner  # noqa: E402
from benchmarks.lists.contestants import Contestant, Ours  # noqa: E402
from benchmarks.lists.measuring import Measured, difference, measure, over_users  # noqa: E402
from benchmarks.paper import journal  # noqa: E402
from benchmarks.rows import lists as row  # noqa: E402

R = make_ratings(n_users=60, n_items=40, n_ratings=900, activity=0.3, random_state=0)
SPLIT = train_test_split(R, 0.3, 0)


# The protocol


@pytest.mark.parametrize("name", ["Popularity", "BiasBaseline"])
def test_a_contestant_is_measured_as_evaluate_ranking_measures(name):
    train, test = SPLIT
    model = {"Popularity": Popularity, "BiasBaseline": BiasBaseline}[name]().fit(train)
    found = measure(Ours(name), {}, SPLIT, 0)
    expected = evaluate_ranking(model, test, k=10, threshold=4)
    assert found.ndcg.mean() == pytest.approx(expected.ndcg, rel=1e-12)
    assert found.figures["coverage"] == expected.coverage
    assert found.figures["novelty"] == pytest.approx(expected.novelty)
    assert found.figures["popularity"] == expected.popularity_share
    assert found.figures["seconds"] > 0
    assert found.figures["memory"] >= 0
    assert found.counts == {
        "users": expected.n_users,
        "without relevant": expected.n_without_relevant,
        "relevant": expected.n_relevant,
        "cold": expected.n_cold,
    }
    ids = train.user_ids[found.users]
    assert set(ids) <= set(test.triples()[0])


def test_the_seed_reaches_who_draws():
    short = {"max_iter": 1, "hidden_layer_sizes": (2,)}
    first, second = (Ours("AutoRec").fit(SPLIT[0], seed, **short) for seed in (0, 1))
    assert (first.random_state, second.random_state) == (0, 1)


def test_one_split_has_the_interval_of_independent_users():
    values = np.random.default_rng(0).random(50)
    found, expected = over_users([(np.arange(50), values)]), mean_and_interval(values)
    assert (found.mean, found.n) == (pytest.approx(expected.mean), 50)
    assert found.half_width == pytest.approx(expected.half_width)


def test_users_who_come_again_tell_nothing_new():
    """Three copies of a split have the interval of one; three samples of users a smaller one."""
    rng = np.random.default_rng(0)
    values = rng.random(50)
    one = over_users([(np.arange(50), values)])
    again = over_users([(np.arange(50), values)] * 3)
    assert again.half_width == pytest.approx(one.half_width)
    others = over_users([(np.arange(50) + 50 * part, values) for part in range(3)])
    assert others.half_width == pytest.approx(one.half_width / 3**0.5, rel=0.05)


def test_the_mean_is_that_of_the_splits():
    found = over_users([(np.array([1, 2]), np.array([0.0, 1.0])), (np.array([1]), np.ones(1))])
    assert found.mean == 0.75
    assert np.isnan(over_users([(np.array([1]), np.ones(1))] * 2).low)


def measured(ndcg, users=(0, 1, 2, 3), seconds=1.0):
    figures = {"coverage": 0.5, "novelty": 2.0, "popularity": 0.25, "seconds": seconds}
    counts = {"users": len(users), "without relevant": 1, "relevant": 9, "cold": 2}
    return Measured(np.array(users), np.array(ndcg), {**figures, "memory": 3.0}, counts)


def test_models_are_compared_user_by_user():
    better = [measured([0.1, 0.9, 0.4, 0.6])]
    worse = [measured([0.0, 0.8, 0.3, 0.5])]
    found = difference(better, worse)
    assert found.mean == pytest.approx(0.1)
    assert found.half_width == pytest.approx(0, abs=1e-12)  # each user has the same
    assert over_users([(one.users, one.ndcg) for one in better]).half_width > 0.3
    with pytest.raises(ValueError, match="those of other users"):
        difference(better, [measured([0.1] * 4, users=(0, 1, 2, 4))])


def test_the_best_unseen_items_are_without_the_seen_and_ties_are_in_the_order_of_ids():
    train = Ratings.from_triples([1, 1, 2], list("bca"), [1, 1, 1])
    users, items = np.array([[1.0], [1.0], [0.0]]), np.array([[1.0], [3.0], [2.0]])
    rows = np.array([1, 0, 0])
    found = peers.best_unseen(users, items, train, rows, 3)
    assert found.tolist() == [["b", "c", None], ["a", None, None], ["a", None, None]]
    tied = peers.best_unseen(users * 0, items, train, rows[:1], 1)
    assert tied.tolist() == [["b"]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [one.name for one in contestants.ALL if one.ours is None])
def test_a_peer_makes_lists_of_unseen_items(name):
    try:
        program = contestants.BY_NAME[name].program()
    except LookupError as absent:
        pytest.skip(str(absent))
    train, _ = SPLIT
    few = {key: 3 for key in contestants.BY_NAME[name].start if key in ("iterations", "epochs")}
    model = program.fit(program.prepare(train), 0, **few)
    lists = program.lists(model, train, train.user_ids, 5)
    again = program.lists(program.fit(program.prepare(train), 0, **few), train, train.user_ids, 5)
    assert lists.shape == (train.n_users, 5)
    assert again.shape == lists.shape
    users, items, _ = train.triples()
    seen = set(zip(users.tolist(), items.tolist(), strict=True))
    for user, places in zip(train.user_ids.tolist(), lists, strict=True):
        assert not {(user, item) for item in places} & seen


# The search and the run


class Hill:
    """A program whose lists are the better, the nearer its parameters are to a summit."""

    def __init__(self, name="hill"):
        self.name, self.fits = name, []

    def prepare(self, train):
        return train

    def fit(self, data, seed, width=3, rate=1.0):
        self.fits.append((len(data), seed, width, rate))
        return abs(width - 4) + abs(np.log10(rate) + 1)

    def lists(self, model, train, users, n):
        """All items there are, the popular ones later the farther it is from the summit."""
        order = np.argsort(-np.bincount(train.matrix.indices, minlength=train.n_items))
        items = train.item_ids[np.roll(order, int(2 * model))]
        return np.array([items[:n]] * len(users), dtype=object)


@pytest.fixture
def searched(monkeypatch):
    """Every search has ended."""
    monkeypatch.setattr(runner, "chosen", lambda data, one, results: (one.settings(data), []))


@pytest.fixture
def hill(monkeypatch):
    program = Hill()
    grids = {"width": (1, 2, 3, 4, 5), "rate": (0.01, 0.1, 1.0)}
    climber = Contestant("hill", None, {"width": 2, "rate": 1.0}, grids)
    popularity = Contestant("popularity", "Popularity")
    gone = Contestant("gone", "NotThereYet")
    everyone = (popularity, replace(popularity, name="EASE"), climber, gone)
    for module in (contestants, runner, report, row):
        if hasattr(module, "ALL"):
            monkeypatch.setattr(module, "ALL", everyone)
    for module in (contestants, runner, measuring):
        monkeypatch.setattr(module, "BY_NAME", {one.name: one for one in everyone})
    monkeypatch.setattr(peers, "load", lambda labels: ({"hill": program}, {}))
    monkeypatch.setattr(measuring, "split", lambda data, seed: train_test_split(R, 0.2, seed))
    monkeypatch.setattr(contestants, "LISTS", {"d": {"hill": {"width": 4, "rate": 0.1}}})
    return program


def test_the_search_ends_at_the_summit_and_is_never_run_twice(hill, tmp_path, capsys):
    path = tmp_path / "lists.jsonl"
    runner.tune("d", path=path)
    assert 'd, hill: chosen {"rate": 0.1, "width": 4}' in capsys.readouterr().out
    fits = list(hill.fits)
    assert len(fits) == len(set(fits))
    train, _ = train_test_split(train_test_split(R, 0.2, 0)[0], 0.1, 0)
    assert {(n, seed) for n, seed, _, _ in fits} == {(len(train), 0)}  # not a test part
    runner.tune("d", ["hill"], path)
    assert hill.fits == fits


def test_the_command_of_the_search(monkeypatch):
    asked = []
    monkeypatch.setattr(runner, "tune", lambda *arguments: asked.append(arguments))
    tune.main(["lists", "ml-100k", "EASE"])
    assert asked == [("ml-100k", ["EASE"])]


def test_a_run_measures_what_is_missing_with_what_was_chosen(hill, tmp_path):
    path, log = tmp_path / "lists.jsonl", []

    def here(name, data, values):
        return measuring.measure_data(name, data, values)

    results, absent = runner.run(["d"], path, log.append, here)
    assert [cell.name for cell in results] == ["popularity", "EASE"]
    assert absent == {
        "d, hill": "not chosen yet: python -m benchmarks.tune lists d",
        "d, gone": "autorec_np has no NotThereYet",
    }
    runner.tune("d", path=path)
    hill.fits.clear()
    results, absent = runner.run(["d"], path, log.append, here)
    assert set(absent) == {"d, gone"}
    tested = [cell.name for cell in results if cell.ratings == "test"]
    assert tested == ["popularity", "EASE", "hill"]
    assert [fit[1:] for fit in hill.fits] == [(0, 4, 0.1), (1, 4, 0.1), (2, 4, 0.1)]
    assert journal.read(path, runner.Cell) == {
        cell: {**cell._asdict(), **found} for cell, found in results.items()
    }
    found = results[runner.Cell("d", "EASE", "test", "{}")]
    assert found["less than EASE"]["mean"] == 0.0
    assert found["ndcg"]["mean"] == pytest.approx(np.mean(found["each split"]), abs=1e-6)
    again, _ = runner.run(["d"], path, log.append, here)
    assert again == journal.read(path, runner.Cell)
    assert len(hill.fits) == 3


def test_what_came_after_the_reference_is_compared_with_it_too(hill, searched, tmp_path):
    path, asked = tmp_path / "lists.jsonl", []

    def here(name, data, values):
        asked.append(name)
        return [measured([0.1, 0.2, 0.3, 0.6] if name == "hill" else [0.2] * 4)] * 3

    runner.run(["d"], path, lambda line: None, here)
    lines = [line for line in path.read_text().splitlines(keepends=True) if "hill" not in line]
    path.write_text("".join(lines))
    asked.clear()
    results, _ = runner.run(["d"], path, lambda line: None, here)
    assert asked == ["hill", "EASE"]
    less = results[runner.test_cell("d", runner.BY_NAME["hill"])]["less than EASE"]
    assert less["mean"] == pytest.approx(-0.1)
    assert less["low"] < -0.1 < less["high"]


def test_a_process_of_its_own_measures(monkeypatch):
    monkeypatch.setattr(runner, "in_own_process", lambda function, *given: (function, given))
    found = runner.measured_apart("EASE", "d", {"regularization": 1.0})
    assert found == (measuring.measure_data, ("EASE", "d", {"regularization": 1.0}))


# The page


def test_the_page_has_a_row_for_everybody_and_is_blank_where_nothing_was_run(
    hill, searched, tmp_path
):
    path = tmp_path / "lists.md"
    values = {"hill": [0.1, 0.2, 0.3, 0.6]}

    def here(name, data, _):
        return [measured(values.get(name, [0.2] * 4), seconds=s) for s in (3.0, 1.0, 2.0)]

    results, _ = runner.run(["d"], tmp_path / "lists.jsonl", lambda line: None, here)
    report.write(["d", "e"], results, path)
    page = path.read_text()
    assert page.count("\n| hill |") == page.count("\n| gone |") == 2
    (line,) = (one for one in page.splitlines() if one.startswith("| hill | 0"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == "0.3000"
    assert cells[3] == "0.3000 0.3000 0.3000"
    assert cells[4].startswith("+0.1000 ± ")
    assert cells[5:10] == ["0.500", "2.00", "0.250", "2.00", "3"]
    assert cells[10] == "rate 0.1, width 4"
    assert "Users with a relevant item: 4 4 4; left out without one: 1 1 1." in page
    assert "Relevant items: 9 9 9, of which cold: 2 2 2." in page
    assert "Not run yet." in page.partition("## e")[2]
    empty = [one for one in page.partition("## e")[2].splitlines() if one.startswith("| ")][2:]
    assert {cell.strip() for one in empty for cell in one.strip("|").split("|")[1:]} == {""}
    (own,) = (one for one in page.splitlines() if one.startswith("| EASE | 0"))
    assert own.strip("|").split("|")[4].strip() == ""


def test_the_row_writes_its_page_and_what_others_read(hill, searched, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "CELLS", tmp_path / "lists.jsonl")
    monkeypatch.setattr(runner, "PAGE", tmp_path / "lists.md")
    given = [measured([0.1, 0.2, 0.3, 0.6])] * 3
    monkeypatch.setattr(runner, "measured_apart", lambda *_: given)
    command_line.main(
        ["run", "lists", "--data", "d", "e", "--output", str(tmp_path / "results.json")]
    )
    found = harness.load(tmp_path / "results.json")["lists"]
    assert found["data"] == ["d", "e"]
    labels = [one["label"] for one in found["measurements"]]
    assert labels == [f"{data}, {name}" for data in "de" for name in ("popularity", "EASE", "hill")]
    assert found["measurements"][0]["seconds"] == [1.0] * 3
    assert found["measurements"][0]["figures"]["NDCG@10"] == pytest.approx(0.3)
    assert "## e" in (tmp_path / "lists.md").read_text()


# What is kept


def test_the_settings_are_those_that_the_search_chose():
    """Where it fails, copy what `python -m benchmarks.tune lists DATA` prints into settings.py."""
    results = journal.read(runner.CELLS, runner.Cell)
    data = {cell.data for cell in results}
    assert {one: runner.settings_differ(one, results) for one in data} == {one: {} for one in data}


def test_settings_that_differ_are_found(hill, tmp_path, monkeypatch):
    path = tmp_path / "lists.jsonl"
    runner.tune("d", path=path)
    results = journal.read(path, runner.Cell)
    assert runner.settings_differ("d", results) == {}
    monkeypatch.setattr(contestants, "LISTS", {"d": {"hill": {"width": 4, "rate": 1.0}}})
    assert runner.settings_differ("d", results) == {"hill": {"width": 4, "rate": 0.1}}


def test_the_page_is_the_journal():
    results = journal.read(runner.CELLS, runner.Cell)
    page = runner.PAGE.read_text(encoding="utf-8")
    for data in {cell.data for cell in results if cell.ratings == "test"}:
        assert report.table(data, results) in page, "run `python -m benchmarks run lists`"


def rows_of(page, first):
    """Return the body of the table whose header begins with a cell, without marks of code."""
    table = (ROOT / page).read_text(encoding="utf-8").partition(f"\n| {first} |")[2]
    lines = table.partition("\n\n")[0].splitlines()[2:]
    return [line.replace("`", "").replace("*", "").strip("| ").split(" | ") for line in lines]


def test_the_readme_has_the_figures_of_the_journal():
    """Where it fails, copy NDCG@10 from results/lists.md into the table of README.md."""
    results = journal.read(runner.CELLS, runner.Cell)
    names = {
        "popularity": "popularity",
        "AutoRec: the highest predicted ratings": "AutoRec, highest predicted ratings",
        "EASE (Steck, 2019)": "EASE",
        "RankingAutoRec(), from who rated what": "RankingAutoRec, defaults",
        "RankingAutoRec, told the ratings too": "RankingAutoRec",
    }
    for label, *figures in (shown := rows_of("README.md", "lists of")):
        one = runner.BY_NAME[names[label]]
        cells = [results[runner.test_cell(data, one)] for data in ("ml-100k", "ml-1m")]
        assert figures == [f"{cell['ndcg']['mean']:.4f}" for cell in cells], label
    assert [label for label, *_ in shown] == list(names)


@pytest.mark.parametrize(
    ("first", "least"), [("lists, by their settings", 9), ("lambda, w0, values", 7)]
)
def test_the_page_of_defaults_has_the_figures_of_the_journal(first, least):
    """Where it fails, copy NDCG@10 of the validation cells into docs/defaults.md."""
    results = journal.read(runner.CELLS, runner.Cell)
    text = (ROOT / "docs" / "defaults.md").read_text(encoding="utf-8")
    (header,) = (line for line in text.splitlines() if line.startswith(f"| {first} |"))
    data = header.lower().strip("| ").split(" | ")[1:]
    for label, *figures in (shown := rows_of("docs/defaults.md", first)):
        name, settings = of_the_page(label)
        for one, figure in zip(data, figures, strict=True):
            cell = runner.Cell(one, name, "validation", runner.as_text(settings))
            assert figure == f"{results[cell]['ndcg']:.4f}", cell
    assert len(shown) >= least


def of_the_page(label):
    """Return the model and all its settings of a row such as `EASE()` or `10, 1, ratings`."""
    if "(" not in label:
        penalty, w0, values = label.split(", ")
        settings = {"regularization": float(penalty), "unobserved_weight": float(w0)}
        return "RankingAutoRec", {**settings, "values": values}
    name, _, given = label.partition("(")
    model = getattr(contestants.autorec_np, name)()
    if given != ")":
        setting, value = given.strip(")").split("=")
        model.set_params(**{setting: json.loads(value)})
    searched = runner.BY_NAME[name].grids
    return name, {setting: model.get_params()[setting] for setting in searched}


def test_the_page_of_defaults_has_what_the_implicit_decoder_does():
    results = journal.read(runner.CELLS, runner.Cell)
    settings = {"regularization": 10.0, "unobserved_weight": 1.0, "values": "ratings"}
    found = []
    for units in ({"implicit": 50}, {"implicit": 100}, {"implicit": 200}, {}):
        text = runner.as_text({**settings, **units})
        found.append(results[runner.Cell("ml-100k", "RankingAutoRec", "validation", text)]["ndcg"])
    first, second, third, without = (f"{one:.4f}" for one in found)
    assert (
        f"50, 100 and 200 units have {first}, {second} and {third} on ml-100k where none have "
        f"{without}"
    ) in (ROOT / "docs" / "defaults.md").read_text(encoding="utf-8")


def test_every_contestant_can_be_told_and_searched():
    for one in contestants.ALL:
        assert one.ours is not None or one.name in peers.PEERS
        assert set(one.grids) <= set(one.start)
        for name, values in one.grids.items():
            assert list(values) == sorted(values)
            assert one.start[name] in values
        json.dumps([one.start, one.grids])
    for chosen in settings.LISTS.values():
        assert set(chosen) <= set(contestants.BY_NAME)
