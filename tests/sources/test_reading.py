"""`read_ratings`: any ids in any dialect come back exactly; errors name file and line."""

from __future__ import annotations

import csv
import gzip
import io
import logging
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rating_files import (
    SEPARATORS,
    assert_triples,
    fits,
    plain,
    rows,
    write,
)

from autorec_np.sources import reading
from autorec_np.sources.reading import read_ratings


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """One file that the examples of a property test write again and again."""
    return tmp_path_factory.mktemp("reading") / "ratings.txt"


# Round trips


@given(rows(), st.sampled_from(SEPARATORS), st.booleans(), st.randoms(use_true_random=False))
def test_any_ids_come_back_from_every_plain_dialect(file, table, separator, header, random):
    table = [row for row in table if fits(row, separator) and "" not in row]
    table = [row for row in table if not (row[0] + row[1]).startswith("\ufeff")]
    if not table:
        return
    names = [("user", "item", "rating")] if header else []
    write(file, plain([*names, *table], separator, random))
    R = read_ratings(file, sep=separator, header=header)
    assert_triples(R, *zip(*table, strict=True))


@given(rows(), st.sampled_from(",\t;| é"), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_ids_come_back_from_quoted_fields(file, table, separator, end):
    table = [row for row in table if "" not in row]
    if not table:
        return
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator=end)
    writer.writerow(("user", "item", "rating"))
    writer.writerows(table)
    write(file, buffer.getvalue())
    R = read_ratings(file, sep=separator)
    assert_triples(R, *zip(*table, strict=True))


@pytest.mark.parametrize("separator", SEPARATORS)
@given(rows(st.sampled_from(["1", "23", "007", "NA", "null", "x-y", "é"])))
def test_separator_and_header_are_found(file, separator, table):
    glue = "  " if separator == "whitespace" else separator
    for names in ([], [("userId", "movieId", "rating")], [("a", "item", "c")]):
        write(file, "\n".join(glue.join(row) for row in [*names, *table]))
        assert_triples(read_ratings(file), *zip(*table, strict=True))


# Formats


def test_well_known_files(tmp_path):
    ml_1m = write(tmp_path / "ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n")
    ml_100k = write(tmp_path / "u.data", "1\t1193\t5\t978300760\n1\t661\t3\t978302109\n")
    latest = write(
        tmp_path / "ratings.csv",
        "userId,movieId,rating,timestamp\n1,1193,5.0,978300760\n1,661,3.0,978302109\n",
    )
    books = write(
        tmp_path / "BX.csv",
        '"User-ID";"Item-ID";"Rating";"Timestamp"\r\n"1";"1193";"5";"978300760"\r\n'
        '"1";"661";"3";"978302109"\r\n',
    )
    for path in (ml_1m, ml_100k, latest, books):
        R = read_ratings(path)
        assert_triples(R, ["1", "1"], ["1193", "661"], [5, 3])
        assert R.timestamps[R.order].tolist() == [978300760, 978302109]
        assert R.scale == (3, 5)
        assert not R.user_ids.flags.writeable
        assert not R.item_ids.flags.writeable


def test_gz_and_zip_hold_the_same(tmp_path):
    text = "1,a,5\n2,b,0\n"
    with gzip.open(tmp_path / "ratings.csv.gz", "wt", newline="") as packed:
        packed.write(text)
    with zipfile.ZipFile(tmp_path / "one.ZIP", "w") as archive:
        archive.mkdir("folder") if hasattr(archive, "mkdir") else None
        archive.writestr("folder/ratings.csv", text)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("README", "hello")
        archive.writestr("folder/ratings.csv", text)
    for name, member in [
        ("ratings.csv.gz", None),
        ("one.ZIP", None),
        ("one.ZIP", "folder/ratings.csv"),
        ("two.zip", "folder/ratings.csv"),
    ]:
        for path in (tmp_path / name, str(tmp_path / name)):
            assert_triples(read_ratings(path, member=member), ["1", "2"], ["a", "b"], [5, 0])
    with pytest.raises(ValueError, match=r"two.zip: it must hold exactly one file; it holds "
                       r"'README', 'folder/ratings.csv'. Pass member="):  # fmt: skip
        read_ratings(tmp_path / "two.zip")
    with pytest.raises(ValueError, match=r"two.zip: it holds no 'x'; it holds 'README', "):
        read_ratings(tmp_path / "two.zip", member="x")
    with pytest.raises(ValueError, match=r"ratings.csv.gz: member='x' is for zip archives only"):
        read_ratings(tmp_path / "ratings.csv.gz", member="x")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("ratings.csv", "1,2,x\n1,3,4\n")
    with pytest.raises(ValueError, match=r"bad.zip \(ratings.csv\), line 1: the rating is 'x'"):
        read_ratings(tmp_path / "bad.zip")


@pytest.mark.parametrize(
    ("columns", "users"),
    [
        (("who", "what", "stars"), [1, 2]),
        (("what", "who", "stars"), [8, 9]),
        ((1, 2, 0), [1, 2]),
        ([2, 1, 0, 3], [8, 9]),
        (("who", "what", "stars", "when"), [1, 2]),
    ],
)
def test_columns_by_name_or_position(tmp_path, columns, users):
    path = write(tmp_path / "r.csv", "stars,who,what,when,why\n3,1,8,50,-\n4,2,9,60,-\n")
    R = read_ratings(path, columns=columns)
    assert R.triples()[0].tolist() == users
    assert R.matrix.data.tolist() == [3, 4]
    assert (None if R.timestamps is None else R.timestamps.tolist()) == (
        [50, 60] if len(columns) == 4 else None
    )


def test_known_names_decide_in_any_order(tmp_path):
    path = write(tmp_path / "r.csv", "timestamp,Rating,x,movie_id,USER-ID\n9,5,-,7,u\n")
    R = read_ratings(path)
    assert_triples(R, ["u"], ["7"], [5])
    assert R.timestamps.tolist() == [9]


@pytest.mark.parametrize(
    ("text", "header", "n_ratings"),
    [
        ("1,2,3\n4,5,6\n", None, 2),
        ("x,2,3\n4,5,6\n", None, 2),
        ("a,b,c\n4,5,6.0\n", True, 1),
        ("a,b,3\nc,d,4\n", None, 2),
        ("a,b,c\nc,d,4\n", None, 1),
        ("user,item,rating\nc,d,4\n", None, 1),
    ],
)
def test_header_is_found_or_said(tmp_path, text, header, n_ratings):
    assert len(read_ratings(write(tmp_path / "r.csv", text), header=header)) == n_ratings


@pytest.mark.parametrize("first", ["1,2,x", "a,b,nan", "a,b,", "1,2,inf"])
def test_a_wrong_first_line_is_not_taken_for_a_header(tmp_path, first):
    path = write(tmp_path / "r.csv", f"{first}\na,c,4\n")
    with pytest.raises(ValueError, match="line 1: the rating is"):
        read_ratings(path)


def test_a_stored_zero_is_a_rating(tmp_path):
    for text in (
        "1,2,0\n1,3,0.0\n2,2,-0\n",
        '1,2,"0"\n1,3,0.0\n2,2,0e5\n',
        "a,2,0\na,3,0\nb,2,0\n",
    ):
        R = read_ratings(write(tmp_path / "r.csv", text))
        assert R.matrix.nnz == len(R) == 3
        assert R.matrix.data.tolist() == [0, 0, 0]


def test_timestamps_are_read_if_they_are_times(tmp_path, caplog):
    caplog.set_level(logging.INFO, "autorec_np.sources.reading")
    for text, expected in [
        ("1,2,3,-5\n1,3,4,007\n", [-5, 7]),
        ("1,2,3,1.5\n1,3,4,-0.5\n", [1, -1]),
        ("1,2,3,2020-01-01\n1,3,4,1970-01-01 00:00:07+00:00\n", [1577836800, 7]),
        ("1,2,3,2020-01-01\n1,3,4,7\n", None),
        (f"1,2,3,{2**63}\n1,3,4,7\n", None),
        ("1,2,3,\u0663\n1,3,4,7\n", None),
        ("1,2,3,yesterday\n1,3,4,7\n", None),
        ("1,2,3,2020-13-01\n1,3,4,7\n", None),
    ]:
        caplog.clear()
        R = read_ratings(write(tmp_path / "r.csv", f"user,item,rating,timestamp\n{text}"))
        assert (None if R.timestamps is None else R.timestamps.tolist()) == expected
        assert ("so none is read" in caplog.text) == (expected is None)


def test_duplicates_are_resolved_on_request(tmp_path):
    path = write(tmp_path / "r.csv", "1,2,3\n1,3,5\n1,2,4\n")
    for rule, value in (("first", 3), ("last", 4), ("mean", 3.5)):
        assert read_ratings(path, duplicates=rule).matrix.data.tolist() == [value, 5]


def test_scale_is_stated(tmp_path):
    path = write(tmp_path / "r.csv", "1,2,0.7\n1,3,4.3\n")
    assert read_ratings(path, scale=(0.7, 4.3)).scale == (0.7, 4.3)


# Errors


@pytest.mark.parametrize(
    ("content", "keywords", "message"),
    [
        ("", {}, ": the file holds no ratings; each line must hold a user, an item and a rating"),
        ("\r\n \n\t\n", {}, ": the file holds no ratings"),
        (b"\xef\xbb\xbf", {}, ": the file holds no ratings"),
        ('""\n', {"sep": ","}, ": the file holds no ratings"),
        ("user,item,rating\n", {}, ": the file holds no ratings"),
        ("user,item,rating", {}, ": the file holds no ratings"),
        ('"user","item","rating"\n', {}, ": the file holds no ratings"),
        ("a,b,c\n", {"header": True}, ": the file holds no ratings"),
        ("\n\nabc\n", {}, ", line 3: no separator makes three fields of 'abc'"),
        ("1,2\n3,4\n", {}, ", line 1: no separator makes three fields of '1,2'"),
        ("1,2\n", {"sep": ","}, ", line 1: found 2 fields, ['1', '2']; a line must hold a user"),
        ("\n1,2,3\n4,5\n", {}, ", line 3: found 2 fields, ['4', '5'], but line 2 has 3; every line "
         "must have as many. Correct the line, or pass sep=... (now ',')"),
        ("1,2,3\n\n4,5,6,7\n", {}, ", line 3: found 4 fields"),
        ("1,2,3,4\n4,5\n1,2,3,4,5,6\n", {}, ", line 2: found 2 fields"),
        ('1,2,3\n"a\nb",2,3\n1,3\n', {}, ", line 4: found 2 fields"),
        ("1 2 3\n1  2 3 4\n", {}, ", line 2: found 4 fields"),
        ("1::2::3\n1:2:3\n", {}, ", line 2: found 1 fields, ['1:2:3']"),
        ("user,item,rating\n1,2,3\n1,3,x\n1,4,y\n", {}, ", line 3: the rating is 'x', but a rating "
         "must be a finite number such as 3 or 4.5, with nothing around it; 2 of 3 ratings are "
         "wrong. Correct or drop these lines."),
        ("1,2,3\n1,3,nan\n", {}, ", line 2: the rating is 'nan', but a rating must be a finite"),
        ("1,2,3\n\n1,3,-inf\n", {}, ", line 3: the rating is '-inf'"),
        ("1,2,3\n1,3,1e39\n", {}, ", line 2: the rating is '1e39'"),
        ("1,2,3\n1,3,1e999\n", {}, ", line 2: the rating is '1e999'"),
        ("1,2,3\n1,3, 4\n", {}, ", line 2: the rating is ' 4'"),
        ("1,2,3\n1,3,\n", {}, ", line 2: the rating is ''"),
        ("1;2;3,5\n1;3;4\n", {}, ", line 1: the rating is '3,5'"),
        ("1,2,3\n1,3,1_0\n", {}, ", line 2: the rating is '1_0'"),
        ("1,2,3\n1,3,\u0664\n", {}, ", line 2: the rating is '\u0664'"),
        ("1,2,3\n1,3,7\n1,4,0\n", {"scale": (1, 5)}, ", line 2: the rating is '7', but the stated "
         "scale is [1, 5]; 2 of 3 ratings are wrong. Correct them, or state a wider scale: scale="),
        ('1,2,"3"\n1,3,7.50\n', {"scale": (1, 5)}, ", line 2: the rating is '7.50', but the"),
        ("1,2,3\n,3,4\n", {}, ", line 2: the user id is empty in ['', '3', '4']"),
        ("u,i,r\n1,,3\n", {}, ", line 2: the item id is empty in ['1', '', '3']"),
        ('1,2,3\n\n4,"",3\n', {}, ", line 3: the item id is empty in ['4', '', '3']"),
        ("u,i,r\na,2,3\n\nb,2,3\na,2,5\na,2,1\n", {}, ", line 5: user 'a' rates item 2 again, "
         "first rated on line 2; 2 of 4 ratings repeat an earlier pair. A pair has one rating: "
         "correct the file, or pass duplicates='last' (or 'first' or 'mean')."),
        ("1::2::3\r\n1::3::3\r\n1::2::3\r\n", {}, ", line 3: user 1 rates item 2 again, first "
         "rated on line 1; 1 of 3"),
        ('"a\n\nb",2,3\n\n"a\n\nb",2,4\n', {}, ", line 5: user 'a\\n\\nb' rates item 2 again, "
         "first rated on line 1"),
        ('1,2,3\n"1,3,4\n', {}, ", line 2: a quoted field is malformed (unexpected end of data)"),
        ('1,2,3\n"1"x,3,4\n', {}, ", line 2: a quoted field is malformed"),
        ("1,2,3\n1,\0,4\n", {}, ", line 2: a NUL character, so this is not a text file; if it"),
        (b"1,2,3\r\n1,\xe9,4\r\n", {}, ", line 2: the byte 0xe9 is not valid utf-8; pass the "),
        (b"1,2,3\r\n1,\xe9\x01\x02,4\r\n", {}, "not valid utf-8; this is not a text file"),
        ("1,2,3\n", {"encoding": "utf-7.5"}, ": unknown text encoding 'utf-7.5'; pass"),
        ("1,2,3\n", {"columns": (0, 1, 3)}, ", line 1: there is no column 3, counted from 0; the "
         "first line holds 3 fields: ['1', '2', '3']"),
        ("a,b,c\n1,2,3\n", {"columns": ("a", "b", "d")}, ", line 1: no columns are named 'd'; the "
         "first line holds 3 fields: ['a', 'b', 'c']"),
        ("a,b,b\n1,2,3\n", {"columns": ("a", "b", "c")}, ", line 1: 2 columns are named 'b'"),
        ("a,b,c,d\n1,2,3,4\n1,3,3,x\n", {"columns": (0, 1, 2, 3)}, ", line 3: the timestamp is 'x';"
         " timestamps must all be numbers, or all ISO dates such as 2004-02-01. Correct it, or"),
        (f"1,2,3,4\n1,3,3,{2**64}\n", {"columns": (0, 1, 2, 3)},
         f", line 2: the timestamp is '{2**64}"),
        ("movieId,x,stars\n1,2,3\n", {}, ", line 1: the header names ['movieId', 'x', 'stars'], "
         "which does not tell the columns of user, item and rating: 'movieId' in the place of the "
         "user means something else; pass columns=(user, item, rating), by name or by position"),
    ],
)  # fmt: skip
def test_error_names_file_and_line_and_what_to_do(tmp_path, content, keywords, message):
    path = write(tmp_path / "ratings.csv", content)
    start = re.escape(str(path)) + ("" if message[0] in ":," else ".*")
    with pytest.raises(ValueError, match=start + re.escape(message)):
        read_ratings(path, **keywords)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"sep": ""}, ValueError, "sep must be a non-empty string without quotes and line ends"),
        ({"sep": '"'}, ValueError, "sep must be a non-empty string without quotes"),
        ({"sep": 3}, TypeError, "sep must be a string or None, got int"),
        ({"header": "yes"}, ValueError, "header must be one of None, True, False, got 'yes'"),
        ({"columns": "abc"}, TypeError, "columns must be a sequence of names or positions"),
        ({"columns": (0, 1)}, ValueError, "columns must be three or four different columns"),
        ({"columns": (0, 1, 1)}, ValueError, "columns must be three or four different columns"),
        ({"columns": (0, 1, -1)}, ValueError, "columns must be all names or all positions"),
        ({"columns": ("a", "b", 1)}, ValueError, "columns must be all names or all positions"),
        (
            {"columns": ("a", "b", "c"), "header": False},
            ValueError,
            "columns are names but header=",
        ),
        ({"duplicates": "sum"}, ValueError, "duplicates must be one of 'raise', 'first', 'last'"),
        ({"scale": (5, 1)}, ValueError, "low < high"),
    ],
)
def test_wrong_arguments(tmp_path, keywords, error, message):
    with pytest.raises(error, match=message):
        read_ratings(tmp_path / "is-not-even-opened.csv", **keywords)


def test_a_file_that_cannot_be_opened(tmp_path):
    for name in ("absent.csv", "absent.csv.gz", "absent.zip"):
        with pytest.raises(FileNotFoundError):
            read_ratings(tmp_path / name)


def test_damaged_archives(tmp_path):
    packed = gzip.compress(b"1,2,3\n" * 100)
    for content in (packed[:-9], packed[:30] + b"\xff" * 5 + packed[35:]):
        with pytest.raises(ValueError, match=r"r.csv.gz: not a complete gzip file \(.*fetch it ag"):
            read_ratings(write(tmp_path / "r.csv.gz", content))
    with zipfile.ZipFile(tmp_path / "good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("r.csv", "1,2,3\n" * 100)
    good = (tmp_path / "good.zip").read_bytes()
    for content in (good[:-9], good[:40] + b"\xff" * 9 + good[49:]):
        with pytest.raises(ValueError, match=r"r.zip: the zip archive cannot be read \(.*fetch"):
            read_ratings(write(tmp_path / "r.zip", content))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(ValueError, match=r"empty.zip: the archive holds nothing; pass one that"):
        read_ratings(tmp_path / "empty.zip")


@pytest.mark.parametrize("name", ["r.csv.gz", "r.zip", "r.csv.bz2", "r"])
def test_the_content_says_how_a_file_is_packed_and_not_its_name(tmp_path, name):
    for content in (b"1,2,3\n1,3,4\n", gzip.compress(b"1,2,3\n1,3,4\n")):
        assert_triples(
            read_ratings(write(tmp_path / name, content)), ["1", "1"], ["2", "3"], [3, 4]
        )
    with pytest.raises(ValueError, match="the file holds no ratings"):
        read_ratings(write(tmp_path / name, b""))


def test_messages_stay_short(tmp_path):
    path = write(tmp_path / "r.csv", "1,2,3\n1,3," + "x" * 10**5 + "\n")
    with pytest.raises(ValueError, match="line 2: the rating is 'xxx") as caught:
        read_ratings(path)
    assert len(str(caught.value)) < 400 + len(str(path))


# Junk


PIECES = (
    b'1 2 0 007 , :: \t ; \n \r\n \r " "" - . e nan \xc3\xa9 \xff \0 1,2,3\n 1,3,4\n 1::2::3::4\n '
    b'a\tb\t5\n "a","b",5\n user,item,rating\n 99999999999999999999'
)
pieces = st.sampled_from([*PIECES.split(b" "), b" "])
junk = st.one_of(st.lists(pieces, max_size=30).map(b"".join), st.binary(max_size=60))


def read_or_refuse(path, **keywords):
    """The ratings, or the message of the ValueError, which begins with the file."""
    try:
        return read_ratings(path, **keywords)
    except ValueError as error:
        if not str(error).startswith(str(path)):
            raise
        return str(error)


@given(
    junk,
    st.sampled_from([None, None, ",", "\t", "::", "whitespace", " ", "1"]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, None, (0, 1, 2), (2, 1, 0, 3), ("user", "item", "rating")]),
    st.sampled_from(["utf-8", "latin-1", "utf-16"]),
    st.sampled_from(["raise", "mean"]),
)
@settings(max_examples=300)
def test_junk_is_read_or_refused(file, content, sep, header, columns, encoding, duplicates):
    write(file, content)
    if header is False and columns and isinstance(columns[0], str):
        header = None
    keywords = {"sep": sep, "header": header, "columns": columns, "scale": (-10, 10)}
    keywords |= {"encoding": encoding, "duplicates": duplicates}
    R = read_or_refuse(file, **keywords)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "split_numbers", lambda *_: None)
        patch.setattr(reading, "split_strings", lambda *_: None)
        slow = read_or_refuse(file, **keywords)
    if isinstance(R, str):
        assert slow == R
        return
    assert len(R) > 0
    assert np.isfinite(R.matrix.data).all()
    for part, same in zip(R.triples(), slow.triples(), strict=True):
        assert part.dtype == same.dtype
        assert part.tolist() == same.tolist()


@pytest.mark.parametrize("suffix", [".gz", ".zip"])
@given(content=st.data())
def test_junk_in_an_archive_is_read_or_refused(file, suffix, content):
    if suffix == ".gz":
        sound = gzip.compress(b"1,2,3\n2,3,4\n", mtime=0)
    else:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("r.csv", "1,2,3\n2,3,4\n")
        sound = buffer.getvalue()
    damaged = bytearray(sound)
    for _ in range(content.draw(st.integers(0, 4))):
        damaged[content.draw(st.integers(0, len(sound) - 1))] = content.draw(st.integers(0, 255))
    path = write(
        Path(str(file) + suffix), bytes(damaged[: content.draw(st.integers(0, len(sound)))])
    )
    R = read_or_refuse(path)
    assert isinstance(R, str) or len(R) > 0


# Real files


@pytest.mark.data
@pytest.mark.parametrize(
    ("archive", "member", "shape", "n_ratings", "scale"),
    [
        ("ml-100k", "ml-100k/u.data", (943, 1682), 100_000, (1, 5)),
        ("ml-1m", "ml-1m/ratings.dat", (6040, 3706), 1_000_209, (1, 5)),
        ("ml-latest-small", "ml-latest-small/ratings.csv", (610, 9724), 100_836, (0.5, 5)),
    ],
)
def test_movielens(archive, member, shape, n_ratings, scale):
    path = Path(os.environ.get("AUTOREC_NP_DATA", "")) / f"{archive}.zip"
    if not os.environ.get("AUTOREC_NP_DATA") or not path.exists():
        pytest.skip(f"{archive}.zip is not in $AUTOREC_NP_DATA")
    R = read_ratings(path, member=member)
    assert (R.shape, len(R), R.scale) == (shape, n_ratings, scale)
    assert R.user_ids.dtype == R.item_ids.dtype == np.int64
    with zipfile.ZipFile(path) as zipped:
        lines = zipped.read(member).decode().splitlines()[-n_ratings:]
    users, items, values = R.triples()
    for k in (0, 1, 777, n_ratings - 1):
        assert re.split("::|,|\t", lines[k])[:2] == [str(users[k]), str(items[k])]
        assert float(re.split("::|,|\t", lines[k])[2]) == values[k]


# Values that mean "not rated"

WATCHED = "user_id,anime_id,rating\n1,20,-1\n1,24,8\n2,20,10\n2,30,7\n3,24,-1\n"


def test_missing_values_are_left_out_counted_and_said():
    R = read_ratings(io.StringIO(WATCHED), missing=(-1,))
    assert [part.tolist() for part in R.triples()] == [[1, 2, 2], [24, 20, 30], [8, 10, 7]]
    assert (R.scale, R.n_missing, R.n_users) == ((7, 10), 2, 2)
    assert repr(R).endswith("rating = 'rating'; 2 values mean 'not rated')")
    assert read_ratings(io.StringIO(WATCHED)).scale == (-1, 10)
    with pytest.raises(ValueError, match="line 2: the rating is '-1'") as caught:
        read_ratings(io.StringIO(WATCHED), scale=(1, 10))
    assert "pass missing=(-1,)" in str(caught.value)
    assert len(read_ratings(io.StringIO(WATCHED), scale=(1, 10), missing=(-1,))) == 3
    with pytest.raises(ValueError, match="all of the 5 values mean 'not rated'"):
        read_ratings(io.StringIO(WATCHED), missing=(-1, 7, 8, 10))


def test_zero_may_mean_not_rated():
    text = "user_id,book_id,is_read,rating,reviewed\n0,48,1,5,0\n0,47,1,0,0\n1,48,0,0,0\n1,45,1,4,1"
    assert len(read_ratings(io.StringIO(text))) == 4
    R = read_ratings(io.StringIO(text), missing=0)
    assert [part.tolist() for part in R.triples()] == [[0, 1], [48, 45], [5, 4]]


def test_lines_in_errors_count_those_without_a_rating():
    text = "user,item,rating\n1,1,-1\n1,2,3\n\n1,3,-1\n1,2,4\n"
    with pytest.raises(ValueError, match=r"line 6: user 1 rates item 2 again, first .* line 3"):
        read_ratings(io.StringIO(text), missing=-1)
    assert read_ratings(io.StringIO(text), missing=-1, duplicates="last").matrix.data.tolist() == [
        4
    ]
    with pytest.raises(ValueError, match="line 6: the rating is 'x'"):
        read_ratings(io.StringIO(text.replace("1,2,4", "1,2,x")), missing=-1)


@pytest.mark.parametrize("token", ["", "NA", "nan", "NaN", "null", "None", "N/A"])
def test_an_empty_rating_is_an_error_whose_advice_works(token):
    text = f"user,item,rating\n1,1,{token}\n1,2,3\n"
    with pytest.raises(ValueError, match=f"line 2: the rating is '{token}'") as caught:
        read_ratings(io.StringIO(text))
    assert "pass missing=(float('nan'),)" in str(caught.value)
    assert read_ratings(io.StringIO(text), missing=(float("nan"),)).n_missing == 1
    with pytest.raises(ValueError, match="line 3: the rating is 'x'"):
        read_ratings(io.StringIO(text.replace("1,2,3", "1,2,x")), missing=(float("nan"),))


def test_numbers_with_separators_of_thousands_are_strings_or_errors():
    R = read_ratings(io.StringIO('userId,movieId,rating\n"1,001",5,2.5\n"1,002",6,3.0\n'))
    assert R.user_ids.tolist() == ["1,001", "1,002"]
    message = r"line 2: the rating is '1,001', .* a comma between thousands.* take the commas out"
    with pytest.raises(ValueError, match=message):
        read_ratings(io.StringIO('userId,movieId,rating\n1,5,"1,001"\n2,6,3\n'))


def test_truth_is_a_rating():
    R = read_ratings(io.StringIO("user,item,liked\n1,2,True\n1,3,False\n2,2,true\n"))
    assert R.matrix.data.tolist() == [1, 0, 1]


@given(rows(st.sampled_from(["1", "2", "31", "x", "007"])), st.floats(-9, 9, width=16))
def test_missing_values_and_their_absence_give_the_same(table, missing):
    kept = [row for row in table if float(row[2]) != missing]
    text = "\n".join(",".join(row) for row in [("user", "item", "rating"), *table])
    if not kept:
        with pytest.raises(ValueError, match="mean 'not rated'"):
            read_ratings(io.StringIO(text), missing=missing)
        return
    R = read_ratings(io.StringIO(text), missing=missing)
    assert R.n_missing == len(table) - len(kept)
    users, items, values = zip(*kept, strict=True)
    assert [str(one) for one in R.triples()[0]] == list(users)
    assert [str(one) for one in R.triples()[1]] == list(items)
    assert R.triples()[2].tolist() == [float(np.float32(value)) for value in values]
