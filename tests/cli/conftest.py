"""A way to run the command line, and what it runs on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from command_line import SMALL_PARAMETERS, write_csv

from autorec_np import sources
from autorec_np.cli import commands as cli
from autorec_np.cli import train
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.serving.model_file import save_model
from autorec_np.sources.movielens import MovieLens
from autorec_np.sources.reading import read_ratings


@pytest.fixture
def run(capsys):
    """Call main; return its exit code and what it wrote to stdout and stderr."""

    def call(*arguments) -> tuple[int, str, str]:
        status = cli.main([str(argument) for argument in arguments])
        return (status, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of ratings with integer ids, one with string ids, and a model of each."""
    folder = tmp_path_factory.mktemp("cli")
    numbers = make_ratings(n_users=50, n_items=40, n_ratings=700, activity=0.4, random_state=0)
    users, items, ratings = numbers.triples()
    words = Ratings.from_triples(
        [f"u{user}" for user in users], [f"i,{item}" for item in items], ratings, scale=(1, 5)
    )
    write_csv(folder / "numbers.csv", numbers)
    model = AutoRec(**SMALL_PARAMETERS, random_state=0)
    titles = {str(item): f"Fílm {item}" for item in numbers.item_ids if item % 2}
    save_model(model.fit(numbers), folder / "numbers.npz", metadata={"titles": titles})
    save_model(model.fit(words), folder / "words.npz")
    return folder


@pytest.fixture
def movielens(monkeypatch, folder):
    """Make every MovieLens name stand for the small file, with titles and folds."""
    ratings = read_ratings(folder / "numbers.csv", scale=(1, 5))
    titles = {int(item): f"Title {item}" for item in ratings.item_ids}
    folds = {name: train_test_split(ratings, 0.2, k) for k, name in enumerate(["u1", "u2"], 1)}
    calls = []

    def fetch(name, data_home=None, progress=True):
        calls.append((name, data_home))
        named = folds if name == "ml-100k" else {}
        return MovieLens(name, ratings, titles, named, folder / f"{name}.zip")

    monkeypatch.setattr(sources, "fetch_movielens", fetch)
    monkeypatch.setattr(train, "PUBLISHED_FOLDS", ("u1", "u2"))
    return SimpleNamespace(ratings=ratings, titles=titles, folds=folds, calls=calls)
