"""The commands that serve a saved model."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from full_disk import full_disk

from autorec_np.data.ratings import Ratings
from autorec_np.models.biases import BiasBaseline
from autorec_np.serving.model_file import load_model, save_model

# predict


def test_predict_writes_csv(run, folder):
    model = load_model(folder / "numbers.npz")
    status, out, err = run("predict", folder / "numbers.npz", "--user", 1, "--item", 3, 4, 999)
    assert (status, err) == (0, "")
    ratings = model.predict([1, 1, 1], [3, 4, 999])
    assert out == "user,item,prediction,cold\n" + "".join(
        f"1,{item},{rating:.4f},{cold}\n"
        for item, rating, cold in zip([3, 4, 999], ratings, [0, 0, 1], strict=True)
    )


def test_predict_reads_and_writes_quoted_ids(run, folder, tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text('u1,"i,3"\nnobody,"i,4"\n')
    status, out, err = run("predict", folder / "words.npz", "--pairs", path)
    assert (status, err) == (0, "")
    lines = out.split("\n")
    assert re.fullmatch(r'u1,"i,3",\d\.\d{4},0', lines[1])
    assert re.fullmatch(r'nobody,"i,4",\d\.\d{4},1', lines[2])


def test_predict_writes_the_ends_of_intervals(run, folder):
    source = folder / "numbers.npz"
    status, out, err = run("predict", source, "--user", 1, "--item", 3, 999, "--interval", 0.8)
    assert (status, err) == (0, "")
    expected = load_model(source).predict([1, 1], [3, 999], interval=0.8)
    assert out == "user,item,prediction,low,high,cold\n" + "".join(
        f"1,{item},{rating:.4f},{low:.4f},{high:.4f},{cold}\n"
        for item, cold, rating, low, high in zip([3, 999], [0, 1], *expected, strict=True)
    )
    status, out, err = run("predict", source, "--user", 1, "--item", 3, "--interval", 80)
    assert (status, out) == (1, "")
    assert "interval must be a finite number in (0, 1), got 80.0" in err
    assert "On the command line: --interval PART" in err


# recommend


def test_recommend_lists_the_best_unseen_items(run, folder):
    model = load_model(folder / "numbers.npz")
    source = folder / "numbers.npz"
    ids, scores = model.recommend([7, 1], n=3)
    status, out, err = run("recommend", source, "--user", 7, 1, "-n", 3, "--json")
    assert (status, err) == (0, "")
    for row, one in enumerate(json.loads(out)["users"]):
        assert one["user"] == [7, 1][row]
        assert [entry["item"] for entry in one["items"]] == list(ids[row])
        assert [entry["score"] for entry in one["items"]] == list(scores[row])
        titles = [f"Fílm {item}" if item % 2 else None for item in ids[row]]
        assert [entry["title"] for entry in one["items"]] == titles
    status, out, _ = run("recommend", source, "--user", 7, "-n", 3)
    assert status == 0
    lines = out.split("\n")
    assert lines[0] == "3 recommended for user 7"
    assert [line.split()[2] for line in lines[3:6]] == [str(item) for item in ids[0]]
    assert [line.split()[1] for line in lines[3:6]] == [f"{score:.2f}" for score in scores[0]]


def json_count(model, user: int) -> int:
    return int(np.diff(model.ratings_.matrix.indptr)[user])


def test_recommend_with_seen_items_and_more_than_there_are(run, folder):
    model = load_model(folder / "numbers.npz")
    for options, count in ([], 40 - json_count(model, 7)), (["--include-seen"], 40):
        _, out, _ = run("recommend", folder / "numbers.npz", "--user", 7, "-n", 99, *options)
        assert out.startswith(f"{count} recommended for user 7")
        assert len(out.split("\n")) == count + 4


def test_recommend_to_who_has_rated_everything(run, tmp_path):
    path = tmp_path / "model.npz"
    ratings = Ratings.from_triples(["a", "a", "b"], ["x", "y", "x"], [1, 2, 3])
    save_model(BiasBaseline().fit(ratings), path)
    status, out, _ = run("recommend", path, "--user", "a", "b")
    assert status == 0
    assert out.startswith("0 recommended for user a\n")
    assert "\n1 recommended for user b\n" in out


def test_recommend_without_titles(run, folder):
    status, out, _ = run("recommend", folder / "words.npz", "--user", "u7", "-n", 1)
    assert status == 0
    item = load_model(folder / "words.npz").recommend(["u7"], n=1)[0][0, 0]
    assert re.search(rf"(?m)^ +1 +\S+ +{item}$", out)


@pytest.mark.parametrize("options", [[], ["--jobs", 2], ["--include-seen", "-n", 3]])
def test_recommend_writes_the_lists_of_all_users(run, folder, tmp_path, options):
    source, target = folder / "words.npz", tmp_path / "lists.csv"
    status, out, err = run("recommend", source, "--output", target, *options)
    assert (status, err) == (0, "")
    model, n, seen = load_model(source), 3 if options[2:] else 10, len(options) == 3
    expected = model.recommend(pd.Series(model.ratings_.user_ids), n, exclude_seen=not seen)
    assert out == f"{len(expected):,} lines in {target}\n"
    found = pd.read_csv(target)
    pd.testing.assert_frame_equal(
        found, expected.astype({"cold": int}), check_dtype=False, check_exact=True
    )


def test_recommend_writes_the_lists_of_some_users(run, folder, tmp_path):
    source, target = folder / "numbers.npz", tmp_path / "lists.csv"
    status, out, _ = run("recommend", source, "--user", 7, 1, "-n", 2, "--output", target, "--json")
    assert status == 0
    assert json.loads(out) == {**json.loads(out), "output": str(target), "rows": 4}
    assert pd.read_csv(target)["user"].tolist() == [7, 7, 1, 1]


def test_recommend_needs_users_or_a_file(run, folder, tmp_path):
    status, out, err = run("recommend", folder / "numbers.npz")
    assert (status, out) == (2, "")
    assert "recommend needs --user, or --output for all users" in err
    for name, message in (("lists.txt", "must end in .csv or .parquet"), ("no/l.csv", "folder")):
        status, _, err = run("recommend", folder / "numbers.npz", "--output", tmp_path / name)
        assert status == 1
        assert message in err


def test_a_full_disk_leaves_the_page_that_was_there(run, folder, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the package matplotlib")
    page = tmp_path / "report.html"
    page.write_text("before")
    with full_disk(1000):
        status, _, error = run("report", folder / "numbers.npz", "-o", page)
    assert status == 1
    assert re.fullmatch(r"autorec-np: error: .*File too large\n", error)
    assert page.read_text() == "before"
    assert list(tmp_path.iterdir()) == [page]
