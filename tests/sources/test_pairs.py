"""Files of who chose what: what is read as pairs, and what is not."""

from __future__ import annotations

import gzip
import io
import pickle
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.data.ratings import as_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.interactions import to_interactions
from autorec_np.sources.pairs import read_interactions
from autorec_np.sources.reading import read_ratings


def read(text, **options):
    return read_interactions(io.StringIO(text), **options)


def counts(R):
    return {(u, i): n for u, i, n in zip(*(x.tolist() for x in R.triples()), strict=True)}


CLICKS = {("ann", "a b"): 2.0, ("bob", "a b"): 1.0, ("ann", "c"): 1.0}


@pytest.mark.parametrize("header", ["", "user{}item\n"])
@pytest.mark.parametrize("sep", [",", ";", "\t", "|", "::"])
def test_two_columns_are_read_with_any_separator_and_header(sep, header):
    lines = [("ann", "a b"), ("bob", "a b"), ("ann", "c"), ("ann", "a b")]
    R = read(header.format(sep) + "".join(f"{sep.join(pair)}\n" for pair in lines))
    assert counts(R) == CLICKS
    assert R.scale == (1.0, 2.0)
    assert str(R.columns) == (
        "user = 'user', item = 'item'" if header else "user = column 0, item = column 1"
    )


FILES = {
    "whitespace": ("1  5\n1  6\n", {}, {(1, 5): 1.0, (1, 6): 1.0}),
    "by name": ("movieId,customer\n5,1\n5,1\n", {}, {(1, 5): 2.0}),
    "unknown names over numbers": ("who,what\n1,5\n1,6\n", {}, {(1, 5): 1.0, (1, 6): 1.0}),
    "stated header": ("a,b\nx,y\n", {"header": True}, {("x", "y"): 1.0}),
    "no header": ("user,item\nx,y\n", {"header": False}, {("user", "item"): 1.0, ("x", "y"): 1.0}),
    "ids as they are": ("007,1.0\nx,2\n", {}, {("007", "1.0"): 1.0, ("x", "2"): 1.0}),
    "zeros before numbers": ("7,01\n8,1\n", {}, {(7, "01"): 1.0, (8, "1"): 1.0}),
    "points in numbers": ("7,1.0\n8,1\n", {}, {(7, "1.0"): 1.0, (8, "1"): 1.0}),
    "quotes": ('"x","a,b"\n"x","a,b"\n', {}, {("x", "a,b"): 2.0}),
    "spaces": ("x, a\ny, a\n", {}, {("x", "a"): 1.0, ("y", "a"): 1.0}),
    "titles": ("x,A Bug\nx,Up\ny,Up\n", {}, {("x", "A Bug"): 1, ("x", "Up"): 1, ("y", "Up"): 1}),
    "an empty column": ("user,item,\n1,5,\n", {}, {(1, 5): 1.0}),
    "columns by name": (
        "user,price,item\n1,9,5\n1,9,5\n", {"columns": ("user", "item")}, {(1, 5): 2.0}
    ),
    "columns by place": ("1,9,5\n1,9,5\n", {"columns": (0, 2)}, {(1, 5): 2.0}),
    "a header over places": (
        "id,price,thing\n1,9,5\n1,9,6\n", {"columns": (0, 2)}, {(1, 5): 1.0, (1, 6): 1.0}
    ),
    "a comment": ("# clicks\n1,5\n", {"comment": "#"}, {(1, 5): 1.0}),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_what_is_read_as_pairs(case):
    text, options, expected = FILES[case]
    assert counts(read(text, **options)) == expected


def test_times_are_read_where_they_are_named():
    R = read("item,timestamp,user\na,50,x\na,70,x\nb,60,y\n")
    assert counts(R) == {("x", "a"): 2.0, ("y", "b"): 1.0}
    assert R.timestamps[R.order].tolist() == [70, 60]
    assert read("user,item,date\nx,a,soon\n").timestamps is None


def test_a_packed_file_is_read(tmp_path):
    path = tmp_path / "clicks.tsv.gz"
    path.write_bytes(gzip.compress(b"ann\ta\nbob\ta\n"))
    assert counts(read_interactions(path)) == {("ann", "a"): 1.0, ("bob", "a"): 1.0}


def test_a_file_of_ratings_is_read_as_ever():
    text = "user,item,rating\n1,2,3\n2,2,5\n"
    assert counts(read(text)) == counts(read_ratings(io.StringIO(text)))
    assert "rating" in read(text).columns.names


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("user,rating\n1,2\n", {}, "does not tell the columns of user and item"),
        ("1,2\n3\n", {"sep": ","}, ", line 2: found 1 fields"),
        ("1,2\n1,\n", {}, ", line 2: the item id is empty"),
        ("a,b,price\nx,y,3\n", {}, "'price' in the place of the rating"),
        ("1,2,1200000000\n1,3,1200000060\n", {}, "holds times"),
        (
            "ann;x;3,5\nbob;y;4,5\n",
            {},
            "'3,5' in the place of the rating",
        ),  # no pairs of 'ann;x;3' and 5
        ("ann x 3,5\nbob y 4,5\n", {}, "'3,5' in the place of the rating"),  # nor of 'ann x 3'
        ("1,2,3,2004-01-01 10:00\n1,2,2004-01-01 10:00\n", {}, ", line 2: found 3 fields"),
        ("1,2\n", {"scale": (1, 5)}, "scale=... is for ratings"),
        ("1,2\n", {"duplicates": "last"}, "duplicates=... is for ratings"),
        ("abc\n", {}, "no separator makes three fields"),
        ("", {}, "holds no ratings"),
        ("1,2,3\n", {"columns": (0, 7)}, "there is no column 7"),
    ],
)
def test_what_is_no_pairs_is_refused(text, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(text, **options)


@pytest.mark.parametrize("text", ["user,item\n1,2\n", "x y\n", "user,item,time\n1,2,3\n"])
def test_a_door_for_ratings_names_the_model_of_lists(text):
    with pytest.raises(ValueError, match=r"RankingAutoRec\(\).fit\(read_interactions\(path\)\)"):
        read_ratings(io.StringIO(text))


@pytest.mark.parametrize("data", [{"user": [1, 2], "item": [1, 2]}, ([1, 2], [1, 2])])
def test_pairs_in_memory_are_no_ratings_and_the_model_is_named(data):
    assert len(to_interactions(data)[0]) == 2
    for door in (as_ratings, AutoRec().fit):
        with pytest.raises((TypeError, ValueError), match=r"RankingAutoRec\(\).fit\(data\)"):
            door(data)


ids = st.text("ab07.", min_size=1, max_size=3)


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=30))
def test_a_file_holds_what_its_lines_say(pairs):
    R = read("".join(f"{user},{item}\n" for user, item in pairs), header=False)
    found = {tuple(map(str, pair)): n for pair, n in counts(R).items()}
    assert found == {pair: pairs.count(pair) for pair in pairs}


def test_what_another_process_says_of_pairs_is_read_here_without_their_file():
    with pytest.raises(ValueError, match="makes lists") as caught:
        read_ratings(io.StringIO("x,a\n" + 1000 * "y,a-long-name\n"))
    sent = pickle.dumps(caught.value.with_traceback(None))  # which Dask would send too
    assert str(pickle.loads(sent)) == str(caught.value)
    assert len(sent) < 1000


@pytest.mark.parametrize("columns", [None, ("who", "what")])
def test_pairs_of_a_parquet_file_are_read_as_those_of_its_frame(tmp_path, monkeypatch, columns):
    frame = pd.DataFrame({"user": [3, 1, 3, 3], "item": ["b", "a", "b", "c"]})
    path = tmp_path / "clicks.parquet"
    path.write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    table = frame if columns is None else frame.set_axis([*columns], axis=1).assign(price=1.0)
    monkeypatch.setattr(pd, "read_parquet", lambda _: table)
    wanted = {(3, "b"): 2.0, (1, "a"): 1.0, (3, "c"): 1.0}
    assert counts(read_interactions(path, columns=columns)) == wanted
    with pytest.raises(ValueError, match=r"clicks.parquet: .*no ratings.* RankingAutoRec"):
        read_ratings(path, columns=columns)
    with pytest.raises(ValueError, match=r"clicks.parquet: scale=... is for ratings"):
        read_interactions(path, columns=columns, scale=(1, 5))
