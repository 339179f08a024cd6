"""The text of a file: its encoding, its separator, its lines."""

from __future__ import annotations

import codecs
import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_files import assert_triples, write

from autorec_np.sources import text as text_room
from autorec_np.sources.reading import read_ratings


def test_separator_is_not_taken_from_inside_the_fields(tmp_path):
    path = write(tmp_path / "r.csv", 'ns::a,ns::b,3\n"ns::c","x;y;z",4\n')
    assert_triples(read_ratings(path), ["ns::a", "ns::c"], ["ns::b", "x;y;z"], [3, 4])
    path = write(tmp_path / "r.csv", '"a\n,b",c,3\n"a\tb",d,4\n')
    assert_triples(read_ratings(path), ["a\n,b", "a\tb"], ["c", "d"], [3, 4])
    path = write(tmp_path / "r.tsv", "a,b,c\td\t3\n")
    assert_triples(read_ratings(path), ["a,b,c"], ["d"], [3])
    path = write(tmp_path / "r.txt", "a, b, 3\n")
    assert_triples(read_ratings(path, sep=", "), ["a"], ["b"], [3])


def test_whitespace_around_lines_is_no_field(tmp_path):
    for separator in (None, "whitespace"):
        path = write(tmp_path / "r.txt", "  1 \t 2 3 \n\t4 5  6\t\n \n 7  8 9")
        R = read_ratings(path, sep=separator)
        assert_triples(R, ["1", "4", "7"], ["2", "5", "8"], [3, 6, 9])


def test_nothing_is_stripped_from_ids(tmp_path):
    path = write(tmp_path / "r.csv", '" x ", 2,3\n"x",2,3\n"a\r\nb","c""d",0\n')
    assert_triples(read_ratings(path), [" x ", "x", "a\r\nb"], [" 2", "2", 'c"d'], [3, 3, 0])
    path = write(tmp_path / "r.dat", '"1"::"2::3\n')
    assert_triples(read_ratings(path), ['"1"'], ['"2'], [3])


def test_blank_lines_and_line_ends(tmp_path):
    for end in ("\n", "\r\n", "\r"):
        text = end.join(["", " \t", "user,item,rating", "", "1,2,3", "   ", "", "2,2,4", "", ""])
        for separator in (None, ","):
            R = read_ratings(write(tmp_path / "ratings.csv", text), sep=separator)
            assert_triples(R, ["1", "2"], ["2", "2"], [3, 4])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "cp1252"])
def test_encodings(tmp_path, encoding):
    path = write(tmp_path / "ratings.csv", "user,item,rating\né,ü,4\n".encode(encoding))
    asked = {} if encoding.startswith("utf-8") else {"encoding": encoding}
    assert_triples(read_ratings(path, **asked), ["é"], ["ü"], [4])


def test_byte_order_mark_is_no_part_of_an_id(tmp_path):
    path = write(tmp_path / "ratings.csv", codecs.BOM_UTF8 + b"1,2,3\n")
    assert read_ratings(path).user_ids.tolist() == [1]


def read(text, **options):
    return read_ratings(io.StringIO(text), **options)


WANTED = ["1", "1", "2"], ["5", "6", "5"], [2.5, 3, 4]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    path = write(tmp_path / "r.csv", "user,item,rating\r\né,5,2.5\r\n".encode(encoding))
    assert_triples(read_ratings(path), ["é"], ["5"], [2.5])


def test_utf_16_without_its_mark(tmp_path):
    path = write(tmp_path / "r.csv", "1,5,2.5\n".encode("utf-16-le"))
    with pytest.raises(ValueError, match="pass encoding='utf-16-le' or 'utf-16-be'"):
        read_ratings(path)
    assert_triples(read_ratings(path, encoding="utf-16-le"), ["1"], ["5"], [2.5])


def test_advice_on_the_encoding_works(tmp_path):
    path = write(tmp_path / "r.csv", "é,5,2.5\n".encode("latin-1"))
    with pytest.raises(ValueError, match="pass the encoding of the file, encoding='latin-1'"):
        read_ratings(path)
    assert_triples(read_ratings(path, encoding="latin-1"), ["é"], ["5"], [2.5])
    with pytest.raises(ValueError, match=r"unknown text encoding 'utf-7.5'; pass 'utf-8' or"):
        read_ratings(path, encoding="utf-7.5")


@pytest.mark.parametrize("mark", ["", "\ufeff", "\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_that_states_the_separator(mark, end):
    lines = ["sep=;", "userId;movieId;rating", "1;5;2.5", "1;6;3.0", "2;5;4.0", ""]
    assert_triples(read(mark + end.join(lines)), *WANTED)
    assert_triples(read(mark + end.join(lines).replace("sep=", "SEP=")), *WANTED)
    lines[3] = "1;6;x"
    with pytest.raises(ValueError, match=f"line {4 + mark.count(chr(10))}: the rating is 'x'"):
        read(mark + end.join(lines))


@pytest.mark.parametrize(
    "text",
    [
        "userId;movieId;rating\n1;5;2,5\n1;6;3,0\n2;5;4\n",
        "1\t5\t2,5\n1\t6\t3,0\n2\t5\t4,0\n",
        'userId,movieId,rating\n1,5,"2,5"\n1,6,"3,0"\n2,5,"4,0"\n',
        "userId::movieId::rating\n1::5::2,5\n1::6::+3,0\n2::5::4e0\n",
    ],
)
def test_a_decimal_comma_is_read_where_it_is_stated(text):
    with pytest.raises(ValueError, match=r"has a decimal comma.* Pass decimal=','"):
        read(text)
    assert_triples(read(text, decimal=","), *WANTED)


def test_advice_on_first_lines_that_are_no_ratings():
    text = "#ratings\n1,5,2.5\n1,6,3.0\n2,5,4.0\n"
    with pytest.raises(ValueError, match=r"skip_lines=\.\.\. or comment='#' if the first"):
        read(text)
    assert_triples(read(text, comment="#"), *WANTED)
    assert_triples(read(text, skip_lines=1), *WANTED)


def test_a_point_is_no_decimal_comma():
    with pytest.raises(ValueError, match=r"line 2: the rating is '1\.500,5'"):
        read("1;5;2,5\n1;6;1.500,5\n", decimal=",")
    with pytest.raises(ValueError, match="column 3 holds no times"):
        read("1,5,2,5\n1,6,3,0\n2,5,4,5\n", decimal=",")
    with pytest.raises(ValueError, match=r"decimal must be one of '\.', ','"):
        read("1,2,3\n", decimal=";")


def test_comments_and_lines_at_the_start_are_left_out():
    text = "made by hand\nsee also: notes\nuser,item,rating\n// first\n1,5,2.5\n 1,6,3\n//2,7,1\n"
    R = read(text.replace(" 1", "1"), skip_lines=2, comment="//")
    assert_triples(R, ["1", "1"], ["5", "6"], [2.5, 3])
    with pytest.raises(ValueError, match="line 6: the rating is 'x'"):
        read(text.replace(" 1,6,3", "1,6,x"), skip_lines=2, comment="//")
    with pytest.raises(ValueError, match="the file holds no ratings"):
        read(text, skip_lines=99)
    for comment in ("", " ", 3):
        with pytest.raises(ValueError, match="comment must be how a comment begins, '#' for"):
            read(text, comment=comment)
    with pytest.raises(ValueError, match="skip_lines must be at least 0"):
        read(text, skip_lines=-1)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), unique=True, min_size=1, max_size=9),
    st.lists(st.sampled_from(["# odd, line", "#", "", "#1,2,3"]), max_size=4),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.randoms(use_true_random=False),
)
def test_comments_anywhere_change_nothing(pairs, comments, end, random):
    lines = [f"{user},{item},{(user + item) % 5}" for user, item in pairs]
    plain = read(end.join(lines), columns=(0, 1, 2))
    for comment in comments:
        lines.insert(random.randrange(len(lines) + 1), comment)
    R = read(end.join(lines), columns=(0, 1, 2), comment="#")
    for mine, yours in zip(R.triples(), plain.triples(), strict=True):
        assert mine.tolist() == yours.tolist()


STRAY = "\n".join(
    ["a\tb\trating\tcomment", '1\t5\t4\t"best', "1\t6\t3\tok", '2\t5\t2\tnice"', "3\t5\t1\tbad"]
)


def test_a_stray_quote_does_not_swallow_ratings():
    with pytest.raises(ValueError, match="line 2: a quoted field runs on to line 4 and"):
        read(STRAY)
    R = read(STRAY, quoting=False)
    assert_triples(R, ["1", "1", "2", "3"], ["5", "6", "5", "5"], [4, 3, 2, 1])
    assert len(read(STRAY, quoting=True)) == 2
    with pytest.raises(ValueError, match=r"field is malformed.*or pass quoting=F") as caught:
        read(STRAY.replace('nice"', "nice"))
    assert "line 2" in str(caught.value)
    assert len(read(STRAY.replace('nice"', "nice"), quoting=False)) == 4


def test_fields_may_run_over_lines_that_are_no_ratings():
    text = 'user,item,rating,comment\n1,5,2.5,"one, two\nthree"\n1,6,3,"a\n\nb"\n2,5,4,c\n'
    assert_triples(read(text), *WANTED)


def test_spaces_after_the_separator():
    text = "userId, movieId, rating\n1, 5, 2.5\n1, 6, 3.0\n2, 5, 4.0\n"
    assert_triples(read(text), *WANTED)
    assert_triples(read(text.replace(", ", ",   ")), *WANTED)
    assert_triples(read(text, sep=","), *WANTED)
    quoted = 'userId, movieId, rating\n"1", "5", 2.5\n"1", "6", 3.0\n"2", "5", 4.0\n'
    assert_triples(read(quoted), *WANTED)
    assert read(text.replace("5, 2.5", "a b, 2.5")).item_ids.tolist() == ["5", "6", "a b"]


def test_quoting_off_keeps_quotes():
    rows = zip(*WANTED, strict=True)
    text = "".join(f'"{user}";"{item}";{rating}\n' for user, item, rating in rows)
    assert read(text).user_ids.tolist() == [1, 2]
    assert read(text, quoting=False).user_ids.tolist() == ['"1"', '"2"']
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_NONE, escapechar="x").writerows(zip(*WANTED, strict=True))
    assert_triples(read(buffer.getvalue(), quoting=False), *WANTED)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("userId,movieId,rating\n1,5,2.5\n(1 row)\n", "line 3: found 1 fields, ['(1 row)']"),
        ("userId,movieId,rating\n1,5,2.5\nuserId,movieId,rating\n2,5,4\n", "line 3: the rating is"),
        ('"a";"b";"c"\n"1";"x";"0"\n"2";"\\"x\\"";"6"\n', "line 3: a quoted field is malformed"),
    ],
)
def test_odd_lines_are_named(text, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        read(text)


QUOTED_LINES = [
    '"user","item","rating"\n1,2,3\n4,5,4.5\n',
    'user,item,rating\n1,2,3\n"4","5","4.5"\n7,8,1\n',
    '\r\n"user","item","rating"\r\n1,2,3\r\n',
    '"a,b",c,3\nd,e,4\n',
    '"a""b",c,3\nd,e,4\n',
    '"a\nb",c,3\nd,e,4\n',
    '"user", "item", "rating"\n1, 2, 3\n',
]


@pytest.mark.parametrize("text", QUOTED_LINES, ids=repr)
def test_quotes_of_one_line_are_read_as_those_of_all(text, tmp_path, monkeypatch):
    path = write(tmp_path / "r.csv", text)
    found = read_ratings(path)
    monkeypatch.setattr(text_room, "_with_plain_header", lambda text, separator: text)
    expected = read_ratings(path)
    assert repr(found) == repr(expected)
    assert all(map(np.array_equal, found.triples(), expected.triples()))


def test_a_header_in_quotes_costs_no_time(tmp_path, monkeypatch):
    """Only records without quotes are cut into blocks, which is faster."""
    path = write(tmp_path / "r.csv", '"user","item","rating"\n1,2,3\n4,5,4.5\n')
    monkeypatch.setattr(text_room.Document, "_quoted", None)
    assert_triples(read_ratings(path, sep=","), ["1", "4"], ["2", "5"], [3, 4.5])
