"""The text of a file: its encoding, its separator, its lines."""

from __future__ import annotations

import codecs

import pytest
from rating_files import assert_triples, write

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
