"""Data sets, ratings and pairs of the command line."""

from __future__ import annotations

import io
import re
import sys

import pytest

import autorec_np

# fetch and named data sets


def test_fetch_says_what_there_is(run, movielens):
    status, out, err = run("fetch", "ml-100k", "--data-home", "here")
    assert (status, err) == (0, "")
    assert "ml-100k  700 ratings, 50 users x 40 items, scale 1 to 5\n" in out
    assert "40 titles, folds u1, u2" in out
    assert "Harper" in out
    assert movielens.calls == [("ml-100k", "here")]
    assert "folds" not in run("fetch", "ml-1m")[1]


PAIR_FILES = {
    "plain": "1,3\n2,4\n",
    "header": "item,user\n3,1\n4,2\n",
    "ratings": "user,item,rating\n1,3,5\n\n2,4,1\n",
    "other names": "rank,asin,reviewerID\n9,3,1\n8,4,2\n",
    "unknown names": "who,what\n1,3\n2,4\n",
    "mark": "\ufeff1,3\r\n2,4",
}


@pytest.mark.parametrize("case", PAIR_FILES)
def test_predict_reads_pairs(case, run, folder, tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_bytes(PAIR_FILES[case].encode())
    status, out, err = run("predict", folder / "numbers.npz", "--pairs", path)
    assert (status, err) == (0, "")
    assert [line[:4] for line in out.split("\n")[1:]] == ["1,3,", "2,4,", ""]


BAD_PAIRS = {
    "": "holds no pairs; write a user id and an item id in each line",
    "user,item\n": "holds no pairs",
    "1,3\n2\n": r"line 2: needs a user and an item, got \['2'\]",
    "1,3\n2,x\n": r"line 2: the item ids of this model are integers, got 'x'",
    "\n\nu,3\n": r"line 3: the user ids of this model are integers, got 'u'",
    "1,3\n\xff": "is not UTF-8 text",
    "movie,x\n3,1\n": "does not tell the columns of user and item.* name them user and item there",
}


@pytest.mark.parametrize("content", BAD_PAIRS)
def test_pairs_that_cannot_be_read(content, run, folder, tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes(content.encode("latin-1"))
    status, out, err = run("predict", folder / "numbers.npz", "--pairs", path)
    assert (status, out) == (1, "")
    assert re.fullmatch(f"autorec-np: error: .*pairs.csv.*{BAD_PAIRS[content]}.*\n", err)


@pytest.mark.parametrize("kind", ["bytes", "text"])
def test_pairs_come_from_standard_input(kind, run, folder, monkeypatch):
    content = "\ufeffuser,item\n1,3\n2,4\n" if kind == "bytes" else "1,3\n2,4\n"
    stdin = io.StringIO(content)
    if kind == "bytes":
        stdin = io.TextIOWrapper(io.BytesIO(content.encode()), encoding="latin-1")
    monkeypatch.setattr(sys, "stdin", stdin)
    status, out, err = run("predict", folder / "numbers.npz", "--pairs", "-")
    assert (status, err) == (0, "")
    assert [line[:4] for line in out.split("\n")[1:]] == ["1,3,", "2,4,", ""]


# Lessons


def test_where_the_lessons_are_left_out_the_command_says_where_they_are(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "autorec_np.lessons", None)
    monkeypatch.delattr(autorec_np, "lessons", raising=False)
    for words in (["4", "--hint"], ["start", "mine"], []):
        status, out, err = run("lesson", *words)
        assert (status, out) == (1, "")
        assert "clone the repository, and pip install -e . there" in err
