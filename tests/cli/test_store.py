"""The command store, and commands that take what it stored."""

from __future__ import annotations

import json

import pytest

from autorec_np.data.ratings import Ratings
from autorec_np.sources.reading import read_ratings


@pytest.fixture
def stored(run, folder, tmp_path):
    target = tmp_path / "stored"
    assert run("store", folder / "numbers.csv", target, "--scale", 1, 5, "-q")[0] == 0
    return target


def test_store_says_what_it_stored(run, folder, tmp_path):
    status, out, err = run("store", folder / "numbers.csv", tmp_path / "stored", "--memory", "1MB")
    assert (status, err) == (0, "")
    assert out.startswith("stored  700 ratings, 50 users x 40 items, scale 1 to 5, in ")
    wanted = read_ratings(folder / "numbers.csv").triples()
    for found, one in zip(Ratings.open(tmp_path / "stored").triples(), wanted, strict=True):
        assert found.tolist() == one.tolist()


def test_store_in_json_and_over_what_is_there(run, folder, stored):
    path = folder / "numbers.csv"
    status, out, err = run("store", path, stored)
    assert (status, out) == (1, "")
    assert "holds stored ratings; name another folder, or pass overwrite=True" in err
    assert err.endswith("On the command line: --overwrite.\n")
    status, out, _ = run("store", path, stored, "--overwrite", "--json")
    found = json.loads(out)
    assert status == 0
    assert (found["n_ratings"], found["n_users"], found["n_items"]) == (700, 50, 40)


def test_several_files_and_reading_options(run, tmp_path):
    for name, text in {"1.txt": "1;2;3,5\n", "2.txt": "2;2;1,5\n1;2;4\n"}.items():
        (tmp_path / name).write_text(text)
    files = tmp_path / "1.txt", tmp_path / "2.txt"
    options = "--sep", ";", "--decimal", ",", "--duplicates", "mean"
    assert run("store", *files, tmp_path / "stored", *options, "-q")[0] == 0
    assert Ratings.open(tmp_path / "stored").triples()[2].tolist() == [3.75, 1.5]


def test_commands_take_a_folder(run, folder, stored):
    options = "--hidden", 3, "--epochs", 2, "--scale", 1, 5, "--json", "-q"
    wanted = json.loads(run("train", folder / "numbers.csv", *options)[1])
    found = json.loads(run("train", stored, *options[:4], "--json", "-q")[1])
    assert found["rmse"] == wanted["rmse"]
    status, out, _ = run("evaluate", stored, "--repeats", 2, *options[:4], "--json", "-q")
    assert status == 0
    assert json.loads(out)["data"] == str(stored)
    status, _, err = run("train", stored, "--sep", ",")
    assert status == 2
    assert f"{stored} is a folder of stored ratings: --sep is for files" in err
    status, _, err = run("train", stored.parent)
    assert status == 1
    assert "holds no stored ratings: it lacks manifest.json" in err
