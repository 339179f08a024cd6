"""Columns of a text: the three ways of a block give the same; errors name the line."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rating_files import assert_triples, rows, write

from autorec_np.sources import reading
from autorec_np.sources.reading import Layout, read_ratings, split_numbers, split_strings
from autorec_np.sources.text import Document


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """One file that the examples of a property test write again and again."""
    return tmp_path_factory.mktemp("fields") / "ratings.txt"


def fields_of_every_kind(separator):
    digits = st.integers(0, 10**15).map(str)
    odd = st.sampled_from(["007", "0", "00", "-1", "1.5", ".5", "5.", ".", "1.2.3", "", " ", "a"])
    odd = st.one_of(odd, st.sampled_from(["1" * 15, "1" * 16, "1 2", "é", "0.30000000000000004"]))
    return st.one_of(digits, digits, digits, odd).filter(lambda one: separator not in one)


@st.composite
def blocks(draw):
    """Text of a few lines, mostly regular and numeric, and its separator."""
    separator = draw(st.sampled_from([",", " ", "::", "\t"]))
    n_fields = draw(st.integers(3, 5))
    field = fields_of_every_kind(separator)
    length = st.sampled_from([n_fields] * 9 + [n_fields - 1, n_fields + 1])
    lengths = draw(st.lists(length, min_size=1, max_size=6))
    numeric = st.integers(0, 10**15).map(str)
    column = st.sampled_from([numeric, numeric, field])
    columns = [draw(column) for _ in range(n_fields + 1)]
    lines = [separator.join(draw(columns[k]) for k in range(length)) for length in lengths]
    return "\n".join(lines), separator, n_fields


def as_text(column):
    return [str(one) for one in column] if isinstance(column, np.ndarray) else list(column)


@given(blocks(), st.permutations(range(3)))
@settings(max_examples=300)
@example(("1,2,3\n4,5,6", ",", 3), [0, 1, 2])
@example(("1,2,3.5\n4,5,.5\n1,4,5.", ",", 3), [0, 1, 2])
@example(("1,2,3,4\n4,5\n1,2,3,4,5,6", ",", 4), [0, 1, 2])
@example(("1::2:::3", "::", 3), [0, 1, 2])
@example(("1 2,3\n4,5,6", ",", 3), [0, 1, 2])
@example(("1\n2,3\n4,5,6", ",", 3), [0, 1, 2])
@example(("1,2,3,4,5,6", ",", 3), [0, 1, 2])
@example(("1,2,1.2.3\n4,5,6.5", ",", 3), [0, 1, 2])
@example(("1,2,.\n4,5,6.5", ",", 3), [0, 1, 2])
@example(("a\tb,2,3\n4,5,6", ",", 3), [0, 1, 2])
def test_fast_ways_equal_the_slow_one(block, places):
    text, separator, n_fields = block
    document = Document("file", text, separator, quoted=False)
    layout = Layout(False, 1, n_fields, tuple(places), timestamp_required=False)
    records = [record for _, record in document.records()]
    regular = all(len(record) == n_fields for record in records)
    strings = split_strings(text, separator, layout)
    numbers = split_numbers(text, separator, layout)
    if strings is None:
        assert numbers is None
        assert not regular or text.count("\n") + 1 > len(records)
        return
    slow = [[record[place] for record in records] for place in places]
    assert strings == slow
    if numbers is None:
        every = [one for record in records for one in record]
        assert not all(re.fullmatch("[1-9][0-9]{0,14}", one) for one in every)
        return
    for role, (fast, exact) in enumerate(zip(numbers, slow, strict=True)):
        if role == 2:
            assert fast.dtype == np.float64
            assert fast.tolist() == [float(one) for one in exact]
        else:
            assert fast.dtype == np.int64
            assert as_text(fast) == exact


@given(rows(st.sampled_from(["0", "1", "-2", "17", "007", "x", str(2**62)])), st.booleans())
def test_blocks_of_any_size_give_the_same(file, table, timestamps):
    if timestamps:
        table = [(*row, str(978300760 + k * 7)) for k, row in enumerate(table)]
    write(file, "\n".join("::".join(row) for row in table) + "\n")
    stated = {"columns": range(3 + timestamps)}  # such small tables can be read in two ways
    whole = read_ratings(file, **stated)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_CHARACTERS", 9)
        patch.setattr(reading, "CHUNK_RECORDS", 2)
        cut = read_ratings(file, **stated)
        patch.setattr(reading, "split_numbers", lambda *_: None)
        patch.setattr(reading, "split_strings", lambda *_: None)
        slow = read_ratings(file, **stated)
    assert_triples(whole, *zip(*(row[:3] for row in table), strict=True))
    for other in (cut, slow):
        for part, same in zip(whole.triples(), other.triples(), strict=True):
            assert part.dtype == same.dtype
            assert part.tolist() == same.tolist()
        assert (other.timestamps is None) == (whole.timestamps is None) == (not timestamps)
        if timestamps:
            assert other.timestamps.tolist() == whole.timestamps.tolist()


def test_numbers_take_the_fast_way(tmp_path, monkeypatch):
    """The promise of speed, without a clock: nothing but `_split_numbers` sees the text."""
    monkeypatch.setattr(reading, "split_strings", None)
    lines = [f"{k}::{k % 7}::{k % 5}::978300760\n" for k in range(999)]
    path = write(tmp_path / "ratings.dat", "".join(lines))
    assert len(read_ratings(path)) == 999
    path = write(tmp_path / "ratings.csv", "userId,movieId,rating\n1,2,4.5\n1,3,0.5\n1,4,.5\n")
    assert read_ratings(path).matrix.data.tolist() == [4.5, 0.5, 0.5]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("1,2", "line 12: found 2 fields"),
        ("1,2,3,x", "line 12: the timestamp is 'x'"),
        (",2,3,4", "line 12: the user id is empty"),
        ("1,2,x,4", "line 12: the rating is 'x'"),
        ("5,6,3,4", "line 12: user 5 rates item 6 again, first rated on line 8"),
    ],
)
def test_line_numbers_are_right_in_every_block(tmp_path, monkeypatch, quote, last, message):
    monkeypatch.setattr(reading, "BLOCK_CHARACTERS", 9)
    monkeypatch.setattr(reading, "CHUNK_RECORDS", 2)
    rows = [f"{quote}{k}{quote},{k + 1},3,4" for k in range(9)]
    text = "\n".join(["a,b,c,d", "", *rows, last, "7,7,3,4"])
    path = write(tmp_path / "r.csv", text)
    with pytest.raises(ValueError, match=re.escape(f"{path}, {message}")):
        read_ratings(path, columns=(0, 1, 2, 3))
